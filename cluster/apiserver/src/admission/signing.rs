//! CertificateSigningRequests: who asks is what the server knows, and who approves needs the signer's own right.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::identity::MASTERS;
use crate::rbac::Attributes;
use crate::resources::{Operation, WriteRequest};
use crate::signer::{self, CLIENTS};
use crate::status::{ApiError, Result};

pub(super) const GROUP: &str = "certificates.k8s.io";

pub(super) fn admit(request: &WriteRequest<'_>, before: Option<&Value>, value: &mut Value) -> Result<()> {
    if before.is_none() {
        return created(request, value);
    }
    if request.operation != Operation::Approval {
        return Ok(());
    }
    may(request, value, "approve")
}

/// Through `status` nobody approves or denies, and only who may sign puts a certificate or a failure there.
pub(super) fn status(request: &WriteRequest<'_>, before: &Value, value: &mut Value) -> Result<()> {
    let decided = |c: &Value| c["type"] == "Approved" || c["type"] == "Denied";
    let of = |object: &Value| object["status"]["conditions"].as_array().cloned().unwrap_or_default();
    let (old, new) = (of(before), of(value));
    let mut conditions: Vec<Value> = old.iter().filter(|c| decided(c)).cloned().collect();
    conditions.extend(new.into_iter().filter(|c| !decided(c)));
    let others_changed = conditions != old;
    if conditions.is_empty() {
        if let Some(status) = value["status"].as_object_mut() {
            status.remove("conditions");
        }
    } else {
        value["status"]["conditions"] = conditions.into();
    }
    if others_changed || value["status"]["certificate"] != before["status"]["certificate"] {
        return may(request, value, "sign");
    }
    Ok(())
}

/// Whether the one who asks has this right on the signer of the request.
fn may(request: &WriteRequest<'_>, value: &Value, verb: &str) -> Result<()> {
    let name = value["metadata"]["name"].as_str().unwrap_or_default();
    let signer = value["spec"]["signerName"].as_str().unwrap_or_default();
    let may = |signer: &str| {
        let attributes = Attributes {
            verb: verb.into(),
            group: GROUP.into(),
            resource: "signers".into(),
            name: signer.into(),
            ..Attributes::default()
        };
        request.api.authorizer.allowed(request.identity, &attributes)
    };
    let domain = signer.split_once('/').map_or(signer, |(domain, _)| domain);
    if may(signer) || may(&format!("{domain}/*")) {
        return Ok(());
    }
    let why = format!("user not permitted to {verb} requests with signerName {signer:?}");
    Err(ApiError::forbidden(GROUP, "certificatesigningrequests", name, why))
}

/// Nobody writes down somebody else as the one who asks.
fn created(request: &WriteRequest<'_>, value: &mut Value) -> Result<()> {
    let identity = request.identity;
    let spec = &mut value["spec"];
    if !spec.is_object() {
        return Ok(());
    }
    spec["username"] = identity.name.as_str().into();
    spec["groups"] = json!(identity.groups);
    for (field, found) in [
        ("uid", (!identity.uid.is_empty()).then(|| json!(identity.uid))),
        ("extra", (!identity.extra.is_empty()).then(|| json!(identity.extra))),
    ] {
        match (found, spec.as_object_mut()) {
            (Some(found), _) => spec[field] = found,
            (None, Some(spec)) => drop(spec.remove(field)),
            (None, None) => {}
        }
    }
    let asked = spec["request"].as_str().and_then(|r| STANDARD.decode(r).ok());
    let asked = asked.and_then(|bytes| String::from_utf8(bytes).ok());
    let groups = asked.and_then(|pem| signer::groups(&pem));
    let Some(groups) = groups.filter(|_| spec["signerName"] == CLIENTS) else {
        // What cannot be read is no request, and is not signed.
        return Ok(());
    };
    if groups.iter().any(|group| group == MASTERS) {
        let name = value["metadata"]["name"].as_str().unwrap_or_default();
        let why = format!("use of {CLIENTS} signer with {MASTERS} group is not allowed");
        return Err(ApiError::forbidden(GROUP, "certificatesigningrequests", name, why));
    }
    Ok(())
}
