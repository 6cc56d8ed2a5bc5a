//! Linux capabilities (capabilities(7)) as bit sets.

use nix::errno::Errno;

/// Names in the order of their numbers.
const NAMES: [&str; 41] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_ADMIN",
    "NET_RAW",
    "IPC_LOCK",
    "IPC_OWNER",
    "SYS_MODULE",
    "SYS_RAWIO",
    "SYS_CHROOT",
    "SYS_PTRACE",
    "SYS_PACCT",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_NICE",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "MKNOD",
    "LEASE",
    "AUDIT_WRITE",
    "AUDIT_CONTROL",
    "SETFCAP",
    "MAC_OVERRIDE",
    "MAC_ADMIN",
    "SYSLOG",
    "WAKE_ALARM",
    "BLOCK_SUSPEND",
    "AUDIT_READ",
    "PERFMON",
    "BPF",
    "CHECKPOINT_RESTORE",
];

/// Whether a set holds a capability, named without `CAP_`.
pub(super) fn has(set: u64, name: &str) -> bool {
    NAMES.iter().position(|known| *known == name).is_some_and(|number| set >> number & 1 == 1)
}

/// Those that reach beyond a container whose users are the host's.
const BEYOND: [&str; 17] = [
    "DAC_READ_SEARCH",
    "SYS_MODULE",
    "SYS_RAWIO",
    "SYS_PTRACE",
    "SYS_ADMIN",
    "SYS_BOOT",
    "PERFMON",
    "BPF",
    "CHECKPOINT_RESTORE",
    "SYS_TIME",
    "SYSLOG",
    "AUDIT_CONTROL",
    "AUDIT_READ",
    "MAC_ADMIN",
    "MAC_OVERRIDE",
    "SYS_RESOURCE",
    "LINUX_IMMUTABLE",
];

/// A capability of the set that only a container with users of its own can be given.
pub(super) fn beyond(set: u64) -> Option<&'static str> {
    BEYOND.into_iter().find(|name| has(set, name))
}

/// What Docker and containerd leave a container.
const DEFAULT: [&str; 14] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "NET_BIND_SERVICE",
    "NET_RAW",
    "SYS_CHROOT",
    "MKNOD",
    "AUDIT_WRITE",
    "SETFCAP",
];

/// The default set with a container's `add` and `drop` (with or without `CAP_`, `ALL` for all).
///
/// Errors name the capability that does not exist.
pub fn capabilities(add: &[String], drop: &[String]) -> Result<u64, String> {
    let mut set = DEFAULT.iter().filter_map(|name| bit(name)).fold(0, |set, bit| set | bit);
    let is_all = |name: &String| name.eq_ignore_ascii_case("all");
    let find = |name: &String| bit(name).ok_or_else(|| format!("unknown capability \"{name}\""));
    if add.iter().any(is_all) {
        set = (1 << NAMES.len()) - 1;
    }
    if drop.iter().any(is_all) {
        set = 0;
    }
    for name in add.iter().filter(|n| !is_all(n)) {
        set |= find(name)?;
    }
    for name in drop.iter().filter(|n| !is_all(n)) {
        set &= !find(name)?;
    }
    Ok(set)
}

fn bit(name: &str) -> Option<u64> {
    let name = name.to_ascii_uppercase();
    let name = name.strip_prefix("CAP_").unwrap_or(&name);
    NAMES.iter().position(|n| *n == name).map(|number| 1 << number)
}

/// Takes everything else out of the bounding set: no program can bring it back.
#[allow(unsafe_code)]
pub(crate) fn bound(set: u64) -> nix::Result<()> {
    for number in 0..64 {
        if set & (1 << number) != 0 {
            continue;
        }
        // SAFETY: prctl with these arguments takes no pointers.
        match Errno::result(unsafe { libc::prctl(libc::PR_CAPBSET_DROP, number, 0, 0, 0) }) {
            Ok(_) => {}
            Err(Errno::EINVAL) => break, // Past this kernel's last one.
            Err(errno) => return Err(errno),
        }
    }
    // SAFETY: as above.
    Errno::result(unsafe { libc::prctl(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) })
        .map(drop)
}

/// Gives up what the process has beyond the set.
pub(crate) fn limit(set: u64) -> nix::Result<()> {
    change(|half, word| {
        word.permitted &= (set >> (32 * half)) as u32;
        word.effective = word.permitted;
        word.inheritable = 0;
    })
}

/// Makes all that the process may use effective again.
pub(super) fn raise() -> nix::Result<()> {
    change(|_, word| word.effective = word.permitted)
}

/// Half of the capabilities of a process (capset(2)).
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Data {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}

#[allow(unsafe_code)]
fn change(mut each: impl FnMut(usize, &mut Data)) -> nix::Result<()> {
    #[repr(C)]
    struct Header {
        version: u32,
        pid: i32,
    }
    let mut header = Header { version: 0x2008_0522, pid: 0 };
    let mut data = [Data::default(); 2];
    // SAFETY: version 3 reads and writes one header and two data blocks, which is what these are.
    Errno::result(unsafe { libc::syscall(libc::SYS_capget, &raw mut header, data.as_mut_ptr()) })?;
    for (half, word) in data.iter_mut().enumerate() {
        each(half, word);
    }
    // SAFETY: as above.
    Errno::result(unsafe { libc::syscall(libc::SYS_capset, &raw mut header, data.as_ptr()) }).map(drop)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn add_and_drop_change_the_default_set() {
        let names = |list: &[&str]| list.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>();
        let default = capabilities(&[], &[]).unwrap();
        assert_eq!(default, 0xa804_25fb, "Docker's default set");
        assert_eq!(capabilities(&[], &names(&["ALL"])).unwrap(), 0);
        assert_eq!(capabilities(&names(&["CAP_NET_ADMIN"]), &names(&["all"])).unwrap(), 1 << 12);
        assert!(capabilities(&names(&["FLY"]), &[]).unwrap_err().contains("FLY"));
        assert_eq!(beyond(default), None);
        for name in BEYOND {
            assert_eq!(beyond(capabilities(&names(&[name]), &[]).unwrap()), Some(name));
        }
    }
}
