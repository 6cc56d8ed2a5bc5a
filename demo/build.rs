//! Builds the shop as one statically linked program, and packs it as the layer of its images.
//!
//! It is a cargo inside of cargo, with a target folder of its own: the outer one holds the lock of its folder until this
//! ends. That folder is shared by all profiles, so that checks, tests and releases build the shop once.

use std::ffi::OsString;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use sha2::{Digest, Sha256};

/// Distroless images' user `nonroot`.
const USER: u64 = 65532;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed=shop");
    println!("cargo:rerun-if-changed=../Cargo.lock");
    if let Err(problem) = run() {
        eprintln!("the demo's shop could not be built: {problem}");
        std::process::exit(1);
    }
}

fn run() -> Result<(), String> {
    let out = PathBuf::from(variable("OUT_DIR")?);
    let binary = build(&out)?;
    let layer = layer(&binary).map_err(|e| format!("the layer of its images could not be packed: {e}"))?;
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    let packed = gzip.write_all(&layer).and_then(|()| gzip.finish()).map_err(|e| e.to_string())?;
    std::fs::write(out.join("layer.tar.gz"), packed).map_err(|e| format!("{}: {e}", out.display()))?;
    println!("cargo:rustc-env=SHOP_DIFF_ID=sha256:{}", hex::encode(Sha256::digest(&layer)));
    // As the OCI image specification spells it.
    let architecture = match variable("CARGO_CFG_TARGET_ARCH")?.as_str() {
        "x86_64" => "amd64".to_owned(),
        "aarch64" => "arm64".to_owned(),
        other => other.to_owned(),
    };
    println!("cargo:rustc-env=SHOP_ARCHITECTURE={architecture}");
    Ok(())
}

fn variable(name: &str) -> Result<String, String> {
    std::env::var(name).map_err(|e| format!("{name}: {e}"))
}

/// Runs the inner cargo and reads what it built.
fn build(out: &Path) -> Result<Vec<u8>, String> {
    // Target folders hold this file at their root.
    let outer = out.ancestors().find(|folder| folder.join("CACHEDIR.TAG").exists()).unwrap_or(out);
    let folder = outer.join("shop");
    let target = variable("TARGET")?;
    let root = PathBuf::from(variable("CARGO_MANIFEST_DIR")?);
    let mut command = Command::new(variable("CARGO")?);
    command
        .args(["build", "--locked", "--package", "seaway-shop", "--profile", "shop", "--target", &target])
        .arg("--target-dir")
        .arg(&folder)
        .current_dir(root);
    for (name, _) in std::env::vars_os() {
        if is_of_the_outer_build(&name) {
            command.env_remove(name);
        }
    }
    // With a target named, these are not for build scripts and procedural macros, which cannot be static.
    command.env("CARGO_ENCODED_RUSTFLAGS", "-Ctarget-feature=+crt-static");
    let output = command.output().map_err(|e| format!("{command:?} could not be started: {e}"))?;
    if !output.status.success() {
        return Err(format!("{command:?}: {}\n{}", output.status, String::from_utf8_lossy(&output.stderr)));
    }
    let binary = folder.join(&target).join("shop/shop");
    std::fs::read(&binary).map_err(|e| format!("{} cannot be read: {e}", binary.display()))
}

/// What the outer cargo says of itself, of this package and of its flags and wrappers (such as clippy's). The job
/// server stays: both share the machine.
fn is_of_the_outer_build(name: &OsString) -> bool {
    const EXACT: [&str; 14] = [
        "CARGO_ENCODED_RUSTFLAGS",
        "CARGO_INCREMENTAL",
        "CARGO_TARGET_DIR",
        "CLIPPY_ARGS",
        "CLIPPY_CONF_DIR",
        "DEBUG",
        "HOST",
        "OPT_LEVEL",
        "OUT_DIR",
        "PROFILE",
        "RUSTC_WORKSPACE_WRAPPER",
        "RUSTC_WRAPPER",
        "RUSTFLAGS",
        "TARGET",
    ];
    const BEGINNINGS: [&str; 7] = [
        "CARGO_BUILD_",
        "CARGO_CFG_",
        "CARGO_FEATURE_",
        "CARGO_MANIFEST_",
        "CARGO_PKG_",
        "CARGO_PROFILE_",
        "CARGO_TARGET_",
    ];
    let name = name.to_string_lossy();
    EXACT.contains(&name.as_ref()) || BEGINNINGS.iter().any(|beginning| name.starts_with(beginning))
}

/// A tar archive of the program and the folders that it writes to. Times are fixed: the same program is the same layer.
fn layer(binary: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut archive = tar::Builder::new(Vec::new());
    let mut add = |kind: tar::EntryType, path: &str, mode: u32, owner: u64, content: &[u8]| {
        let mut header = tar::Header::new_ustar();
        header.set_path(path)?;
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_uid(owner);
        header.set_gid(owner);
        header.set_mtime(0);
        header.set_size(content.len() as u64);
        header.set_cksum();
        archive.append(&header, content)
    };
    add(tar::EntryType::Directory, "data/", 0o755, USER, b"")?;
    add(tar::EntryType::Directory, "tmp/", 0o1777, 0, b"")?;
    add(tar::EntryType::Regular, "shop", 0o755, 0, binary)?;
    archive.into_inner()
}
