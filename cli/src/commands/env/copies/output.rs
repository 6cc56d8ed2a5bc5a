//! Copies, overrides and proposals in lines.

use std::fmt::Write as _;

use seaway_server::{CopyAnswer, ProposeAnswer};
use seaway_sync::plan::Plan;
use seaway_sync::view::{EnvironmentKey, OverrideView};

use super::super::output::{Cell, Paint, Tone, printable, table};
use super::super::plan;

/// What a copy is called, and what it does not have.
pub(super) fn copy(answer: &CopyAnswer) -> String {
    let copy = &answer.copy;
    let is = if answer.created { "is being made" } else { "would be made" };
    let mut text = format!("{} {is}, a copy of {}:\n", answer.environment, printable(&copy.of));
    let mut line = |name: &str, value: &str| {
        let _ = writeln!(text, "  {name:<11} {}", printable(value));
    };
    line("components", &copy.components.join(", "));
    for (from, to) in &copy.namespaces {
        line("namespace", &format!("{from} → {to}"));
    }
    for (from, to) in &copy.hosts {
        line("host", &format!("{from} → {to}"));
    }
    for left in &copy.left_out {
        line("without", &format!("{}: {}", left.object, left.reason));
    }
    for (service, host) in &copy.shared {
        line("shared", &format!("{service} → {host}"));
    }
    for warning in &copy.warnings {
        line("warning", warning);
    }
    text
}

/// The overrides of an environment.
pub(in super::super) fn overrides(paint: Paint, key: &EnvironmentKey, overrides: &[OverrideView]) -> String {
    if overrides.is_empty() {
        return format!("{key} has no overrides.\n");
    }
    let row = |one: &OverrideView| -> Vec<Cell> {
        let spec = &one.spec;
        let mut what: Vec<String> = spec.revision.iter().cloned().collect();
        what.extend(spec.repo.iter().map(|repo| format!("of {repo}")));
        what.extend(spec.parameters.iter().map(|(key, value)| format!("{key}={value}")));
        what.extend(spec.images.iter().map(|image| {
            let to = image.digest.as_deref().or(image.tag.as_deref()).or(image.new_name.as_deref());
            format!("{}={}", image.name, to.unwrap_or_default())
        }));
        let state = match (one.active, &spec.proposal) {
            (false, _) => Cell("expired".to_owned(), Tone::Faint),
            (true, Some(proposal)) => Cell(format!("proposed as {}", proposal.branch), Tone::Good),
            (true, None) => Cell("active".to_owned(), Tone::Busy),
        };
        let commit = one.commit.as_deref().and_then(|commit| commit.get(..8));
        vec![
            spec.component.as_str().into(),
            what.join(" ").into(),
            commit.into(),
            state,
            spec.expires.as_deref().into(),
            spec.reason.as_deref().into(),
        ]
    };
    let rows: Vec<Vec<Cell>> = overrides.iter().map(row).collect();
    table(paint, &["COMPONENT", "RUNS", "COMMIT", "STATE", "EXPIRES", "REASON"], &rows)
}

/// What was pushed, and what it would change.
pub(super) fn proposal(paint: Paint, answer: &ProposeAnswer) -> String {
    let proposed = &answer.proposed;
    let verb = if proposed.unchanged { "is there already" } else { "is pushed" };
    let mut text = format!(
        "{} {verb}: {}, onto {} of {}.\n",
        printable(&proposed.branch),
        proposed.commit.get(..8).unwrap_or(&proposed.commit),
        printable(&proposed.base),
        printable(&proposed.repo)
    );
    if let Some(url) = &answer.merge_request {
        let _ = writeln!(text, "It is to be merged at {}", printable(url));
    }
    if let Some(problem) = &answer.problem {
        let _ = writeln!(text, "Note: {}", printable(problem));
    }
    for effect in &answer.effects {
        match &effect.error {
            Some(error) => {
                let _ = writeln!(text, "\n{}: {}", effect.environment, printable(error));
            }
            None => {
                let plan = Plan { objects: effect.objects.clone(), ..Plan::default() };
                let _ = writeln!(text, "\n{}:", paint.text(&effect.environment.to_string(), Tone::Plain));
                let described = match plan.objects.is_empty() {
                    true => "nothing would change.\n".to_owned(),
                    false => plan::description(paint, false, &plan),
                };
                text.push_str(&described);
            }
        }
    }
    let _ = writeln!(
        text,
        "\nMerge {} into {} as you merge other branches; the override ends once the environment's original has it.",
        printable(&proposed.branch),
        printable(&proposed.base)
    );
    text
}
