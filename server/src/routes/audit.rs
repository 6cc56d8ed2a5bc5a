//! What goes into the ledger from here: what was refused, and what the engine does not hear of.

use jiff::Timestamp;
use seaway_ledger::NewEvent;
use seaway_sync::view::EnvironmentKey;
use serde_json::json;

use super::App;
use crate::authorization::Person;
use crate::permissions::Verb;
use crate::problem::Problem;

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
        write(app, person, verb, key, "denied").await?;
    }
    allowed
}

/// Writes who wanted what, and how that went.
pub(super) async fn write(
    app: &App,
    person: &Person,
    verb: Verb,
    key: &EnvironmentKey,
    outcome: &str,
) -> Result<(), Problem> {
    let event = NewEvent {
        time: Timestamp::now(),
        actor: person.identity.name.clone(),
        action: format!("environment.{}", verb.as_str()),
        object: format!("Environment/{key}"),
        release: None,
        outcome: outcome.to_owned(),
        detail: json!({}),
    };
    app.ledger.append(event).await.map(drop).map_err(|error| {
        tracing::warn!(%error, "an event could not be written");
        Problem::unavailable("the ledger cannot be written: nothing is done that it does not hold")
    })
}
