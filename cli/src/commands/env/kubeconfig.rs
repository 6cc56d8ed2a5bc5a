//! `seaway env kubeconfig`: how kubectl works in a copy of one's own.

use std::process::ExitCode;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use miette::{IntoDiagnostic, WrapErr};
use seaway_server::{AccessView, Done};
use seaway_sync::view::EnvironmentKey;
use serde_json::{Value, json};

use super::output::print;
use super::{Which, path};
use crate::client::Client;

/// Options of `seaway env kubeconfig`.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  seaway env kubeconfig mycopy > mycopy.yaml
  kubectl --kubeconfig mycopy.yaml get pods
  seaway env kubeconfig mycopy --revoke

It holds no secret: kubectl asks `seaway kube-token` for tokens of an hour, as who is logged in then, or
as whom the kubeconfig names that this command was given.
Inside the copy one may do most things, outside of it nothing.")]
pub(crate) struct Options {
    #[command(flatten)]
    which: Which,
    /// End every token that was given for this copy so far
    #[arg(long)]
    revoke: bool,
}

pub(super) async fn run(client: &Client, options: &Options) -> miette::Result<ExitCode> {
    let key = options.which.find(client).await?;
    if options.revoke {
        let Done {} = client.delete(&path(&key, "/access")).await?;
        print(&format!("No token that was given for {key} counts any more.\n"))?;
        return Ok(ExitCode::SUCCESS);
    }
    let access: AccessView = client.get(&path(&key, "/access")).await?;
    let program = std::env::current_exe().into_diagnostic().wrap_err("this program does not find itself")?;
    let mut plugin = vec![program.to_string_lossy().into_owned()];
    plugin.extend([
        "kube-token".to_owned(),
        key.to_string(),
        "--server".to_owned(),
        client.url().to_string(),
    ]);
    // Who is known by a kubeconfig alone is known by that one, whatever KUBECONFIG says when kubectl asks.
    if let Some(own) = client.kubeconfig() {
        let file = own.file.to_string_lossy().into_owned();
        plugin.extend(["--kubeconfig".to_owned(), file, "--context".to_owned(), own.context.clone()]);
    }
    let config = kubeconfig(&key, &access, &plugin);
    print(&seaway_object::yaml::to_string(&config))?;
    Ok(ExitCode::SUCCESS)
}

/// With the exec plugin of KEP-541, a program and its arguments, which kubectl starts whenever it needs a token.
fn kubeconfig(key: &EnvironmentKey, access: &AccessView, plugin: &[String]) -> Value {
    let name = key.to_string();
    let mut cluster = json!({"server": access.url});
    if let Some(authority) = &access.authority {
        cluster["certificate-authority-data"] = STANDARD.encode(authority).into();
    }
    let exec = json!({
        "apiVersion": "client.authentication.k8s.io/v1", "interactiveMode": "Never",
        "command": plugin.first(),
        "args": plugin.get(1..).unwrap_or_default(),
        "installHint": "This kubeconfig asks the program seaway for tokens: install it, and log in with `seaway login`",
    });
    json!({
        "apiVersion": "v1", "kind": "Config", "current-context": name, "preferences": {},
        "clusters": [{"name": name, "cluster": cluster}],
        "users": [{"name": name, "user": {"exec": exec}}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": name,
            "namespace": access.namespaces.first()}}],
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_kubeconfig_holds_no_secret_and_leads_into_the_copy() {
        let access = AccessView {
            url: "https://k.example.com:6443".into(),
            authority: Some("PEM".into()),
            namespaces: vec!["mine-shop".into(), "mine-more".into()],
            user: "system:serviceaccount:seaway-jane:access-mine".into(),
        };
        let plugin = ["/bin/seaway", "kube-token", "seaway-jane/mine"].map(str::to_owned);
        let config = kubeconfig(&EnvironmentKey::new("seaway-jane", "mine"), &access, &plugin);
        assert_eq!(config["contexts"][0]["context"]["namespace"], "mine-shop");
        assert_eq!(config["clusters"][0]["cluster"]["certificate-authority-data"], "UEVN");
        let user = config["users"][0]["user"].as_object().unwrap();
        assert_eq!(user.keys().collect::<Vec<_>>(), ["exec"]);
        assert_eq!(user["exec"]["command"], "/bin/seaway");
        assert_eq!(user["exec"]["args"], json!(["kube-token", "seaway-jane/mine"]));
    }
}
