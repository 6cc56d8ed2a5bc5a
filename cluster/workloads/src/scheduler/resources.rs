//! What pods ask for and what nodes have.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Container, Pod, PodSpec};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity as Text;
use seaway_kinds::quantity::Quantity;

/// Amounts by the resource's name.
#[derive(Clone, Debug, Default)]
pub(super) struct Resources(BTreeMap<String, Quantity>);

impl Resources {
    /// From a field; amounts that cannot be read count as zero (validation refuses them).
    pub(super) fn of(field: Option<&BTreeMap<String, Text>>) -> Self {
        let read = |(name, text): (&String, &Text)| Some((name.clone(), Quantity::parse(&text.0).ok()?));
        Self(field.into_iter().flatten().filter_map(read).collect())
    }

    pub(super) fn get(&self, name: &str) -> Quantity {
        self.0.get(name).copied().unwrap_or(Quantity::ZERO)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, Quantity)> {
        self.0.iter().map(|(name, amount)| (name.as_str(), *amount))
    }

    pub(super) fn add(&mut self, other: &Self) {
        for (name, amount) in &other.0 {
            let sum = self.get(name).plus(amount);
            self.0.insert(name.clone(), sum);
        }
    }

    fn raise_to(&mut self, other: &Self) {
        for (name, amount) in &other.0 {
            if *amount > self.get(name) {
                self.0.insert(name.clone(), *amount);
            }
        }
    }
}

fn requests(container: &Container) -> Resources {
    Resources::of(container.resources.as_ref().and_then(|r| r.requests.as_ref()))
}

/// What a pod needs at its most demanding moment: its containers and sidecars together, or an init
/// container beside the sidecars that started before it. Requests of the pod as a whole go first.
pub(super) fn of_pod(pod: &Pod) -> Resources {
    let Some(spec) = &pod.spec else { return Resources::default() };
    let mut total = containers(spec);
    let whole = Resources::of(spec.resources.as_ref().and_then(|r| r.requests.as_ref()));
    total.0.extend(whole.0);
    total.add(&Resources::of(spec.overhead.as_ref()));
    total
}

fn containers(spec: &PodSpec) -> Resources {
    let mut running = Resources::default();
    for container in &spec.containers {
        running.add(&requests(container));
    }
    let (mut sidecars, mut starting) = (Resources::default(), Resources::default());
    for container in spec.init_containers.iter().flatten() {
        let asked = requests(container);
        if container.restart_policy.as_deref() == Some("Always") {
            sidecars.add(&asked);
            running.add(&asked);
            starting.raise_to(&sidecars);
        } else {
            let mut moment = sidecars.clone();
            moment.add(&asked);
            starting.raise_to(&moment);
        }
    }
    running.raise_to(&starting);
    running
}
