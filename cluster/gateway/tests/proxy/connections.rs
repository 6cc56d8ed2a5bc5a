//! What becomes of connections to backends whatever order things happen in.

use std::time::Duration;

use http::Method;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::support::{World, get, request, serve};

const PATIENCE: Duration = Duration::from_secs(60);

/// Reads the head of a message; returns what came of its body with it.
async fn read_head(stream: &mut TcpStream) -> Vec<u8> {
    let mut seen = Vec::new();
    loop {
        let mut part = [0; 4096];
        let length = stream.read(&mut part).await.unwrap();
        assert!(length > 0, "the other side has closed the connection");
        seen.extend_from_slice(&part[..length]);
        if let Some(end) = seen.windows(4).position(|four| four == b"\r\n\r\n") {
            return seen.split_off(end + 4);
        }
    }
}

#[tokio::test]
async fn an_idle_connection_that_the_backend_closes_is_closed_without_another_request() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let proxy = serve(&World::of("web", &[listener.local_addr().unwrap()])).await;
    let (answered, wait) = tokio::sync::oneshot::channel();
    let backend = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        read_head(&mut stream).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi").await.unwrap();
        // The connection idles by then.
        wait.await.unwrap();
        stream.shutdown().await.unwrap();
        // Only the end of the gateway's side ends this.
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).await.unwrap();
        rest
    });
    assert_eq!(get(&proxy, "/").await.body, "hi");
    answered.send(()).unwrap();
    let rest = tokio::time::timeout(PATIENCE, backend).await.expect("the gateway closes it").unwrap();
    assert!(rest.is_empty());
}

#[tokio::test]
async fn a_response_that_begins_before_the_request_has_ended_does_not_hold_it_up() {
    // More than all buffers on the way take.
    const SIZE: usize = 32 << 20;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let proxy = serve(&World::of("web", &[listener.local_addr().unwrap()])).await;
    let backend = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut received = read_head(&mut stream).await.len();
        let (mut read, mut write) = stream.into_split();
        let answer = tokio::spawn(async move {
            write
                .write_all(format!("HTTP/1.1 200 OK\r\ncontent-length: {SIZE}\r\n\r\n").as_bytes())
                .await
                .unwrap();
            write.write_all(&vec![b'a'; SIZE]).await.unwrap();
        });
        let mut part = vec![0; 1 << 16];
        while received < SIZE {
            let length = read.read(&mut part).await.unwrap();
            assert!(length > 0, "only {received} bytes of the request came");
            received += length;
        }
        answer.await.unwrap();
        received
    });
    let exchange = async {
        let mut client = TcpStream::connect(proxy.local_addr()).await.unwrap();
        let head = format!("POST / HTTP/1.1\r\nhost: shop.localhost\r\ncontent-length: {SIZE}\r\n\r\n");
        client.write_all(head.as_bytes()).await.unwrap();
        // It reads nothing before everything is sent.
        client.write_all(&vec![b'r'; SIZE]).await.unwrap();
        let mut received = read_head(&mut client).await.len();
        let mut part = vec![0; 1 << 16];
        while received < SIZE {
            received += client.read(&mut part).await.unwrap();
        }
        (received, backend.await.unwrap())
    };
    assert_eq!(tokio::time::timeout(PATIENCE, exchange).await.expect("both come through"), (SIZE, SIZE));
}

#[tokio::test]
async fn a_connection_that_served_one_client_serves_the_next() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let proxy = serve(&World::of("web", &[listener.local_addr().unwrap()])).await;
    let backend = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        for _ in 0..3 {
            read_head(&mut stream).await;
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi").await.unwrap();
        }
    });
    for _ in 0..3 {
        // Each on a connection, and so in a task, of its own.
        let answer = crate::support::fetch(&proxy, request(Method::GET, "/")).await;
        assert_eq!((answer.status.as_u16(), answer.body.as_ref()), (200, b"hi".as_slice()));
    }
    tokio::time::timeout(PATIENCE, backend).await.expect("all came over one connection").unwrap();
}
