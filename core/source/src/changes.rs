//! Where two trees differ.

use std::collections::HashSet;

use crate::TreePath;

/// Below this number of changes they are looked at one by one.
const FEW: usize = 16;

/// The paths at which one tree differs from another: each added, removed or changed file, link or submodule, and for a
/// directory that is new or gone, the directory.
#[derive(Debug, Clone, Default)]
pub struct Changes {
    paths: Vec<TreePath>,
    known: HashSet<TreePath>,
}

impl Changes {
    /// Whether something is different at `path` or at a directory that it lies in. What a link elsewhere leads to is
    /// not looked at.
    pub fn touch(&self, path: &TreePath) -> bool {
        if self.paths.len() <= FEW {
            return self.paths.iter().any(|changed| path.is_in(changed));
        }
        let mut here = Some(path.clone());
        while let Some(path) = here {
            if self.known.contains(&path) {
                return true;
            }
            here = path.parent();
        }
        false
    }

    /// The paths, in no order.
    pub fn paths(&self) -> &[TreePath] {
        &self.paths
    }
}

impl FromIterator<TreePath> for Changes {
    fn from_iter<I: IntoIterator<Item = TreePath>>(paths: I) -> Self {
        let paths: Vec<TreePath> = paths.into_iter().collect();
        let known = if paths.len() <= FEW { HashSet::new() } else { paths.iter().cloned().collect() };
        Self { paths, known }
    }
}
