//! One request to one of a backend's endpoints: tried elsewhere as long as that
//! cannot make a backend do something twice.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::header::UPGRADE;
use http::request::Parts;
use http::{Method, Request, Response};
use http_body::Body;
use hyper::body::Incoming;

use super::Shared;
use super::body::RequestBody;
use super::live::Live;
use super::upstream::{FRESH_LIMIT, IDLE_LIMIT, Lease, Upstream};
use crate::table::Backend;

/// Endpoints of one table that a request tries at most, beside those that have left it in the meantime.
const MAX_ATTEMPTS: usize = 5;

/// Newer tables that one request goes on with at most.
const MAX_TABLES: usize = 8;

/// When no endpoint can be reached, the table may be behind the pods: a request
/// waits this long for a newer one.
const TABLE_PATIENCE: Duration = Duration::from_millis(500);

/// The head of a response and the right to its connection.
pub(super) struct Exchange {
    pub(super) response: Response<Incoming>,
    pub(super) lease: Lease,
}

/// Why there is no response.
pub(super) enum Failure {
    /// No endpoint could be reached: 502.
    Unreachable(String),
    /// The connection broke after the request was sent, and it must not be sent again: 502.
    Broken(String),
    /// The time limit for one attempt is over: 504.
    TimedOut,
}

/// Sends the request. `revision` is that of the last endpoint tried, for the
/// counters, also when the caller gives up waiting.
pub(super) async fn exchange(
    shared: &Shared,
    live: &Arc<Live>,
    backend: &Arc<Backend>,
    request: Request<RequestBody>,
    limit: Option<Duration>,
    revision: &mut Option<Arc<str>>,
) -> Result<Exchange, Failure> {
    let again = repeatable(&request).then(|| head_of(&request));
    let idle_limit = if again.is_some() { IDLE_LIMIT } else { FRESH_LIMIT };
    let mut request = request;
    let mut tried: Vec<SocketAddr> = Vec::new();
    // What came in place of `live` and `backend`.
    let mut newer: Option<(Arc<Live>, Arc<Backend>)> = None;
    let mut problem = None;
    let (mut attempts, mut tables) = (0, 0);
    while attempts < MAX_ATTEMPTS {
        let (now, target) = newer.as_ref().map_or((live, backend), |(live, backend)| (live, backend));
        let Some((endpoint, upstream)) = now.choose(target, &tried, shared.random()) else {
            if tables == MAX_TABLES || !shared.wait_for_table_after(now, TABLE_PATIENCE).await {
                break;
            }
            tables += 1;
            attempts = 0;
            newer = Some(newest(shared, backend));
            tried.clear();
            continue;
        };
        let address = endpoint.address;
        *revision = Some(Arc::clone(&endpoint.revision));
        let attempt = attempt(shared, upstream, request, idle_limit);
        let outcome = match limit {
            Some(limit) => match tokio::time::timeout(limit, attempt).await {
                Ok(outcome) => outcome,
                Err(_) => return Err(Failure::TimedOut),
            },
            None => attempt.await,
        };
        match outcome {
            Ok(exchange) => return Ok(exchange),
            Err(Attempt::Unsent(unsent, message)) => {
                request = *unsent;
                problem = Some(message);
                // The pod went, and the table knows already: what it has now is what the request is owed.
                if tables < MAX_TABLES && !shared.live().has(address) {
                    tables += 1;
                    newer = Some(newest(shared, backend));
                    continue;
                }
                tried.push(address);
            }
            Err(Attempt::Lost { message, reused }) => {
                let Some(head) = &again else { return Err(Failure::Broken(message)) };
                request = Request::from_parts(head.clone(), RequestBody::empty());
                problem = Some(message);
                if reused {
                    // The endpoint may be well and only have closed its idle connections.
                    upstream.close_idle();
                } else {
                    tried.push(address);
                }
            }
        }
        attempts += 1;
    }
    Err(Failure::Unreachable(problem.unwrap_or_else(|| "the backend has no endpoints".to_owned())))
}

/// The table that is served now, and what it says of a backend.
fn newest(shared: &Shared, backend: &Arc<Backend>) -> (Arc<Live>, Arc<Backend>) {
    let live = shared.live();
    let backend = live.table.backend(&backend.key).unwrap_or(backend);
    let backend = Arc::clone(backend);
    (live, backend)
}

enum Attempt {
    /// Nothing of the request was sent.
    Unsent(Box<Request<RequestBody>>, String),
    /// The connection broke; nobody knows what the backend has seen.
    Lost { message: String, reused: bool },
}

async fn attempt(
    shared: &Shared,
    upstream: &Arc<Upstream>,
    request: Request<RequestBody>,
    idle_limit: Duration,
) -> Result<Exchange, Attempt> {
    let mut lease = Lease::new(Arc::clone(upstream));
    let mut request = request;
    let upload = request.body_mut().watch();
    let upgrade = request.headers().contains_key(UPGRADE);
    loop {
        let idle = upstream.take_idle(idle_limit);
        let reused = idle.is_some();
        let mut connection = match idle {
            Some(connection) => connection,
            None => {
                // Nobody answers at the address of a pod that has gone: not waited for longer than the table has it.
                let connected = tokio::select! {
                    biased;
                    connected = upstream.connect(&shared.dial, &shared.limits) => connected,
                    () = shared.has_left(upstream.address) => {
                        Err(format!("{} is no endpoint any more", upstream.address))
                    }
                };
                match connected {
                    Ok(connection) => connection,
                    Err(message) => return Err(Attempt::Unsent(Box::new(request), message)),
                }
            }
        };
        if upgrade {
            connection.detach();
        }
        match lease.send(connection, request).await {
            Ok(response) => {
                // The response comes while the request still goes: neither may wait for the other.
                if upload.is_some_and(|upload| !upload.is_over()) {
                    lease.detach();
                }
                return Ok(Exchange { response, lease });
            }
            Err((Some(unsent), _)) if reused => request = *unsent,
            Err((Some(unsent), message)) => return Err(Attempt::Unsent(unsent, message)),
            Err((None, message)) => return Err(Attempt::Lost { message, reused }),
        }
    }
}

/// RFC 9110, section 9.2.2, for requests whose body is not gone after the first attempt.
fn repeatable(request: &Request<RequestBody>) -> bool {
    let method = request.method();
    let idempotent = method.is_idempotent() && *method != Method::CONNECT;
    idempotent && request.body().is_end_stream()
}

fn head_of(request: &Request<RequestBody>) -> Parts {
    let mut head = Request::new(()).into_parts().0;
    head.method = request.method().clone();
    head.uri = request.uri().clone();
    head.version = request.version();
    head.headers = request.headers().clone();
    head
}
