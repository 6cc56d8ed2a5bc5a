//! The objects of an environment as a tree: component → object → what it owns → pods.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use seaway_object::{GroupVersionKind, ObjectId, identity};
use seaway_sync::plan::{Action, ObjectRef};
use seaway_sync::view::{EnvironmentDetail, SyncStatus};
use seaway_sync::{HealthRules, HealthStatus};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::facts;

/// What an environment consists of.
#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Tree {
    /// The components, in the order of the stack; what left Git comes last, without a name.
    pub(crate) components: Vec<TreeComponent>,
    /// Where the environment can be opened in a browser.
    pub(crate) links: Vec<Link>,
    /// What the person may not see, in words.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) hidden: Vec<String>,
}

/// A component with its objects.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct TreeComponent {
    /// Its name in the stack; empty for what left Git.
    pub(crate) name: String,
    /// That of its object that does worst.
    #[schema(schema_with = crate::schemas::health_ref)]
    pub(crate) health: HealthStatus,
    /// Its objects.
    pub(crate) objects: Vec<TreeNode>,
}

/// An object, with what it owns.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct TreeNode {
    /// Which.
    #[schema(schema_with = crate::schemas::object_ref_schema)]
    pub(crate) object: ObjectRef,
    /// Whether it is as Git says; absent for what is owned by another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(schema_with = crate::schemas::sync_status_ref)]
    pub(crate) sync: Option<SyncStatus>,
    /// How well it does.
    #[schema(schema_with = crate::schemas::health_ref)]
    pub(crate) health: HealthStatus,
    /// Why.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) message: String,
    /// What the next sync does to it; absent for what is owned by another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(schema_with = crate::schemas::action_ref)]
    pub(crate) action: Option<Action>,
    /// A few facts, such as `2/2 ready`.
    pub(crate) info: Vec<String>,
    /// Since when it is there (RFC 3339).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) created: Option<String>,
    /// The containers of a pod: they have logs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) containers: Vec<String>,
    /// What it owns.
    #[schema(no_recursion)]
    pub(crate) children: Vec<TreeNode>,
}

/// An address of the environment.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Link {
    /// For the browser.
    pub(crate) url: String,
    /// The route that makes it.
    #[schema(schema_with = crate::schemas::object_ref_schema)]
    pub(crate) object: ObjectRef,
}

/// The tree, from what the engine knows and what the person may list.
pub(crate) fn build(
    detail: &EnvironmentDetail,
    observed: impl Fn(&ObjectId) -> Option<Arc<Value>>,
    rules: &HealthRules,
    listed: &[Value],
    gateway: Option<u16>,
) -> Tree {
    let owned = by_owner(listed);
    let mut shown = HashSet::new();
    let planned: HashMap<ObjectId, (&str, Action)> = detail
        .plan
        .objects
        .iter()
        .map(|object| (object.object.id(), (object.component.as_str(), object.action)))
        .collect();
    let mut tree = Tree::default();
    for view in &detail.objects {
        let id = view.object.id();
        let (component, action) = planned.get(&id).copied().unwrap_or(("", Action::Unchanged));
        let live = observed(&id);
        if let Some(live) = &live {
            tree.links.extend(links(&view.object, live, gateway));
        }
        let node = TreeNode {
            object: view.object.clone(),
            sync: Some(view.sync),
            health: view.health,
            message: view.message.clone(),
            action: Some(action),
            info: live.as_deref().map(facts::of).unwrap_or_default(),
            created: live.as_deref().and_then(created),
            containers: live.as_deref().map(containers).unwrap_or_default(),
            children: live
                .as_deref()
                .map(|live| children(live, rules, &owned, &mut shown))
                .unwrap_or_default(),
        };
        let position = tree.components.iter().position(|known| known.name == component);
        let position = position.unwrap_or_else(|| {
            let name = component.to_owned();
            tree.components.push(TreeComponent { name, health: HealthStatus::Healthy, objects: Vec::new() });
            tree.components.len() - 1
        });
        let known = &mut tree.components[position];
        known.health = known.health.max(view.health);
        known.objects.push(node);
    }
    tree.components.sort_by_key(|component| component.name.is_empty());
    tree
}

type Owned<'a> = HashMap<&'a str, Vec<&'a Value>>;

fn by_owner(listed: &[Value]) -> Owned<'_> {
    let mut owned = Owned::new();
    for object in listed {
        let owners = object.pointer("/metadata/ownerReferences").and_then(Value::as_array);
        for owner in owners.into_iter().flatten() {
            if let Some(uid) = owner["uid"].as_str() {
                owned.entry(uid).or_default().push(object);
            }
        }
    }
    owned
}

/// Each object is shown once: who has several owners would else be there many times, and a loop has no end.
fn children<'a>(
    object: &Value,
    rules: &HealthRules,
    owned: &Owned<'a>,
    shown: &mut HashSet<&'a str>,
) -> Vec<TreeNode> {
    let Some(found) = identity::uid(object).and_then(|uid| owned.get(uid)) else { return Vec::new() };
    let mut nodes: Vec<TreeNode> = found
        .iter()
        .filter_map(|child| {
            let uid = identity::uid(child)?;
            if !shown.insert(uid) {
                return None;
            }
            let children = children(child, rules, owned, shown);
            // Old revisions that keep nothing running are the history's, not the tree's.
            let idle = identity::kind(child) == "ReplicaSet" && child["spec"]["replicas"] == 0;
            (!idle || !children.is_empty()).then(|| node(child, rules, children)).flatten()
        })
        .collect();
    nodes.sort_by(|a, b| {
        (&a.object.kind, &b.created, &a.object.name).cmp(&(&b.object.kind, &a.created, &b.object.name))
    });
    nodes
}

fn node(object: &Value, rules: &HealthRules, children: Vec<TreeNode>) -> Option<TreeNode> {
    let (kind, id) = (GroupVersionKind::of(object).ok()?, ObjectId::of(object).ok()?);
    let found = rules.health(object);
    Some(TreeNode {
        object: ObjectRef::new(&kind, &id),
        sync: None,
        health: found.status,
        message: found.message,
        action: None,
        info: facts::of(object),
        created: created(object),
        containers: containers(object),
        children,
    })
}

fn created(object: &Value) -> Option<String> {
    object.pointer("/metadata/creationTimestamp")?.as_str().map(str::to_owned)
}

fn containers(object: &Value) -> Vec<String> {
    if identity::kind(object) != "Pod" {
        return Vec::new();
    }
    let of = |list: &str| object["spec"][list].as_array().into_iter().flatten();
    of("containers")
        .chain(of("initContainers"))
        .filter_map(|container| container["name"].as_str().map(str::to_owned))
        .collect()
}

fn links(object: &ObjectRef, live: &Value, gateway: Option<u16>) -> Vec<Link> {
    let (Some(port), "HTTPRoute") = (gateway, object.kind.as_str()) else { return Vec::new() };
    let hosts = live.pointer("/spec/hostnames").and_then(Value::as_array);
    hosts
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        // A wildcard is no address.
        .filter(|host| !host.contains('*'))
        .map(|host| Link { url: format!("http://{host}:{port}/"), object: object.clone() })
        .collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use seaway_sync::view::EnvironmentView;
    use serde_json::json;

    use super::*;

    fn detail() -> EnvironmentDetail {
        let deployment = json!({"group": "apps", "version": "v1", "kind": "Deployment", "namespace": "shop", "name": "web"});
        let route = json!({"group": "gateway.networking.k8s.io", "version": "v1", "kind": "HTTPRoute",
            "namespace": "shop", "name": "web"});
        let gone =
            json!({"group": "", "version": "v1", "kind": "ConfigMap", "namespace": "shop", "name": "old"});
        let planned = |object: &Value, action: &str, component: &str| {
            json!({"object": object, "action": action,
            "component": component, "phase": "sync", "wave": 0})
        };
        EnvironmentDetail {
            summary: serde_json::from_value::<EnvironmentView>(json!({"name": "staging", "namespace": "seaway",
                "class": "staging", "stack": "shop", "release": null, "revision": null, "sync": "OutOfSync",
                "health": "Progressing", "message": ""}))
            .unwrap(),
            current: None,
            suspended: false,
            holds: Vec::new(),
            plan: serde_json::from_value(json!({"objects": [planned(&gone, "prune", ""),
                planned(&deployment, "unchanged", "web"), planned(&route, "change", "web")]}))
            .unwrap(),
            objects: serde_json::from_value(json!([
                {"object": gone, "sync": "OutOfSync", "health": "Healthy"},
                {"object": deployment, "sync": "Synced", "health": "Progressing", "message": "1 of 2 are ready"},
                {"object": route, "sync": "OutOfSync", "health": "Healthy"}]))
            .unwrap(),
            last_sync: None,
            copy: None,
            overrides: Vec::new(),
            links: Vec::new(),
        }
    }

    fn owned(kind: &str, name: &str, uid: &str, owner: &str, rest: Value) -> Value {
        let version = if kind == "Pod" { "v1" } else { "apps/v1" };
        let mut object = json!({"apiVersion": version, "kind": kind, "metadata": {"namespace": "shop", "name": name,
            "uid": uid, "ownerReferences": [{"uid": owner}]}});
        object.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
        object
    }

    fn observed(id: &ObjectId) -> Option<Arc<Value>> {
        Some(Arc::new(match id.kind.as_str() {
            "Deployment" => json!({"kind": "Deployment", "metadata": {"uid": "d"}, "spec": {"replicas": 2}}),
            "HTTPRoute" => json!({"kind": "HTTPRoute", "metadata": {"uid": "r"},
                "spec": {"hostnames": ["shop.localhost", "*.shop.localhost"]}}),
            _ => return None,
        }))
    }

    #[test]
    fn objects_stand_below_their_component_and_pods_below_what_made_them() {
        let listed = [
            owned("ReplicaSet", "web-1", "rs1", "d", json!({"spec": {"replicas": 0}})),
            owned("ReplicaSet", "web-2", "rs2", "d", json!({"spec": {"replicas": 1}})),
            owned("Pod", "web-2-a", "p", "rs2", json!({"spec": {"containers": [{"name": "web"}]}})),
            owned("Pod", "other", "q", "elsewhere", json!({})),
        ];
        let tree = build(&detail(), observed, &HealthRules::default(), &listed, Some(7480));
        let names: Vec<_> = tree.components.iter().map(|c| (c.name.as_str(), c.health)).collect();
        assert_eq!(names, [("web", HealthStatus::Progressing), ("", HealthStatus::Healthy)]);
        let deployment = &tree.components[0].objects[0];
        assert_eq!(deployment.info, ["0/2 ready"]);
        let replica_sets: Vec<_> = deployment.children.iter().map(|c| c.object.name.as_str()).collect();
        assert_eq!(replica_sets, ["web-2"], "an old revision without pods is left out");
        let pod = &deployment.children[0].children[0];
        assert_eq!((pod.object.name.as_str(), pod.sync), ("web-2-a", None));
        assert_eq!(pod.containers, ["web"]);
        // The stack's own rules count for what is owned by another as well.
        let rule = seaway_api::HealthCheckExpr {
            api_version: "v1".into(),
            kind: Some("Pod".into()),
            failed: Some("spec.containers.exists(c, c.name == 'web')".into()),
            current: "true".into(),
            ..seaway_api::HealthCheckExpr::default()
        };
        let rules = HealthRules::compile(&[rule]).unwrap();
        let tree = build(&detail(), observed, &rules, &listed, Some(7480));
        assert_eq!(tree.components[0].objects[0].children[0].children[0].health, HealthStatus::Degraded);
    }

    #[test]
    fn a_route_says_where_the_environment_is_opened() {
        let tree = build(&detail(), observed, &HealthRules::default(), &[], Some(7480));
        let urls: Vec<_> = tree.links.iter().map(|link| link.url.as_str()).collect();
        assert_eq!(urls, ["http://shop.localhost:7480/"]);
        assert!(build(&detail(), observed, &HealthRules::default(), &[], None).links.is_empty());
    }

    #[test]
    fn owners_that_own_each_other_end() {
        let listed = [
            owned(
                "ReplicaSet",
                "a",
                "a",
                "d",
                json!({"metadata": {"uid": "a", "name": "a", "namespace": "shop",
                "ownerReferences": [{"uid": "d"}, {"uid": "b"}]}}),
            ),
            owned("ReplicaSet", "b", "b", "a", json!({})),
        ];
        build(&detail(), observed, &HealthRules::default(), &listed, None);
    }
}
