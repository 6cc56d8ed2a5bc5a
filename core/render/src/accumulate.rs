//! A kustomization from its file to its objects.
//!
//! For each kustomization: collect what `resources` name (files, and other kustomizations, each finished by itself
//! first), generate, let components work on what is there, transform. When the outermost one is done, hashes go into
//! names, references follow, variables are resolved. [`render`] is the way in.

mod transform;

use std::sync::Arc;

use seaway_object::yaml::{self, Dialect, SourceMap};
use serde_json::Value;

use crate::build_metadata::{BuildMetadata, Trail};
use crate::config::Config;
use crate::error::{Error, Place, Problem, Stop};
use crate::generators::{self, Made};
use crate::id::{scope, split_api_version};
use crate::kustomization::{FILE_NAMES, Kustomization, Var};
use crate::loader::Loader;
use crate::merge2::Merging;
use crate::objects;
use crate::plugins::{self, Plugin};
use crate::refs;
use crate::remote::{self, Remote};
use crate::resmap::ResMap;
use crate::resource::{BuildOrigin, Resource};
use crate::schema::Schemas;
use crate::trace::{Step, Trace};
use crate::transformers::{names, patches, sort};
use crate::vars;

/// Objects of one rendering may not be more than this.
const MAX_OBJECTS: usize = 50_000;
/// Kustomizations of one rendering may not be more than this, each as often as it is entered: bases that name others
/// twice double at every level.
const MAX_KUSTOMIZATIONS: usize = 20_000;

/// What holds for the whole rendering.
#[derive(Debug, Default)]
pub(crate) struct Context {
    pub(crate) warnings: Vec<String>,
    pub(crate) needs: Vec<Remote>,
    pub(crate) merging: Merging,
    /// Kustomizations that were entered.
    entered: usize,
    /// One `openapi` decides for all, see [`choose_schema`].
    schema_is_chosen: bool,
    metadata: BuildMetadata,
    /// Watches what changes which object, when somebody asks.
    pub(crate) trace: Option<Trace>,
}

impl Context {
    fn look(&mut self, map: &mut ResMap) {
        if let Some(trace) = &mut self.trace {
            trace.look(map);
        }
    }

    fn changed(&mut self, map: &mut ResMap, step: impl FnOnce() -> Step) {
        if let Some(trace) = &mut self.trace {
            trace.changed(map, &step());
        }
    }

    fn start(&mut self) {
        if let Some(trace) = &mut self.trace {
            trace.start();
        }
    }
}

/// What a kustomization has gathered.
#[derive(Debug, Default)]
pub(crate) struct Accumulator {
    pub(crate) map: ResMap,
    config: Option<Arc<Config>>,
    vars: Vec<Var>,
}

/// A kustomization file, read.
struct File<'a> {
    loader: &'a Loader<'a>,
    kustomization: Kustomization,
    /// The file's name within its directory.
    file_name: &'static str,
    /// What the file is called in messages.
    name: String,
    source_map: Option<SourceMap>,
    trail: Trail,
}

/// Render the kustomization at the loader's root.
pub(crate) fn render(context: &mut Context, loader: &Loader<'_>) -> Result<ResMap, Stop> {
    let file = File::open(context, loader, Trail::default())?;
    context.metadata = BuildMetadata::new(&file.kustomization.build_metadata);
    choose_schema(context, &file)?;
    let mut gathered = accumulate(context, &file, Accumulator::default())?;
    let whole = |problem: Problem| problem.at(Place::file(file.name.as_str()));
    let step = |what: &str| Step { what: what.to_owned(), ..Step::at(Place::file(file.name.as_str())) };
    context.look(&mut gathered.map);
    names::add_hashes(&mut gathered.map).map_err(whole)?;
    context.changed(&mut gathered.map, || step("name hash"));
    let config = gathered.config.unwrap_or_else(Config::standard);
    refs::fix(&mut gathered.map, &config.name_references).map_err(whole)?;
    context.changed(&mut gathered.map, || step("references"));
    let unused = vars::resolve(&mut gathered.map, &gathered.vars, &config.var_references)
        .map_err(|problem| problem.at(file.place("vars", None)))?;
    context.changed(&mut gathered.map, || step("variables"));
    if !unused.is_empty() {
        let names = unused.join(",");
        context.warnings.push(format!("{}: well-defined vars that were never replaced: {names}", file.name));
    }
    gathered.map.list.retain(|resource| {
        resource.annotation("config.kubernetes.io/local-config").is_none_or(|value| value == "false")
    });
    // JSON patches may have made two objects one.
    gathered.map.check_unique().map_err(whole)?;
    let options = file.kustomization.sort_options.as_ref();
    sort::sort(&mut gathered.map, options).map_err(|problem| problem.at(file.place("sortOptions", None)))?;
    context.metadata.write(&mut gathered.map);
    context.changed(&mut gathered.map, || Step::at(file.place("buildMetadata", None)));
    Ok(gathered.map)
}

/// Which schemas say how lists merge: the first kustomization that says anything decides, unless kustomize has needed
/// them before: to merge something, or to find out about a kind that it does not know by heart.
fn choose_schema(context: &mut Context, file: &File<'_>) -> Result<(), Stop> {
    if context.schema_is_chosen || context.merging.begun.get() || file.kustomization.openapi.is_empty() {
        return Ok(());
    }
    let openapi = &file.kustomization.openapi;
    let place = file.place("openapi", None);
    match (openapi.get("path"), openapi.get("version")) {
        (Some(_), Some(_)) => {
            let problem = "builtin version and custom schema provided, cannot use both".to_owned();
            return Err(Problem(problem).at(place).into());
        }
        (Some(path), None) => {
            let value = read_value(file, path, &file.place("openapi.path", None))?;
            let value = value.map_or(Value::Null, |(value, _)| value);
            context.merging.schemas = Schemas::custom(value);
        }
        (None, Some(version)) if version == "v1.21.2" => {}
        (None, Some(version)) => {
            let problem = format!("the specified OpenAPI version is not built in: {version}; v1.21.2 is");
            return Err(Problem(problem).at(place).into());
        }
        (None, None) => return Ok(()),
    }
    context.schema_is_chosen = true;
    Ok(())
}

impl<'a> File<'a> {
    fn open(context: &mut Context, loader: &'a Loader<'a>, trail: Trail) -> Result<Self, Stop> {
        let directory = loader.name();
        let mut found = Vec::new();
        for name in FILE_NAMES {
            if loader.own_file(name)?.is_some() {
                found.push(name);
            }
        }
        let file_name = match found.as_slice() {
            [one] => *one,
            [] => {
                let names = FILE_NAMES.join("', '");
                let problem = format!("unable to find one of '{names}' in this directory");
                return Err(Error::NoKustomization { directory, problem }.into());
            }
            several => {
                let problem = format!("found multiple kustomization files: {}: keep one", several.join(", "));
                return Err(Error::NoKustomization { directory, problem }.into());
            }
        };
        let place = Place::file(directory);
        let (text, name) = loader.text(file_name, &place)?;
        let documents = loader.documents(&text, &name)?;
        let resolve = || match documents.first() {
            None => Ok((Value::Null, None)),
            Some(document) => yaml::resolve_document(document, Dialect::Kubernetes)
                .map(|resolved| (resolved.value, Some(resolved.source_map)))
                .map_err(|source| Error::Syntax { file: name.clone(), cause: source }),
        };
        let (value, source_map) = resolve()?;
        let mut warnings = Vec::new();
        let kustomization = Kustomization::read(value, &mut warnings).map_err(|problem| {
            let value = resolve().map_or(Value::Null, |(value, _)| value);
            let (field, problem) = crate::kustomization::blame(&value, problem);
            let line = match (&source_map, field.as_str()) {
                (Some(map), pointer) if !pointer.is_empty() => Some(map.position(pointer).line),
                _ => None,
            };
            let field = field.trim_start_matches('/').replace('/', ".");
            problem.at(Place { file: name.clone(), line, field })
        })?;
        context.warnings.extend(warnings.into_iter().map(|warning| format!("{name}: {warning}")));
        Ok(Self { loader, kustomization, file_name, name, source_map, trail })
    }

    /// A field of the file, or an entry of it.
    fn place(&self, field: &str, index: Option<usize>) -> Place {
        let (pointer, name) = match index {
            Some(index) => (format!("/{}/{index}", field.replace('.', "/")), format!("{field}[{index}]")),
            None => (format!("/{}", field.replace('.', "/")), field.to_owned()),
        };
        let line = self.source_map.as_ref().map(|map| map.position(&pointer).line);
        Place { file: self.name.clone(), line, field: name }
    }

    /// What the files that an entry names are called; inline texts are none.
    fn files<'s>(&self, paths: impl IntoIterator<Item = &'s String>) -> Vec<String> {
        let named = paths.into_iter().filter(|path| !path.is_empty() && !path.contains('\n'));
        named
            .map(|path| match self.loader.root.join(path) {
                Ok(path) => self.loader.name_of(&path),
                Err(_) => path.clone(),
            })
            .collect()
    }

    fn entry<'s>(&'s self, field: &'s str) -> impl Fn(usize) -> Place + 's {
        move |index| self.place(field, Some(index))
    }
}

/// The objects of one kustomization, given what is there already: nothing, unless it is a component.
fn accumulate(
    context: &mut Context,
    file: &File<'_>,
    mut gathered: Accumulator,
) -> Result<Accumulator, Stop> {
    let kustomization = &file.kustomization;
    context.entered += 1;
    if context.entered > MAX_KUSTOMIZATIONS {
        let problem =
            format!("more than {MAX_KUSTOMIZATIONS} kustomizations are entered: name each base once");
        return Err(Problem(problem).at(Place::file(file.name.as_str())).into());
    }
    unsupported(file)?;
    collect(context, file, &kustomization.resources, &file.entry("resources"), &mut gathered)?;
    merge_config(file, &mut gathered)?;
    generate(context, file, &mut gathered)?;
    components(context, file, &mut gathered)?;
    transform::transform(context, file, &mut gathered)?;
    transform::validate(context, file, &mut gathered)?;
    vars::bind(&mut gathered.map, &mut gathered.vars, &kustomization.vars)
        .map_err(|problem| problem.at(file.place("vars", None)))?;
    if gathered.map.list.len() > MAX_OBJECTS {
        let problem = format!("more than {MAX_OBJECTS} objects: split the kustomization");
        return Err(Problem(problem).at(Place::file(file.name.as_str())).into());
    }
    Ok(gathered)
}

fn unsupported(file: &File<'_>) -> Result<(), Stop> {
    for (field, used) in [
        ("helmCharts", !file.kustomization.helm_charts.is_empty()),
        ("helmChartInflationGenerator", !file.kustomization.helm_chart_inflation_generator.is_empty()),
    ] {
        if used {
            return Err(Error::Unsupported {
                place: file.place(field, Some(0)),
                what: "inflating Helm charts from a kustomization".to_owned(),
                instead: "render the chart as a component of its own".to_owned(),
            }
            .into());
        }
    }
    Ok(())
}

/// What has to be fetched is noted, and the rendering goes on: all of it is asked for at once.
fn or_need<T>(context: &mut Context, result: Result<T, Stop>) -> Result<Option<T>, Stop> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(Stop::Needs(remote)) => {
            if !context.needs.contains(&remote) {
                context.needs.push(remote);
            }
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// Files and other kustomizations that a list names.
fn collect(
    context: &mut Context,
    file: &File<'_>,
    paths: &[String],
    place: &dyn Fn(usize) -> Place,
    gathered: &mut Accumulator,
) -> Result<(), Stop> {
    for (index, path) in paths.iter().enumerate() {
        let place = place(index);
        if path.is_empty() {
            return Err(Problem("an empty path names nothing".to_owned()).at(place).into());
        }
        // What is no directory and no file here may be one elsewhere.
        let is_base = file.loader.is_directory(path)
            || (!remote::names_file(path)
                && file.loader.bytes(path, &place).is_err()
                && remote::parse_base(path).map_err(|problem| problem.at(place.clone()))?.is_some());
        if is_base {
            let loaded = file.loader.enter(path, &place);
            let Some(loader) = or_need(context, loaded)? else { continue };
            let trail = file.trail.enter(path, loader.remote.as_deref().filter(|_| is_remote(file, &loader)));
            let inner = File::open(context, &loader, trail)?;
            choose_schema(context, &inner)?;
            if inner.kustomization.kind == Kustomization::COMPONENT {
                let problem =
                    format!("expected kind != 'Component' for path '{path}': list it under components");
                return Err(Problem(problem).at(place).into());
            }
            let result = accumulate(context, &inner, Accumulator::default())?;
            merge(gathered, result).map_err(|problem| problem.at(place))?;
            continue;
        }
        context.start();
        let read = file.loader.text(path, &place);
        let Some((text, name)) = or_need(context, read)? else { continue };
        objects::check_separators(&text, &name).map_err(|problem| problem.at(place.clone()))?;
        let documents = file.loader.documents(&text, &name)?;
        let mut resources = objects::read(documents, &name).map_err(|problem| problem.at(place.clone()))?;
        resources.iter_mut().for_each(Resource::open_annotations);
        context.schema_is_chosen = context.schema_is_chosen
            || resources.iter().any(|it| {
                let (group, version) = split_api_version(it.api_version());
                scope(group, version, it.kind()).is_none()
            });
        if context.metadata.tracks() {
            let origin = file.trail.file(path);
            resources.iter_mut().for_each(|it| it.origin_annotation = Some(Arc::clone(&origin)));
        }
        if let Some(trace) = &mut context.trace {
            let made = trace.made(&Step::at(place.clone()).using(vec![name]));
            resources.iter_mut().for_each(|it| it.history.push(Arc::clone(&made)));
        }
        gathered.map.append_all(resources).map_err(|problem| problem.at(place))?;
    }
    Ok(())
}

fn is_remote(file: &File<'_>, inner: &Loader<'_>) -> bool {
    file.loader.remote != inner.remote
}

fn merge(gathered: &mut Accumulator, inner: Accumulator) -> Result<(), Problem> {
    gathered.map.append_all(inner.map.list)?;
    if let Some(config) = inner.config {
        add_config(&mut gathered.config, &config)?;
    }
    inner.vars.iter().try_for_each(|var| vars::add(&mut gathered.vars, var))
}

fn add_config(config: &mut Option<Arc<Config>>, other: &Arc<Config>) -> Result<(), Problem> {
    match config {
        // The standard fields are in every configuration.
        Some(known) if Arc::ptr_eq(known, other) || Arc::ptr_eq(other, &Config::standard()) => Ok(()),
        Some(known) => Arc::make_mut(known).merge(other),
        None if Arc::ptr_eq(other, &Config::standard()) => {
            *config = Some(Arc::clone(other));
            Ok(())
        }
        None => {
            let mut merged = Config::default();
            merged.merge(other)?;
            *config = Some(Arc::new(merged));
            Ok(())
        }
    }
}

/// `configurations` and `crds`.
fn merge_config(file: &File<'_>, gathered: &mut Accumulator) -> Result<(), Stop> {
    let mut config = Config::standard();
    let mut custom = Config::default();
    for (index, path) in file.kustomization.configurations.iter().enumerate() {
        let place = file.place("configurations", Some(index));
        let Some((value, name)) = read_value(file, path, &place)? else { continue };
        let read = Config::parse(&value).map_err(|problem| problem.at(Place::file(name)))?;
        custom.merge(&read).map_err(|problem| problem.at(place))?;
    }
    if !file.kustomization.configurations.is_empty() {
        let place = file.place("configurations", None);
        Arc::make_mut(&mut config).merge(&custom).map_err(|problem| problem.at(place))?;
    }
    add_config(&mut gathered.config, &config)
        .map_err(|problem| problem.at(file.place("configurations", None)))?;
    for (index, path) in file.kustomization.crds.iter().enumerate() {
        let place = file.place("crds", Some(index));
        let Some((value, name)) = read_value(file, path, &place)? else { continue };
        let read = Config::from_definitions(&value).map_err(|problem| problem.at(Place::file(name)))?;
        add_config(&mut gathered.config, &Arc::new(read)).map_err(|problem| problem.at(place))?;
    }
    Ok(())
}

/// The first document of a file, as Kubernetes reads it, and what the file is called.
fn read_value(file: &File<'_>, path: &str, place: &Place) -> Result<Option<(Value, String)>, Stop> {
    let (text, name) = file.loader.text(path, place)?;
    let documents = file.loader.documents(&text, &name)?;
    let Some(document) = documents.first() else { return Ok(None) };
    match yaml::resolve(document, Dialect::Kubernetes) {
        Ok(value) => Ok(Some((value, name))),
        Err(source) => Err(Error::Syntax { file: name, cause: source }.into()),
    }
}

fn generate(context: &mut Context, file: &File<'_>, gathered: &mut Accumulator) -> Result<(), Stop> {
    let kustomization = &file.kustomization;
    let lists = [
        (Made::ConfigMap, "configMapGenerator", &kustomization.config_map_generator),
        (Made::Secret, "secretGenerator", &kustomization.secret_generator),
    ];
    for (made, field, list) in lists {
        for (index, args) in list.iter().enumerate() {
            let place = file.place(field, Some(index));
            context.start();
            let options = args.options.clone().unwrap_or_default();
            let options = options.under(kustomization.generator_options.as_ref());
            let generated = generators::generate(made, args, &options, file.loader, &place);
            let Some(mut resource) = or_need(context, generated)? else { continue };
            if context.metadata.tracks() {
                let kind = format!("{}Generator", made.kind());
                resource.origin_annotation = Some(file.trail.configured(file.file_name, &kind));
            }
            if let Some(trace) = &mut context.trace {
                let sources = args.files.iter().map(|source| generators::path_of(source));
                let files = file.files(&sources.chain(args.envs.iter().cloned()).collect::<Vec<_>>());
                resource.history.push(trace.made(&Step::at(place.clone()).using(files)));
            }
            gathered.map.absorb(resource).map_err(|problem| problem.at(place))?;
        }
    }
    for (plugin, origin, place) in plugins(context, file, &kustomization.generators, "generators")? {
        context.start();
        for mut resource in plugin.generate(file.loader, &place)? {
            if let Some(trace) = &mut context.trace {
                resource.history.push(trace.made(&Step::at(place.clone())));
            }
            resource.origin_annotation = resource.origin_annotation.or_else(|| origin.clone());
            gathered.map.absorb(resource).map_err(|problem| problem.at(place.clone()))?;
        }
    }
    Ok(())
}

type Configured = (Plugin, Option<Arc<BuildOrigin>>, Place);

/// Generators and transformers that objects configure: inline, in files, or made by other kustomizations.
fn plugins(
    context: &mut Context,
    file: &File<'_>,
    entries: &[String],
    field: &str,
) -> Result<Vec<Configured>, Stop> {
    let mut configurations = Accumulator::default();
    let mut paths = Vec::new();
    for (index, entry) in entries.iter().enumerate() {
        let place = file.place(field, Some(index));
        match patches::merge_patches(entry, &place.file) {
            Ok(mut resources) => {
                if context.metadata.tracks() {
                    let origin = file.trail.file(file.file_name);
                    resources.iter_mut().for_each(|it| it.origin_annotation = Some(Arc::clone(&origin)));
                }
                configurations.map.append_all(resources).map_err(|problem| problem.at(place))?;
            }
            Err(_) => paths.push((index, entry.clone())),
        }
    }
    let (indices, paths): (Vec<usize>, Vec<String>) = paths.into_iter().unzip();
    let place = |index: usize| file.place(field, indices.get(index).copied());
    collect(context, file, &paths, &place, &mut configurations)?;
    let mut plugins = Vec::new();
    for resource in configurations.map.list {
        let line = (resource.origin.line > 0).then_some(resource.origin.line);
        let place = Place { file: resource.origin.file.clone(), line, field: resource.kind().to_owned() };
        let origin = context.metadata.tracks().then(|| file.trail.configured_by_object(&resource));
        plugins.push((plugins::configure(&resource, file.loader, &place)?, origin, place));
    }
    Ok(plugins)
}

fn components(context: &mut Context, file: &File<'_>, gathered: &mut Accumulator) -> Result<(), Stop> {
    for (index, path) in file.kustomization.components.iter().enumerate() {
        let place = file.place("components", Some(index));
        let loaded = file.loader.enter(path, &place);
        let Some(loader) = or_need(context, loaded)? else { continue };
        let trail = file.trail.enter(path, loader.remote.as_deref().filter(|_| is_remote(file, &loader)));
        let inner = File::open(context, &loader, trail)?;
        choose_schema(context, &inner)?;
        if inner.kustomization.kind != Kustomization::COMPONENT {
            let kind = &inner.kustomization.kind;
            let problem = format!("expected kind 'Component' for path '{path}' but got '{kind}'");
            return Err(Problem(problem).at(place).into());
        }
        let mut whole = accumulate(context, &inner, std::mem::take(gathered))?;
        // kustomize adds all of it to nothing, where two fields may clash that did not before.
        let config = whole.config.take();
        config
            .iter()
            .try_for_each(|config| add_config(&mut whole.config, config))
            .and_then(|()| whole.map.check_unique())
            .map_err(|problem| problem.at(place))?;
        *gathered = whole;
    }
    Ok(())
}
