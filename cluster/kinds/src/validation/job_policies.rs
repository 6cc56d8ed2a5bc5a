//! What a Job makes of pods that fail or succeed, who runs it, and the time zone of a CronJob.

use std::collections::BTreeSet;

use jiff::tz::TimeZoneDatabase;
use serde_json::Value;

use super::formats::{dns_1123_subdomain, http_path, qualified_name};
use super::{nonnegative, push_all};
use crate::field_error::{FieldError, Path};
use crate::fields::{at, count, integer, items, text};

const RULES: usize = 20;

/// Checks `podFailurePolicy` of a Job's spec (KEP-3329).
pub(super) fn validate_failure_policy(errors: &mut Vec<FieldError>, spec: &Value, path: &Path) {
    let path = path.child("podFailurePolicy.rules");
    let rules = items(spec, "podFailurePolicy.rules");
    if rules.len() > RULES {
        errors.push(FieldError::too_many(&path, rules.len(), RULES));
    }
    for (index, rule) in rules.iter().enumerate() {
        validate_failure_rule(errors, rule, spec, &path.index(index));
    }
}

fn validate_failure_rule(errors: &mut Vec<FieldError>, rule: &Value, spec: &Value, path: &Path) {
    const ACTIONS: [&str; 4] = ["Count", "FailIndex", "FailJob", "Ignore"];
    let action = text(rule, "action");
    let action_path = path.child("action");
    if action == "FailIndex" {
        if at(spec, "backoffLimitPerIndex").is_none() {
            errors.push(FieldError::invalid(
                &action_path,
                action,
                "requires the backoffLimitPerIndex to be set",
            ));
        }
    } else {
        listed(errors, action, &action_path, &ACTIONS);
    }
    let codes = at(rule, "onExitCodes");
    let patterns = items(rule, "onPodConditions");
    if let Some(codes) = codes {
        validate_exit_codes(errors, codes, spec, &path.child("onExitCodes"));
    }
    let patterns_path = path.child("onPodConditions");
    if patterns.len() > RULES {
        errors.push(FieldError::too_many(&patterns_path, patterns.len(), RULES));
    }
    for (index, pattern) in patterns.iter().enumerate() {
        let path = patterns_path.index(index);
        let kind = text(pattern, "type");
        push_all(errors, &path.child("type"), kind, qualified_name(kind));
        listed(errors, text(pattern, "status"), &path.child("status"), &["False", "True", "Unknown"]);
    }
    let why = match (codes.is_some(), patterns.is_empty()) {
        (true, false) => "specifying both OnExitCodes and OnPodConditions is not supported",
        (false, true) => "specifying one of OnExitCodes and OnPodConditions is required",
        _ => return,
    };
    errors.push(FieldError::invalid_whole(path, why));
}

/// One of `supported`, which a missing value is told about.
fn listed(errors: &mut Vec<FieldError>, value: &str, path: &Path, supported: &[&str]) {
    if value.is_empty() {
        let all: Vec<String> = supported.iter().map(|one| format!("\"{one}\"")).collect();
        errors.push(FieldError::required(path, format!("valid values: [{}]", all.join(" "))));
    } else if !supported.contains(&value) {
        errors.push(FieldError::not_supported(path, value, supported));
    }
}

fn validate_exit_codes(errors: &mut Vec<FieldError>, codes: &Value, spec: &Value, path: &Path) {
    const CODES: usize = 255;
    let operator = text(codes, "operator");
    listed(errors, operator, &path.child("operator"), &["In", "NotIn"]);
    if let Some(container) = at(codes, "containerName").and_then(Value::as_str) {
        let known = ["template.spec.containers", "template.spec.initContainers"]
            .into_iter()
            .flat_map(|list| items(spec, list))
            .any(|one| text(one, "name") == container);
        if !known {
            errors.push(FieldError::invalid(
                &path.child("containerName"),
                container,
                "must be one of the container or initContainer names in the pod template",
            ));
        }
    }
    let path = path.child("values");
    let values = items(codes, "values");
    let numbers: Vec<i64> = values.iter().map(|value| value.as_i64().unwrap_or(0)).collect();
    if values.is_empty() {
        errors.push(FieldError::invalid(&path, values.to_vec(), "at least one value is required"));
    } else if values.len() > CODES {
        errors.push(FieldError::too_many(&path, values.len(), CODES));
    }
    let mut seen = BTreeSet::new();
    for (index, number) in numbers.iter().enumerate() {
        if operator == "In" && *number == 0 {
            errors.push(FieldError::invalid(
                &path.index(index),
                *number,
                "must not be 0 for the In operator",
            ));
        }
        if !seen.insert(number) {
            errors.push(FieldError::duplicate(&path.index(index), *number));
        }
    }
    if !numbers.is_sorted() {
        errors.push(FieldError::invalid(&path, values.to_vec(), "must be ordered"));
    }
}

/// Checks `successPolicy` of a Job's spec (KEP-3998).
pub(super) fn validate_success_policy(errors: &mut Vec<FieldError>, spec: &Value, path: &Path) {
    let Some(policy) = at(spec, "successPolicy") else {
        return;
    };
    let path = path.child("successPolicy");
    if text(spec, "completionMode") != "Indexed" {
        errors.push(FieldError::invalid(&path, policy.clone(), "requires indexed completion mode"));
        return;
    }
    let path = path.child("rules");
    let rules = items(policy, "rules");
    if rules.is_empty() {
        errors.push(FieldError::required(
            &path,
            "at least one rules must be specified when the successPolicy is specified",
        ));
    }
    if rules.len() > RULES {
        errors.push(FieldError::too_many(&path, rules.len(), RULES));
    }
    // Without completions the Job is refused anyway.
    let Some(completions) = integer(spec, "completions") else {
        return;
    };
    for (index, rule) in rules.iter().enumerate() {
        validate_success_rule(errors, rule, completions, &path.index(index));
    }
}

fn validate_success_rule(errors: &mut Vec<FieldError>, rule: &Value, completions: i64, path: &Path) {
    const INDEXES_MAX: usize = 64 * 1024;
    let indexes = at(rule, "succeededIndexes").and_then(Value::as_str);
    let succeeded = integer(rule, "succeededCount");
    if indexes.is_none() && succeeded.is_none() {
        errors.push(FieldError::required(
            path,
            "at least one of succeededCount or succeededIndexes must be specified",
        ));
    }
    let mut total = 0;
    if let Some(indexes) = indexes {
        let path = path.child("succeededIndexes");
        if indexes.len() > INDEXES_MAX {
            errors.push(FieldError::too_long(&path, INDEXES_MAX));
        }
        match count_indexes(indexes, completions) {
            Ok(found) => total = found,
            Err(why) => errors.push(FieldError::invalid(
                &path,
                indexes,
                format!("error parsing succeededIndexes: {why}"),
            )),
        }
    }
    let Some(succeeded) = succeeded else {
        return;
    };
    nonnegative(errors, rule, "succeededCount", path);
    let path = path.child("succeededCount");
    if succeeded > completions {
        errors.push(FieldError::invalid(
            &path,
            succeeded,
            format!("must be less than or equal to {completions} (the number of specified completions)"),
        ));
    }
    if indexes.is_some() && succeeded > total {
        errors.push(FieldError::invalid(
            &path,
            succeeded,
            format!(
                "must be less than or equal to {total} (the number of indexes in the specified succeededIndexes field)"
            ),
        ));
    }
}

/// How many indexes `0,3-5,7` names: rising, each below the number of completions.
fn count_indexes(indexes: &str, completions: i64) -> Result<i64, String> {
    if indexes.is_empty() {
        return Ok(0);
    }
    let number = |text: &str| {
        text.parse::<i64>().map_err(|_| format!("cannot convert string to integer for index: \"{text}\""))
    };
    let mut total: i64 = 0;
    let mut last: Option<i64> = None;
    for interval in indexes.split(',') {
        let parts: Vec<&str> = interval.split('-').collect();
        if parts.len() > 2 {
            return Err(format!(
                "the fragment \"{interval}\" violates the requirement that an index interval can have at most two parts separated by '-'"
            ));
        }
        let first = number(parts[0])?;
        if first >= completions {
            return Err(format!("too large index: \"{}\"", parts[0]));
        }
        if let Some(last) = last.filter(|last| *last >= first) {
            return Err(format!("non-increasing order, previous: {last}, current: {first}"));
        }
        let mut end = first;
        if let Some(text) = parts.get(1) {
            end = number(text)?;
            if end >= completions {
                return Err(format!("too large index: \"{text}\""));
            }
            if first >= end {
                return Err(format!("non-increasing order, previous: {first}, current: {end}"));
            }
        }
        total += end - first + 1;
        last = Some(end);
    }
    Ok(total)
}

/// Checks `managedBy` of a Job's spec (KEP-4368): whose controller runs it.
pub(super) fn validate_managed_by(errors: &mut Vec<FieldError>, spec: &Value, path: &Path) {
    const LONGEST: usize = 63;
    let Some(manager) = at(spec, "managedBy").and_then(Value::as_str) else {
        return;
    };
    let path = path.child("managedBy");
    match manager.split_once('/') {
        _ if manager.is_empty() => errors.push(FieldError::required(&path, "")),
        Some((domain, rest)) if !domain.is_empty() && !rest.is_empty() => {
            push_all(errors, &path, domain, dns_1123_subdomain(domain));
            push_all(errors, &path, rest, http_path(rest));
        }
        _ => errors.push(FieldError::invalid(
            &path,
            manager,
            "must be a domain-prefixed path (such as \"acme.io/foo\")",
        )),
    }
    if manager.len() > LONGEST {
        errors.push(FieldError::too_long(&path, LONGEST));
    }
}

/// Checks the limits of an Indexed Job (KEP-3850).
pub(super) fn validate_indexes(errors: &mut Vec<FieldError>, spec: &Value, path: &Path) {
    const MOST: i64 = 100_000;
    const MANY: i64 = 10_000;
    let completions = integer(spec, "completions");
    let failed = integer(spec, "maxFailedIndexes");
    let failed_path = path.child("maxFailedIndexes");
    let mut too_many = |path: &Path, value: i64, limit: &str| {
        errors.push(FieldError::invalid(path, value, format!("must be less than or equal to {limit}")));
    };
    if let (Some(completions), Some(failed)) = (completions, failed)
        && failed > completions
    {
        too_many(&failed_path, failed, "completions");
    }
    if let Some(failed) = failed.filter(|failed| *failed > MOST) {
        too_many(&failed_path, failed, &MOST.to_string());
    }
    if completions.is_none_or(|completions| completions <= MOST) || at(spec, "backoffLimitPerIndex").is_none()
    {
        return;
    }
    let limit = format!("{MANY} when completions are above {MOST} and used with backoff limit per index");
    if let Some(parallelism) = integer(spec, "parallelism").filter(|parallelism| *parallelism > MANY) {
        too_many(&path.child("parallelism"), parallelism, &limit);
    }
    match failed {
        None => errors.push(FieldError::required(
            &failed_path,
            format!("must be specified when completions is above {MOST}"),
        )),
        Some(failed) if failed > MANY => too_many(&failed_path, failed, &limit),
        Some(_) => {}
    }
}

/// Checks `podReplacementPolicy` of a Job's spec (KEP-3939).
pub(super) fn validate_replacement(errors: &mut Vec<FieldError>, spec: &Value, path: &Path) {
    let policy = text(spec, "podReplacementPolicy");
    let supported: &[&str] = match at(spec, "podFailurePolicy") {
        Some(_) => &["Failed"],
        None => &["Failed", "TerminatingOrFailed"],
    };
    if !policy.is_empty() && !supported.contains(&policy) {
        errors.push(FieldError::not_supported(&path.child("podReplacementPolicy"), policy, supported));
    }
}

/// A time zone by its name in the time-zone database, which this program carries with it.
pub(super) fn validate_time_zone(errors: &mut Vec<FieldError>, zone: &str, path: &Path) {
    if zone.is_empty() {
        errors.push(FieldError::invalid(path, zone, "timeZone must be nil or non-empty string"));
        return;
    }
    let unknown = || FieldError::invalid(path, zone, format!("unknown time zone {zone}"));
    // https://data.iana.org/time-zones/theory.html#naming
    let is_part = |part: &str| {
        (1..=14).contains(&part.len())
            && !matches!(part, "." | "..")
            && !part.starts_with('-')
            && part.bytes().all(|b| b.is_ascii_alphanumeric() || b".-_+".contains(&b))
    };
    if !zone.split('/').all(is_part) {
        errors.push(unknown());
        return;
    }
    if zone.eq_ignore_ascii_case("local") {
        errors.push(FieldError::invalid(
            path,
            zone,
            "timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones",
        ));
    }
    // Names are told apart by case, as files are.
    let found = TimeZoneDatabase::bundled().get(zone);
    if !found.is_ok_and(|found| found.iana_name() == Some(zone)) {
        errors.push(unknown());
    }
}

/// A Job whose pods get an index is named so that they can be hosts.
pub(super) fn validate_indexed_name(errors: &mut Vec<FieldError>, job: &Value) {
    let completions = integer(job, "spec.completions").filter(|completions| *completions > 0);
    let (true, Some(completions)) = (text(job, "spec.completionMode") == "Indexed", completions) else {
        return;
    };
    let name = text(job, "metadata.name");
    let host = format!("{name}-{}", completions - 1);
    if count(job, "metadata") > 0 && !name.is_empty() && !super::formats::dns_1123_label(&host).is_empty() {
        errors.push(FieldError::invalid(
            &Path::new("metadata.name"),
            name,
            format!("will not able to create pod with invalid DNS label: {host}"),
        ));
    }
}
