//! The live stream of what happens (server-sent events).
//!
//! Two things come through it. What the ledger keeps has its id there, so that a reader that was away goes on where it
//! was and misses nothing. What is going on within a sync is only of use at once: it has no id, and is not sent again.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::response::sse::{Event, KeepAlive, Sse};
use futures::Stream;
use futures::stream;
use http::HeaderMap;
use seaway_sync::view::{EnvironmentKey, Progress};
use serde::Deserialize;
use tokio::sync::{broadcast, watch};
use tokio::time::Instant;
use utoipa::IntoParams;

use super::{App, audit, request};
use crate::authorization::{Person, Reach};
use crate::permissions::Verb;
use crate::problem::Problem;

/// Between two times that a reader is told something: nobody sees more than that.
const PACE: Duration = Duration::from_millis(50);
/// For so long what a person may see is known: with a hundred changes in a second, asking each time would be most of
/// the work.
const KNOWN: Duration = Duration::from_secs(1);

/// Which events.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct EventQuery {
    /// Those of environments of this namespace.
    namespace: Option<String>,
    /// Those of environments of this name.
    name: Option<String>,
}

impl EventQuery {
    fn wants(&self, namespace: &str, name: &str) -> bool {
        let is = |wanted: &Option<String>, found| wanted.as_deref().is_none_or(|wanted| wanted == found);
        is(&self.namespace, namespace) && is(&self.name, name)
    }
}

/// What happens from now on, or since `Last-Event-ID`.
///
/// Events named `event` are those of the ledger, each with its id: ask with the last one seen as `Last-Event-ID` and
/// nothing is missed. Events named `progress` say what is going on right now; they have no id and are not repeated.
#[utoipa::path(
    get, path = "/api/v1/events", tag = "events",
    params(EventQuery, ("Last-Event-ID" = Option<i64>, Header, description = "The last event that was seen")),
    responses(
        (status = 200, description = "The data of an `event` is an Event, that of a `progress` a Progress",
         body = ref("#/components/schemas/Event"), content_type = "text/event-stream"),
        (status = 429, body = Problem, content_type = "application/problem+json",
         description = "The person has too many of them open"),
        (status = "4XX", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn events(
    State(app): State<Arc<App>>,
    person: Person,
    headers: HeaderMap,
    query: Result<Query<EventQuery>, QueryRejection>,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Problem> {
    let query = request::query(query)?;
    let mut newest = app.ledger.newest_event();
    let last = match headers.get("last-event-id") {
        None => *newest.borrow_and_update(),
        Some(id) => {
            newest.mark_changed();
            let id = id.to_str().ok().and_then(|id| id.parse().ok());
            id.ok_or_else(|| Problem::bad_request("Last-Event-ID is not the id of an event"))?
        }
    };
    let open = app.listeners.open(&person.identity.name)?;
    let progress = app.sync.subscribe();
    // Says where to go on, also when nothing happens for a while.
    let first = Event::default().id(last.to_string()).comment("connected");
    let person = Arc::new(person);
    let reader = Reader {
        app,
        person,
        query,
        last,
        newest,
        progress,
        ready: VecDeque::from([first]),
        paused: Instant::now(),
        reach: None,
    };
    let events = stream::unfold((reader, open), async |(mut reader, open)| {
        let event = reader.next().await?;
        Some((Ok(event), (reader, open)))
    });
    Ok(Sse::new(events).keep_alive(KeepAlive::new().interval(Duration::from_secs(15))))
}

struct Reader {
    app: Arc<App>,
    person: Arc<Person>,
    query: EventQuery,
    /// Id of the last event of the ledger that was looked at.
    last: i64,
    newest: watch::Receiver<i64>,
    progress: broadcast::Receiver<Progress>,
    ready: VecDeque<Event>,
    /// Before then nothing more is told.
    paused: Instant,
    /// What the person may see, and since when that is known.
    reach: Option<(Instant, Reach)>,
}

impl Reader {
    /// The next event; `None` ends the stream, and the reader asks again.
    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Some(event);
            }
            let mut news = Vec::new();
            tokio::select! {
                changed = self.newest.changed() => {
                    changed.ok()?;
                    self.newest.mark_changed();
                }
                progress = self.progress.recv() => match progress {
                    Ok(progress) => news.push(progress),
                    Err(broadcast::error::RecvError::Lagged(_)) => {}
                    Err(broadcast::error::RecvError::Closed) => return None,
                },
                () = self.app.stopping.cancelled() => return None,
            }
            // What comes soon after is told together: rights are asked for once, and not for each of a hundred changes.
            tokio::select! {
                () = tokio::time::sleep_until(self.paused) => {}
                () = self.app.stopping.cancelled() => return None,
            }
            loop {
                match self.progress.try_recv() {
                    Ok(progress) => news.push(progress),
                    Err(broadcast::error::TryRecvError::Lagged(_)) => {}
                    Err(_) => break,
                }
            }
            let read = self.newest.has_changed().ok()?;
            self.newest.mark_unchanged();
            if self.tell(&news, read).await? {
                // What was read is sent first: who asks for all there ever was must not have it held here at once.
                self.newest.mark_changed();
            } else {
                self.paused = Instant::now() + PACE;
            }
        }
    }

    /// Makes ready what the person may see: of what goes on, and of the ledger. Whether the ledger has more.
    async fn tell(&mut self, news: &[Progress], read: bool) -> Option<bool> {
        let (app, mut reach) = (self.app.clone(), self.reach().await?);
        for progress in news {
            let key = &progress.environment;
            if self.query.wants(&key.namespace, &key.name) && Self::sees(&app, &mut reach.1, key).await? {
                self.ready.push_back(Event::default().event("progress").json_data(progress).ok()?);
            }
        }
        let more = if read { self.read(&mut reach.1).await? } else { false };
        self.reach = Some(reach);
        Some(more)
    }

    /// A logout ends what is seen at once, and rights that were taken away soon.
    async fn reach(&mut self) -> Option<(Instant, Reach)> {
        if let Some(session) = self.person.session
            && !self.app.accounts.goes_on(session).await
        {
            return None;
        }
        let now = Instant::now();
        if let Some(known) = self.reach.take().filter(|(since, _)| now.duration_since(*since) < KNOWN) {
            return Some(known);
        }
        Some((now, self.person.reach(Verb::Get).await.ok()?))
    }

    /// Of an environment that is gone only its namespace is known.
    async fn sees(app: &App, reach: &mut Reach, key: &EnvironmentKey) -> Option<bool> {
        match app.sync.line(key) {
            Some(environment) => reach.contains(&environment).await.ok(),
            None => reach.has_namespace(&key.namespace).await.ok(),
        }
    }

    /// Reads the next events of the ledger. Whether there are more.
    async fn read(&mut self, reach: &mut Reach) -> Option<bool> {
        let (events, more) = match self.app.recent.after(self.last).await {
            Ok(read) => read,
            Err(error) => {
                tracing::warn!(%error, "events could not be read");
                return None;
            }
        };
        for event in events {
            self.last = event.id;
            let seen = match audit::environment(&event.object) {
                Some((namespace, name)) => {
                    self.query.wants(namespace, name)
                        && Self::sees(&self.app, reach, &EnvironmentKey::new(namespace, name)).await?
                }
                // Who logs in, and from where, is for those who may see who can.
                None if audit::is_about_people(&event.object) => {
                    self.query.wants("", "") && self.person.may_with_accounts(Verb::List, "").await.ok()?
                }
                // What else belongs to no environment is for those who see all of them.
                None => self.query.wants("", "") && reach.has_namespace("").await.ok()?,
            };
            if seen {
                let sent = Event::default().event("event").id(event.id.to_string());
                self.ready.push_back(sent.data(&event.text));
            }
        }
        Some(more)
    }
}
