//! What each feature of kustomize does, case by case.
//!
//! A case of `tests/cases/*.txt` begins with `=== title` and holds files (`-- path`). `-- @dir` says which directory is
//! rendered. It ends with what the real program printed (`-- !prints`), or with `-- !rejects`: `cases/regenerate` writes it.
#![allow(clippy::unwrap_used)]

use std::path::Path;

use seaway_render::{Format, Kind, Outcome, RenderRequest, render};
use seaway_source::Memory;

struct Case {
    title: String,
    files: Memory,
    directory: String,
    /// `None`: kustomize rejects it.
    prints: Option<String>,
}

fn cases(text: &str) -> Vec<Case> {
    let mut cases = Vec::new();
    for case in text.split("=== ").skip(1) {
        let (title, rest) = case.split_once('\n').unwrap();
        let mut parsed =
            Case { title: title.to_owned(), files: Memory::new(), directory: String::new(), prints: None };
        let parts: Vec<&str> = rest.strip_prefix("-- ").unwrap().split("\n-- ").collect();
        for (index, part) in parts.iter().enumerate() {
            let (name, content) = match part.split_once('\n') {
                Some((name, content)) => (name, content),
                None => (*part, ""),
            };
            // The line break before the next part belongs to this one.
            let is_last = index + 1 == parts.len();
            let content =
                if is_last || !part.contains('\n') { content.to_owned() } else { format!("{content}\n") };
            match name {
                "" | "!rejects" => {}
                "!prints" => parsed.prints = Some(content),
                name => match name.strip_prefix('@') {
                    Some(directory) => parsed.directory = directory.trim().to_owned(),
                    None => parsed.files.insert(name.trim(), content).unwrap(),
                },
            }
        }
        cases.push(parsed);
    }
    cases
}

fn check(file: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases").join(file);
    let cases = cases(&std::fs::read_to_string(path).unwrap());
    assert!(!cases.is_empty());
    let mut wrong = Vec::new();
    for case in cases {
        let request =
            RenderRequest { kind: Some(Kind::Kustomize), ..RenderRequest::new(&case.files, &case.directory) };
        let found = match render(&request) {
            Ok(Outcome::Rendered(rendered)) => Ok(rendered.to_text(Format::Yaml)),
            Ok(Outcome::Needs(needs)) => Err(format!("needs {needs:?}")),
            Err(error) => Err(error.to_string()),
        };
        match (&case.prints, &found) {
            (Some(expected), Ok(text)) if expected == text => {}
            (None, Err(_)) => {}
            _ => wrong.push(format!("{}:\n{}", case.title, found.unwrap_or_else(|error| error))),
        }
    }
    assert!(wrong.is_empty(), "{file}: {} cases differ:\n\n{}", wrong.len(), wrong.join("\n\n"));
}

#[test]
fn patches_merge_as_kustomize_merges() {
    check("merge.txt");
}

#[test]
fn ports_merge_by_port_and_protocol() {
    check("ports.txt");
}

#[test]
fn names_generators_and_references() {
    check("names.txt");
}

#[test]
fn replacements_images_labels_and_plugins() {
    check("transformers.txt");
}

#[test]
fn order_metadata_and_what_is_rejected() {
    check("files.txt");
}

#[test]
fn patches_of_every_kind() {
    check("patches.txt");
}

#[test]
fn references_between_objects() {
    check("references.txt");
}

#[test]
fn compositions_generators_and_plugins() {
    check("composition.txt");
}

#[test]
fn replacements_selectors_and_merge_keys() {
    check("selections.txt");
}

#[test]
fn fields_that_are_known_without_being_told() {
    check("defaults.txt");
}

#[test]
fn json_patches_of_the_deprecated_field_and_empty_generators() {
    check("json6902.txt");
}

#[test]
fn details_that_are_easily_missed() {
    check("details.txt");
}

#[test]
fn every_field_of_a_kustomization() {
    check("fields.txt");
}

#[test]
fn built_in_plugins_configured_by_objects() {
    check("plugins.txt");
}

#[test]
fn notes_that_are_kept_in_annotations() {
    check("notes.txt");
}

#[test]
fn which_schemas_are_used() {
    check("schemas.txt");
}

#[test]
fn values_that_replacements_labels_and_images_write() {
    check("values.txt");
}

#[test]
fn layers_variables_configurations_and_plugins() {
    check("layers.txt");
}

#[test]
fn what_objects_must_have_and_how_files_are_split() {
    check("identities.txt");
}

#[test]
fn what_fields_take() {
    check("types.txt");
}

#[test]
fn values_that_are_in_several_fields_at_once() {
    check("shared.txt");
}

#[test]
fn names_of_fields_and_what_they_cannot_hold() {
    check("spelling.txt");
}

#[test]
fn elements_and_maps_that_patches_replace() {
    check("replaced.txt");
}

#[test]
fn nulls_that_patches_do_not_mention() {
    check("nothing.txt");
}
