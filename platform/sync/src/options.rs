//! What an object asks for in its annotations: when it is applied, how, and whether it may be deleted.
//!
//! Argo CD's annotations work unchanged, Helm's hooks as Argo CD maps them, and Flux' two most used ones. Seaway's own
//! are `seaway.dev/sync-wave`, `seaway.dev/hook`, `seaway.dev/hook-delete-policy`, `seaway.dev/deadline` (seconds) and
//! `seaway.dev/options`, a list of `replace`, `force`, `create-only`, `skip`, `prune-last`, `confirm`, `protect`.
//!
//! Hooks of syncs are `before`, `sync`, `after` and `failure`; those of the end of an environment are `before-delete` and
//! `after-delete` (Argo CD's PreDelete and PostDelete).

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

/// When, at the end of an environment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EndPhase {
    /// Before anything is deleted (Argo CD's PreDelete).
    BeforeDelete,
    /// Once all of it is (PostDelete).
    AfterDelete,
}

impl EndPhase {
    /// As it is printed.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::BeforeDelete => "before-delete",
            Self::AfterDelete => "after-delete",
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
    /// Never: it is applied over what is there.
    Never,
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

/// What becomes of an object's children when it is deleted (`metav1.DeletionPropagation`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Propagation {
    /// They go after it.
    #[default]
    Background,
    /// They go before it.
    Foreground,
    /// They stay.
    Orphan,
}

/// Everything that an object asks for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ObjectOptions {
    /// Objects of lower waves come first.
    pub wave: i32,
    /// The phases in which the object runs as a hook; empty: it is no hook.
    pub hooks: Vec<Phase>,
    /// When it runs as a hook at the end of its environment.
    pub at_end: Vec<EndPhase>,
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
    /// Whether it may be deleted at the end of its environment.
    pub delete: Prune,
    /// What becomes of its children when it is deleted.
    pub propagation: Propagation,
    /// It may be of a kind that the cluster does not know yet.
    pub late_kind: bool,
    /// Its health says nothing of that of its environment.
    pub ignore_health: bool,
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
                "Prune=false" => options.prune = Prune::Never,
                "Prune=confirm" => options.prune = Prune::Confirm,
                "Delete=false" => options.delete = Prune::Never,
                "Delete=confirm" => options.delete = Prune::Confirm,
                "SkipDryRunOnMissingResource=true" => options.late_kind = true,
                "PruneLast=true" => options.prune_last = true,
                "PrunePropagationPolicy=foreground" => options.propagation = Propagation::Foreground,
                "PrunePropagationPolicy=orphan" => options.propagation = Propagation::Orphan,
                "Replace=true" => options.replace = true,
                "Force=true" => options.force = true,
                _ => {}
            }
        }
        for word in words(object, "argocd.argoproj.io/compare-options") {
            // The second one is what it was called before.
            if matches!(word, "IgnoreExtraneous" | "IgnoreNeedsPruning") {
                options.ignore_extraneous = true;
            }
        }
        match annotation(object, "kustomize.toolkit.fluxcd.io/ssa") {
            Some("IfNotPresent") => options.create_only = true,
            Some("Ignore") => options.skip = true,
            _ => {}
        }
        options.ignore_health = annotation(object, "argocd.argoproj.io/ignore-healthcheck") == Some("true");
        if annotation(object, "kustomize.toolkit.fluxcd.io/prune") == Some("disabled") {
            (options.prune, options.delete) = (Prune::Never, Prune::Never);
        }
        for word in words(object, "seaway.dev/options") {
            match word {
                "replace" => options.replace = true,
                "force" => options.force = true,
                "create-only" => options.create_only = true,
                "skip" => options.skip = true,
                "prune-last" => options.prune_last = true,
                "confirm" => (options.prune, options.delete) = (Prune::Confirm, Prune::Confirm),
                "protect" => (options.prune, options.delete) = (Prune::Never, Prune::Never),
                _ => {}
            }
        }
        options
    }

    fn read_hooks(&mut self, object: &Value) {
        let own = ["seaway.dev/hook", "argocd.argoproj.io/hook"];
        let key = own.into_iter().find(|key| annotation(object, key).is_some()).unwrap_or("helm.sh/hook");
        let mut at_end = |phase| {
            if !self.at_end.contains(&phase) {
                self.at_end.push(phase);
            }
        };
        for word in words(object, key) {
            let phase = match word {
                "PreSync" | "before" | "pre-install" | "pre-upgrade" => Phase::Before,
                "Sync" | "sync" => Phase::Sync,
                "PostSync" | "after" | "post-install" | "post-upgrade" => Phase::After,
                "SyncFail" | "failure" => Phase::Failure,
                "PreDelete" | "before-delete" | "pre-delete" => {
                    at_end(EndPhase::BeforeDelete);
                    continue;
                }
                "PostDelete" | "after-delete" | "post-delete" => {
                    at_end(EndPhase::AfterDelete);
                    continue;
                }
                // Hooks of moments that Seaway does not have are not applied at any other.
                "Skip" | "pre-rollback" | "post-rollback" | "test" | "test-success" => {
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
        if self.hooks.is_empty() && self.at_end.is_empty() {
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
                "Never" => HookDeletion::Never,
                _ => continue,
            });
        }
        if self.hook_deletion.is_empty() {
            self.hook_deletion.push(HookDeletion::BeforeCreation);
        }
    }

    /// Whether it runs as a hook of syncs and is not kept.
    pub fn is_hook(&self) -> bool {
        !self.hooks.is_empty()
    }

    /// Whether it runs as a hook at the end of its environment and at no other time.
    pub fn only_at_end(&self) -> bool {
        self.hooks.is_empty() && !self.at_end.is_empty()
    }
}

/// What an object asks for and does not get: each names the annotation, the word and what happens instead.
pub fn warnings(object: &Value) -> Vec<String> {
    let mut warnings = Vec::new();
    let mut warn =
        |key: &str, word: &str, why: &str| warnings.push(format!("{key}: {word} is ignored: {why}"));
    for key in ["seaway.dev/sync-wave", "argocd.argoproj.io/sync-wave", "helm.sh/hook-weight"] {
        if let Some(word) = annotation(object, key).filter(|word| word.trim().parse::<i32>().is_err()) {
            warn(key, word, "a wave is a whole number");
        }
    }
    if let Some(word) =
        annotation(object, "seaway.dev/deadline").filter(|word| word.trim().parse::<u32>().is_err())
    {
        warn("seaway.dev/deadline", word, "a deadline is a number of seconds");
    }
    for (key, known) in [
        (
            "seaway.dev/hook",
            ["before", "sync", "after", "failure", "before-delete", "after-delete"].as_slice(),
        ),
        (
            "argocd.argoproj.io/hook",
            &["PreSync", "Sync", "PostSync", "SyncFail", "Skip", "PreDelete", "PostDelete"],
        ),
    ] {
        for word in words(object, key).filter(|word| !known.contains(word)) {
            warn(key, word, &format!("hooks are {}", known.join(", ")));
        }
    }
    for (key, known) in [
        (
            "seaway.dev/hook-delete-policy",
            ["BeforeHookCreation", "HookSucceeded", "HookFailed", "Never"].as_slice(),
        ),
        (
            "argocd.argoproj.io/hook-delete-policy",
            &["BeforeHookCreation", "HookSucceeded", "HookFailed", "Never"],
        ),
        (
            "seaway.dev/options",
            &["replace", "force", "create-only", "skip", "prune-last", "confirm", "protect"],
        ),
    ] {
        for word in words(object, key).filter(|word| !known.contains(word)) {
            warn(key, word, &format!("it knows {}", known.join(", ")));
        }
    }
    for word in words(object, "argocd.argoproj.io/sync-options") {
        let why = match word {
            "Prune=true"
            | "Prune=false"
            | "Prune=confirm"
            | "Delete=true"
            | "Delete=false"
            | "Delete=confirm"
            | "PruneLast=true"
            | "PruneLast=false"
            | "PrunePropagationPolicy=background"
            | "PrunePropagationPolicy=foreground"
            | "PrunePropagationPolicy=orphan"
            | "Replace=true"
            | "Replace=false"
            | "Force=true"
            | "Force=false"
            | "SkipDryRunOnMissingResource=true"
            | "SkipDryRunOnMissingResource=false" => continue,
            // What they turn on is always so.
            "ServerSideApply=true"
            | "ApplyOutOfSyncOnly=true"
            | "FailOnSharedResource=true"
            | "RespectIgnoreDifferences=true"
            | "CreateNamespace=true"
            | "Validate=true" => continue,
            "ServerSideApply=false" => "everything is applied by the server",
            "Validate=false" => "the server says what it does not take",
            "ApplyOutOfSyncOnly=false" => "what is as it should be is not sent again",
            "FailOnSharedResource=false" => "two environments cannot own one object",
            "RespectIgnoreDifferences=false" => "what is ignored is not overwritten either",
            "CreateNamespace=false" => "an environment's namespaces are made when they are missing",
            word if word.starts_with("PrunePropagationPolicy=") => "it is background, foreground or orphan",
            word if word.starts_with("ClientSideApplyMigration=") => {
                "fields that were last changed by updates are taken over anyway"
            }
            _ => "nobody here knows it",
        };
        warn("argocd.argoproj.io/sync-options", word, why);
    }
    for word in words(object, "argocd.argoproj.io/compare-options") {
        let why = match word {
            "IgnoreExtraneous"
            | "IgnoreNeedsPruning"
            | "ServerSideDiff=true"
            | "IncludeMutationWebhook=true" => continue,
            "ServerSideDiff=false" => "the server's own dry run has the last word on what differs",
            "IncludeMutationWebhook=false" => "what webhooks change is part of the server's dry run",
            _ => "nobody here knows it",
        };
        warn("argocd.argoproj.io/compare-options", word, why);
    }
    if let Some(word) = annotation(object, "argocd.argoproj.io/health-aggregate-overrides") {
        let why = "health is shown as it is; argocd.argoproj.io/ignore-healthcheck leaves an object out";
        warn("argocd.argoproj.io/health-aggregate-overrides", word, why);
    }
    if let Some(word) = annotation(object, "kustomize.toolkit.fluxcd.io/ssa") {
        match word {
            "IfNotPresent" | "Ignore" | "Merge" => {}
            _ => warn(
                "kustomize.toolkit.fluxcd.io/ssa",
                word,
                "fields of other appliers are conflicts: see sync.forceConflicts",
            ),
        }
    }
    for key in ["kustomize.toolkit.fluxcd.io/force", "kustomize.toolkit.fluxcd.io/substitute"] {
        if let Some(word) = annotation(object, key) {
            warn(key, word, "seaway.dev/options has what there is");
        }
    }
    warnings
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
        let never = options(&[
            ("argocd.argoproj.io/hook", "PreSync"),
            ("argocd.argoproj.io/hook-delete-policy", "Never"),
        ]);
        assert_eq!(never.hook_deletion, [HookDeletion::Never]);
        // At the end of the application alone, and when it leaves Git alone.
        let of = |word| {
            let read = options(&[("argocd.argoproj.io/sync-options", word)]);
            (read.prune, read.delete)
        };
        assert_eq!(of("Delete=false"), (Prune::Allowed, Prune::Never));
        assert_eq!(of("Delete=confirm"), (Prune::Allowed, Prune::Confirm));
        assert_eq!(of("Prune=false"), (Prune::Never, Prune::Allowed));
        assert!(
            options(&[("argocd.argoproj.io/sync-options", "SkipDryRunOnMissingResource=true")]).late_kind
        );
        assert!(options(&[("argocd.argoproj.io/ignore-healthcheck", "true")]).ignore_health);
        assert!(options(&[("argocd.argoproj.io/compare-options", "IgnoreNeedsPruning")]).ignore_extraneous);
    }

    #[test]
    fn what_is_not_honoured_is_named_with_the_reason() {
        let warned = |key: &str, value: &str| warnings(&json!({"metadata": {"annotations": {key: value}}}));
        for (key, value) in [
            ("argocd.argoproj.io/sync-wave", "-3"),
            ("argocd.argoproj.io/hook", "PreSync,Sync,PostSync,SyncFail,Skip,PreDelete,PostDelete"),
            ("seaway.dev/hook", "before-delete,after-delete"),
            ("argocd.argoproj.io/hook-delete-policy", "BeforeHookCreation,HookSucceeded,HookFailed,Never"),
            (
                "argocd.argoproj.io/sync-options",
                "Prune=false,Delete=confirm,PruneLast=true,Replace=true,Force=true",
            ),
            ("argocd.argoproj.io/sync-options", "ServerSideApply=true,SkipDryRunOnMissingResource=true"),
            ("argocd.argoproj.io/sync-options", "RespectIgnoreDifferences=true,FailOnSharedResource=true"),
            (
                "argocd.argoproj.io/compare-options",
                "IgnoreExtraneous, ServerSideDiff=true,IncludeMutationWebhook=true",
            ),
            ("argocd.argoproj.io/tracking-id", "shop:apps/Deployment:shop/web"),
            ("argocd.argoproj.io/ignore-healthcheck", "true"),
            ("link.argocd.argoproj.io/docs", "https://example.com"),
        ] {
            assert_eq!(warned(key, value), Vec::<String>::new(), "{key}");
        }
        for (key, value, word) in [
            ("argocd.argoproj.io/sync-wave", "soon", "soon"),
            ("argocd.argoproj.io/hook", "presync", "presync"),
            ("argocd.argoproj.io/hook-delete-policy", "Sometimes", "Sometimes"),
            ("argocd.argoproj.io/sync-options", "Prune=false,Validate=false", "Validate=false"),
            ("argocd.argoproj.io/sync-options", "ServerSideApply=false", "ServerSideApply=false"),
            (
                "argocd.argoproj.io/sync-options",
                "PrunePropagationPolicy=later",
                "PrunePropagationPolicy=later",
            ),
            ("argocd.argoproj.io/sync-options", "prune=false", "prune=false"),
            ("argocd.argoproj.io/compare-options", "ServerSideDiff=false", "ServerSideDiff=false"),
            ("argocd.argoproj.io/health-aggregate-overrides", "Suspended=Healthy", "Suspended=Healthy"),
            ("seaway.dev/options", "protect,keep", "keep"),
            ("seaway.dev/deadline", "soon", "soon"),
            ("kustomize.toolkit.fluxcd.io/ssa", "Override", "Override"),
        ] {
            let warnings = warned(key, value);
            assert_eq!(warnings.len(), 1, "{key}: {value}: {warnings:?}");
            assert!(warnings[0].starts_with(&format!("{key}: {word} is ignored: ")), "{warnings:?}");
        }
    }

    #[test]
    fn hooks_of_the_end_run_at_no_other_time_unless_they_ask_for_it() {
        let of = |key: &str, words: &str| options(&[(key, words)]);
        let end = of("argocd.argoproj.io/hook", "PreDelete,PostDelete,PreDelete");
        assert_eq!(end.at_end, [EndPhase::BeforeDelete, EndPhase::AfterDelete]);
        assert!(end.only_at_end() && !end.is_hook() && !end.skip);
        assert_eq!(end.hook_deletion, [HookDeletion::BeforeCreation]);
        assert_eq!(of("seaway.dev/hook", "after-delete").at_end, [EndPhase::AfterDelete]);
        let both = of("argocd.argoproj.io/hook", "PreSync,PreDelete");
        assert!(both.is_hook() && !both.only_at_end() && both.at_end == [EndPhase::BeforeDelete]);
        let skipped = options(&[("seaway.dev/hook", "before-delete"), ("seaway.dev/options", "skip")]);
        assert!(skipped.skip, "what is skipped is so at the end as well");
    }

    #[test]
    fn hooks_of_helm_are_mapped_and_those_of_argo_cd_win() {
        let helm = options(&[("helm.sh/hook", "pre-install,pre-upgrade"), ("helm.sh/hook-weight", "3")]);
        assert_eq!((helm.hooks.as_slice(), helm.wave), ([Phase::Before].as_slice(), 3));
        assert_eq!(helm.hook_deletion, [HookDeletion::BeforeCreation]);
        let both = options(&[("helm.sh/hook", "pre-install"), ("argocd.argoproj.io/hook", "PostSync")]);
        assert_eq!(both.hooks, [Phase::After]);
        assert!(options(&[("helm.sh/hook", "test")]).skip);
        let end =
            options(&[("helm.sh/hook", "pre-delete,test"), ("helm.sh/hook-delete-policy", "hook-failed")]);
        assert_eq!((end.at_end.as_slice(), end.skip), ([EndPhase::BeforeDelete].as_slice(), false));
        assert_eq!(end.hook_deletion, [HookDeletion::Failed]);
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
