//! Keys and certificates of one data folder: the authority, the server's certificate, the key that
//! signs ServiceAccount tokens and the administrator's token. All are made at the first start.

use std::io::Write;
use std::net::IpAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::signer::Signer;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, SanType,
};
use rustls::DigitallySignedStruct;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, UnixTime};

/// A file of keys that cannot be read, made or understood.
#[derive(Debug, thiserror::Error)]
pub enum PkiError {
    /// Reading or writing failed.
    #[error("{path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: std::io::Error,
    },
    /// The content is not what it should be.
    #[error("{path}: {reason}; remove the pki folder beside it to make new keys (issued tokens end)")]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
}

/// A token that must not be printed.
#[derive(Clone)]
pub struct Secret(String);

impl Secret {
    /// The secret itself, for the one place that sends or writes it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// What the files hold.
pub(crate) struct Pki {
    pub(crate) ca_pem: String,
    pub(crate) tls: Arc<rustls::ServerConfig>,
    pub(crate) clients: Arc<Clients>,
    pub(crate) token_key_pem: Secret,
    pub(crate) admin_token: Secret,
    pub(crate) signer: Signer,
}

/// Names under which pods and people reach the server.
pub(crate) const NAMES: [&str; 5] = [
    "localhost",
    "kubernetes",
    "kubernetes.default",
    "kubernetes.default.svc",
    "kubernetes.default.svc.cluster.local",
];

impl Pki {
    /// Reads the files below `folder`, making those that are missing.
    pub(crate) fn open(folder: &Path, addresses: &[IpAddr]) -> Result<Self, PkiError> {
        std::fs::create_dir_all(folder).map_err(|source| PkiError::File { path: folder.into(), source })?;
        let ca_key_path = folder.join("ca.key");
        let ca_key_pem = read_or_make(&ca_key_path, || Ok(key()?.serialize_pem()))?;
        let content = |path: &Path| {
            let path = path.to_owned();
            move |e: rcgen::Error| PkiError::Content { path, reason: e.to_string() }
        };
        let ca_key = KeyPair::from_pem(&ca_key_pem).map_err(content(&ca_key_path))?;
        let ca_path = folder.join("ca.crt");
        let ca_pem = read_or_make(&ca_path, || Ok(authority().self_signed(&ca_key)?.pem()))?;
        let issuer = Issuer::from_ca_cert_pem(&ca_pem, &ca_key).map_err(content(&ca_path))?;

        // The server's certificate is made anew at each start: its addresses follow the options.
        let server_key = key().map_err(content(&ca_path))?;
        let server = server_params(addresses).signed_by(&server_key, &issuer).map_err(content(&ca_path))?;
        let (tls, clients) = tls_config(&ca_pem, server.der().clone(), &server_key)
            .map_err(|reason| PkiError::Content { path: ca_path.clone(), reason })?;

        let token_key_pem = read_or_make(&folder.join("service-account.key"), || Ok(key()?.serialize_pem()))?;
        let admin_token = read_or_make(&folder.join("admin.token"), || Ok(random_token()))?;
        let issuer = Issuer::from_ca_cert_pem(&ca_pem, ca_key).map_err(content(&ca_path))?;
        Ok(Self {
            signer: Signer::new(issuer, addresses),
            ca_pem,
            tls: Arc::new(tls),
            clients,
            token_key_pem: Secret(token_key_pem),
            admin_token: Secret(admin_token.trim().to_owned()),
        })
    }
}

fn key() -> Result<KeyPair, rcgen::Error> {
    KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256)
}

fn authority() -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, "seaway-ca");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages =
        vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign, KeyUsagePurpose::DigitalSignature];
    params
}

fn server_params(addresses: &[IpAddr]) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, "kube-apiserver");
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    let names = NAMES.iter().filter_map(|n| Some(SanType::DnsName((*n).try_into().ok()?)));
    let loopback = [IpAddr::from([127, 0, 0, 1]), IpAddr::from([0, 0, 0, 0, 0, 0, 0, 1])];
    let addresses = loopback.into_iter().chain(addresses.iter().copied()).map(SanType::IpAddress);
    params.subject_alt_names = names.chain(addresses).collect();
    params
}

fn tls_config(
    ca_pem: &str,
    server: CertificateDer<'static>,
    server_key: &KeyPair,
) -> Result<(rustls::ServerConfig, Arc<Clients>), String> {
    let ca = CertificateDer::from_pem_slice(ca_pem.as_bytes()).map_err(|e| e.to_string())?;
    let mut roots = rustls::RootCertStore::empty();
    roots.add(ca).map_err(|e| e.to_string())?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let clients = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone())
        .allow_unauthenticated()
        .build()
        .map_err(|e| e.to_string())?;
    let clients = Arc::new(Clients(clients));
    let key = PrivateKeyDer::try_from(server_key.serialize_der()).map_err(str::to_owned)?;
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| e.to_string())?
        .with_client_cert_verifier(clients.clone())
        .with_single_cert(vec![server], key)
        .map_err(|e| e.to_string())?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok((config, clients))
}

/// Looks at the certificates of clients. A handshake proves that the client has the key of its certificate; whether the
/// authority signed it is asked afterwards, so that the client can be told (401) and can still come with a token.
#[derive(Debug)]
pub(crate) struct Clients(Arc<dyn ClientCertVerifier>);

impl Clients {
    /// Whether the authority vouches for the first certificate of a chain, now and for clients.
    pub(crate) fn vouches_for(&self, chain: &[CertificateDer<'_>]) -> bool {
        let Some((first, rest)) = chain.split_first() else { return false };
        match self.0.verify_client_cert(first, rest, UnixTime::now()) {
            Ok(_) => true,
            Err(error) => {
                tracing::debug!(%error, "the certificate of a client is not accepted");
                false
            }
        }
    }
}

impl ClientCertVerifier for Clients {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[rustls::DistinguishedName] {
        self.0.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}

/// 256 random bits; the prefix lets secret scanners and the gateway know it.
fn random_token() -> String {
    let bytes: [u8; 32] = rand::random();
    format!("swy_{}", URL_SAFE_NO_PAD.encode(bytes))
}

fn read_or_make(
    path: &Path,
    make: impl FnOnce() -> Result<String, rcgen::Error>,
) -> Result<String, PkiError> {
    let file = |source| PkiError::File { path: path.into(), source };
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(text),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            let text = make().map_err(|e| PkiError::Content { path: path.into(), reason: e.to_string() })?;
            write_private(path, &text).map_err(file)?;
            Ok(text)
        }
        Err(e) => Err(file(e)),
    }
}

/// Writes a file that only its owner can read, whole or not at all.
pub(crate) fn write_private(path: &Path, text: &str) -> std::io::Result<()> {
    let temporary = path.with_extension("new");
    let _ = std::fs::remove_file(&temporary);
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    std::fs::rename(&temporary, path)
}
