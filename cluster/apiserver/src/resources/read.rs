//! `get` and `list`.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::{Response, StatusCode};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::selection::{Selection, metadata_only, table};
use super::{answer, value_of};
use crate::api::Context;
use crate::catalog::Served;
use crate::negotiation::{self, Body, Broken, Form};
use crate::status::{ApiError, Cause, Result};
use crate::store::{Entry, ObjectKey, Page, to_bytes};

pub(super) fn get(context: &Context) -> Result<Response<Body>> {
    let newest = context.api.store.revision();
    if let Some(asked) = asked_revision(context)?
        && asked > newest
    {
        return Err(too_new(asked, newest));
    }
    Ok(answer(context, StatusCode::OK, &context.present()?))
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

pub(super) fn list(context: Context) -> Result<Response<Body>> {
    check_initial_events(&context, false)?;
    let page = page(&context)?;
    let mut metadata = json!({"resourceVersion": page.revision.to_string()});
    if context.served.custom.is_some() {
        // As Go prints lists of objects that have no type.
        metadata["continue"] = "".into();
    }
    if let Some(next) = &page.next {
        metadata["continue"] = Continue::encode(page.revision, next).into();
        if Selection::of(&context)?.is_everything() {
            metadata["remainingItemCount"] = page.remaining.into();
        }
    }
    if context.form == Form::Metadata
        && let Some(metadata) = metadata.as_object_mut()
    {
        metadata.remove("remainingItemCount");
    }
    let left_out = left_out(&context);
    let mut response = negotiation::raw(StatusCode::OK, "application/json", Bytes::new());
    *response.body_mut() = Listing::new(context, page.entries, &metadata).body();
    negotiation::warn(&mut response, &left_out);
    Ok(response)
}

/// Bytes of a list that are made ready together. A list that is not larger is sent as a whole, with its length.
const AT_ONCE: usize = 512 << 10;

/// A list that is being written. Whoever does not read costs no copy of the objects: these are made into text as the
/// client takes it.
struct Listing {
    context: Context,
    entries: std::vec::IntoIter<Arc<Entry>>,
    /// What stands before the first item, until it is written.
    head: Option<Vec<u8>>,
    /// What stands behind the last item, until it is written.
    tail: Option<&'static [u8]>,
    first: bool,
}

impl Listing {
    fn new(context: Context, entries: Vec<Arc<Entry>>, metadata: &Value) -> Self {
        let served = &context.served;
        let (list, items) = match context.form {
            Form::Object => {
                let head = json!({"kind": served.resource.list_kind, "apiVersion": served.api_version(),
                    "metadata": metadata});
                (head, "items")
            }
            Form::Metadata => {
                let head = json!({"kind": "PartialObjectMetadataList", "apiVersion": "meta.k8s.io/v1",
                    "metadata": metadata});
                (head, "items")
            }
            Form::Table => {
                let mut head = table(&context, &[], Some(metadata));
                if let Some(head) = head.as_object_mut() {
                    head.remove("rows");
                }
                (head, "rows")
            }
        };
        let mut head = list.to_string().into_bytes();
        head.pop();
        head.extend_from_slice(format!(",\"{items}\":[").as_bytes());
        Self { context, entries: entries.into_iter(), head: Some(head), tail: Some(b"]}"), first: true }
    }

    fn body(mut self) -> Body {
        let size: usize = self.entries.as_slice().iter().map(|entry| entry.body.len()).sum();
        if size <= AT_ONCE {
            let mut all = Vec::with_capacity(size + 512);
            while let Some(part) = self.next() {
                all.extend_from_slice(&part);
            }
            return negotiation::whole(all);
        }
        let parts = futures::stream::unfold(Some(self), |listing| async move {
            let mut listing = listing?;
            // The request itself is answered by now: nobody else would keep a mistake of ours to this list alone.
            match catch_unwind(AssertUnwindSafe(|| listing.next())) {
                Ok(part) => Some((Ok(Frame::data(Bytes::from(part?))), Some(listing))),
                Err(_) => Some((Err(Broken), None)),
            }
        });
        StreamBody::new(parts).boxed_unsync()
    }

    /// The next part, about as large as one is to be.
    fn next(&mut self) -> Option<Vec<u8>> {
        let mut out = self.head.take().unwrap_or_default();
        while out.len() < AT_ONCE {
            let entries = self.some();
            if entries.is_empty() {
                out.extend_from_slice(self.tail.take().unwrap_or_default());
                return (!out.is_empty()).then_some(out);
            }
            self.write(&entries, &mut out);
        }
        Some(out)
    }

    /// The next objects that are written together: of a table some, since what its columns are is found out each time.
    fn some(&mut self) -> Vec<Arc<Entry>> {
        let most = if self.context.form == Form::Table { 16 } else { 1 };
        let mut left = AT_ONCE;
        let fits = |entry: &&Arc<Entry>| {
            let fits = left > 0;
            left = left.saturating_sub(entry.body.len());
            fits
        };
        let count = self.entries.as_slice().iter().take(most).take_while(fits).count();
        self.entries.by_ref().take(count).collect()
    }

    fn write(&mut self, entries: &[Arc<Entry>], out: &mut Vec<u8>) {
        let (context, served) = (&self.context, &self.context.served);
        let mut first = std::mem::take(&mut self.first);
        let mut next = |out: &mut Vec<u8>| {
            if !std::mem::take(&mut first) {
                out.push(b',');
            }
        };
        if context.form == Form::Table {
            let values: Vec<Value> = entries.iter().map(|entry| value_of(served, entry)).collect();
            let table = table(context, &values, Some(&Value::Null));
            for row in table["rows"].as_array().into_iter().flatten() {
                next(out);
                out.extend_from_slice(&to_bytes(row));
            }
            return;
        }
        for entry in entries {
            next(out);
            match context.form {
                Form::Object if !served.is_as_stored(entry) => {
                    out.extend_from_slice(&to_bytes(&item_of(served, entry)));
                }
                // The stored bytes: nothing is parsed or serialized again. Built-in objects say no apiVersion and kind,
                // which the list says once.
                Form::Object if served.custom.is_some() => out.extend_from_slice(&entry.body),
                Form::Object => {
                    out.push(b'{');
                    out.extend_from_slice(entry.members());
                }
                Form::Table | Form::Metadata => {
                    out.extend_from_slice(&to_bytes(&metadata_only(&value_of(served, entry))));
                }
            }
        }
    }
}

/// Names of unreadable objects that a list tells.
const LEFT_OUT_TOLD: usize = 10;

/// What a list does not have: nobody should take a part for the whole. (kube-apiserver fails the list instead, and with
/// it every client of the kind.)
fn left_out(context: &Context) -> Vec<String> {
    let namespace = (!context.namespace().is_empty()).then(|| context.namespace());
    let keys = context.api.store.unreadable(&context.served.storage, namespace);
    let tell = |key: &ObjectKey| {
        let place = if key.namespace.is_empty() {
            String::new()
        } else {
            format!(" in namespace {:?}", key.namespace)
        };
        format!(
            "{} {:?}{place} cannot be read and is left out; it can be deleted",
            context.served.plural(),
            key.name
        )
    };
    keys.iter().take(LEFT_OUT_TOLD).map(tell).collect()
}

/// An object as a list holds it: built-in ones without apiVersion and kind, which the list says once.
pub(super) fn item_of(served: &Served, entry: &Entry) -> Value {
    let mut value = value_of(served, entry);
    if served.custom.is_none()
        && let Some(object) = value.as_object_mut()
    {
        object.remove("apiVersion");
        object.remove("kind");
    }
    value
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
