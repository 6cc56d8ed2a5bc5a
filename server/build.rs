//! Builds the page from `web/` when Node.js is there, and lists its files for `src/page.rs`.
//!
//! Without Node.js, or when the page cannot be built, the program is built all the same and says that it carries none.

use std::collections::hash_map::DefaultHasher;
use std::fmt::Write as _;
use std::hash::{Hash as _, Hasher as _};
use std::path::{Path, PathBuf};
use std::process::Command;

/// What the page is made of.
const SOURCES: [&str; 6] =
    ["src", "public", "index.html", "package.json", "package-lock.json", "vite.config.ts"];

fn main() {
    let out = PathBuf::from(std::env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    let web = Path::new(env!("CARGO_MANIFEST_DIR")).join("../web");
    for source in SOURCES {
        println!("cargo:rerun-if-changed={}", web.join(source).display());
    }
    println!("cargo:rerun-if-env-changed=SEAWAY_WITHOUT_PAGE");
    let page = out.join("page");
    let _ = std::fs::remove_dir_all(&page);
    if std::env::var_os("SEAWAY_WITHOUT_PAGE").is_none()
        && let Err(reason) = build(&web, &page)
    {
        println!("cargo:warning=the page is left out: {reason}");
        let _ = std::fs::remove_dir_all(&page);
    }
    std::fs::write(out.join("page.rs"), listing(&page)).expect("OUT_DIR can be written");
}

fn build(web: &Path, page: &Path) -> Result<(), String> {
    if !web.join("package.json").is_file() {
        return Err("there is no folder web/".to_owned());
    }
    let version = Command::new("node").arg("--version").output();
    if !version.is_ok_and(|output| output.status.success()) {
        return Err("Node.js is not installed".to_owned());
    }
    // npm notes there what it has installed.
    let installed = web.join("node_modules/.package-lock.json");
    let age = |path: &Path| std::fs::metadata(path).and_then(|meta| meta.modified()).ok();
    if age(&installed) < age(&web.join("package-lock.json")) || age(&installed).is_none() {
        run(Command::new("npm").args(["ci", "--no-audit", "--no-fund"]).current_dir(web))?;
    }
    let mut vite = Command::new("npm");
    vite.args(["run", "build", "--", "--emptyOutDir", "--outDir"]).arg(page).current_dir(web);
    run(&mut vite)
}

fn run(command: &mut Command) -> Result<(), String> {
    let output = command.output().map_err(|error| format!("npm: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let last = said.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default();
    Err(format!("{command:?}: {last}"))
}

/// `FILES` of `src/page.rs`.
fn listing(page: &Path) -> String {
    let mut files = Vec::new();
    collect(page, &mut files);
    files.sort();
    let mut text = String::from("static FILES: &[File] = &[\n");
    let packed = |path: &Path, ending: &str| {
        let packed = PathBuf::from(format!("{}{ending}", path.display()));
        if packed.is_file() { format!("Some(include_bytes!({packed:?}))") } else { "None".to_owned() }
    };
    for file in files.iter().filter(|file| !file.extension().is_some_and(|e| e == "gz" || e == "br")) {
        let name = file.strip_prefix(page).unwrap_or(file).display().to_string();
        let mut hasher = DefaultHasher::new();
        std::fs::read(file).unwrap_or_default().hash(&mut hasher);
        let tag = format!("\"{:016x}\"", hasher.finish());
        let (gzip, brotli) = (packed(file, ".gz"), packed(file, ".br"));
        let _ = writeln!(
            text,
            "    File {{ path: {name:?}, tag: {tag:?}, plain: include_bytes!({file:?}), gzip: {gzip}, brotli: {brotli} }},"
        );
    }
    text.push_str("];\n");
    text
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() { collect(&path, files) } else { files.push(path) }
    }
}
