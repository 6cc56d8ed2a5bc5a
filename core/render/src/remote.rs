//! Bases and files that lie elsewhere: which URLs name them, and what has to be fetched.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use seaway_source::{Digest, FileTree, TreePath};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Problem};

/// A kustomization in another repository.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct RemoteBase {
    /// What `git clone` takes.
    pub repository: String,
    /// Branch, tag or commit; `None` is the repository's default branch.
    pub reference: Option<String>,
    /// The directory within the repository, or empty.
    pub path: String,
}

impl RemoteBase {
    /// What a URL names, in any of kustomize's notations: `https://host/org/repo//path?ref=v1`,
    /// `git@host:org/repo.git/path`, `ssh://git@host/org/repo`, `github.com/org/repo/path`, `git::…`,
    /// `file:///repo//path`, Azure's `_git/`. `Ok(None)` when it names nothing remote.
    pub fn parse(url: &str) -> Result<Option<Self>, Error> {
        parse_base(url).map_err(|Problem(problem)| Error::Request(problem))
    }
}

/// Something that has to be fetched before a rendering can go on.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Remote {
    /// A kustomization in another repository.
    Base(RemoteBase),
    /// A single file, by URL.
    File(String),
}

impl fmt::Display for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Base(base) => {
                f.write_str(&base.repository)?;
                if !base.path.is_empty() {
                    write!(f, "//{}", base.path)?;
                }
                match &base.reference {
                    Some(reference) => write!(f, "@{reference}"),
                    None => Ok(()),
                }
            }
            Self::File(url) => f.write_str(url),
        }
    }
}

/// What has been fetched already.
#[derive(Debug, Clone, Default)]
pub struct Remotes {
    repositories: HashMap<(String, Option<String>), Arc<dyn FileTree>>,
    files: HashMap<String, (Digest, Arc<[u8]>)>,
}

impl Remotes {
    /// Add the tree of a repository at a reference; its paths are the repository's.
    pub fn add_repository(
        &mut self,
        repository: impl Into<String>,
        reference: Option<String>,
        tree: Arc<dyn FileTree>,
    ) {
        self.repositories.insert((repository.into(), reference), tree);
    }

    /// Add a file by its URL.
    pub fn add_file(&mut self, url: impl Into<String>, content: impl Into<Arc<[u8]>>) {
        let content = content.into();
        self.files.insert(url.into(), (Digest::of(&content), content));
    }

    pub(crate) fn repository(&self, base: &RemoteBase) -> Option<&Arc<dyn FileTree>> {
        self.repositories.get(&(base.repository.clone(), base.reference.clone()))
    }

    pub(crate) fn file(&self, url: &str) -> Option<&Arc<[u8]>> {
        self.files.get(url).map(|(_, content)| content)
    }

    /// The tree and the path of a file of a remote base, by what it is called in messages.
    pub(crate) fn named(&self, name: &str) -> Option<(&dyn FileTree, TreePath)> {
        self.repositories.iter().find_map(|((repository, _), tree)| {
            let path = name.strip_prefix(repository.as_str())?.strip_prefix("//")?;
            let path = TreePath::new(path).ok()?;
            matches!(tree.find(&path), Ok(Some(_))).then(|| (tree.as_ref(), path))
        })
    }

    /// Lines that tell all of it from any other; `None` when a tree has no identity.
    pub(crate) fn identify(&self, line: &mut dyn FnMut(&str)) -> Option<()> {
        let mut lines = Vec::with_capacity(self.repositories.len() + self.files.len());
        for (name, tree) in &self.repositories {
            lines.push(format!("{name:?} {:?}\n", tree.identity()?));
        }
        lines.extend(self.files.iter().map(|(url, (digest, _))| format!("{url:?} {digest}\n")));
        lines.sort();
        lines.iter().for_each(|text| line(text));
        Some(())
    }
}

/// Whether a path is the URL of a file that is fetched over HTTP.
pub(crate) fn is_http(path: &str) -> bool {
    starts_with(path, "https://") || starts_with(path, "http://")
}

fn starts_with(text: &str, prefix: &str) -> bool {
    text.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
}

/// A URL over HTTP names a file, unless it looks like a repository: kustomize fetches it to find out.
pub(crate) fn names_file(url: &str) -> bool {
    let (address, query) = url.split_once('?').unwrap_or((url, ""));
    let repository = query.split('&').any(|part| part.starts_with("ref=") || part.starts_with("version="))
        || address.contains(".git/")
        || address.ends_with(".git")
        || address.contains("_git/")
        || address.split_once("://").is_some_and(|(_, rest)| rest.contains("//"));
    !repository
        && [".yaml", ".yml", ".json"].iter().any(|ending| address.to_ascii_lowercase().ends_with(ending))
}

/// A path that names a directory in another repository; `Ok(None)` when it names nothing remote.
///
/// All of kustomize's notations: `https://host/org/repo//path?ref=v1`, `git@host:org/repo.git/path`,
/// `ssh://git@host/org/repo`, `github.com/org/repo/path`, `git::…`, `file:///repo//path`, Azure's `_git/`.
pub(crate) fn parse_base(url: &str) -> Result<Option<RemoteBase>, Problem> {
    let (address, query) = url.split_once('?').unwrap_or((url, ""));
    let address = if starts_with(address, "git::") { &address["git::".len()..] } else { address };
    let Some((host, rest)) = split_host(address) else { return Ok(None) };
    // git would take what begins with a dash for an option of its own or of ssh.
    let machine = host.rsplit(['/', '@']).find(|part| !part.is_empty()).unwrap_or_default();
    if machine.starts_with('-') || host.starts_with('-') || rest.starts_with('-') {
        return Err(Problem(format!("{url:?} is not the address of a repository")));
    }
    let reference = ["ref", "version"].iter().find_map(|name| parameter(query, name));
    if reference.as_deref().is_some_and(|reference| reference.starts_with('-')) {
        return Err(Problem(format!("{url:?}: {} is not a reference", reference.unwrap_or_default())));
    }
    let is_file = starts_with(&host, "file://");
    let Some((repository, path)) = split_repository(&rest, is_file) else { return Ok(None) };
    if repository.is_empty() {
        return Err(Problem(format!("{url:?} names a host, but no repository on it")));
    }
    let Ok(path) = TreePath::new(&path) else {
        return Err(Problem(format!("{url:?} leads out of its repository")));
    };
    Ok(Some(RemoteBase {
        repository: format!("{host}{repository}"),
        reference,
        path: path.as_str().to_owned(),
    }))
}

/// The value of a parameter of a URL, decoded; `None` when it is absent, empty or not to be decoded.
fn parameter(query: &str, name: &str) -> Option<String> {
    let parts = query.split('&').map(|part| part.split_once('=').unwrap_or((part, "")));
    let (_, value) = parts.into_iter().find(|(key, _)| *key == name)?;
    let mut bytes = Vec::with_capacity(value.len());
    let mut rest = value.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let mut digit = || char::from(rest.next()?).to_digit(16);
                u8::try_from(digit()? * 16 + digit()?).ok()?
            }
            other => other,
        });
    }
    String::from_utf8(bytes).ok().filter(|value| !value.is_empty())
}

/// The part of an address up to the repository's name on the host.
fn split_host(address: &str) -> Option<(String, String)> {
    const SCHEMES: [&str; 4] = ["ssh://", "https://", "http://", "file://"];
    let scheme = SCHEMES.into_iter().find(|scheme| starts_with(address, scheme)).unwrap_or_default();
    let rest = &address[scheme.len()..];
    if scheme == "file://" {
        return Some((scheme.to_owned(), rest.to_owned()));
    }
    let (user, rest) = match rest.split_once('@').filter(|(user, _)| is_user(user)) {
        Some((user, rest)) => (format!("{user}@"), rest),
        None => (String::new(), rest),
    };
    let is_github = starts_with(rest, "github.com/") || starts_with(rest, "github.com:");
    // user@host:path, as scp has it, needs a user, but for GitHub.
    let is_scp = scheme.is_empty();
    if is_scp && user.is_empty() && !is_github {
        return None;
    }
    let at = rest.find(|c| c == '/' || (is_scp && c == ':'))?;
    let (host, path) = (&rest[..at], rest[at + 1..].to_owned());
    if host.is_empty() {
        return None;
    }
    // GitHub is known by one name: without encryption, with a port or in capitals it is the same.
    let host = match (is_github, user.is_empty() && scheme != "ssh://") {
        (true, true) => "https://github.com/".to_owned(),
        (true, false) => format!("{user}github.com:"),
        (false, _) if is_scp => format!("{user}{host}:"),
        (false, _) => format!("{scheme}{user}{host}/"),
    };
    Some((host, path))
}

/// Whether a text before an `@` is the name of an account: others belong to a path, or hold a password.
fn is_user(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
}

/// A repository's name and the path in it; `None` when it is one word, and nothing says that it is a repository.
fn split_repository(rest: &str, is_file: bool) -> Option<(String, String)> {
    let owned = |(a, b): (&str, &str)| Some((a.to_owned(), b.to_owned()));
    if let Some(at) = rest.find("_git/") {
        let end = rest[at + 5..].find('/').map_or(rest.len(), |slash| at + 5 + slash);
        return owned(rest.split_at(end));
    }
    if let Some(parts) = rest.split_once("//") {
        return owned(parts);
    }
    if let Some(at) = rest.find(".git") {
        let end = at + ".git".len();
        if rest.len() == end || rest[end..].starts_with('/') {
            return owned(rest.split_at(end));
        }
    }
    if is_file {
        return owned((rest, ""));
    }
    let mut slashes = rest.match_indices('/').map(|(at, _)| at);
    slashes.next().filter(|at| at + 1 < rest.len())?;
    match slashes.next() {
        Some(at) => owned(rest.split_at(at)),
        None => owned((rest, "")),
    }
}
