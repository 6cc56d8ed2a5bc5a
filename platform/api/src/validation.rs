//! What a schema cannot say: references between fields, circles, names that must differ.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::environment::{Class, EnvironmentSpec, SHARED_NAMESPACE, owner};
use crate::health_check::compile_health_checks;
use crate::images;
use crate::jq_path::JqPath;
use crate::links;
use crate::stack::{ProductionOnly, StackSpec, StandIn};

/// A field that breaks a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldError {
    /// The field: `spec.components[1].dependsOn[0]`.
    pub field: String,
    /// What is wrong and what to do.
    pub message: String,
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.message)
    }
}

fn error(field: impl Into<String>, message: impl Into<String>) -> FieldError {
    FieldError { field: field.into(), message: message.into() }
}

/// Everything that is wrong with a stack, in the order of its fields.
pub fn validate_stack(spec: &StackSpec) -> Vec<FieldError> {
    let mut errors = Vec::new();
    if spec.components.is_empty() {
        errors.push(error("spec.components", "a stack has at least one component"));
    }
    let names: BTreeSet<&str> = spec.components.iter().map(|component| component.name.as_str()).collect();
    let mut seen = BTreeSet::new();
    for (index, component) in spec.components.iter().enumerate() {
        let at = format!("spec.components[{index}]");
        if !is_dns_label(&component.name) {
            errors.push(error(format!("{at}.name"), NAME_RULE));
        } else if !seen.insert(component.name.as_str()) {
            let message = format!("{:?} is the name of another component", component.name);
            errors.push(error(format!("{at}.name"), message));
        }
        if let Some(problem) = repository_problem(&component.source.repo) {
            errors.push(error(format!("{at}.source.repo"), problem));
        } else if !spec.allows_repository(&component.source.repo) {
            let message =
                format!("{:?} matches no pattern of spec.allow.repositories", component.source.repo);
            errors.push(error(format!("{at}.source.repo"), message));
        }
        if let Some(problem) = path_problem(&component.source.path) {
            errors.push(error(format!("{at}.source.path"), problem));
        }
        if let Some(problem) = component.source.revision.as_deref().and_then(revision_problem) {
            errors.push(error(format!("{at}.source.revision"), problem));
        }
        for (number, dependency) in component.depends_on.iter().enumerate() {
            if !names.contains(dependency.as_str()) {
                let message = format!("{dependency:?} is not a component of this stack");
                errors.push(error(format!("{at}.dependsOn[{number}]"), message));
            }
        }
    }
    if let Some(circle) = circle(spec) {
        let message = format!("the components wait for each other: {}", circle.join(" → "));
        errors.push(error("spec.components", message));
    }
    for (index, kind) in spec.cluster_kinds().iter().enumerate() {
        if !is_kind(kind) {
            let message = format!(
                "{kind:?} is no kind: name one of the core group as Kind, others as Kind.group, such as \
                 ClusterRole.rbac.authorization.k8s.io"
            );
            errors.push(error(format!("spec.allow.clusterKinds[{index}]"), message));
        }
    }
    let mut steps = BTreeSet::new();
    for (index, step) in spec.path.iter().enumerate() {
        if !steps.insert(step.environment.as_str()) {
            let message = format!("{:?} is on the path already", step.environment);
            errors.push(error(format!("spec.path[{index}].environment"), message));
        }
    }
    validate_copies(spec, &mut errors);
    validate_egress(spec, &mut errors);
    for found in compile_health_checks(&spec.health_check_exprs).err().into_iter().flatten() {
        errors.push(error(format!("spec.healthCheckExprs{}", found.field), found.message));
    }
    errors.extend(links::errors(&spec.links));
    for (index, rule) in spec.ignore.iter().enumerate() {
        let at = format!("spec.ignore[{index}]");
        let names = [&rule.json_pointers, &rule.jq_path_expressions, &rule.field_managers];
        if names.iter().all(|names| names.is_empty()) {
            let message =
                "name fields with jsonPointers or jqPathExpressions, or managers with fieldManagers";
            errors.push(error(&at, message));
        }
        for (number, expression) in rule.jq_path_expressions.iter().enumerate() {
            if let Err(problem) = JqPath::parse(expression) {
                errors.push(error(format!("{at}.jqPathExpressions[{number}]"), problem));
            }
        }
        for (number, pointer) in rule.json_pointers.iter().enumerate() {
            if !pointer.starts_with('/') {
                let message = format!("{pointer:?} is not a JSON pointer: it starts with /");
                errors.push(error(format!("{at}.jsonPointers[{number}]"), message));
            }
        }
    }
    errors
}

fn validate_copies(spec: &StackSpec, errors: &mut Vec<FieldError>) {
    let mut seen = BTreeSet::new();
    for (index, kept) in spec.production_only.iter().enumerate() {
        let at = format!("spec.productionOnly[{index}]");
        if !is_dns_label(&kept.name) {
            errors.push(error(format!("{at}.name"), NAME_RULE));
        } else if !seen.insert(kept.name.as_str()) {
            errors.push(error(format!("{at}.name"), format!("{:?} is there already", kept.name)));
        }
        validate_stand_in(kept, &at, errors);
    }
    let mut seen = BTreeSet::new();
    for (index, rule) in spec.copies.iter().flat_map(|copies| &copies.rules).enumerate() {
        let at = format!("spec.copies.rules[{index}]");
        if !is_dns_label(&rule.name) {
            errors.push(error(format!("{at}.name"), NAME_RULE));
        } else if !seen.insert(rule.name.as_str()) {
            errors.push(error(format!("{at}.name"), format!("{:?} is there already", rule.name)));
        }
        let given =
            [rule.patch.is_some(), rule.replicas.is_some(), rule.resources.is_some(), !rule.hosts.is_empty()];
        if given.iter().filter(|given| **given).count() != 1 {
            errors.push(error(&at, "give exactly one of patch, replicas, resources and hosts"));
        }
        if rule.target.is_empty() && rule.hosts.is_empty() {
            errors.push(error(format!("{at}.target"), "say which objects differ"));
        }
        for (number, pointer) in rule.hosts.iter().enumerate() {
            if !pointer.starts_with('/') {
                let message = format!("{pointer:?} is not a JSON pointer: it starts with /");
                errors.push(error(format!("{at}.hosts[{number}]"), message));
            }
        }
    }
}

fn validate_stand_in(kept: &ProductionOnly, at: &str, errors: &mut Vec<FieldError>) {
    let StandIn { secret, volume, seed, service, host, content, keep, omit } = &kept.stand_in;
    let of_objects = [secret.is_some(), volume.is_some(), seed.is_some(), service.is_some(), *keep, *omit];
    let of_hosts = [host.is_some(), *keep];
    let of_files = [content.is_some()];
    let given = [
        secret.is_some(),
        volume.is_some(),
        seed.is_some(),
        service.is_some(),
        host.is_some(),
        content.is_some(),
        *keep,
        *omit,
    ];
    let count = |given: &[bool]| given.iter().filter(|given| **given).count();
    let (fitting, what): (&[bool], &str) = match (&kept.host, &kept.file) {
        (Some(_), Some(_)) => {
            errors.push(error(at, "give either host or file"));
            return;
        }
        (Some(_), None) => (&of_hosts, "of a host: host and keep"),
        (None, Some(_)) => (&of_files, "of a file: content"),
        (None, None) => (&of_objects, "secret, volume, seed, service, keep and omit"),
    };
    if kept.host.is_none() && kept.file.is_none() && kept.target.is_empty() {
        errors.push(error(format!("{at}.target"), "say which objects stay in production"));
    }
    if count(&given) != 1 || count(fitting) != 1 {
        errors.push(error(format!("{at}.standIn"), format!("give exactly one {what}")));
    }
    if let Some(problem) = kept.file.as_deref().and_then(path_problem) {
        errors.push(error(format!("{at}.file"), problem));
    }
}

fn validate_egress(spec: &StackSpec, errors: &mut Vec<FieldError>) {
    let mut seen = BTreeSet::new();
    for (index, place) in spec.copies.iter().flat_map(|copies| &copies.egress).enumerate() {
        let at = format!("spec.copies.egress[{index}]");
        if !is_dns_label(&place.name) {
            errors.push(error(format!("{at}.name"), NAME_RULE));
        } else if !seen.insert(place.name.as_str()) {
            errors.push(error(format!("{at}.name"), format!("{:?} is there already", place.name)));
        }
        if place.cidr.is_some() == place.namespace.is_some() {
            errors.push(error(&at, "give either cidr or namespace"));
        }
        let blocks = place.cidr.iter().map(|cidr| ("cidr".to_owned(), cidr));
        let excepted =
            place.except.iter().enumerate().map(|(number, cidr)| (format!("except[{number}]"), cidr));
        for (field, cidr) in blocks.chain(excepted) {
            if !is_cidr(cidr) {
                let message = format!("{cidr:?} is no range of addresses: such as 192.0.2.0/24");
                errors.push(error(format!("{at}.{field}"), message));
            }
        }
        if place.namespace.as_deref().is_some_and(|namespace| !is_dns_label(namespace)) {
            errors.push(error(format!("{at}.namespace"), NAME_RULE));
        }
    }
}

fn is_cidr(text: &str) -> bool {
    let Some((address, length)) = text.split_once('/') else { return false };
    let most = match address.parse::<std::net::IpAddr>() {
        Ok(std::net::IpAddr::V4(_)) => 32,
        Ok(std::net::IpAddr::V6(_)) => 128,
        Err(_) => return false,
    };
    length.parse::<u8>().is_ok_and(|length| length <= most)
}

/// What is wrong with where an environment lives: in a person's namespace there are only copies of that person, since
/// their rights follow from what they copy.
pub fn validate_place(namespace: &str, spec: &EnvironmentSpec) -> Vec<FieldError> {
    let mut errors = Vec::new();
    if owner(namespace).is_none() {
        return errors;
    }
    if spec.class != Class::Personal {
        errors.push(error("spec.class", format!("in {namespace} it must be \"personal\"")));
    }
    if spec.copy_of.is_none() {
        let message = format!("environments in {namespace} are copies: name the one that it is a copy of");
        errors.push(error("spec.copyOf", message));
    }
    // Everybody may see those; of others nobody has asked whether this person may.
    if let Some((of, _)) = spec.original()
        && of != SHARED_NAMESPACE
    {
        let message = format!("only environments of the namespace {SHARED_NAMESPACE} can be copied");
        errors.push(error("spec.copyOf", message));
    }
    errors
}

/// Everything that is wrong with an environment; with its stack also what does not fit that one.
pub fn validate_environment(
    name: &str,
    spec: &EnvironmentSpec,
    stack: Option<&StackSpec>,
) -> Vec<FieldError> {
    let mut errors = Vec::new();
    if !is_dns_label(name) {
        errors.push(error("metadata.name", NAME_RULE));
    }
    if spec.stack.is_empty() && spec.copy_of.is_none() {
        errors.push(error("spec.stack", "name the stack that runs here"));
    }
    if spec.class == Class::Production && spec.copy_of.is_some() {
        errors.push(error("spec.copyOf", "a production environment is not a copy"));
    }
    let of_copies = !spec.components.is_empty() || spec.follow.is_some() || spec.expires.is_some();
    if spec.copy_of.is_none() && of_copies {
        errors.push(error("spec.copyOf", "only a copy has components, follow and expires"));
    }
    if let Some(expires) = &spec.expires
        && expires.parse::<jiff::Timestamp>().is_err()
    {
        errors
            .push(error("spec.expires", format!("{expires:?} is not a time: such as 2030-01-31T12:00:00Z")));
    }
    if let Some(overlay) = &spec.overlay
        && (overlay.is_empty() || overlay.contains('/') || overlay == "..")
    {
        errors.push(error("spec.overlay", "one part of a path, without /"));
    }
    if spec.destination.cluster != "local" {
        let message = format!("{:?} is not known: only the cluster \"local\" is", spec.destination.cluster);
        errors.push(error("spec.destination.cluster", message));
    }
    let further = spec.destination.namespaces.iter().enumerate();
    let further = further.map(|(index, name)| (format!("spec.destination.namespaces[{index}]"), name));
    let first = ("spec.destination.namespace".to_owned(), &spec.destination.namespace);
    let placed = std::iter::once(first).chain(further).filter(|_| spec.copy_of.is_none());
    if spec.copy_of.is_some() && !spec.destination.is_empty() {
        let message = "a copy has none: its namespaces follow from its name";
        errors.push(error("spec.destination", message));
    }
    for (field, namespace) in placed {
        if !is_dns_label(namespace) {
            errors.push(error(field, NAME_RULE));
        } else if namespace.starts_with("kube-") {
            errors.push(error(
                field,
                format!("{namespace:?} belongs to the cluster: name a namespace of your own"),
            ));
        }
    }
    let known = |component: &str| stack.is_none_or(|stack| stack.component(component).is_some());
    // That of a copy follows from what it copies.
    let stack_name = if spec.stack.is_empty() { String::new() } else { format!(" {:?}", spec.stack) };
    let unknown = |component: &str| {
        let there =
            stack.map(|stack| stack.components.iter().map(|one| one.name.as_str()).collect::<Vec<_>>());
        let there = there.map(|names| format!(": it has {}", names.join(", "))).unwrap_or_default();
        format!("{component:?} is not a component of the stack{stack_name}{there}")
    };
    for (index, component) in spec.components.iter().enumerate() {
        if !known(component) {
            errors.push(error(format!("spec.components[{index}]"), unknown(component)));
        }
    }
    for (index, pin) in spec.pins.iter().enumerate() {
        let at = format!("spec.pins[{index}]");
        if !known(&pin.component) {
            errors.push(error(format!("{at}.component"), unknown(&pin.component)));
        }
        if pin.commit.as_deref().is_some_and(|commit| !is_commit(commit)) {
            errors.push(error(format!("{at}.commit"), "a full commit has 40 or 64 hexadecimal digits"));
        }
    }
    for (index, deviation) in spec.overrides.iter().enumerate() {
        let at = format!("spec.overrides[{index}]");
        if !known(&deviation.component) {
            errors.push(error(format!("{at}.component"), unknown(&deviation.component)));
        }
        if let Some(repo) = &deviation.repo {
            if let Some(problem) = repository_problem(repo) {
                errors.push(error(format!("{at}.repo"), problem));
            } else if stack.is_some_and(|stack| !stack.allows_repository(repo)) {
                let message = format!("the stack{stack_name} does not allow the repository {repo:?}");
                errors.push(error(format!("{at}.repo"), message));
            }
        }
        if let Some(problem) = deviation.revision.as_deref().and_then(revision_problem) {
            errors.push(error(format!("{at}.revision"), problem));
        }
        for (number, image) in deviation.images.iter().enumerate() {
            if let Some((field, problem)) = images::problem(image) {
                errors.push(error(format!("{at}.images[{number}].{field}"), problem));
            }
        }
    }
    errors
}

const NAME_RULE: &str = "a name has at most 63 lower-case letters, digits and -, and begins and ends with a \
                         letter or digit";

fn is_dns_label(name: &str) -> bool {
    let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    !name.is_empty()
        && name.len() <= 63
        && name.chars().all(inner)
        && !name.starts_with('-')
        && !name.ends_with('-')
}

/// `Kind` or `Kind.group`.
fn is_kind(text: &str) -> bool {
    let (kind, group) = text.split_once('.').map_or((text, None), |(kind, group)| (kind, Some(group)));
    let within = |c: char| c.is_ascii_alphanumeric() || c == '-';
    let of_group = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-.".contains(c);
    kind.starts_with(|c: char| c.is_ascii_alphabetic())
        && kind.chars().all(within)
        && group.is_none_or(|group| {
            group.starts_with(|c: char| c.is_ascii_alphanumeric()) && group.chars().all(of_group)
        })
}

fn is_commit(text: &str) -> bool {
    matches!(text.len(), 40 | 64) && text.chars().all(|c| c.is_ascii_hexdigit())
}

/// What would be an option or a program to `git`, not a repository.
fn repository_problem(url: &str) -> Option<String> {
    if url.is_empty() {
        Some("name the repository by the URL that git clone takes".to_owned())
    } else if url.starts_with('-') || url.contains("::") || url.contains(char::is_control) {
        Some(format!("{url:?} is not the URL of a repository"))
    } else {
        None
    }
}

fn revision_problem(revision: &str) -> Option<String> {
    let bad = |c: char| c.is_control() || c.is_whitespace() || "~^:?*[\\".contains(c);
    (revision.is_empty() || revision.starts_with('-') || revision.contains("..") || revision.contains(bad))
        .then(|| format!("{revision:?} is not a branch, a tag or a commit"))
}

fn path_problem(path: &str) -> Option<String> {
    (path.starts_with('/') || path.split('/').any(|part| part == ".."))
        .then(|| format!("{path:?} leaves the repository: paths are relative to its root"))
}

/// Components that wait for each other, the first one repeated at the end.
fn circle(spec: &StackSpec) -> Option<Vec<String>> {
    let graph: BTreeMap<&str, Vec<&str>> = spec
        .components
        .iter()
        .map(|component| (component.name.as_str(), component.depends_on.iter().map(String::as_str).collect()))
        .collect();
    let mut done = BTreeSet::new();
    for start in graph.keys() {
        let mut way = vec![(*start, 0)];
        while let Some((name, next)) = way.last().copied() {
            let Some(dependency) = graph.get(name).and_then(|all| all.get(next)) else {
                done.insert(name);
                way.pop();
                continue;
            };
            if let Some(last) = way.last_mut() {
                last.1 += 1;
            }
            if let Some(from) = way.iter().position(|(seen, _)| seen == dependency) {
                let mut names: Vec<String> = way[from..].iter().map(|(name, _)| (*name).to_owned()).collect();
                names.push((*dependency).to_owned());
                return Some(names);
            }
            if !done.contains(dependency) {
                way.push((dependency, 0));
            }
        }
    }
    None
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn stack(spec: Value) -> StackSpec {
        serde_json::from_value(spec).unwrap()
    }

    fn component(name: &str, depends_on: &[&str]) -> Value {
        json!({"name": name, "source": {"repo": "https://git/a", "path": "a"}, "dependsOn": depends_on})
    }

    fn fields(errors: &[FieldError]) -> Vec<&str> {
        errors.iter().map(|error| error.field.as_str()).collect()
    }

    #[test]
    fn a_good_stack_has_no_errors() {
        let spec =
            json!({"components": [component("a", &["b", "c"]), component("b", &["c"]), component("c", &[])]});
        assert_eq!(validate_stack(&stack(spec)), []);
    }

    #[test]
    fn what_is_wrong_with_a_stack_is_named_by_its_field() {
        let source = |source: Value| json!({"components": [{"name": "a", "source": source}]});
        let health = |rules: Value| json!({"components": [component("a", &[])], "healthCheckExprs": rules});
        for (spec, field) in [
            (json!({"components": []}), "spec.components"),
            (json!({"components": [component("A", &[])]}), "spec.components[0].name"),
            (json!({"components": [component("a", &[]), component("a", &[])]}), "spec.components[1].name"),
            (json!({"components": [component("a", &["x"])]}), "spec.components[0].dependsOn[0]"),
            (source(json!({"repo": ""})), "spec.components[0].source.repo"),
            (source(json!({"repo": "--upload-pack=x"})), "spec.components[0].source.repo"),
            (source(json!({"repo": "ext::sh -c x"})), "spec.components[0].source.repo"),
            (source(json!({"repo": "r", "path": "../x"})), "spec.components[0].source.path"),
            (source(json!({"repo": "r", "path": "/etc"})), "spec.components[0].source.path"),
            (source(json!({"repo": "r", "revision": "-x"})), "spec.components[0].source.revision"),
            (
                json!({"components": [component("a", &[])], "allow": {"repositories": ["https://other/*"]}}),
                "spec.components[0].source.repo",
            ),
            (
                json!({"components": [component("a", &[])], "allow": {"repositories": ["*"], "clusterKinds": ["x y z"]}}),
                "spec.allow.clusterKinds[0]",
            ),
            (
                json!({"components": [component("a", &[])], "ignore": [{"jsonPointers": ["spec"]}]}),
                "spec.ignore[0].jsonPointers[0]",
            ),
            (
                health(json!([{"apiVersion": "a/v1", "kind": "B", "current": "("}])),
                "spec.healthCheckExprs[0].current",
            ),
            (
                health(json!([
                    {"apiVersion": "a/v1", "kind": "B", "current": "true"},
                    {"apiVersion": "a/v1", "current": "true"},
                    {"apiVersion": "a/v1beta1", "kind": "B", "current": "true"},
                ])),
                "spec.healthCheckExprs[2]",
            ),
            (
                health(json!(vec![json!({"apiVersion": "a/v1", "current": "true"}); 65])),
                "spec.healthCheckExprs",
            ),
        ] {
            assert_eq!(fields(&validate_stack(&stack(spec.clone()))), [field], "{spec}");
        }
    }

    #[test]
    fn components_that_wait_for_each_other_are_named() {
        let spec =
            json!({"components": [component("a", &["b"]), component("b", &["c"]), component("c", &["b"])]});
        let errors = validate_stack(&stack(spec));
        assert_eq!(errors[0].message, "the components wait for each other: b → c → b");
    }

    #[test]
    fn in_a_persons_namespace_there_are_only_copies() {
        let spec = |spec: Value| serde_json::from_value::<EnvironmentSpec>(spec).unwrap();
        let copy = spec(json!({"copyOf": "production", "class": "personal"}));
        assert_eq!(validate_place("seaway-jane", &copy), []);
        let own =
            spec(json!({"stack": "mine", "class": "staging", "destination": {"namespace": "kube-system"}}));
        assert_eq!(fields(&validate_place("seaway-jane", &own)), ["spec.class", "spec.copyOf"]);
        assert_eq!(validate_place("seaway", &own), []);
        let foreign = spec(json!({"copyOf": "team-x/production", "class": "personal"}));
        assert_eq!(fields(&validate_place("seaway-jane", &foreign)), ["spec.copyOf"]);
    }

    #[test]
    fn what_copies_change_is_checked() {
        let check = |more: Value| {
            let mut spec = json!({"components": [component("a", &[])]});
            spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            validate_stack(&stack(spec))
        };
        let only = |standin: Value| json!({"productionOnly": [{"name": "x", "target": {"kind": "Secret"}, "standIn": standin}]});
        let kept = |mut kept: Value| {
            kept["name"] = "x".into();
            json!({"productionOnly": [kept]})
        };
        for good in [
            json!({"host": "*.example.com", "standIn": {"keep": true}}),
            json!({"host": "a.example.com", "standIn": {"host": "mock:8080"}}),
            json!({"file": "overlays/production/.env", "standIn": {"content": "A=b"}}),
            json!({"target": {"kind": "Service"}, "standIn": {"service": {"image": "i", "port": 80}}}),
        ] {
            assert_eq!(check(kept(good.clone())), [], "{good}");
        }
        let rule = |rule: Value| json!({"copies": {"rules": [rule]}});
        let egress = |place: Value| json!({"copies": {"egress": [place]}});
        assert_eq!(
            check(egress(json!({"name": "x", "cidr": "2001:db8::/32", "ports": [{"port": 443}]}))),
            []
        );
        assert_eq!(check(only(json!({"volume": "empty"}))), []);
        assert_eq!(check(rule(json!({"name": "x", "target": {"kind": "Deployment"}, "replicas": 1}))), []);
        for (more, field) in [
            (only(json!({})), "spec.productionOnly[0].standIn"),
            (only(json!({"volume": "empty", "omit": true})), "spec.productionOnly[0].standIn"),
            (only(json!({"host": "other"})), "spec.productionOnly[0].standIn"),
            (
                kept(json!({"host": "a.example.com", "standIn": {"omit": true}})),
                "spec.productionOnly[0].standIn",
            ),
            (kept(json!({"file": "../a", "standIn": {"content": ""}})), "spec.productionOnly[0].file"),
            (kept(json!({"standIn": {"omit": true}})), "spec.productionOnly[0].target"),
            (rule(json!({"name": "x", "target": {"kind": "Deployment"}})), "spec.copies.rules[0]"),
            (rule(json!({"name": "x", "replicas": 1})), "spec.copies.rules[0].target"),
            (rule(json!({"name": "x", "hosts": ["data"]})), "spec.copies.rules[0].hosts[0]"),
            (egress(json!({"name": "x"})), "spec.copies.egress[0]"),
            (egress(json!({"name": "x", "cidr": "192.0.2.0/24", "namespace": "a"})), "spec.copies.egress[0]"),
            (egress(json!({"name": "x", "cidr": "192.0.2.0/33"})), "spec.copies.egress[0].cidr"),
            (egress(json!({"name": "x", "cidr": "example.com/8"})), "spec.copies.egress[0].cidr"),
            (
                egress(json!({"name": "x", "cidr": "::/0", "except": ["x"]})),
                "spec.copies.egress[0].except[0]",
            ),
        ] {
            assert_eq!(fields(&check(more.clone())), [field], "{more}");
        }
    }

    #[test]
    fn what_is_wrong_with_an_environment_is_named_by_its_field() {
        let stack = stack(json!({"components": [component("a", &[])]}));
        let good = json!({"stack": "shop", "class": "production", "destination": {"namespace": "shop"}});
        let check = |change: Value| {
            let mut spec = good.clone();
            for (key, value) in change.as_object().unwrap() {
                spec[key] = value.clone();
            }
            validate_environment("production", &serde_json::from_value(spec).unwrap(), Some(&stack))
        };
        assert_eq!(check(json!({})), []);
        for (change, field) in [
            (json!({"stack": ""}), "spec.stack"),
            (json!({"copyOf": "other", "destination": {}}), "spec.copyOf"),
            (json!({"copyOf": "other", "class": "personal"}), "spec.destination"),
            (json!({"components": ["a"]}), "spec.copyOf"),
            (
                json!({"copyOf": "other", "class": "personal", "destination": {}, "components": ["x"]}),
                "spec.components[0]",
            ),
            (
                json!({"copyOf": "other", "class": "personal", "destination": {}, "expires": "soon"}),
                "spec.expires",
            ),
            (json!({"expires": "2030-01-01T00:00:00Z"}), "spec.copyOf"),
            (json!({"overlay": "a/b"}), "spec.overlay"),
            (json!({"destination": {"namespace": ""}}), "spec.destination.namespace"),
            (json!({"destination": {"namespace": "kube-system"}}), "spec.destination.namespace"),
            (
                json!({"destination": {"namespace": "a", "namespaces": ["B"]}}),
                "spec.destination.namespaces[0]",
            ),
            (json!({"destination": {"namespace": "a", "cluster": "far"}}), "spec.destination.cluster"),
            (json!({"pins": [{"component": "x"}]}), "spec.pins[0].component"),
            (json!({"pins": [{"component": "a", "commit": "main"}]}), "spec.pins[0].commit"),
            (json!({"overrides": [{"component": "a", "repo": "https://other"}]}), "spec.overrides[0].repo"),
            (json!({"overrides": [{"component": "a", "revision": "a b"}]}), "spec.overrides[0].revision"),
            (
                json!({"overrides": [{"component": "a", "images": [{"name": "web", "tag": "1 2"}]}]}),
                "spec.overrides[0].images[0].tag",
            ),
        ] {
            assert_eq!(fields(&check(change.clone())), [field], "{change}");
        }
    }
}
