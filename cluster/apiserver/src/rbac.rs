//! Role-based access control: the rules of rbac.authorization.k8s.io/v1 over an index that follows
//! the store event by event, so that a decision costs no parsing.

mod index;

use parking_lot::Mutex;
use serde::Deserialize;
use serde_json::Value;

use crate::identity::Identity;
use crate::store::{ObjectKey, Store};

pub(crate) use index::RoleRef;
use index::{Index, RESOURCES};

pub(crate) const GROUP: &str = "rbac.authorization.k8s.io";

/// What somebody wants to do.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Attributes {
    pub(crate) verb: String,
    pub(crate) group: String,
    /// Plural name, with the subresource as in `pods/log`.
    pub(crate) resource: String,
    pub(crate) namespace: String,
    pub(crate) name: String,
    /// Path of a request that is about no resource.
    pub(crate) path: Option<String>,
}

impl Attributes {
    /// The sentence that Kubernetes prints when it refuses.
    pub(crate) fn refusal(&self, user: &str) -> String {
        match &self.path {
            Some(path) => format!("User \"{user}\" cannot {} path \"{path}\"", self.verb),
            None => {
                let scope = if self.namespace.is_empty() {
                    "at the cluster scope".to_owned()
                } else {
                    format!("in the namespace \"{}\"", self.namespace)
                };
                format!(
                    "User \"{user}\" cannot {} resource \"{}\" in API group \"{}\" {scope}",
                    self.verb, self.resource, self.group
                )
            }
        }
    }
}

/// A PolicyRule.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, serde::Serialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Rule {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) verbs: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) api_groups: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) resources: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) resource_names: Vec<String>,
    #[serde(rename = "nonResourceURLs", skip_serializing_if = "Vec::is_empty")]
    pub(crate) non_resource_urls: Vec<String>,
}

impl std::fmt::Display for Rule {
    /// As Kubernetes prints a rule in one line.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let parts = [
            ("APIGroups", &self.api_groups),
            ("Resources", &self.resources),
            ("NonResourceURLs", &self.non_resource_urls),
            ("ResourceNames", &self.resource_names),
            ("Verbs", &self.verbs),
        ];
        let quoted = |list: &[String]| list.iter().map(|t| format!("{t:?}")).collect::<Vec<_>>().join(" ");
        let parts: Vec<String> = parts
            .iter()
            .filter(|(_, list)| !list.is_empty())
            .map(|(name, list)| format!("{name}:[{}]", quoted(list)))
            .collect();
        write!(f, "{{{}}}", parts.join(", "))
    }
}

fn has(list: &[String], wanted: &str) -> bool {
    list.iter().any(|item| item == "*" || item == wanted)
}

impl Rule {
    fn allows(&self, a: &Attributes) -> bool {
        if !has(&self.verbs, &a.verb) {
            return false;
        }
        if let Some(path) = &a.path {
            return self.non_resource_urls.iter().any(|url| match url.strip_suffix('*') {
                Some(prefix) => path.starts_with(prefix),
                None => url == path,
            });
        }
        let subresource = a.resource.split_once('/').map(|(_, s)| s);
        let resource = has(&self.resources, &a.resource)
            || subresource.is_some_and(|s| {
                self.resources.iter().any(|r| r.strip_prefix("*/").is_some_and(|wanted| wanted == s))
            });
        has(&self.api_groups, &a.group)
            && resource
            && (self.resource_names.is_empty()
                || (!a.name.is_empty() && self.resource_names.contains(&a.name)))
    }

    /// Every single permission in this rule, for the escalation check.
    fn singles(&self) -> Vec<Rule> {
        let mut out = Vec::new();
        for verb in &self.verbs {
            for url in &self.non_resource_urls {
                out.push(Rule {
                    verbs: vec![verb.clone()],
                    non_resource_urls: vec![url.clone()],
                    ..Rule::default()
                });
            }
            for group in &self.api_groups {
                for resource in &self.resources {
                    let names: Vec<Vec<String>> = if self.resource_names.is_empty() {
                        vec![vec![]]
                    } else {
                        self.resource_names.iter().map(|n| vec![n.clone()]).collect()
                    };
                    for resource_names in names {
                        out.push(Rule {
                            verbs: vec![verb.clone()],
                            api_groups: vec![group.clone()],
                            resources: vec![resource.clone()],
                            resource_names,
                            non_resource_urls: vec![],
                        });
                    }
                }
            }
        }
        out
    }

    /// Whether this rule grants a single permission, wildcards only by wildcards.
    fn covers(&self, single: &Rule) -> bool {
        let within = |mine: &[String], wanted: &[String]| wanted.iter().all(|w| has(mine, w));
        if !within(&self.verbs, &single.verbs) {
            return false;
        }
        if !single.non_resource_urls.is_empty() {
            return single.non_resource_urls.iter().all(|wanted| {
                self.non_resource_urls.iter().any(|url| {
                    url == wanted || url.strip_suffix('*').is_some_and(|prefix| wanted.starts_with(prefix))
                })
            });
        }
        let resources = single.resources.iter().all(|wanted| {
            has(&self.resources, wanted)
                || wanted
                    .split_once('/')
                    .is_some_and(|(_, sub)| self.resources.iter().any(|r| *r == format!("*/{sub}")))
        });
        within(&self.api_groups, &single.api_groups)
            && resources
            && (self.resource_names.is_empty()
                || (!single.resource_names.is_empty()
                    && single.resource_names.iter().all(|n| self.resource_names.contains(n))))
    }
}

/// The rules that allow everything.
pub(crate) fn everything() -> [Rule; 2] {
    let all = || vec!["*".to_owned()];
    [
        Rule { verbs: all(), api_groups: all(), resources: all(), ..Rule::default() },
        Rule { verbs: all(), non_resource_urls: all(), ..Rule::default() },
    ]
}

/// Rules as an object holds them.
pub(crate) fn rules(object: &Value) -> Vec<Rule> {
    serde_json::from_value(object["rules"].clone()).unwrap_or_default()
}

/// Decides; one for all front doors.
pub(crate) struct Authorizer {
    store: Store,
    index: Mutex<Index>,
}

impl Authorizer {
    pub(crate) fn new(store: Store) -> Self {
        Self { store, index: Mutex::default() }
    }

    pub(crate) fn allowed(&self, user: &Identity, attributes: &Attributes) -> bool {
        if user.is_master() {
            return true;
        }
        let mut index = self.index.lock();
        index.follow(&self.store);
        index.of(user, &attributes.namespace).any(|rule| rule.allows(attributes))
    }

    /// The decision with its reason, which is empty when nothing allows it or when nobody needs to.
    pub(crate) fn explained(&self, user: &Identity, attributes: &Attributes) -> (bool, String) {
        if user.is_master() {
            return (true, String::new());
        }
        let mut index = self.index.lock();
        index.follow(&self.store);
        let grant = index
            .grants(user, &attributes.namespace)
            .find(|grant| grant.rules.unwrap_or_default().iter().any(|rule| rule.allows(attributes)));
        if let Some(grant) = grant {
            return (true, grant.reason());
        }
        // A role that is not there may be why.
        let missing: Vec<String> = index
            .grants(user, &attributes.namespace)
            .filter(|grant| grant.rules.is_none())
            .map(|grant| {
                format!("{}.{GROUP} {:?} not found", grant.role.kind.to_lowercase(), grant.role.name)
            })
            .collect();
        let reason = match missing.as_slice() {
            [] => String::new(),
            [one] => format!("RBAC: {one}"),
            many => format!("RBAC: [{}]", many.join(", ")),
        };
        (false, reason)
    }

    /// The rules of a user in a namespace, as SelfSubjectRulesReview lists them.
    pub(crate) fn rules_of(&self, user: &Identity, namespace: &str) -> Vec<Rule> {
        if user.is_master() {
            return everything().into();
        }
        let mut index = self.index.lock();
        index.follow(&self.store);
        index.of(user, namespace).cloned().collect()
    }

    /// The permissions among `wanted` that the user does not hold himself.
    pub(crate) fn missing(&self, user: &Identity, namespace: &str, wanted: &[Rule]) -> Vec<Rule> {
        let held = self.rules_of(user, namespace);
        wanted
            .iter()
            .flat_map(Rule::singles)
            .filter(|single| !held.iter().any(|rule| rule.covers(single)))
            .collect()
    }

    /// The rules behind a role reference, `None` when there is no such role.
    pub(crate) fn role_rules(&self, namespace: &str, role: &RoleRef) -> Option<Vec<Rule>> {
        let (resource, key) = match role.kind.as_str() {
            "ClusterRole" => (RESOURCES[0], ObjectKey::new("", role.name.as_str())),
            _ => (RESOURCES[1], ObjectKey::new(namespace, role.name.as_str())),
        };
        Some(rules(&self.store.get(resource, &key)?.value()))
    }
}
