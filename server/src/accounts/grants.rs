//! Grants: a role within one stack, one class of environments, or both.

use std::fmt;
use std::str::FromStr;

use seaway_api::environment::Class;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::Role;

/// Longest name of a stack here: with the rest it still is the name of a Role.
const LONGEST: usize = 63;

/// A role within part of the shared environments: `operator:shop`, `developer:shop/staging`, `approver:*/production`.
/// It stands for one group in Kubernetes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    role: Role,
    /// One of these two is always there.
    stack: Option<String>,
    class: Option<Class>,
}

/// The text is no grant.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no grant: write ROLE:STACK, ROLE:STACK/CLASS or ROLE:*/CLASS, with the role viewer, developer, approver or \
     operator and the class production, staging or preview"
)]
pub struct GrantError(String);

impl Grant {
    /// Which role.
    pub fn role(&self) -> Role {
        self.role
    }

    /// In the environments of which stack; absent: of all.
    pub fn stack(&self) -> Option<&str> {
        self.stack.as_deref()
    }

    /// In those of which class; absent: of all.
    pub fn class(&self) -> Option<&'static str> {
        self.class.map(Class::as_str)
    }

    /// The group in Kubernetes that it stands for: `seaway:developers:shop:staging`. Its Role and the binding have the
    /// same name.
    pub fn group(&self) -> String {
        let (stack, class) = (self.stack().unwrap_or("*"), self.class().unwrap_or("*"));
        format!("{}:{stack}:{class}", self.role.group())
    }

    /// The grants among these groups.
    pub(crate) fn of(groups: &[String]) -> Vec<Self> {
        groups.iter().filter_map(|group| Self::of_group(group)).collect()
    }

    fn of_group(group: &str) -> Option<Self> {
        let role = Role::ALL
            .into_iter()
            .find(|role| group.strip_prefix(role.group()).is_some_and(|rest| rest.starts_with(':')))?;
        let (stack, class) = group.strip_prefix(role.group())?.strip_prefix(':')?.split_once(':')?;
        Self::new(role, stack, class)
    }

    fn new(role: Role, stack: &str, class: &str) -> Option<Self> {
        let inner = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-';
        let outer = |c: Option<&u8>| c.is_some_and(|c| *c != b'-');
        let bytes = stack.as_bytes();
        let stack = match stack {
            "*" => None,
            _ if bytes.len() <= LONGEST
                && bytes.iter().copied().all(inner)
                && outer(bytes.first())
                && outer(bytes.last()) =>
            {
                Some(stack.to_owned())
            }
            _ => return None,
        };
        let class = match class {
            "*" => None,
            // Personal environments are their owners'.
            _ => Some(
                [Class::Production, Class::Staging, Class::Preview]
                    .into_iter()
                    .find(|one| one.as_str() == class)?,
            ),
        };
        (role != Role::Admin && (stack.is_some() || class.is_some())).then_some(Self { role, stack, class })
    }
}

impl fmt::Display for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.role, self.stack().unwrap_or("*"))?;
        self.class().map_or(Ok(()), |class| write!(f, "/{class}"))
    }
}

impl FromStr for Grant {
    type Err = GrantError;

    fn from_str(text: &str) -> Result<Self, GrantError> {
        let parsed = text.split_once(':').and_then(|(role, part)| {
            let (stack, class) = part.split_once('/').unwrap_or((part, "*"));
            Self::new(role.parse().ok()?, stack, class)
        });
        parsed.ok_or_else(|| GrantError(text.to_owned()))
    }
}

impl Serialize for Grant {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Grant {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_grant_is_one_group_and_the_other_way_round() {
        for (text, group) in [
            ("operator:shop", "seaway:operators:shop:*"),
            ("developer:shop/staging", "seaway:developers:shop:staging"),
            ("approver:*/production", "seaway:approvers:*:production"),
        ] {
            let grant: Grant = text.parse().unwrap();
            assert_eq!((grant.to_string().as_str(), grant.group().as_str()), (text, group));
            assert_eq!(Grant::of(&[group.to_owned(), "seaway:viewers".into()]), [grant]);
        }
    }

    #[test]
    fn what_is_no_part_of_the_shared_environments_is_no_grant() {
        let long = format!("viewer:{}", "a".repeat(64));
        for bad in [
            "",
            "operator",
            "operator:",
            "operator:*",
            "operator:*/*",
            "admin:shop",
            "boss:shop",
            "operator:shop/",
            "operator:shop/personal",
            "operator:Shop",
            "operator:a:b",
            "operator:-a",
            "operator:../x",
            &long,
        ] {
            assert!(bad.parse::<Grant>().is_err(), "{bad:?}");
        }
        assert!(Grant::of(&["seaway:admins:shop:*".into(), "seaway:operatorsx:shop:*".into()]).is_empty());
    }
}
