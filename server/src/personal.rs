//! The namespace of a person's own environments: made and removed as the person who asks, so that Kubernetes RBAC
//! decides about that too.

use std::time::Duration;

use k8s_openapi::api::core::v1::Namespace;
use kube::api::{Api, DeleteParams, DynamicObject, ListParams, Patch, PatchParams, Preconditions};
use kube::core::GroupVersionKind;
use kube::discovery::ApiResource;
use seaway_api::{Environment, personal_namespace};
use seaway_sync::view::EnvironmentKey;
use serde_json::{Value, json};

use crate::accounts::{AccountName, Grant, Role};
use crate::authorization::Person;
use crate::permissions::{OWNER, grant_objects};
use crate::problem::Problem;

/// Field manager of what is made here.
const MANAGER: &str = "seaway";
/// Label with the name of the account whose namespace it is.
const OWNED_BY: &str = "seaway.dev/owner";
/// Environments that a person may have at once, unless operations say otherwise in the quota.
const ENVIRONMENTS: &str = "5";
/// The quota that says so, and what it counts.
const QUOTA: &str = "seaway-environments";
const COUNTED: &str = "count/environments.seaway.dev";
/// Environments that are named when they keep a namespace from being deleted.
const NAMED: usize = 10;
/// How long the end of a namespace is waited for, and how often it is looked for.
const PATIENCE: Duration = Duration::from_secs(10);
const LOOKED_AGAIN: Duration = Duration::from_millis(100);

/// The namespace of an account's environments.
pub(crate) fn namespace_of(name: &AccountName) -> String {
    personal_namespace(name.as_str())
}

/// Sees to the namespace of a new account. For whoever has environments: makes it, binds its owner to `seaway-owner` in
/// it, and limits how much can be in it; what is there already is left as it is. For whoever only looks: removes one that
/// is left of an earlier account, so that nobody has its rights by name.
pub(crate) async fn prepare(person: &Person, name: &AccountName, role: Role) -> Result<(), Problem> {
    let found = find(person, name).await?;
    if let Some(found) = &found {
        if !is_of(found, name) {
            let namespace = namespace_of(name);
            return Err(Problem::conflict(format!(
                "the namespace {namespace} is there already and is not that of {name}"
            ))
            .help(format!("choose another name, or give it to {name} with the label {OWNED_BY}={name}")));
        }
        if found.metadata.deletion_timestamp.is_some() {
            return Err(being_deleted(name));
        }
    }
    if role.owns_environments() {
        for object in objects(name) {
            apply(person, object).await?;
        }
        return Ok(());
    }
    match found {
        Some(found) => clear(person, name, found).await,
        None => Ok(()),
    }
}

/// Makes the Roles that grants stand for, as the person who gives them: nobody can give what he may not do himself.
pub(crate) async fn grant(person: &Person, grants: &[Grant]) -> Result<(), Problem> {
    for object in grants.iter().flat_map(grant_objects) {
        apply(person, object).await?;
    }
    Ok(())
}

/// Makes the namespace of the person's own environments, if it is the one that is meant, for those who may make it
/// themselves: an account has one already, the holder of a token may not.
pub(crate) async fn ensure_own(person: &Person, namespace: &str) -> Result<(), Problem> {
    let name = &person.identity.name;
    if namespace != personal_namespace(name) {
        return Ok(());
    }
    let namespaces: Api<Namespace> = Api::all(person.client.clone());
    let made = async {
        if namespaces.get_opt(namespace).await?.is_none() {
            let object = namespace_object(name);
            namespaces.patch(namespace, &PatchParams::apply(MANAGER), &Patch::Apply(&object)).await?;
        }
        Ok(())
    };
    match made.await {
        // Who may not look has one, or is told so when the Environment is made.
        Err(kube::Error::Api(status)) if status.code == 403 => Ok(()),
        other => other.map_err(Problem::from_kubernetes),
    }
}

/// Why an environment was not made: when there are as many as there may be, with what to do.
pub(crate) fn too_many(person: &Person, key: &EnvironmentKey, error: kube::Error) -> Problem {
    let limit = match &error {
        kube::Error::Api(status) => limit(&status.message),
        _ => None,
    };
    let Some(limit) = limit else { return Problem::from_kubernetes(error) };
    let namespace = &key.namespace;
    let whose = match *namespace == personal_namespace(&person.identity.name) {
        true => format!("{} has", person.identity.name),
        false => format!("there are in namespace {namespace}"),
    };
    let environments = if limit == 1 { "environment" } else { "environments" };
    Problem::unprocessable(format!("{whose} {limit} {environments} already, as many as there may be at once"))
        .help(format!(
            "delete one with `seaway env delete`; or ask operations to raise the ResourceQuota {QUOTA} in namespace \
             {namespace}"
        ))
}

/// How many there may be, from what Kubernetes says of a quota of environments that is exceeded.
fn limit(message: &str) -> Option<u64> {
    let (_, limited) = message.split_once("exceeded quota")?.1.split_once("limited: ")?;
    let (_, rest) = limited.split_once(&format!("{COUNTED}="))?;
    rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

/// Deletes what is left of an earlier account, and waits for its end for a while.
async fn clear(person: &Person, name: &AccountName, found: Namespace) -> Result<(), Problem> {
    if let Some(left) = environments_in(person, name).await? {
        let namespace = namespace_of(name);
        let detail =
            format!("the namespace {namespace} of an earlier account still has environments: {left}");
        return Err(Problem::conflict(detail).help("delete them first: what they deployed goes with them"));
    }
    remove(person, name, found).await?;
    let gone = async {
        while find(person, name).await?.is_some() {
            tokio::time::sleep(LOOKED_AGAIN).await;
        }
        Ok(())
    };
    tokio::time::timeout(PATIENCE, gone).await.unwrap_or_else(|_| Err(being_deleted(name)))
}

fn being_deleted(name: &AccountName) -> Problem {
    let namespace = namespace_of(name);
    Problem::conflict(format!("the namespace {namespace} of an earlier account is still being deleted"))
        .help("try again in a moment; `kubectl describe namespace` says what keeps it")
}

/// Deletes the namespace of a locked account, if it was made for it and no environment is in it.
pub(crate) async fn delete(person: &Person, name: &AccountName) -> Result<(), Problem> {
    let Some(found) = find(person, name).await?.filter(|found| is_of(found, name)) else { return Ok(()) };
    if let Some(left) = environments_in(person, name).await? {
        let detail =
            format!("{name} is locked and logged out everywhere, and still has environments: {left}");
        let help = "delete them, with what they deployed, and delete the account again";
        return Err(Problem::conflict(detail).help(help));
    }
    remove(person, name, found).await
}

/// The names of some environments in the namespace, if there are any.
async fn environments_in(person: &Person, name: &AccountName) -> Result<Option<String>, Problem> {
    let environments: Api<Environment> = Api::namespaced(person.client.clone(), &namespace_of(name));
    let left = environments.list(&ListParams::default()).await.map_err(Problem::from_kubernetes)?.items;
    let mut names: Vec<String> = left.into_iter().filter_map(|left| left.metadata.name).collect();
    let more = names.len().saturating_sub(NAMED);
    names.truncate(NAMED);
    Ok(match (names.is_empty(), more) {
        (true, _) => None,
        (false, 0) => Some(names.join(", ")),
        (false, more) => Some(format!("{} and {more} more", names.join(", "))),
    })
}

async fn remove(person: &Person, name: &AccountName, found: Namespace) -> Result<(), Problem> {
    if found.metadata.deletion_timestamp.is_some() {
        return Ok(());
    }
    // That very one: a namespace of the same name that was made meanwhile stays.
    let same = Preconditions { uid: found.metadata.uid, ..Preconditions::default() };
    let parameters = DeleteParams { preconditions: Some(same), ..DeleteParams::default() };
    let namespaces: Api<Namespace> = Api::all(person.client.clone());
    match namespaces.delete(&namespace_of(name), &parameters).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
        Err(error) => Err(Problem::from_kubernetes(error)),
    }
}

async fn find(person: &Person, name: &AccountName) -> Result<Option<Namespace>, Problem> {
    let namespaces: Api<Namespace> = Api::all(person.client.clone());
    namespaces.get_opt(&namespace_of(name)).await.map_err(Problem::from_kubernetes)
}

fn is_of(namespace: &Namespace, name: &AccountName) -> bool {
    let labels = namespace.metadata.labels.as_ref();
    labels.and_then(|labels| labels.get(OWNED_BY)).is_some_and(|owner| owner == name.as_str())
}

fn namespace_object(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": personal_namespace(name),
        "labels": {"app.kubernetes.io/part-of": "seaway", OWNED_BY: name}}})
}

fn objects(name: &AccountName) -> [Value; 3] {
    const GROUP: &str = "rbac.authorization.k8s.io";
    let namespace = namespace_of(name);
    [
        namespace_object(name.as_str()),
        json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
            "metadata": {"namespace": namespace, "name": OWNER},
            "roleRef": {"apiGroup": GROUP, "kind": "ClusterRole", "name": OWNER},
            "subjects": [{"apiGroup": GROUP, "kind": "User", "name": name.as_str()}]}),
        json!({"apiVersion": "v1", "kind": "ResourceQuota",
            "metadata": {"namespace": namespace, "name": QUOTA}, "spec": {"hard": {COUNTED: ENVIRONMENTS}}}),
    ]
}

async fn apply(person: &Person, object: Value) -> Result<(), Problem> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let api_version = text(&object["apiVersion"]);
    let (group, version) = api_version.rsplit_once('/').unwrap_or(("", &api_version));
    let kind = GroupVersionKind::gvk(group, version, &text(&object["kind"]));
    let resource = ApiResource::from_gvk(&kind);
    let api: Api<DynamicObject> = match object["metadata"]["namespace"].as_str() {
        Some(namespace) => Api::namespaced_with(person.client.clone(), namespace, &resource),
        None => Api::all_with(person.client.clone(), &resource),
    };
    let name = text(&object["metadata"]["name"]);
    let applied = api.patch(&name, &PatchParams::apply(MANAGER), &Patch::Apply(&object)).await;
    applied.map(drop).map_err(Problem::from_kubernetes)
}
