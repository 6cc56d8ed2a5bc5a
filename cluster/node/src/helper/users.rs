//! Whose users a pod's processes are.
//!
//! Each pod has a user namespace of its own (user_namespaces(7)). Where Seaway runs as root, the pod's users 0 to 65535 are
//! a range of the host's that no other pod of the node has, and what its root may do ends at its own namespaces. Files
//! keep the owners that the image names: layers and volumes are mounted with their ids mapped (mount_setattr(2)), so
//! nothing is changed on disk. An ordinary user has one user to give, who is every pod's root; a user namespace for each
//! pod keeps what that root may do at the pod all the same.
//!
//! A host may know no such users ([`possible`]); that is found out before the first pod, which could else bring it about.

#![allow(unsafe_code)] // System calls that have no wrapper, and clone; the reason stands at each block.

use super::{capability, clone_into, wire};
use nix::errno::Errno;
use nix::fcntl::{OFlag, openat};
use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::stat::Mode;
use nix::unistd::{ForkResult, Gid, Uid, setfsgid, setfsuid, setgroups, setresgid, setresuid};
use std::net::Ipv4Addr;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixStream;
use std::path::Path;

/// Users and groups of a pod: those that images number.
const COUNT: u32 = 65_536;
/// The first of the host's that are given to pods, and how many ranges there are from there on. Above what distributions
/// give to people, below what the kernel's group ranges can say. One for each address of the largest network that pods
/// can have: two pods of a node never share one. Two Seaways as root on one machine choose the same ones; their pods are
/// kept apart by their namespaces alone.
const FIRST: u32 = 0x4000_0000;
const RANGES: u32 = 1 << (32 - crate::sandbox::SHORTEST_PREFIX);
/// The namespaces of a pod that belong to its user namespace.
const SHARED: CloneFlags =
    CloneFlags::CLONE_NEWNET.union(CloneFlags::CLONE_NEWIPC).union(CloneFlags::CLONE_NEWUTS);

/// See the top of this file.
pub(super) struct Users {
    /// The pod's own; `None` where the host allows no more, or the pod asked for none.
    namespace: Option<OwnedFd>,
    kind: Kind,
}

enum Kind {
    /// All of the host's.
    Host,
    /// The one of an ordinary user, which is called 0.
    One,
    /// Those of the host's from here on.
    From(u32),
}

impl Users {
    /// Makes a pod's user namespace and enters the others ([`SHARED`]) that belong to it. `folder` is on the file system
    /// of the images. Without `own` the host's users are used; with it never, whatever fails.
    pub(super) fn of_a_pod(own: bool, rootless: bool, address: Ipv4Addr, folder: &Path) -> nix::Result<Self> {
        let [.., third, fourth] = address.octets();
        let base = FIRST + u32::from(u16::from_be_bytes([third, fourth])) % RANGES * COUNT;
        let (map, kind) = match rootless {
            true => ("0 0 1".to_owned(), Kind::One),
            false => (format!("0 {base} {COUNT}"), Kind::From(base)),
        };
        if own {
            let (namespace, others) = make(&map)?;
            let users = Self { namespace: Some(namespace), kind };
            if !rootless {
                users.mapped(None, folder)?;
            }
            for (namespace, kind) in others {
                setns(namespace, kind)?;
            }
            return Ok(users);
        }
        unshare(SHARED)?;
        Ok(Self { namespace: None, kind: if rootless { Kind::One } else { Kind::Host } })
    }

    /// Whether there is a single one.
    pub(super) fn is_one(&self) -> bool {
        matches!(self.kind, Kind::One)
    }

    /// Whether what the pod's root may do ends at the pod.
    pub(super) fn are_its_own(&self) -> bool {
        self.namespace.is_some()
    }

    /// Whether the pod has no user and group of this number.
    pub(super) fn lack(&self, id: u32) -> bool {
        self.base().is_some() && id >= COUNT
    }

    /// What the host calls a user or group of the pod.
    pub(super) fn on_host(&self, id: u32) -> u32 {
        self.base().unwrap_or(0).saturating_add(id)
    }

    /// The first of the host's users that are the pod's, where they have other numbers.
    pub(super) fn base(&self) -> Option<u32> {
        match self.kind {
            Kind::From(base) => Some(base),
            Kind::Host | Kind::One => None,
        }
    }

    /// What this process makes from now on belongs to the pod's root; its rights stay.
    pub(super) fn make_files_as_pod(&self) -> nix::Result<()> {
        let Some(base) = self.base() else { return Ok(()) };
        setfsgid(Gid::from_raw(base));
        setfsuid(Uid::from_raw(base));
        // Leaving the host's root took those that concern files.
        capability::raise()
    }

    /// The same for the host's root again, while `body` runs.
    pub(super) fn as_host<T>(&self, body: impl FnOnce() -> T) -> nix::Result<T> {
        if self.base().is_none() {
            return Ok(body());
        }
        setfsuid(Uid::from_raw(0));
        setfsgid(Gid::from_raw(0));
        let result = body();
        self.make_files_as_pod()?;
        Ok(result)
    }

    /// A folder or file as a mount that is nowhere yet, on which the host's first users are the pod's. With everything
    /// that is mounted below. An error where the pod has no users of its own, or the file system cannot do it.
    pub(super) fn mapped(&self, at: Option<&OwnedFd>, path: &Path) -> nix::Result<OwnedFd> {
        let (Some(namespace), Some(_)) = (&self.namespace, self.base()) else { return Err(Errno::EINVAL) };
        let path = c_path(path)?;
        let at = at.map_or(libc::AT_FDCWD, AsRawFd::as_raw_fd);
        let flags = libc::OPEN_TREE_CLONE
            | libc::O_CLOEXEC as libc::c_uint
            | libc::AT_EMPTY_PATH as libc::c_uint
            | libc::AT_RECURSIVE as libc::c_uint;
        // SAFETY: the path is a zero-terminated string that lives until the call returns.
        let tree = Errno::result(unsafe { libc::syscall(libc::SYS_open_tree, at, path.as_ptr(), flags) })?;
        // SAFETY: open_tree made this descriptor for us; the number fits, as all descriptors do.
        let tree = unsafe { OwnedFd::from_raw_fd(tree as RawFd) };
        // SAFETY: a structure of numbers, for which zeros are valid.
        let mut attributes: libc::mount_attr = unsafe { std::mem::zeroed() };
        attributes.attr_set = libc::MOUNT_ATTR_IDMAP;
        attributes.userns_fd = namespace.as_raw_fd() as u64;
        let flags = libc::AT_EMPTY_PATH | libc::AT_RECURSIVE;
        let size = size_of::<libc::mount_attr>();
        // SAFETY: the structure has the size that is said, and both pointers live until the call returns.
        Errno::result(unsafe {
            libc::syscall(
                libc::SYS_mount_setattr,
                tree.as_raw_fd(),
                c"".as_ptr(),
                flags,
                &raw mut attributes,
                size,
            )
        })?;
        Ok(tree)
    }

    /// Becomes the pod's root: with all rights within the pod's namespaces, and none outside.
    pub(super) fn enter(&self) -> nix::Result<()> {
        let Some(namespace) = &self.namespace else { return Ok(()) };
        setns(namespace, CloneFlags::CLONE_NEWUSER)?;
        if self.is_one() {
            return Ok(()); // It is that already.
        }
        setgroups(&[])?;
        let (uid, gid) = (Uid::from_raw(0), Gid::from_raw(0));
        setresgid(gid, gid, gid)?;
        setresuid(uid, uid, uid)
    }
}

/// Whether pods can have users of their own at all on this host: namespaces may be made and, where Seaway runs as root, the
/// file system of `folder` and overlays can map the owners of files. Asked while there is no pod. An error where that
/// cannot be said now.
pub(super) fn possible(rootless: bool, folder: &Path) -> nix::Result<bool> {
    if !rootless && !overlays_map() {
        return Ok(false);
    }
    let map = if rootless { "0 0 1".to_owned() } else { format!("0 {FIRST} {COUNT}") };
    let tried = make(&map).and_then(|(namespace, _)| match rootless {
        true => Ok(()),
        false => Users { namespace: Some(namespace), kind: Kind::From(FIRST) }.mapped(None, folder).map(drop),
    });
    match tried {
        Ok(()) => Ok(true),
        Err(errno) if is_of_the_host(errno) => Ok(false),
        Err(errno) => Err(errno),
    }
}

/// Whether an error says that the host never does it, when nobody has taken anything yet.
fn is_of_the_host(errno: Errno) -> bool {
    matches!(
        errno,
        Errno::ENOSPC | Errno::EUSERS | Errno::EPERM | Errno::EINVAL | Errno::ENOSYS | Errno::EOPNOTSUPP
    )
}

/// Mounts at a place what [`Users::mapped`] made.
pub(super) fn attach(tree: &OwnedFd, target: &Path) -> nix::Result<()> {
    let target = c_path(target)?;
    // SAFETY: both paths are zero-terminated strings that live until the call returns.
    Errno::result(unsafe {
        libc::syscall(
            libc::SYS_move_mount,
            tree.as_raw_fd(),
            c"".as_ptr(),
            libc::AT_FDCWD,
            target.as_ptr(),
            libc::MOVE_MOUNT_F_EMPTY_PATH | libc::MOVE_MOUNT_T_SYMLINKS,
        )
    })
    .map(drop)
}

fn c_path(path: &Path) -> nix::Result<std::ffi::CString> {
    std::ffi::CString::new(path.as_os_str().as_bytes()).map_err(|_| Errno::EINVAL)
}

/// Overlays take layers whose ids are mapped since Linux 5.19.
fn overlays_map() -> bool {
    let Ok(system) = nix::sys::utsname::uname() else { return false };
    let release = system.release().to_string_lossy().into_owned();
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(|n| n.parse::<u32>().unwrap_or(0));
    (numbers.next(), numbers.next()) >= (Some(5), Some(19))
}

type Others = [(OwnedFd, CloneFlags); 3];

/// A user namespace with this map, and those that belong to it.
fn make(map: &str) -> nix::Result<(OwnedFd, Others)> {
    let (ours, theirs) = UnixStream::pair().map_err(|_| Errno::EMFILE)?;
    match clone_into(CloneFlags::CLONE_NEWUSER | SHARED)? {
        ForkResult::Child => {
            drop(ours);
            // Numbers of processes differ between namespaces, so it gives its folder in place of its number.
            let folder = OFlag::O_DIRECTORY | OFlag::O_RDONLY | OFlag::O_CLOEXEC;
            if let Ok(own) = nix::fcntl::open("/proc/self", folder, Mode::empty()) {
                let _ = wire::send_head(theirs.as_raw_fd(), 0, &[own.as_raw_fd()]);
                let _ = wire::receive_head(theirs.as_raw_fd()); // Until all is taken over.
            }
            std::process::exit(0)
        }
        ForkResult::Parent { child } => {
            drop(theirs);
            let taken = take_over(&ours, map);
            drop(ours);
            let _ = nix::sys::wait::waitpid(child, None);
            taken
        }
    }
}

fn take_over(channel: &UnixStream, map: &str) -> nix::Result<(OwnedFd, Others)> {
    let received = wire::receive_head(channel.as_raw_fd());
    let folder = received.ok().flatten().and_then(|(_, mut fds)| fds.pop()).ok_or(Errno::ESRCH)?;
    for file in ["uid_map", "gid_map"] {
        let file = openat(&folder, file, OFlag::O_WRONLY | OFlag::O_CLOEXEC, Mode::empty())?;
        nix::unistd::write(&file, map.as_bytes())?;
    }
    let open = |name: &str| openat(&folder, name, OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty());
    Ok((
        open("ns/user")?,
        [
            (open("ns/net")?, CloneFlags::CLONE_NEWNET),
            (open("ns/ipc")?, CloneFlags::CLONE_NEWIPC),
            (open("ns/uts")?, CloneFlags::CLONE_NEWUTS),
        ],
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_range_ends_where_groups_do() {
        let last = u64::from(FIRST) + u64::from(RANGES) * u64::from(COUNT);
        assert_eq!(last, 1 << 31);
    }

    #[test]
    fn only_the_pods_own_range_ends() {
        let users = |kind| Users { namespace: None, kind };
        assert!(users(Kind::From(FIRST)).lack(65_536) && !users(Kind::From(FIRST)).lack(65_535));
        assert!(!users(Kind::Host).lack(65_536) && !users(Kind::One).lack(65_536));
    }

    #[test]
    fn what_may_pass_says_nothing_about_the_host() {
        assert!(is_of_the_host(Errno::ENOSYS) && is_of_the_host(Errno::EPERM));
        assert!(!is_of_the_host(Errno::EMFILE) && !is_of_the_host(Errno::ENOMEM));
    }
}
