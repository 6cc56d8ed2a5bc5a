//! `hostPort`: a port of the host that leads to a pod's.
//!
//! On the host's loopback address alone, whatever `hostIP` says: what runs on one machine is not offered to others.

use super::shared::Shared;
use crate::sandbox::Sandbox;
use k8s_openapi::api::core::v1::Pod;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// A port that somebody else has may be free again after this time.
const RETRY: Duration = Duration::from_secs(1);

#[derive(Clone, Debug, PartialEq, Eq)]
struct HostPort {
    host: u16,
    container: u16,
    protocol: String,
}

fn host_ports(pod: &Pod) -> Vec<HostPort> {
    let spec = pod.spec.iter();
    let containers = spec.flat_map(|spec| spec.init_containers.iter().flatten().chain(&spec.containers));
    let ports = containers.flat_map(|container| container.ports.iter().flatten());
    ports
        .filter_map(|port| {
            let host = u16::try_from(port.host_port?).ok().filter(|port| *port > 0)?;
            let container = u16::try_from(port.container_port).ok()?;
            let protocol = port.protocol.clone().unwrap_or_else(|| "TCP".to_owned());
            Some(HostPort { host, container, protocol })
        })
        .collect()
}

/// Takes the ports that a pod's containers ask for, and carries connections to them until the sandbox has ended. A port
/// that cannot be taken is told once, and tried again.
pub(super) async fn serve(shared: Arc<Shared>, pod: Arc<Pod>, sandbox: Sandbox) {
    let mut tasks = JoinSet::new();
    for port in host_ports(&pod) {
        if port.protocol != "TCP" {
            let message = format!("hostPort {}/{} is not served: only TCP is", port.host, port.protocol);
            shared.events.pod(&pod, None, true, "HostPortNotServed", message);
            continue;
        }
        let (shared, pod, address) = (shared.clone(), pod.clone(), sandbox.address());
        let to = SocketAddrV4::new(address, port.container);
        tasks.spawn(async move {
            let listener = listen(&shared, &pod, port.host).await;
            accept(&shared, listener, to).await;
        });
    }
    if !tasks.is_empty() {
        sandbox.ended().await;
    }
}

async fn listen(shared: &Shared, pod: &Pod, port: u16) -> TcpListener {
    let mut told = false;
    loop {
        match TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await {
            Ok(listener) => return listener,
            Err(error) if !told => {
                told = true;
                let message =
                    format!("hostPort {port} cannot be taken on 127.0.0.1, and is tried again: {error}");
                shared.events.pod(pod, None, true, "HostPortNotServed", message);
            }
            Err(_) => {}
        }
        tokio::time::sleep(RETRY).await;
    }
}

async fn accept(shared: &Arc<Shared>, listener: TcpListener, to: SocketAddrV4) {
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        match listener.accept().await {
            Ok((client, _)) => {
                let shared = shared.clone();
                connections.spawn(async move { carry(&shared, client, to).await });
            }
            // Out of file descriptors, which others give back.
            Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    }
}

async fn carry(shared: &Shared, mut client: TcpStream, to: SocketAddrV4) {
    let server = match shared.namespace().await {
        Ok(namespace) => namespace.dial(to).await,
        Err(error) => Err(error),
    };
    let Ok(mut server) = server else {
        let _ = client.set_zero_linger();
        return;
    };
    let _ = client.set_nodelay(true);
    let _ = server.set_nodelay(true);
    let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
}
