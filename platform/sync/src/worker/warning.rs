//! What the owner of a copy is told before it is too late, and where his branch stands in the way.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{Event, EventSource, ObjectReference};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::api::{Api, ObjectMeta, PostParams};
use seaway_api::environment::Environment;

use super::{Worker, lifetime};
use crate::error::Error;
use crate::subject::Subject;

/// An end is told so long before it, if what ends has been there for a while.
const EARLY: SignedDuration = SignedDuration::from_hours(24);
/// Of a short life, the last part of so many.
const PART: i32 = 4;

/// From when on an end is told: a day before, and never earlier than in the last quarter of a life.
fn from(begin: Timestamp, end: Timestamp) -> Timestamp {
    let life = end.duration_since(begin).max(SignedDuration::ZERO);
    end.checked_sub(EARLY.min(life / PART)).unwrap_or(end)
}

/// What ends, each with its end, and from when on that is told.
fn ends(environment: &Environment, subject: &Subject) -> Vec<(String, Timestamp, Timestamp)> {
    let made = environment.metadata.creation_timestamp.as_ref().map(|time| time.0);
    let begin = made.unwrap_or(Timestamp::UNIX_EPOCH);
    let own = lifetime(environment).map(|end| ("this environment, with everything in it,".to_owned(), end));
    let overrides = subject.spec.overrides.iter().filter_map(|one| {
        let end = one.expires.as_deref()?.parse().ok()?;
        Some((format!("the override of {}", one.component), end))
    });
    own.into_iter().chain(overrides).map(|(what, end)| (what, end, from(begin, end))).collect()
}

/// What ends soon, in words, and the first end.
pub(super) fn ends_soon(
    environment: &Environment,
    subject: &Subject,
    now: Timestamp,
) -> Option<(String, Timestamp)> {
    let soon = ends(environment, subject).into_iter().filter(|(_, end, from)| *from <= now && now < *end);
    let (what, end, _) = soon.min_by_key(|(_, end, _)| *end)?;
    let advice = if what.starts_with("this") { ": `seaway env extend` keeps it for longer" } else { "" };
    Some((format!("{what} ends at {end}{advice}"), end))
}

/// When the next end is to be told.
pub(super) fn next_warning(
    environment: &Environment,
    subject: &Subject,
    now: Timestamp,
) -> Option<Timestamp> {
    ends(environment, subject).into_iter().map(|(_, _, from)| from).filter(|from| *from > now).min()
}

impl Worker {
    /// Tells of a branch that does not merge and of an end that is near, when that is news.
    pub(super) async fn tell_owner(
        &self,
        environment: &Environment,
        conflicts: &BTreeMap<String, String>,
        expiring: Option<&str>,
    ) -> Result<(), Error> {
        let (known, warned) = {
            let summary = self.summary.lock();
            (summary.conflicts.clone(), summary.expiring.clone())
        };
        // After a start nothing is known, and the condition tells what was told before.
        let stands = |kind: &str, text: &str| {
            let conditions = environment.status.iter().flat_map(|status| &status.conditions);
            conditions.into_iter().any(|one| one.type_ == kind && one.message.contains(text))
        };
        for (component, why) in
            conflicts.iter().filter(|(component, why)| known.get(*component) != Some(*why))
        {
            if !stands("OverridesMerge", why) {
                self.tell(None, format!("the override of {component} does not merge: {why}"), None);
                self.shared.journal.override_conflict(&self.key, component, why).await?;
                self.warn(environment, "OverrideConflict", why).await;
            }
        }
        if let Some(words) = expiring.filter(|words| warned.as_deref() != Some(*words))
            && !stands("Expiring", words)
        {
            self.tell(None, words.to_owned(), None);
            self.shared.journal.expiring(&self.key, words).await?;
            self.warn(environment, "Expiring", words).await;
        }
        Ok(())
    }

    /// An Event of Kubernetes, for `kubectl describe`. It is a courtesy: the condition says the same.
    async fn warn(&self, environment: &Environment, reason: &str, message: &str) {
        let time = Timestamp::now();
        let now = Time(time);
        let event = Event {
            metadata: ObjectMeta {
                name: Some(format!("{}.{:x}", self.key.name, time.as_nanosecond())),
                namespace: Some(self.key.namespace.clone()),
                ..ObjectMeta::default()
            },
            involved_object: ObjectReference {
                api_version: Some("seaway.dev/v1alpha1".to_owned()),
                kind: Some("Environment".to_owned()),
                name: Some(self.key.name.clone()),
                namespace: Some(self.key.namespace.clone()),
                uid: environment.metadata.uid.clone(),
                ..ObjectReference::default()
            },
            reason: Some(reason.to_owned()),
            message: Some(message.chars().take(1024).collect()),
            type_: Some("Warning".to_owned()),
            first_timestamp: Some(now.clone()),
            last_timestamp: Some(now),
            count: Some(1),
            source: Some(EventSource { component: Some("seaway".to_owned()), host: None }),
            reporting_component: Some("seaway".to_owned()),
            ..Event::default()
        };
        let events: Api<Event> = Api::namespaced(self.shared.client.clone(), &self.key.namespace);
        if let Err(error) = events.create(&PostParams::default(), &event).await {
            tracing::debug!(environment = %self.key, %error, "an event could not be written");
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_ends_first_is_told_with_what_to_do() {
        let spec = |expires: &str, other: &str| -> seaway_api::EnvironmentSpec {
            serde_json::from_value(serde_json::json!({"copyOf": "production", "expires": expires,
                "overrides": [{"component": "web", "revision": "x", "expires": other}]}))
            .unwrap()
        };
        let told = |expires: &str, other: &str, now: &str| {
            let spec = spec(expires, other);
            let made = Time("2026-01-01T00:00:00Z".parse().unwrap());
            let metadata = ObjectMeta { creation_timestamp: Some(made), ..ObjectMeta::default() };
            let environment = Environment { metadata, spec: spec.clone(), status: None };
            let key = crate::view::EnvironmentKey::new("seaway-jane", "mine");
            let subject = Subject { key, spec, stack: Default::default(), copied: None, ending: false };
            let now = now.parse().unwrap();
            let next = next_warning(&environment, &subject, now).map(|time| time.to_string());
            (ends_soon(&environment, &subject, now).map(|(words, _)| words), next)
        };
        let (own, other) = ("2026-01-08T00:00:00Z", "2026-01-20T00:00:00Z");
        assert_eq!(told(own, other, "2026-01-02T00:00:00Z"), (None, Some("2026-01-07T00:00:00Z".into())));
        let (words, next) = told(own, other, "2026-01-07T12:00:00Z");
        assert!(
            words.as_ref().is_some_and(|words| words.contains(own) && words.contains("env extend")),
            "{words:?}"
        );
        assert_eq!(next.as_deref(), Some("2026-01-19T00:00:00Z"));
        let (words, _) = told("2026-01-30T00:00:00Z", other, "2026-01-19T12:00:00Z");
        assert_eq!(words.as_deref(), Some("the override of web ends at 2026-01-20T00:00:00Z"));
        assert_eq!(told(own, other, "2026-02-01T00:00:00Z"), (None, None), "it is over");
    }

    #[test]
    fn an_end_is_told_a_day_before_and_late_in_a_short_life() {
        let time = |text: &str| text.parse::<Timestamp>().unwrap();
        let begin = time("2026-01-01T00:00:00Z");
        for (end, expected) in [
            ("2026-01-08T00:00:00Z", "2026-01-07T00:00:00Z"),
            ("2026-01-01T04:00:00Z", "2026-01-01T03:00:00Z"),
            ("2025-12-31T00:00:00Z", "2025-12-31T00:00:00Z"),
        ] {
            assert_eq!(from(begin, time(end)), time(expected), "{end}");
        }
    }
}
