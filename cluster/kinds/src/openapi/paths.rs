//! The operations of a resource, as an OpenAPI v3 document describes them.

use serde_json::{Map, Value, json};

use super::{KindSchema, META, Served, reference, schemas};
use crate::resources::{Resource, Subresource};

/// The paths of a resource and its subresources.
pub(super) fn of(served: Served<'_>) -> Map<String, Value> {
    let resource = served.resource;
    let base = resource.base_path();
    let scope = if resource.namespaced { "/namespaces/{namespace}" } else { "" };
    let collection = format!("{base}{scope}/{}", resource.plural);
    let item = format!("{collection}/{{name}}");
    let context = Context::new(served);
    let mut paths = Map::new();
    let mut add = |path: String, named: bool, namespaced: bool, operations: Vec<(&str, Value)>| {
        if operations.is_empty() {
            return;
        }
        let mut entry: Map<String, Value> =
            operations.into_iter().map(|(method, operation)| (method.to_owned(), operation)).collect();
        entry.insert("parameters".to_owned(), path_parameters(named, namespaced));
        paths.insert(path, Value::Object(entry));
    };
    add(collection, false, resource.namespaced, context.collection());
    add(item.clone(), true, resource.namespaced, context.item());
    if resource.namespaced && resource.has_verb("list") {
        let list = vec![("get", context.list("ForAllNamespaces"))];
        add(format!("{base}/{}", resource.plural), false, false, list);
    }
    for subresource in &resource.subresources {
        let path = format!("{item}/{}", subresource.name());
        add(path, true, resource.namespaced, context.subresource(subresource));
    }
    paths
}

/// The path that lists the resources of a group version.
pub(super) fn resource_list(group: &str, version: &str) -> Value {
    json!({"get": {
        "operationId": format!("get{}{}APIResources", camel_group(group), camel(version)),
        "tags": [tag(group, version)],
        "responses": responses(&[200], &format!("{META}.APIResourceList")),
    }})
}

struct Context<'a> {
    resource: &'a Resource,
    custom: bool,
    /// Name of the kind's schema.
    schema: String,
}

impl<'a> Context<'a> {
    fn new(served: Served<'a>) -> Self {
        let resource = served.resource;
        Context {
            resource,
            custom: matches!(served.schema, KindSchema::Custom(_)),
            schema: schemas::name(&resource.group, &resource.version, &resource.kind),
        }
    }

    fn collection(&self) -> Vec<(&'static str, Value)> {
        let mut operations = Vec::new();
        if self.resource.has_verb("list") {
            operations.push(("get", self.list("")));
        }
        if self.resource.has_verb("create") {
            operations.push(("post", self.write("create", "post", &[200, 201, 202], &self.own_kind(), "")));
        }
        if self.resource.has_verb("deletecollection") {
            let id = self.id("delete", "Collection", "");
            let mut operation = self.operation(id, "deletecollection", self.gvk());
            operation["parameters"] = [list_parameters(false), delete_parameters()].concat().into();
            operation["requestBody"] = body(&["*/*"], &format!("{META}.DeleteOptions"), false);
            operation["responses"] = responses(&[200], &format!("{META}.Status"));
            operations.push(("delete", operation));
        }
        operations
    }

    fn item(&self) -> Vec<(&'static str, Value)> {
        let mut operations = Vec::new();
        if self.resource.has_verb("get") {
            operations.push(("get", self.read(&self.own_kind(), "")));
        }
        if self.resource.has_verb("update") {
            operations.push(("put", self.write("replace", "put", &[200, 201], &self.own_kind(), "")));
        }
        if self.resource.has_verb("patch") {
            operations.push(("patch", self.patch(&self.own_kind(), "")));
        }
        if self.resource.has_verb("delete") {
            let mut operation = self.operation(self.id("delete", "", ""), "delete", self.gvk());
            operation["parameters"] = delete_parameters().into();
            operation["requestBody"] = body(&["*/*"], &format!("{META}.DeleteOptions"), false);
            operation["responses"] = responses(&[200, 202], &format!("{META}.Status"));
            operations.push(("delete", operation));
        }
        operations
    }

    fn subresource(&self, subresource: &Subresource) -> Vec<(&'static str, Value)> {
        let (group, version, kind) = subresource.kind(self.resource);
        let target = Kind {
            schema: match subresource {
                Subresource::Log => None,
                _ => Some(schemas::name(group, version, &kind)),
            },
            gvk: gvk(group, version, &kind),
        };
        let suffix = camel(subresource.name());
        let connects =
            matches!(subresource, Subresource::Exec | Subresource::Attach | Subresource::PortForward);
        let verbs = subresource.verbs().iter();
        verbs
            .map(|&verb| {
                let method = match verb {
                    "create" => "post",
                    "update" => "put",
                    other => other,
                };
                let operation = match verb {
                    _ if connects => {
                        let id = self.id("connect", &camel(method), &suffix);
                        let mut operation = self.operation(id, "connect", target.gvk.clone());
                        operation["responses"] = text_response();
                        operation
                    }
                    "create" => self.write("create", "post", &[200, 201, 202], &target, &suffix),
                    "update" => self.write("replace", "put", &[200, 201], &target, &suffix),
                    "patch" => self.patch(&target, &suffix),
                    _ => self.read(&target, &suffix),
                };
                (method, operation)
            })
            .collect()
    }

    /// A list of one namespace or, with the suffix `ForAllNamespaces`, of all.
    fn list(&self, suffix: &str) -> Value {
        let id = if suffix.is_empty() {
            self.id("list", "", "")
        } else {
            format!("list{}{}{suffix}", self.group_version(), self.resource.kind)
        };
        let mut operation = self.operation(id, "list", self.gvk());
        operation["parameters"] = list_parameters(true).into();
        let list = schemas::name(&self.resource.group, &self.resource.version, &self.resource.list_kind);
        operation["responses"] = responses(&[200], &list);
        operation
    }

    fn read(&self, target: &Kind, suffix: &str) -> Value {
        let mut operation = self.operation(self.id("read", "", suffix), "get", target.gvk.clone());
        operation["responses"] = match &target.schema {
            Some(schema) => responses(&[200], schema),
            None => text_response(),
        };
        operation
    }

    fn write(&self, verb: &str, action: &str, codes: &[u16], target: &Kind, suffix: &str) -> Value {
        let mut operation = self.operation(self.id(verb, "", suffix), action, target.gvk.clone());
        operation["parameters"] = write_parameters().into();
        if let Some(schema) = &target.schema {
            operation["requestBody"] = body(&["*/*"], schema, true);
            operation["responses"] = responses(codes, schema);
        }
        operation
    }

    fn patch(&self, target: &Kind, suffix: &str) -> Value {
        let mut operation = self.operation(self.id("patch", "", suffix), "patch", target.gvk.clone());
        let mut parameters = write_parameters();
        parameters.push(query("force", "boolean"));
        operation["parameters"] = parameters.into();
        let mut kinds = vec![
            "application/apply-patch+yaml",
            "application/json-patch+json",
            "application/merge-patch+json",
        ];
        // A client makes a strategic merge patch only where it is offered.
        if !self.custom {
            kinds.push("application/strategic-merge-patch+json");
        }
        operation["requestBody"] = body(&kinds, &format!("{META}.Patch"), true);
        if let Some(schema) = &target.schema {
            operation["responses"] = responses(&[200, 201], schema);
        }
        operation
    }

    fn operation(&self, id: String, action: &str, gvk: Value) -> Value {
        json!({
            "operationId": id,
            "tags": [tag(&self.resource.group, &self.resource.version)],
            "x-kubernetes-action": action,
            "x-kubernetes-group-version-kind": gvk,
        })
    }

    fn own_kind(&self) -> Kind {
        Kind { schema: Some(self.schema.clone()), gvk: self.gvk() }
    }

    fn gvk(&self) -> Value {
        gvk(&self.resource.group, &self.resource.version, &self.resource.kind)
    }

    /// `replaceAppsV1NamespacedDeploymentStatus`
    fn id(&self, verb: &str, infix: &str, suffix: &str) -> String {
        let scope = if self.resource.namespaced { "Namespaced" } else { "" };
        format!("{verb}{}{infix}{scope}{}{suffix}", self.group_version(), self.resource.kind)
    }

    fn group_version(&self) -> String {
        format!("{}{}", camel_group(&self.resource.group), camel(&self.resource.version))
    }
}

/// What an operation reads or writes.
struct Kind {
    /// `None` where it is plain text.
    schema: Option<String>,
    gvk: Value,
}

fn gvk(group: &str, version: &str, kind: &str) -> Value {
    json!({"group": group, "version": version, "kind": kind})
}

/// `rbac.authorization.k8s.io` as `RbacAuthorization`, the core group as `Core`.
fn camel_group(group: &str) -> String {
    if group.is_empty() {
        return "Core".to_owned();
    }
    group.strip_suffix(".k8s.io").unwrap_or(group).split(['.', '-']).map(camel).collect()
}

fn camel(word: &str) -> String {
    let mut characters = word.chars();
    characters.next().map(|first| first.to_ascii_uppercase()).into_iter().chain(characters).collect()
}

fn tag(group: &str, version: &str) -> String {
    let group = if group.is_empty() { "core" } else { group.strip_suffix(".k8s.io").unwrap_or(group) };
    format!("{}_{version}", group.replace('.', "_"))
}

fn query(name: &str, kind: &str) -> Value {
    json!({"name": name, "in": "query", "schema": {"type": kind, "uniqueItems": true}})
}

fn path_parameters(named: bool, namespaced: bool) -> Value {
    let in_path = |name: &str| json!({"name": name, "in": "path", "required": true, "schema": {"type": "string", "uniqueItems": true}});
    let mut parameters = Vec::new();
    if named {
        parameters.push(in_path("name"));
    }
    if namespaced {
        parameters.push(in_path("namespace"));
    }
    parameters.push(query("pretty", "string"));
    parameters.into()
}

fn list_parameters(watch: bool) -> Vec<Value> {
    let mut parameters = vec![
        query("continue", "string"),
        query("fieldSelector", "string"),
        query("labelSelector", "string"),
        query("limit", "integer"),
        query("resourceVersion", "string"),
        query("resourceVersionMatch", "string"),
        query("sendInitialEvents", "boolean"),
        query("timeoutSeconds", "integer"),
    ];
    if watch {
        parameters.push(query("allowWatchBookmarks", "boolean"));
        parameters.push(query("watch", "boolean"));
    }
    parameters
}

fn write_parameters() -> Vec<Value> {
    vec![query("dryRun", "string"), query("fieldManager", "string"), query("fieldValidation", "string")]
}

fn delete_parameters() -> Vec<Value> {
    vec![
        query("dryRun", "string"),
        query("gracePeriodSeconds", "integer"),
        query("orphanDependents", "boolean"),
        query("propagationPolicy", "string"),
    ]
}

fn body(content_types: &[&str], schema: &str, required: bool) -> Value {
    let content: Map<String, Value> =
        content_types.iter().map(|&kind| (kind.to_owned(), json!({"schema": reference(schema)}))).collect();
    if required { json!({"content": content, "required": true}) } else { json!({"content": content}) }
}

fn responses(codes: &[u16], schema: &str) -> Value {
    let mut responses = Map::new();
    for code in codes {
        let description = match code {
            201 => "Created",
            202 => "Accepted",
            _ => "OK",
        };
        let content = json!({"application/json": {"schema": reference(schema)}});
        responses.insert(code.to_string(), json!({"description": description, "content": content}));
    }
    responses.insert("401".to_owned(), json!({"description": "Unauthorized"}));
    Value::Object(responses)
}

fn text_response() -> Value {
    json!({
        "200": {"description": "OK", "content": {"*/*": {"schema": {"type": "string"}}}},
        "401": {"description": "Unauthorized"},
    })
}
