//! The API behind all front doors: authenticate, authorize, then hand to the resource or the page.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response};
use http_body_util::{BodyExt, Limited};
use seaway_object::selector::FieldSelector;

use crate::authentication::{Authenticator, Peer, impersonation};
use crate::catalog::{Catalog, Served};
use crate::identity::Identity;
use crate::negotiation::{self, Body, Form};
use crate::rbac::{Attributes, Authorizer};
use crate::request::{self, Query, ResourcePath, Target};
use crate::status::{ApiError, Result};
use crate::store::{Entry, Store};

/// Largest request body, as kube-apiserver has it.
pub(crate) const BODY_LIMIT: usize = 3 * 1024 * 1024;

/// Everything a request can need.
pub(crate) struct Api {
    pub(crate) store: Store,
    pub(crate) catalog: Catalog,
    pub(crate) authenticator: Authenticator,
    pub(crate) authorizer: Authorizer,
    pub(crate) ca_pem: String,
    pub(crate) signer: crate::signer::Signer,
    /// Where logs and commands in containers are answered, once there is a node.
    pub(crate) node: std::sync::OnceLock<Arc<dyn crate::NodeStreams>>,
    pub(crate) stopping: tokio_util::sync::CancellationToken,
    pub(crate) metrics: crate::metrics::Metrics,
    /// What other parts of the process count, told beside it.
    pub(crate) more_metrics: std::sync::OnceLock<Box<dyn Fn() -> String + Send + Sync>>,
    /// Turns for writing in namespaces that have quotas.
    pub(crate) quota_turns: Turns,
    /// Turns for writing one object.
    pub(crate) object_turns: Turns,
    /// The turn for choosing addresses and ports of Services.
    pub(crate) service_turn: tokio::sync::Mutex<()>,
}

/// Locks that many names share.
pub(crate) type Turns = [tokio::sync::Mutex<()>; 64];

fn turn<'a>(turns: &'a Turns, name: &str) -> &'a tokio::sync::Mutex<()> {
    use std::hash::{DefaultHasher, Hash, Hasher};
    let mut hasher = DefaultHasher::new();
    name.hash(&mut hasher);
    &turns[usize::try_from(hasher.finish() % 64).unwrap_or(0)]
}

/// One request on a resource, after authorization.
pub(crate) struct Context {
    pub(crate) api: Arc<Api>,
    pub(crate) identity: Identity,
    pub(crate) served: Arc<Served>,
    pub(crate) method: Method,
    pub(crate) path: ResourcePath,
    pub(crate) query: Query,
    pub(crate) headers: HeaderMap,
    pub(crate) form: Form,
}

impl Context {
    /// Field manager of this request: as asked, or the client program's name.
    pub(crate) fn manager(&self) -> String {
        match self.query.get("fieldManager") {
            Some(name) => name.to_owned(),
            None => {
                let agent = self
                    .headers
                    .get(http::header::USER_AGENT)
                    .and_then(|v| v.to_str().ok())
                    .unwrap_or("unknown");
                agent.split('/').next().unwrap_or("unknown").chars().take(128).collect()
            }
        }
    }

    pub(crate) fn not_found(&self) -> ApiError {
        ApiError::not_found(self.served.group(), self.served.plural(), &self.path.name)
    }

    /// The object of the path as it is stored, if there is one.
    ///
    /// # Errors
    /// When it is there and cannot be read.
    pub(crate) fn stored(&self) -> Result<Option<Arc<Entry>>> {
        let found = self.api.store.get(&self.served.storage, &self.key());
        match found.as_ref().and_then(|entry| entry.unreadable.as_ref()) {
            None => Ok(found),
            Some(why) => {
                Err(ApiError::unreadable(self.served.group(), self.served.plural(), &self.path.name, why))
            }
        }
    }

    /// The same, of what must be there.
    pub(crate) fn present(&self) -> Result<Arc<Entry>> {
        self.stored()?.ok_or_else(|| self.not_found())
    }

    pub(crate) fn key(&self) -> crate::store::ObjectKey {
        crate::store::ObjectKey::new(self.namespace(), self.path.name.as_str())
    }

    /// Namespace of the object; empty for cluster-scoped ones (also for Namespaces themselves).
    pub(crate) fn namespace(&self) -> &str {
        if self.served.resource.namespaced { &self.path.namespace } else { "" }
    }
}

/// Media type of a request body without its parameters.
pub(crate) fn media_type(headers: &HeaderMap) -> &str {
    let value = headers.get(http::header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or("");
    value.split(';').next().unwrap_or("").trim()
}

/// Now, as Kubernetes writes times.
pub(crate) fn now() -> String {
    jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

impl Api {
    /// Who holds this is the only one to write in the namespace (and a few others).
    pub(crate) fn quota_turn(&self, namespace: &str) -> &tokio::sync::Mutex<()> {
        turn(&self.quota_turns, namespace)
    }

    /// Taken by those who lost a race for an object (and a few others), one after the other.
    pub(crate) fn object_turn(&self, name: &str) -> &tokio::sync::Mutex<()> {
        turn(&self.object_turns, name)
    }

    /// Answers one request.
    pub(crate) async fn serve<B>(self: &Arc<Self>, peer: Peer, request: Request<B>) -> Response<Body>
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let started = std::time::Instant::now();
        let method = request.method().clone();
        let mut response = match self.route(&peer, request).await {
            Ok(response) => response,
            Err(error) => negotiation::error(&error),
        };
        if method == Method::HEAD {
            // HTTP/2 takes a body here for a broken stream.
            *response.body_mut() = negotiation::empty();
        }
        self.metrics.observe(&method, response.status(), started.elapsed());
        response
    }

    async fn route<B>(self: &Arc<Self>, peer: &Peer, request: Request<B>) -> Result<Response<Body>>
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let (mut head, body) = request.into_parts();
        let query = Query::parse(head.uri.query());
        let identity = self.authenticator.authenticate(peer, &head.headers)?;
        let identity = self.impersonate(identity, &head.headers)?;
        let target = request::target(head.uri.path());
        let attributes = attributes(&head.method, head.uri.path(), &target, &query);
        if !self.authorizer.allowed(&identity, &attributes) {
            let resource = attributes.resource.split('/').next().unwrap_or_default();
            return Err(ApiError::forbidden(
                &attributes.group,
                resource,
                &attributes.name,
                attributes.refusal(&identity.name),
            ));
        }
        let path = match target {
            Target::Other => {
                return crate::pages::serve(self, &head.method, head.uri.path(), &head.headers, &query);
            }
            Target::Resource(path) => path,
        };
        let catalog = self.catalog.now();
        let Some(served) = catalog.find(&path.group, &path.version, &path.plural).cloned() else {
            // Of a group that is not built in there is not even an error object.
            if catalog.resources.iter().all(|s| s.group() != path.group || s.custom.is_some()) {
                return Ok(negotiation::raw(
                    http::StatusCode::NOT_FOUND,
                    "text/plain; charset=utf-8",
                    "404 page not found\n",
                ));
            }
            return Err(ApiError::no_such_resource());
        };
        let form = negotiation::form(&head.headers)?;
        let context = Context {
            api: self.clone(),
            identity,
            served,
            method: head.method.clone(),
            path,
            query,
            headers: head.headers.clone(),
            form,
        };
        if matches!(context.path.subresource.as_str(), "exec" | "attach" | "portforward")
            && context.path.plural == "pods"
        {
            let Some(upgrade) = head.extensions.remove::<hyper::upgrade::OnUpgrade>() else {
                return Err(ApiError::bad_request("Upgrade request required"));
            };
            return match context.path.subresource.as_str() {
                "portforward" => crate::port_forward::upgrade(context, upgrade).await,
                _ => crate::streams::upgrade(context, upgrade).await,
            };
        }
        let body = match head.method {
            Method::GET | Method::HEAD => Bytes::new(),
            _ => read_body(body).await?,
        };
        let deprecation = context.served.custom.as_ref().and_then(|custom| custom.deprecation.clone());
        let mut response = crate::resources::dispatch(context, head.method, body).await?;
        negotiation::warn(&mut response, deprecation.as_slice());
        Ok(response)
    }

    fn impersonate(&self, identity: Identity, headers: &HeaderMap) -> Result<Identity> {
        let Some(wanted) = impersonation(headers)? else { return Ok(identity) };
        for (group, resource, namespace, name) in wanted.needs {
            let attributes = Attributes {
                verb: "impersonate".into(),
                group: group.into(),
                resource,
                namespace,
                name,
                path: None,
            };
            if !self.authorizer.allowed(&identity, &attributes) {
                let why = attributes.refusal(&identity.name);
                return Err(ApiError::forbidden(group, &attributes.resource, &attributes.name, why));
            }
        }
        tracing::debug!(by = %identity.name, as_user = %wanted.identity.name, "impersonation");
        Ok(wanted.identity)
    }
}

fn attributes(method: &Method, path: &str, target: &Target, query: &Query) -> Attributes {
    match target {
        Target::Other => {
            Attributes { verb: request::path_verb(method), path: Some(path.into()), ..Attributes::default() }
        }
        Target::Resource(p) => {
            let resource = if p.subresource.is_empty() {
                p.plural.clone()
            } else {
                format!("{}/{}", p.plural, p.subresource)
            };
            let verb = request::verb(method, p, query);
            let mut name = p.name.clone();
            // `metadata.name=x` narrows a list to what a rule with resourceNames allows.
            if matches!(verb, "list" | "watch" | "deletecollection")
                && name.is_empty()
                && let Some(Ok(selector)) = query.get("fieldSelector").map(str::parse::<FieldSelector>)
                && let Some(only) = selector.required("metadata.name")
            {
                name = only.to_owned();
            }
            Attributes {
                verb: verb.into(),
                group: p.group.clone(),
                resource,
                namespace: p.namespace.clone(),
                name,
                path: None,
            }
        }
    }
}

async fn read_body<B>(body: B) -> Result<Bytes>
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    match Limited::new(body, BODY_LIMIT).collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(e) if e.is::<http_body_util::LengthLimitError>() => Err(ApiError::too_large(BODY_LIMIT)),
        Err(e) => Err(ApiError::bad_request(format!("the request body could not be read: {e}"))),
    }
}
