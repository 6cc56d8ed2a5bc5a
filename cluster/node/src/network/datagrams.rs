//! UDP ports of services: each client's datagrams go to one of the ready endpoints, and the answers back.

use super::{Place, ServiceTable};
use crate::sandbox::NodeNamespace;
use std::collections::{BTreeSet, HashMap};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::UdpSocket;
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};

/// A client that is silent for so long is forgotten, and may then come to another endpoint.
const IDLE: Duration = Duration::from_secs(60);
/// Clients of one port at a time; the longest silent one makes room.
const MAX_CLIENTS: usize = 512;
/// The longest datagram.
const DATAGRAM: usize = 64 * 1024;
const RETRY: Duration = Duration::from_secs(1);

/// Keeps one socket for each UDP port of each service, and for each such node port, until dropped.
pub(crate) async fn serve(namespace: Arc<NodeNamespace>, mut table: watch::Receiver<Arc<ServiceTable>>) {
    let mut tasks = JoinSet::new();
    let mut sockets: HashMap<Place, AbortHandle> = HashMap::new();
    let mut refused: BTreeSet<Place> = BTreeSet::new();
    loop {
        let now = table.borrow_and_update().clone();
        let wanted = now.places("UDP", |a| namespace.is_service_address(a));
        refused.retain(|place| wanted.contains(place));
        sockets.retain(|place, task| {
            let keep = wanted.contains(place) && !task.is_finished();
            if !keep {
                task.abort();
            }
            keep
        });
        let mut failed = false;
        for place in wanted {
            if sockets.contains_key(&place) {
                continue;
            }
            let socket = match place {
                Place::Service(address) => namespace.datagrams(address).await.map_err(|e| e.to_string()),
                Place::Node(port) => {
                    UdpSocket::bind((Ipv4Addr::LOCALHOST, port)).await.map_err(|e| e.to_string())
                }
            };
            match socket {
                Ok(socket) => {
                    refused.remove(&place);
                    let task = carry(namespace.clone(), Arc::new(socket), place, table.clone());
                    sockets.insert(place, tasks.spawn(task));
                }
                Err(error) => {
                    failed = true;
                    // Once is enough; it is tried again all the same.
                    if refused.insert(place) {
                        tracing::warn!(?place, %error, "cannot take datagrams for a service");
                    }
                }
            }
        }
        while tasks.try_join_next().is_some() {}
        let retry = if failed { RETRY } else { Duration::from_secs(3600) };
        if let Ok(Err(_)) = tokio::time::timeout(retry, table.changed()).await {
            return;
        }
    }
}

/// A client and the endpoint that it talks to.
struct Client {
    endpoint: SocketAddrV4,
    socket: Arc<UdpSocket>,
    answers: AbortHandle,
    last: Instant,
}

async fn carry(
    namespace: Arc<NodeNamespace>,
    service: Arc<UdpSocket>,
    place: Place,
    table: watch::Receiver<Arc<ServiceTable>>,
) {
    let mut clients: HashMap<SocketAddr, Client> = HashMap::new();
    let mut tasks = JoinSet::new();
    let mut buffer = vec![0; DATAGRAM];
    let mut turn = 0usize;
    loop {
        let received = tokio::time::timeout(IDLE, service.recv_from(&mut buffer)).await;
        while tasks.try_join_next().is_some() {}
        let now = Instant::now();
        let forget = |client: &Client| {
            client.answers.abort();
            false
        };
        clients.retain(|_, client| now.duration_since(client.last) < IDLE || forget(client));
        // An error tells of a client that went away.
        let Ok(Ok((length, peer))) = received else { continue };
        let backends = match table.borrow().at(place, "UDP") {
            Some((_, _, entry, port)) => entry.backends(port),
            None => Vec::new(),
        };
        let known = clients.get(&peer).filter(|client| backends.contains(&client.endpoint));
        if known.is_none() {
            if let Some(gone) = clients.remove(&peer) {
                gone.answers.abort();
            }
            if backends.is_empty() {
                continue;
            }
            turn = turn.wrapping_add(1);
            let endpoint = backends[turn % backends.len()];
            let own = SocketAddrV4::new(namespace.gateway(), 0);
            let Ok(socket) = namespace.datagrams(own).await else { continue };
            if socket.connect(SocketAddr::V4(endpoint)).await.is_err() {
                continue;
            }
            let socket = Arc::new(socket);
            let answers = tasks.spawn(answer(socket.clone(), service.clone(), peer));
            clients.insert(peer, Client { endpoint, socket, answers, last: now });
            if clients.len() > MAX_CLIENTS
                && let Some(oldest) =
                    clients.iter().min_by_key(|(_, client)| client.last).map(|(peer, _)| *peer)
                && let Some(oldest) = clients.remove(&oldest)
            {
                oldest.answers.abort();
            }
        }
        if let Some(client) = clients.get_mut(&peer) {
            client.last = now;
            // A datagram may be lost; whoever sent it knows that.
            let _ = client.socket.send(&buffer[..length]).await;
        }
    }
}

async fn answer(endpoint: Arc<UdpSocket>, service: Arc<UdpSocket>, client: SocketAddr) {
    let mut buffer = vec![0; DATAGRAM];
    let mut failures = 0;
    // An endpoint that does not listen shows as an error of the next call; it may listen later.
    while failures < 100 {
        match endpoint.recv(&mut buffer).await {
            Ok(length) => {
                failures = 0;
                let _ = service.send_to(&buffer[..length], client).await;
            }
            Err(_) => failures += 1,
        }
    }
}
