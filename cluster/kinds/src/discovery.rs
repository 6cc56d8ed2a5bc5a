//! Discovery documents: the legacy lists and the aggregated form (`apidiscovery.k8s.io/v2`, KEP-3352).
//!
//! All functions are pure and take the served resources in any order: groups of Kubernetes come first in the order
//! of the real server, others by name; versions by Kubernetes' version priority; resources by name.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::resources::{Resource, Subresource, builtin};

/// `/api`: the versions of the core group.
pub fn api_versions(server_address: &str) -> Value {
    json!({
        "kind": "APIVersions",
        "versions": ["v1"],
        "serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": server_address}],
    })
}

/// `/apis`: every named group with its versions.
pub fn group_list<'a>(resources: impl IntoIterator<Item = &'a Resource>) -> Value {
    let groups: Vec<Value> =
        sorted(resources).into_iter().filter(|g| !g.name.is_empty()).map(|g| g.to_json()).collect();
    json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups})
}

/// `/apis/GROUP`; `None` when nothing of the group is served.
pub fn group<'a>(resources: impl IntoIterator<Item = &'a Resource>, name: &str) -> Option<Value> {
    let group = sorted(resources.into_iter().filter(|r| r.group == name)).into_iter().next()?;
    let mut document = group.to_json();
    document["kind"] = "APIGroup".into();
    document["apiVersion"] = "v1".into();
    Some(document)
}

/// `/api/v1` (group empty) and `/apis/GROUP/VERSION`; `None` when the version is not served.
pub fn resource_list<'a>(
    resources: impl IntoIterator<Item = &'a Resource>,
    group: &str,
    version: &str,
) -> Option<Value> {
    let mut entries: Vec<(String, Value)> = Vec::new();
    let mut group_version = None;
    for resource in resources.into_iter().filter(|r| r.group == group && r.version == version) {
        group_version.get_or_insert_with(|| resource.group_version());
        entries.push((resource.plural.clone(), resource_entry(resource)));
        for subresource in &resource.subresources {
            let name = format!("{}/{}", resource.plural, subresource.name());
            let entry = subresource_entry(resource, subresource, &name);
            entries.push((name, entry));
        }
    }
    let group_version = group_version?;
    entries.sort_by(|a, b| a.0.cmp(&b.0));
    let entries: Vec<Value> = entries.into_iter().map(|(_, entry)| entry).collect();
    Some(json!({
        "kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group_version, "resources": entries,
    }))
}

/// `/api` as an aggregated `APIGroupDiscoveryList` (Accept `application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList`).
pub fn aggregated_api<'a>(resources: impl IntoIterator<Item = &'a Resource>) -> Value {
    aggregated(sorted(resources.into_iter().filter(|r| r.group.is_empty())))
}

/// `/apis` as an aggregated `APIGroupDiscoveryList`.
pub fn aggregated_apis<'a>(resources: impl IntoIterator<Item = &'a Resource>) -> Value {
    aggregated(sorted(resources.into_iter().filter(|r| !r.group.is_empty())))
}

/// Kubernetes' version priority: `v2` before `v1` before `v1beta2` before `v1alpha1` before anything else.
/// Smaller keys come first.
pub fn version_priority(version: &str) -> impl Ord + use<> {
    // (stability, -major, -minor, name): names that are no versions come last, in their own order.
    match parse_version(version) {
        Some((stability, major, minor)) => {
            (stability, std::cmp::Reverse(major), std::cmp::Reverse(minor), String::new())
        }
        None => (3, std::cmp::Reverse(0), std::cmp::Reverse(0), version.to_owned()),
    }
}

fn parse_version(version: &str) -> Option<(u8, u32, u32)> {
    let rest = version.strip_prefix('v')?;
    let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    let major = number(&rest[..digits])?;
    let tail = &rest[digits..];
    if tail.is_empty() {
        return Some((0, major, 0));
    }
    for (stability, word) in [(1, "beta"), (2, "alpha")] {
        if let Some(minor) = tail.strip_prefix(word) {
            return Some((stability, major, number(minor)?));
        }
    }
    None
}

/// A version number: digits without a leading zero.
fn number(text: &str) -> Option<u32> {
    if text.starts_with('0') { None } else { text.parse().ok() }
}

/// A group with its versions, preferred first.
struct Group<'a> {
    name: &'a str,
    versions: Vec<(&'a str, Vec<&'a Resource>)>,
}

impl Group<'_> {
    fn to_json(&self) -> Value {
        let versions: Vec<Value> = self
            .versions
            .iter()
            .map(|(version, _)| {
                let group_version = if self.name.is_empty() {
                    (*version).to_owned()
                } else {
                    format!("{}/{version}", self.name)
                };
                json!({"groupVersion": group_version, "version": version})
            })
            .collect();
        let preferred = versions.first().cloned().unwrap_or(Value::Null);
        json!({"name": self.name, "versions": versions, "preferredVersion": preferred})
    }
}

fn sorted<'a>(resources: impl IntoIterator<Item = &'a Resource>) -> Vec<Group<'a>> {
    let mut groups: BTreeMap<(usize, &str), BTreeMap<&str, Vec<&Resource>>> = BTreeMap::new();
    for resource in resources {
        let rank = builtin().iter().position(|b| b.group == resource.group).unwrap_or(usize::MAX);
        groups
            .entry((rank, &resource.group))
            .or_default()
            .entry(&resource.version)
            .or_default()
            .push(resource);
    }
    groups
        .into_iter()
        .map(|((_, name), versions)| {
            let mut versions: Vec<_> = versions.into_iter().collect();
            versions.sort_by_cached_key(|(version, _)| version_priority(version));
            for (_, resources) in &mut versions {
                resources.sort_by(|a, b| a.plural.cmp(&b.plural));
            }
            Group { name, versions }
        })
        .collect()
}

fn resource_entry(resource: &Resource) -> Value {
    let mut entry = json!({
        "name": resource.plural,
        "singularName": resource.singular,
        "namespaced": resource.namespaced,
        "kind": resource.kind,
        "verbs": resource.verbs,
    });
    add_names(&mut entry, resource);
    entry
}

fn add_names(entry: &mut Value, resource: &Resource) {
    if !resource.short_names.is_empty() {
        entry["shortNames"] = json!(resource.short_names);
    }
    if !resource.categories.is_empty() {
        entry["categories"] = json!(resource.categories);
    }
}

fn subresource_entry(resource: &Resource, subresource: &Subresource, name: &str) -> Value {
    let (group, version, kind) = subresource.kind(resource);
    let mut entry = Map::new();
    entry.insert("name".to_owned(), name.into());
    entry.insert("singularName".to_owned(), "".into());
    entry.insert("namespaced".to_owned(), resource.namespaced.into());
    // Group and version are given only where they differ from the list's own.
    if (group, version) != (resource.group.as_str(), resource.version.as_str()) {
        entry.insert("group".to_owned(), group.into());
        entry.insert("version".to_owned(), version.into());
    }
    entry.insert("kind".to_owned(), kind.into());
    entry.insert("verbs".to_owned(), json!(subresource.verbs()));
    Value::Object(entry)
}

fn aggregated(groups: Vec<Group<'_>>) -> Value {
    let items: Vec<Value> = groups
        .iter()
        .map(|group| {
            let versions: Vec<Value> = group
                .versions
                .iter()
                .map(|(version, resources)| {
                    let resources: Vec<Value> = resources.iter().map(|r| aggregated_resource(r)).collect();
                    json!({"version": version, "resources": resources, "freshness": "Current"})
                })
                .collect();
            // The core group has no name.
            let metadata = if group.name.is_empty() { json!({}) } else { json!({"name": group.name}) };
            json!({"metadata": metadata, "versions": versions})
        })
        .collect();
    json!({"kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "metadata": {}, "items": items})
}

fn aggregated_resource(resource: &Resource) -> Value {
    let mut entry = json!({
        "resource": resource.plural,
        "responseKind": {"group": resource.group, "version": resource.version, "kind": resource.kind},
        "scope": if resource.namespaced { "Namespaced" } else { "Cluster" },
        "singularResource": resource.singular,
        "verbs": resource.verbs,
    });
    add_names(&mut entry, resource);
    if !resource.subresources.is_empty() {
        let subresources: Vec<Value> = resource
            .subresources
            .iter()
            .map(|subresource| {
                let (group, version, kind) = subresource.kind(resource);
                json!({
                    "subresource": subresource.name(),
                    "responseKind": {"group": group, "version": version, "kind": kind},
                    "verbs": subresource.verbs(),
                })
            })
            .collect();
        entry["subresources"] = subresources.into();
    }
    entry
}
