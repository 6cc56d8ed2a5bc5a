//! The one table of who may do what, and the ClusterRoles made from it.

use serde_json::{Value, json};

/// API group of what the table is about.
pub(crate) const GROUP: &str = "seaway.dev";
/// The resource of what the table is about.
pub(crate) const RESOURCE: &str = "environments";

/// What one may do with an environment, as a verb of Kubernetes RBAC on `environments.seaway.dev`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verb {
    /// See it: its state, its objects, its history, and what a revision would change.
    Get,
    /// See that it is there.
    List,
    /// Bring it to what Git says, now.
    Sync,
    /// Bring it to an earlier release.
    Rollback,
    /// Keep a release out of it, and lift that again.
    Hold,
    /// Change how it behaves: suspend and resume.
    Update,
    /// Make it.
    Create,
    /// Delete it.
    Delete,
}

impl Verb {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::List => "list",
            Self::Sync => "sync",
            Self::Rollback => "rollback",
            Self::Hold => "hold",
            Self::Update => "update",
            Self::Create => "create",
            Self::Delete => "delete",
        }
    }
}

/// A role's name with its verbs on environments and on stacks; each holds what the one before it does.
const ROLES: [(&str, &[&str], &[&str]); 3] = [
    ("seaway-viewer", &["get", "list", "watch"], &["get", "list", "watch"]),
    ("seaway-developer", &["sync", "rollback", "hold"], &[]),
    ("seaway-operator", &["create", "delete", "patch", "update"], &["create", "delete", "patch", "update"]),
];

/// The ClusterRoles `seaway-viewer`, `seaway-developer` and `seaway-operator`, to be bound by operations.
///
/// Whoever may read a namespace may see its environments. Nothing that writes is aggregated into `edit` or `admin`:
/// who writes an Environment decides where Seaway gives an account rights, so that this is granted on purpose alone.
pub fn cluster_roles() -> Vec<Value> {
    let (mut environments, mut stacks) = (Vec::<&str>::new(), Vec::<&str>::new());
    let role = |(name, on_environments, on_stacks): (&str, &[&'static str], &[&'static str])| {
        environments.extend(on_environments);
        stacks.extend(on_stacks);
        let mut metadata = json!({"name": name});
        if name == "seaway-viewer" {
            metadata["labels"] = json!({"rbac.authorization.k8s.io/aggregate-to-view": "true"});
        }
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": metadata,
            "rules": [
                {"apiGroups": [GROUP], "resources": [RESOURCE], "verbs": environments},
                {"apiGroups": [GROUP], "resources": ["stacks"], "verbs": stacks},
            ],
        })
    };
    ROLES.into_iter().map(role).collect()
}

/// The rights of the account that serves: to check tokens, and to act as the people who ask. What is done is then
/// allowed to them or not; the account itself may read and write nothing.
pub fn account_rules() -> Vec<Value> {
    vec![
        json!({"apiGroups": ["authentication.k8s.io"], "resources": ["tokenreviews"], "verbs": ["create"]}),
        json!({"apiGroups": [""], "resources": ["groups", "serviceaccounts", "users"], "verbs": ["impersonate"]}),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_as_it_is_documented() {
        let lines: Vec<String> = cluster_roles()
            .iter()
            .flat_map(|role| {
                let name = role["metadata"]["name"].as_str().unwrap_or_default().to_owned();
                let rules = role["rules"].as_array().cloned().unwrap_or_default();
                rules
                    .into_iter()
                    .map(move |rule| format!("{name} {}: {}", rule["resources"][0], rule["verbs"]))
            })
            .collect();
        assert_eq!(
            lines,
            [
                r#"seaway-viewer "environments": ["get","list","watch"]"#,
                r#"seaway-viewer "stacks": ["get","list","watch"]"#,
                r#"seaway-developer "environments": ["get","list","watch","sync","rollback","hold"]"#,
                r#"seaway-developer "stacks": ["get","list","watch"]"#,
                r#"seaway-operator "environments": ["get","list","watch","sync","rollback","hold","create","delete","patch","update"]"#,
                r#"seaway-operator "stacks": ["get","list","watch","create","delete","patch","update"]"#,
            ]
        );
    }

    #[test]
    fn an_operator_may_do_everything_that_the_api_offers() {
        let operator = &cluster_roles()[2]["rules"][0]["verbs"];
        let all = [
            Verb::Get,
            Verb::List,
            Verb::Sync,
            Verb::Rollback,
            Verb::Hold,
            Verb::Update,
            Verb::Create,
            Verb::Delete,
        ];
        for verb in all {
            assert!(operator.as_array().is_some_and(|v| v.contains(&verb.as_str().into())), "{verb:?}");
        }
    }
}
