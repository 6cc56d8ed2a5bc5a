//! What all workers share.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use kube::Client;
use parking_lot::Mutex;
use seaway_api::environment::Environment;
use seaway_api::stack::{Stack, StackSpec};
use seaway_object::redact::HashKey;
use tokio::sync::broadcast;
use tokio_util::sync::CancellationToken;

use crate::account::Account;
use crate::candidate::Subject;
use crate::cluster::cache::Cache;
use crate::cluster::{Kinds, Objects};
use crate::error::Error;
use crate::journal::Journal;
use crate::mailbox::Mailbox;
use crate::queue::Turns;
use crate::records::Records;
use crate::sources::Sources;
use crate::status::Summary;
use crate::view::{EnvironmentKey, Progress};

/// An environment that is known, and its worker.
pub(crate) struct Known {
    pub(crate) environment: Environment,
    pub(crate) mailbox: Arc<Mailbox>,
    pub(crate) summary: Arc<Mutex<Summary>>,
    pub(crate) cancel: CancellationToken,
}

pub(crate) struct Shared {
    pub(crate) client: Client,
    pub(crate) kinds: Kinds,
    pub(crate) cache: Arc<Cache>,
    /// As Seaway itself.
    pub(crate) objects: Objects,
    pub(crate) sources: Arc<Sources>,
    pub(crate) records: Records,
    pub(crate) journal: Journal,
    pub(crate) turns: Turns,
    pub(crate) progress: broadcast::Sender<Progress>,
    pub(crate) hash_key: HashKey,
    pub(crate) stopping: CancellationToken,
    pub(crate) environments: Mutex<BTreeMap<EnvironmentKey, Known>>,
    pub(crate) stacks: Mutex<HashMap<(String, String), Stack>>,
}

impl Shared {
    pub(crate) fn environment(&self, key: &EnvironmentKey) -> Option<Environment> {
        self.environments.lock().get(key).map(|known| known.environment.clone())
    }

    pub(crate) fn stack(&self, namespace: &str, name: &str) -> Option<StackSpec> {
        let key = (namespace.to_owned(), name.to_owned());
        self.stacks.lock().get(&key).map(|stack| stack.spec.clone())
    }

    /// An answer to a write of our own.
    pub(crate) fn seen(&self, environment: Environment) {
        let key = EnvironmentKey::new(
            environment.metadata.namespace.clone().unwrap_or_default(),
            environment.metadata.name.clone().unwrap_or_default(),
        );
        if let Some(known) = self.environments.lock().get_mut(&key) {
            known.environment = environment;
        }
    }

    /// An environment with its stack, checked.
    pub(crate) fn subject(&self, environment: &Environment) -> Result<Subject, Error> {
        let namespace = environment.metadata.namespace.clone().unwrap_or_default();
        let name = environment.metadata.name.clone().unwrap_or_default();
        let stack = self.stack(&namespace, &environment.spec.stack);
        let Some(stack) = stack else {
            return Err(Error::NoStack { namespace, name: environment.spec.stack.clone() });
        };
        Subject::new(EnvironmentKey::new(namespace, name), environment.spec.clone(), stack)
    }

    /// The id of an environment's ApplySet.
    pub(crate) fn apply_set(&self, key: &EnvironmentKey) -> Option<String> {
        let environments = self.environments.lock();
        let namespace = &environments.get(key)?.environment.spec.destination.namespace;
        let parent = crate::applyset::parent_name(&key.namespace, &key.name);
        Some(crate::applyset::id(namespace, &parent))
    }

    /// As whom an environment is applied.
    pub(crate) async fn account(&self, subject: &Subject) -> Result<Account, Error> {
        let mut cluster_resources = BTreeSet::new();
        for name in subject.stack.cluster_kinds() {
            let (kind, group) = name.split_once('.').unwrap_or((name, ""));
            if let Some(plural) = self.plural(group, kind).await? {
                cluster_resources.insert((group.to_owned(), plural));
            }
        }
        Ok(Account {
            key: subject.key.clone(),
            apply_set: subject.belonging().apply_set,
            namespaces: subject.spec.destination.all_namespaces().map(str::to_owned).collect(),
            cluster_resources,
        })
    }

    /// The resource of a kind in whatever version the cluster prefers; `None` while it does not serve the kind.
    async fn plural(&self, group: &str, kind: &str) -> Result<Option<String>, Error> {
        let fail = |error| Error::cluster(format!("kind {kind}.{group}"), error);
        let version = if group.is_empty() {
            "v1".to_owned()
        } else {
            let groups = self.client.list_api_groups().await.map_err(fail)?;
            let found = groups.groups.into_iter().find(|found| found.name == group);
            let Some(version) = found.and_then(|found| found.versions.into_iter().next()) else {
                return Ok(None);
            };
            version.version
        };
        let gvk = seaway_object::GroupVersionKind { group: group.to_owned(), version, kind: kind.to_owned() };
        Ok(self.kinds.get(&gvk).await.map_err(fail)?.map(|kind| kind.resource.plural.clone()))
    }
}
