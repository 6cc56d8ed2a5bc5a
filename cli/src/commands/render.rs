//! `seaway render`: what exactly would be deployed.

mod credentials;
mod download;
mod explanation;
mod fetching;
mod source;

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use miette::{IntoDiagnostic, miette};
use seaway_render::{
    Cache, Format, Kind, Outcome, PlainOptions, Remotes, RenderRequest, Rendered, Stopwatch, Validation,
};

use fetching::{Allowed, Fetching};
use source::Source;

/// Remote bases of remote bases of …
const MAX_ROUNDS: usize = 32;
/// What results of commits may take on disk, in bytes.
const CACHE_BYTES: u64 = 256 << 20;
/// More findings are only counted.
const MAX_FINDINGS: usize = 100;

/// Options of `seaway render`.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  seaway render overlays/production
  seaway render overlays/production | kubectl apply -f -
  seaway render https://github.com/stefanprodan/podinfo --path kustomize --revision master
  seaway render 'github.com/stefanprodan/podinfo//kustomize?ref=6.7.0' -o names
  seaway render manifests --kind plain -o json
  seaway render manifests --include 'apps/**' --exclude '**/*-test.yaml'
  seaway render overlays/production --validate
  seaway render overlays/production --explain

A repository on this machine or elsewhere is read from a mirror (in $XDG_CACHE_HOME/seaway), without a
checkout and without asking for a password; ssh uses your own configuration and keys, https git's credential
helpers, or SEAWAY_GIT_CREDENTIALS: URLs with a user and a token, each for what lies below it, as in
https://USER:TOKEN@git.example.com/team. Remote bases may lie on any host but this machine, over https and
ssh; --allow widens that. Link-local addresses are never asked.

Warnings go to standard error. The exit code is 0 when everything was rendered and 1 otherwise;
nothing is printed then.")]
pub(crate) struct Options {
    /// Directory (or, for plain YAML, file), or Git repository, to render
    #[arg(value_name = "PATH_OR_GIT_URL")]
    source: String,
    /// Branch, tag or commit of a Git repository [default: its default branch]
    #[arg(long)]
    revision: Option<String>,
    /// Directory (or, for plain YAML, file) within the repository or directory
    #[arg(long)]
    path: Option<String>,
    /// How to render; found out from the files when absent
    #[arg(long, value_enum)]
    kind: Option<KindName>,
    /// Of plain YAML, only the files that match this glob; can be repeated
    ///
    /// Globs are for paths below the rendered directory: * and ? stay within a directory, ** does not, {a,b} is one
    /// or the other.
    #[arg(long, value_name = "GLOB")]
    include: Vec<String>,
    /// Of plain YAML, not the files that match this glob; can be repeated
    #[arg(long, value_name = "GLOB")]
    exclude: Vec<String>,
    /// Of plain YAML, not the files of subdirectories
    #[arg(long)]
    no_recurse: bool,
    /// How to print
    #[arg(short, long, value_enum, default_value_t = Output::Yaml)]
    output: Output,
    /// Refuse unknown fields and wrong types
    ///
    /// Objects are held against the schemas of Kubernetes 1.37 and of CustomResourceDefinitions in the tree. Kinds
    /// that neither knows are named in a warning.
    #[arg(long)]
    validate: bool,
    /// Print what made each object, with times, in place of the objects
    #[arg(long)]
    explain: bool,
    /// Where remote bases may lie besides; can be repeated
    #[arg(long, value_enum, value_name = "WHAT", env = "SEAWAY_RENDER_ALLOW", value_delimiter = ',')]
    allow: Vec<Allowed>,
    /// Seconds that fetching one repository or file may take
    #[arg(long, value_name = "SECONDS", env = "SEAWAY_RENDER_TIMEOUT", default_value_t = 120)]
    timeout: u64,
    /// Mebibytes that the mirror of one repository may take
    #[arg(long, value_name = "MIB", env = "SEAWAY_RENDER_MAX_SIZE", default_value_t = 4096)]
    max_size: u64,
    /// Folder of mirrors and kept results [default: $XDG_CACHE_HOME/seaway]
    #[arg(long, env = "SEAWAY_CACHE_DIR", value_name = "DIR")]
    cache_dir: Option<PathBuf>,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum KindName {
    Plain,
    Kustomize,
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Output {
    Yaml,
    Json,
    Names,
}

/// Renders a directory of this machine, or a commit of a repository.
pub(crate) fn run(options: &Options) -> miette::Result<ExitCode> {
    let mut fetching = Fetching::new(options);
    let source = Source::find(options, &mut fetching)?;
    let began = Instant::now();
    let (rendered, remotes) = render(options, &source, &mut fetching)?;
    let took = began.elapsed();
    for warning in &rendered.warnings {
        eprintln!("Warning: {}", source.message(warning));
    }
    for file in &rendered.encrypted {
        let problem =
            format!("{file} is encrypted with SOPS, and is taken as it is: an environment refuses it");
        eprintln!("Warning: {}", source.message(&problem));
    }
    if options.validate {
        let found = seaway_render::validate(&rendered, source.tree(), &remotes, source.definitions());
        report(&found, &source)?;
    }
    let text = match (options.explain, options.output) {
        (true, Output::Json) => explanation::json(&rendered, took, &source),
        (true, _) => explanation::text(&rendered, took, &source),
        (false, Output::Yaml) => rendered.to_text(Format::Yaml),
        (false, Output::Json) => rendered.to_text(Format::Json),
        (false, Output::Names) => rendered.to_text(Format::Names),
    };
    match std::io::stdout().lock().write_all(text.as_bytes()) {
        // The reader of a pipe has seen enough.
        Err(e) if e.kind() == std::io::ErrorKind::BrokenPipe => Ok(ExitCode::SUCCESS),
        result => result.into_diagnostic().map(|()| ExitCode::SUCCESS),
    }
}

/// Renders, fetches what that needs, and renders again.
fn render(
    options: &Options,
    source: &Source,
    fetching: &mut Fetching,
) -> miette::Result<(Rendered, Remotes)> {
    let kind = options.kind.map(|kind| match kind {
        KindName::Plain => Kind::Plain,
        KindName::Kustomize => Kind::Kustomize,
    });
    let cache = match (source, options.explain || options.validate) {
        // A directory is rendered faster than its files are compared with what is kept.
        (Source::Directory { .. }, _) | (_, true) => None,
        (Source::Commit { .. }, false) => {
            Cache::with_folder(&fetching.folder()?.join("render"), CACHE_BYTES).ok()
        }
    };
    let plain = PlainOptions {
        recurse: !options.no_recurse,
        include: options.include.clone(),
        exclude: options.exclude.clone(),
    };
    let selects = options.no_recurse || !(options.include.is_empty() && options.exclude.is_empty());
    let mut request = RenderRequest { kind, plain, ..RenderRequest::new(source.tree(), source.path()) };
    if options.explain || options.validate {
        let began = Instant::now();
        request.explain = Some(Stopwatch::new(move || began.elapsed()));
    }
    for _ in 0..MAX_ROUNDS {
        let fail = |error: seaway_render::Error| miette!("{}", source.message(&error.to_string()));
        let outcome = match &cache {
            Some(cache) => (*cache.render(&request).map_err(fail)?.0).clone(),
            None => seaway_render::render(&request).map_err(fail)?,
        };
        match outcome {
            Outcome::Rendered(rendered) if selects && rendered.kind != Kind::Plain => {
                return Err(miette!(
                    help = "--kind plain renders the files themselves",
                    "--include, --exclude and --no-recurse are for plain YAML: {} is a kustomization",
                    options.source
                ));
            }
            Outcome::Rendered(rendered) => return Ok((rendered, request.remotes)),
            Outcome::Needs(needs) => fetching.fetch(needs, &mut request.remotes)?,
        }
    }
    Err(miette!("{}: its remote bases need others, {MAX_ROUNDS} deep", options.source))
}

/// Findings are an error, what could not be looked at is a warning.
fn report(found: &Validation, source: &Source) -> miette::Result<()> {
    for kind in &found.unchecked {
        eprintln!(
            "Warning: {kind} was not validated: neither Kubernetes 1.37 nor a definition in the tree has it"
        );
    }
    if found.findings.is_empty() {
        return Ok(());
    }
    let mut lines = String::new();
    for finding in found.findings.iter().take(MAX_FINDINGS) {
        let place = source.shown(&finding.place);
        lines += &format!("\n{place}: {}: {}: {}", finding.object, finding.field, finding.problem);
    }
    let more = found.findings.len().saturating_sub(MAX_FINDINGS);
    if more > 0 {
        lines += &format!("\nand {more} more");
    }
    Err(miette!("the objects do not fit the schemas of their kinds{lines}"))
}

/// How long fetching one thing may take.
fn time_limit(options: &Options) -> Duration {
    Duration::from_secs(options.timeout.max(1))
}
