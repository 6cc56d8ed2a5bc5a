//! Programs as people run them: images made from this machine's nginx and PostgreSQL.
#![allow(clippy::unwrap_used)]

mod support;

use seaway_node::image::{ImageConfig, LayoutWriter};
use serde_json::json;
use support::cluster::Cluster;
use support::{Layer, busybox_layer, programs_layer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

fn strings(list: &[&str]) -> Option<Vec<String>> {
    Some(list.iter().map(|s| (*s).to_owned()).collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn two_nginx_pods_listen_on_port_80_side_by_side() {
    if !std::path::Path::new("/usr/sbin/nginx").exists() {
        support::skipped("nginx is not installed (apt-get install nginx)");
        return;
    }
    let Some(cluster) = Cluster::start().await else { return };
    let settings = "user web; worker_processes 2; error_log /dev/stderr; pid /run/nginx.pid; daemon off;\n\
                    events {}\nhttp { access_log /dev/stdout; server { listen 80; root /srv; } }\n";
    let own = Layer::new()
        .dir("srv/", 0o755)
        .dir("run/", 0o755)
        .dir("var/lib/nginx/", 0o755)
        .dir("var/log/nginx/", 0o755)
        .file("srv/index.html", 0o644, b"from nginx\n")
        .file("etc/nginx/nginx.conf", 0o644, settings.as_bytes());
    let config = ImageConfig {
        entrypoint: strings(&["/usr/sbin/nginx"]),
        stop_signal: Some("SIGQUIT".to_owned()),
        ..ImageConfig::default()
    };
    let layers = [busybox_layer().unwrap(), programs_layer(&["/usr/sbin/nginx"], &[]), own.build()];
    let mut writer = LayoutWriter::create(cluster.folder.path().join("layout")).unwrap();
    writer.add("nginx:1", &config, &layers).unwrap();
    for name in ["one", "two"] {
        let container = json!({"name": "c", "image": "nginx:1",
            "readinessProbe": {"httpGet": {"path": "/", "port": 80}, "periodSeconds": 1}});
        cluster.run(name, json!({"containers": [container], "terminationGracePeriodSeconds": 10})).await;
    }
    for name in ["one", "two"] {
        let ip = cluster.until_ready(name).await["status"]["podIP"].as_str().unwrap().parse().unwrap();
        let mut stream = cluster.node().dial(ip, 80).await.unwrap();
        stream.write_all(b"GET / HTTP/1.0\r\n\r\n").await.unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).await.unwrap();
        assert!(text.ends_with("from nginx\n"), "{text}");
        cluster.until_log(name, "\"GET / HTTP/1.0\" 200").await;
        cluster.until_log(name, "kube-probe").await;
        assert_eq!(cluster.exec(name, "ps | grep -c '[w]orker process'").await.1.trim(), "2");
    }
    cluster.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn postgresql_initialises_and_answers() {
    let Some(home) =
        std::fs::read_dir("/usr/lib/postgresql").ok().and_then(|mut d| d.next()).map(|e| e.unwrap().path())
    else {
        support::skipped("PostgreSQL is not installed (apt-get install postgresql)");
        return;
    };
    let Some(cluster) = Cluster::start().await else { return };
    let version = home.file_name().unwrap().to_str().unwrap().to_owned();
    let bin = home.join("bin");
    let programs: Vec<String> =
        ["postgres", "initdb", "psql"].iter().map(|p| bin.join(p).to_str().unwrap().to_owned()).collect();
    let programs: Vec<&str> = programs.iter().map(String::as_str).collect();
    let folders = [format!("/usr/lib/postgresql/{version}/lib"), format!("/usr/share/postgresql/{version}")];
    let folders: Vec<&str> = folders.iter().map(String::as_str).collect();
    // As root it gives up its rights itself; as an ordinary user the host lends no second one, and the pod says which.
    let root = nix::unistd::geteuid().is_root();
    let start = "initdb -D /data/db -A trust -E UTF8 --locale=C && exec postgres -D /data/db -c listen_addresses='*' \
                 -c unix_socket_directories=/data -c timezone=GMT -c log_timezone=GMT";
    let run = match root {
        true => format!("set -e\nchown web /data\nexec su web -c \"{start}\"\n"),
        false => format!("{start}\n"),
    };
    let security = if root { json!({}) } else { json!({"runAsUser": 1000, "runAsGroup": 1000}) };
    let own = Layer::new().file("start", 0o755, format!("#!/bin/sh\n{run}").as_bytes()).build();
    let config = ImageConfig {
        entrypoint: strings(&["/start"]),
        env: Some(vec![format!("PATH={}:/bin", bin.display())]),
        ..ImageConfig::default()
    };
    let layers = [busybox_layer().unwrap(), programs_layer(&programs, &folders), own];
    let mut writer = LayoutWriter::create(cluster.folder.path().join("layout")).unwrap();
    writer.add("postgres:1", &config, &layers).unwrap();
    let psql = ["psql", "-h", "127.0.0.1", "-U", "web", "-d", "postgres", "-Atc"];
    let probe: Vec<&str> = psql.iter().copied().chain(["select 1"]).collect();
    cluster
        .run(
            "db",
            json!({"containers": [{"name": "c", "image": "postgres:1",
                "readinessProbe": {"exec": {"command": probe}, "periodSeconds": 1, "timeoutSeconds": 10},
                "volumeMounts": [{"name": "data", "mountPath": "/data"}]}],
                "securityContext": security, "volumes": [{"name": "data", "emptyDir": {}}]}),
        )
        .await;
    cluster.until_ready("db").await;
    let query = format!(
        "{} 'create table t (n int); insert into t values (41); select n + 1 from t'",
        psql.join(" ")
    );
    let (code, text) = cluster.exec("db", &query).await;
    assert_eq!((code, text.lines().last()), (0, Some("42")), "{text}");
    cluster.end().await;
}

#[test]
fn an_ordinary_user_runs_them_as_well() {
    support::as_an_ordinary_user(&[
        "two_nginx_pods_listen_on_port_80_side_by_side",
        "postgresql_initialises_and_answers",
    ]);
}
