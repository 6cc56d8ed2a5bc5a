//! Images made on the spot from Debian's static busybox.

#![allow(clippy::unwrap_used)]

use std::path::Path;

use seaway_node::image::{ImageConfig, LayoutWriter};
use tar::{Builder, EntryType, Header};

fn entry(archive: &mut Builder<Vec<u8>>, kind: EntryType, path: &str, link: &str, mode: u32, content: &[u8]) {
    let mut header = Header::new_gnu();
    header.set_path(path).unwrap();
    if !link.is_empty() {
        header.set_link_name(link).unwrap();
    }
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(1_700_000_000);
    header.set_size(content.len() as u64);
    header.set_cksum();
    archive.append(&header, content).unwrap();
}

/// A layer with busybox as every command. `None` where it is not installed.
fn busybox() -> Option<Vec<u8>> {
    let Ok(busybox) = std::fs::read("/bin/busybox") else {
        let missing = "/bin/busybox is not installed (apt-get install busybox-static)";
        assert!(
            std::env::var_os("SEAWAY_TEST_NO_SKIP").is_none(),
            "SEAWAY_TEST_NO_SKIP is set, and {missing}"
        );
        println!("skipped: {missing}");
        return None;
    };
    let list = std::process::Command::new("/bin/busybox").arg("--list").output().unwrap();
    let mut base = Builder::new(Vec::new());
    for (path, mode) in [("bin/", 0o755), ("etc/", 0o755), ("tmp/", 0o1777)] {
        entry(&mut base, EntryType::Directory, path, "", mode, b"");
    }
    entry(&mut base, EntryType::Regular, "bin/busybox", "", 0o755, &busybox);
    for applet in String::from_utf8(list.stdout).unwrap().lines().filter(|a| *a != "busybox") {
        entry(&mut base, EntryType::Symlink, &format!("bin/{applet}"), "busybox", 0o777, b"");
    }
    Some(base.into_inner().unwrap())
}

/// A layout folder with one image: busybox, and programs and files beside it.
#[allow(dead_code)]
pub(crate) fn with_files(
    folder: &Path,
    name: &str,
    config: &ImageConfig,
    files: &[(&str, u32, &str)],
) -> Option<()> {
    let base = busybox()?;
    let mut layer = Builder::new(Vec::new());
    for (path, mode, content) in files {
        entry(&mut layer, EntryType::Regular, path, "", *mode, content.as_bytes());
    }
    let layers = [base, layer.into_inner().unwrap()];
    LayoutWriter::create(folder).unwrap().add(name, config, &layers).unwrap();
    Some(())
}

/// A layout folder with `registry.test/web:1` and `:2`: a web server on port 80 that answers with its version, from a
/// folder whose name marks its processes. `None` where busybox is not installed.
pub(crate) fn web(folder: &Path, marker: &str) -> Option<()> {
    let base = busybox()?;
    let mut writer = LayoutWriter::create(folder).unwrap();
    for version in ["1", "2"] {
        let mut layer = Builder::new(Vec::new());
        entry(&mut layer, EntryType::Directory, &format!("{marker}/"), "", 0o755, b"");
        let text = format!("version {version}\n");
        entry(&mut layer, EntryType::Regular, &format!("{marker}/index.html"), "", 0o644, text.as_bytes());
        let config = ImageConfig {
            env: Some(vec!["PATH=/bin".to_owned()]),
            cmd: Some(
                ["httpd", "-f", "-v", "-p", "80", "-h", &format!("/{marker}")].map(str::to_owned).to_vec(),
            ),
            ..ImageConfig::default()
        };
        let layers = [base.clone(), layer.into_inner().unwrap()];
        writer.add(&format!("registry.test/web:{version}"), &config, &layers).unwrap();
    }
    Some(())
}
