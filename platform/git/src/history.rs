//! Commits as history shows them.

use jiff::Timestamp;

use crate::{CommitId, Error};

/// Longer messages are cut, in bytes.
const MAX_MESSAGE: usize = 16 << 10;

/// For `git log -z`. The names are as in the commit, whatever a `.mailmap` of the repository makes of them.
const FORMAT: &str = "--format=tformat:%H%x00%an%x00%ae%x00%at%x00%ct%x00%B";
const FIELDS: usize = 6;

/// Who wrote something, as the commit says: nobody has checked it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    /// The name.
    pub name: String,
    /// The mail address.
    pub email: String,
}

/// A commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Commit {
    /// Its id.
    pub id: CommitId,
    /// Who wrote it.
    pub author: Person,
    /// When it was written.
    pub authored: Timestamp,
    /// When it was committed.
    pub committed: Timestamp,
    /// The whole message without trailing white space, cut after 16 KiB.
    pub message: String,
    /// The full names under which it was fetched, such as `refs/heads/main`; empty when it was named by its id.
    pub refs: Vec<String>,
}

impl Commit {
    /// The message's first line.
    pub fn subject(&self) -> &str {
        self.message.lines().next().unwrap_or_default()
    }
}

/// The commits that lead from one to another, newest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommitRange {
    /// As many as were asked for.
    pub commits: Vec<Commit>,
    /// False when there are more, or when the older end is not known any more.
    pub complete: bool,
}

/// The arguments that print at most `count` commits for [`parse`]; the commits follow.
pub(crate) fn log(count: usize) -> Vec<String> {
    ["log", "-z", "--no-show-signature", FORMAT, "--max-count", &count.to_string(), "--end-of-options"]
        .map(str::to_owned)
        .to_vec()
}

/// What `git log` printed with the arguments of [`log`].
pub(crate) fn parse(output: &[u8]) -> Result<Vec<Commit>, Error> {
    let text = String::from_utf8_lossy(output);
    let fields: Vec<&str> = text.trim_end_matches('\0').split('\0').collect();
    if fields == [""] {
        return Ok(Vec::new());
    }
    fields
        .chunks(FIELDS)
        .map(|commit| {
            let field = |index: usize| commit.get(index).copied().unwrap_or_default();
            Ok(Commit {
                id: field(0).parse()?,
                author: Person { name: field(1).to_owned(), email: field(2).to_owned() },
                authored: time(field(3)),
                committed: time(field(4)),
                message: cut(field(5).trim_end()),
                refs: Vec::new(),
            })
        })
        .collect()
}

/// Commits can claim any time; one that no calendar has is the epoch.
fn time(seconds: &str) -> Timestamp {
    seconds.parse().ok().and_then(|s| Timestamp::from_second(s).ok()).unwrap_or(Timestamp::UNIX_EPOCH)
}

fn cut(message: &str) -> String {
    message[..message.floor_char_boundary(MAX_MESSAGE)].to_owned()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn commits_with_odd_contents_are_read() {
        let id = "0123456789abcdef0123456789abcdef01234567";
        let long = "ä".repeat(MAX_MESSAGE);
        let output = format!(
            "{id}\0\0\0-5\099999999999999999\0\0{id}\0Ada\0ada@x\01\02\0subject\n\nbody\n\0{id}\0A\0b\01\02\0{long}\0"
        );
        let commits = parse(output.as_bytes()).unwrap();
        assert_eq!(commits.len(), 3);
        assert_eq!((commits[0].authored.as_second(), commits[0].committed), (-5, Timestamp::UNIX_EPOCH));
        assert_eq!((commits[1].subject(), commits[1].message.as_str()), ("subject", "subject\n\nbody"));
        assert!(commits[2].message.len() <= MAX_MESSAGE);
        assert_eq!(parse(b"").unwrap(), []);
    }
}
