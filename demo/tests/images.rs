//! The image layout is a valid one, the same each time, and its program needs nothing else.
#![allow(clippy::unwrap_used)]

use std::io::Read;
use std::path::Path;

use seaway_demo::images::{NAME, VERSIONS, write};
use serde_json::Value;
use sha2::{Digest, Sha256};

fn blob(folder: &Path, descriptor: &Value) -> Vec<u8> {
    let digest = descriptor["digest"].as_str().unwrap().strip_prefix("sha256:").unwrap();
    let content = std::fs::read(folder.join("blobs/sha256").join(digest)).unwrap();
    assert_eq!(hex::encode(Sha256::digest(&content)), digest);
    assert_eq!(descriptor["size"], content.len());
    content
}

fn json(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap()
}

fn index(folder: &Path) -> Value {
    json(&std::fs::read(folder.join("index.json")).unwrap())
}

/// The layer of the first image, unpacked to a tar archive.
fn layer(folder: &Path) -> Vec<u8> {
    let manifest = json(&blob(folder, &index(folder)["manifests"][0]));
    let mut tar = Vec::new();
    flate2::read::GzDecoder::new(&blob(folder, &manifest["layers"][0])[..]).read_to_end(&mut tar).unwrap();
    tar
}

fn program(folder: &Path) -> Vec<u8> {
    let tar = layer(folder);
    let mut archive = tar::Archive::new(&tar[..]);
    let mut entries = archive.entries().unwrap().map(Result::unwrap);
    let mut entry = entries.find(|entry| entry.path().unwrap() == Path::new("shop")).unwrap();
    let mut bytes = Vec::new();
    entry.read_to_end(&mut bytes).unwrap();
    bytes
}

#[test]
fn every_version_is_named_and_every_digest_is_right() {
    let temporary = tempfile::tempdir().unwrap();
    let folder = temporary.path().join("images");
    assert!(write(&folder).unwrap());
    let marker = json(&std::fs::read(folder.join("oci-layout")).unwrap());
    assert_eq!(marker["imageLayoutVersion"], "1.0.0");
    let index = index(&folder);
    let diff_id = format!("sha256:{}", hex::encode(Sha256::digest(layer(&folder))));
    for (entry, version) in index["manifests"].as_array().unwrap().iter().zip(VERSIONS) {
        assert_eq!(entry["annotations"]["org.opencontainers.image.ref.name"], version.tag);
        let name = format!("{NAME}:{}", version.tag);
        assert_eq!(entry["annotations"]["io.containerd.image.name"], name);
        let manifest = json(&blob(&folder, entry));
        assert_eq!(manifest["layers"].as_array().unwrap().len(), 1);
        let config = json(&blob(&folder, &manifest["config"]));
        assert_eq!(config["rootfs"]["diff_ids"][0], diff_id);
        assert_eq!(config["architecture"], entry["platform"]["architecture"]);
        let env = config["config"]["Env"].to_string();
        assert!(env.contains(&format!("SHOP_VERSION={}\"", version.tag)), "{env}");
        assert!(env.contains(&format!("SHOP_COLOUR={}\"", version.colour)), "{env}");
    }
}

#[test]
fn the_same_again_is_the_same_bytes_and_what_is_there_stays() {
    let temporary = tempfile::tempdir().unwrap();
    let (one, two) = (temporary.path().join("one"), temporary.path().join("two"));
    write(&one).unwrap();
    write(&two).unwrap();
    assert_eq!(
        std::fs::read(one.join("index.json")).unwrap(),
        std::fs::read(two.join("index.json")).unwrap()
    );
    assert!(!write(&one).unwrap(), "nothing is written twice");
    // A kill in the middle, a full disk, an earlier program: all end in the same folder.
    let blobs = two.join("blobs/sha256");
    let some = std::fs::read_dir(&blobs).unwrap().next().unwrap().unwrap().path();
    std::fs::write(&some, "half").unwrap();
    std::fs::write(blobs.join("0".repeat(64)), "of an earlier program").unwrap();
    std::fs::write(two.join("index.json"), "{").unwrap();
    assert!(write(&two).unwrap());
    let names = |folder: &Path| {
        let entries = std::fs::read_dir(folder.join("blobs/sha256")).unwrap();
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        names
    };
    assert_eq!(names(&one), names(&two));
    assert!(index(&two)["manifests"].as_array().unwrap().iter().all(|entry| !blob(&two, entry).is_empty()));
}

#[test]
fn a_folder_that_cannot_be_written_is_named() {
    let temporary = tempfile::tempdir().unwrap();
    let folder = temporary.path().join("images");
    std::fs::write(&folder, "a file").unwrap();
    let error = write(&folder).unwrap_err().to_string();
    assert!(error.contains("images"), "{error}");
}

#[test]
fn the_program_is_static_and_says_how_it_is_used() {
    let temporary = tempfile::tempdir().unwrap();
    let folder = temporary.path().join("images");
    write(&folder).unwrap();
    let program = program(&folder);
    // Program headers of a 64-bit ELF file (System V ABI): one of type 3 names an interpreter, the dynamic linker.
    let number = |at: usize, length: usize| {
        program[at..at + length].iter().rev().fold(0_usize, |sum, byte| sum << 8 | usize::from(*byte))
    };
    assert_eq!(&program[..5], b"\x7fELF\x02");
    let (table, size, count) = (number(32, 8), number(54, 2), number(56, 2));
    let kinds: Vec<usize> = (0..count).map(|index| number(table + index * size, 4)).collect();
    assert!(kinds.contains(&1) && !kinds.contains(&3), "{kinds:?}");

    use std::os::unix::fs::PermissionsExt;
    let path = temporary.path().join("shop");
    std::fs::write(&path, &program).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    let output = std::process::Command::new(&path).arg("boat").env_clear().output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8(output.stderr).unwrap().contains("web|catalog|checkout"));
}
