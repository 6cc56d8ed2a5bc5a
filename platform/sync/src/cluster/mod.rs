//! The Kubernetes API as syncs use it: objects as plain values, of any kind that the cluster knows.

pub(crate) mod cache;
pub(crate) mod pace;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use kube::core::Request;
use kube::discovery::{ApiResource, Scope as DiscoveredScope};
use kube::{Client, Resource};
use parking_lot::Mutex;
use seaway_api::FIELD_MANAGER;
use seaway_merge::schema::{self, TypeRef};
use seaway_object::{GroupVersionKind, ObjectId};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::desired::Scope;
use crate::error::Error;
use crate::options::Propagation;

/// How long it is taken for granted that a custom kind has not changed.
const KIND_AGE: Duration = Duration::from_secs(300);

/// A kind that the cluster serves.
#[derive(Clone)]
pub(crate) struct Kind {
    pub(crate) resource: ApiResource,
    pub(crate) scope: Scope,
    pub(crate) schema: TypeRef,
}

/// The kinds that the cluster serves, looked up when they are first needed.
pub(crate) struct Kinds {
    client: Client,
    known: Mutex<HashMap<GroupVersionKind, (Arc<Kind>, Instant)>>,
}

impl Kinds {
    pub(crate) fn new(client: Client) -> Self {
        Self { client, known: Mutex::default() }
    }

    /// A kind; `None` when the cluster does not serve it.
    pub(crate) async fn get(&self, kind: &GroupVersionKind) -> Result<Option<Arc<Kind>>, kube::Error> {
        if let Some((found, since)) = self.known.lock().get(kind)
            && since.elapsed() < KIND_AGE
        {
            return Ok(Some(found.clone()));
        }
        let Some((resource, scope)) = self.discover(kind).await? else {
            self.known.lock().remove(kind);
            return Ok(None);
        };
        let schema = match schema::for_kind(&kind.group, &kind.version, &kind.kind) {
            Some(schema) => schema,
            None => self.custom_schema(kind, &resource).await.unwrap_or_else(schema::untyped),
        };
        let found = Arc::new(Kind { resource, scope, schema });
        self.known.lock().insert(kind.clone(), (found.clone(), Instant::now()));
        Ok(Some(found))
    }

    /// A kind that was looked up before.
    pub(crate) fn known(&self, kind: &GroupVersionKind) -> Option<Arc<Kind>> {
        self.known.lock().get(kind).map(|(kind, _)| kind.clone())
    }

    /// Definitions have changed: custom kinds are looked up anew.
    pub(crate) fn forget_custom(&self) {
        self.known
            .lock()
            .retain(|kind, _| schema::for_kind(&kind.group, &kind.version, &kind.kind).is_some());
    }

    async fn discover(&self, kind: &GroupVersionKind) -> Result<Option<(ApiResource, Scope)>, kube::Error> {
        let api_version = kind.api_version();
        let list = if kind.group.is_empty() {
            self.client.list_core_api_resources(&kind.version).await
        } else {
            self.client.list_api_group_resources(&api_version).await
        };
        let list = match list {
            Ok(list) => list,
            Err(kube::Error::Api(status)) if status.code == 404 => return Ok(None),
            Err(error) => return Err(error),
        };
        let found = list.resources.into_iter().find(|r| r.kind == kind.kind && !r.name.contains('/'));
        Ok(found.map(|found| {
            let scope = if found.namespaced { DiscoveredScope::Namespaced } else { DiscoveredScope::Cluster };
            let resource = ApiResource {
                group: kind.group.clone(),
                version: kind.version.clone(),
                api_version,
                kind: kind.kind.clone(),
                plural: found.name,
            };
            let scope = match scope {
                DiscoveredScope::Namespaced => Scope::Namespaced,
                DiscoveredScope::Cluster => Scope::Cluster,
            };
            (resource, scope)
        }))
    }

    /// The shape of a custom kind, from its definition.
    async fn custom_schema(&self, kind: &GroupVersionKind, resource: &ApiResource) -> Option<TypeRef> {
        let path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
        let name = format!("{}.{}", resource.plural, resource.group);
        let request = Request::new(path).get(&name, &Default::default()).ok()?;
        let definition: Value = self.client.request(request).await.ok()?;
        let versions = definition.pointer("/spec/versions")?.as_array()?;
        let version = versions.iter().find(|version| version["name"] == kind.version.as_str())?;
        schema::from_structural(version.pointer("/schema/openAPIV3Schema")?).ok()
    }
}

/// Pods of one workload that are looked at when it is waited for.
const PODS: u32 = 50;

/// Requests for objects, as one account.
#[derive(Clone)]
pub(crate) struct Objects {
    client: Client,
    /// Who is impersonated. A client of its own for each account would cost a task and a queue each.
    user: Option<http::HeaderValue>,
}

/// What an apply leads to.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// Fields that others own: each line of the API, and whether all of them were changed once and are not kept.
    Conflict { message: String, by_updates_only: bool },
    /// Anything else.
    Other(kube::Error),
}

impl Objects {
    pub(crate) fn new(client: Client) -> Self {
        Self { client, user: None }
    }

    /// As an account, which the client's own may impersonate.
    pub(crate) fn of_account(client: Client, user: &str) -> Result<Self, Error> {
        let user: http::HeaderValue = user
            .parse::<http::HeaderValue>()
            .map_err(|error| Error::Plan(format!("the account {user}: {error}")))?;
        Ok(Self { client, user: Some(user) })
    }

    async fn request<T: DeserializeOwned>(
        &self,
        mut request: http::Request<Vec<u8>>,
    ) -> Result<T, kube::Error> {
        if let Some(user) = &self.user {
            request.headers_mut().insert("impersonate-user", user.clone());
        }
        self.client.request(request).await
    }

    fn path(resource: &ApiResource, namespace: Option<&str>) -> String {
        kube::api::DynamicObject::url_path(resource, namespace)
    }

    pub(crate) async fn get(&self, kind: &Kind, id: &ObjectId) -> Result<Option<Value>, kube::Error> {
        let path = Self::path(&kind.resource, id.namespace.as_deref());
        let request =
            Request::new(path).get(&id.name, &Default::default()).map_err(kube::Error::BuildRequest)?;
        match self.request(request).await {
            Ok(object) => Ok(Some(object)),
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Some pods of a namespace that bear these labels.
    pub(crate) async fn pods(&self, namespace: &str, labels: &str) -> Result<Vec<Value>, kube::Error> {
        let params = kube::api::ListParams::default().labels(labels).limit(PODS);
        let pods = ApiResource::erase::<k8s_openapi::api::core::v1::Pod>(&());
        let request = Request::new(Self::path(&pods, Some(namespace)))
            .list(&params)
            .map_err(kube::Error::BuildRequest)?;
        let mut list: Value = self.request(request).await?;
        Ok(match list["items"].take() {
            Value::Array(items) => items,
            _ => Vec::new(),
        })
    }

    /// Server-side apply.
    pub(crate) async fn apply(
        &self,
        kind: &Kind,
        id: &ObjectId,
        value: &Value,
        dry_run: bool,
        force: bool,
    ) -> Result<Value, Refusal> {
        let params = PatchParams {
            dry_run,
            force,
            field_manager: Some(FIELD_MANAGER.to_owned()),
            field_validation: None,
        };
        let path = Self::path(&kind.resource, id.namespace.as_deref());
        let request = Request::new(path)
            .patch(&id.name, &params, &Patch::Apply(value))
            .map_err(|error| Refusal::Other(kube::Error::BuildRequest(error)))?;
        match self.request(request).await {
            Ok(object) => Ok(object),
            Err(kube::Error::Api(status)) if status.code == 409 => {
                let causes =
                    status.details.as_ref().map(|details| details.causes.as_slice()).unwrap_or_default();
                // Only owners by Update are printed with the version that they used.
                let by_updates_only =
                    !causes.is_empty() && causes.iter().all(|cause| cause.message.contains(" using "));
                if causes.is_empty() {
                    return Err(Refusal::Other(kube::Error::Api(status)));
                }
                Err(Refusal::Conflict { message: status.message.clone(), by_updates_only })
            }
            Err(error) => Err(Refusal::Other(error)),
        }
    }

    /// Replaces an object as a whole.
    pub(crate) async fn replace(
        &self,
        kind: &Kind,
        id: &ObjectId,
        value: &Value,
    ) -> Result<Value, kube::Error> {
        let params = PostParams { dry_run: false, field_manager: Some(FIELD_MANAGER.to_owned()) };
        let path = Self::path(&kind.resource, id.namespace.as_deref());
        let body = serde_json::to_vec(value).map_err(kube::Error::SerdeError)?;
        let request =
            Request::new(path).replace(&id.name, &params, body).map_err(kube::Error::BuildRequest)?;
        self.request(request).await
    }

    /// Deletes this very object; one that is gone, or another of the same name, is left alone. Whether it is gone.
    pub(crate) async fn delete(
        &self,
        kind: &Kind,
        id: &ObjectId,
        uid: Option<&str>,
        propagation: Propagation,
    ) -> Result<bool, kube::Error> {
        let mut params = match propagation {
            Propagation::Background => DeleteParams::background(),
            Propagation::Foreground => DeleteParams::foreground(),
            Propagation::Orphan => DeleteParams::orphan(),
        };
        if let Some(uid) = uid {
            params = params
                .preconditions(kube::api::Preconditions { uid: Some(uid.to_owned()), ..Default::default() });
        }
        let path = Self::path(&kind.resource, id.namespace.as_deref());
        let request = Request::new(path).delete(&id.name, &params).map_err(kube::Error::BuildRequest)?;
        match self.request::<Value>(request).await {
            // The object is answered where something still waits for its end, and otherwise a status.
            Ok(answer) => Ok(answer.pointer("/metadata/deletionTimestamp").is_none()),
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(true),
            // Another one has its name by now, or it is a namespace whose end has begun.
            Err(kube::Error::Api(status)) if status.code == 409 => {
                let found = self.get(kind, id).await?;
                Ok(found.is_none_or(|found| uid.is_some() && seaway_object::identity::uid(&found) != uid))
            }
            Err(error) => Err(error),
        }
    }
}
