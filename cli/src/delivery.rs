//! Seaway proper: environments that follow Git, their history, and the HTTP API in front of them.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::Path;
use std::sync::Arc;

use miette::{IntoDiagnostic, WrapErr};
use seaway_apiserver::Identity;
use seaway_git::{Mirrors, OutgoingPolicy};
use seaway_ledger::Ledger;
use seaway_object::redact::HashKey;
use seaway_server::{Accounts, Server};
use seaway_sync::{Sync, SyncOptions};
use secrecy::{ExposeSecret, SecretString};

use crate::machine::Options;

/// Environments that are looked at at the same time.
const CONCURRENCY: usize = 8;

/// The running parts.
pub(crate) struct Delivery {
    pub(crate) server: Server,
    /// Makes the first account; absent when there is one.
    setup: Option<SecretString>,
    sync: Arc<Sync>,
    ledger: Ledger,
    written: tokio::task::JoinHandle<()>,
}

impl Delivery {
    /// Starts following Git and serving. Both clients act as accounts of their own.
    pub(crate) async fn start(
        options: &Options,
        sync_client: kube::Client,
        server_client: kube::Client,
        people: impl Fn(Identity) -> kube::Client + Send + std::marker::Sync + 'static,
        gateway_port: u16,
    ) -> miette::Result<Self> {
        let folder = &options.data_dir;
        let (ledger, written) = Ledger::open(&folder.join("ledger.db")).await.into_diagnostic()?;
        // One machine, whose owner says what it fetches: its own network and disk are his.
        let policy = OutgoingPolicy { private: true, loopback: true, plain_http: true, files: true };
        let mirrors =
            Mirrors::open(&folder.join("git"), seaway_git::Options { policy, ..Default::default() })
                .into_diagnostic()?;
        let sync = Sync::start(SyncOptions {
            client: sync_client,
            data_dir: folder.join("environments"),
            ledger: ledger.clone(),
            mirrors,
            poll_interval: options.poll_interval,
            concurrency: CONCURRENCY,
            hash_key: hash_key(&folder.join("pki/hash.key"))?,
            // Every name below it leads to this machine (RFC 6761).
            domain: "localhost".to_owned(),
        })
        .into_diagnostic()?;
        let sync = Arc::new(sync);
        let (accounts, setup) = Accounts::open(&folder.join("accounts.db")).await.into_diagnostic()?;
        // The server's own account may check tokens and nothing else: for people it acts as they themselves do.
        let authenticate = seaway_server::token_review(server_client);
        let people: seaway_server::ClientFor =
            Arc::new(move |person| Ok(people(Identity::user(person.name.clone(), person.groups.clone()))));
        let mut server =
            seaway_server::Options::new(sync.clone(), ledger.clone(), accounts, authenticate, people);
        server.listen = options.listen;
        server.gateway_port = Some(gateway_port);
        let server = Server::start(server).await.into_diagnostic()?;
        Ok(Self { server, setup, sync, ledger, written })
    }

    /// The page that makes the first account, while there is none. Its code is a fragment: browsers do not send it, so
    /// that it is in no log.
    pub(crate) fn setup_link(&self) -> Option<String> {
        let address = self.server.address();
        // Where `localhost` leads.
        let host = match address.ip() {
            ip if ip.is_unspecified() || ip == Ipv4Addr::LOCALHOST || ip == Ipv6Addr::LOCALHOST => {
                format!("localhost:{}", address.port())
            }
            _ => address.to_string(),
        };
        self.setup.as_ref().map(|code| format!("http://{host}/setup#{}", code.expose_secret()))
    }

    /// Ends open answers and what is being synced; the next start goes on with it.
    pub(crate) async fn stop(self) {
        self.server.stop().await;
        if let Some(sync) = Arc::into_inner(self.sync) {
            sync.stop().await;
        }
        drop(self.ledger);
        let _ = tokio::time::timeout(std::time::Duration::from_secs(5), self.written).await;
    }
}

/// The installation's key for hashes of secret values, made at the first start.
fn hash_key(path: &Path) -> miette::Result<HashKey> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    let unusable = || format!("{} cannot be used", path.display());
    match std::fs::read(path) {
        Ok(bytes) => {
            let bytes: [u8; 32] = bytes.try_into().map_err(|_| {
                miette::miette!(
                    help = "remove it; hashes in older plans then no longer compare",
                    "{} is damaged",
                    path.display()
                )
            })?;
            Ok(HashKey::new(bytes))
        }
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            let bytes: [u8; 32] = rand::random();
            let temporary = path.with_extension("new");
            let _ = std::fs::remove_file(&temporary);
            let write = || -> std::io::Result<()> {
                let mut file =
                    std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
                file.write_all(&bytes)?;
                file.sync_all()?;
                std::fs::rename(&temporary, path)
            };
            write().into_diagnostic().wrap_err_with(unusable)?;
            Ok(HashKey::new(bytes))
        }
        Err(e) => Err(e).into_diagnostic().wrap_err_with(unusable),
    }
}
