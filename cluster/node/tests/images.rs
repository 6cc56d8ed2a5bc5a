//! Images: found, checked and unpacked, or refused with the reason.
#![allow(clippy::unwrap_used)]

mod support;

use seaway_node::image::{
    Credentials, Image, ImageConfig, ImageStore, LayoutFolder, LayoutWriter, Limits, Progress, PullPolicy,
    StoreOptions,
};
use serde_json::json;
use sha2::Digest;
use std::collections::{HashMap, HashSet};
use std::io::Write;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::Path;
use std::time::Duration;
use support::Layer;
use support::registry::{Behaviour, DebianRegistry, PATIENT, Registry, ann, registry_store};
use tar::EntryType;
use tempfile::TempDir;

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
    let layout = layout(folder.path(), layers);
    pull_from(folder, layout).await
}

async fn pull_from(folder: TempDir, layout: LayoutFolder) -> (TempDir, Result<Image, String>) {
    let store = store(folder.path(), layout);
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

/// A layout folder with one image of one layer, of which nothing is checked: the blob as it is, and what the image's
/// configuration says that it unpacks to.
fn layout_of_blob(folder: &Path, blob: &[u8], media_type: &str, diff_id: &str) -> LayoutFolder {
    let layout = folder.join("layout");
    std::fs::create_dir_all(layout.join("blobs/sha256")).unwrap();
    let keep = |content: &[u8]| {
        let digest = digest(content);
        std::fs::write(layout.join("blobs").join(digest.replace(':', "/")), content).unwrap();
        json!({"digest": digest, "size": content.len()})
    };
    let config = json!({"os": "linux", "rootfs": {"type": "layers", "diff_ids": [diff_id]}}).to_string();
    let (mut config, mut layer) = (keep(config.as_bytes()), keep(blob));
    config["mediaType"] = json!("application/vnd.oci.image.config.v1+json");
    layer["mediaType"] = json!(media_type);
    let kind = "application/vnd.oci.image.manifest.v1+json";
    let manifest =
        json!({"schemaVersion": 2, "mediaType": kind, "config": config, "layers": [layer]}).to_string();
    let mut manifest = keep(manifest.as_bytes());
    manifest["mediaType"] = json!(kind);
    manifest["annotations"] = json!({"org.opencontainers.image.ref.name": NAME});
    let index = json!({"schemaVersion": 2, "manifests": [manifest]}).to_string();
    std::fs::write(layout.join("index.json"), index).unwrap();
    std::fs::write(layout.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
    LayoutFolder::new(layout)
}

fn digest(content: &[u8]) -> String {
    format!("sha256:{}", hex::encode(sha2::Sha256::digest(content)))
}

fn gzip(content: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

/// Bytes that no compression makes fewer.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 88_172_645_463_325_252u64;
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    };
    std::iter::repeat_with(next).take(length).collect()
}

const GZIP: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

async fn pull_blob(blob: &[u8], media_type: &str, diff_id: &str) -> (TempDir, Result<Image, String>) {
    let folder = TempDir::new().unwrap();
    let layout = layout_of_blob(folder.path(), blob, media_type, diff_id);
    pull_from(folder, layout).await
}

#[tokio::test]
async fn broken_layers_are_refused_with_the_reason_and_leave_nothing() {
    // Noise, so that a cut of the compressed form is one of the content.
    let noise = noise(20_000);
    let archive = Layer::new().file("a", 0o644, b"aaaa").file("noise", 0o644, &noise).build();
    let packed = gzip(&archive);
    let refused = async |blob: &[u8], diff_id: &str| pull_blob(blob, GZIP, diff_id).await.1.unwrap_err();
    let other = digest(b"something else");
    let error = refused(&packed, &other).await;
    assert!(error.contains(&format!("unpacks to {}", digest(&archive))) && error.contains(&other), "{error}");
    for cut in [packed.len() / 2, packed.len() - 4] {
        let error = refused(&packed[..cut], &digest(&archive)).await;
        let words =
            ["incomplete deflate stream", "unexpected end of file", "corrupt gzip", "cannot be unpacked"];
        assert!(words.iter().any(|words| error.contains(words)), "{error}");
    }
    let text = b"this is no archive at all\n".repeat(100);
    for blob in [text.clone(), gzip(&text)] {
        let error = refused(&blob, &digest(&text)).await;
        assert!(error.contains(&digest(&text)), "{error}");
    }
    // An archive that ends within an entry.
    let error = refused(&gzip(&archive[..5000]), &digest(&archive[..5000])).await;
    assert!(error.contains("not a readable archive") || error.contains("\"noise\""), "{error}");
    // And whole, it is taken.
    pull_blob(&packed, GZIP, &digest(&archive)).await.1.unwrap();
}

#[tokio::test]
async fn layers_come_packed_with_gzip_zstd_or_not_at_all() {
    let archive = Layer::new().file("a", 0o644, b"content").build();
    let kind = |end: &str| format!("application/vnd.oci.image.layer.v1.tar{end}");
    let zstd = ruzstd::encoding::compress_to_vec(&archive[..], ruzstd::encoding::CompressionLevel::Fastest);
    let cut = zstd[..zstd.len() / 2].to_vec();
    for (blob, kind) in [(zstd, kind("+zstd")), (gzip(&archive), kind("+gzip")), (archive.clone(), kind(""))]
    {
        let (_folder, image) = pull_blob(&blob, &kind, &digest(&archive)).await;
        assert_eq!(std::fs::read(image.unwrap().layers[0].join("a")).unwrap(), b"content", "{kind}");
    }
    let error = pull_blob(&cut, &kind("+zstd"), &digest(&archive)).await.1.unwrap_err();
    assert!(error.contains("not a readable archive"), "{error}");
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

/// Names the folder on the small disk to a test that is run once more on it.
const SMALL_DISK: &str = "SEAWAY_TEST_SMALL_DISK";

#[tokio::test]
async fn a_pull_that_fills_the_disk_says_so_and_leaves_nothing() {
    const OWN: &str = "a_pull_that_fills_the_disk_says_so_and_leaves_nothing";
    let Some(disk) = std::env::var_os(SMALL_DISK).map(std::path::PathBuf::from) else {
        let folder = TempDir::new().unwrap();
        let script = "mount -t tmpfs -o size=2m tmpfs \"$0\" && exec \"$@\"";
        let run = |arguments: &[&str]| {
            let mut command = std::process::Command::new("unshare");
            command.args(["--user", "--map-root-user", "--mount", "sh", "-c", script]).arg(folder.path());
            command.arg(std::env::current_exe().unwrap()).args(arguments).env(SMALL_DISK, folder.path());
            command.output()
        };
        if !run(&["--list"]).is_ok_and(|output| output.status.success()) {
            println!("skipped: nobody may mount here (util-linux' unshare, user namespaces)");
            return;
        }
        let output = run(&["--exact", "--nocapture", OWN]).unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(
            output.status.success() && said.contains("1 passed"),
            "{said}{}",
            String::from_utf8_lossy(&output.stderr)
        );
        return;
    };
    // The layouts lie elsewhere; what is fetched and unpacked does not.
    let elsewhere = TempDir::new_in("/dev/shm").unwrap();
    // Noise of the size of the disk: as a blob it fits just so, unpacked beside that it does not.
    let noise = noise(1_800_000);
    let large = layout(&elsewhere.path().join("large"), &[Layer::new().file("noise", 0o644, &noise).build()]);
    let small = layout(&elsewhere.path().join("small"), &[Layer::new().file("a", 0o644, b"small").build()]);
    let (large, small) = (Registry::of(&large, public()).await, Registry::of(&small, public()).await);
    let store = registry_store(&disk, PATIENT);
    let pull = async |registry: &Registry| {
        let name = format!("{}/app:1", registry.address);
        store.pull(&name, &Credentials::default(), &Progress::default()).await.map_err(|e| e.to_string())
    };
    for _ in 0..2 {
        let error = pull(&large).await.unwrap_err();
        assert!(error.contains("No space left on device"), "{error}");
        for left in ["tmp", "layers"] {
            let count = std::fs::read_dir(disk.join("registry-store").join(left)).unwrap().count();
            assert_eq!(count, 0, "something was left in {left}");
        }
    }
    let image = pull(&small).await.unwrap();
    assert_eq!(std::fs::read(image.layers[0].join("a")).unwrap(), b"small");
}

fn public() -> Behaviour {
    Behaviour { is_public: true, ..Behaviour::default() }
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

#[tokio::test]
async fn a_registry_with_token_login_gives_an_image_by_platform_once() {
    let folder = TempDir::new().unwrap();
    let layout = layout(folder.path(), &[Layer::new().file("a", 0o644, b"from afar").build()]);
    let registry = Registry::of(&layout, Behaviour::default()).await;
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
    let stalling =
        Registry::of(&layout, Behaviour { stall_at: Some("/blobs/"), ..Behaviour::default() }).await;
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
    let lying = Registry::of(&layout, Behaviour::default()).await;
    let wrong = format!("{}/app@sha256:{}", lying.address, "0".repeat(64));
    let error = store.pull(&wrong, &ann(&lying), &Progress::default()).await.unwrap_err().to_string();
    assert!(error.contains("not found"), "{error}");
    let mut blobs = HashMap::new();
    blobs.insert(format!("sha256:{}", "0".repeat(64)), b"{}".to_vec());
    let liar = Registry::start(blobs, Behaviour::default()).await;
    let error = store
        .pull(&format!("{}/app@sha256:{}", liar.address, "0".repeat(64)), &ann(&liar), &Progress::default())
        .await;
    assert!(error.unwrap_err().to_string().contains("the content is sha256:"));
}

#[tokio::test]
async fn an_image_comes_from_debians_registry_as_it_went_in() {
    let folder = TempDir::new().unwrap();
    let Some(registry) = DebianRegistry::start(folder.path()).await else { return };
    let layout = layout(folder.path(), &[Layer::new().file("a", 0o644, b"real").build()]);
    let manifest_digest = registry.push(&layout, "team/app", "1").await;
    let address = &registry.address;
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
