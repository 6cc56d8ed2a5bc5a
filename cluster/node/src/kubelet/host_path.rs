//! Folders of the host in pods: only those that were listed, and nothing that a link in them leads to.

use crate::error::{Error, Result};
use std::path::{Component, Path, PathBuf};

/// The folder or file that a volume of this path is, resolved. `kind` is the volume's `type`.
pub(super) fn host_path(
    allowed: &[PathBuf],
    volume: &str,
    path: &Path,
    kind: Option<&str>,
) -> Result<PathBuf> {
    let refuse = |problem: String| Error::Spec { field: format!("volume \"{volume}\""), problem };
    let plain = path.is_absolute() && path.components().all(|c| !matches!(c, Component::ParentDir));
    if !plain || !allowed.iter().any(|allowed| path.starts_with(allowed)) {
        return Err(refuse(format!(
            "hostPath {} is not allowed on this node; folders that pods may mount are listed with --host-path",
            path.display()
        )));
    }
    // A link below an allowed folder must not lead out of it, nor may anything be made where one leads.
    let within = |path: &Path| {
        let real = path.canonicalize().map_err(Error::io("find", path))?;
        let inside =
            |allowed: &PathBuf| allowed.canonicalize().is_ok_and(|allowed| real.starts_with(allowed));
        match allowed.iter().any(inside) {
            true => Ok(real),
            false => Err(refuse(format!("hostPath {} leads out of the allowed folders", path.display()))),
        }
    };
    if kind == Some("DirectoryOrCreate") && path.symlink_metadata().is_err() {
        let there = path.ancestors().find(|above| above.symlink_metadata().is_ok());
        within(there.unwrap_or(path))?;
        std::fs::create_dir_all(path).map_err(Error::io("make", path))?;
    }
    within(path)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn only_listed_folders_are_mounted_and_links_do_not_lead_out() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        let (allowed, outside) = (root.join("allowed"), root.join("outside"));
        std::fs::create_dir_all(allowed.join("in")).unwrap();
        std::fs::create_dir(&outside).unwrap();
        std::os::unix::fs::symlink(&outside, allowed.join("link")).unwrap();
        let list = [allowed.clone()];
        let of = |path: PathBuf| host_path(&list, "v", &path, Some("DirectoryOrCreate"));
        assert_eq!(of(allowed.join("in")).unwrap(), allowed.join("in"));
        assert_eq!(of(allowed.join("made/deep")).unwrap(), allowed.join("made/deep"));
        assert!(of(outside.clone()).unwrap_err().to_string().contains("--host-path"));
        assert!(of(allowed.join("in/../../outside")).unwrap_err().to_string().contains("--host-path"));
        for path in ["link", "link/new", "link/new/deep"] {
            let problem = of(allowed.join(path)).unwrap_err().to_string();
            assert!(problem.contains("leads out of the allowed folders"), "{problem}");
        }
        assert_eq!(std::fs::read_dir(&outside).unwrap().count(), 0, "nothing was made outside");
        assert!(host_path(&list, "v", &allowed.join("absent"), Some("Directory")).is_err());
    }
}
