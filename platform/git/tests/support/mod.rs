//! Repositories, and a server for them: real `git http-backend` behind a small HTTP server that can also misbehave.
#![allow(clippy::unwrap_used, dead_code, unreachable_pub, missing_docs)]

pub mod gate;
pub mod pushes;

use std::convert::Infallible;
use std::net::Ipv4Addr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Frame, Incoming};
use hyper::header::{AUTHORIZATION, HeaderValue, LOCATION, WWW_AUTHENTICATE};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use seaway_git::{Mirrors, Options, OutgoingPolicy, RepositoryUrl, Revision};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpListener;

pub const USER: &str = "ada";
pub const PASSWORD: &str = "s3cret-t0ken";

/// Everything that tests on one machine need.
pub const LOCAL: OutgoingPolicy =
    OutgoingPolicy { private: false, loopback: true, plain_http: true, files: true };

pub fn options() -> Options {
    Options { policy: LOCAL, time_limit: Duration::from_secs(60), ..Options::default() }
}

pub fn revision(text: &str) -> Revision {
    text.parse().unwrap()
}

/// A working copy, pushed to a bare repository below `root`.
pub struct Repository {
    pub bare: PathBuf,
    work: tempfile::TempDir,
}

impl Repository {
    pub fn new(root: &Path, name: &str) -> Self {
        let bare = root.join(name);
        let work = tempfile::tempdir().unwrap();
        git(root, &["init", "--quiet", "--bare", bare.to_str().unwrap()]);
        git(work.path(), &["init", "--quiet"]);
        git(work.path(), &["remote", "add", "origin", bare.to_str().unwrap()]);
        Self { bare, work }
    }

    pub fn file_url(&self) -> RepositoryUrl {
        self.bare.to_str().unwrap().parse().unwrap()
    }

    pub fn git(&self, arguments: &[&str]) -> String {
        git(self.work.path(), arguments)
    }

    /// Commit one file and push the branch.
    pub fn push(&self, file: &str, content: &str) -> String {
        let id = self.commit(file, content);
        self.git(&["push", "--quiet", "--force", "origin", "HEAD"]);
        id
    }

    pub fn commit(&self, file: &str, content: impl AsRef<[u8]>) -> String {
        std::fs::write(self.work.path().join(file), content).unwrap();
        self.git(&["add", "--all"]);
        self.git(&["commit", "--quiet", "--message", &format!("Change {file}\n\nBody")]);
        self.git(&["rev-parse", "HEAD"])
    }
}

pub fn git(folder: &Path, arguments: &[&str]) -> String {
    let output = std::process::Command::new("git")
        .arg("-C")
        .arg(folder)
        .args(["-c", "user.name=Ada", "-c", "user.email=ada@example.com", "-c", "init.defaultBranch=main"])
        .args(arguments)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_AUTHOR_DATE", "2026-01-02T03:04:05Z")
        .output()
        .unwrap();
    assert!(output.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// A program that notes its process id, arguments and environment before it becomes `git`.
pub struct Spy {
    pub program: PathBuf,
    folder: tempfile::TempDir,
}

impl Spy {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("git");
        let log = folder.path().display();
        script(
            &program,
            &format!(
                "echo $$ >> '{log}/pids'\necho \"$*\" >> '{log}/calls'\nenv >> '{log}/environment'\nexec git \"$@\""
            ),
        );
        Self { program, folder }
    }

    pub fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.folder.path().join(name)).unwrap_or_default()
    }

    /// How often `git` was called with this subcommand.
    pub fn calls(&self, subcommand: &str) -> usize {
        self.read("calls").lines().filter(|call| call.split(' ').next() == Some(subcommand)).count()
    }
}

pub fn script(path: &Path, content: &str) {
    std::fs::write(path, format!("#!/bin/sh\n{content}\n")).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

#[derive(Default)]
pub struct State {
    /// Where `/redirect/…` leads: the rest of the path is appended.
    pub redirect: Mutex<String>,
    /// Method, path and Authorization of every request.
    pub requests: Mutex<Vec<(String, String, Option<String>)>>,
    /// Packs are sent up to their middle, and then nothing.
    pub stall: AtomicBool,
    pub stalled: AtomicBool,
}

/// Serves the repositories below `root` at `/git/`, for [`USER`] only at `/private/`; redirects `/redirect/`, never
/// answers below `/hang/`, fails below `/broken/`.
pub struct Server {
    pub root: tempfile::TempDir,
    pub port: u16,
    pub state: Arc<State>,
    task: tokio::task::JoinHandle<()>,
}

impl Server {
    pub async fn start() -> Self {
        Self::serve(None).await
    }

    /// Over TLS. With the certificate (PEM) of the CA.
    pub async fn start_tls() -> (Self, String) {
        let key = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(
                vec![key.cert.der().clone()],
                rustls::pki_types::PrivateKeyDer::Pkcs8(key.signing_key.serialize_der().into()),
            )
            .unwrap();
        (Self::serve(Some(Arc::new(config).into())).await, key.cert.pem())
    }

    async fn serve(tls: Option<tokio_rustls::TlsAcceptor>) -> Self {
        let root = tempfile::tempdir().unwrap();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::new(State::default());
        let (folder, shared) = (root.path().to_owned(), Arc::clone(&state));
        let task = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let (folder, shared, tls) = (folder.clone(), Arc::clone(&shared), tls.clone());
                connections.spawn(async move {
                    let service = service_fn(|request| answer(request, &folder, &shared));
                    let http = hyper::server::conn::http1::Builder::new();
                    let _ = match tls {
                        None => http.serve_connection(TokioIo::new(stream), service).await,
                        Some(tls) => match tls.accept(stream).await {
                            Ok(stream) => http.serve_connection(TokioIo::new(stream), service).await,
                            Err(_) => Ok(()),
                        },
                    };
                });
            }
        });
        Self { root, port, state, task }
    }

    pub fn url(&self, path: &str) -> RepositoryUrl {
        format!("http://127.0.0.1:{}/{path}", self.port).parse().unwrap()
    }

    pub fn requests(&self) -> usize {
        self.state.requests.lock().len()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

type Body = BoxBody<Bytes, Infallible>;

fn plain(status: StatusCode) -> Response<Body> {
    Response::builder().status(status).body(Full::default().boxed()).unwrap()
}

async fn answer(
    request: Request<Incoming>,
    root: &Path,
    state: &State,
) -> Result<Response<Body>, Infallible> {
    let path = request.uri().path().to_owned();
    let header = |name: &str| {
        request.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned()
    };
    let authorization = request.headers().get(AUTHORIZATION).map(|value| value.to_str().unwrap().to_owned());
    state.requests.lock().push((request.method().to_string(), path.clone(), authorization.clone()));
    let (place, rest) = path.trim_start_matches('/').split_once('/').unwrap_or_default();
    match place {
        "git" => {}
        "private" => {
            use base64::Engine as _;
            let expected = base64::engine::general_purpose::STANDARD.encode(format!("{USER}:{PASSWORD}"));
            if authorization.as_deref() != Some(&format!("Basic {expected}")) {
                let mut response = plain(StatusCode::UNAUTHORIZED);
                response
                    .headers_mut()
                    .insert(WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"git\""));
                return Ok(response);
            }
        }
        "redirect" => {
            let query = request.uri().query().unwrap_or_default();
            let target = format!("{}{rest}?{query}", state.redirect.lock());
            let mut response = plain(StatusCode::FOUND);
            response.headers_mut().insert(LOCATION, target.parse().unwrap());
            return Ok(response);
        }
        "hang" => std::future::pending().await,
        "broken" => return Ok(plain(StatusCode::SERVICE_UNAVAILABLE)),
        _ => return Ok(plain(StatusCode::NOT_FOUND)),
    }
    let mut command = tokio::process::Command::new("git");
    command
        .arg("http-backend")
        .env("GIT_PROJECT_ROOT", root)
        .env("GIT_HTTP_EXPORT_ALL", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("PATH_INFO", format!("/{rest}"))
        .env("QUERY_STRING", request.uri().query().unwrap_or_default())
        .env("REQUEST_METHOD", request.method().as_str())
        .env("CONTENT_TYPE", header("content-type"))
        .env("HTTP_CONTENT_ENCODING", header("content-encoding"))
        .env("GIT_PROTOCOL", header("git-protocol"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true);
    let posted = request.method() == hyper::Method::POST;
    let body = request.into_body().collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    command.env("CONTENT_LENGTH", body.len().to_string());
    let fetches = posted && body.windows(13).any(|part| part == b"command=fetch");
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let (_, output) = tokio::join!(
        async move {
            let _ = stdin.write_all(&body).await;
        },
        child.wait_with_output()
    );
    let output = output.unwrap().stdout;
    let end = output.windows(4).position(|part| part == b"\r\n\r\n").unwrap();
    let mut response = Response::builder();
    for line in String::from_utf8_lossy(&output[..end]).lines() {
        let (name, value) = line.split_once(": ").unwrap();
        response = match name {
            "Status" => response.status(value.split(' ').next().unwrap()),
            _ => response.header(name, value),
        };
    }
    let content = output[end + 4..].to_vec();
    if !(fetches && state.stall.load(Ordering::SeqCst)) {
        return Ok(response.body(Full::from(content).boxed()).unwrap());
    }
    state.stalled.store(true, Ordering::SeqCst);
    let half = Bytes::copy_from_slice(&content[..content.len() / 2]);
    Ok(response.body(Half(Some(half)).boxed()).unwrap())
}

/// Some bytes, and then neither more nor an end.
struct Half(Option<Bytes>);

impl hyper::body::Body for Half {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match self.0.take() {
            Some(bytes) => Poll::Ready(Some(Ok(Frame::data(bytes)))),
            None => Poll::Pending,
        }
    }
}

pub fn open(folder: &Path, options: Options) -> Mirrors {
    Mirrors::open(folder, options).unwrap()
}
