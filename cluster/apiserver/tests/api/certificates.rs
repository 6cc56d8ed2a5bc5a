//! CertificateSigningRequests, and Secrets that hold an account's token.

use kube::Client;
use seaway_apiserver::Identity;
use serde_json::{Value, json};

use crate::support::*;

const REQUESTS: &str = "/apis/certificates.k8s.io/v1/certificatesigningrequests";

/// A request for a certificate of this user in these groups, PEM in base64 as the API takes it.
fn request_for(user: &str, group: &str) -> String {
    use base64::Engine;
    let mut params = rcgen::CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(rcgen::DnType::CommonName, user);
    params.distinguished_name.push(rcgen::DnType::OrganizationName, group);
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
    let pem = params.serialize_request(&key).unwrap().pem().unwrap();
    base64::engine::general_purpose::STANDARD.encode(pem)
}

fn request(name: &str, user: &str, group: &str) -> Value {
    json!({"metadata": {"name": name}, "spec": {"request": request_for(user, group),
        "signerName": "kubernetes.io/kube-apiserver-client", "usages": ["client auth"],
        "expirationSeconds": 3600, "username": "somebody-else", "groups": ["system:masters"]}})
}

async fn approve(client: &Client, name: &str) -> (u16, Value) {
    let mut object = done(client, "GET", &format!("{REQUESTS}/{name}"), json!(null)).await;
    object["status"]["conditions"] = json!([{"type": "Approved", "status": "True", "reason": "Test"}]);
    object["spec"]["username"] = "somebody-else".into();
    object["metadata"]["labels"] = json!({"a": "b"});
    let (code, _, answer) = ask(client, "PUT", &format!("{REQUESTS}/{name}/approval"), object).await;
    (code, answer)
}

#[tokio::test]
async fn an_approved_request_is_signed_for_the_user_that_it_names() {
    let server = start().await;
    let admin = server.admin();
    let made = done(&admin, "POST", REQUESTS, request("jane", "jane", "dev")).await;
    assert_eq!(made["spec"]["username"], "kubernetes-admin", "who asks is what the server knows");
    assert_ne!(made["spec"]["groups"], json!(["system:masters"]));
    let (code, answer) = approve(&admin, "jane").await;
    assert_eq!(code, 200, "{answer}");
    assert!(answer["metadata"]["labels"].is_null() && answer["spec"]["username"] == "kubernetes-admin");
    let path = format!("{REQUESTS}/jane");
    let signed = eventually(&admin, &path, |_, r| r["status"]["certificate"].is_string()).await;
    use base64::Engine;
    let pem = base64::engine::general_purpose::STANDARD
        .decode(signed["status"]["certificate"].as_str().unwrap())
        .unwrap();
    let (_, pem) = x509_parser::pem::parse_x509_pem(&pem).unwrap();
    let certificate = pem.parse_x509().unwrap();
    assert_eq!(certificate.subject().to_string(), "CN=jane, O=dev");
    let seconds =
        certificate.validity().not_after.timestamp() - certificate.validity().not_before.timestamp();
    assert_eq!(seconds, 3600 + 300);
    assert!(!certificate.is_ca());
}

#[tokio::test]
async fn nobody_gets_a_certificate_of_the_masters_or_by_approving_himself() {
    let server = start().await;
    let admin = server.admin();
    let (code, ..) = ask(&admin, "POST", REQUESTS, request("root", "root", "system:masters")).await;
    assert_eq!(code, 403);
    // The right on the subresource is not the right on the signer.
    let rules = json!([{"apiGroups": ["certificates.k8s.io"], "verbs": ["*"],
        "resources": ["certificatesigningrequests", "certificatesigningrequests/approval"]}]);
    grant(&server, "jane", rules).await;
    let jane = server.server.client(Identity::user("jane", Vec::<String>::new()));
    done(&jane, "POST", REQUESTS, request("jane", "admin-of-all", "dev")).await;
    let (code, answer) = approve(&jane, "jane").await;
    assert_eq!(code, 403, "{answer}");
    // Nor is the right on the status.
    let rules = json!([{"apiGroups": ["certificates.k8s.io"], "verbs": ["*"],
        "resources": ["certificatesigningrequests/status"]}]);
    grant(&server, "status-writer", rules).await;
    let writer = server.server.client(Identity::user("status-writer", Vec::<String>::new()));
    let status = json!({"status": {"conditions": [{"type": "Approved", "status": "True", "reason": "Me"}]}});
    done(&writer, "PATCH", &format!("{REQUESTS}/jane/status"), status).await;
    let forged = json!({"status": {"certificate": "Zm9yZ2Vk"}});
    assert_eq!(ask(&writer, "PATCH", &format!("{REQUESTS}/jane/status"), forged).await.0, 403);
    let left = done(&admin, "GET", &format!("{REQUESTS}/jane"), json!(null)).await;
    assert!(left["status"]["conditions"].is_null() && left["status"]["certificate"].is_null());
}

#[tokio::test]
async fn a_token_secret_is_filled_and_goes_with_its_account() {
    let server = start().await;
    let admin = server.admin();
    let accounts = "/api/v1/namespaces/default/serviceaccounts";
    done(&admin, "POST", accounts, json!({"metadata": {"name": "robot"}})).await;
    let secret = json!({"metadata": {"name": "robot-token",
        "annotations": {"kubernetes.io/service-account.name": "robot"}},
        "type": "kubernetes.io/service-account-token"});
    done(&admin, "POST", "/api/v1/namespaces/default/secrets", secret).await;
    let path = "/api/v1/namespaces/default/secrets/robot-token";
    let filled = eventually(&admin, path, |_, secret| secret["data"]["token"].is_string()).await;
    assert!(filled["data"]["ca.crt"].is_string() && filled["data"]["namespace"] == "ZGVmYXVsdA==");
    use base64::Engine;
    let token = base64::engine::general_purpose::STANDARD.decode(filled["data"]["token"].as_str().unwrap());
    let token = String::from_utf8(token.unwrap()).unwrap();
    let review = json!({"spec": {"token": token}});
    let reviews = "/apis/authentication.k8s.io/v1/tokenreviews";
    let reviewed = done(&admin, "POST", reviews, review.clone()).await;
    assert_eq!(reviewed["status"]["user"]["username"], "system:serviceaccount:default:robot");
    done(&admin, "DELETE", &format!("{accounts}/robot"), json!(null)).await;
    eventually(&admin, path, |code, _| code == 404).await;
    assert_ne!(done(&admin, "POST", reviews, review).await["status"]["authenticated"], true);
}

#[tokio::test]
async fn a_request_that_two_readers_would_read_differently_is_not_signed() {
    use base64::Engine;
    let base64 = base64::engine::general_purpose::STANDARD;
    let server = start().await;
    let admin = server.admin();
    let bytes = |user: &str, group: &str| base64.decode(request_for(user, group)).unwrap();
    let smuggled = [b"x".as_slice(), &bytes("mallory", "system:masters"), &bytes("mallory", "devs")].concat();
    let mut two = request("two", "x", "y");
    two["spec"]["request"] = base64.encode(smuggled).into();
    let (code, _, answer) = ask(&admin, "POST", REQUESTS, two).await;
    if code == 201 {
        approve(&admin, "two").await;
        let path = format!("{REQUESTS}/two");
        let failed = |_, r: &Value| r["status"]["conditions"].to_string().contains("Failed");
        let end = eventually(&admin, &path, failed).await;
        assert!(end["status"]["certificate"].is_null(), "{end}");
    } else {
        assert_eq!(code, 422, "{answer}");
    }
}
