//! Which server is asked, with which token, and what makes that safe.

use std::fmt;
use std::path::PathBuf;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use kube::config::{Cluster, Kubeconfig};
use miette::{IntoDiagnostic, WrapErr, miette};
use secrecy::ExposeSecret as _;

use super::login::{self, Login};
use super::url::Url;

/// Key in a kubeconfig context's `extensions`; its value is `{url: …}`.
const EXTENSION: &str = "seaway.dev/server";

/// Where the server is.
#[derive(clap::Args, Clone, Debug, Default)]
#[command(next_help_heading = "Server")]
pub(crate) struct ServerOptions {
    /// URL of the Seaway server; its token is read from SEAWAY_TOKEN [default: that of $KUBECONFIG's context, of
    /// `seaway login`, or of ~/.kube/config]
    #[arg(long, global = true, env = "SEAWAY_SERVER", value_name = "URL")]
    server: Option<String>,
    /// Kubeconfig that names the server in its context [default: $KUBECONFIG or ~/.kube/config]
    #[arg(long, global = true, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// Context of the kubeconfig [default: the current one]
    #[arg(long, global = true, value_name = "NAME")]
    context: Option<String>,
}

impl ServerOptions {
    fn name_a_kubeconfig(&self) -> bool {
        self.kubeconfig.is_some() || self.context.is_some()
    }
}

/// A token. It cannot be printed.
pub(crate) struct Token(String);

impl Token {
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

/// Who vouches for the server's certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Trust {
    /// The authorities that this machine trusts.
    Machine,
    /// Those of the kubeconfig entry, as PEM.
    Authority(Vec<u8>),
}

/// A server, and the token that may be sent there.
#[derive(Debug)]
pub(crate) struct Target {
    pub(crate) url: Url,
    pub(crate) token: Option<Token>,
    pub(crate) trust: Trust,
    /// The kubeconfig that the token is of.
    pub(crate) kubeconfig: Option<KubeconfigContext>,
}

/// A context of a kubeconfig, as another process finds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct KubeconfigContext {
    /// The file: an absolute path.
    pub(crate) file: PathBuf,
    /// The context's name.
    pub(crate) context: String,
}

/// What a kubeconfig's context says of a Seaway server.
#[derive(Debug)]
struct Entry {
    url: Url,
    token: Option<Token>,
    authority: Option<Vec<u8>>,
}

/// Finds the server: by what is given, in the kubeconfig that `KUBECONFIG` names, by the login that is kept, or in the
/// kubeconfig of the home folder.
pub(crate) fn find(options: &ServerOptions) -> miette::Result<Target> {
    let given = given(options)?;
    let token = std::env::var("SEAWAY_TOKEN").ok().filter(|token| !token.is_empty()).map(Token);
    let exported = exported(given.as_ref());
    let meant = given.as_ref().or(exported.as_ref().map(|entry| &entry.url));
    // Who names a kubeconfig or brings a token means that.
    if token.is_none()
        && !options.name_a_kubeconfig()
        && exported.as_ref().is_none_or(|entry| entry.token.is_none())
        && let Some(login) = login::read()?.filter(|login| is_meant(login, meant))
    {
        return of_login(login);
    }
    let entry = match read(options) {
        Ok(entry) => entry,
        // With a server and a token, the kubeconfig is not needed.
        Err(_) if given.is_some() && options.kubeconfig.is_none() => None,
        Err(error) => return Err(error),
    };
    let is_of_kubeconfig = token.is_none();
    let mut target = choose(given, token, entry)?;
    if is_of_kubeconfig {
        target.kubeconfig = context_of(&target.url, options);
    }
    Ok(target)
}

/// The file and the context that hold the token for a server.
fn context_of(url: &Url, options: &ServerOptions) -> Option<KubeconfigContext> {
    let files = options.kubeconfig.clone().map_or_else(files_of_the_environment, |file| vec![file]);
    let configs: Vec<(PathBuf, Kubeconfig)> = files
        .into_iter()
        .filter_map(|file| Some((file.clone(), Kubeconfig::read_from(file).ok()?)))
        .collect();
    // The first file that names a current context decides.
    let current =
        configs.iter().find_map(|(_, config)| config.current_context.clone().filter(|name| !name.is_empty()));
    let context = options.context.clone().or(current)?;
    let holds_it = |config: &Kubeconfig| {
        let entry = entry(config, Some(&context)).ok().flatten();
        entry.is_some_and(|entry| entry.url == *url && entry.token.is_some())
    };
    let (file, _) = configs.into_iter().find(|(_, config)| holds_it(config))?;
    Some(KubeconfigContext { file: std::path::absolute(file).ok()?, context })
}

/// The server of the kubeconfig in `KUBECONFIG`, when its token is sent whoever has logged in.
pub(crate) fn counts_before_login() -> Option<Url> {
    exported(None).filter(|entry| entry.token.is_some()).map(|entry| entry.url)
}

/// What the kubeconfig in `KUBECONFIG` says of a Seaway server, if it names one, and none else is given. Who has set the
/// variable means it, as with kubectl.
fn exported(given: Option<&Url>) -> Option<Entry> {
    std::env::var_os("KUBECONFIG").filter(|value| !value.is_empty())?;
    // Of one that cannot be read it is not known that it names a server.
    let config = kubeconfig_of_the_environment().ok()??;
    entry(&config, None).ok()?.filter(|entry| given.is_none_or(|given| *given == entry.url))
}

fn given(options: &ServerOptions) -> miette::Result<Option<Url>> {
    options.server.as_deref().filter(|text| !text.is_empty()).map(Url::parse).transpose()
}

/// Whether a login is one at the server that is meant, if one is.
fn is_meant(login: &Login, given: Option<&Url>) -> bool {
    given.is_none_or(|given| *given == login.server)
}

/// The server of a login, with its token, which goes nowhere else.
pub(crate) fn of_login(login: Login) -> miette::Result<Target> {
    safe(Target { url: login.server, token: Some(login.token), trust: Trust::Machine, kubeconfig: None })
}

/// Where somebody wants to log in: at the server that is given, that of the kubeconfig in `KUBECONFIG`, the one of the
/// login before, that of the kubeconfig in the home folder, or the one that `seaway up` starts when nothing else is said.
pub(crate) fn to_log_in(options: &ServerOptions) -> miette::Result<Target> {
    let before = || match options.name_a_kubeconfig() {
        true => None,
        // A login that cannot be read is replaced.
        false => exported(None)
            .map(|entry| entry.url)
            .or_else(|| login::read().ok().flatten().map(|login| login.server)),
    };
    let url = match given(options)?.or_else(before) {
        Some(url) => url,
        None => match read(options)? {
            Some(entry) => entry.url,
            None => Url { tls: false, host: "127.0.0.1".to_owned(), port: seaway_server::DEFAULT_PORT },
        },
    };
    safe(Target { url, token: None, trust: Trust::Machine, kubeconfig: None })
}

fn choose(given: Option<Url>, token: Option<Token>, entry: Option<Entry>) -> miette::Result<Target> {
    let target = match (given, token, entry) {
        (Some(url), token, Some(entry)) if entry.url == url => from_entry(entry, token)?,
        (Some(url), token, _) => Target { url, token, trust: Trust::Machine, kubeconfig: None },
        (None, token, Some(entry)) => from_entry(entry, token)?,
        (None, _, None) => {
            return Err(miette!(
                help = "log in with `seaway login --server URL`; or start one with `seaway up` and set KUBECONFIG to the \
                        kubeconfig that it prints; or give one with --server and SEAWAY_TOKEN",
                "no Seaway server is known: nobody has logged in, and the kubeconfig's context names none"
            ));
        }
    };
    let target = safe(target)?;
    if target.token.is_none() {
        let url = &target.url;
        return Err(miette!(
            help = format!("log in with `seaway login --server {url}`, or set SEAWAY_TOKEN"),
            "there is no token for {url}"
        ));
    }
    Ok(target)
}

/// Refuses to send anything where others could read it.
fn safe(target: Target) -> miette::Result<Target> {
    if !target.url.tls && !target.url.is_loopback() {
        return Err(miette!(
            help = "use https, or a tunnel to a port of this machine",
            "{} is neither on this machine nor https: nothing is sent there",
            target.url
        ));
    }
    Ok(target)
}

/// The token of the entry goes to its URL only when the entry vouches for the server; another token is the person's.
fn from_entry(entry: Entry, given: Option<Token>) -> miette::Result<Target> {
    let Entry { url, token, authority } = entry;
    let trust = match (authority, &given) {
        (Some(pem), _) => Trust::Authority(pem),
        (None, None) if url.tls => {
            return Err(miette!(
                help = "add certificate-authority-data to the cluster of this context, or set SEAWAY_TOKEN",
                "the kubeconfig names no certificate authority for {url}: its token is not sent there"
            ));
        }
        (None, _) => Trust::Machine,
    };
    Ok(Target { url, token: given.or(token), trust, kubeconfig: None })
}

fn read(options: &ServerOptions) -> miette::Result<Option<Entry>> {
    let config = match &options.kubeconfig {
        Some(path) => Kubeconfig::read_from(path)
            .into_diagnostic()
            .wrap_err_with(|| format!("the kubeconfig {} cannot be read", path.display()))?,
        None => match kubeconfig_of_the_environment()? {
            Some(config) => config,
            None => return Ok(None),
        },
    };
    entry(&config, options.context.as_deref())
}

fn files_of_the_environment() -> Vec<PathBuf> {
    match std::env::var_os("KUBECONFIG").filter(|value| !value.is_empty()) {
        Some(list) => std::env::split_paths(&list).filter(|path| !path.as_os_str().is_empty()).collect(),
        None => std::env::home_dir().map(|home| home.join(".kube/config")).into_iter().collect(),
    }
}

/// The files of `KUBECONFIG`, or the one in the home folder; files that are missing count as empty, as with kubectl.
fn kubeconfig_of_the_environment() -> miette::Result<Option<Kubeconfig>> {
    let mut merged: Option<Kubeconfig> = None;
    for path in files_of_the_environment().into_iter().filter(|path| path.exists()) {
        let what = || format!("the kubeconfig {} cannot be read", path.display());
        let next = Kubeconfig::read_from(&path).into_diagnostic().wrap_err_with(what)?;
        merged = Some(match merged {
            Some(first) => first.merge(next).into_diagnostic().wrap_err_with(what)?,
            None => next,
        });
    }
    Ok(merged)
}

fn entry(config: &Kubeconfig, context: Option<&str>) -> miette::Result<Option<Entry>> {
    let Some(name) = context.or(config.current_context.as_deref()).filter(|name| !name.is_empty()) else {
        return Ok(None);
    };
    let found =
        config.contexts.iter().find(|named| named.name == name).and_then(|named| named.context.as_ref());
    let Some(found) = found else {
        return Err(miette!(
            help = "`kubectl config get-contexts` lists them",
            "the kubeconfig has no context {name:?}"
        ));
    };
    let extension = found.extensions.iter().flatten().find(|extension| extension.name == EXTENSION);
    let Some(extension) = extension else { return Ok(None) };
    let url = extension.extension["url"].as_str().ok_or_else(|| {
        miette!("the extension {EXTENSION} of the kubeconfig's context {name:?} holds no url")
    })?;
    let user = config.auth_infos.iter().find(|user| Some(&user.name) == found.user.as_ref());
    let token = user.and_then(|user| user.auth_info.as_ref()?.token.as_ref());
    let cluster = config.clusters.iter().find(|cluster| cluster.name == found.cluster);
    let authority = cluster.and_then(|named| named.cluster.as_ref()).map(authority).transpose()?.flatten();
    let token =
        token.map(|token| Token(token.expose_secret().to_owned())).filter(|token| !token.0.is_empty());
    Ok(Some(Entry { url: Url::parse(url)?, token, authority }))
}

/// The certificate authority of a cluster entry; nothing vouches for one that asks not to be verified.
fn authority(cluster: &Cluster) -> miette::Result<Option<Vec<u8>>> {
    if cluster.insecure_skip_tls_verify == Some(true) {
        return Ok(None);
    }
    match (&cluster.certificate_authority_data, &cluster.certificate_authority) {
        (Some(data), _) => STANDARD
            .decode(data)
            .map(Some)
            .into_diagnostic()
            .wrap_err("certificate-authority-data of the kubeconfig is not base64"),
        (None, Some(path)) => std::fs::read(path)
            .map(Some)
            .into_diagnostic()
            .wrap_err_with(|| format!("the certificate authority {path} cannot be read")),
        (None, None) => Ok(None),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn kubeconfig(url: &str, cluster: Value) -> Kubeconfig {
        serde_json::from_value(json!({
            "current-context": "a",
            "contexts": [
                {"name": "a", "context": {"cluster": "c", "user": "u",
                    "extensions": [{"name": EXTENSION, "extension": {"url": url}}]}},
                {"name": "plain", "context": {"cluster": "c", "user": "u"}},
            ],
            "clusters": [{"name": "c", "cluster": cluster}],
            "users": [{"name": "u", "user": {"token": "of-the-kubeconfig"}}, {"name": "v", "user": {"token": "x"}}],
        }))
        .unwrap()
    }

    fn target(given: Option<&str>, token: Option<&str>, config: &Kubeconfig) -> miette::Result<Target> {
        let given = given.map(|url| Url::parse(url).unwrap());
        choose(given, token.map(|token| Token(token.to_owned())), entry(config, None)?)
    }

    fn sent(target: miette::Result<Target>) -> String {
        match target {
            Ok(target) => format!("{} {}", target.url, target.token.unwrap().expose()),
            Err(error) => format!("{error}"),
        }
    }

    #[test]
    fn the_kubeconfigs_token_goes_to_its_own_url_on_loopback() {
        let config = kubeconfig("http://127.0.0.1:7420", json!({}));
        assert_eq!(sent(target(None, None, &config)), "http://127.0.0.1:7420 of-the-kubeconfig");
        assert_eq!(
            sent(target(Some("http://127.0.0.1:7420/"), None, &config)),
            "http://127.0.0.1:7420 of-the-kubeconfig"
        );
        for other in [
            "http://127.0.0.1:7421",
            "http://localhost:7420",
            "https://127.0.0.1:7420",
            "https://evil.example",
        ] {
            assert!(
                sent(target(Some(other), None, &config)).starts_with("there is no token for "),
                "{other}"
            );
        }
    }

    #[test]
    fn beyond_this_machine_the_entrys_authority_must_vouch() {
        let good = kubeconfig("https://seaway.example.com", json!({"certificate-authority-data": "UEVN"}));
        let target_of = target(None, None, &good).unwrap();
        assert_eq!(target_of.trust, Trust::Authority(b"PEM".to_vec()));
        assert_eq!(sent(Ok(target_of)), "https://seaway.example.com:443 of-the-kubeconfig");
        for cluster in
            [json!({}), json!({"certificate-authority-data": "UEVN", "insecure-skip-tls-verify": true})]
        {
            let config = kubeconfig("https://seaway.example.com", cluster);
            assert!(sent(target(None, None, &config)).contains("is not sent there"));
        }
        let plain = kubeconfig("http://seaway.example.com", json!({"certificate-authority-data": "UEVN"}));
        assert!(sent(target(None, None, &plain)).contains("nothing is sent there"));
        assert!(
            sent(target(Some("http://10.0.0.1:7420"), Some("t"), &plain)).contains("nothing is sent there")
        );
    }

    #[test]
    fn a_login_is_for_its_own_server_on_this_machine_or_over_https() {
        let login = |url: &str| Login {
            server: Url::parse(url).unwrap(),
            user: "ada".into(),
            token: Token::new("of-the-login"),
        };
        let meant = |url: &str| is_meant(&login("http://127.0.0.1:7420"), Some(&Url::parse(url).unwrap()));
        assert!(is_meant(&login("http://127.0.0.1:7420"), None));
        assert!(meant("http://127.0.0.1:7420/"));
        for other in ["http://127.0.0.1:7421", "http://localhost:7420", "https://127.0.0.1:7420"] {
            assert!(!meant(other), "{other}");
        }
        assert_eq!(sent(of_login(login("http://localhost:7420"))), "http://localhost:7420 of-the-login");
        let far = of_login(login("https://seaway.example.com")).unwrap();
        assert_eq!(far.trust, Trust::Machine);
        assert!(sent(of_login(login("http://seaway.example.com"))).contains("nothing is sent there"));
    }

    #[test]
    fn a_password_is_sent_on_this_machine_or_over_https_alone() {
        let asked = |url: &str| {
            let options = ServerOptions { server: Some(url.to_owned()), ..ServerOptions::default() };
            to_log_in(&options).map(|target| (target.url.to_string(), target.token.is_none()))
        };
        assert_eq!(asked("http://127.0.0.1:7420").unwrap(), ("http://127.0.0.1:7420".to_owned(), true));
        assert!(asked("https://seaway.example.com").is_ok());
        assert!(asked("http://seaway.example.com").is_err());
    }

    #[test]
    fn a_token_of_ones_own_goes_where_one_says() {
        let config = kubeconfig("http://127.0.0.1:7420", json!({}));
        let own = target(Some("https://seaway.example.com"), Some("mine"), &config).unwrap();
        assert_eq!(own.trust, Trust::Machine);
        assert_eq!(sent(Ok(own)), "https://seaway.example.com:443 mine");
        assert_eq!(sent(target(None, Some("mine"), &config)), "http://127.0.0.1:7420 mine");
    }

    #[test]
    fn a_context_without_the_extension_names_no_server() {
        let config = kubeconfig("http://127.0.0.1:7420", json!({}));
        assert!(entry(&config, Some("plain")).unwrap().is_none());
        assert!(entry(&config, Some("missing")).is_err());
        assert!(sent(choose(None, None, None)).contains("no Seaway server is known"));
    }

    #[test]
    fn a_token_is_not_printed() {
        assert!(!format!("{:?}", Token("secret".into())).contains("secret"));
    }

    #[test]
    fn another_process_finds_the_context_that_the_token_is_of() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("config");
        let text = serde_json::to_string(&kubeconfig("http://127.0.0.1:7420", json!({}))).unwrap();
        std::fs::write(&file, text).unwrap();
        let options = |context: Option<&str>| ServerOptions {
            kubeconfig: Some(file.clone()),
            context: context.map(str::to_owned),
            ..ServerOptions::default()
        };
        let found = find(&options(None)).unwrap().kubeconfig.unwrap();
        assert!(found.file.is_absolute() && found.file == file);
        let again = find(&options(Some(&found.context))).unwrap();
        assert_eq!(again.token.unwrap().expose(), "of-the-kubeconfig");
        let elsewhere = Url::parse("http://127.0.0.1:1").unwrap();
        assert_eq!(context_of(&elsewhere, &options(None)), None);
    }
}
