//! What copies ask for of the cluster, and for how long.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::account::namespaces_of_copies;
use crate::controller::Sync;
use crate::error::Error;
use crate::view::EnvironmentKey;

/// What one copy asks for: the requests of its pods that have not ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CopyUsage {
    /// The copy.
    pub environment: EnvironmentKey,
    /// What it is a copy of, as `NAMESPACE/NAME`.
    pub of: String,
    /// `personal`, `preview` or `staging`.
    pub class: String,
    /// The person whose it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// Since when it is there (RFC 3339).
    pub created: String,
    /// From when on it is deleted (RFC 3339).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<String>,
    /// How many pods have not ended.
    pub pods: usize,
    /// CPU that they ask for, in thousandths of a core.
    pub milli_cpu: u64,
    /// Memory that they ask for, in bytes.
    pub memory: u64,
    /// How long it has been there, in seconds.
    pub seconds: u64,
    /// Cores × hours, as if it had always asked for what it asks for now.
    pub cpu_hours: f64,
    /// GiB × hours, likewise.
    pub memory_hours: f64,
}

impl Sync {
    /// What each copy asks for, those that ask for most first.
    ///
    /// # Errors
    /// When the cluster does not answer.
    pub async fn usage(&self, now: Timestamp) -> Result<Vec<CopyUsage>, Error> {
        let mut requested: BTreeMap<EnvironmentKey, Requested> = BTreeMap::new();
        for namespace in namespaces_of_copies(&self.shared.client).await? {
            let path = format!("/api/v1/namespaces/{}/pods", namespace.name);
            let request = http::Request::get(&path).body(Vec::new()).map_err(|error| Error::Cluster {
                what: path.clone(),
                message: error.to_string(),
                code: 0,
            })?;
            let pods: Value =
                self.shared.client.request(request).await.map_err(|error| Error::cluster(path, error))?;
            let sum = requested.entry(namespace.key).or_default();
            pods["items"].as_array().into_iter().flatten().for_each(|pod| sum.add(pod));
        }
        let environments = self.shared.environments.lock();
        let copies = environments.iter().filter_map(|(key, known)| {
            let environment = &known.environment;
            let of = EnvironmentKey::of_original(&environment.spec)?;
            let created = environment.metadata.creation_timestamp.as_ref().map_or(now, |time| time.0);
            let seconds = u64::try_from(now.duration_since(created).as_secs()).unwrap_or(0);
            let Requested { pods, milli_cpu, memory } = requested.remove(key).unwrap_or_default();
            // Far below 2^52, and nobody counts the last digit.
            #[allow(clippy::cast_precision_loss)]
            let hours = |amount: u64, unit: f64| amount as f64 / unit * (seconds as f64 / 3600.0);
            Some(CopyUsage {
                environment: key.clone(),
                of: of.to_string(),
                class: environment.spec.class.as_str().to_owned(),
                owner: seaway_api::owner(&key.namespace).map(str::to_owned),
                created: created.to_string(),
                expires: environment.spec.expires.clone(),
                pods,
                milli_cpu,
                memory,
                seconds,
                cpu_hours: hours(milli_cpu, 1000.0),
                memory_hours: hours(memory, f64::from(1 << 30)),
            })
        });
        let mut all: Vec<CopyUsage> = copies.collect();
        all.sort_by(|a, b| {
            b.cpu_hours.total_cmp(&a.cpu_hours).then_with(|| a.environment.cmp(&b.environment))
        });
        Ok(all)
    }
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Requested {
    pods: usize,
    milli_cpu: u64,
    memory: u64,
}

impl Requested {
    /// Adds a pod that has not ended: the sum of its containers, or its largest initial container where that is more.
    fn add(&mut self, pod: &Value) {
        if matches!(pod.pointer("/status/phase").and_then(Value::as_str), Some("Succeeded" | "Failed")) {
            return;
        }
        self.pods += 1;
        let of = |list: &str, what: &str| -> Vec<u64> {
            let containers = pod.pointer(&format!("/spec/{list}")).and_then(Value::as_array);
            let quantity = |container: &Value| {
                let text = container.pointer(&format!("/resources/requests/{what}")).and_then(Value::as_str);
                text.and_then(thousandths).unwrap_or(0)
            };
            containers.into_iter().flatten().map(quantity).collect()
        };
        let total = |what: &str| {
            let running: u64 = of("containers", what).into_iter().fold(0, u64::saturating_add);
            running.max(of("initContainers", what).into_iter().max().unwrap_or(0))
        };
        self.milli_cpu = self.milli_cpu.saturating_add(total("cpu"));
        self.memory = self.memory.saturating_add(total("memory") / 1000);
    }
}

/// A quantity of Kubernetes in thousandths; `None` for what is none, or is too large.
fn thousandths(text: &str) -> Option<u64> {
    let end = text.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let factor = match unit {
        "m" => 1.0,
        "" => 1e3,
        "k" => 1e6,
        "M" => 1e9,
        "G" => 1e12,
        "T" => 1e15,
        "Ki" => 1024e3,
        "Mi" => 1024.0 * 1024e3,
        "Gi" => 1024.0 * 1024.0 * 1024e3,
        "Ti" => 1024.0 * 1024.0 * 1024.0 * 1024e3,
        _ => unit.strip_prefix(['e', 'E'])?.parse::<i32>().ok().map(|exponent| 1e3 * 10f64.powi(exponent))?,
    };
    let value = number.parse::<f64>().ok()? * factor;
    // A sum for people: what is beyond any machine is no number for them.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    (value.is_finite() && (0.0..1e18).contains(&value)).then_some(value as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn quantities_are_read() {
        for (text, expected) in [
            ("100m", Some(100)),
            ("2", Some(2000)),
            ("0.5", Some(500)),
            ("1Gi", Some(1_073_741_824_000)),
            ("1e3", Some(1_000_000)),
            ("x", None),
            ("", None),
            ("1e300", None),
        ] {
            assert_eq!(thousandths(text), expected, "{text}");
        }
    }

    #[test]
    fn what_has_ended_asks_for_nothing_and_large_beginnings_count() {
        let container = |cpu: &str| json!({"resources": {"requests": {"cpu": cpu, "memory": "1Mi"}}});
        let mut sum = Requested::default();
        sum.add(&json!({"spec": {"containers": [container("100m"), container("1")], "initContainers": [container("2")]}}));
        sum.add(&json!({"spec": {"containers": [container("1")]}, "status": {"phase": "Succeeded"}}));
        assert_eq!(sum, Requested { pods: 1, milli_cpu: 2000, memory: 2 << 20 });
    }
}
