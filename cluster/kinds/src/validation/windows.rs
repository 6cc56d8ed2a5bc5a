//! `windowsOptions` of Pods and containers.

use serde_json::Value;

use super::formats::dns_1123_subdomain;
use super::push_all;
use crate::field_error::{FieldError, Path};
use crate::fields::{at, text};

/// Checks `windowsOptions` of a security context.
pub(super) fn validate_options(errors: &mut Vec<FieldError>, context: &Value, path: &Path) {
    const CREDENTIALS_KIB: usize = 64;
    let Some(options) = at(context, "windowsOptions") else {
        return;
    };
    let spec = text(options, "gmsaCredentialSpecName");
    if at(options, "gmsaCredentialSpecName").is_some() {
        push_all(errors, &path.child("gmsaCredentialSpecName"), spec, dns_1123_subdomain(spec));
    }
    if let Some(credentials) = at(options, "gmsaCredentialSpec").and_then(Value::as_str) {
        let path = path.child("gmsaCredentialSpec");
        if credentials.is_empty() {
            errors.push(FieldError::invalid(
                &path,
                credentials,
                "gmsaCredentialSpec cannot be an empty string",
            ));
        } else if credentials.len() > CREDENTIALS_KIB * 1024 {
            errors.push(FieldError::invalid(
                &path,
                credentials,
                format!("gmsaCredentialSpec size must be under {CREDENTIALS_KIB} KiB"),
            ));
        }
    }
    if let Some(user) = at(options, "runAsUserName").and_then(Value::as_str) {
        for why in user_problems(user) {
            errors.push(FieldError::invalid(
                &path.child("runAsUserName"),
                user,
                format!("runAsUserName{why}"),
            ));
        }
    }
}

/// What is wrong with `DOMAIN\\User` or `User`, as the end of a sentence about it.
fn user_problems(name: &str) -> Vec<String> {
    const DOMAIN_MAX: usize = 256;
    const USER_MAX: usize = 104;
    const NOT_IN_USERS: &str = "\"/\\:;|=,+*?<>@[]";
    let parts: Vec<&str> = name.split('\\').collect();
    let (domain, user) = match parts[..] {
        _ if name.is_empty() => return vec![" cannot be an empty string".to_owned()],
        _ if name.chars().any(|c| c.is_ascii_control()) => {
            return vec![" cannot contain control characters".to_owned()];
        }
        [user] => (None, user),
        [domain, user] => (Some(domain), user),
        _ => return vec![" cannot contain more than one backslash".to_owned()],
    };
    let mut problems = Vec::new();
    if let Some(domain) = domain {
        if domain.len() >= DOMAIN_MAX {
            problems.push(format!("'s Domain length must be under {DOMAIN_MAX} characters"));
        }
        if !is_net_bios(domain) && !is_dns(domain) {
            problems.push("'s Domain doesn't match the NetBios nor the DNS format".to_owned());
        }
    }
    if user.is_empty() {
        problems.push("'s User cannot be empty".to_owned());
    } else if user.len() > USER_MAX {
        problems.push(format!("'s User length must not be longer than {USER_MAX} characters"));
    }
    if !user.is_empty() && user.chars().all(|c| c == '.' || c == ' ') {
        problems.push("'s User cannot contain only periods or spaces".to_owned());
    }
    if user.contains(|c| NOT_IN_USERS.contains(c)) {
        problems.push(format!("'s User cannot contain the following characters: {NOT_IN_USERS}"));
    }
    problems
}

/// A NetBIOS name: at most 15 characters, not beginning with a period.
fn is_net_bios(domain: &str) -> bool {
    !domain.is_empty()
        && domain.chars().count() <= 15
        && !domain.starts_with('.')
        && !domain.contains(|c: char| c.is_ascii_control() || "\\/:*?\"<>|".contains(c))
}

/// Labels of letters, digits and dashes.
fn is_dns(domain: &str) -> bool {
    domain.split('.').all(|label| {
        !label.is_empty()
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
    })
}
