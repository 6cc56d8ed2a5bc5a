//! ConfigMaps and Secrets made from files and literals.

use std::collections::BTreeMap;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::error::{Error, Place, Problem, Stop};
use crate::kustomization::{GeneratorArgs, GeneratorOptions};
use crate::loader::Loader;
use crate::node::{Map, Node, Scalar, Style, Tag};
use crate::resource::{Behavior, Origin, Resource};

/// What a generator makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Made {
    ConfigMap,
    Secret,
}

impl Made {
    pub(crate) fn kind(self) -> &'static str {
        match self {
            Self::ConfigMap => "ConfigMap",
            Self::Secret => "Secret",
        }
    }
}

/// Make the object. `options` are the generator's own, under those of the kustomization.
pub(crate) fn generate(
    made: Made,
    args: &GeneratorArgs,
    options: &GeneratorOptions,
    loader: &Loader<'_>,
    place: &Place,
) -> Result<Resource, Stop> {
    let fail = |problem: Problem| problem.at(place.clone());
    if args.name.is_empty() {
        return Err(fail(Problem(format!("a {} needs a name", made.kind()))).into());
    }
    let mut root = Map::default();
    root.insert("apiVersion", Node::text("v1"));
    root.insert("kind", Node::text(made.kind()));
    let mut metadata = Map::default();
    metadata.insert("name", Node::text(args.name.as_str()));
    if !args.namespace.is_empty() {
        metadata.insert("namespace", Node::text(args.namespace.as_str()));
    }
    for (field, texts) in [("labels", &options.labels), ("annotations", &options.annotations)] {
        if !texts.is_empty() {
            let texts = texts.iter().map(|(key, value)| (key.clone(), Node::text(value.as_str())));
            metadata.insert(field, Node::Map(texts.collect()));
        }
    }
    root.insert("metadata", Node::Map(metadata));
    if made == Made::Secret {
        let secret_type = if args.secret_type.is_empty() { "Opaque" } else { &args.secret_type };
        root.insert("type", Node::text(secret_type));
        // Also when it stays empty.
        root.insert("data", Node::Map(Map::default()));
    }
    for (key, value) in pairs(args, made, loader, place)? {
        let (field, text) = match (made, String::from_utf8(value)) {
            (Made::ConfigMap, Ok(text)) => ("data", text),
            (Made::ConfigMap, Err(binary)) => ("binaryData", base64_lines(binary.as_bytes())),
            (Made::Secret, Ok(text)) => ("data", base64_lines(text.as_bytes())),
            (Made::Secret, Err(binary)) => ("data", base64_lines(binary.as_bytes())),
        };
        if let Node::Map(map) = root.entry(field, crate::node::Kind::Map) {
            map.insert(&key, Node::text(text));
        }
    }
    if options.immutable {
        let scalar = Scalar { text: "true".to_owned(), tag: Tag::Bool, style: Style::Plain, link: 0 };
        root.insert("immutable", Node::Scalar(scalar));
    }
    let origin = Origin { file: place.file.clone(), line: place.line.unwrap_or_default() };
    let mut resource = Resource::new(Node::Map(root), Arc::new(origin));
    resource.hash = !options.disable_name_suffix_hash;
    resource.behavior = match args.behavior.as_str() {
        "replace" => Behavior::Replace,
        "merge" => Behavior::Merge,
        "create" => Behavior::Create,
        _ => Behavior::Unspecified,
    };
    Ok(resource)
}

/// All entries, sorted by key; the same key twice is an error.
fn pairs(
    args: &GeneratorArgs,
    made: Made,
    loader: &Loader<'_>,
    place: &Place,
) -> Result<BTreeMap<String, Vec<u8>>, Stop> {
    let mut pairs = BTreeMap::new();
    let within = |field: &str, index: usize| Place {
        field: format!("{}.{field}[{index}]", place.field),
        ..place.clone()
    };
    let mut add = |key: String, value: Vec<u8>, place: Place| -> Result<(), Error> {
        if pairs.insert(key.clone(), value).is_some() {
            let (kind, name) = (made.kind().to_lowercase(), &args.name);
            return Err(Problem(format!("{kind} {name} illegally repeats the key `{key}`")).at(place));
        }
        Ok(())
    };
    for (index, file) in args.envs.iter().enumerate() {
        let place = within("envs", index);
        let (text, name) = loader.text(file, &place)?;
        for (line, text) in text.lines().enumerate() {
            if let Some((key, value)) = env_line(text, line == 0) {
                let place = Place { line: Some(line + 1), ..Place::file(name.as_str()) };
                add(key.to_owned(), value.as_bytes().to_vec(), place)?;
            }
        }
    }
    for (index, literal) in args.literals.iter().enumerate() {
        let place = within("literals", index);
        let (key, value) = match literal.split_once('=') {
            Some((key, value)) if !key.is_empty() => (key, value),
            _ => {
                let problem = format!("invalid literal source {literal}, expected key=value");
                return Err(Problem(problem).at(place).into());
            }
        };
        add(key.to_owned(), unquoted(value).as_bytes().to_vec(), place)?;
    }
    for (index, source) in args.files.iter().enumerate() {
        let place = within("files", index);
        let (key, path) = file_source(source).map_err(|problem| problem.at(place.clone()))?;
        let (content, _) = loader.bytes(path, &place)?;
        add(key.to_owned(), content.to_vec(), place)?;
    }
    Ok(pairs)
}

/// A line of an env file; `None` for lines without a key, and comments. Kubernetes decides which keys are legal.
fn env_line(line: &str, first: bool) -> Option<(&str, &str)> {
    let line = if first { line.trim_start_matches('\u{feff}') } else { line };
    let line = line.trim_start();
    let (key, value) = line.split_once('=').unwrap_or((line, ""));
    (!key.is_empty() && !key.starts_with('#')).then_some((key, value))
}

/// A value without the quotes around it.
fn unquoted(value: &str) -> &str {
    for quote in ['"', '\''] {
        if value.len() >= 2
            && let Some(inner) = value.strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote))
        {
            return inner;
        }
    }
    value
}

/// `key=path`, or a path whose last part is the key.
fn file_source(source: &str) -> Result<(&str, &str), Problem> {
    match source.match_indices('=').count() {
        0 => Ok((source.trim_end_matches('/').rsplit('/').next().unwrap_or(source), source)),
        1 => match source.split_once('=') {
            Some(("", _)) => Err(Problem(format!("missing key name for file path {source}"))),
            Some((_, "")) => Err(Problem(format!("missing file path for key name {source}"))),
            Some((key, path)) => Ok((key, path)),
            None => Err(Problem(format!("{source} names no file"))),
        },
        _ => Err(Problem("key names or file paths cannot contain '='".to_owned())),
    }
}

/// The path of a file source, `key=path` or a path.
pub(crate) fn path_of(source: &str) -> String {
    file_source(source).map_or(source, |(_, path)| path).to_owned()
}

/// Base64, broken into lines of 70 characters when it is longer than one.
fn base64_lines(bytes: &[u8]) -> String {
    const LINE: usize = 70;
    let encoded = STANDARD.encode(bytes);
    if encoded.len() < LINE {
        return encoded;
    }
    let mut lines = String::with_capacity(encoded.len() + encoded.len() / LINE + 1);
    let mut rest = encoded.as_str();
    while !rest.is_empty() {
        let (line, more) = rest.split_at(rest.len().min(LINE));
        lines.push_str(line);
        lines.push('\n');
        rest = more;
    }
    lines
}
