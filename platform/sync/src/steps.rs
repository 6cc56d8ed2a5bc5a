//! The steps of a sync, as they happen: fetched, rendered, compared, each wave with its objects.
//!
//! A step's id is the same in every sync of an environment that does the same thing, so that an earlier sync tells how
//! long it usually takes.

use std::collections::HashMap;
use std::sync::Arc;

use jiff::Timestamp;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use crate::plan::ObjectRef;

/// More steps of one sync are not kept: nobody reads them, and records are written as a whole.
const MAX_STEPS: usize = 400;
/// Longer messages are cut, in bytes.
const MAX_MESSAGE: usize = 500;

/// What kind of work a step is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum StepKind {
    /// A revision is looked up and fetched from Git.
    Fetch,
    /// A component's files become objects.
    Render,
    /// Another release takes the place of what Git says: that is held, or cannot be made.
    Instead,
    /// The objects are compared with the cluster, by a dry run where that is needed.
    Plan,
    /// A wave of a component is applied and becomes healthy.
    Wave,
    /// An object is applied and becomes healthy.
    Object,
    /// A pod of an object starts.
    Pod,
    /// A part of a pod's start.
    PodStep,
    /// What left Git is deleted.
    Prune,
}

/// How far a step is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum StepState {
    /// It has not begun.
    Waiting,
    /// It goes on.
    Running,
    /// It is done.
    Succeeded,
    /// It went wrong.
    Failed,
    /// A person cancelled the sync before it was done.
    Cancelled,
}

/// One step of a sync.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Step {
    /// Unique within a sync, and the same in each sync that does the same.
    pub id: String,
    /// The step that it is a part of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<String>,
    /// For people.
    pub title: String,
    /// What kind of work.
    pub kind: StepKind,
    /// The object that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub object: Option<ObjectRef>,
    /// How far it is.
    pub state: StepState,
    /// When it began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started: Option<Timestamp>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished: Option<Timestamp>,
    /// What was found, what is waited for, or what went wrong.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// How long it took the last time that it went well, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected_milliseconds: Option<i64>,
}

impl Step {
    /// How long it took, in milliseconds; `None` while it goes on.
    pub fn milliseconds(&self) -> Option<i64> {
        Some(self.finished?.as_millisecond() - self.started?.as_millisecond())
    }
}

/// The steps of the sync that goes on. Clones are the same list.
#[derive(Debug, Clone, Default)]
pub(crate) struct Steps(Arc<Mutex<Vec<Step>>>);

impl Steps {
    /// A step begins now; one of the same id that went on already stays as it is.
    pub(crate) fn begin(
        &self,
        id: impl Into<String>,
        parent: Option<&str>,
        kind: StepKind,
        title: impl Into<String>,
        object: Option<&ObjectRef>,
    ) {
        let id = id.into();
        let mut steps = self.0.lock();
        if steps.len() >= MAX_STEPS || steps.iter().any(|step| step.id == id) {
            return;
        }
        steps.push(Step {
            id,
            parent: parent.map(str::to_owned),
            title: title.into(),
            kind,
            object: object.cloned(),
            state: StepState::Running,
            started: Some(Timestamp::now()),
            finished: None,
            message: String::new(),
            expected_milliseconds: None,
        });
    }

    /// Says what a step waits for.
    pub(crate) fn note(&self, id: &str, message: &str) {
        self.change(id, |step| step.message = cut(message));
    }

    /// A step that goes on has ended well; what is said of it is `message`.
    pub(crate) fn succeed(&self, id: &str, message: &str) {
        self.end(id, StepState::Succeeded, message);
    }

    /// A step that goes on has failed.
    pub(crate) fn fail(&self, id: &str, message: &str) {
        self.end(id, StepState::Failed, message);
    }

    fn end(&self, id: &str, state: StepState, message: &str) {
        self.change(id, |step| {
            if step.state == StepState::Running {
                step.state = state;
                step.finished = Some(Timestamp::now());
                step.message = cut(message);
            }
        });
    }

    fn change(&self, id: &str, change: impl FnOnce(&mut Step)) {
        if let Some(step) = self.0.lock().iter_mut().find(|step| step.id == id) {
            change(step);
        }
    }

    /// Ends what still goes on, since the sync as a whole has ended without it.
    pub(crate) fn close(&self, state: StepState) {
        for step in self.0.lock().iter_mut().filter(|step| step.state == StepState::Running) {
            step.state = state;
            step.finished = Some(Timestamp::now());
        }
    }

    /// All of them, as they are now.
    pub(crate) fn all(&self) -> Vec<Step> {
        self.0.lock().clone()
    }
}

fn cut(message: &str) -> String {
    message[..message.floor_char_boundary(MAX_MESSAGE)].to_owned()
}

/// Notes on each step how long it took in an earlier sync.
pub(crate) fn expect(steps: &mut [Step], earlier: &[Step]) {
    let took: HashMap<&str, i64> = earlier
        .iter()
        .filter(|step| step.state == StepState::Succeeded)
        .filter_map(|step| Some((step.id.as_str(), step.milliseconds()?)))
        .collect();
    for step in steps {
        step.expected_milliseconds = took.get(step.id.as_str()).copied();
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn one(steps: &Steps, id: &str) -> Step {
        steps.all().into_iter().find(|step| step.id == id).unwrap()
    }

    #[test]
    fn a_step_that_has_ended_keeps_how_it_ended() {
        let steps = Steps::default();
        steps.begin("wave/web", None, StepKind::Wave, "web", None);
        steps.note("wave/web", "waits for Deployment web");
        assert_eq!(one(&steps, "wave/web").message, "waits for Deployment web");
        steps.fail("wave/web", "not healthy in time");
        steps.succeed("wave/web", "");
        let step = one(&steps, "wave/web");
        assert_eq!((step.state, step.message.as_str()), (StepState::Failed, "not healthy in time"));
        assert!(step.milliseconds().is_some());
    }

    #[test]
    fn what_goes_on_when_a_sync_ends_ends_with_it() {
        let steps = Steps::default();
        steps.begin("a", None, StepKind::Wave, "a", None);
        steps.begin("b", Some("a"), StepKind::Object, "b", None);
        steps.succeed("b", "");
        steps.close(StepState::Failed);
        assert_eq!(one(&steps, "a").state, StepState::Failed);
        assert_eq!(one(&steps, "b").state, StepState::Succeeded);
    }

    #[test]
    fn an_earlier_sync_says_how_long_a_step_takes() {
        let earlier = Steps::default();
        earlier.begin("a", None, StepKind::Fetch, "a", None);
        earlier.succeed("a", "");
        earlier.begin("b", None, StepKind::Fetch, "b", None);
        earlier.fail("b", "");
        let mut steps = earlier.all();
        expect(&mut steps, &earlier.all());
        assert!(steps[0].expected_milliseconds.is_some());
        assert_eq!(steps[1].expected_milliseconds, None, "what failed tells nothing");
    }

    #[test]
    fn one_sync_keeps_a_bounded_number_of_steps() {
        let steps = Steps::default();
        for index in 0..2 * MAX_STEPS {
            steps.begin(format!("{index}"), None, StepKind::Object, "x", None);
        }
        assert_eq!(steps.all().len(), MAX_STEPS);
    }
}
