//! Waiting until an environment is healthy, or gone, and telling what is waited for.

use std::time::{Duration, Instant};

use seaway_sync::HealthStatus;
use seaway_sync::view::{EnvironmentDetail, EnvironmentKey, Outcome, SyncStatus};
use serde_json::Value;

use super::super::output::{Paint, Tone, printable};
use super::super::path;
use crate::client::{Client, Refused};

/// Between two looks.
const LOOK_AGAIN: Duration = Duration::from_millis(250);
/// After so long a reason for which nothing is synced is taken for one that stays.
const GIVE_UP: Duration = Duration::from_secs(15);
/// A name that has just been made may not be known yet.
const KNOWN: Duration = Duration::from_secs(10);

/// Tells what is waited for, once each time that it changes, with the time that has gone by.
struct Telling {
    started: Instant,
    told: String,
}

impl Telling {
    fn new() -> Self {
        Self { started: Instant::now(), told: String::new() }
    }

    fn tell(&mut self, text: String) {
        if self.told != text {
            let time = format!("{:7.2} s", self.started.elapsed().as_secs_f64());
            eprintln!("{}  {}", Paint::for_stderr().text(&time, Tone::Faint), printable(&text));
            self.told = text;
        }
    }
}

/// Waits until an environment is as it should be; whether it is. A sync that has failed twice, or a reason for which
/// there is none that does not go away, ends it.
pub(in super::super) async fn until_healthy(client: &Client, key: &EnvironmentKey) -> miette::Result<bool> {
    let mut telling = Telling::new();
    let mut well = Instant::now();
    loop {
        let detail: EnvironmentDetail = match client.get(&path(key, "")).await {
            Ok(detail) => detail,
            Err(error) if is_unknown(&error) && telling.started.elapsed() < KNOWN => {
                tokio::time::sleep(LOOK_AGAIN).await;
                continue;
            }
            Err(error) => return Err(error),
        };
        let summary = &detail.summary;
        let synced = summary.sync == SyncStatus::Synced && summary.release.is_some();
        if synced && matches!(summary.health, HealthStatus::Healthy | HealthStatus::Suspended) {
            telling.tell(format!("{key} is healthy"));
            return Ok(true);
        }
        // The first failure is tried again at once: a webhook, a quota, something that was not there yet.
        let failed =
            detail.last_sync.as_ref().filter(|sync| sync.outcome == Outcome::Failed && sync.attempts > 1);
        if let Some(failed) = failed {
            telling.tell(format!("{key} failed: {}", failed.message));
            return Ok(false);
        }
        let refused = summary.sync == SyncStatus::Unknown && !summary.message.is_empty();
        if !refused {
            well = Instant::now();
        } else if well.elapsed() > GIVE_UP {
            telling.tell(format!("{key} cannot be brought to anything: {}", summary.message));
            return Ok(false);
        }
        let text = if summary.message.is_empty() {
            format!("{key} is {} and {}", summary.sync.as_str(), summary.health.as_str())
        } else {
            summary.message.clone()
        };
        telling.tell(text);
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

/// Waits until there is no such environment any more. A hook of its end that has failed, or cannot run, and stays so, ends
/// the wait: only a person goes on.
pub(in super::super) async fn until_gone(client: &Client, key: &EnvironmentKey) -> miette::Result<()> {
    let mut telling = Telling::new();
    let mut well = Instant::now();
    loop {
        match client.get::<EnvironmentDetail>(&path(key, "")).await {
            Ok(detail) if detail.summary.message.contains("is being deleted") => {
                let message = detail.summary.message;
                // What people can do about a hook is said with it alone.
                if !message.contains(seaway_sync::SKIP_END_HOOKS) {
                    well = Instant::now();
                } else if well.elapsed() > GIVE_UP {
                    return Err(miette::miette!("{key} is not gone: {}", printable(&message)));
                }
                telling.tell(message)
            }
            Ok(_) => telling.tell(format!("{key} is being deleted, with what it deployed")),
            Err(error) if is_unknown(&error) => {
                telling.tell(format!("{key} is gone"));
                return Ok(());
            }
            Err(error) => return Err(error),
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

/// Where an environment can be opened in a browser.
pub(super) async fn links(client: &Client, key: &EnvironmentKey) -> miette::Result<Vec<String>> {
    let tree: Value = client.get(&path(key, "/tree")).await?;
    let links = tree["links"].as_array().into_iter().flatten();
    Ok(links.filter_map(|link| link["url"].as_str().map(str::to_owned)).collect())
}

fn is_unknown(error: &miette::Report) -> bool {
    error.downcast_ref::<Refused>().is_some_and(|refused| refused.0.status == 404)
}
