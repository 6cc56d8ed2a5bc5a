//! The one table of who may do what, and the ClusterRoles made from it.

use serde_json::{Value, json};

/// API group of what the table is about.
pub(crate) const GROUP: &str = "seaway.dev";
/// The resource of what the table is about.
pub(crate) const RESOURCE: &str = "environments";
/// The accounts of this server, as a resource that exists in rules alone.
pub(crate) const ACCOUNTS: &str = "accounts";
/// The ClusterRole of people in the namespace of their own environments.
pub(crate) const OWNER: &str = "seaway-owner";

/// What one may do, as a verb of Kubernetes RBAC on `environments.seaway.dev` (List, Create and Delete on
/// `accounts.seaway.dev` as well).
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
    /// Make one.
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

const READ: &[&str] = &["get", "list", "watch"];
const WRITE: &[&str] = &["create", "delete", "patch", "update"];
const DELIVER: &[&str] = &["sync", "rollback", "hold"];

/// One role: its verbs on each resource, in groups that have a meaning.
struct Role {
    name: &'static str,
    environments: &'static [&'static [&'static str]],
    stacks: &'static [&'static [&'static str]],
    accounts: &'static [&'static str],
}

/// Who may do what. The first three and the last are bound in the namespaces of shared environments or everywhere;
/// `seaway-owner` in a person's own namespace.
const ROLES: [Role; 5] = [
    Role { name: "seaway-viewer", environments: &[READ], stacks: &[READ], accounts: &[] },
    Role { name: "seaway-developer", environments: &[READ, DELIVER], stacks: &[READ], accounts: &[] },
    Role {
        name: "seaway-operator",
        environments: &[READ, DELIVER, WRITE],
        stacks: &[READ, WRITE],
        accounts: &[],
    },
    Role { name: OWNER, environments: &[READ, DELIVER, WRITE], stacks: &[], accounts: &[] },
    Role {
        name: "seaway-admin",
        environments: &[READ, DELIVER, WRITE],
        stacks: &[READ, WRITE],
        accounts: &["list", "create", "delete"],
    },
];

/// The ClusterRoles `seaway-viewer`, `seaway-developer`, `seaway-operator`, `seaway-owner` and `seaway-admin`, to be bound
/// by operations.
///
/// Whoever may read a namespace may see its environments. Nothing that writes is aggregated into `edit` or `admin`:
/// who writes an Environment decides where Seaway gives an account rights, so that this is granted on purpose alone.
///
/// Whoever may create accounts gets the links of all of them, also that of an administrator: this right is the
/// mightiest.
pub fn cluster_roles() -> Vec<Value> {
    ROLES.iter().map(cluster_role).collect()
}

fn cluster_role(role: &Role) -> Value {
    let mut metadata = json!({"name": role.name});
    if role.name == "seaway-viewer" {
        metadata["labels"] = json!({"rbac.authorization.k8s.io/aggregate-to-view": "true"});
    }
    let seaway = [
        (RESOURCE, role.environments.concat()),
        ("stacks", role.stacks.concat()),
        (ACCOUNTS, role.accounts.to_vec()),
    ];
    let mut rules: Vec<Value> = seaway
        .into_iter()
        .filter(|(_, verbs)| !verbs.is_empty())
        .map(|(resource, verbs)| json!({"apiGroups": [GROUP], "resources": [resource], "verbs": verbs}))
        .collect();
    if !role.accounts.is_empty() {
        rules.extend(personal_namespaces());
    }
    json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": metadata, "rules": rules})
}

/// An account comes and goes with a namespace, as the person who makes or deletes it.
fn personal_namespaces() -> [Value; 4] {
    const RBAC: &str = "rbac.authorization.k8s.io";
    let write = ["get", "create", "patch"];
    [
        json!({"apiGroups": [""], "resources": ["namespaces"], "verbs": ["get", "create", "patch", "delete"]}),
        json!({"apiGroups": [""], "resources": ["resourcequotas"], "verbs": write}),
        json!({"apiGroups": [RBAC], "resources": ["rolebindings"], "verbs": write}),
        json!({"apiGroups": [RBAC], "resources": ["clusterroles"], "resourceNames": [OWNER], "verbs": ["bind"]}),
    ]
}

/// What the groups of accounts are bound to everywhere: all of them look, operators act. What people have in their own
/// namespace comes with their account; what [`crate::ADMINS`] may do, whoever installs Seaway says.
///
/// Kubernetes' own `view` shows what runs, and no secrets.
pub fn group_bindings() -> Vec<Value> {
    const BINDINGS: [(crate::Role, &str); 6] = [
        (crate::Role::Viewer, "seaway-viewer"),
        (crate::Role::Viewer, "view"),
        (crate::Role::Developer, "seaway-viewer"),
        (crate::Role::Developer, "view"),
        (crate::Role::Operator, "seaway-operator"),
        (crate::Role::Operator, "view"),
    ];
    const GROUP: &str = "rbac.authorization.k8s.io";
    let binding = |(role, cluster_role): (crate::Role, &str)| {
        json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding",
            "metadata": {"name": format!("{}:{cluster_role}", role.group())},
            "roleRef": {"apiGroup": GROUP, "kind": "ClusterRole", "name": cluster_role},
            "subjects": [{"apiGroup": GROUP, "kind": "Group", "name": role.group()}]})
    };
    BINDINGS.into_iter().map(binding).collect()
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
                r#"seaway-owner "environments": ["get","list","watch","sync","rollback","hold","create","delete","patch","update"]"#,
                r#"seaway-admin "environments": ["get","list","watch","sync","rollback","hold","create","delete","patch","update"]"#,
                r#"seaway-admin "stacks": ["get","list","watch","create","delete","patch","update"]"#,
                r#"seaway-admin "accounts": ["list","create","delete"]"#,
                r#"seaway-admin "namespaces": ["get","create","patch","delete"]"#,
                r#"seaway-admin "resourcequotas": ["get","create","patch"]"#,
                r#"seaway-admin "rolebindings": ["get","create","patch"]"#,
                r#"seaway-admin "clusterroles": ["bind"]"#,
            ]
        );
    }

    #[test]
    fn an_operator_may_do_everything_that_the_api_offers() {
        let operator = &cluster_roles()[2]["rules"][0]["verbs"];
        use Verb::{Create, Delete, Get, Hold, List, Rollback, Sync, Update};
        let all = [Get, List, Sync, Rollback, Hold, Update, Create, Delete];
        for verb in all {
            assert!(operator.as_array().is_some_and(|v| v.contains(&verb.as_str().into())), "{verb:?}");
        }
    }
}
