//! `seaway env`: environments of a Seaway server, as a client of its HTTP API.

mod actions;
pub(crate) mod copies;
mod deletion;
mod fidelity;
mod history;
pub(super) mod kubeconfig;
mod list;
pub(super) mod output;
mod overview;
mod plan;
mod show;
mod watch;

use std::process::ExitCode;

use clap::Subcommand;
use miette::miette;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use seaway_server::EnvironmentList;

use seaway_sync::view::{EnvironmentKey, EnvironmentView};

use crate::client::{Client, ServerOptions};

/// Options of `seaway env`.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  seaway env list
  seaway env show production
  seaway env plan production --revision my-branch
  seaway env sync staging --watch
  seaway env rollback production
  seaway env create mycopy --copy-of production
  seaway env override mycopy catalog --revision feature/index
  seaway env fidelity mycopy
  seaway env kubeconfig mycopy > mycopy.yaml

The server is that of --server or SEAWAY_SERVER with the token in SEAWAY_TOKEN, the one of `seaway
login`, or the one that the kubeconfig of `seaway up` names. The exit code is 0 when what was asked for was done, 1 when it was
not, and 2 when the question was wrong.")]
pub(crate) struct Options {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    server: ServerOptions,
}

#[derive(Subcommand)]
enum Command {
    /// List environments
    List(list::Options),
    /// Show one environment: what runs, how well, and what differs from Git
    Show(show::Options),
    /// Show what a sync would do, of what is followed or of any branch
    Plan(plan::Options),
    /// Bring an environment to what Git says, now
    Sync(actions::SyncOptions),
    /// Stop the sync that goes on
    Cancel(actions::CancelOptions),
    /// Show what was deployed when, by whom, and how that ended
    History(history::Options),
    /// Go back to an earlier release, and keep the present one out
    Rollback(actions::RollbackOptions),
    /// Keep a release out of an environment, or let it in again
    Hold(actions::HoldOptions),
    /// Apply nothing until the environment is resumed
    Suspend(actions::Plain),
    /// Go on after `suspend`
    Resume(actions::Plain),
    /// Delete an environment and what it deployed
    Delete(deletion::Options),
    /// Make a copy of an environment, in namespaces and at hosts of its own
    Create(copies::CreateOptions),
    /// Let one component run something else, such as a branch, which is followed
    Override(copies::OverrideOptions),
    /// Show how far a copy is from what it copies, or any environment from another one
    Fidelity(fidelity::Options),
    /// Hand the branch of an override back: merged and pushed for others to merge
    Propose(copies::ProposeOptions),
    /// Keep an environment for longer
    Extend(copies::ExtendOptions),
    /// Print a kubeconfig for a copy of your own
    Kubeconfig(kubeconfig::Options),
}

/// Runs a subcommand.
pub(crate) async fn run(options: Options) -> miette::Result<ExitCode> {
    let client = Client::find(&options.server)?;
    match options.command {
        Command::List(options) => list::run(&client, &options).await,
        Command::Show(options) => show::run(&client, &options).await,
        Command::Plan(options) => plan::run(&client, &options).await,
        Command::Sync(options) => actions::sync(&client, &options).await,
        Command::Cancel(options) => actions::cancel(&client, &options).await,
        Command::History(options) => history::run(&client, &options).await,
        Command::Rollback(options) => actions::rollback(&client, &options).await,
        Command::Hold(options) => actions::hold(&client, &options).await,
        Command::Suspend(options) => actions::suspend(&client, &options).await,
        Command::Resume(options) => actions::resume(&client, &options).await,
        Command::Delete(options) => deletion::run(&client, &options).await,
        Command::Create(options) => copies::create(&client, &options).await,
        Command::Override(options) => copies::deviate(&client, &options).await,
        Command::Fidelity(options) => fidelity::run(&client, &options).await,
        Command::Propose(options) => copies::propose(&client, &options).await,
        Command::Extend(options) => copies::extend(&client, &options).await,
        Command::Kubeconfig(options) => kubeconfig::run(&client, &options).await,
    }
}

/// Which environment is meant.
#[derive(clap::Args, Clone)]
pub(super) struct Which {
    /// Name of the environment, or NAMESPACE/NAME
    #[arg(value_name = "ENV")]
    environment: String,
    /// Namespace of the environment; needed only where several have that name
    #[arg(short, long)]
    namespace: Option<String>,
}

impl Which {
    /// The environment's place. A name alone is looked up.
    pub(super) async fn find(&self, client: &Client) -> miette::Result<EnvironmentKey> {
        let (namespace, name) = match (self.environment.split_once('/'), &self.namespace) {
            (Some((namespace, _)), Some(other)) if namespace != other => {
                return Err(miette!("{namespace:?} and {other:?} are two namespaces: give one"));
            }
            (Some((namespace, name)), _) => (Some(namespace), name),
            (None, namespace) => (namespace.as_deref(), self.environment.as_str()),
        };
        if let Some(namespace) = namespace {
            return Ok(EnvironmentKey::new(namespace, name));
        }
        let path =
            format!("/api/v1/environments?{}", parameters([("name", Some(name)), ("limit", Some("500"))]));
        let found: EnvironmentList = client.get(&path).await?;
        match found.items.as_slice() {
            [one] => Ok(key(one)),
            [] => Err(miette!(
                help = "`seaway env list` shows those that you may see",
                "there is no environment {name:?}"
            )),
            several => {
                let all: Vec<String> = several.iter().map(|one| key(one).to_string()).collect();
                Err(miette!(
                    help = "name its namespace with -n",
                    "several environments have that name: {}",
                    all.join(", ")
                ))
            }
        }
    }
}

fn key(environment: &EnvironmentView) -> EnvironmentKey {
    EnvironmentKey::new(&environment.namespace, &environment.name)
}

/// The path of an environment in the API, with something behind it.
pub(super) fn path(key: &EnvironmentKey, rest: &str) -> String {
    format!("/api/v1/environments/{}/{}{rest}", encoded(&key.namespace), encoded(&key.name))
}

/// Unreserved characters (RFC 3986, section 2.3) stay as they are.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

pub(super) fn encoded(text: &str) -> String {
    utf8_percent_encode(text, RESERVED).to_string()
}

/// A query of those parameters that have a value.
pub(crate) fn parameters<'a>(all: impl IntoIterator<Item = (&'a str, Option<&'a str>)>) -> String {
    let given = all.into_iter().filter_map(|(name, value)| Some(format!("{name}={}", encoded(value?))));
    given.collect::<Vec<_>>().join("&")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_type_cannot_change_the_path() {
        let key = EnvironmentKey::new("a/../b", "c?d#e f");
        assert_eq!(path(&key, "/plan"), "/api/v1/environments/a%2F..%2Fb/c%3Fd%23e%20f/plan");
        assert_eq!(parameters([("a", Some("x&y=z")), ("b", None), ("c", Some("1"))]), "a=x%26y%3Dz&c=1");
    }
}
