#![allow(clippy::unwrap_used)]

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn set(spec: Value) -> StatefulSet {
    let mut object = json!({
        "metadata": {"name": "db", "namespace": "shop", "uid": "s"},
        "spec": {"replicas": 3, "serviceName": "db", "podManagementPolicy": "OrderedReady",
                 "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": 0}},
                 "selector": {"matchLabels": {"app": "db"}},
                 "template": {"metadata": {"labels": {"app": "db"}},
                              "spec": {"containers": [{"name": "c", "image": "db:1"}]}},
                 "volumeClaimTemplates": [{"metadata": {"name": "data"}, "spec": {}}]},
    });
    for (field, value) in spec.as_object().unwrap() {
        object["spec"][field] = value.clone();
    }
    serde_json::from_value(object).unwrap()
}

struct World {
    set: StatefulSet,
    pods: Vec<Pod>,
    current: Version,
    update: Version,
    made: usize,
}

impl World {
    fn new(spec: Value) -> Self {
        let set = set(spec);
        let version = Version { name: "db-1".into(), template: set.spec.template.clone() };
        Self { set, pods: Vec::new(), current: version.clone(), update: version, made: 0 }
    }

    fn change_template(&mut self, name: &str) {
        self.update.name = name.into();
    }

    fn plan(&self) -> Plan {
        let pods: Vec<_> = self.pods.iter().cloned().map(Arc::new).collect();
        let now = Timestamp::from_second(1_800_000_000).unwrap();
        let (current, update) = (&self.current, &self.update);
        plan(&Observed { set: &self.set, pods: &pods, current, update, now })
    }

    fn step(&mut self) -> Plan {
        let plan = self.plan();
        for new in &plan.create {
            self.made += 1;
            let mut pod = new.pod.clone();
            pod.metadata.uid = Some(format!("u{}", self.made));
            pod.status = serde_json::from_value(json!({"phase": "Pending"})).unwrap();
            assert!(self.pods.iter().all(|p| p.name_any() != pod.name_any()), "two pods of one name");
            self.pods.push(pod);
        }
        for pod in &plan.delete {
            let doomed = self.pods.iter_mut().find(|p| p.uid() == pod.uid()).unwrap();
            doomed.metadata.deletion_timestamp = Some(crate::clock::time(Timestamp::UNIX_EPOCH));
        }
        if plan.status.current_revision.as_ref() == Some(&self.update.name) {
            self.current = self.update.clone();
        }
        self.set.status = Some(plan.status.clone());
        plan
    }

    fn become_ready(&mut self, pod: &str) {
        let pod = self.pods.iter_mut().find(|p| p.name_any() == pod).unwrap();
        pod.status = serde_json::from_value(json!({"phase": "Running", "conditions": [
            {"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}]}))
        .unwrap();
    }

    /// Everything becomes ready, and what is ending is gone.
    fn proceed(&mut self) {
        self.pods.retain(|p| !pods::is_terminating(p));
        for name in self.pods.iter().map(ResourceExt::name_any).collect::<Vec<_>>() {
            self.become_ready(&name);
        }
    }

    fn settle(&mut self) {
        for _ in 0..40 {
            self.step();
            self.proceed();
        }
        let rest = self.plan();
        assert!(rest.create.is_empty() && rest.delete.is_empty(), "it never comes to rest");
    }

    fn names(&self) -> Vec<String> {
        let mut names: Vec<_> = self.pods.iter().map(ResourceExt::name_any).collect();
        names.sort();
        names
    }

    fn versions(&self) -> Vec<(String, String)> {
        let mut all: Vec<_> =
            self.pods.iter().map(|p| (p.name_any(), revision(p).unwrap().clone())).collect();
        all.sort();
        all
    }
}

fn versions(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    expected.iter().map(|(a, b)| ((*a).into(), (*b).into())).collect()
}

#[test]
fn pods_come_one_after_the_other_and_go_in_reverse() {
    let mut world = World::new(json!({}));
    world.step();
    world.step();
    assert_eq!(world.names(), ["db-0"], "the second waits for the first");
    world.become_ready("db-0");
    world.step();
    assert_eq!(world.names(), ["db-0", "db-1"]);
    world.settle();
    assert_eq!(world.names(), ["db-0", "db-1", "db-2"]);
    world.set.spec.replicas = Some(1);
    world.step();
    world.step();
    let ending = |world: &World| -> Vec<String> {
        world.pods.iter().filter(|p| pods::is_terminating(p)).map(ResourceExt::name_any).collect()
    };
    assert_eq!(ending(&world), ["db-2"], "the second waits for the end of the third");
    world.settle();
    assert_eq!(world.names(), ["db-0"]);
}

#[test]
fn parallel_pods_come_and_go_together() {
    let mut world = World::new(json!({"podManagementPolicy": "Parallel"}));
    world.step();
    assert_eq!(world.names(), ["db-0", "db-1", "db-2"]);
    world.set.spec.replicas = Some(0);
    assert_eq!(world.step().delete.len(), 3);
}

#[test]
fn a_pod_has_a_name_a_host_name_and_claims_of_its_own() {
    let mut world = World::new(json!({"ordinals": {"start": 5}}));
    let plan = world.step();
    let new = &plan.create[0];
    assert_eq!(new.pod.name_any(), "db-5");
    assert_eq!(new.pod.labels()["statefulset.kubernetes.io/pod-name"], "db-5");
    assert_eq!(new.pod.labels()["apps.kubernetes.io/pod-index"], "5");
    let spec = new.pod.spec.as_ref().unwrap();
    assert_eq!((spec.hostname.as_deref(), spec.subdomain.as_deref()), (Some("db-5"), Some("db")));
    let volume = &spec.volumes.as_ref().unwrap()[0];
    assert_eq!(volume.persistent_volume_claim.as_ref().unwrap().claim_name, "data-db-5");
    assert_eq!(new.claims[0].name_any(), "data-db-5");
    assert_eq!(new.claims[0].labels()["app"], "db");
    assert!(new.claims[0].owner_references().is_empty(), "claims outlive the set");
    let policy = json!({"persistentVolumeClaimRetentionPolicy": {"whenDeleted": "Delete"}});
    assert_eq!(identity::claims(&set(policy), 0)[0].owner_references()[0].name, "db");
}

#[test]
fn claims_go_with_what_the_policy_names() {
    let ends = |policy: Value, is_condemned: bool| {
        let set = set(json!({"persistentVolumeClaimRetentionPolicy": policy}));
        let pod = serde_json::from_value(json!({"metadata": {"name": "db-2", "uid": "p"}})).unwrap();
        super::super::retention::owner(&set, &pod, is_condemned).map(|owner| (owner.kind, owner.uid))
    };
    let with = |kind: &str, uid: &str| Some((kind.to_owned(), uid.to_owned()));
    let policy = |deleted: &str, scaled: &str| json!({"whenDeleted": deleted, "whenScaled": scaled});
    assert_eq!(ends(policy("Retain", "Retain"), true), None);
    assert_eq!(ends(policy("Retain", "Delete"), false), None);
    assert_eq!(ends(policy("Retain", "Delete"), true), with("Pod", "p"));
    assert_eq!(ends(policy("Delete", "Retain"), true), with("StatefulSet", "s"));
    assert_eq!(ends(policy("Delete", "Delete"), false), with("StatefulSet", "s"));
    assert_eq!(ends(policy("Delete", "Delete"), true), with("Pod", "p"));
}

#[test]
fn names_that_only_look_alike_are_not_ours() {
    let set = set(json!({}));
    for (name, number) in [
        ("db-0", Some(0)),
        ("db-12", Some(12)),
        ("db-012", None),
        ("db-x", None),
        ("db-", None),
        ("db-+1", None),
        ("dbx-1", None),
        ("db-1-2", None),
        ("db-99999999999", None),
    ] {
        assert_eq!(identity::ordinal(&set, name), number, "{name}");
    }
}

#[test]
fn an_update_goes_from_the_last_to_the_first_one_at_a_time() {
    let mut world = World::new(json!({}));
    world.settle();
    world.change_template("db-2");
    let mut order = Vec::new();
    for _ in 0..12 {
        let plan = world.step();
        assert!(plan.delete.len() <= 1);
        order.extend(plan.delete.iter().map(|p| p.name_any()));
        world.proceed();
    }
    assert_eq!(order, ["db-2", "db-1", "db-0"]);
    let status = world.plan().status;
    assert_eq!(status.current_revision.as_deref(), Some("db-2"));
    assert_eq!((status.current_replicas, status.updated_replicas), (Some(3), Some(3)));
}

#[test]
fn a_partition_keeps_the_lower_numbers_as_they_are_also_when_they_come_back() {
    let strategy = json!({"type": "RollingUpdate", "rollingUpdate": {"partition": 2}});
    let mut world = World::new(json!({"updateStrategy": strategy}));
    world.settle();
    world.change_template("db-2");
    world.settle();
    let expected = versions(&[("db-0", "db-1"), ("db-1", "db-1"), ("db-2", "db-2")]);
    assert_eq!(world.versions(), expected);
    world.pods.retain(|p| p.name_any() != "db-0");
    world.settle();
    assert_eq!(world.versions(), expected);
    let status = world.plan().status;
    assert_eq!((status.current_replicas, status.updated_replicas), (Some(2), Some(1)));
    assert_eq!(status.current_revision.as_deref(), Some("db-1"));
}

#[test]
fn pods_are_replaced_only_when_deleted_if_asked_so() {
    let mut world = World::new(json!({"updateStrategy": {"type": "OnDelete"}}));
    world.settle();
    world.change_template("db-2");
    world.settle();
    assert_eq!(world.versions(), versions(&[("db-0", "db-1"), ("db-1", "db-1"), ("db-2", "db-1")]));
    world.pods.retain(|p| p.name_any() != "db-1");
    world.settle();
    assert_eq!(world.versions(), versions(&[("db-0", "db-1"), ("db-1", "db-2"), ("db-2", "db-1")]));
}

#[test]
fn a_failed_pod_is_replaced_under_its_name() {
    let mut world = World::new(json!({}));
    world.settle();
    world.pods[1].status = serde_json::from_value(json!({"phase": "Failed"})).unwrap();
    let failed = world.pods[1].uid();
    world.settle();
    assert_eq!(world.names(), ["db-0", "db-1", "db-2"]);
    assert!(world.pods.iter().all(|p| p.uid() != failed));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Whatever is asked for meanwhile and whatever breaks: at most one pod is away by our doing, and in
    /// the end all pods are there, of the newest template.
    #[test]
    fn an_ordered_set_never_takes_two_pods_at_a_time(
        luck in proptest::collection::vec((0..12u8, 1..6i32, any::<prop::sample::Index>()), 1..60),
    ) {
        let mut world = World::new(json!({}));
        world.settle();
        for (i, (event, size, which)) in luck.iter().enumerate() {
            match event {
                0 => world.change_template(&format!("db-{}", i + 2)),
                1 => world.set.spec.replicas = Some(*size),
                2 | 3 if !world.pods.is_empty() => {
                    let pod = which.index(world.pods.len());
                    world.pods[pod].status = serde_json::from_value(json!({"phase": "Running"})).unwrap();
                }
                _ => world.proceed(),
            }
            let ending = world.pods.iter().filter(|p| pods::is_terminating(p)).count();
            let plan = world.step();
            prop_assert!(plan.delete.len() + plan.create.len() <= 1);
            prop_assert!(plan.delete.is_empty() || ending == 0);
        }
        world.settle();
        let wanted = usize::try_from(world.set.spec.replicas.unwrap()).unwrap();
        prop_assert_eq!(world.pods.len(), wanted);
        prop_assert!(world.versions().iter().all(|(_, version)| *version == world.update.name));
    }
}
