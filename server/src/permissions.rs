//! The one table of who may do what. The ClusterRoles, the rights within one stack or class, and the page about roles in
//! the documentation are made from it; nothing else says what a role may do.

mod page;

use seaway_api::SHARED_NAMESPACE;
use serde_json::{Value, json};

use crate::accounts::{Grant, Role, Scope};

pub use page::roles_page;

/// API group of what the table is about.
pub(crate) const GROUP: &str = "seaway.dev";
/// The resource of what the table is about.
pub(crate) const RESOURCE: &str = "environments";
/// What an environment is one of. `stacks/production`, with the name of a stack, stands in rules for the environments of
/// that class which the stack has; it is no object.
pub(crate) const STACKS: &str = "stacks";
/// The accounts of this server, as a resource that exists in rules alone.
pub(crate) const ACCOUNTS: &str = "accounts";
/// Who did what, as a resource that exists in rules alone.
pub(crate) const AUDIT: &str = "audit";
/// The ClusterRole of people in the namespace of their own environments.
pub(crate) const OWNER: &str = "seaway-owner";

/// API group of roles and bindings.
const RBAC: &str = "rbac.authorization.k8s.io";
const RBAC_VERSION: &str = "rbac.authorization.k8s.io/v1";

/// What one may do, as a verb of Kubernetes RBAC on `environments.seaway.dev` (List, Create, Update and Delete on
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
    #[cfg(test)]
    const ALL: [Self; 8] = [
        Self::Get,
        Self::List,
        Self::Sync,
        Self::Rollback,
        Self::Hold,
        Self::Update,
        Self::Create,
        Self::Delete,
    ];

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

    /// Whether it can be granted within one stack or class, and not for a namespace alone.
    pub(crate) fn within(self) -> bool {
        TABLE.iter().any(|right| right.within && right.resource == RESOURCE && right.verb == self.as_str())
    }
}

/// Who has a right of the table: a role of accounts, or the owner of a personal environment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Holder {
    Viewer,
    Developer,
    Approver,
    Operator,
    Admin,
    Owner,
}

use Holder::{Admin, Approver, Developer, Operator, Owner, Viewer};

impl Holder {
    const ALL: [Self; 6] = [Viewer, Developer, Approver, Operator, Admin, Owner];

    fn of(role: Role) -> Self {
        match role {
            Role::Viewer => Viewer,
            Role::Developer => Developer,
            Role::Approver => Approver,
            Role::Operator => Operator,
            Role::Admin => Admin,
        }
    }

    fn word(self) -> &'static str {
        match self {
            Viewer => "viewer",
            Developer => "developer",
            Approver => "approver",
            Operator => "operator",
            Admin => "admin",
            Owner => "owner",
        }
    }
}

/// One line of the table.
struct Right {
    resource: &'static str,
    verb: &'static str,
    /// What it is, in words.
    means: &'static str,
    /// Whether it can be granted within one stack or class. What Kubernetes itself decides on objects cannot.
    within: bool,
    holders: &'static [Holder],
}

const EVERYBODY: &[Holder] = &Holder::ALL;
const ACTING: &[Holder] = &[Developer, Operator, Admin, Owner];
const RUNNING: &[Holder] = &[Operator, Admin, Owner];
const SHARED: &[Holder] = &[Viewer, Developer, Approver, Operator, Admin];
const OPERATING: &[Holder] = &[Operator, Admin];

const fn right(
    resource: &'static str,
    verb: &'static str,
    means: &'static str,
    within: bool,
    holders: &'static [Holder],
) -> Right {
    Right { resource, verb, means, within, holders }
}

/// Who may do what.
const TABLE: [Right; 23] = [
    right(RESOURCE, "get", "see state, objects, history, plans and fidelity of one", true, EVERYBODY),
    right(RESOURCE, "list", "see which there are", true, EVERYBODY),
    right(RESOURCE, "watch", "be told of changes (`kubectl get --watch`)", false, EVERYBODY),
    right(RESOURCE, "sync", "bring one to what Git says, now; cancel that", true, ACTING),
    right(RESOURCE, "rollback", "bring one to an earlier release", true, ACTING),
    right(
        RESOURCE,
        "hold",
        "keep a release out of one, and lift that",
        true,
        &[Developer, Approver, Operator, Admin, Owner],
    ),
    right(
        RESOURCE,
        "approve",
        "let a change into one, where its path asks for that",
        true,
        &[Approver, Operator, Admin],
    ),
    right(
        RESOURCE,
        "update",
        "suspend and resume one; with its object: override, extend, propose",
        true,
        RUNNING,
    ),
    right(RESOURCE, "create", "make one", false, RUNNING),
    right(RESOURCE, "patch", "change its object (`kubectl apply`)", false, RUNNING),
    right(RESOURCE, "delete", "delete one, with what it deployed", false, RUNNING),
    right(STACKS, "get", "see one", false, SHARED),
    right(STACKS, "list", "see which there are", false, SHARED),
    right(STACKS, "watch", "be told of changes", false, SHARED),
    right(STACKS, "create", "make one: it says which repositories go where", false, OPERATING),
    right(STACKS, "patch", "change its object (`kubectl apply`)", false, OPERATING),
    right(STACKS, "update", "replace its object", false, OPERATING),
    right(STACKS, "delete", "delete one", false, OPERATING),
    right(ACCOUNTS, "list", "see who can log in, and the events about that", false, &[Admin]),
    right(ACCOUNTS, "create", "add people, and give anybody a new link", false, &[Admin]),
    right(ACCOUNTS, "update", "change what people are for", false, &[Admin]),
    right(ACCOUNTS, "delete", "remove people", false, &[Admin]),
    right(AUDIT, "list", "read and export who did what", false, OPERATING),
];

/// Classes of environments that are shared: within them, and within stacks, rights are granted.
const CLASSES: [&str; 3] = ["production", "staging", "preview"];

fn verbs(holder: Holder, resource: &str) -> Vec<&'static str> {
    let has = |right: &&Right| right.resource == resource && right.holders.contains(&holder);
    TABLE.iter().filter(has).map(|right| right.verb).collect()
}

fn verbs_within(holder: Holder) -> Vec<&'static str> {
    TABLE
        .iter()
        .filter(|right| right.within && right.holders.contains(&holder))
        .map(|right| right.verb)
        .collect()
}

/// Subresources of stacks in rules.
fn classes(class: Option<&str>) -> Vec<String> {
    CLASSES
        .iter()
        .filter(|one| class.is_none_or(|class| class == **one))
        .map(|one| format!("{STACKS}/{one}"))
        .collect()
}

/// What a token must be for, so that it can be used for this.
pub(crate) fn scope(resource: &str, verb: Verb) -> Scope {
    match (resource, verb) {
        (ACCOUNTS, _) => Scope::Accounts,
        (AUDIT, _) => Scope::Audit,
        (_, Verb::Get | Verb::List) => Scope::Read,
        (_, Verb::Sync | Verb::Rollback | Verb::Hold) => Scope::Deploy,
        (_, Verb::Update | Verb::Create | Verb::Delete) => Scope::Write,
    }
}

/// The ClusterRoles `seaway-viewer`, `seaway-developer`, `seaway-approver`, `seaway-operator`, `seaway-admin` and
/// `seaway-owner`, to be bound by operations.
///
/// Whoever may read a namespace may see its environments. Nothing that writes is aggregated into `edit` or `admin`:
/// who writes an Environment decides where Seaway gives an account rights, so that this is granted on purpose alone.
///
/// Whoever may create accounts gets the links of all of them, also that of an administrator: this right is the
/// mightiest.
pub fn cluster_roles() -> Vec<Value> {
    Holder::ALL.into_iter().map(cluster_role).collect()
}

fn cluster_role(holder: Holder) -> Value {
    let mut metadata = json!({"name": format!("seaway-{}", holder.word())});
    if holder == Viewer {
        metadata["labels"] = json!({"rbac.authorization.k8s.io/aggregate-to-view": "true"});
    }
    let mut rules: Vec<Value> = [RESOURCE, STACKS, ACCOUNTS, AUDIT]
        .into_iter()
        .map(|resource| (resource, verbs(holder, resource)))
        .filter(|(_, verbs)| !verbs.is_empty())
        .map(|(resource, verbs)| json!({"apiGroups": [GROUP], "resources": [resource], "verbs": verbs}))
        .collect();
    if holder == Admin {
        // Nobody can grant what he may not do himself.
        rules.push(json!({"apiGroups": [GROUP], "resources": classes(None), "verbs": verbs_within(Admin)}));
        rules.extend(of_accounts());
    }
    json!({"apiVersion": RBAC_VERSION, "kind": "ClusterRole", "metadata": metadata, "rules": rules})
}

/// An account comes and goes with a namespace and with what it is granted, as the person who makes or deletes it.
fn of_accounts() -> [Value; 4] {
    let write = ["get", "create", "patch"];
    [
        json!({"apiGroups": [""], "resources": ["namespaces"], "verbs": ["get", "create", "patch", "delete"]}),
        json!({"apiGroups": [""], "resources": ["resourcequotas"], "verbs": write}),
        json!({"apiGroups": [RBAC], "resources": ["rolebindings", "roles"], "verbs": write}),
        json!({"apiGroups": [RBAC], "resources": ["clusterroles"], "resourceNames": [OWNER], "verbs": ["bind"]}),
    ]
}

/// The Role of a grant, and its binding to the grant's group. They lie where shared environments do.
pub(crate) fn grant_objects(grant: &Grant) -> [Value; 2] {
    let group = grant.group();
    let metadata = json!({"namespace": SHARED_NAMESPACE, "name": group,
        "labels": {"app.kubernetes.io/part-of": "seaway"}});
    let mut rule = json!({"apiGroups": [GROUP], "resources": classes(grant.class()),
        "verbs": verbs_within(Holder::of(grant.role()))});
    if let Some(stack) = grant.stack() {
        rule["resourceNames"] = json!([stack]);
    }
    [
        json!({"apiVersion": RBAC_VERSION, "kind": "Role", "metadata": metadata, "rules": [rule]}),
        json!({"apiVersion": RBAC_VERSION, "kind": "RoleBinding", "metadata": metadata,
            "roleRef": {"apiGroup": RBAC, "kind": "Role", "name": group},
            "subjects": [{"apiGroup": RBAC, "kind": "Group", "name": group}]}),
    ]
}

/// What the groups of accounts are bound to everywhere: all of them look, approvers approve, operators act. What people
/// have in their own namespace comes with their account; what [`crate::ADMINS`] may do, whoever installs Seaway says.
///
/// Kubernetes' own `view` shows what runs, and no secrets.
pub fn group_bindings() -> Vec<Value> {
    let own = |role: Role| match role {
        // What developers change without being asked is their own.
        Role::Viewer | Role::Developer => Some("seaway-viewer"),
        Role::Approver => Some("seaway-approver"),
        Role::Operator => Some("seaway-operator"),
        Role::Admin => None,
    };
    let binding = |role: Role, cluster_role: &str| {
        json!({"apiVersion": RBAC_VERSION, "kind": "ClusterRoleBinding",
            "metadata": {"name": format!("{}:{cluster_role}", role.group())},
            "roleRef": {"apiGroup": RBAC, "kind": "ClusterRole", "name": cluster_role},
            "subjects": [{"apiGroup": RBAC, "kind": "Group", "name": role.group()}]})
    };
    Role::ALL
        .into_iter()
        .filter_map(|role| Some((role, own(role)?)))
        .flat_map(|(role, own)| [binding(role, own), binding(role, "view")])
        .collect()
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

    /// One line for each rule: who, what, which verbs.
    fn lines(objects: &[Value]) -> String {
        let mut lines = String::new();
        for object in objects {
            for rule in object["rules"].as_array().into_iter().flatten() {
                let names = &rule["resourceNames"];
                let named = if names.is_null() { String::new() } else { format!(" {names}") };
                lines += &format!(
                    "{} {}{named}: {}\n",
                    object["metadata"]["name"], rule["resources"], rule["verbs"]
                );
            }
        }
        lines
    }

    /// Whoever changes what a role may do sees it here.
    #[test]
    fn the_cluster_roles_are_as_they_were_reviewed() {
        insta::assert_snapshot!("cluster_roles", lines(&cluster_roles()));
    }

    #[test]
    fn every_verb_of_the_api_is_a_right_of_the_table_and_operators_have_all() {
        for verb in Verb::ALL {
            assert!(verbs(Operator, RESOURCE).contains(&verb.as_str()), "{verb:?}");
        }
    }

    /// The API refuses to let somebody grant what he may not do himself.
    #[test]
    fn an_administrator_may_do_all_that_can_be_granted() {
        for role in [Role::Viewer, Role::Developer, Role::Approver, Role::Operator] {
            for verb in verbs_within(Holder::of(role)) {
                assert!(verbs_within(Admin).contains(&verb), "{role} {verb}");
            }
        }
    }

    #[test]
    fn a_grant_reaches_its_stack_and_class_alone() {
        let one: Grant = "developer:shop/staging".parse().expect("a grant");
        let class: Grant = "approver:*/production".parse().expect("a grant");
        let stack: Grant = "viewer:shop".parse().expect("a grant");
        let roles: Vec<Value> =
            [one, class, stack].iter().map(|grant| grant_objects(grant)[0].clone()).collect();
        insta::assert_snapshot!("grants", lines(&roles));
    }
}
