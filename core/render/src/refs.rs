//! References to objects by name, after names have changed.

use crate::config::NameReferences;
use crate::error::Problem;
use crate::id::{Gvk, ResId};
use crate::node::{Kind, Node};
use crate::resmap::ResMap;
use crate::resource::Resource;

/// An object that may be referred to.
struct Candidate {
    id: ResId,
    previous: Vec<ResId>,
    prefixes: Vec<String>,
    suffixes: Vec<String>,
}

impl Candidate {
    fn new(resource: &Resource) -> Self {
        Self {
            id: resource.id(),
            previous: resource.previous_ids().collect(),
            prefixes: resource.prefixes.clone(),
            suffixes: resource.suffixes.clone(),
        }
    }

    /// Whether name prefixes and suffixes were added to both in the same kustomizations.
    fn has_same_affixes(&self, other: &Candidate, empty_matches: bool) -> bool {
        let same = |mine: &[String], theirs: &[String]| {
            (empty_matches && (mine.is_empty() || theirs.is_empty())) || end_alike(mine, theirs)
        };
        same(&self.prefixes, &other.prefixes) && same(&self.suffixes, &other.suffixes)
    }
}

fn end_alike(a: &[String], b: &[String]) -> bool {
    let (short, long) = if a.len() <= b.len() { (a, b) } else { (b, a) };
    if short.is_empty() { long.is_empty() } else { long.ends_with(short) }
}

/// Rewrite the fields that name objects whose names have changed.
pub(crate) fn fix(map: &mut ResMap, references: &NameReferences) -> Result<(), Problem> {
    let candidates: Vec<Candidate> = map.list.iter().map(Candidate::new).collect();
    for index in 0..map.list.len() {
        let resource = &map.list[index];
        let original = resource.original_id();
        let mut fields = references.of(&original.gvk).peekable();
        if fields.peek().is_none() {
            continue;
        }
        let referrer = Referrer {
            candidate: &candidates[index],
            reachable: reachable(resource, &candidates[index], &candidates)?,
            role: role(resource),
        };
        for (target, field) in fields {
            field
                .apply_to_any(&mut map.list[index].node, None, &mut |node| {
                    referrer.rewrite(node, target, &field.path)
                })
                .map_err(|Problem(problem)| {
                    Problem(format!("updating name reference in {}: {problem}", referrer.candidate.id))
                })?;
        }
    }
    Ok(())
}

/// What `roleRef` says it refers to.
fn role(resource: &Resource) -> Option<Gvk> {
    let text = |field: &str| Some(resource.node.at(&["roleRef", field])?.raw_text().to_owned());
    Some(Gvk { group: text("apiGroup")?, version: String::new(), kind: text("kind")? })
}

/// The objects that one may refer to: those in its namespace and those outside of namespaces; a role binding also
/// reaches the namespaces of its service accounts.
fn reachable<'a>(
    resource: &Resource,
    referrer: &Candidate,
    candidates: &'a [Candidate],
) -> Result<Vec<&'a Candidate>, Problem> {
    if referrer.id.gvk.is_cluster_scoped() {
        return Ok(candidates.iter().collect());
    }
    let mut namespaces: Vec<&str> = Vec::new();
    if resource.kind() == "RoleBinding" {
        for subject in resource.node.get("subjects").and_then(Node::as_seq).unwrap_or_default() {
            let text = |field: &str| subject.get(field).map(Node::raw_text);
            if text("kind") == Some("ServiceAccount")
                && let Some(namespace) = subject.get("namespace")
            {
                if namespace.is_null() {
                    return Err(Problem(format!(
                        "Invalid Input: namespace is blank for resource {}",
                        referrer.id
                    )));
                }
                namespaces.push(namespace.raw_text());
            }
        }
    }
    Ok(candidates
        .iter()
        .filter(|candidate| {
            candidate.id.gvk.is_cluster_scoped()
                || candidate.id.in_same_namespace(&referrer.id)
                || namespaces.contains(&candidate.id.namespace.as_str())
        })
        .collect())
}

struct Referrer<'a> {
    candidate: &'a Candidate,
    reachable: Vec<&'a Candidate>,
    role: Option<Gvk>,
}

impl Referrer<'_> {
    fn rewrite(&self, node: &mut Node, target: &Gvk, path: &str) -> Result<(), Problem> {
        match node {
            null if null.is_null() => Ok(()),
            Node::Scalar(_) => self.rewrite_name(node, target, path),
            Node::Map(_) => self.rewrite_map(node, target, path),
            Node::Seq(items) => items.iter_mut().try_for_each(|item| match item {
                Node::Scalar(_) => self.rewrite_name(item, target, path),
                Node::Map(_) => self.rewrite_map(item, target, path),
                Node::Seq(_) => {
                    Err(Problem(format!("{path} holds a list in a list: names or maps are expected")))
                }
            }),
        }
    }

    fn rewrite_name(&self, node: &mut Node, target: &Gvk, path: &str) -> Result<(), Problem> {
        let same = |found: &[&Candidate]| found.iter().all(|other| other.id.name == found[0].id.name);
        let old = node.raw_text();
        if let Some(found) = self.select(old, &self.reachable, target, path, same)?
            && found.id.name != old
        {
            let name = found.id.name.clone();
            node.set_implicit(name);
        }
        Ok(())
    }

    fn rewrite_map(&self, node: &mut Node, target: &Gvk, path: &str) -> Result<(), Problem> {
        let Some(map) = node.as_map_mut() else { return Ok(()) };
        let Some(name) = map.get("name") else {
            return Err(Problem(format!("path config error; no 'name' field in node at {path}")));
        };
        let old = name.raw_text().to_owned();
        let within: Vec<&Candidate> = match map.get("namespace") {
            None => self.reachable.clone(),
            Some(namespace) => {
                let namespace = namespace.raw_text();
                let of = |namespace_of: &dyn Fn(&Candidate) -> bool| -> Vec<&Candidate> {
                    self.reachable
                        .iter()
                        .copied()
                        .filter(|candidate| !candidate.id.gvk.is_cluster_scoped() && namespace_of(candidate))
                        .collect()
                };
                let original = of(&|candidate| {
                    candidate.previous.first().unwrap_or(&candidate.id).effective_namespace() == namespace
                });
                if original.is_empty() {
                    of(&|candidate| candidate.id.effective_namespace() == namespace)
                } else {
                    original
                }
            }
        };
        let same = |found: &[&Candidate]| {
            found
                .iter()
                .all(|other| other.id.name == found[0].id.name && other.id.namespace == found[0].id.namespace)
        };
        let Some(found) = self.select(&old, &within, target, path, same)? else { return Ok(()) };
        if found.id.name == old && found.id.namespace.is_empty() {
            return Ok(());
        }
        let (name, namespace) = (found.id.name.clone(), found.id.namespace.clone());
        map.entry("name", Kind::Scalar).set_implicit(name);
        if !namespace.is_empty() {
            map.entry("namespace", Kind::Scalar).set_implicit(namespace);
        }
        Ok(())
    }

    /// The object that an old name means.
    fn select<'a>(
        &self,
        old: &str,
        among: &[&'a Candidate],
        target: &Gvk,
        path: &str,
        same: impl Fn(&[&'a Candidate]) -> bool,
    ) -> Result<Option<&'a Candidate>, Problem> {
        let referrer = &self.candidate.id;
        let role = self.role.as_ref().filter(|_| path.ends_with("roleRef/name"));
        let mut found: Vec<&Candidate> = among
            .iter()
            .copied()
            .filter(|candidate| candidate.previous.iter().any(|id| id.name == old))
            .filter(|candidate| candidate.previous.iter().any(|id| id.gvk.is_selected_by(target)))
            .filter(|candidate| {
                role.is_none_or(|role| candidate.previous.iter().any(|id| id.gvk.is_selected_by(role)))
            })
            .filter(|candidate| {
                referrer.gvk.is_cluster_scoped()
                    || candidate.id.gvk.is_cluster_scoped()
                    || candidate.id.gvk.kind == "ServiceAccount"
                    || candidate.id.in_same_namespace(referrer)
            })
            .collect();
        for empty_matches in [true, false] {
            if found.len() <= 1 {
                break;
            }
            found.retain(|candidate| candidate.has_same_affixes(self.candidate, empty_matches));
        }
        match found.as_slice() {
            [] => Ok(None),
            [one] => Ok(Some(one)),
            several if same(several) => Ok(several.first().copied()),
            several => {
                let ids: Vec<String> = several.iter().map(|candidate| candidate.id.to_string()).collect();
                Err(Problem(format!("found multiple possible referrals: {}", ids.join(", "))))
            }
        }
    }
}
