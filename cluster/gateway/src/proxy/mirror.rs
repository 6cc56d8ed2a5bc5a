//! Copies of requests for other backends, whose responses nobody reads. A copy
//! never delays or fails the original.

use std::sync::Arc;
use std::time::Duration;

use http::Request;
use http::request::Parts;
use http_body::Body;
use http_body_util::BodyExt;
use hyper::body::Incoming;

use super::Shared;
use super::body::{BackendBody, RequestBody, ResponseBody, copy};
use super::exchange::{Exchange, exchange};
use super::live::Live;
use crate::table::Rule;

/// A copy is given up after this time.
const LIMIT: Duration = Duration::from_secs(30);

/// Starts the mirrors that a share decides for; returns the body of the original.
pub(super) fn copies(
    shared: &Arc<Shared>,
    live: &Arc<Live>,
    rule: &Rule,
    head: &Parts,
    body: Incoming,
) -> RequestBody {
    let mut senders = Vec::new();
    for mirror in &rule.mirrors {
        let draw = shared.random() % u64::from(mirror.denominator);
        if draw >= u64::from(mirror.numerator) || mirror.backend.endpoints.is_empty() {
            continue;
        }
        let copied = if body.is_end_stream() {
            RequestBody::empty()
        } else {
            let (sender, copied) = copy();
            senders.push(sender);
            copied
        };
        let mut request = Request::new(copied);
        *request.method_mut() = head.method.clone();
        *request.uri_mut() = head.uri.clone();
        *request.headers_mut() = head.headers.clone();
        let (shared, live, backend) = (Arc::clone(shared), Arc::clone(live), Arc::clone(&mirror.backend));
        tokio::spawn(async move {
            let sending = async {
                let sent = exchange(&shared, &live, &backend, request, None, &mut None).await;
                if let Ok(Exchange { response, lease }) = sent {
                    let mut body = ResponseBody::Backend(BackendBody::new(response.into_body(), lease, None));
                    while let Some(Ok(_)) = body.frame().await {}
                }
            };
            let _ = tokio::time::timeout(LIMIT, sending).await;
        });
    }
    if senders.is_empty() { RequestBody::client(body) } else { RequestBody::copied(body, senders) }
}
