//! From a fork to the program of a container.

use super::capability::{beyond, bound, has, limit};
use super::emulation;
use super::filesystem::enter_root;
use super::pod::Child;
use super::protocol::{ContainerSpec, ProcessSpec};
use super::users::Users;
use super::{clone_into, pidfd, seccomp, wire};
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::{SigHandler, SigSet, Signal, signal};
use nix::sys::stat::{Mode, umask};
use nix::unistd::{ForkResult, Gid, Pid, Uid, execve, pipe2, setgroups, setresgid, setresuid, setsid};
use std::convert::Infallible;
use std::ffi::CString;
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::Path;

type Result<T, E = String> = std::result::Result<T, E>;

const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// What Docker gives a container when the host allows it.
const OPEN_FILES: u64 = 1_048_576;
/// What is read of a list of users.
const MAX_LIST: u64 = 1024 * 1024;

fn because(what: impl std::fmt::Display) -> impl FnOnce(Errno) -> String {
    move |errno| format!("{what}: {}", errno.desc())
}

/// Starts a container's first process. The child's verdict tells later whether its program was executed.
pub(super) fn start_container(
    id: u64,
    spec: &ContainerSpec,
    fds: Vec<OwnedFd>,
    users: &Users,
) -> Result<(Pid, Child)> {
    let (verdict, report) = pipe2(OFlag::O_CLOEXEC).map_err(because("make a pipe"))?;
    let mut namespaces = CloneFlags::CLONE_NEWNS;
    if !spec.share_processes {
        namespaces |= CloneFlags::CLONE_NEWPID;
    }
    match clone_into(namespaces).map_err(because("fork"))? {
        ForkResult::Child => {
            drop(verdict);
            let result = join_cgroups(&fds, spec.process.terminal)
                .and_then(|()| enter_root(spec, users))
                .and_then(|()| run(&spec.process, fds, users, true));
            give_up(report, result)
        }
        ForkResult::Parent { child } => {
            let pidfd = pidfd(child).map_err(because("watch the process"))?;
            Ok((child, Child { id, pidfd, verdict: Some(verdict), namespaces }))
        }
    }
}

/// Starts another process in the namespaces of a running container.
pub(super) fn start_exec(
    id: u64,
    container: &Child,
    spec: &ProcessSpec,
    fds: Vec<OwnedFd>,
    users: &Users,
) -> Result<(Pid, Child)> {
    let enter = container.namespaces;
    let make = CloneFlags::empty();
    start_inside(id, container, (enter, make), fds, spec.terminal, |fds| run(spec, fds, users, false))
}

/// Starts a container with a root of its own that sees the processes of a running one.
pub(super) fn start_beside(
    id: u64,
    container: &Child,
    spec: &ContainerSpec,
    fds: Vec<OwnedFd>,
    users: &Users,
) -> Result<(Pid, Child)> {
    let enter = container.namespaces & CloneFlags::CLONE_NEWPID;
    start_inside(id, container, (enter, CloneFlags::CLONE_NEWNS), fds, spec.process.terminal, |fds| {
        enter_root(spec, users)?;
        run(&spec.process, fds, users, true)
    })
}

/// Starts a process in some namespaces of a running container, and in new ones.
fn start_inside(
    id: u64,
    container: &Child,
    (enter, make): (CloneFlags, CloneFlags),
    fds: Vec<OwnedFd>,
    terminal: bool,
    body: impl FnOnce(Vec<OwnedFd>) -> Result<Infallible>,
) -> Result<(Pid, Child)> {
    let (verdict, report) = pipe2(OFlag::O_CLOEXEC).map_err(because("make a pipe"))?;
    let (number, tell) = pipe2(OFlag::O_CLOEXEC).map_err(because("make a pipe"))?;
    // Only a child of the process that enters a process namespace is in it. So this is done by a process between,
    // which gives the child to the init (CLONE_PARENT) and ends.
    match clone_into(CloneFlags::empty()).map_err(because("fork"))? {
        ForkResult::Child => {
            drop(verdict);
            let entered = join_cgroups(&fds, terminal).and_then(|()| match enter.is_empty() {
                true => Ok(()),
                false => setns(&container.pidfd, enter).map_err(because("enter the container")),
            });
            if let Err(problem) = entered {
                give_up(report, Err(problem));
            }
            match clone_into(make | CloneFlags::CLONE_PARENT) {
                Ok(ForkResult::Child) => {
                    drop(tell);
                    give_up(report, body(fds))
                }
                Ok(ForkResult::Parent { child }) => {
                    let _ = nix::unistd::write(&tell, &child.as_raw().to_ne_bytes());
                    std::process::exit(0)
                }
                Err(errno) => give_up(report, Err(because("fork")(errno))),
            }
        }
        ForkResult::Parent { child } => {
            drop((tell, report));
            let mut bytes = [0u8; 4];
            let read = nix::unistd::read(&number, &mut bytes).unwrap_or(0);
            let _ = nix::sys::wait::waitpid(child, None);
            if read != 4 {
                let mut problem = String::new();
                let _ = std::fs::File::from(verdict).read_to_string(&mut problem);
                return Err(if problem.is_empty() {
                    "the process could not be started".to_owned()
                } else {
                    problem
                });
            }
            let child = Pid::from_raw(i32::from_ne_bytes(bytes));
            let pidfd = pidfd(child).map_err(because("watch the process"))?;
            let namespaces = enter | make;
            Ok((child, Child { id, pidfd, verdict: Some(verdict), namespaces }))
        }
    }
}

/// Reports why the program was not executed, and ends.
fn give_up(report: OwnedFd, result: Result<Infallible>) -> ! {
    let Err(problem) = result;
    let _ = std::fs::File::from(report).write_all(problem.as_bytes());
    std::process::exit(125)
}

/// The descriptors after the streams are `cgroup.procs` files: "0" means the writer.
fn join_cgroups(fds: &[OwnedFd], terminal: bool) -> Result<()> {
    let streams = if terminal { 1 } else { 3 };
    for file in fds.iter().skip(streams) {
        nix::unistd::write(file, b"0").map_err(because("join the cgroup"))?;
    }
    Ok(())
}

/// Becomes the process: streams, user, rights, program. `own_mounts`: the mounts were made for it alone.
fn run(spec: &ProcessSpec, fds: Vec<OwnedFd>, users: &Users, own_mounts: bool) -> Result<Infallible> {
    if let (false, Some(name)) = (users.are_its_own(), beyond(spec.capabilities)) {
        return Err(format!(
            "capability {name} reaches beyond a pod that has no users of its own; leave hostUsers and users above \
             65535 out of the pod, or let the kernel make user namespaces (Linux 5.19, user.max_user_namespaces)"
        ));
    }
    SigSet::empty().thread_set_mask().map_err(because("reset the signal mask"))?;
    // SAFETY: the default action installs no handler. Rust's start-up ignores this signal; programs expect it.
    unsafe { signal(Signal::SIGPIPE, SigHandler::SigDfl) }.map_err(because("reset SIGPIPE"))?;
    umask(Mode::from_bits_truncate(0o022));
    let user = User::find(&spec.user, spec.group)?;
    let groups = user.groups.iter().chain(&spec.supplemental_groups).copied();
    if let Some(id) = [user.uid, user.gid].into_iter().chain(groups).find(|id| users.lack(*id)) {
        return Err(format!(
            "the pod has no user or group {id}: those of its own end at 65535; set hostUsers: true in the pod"
        ));
    }
    setsid().map_err(because("start a session"))?;
    streams(spec.terminal, fds, Uid::from_raw(users.on_host(user.uid)))?;
    limits()?;
    if let Some(score) = spec.oom_score {
        // Refused without privileges; the kernel's default is then used.
        let _ = std::fs::write("/proc/self/oom_score_adj", score.to_string());
    }
    users.enter().map_err(because("become the pod's root"))?;
    if own_mounts && users.are_its_own() && has(spec.capabilities, "SYS_ADMIN") {
        // Who may mount can do so in mounts that belong to the pod.
        unshare(CloneFlags::CLONE_NEWNS).map_err(because("make the container's own mounts"))?;
    }
    let folder = if spec.working_dir.is_empty() { "/" } else { &spec.working_dir };
    if !Path::new(folder).exists() {
        let made = std::fs::create_dir_all(folder);
        made.map_err(|e| format!("make the working folder {folder}: {e}"))?;
        let _ = std::os::unix::fs::chown(folder, Some(user.uid), Some(user.gid));
    }
    let environment = environment(spec, &user);
    if users.is_one() {
        enter_user(&user)?; // A new user namespace begins with all capabilities.
    } else {
        let mut groups: Vec<Gid> =
            user.groups.iter().chain(&spec.supplemental_groups).copied().map(Gid::from_raw).collect();
        groups.sort_unstable_by_key(|g| g.as_raw());
        groups.dedup();
        setgroups(&groups).map_err(because("set groups"))?;
    }
    bound(spec.capabilities).map_err(because("limit capabilities"))?;
    let filter = if spec.seccomp { seccomp::install(spec.capabilities) } else { seccomp::install_least() };
    filter.map_err(seccomp::because)?;
    let (uid, gid) = (Uid::from_raw(user.uid), Gid::from_raw(user.gid));
    setresgid(gid, gid, gid).map_err(because(format!("become group {gid}")))?;
    setresuid(uid, uid, uid).map_err(because(format!("become user {uid}")))?;
    if users.is_one() {
        emulation::install().map_err(because("emulate changes of the user"))?;
    }
    limit(spec.capabilities).map_err(because("drop capabilities"))?;
    if spec.no_new_privileges {
        nix::sys::prctl::set_no_new_privs().map_err(because("refuse new privileges"))?;
    }
    nix::unistd::chdir(folder).map_err(because(format!("enter the working folder {folder}")))?;
    execute(spec, &environment)
}

/// Where the host lends one user only, another user is that one under another number.
fn enter_user(user: &User) -> Result<()> {
    if (user.uid, user.gid) == (0, 0) {
        return Ok(());
    }
    let write =
        |file: &str, text: String| std::fs::write(file, text).map_err(|e| format!("write {file}: {e}"));
    nix::sys::prctl::set_dumpable(true).map_err(because("change the user"))?; // Else the files below belong to root.
    unshare(CloneFlags::CLONE_NEWUSER).map_err(because("make a user namespace for the container's user"))?;
    write("/proc/self/setgroups", "deny".to_owned())?;
    write("/proc/self/uid_map", format!("{} 0 1", user.uid))?;
    write("/proc/self/gid_map", format!("{} 0 1", user.gid))?;
    nix::sys::prctl::set_dumpable(false).map_err(because("change the user"))
}

/// The streams of the process belong to `user`, as the host calls it.
fn streams(terminal: bool, fds: Vec<OwnedFd>, user: Uid) -> Result<()> {
    let mut fds = fds.into_iter();
    let missing = || "a standard stream is missing".to_owned();
    if !terminal {
        let (input, output, error) = (
            fds.next().ok_or_else(missing)?,
            fds.next().ok_or_else(missing)?,
            fds.next().ok_or_else(missing)?,
        );
        for fd in [&input, &output, &error] {
            // Programs open /dev/stdout by name, which asks for the pipe's owner. Only pipes: never the host's /dev/null.
            if nix::sys::stat::fstat(fd).is_ok_and(|s| s.st_mode & libc::S_IFMT == libc::S_IFIFO) {
                let _ = nix::unistd::fchown(fd, Some(user), None);
            }
        }
        nix::unistd::dup2_stdin(&input).map_err(because("standard input"))?;
        nix::unistd::dup2_stdout(&output).map_err(because("standard output"))?;
        nix::unistd::dup2_stderr(&error).map_err(because("standard error"))?;
        return Ok(());
    }
    let console = UnixStream::from(fds.next().ok_or_else(missing)?);
    // Opened in the container, so that its name below /dev/pts is right there.
    let master = nix::pty::posix_openpt(OFlag::O_RDWR | OFlag::O_NOCTTY | OFlag::O_CLOEXEC)
        .map_err(because("open a terminal"))?;
    nix::pty::unlockpt(&master).map_err(because("open a terminal"))?;
    let slave_name = nix::pty::ptsname_r(&master).map_err(because("open a terminal"))?;
    let slave = nix::fcntl::open(
        slave_name.as_str(),
        OFlag::O_RDWR | OFlag::O_NOCTTY | OFlag::O_CLOEXEC,
        Mode::empty(),
    )
    .map_err(because("open a terminal"))?;
    let _ = nix::unistd::fchown(&slave, Some(user), None);
    wire::send_head(console.as_raw_fd(), 0, &[master.as_raw_fd()])
        .map_err(|e| format!("hand over the terminal: {e}"))?;
    // SAFETY: the ioctl takes a number; the process leads a session without a terminal.
    Errno::result(unsafe { libc::ioctl(slave.as_raw_fd(), libc::TIOCSCTTY, 0) })
        .map_err(because("take the terminal"))?;
    nix::unistd::dup2_stdin(&slave).map_err(because("standard input"))?;
    nix::unistd::dup2_stdout(&slave).map_err(because("standard output"))?;
    nix::unistd::dup2_stderr(&slave).map_err(because("standard error"))
}

fn limits() -> Result<()> {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).map_err(because("read limits"))?;
    let open_files = hard.min(OPEN_FILES);
    setrlimit(Resource::RLIMIT_NOFILE, open_files, open_files).map_err(because("limit open files"))?;
    setrlimit(Resource::RLIMIT_CORE, 0, 0).map_err(because("limit core files"))
}

fn environment(spec: &ProcessSpec, user: &User) -> Vec<(String, String)> {
    let mut environment = spec.env.clone();
    for (name, value) in [("PATH", DEFAULT_PATH), ("HOME", user.home.as_str())] {
        if !environment.iter().any(|(n, _)| n == name) {
            environment.push((name.to_owned(), value.to_owned()));
        }
    }
    if spec.terminal && !environment.iter().any(|(n, _)| n == "TERM") {
        environment.push(("TERM".to_owned(), "xterm".to_owned()));
    }
    environment
}

fn execute(spec: &ProcessSpec, environment: &[(String, String)]) -> Result<Infallible> {
    let program = spec.argv.first().ok_or("no command specified")?;
    let path = environment.iter().find(|(name, _)| name == "PATH").map_or(DEFAULT_PATH, |(_, value)| value);
    let file = if program.contains('/') {
        program.clone()
    } else {
        let mut candidates = path
            .split(':')
            .map(|folder| format!("{}/{program}", if folder.is_empty() { "." } else { folder }));
        let executable = |file: &String| {
            std::fs::metadata(file).is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0)
        };
        candidates
            .find(executable)
            .ok_or_else(|| format!("exec: \"{program}\": executable file not found in $PATH"))?
    };
    let text = |text: &str| {
        CString::new(text).map_err(|_| format!("exec: \"{program}\": a zero byte in an argument or variable"))
    };
    let arguments = spec.argv.iter().map(|a| text(a)).collect::<Result<Vec<_>>>()?;
    let environment = environment
        .iter()
        .map(|(name, value)| text(&format!("{name}={value}")))
        .collect::<Result<Vec<_>>>()?;
    // Nothing of ours stays open in the container, whatever this process has inherited.
    // SAFETY: close_range with CLOEXEC only marks descriptors; nothing of Rust's is closed before the execution.
    unsafe { libc::syscall(libc::SYS_close_range, 3, u32::MAX, libc::CLOSE_RANGE_CLOEXEC) };
    match execve(&text(&file)?, &arguments, &environment) {
        Ok(never) => match never {},
        Err(Errno::ENOENT) => Err(format!("exec: \"{program}\": stat {file}: no such file or directory")),
        Err(errno) => Err(format!("exec: \"{program}\": {}", errno.desc().to_lowercase())),
    }
}

/// A list of users or groups. The image decides what the file is: only a file of a sane length is read, never a pipe that
/// nobody writes or a device that does not end.
fn list(path: &str) -> String {
    let flags = OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
    let Ok(file) = nix::fcntl::open(path, flags, Mode::empty()).map(std::fs::File::from) else {
        return String::new();
    };
    let mut text = Vec::new();
    if file.metadata().is_ok_and(|metadata| metadata.is_file()) {
        let _ = file.take(MAX_LIST).read_to_end(&mut text);
    }
    String::from_utf8_lossy(&text).into_owned()
}

/// The user of a process, from the container's own files.
struct User {
    uid: u32,
    gid: u32,
    home: String,
    /// Groups that name the user as a member.
    groups: Vec<u32>,
}

impl User {
    fn find(text: &str, group: Option<u32>) -> Result<Self> {
        let (name, group_name) =
            text.split_once(':').map_or((text, None), |(user, group)| (user, Some(group)));
        let name = if name.is_empty() { "0" } else { name };
        let passwd = list("/etc/passwd");
        let lines = passwd.lines().map(|line| line.split(':').collect::<Vec<_>>()).filter(|f| f.len() >= 6);
        let number: Option<u32> = name.parse().ok();
        let entry =
            lines.into_iter().find(|f| f[0] == name || (number.is_some() && f[2].parse().ok() == number));
        let uid = entry.as_ref().and_then(|f| f[2].parse().ok()).or(number);
        let uid =
            uid.ok_or_else(|| format!("unable to find user {name}: no matching entries in passwd file"))?;
        let mut gid = entry.as_ref().and_then(|f| f[3].parse().ok()).unwrap_or(0);
        let home = entry.as_ref().map_or("/", |f| f[5]).to_owned();
        let user_name = entry.as_ref().map(|f| f[0].to_owned());
        let group_file = list("/etc/group");
        let group_lines: Vec<Vec<&str>> = group_file
            .lines()
            .map(|line| line.split(':').collect())
            .filter(|f: &Vec<&str>| f.len() >= 4)
            .collect();
        if let Some(name) = group_name.filter(|g| !g.is_empty()) {
            let found = group_lines.iter().find(|f| f[0] == name).and_then(|f| f[2].parse().ok());
            gid = found
                .or_else(|| name.parse().ok())
                .ok_or_else(|| format!("unable to find group {name}: no matching entries in group file"))?;
        }
        let groups = match &user_name {
            Some(user) => group_lines
                .iter()
                .filter(|f| f[3].split(',').any(|member| member == user))
                .filter_map(|f| f[2].parse().ok())
                .collect(),
            None => Vec::new(),
        };
        Ok(Self {
            uid,
            gid: group.unwrap_or(gid),
            home: if home.is_empty() { "/".to_owned() } else { home },
            groups,
        })
    }
}
