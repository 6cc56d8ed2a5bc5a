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
    Unified { folder: PathBuf, controllers: Controllers },
    /// One for each of memory, cpu and pids.
    Separate { memory: PathBuf, cpu: Option<PathBuf>, pids: Option<PathBuf> },
    /// None can be made; why.
    Unavailable(String),
}

/// What a unified tree controls below a folder. Memory is always among it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Controllers {
    cpu: bool,
    pids: bool,
}

/// The groups of one container. Removed when dropped.
#[derive(Debug)]
pub(crate) struct Group {
    folders: Vec<PathBuf>,
    /// File that counts kills for want of memory.
    memory_events: Option<PathBuf>,
}

impl Limits {
    /// Whether there is something to enforce.
    pub(crate) fn any(&self) -> bool {
        self.memory.is_some() || self.cpu_milli.is_some()
    }
}

impl Trees {
    fn detect(node: &str) -> Self {
        let own = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        Self::below(Path::new("/sys/fs/cgroup"), &own, node)
    }

    /// `own` is what `/proc/self/cgroup` says.
    fn below(root: &Path, own: &str, node: &str) -> Self {
        let ours = |tree: PathBuf| tree.join(OURS).join(node);
        if root.join("cgroup.controllers").exists() {
            let mut problem = None;
            for parent in unified_parents(root, own) {
                let folder = ours(parent.clone());
                match make_unified(&parent, &folder) {
                    Ok(controllers) => return Self::Unified { folder, controllers },
                    Err(e) => {
                        let _ = std::fs::remove_dir(&folder);
                        let _ = std::fs::remove_dir(parent.join(OURS));
                        problem.get_or_insert_with(|| format!("{}: {e}", folder.display()));
                    }
                }
            }
            return Self::Unavailable(problem.unwrap_or_else(|| format!("{} is empty", root.display())));
        }
        let make = |name: &str| {
            let folder = ours(root.join(name));
            std::fs::create_dir_all(&folder)?;
            // Somebody else's Seaway may have made it.
            nix::unistd::access(&folder, nix::unistd::AccessFlags::W_OK)?;
            Ok::<_, std::io::Error>(folder)
        };
        match make("memory") {
            Ok(memory) if memory.join("memory.limit_in_bytes").exists() => {
                let usable = |name: &str, file: &str| make(name).ok().filter(|f| f.join(file).exists());
                Self::Separate { memory, cpu: usable("cpu", "cpu.shares"), pids: usable("pids", "pids.max") }
            }
            Ok(folder) => Self::Unavailable(format!("{} has no memory controller", folder.display())),
            Err(e) => Self::Unavailable(format!("{}: {e}", ours(root.join("memory")).display())),
        }
    }
}

/// Where groups may be made in a unified tree: at its root by the administrator; otherwise in what was delegated to this
/// user, which is somewhere above the group of this process (that itself has processes, and so cannot have groups).
fn unified_parents(root: &Path, own: &str) -> Vec<PathBuf> {
    let mut parents = vec![root.to_owned()];
    let own = own.lines().find_map(|line| line.strip_prefix("0::/")).unwrap_or_default();
    // Outside of this process' view of the tree.
    if own.split('/').all(|part| part != "..") {
        let above = Path::new(own).ancestors().skip(1).filter(|path| !path.as_os_str().is_empty());
        parents.extend(above.map(|path| root.join(path)));
    }
    parents
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

    /// Makes a container's groups and opens the files by which its process joins them; no group where none can be made.
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
            Trees::Unified { folder: tree, controllers } => {
                let folder = add(tree)?;
                if controllers.pids {
                    write(&folder, "pids.max", self.max_processes.to_string())?;
                }
                if let Some(memory) = limits.memory {
                    write(&folder, "memory.max", memory.to_string())?;
                    let _ = write(&folder, "memory.swap.max", "0".to_owned());
                    let _ = write(&folder, "memory.oom.group", "1".to_owned());
                }
                if let Some(cpu) = limits.cpu_milli.filter(|_| controllers.cpu) {
                    write(&folder, "cpu.max", format!("{} 100000", cpu.max(10) * 100))?;
                }
                if let Some(cpu) = limits.cpu_request_milli.filter(|_| controllers.cpu) {
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
            Trees::Unified { folder, .. } => vec![folder],
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
        // All at once, where the kernel can: none is forked past it.
        let kill = folder.join("cgroup.kill");
        if kill.exists() && std::fs::write(kill, "1").is_ok() {
            return;
        }
        let text = std::fs::read_to_string(folder.join("cgroup.procs")).unwrap_or_default();
        for pid in text.lines().filter_map(|l| l.trim().parse().ok()).filter(|pid| *pid > 0) {
            let _ =
                nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL);
        }
    }

    /// Bytes of memory that the group needs: what could be read again from disk is not counted.
    pub(crate) fn memory(&self) -> Option<u64> {
        let folder = self.memory_events.as_ref()?.parent()?;
        let read = |file: &str| std::fs::read_to_string(folder.join(file));
        let used = read("memory.current").or_else(|_| read("memory.usage_in_bytes")).ok()?;
        let statistics = read("memory.stat").unwrap_or_default();
        let number = |name: &str| {
            let mut lines = statistics.lines().filter_map(|line| line.split_once(' '));
            lines.find(|(key, _)| *key == name)?.1.trim().parse::<u64>().ok()
        };
        let cache = number("total_inactive_file").or_else(|| number("inactive_file")).unwrap_or(0);
        Some(used.trim().parse::<u64>().ok()?.saturating_sub(cache))
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

/// Makes a folder below `parent` whose groups are controlled.
fn make_unified(parent: &Path, folder: &Path) -> std::io::Result<Controllers> {
    let offered = std::fs::read_to_string(parent.join("cgroup.controllers"))?;
    let has = |name: &str| offered.split_whitespace().any(|each| each == name);
    if !has("memory") {
        return Err(std::io::Error::other("the memory controller is not delegated"));
    }
    let controllers = Controllers { cpu: has("cpu"), pids: has("pids") };
    let wanted = [("+memory", true), ("+cpu", controllers.cpu), ("+pids", controllers.pids)];
    let wanted: Vec<&str> = wanted.into_iter().filter(|(_, has)| *has).map(|(name, _)| name).collect();
    std::fs::create_dir_all(folder)?;
    let between = folder.parent().unwrap_or(parent);
    for tree in [parent, between, folder] {
        std::fs::write(tree.join("cgroup.subtree_control"), wanted.join(" "))?;
    }
    Ok(controllers)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const LIMITS: Limits =
        Limits { memory: Some(64 << 20), cpu_milli: Some(500), cpu_request_milli: Some(250) };

    /// A folder that looks like a unified tree: the kernel's files are ordinary ones.
    fn tree(delegated: &str, controllers: &str) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join(delegated);
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("cgroup.controllers"), controllers).unwrap();
        // The root itself offers nothing, so that only what is delegated can be used.
        if !delegated.is_empty() {
            std::fs::write(root.path().join("cgroup.controllers"), "").unwrap();
        }
        root
    }

    #[test]
    fn a_unified_tree_limits_memory_cpu_and_processes_of_each_container() {
        let root = tree("", "cpuset cpu io memory pids");
        let cgroups =
            Cgroups { trees: Trees::below(root.path(), "0::/init.scope\n", "here"), max_processes: 77 };
        assert_eq!(cgroups.problem(), None);
        let folder = root.path().join("seaway/here");
        for above in [root.path(), &root.path().join("seaway"), &folder] {
            let control = std::fs::read_to_string(above.join("cgroup.subtree_control")).unwrap();
            assert_eq!(control, "+memory +cpu +pids");
        }
        // The file by which a process joins is the kernel's; here there is none, and so it fails after the limits.
        assert!(cgroups.create("c", LIMITS).is_err());
        let read = |file: &str| std::fs::read_to_string(folder.join("c").join(file)).unwrap();
        assert_eq!((read("memory.max"), read("pids.max")), ((64 << 20).to_string(), "77".to_owned()));
        assert_eq!((read("memory.swap.max"), read("memory.oom.group")), ("0".to_owned(), "1".to_owned()));
        // Half a processor, and the share that 256 of 1024 is on the scale from 1 to 10,000.
        assert_eq!((read("cpu.max"), read("cpu.weight")), ("50000 100000".to_owned(), "10".to_owned()));
    }

    #[test]
    fn an_ordinary_user_uses_what_was_delegated_to_him() {
        let delegated = "user.slice/user-1000.slice/user@1000.service/app.slice";
        let root = tree(delegated, "memory pids");
        let own = format!("12:pids:/x\n0::/{delegated}/terminal.scope\n");
        let trees = Trees::below(root.path(), &own, "here");
        let Trees::Unified { folder, controllers } = &trees else { panic!("{trees:?}") };
        assert_eq!(*folder, root.path().join(delegated).join("seaway/here"));
        assert_eq!(*controllers, Controllers { cpu: false, pids: true });
        let cgroups = Cgroups { trees, max_processes: 5 };
        let _ = cgroups.create("c", LIMITS);
        let made = root.path().join(delegated).join("seaway/here/c");
        assert!(made.join("memory.max").exists() && !made.join("cpu.max").exists());
    }

    #[test]
    fn where_nothing_is_delegated_the_node_says_why() {
        let root = tree("", "");
        let trees = Trees::below(root.path(), "0::/a/b\n", "here");
        let Trees::Unavailable(problem) = trees else { panic!("{trees:?}") };
        assert!(problem.ends_with("the memory controller is not delegated"), "{problem}");
        assert!(!root.path().join("seaway").exists());
        // Beyond what this process sees of the tree there is nothing of ours.
        assert_eq!(unified_parents(Path::new("/t"), "0::/../../x\n"), [Path::new("/t")]);
        let all = unified_parents(Path::new("/t"), "0::/a/b/c\n");
        assert_eq!(all, [Path::new("/t"), Path::new("/t/a/b"), Path::new("/t/a")]);
    }

    #[test]
    fn kills_for_want_of_memory_and_what_is_used_are_read_in_both_forms() {
        let folder = tempfile::tempdir().unwrap();
        let write = |file: &str, text: &str| std::fs::write(folder.path().join(file), text).unwrap();
        let group = |file: &str| Group { folders: vec![], memory_events: Some(folder.path().join(file)) };
        write("memory.events", "low 0\nhigh 0\nmax 7\noom 1\noom_kill 1\noom_group_kill 0\n");
        assert!(group("memory.events").was_out_of_memory());
        write("memory.events", "oom 0\noom_kill 0\noom_group_kill 0\n");
        assert!(!group("memory.events").was_out_of_memory());
        write("memory.current", "5000\n");
        write("memory.stat", "anon 1000\nfile 3000\ninactive_file 2000\n");
        assert_eq!(group("memory.events").memory(), Some(3000));
        std::fs::remove_file(folder.path().join("memory.current")).unwrap();
        write("memory.usage_in_bytes", "9000\n");
        write("memory.stat", "inactive_file 1\ntotal_inactive_file 4000\n");
        assert_eq!(group("memory.oom_control").memory(), Some(5000));
    }
}
