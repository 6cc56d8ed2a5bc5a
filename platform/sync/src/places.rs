//! Where what was rendered comes from: as long as Git has the same directories there, it holds, and no question that was
//! asked of the files need be asked again.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use seaway_source::{Answer, CommitTree, EntryKind, FileTree as _, Inputs, TreePath};

/// Git's ids of directories of one commit that were looked up already; `None` where there is none.
pub(crate) type Ids = HashMap<TreePath, Option<String>>;

/// The directories that answers came from.
#[derive(Debug)]
pub(crate) struct Places {
    /// Those whose content decided an answer, with Git's id of each.
    content: BTreeMap<TreePath, Option<String>>,
    /// Those of which was asked whether they are there.
    existing: BTreeSet<TreePath>,
}

impl Places {
    /// The directories that these answers of a tree came from. `None` where a link leads elsewhere, or something could not
    /// be answered.
    pub(crate) fn of(inputs: &Inputs, tree: &CommitTree) -> Option<Self> {
        let (mut directories, mut existing) = (BTreeSet::new(), BTreeSet::new());
        let is_itself =
            |path: &TreePath| tree.find(path).ok().flatten().is_some_and(|entry| entry.path == *path);
        for (path, answer) in inputs.iter() {
            match answer {
                Answer::Found(Some((kind, real))) if real == path => match kind {
                    EntryKind::File => directories.insert(path.parent()?),
                    EntryKind::Directory => existing.insert(path.clone()),
                },
                // A link that leads nowhere is absent too, until what it names is made elsewhere.
                Answer::Found(None) if !tree.is_link(path).ok()? => directories.insert(path.parent()?),
                Answer::Content(_) if is_itself(path) => directories.insert(path.parent()?),
                // What a link in it leads to decides whether it is listed.
                Answer::Listing(_) if is_itself(path) && !tree.has_links(path).ok()? => {
                    directories.insert(path.clone())
                }
                _ => return None,
            };
        }
        // Below a directory that is not there, nothing is: what would be there may come through a link.
        let id = |path: TreePath| Some((path.clone(), Some(tree.object_id(&path).ok()??)));
        let content = directories.into_iter().map(id).collect::<Option<_>>()?;
        Some(Self { content, existing })
    }

    /// Whether another tree has the same there. `ids` are those of that tree.
    pub(crate) fn are_in(&self, tree: &CommitTree, ids: &mut Ids) -> bool {
        let mut look_up = |path: &TreePath| match ids.get(path) {
            Some(id) => id.clone(),
            None => {
                let found = tree.find(path).ok().flatten();
                let is_itself = found.is_some_and(|it| it.path == *path && it.kind == EntryKind::Directory);
                let id = is_itself.then(|| tree.object_id(path).ok().flatten()).flatten();
                ids.insert(path.clone(), id.clone());
                id
            }
        };
        self.content.iter().all(|(path, id)| look_up(path) == *id)
            && self.existing.iter().all(|path| self.content.contains_key(path) || look_up(path).is_some())
    }
}
