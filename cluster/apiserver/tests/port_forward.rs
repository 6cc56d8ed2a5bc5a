//! Port-forward as client libraries ask for it: one connection for each port, over numbered channels.
#![allow(clippy::unwrap_used)]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, PostParams};
use seaway_apiserver::{
    ApiServer, ContainerRef, ExecOptions, ExecSession, Identity, LogOptions, LogStream, NodeError,
    NodeStreams, Options, PodPorts,
};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

/// A node whose only pod has one port, which leads to a listener of the test.
struct OnePort {
    listener: SocketAddr,
    ended: CancellationToken,
}

impl NodeStreams for OnePort {
    fn logs(&self, _: ContainerRef, _: LogOptions) -> BoxFuture<'static, Result<LogStream, NodeError>> {
        async { Err(NodeError::Internal("no logs".into())) }.boxed()
    }

    fn exec(&self, _: ContainerRef, _: ExecOptions) -> BoxFuture<'static, Result<ExecSession, NodeError>> {
        async { Err(NodeError::Internal("no commands".into())) }.boxed()
    }

    fn ports(&self, _: String, _: String) -> BoxFuture<'static, Result<Box<dyn PodPorts>, NodeError>> {
        let ports: Box<dyn PodPorts> = Box::new(Ports(self.listener, self.ended.clone()));
        async { Ok(ports) }.boxed()
    }
}

struct Ports(SocketAddr, CancellationToken);

impl PodPorts for Ports {
    fn connect(&self, port: u16) -> BoxFuture<'static, std::io::Result<TcpStream>> {
        let listener = self.0;
        async move {
            match port {
                80 => TcpStream::connect(listener).await,
                _ => Err(std::io::ErrorKind::ConnectionRefused.into()),
            }
        }
        .boxed()
    }

    fn ended(&self) -> BoxFuture<'static, ()> {
        self.1.clone().cancelled_owned().boxed()
    }
}

async fn world() -> (tempfile::TempDir, ApiServer, TcpListener, CancellationToken) {
    let folder = tempfile::tempdir().unwrap();
    let server = ApiServer::start(Options::new(folder.path())).await.unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let ended = CancellationToken::new();
    server.serve_node(Arc::new(OnePort { listener: listener.local_addr().unwrap(), ended: ended.clone() }));
    let accounts: Api<k8s_openapi::api::core::v1::ServiceAccount> =
        Api::namespaced(server.client(Identity::admin()), "default");
    while accounts.get_opt("default").await.unwrap().is_none() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let pod = json!({"metadata": {"name": "web"}, "spec": {"nodeName": "here", "containers": [
        {"name": "c", "image": "web:1"}]}});
    let pod: Pod = serde_json::from_value(pod).unwrap();
    pods(&server).create(&PostParams::default(), &pod).await.unwrap();
    (folder, server, listener, ended)
}

fn pods(server: &ApiServer) -> Api<Pod> {
    Api::namespaced(server.client(Identity::admin()), "default")
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_go_both_ways_and_the_end_of_the_program_is_told() {
    let (_folder, server, listener, _ended) = world().await;
    let mut forward = pods(&server).portforward("web", &[80]).await.unwrap();
    let mut stream = forward.take_stream(80).unwrap();
    let (mut inside, _) = listener.accept().await.unwrap();
    let question = vec![b'q'; 300_000];
    let (sent, received) = tokio::join!(stream.write_all(&question), async {
        let mut received = vec![0; question.len()];
        inside.read_exact(&mut received).await.map(|_| received)
    });
    sent.unwrap();
    assert_eq!(received.unwrap(), question);
    inside.write_all(b"answer").await.unwrap();
    drop(inside);
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert_eq!(answer, "answer");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_where_nobody_listens_is_told_on_its_own_channel() {
    let (_folder, server, listener, _ended) = world().await;
    let mut forward = pods(&server).portforward("web", &[80, 81]).await.unwrap();
    let error = forward.take_error(81).unwrap().await.unwrap();
    assert!(error.contains("localhost:81 inside the pod"), "{error}");
    // The other one is none the worse for it.
    let mut stream = forward.take_stream(80).unwrap();
    let (mut inside, _) = listener.accept().await.unwrap();
    inside.write_all(b"still here").await.unwrap();
    let mut answer = [0; 10];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"still here");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_pods_end_is_the_connections_end() {
    let (_folder, server, listener, ended) = world().await;
    let mut forward = pods(&server).portforward("web", &[80]).await.unwrap();
    let mut stream = forward.take_stream(80).unwrap();
    let (inside, _) = listener.accept().await.unwrap();
    ended.cancel();
    assert_eq!(stream.read(&mut [0]).await.unwrap(), 0);
    drop(inside);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_make_no_sense_are_refused_before_the_upgrade() {
    let (_folder, server, ..) = world().await;
    let client = server.client(Identity::admin());
    let ask = async |path: &str, protocol: &str| {
        let request = http::Request::get(path)
            .header("Connection", "Upgrade")
            .header("Upgrade", "websocket")
            .header("Sec-WebSocket-Version", "13")
            .header("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")
            .header("Sec-WebSocket-Protocol", protocol)
            .body(kube::client::Body::empty());
        client.send(request.unwrap()).await.unwrap().status().as_u16()
    };
    let path = "/api/v1/namespaces/default/pods/web/portforward";
    let channels = "v4.channel.k8s.io";
    assert_eq!(ask(path, channels).await, 400, "no port");
    assert_eq!(ask(&format!("{path}?ports=0"), channels).await, 400);
    assert_eq!(ask(&format!("{path}?ports=80,x"), channels).await, 400);
    assert_eq!(ask(&format!("{path}?ports=80"), "chat").await, 400);
    let missing = path.replace("web", "nobody");
    assert_eq!(ask(&format!("{missing}?ports=80"), channels).await, 404);
    assert_eq!(ask(&format!("{path}?ports=80"), channels).await, 101);
    server.stop().await;
}
