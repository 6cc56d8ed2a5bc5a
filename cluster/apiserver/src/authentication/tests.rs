#![allow(clippy::unwrap_used)]

use serde_json::{Value, json};

use super::*;
use crate::api::Api;
use crate::store::{Change, Expect, Write};
use crate::tokens::{Bound, Private};
use crate::{ApiServer, Options};

async fn put(api: &Api, plural: &str, expect: Expect, object: Value) -> u64 {
    let write = Write {
        resource: format!("/{plural}").into(),
        key: ObjectKey::new("default", object["metadata"]["name"].as_str().unwrap()),
        expect,
        change: Change::Put(object),
    };
    api.store.write(write).await.unwrap().revision
}

async fn remove(api: &Api, plural: &str, name: &str) {
    let gone = |e: &Entry| Some(Change::Delete(e.value()));
    api.store.modify(&format!("/{plural}").into(), &ObjectKey::new("default", name), gone).await.unwrap();
}

fn pod(uid: &str) -> Value {
    json!({"kind": "Pod", "metadata": {"name": "web", "namespace": "default", "uid": uid}})
}

/// A token of the account `robot` for the pod `web`.
fn token(api: &Api) -> String {
    let now = jiff::Timestamp::now().as_second();
    let bound = |name: &str| Bound { name: name.into(), uid: format!("{name}-1") };
    let claims = Claims {
        iss: ISSUER.into(),
        sub: "system:serviceaccount:default:robot".into(),
        aud: vec![ISSUER.into()],
        exp: now + 600,
        iat: now,
        nbf: now,
        jti: "1".into(),
        kubernetes: Private {
            namespace: "default".into(),
            serviceaccount: bound("robot"),
            pod: Some(bound("web")),
            secret: None,
            node: None,
        },
    };
    api.authenticator.tokens.sign(&claims).unwrap()
}

#[tokio::test]
async fn the_token_of_a_pod_ends_with_the_pod() {
    let folder = tempfile::tempdir().unwrap();
    let server = ApiServer::start(Options::new(folder.path())).await.unwrap();
    let api = &server.api;
    let robot = json!({"kind": "ServiceAccount",
        "metadata": {"name": "robot", "namespace": "default", "uid": "robot-1"}});
    put(api, "serviceaccounts", Expect::Absent, robot.clone()).await;
    let mut headers = HeaderMap::new();
    headers.insert(AUTHORIZATION, format!("Bearer {}", token(api)).parse().unwrap());
    let code = || match api.authenticator.authenticate(&Peer::Remote(None), &headers) {
        Ok(identity) => {
            assert_eq!(identity.name, "system:serviceaccount:default:robot");
            200
        }
        Err(error) => error.code.as_u16(),
    };
    assert_eq!(code(), 401, "the pod is not there");
    let revision = put(api, "pods", Expect::Absent, pod("web-1")).await;
    assert_eq!(code(), 200);

    // While it ends it may still speak, but not for ever.
    let mut ending = pod("web-1");
    ending["metadata"]["deletionTimestamp"] = crate::api::now().into();
    let revision = put(api, "pods", Expect::Revision(revision), ending.clone()).await;
    assert_eq!(code(), 200);
    ending["metadata"]["deletionTimestamp"] = "2024-01-01T00:00:00Z".into();
    put(api, "pods", Expect::Revision(revision), ending).await;
    assert_eq!(code(), 401, "the pod should have gone long ago");

    remove(api, "pods", "web").await;
    assert_eq!(code(), 401, "the pod is gone");
    let revision = put(api, "pods", Expect::Absent, pod("web-2")).await;
    assert_eq!(code(), 401, "another pod has the name");
    put(api, "pods", Expect::Revision(revision), pod("web-1")).await;
    assert_eq!(code(), 200);

    remove(api, "serviceaccounts", "robot").await;
    assert_eq!(code(), 401, "the account is gone");
    drop(server);
}
