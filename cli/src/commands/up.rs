//! `seaway up`: the Kubernetes API (and all that belongs to it) on this machine.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use miette::{IntoDiagnostic, WrapErr};
use tokio::signal::unix::{SignalKind, signal};

use crate::machine::{self, Machine};
use crate::oidc::OidcOptions;
use crate::registries::{self, Registries};
use crate::{arguments, demo, kubeconfig};

/// Between two looks at Git when nobody says otherwise.
const POLL_INTERVAL: Duration = Duration::from_secs(30);

/// Options of `seaway up`.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  seaway up
  seaway up --demo
  seaway up --data-dir /var/lib/seaway --kube-listen 127.0.0.1:7443
  kubectl --kubeconfig ~/.local/share/seaway/kubeconfig get namespaces

It serves one machine. SIGTERM or Ctrl-C ends it cleanly; after kill -9 the next start goes on
where the last acknowledged write was.")]
pub(crate) struct Options {
    /// Folder of the database, the keys and the kubeconfig [default: $XDG_DATA_HOME/seaway]
    #[arg(long, env = "SEAWAY_DATA_DIR", value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Address of the Kubernetes API; port 0 takes a free one
    #[arg(long, env = "SEAWAY_KUBE_LISTEN", value_name = "ADDRESS", default_value = "127.0.0.1:7443")]
    kube_listen: SocketAddr,
    /// Address of the gateway, which serves HTTPRoutes; port 0 takes a free one
    #[arg(long, env = "SEAWAY_GATEWAY_LISTEN", value_name = "ADDRESS", default_value = "127.0.0.1:7480")]
    gateway_listen: SocketAddr,
    /// Address of Seaway's own API; port 0 takes a free one
    #[arg(long, env = "SEAWAY_LISTEN", value_name = "ADDRESS", default_value = "127.0.0.1:7420")]
    listen: SocketAddr,
    /// Serve plain http on an address that is not loopback, as behind a proxy that ends TLS
    #[arg(long, env = "SEAWAY_INSECURE")]
    insecure: bool,
    /// Seconds between two looks at a Git repository [default: 30; with --demo 2]
    #[arg(long, env = "SEAWAY_POLL_INTERVAL", value_name = "SECONDS", value_parser = arguments::poll_interval)]
    poll_interval: Option<Duration>,
    /// Days after which events and syncs are forgotten; what runs and where one can go back to stays [default: never]
    #[arg(long, env = "SEAWAY_KEEP_HISTORY", value_name = "DAYS", value_parser = clap::value_parser!(u32).range(1..))]
    keep_history: Option<u32>,
    /// Folder with images (OCI image layout), asked before registries; can be repeated
    #[arg(long = "image-layout", env = "SEAWAY_IMAGE_LAYOUT", value_name = "DIR", value_delimiter = ',')]
    image_layouts: Vec<PathBuf>,
    #[command(flatten)]
    registries: Registries,
    /// Folder of this machine that pods may mount (hostPath), with all below; can be repeated
    #[arg(long = "host-path", env = "SEAWAY_HOST_PATH", value_name = "DIR", value_delimiter = ',')]
    host_paths: Vec<PathBuf>,
    /// How pods run
    #[arg(long, env = "SEAWAY_NODE", value_enum, default_value_t = NodeRuntime::Sandbox)]
    node: NodeRuntime,
    /// Deploy a small shop from a repository of your own, and print what to try
    ///
    /// Images, repository and a clone of it are made in the folder `demo` of the data folder, once; the images
    /// are found by later starts without --demo too.
    #[arg(long)]
    demo: bool,
    #[command(flatten)]
    log: LogOptions,
    #[command(flatten)]
    oidc: OidcOptions,
}

/// How pods run.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum NodeRuntime {
    /// As processes in namespaces of their own
    Sandbox,
    /// Not at all: pods stay pending
    None,
}

/// Where data lies when no folder is given (XDG base directory specification).
fn default_data_dir() -> Option<PathBuf> {
    let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|p| p.is_absolute());
    absolute("XDG_DATA_HOME")
        .or_else(|| Some(absolute("HOME")?.join(".local/share")))
        .map(|base| base.join("seaway"))
}

/// The folder that is meant, as an absolute path.
pub(crate) fn data_dir(given: Option<&Path>) -> miette::Result<PathBuf> {
    let folder = given.map(Path::to_owned).or_else(default_data_dir).ok_or_else(|| {
        miette::miette!(
            help = "give one with --data-dir",
            "no folder for the data: neither XDG_DATA_HOME nor HOME is set"
        )
    })?;
    std::path::absolute(&folder).into_diagnostic()
}

pub(crate) async fn run(options: Options) -> miette::Result<ExitCode> {
    let started = std::time::Instant::now();
    logging(&options.log);
    super::serve::check_plain(options.listen, false, options.insecure)?;
    let data_dir = data_dir(options.data_dir.as_deref())?;
    // Asked for before the ready line: whoever waits for that line may send the signal at once.
    let mut terminate = signal(SignalKind::terminate()).into_diagnostic()?;
    let mut interrupt = signal(SignalKind::interrupt()).into_diagnostic()?;

    let usual = if options.demo { demo::POLL_INTERVAL } else { POLL_INTERVAL };
    let settings = machine::Options {
        data_dir: data_dir.clone(),
        kube: options.kube_listen,
        gateway: options.gateway_listen,
        node: options.node == NodeRuntime::Sandbox,
        layouts: demo::layouts(&data_dir, options.demo, options.image_layouts),
        registries: options.registries.options()?,
        credentials: options.registries.credentials()?,
        host_paths: registries::host_paths(&options.host_paths)?,
        listen: options.listen,
        oidc: options.oidc.provider()?,
        poll_interval: options.poll_interval.unwrap_or(usual),
        keep_history: options.keep_history,
    };
    // Whatever a start waits for, it can be ended: what was acknowledged is on disk.
    let machine = tokio::select! {
        machine = Machine::start(&settings) => machine?,
        _ = terminate.recv() => return Ok(stopped_early()),
        _ = interrupt.recv() => return Ok(stopped_early()),
    };
    if let Some(reason) = &machine.without_node {
        eprintln!("Warning: pods cannot run here and will stay pending: {reason}");
    }
    let server = &machine.server;
    let address = server.address().unwrap_or(options.kube_listen);
    let path = data_dir.join("kubeconfig");
    kubeconfig::write(
        &path,
        address,
        machine.delivery.server.address(),
        server.ca_pem(),
        server.admin_token(),
    )
    .into_diagnostic()
    .wrap_err_with(|| format!("{} could not be written", path.display()))?;
    println!(
        "ready in {:.2} s: Kubernetes API at https://{address}, gateway at http://{}, Seaway at http://{}, kubeconfig at {}",
        started.elapsed().as_secs_f64(),
        machine.gateway.local_addr(),
        machine.delivery.server.address(),
        path.display()
    );
    if let Some(link) = machine.delivery.setup_link() {
        use std::io::Write;
        // Whoever waits for the line above may have closed the pipe since then.
        let _ = writeln!(std::io::stdout(), "Log in for the first time at {link}");
    }
    let demo = async {
        if options.demo {
            demo::run(&machine, &data_dir, &path).await?;
        }
        std::future::pending::<miette::Result<()>>().await
    };
    let result = tokio::select! {
        _ = terminate.recv() => Ok(()),
        _ = interrupt.recv() => Ok(()),
        result = demo => result,
    };
    machine.stop().await;
    result.map(|()| ExitCode::SUCCESS)
}

/// The end of a start that somebody did not want to wait for.
fn stopped_early() -> ExitCode {
    eprintln!("stopped before it was ready");
    ExitCode::SUCCESS
}

/// Of a body that it cannot read the client would log the whole text, which may hold Secrets.
const DEFAULT_LOG: &str = "warn,kube_client::client=off";

/// How the log is written, the same for `seaway up` and `seaway serve`.
#[derive(clap::Args)]
pub(crate) struct LogOptions {
    /// How the log on standard error is written; SEAWAY_LOG says what is in it
    #[arg(long, env = "SEAWAY_LOG_FORMAT", value_enum, default_value_t = LogFormat::Text)]
    log_format: LogFormat,
}

/// How the log is written.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum LogFormat {
    /// For people
    Text,
    /// One JSON object in each line
    Json,
}

pub(crate) fn logging(options: &LogOptions) {
    use std::io::IsTerminal;
    let filter = tracing_subscriber::EnvFilter::try_from_env("SEAWAY_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new(DEFAULT_LOG));
    let colour = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty());
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match options.log_format {
        LogFormat::Text => log.with_ansi(colour).init(),
        LogFormat::Json => log.json().init(),
    }
}
