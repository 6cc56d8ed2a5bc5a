//! Sandboxes: what a process in a pod sees, what it cannot reach, and that nothing outlives the node.
#![allow(clippy::unwrap_used)]

mod support;

use seaway_node::image::{Credentials, Image, ImageStore, LayoutFolder, Progress, StoreOptions};
use seaway_node::sandbox::{
    BindMount, ContainerSpec, NamespaceOptions, NodeNamespace, PodOptions, Process, ProcessSpec, Sandbox,
    Streams, capabilities,
};
use std::fs::File;
use std::io::Read;
use std::net::SocketAddrV4;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

struct Node {
    folder: TempDir,
    image: Image,
    namespace: NodeNamespace,
}

/// A node with a busybox image; `None` (and why) where this machine has no busybox or forbids namespaces.
async fn node() -> Option<Node> {
    node_with(PathBuf::from(env!("CARGO_BIN_EXE_seaway-node-helper"))).await
}

async fn node_with(helper: PathBuf) -> Option<Node> {
    let folder = TempDir::new().unwrap();
    support::busybox_layout(&folder.path().join("layout"))?;
    let mut options = StoreOptions::new(folder.path().join("images"));
    options.layouts = vec![LayoutFolder::new(folder.path().join("layout"))];
    let store = ImageStore::open(options).unwrap();
    let image =
        store.pull("registry.test/busybox:1", &Credentials::default(), &Progress::default()).await.unwrap();
    let options = NamespaceOptions { helper: Some(helper), ..NamespaceOptions::default() };
    match NodeNamespace::start(options).await {
        Ok(namespace) => Some(Node { folder, image, namespace }),
        Err(e @ seaway_node::Error::Forbidden { .. }) => {
            println!("skipped: {e}");
            None
        }
        Err(e) => panic!("{e}"),
    }
}

fn shell(script: &str) -> ProcessSpec {
    ProcessSpec {
        argv: vec!["/bin/sh".to_owned(), "-c".to_owned(), script.to_owned()],
        env: vec![("PATH".to_owned(), "/bin".to_owned())],
        working_dir: "/".to_owned(),
        user: String::new(),
        group: None,
        supplemental_groups: Vec::new(),
        capabilities: capabilities(&[], &[]).unwrap(),
        no_new_privileges: false,
        seccomp: true,
        terminal: false,
        oom_score: None,
    }
}

impl Node {
    async fn pod(&self, name: &str) -> Sandbox {
        self.namespace.create_pod(self.options(name)).await.unwrap()
    }

    fn options(&self, name: &str) -> PodOptions {
        let shm = self.folder.path().join(name).join("shm");
        std::fs::create_dir_all(&shm).unwrap();
        PodOptions {
            name: name.to_owned(),
            hostname: name.to_owned(),
            own_users: true,
            shm,
            memory_volumes: Vec::new(),
            sysctls: Vec::new(),
        }
    }

    fn container(&self, pod: &str, name: &str, process: ProcessSpec) -> ContainerSpec {
        let folder = self.folder.path().join(pod).join(name);
        for part in ["root", "upper", "work"] {
            std::fs::create_dir_all(folder.join(part)).unwrap();
        }
        ContainerSpec {
            root: folder.join("root"),
            layers: self.image.layers.clone(),
            upper: folder.join("upper"),
            work: folder.join("work"),
            read_only_root: false,
            shm: self.folder.path().join(pod).join("shm"),
            mounts: Vec::new(),
            share_processes: false,
            process,
        }
    }

    /// Runs a container to its end: exit code and what it wrote.
    async fn run(&self, pod: &Sandbox, spec: ContainerSpec) -> (i32, String) {
        let (process, output) = start(pod, spec).await.unwrap();
        finish(process, output).await
    }
}

fn output() -> (Streams, File) {
    let output = tempfile::tempfile().unwrap();
    let null = File::open("/dev/null").unwrap();
    let streams =
        Streams::Files(null.into(), output.try_clone().unwrap().into(), output.try_clone().unwrap().into());
    (streams, output)
}

async fn start(pod: &Sandbox, spec: ContainerSpec) -> seaway_node::Result<(Process, File)> {
    let (streams, output) = output();
    Ok((pod.start(spec, streams, Vec::new()).await?, output))
}

async fn finish(process: Process, mut output: File) -> (i32, String) {
    let exit =
        tokio::time::timeout(Duration::from_secs(60), process.wait()).await.expect("the container ends");
    let mut text = String::new();
    std::io::Seek::rewind(&mut output).unwrap();
    output.read_to_string(&mut text).unwrap();
    (exit.code, text)
}

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
async fn try_to_get_out(node: &Node, pod: &Sandbox, own: impl Fn(&Path)) -> Option<String> {
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::net::{SocketAddr, UnixListener};
    let folder = node.folder.path();
    let secret = folder.join("kubeconfig");
    std::fs::write(&secret, "secret").unwrap();
    own(&secret);
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
    own(&volume);
    let mut spec = node.container("jail", "one", shell(&script));
    spec.share_processes = true;
    spec.process.capabilities = capabilities(&["ALL".to_owned()], &[]).unwrap();
    spec.process.seccomp = false;
    spec.mounts =
        vec![BindMount { source: volume, sub_path: None, target: "/volume".to_owned(), read_only: false }];
    for part in [&spec.upper, &spec.work] {
        own(part);
    }
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
    let Some(text) = try_to_get_out(&node, &pod, |_| {}).await else { return };
    assert!(text.ends_with("end\n") && !text.contains("LEAK") && !text.contains("secret\n"), "{text}");
    if nix::unistd::geteuid().is_root() {
        let map: Vec<&str> = text.lines().rev().nth(1).unwrap().split_whitespace().collect();
        assert!(map[0] == "0" && map[1].parse::<u32>().unwrap() >= 1 << 30 && map[2] == "65536", "{map:?}");
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
async fn an_ordinary_users_container_gets_no_further_than_its_pod() {
    use std::os::unix::fs::{PermissionsExt, chown};
    let folder = TempDir::new().unwrap();
    let Some(helper) = ordinary_helper(folder.path()) else { return };
    let Some(node) = node_with(helper).await else { return };
    std::fs::set_permissions(node.folder.path(), PermissionsExt::from_mode(0o755)).unwrap();
    let pod = node.pod("jail").await;
    let own = |path: &Path| chown(path, Some(ORDINARY), Some(ORDINARY)).unwrap();
    let text = try_to_get_out(&node, &pod, own).await.unwrap();
    assert!(text.ends_with("end\n") && !text.contains("LEAK") && !text.contains("secret\n"), "{text}");
    let map: Vec<&str> = text.lines().rev().nth(1).unwrap().split_whitespace().collect();
    assert_eq!(map, ["0", "0", "1"], "one user, as the node's own namespace calls it");
    pod.end().await;
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
    server.end().await;
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
    let (_, text) = node.run(&pod, spec.clone()).await;
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
