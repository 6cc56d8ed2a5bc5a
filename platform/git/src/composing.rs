//! One commit, made in the mirror without a working tree. What is made is objects that nothing names: an end in the
//! middle leaves nothing to repair.

use std::collections::{BTreeMap, HashMap};
use std::ffi::OsString;

use crate::files::Files;
use crate::message::Trailer;
use crate::program::{Call, Failure};
use crate::push::{Authorship, Push};
use crate::session::Session;
use crate::{CommitId, Error, Person};

/// How many paths one run of `git` gets: their text has to fit on its command line.
const CHUNK: usize = 200;
/// How many files of a conflict an error holds.
const MAX_CONFLICTS: usize = 100;

/// What a path stands for in a tree.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Item {
    mode: String,
    id: String,
}

impl Item {
    /// Why it cannot be written; `None` when it is a file.
    fn reason(&self) -> Option<&'static str> {
        match self.mode.as_str() {
            "100644" | "100755" | "100664" => None,
            "120000" => Some("is a symbolic link: name the file that it leads to"),
            "040000" => Some("is a folder"),
            _ => Some("is a submodule"),
        }
    }
}

impl Session<'_> {
    /// The commit that a push asks for on top of `base`; `None` when the base has everything.
    pub(crate) async fn compose(&mut self, push: &Push, base: &CommitId) -> Result<Option<CommitId>, Error> {
        let base_tree = self.tree_of(base).await?;
        let mut tree = base_tree.clone();
        let mut parents = vec![base.clone()];
        if let Some(merge) = &push.merge
            && !self.is_ancestor(merge.commit.as_str(), base.as_str()).await?
        {
            tree = self.merge_trees(push, base, &merge.commit).await?;
            parents.push(merge.commit.clone());
        }
        if !push.files.is_empty() {
            let files = Files::new(self.mirrors.root())?;
            tree = self.change_files(push, base, tree, &files).await?;
        }
        if parents.len() == 1 && tree == base_tree {
            return Ok(None);
        }
        self.commit(push, &tree, &parents).await.map(Some)
    }

    async fn merge_trees(
        &mut self,
        push: &Push,
        base: &CommitId,
        commit: &CommitId,
    ) -> Result<String, Error> {
        // Files that the repository says cannot be merged (`-merge`, `binary`) are not. What the base says counts: who
        // proposes cannot change that.
        let attributes = format!("--attr-source={base}");
        let arguments = [
            attributes.as_str(),
            "merge-tree",
            "--write-tree",
            "-z",
            "--name-only",
            "--no-messages",
            base.as_str(),
            commit.as_str(),
        ];
        let ended = self.finish(&arguments, self.here()).await.map_err(|failure| self.explain(failure))?;
        let mut output = ended.output.split(|byte| *byte == 0);
        let tree = output.next().map(|tree| String::from_utf8_lossy(tree).trim().to_owned());
        match ended.status.code() {
            Some(0) => Ok(tree.unwrap_or_default()),
            Some(1) => Err(Error::Conflict {
                url: self.mirror.url.clone(),
                base: push.base.clone(),
                commit: commit.clone(),
                files: output.filter(|file| !file.is_empty()).take(MAX_CONFLICTS).map(shown).collect(),
            }),
            // It is too old to know one of the options.
            Some(129) => Err(Error::NoProgram {
                program: self.mirrors.0.options.git.clone(),
                reason: "it does not merge without a working tree, by the attributes of a commit".to_owned(),
            }),
            _ => Err(self.explain(ended.into_failure())),
        }
    }

    async fn change_files(
        &mut self,
        push: &Push,
        base: &CommitId,
        tree: String,
        files: &Files,
    ) -> Result<String, Error> {
        let paths: Vec<&str> = push.files.keys().map(String::as_str).collect();
        let present = self.items(&tree, &paths).await?;
        let wanted = self.write_contents(&push.files, files).await?;
        let mut removals = Vec::new();
        let mut additions = Vec::new();
        for path in &paths {
            match (wanted.get(*path), present.get(*path)) {
                (Some(id), Some(item)) if *id == item.id && item.reason().is_none() => {}
                (None, None) => {}
                (_, Some(item)) if item.reason().is_some() => {
                    return Err(self.not_a_file(push, path, item.reason().unwrap_or_default()));
                }
                (None, Some(_)) => removals.push(*path),
                (Some(id), item) => {
                    let executable = item.is_some_and(|item| item.mode == "100755");
                    let mode = if executable { "100755" } else { "100644" };
                    additions.push(format!("{mode},{id},{path}"));
                }
            }
        }
        if removals.is_empty() && additions.is_empty() {
            return Ok(tree);
        }
        self.check_seen(push, base, &paths, &wanted).await?;
        // Removing demands a working tree and does not look at it: any folder of ours will do.
        let environment = [
            ("GIT_INDEX_FILE", OsString::from(files.folder.join("index"))),
            ("GIT_WORK_TREE", OsString::from(&files.folder)),
            literal(),
        ];
        let call = Call { environment: &environment, ..self.here() };
        let explain = |failure| self.explain(failure);
        self.git(&["read-tree", &tree], call).await.map_err(explain)?;
        for paths in removals.chunks(CHUNK) {
            let mut arguments = vec!["update-index", "--force-remove", "--"];
            arguments.extend(paths);
            self.git(&arguments, call).await.map_err(explain)?;
        }
        for entries in additions.chunks(CHUNK) {
            let mut arguments = vec!["update-index", "--add"];
            arguments.extend(entries.iter().flat_map(|entry| ["--cacheinfo", entry]));
            if let Err(failure) = self.git(&arguments, call).await {
                return Err(match below_a_file(failure.message()) {
                    Some(path) => self.not_a_file(push, path, "lies below what is a file"),
                    None => self.explain(failure),
                });
            }
        }
        let tree = self.git(&["write-tree"], call).await.map_err(explain)?;
        Ok(String::from_utf8_lossy(&tree).trim().to_owned())
    }

    /// Whether the files that are not as wanted are still those that the caller has seen.
    async fn check_seen(
        &self,
        push: &Push,
        base: &CommitId,
        paths: &[&str],
        wanted: &HashMap<&str, String>,
    ) -> Result<(), Error> {
        let Some(seen) = &push.files_seen_at else { return Ok(()) };
        let before = self.items(&self.tree_of(seen).await?, paths).await?;
        let now = self.items(&self.tree_of(base).await?, paths).await?;
        let outdated = paths.iter().find(|path| {
            let now = now.get(**path).map(|item| &item.id);
            now != before.get(**path).map(|item| &item.id) && now != wanted.get(**path)
        });
        match outdated {
            None => Ok(()),
            Some(path) => Err(Error::Outdated {
                url: self.mirror.url.clone(),
                base: push.base.clone(),
                path: (*path).to_owned(),
            }),
        }
    }

    /// Writes what files shall contain as objects; their ids by path.
    async fn write_contents<'p>(
        &self,
        contents: &'p BTreeMap<String, Option<Vec<u8>>>,
        files: &Files,
    ) -> Result<HashMap<&'p str, String>, Error> {
        let mut written = Vec::new();
        for (index, (path, content)) in contents.iter().enumerate() {
            if let Some(content) = content {
                let file = files.write(&index.to_string(), content)?;
                written.push((path.as_str(), file.display().to_string()));
            }
        }
        let mut ids = HashMap::new();
        for chunk in written.chunks(CHUNK) {
            let mut arguments = vec!["hash-object", "-w", "--no-filters", "--"];
            arguments.extend(chunk.iter().map(|(_, file)| file.as_str()));
            let output = self.git(&arguments, self.here()).await.map_err(|failure| self.explain(failure))?;
            let output = String::from_utf8_lossy(&output).into_owned();
            ids.extend(chunk.iter().zip(output.lines()).map(|((path, _), id)| (*path, id.to_owned())));
        }
        Ok(ids)
    }

    /// What these paths stand for in a tree. Absent ones are left out.
    async fn items(&self, tree: &str, paths: &[&str]) -> Result<HashMap<String, Item>, Error> {
        let mut items = HashMap::new();
        for paths in paths.chunks(CHUNK) {
            let mut arguments = vec!["ls-tree", "-z", "--full-tree", tree, "--"];
            arguments.extend(paths);
            let call = Call { environment: &[literal()], ..self.here() };
            let output = self.git(&arguments, call).await.map_err(|failure| self.explain(failure))?;
            for line in output.split(|byte| *byte == 0) {
                let line = String::from_utf8_lossy(line);
                let Some((item, path)) = line.split_once('\t') else { continue };
                let mut fields = item.split(' ');
                if let (Some(mode), Some(_), Some(id)) = (fields.next(), fields.next(), fields.next()) {
                    items.insert(path.to_owned(), Item { mode: mode.to_owned(), id: id.to_owned() });
                }
            }
        }
        Ok(items)
    }

    async fn tree_of(&self, commit: &CommitId) -> Result<String, Error> {
        let name = format!("{commit}^{{tree}}");
        match self.git(&["rev-parse", "--verify", "--end-of-options", &name], self.here()).await {
            Ok(output) => Ok(String::from_utf8_lossy(&output).trim().to_owned()),
            Err(Failure::Exit(_)) => {
                Err(Error::CommitNotFetched { url: self.mirror.url.clone(), id: commit.to_string() })
            }
            Err(failure) => Err(self.explain(failure)),
        }
    }

    async fn commit(&self, push: &Push, tree: &str, parents: &[CommitId]) -> Result<CommitId, Error> {
        let files = Files::new(self.mirrors.root())?;
        let message = files.write("message", push.message.text().as_bytes())?.display().to_string();
        let mut arguments = vec!["commit-tree", tree, "-F", &message];
        arguments.extend(parents.iter().flat_map(|parent| ["-p", parent.as_str()]));
        let environment = identities(&push.authorship);
        let call = Call { environment: &environment, ..self.here() };
        let output = self.git(&arguments, call).await.map_err(|failure| self.explain(failure))?;
        String::from_utf8_lossy(&output).trim().parse()
    }

    /// Whether two commits differ in nothing but their times.
    pub(crate) async fn is_same(&self, one: &CommitId, other: &CommitId) -> Result<bool, Error> {
        Ok(one == other || self.without_times(one).await? == self.without_times(other).await?)
    }

    async fn without_times(&self, commit: &CommitId) -> Result<Vec<u8>, Error> {
        let arguments = ["cat-file", "commit", commit.as_str()];
        let content = self.git(&arguments, self.here()).await.map_err(|failure| self.explain(failure))?;
        let mut in_header = true;
        let mut kept = Vec::new();
        for line in content.split_inclusive(|byte| *byte == b'\n') {
            in_header &= line != b"\n";
            let timed = in_header && (line.starts_with(b"author ") || line.starts_with(b"committer "));
            let end = line.iter().rposition(|byte| *byte == b'>').filter(|_| timed);
            kept.extend_from_slice(&line[..end.unwrap_or(line.len())]);
        }
        Ok(kept)
    }

    /// Whether a commit's message has a trailer.
    pub(crate) async fn carries(&self, commit: &CommitId, trailer: &Trailer) -> Result<bool, Error> {
        let format = "--format=%(trailers:only=true,unfold=true)";
        let arguments =
            ["log", "-1", "--no-show-signature", format, "--end-of-options", commit.as_str(), "--"];
        let output = self.git(&arguments, self.here()).await.map_err(|failure| self.explain(failure))?;
        Ok(String::from_utf8_lossy(&output).lines().any(|line| trailer.is(line)))
    }

    /// Whether a commit was made by this committer as it is: not by somebody who has amended ours.
    pub(crate) async fn is_committed_by(&self, commit: &CommitId, person: &Person) -> Result<bool, Error> {
        let format = "--format=%cn%x00%ce%x00";
        let arguments = [
            "log",
            "-1",
            "--no-show-signature",
            "--no-use-mailmap",
            format,
            "--end-of-options",
            commit.as_str(),
            "--",
        ];
        let output = self.git(&arguments, self.here()).await.map_err(|failure| self.explain(failure))?;
        let mut fields = output.split(|byte| *byte == 0);
        Ok(fields.next() == Some(person.name.as_bytes()) && fields.next() == Some(person.email.as_bytes()))
    }

    fn not_a_file(&self, push: &Push, path: &str, reason: &'static str) -> Error {
        Error::NotAFile {
            url: self.mirror.url.clone(),
            base: push.base.clone(),
            path: path.to_owned(),
            reason,
        }
    }
}

/// The path of which `git update-index` says that what lies above it is no folder.
fn below_a_file(message: &str) -> Option<&str> {
    message
        .strip_prefix("error: '")?
        .split_once("' appears as both a file and as a directory")
        .map(|(path, _)| path)
}

/// Paths are names, never patterns.
fn literal() -> (&'static str, OsString) {
    ("GIT_LITERAL_PATHSPECS", "1".into())
}

fn identities(authorship: &Authorship) -> [(&'static str, OsString); 6] {
    let Authorship { author, committer, time } = authorship;
    let time = OsString::from(format!("@{} +0000", time.as_second()));
    [
        ("GIT_AUTHOR_NAME", (&author.name).into()),
        ("GIT_AUTHOR_EMAIL", (&author.email).into()),
        ("GIT_AUTHOR_DATE", time.clone()),
        ("GIT_COMMITTER_NAME", (&committer.name).into()),
        ("GIT_COMMITTER_EMAIL", (&committer.email).into()),
        ("GIT_COMMITTER_DATE", time),
    ]
}

/// The name of a file of the repository, for people.
fn shown(file: &[u8]) -> String {
    String::from_utf8_lossy(file).chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}
