//! What a pod cannot reach, whatever it is allowed within itself: each way out is tried from inside.
#![allow(clippy::unwrap_used)]

mod support;

use seaway_node::sandbox::{BindMount, PodOptions, Sandbox, capabilities};
use std::path::{Path, PathBuf};
use support::sandbox::{Node, finish, node, node_with, output, shell, start};
use tempfile::TempDir;

#[tokio::test]
async fn a_container_reaches_nothing_of_the_host() {
    let Some(node) = node().await else { return };
    let pod = node.pod("jail").await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let secret = node.folder.path().join("kubeconfig");
    std::fs::write(&secret, "secret").unwrap();
    let script = format!(
        "cat {secret} && echo LEAK file; cat /proc/1/root{secret} && echo LEAK root; \
         nc -w 2 127.0.0.1 {port} </dev/null && echo LEAK loopback; \
         nc -w 2 {gateway} {port} </dev/null && echo LEAK gateway; \
         echo 1 > /proc/sysrq-trigger && echo LEAK sysrq; echo x > /proc/sys/kernel/core_pattern && echo LEAK sysctl; \
         mount -t tmpfs x /tmp && echo LEAK mount; mknod /made c 1 5 && head -c 1 /made && echo LEAK device; mknod /dev/made c 1 5 && head -c 1 /dev/made && echo LEAK dev; \
         mkdir /x; chroot /x /bin/true && echo LEAK chroot; ls /proc/kcore -s | grep -v '^ *0' && echo LEAK kcore; \
         echo x > /sys/kernel/uevent_helper && echo LEAK sys; ping -c 1 -W 1 192.0.2.1 && echo LEAK out; ls -d /proc/[0-9]*; echo end",
        secret = secret.display(),
        gateway = node.namespace.gateway(),
    );
    let (_, text) = node.run(&pod, node.container("jail", "one", shell(&script))).await;
    assert!(text.ends_with("end\n") && !text.contains("LEAK") && !text.contains("secret\n"), "{text}");
    pod.end().await;
}

/// What a container tries that has all rights, sees the processes of its pod and has no filter of system calls: each way
/// out that succeeds prints LEAK. It ends with `end`.
async fn try_to_get_out(node: &Node, pod: &Sandbox) -> Option<String> {
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::net::{SocketAddr, UnixListener};
    let folder = node.folder.path();
    let secret = folder.join("kubeconfig");
    std::fs::write(&secret, "secret").unwrap();
    let name = format!("seaway-test-{}", std::process::id());
    let _abstract = UnixListener::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
    let script = format!(
        "disk() {{ mknod $1 c 1 5 && head -c 1 $1 >/dev/null && echo LEAK $1; }}; \
         disk /disk; disk /dev/disk; disk /dev/shm/disk; disk /volume/disk; \
         mkdir -p /mnt; mount -t tmpfs x /mnt && disk /mnt/disk; mount -o remount,dev / && disk /disk2; \
         mount -o remount,dev /dev && disk /dev/disk2; mount -t devtmpfs x /mnt && ls /mnt && echo LEAK devtmpfs; \
         for each in /proc/[0-9]*; do cat $each/root{secret} $each/cwd{secret} && echo LEAK $each; done; \
         nsenter -t 1 -m cat {secret} && echo LEAK nsenter; nsenter -t 1 -n -m true && echo LEAK network; \
         for each in /proc/1/fd/*; do ls -L $each/ && echo LEAK $each; done; \
         umount /proc/sys; mount -o remount,rw /proc/sys; mount -t proc x /mnt; \
         for each in /proc /mnt; do echo x > $each/sys/kernel/core_pattern && echo LEAK core $each; \
         echo 1 > $each/sys/vm/drop_caches && echo LEAK caches; done; echo h > /proc/sysrq-trigger && echo LEAK sysrq; \
         mount -o remount,rw /sys; echo x > /sys/kernel/uevent_helper && echo LEAK uevent; \
         mount -t cgroup -o memory x /mnt && echo x > /mnt/release_agent && echo LEAK agent; \
         mount -t ext4 /dev/disk /mnt && echo LEAK ext4; dmesg -c && echo LEAK dmesg; date -s \"$(date '+%Y-%m-%d %H:%M:%S')\" 2>&1 | grep -q 'not permitted' || echo LEAK clock; \
         cat /proc/keys /proc/kcore | head -c 1 | grep . && echo LEAK masked; \
         grep {name} /proc/net/unix && echo LEAK abstract; ln -s {secret} /volume/link; cat /volume/link && echo LEAK link; \
         rm -f /disk /disk2 /dev/disk* /dev/shm/disk /volume/disk; cat /proc/self/uid_map; echo end",
        secret = secret.display(),
    );
    let volume = folder.join("volume");
    std::fs::create_dir_all(&volume).unwrap();
    let mut spec = node.container("jail", "one", shell(&script));
    spec.share_processes = true;
    spec.process.capabilities = capabilities(&["ALL".to_owned()], &[]).unwrap();
    spec.process.seccomp = false;
    spec.mounts =
        vec![BindMount { source: volume, sub_path: None, target: "/volume".to_owned(), read_only: false }];
    match start(pod, spec).await {
        Ok((process, output)) => Some(finish(process, output).await.1),
        Err(e) => {
            assert!(e.to_string().contains("hostUsers"), "{e}");
            println!("skipped: this kernel can give a pod no users of its own, so such rights are refused");
            None
        }
    }
}

#[tokio::test]
async fn with_all_rights_a_container_gets_no_further_than_its_pod() {
    let Some(node) = node().await else { return };
    let pod = node.pod("jail").await;
    let Some(text) = try_to_get_out(&node, &pod).await else { return };
    assert!(text.ends_with("end\n") && !text.contains("LEAK") && !text.contains("secret\n"), "{text}");
    let map: Vec<&str> = text.lines().rev().nth(1).unwrap().split_whitespace().collect();
    if nix::unistd::geteuid().is_root() {
        assert!(map[0] == "0" && map[1].parse::<u32>().unwrap() >= 1 << 30 && map[2] == "65536", "{map:?}");
    } else {
        assert_eq!(map, ["0", "0", "1"], "one user, as the node's own namespace calls it");
    }
    pod.end().await;
}

#[tokio::test]
async fn a_pods_users_are_its_own_and_files_keep_their_owners() {
    use std::os::unix::fs::{MetadataExt, chown};
    if !nix::unistd::geteuid().is_root() {
        println!("skipped: only root can give a pod users of its own");
        return;
    }
    let Some(node) = node().await else { return };
    let data = node.folder.path().join("data");
    std::fs::create_dir(&data).unwrap();
    std::fs::write(data.join("webs"), "webs\n").unwrap();
    chown(data.join("webs"), Some(1000), Some(1000)).unwrap();
    let mount = |target: &str, sub_path: Option<&str>| BindMount {
        source: data.clone(),
        sub_path: sub_path.map(str::to_owned),
        target: target.to_owned(),
        read_only: false,
    };
    let script = "for each in / /bin/busybox /dev /dev/shm /data/webs /data/inner /deep /deep/in /new /proc/1; do \
                  echo $each $(stat -c %u:%g $each); done; \
                  echo x > /data/roots; su web -c 'echo w > /data/inner/made && ls -n /data/inner/made'; \
                  chown web /data/roots /tmp; touch /deep/x; readlink /proc/1/ns/user; ping -c 1 -W 5 127.0.0.1 | grep -c '1 packets rec'";
    let container = |pod: &str| {
        let mut spec = node.container(pod, "one", shell(script));
        spec.mounts = vec![
            mount("/data", None),
            mount("/data/inner", Some("kept")),
            mount("/deep/in/it", None),
            mount("/new", Some("made/here")),
        ];
        spec
    };
    std::fs::create_dir(data.join("kept")).unwrap();
    chown(data.join("kept"), Some(1000), Some(1000)).unwrap();
    let (one, other) = (node.pod("one").await, node.pod("other").await);
    let (_, map) = node.run(&one, node.container("one", "map", shell("cat /proc/self/uid_map"))).await;
    if map.contains("4294967295") {
        println!("skipped: this kernel or file system cannot map the owners of files");
        return;
    }
    let (code, first) = node.run(&one, container("one")).await;
    let (_, second) = node.run(&other, container("other")).await;
    assert_eq!(code, 0, "{first}");
    for line in [
        "/ 0:0",
        "/bin/busybox 0:0",
        "/dev 0:0",
        "/dev/shm 0:0",
        "/data/webs 1000:1000",
        "/data/inner 1000:1000",
    ]
    .iter()
    .chain(&["/deep 0:0", "/deep/in 0:0", "/new 0:0", "/proc/1 0:0"])
    {
        assert!(first.lines().any(|each| each == *line), "{line}: {first}");
    }
    assert!(first.contains(" 1000     1000 ") && first.ends_with("\n1\n"), "{first}");
    let namespace = |text: &str| text.lines().find(|line| line.starts_with("user:[")).map(str::to_owned);
    assert!(namespace(&first).is_some() && namespace(&first) != namespace(&second), "{first} {second}");
    // On disk they are whom the pod said.
    let owner = |name: &str| std::fs::metadata(data.join(name)).unwrap().uid();
    assert_eq!((owner("roots"), owner("kept/made"), owner("made/here"), owner("inner")), (1000, 1000, 0, 0));
    // Whoever asks for the host's users gets them, and no right that would reach further.
    let options = PodOptions { own_users: false, ..node.options("hosts") };
    let host = node.namespace.create_pod(options).await.unwrap();
    let script = "cat /proc/self/uid_map; for each in /made /dev/made /dev/shm/made; do \
                  mknod $each c 1 5 && head -c 1 $each && echo LEAK $each; done";
    let mut spec = node.container("hosts", "one", shell(script));
    let (_, text) = node.run(&host, spec.clone()).await;
    assert!(text.contains("4294967295") && text.contains("/dev/made") && !text.contains("LEAK"), "{text}");
    spec = node.container("hosts", "two", spec.process);
    spec.process.capabilities = capabilities(&["SYS_ADMIN".to_owned()], &[]).unwrap();
    let error = start(&host, spec).await.unwrap_err().to_string();
    assert!(error.contains("SYS_ADMIN") && error.contains("hostUsers"), "{error}");
    assert!(one.has_own_users() && !host.has_own_users());
    // What only the image names beyond its users is said, with what helps.
    spec = node.container("one", "beyond", shell("true"));
    spec.process.user = "65536".to_owned();
    let error = start(&one, spec).await.unwrap_err().to_string();
    assert!(error.contains("65536") && error.contains("hostUsers: true"), "{error}");
}

/// A user whom nobody else is here.
const ORDINARY: u32 = 64_711;

/// A program that starts the helper as that user, who may have 200 processes; `None` (and why) where that cannot be.
fn ordinary_helper(folder: &Path) -> Option<PathBuf> {
    use std::os::unix::fs::PermissionsExt;
    let there = |program: &str| Path::new("/usr/bin").join(program).exists();
    if !nix::unistd::geteuid().is_root() || !there("setpriv") || !there("prlimit") {
        println!("skipped: only root can start this as a user who may have few processes");
        return None;
    }
    let helper = folder.join("helper");
    let script = format!(
        "#!/bin/sh\nexec prlimit --nproc=200:200 setpriv --reuid={ORDINARY} --regid={ORDINARY} --clear-groups {} \"$@\"\n",
        env!("CARGO_BIN_EXE_seaway-node-helper")
    );
    std::fs::write(&helper, script).unwrap();
    std::fs::set_permissions(&helper, PermissionsExt::from_mode(0o755)).unwrap();
    Some(helper)
}

#[tokio::test]
async fn a_process_begins_in_no_folder_that_was_left_open() {
    let Some(node) = node().await else { return };
    let secret = node.folder.path().join("kubeconfig");
    std::fs::write(&secret, "secret").unwrap();
    let pod = node.pod("begin").await;
    let script = format!(
        "for up in . .. ../.. ../../.. ../../../..; do cat $up{} $up/kubeconfig; done",
        secret.display()
    );
    let main = node.container("begin", "main", shell("sleep 1000"));
    let (main, _output) = start(&pod, main).await.unwrap();
    for number in 3..24 {
        let mut process = shell(&script);
        process.working_dir = format!("/proc/self/fd/{number}");
        let container = node.container("begin", &format!("n{number}"), process.clone());
        if let Ok((process, output)) = start(&pod, container).await {
            let (_, text) = finish(process, output).await;
            assert!(!text.contains("secret"), "{number}: {text}");
        }
        let (streams, output) = output();
        if let Ok(process) = pod.exec(&main, process, streams, Vec::new()).await {
            let (_, text) = finish(process, output).await;
            assert!(!text.contains("secret"), "{number}: {text}");
        }
    }
    pod.end().await;
}

#[test]
fn an_ordinary_users_pods_get_no_further_either() {
    support::as_an_ordinary_user(&[
        "a_container_reaches_nothing_of_the_host",
        "with_all_rights_a_container_gets_no_further_than_its_pod",
        "a_process_begins_in_no_folder_that_was_left_open",
        "lists_of_users_that_never_end_or_begin_are_no_lists",
        "calls_that_change_the_machine_are_refused_and_those_of_programs_are_not",
    ]);
}

#[tokio::test]
async fn the_pods_of_an_ordinary_user_leave_him_processes_to_start() {
    use std::os::unix::fs::{PermissionsExt, chown};
    let folder = TempDir::new().unwrap();
    let Some(helper) = ordinary_helper(folder.path()) else { return };
    let Some(node) = node_with(helper).await else { return };
    std::fs::set_permissions(node.folder.path(), PermissionsExt::from_mode(0o755)).unwrap();
    let pod = node.pod("bomb").await;
    let script = "i=0; while [ $i -lt 300 ]; do sleep 1000 & i=$((i+1)); done; echo all";
    let container = node.container("bomb", "one", shell(script));
    for part in [&container.upper, &container.work] {
        chown(part, Some(ORDINARY), Some(ORDINARY)).unwrap();
    }
    let (code, text) = node.run(&pod, container).await;
    assert!(code != 0 && text.contains("an't fork") && !text.contains("all"), "{code} {text}");
    pod.end().await;
}

#[tokio::test]
async fn lists_of_users_that_never_end_or_begin_are_no_lists() {
    let Some(node) = node().await else { return };
    let pod = node.pod("lists").await;
    let container = |name: &str| {
        let spec = node.container("lists", name, shell("echo ran"));
        // As an image may have them.
        std::fs::create_dir(spec.upper.join("etc")).unwrap();
        std::os::unix::fs::symlink("/dev/zero", spec.upper.join("etc/passwd")).unwrap();
        nix::unistd::mkfifo(&spec.upper.join("etc/group"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        spec
    };
    let mut named = container("one");
    named.process.user = "web".to_owned();
    let error = start(&pod, named).await.unwrap_err().to_string();
    assert!(error.contains("unable to find user web"), "{error}");
    let spec = container("two");
    assert_eq!(node.run(&pod, spec).await, (0, "ran\n".to_owned()));
    pod.end().await;
}

#[tokio::test]
async fn calls_that_change_the_machine_are_refused_and_those_of_programs_are_not() {
    let Some(node) = node().await else { return };
    let pod = node.pod("calls").await;
    // Each has the right to do it, as far as capabilities go, or needs none.
    let script = "grep -h Seccomp: /proc/self/status; unshare -U true && echo MADE; unshare -n true && echo MADE; \
                  mount -t tmpfs x /tmp && echo MADE; hostname other && echo MADE; dmesg >/dev/null && echo MADE; \
                  date -s 2001-01-01 2>&1 >/dev/null | grep -q 'not permitted' || echo MADE; (sleep 0.01 & wait) && setarch -h 2>/dev/null; \
                  su web -c 'id -u'; chown web /tmp && chroot / true && echo fine";
    let mut spec = node.container("calls", "one", shell(script));
    spec.process.capabilities = capabilities(&["SYS_TIME".to_owned(), "SYSLOG".to_owned()], &[]).unwrap();
    if !pod.has_own_users() {
        // Nobody gets these then.
        spec.process.capabilities = capabilities(&[], &[]).unwrap();
    }
    let (_, text) = node.run(&pod, spec).await;
    assert!(
        text.starts_with("Seccomp:\t2\n") && text.ends_with("fine\n") && !text.contains("MADE"),
        "{text}"
    );
    let mut free = node.container(
        "calls",
        "two",
        shell("grep -h Seccomp: /proc/self/status; unshare -U true && echo MADE"),
    );
    free.process.seccomp = false;
    let (_, text) = node.run(&pod, free).await;
    // Without privileges there is another filter, which lets programs believe that they changed their user.
    assert!(text.contains("MADE"), "{text}");
    pod.end().await;
}
