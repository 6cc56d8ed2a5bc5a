//! Probes: how one is run, and what a series of results means.

use crate::error::{Error, Result};
use crate::sandbox::NodeNamespace;
use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Limited};
use hyper_util::rt::TokioIo;
use k8s_openapi::api::core::v1::{Container, HTTPGetAction, Probe};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};

/// What of an answer is shown in an event.
const MAX_MESSAGE: usize = 10 * 1024;

/// Which of a container's probes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum ProbeKind {
    Startup,
    Liveness,
    Readiness,
}

impl ProbeKind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Startup => "Startup",
            Self::Liveness => "Liveness",
            Self::Readiness => "Readiness",
        }
    }
}

/// How often and how patiently a probe is run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    pub(crate) initial_delay: Duration,
    pub(crate) period: Duration,
    pub(crate) timeout: Duration,
    success: u32,
    failure: u32,
}

impl Pace {
    pub(crate) fn of(probe: &Probe) -> Self {
        let seconds = |value: Option<i32>, default: u64| {
            Duration::from_secs(
                value.and_then(|v| u64::try_from(v).ok()).filter(|v| *v > 0).unwrap_or(default),
            )
        };
        let count = |value: Option<i32>, default: u32| {
            value.and_then(|v| u32::try_from(v).ok()).filter(|v| *v > 0).unwrap_or(default)
        };
        Self {
            initial_delay: seconds(probe.initial_delay_seconds, 0),
            period: seconds(probe.period_seconds, 10),
            timeout: seconds(probe.timeout_seconds, 1),
            success: count(probe.success_threshold, 1),
            failure: count(probe.failure_threshold, 3),
        }
    }
}

/// Counts results until a threshold is reached.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counter {
    successes: u32,
    failures: u32,
}

impl Counter {
    /// The verdict that a result brings: `Some(true)` passed, `Some(false)` failed, `None` not yet.
    pub(crate) fn count(&mut self, ok: bool, pace: &Pace) -> Option<bool> {
        if ok {
            self.failures = 0;
            self.successes = self.successes.saturating_add(1);
            (self.successes >= pace.success).then_some(true)
        } else {
            self.successes = 0;
            self.failures = self.failures.saturating_add(1);
            (self.failures >= pace.failure).then_some(false)
        }
    }
}

/// The number of a port that may be named.
pub(crate) fn port(container: &Container, port: &IntOrString) -> Result<u16> {
    let number = match port {
        IntOrString::Int(number) => Some(*number),
        IntOrString::String(name) => container
            .ports
            .iter()
            .flatten()
            .find(|p| p.name.as_ref() == Some(name))
            .map(|p| p.container_port)
            .or_else(|| name.parse().ok()),
    };
    number.and_then(|n| u16::try_from(n).ok()).filter(|n| *n > 0).ok_or_else(|| Error::Spec {
        field: format!("container {}", container.name),
        problem: format!("no port {port:?}"),
    })
}

/// What a probe that took too long is said to have failed with, in the kubelet's words.
pub(crate) fn timed_out(container: &Container, address: Ipv4Addr, probe: &Probe, limit: Duration) -> String {
    let number = |named: &IntOrString| port(container, named).unwrap_or(0);
    if let Some(exec) = &probe.exec {
        let command = exec.command.clone().unwrap_or_default().join(" ");
        return format!("command timed out: \"{command}\" timed out after {}s", limit.as_secs());
    }
    if let Some(action) = &probe.http_get {
        let problem = "context deadline exceeded (Client.Timeout exceeded while awaiting headers)";
        return format!("Get \"{}\": {problem}", url(address, number(&action.port), action));
    }
    match &probe.tcp_socket {
        Some(action) => format!("dial tcp {address}:{}: i/o timeout", number(&action.port)),
        None => format!("no answer within {}s", limit.as_secs()),
    }
}

fn path(action: &HTTPGetAction) -> String {
    let path = action.path.as_deref().filter(|p| !p.is_empty()).unwrap_or("/");
    if path.starts_with('/') { path.to_owned() } else { format!("/{path}") }
}

fn url(address: Ipv4Addr, port: u16, action: &HTTPGetAction) -> String {
    let scheme = if action.scheme.as_deref() == Some("HTTPS") { "https" } else { "http" };
    format!("{scheme}://{address}:{port}{}", path(action))
}

/// Connects.
pub(crate) async fn tcp(namespace: &NodeNamespace, address: Ipv4Addr, port: u16) -> Result<(), String> {
    let connected = namespace.dial(SocketAddrV4::new(address, port)).await;
    connected.map(drop).map_err(|e| format!("dial tcp {address}:{port}: {}", cause(&e)))
}

/// Asks for a path; a status from 200 to 399 is good.
pub(crate) async fn http(
    namespace: &NodeNamespace,
    address: Ipv4Addr,
    port: u16,
    action: &HTTPGetAction,
) -> Result<(), String> {
    let https = action.scheme.as_deref() == Some("HTTPS");
    let url = url(address, port, action);
    let mut request = http::Request::get(path(action));
    let mut has_host = false;
    for header in action.http_headers.iter().flatten() {
        has_host |= header.name.eq_ignore_ascii_case("host");
        request = request.header(&header.name, &header.value);
    }
    if !has_host {
        let host = action.host.clone().filter(|h| !h.is_empty()).unwrap_or_else(|| address.to_string());
        request = request.header("Host", format!("{host}:{port}"));
    }
    let request = request
        .header("User-Agent", "kube-probe/1.37")
        .header("Accept", "*/*")
        .header("Connection", "close")
        .body(Empty::<Bytes>::new())
        .map_err(|e| e.to_string())?;
    let fail = |problem: String| format!("Get \"{url}\": {problem}");
    let stream = namespace
        .dial(SocketAddrV4::new(address, port))
        .await
        .map_err(|e| fail(format!("dial tcp {address}:{port}: {}", cause(&e))))?;
    if !https {
        return exchange(stream, request).await.map_err(|e| if e.starts_with("HTTP") { e } else { fail(e) });
    }
    let name = ServerName::from(std::net::IpAddr::V4(address));
    let tls = tokio_rustls::TlsConnector::from(Arc::new(any_certificate()));
    let stream = tls.connect(name, stream).await.map_err(|e| fail(e.to_string()))?;
    exchange(stream, request).await.map_err(|e| if e.starts_with("HTTP") { e } else { fail(e) })
}

async fn exchange<S>(stream: S, request: http::Request<Empty<Bytes>>) -> Result<(), String>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let handshake = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
    let (mut sender, connection) = handshake.map_err(|e| e.to_string())?;
    let connection = tokio::spawn(connection);
    let result = async {
        let response =
            sender.send_request(request).await.map_err(|e| match e.is_canceled() || e.is_closed() {
                true => "EOF".to_owned(),
                false => e.to_string(),
            })?;
        let status = response.status().as_u16();
        // A redirect to elsewhere is good enough, as the kubelet sees it.
        if (200..400).contains(&status) {
            let _ = Limited::new(response.into_body(), MAX_MESSAGE).collect().await;
            return Ok(());
        }
        Err(format!("HTTP probe failed with statuscode: {status}"))
    };
    let result = result.await;
    connection.abort();
    result
}

fn cause(error: &Error) -> String {
    match error {
        Error::Network { source, .. } => match source.kind() {
            std::io::ErrorKind::ConnectionRefused => "connect: connection refused".to_owned(),
            _ => source.to_string(),
        },
        other => other.to_string(),
    }
}

/// Probes do not check certificates: they ask whether something answers, not who it is.
fn any_certificate() -> rustls::ClientConfig {
    #[derive(Debug)]
    struct Any(Arc<rustls::crypto::CryptoProvider>);
    impl ServerCertVerifier for Any {
        fn verify_server_cert(
            &self,
            _: &CertificateDer<'_>,
            _: &[CertificateDer<'_>],
            _: &ServerName<'_>,
            _: &[u8],
            _: UnixTime,
        ) -> Result<ServerCertVerified, rustls::Error> {
            Ok(ServerCertVerified::assertion())
        }
        fn verify_tls12_signature(
            &self,
            _: &[u8],
            _: &CertificateDer<'_>,
            _: &rustls::DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, rustls::Error> {
            Ok(HandshakeSignatureValid::assertion())
        }
        fn verify_tls13_signature(
            &self,
            _: &[u8],
            _: &CertificateDer<'_>,
            _: &rustls::DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, rustls::Error> {
            Ok(HandshakeSignatureValid::assertion())
        }
        fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
            self.0.signature_verification_algorithms.supported_schemes()
        }
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    rustls::ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .expect("the provider supports the default protocol versions")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Any(provider)))
        .with_no_client_auth()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thresholds_count_results_in_a_row() {
        let probe = Probe { failure_threshold: Some(2), success_threshold: Some(2), ..Probe::default() };
        let pace = Pace::of(&probe);
        let mut counter = Counter::default();
        let verdicts: Vec<Option<bool>> =
            [false, true, false, false, true, true].into_iter().map(|ok| counter.count(ok, &pace)).collect();
        assert_eq!(verdicts, [None, None, None, Some(false), None, Some(true)]);
    }

    #[test]
    fn the_defaults_are_those_of_kubernetes() {
        let pace = Pace::of(&Probe::default());
        assert_eq!(
            (pace.initial_delay, pace.period, pace.timeout),
            (Duration::ZERO, Duration::from_secs(10), Duration::from_secs(1))
        );
        assert_eq!((pace.success, pace.failure), (1, 3));
    }
}
