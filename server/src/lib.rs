//! The HTTP API of Seaway and its page: environments, what would change in them, what has happened, and what happens
//! now.
//!
//! What it does: says who is asking (a bearer token, which Kubernetes checks, or the session of an account here), asks
//! Kubernetes RBAC as that person whether it is allowed, and passes it on to the sync engine; describes itself at
//! `/api/openapi.json`; serves the page.
//!
//! What it never does: keep rights of its own or a password as it was typed, decide what an environment should run, or
//! talk to Git.
//!
//! Start reading in [`Server`], then `guard.rs` (what every request passes) and `routes/` (what is offered).

mod accounts;
mod authentication;
mod authorization;
mod cookie;
mod guard;
mod insight;
mod listener;
mod oidc;
mod page;
mod permissions;
mod personal;
mod problem;
mod reading;
mod recent;
mod routes;
mod schemas;
mod streams;
mod telemetry;
mod traffic;

use std::net::SocketAddr;
use std::sync::Arc;

use seaway_git::OutgoingPolicy;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

pub use accounts::{
    ADMINS, AccountName, Accounts, AccountsError, Clock, Grant, GrantError, NameError, Role, RoleError,
    Scope, ScopeError,
};
pub use authentication::{Authenticate, BearerToken, Identity, token_review};
pub use authorization::{ClientFor, impersonation};
pub use oidc::{Oidc, OidcRole, OidcRoleError};
pub use permissions::{account_rules, cluster_roles, group_bindings, roles_page};
pub use problem::{MEDIA_TYPE as PROBLEM_MEDIA_TYPE, Problem};
pub use routes::{
    AccessToken, AccessTokenList, AccessTokenRequest, AccessTokenView, AccessView, AccountList,
    AccountRequest, AccountState, AccountView, AdmissionView, AdmitRequest, AuditList, CancelRequest,
    Cancelled, CopyAnswer, CopyRequest, Deploy, Done, EnvironmentList, ExtendRequest, History, HoldRequest,
    Holds, InvitationView, JoinRequest, Kubernetes, Lifetime, LoginMethod, LoginPage, LoginProvider,
    LoginRequest, May, NewAccessToken, OverrideRequest, Overrides, ProposeAnswer, ProposeRequest,
    RedeemRequest, Rights, RoleRequest, RollbackRequest, SessionView, SetupRequest, SyncAnswer, SyncRequest,
    TokenView, TrafficPoint, TrafficRoute, TrafficView, UsageList, WebhookAnswer, document,
};
pub use traffic::{BOUNDS as LATENCY_BOUNDS, Counted, Traffic, TrafficError};

/// The port at which it listens when nothing else is said.
pub const DEFAULT_PORT: u16 = 7420;

/// How to serve.
pub struct Options {
    /// Where. The default is loopback alone: what is sent is not encrypted here.
    pub listen: SocketAddr,
    /// Names of this server besides addresses and `localhost`, such as the host of its URL behind a proxy.
    pub names: Vec<String>,
    /// Whether people reach it by https, as behind a proxy: browsers then send its cookie over https alone.
    pub https: bool,
    /// Where people reach it, as in `https://seaway.example.com`; absent: on this machine, where it listens.
    pub url: Option<String>,
    /// Who vouches for people, besides their passwords here.
    pub oidc: Option<Oidc>,
    /// Where it may connect to: the provider of OpenID Connect.
    pub policy: OutgoingPolicy,
    /// With which certificate it serves https itself; absent: plain http, for loopback or behind a proxy.
    pub tls: Option<Arc<rustls::ServerConfig>>,
    /// Who can log in with a password. They are closed by [`Server::stop`].
    pub accounts: Accounts,
    /// Who holds a token.
    pub authenticate: Authenticate,
    /// A client of the Kubernetes API that acts as a person.
    pub client_for: ClientFor,
    /// The engine behind it. After [`Server::stop`] nothing here holds it any more.
    pub sync: Arc<seaway_sync::Sync>,
    /// Where it is kept who asked for what; its events are what `/api/v1/events` tells.
    pub ledger: seaway_ledger::Ledger,
    /// The port at which HTTPRoutes are served: with it, the environments' hosts become links.
    pub gateway_port: Option<u16>,
    /// How people reach the Kubernetes API with kubectl, where that is known.
    pub kubernetes: Option<Kubernetes>,
    /// What a gateway of ours counts; absent: requests go through somebody else's. Closed by [`Server::stop`].
    pub traffic: Option<Traffic>,
}

impl Options {
    /// On loopback, at the usual port.
    pub fn new(
        sync: Arc<seaway_sync::Sync>,
        ledger: seaway_ledger::Ledger,
        accounts: Accounts,
        authenticate: Authenticate,
        client_for: ClientFor,
    ) -> Self {
        let listen = SocketAddr::from(([127, 0, 0, 1], DEFAULT_PORT));
        Self {
            listen,
            names: Vec::new(),
            https: false,
            url: None,
            oidc: None,
            policy: OutgoingPolicy::default(),
            tls: None,
            accounts,
            authenticate,
            client_for,
            sync,
            ledger,
            gateway_port: None,
            kubernetes: None,
            traffic: None,
        }
    }
}

/// Why it cannot serve.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address cannot be listened on.
    #[error("cannot listen on {address}; choose another with --listen")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system says.
        #[source]
        source: std::io::Error,
    },
    /// The provider of OpenID Connect cannot be used as it is described.
    #[error("the login by OpenID Connect cannot be used: {0}")]
    Oidc(String),
}

/// A running server.
pub struct Server {
    address: SocketAddr,
    accounts: Arc<Accounts>,
    measuring: Option<tokio::task::JoinHandle<()>>,
    stopping: CancellationToken,
    serving: tokio::task::JoinHandle<()>,
}

impl Server {
    /// Listens and serves.
    ///
    /// # Errors
    /// When the address is taken.
    pub async fn start(options: Options) -> Result<Self, Error> {
        let listening = |source| Error::Listen { address: options.listen, source };
        let listener = TcpListener::bind(options.listen).await.map_err(listening)?;
        let address = listener.local_addr().map_err(listening)?;
        let tls = options.tls.map(tokio_rustls::TlsAcceptor::from);
        let stopping = CancellationToken::new();
        let accounts = Arc::new(options.accounts);
        let https = options.https || tls.is_some();
        let url = options.url.unwrap_or_else(|| {
            format!("http{}://localhost:{}", if https { "s" } else { "" }, address.port())
        });
        let oidc = options.oidc.map(|settings| oidc::Provider::new(settings, options.policy, &url));
        let oidc = oidc.transpose().map_err(Error::Oidc)?;
        let measuring = options.traffic.map(|traffic| traffic.start(stopping.clone()));
        let (traffic, measuring) = measuring.unzip();
        let app = routes::App {
            accounts: accounts.clone(),
            https,
            url,
            oidc,
            sync: options.sync,
            recent: recent::Recent::new(options.ledger.clone()),
            ledger: options.ledger,
            authenticate: options.authenticate,
            client_for: options.client_for,
            gateway_port: options.gateway_port,
            kubernetes: options.kubernetes,
            traffic,
            streams: streams::Streams::new(streams::LOGS),
            listeners: streams::Streams::new(streams::EVENTS),
            admissions: Default::default(),
            metrics: Default::default(),
            stopping: stopping.clone(),
        };
        let router = routes::router(Arc::new(app), guard::Names::new(options.names));
        let serving = tokio::spawn(listener::serve(listener, tls, router, stopping.clone()));
        Ok(Self { address, accounts, measuring, stopping, serving })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Whether nobody has made the first account yet.
    pub fn wants_setup(&self) -> bool {
        self.accounts.wants_setup()
    }

    /// Lets open answers finish, and ends.
    pub async fn stop(self) {
        self.stopping.cancel();
        let _ = self.serving.await;
        if let Some(measuring) = self.measuring {
            let _ = measuring.await;
        }
        self.accounts.close().await;
    }
}
