//! Which form the answer has: the object, a `Table` for people, or its metadata alone.

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderMap, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use serde_json::Value;

use crate::status::ApiError;

pub(crate) type Body = UnsyncBoxBody<Bytes, Broken>;

/// What is left of an answer cannot be written: the client sees that it ends too early.
#[derive(Debug, thiserror::Error)]
#[error("the rest of the answer could not be written")]
pub(crate) struct Broken;

/// An answer that is there as a whole.
pub(crate) fn whole(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed_unsync()
}

/// The form that the client prefers among those that we have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    Object,
    Table,
    Metadata,
}

/// The first acceptable form in the `Accept` header.
///
/// # Errors
/// When there is such a header and it names nothing that we have.
pub(crate) fn form(headers: &HeaderMap) -> Result<Form, ApiError> {
    let ranges = accepted(headers);
    for range in &ranges {
        let mut parts = range.split(';').map(str::trim);
        let media = parts.next().unwrap_or_default();
        if !matches!(media, "application/json" | "*/*" | "application/*") {
            continue;
        }
        let parameters: Vec<&str> = parts.collect();
        let known = parameters.contains(&"g=meta.k8s.io")
            && (parameters.contains(&"v=v1") || parameters.contains(&"v=v1beta1"));
        match parameters.iter().find_map(|p| p.strip_prefix("as=")) {
            None => return Ok(Form::Object),
            Some("Table") if known => return Ok(Form::Table),
            Some("PartialObjectMetadata" | "PartialObjectMetadataList") if known => {
                return Ok(Form::Metadata);
            }
            Some(_) => {}
        }
    }
    // Other forms of an object than JSON are not written: who takes nothing else gets JSON all the same
    // and can tell by the content type.
    let other = |r: &String| r.starts_with("application/yaml") || r.starts_with("application/vnd.kubernetes");
    if ranges.iter().all(String::is_empty) || ranges.iter().any(other) {
        return Ok(Form::Object);
    }
    Err(ApiError::not_acceptable())
}

/// The media ranges of the `Accept` header in order.
pub(crate) fn accepted(headers: &HeaderMap) -> Vec<String> {
    headers
        .get_all(ACCEPT)
        .iter()
        .filter_map(|v| v.to_str().ok())
        .flat_map(|v| v.split(','))
        .map(|range| range.trim().to_owned())
        .collect()
}

/// A JSON answer.
pub(crate) fn json(code: StatusCode, value: &Value) -> Response<Body> {
    raw(code, "application/json", crate::store::to_bytes(value))
}

/// The body of an answer that has none.
pub(crate) fn empty() -> Body {
    whole(Bytes::new())
}

/// An answer of ready bytes.
pub(crate) fn raw(code: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Response<Body> {
    let mut response = Response::new(whole(body));
    *response.status_mut() = code;
    response.headers_mut().insert(CONTENT_TYPE, http::HeaderValue::from_static(content_type));
    response
}

/// The answer for an error.
pub(crate) fn error(error: &ApiError) -> Response<Body> {
    let mut response = json(error.code, &error.to_value());
    if matches!(
        error.code,
        StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT | StatusCode::TOO_MANY_REQUESTS
    ) {
        response.headers_mut().insert(http::header::RETRY_AFTER, http::HeaderValue::from_static("1"));
    }
    response
}

/// Adds `Warning` headers (RFC 7234, code 299), which kubectl prints.
pub(crate) fn warn(response: &mut Response<Body>, warnings: &[String]) {
    // As kube-apiserver does: clients bound what headers they read.
    let mut left: usize = 4096;
    for warning in warnings {
        let warning: String = warning.chars().take(256).collect();
        left = left.saturating_sub(warning.len());
        if left == 0 {
            return;
        }
        let quoted = warning.replace('\\', "\\\\").replace('"', "\\\"").replace(['\n', '\r'], " ");
        if let Ok(value) = http::HeaderValue::from_str(&format!("299 - \"{quoted}\"")) {
            response.headers_mut().append(http::header::WARNING, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(accept: &str) -> Form {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, accept.parse().expect("a header value"));
        form(&headers).expect("an acceptable form")
    }

    #[test]
    fn kubectl_gets_tables_and_metadata_clients_metadata() {
        assert_eq!(
            of(
                "application/json;as=Table;v=v1;g=meta.k8s.io,application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json"
            ),
            Form::Table
        );
        assert_eq!(of("application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"), Form::Metadata);
        assert_eq!(of("application/vnd.kubernetes.protobuf, application/json"), Form::Object);
        assert_eq!(of("*/*"), Form::Object);
    }
}
