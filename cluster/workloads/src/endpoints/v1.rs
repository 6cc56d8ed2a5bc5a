//! Service → Endpoints: the older form of what EndpointSlices say, for programs that still read it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::{
    EndpointAddress, EndpointPort, EndpointSubset, Endpoints, ObjectReference, Pod, Service,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::ResourceExt;

use super::matters;
use super::plan::{HEADLESS, address, hostname, selects, target};
use crate::cache::Key;
use crate::cluster::Cluster;
use crate::controller::{self, Reconcile, Tasks};
use crate::error::Error;
use crate::pods;
use crate::queue::Queue;
use crate::writer::Writer;

/// Who made it, so that what people make is left alone.
const MANAGED_BY: &str = "endpoints.kubernetes.io/managed-by";
const MANAGER: &str = "endpoint-controller";
/// Says that not all addresses are there.
const OVER_CAPACITY: &str = "endpoints.kubernetes.io/over-capacity";
/// Addresses in one object.
const MOST: usize = 1000;

pub(super) struct Mirror {
    writer: Writer,
}

pub(super) fn start(cluster: &Arc<Cluster>, tasks: &mut Tasks) {
    let queue = Arc::new(Queue::default());
    let wake = queue.clone();
    cluster.services.observe(move |before, after| {
        if let Some(service) = after.or(before) {
            wake.add(Key::of(service));
        }
    });
    let wake = queue.clone();
    cluster.endpoints.observe(move |before, after| {
        if let Some(endpoints) = after.or(before) {
            wake.add(Key::of(endpoints));
        }
    });
    let (wake, weak) = (queue.clone(), Arc::downgrade(cluster));
    cluster.pods.observe(move |before, after| {
        let (Some(cluster), true) = (weak.upgrade(), matters(before, after)) else { return };
        let namespace = after.or(before).and_then(ResourceExt::namespace).unwrap_or_default();
        for service in cluster.services.list(&namespace) {
            if before.into_iter().chain(after).any(|pod| selects(&service, pod)) {
                wake.add(Key::of::<Service>(&service));
            }
        }
    });
    let controller = Mirror { writer: Writer::new(cluster, Mirror::NAME) };
    controller::run(cluster, tasks, &queue, controller, 2);
}

impl Reconcile for Mirror {
    const NAME: &'static str = "endpoint-controller";

    async fn reconcile(&self, key: &Key) -> Result<Option<Duration>, Error> {
        let cluster = &self.writer.cluster;
        let present = cluster.endpoints.get(key);
        let wanted = match cluster.services.get(key) {
            None => {
                // Nothing owns it: it goes with its Service by its name.
                let ours = |e: &Arc<Endpoints>| e.labels().get(MANAGED_BY).is_some_and(|by| by == MANAGER);
                if let Some(present) = present.filter(ours) {
                    self.writer.delete(&*present).await?;
                }
                return Ok(None);
            }
            Some(service) if service.metadata.deletion_timestamp.is_some() => return Ok(None),
            Some(service) => endpoints(&service, &cluster.pods.list(&key.namespace)),
        };
        match (wanted, present) {
            (None, _) => {}
            (Some(wanted), None) => drop(self.writer.create(&wanted).await?),
            (Some(wanted), Some(present)) => {
                if let Some(update) = difference(&present, wanted) {
                    self.writer.replace(&update).await?;
                }
            }
        }
        Ok(None)
    }
}

/// The Endpoints of a Service; `None` when somebody else is to make them.
fn endpoints(service: &Service, all: &[Arc<Pod>]) -> Option<Endpoints> {
    let spec = service.spec.as_ref()?;
    if spec.type_.as_deref() == Some("ExternalName") {
        return None;
    }
    spec.selector.as_ref().filter(|selector| !selector.is_empty())?;
    let publishes = spec.publish_not_ready_addresses == Some(true);
    let family = spec.ip_families.iter().flatten().next().map_or("IPv4", String::as_str);
    let mut subsets: Vec<EndpointSubset> = Vec::new();
    let mut left = MOST;
    let mut truncated = false;
    let mut selected: Vec<&Pod> = all.iter().map(|pod| &**pod).filter(|pod| selects(service, pod)).collect();
    selected.sort_by_key(|pod| pod.name_any());
    for pod in selected {
        if pods::is_finished(pod) || (pods::is_terminating(pod) && !publishes) {
            continue;
        }
        let Some(address) = address(pod, family) else { continue };
        let ports = ports(service, pod);
        // Of ports that have names the pod may know none: then nobody answers there.
        if ports.is_empty() && spec.ports.iter().flatten().next().is_some() {
            continue;
        }
        if left == 0 {
            truncated = true;
            break;
        }
        left -= 1;
        let address = EndpointAddress {
            hostname: hostname(service, pod),
            ip: address,
            node_name: pod.spec.as_ref().and_then(|spec| spec.node_name.clone()),
            target_ref: Some(ObjectReference {
                kind: Some("Pod".into()),
                namespace: pod.namespace(),
                name: Some(pod.name_any()),
                uid: pod.uid(),
                ..ObjectReference::default()
            }),
        };
        let ports = (!ports.is_empty()).then_some(ports);
        let index = subsets.iter().position(|subset| subset.ports == ports).unwrap_or_else(|| {
            subsets.push(EndpointSubset { ports, ..EndpointSubset::default() });
            subsets.len() - 1
        });
        let subset = &mut subsets[index];
        let ready = publishes || pods::is_ready(pod);
        let list = if ready { &mut subset.addresses } else { &mut subset.not_ready_addresses };
        list.get_or_insert_default().push(address);
    }
    for subset in &mut subsets {
        for list in [&mut subset.addresses, &mut subset.not_ready_addresses] {
            list.iter_mut().for_each(|addresses| addresses.sort_by(|a, b| a.ip.cmp(&b.ip)));
        }
    }
    let mut labels: BTreeMap<String, String> = service.labels().clone();
    labels.insert(MANAGED_BY.into(), MANAGER.into());
    if spec.cluster_ip.as_deref() == Some("None") {
        labels.insert(HEADLESS.into(), String::new());
    } else {
        labels.remove(HEADLESS);
    }
    let annotations = truncated.then(|| [(OVER_CAPACITY.to_owned(), "truncated".to_owned())].into());
    Some(Endpoints {
        metadata: ObjectMeta {
            name: Some(service.name_any()),
            namespace: service.namespace(),
            labels: Some(labels),
            annotations,
            ..ObjectMeta::default()
        },
        subsets: (!subsets.is_empty()).then_some(subsets),
    })
}

fn ports(service: &Service, pod: &Pod) -> Vec<EndpointPort> {
    let ports = service.spec.iter().flat_map(|spec| spec.ports.iter().flatten());
    let known = ports.filter_map(|port| {
        Some(EndpointPort {
            name: port.name.clone().filter(|name| !name.is_empty()),
            port: target(port, pod)?,
            protocol: Some(port.protocol.clone().unwrap_or_else(|| "TCP".into())),
            app_protocol: port.app_protocol.clone(),
        })
    });
    known.collect()
}

/// The object as it should be, when it is not so. Annotations of others stay.
fn difference(present: &Arc<Endpoints>, wanted: Endpoints) -> Option<Endpoints> {
    let truncated = |e: &Endpoints| e.annotations().contains_key(OVER_CAPACITY);
    let same = present.subsets.iter().flatten().eq(wanted.subsets.iter().flatten())
        && present.metadata.labels == wanted.metadata.labels
        && truncated(present) == truncated(&wanted);
    if same {
        return None;
    }
    let mut metadata = present.metadata.clone();
    metadata.labels = wanted.metadata.labels;
    let annotations = metadata.annotations.get_or_insert_default();
    annotations.remove(OVER_CAPACITY);
    annotations.extend(wanted.metadata.annotations.unwrap_or_default());
    Some(Endpoints { metadata, subsets: wanted.subsets })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use serde_json::{Value, json};

    use super::*;

    fn service(change: Value) -> Service {
        let mut object = json!({"metadata": {"name": "web", "namespace": "shop", "labels": {"team": "a"}},
            "spec": {"selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": "http"}]}});
        for (field, value) in change.as_object().unwrap() {
            object["spec"][field] = value.clone();
        }
        serde_json::from_value(object).unwrap()
    }

    fn pod(name: &str, port: i32, change: Value) -> Arc<Pod> {
        let mut pod = json!({"metadata": {"name": name, "namespace": "shop", "uid": name, "labels": {"app": "web"}},
            "spec": {"nodeName": "here", "hostname": name, "subdomain": "web",
                     "containers": [{"name": "c", "ports": [{"name": "http", "containerPort": port}]}]},
            "status": {"phase": "Running", "podIP": format!("10.244.0.{}", name.len()),
                       "conditions": [{"type": "Ready", "status": "True"}]}});
        for (pointer, value) in change.as_object().unwrap() {
            let (parent, field) = pointer.rsplit_once('/').unwrap();
            pod.pointer_mut(parent).unwrap()[field] = value.clone();
        }
        Arc::new(serde_json::from_value(pod).unwrap())
    }

    fn shown(endpoints: &Endpoints) -> Value {
        serde_json::to_value(endpoints).unwrap()["subsets"].clone()
    }

    #[test]
    fn addresses_with_the_same_ports_stand_together_and_who_is_not_ready_apart() {
        let late = json!({"/status/conditions": [{"type": "Ready", "status": "False"}]});
        let pods = [
            pod("a", 8080, json!({})),
            pod("bb", 8080, late.clone()),
            pod("ccc", 9090, json!({})),
            pod("dddd", 8080, json!({"/metadata/deletionTimestamp": "2026-01-01T00:00:00Z"})),
            pod("eeeee", 8080, json!({"/status/phase": "Succeeded"})),
        ];
        let made = endpoints(&service(json!({})), &pods).unwrap();
        let address = |name: &str| {
            json!({"ip": format!("10.244.0.{}", name.len()), "hostname": name, "nodeName": "here",
                "targetRef": {"kind": "Pod", "namespace": "shop", "name": name, "uid": name}})
        };
        assert_eq!(
            shown(&made),
            json!([
                {"addresses": [address("a")], "notReadyAddresses": [address("bb")],
                 "ports": [{"port": 8080, "protocol": "TCP"}]},
                {"addresses": [address("ccc")], "ports": [{"port": 9090, "protocol": "TCP"}]},
            ])
        );
        assert_eq!(made.labels()["team"], "a");
        assert_eq!(made.labels()[MANAGED_BY], MANAGER);
        let published = endpoints(&service(json!({"publishNotReadyAddresses": true})), &pods).unwrap();
        assert_eq!(shown(&published)[0]["addresses"].as_array().unwrap().len(), 3);
        assert!(shown(&published)[0]["notReadyAddresses"].is_null());
    }

    #[test]
    fn a_service_without_a_selector_is_left_to_others_and_one_without_pods_has_no_subsets() {
        assert!(endpoints(&service(json!({"selector": null})), &[]).is_none());
        assert!(endpoints(&service(json!({"type": "ExternalName"})), &[]).is_none());
        assert!(endpoints(&service(json!({})), &[]).unwrap().subsets.is_none());
        let headless = endpoints(&service(json!({"clusterIP": "None"})), &[]).unwrap();
        assert_eq!(headless.labels()[HEADLESS], "");
    }

    #[test]
    fn what_is_as_it_should_be_is_not_written_and_notes_of_others_stay() {
        let made = endpoints(&service(json!({})), &[pod("a", 80, json!({}))]).unwrap();
        let mut present = made.clone();
        present.metadata.annotations = Some([("note".to_owned(), "mine".to_owned())].into());
        let present = Arc::new(present);
        assert!(difference(&present, made).is_none());
        let empty = endpoints(&service(json!({})), &[]).unwrap();
        let update = difference(&present, empty).unwrap();
        assert!(update.subsets.is_none() && update.annotations()["note"] == "mine");
    }
}
