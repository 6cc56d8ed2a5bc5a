//! One container's part of the state: how it begins, and which of its steps is due.

use super::super::status::ID_PREFIX;
use super::{Action, ContainerState, Ended, ImageState, Kind, LOST, Run};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Container, ContainerStateTerminated, ContainerStatus};
use std::time::Duration;

impl ContainerState {
    pub(super) fn new(
        container: &Container,
        kind: Kind,
        before: Option<&ContainerStatus>,
        now: Timestamp,
    ) -> Self {
        let mut last = None;
        let mut restarts = 0;
        if let Some(before) = before {
            restarts = before.restart_count;
            let state = before.state.as_ref();
            if let Some(running) = state.and_then(|s| s.running.as_ref()) {
                last = Some(Ended {
                    code: 255,
                    signal: None,
                    reason: LOST.to_owned(),
                    message: None,
                    started: running.started_at.as_ref().map_or(now, |t| t.0),
                    finished: now,
                    container_id: own_id(before.container_id.as_deref()),
                });
                restarts += 1;
            } else if let Some(ended) = state.and_then(|s| s.terminated.as_ref()) {
                last = Some(ended_before(ended, now));
                restarts += 1;
            } else if let Some(ended) = before.last_state.as_ref().and_then(|s| s.terminated.as_ref()) {
                last = Some(ended_before(ended, now));
                restarts += 1;
            }
        }
        Self {
            name: container.name.clone(),
            image_name: container.image.clone().unwrap_or_default(),
            kind,
            image: ImageState::Needed,
            run: Run::Waiting,
            restarts,
            last,
            has_started: false,
            is_ready: false,
            has_startup_probe: container.startup_probe.is_some(),
            has_readiness_probe: container.readiness_probe.is_some(),
            delay: Duration::ZERO,
            pull_delay: Duration::ZERO,
        }
    }

    /// Pull, start, start again: whichever is due.
    pub(super) fn advance(&mut self, index: usize, now: Timestamp) -> Option<Action> {
        match &self.run {
            Run::Starting | Run::Running { .. } | Run::Ended { retry: None, .. } => return None,
            Run::Refused { retry, .. } if now < *retry => return None,
            Run::Ended { retry: Some(retry), .. } if now < *retry => return None,
            Run::Waiting | Run::Refused { .. } | Run::Ended { .. } => {}
        }
        match &self.image {
            ImageState::Pulling => None,
            ImageState::Failed { retry, .. } if now < *retry => None,
            ImageState::Needed | ImageState::Failed { .. } => {
                self.image = ImageState::Pulling;
                Some(Action::Pull(index))
            }
            ImageState::Ready { .. } => {
                if let Run::Ended { how, .. } = &self.run {
                    self.last = Some(how.clone());
                    self.restarts += 1;
                }
                self.run = Run::Starting;
                Some(Action::Start(index))
            }
        }
    }
}

fn ended_before(ended: &ContainerStateTerminated, now: Timestamp) -> Ended {
    Ended {
        code: ended.exit_code,
        signal: ended.signal,
        reason: ended.reason.clone().unwrap_or_else(|| "Error".to_owned()),
        message: ended.message.clone(),
        started: ended.started_at.as_ref().map_or(now, |t| t.0),
        finished: ended.finished_at.as_ref().map_or(now, |t| t.0),
        container_id: own_id(ended.container_id.as_deref()),
    }
}

/// An ID as the API has it, `seaway://ID`, without what says whose it is.
fn own_id(shown: Option<&str>) -> String {
    let shown = shown.unwrap_or_default();
    shown.strip_prefix(ID_PREFIX).unwrap_or(shown).to_owned()
}
