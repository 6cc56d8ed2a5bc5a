//! What is on the other side: how to reach it, what it has, and what its complaints mean.

use std::ffi::OsString;
use std::path::Path;

use crate::files::Files;
use crate::program::{Ended, Failure};
use crate::proxy::Proxy;
use crate::slots::{Answer, Host};
use crate::{
    Authentication, CommitId, Credentials, DialError, Dialer, Error, Options, RepositoryUrl, Revision,
    Transport,
};

/// The variable that holds the password of a connection.
const PASSWORD: &str = "SEAWAY_GIT_PASSWORD";

/// A revision as the remote repository has it now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoteRef {
    /// The commit; of an annotated tag the commit it names.
    pub id: CommitId,
    /// The full name, such as `refs/heads/main` or `HEAD`; the id itself when that was asked for.
    pub name: String,
}

/// How `git` reaches one repository, with all that it must not have on its command line. What lies on disk for it
/// goes away with this.
pub(crate) struct Connection {
    environment: Vec<(&'static str, OsString)>,
    configuration: Vec<(String, String)>,
    proxy: Option<Proxy>,
    host: Option<Host>,
    _files: Option<Files>,
}

impl Connection {
    pub(crate) async fn prepare(
        url: &RepositoryUrl,
        options: &Options,
        credentials: Option<&Credentials>,
        root: &Path,
    ) -> Result<Self, Error> {
        let policy = options.policy;
        policy
            .check_transport(url.transport())
            .map_err(|refusal| Error::Refused { url: url.clone(), refusal: refusal.to_string() })?;
        let dialer = Dialer::new(policy);
        let mut connection = Self {
            environment: Vec::new(),
            configuration: Vec::new(),
            proxy: None,
            host: host(url),
            _files: None,
        };
        let protocols = match url.transport() {
            // A redirect may leave http for https, never the other way.
            Transport::Http => "http:https",
            Transport::Https => "https",
            Transport::Ssh => "ssh",
            Transport::File => "file",
        };
        connection.environment.push(("GIT_ALLOW_PROTOCOL", protocols.into()));
        match url.transport() {
            Transport::Http | Transport::Https => {
                connection.over_http(url, dialer, credentials, root).await?;
            }
            Transport::Ssh => connection.over_ssh(url, dialer, options, credentials, root).await?,
            Transport::File => {}
        }
        Ok(connection)
    }

    /// To another mirror of ours, whatever the policy says of other files.
    pub(crate) fn to_mirror() -> Self {
        Self {
            environment: vec![("GIT_ALLOW_PROTOCOL", "file".into())],
            configuration: Vec::new(),
            proxy: None,
            host: None,
            _files: None,
        }
    }

    /// The server on the other side; `None` on this machine's disk.
    pub(crate) fn host(&self) -> Option<&Host> {
        self.host.as_ref()
    }

    /// Whether it is known that nothing has come from the other side.
    pub(crate) fn hears_nothing(&self) -> bool {
        self.proxy.as_ref().is_some_and(|proxy| !proxy.has_heard())
    }

    /// What a run says of the host; one that only `asks` has its answer at its end.
    pub(crate) fn answer(&self, result: &Result<Ended, Failure>, asks: bool) -> Answer {
        let heard = self.proxy.as_ref().map(Proxy::has_heard);
        match (result, heard) {
            (Err(Failure::Start(_) | Failure::Silent), _) => Answer::Unknown,
            // What takes too long may be large.
            (Err(Failure::TimedOut(_)), Some(true)) if !asks => Answer::Unknown,
            (Err(Failure::TimedOut(_)), _) => Answer::Missing,
            (_, Some(true)) | (Err(_), _) => Answer::Came,
            (Ok(ended), _) if ended.status.success() => Answer::Came,
            (Ok(_), Some(false)) => match self.proxy.as_ref().and_then(Proxy::trouble) {
                Some(DialError::Unresolved { .. } | DialError::Unreachable { .. }) => Answer::Missing,
                // It was not asked.
                Some(DialError::Refused { .. }) | None => Answer::Unknown,
            },
            (Ok(ended), None) if is_silence(&ended.errors().to_lowercase()) => Answer::Missing,
            (Ok(_), None) => Answer::Came,
        }
    }

    /// What a server says, without the password that it was given.
    pub(crate) fn redact(&self, text: &str) -> String {
        let password = self.environment.iter().find(|(name, _)| *name == PASSWORD);
        match password.and_then(|(_, password)| password.to_str()) {
            Some(password) if !password.is_empty() => text.replace(password, "…"),
            _ => text.to_owned(),
        }
    }

    pub(crate) fn environment(&self) -> impl Iterator<Item = (&'static str, OsString)> {
        self.environment.iter().cloned()
    }

    pub(crate) fn configuration(&self) -> impl Iterator<Item = (String, String)> {
        self.configuration.iter().cloned()
    }

    async fn over_http(
        &mut self,
        url: &RepositoryUrl,
        dialer: Dialer,
        credentials: Option<&Credentials>,
        root: &Path,
    ) -> Result<(), Error> {
        let proxy = Proxy::start(dialer).await.map_err(|error| Error::io(root, error))?;
        self.configuration.push(("http.proxy".to_owned(), proxy.url()));
        self.proxy = Some(proxy);
        let Some(credentials) = credentials else { return Ok(()) };
        if let Some(Authentication::Password { user, password }) = &credentials.authentication {
            // Bound to the origin by Git itself, so that a redirect to another host does not get it.
            let helper = r#"!f() { test "$1" != get || printf 'username=%s\npassword=%s\n' "$SEAWAY_GIT_USER" "$SEAWAY_GIT_PASSWORD"; }; f"#;
            self.configuration.push((format!("credential.{}.helper", url.origin()), helper.to_owned()));
            self.environment.push(("SEAWAY_GIT_USER", user.into()));
            self.environment.push((PASSWORD, password.expose().into()));
        }
        if let Some(ca) = &credentials.ca {
            let files = Files::new(root)?;
            let path = files.write("ca.pem", ca.as_bytes())?;
            self._files = Some(files);
            self.configuration.push((format!("http.{}.sslCAInfo", url.origin()), path.display().to_string()));
        }
        Ok(())
    }

    async fn over_ssh(
        &mut self,
        url: &RepositoryUrl,
        dialer: Dialer,
        options: &Options,
        credentials: Option<&Credentials>,
        root: &Path,
    ) -> Result<(), Error> {
        let mut command = vec![quoted(&options.ssh.display().to_string())];
        let mut option = |text: String| command.extend(["-o".to_owned(), quoted(&text)]);
        for setting in [
            "BatchMode=yes",
            "ConnectTimeout=10",
            "ServerAliveInterval=15",
            "ServerAliveCountMax=2",
            "ClearAllForwardings=yes",
            "ForwardAgent=no",
            "PermitLocalCommand=no",
        ] {
            option(setting.to_owned());
        }
        let resolved = dialer.resolve(url.host(), url.port()).await;
        match credentials.and_then(|credentials| credentials.authentication.as_ref()) {
            Some(Authentication::SshKey { private_key, known_hosts }) => {
                let files = Files::new(root)?;
                let key = files.write("key", format!("{}\n", private_key.expose().trim_end()).as_bytes())?;
                let hosts = files.write("known_hosts", known_hosts.as_bytes())?;
                self._files = Some(files);
                let address = match resolved.map_err(|error| dialed(url, &error))?.as_slice() {
                    [only] => *only,
                    // ssh would try them in turn; it is given one, so find one that answers.
                    _ => dialer
                        .connect(url.host(), url.port())
                        .await
                        .map_err(|error| dialed(url, &error))?
                        .peer_addr()
                        .map_err(|error| Error::io(root, error))?,
                };
                option(format!("IdentityFile={}", ssh_path(&key)));
                option(format!("UserKnownHostsFile={}", ssh_path(&hosts)));
                for setting in [
                    "IdentitiesOnly=yes",
                    "IdentityAgent=none",
                    "GlobalKnownHostsFile=/dev/null",
                    "StrictHostKeyChecking=yes",
                    "UpdateHostKeys=no",
                    "PasswordAuthentication=no",
                    "KbdInteractiveAuthentication=no",
                    "ProxyCommand=none",
                ] {
                    option(setting.to_owned());
                }
                // Connect to the checked address; look the key up under the name.
                option(format!("HostName={}", address.ip()));
                let alias = match url.port() {
                    22 => url.host().to_owned(),
                    port => format!("[{}]:{port}", url.host()),
                };
                option(format!("HostKeyAlias={alias}"));
                command.extend(["-F".to_owned(), "none".to_owned()]);
            }
            _ if options.own_ssh => {
                // The host may be an alias of the person's own configuration, which no resolver knows.
                if let Err(error @ DialError::Refused { .. }) = resolved {
                    return Err(dialed(url, &error));
                }
                for name in ["HOME", "USER", "SSH_AUTH_SOCK"] {
                    if let Some(value) = std::env::var_os(name) {
                        self.environment.push((name, value));
                    }
                }
            }
            _ => {
                return Err(Error::Unauthorized {
                    url: url.clone(),
                    reason: "there is no ssh key for it".to_owned(),
                });
            }
        }
        self.environment.push(("GIT_SSH_COMMAND", command.join(" ").into()));
        self.environment.push(("GIT_SSH_VARIANT", "ssh".into()));
        Ok(())
    }
}

/// The server of a repository; `None` on this machine's disk.
pub(crate) fn host(url: &RepositoryUrl) -> Option<Host> {
    (url.transport() != Transport::File).then(|| url.origin().into())
}

/// The messages of ssh(1) when nobody answers.
fn is_silence(message: &str) -> bool {
    ["could not resolve", "timed out", "connection refused", "no route to host", "network is unreachable"]
        .iter()
        .any(|m| message.contains(m))
}

fn dialed(url: &RepositoryUrl, error: &DialError) -> Error {
    match error {
        DialError::Refused { .. } => Error::Refused { url: url.clone(), refusal: error.to_string() },
        DialError::Unresolved { .. } | DialError::Unreachable { .. } => {
            Error::Unreachable { url: url.clone(), reason: error.to_string() }
        }
    }
}

/// For a POSIX shell.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// For ssh_config(5): spaces need quotes, and a percent sign begins a token.
fn ssh_path(path: &Path) -> String {
    format!("\"{}\"", path.display().to_string().replace('%', "%%"))
}

/// The lines of `git ls-remote`: names with the ids that they stand for, tags already followed to what they name.
pub(crate) fn parse_refs(output: &[u8]) -> Vec<(String, String)> {
    let text = String::from_utf8_lossy(output);
    let mut refs: Vec<(String, String)> = Vec::new();
    for (id, name) in text.lines().filter_map(|line| line.split_once('\t')) {
        match name.strip_suffix("^{}") {
            // Follows the line of the tag itself.
            Some(tag) => {
                if let Some((_, tag_id)) = refs.iter_mut().rfind(|(name, _)| name == tag) {
                    id.clone_into(tag_id);
                }
            }
            None => refs.push((name.to_owned(), id.to_owned())),
        }
    }
    refs
}

/// The full names that a revision may have on the other side, the best one first.
pub(crate) fn candidates(revision: &Revision) -> Vec<String> {
    match revision {
        Revision::Head => vec!["HEAD".to_owned()],
        Revision::Commit(_) => Vec::new(),
        Revision::Ref(name) => vec![name.clone()],
        Revision::Name(name) => vec![format!("refs/heads/{name}"), format!("refs/tags/{name}")],
    }
}

/// What a failed run means.
pub(crate) fn explain(
    url: &RepositoryUrl,
    failure: Failure,
    connection: Option<&Connection>,
    git: &Path,
    max_size: u64,
) -> Error {
    let url = url.clone();
    let message = match failure {
        Failure::Start(error) => {
            return Error::NoProgram { program: git.to_owned(), reason: error.to_string() };
        }
        Failure::TimedOut(limit) => return Error::TimedOut { url, limit },
        Failure::Silent => return Error::silent(&url),
        Failure::TooLarge => return Error::TooLarge { url, limit: max_size },
        Failure::TooMuchOutput => {
            return Error::Failed { url, reason: "git printed more than anybody reads".to_owned() };
        }
        Failure::Exit(message) => connection.map_or(message.clone(), |c| c.redact(&message)),
    };
    if let Some(trouble) = connection.and_then(|c| c.proxy.as_ref()).and_then(Proxy::trouble) {
        return dialed(&url, &trouble);
    }
    let reason = summary(&message);
    let lower = message.to_lowercase();
    let says = |any: &[&str]| any.iter().any(|text| lower.contains(text));
    if says(&["host key verification failed"]) {
        Error::UnknownHostKey { url }
    } else if says(&["certificate"]) {
        Error::Certificate { url, reason }
    } else if says(&["mismatched algorithms", "object format"]) {
        Error::ObjectFormat { url }
    } else if says(&["returned error: 5", "returned error: 429"]) {
        Error::Unreachable { url, reason }
    } else if says(&[
        "could not read username",
        "could not read password",
        "authentication failed",
        "returned error: 401",
        "returned error: 403",
        "permission denied",
        "access denied",
    ]) {
        Error::Unauthorized { url, reason }
    } else if says(&["does not appear to be a git repository", "repository not found", "returned error: 404"])
        || (lower.contains("repository '")
            && (lower.contains("' not found") || lower.contains("' does not exist")))
    {
        Error::RepositoryNotFound { url }
    } else if says(&["protocol \"", "transport '", "is not allowed"]) {
        Error::Refused { url, refusal: reason }
    } else if says(&[
        "could not resolve",
        "couldn't connect",
        "failed to connect",
        "connection refused",
        "connection reset",
        "connection closed",
        "timed out",
        "early eof",
        "hung up",
        "unexpected disconnect",
        "empty reply",
        "rpc failed",
        "network is unreachable",
        "no route to host",
    ]) {
        Error::Unreachable { url, reason }
    } else {
        Error::Failed { url, reason }
    }
}

/// The last lines, without hints and control characters: a server chooses some of them.
fn summary(message: &str) -> String {
    let lines: Vec<&str> = message
        .split(['\n', '\r'])
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with("hint:"))
        .collect();
    let last = &lines[lines.len().saturating_sub(3)..];
    let text: String = last.join("; ").chars().filter(|c| !c.is_control()).take(500).collect();
    if text.is_empty() { "git failed without a message".to_owned() } else { text }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_stands_for_the_commit_it_names() {
        let refs = parse_refs(b"1\trefs/heads/a\n2\trefs/tags/v1\n3\trefs/tags/v1^{}\n4\trefs/tags/v2\n");
        let refs: Vec<_> = refs.iter().map(|(name, id)| (name.as_str(), id.as_str())).collect();
        assert_eq!(refs, [("refs/heads/a", "1"), ("refs/tags/v1", "3"), ("refs/tags/v2", "4")]);
    }

    #[test]
    fn complaints_of_git_and_ssh_get_a_name() {
        let url: RepositoryUrl = "https://h/a".parse().unwrap();
        let explained = |message: &str| {
            let failure = Failure::Exit(message.to_owned());
            format!("{:?}", explain(&url, failure, None, Path::new("git"), 0))
                .split(' ')
                .next()
                .unwrap()
                .to_owned()
        };
        for (message, name) in [
            ("fatal: could not read Username for 'https://h': terminal prompts disabled", "Unauthorized"),
            (
                "remote: Invalid username or token.\nfatal: Authentication failed for 'https://h/a/'",
                "Unauthorized",
            ),
            (
                "git@h: Permission denied (publickey).\nfatal: Could not read from remote repository.\n\nPlease make \
              sure you have the correct access rights\nand the repository exists.",
                "Unauthorized",
            ),
            ("fatal: unable to access 'https://h/a/': The requested URL returned error: 403", "Unauthorized"),
            ("fatal: unable to access 'https://h/a/': The requested URL returned error: 503", "Unreachable"),
            ("fatal: repository 'https://h/a/' not found", "RepositoryNotFound"),
            (
                "ERROR: Repository not found.\nfatal: Could not read from remote repository.",
                "RepositoryNotFound",
            ),
            ("fatal: '/srv/a' does not appear to be a git repository", "RepositoryNotFound"),
            (
                "Host key verification failed.\nfatal: Could not read from remote repository.",
                "UnknownHostKey",
            ),
            (
                "fatal: unable to access 'https://h/a/': SSL certificate problem: unable to get local issuer \
              certificate",
                "Certificate",
            ),
            ("fatal: mismatched algorithms: client sha1; server sha256", "ObjectFormat"),
            (
                "error: RPC failed; curl 56 Recv failure: Connection reset by peer\nfatal: early EOF",
                "Unreachable",
            ),
            ("fatal: something new", "Failed"),
        ] {
            assert_eq!(explained(message), name, "{message}");
        }
    }

    #[test]
    fn a_servers_words_cannot_control_a_terminal() {
        assert_eq!(summary("remote: \x1b[2Jhello\rworld\nhint: x\n"), "remote: [2Jhello; world");
    }

    #[test]
    fn nothing_in_a_path_ends_a_quotation() {
        assert_eq!(quoted("a'b c"), r"'a'\''b c'");
        assert_eq!(ssh_path(Path::new("/a b/%h")), "\"/a b/%%h\"");
    }
}
