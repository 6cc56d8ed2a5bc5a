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
