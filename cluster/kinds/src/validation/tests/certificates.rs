//! Certificate signing requests.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::{created, merged, on_create, on_update, texts, validate_approval_update, validate_status_update};

const GROUP: &str = "certificates.k8s.io";
const KIND: &str = "CertificateSigningRequest";
/// Of `CN=jane, O=dev`, signed by its own key.
const REQUEST: &str = "-----BEGIN CERTIFICATE REQUEST-----\n\
MIHXMH8CAQAwHTENMAsGA1UEAwwEamFuZTEMMAoGA1UECgwDZGV2MFkwEwYHKoZI\n\
zj0CAQYIKoZIzj0DAQcDQgAEPOdUOy3MT3PjsE7h/eSgkrPUBUnWE4l0IwY8mE3v\n\
nTunL3rLT9ugkNRpOblLFhScRe8T+ygQVEnAxBujYG21JqAAMAoGCCqGSM49BAMC\n\
A0gAMEUCIQCe604CTuIWQtTgjo40kbLEOn3dua5danoMcFDv0/AZuQIgPgZTNY2k\n\
lAOAkVP8SmO1wmMekybhTOCIsGt17o+WXcM=\n\
-----END CERTIFICATE REQUEST-----\n";
const CERTIFICATE: &str = "-----BEGIN CERTIFICATE-----\n\
MIIBdDCCARmgAwIBAgIUKOvj7GK8J3iSFi6zwS9zpQh2dzYwCgYIKoZIzj0EAwIw\n\
DzENMAsGA1UEAwwEamFuZTAeFw0yNjExMjgwNTQ1MDRaFw0zNjExMjUwNTQ1MDRa\n\
MA8xDTALBgNVBAMMBGphbmUwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNCAAQ851Q7\n\
LcxPc+OwTuH95KCSs9QFSdYTiXQjBjyYTe+dO6cvestP26CQ1Gk5uUsWFJxF7xP7\n\
KBBUScDEG6NgbbUmo1MwUTAdBgNVHQ4EFgQUMB7e/oS5scZlE8LPvDazRwvRW4Qw\n\
HwYDVR0jBBgwFoAUMB7e/oS5scZlE8LPvDazRwvRW4QwDwYDVR0TAQH/BAUwAwEB\n\
/zAKBggqhkjOPQQDAgNJADBGAiEA6UMyA96d4wmOgJU2Q4neFhtcQlnijpERRvcz\n\
B03s7CICIQCCIZv3SY8doYeCfZRneh8MGSYdP8S8OhLb1+7mikvKkw==\n\
-----END CERTIFICATE-----\n";

fn request() -> Value {
    json!({"metadata": {"name": "Any name: it's yours"}, "spec": {"request": STANDARD.encode(REQUEST),
        "signerName": "example.com/own", "usages": ["digital signature", "client auth"], "expirationSeconds": 600}})
}

fn condition(kind: &str, status: &str) -> Value {
    json!({"type": kind, "status": status, "reason": "r", "message": "m"})
}

#[test]
fn requests_are_real_and_say_for_what_by_whom_and_for_how_long() {
    let field = |field: &str, value: Value| json!({"spec": {field: value}});
    let forged =
        REQUEST.replace("MIHXMH8CAQAwHTENMAsGA1UEAwwEamFuZTEM", "MIHXMH8CAQAwHTENMAsGA1UEAwwEamFuWTEM");
    assert_ne!(forged, REQUEST);
    let wrong = |text: &str, why: &str| {
        let text = STANDARD.encode(text);
        (field("request", json!(text)), format!("spec.request: Invalid value: \"{text}\": {why}"))
    };
    for (patch, expected) in [
        wrong("hello", "PEM block type must be CERTIFICATE REQUEST"),
        wrong(CERTIFICATE, "PEM block type must be CERTIFICATE REQUEST"),
        wrong(&forged, "x509: invalid signature on the certificate request"),
    ] {
        on_create(GROUP, KIND, &request(), &[(patch, &[&expected])]);
    }
    let usages = "\"any\", \"cert sign\", \"client auth\", \"code signing\", \"content commitment\", \"crl sign\", \"data encipherment\", \"decipher only\", \"digital signature\", \"email protection\", \"encipher only\", \"ipsec end system\", \"ipsec tunnel\", \"ipsec user\", \"key agreement\", \"key encipherment\", \"microsoft sgc\", \"netscape sgc\", \"ocsp signing\", \"s/mime\", \"server auth\", \"signing\", \"timestamping\"";
    on_create(
        GROUP,
        KIND,
        &request(),
        &[
            (field("usages", json!([])), &["spec.usages: Required value: usages must be provided"]),
            (
                field("usages", json!(["bogus"])),
                &[&format!("spec.usages[0]: Unsupported value: \"bogus\": supported values: {usages}")],
            ),
            (field("usages", json!(["any", "any"])), &["spec.usages[1]: Duplicate value: \"any\""]),
            (
                field("expirationSeconds", json!(3)),
                &[
                    "spec.expirationSeconds: Invalid value: 3: may not specify a duration less than 600 seconds (10 minutes)",
                ],
            ),
            (
                field("signerName", json!(null)),
                &["spec.signerName: Required value: signerName must be provided"],
            ),
            (
                field("signerName", json!("foo")),
                &[
                    "spec.signerName: Invalid value: \"foo\": must be a fully qualified domain and path of the form 'example.com/signer-name'",
                ],
            ),
            (
                field("signerName", json!("example/a")),
                &[
                    "spec.signerName: Invalid value: \"example\": should be a domain with at least two segments separated by dots",
                ],
            ),
            (
                field("signerName", json!("kubernetes.io/legacy-unknown")),
                &[
                    "spec.signerName: Invalid value: \"kubernetes.io/legacy-unknown\": the legacy signerName is not allowed via this API version",
                ],
            ),
        ],
    );
}

#[test]
fn a_request_keeps_what_it_asks_for() {
    let old = created(GROUP, KIND, &request());
    let mut new =
        merged(&old, &json!({"spec": {"signerName": "example.com/other", "groups": ["system:masters"]}}));
    crate::strategy::prepare_for_update(GROUP, KIND, &mut new, &old);
    assert_eq!(new["spec"], old["spec"]);
    on_update(GROUP, KIND, &request(), &[(json!({"metadata": {"labels": {"a": "b"}}}), &[])]);
}

#[test]
fn only_approval_approves_and_only_status_brings_the_certificate() {
    let old = created(GROUP, KIND, &request());
    let with = |status: Value| merged(&old, &json!({"status": status}));
    let approved = with(json!({"conditions": [condition("Approved", "True")]}));
    let status = |new: &Value, old: &Value| texts(validate_status_update(GROUP, KIND, new, old));
    let approval = |new: &Value, old: &Value| texts(validate_approval_update(new, old));
    assert_eq!(approval(&approved, &old), Vec::<String>::new());
    assert_eq!(
        status(&approved, &old),
        ["status.conditions: Forbidden: updates may not add a condition of type \"Approved\""]
    );
    assert_eq!(
        approval(&old, &approved),
        ["status.conditions: Forbidden: updates may not remove a condition of type \"Approved\""]
    );
    assert_eq!(
        approval(
            &with(json!({"conditions": [condition("Approved", "True"), condition("Denied", "False")]})),
            &approved
        ),
        [
            "status.conditions[1].status: Unsupported value: \"False\": supported values: \"True\"",
            "status.conditions[1].type: Invalid value: \"Denied\": Approved and Denied conditions are mutually exclusive",
        ]
    );
    let certificate =
        |text: &str| merged(&approved, &json!({"status": {"certificate": STANDARD.encode(text)}}));
    let issued = certificate(CERTIFICATE);
    assert_eq!(status(&issued, &approved), Vec::<String>::new());
    assert_eq!(
        approval(&issued, &approved),
        ["status.certificate: Forbidden: updates may not set certificate content"]
    );
    assert_eq!(
        status(&certificate(&CERTIFICATE.repeat(2)), &issued),
        ["status.certificate: Forbidden: updates may not modify existing certificate content"]
    );
    assert_eq!(
        status(&certificate("none"), &approved),
        [
            "status.certificate: Invalid value: \"<certificate data>\": must contain at least one CERTIFICATE PEM block"
        ]
    );
}
