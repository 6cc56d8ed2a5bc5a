//! The shapes of copies, overrides, fidelity and proposals.

use serde_json::{Value, json};
use utoipa::openapi::Ref;
use utoipa::openapi::schema::Schema;

use super::{any, field_change, flag, list, list_of, number, object, one_of, shape, text};

pub(super) fn all() -> Vec<(&'static str, Value)> {
    vec![
        ("CopyView", copy_view()),
        ("OverrideView", override_view()),
        ("FidelityView", fidelity_view()),
        ("FidelityDifference", fidelity_difference()),
        ("DriftedField", drifted_field()),
        ("Proposed", proposed()),
        ("Effect", effect()),
        ("CopyUsage", usage()),
    ]
}

pub(crate) fn environment_key_ref() -> Ref {
    Ref::from_schema_name("EnvironmentKey")
}

pub(crate) fn copy_ref() -> Ref {
    Ref::from_schema_name("CopyView")
}

pub(crate) fn proposed_ref() -> Ref {
    Ref::from_schema_name("Proposed")
}

pub(crate) fn list_of_overrides() -> Schema {
    list_of("OverrideView")
}

pub(crate) fn list_of_effects() -> Schema {
    list_of("Effect")
}

pub(crate) fn list_of_usages() -> Schema {
    list_of("CopyUsage")
}

fn usage() -> Value {
    let amount = |description: &str| json!({"type": "number", "description": description});
    let fields = [
        ("environment", shape("EnvironmentKey")),
        ("of", text("What it is a copy of, as NAMESPACE/NAME.")),
        ("class", text("What it is for.")),
        ("owner?", text("The person whose it is.")),
        ("created", text("Since when it is there (RFC 3339).")),
        ("expires?", text("From when on it is deleted (RFC 3339).")),
        ("pods", number("How many pods have not ended.")),
        ("milliCpu", number("CPU that they ask for, in thousandths of a core.")),
        ("memory", number("Memory that they ask for, in bytes.")),
        ("seconds", number("How long it has been there.")),
        ("cpuHours", amount("Cores × hours, as if it had always asked for what it asks for now.")),
        ("memoryHours", amount("GiB × hours, likewise.")),
    ];
    object("What a copy asks for of the cluster.", &fields)
}

fn texts_by_text(description: &str) -> Value {
    json!({"type": "object", "description": description, "additionalProperties": {"type": "string"}})
}

fn copy_view() -> Value {
    let left_out = object(
        "An object that the copy does not have.",
        &[("object", text("Which, as it is called in what is copied.")), ("reason", text("Why."))],
    );
    let fields = [
        ("of", text("What it is a copy of, as NAMESPACE/NAME.")),
        ("follow", one_of("What it follows.", &["environment", "revision"])),
        ("components", list(text("A component."))),
        ("namespaces", texts_by_text("Each namespace of what it copies, with its own.")),
        ("hosts", texts_by_text("Each host of what it copies, with its own.")),
        ("leftOut?", list(left_out)),
        (
            "shared?",
            texts_by_text("Each service of a component that it shares, as NAMESPACE/NAME, with its host."),
        ),
        ("warnings?", list(text("What does not bound it, though it should."))),
    ];
    object("What a copy is called, and what it has of what it copies.", &fields)
}

fn override_view() -> Value {
    let image = object(
        "An image that takes the place of another.",
        &[
            ("name", text("The image's name, without tag and digest.")),
            ("newName?", text("What the name becomes.")),
            ("tag?", text("What the tag becomes.")),
            ("digest?", text("What the digest becomes.")),
        ],
    );
    let proposal = object(
        "Where it was handed back.",
        &[
            ("branch", text("The branch.")),
            ("commit", text("The full commit that was proposed.")),
            ("url?", text("The page of the merge request.")),
        ],
    );
    let parameters =
        json!({"type": "object", "description": "Other parameters.", "additionalProperties": true});
    let fields = [
        ("component", text("The component.")),
        ("repo?", text("Another repository.")),
        ("revision?", text("Another revision.")),
        ("parameters?", parameters),
        ("images?", list(image)),
        ("expires?", text("From when on it does not count (RFC 3339).")),
        ("reason?", text("Why.")),
        ("proposal?", proposal),
        ("active", flag("Whether it counts.")),
        ("commit?", text("The commit that runs because of it.")),
        ("conflict?", text("Why its branch runs without what has come upstream since, and what to do.")),
    ];
    object("A deviation of one component.", &fields)
}

fn fidelity_view() -> Value {
    let drift = object(
        "What somebody has changed in the cluster, past Git.",
        &[("left", list(shape("DriftedField"))), ("right", list(shape("DriftedField")))],
    );
    let fields = [
        ("environment", shape("EnvironmentKey")),
        ("against", shape("EnvironmentKey")),
        ("leftRelease", text("What the left runs: that which it is compared with.")),
        ("rightRelease", text("What the right runs.")),
        ("total", number("All fields of both sides.")),
        ("identical", number("Those that are equal.")),
        ("declared", number("Those that differ for a declared reason.")),
        ("undeclared", number("Those that differ, and nobody has said why.")),
        ("score", json!({"type": "number", "description": "Which part of all fields is identical."})),
        ("differences", list(shape("FidelityDifference"))),
        ("drift", drift),
    ];
    object("How far an environment is from another one.", &fields)
}

pub(super) fn class() -> Value {
    one_of("Why they differ.", &["identity", "rule", "override", "standIn", "undeclared"])
}

fn fidelity_difference() -> Value {
    let fields = [
        ("object", shape("ObjectRef")),
        ("path", text("The field, as Kubernetes prints it; empty for the whole object.")),
        ("class", class()),
        ("rule", text("Which rule, override or stand-in; empty where nobody has said why.")),
        ("left?", any("The value on the left.")),
        ("right?", any("The value on the right.")),
    ];
    object("A field in which two environments differ.", &fields)
}

fn drifted_field() -> Value {
    let mut schema = field_change();
    schema["description"] = "A field that somebody has changed in the cluster.".into();
    schema["properties"]["object"] = shape("ObjectRef");
    if let Some(required) = schema["required"].as_array_mut() {
        required.push("object".into());
    }
    schema
}

fn proposed() -> Value {
    let fields = [
        ("component", text("The component.")),
        ("repo", text("Where it was pushed.")),
        ("branch", text("The branch that waits to be merged.")),
        ("base", text("The branch that it is meant for.")),
        ("commit", text("Its commit: the merge of both.")),
        ("unchanged", flag("Whether the branch had this content already.")),
    ];
    object("What was pushed.", &fields)
}

fn effect() -> Value {
    let fields = [
        ("environment", shape("EnvironmentKey")),
        ("objects", list(shape("PlannedObject"))),
        ("error?", text("Why that is not known.")),
    ];
    object("What a proposal would change in an environment.", &fields)
}
