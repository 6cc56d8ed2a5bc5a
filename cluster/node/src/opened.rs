//! Files by what is open: nothing can exchange one for another between two steps.

use nix::errno::Errno;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

/// The name of an open file, which leads to it whatever stands at its old name (proc_pid_fd(5)).
pub(crate) fn path(file: &OwnedFd) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()))
}

/// Changes the mode, also of what is open by name alone (`O_PATH`), where fchmod(2) is refused.
pub(crate) fn change_mode(file: &OwnedFd, mode: u32) -> nix::Result<()> {
    let mode = std::fs::Permissions::from_mode(mode & 0o7777);
    std::fs::set_permissions(path(file), mode).map_err(errno)
}

/// The number of a failed call.
pub(crate) fn errno(error: std::io::Error) -> Errno {
    Errno::from_raw(error.raw_os_error().unwrap_or(libc::EIO))
}
