//! The Kubernetes API as the person who runs a command reaches it, as kubectl does.

use std::path::PathBuf;

use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use miette::{IntoDiagnostic, Report, WrapErr, miette};

/// Which cluster.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct ClusterOptions {
    /// Kubeconfig of the cluster [default: $KUBECONFIG, or ~/.kube/config]
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// Context of the kubeconfig [default: its current one]
    #[arg(long, value_name = "NAME")]
    context: Option<String>,
}

impl ClusterOptions {
    /// Whether a kubeconfig is named.
    pub(crate) fn names_a_kubeconfig(&self) -> bool {
        self.kubeconfig.is_some() || self.context.is_some()
    }
}

/// A client that acts as the person of the kubeconfig.
pub(crate) async fn client(options: &ClusterOptions) -> miette::Result<Client> {
    let config = configuration(options).await?;
    Client::try_from(config).into_diagnostic().wrap_err("the cluster of the kubeconfig cannot be reached")
}

/// What a kubeconfig says of a cluster.
pub(crate) async fn configuration(options: &ClusterOptions) -> miette::Result<Config> {
    let context = KubeConfigOptions { context: options.context.clone(), ..KubeConfigOptions::default() };
    let (config, what) = match &options.kubeconfig {
        Some(path) => {
            let what = format!("the kubeconfig {}", path.display());
            let read = Kubeconfig::read_from(path).into_diagnostic();
            let kubeconfig = read.wrap_err_with(|| format!("{what} cannot be read"))?;
            (Config::from_custom_kubeconfig(kubeconfig, &context).await, what)
        }
        None => (Config::from_kubeconfig(&context).await, "the kubeconfig".to_owned()),
    };
    config.into_diagnostic().wrap_err_with(|| {
        format!("{what} does not say how to reach a cluster: name one with --kubeconfig and --context")
    })
}

/// What the API refused, in its own words, and what to do. The error of `kube` prints the answer as it came.
pub(crate) fn refusal(error: kube::Error) -> Report {
    let status = match error {
        kube::Error::Api(status) => status,
        error => return Report::from_err(error),
    };
    let message = if status.message.is_empty() {
        format!("the Kubernetes API answers {} {}", status.code, status.reason)
    } else {
        status.message.clone()
    };
    let help = match status.code {
        400 | 422 => "change what it names, and try again",
        401 => "the credentials of the kubeconfig have ended, or are those of another cluster: get new ones",
        403 => "ask an administrator of the cluster for this right, or name another account with --context",
        404 => "look whether it is the cluster that was meant: --context names another one",
        409 => "somebody else has set this: look at it with `kubectl get -o yaml --show-managed-fields`",
        _ => "try again in a moment",
    };
    miette!(help = help, "{message}")
}
