//! Signs the certificates whose requests were approved. Requests for other signers than ours are left to these.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::api::{Api, now};
use crate::signer::{Wanted, signs};
use crate::store::{Change, ObjectKey};

pub(super) const REQUESTS: &str = "certificates.k8s.io/certificatesigningrequests";

/// Issues what was approved and not issued yet.
pub(super) async fn request(api: &Arc<Api>, name: &str) {
    let (resource, key) = (REQUESTS.into(), ObjectKey::new("", name));
    let issued = api.store.modify(&resource, &key, |entry| {
        let mut object = entry.value();
        if entry.meta.deleting || !is_open(&object) {
            return None;
        }
        match sign(api, &object["spec"]) {
            Ok(pem) => object["status"]["certificate"] = STANDARD.encode(pem).into(),
            Err(why) => {
                let condition = json!({"type": "Failed", "status": "True", "reason": "SignerValidationFailure",
                    "message": why, "lastUpdateTime": now(), "lastTransitionTime": now()});
                object["status"]["conditions"].as_array_mut()?.push(condition);
            }
        }
        Some(Change::Put(object))
    });
    if let Err(error) = issued.await {
        tracing::warn!(%error, name, "the certificate was not issued; it is tried again at the next start");
    }
}

fn is_open(request: &Value) -> bool {
    let has = |kind: &str| {
        let conditions = request["status"]["conditions"].as_array().into_iter().flatten();
        conditions.filter(|c| c["type"] == kind).any(|c| c["status"] == "True")
    };
    let issued = request["status"]["certificate"].as_str().is_some_and(|c| !c.is_empty());
    request["spec"]["signerName"].as_str().is_some_and(signs)
        && !issued
        && has("Approved")
        && !has("Denied")
        && !has("Failed")
}

fn sign(api: &Api, spec: &Value) -> Result<String, String> {
    let pem = STANDARD.decode(spec["request"].as_str().unwrap_or_default()).map_err(|e| e.to_string())?;
    let pem = String::from_utf8(pem).map_err(|e| e.to_string())?;
    let wanted = Wanted {
        request: &pem,
        signer: spec["signerName"].as_str().unwrap_or_default(),
        usages: spec["usages"].as_array().into_iter().flatten().filter_map(Value::as_str).collect(),
        expiration_seconds: spec["expirationSeconds"].as_i64(),
    };
    api.signer.sign(&wanted, jiff::Timestamp::now())
}
