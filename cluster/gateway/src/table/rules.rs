//! One rule of a route: its matches, filters, backends and time limits.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

use super::backends::{Backend, Backends, UnresolvedRef};
use super::filters::{Filters, Unsupported};
use super::matching::RequestMatch;
use super::spec::{BackendRefSpec, MatchSpec, MirrorSpec, RouteSpec, RuleSpec, TimeoutsSpec};

/// A rule of an HTTPRoute, ready to serve.
#[derive(Debug)]
pub struct Rule {
    /// Namespace of the HTTPRoute.
    pub namespace: String,
    /// Name of the HTTPRoute.
    pub route: String,
    /// Name of the rule, or its index when it has none.
    pub name: String,
    /// What happens to requests and responses.
    pub filters: Filters,
    /// Where copies of the requests go.
    pub mirrors: Vec<Mirror>,
    /// Where the requests go.
    pub backends: Vec<WeightedBackend>,
    /// Time limits; `None` is no limit.
    pub timeouts: Timeouts,
}

/// A backend with its share of the requests.
#[derive(Debug)]
pub struct WeightedBackend {
    /// Share of the sum of all weights; 0 gets nothing.
    pub weight: u32,
    /// Namespace of the Service, also when it does not exist.
    pub namespace: String,
    /// Name of the Service, also when it does not exist.
    pub service: String,
    /// The endpoints; `None` if the reference leads nowhere (500).
    pub backend: Option<Arc<Backend>>,
    /// Filters for requests to this backend alone.
    pub filters: Filters,
}

/// A copy of each request, or of a share of them, whose response is ignored.
#[derive(Debug)]
pub struct Mirror {
    /// Who gets the copy.
    pub backend: Arc<Backend>,
    /// Of `denominator` requests this many are copied.
    pub numerator: u32,
    /// Never 0.
    pub denominator: u32,
}

/// `timeouts` of a rule.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timeouts {
    /// From the arrival of the request to the end of the response, all attempts together.
    pub request: Option<Duration>,
    /// For one attempt at one endpoint.
    pub backend_request: Option<Duration>,
}

impl fmt::Display for Rule {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "rule {} of HTTPRoute {}/{}", self.name, self.namespace, self.route)
    }
}

impl Rule {
    /// The backend for a random number, in proportion to the weights. `None` if
    /// no backend takes requests.
    pub fn choose(&self, random: u64) -> Option<usize> {
        let total: u64 = self.backends.iter().map(|backend| u64::from(backend.weight)).sum();
        let mut ticket = random.checked_rem(total)?;
        for (index, backend) in self.backends.iter().enumerate() {
            let weight = u64::from(backend.weight);
            if ticket < weight {
                return Some(index);
            }
            ticket -= weight;
        }
        None
    }
}

/// The rules of a route: those to serve with their matches, and what is wrong with the others.
#[derive(Default)]
pub(crate) struct RouteRules {
    pub(crate) rules: Vec<(Rule, Vec<Arc<RequestMatch>>)>,
    pub(crate) dropped: Vec<(String, Unsupported)>,
    pub(crate) unresolved: Vec<UnresolvedRef>,
}

/// Reads all rules of a route. A rule that cannot be served is dropped, the
/// others stay; a reference that cannot be resolved keeps its share of requests.
pub(crate) fn route_rules(
    namespace: &str,
    route: &str,
    spec: &RouteSpec,
    backends: &mut Backends<'_>,
) -> RouteRules {
    let everything = [Value::Object(serde_json::Map::new())];
    let rules = spec.rules.as_deref().unwrap_or(&everything);
    let mut read = RouteRules::default();
    for (index, raw) in rules.iter().enumerate() {
        let mut name = index.to_string();
        let rule = RuleSpec::deserialize(raw).map_err(|error| Unsupported::new(error.to_string())).and_then(
            |spec| {
                if let Some(own) = spec.name.as_ref().filter(|own| !own.is_empty()) {
                    name.clone_from(own);
                }
                rule(namespace, route, &name, &spec, backends, &mut read.unresolved)
            },
        );
        match rule {
            Ok(rule) => read.rules.push(rule),
            Err(unsupported) => read.dropped.push((name, unsupported)),
        }
    }
    read
}

fn rule(
    namespace: &str,
    route: &str,
    name: &str,
    spec: &RuleSpec,
    backends: &mut Backends<'_>,
    unresolved: &mut Vec<UnresolvedRef>,
) -> Result<(Rule, Vec<Arc<RequestMatch>>), Unsupported> {
    let everything = [MatchSpec::default()];
    let matches = if spec.matches.is_empty() { &everything[..] } else { &spec.matches };
    let matches =
        matches.iter().map(|each| RequestMatch::parse(each).map(Arc::new)).collect::<Result<Vec<_>, _>>()?;
    let prefix_only = matches.iter().all(|each| each.prefix().is_some());
    let (filters, mirror_specs) = Filters::parse(&spec.filters, prefix_only)?;
    let timeouts = timeouts(spec.timeouts.as_ref())?;

    // From here on the rule is served, so its references count for ResolvedRefs.
    let mut targets = Vec::new();
    for reference in &spec.backend_refs {
        let (filters, mirrors) = Filters::parse(&reference.filters, prefix_only)?;
        if !mirrors.is_empty() {
            return Err(Unsupported::new("RequestMirror is supported in rules, not in backendRefs"));
        }
        targets.push((reference, filters));
    }
    if filters.unresolved_extension || targets.iter().any(|(_, filters)| filters.unresolved_extension) {
        unresolved.push(UnresolvedRef {
            reason: "InvalidKind",
            message: format!("rule {name} uses an ExtensionRef filter; there are none in this gateway"),
        });
    }
    let mut resolve = |reference: &BackendRefSpec| {
        backends
            .resolve(namespace, reference)
            .map_err(|problem| {
                if !unresolved.contains(&problem) {
                    unresolved.push(problem);
                }
            })
            .ok()
    };
    let weighted = targets
        .into_iter()
        .map(|(reference, filters)| WeightedBackend {
            weight: reference.weight.unwrap_or(1),
            namespace: reference.namespace.clone().unwrap_or_else(|| namespace.to_owned()),
            service: reference.name.clone(),
            backend: resolve(reference),
            filters,
        })
        .collect();
    let mirrors = mirror_specs
        .into_iter()
        .filter_map(|spec| {
            let (numerator, denominator) = share(spec);
            Some(Mirror { backend: resolve(&spec.backend_ref)?, numerator, denominator })
        })
        .collect();
    let rule = Rule {
        namespace: namespace.to_owned(),
        route: route.to_owned(),
        name: name.to_owned(),
        filters,
        mirrors,
        backends: weighted,
        timeouts,
    };
    Ok((rule, matches))
}

fn share(spec: &MirrorSpec) -> (u32, u32) {
    match (&spec.fraction, spec.percent) {
        (Some(fraction), _) => (fraction.numerator, fraction.denominator.unwrap_or(100).max(1)),
        (None, Some(percent)) => (percent, 100),
        (None, None) => (1, 1),
    }
}

fn timeouts(spec: Option<&TimeoutsSpec>) -> Result<Timeouts, Unsupported> {
    let read = |text: Option<&String>| match text {
        // Zero switches the limit off.
        Some(text) => Ok(Some(duration(text)?).filter(|limit| !limit.is_zero())),
        None => Ok(None),
    };
    let Some(spec) = spec else { return Ok(Timeouts::default()) };
    Ok(Timeouts {
        request: read(spec.request.as_ref())?,
        backend_request: read(spec.backend_request.as_ref())?,
    })
}

/// A Gateway API duration (GEP-2257): one to four of `1h`, `2m`, `3s`, `4ms`, each of up to five digits.
fn duration(text: &str) -> Result<Duration, Unsupported> {
    let unsupported = || Unsupported::value("duration", text);
    let mut total = Duration::ZERO;
    let (mut rest, mut parts) = (text, 0);
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let letters = rest[digits..].bytes().take_while(u8::is_ascii_alphabetic).count();
        let unit = match &rest[digits..digits + letters] {
            "h" => 3_600_000,
            "m" => 60_000,
            "s" => 1_000,
            "ms" => 1,
            _ => return Err(unsupported()),
        };
        parts += 1;
        if !(1..=5).contains(&digits) || parts > 4 {
            return Err(unsupported());
        }
        let number: u64 = rest[..digits].parse().map_err(|_| unsupported())?;
        total += Duration::from_millis(number * unit);
        rest = &rest[digits + letters..];
    }
    if parts == 0 { Err(unsupported()) } else { Ok(total) }
}

#[cfg(test)]
mod duration_tests {
    use super::*;

    #[test]
    fn durations_are_read_as_gep_2257_says() {
        assert_eq!(duration("1h30m"), Ok(Duration::from_secs(5400)));
        assert_eq!(duration("1m2s500ms"), Ok(Duration::from_millis(62_500)));
        assert_eq!(duration("0s"), Ok(Duration::ZERO));
        for bad in ["", "10", "1d", "-1s", "1.5s", "100000s", "1s1s1s1s1s", "ä"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }
}
