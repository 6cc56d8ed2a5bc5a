//! Service addresses: connections to a service's address go to one of its ready endpoints.
//!
//! A proxy rather than packet rules: it needs no privilege and no kernel module, and every port of every service is a
//! socket that can be seen. What it costs is that endpoints see the bridge as the client.

use super::{Place, ServiceTable};
use crate::sandbox::NodeNamespace;
use std::collections::{BTreeSet, HashMap};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::timeout;

const CONNECT: Duration = Duration::from_secs(5);
/// Endpoints that are tried for one connection.
const TRIES: usize = 3;

/// Keeps one listener for each TCP port of each service, and for each node port, until dropped.
///
/// `api_server` is where connections to the service `default/kubernetes` go: an address of the host.
pub(crate) async fn serve(
    namespace: Arc<NodeNamespace>,
    mut table: watch::Receiver<Arc<ServiceTable>>,
    api_server: Option<SocketAddr>,
) {
    let mut tasks = JoinSet::new();
    let mut listeners: HashMap<Place, AbortHandle> = HashMap::new();
    let mut refused: BTreeSet<Place> = BTreeSet::new();
    loop {
        let now = table.borrow_and_update().clone();
        let wanted = now.places("TCP", |a| namespace.is_service_address(a));
        listeners.retain(|place, task| {
            let keep = wanted.contains(place) && !task.is_finished();
            if !keep {
                task.abort();
            }
            keep
        });
        let mut failed = false;
        refused.retain(|place| wanted.contains(place));
        for place in wanted {
            if listeners.contains_key(&place) {
                continue;
            }
            let listener = match place {
                Place::Service(address) => namespace.listen(address).await.map_err(|e| e.to_string()),
                Place::Node(port) => {
                    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await.map_err(|e| e.to_string())
                }
            };
            match listener {
                Ok(listener) => {
                    refused.remove(&place);
                    let task = accept(namespace.clone(), listener, place, table.clone(), api_server);
                    listeners.insert(place, tasks.spawn(task));
                }
                Err(error) => {
                    failed = true;
                    // Once is enough; it is tried again all the same.
                    if refused.insert(place) {
                        tracing::warn!(?place, %error, "cannot listen for a service");
                    }
                }
            }
        }
        while tasks.try_join_next().is_some() {}
        let retry = if failed { Duration::from_secs(1) } else { Duration::from_secs(3600) };
        if let Ok(Err(_)) = timeout(retry, table.changed()).await {
            return;
        }
    }
}

async fn accept(
    namespace: Arc<NodeNamespace>,
    listener: TcpListener,
    place: Place,
    table: watch::Receiver<Arc<ServiceTable>>,
    api_server: Option<SocketAddr>,
) {
    let turn = Arc::new(AtomicUsize::new(0));
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let Ok((stream, peer)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(10)).await;
            continue;
        };
        let (namespace, table, turn) = (namespace.clone(), table.clone(), turn.clone());
        connections.spawn(async move {
            carry(&namespace, stream, peer.ip(), place, &table, &turn, api_server).await;
        });
    }
}

async fn carry(
    namespace: &NodeNamespace,
    mut client: TcpStream,
    peer: IpAddr,
    place: Place,
    table: &watch::Receiver<Arc<ServiceTable>>,
    turn: &AtomicUsize,
    api_server: Option<SocketAddr>,
) {
    let (backends, sticky, is_api) = {
        let table = table.borrow().clone();
        let Some((space, name, entry, port)) = table.at(place, "TCP") else { return };
        let backends = entry.backends(port);
        (backends, entry.sticky, (space, name) == ("default", "kubernetes"))
    };
    let mut server = None;
    if let (true, Some(api)) = (is_api, api_server) {
        server = timeout(CONNECT, TcpStream::connect(api)).await.ok().and_then(Result::ok);
    } else if !backends.is_empty() {
        let first = match (sticky, peer) {
            (true, IpAddr::V4(ip)) => u32::from(ip).wrapping_mul(2_654_435_761) as usize >> 8,
            _ => turn.fetch_add(1, Ordering::Relaxed),
        };
        for try_number in 0..TRIES.min(backends.len()) {
            let backend = backends[first.wrapping_add(try_number) % backends.len()];
            if let Ok(Ok(stream)) = timeout(CONNECT, namespace.dial(backend)).await {
                server = Some(stream);
                break;
            }
        }
    }
    let Some(mut server) = server else {
        // Refused rather than ended: what a connection to a service without endpoints looks like elsewhere.
        let _ = client.set_zero_linger();
        return;
    };
    let _ = client.set_nodelay(true);
    let _ = server.set_nodelay(true);
    let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
}
