//! Hooks of an environment's end: they are kept with what is remembered of it, since Git may be away by then.

use seaway_object::redact::is_secret;

use super::{Action, PlannedObject};
use crate::options::{EndPhase, ObjectOptions};

/// So much of them is kept of one environment, in bytes of JSON.
pub(super) const MOST: usize = 256 << 10;

/// When a hook of the end runs, for people; empty for what is none.
pub(crate) fn when(options: &ObjectOptions) -> String {
    if options.at_end.is_empty() {
        return String::new();
    }
    let phases = options.at_end.iter().map(|phase| match phase {
        EndPhase::BeforeDelete => "before anything is deleted",
        EndPhase::AfterDelete => "once everything is deleted",
    });
    let phases = phases.collect::<Vec<_>>().join(" and ");
    let also = if options.is_hook() { "with a release, and " } else { "" };
    format!("runs {also}at the end of the environment, {phases}")
}

/// What is remembered is read by more people than Secrets are, and in memory for many environments.
pub(super) fn forbid_what_cannot_be_kept(objects: &mut [PlannedObject]) {
    let mut size = 0;
    let at_end = objects
        .iter_mut()
        .filter(|planned| !planned.options.at_end.is_empty() && !planned.action.is_blocking());
    for planned in at_end {
        let Some(value) = &planned.value else { continue };
        if is_secret(value) {
            planned.action = Action::Invalid;
            planned.message = "a Secret is no hook of the environment's end, as these are kept with its records: let it \
                               be an ordinary object, which is there until everything is deleted, or an ExternalSecret"
                .to_owned();
            continue;
        }
        size += value.to_string().len();
        if size > MOST {
            planned.action = Action::Invalid;
            planned.message = format!(
                "with it the hooks of the environment's end are more than {} KiB, which is what is kept of them: keep large \
                 content elsewhere, as in an image",
                MOST >> 10
            );
        }
    }
}
