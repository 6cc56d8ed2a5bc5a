//! The certificates of a listener: its references to Secrets, and what is wrong with them.

use super::conditions::Condition;
use super::grants::{End, Grants};
use super::objects::DataPlane;
use super::spec::SecretRefSpec;

/// Namespace and name of a Secret.
pub type SecretKey = (String, String);

/// What a listener's references lead to.
pub(crate) struct Certificates {
    /// Secrets that it may read, also those that are not there.
    pub(crate) wanted: Vec<SecretKey>,
    /// Those of them that hold a certificate.
    pub(crate) usable: Vec<SecretKey>,
    /// `ResolvedRefs`.
    pub(crate) resolved: Condition,
}

/// Follows the references of a listener of a Gateway in `namespace`.
pub(crate) fn resolve(
    references: &[SecretRefSpec],
    namespace: &str,
    grants: &Grants<'_>,
    plane: &DataPlane,
) -> Certificates {
    let (mut wanted, mut usable, mut problem) = (vec![], vec![], None);
    for reference in references {
        match follow(reference, namespace, grants) {
            Ok(key) => {
                let (target, name) = &key;
                match plane.certificates.get(&key) {
                    Some(Ok(())) => usable.push(key.clone()),
                    Some(Err(why)) => {
                        problem.get_or_insert((
                            "InvalidCertificateRef",
                            format!("Secret {target}/{name}: {why}"),
                        ));
                    }
                    None => {
                        let message = format!("Secret {target}/{name} does not exist");
                        problem.get_or_insert(("InvalidCertificateRef", message));
                    }
                }
                wanted.push(key);
            }
            Err(why) => drop(problem.get_or_insert(why)),
        }
    }
    let resolved = match problem {
        None => Condition::new("ResolvedRefs", true, "ResolvedRefs", "The certificates are served"),
        Some((reason, message)) => Condition::new("ResolvedRefs", false, reason, message),
    };
    Certificates { wanted, usable, resolved }
}

fn follow(
    reference: &SecretRefSpec,
    namespace: &str,
    grants: &Grants<'_>,
) -> Result<SecretKey, (&'static str, String)> {
    let group = reference.group.as_deref().unwrap_or("");
    let kind = reference.kind.as_deref().unwrap_or("Secret");
    if (group, kind) != ("", "Secret") {
        let message =
            format!("certificates of kind {kind} (group {group:?}) are not supported; use a Secret");
        return Err(("InvalidCertificateRef", message));
    }
    let target = reference.namespace.as_deref().unwrap_or(namespace);
    let from = End { group: crate::GROUP, kind: "Gateway", namespace };
    let to = End { group: "", kind: "Secret", namespace: target };
    if grants.allow(from, to, &reference.name) {
        return Ok((target.to_owned(), reference.name.clone()));
    }
    let name = &reference.name;
    let message = format!(
        "no ReferenceGrant in namespace {target} lets Gateways of {namespace} refer to Secret {name}"
    );
    Err(("RefNotPermitted", message))
}
