//! A real etcd and kube-apiserver (and controller manager) for tests: own certificates in a temporary
//! folder, free ports, and an end that stops just what was started.
//!
//! The programs come from a cache that `build.sh` beside this file fills from Debian's packages. Tests that
//! find none say so and pass: nothing else can give a real API server without a network.

#![allow(clippy::unwrap_used, dead_code)]

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// The version that the scripts build.
pub(crate) const VERSION: &str = "1.20.2";

/// Which programs run, and how.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Parts {
    /// etcd syncs every commit to disk; off where a test does not measure.
    pub(crate) sync_writes: bool,
}

/// A running control plane; stopped when dropped.
pub(crate) struct RealKubernetes {
    programs: PathBuf,
    folder: tempfile::TempDir,
    port: u16,
    children: Vec<(String, Child)>,
}

/// Where built programs lie, or `None` (and a message) when there are none.
pub(crate) fn programs() -> Option<PathBuf> {
    let cache = std::env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .filter(|p| p.is_absolute())
        .or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache")))?;
    let folder = cache.join("seaway/real-kubernetes").join(VERSION);
    let complete =
        ["etcd", "kube-apiserver", "kube-controller-manager"].iter().all(|p| folder.join(p).is_file());
    if !complete {
        println!(
            "skipped: no real Kubernetes in {} (tests/real-kubernetes/build.sh makes it, `./dev test --full` calls that)",
            folder.display()
        );
        return None;
    }
    Some(folder)
}

/// A port that nobody listens on now.
fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

const ADMIN_TOKEN: &str = "conformance-admin";

impl RealKubernetes {
    /// Starts etcd and the API server, and waits until it is ready. A port that somebody else took in
    /// between makes the start fail; it is tried again with other ports.
    pub(crate) fn start(programs: &Path, parts: Parts) -> Self {
        let mut problem = String::new();
        for _ in 0..3 {
            match Self::try_start(programs, parts) {
                Ok(started) => return started,
                Err(e) => problem = e,
            }
        }
        panic!("a real Kubernetes did not start: {problem}");
    }

    fn try_start(programs: &Path, parts: Parts) -> Result<Self, String> {
        let folder = tempfile::tempdir().unwrap();
        let port = free_port();
        write_certificates(folder.path());
        std::fs::write(folder.path().join("tokens.csv"), format!("{ADMIN_TOKEN},admin,1,system:masters\n"))
            .unwrap();
        let mut real = Self { programs: programs.to_owned(), folder, port, children: vec![] };
        real.write_kubeconfig();
        let (etcd, peer) = (free_port(), free_port());
        let at = |name: &str| real.folder.path().join(name).display().to_string();
        let mut arguments = vec![
            "--name=conformance".to_owned(),
            format!("--data-dir={}", at("etcd")),
            format!("--listen-client-urls=http://127.0.0.1:{etcd}"),
            format!("--advertise-client-urls=http://127.0.0.1:{etcd}"),
            format!("--listen-peer-urls=http://127.0.0.1:{peer}"),
            format!("--initial-advertise-peer-urls=http://127.0.0.1:{peer}"),
            format!("--initial-cluster=conformance=http://127.0.0.1:{peer}"),
        ];
        if !parts.sync_writes {
            arguments.push("--unsafe-no-fsync".into());
        }
        let server = vec![
            format!("--etcd-servers=http://127.0.0.1:{etcd}"),
            "--bind-address=127.0.0.1".into(),
            format!("--secure-port={port}"),
            "--advertise-address=10.99.0.1".into(),
            "--endpoint-reconciler-type=none".into(),
            "--service-cluster-ip-range=10.96.0.0/16".into(),
            format!("--tls-cert-file={}", at("server.crt")),
            format!("--tls-private-key-file={}", at("server.key")),
            format!("--client-ca-file={}", at("ca.crt")),
            format!("--token-auth-file={}", at("tokens.csv")),
            "--service-account-issuer=https://kubernetes.default.svc".into(),
            format!("--service-account-signing-key-file={}", at("accounts.key")),
            format!("--service-account-key-file={}", at("accounts.pub")),
            "--authorization-mode=Node,RBAC".into(),
            "--allow-privileged=true".into(),
            "--anonymous-auth=false".into(),
            "--profiling=false".into(),
            // They want controllers that make ServiceAccounts, take taints from nodes that became ready and
            // finalizers from claims that nobody uses: an API server alone has none.
            "--disable-admission-plugins=ServiceAccount,TaintNodesByCondition,StorageObjectInUseProtection"
                .into(),
        ];
        real.spawn("etcd", &arguments)?;
        real.until_answers("etcd", etcd)?;
        real.spawn("kube-apiserver", &server)?;
        real.until_answers("kube-apiserver", port)?;
        Ok(real)
    }

    /// Starts the controller manager beside what runs already.
    pub(crate) fn start_controllers(&mut self) {
        let port = free_port();
        let at = |name: &str| self.folder.path().join(name).display().to_string();
        let arguments = vec![
            format!("--kubeconfig={}", at("kubeconfig")),
            "--bind-address=127.0.0.1".into(),
            format!("--secure-port={port}"),
            "--port=0".into(),
            "--leader-elect=false".into(),
            format!("--service-account-private-key-file={}", at("accounts.key")),
            format!("--root-ca-file={}", at("ca.crt")),
        ];
        self.spawn("kube-controller-manager", &arguments).unwrap();
    }

    fn spawn(&mut self, name: &str, arguments: &[String]) -> Result<(), String> {
        let log = std::fs::File::create(self.log(name)).map_err(|e| e.to_string())?;
        let child = self
            .command(name)
            .args(arguments)
            .current_dir(self.folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::from(log.try_clone().map_err(|e| e.to_string())?))
            .stderr(Stdio::from(log))
            .spawn()
            .map_err(|e| format!("{name}: {e}"))?;
        self.children.push((name.to_owned(), child));
        Ok(())
    }

    /// A program that ends with this test, also when the test is killed: Linux sends the signal where
    /// `setpriv` (util-linux) can ask for it.
    fn command(&self, name: &str) -> Command {
        let program = self.programs.join(name);
        let known =
            Command::new("setpriv").args(["--pdeathsig", "KILL", "true"]).stderr(Stdio::null()).status();
        if !known.is_ok_and(|status| status.success()) {
            return Command::new(program);
        }
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "--"]).arg(program);
        command
    }

    fn log(&self, name: &str) -> PathBuf {
        self.folder.path().join(format!("{name}.log"))
    }

    /// Waits until the newest program takes connections, or says what it printed last.
    fn until_answers(&mut self, name: &str, port: u16) -> Result<(), String> {
        let deadline = Instant::now() + Duration::from_secs(90);
        loop {
            if std::net::TcpStream::connect(("127.0.0.1", port)).is_ok() {
                return Ok(());
            }
            let (_, child) = self.children.last_mut().unwrap();
            let ended = child.try_wait().ok().flatten();
            if ended.is_some() || Instant::now() > deadline {
                let text = std::fs::read_to_string(self.log(name)).unwrap_or_default();
                let last: Vec<&str> = text.lines().rev().take(5).collect();
                return Err(format!("{name} ended ({ended:?}) or took too long: {last:#?}"));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn write_kubeconfig(&self) {
        let text = format!(
            "apiVersion: v1\nkind: Config\nclusters: [{{name: real, cluster: {{server: \"https://127.0.0.1:{}\", \
             certificate-authority: {}}}}}]\nusers: [{{name: admin, user: {{token: {ADMIN_TOKEN}}}}}]\n\
             contexts: [{{name: real, context: {{cluster: real, user: admin}}}}]\ncurrent-context: real\n",
            self.port,
            self.folder.path().join("ca.crt").display(),
        );
        std::fs::write(self.kubeconfig(), text).unwrap();
    }

    /// A kubeconfig of an administrator.
    pub(crate) fn kubeconfig(&self) -> PathBuf {
        self.folder.path().join("kubeconfig")
    }

    /// Process ids by program.
    pub(crate) fn pids(&self) -> Vec<(String, u32)> {
        self.children.iter().map(|(name, child)| (name.clone(), child.id())).collect()
    }
}

impl Drop for RealKubernetes {
    fn drop(&mut self) {
        // Newest first: nobody then writes errors about a server that is gone.
        for (_, child) in self.children.iter_mut().rev() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// An authority, the server's certificate and the key of ServiceAccount tokens.
fn write_certificates(folder: &Path) {
    use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "conformance-ca");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
    let authority = params.self_signed(&key).unwrap();
    let issuer = Issuer::new(params, key);

    let server_key = KeyPair::generate().unwrap();
    let mut server = CertificateParams::new(["localhost".to_owned(), "127.0.0.1".to_owned()]).unwrap();
    server.distinguished_name.push(DnType::CommonName, "kube-apiserver");
    let certificate = server.signed_by(&server_key, &issuer).unwrap();

    let accounts = KeyPair::generate().unwrap();
    for (name, text) in [
        ("ca.crt", authority.pem()),
        ("server.crt", certificate.pem()),
        ("server.key", server_key.serialize_pem()),
        ("accounts.key", accounts.serialize_pem()),
        ("accounts.pub", accounts.public_key_pem()),
    ] {
        std::fs::write(folder.join(name), text).unwrap();
    }
}
