//! What a push is made of, and what it must not contain.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::message::{Message, Trailer};
use crate::{Branch, CommitId, Error, Person, RepositoryUrl};

/// Larger files are refused, in bytes.
const MAX_FILE: usize = 1 << 20;
/// More bytes are refused in all files together.
const MAX_BYTES: usize = 32 << 20;
/// More files are refused.
const MAX_FILES: usize = 1000;
/// Longer paths are refused, in bytes.
const MAX_PATH: usize = 1024;
/// Longer names and mail addresses are refused, in bytes.
const MAX_PERSON: usize = 250;

/// Who wrote a change, who made the commit of it, and when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authorship {
    /// Who wrote it: a person.
    pub author: Person,
    /// Who made the commit: most often Seaway.
    pub committer: Person,
    /// When.
    pub time: Timestamp,
}

/// A commit that is merged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Merge {
    /// Where it is. When that is another repository, it is fetched from there.
    pub url: RepositoryUrl,
    /// The commit.
    pub commit: CommitId,
}

/// One commit on top of a branch: a merge, changed files, or both.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Push {
    /// The branch that the commit stands on.
    pub base: Branch,
    /// The branch that is pushed: the base itself, or a proposal.
    pub branch: Branch,
    /// Merged first. The commit has two parents then, even where the base could just move forward: it carries author
    /// and trailers.
    pub merge: Option<Merge>,
    /// The new content of files by their paths; `None` deletes. A file that exists keeps its executable bit, and one
    /// that is a symbolic link, a folder or a submodule is an error.
    pub files: BTreeMap<String, Option<Vec<u8>>>,
    /// The commit where the caller read `files`, in the mirror. When one of them is another on the base by now, this is
    /// [`Error::Outdated`]; without it the last writer wins.
    pub files_seen_at: Option<CommitId>,
    /// A trailer of `message`. A proposal branch that exists is replaced only when its last commit carries it and has the
    /// same committer: somebody who amends it keeps the trailer. Without it none is replaced.
    pub replaces: Option<Trailer>,
    /// Who and when.
    pub authorship: Authorship,
    /// Why.
    pub message: Message,
}

/// What became of a push.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pushed {
    /// The commit that has the changes: the new one, or the one that had them before.
    pub commit: CommitId,
    /// The branch. Without a change against the base it may not exist.
    pub branch: Branch,
    /// The base's commit.
    pub base: CommitId,
    /// How often it was tried: 1 unless others pushed at the same time.
    pub attempts: u32,
    /// The branch did not exist before.
    pub created: bool,
    /// There was nothing to push: the base has it all, or the branch is the same commit but for its time.
    pub unchanged: bool,
}

impl Push {
    /// Whether both would make the same commit, but for its time.
    pub(crate) fn is_same_but_for_time(&self, other: &Self) -> bool {
        let time = other.authorship.time;
        let authorship = Authorship { time, ..self.authorship.clone() };
        // Contents are compared last, and not copied.
        let Self { base, branch, merge, files, files_seen_at, replaces, authorship: _, message } = self;
        (base, branch, merge, files_seen_at, replaces, &authorship, message, files)
            == (
                &other.base,
                &other.branch,
                &other.merge,
                &other.files_seen_at,
                &other.replaces,
                &other.authorship,
                &other.message,
                &other.files,
            )
    }

    /// Whether nothing in it is refused by us.
    pub(crate) fn check(&self) -> Result<(), Error> {
        if self.merge.is_none() && self.files.is_empty() {
            return Err(Error::bad_push("a commit without a merge and without files", "says nothing"));
        }
        check_person("author", &self.authorship.author)?;
        check_person("committer", &self.authorship.committer)?;
        if self.authorship.time < Timestamp::UNIX_EPOCH {
            return Err(Error::bad_push("the commit's time", "is before 1970, which Git does not have"));
        }
        self.message.check()?;
        if let Some(replaces) = &self.replaces
            && !self.message.trailers.contains(replaces)
        {
            return Err(Error::bad_push(
                format!("a proposal with {:?}", replaces.key),
                "does not carry this trailer itself, so that it could not be replaced later",
            ));
        }
        self.check_files()
    }

    fn check_files(&self) -> Result<(), Error> {
        if self.files.len() > MAX_FILES {
            return Err(Error::bad_push(format!("{} files", self.files.len()), "is more than 1000 at once"));
        }
        let mut bytes = 0;
        for (path, content) in &self.files {
            check_path(path)?;
            let length = content.as_ref().map_or(0, Vec::len);
            bytes += length;
            if length > MAX_FILE {
                return Err(Error::bad_push(format!("file {path:?}"), "is larger than 1 MiB"));
            }
            if let Some((at, _)) =
                path.match_indices('/').find(|(at, _)| self.files.contains_key(&path[..*at]))
            {
                let parent = &path[..at];
                return Err(Error::bad_push(
                    format!("file {path:?}"),
                    if self.files[parent].is_some() {
                        "lies below another file of the same push"
                    } else {
                        "lies below a file that the same push deletes: do it in two pushes"
                    },
                ));
            }
        }
        if bytes > MAX_BYTES {
            return Err(Error::bad_push(format!("{bytes} bytes"), "is more than 32 MiB at once"));
        }
        Ok(())
    }
}

/// Paths are relative to the root and stay there, and none is Git's own.
fn check_path(path: &str) -> Result<(), Error> {
    let refuse = |reason| {
        Err(Error::bad_push(format!("file {:?}", path.chars().take(100).collect::<String>()), reason))
    };
    if path.is_empty() || path.len() > MAX_PATH {
        return refuse("has an empty path, or one longer than 1024 bytes");
    }
    if path.starts_with('-') || path.chars().any(|c| c.is_control() || c == '\\') {
        return refuse("has a path that begins with a hyphen, or a control character or backslash in it");
    }
    for part in path.split('/') {
        // Some file systems take these for one and the same.
        let plain: String = part.chars().filter(|c| !is_ignorable(*c)).collect();
        let plain = plain.split(':').next().unwrap_or_default().trim_end_matches(['.', ' ']).to_lowercase();
        if matches!(part, "" | "." | "..") || plain.is_empty() {
            return refuse("has a path with an empty part, . or .. in it");
        }
        if plain == ".git" || plain.starts_with("git~") {
            return refuse("has .git in its path");
        }
    }
    Ok(())
}

/// The characters that HFS+ ignores in names.
fn is_ignorable(c: char) -> bool {
    matches!(c, '\u{200c}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{206a}'..='\u{206f}' | '\u{feff}')
}

fn check_person(role: &str, person: &Person) -> Result<(), Error> {
    for (field, text) in [("name", &person.name), ("mail address", &person.email)] {
        let refuse = |reason| {
            let shown: String = text.chars().take(60).collect();
            Err(Error::bad_push(format!("the {role}'s {field} {shown:?}"), reason))
        };
        if text.len() > MAX_PERSON {
            return refuse("is longer than 250 bytes");
        }
        if text.starts_with('-') || text.chars().any(|c| c.is_control() || matches!(c, '<' | '>')) {
            return refuse("begins with a hyphen, or has a control character, < or > in it");
        }
        if !text.chars().any(char::is_alphanumeric) || text.trim() != text {
            return refuse("has no letter or digit, or white space around it");
        }
    }
    Ok(())
}
