//! Probes and life cycle hooks of a container.

use serde_json::Value;

use super::formats::{http_header, port_name, port_number};
use super::{nonnegative, push_all, push_all_number};
use crate::field_error::{FieldError, Path};
use crate::fields::{at, count, integer, items, text};

/// Checks a probe. With `once` a single success decides (liveness, startup).
pub(super) fn validate_probe(errors: &mut Vec<FieldError>, probe: &Value, path: &Path, once: bool) {
    validate_handler(errors, probe, path, &["exec", "httpGet", "tcpSocket", "grpc"]);
    for field in
        ["initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold"]
    {
        nonnegative(errors, probe, field, path);
    }
    if let Some(seconds) = integer(probe, "terminationGracePeriodSeconds")
        && seconds <= 0
    {
        errors.push(FieldError::invalid(
            &path.child("terminationGracePeriodSeconds"),
            seconds,
            "must be greater than 0",
        ));
    }
    if !once && let Some(seconds) = at(probe, "terminationGracePeriodSeconds") {
        errors.push(FieldError::invalid(
            &path.child("terminationGracePeriodSeconds"),
            seconds.clone(),
            "must not be set for readinessProbes",
        ));
    }
    let threshold = integer(probe, "successThreshold").unwrap_or(0);
    if once && threshold != 1 {
        errors.push(FieldError::invalid(&path.child("successThreshold"), threshold, "must be 1"));
    }
}

/// Checks the hooks of `container.lifecycle`. `grace` is how long the Pod has to end, in seconds.
pub(super) fn validate_lifecycle(
    errors: &mut Vec<FieldError>,
    container: &Value,
    grace: Option<i64>,
    path: &Path,
) {
    let Some(lifecycle) = at(container, "lifecycle") else {
        return;
    };
    for hook in ["postStart", "preStop"] {
        if let Some(handler) = at(lifecycle, hook) {
            validate_handler(errors, handler, &path.child(hook), &["exec", "httpGet", "tcpSocket", "sleep"]);
            if let (Some(sleep), Some(grace)) = (at(handler, "sleep"), grace) {
                let seconds = integer(sleep, "seconds").unwrap_or(0);
                if !(0..=grace).contains(&seconds) {
                    errors.push(FieldError::invalid(
                        &path.child(hook).child("sleep"),
                        seconds,
                        format!("must be non-negative and less than terminationGracePeriodSeconds ({grace})"),
                    ));
                }
            }
        }
    }
}

/// Exactly one of the handlers, each complete.
fn validate_handler(errors: &mut Vec<FieldError>, handler: &Value, path: &Path, kinds: &[&str]) {
    let mut found = false;
    for kind in kinds {
        let Some(action) = at(handler, kind) else {
            continue;
        };
        let path = path.child(kind);
        if found {
            errors.push(FieldError::forbidden(&path, "may not specify more than 1 handler type"));
            continue;
        }
        found = true;
        match *kind {
            "exec" if count(action, "command") == 0 => {
                errors.push(FieldError::required(&path.child("command"), ""));
            }
            "httpGet" => validate_http(errors, action, &path),
            "tcpSocket" => validate_port(errors, action.get("port"), &path.child("port")),
            "grpc" => {
                let port = integer(action, "port").unwrap_or(0);
                push_all_number(errors, &path.child("port"), port, port_number(port));
            }
            _ => {}
        }
    }
    if !found {
        errors.push(FieldError::required(path, "must specify a handler type"));
    }
}

fn validate_http(errors: &mut Vec<FieldError>, action: &Value, path: &Path) {
    if text(action, "path").is_empty() {
        errors.push(FieldError::required(&path.child("path"), ""));
    }
    validate_port(errors, action.get("port"), &path.child("port"));
    let scheme = text(action, "scheme");
    if !matches!(scheme, "HTTP" | "HTTPS") {
        errors.push(FieldError::not_supported(&path.child("scheme"), scheme, &["HTTP", "HTTPS"]));
    }
    for header in items(action, "httpHeaders") {
        let name = text(header, "name");
        push_all(errors, &path.child("httpHeaders"), name, http_header(name));
    }
}

/// A port by number or by name.
pub(super) fn validate_port(errors: &mut Vec<FieldError>, port: Option<&Value>, path: &Path) {
    match port {
        Some(Value::String(name)) => push_all(errors, path, name, port_name(name)),
        other => {
            let number = other.and_then(Value::as_i64).unwrap_or(0);
            push_all_number(errors, path, number, port_number(number));
        }
    }
}
