//! The certificate of the server, read again when its files change: whoever renews it restarts nothing.

use std::path::{Path, PathBuf};
use std::sync::{Arc, RwLock};
use std::time::Duration;

use miette::{IntoDiagnostic, WrapErr};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

/// How often the files are looked at.
const LOOK: Duration = Duration::from_secs(5);

/// The certificate with which connections are answered now.
#[derive(Debug)]
struct Current(RwLock<Arc<CertifiedKey>>);

impl ResolvesServerCert for Current {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        // Nobody panics while it is written.
        self.0.read().ok().map(|current| current.clone())
    }
}

/// Serves with this certificate (PEM, with its chain), and with what its files hold from then on. Files that cannot be used
/// are told of, and the certificate before them stays.
///
/// # Errors
/// When the files cannot be used at the start.
pub(crate) fn serve(certificate: &Path, key: &Path) -> miette::Result<Arc<rustls::ServerConfig>> {
    let (first, files) = read(certificate, key)?;
    let current = Arc::new(Current(RwLock::new(Arc::new(first))));
    let config = rustls::ServerConfig::builder().with_no_client_auth().with_cert_resolver(current.clone());
    tokio::spawn(follow(certificate.to_owned(), key.to_owned(), files, current));
    Ok(Arc::new(config))
}

/// The contents of both files.
type Files = (Vec<u8>, Vec<u8>);

async fn follow(certificate: PathBuf, key: PathBuf, mut known: Files, current: Arc<Current>) {
    let mut refused = None;
    loop {
        tokio::time::sleep(LOOK).await;
        let (one, other) = (certificate.clone(), key.clone());
        let files = tokio::task::spawn_blocking(move || (std::fs::read(one), std::fs::read(other))).await;
        // A Secret's files are exchanged one after the other; what is not there now is there soon.
        let Ok((Ok(chain), Ok(private))) = files else { continue };
        let now = (chain, private);
        if now == known || refused.as_ref() == Some(&now) {
            continue;
        }
        match parse(&now) {
            Ok(renewed) => {
                if let Ok(mut current) = current.0.write() {
                    *current = Arc::new(renewed);
                }
                tracing::info!(certificate = %certificate.display(), "the certificate was renewed");
                (known, refused) = (now, None);
            }
            Err(error) => {
                let certificate = certificate.display();
                tracing::warn!(%certificate, %error, "the new certificate cannot be used: the one before it stays");
                refused = Some(now);
            }
        }
    }
}

fn read(certificate: &Path, key: &Path) -> miette::Result<(CertifiedKey, Files)> {
    let unusable = |path: &Path| format!("{} cannot be used", path.display());
    let file = |path: &Path| std::fs::read(path).into_diagnostic().wrap_err_with(|| unusable(path));
    let files = (file(certificate)?, file(key)?);
    let parsed =
        parse(&files).wrap_err_with(|| format!("{} with {}", unusable(certificate), key.display()))?;
    Ok((parsed, files))
}

/// A certificate with its key, which must belong to it.
fn parse((chain, key): &Files) -> miette::Result<CertifiedKey> {
    let chain: Vec<_> = CertificateDer::pem_slice_iter(chain).collect::<Result<_, _>>().into_diagnostic()?;
    if chain.is_empty() {
        return Err(miette::miette!("there is no certificate in PEM form in the file"));
    }
    let key = PrivateKeyDer::from_pem_slice(key).into_diagnostic().wrap_err("the private key")?;
    let provider = rustls::crypto::CryptoProvider::get_default()
        .ok_or_else(|| miette::miette!("no cryptography was chosen"))?;
    CertifiedKey::from_der(chain, key, provider).into_diagnostic()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn made(name: &str) -> (String, String) {
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate =
            rcgen::CertificateParams::new([name.to_owned()]).unwrap().self_signed(&key).unwrap();
        (certificate.pem(), key.serialize_pem())
    }

    #[test]
    fn a_certificate_needs_the_key_that_belongs_to_it() {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let (one, other) = (made("one.example.com"), made("other.example.com"));
        let parse = |chain: &str, key: &str| parse(&(chain.as_bytes().to_vec(), key.as_bytes().to_vec()));
        assert_eq!(parse(&one.0, &one.1).unwrap().cert.len(), 1);
        for (chain, key) in [(&*one.0, &*other.1), ("", &*one.1), (&*one.0, ""), ("-----BEGIN", "x")] {
            assert!(parse(chain, key).is_err(), "{chain} {key}");
        }
    }

    #[tokio::test]
    async fn what_is_unusable_at_the_start_is_named() {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let folder = tempfile::tempdir().unwrap();
        let (certificate, key) = (folder.path().join("tls.crt"), folder.path().join("tls.key"));
        let error = serve(&certificate, &key).unwrap_err();
        assert!(error.to_string().contains("tls.crt cannot be used"), "{error:?}");
    }
}
