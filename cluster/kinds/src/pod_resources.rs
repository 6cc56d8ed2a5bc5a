//! What the containers of a Pod ask for together, and what a Pod can ask for as a whole (KEP-2837).

use std::collections::BTreeMap;

use serde_json::Value;

use crate::fields::{entries, items, text};
use crate::quantity::Quantity;

/// Amounts by the name of the resource.
pub(crate) type Amounts = BTreeMap<String, Quantity>;

/// Huge pages of some size: `hugepages-2Mi`.
pub(crate) const HUGE_PAGES: &str = "hugepages-";

/// Whether a Pod as a whole can ask for the resource.
pub(crate) fn is_for_pods(name: &str) -> bool {
    matches!(name, "cpu" | "memory") || name.starts_with(HUGE_PAGES)
}

/// The amounts of `list` (`requests` or `limits`) in `resources`; what is no quantity is left out.
pub(crate) fn amounts(resources: &Value, list: &str) -> Amounts {
    entries(resources, list)
        .filter_map(|(name, amount)| Some((name.clone(), Quantity::from_value(amount).ok()?)))
        .collect()
}

/// The amounts that the containers of a pod spec need at once. Regular containers and sidecars run side by side; of
/// the other init containers one runs at a time, beside the sidecars that were started before it (KEP-753).
pub(crate) fn of_containers(spec: &Value, list: &str) -> Amounts {
    let own = |container: &Value| {
        container.get("resources").map(|resources| amounts(resources, list)).unwrap_or_default()
    };
    let mut total = Amounts::new();
    for container in items(spec, "containers") {
        add(&mut total, &own(container));
    }
    let mut sidecars = Amounts::new();
    let mut most = Amounts::new();
    for container in items(spec, "initContainers") {
        let mut needed = own(container);
        if text(container, "restartPolicy") == "Always" {
            add(&mut total, &needed);
            add(&mut sidecars, &needed);
            needed = sidecars.clone();
        } else {
            add(&mut needed, &sidecars);
        }
        raise(&mut most, &needed);
    }
    raise(&mut total, &most);
    total
}

fn add(total: &mut Amounts, more: &Amounts) {
    for (name, amount) in more {
        let sum = total.get(name).map_or(*amount, |known| known.plus(amount));
        total.insert(name.clone(), sum);
    }
}

fn raise(total: &mut Amounts, least: &Amounts) {
    for (name, amount) in least {
        if total.get(name).is_none_or(|known| known < amount) {
            total.insert(name.clone(), *amount);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn init_containers_run_one_at_a_time_beside_the_sidecars_before_them() {
        let container = |cpu: &str| json!({"resources": {"requests": {"cpu": cpu}}});
        let mut sidecar = container("300m");
        sidecar["restartPolicy"] = json!("Always");
        let spec = json!({"containers": [container("100m"), container("200m"), {}],
                          "initContainers": [container("500m"), sidecar, container("400m")]});
        let cpu = |spec: &Value| of_containers(spec, "requests")["cpu"].to_string();
        // 400m beside the sidecar's 300m is more than what runs later.
        assert_eq!(cpu(&spec), "700m");
        let without = json!({"containers": spec["containers"], "initContainers": [sidecar]});
        assert_eq!(cpu(&without), "600m");
    }
}
