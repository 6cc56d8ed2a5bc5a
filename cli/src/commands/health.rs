//! `seaway health`: how well objects do, from what they say about themselves.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use miette::{IntoDiagnostic, WrapErr, miette};
use seaway_object::yaml::Dialect;
use seaway_object::{GroupVersionKind, ObjectId, ReadOptions, read_objects};
use seaway_sync::HealthStatus;
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

The rules are those by which environments are judged: Argo CD's and kstatus' for built-in kinds, the
conditions of any other. An object as it is written in Git, without a status, is judged like one that
nobody has looked at yet. The exit code is 0 once everything was read; with --exit-code it is 1 when
an object is neither Healthy nor Suspended.")]
pub(crate) struct Options {
    /// Files with objects, YAML or JSON, several documents and lists too; - is standard input
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
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
    let mut lines = Vec::new();
    for file in &options.files {
        judge(file, &mut lines)?;
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

fn judge(file: &Path, lines: &mut Vec<Line>) -> miette::Result<()> {
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
    let documents = read_objects(&text, &ReadOptions::new(Dialect::Kubernetes))
        .map_err(|error| miette!("{name}: {error}"))?;
    for document in documents {
        let found = |error: seaway_object::Error| miette!("{name}: {}: {error}", document.position);
        let kind = GroupVersionKind::of(&document.value).map_err(found)?;
        let id = ObjectId::of(&document.value).map_err(found)?;
        let health = seaway_sync::health(&document.value);
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

fn shown(file: &Path) -> String {
    match file == Path::new("-") {
        true => "standard input".to_owned(),
        false => file.display().to_string(),
    }
}
