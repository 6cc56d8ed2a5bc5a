//! One request over one connection, to an address that the policy allows.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, ServerName};
use seaway_git::Dialer;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::Error;

/// Longer than a forge takes for anything.
const PATIENCE: Duration = Duration::from_secs(30);
/// Longest answer that is read: a page of merge requests has some kilobytes.
const LARGEST_ANSWER: usize = 4 << 20;

/// Where an API is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Api {
    pub(crate) tls: bool,
    pub(crate) host: String,
    pub(crate) port: u16,
    /// Before every path; without a slash at the end.
    pub(crate) root: String,
}

impl std::str::FromStr for Api {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let wrong = || Error::Url { url: text.to_owned() };
        let uri: http::Uri = text.parse().map_err(|_| wrong())?;
        let tls = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err(wrong()),
        };
        let has_user = uri.authority().is_some_and(|authority| authority.as_str().contains('@'));
        if has_user || uri.query().is_some() {
            return Err(wrong());
        }
        let host = uri.host().filter(|host| !host.is_empty()).ok_or_else(wrong)?;
        Ok(Self {
            tls,
            host: host.trim_matches(['[', ']']).to_owned(),
            port: uri.port_u16().unwrap_or(if tls { 443 } else { 80 }),
            root: uri.path().trim_end_matches('/').to_owned(),
        })
    }
}

impl Api {
    /// The `Host` of requests.
    pub(crate) fn authority(&self) -> String {
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        match (self.tls, self.port) {
            (true, 443) | (false, 80) => host,
            (_, port) => format!("{host}:{port}"),
        }
    }

    /// Sends a request; the status and the content of the answer. `ca`: certificates that alone are trusted (PEM).
    pub(crate) async fn send(
        &self,
        dialer: Dialer,
        ca: Option<&str>,
        request: Request<Full<Bytes>>,
    ) -> Result<(StatusCode, Bytes), Error> {
        let late = |_| self.unreachable("it does not answer");
        tokio::time::timeout(PATIENCE, self.exchange(dialer, ca, request)).await.map_err(late)?
    }

    fn unreachable(&self, reason: impl std::fmt::Display) -> Error {
        Error::Unreachable { host: self.host.clone(), reason: reason.to_string() }
    }

    async fn exchange(
        &self,
        dialer: Dialer,
        ca: Option<&str>,
        request: Request<Full<Bytes>>,
    ) -> Result<(StatusCode, Bytes), Error> {
        if !self.tls && !dialer.policy().plain_http {
            return Err(
                self.unreachable("the token would go over plain http, which the policy does not allow")
            );
        }
        let stream = dialer.connect(&self.host, self.port).await.map_err(|error| self.unreachable(error))?;
        if !self.tls {
            return self.over(stream, request).await;
        }
        let config = ClientConfig::builder().with_root_certificates(self.roots(ca)?).with_no_client_auth();
        let name = ServerName::try_from(self.host.clone()).map_err(|error| self.unreachable(error))?;
        let stream = tokio_rustls::TlsConnector::from(Arc::new(config)).connect(name, stream).await;
        self.over(stream.map_err(|error| self.unreachable(error))?, request).await
    }

    fn roots(&self, ca: Option<&str>) -> Result<RootCertStore, Error> {
        let mut roots = RootCertStore::empty();
        match ca {
            None => drop(roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs)),
            Some(pem) => {
                for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
                    let certificate = certificate.map_err(|error| self.unreachable(error))?;
                    roots.add(certificate).map_err(|error| self.unreachable(error))?;
                }
            }
        }
        Ok(roots)
    }

    async fn over<S>(&self, stream: S, request: Request<Full<Bytes>>) -> Result<(StatusCode, Bytes), Error>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let fail = |error: hyper::Error| self.unreachable(error);
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(fail)?;
        // It ends with the answer.
        let connection = tokio::spawn(connection);
        let response = sender.send_request(request).await.map_err(fail)?;
        let status = response.status();
        let body = Limited::new(response.into_body(), LARGEST_ANSWER).collect().await;
        connection.abort();
        let body = body.map_err(|error| self.unreachable(error))?.to_bytes();
        Ok((status, body))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn an_api_is_scheme_host_and_a_beginning_of_paths() {
        let api: Api = "https://github.example.com/api/v3/".parse().unwrap();
        assert_eq!(
            (api.authority().as_str(), api.root.as_str(), api.port),
            ("github.example.com", "/api/v3", 443)
        );
        let api: Api = "http://[::1]:8080".parse().unwrap();
        assert_eq!((api.authority().as_str(), api.root.as_str()), ("[::1]:8080", ""));
        for bad in ["", "github.com", "ftp://x", "https://", "https://user:secret@x", "https://x/?a=b"] {
            assert!(bad.parse::<Api>().is_err(), "{bad}");
        }
    }
}
