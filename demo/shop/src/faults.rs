//! Faults on purpose: a share of requests that fail, and a delay for all.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::watch;

/// What goes wrong.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Faults {
    /// Share of requests that fail, 0 to 1.
    pub(crate) error_rate: f64,
    /// Delay of every request.
    pub(crate) latency: Duration,
}

/// A change of faults; what is absent stays.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Change {
    error_rate: Option<f64>,
    latency_ms: Option<u64>,
}

/// Faults as they are shown.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Shown {
    error_rate: f64,
    latency_ms: u64,
}

impl From<Faults> for Shown {
    fn from(faults: Faults) -> Self {
        let latency_ms = u64::try_from(faults.latency.as_millis()).unwrap_or(u64::MAX);
        Self { error_rate: faults.error_rate, latency_ms }
    }
}

/// The faults of this process, which can be changed while it runs.
#[derive(Debug)]
pub(crate) struct Switch(watch::Sender<Faults>);

impl Switch {
    pub(crate) fn new(faults: Faults) -> Self {
        Self(watch::Sender::new(faults))
    }

    pub(crate) fn now(&self) -> Faults {
        *self.0.borrow()
    }

    /// Changes them; the reason when the wish is out of range.
    pub(crate) fn change(&self, change: Change) -> Result<Faults, &'static str> {
        let mut faults = self.now();
        if let Some(rate) = change.error_rate {
            if !(0.0..=1.0).contains(&rate) {
                return Err("errorRate is not between 0 and 1");
            }
            faults.error_rate = rate;
        }
        if let Some(latency) = change.latency_ms {
            if latency > 60_000 {
                return Err("latencyMs is more than 60000");
            }
            faults.latency = Duration::from_millis(latency);
        }
        self.0.send_replace(faults);
        Ok(faults)
    }
}
