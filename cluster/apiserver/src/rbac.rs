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

    /// How many single permissions are in this rule.
    fn size(&self) -> usize {
        let resources = self.api_groups.len().saturating_mul(self.resources.len());
        let resources = resources.saturating_mul(self.resource_names.len().max(1));
        self.verbs.len().saturating_mul(resources.saturating_add(self.non_resource_urls.len()))
    }

    /// Every single permission in this rule, one after the other, for the escalation check.
    fn singles(&self) -> impl Iterator<Item = Rule> {
        let paths = self.verbs.iter().flat_map(|verb| {
            self.non_resource_urls.iter().map(move |url| Rule {
                verbs: vec![verb.clone()],
                non_resource_urls: vec![url.clone()],
                ..Rule::default()
            })
        });
        let resources = self.verbs.iter().flat_map(move |verb| {
            self.api_groups.iter().flat_map(move |group| {
                self.resources.iter().flat_map(move |resource| {
                    let all = self.resource_names.is_empty().then(Vec::new);
                    let names = self.resource_names.iter().map(|name| vec![name.clone()]);
                    all.into_iter().chain(names).map(move |resource_names| Rule {
                        verbs: vec![verb.clone()],
                        api_groups: vec![group.clone()],
                        resources: vec![resource.clone()],
                        resource_names,
                        non_resource_urls: vec![],
                    })
                })
            })
        });
        paths.chain(resources)
    }

    /// Whether this rule grants a single permission, wildcards only by wildcards.
    pub(crate) fn covers(&self, single: &Rule) -> bool {
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

/// Single permissions that are compared one by one at most; no real role has a tenth of them.
const PERMISSIONS_CHECKED: usize = 50_000;
/// Missing permissions that a refusal lists at most.
pub(crate) const MISSING_TOLD: usize = 200;

/// Rules of which it cannot be told whether somebody may give them.
#[derive(Debug, thiserror::Error)]
#[error(
    "the rules stand for {0} single permissions, which are too many to compare with those currently held: \
     name fewer verbs, groups and resources in one rule, or use \"*\""
)]
pub(crate) struct TooManyPermissions(usize);

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

    /// The permissions among `wanted` that the user does not hold himself; the first [`MISSING_TOLD`] of them.
    ///
    /// A rule is taken apart only when no single one of those held covers it as a whole: its parts multiply.
    pub(crate) fn missing(
        &self,
        user: &Identity,
        namespace: &str,
        wanted: &[Rule],
    ) -> Result<Vec<Rule>, TooManyPermissions> {
        let held = self.rules_of(user, namespace);
        let whole = |rule: &&Rule| {
            // Paths and resources in one rule are two things.
            !(rule.non_resource_urls.is_empty() || rule.resources.is_empty())
                || !held.iter().any(|mine| mine.covers(rule))
        };
        let open: Vec<&Rule> = wanted.iter().filter(whole).collect();
        let size = open.iter().fold(0_usize, |sum, rule| sum.saturating_add(rule.size()));
        if size > PERMISSIONS_CHECKED {
            return Err(TooManyPermissions(size));
        }
        let missing = open.into_iter().flat_map(Rule::singles);
        Ok(missing.filter(|one| !held.iter().any(|rule| rule.covers(one))).take(MISSING_TOLD).collect())
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
