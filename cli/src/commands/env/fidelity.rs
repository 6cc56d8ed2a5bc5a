//! `seaway env fidelity`.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::process::ExitCode;

use seaway_environments::Class;
use seaway_sync::view::{DriftedField, FidelityDifference, FidelityView};

use super::output::{Format, Paint, Tone, document, object, print, printable};
use super::{Which, parameters, path, plan};
use crate::client::Client;

/// Options of `seaway env fidelity`.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  seaway env fidelity mycopy
  seaway env fidelity mycopy --class undeclared
  seaway env fidelity staging --against production
  seaway env fidelity mycopy -o json | jq .score

Two renders are compared field by field, and every difference is explained by what was declared: that a
copy is another place (identity), a rule of the stack, an override, or what stands in for something that
stays in production. The exit code is 1 when there is a difference that nobody has declared.")]
pub(super) struct Options {
    #[command(flatten)]
    which: Which,
    /// Environment to compare with, as NAME or NAMESPACE/NAME [default: what it is a copy of]
    #[arg(long, value_name = "ENV")]
    against: Option<String>,
    /// Only differences of this class; can be repeated
    #[arg(long, value_enum)]
    class: Vec<ClassChoice>,
    /// How to print
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

/// Why two environments differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum ClassChoice {
    /// The copy is another place
    Identity,
    /// A rule of the stack
    Rule,
    /// An override
    Override,
    /// It stands in for what stays in production
    StandIn,
    /// Nobody has said why
    Undeclared,
}

impl ClassChoice {
    fn class(self) -> Class {
        match self {
            Self::Identity => Class::Identity,
            Self::Rule => Class::Rule,
            Self::Override => Class::Override,
            Self::StandIn => Class::StandIn,
            Self::Undeclared => Class::Undeclared,
        }
    }
}

pub(super) async fn run(client: &Client, options: &Options) -> miette::Result<ExitCode> {
    let key = options.which.find(client).await?;
    let query = parameters([("against", options.against.as_deref())]);
    let mut fidelity: FidelityView = client.get(&path(&key, &format!("/fidelity?{query}"))).await?;
    if !options.class.is_empty() {
        let wanted = |d: &FidelityDifference| options.class.iter().any(|class| class.class() == d.class);
        fidelity.differences.retain(wanted);
    }
    print(&match options.output {
        Format::Json | Format::Yaml => document(options.output, &fidelity)?,
        Format::Name => {
            let mut names: Vec<String> = fidelity.differences.iter().map(|d| object(&d.object)).collect();
            names.dedup();
            names.iter().map(|name| format!("{}\n", printable(name))).collect()
        }
        Format::Table | Format::Wide => description(Paint::for_stdout(), &fidelity),
    })?;
    Ok(if fidelity.undeclared == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn description(paint: Paint, fidelity: &FidelityView) -> String {
    let mut text = format!(
        "{} against {}: {:.1} % of {} fields are identical, {} differ as declared, {}.\n",
        fidelity.environment,
        fidelity.against,
        fidelity.score * 100.0,
        fidelity.total,
        fidelity.declared,
        match fidelity.undeclared {
            0 => paint.text("0 undeclared", Tone::Good),
            some => paint.text(&format!("{some} undeclared"), Tone::Bad),
        }
    );
    let mut groups: BTreeMap<(u8, &str), Vec<&FidelityDifference>> = BTreeMap::new();
    for difference in &fidelity.differences {
        groups.entry((place(difference.class), &difference.rule)).or_default().push(difference);
    }
    for ((_, rule), differences) in groups {
        let class = differences.first().map_or(Class::Undeclared, |d| d.class);
        let tone = if class == Class::Undeclared { Tone::Bad } else { Tone::Plain };
        let rule = if rule.is_empty() { String::new() } else { format!(" ({})", printable(rule)) };
        let _ = writeln!(text, "\n{}{rule}:", paint.text(class.as_str(), tone));
        for d in differences {
            let show =
                |value: &Option<serde_json::Value>| value.as_ref().map_or("(none)".to_owned(), plan::value);
            let at = if d.path.is_empty() { String::new() } else { format!(" {}", printable(&d.path)) };
            let change = match (&d.left, &d.right) {
                (Some(_), None) if d.path.is_empty() => format!("only in {}", fidelity.against),
                (None, Some(_)) if d.path.is_empty() => format!("only in {}", fidelity.environment),
                (left, right) => format!("{} → {}", show(left), show(right)),
            };
            let _ = writeln!(text, "  {}{at}: {change}", printable(&object(&d.object)));
        }
    }
    drift(&mut text, paint, &fidelity.against.to_string(), &fidelity.drift.left);
    drift(&mut text, paint, &fidelity.environment.to_string(), &fidelity.drift.right);
    text
}

fn drift(text: &mut String, paint: Paint, side: &str, fields: &[DriftedField]) {
    if fields.is_empty() {
        return;
    }
    let _ = writeln!(
        text,
        "\n{}",
        paint.text(&format!("Changed in the cluster of {side}, past Git:"), Tone::Busy)
    );
    for drifted in fields {
        let _ = writeln!(
            text,
            "  {} {}",
            printable(&object(&drifted.object)),
            plan::change(paint, &drifted.field)
        );
    }
}

/// What nobody has declared comes first.
fn place(class: Class) -> u8 {
    match class {
        Class::Undeclared => 0,
        Class::Override => 1,
        Class::StandIn => 2,
        Class::Rule => 3,
        Class::Identity => 4,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_nobody_has_declared_comes_first() {
        let object = |name: &str| json!({"group": "", "version": "v1", "kind": "ConfigMap", "namespace": "mine", "name": name});
        let difference = |name: &str, path: &str, class: &str, rule: &str, left: serde_json::Value| json!({"object": object(name), "path": path, "class": class, "rule": rule, "left": left, "right": "b"});
        let fidelity: FidelityView = serde_json::from_value(json!({
            "environment": {"namespace": "seaway-jane", "name": "mine"},
            "against": {"namespace": "seaway", "name": "production"},
            "leftRelease": "a", "rightRelease": "b",
            "total": 8, "identical": 4, "declared": 3, "undeclared": 1, "score": 0.5,
            "differences": [
                difference("a", ".metadata.namespace", "identity", "names", "shop".into()),
                difference("a", ".data.x", "undeclared", "", 1.into()),
                difference("b", "", "override", "web at feature", serde_json::Value::Null),
            ],
            "drift": {"left": [], "right": []},
        }))
        .unwrap();
        assert_eq!(
            description(Paint::never(), &fidelity),
            "seaway-jane/mine against seaway/production: 50.0 % of 8 fields are identical, 3 differ as declared, 1 undeclared.\n\n\
             undeclared:\n  ConfigMap mine/a .data.x: 1 → \"b\"\n\n\
             override (web at feature):\n  ConfigMap mine/b: only in seaway-jane/mine\n\n\
             identity (names):\n  ConfigMap mine/a .metadata.namespace: \"shop\" → \"b\"\n"
        );
    }
}
