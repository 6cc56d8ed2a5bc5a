//! Volumes that outlive a pod belong to the group of the next one (`fsGroup`), with all that is in them.
//!
//! As kubelet does it: the group may read and write everything, and what is made in a folder keeps its group. Pods may
//! write there meanwhile, so nothing is followed by its path: neither a link nor a folder that was exchanged for one
//! leads out of the volume.

use crate::error::{Error, Result};
use crate::opened::change_mode;
use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, openat};
use nix::sys::stat::{Mode, SFlag, fstat};
use nix::unistd::{Gid, fchownat, geteuid};
use std::ffi::{CStr, OsStr};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Folders in folders; what is deeper is refused, as each one is held open.
const MAX_DEPTH: usize = 100;
const READ_WRITE: u32 = 0o660;
const FOLDER: u32 = 0o2110;

/// Gives a volume to a group. `only_if_root_differs`: not where its folder has that group already
/// (`fsGroupChangePolicy: OnRootMismatch`).
///
/// An ordinary user cannot give files away, and needs not: all users of a pod are that user.
///
/// # Errors
/// When something in it cannot be given. The folder itself is then left as it was, so that it is tried again. What goes
/// meanwhile is passed over.
pub(crate) fn give_to_group(folder: &Path, group: u32, only_if_root_differs: bool) -> Result<()> {
    let failed = |error: Errno| Error::io("open", folder)(error.into());
    let root = nix::fcntl::open(folder, OPEN, Mode::empty()).map_err(failed)?;
    let found = fstat(&root).map_err(failed)?;
    let wanted = READ_WRITE | FOLDER;
    if only_if_root_differs && found.st_gid == group && found.st_mode & wanted == wanted {
        return Ok(());
    }
    // The folder comes last: it says that all the others are done.
    give_content(root, folder, Gid::from_raw(group), MAX_DEPTH)
}

const OPEN: OFlag =
    OFlag::O_RDONLY.union(OFlag::O_DIRECTORY).union(OFlag::O_NOFOLLOW).union(OFlag::O_CLOEXEC);

/// What is in an open folder, then the folder. `path` is for messages.
fn give_content(folder: OwnedFd, path: &Path, group: Gid, depth: usize) -> Result<()> {
    let failed = |error: Errno| Error::io("give to its group", path)(error.into());
    let copy = folder.try_clone().map_err(Error::io("open", path))?;
    for entry in Dir::from_fd(copy).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name();
        if !matches!(name.to_bytes(), b"." | b"..") {
            give_entry(&folder, name, path, group, depth)?;
        }
    }
    let found = fstat(&folder).map_err(failed)?;
    give(&folder, found.st_mode, READ_WRITE | FOLDER, group).map_err(failed)
}

/// An entry of an open folder, with all that is in it.
fn give_entry(folder: &OwnedFd, name: &CStr, path: &Path, group: Gid, depth: usize) -> Result<()> {
    let path = path.join(OsStr::from_bytes(name.to_bytes()));
    let failed = |error: Errno| Error::io("give to its group", &path)(error.into());
    let flags = OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let file = match openat(folder, name, flags, Mode::empty()) {
        Err(Errno::ENOENT) => return Ok(()),
        other => other.map_err(failed)?,
    };
    let found = fstat(&file).map_err(failed)?;
    let given = match SFlag::from_bits_truncate(found.st_mode & SFlag::S_IFMT.bits()) {
        SFlag::S_IFDIR if depth == 0 => Err(Errno::ENAMETOOLONG),
        SFlag::S_IFDIR => match open_folder(&file, found.st_mode) {
            Ok(below) => {
                drop(file); // One less that is held open at each depth.
                return give_content(below, &path, group, depth - 1);
            }
            Err(errno) => Err(errno),
        },
        SFlag::S_IFLNK => own(&file, group),
        _ => give(&file, found.st_mode, READ_WRITE, group),
    };
    match given {
        Ok(()) | Err(Errno::ENOENT) => Ok(()),
        Err(errno) => Err(failed(errno)),
    }
}

/// Opens a folder for reading, also one whose owner had taken that right from himself.
fn open_folder(file: &OwnedFd, mode: u32) -> nix::Result<OwnedFd> {
    match openat(file, ".", OPEN, Mode::empty()) {
        Err(Errno::EACCES) => {
            change_mode(file, mode | READ_WRITE | FOLDER)?;
            openat(file, ".", OPEN, Mode::empty())
        }
        other => other,
    }
}

fn own(file: &OwnedFd, group: Gid) -> nix::Result<()> {
    match fchownat(file, "", None, Some(group), AtFlags::AT_EMPTY_PATH) {
        Err(Errno::EPERM) if !geteuid().is_root() => Ok(()),
        other => other,
    }
}

/// The mode comes after the group, whose change takes bits from it.
fn give(file: &OwnedFd, mode: u32, more: u32, group: Gid) -> nix::Result<()> {
    own(file, group)?;
    change_mode(file, mode | more)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

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
    fn a_volume_that_is_too_deep_is_refused_and_tried_again() {
        let volume = tempfile::tempdir().unwrap();
        let deep = volume.path().join("d/".repeat(MAX_DEPTH + 1));
        std::fs::create_dir_all(&deep).unwrap();
        set(volume.path(), 0o700);
        let group = nix::unistd::getegid().as_raw();
        for _ in 0..2 {
            let error = give_to_group(volume.path(), group, true).unwrap_err().to_string();
            assert!(error.contains("d/d/d"), "{error}");
            assert_eq!(mode(volume.path()), 0o700);
        }
        std::fs::remove_dir(&deep).unwrap();
        // Closed by its owner.
        set(&volume.path().join("d/d"), 0);
        give_to_group(volume.path(), group, true).unwrap();
        assert_eq!(mode(&volume.path().join("d/d")), 0o2770);
    }

    #[test]
    fn a_volume_that_is_a_link_is_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let link = folder.path().join("link");
        symlink("/etc", &link).unwrap();
        give_to_group(&link, 4242, false).unwrap_err();
    }
}
