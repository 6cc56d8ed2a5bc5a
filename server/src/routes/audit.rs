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

/// Whether an event of the ledger is about who logs in, or who reads what others did.
pub(super) fn is_about_people(object: &str) -> bool {
    object == "Account" || object.starts_with("Account/") || object == AUDIT
}

/// What the history of who did what is called, where reading it is an event as well.
const AUDIT: &str = "Audit";

/// Refuses what the person may not do with an environment, and keeps that in the ledger.
pub(super) async fn must(
    app: &App,
    person: &Person,
    verb: Verb,
    key: &EnvironmentKey,
) -> Result<(), Problem> {
    let allowed = person.must(verb, key, app.sync.line(key).as_ref()).await;
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
    write_login(app, action, account, outcome, json!({"address": from.to_canonical()})).await
}

/// As [`write_account`], with what else there is to know about it.
pub(super) async fn write_login(
    app: &App,
    action: &str,
    account: Option<&str>,
    outcome: &str,
    detail: Value,
) -> Result<(), Problem> {
    let known = account.filter(|_| matches!(outcome, "requested" | "succeeded"));
    let actor = known.unwrap_or("system:anonymous");
    let object = account.map_or_else(|| "Account".to_owned(), |name| format!("Account/{name}"));
    append(app, event(actor, format!("session.{action}"), object, outcome, detail)).await
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

/// Refuses to let somebody read who did what who may not, and keeps that in the ledger.
pub(super) async fn must_read(app: &App, person: &Person) -> Result<(), Problem> {
    let allowed = person.must_read_audit().await;
    if let Err(problem) = &allowed
        && problem.status == 403
    {
        let event = by(person, "audit.list".to_owned(), AUDIT.to_owned(), "denied", json!({}));
        append(app, event).await?;
    }
    allowed
}

/// Writes that somebody takes the whole history.
pub(super) async fn write_export(app: &App, person: &Person) -> Result<(), Problem> {
    append(app, by(person, "audit.export".to_owned(), AUDIT.to_owned(), "requested", json!({}))).await
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
    append(app, by(person, action, object, outcome, detail)).await
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
    append(app, by(person, action, object, outcome, detail)).await
}

/// What a person did just now, and from where.
fn by(person: &Person, action: String, object: String, outcome: &str, mut detail: Value) -> NewEvent {
    if let (Some(address), Some(detail)) = (person.address, detail.as_object_mut()) {
        detail.insert("address".to_owned(), json!(address.to_canonical()));
    }
    event(&person.identity.name, action, object, outcome, detail)
}

/// Parts of names under which people keep what nobody else should read.
const SECRETS: [&str; 7] = ["password", "passwd", "secret", "token", "credential", "apikey", "privatekey"];

/// Takes out what is called a secret: parameters of an override are anybody's.
fn mask(value: &mut Value) {
    let is_secret = |name: &str| {
        let plain: String = name.chars().filter(char::is_ascii_alphanumeric).collect();
        let plain = plain.to_ascii_lowercase();
        SECRETS.iter().any(|secret| plain.contains(secret))
    };
    match value {
        Value::Object(fields) => {
            for (name, value) in fields.iter_mut() {
                match value {
                    Value::Null | Value::Bool(_) => {}
                    value if is_secret(name) => *value = "<masked>".into(),
                    value => mask(value),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(mask),
        _ => {}
    }
}

/// What has happened just now.
fn event(actor: &str, action: String, object: String, outcome: &str, mut detail: Value) -> NewEvent {
    mask(&mut detail);
    let (actor, outcome) = (actor.to_owned(), outcome.to_owned());
    NewEvent { time: Timestamp::now(), actor, action, object, release: None, outcome, detail }
}

async fn append(app: &App, event: NewEvent) -> Result<(), Problem> {
    app.metrics.event(&event.action, &event.outcome);
    app.ledger.append(event).await.map(drop).map_err(|error| {
        tracing::warn!(%error, "an event could not be written");
        Problem::unavailable("the ledger cannot be written: nothing is done that it does not hold")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_called_a_secret_is_not_kept() {
        let mut detail = json!({"after": {"parameters": {"replicas": 2, "dbPassword": "hunter2", "API_KEY": ["a", "b"],
            "nested": [{"client-secret": {"x": "y"}, "color": "blue"}]}}, "token": null, "useToken": true});
        mask(&mut detail);
        assert_eq!(
            detail,
            json!({"after": {"parameters": {"replicas": 2, "dbPassword": "<masked>", "API_KEY": "<masked>",
                "nested": [{"client-secret": "<masked>", "color": "blue"}]}}, "token": null, "useToken": true})
        );
    }
}
