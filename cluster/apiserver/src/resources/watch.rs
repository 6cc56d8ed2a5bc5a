//! `watch`: a stream of lines, with resume, bookmarks and initial events (KEP-3157).

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::Response;
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use serde_json::{Value, json};

use super::selection::{Selection, metadata_only, table};
use super::value_of;
use crate::api::Context;
use crate::negotiation::{Body, Form};
use crate::status::{ApiError, Result};
use crate::store::{Entry, Event, EventKind, Watch, WatchEnd};

/// Time between bookmarks.
const BOOKMARK_EVERY: Duration = Duration::from_secs(60);
/// Watches end by themselves after this long (plus what the client's clock says), as the real server's do.
const LONGEST: Duration = Duration::from_secs(3600);

/// How long a revision is waited for that is not there yet.
const FUTURE: Duration = Duration::from_secs(3);

/// Bytes of the first objects that are made ready together.
const AT_ONCE: usize = 64 << 10;

struct Stream {
    context: Context,
    selection: Selection,
    watch: Watch,
    /// Objects that the watch begins with; they become lines as the client reads.
    initial: std::vec::IntoIter<Arc<Entry>>,
    /// A bookmark at their end.
    initial_end: Option<u64>,
    ready: VecDeque<Bytes>,
    bookmarks: bool,
    next_bookmark: tokio::time::Instant,
    ends_at: tokio::time::Instant,
    ended: bool,
    /// Tables name their columns in the first event only.
    headed: AtomicBool,
}

pub(super) async fn watch(context: Context) -> Result<Response<Body>> {
    let selection = Selection::of(&context)?;
    super::read::check_initial_events(&context, true)?;
    let asked = super::read::asked_revision(&context)?;
    let bookmarks = context.query.flag("allowWatchBookmarks");
    let initial = context.query.flag("sendInitialEvents");
    let seconds = context.query.number::<u64>("timeoutSeconds")?.map_or(LONGEST, Duration::from_secs);

    // Without a revision (or with 0) a watch begins with the objects as they are now.
    let snapshot = initial || asked.is_none_or(|rv| rv == 0);
    let namespace = (!context.namespace().is_empty()).then(|| context.namespace().to_owned());
    // What there is at a revision to come, nobody can tell: it is waited for, and not for long. A watch that begins there
    // just shows nothing before.
    if let Some(asked) = asked.filter(|_| initial)
        && !context.api.store.reached(asked, FUTURE).await
    {
        return Err(super::read::too_new(asked, context.api.store.revision()));
    }
    let (mut entries, revision) = context.api.store.read(|state| {
        let entries: Vec<Arc<Entry>> = if snapshot {
            state
                .range(&context.served.storage, namespace.as_deref())
                .map(|(_, e)| e.clone())
                .filter(|e| e.is_readable() && selection.may_match(e))
                .collect()
        } else {
            vec![]
        };
        (entries, state.revision())
    });
    if selection.parses() {
        entries.retain(|e| selection.matches(e));
    }
    let since = if snapshot { revision } else { asked.unwrap_or(revision) };
    let watch = match context.api.store.watch(&context.served.storage, since) {
        Ok(watch) => watch,
        Err(WatchEnd::Closed) => return Err(ApiError::stopping()),
        // As the real server: the stream opens and its first event says 410.
        Err(WatchEnd::Expired) => {
            let stream = futures::stream::iter([Ok(Frame::data(expired(since)))]);
            return Ok(response(StreamBody::new(stream).boxed_unsync()));
        }
    };
    let stream = Stream {
        selection,
        watch,
        initial: entries.into_iter(),
        initial_end: (initial && bookmarks).then_some(revision),
        ready: VecDeque::new(),
        bookmarks,
        next_bookmark: tokio::time::Instant::now() + BOOKMARK_EVERY,
        ends_at: tokio::time::Instant::now() + seconds.min(LONGEST * 24),
        ended: false,
        headed: AtomicBool::new(false),
        context,
    };
    let stream = futures::stream::unfold(stream, |mut stream| async move {
        let line = stream.next().await?;
        Some((Ok(Frame::data(line)), stream))
    });
    Ok(response(StreamBody::new(stream).boxed_unsync()))
}

fn response(body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    response
        .headers_mut()
        .insert(http::header::CONTENT_TYPE, http::HeaderValue::from_static("application/json;stream=watch"));
    response
}

fn expired(since: u64) -> Bytes {
    let error = ApiError::expired(format!("too old resource version: {since}"));
    line_of("ERROR", &error.to_value())
}

fn line_of(kind: &str, object: &Value) -> Bytes {
    let mut line = json!({"type": kind, "object": object}).to_string();
    line.push('\n');
    line.into()
}

impl Stream {
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if let Some(line) = self.ready.pop_front() {
                // Everything that is ready goes out at once.
                if self.ready.is_empty() {
                    return Some(line);
                }
                let mut all = line.to_vec();
                self.ready.drain(..).for_each(|l| all.extend_from_slice(&l));
                return Some(all.into());
            }
            let mut bytes = 0;
            while bytes < AT_ONCE
                && let Some(entry) = self.initial.next()
            {
                let line = self.line("ADDED", &entry);
                bytes += line.len();
                self.ready.push_back(line);
            }
            if self.initial.len() == 0
                && let Some(revision) = self.initial_end.take()
            {
                let line = self.bookmark(revision, true);
                self.ready.push_back(line);
            }
            if !self.ready.is_empty() {
                continue;
            }
            if self.ended {
                return None;
            }
            let stopping = self.context.api.stopping.clone();
            tokio::select! {
                () = stopping.cancelled() => return None,
                () = tokio::time::sleep_until(self.ends_at) => return None,
                // By the clock: events that are not selected do not put it off.
                () = tokio::time::sleep_until(self.next_bookmark), if self.bookmarks => {
                    self.next_bookmark = tokio::time::Instant::now() + BOOKMARK_EVERY;
                    if let Some(revision) = self.watch.caught_up() {
                        return Some(self.bookmark(revision, false));
                    }
                }
                events = self.watch.next() => match events {
                    Ok(events) => {
                        for event in events {
                            if let Some(line) = self.event(&event) {
                                self.ready.push_back(line);
                            }
                        }
                    }
                    Err(WatchEnd::Closed) => return None,
                    Err(WatchEnd::Expired) => {
                        self.ended = true;
                        return Some(expired(self.watch.since()));
                    }
                },
            }
        }
    }

    /// The line for an event; an object that enters or leaves the selection is added or deleted.
    fn event(&self, event: &Event) -> Option<Bytes> {
        let namespace = self.context.namespace();
        if !namespace.is_empty() && event.entry.key.namespace != namespace {
            return None;
        }
        // Who was never shown does not leave.
        if !event.entry.is_readable() {
            return None;
        }
        if self.selection.is_everything() {
            return Some(self.frame(event));
        }
        let after = event.kind != EventKind::Deleted && self.selection.matches(&event.entry);
        let before = event.previous.as_ref().is_some_and(|p| self.selection.matches(p));
        match (before, after) {
            (true, true) => Some(self.line("MODIFIED", &event.entry)),
            (false, true) => Some(self.line("ADDED", &event.entry)),
            (true, false) if event.kind == EventKind::Deleted => Some(self.line("DELETED", &event.entry)),
            (true, false) => {
                // The last state that was selected, at the revision at which it left.
                let mut value = value_of(&self.context.served, event.previous.as_ref()?);
                value["metadata"]["resourceVersion"] = event.entry.revision.to_string().into();
                Some(self.shaped("DELETED", value))
            }
            (false, false) => None,
        }
    }

    fn plain(&self, entry: &Entry) -> bool {
        self.context.form == Form::Object && self.context.served.is_as_stored(entry)
    }

    fn frame(&self, event: &Event) -> Bytes {
        if self.plain(&event.entry) { event.frame() } else { self.line(event.kind.as_str(), &event.entry) }
    }

    fn line(&self, kind: &str, entry: &Arc<Entry>) -> Bytes {
        if self.plain(entry) {
            return crate::store::frame(kind, &entry.body);
        }
        self.shaped(kind, value_of(&self.context.served, entry))
    }

    fn shaped(&self, kind: &str, value: Value) -> Bytes {
        match self.context.form {
            Form::Object => line_of(kind, &value),
            Form::Table => {
                let mut table = table(&self.context, &[value], None);
                if self.headed.swap(true, Ordering::Relaxed) {
                    table["columnDefinitions"] = Value::Null;
                }
                line_of(kind, &table)
            }
            Form::Metadata => line_of(kind, &metadata_only(&value)),
        }
    }

    fn bookmark(&self, revision: u64, initial_end: bool) -> Bytes {
        let served = &self.context.served;
        let mut metadata = json!({"resourceVersion": revision.to_string(), "creationTimestamp": null});
        if initial_end {
            metadata["annotations"] = json!({"k8s.io/initial-events-end": "true"});
        }
        let object = match self.context.form {
            Form::Object => {
                json!({"kind": served.kind(), "apiVersion": served.api_version(), "metadata": metadata})
            }
            Form::Metadata => metadata_only(&json!({"metadata": metadata})),
            Form::Table => {
                json!({"kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": metadata,
                       "columnDefinitions": [], "rows": []})
            }
        };
        line_of("BOOKMARK", &object)
    }
}
