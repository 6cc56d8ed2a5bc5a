//! For hosts that lend one user only: changes of user and owner that do nothing, yet succeed.
//!
//! Without a range of users (subuid(5)) a process in the sandbox has a single user, and the kernel refuses to become
//! another or to give files away. Many programs do both at their start and need neither: nginx drops to its own user,
//! package scripts call chown. A filter answers these calls with success. What a process may really do is unchanged.

use super::bpf::{ARCHITECTURE, Program};

/// Calls that are answered with success.
const CALLS: &[libc::c_long] = &[
    libc::SYS_setuid,
    libc::SYS_setgid,
    libc::SYS_setreuid,
    libc::SYS_setregid,
    libc::SYS_setresuid,
    libc::SYS_setresgid,
    libc::SYS_setgroups,
    libc::SYS_setfsuid,
    libc::SYS_setfsgid,
    libc::SYS_fchown,
    libc::SYS_fchownat,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_chown,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_lchown,
];

/// Installs the filter for this process and all that descend from it. Needs CAP_SYS_ADMIN in its user namespace.
pub(super) fn install() -> nix::Result<()> {
    // Not known for another architecture: such calls fail there.
    let Some(architecture) = ARCHITECTURE else { return Ok(()) };
    let mut program = Program::new(architecture, libc::SECCOMP_RET_ALLOW);
    for call in CALLS {
        program.call(*call, libc::SECCOMP_RET_ERRNO); // With the error number 0: success.
    }
    program.install()
}
