//! In which order the objects of an environment are applied.
//!
//! Components by what they depend on; inside a component by phase, wave, kind and name.

use std::collections::{BTreeMap, BTreeSet};

use seaway_object::{ObjectId, order::install_rank};

use crate::options::{ObjectOptions, Phase};

/// What is applied together, before anything of the next stage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stage {
    /// The phase.
    pub phase: Phase,
    /// The wave.
    pub wave: i32,
    /// Indexes of the objects, grouped: those of one group need nothing of each other.
    pub groups: Vec<Vec<usize>>,
}

/// The stages of one component. An object that is a hook of several phases is in several stages, one that is skipped,
/// or that runs at the end of its environment alone, in none. Stages of [`Phase::Failure`] come last and run only when
/// another one fails.
pub fn stages<'a>(objects: impl IntoIterator<Item = (usize, &'a ObjectId, &'a ObjectOptions)>) -> Vec<Stage> {
    type Groups<'a> = BTreeMap<usize, Vec<(&'a ObjectId, usize)>>;
    let mut found: BTreeMap<(Phase, i32), Groups<'_>> = BTreeMap::new();
    for (index, id, options) in objects {
        if options.skip || options.only_at_end() {
            continue;
        }
        let phases = if options.hooks.is_empty() { &[Phase::Sync][..] } else { &options.hooks };
        for phase in phases {
            let stage = found.entry((*phase, options.wave)).or_default();
            stage.entry(install_rank(&id.kind)).or_default().push((id, index));
        }
    }
    found
        .into_iter()
        .map(|((phase, wave), groups)| {
            let groups = groups.into_values().map(|mut group| {
                group.sort_unstable();
                group.into_iter().map(|(_, index)| index).collect()
            });
            Stage { phase, wave, groups: groups.collect() }
        })
        .collect()
}

/// For each component those that must be done before it may start, without names that are no component.
/// Components in a circle (a validated stack has none) wait for nobody, so that nothing waits for ever.
pub fn dependencies<'a>(
    components: impl IntoIterator<Item = (&'a str, &'a [String])>,
) -> BTreeMap<String, BTreeSet<String>> {
    let given: BTreeMap<&str, &[String]> = components.into_iter().collect();
    let mut open: BTreeMap<String, BTreeSet<String>> = given
        .iter()
        .map(|(name, needs)| {
            let known = needs.iter().filter(|need| given.contains_key(need.as_str())).cloned().collect();
            ((*name).to_owned(), known)
        })
        .collect();
    let mut done: BTreeSet<String> = BTreeSet::new();
    loop {
        let ready: Vec<String> = open
            .iter()
            .filter(|(name, needs)| !done.contains(*name) && needs.is_subset(&done))
            .map(|(name, _)| name.clone())
            .collect();
        if ready.is_empty() {
            break;
        }
        done.extend(ready);
    }
    for (name, needs) in &mut open {
        if !done.contains(name) {
            needs.clear();
        }
    }
    open
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(kind: &str, name: &str) -> ObjectId {
        ObjectId { group: String::new(), kind: kind.into(), namespace: None, name: name.into() }
    }

    #[test]
    fn phases_then_waves_then_kinds_then_names() {
        let plain = ObjectOptions::default();
        let wave = |wave| ObjectOptions { wave, ..ObjectOptions::default() };
        let hook = |phase| ObjectOptions { hooks: vec![phase], ..ObjectOptions::default() };
        let objects = [
            (id("Deployment", "web"), plain.clone()),
            (id("ConfigMap", "b"), plain.clone()),
            (id("ConfigMap", "a"), plain),
            (id("Job", "smoke"), hook(Phase::After)),
            (id("Job", "migrate"), hook(Phase::Before)),
            (id("ConfigMap", "early"), wave(-1)),
            (id("Service", "late"), wave(7)),
            (id("Job", "alarm"), hook(Phase::Failure)),
            (id("Job", "never"), ObjectOptions { skip: true, ..ObjectOptions::default() }),
        ];
        let stages = stages(objects.iter().enumerate().map(|(index, (id, options))| (index, id, options)));
        let seen: Vec<_> =
            stages.iter().map(|stage| (stage.phase, stage.wave, stage.groups.clone())).collect();
        assert_eq!(
            seen,
            [
                (Phase::Before, 0, vec![vec![4]]),
                (Phase::Sync, -1, vec![vec![5]]),
                (Phase::Sync, 0, vec![vec![2, 1], vec![0]]),
                (Phase::Sync, 7, vec![vec![6]]),
                (Phase::After, 0, vec![vec![3]]),
                (Phase::Failure, 0, vec![vec![7]]),
            ]
        );
    }

    #[test]
    fn an_object_can_be_the_hook_of_several_phases() {
        let both = ObjectOptions { hooks: vec![Phase::Before, Phase::After], ..ObjectOptions::default() };
        let job = id("Job", "check");
        let phases: Vec<Phase> = stages([(0, &job, &both)]).iter().map(|stage| stage.phase).collect();
        assert_eq!(phases, [Phase::Before, Phase::After]);
    }

    #[test]
    fn components_wait_for_what_they_depend_on_and_circles_for_nobody() {
        let needs = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let (a, b, c) = (needs(&["b"]), needs(&["ghost"]), needs(&["d"]));
        let d = needs(&["c"]);
        let all = dependencies([("a", a.as_slice()), ("b", &b), ("c", &c), ("d", &d)]);
        assert_eq!(all["a"], BTreeSet::from(["b".to_owned()]));
        assert!(all["b"].is_empty() && all["c"].is_empty() && all["d"].is_empty());
    }
}
