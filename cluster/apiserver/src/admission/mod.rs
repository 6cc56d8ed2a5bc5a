//! What is checked and filled in between strategy and validation, with the rest of the cluster in view.

mod classes;
mod limits;
mod pod_security;
pub(crate) mod quota;
mod scheduling;
mod signing;

use std::net::Ipv4Addr;

use seaway_kinds::validation::service_network::{CLUSTER_IPS, NODE_PORTS};
use serde_json::{Value, json};

use crate::api::Api;
use crate::rbac::{self, Attributes, RoleRef};
use crate::resources::{Operation, WriteRequest};
use crate::status::{ApiError, Cause, Result};
use crate::store::{NAMESPACES, ObjectKey};

/// Namespaces that cannot be deleted.
pub(crate) const PERMANENT: [&str; 3] = ["default", "kube-system", "kube-public"];

/// Checks and completes an object, before it is validated.
pub(crate) fn admit(request: &WriteRequest<'_>, before: Option<&Value>, value: &mut Value) -> Result<()> {
    let served = request.served;
    if before.is_none() {
        namespace_exists(request, value)?;
    }
    if request.operation == Operation::Status {
        return match (served.group(), served.kind(), before) {
            (signing::GROUP, "CertificateSigningRequest", Some(before)) => {
                signing::status(request, before, value)
            }
            _ => Ok(()),
        };
    }
    let namespace = text(&value["metadata"], "namespace").to_owned();
    let ranges = || -> Vec<Value> {
        request.api.store.all("/limitranges", Some(&namespace)).iter().map(|e| e.value()).collect()
    };
    match (served.group(), served.kind()) {
        ("", "Pod") if before.is_none() => {
            if value["spec"].is_object() {
                scheduling::default_tolerations(&mut value["spec"]);
                classes::runtime(request.api, value)?;
            }
            limits::default_pod(&ranges(), &mut value["spec"]);
            // Requests that are not said follow the limits, also those that were just filled in.
            seaway_kinds::defaults::default_object("", "v1", "Pod", value);
            within_limits(request, value, limits::check_pod(&ranges(), &value["spec"]))?;
            pod_security(request, value)?;
        }
        ("", "Pod") if request.operation == Operation::Resize => {
            within_limits(request, value, limits::check_pod(&ranges(), &value["spec"]))?;
        }
        // As the real server: what else an update of a pod can change makes it no more dangerous.
        ("", "Pod")
            if request.operation == Operation::EphemeralContainers
                || before.is_some_and(|before| images(before) != images(value)) =>
        {
            pod_security(request, value)?;
        }
        ("", "PersistentVolumeClaim") => {
            if before.is_none() {
                classes::default_storage(request.api, value);
            }
            within_limits(request, value, limits::check_claim(&ranges(), &value["spec"]))?;
        }
        ("networking.k8s.io", "Ingress") if before.is_none() => classes::default_ingress(request.api, value),
        ("", "Secret") if before.is_none() => no_endless_token(request, value)?,
        ("apps", _) | ("batch", "Job" | "CronJob") | ("", "ReplicationController" | "PodTemplate") => {
            pod_security(request, value)?
        }
        _ => {}
    }
    match (served.group(), served.kind()) {
        ("", "Pod") if before.is_some() => {
            scheduling::keep_priority(before.unwrap_or(&Value::Null), value);
            scheduling::default_tolerations(&mut value["spec"]);
            Ok(())
        }
        ("", "Pod") => {
            service_account(request.api, value)?;
            if value["spec"].is_object() {
                scheduling::priority(request.api, value)?;
            }
            Ok(())
        }
        ("", "Service") => service_addresses(request.api, before, value),
        (signing::GROUP, "CertificateSigningRequest") => signing::admit(request, before, value),
        (rbac::GROUP, _) => escalation(request, before, value),
        ("apiextensions.k8s.io", "CustomResourceDefinition") => {
            crate::definitions::complete(request.api, value);
            Ok(())
        }
        _ => match &served.custom {
            Some(custom) if custom.terminating && before.is_none() => Err(ApiError::new(
                http::StatusCode::METHOD_NOT_ALLOWED,
                "MethodNotAllowed",
                "create not allowed while custom resource definition is terminating",
            )),
            _ => Ok(()),
        },
    }
}

/// Checks an object that is valid.
pub(crate) fn check(request: &WriteRequest<'_>, before: Option<&Value>, value: &Value) -> Result<()> {
    match (request.served.group(), request.served.kind(), before) {
        ("", "PersistentVolumeClaim", Some(before)) if request.operation == Operation::Update => {
            classes::growth(request.api, before, value)
        }
        _ => Ok(()),
    }
}

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field].as_str().unwrap_or_default()
}

/// Checks the finished object against the quotas of its namespace. The caller keeps others from writing there
/// until this one is stored.
pub(crate) fn within_quota(
    request: &WriteRequest<'_>,
    quotas: &[Value],
    before: Option<&Value>,
    value: &Value,
) -> Result<()> {
    match quota::refusal(&request.api.store, request.served, quotas, before, value) {
        None => Ok(()),
        Some(why) => Err(refused(request, value, why)),
    }
}

fn refused(request: &WriteRequest<'_>, value: &Value, why: impl std::fmt::Display) -> ApiError {
    let name = text(&value["metadata"], "name");
    ApiError::forbidden(request.served.group(), request.served.plural(), name, why)
}

fn within_limits(request: &WriteRequest<'_>, value: &Value, found: Vec<String>) -> Result<()> {
    match found.as_slice() {
        [] => Ok(()),
        [one] => Err(refused(request, value, one)),
        many => Err(refused(request, value, format!("[{}]", many.join(", ")))),
    }
}

/// Pod Security as the namespace's labels ask: enforced for pods, said as a warning for what makes pods.
fn pod_security(request: &WriteRequest<'_>, value: &Value) -> Result<()> {
    use pod_security::{Level, violation};
    let namespace = text(&value["metadata"], "namespace");
    let Some(entry) = request.api.store.get(NAMESPACES, &ObjectKey::new("", namespace)) else {
        return Ok(());
    };
    let label =
        |name: &str| entry.meta.labels.get(&format!("pod-security.kubernetes.io/{name}")).map(String::as_str);
    let version = |mode: &str| label(&format!("{mode}-version")).unwrap_or("latest").to_owned();
    let is_pod = request.served.kind() == "Pod";
    let pod = match request.served.kind() {
        "Pod" => value,
        "PodTemplate" => &value["template"],
        "CronJob" => &value["spec"]["jobTemplate"]["spec"]["template"],
        _ => &value["spec"]["template"],
    };
    let (metadata, spec) = (&pod["metadata"], &pod["spec"]);
    if is_pod && let Some(found) = violation(Level::of(label("enforce")), &version("enforce"), metadata, spec)
    {
        return Err(refused(request, value, format!("violates {found}")));
    }
    if let Some(found) = violation(Level::of(label("warn")), &version("warn"), metadata, spec) {
        request.warnings.lock().push(format!("would violate {found}"));
    }
    Ok(())
}

/// On namespaces of a copy: which one's they are.
const COPY_LABEL: &str = "seaway.dev/copy-name";

/// In a namespace of a copy no Secret gets a token that never ends, and that outlives what its owner may have: what
/// `seaway install` asks of other clusters by a ValidatingAdmissionPolicy.
fn no_endless_token(request: &WriteRequest<'_>, value: &Value) -> Result<()> {
    if value["type"] != crate::controllers::TOKEN_SECRET {
        return Ok(());
    }
    let namespace = ObjectKey::new("", text(&value["metadata"], "namespace"));
    let is_copy = request
        .api
        .store
        .get(NAMESPACES, &namespace)
        .is_some_and(|entry| entry.meta.labels.contains_key(COPY_LABEL));
    match is_copy {
        true => Err(refused(
            request,
            value,
            "a copy has no tokens that never end: ask for one by `kubectl create token`",
        )),
        false => Ok(()),
    }
}

/// The images of a pod's containers.
fn images(pod: &Value) -> Vec<&Value> {
    ["initContainers", "containers"]
        .into_iter()
        .flat_map(|list| pod["spec"][list].as_array().into_iter().flatten())
        .map(|container| &container["image"])
        .collect()
}

/// New objects need a namespace that exists and is not going away. This says so before anything else is checked, and
/// to a dry run; what becomes of the namespace meanwhile, the store's writer sees.
fn namespace_exists(request: &WriteRequest<'_>, value: &Value) -> Result<()> {
    let served = request.served;
    if !served.resource.namespaced {
        return Ok(());
    }
    let namespace = text(&value["metadata"], "namespace");
    match request.api.store.get(NAMESPACES, &ObjectKey::new("", namespace)) {
        None => Err(ApiError::not_found("", "namespaces", namespace)),
        Some(entry) if entry.meta.deleting => {
            let name = text(&value["metadata"], "name");
            Err(ApiError::terminating(served.group(), served.plural(), name, namespace))
        }
        Some(_) => Ok(()),
    }
}

/// Gives a pod its ServiceAccount and, unless it opts out, a token volume.
fn service_account(api: &Api, value: &mut Value) -> Result<()> {
    let namespace = text(&value["metadata"], "namespace").to_owned();
    let spec = &mut value["spec"];
    if !spec.is_object() {
        return Ok(());
    }
    if text(spec, "serviceAccountName").is_empty() {
        spec["serviceAccountName"] = "default".into();
    }
    let name = text(spec, "serviceAccountName").to_owned();
    spec["serviceAccount"] = name.clone().into();
    let Some(account) = api.store.get("/serviceaccounts", &ObjectKey::new(namespace.as_str(), name.as_str()))
    else {
        let pod = text(&value["metadata"], "name");
        return Err(ApiError::forbidden(
            "",
            "pods",
            pod,
            format!(
                "error looking up service account {namespace}/{name}: serviceaccount \"{name}\" not found"
            ),
        ));
    };
    let account = account.value();
    if spec["imagePullSecrets"].as_array().is_none_or(Vec::is_empty)
        && let Some(secrets) = account["imagePullSecrets"].as_array().filter(|s| !s.is_empty())
    {
        spec["imagePullSecrets"] = secrets.clone().into();
    }
    let mounts = spec["automountServiceAccountToken"]
        .as_bool()
        .or(account["automountServiceAccountToken"].as_bool())
        .unwrap_or(true);
    if mounts {
        mount_token(spec);
    }
    Ok(())
}

const TOKEN_PATH: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

fn mount_token(spec: &mut Value) {
    let volume = format!("kube-api-access-{:05x}", rand::random_range(0..0xf_ffff_u32));
    let mut used = false;
    for list in ["initContainers", "containers"] {
        for container in spec[list].as_array_mut().into_iter().flatten() {
            let Some(container) = container.as_object_mut() else { continue };
            let mounts = container.entry("volumeMounts").or_insert_with(|| json!([]));
            let Some(mounts) = mounts.as_array_mut() else { continue };
            if mounts.iter().all(|m| m["mountPath"] != TOKEN_PATH) {
                mounts.push(json!({"name": volume, "mountPath": TOKEN_PATH, "readOnly": true}));
                used = true;
            }
        }
    }
    if !used {
        return;
    }
    let source = json!({"name": volume, "projected": {"defaultMode": 420, "sources": [
        {"serviceAccountToken": {"expirationSeconds": 3607, "path": "token"}},
        {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
        {"downwardAPI": {"items": [{"path": "namespace",
            "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}}]}},
    ]}});
    match spec["volumes"].as_array_mut() {
        Some(volumes) => volumes.push(source),
        None => spec["volumes"] = json!([source]),
    }
}

/// First and last address that Services get by themselves; the first few are reserved.
const SERVICE_RANGE: (Ipv4Addr, Ipv4Addr) = (Ipv4Addr::new(10, 96, 0, 16), Ipv4Addr::new(10, 96, 255, 254));

/// Gives a Service its cluster address and node ports, and keeps them on updates.
fn service_addresses(api: &Api, before: Option<&Value>, value: &mut Value) -> Result<()> {
    let kind = match text(&value["spec"], "type") {
        "" => "ClusterIP".to_owned(),
        kind => kind.to_owned(),
    };
    let namespace = text(&value["metadata"], "namespace").to_owned();
    let name = text(&value["metadata"], "name").to_owned();
    if kind == "ExternalName" {
        return Ok(());
    }
    if let Some(before) = before {
        for field in ["clusterIP", "clusterIPs"] {
            if value["spec"][field].is_null() || value["spec"][field] == "" {
                let kept = before["spec"][field].clone();
                if !kept.is_null() {
                    value["spec"][field] = kept;
                }
            }
        }
    }
    let others: Vec<Value> = api
        .store
        .all("/services", None)
        .iter()
        .filter(|e| e.key != ObjectKey::new(namespace.as_str(), name.as_str()))
        .map(|e| e.value())
        .collect();
    if text(&value["spec"], "clusterIP").is_empty() {
        let used = |ip: &str| others.iter().any(|o| o["spec"]["clusterIP"] == ip);
        let (first, last) = (u32::from(SERVICE_RANGE.0), u32::from(SERVICE_RANGE.1));
        // Random first, so that two requests at the same time rarely choose the same.
        let start = rand::random_range(first..=last);
        let free =
            (start..=last).chain(first..start).map(|n| Ipv4Addr::from(n).to_string()).find(|ip| !used(ip));
        let Some(free) = free else {
            return Err(ApiError::internal("failed to allocate a serviceIP: range is full"));
        };
        value["spec"]["clusterIP"] = free.into();
    } else if let ip = text(&value["spec"], "clusterIP").to_owned()
        && ip != "None"
        && before.is_none_or(|before| before["spec"]["clusterIP"] != ip.as_str())
    {
        let why = match ip.parse::<Ipv4Addr>() {
            // What is no address is the validation's to say.
            Err(_) => None,
            Ok(address) if address.octets()[..2] != SERVICE_RANGE.0.octets()[..2] => Some(format!(
                "the provided IP ({ip}) is not in the valid range. The range of valid IPs is {CLUSTER_IPS}"
            )),
            Ok(_) if others.iter().any(|o| o["spec"]["clusterIP"] == ip.as_str()) => {
                Some("provided IP is already allocated".to_owned())
            }
            Ok(_) => None,
        };
        if let Some(why) = why {
            let message = format!("Invalid value: [\"{ip}\"]: failed to allocate IP {ip}: {why}");
            let cause = Cause { reason: "FieldValueInvalid", message, field: "spec.clusterIPs".into() };
            return Err(ApiError::invalid("", "Service", &name, vec![cause]));
        }
    }
    if value["spec"]["clusterIPs"].as_array().is_none_or(Vec::is_empty) {
        value["spec"]["clusterIPs"] = json!([value["spec"]["clusterIP"]]);
    }
    if matches!(kind.as_str(), "NodePort" | "LoadBalancer") {
        let refused = node_ports(&others, before, value);
        if !refused.is_empty() {
            return Err(ApiError::invalid("", "Service", &name, refused));
        }
    }
    health_check_port(&others, before, value, &kind)
}

/// Where a load balancer asks whether a node has endpoints, which counts when only these get traffic.
fn health_check_port(others: &[Value], before: Option<&Value>, value: &mut Value, kind: &str) -> Result<()> {
    let asked = |kind: &str, service: &Value| {
        kind == "LoadBalancer" && service["spec"]["externalTrafficPolicy"] == "Local"
    };
    let port = |service: &Value| service["spec"]["healthCheckNodePort"].as_i64().filter(|port| *port != 0);
    let had = before.and_then(port);
    if !asked(kind, value) {
        // It goes with what it was for, unless the request sets another one.
        if before.is_some_and(|before| asked(text(&before["spec"], "type"), before))
            && port(value) == had
            && let Some(spec) = value["spec"].as_object_mut()
        {
            spec.remove("healthCheckNodePort");
        }
        return Ok(());
    }
    let mut used: Vec<i64> = others.iter().flat_map(node_ports_of).collect();
    let own = value["spec"]["ports"].as_array().into_iter().flatten();
    used.extend(own.filter_map(|port| port["nodePort"].as_i64()));
    let refuse = |port: i64, why: &str| {
        Err(ApiError::internal(format!("failed to allocate requested HealthCheck NodePort {port}: {why}")))
    };
    match port(value) {
        Some(port) if had == Some(port) => {}
        Some(port) if used.contains(&port) => return refuse(port, "provided port is already allocated"),
        // What is no port at all is the validation's to say.
        Some(port) if (1..=65_535).contains(&port) && !(NODE_PORTS.0..=NODE_PORTS.1).contains(&port) => {
            let (first, last) = NODE_PORTS;
            let range = format!("The range of valid ports is {first}-{last}");
            return refuse(port, &format!("provided port is not in the valid range. {range}"));
        }
        Some(_) => {}
        None => {
            let free = had.or_else(|| (NODE_PORTS.0..=NODE_PORTS.1).find(|port| !used.contains(port)));
            if let Some(port) = free {
                value["spec"]["healthCheckNodePort"] = port.into();
            }
        }
    }
    Ok(())
}

/// The ports of the node that a Service has, for itself and for its health.
fn node_ports_of(service: &Value) -> Vec<i64> {
    let ports = service["spec"]["ports"].as_array().into_iter().flatten();
    let health = service["spec"]["healthCheckNodePort"].as_i64();
    ports.filter_map(|port| port["nodePort"].as_i64()).chain(health).filter(|port| *port != 0).collect()
}

/// Gives ports of the node to those that have none, and refuses those that cannot be had.
fn node_ports(others: &[Value], before: Option<&Value>, value: &mut Value) -> Vec<Cause> {
    let ports_of = |v: &Value| -> Vec<i64> {
        v["spec"]["ports"].as_array().into_iter().flatten().filter_map(|p| p["nodePort"].as_i64()).collect()
    };
    let mut used: Vec<i64> = others.iter().flat_map(node_ports_of).collect();
    let mut refused = vec![];
    for (index, port) in value["spec"]["ports"].as_array().into_iter().flatten().enumerate() {
        // What it had before, however it came to it, is no news.
        let had = before.map(ports_of).unwrap_or_default();
        let asked = port["nodePort"].as_i64().filter(|number| *number != 0 && !had.contains(number));
        let Some(number) = asked else { continue };
        // Whether it is in the range is the validation's to say.
        if used.contains(&number) {
            refused.push(Cause {
                reason: "FieldValueInvalid",
                message: format!("Invalid value: {number}: provided port is already allocated"),
                field: format!("spec.ports[{index}].nodePort"),
            });
        }
    }
    used.extend(node_ports_of(value));
    let old = before.map(|b| b["spec"]["ports"].as_array().cloned().unwrap_or_default()).unwrap_or_default();
    for port in value["spec"]["ports"].as_array_mut().into_iter().flatten() {
        if port["nodePort"].as_i64().is_some_and(|p| p > 0) {
            continue;
        }
        let kept = old.iter().find(|o| o["port"] == port["port"] && o["protocol"] == port["protocol"]);
        let number = kept
            .and_then(|o| o["nodePort"].as_i64())
            .filter(|p| *p > 0)
            .or_else(|| (NODE_PORTS.0..=NODE_PORTS.1).find(|p| !used.contains(p)));
        if let Some(number) = number {
            used.push(number);
            port["nodePort"] = number.into();
        }
    }
    refused
}

/// Nobody gives away rights that he does not have.
fn escalation(request: &WriteRequest<'_>, before: Option<&Value>, value: &Value) -> Result<()> {
    let (api, user) = (request.api, request.identity);
    if user.is_master() {
        return Ok(());
    }
    let served = request.served;
    let namespace = text(&value["metadata"], "namespace");
    let name = text(&value["metadata"], "name");
    let may = |verb: &str, plural: &str, name: &str| {
        let attributes = Attributes {
            verb: verb.into(),
            group: rbac::GROUP.into(),
            resource: plural.into(),
            namespace: namespace.into(),
            name: name.into(),
            path: None,
        };
        api.authorizer.allowed(user, &attributes)
    };
    let wanted = match served.kind() {
        "ClusterRole" | "Role" => {
            if before.is_some_and(|b| {
                b["rules"] == value["rules"] && b["aggregationRule"] == value["aggregationRule"]
            }) || may("escalate", served.plural(), name)
            {
                return Ok(());
            }
            let mut wanted = rbac::rules(value);
            // What an aggregated role will collect is not known: who makes one must hold everything.
            if value["aggregationRule"].is_object() {
                wanted.extend(rbac::everything());
            }
            wanted
        }
        _ => {
            if before.is_some_and(|b| b["subjects"] == value["subjects"]) {
                return Ok(());
            }
            let Ok(role) = serde_json::from_value::<RoleRef>(value["roleRef"].clone()) else { return Ok(()) };
            let plural = if role.kind == "ClusterRole" { "clusterroles" } else { "roles" };
            if may("bind", plural, &role.name) {
                return Ok(());
            }
            api.authorizer
                .role_rules(namespace, &role)
                .ok_or_else(|| ApiError::not_found(rbac::GROUP, plural, &role.name))?
        }
    };
    let refuse = |why: String| Err(ApiError::forbidden(served.group(), served.plural(), name, why));
    match api.authorizer.missing(user, namespace, &wanted) {
        Ok(missing) if missing.is_empty() => Ok(()),
        Ok(missing) => {
            let mut list: Vec<String> = missing.iter().map(ToString::to_string).collect();
            if list.len() == rbac::MISSING_TOLD {
                list.push("…".into());
            }
            refuse(format!(
                "user \"{}\" (groups={:?}) is attempting to grant RBAC permissions not currently held:\n{}",
                user.name,
                user.groups,
                list.join("\n")
            ))
        }
        Err(too_many) => refuse(too_many.to_string()),
    }
}
