//! Fields of known kinds that name a namespace, a host or a service.

use serde_json::Value;

/// What a field names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Names {
    /// A namespace.
    Namespace,
    /// A host at which something answers: such hosts get their place in the copy.
    Host,
    /// A host or a service that is called, perhaps within a URL.
    Text,
    /// A namespace and a name, with a slash between.
    Qualified,
    /// A user or group, which may be a service account of a namespace.
    Subject,
}

use Names::{Host, Namespace, Qualified, Subject, Text};

/// A pod's template lies at these places.
pub(crate) const TEMPLATES: [&str; 3] =
    ["/spec", "/spec/template/spec", "/spec/jobTemplate/spec/template/spec"];

/// Group and kind (`*` is any) with the fields: JSON pointers in which `*` stands for any key or element.
type Fields = (&'static str, &'static str, &'static [(&'static str, Names)]);

const FIELDS: &[Fields] = &[
    (
        "rbac.authorization.k8s.io",
        "RoleBinding",
        &[("/subjects/*/namespace", Namespace), ("/subjects/*/name", Subject)],
    ),
    ("", "Service", &[("/spec/externalName", Text)]),
    ("", "PersistentVolumeClaim", &[("/spec/dataSourceRef/namespace", Namespace)]),
    ("networking.k8s.io", "Ingress", &[("/spec/rules/*/host", Host), ("/spec/tls/*/hosts/*", Host)]),
    (
        "gateway.networking.k8s.io",
        "*",
        &[
            ("/spec/hostnames/*", Host),
            ("/spec/parentRefs/*/namespace", Namespace),
            ("/spec/rules/*/backendRefs/*/namespace", Namespace),
            ("/spec/rules/*/filters/*/requestMirror/backendRef/namespace", Namespace),
            ("/spec/rules/*/filters/*/requestRedirect/hostname", Text),
            ("/spec/rules/*/filters/*/urlRewrite/hostname", Text),
            ("/spec/listeners/*/hostname", Host),
            ("/spec/listeners/*/tls/certificateRefs/*/namespace", Namespace),
            (
                "/spec/listeners/*/allowedRoutes/namespaces/selector/matchLabels/kubernetes.io~1metadata.name",
                Namespace,
            ),
            ("/spec/from/*/namespace", Namespace),
        ],
    ),
    ("cert-manager.io", "Certificate", &[("/spec/dnsNames/*", Text), ("/spec/commonName", Text)]),
    ("monitoring.coreos.com", "*", &[("/spec/namespaceSelector/matchNames/*", Namespace)]),
    ("networking.istio.io", "VirtualService", &[("/spec/hosts/*", Host), ("/spec/gateways/*", Qualified)]),
    ("networking.istio.io", "ServiceEntry", &[("/spec/hosts/*", Text)]),
    ("security.istio.io", "AuthorizationPolicy", &[("/spec/rules/*/from/*/source/namespaces/*", Namespace)]),
    ("route.openshift.io", "Route", &[("/spec/host", Host)]),
    ("projectcontour.io", "HTTPProxy", &[("/spec/virtualhost/fqdn", Host)]),
    (
        "networking.istio.io",
        "*",
        &[
            ("/spec/host", Text),
            ("/spec/http/*/route/*/destination/host", Text),
            ("/spec/tcp/*/route/*/destination/host", Text),
            ("/spec/servers/*/hosts/*", Host),
        ],
    ),
];

/// The fields of a kind.
pub(crate) fn of(group: &str, kind: &str) -> impl Iterator<Item = (&'static str, Names)> {
    let is_meant = |of_group: &str, of_kind: &str| of_group == group && (of_kind == "*" || of_kind == kind);
    let meant: Vec<_> = FIELDS.iter().filter(|(group, kind, _)| is_meant(group, kind)).collect();
    meant.into_iter().flat_map(|(_, _, fields)| fields.iter().copied())
}

/// Namespaces in which pods of a template look for others.
pub(crate) fn of_templates() -> impl Iterator<Item = String> {
    let terms = [
        "podAffinity/requiredDuringSchedulingIgnoredDuringExecution/*/namespaces/*",
        "podAffinity/preferredDuringSchedulingIgnoredDuringExecution/*/podAffinityTerm/namespaces/*",
        "podAntiAffinity/requiredDuringSchedulingIgnoredDuringExecution/*/namespaces/*",
        "podAntiAffinity/preferredDuringSchedulingIgnoredDuringExecution/*/podAffinityTerm/namespaces/*",
    ];
    TEMPLATES.into_iter().flat_map(move |at| terms.map(|term| format!("{at}/affinity/{term}")))
}

/// Gives every text at a place to `change`.
pub(crate) fn texts(value: &mut Value, pointer: &str, change: &mut dyn FnMut(&mut String)) {
    let Some(rest) = pointer.strip_prefix('/') else {
        if let Value::String(text) = value {
            change(text);
        }
        return;
    };
    let (first, rest) =
        rest.split_once('/').map_or((rest, String::new()), |(first, rest)| (first, format!("/{rest}")));
    let key = first.replace("~1", "/").replace("~0", "~");
    match value {
        Value::Object(map) if first == "*" => map.values_mut().for_each(|child| texts(child, &rest, change)),
        Value::Array(items) if first == "*" => items.iter_mut().for_each(|child| texts(child, &rest, change)),
        Value::Object(map) => {
            if let Some(child) = map.get_mut(&key) {
                texts(child, &rest, change);
            }
        }
        Value::Array(items) => {
            if let Some(child) = key.parse::<usize>().ok().and_then(|index| items.get_mut(index)) {
                texts(child, &rest, change);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_star_stands_for_any_key_and_any_element() {
        let mut value = json!({"a": [{"b/c": "x"}, {"b/c": 1}, {"d": "y"}], "e": {"f": "z"}});
        let mut seen = Vec::new();
        for pointer in ["/a/*/b~1c", "/*/f", "/a/2/d", "/nothing/*", ""] {
            texts(&mut value, pointer, &mut |text| seen.push(text.clone()));
        }
        assert_eq!(seen, ["x", "z", "y"]);
    }
}
