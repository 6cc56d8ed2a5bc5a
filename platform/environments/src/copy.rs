//! What a copy is called: its namespaces and hosts, and the spec that follows from what it copies.

use std::collections::{BTreeMap, BTreeSet};

use seaway_api::environment::{Destination, EnvironmentSpec};
use seaway_api::stack::{Component, Copies, StackSpec};

use crate::error::Error;

/// Longest name of a namespace (RFC 1123).
const LONGEST: usize = 63;

/// The namespace of a copy for one of what it copies: both names, always. What one is called does not depend on how many
/// there are, and a dash keeps it from being a top-level domain, which would take that domain's names from every pod in
/// the cluster.
pub fn namespace(copy: &str, original: &str) -> String {
    format!("{copy}-{original}")
}

/// A copy of an environment: everything that follows from its name and from what it copies.
#[derive(Debug, Clone, PartialEq)]
pub struct Copy {
    /// The copy's name.
    pub name: String,
    /// The name of what it copies.
    pub original: String,
    /// Each namespace of what it copies, with that of the copy.
    pub namespaces: BTreeMap<String, String>,
    /// The namespace, in what it copies, of objects without one.
    pub default_namespace: String,
    /// The domain of its hosts: `NAME.DOMAIN`.
    pub domain: String,
    /// Whether it has a Gateway for itself, to which its routes are attached.
    pub gateway: bool,
    /// What it uses of another environment.
    pub shared: Option<Shared>,
}

/// The components that a copy does not run itself.
#[derive(Debug, Clone, PartialEq)]
pub struct Shared {
    /// The environment that runs them.
    pub environment: String,
    /// The components.
    pub components: BTreeSet<String>,
    /// Each namespace of what is copied, with that of this environment in its place.
    pub namespaces: BTreeMap<String, String>,
}

/// The Gateway of a copy that has one, in its first namespace.
pub const GATEWAY: &str = "seaway";

impl Copy {
    /// The copy of this name of an environment; `domain` is the installation's, for stacks that name none.
    ///
    /// # Errors
    /// When the name is too long or means something in Kubernetes or Seaway, or what is copied is a copy itself.
    pub fn new(
        name: &str,
        (original, spec): (&str, &EnvironmentSpec),
        stack: &StackSpec,
        domain: &str,
    ) -> Result<Self, Error> {
        let wrong = |problem: &str| Error::Name { name: name.to_owned(), problem: problem.to_owned() };
        if spec.copy_of.is_some() {
            let problem = "it is a copy itself: copy what it is a copy of".to_owned();
            return Err(Error::Original { original: original.to_owned(), problem });
        }
        let all = spec.destination.all_namespaces();
        let namespaces: BTreeMap<String, String> =
            all.map(|one| (one.to_owned(), namespace(name, one))).collect();
        let reserved =
            |name: &str| name == "seaway" || name.starts_with("kube-") || name.starts_with("seaway-");
        if name == "default" || reserved(name) || namespaces.values().any(|name| reserved(name)) {
            return Err(wrong("namespaces of that name belong to the cluster or to Seaway"));
        }
        if let Some(long) = namespaces.values().find(|namespace| namespace.len() > LONGEST) {
            return Err(wrong(&format!("its namespace {long:?} would have more than {LONGEST} characters")));
        }
        let domain = stack.copies.as_ref().and_then(|copies| copies.domain.as_deref()).unwrap_or(domain);
        let domain = format!("{name}.{domain}");
        // It is the value of a label.
        if domain.len() > LONGEST {
            return Err(wrong(&format!("its domain {domain:?} would have more than {LONGEST} characters")));
        }
        Ok(Self {
            name: name.to_owned(),
            original: original.to_owned(),
            namespaces,
            default_namespace: spec.destination.namespace.clone(),
            domain,
            gateway: stack.copies.as_ref().is_some_and(|copies| copies.gateway.is_some()),
            shared: None,
        })
    }

    /// The same, using the shared components of the stack in an environment; `original` is what is copied.
    ///
    /// # Errors
    /// When that is a copy, or has not as many namespaces as what is copied.
    pub fn sharing(
        mut self,
        stack: &StackSpec,
        original: &EnvironmentSpec,
        (environment, spec): (&str, &EnvironmentSpec),
    ) -> Result<Self, Error> {
        let components: BTreeSet<String> = shared(stack).map(|component| component.name.clone()).collect();
        if components.is_empty() {
            return Ok(self);
        }
        let wrong =
            |problem: &str| Error::Original { original: environment.to_owned(), problem: problem.to_owned() };
        if spec.copy_of.is_some() {
            return Err(wrong("it is a copy, and others cannot share what it runs"));
        }
        let (from, to) = (original.destination.all_namespaces(), spec.destination.all_namespaces());
        let (from, to): (Vec<&str>, Vec<&str>) = (from.collect(), to.collect());
        if from.len() != to.len() {
            return Err(wrong("copies share what it runs, so it needs as many namespaces as what they copy"));
        }
        let namespaces =
            from.into_iter().zip(to).map(|(from, to)| (from.to_owned(), to.to_owned())).collect();
        self.shared = Some(Shared { environment: environment.to_owned(), components, namespaces });
        Ok(self)
    }

    /// The namespace of the copy for one of what it copies; others stay what they are.
    pub fn namespace<'a>(&'a self, original: &'a str) -> &'a str {
        self.namespaces.get(original).map_or(original, String::as_str)
    }

    /// The spec of the copy with everything that follows from what it copies.
    pub fn spec(&self, own: &EnvironmentSpec, original: &EnvironmentSpec) -> EnvironmentSpec {
        let namespaces = original.destination.all_namespaces().map(|one| self.namespace(one).to_owned());
        let mut namespaces: Vec<String> = namespaces.collect();
        let first = if namespaces.is_empty() { String::new() } else { namespaces.remove(0) };
        EnvironmentSpec {
            stack: original.stack.clone(),
            overlay: Some(original.overlay.clone().unwrap_or_else(|| self.original.clone())),
            destination: Destination {
                cluster: original.destination.cluster.clone(),
                namespace: first,
                namespaces,
            },
            ..own.clone()
        }
    }

    /// The stack as the copy has it: the components that are copied, and those that are shared with all copies.
    ///
    /// # Errors
    /// When a component is left out that another one needs.
    pub fn stack(&self, own: &EnvironmentSpec, stack: &StackSpec) -> Result<StackSpec, Error> {
        let wanted: BTreeSet<&str> = own.components.iter().map(String::as_str).collect();
        let is_wanted = |component: &&Component| {
            wanted.is_empty() || wanted.contains(component.name.as_str()) || is_shared(component)
        };
        let components: Vec<Component> = stack.components.iter().filter(is_wanted).cloned().collect();
        for component in &components {
            let needs = component.depends_on.iter();
            let missing: Vec<String> =
                needs.filter(|name| !components.iter().any(|there| there.name == **name)).cloned().collect();
            if !missing.is_empty() {
                return Err(Error::Components { missing, needed_by: component.name.clone() });
            }
        }
        Ok(StackSpec { components, ..stack.clone() })
    }
}

fn is_shared(component: &Component) -> bool {
    component.copy == Some(Copies::Shared)
}

/// The components that copies do not run themselves.
pub fn shared(stack: &StackSpec) -> impl Iterator<Item = &Component> {
    stack.components.iter().filter(|component| is_shared(component))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn spec(spec: Value) -> EnvironmentSpec {
        serde_json::from_value(spec).unwrap()
    }

    fn stack(components: &[(&str, &[&str])]) -> StackSpec {
        let component = |(name, needs): &(&str, &[&str])| json!({"name": name, "source": {"repo": "https://git/a"}, "dependsOn": needs});
        let components: Vec<Value> = components.iter().map(component).collect();
        serde_json::from_value(json!({"components": components})).unwrap()
    }

    fn namespaces(name: &str, destination: Value) -> Result<Vec<(String, String)>, Error> {
        let original = spec(json!({"stack": "shop", "destination": destination}));
        let copy = Copy::new(name, ("production", &original), &StackSpec::default(), "localhost")?;
        Ok(copy.namespaces.into_iter().collect())
    }

    #[test]
    fn each_namespace_has_both_names() {
        let pairs = |pairs: &[(&str, &str)]| {
            pairs.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect::<Vec<_>>()
        };
        assert_eq!(
            namespaces("mine", json!({"namespace": "shop"})).unwrap(),
            pairs(&[("shop", "mine-shop")])
        );
        let several = json!({"namespace": "shop", "namespaces": ["monitoring"]});
        assert_eq!(
            namespaces("mine", several).unwrap(),
            pairs(&[("monitoring", "mine-monitoring"), ("shop", "mine-shop")])
        );
    }

    #[test]
    fn a_copy_cannot_take_a_name_that_belongs_to_somebody() {
        let long = "a".repeat(60);
        for (name, destination) in [
            ("default", json!({"namespace": "shop"})),
            ("kube-system", json!({"namespace": "shop"})),
            ("seaway", json!({"namespace": "shop"})),
            ("seaway-jane", json!({"namespace": "shop"})),
            ("kube", json!({"namespace": "system"})),
            (&long, json!({"namespace": "shop"})),
        ] {
            assert!(matches!(namespaces(name, destination), Err(Error::Name { .. })), "{name}");
        }
        let copy = spec(json!({"copyOf": "production"}));
        let copied = Copy::new("b", ("a", &copy), &StackSpec::default(), "localhost");
        assert!(matches!(copied, Err(Error::Original { .. })));
    }

    #[test]
    fn what_the_copy_is_follows_from_what_it_copies() {
        let original =
            spec(json!({"stack": "shop", "class": "production", "destination": {"namespace": "shop"}}));
        let own = spec(json!({"copyOf": "production", "class": "personal", "stack": "other",
                              "overrides": [{"component": "web", "revision": "x"}]}));
        let copy = Copy::new("mine", ("production", &original), &StackSpec::default(), "localhost").unwrap();
        let spec = copy.spec(&own, &original);
        assert_eq!((spec.stack.as_str(), spec.overlay.as_deref()), ("shop", Some("production")));
        assert_eq!(spec.destination.namespace, "mine-shop");
        assert_eq!(spec.overrides, own.overrides);
    }

    #[test]
    fn a_part_of_the_stack_has_all_that_it_needs() {
        let original = spec(json!({"stack": "shop", "destination": {"namespace": "shop"}}));
        let copy = Copy::new("mine", ("production", &original), &StackSpec::default(), "localhost").unwrap();
        let stack = stack(&[("catalog", &[]), ("checkout", &[]), ("web", &["catalog", "checkout"])]);
        let part = |components: &[&str]| {
            let own = spec(json!({"copyOf": "production", "components": components}));
            copy.stack(&own, &stack).map(|part| part.components.len())
        };
        assert_eq!(part(&[]), Ok(3));
        assert_eq!(part(&["catalog"]), Ok(1));
        let error = part(&["web", "catalog"]).unwrap_err();
        assert_eq!(error.to_string(), "the copy has no checkout, which web needs: add it to its components");
    }
}
