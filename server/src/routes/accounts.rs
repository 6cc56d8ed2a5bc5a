//! Who can log in: adding people, inviting them, and removing them again.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Extension, Path, State};
use http::header::HeaderMap;
use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;

use super::session::{self, Body, SessionView, WithCookie, exposed, form};
use super::{App, Done, audit};
use crate::accounts::{AccountName, Grant, Invitation, Inviter, Known, Refusal, Role, State as Standing};
use crate::authorization::Person;
use crate::listener::Peer;
use crate::permissions::Verb;
use crate::problem::Problem;
use crate::{cookie, personal};

/// Whether one can log in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub enum AccountState {
    /// There is no password yet.
    Invited,
    /// One can log in.
    Active,
    /// One cannot any more: it is being deleted, and waits for its environments to be.
    Locked,
}

/// Who can log in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Account)]
pub struct AccountView {
    /// Name of the account, and of the user in Kubernetes.
    pub name: String,
    /// What it is for; absent when none of its groups says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<Role>,
    /// Roles within stacks and classes: `operator:shop`, `developer:shop/staging`, `approver:*/production`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<String>)]
    pub grants: Vec<Grant>,
    /// Groups in Kubernetes.
    pub groups: Vec<String>,
    /// Whether its person can log in.
    pub state: AccountState,
    /// Until when the link to it can be used; absent when there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub invited_until: Option<Timestamp>,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    pub created: Timestamp,
}

/// Accounts, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AccountList {
    /// All of them.
    pub items: Vec<AccountView>,
}

/// Who is to get an account.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AccountRequest {
    /// Name of the account, and of the user in Kubernetes.
    #[schema(pattern = "^[a-z][a-z0-9-]{0,31}$")]
    pub name: String,
    /// What it is for; it can be left out when there are grants.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<Role>,
    /// Roles within stacks and classes, as well.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<String>, max_items = 32)]
    pub grants: Vec<Grant>,
}

/// What an account is to be for from now on.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RoleRequest {
    /// Its role; it can be left out when there are grants.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<Role>,
    /// Its roles within stacks and classes: those that are not named are taken away.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<String>, max_items = 32)]
    pub grants: Vec<Grant>,
}

/// An account, and the link with which its person chooses a password. The link cannot be printed, and is shown once.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Invitation)]
pub struct InvitationView {
    /// The account.
    pub account: AccountView,
    /// Path of the page where the password is chosen, with the code as its fragment. Browsers do not send that.
    #[serde(serialize_with = "exposed")]
    #[schema(value_type = String, format = Password)]
    pub link: SecretString,
    /// Until when it can be used.
    #[schema(value_type = String, format = DateTime)]
    pub expires: Timestamp,
}

/// Whoever was invited. Code and password cannot be printed.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct JoinRequest {
    /// The code of the link: what follows its `#`.
    #[schema(value_type = String, format = Password)]
    pub code: SecretString,
    /// The password of the account from now on.
    #[schema(value_type = String, format = Password, min_length = 12, max_length = 128)]
    pub password: SecretString,
}

impl From<Known> for AccountView {
    fn from(known: Known) -> Self {
        let Known { account, state, invited, created } = known;
        let state = match state {
            Standing::Invited => AccountState::Invited,
            Standing::Active => AccountState::Active,
            Standing::Locked => AccountState::Locked,
        };
        Self {
            role: Role::of(&account.groups),
            grants: Grant::of(&account.groups),
            name: account.name,
            groups: account.groups,
            state,
            invited_until: invited,
            created,
        }
    }
}

impl InvitationView {
    fn new((known, invitation): (Known, Invitation)) -> Self {
        let link = format!("/join#{}", invitation.code.expose_secret()).into();
        Self { account: known.into(), link, expires: invitation.expires }
    }
}

/// Roles within stacks and classes that an account has at most.
const MOST_GRANTS: usize = 32;

fn inviter(person: &Person) -> Inviter<'_> {
    Inviter { name: &person.identity.name, session: person.session }
}

/// The name of an account that may exist.
fn account_name(text: &str) -> Result<AccountName, Problem> {
    text.parse().map_err(|error| Refusal::Name(error).into())
}

/// Keeps in the ledger what was wanted before it is done, and afterwards how that went.
async fn recorded<T>(
    app: &App,
    person: &Person,
    (action, name): (&str, &AccountName),
    detail: serde_json::Value,
    work: impl Future<Output = Result<T, Problem>>,
) -> Result<T, Problem> {
    let write = |outcome, detail| audit::write_people(app, person, action, name.as_str(), outcome, detail);
    write("requested", detail.clone()).await?;
    let done = work.await;
    match &done {
        Ok(_) => write("succeeded", detail).await?,
        Err(problem) => write("failed", json!({"reason": problem.detail})).await?,
    }
    done
}

/// Who has an account.
#[utoipa::path(
    get, path = "/api/v1/accounts", operation_id = "list_accounts", tag = "accounts",
    responses(
        (status = 200, body = AccountList),
        (status = "4XX", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn list(State(app): State<Arc<App>>, person: Person) -> Result<Json<AccountList>, Problem> {
    person.must_with_accounts(Verb::List, "").await?;
    let items = app.accounts.people().await?.into_iter().map(AccountView::from).collect();
    Ok(Json(AccountList { items }))
}

/// Makes an account without a password, and the link that lets its person choose one. Whoever is more than a viewer gets
/// the namespace `seaway-NAME` for environments of his own; for a viewer, one that is left of an earlier account is
/// removed. What failed in the middle can be asked for again.
#[utoipa::path(
    post, path = "/api/v1/accounts", operation_id = "create_account", tag = "accounts", request_body = AccountRequest,
    responses(
        (status = 200, body = InvitationView),
        (status = 409, body = Problem, content_type = "application/problem+json",
         description = "There is an account or a namespace of that name already, or the latter is being deleted"),
        (status = "4XX", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn create(
    State(app): State<Arc<App>>,
    person: Person,
    body: Body,
) -> Result<Json<InvitationView>, Problem> {
    let AccountRequest { name, role, grants } =
        form(body, "name and role (viewer, developer, approver, operator or admin), and the list grants")?;
    let name = account_name(&name)?;
    let groups = groups(role, &grants)?;
    audit::must_with_account(&app, &person, Verb::Create, "create", name.as_str()).await?;
    let _turn = app.accounts.turn(&name).await;
    app.accounts.must_be_free(&name).await?;
    let work = async {
        personal::prepare(&person, &name, role.unwrap_or(Role::Viewer)).await?;
        personal::grant(&person, &grants).await?;
        // Last, so that all of it can be repeated while there is no account.
        Ok(app.accounts.create(&name, &groups, inviter(&person)).await?)
    };
    let detail = json!({"role": role, "grants": grants});
    let made = recorded(&app, &person, ("create", &name), detail, work).await?;
    Ok(Json(InvitationView::new(made)))
}

/// The groups of a role and grants.
fn groups(role: Option<Role>, grants: &[Grant]) -> Result<Vec<String>, Problem> {
    if grants.len() > MOST_GRANTS {
        return Err(Problem::bad_request(format!("an account has at most {MOST_GRANTS} grants")));
    }
    if role.is_none() && grants.is_empty() {
        return Err(Problem::bad_request("an account has a role, grants, or both"));
    }
    let mut groups: Vec<String> = role.map(|role| role.group().to_owned()).into_iter().collect();
    groups.extend(grants.iter().map(Grant::group));
    groups.sort();
    groups.dedup();
    Ok(groups)
}

/// Says what an account is for from now on; what it had is taken away. It counts at once, also for who is logged in.
/// Whoever becomes more than a viewer gets the namespace `seaway-NAME`; who becomes one loses it, and must not have
/// environments in it. The last account that may add people keeps that right.
#[utoipa::path(
    put, path = "/api/v1/accounts/{name}/role", operation_id = "assign_role", tag = "accounts",
    request_body = RoleRequest, params(("name" = String, Path)),
    responses(
        (status = 200, body = AccountView),
        (status = 409, body = Problem, content_type = "application/problem+json",
         description = "It is the last one that may add people, or has environments that a viewer cannot have"),
        (status = "4XX", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn assign(
    State(app): State<Arc<App>>,
    person: Person,
    Path(name): Path<String>,
    body: Body,
) -> Result<Json<AccountView>, Problem> {
    let RoleRequest { role, grants } =
        form(body, "role (viewer, developer, approver, operator or admin), and the list grants")?;
    let name = account_name(&name)?;
    let groups = groups(role, &grants)?;
    audit::must_with_account(&app, &person, Verb::Update, "assign", name.as_str()).await?;
    let _turn = app.accounts.turn(&name).await;
    let before = app.accounts.known(&name).await?.account;
    let detail = json!({
        "before": {"role": Role::of(&before.groups), "grants": Grant::of(&before.groups)},
        "after": {"role": role, "grants": grants},
    });
    let work = async {
        if role != Some(Role::Admin) {
            app.accounts.must_not_be_last(&before).await?;
        }
        personal::prepare(&person, &name, role.unwrap_or(Role::Viewer)).await?;
        personal::grant(&person, &grants).await?;
        Ok(app.accounts.assign(&name, &groups).await?)
    };
    let known = recorded(&app, &person, ("assign", &name), detail, work).await?;
    Ok(Json(known.into()))
}

/// Makes a new link to an account, for somebody who has lost the link or forgotten the password. The link before is of no
/// use any more; the password is valid until the new link is used.
#[utoipa::path(
    post, path = "/api/v1/accounts/{name}/invitation", operation_id = "invite", tag = "accounts",
    params(("name" = String, Path)),
    responses(
        (status = 200, body = InvitationView),
        (status = "4XX", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn invite(
    State(app): State<Arc<App>>,
    person: Person,
    Path(name): Path<String>,
) -> Result<Json<InvitationView>, Problem> {
    let name = account_name(&name)?;
    audit::must_with_account(&app, &person, Verb::Create, "invite", name.as_str()).await?;
    app.accounts.known(&name).await?;
    let work = async { Ok(app.accounts.invite(&name, inviter(&person)).await?) };
    let made = recorded(&app, &person, ("invite", &name), json!({}), work).await?;
    Ok(Json(InvitationView::new(made)))
}

/// Deletes an account and the namespace of its environments, and ends its sessions and the links that it has made. While there are environments, the
/// account is locked and stays: nobody can log in with it, and deleting it again ends it once they are gone.
#[utoipa::path(
    delete, path = "/api/v1/accounts/{name}", operation_id = "delete_account", tag = "accounts",
    params(("name" = String, Path)),
    responses(
        (status = 200, body = Done),
        (status = 409, body = Problem, content_type = "application/problem+json",
         description = "It still has environments and is locked, or is the last one that may add people"),
        (status = "4XX", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn delete(
    State(app): State<Arc<App>>,
    person: Person,
    Path(name): Path<String>,
) -> Result<Json<Done>, Problem> {
    let name = account_name(&name)?;
    audit::must_with_account(&app, &person, Verb::Delete, "delete", name.as_str()).await?;
    let _turn = app.accounts.turn(&name).await;
    let known = app.accounts.known(&name).await?;
    app.accounts.must_not_be_last(&known.account).await?;
    let work = async {
        // First: whatever keeps the rest from being done, its person is out.
        app.accounts.lock(&name).await?;
        personal::delete(&person, &name).await?;
        // Last, so that all of it can be repeated while there is an account.
        Ok(app.accounts.delete(&name).await?)
    };
    recorded(&app, &person, ("delete", &name), json!({}), work).await?;
    Ok(Json(Done {}))
}

/// Chooses the password of an account, with the code of an invitation, and logs in. There is no second time.
#[utoipa::path(
    post, path = "/api/v1/join", tag = "session", security(()), request_body = JoinRequest,
    responses(
        (status = 200, body = SessionView, headers(("Set-Cookie" = String, description = "The session"))),
        (status = 403, body = Problem, content_type = "application/problem+json",
         description = "The code is wrong, was used, or is too old"),
        (status = 429, body = Problem, content_type = "application/problem+json",
         headers(("Retry-After" = u64, description = "Seconds until the next attempt"))),
        (status = "4XX", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn join(
    State(app): State<Arc<App>>,
    Extension(Peer(from)): Extension<Peer>,
    headers: HeaderMap,
    body: Body,
) -> Result<WithCookie<SessionView>, Problem> {
    cookie::same_site(&headers)?;
    let JoinRequest { code, password } = form(body, "code and password")?;
    let invited = match app.accounts.invited(&code, from).await {
        Ok(invited) => invited,
        Err(refusal) => {
            if matches!(refusal, Refusal::NotInvited) {
                audit::write_account(&app, "join", None, "failed", from).await?;
            }
            return Err(refusal.into());
        }
    };
    invited.accepts(&password)?;
    let name = invited.name().to_owned();
    // Before the password is changed: nothing is done that the ledger does not hold.
    audit::write_account(&app, "join", Some(&name), "requested", from).await?;
    match app.accounts.join(invited, password).await {
        Ok(account) => {
            audit::write_account(&app, "join", Some(&name), "succeeded", from).await?;
            session::begin(&app, &headers, &account, from).await
        }
        Err(refusal) => {
            audit::write_account(&app, "join", Some(&name), "failed", from).await?;
            Err(refusal.into())
        }
    }
}
