//! Certificate signing requests.

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::pem::Pem;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::formats::{LABEL_MAX, SUBDOMAIN_MAX, dns_1123_label, dns_1123_subdomain};
use crate::field_error::{FieldError, Path};
use crate::fields::{integer, items, same, text};

/// What a key can be for (RFC 5280), sorted.
const USAGES: [&str; 23] = [
    "any",
    "cert sign",
    "client auth",
    "code signing",
    "content commitment",
    "crl sign",
    "data encipherment",
    "decipher only",
    "digital signature",
    "email protection",
    "encipher only",
    "ipsec end system",
    "ipsec tunnel",
    "ipsec user",
    "key agreement",
    "key encipherment",
    "microsoft sgc",
    "netscape sgc",
    "ocsp signing",
    "s/mime",
    "server auth",
    "signing",
    "timestamping",
];
const LEGACY_SIGNER: &str = "kubernetes.io/legacy-unknown";
/// The shortest life that can be asked for, in seconds.
const SHORTEST_LIFE: i64 = 600;

const APPROVED: &str = "Approved";
const DENIED: &str = "Denied";
const FAILED: &str = "Failed";

/// Who changes a request: each may change something else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// The main resource, which leaves `status` alone.
    Main,
    /// `status`: the certificate.
    Status,
    /// `approval`: the conditions `Approved` and `Denied`.
    Approval,
}

/// Checks a request, new or changed from `old`. What was wrong before stays accepted.
pub(super) fn validate_request(errors: &mut Vec<FieldError>, request: &Value, old: Option<&Value>) {
    let path = Path::new("spec");
    let before = |check: fn(&Value) -> bool| old.is_some_and(check);
    if let Err(why) = parse_request(text(request, "spec.request")) {
        errors.push(FieldError::invalid(&path.child("request"), text(request, "spec.request"), why));
    }
    let usages = items(request, "spec.usages");
    let usages_path = path.child("usages");
    if usages.is_empty() {
        errors.push(FieldError::required(&usages_path, "usages must be provided"));
    }
    if !before(has_unknown_usages) {
        for (index, usage) in usages.iter().enumerate().filter(|(_, usage)| !is_known_usage(usage)) {
            errors.push(FieldError::not_supported(&usages_path.index(index), usage.clone(), &USAGES));
        }
    }
    if !before(has_repeated_usages) {
        for index in repeated(usages.iter().map(Value::as_str)) {
            errors.push(FieldError::duplicate(&usages_path.index(index), usages[index].clone()));
        }
    }
    let signer = text(request, "spec.signerName");
    let signer_path = path.child("signerName");
    if signer == LEGACY_SIGNER && old.is_none_or(|old| text(old, "spec.signerName") != LEGACY_SIGNER) {
        errors.push(FieldError::invalid(
            &signer_path,
            signer,
            "the legacy signerName is not allowed via this API version",
        ));
    } else {
        validate_signer_name(errors, signer, &signer_path);
    }
    if let Some(seconds) = integer(request, "spec.expirationSeconds")
        && seconds < SHORTEST_LIFE
    {
        errors.push(FieldError::invalid(
            &path.child("expirationSeconds"),
            seconds,
            "may not specify a duration less than 600 seconds (10 minutes)",
        ));
    }
    validate_conditions(errors, request, old);
    let certificate = text(request, "status.certificate");
    let touched = old.is_none_or(|old| {
        let known = text(old, "status.certificate");
        known != certificate && parse_certificates(known).is_ok()
    });
    if touched && let Err(why) = parse_certificates(certificate) {
        errors.push(FieldError::invalid(&Path::new("status.certificate"), "<certificate data>", why));
    }
}

/// Checks what an update through `part` changes.
pub(super) fn validate_update(errors: &mut Vec<FieldError>, new: &Value, old: &Value, part: Part) {
    validate_request(errors, new, Some(old));
    let path = Path::new("status.conditions");
    for kind in [APPROVED, DENIED, FAILED] {
        if conditions(new, kind).len() < conditions(old, kind).len() {
            errors.push(FieldError::forbidden(
                &path,
                format!("updates may not remove a condition of type \"{kind}\""),
            ));
        }
    }
    for kind in [APPROVED, DENIED].into_iter().filter(|_| part != Part::Approval) {
        let (now, before) = (conditions(new, kind), conditions(old, kind));
        let verb = if now.len() > before.len() {
            "add"
        } else if now.len() == before.len()
            && now.iter().zip(&before).any(|(now, before)| !same(Some(now), Some(before)))
        {
            "modify"
        } else {
            continue;
        };
        errors.push(FieldError::forbidden(
            &path,
            format!("updates may not {verb} a condition of type \"{kind}\""),
        ));
    }
    let (now, before) = (text(new, "status.certificate"), text(old, "status.certificate"));
    if now != before {
        let why = match part {
            Part::Status if before.is_empty() => return,
            Part::Status => "updates may not modify existing certificate content",
            Part::Main | Part::Approval => "updates may not set certificate content",
        };
        errors.push(FieldError::forbidden(&Path::new("status.certificate"), why));
    }
}

/// The request in `spec.request`: Base64 of PEM of PKCS#10 (RFC 2986), signed by its own key.
fn parse_request(text: &str) -> Result<(), &'static str> {
    const NOT_PEM: &str = "PEM block type must be CERTIFICATE REQUEST";
    let pem = STANDARD.decode(text.replace(['\r', '\n'], "")).map_err(|_| NOT_PEM)?;
    let block = Pem::iter_from_buffer(&pem).next().and_then(Result::ok).ok_or(NOT_PEM)?;
    if block.label != "CERTIFICATE REQUEST" {
        return Err(NOT_PEM);
    }
    let (rest, request) =
        X509CertificationRequest::from_der(&block.contents).map_err(|_| "asn1: structure error")?;
    if !rest.is_empty() {
        return Err("asn1: syntax error: trailing data");
    }
    request.verify_signature().map_err(|_| "x509: invalid signature on the certificate request")
}

/// The certificates in `status.certificate`: Base64 of PEM, or nothing.
fn parse_certificates(text: &str) -> Result<(), String> {
    if text.is_empty() {
        return Ok(());
    }
    let pem = STANDARD.decode(text.replace(['\r', '\n'], "")).unwrap_or_default();
    let mut found = false;
    for block in Pem::iter_from_buffer(&pem).map_while(Result::ok) {
        if block.label != "CERTIFICATE" {
            return Err(format!("only CERTIFICATE PEM blocks are allowed, found {:?}", block.label));
        }
        match X509Certificate::from_der(&block.contents) {
            Ok(([], _)) => found = true,
            Ok(_) => return Err("x509: trailing data".to_owned()),
            Err(_) => return Err("x509: malformed certificate".to_owned()),
        }
    }
    if found { Ok(()) } else { Err("must contain at least one CERTIFICATE PEM block".to_owned()) }
}

/// A signer is named by a domain of at least two labels and a path: `example.com/signer`.
pub(super) fn validate_signer_name(errors: &mut Vec<FieldError>, name: &str, path: &Path) {
    const LONGEST: usize = SUBDOMAIN_MAX + 1 + SUBDOMAIN_MAX + LABEL_MAX + 1;
    if name.is_empty() {
        errors.push(FieldError::required(path, "signerName must be provided"));
        return;
    }
    let [domain, rest] = name.split('/').collect::<Vec<_>>()[..] else {
        errors.push(FieldError::invalid(
            path,
            name,
            "must be a fully qualified domain and path of the form 'example.com/signer-name'",
        ));
        return;
    };
    if domain.len() > SUBDOMAIN_MAX {
        errors.push(FieldError::too_long(path, SUBDOMAIN_MAX));
    }
    validate_labels(errors, domain, dns_1123_label, path);
    if !domain.contains('.') {
        errors.push(FieldError::invalid(
            path,
            domain,
            "should be a domain with at least two segments separated by dots",
        ));
    }
    validate_labels(errors, rest, dns_1123_subdomain, path);
    if name.len() > LONGEST {
        errors.push(FieldError::too_long(path, LONGEST));
    }
}

/// The first label that is wrong tells enough.
fn validate_labels(errors: &mut Vec<FieldError>, part: &str, check: fn(&str) -> Vec<String>, path: &Path) {
    let wrong = part.split('.').map(|label| (label, check(label))).find(|(_, wrong)| !wrong.is_empty());
    for (label, why) in
        wrong.into_iter().flat_map(|(label, wrong)| wrong.into_iter().map(move |w| (label, w)))
    {
        errors.push(FieldError::invalid(path, part, format!("validating label \"{label}\": {why}")));
    }
}

fn validate_conditions(errors: &mut Vec<FieldError>, request: &Value, old: Option<&Value>) {
    const STATES: [&str; 3] = ["False", "True", "Unknown"];
    let path = Path::new("status.conditions");
    let before = |check: fn(&Value) -> bool| old.is_some_and(check);
    let all = items(request, "status.conditions");
    let mut seen: Vec<&str> = Vec::new();
    for (index, condition) in all.iter().enumerate() {
        let path = path.index(index);
        let kind = text(condition, "type");
        if kind.is_empty() && !before(has_nameless_conditions) {
            errors.push(FieldError::required(&path.child("type"), ""));
        }
        // These are decisions; there is no such thing as one that is not taken.
        let states: &[&str] = if matches!(kind, APPROVED | DENIED | FAILED) { &["True"] } else { &STATES };
        super::one_of(errors, &path.child("status"), text(condition, "status"), states);
        let opposite = match kind {
            APPROVED => DENIED,
            DENIED => APPROVED,
            _ => "-",
        };
        if seen.contains(&opposite) && !before(is_approved_and_denied) {
            errors.push(FieldError::invalid(
                &path.child("type"),
                kind,
                "Approved and Denied conditions are mutually exclusive",
            ));
        }
        if seen.contains(&kind) && !before(has_repeated_conditions) {
            errors.push(FieldError::duplicate(&path.child("type"), kind));
        }
        seen.push(kind);
    }
}

fn conditions<'a>(request: &'a Value, kind: &str) -> Vec<&'a Value> {
    items(request, "status.conditions").iter().filter(|one| text(one, "type") == kind).collect()
}

fn is_known_usage(usage: &Value) -> bool {
    usage.as_str().is_some_and(|usage| USAGES.contains(&usage))
}

fn has_unknown_usages(request: &Value) -> bool {
    items(request, "spec.usages").iter().any(|usage| !is_known_usage(usage))
}

fn has_repeated_usages(request: &Value) -> bool {
    !repeated(items(request, "spec.usages").iter().map(Value::as_str)).is_empty()
}

fn has_repeated_conditions(request: &Value) -> bool {
    !repeated(items(request, "status.conditions").iter().map(|one| Some(text(one, "type")))).is_empty()
}

fn has_nameless_conditions(request: &Value) -> bool {
    items(request, "status.conditions").iter().any(|one| text(one, "type").is_empty())
}

fn is_approved_and_denied(request: &Value) -> bool {
    !conditions(request, APPROVED).is_empty() && !conditions(request, DENIED).is_empty()
}

/// Where something stands that stood before.
fn repeated<'a>(all: impl Iterator<Item = Option<&'a str>>) -> Vec<usize> {
    let mut seen = BTreeSet::new();
    all.enumerate().filter(|(_, one)| !seen.insert(*one)).map(|(index, _)| index).collect()
}
