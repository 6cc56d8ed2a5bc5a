//! What the tests of the node share: archives and images made on the spot.
#![allow(clippy::unwrap_used, dead_code, unreachable_pub)]

pub mod cluster;
pub mod registry;
pub mod sandbox;

use seaway_node::image::{ImageConfig, LayoutWriter};
use std::path::{Path, PathBuf};
use tar::{Builder, EntryType, Header};

/// Says why a test is not run. With `SEAWAY_TEST_NO_SKIP` set, what could have been installed has to be.
pub fn skipped(missing: &str) {
    assert!(std::env::var_os("SEAWAY_TEST_NO_SKIP").is_none(), "SEAWAY_TEST_NO_SKIP is set, and {missing}");
    println!("skipped: {missing}");
}

/// A layer archive, entry by entry.
pub struct Layer(Builder<Vec<u8>>);

#[allow(clippy::new_without_default)]
impl Layer {
    pub fn new() -> Self {
        Self(Builder::new(Vec::new()))
    }

    pub fn entry(mut self, kind: EntryType, path: &str, link: &str, mode: u32, content: &[u8]) -> Self {
        let mut header = Header::new_gnu();
        // Written raw: the crate itself refuses to write some of the paths that the tests need.
        header.as_old_mut().name[..path.len()].copy_from_slice(path.as_bytes());
        header.as_old_mut().linkname[..link.len()].copy_from_slice(link.as_bytes());
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(1_700_000_000);
        header.set_size(content.len() as u64);
        header.set_cksum();
        self.0.append(&header, content).unwrap();
        self
    }

    pub fn file(self, path: &str, mode: u32, content: &[u8]) -> Self {
        self.entry(EntryType::Regular, path, "", mode, content)
    }

    pub fn dir(self, path: &str, mode: u32) -> Self {
        self.entry(EntryType::Directory, path, "", mode, b"")
    }

    pub fn symlink(self, path: &str, target: &str) -> Self {
        self.entry(EntryType::Symlink, path, target, 0o777, b"")
    }

    pub fn build(self) -> Vec<u8> {
        self.0.into_inner().unwrap()
    }
}

/// A layer with Debian's static busybox as every command; `None` where it is not installed.
pub fn busybox_layer() -> Option<Vec<u8>> {
    let Ok(busybox) = std::fs::read("/bin/busybox") else {
        skipped("/bin/busybox is not installed (apt-get install busybox-static)");
        return None;
    };
    let list = std::process::Command::new("/bin/busybox").arg("--list").output().unwrap();
    let mut layer = Layer::new()
        .dir("bin/", 0o755)
        .dir("etc/", 0o755)
        .dir("root/", 0o700)
        .dir("tmp/", 0o1777)
        .file("etc/passwd", 0o644, b"root:x:0:0:root:/root:/bin/sh\nweb:x:1000:1000::/home/web:/bin/sh\n")
        .file("etc/group", 0o644, b"root:x:0:\nweb:x:1000:\nextra:x:2000:web\n")
        .file("bin/busybox", 0o755, &busybox);
    for applet in String::from_utf8(list.stdout).unwrap().lines().filter(|a| *a != "busybox") {
        layer = layer.symlink(&format!("bin/{applet}"), "busybox");
    }
    Some(layer.build())
}

/// Writes a layout folder with the image `registry.test/busybox:1`.
pub fn busybox_layout(folder: &Path) -> Option<()> {
    let layer = busybox_layer()?;
    let config = ImageConfig {
        env: Some(vec!["PATH=/bin".to_owned(), "FROM_IMAGE=yes".to_owned()]),
        cmd: Some(vec!["sh".to_owned()]),
        ..ImageConfig::default()
    };
    let mut writer = LayoutWriter::create(folder).unwrap();
    writer.add("registry.test/busybox:1", &config, &[layer]).unwrap();
    Some(())
}

/// A layer with programs of this machine and the libraries that they need, as `ldd` names them.
pub fn programs_layer(programs: &[&str], folders: &[&str]) -> Vec<u8> {
    let mut files: std::collections::BTreeSet<String> = programs.iter().map(|p| (*p).to_owned()).collect();
    let mut pending: Vec<String> = folders.iter().map(|f| (*f).to_owned()).collect();
    while let Some(folder) = pending.pop() {
        for entry in std::fs::read_dir(&folder).unwrap().flatten() {
            let path = entry.path().to_str().unwrap().to_owned();
            if entry.path().is_dir() {
                pending.push(path);
            } else if !path.contains("llvmjit") {
                // Just-in-time compilation would bring a whole compiler along.
                files.insert(path);
            }
        }
    }
    let needs: Vec<String> =
        files.iter().filter(|f| f.contains("bin/") || f.contains(".so")).cloned().collect();
    let ldd = std::process::Command::new("ldd").args(needs).output().unwrap();
    for word in String::from_utf8_lossy(&ldd.stdout)
        .split_whitespace()
        .filter(|w| w.starts_with('/') && !w.ends_with(':'))
    {
        files.insert(word.to_owned());
    }
    let mut layer = Layer::new();
    for file in files {
        let Ok(content) = std::fs::read(&file) else { continue };
        use std::os::unix::fs::PermissionsExt;
        let mode = std::fs::metadata(&file).unwrap().permissions().mode() & 0o777;
        layer = layer.file(file.trim_start_matches('/'), mode, &content);
    }
    layer.build()
}

const HELPER: &str = "SEAWAY_TEST_NODE_HELPER";

/// The program that prepares containers.
pub fn helper() -> PathBuf {
    std::env::var_os(HELPER).map_or_else(|| env!("CARGO_BIN_EXE_seaway-node-helper").into(), PathBuf::from)
}

/// Runs tests of the same file once more, as a user whom nobody else is. Who is no root has run them so already.
pub fn as_an_ordinary_user(tests: &[&str]) {
    const USER: u32 = 64_723;
    if !nix::unistd::geteuid().is_root() {
        return;
    }
    let home = tempfile::TempDir::new().unwrap();
    std::os::unix::fs::chown(home.path(), Some(USER), Some(USER)).unwrap();
    // What was built may lie where only root looks: setpriv still starts it, what it starts itself could not be.
    let reachable = home.path().join("seaway-node-helper");
    std::fs::copy(helper(), &reachable).unwrap();
    let run = |arguments: &[&str]| {
        let mut command = std::process::Command::new("setpriv");
        let (user, group) = (format!("--reuid={USER}"), format!("--regid={USER}"));
        command.args([user.as_str(), group.as_str(), "--clear-groups"]).arg(std::env::current_exe().unwrap());
        command.args(arguments).env("HOME", home.path()).env("TMPDIR", home.path()).env(HELPER, &reachable);
        command.output()
    };
    let can = run(&["--list"]);
    if !can.as_ref().is_ok_and(|output| output.status.success()) {
        println!(
            "skipped: another user cannot start this program (setpriv of util-linux is needed as well): {can:?}"
        );
        return;
    }
    let output = run(&[&["--exact", "--nocapture", "--test-threads=2"], tests].concat()).unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.contains(&format!("{} passed", tests.len())), "{said}");
}
