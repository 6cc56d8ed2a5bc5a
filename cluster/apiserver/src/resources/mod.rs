//! The verbs on resources.

mod commit;
mod decode;
mod delete;
mod metadata;
mod patch;
mod read;
mod scale;
mod selection;
mod subresources;
mod token;
mod watch;
mod write;

use std::sync::Arc;

use bytes::Bytes;
use http::{Method, Response, StatusCode};
use serde_json::Value;

use crate::api::Context;
use crate::catalog::Served;
use crate::negotiation::{self, Body, Form};
use crate::status::{ApiError, Result};
use crate::store::Entry;

pub(crate) use decode::quantities;
pub(crate) use delete::{Deletion, FOREGROUND, ORPHAN, Outcome, Propagation, delete_object, finish_if_done};
pub(crate) use write::{Operation, Request as WriteRequest};

/// Hands a request to its verb.
pub(crate) async fn dispatch(context: Context, method: Method, body: Bytes) -> Result<Response<Body>> {
    let allowed = |verb: &str| {
        if context.served.resource.verbs.iter().any(|v| v == verb) {
            Ok(())
        } else {
            Err(ApiError::method_not_allowed())
        }
    };
    // A Namespace's own path names it as the namespace too.
    let is_namespace = &*context.served.storage == "/namespaces";
    let in_namespace = !context.path.namespace.is_empty() && !is_namespace;
    let fits = match context.served.resource.namespaced {
        true => in_namespace || context.path.name.is_empty(),
        false => !in_namespace,
    };
    if !fits {
        return Err(ApiError::no_such_resource());
    }
    if !context.path.subresource.is_empty() {
        return subresources::dispatch(context, method, body).await;
    }
    if context.served.resource.is_virtual() {
        return match method {
            Method::POST if context.served.kind() == "Binding" => subresources::binding(context, &body).await,
            Method::POST => crate::reviews::create(&context, &body),
            _ => Err(ApiError::method_not_allowed()),
        };
    }
    match (method, context.path.name.is_empty()) {
        (Method::GET | Method::HEAD, all) if context.path.watch || (all && context.query.flag("watch")) => {
            allowed("watch")?;
            watch::watch(context).await
        }
        (Method::GET | Method::HEAD, true) => {
            allowed("list")?;
            read::list(context)
        }
        (Method::GET | Method::HEAD, false) => {
            allowed("get")?;
            read::get(&context)
        }
        (Method::POST, true) => {
            allowed("create")?;
            if context.served.resource.namespaced && context.path.namespace.is_empty() {
                return Err(ApiError::method_not_allowed());
            }
            write::create(&context, &body).await
        }
        (Method::PUT, false) => {
            allowed("update")?;
            write::replace(&context, &body).await
        }
        (Method::PATCH, false) => {
            allowed("patch")?;
            patch::patch(&context, &body).await
        }
        (Method::DELETE, false) => {
            allowed("delete")?;
            delete::delete(&context, &body).await
        }
        (Method::DELETE, true) => {
            allowed("deletecollection")?;
            // Across all namespaces there is only reading.
            if context.served.resource.namespaced && context.path.namespace.is_empty() {
                return Err(ApiError::method_not_allowed());
            }
            delete::delete_collection(&context, &body).await
        }
        _ => Err(ApiError::method_not_allowed()),
    }
}

/// The object of an entry at the version that was asked for.
pub(crate) fn value_of(served: &Served, entry: &Entry) -> Value {
    let mut value = entry.value();
    if served.is_as_stored(entry) {
        return value;
    }
    crate::conversion::from_storage(served, &mut value);
    value
}

/// Answers one object in the wanted form.
pub(crate) fn answer(context: &Context, code: StatusCode, entry: &Arc<Entry>) -> Response<Body> {
    if context.form == Form::Object && context.served.is_as_stored(entry) {
        return negotiation::raw(code, "application/json", entry.body.clone());
    }
    answer_value(context, code, value_of(&context.served, entry))
}

/// Answers an object that is not (or not so) in the store.
pub(crate) fn answer_value(context: &Context, code: StatusCode, value: Value) -> Response<Body> {
    match context.form {
        Form::Object => negotiation::json(code, &value),
        Form::Table => negotiation::json(code, &selection::table(context, &[value], None)),
        Form::Metadata => negotiation::json(code, &selection::metadata_only(&value)),
    }
}

/// Parses a body that is not an object of a stored resource.
pub(crate) fn parse_body(media_type: &str, body: &[u8]) -> Result<Value> {
    let value = decode::parse(media_type, body)?.0;
    if !value.is_object() || !(value["spec"].is_null() || value["spec"].is_object()) {
        return Err(ApiError::bad_request("the body is not an object with a spec"));
    }
    Ok(value)
}
