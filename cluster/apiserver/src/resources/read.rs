//! `get` and `list`.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{Response, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::selection::{Selection, metadata_only, table};
use super::{answer, value_of};
use crate::api::Context;
use crate::negotiation::{self, Body, Form};
use crate::status::{ApiError, Result};
use crate::store::{Entry, ObjectKey, Page};

pub(super) fn get(context: &Context) -> Result<Response<Body>> {
    let entry =
        context.api.store.get(&context.served.storage, &context.key()).ok_or_else(|| context.not_found())?;
    Ok(answer(context, StatusCode::OK, &entry))
}

/// Where the next page begins, and the revision of the whole list.
#[derive(Debug, Serialize, Deserialize, PartialEq)]
struct Continue {
    v: String,
    rv: u64,
    start: String,
}

impl Continue {
    fn encode(revision: u64, last: &ObjectKey) -> String {
        let token = Self {
            v: "meta.k8s.io/v1".into(),
            rv: revision,
            start: format!("{}/{}", last.namespace, last.name),
        };
        URL_SAFE_NO_PAD.encode(serde_json::to_vec(&token).expect("strings and a number serialize"))
    }

    fn decode(token: &str) -> Result<(u64, ObjectKey)> {
        let read = || {
            let bytes = URL_SAFE_NO_PAD.decode(token).ok()?;
            let token: Self = serde_json::from_slice(&bytes).ok()?;
            let (namespace, name) = token.start.split_once('/')?;
            Some((token.rv, ObjectKey::new(namespace, name)))
        };
        read()
            .ok_or_else(|| ApiError::bad_request("continue key is not valid: take the one of the last page"))
    }
}

/// Which revision a list is asked at.
fn revision(context: &Context) -> Result<Option<u64>> {
    let asked: Option<u64> = context.query.number("resourceVersion")?;
    let newest = context.api.store.revision();
    let exact = match context.query.get("resourceVersionMatch") {
        None => context.query.get("limit").is_some() && asked.is_some_and(|rv| rv > 0),
        Some("Exact") => true,
        Some("NotOlderThan") => false,
        Some(other) => {
            return Err(ApiError::bad_request(format!(
                "resourceVersionMatch: Unsupported value: \"{other}\": supported values: \"Exact\", \"NotOlderThan\""
            )));
        }
    };
    if context.query.get("resourceVersionMatch").is_some() && asked.is_none() {
        return Err(ApiError::bad_request(
            "resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden unless resourceVersion is provided",
        ));
    }
    if let Some(asked) = asked
        && asked > newest
    {
        return Err(too_new(asked, newest));
    }
    Ok(asked.filter(|_| exact))
}

pub(super) fn too_new(asked: u64, newest: u64) -> ApiError {
    ApiError::new(
        StatusCode::GATEWAY_TIMEOUT,
        "Timeout",
        format!("Too large resource version: {asked}, current: {newest}"),
    )
}

/// One page of what the request selects.
fn page(context: &Context) -> Result<Page> {
    let selection = Selection::of(context)?;
    let limit = context.query.number::<usize>("limit")?.filter(|limit| *limit > 0);
    let (at, after) = match context.query.get("continue") {
        Some(token) => {
            let (revision, after) = Continue::decode(token)?;
            (Some(revision), Some(after))
        }
        None => (revision(context)?, None),
    };
    let namespace = (!context.namespace().is_empty()).then(|| context.namespace());
    let page = context.api.store.read(|state| {
        if at.is_some_and(|at| at > state.revision()) {
            return None;
        }
        state.page(&context.served.storage, namespace, at, after.as_ref(), limit, |entry| {
            selection.is_everything() || selection.matches(entry)
        })
    });
    page.ok_or_else(|| {
        ApiError::expired(match after {
            Some(_) => {
                "The provided continue parameter is too old to display a consistent list result. \
                 Start a new list without the continue parameter."
            }
            None => "The resourceVersion for the provided list is too old.",
        })
    })
}

pub(super) fn list(context: &Context) -> Result<Response<Body>> {
    let page = page(context)?;
    let mut metadata = json!({"resourceVersion": page.revision.to_string()});
    if let Some(next) = &page.next {
        metadata["continue"] = Continue::encode(page.revision, next).into();
        if Selection::of(context)?.is_everything() {
            metadata["remainingItemCount"] = page.remaining.into();
        }
    }
    let values = || page.entries.iter().map(|e| value_of(&context.served, e)).collect::<Vec<Value>>();
    Ok(match context.form {
        Form::Object if !context.served.converts() && !crate::conversion::needed(&context.served) => {
            let (api_version, kind) = (context.served.api_version(), &context.served.resource.list_kind);
            negotiation::raw(
                StatusCode::OK,
                "application/json",
                join(&api_version, kind, &metadata, &page.entries),
            )
        }
        Form::Object => negotiation::json(
            StatusCode::OK,
            &json!({"kind": context.served.resource.list_kind, "apiVersion": context.served.api_version(),
                    "metadata": metadata, "items": values()}),
        ),
        Form::Table => negotiation::json(StatusCode::OK, &table(context, &values(), Some(&metadata))),
        Form::Metadata => {
            let items: Vec<Value> = values().iter().map(metadata_only).collect();
            negotiation::json(
                StatusCode::OK,
                &json!({"kind": "PartialObjectMetadataList", "apiVersion": "meta.k8s.io/v1",
                        "metadata": metadata, "items": items}),
            )
        }
    })
}

/// A list put together from the stored bytes: nothing is parsed or serialized again.
fn join(api_version: &str, kind: &str, metadata: &Value, entries: &[Arc<Entry>]) -> Vec<u8> {
    let size: usize = entries.iter().map(|e| e.body.len() + 1).sum();
    let head = json!({"kind": kind, "apiVersion": api_version, "metadata": metadata}).to_string();
    let mut out = Vec::with_capacity(size + head.len() + 16);
    out.extend_from_slice(&head.as_bytes()[..head.len() - 1]);
    out.extend_from_slice(b",\"items\":[");
    for (i, entry) in entries.iter().enumerate() {
        if i > 0 {
            out.push(b',');
        }
        out.extend_from_slice(&entry.body);
    }
    out.extend_from_slice(b"]}");
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn continue_tokens_survive_the_round_trip_and_garbage_is_refused() {
        let key = ObjectKey::new("shop", "web.1");
        let token = Continue::encode(42, &key);
        assert_eq!(Continue::decode(&token), Ok((42, key)));
        assert!(Continue::decode("abc").is_err());
    }
}
