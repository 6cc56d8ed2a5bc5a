//! The git program with a name to commit under and none of the machine's settings; tests of other packages use it too.

use std::path::Path;
use std::process::Command;

/// Runs it in a folder and gives what it prints.
pub(crate) fn git(folder: &Path, arguments: &[&str]) -> String {
    let settings =
        ["user.name=Ada", "user.email=ada@example.com", "init.defaultBranch=main", "core.autocrlf=false"];
    let output = Command::new("git")
        .arg("-C")
        .arg(folder)
        .args(settings.iter().flat_map(|setting| ["-c", setting]))
        .args(arguments)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .output()
        .unwrap();
    assert!(output.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}
