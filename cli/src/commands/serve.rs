//! `seaway serve`: Seaway proper against any Kubernetes.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use kube::{Client, Config};
use miette::{IntoDiagnostic, WrapErr, miette};
use seaway_api::{Environment, SHARED_NAMESPACE};
use seaway_git::OutgoingPolicy;
use seaway_server::{Identity, Kubernetes};
use tokio::signal::unix::{SignalKind, signal};

use super::up;
use crate::arguments;
use crate::cluster::{self, ClusterOptions, refusal};
use crate::delivery::{Database, Delivery, External, Settings};
use crate::lease::{self, Election};
use crate::oidc::OidcOptions;

/// Where `seaway install` puts it.
pub(crate) const NAMESPACE: &str = "seaway-system";
/// The account, beside its own, that prepares copies.
pub(crate) const COPIER: &str = "seaway-copier";
/// Waiting for the active replica is told this often.
const REMIND: Duration = Duration::from_secs(60);

/// Options of `seaway serve`.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  seaway install | kubectl apply -f -        # what it needs in the cluster, and itself
  seaway serve --kubeconfig ~/.kube/config
  seaway serve --in-cluster --data-dir /data --external-url https://seaway.example.com

It follows Git for the Stacks and Environments of the cluster, and serves the API and the page. People
log in with accounts of Seaway and act in the cluster under their own names (impersonation). Of several
replicas one is active, by the Lease seaway; the next one goes on when it ends.")]
pub(crate) struct Options {
    #[command(flatten)]
    cluster: ClusterOptions,
    /// Use the ServiceAccount of the pod that this runs in
    #[arg(long, conflicts_with_all = ["kubeconfig", "context"])]
    in_cluster: bool,
    /// Folder of mirrors, history, records and accounts [default: $XDG_DATA_HOME/seaway]
    #[arg(long, env = "SEAWAY_DATA_DIR", value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Database of the history, as sqlite:PATH [default: ledger.db in the data folder]
    #[arg(long, env = "SEAWAY_DATABASE", value_name = "URL")]
    database: Option<Database>,
    /// Address of the API and the page; port 0 takes a free one
    #[arg(long, env = "SEAWAY_LISTEN", value_name = "ADDRESS", default_value = "127.0.0.1:7420")]
    listen: SocketAddr,
    /// How people reach it
    #[arg(long, env = "SEAWAY_EXTERNAL_URL", value_name = "URL")]
    external_url: Option<External>,
    /// Certificate (PEM, with its chain): serves https; read again when it changes
    #[arg(long, env = "SEAWAY_TLS_CERT", value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// Private key of the certificate (PEM)
    #[arg(long, env = "SEAWAY_TLS_KEY", value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// Serve plain http on an address that is not loopback, as behind a proxy that ends TLS
    #[arg(long, env = "SEAWAY_INSECURE")]
    insecure: bool,
    /// Seconds between two looks at a Git repository
    #[arg(long, env = "SEAWAY_POLL_INTERVAL", value_name = "SECONDS", default_value = "30",
        value_parser = arguments::poll_interval)]
    poll_interval: Duration,
    /// Days after which events and syncs are forgotten; what runs and where one can go back to stays [default: never]
    #[arg(long, env = "SEAWAY_KEEP_HISTORY", value_name = "DAYS", value_parser = clap::value_parser!(u32).range(1..))]
    keep_history: Option<u32>,
    /// Copies of environments answer below this domain
    #[arg(long, env = "SEAWAY_DOMAIN", value_name = "DOMAIN", default_value = "localhost")]
    domain: String,
    /// How people reach the Kubernetes API with kubectl [default: as this does, with --kubeconfig]
    #[arg(long, env = "SEAWAY_KUBERNETES_URL", value_name = "URL")]
    kubernetes_url: Option<String>,
    /// Where repositories may be besides public addresses over https and ssh; can be repeated
    #[arg(long = "allow-outgoing", env = "SEAWAY_ALLOW_OUTGOING", value_enum, value_delimiter = ',')]
    outgoing: Vec<Outgoing>,
    /// Namespace of the Lease
    #[arg(long, env = "SEAWAY_LEASE_NAMESPACE", value_name = "NAMESPACE", default_value = NAMESPACE,
        value_parser = arguments::namespace)]
    lease_namespace: String,
    #[command(flatten)]
    log: up::LogOptions,
    #[command(flatten)]
    oidc: OidcOptions,
}

/// What is not allowed by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Outgoing {
    /// Private ranges (RFC 1918, RFC 4193, RFC 6598)
    Private,
    /// This machine itself
    Loopback,
    /// Plain http
    Http,
}

fn policy(allowed: &[Outgoing]) -> OutgoingPolicy {
    OutgoingPolicy {
        private: allowed.contains(&Outgoing::Private),
        loopback: allowed.contains(&Outgoing::Loopback),
        plain_http: allowed.contains(&Outgoing::Http),
        // The disk is this server's, and not that of whoever writes a Stack.
        files: false,
    }
}

pub(crate) async fn run(options: Options) -> miette::Result<ExitCode> {
    let started = Instant::now();
    up::logging(&options.log);
    let data_dir = up::data_dir(options.data_dir.as_deref())?;
    let mut terminate = signal(SignalKind::terminate()).into_diagnostic()?;
    let mut interrupt = signal(SignalKind::interrupt()).into_diagnostic()?;
    let asked = async {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    };
    let mut asked = std::pin::pin!(asked);

    let lock = lock(&data_dir).await?;
    let tls = tls(options.tls_cert.as_deref(), options.tls_key.as_deref())?;
    check_plain(options.listen, tls.is_some(), options.insecure)?;
    if !options.listen.ip().is_loopback()
        && tls.is_none()
        && !options.external_url.as_ref().is_some_and(|external| external.https)
    {
        eprintln!(
            "Warning: passwords are sent in plain text: give --tls-cert, or an https --external-url of a proxy"
        );
    }
    let config = configuration(&options).await?;
    let api = config.cluster_url.to_string();
    let kubernetes = kubernetes(&options, &config);
    let oidc = options.oidc.provider()?;
    // The sync engine hears itself what the server says of its load, and keeps to it.
    let mut unpaced = config.clone();
    unpaced.default_retry = false;
    let sync_client = Client::try_from(unpaced).into_diagnostic()?;
    let client = Client::try_from(config).into_diagnostic()?;
    check_installed(&client).await?;

    let election = Election::new(client.clone(), &options.lease_namespace, lease::place(&data_dir));
    let mut told: Option<Instant> = None;
    let waits = |holder: &str| {
        if told.is_none_or(|told| told.elapsed() >= REMIND) {
            eprintln!("waits: {holder} is the active replica");
            told = Some(Instant::now());
        }
    };
    tokio::select! {
        won = election.win(waits) => won?,
        () = &mut asked => return Ok(ExitCode::SUCCESS),
    }
    let lost = election.keep();
    let mut lost = std::pin::pin!(lost);

    let settings = Settings {
        ledger: options.database.map_or_else(|| data_dir.join("ledger.db"), |database| database.0),
        data_dir,
        listen: options.listen,
        external: options.external_url,
        tls,
        poll_interval: options.poll_interval,
        keep_history: options.keep_history,
        policy: policy(&options.outgoing),
        domain: options.domain,
        gateway_port: None,
        oidc,
        // Requests go through the cluster's own gateway.
        counted: None,
        kubernetes,
    };
    let people = seaway_server::impersonation(client.clone());
    let copier = people(&Identity {
        name: format!("system:serviceaccount:{}:{COPIER}", options.lease_namespace),
        groups: Vec::new(),
    });
    let copier = copier.into_diagnostic()?;
    let delivery = Delivery::start(settings, sync_client, copier, client, people).await?;
    println!(
        "ready in {:.2} s: Seaway at {}, listening on {}, cluster at {api}",
        started.elapsed().as_secs_f64(),
        delivery.url(),
        delivery.server.address(),
    );
    if let Some(link) = delivery.setup_link() {
        use std::io::Write;
        // Whoever waits for the line above may have closed the pipe since then.
        let _ = writeln!(std::io::stdout(), "Log in for the first time at {link}");
    }
    tokio::select! {
        reason = &mut lost => {
            // Another replica may be at work: nothing here may go on.
            eprintln!("Error: the Lease {}/{} is lost: {reason}", options.lease_namespace, lease::NAME);
            std::process::exit(1);
        }
        () = &mut asked => {}
    }
    // What is being written is finished while the Lease is still kept.
    tokio::select! {
        () = delivery.stop() => {}
        _ = &mut lost => {}
    }
    election.give_back().await;
    drop(lock);
    Ok(ExitCode::SUCCESS)
}

/// How people reach the Kubernetes API: as this does, unless that is a pod.
fn kubernetes(options: &Options, config: &Config) -> Option<Kubernetes> {
    let own = (!options.in_cluster).then(|| config.cluster_url.to_string());
    let url = options.kubernetes_url.clone().or(own)?;
    let certificates = config.root_cert.iter().flatten();
    let pem = |der: &Vec<u8>| {
        let text = STANDARD.encode(der);
        let lines: Vec<&str> =
            text.as_bytes().chunks(64).filter_map(|line| std::str::from_utf8(line).ok()).collect();
        format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", lines.join("\n"))
    };
    let authority: String = certificates.map(pem).collect();
    Some(Kubernetes {
        url: url.trim_end_matches('/').to_owned(),
        authority: (!authority.is_empty()).then_some(authority),
    })
}

async fn configuration(options: &Options) -> miette::Result<Config> {
    if options.in_cluster {
        return Config::incluster()
            .into_diagnostic()
            .wrap_err("there is no ServiceAccount here: --in-cluster is for pods");
    }
    if !options.cluster.names_a_kubeconfig() {
        return Err(miette!(
            help = "give --kubeconfig FILE, or --in-cluster in a pod; `seaway up` needs no cluster",
            "it is not said which cluster to work with"
        ));
    }
    cluster::configuration(&options.cluster).await
}

/// Says what to do where the kinds are missing.
async fn check_installed(client: &Client) -> miette::Result<()> {
    let environments: kube::Api<Environment> = kube::Api::namespaced(client.clone(), SHARED_NAMESPACE);
    match environments.list_metadata(&kube::api::ListParams::default().limit(1)).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.code == 404 => Err(miette!(
            help = "an administrator of the cluster runs `seaway install | kubectl apply -f -`",
            "the cluster does not know Seaway's kinds"
        )),
        Err(error) => Err(refusal(error)).wrap_err("the cluster does not let this account see Environments"),
    }
}

/// Plain http beyond this machine is for who says so.
pub(crate) fn check_plain(listen: SocketAddr, tls: bool, insecure: bool) -> miette::Result<()> {
    if listen.ip().is_loopback() || tls || insecure {
        return Ok(());
    }
    Err(miette!(
        help = "give --tls-cert and --tls-key, listen on 127.0.0.1, or say --insecure where a proxy ends TLS",
        "{listen} can be reached from other machines, and plain http sends passwords and tokens for everybody to read"
    ))
}

/// Two processes on one folder would spoil it.
async fn lock(folder: &Path) -> miette::Result<std::fs::File> {
    use seaway_apiserver::{Error, lock_data_dir};
    lock_data_dir(folder).await.map_err(|error| match error {
        Error::InUse { path } => miette!(
            help = "end the other one, or give another --data-dir",
            "another process uses the folder {}",
            path.display()
        ),
        error => miette!("{error}"),
    })
}

fn tls(certificate: Option<&Path>, key: Option<&Path>) -> miette::Result<Option<Arc<rustls::ServerConfig>>> {
    match (certificate, key) {
        (None, None) => Ok(None),
        (Some(certificate), Some(key)) => crate::certificate::serve(certificate, key).map(Some),
        // The settings of a file need not come together.
        _ => Err(miette!("a certificate and its private key go together: give both or none")),
    }
}
