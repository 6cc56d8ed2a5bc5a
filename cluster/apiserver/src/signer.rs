//! Signs certificates for clients with the data folder's authority.

use rcgen::{
    CertificateSigningRequestParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::prelude::FromDer;

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
        // The library keeps one value of each kind in a name: a certificate of fewer groups would be another's.
        match groups(wanted.request).map(|groups| groups.len()) {
            Some(0 | 1) => {}
            Some(_) => return Err("a subject with more than one organization is not supported".into()),
            None => return Err("the request cannot be read".into()),
        }
        let mut request =
            CertificateSigningRequestParams::from_pem(wanted.request).map_err(|e| e.to_string())?;
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
        Ok(request.signed_by(&self.0).map_err(|e| e.to_string())?.pem())
    }
}

/// Groups (organizations) that the subject of a certificate request names; `None` when it cannot be read.
pub(crate) fn groups(request: &str) -> Option<Vec<String>> {
    let (_, pem) = x509_parser::pem::parse_x509_pem(request.as_bytes()).ok()?;
    let (_, request) = X509CertificationRequest::from_der(&pem.contents).ok()?;
    let subject = &request.certification_request_info.subject;
    subject.iter_organization().map(|group| group.as_str().ok().map(str::to_owned)).collect()
}
