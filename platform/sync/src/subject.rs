//! What a look is about: an environment with its stack, checked, and with what follows from what it is a copy of.

use jiff::Timestamp;
use seaway_api::environment::EnvironmentSpec;
use seaway_api::{FieldError, StackSpec, validate_environment, validate_stack};
use seaway_environments::Copy;
use seaway_object::redact::HashKey;

use crate::desired::Belonging;
use crate::error::Error;
use crate::release::{Release, ReleaseComponent};
use crate::view::EnvironmentKey;
use crate::{applyset, plan};

/// An environment with its stack, checked.
#[derive(Debug, Clone)]
pub(crate) struct Subject {
    pub(crate) key: EnvironmentKey,
    /// Of a copy with all that follows from what it copies.
    pub(crate) spec: EnvironmentSpec,
    /// Of a copy with its components alone.
    pub(crate) stack: StackSpec,
    /// What it is a copy of.
    pub(crate) copied: Option<Copied>,
    /// It is being deleted.
    pub(crate) ending: bool,
}

/// What an environment is a copy of.
#[derive(Debug, Clone)]
pub(crate) struct Copied {
    pub(crate) copy: Copy,
    pub(crate) original: EnvironmentKey,
    /// What the original was last brought to.
    pub(crate) base: Release,
    /// The person in whose namespace the copy is.
    pub(crate) owner: Option<String>,
    /// What passwords are made from: another one for each copy.
    seed: [u8; 32],
}

impl Copied {
    /// A password of the copy: the same one whenever it is asked for.
    pub(crate) fn password(&self, secret: &str, key: &str) -> String {
        let hash = HashKey::new(self.seed).digest(format!("{secret}/{key}").as_bytes());
        hex::encode(&hash[..16])
    }
}

/// An environment whose components a copy shares.
pub(crate) struct Lender<'a> {
    pub(crate) name: &'a str,
    pub(crate) spec: &'a EnvironmentSpec,
}

/// An environment that is copied, as it is known.
pub(crate) struct Original<'a> {
    pub(crate) key: EnvironmentKey,
    pub(crate) spec: &'a EnvironmentSpec,
    /// The release that it was last brought to.
    pub(crate) release: Option<Release>,
}

impl Subject {
    /// A copy of an environment; `secret` is what nobody can guess, another one for each copy.
    pub(crate) fn copy(
        key: EnvironmentKey,
        spec: &EnvironmentSpec,
        (original, lender): (Original<'_>, Option<Lender<'_>>),
        stack: &StackSpec,
        domain: &str,
        secret: [u8; 32],
    ) -> Result<Self, Error> {
        let errors = validate_stack(stack);
        if !errors.is_empty() {
            return Err(Error::Invalid { kind: "Stack", name: original.spec.stack.clone(), errors });
        }
        let mut errors = validate_environment(&key.name, spec, Some(stack));
        if !spec.stack.is_empty() && spec.stack != original.spec.stack {
            let message = format!("{} runs stack {:?}: leave it out", original.key, original.spec.stack);
            errors.push(FieldError { field: "spec.stack".to_owned(), message });
        }
        for (index, deviation) in spec.overrides.iter().enumerate() {
            if seaway_environments::shared(stack).any(|component| component.name == deviation.component) {
                let message = format!(
                    "{:?} is shared: copies use that of another environment, and do not run their own",
                    deviation.component
                );
                errors.push(FieldError { field: format!("spec.overrides[{index}].component"), message });
            }
        }
        if !errors.is_empty() {
            return Err(Error::Invalid { kind: "Environment", name: key.name, errors });
        }
        let mut copy =
            Copy::new(&key.name, (&original.key.name, original.spec), stack, domain).map_err(Error::Copy)?;
        if let Some(lender) = lender {
            copy = copy.sharing(stack, original.spec, (lender.name, lender.spec)).map_err(Error::Copy)?;
        }
        let Some(base) = original.release else {
            return Err(Error::NoRelease(format!(
                "{} has not been brought to any release yet: there is nothing to copy",
                original.key
            )));
        };
        Ok(Self {
            spec: copy.spec(spec, original.spec),
            stack: copy.stack(spec, stack).map_err(Error::Copy)?,
            copied: Some(Copied {
                owner: seaway_api::owner(&key.namespace).map(str::to_owned),
                original: original.key,
                copy,
                base,
                seed: secret,
            }),
            key,
            ending: false,
        })
    }

    /// What the environment that this one is a copy of runs of a component.
    pub(crate) fn base(&self, component: &str) -> Option<&ReleaseComponent> {
        self.copied.as_ref()?.base.component(component)
    }

    pub(crate) fn new(key: EnvironmentKey, spec: EnvironmentSpec, stack: StackSpec) -> Result<Self, Error> {
        let errors = validate_stack(&stack);
        if !errors.is_empty() {
            return Err(Error::Invalid { kind: "Stack", name: spec.stack, errors });
        }
        let errors = validate_environment(&key.name, &spec, Some(&stack));
        if !errors.is_empty() {
            return Err(Error::Invalid { kind: "Environment", name: key.name, errors });
        }
        Ok(Self { key, spec, stack, copied: None, ending: false })
    }

    /// Files of a component that are not read in a copy: pattern of the path, and what it reads instead.
    pub(crate) fn replaced_files(&self, component: &str) -> Vec<(String, String)> {
        let files = self.copied.iter().flat_map(|_| self.stack.files_of(component));
        let replaced = files.filter_map(|kept| Some((kept.file.clone()?, kept.stand_in.content.clone()?)));
        replaced.collect()
    }

    /// Name of the ApplySet's parent.
    pub(crate) fn parent(&self) -> String {
        applyset::parent_name(&self.key.namespace, &self.key.name)
    }

    pub(crate) fn belonging(&self) -> Belonging {
        let namespace = self.spec.destination.namespace.clone();
        Belonging {
            environment: self.key.name.clone(),
            apply_set: applyset::id(&namespace, &self.parent()),
            namespace,
        }
    }

    pub(crate) fn allowed(&self) -> plan::Allowed {
        plan::Allowed {
            namespaces: self.spec.destination.all_namespaces().map(str::to_owned).collect(),
            cluster_kinds: self.cluster_kinds().iter().cloned().collect(),
            own_accounts: self.copied.is_some(),
        }
    }

    /// The cluster-scoped kinds that it may hold: none for a copy, which shares those of what it copies.
    pub(crate) fn cluster_kinds(&self) -> &[String] {
        if self.copied.is_some() { &[] } else { self.stack.cluster_kinds() }
    }

    pub(crate) fn policy(&self) -> plan::Policy {
        plan::Policy {
            prune: self.spec.sync.prune,
            allow_empty: self.spec.sync.allow_empty,
            force_conflicts: self.spec.sync.force_conflicts,
            ending: self.ending,
        }
    }

    /// When the first of the overrides that count now will not count any more.
    pub(crate) fn next_expiry(&self, now: Timestamp) -> Option<Timestamp> {
        let times = self.spec.overrides.iter().filter_map(|o| o.expires.as_deref()?.parse().ok());
        times.filter(|time| *time > now).min()
    }
}
