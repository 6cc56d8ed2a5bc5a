//! ControllerRevisions: the templates that a StatefulSet or DaemonSet has had, so that it can tell its pods
//! apart and go back.

use std::sync::Arc;

use k8s_openapi::api::apps::v1::ControllerRevision;
use k8s_openapi::api::core::v1::PodTemplateSpec;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};
use k8s_openapi::apimachinery::pkg::runtime::RawExtension;
use kube::ResourceExt;
use serde_json::{Value, json};

use crate::cache::Key;
use crate::cluster::Kind;
use crate::error::Error;
use crate::owners;
use crate::template;
use crate::writer::Writer;

/// Label of pods, and of a DaemonSet's revisions, with the name or hash of their template.
pub(crate) const HASH: &str = "controller-revision-hash";
/// Label of a StatefulSet's revisions with the hash; there the label above is of pods alone.
const OWN_HASH: &str = "controller.kubernetes.io/hash";

/// The revisions of one owner.
pub(crate) struct History {
    /// All, the oldest first; the one for the present template is the last.
    pub(crate) all: Vec<Arc<ControllerRevision>>,
    /// The one for the present template.
    pub(crate) update: Arc<ControllerRevision>,
    /// How often a name was taken by something else.
    pub(crate) collisions: i32,
}

/// What a revision stores: a patch that puts this template in place.
fn data(template: &PodTemplateSpec) -> Value {
    // Typed objects have text keys only, so this cannot fail.
    let mut template = serde_json::to_value(template).unwrap_or_default();
    template["$patch"] = json!("replace");
    json!({"spec": {"template": template}})
}

/// The template that a revision stores.
pub(crate) fn template(revision: &ControllerRevision) -> Option<PodTemplateSpec> {
    serde_json::from_value(revision.data.0["spec"]["template"].clone()).ok()
}

/// The hash part of the name of a DaemonSet's revision.
pub(crate) fn hash(revision: &ControllerRevision) -> String {
    revision.labels().get(HASH).cloned().unwrap_or_default()
}

fn new<O: Kind>(owner: &O, template: &PodTemplateSpec, number: i64, collisions: i32) -> ControllerRevision {
    let hash = template::hash(template, Some(collisions));
    let mut labels = template.metadata.as_ref().and_then(|m| m.labels.clone()).unwrap_or_default();
    let label = if O::kind(&()) == "StatefulSet" { OWN_HASH } else { HASH };
    labels.insert(label.into(), hash.clone());
    ControllerRevision {
        metadata: ObjectMeta {
            name: Some(format!("{}-{hash}", owner.name_any())),
            namespace: owner.namespace(),
            labels: Some(labels),
            annotations: Some(owner.annotations().clone()).map(|mut a| {
                a.remove("kubectl.kubernetes.io/last-applied-configuration");
                a
            }),
            owner_references: Some(vec![owners::controller_ref(owner)]),
            ..ObjectMeta::default()
        },
        data: RawExtension(data(template)),
        revision: Some(number),
    }
}

/// Finds or makes the revision for the present template and gives it the newest number.
pub(crate) async fn sync<O: Kind>(
    writer: &Writer,
    owner: &O,
    selector: &LabelSelector,
    template: &PodTemplateSpec,
    mut collisions: i32,
) -> Result<History, Error> {
    let namespace = owner.namespace().unwrap_or_default();
    let store = &writer.cluster.controller_revisions;
    let claim = owners::claim(owner, &owners::selector(Some(selector)), store.list(&namespace));
    let mut all = owners::settle(writer, owner, claim).await?;
    let number = |r: &Arc<ControllerRevision>| r.revision.unwrap_or(0);
    all.sort_by_cached_key(|r| (number(r), r.name_any()));
    let next = all.last().map_or(0, number) + 1;
    let wanted = data(template);
    let update = match all.iter().rposition(|r| r.data.0 == wanted) {
        Some(last) if last + 1 == all.len() => all[last].clone(),
        Some(earlier) => {
            // An old template again: it becomes the newest.
            let old = all.remove(earlier);
            let renumbered = writer.patch(&*old, json!({"revision": next})).await?;
            all.push(renumbered.clone());
            renumbered
        }
        None => {
            let made = loop {
                let revision = new(owner, template, next, collisions);
                match writer.create(&revision).await {
                    Ok(made) => break made,
                    Err(error) if error.is_already_exists() => {
                        let api = ControllerRevision::api(&writer.cluster.client, &namespace);
                        let name = revision.name_any();
                        let found = api.get_opt(&name).await;
                        let found = found.map_err(|e| {
                            Error::api(
                                "read",
                                format!("ControllerRevision {}", Key::new(&*namespace, &*name)),
                                e,
                            )
                        })?;
                        match found {
                            Some(found) if owners::controls(owner, &found) && found.data.0 == wanted => {
                                break Arc::new(found);
                            }
                            _ => collisions += 1,
                        }
                    }
                    Err(error) => return Err(error),
                }
            };
            all.push(made.clone());
            made
        }
    };
    Ok(History { all, update, collisions })
}

/// Deletes the oldest revisions beyond the limit that no pod has.
pub(crate) async fn forget(
    writer: &Writer,
    history: &History,
    limit: Option<i32>,
    is_used: impl Fn(&ControllerRevision) -> bool,
) -> Result<(), Error> {
    let idle: Vec<_> =
        history.all.iter().filter(|r| r.uid() != history.update.uid() && !is_used(r)).collect();
    let limit = usize::try_from(limit.unwrap_or(10)).unwrap_or(0);
    for revision in idle.iter().take(idle.len().saturating_sub(limit)) {
        writer.delete(&***revision).await?;
    }
    Ok(())
}
