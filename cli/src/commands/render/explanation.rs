//! What made each object, for people and as JSON.

use std::collections::BTreeSet;
use std::time::Duration;

use seaway_render::{Format, Rendered, RenderedObject, Transformation};
use serde_json::{Value, json};

use super::source::Source;

/// More changed fields are only counted.
const MAX_FIELDS: usize = 3;

/// A paragraph per object: its name, then a line per step with its place, what it did, how long that took for all
/// objects together, and which fields it changed.
pub(super) fn text(rendered: &Rendered, took: Duration, source: &Source) -> String {
    let mut text = String::new();
    let names = rendered.to_text(Format::Names);
    for (object, name) in rendered.objects.iter().zip(names.lines()) {
        text += &format!("{name}\n");
        let mut rows = vec![[source.shown(&origin(object)), "file".to_owned(), String::new(), String::new()]];
        rows.extend(object.history.iter().map(|step| row(step, source)));
        let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
        let (place, what, took) = (width(0), width(1), width(2));
        for row in &rows {
            let line = format!("  {:place$}  {:what$}  {:>took$}  {}", row[0], row[1], row[2], row[3]);
            text += line.trim_end();
            text.push('\n');
        }
    }
    let (objects, files) = (rendered.objects.len(), files(rendered).len());
    let plural = |count: usize| if count == 1 { "" } else { "s" };
    let (many, more) = (plural(objects), plural(files));
    text + &format!("{objects} object{many} from {files} file{more} in {}\n", milliseconds(took))
}

fn row(step: &Transformation, source: &Source) -> [String; 4] {
    let files: Vec<String> = step.files.iter().map(|file| source.name(file)).collect();
    let what = match files.as_slice() {
        [] => step.what.clone(),
        files => format!("{} ({})", step.what, files.join(", ")),
    };
    let mut place = step.place.clone();
    // It is said in the next column.
    place.field.clear();
    let mut fields = step.fields.iter().take(MAX_FIELDS).cloned().collect::<Vec<_>>().join(", ");
    let more = step.fields.len().saturating_sub(MAX_FIELDS);
    if more > 0 {
        fields += &format!(" and {more} more");
    }
    [source.shown(&place), what, milliseconds(step.took), fields]
}

fn origin(object: &RenderedObject) -> seaway_render::Place {
    let line = Some(object.origin.line).filter(|line| *line > 0);
    seaway_render::Place { line, ..seaway_render::Place::file(object.origin.file.as_str()) }
}

fn milliseconds(time: Duration) -> String {
    format!("{:.3} ms", time.as_secs_f64() * 1000.0)
}

/// Every file that was read.
fn files(rendered: &Rendered) -> BTreeSet<&str> {
    let mut files: BTreeSet<&str> = rendered.inputs.files().map(|(path, _)| path.as_str()).collect();
    for object in &rendered.objects {
        files.insert(&object.origin.file);
    }
    files
}

/// One JSON object, keys in camelCase, times in microseconds.
pub(super) fn json(rendered: &Rendered, took: Duration, source: &Source) -> String {
    let objects: Vec<Value> = rendered
        .objects
        .iter()
        .map(|object| {
            let metadata = &object.value["metadata"];
            json!({
                "apiVersion": object.value["apiVersion"],
                "kind": object.value["kind"],
                "namespace": metadata["namespace"],
                "name": metadata["name"],
                "file": source.name(&object.origin.file),
                "line": object.origin.line,
                "transformations": object.history.iter().map(|step| transformation(step, source)).collect::<Vec<_>>(),
            })
        })
        .collect();
    let explanation = json!({
        "renderedAs": format!("{:?}", rendered.kind).to_lowercase(),
        "microseconds": microseconds(took),
        "files": files(rendered).into_iter().map(|file| source.name(file)).collect::<Vec<_>>(),
        "objects": objects,
    });
    format!("{explanation:#}\n")
}

fn transformation(step: &Transformation, source: &Source) -> Value {
    json!({
        "what": step.what,
        "file": source.name(&step.place.file),
        "line": step.place.line,
        "files": step.files.iter().map(|file| source.name(file)).collect::<Vec<_>>(),
        "microseconds": microseconds(step.took),
        "fields": step.fields,
    })
}

fn microseconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e7).round() / 10.0
}
