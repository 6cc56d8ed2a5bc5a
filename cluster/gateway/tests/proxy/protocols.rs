use std::sync::Arc;
use std::time::Duration;

use futures::{SinkExt, StreamExt};
use http::{Method, Request};
use http_body_util::{BodyExt, Empty};
use hyper_util::rt::{TokioExecutor, TokioIo};
use seaway_gateway::proxy::{Proxy, TlsListener};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::rustls;
use tokio_tungstenite::tungstenite::Message;

use crate::support::{Answer, Backend, Body, World, full, options, request, serve};

async fn websocket_echo() -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            tokio::spawn(async move {
                let mut socket = tokio_tungstenite::accept_async(stream).await.unwrap();
                while let Some(Ok(message)) = socket.next().await {
                    if message.is_close() || socket.send(message).await.is_err() {
                        break;
                    }
                }
            });
        }
    });
    address
}

#[tokio::test]
async fn websockets_pass_both_ways() {
    let backend = websocket_echo().await;
    let proxy = serve(&World::of("web", &[backend])).await;
    let stream = TcpStream::connect(proxy.local_addr()).await.unwrap();
    let (mut socket, response) =
        tokio_tungstenite::client_async("ws://shop.localhost:7480/chat", stream).await.unwrap();
    assert_eq!(response.status(), 101);
    for index in 0..200 {
        let message = Message::text(format!("message {index}"));
        socket.send(message.clone()).await.unwrap();
        assert_eq!(socket.next().await.unwrap().unwrap(), message);
    }
    let large = Message::binary(vec![7; 1_000_000]);
    socket.send(large.clone()).await.unwrap();
    assert_eq!(socket.next().await.unwrap().unwrap(), large);

    // A tunnel does not hold up the end of the gateway beyond its grace.
    tokio::time::timeout(Duration::from_secs(60), proxy.shutdown(Duration::from_millis(50))).await.unwrap();
    assert!(!matches!(socket.next().await, Some(Ok(message)) if !message.is_close()));
}

#[tokio::test]
async fn any_protocol_can_be_upgraded_to_and_a_refusal_passes() {
    let backend = Backend::start(|mut request| async move {
        if request.uri().path() == "/refuse" {
            return http::Response::builder().status(403).body(full("no")).unwrap();
        }
        assert_eq!(request.headers()["upgrade"], "shout");
        let upgrade = hyper::upgrade::on(&mut request);
        tokio::spawn(async move {
            let mut stream = TokioIo::new(upgrade.await.unwrap());
            let mut text = [0; 5];
            stream.read_exact(&mut text).await.unwrap();
            stream.write_all(&text.to_ascii_uppercase()).await.unwrap();
        });
        http::Response::builder()
            .status(101)
            .header("connection", "upgrade")
            .header("upgrade", "shout")
            .body(full(""))
            .unwrap()
    })
    .await;
    let proxy = serve(&World::of("web", &[backend.address])).await;
    let upgrading = |path: &str| {
        let mut request = request(Method::GET, path);
        request.headers_mut().insert("connection", "Upgrade".parse().unwrap());
        request.headers_mut().insert("upgrade", "shout".parse().unwrap());
        request
    };
    let mut client = crate::support::Client::connect(&proxy).await;
    assert_eq!(Answer::of(client.send(upgrading("/refuse")).await).await.status, 403);
    let response = client.send(upgrading("/")).await;
    assert_eq!(
        (response.status().as_u16(), &response.headers()["upgrade"]),
        (101, &"shout".parse().unwrap())
    );
    let mut stream = TokioIo::new(hyper::upgrade::on(response).await.unwrap());
    stream.write_all(b"hello").await.unwrap();
    let mut text = Vec::new();
    stream.read_to_end(&mut text).await.unwrap();
    assert_eq!(text, b"HELLO");
}

#[tokio::test]
async fn http2_with_prior_knowledge_is_served() {
    let backend = Backend::echo("web").await;
    let proxy = serve(&World::of("web", &[backend.address])).await;
    let stream = TcpStream::connect(proxy.local_addr()).await.unwrap();
    let (sender, connection) =
        hyper::client::conn::http2::handshake::<_, _, Body>(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .unwrap();
    tokio::spawn(connection);
    let mut answers = Vec::new();
    for index in 0..20 {
        let request = Request::post(format!("http://shop.localhost/{index}"))
            .header("cookie", "a=1")
            .header("cookie", "b=2")
            .body(full("order"))
            .unwrap();
        let mut sender = sender.clone();
        answers
            .push(tokio::spawn(async move { Answer::of(sender.send_request(request).await.unwrap()).await }));
    }
    for (index, answer) in answers.into_iter().enumerate() {
        let seen = answer.await.unwrap().json();
        assert_eq!(seen["target"], format!("/{index}"));
        assert_eq!(seen["headers"]["host"], "shop.localhost");
        assert_eq!(seen["headers"]["cookie"], "a=1; b=2");
        assert_eq!(seen["body"], "order");
    }
}

#[tokio::test]
async fn a_certificate_opens_a_tls_socket() {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let certified = rcgen::generate_simple_self_signed(vec!["shop.localhost".to_owned()]).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::try_from(certified.signing_key.serialize_der()).unwrap();
    let config = rustls::ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![certified.cert.der().clone()], key)
        .unwrap();
    let mut options = options();
    options.tls = Some(TlsListener { listen: "127.0.0.1:0".parse().unwrap(), config: Arc::new(config) });
    let backend = Backend::echo("web").await;
    let proxy = Proxy::start(options).await.unwrap();
    proxy.set_table(World::of("web", &[backend.address]).table());

    let mut roots = rustls::RootCertStore::empty();
    roots.add(certified.cert.der().clone()).unwrap();
    let trust = rustls::ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    let stream = TcpStream::connect(proxy.tls_addr().unwrap()).await.unwrap();
    let name = rustls::pki_types::ServerName::try_from("shop.localhost").unwrap();
    let stream = tokio_rustls::TlsConnector::from(Arc::new(trust)).connect(name, stream).await.unwrap();
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let request = Request::get("/")
        .header("host", "shop.localhost")
        .body(Empty::<bytes::Bytes>::new().boxed())
        .unwrap();
    let seen = Answer::of(sender.send_request(request).await.unwrap()).await.json();
    assert_eq!(seen["headers"]["x-forwarded-proto"], "https");
}
