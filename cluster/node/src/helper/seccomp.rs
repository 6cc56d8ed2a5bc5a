//! The system calls that a container's processes may not make (seccomp(2)).
//!
//! The list is of what Docker and containerd keep from a container by default: calls that change the machine, that make
//! namespaces and mounts, and that have opened the kernel up before. All others are allowed, so that programs meet no
//! surprise; a call that the kernel learns later is allowed as well. Calls in the way of another architecture (32 bits on
//! a 64-bit machine) would pass by the numbers below, so there are none.

use super::bpf::{ARCHITECTURE, Program};
use super::capability::has;
use nix::errno::Errno;

/// Refused to everybody.
const NEVER: &[libc::c_long] = &[
    libc::SYS_acct,
    libc::SYS_add_key,
    libc::SYS_adjtimex,
    libc::SYS_clock_adjtime,
    libc::SYS_clock_settime,
    libc::SYS_delete_module,
    libc::SYS_finit_module,
    libc::SYS_init_module,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_io_uring_setup,
    libc::SYS_kcmp,
    libc::SYS_kexec_file_load,
    libc::SYS_kexec_load,
    libc::SYS_keyctl,
    libc::SYS_move_pages,
    libc::SYS_nfsservctl,
    libc::SYS_open_by_handle_at,
    libc::SYS_reboot,
    libc::SYS_request_key,
    libc::SYS_settimeofday,
    libc::SYS_swapoff,
    libc::SYS_swapon,
    libc::SYS_syslog,
    libc::SYS_userfaultfd,
    libc::SYS_vhangup,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_ioperm,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_iopl,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_sysfs,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_uselib,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_ustat,
];

/// Allowed to those who administer their own namespaces (`CAP_SYS_ADMIN`).
const ADMINISTRATION: &[libc::c_long] = &[
    libc::SYS_bpf,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fsopen,
    libc::SYS_fspick,
    libc::SYS_mount,
    libc::SYS_mount_setattr,
    libc::SYS_move_mount,
    libc::SYS_open_tree,
    libc::SYS_perf_event_open,
    libc::SYS_pivot_root,
    libc::SYS_quotactl,
    libc::SYS_setdomainname,
    libc::SYS_sethostname,
    libc::SYS_setns,
    libc::SYS_umount2,
    libc::SYS_unshare,
];

/// Refused also to those who ask for no filter: keys are the machine's, whoever looks (keyrings(7)), and open files by
/// number are found behind every mount.
const LEAST: &[libc::c_long] =
    &[libc::SYS_add_key, libc::SYS_keyctl, libc::SYS_open_by_handle_at, libc::SYS_request_key];

/// Flags of clone(2) that make namespaces: mount, control group, host name, IPC, user, process, network, time.
const NAMESPACES: u32 = 0x7e02_0080;
/// What personality(2) may be asked for: the usual one, 32-bit addresses, old `uname`, and what it is now.
const PERSONALITIES: [u32; 5] = [0, 0x0008, 0x0002_0000, 0x0002_0008, u32::MAX];
/// Sockets to the machine's hypervisor.
const AF_VSOCK: u32 = 40;

/// Installs the filter for this process and all that descend from it. Needs CAP_SYS_ADMIN in its user namespace.
/// `capabilities` are those that the container is given.
pub(super) fn install(capabilities: u64) -> nix::Result<()> {
    let Some(architecture) = ARCHITECTURE else { return Ok(()) };
    let refused = libc::SECCOMP_RET_ERRNO | libc::EPERM as u32;
    // As if the kernel did not know it: programs then fall back to an older call.
    let unknown = libc::SECCOMP_RET_ERRNO | libc::ENOSYS as u32;
    let mut program = Program::new(architecture, unknown);
    // Numbers of the x32 way to call are the others with this bit.
    #[cfg(target_arch = "x86_64")]
    program.from(0x4000_0000, unknown);
    for call in NEVER {
        program.call(*call, refused);
    }
    program.call_unless(libc::SYS_personality, 0, &PERSONALITIES, refused);
    program.call_if(libc::SYS_socket, 0, AF_VSOCK, refused);
    if !has(capabilities, "SYS_ADMIN") {
        for call in ADMINISTRATION {
            program.call(*call, refused);
        }
        program.call_with(libc::SYS_clone, 0, NAMESPACES, refused);
        // Its flags lie in memory, where no filter sees them.
        program.call(libc::SYS_clone3, unknown);
    }
    program.install()
}

/// The same with what is refused to everybody alone.
pub(super) fn install_least() -> nix::Result<()> {
    let Some(architecture) = ARCHITECTURE else { return Ok(()) };
    let mut program = Program::new(architecture, libc::SECCOMP_RET_ERRNO | libc::ENOSYS as u32);
    #[cfg(target_arch = "x86_64")]
    program.from(0x4000_0000, libc::SECCOMP_RET_ERRNO | libc::ENOSYS as u32);
    for call in LEAST {
        program.call(*call, libc::SECCOMP_RET_ERRNO | libc::EPERM as u32);
    }
    program.install()
}

/// Why it cannot be installed, in words.
pub(super) fn because(errno: Errno) -> String {
    format!("install the seccomp filter: {}", errno.desc())
}
