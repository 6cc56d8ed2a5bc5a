//! The gateway with the embedded Kubernetes API: objects in, responses and statuses out.
#![allow(clippy::unwrap_used)]

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Empty, Full};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use kube::Client;
use kube::api::{Api, ApiResource, DeleteParams, DynamicObject, Patch, PatchParams, PostParams};
use kube::core::GroupVersionKind;
use seaway_apiserver::{ApiServer, Identity, Options};
use seaway_gateway::{CONTROLLER_NAME, GROUP, Gateway, GatewayOptions, cluster_role_rules, crds};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};

struct World {
    api: ApiServer,
    gateway: Gateway,
    _data: tempfile::TempDir,
}

impl World {
    /// An API without the Gateway API kinds, and a gateway that runs as an
    /// account with just the rights that it asks for.
    async fn start() -> Self {
        let data = tempfile::tempdir().unwrap();
        let api = ApiServer::start(Options::new(data.path())).await.unwrap();
        let admin = api.client(Identity::admin());
        let role = json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole",
            "metadata": {"name": "gateway"}, "rules": cluster_role_rules(),
        });
        let binding = json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding",
            "metadata": {"name": "gateway"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "gateway"},
            "subjects": [{"kind": "ServiceAccount", "name": "gateway", "namespace": "seaway-system"}],
        });
        create(&admin, role).await;
        create(&admin, binding).await;
        let gateway = Gateway::start(GatewayOptions::new(
            api.client(Identity::service_account("seaway-system", "gateway")),
            "127.0.0.1:0".parse().unwrap(),
            // The pods' network is somewhere else; here that is the loopback.
            Arc::new(|address| Box::pin(TcpStream::connect(("127.0.0.1", address.port())))),
        ))
        .await
        .unwrap();
        Self { api, gateway, _data: data }
    }

    fn admin(&self) -> Client {
        self.api.client(Identity::admin())
    }

    async fn stop(self) {
        self.gateway.shutdown().await;
        self.api.stop().await;
    }
}

/// The typed access to an object's kind.
fn api_of(client: &Client, object: &Value) -> Api<DynamicObject> {
    let kind = object["kind"].as_str().unwrap();
    let (group, version) = match object["apiVersion"].as_str().unwrap().split_once('/') {
        Some((group, version)) => (group, version),
        None => ("", "v1"),
    };
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
    match object["metadata"]["namespace"].as_str() {
        Some(namespace) => Api::namespaced_with(client.clone(), namespace, &resource),
        None => Api::all_with(client.clone(), &resource),
    }
}

async fn create(client: &Client, object: Value) {
    let typed: DynamicObject = serde_json::from_value(object.clone()).unwrap();
    api_of(client, &object).create(&PostParams::default(), &typed).await.unwrap_or_else(|error| {
        panic!("{object}: {error}");
    });
}

/// A reference to an object, for [`api_of`].
fn reference(kind: &str, namespace: Option<&str>) -> Value {
    json!({"apiVersion": format!("{GROUP}/v1"), "kind": kind, "metadata": {"namespace": namespace}})
}

async fn install_kinds(client: &Client) {
    for definition in crds() {
        create(client, definition).await;
    }
}

/// A server that answers everything with its name.
async fn backend(name: &'static str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let service = service_fn(move |_| async move {
                Ok::<_, Infallible>(Response::new(Full::new(Bytes::from(name))))
            });
            tokio::spawn(
                hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service),
            );
        }
    });
    address
}

/// Status and body of a GET for `shop.localhost`.
async fn get(gateway: &Gateway) -> (u16, String) {
    let stream = TcpStream::connect(gateway.local_addr()).await.unwrap();
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let request = Request::get("/").header("host", "shop.localhost").body(Empty::<Bytes>::new()).unwrap();
    let response = sender.send_request(request).await.unwrap();
    let status = response.status().as_u16();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

/// Asks until `wanted` is the answer, for at most a minute.
async fn eventually<T: PartialEq + std::fmt::Debug>(wanted: T, mut ask: impl AsyncFnMut() -> T) {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
    loop {
        let answer = ask().await;
        if answer == wanted {
            return;
        }
        assert!(tokio::time::Instant::now() < deadline, "{answer:?} and not {wanted:?} after a minute");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// `Type=Status/Reason` of conditions at a place in the object's status.
async fn conditions(client: &Client, object: &Value, name: &str, pointer: &str) -> Vec<String> {
    let Ok(Some(object)) = api_of(client, object).get_opt(name).await else { return Vec::new() };
    let found = object.data.pointer(pointer).and_then(Value::as_array).cloned().unwrap_or_default();
    let show = |condition: &Value| {
        let text = |field: &str| condition[field].as_str().unwrap_or("").to_owned();
        format!("{}={}/{}", text("type"), text("status"), text("reason"))
    };
    found.iter().map(show).collect()
}

/// An address of the pods' network.
const POD: &str = "10.64.0.7";

fn slice(endpoint: SocketAddr) -> Value {
    json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
        "metadata": {"name": "web-1", "namespace": "shop", "labels": {"kubernetes.io/service-name": "web"}},
        "addressType": "IPv4",
        "ports": [{"name": "", "port": endpoint.port(), "protocol": "TCP"}],
        "endpoints": [{"addresses": [POD], "conditions": {"ready": true}}],
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_route_is_served_as_soon_as_it_is_there_and_its_authors_are_told() {
    let world = World::start().await;
    let admin = world.admin();
    // Without the kinds the gateway waits and answers.
    world.gateway.ready().await;
    assert_eq!(get(&world.gateway).await.0, 404);

    install_kinds(&admin).await;
    let gateways = reference("Gateway", Some("seaway-system"));
    eventually(
        vec!["Accepted=True/Accepted".to_owned(), "Programmed=True/Programmed".to_owned()],
        async || conditions(&admin, &gateways, "seaway", "/status/conditions").await,
    )
    .await;
    eventually(vec!["Accepted=True/Accepted".to_owned()], async || {
        conditions(&admin, &reference("GatewayClass", None), "seaway", "/status/conditions").await
    })
    .await;

    create(&admin, json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}})).await;
    // As people write it: the defaults of the definition fill in the rest.
    create(
        &admin,
        json!({
            "apiVersion": format!("{GROUP}/v1"), "kind": "HTTPRoute",
            "metadata": {"name": "web", "namespace": "shop"},
            "spec": {
                "parentRefs": [{"name": "seaway", "namespace": "seaway-system"}],
                "hostnames": ["shop.localhost"],
                "rules": [{"backendRefs": [{"name": "web", "port": 80}]}],
            },
        }),
    )
    .await;
    let routes = reference("HTTPRoute", Some("shop"));
    let told = async || conditions(&admin, &routes, "web", "/status/parents/0/conditions").await;
    eventually(
        vec!["Accepted=True/Accepted".to_owned(), "ResolvedRefs=False/BackendNotFound".to_owned()],
        told,
    )
    .await;
    assert_eq!(get(&world.gateway).await.0, 500);

    create(
        &admin,
        json!({
            "apiVersion": "v1", "kind": "Service", "metadata": {"name": "web", "namespace": "shop"},
            "spec": {"selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": 8080}]},
        }),
    )
    .await;
    eventually(503, async || get(&world.gateway).await.0).await;
    create(&admin, slice(backend("one").await)).await;
    eventually((200, "one".to_owned()), async || get(&world.gateway).await).await;
    eventually(vec!["Accepted=True/Accepted".to_owned(), "ResolvedRefs=True/ResolvedRefs".to_owned()], told)
        .await;
    eventually(json!(1), async || {
        let gateway = api_of(&admin, &gateways).get("seaway").await.unwrap();
        gateway.data.pointer("/status/listeners/0/attachedRoutes").cloned().unwrap_or_default()
    })
    .await;
    let route = api_of(&admin, &routes).get("web").await.unwrap();
    assert_eq!(route.data["status"]["parents"][0]["controllerName"], CONTROLLER_NAME);

    // The endpoint moves.
    let moved = slice(backend("two").await);
    let patch = Patch::Merge(json!({"ports": moved["ports"], "endpoints": moved["endpoints"]}));
    api_of(&admin, &moved).patch("web-1", &PatchParams::default(), &patch).await.unwrap();
    eventually((200, "two".to_owned()), async || get(&world.gateway).await).await;
    assert!(world.gateway.metrics_text().contains(r#"route="web""#));

    api_of(&admin, &routes).delete("web", &DeleteParams::default()).await.unwrap();
    eventually(404, async || get(&world.gateway).await.0).await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn labels_of_a_namespace_say_at_which_hosts_and_gateways_its_routes_may_be() {
    let world = World::start().await;
    let admin = world.admin();
    install_kinds(&admin).await;
    for (name, labels) in [
        ("bound", json!({"seaway.dev/domain": "mine.localhost", "team": "copies"})),
        ("plain", json!({"team": "shop"})),
    ] {
        create(
            &admin,
            json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}),
        )
        .await;
    }
    create(
        &admin,
        json!({
            "apiVersion": format!("{GROUP}/v1"), "kind": "Gateway",
            "metadata": {"name": "copies", "namespace": "plain"},
            "spec": {"gatewayClassName": "seaway", "listeners": [{
                "name": "http", "port": 80, "protocol": "HTTP",
                "allowedRoutes": {"namespaces": {
                    "from": "Selector", "selector": {"matchLabels": {"team": "copies"}},
                }},
            }]},
        }),
    )
    .await;
    let accepted = "Accepted=True/Accepted";
    let foreign = "Accepted=False/NoMatchingListenerHostname";
    for (namespace, name, gateway, hosts, wanted) in [
        ("plain", "own", "seaway", json!(["shop.localhost"]), accepted),
        ("bound", "own", "seaway", json!(["shop.mine.localhost"]), accepted),
        ("bound", "any", "seaway", json!([]), accepted),
        ("bound", "foreign", "seaway", json!(["shop.localhost"]), foreign),
        ("bound", "selected", "copies", json!(["shop.mine.localhost"]), accepted),
        ("plain", "selected", "copies", json!(["a.localhost"]), "Accepted=False/NotAllowedByListeners"),
    ] {
        let at = if gateway == "copies" { "plain" } else { "seaway-system" };
        create(
            &admin,
            json!({
                "apiVersion": format!("{GROUP}/v1"), "kind": "HTTPRoute",
                "metadata": {"name": name, "namespace": namespace},
                "spec": {
                    "parentRefs": [{"name": gateway, "namespace": at}], "hostnames": hosts,
                    "rules": [{"backendRefs": [{"name": "web", "port": 80}]}],
                },
            }),
        )
        .await;
        eventually(Some(wanted.to_owned()), async || {
            let routes = reference("HTTPRoute", Some(namespace));
            let told = conditions(&admin, &routes, name, "/status/parents/0/conditions").await;
            told.into_iter().next()
        })
        .await;
    }
    // The route without a hostname is at those of its namespace alone: no other host is answered.
    let api = api_of(&admin, &reference("HTTPRoute", Some("plain")));
    api.delete("own", &DeleteParams::default()).await.unwrap();
    eventually(404, async || get(&world.gateway).await.0).await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn statuses_settle_and_are_not_written_again() {
    let world = World::start().await;
    let admin = world.admin();
    install_kinds(&admin).await;
    let gateways = reference("Gateway", Some("seaway-system"));
    let programmed = vec!["Accepted=True/Accepted".to_owned(), "Programmed=True/Programmed".to_owned()];
    eventually(programmed, async || conditions(&admin, &gateways, "seaway", "/status/conditions").await)
        .await;
    let version = async || api_of(&admin, &gateways).get("seaway").await.unwrap().metadata.resource_version;
    let settled = version().await;
    // Each of these makes a new table.
    for index in 0..5 {
        let name = format!("shop-{index}");
        create(&admin, json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})).await;
        tokio::time::sleep(Duration::from_millis(30)).await;
    }
    assert_eq!(version().await, settled);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn default_objects_that_exist_are_left_alone() {
    let data = tempfile::tempdir().unwrap();
    let api = ApiServer::start(Options::new(data.path())).await.unwrap();
    let admin = api.client(Identity::admin());
    install_kinds(&admin).await;
    create(&admin, json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "seaway-system"}}))
        .await;
    create(
        &admin,
        json!({
            "apiVersion": format!("{GROUP}/v1"), "kind": "Gateway",
            "metadata": {"name": "seaway", "namespace": "seaway-system"},
            "spec": {"gatewayClassName": "seaway", "listeners": [{"name": "mine", "port": 8080, "protocol": "HTTP"}]},
        }),
    )
    .await;
    let dial = Arc::new(|address| Box::pin(TcpStream::connect(address)) as _);
    let options = GatewayOptions::new(admin.clone(), "127.0.0.1:0".parse().unwrap(), dial);
    let gateway = Gateway::start(options).await.unwrap();
    let gateways = reference("Gateway", Some("seaway-system"));
    eventually(json!(["mine"]), async || {
        let object = api_of(&admin, &gateways).get("seaway").await.unwrap();
        let listeners = object.data.pointer("/status/listeners").and_then(Value::as_array).cloned();
        listeners.unwrap_or_default().iter().map(|listener| listener["name"].clone()).collect()
    })
    .await;
    gateway.shutdown().await;
    api.stop().await;
}

/// The name on the certificate that a client is shown, and the answer to its GET over TLS.
async fn get_with_tls(gateway: &Gateway, host: &str) -> Result<(String, String), String> {
    use tokio_rustls::rustls;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let trust = Arc::new(AnyCertificate(provider.clone()));
    let mut config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(trust)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    let stream = TcpStream::connect(gateway.local_addr()).await.unwrap();
    let name = rustls::pki_types::ServerName::try_from(host.to_owned()).unwrap();
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    let stream = connector.connect(name, stream).await.map_err(|e| e.to_string())?;
    let shown = stream.get_ref().1.peer_certificates().unwrap()[0].to_vec();
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let request = Request::get("/").header("host", host).body(Empty::<Bytes>::new()).unwrap();
    let answer = sender.send_request(request).await.map_err(|e| e.to_string())?;
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    Ok((hex(&shown), String::from_utf8_lossy(&body).into_owned()))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[derive(Debug)]
struct AnyCertificate(Arc<tokio_rustls::rustls::crypto::CryptoProvider>);

mod verifier {
    use super::AnyCertificate;
    use tokio_rustls::rustls::client::danger::{
        HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier,
    };
    use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
    use tokio_rustls::rustls::{DigitallySignedStruct, Error, SignatureScheme};

    impl ServerCertVerifier for AnyCertificate {
        fn verify_server_cert(
            &self,
            _: &CertificateDer<'_>,
            _: &[CertificateDer<'_>],
            _: &ServerName<'_>,
            _: &[u8],
            _: UnixTime,
        ) -> Result<ServerCertVerified, Error> {
            Ok(ServerCertVerified::assertion())
        }
        fn verify_tls12_signature(
            &self,
            _: &[u8],
            _: &CertificateDer<'_>,
            _: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            Ok(HandshakeSignatureValid::assertion())
        }
        fn verify_tls13_signature(
            &self,
            _: &[u8],
            _: &CertificateDer<'_>,
            _: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            Ok(HandshakeSignatureValid::assertion())
        }
        fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
            self.0.signature_verification_algorithms.supported_schemes()
        }
    }
}

#[tokio::test]
async fn a_listener_serves_the_certificate_of_its_secret_also_when_that_is_renewed() {
    let world = World::start().await;
    let admin = world.admin();
    install_kinds(&admin).await;
    let backend = backend("over tls").await;
    let open = json!({"namespaces": {"from": "All"}});
    create(&admin, json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}})).await;
    create(
        &admin,
        json!({
        "apiVersion": format!("{GROUP}/v1"), "kind": "GatewayClass", "metadata": {"name": "own"},
        "spec": {"controllerName": CONTROLLER_NAME}}),
    )
    .await;
    create(&admin, json!({
        "apiVersion": format!("{GROUP}/v1"), "kind": "Gateway", "metadata": {"name": "gw", "namespace": "shop"},
        "spec": {"gatewayClassName": "own", "listeners": [
            {"name": "https", "port": 443, "protocol": "HTTPS", "hostname": "*.shop.localhost", "allowedRoutes": open,
             "tls": {"certificateRefs": [{"name": "web"}]}},
            {"name": "http", "port": 80, "protocol": "HTTP", "allowedRoutes": open}]}}))
    .await;
    create(&admin, json!({
        "apiVersion": format!("{GROUP}/v1"), "kind": "HTTPRoute", "metadata": {"name": "web", "namespace": "shop"},
        "spec": {"parentRefs": [{"name": "gw"}], "hostnames": ["web.shop.localhost", "shop.localhost"],
                 "rules": [{"backendRefs": [{"name": "web", "port": 80}]}]}}))
    .await;
    create(
        &admin,
        json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": "web", "namespace": "shop"},
        "spec": {"ports": [{"port": 80}]}}),
    )
    .await;
    create(
        &admin,
        json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
        "metadata": {"name": "web-1", "namespace": "shop", "labels": {"kubernetes.io/service-name": "web"}},
        "addressType": "IPv4", "ports": [{"port": backend.port()}],
        "endpoints": [{"addresses": ["10.244.0.9"], "conditions": {"ready": true}}]}),
    )
    .await;
    let gateway_object = reference("Gateway", Some("shop"));
    let listener = async || conditions(&admin, &gateway_object, "gw", "/status/listeners/0/conditions").await;
    eventually(true, async || listener().await.iter().any(|c| c.contains("ResolvedRefs=False"))).await;
    assert!(get_with_tls(&world.gateway, "web.shop.localhost").await.is_err());

    let pair = || rcgen::generate_simple_self_signed(vec!["*.shop.localhost".to_owned()]).unwrap();
    let (first, second) = (pair(), pair());
    let data = |pair: &rcgen::CertifiedKey<rcgen::KeyPair>| json!({"tls.crt": pair.cert.pem(), "tls.key": pair.signing_key.serialize_pem()});
    create(
        &admin,
        json!({
        "apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls",
        "metadata": {"name": "web", "namespace": "shop"}, "stringData": data(&first)}),
    )
    .await;
    let shown = async || get_with_tls(&world.gateway, "web.shop.localhost").await.ok();
    let answer =
        |pair: &rcgen::CertifiedKey<rcgen::KeyPair>| Some((hex(pair.cert.der()), "over tls".to_owned()));
    eventually(answer(&first), shown).await;
    // Plain HTTP is served on the same socket.
    assert_eq!(get(&world.gateway).await, (200, "over tls".to_owned()));
    eventually(true, async || listener().await.iter().any(|c| c.contains("ResolvedRefs=True"))).await;

    let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"namespace": "shop"}});
    let change = Patch::Merge(json!({"stringData": data(&second)}));
    api_of(&admin, &secret).patch("web", &PatchParams::default(), &change).await.unwrap();
    eventually(answer(&second), shown).await;
    api_of(&admin, &secret).delete("web", &DeleteParams::default()).await.unwrap();
    eventually(None, shown).await;
    world.stop().await;
}
