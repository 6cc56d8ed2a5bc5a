//! Volumes that outlive a pod belong to the group of the next one (`fsGroup`), with all that is in them.
//!
//! As kubelet does it: the group may read and write everything, and what is made in a folder keeps its group. Pods may
//! write there meanwhile, so nothing is followed by its path: neither a link nor a folder that was exchanged for one
//! leads out of the volume.

use crate::error::{Error, Result};
use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, openat};
use nix::sys::stat::{Mode, SFlag, fstat};
use nix::unistd::{Gid, fchownat};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// Folders in folders; what is deeper keeps its owner, as each one is held open.
const MAX_DEPTH: usize = 100;
const READ_WRITE: u32 = 0o660;
const FOLDER: u32 = 0o2110;
/// Where a file is named by what is open. Nothing could exchange it.
const OPEN_FILES: &str = "/proc/self/fd";

/// Gives a volume to a group. `only_if_root_differs`: not where its folder has that group already
/// (`fsGroupChangePolicy: OnRootMismatch`).
///
/// An ordinary user cannot give files away, and needs not: all users of a pod are that user.
///
/// # Errors
/// When the folder itself cannot be opened. What changes or goes meanwhile is passed over.
pub(crate) fn give_to_group(folder: &Path, group: u32, only_if_root_differs: bool) -> Result<()> {
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let failed = |error: Errno| Error::io("open", folder)(error.into());
    let root = nix::fcntl::open(folder, flags, Mode::empty()).map_err(failed)?;
    let found = fstat(&root).map_err(failed)?;
    let wanted = READ_WRITE | FOLDER;
    if only_if_root_differs && found.st_gid == group && found.st_mode & wanted == wanted {
        return Ok(());
    }
    // The folder comes last: it says that all the others are done.
    give_content(root, Gid::from_raw(group), MAX_DEPTH);
    Ok(())
}

/// What is in an open folder, then the folder.
fn give_content(folder: OwnedFd, group: Gid, depth: usize) {
    let entries = folder.try_clone().ok().and_then(|copy| Dir::from_fd(copy).ok());
    for entry in entries.into_iter().flatten().flatten() {
        let name = entry.file_name();
        if matches!(name.to_bytes(), b"." | b"..") {
            continue;
        }
        let flags = OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let Ok(file) = openat(&folder, name, flags, Mode::empty()) else { continue };
        let Ok(found) = fstat(&file) else { continue };
        match SFlag::from_bits_truncate(found.st_mode & SFlag::S_IFMT.bits()) {
            SFlag::S_IFDIR if depth > 0 => {
                let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
                if let Ok(below) = openat(&file, ".", flags, Mode::empty()) {
                    give_content(below, group, depth - 1);
                }
            }
            SFlag::S_IFDIR => tracing::warn!("a volume has folders too deep to be given to its group"),
            SFlag::S_IFLNK => drop(own(&file, group)),
            _ => give(&file, found.st_mode, READ_WRITE, group),
        }
    }
    if let Ok(found) = fstat(&folder) {
        give(&folder, found.st_mode, READ_WRITE | FOLDER, group);
    }
}

fn own(file: &OwnedFd, group: Gid) -> nix::Result<()> {
    fchownat(file, "", None, Some(group), AtFlags::AT_EMPTY_PATH)
}

/// The mode comes after the group, whose change takes bits from it.
fn give(file: &OwnedFd, mode: u32, more: u32, group: Gid) {
    let _ = own(file, group);
    let mode = std::fs::Permissions::from_mode((mode | more) & 0o7777);
    let _ = std::fs::set_permissions(format!("{OPEN_FILES}/{}", file.as_raw_fd()), mode);
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::os::unix::fs::{MetadataExt, symlink};

    fn mode(path: &Path) -> u32 {
        path.symlink_metadata().unwrap().mode() & 0o7777
    }

    fn set(path: &Path, mode: u32) {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn everything_in_a_volume_is_the_groups_and_nothing_beyond_it() {
        let outside = tempfile::tempdir().unwrap();
        let secret = outside.path().join("secret");
        std::fs::write(&secret, "").unwrap();
        set(&secret, 0o600);
        let volume = tempfile::tempdir().unwrap();
        let below = volume.path().join("a/b");
        std::fs::create_dir_all(&below).unwrap();
        let (file, program) = (below.join("file"), volume.path().join("program"));
        for (path, mode) in [(&file, 0o600), (&program, 0o711)] {
            std::fs::write(path, "").unwrap();
            set(path, mode);
        }
        symlink(&secret, volume.path().join("link")).unwrap();
        symlink(outside.path(), volume.path().join("folder")).unwrap();

        // Whoever is not root has his own group alone.
        let root = nix::unistd::geteuid().is_root();
        let group = if root { 4242 } else { nix::unistd::getegid().as_raw() };
        give_to_group(volume.path(), group, true).unwrap();
        for path in
            [volume.path(), &volume.path().join("a"), &below, &file, &program, &volume.path().join("link")]
        {
            assert_eq!(path.symlink_metadata().unwrap().gid(), group, "{}", path.display());
        }
        assert_eq!((mode(&file), mode(&program)), (0o660, 0o771));
        assert_eq!(mode(&below) & 0o2770, 0o2770);
        assert_eq!(mode(&secret), 0o600);
        assert!(!root || secret.metadata().unwrap().gid() != group);

        // Once is enough, where the pod says so.
        set(&file, 0o600);
        give_to_group(volume.path(), group, true).unwrap();
        assert_eq!(mode(&file), 0o600);
        give_to_group(volume.path(), group, false).unwrap();
        assert_eq!(mode(&file), 0o660);
    }

    #[test]
    fn a_volume_that_is_a_link_is_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let link = folder.path().join("link");
        symlink("/etc", &link).unwrap();
        give_to_group(&link, 4242, false).unwrap_err();
    }
}
