//! Responses of the gateway itself.

use bytes::Bytes;
use http::header::{CONTENT_TYPE, LOCATION, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderValue, Response, StatusCode};
use http_body_util::Full;

use super::body::ResponseBody;

/// A response without a body.
pub(super) fn empty(status: StatusCode) -> Response<ResponseBody> {
    let mut response = Response::new(ResponseBody::Text(Full::new(Bytes::new())));
    *response.status_mut() = status;
    response
}

/// Says in plain text why there is no other response.
pub(super) fn text(status: StatusCode, reason: &str) -> Response<ResponseBody> {
    let mut response = Response::new(ResponseBody::Text(Full::from(format!("{status}: {reason}\n"))));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// Sends the client elsewhere.
pub(super) fn redirect(status: StatusCode, location: &str) -> Response<ResponseBody> {
    let mut response = empty(status);
    if let Ok(location) = HeaderValue::from_str(location) {
        response.headers_mut().insert(LOCATION, location);
    }
    response
}
