//! CertificateSigningRequests, and Secrets that hold an account's token.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use kube::Client;
use seaway_apiserver::{ApiServer, Identity, Options};
use serde_json::{Value, json};

use crate::support::*;

const REQUESTS: &str = "/apis/certificates.k8s.io/v1/certificatesigningrequests";

fn key() -> rcgen::KeyPair {
    rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap()
}

/// A name of one or two organizations.
fn subject(user: &str, groups: &[&str]) -> rcgen::DistinguishedName {
    let mut name = rcgen::DistinguishedName::new();
    name.push(rcgen::DnType::CommonName, user);
    // The library knows one of each type: the second is given by its number.
    let types = [rcgen::DnType::OrganizationName, rcgen::DnType::CustomDnType(vec![2, 5, 4, 10])];
    for (ty, group) in types.into_iter().zip(groups) {
        name.push(ty, *group);
    }
    name
}

/// What a certificate of this user in these groups says.
fn params_of(user: &str, groups: &[&str]) -> rcgen::CertificateParams {
    let mut params = rcgen::CertificateParams::default();
    params.distinguished_name = subject(user, groups);
    params
}

/// PEM in base64, as the API takes it.
fn encoded(params: &rcgen::CertificateParams, key: &rcgen::KeyPair) -> String {
    STANDARD.encode(params.serialize_request(key).unwrap().pem().unwrap())
}

/// A request for a certificate of this user in this group.
fn request_for(user: &str, group: &str) -> String {
    encoded(&params_of(user, &[group]), &key())
}

/// The certificate that a request has come to, PEM.
fn certificate(request: &Value) -> String {
    String::from_utf8(STANDARD.decode(request["status"]["certificate"].as_str().unwrap()).unwrap()).unwrap()
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
    let pem = certificate(&signed);
    let (_, pem) = x509_parser::pem::parse_x509_pem(pem.as_bytes()).unwrap();
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
    let token = STANDARD.decode(filled["data"]["token"].as_str().unwrap());
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
    let base64 = STANDARD;
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

/// A client over TLS that shows a certificate, and sends a token besides when there is one.
fn remote(server: &ApiServer, certificate: &str, key: &rcgen::KeyPair, token: Option<&str>) -> Client {
    let address = server.address().unwrap();
    let mut config = kube::Config::new(format!("https://{address}").parse().unwrap());
    let (_, ca) = x509_parser::pem::parse_x509_pem(server.ca_pem().as_bytes()).unwrap();
    config.root_cert = Some(vec![ca.contents]);
    config.auth_info.client_certificate_data = Some(STANDARD.encode(certificate));
    config.auth_info.client_key_data = Some(STANDARD.encode(key.serialize_pem()).into());
    config.auth_info.token = token.map(|token| token.to_owned().into());
    Client::try_from(config).unwrap()
}

async fn listening() -> (ApiServer, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let listen = Some("127.0.0.1:0".parse().unwrap());
    let server = ApiServer::start(Options { listen, ..Options::new(folder.path()) }).await.unwrap();
    (server, folder)
}

/// Who a client is to the API.
async fn who(client: &Client) -> (u16, Value) {
    let reviews = "/apis/authentication.k8s.io/v1/selfsubjectreviews";
    let (code, _, answer) = ask(client, "POST", reviews, json!({})).await;
    (code, answer["status"]["userInfo"].clone())
}

#[tokio::test]
async fn a_certificate_of_several_groups_gives_them_all() {
    let (server, _folder) = listening().await;
    let admin = server.client(Identity::admin());
    let key = key();
    let params = params_of("jane", &["dev", "ops"]);
    let mut object = request("jane", "jane", "dev");
    object["spec"]["request"] = encoded(&params, &key).into();
    done(&admin, "POST", REQUESTS, object).await;
    approve(&admin, "jane").await;
    let path = format!("{REQUESTS}/jane");
    let signed = eventually(&admin, &path, |_, r| {
        r["status"]["conditions"][0]["type"] == "Approved"
            && (r["status"]["certificate"].is_string() || r["status"]["conditions"][1].is_object())
    })
    .await;
    let (code, user) = who(&remote(&server, &certificate(&signed), &key, None)).await;
    assert_eq!(code, 201, "{user}");
    assert_eq!(user["username"], "jane");
    assert_eq!(user["groups"], json!(["dev", "ops", "system:authenticated"]));
    // One of the masters is refused, wherever it stands.
    let params = params_of("root", &["dev", "system:masters"]);
    let mut object = request("root", "root", "dev");
    object["spec"]["request"] = encoded(&params, &key).into();
    assert_eq!(ask(&admin, "POST", REQUESTS, object).await.0, 403);
}

#[tokio::test]
async fn a_certificate_that_nobody_vouches_for_is_unauthorized_and_a_token_beside_it_counts() {
    let (server, folder) = listening().await;
    let token = server.admin_token().expose();
    // Of another authority that calls itself the same.
    let own = key();
    let mut authority = rcgen::CertificateParams::default();
    authority.distinguished_name = rcgen::DistinguishedName::new();
    authority.distinguished_name.push(rcgen::DnType::CommonName, "seaway-ca");
    authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let stranger = rcgen::Issuer::new(authority, key());
    let params = |days: i64| {
        let now = time::OffsetDateTime::now_utc();
        let mut params = params_of("jane", &["dev"]);
        params.not_before = now - time::Duration::days(10);
        params.not_after = now + time::Duration::days(days);
        params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth];
        params
    };
    let untrusted = params(10).signed_by(&own, &stranger).unwrap().pem();
    // Of the authority itself, and over.
    let pki = |name: &str| std::fs::read_to_string(folder.path().join("pki").join(name)).unwrap();
    let authority_key = rcgen::KeyPair::from_pem(&pki("ca.key")).unwrap();
    let authority = rcgen::Issuer::from_ca_cert_pem(&pki("ca.crt"), authority_key).unwrap();
    let expired = params(-1).signed_by(&own, &authority).unwrap().pem();
    let mut for_servers = params(10);
    for_servers.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ServerAuth];
    let for_servers = for_servers.signed_by(&own, &authority).unwrap().pem();
    for (certificate, what) in
        [(&untrusted, "untrusted"), (&expired, "expired"), (&for_servers, "of a server")]
    {
        let path = "/api/v1/namespaces";
        let (code, _, answer) =
            ask(&remote(&server, certificate, &own, None), "GET", path, json!(null)).await;
        assert_eq!((code, &answer["reason"]), (401, &json!("Unauthorized")), "{what}: {answer}");
        let (code, user) = who(&remote(&server, certificate, &own, Some(token))).await;
        assert_eq!((code, &user["username"]), (201, &json!("kubernetes-admin")), "{what}");
    }
    // One that holds decides, whatever token there is.
    let good = params(10).signed_by(&own, &authority).unwrap().pem();
    let (code, user) = who(&remote(&server, &good, &own, Some("nonsense"))).await;
    assert_eq!((code, &user["username"]), (201, &json!("jane")));
}

#[tokio::test]
async fn a_request_of_two_names_becomes_neither() {
    let server = start().await;
    let admin = server.admin();
    let second = rcgen::DnType::CustomDnType(vec![2, 5, 4, 3]);
    for (name, signer, groups) in [
        ("kubelet", "kubernetes.io/kube-apiserver-client-kubelet", &["system:nodes"][..]),
        ("client", "kubernetes.io/kube-apiserver-client", &["dev", "ops"]),
    ] {
        let mut params = params_of("system:node:a", groups);
        params.distinguished_name.push(second.clone(), "kubernetes-admin");
        let mut object = request(name, "x", "x");
        object["spec"]["request"] = encoded(&params, &key()).into();
        object["spec"]["signerName"] = signer.into();
        object["spec"]["usages"] = json!(["digital signature", "client auth"]);
        done(&admin, "POST", REQUESTS, object).await;
        approve(&admin, name).await;
        let ended = |_, r: &Value| {
            r["status"]["certificate"].is_string() || r["status"]["conditions"].to_string().contains("Failed")
        };
        let end = eventually(&admin, &format!("{REQUESTS}/{name}"), ended).await;
        assert!(end["status"]["certificate"].is_null(), "{name}: {end}");
        assert!(end["status"]["conditions"].to_string().contains("exactly one common name"), "{end}");
    }
}

#[tokio::test]
async fn kubelets_get_the_certificates_that_are_for_kubelets() {
    let server = start().await;
    let admin = server.admin();
    let clients = "kubernetes.io/kube-apiserver-client-kubelet";
    let servers = "kubernetes.io/kubelet-serving";
    let dns = |name: &str| rcgen::SanType::DnsName(name.try_into().unwrap());
    let address = |text: &str| rcgen::SanType::IpAddress(text.parse().unwrap());
    let mail = || rcgen::SanType::Rfc822Name("a@example.com".try_into().unwrap());
    let usual = ["digital signature", "client auth"];
    let serving = ["digital signature", "server auth"];
    let node = "system:node:a";
    for (index, (signer, usages, user, groups, names, refusal)) in [
        (clients, &usual, node, &["system:nodes"][..], vec![], None),
        (clients, &usual, node, &["system:nodes", "dev"], vec![], Some("organization is not system:nodes")),
        (clients, &usual, node, &["dev"], vec![], Some("organization is not system:nodes")),
        (clients, &usual, "jane", &["system:nodes"], vec![], Some("does not begin with system:node:")),
        (clients, &usual, node, &["system:nodes"], vec![dns("a")], Some("subjectAltNames are not allowed")),
        (clients, &serving, node, &["system:nodes"], vec![], Some("usage \"server auth\" is not for")),
        (servers, &serving, node, &["system:nodes"], vec![dns("a"), address("10.0.0.7")], None),
        (servers, &serving, node, &["system:nodes"], vec![], Some("DNS or IP subjectAltName is required")),
        (servers, &serving, node, &["system:nodes"], vec![dns("a"), mail()], Some("Email subjectAltNames")),
        (servers, &serving, node, &["system:nodes"], vec![dns("kubernetes.default.svc")], Some("own name")),
        (servers, &serving, node, &["system:nodes"], vec![address("127.0.0.1")], Some("own address")),
        (servers, &serving, node, &["system:nodes"], vec![address("::ffff:127.0.0.1")], Some("own address")),
        (servers, &serving, node, &["system:nodes"], vec![dns("*.default.svc")], Some("many names")),
        (servers, &serving, node, &["system:nodes"], vec![dns("a"), dns("*.example")], Some("many names")),
        (servers, &usual, node, &["system:nodes"], vec![dns("a")], Some("usage \"client auth\" is not for")),
    ]
    .into_iter()
    .enumerate()
    {
        let name = format!("r{index}");
        let mut params = params_of(user, groups);
        params.subject_alt_names = names.clone();
        let mut object = request(&name, user, "x");
        object["spec"]["request"] = encoded(&params, &key()).into();
        object["spec"]["signerName"] = signer.into();
        object["spec"]["usages"] = json!(usages);
        done(&admin, "POST", REQUESTS, object).await;
        approve(&admin, &name).await;
        let ended = |_, r: &Value| {
            r["status"]["certificate"].is_string() || r["status"]["conditions"].to_string().contains("Failed")
        };
        let end = eventually(&admin, &format!("{REQUESTS}/{name}"), ended).await;
        match refusal {
            Some(refusal) => {
                assert!(end["status"]["certificate"].is_null(), "{index}: {end}");
                assert!(
                    end["status"]["conditions"].to_string().contains(&refusal.replace('"', "\\\"")),
                    "{index}: {end}"
                );
            }
            None => {
                let pem = certificate(&end);
                let (_, pem) = x509_parser::pem::parse_x509_pem(pem.as_bytes()).unwrap();
                let certificate = pem.parse_x509().unwrap();
                assert_eq!(certificate.subject().to_string(), "CN=system:node:a, O=system:nodes");
                let usage = certificate.extended_key_usage().unwrap().unwrap().value;
                assert_eq!((usage.client_auth, usage.server_auth), (signer == clients, signer == servers));
                let names_of = certificate.subject_alternative_name().unwrap();
                assert_eq!(names_of.map_or(0, |found| found.value.general_names.len()), names.len());
            }
        }
    }
}

#[tokio::test]
async fn a_token_ends_with_the_node_or_secret_that_it_is_bound_to() {
    let server = start().await;
    let admin = server.admin();
    account(&server, "default").await;
    done(&admin, "POST", "/api/v1/nodes", json!({"metadata": {"name": "n"}})).await;
    let node = done(&admin, "GET", "/api/v1/nodes/n", json!(null)).await;
    let secret = json!({"metadata": {"name": "s"}});
    done(&admin, "POST", "/api/v1/namespaces/default/secrets", secret).await;
    let mut bound = pod("p");
    bound["spec"]["nodeName"] = "n".into();
    done(&admin, "POST", "/api/v1/namespaces/default/pods", bound).await;
    let token_of = async |reference: Value| {
        let path = "/api/v1/namespaces/default/serviceaccounts/default/token";
        let body = json!({"spec": {"boundObjectRef": reference}});
        ask(&admin, "POST", path, body).await
    };
    let review = async |token: &Value| {
        let body = json!({"spec": {"token": token}});
        done(&admin, "POST", "/apis/authentication.k8s.io/v1/tokenreviews", body).await["status"].clone()
    };
    let reference = |kind: &str, name: &str| json!({"apiVersion": "v1", "kind": kind, "name": name});
    let mut tokens = vec![];
    for (kind, name) in [("Node", "n"), ("Secret", "s"), ("Pod", "p")] {
        let (code, _, answer) = token_of(reference(kind, name)).await;
        assert_eq!(code, 201, "{answer}");
        let token = answer["status"]["token"].clone();
        let reviewed = review(&token).await;
        assert_eq!(reviewed["authenticated"], true, "{kind}");
        let extra = &reviewed["user"]["extra"];
        let node_name = &extra["authentication.kubernetes.io/node-name"];
        let node_uid = &extra["authentication.kubernetes.io/node-uid"];
        match kind {
            "Secret" => assert!(node_name.is_null()),
            _ => assert_eq!(
                (node_name, node_uid),
                (&json!(["n"]), &json!([node["metadata"]["uid"]])),
                "{kind}"
            ),
        }
        tokens.push(token);
    }
    for (wrong, code, says) in [
        (reference("Node", "other"), 404, "nodes \"other\" not found"),
        (reference("ConfigMap", "c"), 400, "cannot bind token to object of type /v1, Kind=ConfigMap"),
        (
            json!({"apiVersion": "v1", "kind": "Node", "name": "n", "uid": "other"}),
            409,
            "UID in the bound object",
        ),
    ] {
        let (found, _, answer) = token_of(wrong).await;
        assert_eq!(found, code, "{answer}");
        assert!(answer["message"].as_str().unwrap().contains(says), "{answer}");
    }
    done(&admin, "DELETE", "/api/v1/nodes/n", json!(null)).await;
    done(&admin, "DELETE", "/api/v1/namespaces/default/secrets/s", json!(null)).await;
    assert_ne!(review(&tokens[0]).await["authenticated"], true, "the node is gone");
    assert_ne!(review(&tokens[1]).await["authenticated"], true, "the secret is gone");
    assert_eq!(review(&tokens[2]).await["authenticated"], true, "the pod is still there");
}
