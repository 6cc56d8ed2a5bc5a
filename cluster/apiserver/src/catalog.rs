//! What the server serves: the built-in resources and, following the store, those of the CRDs.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use seaway_kinds::resources::{Resource, Subresource, builtin};
use seaway_kinds::structural::CompiledSchema;
use seaway_merge::schema::{self, TypeRef};
use serde_json::Value;

use crate::store::{Entry, ResourceKey, Store, resource_key};

pub(crate) const CRDS: &str = "apiextensions.k8s.io/customresourcedefinitions";

/// One resource at one version.
pub(crate) struct Served {
    pub(crate) resource: Resource,
    pub(crate) schema: TypeRef,
    /// Where its objects are stored, the same for all versions.
    pub(crate) storage: ResourceKey,
    pub(crate) custom: Option<Custom>,
}

/// What only resources of a CRD have.
pub(crate) struct Custom {
    /// `apiVersion` in the store, of what is written now.
    pub(crate) storage_api_version: String,
    /// Revision since which the definition says what it says: what was stored before may be of another version, and
    /// have fields that are no longer known or lack new defaults.
    pub(crate) since: u64,
    /// The schema of the stored version, where this is another one that drops what it does not know.
    pub(crate) stored_schema: Option<TypeRef>,
    /// What is said to whoever uses this version, if it is deprecated.
    pub(crate) deprecation: Option<String>,
    /// Fields that can be selected by (KEP-4358), as `spec.color`.
    pub(crate) selectable: Vec<String>,
    /// The version's schema as the CRD gives it.
    pub(crate) open_api: Value,
    /// The same, ready to validate objects.
    pub(crate) validator: CompiledSchema,
    pub(crate) printer_columns: Vec<Value>,
    /// `spec.preserveUnknownFields`, or a version without a schema.
    pub(crate) keeps_unknown: bool,
    /// The CRD is being deleted: nothing new may be made.
    pub(crate) terminating: bool,
}

impl Served {
    pub(crate) fn group(&self) -> &str {
        &self.resource.group
    }

    pub(crate) fn plural(&self) -> &str {
        &self.resource.plural
    }

    pub(crate) fn kind(&self) -> &str {
        &self.resource.kind
    }

    pub(crate) fn api_version(&self) -> String {
        self.resource.group_version()
    }

    pub(crate) fn has_status(&self) -> bool {
        self.resource.subresources.contains(&Subresource::Status)
    }

    /// Whether all stored objects must be given this version's form before they are answered.
    pub(crate) fn converts(&self) -> bool {
        self.custom.as_ref().is_some_and(|c| c.storage_api_version != self.api_version())
    }

    /// Whether a stored object can be answered just as it is stored.
    pub(crate) fn is_as_stored(&self, entry: &Entry) -> bool {
        // A write that began before the definition changed may have ended after it: that one is of the old version.
        self.custom
            .as_ref()
            .is_none_or(|custom| entry.revision > custom.since && entry.is_of(&self.api_version()))
            && !self.converts()
            && !crate::conversion::needed(self)
    }
}

/// All of it at one moment.
pub(crate) struct Snapshot {
    by_path: HashMap<(String, String, String), Arc<Served>>,
    /// Resources in the order of discovery.
    pub(crate) resources: Vec<Arc<Served>>,
    /// OpenAPI documents by path, made when they are first asked for.
    documents: Mutex<HashMap<String, Bytes>>,
}

impl Snapshot {
    pub(crate) fn find(&self, group: &str, version: &str, plural: &str) -> Option<&Arc<Served>> {
        self.by_path.get(&(group.to_owned(), version.to_owned(), plural.to_owned()))
    }

    /// A document of this snapshot, made once.
    pub(crate) fn document(&self, path: &str, make: impl FnOnce() -> Value) -> Bytes {
        self.bytes(path, || crate::store::to_bytes(&make()))
    }

    /// The same of a document that is no JSON.
    pub(crate) fn bytes(&self, path: &str, make: impl FnOnce() -> Bytes) -> Bytes {
        if let Some(document) = self.documents.lock().get(path) {
            return document.clone();
        }
        // Made outside of the lock: large ones take a while, and two at the same time do no harm.
        let document = make();
        self.documents.lock().insert(path.to_owned(), document.clone());
        document
    }

    /// Any served version of what is stored under a key.
    pub(crate) fn by_storage(&self, storage: &str) -> Option<&Arc<Served>> {
        self.resources.iter().find(|s| &*s.storage == storage)
    }

    /// The served resource of a kind.
    pub(crate) fn by_kind(&self, group: &str, version: &str, kind: &str) -> Option<&Arc<Served>> {
        self.resources
            .iter()
            .find(|s| s.group() == group && s.resource.version == version && s.kind() == kind)
    }
}

/// What is known of one definition.
struct Definition {
    revision: u64,
    /// Of its spec.
    generation: i64,
    /// Revision in which that generation was first seen.
    since: u64,
    served: Vec<Arc<Served>>,
}

type Definitions = BTreeMap<String, Arc<Definition>>;

struct Following {
    seen: u64,
    definitions: Definitions,
    snapshot: Option<Arc<Snapshot>>,
}

pub(crate) struct Catalog {
    store: Store,
    builtin: Vec<Arc<Served>>,
    following: Mutex<Following>,
}

/// The built-in resources with their schemas.
pub(crate) fn builtin_resources() -> Vec<Arc<Served>> {
    let serve = |r: &Resource| {
        Arc::new(Served {
            resource: r.clone(),
            schema: schema::for_kind(&r.group, &r.version, &r.kind).unwrap_or_else(schema::untyped),
            storage: storage_of(&r.group, &r.plural),
            custom: None,
        })
    };
    builtin().iter().map(serve).collect()
}

impl Catalog {
    pub(crate) fn new(store: Store, builtin: Vec<Arc<Served>>) -> Self {
        let following = Following { seen: 0, definitions: BTreeMap::new(), snapshot: None };
        Self { store, builtin, following: Mutex::new(following) }
    }

    /// What is served now.
    pub(crate) fn now(&self) -> Arc<Snapshot> {
        let mut following = self.following.lock();
        let newest = self.store.resource_revision(CRDS);
        match &following.snapshot {
            Some(snapshot) if newest <= following.seen => snapshot.clone(),
            _ => {
                let (seen, entries) = self.store.read(|state| {
                    let entries: Vec<_> = state.range(CRDS, None).map(|(_, e)| e.clone()).collect();
                    (state.revision(), entries)
                });
                let definitions = definitions(&entries, &following.definitions);
                let snapshot = Arc::new(snapshot(&self.builtin, &definitions));
                *following = Following { seen, definitions, snapshot: Some(snapshot.clone()) };
                snapshot
            }
        }
    }
}

/// Several API versions of one thing share a place in the store.
fn storage_of(group: &str, plural: &str) -> ResourceKey {
    match (group, plural) {
        ("events.k8s.io", "events") => resource_key("", "events"),
        _ => resource_key(group, plural),
    }
}

fn definitions(entries: &[Arc<Entry>], before: &Definitions) -> Definitions {
    entries
        .iter()
        .map(|entry| {
            let name = entry.key.name.clone();
            let known = before.get(&name);
            if let Some(known) = known.filter(|known| known.revision == entry.revision) {
                return (name, known.clone());
            }
            let object = entry.value();
            let generation = object["metadata"]["generation"].as_i64().unwrap_or_default();
            // After a start nobody knows since when: this entry is at least as new.
            let since = known.filter(|k| k.generation == generation).map_or(entry.revision, |k| k.since);
            let served = serve(&object, since);
            (name, Arc::new(Definition { revision: entry.revision, generation, since, served }))
        })
        .collect()
}

fn snapshot(builtin: &[Arc<Served>], definitions: &Definitions) -> Snapshot {
    let mut resources = builtin.to_vec();
    let custom = definitions.values().flat_map(|definition| &definition.served);
    // What is built in cannot be replaced: its rules and checks would be gone. People do install the definitions of
    // the Gateway API, which changes nothing then.
    resources.extend(custom.filter(|c| builtin.iter().all(|b| b.storage != c.storage)).cloned());
    let mut by_path = HashMap::new();
    for served in &resources {
        let r = &served.resource;
        by_path.insert((r.group.clone(), r.version.clone(), r.plural.clone()), served.clone());
    }
    Snapshot { by_path, resources, documents: Mutex::default() }
}

/// The resources of an established CRD, highest version first.
fn serve(crd: &Value, since: u64) -> Vec<Arc<Served>> {
    let established = conditions(crd).any(|c| c["type"] == "Established" && c["status"] == "True");
    if !established {
        return vec![];
    }
    let spec = &crd["spec"];
    let names = &crd["status"]["acceptedNames"];
    let text = |v: &Value| v.as_str().unwrap_or_default().to_owned();
    let texts = |v: &Value| v.as_array().map(|a| a.iter().map(text).collect::<Vec<_>>()).unwrap_or_default();
    let group = text(&spec["group"]);
    let versions = spec["versions"].as_array().cloned().unwrap_or_default();
    let storage_version =
        versions.iter().find(|v| v["storage"] == true).map(|v| text(&v["name"])).unwrap_or_default();
    let keeps_all = spec["preserveUnknownFields"] == true;
    let stored_schema = versions
        .iter()
        .find(|v| v["storage"] == true)
        .map(|v| &v["schema"]["openAPIV3Schema"])
        .filter(|schema| schema.is_object() && !keeps_all)
        .and_then(|schema| schema::from_structural(schema).ok());
    let mut served: Vec<_> = versions
        .iter()
        .filter(|v| v["served"] == true)
        .map(|version| {
            let open_api = version["schema"]["openAPIV3Schema"].clone();
            let mut subresources = vec![];
            if version["subresources"]["status"].is_object() {
                subresources.push(Subresource::Status);
            }
            if let Some(scale) = version["subresources"]["scale"].as_object() {
                let path = |key: &str| scale.get(key).map(text).unwrap_or_default();
                subresources.push(Subresource::Scale {
                    spec_replicas: path("specReplicasPath"),
                    status_replicas: path("statusReplicasPath"),
                    selector: scale.get("labelSelectorPath").map(text),
                });
            }
            let resource = Resource {
                group: group.clone(),
                version: text(&version["name"]),
                kind: text(&names["kind"]),
                list_kind: text(&names["listKind"]),
                plural: text(&names["plural"]),
                singular: text(&names["singular"]),
                short_names: texts(&names["shortNames"]),
                categories: texts(&names["categories"]),
                namespaced: spec["scope"] == "Namespaced",
                subresources,
                verbs: VERBS.iter().map(|v| (*v).to_owned()).collect(),
            };
            let deprecation = (version["deprecated"] == true).then(|| match &version["deprecationWarning"] {
                Value::String(warning) => warning.clone(),
                _ => format!("{group}/{} {} is deprecated", resource.version, resource.kind),
            });
            let selectable = version["selectableFields"].as_array().into_iter().flatten();
            let selectable =
                selectable.map(|f| text(&f["jsonPath"]).trim_start_matches('.').to_owned()).collect();
            let keeps_unknown = open_api.is_null() || keeps_all;
            let schema = if keeps_unknown {
                schema::untyped()
            } else {
                schema::from_structural(&open_api).unwrap_or_else(|_| schema::untyped())
            };
            Arc::new(Served {
                schema,
                storage: resource_key(&group, &resource.plural),
                custom: Some(Custom {
                    storage_api_version: format!("{group}/{storage_version}"),
                    since,
                    stored_schema: stored_schema.clone().filter(|_| resource.version != storage_version),
                    deprecation,
                    selectable,
                    validator: CompiledSchema::compile(&open_api),
                    open_api,
                    printer_columns: version["additionalPrinterColumns"]
                        .as_array()
                        .cloned()
                        .unwrap_or_default(),
                    keeps_unknown,
                    terminating: crd["metadata"].get("deletionTimestamp").is_some(),
                }),
                resource,
            })
        })
        .collect();
    served.sort_by_key(|s| std::cmp::Reverse(priority(&s.resource.version)));
    served
}

/// Discovery verbs of a custom resource.
const VERBS: [&str; 8] = ["delete", "deletecollection", "get", "list", "patch", "create", "update", "watch"];

pub(crate) fn conditions(object: &Value) -> impl Iterator<Item = &Value> {
    object["status"]["conditions"].as_array().into_iter().flatten()
}

/// Orders versions as Kubernetes prefers them: GA over beta over alpha, then higher numbers,
/// then anything else by name, backwards.
pub(crate) fn priority(version: &str) -> (u8, u64, u64, std::cmp::Reverse<String>) {
    let parse = || {
        let rest = version.strip_prefix('v')?;
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let major: u64 = rest[..digits].parse().ok()?;
        let (stage, minor) = match &rest[digits..] {
            "" => (3, "0"),
            r if r.starts_with("beta") => (2, &r[4..]),
            r if r.starts_with("alpha") => (1, &r[5..]),
            _ => return None,
        };
        Some((stage, major, minor.parse().ok()?, std::cmp::Reverse(String::new())))
    };
    parse().unwrap_or((0, 0, 0, std::cmp::Reverse(version.to_owned())))
}
