//! `seaway kube-token`: a token for kubectl, in the form of its exec plugins.

use std::process::ExitCode;

use seaway_server::AccessToken;
use secrecy::ExposeSecret as _;
use serde_json::json;

use super::env::output::print;
use super::env::{Which, path};
use crate::client::{Client, ServerOptions};

/// Options of `seaway kube-token`.
#[derive(clap::Args)]
#[command(after_help = "Example:
  seaway kube-token mycopy

kubectl calls it by itself, with a kubeconfig of `seaway env kubeconfig`. The token holds for an hour and
for one copy; it is printed as an ExecCredential of client.authentication.k8s.io/v1.")]
pub(crate) struct Options {
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    server: ServerOptions,
}

pub(crate) async fn run(options: &Options) -> miette::Result<ExitCode> {
    let client = Client::find(&options.server)?;
    let key = options.which.find(&client).await?;
    let given: AccessToken = client.post(&path(&key, "/access"), &json!({})).await?;
    let credential = json!({
        "apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential",
        "status": {"token": given.token.expose_secret(), "expirationTimestamp": given.expires},
    });
    print(&format!("{credential}\n"))?;
    Ok(ExitCode::SUCCESS)
}
