//! What changes the objects of one kustomization, in kustomize's order, and what may only look at them.

use std::sync::Arc;

use super::{Accumulator, Context, File, or_need, plugins};
use crate::config::Config;
use crate::error::{Problem, Stop};
use crate::fieldspec::{FieldSpec, merge_spec, merge_specs};
use crate::kustomization::Labels;
use crate::resmap::ResMap;
use crate::resource::BuildOrigin;
use crate::trace::Step;
use crate::transformers::images::ImageRule;
use crate::transformers::names::{self, Affix};
use crate::transformers::namespace::Namespace;
use crate::transformers::patches::{self, ReadPatch};
use crate::transformers::{replacements, replicas, texts};

/// Everything that changes objects, in kustomize's order.
pub(super) fn transform(
    context: &mut Context,
    file: &File<'_>,
    gathered: &mut Accumulator,
) -> Result<(), Stop> {
    let kustomization = &file.kustomization;
    let config = gathered.config.clone().unwrap_or_else(Config::standard);
    let map = &mut gathered.map;
    let merging = context.merging.clone();
    context.look(map);

    if !kustomization.patches_strategic_merge.is_empty() {
        let entries = &kustomization.patches_strategic_merge;
        let list = patches::strategic_merge(entries, file.loader, file.entry("patchesStrategicMerge"))?;
        for patch in list {
            let place = file.place("patchesStrategicMerge", None);
            patches::apply_named(&patch, map, &merging).map_err(|problem| problem.at(place))?;
        }
        let step = || Step::at(file.place("patchesStrategicMerge", None)).using(file.files(entries));
        done(context, file, map, "PatchStrategicMergeTransformer", step);
    }
    for (index, patch) in kustomization.patches.iter().enumerate() {
        let place = file.place("patches", Some(index));
        let read = ReadPatch::new(patch, file.loader, &place);
        let Some(read) = or_need(context, read)? else { continue };
        if read.misses(map) {
            context.warnings.push(format!("{place}: the target is no object here: nothing is patched"));
        }
        read.apply(map, &merging).map_err(|problem| problem.at(place.clone()))?;
        let step = || Step::at(place).using(file.files([&patch.path]));
        done(context, file, map, "PatchTransformer", step);
    }
    if !kustomization.namespace.is_empty() {
        let namespace = Namespace {
            namespace: kustomization.namespace.clone(),
            specs: config.namespace.clone(),
            ..Namespace::default()
        };
        namespace.apply(map).map_err(|problem| problem.at(file.place("namespace", None)))?;
        done(context, file, map, "NamespaceTransformer", || Step::at(file.place("namespace", None)));
    }
    let affixes = [
        (Affix::Prefix, "namePrefix", &kustomization.name_prefix, &config.name_prefix, "PrefixTransformer"),
        (Affix::Suffix, "nameSuffix", &kustomization.name_suffix, &config.name_suffix, "SuffixTransformer"),
    ];
    for (affix, field, text, specs, kind) in affixes {
        if !text.is_empty() {
            names::affix(map, affix, text, specs).map_err(|problem| problem.at(file.place(field, None)))?;
            done(context, file, map, kind, || Step::at(file.place(field, None)));
        }
    }
    for (index, labels) in kustomization.labels.iter().enumerate() {
        let place = file.place("labels", Some(index));
        let specs = label_specs(labels, &config).map_err(|problem| problem.at(place.clone()))?;
        texts::add(map, &labels.pairs, &specs).map_err(|problem| problem.at(place.clone()))?;
        done(context, file, map, "LabelTransformer", || Step::at(place));
    }
    if !kustomization.labels.is_empty() || !kustomization.common_labels.is_empty() {
        texts::add(map, &kustomization.common_labels, &config.common_labels)
            .map_err(|problem| problem.at(file.place("commonLabels", None)))?;
        done(context, file, map, "LabelTransformer", || Step::at(file.place("commonLabels", None)));
    }
    if !kustomization.common_annotations.is_empty() {
        let place = || file.place("commonAnnotations", None);
        texts::add(map, &kustomization.common_annotations, &config.common_annotations)
            .map_err(|problem| problem.at(place()))?;
        done(context, file, map, "AnnotationsTransformer", || Step::at(place()));
    }
    for (index, patch) in kustomization.patches_json6902.iter().enumerate() {
        let place = file.place("patchesJson6902", Some(index));
        let read = ReadPatch::json(patch, file.loader, &place)?;
        if read.misses(map) {
            context.warnings.push(format!("{place}: the target is no object here: nothing is patched"));
        }
        read.apply(map, &merging).map_err(|problem| problem.at(place.clone()))?;
        let step = || Step::at(place).using(file.files([&patch.path]));
        done(context, file, map, "PatchJson6902Transformer", step);
    }
    for (index, replica) in kustomization.replicas.iter().enumerate() {
        let place = file.place("replicas", Some(index));
        replicas::set(map, replica, &config.replicas).map_err(|problem| problem.at(place.clone()))?;
        done(context, file, map, "ReplicaCountTransformer", || Step::at(place));
    }
    for (index, image) in kustomization.images.iter().enumerate() {
        let place = file.place("images", Some(index));
        ImageRule::new(image)
            .and_then(|rule| rule.apply(map, &config.images))
            .map_err(|problem| problem.at(place.clone()))?;
        done(context, file, map, "ImageTagTransformer", || Step::at(place));
    }
    if !kustomization.replacements.is_empty() {
        let entry = file.entry("replacements");
        for (replacement, place) in replacements::load(&kustomization.replacements, file.loader, &entry)? {
            replacements::apply(map, &replacement).map_err(|problem| problem.at(place))?;
        }
        let paths = kustomization.replacements.iter().map(|replacement| &replacement.path);
        let step = || Step::at(file.place("replacements", None)).using(file.files(paths));
        done(context, file, map, "ReplacementTransformer", step);
    }
    for (plugin, origin, place) in plugins(context, file, &kustomization.transformers, "transformers")? {
        let map = &mut gathered.map;
        context.start();
        plugin.transform(map, file.loader, &place, &merging)?;
        map.drop_deleted();
        if let Some(origin) = &origin {
            note(map, origin);
        }
        context.changed(map, || Step::at(place));
    }
    Ok(())
}

/// A transformer has been at work.
fn done(context: &mut Context, file: &File<'_>, map: &mut ResMap, kind: &str, step: impl FnOnce() -> Step) {
    map.drop_deleted();
    if context.metadata.tracks() {
        note(map, &file.trail.configured(file.file_name, kind));
    }
    context.changed(map, step);
}

fn note(map: &mut ResMap, origin: &Arc<BuildOrigin>) {
    for resource in &mut map.list {
        resource.unlink_annotations();
        match resource.origin_annotation {
            Some(_) => resource.transformations.push(Arc::clone(origin)),
            None => resource.origin_annotation = Some(Arc::clone(origin)),
        }
    }
}

/// Validators are transformers that may change nothing.
pub(super) fn validate(
    context: &mut Context,
    file: &File<'_>,
    gathered: &mut Accumulator,
) -> Result<(), Stop> {
    let merging = context.merging.clone();
    for (plugin, _, place) in plugins(context, file, &file.kustomization.validators, "validators")? {
        let mut copy = gathered.map.clone();
        plugin.transform(&mut copy, file.loader, &place, &merging)?;
        let same = copy.list.len() == gathered.map.list.len()
            && copy.list.iter().zip(&gathered.map.list).all(|(a, b)| a.node == b.node);
        if !same {
            let problem = "validator shouldn't modify the resource map".to_owned();
            return Err(Problem(problem).at(place).into());
        }
    }
    Ok(())
}

fn label_specs(labels: &Labels, config: &Config) -> Result<Vec<FieldSpec>, Problem> {
    let mut specs: Vec<FieldSpec> = labels.fields.iter().cloned().map(|spec| spec.into_spec()).collect();
    if labels.include_selectors {
        merge_specs(&mut specs, &config.common_labels)?;
        return Ok(specs);
    }
    if labels.include_templates {
        merge_specs(&mut specs, &config.template_labels)?;
    }
    merge_spec(&mut specs, &FieldSpec::new(Default::default(), "metadata/labels", true))?;
    Ok(specs)
}
