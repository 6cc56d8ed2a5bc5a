//! The shop as its users meet it: three roles in one process, over real sockets.
#![allow(clippy::unwrap_used)]

use std::net::SocketAddr;
use std::time::Duration;

use axum::http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use crate::settings::{Role, tests::of};
use crate::{catalog, checkout, listen, service::Service};

/// One role that runs until it is stopped.
struct Running {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    ended: tokio::task::JoinHandle<()>,
}

impl Running {
    async fn start(role: Role, variables: &[(&str, &str)], folder: &std::path::Path) -> Self {
        let mut settings = of(variables).unwrap();
        settings.data = folder.to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let drain = settings.drain;
        let service = Service::new(role, settings);
        let router = match role {
            Role::Web => super::router(service.clone()),
            Role::Catalog => catalog::router(service.clone()),
            Role::Checkout => {
                checkout::router(service.clone(), checkout::Orders::open(folder).await.unwrap())
            }
        };
        let (stop, stopped) = oneshot::channel::<()>();
        let ended = tokio::spawn(async move {
            listen::serve(listener, router, &service, drain, async { drop(stopped.await) }).await
        });
        Self { address, stop: Some(stop), ended }
    }

    fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    async fn ask(&self, method: Method, path: &str, body: &str) -> (StatusCode, String) {
        let client: Client<_, Full<Bytes>> = Client::builder(TokioExecutor::new()).build_http();
        let request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.url()))
            .header("content-type", "application/json")
            .body(Full::new(Bytes::copy_from_slice(body.as_bytes())))
            .unwrap();
        let response = client.request(request).await.unwrap();
        let status = response.status();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    async fn get(&self, path: &str) -> (StatusCode, String) {
        self.ask(Method::GET, path, "").await
    }
}

/// A whole shop.
async fn shop(folder: &std::path::Path, web: &[(&str, &str)]) -> (Running, Running, Running) {
    let catalog = Running::start(Role::Catalog, &[("POD_NAME", "catalog-1")], folder).await;
    let checkout = Running::start(Role::Checkout, &[("POD_NAME", "checkout-1")], folder).await;
    let urls = (catalog.url(), checkout.url());
    let mut variables = vec![("SHOP_CATALOG_URL", urls.0.as_str()), ("SHOP_CHECKOUT_URL", urls.1.as_str())];
    variables.extend(web);
    let web = Running::start(Role::Web, &variables, folder).await;
    (web, catalog, checkout)
}

#[tokio::test]
async fn the_page_shows_items_and_who_answered_and_takes_orders() {
    let folder = tempfile::tempdir().unwrap();
    let settings = [
        ("SHOP_VERSION", "1.1"),
        ("SHOP_COLOUR", "teal"),
        ("SHOP_ENVIRONMENT", "<staging>"),
        ("POD_NAME", "web-1"),
    ];
    let (web, _catalog, _checkout) = shop(folder.path(), &settings).await;
    assert_eq!(web.get("/readyz").await.0, StatusCode::OK);
    let (status, page) = web.get("/").await;
    assert_eq!(status, StatusCode::OK);
    for part in [
        "version 1.1",
        "--accent: teal",
        "&lt;staging&gt;",
        "€ 14.50",
        "web-1",
        "catalog-1",
        "checkout-1",
        "<b id=orders>0</b>",
    ] {
        assert!(page.contains(part), "{part} is not in\n{page}");
    }
    let (status, text) = web.ask(Method::POST, "/buy?item=mug", "").await;
    assert_eq!((status, text.as_str()), (StatusCode::SEE_OTHER, "order 1\n"));
    assert!(web.get("/?order=1").await.1.contains("Order 1 is placed"));
    assert!(web.get("/version").await.1.contains("\"orders\":1"));
    assert_eq!(web.ask(Method::POST, "/buy?item=boat", "").await.0, StatusCode::NOT_FOUND);
    assert_eq!(web.get("/?order=x").await.0, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn without_a_catalog_it_is_not_ready_and_without_a_checkout_people_can_look() {
    let folder = tempfile::tempdir().unwrap();
    let nobody = "http://127.0.0.1:9";
    let catalog = Running::start(Role::Catalog, &[], folder.path()).await.url();
    let both = [("SHOP_CATALOG_URL", catalog.as_str()), ("SHOP_CHECKOUT_URL", nobody)];
    let web = Running::start(Role::Web, &both, folder.path()).await;
    assert_eq!(web.get("/readyz").await.0, StatusCode::OK);
    let (status, page) = web.get("/").await;
    assert!(status == StatusCode::OK && page.contains("the checkout cannot be reached"), "{page}");
    let both = [("SHOP_CATALOG_URL", nobody), ("SHOP_CHECKOUT_URL", nobody)];
    let web = Running::start(Role::Web, &both, folder.path()).await;
    assert_eq!(web.get("/readyz").await.0, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(web.get("/healthz").await.0, StatusCode::OK);
    assert_eq!(web.get("/").await.0, StatusCode::BAD_GATEWAY);
}

#[tokio::test]
async fn faults_hit_users_alone_and_can_be_switched() {
    let folder = tempfile::tempdir().unwrap();
    let (web, ..) = shop(folder.path(), &[("SHOP_ERROR_RATE", "1"), ("SHOP_VERSION", "2.1")]).await;
    let (status, text) = web.get("/").await;
    assert_eq!((status, text.as_str()), (StatusCode::INTERNAL_SERVER_ERROR, "web 2.1 failed on purpose\n"));
    assert_eq!(web.get("/readyz").await.0, StatusCode::OK);
    let metrics = web.get("/metrics").await.1;
    assert!(metrics.contains("shop_errors_total{component=\"web\"} 1"), "{metrics}");
    let (status, now) = web.ask(Method::POST, "/faults", r#"{"errorRate": 0, "latencyMs": 1}"#).await;
    assert!(status == StatusCode::OK && now.contains(r#""latencyMs":1"#), "{now}");
    assert_eq!(web.get("/").await.0, StatusCode::OK);
    for wrong in [r#"{"errorRate": 2}"#, r#"{"latencyMs": 90000}"#, r#"{"rate": 1}"#, "x"] {
        let status = web.ask(Method::POST, "/faults", wrong).await.0;
        assert!(status.is_client_error(), "{wrong}: {status}");
    }
    let long = format!("{{\"errorRate\": {}1}}", "0".repeat(20_000));
    assert_eq!(web.ask(Method::POST, "/faults", &long).await.0, StatusCode::PAYLOAD_TOO_LARGE);
}

#[tokio::test]
async fn a_stop_goes_on_until_nobody_asks_and_ends_what_was_begun() {
    let folder = tempfile::tempdir().unwrap();
    let variables = [("SHOP_DRAIN_MS", "300"), ("SHOP_LATENCY_MS", "600")];
    let mut catalog = Running::start(Role::Catalog, &variables, folder.path()).await;
    let (asked, asking) = (catalog.url(), oneshot::channel::<()>());
    let slow = tokio::spawn(async move {
        let client: Client<_, Full<Bytes>> = Client::builder(TokioExecutor::new()).build_http();
        let request = client.get(format!("{asked}/items").parse().unwrap());
        asking.0.send(()).unwrap();
        request.await.unwrap()
    });
    asking.1.await.unwrap();
    // The request is on its way as soon as its connection is taken; the drain is open for it anyway.
    catalog.stop.take().unwrap().send(()).unwrap();
    let response = slow.await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.headers()["connection"], "close");
    tokio::time::timeout(Duration::from_secs(30), catalog.ended).await.unwrap().unwrap();
}
