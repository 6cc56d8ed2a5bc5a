//! `seaway env history`.

use std::process::ExitCode;

use jiff::Timestamp;
use seaway_server::History;
use seaway_sync::view::{SyncRecord, Trigger};

use super::output::{
    Cell, Format, Paint, age, document, milliseconds, moment, object, print, printable, table,
};
use super::{Which, parameters, path};
use crate::client::Client;

/// Options of `seaway env history`.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  seaway env history production
  seaway env history production -o wide --limit 5
  seaway env history production -o json | jq '.[0].objects'")]
pub(super) struct Options {
    #[command(flatten)]
    which: Which,
    /// At most so many, the latest first
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..))]
    limit: u64,
    /// How to print; wide adds commits and messages
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

pub(super) async fn run(client: &Client, options: &Options) -> miette::Result<ExitCode> {
    let key = options.which.find(client).await?;
    let mut syncs: Vec<SyncRecord> = Vec::new();
    let mut next = None;
    while (syncs.len() as u64) < options.limit {
        let limit = (options.limit - syncs.len() as u64).min(500).to_string();
        let before = next.map(|id: u64| id.to_string());
        let query = parameters([("limit", Some(limit.as_str())), ("continue", before.as_deref())]);
        let page: History = client.get(&path(&key, &format!("/history?{query}"))).await?;
        syncs.extend(page.items);
        next = page.next;
        if next.is_none() {
            break;
        }
    }
    print(&match options.output {
        Format::Json | Format::Yaml => document(options.output, &syncs)?,
        Format::Name => syncs.iter().map(|sync| format!("{}\n", printable(&sync.release))).collect(),
        Format::Table | Format::Wide => {
            text(Paint::for_stdout(), options.output == Format::Wide, &syncs, Timestamp::now())
        }
    })?;
    if syncs.is_empty() {
        eprintln!("Nothing was deployed to {key} yet.");
    }
    Ok(ExitCode::SUCCESS)
}

fn text(paint: Paint, wide: bool, syncs: &[SyncRecord], now: Timestamp) -> String {
    if syncs.is_empty() {
        return String::new();
    }
    let row = |sync: &SyncRecord| {
        let took = sync.finished.map(|end| end.duration_since(sync.started).as_millis());
        let took = took.map(|took| milliseconds(u64::try_from(took).unwrap_or_default()));
        let started = if wide { moment(sync.started) } else { age(sync.started, now) };
        let mut row: Vec<Cell> = vec![
            sync.id.to_string().into(),
            started.into(),
            sync.outcome.into(),
            sync.release.as_str().into(),
            sync.revision.as_str().into(),
            trigger(sync.trigger).into(),
            sync.actor.as_str().into(),
            sync.objects.len().to_string().into(),
            took.as_deref().into(),
        ];
        if wide {
            let commits: Vec<String> =
                sync.commits.iter().map(|c| format!("{} ({})", c.subject, c.author)).collect();
            row.push(Some(commits.join("; ")).as_deref().into());
        }
        row.push(message(sync).as_str().into());
        row
    };
    let mut head = vec!["ID", if wide { "STARTED" } else { "AGE" }];
    head.extend(["OUTCOME", "RELEASE", "REVISION", "TRIGGER", "ACTOR", "CHANGED", "TOOK"]);
    if wide {
        head.push("COMMITS");
    }
    head.push("MESSAGE");
    table(paint, &head, &syncs.iter().map(row).collect::<Vec<_>>())
}

/// What it said; without that, whose changes in the cluster it put back.
fn message(sync: &SyncRecord) -> String {
    if !sync.message.is_empty() {
        return sync.message.clone();
    }
    let mut reverted = sync.objects.iter().filter(|outcome| !outcome.reverted_from.is_empty());
    let Some(first) = reverted.next() else { return String::new() };
    let (fields, by) = (first.fields.join(", "), first.reverted_from.join(", "));
    let more = match reverted.count() {
        0 => String::new(),
        count => format!("; and {count} more"),
    };
    format!("put back {} {fields}, changed by {by}{more}", object(&first.object))
}

fn trigger(trigger: Trigger) -> &'static str {
    match trigger {
        Trigger::Release => "release",
        Trigger::Drift => "drift",
        Trigger::Person => "person",
        Trigger::Rollback => "rollback",
        Trigger::Retry => "retry",
    }
}
