//! What Seaway and its helper processes say to each other.

use serde::{Deserialize, Serialize};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::PathBuf;

/// The first message to the node's namespace.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct NodeSetup {
    /// Address of the bridge: the pods' gateway and name server.
    pub(crate) gateway: Ipv4Addr,
    /// Length of the pods' network prefix.
    pub(crate) prefix: u8,
    /// Addresses of services; all of them are local to the node's namespace.
    pub(crate) services: Ipv4Addr,
    /// Length of that prefix.
    pub(crate) services_prefix: u8,
}

/// Asked of the node's init, answered in order by [`Reply`].
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum NodeRequest {
    /// A TCP socket that is not connected yet.
    TcpSocket,
    /// A TCP socket that listens.
    TcpListener(SocketAddrV4),
    /// A bound UDP socket.
    UdpSocket(SocketAddrV4),
    /// A pod's namespaces; the message carries the pod's channel.
    Pod(PodSetup),
}

/// The answer; a socket travels beside it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Reply {
    /// Done.
    Done,
    /// Not done.
    Failed(Failure),
}

/// A refused operation.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Failure {
    /// Which operation.
    pub(crate) what: String,
    /// The operating system's number, 0 for none.
    pub(crate) errno: i32,
}

/// What a pod shares among its containers.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct PodSetup {
    /// Name of the pod's link at the bridge, at most 15 bytes.
    pub(crate) link: String,
    /// Host name inside.
    pub(crate) hostname: String,
    /// Address inside.
    pub(crate) address: Ipv4Addr,
    /// Length of the network prefix.
    pub(crate) prefix: u8,
    /// Where all other addresses are reached.
    pub(crate) gateway: Ipv4Addr,
    /// Its users are its own, if the host can do it.
    pub(crate) own_users: bool,
    /// Folder on which the pod's shared memory is mounted.
    pub(crate) shm: PathBuf,
    /// Folders that are kept in memory, with a size in bytes (0: no limit of their own).
    pub(crate) memory_volumes: Vec<(PathBuf, u64)>,
    /// `net.*` and IPC settings of the pod.
    pub(crate) sysctls: Vec<(String, String)>,
}

/// Asked of a pod's init.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum PodRequest {
    /// Start a container, in a process namespace of its own or in that of a running container. Beside: standard input,
    /// output, error, then `cgroup.procs` files to join.
    Start { id: u64, container: Box<ContainerSpec>, processes_of: Option<u64> },
    /// Start a process in a running container. Beside: as above.
    Exec { id: u64, container: u64, process: Box<ProcessSpec> },
    /// Send a signal to a process.
    Signal { id: u64, signal: i32 },
    /// A TCP socket in the pod's network that is not connected yet; answered by [`PodEvent::Socket`].
    Socket { id: u64 },
    /// Kill everything, then say [`PodEvent::Ended`] and exit.
    End,
}

/// Told by a pod's init.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum PodEvent {
    /// The namespaces are set up, and whether the users are the pod's own.
    Ready { own_users: bool },
    /// They could not be.
    Failed(Failure),
    /// The process runs its program.
    Started { id: u64 },
    /// It could not be started.
    NotStarted { id: u64, problem: String },
    /// It has ended.
    Exited { id: u64, exit: Exit },
    /// A socket travels beside, or the operating system's number says why there is none.
    Socket { id: u64, errno: i32 },
    /// Everything in the pod has ended.
    Ended,
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exit {
    /// Exit code; 128 + signal when a signal ended it.
    pub code: i32,
    /// The signal, if one did.
    pub signal: Option<i32>,
}

/// A container's file system and first process.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ContainerSpec {
    /// Empty folder on which the root is mounted.
    pub root: PathBuf,
    /// Unpacked image layers, the lowest first; all in one folder.
    pub layers: Vec<PathBuf>,
    /// Folder that takes the container's changes.
    pub upper: PathBuf,
    /// Overlayfs' own folder, on the same file system.
    pub work: PathBuf,
    /// No changes outside volumes.
    pub read_only_root: bool,
    /// The pod's shared memory.
    pub shm: PathBuf,
    /// What is mounted into the root, in this order.
    pub mounts: Vec<BindMount>,
    /// Use the pod's process namespace in place of an own one.
    pub share_processes: bool,
    /// Its first process.
    pub process: ProcessSpec,
}

/// A file or folder of the host inside a container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BindMount {
    /// File or folder outside.
    pub source: PathBuf,
    /// Path below `source` that is mounted in its place; cannot leave it. Made as a folder when missing.
    pub sub_path: Option<String>,
    /// Absolute path inside; made when missing.
    pub target: String,
    /// Cannot be written through this mount.
    pub read_only: bool,
}

/// A process in a container.
#[derive(Clone, Serialize, Deserialize)]
pub struct ProcessSpec {
    /// Program and arguments; the program is looked for in `PATH`.
    pub argv: Vec<String>,
    /// Environment in order.
    pub env: Vec<(String, String)>,
    /// Where it starts; made when missing.
    pub working_dir: String,
    /// `user[:group]` by name or number, as images write it.
    pub user: String,
    /// Wins over the group of `user`.
    pub group: Option<u32>,
    /// Groups besides those that `/etc/group` gives.
    pub supplemental_groups: Vec<u32>,
    /// Bit set of capabilities it may have.
    pub capabilities: u64,
    /// It cannot gain rights by executing a set-user-id program.
    pub no_new_privileges: bool,
    /// The usual filter of system calls applies to it.
    pub seccomp: bool,
    /// Its standard streams are a terminal.
    pub terminal: bool,
    /// `oom_score_adj`, when it is to be set.
    pub oom_score: Option<i32>,
}

impl std::fmt::Debug for ProcessSpec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Arguments and environment may hold secrets.
        let names: Vec<&str> = self.env.iter().map(|(name, _)| name.as_str()).collect();
        f.debug_struct("ProcessSpec").field("env", &names).field("user", &self.user).finish_non_exhaustive()
    }
}
