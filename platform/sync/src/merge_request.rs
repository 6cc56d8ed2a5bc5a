//! A proposal as a merge request on a forge: the rendered difference for each environment is its text.

use std::fmt::Write as _;

use seaway_forge::{GitHub, MergeRequest};
use seaway_git::RepositoryUrl;
use serde_json::Value;

use crate::controller::Sync;
use crate::error::Error;
use crate::plan::{Action, FieldChange, PlannedObject};
use crate::proposal::{Effect, Proposed};
use crate::view::EnvironmentKey;

/// Longer texts are cut by forges: it is said that something is left out, before that.
const LONGEST: usize = 60_000;
/// Longer values are cut, in characters.
const LONGEST_VALUE: usize = 400;

impl Sync {
    /// Opens a merge request for a proposal, or brings the one that is open up to date, where the repository's forge is
    /// known; its page. `None`: it is not.
    ///
    /// # Errors
    /// When the forge cannot be reached or refuses. What was pushed is there all the same, and it can be asked again.
    pub async fn request_merge(
        &self,
        key: &EnvironmentKey,
        by: &str,
        title: &str,
        proposed: &Proposed,
        effects: &[Effect],
    ) -> Result<Option<String>, Error> {
        let git = |source| Error::Git { component: proposed.component.clone(), source };
        let repository: RepositoryUrl = proposed.repo.parse().map_err(git)?;
        let Some(forge) = forge_of(&self.shared.forges.lock(), &repository) else { return Ok(None) };
        let request = MergeRequest {
            branch: proposed.branch.clone(),
            base: proposed.base.clone(),
            title: title.to_owned(),
            body: body(key, by, proposed, effects),
        };
        let opened =
            forge.propose(&repository, &request).await.map_err(|error| Error::Forge(error.to_string()))?;
        Ok(Some(opened.url))
    }
}

/// The forge with the longest beginning of the URL.
fn forge_of(forges: &[(String, GitHub)], repository: &RepositoryUrl) -> Option<GitHub> {
    let url = repository.to_string();
    let url = url.strip_suffix(".git").unwrap_or(&url);
    let is_below = |prefix: &str| {
        let prefix = prefix.strip_suffix(".git").unwrap_or(prefix);
        url.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    let below = forges.iter().filter(|(prefix, _)| is_below(prefix));
    below.max_by_key(|(prefix, _)| prefix.len()).map(|(_, forge)| forge.clone())
}

/// What a reviewer wants to know: who, and what would change where.
fn body(key: &EnvironmentKey, by: &str, proposed: &Proposed, effects: &[Effect]) -> String {
    let mut text =
        format!("{by} proposes this from the environment `{key}`, component `{}`.\n", proposed.component);
    let mut rest = 0;
    for effect in effects {
        let mut part = format!("\n## {}\n\n", effect.environment);
        match (&effect.error, effect.objects.len()) {
            (Some(error), _) => {
                let _ = writeln!(part, "What it would change is not known: {}", one_line(error));
            }
            (None, 0) => part.push_str("It would change nothing.\n"),
            (None, count) => {
                let objects = if count == 1 { "object" } else { "objects" };
                let _ = writeln!(part, "It would change {count} {objects}.\n");
                let lines: String = effect.objects.iter().map(lines).collect();
                let fence = fence(&lines);
                let _ = writeln!(part, "{fence}diff\n{lines}{fence}");
            }
        }
        if text.chars().count() + part.chars().count() > LONGEST {
            rest += 1;
            continue;
        }
        text.push_str(&part);
    }
    if rest > 0 {
        let _ = writeln!(text, "\nThe differences of {rest} more are too long to be shown here.");
    }
    text
}

/// A fence that nothing in the text ends.
fn fence(text: &str) -> String {
    let longest = text.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    "`".repeat(longest.max(2) + 1)
}

fn lines(object: &PlannedObject) -> String {
    let id = one_line(&object.object.id().to_string());
    match object.action {
        Action::Create => format!("+ {id}\n"),
        Action::Prune => format!("- {id}\n"),
        _ if object.fields.is_empty() => format!("! {id}: {}\n", one_line(&object.message)),
        _ => object.fields.iter().map(|field| changed(&id, field)).collect(),
    }
}

fn changed(id: &str, field: &FieldChange) -> String {
    let line = |sign: &str, value: &Option<Value>| match value {
        Some(value) => format!("{sign} {id} {}: {}\n", one_line(&field.path), shown(value)),
        None => String::new(),
    };
    line("-", &field.from) + &line("+", &field.to)
}

fn shown(value: &Value) -> String {
    let text = value.to_string();
    if text.chars().count() <= LONGEST_VALUE {
        return text;
    }
    text.chars().take(LONGEST_VALUE).chain("…".chars()).collect()
}

fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use seaway_git::{Dialer, OutgoingPolicy};
    use serde_json::json;

    fn proposed() -> Proposed {
        serde_json::from_value(
            json!({"component": "web", "repo": "https://git/a", "branch": "b", "base": "main",
            "commit": "c", "unchanged": false}),
        )
        .unwrap()
    }

    fn effect(environment: &str, objects: Value) -> Effect {
        let key = EnvironmentKey::new("seaway", environment);
        Effect { environment: key, objects: serde_json::from_value(objects).unwrap(), error: None }
    }

    fn object(action: &str, fields: Value) -> Value {
        json!({"object": {"group": "", "version": "v1", "kind": "ConfigMap", "namespace": "shop", "name": "a"},
            "action": action, "phase": "sync", "wave": 0, "fields": fields})
    }

    #[test]
    fn the_text_is_the_difference_for_each_environment() {
        let fields = json!([{"path": ".data.key", "from": "one", "to": "``` two\n@everybody"}]);
        let effects = [
            effect("production", json!([object("change", fields), object("create", json!([]))])),
            effect("staging", json!([])),
        ];
        let text = body(&EnvironmentKey::new("seaway-jane", "mine"), "jane", &proposed(), &effects);
        assert_eq!(
            text,
            "jane proposes this from the environment `seaway-jane/mine`, component `web`.\n\n## seaway/production\n\nIt would \
             change 2 objects.\n\n````diff\n- ConfigMap shop/a .data.key: \"one\"\n+ ConfigMap shop/a .data.key: \"``` two\\n@everybody\"\n\
             + ConfigMap shop/a\n````\n\n## seaway/staging\n\nIt would change nothing.\n"
        );
        let long: Vec<Effect> = (0..200)
            .map(|_| {
                let fields: Vec<Value> = (0..20)
                    .map(|_| json!({"path": ".data.key", "from": "x".repeat(500), "to": null}))
                    .collect();
                effect("long", json!([object("change", fields.into())]))
            })
            .collect();
        let text = body(&EnvironmentKey::new("a", "b"), "jane", &proposed(), &long);
        assert!(text.chars().count() < 65_536 && text.contains("are too long to be shown here"));
    }

    #[test]
    fn the_forge_is_that_of_the_longest_beginning() {
        let forge = |token: &str| {
            GitHub::new("github.com", None, token.into(), None, Dialer::new(OutgoingPolicy::default()))
                .unwrap()
        };
        let forges = [
            ("https://github.com".to_owned(), forge("a")),
            ("https://github.com/acme".to_owned(), forge("b")),
        ];
        for (url, found) in [
            ("https://github.com/acme/shop.git", true),
            ("https://github.com/other/shop", true),
            ("https://github.com.evil.example/acme/shop", false),
            ("https://gitlab.com/acme/shop", false),
        ] {
            let url = url.parse().unwrap();
            assert_eq!(forge_of(&forges, &url).is_some(), found, "{url}");
        }
    }
}
