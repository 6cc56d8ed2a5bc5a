//! The routes, and the document that describes them.

mod access;
mod access_tokens;
mod accounts;
mod actions;
mod audit;
mod audit_log;
pub(crate) mod command_line;
mod copies;
mod environments;
mod events;
mod logs;
mod metrics;
mod object;
mod oidc;
mod request;
mod session;
mod timeline;
mod tokens;
mod traffic;
mod tree;
mod usage;
mod webhooks;

use std::sync::Arc;

use axum::extract::DefaultBodyLimit;
use axum::routing::get;
use axum::{Json, Router, middleware};
use serde_json::Value;
use tokio_util::sync::CancellationToken;
use utoipa::OpenApi;
use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::accounts::Accounts;
use crate::authentication::Authenticate;
use crate::authorization::ClientFor;
use crate::guard::{self, Names};
use crate::problem::Problem;
use crate::streams::Streams;
use crate::{cookie, page, schemas, telemetry};

pub use access::{AccessToken, AccessView, Kubernetes};
pub use access_tokens::{AccessTokenList, AccessTokenRequest, AccessTokenView, NewAccessToken};
pub use accounts::{
    AccountList, AccountRequest, AccountState, AccountView, InvitationView, JoinRequest, RoleRequest,
};
pub use actions::{
    CancelRequest, Cancelled, Done, HoldRequest, Holds, RollbackRequest, SyncAnswer, SyncRequest,
};
pub use audit_log::AuditList;
pub use command_line::{AdmissionView, AdmitRequest, RedeemRequest};
pub use copies::{
    CopyAnswer, CopyRequest, ExtendRequest, Lifetime, OverrideRequest, Overrides, ProposeAnswer,
    ProposeRequest,
};
pub use environments::{EnvironmentList, History, Rights};
pub(crate) use oidc::CALLBACK as OIDC_CALLBACK;
pub use session::{LoginMethod, LoginPage, LoginProvider, LoginRequest, May, SessionView, SetupRequest};
pub use tokens::TokenView;
pub use traffic::{Deploy, TrafficPoint, TrafficRoute, TrafficView};
pub use usage::UsageList;
pub use webhooks::WebhookAnswer;

/// Largest request body.
const LARGEST_BODY: usize = 64 * 1024;

/// What the handlers need.
pub(crate) struct App {
    pub(crate) sync: Arc<seaway_sync::Sync>,
    pub(crate) ledger: seaway_ledger::Ledger,
    /// The newest of its events.
    pub(crate) recent: crate::recent::Recent,
    pub(crate) accounts: Arc<Accounts>,
    /// Whether people reach the server by https.
    pub(crate) https: bool,
    /// Where people reach it, without a slash at the end.
    pub(crate) url: String,
    /// Who else vouches for people.
    pub(crate) oidc: Option<crate::oidc::Provider>,
    pub(crate) authenticate: Authenticate,
    pub(crate) client_for: ClientFor,
    pub(crate) gateway_port: Option<u16>,
    pub(crate) kubernetes: Option<Kubernetes>,
    /// What the gateway has counted; absent where it is somebody else's.
    pub(crate) traffic: Option<crate::traffic::Reader>,
    /// Logs that are followed.
    pub(crate) streams: Streams,
    /// Streams of events.
    pub(crate) listeners: Streams,
    /// Command lines that were let in by a page.
    pub(crate) admissions: command_line::Admissions,
    pub(crate) metrics: Arc<telemetry::Metrics>,
    pub(crate) stopping: CancellationToken,
}

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Seaway",
        description = "Environments that follow Git. Errors are `application/problem+json` (RFC 9457); rights are those \
                       of Kubernetes on `environments.seaway.dev`.",
        license(name = "Apache-2.0", identifier = "Apache-2.0"),
    ),
    components(schemas(Problem, logs::LogProblem)),
    security(("bearer" = []), ("session" = [])),
    tags(
        (name = "environments", description = "What runs where, and what would change"),
        (name = "actions", description = "What a person asks for"),
        (name = "copies", description = "Copies of environments, and how far they are from what they copy"),
        (name = "events", description = "What happens, while it happens"),
        (name = "session", description = "Who is logged in"),
        (name = "accounts", description = "Who can log in"),
        (name = "audit", description = "Who did what"),
        (name = "metrics", description = "Numbers for Prometheus"),
        (name = "webhooks", description = "What forges tell"),
    ),
)]
struct Document;

/// The routes and their description.
fn described() -> (Router<Arc<App>>, Value) {
    let router = OpenApiRouter::with_openapi(Document::openapi())
        .routes(routes!(environments::list, copies::create))
        .routes(routes!(environments::show, actions::delete))
        .routes(routes!(environments::rights))
        .routes(routes!(environments::plan))
        .routes(routes!(environments::history))
        .routes(routes!(tree::tree))
        .routes(routes!(object::object))
        .routes(routes!(logs::logs))
        .routes(routes!(timeline::timeline))
        .routes(routes!(traffic::traffic))
        .routes(routes!(actions::sync))
        .routes(routes!(actions::cancel))
        .routes(routes!(actions::rollback))
        .routes(routes!(actions::hold))
        .routes(routes!(actions::suspend))
        .routes(routes!(actions::resume))
        .routes(routes!(copies::deviate))
        .routes(routes!(copies::fidelity))
        .routes(routes!(copies::propose))
        .routes(routes!(copies::extend))
        .routes(routes!(usage::list))
        .routes(routes!(access::show, access::token, access::revoke))
        .routes(routes!(events::events))
        .routes(routes!(session::page, session::login))
        .routes(routes!(session::setup))
        .routes(routes!(session::show, session::logout))
        .routes(routes!(oidc::login))
        .routes(routes!(oidc::callback))
        .routes(routes!(tokens::create))
        .routes(routes!(command_line::admit))
        .routes(routes!(command_line::redeem))
        .routes(routes!(access_tokens::list, access_tokens::create))
        .routes(routes!(access_tokens::revoke))
        .routes(routes!(metrics::metrics))
        .routes(routes!(audit_log::list))
        .routes(routes!(audit_log::export))
        .routes(routes!(accounts::join))
        .routes(routes!(accounts::list, accounts::create))
        .routes(routes!(accounts::delete))
        .routes(routes!(accounts::assign))
        .routes(routes!(accounts::invite));
    let webhooks = OpenApiRouter::new()
        .routes(routes!(webhooks::receive))
        .layer(DefaultBodyLimit::max(seaway_sync::MAX_WEBHOOK));
    let router = router.merge(webhooks);
    let (router, mut document) = router.split_for_parts();
    let components = document.components.get_or_insert_default();
    let bearer = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .description(Some("A token of the Kubernetes API, such as that of the kubeconfig of `seaway up`, one of `/api/v1/tokens`, or one of `/api/v1/access-tokens`"));
    components.security_schemes.insert("bearer".into(), SecurityScheme::Http(bearer.build()).into());
    let session = "The cookie of a login; over https it is called `__Host-seaway`. Whatever changes something then needs \
                   the header `X-Seaway-CSRF: 1` as well";
    let session = ApiKey::Cookie(ApiKeyValue::with_description(cookie::name(false), session));
    components.security_schemes.insert("session".into(), SecurityScheme::ApiKey(session).into());
    let mut document = serde_json::to_value(document).unwrap_or_default();
    if let Some(known) = document["components"]["schemas"].as_object_mut() {
        known.extend(schemas::all().into_iter().map(|(name, schema)| (name.to_owned(), schema)));
    }
    (router, document)
}

/// The OpenAPI document of the API.
pub fn document() -> Value {
    described().1
}

/// Everything that is served.
pub(crate) fn router(app: Arc<App>, names: Names) -> Router {
    let (router, document) = described();
    let metrics = app.metrics.clone();
    router
        .route("/api/openapi.json", get(move || async move { Json(document) }))
        .route("/healthz", get(|| async { "ok" }))
        .fallback(page::serve)
        .method_not_allowed_fallback(|| async { Problem::method_not_allowed() })
        .with_state(app)
        .layer(DefaultBodyLimit::max(LARGEST_BODY))
        .layer(middleware::from_fn(guard::limit_time))
        .layer(middleware::from_fn_with_state(names, guard::check))
        .layer(middleware::from_fn_with_state(metrics, telemetry::measure))
        .layer(middleware::from_fn(telemetry::identify))
}
