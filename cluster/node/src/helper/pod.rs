//! A pod's init: what its containers share, and their parent.

use super::container::{start_beside, start_container, start_exec};
use super::netlink::{Netlink, link_index};
use super::protocol::{Exit, Failure, PodEvent, PodRequest, PodSetup};
use super::users::Users;
use super::{failed, failed_io, filesystem, wire};
use nix::errno::Errno;
use nix::mount::{MsFlags, mount};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigHandler, SigSet, Signal, kill, signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use std::collections::HashMap;
use std::io::Read;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;

/// The pod's link, as it is called inside.
pub(super) const LINK: &str = "eth0";

/// Said with the reason when a pod gets no users of its own although the host can give them.
pub(super) const OWN_USERS: &str = "give the pod users of its own (end what makes many namespaces or raise \
    user.max_user_namespaces; with hostUsers: true it would have the host's)";

/// A process that the init started and waits for.
pub(super) struct Child {
    pub(super) id: u64,
    /// Stands for the process while its number may be used again.
    pub(super) pidfd: OwnedFd,
    /// Gives the reason when the program cannot be executed, and ends without one when it is.
    pub(super) verdict: Option<OwnedFd>,
    /// How to enter its namespaces.
    pub(super) namespaces: nix::sched::CloneFlags,
}

/// Runs until Seaway ends the pod or itself. Returns the exit code.
/// It tells the first of the pipes when its network is there, and waits at the second for its link.
pub(super) fn pod_init(
    channel: UnixStream,
    setup: &PodSetup,
    pipes: (OwnedFd, OwnedFd),
    rootless: bool,
) -> i32 {
    let (users, signals) = match prepare(setup, pipes, rootless) {
        Ok(ready) => ready,
        Err(failure) => {
            let _ = wire::send(&channel, &PodEvent::Failed(failure), &[]);
            return 1;
        }
    };
    if wire::send(&channel, &PodEvent::Ready { own_users: users.are_its_own() }, &[]).is_err() {
        return 1;
    }
    let mut init = PodInit { channel, signals, children: HashMap::new(), users };
    match init.run() {
        Ok(()) => 0,
        Err(_) => 1, // Seaway is gone, or nonsense came: in both cases the pod ends.
    }
}

fn prepare(
    setup: &PodSetup,
    (made, wait): (OwnedFd, OwnedFd),
    rootless: bool,
) -> Result<(Users, SignalFd), Failure> {
    nix::sys::prctl::set_pdeathsig(Signal::SIGKILL).map_err(failed("follow the node init"))?;
    let what = if setup.own_users { OWN_USERS } else { "make the pod's namespaces" };
    let users =
        Users::of_a_pod(setup.own_users, rootless, setup.address, &setup.shm).map_err(failed(what))?;
    nix::unistd::write(&made, b"1").map_err(failed("ask for the link"))?;
    drop(made);
    // SAFETY: the default action installs no handler.
    unsafe { signal(Signal::SIGCHLD, SigHandler::SigDfl) }.map_err(failed("reset SIGCHLD"))?;
    let mut mask = SigSet::empty();
    mask.add(Signal::SIGCHLD);
    mask.thread_block().map_err(failed("block SIGCHLD"))?;
    let signals = SignalFd::with_flags(&mask, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)
        .map_err(failed("watch SIGCHLD"))?;
    let mut byte = [0];
    // The link is there when this returns; an end of file means that the node init gave up.
    if nix::unistd::read(&wait, &mut byte).map_err(failed("wait for the link"))? == 0 {
        return Err(failed("wait for the link")(Errno::ENOLINK));
    }
    let netlink = Netlink::open().map_err(failed("open netlink"))?;
    let loopback = link_index("lo").map_err(failed("find the loopback link"))?;
    netlink.up(loopback).map_err(failed("start the loopback link"))?;
    let link = link_index(LINK).map_err(failed("find the pod's link"))?;
    netlink.add_address(link, setup.address, setup.prefix).map_err(failed("give the pod its address"))?;
    netlink.up(link).map_err(failed("start the pod's link"))?;
    netlink.add_default_route(link, setup.gateway).map_err(failed("route to the gateway"))?;
    nix::unistd::sethostname(&setup.hostname).map_err(failed("set the host name"))?;
    // As every container engine does: port 80 and ping need no privilege inside a pod.
    let _ = std::fs::write("/proc/sys/net/ipv4/ip_unprivileged_port_start", "0");
    let _ =
        std::fs::write("/proc/sys/net/ipv4/ping_group_range", if rootless { "0 0" } else { "0 2147483647" });
    for (name, value) in &setup.sysctls {
        let file = format!("/proc/sys/{}", name.replace('.', "/"));
        std::fs::write(file, value).map_err(failed_io(format!("set sysctl {name}")))?;
    }
    let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
    mount(None::<&str>, "/", None::<&str>, private, None::<&str>).map_err(failed("make mounts private"))?;
    filesystem::tmpfs(&setup.shm, "mode=1777,size=65536k").map_err(failed("mount shared memory"))?;
    for (folder, size) in &setup.memory_volumes {
        let options = if *size == 0 { "mode=1777".to_owned() } else { format!("mode=1777,size={size}") };
        filesystem::tmpfs(folder, &options).map_err(failed("mount a volume in memory"))?;
    }
    Ok((users, signals))
}

struct PodInit {
    channel: UnixStream,
    signals: SignalFd,
    children: HashMap<Pid, Child>,
    users: Users,
}

impl PodInit {
    fn run(&mut self) -> std::io::Result<()> {
        loop {
            let mut watched = vec![
                PollFd::new(self.channel.as_fd(), PollFlags::POLLIN),
                PollFd::new(self.signals.as_fd(), PollFlags::POLLIN),
            ];
            let mut pending = Vec::new();
            for (pid, child) in &self.children {
                if let Some(verdict) = &child.verdict {
                    pending.push(*pid);
                    watched.push(PollFd::new(verdict.as_fd(), PollFlags::POLLIN));
                }
            }
            match poll(&mut watched, PollTimeout::NONE) {
                Err(Errno::EINTR) => continue,
                other => other?,
            };
            let ready: Vec<bool> = watched.iter().map(|fd| fd.any().unwrap_or(true)).collect();
            for (pid, _) in pending.into_iter().zip(&ready[2..]).filter(|(_, ready)| **ready) {
                self.verdict(pid)?;
            }
            if ready[1] {
                while let Ok(Some(_)) = self.signals.read_signal() {}
                self.reap()?;
            }
            if ready[0] {
                match wire::receive::<PodRequest>(&self.channel)? {
                    None => return Ok(()),
                    Some((PodRequest::End, _)) => return self.end(),
                    Some((request, fds)) => self.serve(request, fds)?,
                }
            }
        }
    }

    fn serve(&mut self, request: PodRequest, fds: Vec<OwnedFd>) -> std::io::Result<()> {
        let (id, started) = match request {
            PodRequest::Start { id, container, processes_of: None } => {
                (id, start_container(id, &container, fds, &self.users))
            }
            PodRequest::Start { id, container, processes_of: Some(target) } => {
                let target = self.children.values().find(|c| c.id == target);
                let started = match target {
                    Some(target) => start_beside(id, target, &container, fds, &self.users),
                    None => Err("the container whose processes it should see is not running".to_owned()),
                };
                (id, started)
            }
            PodRequest::Exec { id, container, process } => {
                let target = self.children.values().find(|c| c.id == container);
                let started = match target {
                    Some(target) => start_exec(id, target, &process, fds, &self.users),
                    None => Err("the container is not running".to_owned()),
                };
                (id, started)
            }
            PodRequest::Signal { id, signal } => {
                let target = self.children.iter().find(|(_, c)| c.id == id).map(|(pid, _)| *pid);
                if let (Some(pid), Ok(signal)) = (target, Signal::try_from(signal)) {
                    let _ = kill(pid, signal);
                }
                return Ok(());
            }
            PodRequest::Socket { id } => {
                return match super::tcp_socket() {
                    Ok(socket) => {
                        wire::send(&self.channel, &PodEvent::Socket { id, errno: 0 }, &[socket.as_raw_fd()])
                    }
                    Err(errno) => {
                        wire::send(&self.channel, &PodEvent::Socket { id, errno: errno as i32 }, &[])
                    }
                };
            }
            PodRequest::End => return Ok(()),
        };
        match started {
            Ok((pid, child)) => {
                self.children.insert(pid, child);
                Ok(())
            }
            Err(problem) => wire::send(&self.channel, &PodEvent::NotStarted { id, problem }, &[]),
        }
    }

    /// Reads whether a program was executed.
    fn verdict(&mut self, pid: Pid) -> std::io::Result<()> {
        let Some(child) = self.children.get_mut(&pid) else { return Ok(()) };
        let Some(verdict) = child.verdict.take() else { return Ok(()) };
        let id = child.id;
        let mut problem = String::new();
        let _ = std::fs::File::from(verdict).take(4096).read_to_string(&mut problem);
        if problem.is_empty() {
            return wire::send(&self.channel, &PodEvent::Started { id }, &[]);
        }
        self.children.remove(&pid);
        wire::send(&self.channel, &PodEvent::NotStarted { id, problem }, &[])
    }

    fn reap(&mut self) -> std::io::Result<()> {
        loop {
            let (pid, exit) = match waitpid(None, Some(WaitPidFlag::WNOHANG | WaitPidFlag::__WALL)) {
                Ok(WaitStatus::Exited(pid, code)) => (pid, Exit { code, signal: None }),
                Ok(WaitStatus::Signaled(pid, signal, _)) => {
                    (pid, Exit { code: 128 + signal as i32, signal: Some(signal as i32) })
                }
                Ok(WaitStatus::StillAlive) | Err(Errno::ECHILD) => return Ok(()),
                Ok(_) | Err(Errno::EINTR) => continue,
                Err(errno) => return Err(errno.into()),
            };
            // A program that ended at once was executed first.
            self.verdict(pid)?;
            if let Some(child) = self.children.remove(&pid) {
                wire::send(&self.channel, &PodEvent::Exited { id: child.id, exit }, &[])?;
            }
        }
    }

    /// Kills everything and waits until it is gone.
    fn end(&mut self) -> std::io::Result<()> {
        let _ = kill(Pid::from_raw(-1), Signal::SIGKILL);
        while let Ok(_) | Err(Errno::EINTR) = waitpid(None, Some(WaitPidFlag::__WALL)) {}
        wire::send(&self.channel, &PodEvent::Ended, &[])
    }
}
