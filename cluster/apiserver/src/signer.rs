//! Signs certificates for clients with the data folder's authority.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rcgen::{
    CertificateSigningRequestParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::prelude::{FromDer, X509Certificate};
use x509_parser::x509::X509Name;

use crate::identity::MASTERS;

/// The signer whose certificates the API takes as those of users
/// (<https://kubernetes.io/docs/reference/access-authn-authz/certificate-signing-requests/>).
pub(crate) const CLIENTS: &str = "kubernetes.io/kube-apiserver-client";

/// Longest life of a certificate, in seconds, as kube-controller-manager has it: a year.
const LONGEST: i64 = 365 * 24 * 60 * 60;
/// How long before now a certificate begins, for clocks that differ.
const BACKDATED: time::Duration = time::Duration::minutes(5);

/// What a request asks for.
pub(crate) struct Wanted<'a> {
    /// The certificate request, PEM.
    pub(crate) request: &'a str,
    /// Key usages by their names in Kubernetes, such as `client auth`.
    pub(crate) usages: Vec<&'a str>,
    /// Seconds that the certificate is to hold.
    pub(crate) expiration_seconds: Option<i64>,
}

/// The authority's key. It leaves this type in signatures only.
pub(crate) struct Signer(Issuer<'static, KeyPair>);

impl Signer {
    pub(crate) fn new(issuer: Issuer<'static, KeyPair>) -> Self {
        Self(issuer)
    }

    /// A client's certificate, PEM; or why there cannot be one.
    pub(crate) fn sign(&self, wanted: &Wanted<'_>, now: jiff::Timestamp) -> Result<String, String> {
        let mut key_usages = vec![];
        for usage in &wanted.usages {
            match *usage {
                "client auth" => {}
                "digital signature" => key_usages.push(KeyUsagePurpose::DigitalSignature),
                "key encipherment" => key_usages.push(KeyUsagePurpose::KeyEncipherment),
                other => return Err(format!("usage {other:?} is not for {CLIENTS}")),
            }
        }
        if !wanted.usages.contains(&"client auth") {
            return Err("the usages must include \"client auth\"".into());
        }
        let der = der(wanted.request).ok_or("it is not one certificate request in PEM and nothing else")?;
        // The library keeps one value of each kind in a name: a certificate of fewer groups would be another's.
        let asked = subject_groups(&der).ok_or("the request cannot be read")?;
        if asked.len() > 1 {
            return Err("a subject with more than one organization is not supported".into());
        }
        let mut request =
            CertificateSigningRequestParams::from_der(&der.into()).map_err(|e| e.to_string())?;
        // Of what the request says, the subject and the key count.
        let params = &mut request.params;
        params.is_ca = IsCa::ExplicitNoCa;
        params.subject_alt_names = vec![];
        params.key_usages = key_usages;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        params.custom_extensions = vec![];
        params.use_authority_key_identifier_extension = true;
        let seconds = wanted.expiration_seconds.unwrap_or(LONGEST).clamp(600, LONGEST);
        let now = time::OffsetDateTime::from_unix_timestamp(now.as_second()).map_err(|e| e.to_string())?;
        params.not_before = now - BACKDATED;
        params.not_after = now + time::Duration::seconds(seconds);
        let signed = request.signed_by(&self.0).map_err(|e| e.to_string())?;
        // Two parsers have read the request: what is given out says what was looked at.
        let (_, certificate) = X509Certificate::from_der(signed.der()).map_err(|e| e.to_string())?;
        let given = organizations(certificate.subject()).ok_or("the subject cannot be read")?;
        if given != asked || given.iter().any(|group| group == MASTERS) {
            return Err(format!("the subject is not one that {CLIENTS} signs"));
        }
        Ok(signed.pem())
    }
}

/// Groups (organizations) that the subject of a certificate request names; `None` when it cannot be read.
pub(crate) fn groups(request: &str) -> Option<Vec<String>> {
    subject_groups(&der(request)?)
}

fn subject_groups(der: &[u8]) -> Option<Vec<String>> {
    let (_, request) = X509CertificationRequest::from_der(der).ok()?;
    organizations(&request.certification_request_info.subject)
}

fn organizations(subject: &X509Name<'_>) -> Option<Vec<String>> {
    subject.iter_organization().map(|group| group.as_str().ok().map(str::to_owned)).collect()
}

/// The bytes of the one certificate request that a PEM text holds. What else is in the text, one reader would pass over
/// and another one take.
fn der(pem: &str) -> Option<Vec<u8>> {
    const BEGIN: &str = "-----BEGIN CERTIFICATE REQUEST-----";
    const END: &str = "-----END CERTIFICATE REQUEST-----";
    let base64 = pem.trim().strip_prefix(BEGIN)?.strip_suffix(END)?;
    let base64: String = base64.split_ascii_whitespace().collect();
    STANDARD.decode(base64).ok()
}
