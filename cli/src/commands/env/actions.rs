//! What a person asks of an environment: sync, rollback, hold, suspend, resume.

use std::process::ExitCode;
use std::time::Duration;

use miette::miette;
use seaway_server::{
    CancelRequest, Cancelled, Done, History, HoldRequest, Holds, RollbackRequest, SyncAnswer, SyncRequest,
};
use seaway_sync::plan::{ObjectRef, Plan};
use seaway_sync::view::{EnvironmentDetail, EnvironmentKey, Outcome, SyncRecord};

use super::output::{Format, Paint, document, milliseconds, object, print, printable};
use super::{Which, path, plan, watch};
use crate::client::Client;

/// Between looks at a sync that takes long.
const LOOK_AGAIN: Duration = Duration::from_secs(2);

/// Options of `seaway env sync`.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  seaway env sync staging
  seaway env sync staging --watch
  seaway env sync staging --object Deployment/web --object ConfigMap/settings

It waits for the end. The exit code is 0 when everything is applied and healthy, or there was
nothing to do.")]
pub(super) struct SyncOptions {
    #[command(flatten)]
    which: Which,
    /// Only this object, as KIND/NAME or KIND/NAMESPACE/NAME; can be repeated. No hooks run then
    #[arg(long = "object", value_name = "OBJECT")]
    objects: Vec<String>,
    /// Print what is going on: each wave and object, and what is waited for
    #[arg(short, long)]
    watch: bool,
    /// How to print what was done
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

/// Options of `seaway env rollback`.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  seaway env rollback production
  seaway env rollback production --to shop-0123456789ab --reason 'checkout is slow'

Without --to it goes to the last good release before the present one. The present one is kept out
until `seaway env hold --lift`; automatic sync stays on, so that the next good commit is deployed.")]
pub(super) struct RollbackOptions {
    #[command(flatten)]
    which: Which,
    /// Release to go back to; `seaway env history` lists them
    #[arg(long, value_name = "RELEASE")]
    to: Option<String>,
    /// Why; it is shown to everybody
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// Print what is going on until the older release runs again
    #[arg(short, long)]
    watch: bool,
    /// How to print the hold on the release that was left
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

/// Options of `seaway env hold`.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  seaway env hold production --reason 'wait for the migration'
  seaway env hold production shop-0123456789ab
  seaway env hold production shop-0123456789ab --lift
  seaway env hold production --lift")]
pub(super) struct HoldOptions {
    #[command(flatten)]
    which: Which,
    /// The release [default: the present one; with --lift all that are held]
    release: Option<String>,
    /// Let it in again
    #[arg(long)]
    lift: bool,
    /// Why; it is shown to everybody
    #[arg(long, value_name = "TEXT", conflicts_with = "lift")]
    reason: Option<String>,
    /// How to print what is held, or not any more
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

/// Options of `seaway env cancel`.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  seaway env cancel staging
  seaway env cancel staging --sync 12

The sync stops before its next wave, wait or deletion; what is applied stays. The same content is
not begun again by itself: `seaway env sync` or `seaway env resume` asks for it.")]
pub(super) struct CancelOptions {
    #[command(flatten)]
    which: Which,
    /// Only if it is this one that goes on; `seaway env history` shows its number
    #[arg(long, value_name = "NUMBER")]
    sync: Option<u64>,
}

/// Options of `seaway env suspend` and `seaway env resume`.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  seaway env suspend staging
  seaway env resume staging")]
pub(super) struct Plain {
    #[command(flatten)]
    which: Which,
}

pub(super) async fn sync(client: &Client, options: &SyncOptions) -> miette::Result<ExitCode> {
    let key = options.which.find(client).await?;
    let mut request = SyncRequest::default();
    if !options.objects.is_empty() {
        let plan: Plan = client.get(&path(&key, "/plan")).await?;
        request.objects = options.objects.iter().map(|text| chosen(&plan, text)).collect::<Result<_, _>>()?;
    }
    let paint = Paint::for_stderr();
    let changes = match options.watch {
        true => Some(watch::of(client, &key).await?),
        false => None,
    };
    let at = path(&key, "/sync");
    let done = async {
        let answer: SyncAnswer = client.post(&at, &request).await?;
        if answer.running { follow(client, &key).await } else { Ok(answer.record) }
    };
    tokio::pin!(done);
    let record = match changes {
        None => done.await?,
        Some(mut changes) => loop {
            tokio::select! {
                // What happened is printed before how it ended.
                biased;
                progress = changes.progress() => eprintln!("{}", watch::line(paint, &progress?)),
                record = &mut done => {
                    while let Ok(progress) = tokio::time::timeout(LAST_WORDS, changes.progress()).await {
                        eprintln!("{}", watch::line(paint, &progress?));
                    }
                    break record?;
                }
            }
        },
    };
    print(&match (options.output, &record) {
        (Format::Json | Format::Yaml, record) => document(options.output, record)?,
        (Format::Name, record) => {
            record.iter().map(|record| format!("{}\n", printable(&record.release))).collect()
        }
        (_, Some(record)) => summary(Paint::for_stdout(), &key, record),
        (_, None) => {
            let detail: EnvironmentDetail = client.get(&path(&key, "")).await?;
            match detail.suspended {
                true => {
                    return Err(miette!(
                        help = "`seaway env resume` goes on",
                        "{key} is suspended: nothing was done"
                    ));
                }
                false => format!("{key} is as it should be: nothing was to be done.\n"),
            }
        }
    })?;
    let good = record.is_none_or(|record| record.outcome == Outcome::Succeeded);
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// After the end, events of it may still be on their way.
const LAST_WORDS: Duration = Duration::from_millis(100);

/// Waits for the end of the sync that goes on.
async fn follow(client: &Client, key: &EnvironmentKey) -> miette::Result<Option<SyncRecord>> {
    loop {
        tokio::time::sleep(LOOK_AGAIN).await;
        let history: History = client.get(&path(key, "/history?limit=1")).await?;
        match history.items.into_iter().next() {
            Some(record) if record.outcome == Outcome::Running => {}
            record => return Ok(record),
        }
    }
}

fn summary(paint: Paint, key: &EnvironmentKey, record: &SyncRecord) -> String {
    let took = record.finished.map(|end| end.duration_since(record.started).as_millis());
    let took = took.map(|took| format!(" in {}", milliseconds(u64::try_from(took).unwrap_or_default())));
    let count = record.objects.len();
    let mut text = format!(
        "{key}: {} {}{}, {count} {} changed.\n",
        printable(&record.release),
        paint.cell(record.outcome),
        took.unwrap_or_default(),
        plan::objects(count)
    );
    for failed in &record.objects {
        if let Some(error) = &failed.error {
            text.push_str(&format!("  {}: {}\n", printable(&object(&failed.object)), printable(error)));
        }
    }
    if !record.message.is_empty() {
        text.push_str(&format!("  {}\n", printable(&record.message)));
    }
    text
}

/// The object of a plan that a person names: `Deployment/web`, `Deployment.apps/shop/web`.
fn chosen(plan: &Plan, text: &str) -> miette::Result<ObjectRef> {
    let parts: Vec<&str> = text.split('/').collect();
    let (kind, namespace, name) = match parts.as_slice() {
        [kind, name] => (*kind, None, *name),
        [kind, namespace, name] => (*kind, Some(*namespace), *name),
        _ => return Err(miette!(help = "such as Deployment/web", "{text:?} is not KIND/NAME")),
    };
    let (kind, group) = kind.split_once('.').map_or((kind, None), |(kind, group)| (kind, Some(group)));
    let is_meant = |object: &&ObjectRef| {
        object.kind.eq_ignore_ascii_case(kind)
            && group.is_none_or(|group| object.group == group)
            && namespace.is_none_or(|namespace| object.namespace.as_deref() == Some(namespace))
            && object.name == name
    };
    let found: Vec<&ObjectRef> =
        plan.objects.iter().map(|planned| &planned.object).filter(is_meant).collect();
    match found.as_slice() {
        [one] => Ok((*one).clone()),
        [] => Err(miette!(
            help = "`seaway env plan -o wide` lists them",
            "the environment has no object {text:?}"
        )),
        several => {
            let all: Vec<String> = several.iter().map(|one| object(one)).collect();
            Err(miette!(help = "name its group or namespace too", "{text:?} could be {}", all.join(", ")))
        }
    }
}

pub(super) async fn rollback(client: &Client, options: &RollbackOptions) -> miette::Result<ExitCode> {
    let key = options.which.find(client).await?;
    // Begun before it is asked for, so that nothing is missed.
    let changes = match options.watch {
        true => Some(watch::of(client, &key).await?),
        false => None,
    };
    let request = RollbackRequest { to: options.to.clone(), reason: options.reason.clone() };
    let answer: Holds = client.post(&path(&key, "/rollback"), &request).await?;
    holds(options.output, &answer, |hold| {
        let to = hold.instead.as_deref().unwrap_or("the last good release");
        format!("{key} goes back to {}; {} is held.", printable(to), printable(&hold.release))
    })?;
    let detail: EnvironmentDetail = client.get(&path(&key, "")).await?;
    if detail.suspended {
        // Nothing would ever end.
        return Err(miette!(
            help = "`seaway env resume` goes on",
            "{key} is suspended: it goes back once it is resumed"
        ));
    }
    let good = match changes {
        Some(mut changes) => watch::until_end(&mut changes).await?,
        None => true,
    };
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

pub(super) async fn hold(client: &Client, options: &HoldOptions) -> miette::Result<ExitCode> {
    let key = options.which.find(client).await?;
    let request =
        HoldRequest { release: options.release.clone(), lift: options.lift, reason: options.reason.clone() };
    let answer: Holds = client.post(&path(&key, "/hold"), &request).await?;
    if options.lift && answer.holds.is_empty() {
        eprintln!("{key} holds nothing.");
    }
    let what = if options.lift { "is not held any more" } else { "is held" };
    holds(options.output, &answer, |hold| format!("{key}: {} {what}.", printable(&hold.release)))?;
    Ok(ExitCode::SUCCESS)
}

fn holds(
    format: Format,
    answer: &Holds,
    line: impl Fn(&seaway_sync::view::Hold) -> String,
) -> miette::Result<()> {
    print(&match format {
        Format::Json | Format::Yaml => document(format, &answer.holds)?,
        Format::Name => answer.holds.iter().map(|hold| format!("{}\n", printable(&hold.release))).collect(),
        Format::Table | Format::Wide => answer.holds.iter().map(|hold| line(hold) + "\n").collect(),
    })
}

pub(super) async fn cancel(client: &Client, options: &CancelOptions) -> miette::Result<ExitCode> {
    let key = options.which.find(client).await?;
    let request = CancelRequest { sync: options.sync };
    let answer: Cancelled = client.post(&path(&key, "/cancel"), &request).await?;
    print(&format!(
        "{key}: sync {} is cancelled. It begins again with `seaway env sync {}`, or with the next change.\n",
        answer.sync, key.name
    ))?;
    Ok(ExitCode::SUCCESS)
}

pub(super) async fn suspend(client: &Client, options: &Plain) -> miette::Result<ExitCode> {
    let key = options.which.find(client).await?;
    let _: Done = client.post(&path(&key, "/suspend"), &()).await?;
    print(&format!("{key} is suspended: nothing is applied until `seaway env resume`.\n"))?;
    Ok(ExitCode::SUCCESS)
}

pub(super) async fn resume(client: &Client, options: &Plain) -> miette::Result<ExitCode> {
    let key = options.which.find(client).await?;
    let _: Done = client.post(&path(&key, "/resume"), &()).await?;
    print(&format!("{key} goes on.\n"))?;
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn objects_are_named_as_short_as_they_are_unique() {
        let planned = |group: &str, kind: &str, namespace: &str, name: &str| {
            json!({"object": {"group": group, "version": "v1", "kind": kind, "namespace": namespace, "name": name},
                   "action": "unchanged", "phase": "sync", "wave": 0})
        };
        let plan: Plan = serde_json::from_value(json!({"objects": [
            planned("apps", "Deployment", "shop", "web"), planned("apps", "Deployment", "other", "web"),
            planned("", "ConfigMap", "shop", "web"),
        ]}))
        .unwrap();
        let found =
            |text: &str| chosen(&plan, text).map(|one| object(&one)).unwrap_or_else(|e| e.to_string());
        assert_eq!(found("configmap/web"), "ConfigMap shop/web");
        assert_eq!(found("Deployment.apps/other/web"), "Deployment.apps other/web");
        assert_eq!(
            found("Deployment/web"),
            "\"Deployment/web\" could be Deployment.apps shop/web, Deployment.apps other/web"
        );
        assert_eq!(found("Service/web"), "the environment has no object \"Service/web\"");
        assert_eq!(found("web"), "\"web\" is not KIND/NAME");
    }
}
