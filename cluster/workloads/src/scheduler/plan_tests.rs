#![allow(clippy::unwrap_used)]

use serde_json::{Value, json};

use super::*;

fn node(change: Value) -> Arc<Node> {
    let mut node = json!({
        "metadata": {"name": "here", "labels": {"kubernetes.io/hostname": "here", "disk": "ssd"}},
        "spec": {},
        "status": {"allocatable": {"cpu": "2", "memory": "4Gi", "pods": "3"},
                   "conditions": [{"type": "Ready", "status": "True"}]},
    });
    for (field, value) in change.as_object().unwrap() {
        node[field] = value.clone();
    }
    Arc::new(serde_json::from_value(node).unwrap())
}

fn pod(name: &str, spec: Value) -> Arc<Pod> {
    let mut spec = spec;
    if spec["containers"].is_null() {
        spec["containers"] = json!([{"name": "c"}]);
    }
    let pod = json!({"metadata": {"namespace": "shop", "name": name, "uid": name,
                                  "labels": {"app": "web"}}, "spec": spec});
    Arc::new(serde_json::from_value(pod).unwrap())
}

fn asking(name: &str, cpu: &str) -> Arc<Pod> {
    pod(name, json!({"containers": [{"name": "c", "resources": {"requests": {"cpu": cpu}}}]}))
}

fn outcomes(observed: &Observed) -> Vec<(String, Outcome)> {
    plan(observed).into_iter().map(|d| (d.pod.name_any(), d.outcome)).collect()
}

fn only(node: Arc<Node>, pod: Arc<Pod>) -> Outcome {
    let observed = Observed { nodes: vec![node], waiting: vec![pod], ..Observed::default() };
    plan(&observed).remove(0).outcome
}

fn bound() -> Outcome {
    Outcome::Bind("here".into())
}

fn refusal(outcome: Outcome) -> String {
    match outcome {
        Outcome::Unschedulable(why) => why,
        other => panic!("{other:?}"),
    }
}

fn untouchable(reason: &str) -> String {
    format!(
        "0/1 nodes are available: 1 {reason}. no new claims to deallocate, preemption: 0/1 nodes are \
         available: 1 Preemption is not helpful for scheduling."
    )
}

#[test]
fn pods_fill_the_node_in_order_of_priority_and_the_rest_waits_with_the_reason() {
    let high = pod(
        "z-high",
        json!({"priority": 10, "containers": [{"name": "c", "resources": {"requests": {"cpu": "1"}}}]}),
    );
    let observed = Observed {
        nodes: vec![node(json!({}))],
        waiting: vec![asking("a", "500m"), asking("b", "600m"), high],
        ..Observed::default()
    };
    let why = "0/1 nodes are available: 1 Insufficient cpu. no new claims to deallocate, preemption: 0/1 \
               nodes are available: 1 No preemption victims found for incoming pod.";
    assert_eq!(
        outcomes(&observed),
        [("z-high".into(), bound()), ("a".into(), bound()), ("b".into(), Outcome::Unschedulable(why.into())),]
    );
}

#[test]
fn finished_pods_take_no_room_and_others_do() {
    let placed = |phase: &str| {
        let mut pod = (*asking("old", "2")).clone();
        pod.status = serde_json::from_value(json!({"phase": phase})).unwrap();
        Observed {
            nodes: vec![node(json!({}))],
            placed: vec![(Arc::new(pod), "here".into())],
            waiting: vec![asking("new", "1")],
            ..Observed::default()
        }
    };
    assert_eq!(outcomes(&placed("Succeeded"))[0].1, bound());
    assert!(matches!(outcomes(&placed("Running"))[0].1, Outcome::Unschedulable(_)));
}

#[test]
fn the_number_of_pods_is_limited() {
    let waiting = (0..4).map(|i| pod(&format!("p{i}"), json!({}))).collect();
    let observed = Observed { nodes: vec![node(json!({}))], waiting, ..Observed::default() };
    let outcomes = outcomes(&observed);
    assert_eq!(outcomes[2].1, bound());
    let Outcome::Unschedulable(why) = &outcomes[3].1 else { panic!("{outcomes:?}") };
    assert!(why.starts_with("0/1 nodes are available: 1 Too many pods. "), "{why}");
}

#[test]
fn what_exceeds_the_whole_node_is_not_helped_by_preemption() {
    let spec = json!({"containers": [{"name": "c",
        "resources": {"requests": {"cpu": "3", "memory": "8Gi", "example.com/gpu": "1"}}}]});
    let why = refusal(only(node(json!({})), pod("p", spec)));
    assert_eq!(why, untouchable("Insufficient cpu, 1 Insufficient example.com/gpu, 1 Insufficient memory"));
}

#[test]
fn init_containers_count_at_their_moment_and_sidecars_always() {
    let request = |cpu: &str| json!({"requests": {"cpu": cpu}});
    let spec = json!({
        "initContainers": [
            {"name": "side", "restartPolicy": "Always", "resources": request("250m")},
            {"name": "init", "resources": request("1500m")}],
        "containers": [{"name": "a", "resources": request("500m")}, {"name": "b", "resources": request("1")}],
        "overhead": {"cpu": "10m"},
    });
    assert_eq!(resources::of_pod(&pod("p", spec)).get("cpu").to_string(), "1760m");
}

#[test]
fn nodes_that_pods_must_not_use_are_named() {
    let cordoned = node(json!({"spec": {"unschedulable": true}}));
    assert_eq!(refusal(only(cordoned, pod("p", json!({})))), untouchable("node(s) were unschedulable"));
    let not_ready = node(json!({"status": {"allocatable": {"pods": "3"}}}));
    assert_eq!(
        refusal(only(not_ready, pod("p", json!({})))),
        untouchable("node(s) had untolerated taint(s)")
    );
    let none = Observed { waiting: vec![pod("p", json!({}))], ..Observed::default() };
    assert_eq!(refusal(plan(&none).remove(0).outcome), "no nodes available to schedule pods");
}

#[test]
fn a_node_that_is_short_of_something_gets_only_pods_that_bear_it() {
    let short = |kind: &str| {
        node(json!({"status": {"allocatable": {"cpu": "2", "memory": "4Gi", "pods": "3"}, "conditions": [
            {"type": "Ready", "status": "True"}, {"type": kind, "status": "True"}]}}))
    };
    for (kind, taint) in [
        ("DiskPressure", "node.kubernetes.io/disk-pressure"),
        ("MemoryPressure", "node.kubernetes.io/memory-pressure"),
        ("PIDPressure", "node.kubernetes.io/pid-pressure"),
    ] {
        assert_eq!(
            refusal(only(short(kind), pod("p", json!({})))),
            untouchable("node(s) had untolerated taint(s)")
        );
        let bearing = json!({"tolerations": [{"key": taint, "operator": "Exists", "effect": "NoSchedule"}]});
        assert_eq!(only(short(kind), pod("p", bearing)), bound());
    }
}

#[test]
fn taints_keep_pods_away_that_do_not_tolerate_them() {
    let tainted =
        || node(json!({"spec": {"taints": [{"key": "team", "value": "a", "effect": "NoSchedule"}]}}));
    let tolerating = |toleration: Value| only(tainted(), pod("p", json!({"tolerations": [toleration]})));
    assert_eq!(
        refusal(only(tainted(), pod("p", json!({})))),
        untouchable("node(s) had untolerated taint(s)")
    );
    assert_eq!(tolerating(json!({"key": "team", "value": "a"})), bound());
    assert_eq!(tolerating(json!({"operator": "Exists"})), bound());
    assert_eq!(tolerating(json!({"key": "team", "operator": "Exists", "effect": "NoSchedule"})), bound());
    assert!(matches!(tolerating(json!({"key": "team", "value": "b"})), Outcome::Unschedulable(_)));
    assert!(matches!(
        tolerating(json!({"key": "team", "operator": "Exists", "effect": "NoExecute"})),
        Outcome::Unschedulable(_)
    ));
    let mild = node(json!({"spec": {"taints": [{"key": "x", "effect": "PreferNoSchedule"}]}}));
    assert_eq!(only(mild, pod("p", json!({}))), bound());
}

#[test]
fn node_selectors_and_required_affinity_choose_the_node() {
    let affinity = |expressions: Value| {
        json!({"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution":
            {"nodeSelectorTerms": [expressions]}}}})
    };
    let expression = |key: &str, operator: &str, values: Value| {
        affinity(json!({"matchExpressions": [
            {"key": key, "operator": operator, "values": values}]}))
    };
    for (spec, fits) in [
        (json!({"nodeSelector": {"disk": "ssd"}}), true),
        (json!({"nodeSelector": {"disk": "hdd"}}), false),
        (expression("disk", "In", json!(["hdd", "ssd"])), true),
        (expression("disk", "NotIn", json!(["ssd"])), false),
        (expression("gpu", "DoesNotExist", json!([])), true),
        (expression("gpu", "Exists", json!([])), false),
        (
            affinity(
                json!({"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["here"]}]}),
            ),
            true,
        ),
        (
            affinity(
                json!({"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["there"]}]}),
            ),
            false,
        ),
        (affinity(json!({})), false),
    ] {
        let outcome = only(node(json!({})), pod("p", spec.clone()));
        match fits {
            true => assert_eq!(outcome, bound(), "{spec}"),
            false => assert_eq!(
                refusal(outcome),
                untouchable("node(s) didn't match Pod's node affinity/selector"),
                "{spec}"
            ),
        }
    }
}

#[test]
fn neighbours_can_forbid_a_pod() {
    let term =
        json!([{"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": {"app": "web"}}}]);
    let anti =
        json!({"affinity": {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": term}}});
    let near = json!({"affinity": {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": term}}});
    let two = |first: Value, second: Value| {
        let waiting = vec![pod("a", first), pod("b", second)];
        let observed = Observed { nodes: vec![node(json!({}))], waiting, ..Observed::default() };
        plan(&observed).remove(1).outcome
    };
    assert!(refusal(two(json!({}), anti.clone())).contains("1 node(s) didn't match pod anti-affinity rules"));
    assert!(
        refusal(two(anti, json!({}))).contains("1 node(s) didn't satisfy existing pods anti-affinity rules")
    );
    assert_eq!(two(json!({}), near.clone()), bound());
    assert_eq!(only(node(json!({})), pod("first", near)), bound());
}

#[test]
fn a_port_of_the_machine_is_given_once() {
    let spec = || json!({"containers": [{"name": "c", "ports": [{"containerPort": 80, "hostPort": 8080}]}]});
    let waiting = vec![pod("a", spec()), pod("b", spec())];
    let observed = Observed { nodes: vec![node(json!({}))], waiting, ..Observed::default() };
    let why = refusal(plan(&observed).remove(1).outcome);
    assert!(why.contains("1 node(s) didn't have free ports for the requested pod ports"), "{why}");
}

#[test]
fn pods_wait_for_their_volumes() {
    let spec = json!({"volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}]});
    let with = |claims: Value| {
        let claims: Vec<PersistentVolumeClaim> = serde_json::from_value(claims).unwrap();
        let observed = Observed {
            nodes: vec![node(json!({}))],
            waiting: vec![pod("p", spec.clone())],
            claims: claims.into_iter().map(Arc::new).collect(),
            ..Observed::default()
        };
        plan(&observed).remove(0).outcome
    };
    let claim = |phase: &str| json!([{"metadata": {"namespace": "shop", "name": "data"}, "status": {"phase": phase}}]);
    assert!(refusal(with(json!([]))).contains("persistentvolumeclaim \"data\" not found"));
    assert!(refusal(with(claim("Pending"))).contains("pod has unbound immediate PersistentVolumeClaims"));
    assert_eq!(with(claim("Bound")), bound());
}

fn important(name: &str, priority: i32, cpu: &str) -> Arc<Pod> {
    let mut pod = (*asking(name, cpu)).clone();
    pod.spec.as_mut().unwrap().priority = Some(priority);
    Arc::new(pod)
}

fn here(pods: &[Arc<Pod>]) -> Vec<(Arc<Pod>, String)> {
    pods.iter().map(|pod| (pod.clone(), "here".to_owned())).collect()
}

#[test]
fn a_pod_that_matters_more_gets_room_from_as_few_as_possible() {
    let placed =
        here(&[important("low", 1, "500m"), important("lower", 0, "500m"), important("equal", 9, "1")]);
    let observed = |pod: Arc<Pod>| Observed {
        nodes: vec![node(json!({"status": {"allocatable": {"cpu": "2", "pods": "9"},
            "conditions": [{"type": "Ready", "status": "True"}]}}))],
        placed: placed.clone(),
        waiting: vec![pod, important("small", 0, "100m")],
        ..Observed::default()
    };
    let preempted = |cpu: &str| match plan(&observed(important("high", 9, cpu))).remove(0).outcome {
        Outcome::Preempt { node, victims, message } => {
            assert_eq!(
                (node.as_str(), message.as_str()),
                ("here", "0/1 nodes are available: 1 Insufficient cpu.")
            );
            victims
        }
        other => panic!("{other:?}"),
    };
    assert_eq!(preempted("300m"), ["lower"]);
    assert_eq!(preempted("900m"), ["low", "lower"]);
    // Those of the same priority stay.
    let why = refusal(plan(&observed(important("high", 9, "1500m"))).remove(0).outcome);
    assert!(why.contains("No preemption victims found"), "{why}");
    let mut modest = (*important("high", 9, "300m")).clone();
    modest.spec.as_mut().unwrap().preemption_policy = Some("Never".into());
    refusal(plan(&observed(Arc::new(modest))).remove(0).outcome);
    // What is made free is not given to another.
    refusal(plan(&observed(important("high", 9, "300m"))).remove(1).outcome);
}

#[test]
fn pods_whose_budget_is_used_up_are_the_last_to_go() {
    let labelled = |name: &str, priority: i32| {
        let mut pod = (*important(name, priority, "1")).clone();
        pod.metadata.namespace = Some("shop".into());
        pod.metadata.labels = Some([("app".to_owned(), name.to_owned())].into());
        Arc::new(pod)
    };
    let budget = |allowed: i32| {
        Arc::new(serde_json::from_value(json!({
            "metadata": {"name": "b", "namespace": "shop"},
            "spec": {"minAvailable": 1, "selector": {"matchLabels": {"app": "lower"}}},
            "status": {"disruptionsAllowed": allowed, "currentHealthy": 1, "desiredHealthy": 1, "expectedPods": 1}}))
            .unwrap())
    };
    let victims = |cpu: &str, budgets: Vec<Arc<PodDisruptionBudget>>| {
        let observed = Observed {
            nodes: vec![node(json!({}))],
            // The node has two CPUs: both together fill it.
            placed: here(&[labelled("low", 5), labelled("lower", 1)]),
            waiting: vec![important("high", 9, cpu)],
            budgets,
            ..Observed::default()
        };
        match plan(&observed).remove(0).outcome {
            Outcome::Preempt { victims, .. } => victims,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(victims("300m", vec![]), ["lower"]);
    assert_eq!(victims("300m", vec![budget(1)]), ["lower"]);
    assert_eq!(victims("300m", vec![budget(0)]), ["low"]);
    // What the more important pod needs it gets all the same.
    let mut both = victims("1500m", vec![budget(0)]);
    both.sort();
    assert_eq!(both, ["low", "lower"]);
}

#[test]
fn nobody_else_goes_while_those_who_were_asked_are_going() {
    let mut going = (*important("going", 0, "1")).clone();
    going.metadata.deletion_timestamp = Some(crate::clock::time(jiff::Timestamp::UNIX_EPOCH));
    let observed = Observed {
        nodes: vec![node(json!({}))],
        placed: here(&[Arc::new(going), important("low", 0, "1")]),
        waiting: vec![important("high", 9, "1")],
        ..Observed::default()
    };
    match plan(&observed).remove(0).outcome {
        Outcome::Preempt { victims, .. } => assert!(victims.is_empty(), "{victims:?}"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn pods_are_spread_as_evenly_as_they_ask() {
    let nodes: Vec<_> =
        ["a", "b"].map(|name| node(json!({"metadata": {"name": name, "labels": {"zone": name}}}))).into();
    let spread = |constraint: Value| {
        let mut full = json!({"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule",
                              "labelSelector": {"matchLabels": {"app": "web"}}});
        full.as_object_mut().unwrap().extend(constraint.as_object().unwrap().clone());
        pod("new", json!({"topologySpreadConstraints": [full], "nodeSelector": {}}))
    };
    let at = |counts: [usize; 2], pod: Arc<Pod>| {
        let on = |node: &'static str, count| {
            (0..count).map(move |n| (super::tests::pod(&format!("{node}{n}"), json!({})), node.to_owned()))
        };
        let placed = on("a", counts[0]).chain(on("b", counts[1])).collect();
        let observed = Observed { nodes: nodes.clone(), placed, waiting: vec![pod], ..Observed::default() };
        plan(&observed).remove(0).outcome
    };
    assert_eq!(at([1, 0], spread(json!({}))), Outcome::Bind("b".into()));
    assert_eq!(at([0, 1], spread(json!({}))), Outcome::Bind("a".into()));
    let why = refusal(at([1, 1], spread(json!({"topologyKey": "rack"}))));
    assert!(
        why.contains("2 node(s) didn't match pod topology spread constraints (missing required label)"),
        "{why}"
    );
    // More domains are wanted than there are.
    let why = refusal(at([1, 1], spread(json!({"minDomains": 3}))));
    assert!(why.contains("2 node(s) didn't match pod topology spread constraints."), "{why}");
    let wish = spread(json!({"minDomains": 3, "whenUnsatisfiable": "ScheduleAnyway"}));
    assert!(matches!(at([1, 1], wish), Outcome::Bind(_)));
}
