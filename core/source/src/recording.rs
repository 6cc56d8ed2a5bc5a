//! Which questions were asked, and what the answers were.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest as _, Sha256};

use crate::{Changes, Digest, Entry, EntryKind, Error, FileTree, ListEntry, TreePath};

/// What a tree answered. Absent names and failures are answers too.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    /// To [`FileTree::find`]: what lies there and where it really is, or nothing.
    Found(Option<(EntryKind, TreePath)>),
    /// To [`FileTree::read`]: the content's digest.
    Content(Digest),
    /// To [`FileTree::list`].
    Listing(Vec<ListEntry>),
    /// To any of them: it failed.
    Failed,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
enum Question {
    Find,
    Read,
    List,
}

/// Everything that was asked of a tree, with the answers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Inputs {
    answers: BTreeMap<(TreePath, Question), Answer>,
}

impl Serialize for Inputs {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.answers.iter().map(|((path, question), answer)| (path, question, answer)))
    }
}

impl<'de> Deserialize<'de> for Inputs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let list = Vec::<(TreePath, Question, Answer)>::deserialize(deserializer)?;
        let answers = list.into_iter().map(|(path, question, answer)| ((path, question), answer));
        Ok(Self { answers: answers.collect() })
    }
}

impl Inputs {
    /// Whether nothing was asked.
    pub fn is_empty(&self) -> bool {
        self.answers.is_empty()
    }

    /// Every path that was asked about, with the answer, sorted by path.
    pub fn iter(&self) -> impl Iterator<Item = (&TreePath, &Answer)> {
        self.answers.iter().map(|((path, _), answer)| (path, answer))
    }

    /// The files that were read.
    pub fn files(&self) -> impl Iterator<Item = (&TreePath, &Digest)> {
        self.iter().filter_map(|(path, answer)| match answer {
            Answer::Content(digest) => Some((path, digest)),
            _ => None,
        })
    }

    /// Whether `tree` answers every question as before: then everything made from the answers still holds.
    pub fn hold_in(&self, tree: &dyn FileTree) -> bool {
        let view = tree.view();
        let tree = view.as_deref().unwrap_or(tree);
        self.answers.iter().all(|((path, question), answer)| holds(path, *question, answer, tree))
    }

    /// As [`Inputs::hold_in`], where they are known to hold in another tree, from which `tree` differs in `changes`
    /// alone: only what these can have changed is asked.
    pub fn hold_after(&self, tree: &dyn FileTree, changes: &Changes) -> bool {
        // What is reached through a link may change elsewhere. These were reached through none: directories, and the
        // file that was looked for last, since answers are sorted by path and finding comes before reading.
        let mut directories: Vec<&str> = vec![""];
        let mut file = "";
        self.answers.iter().all(|((path, question), answer)| {
            let parent = || path.as_str().rsplit_once('/').map_or("", |(parent, _)| parent);
            let is_direct = match (question, answer) {
                (_, Answer::Found(Some((kind, real)))) if real == path => {
                    match kind {
                        EntryKind::Directory => directories.push(path.as_str()),
                        EntryKind::File => file = path.as_str(),
                    }
                    true
                }
                // A link that leads nowhere is absent too, until what it names is made elsewhere.
                (_, Answer::Found(None)) => directories.contains(&parent()) && !tree.may_be_link(path),
                (Question::Read, Answer::Content(_)) => file == path.as_str(),
                _ => false,
            };
            (is_direct && !changes.touch(path)) || holds(path, *question, answer, tree)
        })
    }

    /// One digest of all questions and answers.
    pub fn digest(&self) -> Digest {
        let mut hash = Sha256::new();
        for ((path, question), answer) in &self.answers {
            // Debug output of these types is unambiguous: every text in it is quoted.
            hash.update(format!("{path:?} {question:?} {answer:?}\n"));
        }
        Digest(hash.finalize().into())
    }
}

fn holds(path: &TreePath, question: Question, answer: &Answer, tree: &dyn FileTree) -> bool {
    match (question, answer) {
        (Question::Find, answer) => found(&tree.find(path)) == *answer,
        (Question::Read, Answer::Content(digest)) => tree.digest(path).is_ok_and(|now| now == *digest),
        (Question::Read, _) => tree.digest(path).is_err(),
        (Question::List, answer) => listed(&tree.list(path)) == *answer,
    }
}

fn found(result: &Result<Option<Entry>, Error>) -> Answer {
    match result {
        Ok(entry) => Answer::Found(entry.as_ref().map(|entry| (entry.kind, entry.path.clone()))),
        Err(_) => Answer::Failed,
    }
}

fn listed(result: &Result<Vec<ListEntry>, Error>) -> Answer {
    match result {
        Ok(list) => Answer::Listing(list.clone()),
        Err(_) => Answer::Failed,
    }
}

/// A tree that notes what it is asked.
#[derive(Debug)]
pub struct Recording<'a> {
    tree: &'a dyn FileTree,
    /// What is asked in its place, if it has something for a while.
    view: Option<Box<dyn FileTree + 'a>>,
    inputs: Mutex<Inputs>,
}

impl<'a> Recording<'a> {
    /// Ask `tree` through the result of this, for as long as nobody changes it.
    pub fn new(tree: &'a dyn FileTree) -> Self {
        Self { tree, view: tree.view(), inputs: Mutex::default() }
    }

    fn tree(&self) -> &dyn FileTree {
        self.view.as_deref().unwrap_or(self.tree)
    }

    /// What was asked so far.
    pub fn into_inputs(self) -> Inputs {
        self.inputs.into_inner().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, path: &TreePath, question: Question, answer: Answer) {
        let mut inputs = self.inputs.lock().unwrap_or_else(PoisonError::into_inner);
        inputs.answers.insert((path.clone(), question), answer);
    }
}

impl FileTree for Recording<'_> {
    fn find(&self, path: &TreePath) -> Result<Option<Entry>, Error> {
        let result = self.tree().find(path);
        self.note(path, Question::Find, found(&result));
        result
    }

    fn read(&self, path: &TreePath) -> Result<Arc<[u8]>, Error> {
        let result = self.tree().read(path);
        let answer = match &result {
            Ok(content) => Answer::Content(Digest::of(content)),
            Err(_) => Answer::Failed,
        };
        self.note(path, Question::Read, answer);
        result
    }

    fn list(&self, path: &TreePath) -> Result<Vec<ListEntry>, Error> {
        let result = self.tree().list(path);
        self.note(path, Question::List, listed(&result));
        result
    }

    fn digest(&self, path: &TreePath) -> Result<Digest, Error> {
        let result = self.tree().digest(path);
        let answer = match &result {
            Ok(digest) => Answer::Content(*digest),
            Err(_) => Answer::Failed,
        };
        self.note(path, Question::Read, answer);
        result
    }
}
