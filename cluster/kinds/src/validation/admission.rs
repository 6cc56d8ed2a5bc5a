//! Webhook configurations, and policies in CEL with their bindings.
//!
//! Of an expression only the syntax is checked here; the real server also checks its types and estimates its cost.

use std::collections::BTreeSet;

use serde_json::Value;

use super::formats::{dns_1035_label, dns_1123_subdomain, path_segment, port_number, qualified_name};
use super::labels::validate_selector;
use super::push_all;
use crate::field_error::{FieldError, Path};
use crate::fields::{at, count, integer, items, same, text};
use crate::structural::{is_cel_identifier, syntax_problem};

const FAILURE_POLICIES: [&str; 2] = ["Fail", "Ignore"];
const MATCH_POLICIES: [&str; 2] = ["Equivalent", "Exact"];
const NO_SIDE_EFFECTS: [&str; 2] = ["None", "NoneOnDryRun"];
const SIDE_EFFECTS: [&str; 4] = ["None", "NoneOnDryRun", "Some", "Unknown"];
const REVIEW_VERSIONS: [&str; 2] = ["v1", "v1beta1"];

/// Checks a configuration of webhooks, new or changed from `old`. What was wrong before stays accepted.
pub(super) fn validate_webhooks(errors: &mut Vec<FieldError>, configuration: &Value, old: Option<&Value>) {
    let known = old.map(|old| items(old, "webhooks")).unwrap_or_default();
    let strict = |right: fn(&Value) -> bool| known.iter().all(right);
    let no_side_effects = strict(|hook| NO_SIDE_EFFECTS.contains(&text(hook, "sideEffects")));
    let recognized = strict(|hook| {
        let versions = items(hook, "admissionReviewVersions");
        versions.is_empty() || versions.iter().any(is_review_version)
    });
    let unique = {
        let mut names = BTreeSet::new();
        known.iter().all(|hook| names.insert(text(hook, "name")))
    };
    let mut names = BTreeSet::new();
    for (index, hook) in items(configuration, "webhooks").iter().enumerate() {
        let path = Path::new("webhooks").index(index);
        let before = known.get(index).and_then(|hook| at(hook, "matchConditions"));
        let conditions_changed = known.len() != items(configuration, "webhooks").len()
            || !same(at(hook, "matchConditions"), before);
        validate_webhook(errors, hook, &path, no_side_effects, conditions_changed);
        validate_review_versions(errors, hook, &path.child("admissionReviewVersions"), recognized);
        let name = text(hook, "name");
        if unique && !name.is_empty() && !names.insert(name) {
            errors.push(FieldError::duplicate(&path.child("name"), name));
        }
    }
}

fn validate_webhook(
    errors: &mut Vec<FieldError>,
    hook: &Value,
    path: &Path,
    no_side_effects: bool,
    conditions_changed: bool,
) {
    validate_full_name(errors, text(hook, "name"), &path.child("name"));
    for (index, rule) in items(hook, "rules").iter().enumerate() {
        validate_rule(errors, rule, &path.child("rules").index(index));
    }
    known(errors, hook, "failurePolicy", path, &FAILURE_POLICIES);
    known(errors, hook, "matchPolicy", path, &MATCH_POLICIES);
    let allowed: &[&str] = if no_side_effects { &NO_SIDE_EFFECTS } else { &SIDE_EFFECTS };
    if at(hook, "sideEffects").is_none() {
        errors.push(FieldError::required(
            &path.child("sideEffects"),
            format!("must specify one of {}", allowed.join(", ")),
        ));
    }
    known(errors, hook, "sideEffects", path, allowed);
    if let Some(seconds) = integer(hook, "timeoutSeconds")
        && !(1..=30).contains(&seconds)
    {
        errors.push(FieldError::invalid(
            &path.child("timeoutSeconds"),
            seconds,
            "the timeout value must be between 1 and 30 seconds",
        ));
    }
    for field in ["namespaceSelector", "objectSelector"] {
        if let Some(selector) = at(hook, field) {
            validate_selector(errors, selector, &path.child(field));
        }
    }
    known(errors, hook, "reinvocationPolicy", path, &["IfNeeded", "Never"]);
    let config = path.child("clientConfig");
    match (at(hook, "clientConfig.url").and_then(Value::as_str), at(hook, "clientConfig.service")) {
        (Some(url), None) => validate_url(errors, url, &config.child("url")),
        (None, Some(service)) => validate_service(errors, service, &config.child("service")),
        _ => errors.push(FieldError::required(&config, "exactly one of url or service is required")),
    }
    if conditions_changed {
        validate_match_conditions(errors, hook, &path.child("matchConditions"));
    }
}

/// One of `supported`, if there is something.
fn known(errors: &mut Vec<FieldError>, owner: &Value, field: &str, path: &Path, supported: &[&str]) {
    if let Some(value) = at(owner, field).and_then(Value::as_str)
        && !supported.contains(&value)
    {
        errors.push(FieldError::not_supported(&path.child(field), value, supported));
    }
}

/// A name of at least three labels, so that it is somebody's.
fn validate_full_name(errors: &mut Vec<FieldError>, name: &str, path: &Path) {
    let wrong = dns_1123_subdomain(name);
    if name.is_empty() {
        errors.push(FieldError::required(path, ""));
    } else if !wrong.is_empty() {
        errors.push(FieldError::invalid(path, name, wrong.join(",")));
    } else if name.split('.').count() < 3 {
        errors.push(FieldError::invalid(
            path,
            name,
            "should be a domain with at least three segments separated by dots",
        ));
    }
}

fn is_review_version(version: &Value) -> bool {
    version.as_str().is_some_and(|version| REVIEW_VERSIONS.contains(&version))
}

fn validate_review_versions(errors: &mut Vec<FieldError>, hook: &Value, path: &Path, recognized: bool) {
    let versions = items(hook, "admissionReviewVersions");
    if versions.is_empty() {
        errors
            .push(FieldError::required(path, format!("must specify one of {}", REVIEW_VERSIONS.join(", "))));
        return;
    }
    for (index, version) in versions.iter().enumerate() {
        let path = path.index(index);
        if versions[..index].contains(version) {
            errors.push(FieldError::invalid(&path, version.clone(), "duplicate version"));
            continue;
        }
        let version = version.as_str().unwrap_or_default();
        push_all(errors, &path, version, dns_1035_label(version));
    }
    if recognized && !versions.iter().any(is_review_version) {
        errors.push(FieldError::invalid(
            path,
            versions.to_vec(),
            format!("must include at least one of {}", REVIEW_VERSIONS.join(", ")),
        ));
    }
}

fn validate_url(errors: &mut Vec<FieldError>, url: &str, path: &Path) {
    const FORM: &str = "; desired format: https://host[/path]";
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, tail) = if scheme.is_empty() { ("", rest) } else { rest.split_at(end) };
    let (user, host) = match authority.rsplit_once('@') {
        Some((user, host)) => (Some(user), host),
        None => (None, authority),
    };
    if scheme != "https" {
        errors.push(FieldError::invalid(
            path,
            scheme,
            format!("'https' is the only allowed URL scheme{FORM}"),
        ));
    }
    if host.is_empty() {
        errors.push(FieldError::invalid(path, host, format!("host must be provided{FORM}")));
    }
    if let Some(user) = user {
        errors.push(FieldError::invalid(path, user, "user information is not permitted in the URL"));
    }
    let (tail, fragment) = tail.split_once('#').unwrap_or((tail, ""));
    if !fragment.is_empty() {
        errors.push(FieldError::invalid(path, fragment, "fragments are not permitted in the URL"));
    }
    let query = tail.split_once('?').map_or("", |(_, query)| query);
    if !query.is_empty() {
        errors.push(FieldError::invalid(path, query, "query parameters are not permitted in the URL"));
    }
}

fn validate_service(errors: &mut Vec<FieldError>, service: &Value, path: &Path) {
    for field in ["name", "namespace"] {
        if text(service, field).is_empty() {
            errors.push(FieldError::required(&path.child(field), format!("service {field} is required")));
        }
    }
    let port = integer(service, "port").unwrap_or(0);
    let wrong = port_number(port);
    if !wrong.is_empty() {
        errors.push(FieldError::invalid(
            &path.child("port"),
            port,
            format!("port is not valid: {}", wrong.join(", ")),
        ));
    }
    let given = text(service, "path");
    let path = path.child("path");
    let mut wrong = |why: String| errors.push(FieldError::invalid(&path, given, why));
    match given {
        "" | "/" => {}
        "//" => wrong("segment[0] may not be empty".to_owned()),
        _ => {
            if !given.starts_with('/') {
                wrong("must start with a '/'".to_owned());
            }
            let rest = given.get(1..).unwrap_or_default();
            for (index, segment) in rest.strip_suffix('/').unwrap_or(rest).split('/').enumerate() {
                if segment.is_empty() {
                    wrong(format!("segment[{index}] may not be empty"));
                } else {
                    dns_1123_subdomain(segment)
                        .into_iter()
                        .for_each(|why| wrong(format!("segment[{index}]: {why}")));
                }
            }
        }
    }
}

/// Which operations on which resources.
fn validate_rule(errors: &mut Vec<FieldError>, rule: &Value, path: &Path) {
    const OPERATIONS: [&str; 5] = ["*", "CONNECT", "CREATE", "DELETE", "UPDATE"];
    let alone = |errors: &mut Vec<FieldError>, field: &str, what: &str| {
        let values = items(rule, field);
        if values.is_empty() {
            errors.push(FieldError::required(&path.child(field), ""));
        }
        if values.len() > 1 && values.iter().any(|value| value == "*") {
            errors.push(FieldError::invalid(
                &path.child(field),
                values.to_vec(),
                format!("if '*' is present, must not specify other {what}"),
            ));
        }
    };
    alone(errors, "operations", "operations");
    for (index, operation) in items(rule, "operations").iter().enumerate() {
        if !operation.as_str().is_some_and(|operation| OPERATIONS.contains(&operation)) {
            errors.push(FieldError::not_supported(
                &path.child("operations").index(index),
                operation.clone(),
                &OPERATIONS,
            ));
        }
    }
    alone(errors, "apiGroups", "API groups");
    alone(errors, "apiVersions", "API versions");
    for (index, _) in items(rule, "apiVersions").iter().enumerate().filter(|(_, version)| *version == "") {
        errors.push(FieldError::required(&path.child("apiVersions").index(index), ""));
    }
    validate_resources(errors, rule, &path.child("resources"));
    known(errors, rule, "scope", path, &["*", "Cluster", "Namespaced"]);
}

/// Resources with subresources: what a wildcard covers is not named again.
fn validate_resources(errors: &mut Vec<FieldError>, rule: &Value, path: &Path) {
    let resources = items(rule, "resources");
    if resources.is_empty() {
        errors.push(FieldError::required(path, ""));
    }
    let (mut whole, mut parts) = (BTreeSet::new(), BTreeSet::new());
    let mut bare = false;
    for (index, resource) in resources.iter().enumerate() {
        let resource = resource.as_str().unwrap_or_default();
        let path = path.index(index);
        if resource.is_empty() {
            errors.push(FieldError::required(&path, ""));
            continue;
        }
        let Some((main, sub)) = resource.split_once('/') else {
            bare = resource != "*";
            continue;
        };
        if whole.contains(main) {
            errors.push(FieldError::invalid(
                &path,
                resource,
                format!("if '{main}/*' is present, must not specify {resource}"),
            ));
        }
        if parts.contains(sub) {
            errors.push(FieldError::invalid(
                &path,
                resource,
                format!("if '*/{sub}' is present, must not specify {resource}"),
            ));
        }
        if sub == "*" {
            whole.insert(main);
        }
        if main == "*" {
            parts.insert(sub);
        }
    }
    let has = |wanted: &str| resources.iter().any(|resource| resource == wanted);
    if resources.len() > 1 && has("*/*") {
        errors.push(FieldError::invalid(
            path,
            resources.to_vec(),
            "if '*/*' is present, must not specify other resources",
        ));
    }
    if has("*") && bare {
        errors.push(FieldError::invalid(
            path,
            resources.to_vec(),
            "if '*' is present, must not specify other resources without subresources",
        ));
    }
}

fn validate_match_conditions(errors: &mut Vec<FieldError>, owner: &Value, path: &Path) {
    const LIMIT: usize = 64;
    let conditions = items(owner, "matchConditions");
    if conditions.len() > LIMIT {
        errors.push(FieldError::too_many(path, conditions.len(), LIMIT));
    }
    let mut names = BTreeSet::new();
    for (index, condition) in conditions.iter().enumerate() {
        let path = path.index(index);
        validate_expression(errors, text(condition, "expression"), &path.child("expression"), "");
        let name = text(condition, "name");
        if name.is_empty() {
            errors.push(FieldError::required(&path.child("name"), ""));
            continue;
        }
        push_all(errors, &path.child("name"), name, qualified_name(name));
        if !names.insert(name) {
            errors.push(FieldError::duplicate(&path.child("name"), name));
        }
    }
}

/// An expression that is there and can be read.
fn validate_expression(errors: &mut Vec<FieldError>, expression: &str, path: &Path, missing: &str) {
    if expression.trim().is_empty() {
        errors.push(FieldError::required(path, missing));
    } else if let Some(problem) = syntax_problem(expression) {
        errors.push(FieldError::invalid(path, expression, format!("compilation failed: {problem}")));
    }
}

/// Checks a ValidatingAdmissionPolicy.
pub(super) fn validate_policy(errors: &mut Vec<FieldError>, policy: &Value, old: Option<&Value>) {
    const ANNOTATIONS: usize = 20;
    const NEITHER: &str = "validations or auditAnnotations must contain at least one item";
    let path = Path::new("spec");
    let empty = Value::Null;
    let spec = policy.get("spec").unwrap_or(&empty);
    super::one_of(errors, &path.child("failurePolicy"), text(spec, "failurePolicy"), &FAILURE_POLICIES);
    if let Some(kind) = at(spec, "paramKind") {
        validate_parameter_kind(errors, kind, &path.child("paramKind"));
    }
    let constraints = path.child("matchConstraints");
    match at(spec, "matchConstraints") {
        None => errors.push(FieldError::required(&constraints, "")),
        Some(resources) => {
            validate_match_resources(errors, resources, &constraints);
            if count(resources, "resourceRules") == 0 {
                errors.push(FieldError::required(&constraints.child("resourceRules"), ""));
            }
        }
    }
    let unchanged = |field: &str| {
        old.is_some_and(|old| same(at(spec, field), old.get("spec").and_then(|old| at(old, field))))
    };
    if !(unchanged("paramKind") && unchanged("matchConditions")) {
        validate_match_conditions(errors, spec, &path.child("matchConditions"));
    }
    for (index, variable) in items(spec, "variables").iter().enumerate() {
        let path = path.child("variables").index(index);
        let name = text(variable, "name");
        if name.trim().is_empty() {
            errors.push(FieldError::required(&path.child("name"), "name is not specified"));
        } else if !is_cel_identifier(name) {
            errors.push(FieldError::invalid(&path.child("name"), name, "name is not a valid CEL identifier"));
        }
        let expression = text(variable, "expression");
        validate_expression(errors, expression, &path.child("expression"), "expression is not specified");
    }
    let annotations = items(spec, "auditAnnotations");
    let annotations_path = path.child("auditAnnotations");
    if count(spec, "validations") == 0 && annotations.is_empty() {
        errors.push(FieldError::required(&path.child("validations"), NEITHER));
        errors.push(FieldError::required(&annotations_path, NEITHER));
        return;
    }
    for (index, validation) in items(spec, "validations").iter().enumerate() {
        validate_validation(errors, validation, &path.child("validations").index(index));
    }
    if annotations.len() > ANNOTATIONS {
        errors.push(FieldError::invalid(
            &annotations_path,
            annotations.to_vec(),
            format!("must not have more than {ANNOTATIONS} auditAnnotations"),
        ));
    }
    let mut keys = BTreeSet::new();
    for (index, annotation) in annotations.iter().enumerate() {
        let path = annotations_path.index(index);
        validate_audit_annotation(errors, annotation, text(policy, "metadata.name"), &path);
        let key = text(annotation, "key");
        if !keys.insert(key) {
            errors.push(FieldError::duplicate(&path.child("key"), key));
        }
    }
}

fn validate_parameter_kind(errors: &mut Vec<FieldError>, given: &Value, path: &Path) {
    let version_path = path.child("apiVersion");
    let given_version = text(given, "apiVersion");
    let parts: Vec<&str> = given_version.split('/').collect();
    match parts[..] {
        _ if given_version.is_empty() => errors.push(FieldError::required(&version_path, "")),
        [version] => validate_group_version(errors, "", version, given_version, &version_path),
        [group, version] => validate_group_version(errors, group, version, given_version, &version_path),
        _ => errors.push(FieldError::invalid(
            &version_path,
            given_version,
            format!("unexpected GroupVersion string: {given_version}"),
        )),
    }
    let kind = text(given, "kind");
    let wrong = dns_1035_label(&kind.to_lowercase());
    if kind.is_empty() {
        errors.push(FieldError::required(&path.child("kind"), ""));
    } else if !wrong.is_empty() {
        errors.push(FieldError::invalid(
            &path.child("kind"),
            kind,
            format!("may have mixed case, but should otherwise match: {}", wrong.join(",")),
        ));
    }
}

fn validate_group_version(
    errors: &mut Vec<FieldError>,
    group: &str,
    version: &str,
    given: &str,
    path: &Path,
) {
    let wrong = dns_1123_subdomain(group);
    if !group.is_empty() && !wrong.is_empty() {
        errors.push(FieldError::invalid(path, group, wrong.join(",")));
    }
    let wrong = dns_1035_label(version);
    if version.is_empty() {
        errors.push(FieldError::invalid(path, given, "version must be specified"));
    } else if !wrong.is_empty() {
        errors.push(FieldError::invalid(path, version, wrong.join(",")));
    }
}

fn validate_match_resources(errors: &mut Vec<FieldError>, resources: &Value, path: &Path) {
    super::one_of(errors, &path.child("matchPolicy"), text(resources, "matchPolicy"), &MATCH_POLICIES);
    for field in ["namespaceSelector", "objectSelector"] {
        match at(resources, field) {
            None => errors.push(FieldError::required(&path.child(field), "")),
            Some(selector) => validate_selector(errors, selector, &path.child(field)),
        }
    }
    for field in ["resourceRules", "excludeResourceRules"] {
        for (index, rule) in items(resources, field).iter().enumerate() {
            let path = path.child(field).index(index);
            let names = items(rule, "resourceNames");
            for (index, name) in names.iter().enumerate() {
                let path = path.child("resourceNames").index(index);
                let text = name.as_str().unwrap_or_default();
                push_all(errors, &path, text, path_segment(text, false));
                if names[..index].contains(name) {
                    errors.push(FieldError::duplicate(&path, text));
                }
            }
            validate_rule(errors, rule, &path);
        }
    }
}

fn validate_validation(errors: &mut Vec<FieldError>, validation: &Value, path: &Path) {
    const REASONS: [&str; 3] = ["Forbidden", "Invalid", "RequestEntityTooLarge"];
    let expression = text(validation, "expression");
    validate_expression(errors, expression, &path.child("expression"), "expression is not specified");
    let own = text(validation, "messageExpression");
    if !own.is_empty() && own.trim().is_empty() {
        errors.push(FieldError::invalid(
            &path.child("messageExpression"),
            own,
            "must be non-empty if specified",
        ));
    } else if !own.is_empty() {
        validate_expression(errors, own, &path.child("messageExpression"), "");
    }
    let message = text(validation, "message");
    if !message.is_empty() && message.trim().is_empty() {
        errors.push(FieldError::invalid(
            &path.child("message"),
            message,
            "message must be non-empty if specified",
        ));
    } else if message.trim().contains(['\n', '\r']) {
        errors.push(FieldError::invalid(
            &path.child("message"),
            message,
            "message must not contain line breaks",
        ));
    }
    known(errors, validation, "reason", path, &REASONS);
}

fn validate_audit_annotation(errors: &mut Vec<FieldError>, annotation: &Value, policy: &str, path: &Path) {
    const LONGEST: usize = 5 * 1024;
    let key = text(annotation, "key");
    let full = format!("{policy}/{key}");
    if policy.is_empty() {
        errors.push(FieldError::invalid(&path.child("key"), key, "requires metadata.name be non-empty"));
    } else {
        push_all(errors, &path.child("key"), &full, qualified_name(&full));
    }
    let expression = text(annotation, "valueExpression");
    let path = path.child("valueExpression");
    if expression.trim().len() > LONGEST {
        errors.push(FieldError::required(&path, format!("must not exceed {LONGEST} bytes in length")));
    } else {
        validate_expression(errors, expression, &path, "valueExpression is not specified");
    }
}

/// Checks a ValidatingAdmissionPolicyBinding.
pub(super) fn validate_policy_binding(errors: &mut Vec<FieldError>, binding: &Value) {
    let path = Path::new("spec");
    let policy = text(binding, "spec.policyName");
    if policy.is_empty() {
        errors.push(FieldError::required(&path.child("policyName"), ""));
    } else {
        push_all(errors, &path.child("policyName"), policy, dns_1123_subdomain(policy));
    }
    if let Some(parameters) = at(binding, "spec.paramRef") {
        validate_parameters(errors, parameters, &path.child("paramRef"));
    }
    if let Some(resources) = at(binding, "spec.matchResources") {
        // The real server's spelling.
        validate_match_resources(errors, resources, &path.child("matchResouces"));
    }
    validate_actions(errors, items(binding, "spec.validationActions"), &path.child("validationActions"));
}

fn validate_parameters(errors: &mut Vec<FieldError>, parameters: &Value, path: &Path) {
    const BOTH: &str = "name and selector are mutually exclusive";
    let name = text(parameters, "name");
    let selector = at(parameters, "selector");
    if !name.is_empty() {
        push_all(errors, &path.child("name"), name, path_segment(name, false));
        if selector.is_some() {
            errors.push(FieldError::forbidden(&path.child("name"), BOTH));
        }
    }
    if let Some(selector) = selector {
        validate_selector(errors, selector, &path.child("selector"));
        if !name.is_empty() {
            errors.push(FieldError::forbidden(&path.child("selector"), BOTH));
        }
    } else if name.is_empty() {
        errors.push(FieldError::required(path, "one of name or selector must be specified"));
    }
    let missing = text(parameters, "parameterNotFoundAction");
    super::one_of(errors, &path.child("parameterNotFoundAction"), missing, &["Deny", "Allow"]);
}

fn validate_actions(errors: &mut Vec<FieldError>, actions: &[Value], path: &Path) {
    const ACTIONS: [&str; 3] = ["Audit", "Deny", "Warn"];
    for (index, action) in actions.iter().enumerate() {
        if !action.as_str().is_some_and(|action| ACTIONS.contains(&action)) {
            errors.push(FieldError::not_supported(&path.index(index), action.clone(), &ACTIONS));
        }
        if actions[..index].contains(action) {
            errors.push(FieldError::duplicate(&path.index(index), action.clone()));
        }
    }
    let has = |wanted: &str| actions.iter().any(|action| action == wanted);
    if has("Deny") && has("Warn") {
        errors.push(FieldError::invalid(
            path,
            actions.to_vec(),
            "must not contain both Deny and Warn (repeating the same validation failure information in the API response and headers serves no purpose)",
        ));
    }
    if actions.is_empty() {
        errors.push(FieldError::required(path, "at least one validation action is required"));
    }
}
