//! `seaway bootstrap`: Seaway follows the deployment repository, which holds Stacks and Environments.
//!
//! The repository is followed like any other: by a Stack of one component and an Environment in the namespace of shared
//! environments. Its account gets the rights of an operator there, and nothing elsewhere; the binding belongs to the
//! Environment and goes with it.
//!
//! Everything is tried as a dry run before anything is written: what is refused leaves nothing behind.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use kube::Client;
use kube::api::{Api, DynamicObject, ListParams, Patch, PatchParams};
use kube::core::GroupVersionKind;
use kube::discovery::ApiResource;
use miette::{IntoDiagnostic, WrapErr, miette};
use seaway_api::{ENVIRONMENT_LABEL, Environment, SHARED_NAMESPACE, Stack};
use seaway_git::{RepositoryUrl, Revision};
use serde::Serialize;
use serde_json::{Value, json};

use super::env::output::{Format, document, print, printable};
use crate::cluster::{self, ClusterOptions, refusal};

const API_VERSION: &str = "seaway.dev/v1alpha1";
/// Whose fields they are.
const MANAGER: &str = "seaway-bootstrap";
/// What is followed when nobody says otherwise.
const REVISION: &str = "main";
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
    /// Branch, tag or commit to follow [default: the one that is followed already, else main]
    #[arg(long, value_parser = clap::builder::NonEmptyStringValueParser::new())]
    revision: Option<String>,
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
    #[serde(skip)]
    uid: Option<String>,
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

/// What is to be followed.
struct Followed<'a> {
    name: &'a str,
    url: String,
    path: &'a str,
    revision: String,
}

/// Applies what follows the repository, and waits for it.
pub(crate) async fn run(options: &Options) -> miette::Result<ExitCode> {
    let url: RepositoryUrl = options.repository.parse().into_diagnostic()?;
    if let Some(revision) = &options.revision {
        let _: Revision = revision.parse().into_diagnostic()?;
    }
    let client = cluster::client(&options.cluster).await?;
    check_installed(&client).await?;
    let revision = check_stack(&client, options, &url).await?;
    let followed = Followed { name: &options.name, url: url.to_string(), path: &options.path, revision };
    let uid = check_environment(&client, &followed).await?;
    let mut objects = Vec::new();
    for object in [followed.environment(), followed.binding(uid.as_deref()), followed.stack()] {
        let tried = apply(&client, &object, true).await;
        objects.push(tried.wrap_err("nothing was changed, since not all of it would be accepted")?);
    }
    if !options.dry_run {
        // Nothing happens in an Environment before its Stack is there: its account has its rights by then. Where the Stack
        // was left, the first sync may be refused, and is tried again by itself.
        let environment = apply(&client, &followed.environment(), false).await?;
        let binding = apply(&client, &followed.binding(environment.uid.as_deref()), false).await?;
        let stack = apply(&client, &followed.stack(), false).await?;
        objects = vec![environment, binding, stack];
    }
    let for_people = matches!(options.output, Format::Table | Format::Wide);
    if for_people {
        let suffix = if options.dry_run { " (server dry run)" } else { "" };
        let lines = objects.iter().map(|applied| format!("{} {}{suffix}\n", applied.object, applied.action));
        print(&lines.collect::<String>())?;
    }
    let mut report = Report {
        repository: followed.url.clone(),
        path: options.path.clone(),
        revision: followed.revision.clone(),
        dry_run: options.dry_run,
        objects,
        commit: None,
    };
    if !options.dry_run && !options.no_wait {
        report.commit = Some(wait(&client, &followed, options.timeout).await?);
        check_content(&client, &followed).await?;
    }
    match options.output {
        Format::Json | Format::Yaml => print(&document(options.output, &report)?)?,
        Format::Name => print(&report.objects.iter().map(|o| format!("{}\n", o.object)).collect::<String>())?,
        Format::Table | Format::Wide => {
            if let Some(commit) = &report.commit {
                let name = &options.name;
                print(&format!("{SHARED_NAMESPACE}/{name} is deployed from {url} at {commit}\n"))?;
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Says what to do where Seaway is not installed.
async fn check_installed(client: &Client) -> miette::Result<()> {
    let environments: Api<Environment> = Api::namespaced(client.clone(), SHARED_NAMESPACE);
    match environments.list_metadata(&ListParams::default().limit(1)).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.code == 404 => Err(miette!(
            help = "start it with `seaway up`, or install it with `seaway install | kubectl apply -f -`",
            "Seaway is not installed in this cluster"
        )),
        Err(error) => Err(refusal(error)).wrap_err("the cluster cannot be asked for Environments"),
    }
}

/// Another repository of the same name would take the place of this one, and what it deploys would be deleted; the same
/// holds for another folder, and for another revision. Gives the revision that is to be followed.
async fn check_stack(client: &Client, options: &Options, url: &RepositoryUrl) -> miette::Result<String> {
    let name = &options.name;
    let stacks: Api<Stack> = Api::namespaced(client.clone(), SHARED_NAMESPACE);
    let found = stacks.get_opt(name).await.map_err(refusal)?;
    let asked = options.revision.clone();
    let Some(found) = found else { return Ok(asked.unwrap_or_else(|| REVISION.to_owned())) };
    let source = found.spec.components.first().map(|component| &component.source);
    let same = source.filter(|source| {
        let repository = source.repo.parse::<RepositoryUrl>();
        found.spec.components.len() == 1
            && repository.is_ok_and(|repository| repository == *url)
            && source.path == options.path
    });
    let Some(same) = same else {
        let follows = source.map_or("nothing".to_owned(), |s| format!("{} of {}", s.path, s.repo));
        return Err(miette!(
            help = format!(
                "choose another --name to follow both; or change it with `kubectl edit stack {name} -n {SHARED_NAMESPACE}`: \
                 what is not in the other repository is then deleted"
            ),
            "the Stack {SHARED_NAMESPACE}/{name} follows {follows} already"
        ));
    };
    let followed = same.revision.as_deref().unwrap_or("HEAD");
    match asked {
        Some(asked) if asked != followed => Err(miette!(
            help = format!(
                "change it with `kubectl edit stack {name} -n {SHARED_NAMESPACE}`: what is not in the other revision is then \
                 deleted"
            ),
            "the Stack {SHARED_NAMESPACE}/{name} follows {followed} of {url} already, not {asked}"
        )),
        _ => Ok(followed.to_owned()),
    }
}

/// An Environment of that name that is something else stays what it is. Gives the identity of the one that is there.
async fn check_environment(client: &Client, followed: &Followed<'_>) -> miette::Result<Option<String>> {
    let environments: Api<Environment> = Api::namespaced(client.clone(), SHARED_NAMESPACE);
    let name = followed.name;
    let Some(found) = environments.get_opt(name).await.map_err(refusal)? else { return Ok(None) };
    if found.metadata.deletion_timestamp.is_some() {
        return Err(miette!(
            help = format!(
                "wait for its end (`seaway env show {name}` says for what it waits), or choose another --name"
            ),
            "the Environment {SHARED_NAMESPACE}/{name} is being deleted"
        ));
    }
    let spec = &found.spec;
    if spec.copy_of.is_some() || spec.stack != name || spec.destination.namespace != SHARED_NAMESPACE {
        let runs = match &spec.copy_of {
            Some(of) => format!("is a copy of {of}"),
            None => format!("runs the Stack {} in the namespace {}", spec.stack, spec.destination.namespace),
        };
        return Err(miette!(
            help = "choose another --name",
            "there is an Environment {SHARED_NAMESPACE}/{name} already, which {runs}"
        ));
    }
    Ok(found.metadata.uid)
}

impl Followed<'_> {
    fn metadata(&self, name: &str) -> Value {
        json!({"name": name, "namespace": SHARED_NAMESPACE, "labels": {"app.kubernetes.io/managed-by": MANAGER}})
    }

    fn environment(&self) -> Value {
        json!({"apiVersion": API_VERSION, "kind": "Environment", "metadata": self.metadata(self.name),
            "spec": {"stack": self.name, "class": "production", "destination": {"namespace": SHARED_NAMESPACE},
                "sync": {"automated": true, "prune": true, "selfHeal": true}}})
    }

    /// The rights of the Environment's account, which end with it: another one of that name gets none of them.
    fn binding(&self, environment: Option<&str>) -> Value {
        const RBAC: &str = "rbac.authorization.k8s.io";
        let name = self.name;
        let mut metadata = self.metadata(&format!("seaway-bootstrap-{name}"));
        if let Some(uid) = environment {
            metadata["ownerReferences"] =
                json!([{"apiVersion": API_VERSION, "kind": "Environment", "name": name, "uid": uid}]);
        }
        json!({"apiVersion": format!("{RBAC}/v1"), "kind": "RoleBinding", "metadata": metadata,
            "roleRef": {"apiGroup": RBAC, "kind": "ClusterRole", "name": "seaway-operator"},
            "subjects": [{"kind": "ServiceAccount", "name": format!("seaway-{name}"), "namespace": SHARED_NAMESPACE}]})
    }

    fn stack(&self) -> Value {
        json!({"apiVersion": API_VERSION, "kind": "Stack", "metadata": self.metadata(self.name),
            "spec": {"components": [{"name": "deployment",
                "source": {"repo": self.url, "path": self.path, "revision": self.revision}}]}})
    }
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
    let before = api.get_opt(&name).await.map_err(refusal).wrap_err_with(what)?;
    let params = PatchParams { dry_run, field_manager: Some(MANAGER.to_owned()), ..PatchParams::default() };
    let after =
        api.patch(&name, &params, &Patch::Apply(object)).await.map_err(refusal).wrap_err_with(what)?;
    // Its revision also rises by a status that is written meanwhile, which is nothing that was applied.
    let content = |object: &DynamicObject| {
        let mut data = object.data.clone();
        if let Some(fields) = data.as_object_mut() {
            fields.remove("status");
        }
        let metadata = &object.metadata;
        (data, metadata.labels.clone(), metadata.annotations.clone(), metadata.owner_references.clone())
    };
    let action = match before {
        None => "created",
        Some(before) if content(&before) == content(&after) => "unchanged",
        Some(_) => "configured",
    };
    Ok(Applied { object: shown, action, uid: after.metadata.uid })
}

/// Waits until the Environment is synced at what the repository says; the commit.
async fn wait(client: &Client, followed: &Followed<'_>, timeout: u64) -> miette::Result<String> {
    let environments: Api<Environment> = Api::namespaced(client.clone(), SHARED_NAMESPACE);
    let stacks: Api<Stack> = Api::namespaced(client.clone(), SHARED_NAMESPACE);
    let began = Instant::now();
    let mut told = String::new();
    loop {
        let environment = environments.get(followed.name).await.map_err(refusal)?;
        let stack = stacks.get(followed.name).await.map_err(refusal)?;
        let message = match state(&environment, &stack, &followed.url) {
            State::Deployed(commit) => return Ok(commit),
            State::Waiting(message) => message,
        };
        if message != told {
            eprintln!("{:6.1} s  {}", began.elapsed().as_secs_f64(), printable(&message));
            told = message;
        }
        if began.elapsed() >= Duration::from_secs(timeout) {
            let name = followed.name;
            return Err(miette!(
                help = format!("`seaway env show {name}` tells more; run this again to go on waiting"),
                "it is not deployed after {timeout} s: {told}"
            ));
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

/// How far it is.
#[derive(Debug, PartialEq, Eq)]
enum State {
    /// At this commit.
    Deployed(String),
    /// For what.
    Waiting(String),
}

/// What both statuses say, as far as they are about the specs as they are now: what was written a moment ago may not have
/// been looked at.
fn state(environment: &Environment, stack: &Stack, url: &str) -> State {
    let nothing = || State::Waiting("Seaway has not looked at it yet".to_owned());
    let (Some(followed), Some(status)) = (&stack.status, &environment.status) else { return nothing() };
    if followed.observed_generation < stack.metadata.generation
        || status.observed_generation < environment.metadata.generation
    {
        return nothing();
    }
    let ready = followed.conditions.iter().find(|condition| condition.type_ == "Ready");
    if let Some(not) = ready.filter(|ready| ready.status != "True") {
        return State::Waiting(not.message.clone());
    }
    let synced = status.sync.as_deref() == Some("Synced");
    if ready.is_some() && synced && status.components.iter().any(|component| component.repo == url) {
        return State::Deployed(status.revision.clone().unwrap_or_default());
    }
    status.message.clone().map_or_else(nothing, State::Waiting)
}

/// A folder without Stacks and Environments is another one than was meant, or not filled yet.
async fn check_content(client: &Client, followed: &Followed<'_>) -> miette::Result<()> {
    let name = followed.name;
    let deployed = ListParams::default().labels(&format!("{ENVIRONMENT_LABEL}={name}")).limit(1);
    let stacks: Api<Stack> = Api::namespaced(client.clone(), SHARED_NAMESPACE);
    let environments: Api<Environment> = Api::namespaced(client.clone(), SHARED_NAMESPACE);
    if !stacks.list_metadata(&deployed).await.map_err(refusal)?.items.is_empty()
        || !environments.list_metadata(&deployed).await.map_err(refusal)?.items.is_empty()
    {
        return Ok(());
    }
    Err(miette!(
        help = format!(
            "name the folder with Stacks and Environments by --path, after `seaway env delete {name}` has taken back what \
             this one deployed and `kubectl delete stack {name} -n {SHARED_NAMESPACE}`; or push them to it"
        ),
        "{} of {} is deployed at {}, and holds neither a Stack nor an Environment: nothing follows from it",
        followed.path,
        followed.url,
        followed.revision
    ))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// Both objects at their second generation, looked at as the generations say.
    fn seen(stack: i64, environment: i64, ready: &str, sync: &str) -> State {
        let condition = json!({"type": "Ready", "status": ready, "reason": "r", "message": "no branch nope",
            "lastTransitionTime": "2026-01-01T00:00:00Z"});
        let stack = json!({"apiVersion": API_VERSION, "kind": "Stack", "metadata": {"name": "d", "generation": 2},
            "spec": {}, "status": {"observedGeneration": stack, "conditions": [condition]}});
        let environment = json!({"apiVersion": API_VERSION, "kind": "Environment",
            "metadata": {"name": "d", "generation": 2}, "spec": {},
            "status": {"observedGeneration": environment, "sync": sync, "revision": "1dd248ff", "message": "syncing",
                "components": [{"name": "deployment", "repo": "file:///d.git", "commit": "1dd248ff"}]}});
        let [stack, environment] = [stack, environment].map(|object| object.to_string());
        state(
            &serde_json::from_str(&environment).unwrap(),
            &serde_json::from_str(&stack).unwrap(),
            "file:///d.git",
        )
    }

    #[test]
    fn a_status_from_before_the_change_is_not_believed() {
        let waiting = |text: &str| State::Waiting(text.to_owned());
        assert_eq!(seen(2, 2, "True", "Synced"), State::Deployed("1dd248ff".to_owned()));
        assert_eq!(seen(1, 2, "True", "Synced"), waiting("Seaway has not looked at it yet"));
        assert_eq!(seen(2, 1, "True", "Synced"), waiting("Seaway has not looked at it yet"));
        assert_eq!(seen(2, 2, "False", "Synced"), waiting("no branch nope"));
        assert_eq!(seen(2, 2, "True", "Unknown"), waiting("syncing"));
    }
}
