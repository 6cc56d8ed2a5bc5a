//! Hosts outside the cluster in the values of ConfigMaps, in variables and arguments of containers, and in the names that
//! pods give to addresses.
//!
//! A text names one when it is a URL, a host with a port, or nothing but a host. What only might be one (a file's name, a
//! Java package) is left alone where a domain of the Internet would end otherwise.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::ops::Range;

use seaway_api::stack::{ProductionOnly, StackSpec};
use seaway_object::ObjectId;
use serde_json::Value;

use crate::copy::Copy;
use crate::references::{TEMPLATES, texts};

/// What is within: hosts and services of what is copied.
pub(crate) struct Inside<'a> {
    pub(crate) copy: &'a Copy,
    /// Each host at which what is copied answers.
    pub(crate) hosts: &'a BTreeMap<String, String>,
    /// Name and namespace of its services.
    pub(crate) services: &'a BTreeSet<(String, String)>,
    /// Hosts at which components answer that are shared with what is copied.
    pub(crate) others: &'a BTreeSet<String>,
}

/// Ends of names of the Internet that are common in configuration, besides those of countries.
const ENDS: [&str; 22] = [
    "ai", "aero", "app", "biz", "cloud", "com", "corp", "dev", "edu", "gov", "info", "int", "internal", "io",
    "lan", "mil", "name", "net", "online", "org", "tech", "tv",
];
/// Ends of files that are those of countries as well.
const FILES: [&str; 10] = ["cc", "gz", "js", "md", "mo", "pl", "ps", "py", "rs", "sh"];

/// How a text names a host.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// `scheme://HOST`, perhaps with a user before it.
    Url,
    /// `HOST:PORT`.
    WithPort,
    /// Nothing else.
    Alone,
}

impl Inside<'_> {
    /// The hosts outside that a text names, with their places.
    pub(crate) fn outside(&self, text: &str) -> Vec<(Range<usize>, String)> {
        let in_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
        let mut found = Vec::new();
        let mut at = 0;
        while let Some(begin) = text[at..].find(in_name).map(|offset| at + offset) {
            let end = text[begin..].find(|c: char| !in_name(c)).map_or(text.len(), |offset| begin + offset);
            at = end;
            let name = text[begin..end].trim_end_matches(['.', '-', '_']);
            let end = begin + name.len();
            let Some(form) = form(text, begin, end) else { continue };
            let name = name.to_ascii_lowercase();
            if self.is_outside(&name, form) {
                found.push((begin..end, name));
            }
        }
        found
    }

    fn is_outside(&self, name: &str, form: Form) -> bool {
        if let Ok(address) = name.parse::<Ipv4Addr>() {
            let here = address.is_loopback() || address.is_unspecified() || address.is_broadcast();
            return form != Form::Alone && !here;
        }
        let labels: Vec<&str> = name.split('.').collect();
        let (Some(first), Some(last)) = (labels.first(), labels.last()) else { return false };
        if labels.len() < 2 || labels.iter().any(|label| label.is_empty()) {
            return false;
        }
        let within = *last == "localhost" || labels.contains(&"svc") || name.ends_with(".cluster.local");
        if within || self.answers(name) || self.is_service(&labels) {
            return false;
        }
        let word = last.len() >= 2 && last.chars().all(|c| c.is_ascii_lowercase());
        let known = ENDS.contains(last);
        let country = last.len() == 2 && !FILES.contains(last);
        match form {
            // Two labels could be a service and its namespace.
            Form::Url => word && (labels.len() > 2 || known || country),
            Form::WithPort => word && (labels.len() > 2 || known),
            // Packages of Java begin where hosts end.
            Form::Alone => labels.len() > 2 && (known || country) && !ENDS.contains(first),
        }
    }

    /// Whether what is copied answers there itself.
    fn answers(&self, name: &str) -> bool {
        let below = |pattern: &str| pattern.strip_prefix('*').is_some_and(|rest| name.ends_with(rest));
        self.hosts.iter().any(|(from, to)| from == name || to == name || below(from) || below(to))
            || self.others.iter().any(|other| other == name || below(other))
            || name.ends_with(&format!(".{}", self.copy.domain))
    }

    fn is_service(&self, labels: &[&str]) -> bool {
        let namespace = labels[1];
        labels.len() == 2
            && (self.copy.namespaces.contains_key(namespace)
                || self.services.contains(&(labels[0].to_owned(), namespace.to_owned())))
    }
}

/// How the text names what lies there; `None`: not as a host.
pub(crate) fn form(text: &str, begin: usize, end: usize) -> Option<Form> {
    let before = &text[..begin];
    let in_authority = || {
        let rest = before.rsplit_once("://").map(|(_, rest)| rest);
        before.ends_with('@') && rest.is_some_and(|rest| !rest.contains(['/', ' ', '\n', '"', '\'']))
    };
    if before.ends_with("://") || in_authority() {
        return Some(Form::Url);
    }
    let port = text[end..].strip_prefix(':').map(|rest| {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        (1..=5).contains(&digits)
            && !rest[digits..].starts_with(|c: char| c.is_ascii_alphanumeric() || c == '.')
    });
    if port == Some(true) {
        return Some(Form::WithPort);
    }
    (text.trim() == &text[begin..end]).then_some(Form::Alone)
}

/// The entry of the stack for a host that an object of a component names.
pub(crate) fn mark<'a>(
    stack: &'a StackSpec,
    component: &str,
    id: &ObjectId,
    host: &str,
) -> Option<&'a ProductionOnly> {
    stack.production_only.iter().find(|kept| {
        kept.host.as_deref().is_some_and(|pattern| seaway_api::stack::matches_pattern(pattern, host))
            && kept.target.matches(component, &id.group, &id.kind, id.namespace.as_deref(), &id.name)
    })
}

/// Where an object holds texts that programs connect by.
pub(crate) fn places(id: &ObjectId) -> Vec<String> {
    if id.group.is_empty() && id.kind == "ConfigMap" {
        return vec!["/data/*".to_owned()];
    }
    let containers = ["containers", "initContainers"];
    let fields = ["env/*/value", "command/*", "args/*"];
    let in_template = |at: &str| {
        let at = at.to_owned();
        containers.into_iter().flat_map(move |list| {
            let at = at.clone();
            fields.into_iter().map(move |field| format!("{at}/{list}/*/{field}"))
        })
    };
    let aliases = |at: &&str| format!("{at}/hostAliases/*/hostnames/*");
    TEMPLATES.iter().flat_map(|at| in_template(at)).chain(TEMPLATES.iter().map(aliases)).collect()
}

/// What one object names of the outside.
#[derive(Debug, Default)]
pub(crate) struct Named<'a> {
    /// What it has in the copy, for each entry of the stack that changes something, in order.
    pub(crate) changes: Vec<(&'a ProductionOnly, Value)>,
    /// Hosts of which the stack says nothing.
    pub(crate) unmarked: BTreeSet<String>,
}

/// Looks through an object, and puts stand-ins in the place of hosts that have one.
pub(crate) fn look<'a>(
    inside: &Inside<'_>,
    stack: &'a StackSpec,
    component: &str,
    id: &ObjectId,
    object: &Value,
) -> Named<'a> {
    let mut named = Named::default();
    let mut marks: BTreeMap<String, &'a ProductionOnly> = BTreeMap::new();
    let places = places(id);
    let mut value = object.clone();
    let mut find = |text: &mut String| {
        for (_, host) in inside.outside(text) {
            match mark(stack, component, id, &host) {
                Some(kept) => drop(marks.insert(host, kept)),
                None => drop(named.unmarked.insert(host)),
            }
        }
    };
    places.iter().for_each(|place| texts(&mut value, place, &mut find));
    for (host, kept) in marks {
        let Some(stand_in) = &kept.stand_in.host else { continue };
        let mut replace = |text: &mut String| {
            for (place, _) in inside.outside(text).into_iter().rev().filter(|(_, found)| *found == host) {
                let mut place = place;
                // A stand-in with a port takes that as well.
                if stand_in.contains(':')
                    && let Some(rest) = text[place.end..].strip_prefix(':')
                {
                    place.end += 1 + rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
                }
                text.replace_range(place, stand_in);
            }
        };
        places.iter().for_each(|place| texts(&mut value, place, &mut replace));
        named.changes.push((kept, value.clone()));
    }
    named
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use serde_json::json;

    fn found(text: &str) -> Vec<String> {
        let original = serde_json::from_value(
            json!({"stack": "s", "destination": {"namespace": "shop", "namespaces": ["monitoring"]}}),
        )
        .unwrap();
        let copy = Copy::new("mine", ("production", &original), &StackSpec::default(), "localhost").unwrap();
        let hosts = BTreeMap::from([
            ("shop.example.com".to_owned(), "shop.mine.localhost".to_owned()),
            ("*.apps.example.com".to_owned(), "*.apps.mine.localhost".to_owned()),
        ]);
        let services = BTreeSet::from([("catalog".to_owned(), "shop".to_owned())]);
        let inside = Inside { copy: &copy, hosts: &hosts, services: &services, others: &BTreeSet::new() };
        inside.outside(text).into_iter().map(|(place, _)| text[place].to_owned()).collect()
    }

    #[test]
    fn hosts_outside_are_found() {
        for (text, expected) in [
            ("https://pay.example.com/v1?a=b", vec!["pay.example.com"]),
            ("postgres://shop:s3cret@db.prod.example.com:5432/orders", vec!["db.prod.example.com"]),
            (
                "kafka-1.example.com:9092,kafka-2.example.com:9092",
                vec!["kafka-1.example.com", "kafka-2.example.com"],
            ),
            ("db.prod.internal", vec!["db.prod.internal"]),
            ("server:\n  url: \"https://Mail.Example.org\"\n", vec!["Mail.Example.org"]),
            ("http://10.2.3.4:80", vec!["10.2.3.4"]),
            ("10.2.3.4:5432", vec!["10.2.3.4"]),
            ("--endpoint=https://a.b.c.eu-west-1.amazonaws.com", vec!["a.b.c.eu-west-1.amazonaws.com"]),
            ("https://github.com", vec!["github.com"]),
            ("see https://example.de.", vec!["example.de"]),
        ] {
            assert_eq!(found(text), expected, "{text}");
        }
    }

    #[test]
    fn what_is_inside_or_no_host_is_left_alone() {
        for text in [
            "http://catalog:80",
            "http://catalog.shop",
            "http://catalog.shop.svc.cluster.local:80",
            "otel.monitoring:4317",
            "http://otel.tracing:4317",
            "https://shop.example.com/a",
            "https://one.apps.example.com",
            "http://localhost:8080 http://127.0.0.1:80 0.0.0.0:8080",
            "http://shop.mine.localhost",
            "v1.2.3",
            "1.2.3.4",
            "settings.json",
            "main.rs:42",
            "com.example.shop.app",
            "a.b.c",
            "user.name=x",
            "registry.example.com/shop:1.0",
            "12:30:15.123",
            "größe.de é",
            "",
        ] {
            assert_eq!(found(text), Vec::<String>::new(), "{text}");
        }
    }
}
