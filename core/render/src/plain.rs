//! Directories of plain YAML and JSON.

use std::sync::Arc;

use seaway_object::yaml::Dialect;
use seaway_object::{ReadOptions, read_objects};
use seaway_source::{EntryKind, FileTree, TreePath};

use crate::RenderedObject;
use crate::error::{Error, Place, Problem};
use crate::resource::Origin;
use crate::trace::{Step, Stopwatch};

/// Files and directories of one rendering may not be more than this.
const MAX_FILES: usize = 20_000;

/// Which files of a plain directory count.
#[derive(Debug, Clone)]
pub struct PlainOptions {
    /// Look into subdirectories.
    pub recurse: bool,
    /// Only files whose path below the directory matches one of these globs; empty: all.
    pub include: Vec<String>,
    /// Not the files whose path below the directory matches one of these globs.
    pub exclude: Vec<String>,
}

impl Default for PlainOptions {
    /// Every file, subdirectories too.
    fn default() -> Self {
        Self { recurse: true, include: Vec::new(), exclude: Vec::new() }
    }
}

/// The objects of a directory's files, in the order of the files' paths, or those of one file.
pub(crate) fn render(
    tree: &dyn FileTree,
    path: &TreePath,
    options: &PlainOptions,
    explain: Option<&Stopwatch>,
) -> Result<Vec<RenderedObject>, Error> {
    let fail = |source| Error::Source { named_by: Place::file(path.to_string()), cause: source };
    let entry = tree
        .find(path)
        .map_err(fail)?
        .ok_or_else(|| fail(seaway_source::Error::NotFound { path: path.clone() }))?;
    let mut files = Vec::new();
    match entry.kind {
        EntryKind::File => files.push(path.clone()),
        EntryKind::Directory => {
            let globs = Globs { include: compile(&options.include)?, exclude: compile(&options.exclude)? };
            list(tree, path, path, options.recurse, &globs, &mut files, 0)?;
        }
    }
    let mut objects = Vec::new();
    for file in files {
        let began = explain.map(Stopwatch::read);
        let before = objects.len();
        read(tree, &file, &mut objects)?;
        if let (Some(began), Some(stopwatch)) = (began, explain) {
            let took = stopwatch.read().saturating_sub(began);
            for object in &mut objects[before..] {
                let line = Some(object.origin.line).filter(|line| *line > 0);
                let place = Place { line, ..Place::file(file.to_string()) };
                object
                    .history
                    .push(Step { what: "read".to_owned(), ..Step::at(place) }.done(took, Vec::new()));
            }
        }
    }
    Ok(objects)
}

struct Globs {
    include: Vec<regex::Regex>,
    exclude: Vec<regex::Regex>,
}

fn compile(globs: &[String]) -> Result<Vec<regex::Regex>, Error> {
    let regex = |glob: &String| {
        crate::selector::regex(&glob_pattern(glob)).map_err(|Problem(problem)| Error::Request(problem))
    };
    globs.iter().map(regex).collect()
}

/// `*` and `?` stay within a directory, `**` does not; `{a,b}` is one or the other.
fn glob_pattern(glob: &str) -> String {
    let mut pattern = String::from("^");
    let mut depth = 0;
    let mut rest = glob;
    while let Some(c) = rest.chars().next() {
        rest = &rest[c.len_utf8()..];
        match c {
            '*' if rest.starts_with('*') => {
                rest = rest.trim_start_matches('*');
                match rest.strip_prefix('/') {
                    Some(after) => {
                        pattern.push_str("(?:.*/)?");
                        rest = after;
                    }
                    None => pattern.push_str(".*"),
                }
            }
            '*' => pattern.push_str("[^/]*"),
            '?' => pattern.push_str("[^/]"),
            '{' => {
                depth += 1;
                pattern.push_str("(?:");
            }
            '}' if depth > 0 => {
                depth -= 1;
                pattern.push(')');
            }
            ',' if depth > 0 => pattern.push('|'),
            c => pattern.push_str(&regex::escape(&c.to_string())),
        }
    }
    pattern.push('$');
    pattern
}

fn list(
    tree: &dyn FileTree,
    root: &TreePath,
    directory: &TreePath,
    recurse: bool,
    globs: &Globs,
    files: &mut Vec<TreePath>,
    depth: usize,
) -> Result<(), Error> {
    let fail = |source| Error::Source { named_by: Place::file(directory.to_string()), cause: source };
    if depth > 64 || files.len() > MAX_FILES {
        let problem =
            format!("more than {MAX_FILES} files, or directories more than 64 deep: narrow the path");
        return Err(Problem(problem).at(Place::file(directory.to_string())));
    }
    for entry in tree.list(directory).map_err(fail)? {
        let path = directory.join(&entry.name).map_err(fail)?;
        match entry.kind {
            EntryKind::Directory => {
                // A link to a directory may lead in a circle; what it leads to is in the tree anyway.
                let is_link = tree.find(&path).map_err(fail)?.is_some_and(|found| found.path != path);
                if recurse && !entry.name.starts_with('.') && !is_link {
                    list(tree, root, &path, recurse, globs, files, depth + 1)?;
                }
            }
            EntryKind::File => {
                let named = [".yaml", ".yml", ".json"].iter().any(|ending| entry.name.ends_with(ending));
                let below = path.relative_to(root);
                let matches = |globs: &[regex::Regex]| globs.iter().any(|glob| glob.is_match(&below));
                if named && (globs.include.is_empty() || matches(&globs.include)) && !matches(&globs.exclude)
                {
                    files.push(path);
                }
            }
        }
    }
    Ok(())
}

fn read(tree: &dyn FileTree, file: &TreePath, objects: &mut Vec<RenderedObject>) -> Result<(), Error> {
    let place = Place::file(file.to_string());
    let bytes = tree.read(file).map_err(|source| Error::Source { named_by: place.clone(), cause: source })?;
    let text = std::str::from_utf8(&bytes).map_err(|error| {
        let at = error.valid_up_to();
        Problem(format!("is not UTF-8: the byte at offset {at} does not belong")).at(place)
    })?;
    let documents = read_objects(text, &ReadOptions::new(Dialect::Kubernetes))
        .map_err(|source| Error::Syntax { file: file.to_string(), cause: source })?;
    for document in documents {
        let origin = Arc::new(Origin { file: file.to_string(), line: document.position.line });
        objects.push(RenderedObject { value: document.value, origin, history: Vec::new() });
    }
    Ok(())
}
