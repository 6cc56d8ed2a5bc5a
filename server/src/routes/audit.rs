//! What a person asked for goes into the ledger, also when it was refused.

use jiff::Timestamp;
use seaway_ledger::NewEvent;
use seaway_sync::view::EnvironmentKey;
use serde_json::Value;

use super::App;
use crate::authorization::Person;
use crate::permissions::Verb;
use crate::problem::Problem;

/// How the ledger names an environment.
pub(super) fn object(key: &EnvironmentKey) -> String {
    format!("Environment/{}/{}", key.namespace, key.name)
}

/// Namespace and name, when an event of the ledger is about an environment.
pub(super) fn environment(object: &str) -> Option<(&str, &str)> {
    object.strip_prefix("Environment/")?.split_once('/')
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
        write(app, person, &format!("environment.{}", verb.as_str()), key, None, "denied", Value::Null)
            .await?;
    }
    allowed
}

/// Writes what was asked for and how that ended.
pub(super) async fn write(
    app: &App,
    person: &Person,
    action: &str,
    key: &EnvironmentKey,
    release: Option<String>,
    outcome: &str,
    detail: Value,
) -> Result<(), Problem> {
    let event = NewEvent {
        time: Timestamp::now(),
        actor: person.identity.name.clone(),
        action: action.to_owned(),
        object: object(key),
        release,
        outcome: outcome.to_owned(),
        detail,
    };
    app.ledger.append(event).await.map(drop).map_err(|error| {
        tracing::warn!(%error, "an event could not be written");
        Problem::unavailable("the ledger cannot be written: nothing is done that it does not hold")
    })
}
