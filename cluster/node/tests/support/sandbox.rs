//! Sandboxes without a kubelet, as tests use them.

use seaway_node::image::{Credentials, Image, ImageStore, LayoutFolder, Progress, StoreOptions};
use seaway_node::sandbox::{
    ContainerSpec, NamespaceOptions, NodeNamespace, PodOptions, Process, ProcessSpec, Sandbox, Streams,
    capabilities,
};
use std::fs::File;
use std::io::Read;
use std::path::PathBuf;
use std::time::Duration;
use tempfile::TempDir;

/// A node's namespace, and an image to run.
pub struct Node {
    pub folder: TempDir,
    pub image: Image,
    pub namespace: NodeNamespace,
}

/// A node with a busybox image; `None` (and why) where this machine has no busybox or forbids namespaces.
pub async fn node() -> Option<Node> {
    node_with(super::helper()).await
}

pub async fn node_with(helper: PathBuf) -> Option<Node> {
    let folder = TempDir::new().unwrap();
    super::busybox_layout(&folder.path().join("layout"))?;
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

pub fn shell(script: &str) -> ProcessSpec {
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
    pub async fn pod(&self, name: &str) -> Sandbox {
        self.namespace.create_pod(self.options(name)).await.unwrap()
    }

    pub fn options(&self, name: &str) -> PodOptions {
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

    pub fn container(&self, pod: &str, name: &str, process: ProcessSpec) -> ContainerSpec {
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
    pub async fn run(&self, pod: &Sandbox, spec: ContainerSpec) -> (i32, String) {
        let (process, output) = start(pod, spec).await.unwrap();
        finish(process, output).await
    }
}

pub fn output() -> (Streams, File) {
    let output = tempfile::tempfile().unwrap();
    let null = File::open("/dev/null").unwrap();
    let streams =
        Streams::Files(null.into(), output.try_clone().unwrap().into(), output.try_clone().unwrap().into());
    (streams, output)
}

pub async fn start(pod: &Sandbox, spec: ContainerSpec) -> seaway_node::Result<(Process, File)> {
    let (streams, output) = output();
    Ok((pod.start(spec, streams, Vec::new()).await?, output))
}

pub async fn finish(process: Process, mut output: File) -> (i32, String) {
    let exit =
        tokio::time::timeout(Duration::from_secs(60), process.wait()).await.expect("the container ends");
    let mut text = String::new();
    std::io::Seek::rewind(&mut output).unwrap();
    output.read_to_string(&mut text).unwrap();
    (exit.code, text)
}
