//! The node's namespace: a network with a bridge and no way out, and the process that holds it.

use super::channel::{pair, receive, send};
use super::pod::{PodOptions, Sandbox};
use crate::error::{Error, Result};
use crate::helper::HELPER_ARGUMENT;
use crate::helper::protocol::{Failure, NodeRequest, NodeSetup, Reply};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpSocket, TcpStream, UdpSocket, UnixStream};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::timeout;

/// Longer is not waited for a helper's answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// Of the pods' network: there are users of their own for as many pods (`helper/users.rs`).
pub(crate) const SHORTEST_PREFIX: u8 = 18;

/// What a node's namespace is made of.
#[derive(Clone, Debug)]
pub struct NamespaceOptions {
    /// The program whose `main` begins with [`crate::helper_main`]; `None`: the running one.
    pub helper: Option<PathBuf>,
    /// First address of the pods' network.
    pub pods: Ipv4Addr,
    /// Length of its prefix, 18 to 29. The first address after the network's own is the bridge's.
    pub pods_prefix: u8,
    /// First address of the services' network.
    pub services: Ipv4Addr,
    /// Length of its prefix.
    pub services_prefix: u8,
}

impl Default for NamespaceOptions {
    fn default() -> Self {
        Self {
            helper: None,
            pods: Ipv4Addr::new(10, 244, 0, 0),
            pods_prefix: 24,
            services: Ipv4Addr::new(10, 96, 0, 0),
            services_prefix: 12,
        }
    }
}

type Answer = oneshot::Sender<Result<Option<OwnedFd>>>;

/// A running namespace. When the last handle is dropped, everything in it ends.
#[derive(Debug)]
pub struct NodeNamespace {
    options: NamespaceOptions,
    requests: mpsc::UnboundedSender<(NodeRequest, Vec<OwnedFd>, Answer)>,
    lost: watch::Receiver<bool>,
    closing: watch::Sender<bool>,
    addresses: Arc<Mutex<Addresses>>,
    freed: watch::Sender<()>,
}

#[derive(Debug)]
struct Addresses {
    /// Host parts that pods have, and whether the pod still runs.
    used: HashMap<u32, bool>,
    next: u32,
}

impl NodeNamespace {
    /// Starts the helper and sets up the network. Errors say what the host forbids and who can allow it.
    pub async fn start(options: NamespaceOptions) -> Result<Self> {
        if !(SHORTEST_PREFIX..=29).contains(&options.pods_prefix)
            || !(8..=30).contains(&options.services_prefix)
        {
            return Err(Error::Spec {
                field: "pod and service networks".to_owned(),
                problem: "the pods' prefix must have 18 to 29 bits, the services' 8 to 30".to_owned(),
            });
        }
        let helper = match &options.helper {
            Some(helper) => helper.clone(),
            None => std::env::current_exe().map_err(Error::io("find", "the running program"))?,
        };
        let start = |source| Error::Io { what: "start", path: helper.clone(), source };
        let (ours, theirs) = pair().map_err(start)?;
        let mut child = tokio::process::Command::new(&helper)
            .arg(HELPER_ARGUMENT)
            .arg("outer")
            .env_clear() // The environment may hold secrets, and the pods' processes descend from this one.
            .current_dir("/")
            .stdin(Stdio::from(theirs))
            .stdout(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .map_err(start)?;
        let (mut read, mut write) = ours.into_split();
        let setup = NodeSetup {
            gateway: gateway(&options),
            prefix: options.pods_prefix,
            services: options.services,
            services_prefix: options.services_prefix,
        };
        let answer = timeout(PATIENCE, async {
            send(&mut write, &setup, &[]).await?;
            receive::<Reply>(&mut read).await
        });
        match answer.await {
            Ok(Ok(Some((Reply::Done, _)))) => {}
            Ok(Ok(Some((Reply::Failed(failure), _)))) => return Err(forbidden(failure)),
            Ok(Ok(None)) => return Err(lost("the helper ended before it was ready")),
            Ok(Err(e)) => return Err(lost(&format!("talking to the helper: {e}"))),
            Err(_) => return Err(lost("the helper does not answer")),
        }
        let (requests, mut queue) = mpsc::unbounded_channel::<(NodeRequest, Vec<OwnedFd>, Answer)>();
        let (lost_sender, lost_receiver) = watch::channel(false);
        let (closing, mut closed) = watch::channel(false);
        tokio::spawn(async move {
            loop {
                let request = tokio::select! {
                    request = queue.recv() => request,
                    _ = child.wait() => None,
                    _ = closed.wait_for(|closing| *closing) => None,
                };
                let Some((request, fds, answer)) = request else { break };
                let exchange = timeout(PATIENCE, async {
                    send(&mut write, &request, &fds).await?;
                    receive::<Reply>(&mut read).await
                });
                let result = match exchange.await {
                    Ok(Ok(Some((Reply::Done, mut fds)))) => Ok(fds.pop()),
                    Ok(Ok(Some((Reply::Failed(failure), _)))) => Err(Error::Network {
                        what: failure.what,
                        source: std::io::Error::from_raw_os_error(failure.errno),
                    }),
                    Ok(Ok(None)) => Err(lost("the helper has ended")),
                    Ok(Err(e)) => Err(lost(&format!("talking to the helper: {e}"))),
                    Err(_) => Err(lost("the helper does not answer")),
                };
                let broken = matches!(result, Err(Error::NamespaceLost { .. }));
                let _ = answer.send(result);
                if broken {
                    break;
                }
            }
            drop((read, write));
            // The guard sees the closed channel, kills what is left and exits.
            if timeout(PATIENCE, child.wait()).await.is_err() {
                let _ = child.kill().await;
            }
            let _ = lost_sender.send(true);
        });
        let addresses = Arc::new(Mutex::new(Addresses { used: HashMap::new(), next: 2 }));
        let freed = watch::Sender::new(());
        Ok(Self { options, requests, lost: lost_receiver, closing, addresses, freed })
    }

    /// Address of the bridge: the pods' gateway and name server.
    pub fn gateway(&self) -> Ipv4Addr {
        gateway(&self.options)
    }

    /// Whether an address is one of the services' network.
    pub fn is_service_address(&self, address: Ipv4Addr) -> bool {
        let mask = u32::MAX << (32 - u32::from(self.options.services_prefix));
        u32::from(address) & mask == u32::from(self.options.services) & mask
    }

    /// Resolves when the helper has ended, with it all pods.
    pub async fn lost(&self) {
        let mut lost = self.lost.clone();
        let _ = lost.wait_for(|lost| *lost).await;
    }

    /// Ends the helper and all pods, and waits for it.
    pub async fn close(&self) {
        self.start_closing();
        self.lost().await;
    }

    /// Ends the helper and all pods without waiting.
    pub(crate) fn start_closing(&self) {
        self.closing.send_replace(true);
    }

    /// Connects to an address of the node's network. A pod that is gone is unreachable at once, also when it goes
    /// while the connection is made: nothing would answer there, not even with a refusal.
    pub async fn dial(&self, address: SocketAddrV4) -> Result<TcpStream> {
        let network = |source| Error::Network { what: format!("connect to {address}"), source };
        let mut freed = self.freed.subscribe();
        let connect = async {
            let socket = self.socket(NodeRequest::TcpSocket).await?;
            let socket = TcpSocket::from_std_stream(std::net::TcpStream::from(socket));
            socket.connect(SocketAddr::V4(address)).await.map_err(network)
        };
        let gone = async {
            while !self.is_vacant(*address.ip()) {
                if freed.changed().await.is_err() {
                    std::future::pending::<()>().await;
                }
            }
        };
        tokio::select! {
            biased;
            () = gone => Err(network(std::io::Error::from_raw_os_error(libc::EHOSTUNREACH))),
            connected = connect => connected,
        }
    }

    /// Whether an address of the pods' network belongs to no running pod.
    fn is_vacant(&self, address: Ipv4Addr) -> bool {
        let size = 1u32 << (32 - u32::from(self.options.pods_prefix));
        let base = u32::from(self.options.pods) & !(size - 1);
        let Some(host) = u32::from(address).checked_sub(base).filter(|host| (2..size).contains(host)) else {
            return false;
        };
        self.addresses.lock().used.get(&host) != Some(&true)
    }

    /// Listens on an address of the bridge or of a service.
    pub async fn listen(&self, address: SocketAddrV4) -> Result<TcpListener> {
        let network = |source| Error::Network { what: format!("listen on {address}"), source };
        let socket = self.socket(NodeRequest::TcpListener(address)).await?;
        TcpListener::from_std(std::net::TcpListener::from(socket)).map_err(network)
    }

    /// Binds a UDP socket to an address of the bridge or of a service.
    pub async fn datagrams(&self, address: SocketAddrV4) -> Result<UdpSocket> {
        let network = |source| Error::Network { what: format!("bind {address}"), source };
        let socket = self.socket(NodeRequest::UdpSocket(address)).await?;
        UdpSocket::from_std(std::net::UdpSocket::from(socket)).map_err(network)
    }

    /// Makes the namespaces of a pod and gives it a free address.
    pub async fn create_pod(&self, options: PodOptions) -> Result<Sandbox> {
        let address = self.allocate()?;
        let (ours, theirs): (UnixStream, OwnedFd) =
            pair().map_err(|e| Error::Sandbox { pod: options.name.clone(), problem: e.to_string() })?;
        let setup = options.setup(*address, self.options.pods_prefix, self.gateway());
        self.ask(NodeRequest::Pod(setup), vec![theirs]).await?;
        Sandbox::connect(options.name, address, ours).await
    }

    async fn socket(&self, request: NodeRequest) -> Result<OwnedFd> {
        self.ask(request, Vec::new()).await?.ok_or_else(|| lost("the helper sent no socket"))
    }

    async fn ask(&self, request: NodeRequest, fds: Vec<OwnedFd>) -> Result<Option<OwnedFd>> {
        let (answer, wait) = oneshot::channel();
        self.requests.send((request, fds, answer)).map_err(|_| lost("the helper has ended"))?;
        wait.await.map_err(|_| lost("the helper has ended"))?
    }

    fn allocate(&self) -> Result<PodAddress> {
        let size = 1u32 << (32 - u32::from(self.options.pods_prefix));
        let base = u32::from(self.options.pods) & !(size - 1);
        let mut addresses = self.addresses.lock();
        // Not the network's own, the bridge's or the broadcast address; the longest unused one first.
        for _ in 2..size {
            let host = addresses.next;
            addresses.next = if host + 2 >= size { 2 } else { host + 1 };
            if let Entry::Vacant(free) = addresses.used.entry(host) {
                free.insert(true);
                let ip = Ipv4Addr::from(base | host);
                let (addresses, freed) = (self.addresses.clone(), self.freed.clone());
                return Ok(PodAddress { ip, host, addresses, freed });
            }
        }
        Err(Error::Network {
            what: format!("all {} addresses of the pods' network are in use", size - 3),
            source: std::io::Error::from(std::io::ErrorKind::AddrNotAvailable),
        })
    }
}

/// An address that a pod has; free again when dropped.
#[derive(Debug)]
pub(super) struct PodAddress {
    ip: Ipv4Addr,
    host: u32,
    addresses: Arc<Mutex<Addresses>>,
    freed: watch::Sender<()>,
}

impl PodAddress {
    /// Nobody answers there any more; the address stays taken.
    pub(super) fn vacate(&self) {
        self.addresses.lock().used.insert(self.host, false);
        self.freed.send_replace(());
    }
}

impl std::ops::Deref for PodAddress {
    type Target = Ipv4Addr;
    fn deref(&self) -> &Ipv4Addr {
        &self.ip
    }
}

impl Drop for PodAddress {
    fn drop(&mut self) {
        self.addresses.lock().used.remove(&self.host);
        self.freed.send_replace(());
    }
}

fn gateway(options: &NamespaceOptions) -> Ipv4Addr {
    let size = 1u32 << (32 - u32::from(options.pods_prefix));
    Ipv4Addr::from(u32::from(options.pods) & !(size - 1) | 1)
}

fn lost(problem: &str) -> Error {
    Error::NamespaceLost { problem: problem.to_owned() }
}

/// What the host's administrator can do about a refused operation.
fn forbidden(failure: Failure) -> Error {
    let advice = if failure.what.contains("user namespace") {
        "Allow user namespaces as root: `sysctl -w user.max_user_namespaces=15000`, on Debian also \
         `kernel.unprivileged_userns_clone=1`, on Ubuntu `kernel.apparmor_restrict_unprivileged_userns=0`; \
         or start Seaway as root"
    } else if failure.what.contains("bridge") || failure.what.contains("link") {
        "Load the kernel modules as root: `modprobe bridge veth`"
    } else {
        "Start Seaway outside of a container, or in one that may make namespaces (CAP_SYS_ADMIN, no seccomp filter on \
         unshare and mount)"
    };
    Error::Forbidden {
        what: failure.what,
        source: std::io::Error::from_raw_os_error(failure.errno),
        advice: advice.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_by_the_host_says_what_to_change() {
        let refused = |what: &str| {
            forbidden(Failure { what: what.to_owned(), errno: nix::errno::Errno::EPERM as i32 }).to_string()
        };
        let error = refused("make a user namespace");
        for part in [
            "user.max_user_namespaces",
            "kernel.unprivileged_userns_clone",
            "apparmor",
            "as root",
            "not permitted",
        ] {
            assert!(error.contains(part), "{error}");
        }
        assert!(refused("make the bridge").contains("modprobe bridge veth"));
        assert!(refused("make a mount namespace").contains("CAP_SYS_ADMIN"));
    }
}
