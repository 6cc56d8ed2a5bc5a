//! Where the files are that are rendered: a directory, or a commit of a repository.

use std::path::{Path, PathBuf};

use miette::{IntoDiagnostic, WrapErr, miette};
use seaway_git::RepositoryUrl;
use seaway_render::{Place, RemoteBase};
use seaway_source::{CommitTree, Directory, FileTree, TreePath};

use super::Options;
use super::fetching::Fetching;

pub(super) enum Source {
    Directory {
        tree: Directory,
        /// Where the tree lies on disk.
        root: PathBuf,
        path: TreePath,
        definitions: TreePath,
    },
    Commit {
        tree: CommitTree,
        path: TreePath,
        definitions: TreePath,
    },
}

impl Source {
    /// What is there on disk is meant; otherwise what looks like a repository's URL.
    pub(super) fn find(options: &Options, fetching: &mut Fetching) -> miette::Result<Self> {
        let given = Path::new(&options.source);
        if given.exists() && !is_bare(given) {
            if options.revision.is_some() {
                return Err(miette!(
                    help = "name the repository by its URL: file:///absolute/path",
                    "--revision is for Git repositories: {} is a directory",
                    options.source
                ));
            }
            return Self::on_disk(given, options.path.as_deref());
        }
        let absent = || miette!("{}: no such file or directory, and no URL of a repository", options.source);
        if options.source.starts_with('/') && !given.exists() {
            return Err(absent());
        }
        let bare = given.canonicalize().ok().and_then(|path| path.to_str().map(str::to_owned));
        let argument = bare.unwrap_or_else(|| options.source.clone());
        let (repository, named) = repository(&argument)?.ok_or_else(absent)?;
        let (reference, below) = named.map_or((None, String::new()), |base| (base.reference, base.path));
        let revision = options.revision.clone().or(reference);
        let path = [below.as_str(), options.path.as_deref().unwrap_or_default()].join("/");
        let path = TreePath::new(&path).into_diagnostic().wrap_err("--path")?;
        let tree = fetching.commit(&repository, revision.as_deref())?;
        Ok(Self::Commit { tree, path, definitions: TreePath::root() })
    }

    fn on_disk(given: &Path, below: Option<&str>) -> miette::Result<Self> {
        let unreadable = |path: &Path| format!("{} cannot be read", path.display());
        let mut path = given.canonicalize().into_diagnostic().wrap_err_with(|| unreadable(given))?;
        if let Some(below) = below {
            let inner = path.join(below);
            let inner = inner.canonicalize().into_diagnostic().wrap_err_with(|| unreadable(&inner))?;
            if !inner.starts_with(&path) {
                return Err(miette!("--path {below} leads out of {}", given.display()));
            }
            path = inner;
        }
        // Bases may lie beside the directory: the tree is that of the repository around it, or of the whole disk.
        let around = path.ancestors().find(|folder| folder.join(".git").exists()).map(PathBuf::from);
        let root = around.clone().unwrap_or_else(|| PathBuf::from("/"));
        let tree = Directory::open(&root).into_diagnostic()?;
        let inside = tree.path_of(&path).into_diagnostic()?;
        // Nobody wants the whole disk looked through for definitions.
        let definitions = if around.is_some() { TreePath::root() } else { inside.clone() };
        Ok(Self::Directory { tree, root, path: inside, definitions })
    }

    pub(super) fn tree(&self) -> &dyn FileTree {
        match self {
            Self::Directory { tree, .. } => tree,
            Self::Commit { tree, .. } => tree,
        }
    }

    pub(super) fn path(&self) -> &str {
        match self {
            Self::Directory { path, .. } | Self::Commit { path, .. } => path.as_str(),
        }
    }

    /// Where definitions of custom resources are looked for.
    pub(super) fn definitions(&self) -> &TreePath {
        match self {
            Self::Directory { definitions, .. } | Self::Commit { definitions, .. } => definitions,
        }
    }

    /// A file of the tree as one would name it from here.
    pub(super) fn name(&self, file: &str) -> String {
        let Self::Directory { root, .. } = self else { return file.to_owned() };
        let path = root.join(file);
        if !path.exists() {
            return file.to_owned();
        }
        let here = std::env::current_dir().ok().and_then(|here| here.canonicalize().ok());
        let short = here.and_then(|here| path.strip_prefix(here).ok().map(Path::to_path_buf));
        short.unwrap_or(path).display().to_string()
    }

    /// A message of the renderer, whose files are named from the tree's root. Where that is the root of the disk, they
    /// are named as one would from here.
    pub(super) fn message(&self, message: &str) -> String {
        let Self::Directory { root, path, .. } = self else { return message.to_owned() };
        let Some(top) = path.parts().next().filter(|_| root == Path::new("/")) else {
            return message.to_owned();
        };
        let here = std::env::current_dir().ok().and_then(|here| here.canonicalize().ok());
        from_here(message, top, here.as_deref())
    }

    /// A place, its file named as one would from here.
    pub(super) fn shown(&self, place: &Place) -> String {
        Place { file: self.name(&place.file), ..place.clone() }.to_string()
    }
}

/// A message in which paths below the folder `top` of the disk's root begin with its name: they begin with a slash, or
/// with what is behind the folder `here`.
fn from_here(message: &str, top: &str, here: Option<&Path>) -> String {
    let start = format!("{top}/");
    let here = here.and_then(Path::to_str).map(|here| format!("{}/", here.trim_matches('/')));
    let mut named = String::with_capacity(message.len() + 16);
    let mut rest = message;
    while let Some(at) = rest.find(&start) {
        let (before, path) = rest.split_at(at);
        named += before;
        let begins = named.chars().next_back().is_none_or(|c| c.is_whitespace() || "'\"(".contains(c));
        match here.as_deref().filter(|_| begins).and_then(|here| path.strip_prefix(here)) {
            Some(below) => rest = below,
            None => {
                if begins {
                    named.push('/');
                }
                named += &start;
                rest = &path[start.len()..];
            }
        }
    }
    named + rest
}

/// A repository without a working copy: its folder holds nothing to render.
fn is_bare(folder: &Path) -> bool {
    folder.join("objects").is_dir() && folder.join("HEAD").is_file()
}

/// The repository that an argument names, and what it says besides in kustomize's notation.
fn repository(argument: &str) -> miette::Result<Option<(RepositoryUrl, Option<RemoteBase>)>> {
    let plain = argument.parse::<RepositoryUrl>();
    let path = argument.split_once("://").map_or("", |(_, rest)| rest);
    let more = argument.contains('?') || path.contains("//") || path.contains(".git/");
    if let (Ok(url), false) = (&plain, more) {
        // What git takes. On GitHub a repository's path has two parts: what follows is a directory.
        let on_github = url.host() == "github.com" || url.host() == "www.github.com";
        if !on_github || url.path().matches('/').count() <= 2 {
            return Ok(Some((url.clone(), None)));
        }
    }
    match RemoteBase::parse(argument).into_diagnostic()? {
        Some(base) => Ok(Some((base.repository.parse().into_diagnostic()?, Some(base)))),
        // Something with a scheme was meant as a URL: say what is wrong with it.
        None if argument.contains("://") => plain.map(|url| Some((url, None))).into_diagnostic(),
        None => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn files_of_messages_are_named_from_here() {
        let message =
            "srv/w/k.yaml:1: resources[0]: file 'srv/w/a/b.yaml', not etc/srv/w or /srv/w/x: srv/v/c.yaml";
        let here = Some(Path::new("/srv/w"));
        assert_eq!(
            from_here(message, "srv", here),
            "k.yaml:1: resources[0]: file 'a/b.yaml', not etc/srv/w or /srv/w/x: /srv/v/c.yaml"
        );
        assert_eq!(from_here("srv/w/k.yaml:1: x", "srv", None), "/srv/w/k.yaml:1: x");
    }

    #[test]
    fn repositories_are_named_as_git_and_as_kustomize_name_them() {
        for (argument, repository_url, path, reference) in [
            (
                "https://git.example.com/team/group/shop.git",
                "https://git.example.com/team/group/shop.git",
                "",
                None,
            ),
            ("https://git.example.com/team/group/shop", "https://git.example.com/team/group/shop", "", None),
            ("https://github.com/a/b", "https://github.com/a/b", "", None),
            ("https://github.com/a/b/over/prod", "https://github.com/a/b", "over/prod", None),
            ("https://h/a/b.git//over?ref=v1", "https://h/a/b.git", "over", Some("v1")),
            ("github.com/a/b//over?ref=v1", "https://github.com/a/b", "over", Some("v1")),
            ("git@h:a/b.git", "git@h:a/b.git", "", None),
            ("ssh://git@h/a/b", "ssh://git@h/a/b", "", None),
            ("file:///srv/a.git", "file:///srv/a.git", "", None),
            ("file:///srv/a.git//x", "file:///srv/a.git", "x", None),
        ] {
            let (url, base) = repository(argument).unwrap().unwrap();
            let base = base.map(|base| (base.path, base.reference)).unwrap_or_default();
            assert_eq!(
                (url.to_string().as_str(), base.0.as_str(), base.1.as_deref()),
                (repository_url, path, reference),
                "{argument}"
            );
        }
        assert!(repository("overlays/production").unwrap().is_none());
        assert!(repository("ext::sh -c x").is_err() || repository("ext::sh -c x").unwrap().is_none());
        assert!(repository("--upload-pack=x").unwrap().is_none());
        assert!(repository("ftp://h/a").is_err());
    }
}
