//! Copies, as a person asks about them: what one would be called, and how far it is from what it copies.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use kube::api::ObjectMeta;
use seaway_api::environment::{Environment, EnvironmentSpec, Follow, Override};
use seaway_environments::fidelity::{Field, deviations, inputs, without};
use seaway_environments::{Entry, LeftOut, Rewritten, compare, moved, place};
use seaway_object::ObjectId;
use seaway_object::redact::{HashKey, redact};
use serde_json::{Value, json};

use crate::account;
use crate::candidate::{Choice, Finder, Rendered};
use crate::controller::Sync;
use crate::desired::Scope;
use crate::enclosure::open_network;
use crate::error::Error;
use crate::mailbox::Mailbox;
use crate::plan::{ObjectRef, Plan};
use crate::release::{Release, ReleaseComponent};
use crate::steps::Steps;
use crate::subject::Subject;
use crate::view::{
    CopyView, DriftView, DriftedField, EnvironmentKey, FidelityDifference, FidelityView, LeftOutView,
    OverrideView,
};

/// How the owner of a copy uses kubectl in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Access {
    /// The ServiceAccount, beside the Environment.
    pub account: String,
    /// The namespaces in which it may work, the first one being for objects without one.
    pub namespaces: Vec<String>,
    /// Below this domain its routes answer.
    pub domain: String,
}

impl Sync {
    /// What a copy would be called, and what it would have, before anything is made: every error that its creation
    /// would have, but for those of the cluster.
    ///
    /// # Errors
    /// When there can be no such copy: a name that is taken, a component or a revision that is not there, something
    /// that must not leave production.
    pub async fn preview(&self, key: &EnvironmentKey, spec: EnvironmentSpec) -> Result<CopyView, Error> {
        if self.shared.environment(key).is_some() {
            return Err(Error::Plan(format!("there is an environment {key} already: choose another name")));
        }
        let metadata = ObjectMeta {
            name: Some(key.name.clone()),
            namespace: Some(key.namespace.clone()),
            ..ObjectMeta::default()
        };
        let environment = Environment { metadata, spec, status: None };
        let subject = self.shared.subject(&environment)?;
        let found = self.render(&subject, None, Choice::Spec { fresh: true }).await?;
        let Rewritten { hosts, left_out, shared, .. } = found.rewritten.unwrap_or_default();
        self.shared.account(&subject, &[]).await?.check_place(&self.shared.copier).await?;
        let open = open_network(&self.shared.copier).await?;
        let view = view(&subject, Some(&Naming { hosts, left_out, shared }), open);
        view.ok_or_else(|| Error::Plan(format!("{key} is not a copy: say of which environment it is one")))
    }

    /// With which account, in which namespace, the owner of a copy uses kubectl.
    ///
    /// # Errors
    /// When there is no such environment, or it is nobody's own copy.
    pub fn access(&self, key: &EnvironmentKey) -> Result<Access, Error> {
        let subject = self.subject(key)?;
        let Some(copied) = subject.copied.as_ref().filter(|copied| copied.owner.is_some()) else {
            return Err(Error::Plan(format!("{key} is nobody's own copy: nobody has tokens for it")));
        };
        let namespaces = subject.spec.destination.all_namespaces().map(str::to_owned).collect();
        Ok(Access { account: account::access(&key.name), namespaces, domain: copied.copy.domain.clone() })
    }

    /// Ends every token that was given for a copy.
    ///
    /// # Errors
    /// When there is no such environment, it is nobody's own copy, or the cluster refuses.
    pub async fn revoke_access(&self, key: &EnvironmentKey, actor: &str) -> Result<(), Error> {
        let subject = self.subject(key)?;
        self.shared.account(&subject, &[]).await?.revoke_access(&self.shared.client).await?;
        self.shared.journal.did(key, actor, "environment.access.revoke").await
    }

    /// How far an environment is from another one, or a copy from what it copies. Both are compared as they are
    /// rendered; what somebody changed in the cluster is told apart.
    ///
    /// # Errors
    /// When one of them does not exist, runs nothing, or cannot be rendered.
    pub async fn fidelity(
        &self,
        key: &EnvironmentKey,
        against: Option<&EnvironmentKey>,
    ) -> Result<FidelityView, Error> {
        let right = self.subject(key)?;
        let original = right.copied.as_ref().map(|copied| &copied.original);
        let against = against.or(original).cloned().ok_or_else(|| {
            Error::Plan(format!("{key} is not a copy: say with which environment it is to be compared"))
        })?;
        let left = self.subject(&against)?;
        let (mailbox, other) = (self.mailbox(key)?, self.mailbox(&against)?);
        let left_rendered = self.rendered(&left, &other).await?;
        let right_rendered = self.rendered(&right, &mailbox).await?;
        let copied = right.copied.as_ref().filter(|copied| copied.original == against);
        let (a, b) = (finished(&left, &left_rendered), finished(&right, &right_rendered));
        let places: BTreeMap<String, String> = places(&left, &right).collect();
        let record = match copied {
            Some(_) => record(&left, &left_rendered, &right, &right_rendered),
            None => moved(&a, &b, &places),
        };
        let name = |id: &ObjectId| match copied {
            Some(copied) => copied.copy.identity(id),
            None => {
                let place = id.namespace.as_ref().map(|namespace| places.get(namespace).unwrap_or(namespace));
                ObjectId { namespace: place.cloned(), ..id.clone() }
            }
        };
        let found = compare(&a, &b, &name, &record);
        let score = found.score();
        Ok(FidelityView {
            left_release: left_rendered.release.name(),
            right_release: right_rendered.release.name(),
            total: found.total,
            identical: found.identical,
            declared: found.declared,
            undeclared: found.undeclared,
            score,
            differences: found
                .differences
                .into_iter()
                .map(|field| shown(field, &self.shared.hash_key))
                .collect(),
            drift: DriftView {
                left: drifted(&self.summary(&against)?.plan),
                right: drifted(&self.summary(key)?.plan),
            },
            environment: key.clone(),
            against,
        })
    }

    fn subject(&self, key: &EnvironmentKey) -> Result<Subject, Error> {
        let environment = self.shared.environment(key).ok_or_else(|| Error::NoEnvironment(key.clone()))?;
        self.shared.subject(&environment)
    }

    /// What a copy should run; what any other environment was last brought to.
    async fn rendered(&self, subject: &Subject, mailbox: &Arc<Mailbox>) -> Result<Rendered, Error> {
        let release = match subject.copied {
            Some(_) => None,
            None => self.shared.records.last_release(&subject.key)?,
        };
        let choice = release.as_ref().map_or(Choice::Spec { fresh: false }, Choice::Release);
        self.render(subject, Some(mailbox), choice).await
    }

    pub(crate) async fn render(
        &self,
        subject: &Subject,
        mailbox: Option<&Arc<Mailbox>>,
        choice: Choice<'_>,
    ) -> Result<Rendered, Error> {
        let finder = Finder {
            subject,
            sources: &self.shared.sources,
            kinds: &self.shared.kinds,
            mailbox,
            cache: &self.shared.rendered.of_environment(),
            now: Timestamp::now(),
            steps: &Steps::default(),
            seat: None,
        };
        finder.render(choice).await
    }
}

/// What became of what is copied, as far as it is shown.
#[derive(Debug, Clone, Default)]
pub(crate) struct Naming {
    pub(crate) hosts: BTreeMap<String, String>,
    pub(crate) left_out: Vec<LeftOut>,
    pub(crate) shared: BTreeMap<String, String>,
}

/// What a copy is called; `open`: why its network is not bounded.
pub(crate) fn view(subject: &Subject, naming: Option<&Naming>, open: Option<String>) -> Option<CopyView> {
    let copied = subject.copied.as_ref()?;
    let left_out = naming
        .iter()
        .flat_map(|naming| &naming.left_out)
        .map(|left| LeftOutView { object: left.object.to_string(), reason: left.reason.clone() });
    Some(CopyView {
        of: copied.original.to_string(),
        follow: subject.spec.follow.unwrap_or_default().as_str().to_owned(),
        components: subject.stack.components.iter().map(|component| component.name.clone()).collect(),
        namespaces: copied.copy.namespaces.clone(),
        hosts: naming.map(|naming| naming.hosts.clone()).unwrap_or_default(),
        left_out: left_out.collect(),
        shared: naming.map(|naming| naming.shared.clone()).unwrap_or_default(),
        warnings: open.into_iter().collect(),
    })
}

/// The overrides of an environment, with their state.
pub(crate) fn overrides(
    all: &[Override],
    release: Option<&Release>,
    conflicts: &BTreeMap<String, String>,
    now: Timestamp,
) -> Vec<OverrideView> {
    let view = |one: &Override| {
        let active = one.is_active(now);
        let runs = release.and_then(|release| release.component(&one.component));
        let commit = runs.filter(|_| active && one.revision.is_some()).map(|part| part.commit.clone());
        let conflict = conflicts.get(&one.component).filter(|_| active).cloned();
        OverrideView { spec: one.clone(), active, commit, conflict }
    };
    all.iter().map(view).collect()
}

/// Everything that was changed on purpose on the way from what is copied to the copy.
fn record(
    left: &Subject,
    left_rendered: &Rendered,
    right: &Subject,
    right_rendered: &Rendered,
) -> Vec<Entry> {
    let mut record = Vec::new();
    for base in &left_rendered.release.components {
        let objects = of_component(left, left_rendered, &base.name);
        match right_rendered.release.component(&base.name) {
            None => record.extend(without(&objects, "components")),
            Some(part) if part == base => {
                let names: Vec<&str> =
                    right.stack.files_of(&base.name).map(|kept| kept.name.as_str()).collect();
                if !names.is_empty() {
                    let changed = of_component(left, right_rendered, &part.name);
                    record.extend(inputs(&objects, &changed, &names.join(", ")));
                }
            }
            Some(part) => {
                // Without a reason its differences are nobody's.
                if let Some(reason) = deviation(right, base, part) {
                    let changed = of_component(left, right_rendered, &part.name);
                    record.extend(deviations(&objects, &changed, &reason));
                }
            }
        }
    }
    record.extend(right_rendered.rewritten.iter().flat_map(|rewritten| rewritten.record.clone()));
    record
}

/// What makes a component another one than in what is copied.
fn deviation(right: &Subject, base: &ReleaseComponent, part: &ReleaseComponent) -> Option<String> {
    let name = &part.name;
    let now = Timestamp::now();
    let deviation = right.spec.overrides.iter().find(|one| one.component == *name && one.is_active(now));
    match deviation {
        Some(Override { revision: Some(revision), .. }) => Some(format!("{name} at {revision}")),
        Some(_) => Some(format!("{name} with other parameters or images")),
        None if right.spec.pins.iter().any(|pin| pin.component == *name) => {
            Some(format!("{name} pinned at {}", part.commit.chars().take(8).collect::<String>()))
        }
        None if right.spec.follow == Some(Follow::Revision) && base.commit != part.commit => {
            Some(format!("{name} follows its revision"))
        }
        None => None,
    }
}

/// The objects of a component as they are in what is copied.
fn of_component(original: &Subject, rendered: &Rendered, component: &str) -> Vec<Value> {
    let of = rendered.sources.iter().filter(|(source, _)| source.component == component);
    of.map(|(source, scope)| placed(&source.value, *scope, original)).collect()
}

fn placed(value: &Value, scope: Option<Scope>, subject: &Subject) -> Value {
    place(value, scope.unwrap_or(Scope::Namespaced), &subject.spec.destination.namespace)
}

/// The final render, without what marks objects as the environment's own.
fn finished(subject: &Subject, rendered: &Rendered) -> Vec<Value> {
    match &rendered.rewritten {
        Some(rewritten) => rewritten.objects.iter().map(|kept| kept.value.clone()).collect(),
        None => {
            rendered.sources.iter().map(|(source, scope)| placed(&source.value, *scope, subject)).collect()
        }
    }
}

/// Which namespace of the right stands for which of the left, where neither is a copy of the other: that in its place in
/// the destination.
fn places<'a>(left: &'a Subject, right: &'a Subject) -> impl Iterator<Item = (String, String)> + 'a {
    let (left, right) = (left.spec.destination.all_namespaces(), right.spec.destination.all_namespaces());
    left.zip(right).map(|(from, to)| (from.to_owned(), to.to_owned()))
}

fn drifted(plan: &Plan) -> Vec<DriftedField> {
    let fields = plan.objects.iter().flat_map(|object| {
        let drifted = object.fields.iter().filter(|field| field.drift);
        drifted.map(|field| DriftedField { object: object.object.clone(), field: field.clone() })
    });
    fields.collect()
}

/// A difference as it may be seen: values of Secrets are hashes.
fn shown(field: Field, key: &HashKey) -> FidelityDifference {
    let hide = |value: Value| -> Value {
        if field.object.kind != "Secret" {
            return value;
        }
        if field.path.is_empty() {
            let mut object = value;
            redact(&mut object, key);
            return object;
        }
        match field.path.split(['.', '[']).nth(1) {
            Some("data" | "stringData") => hidden(value, key),
            Some("metadata") if !field.path.starts_with(".metadata.annotations") => value,
            Some("apiVersion" | "kind" | "type" | "immutable") => value,
            _ => hidden(value, key),
        }
    };
    FidelityDifference {
        object: ObjectRef::new(&field.kind, &field.object),
        path: field.path.clone(),
        class: field.class,
        rule: field.rule.clone(),
        left: field.left.clone().map(hide),
        right: field.right.clone().map(hide),
    }
}

fn hidden(value: Value, key: &HashKey) -> Value {
    let is_map = value.is_object();
    let values = if is_map { value } else { json!({ "value": value }) };
    let mut secret = json!({"apiVersion": "v1", "kind": "Secret", "data": values});
    redact(&mut secret, key);
    if is_map { secret["data"].take() } else { secret["data"]["value"].take() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use seaway_environments::Class;
    use seaway_object::GroupVersionKind;

    #[test]
    fn values_of_secrets_are_not_shown() {
        let secret = json!({"apiVersion": "v1", "kind": "Secret", "data": {"a": "aHVudGVyMg=="}});
        for (path, value) in [
            ("", secret),
            (".data.a", json!("aHVudGVyMg==")),
            (".data", json!({"a": "aHVudGVyMg=="})),
            (".stringData.a", json!("aHVudGVyMg==")),
            (".metadata.annotations.x", json!("aHVudGVyMg==")),
        ] {
            let field = Field {
                kind: GroupVersionKind { group: String::new(), version: "v1".into(), kind: "Secret".into() },
                object: ObjectId {
                    group: String::new(),
                    kind: "Secret".into(),
                    namespace: None,
                    name: "s".into(),
                },
                path: path.into(),
                class: Class::Undeclared,
                rule: String::new(),
                left: Some(value),
                right: None,
            };
            let shown = shown(field, &HashKey::new([1; 32]));
            let text = serde_json::to_string(&shown).unwrap_or_default();
            assert!(!text.contains("aHVudGVyMg"), "{path}: {text}");
            assert!(text.contains("redacted"), "{path}: {text}");
        }
    }
}
