//! Registries: one that is made for the test, with a login and with TLS, and Debian's.

use seaway_node::image::{Credentials, ImageStore, LayoutFolder, Login, StoreOptions};
use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio_rustls::rustls;

/// Longer than any machine that works takes.
pub const PATIENT: Duration = Duration::from_secs(60);

/// A registry that wants a token, and gives one for the user `ann`.
pub struct Registry {
    pub address: String,
    pub requests: Arc<Mutex<Vec<String>>>,
}

/// What is particular about a registry.
#[derive(Clone, Default)]
pub struct Behaviour {
    /// Sends one byte of the answer to a path that contains this, and no more.
    pub stall_at: Option<&'static str>,
    /// Sends blobs in so many parts, with this time before each.
    pub drip: Option<(usize, Duration)>,
    /// Gives everything to everybody.
    pub is_public: bool,
    /// Speaks TLS.
    pub tls: Option<Arc<rustls::ServerConfig>>,
}

impl Registry {
    /// Serves documents and blobs by the last part of their paths.
    pub async fn start(blobs: HashMap<String, Vec<u8>>, behaviour: Behaviour) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let (seen, me) = (requests.clone(), address.clone());
        let blobs = Arc::new(blobs);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (blobs, seen, me, behaviour) =
                    (blobs.clone(), seen.clone(), me.clone(), behaviour.clone());
                tokio::spawn(async move {
                    match behaviour.tls.clone() {
                        None => answer(stream, &blobs, &seen, &me, &behaviour).await,
                        Some(config) => {
                            // A client that does not trust the certificate hangs up.
                            if let Ok(stream) = tokio_rustls::TlsAcceptor::from(config).accept(stream).await {
                                answer(stream, &blobs, &seen, &me, &behaviour).await;
                            }
                        }
                    }
                });
            }
        });
        Self { address, requests }
    }

    /// Serves what a layout folder holds, its first image as tag `1`.
    pub async fn of(layout: &LayoutFolder, behaviour: Behaviour) -> Self {
        let mut blobs = HashMap::new();
        for entry in std::fs::read_dir(layout.path.join("blobs/sha256")).unwrap() {
            let entry = entry.unwrap();
            let name = format!("sha256:{}", entry.file_name().to_str().unwrap());
            blobs.insert(name, std::fs::read(entry.path()).unwrap());
        }
        let index = std::fs::read(layout.path.join("index.json")).unwrap();
        blobs.insert("1".to_owned(), index);
        Self::start(blobs, behaviour).await
    }

    /// How many requests came.
    pub fn count(&self) -> usize {
        self.requests.lock().unwrap().len()
    }
}

async fn answer(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    blobs: &HashMap<String, Vec<u8>>,
    seen: &Mutex<Vec<String>>,
    me: &str,
    behaviour: &Behaviour,
) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let Ok(byte) = stream.read_u8().await else { return };
        head.push(byte);
    }
    let head = String::from_utf8(head).unwrap();
    let path = head.split(' ').nth(1).unwrap().to_owned();
    seen.lock().unwrap().push(path.clone());
    let lower = head.to_lowercase();
    let scheme = if behaviour.tls.is_some() { "https" } else { "http" };
    let (status, extra, body) = if path.starts_with("/token") {
        match lower.contains("authorization: basic yw5uonnly3jlda==") {
            true => ("200 OK", String::new(), br#"{"token":"good"}"#.to_vec()),
            false => ("401 Unauthorized", String::new(), Vec::new()),
        }
    } else if !behaviour.is_public && !lower.contains("authorization: bearer good") {
        let challenge =
            format!("WWW-Authenticate: Bearer realm=\"{scheme}://{me}/token\",service=\"test\"\r\n");
        ("401 Unauthorized", challenge, Vec::new())
    } else {
        match blobs.get(path.rsplit('/').next().unwrap()) {
            Some(body) => ("200 OK", String::new(), body.clone()),
            None => ("404 Not Found", String::new(), Vec::new()),
        }
    };
    let head =
        format!("HTTP/1.1 {status}\r\n{extra}Content-Length: {}\r\nConnection: close\r\n\r\n", body.len());
    // Who has seen enough hangs up.
    let sent = async {
        stream.write_all(head.as_bytes()).await?;
        if behaviour.stall_at.is_some_and(|part| path.contains(part)) {
            stream.write_all(&body[..1]).await?;
            stream.flush().await?;
            std::future::pending::<()>().await;
        }
        match behaviour.drip.filter(|_| path.contains("/blobs/")) {
            Some((parts, pause)) => {
                for part in body.chunks(body.len().div_ceil(parts).max(1)) {
                    tokio::time::sleep(pause).await;
                    stream.write_all(part).await?;
                    stream.flush().await?;
                }
            }
            None => stream.write_all(&body).await?,
        }
        stream.shutdown().await
    };
    let _ = sent.await;
}

pub fn registry_store(folder: &Path, stall: Duration) -> ImageStore {
    let mut options = StoreOptions::new(folder.join("registry-store"));
    options.stall = stall;
    ImageStore::open(options).unwrap()
}

pub fn ann(registry: &Registry) -> Credentials {
    let mut credentials = Credentials::default();
    credentials.add(&registry.address, Login { username: "ann".to_owned(), password: "secret".to_owned() });
    credentials
}

/// Debian's `docker-registry`, while it runs.
pub struct DebianRegistry {
    pub address: String,
    process: std::process::Child,
}

impl Drop for DebianRegistry {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl DebianRegistry {
    /// Starts it with its data in a folder; `None` (and why) where it is not installed.
    pub async fn start(folder: &Path) -> Option<Self> {
        const PROGRAM: &str = "/usr/bin/docker-registry";
        if !Path::new(PROGRAM).exists() {
            super::skipped("docker-registry is not installed (apt-get install docker-registry)");
            return None;
        }
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let address = format!("127.0.0.1:{port}");
        let config = folder.join("registry.yml");
        let data = folder.join("registry");
        let text = format!(
            "version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: {}}}}}\nhttp: {{addr: \"{address}\"}}\n",
            data.display()
        );
        std::fs::write(&config, text).unwrap();
        let mut command = std::process::Command::new(PROGRAM);
        command.arg("serve").arg(&config);
        command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
        let registry = Self { address, process: command.spawn().unwrap() };
        for _ in 0..1200 {
            if tokio::net::TcpStream::connect(&registry.address).await.is_ok() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Some(registry)
    }

    /// Puts the first image of a layout folder there; the digest of its manifest.
    pub async fn push(&self, layout: &LayoutFolder, repository: &str, tag: &str) -> String {
        let address = &self.address;
        let index: serde_json::Value =
            serde_json::from_slice(&std::fs::read(layout.path.join("index.json")).unwrap()).unwrap();
        let manifest_digest = index["manifests"][0]["digest"].as_str().unwrap().to_owned();
        let mut manifest = Vec::new();
        for entry in std::fs::read_dir(layout.path.join("blobs/sha256")).unwrap() {
            let entry = entry.unwrap();
            let digest = format!("sha256:{}", entry.file_name().to_str().unwrap());
            let blob = std::fs::read(entry.path()).unwrap();
            if digest == manifest_digest {
                manifest = blob;
                continue;
            }
            let uploads = format!("/v2/{repository}/blobs/uploads/");
            let answer = request(address, "POST", &uploads, "text/plain", b"").await;
            let location = answer.lines().find_map(|l| l.strip_prefix("Location: ")).expect(&answer).trim();
            let path = location.split_once(address.as_str()).map_or(location, |(_, path)| path);
            let path = format!("{path}&digest={digest}");
            let answer = request(address, "PUT", &path, "application/octet-stream", &blob).await;
            assert!(answer.starts_with("HTTP/1.1 201"), "{answer}");
        }
        let kind = "application/vnd.oci.image.manifest.v1+json";
        let path = format!("/v2/{repository}/manifests/{tag}");
        let answer = request(address, "PUT", &path, kind, &manifest).await;
        assert!(answer.starts_with("HTTP/1.1 201"), "{answer}");
        manifest_digest
    }
}

/// Sends a request and gives the status line and headers of the answer.
async fn request(address: &str, method: &str, path: &str, content_type: &str, body: &[u8]) -> String {
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: {address}\r\nContent-Type: {content_type}\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(body).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}
