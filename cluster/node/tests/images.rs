//! Images: found, checked and unpacked, or refused with the reason.
#![allow(clippy::unwrap_used)]

mod support;

use seaway_node::image::{
    Credentials, Image, ImageConfig, ImageStore, LayoutFolder, LayoutWriter, Limits, Login, Progress,
    PullPolicy, StoreOptions,
};
use std::collections::{HashMap, HashSet};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use support::Layer;
use tar::EntryType;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const NAME: &str = "registry.test/app:1";

fn layout(folder: &Path, layers: &[Vec<u8>]) -> LayoutFolder {
    let mut writer = LayoutWriter::create(folder.join("layout")).unwrap();
    writer.add(NAME, &ImageConfig::default(), layers).unwrap();
    LayoutFolder::new(folder.join("layout"))
}

fn store(folder: &Path, layout: LayoutFolder) -> ImageStore {
    let mut options = StoreOptions::new(folder.join("store"));
    options.layouts = vec![layout];
    options.limits = Limits { layers: 110, entries: 100, layer_bytes: 1 << 20, blob_bytes: 1 << 20 };
    ImageStore::open(options).unwrap()
}

async fn pull(layers: &[Vec<u8>]) -> (TempDir, Result<Image, String>) {
    let folder = TempDir::new().unwrap();
    let store = store(folder.path(), layout(folder.path(), layers));
    let image =
        store.pull(NAME, &Credentials::default(), &Progress::default()).await.map_err(|e| e.to_string());
    assert_eq!(
        std::fs::read_dir(folder.path().join("store/tmp")).unwrap().count(),
        0,
        "something was left in tmp"
    );
    if image.is_err() {
        let layers = std::fs::read_dir(folder.path().join("store/layers")).unwrap().count();
        assert_eq!(layers, 0, "a refused layer can be seen");
    }
    (folder, image)
}

async fn refusal(layer: Layer) -> String {
    pull(&[layer.build()]).await.1.expect_err("the layer was accepted")
}

#[tokio::test]
async fn a_layout_image_is_unpacked_with_modes_links_and_whiteouts() {
    let lower = Layer::new().dir("etc/", 0o755).file("etc/old", 0o644, b"old").build();
    let upper = Layer::new()
        .dir("bin/", 0o755)
        .file("bin/tool", 0o4755, b"tool")
        .entry(EntryType::Link, "bin/same", "bin/tool", 0o755, b"")
        .symlink("lib", "usr/lib")
        .dir("usr/lib/", 0o750)
        .file("lib/through", 0o600, b"x")
        .file("etc/.wh.old", 0o644, b"")
        .file("opaque/.wh..wh..opq", 0o644, b"")
        .entry(EntryType::Char, "dev/null", "", 0o666, b"")
        .build();
    let (_folder, image) = pull(&[lower, upper]).await;
    let image = image.unwrap();
    let top = &image.layers[1];
    let tool = std::fs::metadata(top.join("bin/tool")).unwrap();
    assert_eq!(tool.ino(), std::fs::metadata(top.join("bin/same")).unwrap().ino());
    if nix::unistd::geteuid().is_root() {
        assert_eq!(tool.permissions().mode() & 0o7777, 0o4755);
    }
    assert_eq!(std::fs::read(top.join("usr/lib/through")).unwrap(), b"x");
    assert_eq!(std::fs::metadata(top.join("usr/lib")).unwrap().permissions().mode() & 0o777, 0o750);
    let whiteout = std::fs::symlink_metadata(top.join("etc/old")).unwrap();
    assert!(whiteout.file_type().is_char_device() && whiteout.rdev() == 0);
    assert!(!top.join("dev/null").exists(), "a device came out of an image");
    assert!(image.id.starts_with("registry.test/app@sha256:"));
}

#[tokio::test]
async fn entries_that_point_out_of_the_image_are_refused() {
    assert!(refusal(Layer::new().file("../escape", 0o644, b"x")).await.contains("\"..\""));
    assert!(refusal(Layer::new().file("a/../../escape", 0o644, b"x")).await.contains("\"..\""));
    let dangling = Layer::new().symlink("out", "/etc").file("out/seaway-escape", 0o644, b"x");
    let (folder, image) = pull(&[dangling.build()]).await;
    assert!(!Path::new("/etc/seaway-escape").exists());
    if let Ok(image) = image {
        assert!(
            image.layers[0].starts_with(folder.path()) && image.layers[0].join("etc/seaway-escape").exists()
        );
    }
    let hard = Layer::new().entry(EntryType::Link, "passwd", "/etc/passwd", 0o644, b"");
    assert!(refusal(hard).await.contains("hard link"));
    let hard = Layer::new().symlink("etc", "/etc").entry(EntryType::Link, "passwd", "etc/passwd", 0o644, b"");
    assert!(refusal(hard).await.contains("hard link"));
    let hard = Layer::new().entry(EntryType::Link, "passwd", "../../etc/passwd", 0o644, b"");
    assert!(refusal(hard).await.contains("\"..\""));
    // An absolute name means the image's own root.
    let (_folder, image) = pull(&[Layer::new().file("/seaway-absolute", 0o644, b"x").build()]).await;
    assert!(image.unwrap().layers[0].join("seaway-absolute").exists());
    assert!(!Path::new("/seaway-absolute").exists());
}

#[tokio::test]
async fn bombs_are_refused_before_they_fill_the_disk() {
    assert!(
        refusal(Layer::new().file("zeros", 0o644, &vec![0; 3 << 20]))
            .await
            .contains("more than 1048576 bytes")
    );
    let mut many = Layer::new();
    for i in 0..200 {
        many = many.file(&format!("f{i}"), 0o644, b"");
    }
    assert!(refusal(many).await.contains("more than 100 entries"));
    let long = Layer::new().entry(EntryType::GNULongName, "././@LongLink", "", 0, &vec![b'a'; 1 << 19]);
    assert!(refusal(long.file("x", 0o644, b"")).await.contains("longer than 4096"));
    assert!(refusal(Layer::new().entry(EntryType::GNUSparse, "s", "", 0o644, b"")).await.contains("sparse"));
}

#[tokio::test]
async fn a_changed_blob_is_refused_by_its_digest() {
    let folder = TempDir::new().unwrap();
    let layout = layout(folder.path(), &[Layer::new().file("a", 0o644, b"aaaa").build()]);
    for entry in std::fs::read_dir(layout.path.join("blobs/sha256")).unwrap() {
        let path = entry.unwrap().path();
        let mut bytes = std::fs::read(&path).unwrap();
        if bytes.starts_with(&[0x1f, 0x8b]) {
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
            std::fs::write(&path, bytes).unwrap();
        }
    }
    let error = store(folder.path(), layout)
        .pull(NAME, &Credentials::default(), &Progress::default())
        .await
        .unwrap_err()
        .to_string();
    assert!(error.contains("the content is sha256:"), "{error}");
}

#[tokio::test]
async fn layout_names_are_full_references_digests_or_tags_of_the_folder() {
    let folder = TempDir::new().unwrap();
    let mut writer = LayoutWriter::create(folder.path().join("shop")).unwrap();
    let layer = Layer::new().file("a", 0o644, b"a").build();
    let digest = writer.add("2.0", &ImageConfig::default(), &[layer]).unwrap();
    let store = store(folder.path(), LayoutFolder::new(folder.path().join("shop")));
    assert!(store.in_layout("anywhere.test/team/shop:2.0").unwrap());
    assert!(!store.in_layout("anywhere.test/team/other:2.0").unwrap());
    assert!(!store.in_layout("shop:1.0").unwrap());
    let image = store
        .pull(&format!("x.test/y@{digest}"), &Credentials::default(), &Progress::default())
        .await
        .unwrap();
    assert_eq!(image.digest, digest);
    let never = store
        .ensure("nowhere.test/x:1", PullPolicy::Never, &Credentials::default(), &Progress::default())
        .await;
    assert!(never.unwrap_err().to_string().contains("pull policy of Never"));
}

#[tokio::test]
async fn layers_that_no_image_needs_are_collected() {
    let folder = TempDir::new().unwrap();
    let store = store(folder.path(), layout(folder.path(), &[Layer::new().file("a", 0o644, b"a").build()]));
    let image = store.pull(NAME, &Credentials::default(), &Progress::default()).await.unwrap();
    let kept = store.collect(|| Ok(HashSet::from([image.digest.clone()]))).await.unwrap();
    assert_eq!((kept.references, kept.layers), (0, 0));
    let freed = store.collect(|| Ok(HashSet::new())).await.unwrap();
    assert_eq!((freed.references, freed.layers), (1, 1));
    assert!(store.present(NAME).unwrap().is_none());
    assert!(
        store.pull(NAME, &Credentials::default(), &Progress::default()).await.is_ok(),
        "a collected image comes back"
    );
}

/// A registry that wants a token, and gives one for the user `ann`.
struct Registry {
    address: String,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Registry {
    async fn start(blobs: HashMap<String, Vec<u8>>, stall_at: Option<&'static str>) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let (seen, me) = (requests.clone(), address.clone());
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let (blobs, seen, me) = (blobs.clone(), seen.clone(), me.clone());
                tokio::spawn(async move {
                    let mut head = Vec::new();
                    while !head.ends_with(b"\r\n\r\n") {
                        head.push(stream.read_u8().await.unwrap());
                    }
                    let head = String::from_utf8(head).unwrap();
                    let path = head.split(' ').nth(1).unwrap().to_owned();
                    seen.lock().unwrap().push(path.clone());
                    let lower = head.to_lowercase();
                    let (status, extra, body) = if path.starts_with("/token") {
                        match lower.contains("authorization: basic yw5uonnly3jlda==") {
                            true => ("200 OK", String::new(), br#"{"token":"good"}"#.to_vec()),
                            false => ("401 Unauthorized", String::new(), Vec::new()),
                        }
                    } else if !lower.contains("authorization: bearer good") {
                        let challenge = format!(
                            "WWW-Authenticate: Bearer realm=\"http://{me}/token\",service=\"test\"\r\n"
                        );
                        ("401 Unauthorized", challenge, Vec::new())
                    } else {
                        match blobs.get(path.rsplit('/').next().unwrap()) {
                            Some(body) => ("200 OK", String::new(), body.clone()),
                            None => ("404 Not Found", String::new(), Vec::new()),
                        }
                    };
                    let head = format!(
                        "HTTP/1.1 {status}\r\n{extra}Content-Length: {}\r\nConnection: close\r\n\r\n",
                        body.len()
                    );
                    stream.write_all(head.as_bytes()).await.unwrap();
                    if stall_at.is_some_and(|part| path.contains(part)) {
                        stream.write_all(&body[..1]).await.unwrap();
                        std::future::pending::<()>().await;
                    }
                    stream.write_all(&body).await.unwrap();
                });
            }
        });
        Self { address, requests }
    }

    /// Serves what a layout folder holds, its first image as tag `1`.
    async fn of(layout: &LayoutFolder, stall_at: Option<&'static str>) -> Self {
        let mut blobs = HashMap::new();
        for entry in std::fs::read_dir(layout.path.join("blobs/sha256")).unwrap() {
            let entry = entry.unwrap();
            let name = format!("sha256:{}", entry.file_name().to_str().unwrap());
            blobs.insert(name, std::fs::read(entry.path()).unwrap());
        }
        let index = std::fs::read(layout.path.join("index.json")).unwrap();
        blobs.insert("1".to_owned(), index);
        Self::start(blobs, stall_at).await
    }
}

fn registry_store(folder: &Path, stall: Duration) -> ImageStore {
    let mut options = StoreOptions::new(folder.join("registry-store"));
    options.stall = stall;
    ImageStore::open(options).unwrap()
}

/// Longer than any machine that works takes.
const PATIENT: Duration = Duration::from_secs(60);

fn ann(registry: &Registry) -> Credentials {
    let mut credentials = Credentials::default();
    credentials.add(&registry.address, Login { username: "ann".to_owned(), password: "secret".to_owned() });
    credentials
}

#[tokio::test]
async fn a_registry_with_token_login_gives_an_image_by_platform_once() {
    let folder = TempDir::new().unwrap();
    let layout = layout(folder.path(), &[Layer::new().file("a", 0o644, b"from afar").build()]);
    let registry = Registry::of(&layout, None).await;
    let name = format!("{}/team/app:1", registry.address);
    let store = registry_store(folder.path(), PATIENT);
    let refused =
        store.pull(&name, &Credentials::default(), &Progress::default()).await.unwrap_err().to_string();
    assert!(refused.contains("imagePullSecrets"), "{refused}");
    let progress = Progress::default();
    let image = store.pull(&name, &ann(&registry), &progress).await.unwrap();
    assert_eq!(progress.now(), Some((image.size, image.size)));
    assert_eq!(std::fs::read(image.layers[0].join("a")).unwrap(), b"from afar");
    let before = registry.requests.lock().unwrap().len();
    assert_eq!(
        store
            .ensure(&name, PullPolicy::IfNotPresent, &Credentials::default(), &Progress::default())
            .await
            .unwrap(),
        image
    );
    assert_eq!(registry.requests.lock().unwrap().len(), before, "a present image asked the registry");
}

#[tokio::test]
async fn a_registry_that_lies_or_stalls_is_given_up_with_the_reason() {
    let folder = TempDir::new().unwrap();
    let layout = layout(folder.path(), &[Layer::new().file("a", 0o644, b"a").build()]);
    let stalling = Registry::of(&layout, Some("/blobs/")).await;
    // Long enough for all that comes before it stalls.
    let store = registry_store(folder.path(), Duration::from_secs(3));
    let error = store
        .pull(&format!("{}/app:1", stalling.address), &ann(&stalling), &Progress::default())
        .await
        .unwrap_err()
        .to_string();
    assert!(error.contains("stalled"), "{error}");
    drop(store);
    let store = registry_store(folder.path(), PATIENT);
    let lying = Registry::of(&layout, None).await;
    let wrong = format!("{}/app@sha256:{}", lying.address, "0".repeat(64));
    let error = store.pull(&wrong, &ann(&lying), &Progress::default()).await.unwrap_err().to_string();
    assert!(error.contains("not found"), "{error}");
    let mut blobs = HashMap::new();
    blobs.insert(format!("sha256:{}", "0".repeat(64)), b"{}".to_vec());
    let liar = Registry::start(blobs, None).await;
    let error = store
        .pull(&format!("{}/app@sha256:{}", liar.address, "0".repeat(64)), &ann(&liar), &Progress::default())
        .await;
    assert!(error.unwrap_err().to_string().contains("the content is sha256:"));
}

/// Sends a request and gives the status line and headers of the answer.
async fn request(address: &str, method: &str, path: &str, content_type: &str, body: &[u8]) -> String {
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: {address}\r\nContent-Type: {content_type}\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(body).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

/// Ends the process that it stands for.
struct Running(std::process::Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test]
async fn an_image_comes_from_debians_registry_as_it_went_in() {
    if !Path::new("/usr/bin/docker-registry").exists() {
        println!("skipped: docker-registry is not installed (apt-get install docker-registry)");
        return;
    }
    let folder = TempDir::new().unwrap();
    let layout = layout(folder.path(), &[Layer::new().file("a", 0o644, b"real").build()]);
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let address = format!("127.0.0.1:{port}");
    let config = folder.path().join("registry.yml");
    let data = folder.path().join("registry");
    let text = format!(
        "version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: {}}}}}\nhttp: {{addr: \"{address}\"}}\n",
        data.display()
    );
    std::fs::write(&config, text).unwrap();
    let mut command = std::process::Command::new("/usr/bin/docker-registry");
    command.arg("serve").arg(&config).stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
    let _registry = Running(command.spawn().unwrap());
    for _ in 0..1200 {
        if tokio::net::TcpStream::connect(&address).await.is_ok() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let index: serde_json::Value =
        serde_json::from_slice(&std::fs::read(layout.path.join("index.json")).unwrap()).unwrap();
    let manifest_digest = index["manifests"][0]["digest"].as_str().unwrap().to_owned();
    let mut manifest = Vec::new();
    for entry in std::fs::read_dir(layout.path.join("blobs/sha256")).unwrap() {
        let entry = entry.unwrap();
        let digest = format!("sha256:{}", entry.file_name().to_str().unwrap());
        let blob = std::fs::read(entry.path()).unwrap();
        if digest == manifest_digest {
            manifest = blob;
            continue;
        }
        let answer = request(&address, "POST", "/v2/team/app/blobs/uploads/", "text/plain", b"").await;
        let location = answer.lines().find_map(|l| l.strip_prefix("Location: ")).expect(&answer).trim();
        let path = location.split_once(&address).map_or(location, |(_, path)| path);
        let answer =
            request(&address, "PUT", &format!("{path}&digest={digest}"), "application/octet-stream", &blob)
                .await;
        assert!(answer.starts_with("HTTP/1.1 201"), "{answer}");
    }
    let kind = "application/vnd.oci.image.manifest.v1+json";
    let answer = request(&address, "PUT", "/v2/team/app/manifests/1", kind, &manifest).await;
    assert!(answer.starts_with("HTTP/1.1 201"), "{answer}");
    let store = registry_store(folder.path(), PATIENT);
    let image = store
        .pull(&format!("{address}/team/app:1"), &Credentials::default(), &Progress::default())
        .await
        .unwrap();
    assert_eq!(image.digest, manifest_digest);
    assert_eq!(std::fs::read(image.layers[0].join("a")).unwrap(), b"real");
    let missing = store
        .pull(&format!("{address}/team/app:2"), &Credentials::default(), &Progress::default())
        .await
        .unwrap_err()
        .to_string();
    assert!(missing.contains("not found"), "{missing}");
}
