//! `seaway audit`: who did what.

use std::process::ExitCode;

use clap::Subcommand;
use jiff::{Span, Timestamp, tz::TimeZone};
use miette::miette;
use seaway_ledger::Event;
use seaway_server::AuditList;

use super::env::output::{Cell, Format, Paint, Tone, age, document, moment, print, table};
use super::env::parameters;
use crate::client::{Client, ServerOptions};

/// Options of `seaway audit`.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  seaway audit list --outcome denied --since 24h
  seaway audit list --actor ada --object 'Environment/seaway/*'
  seaway audit export --since 2030-01-01T00:00:00Z > audit.jsonl

It tells who did what to what, from where, and how it ended; attempts that were refused as well. You
need the right to list audit.seaway.dev, which operators have.")]
pub(crate) struct Options {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    server: ServerOptions,
}

#[derive(Subcommand)]
enum Command {
    /// List what was done, the latest first
    List(ListOptions),
    /// Print all of it as JSON lines, the earliest first
    Export(Filter),
}

/// Options of `seaway audit list`.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  seaway audit list
  seaway audit list --action 'session.*' --outcome failed
  seaway audit list -o json | jq -r '.[].actor' | sort | uniq -c")]
struct ListOptions {
    #[command(flatten)]
    filter: Filter,
    /// At most so many, the latest first
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u64).range(1..))]
    limit: u64,
    /// How to print; wide adds what else is known
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

/// Which events.
#[derive(clap::Args)]
struct Filter {
    /// Who
    #[arg(long, value_name = "NAME")]
    actor: Option<String>,
    /// What was done, such as environment.sync or 'session.*'
    #[arg(long, value_name = "ACTION")]
    action: Option<String>,
    /// To what, such as Environment/seaway/production or 'Environment/seaway/*'
    #[arg(long, value_name = "OBJECT")]
    object: Option<String>,
    /// How it ended: requested, succeeded, failed or denied
    #[arg(long, value_name = "OUTCOME")]
    outcome: Option<String>,
    /// From where
    #[arg(long, value_name = "ADDRESS")]
    address: Option<String>,
    /// At this time or later: a time (RFC 3339), or how long ago
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Before this time: a time (RFC 3339), or how long ago
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
}

impl Filter {
    fn query(&self, more: [(&str, Option<&str>); 2]) -> miette::Result<String> {
        let now = Timestamp::now();
        let time = |text: &Option<String>| {
            text.as_deref().map(|text| ago(text, now).map(|time| time.to_string())).transpose()
        };
        let (since, until) = (time(&self.since)?, time(&self.until)?);
        let [one, other] = more;
        Ok(parameters([
            ("actor", self.actor.as_deref()),
            ("action", self.action.as_deref()),
            ("object", self.object.as_deref()),
            ("outcome", self.outcome.as_deref()),
            ("address", self.address.as_deref()),
            ("since", since.as_deref()),
            ("until", until.as_deref()),
            one,
            other,
        ]))
    }
}

/// A moment, or how long ago it was.
fn ago(text: &str, now: Timestamp) -> miette::Result<Timestamp> {
    if let Ok(time) = text.parse::<Timestamp>() {
        return Ok(time);
    }
    let wrong = || miette!(help = "such as 24h, 7d or 2030-01-31T12:00:00Z", "{text:?} is not a time");
    let span: Span = text.parse().map_err(|_| wrong())?;
    let then = now.to_zoned(TimeZone::UTC).checked_sub(span.abs()).map_err(|_| wrong())?;
    Ok(then.timestamp())
}

/// Runs a subcommand.
pub(crate) async fn run(options: Options) -> miette::Result<ExitCode> {
    let client = Client::find(&options.server)?;
    match options.command {
        Command::List(options) => list(&client, &options).await?,
        Command::Export(filter) => {
            let query = filter.query([("limit", None), ("continue", None)])?;
            client.lines(&format!("/api/v1/audit/export?{query}")).await?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn list(client: &Client, options: &ListOptions) -> miette::Result<()> {
    let mut events: Vec<Event> = Vec::new();
    let mut next: Option<i64> = None;
    while (events.len() as u64) < options.limit {
        let limit = (options.limit - events.len() as u64).min(500).to_string();
        let before = next.map(|id| id.to_string());
        let query =
            options.filter.query([("limit", Some(limit.as_str())), ("continue", before.as_deref())])?;
        let page: AuditList = client.get(&format!("/api/v1/audit?{query}")).await?;
        events.extend(page.items);
        next = page.next;
        if next.is_none() {
            break;
        }
    }
    print(&match options.output {
        Format::Json | Format::Yaml => document(options.output, &events)?,
        Format::Name => events.iter().map(|event| format!("{}\n", event.id)).collect(),
        Format::Table | Format::Wide => {
            text(Paint::for_stdout(), options.output == Format::Wide, &events, Timestamp::now())
        }
    })?;
    if events.is_empty() {
        eprintln!("Nothing of that was done.");
    }
    Ok(())
}

fn text(paint: Paint, wide: bool, events: &[Event], now: Timestamp) -> String {
    if events.is_empty() {
        return String::new();
    }
    let row = |event: &Event| {
        let when = if wide { moment(event.time) } else { age(event.time, now) };
        let tone = match event.outcome.as_str() {
            "succeeded" => Tone::Good,
            "denied" | "failed" => Tone::Bad,
            _ => Tone::Busy,
        };
        let mut row: Vec<Cell> = vec![
            event.id.to_string().into(),
            when.into(),
            event.actor.as_str().into(),
            event.action.as_str().into(),
            event.object.as_str().into(),
            Cell(event.outcome.clone(), tone),
            event.detail["address"].as_str().into(),
        ];
        if wide {
            let mut rest = event.detail.clone();
            if let Some(rest) = rest.as_object_mut() {
                rest.remove("address");
            }
            row.push(rest.to_string().into());
        }
        row
    };
    let mut head =
        vec!["ID", if wide { "TIME" } else { "AGE" }, "ACTOR", "ACTION", "OBJECT", "OUTCOME", "FROM"];
    if wide {
        head.push("DETAIL");
    }
    table(paint, &head, &events.iter().map(row).collect::<Vec<_>>())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn events_are_printed_as_kubectl_would() {
        let event: Event =
            serde_json::from_value(json!({"id": 7, "time": "2024-01-01T00:00:00Z", "actor": "ada",
            "action": "environment.delete", "object": "Environment/seaway/production", "release": null,
            "outcome": "denied", "detail": {"address": "192.0.2.1"}}))
            .unwrap();
        let now = "2024-01-01T00:03:00Z".parse().unwrap();
        assert_eq!(
            text(Paint::for_stdout(), false, &[event], now),
            "ID   AGE   ACTOR   ACTION               OBJECT                          OUTCOME   FROM\n\
             7    3m    ada     environment.delete   Environment/seaway/production   denied    192.0.2.1\n"
        );
    }

    #[test]
    fn a_time_is_a_moment_or_how_long_ago_it_was() {
        let now = "2024-01-02T00:00:00Z".parse().unwrap();
        assert_eq!(ago("24h", now).unwrap().to_string(), "2024-01-01T00:00:00Z");
        assert_eq!(ago("2024-01-01T00:00:00Z", now).unwrap().to_string(), "2024-01-01T00:00:00Z");
        assert!(ago("yesterday", now).is_err());
    }
}
