//! Roles and bindings, parsed, following the store event by event.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Deserialize;
use serde_json::Value;

use super::{Rule, rules};
use crate::identity::Identity;
use crate::store::{Entry, Event, EventKind, ObjectKey, Store};

#[derive(Clone, Debug, Deserialize, PartialEq)]
pub(super) struct Subject {
    kind: String,
    name: String,
    #[serde(default)]
    namespace: String,
}

impl std::fmt::Display for Subject {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.namespace.is_empty() {
            write!(f, "{} {:?}", self.kind, self.name)
        } else {
            write!(f, "{} \"{}/{}\"", self.kind, self.name, self.namespace)
        }
    }
}

impl Subject {
    fn is(&self, user: &Identity) -> bool {
        match self.kind.as_str() {
            "User" => self.name == user.name,
            "Group" => user.groups.contains(&self.name),
            "ServiceAccount" => user.as_service_account() == Some((&self.namespace, &self.name)),
            _ => false,
        }
    }
}

#[derive(Clone, Debug, Deserialize, PartialEq)]
pub(crate) struct RoleRef {
    pub(crate) kind: String,
    pub(crate) name: String,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Binding {
    #[serde(default)]
    subjects: Vec<Subject>,
    role_ref: RoleRef,
}

/// Who may do what, as the objects of RBAC say it.
#[derive(Default)]
pub(super) struct Index {
    seen: [u64; 4],
    loaded: bool,
    cluster_roles: BTreeMap<String, Vec<Rule>>,
    roles: BTreeMap<ObjectKey, Vec<Rule>>,
    cluster_bindings: BTreeMap<String, Binding>,
    bindings: BTreeMap<ObjectKey, Binding>,
}

/// Where they are stored, in the order of [`Index::seen`].
pub(super) const RESOURCES: [&str; 4] = [
    "rbac.authorization.k8s.io/clusterroles",
    "rbac.authorization.k8s.io/roles",
    "rbac.authorization.k8s.io/clusterrolebindings",
    "rbac.authorization.k8s.io/rolebindings",
];

/// What is new of one resource.
enum Changes {
    Since(Vec<Arc<Event>>),
    /// The events are not known any more (or never were): everything there is.
    All(Vec<Arc<Entry>>),
}

impl Index {
    fn set(&mut self, which: usize, key: &ObjectKey, object: Option<&Value>) {
        let binding = |v: &Value| serde_json::from_value::<Binding>(v.clone()).ok();
        match (which, object) {
            (0, Some(v)) => drop(self.cluster_roles.insert(key.name.clone(), rules(v))),
            (0, None) => drop(self.cluster_roles.remove(&key.name)),
            (1, Some(v)) => drop(self.roles.insert(key.clone(), rules(v))),
            (1, None) => drop(self.roles.remove(key)),
            (2, v) => match v.and_then(binding) {
                Some(b) => drop(self.cluster_bindings.insert(key.name.clone(), b)),
                None => drop(self.cluster_bindings.remove(&key.name)),
            },
            (_, v) => match v.and_then(binding) {
                Some(b) => drop(self.bindings.insert(key.clone(), b)),
                None => drop(self.bindings.remove(key)),
            },
        }
    }

    /// Brings the index to the store's newest state.
    pub(super) fn follow(&mut self, store: &Store) {
        // What changed is taken from one state; it is read after that.
        let changed = store.read(|state| {
            let newer = |which: &usize| {
                !self.loaded || state.resource_revision(RESOURCES[*which]) > self.seen[*which]
            };
            let changes = (0..RESOURCES.len()).filter(newer).map(|which| {
                let resource = RESOURCES[which];
                let events = self.loaded.then(|| state.events_after(resource, self.seen[which])).flatten();
                let changes = match events {
                    Some(events) => Changes::Since(events),
                    None => Changes::All(state.range(resource, None).map(|(_, e)| e.clone()).collect()),
                };
                (which, state.revision(), changes)
            });
            changes.collect::<Vec<_>>()
        });
        for (which, revision, changes) in changed {
            match changes {
                Changes::Since(events) => {
                    for event in events {
                        let value = (event.kind != EventKind::Deleted).then(|| event.entry.value());
                        self.set(which, &event.entry.key, value.as_ref());
                    }
                }
                Changes::All(entries) => {
                    match which {
                        0 => self.cluster_roles.clear(),
                        1 => self.roles.clear(),
                        2 => self.cluster_bindings.clear(),
                        _ => self.bindings.clear(),
                    }
                    for entry in entries {
                        self.set(which, &entry.key, Some(&entry.value()));
                    }
                }
            }
            self.seen[which] = revision;
        }
        self.loaded = true;
    }

    /// The rules of a role, `None` when there is no such role.
    fn role(&self, namespace: &str, role: &RoleRef) -> Option<&[Rule]> {
        let rules = match role.kind.as_str() {
            "ClusterRole" => self.cluster_roles.get(&role.name),
            "Role" => self.roles.get(&ObjectKey::new(namespace, role.name.as_str())),
            _ => None,
        };
        rules.map(Vec::as_slice)
    }

    /// The rules that hold for a user in a namespace (empty: cluster-wide only).
    pub(super) fn of<'a>(&'a self, user: &'a Identity, namespace: &'a str) -> impl Iterator<Item = &'a Rule> {
        self.grants(user, namespace).flat_map(|grant| grant.rules.unwrap_or_default())
    }

    /// What the bindings give a user in a namespace, those of the whole cluster first.
    pub(super) fn grants<'a>(
        &'a self,
        user: &'a Identity,
        namespace: &'a str,
    ) -> impl Iterator<Item = Grant<'a>> {
        let grant = move |key: ObjectKey, binding: &'a Binding| {
            let subject = binding.subjects.iter().find(|s| s.is(user))?;
            let rules = self.role(&key.namespace, &binding.role_ref);
            Some(Grant { binding: key, role: &binding.role_ref, subject, rules })
        };
        let cluster = self
            .cluster_bindings
            .iter()
            .filter_map(move |(name, binding)| grant(ObjectKey::new("", name.as_str()), binding));
        let start = ObjectKey::new(namespace, "");
        let local = self
            .bindings
            .range(start..)
            .take_while(move |(key, _)| !namespace.is_empty() && key.namespace == namespace)
            .filter_map(move |(key, binding)| grant(key.clone(), binding));
        cluster.chain(local)
    }
}

/// What one binding gives.
pub(super) struct Grant<'a> {
    binding: ObjectKey,
    pub(super) role: &'a RoleRef,
    subject: &'a Subject,
    /// `None` when the role does not exist.
    pub(super) rules: Option<&'a [Rule]>,
}

impl Grant<'_> {
    /// The sentence by which Kubernetes explains a permission.
    pub(super) fn reason(&self) -> String {
        let RoleRef { kind, name } = self.role;
        let binding = match self.binding.namespace.as_str() {
            "" => format!("ClusterRoleBinding {:?}", self.binding.name),
            namespace => format!("RoleBinding \"{}/{namespace}\"", self.binding.name),
        };
        format!("RBAC: allowed by {binding} of {kind} {name:?} to {}", self.subject)
    }
}
