//! What the containers of pods print, as it comes.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::response::sse::{Event, KeepAlive, Sse};
use futures::io::AsyncBufReadExt as _;
use futures::stream::{self, BoxStream, SelectAll};
use futures::{Stream, StreamExt as _};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, LogParams};
use seaway_sync::view::EnvironmentKey;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{App, audit, request};
use crate::authorization::Person;
use crate::permissions::Verb;
use crate::problem::Problem;

/// Containers that are read at the same time.
const MAX_CONTAINERS: usize = 40;
/// Lines of each container from before now, when nothing else is said.
const TAIL: i64 = 200;
const LARGEST_TAIL: i64 = 5000;
/// A longer line is cut, in bytes.
const LONGEST_LINE: usize = 16 * 1024;
/// How often it is asked whether somebody may still read: Kubernetes does not end what it has begun.
const ASKED_AGAIN: Duration = Duration::from_secs(3);

/// Which logs.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct LogsQuery {
    /// Namespace of the pods.
    namespace: String,
    /// Names of the pods, separated by commas.
    pods: String,
    /// The container; absent: all of them.
    container: Option<String>,
    /// Go on with what comes.
    #[serde(default)]
    follow: bool,
    /// Of the container that ran before the present one.
    #[serde(default)]
    previous: bool,
    /// Lines of each container from before now, at most 5000.
    #[param(minimum = 0, maximum = 5000, default = 200)]
    tail: Option<i64>,
    /// Only lines from that second on (RFC 3339), as for a reader that was away: it knows some of them.
    since: Option<String>,
}

/// A line that a container printed.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct LogLine {
    /// The pod.
    pub(super) pod: String,
    /// The container.
    pub(super) container: String,
    /// When.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) time: Option<String>,
    /// What.
    pub(super) text: String,
}

/// Why a container's log cannot be read.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct LogProblem {
    /// The pod.
    pub(super) pod: String,
    /// The container; empty when it is about the whole pod.
    pub(super) container: String,
    /// For people.
    pub(super) message: String,
}

/// The logs of one or several pods of an environment, as server-sent events.
///
/// Events named `line` carry a LogLine; `problem` a LogProblem: that container cannot be read, the others go on; `end`
/// comes when nothing more will. Logs are read as the person who asks. The stream ends soon after a logout, or after the
/// right to see the environment; one may have 20 of them open.
#[utoipa::path(
    get, path = "/api/v1/environments/{namespace}/{name}/logs", tag = "environments",
    params(("namespace" = String, Path, description = "Namespace of the environment"),
           ("name" = String, Path, description = "Name of the environment"), LogsQuery),
    responses(
        (status = 200, body = LogLine, content_type = "text/event-stream"),
        (status = 429, body = Problem, content_type = "application/problem+json",
         description = "Too many of them are open"),
        (status = "4XX", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn logs(
    State(app): State<Arc<App>>,
    person: Person,
    Path((namespace, name)): Path<(String, String)>,
    query: Result<Query<LogsQuery>, QueryRejection>,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Problem> {
    let key = request::key(namespace, name)?;
    let query = request::query(query)?;
    audit::must(&app, &person, Verb::Get, &key).await?;
    request::segment("namespace", &query.namespace)?;
    if !app.sync.namespaces(&key)?.contains(&query.namespace) {
        return Err(Problem::not_found(format!("environment {key} has no namespace {:?}", query.namespace)));
    }
    let pods: Vec<&str> = query.pods.split(',').map(str::trim).filter(|pod| !pod.is_empty()).collect();
    if pods.is_empty() || pods.len() > MAX_CONTAINERS {
        return Err(Problem::bad_request(format!(
            "pods names one to {MAX_CONTAINERS} pods, separated by commas"
        )));
    }
    let since = query.since.as_deref().map(|since| {
        let since = since.parse::<jiff::Timestamp>();
        since.map_err(|_| Problem::bad_request("since is no time of RFC 3339, such as 2030-01-31T12:00:00Z"))
    });
    let since = since.transpose()?;
    let open = app.streams.open(&person.identity.name)?;
    let api: Api<Pod> = Api::namespaced(person.client.clone(), &query.namespace);
    let mut sources = SelectAll::new();
    for pod in pods {
        request::segment("pod", pod)?;
        match api.get(pod).await {
            Ok(found) => {
                for container in containers(&found, query.container.as_deref()) {
                    if sources.len() < MAX_CONTAINERS {
                        sources.push(source(&api, pod, container, &query, since).await);
                    }
                }
            }
            Err(error) => {
                let message = Problem::from_kubernetes(error).detail;
                sources.push(once(problem(pod, "", message)));
            }
        }
    }
    let end = stream::once(async { Event::default().event("end").data("{}") });
    let stopping = app.stopping.clone();
    let over = async move {
        tokio::select! {
            () = stopping.cancelled() => {}
            () = out_of_rights(&app, &person, &key) => {}
        }
    };
    let events = sources.chain(end).take_until(over).map(move |event| {
        let _counted = &open;
        Ok(event)
    });
    Ok(Sse::new(events).keep_alive(KeepAlive::new().interval(Duration::from_secs(15))))
}

/// Ends once the person is logged out, or may not see the environment any more.
async fn out_of_rights(app: &App, person: &Person, key: &EnvironmentKey) {
    loop {
        tokio::time::sleep(ASKED_AGAIN).await;
        if let Some(session) = person.session
            && !app.accounts.goes_on(session).await
        {
            return;
        }
        // Who cannot be asked about is not shown more: the reader asks again.
        if !person.may_with(Verb::Get, key, app.sync.line(key).as_ref()).await.unwrap_or(false) {
            return;
        }
    }
}

/// The containers of a pod that have been started or will be.
fn containers(pod: &Pod, wanted: Option<&str>) -> Vec<String> {
    let spec = pod.spec.as_ref();
    let init = spec.and_then(|spec| spec.init_containers.as_ref()).into_iter().flatten();
    let names = init.chain(spec.into_iter().flat_map(|spec| &spec.containers)).map(|c| c.name.clone());
    names.filter(|name| wanted.is_none_or(|wanted| wanted == name)).collect()
}

async fn source(
    api: &Api<Pod>,
    pod: &str,
    container: String,
    query: &LogsQuery,
    since: Option<jiff::Timestamp>,
) -> BoxStream<'static, Event> {
    let parameters = LogParams {
        container: Some(container.clone()),
        follow: query.follow,
        previous: query.previous,
        tail_lines: Some(query.tail.unwrap_or(TAIL).clamp(0, LARGEST_TAIL)),
        timestamps: true,
        since_time: since,
        ..LogParams::default()
    };
    let pod = pod.to_owned();
    match api.log_stream(&pod, &parameters).await {
        Ok(reader) => {
            let lines = reader.lines();
            lines
                .map(move |line| match line {
                    Ok(line) => self::line(&pod, &container, &line),
                    Err(error) => problem(&pod, &container, error.to_string()),
                })
                .boxed()
        }
        Err(error) => once(problem(&pod, &container, Problem::from_kubernetes(error).detail)),
    }
}

fn once(event: Event) -> BoxStream<'static, Event> {
    stream::once(async move { event }).boxed()
}

fn line(pod: &str, container: &str, line: &str) -> Event {
    let (time, text) = match line.split_once(' ') {
        Some((time, text)) if time.parse::<jiff::Timestamp>().is_ok() => (Some(time.to_owned()), text),
        _ => (None, line),
    };
    let text = text[..text.floor_char_boundary(LONGEST_LINE)].to_owned();
    let line = LogLine { pod: pod.to_owned(), container: container.to_owned(), time, text };
    Event::default().event("line").data(serde_json::to_string(&line).unwrap_or_default())
}

fn problem(pod: &str, container: &str, message: String) -> Event {
    let problem = LogProblem { pod: pod.to_owned(), container: container.to_owned(), message };
    Event::default().event("problem").data(serde_json::to_string(&problem).unwrap_or_default())
}
