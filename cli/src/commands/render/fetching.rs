//! What has to be fetched: repositories through shared mirrors, single files over HTTP.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures::future::try_join_all;
use miette::{IntoDiagnostic, WrapErr, miette};
use seaway_git::{Mirrors, OutgoingPolicy, RepositoryUrl, Revision};
use seaway_render::{Remote, Remotes};
use seaway_source::CommitTree;
use tokio::runtime::Runtime;

use super::credentials::Passwords;
use super::{Options, download, time_limit};

/// What takes longer than this is announced.
const QUIET: Duration = Duration::from_secs(1);

/// Where remote bases may lie besides public and private hosts over https and ssh.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Allowed {
    /// This machine itself
    Loopback,
    /// Plain http, which checks nobody
    Http,
    /// Repositories on this machine's disk
    File,
}

/// Fetches. Nothing is started and nothing is made on disk before something is needed.
pub(super) struct Fetching {
    cache_dir: Option<PathBuf>,
    /// For what files name. What a person names himself may lie anywhere.
    policy: OutgoingPolicy,
    time_limit: Duration,
    max_size: u64,
    runtime: Option<Arc<Runtime>>,
    passwords: Option<Arc<Passwords>>,
}

impl Fetching {
    pub(super) fn new(options: &Options) -> Self {
        let allowed = |what| options.allow.contains(&what);
        Self {
            cache_dir: options.cache_dir.clone().or_else(default_cache_dir),
            policy: OutgoingPolicy {
                private: true,
                loopback: allowed(Allowed::Loopback),
                plain_http: allowed(Allowed::Http),
                files: allowed(Allowed::File),
            },
            time_limit: time_limit(options),
            max_size: options.max_size.saturating_mul(1 << 20),
            runtime: None,
            passwords: None,
        }
    }

    fn passwords(&mut self) -> miette::Result<Arc<Passwords>> {
        match &self.passwords {
            Some(known) => Ok(Arc::clone(known)),
            None => Ok(Arc::clone(self.passwords.insert(Arc::new(Passwords::of_environment()?)))),
        }
    }

    /// Where mirrors and results are kept.
    pub(super) fn folder(&self) -> miette::Result<PathBuf> {
        self.cache_dir.clone().ok_or_else(|| {
            miette!(
                help = "give one with --cache-dir",
                "no folder for mirrors: neither XDG_CACHE_HOME nor HOME is set"
            )
        })
    }

    fn mirrors(&self, policy: OutgoingPolicy) -> miette::Result<Mirrors> {
        let options = seaway_git::Options {
            policy,
            time_limit: self.time_limit,
            max_size: self.max_size,
            own_ssh: true,
            ..seaway_git::Options::default()
        };
        Mirrors::open(&self.folder()?.join("git"), options).into_diagnostic()
    }

    fn runtime(&mut self) -> miette::Result<Arc<Runtime>> {
        if self.runtime.is_none() {
            self.runtime = Some(Arc::new(crate::runtime()?));
        }
        self.runtime.clone().ok_or_else(|| miette!("the asynchronous runtime is gone"))
    }

    /// The files of a repository that a person names.
    pub(super) fn commit(
        &mut self,
        url: &RepositoryUrl,
        revision: Option<&str>,
    ) -> miette::Result<CommitTree> {
        let everything = OutgoingPolicy { private: true, loopback: true, plain_http: true, files: true };
        let mirrors = self.mirrors(everything)?;
        let revision: Revision = revision.unwrap_or_default().parse().into_diagnostic()?;
        let what = format!("{url} at {revision}");
        let passwords = self.passwords()?;
        self.runtime()?.block_on(async { announced(&what, tree(url, &revision, &mirrors, &passwords)).await })
    }

    /// Everything that a rendering needs, side by side.
    pub(super) fn fetch(&mut self, needs: Vec<Remote>, remotes: &mut Remotes) -> miette::Result<()> {
        let mirrors = self.mirrors(self.policy)?;
        let passwords = self.passwords()?;
        let (policy, limit) = (self.policy, self.time_limit);
        let fetched = self.runtime()?.block_on(try_join_all(needs.into_iter().map(|need| {
            let (mirrors, passwords) = (mirrors.clone(), Arc::clone(&passwords));
            async move {
                let what = need.to_string();
                let got = announced(&what, one(&need, &mirrors, &passwords, policy, limit)).await;
                got.map(|got| (need, got)).wrap_err_with(|| format!("{what} is needed and cannot be had"))
            }
        })))?;
        for (need, got) in fetched {
            match (need, got) {
                (Remote::Base(base), Got::Tree(tree)) => {
                    remotes.add_repository(base.repository, base.reference, Arc::new(*tree));
                }
                (Remote::File(url), Got::Content(content)) => remotes.add_file(url, content),
                (Remote::Base(_), Got::Content(_)) | (Remote::File(_), Got::Tree(_)) => {}
            }
        }
        Ok(())
    }
}

enum Got {
    Tree(Box<CommitTree>),
    Content(Vec<u8>),
}

/// Fetches a revision, with a password when it is not given without.
async fn tree(
    url: &RepositoryUrl,
    revision: &Revision,
    mirrors: &Mirrors,
    passwords: &Passwords,
) -> miette::Result<CommitTree> {
    let tried = passwords.give(url, mirrors).await;
    let mut commit = mirrors.fetch(url, revision).await;
    if matches!(commit, Err(seaway_git::Error::Unauthorized { .. }))
        && passwords.ask_helpers(url, tried, mirrors).await?
    {
        commit = mirrors.fetch(url, revision).await;
    }
    let commit = match commit {
        Ok(commit) => commit,
        // Its advice is for the server, whose credentials are Secrets.
        Err(seaway_git::Error::Unauthorized { url, reason }) => {
            return Err(miette!(
                help = "check the URL; a token goes into SEAWAY_GIT_CREDENTIALS (https://USER:TOKEN@HOST) or into a \
                        credential helper of git",
                "{url} refuses access ({reason})"
            ));
        }
        Err(error) => return Err(error).into_diagnostic(),
    };
    mirrors.tree(url, &commit.id).into_diagnostic()
}

async fn one(
    need: &Remote,
    mirrors: &Mirrors,
    passwords: &Passwords,
    policy: OutgoingPolicy,
    limit: Duration,
) -> miette::Result<Got> {
    match need {
        Remote::Base(base) => {
            let url: RepositoryUrl = base.repository.parse().into_diagnostic()?;
            let revision: Revision =
                base.reference.as_deref().unwrap_or_default().parse().into_diagnostic()?;
            Ok(Got::Tree(Box::new(tree(&url, &revision, mirrors, passwords).await?)))
        }
        Remote::File(url) => download::get(url, policy, limit).await.map(Got::Content),
    }
}

/// Says on standard error what is waited for when it takes a while.
async fn announced<T>(what: &str, work: impl Future<Output = T>) -> T {
    let mut work = std::pin::pin!(work);
    let began = std::time::Instant::now();
    tokio::select! {
        result = &mut work => return result,
        () = tokio::time::sleep(QUIET) => eprintln!("Fetching {what} …"),
    }
    let result = work.await;
    eprintln!("Fetching {what} took {:.1} s", began.elapsed().as_secs_f64());
    result
}

/// XDG base directory specification.
fn default_cache_dir() -> Option<PathBuf> {
    let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|p| p.is_absolute());
    absolute("XDG_CACHE_HOME")
        .or_else(|| Some(absolute("HOME")?.join(".cache")))
        .map(|base| base.join("seaway"))
}
