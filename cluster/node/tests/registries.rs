//! Registries as operators and pods name them: certificates, mirrors, pull secrets, and Debian's registry for a pod.
#![allow(clippy::unwrap_used)]

mod support;

use k8s_openapi::api::core::v1::{Secret, ServiceAccount};
use kube::api::{Api, Patch, PatchParams, PostParams};
use seaway_node::image::{
    Credentials, ImageConfig, ImageStore, LayoutFolder, LayoutWriter, Login, Progress, RegistryOptions,
    StoreOptions,
};
use serde_json::{Value, json};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use support::cluster::Cluster;
use support::registry::{Behaviour, DebianRegistry, PATIENT, Registry};
use support::{Layer, busybox_layer};
use tempfile::TempDir;
use tokio_rustls::rustls;

fn small_layout(folder: &Path, content: &str) -> LayoutFolder {
    let mut writer = LayoutWriter::create(folder.join("layout")).unwrap();
    let layer = Layer::new().file("a", 0o644, content.as_bytes()).build();
    writer.add("registry.test/app:1", &ImageConfig::default(), &[layer]).unwrap();
    LayoutFolder::new(folder.join("layout"))
}

fn store(folder: &Path, name: &str, registries: Vec<RegistryOptions>) -> ImageStore {
    let mut options = StoreOptions::new(folder.join(name));
    options.stall = PATIENT;
    options.registries = registries;
    ImageStore::open(options).unwrap()
}

fn public() -> Behaviour {
    Behaviour { is_public: true, ..Behaviour::default() }
}

/// An authority's certificate in a file, and a server with a certificate of that authority for 127.0.0.1.
fn authority(folder: &Path, name: &str) -> (std::path::PathBuf, Arc<rustls::ServerConfig>) {
    let mut root = rcgen::CertificateParams::new(Vec::new()).unwrap();
    root.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    root.distinguished_name.push(rcgen::DnType::CommonName, name);
    let root_key = rcgen::KeyPair::generate().unwrap();
    let file = folder.join(format!("{name}.pem"));
    std::fs::write(&file, root.self_signed(&root_key).unwrap().pem()).unwrap();
    let issuer = rcgen::Issuer::new(root, root_key);
    let key = rcgen::KeyPair::generate().unwrap();
    let leaf = rcgen::CertificateParams::new(vec!["127.0.0.1".to_owned()])
        .unwrap()
        .signed_by(&key, &issuer)
        .unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![leaf.der().clone()],
            rustls_pki_types::PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
        )
        .unwrap();
    (file, Arc::new(config))
}

#[tokio::test]
async fn a_registry_with_a_certificate_of_its_own_authority_is_trusted_by_its_file_alone() {
    let folder = TempDir::new().unwrap();
    let layout = small_layout(folder.path(), "over tls");
    let (file, config) = authority(folder.path(), "ours");
    let (other, _) = authority(folder.path(), "other");
    let registry = Registry::of(&layout, Behaviour { tls: Some(config), ..Behaviour::default() }).await;
    let host = registry.address.clone();
    let name = format!("{host}/team/app:1");
    let with_ca = |store_name: &str, ca: &Path| {
        let options =
            RegistryOptions { host: host.clone(), ca: Some(ca.to_owned()), ..RegistryOptions::default() };
        store(folder.path(), store_name, vec![options])
    };
    let mut ann = Credentials::default();
    ann.add(&host, Login { username: "ann".to_owned(), password: "secret".to_owned() });
    let refused =
        with_ca("refusing", &other).pull(&name, &ann, &Progress::default()).await.unwrap_err().to_string();
    assert!(refused.contains("TLS: ") && refused.contains("certificate"), "{refused}");
    assert_eq!(registry.count(), 0, "a request was sent to who could not be trusted");
    let image = with_ca("trusting", &file).pull(&name, &ann, &Progress::default()).await.unwrap();
    assert_eq!(std::fs::read(image.layers[0].join("a")).unwrap(), b"over tls");
    let missing = folder.path().join("nothing.pem");
    let error =
        with_ca("missing", &missing).pull(&name, &ann, &Progress::default()).await.unwrap_err().to_string();
    assert!(error.contains(&format!("CA file {}", missing.display())), "{error}");
}

#[tokio::test]
async fn mirrors_are_asked_first_and_the_registry_when_none_has_the_image() {
    let folder = TempDir::new().unwrap();
    let layout = small_layout(folder.path(), "the same everywhere");
    let origin = Registry::of(&layout, public()).await;
    let empty = Registry::start(Default::default(), public()).await;
    let refusing = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let options = |mirrors: Vec<String>| RegistryOptions {
        host: origin.address.clone(),
        mirrors,
        ..RegistryOptions::default()
    };
    let name = format!("{}/team/app:1", origin.address);
    let nobody = Credentials::default();

    // One that nobody runs, one that does not have it: the registry itself gives it.
    let fall_through =
        store(folder.path(), "one", vec![options(vec![refusing.clone(), empty.address.clone()])]);
    let image = fall_through.pull(&name, &nobody, &Progress::default()).await.unwrap();
    assert_eq!(std::fs::read(image.layers[0].join("a")).unwrap(), b"the same everywhere");
    assert!(empty.count() > 0 && origin.count() > 0);

    // One that has it: the registry is not asked.
    let mirror = Registry::of(&layout, public()).await;
    let before = origin.count();
    let mirrored = store(folder.path(), "two", vec![options(vec![mirror.address.clone()])]);
    let same = mirrored.pull(&name, &nobody, &Progress::default()).await.unwrap();
    assert_eq!((same.digest, origin.count()), (image.digest.clone(), before));

    // One that gives something else for the digest is passed over.
    let digest = image.digest.clone();
    let liar = Registry::start([(digest.clone(), b"{}".to_vec())].into(), public()).await;
    let lied_to = store(folder.path(), "three", vec![options(vec![liar.address.clone()])]);
    let by_digest = format!("{}/team/app@{digest}", origin.address);
    assert_eq!(lied_to.pull(&by_digest, &nobody, &Progress::default()).await.unwrap().digest, digest);
    assert_eq!(liar.count(), 1);

    // None has it: the registry's answer is what is told.
    let name = format!("{}/team/app:2", origin.address);
    let error = fall_through.pull(&name, &nobody, &Progress::default()).await.unwrap_err().to_string();
    assert!(error.contains(&origin.address) && error.contains("not found"), "{error}");
}

/// A registry with a login that has an image to run; `None` where there is no busybox.
async fn private_registry(folder: &Path, behaviour: Behaviour) -> Option<Registry> {
    Some(Registry::of(&busybox(folder)?, behaviour).await)
}

fn busybox(folder: &Path) -> Option<LayoutFolder> {
    let config = ImageConfig { env: Some(vec!["PATH=/bin".to_owned()]), ..ImageConfig::default() };
    let mut writer = LayoutWriter::create(folder.join("remote")).unwrap();
    writer.add("registry.test/remote:1", &config, &[busybox_layer()?]).unwrap();
    Some(LayoutFolder::new(folder.join("remote")))
}

fn pod_of(image: &str) -> Value {
    let script = "trap exit TERM; while true; do sleep 0.1; done";
    json!({"containers": [{"name": "c", "image": image, "command": ["sh", "-c", script]}]})
}

fn pull_secret(name: &str, registry: &str, password: &str) -> Secret {
    let config = json!({"auths": {registry: {"username": "ann", "password": password}}});
    serde_json::from_value(json!({"metadata": {"name": name}, "type": "kubernetes.io/dockerconfigjson",
        "stringData": {".dockerconfigjson": config.to_string()}}))
    .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn pull_secrets_of_the_pod_and_of_its_account_open_a_private_registry() {
    let Some(cluster) = Cluster::start().await else { return };
    let registry = private_registry(cluster.folder.path(), Behaviour::default()).await.unwrap();
    // Three references, so that an image that one pod has brought is not there for the next.
    let image = |repository: &str| format!("{}/{repository}:1", registry.address);
    let secrets: Api<Secret> = Api::namespaced(cluster.admin(), "default");
    for secret in [
        pull_secret("right", &registry.address, "secret"),
        pull_secret("wrong", &registry.address, "guessed"),
    ] {
        secrets.create(&PostParams::default(), &secret).await.unwrap();
    }
    let waiting = |pod: &Value| pod["status"]["containerStatuses"][0]["state"]["waiting"].clone();

    let mut wrong = pod_of(&image("wrong"));
    wrong["imagePullSecrets"] = json!([{"name": "wrong"}, {"name": "missing"}]);
    cluster.run("wrong", wrong).await;
    cluster.until("wrong", "refused", |pod| waiting(pod)["reason"] == "ImagePullBackOff").await;
    let message = cluster.until_event("wrong", "FailedToRetrieveImagePullSecret").await;
    assert!(message.contains("\"missing\""), "{message}");
    cluster.until_event_with("wrong", "Failed", "imagePullSecrets").await;
    let told = format!("{:?}", cluster.events("wrong").await);
    assert!(!told.contains("guessed"), "{told}");

    let mut named = pod_of(&image("named"));
    named["imagePullSecrets"] = json!([{"name": "right"}]);
    cluster.run("named", named).await;
    cluster.until_ready("named").await;

    // The account's is the pod's as well: by admission, or as the node reads it.
    let accounts: Api<ServiceAccount> = Api::namespaced(cluster.admin(), "default");
    let patch = Patch::Merge(json!({"imagePullSecrets": [{"name": "right"}]}));
    accounts.patch("default", &PatchParams::default(), &patch).await.unwrap();
    cluster.run("account", pod_of(&image("account"))).await;
    cluster.until_ready("account").await;
    cluster.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_pull_tells_how_far_it_has_come() {
    let Some(cluster) = Cluster::start().await else { return };
    let drip = Some((8, Duration::from_secs(1)));
    let behaviour = Behaviour { drip, is_public: true, ..Behaviour::default() };
    let registry = private_registry(cluster.folder.path(), behaviour).await.unwrap();
    cluster.run("slow", pod_of(&format!("{}/slow:1", registry.address))).await;
    let message = cluster.until_event_with("slow", "Pulling", " MiB (").await;
    assert!(message.contains("/slow:1\": ") && message.ends_with(" %)"), "{message}");
    cluster.until_ready("slow").await;
    cluster.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_runs_an_image_of_debians_registry() {
    let folder = TempDir::new().unwrap();
    let Some(registry) = DebianRegistry::start(folder.path()).await else { return };
    let Some(cluster) = Cluster::start().await else { return };
    let digest = registry.push(&busybox(folder.path()).unwrap(), "team/remote", "1").await;
    let image = format!("{}/team/remote:1", registry.address);
    cluster.run("remote", pod_of(&image)).await;
    let seen = cluster.until_ready("remote").await;
    let status = &seen["status"]["containerStatuses"][0];
    assert_eq!(status["image"], image);
    assert_eq!(status["imageID"], format!("{}/team/remote@{digest}", registry.address));
    cluster.until_event_with("remote", "Pulled", "Successfully pulled image").await;
    cluster.end().await;
}
