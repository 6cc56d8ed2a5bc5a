//! Signs certificates with the data folder's authority: of users, and of kubelets.

use std::net::IpAddr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rcgen::{
    CertificateSigningRequestParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    SanType, SigningKey,
};
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::prelude::{FromDer, X509Certificate};
use x509_parser::x509::X509Name;

use crate::identity::MASTERS;

/// The signer whose certificates the API takes as those of users
/// (<https://kubernetes.io/docs/reference/access-authn-authz/certificate-signing-requests/>).
pub(crate) const CLIENTS: &str = "kubernetes.io/kube-apiserver-client";
/// The same, for kubelets: users of the group `system:nodes`, which has no rights by itself.
const KUBELET_CLIENTS: &str = "kubernetes.io/kube-apiserver-client-kubelet";
/// The signer of the certificates that kubelets show to their clients.
const KUBELET_SERVERS: &str = "kubernetes.io/kubelet-serving";

/// Longest life of a certificate, in seconds, as kube-controller-manager has it: a year.
const LONGEST: i64 = 365 * 24 * 60 * 60;
/// How long before now a certificate begins, for clocks that differ.
const BACKDATED: time::Duration = time::Duration::minutes(5);

/// Group and name of kubelets.
const NODES: &str = "system:nodes";
const NODE: &str = "system:node:";

/// Whether requests for this signer are ours to sign.
pub(crate) fn signs(signer: &str) -> bool {
    matches!(signer, CLIENTS | KUBELET_CLIENTS | KUBELET_SERVERS)
}

/// What a request asks for.
pub(crate) struct Wanted<'a> {
    /// The certificate request, PEM.
    pub(crate) request: &'a str,
    /// One that [`signs`].
    pub(crate) signer: &'a str,
    /// Key usages by their names in Kubernetes, such as `client auth`.
    pub(crate) usages: Vec<&'a str>,
    /// Seconds that the certificate is to hold.
    pub(crate) expiration_seconds: Option<i64>,
}

/// The authority's key. It leaves this type in signatures only.
pub(crate) struct Signer {
    issuer: Issuer<'static, KeyPair>,
    /// Addresses that the API server's own certificate names, besides loopback.
    own: Vec<IpAddr>,
}

impl Signer {
    /// `own` are the addresses at which the API is reached, besides loopback: they are in nobody else's certificate.
    pub(crate) fn new(issuer: Issuer<'static, KeyPair>, own: &[IpAddr]) -> Self {
        Self { issuer, own: own.to_vec() }
    }

    /// A certificate, PEM; or why there cannot be one.
    pub(crate) fn sign(&self, wanted: &Wanted<'_>, now: jiff::Timestamp) -> Result<String, String> {
        let serves = wanted.signer == KUBELET_SERVERS;
        let key_usages = key_usages(wanted)?;
        let der = der(wanted.request).ok_or("it is not one certificate request in PEM and nothing else")?;
        let (_, read) = X509CertificationRequest::from_der(&der).map_err(|e| e.to_string())?;
        let subject = &read.certification_request_info.subject;
        let asked = organizations(subject).ok_or("the request cannot be read")?;
        // Of several, one would be looked at here, and another one be who the certificate is of.
        if subject.iter_common_name().count() != 1 {
            return Err("the subject must have exactly one common name".to_owned());
        }
        let mut request =
            CertificateSigningRequestParams::from_der(&der.as_slice().into()).map_err(|e| e.to_string())?;
        if wanted.signer != CLIENTS {
            of_kubelet(subject, &asked, &request.params.subject_alt_names, serves, &self.own)?;
        }
        // Of what the request says, the subject, the key and what a server is called count.
        let params = &mut request.params;
        params.is_ca = IsCa::ExplicitNoCa;
        if !serves {
            params.subject_alt_names = vec![];
        }
        params.key_usages = key_usages;
        params.extended_key_usages = vec![if serves {
            ExtendedKeyUsagePurpose::ServerAuth
        } else {
            ExtendedKeyUsagePurpose::ClientAuth
        }];
        params.custom_extensions = vec![];
        params.use_authority_key_identifier_extension = true;
        let seconds = wanted.expiration_seconds.unwrap_or(LONGEST).clamp(600, LONGEST);
        let now = time::OffsetDateTime::from_unix_timestamp(now.as_second()).map_err(|e| e.to_string())?;
        params.not_before = now - BACKDATED;
        params.not_after = now + time::Duration::seconds(seconds);
        let signed = request.signed_by(&self.issuer).map_err(|e| e.to_string())?;
        // The library keeps one value of each kind in a name: of several groups only the last.
        let signed = match asked.len() {
            0 | 1 => signed.der().to_vec(),
            _ => self.with_subject(signed.der(), subject.as_raw())?,
        };
        // Two parsers have read the request: what is given out says what was looked at.
        let (_, certificate) = X509Certificate::from_der(&signed).map_err(|e| e.to_string())?;
        let given = organizations(certificate.subject()).ok_or("the subject cannot be read")?;
        if given != asked || given.iter().any(|group| group == MASTERS) {
            return Err(format!("the subject is not one that {} signs", wanted.signer));
        }
        Ok(pem(&signed))
    }

    /// A certificate with another subject, signed anew (RFC 5280, 4.1: a sequence of what is signed, the algorithm and
    /// the signature).
    fn with_subject(&self, certificate: &[u8], subject: &[u8]) -> Result<Vec<u8>, String> {
        const UNREADABLE: &str = "the certificate cannot be read";
        let (_, read) = X509Certificate::from_der(certificate).map_err(|e| e.to_string())?;
        let old = read.tbs_certificate.subject.as_raw();
        let (signed, rest) = element(content(certificate).ok_or(UNREADABLE)?).ok_or(UNREADABLE)?;
        let (algorithm, _) = element(rest).ok_or(UNREADABLE)?;
        // Version, serial number, algorithm, issuer and validity stand before the subject.
        let mut left = content(signed).ok_or(UNREADABLE)?;
        let mut parts = Vec::with_capacity(certificate.len() + subject.len());
        for _ in 0..5 {
            let (part, after) = element(left).ok_or(UNREADABLE)?;
            parts.extend_from_slice(part);
            left = after;
        }
        let (found, after) = element(left).ok_or(UNREADABLE)?;
        if found != old {
            return Err(UNREADABLE.to_owned());
        }
        parts.extend_from_slice(subject);
        parts.extend_from_slice(after);
        let to_sign = encode(SEQUENCE, &parts);
        let signature = self.issuer.key().sign(&to_sign).map_err(|e| e.to_string())?;
        // No bits of the last byte are unused.
        let signature = encode(BIT_STRING, &[&[0], signature.as_slice()].concat());
        Ok(encode(SEQUENCE, &[&to_sign, algorithm, &signature].concat()))
    }
}

/// What the key may be used for, if these usages are for the signer.
fn key_usages(wanted: &Wanted<'_>) -> Result<Vec<KeyUsagePurpose>, String> {
    let role = if wanted.signer == KUBELET_SERVERS { "server auth" } else { "client auth" };
    let mut found = vec![];
    for usage in &wanted.usages {
        match *usage {
            usage if usage == role => {}
            "digital signature" => found.push(KeyUsagePurpose::DigitalSignature),
            "key encipherment" => found.push(KeyUsagePurpose::KeyEncipherment),
            other => return Err(format!("usage {other:?} is not for {}", wanted.signer)),
        }
    }
    let needed: &[&str] = if wanted.signer == CLIENTS { &[role] } else { &[role, "digital signature"] };
    match needed.iter().find(|needed| !wanted.usages.contains(needed)) {
        Some(missing) => Err(format!("the usages must include {missing:?}")),
        None => Ok(found),
    }
}

/// What kube-controller-manager asks of a kubelet's request.
fn of_kubelet(
    subject: &X509Name<'_>,
    groups: &[String],
    names: &[SanType],
    serves: bool,
    own: &[IpAddr],
) -> Result<(), String> {
    if groups != [NODES] {
        return Err(format!("subject organization is not {NODES}"));
    }
    let common = subject.iter_common_name().next().and_then(|name| name.as_str().ok());
    if !common.is_some_and(|name| name.starts_with(NODE)) {
        return Err(format!("subject common name does not begin with {NODE}"));
    }
    if !serves {
        return match names {
            [] => Ok(()),
            _ => Err("subjectAltNames are not allowed".to_owned()),
        };
    }
    let mut named = false;
    for name in names {
        match name {
            // With these somebody could pass for the API.
            SanType::DnsName(name) if is_own_name(name.as_str()) => {
                return Err(format!("{:?} is the API server's own name", name.as_str()));
            }
            SanType::DnsName(name) if name.as_str().starts_with('*') => {
                return Err(format!(
                    "{:?} stands for many names, which none of a kubelet does",
                    name.as_str()
                ));
            }
            SanType::IpAddress(address) if is_own_address(*address, own) => {
                return Err(format!("{address} is the API server's own address"));
            }
            SanType::DnsName(_) | SanType::IpAddress(_) => named = true,
            SanType::Rfc822Name(_) => return Err("Email subjectAltNames are not allowed".to_owned()),
            SanType::URI(_) => return Err("URI subjectAltNames are not allowed".to_owned()),
            _ => return Err("other subjectAltNames than DNS and IP are not allowed".to_owned()),
        }
    }
    if named { Ok(()) } else { Err("DNS or IP subjectAltName is required".to_owned()) }
}

fn is_own_name(name: &str) -> bool {
    // With a dot at its end it is the same name.
    crate::pki::NAMES.contains(&name.trim_end_matches('.').to_lowercase().as_str())
}

/// Also as the IPv6 address that stands for one of IPv4 (RFC 4291, 2.5.5.2).
fn is_own_address(address: IpAddr, own: &[IpAddr]) -> bool {
    let address = address.to_canonical();
    address.is_loopback() || own.iter().any(|own| own.to_canonical() == address)
}

/// Tags of DER (X.690).
const SEQUENCE: u8 = 0x30;
const BIT_STRING: u8 = 0x03;

/// The first element of a content, and what comes after it.
fn element(content: &[u8]) -> Option<(&[u8], &[u8])> {
    let (header, length) = header(content)?;
    content.split_at_checked(header.checked_add(length)?)
}

/// What an element holds.
fn content(element: &[u8]) -> Option<&[u8]> {
    let (header, length) = header(element)?;
    element.get(header..header.checked_add(length)?)
}

/// Lengths of the header of an element and of its content. Longer ones than 64 KiB are in no certificate.
fn header(element: &[u8]) -> Option<(usize, usize)> {
    match *element.get(1..)? {
        [short, ..] if short < 0x80 => Some((2, short.into())),
        [0x81, one, ..] => Some((3, one.into())),
        [0x82, high, low, ..] => Some((4, usize::from(high) << 8 | usize::from(low))),
        _ => None,
    }
}

fn encode(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len().to_be_bytes();
    let digits = &length[length.iter().take_while(|byte| **byte == 0).count()..];
    let mut out = vec![tag];
    match digits {
        [] => out.push(0),
        [short] if *short < 0x80 => out.push(*short),
        digits => {
            out.push(0x80 | u8::try_from(digits.len()).unwrap_or(8));
            out.extend_from_slice(digits);
        }
    }
    out.extend_from_slice(content);
    out
}

/// A certificate as text (RFC 7468).
fn pem(certificate: &[u8]) -> String {
    let mut out = "-----BEGIN CERTIFICATE-----\n".to_owned();
    for line in STANDARD.encode(certificate).as_bytes().chunks(64) {
        out.push_str(&String::from_utf8_lossy(line));
        out.push('\n');
    }
    out.push_str("-----END CERTIFICATE-----\n");
    out
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn no_kubelet_gets_a_certificate_for_an_address_at_which_the_api_is_reached() {
        let key = || KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
        let mut authority = rcgen::CertificateParams::default();
        authority.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let signer = Signer::new(Issuer::new(authority, key()), &["192.0.2.7".parse().unwrap()]);
        let asked = |address: &str| {
            let mut params = rcgen::CertificateParams::default();
            params.distinguished_name = rcgen::DistinguishedName::new();
            params.distinguished_name.push(rcgen::DnType::CommonName, "system:node:a");
            params.distinguished_name.push(rcgen::DnType::OrganizationName, NODES);
            params.subject_alt_names = vec![SanType::IpAddress(address.parse().unwrap())];
            let request = params.serialize_request(&key()).unwrap().pem().unwrap();
            let usages = vec!["digital signature", "server auth"];
            let wanted =
                Wanted { request: &request, signer: KUBELET_SERVERS, usages, expiration_seconds: None };
            signer.sign(&wanted, jiff::Timestamp::now())
        };
        for own in ["192.0.2.7", "::ffff:192.0.2.7", "::ffff:127.0.0.1", "::1"] {
            assert!(asked(own).unwrap_err().contains("own address"), "{own}");
        }
        assert!(asked("192.0.2.8").is_ok());
    }
}
