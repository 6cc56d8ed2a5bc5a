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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn widget(version: &str) -> Resource {
        Resource {
            group: "shop.example.com".to_owned(),
            version: version.to_owned(),
            kind: "Widget".to_owned(),
            list_kind: "WidgetList".to_owned(),
            plural: "widgets".to_owned(),
            singular: "widget".to_owned(),
            short_names: vec!["wd".to_owned()],
            categories: Vec::new(),
            namespaced: true,
            subresources: vec![Subresource::Status],
            verbs: crate::resources::STORED_VERBS.map(str::to_owned).to_vec(),
        }
    }

    /// Name, kind and verbs of each entry, a line each.
    fn lines(list: &Value) -> String {
        let entries = list["resources"].as_array().unwrap().iter();
        let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
        let words = |value: &Value| {
            value.as_array().map_or("-".to_owned(), |v| v.iter().map(text).collect::<Vec<_>>().join(","))
        };
        let lines = entries.map(|e| {
            let version = if e.get("group").is_some() {
                format!("{}/{}.", text(&e["group"]), text(&e["version"]))
            } else {
                String::new()
            };
            let (name, singular, kind) = (text(&e["name"]), text(&e["singularName"]), text(&e["kind"]));
            let (short, categories, verbs) =
                (words(&e["shortNames"]), words(&e["categories"]), words(&e["verbs"]));
            let scope = if e["namespaced"] == true { "namespaced" } else { "cluster" };
            format!("{name} {singular} {version}{kind} {scope} {short} {categories} {verbs}")
        });
        lines.collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn the_core_group_is_listed_as_kubernetes_lists_it() {
        let list = resource_list(builtin(), "", "v1").unwrap();
        assert_eq!(list["groupVersion"], "v1");
        insta::assert_snapshot!(lines(&list));
    }

    #[test]
    fn scale_entries_name_the_kind_of_the_scale() {
        insta::assert_snapshot!(lines(&resource_list(builtin(), "apps", "v1").unwrap()));
    }

    #[test]
    fn groups_come_in_the_real_servers_order_and_custom_ones_after_them() {
        let custom = [widget("v1beta1"), widget("v2"), widget("v1")];
        let list = group_list(custom.iter().chain(builtin()));
        let groups = list["groups"].as_array().unwrap().iter();
        let lines: Vec<String> = groups
            .map(|g| {
                let versions = g["versions"].as_array().unwrap().iter();
                let versions: Vec<&str> = versions.map(|v| v["version"].as_str().unwrap()).collect();
                assert_eq!(g["preferredVersion"], g["versions"][0]);
                format!("{}: {}", g["name"].as_str().unwrap(), versions.join(", "))
            })
            .collect();
        insta::assert_snapshot!(lines.join("\n"));
    }

    #[test]
    fn what_is_not_served_has_no_document() {
        assert_eq!(group(builtin(), "nothing.example.com"), None);
        assert_eq!(resource_list(builtin(), "apps", "v2"), None);
    }

    #[test]
    fn versions_are_ordered_by_stability_then_number() {
        let mut versions = ["foo", "v1alpha1", "v10", "v1beta2", "v2", "v1", "v01", "v1beta10", "v2beta1"];
        versions.sort_by_cached_key(|version| version_priority(version));
        assert_eq!(versions, ["v10", "v2", "v1", "v2beta1", "v1beta10", "v1beta2", "v1alpha1", "foo", "v01"]);
    }

    #[test]
    fn aggregated_discovery_holds_the_same_in_one_document() {
        let custom = [widget("v1")];
        let apis = aggregated_apis(custom.iter().chain(builtin()));
        assert_eq!(apis["apiVersion"], "apidiscovery.k8s.io/v2");
        let items = apis["items"].as_array().unwrap();
        let by_name = |name: &str| items.iter().find(|item| item["metadata"]["name"] == name).unwrap();
        insta::assert_json_snapshot!("aggregated_autoscaling", by_name("autoscaling"));
        insta::assert_json_snapshot!("aggregated_custom", by_name("shop.example.com"));
        let api = aggregated_api(builtin());
        assert_eq!(api["items"].as_array().unwrap().len(), 1);
        let resources = api["items"][0]["versions"][0]["resources"].as_array().unwrap();
        let accounts = resources.iter().find(|r| r["resource"] == "serviceaccounts").unwrap();
        assert_eq!(
            accounts["subresources"][0]["responseKind"],
            json!({"group": "authentication.k8s.io", "version": "v1", "kind": "TokenRequest"})
        );
    }
}
