//! The step of a wave, as people see it.

use crate::options::Phase;
use crate::order::Stage;
use crate::plan::ObjectRef;
use crate::steps::{StepKind, Steps};

/// The step of a stage.
pub(super) struct Wave {
    pub(super) id: String,
    pub(super) title: String,
}

impl Wave {
    pub(super) fn begin(&self, steps: &Steps) {
        steps.begin(self.id.as_str(), None, StepKind::Wave, self.title.as_str(), None);
    }

    pub(super) fn object_id(&self, object: &ObjectRef) -> String {
        format!("{}/{}", self.id, object.id())
    }

    pub(super) fn begin_object(&self, steps: &Steps, object: &ObjectRef) {
        let title = format!("{} {}", object.kind, object.name);
        steps.begin(self.object_id(object), Some(&self.id), StepKind::Object, title, Some(object));
    }
}

pub(super) fn wave_id(component: &str, stage: &Stage) -> String {
    format!("wave/{component}/{}/{}", stage.phase.as_str(), stage.wave)
}

/// Most components have one wave, which needs no number.
pub(super) fn wave_title(component: &str, stage: &Stage) -> String {
    match (stage.phase, stage.wave) {
        (Phase::Sync, 0) => format!("Apply {component}"),
        (Phase::Sync, wave) => format!("Apply {component}, wave {wave}"),
        (phase, wave) => format!("Hooks of {component}: {}, wave {wave}", phase.as_str()),
    }
}
