//! A cluster, a repository, and an environment that follows it.

pub mod copy;
pub mod end;
pub mod gate;
pub mod http;
#[path = "../../../git/tests/support/gate.rs"]
pub mod silent_server;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use kube::Client;
use kube::api::{Api, DynamicObject, Patch, PatchParams, PostParams};
use kube::discovery::ApiResource;
use seaway_apiserver::{ApiServer, Identity, Options};
use seaway_git::{Mirrors, OutgoingPolicy};
use seaway_object::redact::HashKey;
use seaway_sync::view::{EnvironmentKey, EnvironmentView};
use seaway_sync::{Sync, SyncOptions};
use serde_json::{Value, json};

/// Nothing here takes that long, even on a machine that does much else; what does is broken.
const PATIENCE: Duration = Duration::from_secs(90);

/// A bare repository and a working copy of it.
pub struct Repository {
    folder: tempfile::TempDir,
    server: Option<http::GitServer>,
}

impl Repository {
    pub fn new() -> Self {
        let repository = Self { folder: tempfile::tempdir().unwrap(), server: None };
        repository.run(repository.folder.path(), &["init", "--quiet", "--bare", "-b", "main", "bare.git"]);
        repository.run(repository.folder.path(), &["init", "--quiet", "-b", "main", "work"]);
        repository.git(&["remote", "add", "origin", "../bare.git"]);
        repository
    }

    /// Served by the real `git http-backend`.
    pub async fn over_http() -> Self {
        let mut repository = Self::new();
        repository.server = Some(http::GitServer::start(repository.folder.path().to_owned()).await);
        repository
    }

    pub fn url(&self) -> String {
        if let Some(server) = &self.server {
            return server.url("bare.git");
        }
        format!("file://{}", self.folder.path().join("bare.git").display())
    }

    /// The port of its server.
    pub fn port(&self) -> u16 {
        self.server.as_ref().unwrap().port()
    }

    /// The same for those who know the password ([`http::PASSWORD`]).
    pub fn private_url(&self) -> String {
        self.server.as_ref().unwrap().url("private/bare.git")
    }

    /// Takes the repository away, or brings it back.
    pub fn hide(&self, hidden: bool) {
        let (here, away) = (self.folder.path().join("bare.git"), self.folder.path().join("away.git"));
        let (from, to) = if hidden { (here, away) } else { (away, here) };
        std::fs::rename(from, to).unwrap();
    }

    fn work(&self) -> PathBuf {
        self.folder.path().join("work")
    }

    fn run(&self, folder: &Path, arguments: &[&str]) -> String {
        let identity =
            ["-c", "user.name=Ada", "-c", "user.email=ada@example.com", "-c", "commit.gpgsign=false"];
        let output = Command::new("git")
            .args(identity)
            .args(arguments)
            .current_dir(folder)
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .output()
            .unwrap();
        assert!(output.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    pub fn git(&self, arguments: &[&str]) -> String {
        self.run(&self.work(), arguments)
    }

    /// Writes files (`None`: removes them), commits and pushes to a branch; the commit's id.
    pub fn push(&self, branch: &str, message: &str, files: &[(&str, Option<&str>)]) -> String {
        for (name, content) in files {
            let path = self.work().join(name);
            match content {
                Some(content) => {
                    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                    std::fs::write(path, content).unwrap();
                }
                None => std::fs::remove_file(path).unwrap(),
            }
        }
        self.git(&["add", "--all"]);
        self.git(&["commit", "--quiet", "--allow-empty", "-m", message]);
        self.git(&["push", "--quiet", "--force", "origin", &format!("HEAD:refs/heads/{branch}")]);
        self.git(&["rev-parse", "HEAD"])
    }
}

/// A cluster with Seaway in it.
pub struct World {
    pub server: Option<ApiServer>,
    pub sync: Option<Sync>,
    pub folder: tempfile::TempDir,
    /// Between Seaway and the API.
    pub gate: gate::Gate,
    turns: usize,
    git_time: Duration,
}

impl World {
    pub async fn new() -> Self {
        Self::with(8, seaway_git::Options::default().time_limit).await
    }

    /// With so many environments that are looked at at once.
    pub async fn with_turns(turns: usize) -> Self {
        Self::with(turns, seaway_git::Options::default().time_limit).await
    }

    /// With so much time for each run of `git`.
    pub async fn with_git_time(git_time: Duration) -> Self {
        Self::with(8, git_time).await
    }

    async fn with(turns: usize, git_time: Duration) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let server = ApiServer::start(Options::new(folder.path().join("cluster"))).await.unwrap();
        let gate = gate::Gate::default();
        let mut world = Self { server: Some(server), sync: None, folder, gate, turns, git_time };
        for definition in seaway_api::crds() {
            world.create(definition).await;
        }
        for kind in ["Stack", "Environment"] {
            world
                .until(&format!("{kind} is served"), async |world| {
                    let api: Api<DynamicObject> =
                        Api::all_with(world.admin(), &resource("seaway.dev/v1alpha1", kind));
                    api.list(&Default::default()).await.is_ok()
                })
                .await;
        }
        for role in seaway_sync::copy_roles() {
            world.create(role).await;
        }
        const RBAC: &str = "rbac.authorization.k8s.io";
        let role = json!({"apiVersion": format!("{RBAC}/v1"), "kind": "ClusterRole", "metadata": {"name": "copier"},
            "rules": seaway_sync::copier_rules()});
        world.create(role).await;
        let binding = json!({"apiVersion": format!("{RBAC}/v1"), "kind": "ClusterRoleBinding",
            "metadata": {"name": "copier"}, "roleRef": {"apiGroup": RBAC, "kind": "ClusterRole", "name": "copier"},
            "subjects": [{"apiGroup": RBAC, "kind": "User", "name": "copier"}]});
        world.create(binding).await;
        world.create(json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "seaway"}})).await;
        world.start().await;
        world
    }

    pub async fn start(&mut self) {
        let policy =
            OutgoingPolicy { files: true, loopback: true, plain_http: true, ..OutgoingPolicy::default() };
        let options =
            seaway_git::Options { policy, time_limit: self.git_time, ..seaway_git::Options::default() };
        let mirrors = Mirrors::open(&self.folder.path().join("mirrors"), options).unwrap();
        let options = SyncOptions {
            client: self.gate.client(self.admin()),
            copier: self.copier(),
            data_dir: self.folder.path().join("sync"),
            rendered_dir: self.folder.path().join("rendered"),
            ledger: self.ledger().await,
            mirrors,
            poll_interval: Duration::from_millis(200),
            concurrency: self.turns,
            hash_key: HashKey::new([7; 32]),
            domain: "example.test".to_owned(),
        };
        self.sync = Some(Sync::start(options).unwrap());
    }

    /// Ends Seaway in the middle of whatever it does, and starts it anew.
    pub async fn restart(&mut self) {
        let sync = self.sync.take().unwrap();
        // What hangs is dropped before it hears of anything.
        tokio::join!(sync.stop(), async { self.gate.set(gate::Way::Open) });
        self.start().await;
    }

    pub async fn stop(mut self) {
        if let Some(sync) = self.sync.take() {
            sync.stop().await;
        }
        if let Some(server) = self.server.take() {
            server.stop().await;
        }
    }

    pub async fn ledger(&self) -> seaway_ledger::Ledger {
        seaway_ledger::Ledger::open(&self.folder.path().join("ledger.db")).await.unwrap().0
    }

    pub fn sync(&self) -> &Sync {
        self.sync.as_ref().unwrap()
    }

    /// As whoever prepares copies.
    pub fn copier(&self) -> Client {
        self.server.as_ref().unwrap().client(Identity::user("copier", Vec::<String>::new()))
    }

    pub fn admin(&self) -> Client {
        self.server.as_ref().unwrap().client(Identity::admin())
    }

    fn api(&self, api_version: &str, kind: &str, namespace: Option<&str>) -> Api<DynamicObject> {
        let resource = resource(api_version, kind);
        match namespace {
            Some(namespace) => Api::namespaced_with(self.admin(), namespace, &resource),
            None => Api::all_with(self.admin(), &resource),
        }
    }

    pub async fn create(&self, object: Value) -> Value {
        let (api_version, kind) = (object["apiVersion"].as_str().unwrap(), object["kind"].as_str().unwrap());
        let api = self.api(api_version, kind, object["metadata"]["namespace"].as_str());
        let object: DynamicObject = serde_json::from_value(object.clone()).unwrap();
        serde_json::to_value(api.create(&PostParams::default(), &object).await.unwrap()).unwrap()
    }

    /// What the API says of an object that it refuses.
    pub async fn refusal(&self, object: Value) -> String {
        let (api_version, kind) = (object["apiVersion"].as_str().unwrap(), object["kind"].as_str().unwrap());
        let api = self.api(api_version, kind, object["metadata"]["namespace"].as_str());
        let typed: DynamicObject = serde_json::from_value(object.clone()).unwrap();
        match api.create(&PostParams::default(), &typed).await {
            Ok(_) => panic!("it was taken: {object}"),
            Err(error) => error.to_string(),
        }
    }

    pub async fn get(
        &self,
        api_version: &str,
        kind: &str,
        namespace: Option<&str>,
        name: &str,
    ) -> Option<Value> {
        let api = self.api(api_version, kind, namespace);
        api.get_opt(name).await.unwrap().map(|object| serde_json::to_value(object).unwrap())
    }

    pub async fn patch(
        &self,
        api_version: &str,
        kind: &str,
        namespace: &str,
        name: &str,
        manager: &str,
        patch: Value,
    ) {
        let params = PatchParams { field_manager: Some(manager.to_owned()), ..PatchParams::default() };
        let api = self.api(api_version, kind, Some(namespace));
        api.patch(name, &params, &Patch::Merge(patch)).await.unwrap();
    }

    /// The same; what the API refuses is answered.
    pub async fn try_patch(
        &self,
        api_version: &str,
        kind: &str,
        namespace: &str,
        name: &str,
        patch: Value,
    ) -> Result<(), String> {
        let api = self.api(api_version, kind, Some(namespace));
        let patched = api.patch(name, &PatchParams::default(), &Patch::Merge(patch)).await;
        patched.map(drop).map_err(|error| error.to_string())
    }

    pub async fn delete(&self, api_version: &str, kind: &str, namespace: Option<&str>, name: &str) {
        self.api(api_version, kind, namespace).delete(name, &Default::default()).await.unwrap();
    }

    /// One key of a ConfigMap of the namespace `shop`.
    pub async fn value(&self, name: &str, key: &str) -> Option<String> {
        let found = self.get("v1", "ConfigMap", Some("shop"), name).await?;
        found["data"][key].as_str().map(str::to_owned)
    }

    /// A stack of one component in `deploy` of a repository, and an environment `staging` in namespace `shop`.
    pub async fn follow(&self, repository: &Repository, spec: Value) -> EnvironmentKey {
        self.follow_url(&repository.url(), spec).await
    }

    /// The same by the URL of the repository.
    pub async fn follow_url(&self, url: &str, spec: Value) -> EnvironmentKey {
        self.follow_as(url, json!({}), spec).await
    }

    /// The same, with more in the spec of the stack.
    pub async fn follow_with(&self, repository: &Repository, stack: Value, spec: Value) -> EnvironmentKey {
        self.follow_as(&repository.url(), stack, spec).await
    }

    async fn follow_as(&self, url: &str, stack: Value, spec: Value) -> EnvironmentKey {
        let mut of_stack = json!({"components": [{"name": "web",
            "source": {"repo": url, "path": "deploy", "revision": "main"}}]});
        for (key, value) in stack.as_object().unwrap() {
            of_stack[key] = value.clone();
        }
        self.create(json!({"apiVersion": "seaway.dev/v1alpha1", "kind": "Stack",
            "metadata": {"name": "shop", "namespace": "seaway"}, "spec": of_stack}))
            .await;
        let mut environment = json!({"stack": "shop", "destination": {"namespace": "shop"}});
        for (key, value) in spec.as_object().unwrap() {
            environment[key] = value.clone();
        }
        self.create(json!({"apiVersion": "seaway.dev/v1alpha1", "kind": "Environment",
            "metadata": {"name": "staging", "namespace": "seaway"}, "spec": environment}))
            .await;
        EnvironmentKey::new("seaway", "staging")
    }

    pub fn view(&self) -> Option<EnvironmentView> {
        self.sync().list().into_iter().find(|view| view.name == "staging")
    }

    /// Polls until something holds.
    pub async fn until(&self, what: &str, holds: impl AsyncFn(&Self) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !holds(self).await {
            let state = self.sync.as_ref().map(|_| self.view());
            assert!(Instant::now() < deadline, "in vain: {what}; {state:#?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Polls until the environment is synced at this commit.
    pub async fn synced(&self, commit: &str) {
        self.until(&format!("synced at {commit}"), async |world| {
            world.view().is_some_and(|view| {
                view.sync == seaway_sync::view::SyncStatus::Synced
                    && view.revision.as_deref() == Some(&commit[..8])
            })
        })
        .await;
    }
}

/// Access to an object's kind, as somebody.
pub fn api_of(client: &Client, object: &Value) -> Api<DynamicObject> {
    let (api_version, kind) = (object["apiVersion"].as_str().unwrap(), object["kind"].as_str().unwrap());
    match object["metadata"]["namespace"].as_str() {
        Some(namespace) => Api::namespaced_with(client.clone(), namespace, &resource(api_version, kind)),
        None => Api::all_with(client.clone(), &resource(api_version, kind)),
    }
}

fn resource(api_version: &str, kind: &str) -> ApiResource {
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    let plural = match kind {
        "Ingress" => "ingresses".to_owned(),
        "NetworkPolicy" => "networkpolicies".to_owned(),
        "PriorityClass" => "priorityclasses".to_owned(),
        kind => format!("{}s", kind.to_lowercase()),
    };
    ApiResource {
        group: group.into(),
        version: version.into(),
        api_version: api_version.into(),
        kind: kind.into(),
        plural,
    }
}

/// A ConfigMap as YAML.
pub fn config(name: &str, value: &str) -> String {
    format!("apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {name}\ndata:\n  key: {value}\n")
}
