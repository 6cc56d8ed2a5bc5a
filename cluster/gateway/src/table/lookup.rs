//! The routing table: from a request to its rule.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::Arc;

use http::{HeaderMap, Method, Uri};

use super::backends::{Backend, BackendKey};
use super::hostname::HostPattern;
use super::matching::RequestMatch;
use super::rules::Rule;

/// Everything that a request needs to find its backend. Immutable: a change of
/// an object makes a new table.
#[derive(Debug, Default)]
pub struct RoutingTable {
    pub(crate) plain: HostIndex,
    pub(crate) secure: HostIndex,
    pub(crate) rules: Vec<Rule>,
    pub(crate) backends: HashMap<BackendKey, Arc<Backend>>,
}

/// Candidates by host, each list in the order of precedence.
#[derive(Debug, Default)]
pub(crate) struct HostIndex {
    pub(crate) exact: HashMap<String, Vec<Candidate>>,
    pub(crate) wildcard: HashMap<String, Vec<Candidate>>,
    pub(crate) any: Vec<Candidate>,
}

/// One match of one rule on one host.
#[derive(Clone, Debug)]
pub(crate) struct Candidate {
    pub(crate) rule: usize,
    pub(crate) request_match: Arc<RequestMatch>,
    /// Hosts of narrower listeners of the same Gateway: their requests are not
    /// this listener's (listener isolation).
    pub(crate) elsewhere: Arc<[HostPattern]>,
}

/// The rule for a request.
#[derive(Clone, Copy, Debug)]
pub struct Selected<'a> {
    /// Index into [`RoutingTable::rules`].
    pub index: usize,
    /// The rule.
    pub rule: &'a Rule,
    /// The match that the request satisfied.
    pub request_match: &'a RequestMatch,
}

impl Selected<'_> {
    /// The matched path prefix without its trailing slash; empty for other matches.
    pub fn prefix(&self) -> &str {
        self.request_match.prefix().unwrap_or("")
    }
}

impl RoutingTable {
    /// The rule for a request that came over TLS (`secure`) or not. `host` is
    /// lower case and without a port, as [`super::host_of`] returns it. The
    /// narrowest host comes first; a request that none of its rules match falls
    /// through to wider hosts.
    pub fn select(
        &self,
        secure: bool,
        host: &str,
        method: &Method,
        uri: &Uri,
        headers: &HeaderMap,
    ) -> Option<Selected<'_>> {
        let index = if secure { &self.secure } else { &self.plain };
        let candidate = index.candidates(host).find(|candidate| {
            candidate.request_match.matches(method, uri, headers)
                && !candidate.elsewhere.iter().any(|narrower| narrower.matches(host))
        })?;
        Some(Selected {
            index: candidate.rule,
            rule: &self.rules[candidate.rule],
            request_match: &candidate.request_match,
        })
    }

    /// All rules.
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// A Service's port as this table knows it.
    pub fn backend(&self, key: &BackendKey) -> Option<&Arc<Backend>> {
        self.backends.get(key)
    }

    /// The addresses of all endpoints.
    pub fn addresses(&self) -> HashSet<SocketAddr> {
        self.backends.values().flat_map(|backend| &backend.endpoints).map(|each| each.address).collect()
    }
}

impl HostIndex {
    fn candidates<'a, 'h>(&'a self, host: &'h str) -> impl Iterator<Item = &'a Candidate> + use<'a, 'h> {
        let exact = self.exact.get(host).into_iter().flatten();
        let suffixes =
            host.match_indices('.').map(|(at, _)| &host[at..]).filter(|_| !self.wildcard.is_empty());
        let wildcard = suffixes
            .filter(move |suffix| suffix.len() < host.len())
            .filter_map(|suffix| self.wildcard.get(suffix))
            .flatten();
        exact.chain(wildcard).chain(&self.any)
    }

    pub(crate) fn list(&mut self, host: &HostPattern) -> &mut Vec<Candidate> {
        match host {
            HostPattern::Any => &mut self.any,
            HostPattern::Wildcard(suffix) => self.wildcard.entry(suffix.clone()).or_default(),
            HostPattern::Exact(name) => self.exact.entry(name.clone()).or_default(),
        }
    }
}
