//! For hosts that lend one user only: changes of user and owner that do nothing, yet succeed.
//!
//! Without a range of users (subuid(5)) a process in the sandbox has a single user, and the kernel refuses to become
//! another or to give files away. Many programs do both at their start and need neither: nginx drops to its own user,
//! package scripts call chown. A filter answers these calls with success. What a process may really do is unchanged.

use nix::errno::Errno;

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

#[cfg(target_arch = "x86_64")]
const ARCHITECTURE: u32 = 0xc000_003e;
#[cfg(target_arch = "aarch64")]
const ARCHITECTURE: u32 = 0xc000_00b7;

/// Offsets in `struct seccomp_data`.
const NUMBER: u32 = 0;
const ARCH: u32 = 4;

/// Installs the filter for this process and all that descend from it. Needs CAP_SYS_ADMIN in its user namespace.
#[allow(unsafe_code)]
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
pub(super) fn install() -> nix::Result<()> {
    let statement = |code: u32, k: u32| libc::sock_filter { code: code as u16, jt: 0, jf: 0, k };
    let load = |offset| statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, offset);
    let answer = |value| statement(libc::BPF_RET | libc::BPF_K, value);
    let jump = |k, jt, jf| libc::sock_filter {
        code: (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16,
        jt,
        jf,
        k,
    };
    // Programs of another architecture are left alone.
    let mut program =
        vec![load(ARCH), jump(ARCHITECTURE, 1, 0), answer(libc::SECCOMP_RET_ALLOW), load(NUMBER)];
    for call in CALLS {
        program.push(jump(*call as u32, 0, 1));
        program.push(answer(libc::SECCOMP_RET_ERRNO)); // With the error number 0: success.
    }
    program.push(answer(libc::SECCOMP_RET_ALLOW));
    let filter = libc::sock_fprog { len: program.len() as u16, filter: program.as_mut_ptr() };
    // SAFETY: the kernel copies the program, which lives until the call returns.
    let result = unsafe { libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const filter) };
    Errno::result(result).map(drop)
}

/// Not known for this architecture: such calls fail there.
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
pub(super) fn install() -> nix::Result<()> {
    Ok(())
}
