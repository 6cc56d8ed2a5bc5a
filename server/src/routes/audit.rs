//! What goes into the ledger from here: what was refused, and what the engine does not hear of.

use std::net::IpAddr;

use jiff::Timestamp;
use seaway_ledger::NewEvent;
use seaway_sync::view::EnvironmentKey;
use serde_json::{Value, json};

use super::App;
use crate::authorization::Person;
use crate::permissions::Verb;
use crate::problem::Problem;

/// Namespace and name, when an event of the ledger is about an environment.
pub(super) fn environment(object: &str) -> Option<(&str, &str)> {
    object.strip_prefix("Environment/")?.split_once('/')
}

/// Whether an event of the ledger is about who logs in.
pub(super) fn is_about_people(object: &str) -> bool {
    object == "Account" || object.starts_with("Account/")
}

/// Refuses what the person may not do, and keeps that in the ledger.
pub(super) async fn must(
    app: &App,
    person: &Person,
    verb: Verb,
    key: &EnvironmentKey,
) -> Result<(), Problem> {
    let allowed = person.must(verb, &key.namespace, &key.name).await;
    if let Err(problem) = &allowed
        && problem.status == 403
    {
        write(app, person, verb, key, "denied").await?;
    }
    allowed
}

/// Writes who logged in or out, or tried to. What was typed as a name may be a password: only the name of an account
/// that exists is kept.
pub(super) async fn write_account(
    app: &App,
    action: &str,
    account: Option<&str>,
    outcome: &str,
    from: IpAddr,
) -> Result<(), Problem> {
    let known = account.filter(|_| matches!(outcome, "requested" | "succeeded"));
    let actor = known.unwrap_or("system:anonymous");
    let object = account.map_or_else(|| "Account".to_owned(), |name| format!("Account/{name}"));
    append(app, event(actor, format!("session.{action}"), object, outcome, json!({"address": from}))).await
}

/// Refuses what the person may not do with an account, and keeps that in the ledger.
pub(super) async fn must_with_account(
    app: &App,
    person: &Person,
    verb: Verb,
    action: &str,
    name: &str,
) -> Result<(), Problem> {
    let allowed = person.must_with_accounts(verb, name).await;
    if let Err(problem) = &allowed
        && problem.status == 403
    {
        write_people(app, person, action, name, "denied", json!({})).await?;
    }
    allowed
}

/// Writes who wanted what with an account, and how that went.
pub(super) async fn write_people(
    app: &App,
    person: &Person,
    action: &str,
    name: &str,
    outcome: &str,
    detail: Value,
) -> Result<(), Problem> {
    let (action, object) = (format!("account.{action}"), format!("Account/{name}"));
    append(app, event(&person.identity.name, action, object, outcome, detail)).await
}

/// Writes who wanted what, and how that went.
pub(super) async fn write(
    app: &App,
    person: &Person,
    verb: Verb,
    key: &EnvironmentKey,
    outcome: &str,
) -> Result<(), Problem> {
    write_detail(app, person, verb.as_str(), key, outcome, json!({})).await
}

/// Writes what a person did, with what there is to know about it.
pub(super) async fn write_detail(
    app: &App,
    person: &Person,
    action: &str,
    key: &EnvironmentKey,
    outcome: &str,
    detail: Value,
) -> Result<(), Problem> {
    let (action, object) = (format!("environment.{action}"), format!("Environment/{key}"));
    append(app, event(&person.identity.name, action, object, outcome, detail)).await
}

/// What has happened just now.
fn event(actor: &str, action: String, object: String, outcome: &str, detail: Value) -> NewEvent {
    let (actor, outcome) = (actor.to_owned(), outcome.to_owned());
    NewEvent { time: Timestamp::now(), actor, action, object, release: None, outcome, detail }
}

async fn append(app: &App, event: NewEvent) -> Result<(), Problem> {
    app.ledger.append(event).await.map(drop).map_err(|error| {
        tracing::warn!(%error, "an event could not be written");
        Problem::unavailable("the ledger cannot be written: nothing is done that it does not hold")
    })
}
