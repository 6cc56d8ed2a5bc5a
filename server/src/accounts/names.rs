//! Names of accounts. An account's name is its user name in Kubernetes, so it must not be one that means something there.

use std::fmt;
use std::str::FromStr;

/// Longest name: with a prefix it still is the name of a namespace.
const LONGEST: usize = 32;

/// Names that already mean somebody, and that could be those of accounts by their form:
///
/// - `kubernetes-admin` is the administrator of clusters, here and wherever `kubeadm` made them;
/// - `seaway` is Seaway itself where the history says who did something, and the namespace of Stacks;
/// - `system` and `kube` would own the namespaces `seaway-system` and the like, where programs are installed.
///
/// Everything else that Kubernetes and Seaway give rights to has a colon (`system:…`, `seaway:admins`), which no name of
/// an account has. `admin` is free: it names a ClusterRole, and no rule here has it as a subject.
const RESERVED: [&str; 4] = ["kube", "kubernetes-admin", "seaway", "system"];

/// A name that an account may have: `^[a-z][a-z0-9-]{0,31}$`, not ending with a dash, and not a reserved one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct AccountName(String);

impl AccountName {
    /// Its text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for AccountName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why a text is not the name of an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// It does not look like one.
    #[error(
        "a name has 1 to {LONGEST} characters: small letters, digits and dashes, a letter first and no dash at the end"
    )]
    Form,
    /// It means something already.
    #[error("this name means something in Kubernetes or Seaway already: choose another one")]
    Reserved,
}

impl FromStr for AccountName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let bytes = text.as_bytes();
        let inner = |c: &u8| c.is_ascii_lowercase() || c.is_ascii_digit() || *c == b'-';
        let good = bytes.len() <= LONGEST
            && bytes.first().is_some_and(u8::is_ascii_lowercase)
            // The namespace of a person's environments ends with the name, and cannot end with a dash.
            && bytes.last().is_some_and(|last| *last != b'-')
            && bytes.iter().all(inner);
        if !good {
            return Err(NameError::Form);
        }
        if RESERVED.contains(&text) {
            return Err(NameError::Reserved);
        }
        Ok(Self(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_short_and_plain() {
        for good in ["a", "jane", "admin", "jane-2", &"a".repeat(32)] {
            assert_eq!(good.parse::<AccountName>().as_ref().map(AccountName::as_str), Ok(good));
        }
        let long = "a".repeat(33);
        for bad in [
            "",
            "-a",
            "a-",
            "2a",
            "Jane",
            "jane doe",
            "jané",
            "a.b",
            "system:admin",
            "a\0",
            "a\n",
            "../a",
            &long,
        ] {
            assert_eq!(bad.parse::<AccountName>(), Err(NameError::Form), "{bad:?}");
        }
    }

    #[test]
    fn a_name_is_not_one_that_means_somebody_already() {
        for taken in RESERVED {
            assert_eq!(taken.parse::<AccountName>(), Err(NameError::Reserved), "{taken}");
        }
    }
}
