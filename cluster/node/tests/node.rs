//! The node with the API: pods that are applied really run, and what they do shows in the API.
#![allow(clippy::unwrap_used)]

mod support;

use futures::StreamExt;
use k8s_openapi::api::core::v1::{ConfigMap, Event, Node as ApiNode, PersistentVolumeClaim, Secret, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams};
use seaway_node::image::{ImageConfig, LayoutWriter};
use seaway_node::{ExecOptions, LogOptions};
use serde_json::{Value, json};
use std::time::Duration;
use support::cluster::{Cluster, container, pod};
use support::{busybox_layer, programs_layer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const SLEEP: &str = "trap 'exit 0' TERM; while true; do sleep 0.1; done";

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_runs_is_seen_in_the_api_and_goes_without_a_trace() {
    let Some(cluster) = Cluster::start().await else { return };
    let status = Api::<ApiNode>::all(cluster.admin()).get(&cluster.name).await.unwrap().status.unwrap();
    assert!(status.conditions.unwrap().iter().any(|c| c.type_ == "Ready" && c.status == "True"));
    cluster.run("web", pod(&format!("echo started; echo oops >&2; {SLEEP}"))).await;
    let pod = cluster.until_ready("web").await;
    assert_eq!(pod["status"]["phase"], "Running");
    assert!(pod["status"]["podIP"].as_str().unwrap().starts_with("10.244.0."));
    let state = &pod["status"]["containerStatuses"][0];
    assert!(state["imageID"].as_str().unwrap().starts_with("registry.test/busybox@sha256:"), "{state:#}");
    assert!(state["containerID"].as_str().unwrap().starts_with("seaway://"));
    let log = cluster.logs("web", LogOptions::default()).await;
    assert!(log.contains("started\n") && log.contains("oops\n"), "{log}");
    assert_eq!(cluster.exec("web", "hostname; exit 3").await, (3, "web\n".to_owned()));
    for reason in ["Pulling", "Pulled", "Created", "Started"] {
        cluster.until_event("web", reason).await;
    }
    let data = cluster.folder.path().join("node");
    assert_eq!(std::fs::read_dir(data.join("pods")).unwrap().count(), 1);
    cluster.pods().delete("web", &DeleteParams::default()).await.unwrap();
    for _ in 0..1200 {
        if cluster.pods().get_opt("web").await.unwrap().is_none() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(cluster.pods().get_opt("web").await.unwrap().is_none(), "the pod is still there");
    assert_eq!(std::fs::read_dir(data.join("pods")).unwrap().count(), 0);
    assert_eq!(std::fs::read_dir(data.join("logs")).unwrap().count(), 0);
    cluster.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn environment_and_volumes_come_from_the_api() {
    let Some(cluster) = Cluster::start().await else { return };
    let map: ConfigMap = serde_json::from_value(
        json!({"metadata": {"name": "settings"}, "data": {"color": "blue", "size": "9"}}),
    )
    .unwrap();
    let secret: Secret =
        serde_json::from_value(json!({"metadata": {"name": "key"}, "stringData": {"password": "hunter2"}}))
            .unwrap();
    let claim: PersistentVolumeClaim = serde_json::from_value(json!({"metadata": {"name": "data"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}}))
    .unwrap();
    let maps: Api<ConfigMap> = Api::namespaced(cluster.admin(), "default");
    maps.create(&PostParams::default(), &map).await.unwrap();
    Api::<Secret>::namespaced(cluster.admin(), "default")
        .create(&PostParams::default(), &secret)
        .await
        .unwrap();
    let claims: Api<PersistentVolumeClaim> = Api::namespaced(cluster.admin(), "default");
    claims.create(&PostParams::default(), &claim).await.unwrap();
    let script = "exec 2>/dev/null; echo $COLOR $PASSWORD $POD $IP; cat /settings/color /key/password; echo; ls -A /settings; \
                  cat /labels/labels; echo; touch /settings/x && echo LEAK; echo kept > /data/file; cat /memory/* ; \
                  mount | grep ' /memory ' | cut -d' ' -f5; \
                  wc -c < /var/run/secrets/kubernetes.io/serviceaccount/token; \
                  cat /var/run/secrets/kubernetes.io/serviceaccount/namespace; id -u; id -G; echo end; trap 'exit 0' TERM; while true; do sleep 0.1; done";
    let mut spec = pod(script);
    spec["containers"][0]["env"] = json!([
        {"name": "COLOR", "valueFrom": {"configMapKeyRef": {"name": "settings", "key": "color"}}},
        {"name": "PASSWORD", "valueFrom": {"secretKeyRef": {"name": "key", "key": "password"}}},
        {"name": "POD", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
        {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}]);
    spec["containers"][0]["volumeMounts"] = json!([
        {"name": "settings", "mountPath": "/settings"}, {"name": "key", "mountPath": "/key"},
        {"name": "labels", "mountPath": "/labels"}, {"name": "data", "mountPath": "/data"},
        {"name": "memory", "mountPath": "/memory"}]);
    spec["volumes"] = json!([
        {"name": "settings", "configMap": {"name": "settings"}}, {"name": "key", "secret": {"secretName": "key"}},
        {"name": "labels", "downwardAPI": {"items": [{"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}}]}},
        {"name": "data", "persistentVolumeClaim": {"claimName": "data"}},
        {"name": "memory", "emptyDir": {"medium": "Memory"}}]);
    spec["securityContext"] = json!({"runAsUser": 1000, "runAsGroup": 1000, "fsGroup": 2000});
    cluster.run("full", spec).await;
    let status = cluster.until_ready("full").await;
    let ip = status["status"]["podIP"].as_str().unwrap();
    let follow = LogOptions { follow: true, ..LogOptions::default() };
    let mut stream = cluster.node().logs("default", "full", "c", follow).unwrap();
    let mut log = String::new();
    while !log.contains("\nend\n") {
        let chunk = tokio::time::timeout(Duration::from_secs(60), stream.next()).await.expect(&log);
        log.push_str(std::str::from_utf8(&chunk.expect(&log).unwrap()).unwrap());
    }
    assert!(log.contains(&format!("blue hunter2 full {ip}\nbluehunter2\n")), "{log}");
    assert!(log.contains("app=\"full\"") && log.contains("\ntmpfs\n") && !log.contains("LEAK"), "{log}");
    assert!(log.contains("\ndefault1000\n1000"), "{log}");
    if nix::unistd::geteuid().is_root() {
        // An ordinary user has no other groups to give.
        assert!(log.contains("1000 2000\n"), "{log}");
    }
    assert_eq!(claims.get("data").await.unwrap().status.unwrap().phase.as_deref(), Some("Bound"));
    let kept = std::fs::read_dir(cluster.folder.path().join("node/claims")).unwrap().next().unwrap().unwrap();
    assert_eq!(std::fs::read_to_string(kept.path().join("file")).unwrap(), "kept\n");
    cluster.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn services_have_names_and_addresses_that_lead_to_ready_pods() {
    let Some(cluster) = Cluster::start().await else { return };
    cluster.run("server", pod("while true; do echo hello from $(hostname) | nc -l -p 8080; done")).await;
    let server = cluster.until_ready("server").await;
    let service = json!({"metadata": {"name": "shop"}, "spec": {"ports": [{"name": "http", "port": 80, "targetPort": 8080}]}});
    let service: Service = serde_json::from_value(service).unwrap();
    Api::<Service>::namespaced(cluster.admin(), "default")
        .create(&PostParams::default(), &service)
        .await
        .unwrap();
    let slice: EndpointSlice = serde_json::from_value(json!({
        "metadata": {"name": "shop-1", "labels": {"kubernetes.io/service-name": "shop"}}, "addressType": "IPv4",
        "endpoints": [{"addresses": [server["status"]["podIP"]], "conditions": {"ready": true}}],
        "ports": [{"name": "http", "port": 8080}]}))
    .unwrap();
    Api::<EndpointSlice>::namespaced(cluster.admin(), "default")
        .create(&PostParams::default(), &slice)
        .await
        .unwrap();
    let script = "for i in 1 2 3 4 5 6 7 8 9; do nc -w 2 shop 80 </dev/null | grep hello && exit 0; sleep 0.3; done; \
                  cat /etc/resolv.conf; nslookup shop; exit 1";
    let mut spec = pod(script);
    spec["restartPolicy"] = json!("Never");
    cluster.run("client", spec).await;
    let done = cluster.until("client", "over", |p| {
        ["Succeeded", "Failed"].contains(&p["status"]["phase"].as_str().unwrap_or(""))
    });
    let done = done.await;
    let log = cluster.logs("client", LogOptions::default()).await;
    assert_eq!((done["status"]["phase"].as_str(), log.as_str()), (Some("Succeeded"), "hello from server\n"));
    // The API itself is a service, though it listens on the host's loopback, which no pod can reach.
    let (code, text) =
        cluster.exec("server", "echo no handshake | nc -w 20 kubernetes.default.svc 443").await;
    assert_eq!(code, 0, "{text}");
    assert_ne!(cluster.exec("server", "echo | nc -w 20 shop 81").await.0, 0);
    let ip = server["status"]["podIP"].as_str().unwrap().parse().unwrap();
    let mut stream = cluster.node().dialer().dial(ip, 8080).await.unwrap();
    stream.shutdown().await.unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    assert_eq!(text, "hello from server\n");
    cluster.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn services_carry_datagrams_and_have_ports_on_the_hosts_loopback() {
    let Some(cluster) = Cluster::start().await else { return };
    // Debian's busybox has no datagrams; every Debian has a small perl.
    if !std::path::Path::new("/usr/bin/perl").exists() {
        support::skipped("perl is not installed (apt-get install perl-base)");
        return cluster.end().await;
    }
    let perl = programs_layer(&["/usr/bin/perl"], &["/usr/lib/x86_64-linux-gnu/perl-base"]);
    let config = ImageConfig { env: Some(vec!["PATH=/bin:/usr/bin".to_owned()]), ..ImageConfig::default() };
    let mut writer = LayoutWriter::create(cluster.folder.path().join("layout")).unwrap();
    writer.add("perl:1", &config, &[busybox_layer().unwrap(), perl]).unwrap();
    let run = |script: &str| {
        let mut spec = pod(script);
        spec["containers"][0]["image"] = json!("perl:1");
        spec
    };
    let script = "nc -ll -p 8080 -e echo over tcp & exec perl -MSocket -e 'socket S,PF_INET,SOCK_DGRAM,17; \
                  bind S,sockaddr_in(5353,INADDR_ANY); while($p=recv S,$b,99,0){send S,\"$b pong\",0,$p}'";
    cluster.run("server", run(script)).await;
    let server = cluster.until_ready("server").await;
    let service = json!({"metadata": {"name": "echo"}, "spec": {"type": "NodePort", "ports": [
        {"name": "web", "protocol": "TCP", "port": 80, "targetPort": 8080},
        {"name": "ping", "protocol": "UDP", "port": 53, "targetPort": 5353}]}});
    let service: Service = serde_json::from_value(service).unwrap();
    let services: Api<Service> = Api::namespaced(cluster.admin(), "default");
    let service = services.create(&PostParams::default(), &service).await.unwrap();
    let slice: EndpointSlice = serde_json::from_value(json!({
        "metadata": {"name": "echo-1", "labels": {"kubernetes.io/service-name": "echo"}}, "addressType": "IPv4",
        "endpoints": [{"addresses": [server["status"]["podIP"]], "conditions": {"ready": true}}],
        "ports": [{"name": "web", "port": 8080, "protocol": "TCP"}, {"name": "ping", "port": 5353, "protocol": "UDP"}]}))
    .unwrap();
    let slices: Api<EndpointSlice> = Api::namespaced(cluster.admin(), "default");
    slices.create(&PostParams::default(), &slice).await.unwrap();
    let ask = "perl -MSocket -e 'socket S,PF_INET,SOCK_DGRAM,17; connect S,sockaddr_in(53,inet_aton(\"echo\")); \
         for(1..9){send S,\"ping\",0; vec($r,fileno S,1)=1; \
         if(select $r,undef,undef,1){recv S,$b,99,0; print $b; exit 0}} exit 1'";
    cluster.run("client", run("sleep 1000")).await;
    cluster.until_ready("client").await;
    assert_eq!(cluster.exec("client", ask).await, (0, "ping pong".to_owned()));

    let ports = service.spec.unwrap().ports.unwrap();
    let node_port = |at: usize| u16::try_from(ports[at].node_port.unwrap()).unwrap();
    let client = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    client.connect(("127.0.0.1", node_port(1))).await.unwrap();
    let mut answered = Vec::new();
    let end = std::time::Instant::now() + Duration::from_secs(30);
    while std::time::Instant::now() < end {
        // Refused at once, as long as nobody takes it there.
        let _ = client.send(b"host").await;
        let mut buffer = [0; 99];
        let received = tokio::time::timeout(Duration::from_millis(500), client.recv(&mut buffer)).await;
        if let Ok(Ok(length)) = received {
            answered.extend_from_slice(&buffer[..length]);
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(answered, b"host pong");
    let mut answer = String::new();
    for _ in 0..1200 {
        if let Ok(mut stream) = tokio::net::TcpStream::connect(("127.0.0.1", node_port(0))).await {
            answer.clear();
            if stream.read_to_string(&mut answer).await.is_ok() && !answer.is_empty() {
                break;
            }
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(answer, "over tcp\n");
    cluster.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_that_fails_is_started_again_and_its_last_words_are_kept() {
    let Some(cluster) = Cluster::start().await else { return };
    let script = "echo run; echo last words > /dev/termination-log; exit 7";
    cluster.run("crash", pod(script)).await;
    let status = cluster
        .until("crash", "in CrashLoopBackOff", |pod| {
            let state = &pod["status"]["containerStatuses"][0];
            state["state"]["waiting"]["reason"] == "CrashLoopBackOff"
                && state["restartCount"].as_i64() >= Some(1)
        })
        .await;
    let last = &status["status"]["containerStatuses"][0]["lastState"]["terminated"];
    assert_eq!(
        (&last["exitCode"], &last["reason"], &last["message"]),
        (&json!(7), &json!("Error"), &json!("last words\n"))
    );
    let previous = LogOptions { previous: true, ..LogOptions::default() };
    assert_eq!(cluster.logs("crash", previous).await, "run\n");
    assert!(
        cluster
            .until_event("crash", "BackOff")
            .await
            .contains("Back-off restarting failed container c in pod crash_default")
    );
    let mut spec = pod("exit 0");
    spec["containers"][0]["command"] = json!(["no-such-program"]);
    cluster.run("missing", spec).await;
    cluster
        .until("missing", "told what is wrong", |pod| {
            let last = &pod["status"]["containerStatuses"][0]["lastState"]["terminated"];
            last["reason"] == "StartError"
                && last["message"].as_str().is_some_and(|m| m.contains("not found in $PATH"))
        })
        .await;
    cluster.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn probes_decide_about_readiness_and_restarts() {
    let Some(cluster) = Cluster::start().await else { return };
    let mut spec = pod(
        "touch /alive; (while true; do echo -e 'HTTP/1.1 200 OK\\r\\n\\r' | nc -l -p 8080; done) & sleep 1000",
    );
    let exec = |command: &str| json!({"exec": {"command": ["sh", "-c", command]}, "periodSeconds": 1, "failureThreshold": 1});
    spec["containers"][0]["readinessProbe"] = exec("test -e /ready");
    spec["containers"][0]["livenessProbe"] = exec("test -e /alive");
    spec["containers"][0]["startupProbe"] =
        json!({"httpGet": {"path": "/", "port": 8080}, "periodSeconds": 1, "failureThreshold": 30});
    cluster.run("probed", spec).await;
    cluster.until("probed", "started", |p| p["status"]["containerStatuses"][0]["started"] == true).await;
    assert!(cluster.until_event("probed", "Unhealthy").await.contains("probe failed"));
    cluster.exec("probed", "touch /ready").await;
    cluster.until_ready("probed").await;
    cluster.exec("probed", "rm /ready").await;
    cluster.until("probed", "not ready", |p| p["status"]["containerStatuses"][0]["ready"] == false).await;
    cluster.exec("probed", "rm /alive").await;
    cluster.until("probed", "restarted", |p| p["status"]["containerStatuses"][0]["restartCount"] == 1).await;
    assert_eq!(
        cluster.until_event("probed", "Killing").await,
        "Container c failed liveness probe, will be restarted"
    );
    cluster.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn init_containers_hooks_and_the_end_happen_in_order() {
    let Some(cluster) = Cluster::start().await else { return };
    let mount = json!([{"name": "shared", "mountPath": "/shared"}]);
    let mut init = container("echo init >> /shared/order");
    init["name"] = json!("first");
    let mut main = container(
        "trap 'echo term >> /shared/order; exit 0' TERM; echo main >> /shared/order; while true; do sleep 0.1; done",
    );
    main["lifecycle"] = json!({
        "postStart": {"exec": {"command": ["sh", "-c", "sleep 0.3; echo postStart >> /shared/order"]}},
        "preStop": {"exec": {"command": ["sh", "-c", "echo preStop >> /shared/order"]}}});
    for container in [&mut init, &mut main] {
        container["volumeMounts"] = mount.clone();
    }
    let claim: PersistentVolumeClaim = serde_json::from_value(json!({"metadata": {"name": "shared"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}}))
    .unwrap();
    Api::namespaced(cluster.admin(), "default").create(&PostParams::default(), &claim).await.unwrap();
    let volumes = json!([{"name": "shared", "persistentVolumeClaim": {"claimName": "shared"}}]);
    let spec = json!({"initContainers": [init], "containers": [main], "volumes": volumes, "terminationGracePeriodSeconds": 10});
    cluster.run("ordered", spec).await;
    cluster.until_ready("ordered").await;
    cluster.pods().delete("ordered", &DeleteParams::default()).await.unwrap();
    for _ in 0..1200 {
        if cluster.pods().get_opt("ordered").await.unwrap().is_none() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let folder =
        std::fs::read_dir(cluster.folder.path().join("node/claims")).unwrap().next().unwrap().unwrap();
    let order = std::fs::read_to_string(folder.path().join("order")).unwrap();
    assert_eq!(order, "init\nmain\npostStart\npreStop\nterm\n");
    cluster.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_run_says_why() {
    let Some(cluster) = Cluster::start().await else { return };
    let waiting = |pod: &Value| pod["status"]["containerStatuses"][0]["state"]["waiting"]["reason"].clone();
    let mut spec = pod("true");
    spec["containers"][0]["image"] = json!("127.0.0.1:1/none:1");
    cluster.run("no-image", spec).await;
    cluster.until("no-image", "ImagePullBackOff", |p| waiting(p) == "ImagePullBackOff").await;
    cluster.until_event_with("no-image", "Failed", "127.0.0.1:1").await;
    for words in ["Error: ErrImagePull", "Error: ImagePullBackOff"] {
        cluster.until_event_with("no-image", "Failed", words).await;
    }
    let mut spec = pod("true");
    spec["containers"][0]["image"] = json!("registry.test/other:1");
    spec["containers"][0]["imagePullPolicy"] = json!("Never");
    cluster.run("never", spec).await;
    cluster.until("never", "ErrImageNeverPull", |p| waiting(p) == "ErrImageNeverPull").await;
    let mut spec = pod("true");
    spec["containers"][0]["envFrom"] = json!([{"configMapRef": {"name": "missing"}}]);
    cluster.run("no-map", spec).await;
    let status =
        cluster.until("no-map", "CreateContainerConfigError", |p| waiting(p) == "CreateContainerConfigError");
    let status = status.await;
    let message = &status["status"]["containerStatuses"][0]["state"]["waiting"]["message"];
    assert_eq!(message, "configmap \"missing\": not found");
    let mut spec = pod("true");
    spec["volumes"] = json!([{"name": "v", "hostPath": {"path": "/etc"}}]);
    cluster.run("host-path", spec).await;
    assert!(cluster.until_event("host-path", "FailedMount").await.contains("hostPath /etc is not allowed"));
    let mut spec = pod("true");
    spec["hostNetwork"] = json!(true);
    cluster.run("host-network", spec).await;
    let status = cluster.until_phase("host-network", "Failed").await;
    assert!(status["status"]["message"].as_str().unwrap().contains("hostNetwork is not possible"));
    // kubectl shows the reason only where no container has a state.
    assert!(status["status"].get("containerStatuses").is_none(), "{status:#}");
    let told = cluster.until_event("host-network", "UnexpectedAdmissionError").await;
    assert!(told.contains("hostNetwork is not possible"), "{told}");
    cluster.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_restart_of_the_node_everything_runs_again() {
    let Some(mut cluster) = Cluster::start().await else { return };
    let mut spec = pod(&format!("ls /scratch; touch /scratch/mark; {SLEEP}"));
    spec["volumes"] = json!([{"name": "scratch", "emptyDir": {}}]);
    spec["containers"][0]["volumeMounts"] = json!([{"name": "scratch", "mountPath": "/scratch"}]);
    cluster.run("again", spec).await;
    cluster.until_ready("again").await;
    let mut spec = pod(SLEEP);
    spec["restartPolicy"] = json!("Never");
    cluster.run("once", spec).await;
    cluster.until_ready("once").await;
    // Dropped, not shut down: as after `kill -9`.
    drop(cluster.node.take());
    assert!(cluster.start_node().await);
    cluster
        .until("again", "running for the second time", |pod| {
            let state = &pod["status"]["containerStatuses"][0];
            state["restartCount"] == 1 && !state["state"]["running"].is_null()
        })
        .await;
    cluster.until_ready("again").await;
    cluster.until_phase("once", "Failed").await;
    for _ in 0..1200 {
        if cluster.logs("again", LogOptions::default()).await == "mark\n" {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(cluster.logs("again", LogOptions::default()).await, "mark\n", "the volume was lost");
    cluster.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn exec_gives_a_terminal_with_a_size() {
    let Some(cluster) = Cluster::start().await else { return };
    cluster.run("tty", pod(SLEEP)).await;
    cluster.until_ready("tty").await;
    let options = ExecOptions { command: vec!["sh".to_owned()], stdin: true, tty: true };
    let mut exec = cluster.node().exec("default", "tty", "c", options).await.unwrap();
    exec.resize(123, 45).unwrap();
    exec.stdin.as_mut().unwrap().write_all(b"stty size; exit 5\n").await.unwrap();
    let mut text = Vec::new();
    let _ = exec.stdout.read_to_end(&mut text).await; // A terminal ends with an error.
    assert!(String::from_utf8_lossy(&text).contains("45 123"), "{}", String::from_utf8_lossy(&text));
    assert_eq!(exec.wait().await.code, 5);
    let options = ExecOptions { command: vec!["cat".to_owned()], stdin: true, tty: false };
    let mut exec = cluster.node().exec("default", "tty", "c", options).await.unwrap();
    let mut stdin = exec.stdin.take().unwrap();
    stdin.write_all(b"through").await.unwrap();
    drop(stdin);
    let mut text = String::new();
    exec.stdout.read_to_string(&mut text).await.unwrap();
    assert_eq!((text.as_str(), exec.wait().await.code), ("through", 0));
    cluster.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_beyond_the_limit_is_told_as_oom() {
    let Some(cluster) = Cluster::start().await else { return };
    let mut spec = pod("a=x; while true; do a=$a$a; done");
    spec["restartPolicy"] = json!("Never");
    spec["containers"][0]["resources"] = json!({"limits": {"memory": "32Mi"}});
    let limited = !Api::<Event>::namespaced(cluster.admin(), "default")
        .list(&Default::default())
        .await
        .unwrap()
        .items
        .iter()
        .any(|e| e.reason.as_deref() == Some("LimitsNotEnforced"));
    if !limited || !nix::unistd::geteuid().is_root() {
        println!("skipped: this machine lets us make no control groups");
        cluster.end().await;
        return;
    }
    cluster.run("hungry", spec).await;
    let status = cluster.until_phase("hungry", "Failed").await;
    let ended = &status["status"]["containerStatuses"][0]["state"]["terminated"];
    assert_eq!((&ended["reason"], &ended["exitCode"]), (&json!("OOMKilled"), &json!(137)));
    cluster.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_loss_of_the_helper_starts_all_pods_again() {
    let Some(cluster) = Cluster::start().await else { return };
    cluster.run("survivor", pod(SLEEP)).await;
    cluster.until_ready("survivor").await;
    let children = std::fs::read_dir(format!("/proc/{}/task", std::process::id())).unwrap().flatten();
    let helpers: Vec<i32> = children
        .flat_map(|t| {
            let list = std::fs::read_to_string(t.path().join("children")).unwrap_or_default();
            list.split_whitespace().filter_map(|p| p.parse().ok()).collect::<Vec<i32>>()
        })
        .collect();
    for pid in helpers {
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL).unwrap();
    }
    cluster
        .until("survivor", "running again", |p| {
            let state = &p["status"]["containerStatuses"][0];
            state["restartCount"].as_i64() >= Some(1) && !state["state"]["running"].is_null()
        })
        .await;
    cluster.until_ready("survivor").await;
    assert_eq!(cluster.exec("survivor", "hostname").await, (0, "survivor\n".to_owned()));
    let patch = Patch::Merge(json!({"metadata": {"labels": {"seen": "yes"}}}));
    cluster.pods().patch("survivor", &PatchParams::default(), &patch).await.unwrap();
    cluster.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn attach_joins_the_streams_of_the_program() {
    let Some(cluster) = Cluster::start().await else { return };
    let mut spec = pod("echo before; while read line; do echo got $line; done");
    spec["containers"][0]["stdin"] = json!(true);
    cluster.run("loop", spec).await;
    cluster.until_ready("loop").await;
    cluster.until_log("loop", "before").await;
    let mut attached = cluster.node().attach("default", "loop", "c", true).await.unwrap();
    attached.stdin.as_mut().unwrap().write_all(b"words\n").await.unwrap();
    let mut text = [0u8; 10];
    attached.stdout.read_exact(&mut text).await.unwrap();
    assert_eq!(&text, b"got words\n");
    // The end of one session is not the end of its input.
    drop(attached);
    let mut attached = cluster.node().attach("default", "loop", "c", true).await.unwrap();
    attached.stdin.as_mut().unwrap().write_all(b"more\n").await.unwrap();
    let mut text = [0u8; 9];
    attached.stdout.read_exact(&mut text).await.unwrap();
    assert_eq!(&text, b"got more\n");
    cluster.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn input_that_is_for_one_session_ends_with_it() {
    let Some(cluster) = Cluster::start().await else { return };
    let mut spec = pod("wc -c");
    spec["restartPolicy"] = json!("Never");
    spec["containers"][0]["stdin"] = json!(true);
    spec["containers"][0]["stdinOnce"] = json!(true);
    cluster.run("once", spec).await;
    cluster.until_ready("once").await;
    // Who only watches takes nothing of it.
    let watched = cluster.node().attach("default", "once", "c", false).await.unwrap();
    assert!(watched.stdin.is_none());
    let mut attached = cluster.node().attach("default", "once", "c", true).await.unwrap();
    attached.stdin.as_mut().unwrap().write_all(b"12345").await.unwrap();
    let second = cluster.node().attach("default", "once", "c", true).await.unwrap();
    assert!(second.stdin.is_none(), "it is taken");
    attached.stdin = None;
    let mut text = String::new();
    attached.stdout.read_to_string(&mut text).await.unwrap();
    assert_eq!(text, "5\n");
    cluster.until_phase("once", "Succeeded").await;
    cluster.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_ignores_its_end_is_killed_after_the_grace() {
    let Some(cluster) = Cluster::start().await else { return };
    cluster
        .run("deaf", pod("trap '' TERM INT HUP; (trap '' TERM; sleep 1000) & while true; do sleep 1; done"))
        .await;
    cluster.until_ready("deaf").await;
    cluster.pods().delete("deaf", &DeleteParams::default()).await.unwrap();
    for _ in 0..1200 {
        if cluster.pods().get_opt("deaf").await.unwrap().is_none() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(cluster.pods().get_opt("deaf").await.unwrap().is_none(), "the pod is still there");
    cluster.until_event("deaf", "Killing").await;
    cluster.end().await;
}
