//! A container's environment: literal values, ConfigMaps, Secrets, fields of the pod, services.

use super::resources::{divide, node_amount};
use crate::error::{Error, Result};
use crate::network::ServiceTable;
use k8s_openapi::api::core::v1::{ConfigMap, Container, Pod, ResourceFieldSelector, Secret};
use std::collections::BTreeMap;
use std::net::Ipv4Addr;

/// An object that a container's environment needs.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Needed {
    ConfigMap(String),
    Secret(String),
}

/// The objects that were found.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) config_maps: BTreeMap<String, ConfigMap>,
    pub(crate) secrets: BTreeMap<String, Secret>,
}

/// What the node knows of a pod besides the object.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PodFacts {
    pub(crate) host: Ipv4Addr,
    pub(crate) address: Option<Ipv4Addr>,
}

/// Which objects to read before [`environment`].
pub(crate) fn needed(container: &Container) -> Vec<Needed> {
    let mut needed = Vec::new();
    for from in container.env_from.iter().flatten() {
        needed.extend(from.config_map_ref.as_ref().map(|r| Needed::ConfigMap(r.name.clone())));
        needed.extend(from.secret_ref.as_ref().map(|r| Needed::Secret(r.name.clone())));
    }
    for source in container.env.iter().flatten().filter_map(|e| e.value_from.as_ref()) {
        needed.extend(source.config_map_key_ref.as_ref().map(|r| Needed::ConfigMap(r.name.clone())));
        needed.extend(source.secret_key_ref.as_ref().map(|r| Needed::Secret(r.name.clone())));
    }
    needed.sort();
    needed.dedup();
    needed
}

/// The variables in the kubelet's order: services, `envFrom`, `env`.
pub(crate) fn environment(
    pod: &Pod,
    container: &Container,
    found: &Found,
    facts: PodFacts,
    services: &ServiceTable,
) -> Result<Vec<(String, String)>> {
    let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
    let links = pod.spec.as_ref().and_then(|s| s.enable_service_links).unwrap_or(true);
    let mut variables = Variables(service_variables(services, namespace, links));
    let missing = |field: String, problem: String| Error::Spec { field, problem };
    for from in container.env_from.iter().flatten() {
        let prefix = from.prefix.as_deref().unwrap_or_default();
        if let Some(source) = &from.config_map_ref {
            match found.config_maps.get(&source.name) {
                Some(map) => {
                    for (key, value) in map.data.iter().flatten() {
                        variables.set(format!("{prefix}{key}"), value.clone());
                    }
                }
                None if source.optional == Some(true) => {}
                None => {
                    return Err(missing(format!("configmap \"{}\"", source.name), "not found".to_owned()));
                }
            }
        }
        if let Some(source) = &from.secret_ref {
            match found.secrets.get(&source.name) {
                Some(secret) => {
                    for (key, value) in secret.data.iter().flatten() {
                        variables
                            .set(format!("{prefix}{key}"), String::from_utf8_lossy(&value.0).into_owned());
                    }
                }
                None if source.optional == Some(true) => {}
                None => return Err(missing(format!("secret \"{}\"", source.name), "not found".to_owned())),
            }
        }
    }
    for variable in container.env.iter().flatten() {
        let Some(source) = &variable.value_from else {
            let value = expand(variable.value.as_deref().unwrap_or_default(), &variables.0);
            variables.set(variable.name.clone(), value);
            continue;
        };
        let value = if let Some(key) = &source.config_map_key_ref {
            let value = found
                .config_maps
                .get(&key.name)
                .map(|m| m.data.as_ref().and_then(|d| d.get(&key.key)).cloned());
            from_object("configmap", &key.name, &key.key, key.optional, value)?
        } else if let Some(key) = &source.secret_key_ref {
            let value = found.secrets.get(&key.name).map(|s| {
                s.data
                    .as_ref()
                    .and_then(|d| d.get(&key.key))
                    .map(|v| String::from_utf8_lossy(&v.0).into_owned())
            });
            from_object("secret", &key.name, &key.key, key.optional, value)?
        } else if let Some(field) = &source.field_ref {
            let value = pod_field(pod, &field.field_path, facts);
            Some(
                value
                    .ok_or_else(|| missing(field.field_path.clone(), "unsupported field path".to_owned()))?,
            )
        } else if let Some(field) = &source.resource_field_ref {
            Some(resource_field(pod, &container.name, field)?)
        } else {
            return Err(missing(
                format!("env {}", variable.name),
                "this kind of valueFrom is not supported".to_owned(),
            ));
        };
        if let Some(value) = value {
            variables.set(variable.name.clone(), value);
        }
    }
    Ok(variables.0)
}

fn from_object(
    kind: &str,
    name: &str,
    key: &str,
    optional: Option<bool>,
    value: Option<Option<String>>,
) -> Result<Option<String>> {
    match value {
        Some(Some(value)) => Ok(Some(value)),
        _ if optional == Some(true) => Ok(None),
        Some(None) => Err(Error::Spec {
            field: format!("key \"{key}\" of {kind} \"{name}\""),
            problem: "not found".to_owned(),
        }),
        None => Err(Error::Spec { field: format!("{kind} \"{name}\""), problem: "not found".to_owned() }),
    }
}

/// In order, the last of a name wins in place.
struct Variables(Vec<(String, String)>);

impl Variables {
    fn set(&mut self, name: String, value: String) {
        match self.0.iter_mut().find(|(n, _)| *n == name) {
            Some(existing) => existing.1 = value,
            None => self.0.push((name, value)),
        }
    }
}

/// Replaces `$(NAME)` by a variable and `$$` by `$`; names that are not known stay as they are.
pub(crate) fn expand(text: &str, variables: &[(String, String)]) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('$') {
            out.push('$');
            rest = after;
        } else if let Some((name, after)) = rest.strip_prefix('(').and_then(|r| r.split_once(')')) {
            match variables.iter().find(|(n, _)| n == name) {
                Some((_, value)) => out.push_str(value),
                None => {
                    out.push_str("$(");
                    out.push_str(name);
                    out.push(')');
                }
            }
            rest = after;
        } else {
            out.push('$');
        }
    }
    out.push_str(rest);
    out
}

/// A field of the pod as text (`fieldRef`).
pub(crate) fn pod_field(pod: &Pod, path: &str, facts: PodFacts) -> Option<String> {
    let metadata = &pod.metadata;
    let spec = pod.spec.as_ref();
    let text = |value: Option<&String>| Some(value.cloned().unwrap_or_default());
    let list = |map: Option<&BTreeMap<String, String>>| {
        let lines: Vec<String> = map.into_iter().flatten().map(|(k, v)| format!("{k}={v:?}")).collect();
        Some(lines.join("\n"))
    };
    if let Some((map, key)) = path.strip_suffix("']").and_then(|p| p.split_once("['")) {
        let map = match map {
            "metadata.labels" => metadata.labels.as_ref(),
            "metadata.annotations" => metadata.annotations.as_ref(),
            _ => return None,
        };
        return text(map.and_then(|m| m.get(key)));
    }
    match path {
        "metadata.name" => text(metadata.name.as_ref()),
        "metadata.namespace" => text(metadata.namespace.as_ref()),
        "metadata.uid" => text(metadata.uid.as_ref()),
        "metadata.labels" => list(metadata.labels.as_ref()),
        "metadata.annotations" => list(metadata.annotations.as_ref()),
        "spec.nodeName" => text(spec.and_then(|s| s.node_name.as_ref())),
        "spec.serviceAccountName" => text(spec.and_then(|s| s.service_account_name.as_ref())),
        "status.hostIP" | "status.hostIPs" => Some(facts.host.to_string()),
        "status.podIP" | "status.podIPs" => Some(facts.address.map(|a| a.to_string()).unwrap_or_default()),
        _ => None,
    }
}

/// A container's request or limit as a number (`resourceFieldRef`); without a limit, what the node has.
pub(crate) fn resource_field(pod: &Pod, own: &str, field: &ResourceFieldSelector) -> Result<String> {
    let fail = |problem: &str| Error::Spec { field: field.resource.clone(), problem: problem.to_owned() };
    let name = field.container_name.as_deref().unwrap_or(own);
    let spec = pod.spec.as_ref();
    let containers =
        spec.into_iter().flat_map(|s| s.containers.iter().chain(s.init_containers.iter().flatten()));
    let container = { containers }.find(|c| c.name == name).ok_or_else(|| fail("no such container"))?;
    let (kind, resource) = field.resource.split_once('.').ok_or_else(|| fail("unsupported resource"))?;
    let resources = container.resources.as_ref();
    let amounts = match kind {
        "limits" => resources.and_then(|r| r.limits.as_ref()),
        "requests" => resources.and_then(|r| r.requests.as_ref()),
        _ => return Err(fail("unsupported resource")),
    };
    let amount = match (amounts.and_then(|a| a.get(resource)), kind) {
        (Some(quantity), _) => quantity.0.clone(),
        (None, "limits") => node_amount(resource),
        (None, _) => "0".to_owned(),
    };
    let divisor = field.divisor.as_ref().map_or("1", |d| if d.0 == "0" { "1" } else { &d.0 });
    divide(&amount, divisor).map(|n| n.to_string()).ok_or_else(|| fail("not a quantity"))
}

/// `NAME_SERVICE_HOST` and its kin, for the services of the namespace and the API.
fn service_variables(services: &ServiceTable, namespace: &str, links: bool) -> Vec<(String, String)> {
    let mut variables = Vec::new();
    for (space, name, entry) in services.iter() {
        let is_api = (space, name) == ("default", "kubernetes");
        let (Some(address), Some(first)) = (entry.address, entry.ports.first()) else { continue };
        if !(is_api || (links && space == namespace)) {
            continue;
        }
        let upper = name.to_ascii_uppercase().replace('-', "_");
        let mut add = |suffix: &str, value: String| variables.push((format!("{upper}{suffix}"), value));
        add("_SERVICE_HOST", address.to_string());
        add("_SERVICE_PORT", first.port.to_string());
        for port in entry.ports.iter().filter(|p| !p.name.is_empty()) {
            let port_name = port.name.to_ascii_uppercase().replace('-', "_");
            add(&format!("_SERVICE_PORT_{port_name}"), port.port.to_string());
        }
        let url = |p: &crate::network::ServicePort| {
            format!("{}://{address}:{}", p.protocol.to_ascii_lowercase(), p.port)
        };
        add("_PORT", url(first));
        for port in &entry.ports {
            let base = format!("_PORT_{}_{}", port.port, port.protocol);
            add(&base, url(port));
            add(&format!("{base}_PROTO"), port.protocol.to_ascii_lowercase());
            add(&format!("{base}_PORT"), port.port.to_string());
            add(&format!("{base}_ADDR"), address.to_string());
        }
    }
    variables
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::json;

    const FACTS: PodFacts =
        PodFacts { host: Ipv4Addr::new(10, 244, 0, 1), address: Some(Ipv4Addr::new(10, 244, 0, 9)) };

    fn pod(container: serde_json::Value) -> (Pod, Container) {
        let pod: Pod = serde_json::from_value(json!({
            "metadata": {"name": "p", "namespace": "n", "labels": {"a/b": "c"}},
            "spec": {"containers": [container]}}))
        .unwrap();
        let container = pod.spec.as_ref().unwrap().containers[0].clone();
        (pod, container)
    }

    #[test]
    fn references_expand_to_what_was_set_before_and_else_stay() {
        let set = vec![("A".to_owned(), "1".to_owned())];
        assert_eq!(expand("$(A) $(B) $$(A) $A 5$", &set), "1 $(B) $(A) $A 5$");
    }

    #[test]
    fn values_come_from_objects_fields_and_resources_in_order() {
        let (pod, container) = pod(json!({"name": "c",
            "envFrom": [{"prefix": "P_", "configMapRef": {"name": "m"}}, {"secretRef": {"name": "gone", "optional": true}}],
            "env": [
                {"name": "P_x", "value": "own"},
                {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
                {"name": "LABEL", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['a/b']"}}},
                {"name": "URL", "value": "http://$(IP)/$(P_y)"},
                {"name": "MEM", "valueFrom": {"resourceFieldRef": {"resource": "limits.memory", "divisor": "1Mi"}}}],
            "resources": {"limits": {"memory": "100Mi"}}}));
        let mut found = Found::default();
        let map = json!({"data": {"x": "1", "y": "2"}});
        found.config_maps.insert("m".to_owned(), serde_json::from_value(map).unwrap());
        let variables = environment(&pod, &container, &found, FACTS, &ServiceTable::default()).unwrap();
        let get = |name: &str| variables.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str());
        assert_eq!(get("P_x"), Some("own"));
        assert_eq!(get("LABEL"), Some("c"));
        assert_eq!(get("URL"), Some("http://10.244.0.9/2"));
        assert_eq!(get("MEM"), Some("100"));
    }

    #[test]
    fn a_missing_object_is_an_error_that_names_it() {
        let (pod, container) = pod(json!({"name": "c",
            "env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}]}));
        let error = environment(&pod, &container, &Found::default(), FACTS, &ServiceTable::default());
        assert_eq!(error.unwrap_err().to_string(), "secret \"s\": not found");
        assert_eq!(needed(&container), [Needed::Secret("s".to_owned())]);
    }
}
