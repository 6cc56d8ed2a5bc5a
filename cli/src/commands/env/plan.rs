//! `seaway env plan`.

use std::fmt::Write as _;
use std::process::ExitCode;

use seaway_sync::plan::{Action, FieldChange, Plan, PlannedObject};
use serde_json::Value;

use super::output::{Format, Paint, Tone, document, object, print, printable};
use super::{Which, parameters, path};
use crate::client::Client;

/// Options of `seaway env plan`.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  seaway env plan production
  seaway env plan production --revision my-branch
  seaway env plan production --revision v1.4.2 -o json

Nothing is changed. The exit code is 0 when the plan could be carried out as it is, also when there is
nothing to do; 1 when it could not: an object is not allowed, not valid or in conflict with another
applier, or everything would be deleted; 2 when the command is wrong.")]
pub(super) struct Options {
    #[command(flatten)]
    which: Which,
    /// Branch, tag or commit to look at in place of the one that is followed
    #[arg(long, value_name = "REVISION", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    revision: Option<String>,
    /// How to print; wide also lists what stays as it is
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

pub(super) async fn run(client: &Client, options: &Options) -> miette::Result<ExitCode> {
    let key = options.which.find(client).await?;
    let query = parameters([("revision", options.revision.as_deref())]);
    let plan: Plan = client.get(&path(&key, &format!("/plan?{query}"))).await?;
    print(&match options.output {
        Format::Json | Format::Yaml => document(options.output, &plan)?,
        Format::Name => {
            plan.out_of_sync().map(|planned| format!("{}\n", printable(&object(&planned.object)))).collect()
        }
        Format::Table | Format::Wide => {
            description(Paint::for_stdout(), options.output == Format::Wide, &plan)
        }
    })?;
    let stands = |action: Action| action.is_blocking() || action == Action::Conflict;
    let refused = plan.blocked.is_some() || plan.objects.iter().any(|object| stands(object.action));
    Ok(if refused { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// Every action with its sign, what it is called, and what it does to how many.
const ACTIONS: [(Action, &str, &str, Tone, &str); 8] = [
    (Action::Forbidden, "!", "forbidden", Tone::Bad, "not allowed"),
    (Action::Invalid, "!", "invalid", Tone::Bad, "not valid"),
    (Action::Conflict, "!", "conflict", Tone::Bad, "in conflict"),
    (Action::Create, "+", "create", Tone::Good, "to create"),
    (Action::Change, "~", "change", Tone::Busy, "to change"),
    (Action::Prune, "-", "prune", Tone::Bad, "to prune"),
    (Action::Hook, ">", "hook", Tone::Plain, "hooks"),
    (Action::Unchanged, " ", "unchanged", Tone::Faint, "unchanged"),
];

/// A plan in lines: what happens to each object, and why.
pub(super) fn description(paint: Paint, wide: bool, plan: &Plan) -> String {
    let mut text = String::new();
    for planned in &plan.objects {
        if !wide && matches!(planned.action, Action::Unchanged) {
            continue;
        }
        one(paint, &mut text, planned);
    }
    if let Some(blocked) = &plan.blocked {
        let _ = writeln!(text, "{} {}", paint.text("Blocked:", Tone::Bad), printable(blocked));
    }
    if plan.unasked {
        text.push_str(
            "Not asked of the cluster: it is before the first sync, and it may still refuse some of it.\n",
        );
    }
    let counts: Vec<String> = ACTIONS
        .iter()
        .filter_map(|(action, _, _, _, what)| {
            let count = plan.count(*action);
            (count > 0).then(|| format!("{count} {what}"))
        })
        .collect();
    match counts.as_slice() {
        [] => text.push_str("There is nothing in Git and nothing in the cluster.\n"),
        counts => {
            let _ = writeln!(text, "{}.", counts.join(", "));
        }
    }
    text
}

fn one(paint: Paint, text: &mut String, planned: &PlannedObject) {
    let Some((_, sign, word, tone, _)) = ACTIONS.iter().find(|(action, ..)| *action == planned.action) else {
        return;
    };
    let _ = write!(
        text,
        "{} {}",
        paint.text(&format!("{sign} {word:<9}"), *tone),
        printable(&object(&planned.object))
    );
    if let Some(origin) = &planned.origin {
        let line = if origin.line > 0 { format!(":{}", origin.line) } else { String::new() };
        let _ = write!(text, "  {}", paint.text(&format!("{}{line}", printable(&origin.file)), Tone::Faint));
    }
    if planned.held_back {
        text.push_str("  (not done)");
    }
    text.push('\n');
    if !planned.message.is_empty() {
        let _ = writeln!(text, "    {}", printable(&planned.message));
    }
    for field in &planned.fields {
        let _ = writeln!(text, "    {}", change(paint, field));
    }
}

pub(super) fn change(paint: Paint, field: &FieldChange) -> String {
    let show = |shown: &Option<Value>| shown.as_ref().map_or_else(|| "(none)".to_owned(), value);
    let mut line = format!("{}: {} → {}", printable(&field.path), show(&field.from), show(&field.to));
    if let Some(owner) = &field.owner
        && field.drift
    {
        let since = owner.time.as_deref().map(|time| format!(" at {time}")).unwrap_or_default();
        let by = format!("  (changed in the cluster by {}{since})", owner.manager);
        line.push_str(&paint.text(&printable(&by), Tone::Busy));
    }
    line
}

/// Longest value that is printed as a whole.
const LONGEST: usize = 120;

pub(super) fn value(value: &Value) -> String {
    let text = printable(&value.to_string());
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

/// `object` or `objects`.
pub(super) fn objects(count: usize) -> &'static str {
    if count == 1 { "object" } else { "objects" }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_plan_says_what_happens_to_each_object_and_why() {
        let object = |kind: &str, name: &str| json!({"group": "", "version": "v1", "kind": kind, "namespace": "shop", "name": name});
        let planned = |kind: &str, action: &str, more: Value| {
            let mut planned =
                json!({"object": object(kind, "a"), "action": action, "phase": "sync", "wave": 0});
            planned.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            planned
        };
        let plan: Plan = serde_json::from_value(json!({"objects": [
            planned("ConfigMap", "create", json!({"origin": {"file": "a.yaml", "line": 3}})),
            planned("Service", "change", json!({"fields": [
                {"path": ".spec.type", "from": "NodePort", "to": "ClusterIP", "drift": true,
                 "owner": {"manager": "kubectl-edit", "operation": "Update"}},
                {"path": ".metadata.labels.a", "to": "1", "drift": false}]})),
            planned("Secret", "unchanged", json!({})),
            planned("Job", "prune", json!({"heldBack": true, "message": "pruning is off"})),
        ]}))
        .unwrap();
        assert_eq!(
            description(Paint::never(), false, &plan),
            "+ create    ConfigMap shop/a  a.yaml:3\n\
             ~ change    Service shop/a\n    .spec.type: \"NodePort\" → \"ClusterIP\"  (changed in the cluster by kubectl-edit)\n    \
             .metadata.labels.a: (none) → \"1\"\n\
             - prune     Job shop/a  (not done)\n    pruning is off\n\
             1 to create, 1 to change, 1 to prune, 1 unchanged.\n"
        );
    }

    #[test]
    fn long_values_are_cut_between_characters() {
        assert_eq!(value(&"ü".repeat(200).into()).chars().count(), LONGEST + 1);
    }
}
