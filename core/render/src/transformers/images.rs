//! Names, tags and digests of images.

use regex::{Regex, RegexBuilder};

use crate::error::Problem;
use crate::fieldspec::FieldSpec;
use crate::kustomization::Image;
use crate::node::Node;
use crate::resmap::ResMap;
use crate::resource::Resource;
use crate::selector::regex;

/// An entry of `images`, ready to use.
#[derive(Debug)]
pub(crate) struct ImageRule<'a> {
    image: &'a Image,
    pattern: Pattern,
}

/// Which images a name means.
#[derive(Debug)]
enum Pattern {
    /// Those with this name, in which a dot stands for any character: what a name is as a regular expression.
    Name,
    Regex(Regex),
    /// None: the name is no regular expression.
    Nothing,
}

impl<'a> ImageRule<'a> {
    /// A name that is no regular expression names nothing; one that is too large to use is an error.
    pub(crate) fn new(image: &'a Image) -> Result<Self, Problem> {
        let name = &image.name;
        if name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_./:".contains(&b)) {
            return Ok(Self { image, pattern: Pattern::Name });
        }
        let pattern = format!("^{name}(:[a-zA-Z0-9_.{{}}-]*)?(@sha256:[a-zA-Z0-9_.{{}}-]*)?$");
        let pattern = match regex(&pattern) {
            Ok(regex) => Pattern::Regex(regex),
            // Nothing is compiled with this limit: what is wrong with the syntax is found before.
            Err(problem) => match RegexBuilder::new(name).size_limit(0).build() {
                Err(regex::Error::Syntax(_)) => Pattern::Nothing,
                _ => return Err(problem),
            },
        };
        Ok(Self { image, pattern })
    }

    fn matches(&self, text: &str) -> bool {
        match &self.pattern {
            Pattern::Name => is_image_of(&self.image.name, text),
            Pattern::Regex(regex) => regex.is_match(text),
            Pattern::Nothing => false,
        }
    }

    pub(crate) fn apply(&self, map: &mut ResMap, specs: &[FieldSpec]) -> Result<(), Problem> {
        map.list.iter_mut().try_for_each(|resource| self.apply_to(resource, specs))
    }

    fn apply_to(&self, resource: &mut Resource, specs: &[FieldSpec]) -> Result<(), Problem> {
        // A definition of pods is no pod.
        if resource.kind() == "CustomResourceDefinition" {
            return Ok(());
        }
        self.visit(&mut resource.node);
        for spec in specs {
            spec.apply(&mut resource.node, None, &mut |node| match node {
                Node::Scalar(_) => {
                    self.rewrite(node);
                    Ok(())
                }
                other => Err(Problem(format!("expected an image, found {}", other.kind().name()))),
            })
            .map_err(|Problem(problem)| Problem(format!("{}: {problem}", resource.id())))?;
        }
        Ok(())
    }

    /// The images of everything that is called containers, wherever it is.
    fn visit(&self, node: &mut Node) {
        match node {
            Node::Map(map) => {
                for (key, value) in map.values_mut() {
                    self.visit(value);
                    if matches!(key, "containers" | "initContainers")
                        && let Node::Seq(containers) = value
                    {
                        for container in containers {
                            if let Some(image) = container.as_map_mut().and_then(|map| map.get_mut("image"))
                                && matches!(image, Node::Scalar(_))
                            {
                                self.rewrite(image);
                            }
                        }
                    }
                }
            }
            Node::Seq(items) => items.iter_mut().for_each(|item| self.visit(item)),
            Node::Scalar(_) => {}
        }
    }

    fn rewrite(&self, node: &mut Node) {
        let text = node.raw_text();
        if !self.matches(text) {
            return;
        }
        let Image { new_name, tag_suffix, new_tag, digest: new_digest, .. } = self.image;
        let (name, mut tag, mut digest) = split(text);
        let mut image = if new_name.is_empty() { name } else { new_name }.to_owned();
        let mut suffix = "";
        if !new_tag.is_empty() || !new_digest.is_empty() {
            (tag, digest) = (new_tag, new_digest);
        } else if !tag_suffix.is_empty() {
            (suffix, digest) = (tag_suffix, "");
        }
        let tag = format!("{tag}{suffix}");
        if !tag.is_empty() {
            image.push(':');
            image.push_str(&tag);
        }
        if !digest.is_empty() {
            image.push('@');
            image.push_str(digest);
        }
        if image != text {
            node.set_implicit(image);
        }
    }
}

/// Whether a text is a name with a tag and a digest, or without.
fn is_image_of(name: &str, text: &str) -> bool {
    let mut rest = text.chars();
    for wanted in name.chars() {
        match rest.next() {
            Some(found) if found == wanted || (wanted == '.' && found != '\n') => {}
            _ => return false,
        }
    }
    let is_tag = |c: char| c.is_ascii_alphanumeric() || "_.{}-".contains(c);
    let mut rest = rest.as_str();
    for start in [":", "@sha256:"] {
        if let Some(after) = rest.strip_prefix(start) {
            rest = after.trim_start_matches(is_tag);
        }
    }
    rest.is_empty()
}

/// Name, tag and digest. A colon before the last slash belongs to a port.
fn split(image: &str) -> (&str, &str, &str) {
    let path = image.find('/').filter(|at| *at > 0).unwrap_or(0);
    let (rest, digest) = match image[path..].find('@') {
        Some(at) => (&image[..path + at], &image[path + at + 1..]),
        None => (image, ""),
    };
    match rest[path..].find(':') {
        Some(at) => (&rest[..path + at], &rest[path + at + 1..], digest),
        None => (rest, "", digest),
    }
}
