//! What is there, and what the server makes of a plan.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use futures::StreamExt as _;
use seaway_merge::schema;
use seaway_object::redact::HashKey;
use seaway_object::{GroupVersionKind, ObjectId, identity};
use serde_json::Value;

use crate::account::ACCOUNT_PREFIX;
use crate::applyset::PART_OF_LABEL;
use crate::cluster::cache::Cache;
use crate::cluster::{Kinds, Objects, Refusal};
use crate::desired::{Desired, Scope};
use crate::error::Error;
use crate::executor::{AT_ONCE, advice, is_refused};
use crate::plan::{Action, InventoryEntry, Plan, PlanInput, account_of_pods, plan};
use crate::subject::Subject;

/// What reading and planning works with.
pub(crate) struct Reader<'a> {
    pub(crate) kinds: &'a Kinds,
    pub(crate) cache: &'a Arc<Cache>,
    /// As Seaway: what the environment wants lies in its namespaces.
    pub(crate) objects: &'a Objects,
    pub(crate) key: &'a HashKey,
    pub(crate) now: String,
}

/// Objects that the server has said are as they should be: the digest of what is wanted, and the live revision.
pub(crate) type Confirmed = HashMap<ObjectId, (String, String)>;

impl Reader<'_> {
    /// Everything that a plan must know of the cluster.
    pub(crate) async fn read(
        &self,
        subject: &Subject,
        desired: &[Desired],
        inventory: &[InventoryEntry],
    ) -> Result<HashMap<ObjectId, Value>, Error> {
        let mut kinds: BTreeSet<GroupVersionKind> =
            desired.iter().map(|object| object.kind.clone()).collect();
        kinds.extend(inventory.iter().map(|entry| entry.object.gvk()));
        if desired.iter().any(|object| account_of_pods(&object.value).is_some()) {
            kinds.insert(service_accounts());
        }
        for gvk in &kinds {
            let kind = self.kinds.get(gvk).await.map_err(|e| Error::cluster(format!("kind {gvk}"), e))?;
            if let Some(kind) = kind {
                self.cache.watch(&kind).await;
            }
        }
        let members = self.cache.members(&subject.belonging().apply_set);
        let allowed = subject.allowed();
        let listed: HashMap<ObjectId, &str> =
            inventory.iter().map(|entry| (entry.object.id(), entry.uid.as_str())).collect();
        // Anybody can write our label onto an object of his own: what lies where this environment may not write is a
        // member only if it was applied from here.
        let is_member = |id: &ObjectId, object: &Value| {
            let within =
                id.namespace.as_ref().is_some_and(|namespace| allowed.namespaces.contains(namespace));
            within || listed.get(id).is_some_and(|uid| identity::uid(object) == Some(uid))
        };
        let mut live: HashMap<ObjectId, Value> =
            members.into_iter().filter(|(id, object)| is_member(id, object)).collect();
        let unknown = desired.iter().filter(|object| {
            let reachable = match (object.scope, &object.id.namespace) {
                (Some(Scope::Cluster), _) => true,
                (Some(Scope::Namespaced), Some(namespace)) => allowed.namespaces.contains(namespace),
                _ => false,
            };
            let wanted = !object.options.skip && !object.options.only_at_end();
            reachable && wanted && !live.contains_key(&object.id)
        });
        let requests: Vec<_> = unknown
            .filter_map(|object| Some((object.id.clone(), self.kinds.known(&object.kind)?)))
            .map(|(id, kind)| async move {
                let found = self.objects.get(&kind, &id).await;
                (id, found)
            })
            .collect();
        let answers: Vec<_> = futures::stream::iter(requests).buffer_unordered(AT_ONCE).collect().await;
        for (id, found) in answers {
            if let Some(found) = found.map_err(|error| Error::cluster(id.to_string(), error))? {
                self.cache.put(id.clone(), found.clone());
                live.insert(id, found);
            }
        }
        Ok(live)
    }

    /// The plan, as far as it follows without asking the server.
    pub(crate) fn plan(
        &self,
        subject: &Subject,
        desired: Vec<Desired>,
        live: &HashMap<ObjectId, Value>,
        inventory: &[InventoryEntry],
    ) -> Plan {
        let schema = |kind: &GroupVersionKind| match self.kinds.known(kind) {
            Some(kind) => kind.schema.clone(),
            None => schema::for_kind(&kind.group, &kind.version, &kind.kind).unwrap_or_else(schema::untyped),
        };
        let own = subject.belonging().apply_set;
        let accounts = |namespace: &str, name: &str| self.foreign_account(&own, namespace, name);
        plan(PlanInput {
            accounts: &accounts,
            desired,
            live,
            inventory,
            apply_set: &own,
            allowed: &subject.allowed(),
            ignore: &subject.stack.ignore,
            policy: subject.policy(),
            schema: &schema,
            key: self.key,
            now: &self.now,
        })
    }

    /// Whose a ServiceAccount is that was not applied from here: an environment's, or that of an environment itself.
    fn foreign_account(&self, own: &str, namespace: &str, name: &str) -> Option<String> {
        if namespace == seaway_api::SHARED_NAMESPACE && name.starts_with(ACCOUNT_PREFIX) {
            return Some("an environment, as which it is applied".to_owned());
        }
        let id = ObjectId {
            group: String::new(),
            kind: service_accounts().kind,
            namespace: Some(namespace.to_owned()),
            name: name.to_owned(),
        };
        let found = self.cache.get(&id)?;
        let set = identity::label(&found, PART_OF_LABEL).filter(|set| *set != own)?;
        let environment = identity::label(&found, seaway_api::ENVIRONMENT_LABEL).unwrap_or(set);
        Some(format!("the environment {environment}"))
    }

    /// Asks the server about every change, and about every creation if `creations`: what it refuses becomes invalid,
    /// and what changes nothing unchanged.
    pub(crate) async fn dry_run(
        &self,
        account: &Objects,
        plan: &mut Plan,
        live: &HashMap<ObjectId, Value>,
        inventory: &[InventoryEntry],
        confirmed: &mut Confirmed,
        creations: bool,
    ) -> Result<(), Error> {
        let digests: HashMap<ObjectId, &str> =
            inventory.iter().map(|entry| (entry.object.id(), entry.digest.as_str())).collect();
        let made: BTreeSet<&str> = plan
            .objects
            .iter()
            .filter(|object| object.object.kind == "Namespace" && object.action == Action::Create)
            .map(|object| object.object.name.as_str())
            .collect();
        let mut asked = Vec::new();
        for (index, object) in plan.objects.iter().enumerate() {
            let id = object.object.id();
            let wanted = !object.redefined
                && match object.action {
                    Action::Change => !is_confirmed(confirmed, &id, &object.digest, live.get(&id)),
                    Action::Create => creations && !id.namespace.as_deref().is_some_and(|n| made.contains(n)),
                    _ => false,
                };
            // What the same plan defines is asked for just before its own apply.
            if let (true, Some(kind), Some(value)) =
                (wanted, self.kinds.known(&object.object.gvk()), &object.value)
            {
                asked.push((index, id, kind, value.clone(), object.options.replace));
            }
        }
        let requests: Vec<_> = asked
            .into_iter()
            .filter(|(.., replace)| !replace)
            .map(|(index, id, kind, value, _)| async move {
                let answer = account.apply(&kind, &id, &value, true, true).await;
                // Somebody has changed it since it was read: what he changed is no part of the answer to us.
                let newer = match (&answer, live.get(&id)) {
                    (Ok(answer), Some(live)) if revision(answer) != revision(live) => {
                        self.objects.get(&kind, &id).await.ok().flatten()
                    }
                    _ => None,
                };
                (index, id, kind, answer, newer)
            })
            .collect();
        let answers: Vec<_> = futures::stream::iter(requests).buffer_unordered(AT_ONCE).collect().await;
        for object in &mut plan.objects {
            let id = object.object.id();
            if object.action == Action::Change && is_confirmed(confirmed, &id, &object.digest, live.get(&id))
            {
                object.action = Action::Unchanged;
                object.fields.clear();
                object.message.clear();
            }
        }
        for (index, id, kind, answer, newer) in answers {
            let object = &mut plan.objects[index];
            match (answer, newer.as_ref().or(live.get(&id))) {
                (Ok(answer), Some(live)) => {
                    let in_git = digests.get(&id) == Some(&object.digest.as_str());
                    object.refine(live, &answer, &kind.schema, in_git, self.key);
                    if object.action == Action::Unchanged
                        && let Some(revision) = revision(live)
                    {
                        confirmed.insert(id.clone(), (object.digest.clone(), revision));
                    }
                    if let Some(newer) = newer {
                        self.cache.put(id, newer);
                    }
                }
                (Ok(_), None) => {}
                (Err(Refusal::Conflict { message, .. }), _) => {
                    object.action = Action::Conflict;
                    object.message = message;
                }
                (Err(Refusal::Other(kube::Error::Api(status))), _)
                    if is_refused(status.code, &status.message) =>
                {
                    // Immutable fields: to be made anew is what the object asks for.
                    if status.code == 422 && object.options.force {
                        continue;
                    }
                    object.action = if status.code == 403 { Action::Forbidden } else { Action::Invalid };
                    object.message = format!("{}{}", status.message, advice(status.code, &status.message));
                }
                (Err(Refusal::Other(error)), _) => return Err(Error::cluster(id.to_string(), error)),
            }
        }
        Ok(())
    }
}

fn service_accounts() -> GroupVersionKind {
    GroupVersionKind { group: String::new(), version: "v1".to_owned(), kind: "ServiceAccount".to_owned() }
}

fn revision(live: &Value) -> Option<String> {
    live.pointer("/metadata/resourceVersion").and_then(Value::as_str).map(str::to_owned)
}

fn is_confirmed(confirmed: &Confirmed, id: &ObjectId, digest: &str, live: Option<&Value>) -> bool {
    let Some((known, at)) = confirmed.get(id) else { return false };
    let same = live.and_then(revision).as_ref() == Some(at);
    same && known == digest && live.and_then(identity::uid).is_some()
}
