//! The processes between Seaway and the pods, all of them this same program started again.
//!
//! ```text
//! seaway ── outer: user namespace (when not root), own mounts
//!             └─ guard: waits for Seaway's or the node init's end
//!                  └─ node init: pid 1; network namespace with the bridge; makes sockets and pods
//!                       └─ pod init: pid 1; users, network, IPC, host name and mounts of one pod (`users.rs`)
//!                            └─ containers, each pid 1 of its own process namespace
//! ```
//!
//! Nothing here outlives Seaway: the channel's end closes with it, the guard and the node init see that and exit, and
//! the kernel kills everything in a process namespace whose init is gone. The helpers are single-threaded, which is
//! what makes forking without executing sound. They decide nothing: what to run comes in [`protocol`] messages.

#![allow(unsafe_code)] // fork and clone; the reason stands at each block.

mod bpf;
pub(crate) mod capability;
mod container;
mod emulation;
mod filesystem;
mod netlink;
mod pod;
pub(crate) mod protocol;
mod seccomp;
mod users;
pub(crate) mod wire;

use netlink::{Netlink, link_index};
use nix::errno::Errno;
use nix::mount::{MsFlags, mount};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sched::{CloneFlags, unshare};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::{SigHandler, Signal, signal};
use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, SockaddrIn, bind, listen, setsockopt, socket, sockopt,
};
use nix::unistd::{ForkResult, Pid, dup2_stdin, execve, fork, getegid, geteuid};
use protocol::{Failure, NodeRequest, NodeSetup, PodSetup, Reply};
use std::ffi::{CString, OsString};
use std::net::SocketAddrV4;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixStream;
use std::process::ExitCode;

/// First argument of a helper process.
pub(crate) const HELPER_ARGUMENT: &str = "__node-helper";
/// The bridge's name in the node's network namespace.
const BRIDGE: &str = "bridge";

/// Runs a helper when the arguments ask for one. Call it first in `main`, before any thread is started:
/// `if let Some(code) = seaway_node::helper_main(std::env::args_os()) { return code; }`
pub fn helper_main(arguments: impl IntoIterator<Item = OsString>) -> Option<ExitCode> {
    let mut arguments = arguments.into_iter().skip(1);
    if arguments.next()? != HELPER_ARGUMENT {
        return None;
    }
    let role = arguments.next().unwrap_or_default();
    let channel = take_channel();
    let result = match (role.to_str(), channel) {
        (_, Err(errno)) => Err(failed("take the channel")(errno)),
        (Some("outer"), Ok(_)) => outer(),
        (Some("rootful"), Ok(channel)) => inner(&channel, false),
        (Some("rootless"), Ok(channel)) => inner(&channel, true),
        _ => Err(Failure { what: "unknown helper".to_owned(), errno: 0 }),
    };
    Some(match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            // Standard input is the channel still, or again: the failure is the first and last thing said on it.
            if let Ok(channel) = take_channel() {
                let _ = wire::send(&channel, &Reply::Failed(failure), &[]);
            }
            ExitCode::FAILURE
        }
    })
}

/// Names an operation in the failure that is reported.
fn failed(what: impl Into<String>) -> impl FnOnce(Errno) -> Failure {
    let what = what.into();
    move |errno| Failure { what, errno: errno as i32 }
}

fn failed_io(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> Failure {
    let what = what.into();
    move |e| Failure { what, errno: e.raw_os_error().unwrap_or(0) }
}

/// The channel to Seaway arrives as standard input.
fn take_channel() -> nix::Result<UnixStream> {
    let fd = nix::fcntl::fcntl(std::io::stdin().as_fd(), nix::fcntl::FcntlArg::F_DUPFD_CLOEXEC(3))?;
    // SAFETY: F_DUPFD made this descriptor for us.
    Ok(UnixStream::from(unsafe { OwnedFd::from_raw_fd(fd) }))
}

/// Enters user and mount namespaces, protects the program's file, and starts itself again inside.
fn outer() -> Result<(), Failure> {
    let (uid, gid) = (geteuid(), getegid());
    let rootless = !uid.is_root();
    if rootless {
        unshare(CloneFlags::CLONE_NEWUSER).map_err(failed("make a user namespace"))?;
        let write =
            |file: &str, text: String| std::fs::write(file, text).map_err(failed_io(format!("write {file}")));
        write("/proc/self/setgroups", "deny".to_owned())?;
        write("/proc/self/uid_map", format!("0 {uid} 1"))?;
        write("/proc/self/gid_map", format!("0 {gid} 1"))?;
        limit_processes().map_err(failed("limit processes"))?;
    }
    unshare(CloneFlags::CLONE_NEWNS).map_err(failed("make a mount namespace"))?;
    let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
    mount(None::<&str>, "/", None::<&str>, private, None::<&str>).map_err(failed("make mounts private"))?;
    // A container could reach the file of the program that started it through /proc; through this mount it cannot
    // write it, whoever it is.
    let program = std::fs::read_link("/proc/self/exe").map_err(failed_io("find the program's file"))?;
    filesystem::bind(&program, &program).map_err(failed("mount the program's file"))?;
    filesystem::restrict(&program, MsFlags::MS_RDONLY)
        .map_err(failed("make the program's file read-only"))?;
    let text =
        |bytes: &[u8]| CString::new(bytes).map_err(|_| failed("read the program's path")(Errno::EINVAL));
    let arguments = [
        text(b"seaway")?,
        text(HELPER_ARGUMENT.as_bytes())?,
        text(if rootless { b"rootless" } else { b"rootful" })?,
    ];
    let environment: [CString; 0] = [];
    match execve(&text(program.as_os_str().as_bytes())?, &arguments, &environment) {
        Ok(never) => match never {},
        Err(errno) => Err(failed("start the program again")(errno)),
    }
}

/// Keeps a part of the processes that the user may have for Seaway itself and the rest of the machine, whatever the pods
/// do. In a user namespace the kernel counts those inside by themselves and binds also whoever is root there
/// (getrlimit(2)), all pods together; where control groups can be made, each container has a limit of its own besides.
fn limit_processes() -> nix::Result<()> {
    let (_, own) = getrlimit(Resource::RLIMIT_NPROC)?;
    let read = |file: &str| std::fs::read_to_string(file).ok()?.trim().parse::<u64>().ok();
    let machine =
        ["/proc/sys/kernel/threads-max", "/proc/sys/kernel/pid_max"].into_iter().filter_map(read).min();
    let most = machine.map_or(own, |machine| own.min(machine / 2));
    if most < libc::RLIM_INFINITY {
        let share = most / 4 * 3;
        setrlimit(Resource::RLIMIT_NPROC, share, share)?;
    }
    Ok(())
}

/// Makes the node's namespaces and stays as the guard of its init.
fn inner(channel: &UnixStream, rootless: bool) -> Result<(), Failure> {
    let flags = CloneFlags::CLONE_NEWNET
        | CloneFlags::CLONE_NEWPID
        | CloneFlags::CLONE_NEWIPC
        | CloneFlags::CLONE_NEWUTS;
    unshare(flags).map_err(failed("make network and process namespaces"))?;
    // SAFETY: this process has one thread.
    match unsafe { fork() }.map_err(failed("fork"))? {
        ForkResult::Child => {
            // Standard input would else keep a second handle of the channel in every descendant.
            if let Ok(null) = std::fs::File::open("/dev/null") {
                let _ = dup2_stdin(&null);
            }
            let code = match node_init(channel, rootless) {
                Ok(()) => 0,
                Err(failure) => {
                    let _ = wire::send(channel, &Reply::Failed(failure), &[]);
                    1
                }
            };
            std::process::exit(code);
        }
        ForkResult::Parent { child } => guard(channel, child),
    }
}

/// Returns when the node init has ended; ends it when Seaway has.
fn guard(channel: &UnixStream, child: Pid) -> Result<(), Failure> {
    let child_fd = pidfd(child).map_err(failed("watch the node init"))?;
    let mut watched =
        [PollFd::new(channel.as_fd(), PollFlags::POLLHUP), PollFd::new(child_fd.as_fd(), PollFlags::POLLIN)];
    while let Err(Errno::EINTR) = poll(&mut watched, PollTimeout::NONE) {}
    let _ = nix::sys::signal::kill(child, Signal::SIGKILL);
    let _ = nix::sys::wait::waitpid(child, None);
    Ok(())
}

/// A descriptor that stands for a process.
fn pidfd(pid: Pid) -> nix::Result<OwnedFd> {
    // SAFETY: pidfd_open takes no pointers and returns a new descriptor.
    let fd = Errno::result(unsafe { libc::syscall(libc::SYS_pidfd_open, pid.as_raw(), 0) })?;
    // SAFETY: see above; the number fits, as all descriptors do.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as RawFd) })
}

/// Forks into new namespaces.
fn clone_into(flags: CloneFlags) -> nix::Result<ForkResult> {
    // SAFETY: this process has one thread. Without a stack and without CLONE_VM, clone is fork: the child continues
    // here on its own copy of everything.
    let pid = unsafe {
        libc::syscall(
            libc::SYS_clone,
            flags.bits() as libc::c_ulong | libc::SIGCHLD as libc::c_ulong,
            0,
            0,
            0,
            0,
        )
    };
    match Errno::result(pid)? {
        0 => Ok(ForkResult::Child),
        child => Ok(ForkResult::Parent { child: Pid::from_raw(child as i32) }),
    }
}

/// The first process of the node's process namespace.
fn node_init(channel: &UnixStream, rootless: bool) -> Result<(), Failure> {
    nix::sys::prctl::set_pdeathsig(Signal::SIGKILL).map_err(failed("follow the guard"))?;
    nix::sys::prctl::set_dumpable(false).map_err(failed("hide from the pods"))?;
    // SAFETY: ignoring a signal installs no handler. The kernel then reaps ended pods by itself.
    unsafe { signal(Signal::SIGCHLD, SigHandler::SigIgn) }.map_err(failed("ignore SIGCHLD"))?;
    let received = wire::receive::<NodeSetup>(channel).map_err(failed_io("read the setup"))?;
    let Some((setup, _)) = received else { return Ok(()) };
    let netlink = Netlink::open().map_err(failed("open netlink"))?;
    let loopback = link_index("lo").map_err(failed("find the loopback link"))?;
    netlink.up(loopback).map_err(failed("start the loopback link"))?;
    netlink.add_bridge(BRIDGE, setup.gateway).map_err(failed("make the bridge"))?;
    let bridge = link_index(BRIDGE).map_err(failed("find the bridge"))?;
    netlink
        .add_address(bridge, setup.gateway, setup.prefix)
        .map_err(failed("give the bridge its address"))?;
    netlink
        .add_local_route(loopback, setup.services, setup.services_prefix)
        .map_err(failed("make service addresses local"))?;
    // The name server's port is below 1024; in a user namespace that is a capability, which this process has.
    wire::send(channel, &Reply::Done, &[]).map_err(failed_io("answer"))?;
    let mut can_own_users = None;
    while let Some((request, fds)) =
        wire::receive::<NodeRequest>(channel).map_err(failed_io("read a request"))?
    {
        let answer = match request {
            NodeRequest::TcpSocket => tcp_socket().map(Some).map_err(failed("open a socket")),
            NodeRequest::TcpListener(address) => {
                listener(address).map(Some).map_err(failed(format!("listen on {address}")))
            }
            NodeRequest::UdpSocket(address) => {
                datagram(address).map(Some).map_err(failed(format!("bind {address}")))
            }
            NodeRequest::Pod(mut setup) => own_users(&mut can_own_users, &setup, rootless).and_then(|own| {
                setup.own_users = own;
                start_pod(channel, &netlink, bridge, setup, fds, rootless).map(|()| None)
            }),
        };
        let sent = match answer {
            Ok(Some(socket)) => wire::send(channel, &Reply::Done, &[socket.as_raw_fd()]),
            Ok(None) => wire::send(channel, &Reply::Done, &[]),
            Err(failure) => wire::send(channel, &Reply::Failed(failure), &[]),
        };
        sent.map_err(failed_io("answer"))?;
    }
    Ok(())
}

/// Whether a pod gets users of its own. What the host can do is found out before the first pod, and remembered: what later
/// pods use up must not give others the host's users.
fn own_users(known: &mut Option<bool>, setup: &PodSetup, rootless: bool) -> Result<bool, Failure> {
    let possible = match *known {
        Some(possible) => possible,
        None => *known.insert(users::possible(rootless, &setup.shm).map_err(failed(pod::OWN_USERS))?),
    };
    // All pods of an ordinary user have that one, and a namespace of their own.
    Ok(possible && (setup.own_users || rootless))
}

fn tcp_socket() -> nix::Result<OwnedFd> {
    socket(AddressFamily::Inet, SockType::Stream, SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK, None)
}

fn listener(address: SocketAddrV4) -> nix::Result<OwnedFd> {
    let socket = tcp_socket()?;
    setsockopt(&socket, sockopt::ReuseAddr, &true)?;
    bind(socket.as_raw_fd(), &SockaddrIn::from(address))?;
    listen(&socket, nix::sys::socket::Backlog::new(1024)?)?;
    Ok(socket)
}

fn datagram(address: SocketAddrV4) -> nix::Result<OwnedFd> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let socket = socket(AddressFamily::Inet, SockType::Datagram, flags, None)?;
    bind(socket.as_raw_fd(), &SockaddrIn::from(address))?;
    Ok(socket)
}

fn start_pod(
    node_channel: &UnixStream,
    netlink: &Netlink,
    bridge: u32,
    setup: PodSetup,
    fds: Vec<OwnedFd>,
    rootless: bool,
) -> Result<(), Failure> {
    let mut fds = fds.into_iter();
    let pod_channel = fds.next().ok_or_else(|| failed("take the pod's channel")(Errno::EBADF))?;
    let pipe = || nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC).map_err(failed("make a pipe"));
    let ((wait, go), (made, tell)) = (pipe()?, pipe()?);
    // The others are made by the pod's init: to whom they belong depends on whose users it can have.
    let flags = CloneFlags::CLONE_NEWPID | CloneFlags::CLONE_NEWNS;
    match clone_into(flags).map_err(failed("make the pod's namespaces"))? {
        ForkResult::Child => {
            drop((go, made));
            // Not ours any more: the pod's init must not be able to ask for other pods.
            let _ = nix::unistd::close(node_channel.as_raw_fd());
            let code = pod::pod_init(UnixStream::from(pod_channel), &setup, (tell, wait), rootless);
            std::process::exit(code);
        }
        ForkResult::Parent { child } => {
            drop((tell, wait));
            // An end of file means that the pod's init gave up, and says why on its own channel.
            if nix::unistd::read(&made, &mut [0]).map_err(failed("wait for the pod's network"))? == 0 {
                return Ok(());
            }
            let linked = netlink.add_veth(&setup.link, bridge, (pod::LINK, setup.address), child.as_raw());
            if let Err(errno) = linked {
                let _ = nix::sys::signal::kill(child, Signal::SIGKILL);
                return Err(failed("make the pod's link")(errno));
            }
            nix::unistd::write(&go, b"1").map(drop).map_err(failed("start the pod's init"))
        }
    }
}
