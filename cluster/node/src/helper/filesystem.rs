//! Mounts of a container: its root, its devices, its volumes.
//!
//! Every target is opened below the root by the kernel (`RESOLVE_IN_ROOT`), since the image decides what its folders
//! are: a link `/data → /etc` leads to the container's `/etc`, never to the host's. Everything is mounted without
//! devices (`nodev`), so that a device node made inside opens nothing.

use super::protocol::{BindMount, ContainerSpec};
use super::users::{Users, attach};
use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, open, openat, openat2};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sys::stat::{Mode, fstat, mkdirat};
use nix::sys::statfs::{TMPFS_MAGIC, fstatfs};
use nix::sys::statvfs::{FsFlags, statvfs};
use nix::unistd::{Gid, Uid, chdir, chown, fchdir, pivot_root, symlinkat};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Component, Path, PathBuf};

/// Devices of every container, bound from the host.
const DEVICES: [&str; 6] = ["null", "zero", "full", "random", "urandom", "tty"];
/// What a container must not read…
const MASKED: [&str; 13] = [
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/sched_debug",
    "/proc/scsi",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
    "/sys/kernel/debug",
    "/sys/fs/cgroup",
];
/// …and what it must not write.
const READ_ONLY: [&str; 5] = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

type Result<T, E = String> = std::result::Result<T, E>;

fn because(what: impl std::fmt::Display) -> impl FnOnce(Errno) -> String {
    move |errno| format!("{what}: {}", errno.desc())
}

/// Mounts a file or folder at another place.
pub(super) fn bind(source: &Path, target: &Path) -> nix::Result<()> {
    mount(Some(source), target, None::<&str>, MsFlags::MS_BIND | MsFlags::MS_REC, None::<&str>)
}

/// Adds restrictions to a mount and keeps those that it has: a user namespace must not lift them.
pub(super) fn restrict(target: &Path, flags: MsFlags) -> nix::Result<()> {
    let has = statvfs(target)?.flags();
    let mut all = flags | MsFlags::MS_BIND | MsFlags::MS_REMOUNT;
    for (present, flag) in [
        (FsFlags::ST_RDONLY, MsFlags::MS_RDONLY),
        (FsFlags::ST_NOSUID, MsFlags::MS_NOSUID),
        (FsFlags::ST_NODEV, MsFlags::MS_NODEV),
        (FsFlags::ST_NOEXEC, MsFlags::MS_NOEXEC),
        (FsFlags::ST_NOATIME, MsFlags::MS_NOATIME),
        (FsFlags::ST_NODIRATIME, MsFlags::MS_NODIRATIME),
        (FsFlags::ST_RELATIME, MsFlags::MS_RELATIME),
    ] {
        if has.contains(present) {
            all |= flag;
        }
    }
    mount(None::<&str>, target, None::<&str>, all, None::<&str>)
}

pub(super) fn tmpfs(target: &Path, options: &str) -> nix::Result<()> {
    mount(Some("tmpfs"), target, Some("tmpfs"), MsFlags::MS_NOSUID | MsFlags::MS_NODEV, Some(options))
}

/// Builds the container's root and makes it the root of this process.
pub(super) fn enter_root(spec: &ContainerSpec, users: &Users) -> Result<()> {
    let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
    mount(None::<&str>, "/", None::<&str>, private, None::<&str>).map_err(because("make mounts private"))?;
    overlay(spec, users)?;
    users.make_files_as_pod().map_err(because("make files as the pod's root"))?;
    let root = Root::open(&spec.root)?;
    root.mount_proc_and_sys()?;
    root.mount_devices(spec, users)?;
    for volume in &spec.mounts {
        root.mount_volume(volume, users)?;
    }
    root.mask()?;
    if spec.read_only_root {
        restrict(&spec.root, MsFlags::MS_RDONLY | MsFlags::MS_NODEV)
            .map_err(because("make the root read-only"))?;
    }
    // The old root is stacked on the new one and taken away: no path leads back.
    let new = open(&spec.root, OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty())
        .map_err(because("open root"))?;
    fchdir(&new).map_err(because("enter the root"))?;
    pivot_root(".", ".").map_err(because("change the root"))?;
    umount2(".", MntFlags::MNT_DETACH).map_err(because("leave the host's root"))?;
    chdir("/").map_err(because("enter the root"))
}

fn overlay(spec: &ContainerSpec, users: &Users) -> Result<()> {
    // Mount options fit in one page: the layers are named relative to their common folder.
    let folder = spec.layers.first().and_then(|l| l.parent()).map(Path::to_owned);
    let mut names = Vec::new();
    for layer in spec.layers.iter().rev() {
        match layer.file_name().and_then(|n| n.to_str()) {
            Some(name) if layer.parent() == folder.as_deref() => names.push(name.to_owned()),
            _ => return Err("the layers of the image are not in one folder".to_owned()),
        }
    }
    let escape = |path: &Path| {
        let text = path.to_str().ok_or_else(|| format!("{} is not UTF-8", path.display()))?;
        Ok::<_, String>(text.replace('\\', "\\\\").replace(',', "\\,").replace(':', "\\:"))
    };
    let (upper, work) = (escape(&spec.upper)?, escape(&spec.work)?);
    if let Some(base) = users.base() {
        // It lives no longer than the container, so it may belong to whom it belongs.
        let (uid, gid) = (Uid::from_raw(base), Gid::from_raw(base));
        chown(&spec.upper, Some(uid), Some(gid)).map_err(because("give the root to the pod"))?;
    }
    if names.is_empty() {
        return bind(&spec.upper, &spec.root)
            .and_then(|()| restrict(&spec.root, MsFlags::MS_NODEV))
            .map_err(because("mount the root"));
    }
    if let Some(folder) = &folder {
        if users.base().is_some() {
            let layers =
                users.mapped(None, folder).map_err(because("map the owners of the image's files"))?;
            attach(&layers, folder).map_err(because("mount the image's layers"))?;
        }
        chdir(folder).map_err(because(format!("enter {}", folder.display())))?;
    }
    let lower = names.join(":");
    let mut options = format!("lowerdir={lower},upperdir={upper},workdir={work}");
    if users.is_one() {
        options.push_str(",userxattr");
    }
    // Changes of a container end with it: no need to write them to the disk in order.
    let fast = format!("{options},volatile");
    let flags = MsFlags::MS_NODEV;
    mount(Some("overlay"), &spec.root, Some("overlay"), flags, Some(fast.as_str()))
        .or_else(|_| mount(Some("overlay"), &spec.root, Some("overlay"), flags, Some(options.as_str())))
        .map_err(|errno| {
            format!("mount overlay: {}; the data folder must be on a local file system such as ext4, xfs or btrfs", errno.desc())
        })
}

/// The container's root, seen from outside.
struct Root(OwnedFd);

impl Root {
    fn open(path: &Path) -> Result<Self> {
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        Ok(Self(open(path, flags, Mode::empty()).map_err(because("open the root"))?))
    }

    fn mount_proc_and_sys(&self) -> Result<()> {
        let safe = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
        let proc = self.folder("/proc", true)?;
        mount(Some("proc"), &name(&proc), Some("proc"), safe, None::<&str>)
            .map_err(because("mount /proc"))?;
        let sys = self.folder("/sys", true)?;
        mount(Some("sysfs"), &name(&sys), Some("sysfs"), safe | MsFlags::MS_RDONLY, None::<&str>)
            .map_err(because("mount /sys"))
    }

    fn mount_devices(&self, spec: &ContainerSpec, users: &Users) -> Result<()> {
        let safe = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
        let dev = self.folder("/dev", true)?;
        // The devices below are mounts of their own; one that is made here opens nothing.
        let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
        mount(Some("tmpfs"), &name(&dev), Some("tmpfs"), flags, Some("mode=755,size=64k"))
            .map_err(because("mount /dev"))?;
        for device in DEVICES {
            let target = self.file(&format!("/dev/{device}"))?;
            let source = Path::new("/dev").join(device);
            bind(&source, &name(&target)).map_err(because(format!("mount /dev/{device}")))?;
        }
        let dev = self.folder("/dev", true)?;
        for (link, target) in [
            ("fd", "/proc/self/fd"),
            ("stdin", "/proc/self/fd/0"),
            ("stdout", "/proc/self/fd/1"),
            ("stderr", "/proc/self/fd/2"),
            ("ptmx", "pts/ptmx"),
        ] {
            symlinkat(target, &dev, link).map_err(because(format!("make /dev/{link}")))?;
        }
        let pts = self.folder("/dev/pts", true)?;
        let flags = MsFlags::MS_NOSUID | MsFlags::MS_NOEXEC;
        let options = "newinstance,ptmxmode=0666,mode=0620";
        let with_group = format!("{options},gid={}", users.on_host(5));
        // Group 5 (tty) has no number in a user namespace of one user.
        mount(Some("devpts"), &name(&pts), Some("devpts"), flags, Some(with_group.as_str()))
            .or_else(|_| mount(Some("devpts"), &name(&pts), Some("devpts"), flags, Some(options)))
            .map_err(because("mount /dev/pts"))?;
        let shm = self.folder("/dev/shm", true)?;
        let memory = open(&spec.shm, OFlag::O_PATH | OFlag::O_CLOEXEC, Mode::empty());
        memory.and_then(|memory| place(&memory, &shm, users)).map_err(because("mount /dev/shm"))?;
        let queue = self.folder("/dev/mqueue", true)?;
        // Not every kernel has message queues.
        let _ = mount(Some("mqueue"), &name(&queue), Some("mqueue"), safe, None::<&str>);
        Ok(())
    }

    fn mount_volume(&self, volume: &BindMount, users: &Users) -> Result<()> {
        let what = format!("mount {}", volume.target);
        let flags = OFlag::O_PATH | OFlag::O_CLOEXEC;
        let mut source = open(&volume.source, flags, Mode::empty()).map_err(because(&what))?;
        if let Some(sub_path) = &volume.sub_path {
            let below = Root(source);
            source = match below.resolve(Path::new(sub_path), false) {
                Err(Errno::ENOENT) => {
                    // Outside of the pod still, where its users are called otherwise.
                    users.as_host(|| below.folder(sub_path, false)).map_err(because(&what))??
                }
                other => other.map_err(because(format!("{what}: subPath {sub_path}")))?,
            };
        }
        let is_folder = is_folder(&source).map_err(because(&what))?;
        let target = if is_folder { self.folder(&volume.target, false)? } else { self.file(&volume.target)? };
        place(&source, &target, users).map_err(|errno| match (errno, users.base()) {
            (Errno::EINVAL, Some(_)) => format!(
                "{what}: the file system of {} cannot map the owners of its files; set hostUsers: true in the pod",
                volume.source.display()
            ),
            (other, _) => because(&what)(other),
        })?;
        // Opened again: the name now leads to what was mounted.
        let mounted = self.resolve(Path::new(&volume.target), false).map_err(because(&what))?;
        let mut restrictions = MsFlags::MS_NODEV;
        if volume.read_only {
            restrictions |= MsFlags::MS_RDONLY;
        }
        restrict(&name(&mounted), restrictions)
            .map_err(because(format!("{what} read-only or without devices")))
    }

    fn mask(&self) -> Result<()> {
        for path in MASKED {
            let Ok(target) = self.resolve(Path::new(path), true) else { continue };
            let masked = if is_folder(&target).map_err(because(path))? {
                let flags = MsFlags::MS_RDONLY | MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
                mount(Some("tmpfs"), &name(&target), Some("tmpfs"), flags, Some("size=0,mode=555"))
            } else {
                bind(Path::new("/dev/null"), &name(&target))
            };
            masked.map_err(because(format!("hide {path}")))?;
        }
        for path in READ_ONLY {
            let Ok(target) = self.resolve(Path::new(path), true) else { continue };
            bind(&name(&target), &name(&target)).map_err(because(format!("protect {path}")))?;
            let mounted = self.resolve(Path::new(path), true).map_err(because(path))?;
            let flags = MsFlags::MS_RDONLY | MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
            restrict(&name(&mounted), flags).map_err(because(format!("protect {path}")))?;
        }
        Ok(())
    }

    /// A path inside, opened without following it outside; `strict` follows no link at all.
    fn resolve(&self, path: &Path, strict: bool) -> nix::Result<OwnedFd> {
        let links =
            if strict { ResolveFlag::RESOLVE_NO_SYMLINKS } else { ResolveFlag::RESOLVE_NO_MAGICLINKS };
        let how = OpenHow::new()
            .flags(OFlag::O_PATH | OFlag::O_CLOEXEC)
            .resolve(ResolveFlag::RESOLVE_IN_ROOT | links);
        openat2(&self.0, if path.as_os_str().is_empty() { Path::new(".") } else { path }, how)
    }

    /// A folder inside, made when missing.
    fn folder(&self, path: &str, strict: bool) -> Result<OwnedFd> {
        match self.resolve(Path::new(path), strict) {
            Ok(fd) => return Ok(fd),
            Err(Errno::ENOENT) => {}
            Err(errno) => return Err(because(format!("open {path} in the image"))(errno)),
        }
        let mut so_far = PathBuf::new();
        for component in Path::new(path).components() {
            let parent = self.resolve(&so_far, strict).map_err(because(format!("open {path}")))?;
            match component {
                Component::Normal(part) => {
                    so_far.push(part);
                    match mkdirat(&parent, part, Mode::from_bits_truncate(0o755)) {
                        Ok(()) | Err(Errno::EEXIST) => {}
                        Err(errno) => return Err(because(format!("make {path}"))(errno)),
                    }
                }
                Component::RootDir | Component::CurDir => {}
                Component::ParentDir | Component::Prefix(_) => {
                    return Err(format!("{path}: must not contain \"..\""));
                }
            }
        }
        self.resolve(Path::new(path), strict).map_err(because(format!("make {path}")))
    }

    /// A file inside, made when missing.
    fn file(&self, path: &str) -> Result<OwnedFd> {
        match self.resolve(Path::new(path), false) {
            Err(Errno::ENOENT) => {}
            other => return other.map_err(because(format!("open {path} in the image"))),
        }
        let (parent, file) = path.rsplit_once('/').unwrap_or(("", path));
        let parent = self.folder(if parent.is_empty() { "/" } else { parent }, false)?;
        let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        openat(&parent, file, flags, Mode::from_bits_truncate(0o644))
            .map_err(because(format!("make {path}")))?;
        self.resolve(Path::new(path), false).map_err(because(format!("make {path}")))
    }
}

/// Mounts what is open at what is open, with the owners of its files as the pod knows them. An error where the file system
/// cannot do that: what the pod wrote there would belong to users that another pod has later. Memory goes with the pod, so
/// there it is enough that everybody may write (tmpfs can do it since Linux 6.3).
fn place(source: &OwnedFd, target: &OwnedFd, users: &Users) -> nix::Result<()> {
    if users.base().is_none() {
        return bind(&name(source), &name(target));
    }
    match users.mapped(Some(source), Path::new("")) {
        Ok(tree) => attach(&tree, &name(target)),
        Err(_) if fstatfs(source)?.filesystem_type() == TMPFS_MAGIC => bind(&name(source), &name(target)),
        Err(errno) => Err(errno),
    }
}

/// A path that leads to an open file, for calls that take paths only.
fn name(fd: &OwnedFd) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", fd.as_raw_fd()))
}

fn is_folder(fd: &OwnedFd) -> nix::Result<bool> {
    Ok(fstat(fd)?.st_mode & libc::S_IFMT == libc::S_IFDIR)
}
