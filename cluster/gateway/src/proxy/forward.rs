//! The life of one request: find its rule, filter, choose a backend, send,
//! filter the response, count.

use std::sync::Arc;
use std::time::Instant;

use http::header::{CONNECTION, HOST, UPGRADE};
use http::request::Parts;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri, Version};
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;

use super::body::{BackendBody, RequestBody, ResponseBody};
use super::exchange::{Exchange, Failure, exchange};
use super::headers::{self, Client};
use super::live::Live;
use super::{Shared, answer, mirror, tunnel};
use crate::metrics::SeriesKey;
use crate::table::{Backend, Filters, Selected, host_of};

/// A protocol that the client wants to change to, with its end of the tunnel.
struct Upgrade {
    protocol: HeaderValue,
    client: OnUpgrade,
}

/// A response with what it counts for.
struct Reply {
    response: Response<ResponseBody>,
    backend: Option<usize>,
    revision: Option<Arc<str>>,
}

impl Reply {
    fn new(backend: Option<usize>, response: Response<ResponseBody>) -> Self {
        Self { response, backend, revision: None }
    }
}

/// What the requests of one connection have in common.
pub(super) struct Session {
    pub(super) shared: Arc<Shared>,
    pub(super) client: Client,
}

/// Answers one request.
pub(super) async fn respond(session: Arc<Session>, mut request: Request<Incoming>) -> Response<ResponseBody> {
    let started = Instant::now();
    let Session { shared, client } = &*session;
    let live = shared.live();
    let upgrade = headers::wanted_upgrade(&request)
        .map(|protocol| Upgrade { protocol, client: hyper::upgrade::on(&mut request) });
    let (head, body) = request.into_parts();
    let (authority, selected) = match find(&live, client, &head) {
        Ok(found) => found,
        Err((status, reason)) => {
            shared.metrics.series(&SeriesKey::default()).record(status, started.elapsed());
            return answer::text(status, &reason);
        }
    };
    let order = Order { shared, live: &live, client, authority: &authority, selected, started };
    let reply = order.serve(head, body, upgrade).await;
    let series = (selected.index, reply.backend, reply.revision.as_deref().unwrap_or(""));
    live.record(series, &shared.metrics, reply.response.status(), started.elapsed());
    reply.response
}

/// The host and port that the client asked for, and the rule for the request.
fn find<'a>(
    live: &'a Live,
    client: &Client,
    head: &Parts,
) -> Result<(HeaderValue, Selected<'a>), (StatusCode, String)> {
    let refuse = |status, reason: &str| Err((status, reason.to_owned()));
    let Some(authority) = headers::authority(head) else {
        return refuse(StatusCode::BAD_REQUEST, "the request needs one Host");
    };
    let Some(host) = authority.to_str().ok().and_then(host_of) else {
        return refuse(StatusCode::BAD_REQUEST, "the Host is not valid");
    };
    if head.method == Method::CONNECT {
        return refuse(StatusCode::METHOD_NOT_ALLOWED, "CONNECT is not supported");
    }
    match live.table.select(client.secure, &host, &head.method, &head.uri, &head.headers) {
        Some(selected) => {
            drop(host);
            Ok((authority, selected))
        }
        None => {
            refuse(StatusCode::NOT_FOUND, &format!("no HTTPRoute matches {} of host {host}", head.uri.path()))
        }
    }
}

/// A request that found its rule.
struct Order<'a> {
    shared: &'a Arc<Shared>,
    live: &'a Arc<Live>,
    client: &'a Client,
    authority: &'a HeaderValue,
    selected: Selected<'a>,
    started: Instant,
}

impl Order<'_> {
    async fn serve(&self, head: Parts, body: Incoming, upgrade: Option<Upgrade>) -> Reply {
        let rule = self.selected.rule;
        let (index, backend) = match self.destination(&head.uri) {
            Ok(destination) => destination,
            Err(reply) => return *reply,
        };
        let Some(head) = self.outgoing(head, index, upgrade.as_ref()) else {
            let reason = "the rewritten path is not valid";
            return Reply::new(Some(index), answer::text(StatusCode::BAD_REQUEST, reason));
        };
        let body = if upgrade.is_none() && !rule.mirrors.is_empty() {
            mirror::copies(self.shared, self.live, rule, &head, body)
        } else {
            RequestBody::client(body)
        };
        let deadline =
            rule.timeouts.request.map(|limit| tokio::time::Instant::from_std(self.started + limit));
        let mut revision = None;
        let limit = rule.timeouts.backend_request;
        let request = Request::from_parts(head, body);
        let exchanging = exchange(self.shared, self.live, backend, request, limit, &mut revision);
        let outcome = match deadline {
            Some(deadline) => {
                tokio::time::timeout_at(deadline, exchanging).await.unwrap_or(Err(Failure::TimedOut))
            }
            None => exchanging.await,
        };
        let response = match outcome {
            Ok(exchange) if exchange.response.status() == StatusCode::SWITCHING_PROTOCOLS => {
                self.switched(exchange, index, upgrade)
            }
            Ok(Exchange { response, lease }) => {
                let (mut head, incoming) = response.into_parts();
                self.filter_response(index, &mut head.headers);
                head.version = Version::HTTP_11;
                head.extensions.clear();
                // The limit for one attempt holds until the end of the response as well.
                let attempt = limit.map(|limit| tokio::time::Instant::now() + limit);
                let deadline = deadline.into_iter().chain(attempt).min();
                Response::from_parts(head, ResponseBody::Backend(BackendBody::new(incoming, lease, deadline)))
            }
            Err(failure) => self.failed(backend, failure),
        };
        Reply { response, backend: Some(index), revision }
    }

    /// The backend for the request; or the response, if no backend gets it.
    fn destination(&self, uri: &Uri) -> Result<(usize, &Arc<Backend>), Box<Reply>> {
        let rule = self.selected.rule;
        let stopped = |filters: &Filters, backend| {
            if filters.unresolved_extension {
                let reason = format!("{rule} uses a filter that this gateway does not have");
                return Some(Reply::new(backend, answer::text(StatusCode::INTERNAL_SERVER_ERROR, &reason)));
            }
            let redirect = filters.redirect.as_ref()?;
            let authority = self.authority.to_str().unwrap_or_default();
            let location = redirect.location(self.client.scheme(), authority, uri, self.selected.prefix());
            Some(Reply::new(backend, answer::redirect(redirect.status, &location)))
        };
        if let Some(reply) = stopped(&rule.filters, None) {
            return Err(Box::new(reply));
        }
        let Some(index) = rule.choose(self.shared.random()) else {
            let reason = format!("{rule} has no backend that takes requests");
            return Err(Box::new(Reply::new(None, answer::text(StatusCode::INTERNAL_SERVER_ERROR, &reason))));
        };
        let target = &rule.backends[index];
        if let Some(reply) = stopped(&target.filters, Some(index)) {
            return Err(Box::new(reply));
        }
        let refuse =
            |status, reason: &str| Err(Box::new(Reply::new(Some(index), answer::text(status, reason))));
        match &target.backend {
            None => refuse(
                StatusCode::INTERNAL_SERVER_ERROR,
                &format!("a backend of {rule} cannot be used; its condition ResolvedRefs says why"),
            ),
            Some(backend) if backend.endpoints.is_empty() => refuse(
                StatusCode::SERVICE_UNAVAILABLE,
                &format!("Service {}/{} has no ready endpoints", target.namespace, target.service),
            ),
            Some(backend) => Ok((index, backend)),
        }
    }

    /// The request as the backend gets it. `None` if its rewritten path is not valid.
    fn outgoing(&self, mut head: Parts, index: usize, upgrade: Option<&Upgrade>) -> Option<Parts> {
        let both = [&self.selected.rule.filters, &self.selected.rule.backends[index].filters];
        headers::to_backend(
            &mut head.headers,
            self.client,
            self.authority,
            upgrade.map(|upgrade| &upgrade.protocol),
        );
        let mut path = None;
        for filters in both {
            filters.request_headers.apply(&mut head.headers);
            let Some(rewrite) = &filters.rewrite else { continue };
            if let Some(host) = &rewrite.hostname {
                head.headers.insert(HOST, HeaderValue::from_str(host).ok()?);
            }
            if let Some(change) = &rewrite.path {
                path = Some(change.apply(path.as_deref().unwrap_or(head.uri.path()), self.selected.prefix()));
            }
        }
        let target = match path {
            None => head.uri.path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/")),
            Some(mut path) => {
                if let Some(query) = head.uri.query() {
                    path.push('?');
                    path.push_str(query);
                }
                path.parse().ok()?
            }
        };
        head.uri = Uri::from(target);
        head.version = Version::HTTP_11;
        head.extensions.clear();
        Some(head)
    }

    fn filter_response(&self, index: usize, headers: &mut HeaderMap) {
        headers::to_client(headers);
        self.selected.rule.backends[index].filters.response_headers.apply(headers);
        self.selected.rule.filters.response_headers.apply(headers);
    }

    /// The backend has changed the protocol: if the client asked for it, the rest is a tunnel.
    fn switched(&self, exchange: Exchange, index: usize, upgrade: Option<Upgrade>) -> Response<ResponseBody> {
        let Exchange { mut response, lease } = exchange;
        let Some(upgrade) = upgrade else {
            return answer::text(
                StatusCode::BAD_GATEWAY,
                "the backend changed the protocol without being asked",
            );
        };
        tunnel::open(self.shared, upgrade.client, hyper::upgrade::on(&mut response), lease);
        let mut reply = answer::empty(StatusCode::SWITCHING_PROTOCOLS);
        *reply.headers_mut() = std::mem::take(response.headers_mut());
        let protocol = reply.headers().get(UPGRADE).cloned().unwrap_or(upgrade.protocol);
        self.filter_response(index, reply.headers_mut());
        reply.headers_mut().insert(UPGRADE, protocol);
        reply.headers_mut().insert(CONNECTION, HeaderValue::from_static("upgrade"));
        reply
    }

    fn failed(&self, backend: &Backend, failure: Failure) -> Response<ResponseBody> {
        let rule = self.selected.rule;
        match failure {
            Failure::Unreachable(problem) | Failure::Broken(problem) => {
                tracing::debug!(%rule, %problem, "no response from the backend");
                let service = format!("Service {}/{}", backend.key.namespace, backend.key.service);
                answer::text(StatusCode::BAD_GATEWAY, &format!("{service} did not answer"))
            }
            Failure::TimedOut => {
                answer::text(StatusCode::GATEWAY_TIMEOUT, &format!("the time limit of {rule} is over"))
            }
        }
    }
}
