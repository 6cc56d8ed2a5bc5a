//! Reads from the Kubernetes API as the person who asks: what may not be read is not shown.

use kube::api::ListParams;
use kube::core::Request;
use seaway_sync::plan::ObjectRef;
use serde_json::Value;

use crate::problem::Problem;

/// Objects of one kind in one namespace beyond these are not read for a page.
const LARGEST_LIST: u32 = 5000;

/// A kind that is read in lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Listed {
    pub(crate) api_version: &'static str,
    pub(crate) plural: &'static str,
    pub(crate) kind: &'static str,
}

pub(crate) const PODS: Listed = Listed { api_version: "v1", plural: "pods", kind: "Pod" };
pub(crate) const REPLICA_SETS: Listed =
    Listed { api_version: "apps/v1", plural: "replicasets", kind: "ReplicaSet" };
pub(crate) const JOBS: Listed = Listed { api_version: "batch/v1", plural: "jobs", kind: "Job" };
pub(crate) const ENDPOINT_SLICES: Listed =
    Listed { api_version: "discovery.k8s.io/v1", plural: "endpointslices", kind: "EndpointSlice" };
const EVENTS: Listed = Listed { api_version: "v1", plural: "events", kind: "Event" };

fn root(api_version: &str) -> String {
    match api_version.contains('/') {
        true => format!("/apis/{api_version}"),
        false => format!("/api/{api_version}"),
    }
}

/// The objects of a kind in a namespace; `None` when the person may not list them.
///
/// # Errors
/// When the API does not answer.
pub(crate) async fn list(
    client: &kube::Client,
    what: Listed,
    namespace: &str,
    fields: Option<&str>,
) -> Result<Option<Vec<Value>>, Problem> {
    let Listed { api_version, plural, kind } = what;
    let mut parameters = ListParams::default().limit(LARGEST_LIST);
    parameters.field_selector = fields.map(str::to_owned);
    let request = Request::new(format!("{}/namespaces/{namespace}/{plural}", root(api_version)))
        .list(&parameters)
        .map_err(|error| Problem::bad_request(error.to_string()))?;
    match client.request::<Value>(request).await {
        Ok(mut answer) => {
            let items = answer["items"].as_array_mut().map(std::mem::take).unwrap_or_default();
            // Elements of a list do not say what they are.
            let typed = items.into_iter().map(|mut item| {
                item["apiVersion"] = api_version.into();
                item["kind"] = kind.into();
                item
            });
            Ok(Some(typed.collect()))
        }
        Err(kube::Error::Api(status)) if matches!(status.code, 403 | 404) => Ok(None),
        Err(error) => Err(Problem::from_kubernetes(error)),
    }
}

/// The events about one object, or about all objects of a kind, in a namespace; none when they may not be read.
///
/// # Errors
/// When the API does not answer.
pub(crate) async fn events(
    client: &kube::Client,
    namespace: &str,
    fields: &str,
) -> Result<Vec<Value>, Problem> {
    Ok(list(client, EVENTS, namespace, Some(fields)).await?.unwrap_or_default())
}

/// One object as it is now; `None` when it is not there.
///
/// # Errors
/// When the person may not read it, or the API does not know its kind or does not answer.
pub(crate) async fn get(client: &kube::Client, object: &ObjectRef) -> Result<Option<Value>, Problem> {
    let api_version = object.gvk().api_version();
    let resources = match object.group.is_empty() {
        true => client.list_core_api_resources(&object.version).await,
        false => client.list_api_group_resources(&api_version).await,
    };
    let resources = resources.map_err(Problem::from_kubernetes)?.resources;
    let Some(known) = resources.into_iter().find(|r| r.kind == object.kind && !r.name.contains('/')) else {
        return Err(Problem::not_found(format!("the cluster does not know the kind {}", object.gvk())));
    };
    let path = match (&object.namespace, known.namespaced) {
        (Some(namespace), true) => format!("{}/namespaces/{namespace}/{}", root(&api_version), known.name),
        (None, false) => format!("{}/{}", root(&api_version), known.name),
        (None, true) => {
            return Err(Problem::bad_request(format!("{} lies in a namespace: name it", object.kind)));
        }
        (Some(_), false) => {
            return Err(Problem::bad_request(format!("{} lies in no namespace", object.kind)));
        }
    };
    let request = Request::new(path)
        .get(&object.name, &Default::default())
        .map_err(|error| Problem::bad_request(error.to_string()))?;
    match client.request::<Value>(request).await {
        Ok(value) => Ok(Some(value)),
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(None),
        Err(error) => Err(Problem::from_kubernetes(error)),
    }
}
