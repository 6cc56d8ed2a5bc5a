//! HorizontalPodAutoscalers.

use serde_json::{Value, json};

use super::canonical_quantity;
use crate::fields::{at, at_mut, count, fill_absent, items_mut, set, structure};

pub(super) fn default_autoscaler(version: &str, autoscaler: &mut Value) {
    let Some(spec) = structure(autoscaler, "spec") else {
        return;
    };
    fill_absent(spec, "minReplicas", 1);
    if version != "v1" {
        default_metrics(spec);
        default_behavior(spec);
    }
    if let Some(status) = structure(autoscaler, "status") {
        fill_absent(status, "desiredReplicas", 0);
        if version == "v1" {
            fill_absent(status, "currentReplicas", 0);
        }
    }
}

fn default_metrics(spec: &mut Value) {
    if count(spec, "metrics") == 0 {
        let processor = json!([{
            "type": "Resource",
            "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80}},
        }]);
        set(spec, "metrics", processor);
    }
    for metric in items_mut(spec, "metrics") {
        for source in ["object", "pods", "resource", "containerResource", "external"] {
            if let Some(target) = at_mut(metric, source).and_then(|s| at_mut(s, "target")) {
                canonical_quantity(target, "value");
                canonical_quantity(target, "averageValue");
            }
        }
    }
}

/// A behavior that says something gets the rest of both directions filled in.
fn default_behavior(spec: &mut Value) {
    if at(spec, "behavior").is_none() {
        return;
    }
    let Some(behavior) = structure(spec, "behavior") else {
        return;
    };
    if let Some(up) = structure(behavior, "scaleUp") {
        fill_absent(up, "stabilizationWindowSeconds", 0);
        fill_absent(up, "selectPolicy", "Max");
        fill_absent(
            up,
            "policies",
            json!([
                {"type": "Pods", "value": 4, "periodSeconds": 15},
                {"type": "Percent", "value": 100, "periodSeconds": 15},
            ]),
        );
    }
    if let Some(down) = structure(behavior, "scaleDown") {
        // The window of scaling down stays open: the controller's own setting holds.
        fill_absent(down, "selectPolicy", "Max");
        fill_absent(down, "policies", json!([{"type": "Percent", "value": 100, "periodSeconds": 15}]));
    }
}
