//! From the objects of what is copied to those of the copy, with a record of every change.

use std::collections::{BTreeMap, BTreeSet};

use seaway_api::StackSpec;
use seaway_object::{GroupVersionKind, ObjectId, Scope, identity};
use serde_json::Value;

use crate::calls;
use crate::copy::{Copy, Shared};
use crate::error::{Error, Unmarked};
use crate::gateways;
use crate::hosts::{self, Texts};
use crate::outside::{self, Inside};
use crate::production_only::{Instead, mark, stand_in, suspicion};
use crate::record::{Class, Entry, entries};
use crate::references::{self, Names};
use crate::rules;

/// Gives a password for a Secret's name and key: the same one each time for one copy, another one for each copy.
pub type Passwords<'a> = &'a dyn Fn(&str, &str) -> String;

/// A rendered object of what is copied.
#[derive(Debug, Clone, Copy)]
pub struct Source<'a> {
    /// Its component.
    pub component: &'a str,
    /// The object.
    pub value: &'a Value,
    /// Whether its kind lives in namespaces.
    pub scope: Scope,
}

/// An object of the copy.
#[derive(Debug, Clone, PartialEq)]
pub struct Kept {
    /// Its place among the sources.
    pub source: usize,
    /// The object.
    pub value: Value,
}

/// An object that the copy does not have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftOut {
    /// Which.
    pub object: ObjectId,
    /// Why.
    pub reason: String,
}

/// What became of the objects.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Rewritten {
    /// The objects of the copy, in the order of their sources.
    pub objects: Vec<Kept>,
    /// The others.
    pub left_out: Vec<LeftOut>,
    /// Each host of what is copied, with that of the copy.
    pub hosts: BTreeMap<String, String>,
    /// Each service of a shared component, as NAMESPACE/NAME in the copy, with the host that it leads to.
    pub shared: BTreeMap<String, String>,
    /// Every change.
    pub record: Vec<Entry>,
}

/// Rules of the entries for what no copy has.
const CLUSTER_SCOPED: &str = "cluster-scoped";
const NETWORK: &str = "network-policies";
/// Rule of the entries for what it uses of another environment.
const SHARED: &str = "shared";

/// An object with its namespace written out, as fidelity compares it: the default one where it names none, none where
/// its kind lives in the cluster.
pub fn place(value: &Value, scope: Scope, default_namespace: &str) -> Value {
    let mut value = value.clone();
    if let Some(map) = value.as_object_mut() {
        map.remove("status");
    }
    identity::place(&mut value, scope, default_namespace);
    value
}

struct Placed {
    source: usize,
    id: ObjectId,
    value: Value,
    /// Whether the Stack says what it is, and not a repository.
    given: bool,
}

impl Copy {
    /// Makes rendered objects those of the copy: what stays in production gets its stand-in, the stack's rules are
    /// applied, then namespaces, hosts and references become the copy's. What lives in the cluster, and is allowed there,
    /// is left out: it is shared with what is copied. So are NetworkPolicies: those of the copy let its pods talk to each
    /// other and to what the stack lists, and one more could only let them talk to somebody else.
    ///
    /// # Errors
    /// When something looks as if it must not leave production and is not marked, a text of the copy would still call
    /// what is copied, a rule does not fit, or two hosts would become one.
    pub fn rewrite(
        &self,
        sources: &[Source<'_>],
        stack: &StackSpec,
        passwords: Passwords<'_>,
    ) -> Result<Rewritten, Error> {
        let mut result = Rewritten::default();
        let mut placed = Vec::new();
        let mut unmarked = Vec::new();
        // What is shared: services, and everything else.
        let (mut shared_services, mut foreign) = (BTreeSet::new(), Vec::new());
        for (index, source) in sources.iter().enumerate() {
            let value = place(source.value, source.scope, &self.default_namespace);
            let id = identify(&value);
            if let Some(shared) = &self.shared
                && shared.components.contains(source.component)
            {
                let alias = (id.group.is_empty() && id.kind == "Service").then(|| shared.alias(&value, &id));
                result.record.extend(entries(&id, Class::Rule, SHARED, Some(&value), alias.as_ref()));
                match alias {
                    Some(alias) => {
                        shared_services.insert((id.namespace.clone().unwrap_or_default(), id.name.clone()));
                        result.shared.insert(
                            identity_text(self, &id),
                            alias["spec"]["externalName"].as_str().unwrap_or_default().to_owned(),
                        );
                        placed.push(Placed { source: index, id, value: alias, given: true });
                    }
                    None => {
                        let reason =
                            format!("its component is shared: that of {} is used", shared.environment);
                        foreign.push(Placed { source: index, id: id.clone(), value, given: true });
                        result.left_out.push(LeftOut { object: id, reason });
                    }
                }
                continue;
            }
            // What the stack does not allow is not passed over: the plan refuses it.
            if source.scope == Scope::Cluster && allows(stack, &id) {
                result.record.extend(entries(&id, Class::Identity, CLUSTER_SCOPED, Some(&value), None));
                let reason = format!("it lives in the cluster: that of {} is used", self.original);
                result.left_out.push(LeftOut { object: id, reason });
                continue;
            }
            if id.group == "networking.k8s.io" && id.kind == "NetworkPolicy" {
                result.record.extend(entries(&id, Class::Rule, NETWORK, Some(&value), None));
                let reason = "a copy has its own, which keep its pods to themselves and what the Stack lists"
                    .to_owned();
                result.left_out.push(LeftOut { object: id, reason });
                continue;
            }
            match mark(stack, source.component, &id) {
                None => {
                    match suspicion(&value, &id).filter(|_| !leads_where_it_may(stack, source, &id, &value)) {
                        Some(reason) => {
                            let component = source.component.to_owned();
                            unmarked.push(Unmarked {
                                object: id,
                                component,
                                reason,
                                hosts: Vec::new(),
                                calls: Vec::new(),
                            });
                        }
                        None => placed.push(Placed { source: index, id, value, given: false }),
                    }
                }
                Some(kept) => {
                    let Instead { object: instead, more } =
                        stand_in(kept, &value, &id, passwords, replaces(stack, source.component))?;
                    let moved = instead.as_ref().map(identify);
                    let mut changed = |id: &ObjectId, from: Option<&Value>, to: Option<&Value>| {
                        result.record.extend(entries(id, Class::StandIn, &kept.name, from, to));
                    };
                    let in_place = instead.as_ref().filter(|_| moved.as_ref() == Some(&id));
                    changed(&id, Some(&value), in_place);
                    for one in more {
                        let id = identify(&one);
                        changed(&id, None, Some(&one));
                        placed.push(Placed { source: index, id, value: one, given: true });
                    }
                    match instead.zip(moved) {
                        Some((instead, moved)) => {
                            if moved != id {
                                changed(&moved, None, Some(&instead));
                            }
                            placed.push(Placed { source: index, id: moved, value: instead, given: false });
                        }
                        None => {
                            let reason =
                                format!("{:?} of the Stack keeps it in {}", kept.name, self.original);
                            result.left_out.push(LeftOut { object: id, reason });
                        }
                    }
                }
            }
        }
        let services: BTreeSet<(String, String)> = placed
            .iter()
            .filter(|object| object.id.group.is_empty() && object.id.kind == "Service")
            .map(|object| (object.id.name.clone(), object.id.namespace.clone().unwrap_or_default()))
            .collect();
        result.hosts = hosts::map(self, &answered(&mut placed))?;
        let hosts = result.hosts.clone();
        // Shared with somebody else, they are elsewhere: what is copied must not be called in their place.
        let is_lender = |shared: &Shared| shared.environment == self.original;
        let others = match self.shared.as_ref().is_some_and(is_lender) {
            true => answered(&mut foreign),
            false => BTreeSet::new(),
        };
        let inside = Inside { copy: self, hosts: &hosts, services: &services, others: &others };
        for object in placed.iter_mut().filter(|object| !object.given) {
            let component = sources[object.source].component;
            let named = outside::look(&inside, stack, component, &object.id, &object.value);
            for (kept, changed) in named.changes {
                let (from, to) = (Some(&object.value), Some(&changed));
                result.record.extend(entries(&object.id, Class::StandIn, &kept.name, from, to));
                object.value = changed;
            }
            if !named.unmarked.is_empty() {
                unmarked.push(Unmarked {
                    object: object.id.clone(),
                    component: component.to_owned(),
                    reason: outside_of_the_cluster(&named.unmarked),
                    hosts: named.unmarked.into_iter().collect(),
                    calls: Vec::new(),
                });
            }
        }
        let names = Texts { copy: self, hosts: &hosts, services: &services };
        let gateways: BTreeSet<(String, String)> = placed
            .iter()
            .filter(|object| object.id.group == gateways::GROUP && object.id.kind == "Gateway")
            .map(|object| (object.id.namespace.clone().unwrap_or_default(), object.id.name.clone()))
            .collect();
        for Placed { source, id, mut value, given } in placed {
            if given {
                let mut changed = value.clone();
                references::texts(&mut changed, "/metadata/namespace", &mut |text| {
                    *text = self.namespace(text).to_owned();
                });
                result.record.extend(entries(&id, Class::Identity, "names", Some(&value), Some(&changed)));
                result.objects.push(Kept { source, value: changed });
                continue;
            }
            let component = sources[source].component;
            for rule in stack.copies.iter().flat_map(|copies| &copies.rules) {
                let target = &rule.target;
                if target.matches(component, &id.group, &id.kind, id.namespace.as_deref(), &id.name) {
                    // Whatever else is wrong, the list comes first.
                    let changed = rules::apply(rule, &value, &id, &names).map_err(|error| {
                        if unmarked.is_empty() {
                            error
                        } else {
                            Error::Unmarked(std::mem::take(&mut unmarked))
                        }
                    })?;
                    // Texts with hosts are what the copy is called, wherever a rule says that they are.
                    let class = if rule.hosts.is_empty() { Class::Rule } else { Class::Identity };
                    result.record.extend(entries(&id, class, &rule.name, Some(&value), Some(&changed)));
                    value = changed;
                }
            }
            let theirs = self.shared.as_ref().map(|shared| shared.backends(&value, &id, &shared_services));
            let mut changed = self.renamed(&value, &id, &names, &gateways);
            for (at, namespace) in theirs.into_iter().flatten() {
                if let Some(backend) = changed.pointer_mut(&at) {
                    backend["namespace"] = namespace.into();
                }
            }
            let calls = calls::of(&names, stack, &changed);
            if !calls.is_empty() {
                let reason = calls::reason(&calls, &self.original);
                let component = component.to_owned();
                unmarked.push(Unmarked { object: id.clone(), component, reason, hosts: Vec::new(), calls });
            }
            result.record.extend(entries(&id, Class::Identity, "names", Some(&value), Some(&changed)));
            result.objects.push(Kept { source, value: changed });
        }
        if !unmarked.is_empty() {
            return Err(Error::Unmarked(unmarked));
        }
        Ok(result)
    }

    /// The identity in the copy of an object of what is copied.
    pub fn identity(&self, id: &ObjectId) -> ObjectId {
        let namespace = id.namespace.as_deref().map(|namespace| self.namespace(namespace).to_owned());
        ObjectId { namespace, ..id.clone() }
    }

    fn renamed(
        &self,
        value: &Value,
        id: &ObjectId,
        names: &Texts<'_>,
        gateways: &BTreeSet<(String, String)>,
    ) -> Value {
        let mut value = value.clone();
        gateways::attach(self, &mut value, id, gateways);
        self.refer(&mut value, id, names);
        gateways::narrow(self, &mut value, id);
        value
    }

    /// Lets an object lie in, and refer to, the namespaces and hosts of the copy.
    pub(crate) fn refer(&self, value: &mut Value, id: &ObjectId, names: &Texts<'_>) {
        let mut namespace = |text: &mut String| *text = self.namespace(text).to_owned();
        references::texts(value, "/metadata/namespace", &mut namespace);
        for pointer in references::of_templates() {
            references::texts(value, &pointer, &mut namespace);
        }
        for (pointer, what) in references::of(&id.group, &id.kind) {
            references::texts(value, pointer, &mut |text| match what {
                Names::Namespace => *text = self.namespace(text).to_owned(),
                Names::Host | Names::Text => *text = names.rewrite(text),
                Names::Qualified => {
                    if let Some((namespace, name)) = text.split_once('/') {
                        *text = format!("{}/{name}", self.namespace(namespace));
                    }
                }
                Names::Subject => *text = self.subject(text),
            });
        }
    }

    /// Users and groups that are service accounts of a namespace.
    fn subject(&self, text: &str) -> String {
        let parts: Vec<&str> = text.split(':').collect();
        match parts.as_slice() {
            ["system", "serviceaccounts", namespace] => {
                format!("system:serviceaccounts:{}", self.namespace(namespace))
            }
            ["system", "serviceaccount", namespace, name] => {
                format!("system:serviceaccount:{}:{name}", self.namespace(namespace))
            }
            _ => text.to_owned(),
        }
    }
}

/// The identity of an object. One that gets its name from its content later has the beginning of it; what is no object
/// is refused where it is applied.
pub(crate) fn identify(value: &Value) -> ObjectId {
    let kind = GroupVersionKind::of(value);
    ObjectId::of(value).unwrap_or_else(|_| ObjectId {
        group: kind.map(|kind| kind.group).unwrap_or_default(),
        kind: identity::kind(value).to_owned(),
        namespace: identity::namespace(value).map(str::to_owned),
        name: value.pointer("/metadata/generateName").and_then(Value::as_str).unwrap_or_default().to_owned(),
    })
}

/// An object of the copy as NAMESPACE/NAME.
fn identity_text(copy: &Copy, id: &ObjectId) -> String {
    format!("{}/{}", copy.namespace(id.namespace.as_deref().unwrap_or_default()), id.name)
}

/// Whether a copy reads something else in place of files of a component.
fn replaces(stack: &StackSpec, component: &str) -> bool {
    stack.files_of(component).next().is_some()
}

/// Hosts that one object names are told up to this number.
const TOLD: usize = 8;

fn outside_of_the_cluster(hosts: &BTreeSet<String>) -> String {
    let told: Vec<&str> = hosts.iter().take(TOLD).map(String::as_str).collect();
    let more = hosts.len().saturating_sub(TOLD);
    let more = if more == 0 { String::new() } else { format!(" and {more} more") };
    format!("it names {}{more}, outside the cluster", told.join(", "))
}

/// Whether a Service leads to a host of which the stack says that a copy may use it.
fn leads_where_it_may(stack: &StackSpec, source: &Source<'_>, id: &ObjectId, value: &Value) -> bool {
    let host = value.pointer("/spec/externalName").and_then(Value::as_str);
    let kept = host.and_then(|host| outside::mark(stack, source.component, id, &host.to_ascii_lowercase()));
    kept.is_some_and(|kept| kept.stand_in.keep)
}

/// Whether a stack may hold this cluster-scoped kind.
fn allows(stack: &StackSpec, id: &ObjectId) -> bool {
    let name = if id.group.is_empty() { id.kind.clone() } else { format!("{}.{}", id.kind, id.group) };
    stack.cluster_kinds().contains(&name)
}

/// Every host at which something answers.
fn answered(placed: &mut [Placed]) -> BTreeSet<String> {
    let mut hosts = BTreeSet::new();
    for object in placed {
        for (pointer, what) in references::of(&object.id.group, &object.id.kind) {
            if what == Names::Host {
                references::texts(&mut object.value, pointer, &mut |text| {
                    // `*` alone is every host.
                    if text.contains('.') {
                        hosts.insert(text.to_ascii_lowercase());
                    }
                });
            }
        }
    }
    hosts
}
