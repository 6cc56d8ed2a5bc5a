#![allow(clippy::unwrap_used)]

use super::*;
use crate::desired::Scope;
use crate::desired::{Belonging, Source, own};
use seaway_merge::managed::update;
use seaway_merge::schema::{for_kind, untyped};
use serde_json::json;

const SET: &str = "applyset-x-v1";

/// A cluster with a few kinds, and what an environment wants of it.
struct World {
    live: HashMap<ObjectId, Value>,
    inventory: Vec<InventoryEntry>,
    ignore: Vec<IgnoreRule>,
    allowed: Allowed,
    policy: Policy,
}

fn schema(kind: &GroupVersionKind) -> TypeRef {
    for_kind(&kind.group, &kind.version, &kind.kind).unwrap_or_else(untyped)
}

fn scope(kind: &GroupVersionKind) -> Option<Scope> {
    match kind.kind.as_str() {
        "ConfigMap" | "Secret" | "Deployment" | "Job" => Some(Scope::Namespaced),
        "Namespace" | "ClusterRoleBinding" => Some(Scope::Cluster),
        _ => None,
    }
}

fn wanted(objects: &[Value]) -> Vec<Desired> {
    let belonging =
        Belonging { environment: "staging".into(), apply_set: SET.into(), namespace: "shop".into() };
    let source = |(line, value): (usize, &Value)| Source {
        value: value.clone(),
        component: "web".into(),
        origin: Origin { file: "web.yaml".into(), line },
    };
    own(objects.iter().enumerate().map(source).collect(), &belonging, &scope).unwrap()
}

impl World {
    fn new() -> Self {
        Self {
            live: HashMap::new(),
            inventory: Vec::new(),
            ignore: Vec::new(),
            allowed: Allowed { namespaces: BTreeSet::from(["shop".to_owned()]), ..Allowed::default() },
            policy: Policy { prune: true, ..Policy::default() },
        }
    }

    /// A world in which these objects have been applied.
    fn with(objects: &[Value]) -> Self {
        let mut world = Self::new();
        world.apply(objects);
        world
    }

    fn apply(&mut self, objects: &[Value]) {
        for object in wanted(objects) {
            let mut stored = applied(self.live.get(&object.id), &object.value, FIELD_MANAGER, "01");
            let uid = format!("uid-{}", object.id);
            stored["metadata"]["uid"] = uid.clone().into();
            self.inventory.retain(|entry| entry.object.id() != object.id);
            self.inventory.push(InventoryEntry {
                object: ObjectRef::new(&object.kind, &object.id),
                uid,
                digest: digest(&object.value),
                created: true,
            });
            self.live.insert(object.id.clone(), stored);
        }
    }

    /// Somebody changes a live object.
    fn edit(&mut self, id: &str, manager: &str, change: impl FnOnce(&mut Value)) {
        let live = self.live.values_mut().find(|live| ObjectId::of(live).unwrap().to_string() == id).unwrap();
        let mut changed = live.clone();
        change(&mut changed);
        let kind = GroupVersionKind::of(live).unwrap();
        *live = update(Some(live), &changed, &schema(&kind), &by(manager, &kind, "02")).unwrap();
    }

    fn plan(&self, objects: &[Value]) -> Plan {
        plan(PlanInput {
            accounts: &|namespace, name| {
                (namespace == "shop" && name == "theirs").then(|| "the environment production".to_owned())
            },
            desired: wanted(objects),
            live: &self.live,
            inventory: &self.inventory,
            apply_set: SET,
            allowed: &self.allowed,
            ignore: &self.ignore,
            policy: self.policy,
            schema: &schema,
            key: &HashKey::new([1; 32]),
            now: "2024-01-09T00:00:00Z",
        })
    }

    fn actions(&self, objects: &[Value]) -> Vec<(String, Action)> {
        let plan = self.plan(objects);
        plan.objects.iter().map(|object| (object.object.id().to_string(), object.action)).collect()
    }
}

fn by(manager: &str, kind: &GroupVersionKind, day: &str) -> Manager {
    Manager {
        name: manager.into(),
        api_version: kind.api_version(),
        time: format!("2024-01-{day}T00:00:00Z"),
        ..Manager::default()
    }
}

fn applied(live: Option<&Value>, value: &Value, manager: &str, day: &str) -> Value {
    let kind = GroupVersionKind::of(value).unwrap();
    apply(live, value, &schema(&kind), &by(manager, &kind, day), true).unwrap()
}

fn config(name: &str, value: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"key": value}})
}

fn deployment(replicas: i64) -> Value {
    json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"},
        "spec": {"replicas": replicas, "selector": {"matchLabels": {"app": "web"}},
            "template": {"metadata": {"labels": {"app": "web"}},
                "spec": {"containers": [{"name": "web", "image": "web:1"}]}}}})
}

fn annotated(mut object: Value, key: &str, value: &str) -> Value {
    object["metadata"]["annotations"][key] = value.into();
    object
}

fn action(plan: &Plan) -> Action {
    plan.objects[0].action
}

#[test]
fn what_is_missing_is_created_and_what_is_as_it_should_be_costs_nothing() {
    let objects = [config("a", "1"), deployment(2)];
    let plan = World::new().plan(&objects);
    assert_eq!(plan.count(Action::Create), 2);
    assert!(!plan.is_in_sync());
    let plan = World::with(&objects).plan(&objects);
    assert_eq!(plan.count(Action::Unchanged), 2);
    assert!(plan.is_in_sync());
}

#[test]
fn a_change_in_git_is_shown_field_by_field_and_is_no_drift() {
    let world = World::with(&[config("a", "1")]);
    let plan = world.plan(&[config("a", "2")]);
    let object = &plan.objects[0];
    assert_eq!(object.action, Action::Change);
    let field = &object.fields[0];
    assert_eq!(
        (field.path.as_str(), &field.from, &field.to),
        (".data.key", &Some(json!("1")), &Some(json!("2")))
    );
    assert_eq!(field.owner.as_ref().unwrap().manager, "seaway");
    assert!(!field.drift && !object.is_drift() && !plan.is_drift_only(&world.inventory));
}

#[test]
fn a_change_by_kubectl_is_drift_with_its_author_and_time() {
    let mut world = World::with(&[deployment(2)]);
    world.edit("Deployment.apps shop/web", "kubectl-scale", |live| live["spec"]["replicas"] = 5.into());
    let plan = world.plan(&[deployment(2)]);
    let field = &plan.objects[0].fields[0];
    assert_eq!(
        (field.path.as_str(), &field.from, &field.to),
        (".spec.replicas", &Some(json!(5)), &Some(json!(2)))
    );
    let owner = field.owner.as_ref().unwrap();
    assert_eq!((owner.manager.as_str(), owner.operation), ("kubectl-scale", Operation::Update));
    assert_eq!(owner.time.as_deref(), Some("2024-01-02T00:00:00Z"));
    assert!(plan.objects[0].is_drift() && plan.is_drift_only(&world.inventory));
    // The same field changed in Git as well: then a release, not drift alone.
    assert!(!world.plan(&[config("new", "1"), deployment(3)]).is_drift_only(&world.inventory));
}

#[test]
fn a_field_that_somebody_removed_is_drift_of_the_last_who_wrote() {
    let mut world = World::with(&[config("a", "1")]);
    world.edit("ConfigMap shop/a", "kubectl-edit", |live| live["data"] = json!({"other": "x"}));
    let plan = world.plan(&[config("a", "1")]);
    let fields = &plan.objects[0].fields;
    assert_eq!(fields.len(), 1, "a field that is not rendered is left alone: {fields:?}");
    assert_eq!(fields[0].path, ".data.key");
    assert!(fields[0].drift);
    assert_eq!(fields[0].owner.as_ref().unwrap().manager, "kubectl-edit");
}

#[test]
fn an_object_that_somebody_deleted_is_drift() {
    let mut world = World::with(&[config("a", "1")]);
    world.live.clear();
    let plan = world.plan(&[config("a", "1")]);
    assert_eq!(action(&plan), Action::Create);
    assert!(plan.is_drift_only(&world.inventory));
    assert!(!plan.is_drift_only(&[]), "what was never applied is new");
}

#[test]
fn another_applier_is_a_conflict_and_only_forced_when_the_environment_says_so() {
    let mut world = World::with(&[config("a", "1")]);
    for live in world.live.values_mut() {
        let theirs = json!({"apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": "a", "namespace": "shop"}, "data": {"key": "theirs"}});
        *live = applied(Some(live), &theirs, "argo", "03");
    }
    let plan = world.plan(&[config("a", "1")]);
    assert_eq!(action(&plan), Action::Conflict);
    assert!(plan.objects[0].message.contains(".data.key is kept by \"argo\""), "{}", plan.objects[0].message);
    world.policy.force_conflicts = true;
    assert_eq!(action(&world.plan(&[config("a", "1")])), Action::Change);
}

#[test]
fn what_the_stack_does_not_allow_is_forbidden_by_name() {
    let binding = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding",
        "metadata": {"name": "root"}});
    let mut elsewhere = config("a", "1");
    elsewhere["metadata"]["namespace"] = "kube-system".into();
    let mut world = World::new();
    let plan = world.plan(&[binding.clone(), elsewhere]);
    assert_eq!(plan.count(Action::Forbidden), 2);
    assert!(plan.objects[0].message.contains("ClusterRoleBinding.rbac.authorization.k8s.io"));
    assert!(plan.objects[1].message.contains("kube-system"));
    world.allowed.cluster_kinds.insert("ClusterRoleBinding.rbac.authorization.k8s.io".into());
    assert_eq!(action(&world.plan(&[binding])), Action::Create);
}

#[test]
fn what_cannot_be_applied_is_named() {
    let world = World::new();
    let unknown = json!({"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": "w"}});
    let sops = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "sops": {"mac": "x"}});
    let plan = world.plan(&[unknown, sops, config("a", "1"), config("a", "2")]);
    let actions: Vec<Action> = plan.objects.iter().map(|object| object.action).collect();
    assert_eq!(actions, [Action::Invalid, Action::Invalid, Action::Create, Action::Invalid]);
    assert!(plan.objects[1].message.contains("SOPS"));
    assert!(plan.objects[3].message.contains("web.yaml:2"), "{}", plan.objects[3].message);
}

#[test]
fn an_object_of_another_environment_is_a_conflict() {
    let mut world = World::with(&[config("a", "1")]);
    for live in world.live.values_mut() {
        live["metadata"]["labels"][PART_OF_LABEL] = "applyset-other-v1".into();
        live["metadata"]["labels"][seaway_api::ENVIRONMENT_LABEL] = "production".into();
    }
    let plan = world.plan(&[config("a", "1")]);
    assert_eq!(action(&plan), Action::Conflict);
    assert!(plan.objects[0].message.contains("production"));
}

#[test]
fn ignored_fields_are_neither_drift_nor_taken_away() {
    let mut world = World::with(&[deployment(2)]);
    world.ignore = vec![IgnoreRule {
        kind: Some("Deployment".into()),
        json_pointers: vec!["/spec/replicas".into()],
        ..IgnoreRule::default()
    }];
    assert_eq!(action(&world.plan(&[deployment(2)])), Action::Unchanged, "we own it and keep it");
    world.edit("Deployment.apps shop/web", "hpa", |live| live["spec"]["replicas"] = 5.into());
    let plan = world.plan(&[deployment(2)]);
    assert!(plan.objects[0].fields.is_empty(), "{:?}", plan.objects[0].fields);
    world.ignore = vec![IgnoreRule { field_managers: vec!["hpa".into()], ..IgnoreRule::default() }];
    assert!(world.plan(&[deployment(2)]).objects[0].fields.is_empty());
}

#[test]
fn ignored_fields_lie_in_elements_of_lists_as_well_wherever_these_are() {
    let pod = |containers: Value| {
        json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}, "spec": {"template": {"spec": {
            "containers": containers}}}})
    };
    let web = |image: &str| json!({"name": "web", "image": image, "resources": {"limits": {"cpu": "1"}}});
    let wanted = pod(json!([web("web:1"), {"name": "log", "image": "log:1"}]));
    // Somebody put a container before ours, and changed one of them.
    let live = |live: &mut Value| {
        let containers = live.pointer_mut("/spec/template/spec/containers").unwrap().as_array_mut().unwrap();
        containers[0]["image"] = "web:9".into();
        containers[0]["resources"]["limits"]["cpu"] = "4".into();
        containers.insert(0, json!({"name": "mesh", "image": "mesh:1"}));
    };
    let changed = |ignore: IgnoreRule| {
        let mut world = World::with(std::slice::from_ref(&wanted));
        world.edit("Deployment.apps shop/web", "vpa", live);
        world.ignore = vec![ignore];
        let plan = world.plan(std::slice::from_ref(&wanted));
        let value = plan.objects[0].value.clone().unwrap();
        let paths: Vec<String> = plan.objects[0].fields.iter().map(|field| field.path.clone()).collect();
        (paths, value)
    };
    let jq = |expressions: &[&str]| IgnoreRule {
        jq_path_expressions: expressions.iter().map(|text| (*text).to_owned()).collect(),
        ..IgnoreRule::default()
    };
    assert_eq!(changed(IgnoreRule::default()).0.len(), 2);
    let (paths, _) = changed(jq(&[r#".spec.template.spec.containers[] | select(.name == "web") | .image"#]));
    assert!(paths.len() == 1 && paths[0].contains("cpu"), "{paths:?}");
    let (paths, _) = changed(jq(&[
        ".spec.template.spec.containers[].resources",
        ".spec.template.spec.containers[].image",
    ]));
    assert_eq!(paths, Vec::<String>::new());
    let (paths, value) = changed(jq(&[r#".spec.template.spec.containers[] | select(.name == "mesh")"#]));
    assert_eq!(paths.len(), 2, "{paths:?}");
    assert!(!value.to_string().contains("mesh"), "what is not ours is not sent");
    // A list that is one value is left as a whole: nothing of it is mixed with ours.
    let of_args = |args: Value| pod(json!([{"name": "web", "image": "web:1", "args": args}]));
    let mut world = World::with(&[of_args(json!(["a", "b"]))]);
    world.ignore = vec![jq(&[".spec.template.spec.containers[].args[1]"])];
    let ours = world.plan(&[of_args(json!(["x", "y", "z"]))]).objects[0].value.clone().unwrap();
    assert_eq!(ours.pointer("/spec/template/spec/containers/0/args"), Some(&json!(["a", "b"])));
    world.edit("Deployment.apps shop/web", "kubectl-edit", |live| {
        live["spec"]["template"]["spec"]["containers"][0]["args"] = json!(["theirs"]);
    });
    let plan = world.plan(&[of_args(json!(["a", "b"]))]);
    assert!(plan.objects[0].fields.is_empty(), "{:?}", plan.objects[0].fields);
    assert_eq!(
        plan.objects[0].value.as_ref().unwrap().pointer("/spec/template/spec/containers/0/args"),
        None
    );
    let by_manager = IgnoreRule { field_managers: vec!["vpa".into()], ..IgnoreRule::default() };
    let (paths, value) = changed(by_manager);
    assert_eq!(paths, Vec::<String>::new());
    assert!(value.to_string().contains("log:1"), "the rest is sent");
}

#[test]
fn what_argo_cd_users_ignore_with_jq_is_left_to_others_or_refused() {
    let jq = |expression: &str| {
        vec![IgnoreRule { jq_path_expressions: vec![expression.to_owned()], ..IgnoreRule::default() }]
    };
    let mut world = World::with(&[deployment(2)]);
    world.edit("Deployment.apps shop/web", "hpa", |live| live["spec"]["replicas"] = 5.into());
    for expression in [
        ".spec.replicas, .spec.absent",
        ".. | .replicas?",
        ".spec | select(has(\"replicas\")) | .replicas",
        "select(.metadata.name | test(\"^we\")) | .spec.replicas",
    ] {
        world.ignore = jq(expression);
        let plan = world.plan(&[deployment(2)]);
        assert!(plan.objects[0].fields.is_empty(), "{expression}: {:?}", plan.objects[0].fields);
    }
    world.ignore = jq("select(.metadata.name == \"api\") | .spec.replicas");
    assert_eq!(world.plan(&[deployment(2)]).objects[0].fields.len(), 1);
    // Nobody could tell what of it is left to others.
    world.ignore = jq(".. | .. | .. | .. | .. | .. | .. | ..");
    let plan = world.plan(&[deployment(2)]);
    assert_eq!(action(&plan), Action::Invalid);
    assert!(
        plan.objects[0].message.contains("spec.ignore of its stack: the jq path expression .. |"),
        "{plan:?}"
    );
}

#[test]
fn what_left_git_is_pruned() {
    let world = World::with(&[config("a", "1"), config("b", "1")]);
    assert_eq!(
        world.actions(&[config("a", "1")]),
        [("ConfigMap shop/a".to_owned(), Action::Unchanged), ("ConfigMap shop/b".to_owned(), Action::Prune)]
    );
}

#[test]
fn an_empty_render_prunes_nothing_unless_it_is_allowed() {
    let mut world = World::with(&[config("a", "1"), config("b", "1")]);
    let plan = world.plan(&[]);
    assert!(plan.blocked.is_some_and(|reason| reason.contains("2 objects")));
    world.policy.allow_empty = true;
    assert_eq!(world.plan(&[]).blocked, None);
}

#[test]
fn what_is_not_ours_beyond_doubt_is_not_pruned() {
    let keep = [config("keep", "1")];
    let check = |change: fn(&mut World)| {
        let mut world = World::with(&[config("keep", "1"), config("b", "1")]);
        change(&mut world);
        let plan = world.plan(&keep);
        plan.objects.iter().filter(|object| object.action == Action::Prune && !object.held_back).count()
    };
    fn b(world: &mut World) -> &mut Value {
        world.live.values_mut().find(|live| identity::name(live) == "b").unwrap()
    }
    assert_eq!(check(|_| {}), 1);
    assert_eq!(check(|world| drop(b(world)["metadata"]["labels"].take())), 0, "without our label");
    assert_eq!(check(|world| drop(b(world)["metadata"]["managedFields"].take())), 0, "never applied by us");
    assert_eq!(check(|world| b(world)["metadata"]["ownerReferences"] = json!([{"controller": true}])), 0);
    assert_eq!(check(|world| b(world)["metadata"]["uid"] = "another".into()), 0, "another of the same name");
    assert_eq!(check(|world| world.inventory.clear()), 0, "lost inventory");
    assert_eq!(check(|world| world.policy.prune = false), 0);
}

#[test]
fn options_decide_about_pruning() {
    let keep = [config("keep", "1")];
    let held_back = |key: &str, value: &str| {
        let world = World::with(&[config("keep", "1"), annotated(config("b", "1"), key, value)]);
        world.plan(&keep).objects[1].held_back
    };
    assert!(held_back("argocd.argoproj.io/sync-options", "Prune=false"));
    assert!(held_back("argocd.argoproj.io/sync-options", "Prune=confirm"));
    assert!(!held_back("argocd.argoproj.io/sync-options", "PruneLast=true"));
    let mut world =
        World::with(&[config("keep", "1"), annotated(config("b", "1"), "seaway.dev/options", "confirm")]);
    world.edit("ConfigMap shop/b", "kubectl", |live| {
        live["metadata"]["annotations"]["seaway.dev/deletion-approved"] = "true".into();
    });
    assert!(!world.plan(&keep).objects[1].held_back, "a person has agreed");
}

#[test]
fn a_namespace_is_pruned_only_if_seaway_made_it() {
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "extra"}});
    let mut world = World::with(&[config("keep", "1"), namespace]);
    assert!(!world.plan(&[config("keep", "1")]).objects[1].held_back);
    world.inventory.iter_mut().for_each(|entry| entry.created = false);
    assert!(world.plan(&[config("keep", "1")]).objects[1].held_back);
    // That of the environment's own objects only goes with it.
    world.inventory.iter_mut().for_each(|entry| entry.created = true);
    world.allowed.namespaces.insert("extra".to_owned());
    assert!(world.plan(&[config("keep", "1")]).objects[1].held_back);
    world.policy.ending = true;
    assert!(!world.plan(&[]).objects.iter().any(|object| object.held_back));
}

#[test]
fn hooks_are_not_compared_and_create_only_objects_not_changed() {
    let hook = annotated(config("h", "1"), "argocd.argoproj.io/hook", "PreSync");
    let once = |value| annotated(config("o", value), "seaway.dev/options", "create-only");
    let world = World::with(&[hook.clone(), once("1")]);
    let plan = world.plan(&[hook, once("2")]);
    let actions: Vec<Action> = plan.objects.iter().map(|object| object.action).collect();
    assert_eq!(actions, [Action::Hook, Action::Unchanged]);
    assert!(plan.is_in_sync());
}

#[test]
fn values_of_secrets_are_not_shown() {
    let secret = |value: &str| json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "stringData": {"p": value}});
    let plan = World::with(&[secret("hunter2")]).plan(&[secret("hunter3")]);
    let text = serde_json::to_string(&plan).unwrap();
    assert_eq!(plan.objects[0].fields[0].path, ".data.p");
    assert!(!text.contains("hunter") && !text.contains("aHVudGVy"), "{text}");
    assert!(text.contains("<redacted: 7 bytes"), "{text}");
}

#[test]
fn the_servers_dry_run_has_the_last_word() {
    let mut world = World::with(&[config("a", "1")]);
    let plan = world.plan(&[config("a", "01")]);
    let mut object = plan.objects[0].clone();
    assert_eq!(object.action, Action::Change);
    let live = world.live.values_mut().next().unwrap();
    object.refine(live, live, &untyped(), false, &HashKey::new([1; 32]));
    assert_eq!(object.action, Action::Unchanged);
    assert!(object.fields.is_empty());
}

#[test]
fn pods_do_not_run_with_the_rights_of_another_environment() {
    let mut world = World::new();
    let spec =
        |account: &str| json!({"serviceAccountName": account, "containers": [{"name": "c", "image": "x"}]});
    let pod = |account: &str| json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": spec(account)});
    let deployment = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"},
        "spec": {"selector": {}, "template": {"spec": spec("theirs")}}});
    let cron = json!({"apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": "c"},
        "spec": {"jobTemplate": {"spec": {"template": {"spec": spec("theirs")}}}}});
    for object in [pod("theirs"), deployment, cron] {
        let planned = world.plan(&[object]).objects.remove(0);
        assert_eq!(planned.action, Action::Forbidden, "{:?}", planned.object);
        assert!(planned.message.contains("shop/theirs of the environment production"), "{}", planned.message);
    }
    world.allowed.namespaces.insert("other".to_owned());
    let mut elsewhere = pod("theirs");
    elsewhere["metadata"]["namespace"] = "other".into();
    for object in [pod("ours"), elsewhere] {
        assert_ne!(world.plan(&[object]).objects[0].action, Action::Forbidden);
    }
}

#[test]
fn hooks_of_the_end_are_checked_like_anything_else_and_kept_only_where_they_can_be() {
    let mut world = World::new();
    let at_end = |object: Value| annotated(object, "argocd.argoproj.io/hook", "PostDelete");
    let of = |plan: &Plan| {
        plan.objects.iter().map(|object| (object.action, object.message.clone())).collect::<Vec<_>>()
    };
    let hook = at_end(config("h", "1"));
    let plan = world.plan(std::slice::from_ref(&hook));
    let said = "runs at the end of the environment, once everything is deleted";
    assert_eq!(of(&plan), [(Action::Hook, said.to_owned())]);
    assert!(plan.is_in_sync() && crate::end::hooks_of(&plan, &[]).len() == 1);
    let object = |kind: &str, api_version: &str, more: Value| {
        let mut object = json!({"apiVersion": api_version, "kind": kind, "metadata": {"name": "x"}});
        object.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        at_end(object)
    };
    let encrypted = object("ConfigMap", "v1", json!({"sops": {"mac": "x"}}));
    let secret = object("Secret", "v1", json!({"stringData": {"p": "x"}}));
    let binding = object("ClusterRoleBinding", "rbac.authorization.k8s.io/v1", json!({}));
    let unknown = object("Widget", "example.com/v1", json!({}));
    let waiting =
        annotated(unknown.clone(), "argocd.argoproj.io/sync-options", "SkipDryRunOnMissingResource=true");
    for (object, action, words) in [
        (&encrypted, Action::Invalid, "SOPS"),
        (&secret, Action::Invalid, "a Secret is no hook of the environment's end"),
        (&binding, Action::Forbidden, "spec.allow.clusterKinds"),
        (&unknown, Action::Invalid, "does not know the kind"),
        (&waiting, Action::Invalid, "does not know the kind"),
    ] {
        let plan = world.plan(&[config("a", "1"), hook.clone(), object.clone()]);
        let found = plan.objects.iter().find(|planned| planned.object.name == "x").unwrap();
        assert!(found.action == action && found.message.contains(words), "{found:?}");
    }
    // What is kept of them has a limit.
    let large = |name: &str| at_end(config(name, &"x".repeat(super::at_end::MOST / 2)));
    let plan = world.plan(&[large("b"), large("c")]);
    let actions: Vec<Action> = plan.objects.iter().map(|object| object.action).collect();
    assert_eq!(actions, [Action::Hook, Action::Invalid]);
    assert!(plan.objects[1].message.contains("256 KiB"), "{}", plan.objects[1].message);
    // A copy ends without them.
    world.allowed.own_accounts = true;
    assert_eq!(of(&world.plan(&[config("a", "1"), hook, secret])).len(), 1);
}

#[test]
fn what_runs_for_the_end_is_not_what_is_deleted_before_it() {
    let hook = |name: &str, run: &str| {
        let hook = annotated(config(name, "1"), "argocd.argoproj.io/hook", "PreSync,PreDelete");
        annotated(hook, crate::hooks::HOOK_RUN, run)
    };
    let only = annotated(config("only", "1"), "argocd.argoproj.io/hook", "PreDelete");
    let mut world = World::with(&[hook("sync", "1.1/before"), hook("end", "end-u/before-delete/1"), only]);
    world.policy.ending = true;
    let plan = world.plan(&[]);
    let names: Vec<&str> = plan.objects.iter().map(|object| object.object.name.as_str()).collect();
    assert_eq!(names, ["sync"]);
}
