//! The data plane alone, to put load on it: sends everything to fixed addresses.
//!
//! `cargo run --release -p seaway-gateway --example serve -- 127.0.0.1:7480 127.0.0.1:8080 [...]`
//! prints its counters when it gets an interrupt.

use std::error::Error;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use seaway_gateway::CONTROLLER_NAME;
use seaway_gateway::proxy::{Limits, Proxy, ProxyOptions};
use seaway_gateway::table::{DataPlane, Objects, build};
use serde_json::{Value, json};
use tokio::net::TcpStream;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let addresses =
        std::env::args().skip(1).map(|text| text.parse()).collect::<Result<Vec<SocketAddr>, _>>()?;
    let [listen, backends @ ..] = addresses.as_slice() else {
        return Err("usage: serve LISTEN BACKEND...".into());
    };
    let proxy = Proxy::start(ProxyOptions {
        listen: *listen,
        tls: None,
        dial: Arc::new(|address| Box::pin(TcpStream::connect(address))),
        random: Arc::new(rand::random::<u64>),
        limits: Limits::default(),
    })
    .await?;
    proxy.set_table(build(&objects(backends), &DataPlane::default()).table);
    println!("http://{}", proxy.local_addr());
    tokio::signal::ctrl_c().await?;
    proxy.shutdown(Duration::from_secs(1)).await;
    print!("{}", proxy.metrics().text());
    Ok(())
}

fn objects(backends: &[SocketAddr]) -> Objects {
    let one = |object: Value| vec![Arc::new(object)];
    let named = json!({"name": "load", "namespace": "load"});
    let slice = |(index, backend): (usize, &SocketAddr)| {
        Arc::new(json!({
            "metadata": {
                "name": format!("load-{index}"), "namespace": "load",
                "labels": {"kubernetes.io/service-name": "load"},
            },
            "ports": [{"name": "", "port": backend.port()}],
            "endpoints": [{"addresses": [backend.ip().to_string()]}],
        }))
    };
    Objects {
        gateway_classes: one(json!({"metadata": named, "spec": {"controllerName": CONTROLLER_NAME}})),
        gateways: one(json!({"metadata": named, "spec": {
            "gatewayClassName": "load", "listeners": [{"name": "http", "port": 80, "protocol": "HTTP"}],
        }})),
        http_routes: one(json!({"metadata": named, "spec": {
            "parentRefs": [{"name": "load"}], "rules": [{"backendRefs": [{"name": "load", "port": 80}]}],
        }})),
        namespaces: one(json!({"metadata": {"name": "load"}})),
        services: one(json!({"metadata": named, "spec": {"ports": [{"port": 80}]}})),
        endpoint_slices: backends.iter().enumerate().map(slice).collect(),
        ..Objects::default()
    }
}
