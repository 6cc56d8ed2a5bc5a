//! `seaway env show`.

use std::fmt::Write as _;
use std::process::ExitCode;

use jiff::Timestamp;
use seaway_sync::view::EnvironmentDetail;

use super::output::{Cell, Format, Paint, age, document, object, print, printable, table};
use super::{Which, copies, key, path, plan, watch};
use crate::client::Client;

/// Options of `seaway env show`.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  seaway env show production
  seaway env show production -o wide
  seaway env show seaway/production -o json
  seaway env show staging --watch")]
pub(super) struct Options {
    #[command(flatten)]
    which: Which,
    /// How to print; wide shows every object
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
    /// Go on with what happens there, as it happens
    #[arg(short, long)]
    watch: bool,
}

pub(super) async fn run(client: &Client, options: &Options) -> miette::Result<ExitCode> {
    let key = options.which.find(client).await?;
    let changes = match options.watch {
        true => Some(watch::of(client, &key).await?),
        false => None,
    };
    let paint = Paint::for_stdout();
    let read = async || client.get::<EnvironmentDetail>(&path(&key, "")).await;
    print(&text(paint, options.output, &read().await?)?)?;
    let Some(mut changes) = changes else { return Ok(ExitCode::SUCCESS) };
    loop {
        match options.output {
            Format::Table | Format::Wide => {
                let progress = changes.progress().await?;
                print(&(watch::line(paint, &progress) + "\n"))?;
            }
            _ => {
                changes.next().await?;
                print(&text(paint, options.output, &read().await?)?)?;
            }
        }
    }
}

fn text(paint: Paint, format: Format, detail: &EnvironmentDetail) -> miette::Result<String> {
    match format {
        Format::Json | Format::Yaml => document(format, detail),
        Format::Name => Ok(format!("{}\n", key(&detail.summary))),
        Format::Table | Format::Wide => {
            Ok(description(paint, format == Format::Wide, detail, Timestamp::now()))
        }
    }
}

fn description(paint: Paint, wide: bool, detail: &EnvironmentDetail, now: Timestamp) -> String {
    let summary = &detail.summary;
    let mut text = String::new();
    let mut line = |name: &str, value: &str| {
        let _ = writeln!(text, "{:<12} {value}", format!("{name}:"));
    };
    line("Name", &printable(&summary.name));
    line("Namespace", &printable(&summary.namespace));
    line("Class", &printable(&summary.class));
    line("Stack", &printable(&summary.stack));
    if let Some(of) = &summary.copy_of {
        line("Copy of", &printable(of));
    }
    if let Some(owner) = &summary.owner {
        line("Owner", &printable(owner));
    }
    if let Some(expires) = &summary.expires {
        line("Expires", &printable(expires));
    }
    line("Release", &paint.cell(summary.release.as_deref()));
    line("Revision", &paint.cell(summary.revision.as_deref()));
    if let Some(deployed) = &summary.deployed {
        let by = deployed.author.as_deref().map(|author| format!(", by {author}")).unwrap_or_default();
        let subject = deployed.subject.as_deref().map(|text| format!(" ({text}{by})")).unwrap_or_default();
        let when = age(deployed.time, now);
        line("Deployed", &printable(&format!("{when} ago, asked for by {}{subject}", deployed.actor)));
    }
    line("Sync", &paint.cell(summary.sync));
    line("Health", &paint.cell(summary.health));
    if detail.suspended {
        line("Suspended", "yes; `seaway env resume` goes on");
    }
    if let Some(last) = &detail.last_sync {
        let when = age(last.finished.unwrap_or(last.started), now);
        line(
            "Last sync",
            &format!("{} {when} ago, asked for by {}", paint.cell(last.outcome), printable(&last.actor)),
        );
    }
    if !summary.message.is_empty() {
        line("Message", &printable(&summary.message));
    }
    for hold in &detail.holds {
        let since = age(hold.time, now);
        let reason =
            if hold.reason.is_empty() { String::new() } else { format!(": {}", printable(&hold.reason)) };
        line(
            "Held",
            &format!("{} by {} {since} ago{reason}", printable(&hold.release), printable(&hold.actor)),
        );
    }
    if let Some(copy) = &detail.copy {
        for (from, to) in copy.namespaces.iter().chain(&copy.hosts) {
            line("Instead of", &printable(&format!("{from} → {to}")));
        }
    }
    for link in &detail.links {
        let component =
            link.component.as_deref().map(|component| format!(" of {component}")).unwrap_or_default();
        line("Link", &printable(&format!("{}{component}: {}", link.name, link.url)));
    }
    if !detail.overrides.is_empty() {
        text.push('\n');
        text.push_str(&copies::overrides(paint, &key(&detail.summary), &detail.overrides));
    }
    if let Some(release) = &detail.current {
        let rows: Vec<Vec<Cell>> = release
            .components
            .iter()
            .map(|c| {
                vec![
                    c.name.as_str().into(),
                    c.commit.get(..12).unwrap_or(&c.commit).into(),
                    c.repo.as_str().into(),
                    c.path.as_str().into(),
                ]
            })
            .collect();
        text.push('\n');
        text.push_str(&table(paint, &["COMPONENT", "COMMIT", "REPOSITORY", "PATH"], &rows));
    }
    let settled = |one: &&seaway_sync::view::ObjectView| {
        wide || !one.health.is_settled() || one.sync != seaway_sync::view::SyncStatus::Synced
    };
    let rows: Vec<Vec<Cell>> = detail
        .objects
        .iter()
        .filter(settled)
        .map(|one| {
            vec![object(&one.object).into(), one.sync.into(), one.health.into(), one.message.as_str().into()]
        })
        .collect();
    if !rows.is_empty() {
        text.push('\n');
        text.push_str(&table(paint, &["OBJECT", "SYNC", "HEALTH", "MESSAGE"], &rows));
    }
    let hidden = detail.objects.len() - rows.len();
    if hidden > 0 {
        let others = if rows.is_empty() { "" } else { "other " };
        let are = if hidden == 1 { "object is as it should be" } else { "objects are as they should be" };
        let _ = writeln!(text, "\n{hidden} {others}{are} (-o wide lists what there is).");
    }
    if !detail.plan.is_in_sync() {
        text.push_str("\nThe next sync would do this:\n");
        text.push_str(&plan::description(paint, wide, &detail.plan));
    }
    text
}
