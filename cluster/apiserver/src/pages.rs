//! Paths that are no resources: discovery, OpenAPI, health, version, metrics.

use std::sync::Arc;

use http::{HeaderMap, Method, Response, StatusCode};
use seaway_kinds::{discovery, openapi, resources::Resource};
use serde_json::json;

use crate::api::Api;
use crate::catalog::Snapshot;
use crate::negotiation::{self, Body, accepted};
use crate::request::Query;
use crate::status::{ApiError, Result};

/// The Kubernetes version whose API this is.
const MINOR: &str = "37";

pub(crate) fn serve(
    api: &Arc<Api>,
    method: &Method,
    path: &str,
    headers: &HeaderMap,
    query: &Query,
) -> Result<Response<Body>> {
    if !matches!(*method, Method::GET | Method::HEAD) {
        return Err(ApiError::method_not_allowed());
    }
    let snapshot = api.catalog.now();
    let resources: Vec<&Resource> = snapshot.resources.iter().map(|s| &s.resource).collect();
    let resources = || resources.iter().copied();
    let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
    let document = match parts.as_slice() {
        [check @ ("healthz" | "livez" | "readyz"), part @ ..] => return health(api, check, part, query),
        ["metrics"] => {
            let mut text = api.metrics.text(&api.store);
            text.extend(api.more_metrics.get().map(|more| more()));
            return Ok(negotiation::raw(StatusCode::OK, "text/plain; version=0.0.4", text));
        }
        ["version"] => version(),
        [""] => json!({"paths": ["/api", "/apis", "/healthz", "/livez", "/metrics", "/openapi/v2",
                                 "/openapi/v3", "/readyz", "/version"]}),
        ["api"] if aggregated(headers) => {
            return Ok(aggregated_answer(&discovery::aggregated_api(resources())));
        }
        ["apis"] if aggregated(headers) => {
            return Ok(aggregated_answer(&discovery::aggregated_apis(resources())));
        }
        ["api"] => discovery::api_versions(""),
        ["apis"] => discovery::group_list(resources()),
        ["apis", group] => discovery::group(resources(), group).ok_or_else(ApiError::no_such_resource)?,
        ["api", version] => {
            discovery::resource_list(resources(), "", version).ok_or_else(ApiError::no_such_resource)?
        }
        ["apis", group, version] => {
            discovery::resource_list(resources(), group, version).ok_or_else(ApiError::no_such_resource)?
        }
        ["openapi", "v3"] => return Ok(ready(snapshot.document(path, || v3_index(&snapshot)))),
        ["openapi", "v3", "api", version] => return v3(&snapshot, path, "", version),
        ["openapi", "v3", "apis", group, version] => return v3(&snapshot, path, group, version),
        ["openapi", "v2"] if accepted(headers).iter().any(|a| a.starts_with(V2_PROTOBUF)) => {
            let make = || openapi::v2_protobuf(served(&snapshot)).into();
            return Ok(negotiation::raw(StatusCode::OK, V2_ANSWER, snapshot.bytes("/openapi/v2.pb", make)));
        }
        ["openapi", "v2"] => return Ok(ready(snapshot.document(path, || openapi::v2(served(&snapshot))))),
        [".well-known", "openid-configuration"] => json!({
            "issuer": crate::tokens::ISSUER, "jwks_uri": format!("{}/openid/v1/jwks", crate::tokens::ISSUER),
            "response_types_supported": ["id_token"],
            "subject_types_supported": ["public"], "id_token_signing_alg_values_supported": ["ES256"],
        }),
        ["openid", "v1", "jwks"] => {
            let keys = api.authenticator.tokens.key_set.to_string();
            return Ok(negotiation::raw(StatusCode::OK, "application/jwk-set+json", keys));
        }
        _ => return Err(ApiError::no_such_resource()),
    };
    Ok(negotiation::json(StatusCode::OK, &document))
}

const V2_PROTOBUF: &str = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf";
/// The same as servers answer it: `@` may not stand in a media type.
const V2_ANSWER: &str = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf";

/// `/readyz` and its sisters, and single checks below them such as `/readyz/storage`.
fn health(api: &Api, check: &str, part: &[&str], query: &Query) -> Result<Response<Body>> {
    let storage = !api.store.refuses_writes();
    let checks = [("ping", true), ("storage", storage)];
    let passed = match part {
        [] => storage,
        [name] => checks.iter().find(|(known, _)| known == name).ok_or_else(ApiError::no_such_resource)?.1,
        _ => return Err(ApiError::no_such_resource()),
    };
    if passed && (!query.flag("verbose") || !part.is_empty()) {
        return Ok(negotiation::raw(StatusCode::OK, "text/plain; charset=utf-8", "ok"));
    }
    let line = |(name, passed): (&str, bool)| match passed {
        true => format!("[+]{name} ok\n"),
        false => format!("[-]{name} failed: the database refuses writes, the disk may be full\n"),
    };
    let lines: String = checks.into_iter().map(line).collect();
    let (code, verdict) = match passed {
        true => (StatusCode::OK, "passed"),
        false => (StatusCode::INTERNAL_SERVER_ERROR, "failed"),
    };
    let text = format!("{lines}{check} check {verdict}\n");
    Ok(negotiation::raw(code, "text/plain; charset=utf-8", text))
}

fn version() -> serde_json::Value {
    json!({
        "major": "1", "minor": MINOR, "emulationMajor": "1", "emulationMinor": MINOR,
        "gitVersion": format!("v1.{MINOR}.0+seaway-{}", env!("CARGO_PKG_VERSION")),
        "gitCommit": "", "gitTreeState": "clean", "buildDate": "1970-01-01T00:00:00Z",
        "goVersion": "", "compiler": "rustc", "platform": format!("linux/{}", go_arch()),
    })
}

fn go_arch() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

const AGGREGATED: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";

fn aggregated(headers: &HeaderMap) -> bool {
    accepted(headers).first().is_some_and(|range| {
        range.contains("g=apidiscovery.k8s.io") && range.split(';').any(|p| p.trim() == "v=v2")
    })
}

fn aggregated_answer(document: &serde_json::Value) -> Response<Body> {
    negotiation::raw(StatusCode::OK, AGGREGATED, crate::store::to_bytes(document))
}

fn served(snapshot: &Snapshot) -> impl Iterator<Item = openapi::Served<'_>> {
    snapshot.resources.iter().map(|s| openapi::Served {
        resource: &s.resource,
        schema: match &s.custom {
            None => openapi::KindSchema::BuiltIn,
            Some(custom) => openapi::KindSchema::Custom((!custom.keeps_unknown).then_some(&custom.open_api)),
        },
    })
}

fn v3(snapshot: &Snapshot, path: &str, group: &str, version: &str) -> Result<Response<Body>> {
    let known = snapshot.resources.iter().any(|s| s.group() == group && s.resource.version == version);
    if !known {
        return Err(ApiError::no_such_resource());
    }
    Ok(ready(snapshot.document(path, || openapi::v3(served(snapshot), group, version))))
}

fn ready(document: bytes::Bytes) -> Response<Body> {
    negotiation::raw(StatusCode::OK, "application/json", document)
}

/// The index names each document with a hash, so that clients keep what has not changed.
fn v3_index(snapshot: &Snapshot) -> serde_json::Value {
    let mut versions: Vec<(&str, &str)> =
        snapshot.resources.iter().map(|s| (s.group(), s.resource.version.as_str())).collect();
    versions.sort_unstable();
    versions.dedup();
    let hashes: Vec<String> = versions
        .iter()
        .map(|(group, version)| {
            // Built-in documents never change; those of custom resources do with their schemas.
            let mut text = env!("CARGO_PKG_VERSION").to_owned();
            for s in
                snapshot.resources.iter().filter(|s| s.group() == *group && s.resource.version == *version)
            {
                text.push_str(&s.resource.plural);
                if let Some(custom) = &s.custom {
                    text.push_str(&custom.open_api.to_string());
                }
            }
            openapi::hash(text.as_bytes())
        })
        .collect();
    openapi::index(
        versions.iter().zip(&hashes).map(|((group, version), hash)| (*group, *version, hash.as_str())),
    )
}
