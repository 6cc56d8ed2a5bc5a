//! Images in a kustomization's file, changed as `kustomize edit set image` does, with everything else left as it is:
//! comments, order and quotes.
//!
//! The file is changed by lines, and then read again: a result that says anything else than it should is not used.

use seaway_api::environment::Image;
use seaway_object::yaml::Dialect;
use seaway_object::{ReadOptions, read_documents};
use serde_json::{Map, Value, json};

/// The names that kustomize looks for.
pub(crate) const NAMES: [&str; 3] = ["kustomization.yaml", "kustomization.yml", "Kustomization"];

/// The file with these images.
///
/// # Errors
/// When its `images` are written in a way that cannot be changed by lines.
pub(crate) fn set_images(text: &str, images: &[Image]) -> Result<String, String> {
    let mut text = text.to_owned();
    let mut expected = parse(&text)?;
    for image in images {
        expect(&mut expected, image);
        text = set_image(&text, image)?;
    }
    if parse(&text)? == expected {
        return Ok(text);
    }
    Err("its images are written in a way that cannot be changed by itself: change them on a branch"
        .to_owned())
}

fn parse(text: &str) -> Result<Value, String> {
    let documents =
        read_documents(text, &ReadOptions::new(Dialect::Kustomize)).map_err(|error| error.to_string())?;
    match documents.as_slice() {
        [] => Ok(json!({})),
        [one] => Ok(one.value.clone()),
        _ => Err("it is more than one YAML document".to_owned()),
    }
}

/// The fields of an entry; a tag takes the place of a digest, and the other way round.
fn fields(image: &Image) -> [(&'static str, Option<&str>); 3] {
    [
        ("newName", image.new_name.as_deref()),
        ("newTag", image.tag.as_deref()),
        ("digest", image.digest.as_deref()),
    ]
}

fn is_replaced(field: &str, image: &Image) -> bool {
    (field == "digest" && image.tag.is_some()) || (field == "newTag" && image.digest.is_some())
}

fn expect(kustomization: &mut Value, image: &Image) {
    let Some(kustomization) = kustomization.as_object_mut() else { return };
    let list = kustomization.entry("images").or_insert_with(|| json!([]));
    if list.is_null() {
        *list = json!([]);
    }
    let Some(list) = list.as_array_mut() else { return };
    let at = list.iter().position(|entry| entry["name"] == image.name.as_str());
    let at = at.unwrap_or_else(|| {
        list.push(json!({"name": image.name}));
        list.len() - 1
    });
    let Some(entry) = list[at].as_object_mut() else { return };
    for (field, value) in fields(image) {
        match value {
            Some(value) => drop(entry.insert(field.to_owned(), value.into())),
            None if is_replaced(field, image) => drop(entry.remove(field)),
            None => {}
        }
    }
}

/// JSON is YAML, and needs no thought about what a plain text would mean.
fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

fn set_image(text: &str, image: &Image) -> Result<String, String> {
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let key = |line: &str| line.split('#').next().unwrap_or_default().trim_end().to_owned();
    let Some(start) = lines.iter().position(|line| key(line) == "images:") else {
        if lines.iter().any(|line| line.starts_with("images")) {
            return Err("its images are no list by lines: change them on a branch".to_owned());
        }
        lines.push("images:".to_owned());
        lines.extend(entry(image, ""));
        return Ok(joined(&lines));
    };
    let belongs = |line: &str| line.is_empty() || line.starts_with([' ', '#', '-']);
    let end =
        lines[start + 1..].iter().position(|line| !belongs(line)).map_or(lines.len(), |at| start + 1 + at);
    let is_item = |line: &str| line.trim_start().starts_with("- ");
    let items: Vec<usize> = (start + 1..end).filter(|at| is_item(&lines[*at])).collect();
    let Some(indent) = items.first().map(|at| lines[*at].len() - lines[*at].trim_start().len()) else {
        return Err("its images are no list by lines".to_owned());
    };
    let indent = " ".repeat(indent);
    for (index, begin) in items.iter().enumerate() {
        let after = items.get(index + 1).copied().unwrap_or(end);
        let range = *begin..after;
        let field = |line: &str| -> Option<(String, String)> {
            let line = line.trim_start();
            let line = line.strip_prefix("- ").unwrap_or(line).trim_start();
            let (name, value) = line.split_once(':')?;
            Some((name.to_owned(), value.split(" #").next().unwrap_or_default().trim().to_owned()))
        };
        let unquoted = |text: &str| text.trim_matches(['"', '\'']).to_owned();
        let is_meant = range.clone().any(|at| {
            field(&lines[at]).is_some_and(|(name, value)| name == "name" && unquoted(&value) == image.name)
        });
        if !is_meant {
            continue;
        }
        let mut changed: Vec<String> = Vec::new();
        let mut given: Map<String, Value> = Map::new();
        for at in range.clone() {
            let line = &lines[at];
            let Some((name, _)) = field(line) else {
                changed.push(line.clone());
                continue;
            };
            let wanted = fields(image).into_iter().find(|(field, _)| *field == name);
            let head = &line[..line.find(&name).unwrap_or(0)];
            match wanted {
                Some((_, Some(value))) => {
                    given.insert(name.clone(), Value::Null);
                    changed.push(format!("{head}{name}: {}", quoted(value)));
                }
                Some((field, None)) if is_replaced(field, image) && !head.contains('-') => {}
                _ => changed.push(line.clone()),
            }
        }
        let last =
            changed.iter().rposition(|line| !line.trim().is_empty() && !line.trim_start().starts_with('#'));
        let mut at = last.map_or(changed.len(), |last| last + 1);
        for (name, value) in fields(image) {
            if let Some(value) = value.filter(|_| !given.contains_key(name)) {
                changed.insert(at, format!("{indent}  {name}: {}", quoted(value)));
                at += 1;
            }
        }
        lines.splice(range, changed);
        return Ok(joined(&lines));
    }
    lines.splice(start + 1..start + 1, entry(image, &indent));
    // The list's order means nothing, but the check compares it.
    let (first, count) = (start + 1, entry(image, &indent).len());
    let moved: Vec<String> = lines.splice(first..first + count, []).collect();
    let last = lines[..end].iter().rposition(|line| !line.trim().is_empty()).map_or(end, |last| last + 1);
    lines.splice(last..last, moved);
    Ok(joined(&lines))
}

fn entry(image: &Image, indent: &str) -> Vec<String> {
    let mut lines = vec![format!("{indent}- name: {}", image.name)];
    for (name, value) in fields(image) {
        lines.extend(value.map(|value| format!("{indent}  {name}: {}", quoted(value))));
    }
    lines
}

fn joined(lines: &[String]) -> String {
    lines.iter().flat_map(|line| [line.as_str(), "\n"]).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn tagged(name: &str, tag: &str) -> Image {
        Image { name: name.into(), tag: Some(tag.into()), ..Image::default() }
    }

    fn digested(name: &str, digest: &str) -> Image {
        Image { name: name.into(), digest: Some(digest.into()), ..Image::default() }
    }

    #[test]
    fn a_tag_is_changed_and_nothing_else() {
        let before = "resources:\n- ../base # all of it\n\nimages: # what runs\n  - name: other\n    newTag: '1'\n  # ours\n  \
                      - name: \"web\"\n    newTag: 1.0 # old\n\n# the end\npatches: []\n";
        assert_eq!(
            set_images(before, &[tagged("web", "2.0")]).unwrap(),
            before.replace("1.0 # old", "\"2.0\"")
        );
    }

    #[test]
    fn an_image_is_added_where_there_is_none() {
        assert_eq!(
            set_images("resources:\n- a\n", &[tagged("web", "2")]).unwrap(),
            "resources:\n- a\nimages:\n- name: web\n  newTag: \"2\"\n"
        );
        assert_eq!(
            set_images("images:\n- name: a\n  newTag: x\nresources: [b]\n", &[tagged("web", "2")]).unwrap(),
            "images:\n- name: a\n  newTag: x\n- name: web\n  newTag: \"2\"\nresources: [b]\n"
        );
        assert_eq!(
            set_images("images:\n- name: web\n", &[tagged("web", "2")]).unwrap(),
            "images:\n- name: web\n  newTag: \"2\"\n"
        );
    }

    #[test]
    fn a_digest_takes_the_place_of_a_tag_and_the_other_way_round() {
        let digest = format!("sha256:{}", "a".repeat(64));
        let pinned = set_images("images:\n- name: web\n  newTag: x\n", &[digested("web", &digest)]).unwrap();
        assert_eq!(pinned, format!("images:\n- name: web\n  digest: \"{digest}\"\n"));
        let tagged = set_images(&pinned, &[tagged("web", "1")]).unwrap();
        assert_eq!(tagged, "images:\n- name: web\n  newTag: \"1\"\n");
    }

    #[test]
    fn what_cannot_be_changed_by_lines_is_refused() {
        for text in [
            "images: [{name: web, newTag: '1'}]\n",
            "images:\n- digest: x\n  name: web\n",
            "{images: []}\n",
            "- a\n",
        ] {
            assert!(set_images(text, &[tagged("web", "2")]).is_err(), "{text}");
        }
    }
}
