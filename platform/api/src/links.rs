//! Links of a stack: pages elsewhere about its environments, such as dashboards and logs.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::FieldError;

/// Longer addresses are refused, in bytes.
const LONGEST: usize = 2048;
/// What stands for the name of a component.
const COMPONENT: &str = "{component}";
/// All that stands for something.
const PLACEHOLDERS: [&str; 5] = ["{environment}", "{namespace}", "{stack}", "{class}", COMPONENT];

/// A page elsewhere about an environment.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Link {
    /// What is there; unique in the stack.
    pub name: String,
    /// Http or https. `{environment}`, `{namespace}` (of the destination), `{stack}` and `{class}` stand for those of an
    /// environment; with `{component}` there is a link for each component.
    pub url: String,
}

/// What a link is filled with: names, which need no escaping in a URL.
#[derive(Debug, Clone, Copy)]
pub struct LinkValues<'a> {
    /// Name of the environment.
    pub environment: &'a str,
    /// Namespace of its destination.
    pub namespace: &'a str,
    /// The stack.
    pub stack: &'a str,
    /// The class.
    pub class: &'a str,
}

impl Link {
    /// Whether there is one for each component.
    pub fn is_of_components(&self) -> bool {
        self.url.contains(COMPONENT)
    }

    /// The address for an environment, and for a component if it is about one.
    pub fn url_for(&self, values: &LinkValues<'_>, component: &str) -> String {
        let LinkValues { environment, namespace, stack, class } = *values;
        let values = [environment, namespace, stack, class, component];
        let filled = PLACEHOLDERS.iter().zip(values);
        filled.fold(self.url.clone(), |url, (placeholder, value)| url.replace(placeholder, value))
    }

    /// What is wrong with the address.
    fn url_problem(&self) -> Option<String> {
        let url = &self.url;
        let Some(rest) = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://")) else {
            return Some(format!("{url:?} begins with neither https:// nor http://"));
        };
        if url.len() > LONGEST {
            return Some(format!("an address has at most {LONGEST} bytes"));
        }
        let bare = PLACEHOLDERS.iter().fold(rest.to_owned(), |rest, known| rest.replace(known, "x"));
        if bare.contains(['{', '}']) {
            let known = PLACEHOLDERS.join(", ");
            return Some(format!("{url:?} has other braces than {known}: write %7B and %7D"));
        }
        if let Some(bad) = bare.chars().find(|c| !c.is_ascii_graphic() || "\"<>\\^`|".contains(*c)) {
            return Some(format!("{url:?} holds {bad:?}: write it percent-encoded"));
        }
        let host = bare.split(['/', '?', '#']).next().unwrap_or_default();
        let good = |c: char| c.is_ascii_alphanumeric() || "-._:[]".contains(c);
        (host.is_empty() || !host.chars().all(good)).then(|| format!("{url:?} has no good host"))
    }
}

/// What is wrong with the links of a stack.
pub(crate) fn errors(links: &[Link]) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let mut error = |field: String, message: String| {
        errors.push(FieldError { field: format!("spec.links{field}"), message })
    };
    let mut names = BTreeSet::new();
    for (index, link) in links.iter().enumerate() {
        let name = link.name.as_str();
        if name.trim().is_empty() || name.len() > 63 || name.contains(char::is_control) {
            error(format!("[{index}].name"), "a link has a name of at most 63 bytes on one line".to_owned());
        } else if !names.insert(name) {
            error(format!("[{index}].name"), format!("{name:?} is the name of another link"));
        }
        if let Some(problem) = link.url_problem() {
            error(format!("[{index}].url"), problem);
        }
    }
    errors
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(url: &str) -> Link {
        Link { name: "Logs".to_owned(), url: url.to_owned() }
    }

    const VALUES: LinkValues<'_> =
        LinkValues { environment: "mine", namespace: "mine-1", stack: "shop", class: "personal" };

    #[test]
    fn a_link_is_filled_in_for_an_environment_and_its_components() {
        let one = link(
            "https://{namespace}.example.com/d/shop?var-env={environment}&c={class}&s={stack}#{environment}",
        );
        assert!(!one.is_of_components());
        assert_eq!(
            one.url_for(&VALUES, ""),
            "https://mine-1.example.com/d/shop?var-env=mine&c=personal&s=shop#mine"
        );
        let each = link("http://localhost:3100/logs?app={component}");
        assert!(each.is_of_components());
        assert_eq!(each.url_for(&VALUES, "web"), "http://localhost:3100/logs?app=web");
        assert_eq!(errors(&[one]), []);
        assert_eq!(errors(&[each]), []);
    }

    #[test]
    fn a_link_leads_to_a_page_and_to_nothing_else() {
        for bad in [
            "javascript:alert(1)",
            "file:///etc/passwd",
            "HTTPS://example.com",
            "//example.com",
            "https://",
            "https:///path",
            "https://user:secret@example.com/",
            "https://example.com/{pod}",
            "https://example.com/{environment",
            "https://example.com/a b",
            "https://example.com/\u{202e}x",
            "https://example.com/<script>",
            "https://example.com\\@evil.example",
        ] {
            let found = errors(&[link(bad)]);
            assert_eq!(found.len(), 1, "{bad}: {found:?}");
            assert_eq!(found[0].field, "spec.links[0].url", "{bad}");
        }
        let long = format!("https://example.com/{}", "x".repeat(LONGEST));
        assert_eq!(errors(&[link(&long)]).len(), 1);
        let twice = errors(&[link("https://a.example"), link("https://b.example")]);
        assert_eq!(twice[0].field, "spec.links[1].name");
    }
}
