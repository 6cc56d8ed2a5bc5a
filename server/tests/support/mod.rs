//! A cluster, a repository, Seaway on both, and people with rights.

#![allow(clippy::unwrap_used, dead_code)]

use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use futures::future::{BoxFuture, ready};
use futures::{FutureExt, StreamExt, stream};
use http::{Method, Request};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use jiff::{SignedDuration, Timestamp};
use kube::api::{Api, DynamicObject, PostParams};
use kube::core::GroupVersionKind;
use kube::discovery::ApiResource;
use seaway_apiserver::{
    ApiServer, ContainerRef, ExecOptions, ExecSession, LogOptions, LogStream, NodeError, NodeStreams,
};
use seaway_git::{Mirrors, OutgoingPolicy};
use seaway_ledger::Ledger;
use seaway_object::redact::HashKey;
use seaway_server::{Accounts, Counted, Identity, Oidc, Server, Traffic};
use seaway_sync::{Sync, SyncOptions};
use secrecy::ExposeSecret;
use serde_json::{Value, json};

/// Nothing here takes that long; what does is broken.
const PATIENCE: Duration = Duration::from_secs(30);

/// Everything that a test needs; ended by [`World::stop`].
pub(crate) struct World {
    pub(crate) server: Server,
    sync: Arc<Sync>,
    cluster: ApiServer,
    pub(crate) ledger: Ledger,
    /// The code of the first account, while there is none.
    pub(crate) setup: Option<String>,
    clock: Arc<AtomicI64>,
    http: Client<HttpConnector, Full<Bytes>>,
    folder: tempfile::TempDir,
}

/// What a gateway says that it has counted.
pub(crate) type Counters = Arc<parking_lot::Mutex<Vec<Counted>>>;

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: http::HeaderMap,
    pub(crate) body: Value,
}

fn identity(name: &str) -> Identity {
    let groups = match name {
        "admin" => vec!["system:masters".to_owned()],
        // Somebody with a grant and nothing else.
        "within" => vec!["system:authenticated".to_owned(), "seaway:developers:shop:staging".to_owned()],
        _ => vec!["system:authenticated".to_owned()],
    };
    Identity { name: name.to_owned(), groups }
}

fn server_account() -> seaway_apiserver::Identity {
    seaway_apiserver::Identity::user("server", Vec::<String>::new())
}

impl World {
    /// Seaway with the people `admin`, `viewer`, `developer`, `approver`, `operator` and `owner` (each with that role in the namespace
    /// `seaway`) and `nobody`, who has no rights. Each one's token is `token-of-` and the name.
    pub(crate) async fn start() -> Self {
        Self::start_with(None, None).await
    }

    /// As [`World::start`], with a provider of OpenID Connect that may be asked under this policy.
    pub(crate) async fn start_with_oidc(provider: Oidc, policy: OutgoingPolicy) -> Self {
        Self::start_with(Some((provider, policy)), None).await
    }

    /// As [`World::start`], with a gateway that has counted this.
    pub(crate) async fn start_measured(counters: Counters) -> Self {
        Self::start_with(None, Some(counters)).await
    }

    async fn start_with(oidc: Option<(Oidc, OutgoingPolicy)>, counters: Option<Counters>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let cluster =
            ApiServer::start(seaway_apiserver::Options::new(folder.path().join("cluster"))).await.unwrap();
        let admin = cluster.client(seaway_apiserver::Identity::admin());
        let roles = seaway_server::cluster_roles().into_iter().chain(seaway_sync::copy_roles());
        for object in seaway_api::crds().into_iter().chain(roles) {
            create(&admin, object).await;
        }
        create(&admin, json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "seaway"}}))
            .await;
        const GROUP: &str = "rbac.authorization.k8s.io";
        create(
            &admin,
            json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole",
            "metadata": {"name": "server"}, "rules": seaway_server::account_rules()}),
        )
        .await;
        create(&admin, json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding",
            "metadata": {"name": "server"}, "roleRef": {"apiGroup": GROUP, "kind": "ClusterRole", "name": "server"},
            "subjects": [{"apiGroup": GROUP, "kind": "User", "name": "server"}]})).await;
        for name in ["viewer", "developer", "approver", "operator", "owner"] {
            create(&admin, binding(name, "seaway")).await;
        }
        for kind in ["Stack", "Environment"] {
            let gvk = GroupVersionKind::gvk("seaway.dev", "v1alpha1", kind);
            let api: Api<DynamicObject> = Api::all_with(admin.clone(), &ApiResource::from_gvk(&gvk));
            until("the kinds are served", async || api.list(&Default::default()).await.is_ok()).await;
        }
        let policy = OutgoingPolicy { files: true, ..OutgoingPolicy::default() };
        let git = seaway_git::Options { policy, ..seaway_git::Options::default() };
        let (ledger, _) = Ledger::open(&folder.path().join("ledger.db")).await.unwrap();
        let sync = Sync::start(SyncOptions {
            copier: admin.clone(),
            client: admin,
            ledger: ledger.clone(),
            data_dir: folder.path().join("sync"),
            rendered_dir: folder.path().join("rendered"),
            mirrors: Mirrors::open(&folder.path().join("mirrors"), git).unwrap(),
            poll_interval: Duration::from_secs(3600),
            concurrency: 4,
            hash_key: HashKey::new([7; 32]),
            domain: "example.test".to_owned(),
        });
        let sync = Arc::new(sync.unwrap());
        let clock = Arc::new(AtomicI64::new(0));
        let (server, setup) = serve(&folder, &sync, &ledger, &cluster, &clock, false, oidc, counters).await;
        let http = Client::builder(TokioExecutor::new()).build_http();
        Self { server, sync, cluster, ledger, setup, clock, http, folder }
    }

    /// Ends the server alone, and starts it again on the same files.
    pub(crate) async fn restart(self, https: bool) -> Self {
        let Self { server, sync, cluster, ledger, clock, http, folder, .. } = self;
        server.stop().await;
        let (server, setup) = serve(&folder, &sync, &ledger, &cluster, &clock, https, None, None).await;
        Self { server, sync, cluster, ledger, setup, clock, http, folder }
    }

    /// Lets time go by for sessions and attempts.
    pub(crate) fn later(&self, seconds: i64) {
        self.clock.fetch_add(seconds, Ordering::Relaxed);
    }

    /// The file of the accounts.
    pub(crate) fn accounts(&self) -> PathBuf {
        accounts(&self.folder)
    }

    /// Ends everything, in order.
    pub(crate) async fn stop(self) {
        self.server.stop().await;
        let sync = Arc::into_inner(self.sync).expect("the server holds nothing after its end");
        sync.stop().await;
        self.cluster.stop().await;
    }

    /// Lets containers print a line and then nothing, without an end.
    pub(crate) fn serve_logs(&self) {
        self.cluster.serve_node(Arc::new(Talkative));
    }

    /// The cluster, as the account that serves.
    pub(crate) fn as_server(&self) -> kube::Client {
        self.cluster.client(server_account())
    }

    /// The cluster, as a person with these groups.
    pub(crate) fn as_person(&self, name: &str, groups: &[&str]) -> kube::Client {
        self.cluster.client(seaway_apiserver::Identity::user(name, groups.iter().copied()))
    }

    pub(crate) fn cluster(&self) -> kube::Client {
        self.cluster.client(seaway_apiserver::Identity::admin())
    }

    pub(crate) fn request(&self, method: Method, path: &str) -> http::request::Builder {
        Request::builder().method(method).uri(format!("http://{}{path}", self.server.address()))
    }

    pub(crate) async fn send(&self, request: Request<Full<Bytes>>) -> Answer {
        let response = self.http.request(request).await.unwrap();
        let (head, body) = response.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        let body = serde_json::from_slice(&bytes)
            .unwrap_or_else(|_| Value::from(String::from_utf8_lossy(&bytes).into_owned()));
        Answer { status: head.status.as_u16(), headers: head.headers, body }
    }

    /// The status of an answer; one that goes on is left at that.
    pub(crate) async fn status(&self, request: Request<Full<Bytes>>) -> u16 {
        self.http.request(request).await.unwrap().status().as_u16()
    }

    /// The status of an answer that goes on, and its body.
    pub(crate) async fn open(&self, request: Request<Full<Bytes>>) -> (u16, Incoming) {
        let (head, body) = self.http.request(request).await.unwrap().into_parts();
        (head.status.as_u16(), body)
    }

    pub(crate) async fn stream(&self, request: Request<Full<Bytes>>) -> Incoming {
        self.http.request(request).await.unwrap().into_body()
    }

    pub(crate) async fn get(&self, who: &str, path: &str) -> Answer {
        let request =
            self.request(Method::GET, path).header("authorization", format!("Bearer token-of-{who}"));
        self.send(request.body(Full::default()).unwrap()).await
    }

    pub(crate) async fn act(&self, who: &str, method: Method, path: &str, body: &Value) -> Answer {
        let request = self.request(method, path).header("authorization", format!("Bearer token-of-{who}"));
        let body = if body.is_null() { String::new() } else { body.to_string() };
        self.send(request.body(Full::from(body)).unwrap()).await
    }

    pub(crate) async fn post(&self, who: &str, path: &str, body: Value) -> Answer {
        self.act(who, Method::POST, path, &body).await
    }

    pub(crate) async fn create(&self, object: Value) {
        create(&self.cluster(), object).await;
    }

    /// An environment of a stack that is not there: it exists, and nothing is deployed.
    pub(crate) async fn environment(&self, namespace: &str, name: &str) {
        self.create(json!({"apiVersion": "seaway.dev/v1alpha1", "kind": "Environment",
            "metadata": {"namespace": namespace, "name": name},
            "spec": {"stack": "shop", "destination": {"namespace": "shop"}, "sync": {"automated": false}}}))
            .await;
        let path = format!("/api/v1/environments/{namespace}/{name}");
        self.until("the environment is known", async || self.get("admin", &path).await.status == 200).await;
    }

    /// A repository with one ConfigMap, and the environment `staging` that follows it when asked.
    pub(crate) async fn deployed(&self) -> Repository {
        let repository = Repository { folder: self.folder.path().join("work") };
        std::fs::create_dir_all(&repository.folder).unwrap();
        repository.git(&["init", "--quiet", "-b", "main", "."]);
        repository.commit("main", "1");
        let url = repository.url();
        self.create(json!({"apiVersion": "seaway.dev/v1alpha1", "kind": "Stack",
            "metadata": {"namespace": "seaway", "name": "shop"},
            "spec": {"components": [{"name": "web", "source": {"repo": url, "path": ".", "revision": "main"}}]}}))
            .await;
        self.environment("seaway", "staging").await;
        repository
    }

    /// The value of the ConfigMap that [`World::deployed`] deploys.
    pub(crate) async fn value(&self) -> Option<String> {
        let api: Api<k8s_openapi::api::core::v1::ConfigMap> = Api::namespaced(self.cluster(), "shop");
        api.get_opt("settings").await.unwrap()?.data?.remove("key")
    }

    pub(crate) async fn until(&self, what: &str, check: impl AsyncFnMut() -> bool) {
        until(what, check).await;
    }
}

/// A node whose containers go on for ever.
struct Talkative;

impl NodeStreams for Talkative {
    fn logs(
        &self,
        container: ContainerRef,
        options: LogOptions,
    ) -> BoxFuture<'static, Result<LogStream, NodeError>> {
        if options.previous {
            let line = Ok(Bytes::from(format!("{} ended here\n", container.pod)));
            let lines: LogStream = Box::pin(stream::iter([line]));
            return ready(Ok(lines)).boxed();
        }
        let line = Ok(Bytes::from(format!("hello from {}\n", container.pod)));
        let lines: LogStream = Box::pin(stream::iter([line]).chain(stream::pending()));
        ready(Ok(lines)).boxed()
    }

    fn exec(&self, _: ContainerRef, _: ExecOptions) -> BoxFuture<'static, Result<ExecSession, NodeError>> {
        ready(Err(NodeError::BadRequest("nothing can be run here".into()))).boxed()
    }
}

fn accounts(folder: &tempfile::TempDir) -> PathBuf {
    folder.path().join("accounts.db")
}

#[allow(clippy::too_many_arguments)]
async fn serve(
    folder: &tempfile::TempDir,
    sync: &Arc<Sync>,
    ledger: &Ledger,
    cluster: &ApiServer,
    clock: &Arc<AtomicI64>,
    https: bool,
    oidc: Option<(Oidc, OutgoingPolicy)>,
    counters: Option<Counters>,
) -> (Server, Option<String>) {
    let authenticate: seaway_server::Authenticate = Arc::new(|token| {
        let name = token.expose().strip_prefix("token-of-").map(identity);
        async move { Ok(name) }.boxed()
    });
    // As on any Kubernetes: an account that may act as others, and nothing else.
    let people = seaway_server::impersonation(cluster.client(server_account()));
    let (begun, clock) = (Timestamp::now(), clock.clone());
    let clock: seaway_server::Clock =
        Arc::new(move || begun + SignedDuration::from_secs(clock.load(Ordering::Relaxed)));
    let (accounts, setup) = Accounts::open_with_clock(&accounts(folder), clock).await.unwrap();
    let mut options =
        seaway_server::Options::new(sync.clone(), ledger.clone(), accounts, authenticate, people);
    options.listen.set_port(0);
    options.https = https;
    if let Some(counters) = counters {
        let file = folder.path().join("traffic.db");
        let traffic = Traffic::open(&file, move || counters.lock().clone()).await.unwrap();
        options.traffic = Some(traffic.paced(Duration::from_millis(20)));
    }
    if let Some((provider, policy)) = oidc {
        options.oidc = Some(provider);
        options.policy = policy;
    }
    (Server::start(options).await.unwrap(), setup.map(|code| code.expose_secret().to_owned()))
}

/// A ClusterRole of this name's person, bound in a namespace.
pub(crate) fn binding(name: &str, namespace: &str) -> Value {
    json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
        "metadata": {"namespace": namespace, "name": name},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": format!("seaway-{name}")},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": name}]})
}

async fn until(what: &str, mut check: impl AsyncFnMut() -> bool) {
    let begun = Instant::now();
    while !check().await {
        assert!(begun.elapsed() < PATIENCE, "in vain: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn create(client: &kube::Client, object: Value) {
    let (group, version) = object["apiVersion"].as_str().unwrap().rsplit_once('/').unwrap_or(("", "v1"));
    let gvk = GroupVersionKind::gvk(group, version, object["kind"].as_str().unwrap());
    let resource = ApiResource::from_gvk(&gvk);
    let api: Api<DynamicObject> = match object["metadata"]["namespace"].as_str() {
        Some(namespace) => Api::namespaced_with(client.clone(), namespace, &resource),
        None => Api::all_with(client.clone(), &resource),
    };
    api.create(&PostParams::default(), &serde_json::from_value(object).unwrap()).await.unwrap();
}

/// A repository in a folder.
pub(crate) struct Repository {
    folder: PathBuf,
}

impl Repository {
    pub(crate) fn url(&self) -> String {
        format!("file://{}", self.folder.display())
    }

    fn git(&self, arguments: &[&str]) {
        let output = Command::new("git")
            .args(["-c", "user.name=Ada", "-c", "user.email=ada@example.com", "-c", "commit.gpgsign=false"])
            .args(arguments)
            .current_dir(&self.folder)
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .output()
            .unwrap();
        assert!(output.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    }

    /// Commits another file to `main`.
    pub(crate) fn add(&self, name: &str, content: &Value) {
        std::fs::write(self.folder.join(name), content.to_string()).unwrap();
        self.git(&["add", "--all"]);
        self.git(&["commit", "--quiet", "-m", &format!("Add {name}")]);
    }

    /// Commits another value of the ConfigMap to a branch.
    pub(crate) fn commit(&self, branch: &str, value: &str) {
        self.git(&["checkout", "--quiet", "-B", branch]);
        let object = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings"},
            "data": {"key": value}});
        std::fs::write(self.folder.join("settings.yaml"), object.to_string()).unwrap();
        self.git(&["add", "--all"]);
        self.git(&["commit", "--quiet", "-m", &format!("Set {value}")]);
        self.git(&["checkout", "--quiet", "main"]);
    }
}
