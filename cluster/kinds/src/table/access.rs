//! Who may do what: bindings, certificate requests, admission.

use serde_json::Value;

use super::format::{NONE, UNSET, age, human_duration, name, text_or};
use super::{AGE, NAME, Printer, spec, wide};
use crate::fields::{at, count, integer, items, text};

pub(super) static ROLE_BINDING: Printer = Printer {
    columns: &[
        NAME,
        spec("Role", "string", "The role that is granted"),
        AGE,
        wide("Users", "string", "Users that get it"),
        wide("Groups", "string", "Groups that get it"),
        wide("ServiceAccounts", "string", "Service accounts that get it"),
    ],
    cells: |object, now| {
        let subjects = |kind: &str| {
            let subjects = items(object, "subjects").iter().filter(|s| text(s, "kind") == kind);
            let names = subjects.map(|subject| match (kind, text(subject, "namespace")) {
                ("ServiceAccount", namespace) if !namespace.is_empty() => {
                    format!("{namespace}/{}", text(subject, "name"))
                }
                _ => text(subject, "name").to_owned(),
            });
            names.collect::<Vec<_>>().join(", ")
        };
        vec![
            name(object),
            format!("{}/{}", text(object, "roleRef.kind"), text(object, "roleRef.name")).into(),
            age(object, now),
            subjects("User").into(),
            subjects("Group").into(),
            subjects("ServiceAccount").into(),
        ]
    },
};

pub(super) static CERTIFICATE_SIGNING_REQUEST: Printer = Printer {
    columns: &[
        NAME,
        AGE,
        spec("SignerName", "string", "Who should sign"),
        spec("Requestor", "string", "Who asked"),
        spec("RequestedDuration", "string", "How long the certificate should be valid"),
        spec("Condition", "string", "What was decided"),
    ],
    cells: |object, now| {
        let has = |kind: &str| items(object, "status.conditions").iter().any(|c| text(c, "type") == kind);
        let decision = if has("Denied") {
            "Denied"
        } else if has("Approved") {
            "Approved"
        } else {
            "Pending"
        };
        let failed = if has("Failed") { ",Failed" } else { "" };
        let issued = if text(object, "status.certificate").is_empty() { "" } else { ",Issued" };
        vec![
            name(object),
            age(object, now),
            text_or(object, "spec.signerName", NONE).into(),
            text(object, "spec.username").into(),
            integer(object, "spec.expirationSeconds").map_or(NONE.to_owned(), human_duration).into(),
            format!("{decision}{failed}{issued}").into(),
        ]
    },
};

pub(super) static WEBHOOK_CONFIGURATION: Printer = Printer {
    columns: &[NAME, spec("Webhooks", "integer", "How many webhooks it has"), AGE],
    cells: |object, now| vec![name(object), count(object, "webhooks").into(), age(object, now)],
};

pub(super) static VALIDATING_ADMISSION_POLICY: Printer = Printer {
    columns: &[
        NAME,
        spec("Validations", "integer", "How many rules it has"),
        spec("ParamKind", "string", "The kind of its parameters"),
        AGE,
    ],
    cells: |object, now| {
        let kind = at(object, "spec.paramKind")
            .map_or(UNSET.to_owned(), |kind| format!("{}/{}", text(kind, "apiVersion"), text(kind, "kind")));
        vec![name(object), count(object, "spec.validations").into(), kind.into(), age(object, now)]
    },
};

pub(super) static VALIDATING_ADMISSION_POLICY_BINDING: Printer = Printer {
    columns: &[
        NAME,
        spec("PolicyName", "string", "The policy that is bound"),
        spec("ParamRef", "string", "The object with the parameters"),
        AGE,
    ],
    cells: |object, now| {
        vec![
            name(object),
            text(object, "spec.policyName").into(),
            parameters(object).into(),
            age(object, now),
        ]
    },
};

fn parameters(binding: &Value) -> String {
    let Some(reference) = at(binding, "spec.paramRef") else { return UNSET.to_owned() };
    match (text(reference, "namespace"), text(reference, "name")) {
        (_, "") => super::format::selector_or_none(reference, "selector"),
        ("", name) => format!("*/{name}"),
        (namespace, name) => format!("{namespace}/{name}"),
    }
}
