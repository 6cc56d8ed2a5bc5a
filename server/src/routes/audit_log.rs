//! Reading who did what: filtered, in pages, or exported as a whole.

use std::io;
use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::response::{IntoResponse, Response};
use futures::stream;
use http::header::{CONTENT_DISPOSITION, CONTENT_TYPE, HeaderValue};
use hyper::body::Bytes;
use jiff::Timestamp;
use seaway_ledger::{Event, EventFilter, MAX_PAGE, Order};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{App, audit, request};
use crate::authorization::Person;
use crate::problem::Problem;

/// Elements of a page when nothing is asked for.
const PAGE: usize = 100;
/// Most elements of a page.
const LARGEST_PAGE: usize = 500;
/// Media type of JSON lines.
const JSON_LINES: &str = "application/x-ndjson";

/// Which events: those for which all that is given holds.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct AuditQuery {
    /// Who: a user name in Kubernetes.
    actor: Option<String>,
    /// What was done: `environment.sync`, or with a `*` at the end whatever begins so: `session.*`.
    action: Option<String>,
    /// To what: `Environment/seaway/production`, or with a `*` at the end whatever begins so: `Environment/seaway/*`.
    object: Option<String>,
    /// How it ended: `requested`, `succeeded`, `failed` or `denied`.
    outcome: Option<String>,
    /// From where: an address.
    address: Option<String>,
    /// At this time or later (RFC 3339).
    #[param(value_type = Option<String>, format = DateTime)]
    since: Option<Timestamp>,
    /// Before this time (RFC 3339).
    #[param(value_type = Option<String>, format = DateTime)]
    until: Option<Timestamp>,
    /// Elements of a page, at most 500; counts for nothing in an export.
    #[param(minimum = 1, maximum = 500, default = 100)]
    limit: Option<usize>,
    /// `continue` of the page before; counts for nothing in an export.
    #[serde(rename = "continue")]
    before: Option<i64>,
}

impl AuditQuery {
    fn filter(self, order: Order) -> EventFilter {
        let Self { actor, action, object, outcome, address, since, until, .. } = self;
        let given = |text: Option<String>| text.filter(|text| !text.is_empty());
        let exactly =
            |text: &Option<String>| text.clone().filter(|text| !text.is_empty() && !text.ends_with('*'));
        let beginning = |text: &Option<String>| text.as_deref()?.strip_suffix('*').map(str::to_owned);
        EventFilter {
            actor: given(actor),
            action: exactly(&action),
            action_prefix: beginning(&action),
            object: exactly(&object),
            object_prefix: beginning(&object),
            outcome: given(outcome),
            address: given(address),
            since,
            until,
            order,
            ..EventFilter::default()
        }
    }
}

/// A page of what was done.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AuditList {
    /// The events, the latest first.
    #[schema(schema_with = crate::schemas::list_of_events)]
    pub items: Vec<Event>,
    /// Asks for the next page; absent on the last one.
    #[serde(rename = "continue", default, skip_serializing_if = "Option::is_none")]
    pub next: Option<i64>,
}

/// Who did what, to what, from where, and how it ended; attempts that were refused as well. Of Secrets, and of whatever is
/// called a password, token or key, there is no value in it.
#[utoipa::path(
    get, path = "/api/v1/audit", operation_id = "list_audit", tag = "audit", params(AuditQuery),
    responses((status = 200, body = AuditList), (status = "4XX", body = Problem, content_type = "application/problem+json")),
)]
pub(super) async fn list(
    State(app): State<Arc<App>>,
    person: Person,
    query: Result<Query<AuditQuery>, QueryRejection>,
) -> Result<Json<AuditList>, Problem> {
    let query = request::query(query)?;
    audit::must_read(&app, &person).await?;
    let limit = match query.limit.unwrap_or(PAGE) {
        0 => return Err(Problem::bad_request("limit is at least 1")),
        limit => limit.min(LARGEST_PAGE),
    };
    let before = query.before;
    let filter = EventFilter { before, ..query.filter(Order::NewestFirst) };
    let page = app.ledger.events(&filter, limit).await.map_err(unreadable)?;
    let next = page.items.last().filter(|_| page.more).map(|event| event.id);
    Ok(Json(AuditList { items: page.items, next }))
}

/// The same, all of it, the earliest first: one JSON object in each line. What happens meanwhile is not in it.
#[utoipa::path(
    get, path = "/api/v1/audit/export", operation_id = "export_audit", tag = "audit", params(AuditQuery),
    responses(
        (status = 200, description = "Each line is an Event", body = ref("#/components/schemas/Event"),
         content_type = "application/x-ndjson"),
        (status = "4XX", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn export(
    State(app): State<Arc<App>>,
    person: Person,
    query: Result<Query<AuditQuery>, QueryRejection>,
) -> Result<Response, Problem> {
    let query = request::query(query)?;
    audit::must_read(&app, &person).await?;
    // Whoever takes the whole history with him is in it.
    audit::write_export(&app, &person).await?;
    let newest = *app.ledger.newest_event().borrow();
    let filter = EventFilter { before: newest.checked_add(1), ..query.filter(Order::OldestFirst) };
    let pages = stream::try_unfold((app, Some(filter)), async |(app, filter)| {
        let Some(mut filter) = filter else { return Ok(None) };
        // The head is sent: the connection breaks off, so that half a file is not taken for a whole one.
        let (lines, last) = page(&app, &filter).await.map_err(|problem| io::Error::other(problem.detail))?;
        let next = last.map(|last| {
            filter.after = Some(last);
            filter
        });
        Ok::<_, io::Error>(Some((lines, (app, next))))
    });
    let headers = [
        (CONTENT_TYPE, HeaderValue::from_static(JSON_LINES)),
        (CONTENT_DISPOSITION, HeaderValue::from_static("attachment; filename=\"seaway-audit.jsonl\"")),
    ];
    Ok((headers, Body::from_stream(pages)).into_response())
}

/// The lines of a page, and the id of its last event when there are more.
async fn page(app: &App, filter: &EventFilter) -> Result<(Bytes, Option<i64>), Problem> {
    let page = app.ledger.events(filter, MAX_PAGE).await.map_err(unreadable)?;
    let mut lines = Vec::new();
    for event in &page.items {
        // An event is a JSON object as it was stored.
        if serde_json::to_writer(&mut lines, event).is_ok() {
            lines.push(b'\n');
        }
    }
    let last = page.items.last().filter(|_| page.more).map(|event| event.id);
    Ok((Bytes::from(lines), last))
}

fn unreadable(error: seaway_ledger::Error) -> Problem {
    tracing::warn!(%error, "the ledger cannot be read");
    Problem::unavailable("the ledger cannot be read")
}
