//! Memory, CPU and process limits by control groups, where the host lets us make them (cgroups(7)).
//!
//! Both versions are known. Nothing is configured at the host: where the tree cannot be written, there are no limits,
//! and the node says so in an event.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

/// The folder of all of Seaway's groups.
const OURS: &str = "seaway";
/// What a container may use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Limits {
    /// Bytes.
    pub(crate) memory: Option<u64>,
    /// Thousandths of a CPU.
    pub(crate) cpu_milli: Option<u64>,
    /// Requested thousandths of a CPU: the share when CPUs are scarce.
    pub(crate) cpu_request_milli: Option<u64>,
}

/// How this host's control groups are used.
#[derive(Clone, Debug)]
pub(crate) struct Cgroups {
    trees: Trees,
    /// Of one container: a fork bomb ends here.
    max_processes: u64,
}

#[derive(Clone, Debug)]
enum Trees {
    /// One for all.
    Unified(PathBuf),
    /// One for each of memory, cpu and pids.
    Separate { memory: PathBuf, cpu: Option<PathBuf>, pids: Option<PathBuf> },
    /// None can be made; why.
    Unavailable(String),
}

/// The groups of one container. Removed when dropped.
#[derive(Debug)]
pub(crate) struct Group {
    folders: Vec<PathBuf>,
    /// File that counts kills for want of memory.
    memory_events: Option<PathBuf>,
}

impl Trees {
    fn detect(node: &str) -> Self {
        let root = Path::new("/sys/fs/cgroup");
        let ours = |tree: PathBuf| tree.join(OURS).join(node);
        if root.join("cgroup.controllers").exists() {
            let folder = ours(root.to_owned());
            return match make_unified(root, &folder) {
                Ok(()) => Self::Unified(folder),
                Err(e) => Self::Unavailable(format!("{}: {e}", folder.display())),
            };
        }
        let make = |name: &str| {
            let folder = ours(root.join(name));
            std::fs::create_dir_all(&folder).map(|()| folder)
        };
        match make("memory") {
            Ok(memory) if memory.join("memory.limit_in_bytes").exists() => {
                let usable = |name: &str, file: &str| make(name).ok().filter(|f| f.join(file).exists());
                Self::Separate { memory, cpu: usable("cpu", "cpu.shares"), pids: usable("pids", "pids.max") }
            }
            Ok(folder) => Self::Unavailable(format!("{} has no memory controller", folder.display())),
            Err(e) => Self::Unavailable(e.to_string()),
        }
    }
}

impl Cgroups {
    /// Finds out what is possible. `node` keeps the groups of two nodes on one machine apart.
    pub(crate) fn detect(node: &str, max_processes: u64) -> Self {
        Self { trees: Trees::detect(node), max_processes }
    }

    /// Why nothing is enforced.
    pub(crate) fn problem(&self) -> Option<&str> {
        match &self.trees {
            Trees::Unavailable(problem) => Some(problem),
            _ => None,
        }
    }

    /// Makes a container's groups and opens the files by which its process joins them.
    pub(crate) fn create(&self, id: &str, limits: Limits) -> std::io::Result<(Option<Group>, Vec<OwnedFd>)> {
        let mut group = Group { folders: Vec::new(), memory_events: None };
        let mut add = |tree: &Path| {
            let folder = tree.join(id);
            std::fs::create_dir(&folder)?;
            group.folders.push(folder.clone());
            Ok::<_, std::io::Error>(folder)
        };
        let write = |folder: &Path, file: &str, value: String| std::fs::write(folder.join(file), value);
        match &self.trees {
            Trees::Unavailable(_) => return Ok((None, Vec::new())),
            Trees::Unified(tree) => {
                let folder = add(tree)?;
                write(&folder, "pids.max", self.max_processes.to_string())?;
                if let Some(memory) = limits.memory {
                    write(&folder, "memory.max", memory.to_string())?;
                    let _ = write(&folder, "memory.swap.max", "0".to_owned());
                    let _ = write(&folder, "memory.oom.group", "1".to_owned());
                }
                if let Some(cpu) = limits.cpu_milli {
                    write(&folder, "cpu.max", format!("{} 100000", cpu.max(10) * 100))?;
                }
                if let Some(cpu) = limits.cpu_request_milli {
                    let shares = (cpu * 1024 / 1000).clamp(2, 262_144);
                    write(&folder, "cpu.weight", (1 + (shares - 2) * 9999 / 262_142).to_string())?;
                }
                group.memory_events = Some(folder.join("memory.events"));
            }
            Trees::Separate { memory, cpu, pids } => {
                let folder = add(memory)?;
                if let Some(memory) = limits.memory {
                    write(&folder, "memory.limit_in_bytes", memory.to_string())?;
                    let _ = write(&folder, "memory.memsw.limit_in_bytes", memory.to_string());
                }
                group.memory_events = Some(folder.join("memory.oom_control"));
                if let Some(tree) =
                    cpu.as_ref().filter(|_| limits.cpu_milli.or(limits.cpu_request_milli).is_some())
                {
                    let folder = add(tree)?;
                    if let Some(cpu) = limits.cpu_milli {
                        write(&folder, "cpu.cfs_period_us", "100000".to_owned())?;
                        write(&folder, "cpu.cfs_quota_us", (cpu.max(10) * 100).to_string())?;
                    }
                    if let Some(cpu) = limits.cpu_request_milli {
                        write(&folder, "cpu.shares", (cpu * 1024 / 1000).clamp(2, 262_144).to_string())?;
                    }
                }
                if let Some(tree) = pids {
                    let folder = add(tree)?;
                    write(&folder, "pids.max", self.max_processes.to_string())?;
                }
            }
        }
        let files = group.join_files()?;
        Ok((Some(group), files))
    }

    /// Removes groups without processes, as an earlier life of the node may have left them.
    pub(crate) fn clear(&self) {
        for tree in self.trees() {
            for entry in std::fs::read_dir(tree).into_iter().flatten().flatten() {
                let _ = std::fs::remove_dir(entry.path());
            }
        }
    }

    /// Removes the node's own folders as well; `false` while a process is still leaving.
    pub(crate) fn remove(&self) -> bool {
        self.clear();
        for tree in self.trees() {
            let _ = std::fs::remove_dir(tree);
            if let Some(parent) = tree.parent() {
                let _ = std::fs::remove_dir(parent); // Fails while another node has groups, as it should.
            }
        }
        self.trees().iter().all(|tree| !tree.exists())
    }

    fn trees(&self) -> Vec<&PathBuf> {
        match &self.trees {
            Trees::Unavailable(_) => Vec::new(),
            Trees::Unified(tree) => vec![tree],
            Trees::Separate { memory, cpu, pids } => {
                [Some(memory), cpu.as_ref(), pids.as_ref()].into_iter().flatten().collect()
            }
        }
    }
}

impl Group {
    /// Files by which another process joins.
    pub(crate) fn join_files(&self) -> std::io::Result<Vec<OwnedFd>> {
        let open = |folder: &PathBuf| {
            std::fs::OpenOptions::new().write(true).open(folder.join("cgroup.procs")).map(OwnedFd::from)
        };
        self.folders.iter().map(open).collect()
    }

    /// Kills what is left of the container, when its processes have no namespace of their own to end with.
    pub(crate) fn kill_all(&self) {
        let Some(folder) = self.folders.first() else { return };
        let text = std::fs::read_to_string(folder.join("cgroup.procs")).unwrap_or_default();
        for pid in text.lines().filter_map(|l| l.trim().parse().ok()).filter(|pid| *pid > 0) {
            let _ =
                nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL);
        }
    }

    /// Whether a process of the group was killed for want of memory.
    pub(crate) fn was_out_of_memory(&self) -> bool {
        let text =
            self.memory_events.as_ref().and_then(|f| std::fs::read_to_string(f).ok()).unwrap_or_default();
        text.lines().filter_map(|l| l.strip_prefix("oom_kill ")).any(|n| n.trim() != "0")
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        for folder in &self.folders {
            // The last process may still be leaving; what stays is removed with the node.
            for _ in 0..20 {
                if std::fs::remove_dir(folder).is_ok() || !folder.exists() {
                    break;
                }
                std::thread::sleep(std::time::Duration::from_millis(2));
            }
        }
    }
}

fn make_unified(root: &Path, folder: &Path) -> std::io::Result<()> {
    const WANTED: &str = "+memory +cpu +pids";
    std::fs::create_dir_all(folder)?;
    let parent = folder.parent().unwrap_or(root);
    for tree in [root, parent, folder] {
        std::fs::write(tree.join("cgroup.subtree_control"), WANTED)?;
    }
    Ok(())
}
