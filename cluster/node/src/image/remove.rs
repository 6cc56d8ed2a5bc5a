//! Removes what images and pods have written, whatever it looks like.

use crate::error::{Error, Result};
use crate::opened::{self, errno};
use nix::errno::Errno;
use nix::fcntl::{OFlag, RenameFlags, openat, renameat2};
use nix::sys::stat::{Mode, fchmod};
use nix::unistd::{UnlinkatFlags, unlinkat};
use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::path::Path;

/// Removes a folder tree, or a file. A program may have made folders deeper than a path can name or a stack can hold, and
/// taken away the right to read them: each folder inside is moved to the top, where one step is enough to reach it.
pub(crate) fn remove_tree(path: &Path) -> Result<()> {
    match std::fs::symlink_metadata(path) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Ok(metadata) if !metadata.is_dir() => {
            return std::fs::remove_file(path).map_err(Error::io("remove", path));
        }
        _ => {}
    }
    let fail = |errno: Errno| Error::io("remove", path)(errno.into());
    match empty(path) {
        Ok(()) | Err(Errno::ENOENT) => {}
        Err(errno) => return Err(fail(errno)),
    }
    match std::fs::remove_dir(path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(Error::io("remove", path)(e)),
        _ => Ok(()),
    }
}

fn open(parent: &OwnedFd, name: &OsString) -> nix::Result<OwnedFd> {
    // Readable again, should it not be; only of a folder, never of what a link leads to.
    let folder = OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    match openat(parent, name.as_os_str(), folder, Mode::empty()) {
        Err(Errno::EACCES) => openat(&allow(parent, name)?, ".", folder, Mode::empty()),
        other => other,
    }
}

/// Gives its owner all rights at a folder, named by what is open: what it was exchanged for stays as it is.
fn allow(parent: &OwnedFd, name: &OsString) -> nix::Result<OwnedFd> {
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let folder = openat(parent, name.as_os_str(), flags, Mode::empty())?;
    opened::change_mode(&folder, Mode::S_IRWXU.bits())?;
    Ok(folder)
}

/// What an open folder holds, and whether each is a folder.
fn entries(folder: &OwnedFd) -> nix::Result<Vec<(OsString, bool)>> {
    let all = std::fs::read_dir(opened::path(folder)).map_err(errno)?;
    all.map(|entry| {
        let entry = entry.map_err(errno)?;
        Ok((entry.file_name(), entry.file_type().map_err(errno)?.is_dir()))
    })
    .collect()
}

fn empty(path: &Path) -> nix::Result<()> {
    let parent = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let parent =
        nix::fcntl::open(parent, OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty())?;
    let name = path.file_name().ok_or(Errno::EINVAL)?.to_owned();
    let root = open(&parent, &name)?;
    fchmod(&root, Mode::S_IRWXU)?;
    let mut moved = 0u64;
    let mut pending = entries(&root)?;
    while let Some((name, is_folder)) = pending.pop() {
        if !is_folder {
            unlinkat(&root, name.as_os_str(), UnlinkatFlags::NoRemoveDir)?;
            continue;
        }
        let folder = open(&root, &name)?;
        // To take something out of it, and to move it, it must be writable.
        fchmod(&folder, Mode::S_IRWXU)?;
        for (inner, is_folder) in entries(&folder)? {
            if !is_folder {
                unlinkat(&folder, inner.as_os_str(), UnlinkatFlags::NoRemoveDir)?;
                continue;
            }
            match unlinkat(&folder, inner.as_os_str(), UnlinkatFlags::RemoveDir) {
                Ok(()) => continue,
                Err(Errno::ENOTEMPTY | Errno::EEXIST | Errno::EACCES) => {}
                Err(errno) => return Err(errno),
            }
            allow(&folder, &inner)?;
            loop {
                moved += 1;
                let place = OsString::from(format!(".moved-{moved}"));
                let flags = RenameFlags::RENAME_NOREPLACE;
                match renameat2(&folder, inner.as_os_str(), &root, place.as_os_str(), flags) {
                    Ok(()) => {
                        pending.push((place, true));
                        break;
                    }
                    Err(Errno::EEXIST) => {} // The program used that name itself.
                    Err(errno) => return Err(errno),
                }
            }
        }
        unlinkat(&root, name.as_os_str(), UnlinkatFlags::RemoveDir)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use nix::sys::stat::mkdirat;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_tree_goes_however_deep_it_is_and_whatever_it_forbids() {
        let folder = tempfile::tempdir().unwrap();
        let tree = folder.path().join("tree");
        std::fs::create_dir(&tree).unwrap();
        let outside = folder.path().join("outside");
        std::fs::write(&outside, "stays").unwrap();
        std::os::unix::fs::symlink(&outside, tree.join("link")).unwrap();
        std::fs::create_dir(tree.join(".moved-1")).unwrap();
        std::fs::write(tree.join(".moved-1/file"), "").unwrap();
        // Far deeper than a path, the descriptors of a process or the stack of a thread.
        let mut at = nix::fcntl::open(&tree, OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty()).unwrap();
        for depth in 0..20_000 {
            mkdirat(&at, "d", Mode::S_IRWXU).unwrap();
            let next = openat(&at, "d", OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty()).unwrap();
            if depth % 100 == 0 {
                mkdirat(&at, "closed", Mode::S_IRWXU).unwrap();
                let closed = openat(&at, "closed", OFlag::O_DIRECTORY, Mode::empty()).unwrap();
                mkdirat(&closed, "inner", Mode::S_IRWXU).unwrap();
                fchmod(&closed, Mode::empty()).unwrap();
            }
            at = next;
        }
        drop(at);
        remove_tree(&tree).unwrap();
        assert!(!tree.exists());
        assert_eq!(std::fs::read_to_string(&outside).unwrap(), "stays");
        remove_tree(&tree).unwrap();
        remove_tree(&outside).unwrap();
        assert!(!outside.exists());
    }

    #[test]
    fn no_rights_are_given_through_a_link() {
        let folder = tempfile::tempdir().unwrap();
        let outside = folder.path().join("outside");
        std::fs::create_dir(&outside).unwrap();
        std::fs::set_permissions(&outside, std::fs::Permissions::from_mode(0o500)).unwrap();
        std::os::unix::fs::symlink(&outside, folder.path().join("link")).unwrap();
        let parent =
            nix::fcntl::open(folder.path(), OFlag::O_PATH | OFlag::O_DIRECTORY, Mode::empty()).unwrap();
        allow(&parent, &OsString::from("link")).unwrap_err();
        assert_eq!(outside.metadata().unwrap().permissions().mode() & 0o777, 0o500);
        allow(&parent, &OsString::from("outside")).unwrap();
        assert_eq!(outside.metadata().unwrap().permissions().mode() & 0o777, 0o700);
    }
}
