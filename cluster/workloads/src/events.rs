//! Events: what happened to which object, in Kubernetes' words; repetitions are counted.

use std::collections::HashMap;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Event, EventSource, ObjectReference};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Client, Resource, ResourceExt};
use serde_json::json;
use tokio::sync::mpsc;

use crate::clock::Clock;

/// Events that wait to be written; more are dropped, since work goes before words.
const WAITING: usize = 4096;
/// Events whose repetitions are recognised.
const REMEMBERED: usize = 4096;

/// Takes events; writing them never holds up a controller.
#[derive(Clone)]
pub(crate) struct Recorder {
    queue: mpsc::Sender<Record>,
    clock: Clock,
}

struct Record {
    component: &'static str,
    about: ObjectReference,
    kind: &'static str,
    reason: &'static str,
    message: String,
    at: Timestamp,
}

/// Who said what about which object.
type Identity = (&'static str, Option<String>, &'static str, String);

impl Recorder {
    /// A recorder, and the work of writing what it takes.
    pub(crate) fn new(client: Client, clock: Clock) -> (Self, impl Future<Output = ()> + Send + 'static) {
        let (queue, records) = mpsc::channel(WAITING);
        (Self { queue, clock }, write(client, records))
    }

    pub(crate) fn record<K: Resource<DynamicType = ()>>(
        &self,
        component: &'static str,
        object: &K,
        kind: &'static str,
        reason: &'static str,
        message: String,
    ) {
        let about = ObjectReference {
            api_version: Some(K::api_version(&()).into_owned()),
            kind: Some(K::kind(&()).into_owned()),
            namespace: object.namespace(),
            name: Some(object.name_any()),
            uid: object.uid(),
            resource_version: object.resource_version(),
            field_path: None,
        };
        let record = Record { component, about, kind, reason, message, at: self.clock.now() };
        if self.queue.try_send(record).is_err() {
            tracing::debug!(reason, "an event was dropped: too many are waiting");
        }
    }
}

async fn write(client: Client, mut records: mpsc::Receiver<Record>) {
    let mut known: HashMap<Identity, (String, i32)> = HashMap::new();
    while let Some(record) = records.recv().await {
        // Events about cluster-scoped objects live in the default namespace.
        let namespace = record.about.namespace.clone().unwrap_or_else(|| "default".to_owned());
        let api: Api<Event> = Api::namespaced(client.clone(), &namespace);
        let identity = (record.component, record.about.uid.clone(), record.reason, record.message.clone());
        if let Some((name, count)) = known.get_mut(&identity) {
            let patch = json!({"count": *count + 1, "lastTimestamp": Time(record.at)});
            let params =
                PatchParams { field_manager: Some(record.component.into()), ..PatchParams::default() };
            if api.patch(name, &params, &Patch::Merge(&patch)).await.is_ok() {
                *count += 1;
                continue;
            }
        }
        let event = event(&namespace, record);
        let params = PostParams { dry_run: false, field_manager: event.reporting_component.clone() };
        match api.create(&params, &event).await {
            Ok(made) => {
                if known.len() >= REMEMBERED {
                    known.clear();
                }
                known.insert(identity, (made.name_any(), 1));
            }
            Err(error) => tracing::debug!(%error, "an event could not be written"),
        }
    }
}

fn event(namespace: &str, record: Record) -> Event {
    let name = record.about.name.as_deref().unwrap_or_default();
    Event {
        metadata: ObjectMeta {
            namespace: Some(namespace.to_owned()),
            name: Some(format!("{name}.{:x}", record.at.as_nanosecond())),
            ..ObjectMeta::default()
        },
        reason: Some(record.reason.to_owned()),
        message: Some(record.message),
        type_: Some(record.kind.to_owned()),
        count: Some(1),
        first_timestamp: Some(Time(record.at)),
        last_timestamp: Some(Time(record.at)),
        source: Some(EventSource { component: Some(record.component.to_owned()), host: None }),
        reporting_component: Some(record.component.to_owned()),
        involved_object: record.about,
        ..Event::default()
    }
}
