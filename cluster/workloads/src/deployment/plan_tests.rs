#![allow(clippy::unwrap_used)]

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + seconds).unwrap()
}

fn deployment(spec: Value) -> Deployment {
    let mut object = json!({
        "metadata": {"name": "web", "namespace": "shop", "uid": "d", "generation": 1},
        "spec": {"replicas": 3, "progressDeadlineSeconds": 600, "revisionHistoryLimit": 10,
                 "strategy": {"type": "RollingUpdate",
                              "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "25%"}},
                 "selector": {"matchLabels": {"app": "web"}},
                 "template": {"metadata": {"labels": {"app": "web"}},
                              "spec": {"containers": [{"name": "c", "image": "web:1"}]}}},
    });
    for (field, value) in spec.as_object().unwrap() {
        object["spec"][field] = value.clone();
    }
    serde_json::from_value(object).unwrap()
}

fn image(deployment: &mut Deployment, image: &str) {
    deployment.spec.template.spec.as_mut().unwrap().containers[0].image = Some(image.into());
    deployment.metadata.generation = deployment.metadata.generation.map(|g| g + 1);
}

/// The part of a cluster that a Deployment sees: its sets, whose pods become ready when the test says so.
struct World {
    deployment: Deployment,
    sets: Vec<ReplicaSet>,
    pods: Vec<Arc<Pod>>,
    clock: i64,
}

impl World {
    fn new(deployment: Deployment) -> Self {
        Self { deployment, sets: Vec::new(), pods: Vec::new(), clock: 0 }
    }

    fn plan(&self) -> Plan {
        let sets = self.sets.iter().cloned().map(Arc::new).collect();
        let (pods, now) = (self.pods.clone(), at(self.clock));
        plan(&Observed { deployment: &self.deployment, sets, pods, now })
    }

    /// Plans, and does what was planned.
    fn step(&mut self) -> Plan {
        let plan = self.plan();
        for action in &plan.actions {
            match action {
                Action::Create(set) => {
                    self.clock += 1;
                    let mut set = (**set).clone();
                    set.metadata.uid = Some(format!("uid-{}", self.clock));
                    set.metadata.generation = Some(1);
                    set.metadata.creation_timestamp = Some(crate::clock::time(at(self.clock)));
                    self.sets.push(set);
                }
                Action::Update(update) => {
                    let set = self.set(&update.set.name_any());
                    if set.spec.replicas != Some(update.replicas) {
                        set.metadata.generation = set.metadata.generation.map(|g| g + 1);
                    }
                    set.spec.replicas = Some(update.replicas);
                    set.metadata.annotations = Some(update.annotations.clone());
                }
                Action::Delete(set) => self.sets.retain(|s| s.metadata.uid != set.metadata.uid),
            }
        }
        if let Some(annotations) = &plan.annotations {
            self.deployment.metadata.annotations = Some(annotations.clone());
        }
        self.deployment.status = Some(plan.status.clone());
        plan
    }

    fn set(&mut self, name: &str) -> &mut ReplicaSet {
        self.sets.iter_mut().find(|s| s.name_any() == name).unwrap()
    }

    /// The ReplicaSets follow: each has the pods it asks for, the given number of them available.
    fn follow(&mut self, available: impl Fn(usize, i32, i32) -> i32) {
        for (i, set) in self.sets.iter_mut().enumerate() {
            let wanted = set.spec.replicas.unwrap();
            let before = set.status.as_ref().and_then(|s| s.available_replicas).unwrap_or(0);
            // Those that are not available go first.
            let available = available(i, before.min(wanted), wanted);
            set.status = serde_json::from_value(json!({
                "replicas": wanted, "readyReplicas": available, "availableReplicas": available,
                "observedGeneration": set.metadata.generation}))
            .unwrap();
        }
    }

    fn everything_becomes_available(&mut self) {
        self.follow(|_, _, wanted| wanted);
    }

    /// Steps until nothing changes; everything becomes available between the steps.
    fn settle(&mut self) {
        for _ in 0..100 {
            let before = (self.sets.clone(), self.deployment.clone());
            self.step();
            self.everything_becomes_available();
            if before == (self.sets.clone(), self.deployment.clone()) {
                return;
            }
        }
        panic!("it never comes to rest: {:#?}", self.sets);
    }

    fn sizes(&self) -> Vec<i32> {
        self.sets.iter().map(|s| s.spec.replicas.unwrap()).collect()
    }

    fn revisions(&self) -> Vec<&str> {
        self.sets.iter().map(|s| s.annotations()[REVISION].as_str()).collect()
    }

    fn condition(&self, kind: &str) -> (String, String, String) {
        let status = self.deployment.status.as_ref().unwrap();
        let conditions = status.conditions.as_ref().unwrap();
        let found = conditions.iter().find(|c| c.type_.as_deref() == Some(kind)).unwrap().clone();
        (found.status.unwrap(), found.reason.unwrap(), found.message.unwrap())
    }
}

fn texts(expected: [&str; 3]) -> (String, String, String) {
    (expected[0].into(), expected[1].into(), expected[2].into())
}

#[test]
fn a_new_deployment_makes_one_set_that_carries_hash_revision_and_owner() {
    let mut world = World::new(deployment(json!({"minReadySeconds": 5})));
    world.deployment.metadata.annotations = Some(
        [
            ("team".into(), "a".into()),
            ("kubectl.kubernetes.io/last-applied-configuration".into(), "{}".into()),
        ]
        .into(),
    );
    let plan = world.step();
    let [Action::Create(set)] = &plan.actions[..] else { panic!("{plan:?}") };
    let hash = &set.labels()[sets::HASH];
    assert_eq!(set.name_any(), format!("web-{hash}"));
    assert_eq!(set.spec.selector.match_labels.as_ref().unwrap()[sets::HASH], *hash);
    assert_eq!(set.spec.replicas, Some(3));
    assert_eq!(set.spec.min_ready_seconds, Some(5));
    assert_eq!(set.owner_references()[0].uid, "d");
    assert_eq!(
        set.annotations().iter().map(|(k, v)| format!("{k}={v}")).collect::<Vec<_>>(),
        [
            "deployment.kubernetes.io/desired-replicas=3",
            "deployment.kubernetes.io/max-replicas=4",
            "deployment.kubernetes.io/revision=1",
            "team=a",
        ]
    );
    assert_eq!(plan.annotations.unwrap()[REVISION], "1");
    assert_eq!(
        world.condition("Progressing"),
        texts(["True", "NewReplicaSetCreated", &format!("Created new replica set \"web-{hash}\"")])
    );
    assert_eq!(
        world.condition("Available"),
        texts(["False", "MinimumReplicasUnavailable", "Deployment does not have minimum availability."])
    );
}

#[test]
fn a_finished_rollout_says_so() {
    let mut world = World::new(deployment(json!({})));
    world.settle();
    let name = world.sets[0].name_any();
    assert_eq!(
        world.condition("Progressing"),
        texts([
            "True",
            "NewReplicaSetAvailable",
            &format!("ReplicaSet \"{name}\" has successfully progressed.")
        ])
    );
    assert_eq!(
        world.condition("Available"),
        texts(["True", "MinimumReplicasAvailable", "Deployment has minimum availability."])
    );
    let status = world.deployment.status.as_ref().unwrap();
    assert_eq!(
        (status.replicas, status.updated_replicas, status.available_replicas, status.unavailable_replicas),
        (Some(3), Some(3), Some(3), None)
    );
    assert_eq!(status.observed_generation, Some(1));
}

#[test]
fn a_rolling_update_takes_turns_within_surge_and_availability() {
    let mut world = World::new(deployment(json!({"replicas": 4})));
    world.settle();
    image(&mut world.deployment, "web:2");
    let mut sizes = Vec::new();
    for _ in 0..12 {
        world.step();
        world.everything_becomes_available();
        if sizes.last() != Some(&world.sizes()) {
            sizes.push(world.sizes());
        }
    }
    assert_eq!(sizes, [[4, 1], [2, 1], [2, 3], [0, 3], [0, 4]].map(|s| s.to_vec()));
    assert_eq!(world.revisions(), ["1", "2"]);
}

#[test]
fn an_update_whose_pods_never_become_ready_keeps_the_old_ones() {
    let mut world = World::new(deployment(json!({"replicas": 4})));
    world.settle();
    image(&mut world.deployment, "web:broken");
    for _ in 0..12 {
        world.step();
        world.follow(|i, before, wanted| if i == 0 { wanted } else { before });
    }
    // One may be unavailable, one more than wanted may be there.
    assert_eq!(world.sizes(), [3, 2]);
    assert_eq!(world.condition("Progressing").1, "ReplicaSetUpdated");
    world.clock += 602;
    world.step();
    let name = world.sets[1].name_any();
    assert_eq!(
        world.condition("Progressing"),
        texts([
            "False",
            "ProgressDeadlineExceeded",
            &format!("ReplicaSet \"{name}\" has timed out progressing.")
        ])
    );
    // It is noticed without anything happening, since the plan asks to be looked at again.
    world.deployment.status = None;
    world.step();
    image(&mut world.deployment, "web:3");
    assert_eq!(world.step().again, Some(Duration::from_secs(601)));
}

#[test]
fn old_pods_that_are_broken_make_room_first() {
    let mut world = World::new(deployment(json!({"replicas": 4})));
    world.settle();
    world.follow(|_, _, _| 1);
    image(&mut world.deployment, "web:2");
    world.step();
    world.follow(|i, before, _| if i == 0 { before } else { 0 });
    world.step();
    assert_eq!(world.sizes(), [3, 1]);
}

#[test]
fn recreate_ends_every_old_pod_before_the_first_new_one() {
    let mut world = World::new(deployment(json!({"strategy": {"type": "Recreate"}})));
    world.settle();
    image(&mut world.deployment, "web:2");
    world.step();
    assert_eq!(world.sizes(), [0]);
    // Scaled down, but its controller has not answered.
    world.step();
    assert_eq!(world.sizes(), [0]);
    world.everything_becomes_available();
    let uid = world.sets[0].metadata.uid.clone().unwrap();
    let ending = json!({"metadata": {"name": "p", "deletionTimestamp": "2027-01-01T00:00:00Z",
        "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "x", "uid": uid, "controller": true}]}});
    world.pods = vec![serde_json::from_value(ending).unwrap()];
    world.step();
    assert_eq!(world.sizes(), [0], "a pod is still ending");
    world.pods.clear();
    world.step();
    assert_eq!(world.sizes(), [0, 3]);
}

#[test]
fn going_back_to_an_old_template_uses_its_set_and_renumbers_it() {
    let mut world = World::new(deployment(json!({})));
    world.settle();
    image(&mut world.deployment, "web:2");
    world.settle();
    image(&mut world.deployment, "web:1");
    world.settle();
    assert_eq!(world.sizes(), [3, 0]);
    assert_eq!(world.revisions(), ["3", "2"]);
    assert_eq!(world.sets[0].annotations()[sets::REVISION_HISTORY], "1");
    assert_eq!(world.deployment.annotations()[REVISION], "3");
}

#[test]
fn a_paused_deployment_scales_but_does_not_roll() {
    let mut world = World::new(deployment(json!({})));
    world.settle();
    world.deployment.spec.paused = Some(true);
    image(&mut world.deployment, "web:2");
    world.deployment.spec.replicas = Some(5);
    world.settle();
    assert_eq!(world.sizes(), [5]);
    assert_eq!(
        world.condition("Progressing"),
        texts(["Unknown", "DeploymentPaused", "Deployment is paused"])
    );
    world.deployment.spec.paused = None;
    world.step();
    assert_eq!(world.condition("Progressing").1, "NewReplicaSetCreated");
    world.settle();
    assert_eq!(world.sizes(), [0, 5]);
    assert_eq!(world.condition("Progressing").1, "NewReplicaSetAvailable");
}

#[test]
fn scaling_in_the_middle_of_a_rollout_is_shared() {
    let mut world = World::new(deployment(json!({"replicas": 10,
        "strategy": {"rollingUpdate": {"maxSurge": 3, "maxUnavailable": 2}}})));
    world.settle();
    image(&mut world.deployment, "web:broken");
    for _ in 0..5 {
        world.step();
        world.follow(|i, before, wanted| if i == 0 { wanted } else { before });
    }
    assert_eq!(world.sizes(), [8, 5]);
    world.deployment.spec.replicas = Some(15);
    world.step();
    // 15 and 3 in all; 8 of 13 and 5 of 13 of that.
    assert_eq!(world.sizes(), [11, 7]);
}

#[test]
fn only_so_many_old_revisions_are_kept() {
    let mut world = World::new(deployment(json!({"revisionHistoryLimit": 2})));
    world.settle();
    for version in 2..6 {
        image(&mut world.deployment, &format!("web:{version}"));
        world.settle();
    }
    assert_eq!(world.revisions(), ["3", "4", "5"]);
    world.deployment.spec.revision_history_limit = Some(0);
    world.settle();
    assert_eq!(world.revisions(), ["5"]);
}

#[test]
fn a_failure_to_make_pods_shows_at_the_deployment() {
    let mut world = World::new(deployment(json!({})));
    world.step();
    world.sets[0].status = serde_json::from_value(json!({"replicas": 0, "conditions": [
        {"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": "no quota"}]}))
    .unwrap();
    world.step();
    assert_eq!(world.condition("ReplicaFailure"), texts(["True", "FailedCreate", "no quota"]));
    world.settle();
    let conditions = world.deployment.status.unwrap().conditions.unwrap();
    assert!(conditions.iter().all(|c| c.type_.as_deref() != Some("ReplicaFailure")));
}

#[test]
fn a_deployment_that_is_being_deleted_is_left_alone() {
    let mut world = World::new(deployment(json!({})));
    world.settle();
    image(&mut world.deployment, "web:2");
    world.deployment.metadata.deletion_timestamp = Some(crate::clock::time(at(0)));
    assert!(world.plan().actions.is_empty());
}

fn amount() -> impl Strategy<Value = Value> {
    prop_oneof![(0..6).prop_map(|n| json!(n)), (0..=100).prop_map(|p| json!(format!("{p}%")))]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Whatever becomes ready or fails, and whatever is rolled out meanwhile: there are never more pods than
    /// wanted and surge, a step never takes away availability that must be kept, and in the end it is done.
    #[test]
    fn a_rolling_update_keeps_its_bounds_at_every_step(
        replicas in 1..12i32,
        surge in amount(),
        unavailable in amount(),
        luck in proptest::collection::vec((0..=4i32, 0..=4i32, 0..20u8), 1..60),
    ) {
        let mut world = World::new(deployment(json!({"replicas": replicas,
            "strategy": {"rollingUpdate": {"maxSurge": surge, "maxUnavailable": unavailable}}})));
        world.settle();
        let most = replicas + sets::surge(&world.deployment);
        let least = replicas - sets::unavailable(&world.deployment);
        let available = |world: &World| -> i32 {
            let of = |s: &ReplicaSet| s.status.as_ref().and_then(|s| s.available_replicas).unwrap_or(0);
            // What is left of each after its size was changed.
            world.sets.iter().map(|s| of(s).min(s.spec.replicas.unwrap())).sum()
        };
        for (i, (gains, loses, event)) in luck.iter().enumerate() {
            if *event == 0 || i == 0 {
                image(&mut world.deployment, &format!("web:{}", i % 3 + 2));
            }
            let before = available(&world);
            world.step();
            let total: i32 = world.sizes().iter().sum();
            prop_assert!(total <= most, "{total} pods, at most {most}: {:?}", world.sizes());
            let after = available(&world);
            prop_assert!(after >= before.min(least), "{before} were available, now {after}, least {least}");
            // Pods become ready, and a few break.
            world.follow(|s, before, wanted| {
                let change = if s % 2 == 0 { gains - loses / 3 } else { gains / 2 };
                (before + change).clamp(0, wanted)
            });
        }
        world.settle();
        prop_assert_eq!(world.sizes().iter().sum::<i32>(), replicas);
        prop_assert_eq!(world.condition("Progressing").1, "NewReplicaSetAvailable");
    }

    /// Sizes may change at any time: in the end there is what was asked for last.
    #[test]
    fn scaling_at_any_time_ends_at_the_size_that_was_asked_for_last(
        sizes in proptest::collection::vec((0..15i32, 0..3u8), 1..12),
    ) {
        let mut world = World::new(deployment(json!({})));
        world.settle();
        for (i, (size, steps)) in sizes.iter().enumerate() {
            world.deployment.spec.replicas = Some(*size);
            if i % 3 == 0 {
                image(&mut world.deployment, &format!("web:{i}"));
            }
            for _ in 0..*steps {
                world.step();
                world.follow(|_, before, wanted| (before + 1).min(wanted));
            }
        }
        world.settle();
        prop_assert_eq!(world.sizes().iter().sum::<i32>(), sizes.last().unwrap().0);
    }
}
