//! One pod's namespaces and the processes in them.

use super::channel::{receive, send};
use super::namespace::PodAddress;
use crate::error::{Error, Result};
use crate::helper::protocol::{ContainerSpec, Exit, PodEvent, PodRequest, PodSetup, ProcessSpec};
use crate::helper::wire;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::io::Interest;
use tokio::net::unix::OwnedReadHalf;
use tokio::net::{TcpSocket, TcpStream, UnixStream};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::timeout;

/// A pod that does not set up or end in this time is given up.
const PATIENCE: Duration = Duration::from_secs(30);

/// What the containers of a pod share.
#[derive(Clone, Debug)]
pub struct PodOptions {
    /// Unique on the node; for messages and the link's name.
    pub name: String,
    /// Host name inside.
    pub hostname: String,
    /// Its users are its own, if the host can do it; else those of the host, or of the ordinary user who runs Seaway.
    pub own_users: bool,
    /// Empty folder for the shared memory.
    pub shm: PathBuf,
    /// Folders that are kept in memory, with a size in bytes (0: no limit of their own).
    pub memory_volumes: Vec<(PathBuf, u64)>,
    /// `securityContext.sysctls`.
    pub sysctls: Vec<(String, String)>,
}

impl PodOptions {
    pub(super) fn setup(&self, address: Ipv4Addr, prefix: u8, gateway: Ipv4Addr) -> PodSetup {
        let [.., third, fourth] = address.octets();
        PodSetup {
            link: format!("pod{third}-{fourth}"),
            hostname: self.hostname.clone(),
            address,
            prefix,
            gateway,
            own_users: self.own_users,
            shm: self.shm.clone(),
            memory_volumes: self.memory_volumes.clone(),
            sysctls: self.sysctls.clone(),
        }
    }
}

/// Where a process reads and writes.
#[derive(Debug)]
pub enum Streams {
    /// Standard input, output and error.
    Files(OwnedFd, OwnedFd, OwnedFd),
    /// A terminal; take its other side with [`Streams::terminal`]'s receiver.
    Terminal(OwnedFd),
}

/// Gives the controlling side of a terminal once the process has opened it.
#[derive(Debug)]
pub struct TerminalReceiver(UnixStream);

impl Streams {
    /// A terminal that the process opens in its own container.
    pub fn terminal() -> std::io::Result<(Self, TerminalReceiver)> {
        let (ours, theirs) = super::channel::pair()?;
        Ok((Self::Terminal(theirs), TerminalReceiver(ours)))
    }

    fn into_fds(self) -> Vec<OwnedFd> {
        match self {
            Self::Files(input, output, error) => vec![input, output, error],
            Self::Terminal(console) => vec![console],
        }
    }
}

impl TerminalReceiver {
    /// The controlling side.
    pub async fn receive(self) -> std::io::Result<OwnedFd> {
        let head = self.0.async_io(Interest::READABLE, || wire::receive_head(self.0.as_raw_fd())).await?;
        head.and_then(|(_, mut fds)| fds.pop())
            .ok_or_else(|| std::io::Error::other("the process opened no terminal"))
    }
}

#[derive(Debug)]
struct Pending {
    started: Option<oneshot::Sender<Result<(), String>>>,
    exit: watch::Sender<Option<Exit>>,
}

#[derive(Debug)]
struct Shared {
    name: String,
    requests: mpsc::UnboundedSender<(PodRequest, Vec<OwnedFd>)>,
    processes: Mutex<HashMap<u64, Pending>>,
    sockets: Mutex<HashMap<u64, oneshot::Sender<std::io::Result<OwnedFd>>>>,
    next: AtomicU64,
    ended: watch::Receiver<bool>,
}

/// A pod's namespaces. Dropping the last handle ends everything in them.
#[derive(Clone, Debug)]
pub struct Sandbox {
    shared: Arc<Shared>,
    address: Arc<PodAddress>,
    own_users: bool,
}

/// A process in a pod.
#[derive(Clone, Debug)]
pub struct Process {
    id: u64,
    exit: watch::Receiver<Option<Exit>>,
    requests: mpsc::UnboundedSender<(PodRequest, Vec<OwnedFd>)>,
}

impl Sandbox {
    pub(super) async fn connect(name: String, address: PodAddress, channel: UnixStream) -> Result<Self> {
        let fail = |problem: String| Error::Sandbox { pod: name.clone(), problem };
        let (mut read, mut write) = channel.into_split();
        let own_users = match timeout(PATIENCE, receive::<PodEvent>(&mut read)).await {
            Ok(Ok(Some((PodEvent::Ready { own_users }, _)))) => own_users,
            Ok(Ok(Some((PodEvent::Failed(failure), _)))) => {
                let source = std::io::Error::from_raw_os_error(failure.errno);
                return Err(fail(format!("{}: {source}", failure.what)));
            }
            Ok(Ok(_)) => return Err(fail("its init ended before it was ready".to_owned())),
            Ok(Err(e)) => return Err(fail(format!("talking to its init: {e}"))),
            Err(_) => return Err(fail("its init does not answer".to_owned())),
        };
        let (requests, mut queue) = mpsc::unbounded_channel::<(PodRequest, Vec<OwnedFd>)>();
        let (ended_sender, ended) = watch::channel(false);
        let (processes, sockets) = (Mutex::default(), Mutex::default());
        let shared = Arc::new(Shared { name, requests, processes, sockets, next: AtomicU64::new(1), ended });
        tokio::spawn(async move {
            while let Some((request, fds)) = queue.recv().await {
                if send(&mut write, &request, &fds).await.is_err() {
                    break;
                }
            }
        });
        let weak = Arc::downgrade(&shared);
        let address = Arc::new(address);
        let taken = Arc::downgrade(&address);
        tokio::spawn(async move {
            read_events(&mut read, &weak).await;
            if let Some(address) = taken.upgrade() {
                address.vacate();
            }
            if let Some(shared) = weak.upgrade() {
                shared.lose_all();
            }
            let _ = ended_sender.send(true);
        });
        Ok(Self { shared, address, own_users })
    }

    /// Whether its users are its own. False where the host can give it none, and where the pod asked for the host's.
    pub fn has_own_users(&self) -> bool {
        self.own_users
    }

    /// The pod's address.
    pub fn address(&self) -> Ipv4Addr {
        **self.address
    }

    /// Starts a container; returns when its program runs. `cgroups` are open `cgroup.procs` files to join.
    pub async fn start(
        &self,
        container: ContainerSpec,
        streams: Streams,
        cgroups: Vec<OwnedFd>,
    ) -> Result<Process> {
        let make = |id| PodRequest::Start { id, container: Box::new(container), processes_of: None };
        self.launch(make, streams, cgroups).await
    }

    /// Starts a container that sees the processes of a running one.
    pub async fn start_beside(
        &self,
        other: &Process,
        container: ContainerSpec,
        streams: Streams,
        cgroups: Vec<OwnedFd>,
    ) -> Result<Process> {
        let processes_of = Some(other.id);
        let make = |id| PodRequest::Start { id, container: Box::new(container), processes_of };
        self.launch(make, streams, cgroups).await
    }

    /// Starts a process in a running container.
    pub async fn exec(
        &self,
        container: &Process,
        process: ProcessSpec,
        streams: Streams,
        cgroups: Vec<OwnedFd>,
    ) -> Result<Process> {
        let container = container.id;
        let make = |id| PodRequest::Exec { id, container, process: Box::new(process) };
        self.launch(make, streams, cgroups).await
    }

    /// Connects to a port as the pod's own programs do, on its loopback address.
    pub async fn dial(&self, port: u16) -> std::io::Result<TcpStream> {
        let gone = || std::io::Error::new(std::io::ErrorKind::NotConnected, "the pod has ended");
        let id = self.shared.next.fetch_add(1, Ordering::Relaxed);
        let (opened, wait) = oneshot::channel();
        self.shared.sockets.lock().insert(id, opened);
        if *self.shared.ended.borrow()
            || self.shared.requests.send((PodRequest::Socket { id }, Vec::new())).is_err()
        {
            self.shared.sockets.lock().remove(&id);
            return Err(gone());
        }
        let socket = wait.await.map_err(|_| gone())??;
        let socket = TcpSocket::from_std_stream(std::net::TcpStream::from(socket));
        socket.connect((Ipv4Addr::LOCALHOST, port).into()).await
    }

    async fn launch(
        &self,
        make: impl FnOnce(u64) -> PodRequest,
        streams: Streams,
        cgroups: Vec<OwnedFd>,
    ) -> Result<Process> {
        let fail = |problem: String| Error::Start { container: self.shared.name.clone(), problem };
        let id = self.shared.next.fetch_add(1, Ordering::Relaxed);
        let (started, wait) = oneshot::channel();
        let (exit_sender, exit) = watch::channel(None);
        self.shared.processes.lock().insert(id, Pending { started: Some(started), exit: exit_sender });
        let mut fds = streams.into_fds();
        fds.extend(cgroups);
        let gone = || fail("the pod's init has ended".to_owned());
        if *self.shared.ended.borrow() || self.shared.requests.send((make(id), fds)).is_err() {
            self.shared.processes.lock().remove(&id);
            return Err(gone());
        }
        match wait.await {
            Ok(Ok(())) => Ok(Process { id, exit, requests: self.shared.requests.clone() }),
            Ok(Err(problem)) => Err(fail(problem)),
            Err(_) => Err(gone()),
        }
    }

    /// Whether the pod's init has ended, by itself or by [`Sandbox::end`].
    pub fn has_ended(&self) -> bool {
        *self.shared.ended.borrow()
    }

    /// Resolves when the pod's init has ended.
    pub async fn ended(&self) {
        let mut ended = self.shared.ended.clone();
        let _ = ended.wait_for(|ended| *ended).await;
    }

    /// Kills everything in the pod and waits until it is gone.
    pub async fn end(&self) {
        let _ = self.shared.requests.send((PodRequest::End, Vec::new()));
        let _ = timeout(PATIENCE, self.ended()).await;
    }
}

impl Process {
    /// Sends a signal.
    pub fn signal(&self, signal: i32) {
        let _ = self.requests.send((PodRequest::Signal { id: self.id, signal }, Vec::new()));
    }

    /// How it ended, if it has.
    pub fn exit(&self) -> Option<Exit> {
        *self.exit.borrow()
    }

    /// Waits for its end.
    pub async fn wait(&self) -> Exit {
        let mut exit = self.exit.clone();
        match exit.wait_for(Option::is_some).await {
            Ok(exit) => exit.unwrap_or(KILLED),
            Err(_) => KILLED,
        }
    }
}

/// What a process is said to have ended with when its pod's init is gone: the kernel killed it.
const KILLED: Exit = Exit { code: 137, signal: Some(9) };

async fn read_events(read: &mut OwnedReadHalf, shared: &std::sync::Weak<Shared>) {
    while let Ok(Some((event, mut fds))) = receive::<PodEvent>(read).await {
        let Some(shared) = shared.upgrade() else { return };
        let mut processes = shared.processes.lock();
        match event {
            PodEvent::Started { id } => {
                if let Some(started) = processes.get_mut(&id).and_then(|p| p.started.take()) {
                    let _ = started.send(Ok(()));
                }
            }
            PodEvent::NotStarted { id, problem } => {
                if let Some(started) = processes.remove(&id).and_then(|p| p.started) {
                    let _ = started.send(Err(problem));
                }
            }
            PodEvent::Exited { id, exit } => {
                if let Some(process) = processes.remove(&id) {
                    let _ = process.exit.send(Some(exit));
                }
            }
            PodEvent::Socket { id, errno } => {
                if let Some(opened) = shared.sockets.lock().remove(&id) {
                    let _ = opened.send(fds.pop().ok_or_else(|| std::io::Error::from_raw_os_error(errno)));
                }
            }
            PodEvent::Ended => return,
            PodEvent::Ready { .. } | PodEvent::Failed(_) => {}
        }
    }
}

impl Shared {
    fn lose_all(&self) {
        for (_, process) in self.processes.lock().drain() {
            let _ = process.exit.send(Some(KILLED));
        }
        self.sockets.lock().clear();
    }
}
