//! Roles of accounts: short words for the groups in Kubernetes that they stand for.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Group of the first account and of those that were made with the role `admin`. Operations decide what it may do by
/// binding it; `seaway up` binds it to `cluster-admin`.
pub const ADMINS: &str = "seaway:admins";

/// What an account is for. Each stands for one group; what that may do, its bindings say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub enum Role {
    /// Looks at shared environments.
    Viewer,
    /// Has environments of her own as well.
    Developer,
    /// Lets changes into shared environments, or keeps them out.
    Approver,
    /// Runs the shared environments.
    Operator,
    /// Adds people, too.
    Admin,
}

/// The text is no role.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no role: choose viewer, developer, approver, operator or admin")]
pub struct RoleError(String);

impl Role {
    /// All of them, each mightier than the one before.
    pub const ALL: [Self; 5] = [Self::Viewer, Self::Developer, Self::Approver, Self::Operator, Self::Admin];

    /// The group in Kubernetes that it stands for.
    pub fn group(self) -> &'static str {
        match self {
            Self::Viewer => "seaway:viewers",
            Self::Developer => "seaway:developers",
            Self::Approver => "seaway:approvers",
            Self::Operator => "seaway:operators",
            Self::Admin => ADMINS,
        }
    }

    /// Its word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Developer => "developer",
            Self::Approver => "approver",
            Self::Operator => "operator",
            Self::Admin => "admin",
        }
    }

    /// The mightiest role among these groups.
    pub(crate) fn of(groups: &[String]) -> Option<Self> {
        Self::ALL.into_iter().rev().find(|role| groups.iter().any(|group| group == role.group()))
    }

    /// Whether people of this role have a namespace for environments of their own.
    pub(crate) fn owns_environments(self) -> bool {
        self != Self::Viewer
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Role {
    type Err = RoleError;

    fn from_str(text: &str) -> Result<Self, RoleError> {
        Self::ALL.into_iter().find(|role| role.as_str() == text).ok_or_else(|| RoleError(text.to_owned()))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_role_is_one_group_and_the_mightiest_one_counts() {
        for role in Role::ALL {
            assert_eq!(role.as_str().parse(), Ok(role));
            assert_eq!(serde_json::to_value(role).unwrap(), role.as_str());
            assert_eq!(Role::of(&[role.group().to_owned()]), Some(role));
        }
        let both = ["seaway:developers", "seaway:operators"].map(str::to_owned);
        assert_eq!(Role::of(&both), Some(Role::Operator));
        assert_eq!(Role::of(&["else".to_owned()]), None);
        assert!("Admin".parse::<Role>().is_err());
    }
}
