//! Whether an override can work, found out before it is made.

use std::collections::BTreeSet;

use seaway_api::environment::{Image, Override};
use seaway_git::{RepositoryUrl, Revision};
use serde_json::Value;

use crate::candidate::Choice;
use crate::controller::Sync;
use crate::error::Error;
use crate::view::EnvironmentKey;

impl Sync {
    /// Whether an override is possible: the component is there, its repository allowed, its revision exists, and what it
    /// makes of the component renders, may be in the environment, and uses the images. Its commit, where it has a
    /// revision.
    ///
    /// # Errors
    /// When it is not.
    pub async fn check_override(
        &self,
        key: &EnvironmentKey,
        deviation: &Override,
    ) -> Result<Option<String>, Error> {
        let mut environment =
            self.shared.environment(key).ok_or_else(|| Error::NoEnvironment(key.clone()))?;
        environment.spec.overrides.retain(|one| one.component != deviation.component);
        environment.spec.overrides.push(deviation.clone());
        let subject = self.shared.subject(&environment)?;
        let Some(component) = subject.stack.component(&deviation.component) else {
            return Err(Error::Plan(format!("{key} has no component {:?}", deviation.component)));
        };
        let git = |source| Error::Git { component: component.name.clone(), source };
        let mut commit = None;
        if let Some(revision) = &deviation.revision {
            let repo = deviation.repo.as_ref().unwrap_or(&component.source.repo);
            let url: RepositoryUrl = repo.parse().map_err(git)?;
            let revision: Revision = revision.parse().map_err(git)?;
            commit =
                Some(self.shared.sources.people.fetch(&url, &revision).await.map_err(git)?.id.to_string());
        }
        match self.render(&subject, None, Choice::Spec { fresh: true }).await {
            Ok(rendered) => {
                let of = rendered.sources.iter().filter(|(source, _)| source.component == component.name);
                used(of.map(|(source, _)| &source.value), &component.name, &deviation.images)?;
            }
            Err(error) if concerns(&error, &component.name) => return Err(error),
            // Whatever is wrong elsewhere is so with and without it.
            Err(_) => {}
        }
        Ok(commit)
    }
}

/// Whether an error is that of a component.
fn concerns(error: &Error, name: &str) -> bool {
    match error {
        Error::Git { component, .. } | Error::Render { component, .. } => component == name,
        Error::Copy(seaway_environments::Error::Unmarked(all)) => all.iter().any(|one| one.component == name),
        Error::Copy(_) | Error::Plan(_) => true,
        _ => false,
    }
}

/// Whether each image is one that some container runs.
fn used<'a>(
    objects: impl Iterator<Item = &'a Value>,
    component: &str,
    images: &[Image],
) -> Result<(), Error> {
    let mut there = BTreeSet::new();
    if !images.is_empty() {
        objects.for_each(|object| collect(object, &mut there));
    }
    for image in images {
        let name = image.new_name.as_ref().unwrap_or(&image.name);
        if !there.contains(name.as_str()) {
            let there: Vec<&str> = there.iter().copied().collect();
            let there = if there.is_empty() { "none".to_owned() } else { there.join(", ") };
            return Err(Error::Plan(format!(
                "nothing in {component:?} runs the image {:?}: there would be no difference; the images there are {there}",
                image.name
            )));
        }
    }
    Ok(())
}

/// The names of images below a value, without tag and digest.
fn collect<'a>(value: &'a Value, found: &mut BTreeSet<&'a str>) {
    match value {
        Value::Object(map) => {
            for (key, child) in map {
                match child {
                    Value::String(image) if key == "image" => {
                        found.insert(without_tag(image));
                    }
                    child => collect(child, found),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|child| collect(child, found)),
        _ => {}
    }
}

fn without_tag(image: &str) -> &str {
    let name = image.split('@').next().unwrap_or_default();
    match name.rsplit_once(':') {
        // A port is no tag.
        Some((name, tag)) if !tag.contains('/') => name,
        _ => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_image_has_a_name_without_tag_and_digest() {
        for (image, name) in [
            ("web", "web"),
            ("web:1.0", "web"),
            ("localhost:5000/web", "localhost:5000/web"),
            ("localhost:5000/web:1@sha256:00", "localhost:5000/web"),
        ] {
            assert_eq!(without_tag(image), name);
        }
    }

    #[test]
    fn an_image_that_nothing_runs_is_refused_with_those_there_are() {
        let object = json!({"spec": {"containers": [{"image": "web:2"}], "initContainers": [{"image": "a/seed@sha256:0"}]}});
        let check = |images: Value| {
            let images: Vec<Image> = serde_json::from_value(images).unwrap_or_default();
            used([&object].into_iter(), "shop", &images).map_err(|error| error.to_string())
        };
        assert_eq!(
            check(json!([{"name": "web", "tag": "2"}, {"name": "x", "newName": "a/seed", "tag": "1"}])),
            Ok(())
        );
        let refused = check(json!([{"name": "wbe", "tag": "2"}])).err().unwrap_or_default();
        assert!(
            refused.contains("\"wbe\"") && refused.ends_with("the images there are a/seed, web"),
            "{refused}"
        );
    }
}
