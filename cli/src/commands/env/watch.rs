//! Following what happens: as a reason to look again, or line by line.

use std::time::Duration;

use futures::stream::{BoxStream, StreamExt};
use miette::miette;

use seaway_sync::view::{EnvironmentKey, Outcome, Progress};

use super::output::{Cell, Paint, Tone, clock, printable};
use super::parameters;
use crate::client::{Client, Event};

/// Between attempts to reach a server that has gone.
const AGAIN: Duration = Duration::from_secs(1);
/// After so many attempts in a row it is given up.
const ATTEMPTS: u32 = 30;
/// Changes within this time are one.
const TOGETHER: Duration = Duration::from_millis(200);

/// What happens in some environments. A stream that breaks off is taken up where it was.
pub(super) struct Changes<'a> {
    client: &'a Client,
    path: String,
    last: Option<String>,
    stream: Option<BoxStream<'static, miette::Result<Event>>>,
}

impl<'a> Changes<'a> {
    /// From now on.
    pub(super) async fn begin(
        client: &'a Client,
        namespace: Option<&str>,
        name: Option<&str>,
    ) -> miette::Result<Self> {
        let path = format!("/api/v1/events?{}", parameters([("namespace", namespace), ("name", name)]));
        let stream = client.events(&path, None).await?;
        Ok(Self { client, path, last: None, stream: Some(stream) })
    }

    /// The next event.
    async fn event(&mut self) -> miette::Result<Event> {
        let mut attempts = 0;
        loop {
            if self.stream.is_none() {
                match self.client.events(&self.path, self.last.as_deref()).await {
                    Ok(stream) => self.stream = Some(stream),
                    Err(error) if attempts >= ATTEMPTS || error.is::<crate::client::Refused>() => {
                        return Err(error);
                    }
                    Err(_) => {
                        attempts += 1;
                        tokio::time::sleep(AGAIN).await;
                        continue;
                    }
                }
            }
            let Some(stream) = &mut self.stream else { continue };
            match stream.next().await {
                Some(event) => {
                    let event = event?;
                    if event.id.is_some() {
                        self.last.clone_from(&event.id);
                    }
                    return Ok(event);
                }
                None => {
                    self.stream = None;
                    attempts += 1;
                    if attempts > ATTEMPTS {
                        return Err(miette!("the server ends its event stream again and again"));
                    }
                    tokio::time::sleep(AGAIN).await;
                }
            }
        }
    }

    /// Waits until something has happened; what follows at once belongs to it.
    pub(super) async fn next(&mut self) -> miette::Result<()> {
        self.event().await?;
        let pause = tokio::time::sleep(TOGETHER);
        tokio::pin!(pause);
        loop {
            tokio::select! {
                () = &mut pause => return Ok(()),
                event = self.event() => drop(event?),
            }
        }
    }

    /// The next thing that is going on.
    pub(super) async fn progress(&mut self) -> miette::Result<Progress> {
        loop {
            let event = self.event().await?;
            if event.name == "progress"
                && let Ok(progress) = serde_json::from_str(&event.data)
            {
                return Ok(progress);
            }
        }
    }
}

/// One environment's changes.
pub(super) async fn of<'a>(client: &'a Client, key: &EnvironmentKey) -> miette::Result<Changes<'a>> {
    Changes::begin(client, Some(&key.namespace), Some(&key.name)).await
}

/// `12:04:31  web: wave 0: waits for …`; how a sync ended comes last: `12:04:40  Failed: …`.
pub(super) fn line(paint: Paint, progress: &Progress) -> String {
    let message = printable(&progress.message);
    let text = match progress.outcome.map(Cell::from) {
        Some(Cell(word, tone)) if message.is_empty() => paint.text(&word, tone),
        Some(Cell(word, tone)) => paint.text(&format!("{word}: {message}"), tone),
        None => message,
    };
    format!("{}  {text}", paint.text(&clock(progress.time), Tone::Faint))
}

/// Prints what goes on until a sync has ended; whether it succeeded.
pub(super) async fn until_end(changes: &mut Changes<'_>) -> miette::Result<bool> {
    let paint = Paint::for_stderr();
    loop {
        let progress = changes.progress().await?;
        eprintln!("{}", line(paint, &progress));
        match progress.outcome {
            // What was begun before gives way to what was asked for now.
            None | Some(Outcome::Running | Outcome::Superseded) => {}
            Some(outcome) => return Ok(outcome == Outcome::Succeeded),
        }
    }
}
