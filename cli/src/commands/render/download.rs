//! Single files that kustomizations name by URL.

use std::sync::Arc;
use std::time::Duration;

use http::header::{HOST, LOCATION, USER_AGENT};
use http::uri::{Authority, Scheme};
use http::{Request, Uri};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use miette::{IntoDiagnostic, WrapErr, miette};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use seaway_git::{Dialer, OutgoingPolicy};
use tokio::io::{AsyncRead, AsyncWrite};

/// A larger file is refused, in bytes.
const MAX_SIZE: usize = 32 << 20;
/// More redirects are a circle.
const MAX_REDIRECTS: usize = 5;

/// The content of a file. Every address is checked against the policy, those of redirects too.
pub(super) async fn get(url: &str, policy: OutgoingPolicy, limit: Duration) -> miette::Result<Vec<u8>> {
    tokio::time::timeout(limit, follow(url, policy))
        .await
        .unwrap_or_else(|_| Err(miette!("{url} did not come within {} s", limit.as_secs())))
}

async fn follow(url: &str, policy: OutgoingPolicy) -> miette::Result<Vec<u8>> {
    let mut uri: Uri = url.parse().into_diagnostic().wrap_err_with(|| format!("{url:?} is no URL"))?;
    for _ in 0..=MAX_REDIRECTS {
        let (authority, tls) = parts(&uri, policy)?;
        let answer = ask(&uri, &authority, tls, policy).await.wrap_err_with(|| format!("{uri}"))?;
        let status = answer.status();
        if status.is_redirection() {
            let to = answer.headers().get(LOCATION).and_then(|to| to.to_str().ok());
            let to = to.ok_or_else(|| miette!("{uri} redirects nowhere"))?;
            let next = beside(&uri, to)?;
            if tls && next.scheme() != Some(&Scheme::HTTPS) {
                return Err(miette!("{uri} redirects to {next}, which is not https"));
            }
            uri = next;
            continue;
        }
        if !status.is_success() {
            return Err(miette!("{uri} answers {status}"));
        }
        let body = Limited::new(answer.into_body(), MAX_SIZE).collect().await;
        let body = body.map_err(|error| miette!("{uri} (at most {MAX_SIZE} bytes): {error}"))?;
        return Ok(body.to_bytes().to_vec());
    }
    Err(miette!("{url} redirects more than {MAX_REDIRECTS} times"))
}

fn parts(uri: &Uri, policy: OutgoingPolicy) -> miette::Result<(Authority, bool)> {
    let tls = match uri.scheme_str() {
        Some("https") => true,
        Some("http") if policy.plain_http => false,
        Some("http") => {
            return Err(miette!(help = "use https, or --allow http", "{uri}: plain http is not allowed"));
        }
        _ => return Err(miette!("{uri} is neither https nor http")),
    };
    let authority = uri.authority().cloned().ok_or_else(|| miette!("{uri} names no host"))?;
    if authority.as_str().contains('@') {
        return Err(miette!("a URL with a user or a password in it is not fetched"));
    }
    Ok((authority, tls))
}

/// Where a `Location` leads (RFC 9110, 10.2.2): a whole URL, or a path on the same host.
fn beside(uri: &Uri, location: &str) -> miette::Result<Uri> {
    let bad = || format!("{uri} redirects to {location:?}");
    let location: Uri = location.parse().into_diagnostic().wrap_err_with(bad)?;
    if location.scheme().is_some() {
        return Ok(location);
    }
    let path = location.path_and_query().cloned().ok_or_else(|| miette!("{}", bad()))?;
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(path);
    Uri::from_parts(parts).into_diagnostic().wrap_err_with(bad)
}

async fn ask(
    uri: &Uri,
    authority: &Authority,
    tls: bool,
    policy: OutgoingPolicy,
) -> miette::Result<http::Response<Incoming>> {
    let host = authority.host().trim_start_matches('[').trim_end_matches(']');
    let port = authority.port_u16().unwrap_or(if tls { 443 } else { 80 });
    let stream = Dialer::new(policy).connect(host, port).await.into_diagnostic()?;
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let request = Request::get(path)
        .header(HOST, authority.as_str())
        .header(USER_AGENT, concat!("seaway/", env!("CARGO_PKG_VERSION")))
        .body(Empty::<Bytes>::new())
        .into_diagnostic()?;
    if !tls {
        return exchange(stream, request).await;
    }
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    let name = ServerName::try_from(host.to_owned()).into_diagnostic()?;
    let stream =
        tokio_rustls::TlsConnector::from(Arc::new(config)).connect(name, stream).await.into_diagnostic()?;
    exchange(stream, request).await
}

async fn exchange<S>(stream: S, request: Request<Empty<Bytes>>) -> miette::Result<http::Response<Incoming>>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.into_diagnostic()?;
    // It ends with the answer's body; its error is the answer's as well.
    tokio::spawn(connection);
    sender.send_request(request).await.into_diagnostic()
}
