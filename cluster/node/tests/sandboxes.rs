//! Sandboxes: what a process in a pod sees and gets, and that nothing outlives the node.
#![allow(clippy::unwrap_used)]

mod support;

use futures::FutureExt;
use seaway_node::sandbox::{BindMount, Streams, capabilities};
use std::fs::File;
use std::net::SocketAddrV4;
use std::path::{Path, PathBuf};
use std::time::Duration;
use support::sandbox::{finish, node, output, shell, start};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

#[tokio::test]
async fn a_container_sees_its_own_world() {
    let Some(node) = node().await else { return };
    let pod = node.pod("alpha").await;
    let script = "hostname; echo pid $$; ls /; ip -4 addr show eth0 | grep inet; ls -d /proc/[0-9]*; touch /made; id -u; \
                  echo x > /dev/null; ls /dev; cat /proc/self/status | grep CapEff; readlink /dev/stdin || true; df /dev/shm";
    let (code, text) = node.run(&pod, node.container("alpha", "one", shell(script))).await;
    assert_eq!(code, 0, "{text}");
    assert!(text.starts_with("alpha\npid 1\n"), "{text}");
    assert!(text.contains(&format!("inet {}/24", pod.address())), "{text}");
    assert!(text.contains("00000000a80425fb"), "{text}");
    assert!(!text.contains("vda") && !text.contains("kvm"), "{text}");
    assert!(node.folder.path().join("alpha/one/upper/made").exists());
    // The image itself stays as it was.
    assert!(!node.image.layers[0].join("made").exists());
    pod.end().await;
}

#[tokio::test]
async fn pods_talk_to_each_other_and_seaway_dials_them() {
    let Some(node) = node().await else { return };
    let (server, client) = (node.pod("server").await, node.pod("client").await);
    let serve = node.container("server", "one", shell("while true; do echo hello | nc -l -p 80; done"));
    let (_process, _output) = start(&server, serve).await.unwrap();
    let address = server.address();
    let script = format!(
        "for i in 1 2 3 4 5 6 7 8 9; do nc -w 2 {address} 80 </dev/null && exit; sleep 0.2; done; exit 1"
    );
    let (code, text) = node.run(&client, node.container("client", "one", shell(&script))).await;
    assert_eq!((code, text.contains("hello")), (0, true), "{text}");
    let mut answer = String::new();
    for _ in 0..600 {
        if let Ok(mut stream) = node.namespace.dial(SocketAddrV4::new(address, 80)).await {
            let _ = stream.shutdown().await;
            answer.clear();
            // Each `nc` answers once: the one that ends just now resets who comes, or says nothing.
            if stream.read_to_string(&mut answer).await.is_ok() && !answer.is_empty() {
                break;
            }
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(answer, "hello\n");
    // Addresses of services are local to the node: any port can be listened on.
    let service = SocketAddrV4::new("10.96.7.7".parse().unwrap(), 8080);
    let listener = node.namespace.listen(service).await.unwrap();
    let accept = tokio::spawn(async move {
        let (mut stream, peer) = listener.accept().await.unwrap();
        stream.write_all(b"service\n").await.unwrap();
        peer
    });
    let (_, text) =
        node.run(&client, node.container("client", "two", shell("nc -w 2 10.96.7.7 8080 </dev/null"))).await;
    assert!(text.contains("service"), "{text}");
    assert_eq!(accept.await.unwrap().ip(), std::net::IpAddr::V4(client.address()));
    // Where nobody answers nobody is waited for: the first look decides.
    let nobody = SocketAddrV4::new("10.244.0.200".parse().unwrap(), 80);
    server.end().await;
    for address in [nobody, SocketAddrV4::new(address, 80)] {
        let dialed = node.namespace.dial(address).now_or_never();
        let error = dialed.expect("an answer at once").unwrap_err().to_string();
        assert!(error.contains("No route to host"), "{error}");
    }
    client.end().await;
}

#[tokio::test]
async fn pods_that_come_and_go_do_not_disturb_the_others() {
    let Some(node) = node().await else { return };
    let pod = node.pod("steady").await;
    let script = "cat /sys/class/net/eth0/address; for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do \
                  ping -c 1 -W 1 10.244.0.1 >/dev/null || echo LOST; sleep 0.1; done; tail -n 1 /proc/net/arp";
    let (process, output) = start(&pod, node.container("steady", "one", shell(script))).await.unwrap();
    for i in 0..15 {
        node.pod(&format!("guest{i}")).await.end().await;
    }
    let (code, text) = finish(process, output).await;
    assert!(code == 0 && !text.contains("LOST"), "{text}");
    let [a, b, c, d] = pod.address().octets();
    assert!(text.starts_with(&format!("02:00:{a:02x}:{b:02x}:{c:02x}:{d:02x}\n")), "{text}");
    assert!(text.contains("02:00:0a:f4:00:01"), "{text}");
    pod.end().await;
}

#[tokio::test]
async fn volumes_are_mounted_inside_the_image_whatever_links_it_holds() {
    let Some(node) = node().await else { return };
    let pod = node.pod("volumes").await;
    let data = node.folder.path().join("data");
    std::fs::create_dir_all(data.join("deep")).unwrap();
    std::fs::write(data.join("deep/file"), "content\n").unwrap();
    std::os::unix::fs::symlink("/etc", data.join("evil")).unwrap();
    let mount = |sub_path: Option<&str>, target: &str, read_only| BindMount {
        source: data.clone(),
        sub_path: sub_path.map(str::to_owned),
        target: target.to_owned(),
        read_only,
    };
    let script = "cat /data/deep/file; cat /etc/one; touch /ro/x && echo LEAK; echo w > /data/written; \
                  cat /new/folder/in/it; echo x > /new/folder/in/it; touch /root-file; echo code $?";
    let mut spec = node.container("volumes", "one", shell(script));
    spec.read_only_root = true;
    spec.mounts = vec![
        mount(None, "/data", false),
        mount(None, "/ro", true),
        mount(Some("deep/file"), "/etc/one", true),
        mount(Some("new/sub"), "/made", false),
        mount(Some("deep/file"), "/new/folder/in/it", true),
    ];
    let (_, text) = node.run(&pod, spec).await;
    assert_eq!(text.matches("content\n").count(), 3, "{text}");
    assert!(!text.contains("LEAK") && !text.contains("passwd"), "{text}");
    assert!(text.contains("code 1"), "the root could be written: {text}");
    assert_eq!(std::fs::read_to_string(data.join("written")).unwrap(), "w\n");
    assert!(data.join("new/sub").is_dir());
    // A link that a pod made in its volume leads nowhere outside of it.
    let mut spec = node.container("volumes", "two", shell("true"));
    spec.mounts = vec![mount(Some("evil"), "/evil", false)];
    assert!(start(&pod, spec).await.is_err());
    pod.end().await;
}

#[tokio::test]
async fn a_process_gets_the_user_rights_and_folder_that_it_asks_for() {
    let Some(node) = node().await else { return };
    let pod = node.pod("user").await;
    let mut process =
        shell("id -u; id -g; pwd; echo $HOME; grep -E 'CapEff|CapBnd|NoNewPrivs' /proc/self/status");
    process.user = "web".to_owned();
    process.working_dir = "/srv/app".to_owned();
    process.capabilities = capabilities(&[], &["ALL".to_owned()]).unwrap();
    process.no_new_privileges = true;
    let (code, text) = node.run(&pod, node.container("user", "one", process)).await;
    assert_eq!(code, 0, "{text}");
    assert!(text.starts_with("1000\n1000\n/srv/app\n/home/web\n"), "{text}");
    assert!(
        text.contains("CapEff:\t0000000000000000") && text.contains("CapBnd:\t0000000000000000"),
        "{text}"
    );
    assert!(text.contains("NoNewPrivs:\t1"), "{text}");
    let mut process = shell("true");
    process.user = "nobody-knows".to_owned();
    let error = start(&pod, node.container("user", "two", process)).await.unwrap_err().to_string();
    assert!(error.contains("unable to find user nobody-knows"), "{error}");
    let mut process = shell("true");
    process.argv = vec!["missing-program".to_owned()];
    let error = start(&pod, node.container("user", "three", process)).await.unwrap_err().to_string();
    assert!(error.contains("executable file not found in $PATH"), "{error}");
    pod.end().await;
}

#[tokio::test]
async fn exec_joins_the_container_with_streams_or_a_terminal() {
    let Some(node) = node().await else { return };
    let pod = node.pod("exec").await;
    let (main, _output) =
        start(&pod, node.container("exec", "one", shell("touch /here; sleep 1000"))).await.unwrap();
    let (streams, output) = output();
    let process =
        pod.exec(&main, shell("ls /here; cat /proc/1/cmdline | tr '\\0' ' '; exit 7"), streams, Vec::new());
    let (code, text) = finish(process.await.unwrap(), output).await;
    assert_eq!(code, 7);
    assert!(text.contains("/here") && text.contains("sleep 1000"), "{text}");
    let (streams, terminal) = Streams::terminal().unwrap();
    let mut process = shell("tty; stty size; read line; echo got $line");
    process.terminal = true;
    let process = pod.exec(&main, process, streams, Vec::new()).await.unwrap();
    let mut terminal = tokio::fs::File::from_std(File::from(terminal.receive().await.unwrap()));
    terminal.write_all(b"words\n").await.unwrap();
    terminal.flush().await.unwrap();
    process.wait().await;
    let mut text = Vec::new();
    let _ = terminal.read_to_end(&mut text).await; // Ends with an error: the terminal hung up.
    let text = String::from_utf8(text).unwrap();
    assert!(text.contains("/dev/pts/0") && text.contains("got words"), "{text}");
    // The end of the first process is the end of all in the container.
    let (streams, _output) = self::output();
    let other = pod.exec(&main, shell("sleep 1000"), streams, Vec::new()).await.unwrap();
    main.signal(9);
    assert_eq!(main.wait().await.code, 137);
    assert_eq!(tokio::time::timeout(Duration::from_secs(60), other.wait()).await.unwrap().signal, Some(9));
    let (streams, _output) = self::output();
    assert!(pod.exec(&main, shell("true"), streams, Vec::new()).await.is_err());
    pod.end().await;
}

/// Processes of this machine whose arguments contain a word.
fn processes_with(word: &str) -> Vec<PathBuf> {
    let all = std::fs::read_dir("/proc").unwrap().flatten().map(|e| e.path());
    all.filter(|p| std::fs::read(p.join("cmdline")).is_ok_and(|c| String::from_utf8_lossy(&c).contains(word)))
        .collect()
}

async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    for _ in 0..1200 {
        if holds() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("{what} did not come true");
}

#[tokio::test]
async fn nothing_outlives_the_node() {
    let Some(node) = node().await else { return };
    let word = format!("outlive-{}", std::process::id());
    let pod = node.pod("orphan").await;
    let script =
        format!("trap '' TERM HUP INT; (setsid sh -c 'sleep 500; : {word}' &) ; sleep 500; : {word}");
    let (_main, _output) = start(&pod, node.container("orphan", "one", shell(&script))).await.unwrap();
    until("the processes", || processes_with(&word).len() >= 2).await;
    // As after `kill -9` of Seaway, the helper sees nothing but the closed channel.
    node.namespace.close().await;
    until("their end", || processes_with(&word).is_empty()).await;
    assert!(pod.has_ended() || tokio::time::timeout(Duration::from_secs(60), pod.ended()).await.is_ok());
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(!mounts.contains(node.folder.path().to_str().unwrap()), "a mount was left behind");
    assert!(!Path::new("/sys/class/net/bridge").exists(), "a link was left behind");
}

/// Names the word by which the other process's pod is found; set only for that process.
const VICTIM: &str = "SEAWAY_TEST_VICTIM";

/// The process that the next test kills. It does nothing by itself.
#[tokio::test]
async fn victim() {
    let Ok(word) = std::env::var(VICTIM) else { return };
    let Some(node) = node().await else { return };
    let pod = node.pod("victim").await;
    let script =
        format!("trap '' TERM HUP INT; (setsid sh -c 'sleep 500; : {word}' &) ; sleep 500; : {word}");
    let (_main, _output) = start(&pod, node.container("victim", "one", shell(&script))).await.unwrap();
    tokio::time::sleep(Duration::from_secs(60)).await;
}

#[tokio::test]
async fn killing_seaway_leaves_no_process_behind() {
    if node().await.is_none() {
        return;
    }
    let folder = TempDir::new().unwrap();
    let word = format!("victim-{}", std::process::id());
    let mut victim = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "victim"])
        .env(VICTIM, &word)
        .env("TMPDIR", folder.path())
        .spawn()
        .unwrap();
    until("the processes", || processes_with(&format!(": {word}")).len() >= 2).await;
    victim.kill().unwrap();
    victim.wait().unwrap();
    until("their end", || processes_with(&format!(": {word}")).is_empty()).await;
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(!mounts.contains(folder.path().to_str().unwrap()), "a mount was left behind");
}

#[tokio::test]
async fn the_end_of_the_helper_is_noticed_and_told() {
    let Some(node) = node().await else { return };
    let pod = node.pod("lost").await;
    let (main, _output) = start(&pod, node.container("lost", "one", shell("sleep 1000"))).await.unwrap();
    let helpers =
        std::fs::read_to_string(format!("/proc/{0}/task/{0}/children", std::process::id())).unwrap();
    let mut killed = 0;
    for pid in helpers.split_whitespace().filter_map(|p| p.parse().ok()) {
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL).unwrap();
        killed += 1;
    }
    // The helper may have been started by another thread of this process.
    if killed == 0 {
        println!("skipped: the helper is no child of the main thread");
        return;
    }
    assert_eq!(tokio::time::timeout(Duration::from_secs(60), main.wait()).await.unwrap().code, 137);
    tokio::time::timeout(Duration::from_secs(60), node.namespace.lost()).await.unwrap();
    let error = node.namespace.dial("10.244.0.2:80".parse().unwrap()).await.unwrap_err().to_string();
    assert!(error.contains("all pods of this node have ended"), "{error}");
}
