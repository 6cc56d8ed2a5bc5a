//! Pod Security Standards (KEP-2579): what a namespace's labels ask of its pods.

use serde_json::Value;

/// How strict; each level has what the one before it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Level {
    Privileged,
    Baseline,
    Restricted,
}

impl Level {
    /// From a namespace's label; anything unknown is as strict as can be, as in Kubernetes.
    pub(super) fn of(label: Option<&str>) -> Self {
        match label {
            None | Some("privileged") => Self::Privileged,
            Some("baseline") => Self::Baseline,
            Some(_) => Self::Restricted,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Privileged => "privileged",
            Self::Baseline => "baseline",
            Self::Restricted => "restricted",
        }
    }
}

/// The sentence for a pod that breaks a level; `None` when it does not.
pub(super) fn violation(level: Level, version: &str, metadata: &Value, spec: &Value) -> Option<String> {
    if level == Level::Privileged {
        return None;
    }
    let mut found = baseline(metadata, spec);
    if level == Level::Restricted {
        // The stricter rule says it all where both speak of capabilities and seccomp.
        found.retain(|f| !f.starts_with("non-default capabilities") && !f.starts_with("seccompProfile"));
        found.extend(restricted(spec));
    }
    (!found.is_empty()).then(|| format!("PodSecurity \"{}:{version}\": {}", level.name(), found.join(", ")))
}

fn containers(spec: &Value) -> impl Iterator<Item = &Value> {
    ["initContainers", "containers", "ephemeralContainers"]
        .into_iter()
        .flat_map(move |list| spec[list].as_array().into_iter().flatten())
}

/// `container "a"` or `containers "a", "b"`, of those that break a rule; empty when none does.
fn breaking(spec: &Value, breaks: impl Fn(&Value) -> bool) -> String {
    let names: Vec<String> = containers(spec)
        .filter(|c| breaks(c))
        .map(|c| format!("\"{}\"", c["name"].as_str().unwrap_or_default()))
        .collect();
    match names.len() {
        0 => String::new(),
        1 => format!("container {}", names[0]),
        _ => format!("containers {}", names.join(", ")),
    }
}

/// Capabilities that container engines give anyway, but for NET_RAW.
const DEFAULT_CAPABILITIES: [&str; 13] = [
    "AUDIT_WRITE",
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "MKNOD",
    "NET_BIND_SERVICE",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYS_CHROOT",
];
/// Sysctls that stay inside the pod.
const SAFE_SYSCTLS: [&str; 10] = [
    "kernel.shm_rmid_forced",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.ip_unprivileged_port_start",
    "net.ipv4.tcp_syncookies",
    "net.ipv4.ping_group_range",
    "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.tcp_keepalive_time",
    "net.ipv4.tcp_fin_timeout",
    "net.ipv4.tcp_keepalive_intvl",
    "net.ipv4.tcp_keepalive_probes",
];

fn texts(list: &Value) -> impl Iterator<Item = &str> {
    list.as_array().into_iter().flatten().filter_map(Value::as_str)
}

fn adds_beyond(container: &Value, allowed: &[&str]) -> bool {
    texts(&container["securityContext"]["capabilities"]["add"]).any(|c| !allowed.contains(&c))
}

fn baseline(metadata: &Value, spec: &Value) -> Vec<String> {
    let mut found = Vec::new();
    let hosts: Vec<&str> =
        ["hostNetwork", "hostPID", "hostIPC"].into_iter().filter(|h| spec[*h] == true).collect();
    if !hosts.is_empty() {
        let list: Vec<String> = hosts.iter().map(|h| format!("{h}=true")).collect();
        found.push(format!("host namespaces ({})", list.join(", ")));
    }
    let mut each = |title: &str, rule: &str, breaks: &dyn Fn(&Value) -> bool| {
        let who = breaking(spec, breaks);
        if !who.is_empty() {
            found.push(format!("{title} ({who} {rule})"));
        }
    };
    each("privileged", "must not set securityContext.privileged=true", &|c| {
        c["securityContext"]["privileged"] == true
    });
    each(
        "non-default capabilities",
        "must not include capabilities beyond the default set in securityContext.capabilities.add",
        &|c| adds_beyond(c, &DEFAULT_CAPABILITIES),
    );
    each("hostPort", "uses hostPorts", &|c| {
        c["ports"].as_array().into_iter().flatten().any(|p| p["hostPort"].as_i64().is_some_and(|p| p != 0))
    });
    each("procMount", "must not set securityContext.procMount", &|c| {
        c["securityContext"]["procMount"].as_str().is_some_and(|p| p != "Default")
    });
    each("hostProcess", "must not set securityContext.windowsOptions.hostProcess=true", &|c| {
        c["securityContext"]["windowsOptions"]["hostProcess"] == true
    });
    let types = ["", "container_t", "container_init_t", "container_kvm_t", "container_engine_t"];
    each("seLinuxOptions", "set forbidden securityContext.seLinuxOptions", &|c| {
        let options = &c["securityContext"]["seLinuxOptions"];
        options["type"].as_str().is_some_and(|t| !types.contains(&t))
            || ["user", "role"].iter().any(|f| options[*f].as_str().is_some_and(|v| !v.is_empty()))
    });
    let unconfined = |context: &Value| context["seccompProfile"]["type"] == "Unconfined";
    let who = breaking(spec, |c| unconfined(&c["securityContext"]));
    if unconfined(&spec["securityContext"]) {
        found.push(
            "seccompProfile (pod must not set securityContext.seccompProfile.type to \"Unconfined\")".into(),
        );
    } else if !who.is_empty() {
        found.push(format!(
            "seccompProfile ({who} must not set securityContext.seccompProfile.type to \"Unconfined\")"
        ));
    }
    let volumes: Vec<String> = spec["volumes"]
        .as_array()
        .into_iter()
        .flatten()
        .filter(|v| v.get("hostPath").is_some())
        .map(|v| format!("\"{}\"", v["name"].as_str().unwrap_or_default()))
        .collect();
    if !volumes.is_empty() {
        let s = if volumes.len() == 1 { "" } else { "s" };
        found.push(format!("hostPath volumes (volume{s} {})", volumes.join(", ")));
    }
    let sysctls: Vec<&str> = spec["securityContext"]["sysctls"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|s| s["name"].as_str())
        .filter(|name| !SAFE_SYSCTLS.contains(name))
        .collect();
    if !sysctls.is_empty() {
        found.push(format!("forbidden sysctls ({})", sysctls.join(", ")));
    }
    let profiles = metadata["annotations"].as_object().into_iter().flatten().filter(|(key, value)| {
        key.starts_with("container.apparmor.security.beta.kubernetes.io/")
            && value
                .as_str()
                .is_some_and(|v| !v.is_empty() && v != "runtime/default" && !v.starts_with("localhost/"))
    });
    let unconfined = |context: &Value| context["appArmorProfile"]["type"] == "Unconfined";
    if profiles.count() > 0
        || unconfined(&spec["securityContext"])
        || containers(spec).any(|c| unconfined(&c["securityContext"]))
    {
        found.push("forbidden AppArmor profile (must not be unconfined)".into());
    }
    found
}

/// Volume sources that hold nothing of the host.
const SAFE_VOLUMES: [&str; 9] = [
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "image",
    "persistentVolumeClaim",
    "projected",
    "secret",
];

fn restricted(spec: &Value) -> Vec<String> {
    let mut found = Vec::new();
    let pod = &spec["securityContext"];
    let who = breaking(spec, |c| c["securityContext"]["allowPrivilegeEscalation"] != false);
    if !who.is_empty() {
        found.push(format!(
            "allowPrivilegeEscalation != false ({who} must set securityContext.allowPrivilegeEscalation=false)"
        ));
    }
    let who = breaking(spec, |c| {
        !texts(&c["securityContext"]["capabilities"]["drop"]).any(|d| d == "ALL")
            || adds_beyond(c, &["NET_BIND_SERVICE"])
    });
    if !who.is_empty() {
        found.push(format!(
            "unrestricted capabilities ({who} must set securityContext.capabilities.drop=[\"ALL\"])"
        ));
    }
    let volumes: Vec<String> = spec["volumes"]
        .as_array()
        .into_iter()
        .flatten()
        .filter(|v| {
            v.as_object()
                .is_some_and(|v| v.keys().any(|k| k != "name" && !SAFE_VOLUMES.contains(&k.as_str())))
        })
        .map(|v| format!("\"{}\"", v["name"].as_str().unwrap_or_default()))
        .collect();
    if !volumes.is_empty() {
        let s = if volumes.len() == 1 { "" } else { "s" };
        found.push(format!(
            "restricted volume types (volume{s} {} use restricted volume types)",
            volumes.join(", ")
        ));
    }
    let who = breaking(spec, |c| match &c["securityContext"]["runAsNonRoot"] {
        Value::Null => pod["runAsNonRoot"] != true,
        set => *set != true,
    });
    if !who.is_empty() {
        found.push(format!("runAsNonRoot != true (pod or {who} must set securityContext.runAsNonRoot=true)"));
    }
    let root = |context: &Value| context["runAsUser"] == 0;
    let who = breaking(spec, |c| root(&c["securityContext"]));
    if root(pod) {
        found.push("runAsUser=0 (pod must not set runAsUser=0)".into());
    } else if !who.is_empty() {
        found.push(format!("runAsUser=0 ({who} must not set runAsUser=0)"));
    }
    let confined = |context: &Value| {
        matches!(context["seccompProfile"]["type"].as_str(), Some("RuntimeDefault" | "Localhost"))
    };
    let who = breaking(spec, |c| {
        let own = &c["securityContext"];
        if own["seccompProfile"].is_object() { !confined(own) } else { !confined(pod) }
    });
    if !who.is_empty() {
        found.push(format!(
            "seccompProfile (pod or {who} must set securityContext.seccompProfile.type to \"RuntimeDefault\" or \"Localhost\")"
        ));
    }
    found
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(level: Level, spec: &Value) -> Option<String> {
        violation(level, "latest", &Value::Null, spec)
    }

    #[test]
    fn a_plain_pod_is_baseline_but_not_restricted() {
        let spec = json!({"containers": [{"name": "c", "image": "x"}]});
        assert_eq!(check(Level::Baseline, &spec), None);
        assert_eq!(
            check(Level::Restricted, &spec).unwrap_or_default(),
            "PodSecurity \"restricted:latest\": allowPrivilegeEscalation != false (container \"c\" must set \
             securityContext.allowPrivilegeEscalation=false), unrestricted capabilities (container \"c\" must set \
             securityContext.capabilities.drop=[\"ALL\"]), runAsNonRoot != true (pod or container \"c\" must set \
             securityContext.runAsNonRoot=true), seccompProfile (pod or container \"c\" must set \
             securityContext.seccompProfile.type to \"RuntimeDefault\" or \"Localhost\")"
        );
    }

    #[test]
    fn a_pod_that_drops_everything_is_restricted() {
        let spec = json!({
            "securityContext": {"runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [{"name": "c", "securityContext":
                {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}}}]});
        assert_eq!(check(Level::Restricted, &spec), None);
    }

    #[test]
    fn what_reaches_the_host_is_not_baseline() {
        let spec = json!({"hostNetwork": true, "volumes": [{"name": "v", "hostPath": {"path": "/"}}],
            "containers": [{"name": "a", "securityContext": {"privileged": true}},
                           {"name": "b", "ports": [{"hostPort": 80}]}]});
        let found = check(Level::Baseline, &spec).unwrap_or_default();
        for part in [
            "host namespaces (hostNetwork=true)",
            "privileged (container \"a\" must not set securityContext.privileged=true)",
            "hostPort (container \"b\" uses hostPorts)",
            "hostPath volumes (volume \"v\")",
        ] {
            assert!(found.contains(part), "{part} is not in {found}");
        }
        assert_eq!(check(Level::Privileged, &spec), None);
    }
}
