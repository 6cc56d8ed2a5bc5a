//! `seaway env list --overview`: what copies ask for of the cluster.

use std::process::ExitCode;

use seaway_server::UsageList;
use seaway_sync::CopyUsage;

use super::output::{Cell, Format, Paint, document, duration, print, table};
use crate::client::Client;

pub(super) async fn run(client: &Client, format: Format) -> miette::Result<ExitCode> {
    let UsageList { items } = client.get("/api/v1/usage").await?;
    print(&match format {
        Format::Json | Format::Yaml => document(format, &items)?,
        Format::Name => items.iter().map(|one| format!("{}\n", one.environment)).collect(),
        Format::Table | Format::Wide => lines(Paint::for_stdout(), &items),
    })?;
    if items.is_empty() && matches!(format, Format::Table | Format::Wide) {
        eprintln!("No copies found.");
    }
    Ok(ExitCode::SUCCESS)
}

fn lines(paint: Paint, all: &[CopyUsage]) -> String {
    let row = |one: &CopyUsage| -> Vec<Cell> {
        // A mebibyte more or less is none of anybody's concern.
        let mebibytes = one.memory >> 20;
        [
            one.environment.to_string(),
            one.owner.clone().unwrap_or_else(|| "-".to_owned()),
            one.of.clone(),
            one.pods.to_string(),
            format!("{}m", one.milli_cpu),
            format!("{mebibytes}Mi"),
            duration(one.seconds),
            format!("{:.1}", one.cpu_hours),
            format!("{:.1}", one.memory_hours),
            one.expires.clone().unwrap_or_else(|| "never".to_owned()),
        ]
        .into_iter()
        .map(Cell::from)
        .collect()
    };
    let heads = ["COPY", "OWNER", "OF", "PODS", "CPU", "MEMORY", "AGE", "CPU-HOURS", "GIB-HOURS", "EXPIRES"];
    table(paint, &heads, &all.iter().map(row).collect::<Vec<_>>())
}
