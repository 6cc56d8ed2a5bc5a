//! Which objects a patch or a replacement is for.

use regex::Regex;
use seaway_object::selector::LabelSelector;

use crate::error::Problem;
use crate::id::{Gvk, ResId, split_api_version};
use crate::kustomization::Target;
use crate::resource::Resource;

/// Compiled programs of regular expressions may not be larger than this.
const MAX_REGEX: usize = 1 << 20;

/// A regular expression of a kustomization, of bounded size. Matching takes linear time.
pub(crate) fn regex(pattern: &str) -> Result<Regex, Problem> {
    regex::RegexBuilder::new(pattern).size_limit(MAX_REGEX).dfa_size_limit(MAX_REGEX).build().map_err(
        |error| Problem(format!("{pattern:?} is not a regular expression that can be used: {error}")),
    )
}

/// A pattern that a whole text has to match.
#[derive(Debug, Clone)]
enum Pattern {
    /// An empty pattern.
    Everything,
    /// A pattern that nothing else than itself matches: most are.
    Text(String),
    Regex(Regex),
}

impl Pattern {
    fn new(pattern: &str) -> Result<Self, Problem> {
        if pattern.is_empty() {
            return Ok(Self::Everything);
        }
        if pattern.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_/:".contains(&b)) {
            return Ok(Self::Text(pattern.to_owned()));
        }
        Ok(Self::Regex(regex(&format!("^(?:{pattern})$"))?))
    }

    fn matches(&self, text: &str) -> bool {
        match self {
            Self::Everything => true,
            Self::Text(pattern) => pattern == text,
            Self::Regex(regex) => regex.is_match(text),
        }
    }
}

/// A compiled `target`.
#[derive(Debug, Clone)]
pub(crate) struct Selector {
    group: Pattern,
    version: Pattern,
    kind: Pattern,
    name: Pattern,
    namespace: Pattern,
    /// `None` selects everything.
    labels: Option<LabelSelector>,
    annotations: Option<LabelSelector>,
}

/// A label selector of a kustomization.
pub(crate) fn label_selector(text: &str) -> Result<LabelSelector, Problem> {
    text.parse().map_err(|error| Problem(format!("{text:?} is not a selector: {error}")))
}

fn some_selector(text: &str) -> Result<Option<LabelSelector>, Problem> {
    (!text.is_empty()).then(|| label_selector(text)).transpose()
}

impl Selector {
    pub(crate) fn new(target: &Target) -> Result<Self, Problem> {
        Ok(Self {
            group: Pattern::new(&target.group)?,
            version: Pattern::new(&target.version)?,
            kind: Pattern::new(&target.kind)?,
            name: Pattern::new(&target.name)?,
            namespace: Pattern::new(&target.namespace)?,
            labels: some_selector(&target.label_selector)?,
            annotations: some_selector(&target.annotation_selector)?,
        })
    }

    /// Names and namespaces are looked for as they were in the file and as they are now.
    pub(crate) fn selects(&self, resource: &Resource) -> bool {
        let (group, version) = split_api_version(resource.api_version());
        if !self.kind.matches(resource.kind()) || !self.group.matches(group) || !self.version.matches(version)
        {
            return false;
        }
        let is_named = if matches!((&self.namespace, &self.name), (Pattern::Everything, Pattern::Everything))
        {
            true
        } else {
            let (original, current) = (resource.original_id(), resource.id());
            let both = |pattern: &Pattern, original: &str, current: &str| {
                pattern.matches(original) || pattern.matches(current)
            };
            both(&self.name, &original.name, &current.name)
                && both(&self.namespace, original.effective_namespace(), current.effective_namespace())
        };
        is_named
            && self.labels.as_ref().is_none_or(|labels| selects(labels, &resource.labels()))
            && self.annotations.as_ref().is_none_or(|wanted| selects(wanted, &resource.annotations()))
    }
}

pub(crate) fn selects(selector: &LabelSelector, texts: &[(&str, &str)]) -> bool {
    selector.matches(|key| texts.iter().find(|(name, _)| *name == key).map(|(_, value)| *value))
}

/// The exact identity that a target names, without patterns.
pub(crate) fn exact(target: &Target) -> ResId {
    ResId {
        gvk: Gvk { group: target.group.clone(), version: target.version.clone(), kind: target.kind.clone() },
        name: target.name.clone(),
        namespace: target.namespace.clone(),
    }
}
