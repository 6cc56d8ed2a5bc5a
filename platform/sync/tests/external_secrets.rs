//! Secrets that something else brings: what says where from passes through as it is written.

#![allow(clippy::unwrap_used)]

#[allow(dead_code, unreachable_pub)]
mod support;

use kube::api::{Patch, PatchParams};
use seaway_sync::HealthStatus;
use seaway_sync::plan::Action;
use seaway_sync::view::SyncStatus;
use serde_json::{Value, json};
use support::{Repository, World, api_of};

fn definition(group: &str, version: &str, kind: &str) -> String {
    let plural = format!("{}s", kind.to_lowercase());
    json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": format!("{plural}.{group}")}, "spec": {"group": group, "scope": "Namespaced",
            "names": {"kind": kind, "plural": plural, "singular": kind.to_lowercase(), "listKind": format!("{kind}List")},
            "versions": [{"name": version, "served": true, "storage": true, "subresources": {"status": {}},
                "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}}}]}})
    .to_string()
}

fn external(remote: &str) -> Value {
    json!({"apiVersion": "external-secrets.io/v1", "kind": "ExternalSecret", "metadata": {"name": "payment"},
        "spec": {"refreshInterval": "1h", "secretStoreRef": {"kind": "SecretStore", "name": "vault"},
            "target": {"name": "payment", "template": {"data": {"password": "{{ .password }}"}}},
            "data": [{"secretKey": "password", "remoteRef": {"key": remote, "property": "password"}}]}})
}

fn sealed() -> Value {
    json!({"apiVersion": "bitnami.com/v1alpha1", "kind": "SealedSecret", "metadata": {"name": "database"},
        "spec": {"encryptedData": {"password": "AgBy3i4OJSWK+PiTySYZZA9rO43cGDEq", "sops": "AgDR2Kq8wHmac0000000000000000000"},
            "template": {"metadata": {"name": "database"}, "type": "Opaque", "data": {"user": "shop"}}}})
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn external_and_sealed_secrets_pass_through_and_their_health_is_their_condition_ready() {
    let repository = Repository::new();
    let definitions = [
        definition("external-secrets.io", "v1", "ExternalSecret"),
        definition("bitnami.com", "v1alpha1", "SealedSecret"),
    ];
    let (first, second) = (external("shop/payment").to_string(), external("shop/payment-2").to_string());
    let commit = repository.push(
        "main",
        "First",
        &[
            ("deploy/definition-1.yaml", Some(&definitions[0])),
            ("deploy/definition-2.yaml", Some(&definitions[1])),
            ("deploy/external.yaml", Some(&first)),
            ("deploy/sealed.yaml", Some(&sealed().to_string())),
        ],
    );
    let world = World::new().await;
    // Whoever installs their operators gives environments the right to use them.
    world
        .create(json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole",
            "metadata": {"name": "secrets-edit", "labels": {"rbac.authorization.k8s.io/aggregate-to-admin": "true"}},
            "rules": [{"apiGroups": ["external-secrets.io"], "resources": ["externalsecrets"], "verbs": ["*"]},
                      {"apiGroups": ["bitnami.com"], "resources": ["sealedsecrets"], "verbs": ["*"]}]}))
        .await;
    let key = world.follow(&repository, json!({})).await;
    let allow =
        json!({"spec": {"allow": {"clusterKinds": ["CustomResourceDefinition.apiextensions.k8s.io"]}}});
    world.patch("seaway.dev/v1alpha1", "Stack", "seaway", "shop", "test", allow).await;
    world.synced(&commit).await;
    let of = async |wanted: &Value| {
        let (api_version, kind) = (wanted["apiVersion"].as_str().unwrap(), wanted["kind"].as_str().unwrap());
        let name = wanted["metadata"]["name"].as_str().unwrap();
        world.get(api_version, kind, Some("shop"), name).await.unwrap()
    };
    for wanted in [external("shop/payment"), sealed()] {
        assert_eq!(of(&wanted).await["spec"], wanted["spec"], "it is applied as it is written");
    }

    // Nothing of them is secret, so that who reads a plan sees what changes.
    repository.push("next", "Second", &[("deploy/external.yaml", Some(&second))]);
    let plan = world.sync().plan(&key, Some("next")).await.unwrap();
    let changed = plan.objects.iter().find(|planned| planned.object.kind == "ExternalSecret").unwrap();
    assert_eq!(changed.action, Action::Change, "{changed:?}");
    assert!(serde_json::to_string(&changed.fields).unwrap().contains("shop/payment-2"), "{changed:?}");
    assert!(plan.objects.iter().all(|planned| !planned.action.is_blocking()));

    let says = async |status: &str, reason: &str, message: &str| {
        let mut of = external("");
        of["metadata"]["namespace"] = "shop".into();
        let said = json!({"status": {"conditions": [
            {"type": "Ready", "status": status, "reason": reason, "message": message}]}});
        let api = api_of(&world.admin(), &of);
        api.patch_status("payment", &PatchParams::default(), &Patch::Merge(said)).await.unwrap();
    };
    says("False", "SecretSyncedError", "could not get secret data from provider").await;
    world
        .until("it is not well", async |world| {
            world.view().is_some_and(|view| {
                view.health == HealthStatus::Progressing
                    && view.message.contains("ExternalSecret.external-secrets.io shop/payment")
                    && view.message.contains("SecretSyncedError: could not get secret data from provider")
            })
        })
        .await;
    says("True", "SecretSynced", "Secret was synced").await;
    world
        .until("it is well", async |world| {
            world
                .view()
                .is_some_and(|view| view.health == HealthStatus::Healthy && view.sync == SyncStatus::Synced)
        })
        .await;
    world.stop().await;
}
