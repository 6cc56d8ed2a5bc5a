//! `seaway health`: how well objects do, from what they say about themselves.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use miette::{IntoDiagnostic, WrapErr, miette};
use seaway_api::HealthCheckExpr;
use seaway_object::yaml::Dialect;
use seaway_object::{GroupVersionKind, ObjectId, ReadOptions, read_documents, read_objects};
use seaway_sync::{HealthRules, HealthStatus};
use serde::Serialize;

use super::env::output::{Cell, Format, Paint, document, print, table};

/// More bytes are not read.
const LARGEST: u64 = 32 << 20;

/// Options of `seaway health`.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  kubectl get deployment web -o yaml | seaway health -
  kubectl get all --namespace shop -o json | seaway health - --exit-code
  seaway health web.yaml jobs.json -o json
  kubectl get clusterissuer -o yaml | seaway health - --rules stack.yaml

The rules are those by which environments are judged: Argo CD's and kstatus' for built-in kinds, the
conditions of any other. With --rules, the health rules of a Stack (spec.healthCheckExprs) come first,
so that they can be tried before anything is deployed. An object as it is written in Git, without a status, is judged like one that
nobody has looked at yet. The exit code is 0 once everything was read; with --exit-code it is 1 when
an object is neither Healthy nor Suspended.")]
pub(crate) struct Options {
    /// Files with objects, YAML or JSON, several documents and lists too; - is standard input
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// A file with health rules in CEL: a Stack, a Flux Kustomization, or a list of rules
    #[arg(long, value_name = "FILE")]
    rules: Option<PathBuf>,
    /// End with 1 when an object is neither Healthy nor Suspended
    #[arg(long)]
    exit_code: bool,
    /// How to print
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

/// How one object does.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Line {
    api_version: String,
    kind: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    namespace: Option<String>,
    name: String,
    status: HealthStatus,
    message: String,
    #[serde(skip)]
    id: String,
}

/// Reads and judges.
pub(crate) fn run(options: &Options) -> miette::Result<ExitCode> {
    let rules = options.rules.as_deref().map(rules).transpose()?.unwrap_or_default();
    let mut lines = Vec::new();
    for file in &options.files {
        judge(file, &rules, &mut lines)?;
    }
    let text = match options.output {
        Format::Json | Format::Yaml => document(options.output, &lines)?,
        Format::Name => lines.iter().map(|line| format!("{}\n", line.id)).collect(),
        Format::Table | Format::Wide => {
            let cells = |line: &Line| -> Vec<Cell> {
                vec![line.id.as_str().into(), line.status.into(), line.message.as_str().into()]
            };
            let rows: Vec<Vec<Cell>> = lines.iter().map(cells).collect();
            if rows.is_empty() {
                eprintln!("No objects found.");
                String::new()
            } else {
                table(Paint::for_stdout(), &["OBJECT", "STATUS", "MESSAGE"], &rows)
            }
        }
    };
    print(&text)?;
    let bad = options.exit_code && lines.iter().any(|line| !line.status.is_settled());
    Ok(if bad { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn judge(file: &Path, rules: &HealthRules, lines: &mut Vec<Line>) -> miette::Result<()> {
    let name = shown(file);
    let text = read(file)?;
    let documents = read_objects(&text, &ReadOptions::new(Dialect::Kubernetes))
        .map_err(|error| miette!("{name}: {error}"))?;
    for document in documents {
        let found = |error: seaway_object::Error| miette!("{name}: {}: {error}", document.position);
        let kind = GroupVersionKind::of(&document.value).map_err(found)?;
        let id = ObjectId::of(&document.value).map_err(found)?;
        let health = rules.health(&document.value);
        lines.push(Line {
            api_version: kind.api_version(),
            kind: kind.kind,
            id: id.to_string(),
            namespace: id.namespace,
            name: id.name,
            status: health.status,
            message: health.message,
        });
    }
    Ok(())
}

/// The fields of a health rule.
const RULE_FIELDS: [&str; 6] = ["apiVersion", "kind", "inProgress", "failed", "current", "message"];

/// The health rules of a file: of each object that has some, or of lists.
fn rules(file: &Path) -> miette::Result<HealthRules> {
    let name = shown(file);
    let text = read(file)?;
    let documents = read_documents(&text, &ReadOptions::new(Dialect::Kubernetes))
        .map_err(|error| miette!("{name}: {error}"))?;
    let (mut rules, mut places): (Vec<HealthCheckExpr>, Vec<String>) = (Vec::new(), Vec::new());
    for document in &documents {
        let pointer = if document.value.is_array() { "" } else { "/spec/healthCheckExprs" };
        let Some(found) = document.value.pointer(pointer) else { continue };
        let place = |pointer: &str| format!("{name}: {}", document.source_map.position(pointer));
        let Some(found) = found.as_array() else {
            return Err(miette!("{}: healthCheckExprs is a list of health rules", place(pointer)));
        };
        for (index, rule) in found.iter().enumerate() {
            let pointer = format!("{pointer}/{index}");
            let mut fields = rule.as_object().into_iter().flat_map(|rule| rule.keys());
            if let Some(field) = fields.find(|field| !RULE_FIELDS.contains(&field.as_str())) {
                let help = format!("the fields of a health rule are {}", RULE_FIELDS.join(", "));
                let place = place(&format!("{pointer}/{field}"));
                return Err(miette!(help = help, "{place}: a health rule has no field {field}"));
            }
            let read = serde_json::from_value(rule.clone());
            rules.push(read.map_err(|error| miette!("{}: {error}", place(&pointer)))?);
            places.push(place(&pointer));
        }
    }
    if rules.is_empty() {
        let help = "write them into spec.healthCheckExprs of a Stack, or as a list";
        return Err(miette!(help = help, "{name} has no health rules"));
    }
    HealthRules::compile(&rules).map_err(|errors| {
        let lines = errors.iter().map(|error| {
            let index = error.field.trim_start_matches('[').split(']').next();
            let place = index.and_then(|index| places.get(index.parse::<usize>().ok()?));
            format!("{}: {error}", place.unwrap_or(&name))
        });
        miette!("{}", lines.collect::<Vec<_>>().join("\n"))
    })
}

fn read(file: &Path) -> miette::Result<String> {
    let (name, mut text) = (shown(file), String::new());
    let input: Box<dyn Read> = match file == Path::new("-") {
        true => Box::new(std::io::stdin().lock()),
        false => {
            let opened = std::fs::File::open(file).into_diagnostic();
            Box::new(opened.wrap_err_with(|| format!("{name} cannot be read"))?)
        }
    };
    let read = input.take(LARGEST + 1).read_to_string(&mut text);
    read.into_diagnostic().wrap_err_with(|| format!("{name} cannot be read"))?;
    if text.len() as u64 > LARGEST {
        return Err(miette!(help = "ask for fewer objects at once", "{name} has more than {LARGEST} bytes"));
    }
    Ok(text)
}

fn shown(file: &Path) -> String {
    match file == Path::new("-") {
        true => "standard input".to_owned(),
        false => file.display().to_string(),
    }
}
