//! Scripts of Node.js: what they need, installed once.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

fn there(program: &str) -> bool {
    Command::new(program).arg("--version").output().is_ok_and(|output| output.status.success())
}

/// The folder `tests/NAME` with its packages installed; where Node.js is missing it says so and there is none. The tests
/// run side by side, each in a process of its own.
pub(crate) fn installed(name: &str) -> Option<PathBuf> {
    if let Some(missing) = ["node", "npm"].into_iter().find(|program| !there(program)) {
        println!("skipped: {missing} is not there");
        return None;
    }
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests").join(name);
    let lock = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-install.lock"));
    let lock = File::create(lock).unwrap();
    lock.lock().unwrap();
    // npm notes there what it has installed, last of all.
    let age = |path: &str| std::fs::metadata(scripts.join(path)).and_then(|meta| meta.modified()).ok();
    if age("node_modules/.package-lock.json") < age("package-lock.json") {
        let installed =
            Command::new("npm").args(["ci", "--no-audit"]).current_dir(&scripts).output().unwrap();
        assert!(installed.status.success(), "{}", String::from_utf8_lossy(&installed.stderr));
    }
    Some(scripts)
}

/// Chromium, and the scripts that drive it; where one is missing it says so and there is none.
pub(crate) fn browser() -> Option<(String, PathBuf)> {
    let chromium = std::env::var("SEAWAY_TEST_CHROMIUM").unwrap_or_else(|_| "/usr/bin/chromium".to_owned());
    if !there(&chromium) {
        println!("skipped: {chromium} is not there");
        return None;
    }
    Some((chromium, installed("browser")?))
}
