//! The EndpointSlices of one Service: a pure function of what is observed.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{ObjectReference, Pod, Service, ServicePort};
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointConditions, EndpointPort, EndpointSlice};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::ResourceExt;

use crate::owners;
use crate::pods;
use crate::template;

pub(super) const SERVICE_NAME: &str = "kubernetes.io/service-name";
pub(super) const MANAGED_BY: &str = "endpointslice.kubernetes.io/managed-by";
pub(super) const MANAGER: &str = "endpointslice-controller.k8s.io";
pub(super) const HEADLESS: &str = "service.kubernetes.io/headless";

/// Addresses in one slice.
const MOST: usize = 100;

#[derive(Debug, Default)]
pub(super) struct Plan {
    pub(super) create: Vec<EndpointSlice>,
    pub(super) update: Vec<EndpointSlice>,
    pub(super) delete: Vec<Arc<EndpointSlice>>,
}

/// Whether the Service's selector means the pod. A Service without a selector means none.
pub(super) fn selects(service: &Service, pod: &Pod) -> bool {
    let Some(selector) = service.spec.as_ref().and_then(|s| s.selector.as_ref()) else { return false };
    !selector.is_empty() && selector.iter().all(|(key, value)| pod.labels().get(key) == Some(value))
}

/// Plans for a Service, the pods of its namespace and the slices that were made for it before. `None` when
/// somebody else is to make them: there is no selector.
pub(super) fn plan(service: &Service, all: &[Arc<Pod>], slices: &[Arc<EndpointSlice>]) -> Option<Plan> {
    let spec = service.spec.as_ref()?;
    let mut plan = Plan::default();
    if spec.type_.as_deref() == Some("ExternalName") {
        plan.delete = slices.to_vec();
        return Some(plan);
    }
    spec.selector.as_ref().filter(|s| !s.is_empty())?;
    let selected: Vec<&Pod> = all.iter().map(|p| &**p).filter(|p| selects(service, p)).collect();
    let families = spec.ip_families.clone().filter(|f| !f.is_empty()).unwrap_or_else(|| vec!["IPv4".into()]);
    for family in &families {
        let (mine, groups): (Vec<_>, _) = (
            slices.iter().filter(|s| s.address_type == *family).cloned().collect(),
            groups(service, family, &selected),
        );
        arrange(service, family, groups, mine, &mut plan);
    }
    let stale = slices.iter().filter(|s| !families.contains(&s.address_type));
    plan.delete.extend(stale.cloned());
    Some(plan)
}

/// Addresses with the same ports, by the name of their pod.
struct Group {
    ports: Vec<EndpointPort>,
    endpoints: BTreeMap<String, Endpoint>,
}

fn groups(service: &Service, family: &str, selected: &[&Pod]) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    for pod in selected {
        let Some(endpoint) = endpoint(service, family, pod) else { continue };
        let ports = ports(service, pod);
        let name = pod.name_any();
        match groups.iter_mut().find(|g| g.ports == ports) {
            Some(group) => drop(group.endpoints.insert(name, endpoint)),
            None => groups.push(Group { ports, endpoints: [(name, endpoint)].into() }),
        }
    }
    if groups.is_empty() {
        // A slice without addresses says that there is nobody, not that nobody looked.
        groups.push(Group { ports: Vec::new(), endpoints: BTreeMap::new() });
    }
    groups
}

fn endpoint(service: &Service, family: &str, pod: &Pod) -> Option<Endpoint> {
    if pods::is_finished(pod) {
        return None;
    }
    let address = address(pod, family)?;
    let spec = service.spec.as_ref()?;
    let (serving, terminating) = (pods::is_ready(pod), pods::is_terminating(pod));
    let publishes = spec.publish_not_ready_addresses == Some(true);
    Some(Endpoint {
        addresses: vec![address],
        conditions: Some(EndpointConditions {
            ready: Some(publishes || (serving && !terminating)),
            serving: Some(serving),
            terminating: Some(terminating),
        }),
        hostname: hostname(service, pod),
        node_name: pod.spec.as_ref().and_then(|s| s.node_name.clone()),
        target_ref: Some(ObjectReference {
            kind: Some("Pod".into()),
            namespace: pod.namespace(),
            name: Some(pod.name_any()),
            uid: pod.uid(),
            ..ObjectReference::default()
        }),
        ..Endpoint::default()
    })
}

/// The pod's address of a family.
pub(super) fn address(pod: &Pod, family: &str) -> Option<String> {
    let status = pod.status.as_ref()?;
    let listed = status.pod_ips.iter().flatten().map(|ip| ip.ip.as_str());
    let mut all = listed.chain(status.pod_ip.as_deref());
    let found = all.find(|ip| match ip.parse() {
        Ok(IpAddr::V4(_)) => family == "IPv4",
        Ok(IpAddr::V6(_)) => family == "IPv6",
        Err(_) => false,
    });
    found.map(str::to_owned)
}

/// The name that the pod has below a headless Service.
pub(super) fn hostname(service: &Service, pod: &Pod) -> Option<String> {
    let spec = pod.spec.as_ref()?;
    let fits = spec.subdomain.as_deref() == Some(&*service.name_any());
    spec.hostname.clone().filter(|hostname| fits && !hostname.is_empty())
}

fn ports(service: &Service, pod: &Pod) -> Vec<EndpointPort> {
    let ports = service.spec.iter().flat_map(|s| s.ports.iter().flatten());
    ports
        .filter_map(|port| {
            Some(EndpointPort {
                // The empty name is said, so that it can be told from "any".
                name: Some(port.name.clone().unwrap_or_default()),
                protocol: Some(port.protocol.clone().unwrap_or_else(|| "TCP".into())),
                port: Some(target(port, pod)?),
                app_protocol: port.app_protocol.clone(),
            })
        })
        .collect()
}

/// The pod's number for a Service's port; a name that the pod does not know has none.
pub(super) fn target(port: &ServicePort, pod: &Pod) -> Option<i32> {
    let name = match &port.target_port {
        None => return Some(port.port),
        Some(IntOrString::Int(0)) => return Some(port.port),
        Some(IntOrString::Int(number)) => return Some(*number),
        Some(IntOrString::String(name)) => name,
    };
    let protocol = port.protocol.as_deref().unwrap_or("TCP");
    let spec = pod.spec.as_ref()?;
    let sidecars = spec.init_containers.iter().flatten();
    let sidecars = sidecars.filter(|c| c.restart_policy.as_deref() == Some("Always"));
    let ports = spec.containers.iter().chain(sidecars).flat_map(|c| c.ports.iter().flatten());
    let mut named = ports.filter(|p| p.name.as_deref() == Some(name));
    named.find(|p| p.protocol.as_deref().unwrap_or("TCP") == protocol).map(|p| p.container_port)
}

/// Puts groups into slices: each address stays in the slice it is in, others go where there is room.
fn arrange(
    service: &Service,
    family: &str,
    groups: Vec<Group>,
    mut slices: Vec<Arc<EndpointSlice>>,
    plan: &mut Plan,
) {
    let mut missing: Vec<(Vec<EndpointPort>, Vec<Endpoint>)> = Vec::new();
    for mut group in groups {
        let ports = Some(group.ports.clone()).filter(|p| !p.is_empty());
        let fits = |s: &Arc<EndpointSlice>| s.ports.clone().filter(|p| !p.is_empty()) == ports;
        let (fitting, rest): (Vec<_>, Vec<_>) = slices.into_iter().partition(fits);
        slices = rest;
        let mut kept: Vec<(Arc<EndpointSlice>, Vec<Endpoint>)> = Vec::new();
        for slice in fitting {
            let names = slice.endpoints.iter().flatten().filter_map(|e| e.target_ref.as_ref()?.name.clone());
            let stay: Vec<Endpoint> = names.filter_map(|name| group.endpoints.remove(&name)).collect();
            kept.push((slice, stay));
        }
        let mut homeless = group.endpoints.into_values();
        for (_, endpoints) in &mut kept {
            let room = MOST.saturating_sub(endpoints.len());
            endpoints.extend(homeless.by_ref().take(room));
        }
        let homeless: Vec<Endpoint> = homeless.collect();
        // One slice stays although it is empty, when there is no other.
        let mut some = !homeless.is_empty();
        for (slice, endpoints) in kept {
            if endpoints.is_empty() && some {
                slices.push(slice);
            } else {
                some = true;
                let wanted = shape(service, family, &group.ports, endpoints);
                if let Some(update) = difference(&slice, wanted) {
                    plan.update.push(update);
                }
            }
        }
        if homeless.is_empty() && !some {
            missing.push((group.ports.clone(), Vec::new()));
        }
        missing.extend(homeless.chunks(MOST).map(|chunk| (group.ports.clone(), chunk.to_vec())));
    }
    // What is not needed any more becomes what is missing.
    let mut spare = slices.into_iter();
    for (ports, endpoints) in missing {
        let wanted = shape(service, family, &ports, endpoints);
        match spare.next() {
            None => plan.create.push(wanted),
            Some(slice) => plan.update.extend(difference(&slice, wanted)),
        }
    }
    plan.delete.extend(spare);
}

fn shape(service: &Service, family: &str, ports: &[EndpointPort], endpoints: Vec<Endpoint>) -> EndpointSlice {
    let mut labels = service.labels().clone();
    labels.insert(SERVICE_NAME.into(), service.name_any());
    labels.insert(MANAGED_BY.into(), MANAGER.into());
    if service.spec.as_ref().and_then(|s| s.cluster_ip.as_deref()) == Some("None") {
        labels.insert(HEADLESS.into(), String::new());
    } else {
        labels.remove(HEADLESS);
    }
    EndpointSlice {
        metadata: ObjectMeta {
            generate_name: Some(template::prefix(&service.name_any())),
            namespace: service.namespace(),
            labels: Some(labels),
            owner_references: Some(vec![owners::controller_ref(service)]),
            ..ObjectMeta::default()
        },
        address_type: family.to_owned(),
        endpoints: Some(endpoints),
        ports: (!ports.is_empty()).then(|| ports.to_vec()),
    }
}

/// The slice as it should be, when it is not so.
fn difference(slice: &Arc<EndpointSlice>, wanted: EndpointSlice) -> Option<EndpointSlice> {
    let by_pod = |endpoints: &Option<Vec<Endpoint>>| -> HashMap<Option<String>, Endpoint> {
        let name = |e: &Endpoint| e.target_ref.as_ref().and_then(|t| t.name.clone());
        endpoints.iter().flatten().map(|e| (name(e), e.clone())).collect()
    };
    let same = by_pod(&slice.endpoints) == by_pod(&wanted.endpoints)
        && slice.ports.clone().filter(|p| !p.is_empty()) == wanted.ports
        && slice.metadata.labels == wanted.metadata.labels
        && slice.metadata.owner_references == wanted.metadata.owner_references;
    if same {
        return None;
    }
    let mut metadata = slice.metadata.clone();
    metadata.labels = wanted.metadata.labels;
    metadata.owner_references = wanted.metadata.owner_references;
    Some(EndpointSlice { metadata, ..wanted })
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
