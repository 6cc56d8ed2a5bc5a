//! Hosts of the copy for those of what it copies, and names of hosts and services in texts.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use crate::copy::Copy;
use crate::error::Error;
use crate::outside;

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
        let mut result = String::with_capacity(text.len());
        let mut done = 0;
        for place in names(text) {
            if let Some(name) = self.word(&text[place.clone()]) {
                result.push_str(&text[done..place.start]);
                result.push_str(&name);
                done = place.end;
            }
        }
        result.push_str(&text[done..]);
        result
    }

    /// The hosts and services of what is copied that a text still names: whoever reads it would call them. Addresses of
    /// mail are no calls, and two labels alone in a sentence need not be a service and its namespace.
    pub(crate) fn left(&self, text: &str) -> BTreeSet<String> {
        let is_called = |place: &Range<usize>| {
            let form = outside::form(text, place.start, place.end);
            let name = &text[place.clone()];
            let is_short =
                name.split('.').count() == 2 && !self.hosts.contains_key(&name.to_ascii_lowercase());
            form.is_some() || !(is_short || text[..place.start].ends_with('@'))
        };
        names(text)
            .filter(|place| self.word(&text[place.clone()]).is_some_and(|new| new != text[place.clone()]))
            .filter(is_called)
            .map(|place| text[place].to_owned())
            .collect()
    }

    fn word(&self, word: &str) -> Option<String> {
        // Most words are no names of hosts.
        if !word.contains('.') {
            return None;
        }
        if let Some(host) = self.hosts.get(&word.to_ascii_lowercase()) {
            return Some(host.clone());
        }
        if let Some(host) = self.below_a_wildcard(&word.to_ascii_lowercase()) {
            return Some(host);
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

    /// `one.apps.example.com` where what is copied answers at `*.apps.example.com`: the longest that fits.
    fn below_a_wildcard(&self, host: &str) -> Option<String> {
        let fitting = self.hosts.iter().filter_map(|(from, to)| {
            let (from, to) = (from.strip_prefix('*')?, to.strip_prefix('*')?);
            let first = host.strip_suffix(from).filter(|first| !first.is_empty() && *first != "*")?;
            Some((from.len(), format!("{first}{to}")))
        });
        fitting.max().map(|(_, host)| host)
    }
}

/// What could be names of hosts in a text.
fn names(text: &str) -> impl Iterator<Item = Range<usize>> {
    let in_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '*');
    let mut at = 0;
    std::iter::from_fn(move || {
        let begin = at + text[at..].find(in_name)?;
        let end = text[begin..].find(|c: char| !in_name(c)).map_or(text.len(), |offset| begin + offset);
        at = end;
        // A full stop at the end of a sentence, or a rooted name.
        Some(begin..begin + text[begin..end].trim_end_matches('.').len())
    })
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

    fn hosts() -> BTreeMap<String, String> {
        let pairs =
            [("shop.example.com", "shop.mine.localhost"), ("*.apps.example.com", "*.apps.mine.localhost")];
        pairs.map(|(from, to)| (from.to_owned(), to.to_owned())).into()
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
        let hosts = hosts();
        let services = BTreeSet::from([("catalog".to_owned(), "shop".to_owned())]);
        let texts = Texts { copy: &copy, hosts: &hosts, services: &services };
        for (text, expected) in [
            ("https://One.apps.example.com/", "https://one.apps.mine.localhost/"),
            ("a.b.apps.example.com; *.apps.example.com", "a.b.apps.mine.localhost; *.apps.mine.localhost"),
            ("apps.example.com", "apps.example.com"),
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

    #[test]
    fn what_a_text_still_names_of_what_is_copied_is_found() {
        let (copy, hosts) = (copy(), hosts());
        let services = BTreeSet::from([("catalog".to_owned(), "shop".to_owned())]);
        let texts = Texts { copy: &copy, hosts: &hosts, services: &services };
        for (text, expected) in [
            ("https://shop.example.com/a", vec!["shop.example.com"]),
            ("SHOP.example.com", vec!["SHOP.example.com"]),
            ("see one.apps.example.com", vec!["one.apps.example.com"]),
            ("db=redis.shop.svc, api=http://catalog.shop", vec!["catalog.shop", "redis.shop.svc"]),
            ("catalog.shop:80", vec!["catalog.shop"]),
            ("postgres://a:b@shop.example.com/x", vec!["shop.example.com"]),
            ("jane@shop.example.com", vec![]),
            ("counts catalog.shop of all", vec![]),
            ("https://catalog/ http://catalog.mine-shop.svc https://shop.mine.localhost", vec![]),
            ("myshop.example.com catalog.other.svc", vec![]),
        ] {
            let found: Vec<String> = texts.left(text).into_iter().collect();
            assert_eq!(found, expected, "{text}");
        }
    }
}
