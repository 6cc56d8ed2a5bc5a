//! A server of a test's own, and what tests make in it.

use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Api, DynamicObject, PostParams};
use kube::{Client, Error};
use seaway_apiserver::{ApiServer, Identity, Options};
use serde_json::json;

pub(crate) struct Server {
    pub(crate) server: ApiServer,
    _folder: tempfile::TempDir,
}

pub(crate) async fn start() -> Server {
    let folder = tempfile::tempdir().unwrap();
    let options = Options { events_kept: 64, ..Options::new(folder.path()) };
    let server = ApiServer::start(options).await.unwrap();
    Server { server, _folder: folder }
}

impl Server {
    pub(crate) fn admin(&self) -> Client {
        self.server.client(Identity::admin())
    }
}

pub(crate) fn config_map(name: &str, value: &str) -> ConfigMap {
    serde_json::from_value(json!({"metadata": {"name": name}, "data": {"key": value}})).unwrap()
}

pub(crate) fn code(error: &Error) -> (u16, String) {
    match error {
        Error::Api(status) => (status.code, status.reason.clone()),
        other => panic!("no answer of the API: {other}"),
    }
}

pub(crate) fn dynamic(
    client: Client,
    namespace: &str,
    group: &str,
    version: &str,
    kind: &str,
) -> Api<DynamicObject> {
    let gvk = kube::core::GroupVersionKind::gvk(group, version, kind);
    Api::namespaced_with(client, namespace, &kube::discovery::ApiResource::from_gvk(&gvk))
}

pub(crate) async fn make(
    api: &Api<DynamicObject>,
    object: serde_json::Value,
) -> Result<DynamicObject, Error> {
    api.create(&PostParams::default(), &serde_json::from_value(object).unwrap()).await
}

pub(crate) fn pod(name: &str) -> serde_json::Value {
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name},
           "spec": {"containers": [{"name": "c", "image": "x"}]}})
}

/// The `default` ServiceAccount is made soon after its namespace.
pub(crate) async fn account(server: &Server, namespace: &str) {
    let accounts = dynamic(server.admin(), namespace, "", "v1", "ServiceAccount");
    let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(20);
    while accounts.get_opt("default").await.unwrap().is_none() {
        assert!(tokio::time::Instant::now() < deadline, "no ServiceAccount");
        tokio::task::yield_now().await;
    }
}

/// One request as it is; `body` is JSON, null for none. Gives the status, the warnings and the answer.
pub(crate) async fn ask(
    client: &Client,
    method: &str,
    path: &str,
    body: serde_json::Value,
) -> (u16, Vec<String>, serde_json::Value) {
    let media_type = if method == "PATCH" { "application/merge-patch+json" } else { "application/json" };
    let bytes = if body.is_null() { vec![] } else { serde_json::to_vec(&body).unwrap() };
    send(client, method, path, media_type, bytes).await
}

/// One request with these bytes as its body.
pub(crate) async fn send(
    client: &Client,
    method: &str,
    path: &str,
    media_type: &str,
    bytes: Vec<u8>,
) -> (u16, Vec<String>, serde_json::Value) {
    use http_body_util::BodyExt;
    let request = http::Request::builder()
        .method(method)
        .uri(path)
        .header("content-type", media_type)
        .body(kube::client::Body::from(bytes))
        .unwrap();
    let answer = client.send(request).await.unwrap();
    let code = answer.status().as_u16();
    let warnings = answer.headers().get_all("warning").iter();
    let warnings = warnings.map(|w| w.to_str().unwrap().to_owned()).collect();
    let bytes = answer.into_body().collect().await.unwrap().to_bytes();
    let value = serde_json::from_slice(&bytes)
        .unwrap_or_else(|_| String::from_utf8_lossy(&bytes).into_owned().into());
    (code, warnings, value)
}

/// As [`ask`], for what must be done.
pub(crate) async fn done(
    client: &Client,
    method: &str,
    path: &str,
    body: serde_json::Value,
) -> serde_json::Value {
    let (code, _, answer) = ask(client, method, path, body).await;
    assert!((200..300).contains(&code), "{method} {path}: {code} {answer}");
    answer
}

/// Waits until a GET answers what is wanted.
pub(crate) async fn eventually(
    client: &Client,
    path: &str,
    wanted: impl Fn(u16, &serde_json::Value) -> bool,
) -> serde_json::Value {
    let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(20);
    loop {
        let (code, _, answer) = ask(client, "GET", path, serde_json::Value::Null).await;
        if wanted(code, &answer) {
            return answer;
        }
        assert!(tokio::time::Instant::now() < deadline, "{path}: {code} {answer}");
        tokio::task::yield_now().await;
    }
}

/// Gives a user rules in all namespaces.
pub(crate) async fn grant(server: &Server, user: &str, rules: serde_json::Value) {
    grant_by(&server.admin(), user, rules).await;
}

pub(crate) async fn grant_by(admin: &Client, user: &str, rules: serde_json::Value) {
    let group = "/apis/rbac.authorization.k8s.io/v1";
    let role = json!({"metadata": {"name": user}, "rules": rules});
    done(admin, "POST", &format!("{group}/clusterroles"), role).await;
    let binding = json!({"metadata": {"name": user},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": user},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user}]});
    done(admin, "POST", &format!("{group}/clusterrolebindings"), binding).await;
}
