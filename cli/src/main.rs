//! The `seaway` program: commands, and the one place that wires everything.
//!
//! It parses arguments, starts parts and prints; what the parts do lives in their own crates. It never
//! decides about rights or about the state of anything.
//!
//! Start reading in [`commands`]; each command has its file.

mod client;
mod commands;
mod delivery;
mod demo;
mod kubeconfig;
mod machine;
mod node_streams;
mod rights;

use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};
use miette::{IntoDiagnostic, WrapErr};

/// Brings a living copy of production to every developer, and each change from there to production.
#[derive(Parser)]
#[command(name = "seaway", version, about, max_term_width = 100, arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Start everything on this machine and serve until stopped
    Up(commands::up::Options),
    /// Show and change environments of a Seaway server
    Env(commands::env::Options),
    /// Log in to a Seaway server as yourself
    Login(commands::login::Options),
    /// End the login of this command line
    Logout,
    /// Add people, invite them again, and remove them
    Account(commands::account::Options),
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
    let arguments = Arguments::parse();
    match run(arguments.command) {
        Ok(code) => code,
        Err(report) => {
            eprintln!("Error: {report:?}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> miette::Result<ExitCode> {
    match command {
        Command::Up(options) => runtime()?.block_on(commands::up::run(options)),
        Command::Env(options) => runtime()?.block_on(commands::env::run(options)),
        Command::Login(options) => runtime()?.block_on(commands::login::log_in(&options)),
        Command::Logout => runtime()?.block_on(commands::login::log_out()),
        Command::Account(options) => runtime()?.block_on(commands::account::run(options)),
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
