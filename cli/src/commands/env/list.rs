//! `seaway env list`.

use std::process::ExitCode;

use seaway_server::EnvironmentList;
use seaway_sync::view::EnvironmentView;

use super::output::{Cell, Format, Paint, document, print, table};
use super::{key, overview, parameters, watch};
use crate::client::Client;

/// Options of `seaway env list`.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  seaway env list
  seaway env list --class production -o wide
  seaway env list --sync OutOfSync -o name
  seaway env list --overview
  seaway env list -o json | jq '.[] | select(.health != \"Healthy\") | .name'")]
pub(super) struct Options {
    /// Only those of this namespace
    #[arg(short, long)]
    namespace: Option<String>,
    /// Only those of this class
    #[arg(long, ignore_case = true, value_parser = ["production", "staging", "preview", "personal"])]
    class: Option<String>,
    /// Only those of this stack
    #[arg(long)]
    stack: Option<String>,
    /// Only those in this state
    #[arg(long, ignore_case = true, value_parser = ["Synced", "OutOfSync", "Unknown"])]
    sync: Option<String>,
    /// Only those in this health
    #[arg(long, ignore_case = true,
        value_parser = ["Healthy", "Suspended", "Progressing", "Missing", "Degraded", "Unknown"])]
    health: Option<String>,
    /// Only those with this text in their name, stack, release, revision or message
    #[arg(long, value_name = "TEXT")]
    search: Option<String>,
    /// What copies ask for of the cluster, and for how long: those that ask for most first
    #[arg(long, conflicts_with_all = ["namespace", "class", "stack", "sync", "health", "search", "watch"])]
    overview: bool,
    /// How to print
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
    /// Print changes as they happen
    #[arg(short, long)]
    watch: bool,
}

pub(super) async fn run(client: &Client, options: &Options) -> miette::Result<ExitCode> {
    if options.overview {
        return overview::run(client, options.output).await;
    }
    // Begun before the list is read, so that no change falls between the two.
    let changes = match options.watch {
        true => Some(watch::Changes::begin(client, options.namespace.as_deref(), None).await?),
        false => None,
    };
    let mut shown = all(client, options).await?;
    print(&text(options.output, &shown, None)?)?;
    if shown.is_empty() && matches!(options.output, Format::Table | Format::Wide) {
        eprintln!("No environments found.");
    }
    let Some(mut changes) = changes else { return Ok(ExitCode::SUCCESS) };
    loop {
        changes.next().await?;
        let now = all(client, options).await?;
        print(&text(options.output, &now, Some(&shown))?)?;
        shown = now;
    }
}

/// Every page.
async fn all(client: &Client, options: &Options) -> miette::Result<Vec<EnvironmentView>> {
    let mut environments = Vec::new();
    let mut next: Option<String> = None;
    loop {
        let query = parameters([
            ("namespace", options.namespace.as_deref()),
            ("class", options.class.as_deref()),
            ("stack", options.stack.as_deref()),
            ("sync", options.sync.as_deref()),
            ("health", options.health.as_deref()),
            ("search", options.search.as_deref()),
            ("limit", Some("500")),
            ("continue", next.as_deref()),
        ]);
        let page: EnvironmentList = client.get(&format!("/api/v1/environments?{query}")).await?;
        environments.extend(page.items);
        match page.next {
            Some(mark) => next = Some(mark),
            None => return Ok(environments),
        }
    }
}

/// The environments; those alone that differ from `before`, if that is given.
fn text(
    format: Format,
    environments: &[EnvironmentView],
    before: Option<&[EnvironmentView]>,
) -> miette::Result<String> {
    let is_news = |one: &EnvironmentView| before.is_none_or(|before| !before.contains(one));
    let news: Vec<&EnvironmentView> = environments.iter().filter(|one| is_news(one)).collect();
    if before.is_some() && news.is_empty() {
        return Ok(String::new());
    }
    match format {
        Format::Json | Format::Yaml => document(format, &news),
        Format::Name => Ok(news.iter().map(|one| format!("{}\n", key(one))).collect()),
        Format::Table | Format::Wide => {
            if environments.is_empty() {
                return Ok(String::new());
            }
            let wide = format == Format::Wide;
            let mut columns = vec!["NAMESPACE", "NAME", "CLASS", "STACK", "SYNC", "HEALTH", "REVISION"];
            if wide {
                columns.extend(["RELEASE", "MESSAGE"]);
            }
            let rows: Vec<Vec<Cell>> = environments.iter().map(|one| row(wide, one)).collect();
            // All of them, also where only some are news: so that columns stay where they were.
            let table = table(Paint::for_stdout(), &columns, &rows);
            let mut lines = table.split_inclusive('\n');
            let head = lines.next().filter(|_| before.is_none());
            let body = lines.zip(environments).filter(|(_, one)| is_news(one)).map(|(line, _)| line);
            Ok(head.into_iter().chain(body).collect())
        }
    }
}

fn row(wide: bool, environment: &EnvironmentView) -> Vec<Cell> {
    let mut row: Vec<Cell> = vec![
        environment.namespace.as_str().into(),
        environment.name.as_str().into(),
        environment.class.as_str().into(),
        environment.stack.as_str().into(),
        environment.sync.into(),
        environment.health.into(),
        environment.revision.as_deref().into(),
    ];
    if wide {
        row.push(environment.release.as_deref().into());
        row.push(environment.message.as_str().into());
    }
    row
}
