//! Claims, volumes and storage classes.

use serde_json::Value;

use super::{annotation, deprecated_label, node_term};
use crate::field_error::Path;
use crate::fields::{at, items, text};
use crate::quantity::Quantity;

const CLASS: &str = "volume.beta.kubernetes.io/storage-class";

/// Volumes that nobody serves any more, with the versions that ended them. An error spells some in its own way.
pub(super) const ENDED: [(&str, &str, &str); 9] = [
    ("photonPersistentDisk", "photonPersistentDisk", "deprecated in v1.11, non-functional in v1.16+"),
    ("gitRepo", "gitRepo", "deprecated in v1.11"),
    ("scaleIO", "scaleIO", "deprecated in v1.16, non-functional in v1.22+"),
    ("flocker", "flocker", "deprecated in v1.22, non-functional in v1.25+"),
    ("storageos", "storageOS", "deprecated in v1.22, non-functional in v1.25+"),
    ("quobyte", "quobyte", "deprecated in v1.22, non-functional in v1.25+"),
    ("glusterfs", "glusterfs", "deprecated in v1.25, non-functional in v1.26+"),
    ("cephfs", "cephfs", "deprecated in v1.28, non-functional in v1.31+"),
    ("rbd", "rbd", "deprecated in v1.28, non-functional in v1.31+"),
];

/// Warns of a number of bytes that is no whole number.
pub(super) fn fraction(warnings: &mut Vec<String>, list: Option<&Value>, resource: &str, path: &Path) {
    let amount = list.and_then(|list| list.get(resource)).and_then(|one| Quantity::from_value(one).ok());
    if let Some(amount) = amount.filter(|amount| amount.milli_value() % 1000 != 0) {
        warnings.push(format!(
            "{}: fractional byte value \"{amount}\" is invalid, must be an integer",
            path.key(resource)
        ));
    }
}

pub(super) fn claim(warnings: &mut Vec<String>, claim: &Value) {
    old_class(warnings, claim);
    if let Some(spec) = at(claim, "spec") {
        claim_spec(warnings, spec, &Path::new("spec"));
    }
}

fn old_class(warnings: &mut Vec<String>, object: &Value) {
    if annotation(object, CLASS).is_some() {
        warnings.push(format!(
            "metadata.annotations[{CLASS}]: deprecated since v1.8; use \"storageClassName\" attribute instead"
        ));
    }
}

pub(super) fn claim_spec(warnings: &mut Vec<String>, spec: &Value, path: &Path) {
    for list in ["requests", "limits"] {
        let amounts = at(spec, "resources").and_then(|resources| resources.get(list));
        fraction(warnings, amounts, "storage", &path.child("resources").child(list));
    }
}

pub(super) fn volume(warnings: &mut Vec<String>, volume: &Value) {
    const OPTIONS: &str = "volume.beta.kubernetes.io/mount-options";
    old_class(warnings, volume);
    if annotation(volume, OPTIONS).is_some() {
        warnings.push(format!(
            "metadata.annotations[{OPTIONS}]: deprecated since v1.31; use \"mountOptions\" attribute instead"
        ));
    }
    if text(volume, "spec.persistentVolumeReclaimPolicy") == "Recycle" {
        warnings.push(
            "spec.persistentVolumeReclaimPolicy: The Recycle reclaim policy is deprecated. Instead, the recommended approach is to use dynamic provisioning."
                .to_owned(),
        );
    }
    let terms = "spec.nodeAffinity.required.nodeSelectorTerms";
    for (index, term) in items(volume, terms).iter().enumerate() {
        node_term(warnings, term, false, &Path::new(terms).index(index));
    }
    for (field, shown, why) in ENDED {
        if at(volume, "spec").and_then(|spec| at(spec, field)).is_some() {
            warnings.push(format!("spec.{shown}: {why}"));
        }
    }
}

pub(super) fn class(warnings: &mut Vec<String>, class: &Value) {
    for (index, term) in items(class, "allowedTopologies").iter().enumerate() {
        let path = Path::new("allowedTopologies").index(index).child("matchLabelExpressions");
        for (index, expression) in items(term, "matchLabelExpressions").iter().enumerate() {
            if let Some(why) = deprecated_label(text(expression, "key")) {
                warnings.push(format!("{}: {why}", path.index(index).child("key")));
            }
        }
    }
}
