//! A layer archive becomes a folder that overlayfs can use.
//!
//! Every path is opened below the layer's own folder by the kernel (`openat2` with `RESOLVE_IN_ROOT`), so that
//! `..`, absolute paths and links that point out of the layer cannot leave it. Entries are read raw: long names and
//! extended headers are parsed here with limits, since an archive may claim any length.

use super::Limits;
use crate::error::{Error, Result};
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, OpenHow, ResolveFlag, openat, openat2};
use nix::sys::stat::{
    FchmodatFlags, Mode, SFlag, UtimensatFlags, fchmod, fchmodat, fstatat, mkdirat, mknodat, utimensat,
};
use nix::sys::time::TimeSpec;
use nix::unistd::{Gid, Uid, UnlinkatFlags, fchown, fchownat, linkat, symlinkat, unlinkat};
use std::ffi::{OsStr, OsString};
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Component, Path, PathBuf};
use tar::{Archive, EntryType, Header};

/// Longest path and longest extended header that are read.
const MAX_PATH: usize = 4096;
const MAX_EXTENDED: u64 = 1024 * 1024;

/// What one layer held.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Unpacked {
    /// Files, folders and links.
    pub(crate) entries: u64,
    /// Bytes of file content.
    pub(crate) bytes: u64,
    /// Device nodes that were left out.
    pub(crate) skipped: u64,
}

/// Unpacks an uncompressed archive into the empty folder `target`.
///
/// `owners` keeps user and group ids (needs root); without it all files belong to the caller and set-user-id bits and
/// file capabilities are left out, and overlay marks use the `user.` namespace that mounts in a user namespace read.
pub(crate) fn unpack(
    layer: &str,
    archive: impl Read,
    target: &Path,
    owners: bool,
    limits: &Limits,
) -> Result<Unpacked> {
    let root = nix::fcntl::open(target, OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty())
        .map_err(|errno| Error::io("open", target)(errno.into()))?;
    let mut unpacker =
        Unpacker { layer, root, owners, limits, done: Unpacked::default(), folders: Vec::new() };
    unpacker.run(archive)?;
    Ok(unpacker.done)
}

struct Unpacker<'a> {
    layer: &'a str,
    root: OwnedFd,
    owners: bool,
    limits: &'a Limits,
    done: Unpacked,
    /// Modes and times of folders, set last: a folder may be read-only, and writing into it changes its time.
    folders: Vec<(PathBuf, u32, i64)>,
}

/// What extended headers said about the entry that follows them.
#[derive(Default)]
struct Extended {
    path: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    uid: Option<u64>,
    gid: Option<u64>,
    mtime: Option<i64>,
    capability: Option<Vec<u8>>,
}

impl Unpacker<'_> {
    fn fail(&self, entry: &[u8], problem: impl Into<String>) -> Error {
        let entry: String = String::from_utf8_lossy(entry).chars().take(200).collect();
        Error::Layer { layer: self.layer.to_owned(), entry, problem: problem.into() }
    }

    fn errno(&self, path: &Path, what: &str) -> impl Fn(Errno) -> Error {
        let (layer, entry) = (self.layer.to_owned(), path.display().to_string());
        let what = what.to_owned();
        move |errno| Error::Layer {
            layer: layer.clone(),
            entry: entry.clone(),
            problem: match errno {
                Errno::ENOSPC => "the disk is full; free space below the data folder".to_owned(),
                other => format!("{what}: {}", other.desc()),
            },
        }
    }

    fn run(&mut self, archive: impl Read) -> Result<()> {
        let mut archive = Archive::new(archive);
        let entries = archive.entries().map_err(|e| self.fail(b"", e.to_string()))?.raw(true);
        let mut extended = Extended::default();
        for entry in entries {
            let mut entry = entry.map_err(|e| self.fail(b"", format!("not a readable archive: {e}")))?;
            let header = entry.header().clone();
            let kind = header.entry_type();
            let name = header.path_bytes().into_owned();
            match kind {
                EntryType::GNULongName => {
                    extended.path = Some(self.small(&mut entry, &name)?);
                    continue;
                }
                EntryType::GNULongLink => {
                    extended.link = Some(self.small(&mut entry, &name)?);
                    continue;
                }
                EntryType::XHeader => {
                    let data = self.small(&mut entry, &name)?;
                    self.pax(&data, &name, &mut extended)?;
                    continue;
                }
                EntryType::XGlobalHeader => {
                    self.small(&mut entry, &name)?;
                    continue;
                }
                _ => {}
            }
            let extended = std::mem::take(&mut extended);
            self.done.entries += 1;
            if self.done.entries > self.limits.entries {
                return Err(
                    self.fail(&name, format!("more than {} entries in one layer", self.limits.entries))
                );
            }
            self.entry(&mut entry, &header, kind, name, extended)?;
        }
        self.finish_folders()
    }

    /// The content of a long name or extended header.
    fn small(&self, entry: &mut impl Read, name: &[u8]) -> Result<Vec<u8>> {
        let mut data = Vec::new();
        entry.take(MAX_EXTENDED + 1).read_to_end(&mut data).map_err(|e| self.fail(name, e.to_string()))?;
        if data.len() as u64 > MAX_EXTENDED {
            return Err(self.fail(name, "an extended header is larger than 1 MiB"));
        }
        while data.last() == Some(&0) {
            data.pop();
        }
        Ok(data)
    }

    fn pax(&self, data: &[u8], name: &[u8], extended: &mut Extended) -> Result<()> {
        let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
        for record in tar::PaxExtensions::new(data) {
            let record = record.map_err(|e| self.fail(name, format!("extended header: {e}")))?;
            let value = record.value_bytes();
            match record.key_bytes() {
                b"path" => extended.path = Some(value.to_vec()),
                b"linkpath" => extended.link = Some(value.to_vec()),
                b"uid" => extended.uid = text(value).parse().ok(),
                b"gid" => extended.gid = text(value).parse().ok(),
                b"mtime" => extended.mtime = text(value).split('.').next().and_then(|s| s.parse().ok()),
                b"SCHILY.xattr.security.capability" => extended.capability = Some(value.to_vec()),
                b"size" => return Err(self.fail(name, "files of 8 GiB and more are not supported")),
                key if key.starts_with(b"GNU.sparse") => {
                    return Err(self.fail(name, "sparse files are not supported"));
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn entry(
        &mut self,
        content: &mut impl Read,
        header: &Header,
        kind: EntryType,
        name: Vec<u8>,
        extended: Extended,
    ) -> Result<()> {
        let name = extended.path.clone().unwrap_or(name);
        let path = self.clean(&name)?;
        let Some(file_name) = path.file_name().map(OsStr::to_owned) else {
            // The root folder itself: only its mode matters.
            if kind == EntryType::Directory {
                self.folders.push((PathBuf::new(), mode(header), mtime(header, extended.mtime)));
            }
            return Ok(());
        };
        let folder = path.parent().unwrap_or(Path::new("")).to_owned();
        let parent = self.parent(&folder)?;
        if let Some(hidden) = file_name.as_bytes().strip_prefix(b".wh.") {
            return self.whiteout(&parent, &folder, hidden, &name);
        }
        if kind == EntryType::Directory {
            return self.folder(&parent, &file_name, path, header, &extended);
        }
        self.replace(&parent, &file_name, &path)?;
        match kind {
            EntryType::Regular | EntryType::Continuous => {
                self.file(content, &parent, &file_name, &path, header, &extended)
            }
            EntryType::Symlink => {
                let link = self.link_name(header, &extended, &name)?;
                symlinkat(OsStr::from_bytes(&link), &parent, file_name.as_os_str())
                    .map_err(self.errno(&path, "symlink"))?;
                self.own(&parent, &file_name, &path, header, &extended)?;
                self.time(&parent, &file_name, mtime(header, extended.mtime));
                Ok(())
            }
            EntryType::Link => {
                let link = self.link_name(header, &extended, &name)?;
                let link = self.clean(&link)?;
                let Some(link_file) = link.file_name() else {
                    return Err(self.fail(&name, "is a hard link to the root"));
                };
                let from = self.open_folder(link.parent().unwrap_or(Path::new("")));
                let from = from.map_err(self.errno(&path, "hard link to a missing folder"))?;
                linkat(&from, link_file, &parent, file_name.as_os_str(), AtFlags::empty())
                    .map_err(self.errno(&path, "hard link to a file that this layer lacks"))
            }
            EntryType::Fifo => {
                mknodat(
                    &parent,
                    file_name.as_os_str(),
                    SFlag::S_IFIFO,
                    Mode::from_bits_truncate(mode(header)),
                    0,
                )
                .map_err(self.errno(&path, "fifo"))?;
                self.own(&parent, &file_name, &path, header, &extended)
            }
            EntryType::Char | EntryType::Block => {
                // A pod gets its devices from the runtime alone.
                self.done.skipped += 1;
                Ok(())
            }
            EntryType::GNUSparse => Err(self.fail(&name, "sparse files are not supported")),
            other => Err(self.fail(&name, format!("is of an unknown type {:?}", other.as_byte() as char))),
        }
    }

    /// `a/./b` → `a/b`; refuses `..`, absolute and overlong paths.
    fn clean(&self, name: &[u8]) -> Result<PathBuf> {
        if name.len() > MAX_PATH {
            return Err(self.fail(name, "the path is longer than 4096 bytes"));
        }
        if name.contains(&0) {
            return Err(self.fail(name, "the path contains a zero byte"));
        }
        let mut path = PathBuf::new();
        for component in Path::new(OsStr::from_bytes(name)).components() {
            match component {
                Component::Normal(part) => path.push(part),
                Component::CurDir => {}
                // Some builders write absolute names; they mean the image's root and cannot leave it.
                Component::RootDir => {}
                Component::ParentDir | Component::Prefix(_) => {
                    return Err(self.fail(name, "the path contains \"..\""));
                }
            }
        }
        Ok(path)
    }

    fn link_name(&self, header: &Header, extended: &Extended, name: &[u8]) -> Result<Vec<u8>> {
        let link = match &extended.link {
            Some(link) => link.clone(),
            None => header.link_name_bytes().map(|l| l.into_owned()).unwrap_or_default(),
        };
        if link.is_empty() || link.len() > MAX_PATH || link.contains(&0) {
            return Err(self.fail(name, "the target of the link is not valid"));
        }
        Ok(link)
    }

    fn open_folder(&self, folder: &Path) -> nix::Result<OwnedFd> {
        let path = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
        let how = OpenHow::new()
            .flags(OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC)
            .resolve(ResolveFlag::RESOLVE_IN_ROOT | ResolveFlag::RESOLVE_NO_MAGICLINKS);
        openat2(&self.root, path, how)
    }

    /// Opens a folder of the layer and makes the missing ones on the way.
    fn parent(&mut self, folder: &Path) -> Result<OwnedFd> {
        match self.open_folder(folder) {
            Ok(fd) => return Ok(fd),
            Err(Errno::ENOENT) => {}
            Err(errno) => return Err(self.errno(folder, "not a folder of this layer")(errno)),
        }
        let mut so_far = PathBuf::new();
        let mut fd = self.open_folder(&so_far).map_err(self.errno(folder, "open"))?;
        for component in folder.components() {
            so_far.push(component);
            fd = match self.open_folder(&so_far) {
                Ok(next) => next,
                Err(Errno::ENOENT) => {
                    mkdirat(&fd, component.as_os_str(), Mode::from_bits_truncate(0o755))
                        .map_err(self.errno(&so_far, "make the folder"))?;
                    self.open_folder(&so_far).map_err(self.errno(&so_far, "open"))?
                }
                Err(errno) => return Err(self.errno(&so_far, "not a folder of this layer")(errno)),
            };
        }
        Ok(fd)
    }

    fn whiteout(&mut self, parent: &OwnedFd, folder: &Path, hidden: &[u8], name: &[u8]) -> Result<()> {
        if hidden == b".wh..opq" {
            let attribute = if self.owners { c"trusted.overlay.opaque" } else { c"user.overlay.opaque" };
            return set_xattr(parent.as_fd(), attribute, b"y").map_err(self.errno(folder, "mark as opaque"));
        }
        if hidden.starts_with(b".wh.") {
            return Ok(()); // Book-keeping of other union file systems.
        }
        if hidden.is_empty() || hidden == b"." || hidden == b".." {
            return Err(self.fail(name, "is a whiteout of nothing"));
        }
        let hidden = OsStr::from_bytes(hidden);
        let path = folder.join(hidden);
        if fstatat(parent, hidden, AtFlags::AT_SYMLINK_NOFOLLOW).is_ok() {
            return Ok(()); // The layer itself has the name; the whiteout hides only what lies below.
        }
        // A character device 0:0 is a whiteout; it is the one device that everybody may make (since Linux 5.8).
        mknodat(parent, hidden, SFlag::S_IFCHR, Mode::empty(), 0).map_err(self.errno(&path, "whiteout"))
    }

    fn folder(
        &mut self,
        parent: &OwnedFd,
        file_name: &OsStr,
        path: PathBuf,
        header: &Header,
        extended: &Extended,
    ) -> Result<()> {
        match mkdirat(parent, file_name, Mode::from_bits_truncate(0o700)) {
            Ok(()) => {}
            Err(Errno::EEXIST) => {
                let existing = fstatat(parent, file_name, AtFlags::AT_SYMLINK_NOFOLLOW)
                    .map_err(self.errno(&path, "look at"))?;
                if existing.st_mode & libc::S_IFMT != libc::S_IFDIR {
                    self.replace(parent, file_name, &path)?;
                    mkdirat(parent, file_name, Mode::from_bits_truncate(0o700))
                        .map_err(self.errno(&path, "make the folder"))?;
                }
            }
            Err(errno) => return Err(self.errno(&path, "make the folder")(errno)),
        }
        self.own(parent, file_name, &path, header, extended)?;
        self.folders.push((path, mode(header), mtime(header, extended.mtime)));
        Ok(())
    }

    /// A later entry of the same name wins.
    fn replace(&self, parent: &OwnedFd, file_name: &OsStr, path: &Path) -> Result<()> {
        match unlinkat(parent, file_name, UnlinkatFlags::NoRemoveDir) {
            Ok(()) | Err(Errno::ENOENT) => Ok(()),
            Err(Errno::EISDIR) => unlinkat(parent, file_name, UnlinkatFlags::RemoveDir)
                .map_err(self.errno(path, "takes the place of a folder")),
            Err(errno) => Err(self.errno(path, "replace")(errno)),
        }
    }

    fn file(
        &mut self,
        content: &mut impl Read,
        parent: &OwnedFd,
        file_name: &OsStr,
        path: &Path,
        header: &Header,
        extended: &Extended,
    ) -> Result<()> {
        let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let fd = openat(parent, file_name, flags, Mode::from_bits_truncate(0o600))
            .map_err(self.errno(path, "create"))?;
        let mut file = std::fs::File::from(fd);
        let left = self.limits.layer_bytes.saturating_sub(self.done.bytes);
        let copied = std::io::copy(&mut content.take(left.saturating_add(1)), &mut file)
            .map_err(|e| self.fail(path.as_os_str().as_bytes(), format!("write: {e}")))?;
        if copied > left {
            return Err(self.fail(
                path.as_os_str().as_bytes(),
                format!("the layer holds more than {} bytes", self.limits.layer_bytes),
            ));
        }
        self.done.bytes += copied;
        let mut bits = mode(header);
        if self.owners {
            let (uid, gid) = owner(header, extended);
            fchown(&file, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))
                .map_err(self.errno(path, "set owner"))?;
            if let Some(capability) = &extended.capability {
                set_xattr(file.as_fd(), c"security.capability", capability)
                    .map_err(self.errno(path, "set capabilities"))?;
            }
        } else {
            bits &= 0o777;
        }
        // After the owner, since changing it clears the set-user-id bits.
        fchmod(&file, Mode::from_bits_truncate(bits)).map_err(self.errno(path, "set mode"))?;
        self.time(parent, file_name, mtime(header, extended.mtime));
        Ok(())
    }

    fn own(
        &self,
        parent: &OwnedFd,
        name: &OsStr,
        path: &Path,
        header: &Header,
        extended: &Extended,
    ) -> Result<()> {
        if !self.owners {
            return Ok(());
        }
        let (uid, gid) = owner(header, extended);
        let (uid, gid) = (Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)));
        fchownat(parent, name, uid, gid, AtFlags::AT_SYMLINK_NOFOLLOW).map_err(self.errno(path, "set owner"))
    }

    fn time(&self, parent: &OwnedFd, name: &OsStr, mtime: i64) {
        let time = TimeSpec::new(mtime, 0);
        // Times are cosmetic: a file system that cannot hold one is no reason to refuse an image.
        let _ = utimensat(parent, name, &time, &time, UtimensatFlags::NoFollowSymlink);
    }

    fn finish_folders(&mut self) -> Result<()> {
        for (path, mode, mtime) in std::mem::take(&mut self.folders).into_iter().rev() {
            let (Some(name), Some(parent)) = (path.file_name(), path.parent()) else {
                let mode = Mode::from_bits_truncate(if self.owners { mode } else { mode & 0o777 | 0o700 });
                fchmodat(&self.root, ".", mode, FchmodatFlags::FollowSymlink)
                    .map_err(self.errno(&path, "set mode"))?;
                continue;
            };
            let parent = self.open_folder(parent).map_err(self.errno(&path, "open"))?;
            match fstatat(&parent, name, AtFlags::AT_SYMLINK_NOFOLLOW) {
                Ok(stat) if stat.st_mode & libc::S_IFMT == libc::S_IFDIR => {}
                _ => continue, // Replaced by a later entry.
            }
            // Without owners we stay able to read and remove what we unpacked.
            let bits = if self.owners { mode } else { mode & 0o1777 | 0o700 };
            fchmodat(&parent, name, Mode::from_bits_truncate(bits), FchmodatFlags::FollowSymlink)
                .map_err(self.errno(&path, "set mode"))?;
            self.time(&parent, name, mtime);
        }
        Ok(())
    }
}

fn mode(header: &Header) -> u32 {
    header.mode().unwrap_or(0o644) & 0o7777
}

fn mtime(header: &Header, extended: Option<i64>) -> i64 {
    extended.unwrap_or_else(|| i64::try_from(header.mtime().unwrap_or(0)).unwrap_or(0))
}

fn owner(header: &Header, extended: &Extended) -> (u32, u32) {
    let id = |extended: Option<u64>, plain: std::io::Result<u64>| {
        u32::try_from(extended.unwrap_or_else(|| plain.unwrap_or(0))).unwrap_or(0)
    };
    (id(extended.uid, header.uid()), id(extended.gid, header.gid()))
}

#[allow(unsafe_code)]
fn set_xattr(fd: BorrowedFd<'_>, name: &std::ffi::CStr, value: &[u8]) -> nix::Result<()> {
    use std::os::fd::AsRawFd;
    // An O_PATH descriptor has no attributes of its own; its name below /proc has.
    let mut path = OsString::from("/proc/self/fd/");
    path.push(fd.as_raw_fd().to_string());
    let path = std::ffi::CString::new(path.into_vec()).map_err(|_| Errno::EINVAL)?;
    // SAFETY: the pointers are to live, zero-terminated strings and to `value.len()` readable bytes.
    let result =
        unsafe { libc::setxattr(path.as_ptr(), name.as_ptr(), value.as_ptr().cast(), value.len(), 0) };
    Errno::result(result).map(drop)
}
