//! Formats that have a name and check texts.

use super::super::super::formats::TextFormat;
use super::super::Outcome;
use super::super::value::Value;
use super::fail;
use crate::names::{dns_1035_label, dns_1123_label, dns_1123_subdomain, label_value, qualified_name};

/// A format by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NamedFormat(&'static str);

const NAMES: [&str; 13] = [
    "dns1123Label",
    "dns1123Subdomain",
    "dns1035Label",
    "qualifiedName",
    "dns1123LabelPrefix",
    "dns1123SubdomainPrefix",
    "dns1035LabelPrefix",
    "labelValue",
    "uri",
    "uuid",
    "byte",
    "date",
    "datetime",
];

fn named(name: &str) -> Option<NamedFormat> {
    NAMES.iter().find(|known| **known == name).map(|known| NamedFormat(known))
}

pub(super) fn call<'a>(name: &str, arguments: &[Value<'a>]) -> Option<Value<'a>> {
    match (name.strip_prefix("format.")?, arguments) {
        ("named", [Value::Text(name)]) => {
            Some(named(name).map_or(Value::Optional(None), |format| Value::some(Value::Format(format))))
        }
        (name, []) => named(name).map(Value::Format),
        _ => None,
    }
}

/// What is wrong with a text, if anything.
pub(super) fn validate<'a>(arguments: &[Value<'a>]) -> Outcome<Option<Value<'a>>> {
    let [Value::Format(NamedFormat(name)), Value::Text(text)] = arguments else {
        return Ok(None);
    };
    // A prefix becomes a name when something follows it.
    let prefix = |check: fn(&str) -> Vec<String>| match text.strip_suffix('-') {
        Some(_) => check(&format!("{text}a")),
        None => check(text),
    };
    let simple = |format: TextFormat, message: &str| {
        if format.matches(text) { Vec::new() } else { vec![message.to_owned()] }
    };
    let problems = match *name {
        "dns1123Label" => dns_1123_label(text),
        "dns1123Subdomain" => dns_1123_subdomain(text),
        "dns1035Label" => dns_1035_label(text),
        "qualifiedName" => qualified_name(text),
        "labelValue" => label_value(text),
        "dns1123LabelPrefix" => prefix(dns_1123_label),
        "dns1123SubdomainPrefix" => prefix(dns_1123_subdomain),
        "dns1035LabelPrefix" => prefix(dns_1035_label),
        "uri" => simple(TextFormat::Uri, "invalid URI for request"),
        "uuid" => simple(TextFormat::Uuid, "does not match the UUID format"),
        "byte" => simple(TextFormat::Byte, "invalid base64"),
        "date" => simple(TextFormat::Date, "invalid date"),
        "datetime" => simple(TextFormat::DateTime, "invalid datetime"),
        _ => return fail(format!("unknown format {name}")),
    };
    Ok(Some(if problems.is_empty() {
        Value::Optional(None)
    } else {
        Value::some(Value::list(problems.iter().map(Value::text).collect()))
    }))
}
