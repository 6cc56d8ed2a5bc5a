//! What a sync would do, object by object: pure.
//!
//! [`plan`] compares what an environment wants with what is there. It simulates server-side apply with the same rules
//! as the API, so that an object that is as it should be costs no request. Where the simulation sees a change, the
//! server's own dry run has the last word ([`PlannedObject::refine`]): it knows defaults, canonical forms and webhooks.

mod at_end;
mod ignore;
mod prune;
mod rights;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use seaway_api::FIELD_MANAGER;
use seaway_api::stack::IgnoreRule;
use seaway_merge::fieldset::{FieldSet, PathElement, display};
use seaway_merge::managed::{ApplyError, Manager, apply};
use seaway_merge::schema::TypeRef;
use seaway_object::redact::{HashKey, is_secret, redact};
use seaway_object::{GroupVersionKind, ObjectId, identity};
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub(crate) use self::at_end::when;
use self::ignore::Ignored;
pub(crate) use self::rights::account_of_pods;
use self::rights::{forbid_foreign_accounts, forbidden, foreign_account};
use crate::applyset::PART_OF_LABEL;
use crate::desired::{Desired, Origin, digest};
use crate::executor::MISTYPED;
use crate::options::{ObjectOptions, Phase};
use crate::ownership::{Operation, Owner, Ownership};
use seaway_merge::difference::{Difference, differences};

/// What a sync does with an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Action {
    /// It is not there.
    Create,
    /// It is there, but differs.
    Change,
    /// It is as it should be: no request.
    Unchanged,
    /// It has left Git.
    Prune,
    /// Somebody else keeps fields of it otherwise, or the whole object is somebody else's.
    Conflict,
    /// The stack does not allow it.
    Forbidden,
    /// It cannot be applied as it is written.
    Invalid,
    /// It runs in its phase whenever a release is applied.
    Hook,
}

impl Action {
    /// Whether nothing may be applied while this stands in a plan.
    pub fn is_blocking(self) -> bool {
        matches!(self, Self::Forbidden | Self::Invalid)
    }
}

/// One field that changes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FieldChange {
    /// The field, as Kubernetes prints it.
    pub path: String,
    /// Today's value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Value>,
    /// The value in Git.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<Value>,
    /// Who set today's value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<Owner>,
    /// Whether it was changed in the cluster, and not in Git.
    #[serde(default)]
    pub drift: bool,
}

/// The identity of a planned object, as it is printed.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ObjectRef {
    /// API group, empty for the core group.
    pub group: String,
    /// Version.
    pub version: String,
    /// Kind.
    pub kind: String,
    /// Namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Name.
    pub name: String,
}

impl ObjectRef {
    /// From type and identity.
    pub fn new(kind: &GroupVersionKind, id: &ObjectId) -> Self {
        Self {
            group: kind.group.clone(),
            version: kind.version.clone(),
            kind: kind.kind.clone(),
            namespace: id.namespace.clone(),
            name: id.name.clone(),
        }
    }

    /// The identity.
    pub fn id(&self) -> ObjectId {
        ObjectId {
            group: self.group.clone(),
            kind: self.kind.clone(),
            namespace: self.namespace.clone(),
            name: self.name.clone(),
        }
    }

    /// The type.
    pub fn gvk(&self) -> GroupVersionKind {
        GroupVersionKind { group: self.group.clone(), version: self.version.clone(), kind: self.kind.clone() }
    }
}

/// An object with what is done to it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PlannedObject {
    /// Which.
    pub object: ObjectRef,
    /// What happens.
    pub action: Action,
    /// The component; empty for an object that is pruned.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub component: String,
    /// Where it is written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<Origin>,
    /// The phase.
    pub phase: Phase,
    /// The wave.
    pub wave: i32,
    /// What changes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<FieldChange>,
    /// Why, and what to do.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// Whether it is shown, but not done: pruning is off, or a person must confirm.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub held_back: bool,
    /// What is sent; `None` for a prune.
    #[serde(skip)]
    pub value: Option<Value>,
    /// The digest of what Git says, before fields were left to others.
    #[serde(skip)]
    pub digest: String,
    /// What its annotations ask for.
    #[serde(skip)]
    pub options: ObjectOptions,
    /// The live object, if there is one.
    #[serde(skip)]
    pub live_uid: Option<String>,
    /// Its kind is not known yet: what is planned is only that it is waited for.
    #[serde(skip)]
    pub late_kind: bool,
    /// The same plan changes its kind's definition: what the cluster says of it now is not what it says then.
    #[serde(skip)]
    pub redefined: bool,
}

impl PlannedObject {
    /// One of which only is known what becomes of it, and why.
    pub(crate) fn told(object: ObjectRef, action: Action, message: String) -> Self {
        Self {
            object,
            action,
            component: String::new(),
            origin: None,
            phase: Phase::Sync,
            wave: 0,
            fields: Vec::new(),
            message,
            held_back: false,
            value: None,
            digest: String::new(),
            options: ObjectOptions::default(),
            live_uid: None,
            late_kind: false,
            redefined: false,
        }
    }

    /// Whether it is changed by someone in the cluster, and by nobody in Git.
    pub fn is_drift(&self) -> bool {
        self.action == Action::Change
            && !self.fields.is_empty()
            && self.fields.iter().all(|field| field.drift)
    }
}

/// What a sync would do.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Plan {
    /// Every object, in the order of the sources; what is pruned comes last.
    pub objects: Vec<PlannedObject>,
    /// Why nothing is done at all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blocked: Option<String>,
    /// The server was not asked what it makes of it: before the first sync there is no account to ask as. It may refuse
    /// more than is said here.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unasked: bool,
}

impl Plan {
    /// Whether all that is not as it should be is held back: a sync would do nothing.
    pub fn waits_for_people(&self) -> bool {
        self.blocked.is_none() && self.out_of_sync().all(|object| object.held_back)
    }

    /// Whether everything is as it should be. Hooks do not count.
    pub fn is_in_sync(&self) -> bool {
        self.blocked.is_none() && self.out_of_sync().next().is_none()
    }

    /// What is not as it should be.
    pub fn out_of_sync(&self) -> impl Iterator<Item = &PlannedObject> {
        self.objects.iter().filter(|object| match object.action {
            Action::Unchanged | Action::Hook => false,
            Action::Prune => !object.options.ignore_extraneous,
            _ => true,
        })
    }

    /// Whether what is not as it should be was changed in the cluster alone: fields that somebody changed, and objects
    /// that somebody deleted although they were applied.
    pub fn is_drift_only(&self, inventory: &[InventoryEntry]) -> bool {
        let known: BTreeMap<ObjectId, &str> =
            inventory.iter().map(|entry| (entry.object.id(), entry.digest.as_str())).collect();
        self.blocked.is_none()
            && self.out_of_sync().all(|object| match object.action {
                Action::Change => object.is_drift(),
                Action::Create => known.get(&object.object.id()) == Some(&object.digest.as_str()),
                _ => object.held_back,
            })
    }

    /// How many objects have this action.
    pub fn count(&self, action: Action) -> usize {
        self.objects.iter().filter(|object| object.action == action).count()
    }
}

/// An object that was applied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct InventoryEntry {
    /// Which.
    pub object: ObjectRef,
    /// The very object: another of the same name is not ours.
    pub uid: String,
    /// The digest of what Git said when it was applied.
    pub digest: String,
    /// Whether Seaway made it, and did not take it over.
    #[serde(default)]
    pub created: bool,
}

/// Where objects may go.
#[derive(Debug, Clone, Default)]
pub struct Allowed {
    /// Namespaces.
    pub namespaces: BTreeSet<String>,
    /// Cluster-scoped kinds: `Kind` or `Kind.group`.
    pub cluster_kinds: BTreeSet<String>,
    /// Whether pods run as accounts that the environment itself has, or as `default`.
    pub own_accounts: bool,
}

/// What may happen.
#[derive(Debug, Clone, Copy, Default)]
pub struct Policy {
    /// What left Git is deleted.
    pub prune: bool,
    /// An empty result may delete everything.
    pub allow_empty: bool,
    /// Take fields from other appliers.
    pub force_conflicts: bool,
    /// The environment ends.
    pub ending: bool,
}

/// Everything that a plan follows from.
pub struct PlanInput<'a> {
    /// What the environment wants.
    pub desired: Vec<Desired>,
    /// What is there: every object of `desired` and of `inventory`, and what else carries the environment's label.
    pub live: &'a HashMap<ObjectId, Value>,
    /// What was applied last.
    pub inventory: &'a [InventoryEntry],
    /// The id of the environment's ApplySet.
    pub apply_set: &'a str,
    /// Where objects may go.
    pub allowed: &'a Allowed,
    /// What is left to others.
    pub ignore: &'a [IgnoreRule],
    /// What may happen.
    pub policy: Policy,
    /// Whose environment a ServiceAccount (namespace, name) is, when it is another one's.
    pub accounts: &'a dyn Fn(&str, &str) -> Option<String>,
    /// The shapes of kinds.
    pub schema: &'a dyn Fn(&GroupVersionKind) -> TypeRef,
    /// With which values of secrets are hashed where they would be shown.
    pub key: &'a HashKey,
    /// Now (RFC 3339, seconds).
    pub now: &'a str,
}

/// What a sync would do.
pub fn plan(input: PlanInput<'_>) -> Plan {
    let PlanInput { desired, .. } = &input;
    let mut first: HashMap<ObjectId, (String, Origin)> = HashMap::new();
    let digests: HashMap<ObjectId, &str> =
        input.inventory.iter().map(|entry| (entry.object.id(), entry.digest.as_str())).collect();
    // Their expressions are read once, not for each object.
    let ignored: Vec<Ignored<'_>> = input.ignore.iter().map(Ignored::new).collect();
    let redefined = redefined(&input, &digests);
    let mut objects = Vec::with_capacity(desired.len());
    for wanted in desired {
        // A copy ends with its namespaces, without hooks.
        if wanted.options.skip || input.allowed.own_accounts && wanted.options.only_at_end() {
            first
                .entry(wanted.id.clone())
                .or_insert_with(|| (wanted.component.clone(), wanted.origin.clone()));
            continue;
        }
        let mut planned = one(&input, &ignored, &redefined, wanted, digests.get(&wanted.id).copied());
        if let Some((component, origin)) = first.get(&wanted.id) {
            planned.action = Action::Invalid;
            planned.fields.clear();
            planned.message = format!(
                "it is in component {component} already ({}:{}): remove one",
                origin.file, origin.line
            );
        } else {
            first.insert(wanted.id.clone(), (wanted.component.clone(), wanted.origin.clone()));
        }
        objects.push(planned);
    }
    if input.allowed.own_accounts {
        forbid_foreign_accounts(desired, &mut objects);
    } else {
        at_end::forbid_what_cannot_be_kept(&mut objects);
    }
    let kept: BTreeSet<ObjectId> = first.into_keys().collect();
    let pruned = prune::prune(&input, &kept);
    let deletes = pruned.iter().any(|object| !object.held_back);
    let blocked = (kept.is_empty() && deletes && !input.policy.allow_empty).then(|| {
        format!(
            "nothing is left in Git, which would delete {} objects: set spec.sync.allowEmpty if that is meant",
            pruned.len()
        )
    });
    objects.extend(pruned);
    Plan { objects, blocked, unasked: false }
}

fn one(
    input: &PlanInput<'_>,
    ignored: &[Ignored<'_>],
    redefined: &BTreeSet<(&str, &str)>,
    wanted: &Desired,
    applied_digest: Option<&str>,
) -> PlannedObject {
    let mut planned = PlannedObject {
        object: ObjectRef::new(&wanted.kind, &wanted.id),
        action: Action::Unchanged,
        component: wanted.component.clone(),
        origin: Some(wanted.origin.clone()),
        phase: wanted.options.hooks.first().copied().unwrap_or_default(),
        wave: wanted.options.wave,
        fields: Vec::new(),
        message: String::new(),
        held_back: false,
        value: Some(wanted.value.clone()),
        digest: digest(&wanted.value),
        options: wanted.options.clone(),
        live_uid: None,
        late_kind: false,
        redefined: redefined.contains(&(wanted.kind.group.as_str(), wanted.kind.kind.as_str())),
    };
    let set = |mut planned: PlannedObject, action: Action, message: String| {
        planned.action = action;
        planned.message = message;
        planned
    };
    if let Some(reason) = forbidden(input.allowed, wanted).or_else(|| foreign_account(input, wanted)) {
        return set(planned, Action::Forbidden, reason);
    }
    let Some(_) = wanted.scope else {
        if wanted.options.late_kind && !wanted.options.only_at_end() {
            let message =
                format!("the cluster does not know the kind {} yet, which is waited for", wanted.kind);
            planned.late_kind = true;
            return set(planned, Action::Create, message);
        }
        let message = format!(
            "the cluster does not know the kind {}: install its CustomResourceDefinition, or add it to the stack",
            wanted.kind
        );
        return set(planned, Action::Invalid, message);
    };
    if is_encrypted(&wanted.value) {
        let message = "it is encrypted with SOPS, which is not decrypted here: use an ExternalSecret or a \
                       SealedSecret"
            .to_owned();
        return set(planned, Action::Invalid, message);
    }
    let live = input.live.get(&wanted.id);
    planned.live_uid = live.and_then(identity::uid).map(str::to_owned);
    // What is there is merged with further down, which reads it as well.
    if (live.is_none() || wanted.options.is_hook()) && !planned.redefined {
        let schema = (input.schema)(&wanted.kind);
        let manager = manager(&planned, input.now);
        if let Err(error @ ApplyError::Invalid(_)) = apply(None, &wanted.value, &schema, &manager, true) {
            return set(planned, Action::Invalid, format!("{error}{MISTYPED}"));
        }
    }
    if wanted.options.is_hook() || wanted.options.only_at_end() {
        return set(planned, Action::Hook, when(&wanted.options));
    }
    let Some(live) = live else { return set(planned, Action::Create, String::new()) };
    if let Some(other) = identity::label(live, PART_OF_LABEL).filter(|other| *other != input.apply_set) {
        let name = identity::label(live, seaway_api::ENVIRONMENT_LABEL).unwrap_or(other);
        let message = format!(
            "it belongs to {name}: two environments cannot own one object: remove it from one of the two, or give it another name"
        );
        return set(planned, Action::Conflict, message);
    }
    if wanted.options.create_only {
        return planned;
    }
    let ownership = Ownership::of(live);
    let schema = (input.schema)(&wanted.kind);
    let rules: Vec<&Ignored<'_>> =
        ignored.iter().filter(|rule| rule.concerns(&wanted.kind, &wanted.id)).collect();
    let mut value = wanted.value.clone();
    if let Err(error) = ignore::leave(&mut value, live, &ownership, &rules, &schema) {
        return set(planned, Action::Invalid, format!("spec.ignore of its stack: {error}"));
    }
    compare(input, &mut planned, live, value, &schema, &ownership, applied_digest);
    planned
}

/// The kinds, by group and name, whose definitions are others than those that were applied.
fn redefined<'a>(
    input: &'a PlanInput<'_>,
    digests: &HashMap<ObjectId, &str>,
) -> BTreeSet<(&'a str, &'a str)> {
    let definitions = input.desired.iter().filter(|wanted| wanted.kind.kind == "CustomResourceDefinition");
    let changed =
        definitions.filter(|wanted| digests.get(&wanted.id) != Some(&digest(&wanted.value).as_str()));
    let text = |value: &'a Value, pointer: &str| value.pointer(pointer).and_then(Value::as_str);
    changed
        .filter_map(|wanted| {
            Some((text(&wanted.value, "/spec/group")?, text(&wanted.value, "/spec/names/kind")?))
        })
        .collect()
}

/// Seaway, as it applies an object.
fn manager(planned: &PlannedObject, now: &str) -> Manager {
    Manager {
        name: FIELD_MANAGER.to_owned(),
        api_version: planned.object.gvk().api_version(),
        time: now.to_owned(),
        ..Manager::default()
    }
}

/// Fills in action, fields and message of an object that is there.
fn compare(
    input: &PlanInput<'_>,
    planned: &mut PlannedObject,
    live: &Value,
    value: Value,
    schema: &TypeRef,
    ownership: &Ownership,
    applied_digest: Option<&str>,
) {
    let manager = manager(planned, input.now);
    // Another version of the kind may be stored or served from the cache: the shape is taken to be the same.
    let mut base = live.clone();
    base["apiVersion"] = manager.api_version.clone().into();
    // By force only where there is a conflict: without one it is the same.
    let merged = apply(Some(&base), &value, schema, &manager, false).or_else(|error| {
        if let ApplyError::Conflict(conflicts) = &error {
            let others: Vec<String> = conflicts
                .iter()
                .filter(|conflict| conflict.operation == "Apply" && conflict.manager != FIELD_MANAGER)
                .map(|conflict| format!("{} is kept by {:?}", conflict.field, conflict.manager))
                .collect();
            if !others.is_empty() && !input.policy.force_conflicts {
                planned.action = Action::Conflict;
                planned.message = format!(
                    "{}: remove the field from one of the two, list it under ignore, or set spec.sync.forceConflicts",
                    others.join(", ")
                );
            }
            return apply(Some(&base), &value, schema, &manager, true);
        }
        Err(error)
    });
    let merged = match merged {
        Ok(merged) => merged,
        Err(_) if planned.redefined => {
            planned.action = Action::Change;
            planned.message = "its definition changes first: only then the cluster can be asked".to_owned();
            planned.value = Some(value);
            return;
        }
        Err(error) => {
            planned.action = Action::Invalid;
            planned.message = format!("{error}{MISTYPED}");
            return;
        }
    };
    let in_git = applied_digest == Some(planned.digest.as_str());
    let found = differences(schema, &base, &merged);
    planned.fields = changes(&found, live, &merged, ownership, in_git, input.key);
    planned.value = Some(value);
    if planned.action == Action::Conflict {
        return;
    }
    // Equal values whose ownership differs still need an apply: what we do not own, nobody keeps.
    let same_fields = merged.pointer("/metadata/managedFields") == base.pointer("/metadata/managedFields");
    if !found.is_empty() {
        planned.action = Action::Change;
    } else if !same_fields {
        planned.action = Action::Change;
        planned.message = "the values are equal; Seaway takes part in owning them".to_owned();
    }
}

impl PlannedObject {
    /// What the server's own dry run makes of a change: often it knows that nothing changes (a quantity in another
    /// spelling, a default written out).
    pub fn refine(&mut self, live: &Value, dry_run: &Value, schema: &TypeRef, in_git: bool, key: &HashKey) {
        let found = differences(schema, live, dry_run);
        self.fields = changes(&found, live, dry_run, &Ownership::of(live), in_git, key);
        let owned = |object: &Value| Ownership::of(object).applied_by(FIELD_MANAGER).cloned();
        if found.is_empty() && owned(live) == owned(dry_run) {
            self.action = Action::Unchanged;
            self.message.clear();
        }
    }
}

/// Differences with their owners, and without the values of secrets.
fn changes(
    found: &[Difference],
    live: &Value,
    wanted: &Value,
    ownership: &Ownership,
    in_git: bool,
    key: &HashKey,
) -> Vec<FieldChange> {
    let hidden = is_secret(wanted) || is_secret(live);
    let (mut from, mut to) = (live.clone(), wanted.clone());
    if hidden {
        redact(&mut from, key);
        redact(&mut to, key);
    }
    let ours = ownership.applied_by(FIELD_MANAGER).cloned().unwrap_or_default();
    found
        .iter()
        .map(|difference| {
            let owners = ownership.owners(&difference.path);
            let other = owners.iter().find(|owner| owner.manager != FIELD_MANAGER).copied();
            let is_update = other.is_some_and(|owner| owner.operation == Operation::Update);
            // What is in Git as it was applied was changed in the cluster; and so was what somebody took from us.
            let drift = in_git || (is_update && !owns(&ours, &difference.path) && !ours.is_empty());
            let mut owner = other.or_else(|| owners.first().copied());
            if owner.is_none() && drift {
                owner = ownership.last_update(FIELD_MANAGER);
            }
            let value = |side: &Option<Value>, redacted: &Value| match side {
                Some(_) if hidden => at(redacted, &difference.path),
                side => side.clone(),
            };
            FieldChange {
                path: display(&difference.path),
                from: value(&difference.from, &from),
                to: value(&difference.to, &to),
                owner: owner.cloned(),
                drift,
            }
        })
        .collect()
}

fn owns(fields: &FieldSet, path: &[PathElement]) -> bool {
    (1..=path.len()).any(|length| fields.has(&path[..length]))
}

/// The value at a path of plain fields; what lies in lists is not shown of a secret.
fn at(object: &Value, path: &[PathElement]) -> Option<Value> {
    path.iter()
        .try_fold(object, |value, element| match element {
            PathElement::Field(name) => value.get(name),
            _ => None,
        })
        .cloned()
}

/// SOPS leaves its key material beside the fields that it encrypts.
fn is_encrypted(value: &Value) -> bool {
    value.get("sops").is_some_and(|sops| sops.get("mac").is_some())
}

#[cfg(test)]
mod tests;
