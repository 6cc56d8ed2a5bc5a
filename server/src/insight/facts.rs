//! A few words about an object, for people who look at many.

use serde_json::Value;

/// Images beyond these are not named.
const MAX_IMAGES: usize = 3;

fn number(object: &Value, pointer: &str) -> i64 {
    object.pointer(pointer).and_then(Value::as_i64).unwrap_or_default()
}

fn text<'a>(object: &'a Value, pointer: &str) -> Option<&'a str> {
    object.pointer(pointer)?.as_str().filter(|text| !text.is_empty())
}

fn elements<'a>(object: &'a Value, pointer: &str) -> &'a [Value] {
    object.pointer(pointer).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

/// What is worth knowing of an object at a glance.
pub(crate) fn of(object: &Value) -> Vec<String> {
    let wanted = || object.pointer("/spec/replicas").and_then(Value::as_i64).unwrap_or(1);
    match object["kind"].as_str().unwrap_or_default() {
        "Deployment" | "StatefulSet" | "ReplicaSet" => {
            let ready = format!("{}/{} ready", number(object, "/status/readyReplicas"), wanted());
            [ready].into_iter().chain(images(object, "/spec/template/spec/containers")).collect()
        }
        "DaemonSet" => {
            let (ready, wanted) =
                (number(object, "/status/numberReady"), number(object, "/status/desiredNumberScheduled"));
            let ready = format!("{ready}/{wanted} ready");
            [ready].into_iter().chain(images(object, "/spec/template/spec/containers")).collect()
        }
        "Pod" => pod(object),
        "Service" => service(object),
        "PersistentVolumeClaim" => {
            let phase = text(object, "/status/phase").map(str::to_owned);
            phase.into_iter().chain(text(object, "/status/capacity/storage").map(str::to_owned)).collect()
        }
        "HTTPRoute" => elements(object, "/spec/hostnames")
            .iter()
            .filter_map(|host| host.as_str().map(str::to_owned))
            .collect(),
        "EndpointSlice" => {
            let endpoints = elements(object, "/endpoints");
            let ready = endpoints.iter().filter(|e| e["conditions"]["ready"] != false).count();
            vec![format!("{ready}/{} ready", endpoints.len())]
        }
        "Job" => {
            let wanted = object.pointer("/spec/completions").and_then(Value::as_i64).unwrap_or(1);
            vec![format!("{}/{wanted} completed", number(object, "/status/succeeded"))]
        }
        "ConfigMap" | "Secret" => {
            let keys = object["data"].as_object().map_or(0, |data| data.len());
            vec![format!("{keys} {}", if keys == 1 { "key" } else { "keys" })]
        }
        _ => Vec::new(),
    }
}

fn images(object: &Value, containers: &str) -> Vec<String> {
    let all = elements(object, containers).iter().filter_map(|container| container["image"].as_str());
    let mut images: Vec<String> = all.map(short_image).collect();
    images.dedup();
    images.truncate(MAX_IMAGES);
    images
}

/// The last part of an image's name, with its tag; a digest is cut.
pub(crate) fn short_image(image: &str) -> String {
    let name = image.rsplit('/').next().unwrap_or(image);
    match name.split_once("@sha256:") {
        Some((name, digest)) => format!("{name}@{}", digest.chars().take(8).collect::<String>()),
        None => name.to_owned(),
    }
}

fn pod(object: &Value) -> Vec<String> {
    let statuses = elements(object, "/status/containerStatuses");
    let ready = statuses.iter().filter(|status| status["ready"] == true).count();
    let containers = elements(object, "/spec/containers").len();
    let mut facts = vec![format!("{ready}/{containers} ready")];
    facts.extend(text(object, "/status/phase").map(str::to_owned));
    let restarts: i64 = statuses.iter().map(|status| number(status, "/restartCount")).sum();
    if restarts > 0 {
        facts.push(format!("{restarts} {}", if restarts == 1 { "restart" } else { "restarts" }));
    }
    facts.extend(images(object, "/spec/containers"));
    facts
}

fn service(object: &Value) -> Vec<String> {
    let kind = text(object, "/spec/type").unwrap_or("ClusterIP");
    let ports = elements(object, "/spec/ports").iter().map(|port| {
        let protocol = port["protocol"].as_str().unwrap_or("TCP");
        format!("{}/{protocol}", number(port, "/port"))
    });
    std::iter::once(kind.to_owned()).chain(ports).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_deployment_says_how_many_are_ready_and_of_which_image() {
        let object = json!({"kind": "Deployment", "spec": {"replicas": 2, "template": {"spec": {"containers": [
            {"image": "registry.example.com/shop/web:1.1"}]}}}, "status": {"readyReplicas": 1}});
        assert_eq!(of(&object), ["1/2 ready", "web:1.1"]);
    }

    #[test]
    fn a_pod_says_its_phase_and_restarts() {
        let object = json!({"kind": "Pod", "spec": {"containers": [{"image": "a@sha256:0123456789"}]},
            "status": {"phase": "Running", "containerStatuses": [{"ready": true, "restartCount": 3}]}});
        assert_eq!(of(&object), ["1/1 ready", "Running", "3 restarts", "a@01234567"]);
    }

    #[test]
    fn an_object_without_a_status_is_no_trouble() {
        for kind in
            ["Deployment", "DaemonSet", "Pod", "Service", "Job", "EndpointSlice", "HTTPRoute", "Other"]
        {
            of(&json!({"kind": kind}));
        }
        of(&json!(null));
    }
}
