//! What an object asks for in its annotations: when it is applied, how, and whether it may be deleted.
//!
//! Argo CD's annotations work unchanged, Helm's hooks as Argo CD maps them, and Flux' two most used ones. Seaway's own
//! are `seaway.dev/sync-wave`, `seaway.dev/hook`, `seaway.dev/hook-delete-policy`, `seaway.dev/deadline` (seconds) and
//! `seaway.dev/options`, a list of `replace`, `force`, `create-only`, `skip`, `prune-last`, `confirm`, `protect`.

use std::time::Duration;

use seaway_object::identity::annotation;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// When, within a component.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Phase {
    /// Hooks before anything else (Argo CD's PreSync).
    Before,
    /// The objects themselves.
    #[default]
    Sync,
    /// Hooks once everything is healthy (PostSync).
    After,
    /// Hooks when the sync has failed (SyncFail).
    Failure,
}

impl Phase {
    /// As it is printed.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Before => "before",
            Self::Sync => "sync",
            Self::After => "after",
            Self::Failure => "failure",
        }
    }
}

/// When a hook is deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HookDeletion {
    /// Before it runs again.
    BeforeCreation,
    /// When it has succeeded.
    Succeeded,
    /// When it has failed.
    Failed,
}

/// Whether an object may be deleted once it has left Git.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Prune {
    /// Yes.
    #[default]
    Allowed,
    /// No.
    Never,
    /// When a person has said so by an annotation.
    Confirm,
}

/// Everything that an object asks for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ObjectOptions {
    /// Objects of lower waves come first.
    pub wave: i32,
    /// The phases in which the object runs as a hook; empty: it is no hook.
    pub hooks: Vec<Phase>,
    /// When the hook is deleted; never empty for a hook.
    pub hook_deletion: Vec<HookDeletion>,
    /// How long it may take to become healthy, or a hook to end; absent: as long as the environment gives a wave.
    pub deadline: Option<Duration>,
    /// It is neither applied nor pruned.
    pub skip: bool,
    /// It is created if it is missing, and left alone otherwise.
    pub create_only: bool,
    /// It is replaced as a whole.
    pub replace: bool,
    /// It is deleted and created anew when it cannot be changed.
    pub force: bool,
    /// It is pruned after everything else.
    pub prune_last: bool,
    /// Whether it may be pruned.
    pub prune: Prune,
    /// It does not count as out of sync while it is there without being in Git.
    pub ignore_extraneous: bool,
}

impl ObjectOptions {
    /// What the annotations of an object say. Words that nobody knows are passed over, as Argo CD does.
    pub fn of(object: &Value) -> Self {
        let mut options = Self::default();
        let waves = ["seaway.dev/sync-wave", "argocd.argoproj.io/sync-wave", "helm.sh/hook-weight"];
        options.wave =
            waves.iter().find_map(|key| annotation(object, key)?.trim().parse().ok()).unwrap_or_default();
        let seconds = annotation(object, "seaway.dev/deadline").and_then(|text| text.trim().parse().ok());
        options.deadline = seconds.map(|seconds: u32| Duration::from_secs(seconds.into()));
        options.read_hooks(object);
        for word in words(object, "argocd.argoproj.io/sync-options") {
            match word {
                "Prune=false" | "Delete=false" => options.prune = Prune::Never,
                "Prune=confirm" | "Delete=confirm" => options.prune = Prune::Confirm,
                "PruneLast=true" => options.prune_last = true,
                "Replace=true" => options.replace = true,
                "Force=true" => options.force = true,
                _ => {}
            }
        }
        for word in words(object, "argocd.argoproj.io/compare-options") {
            if word == "IgnoreExtraneous" {
                options.ignore_extraneous = true;
            }
        }
        match annotation(object, "kustomize.toolkit.fluxcd.io/ssa") {
            Some("IfNotPresent") => options.create_only = true,
            Some("Ignore") => options.skip = true,
            _ => {}
        }
        if annotation(object, "kustomize.toolkit.fluxcd.io/prune") == Some("disabled") {
            options.prune = Prune::Never;
        }
        for word in words(object, "seaway.dev/options") {
            match word {
                "replace" => options.replace = true,
                "force" => options.force = true,
                "create-only" => options.create_only = true,
                "skip" => options.skip = true,
                "prune-last" => options.prune_last = true,
                "confirm" => options.prune = Prune::Confirm,
                "protect" => options.prune = Prune::Never,
                _ => {}
            }
        }
        options
    }

    fn read_hooks(&mut self, object: &Value) {
        let own = ["seaway.dev/hook", "argocd.argoproj.io/hook"];
        let key = own.into_iter().find(|key| annotation(object, key).is_some()).unwrap_or("helm.sh/hook");
        for word in words(object, key) {
            let phase = match word {
                "PreSync" | "before" | "pre-install" | "pre-upgrade" => Phase::Before,
                "Sync" | "sync" => Phase::Sync,
                "PostSync" | "after" | "post-install" | "post-upgrade" => Phase::After,
                "SyncFail" | "failure" => Phase::Failure,
                // Hooks of moments that Seaway does not have are not applied at any other.
                "Skip" | "PreDelete" | "PostDelete" | "pre-delete" | "post-delete" | "pre-rollback"
                | "post-rollback" | "test" | "test-success" => {
                    self.skip = true;
                    continue;
                }
                // `crd-install` is an ordinary object today.
                _ => continue,
            };
            if !self.hooks.contains(&phase) {
                self.hooks.push(phase);
            }
        }
        if self.hooks.is_empty() {
            return;
        }
        self.skip = false;
        let policies = [
            "seaway.dev/hook-delete-policy",
            "argocd.argoproj.io/hook-delete-policy",
            "helm.sh/hook-delete-policy",
        ];
        for word in policies.into_iter().flat_map(|key| words(object, key)) {
            self.hook_deletion.push(match word {
                "BeforeHookCreation" | "before-hook-creation" => HookDeletion::BeforeCreation,
                "HookSucceeded" | "hook-succeeded" => HookDeletion::Succeeded,
                "HookFailed" | "hook-failed" => HookDeletion::Failed,
                _ => continue,
            });
        }
        if self.hook_deletion.is_empty() {
            self.hook_deletion.push(HookDeletion::BeforeCreation);
        }
    }

    /// Whether it runs as a hook and is not kept.
    pub fn is_hook(&self) -> bool {
        !self.hooks.is_empty()
    }
}

/// Whether a person has agreed to the deletion of this live object.
pub fn deletion_approved(live: &Value) -> bool {
    ["seaway.dev/deletion-approved", "argocd.argoproj.io/deletion-approved"]
        .iter()
        .any(|key| annotation(live, key).is_some_and(|value| !value.is_empty() && value != "false"))
}

fn words<'a>(object: &'a Value, key: &str) -> impl Iterator<Item = &'a str> {
    annotation(object, key).unwrap_or_default().split(',').map(str::trim).filter(|word| !word.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn options(annotations: &[(&str, &str)]) -> ObjectOptions {
        let map: serde_json::Map<String, Value> =
            annotations.iter().map(|(key, value)| ((*key).to_owned(), Value::from(*value))).collect();
        ObjectOptions::of(&json!({"metadata": {"annotations": map}}))
    }

    #[test]
    fn annotations_of_argo_cd_work_unchanged() {
        let read = options(&[
            ("argocd.argoproj.io/sync-wave", "-5"),
            ("argocd.argoproj.io/sync-options", "Prune=false, Replace=true,PruneLast=true,Validate=false"),
            ("argocd.argoproj.io/compare-options", "IgnoreExtraneous"),
        ]);
        assert_eq!(read.wave, -5);
        assert_eq!(read.prune, Prune::Never);
        assert!(read.replace && read.prune_last && read.ignore_extraneous && !read.is_hook());
        let hook = options(&[
            ("argocd.argoproj.io/hook", "PreSync,PostSync"),
            ("argocd.argoproj.io/hook-delete-policy", "HookSucceeded"),
        ]);
        assert_eq!(hook.hooks, [Phase::Before, Phase::After]);
        assert_eq!(hook.hook_deletion, [HookDeletion::Succeeded]);
        assert!(options(&[("argocd.argoproj.io/hook", "Skip")]).skip);
    }

    #[test]
    fn hooks_of_helm_are_mapped_and_those_of_argo_cd_win() {
        let helm = options(&[("helm.sh/hook", "pre-install,pre-upgrade"), ("helm.sh/hook-weight", "3")]);
        assert_eq!((helm.hooks.as_slice(), helm.wave), ([Phase::Before].as_slice(), 3));
        assert_eq!(helm.hook_deletion, [HookDeletion::BeforeCreation]);
        let both = options(&[("helm.sh/hook", "pre-install"), ("argocd.argoproj.io/hook", "PostSync")]);
        assert_eq!(both.hooks, [Phase::After]);
        assert!(options(&[("helm.sh/hook", "test")]).skip);
        assert!(!options(&[("helm.sh/hook", "crd-install")]).is_hook());
    }

    #[test]
    fn own_options_and_those_of_flux() {
        let own = options(&[("seaway.dev/options", "create-only, confirm"), ("seaway.dev/sync-wave", "2")]);
        assert!(own.create_only);
        assert_eq!((own.prune, own.wave, own.deadline), (Prune::Confirm, 2, None));
        let own = options(&[
            ("seaway.dev/options", "replace,force,skip,prune-last,protect"),
            ("seaway.dev/hook-delete-policy", "HookFailed"),
            ("seaway.dev/hook", "before"),
            ("seaway.dev/deadline", "90"),
        ]);
        assert!(own.replace && own.force && own.skip && own.prune_last);
        assert_eq!(own.prune, Prune::Never);
        assert_eq!(
            (own.hooks.as_slice(), own.deadline),
            ([Phase::Before].as_slice(), Some(Duration::from_secs(90)))
        );
        assert_eq!(own.hook_deletion, [HookDeletion::Failed]);
        assert_eq!(options(&[("seaway.dev/deadline", "soon")]).deadline, None);
        let flux = options(&[
            ("kustomize.toolkit.fluxcd.io/ssa", "IfNotPresent"),
            ("kustomize.toolkit.fluxcd.io/prune", "disabled"),
        ]);
        assert!(flux.create_only);
        assert_eq!(flux.prune, Prune::Never);
        assert_eq!(options(&[("argocd.argoproj.io/sync-wave", "soon")]).wave, 0);
    }
}
