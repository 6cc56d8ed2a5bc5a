//! Backends, tables, a proxy and a client for the tests.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::SendRequest;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use seaway_gateway::CONTROLLER_NAME;
use seaway_gateway::proxy::{Dial, Limits, Proxy, ProxyOptions};
use seaway_gateway::table::{DataPlane, Objects, RoutingTable, build};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// No answer takes this long, unless something hangs.
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) type Body = BoxBody<Bytes, Infallible>;

pub(crate) fn full(text: impl Into<Bytes>) -> Body {
    Full::new(text.into()).boxed()
}

/// A backend; dropped, it closes its socket and all its connections.
pub(crate) struct Backend {
    pub(crate) address: SocketAddr,
    pub(crate) requests: Arc<AtomicUsize>,
    accepting: JoinHandle<()>,
}

impl Backend {
    /// Serves each request with `handler`.
    pub(crate) async fn start<H, F>(handler: H) -> Self
    where
        H: Fn(Request<Incoming>) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = Response<Body>> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let requests = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&requests);
        let accepting = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (handler, counted) = (handler.clone(), Arc::clone(&counted));
                connections.spawn(async move {
                    let service = service_fn(move |request| {
                        counted.fetch_add(1, Ordering::SeqCst);
                        let response = handler(request);
                        async move { Ok::<_, Infallible>(response.await) }
                    });
                    let _ = hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service)
                        .with_upgrades()
                        .await;
                });
            }
        });
        Self { address, requests, accepting }
    }

    /// Answers every request with its name and what it saw of the request.
    pub(crate) async fn echo(name: &'static str) -> Self {
        Self::start(move |request| async move {
            let (head, body) = request.into_parts();
            let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
            let headers: Value = head
                .headers
                .keys()
                .map(|key| {
                    let values = head.headers.get_all(key).iter().map(|value| value.to_str().unwrap());
                    (key.to_string(), json!(values.collect::<Vec<_>>().join("|")))
                })
                .collect();
            let seen = json!({
                "backend": name,
                "method": head.method.as_str(),
                "target": head.uri.to_string(),
                "headers": headers,
                "body": String::from_utf8_lossy(&body),
            });
            Response::new(full(seen.to_string()))
        })
        .await
    }

    pub(crate) fn count(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// An address where nothing listens.
pub(crate) async fn refusing() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
}

/// Services with their endpoints, and the rules of one route `shop/web`.
#[derive(Clone)]
pub(crate) struct World {
    objects: Objects,
}

impl World {
    pub(crate) fn new(rules: Value) -> Self {
        let object = |value: Value| vec![Arc::new(value)];
        let open = json!({"namespaces": {"from": "All"}});
        let parent = json!([{"name": "seaway", "namespace": "seaway-system"}]);
        Self {
            objects: Objects {
                gateway_classes: object(
                    json!({"metadata": {"name": "seaway"}, "spec": {"controllerName": CONTROLLER_NAME}}),
                ),
                gateways: object(json!({
                    "metadata": {"name": "seaway", "namespace": "seaway-system"},
                    "spec": {"gatewayClassName": "seaway", "listeners": [
                        {"name": "http", "port": 80, "protocol": "HTTP", "allowedRoutes": open},
                        {"name": "https", "port": 443, "protocol": "HTTPS", "allowedRoutes": open},
                    ]},
                })),
                http_routes: object(json!({
                    "metadata": {"name": "web", "namespace": "shop"},
                    "spec": {"parentRefs": parent, "hostnames": ["shop.localhost"], "rules": rules},
                })),
                namespaces: object(json!({"metadata": {"name": "shop"}})),
                ..Objects::default()
            },
        }
    }

    /// A route that sends everything to one service.
    pub(crate) fn of(service: &str, endpoints: &[SocketAddr]) -> Self {
        Self::new(json!([{"backendRefs": [{"name": service, "port": 80}]}])).with(service, endpoints)
    }

    /// The same with a Service that has these endpoints, instead of those it had.
    pub(crate) fn with(mut self, service: &str, endpoints: &[SocketAddr]) -> Self {
        let label = "/metadata/labels/kubernetes.io~1service-name";
        self.objects.services.retain(|each| each["metadata"]["name"] != service);
        self.objects.endpoint_slices.retain(|each| each.pointer(label).unwrap() != service);
        self.objects.services.push(Arc::new(json!({
            "metadata": {"name": service, "namespace": "shop"},
            "spec": {"ports": [{"port": 80}]},
        })));
        for (index, endpoint) in endpoints.iter().enumerate() {
            let pod = format!("{service}-{index}");
            self.objects.endpoint_slices.push(Arc::new(json!({
                "metadata": {
                    "name": pod, "namespace": "shop", "labels": {"kubernetes.io/service-name": service},
                },
                "ports": [{"name": "", "port": endpoint.port()}],
                "endpoints": [{
                    "addresses": [endpoint.ip().to_string()], "conditions": {"ready": true},
                    "targetRef": {"kind": "Pod", "name": pod},
                }],
            })));
            self.objects.pods.push(Arc::new(json!({
                "metadata": {"name": pod, "namespace": "shop", "labels": {"pod-template-hash": format!("{service}-hash")}},
            })));
        }
        self
    }

    pub(crate) fn table(&self) -> RoutingTable {
        let plane = DataPlane { tls: true, ..DataPlane::default() };
        build(&self.objects, &plane).table
    }
}

pub(crate) fn dial() -> Dial {
    Arc::new(|address| Box::pin(TcpStream::connect(address)))
}

pub(crate) fn options() -> ProxyOptions {
    let random = Mutex::new(StdRng::seed_from_u64(7));
    ProxyOptions {
        listen: "127.0.0.1:0".parse().unwrap(),
        tls: None,
        dial: dial(),
        random: Arc::new(move || random.lock().random()),
        limits: Limits::default(),
    }
}

pub(crate) async fn serve(world: &World) -> Proxy {
    let proxy = Proxy::start(options()).await.unwrap();
    proxy.set_table(world.table());
    proxy
}

/// A response with its whole body.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("no echo: {self:?}"))
    }

    /// Which echo backend answered.
    pub(crate) fn backend(&self) -> String {
        self.json()["backend"].as_str().unwrap().to_owned()
    }

    pub(crate) async fn of(response: Response<Incoming>) -> Self {
        let (head, body) = response.into_parts();
        Self { status: head.status, headers: head.headers, body: body.collect().await.unwrap().to_bytes() }
    }
}

/// A connection to the proxy.
pub(crate) struct Client {
    sender: SendRequest<Body>,
}

impl Client {
    pub(crate) async fn connect(proxy: &Proxy) -> Self {
        let stream = TcpStream::connect(proxy.local_addr()).await.unwrap();
        let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(async move {
            let _ = connection.with_upgrades().await;
        });
        Self { sender }
    }

    pub(crate) async fn send(&mut self, request: Request<Body>) -> Response<Incoming> {
        self.sender.ready().await.unwrap();
        self.sender.send_request(request).await.unwrap()
    }

    pub(crate) async fn try_get(&mut self, path: &str) -> Result<Answer, hyper::Error> {
        let answer = async {
            self.sender.ready().await?;
            Ok(Answer::of(self.sender.send_request(request(Method::GET, path)).await?).await)
        };
        tokio::time::timeout(PATIENCE, answer).await.expect("an answer in time")
    }
}

pub(crate) fn request(method: Method, path: &str) -> Request<Body> {
    Request::builder().method(method).uri(path).header("host", "shop.localhost:7480").body(full("")).unwrap()
}

/// One GET on a connection of its own.
pub(crate) async fn get(proxy: &Proxy, path: &str) -> Answer {
    fetch(proxy, request(Method::GET, path)).await
}

pub(crate) async fn fetch(proxy: &Proxy, request: Request<Body>) -> Answer {
    let mut client = Client::connect(proxy).await;
    let answer = async { Answer::of(client.send(request).await).await };
    tokio::time::timeout(PATIENCE, answer).await.expect("an answer in time")
}

/// Waits until `holds`, for at most ten seconds.
pub(crate) async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
    while !holds() {
        assert!(tokio::time::Instant::now() < deadline, "not within 60 s: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
