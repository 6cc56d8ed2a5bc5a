//! Hosts of the copy for those of what it copies, and names of hosts and services in texts.

use std::collections::{BTreeMap, BTreeSet};

use crate::copy::Copy;
use crate::error::Error;

/// The map of hosts: each keeps its first label below the copy's domain; where two would become one, their whole names
/// with dashes. `*.shop.example.com` becomes `*.shop.DOMAIN`.
pub(crate) fn map(copy: &Copy, hosts: &BTreeSet<String>) -> Result<BTreeMap<String, String>, Error> {
    let split = |host: &str| match host.strip_prefix("*.") {
        Some(rest) => ("*.", rest.to_owned()),
        None => ("", host.to_owned()),
    };
    let first = |host: &str| {
        let (star, rest) = split(host);
        let label = rest.split('.').next().unwrap_or_default().to_owned();
        format!("{star}{label}.{}", copy.domain)
    };
    let whole = |host: &str| {
        let (star, rest) = split(host);
        format!("{star}{}.{}", rest.replace('.', "-"), copy.domain)
    };
    let mut taken: BTreeMap<String, Vec<&String>> = BTreeMap::new();
    for host in hosts {
        taken.entry(first(host)).or_default().push(host);
    }
    let mut map = BTreeMap::new();
    let mut used: BTreeMap<String, String> = BTreeMap::new();
    for (short, hosts) in taken {
        for host in &hosts {
            let own = if hosts.len() == 1 { short.clone() } else { whole(host) };
            if let Some(other) = used.insert(own.clone(), (*host).clone()) {
                return Err(Error::Hosts { first: other, second: (*host).clone(), host: own });
            }
            map.insert((*host).clone(), own);
        }
    }
    Ok(map)
}

/// What a text with hosts and names of services becomes.
pub(crate) struct Texts<'a> {
    pub(crate) copy: &'a Copy,
    pub(crate) hosts: &'a BTreeMap<String, String>,
    /// Names and namespaces of the services of what is copied.
    pub(crate) services: &'a BTreeSet<(String, String)>,
}

impl Texts<'_> {
    /// Every host of the map, every `NAME.NAMESPACE.svc…`, and every `NAME.NAMESPACE` of a known service.
    pub(crate) fn rewrite(&self, text: &str) -> String {
        let in_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '*');
        let mut result = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(begin) = rest.find(in_name) {
            let (before, from) = rest.split_at(begin);
            let end = from.find(|c: char| !in_name(c)).unwrap_or(from.len());
            let (word, after) = from.split_at(end);
            result.push_str(before);
            // A full stop at the end of a sentence, or a rooted name.
            let name = word.trim_end_matches('.');
            result.push_str(&self.word(name).unwrap_or_else(|| name.to_owned()));
            result.push_str(&word[name.len()..]);
            rest = after;
        }
        result.push_str(rest);
        result
    }

    fn word(&self, word: &str) -> Option<String> {
        if let Some(host) = self.hosts.get(&word.to_ascii_lowercase()) {
            return Some(host.clone());
        }
        let labels: Vec<&str> = word.split('.').collect();
        let at = match labels.iter().position(|label| *label == "svc") {
            Some(svc) if svc >= 2 => svc - 1,
            None if labels.len() == 2 => {
                let service = (labels[0].to_owned(), labels[1].to_owned());
                self.services.contains(&service).then_some(1)?
            }
            _ => return None,
        };
        let namespace = self.copy.namespaces.get(labels[at])?;
        let mut labels: Vec<&str> = labels;
        labels[at] = namespace;
        Some(labels.join("."))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use seaway_api::StackSpec;
    use serde_json::json;

    fn copy() -> Copy {
        let original =
            serde_json::from_value(json!({"stack": "s", "destination": {"namespace": "shop"}})).unwrap();
        Copy::new("mine", ("production", &original), &StackSpec::default(), "localhost").unwrap()
    }

    fn mapped(hosts: &[&str]) -> Result<Vec<String>, Error> {
        let hosts: BTreeSet<String> = hosts.iter().map(|host| (*host).to_owned()).collect();
        Ok(map(&copy(), &hosts)?.into_iter().map(|(from, to)| format!("{from} {to}")).collect())
    }

    #[test]
    fn a_host_keeps_its_first_label_below_the_copys_domain() {
        assert_eq!(
            mapped(&["shop.example.com", "*.apps.example.com", "api.shop.example.com"]).unwrap(),
            [
                "*.apps.example.com *.apps.mine.localhost",
                "api.shop.example.com api.mine.localhost",
                "shop.example.com shop.mine.localhost",
            ]
        );
    }

    #[test]
    fn hosts_that_would_become_one_are_told_apart_by_their_whole_names() {
        assert_eq!(
            mapped(&["shop.a.com", "shop.b.com"]).unwrap(),
            ["shop.a.com shop-a-com.mine.localhost", "shop.b.com shop-b-com.mine.localhost"]
        );
        let error = mapped(&["a.b.c", "a.b-c", "a-b-c"]).unwrap_err();
        assert!(matches!(error, Error::Hosts { .. }), "{error}");
    }

    #[test]
    fn names_in_texts_are_those_of_the_copy_and_nothing_else_changes() {
        let copy = copy();
        let hosts = BTreeMap::from([("shop.example.com".to_owned(), "shop.mine.localhost".to_owned())]);
        let services = BTreeSet::from([("catalog".to_owned(), "shop".to_owned())]);
        let texts = Texts { copy: &copy, hosts: &hosts, services: &services };
        for (text, expected) in [
            ("https://shop.example.com/a?b=shop", "https://shop.mine.localhost/a?b=shop"),
            ("http://catalog.shop.svc.cluster.local:80/x", "http://catalog.mine-shop.svc.cluster.local:80/x"),
            ("db-0.db.shop.svc", "db-0.db.mine-shop.svc"),
            ("catalog.shop, catalog.other; web.shop", "catalog.mine-shop, catalog.other; web.shop"),
            ("See shop.example.com. Or myshop.example.com", "See shop.mine.localhost. Or myshop.example.com"),
            ("x.shop.example.com", "x.shop.example.com"),
            ("größe=1 é", "größe=1 é"),
            ("catalog.other.svc", "catalog.other.svc"),
        ] {
            assert_eq!(texts.rewrite(text), expected, "{text}");
        }
    }
}
