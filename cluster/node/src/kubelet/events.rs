//! Events about pods. The same event again counts up instead of making another object.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Event, EventSource, ObjectReference, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use kube::api::{Api, Patch, PatchParams, PostParams};
use std::collections::HashMap;
use tokio::sync::mpsc;

/// Events that are remembered for counting.
const REMEMBERED: usize = 2048;

#[derive(Debug)]
struct Message {
    object: ObjectReference,
    warning: bool,
    reason: String,
    message: String,
    time: Timestamp,
}

/// Writes events in the background; a slow or missing API loses events, never time of a pod.
#[derive(Clone, Debug)]
pub(crate) struct Events(mpsc::Sender<Message>);

impl Events {
    pub(crate) fn start(client: kube::Client, node: String) -> Self {
        let (sender, mut queue) = mpsc::channel::<Message>(512);
        tokio::spawn(async move {
            let mut known: HashMap<String, (String, i32)> = HashMap::new();
            while let Some(message) = queue.recv().await {
                let namespace = message.object.namespace.clone().unwrap_or_else(|| "default".to_owned());
                let api: Api<Event> = Api::namespaced(client.clone(), &namespace);
                let key = format!(
                    "{}/{}/{}/{}",
                    message.object.uid.as_deref().unwrap_or_default(),
                    message.object.field_path.as_deref().unwrap_or_default(),
                    message.reason,
                    message.message
                );
                if let Some((name, count)) = known.get_mut(&key) {
                    *count += 1;
                    let patch = serde_json::json!({"count": *count, "lastTimestamp": Time(message.time)});
                    if api.patch(name, &PatchParams::default(), &Patch::Merge(patch)).await.is_ok() {
                        continue;
                    }
                }
                if known.len() >= REMEMBERED {
                    known.clear();
                }
                let event = event(message, &namespace, &node);
                let name = event.metadata.name.clone().unwrap_or_default();
                match api.create(&PostParams::default(), &event).await {
                    Ok(_) => {
                        known.insert(key, (name, 1));
                    }
                    Err(e) => tracing::debug!(error = %e, "an event is lost"),
                }
            }
        });
        Self(sender)
    }

    /// An event about a pod, or about one of its containers.
    pub(crate) fn pod(
        &self,
        pod: &Pod,
        container: Option<&str>,
        warning: bool,
        reason: &str,
        message: String,
    ) {
        let spec = pod.spec.as_ref();
        let is_init =
            |name: &str| spec.is_some_and(|s| s.init_containers.iter().flatten().any(|c| c.name == name));
        let is_ephemeral = |name: &str| {
            spec.is_some_and(|s| s.ephemeral_containers.iter().flatten().any(|c| c.name == name))
        };
        let object = ObjectReference {
            api_version: Some("v1".to_owned()),
            kind: Some("Pod".to_owned()),
            name: pod.metadata.name.clone(),
            namespace: pod.metadata.namespace.clone(),
            uid: pod.metadata.uid.clone(),
            resource_version: pod.metadata.resource_version.clone(),
            field_path: container.map(|name| {
                let list = match (is_init(name), is_ephemeral(name)) {
                    (true, _) => "initContainers",
                    (_, true) => "ephemeralContainers",
                    _ => "containers",
                };
                format!("spec.{list}{{{name}}}")
            }),
        };
        self.send(object, warning, reason, message);
    }

    /// An event about the node.
    pub(crate) fn node(&self, name: &str, warning: bool, reason: &str, message: String) {
        let object = ObjectReference {
            api_version: Some("v1".to_owned()),
            kind: Some("Node".to_owned()),
            name: Some(name.to_owned()),
            uid: Some(name.to_owned()),
            ..ObjectReference::default()
        };
        self.send(object, warning, reason, message);
    }

    fn send(&self, object: ObjectReference, warning: bool, reason: &str, mut message: String) {
        let mut end = message.len().min(1024);
        while !message.is_char_boundary(end) {
            end -= 1;
        }
        message.truncate(end);
        let message = Message { object, warning, reason: reason.to_owned(), message, time: Timestamp::now() };
        if self.0.try_send(message).is_err() {
            tracing::debug!(reason, "too many events; one is lost");
        }
    }
}

fn event(message: Message, namespace: &str, node: &str) -> Event {
    let unique = uuid::Uuid::new_v4().simple().to_string();
    let name = format!("{}.{}", message.object.name.as_deref().unwrap_or("node"), &unique[..16]);
    Event {
        metadata: ObjectMeta {
            name: Some(name),
            namespace: Some(namespace.to_owned()),
            ..ObjectMeta::default()
        },
        involved_object: message.object,
        reason: Some(message.reason),
        message: Some(message.message),
        type_: Some(if message.warning { "Warning" } else { "Normal" }.to_owned()),
        count: Some(1),
        first_timestamp: Some(Time(message.time)),
        last_timestamp: Some(Time(message.time)),
        source: Some(EventSource { component: Some("kubelet".to_owned()), host: Some(node.to_owned()) }),
        reporting_component: Some("kubelet".to_owned()),
        reporting_instance: Some(node.to_owned()),
        ..Event::default()
    }
}
