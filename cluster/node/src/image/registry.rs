//! The client side of the OCI distribution specification: manifests and blobs, with bearer and basic login.
//!
//! One connection a request: a pull makes few requests, and each of them is long.

use super::credentials::{Credentials, Login};
use super::manifest::{MEDIA_INDEX, MEDIA_MANIFEST};
use super::reference::Reference;
use crate::error::{Error, Result};
use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode, Uri, header};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use rustls_pki_types::{CertificateDer, ServerName, pem::PemObject};
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// A manifest or token answer larger than this is refused.
const MAX_DOCUMENT: usize = 4 * 1024 * 1024;
const MAX_REDIRECTS: usize = 5;

/// How one registry is reached.
#[derive(Clone, Debug, Default)]
pub struct RegistryOptions {
    /// Host and optional port as in image references; `docker.io` for Docker Hub.
    pub host: String,
    /// Other hosts that are asked first, in order.
    pub mirrors: Vec<String>,
    /// Certificates (PEM) to trust besides the system's.
    pub ca: Option<PathBuf>,
    /// Speak HTTP without TLS. Loopback hosts always may.
    pub plain_http: bool,
}

/// Fetches manifests and blobs.
pub(crate) struct Client {
    registries: Vec<RegistryOptions>,
    /// A registry that sends nothing for so long is given up.
    stall: Duration,
    /// Bearer tokens by host, scope and user.
    tokens: Mutex<HashMap<(String, String), String>>,
    tls: Mutex<HashMap<String, Arc<rustls::ClientConfig>>>,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("registries", &self.registries).finish_non_exhaustive()
    }
}

/// Where and as whom a repository is read.
#[derive(Clone, Debug)]
pub(crate) struct Repository {
    host: String,
    repository: String,
    login: Option<Login>,
}

impl Client {
    pub(crate) fn new(registries: Vec<RegistryOptions>, stall: Duration) -> Self {
        Self { registries, stall, tokens: Mutex::default(), tls: Mutex::default() }
    }

    /// The mirrors of the reference's registry, then the registry.
    pub(crate) fn repositories(&self, reference: &Reference, credentials: &Credentials) -> Vec<Repository> {
        let mirrors = self.options(&reference.registry).map(|o| o.mirrors.as_slice()).unwrap_or_default();
        mirrors
            .iter()
            .map(String::as_str)
            .chain([reference.registry.as_str()])
            .map(|host| Repository {
                host: host.to_owned(),
                repository: reference.repository.clone(),
                login: credentials.find(host, &reference.repository).cloned(),
            })
            .collect()
    }

    /// An index or manifest by tag or digest. The caller checks the digest.
    pub(crate) async fn manifest(&self, repository: &Repository, version: &str) -> Result<Bytes> {
        let accept = [MEDIA_MANIFEST, MEDIA_INDEX].concat().join(", ");
        let path = format!("/v2/{}/manifests/{version}", repository.repository);
        let what = format!("manifest {version} of {}", repository.repository);
        let response = self.get(repository, &path, Some(&accept), &what).await?;
        self.document(&repository.host, &what, response).await
    }

    /// A blob as a stream of chunks, each awaited no longer than the stall limit.
    pub(crate) async fn blob(&self, repository: &Repository, digest: &str) -> Result<Blob> {
        let path = format!("/v2/{}/blobs/{digest}", repository.repository);
        let what = format!("blob {digest}");
        let response = self.get(repository, &path, None, &what).await?;
        Ok(Blob { body: response.into_body(), stall: self.stall, host: repository.host.clone(), what })
    }

    fn options(&self, host: &str) -> Option<&RegistryOptions> {
        self.registries.iter().find(|o| o.host == host)
    }

    async fn get(
        &self,
        repository: &Repository,
        path: &str,
        accept: Option<&str>,
        what: &str,
    ) -> Result<Response<Incoming>> {
        let host = &repository.host;
        let network = if host == "docker.io" { "registry-1.docker.io" } else { host };
        let scheme = if self.is_plain(host) { "http" } else { "https" };
        let url = format!("{scheme}://{network}{path}");
        let scope = format!("repository:{}:pull", repository.repository);
        let user = repository.login.as_ref().map(|l| l.username.clone()).unwrap_or_default();
        let key = (format!("{host} {scope}"), user);
        let known = self.tokens.lock().get(&key).cloned();
        let response = self.follow(host, &url, accept, known.as_deref(), what).await?;
        if response.status() != StatusCode::UNAUTHORIZED {
            return self.accepted(host, what, response).await;
        }
        let authorization = self.log_in(repository, &scope, response.headers(), what).await?;
        let response = self.follow(host, &url, accept, Some(&authorization), what).await?;
        let response = self.accepted(host, what, response).await?;
        self.tokens.lock().insert(key, authorization);
        Ok(response)
    }

    async fn accepted(
        &self,
        host: &str,
        what: &str,
        response: Response<Incoming>,
    ) -> Result<Response<Incoming>> {
        if response.status().is_success() {
            return Ok(response);
        }
        let status = response.status();
        let mut problem = match status {
            StatusCode::NOT_FOUND => "not found".to_owned(),
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                "pull access denied; the image may be private: name a Secret in imagePullSecrets".to_owned()
            }
            StatusCode::TOO_MANY_REQUESTS => "too many requests; log in or wait".to_owned(),
            other => format!("answered {other}"),
        };
        if let Ok(body) = self.document(host, what, response).await
            && let Ok(json) = serde_json::from_slice::<serde_json::Value>(&body)
            && let Some(message) = json["errors"][0]["message"].as_str()
        {
            problem = format!("{problem} ({})", message.chars().take(200).collect::<String>());
        }
        Err(registry_error(host, what, problem))
    }

    /// Answers a `WWW-Authenticate` challenge with an `Authorization` value.
    async fn log_in(
        &self,
        repository: &Repository,
        scope: &str,
        headers: &HeaderMap,
        what: &str,
    ) -> Result<String> {
        let host = &repository.host;
        let challenges = headers.get_all(header::WWW_AUTHENTICATE).iter().filter_map(|v| v.to_str().ok());
        for challenge in challenges {
            let (scheme, rest) = challenge.split_once(' ').unwrap_or((challenge, ""));
            if scheme.eq_ignore_ascii_case("basic")
                && let Some(login) = &repository.login
            {
                return Ok(login.basic());
            }
            if !scheme.eq_ignore_ascii_case("bearer") {
                continue;
            }
            let parameters = challenge_parameters(rest);
            let Some(realm) = parameters.get("realm") else { continue };
            let mut query = format!("scope={}", encode(scope));
            if let Some(service) = parameters.get("service") {
                query = format!("service={}&{query}", encode(service));
            }
            let separator = if realm.contains('?') { '&' } else { '?' };
            let url = format!("{realm}{separator}{query}");
            let plain = url.starts_with("http://");
            if plain && !self.is_plain(host) {
                return Err(registry_error(host, what, "asks to log in over plain HTTP".to_owned()));
            }
            let basic = repository.login.as_ref().map(Login::basic);
            let response = self.follow(host, &url, None, basic.as_deref(), "token").await?;
            let response = self.accepted(host, "token", response).await?;
            let body = self.document(host, "token", response).await?;
            let json: serde_json::Value = serde_json::from_slice(&body)
                .map_err(|_| registry_error(host, "token", "answered no JSON".to_owned()))?;
            let token = json["token"].as_str().or_else(|| json["access_token"].as_str());
            let token = token.ok_or_else(|| registry_error(host, "token", "answered no token".to_owned()))?;
            return Ok(format!("Bearer {token}"));
        }
        Err(registry_error(
            host,
            what,
            "pull access denied; the image may be private: name a Secret in imagePullSecrets".to_owned(),
        ))
    }

    /// Sends a GET and follows redirects; a login is not carried to another host.
    async fn follow(
        &self,
        host: &str,
        url: &str,
        accept: Option<&str>,
        authorization: Option<&str>,
        what: &str,
    ) -> Result<Response<Incoming>> {
        let fail = |problem: String| registry_error(host, what, problem);
        let mut uri: Uri = url.parse().map_err(|_| fail(format!("not an address: {url}")))?;
        let mut authorization = authorization.map(str::to_owned);
        for _ in 0..=MAX_REDIRECTS {
            let response = timeout(self.stall, self.send(host, &uri, accept, authorization.as_deref()))
                .await
                .map_err(|_| fail(format!("no answer within {} s", self.stall.as_secs())))?
                .map_err(fail)?;
            if !response.status().is_redirection() {
                return Ok(response);
            }
            let location = response.headers().get(header::LOCATION).and_then(|l| l.to_str().ok());
            let location = location.ok_or_else(|| fail("redirects to nowhere".to_owned()))?;
            let next: Uri = if location.starts_with('/') {
                format!("{}://{}{location}", uri.scheme_str().unwrap_or("https"), authority(&uri)).parse()
            } else {
                location.parse()
            }
            .map_err(|_| fail("redirects to something that is no address".to_owned()))?;
            if next.scheme_str() == Some("http") && uri.scheme_str() == Some("https") {
                return Err(fail("redirects from https to http".to_owned()));
            }
            if next.authority() != uri.authority() {
                authorization = None;
            }
            uri = next;
        }
        Err(fail("redirects too often".to_owned()))
    }

    async fn send(
        &self,
        registry: &str,
        uri: &Uri,
        accept: Option<&str>,
        authorization: Option<&str>,
    ) -> std::result::Result<Response<Incoming>, String> {
        let https = uri.scheme_str() == Some("https");
        let host = uri.host().ok_or("an address without a host")?.trim_matches(['[', ']']).to_owned();
        let port = uri.port_u16().unwrap_or(if https { 443 } else { 80 });
        let stream = connect(&host, port).await?;
        let mut request = Request::get(uri.path_and_query().map_or("/", |p| p.as_str()))
            .header(header::HOST, authority(uri))
            .header(header::USER_AGENT, concat!("seaway/", env!("CARGO_PKG_VERSION")));
        if let Some(accept) = accept {
            request = request.header(header::ACCEPT, accept);
        }
        if let Some(authorization) = authorization {
            request = request.header(header::AUTHORIZATION, authorization);
        }
        let request = request.body(Empty::<Bytes>::new()).map_err(|e| e.to_string())?;
        if !https {
            return exchange(TokioIo::new(stream), request).await;
        }
        let name = ServerName::try_from(host.clone()).map_err(|_| format!("{host} is no host name"))?;
        let tls = tokio_rustls::TlsConnector::from(self.tls(registry)?);
        let stream = tls.connect(name, stream).await.map_err(|e| format!("TLS: {e}"))?;
        exchange(TokioIo::new(stream), request).await
    }

    fn tls(&self, registry: &str) -> std::result::Result<Arc<rustls::ClientConfig>, String> {
        if let Some(config) = self.tls.lock().get(registry) {
            return Ok(config.clone());
        }
        let mut roots = rustls::RootCertStore::empty();
        for certificate in rustls_native_certs::load_native_certs().certs {
            let _ = roots.add(certificate); // A broken one among the system's is not ours to judge.
        }
        let ca =
            self.registries.iter().find(|o| o.host == registry || o.mirrors.iter().any(|m| m == registry));
        if let Some(path) = ca.and_then(|o| o.ca.as_ref()) {
            let certificates = CertificateDer::pem_file_iter(path)
                .map_err(|e| format!("CA file {}: {e}", path.display()))?;
            for certificate in certificates {
                let certificate = certificate.map_err(|e| format!("CA file {}: {e}", path.display()))?;
                roots.add(certificate).map_err(|e| format!("CA file {}: {e}", path.display()))?;
            }
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|e| format!("TLS: {e}"))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let config = Arc::new(config);
        self.tls.lock().insert(registry.to_owned(), config.clone());
        Ok(config)
    }

    fn is_plain(&self, host: &str) -> bool {
        let name = match host.rsplit_once(':') {
            Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
            _ => host,
        };
        let name = name.trim_matches(['[', ']']);
        let loopback = name == "localhost" || name.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
        let configured =
            self.registries.iter().find(|o| o.host == host || o.mirrors.iter().any(|m| m == host));
        match configured {
            Some(options) if options.ca.is_some() => false,
            Some(options) => options.plain_http || loopback,
            None => loopback,
        }
    }

    async fn document(&self, host: &str, what: &str, response: Response<Incoming>) -> Result<Bytes> {
        let limited = http_body_util::Limited::new(response.into_body(), MAX_DOCUMENT);
        match timeout(self.stall, limited.collect()).await {
            Ok(Ok(body)) => Ok(body.to_bytes()),
            Ok(Err(e)) => Err(registry_error(host, what, e.to_string())),
            Err(_) => Err(registry_error(host, what, format!("no answer within {} s", self.stall.as_secs()))),
        }
    }
}

/// A blob on its way.
#[derive(Debug)]
pub(crate) struct Blob {
    body: Incoming,
    stall: Duration,
    host: String,
    what: String,
}

impl Blob {
    /// The next piece, `None` at the end.
    pub(crate) async fn chunk(&mut self) -> Result<Option<Bytes>> {
        loop {
            let frame = timeout(self.stall, self.body.frame()).await.map_err(|_| {
                registry_error(&self.host, &self.what, format!("stalled for {} s", self.stall.as_secs()))
            })?;
            match frame {
                None => return Ok(None),
                Some(Err(e)) => return Err(registry_error(&self.host, &self.what, e.to_string())),
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => return Ok(Some(data)),
                    Err(_trailers) => continue,
                },
            }
        }
    }
}

fn registry_error(host: &str, what: &str, problem: String) -> Error {
    Error::Registry { host: host.to_owned(), what: what.to_owned(), problem }
}

fn authority(uri: &Uri) -> &str {
    uri.authority().map_or("", |a| a.as_str())
}

/// Resolves, checks and connects to the checked address: link-local ones (cloud metadata) are never a registry.
async fn connect(host: &str, port: u16) -> std::result::Result<TcpStream, String> {
    let addresses = tokio::net::lookup_host((host, port)).await.map_err(|e| format!("lookup {host}: {e}"))?;
    let addresses: Vec<SocketAddr> = addresses.filter(|a| !is_link_local(a.ip())).collect();
    if addresses.is_empty() {
        return Err(format!("lookup {host}: no address that may be used"));
    }
    let mut last = String::new();
    for address in addresses {
        match TcpStream::connect(address).await {
            Ok(stream) => return Ok(stream),
            Err(e) => last = format!("connect to {address}: {e}"),
        }
    }
    Err(last)
}

fn is_link_local(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_link_local(),
        IpAddr::V6(ip) => {
            ip.is_unicast_link_local() || ip.to_ipv4_mapped().is_some_and(|ip| ip.is_link_local())
        }
    }
}

async fn exchange<S>(
    stream: TokioIo<S>,
    request: Request<Empty<Bytes>>,
) -> std::result::Result<Response<Incoming>, String>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(stream).await.map_err(|e| e.to_string())?;
    // Ends by itself: with the body's last byte, or when the body is dropped.
    tokio::spawn(connection);
    sender.send_request(request).await.map_err(|e| e.to_string())
}

fn encode(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b':' | b'/' => {
                out.push(byte as char)
            }
            other => out.push_str(&format!("%{other:02X}")),
        }
    }
    out
}

/// `realm="…",service="…"` as pairs.
fn challenge_parameters(text: &str) -> HashMap<String, String> {
    let mut found = HashMap::new();
    let mut rest = text.trim();
    while let Some((key, after)) = rest.split_once('=') {
        let (value, next) = match after.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"').unwrap_or((quoted, "")),
            None => after.split_once(',').unwrap_or((after, "")),
        };
        found.insert(key.trim().to_ascii_lowercase(), value.to_owned());
        rest = next.trim_start_matches([',', ' ']);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_challenge_with_commas_inside_quotes_is_read() {
        let found = challenge_parameters(
            r#"realm="https://auth.r.io/token",service="r.io",scope="repository:a/b:pull,push""#,
        );
        assert_eq!(found["realm"], "https://auth.r.io/token");
        assert_eq!(found["service"], "r.io");
        assert_eq!(found["scope"], "repository:a/b:pull,push");
    }

    #[test]
    fn link_local_addresses_are_no_registry() {
        assert!(is_link_local("169.254.169.254".parse().expect("an address")));
        assert!(is_link_local("::ffff:169.254.169.254".parse().expect("an address")));
        assert!(!is_link_local("127.0.0.1".parse().expect("an address")));
    }
}
