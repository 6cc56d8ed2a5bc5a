//! Seaway proper: environments that follow Git, their history, and the HTTP API in front of them.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use miette::{IntoDiagnostic, WrapErr};
use seaway_git::{Mirrors, OutgoingPolicy};
use seaway_ledger::{Ledger, Retention};
use seaway_object::redact::HashKey;
use seaway_server::{Accounts, ClientFor, Counted, Kubernetes, Oidc, Server, Traffic};
use seaway_sync::{Sync, SyncOptions};
use secrecy::{ExposeSecret, SecretString};

/// Environments that are looked at at the same time.
const CONCURRENCY: usize = 32;

/// Between two times that history is forgotten.
const FORGET_EVERY: Duration = Duration::from_secs(24 * 60 * 60);

/// How Seaway proper runs, whatever the cluster is.
pub(crate) struct Settings {
    /// Where mirrors, records, history and accounts lie.
    pub(crate) data_dir: PathBuf,
    /// The file of the history.
    pub(crate) ledger: PathBuf,
    /// Where the HTTP API and the page are served.
    pub(crate) listen: SocketAddr,
    /// How people reach it, when that is another address.
    pub(crate) external: Option<External>,
    /// With which certificate it serves https itself.
    pub(crate) tls: Option<Arc<rustls::ServerConfig>>,
    /// How often repositories are asked for news.
    pub(crate) poll_interval: Duration,
    /// After how many days history is forgotten, if ever.
    pub(crate) keep_history: Option<u32>,
    /// Where outgoing connections may go.
    pub(crate) policy: OutgoingPolicy,
    /// Copies answer at `*.NAME.DOMAIN`.
    pub(crate) domain: String,
    /// The port at which HTTPRoutes are served, where that is known.
    pub(crate) gateway_port: Option<u16>,
    /// Who vouches for people, besides their passwords here.
    pub(crate) oidc: Option<Oidc>,
    /// What a gateway of ours has counted; absent: requests go through somebody else's.
    pub(crate) counted: Option<Count>,
    /// How people reach the Kubernetes API.
    pub(crate) kubernetes: Option<Kubernetes>,
}

/// What a gateway has counted since it started.
pub(crate) type Count = Box<dyn Fn() -> Vec<Counted> + Send + std::marker::Sync>;

/// How people reach the server: `https://seaway.example.com`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct External {
    /// Without a slash at the end.
    pub(crate) url: String,
    pub(crate) host: String,
    pub(crate) https: bool,
}

impl std::str::FromStr for External {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong =
            |what: &str| format!("{text:?} {what}: give scheme and host, as in https://seaway.example.com");
        let uri: http::Uri = text.parse().map_err(|_| wrong("is no URL"))?;
        let https = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err(wrong("begins with neither http:// nor https://")),
        };
        if !uri.path().trim_matches('/').is_empty() || uri.query().is_some() {
            return Err(wrong("has a path: Seaway is served at the root of its host"));
        }
        let host = uri.host().filter(|host| !host.is_empty()).ok_or_else(|| wrong("has no host"))?;
        Ok(Self { url: text.trim_end_matches('/').to_owned(), host: host.to_owned(), https })
    }
}

/// Where history is kept: `sqlite:PATH`, the form that SQLite's users know from other programs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Database(pub(crate) PathBuf);

impl std::str::FromStr for Database {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let Some((scheme, rest)) = text.split_once(':') else {
            return Err(format!("{text:?} has no scheme: give sqlite:PATH"));
        };
        match scheme {
            "sqlite" => {}
            "postgres" | "postgresql" => {
                return Err(
                    "PostgreSQL is not supported yet: it comes with several replicas that share their history. \
                     Until then give sqlite:PATH, on a volume that moves with the active replica"
                        .to_owned(),
                );
            }
            _ => return Err(format!("{scheme:?} is no database that Seaway knows: give sqlite:PATH")),
        }
        // `sqlite:///var/lib/x.db` and `sqlite:/var/lib/x.db` are the same file, `sqlite:x.db` lies in this folder.
        let path = rest.strip_prefix("//").unwrap_or(rest);
        if path.is_empty() || path == ":memory:" || path.contains('?') {
            return Err(format!("{text:?} names no file: give sqlite:PATH, without parameters"));
        }
        Ok(Self(PathBuf::from(path)))
    }
}

/// The running parts.
pub(crate) struct Delivery {
    pub(crate) server: Server,
    external: Option<External>,
    tls: bool,
    /// Makes the first account; absent when there is one.
    setup: Option<SecretString>,
    sync: Arc<Sync>,
    ledger: Ledger,
    written: tokio::task::JoinHandle<()>,
    /// Ends with what runs.
    _forgetting: Option<tokio_util::task::AbortOnDropHandle<()>>,
}

/// Forgets history that is older than so many days, now and once a day.
async fn forget(ledger: Ledger, days: u32) {
    loop {
        let age = jiff::SignedDuration::from_hours(24 * i64::from(days));
        let before = jiff::Timestamp::now().checked_sub(age).unwrap_or(jiff::Timestamp::MIN);
        match ledger.forget(Retention { before: Some(before), ..Retention::default() }).await {
            Ok(removed) if removed != seaway_ledger::Removed::default() => {
                tracing::info!(events = removed.events, syncs = removed.syncs, days, "forgot old history");
            }
            Ok(_) => {}
            Err(error) => tracing::warn!(%error, "old history could not be forgotten: tried again tomorrow"),
        }
        tokio::time::sleep(FORGET_EVERY).await;
    }
}

impl Delivery {
    /// Starts following Git and serving. Each client acts as an account of its own; that of the server may check tokens
    /// and nothing else: for people it acts as they themselves do.
    pub(crate) async fn start(
        settings: Settings,
        sync_client: kube::Client,
        copier: kube::Client,
        server_client: kube::Client,
        people: ClientFor,
    ) -> miette::Result<Self> {
        more_files();
        let folder = &settings.data_dir;
        let (ledger, written) = Ledger::open(&settings.ledger).await.into_diagnostic()?;
        let policy = settings.policy;
        let git = seaway_git::Options { policy, ..Default::default() };
        let mirrors = Mirrors::open(&folder.join("git"), git).into_diagnostic()?;
        let sync = Sync::start(SyncOptions {
            client: sync_client,
            copier,
            data_dir: folder.join("environments"),
            rendered_dir: folder.join("rendered"),
            ledger: ledger.clone(),
            mirrors,
            poll_interval: settings.poll_interval,
            concurrency: CONCURRENCY,
            hash_key: hash_key(&folder.join("pki/hash.key"))?,
            domain: settings.domain,
        })
        .into_diagnostic()?;
        let sync = Arc::new(sync);
        let (accounts, setup) = Accounts::open(&folder.join("accounts.db")).await.into_diagnostic()?;
        let authenticate = seaway_server::token_review(server_client);
        let mut server =
            seaway_server::Options::new(sync.clone(), ledger.clone(), accounts, authenticate, people);
        server.listen = settings.listen;
        server.gateway_port = settings.gateway_port;
        server.oidc = settings.oidc;
        server.policy = policy;
        server.url = settings.external.as_ref().map(|external| external.url.clone());
        server.kubernetes = settings.kubernetes;
        if let Some(count) = settings.counted {
            server.traffic = Some(Traffic::open(&folder.join("traffic.db"), count).await.into_diagnostic()?);
        }
        server.https = settings.external.as_ref().is_some_and(|external| external.https);
        server.names = settings.external.iter().map(|external| external.host.clone()).collect();
        let tls = settings.tls.is_some();
        server.tls = settings.tls;
        let server = Server::start(server).await.into_diagnostic()?;
        let _forgetting = settings
            .keep_history
            .map(|days| tokio_util::task::AbortOnDropHandle::new(tokio::spawn(forget(ledger.clone(), days))));
        let external = settings.external;
        Ok(Self { server, external, tls, setup, sync, ledger, written, _forgetting })
    }

    /// Where people reach it.
    pub(crate) fn url(&self) -> String {
        if let Some(external) = &self.external {
            return external.url.clone();
        }
        let address = self.server.address();
        // Where `localhost` leads.
        let host = match address.ip() {
            ip if ip.is_unspecified() || ip == Ipv4Addr::LOCALHOST || ip == Ipv6Addr::LOCALHOST => {
                format!("localhost:{}", address.port())
            }
            _ => address.to_string(),
        };
        format!("http{}://{host}", if self.tls { "s" } else { "" })
    }

    /// The page that makes the first account, while there is none. Its code is a fragment: browsers do not send it, so
    /// that it is in no log.
    pub(crate) fn setup_link(&self) -> Option<String> {
        let code = self.setup.as_ref().filter(|_| self.server.wants_setup());
        code.map(|code| format!("{}/setup#{}", self.url(), code.expose_secret()))
    }

    /// Ends open answers and what is being synced; the next start goes on with it.
    pub(crate) async fn stop(self) {
        self.server.stop().await;
        if let Some(sync) = Arc::into_inner(self.sync) {
            sync.stop().await;
        }
        drop((self.ledger, self._forgetting));
        let _ = tokio::time::timeout(std::time::Duration::from_secs(5), self.written).await;
    }
}

/// Each open page is a connection, and each of those a file: as many as the system allows, in place of the 1,024 that it
/// gives at first.
fn more_files() {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    let raised = getrlimit(Resource::RLIMIT_NOFILE)
        .and_then(|(_, hard)| setrlimit(Resource::RLIMIT_NOFILE, hard, hard));
    if let Err(error) = raised {
        tracing::debug!(%error, "the number of open files stays as it is");
    }
}

/// The installation's key for hashes of secret values, made at the first start.
fn hash_key(path: &Path) -> miette::Result<HashKey> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    let unusable = || format!("{} cannot be used", path.display());
    if let Some(folder) = path.parent() {
        let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder);
        made.into_diagnostic().wrap_err_with(unusable)?;
    }
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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_database_is_a_file_and_postgresql_comes_later() {
        for (text, path) in [
            ("sqlite:///var/lib/seaway/ledger.db", "/var/lib/seaway/ledger.db"),
            ("sqlite:/var/lib/ledger.db", "/var/lib/ledger.db"),
            ("sqlite:ledger.db", "ledger.db"),
            ("sqlite://ledger.db", "ledger.db"),
        ] {
            assert_eq!(text.parse::<Database>().unwrap().0, PathBuf::from(path), "{text}");
        }
        for (text, part) in [
            ("postgres://db.example.com/seaway", "comes with several replicas"),
            ("postgresql://db/seaway", "comes with several replicas"),
            ("mysql://db/seaway", "sqlite:PATH"),
            ("ledger.db", "sqlite:PATH"),
            ("sqlite:", "names no file"),
            ("sqlite::memory:", "names no file"),
            ("sqlite:a.db?mode=ro", "without parameters"),
        ] {
            let error = text.parse::<Database>().unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
    }

    #[test]
    fn an_external_url_is_scheme_and_host() {
        let url: External = "https://Seaway.example.com:8443/".parse().unwrap();
        assert_eq!(
            (url.url.as_str(), url.host.as_str(), url.https),
            ("https://Seaway.example.com:8443", "Seaway.example.com", true)
        );
        for bad in ["", "seaway.example.com", "ftp://h", "https://h/path", "https://h/?q", "https://"] {
            assert!(bad.parse::<External>().is_err(), "{bad}");
        }
    }
}
