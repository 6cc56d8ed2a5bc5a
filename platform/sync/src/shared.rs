//! What all workers share.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use jiff::Timestamp;
use kube::Client;
use parking_lot::Mutex;
use seaway_api::environment::{Class, Environment, EnvironmentSpec};
use seaway_api::stack::{Stack, StackSpec};
use seaway_api::validate_place;
use seaway_object::redact::HashKey;
use tokio::sync::{Notify, broadcast};
use tokio_util::sync::CancellationToken;

use crate::account::Account;
use crate::bindings::Bindings;
use crate::cluster::cache::Cache;
use crate::cluster::{Kinds, Objects};
use crate::enclosure::Enclosure;
use crate::error::Error;
use crate::health::CompiledRules;
use crate::journal::Journal;
use crate::live::Reader;
use crate::mailbox::{Mail, Mailbox};
use crate::plan::ObjectRef;
use crate::queue::Turns;
use crate::records::{Memory, Records};
use crate::rendering::RenderCache;
use crate::sources::Sources;
use crate::status::Summary;
use crate::subject::{Lender, Original, Subject};
use crate::view::{EnvironmentKey, Outcome, Progress};

/// An environment that is known, and its worker.
pub(crate) struct Known {
    pub(crate) environment: Environment,
    pub(crate) mailbox: Arc<Mailbox>,
    pub(crate) summary: Arc<Mutex<Summary>>,
    pub(crate) cancel: CancellationToken,
    /// A copy that was found to be none too many: those that come after it do not take its place.
    pub(crate) admitted: bool,
}

pub(crate) struct Shared {
    pub(crate) client: Client,
    /// As whoever prepares copies.
    pub(crate) copier: Client,
    pub(crate) kinds: Kinds,
    pub(crate) cache: Arc<Cache>,
    /// As Seaway itself.
    pub(crate) objects: Objects,
    pub(crate) sources: Arc<Sources>,
    pub(crate) bindings: Bindings,
    pub(crate) records: Records,
    pub(crate) rendered: RenderCache,
    pub(crate) journal: Journal,
    pub(crate) turns: Turns,
    pub(crate) progress: broadcast::Sender<Progress>,
    pub(crate) hash_key: HashKey,
    /// Copies answer at hosts below it, unless their stack says otherwise.
    pub(crate) domain: String,
    pub(crate) stopping: CancellationToken,
    pub(crate) environments: Mutex<BTreeMap<EnvironmentKey, Known>>,
    /// The copies of each environment that has any.
    pub(crate) copies: Mutex<HashMap<EnvironmentKey, BTreeSet<EnvironmentKey>>>,
    pub(crate) stacks: Mutex<HashMap<(String, String), Stack>>,
    /// The health rules of all stacks.
    pub(crate) rules: CompiledRules,
    /// Where merge requests are opened: the beginning of repositories' URLs, and the forge.
    pub(crate) forges: Mutex<Vec<(String, seaway_forge::GitHub)>>,
    /// Told when a Stack, or who uses one, has changed.
    pub(crate) stacks_news: Notify,
    /// What webhooks are signed with.
    pub(crate) webhooks: Mutex<seaway_git::WebhookSecrets>,
}

impl Shared {
    /// Changes what is remembered of an environment, as [`Records::change`] does, on a thread that may wait for the disk.
    pub(crate) async fn remember<T: Send + 'static>(
        self: &Arc<Self>,
        key: &EnvironmentKey,
        change: impl FnOnce(&mut Memory) -> T + Send + 'static,
    ) -> Result<T, Error> {
        let (shared, key) = (self.clone(), key.clone());
        let changed = tokio::task::spawn_blocking(move || shared.records.change(&key, change));
        changed.await.map_err(|_| Error::Stopping)?
    }

    pub(crate) fn environment(&self, key: &EnvironmentKey) -> Option<Environment> {
        self.environments.lock().get(key).map(|known| known.environment.clone())
    }

    pub(crate) fn stack(&self, namespace: &str, name: &str) -> Option<StackSpec> {
        let key = (namespace.to_owned(), name.to_owned());
        self.stacks.lock().get(&key).map(|stack| stack.spec.clone())
    }

    /// An answer to a write of our own.
    pub(crate) fn seen(&self, mut environment: Environment) {
        environment.metadata.managed_fields = None;
        let key = EnvironmentKey::of(&environment.metadata);
        if let Some(known) = self.environments.lock().get_mut(&key) {
            known.environment = environment;
        }
    }

    /// An environment with its stack, checked.
    pub(crate) fn subject(&self, environment: &Environment) -> Result<Subject, Error> {
        let spec = &environment.spec;
        let key = EnvironmentKey::of(&environment.metadata);
        let errors = validate_place(&key.namespace, spec);
        if !errors.is_empty() {
            return Err(Error::Invalid { kind: "Environment", name: key.name, errors });
        }
        let Some(original_key) = EnvironmentKey::of_original(spec) else {
            let stack = self.find_stack(&key.namespace, &spec.stack)?;
            return Subject::new(key, spec.clone(), stack);
        };
        let original =
            self.environment(&original_key).ok_or_else(|| Error::NoEnvironment(original_key.clone()))?;
        let stack = self.find_stack(&original_key.namespace, &original.spec.stack)?;
        self.check_name(environment, &key)?;
        self.check_number(environment, &key, &original_key, &stack)?;
        let lender = self.lender(&original_key, &stack)?;
        let lender = lender.as_ref().map(|(name, spec)| Lender { name, spec });
        let release = self.records.last_release(&original_key)?;
        let original = Original { key: original_key, spec: &original.spec, release };
        let uid = environment.metadata.uid.as_deref().unwrap_or_default();
        let secret = self.hash_key.digest(format!("copy {uid} {key}").as_bytes());
        Subject::copy(key, spec, (original, lender), &stack, &self.domain, secret)
    }

    /// Whether the first one was there before the second one. What is only thought of comes after everything that is there,
    /// and what has been let in before what has not: which of two of one second is older, their times do not tell, and
    /// news of them can come in either order.
    fn is_older(
        &self,
        (environment, key, admitted): (&Environment, &EnvironmentKey, bool),
        (other, other_key, other_admitted): (&Environment, &EnvironmentKey, bool),
    ) -> bool {
        let age = |environment: &Environment, key: &EnvironmentKey, admitted: bool| {
            let made = environment.metadata.creation_timestamp.as_ref().map(|time| time.0);
            let runs = admitted || self.records.get(key).is_ok_and(|memory| !memory.syncs.is_empty());
            (made.is_none(), !runs, made)
        };
        (age(environment, key, admitted), key) < (age(other, other_key, other_admitted), other_key)
    }

    /// As many copies of one environment as the stack lets be, and the oldest are those.
    fn check_number(
        &self,
        environment: &Environment,
        key: &EnvironmentKey,
        original: &EnvironmentKey,
        stack: &StackSpec,
    ) -> Result<(), Error> {
        let class = environment.spec.class;
        let most = stack.copies.as_ref().map(|copies| copies.most).unwrap_or_default();
        let (most, whose) = match class {
            Class::Personal => (most.personal, seaway_api::owner(&key.namespace).unwrap_or("everybody")),
            Class::Preview => (most.preview, "everybody"),
            Class::Production | Class::Staging => (None, ""),
        };
        let Some(most) = most.and_then(|most| usize::try_from(most).ok()) else { return Ok(()) };
        let mut environments = self.environments.lock();
        let admitted = environments.get(key).is_some_and(|known| known.admitted);
        let older = environments.iter().filter(|(other, known)| {
            let spec = &known.environment.spec;
            *other != key
                && spec.class == class
                && (class != Class::Personal || other.namespace == key.namespace)
                && EnvironmentKey::of_original(spec).as_ref() == Some(original)
                && known.environment.metadata.deletion_timestamp.is_none()
                && self.is_older((&known.environment, other, known.admitted), (environment, key, admitted))
        });
        let older: Vec<String> = older.map(|(other, _)| other.to_string()).collect();
        if older.len() < most {
            // Under the lock: of two that are looked at at once, the second one sees this.
            if let Some(known) = environments.get_mut(key) {
                known.admitted = true;
            }
            return Ok(());
        }
        let there = if older.is_empty() { String::new() } else { format!(" ({})", older.join(", ")) };
        Err(Error::Plan(format!(
            "{whose} may have {most} {} copies of {original}, and has them{there}: delete one first",
            class.as_str()
        )))
    }

    /// The environment, beside the one that is copied, whose components copies share; `None` where nothing is shared.
    fn lender(
        &self,
        original: &EnvironmentKey,
        stack: &StackSpec,
    ) -> Result<Option<(String, EnvironmentSpec)>, Error> {
        if seaway_environments::shared(stack).next().is_none() {
            return Ok(None);
        }
        let name = stack.copies.as_ref().and_then(|copies| copies.shared_from.as_ref());
        let key = EnvironmentKey::new(&original.namespace, name.unwrap_or(&original.name));
        let lender = self.environment(&key).ok_or_else(|| Error::NoEnvironment(key.clone()))?;
        Ok(Some((key.name, lender.spec)))
    }

    /// The name of a copy is the domain of its hosts: of several copies with one name the oldest has it.
    fn check_name(&self, environment: &Environment, key: &EnvironmentKey) -> Result<(), Error> {
        let environments = self.environments.lock();
        let older = environments.iter().find(|(other, known)| {
            other.name == key.name
                && *other != key
                && known.environment.spec.copy_of.is_some()
                && self.is_older((&known.environment, other, false), (environment, key, false))
        });
        match older {
            Some((other, _)) => Err(Error::Plan(format!(
                "the name {:?} is that of the copy {other}: choose another name, as hosts are made of it",
                key.name
            ))),
            None => Ok(()),
        }
    }

    fn find_stack(&self, namespace: &str, name: &str) -> Result<StackSpec, Error> {
        self.stack(namespace, name)
            .ok_or_else(|| Error::NoStack { namespace: namespace.to_owned(), name: name.to_owned() })
    }

    /// Tells whoever listens what goes on in an environment. Nobody may.
    pub(crate) fn tell(
        &self,
        environment: &EnvironmentKey,
        sync: Option<u64>,
        message: String,
        outcome: Option<Outcome>,
    ) {
        let time = jiff::Timestamp::now();
        let progress = Progress { environment: environment.clone(), time, sync, message, outcome };
        let _ = self.progress.send(progress);
    }

    /// Something that copies of an environment depend on has changed.
    pub(crate) fn tell_copies(&self, original: &EnvironmentKey, mail: fn() -> Mail) {
        let Some(copies) = self.copies.lock().get(original).cloned() else { return };
        let environments = self.environments.lock();
        for known in copies.iter().filter_map(|copy| environments.get(copy)) {
            if EnvironmentKey::of_original(&known.environment.spec).as_ref() == Some(original) {
                known.mailbox.put(mail());
            }
        }
    }

    /// An environment is there, or is another one now.
    pub(crate) fn note_copy(&self, key: &EnvironmentKey, environment: &Environment) {
        if let Some(original) = EnvironmentKey::of_original(&environment.spec) {
            self.copies.lock().entry(original).or_default().insert(key.clone());
        }
    }

    /// An environment is gone.
    pub(crate) fn forget_copy(&self, key: &EnvironmentKey, environment: &Environment) {
        let Some(original) = EnvironmentKey::of_original(&environment.spec) else { return };
        let mut copies = self.copies.lock();
        if let Some(of) = copies.get_mut(&original) {
            of.remove(key);
            if of.is_empty() {
                copies.remove(&original);
            }
        }
    }

    /// The id of an environment's ApplySet.
    pub(crate) fn apply_set(&self, key: &EnvironmentKey) -> Option<String> {
        let environments = self.environments.lock();
        let spec = &environments.get(key)?.environment.spec;
        let namespace = match &EnvironmentKey::of_original(spec) {
            None => spec.destination.namespace.clone(),
            Some(original) => seaway_environments::namespace(
                &key.name,
                &environments.get(original)?.environment.spec.destination.namespace,
            ),
        };
        let parent = crate::applyset::parent_name(&key.namespace, &key.name);
        Some(crate::applyset::id(&namespace, &parent))
    }

    /// What reads and plans, as of a time.
    pub(crate) fn reader(&self, now: Timestamp) -> Reader<'_> {
        Reader {
            kinds: &self.kinds,
            cache: &self.cache,
            objects: &self.objects,
            key: &self.hash_key,
            now: now.to_string(),
        }
    }

    /// As whom an environment is applied, which also has to delete what is `leaving`: its stack or its destination may no
    /// longer say so.
    pub(crate) async fn account(&self, subject: &Subject, leaving: &[ObjectRef]) -> Result<Account, Error> {
        let mut cluster_resources = BTreeSet::new();
        let namespaces: BTreeSet<String> =
            subject.spec.destination.all_namespaces().map(str::to_owned).collect();
        // A copy shares what lies in the cluster, and ends with its namespaces.
        let leaving = if subject.copied.is_some() { &[] } else { leaving };
        let allowed = subject.cluster_kinds().iter().map(|name| name.split_once('.').unwrap_or((name, "")));
        let in_cluster = leaving.iter().filter(|object| object.namespace.is_none());
        let kinds: BTreeSet<(&str, &str)> =
            allowed.chain(in_cluster.map(|object| (object.kind.as_str(), object.group.as_str()))).collect();
        for (kind, group) in kinds {
            if let Some(plural) = self.plural(group, kind).await? {
                cluster_resources.insert((group.to_owned(), plural));
            }
        }
        Ok(Account {
            key: subject.key.clone(),
            apply_set: subject.belonging().apply_set,
            left: leaving
                .iter()
                .filter_map(|object| object.namespace.clone())
                .filter(|namespace| !namespaces.contains(namespace))
                .collect(),
            namespaces,
            cluster_resources,
            copy: subject.copied.as_ref().map(|copied| Enclosure {
                owner: copied.owner.clone(),
                domain: copied.copy.domain.clone(),
                policy: subject.stack.copies.clone().unwrap_or_default(),
                first: subject.spec.destination.namespace.clone(),
                shared: copied
                    .copy
                    .shared
                    .iter()
                    .flat_map(|shared| shared.namespaces.values().cloned())
                    .collect(),
            }),
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
