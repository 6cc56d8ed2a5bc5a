//! What the tests of the node share: archives and images made on the spot.
#![allow(clippy::unwrap_used, dead_code, unreachable_pub)]

use seaway_node::image::{ImageConfig, LayoutWriter};
use std::path::Path;
use tar::{Builder, EntryType, Header};

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
        println!("skipped: /bin/busybox is not installed (apt-get install busybox-static)");
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
