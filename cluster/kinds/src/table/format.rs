//! How single values look in a cell: ages, selectors, containers, shortened lists.

use jiff::Timestamp;
use serde_json::Value;

use crate::fields::{at, entries, items, text};

pub(super) const NONE: &str = "<none>";
pub(super) const UNSET: &str = "<unset>";
const UNKNOWN: &str = "<unknown>";

/// A duration in at most two units, as kubectl prints ages: `119s`, `5m30s`, `3h`, `7d23h`, `2y11d`.
pub fn human_duration(seconds: i64) -> String {
    // Clocks differ by a second; more is an error to show.
    if seconds < -1 {
        return "<invalid>".to_owned();
    }
    let seconds = seconds.max(0);
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86400);
    let two = |big: i64, unit: &str, small: i64, small_unit: &str| {
        if small == 0 { format!("{big}{unit}") } else { format!("{big}{unit}{small}{small_unit}") }
    };
    match seconds {
        _ if seconds < 120 => format!("{seconds}s"),
        _ if minutes < 10 => two(minutes, "m", seconds % 60, "s"),
        _ if minutes < 180 => format!("{minutes}m"),
        _ if hours < 8 => two(hours, "h", minutes % 60, "m"),
        _ if hours < 48 => format!("{hours}h"),
        _ if days < 8 => two(days, "d", hours % 24, "h"),
        _ if days < 730 => format!("{days}d"),
        _ if days < 8 * 365 => two(days / 365, "y", days % 365, "d"),
        _ => format!("{}y", days / 365),
    }
}

/// The moment at a path, if there is one.
pub(super) fn time(object: &Value, path: &str) -> Option<Timestamp> {
    text(object, path).parse().ok()
}

/// How long ago a moment was; `<unknown>` without one.
pub(super) fn since(moment: Option<Timestamp>, now: Timestamp) -> String {
    moment.map_or_else(|| UNKNOWN.to_owned(), |moment| human_duration(seconds_between(moment, now)))
}

/// Whole seconds from one moment to another.
pub(super) fn seconds_between(from: Timestamp, to: Timestamp) -> i64 {
    to.duration_since(from).as_secs()
}

/// The age of an object.
pub(super) fn age(object: &Value, now: Timestamp) -> Value {
    since(time(object, "metadata.creationTimestamp"), now).into()
}

/// The name of an object.
pub(super) fn name(object: &Value) -> Value {
    text(object, "metadata.name").into()
}

/// A text, or a stand-in where it is absent or empty.
pub(super) fn text_or<'a>(object: &'a Value, path: &str, otherwise: &'a str) -> &'a str {
    match text(object, path) {
        "" => otherwise,
        text => text,
    }
}

/// A text as it is, a number in digits (quantities, ports, `maxUnavailable`).
pub(super) fn scalar(value: Option<&Value>) -> Option<String> {
    match value? {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(boolean) => Some(boolean.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// A label map as `a=b,c=d`, sorted; `<none>` when empty.
pub(super) fn labels(object: &Value, path: &str) -> String {
    let mut pairs: Vec<String> = entries(object, path)
        .map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default()))
        .collect();
    if pairs.is_empty() {
        return NONE.to_owned();
    }
    pairs.sort();
    pairs.join(",")
}

/// A `LabelSelector` in its text form; empty for one that selects everything or is absent.
pub(super) fn selector(object: &Value, path: &str) -> String {
    let Some(selector) = at(object, path) else { return String::new() };
    let mut requirements: Vec<(&str, String)> = entries(selector, "matchLabels")
        .map(|(key, value)| (key.as_str(), format!("{key}={}", value.as_str().unwrap_or_default())))
        .collect();
    for expression in items(selector, "matchExpressions") {
        let key = text(expression, "key");
        let mut values: Vec<&str> = items(expression, "values").iter().filter_map(Value::as_str).collect();
        values.sort_unstable();
        let values = values.join(",");
        let requirement = match text(expression, "operator") {
            "In" => format!("{key} in ({values})"),
            "NotIn" => format!("{key} notin ({values})"),
            "Exists" => key.to_owned(),
            "DoesNotExist" => format!("!{key}"),
            _ => return "<error>".to_owned(),
        };
        requirements.push((key, requirement));
    }
    requirements.sort_by(|a, b| a.0.cmp(b.0));
    requirements.into_iter().map(|(_, requirement)| requirement).collect::<Vec<_>>().join(",")
}

/// Like [`selector`], with `<none>` for the empty one.
pub(super) fn selector_or_none(object: &Value, path: &str) -> String {
    match selector(object, path) {
        text if text.is_empty() => NONE.to_owned(),
        text => text,
    }
}

/// The cells CONTAINERS and IMAGES of a list of containers.
pub(super) fn containers(object: &Value, path: &str) -> [Value; 2] {
    let list = |field: &str| items(object, path).iter().map(|c| text(c, field)).collect::<Vec<_>>().join(",");
    [list("name").into(), list("image").into()]
}

/// The first `limit` of a list, and how many more there are: `a,b,c + 2 more...`.
pub(super) fn shortened(list: &[String], limit: usize, separator: &str) -> String {
    if list.len() <= limit {
        list.join(separator)
    } else {
        format!("{} + {} more...", list[..limit].join(separator), list.len() - limit)
    }
}

/// Whether a condition of that type is `True`.
pub(super) fn condition(object: &Value, kind: &str) -> bool {
    items(object, "status.conditions")
        .iter()
        .find(|c| text(c, "type") == kind)
        .is_some_and(|c| text(c, "status") == "True")
}

/// An address and port as in a URL: IPv6 addresses in brackets.
pub(super) fn host_port(host: &str, port: i64) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

/// The addresses of `status.loadBalancer`, each once, sorted.
pub(super) fn load_balancer(object: &Value) -> String {
    let mut addresses: Vec<&str> = items(object, "status.loadBalancer.ingress")
        .iter()
        .map(|ingress| text_or(ingress, "ip", text(ingress, "hostname")))
        .filter(|address| !address.is_empty())
        .collect();
    addresses.sort_unstable();
    addresses.dedup();
    addresses.join(",")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn durations_have_at_most_two_units_and_get_coarser() {
        const MINUTE: i64 = 60;
        const HOUR: i64 = 3600;
        const DAY: i64 = 86400;
        for (seconds, expected) in [
            (-2, "<invalid>"),
            (-1, "0s"),
            (0, "0s"),
            (119, "119s"),
            (2 * MINUTE, "2m"),
            (2 * MINUTE + 1, "2m1s"),
            (9 * MINUTE + 59, "9m59s"),
            (10 * MINUTE + 59, "10m"),
            (3 * HOUR - 1, "179m"),
            (3 * HOUR, "3h"),
            (7 * HOUR + 59 * MINUTE, "7h59m"),
            (8 * HOUR + 59 * MINUTE, "8h"),
            (47 * HOUR + 59 * MINUTE, "47h"),
            (2 * DAY, "2d"),
            (2 * DAY + HOUR, "2d1h"),
            (7 * DAY + 23 * HOUR, "7d23h"),
            (8 * DAY + 23 * HOUR, "8d"),
            (729 * DAY, "729d"),
            (730 * DAY, "2y"),
            (731 * DAY, "2y1d"),
            (8 * 365 * DAY + 5 * DAY, "8y"),
        ] {
            assert_eq!(human_duration(seconds), expected, "{seconds} seconds");
        }
    }

    #[test]
    fn a_selector_prints_its_requirements_by_key() {
        let object = json!({"spec": {"selector": {
            "matchLabels": {"b": "1"},
            "matchExpressions": [
                {"key": "c", "operator": "NotIn", "values": ["z", "y"]},
                {"key": "a", "operator": "Exists"},
                {"key": "d", "operator": "DoesNotExist"},
            ],
        }}});
        assert_eq!(selector(&object, "spec.selector"), "a,b=1,c notin (y,z),!d");
        assert_eq!(selector_or_none(&object, "spec.absent"), "<none>");
    }
}
