//! One request over one connection.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use miette::{Diagnostic, IntoDiagnostic, WrapErr, miette};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use super::target::{Target, Trust};
use super::url::Url;

/// Until a connection is there.
const CONNECT: Duration = Duration::from_secs(10);

/// Nobody is there.
#[derive(Debug, thiserror::Error)]
#[error("{url} cannot be reached: {source}")]
struct Unreachable {
    url: Url,
    source: std::io::Error,
}

impl Diagnostic for Unreachable {
    fn help<'a>(&'a self) -> Option<Box<dyn std::fmt::Display + 'a>> {
        Some(Box::new(match self.url.is_loopback() {
            true => "is `seaway up` running?",
            false => "is that the address of your Seaway server?",
        }))
    }
}

/// Sends a request and returns the head of the answer.
pub(super) async fn send(
    target: &Target,
    request: Request<Full<Bytes>>,
) -> miette::Result<Response<Incoming>> {
    let url = &target.url;
    let stream = tokio::time::timeout(CONNECT, connect(url))
        .await
        .unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into()))
        .map_err(|source| Unreachable { url: url.clone(), source })?;
    if !url.tls {
        return exchange(stream, request)
            .await
            .wrap_err_with(|| format!("{url} does not answer as a server"));
    }
    let config = ClientConfig::builder().with_root_certificates(roots(&target.trust)?).with_no_client_auth();
    let name = ServerName::try_from(url.host.clone()).into_diagnostic()?;
    let handshake = tokio_rustls::TlsConnector::from(Arc::new(config)).connect(name, stream);
    let stream = tokio::time::timeout(CONNECT, handshake)
        .await
        .unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into()))
        .into_diagnostic()
        .wrap_err_with(|| format!("the certificate of {url} is not accepted; nothing was sent"))?;
    exchange(stream, request).await.wrap_err_with(|| format!("{url} does not answer as a server"))
}

/// A name that stands for this machine leads nowhere else, whatever a resolver says.
async fn connect(url: &Url) -> std::io::Result<TcpStream> {
    let addresses: Vec<SocketAddr> = tokio::net::lookup_host((url.host.as_str(), url.port))
        .await?
        .filter(|address| !url.is_loopback() || address.ip().is_loopback())
        .collect();
    TcpStream::connect(addresses.as_slice()).await
}

async fn exchange<S>(stream: S, request: Request<Full<Bytes>>) -> miette::Result<Response<Incoming>>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.into_diagnostic()?;
    // It ends with the answer's body; its error is the answer's as well.
    tokio::spawn(connection);
    sender.send_request(request).await.into_diagnostic()
}

fn roots(trust: &Trust) -> miette::Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    match trust {
        Trust::Machine => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
        Trust::Authority(pem) => {
            for certificate in CertificateDer::pem_slice_iter(pem) {
                let certificate =
                    certificate.into_diagnostic().wrap_err("the kubeconfig's certificate authority")?;
                roots
                    .add(certificate)
                    .into_diagnostic()
                    .wrap_err("the kubeconfig's certificate authority")?;
            }
        }
    }
    if roots.is_empty() {
        return Err(miette!("there is no certificate authority that could vouch for the server"));
    }
    Ok(roots)
}
