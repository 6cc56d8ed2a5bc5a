//! Which certificate a client is shown: by the host that it asks for.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::RwLock;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::{ClientHello, ResolvesServerCert};
use tokio_rustls::rustls::sign::CertifiedKey;

use crate::table::HostPattern;

/// A certificate with its chain and key.
pub type Certificate = Arc<CertifiedKey>;

/// Reads a certificate chain and its key, both in PEM, as a `kubernetes.io/tls` Secret holds them.
///
/// The error is for the Secret's owner.
pub fn certificate(chain: &[u8], key: &[u8]) -> Result<Certificate, String> {
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(chain)
        .collect::<Result<_, _>>()
        .map_err(|error| format!("tls.crt is not PEM: {error}"))?;
    if chain.is_empty() {
        return Err("tls.crt holds no certificate".to_owned());
    }
    // What is wrong with a key is told without anything of it.
    let key =
        PrivateKeyDer::from_pem_slice(key).map_err(|_| "tls.key holds no private key in PEM".to_owned())?;
    let certified = CertifiedKey::from_der(chain, key, &aws_lc_rs::default_provider());
    certified.map(Arc::new).map_err(|error| format!("tls.crt and tls.key cannot be used: {error}"))
}

/// The certificates that are served now.
#[derive(Default)]
pub(crate) struct Certificates(RwLock<Arc<ByHost>>);

#[derive(Default)]
struct ByHost {
    exact: HashMap<String, Certificate>,
    wildcard: HashMap<String, Certificate>,
    any: Option<Certificate>,
    /// For clients that name no host.
    first: Option<Certificate>,
}

impl std::fmt::Debug for Certificates {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Certificates").finish_non_exhaustive()
    }
}

impl Certificates {
    /// Serves these from the next handshake on; of several for one host the first.
    pub(crate) fn set(&self, certificates: Vec<(HostPattern, Certificate)>) {
        let mut by_host = ByHost::default();
        for (host, certificate) in certificates {
            by_host.first.get_or_insert_with(|| Arc::clone(&certificate));
            match host {
                HostPattern::Any => drop(by_host.any.get_or_insert(certificate)),
                HostPattern::Wildcard(suffix) => drop(by_host.wildcard.entry(suffix).or_insert(certificate)),
                HostPattern::Exact(name) => drop(by_host.exact.entry(name).or_insert(certificate)),
            }
        }
        *self.0.write() = Arc::new(by_host);
    }

    /// Whether there is any.
    pub(crate) fn are_there(&self) -> bool {
        self.0.read().first.is_some()
    }

    fn find(&self, host: Option<&str>) -> Option<Certificate> {
        let by_host = Arc::clone(&self.0.read());
        let Some(host) = host.map(str::to_ascii_lowercase) else {
            return by_host.any.as_ref().or(by_host.first.as_ref()).map(Arc::clone);
        };
        let suffixes = host.match_indices('.').map(|(at, _)| &host[at..]);
        let wildcard = suffixes.filter(|suffix| suffix.len() < host.len());
        let wildcard = wildcard.filter_map(|suffix| by_host.wildcard.get(suffix)).next();
        by_host.exact.get(&host).or(wildcard).or(by_host.any.as_ref()).map(Arc::clone)
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Certificate> {
        self.find(hello.server_name())
    }
}

/// HTTP/1.1 and HTTP/2 with whatever certificate fits.
pub(crate) fn server_config(certificates: Arc<Certificates>) -> Arc<ServerConfig> {
    let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("the provider supports the default protocol versions")
        .with_no_client_auth()
        .with_cert_resolver(certificates);
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Arc::new(config)
}
