//! The main path as somebody who is not root: no privilege, no user range, no control groups.
//!
//! Tests run as whoever started them; where that is root, this one is started as a user that nobody else is.

#![allow(clippy::unwrap_used)]

#[path = "support/images.rs"]
mod images;
mod support;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::Path;
use std::process::Command;

use support::{Seaway, eventually, program};

const USER: u32 = 64_722;

const MANIFEST: &str = "
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      terminationGracePeriodSeconds: 1
      securityContext: {fsGroup: 2000}
      containers:
      - name: web
        image: registry.test/web:1
        ports: [{name: http, containerPort: 80}]
        env: [{name: HOST_IP, valueFrom: {fieldRef: {fieldPath: status.hostIP}}}]
        readinessProbe: {httpGet: {path: /, port: http}, periodSeconds: 1, timeoutSeconds: 20, failureThreshold: 10}
        volumeMounts: [{name: scratch, mountPath: /scratch}]
      - name: other
        image: registry.test/web:1
        securityContext: {runAsUser: 1000, runAsGroup: 1000}
        command: [sh, -c, 'id > /scratch/id; exec sleep 1000000']
        volumeMounts: [{name: scratch, mountPath: /scratch}]
      volumes: [{name: scratch, emptyDir: {}}]
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec:
  selector: {app: web}
  ports: [{port: 8080, targetPort: http}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: web}
spec:
  parentRefs: [{name: seaway, namespace: seaway-system}]
  hostnames: [web.localhost]
  rules: [{backendRefs: [{name: web, port: 8080}]}]
";

fn answer(gateway: SocketAddr) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(gateway)?;
    write!(stream, "GET / HTTP/1.1\r\nHost: web.localhost\r\nConnection: close\r\n\r\n")?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    Ok(text)
}

/// A command that runs the program as the user, without its arguments; `None` (and why) where that cannot be.
fn as_user(folder: &Path) -> Option<Command> {
    let own = std::fs::metadata("/proc/self").unwrap().uid();
    let built = program().get_program().to_owned();
    if own != 0 {
        // Whoever runs the tests is an ordinary user himself.
        let mut command = Command::new("env");
        command.arg(built);
        return Some(command);
    }
    for each in [folder, &folder.join("images"), &folder.join("home")] {
        std::fs::set_permissions(each, PermissionsExt::from_mode(0o755)).unwrap();
    }
    chown(folder.join("home"), Some(USER), Some(USER)).unwrap();
    // What was built may lie where only root looks: setpriv would still start it, but it could not start itself again.
    let reachable = folder.join("seaway");
    if !reachable.exists() && std::fs::hard_link(&built, &reachable).is_err() {
        std::fs::copy(&built, &reachable).unwrap();
    }
    let user = USER.to_string();
    let mut command = Command::new("setpriv");
    command.args(["--reuid", &user, "--regid", &user, "--clear-groups"]);
    match command.arg("true").status() {
        Ok(status) if status.success() => {}
        problem => {
            println!(
                "skipped: no program can be started as another user (setpriv of util-linux): {problem:?}"
            );
            return None;
        }
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid", &user, "--regid", &user, "--clear-groups"]).arg(reachable);
    Some(command)
}

#[test]
fn a_home_that_is_somebody_elses_is_no_obstacle() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["images", "home", "roots"] {
        std::fs::create_dir(folder.path().join(name)).unwrap();
    }
    let Some(mut command) = as_user(folder.path()) else { return };
    let roots = folder.path().join("roots");
    std::fs::set_permissions(&roots, PermissionsExt::from_mode(0o700)).unwrap();
    let output = command.arg("--version").env("HOME", roots);
    let output = output.env_remove("XDG_CONFIG_HOME").env_remove("SEAWAY_CONFIG").output().unwrap();
    assert!(output.status.success(), "{output:?}");
}

#[test]
fn an_ordinary_users_pods_run_answer_and_are_back_after_a_kill() {
    let folder = tempfile::tempdir().unwrap();
    let layout = folder.path().join("images");
    if images::web(&layout, "www").is_none() {
        return;
    }
    let home = folder.path().join("home");
    std::fs::create_dir(&home).unwrap();
    let (data, layout) = (home.join("data"), layout.display().to_string());
    let Some(first) = as_user(folder.path()) else { return };
    let options = ["--image-layout", layout.as_str()];
    let seaway = Seaway::start_by(first, &data, &options);
    let k = seaway.kubectl();
    if k.ok("get nodes -o name").stdout.is_empty() {
        println!("skipped: this host allows ordinary users no namespaces");
        return;
    }
    k.apply(MANIFEST);
    k.ok("rollout status deployment/web --timeout=180s");
    let gateway = seaway.gateway();
    eventually("the gateway answers", || answer(gateway).is_ok_and(|text| text.ends_with("version 1\n")));
    assert_eq!(k.ok("logs deployment/web -c other").stdout, "");
    let id = k.ok("exec deployment/web -c other -- cat /scratch/id").stdout;
    assert!(id.starts_with("uid=1000 gid=1000"), "{id}");
    let names =
        k.ok("exec deployment/web -c other -- wget -q -O - http://web.default.svc.cluster.local:8080/");
    assert_eq!(names.stdout, "version 1\n");
    // What belongs to the user himself his pods do not see, whatever they are root of: Seaway's folder and keys, his other
    // files, the files and processes of his other pods, and what listens on this machine alone.
    std::fs::write(home.join("diary"), "LEAK").unwrap();
    k.ok("run neighbour --image=registry.test/web:1 --env=OWN=LEAK --command -- sh -c echo${IFS}LEAK>/own;exec${IFS}sleep${IFS}1000");
    k.ok("wait --for=condition=Ready pod/neighbour --timeout=180s");
    let alone = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let ports = [alone.local_addr().unwrap().port(), gateway.port()];
    let script = format!(
        "exec 2>/dev/null; cat {data}/kubeconfig {data}/pki/* {home}/diary /etc/shadow; ls {data} {home}; \
         for each in /proc/[0-9]*; do cat $each/root{home}/diary $each/cwd{home}/diary; \
         tr '\\0' '\\n' < $each/environ | grep LEAK; done; cat /own; find / -xdev -name diary -o -xdev -name kubeconfig; \
         for port in {one} {other}; do nc -w 1 127.0.0.1 $port </dev/null && echo LEAK; \
         nc -w 1 $HOST_IP $port </dev/null && echo LEAK; done; \
         mknod /dev/disk b 254 0 && echo LEAK; mount -t tmpfs x /tmp && echo LEAK; echo end",
        data = data.display(),
        home = home.display(),
        one = ports[0],
        other = ports[1],
    );
    let seen = k.args(&["exec", "deployment/web", "-c", "web", "--", "sh", "-c", &script], "");
    assert_eq!(seen.stdout, "end\n", "{seen:?}");
    k.ok("delete pod neighbour --grace-period=1");
    k.ok("set image deployment/web *=registry.test/web:2");
    k.ok("rollout status deployment/web --timeout=180s");
    eventually("the other image answers", || answer(gateway).is_ok_and(|text| text.ends_with("version 2\n")));

    let mark = data.display().to_string();
    seaway.kill();
    eventually("no process is left", || {
        let processes = std::fs::read_dir("/proc").unwrap().flatten();
        let roots = processes.filter_map(|p| std::fs::read_to_string(p.path().join("mountinfo")).ok());
        !roots.into_iter().any(|mounts| mounts.contains(&mark))
    });
    let Some(again) = as_user(folder.path()) else { return };
    let seaway = Seaway::start_by(again, &data, &options);
    let gateway = seaway.gateway();
    eventually("everything is back", || answer(gateway).is_ok_and(|text| text.ends_with("version 2\n")));
    assert!(seaway.terminate().success());
}

/// Starts the rest of its arguments where nobody may make a user namespace, as a host's administrator can have it; what it
/// says as errors goes to a file.
const FORBIDDING: &str = "echo 0 > /proc/sys/user/max_user_namespaces && \
                          exec setpriv --ambient-caps -all --inh-caps -all \"$@\" 2>\"$SAID\"";

#[test]
fn where_a_user_may_make_no_user_namespace_the_api_serves_and_says_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["images", "home"] {
        std::fs::create_dir(folder.path().join(name)).unwrap();
    }
    let home = folder.path().join("home");
    let Some(user) = as_user(folder.path()) else { return };
    let said = home.join("said");
    let forbidding = || {
        let before: Vec<_> = user.get_args().collect();
        let (program, before) = before.split_last().unwrap();
        let mut command = Command::new(user.get_program());
        command.args(before).args(["unshare", "-U", "-c", "--keep-caps", "sh", "-c", FORBIDDING, "sh"]);
        command.arg(program).env("SAID", &said);
        command
    };
    let tried = forbidding().arg("--version").output().unwrap();
    if !tried.status.success() {
        println!(
            "skipped: no namespace can be made in which others are forbidden (unshare of util-linux): {tried:?}"
        );
        return;
    }
    let seaway = Seaway::start_by(forbidding(), &home.join("data"), &[]);
    let k = seaway.kubectl();
    assert_eq!(k.ok("get nodes -o name").stdout, "");
    k.ok("create deployment web --image=registry.test/web:1");
    eventually("the pod waits", || k.ok("get pods -o jsonpath={.items[*].status.phase}").stdout == "Pending");
    eventually("it is told", || {
        let said = std::fs::read_to_string(&said).unwrap();
        ["this host forbids pods: make a user namespace", "sysctl -w user.max_user_namespaces=", "as root"]
            .iter()
            .all(|part| said.contains(part))
    });
    assert!(seaway.terminate().success());
}
