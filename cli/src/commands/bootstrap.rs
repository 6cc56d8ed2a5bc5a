//! `seaway bootstrap`: Seaway follows the deployment repository, which holds Stacks and Environments.
//!
//! The repository is followed like any other: by a Stack of one component and an Environment in the namespace of shared
//! environments. Its account gets the rights of an operator there, and nothing elsewhere.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use kube::Client;
use kube::api::{Api, DynamicObject, Patch, PatchParams};
use kube::core::GroupVersionKind;
use kube::discovery::ApiResource;
use miette::{IntoDiagnostic, WrapErr, miette};
use seaway_api::{Environment, SHARED_NAMESPACE, Stack};
use seaway_git::{RepositoryUrl, Revision};
use serde::Serialize;
use serde_json::{Value, json};

use super::env::output::{Format, document, print, printable};
use crate::cluster::{self, ClusterOptions};

/// Whose fields they are.
const MANAGER: &str = "seaway-bootstrap";
/// Between two looks at the Environment.
const LOOK_AGAIN: Duration = Duration::from_millis(500);

/// Options of `seaway bootstrap`.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  seaway bootstrap https://git.example.com/deployment.git --path clusters/main
  seaway bootstrap git@git.example.com:deployment.git --path . --revision main --dry-run
  seaway bootstrap file:///srv/deployment.git --path seaway --kubeconfig ~/.local/share/seaway/kubeconfig

The folder holds Stacks and Environments of the namespace seaway, as plain YAML or a kustomization.
From then on Git decides what they are: what leaves it is deleted. Run it again to go on after an
interruption; nothing is written twice. A private repository needs a Secret:
  kubectl create secret generic deployment --namespace seaway --from-literal=url=https://git.example.com \\
    --from-literal=password=TOKEN && kubectl label secret deployment --namespace seaway seaway.dev/credentials=git")]
pub(crate) struct Options {
    /// URL of the deployment repository
    #[arg(value_name = "GIT_URL")]
    repository: String,
    /// Folder in it that holds Stacks and Environments
    #[arg(long, value_name = "PATH")]
    path: String,
    /// Branch, tag or commit that is followed
    #[arg(long, default_value = "main")]
    revision: String,
    /// Name of the Stack and the Environment that follow it
    #[arg(long, default_value = "deployment")]
    name: String,
    /// Only ask the cluster what it would do
    #[arg(long)]
    dry_run: bool,
    /// Do not wait until everything is deployed
    #[arg(long)]
    no_wait: bool,
    /// How many seconds to wait
    #[arg(long, default_value_t = 300, value_name = "SECONDS")]
    timeout: u64,
    #[command(flatten)]
    cluster: ClusterOptions,
    /// How to print
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

/// What became of one object.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Applied {
    object: String,
    action: &'static str,
}

/// What was done.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    repository: String,
    path: String,
    revision: String,
    dry_run: bool,
    objects: Vec<Applied>,
    /// The commit that is deployed; absent when it was not waited for.
    #[serde(skip_serializing_if = "Option::is_none")]
    commit: Option<String>,
}

/// Applies what follows the repository, and waits for it.
pub(crate) async fn run(options: &Options) -> miette::Result<ExitCode> {
    let url: RepositoryUrl = options.repository.parse().into_diagnostic()?;
    let _: Revision = options.revision.parse().into_diagnostic()?;
    let client = cluster::client(&options.cluster).await?;
    check_installed(&client).await?;
    check_free(&client, options, &url.to_string()).await?;
    let mut objects = Vec::new();
    for object in wanted(options, &url.to_string()) {
        let applied = apply(&client, &object, options.dry_run).await?;
        if options.output == Format::Table || options.output == Format::Wide {
            let suffix = if options.dry_run { " (server dry run)" } else { "" };
            print(&format!("{} {}{suffix}\n", applied.object, applied.action))?;
        }
        objects.push(applied);
    }
    let mut report = Report {
        repository: url.to_string(),
        path: options.path.clone(),
        revision: options.revision.clone(),
        dry_run: options.dry_run,
        objects,
        commit: None,
    };
    if !options.dry_run && !options.no_wait {
        report.commit = Some(wait(&client, options).await?);
    }
    match options.output {
        Format::Json | Format::Yaml => print(&document(options.output, &report)?)?,
        Format::Name => print(&report.objects.iter().map(|o| format!("{}\n", o.object)).collect::<String>())?,
        Format::Table | Format::Wide => {
            if let Some(commit) = &report.commit {
                print(&format!(
                    "{}/{} is deployed from {url} at {commit}\n",
                    SHARED_NAMESPACE, options.name
                ))?;
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Says what to do where Seaway is not installed.
async fn check_installed(client: &Client) -> miette::Result<()> {
    let environments: Api<Environment> = Api::namespaced(client.clone(), SHARED_NAMESPACE);
    match environments.list_metadata(&kube::api::ListParams::default().limit(1)).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.code == 404 => Err(miette!(
            help = "start it with `seaway up`, or install it with `seaway install | kubectl apply -f -`",
            "Seaway is not installed in this cluster"
        )),
        Err(error) => Err(error).into_diagnostic().wrap_err("the cluster cannot be asked for Environments"),
    }
}

/// Another repository of the same name would take the place of this one, and what it deploys would be deleted.
async fn check_free(client: &Client, options: &Options, url: &str) -> miette::Result<()> {
    let stacks: Api<Stack> = Api::namespaced(client.clone(), SHARED_NAMESPACE);
    let Some(found) = stacks.get_opt(&options.name).await.into_diagnostic()? else { return Ok(()) };
    let source = found.spec.components.first().map(|component| &component.source);
    let same = |repo: &str, path: &str| repo == url && path == options.path;
    if found.spec.components.len() == 1 && source.is_some_and(|source| same(&source.repo, &source.path)) {
        return Ok(());
    }
    let follows = source.map_or("nothing".to_owned(), |s| format!("{} of {}", s.path, s.repo));
    Err(miette!(
        help = format!(
            "choose another --name to follow both; or change it with `kubectl edit stack {} -n {SHARED_NAMESPACE}`: what is \
             not in the other repository is then deleted",
            options.name
        ),
        "the Stack {SHARED_NAMESPACE}/{} follows {follows} already",
        options.name
    ))
}

/// Rights, Stack and Environment, in the order in which they need each other.
fn wanted(options: &Options, url: &str) -> [Value; 3] {
    const RBAC: &str = "rbac.authorization.k8s.io";
    let name = &options.name;
    let metadata = |name: &str| {
        json!({"name": name, "namespace": SHARED_NAMESPACE,
        "labels": {"app.kubernetes.io/managed-by": MANAGER}})
    };
    [
        json!({"apiVersion": format!("{RBAC}/v1"), "kind": "RoleBinding",
            "metadata": metadata(&format!("seaway-bootstrap-{name}")),
            "roleRef": {"apiGroup": RBAC, "kind": "ClusterRole", "name": "seaway-operator"},
            "subjects": [{"kind": "ServiceAccount", "name": format!("seaway-{name}"), "namespace": SHARED_NAMESPACE}]}),
        json!({"apiVersion": "seaway.dev/v1alpha1", "kind": "Stack", "metadata": metadata(name),
            "spec": {"components": [{"name": "deployment",
                "source": {"repo": url, "path": options.path, "revision": options.revision}}]}}),
        json!({"apiVersion": "seaway.dev/v1alpha1", "kind": "Environment", "metadata": metadata(name),
            "spec": {"stack": name, "class": "production", "destination": {"namespace": SHARED_NAMESPACE},
                "sync": {"automated": true, "prune": true, "selfHeal": true}}}),
    ]
}

async fn apply(client: &Client, object: &Value, dry_run: bool) -> miette::Result<Applied> {
    let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
    let types = kube::core::TypeMeta { api_version: text("/apiVersion"), kind: text("/kind") };
    let gvk = GroupVersionKind::try_from(&types).into_diagnostic()?;
    let resource = ApiResource::from_gvk(&gvk);
    let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), SHARED_NAMESPACE, &resource);
    let name = text("/metadata/name");
    let shown = format!("{}.{}/{name}", types.kind.to_lowercase(), gvk.group);
    let what = || format!("{shown} could not be applied");
    let before = api.get_opt(&name).await.into_diagnostic().wrap_err_with(what)?;
    let params = PatchParams { dry_run, field_manager: Some(MANAGER.to_owned()), ..PatchParams::default() };
    let after =
        api.patch(&name, &params, &Patch::Apply(object)).await.into_diagnostic().wrap_err_with(what)?;
    // Its revision also rises by a status that is written meanwhile, which is nothing that was applied.
    let content = |object: &DynamicObject| {
        let mut data = object.data.clone();
        if let Some(fields) = data.as_object_mut() {
            fields.remove("status");
        }
        (data, object.metadata.labels.clone(), object.metadata.annotations.clone())
    };
    let action = match before {
        None => "created",
        Some(before) if content(&before) == content(&after) => "unchanged",
        Some(_) => "configured",
    };
    Ok(Applied { object: shown, action })
}

/// Waits until the Environment is synced at what the repository says; the commit.
async fn wait(client: &Client, options: &Options) -> miette::Result<String> {
    let api: Api<Environment> = Api::namespaced(client.clone(), SHARED_NAMESPACE);
    let began = Instant::now();
    let mut told = String::new();
    loop {
        let environment = api.get(&options.name).await.into_diagnostic()?;
        let status = environment.status.unwrap_or_default();
        let observed = status.observed_generation >= environment.metadata.generation;
        if observed && status.sync.as_deref() == Some("Synced") {
            return Ok(status.revision.unwrap_or_default());
        }
        let message = status.message.unwrap_or_else(|| "Seaway has not looked at it yet".to_owned());
        if message != told {
            eprintln!("{:6.1} s  {}", began.elapsed().as_secs_f64(), printable(&message));
            told = message;
        }
        if began.elapsed() >= Duration::from_secs(options.timeout) {
            return Err(miette!(
                help =
                    format!("`seaway env show {}` tells more; run this again to go on waiting", options.name),
                "it is not deployed after {} s: {told}",
                options.timeout
            ));
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}
