//! `seaway env delete`: what goes with an environment, and what stays.

use std::fmt::Write as _;
use std::process::ExitCode;

use seaway_server::Done;
use seaway_sync::plan::{Action, Plan, PlannedObject};

use super::output::{object, print, printable};
use super::{Which, copies, path};
use crate::client::Client;
use crate::commands::question;

/// More objects are counted and not named.
const MOST: usize = 20;

/// Options of `seaway env delete`.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  seaway env delete my-copy
  seaway env delete my-copy --yes

What the environment deployed is deleted with it; what is, and what stays, is named before. One that
is kept by a hook of its end that has failed lets that run again. An environment that is in the
deployment repository comes back: delete it there.")]
pub(super) struct Options {
    #[command(flatten)]
    which: Which,
    /// Do not ask
    #[arg(short, long)]
    yes: bool,
    /// Do not wait until it is gone
    #[arg(long)]
    no_wait: bool,
}

pub(super) async fn run(client: &Client, options: &Options) -> miette::Result<ExitCode> {
    let key = options.which.find(client).await?;
    // Who may delete it does so also where nobody can say what goes.
    let plan = match client.get::<Plan>(&path(&key, "/plan?deletion=true")).await {
        Ok(plan) => plan,
        Err(error) => {
            eprintln!("What it deletes could not be found out: {}", printable(&error.to_string()));
            Plan::default()
        }
    };
    eprint!("{}", description(&key.to_string(), &plan));
    if !options.yes && !question::confirmed(&format!("{key} and everything that it deployed"), &key.name)? {
        eprintln!("Nothing was deleted.");
        return Ok(ExitCode::FAILURE);
    }
    let _: Done = client.delete(&path(&key, "")).await?;
    if options.no_wait {
        print(&format!("{key} is being deleted, with what it deployed.\n{}", leaves(&plan)))?;
        return Ok(ExitCode::SUCCESS);
    }
    copies::until_gone(client, &key).await?;
    print(&format!("{key} is deleted, with what it deployed.\n{}", leaves(&plan)))?;
    Ok(ExitCode::SUCCESS)
}

fn goes(planned: &&PlannedObject) -> bool {
    planned.action == Action::Prune && !planned.held_back
}

fn stays(planned: &&PlannedObject) -> bool {
    planned.action == Action::Prune && planned.held_back
}

/// What goes, which hooks run, and what stays with the reason; as it is before anything is deleted.
fn description(environment: &str, plan: &Plan) -> String {
    let mut text = String::new();
    part(&mut text, &format!("With {environment} goes:"), plan.objects.iter().filter(goes));
    let hooks = plan.objects.iter().filter(|planned| planned.action == Action::Hook);
    part(&mut text, "Hooks:", hooks);
    part(&mut text, "What stays:", plan.objects.iter().filter(stays));
    text
}

fn part<'a>(text: &mut String, title: &str, objects: impl Iterator<Item = &'a PlannedObject>) {
    let objects: Vec<&PlannedObject> = objects.collect();
    if objects.is_empty() {
        return;
    }
    let _ = writeln!(text, "{title}");
    for planned in objects.iter().take(MOST) {
        let _ = match planned.message.as_str() {
            "" => writeln!(text, "  {}", printable(&object(&planned.object))),
            why => writeln!(text, "  {}: {}", printable(&object(&planned.object)), printable(why)),
        };
    }
    if objects.len() > MOST {
        let _ = writeln!(text, "  and {} more", objects.len() - MOST);
    }
}

/// What is still there afterwards, in a line; empty where that is nothing.
fn leaves(plan: &Plan) -> String {
    let left: Vec<String> =
        plan.objects.iter().filter(stays).map(|planned| printable(&object(&planned.object))).collect();
    match left.len() {
        0 => String::new(),
        count if count > MOST => {
            format!("It leaves {} and {} more.\n", left[..MOST].join(", "), count - MOST)
        }
        _ => format!("It leaves {}.\n", left.join(", ")),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn planned(kind: &str, name: &str, action: &str, stays: bool, message: &str) -> Value {
        let object = json!({"group": "", "version": "v1", "kind": kind, "namespace": "shop", "name": name});
        json!({"object": object, "action": action, "phase": "sync", "wave": 0, "heldBack": stays,
               "message": message})
    }

    #[test]
    fn what_goes_and_what_stays_is_named_with_the_reason() {
        let plan: Plan = serde_json::from_value(json!({"objects": [
            planned("ConfigMap", "a", "prune", false, ""),
            planned("ConfigMap", "kept", "prune", true, "its options forbid deletion"),
            planned("Job", "drain", "hook", false, "runs at the end"),
        ]}))
        .unwrap();
        assert_eq!(
            description("seaway/staging", &plan),
            "With seaway/staging goes:\n  ConfigMap shop/a\nHooks:\n  Job shop/drain: runs at the end\n\
             What stays:\n  ConfigMap shop/kept: its options forbid deletion\n"
        );
        assert_eq!(leaves(&plan), "It leaves ConfigMap shop/kept.\n");
        assert_eq!((description("x", &Plan::default()), leaves(&Plan::default())), Default::default());
    }

    #[test]
    fn of_many_objects_the_first_are_named() {
        let many = |stays| (0..30).map(move |n| planned("ConfigMap", &format!("m{n}"), "prune", stays, ""));
        let plan: Plan =
            serde_json::from_value(json!({"objects": many(false).chain(many(true)).collect::<Vec<_>>()}))
                .unwrap();
        let text = description("x", &plan);
        assert_eq!(text.matches("  and 10 more\n").count(), 2, "{text}");
        assert!(leaves(&plan).ends_with("ConfigMap shop/m19 and 10 more.\n"), "{}", leaves(&plan));
    }
}
