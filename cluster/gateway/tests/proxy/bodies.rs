use bytes::Bytes;
use http::{Method, Response};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use seaway_gateway::proxy::Proxy;
use tokio::sync::mpsc;

use crate::support::{Answer, Backend, Body, Client, World, full, options, request, serve};

fn channel() -> (mpsc::UnboundedSender<Bytes>, Body) {
    let (sender, mut receiver) = mpsc::unbounded_channel::<Bytes>();
    let frames = futures::stream::poll_fn(move |cx| {
        receiver.poll_recv(cx).map(|data| data.map(|data| Ok(Frame::data(data))))
    });
    (sender, BodyExt::boxed(StreamBody::new(frames)))
}

#[tokio::test]
async fn responses_stream_part_by_part() {
    let (parts, body) = channel();
    let body = parking_lot::Mutex::new(Some(body));
    let body = std::sync::Arc::new(body);
    let backend = Backend::start(move |_| {
        let body = body.lock().take().unwrap();
        async move { Response::new(body) }
    })
    .await;
    let proxy = serve(&World::of("web", &[backend.address])).await;
    let mut client = Client::connect(&proxy).await;
    let mut body = client.send(request(Method::GET, "/")).await.into_body();
    for part in ["one", "two", "three"] {
        // The backend sends the next part only after the client has this one.
        parts.send(Bytes::from(part)).unwrap();
        assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), part);
    }
    drop(parts);
    assert!(body.frame().await.is_none());
}

#[tokio::test]
async fn requests_stream_part_by_part() {
    let (seen, mut seen_by_backend) = mpsc::unbounded_channel();
    let backend = Backend::start(move |request| {
        let seen = seen.clone();
        async move {
            let mut body = request.into_body();
            while let Some(Ok(frame)) = body.frame().await {
                seen.send(frame.into_data().unwrap()).unwrap();
            }
            Response::new(full("done"))
        }
    })
    .await;
    let proxy = serve(&World::of("web", &[backend.address])).await;
    let mut client = Client::connect(&proxy).await;
    let (parts, body) = channel();
    let response = tokio::spawn(async move {
        let request = request(Method::POST, "/").map(|_| body);
        Answer::of(client.send(request).await).await
    });
    for part in ["one", "two"] {
        parts.send(Bytes::from(part)).unwrap();
        assert_eq!(seen_by_backend.recv().await.unwrap(), part);
    }
    drop(parts);
    assert_eq!(response.await.unwrap().body, "done");
}

#[tokio::test]
async fn connections_to_backends_are_reused() {
    let backend = Backend::echo("web").await;
    let dialed = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let (counted, mut options) = (std::sync::Arc::clone(&dialed), options());
    options.dial = std::sync::Arc::new(move |address| {
        counted.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        Box::pin(tokio::net::TcpStream::connect(address))
    });
    let proxy = Proxy::start(options).await.unwrap();
    proxy.set_table(World::of("web", &[backend.address]).table());
    let mut client = Client::connect(&proxy).await;
    for _ in 0..20 {
        assert_eq!(client.try_get("/").await.unwrap().status, 200);
        // A new table keeps the connections of endpoints that stay.
        proxy.set_table(World::of("web", &[backend.address]).table());
    }
    let dialed = dialed.load(std::sync::atomic::Ordering::SeqCst);
    assert!(dialed <= 5, "{dialed} connections for 20 requests one after the other");
}

#[tokio::test]
async fn large_bodies_arrive_unchanged() {
    let backend = Backend::start(|request| async move {
        let body = request.into_body().collect().await.unwrap().to_bytes();
        Response::new(full(body))
    })
    .await;
    let proxy = serve(&World::of("web", &[backend.address])).await;
    let mut client = Client::connect(&proxy).await;
    let sent: Bytes = (0..3_000_000_u32).map(|index| (index % 251) as u8).collect();
    for _ in 0..3 {
        let request = request(Method::PUT, "/").map(|_| full(sent.clone()));
        let answer = Answer::of(client.send(request).await).await;
        assert_eq!(answer.status, 200);
        assert!(answer.body == sent, "the body changed on its way");
    }
}

#[tokio::test]
async fn head_and_empty_responses_keep_the_connection() {
    let backend = Backend::start(|request| async move {
        let status = if request.uri().path() == "/none" { 204 } else { 200 };
        let body = if status == 204 { full("") } else { full("twelve bytes") };
        Response::builder().status(status).body(body).unwrap()
    })
    .await;
    let proxy = serve(&World::of("web", &[backend.address])).await;
    let mut client = Client::connect(&proxy).await;
    let head = Answer::of(client.send(request(Method::HEAD, "/")).await).await;
    assert_eq!((head.status.as_u16(), head.headers["content-length"].to_str().unwrap()), (200, "12"));
    assert_eq!(Answer::of(client.send(request(Method::GET, "/none")).await).await.status, 204);
    assert_eq!(client.try_get("/").await.unwrap().body, "twelve bytes");
}
