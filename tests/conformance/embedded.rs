//! The embedded API server alone, on a temporary folder and a free port.
//!
//! Not `seaway up`: its workload controllers would change Deployments between two requests, and the real
//! server it is compared with has none either.

use std::path::PathBuf;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use seaway_apiserver::{ApiServer, Options};
use serde_json::json;

pub(crate) struct Embedded {
    server: ApiServer,
    folder: tempfile::TempDir,
}

impl Embedded {
    pub(crate) async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut options = Options::new(folder.path().join("data"));
        options.listen = Some(([127, 0, 0, 1], 0).into());
        // As few events as a new API server keeps, so that a watch can come too late.
        options.events_kept = 100;
        let server = ApiServer::start(options).await.unwrap();
        let config = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "it",
            "clusters": [{"name": "it", "cluster": {
                "server": format!("https://{}", server.address().unwrap()),
                "certificate-authority-data": STANDARD.encode(server.ca_pem())}}],
            "users": [{"name": "it", "user": {"token": server.admin_token().expose()}}],
            "contexts": [{"name": "it", "context": {"cluster": "it", "user": "it"}}],
        });
        let embedded = Self { server, folder };
        std::fs::write(embedded.kubeconfig(), config.to_string()).unwrap();
        embedded
    }

    pub(crate) fn kubeconfig(&self) -> PathBuf {
        self.folder.path().join("kubeconfig")
    }

    pub(crate) async fn stop(self) {
        self.server.stop().await;
    }
}
