//! `seaway render`: what exactly would be deployed.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use miette::{IntoDiagnostic, WrapErr, miette};
use seaway_render::{Format, Kind, Outcome};

/// Options of `seaway render`.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  seaway render overlays/production
  seaway render overlays/production | kubectl apply -f -
  seaway render . -o names
  seaway render manifests --kind plain -o json

Warnings go to standard error. The exit code is 0 when everything was rendered and 1 otherwise;
nothing is printed then.")]
pub(crate) struct Options {
    /// Directory (or, for plain YAML, file) to render
    path: PathBuf,
    /// How to render; found out from the files when absent
    #[arg(long, value_enum)]
    kind: Option<KindName>,
    /// How to print
    #[arg(short, long, value_enum, default_value_t = Output::Yaml)]
    output: Output,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum KindName {
    Plain,
    Kustomize,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Output {
    Yaml,
    Json,
    Names,
}

/// Renders a directory of this machine.
pub(crate) fn run(options: &Options) -> miette::Result<ExitCode> {
    let path = options
        .path
        .canonicalize()
        .into_diagnostic()
        .wrap_err_with(|| format!("{} cannot be read", options.path.display()))?;
    // Bases may lie beside the directory: the tree is that of the repository around it, or of the whole disk.
    let root = repository(&path).unwrap_or_else(|| PathBuf::from("/"));
    let kind = options.kind.map(|kind| match kind {
        KindName::Plain => Kind::Plain,
        KindName::Kustomize => Kind::Kustomize,
    });
    let rendered = match seaway_render::render_directory(&root, &path, kind).into_diagnostic()? {
        Outcome::Rendered(rendered) => rendered,
        Outcome::Needs(remotes) => {
            let list: Vec<String> = remotes.iter().map(ToString::to_string).collect();
            return Err(miette!(
                help = "clone them beside the directory and name them by path",
                "remote bases are not fetched yet: {}",
                list.join(", ")
            ));
        }
    };
    for warning in &rendered.warnings {
        eprintln!("Warning: {warning}");
    }
    let text = rendered.to_text(match options.output {
        Output::Yaml => Format::Yaml,
        Output::Json => Format::Json,
        Output::Names => Format::Names,
    });
    match std::io::stdout().lock().write_all(text.as_bytes()) {
        // The reader of a pipe has seen enough.
        Err(e) if e.kind() == std::io::ErrorKind::BrokenPipe => Ok(ExitCode::SUCCESS),
        result => result.into_diagnostic().map(|()| ExitCode::SUCCESS),
    }
}

/// The nearest directory above that is a Git repository.
fn repository(path: &std::path::Path) -> Option<PathBuf> {
    path.ancestors().find(|p| p.join(".git").exists()).map(PathBuf::from)
}
