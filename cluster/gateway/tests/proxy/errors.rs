use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use http::Method;
use seaway_gateway::proxy::Proxy;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

use crate::support::{Backend, World, dial, fetch, full, get, options, refusing, request, serve};

#[tokio::test]
async fn no_route_is_404_no_backend_500_and_no_endpoint_503() {
    let backend = Backend::echo("web").await;
    let world = World::new(json!([
        {"matches": [{"path": {"value": "/web"}}], "backendRefs": [{"name": "web", "port": 80}]},
        {"matches": [{"path": {"value": "/gone"}}], "backendRefs": [{"name": "gone", "port": 80}]},
        {"matches": [{"path": {"value": "/idle"}}], "backendRefs": [{"name": "idle", "port": 80}]},
        {"matches": [{"path": {"value": "/none"}}]},
        {"matches": [{"path": {"value": "/zero"}}], "backendRefs": [{"name": "web", "port": 80, "weight": 0}]},
    ]));
    let proxy = serve(&world.with("web", &[backend.address]).with("idle", &[])).await;
    for (path, status) in
        [("/web", 200), ("/other", 404), ("/gone", 500), ("/idle", 503), ("/none", 500), ("/zero", 500)]
    {
        assert_eq!(get(&proxy, path).await.status, status, "{path}");
    }
    let mut other_host = request(Method::GET, "/web");
    other_host.headers_mut().insert("host", "other.localhost".parse().unwrap());
    assert_eq!(fetch(&proxy, other_host).await.status, 404);
    let mut no_host = request(Method::GET, "/web");
    no_host.headers_mut().insert("host", "a b".parse().unwrap());
    assert_eq!(fetch(&proxy, no_host).await.status, 400);
}

#[tokio::test]
async fn an_endpoint_that_refuses_connections_is_passed_over_also_for_posts() {
    let backend = Backend::echo("web").await;
    let world = World::of("web", &[refusing().await, backend.address, refusing().await]);
    let proxy = serve(&world).await;
    for _ in 0..50 {
        let post = request(Method::POST, "/").map(|_| full("order"));
        let answer = fetch(&proxy, post).await;
        assert_eq!((answer.status.as_u16(), answer.json()["body"].as_str().unwrap()), (200, "order"));
    }
    assert_eq!(backend.count(), 50);
}

#[tokio::test]
async fn if_no_endpoint_can_be_reached_a_newer_table_is_awaited() {
    let backend = Backend::echo("new").await;
    let gone = refusing().await;
    let world = World::of("web", &[gone]);
    let tried = Arc::new(Notify::new());
    let mut options = options();
    let (plain, tell) = (dial(), Arc::clone(&tried));
    options.dial = Arc::new(move |address| {
        if address == gone {
            tell.notify_one();
        }
        plain(address)
    });
    let proxy = Proxy::start(options).await.unwrap();
    proxy.set_table(world.table());
    assert_eq!(get(&proxy, "/").await.status, 502);

    tried.notified().await;
    let (answer, ()) = tokio::join!(get(&proxy, "/"), async {
        tried.notified().await;
        proxy.set_table(world.clone().with("web", &[backend.address]).table());
    });
    assert_eq!(answer.backend(), "new");
}

/// Accepts, reads a request and closes without a word.
async fn hanging_up() -> (std::net::SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let count = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&count);
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let _ = stream.read(&mut [0; 4096]).await;
            counted.fetch_add(1, Ordering::SeqCst);
        }
    });
    (address, count)
}

#[tokio::test]
async fn a_request_that_may_be_repeated_goes_to_another_endpoint_when_the_connection_breaks() {
    let (broken, count) = hanging_up().await;
    let backend = Backend::echo("web").await;
    let proxy = serve(&World::of("web", &[broken, backend.address])).await;
    for _ in 0..20 {
        assert_eq!(get(&proxy, "/").await.status, 200);
    }
    assert!(count.load(Ordering::SeqCst) > 0, "the broken endpoint was never tried");
}

#[tokio::test]
async fn a_request_that_must_not_be_repeated_fails_once() {
    let (broken, count) = hanging_up().await;
    let proxy = serve(&World::of("web", &[broken])).await;
    let post = request(Method::POST, "/").map(|_| full("order"));
    assert_eq!(fetch(&proxy, post).await.status, 502);
    assert_eq!(count.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn an_idle_connection_that_the_backend_closed_fails_no_request() {
    // One response per connection, announced as reusable, then closed.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let _ = stream.read(&mut [0; 4096]).await;
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
        }
    });
    let proxy = serve(&World::of("web", &[address])).await;
    for _ in 0..50 {
        assert_eq!(get(&proxy, "/").await.status, 200);
    }
}

#[tokio::test]
async fn heads_beyond_the_limit_are_refused_and_the_rest_is_served() {
    let backend = Backend::echo("web").await;
    let proxy = serve(&World::of("web", &[backend.address])).await;
    let mut large = request(Method::GET, "/");
    large.headers_mut().insert("x-large", "x".repeat(100_000).parse().unwrap());
    assert_eq!(fetch(&proxy, large).await.status, 431);
    let mut many = request(Method::GET, "/");
    for index in 0..200 {
        many.headers_mut()
            .insert(http::HeaderName::try_from(format!("x-{index}")).unwrap(), "1".parse().unwrap());
    }
    assert_eq!(fetch(&proxy, many).await.status, 431);
    assert_eq!(get(&proxy, "/").await.status, 200);
    assert_eq!(backend.count(), 1);
}

#[tokio::test]
async fn garbage_is_answered_or_closed_and_never_reaches_a_backend() {
    let backend = Backend::echo("web").await;
    let proxy = serve(&World::of("web", &[backend.address])).await;
    for garbage in [
        "nonsense\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: shop.localhost\r\nhost: shop.localhost\r\n\r\n",
        "POST / HTTP/1.1\r\nhost: shop.localhost\r\ncontent-length: 4\r\ncontent-length: 5\r\n\r\nabcde",
        "POST / HTTP/1.1\r\nhost: shop.localhost\r\ntransfer-encoding: chunked, x\r\n\r\n0\r\n\r\n",
        "CONNECT shop.localhost:80 HTTP/1.1\r\nhost: shop.localhost:80\r\n\r\n",
    ] {
        let mut stream = TcpStream::connect(proxy.local_addr()).await.unwrap();
        stream.write_all(garbage.as_bytes()).await.unwrap();
        let mut reply = vec![0; 1024];
        let read =
            tokio::time::timeout(Duration::from_secs(60), stream.read(&mut reply)).await.unwrap().unwrap();
        let reply = String::from_utf8_lossy(&reply[..read]).into_owned();
        assert!(reply.is_empty() || reply.starts_with("HTTP/1.1 4"), "{garbage:?}: {reply}");
    }
    assert_eq!(backend.count(), 0);
}
