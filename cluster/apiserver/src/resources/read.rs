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
use crate::catalog::Served;
use crate::negotiation::{self, Body, Form};
use crate::status::{ApiError, Cause, Result};
use crate::store::{Entry, ObjectKey, Page};

pub(super) fn get(context: &Context) -> Result<Response<Body>> {
    let newest = context.api.store.revision();
    if let Some(asked) = asked_revision(context)?
        && asked > newest
    {
        return Err(too_new(asked, newest));
    }
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

/// The `resourceVersion` of the query.
pub(super) fn asked_revision(context: &Context) -> Result<Option<u64>> {
    context.query.get("resourceVersion").map(parse_revision).transpose().map_err(|e| {
        let asked = context.query.get("resourceVersion").unwrap_or_default();
        ApiError::plain(format!("resourceVersion: Invalid value: {asked:?}: {e}"))
    })
}

/// A revision, or Go's words for what is none.
pub(super) fn parse_revision(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| format!("strconv.ParseUint: parsing {text:?}: invalid syntax"))
}

fn list_options(reason: &'static str, message: String) -> ApiError {
    let cause = Cause { reason, message, field: "resourceVersionMatch".into() };
    ApiError::invalid_options("ListOptions", cause)
}

/// `sendInitialEvents` is for watches, and goes with `resourceVersionMatch=NotOlderThan` (KEP-3157).
pub(super) fn check_initial_events(context: &Context, watches: bool) -> Result<()> {
    let forbidden = |field: &'static str, message: &str| {
        let cause = Cause {
            reason: "FieldValueForbidden",
            message: format!("Forbidden: {message}"),
            field: field.into(),
        };
        Err(ApiError::invalid_options("ListOptions", cause))
    };
    let asked = context.query.get("sendInitialEvents").is_some();
    match context.query.get("resourceVersionMatch") {
        _ if asked && !watches => forbidden("sendInitialEvents", "sendInitialEvents is forbidden for list"),
        Some(_) if watches && !asked => forbidden(
            "resourceVersionMatch",
            "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided",
        ),
        None if asked => forbidden(
            "resourceVersionMatch",
            "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan",
        ),
        Some(other) if asked && other != "NotOlderThan" => Err(list_options(
            "FieldValueNotSupported",
            format!("Unsupported value: {other:?}: supported values: \"NotOlderThan\""),
        )),
        _ => Ok(()),
    }
}

/// Which revision a list is asked at.
fn revision(context: &Context) -> Result<Option<u64>> {
    let asked = asked_revision(context)?;
    let newest = context.api.store.revision();
    let exact = match context.query.get("resourceVersionMatch") {
        None => context.query.get("limit").is_some() && asked.is_some_and(|rv| rv > 0),
        Some("Exact") => true,
        Some("NotOlderThan") => false,
        Some(other) => {
            return Err(list_options(
                "FieldValueNotSupported",
                format!("Unsupported value: {other:?}: supported values: \"Exact\", \"NotOlderThan\", \"\""),
            ));
        }
    };
    if context.query.get("resourceVersionMatch").is_some() && asked.is_none() {
        return Err(list_options(
            "FieldValueForbidden",
            "Forbidden: resourceVersionMatch is forbidden unless resourceVersion is provided".into(),
        ));
    }
    if context.query.get("resourceVersionMatch") == Some("Exact") && asked == Some(0) {
        return Err(list_options(
            "FieldValueForbidden",
            "Forbidden: resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\"".into(),
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
    let message = format!("Too large resource version: {asked}, current: {newest}");
    ApiError::new(StatusCode::GATEWAY_TIMEOUT, "Timeout", format!("Timeout: {message}"))
        .because(vec![Cause {
            reason: "ResourceVersionTooLarge",
            message: "Too large resource version".into(),
            field: String::new(),
        }])
        .retry_after(1)
}

/// One page of what the request selects.
fn page(context: &Context) -> Result<Page> {
    let selection = Selection::of(context)?;
    let limit = context.query.number::<i64>("limit")?.and_then(|limit| usize::try_from(limit).ok());
    let limit = limit.filter(|limit| *limit > 0);
    let (at, after) = match context.query.get("continue") {
        Some(_) if context.query.get("resourceVersion").is_some_and(|rv| rv != "0") => {
            return Err(ApiError::bad_request(
                "specifying resource version is not allowed when using continue",
            ));
        }
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
        // Where the objects themselves must be read, that is done after this.
        let limit = limit.filter(|_| !selection.parses());
        state.page(&context.served.storage, namespace, at, after.as_ref(), limit, |entry| {
            selection.is_everything() || selection.may_match(entry)
        })
    });
    let page = page.map(|page| match selection.parses() {
        true => page.narrow(limit, |entry| selection.matches(entry)),
        false => page,
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
    check_initial_events(context, false)?;
    let page = page(context)?;
    let mut metadata = json!({"resourceVersion": page.revision.to_string()});
    if context.served.custom.is_some() {
        // As Go prints lists of objects that have no type.
        metadata["continue"] = "".into();
    }
    if let Some(next) = &page.next {
        metadata["continue"] = Continue::encode(page.revision, next).into();
        if Selection::of(context)?.is_everything() {
            metadata["remainingItemCount"] = page.remaining.into();
        }
    }
    let values = || page.entries.iter().map(|e| value_of(&context.served, e)).collect::<Vec<Value>>();
    let typed = context.served.custom.is_some();
    Ok(match context.form {
        Form::Object if page.entries.iter().all(|entry| context.served.is_as_stored(entry)) => {
            let (api_version, kind) = (context.served.api_version(), &context.served.resource.list_kind);
            negotiation::raw(
                StatusCode::OK,
                "application/json",
                join(&api_version, kind, &metadata, &page.entries, typed),
            )
        }
        Form::Object => negotiation::json(
            StatusCode::OK,
            &json!({"kind": context.served.resource.list_kind, "apiVersion": context.served.api_version(),
                    "metadata": metadata, "items": items(&context.served, &page.entries)}),
        ),
        Form::Table => negotiation::json(StatusCode::OK, &table(context, &values(), Some(&metadata))),
        Form::Metadata => {
            let items: Vec<Value> = values().iter().map(metadata_only).collect();
            if let Some(metadata) = metadata.as_object_mut() {
                metadata.remove("remainingItemCount");
            }
            negotiation::json(
                StatusCode::OK,
                &json!({"kind": "PartialObjectMetadataList", "apiVersion": "meta.k8s.io/v1",
                        "metadata": metadata, "items": items}),
            )
        }
    })
}

/// Objects as a list holds them: built-in ones without apiVersion and kind, which the list says once.
pub(super) fn items(served: &Served, entries: &[Arc<Entry>]) -> Vec<Value> {
    let untyped = |entry: &Arc<Entry>| {
        let mut value = value_of(served, entry);
        if served.custom.is_none()
            && let Some(object) = value.as_object_mut()
        {
            object.remove("apiVersion");
            object.remove("kind");
        }
        value
    };
    entries.iter().map(untyped).collect()
}

/// A list put together from the stored bytes: nothing is parsed or serialized again.
fn join(api_version: &str, kind: &str, metadata: &Value, entries: &[Arc<Entry>], typed: bool) -> Vec<u8> {
    let size: usize = entries.iter().map(|e| e.body.len() + 1).sum();
    let head = json!({"kind": kind, "apiVersion": api_version, "metadata": metadata}).to_string();
    let mut out = Vec::with_capacity(size + head.len() + 16);
    out.extend_from_slice(&head.as_bytes()[..head.len() - 1]);
    out.extend_from_slice(b",\"items\":[");
    for (i, entry) in entries.iter().enumerate() {
        if i > 0 {
            out.push(b',');
        }
        if typed {
            out.extend_from_slice(&entry.body);
        } else {
            out.push(b'{');
            out.extend_from_slice(entry.members());
        }
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
