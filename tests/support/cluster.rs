//! A Kubernetes API on its own.

#![allow(clippy::unwrap_used, dead_code)]

use std::path::PathBuf;

use seaway_apiserver::{ApiServer, Options};
use serde_json::json;

/// The embedded Kubernetes API on a socket: nothing of Seaway runs in it.
pub(crate) struct Cluster {
    server: Option<ApiServer>,
    runtime: tokio::runtime::Runtime,
    folder: tempfile::TempDir,
}

impl Cluster {
    pub(crate) fn start() -> Self {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let folder = tempfile::tempdir().unwrap();
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let mut options = Options::new(folder.path().join("data"));
        options.listen = Some(([127, 0, 0, 1], 0).into());
        let server = runtime.block_on(ApiServer::start(options)).unwrap();
        let config = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "c",
            "clusters": [{"name": "c", "cluster": {
                "server": format!("https://{}", server.address().unwrap()),
                "certificate-authority-data": base64::Engine::encode(
                    &base64::engine::general_purpose::STANDARD, server.ca_pem())}}],
            "users": [{"name": "u", "user": {"token": server.admin_token().expose()}}],
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
        });
        std::fs::write(folder.path().join("kubeconfig"), config.to_string()).unwrap();
        Self { server: Some(server), runtime, folder }
    }

    pub(crate) fn kubeconfig(&self) -> PathBuf {
        self.folder.path().join("kubeconfig")
    }

    /// Ends it and starts it again, at the same address and with the same objects.
    pub(crate) fn restart(&mut self) {
        let server = self.server.take().unwrap();
        let mut options = Options::new(self.folder.path().join("data"));
        options.listen = server.address();
        self.runtime.block_on(server.stop());
        self.server = Some(self.runtime.block_on(ApiServer::start(options)).unwrap());
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if let Some(server) = self.server.take() {
            self.runtime.block_on(server.stop());
        }
    }
}
