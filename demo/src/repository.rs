//! The deployment repository: a bare one that Seaway follows, and a clone to work in.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::error::{Error, Result};
use crate::git::{Author, commit, git, knows_its_user};

/// Unreserved characters (RFC 3986, section 2.3) and the separator stay as they are.
const RESERVED: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'/');
/// Stands for the repository's URL in the content.
const URL: &str = "REPOSITORY_URL";
const HOUR: u64 = 3600;

/// A file of the repository: its path, and its text.
type File = (&'static str, &'static str);

macro_rules! content {
    ($($path:literal),* $(,)?) => { &[$(($path, include_str!(concat!("../content/", $path)))),*] };
}

const MANIFESTS: &[File] = content![
    "README.md",
    "base/catalog/deployment.yaml",
    "base/catalog/kustomization.yaml",
    "base/catalog/service.yaml",
    "base/checkout/claim.yaml",
    "base/checkout/deployment.yaml",
    "base/checkout/kustomization.yaml",
    "base/checkout/service.yaml",
    "base/web/deployment.yaml",
    "base/web/kustomization.yaml",
    "base/web/route.yaml",
    "base/web/service.yaml",
];
const OVERLAYS: &[File] = content![
    "overlays/production/catalog/kustomization.yaml",
    "overlays/production/checkout/kustomization.yaml",
    "overlays/production/web/kustomization.yaml",
    "overlays/staging/catalog/kustomization.yaml",
    "overlays/staging/checkout/kustomization.yaml",
    "overlays/staging/web/kustomization.yaml",
];
const SEAWAY: &[File] = content!["seaway/environments.yaml", "seaway/stack.yaml"];
/// Where staging says which page it runs.
const STAGING_WEB: &str = "overlays/staging/web/kustomization.yaml";

/// The demo's repository in a folder.
#[derive(Clone, Debug)]
pub struct Repository {
    /// What Seaway follows.
    pub bare: PathBuf,
    /// The person's clone.
    pub clone: PathBuf,
    /// Whether it was made just now.
    pub made: bool,
}

impl Repository {
    /// The repository and its clone below `folder`; each is made when it is not there, and never changed later.
    /// `now` is the time from which the history's dates are counted back.
    ///
    /// Both are made under another name and renamed, so that a kill leaves nothing half made.
    pub fn open(folder: &Path, now: SystemTime) -> Result<Self> {
        std::fs::create_dir_all(folder).map_err(Error::io("make", folder))?;
        let (bare, clone) = (folder.join("shop.git"), folder.join("shop"));
        let made = !bare.exists();
        if made {
            let work = Scratch::new(folder.join("repository.new"))?;
            git(&work.0, &["init", "--quiet", "--bare", "--template=", "--initial-branch=main", "shop.git"])?;
            write_history(&work.0.join("work"), &url(&bare)?, now)?;
            let all = ["push", "--quiet", "../shop.git", "--all"];
            git(&work.0.join("work"), &all)?;
            std::fs::rename(work.0.join("shop.git"), &bare).map_err(Error::io("make", &bare))?;
        }
        if !clone.exists() {
            let work = Scratch::new(folder.join("clone.new"))?;
            let source = bare.to_str().ok_or_else(|| Error::Path { path: bare.clone() })?;
            git(&work.0, &["clone", "--quiet", "--template=", "--", source, "shop"])?;
            let new = work.0.join("shop");
            if !knows_its_user(&new) {
                git(&new, &["config", "user.name", "You"])?;
                git(&new, &["config", "user.email", "you@example.com"])?;
            }
            // A key is asked for by a prompt that nobody expects here.
            git(&new, &["config", "commit.gpgSign", "false"])?;
            std::fs::rename(&new, &clone).map_err(Error::io("make", &clone))?;
        }
        Ok(Self { bare, clone, made })
    }

    /// The Stack and the Environments as they are committed, as YAML documents by path.
    pub fn definitions(&self) -> Result<Vec<(String, String)>> {
        let paths = git(&self.bare, &["ls-tree", "--name-only", "main", "seaway/"])?;
        let yaml = paths.lines().filter(|path| path.ends_with(".yaml"));
        yaml.map(|path| Ok((path.to_owned(), git(&self.bare, &["show", &format!("main:{path}")])?))).collect()
    }
}

/// The URL by which a repository on this machine is fetched.
fn url(path: &Path) -> Result<String> {
    let text = path.to_str().ok_or_else(|| Error::Path { path: path.to_owned() })?;
    Ok(format!("file://{}", utf8_percent_encode(text, RESERVED)))
}

/// A folder that goes when this does, and whose remains of an earlier run are removed.
struct Scratch(PathBuf);

impl Scratch {
    fn new(path: PathBuf) -> Result<Self> {
        match std::fs::remove_dir_all(&path) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(Error::io("remove", &path)(e)),
            _ => {}
        }
        std::fs::create_dir(&path).map_err(Error::io("make", &path))?;
        Ok(Self(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A week of a small team's work: the shop, two environments, and two branches that wait to be tried.
fn write_history(work: &Path, url: &str, now: SystemTime) -> Result<()> {
    let ago = |hours: u64| now.checked_sub(Duration::from_secs(hours * HOUR)).unwrap_or(now);
    let mira = |at| Author { name: "Mira Okafor", email: "mira@shop.example", at };
    let jonas = |at| Author { name: "Jonas Weber", email: "jonas@shop.example", at };
    let ada = |at| Author { name: "Ada Lindqvist", email: "ada@shop.example", at };
    std::fs::create_dir(work).map_err(Error::io("make", work))?;
    git(work, &["init", "--quiet", "--template=", "--initial-branch=main", "."])?;

    write(work, MANIFESTS, url)?;
    commit(
        work,
        &mira(ago(150)),
        "Describe the shop\n\nA page, a catalog, and a checkout that keeps its orders.",
    )?;
    write(work, OVERLAYS, url)?;
    commit(work, &jonas(ago(126)), "Run the shop in staging and in production")?;
    write(work, SEAWAY, url)?;
    commit(work, &mira(ago(101)), "Let Seaway follow this repository")?;
    edit(work, STAGING_WEB, "newTag: \"1.0\"", "newTag: \"1.1\"")?;
    commit(work, &jonas(ago(52)), "Try 1.1 in staging\n\nA calmer colour, and nothing else.")?;

    git(work, &["checkout", "--quiet", "-b", "redesign"])?;
    edit(work, STAGING_WEB, "newTag: \"1.1\"", "newTag: \"2.0\"")?;
    edit(work, STAGING_WEB, "replicas: [{name: web, count: 1}]", "replicas: [{name: web, count: 2}]")?;
    commit(
        work,
        &ada(ago(27)),
        "Try the redesign in staging\n\nVersion 2.0 shows the items side by side. Two pods, as in production.",
    )?;
    git(work, &["checkout", "--quiet", "-b", "faster"])?;
    edit(work, STAGING_WEB, "newTag: \"2.0\"", "newTag: \"2.1\"")?;
    commit(work, &ada(ago(3)), "Try 2.1 in staging\n\nIt should be faster. The tests were green.")?;
    git(work, &["checkout", "--quiet", "main"])?;
    Ok(())
}

fn write(work: &Path, files: &[File], url: &str) -> Result<()> {
    for (path, text) in files {
        let path = work.join(path);
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(Error::io("make", folder))?;
        }
        std::fs::write(&path, text.replace(URL, url)).map_err(Error::io("write", &path))?;
    }
    Ok(())
}

fn edit(work: &Path, path: &str, from: &str, to: &str) -> Result<()> {
    let path = work.join(path);
    let text = std::fs::read_to_string(&path).map_err(Error::io("read", &path))?;
    std::fs::write(&path, text.replace(from, to)).map_err(Error::io("write", &path))
}
