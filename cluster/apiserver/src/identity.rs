//! Who a request comes from.

use std::collections::BTreeMap;

/// Every authenticated user is in this group.
pub(crate) const AUTHENTICATED: &str = "system:authenticated";
/// Members may do everything; no rule is asked.
pub(crate) const MASTERS: &str = "system:masters";

/// A user as authentication found him.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Identity {
    /// User name, such as `jane` or `system:serviceaccount:shop:default`.
    pub name: String,
    /// Unique id, when the authenticator knows one.
    pub uid: String,
    /// Groups, `system:authenticated` among them.
    pub groups: Vec<String>,
    /// Further facts that the authenticator knows.
    pub extra: BTreeMap<String, Vec<String>>,
}

impl Identity {
    /// A user in the given groups and in `system:authenticated`.
    pub fn user(name: impl Into<String>, groups: impl IntoIterator<Item = impl Into<String>>) -> Self {
        let mut groups: Vec<String> = groups.into_iter().map(Into::into).collect();
        if !groups.iter().any(|g| g == AUTHENTICATED) {
            groups.push(AUTHENTICATED.into());
        }
        Self { name: name.into(), groups, ..Self::default() }
    }

    /// A ServiceAccount.
    pub fn service_account(namespace: &str, name: &str) -> Self {
        Self::user(
            format!("system:serviceaccount:{namespace}:{name}"),
            ["system:serviceaccounts".to_owned(), format!("system:serviceaccounts:{namespace}")],
        )
    }

    /// The administrator of the data folder.
    pub fn admin() -> Self {
        Self::user("kubernetes-admin", [MASTERS])
    }

    pub(crate) fn is_master(&self) -> bool {
        self.groups.iter().any(|g| g == MASTERS)
    }

    /// Namespace and name, when this is a ServiceAccount.
    pub(crate) fn as_service_account(&self) -> Option<(&str, &str)> {
        self.name.strip_prefix("system:serviceaccount:")?.split_once(':')
    }
}
