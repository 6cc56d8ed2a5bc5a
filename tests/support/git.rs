//! Repositories over http.

#![allow(clippy::unwrap_used, dead_code)]

#[allow(unreachable_pub)]
#[path = "../../platform/sync/tests/support/http.rs"]
pub(crate) mod http;

use std::path::{Path, PathBuf};
use std::process::Command;

/// A bare repository that is served over http, and a working copy of it.
pub(crate) struct Repository {
    folder: tempfile::TempDir,
    server: http::GitServer,
    _runtime: tokio::runtime::Runtime,
}

impl Repository {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let server = runtime.block_on(http::GitServer::start(folder.path().to_owned()));
        let repository = Self { folder, server, _runtime: runtime };
        repository.git(repository.folder.path(), &["init", "-q", "--bare", "-b", "main", "shop.git"]);
        repository.git(repository.folder.path(), &["init", "-q", "-b", "main", "work"]);
        repository
    }

    pub(crate) fn url(&self) -> String {
        self.server.url("shop.git")
    }

    /// The same for those who know the password ([`http::PASSWORD`]).
    pub(crate) fn private_url(&self) -> String {
        self.server.url("private/shop.git")
    }

    /// The bare repository.
    pub(crate) fn bare(&self) -> PathBuf {
        self.folder.path().join("shop.git")
    }

    /// The same as [`Self::private_url`] over TLS, with the certificate (PEM) of its authority.
    pub(crate) fn private_url_over_tls(&self) -> (String, String) {
        let (port, ca) = self._runtime.block_on(terminate_tls(self.server.port()));
        (format!("https://127.0.0.1:{port}/private/shop.git"), ca)
    }

    pub(crate) fn work(&self) -> PathBuf {
        self.folder.path().join("work")
    }

    pub(crate) fn git(&self, folder: &Path, arguments: &[&str]) {
        let status = Command::new("git")
            .args(["-c", "user.name=Jane", "-c", "user.email=jane@example.com"])
            .args(arguments)
            .current_dir(folder)
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .status()
            .unwrap();
        assert!(status.success(), "git {arguments:?}");
    }

    /// Writes files (an empty text removes one), commits and pushes to a branch.
    pub(crate) fn push(&self, branch: &str, message: &str, files: &[(&str, &str)]) {
        for (name, text) in files {
            let path = self.work().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            if text.is_empty() {
                std::fs::remove_file(path).unwrap()
            } else {
                std::fs::write(path, text).unwrap()
            }
        }
        self.git(&self.work(), &["add", "-A"]);
        self.git(&self.work(), &["commit", "-q", "-m", message]);
        self.git(&self.work(), &["push", "-q", "../shop.git", &format!("HEAD:{branch}")]);
    }
}

/// Carries what comes over TLS to a port of this machine, for as long as the runtime lives.
async fn terminate_tls(to: u16) -> (u16, String) {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let key = rustls_pki_types::PrivateKeyDer::Pkcs8(made.signing_key.serialize_der().into());
    let config = rustls::ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(std::sync::Arc::new(config));
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let Ok(mut stream) = acceptor.accept(stream).await else { return };
                let mut server = tokio::net::TcpStream::connect(("127.0.0.1", to)).await.unwrap();
                let _ = tokio::io::copy_bidirectional(&mut stream, &mut server).await;
            });
        }
    });
    (port, made.cert.pem())
}
