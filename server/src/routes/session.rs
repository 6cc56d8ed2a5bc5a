//! Logging in and out, and who is logged in.

use std::net::IpAddr;
use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::BytesRejection;
use axum::extract::{Extension, State};
use axum::response::AppendHeaders;
use http::header::{HeaderMap, HeaderName, HeaderValue, SET_COOKIE};
use hyper::body::Bytes;
use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize, Serializer};
use utoipa::ToSchema;

use super::request::{self, Caller};
use super::{App, Done, audit, oidc};
use crate::accounts::{Account, Carrier, Refusal, Role, Session};
use crate::authorization::Person;
use crate::listener::Peer;
use crate::permissions::Verb;
use crate::problem::Problem;
use crate::{cookie, personal};

/// Largest body of a login: a name, a password of 128 characters, each written as `\u0000`, and room.
const LARGEST_FORM: usize = 4 * 1024;

/// How one can log in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub enum LoginMethod {
    /// A name and a password, at this server.
    Password,
    /// A bearer token: of the Kubernetes API, or a personal access token.
    Token,
    /// A provider of OpenID Connect.
    Oidc,
}

/// What the login page needs to know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct LoginPage {
    /// Whether there is no account yet: the one-time link makes the first one.
    pub setup: bool,
    /// How one can log in.
    pub methods: Vec<LoginMethod>,
    /// The provider of OpenID Connect, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<LoginProvider>,
    /// The server's release.
    pub version: String,
}

/// A provider of OpenID Connect that one can log in with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct LoginProvider {
    /// What people call it.
    pub name: String,
    /// Where the login begins, followed as a link: `next` is the path of the page to go on with.
    pub url: String,
}

/// Writes a secret into what is sent to the one whom it is for.
pub(super) fn exposed<S: Serializer>(secret: &SecretString, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(secret.expose_secret())
}

/// Who wants to log in. The password cannot be printed.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LoginRequest {
    /// Name of the account.
    pub name: String,
    /// Its password.
    #[serde(serialize_with = "exposed")]
    #[schema(value_type = String, format = Password)]
    pub password: SecretString,
}

/// The first account. Code and password cannot be printed.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SetupRequest {
    /// The code of the one-time link: what follows its `#`.
    #[schema(value_type = String, format = Password)]
    pub code: SecretString,
    /// Name of the account, and of the user in Kubernetes.
    #[schema(pattern = "^[a-z][a-z0-9-]{0,31}$")]
    pub name: String,
    /// Its password.
    #[schema(value_type = String, format = Password, min_length = 12, max_length = 128)]
    pub password: SecretString,
}

/// Who is logged in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Session)]
pub struct SessionView {
    /// User name in Kubernetes.
    pub user: String,
    /// Groups in Kubernetes.
    pub groups: Vec<String>,
    /// How it is known who that is.
    pub method: LoginMethod,
    /// When the login was; absent for a token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub started: Option<Timestamp>,
    /// When the session ends unless it is used again; absent for a token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub expires: Option<Timestamp>,
    /// What the person may do with every environment, and with accounts.
    pub may: May,
}

/// What a person may do with the environments of all namespaces, and with accounts. What is false may still be allowed
/// with some of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct May {
    /// See one, with all that is in it.
    pub get: bool,
    /// See that they are there.
    pub list: bool,
    /// Bring one to what Git says.
    pub sync: bool,
    /// Bring one to an earlier release.
    pub rollback: bool,
    /// Keep a release out of one.
    pub hold: bool,
    /// Suspend and resume one.
    pub update: bool,
    /// Delete one.
    pub delete: bool,
    /// Make copies in the namespace of one's own.
    pub copies: bool,
    /// See who has an account here.
    pub accounts: bool,
    /// Read who did what.
    pub audit: bool,
}

impl May {
    async fn of(person: &Person) -> Result<Self, Problem> {
        let may = |verb| person.may(verb, "", "");
        let own = seaway_api::personal_namespace(&person.identity.name);
        let (get, list, sync, rollback, hold, update, delete, copies, accounts, audit) = futures::try_join!(
            may(Verb::Get),
            may(Verb::List),
            may(Verb::Sync),
            may(Verb::Rollback),
            may(Verb::Hold),
            may(Verb::Update),
            may(Verb::Delete),
            person.may(Verb::Create, &own, ""),
            person.may_with_accounts(Verb::List, ""),
            person.may_read_audit(),
        )?;
        Ok(Self { get, list, sync, rollback, hold, update, delete, copies, accounts, audit })
    }
}

impl SessionView {
    fn new(person: &Person, session: Option<&Session>, may: May) -> Self {
        Self {
            user: person.identity.name.clone(),
            groups: person.identity.groups.clone(),
            method: match session {
                Some(session) if session.account.has_password() => LoginMethod::Password,
                Some(_) => LoginMethod::Oidc,
                None => LoginMethod::Token,
            },
            started: session.map(|session| session.started),
            expires: session.map(Session::expires),
            may,
        }
    }
}

/// A request's body, or why there is none.
pub(super) type Body = Result<Bytes, BytesRejection>;
/// An answer that sets the cookie.
pub(super) type WithCookie<T> = (AppendHeaders<Option<(HeaderName, HeaderValue)>>, Json<T>);

fn with_cookie<T>(cookie: Option<HeaderValue>, body: T) -> WithCookie<T> {
    (AppendHeaders(cookie.map(|cookie| (SET_COOKIE, cookie))), Json(body))
}

/// The body of a login. What is wrong with one is not quoted: it holds a password.
pub(super) fn form<T: DeserializeOwned>(body: Body, fields: &str) -> Result<T, Problem> {
    let bytes: Bytes = body.map_err(|_| Problem::too_large("at most 64 KiB"))?;
    if bytes.len() > LARGEST_FORM {
        return Err(Problem::too_large(format!("at most {LARGEST_FORM} bytes")));
    }
    serde_json::from_slice(&bytes)
        .map_err(|_| Problem::bad_request(format!("the body must be a JSON object with the texts {fields}")))
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let detail = refusal.to_string();
        match refusal {
            Refusal::Wrong { .. } => Self::wrong_login(detail),
            Refusal::Wait(wait) => Self::too_many_requests(wait),
            Refusal::WrongCode => Self::wrong_code(detail),
            Refusal::NotInvited => Self::wrong_code(detail).help("ask who invited you for a new link"),
            Refusal::TokenName | Refusal::TokenLifetime => Self::unprocessable(detail),
            Refusal::TokenTaken(_) => Self::conflict(detail).help("choose another name, or revoke that one"),
            Refusal::TooManyTokens => Self::conflict(detail).help("revoke one"),
            Refusal::Locked => Self::forbidden(detail),
            Refusal::Exists => Self::conflict(detail).help("log in"),
            Refusal::Taken(_) => {
                Self::conflict(detail).help("a new link to it can be made with an invitation")
            }
            Refusal::LastAdministrator => Self::conflict(detail)
                .help("add somebody else with the role admin first, who counts after joining"),
            Refusal::Ended => Self::unauthorized(detail).help("log in again"),
            Refusal::Unknown(_) => Self::not_found(detail),
            Refusal::Name(_) | Refusal::Password(_) => Self::unprocessable(detail),
            Refusal::Failed(error) => request::accounts_failed(error),
        }
    }
}

/// Begins the session of an account; the one that the browser had before ends.
pub(super) async fn begin(
    app: &App,
    headers: &HeaderMap,
    account: &Account,
    from: IpAddr,
) -> Result<WithCookie<SessionView>, Problem> {
    let person = Person::new(account.identity(), &app.client_for)?;
    let may = May::of(&person).await?;
    audit::write_account(app, "login", Some(&account.name), "succeeded", from).await?;
    let before = cookie::read(headers, app.https);
    let (secret, session) = app.accounts.begin_session(account, Carrier::Cookie, before.as_ref()).await?;
    Ok(with_cookie(cookie::begin(&secret, app.https), SessionView::new(&person, Some(&session), may)))
}

/// How one can log in here.
#[utoipa::path(
    get, path = "/api/v1/login", operation_id = "login_page", tag = "session", security(()),
    responses((status = 200, body = LoginPage)),
)]
pub(super) async fn page(State(app): State<Arc<App>>) -> Json<LoginPage> {
    let provider = app.oidc.as_ref().map(|provider| LoginProvider {
        name: provider.display_name().to_owned(),
        url: format!("{}{}", app.url, oidc::LOGIN),
    });
    Json(LoginPage {
        setup: app.accounts.wants_setup(),
        methods: [Some(LoginMethod::Password), provider.as_ref().map(|_| LoginMethod::Oidc)]
            .into_iter()
            .flatten()
            .collect(),
        provider,
        version: env!("CARGO_PKG_VERSION").to_owned(),
    })
}

/// Logs in with a name and a password. After some attempts each further one has to wait.
#[utoipa::path(
    post, path = "/api/v1/login", tag = "session", security(()), request_body = LoginRequest,
    responses(
        (status = 200, body = SessionView, headers(("Set-Cookie" = String, description = "The session"))),
        (status = 401, body = Problem, content_type = "application/problem+json",
         description = "The name or the password is wrong"),
        (status = 429, body = Problem, content_type = "application/problem+json",
         headers(("Retry-After" = u64, description = "Seconds until the next attempt"))),
        (status = "4XX", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn login(
    State(app): State<Arc<App>>,
    Extension(Peer(from)): Extension<Peer>,
    headers: HeaderMap,
    body: Body,
) -> Result<WithCookie<SessionView>, Problem> {
    cookie::same_site(&headers)?;
    let LoginRequest { name, password } = form(body, "name and password")?;
    match app.accounts.verify(&name, password, from).await {
        Ok(account) => begin(&app, &headers, &account, from).await,
        Err(refusal) => {
            if let Refusal::Wrong { account } = &refusal {
                audit::write_account(&app, "login", account.as_deref(), "failed", from).await?;
            }
            Err(refusal.into())
        }
    }
}

/// Makes the first account, with the code of the one-time link, and logs in. There is no second time.
#[utoipa::path(
    post, path = "/api/v1/setup", tag = "session", security(()), request_body = SetupRequest,
    responses(
        (status = 200, body = SessionView, headers(("Set-Cookie" = String, description = "The session"))),
        (status = 403, body = Problem, content_type = "application/problem+json", description = "The code is wrong"),
        (status = 409, body = Problem, content_type = "application/problem+json",
         description = "There is an account already"),
        (status = 429, body = Problem, content_type = "application/problem+json",
         headers(("Retry-After" = u64, description = "Seconds until the next attempt"))),
        (status = "4XX", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn setup(
    State(app): State<Arc<App>>,
    Extension(Peer(from)): Extension<Peer>,
    headers: HeaderMap,
    body: Body,
) -> Result<WithCookie<SessionView>, Problem> {
    cookie::same_site(&headers)?;
    let SetupRequest { code, name, password } = form(body, "code, name and password")?;
    match app.accounts.set_up(&code, &name, password, from).await {
        Ok(account) => {
            audit::write_account(&app, "setup", Some(&account.name), "succeeded", from).await?;
            own_namespace(&app, &account).await;
            begin(&app, &headers, &account, from).await
        }
        Err(refusal) => {
            if matches!(refusal, Refusal::WrongCode) {
                audit::write_account(&app, "setup", None, "failed", from).await?;
            }
            Err(refusal.into())
        }
    }
}

/// The first account gets a namespace for environments of its own, as all do, if it may make one.
async fn own_namespace(app: &App, account: &Account) {
    let make = async {
        let name = account.name.parse().map_err(Refusal::Name)?;
        personal::prepare(&Person::new(account.identity(), &app.client_for)?, &name, Role::Admin).await
    };
    if let Err(problem) = make.await {
        tracing::info!(reason = problem.detail, "the first account got no namespace of its own");
    }
}

/// Who is asking. A browser whose secret is an hour old gets another one.
#[utoipa::path(
    get, path = "/api/v1/session", operation_id = "session", tag = "session",
    responses(
        (status = 200, body = SessionView),
        (status = "4XX", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn show(
    State(app): State<Arc<App>>,
    caller: Caller,
) -> Result<WithCookie<SessionView>, Problem> {
    let may = May::of(&caller.person).await?;
    let secret = match (caller.person.session, &caller.session) {
        (Some(key), Some(session)) => {
            app.accounts.rotate(key, session).await.map_err(request::accounts_failed)?
        }
        _ => None,
    };
    let cookie = secret.and_then(|secret| cookie::begin(&secret, app.https));
    Ok(with_cookie(cookie, SessionView::new(&caller.person, caller.session.as_ref(), may)))
}

/// Logs out a browser or a command line. A bearer token of Kubernetes is no session: it stays valid.
#[utoipa::path(
    delete, path = "/api/v1/session", tag = "session",
    responses((status = 200, body = Done), (status = "4XX", body = Problem, content_type = "application/problem+json")),
)]
pub(super) async fn logout(
    State(app): State<Arc<App>>,
    Extension(Peer(from)): Extension<Peer>,
    person: Person,
) -> Result<WithCookie<Done>, Problem> {
    let Some(session) = person.session.filter(|_| person.scopes.is_none()) else {
        return Err(Problem::conflict("a token is no session that could end: revoke it instead"));
    };
    app.accounts.end_session(session).await.map_err(request::accounts_failed)?;
    audit::write_account(&app, "logout", Some(&person.identity.name), "succeeded", from).await?;
    Ok(with_cookie(cookie::end(app.https), Done {}))
}
