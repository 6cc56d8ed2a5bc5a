//! What both sides are asked to do.

use serde_json::{Value, json};

type Holds = Box<dyn Fn(&Value) -> bool + Send + Sync>;

/// Steps in a namespace of their own.
pub(crate) struct Story {
    pub(crate) name: &'static str,
    pub(crate) steps: Vec<Step>,
}

/// Requests, and what is waited for before both sides are compared.
pub(crate) struct Step {
    pub(crate) title: &'static str,
    /// Method, place (`plural` or `plural/name`) and body.
    pub(crate) requests: Vec<(&'static str, String, Option<Value>)>,
    pub(crate) until: Option<(String, Holds)>,
}

fn step(title: &'static str) -> Step {
    Step { title, requests: vec![], until: None }
}

impl Step {
    fn create(mut self, plural: &str, body: Value) -> Self {
        self.requests.push(("POST", plural.to_owned(), Some(body)));
        self
    }

    fn patch(mut self, place: &str, body: Value) -> Self {
        self.requests.push(("PATCH", place.to_owned(), Some(body)));
        self
    }

    fn delete(mut self, place: &str) -> Self {
        let body = json!({"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Background"});
        self.requests.push(("DELETE", place.to_owned(), Some(body)));
        self
    }

    fn until(mut self, place: &str, holds: impl Fn(&Value) -> bool + Send + Sync + 'static) -> Self {
        self.until = Some((place.to_owned(), Box::new(holds)));
        self
    }

    /// The controller has seen the newest version, and counts so many ready ones of the newest template alone.
    fn rolled_out(self, place: &str, count: i64) -> Self {
        self.until(place, move |o| {
            let number = |field: &str| o["status"][field].as_i64().unwrap_or(0);
            o["status"]["observedGeneration"] == o["metadata"]["generation"]
                && number("readyReplicas") == count
                && number("replicas") == count
                && number("updatedReplicas") == count
        })
    }

    fn condition(self, place: &str, kind: &'static str, reason: &'static str) -> Self {
        self.until(place, move |o| {
            let conditions = o["status"]["conditions"].as_array();
            conditions.is_some_and(|all| {
                all.iter().any(|c| c["type"] == kind && (reason.is_empty() || c["reason"] == reason))
            })
        })
    }

    fn gone(self, place: &str, field: &'static str) -> Self {
        self.until(place, move |o| o[field].as_array().is_some_and(Vec::is_empty))
    }
}

fn template(image: &str) -> Value {
    json!({"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "main", "image": image}]}})
}

fn image(image: &str) -> Value {
    json!({"spec": {"template": {"spec": {"containers": [{"name": "main", "image": image}]}}}})
}

fn workload(kind: &str, spec: Value) -> Value {
    let mut object = json!({"apiVersion": "apps/v1", "kind": kind, "metadata": {"name": "web"},
        "spec": {"selector": {"matchLabels": {"app": "web"}}, "template": template("web:1")}});
    for (field, value) in spec.as_object().unwrap() {
        object["spec"][field] = value.clone();
    }
    object
}

fn job(name: &str, image: &str, spec: Value) -> Value {
    let mut object = json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name}, "spec": {
        "template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "main", "image": image}]}}}});
    for (field, value) in spec.as_object().unwrap() {
        object["spec"][field] = value.clone();
    }
    object
}

pub(crate) fn all() -> Vec<Story> {
    vec![
        deployment(),
        recreate(),
        deadline(),
        replica_set(),
        stateful_set(),
        parallel(),
        daemon_set(),
        jobs(),
        service(),
        budget(),
    ]
}

fn deployment() -> Story {
    const WEB: &str = "deployments/web";
    let steps = vec![
        step("a deployment")
            .create("deployments", workload("Deployment", json!({"replicas": 3})))
            .rolled_out(WEB, 3),
        step("another image").patch(WEB, image("web:2")).rolled_out(WEB, 3),
        step("more replicas").patch(WEB, json!({"spec": {"replicas": 5}})).rolled_out(WEB, 5),
        step("a change while paused")
            .patch(WEB, json!({"spec": {"paused": true}}))
            .patch(WEB, image("web:3"))
            .condition(WEB, "Progressing", "DeploymentPaused"),
        step("resumed").patch(WEB, json!({"spec": {"paused": false}})).rolled_out(WEB, 5),
        step("back to the first").patch(WEB, image("web:1")).rolled_out(WEB, 5),
        step("fewer revisions")
            .patch(WEB, json!({"spec": {"revisionHistoryLimit": 1}}))
            .until("replicasets", |list| list["items"].as_array().is_some_and(|items| items.len() == 2)),
        step("none").patch(WEB, json!({"spec": {"replicas": 0}})).until(WEB, |o| {
            o["status"]["observedGeneration"] == o["metadata"]["generation"]
                && o["status"]["replicas"].is_null()
        }),
        step("deleted").delete(WEB).gone("replicasets", "items"),
    ];
    Story { name: "deployment", steps }
}

fn recreate() -> Story {
    const WEB: &str = "deployments/web";
    let recreate = workload("Deployment", json!({"replicas": 2, "strategy": {"type": "Recreate"}}));
    let steps = vec![
        step("a deployment").create("deployments", recreate).rolled_out(WEB, 2),
        step("another image").patch(WEB, image("web:2")).rolled_out(WEB, 2),
    ];
    Story { name: "recreate", steps }
}

fn deadline() -> Story {
    const WEB: &str = "deployments/web";
    let short =
        workload("Deployment", json!({"replicas": 4, "progressDeadlineSeconds": 2, "minReadySeconds": 1}));
    let steps = vec![
        step("a deployment").create("deployments", short).condition(
            WEB,
            "Progressing",
            "NewReplicaSetAvailable",
        ),
        step("a broken image").patch(WEB, image("web:broken")).condition(
            WEB,
            "Progressing",
            "ProgressDeadlineExceeded",
        ),
        step("mended").patch(WEB, image("web:2")).condition(WEB, "Progressing", "NewReplicaSetAvailable"),
    ];
    Story { name: "deadline", steps }
}

fn replica_set() -> Story {
    const WEB: &str = "replicasets/web";
    let orphan = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "orphan", "labels": {"app": "web"}},
                        "spec": {"containers": [{"name": "main", "image": "web:0"}]}});
    let ready = |count: i64| move |o: &Value| o["status"]["readyReplicas"].as_i64().unwrap_or(0) == count;
    let steps = vec![
        step("a pod of nobody")
            .create("pods", orphan)
            .until("pods/orphan", |o| o["status"]["phase"] == "Running"),
        step("is adopted")
            .create("replicasets", workload("ReplicaSet", json!({"replicas": 2})))
            .until(WEB, ready(2)),
        step("is released").patch("pods/orphan", json!({"metadata": {"labels": {"app": "other"}}})).until(
            "pods",
            |list| {
                let all = list["items"].as_array();
                let ready = |p: &&Value| {
                    let all = p["status"]["conditions"].as_array();
                    all.is_some_and(|all| all.iter().any(|c| c["type"] == "Ready" && c["status"] == "True"))
                };
                all.is_some_and(|all| all.iter().filter(ready).count() == 3)
            },
        ),
        step("fewer")
            .patch(WEB, json!({"spec": {"replicas": 1}}))
            .until(WEB, |o| o["status"]["replicas"] == 1),
    ];
    Story { name: "replica-set", steps }
}

fn stateful_set() -> Story {
    const WEB: &str = "statefulsets/web";
    let set = workload(
        "StatefulSet",
        json!({"replicas": 3, "serviceName": "web", "volumeClaimTemplates": [
        {"metadata": {"name": "data"}, "spec": {"accessModes": ["ReadWriteOnce"],
                                                "resources": {"requests": {"storage": "1Mi"}}}}]}),
    );
    let partition =
        |number: i32| json!({"spec": {"updateStrategy": {"rollingUpdate": {"partition": number}}}});
    let settled = |updated: i64| {
        move |o: &Value| {
            let number = |field: &str| o["status"][field].as_i64().unwrap_or(0);
            o["status"]["observedGeneration"] == o["metadata"]["generation"]
                && number("readyReplicas") == 3
                && number("updatedReplicas") == updated
        }
    };
    let steps = vec![
        step("a set").create("statefulsets", set).rolled_out(WEB, 3),
        step("an update above the partition")
            .patch(WEB, partition(2))
            .patch(WEB, image("web:2"))
            .until(WEB, settled(1)),
        step("and of all").patch(WEB, partition(0)).until(WEB, |o| {
            o["status"]["currentRevision"] == o["status"]["updateRevision"]
                && o["status"]["readyReplicas"] == 3
                && o["status"]["observedGeneration"] == o["metadata"]["generation"]
        }),
        step("fewer")
            .patch(WEB, json!({"spec": {"replicas": 1}}))
            .until(WEB, |o| o["status"]["replicas"] == 1),
        step("more again")
            .patch(WEB, json!({"spec": {"replicas": 2}}))
            .until(WEB, |o| o["status"]["readyReplicas"] == 2),
    ];
    Story { name: "stateful-set", steps }
}

fn parallel() -> Story {
    const WEB: &str = "statefulsets/web";
    let set = workload(
        "StatefulSet",
        json!({"replicas": 3, "serviceName": "web", "podManagementPolicy": "Parallel",
                                             "updateStrategy": {"type": "OnDelete"}}),
    );
    let steps = vec![
        step("a set").create("statefulsets", set).rolled_out(WEB, 3),
        step("an update that waits")
            .patch(WEB, image("web:2"))
            .until(WEB, |o| o["status"]["currentRevision"] != o["status"]["updateRevision"]),
        step("a pod is deleted")
            .delete("pods/web-1")
            .until(WEB, |o| o["status"]["updatedReplicas"] == 1 && o["status"]["readyReplicas"] == 3),
    ];
    Story { name: "parallel-on-delete", steps }
}

fn daemon_set() -> Story {
    const WEB: &str = "daemonsets/web";
    let ready = |o: &Value| {
        o["status"]["observedGeneration"] == o["metadata"]["generation"]
            && o["status"]["numberAvailable"] == 1
            && o["status"]["updatedNumberScheduled"] == 1
    };
    let steps = vec![
        step("a set").create("daemonsets", workload("DaemonSet", json!({}))).until(WEB, ready),
        step("another image").patch(WEB, image("web:2")).until(WEB, ready),
        step("no node fits")
            .patch(WEB, json!({"spec": {"template": {"spec": {"nodeSelector": {"disk": "none"}}}}}))
            .until(WEB, |o| {
                o["status"]["observedGeneration"] == o["metadata"]["generation"]
                    && o["status"]["desiredNumberScheduled"] == 0
            }),
    ];
    Story { name: "daemon-set", steps }
}

fn jobs() -> Story {
    let steps = vec![
        step("one that succeeds")
            .create("jobs", job("good", "task:good", json!({"completions": 3, "parallelism": 2})))
            .condition("jobs/good", "Complete", ""),
        step("one that fails")
            .create("jobs", job("bad", "task:fails", json!({"backoffLimit": 0})))
            .condition("jobs/bad", "Failed", "BackoffLimitExceeded"),
        step("one that takes too long")
            // Long enough for its pod to be known when the time is over, as only then it counts as failed.
            .create("jobs", job("slow", "task:hangs", json!({"activeDeadlineSeconds": 12})))
            .condition("jobs/slow", "Failed", "DeadlineExceeded"),
        step("a queue").create("jobs", job("queue", "task:good", json!({"parallelism": 2}))).condition(
            "jobs/queue",
            "Complete",
            "",
        ),
        step("deleted")
            .delete("jobs/good")
            .until("jobs", |list| list["items"].as_array().is_some_and(|items| items.len() == 3)),
    ];
    Story { name: "jobs", steps }
}

fn service() -> Story {
    let service = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web", "labels": {"tier": "front"}},
        "spec": {"selector": {"app": "web"}, "ports": [{"name": "http", "protocol": "TCP", "port": 80, "targetPort": 8080},
                                                        {"name": "other", "protocol": "TCP", "port": 81, "targetPort": "named"}]}});
    let mut web = workload("Deployment", json!({"replicas": 2}));
    web["spec"]["template"]["spec"]["containers"][0]["ports"] =
        json!([{"name": "named", "containerPort": 9090, "protocol": "TCP"}]);
    let headless = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "headless"},
        "spec": {"clusterIP": "None", "selector": {"app": "nobody"}, "ports": [{"protocol": "TCP", "port": 80}]}});
    let slices = |list: &Value, service: &str| {
        let all = list["items"].as_array().into_iter().flatten();
        all.filter(|s| s["metadata"]["labels"]["kubernetes.io/service-name"] == service).count()
    };
    let endpoints = |count: usize| {
        move |list: &Value| {
            let all = list["items"].as_array().into_iter().flatten();
            let of = all.filter(|s| s["metadata"]["labels"]["kubernetes.io/service-name"] == "web");
            of.map(|s| s["endpoints"].as_array().map_or(0, Vec::len)).sum::<usize>() == count
        }
    };
    let steps = vec![
        step("without pods").create("services", service).create("services", headless).until("endpointslices", move |list| {
            slices(list, "web") == 1 && slices(list, "headless") > 0
        }),
        step("with pods").create("deployments", web).until("endpointslices", endpoints(2)),
        step("one fewer").patch("deployments/web", json!({"spec": {"replicas": 1}})).until("endpointslices", endpoints(1)),
        step("other labels").patch("services/web", json!({"metadata": {"labels": {"tier": "back"}}, "spec": {"ports": [{"name": "http", "protocol": "TCP", "port": 80, "targetPort": 8081}]}})).until("endpointslices", |list| {
            list["items"].as_array().into_iter().flatten().any(|s| s["metadata"]["labels"]["tier"] == "back" && s["ports"][0]["port"] == 8081)
        }),
        step("deleted").delete("services/web").until("endpointslices", move |list| slices(list, "web") == 0),
    ];
    Story { name: "service", steps }
}

fn budget() -> Story {
    let budget = json!({"kind": "PodDisruptionBudget", "metadata": {"name": "web"},
        "spec": {"minAvailable": "50%", "selector": {"matchLabels": {"app": "web"}}}});
    let healthy = |o: &Value| {
        o["status"]["currentHealthy"] == 3 && o["status"]["observedGeneration"] == o["metadata"]["generation"]
    };
    let steps = vec![
        step("a deployment with a budget")
            .create("deployments", workload("Deployment", json!({"replicas": 3})))
            .create("poddisruptionbudgets", budget)
            .until("poddisruptionbudgets/web", healthy),
    ];
    Story { name: "budget", steps }
}
