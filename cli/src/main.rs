//! The `seaway` program: commands, and the one place that wires everything.
//!
//! It parses arguments, starts parts and prints; what the parts do lives in their own crates. It never
//! decides about rights or about the state of anything.
//!
//! Start reading in [`commands`]; each command has its file.

mod archive;
mod arguments;
mod certificate;
mod client;
mod cluster;
mod commands;
mod delivery;
mod demo;
mod help;
mod kubeconfig;
mod lease;
mod machine;
mod node_streams;
mod oidc;
mod registries;
mod rights;
mod settings;

use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use miette::{IntoDiagnostic, WrapErr};

/// Several threads make and drop many small values at once: JSON, most of all. The system's allocator spent a third of the
/// time of a sync on that.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Brings a living copy of production to every developer, and each change from there to production.
#[derive(Parser)]
#[command(name = "seaway", version, max_term_width = 100, arg_required_else_help = true)]
struct Arguments {
    /// File of settings [default: $XDG_CONFIG_HOME/seaway/seaway.toml]
    // Read before anything else: see `settings`.
    #[arg(long, global = true, env = "SEAWAY_CONFIG", value_name = "FILE")]
    config: Option<std::path::PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Start everything on this machine and serve until stopped
    Up(commands::up::Options),
    /// Follow Git for any Kubernetes cluster, and serve until stopped
    Serve(commands::serve::Options),
    /// Print what Seaway needs in a cluster, as YAML for kubectl
    Install(commands::install::Options),
    /// Show and change environments of a Seaway server
    Env(commands::env::Options),
    /// Print a token for kubectl, as kubeconfigs of `seaway env kubeconfig` ask for it
    KubeToken(commands::kube_token::Options),
    /// Log in to a Seaway server as yourself
    Login(commands::login::Options),
    /// End the login of this command line
    Logout,
    /// Add people, invite them again, and remove them
    Account(commands::account::Options),
    /// Show and export who did what
    Audit(commands::audit::Options),
    /// Make, list and revoke tokens for programs that act for you
    Token(commands::token::Options),
    /// Follow the deployment repository that holds Stacks and Environments
    Bootstrap(commands::bootstrap::Options),
    /// Write a data folder into one file, also while it is used
    Backup(commands::backup::BackupOptions),
    /// Make a data folder from such a file
    Restore(commands::backup::RestoreOptions),
    /// Print how well objects do, from what they say about themselves
    Health(commands::health::Options),
    /// Print the Kubernetes objects that a directory or a Git repository stands for
    Render(commands::render::Options),
    /// Print the completions of a shell
    #[command(
        after_help = "Example:\n  seaway completion bash > ~/.local/share/bash-completion/completions/seaway"
    )]
    Completion {
        /// The shell
        shell: clap_complete::Shell,
    },
}

fn main() -> ExitCode {
    // Before any thread: pods' helpers are this program started again.
    if let Some(code) = seaway_node::helper_main(std::env::args_os()) {
        return code;
    }
    // Before anything can open a TLS connection: rustls takes one provider per process.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    match read_arguments().and_then(|arguments| run(arguments.command)) {
        Ok(code) => code,
        Err(report) => {
            eprintln!("Error: {report:?}");
            ExitCode::FAILURE
        }
    }
}

/// Flags, then variables, then the file of settings, then defaults.
fn read_arguments() -> miette::Result<Arguments> {
    let given: Vec<std::ffi::OsString> = std::env::args_os().collect();
    let matches = settings::with_file(help::flowing(Arguments::command()), &given)?.get_matches_from(&given);
    Ok(Arguments::from_arg_matches(&matches).unwrap_or_else(|error| error.exit()))
}

fn run(command: Command) -> miette::Result<ExitCode> {
    match command {
        Command::Up(options) => runtime()?.block_on(commands::up::run(options)),
        Command::Serve(options) => runtime()?.block_on(commands::serve::run(options)),
        Command::Install(options) => commands::install::run(&options),
        Command::Env(options) => runtime()?.block_on(commands::env::run(options)),
        Command::KubeToken(options) => runtime()?.block_on(commands::kube_token::run(&options)),
        Command::Login(options) => runtime()?.block_on(commands::login::log_in(&options)),
        Command::Logout => runtime()?.block_on(commands::login::log_out()),
        Command::Account(options) => runtime()?.block_on(commands::account::run(options)),
        Command::Audit(options) => runtime()?.block_on(commands::audit::run(options)),
        Command::Token(options) => runtime()?.block_on(commands::token::run(options)),
        Command::Bootstrap(options) => runtime()?.block_on(commands::bootstrap::run(&options)),
        Command::Backup(options) => runtime()?.block_on(commands::backup::backup(&options)),
        Command::Restore(options) => runtime()?.block_on(commands::backup::restore(&options)),
        Command::Health(options) => commands::health::run(&options),
        Command::Render(options) => commands::render::run(&options),
        Command::Completion { shell } => {
            clap_complete::generate(shell, &mut Arguments::command(), "seaway", &mut std::io::stdout());
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn runtime() -> miette::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .into_diagnostic()
        .wrap_err("the asynchronous runtime could not be started")
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_arguments_are_consistent() {
        super::Arguments::command().debug_assert();
    }
}
