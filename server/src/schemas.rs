//! The shapes of `seaway_sync` in the API's document. A test holds them against the types, field by field.

mod copies;

pub(crate) use copies::{
    copy_ref, environment_key_ref, list_of_effects, list_of_overrides, list_of_usages, proposed_ref,
};

use serde_json::{Value, json};
use utoipa::openapi::Ref;
use utoipa::openapi::schema::{ArrayBuilder, Schema};

const TRIGGERS: [&str; 5] = ["release", "drift", "person", "rollback", "retry"];
const OUTCOMES: [&str; 5] = ["running", "succeeded", "failed", "superseded", "cancelled"];

/// What an environment is for.
pub(crate) const CLASSES: [&str; 4] = ["production", "staging", "preview", "personal"];
/// Whether what runs is what Git says.
pub(crate) const SYNC_STATUSES: [&str; 3] = ["Synced", "OutOfSync", "Unknown"];
/// How well something runs, from best to worst.
pub(crate) const HEALTH_STATUSES: [&str; 6] =
    ["Healthy", "Suspended", "Progressing", "Missing", "Degraded", "Unknown"];

/// Every shape by its name.
pub(crate) fn all() -> Vec<(&'static str, Value)> {
    let mut all = vec![
        ("EnvironmentKey", environment_key()),
        ("EnvironmentView", environment_view()),
        ("EnvironmentDetail", environment_detail()),
        ("Deployed", deployed()),
        ("LinkView", link_view()),
        ("ObjectRef", object_ref()),
        ("ObjectView", object_view()),
        ("Release", release()),
        ("ReleaseComponent", release_component()),
        ("Hold", hold()),
        ("Plan", plan()),
        ("PlannedObject", planned_object()),
        ("FieldChange", field_change()),
        ("Owner", owner()),
        ("Origin", origin()),
        ("SyncRecord", sync_record()),
        ("CommitView", commit_view()),
        ("ObjectOutcome", object_outcome()),
        ("WaveTiming", wave_timing()),
        ("Progress", progress()),
        ("Timeline", timeline()),
        ("Step", step()),
        ("HealthStatus", health_status()),
        ("SyncStatus", sync_status()),
        ("Action", action()),
        ("Event", event()),
    ];
    all.extend(copies::all());
    all
}

fn list_of(name: &str) -> Schema {
    Schema::Array(ArrayBuilder::new().items(Ref::from_schema_name(name)).build())
}

pub(crate) fn list_of_environments() -> Schema {
    list_of("EnvironmentView")
}

pub(crate) fn list_of_holds() -> Schema {
    list_of("Hold")
}

pub(crate) fn list_of_events() -> Schema {
    list_of("Event")
}

pub(crate) fn list_of_objects() -> Schema {
    list_of("ObjectRef")
}

pub(crate) fn list_of_syncs() -> Schema {
    list_of("SyncRecord")
}

pub(crate) fn list_of_changes() -> Schema {
    list_of("FieldChange")
}

pub(crate) fn health_ref() -> Ref {
    Ref::from_schema_name("HealthStatus")
}

pub(crate) fn action_ref() -> Ref {
    Ref::from_schema_name("Action")
}

pub(crate) fn sync_status_ref() -> Ref {
    Ref::from_schema_name("SyncStatus")
}

pub(crate) fn operation() -> Schema {
    use utoipa::openapi::schema::{ObjectBuilder, Type};
    Schema::Object(
        ObjectBuilder::new().schema_type(Type::String).enum_values(Some(["Apply", "Update"])).build(),
    )
}

pub(crate) fn object_ref_schema() -> Ref {
    Ref::from_schema_name("ObjectRef")
}

pub(crate) fn origin_ref() -> Ref {
    Ref::from_schema_name("Origin")
}

pub(crate) fn trigger_ref() -> Schema {
    one_of_schema(&TRIGGERS)
}

pub(crate) fn outcome_ref() -> Schema {
    one_of_schema(&OUTCOMES)
}

/// The schemas of filters, whose descriptions `utoipa` takes from nowhere else.
pub(crate) fn class_schema() -> Schema {
    described(one_of_schema(&CLASSES), "Those of this class, in any case.")
}

pub(crate) fn sync_status_schema() -> Schema {
    described(one_of_schema(&SYNC_STATUSES), "Those in this state, in any case.")
}

pub(crate) fn health_schema() -> Schema {
    described(one_of_schema(&HEALTH_STATUSES), "Those in this health, in any case.")
}

fn described(schema: Schema, description: &str) -> Schema {
    match schema {
        Schema::Object(mut schema) => {
            schema.description = Some(description.to_owned());
            Schema::Object(schema)
        }
        schema => schema,
    }
}

fn one_of_schema(values: &'static [&'static str]) -> Schema {
    use utoipa::openapi::schema::{ObjectBuilder, Type};
    let values = Some(values.iter().copied());
    Schema::Object(ObjectBuilder::new().schema_type(Type::String).enum_values(values).build())
}

pub(crate) fn sync() -> Ref {
    Ref::from_schema_name("SyncRecord")
}

/// An object whose fields are all there, except those whose name ends with `?`.
fn object(description: &str, fields: &[(&str, Value)]) -> Value {
    let name = |field: &str| field.trim_end_matches('?').to_owned();
    let required: Vec<String> =
        fields.iter().filter(|(field, _)| !field.ends_with('?')).map(|(field, _)| name(field)).collect();
    let properties: serde_json::Map<String, Value> =
        fields.iter().map(|(field, schema)| (name(field), schema.clone())).collect();
    json!({"type": "object", "description": description, "required": required, "properties": properties})
}

fn text(description: &str) -> Value {
    json!({"type": "string", "description": description})
}

fn maybe_text(description: &str) -> Value {
    json!({"type": ["string", "null"], "description": description})
}

fn time(description: &str) -> Value {
    json!({"type": "string", "format": "date-time", "description": description})
}

fn number(description: &str) -> Value {
    json!({"type": "integer", "format": "int64", "description": description})
}

fn flag(description: &str) -> Value {
    json!({"type": "boolean", "description": description})
}

fn one_of(description: &str, values: &[&str]) -> Value {
    json!({"type": "string", "description": description, "enum": values})
}

fn shape(name: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{name}")})
}

fn maybe(name: &str) -> Value {
    json!({"oneOf": [{"type": "null"}, shape(name)]})
}

fn list(items: Value) -> Value {
    json!({"type": "array", "items": items})
}

fn any(description: &str) -> Value {
    json!({"description": description})
}

fn sync_status() -> Value {
    one_of("Whether what runs is what Git says.", &SYNC_STATUSES)
}

fn health_status() -> Value {
    one_of("How well it runs.", &HEALTH_STATUSES)
}

fn action() -> Value {
    let values = ["create", "change", "unchanged", "prune", "conflict", "forbidden", "invalid", "hook"];
    one_of("What happens to it.", &values)
}

fn phase() -> Value {
    one_of("When, within its component.", &["before", "sync", "after", "failure"])
}

fn outcome() -> Value {
    one_of("How it ended.", &OUTCOMES)
}

fn environment_key() -> Value {
    let fields = [("namespace", text("Namespace of the Environment.")), ("name", text("Its name."))];
    object("Which environment.", &fields)
}

fn summary() -> Vec<(&'static str, Value)> {
    vec![
        ("name", text("Name.")),
        ("namespace", text("Namespace of the Environment.")),
        ("class", one_of("What it is for.", &CLASSES)),
        ("stack", text("The stack.")),
        ("release", maybe_text("What was last applied as a whole.")),
        ("revision", maybe_text("Its commits, shortened.")),
        ("sync", sync_status()),
        ("health", health_status()),
        ("message", text("What a person should know first.")),
        ("copyOf?", text("What it is a copy of, as NAMESPACE/NAME.")),
        ("owner?", text("The person whose it is.")),
        ("expires?", text("From when on it is deleted (RFC 3339).")),
        ("deployed?", shape("Deployed")),
    ]
}

fn environment_view() -> Value {
    object("An environment in the list.", &summary())
}

fn environment_detail() -> Value {
    let mut fields = summary();
    fields.extend([
        ("current", maybe("Release")),
        ("suspended", flag("Whether somebody has suspended it.")),
        ("holds", list(shape("Hold"))),
        ("plan", shape("Plan")),
        ("objects", list(shape("ObjectView"))),
        ("lastSync", maybe("SyncRecord")),
        ("copy?", shape("CopyView")),
        ("overrides?", list(shape("OverrideView"))),
        ("links?", list(shape("LinkView"))),
    ]);
    object("Everything about an environment.", &fields)
}

fn deployed() -> Value {
    let fields = [
        ("time", time("When that was done.")),
        ("actor", text("Who asked: a person, or seaway, which follows Git.")),
        ("author?", text("Who wrote the newest commit that came.")),
        ("subject?", text("First line of that commit's message.")),
    ];
    object("Who brought what runs, and when.", &fields)
}

fn link_view() -> Value {
    let fields = [
        ("name", text("What is there.")),
        ("component?", text("The component that it is about; absent: all of them.")),
        ("url", text("Http or https.")),
    ];
    object("A page elsewhere about an environment: a link of its stack.", &fields)
}

fn object_ref() -> Value {
    let fields = [
        ("group", text("API group, empty for the core group.")),
        ("version", text("Version.")),
        ("kind", text("Kind.")),
        ("namespace?", text("Namespace; absent for what is not in one.")),
        ("name", text("Name.")),
    ];
    object("A Kubernetes object.", &fields)
}

fn object_view() -> Value {
    let fields = [
        ("object", shape("ObjectRef")),
        ("sync", sync_status()),
        ("health", health_status()),
        ("message?", text("Why.")),
    ];
    object("An object of an environment.", &fields)
}

fn release() -> Value {
    let images = json!({"type": "object", "description": "Images with their digest; null: known by the tag only.",
        "additionalProperties": {"type": ["string", "null"]}});
    let fields = [
        ("stack", text("The stack's name.")),
        ("spec", text("Hash of the stack's spec.")),
        ("components", list(shape("ReleaseComponent"))),
        ("images", images),
    ];
    object("Everything that decides what runs.", &fields)
}

fn release_component() -> Value {
    let parameters =
        json!({"type": "object", "description": "What it was rendered with.", "additionalProperties": {}});
    let remotes = json!({"type": "object", "description": "Remote bases, with the commit each.",
        "additionalProperties": {"type": "string"}});
    let fields = [
        ("name", text("The component.")),
        ("repo", text("Its repository.")),
        ("commit", text("The full commit.")),
        ("path", text("The directory.")),
        ("parameters?", parameters),
        ("remotes?", remotes),
    ];
    object("What one component runs.", &fields)
}

fn hold() -> Value {
    let fields = [
        ("release", text("The release.")),
        ("content", text("Digest of its objects.")),
        ("instead?", text("What runs in its place; absent: the last good one.")),
        ("actor", text("Who asked.")),
        ("time", time("Since when.")),
        ("reason?", text("Why.")),
    ];
    object("A release that is not deployed again until a person lifts the hold.", &fields)
}

fn plan() -> Value {
    let fields = [
        ("objects", list(shape("PlannedObject"))),
        ("blocked?", text("Why nothing is done at all.")),
        (
            "unasked?",
            flag(
                "Whether the cluster was not asked, as before the first sync: it may refuse more than is said.",
            ),
        ),
    ];
    object("What a sync would do.", &fields)
}

fn planned_object() -> Value {
    let fields = [
        ("object", shape("ObjectRef")),
        ("action", action()),
        ("component?", text("The component; absent for an object that is pruned.")),
        ("origin?", shape("Origin")),
        ("phase", phase()),
        ("wave", json!({"type": "integer", "format": "int32", "description": "The wave."})),
        ("fields?", list(shape("FieldChange"))),
        ("message?", text("Why, and what to do.")),
        ("heldBack?", flag("Whether it is shown, but not done.")),
    ];
    object("An object with what is done to it.", &fields)
}

fn field_change() -> Value {
    let fields = [
        ("path", text("The field, as Kubernetes prints it.")),
        ("from?", any("Today's value; absent: there is none. Values of secrets are never shown.")),
        ("to?", any("The value in Git; absent: there is none.")),
        ("owner?", shape("Owner")),
        ("drift", flag("Whether it was changed in the cluster, and not in Git.")),
    ];
    object("A field that changes.", &fields)
}

fn owner() -> Value {
    let fields = [
        ("manager", text("The field manager, such as kubectl-edit.")),
        ("operation", one_of("How it came to own the field.", &["Apply", "Update"])),
        ("time?", text("Since when (RFC 3339).")),
    ];
    object("Who owns a field.", &fields)
}

fn origin() -> Value {
    let fields = [
        ("file", text("The file, from the repository's root.")),
        ("line", number("The line, from 1; 0 when it is not known.")),
    ];
    object("Where an object is written.", &fields)
}

fn sync_record() -> Value {
    let fields = [
        ("id", number("Rising within an environment.")),
        ("release", text("The release.")),
        ("revision", text("Its commits, shortened.")),
        ("content", text("Digest of its objects.")),
        ("definition", shape("Release")),
        ("actor", text("Who asked: a person, or seaway.")),
        ("trigger", trigger()),
        ("partial?", flag("Whether only chosen objects were synced.")),
        ("attempts", number("How often it was tried.")),
        ("started", time("When.")),
        ("finished?", time("When it ended.")),
        ("outcome", outcome()),
        ("message?", text("What a person should know.")),
        ("commits?", list(shape("CommitView"))),
        ("objects?", list(shape("ObjectOutcome"))),
        ("waves?", list(shape("WaveTiming"))),
        ("steps?", list(shape("Step"))),
    ];
    object("One sync.", &fields)
}

fn timeline() -> Value {
    let fields = [
        ("sync", number("Id of the sync.")),
        ("release", text("The release.")),
        ("revision", text("Its commits, shortened.")),
        ("actor", text("Who asked: a person, or seaway.")),
        ("trigger", trigger()),
        ("outcome", outcome()),
        ("started", time("When.")),
        ("finished?", time("When it ended.")),
        ("message?", text("What a person should know.")),
        ("expectedMilliseconds?", number("How long the last one that went well took.")),
        ("commits", list(shape("CommitView"))),
        ("steps", list(shape("Step"))),
    ];
    object("One sync with its steps, while it goes on and afterwards.", &fields)
}

fn step() -> Value {
    let kinds = ["fetch", "render", "instead", "plan", "wave", "object", "pod", "podStep", "prune"];
    let states = ["waiting", "running", "succeeded", "failed", "cancelled"];
    let fields = [
        ("id", text("Unique within a sync, and the same in each sync that does the same.")),
        ("parent?", text("The step that it is a part of.")),
        ("title", text("For people.")),
        ("kind", one_of("What kind of work.", &kinds)),
        ("object?", shape("ObjectRef")),
        ("state", one_of("How far it is.", &states)),
        ("started?", time("When it began.")),
        ("finished?", time("When it ended.")),
        ("message?", text("What was found, what is waited for, or what went wrong.")),
        ("expectedMilliseconds?", number("How long it took the last time that it went well.")),
    ];
    object("One step of a sync.", &fields)
}

fn trigger() -> Value {
    one_of("Why it began.", &TRIGGERS)
}

fn commit_view() -> Value {
    let fields = [
        ("component", text("The component.")),
        ("commit", text("The full commit.")),
        ("author", text("Who wrote it, as the commit says.")),
        ("email", text("Their mail address, as the commit says.")),
        ("time", time("When it was written.")),
        ("subject", text("First line of the message.")),
    ];
    object("A commit that a sync brought.", &fields)
}

fn object_outcome() -> Value {
    let fields = [
        ("object", shape("ObjectRef")),
        ("action", action()),
        ("fields?", list(text("A field that was changed; values are not kept."))),
        ("revertedFrom?", list(text("Who had changed fields in the cluster."))),
        ("milliseconds", number("How long the request took.")),
        ("error?", text("What the API said, if it refused.")),
    ];
    object("What a sync did to an object.", &fields)
}

fn wave_timing() -> Value {
    let fields = [
        ("component", text("The component.")),
        ("phase", phase()),
        ("wave", json!({"type": "integer", "format": "int32", "description": "The wave."})),
        ("milliseconds", number("From its first request to its health.")),
        ("waitedFor?", text("What was waited for last.")),
    ];
    object("How long a wave took.", &fields)
}

fn progress() -> Value {
    let fields = [
        ("environment", shape("EnvironmentKey")),
        ("time", time("When.")),
        ("sync?", number("The sync, once there is one.")),
        ("message", text("What, for a person.")),
        ("outcome?", outcome()),
    ];
    object("What is going on in an environment right now.", &fields)
}

fn event() -> Value {
    let fields = [
        ("id", number("Grows with every event, and is never given twice.")),
        ("time", time("When.")),
        ("actor", text("Who.")),
        ("action", text("What was done, such as environment.sync.")),
        ("object", text("To what, such as Environment/seaway/production.")),
        ("release", maybe_text("The release that it was about.")),
        ("outcome", text("How it ended.")),
        ("detail", any("The rest.")),
    ];
    object("What happened.", &fields)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use seaway_sync::plan::Plan;
    use seaway_sync::view::{EnvironmentDetail, Progress};
    use std::collections::BTreeMap;

    /// A value with every field that a schema has.
    fn example(schemas: &BTreeMap<String, Value>, schema: &Value) -> Value {
        if let Some(name) = schema["$ref"].as_str() {
            return example(schemas, &schemas[name.rsplit('/').next().unwrap()]);
        }
        if let Some(options) = schema["oneOf"].as_array() {
            return example(schemas, options.last().unwrap());
        }
        if let Some(first) = schema["enum"][0].as_str() {
            return first.into();
        }
        let of = if schema["type"].is_array() { &schema["type"][0] } else { &schema["type"] };
        match of.as_str() {
            Some("object") if schema["properties"].is_object() => {
                let fields = schema["properties"].as_object().unwrap().iter();
                fields.map(|(name, field)| (name.clone(), example(schemas, field))).collect()
            }
            Some("object") => {
                let inner = example(schemas, &schema["additionalProperties"]);
                json!({"key": inner})
            }
            Some("array") => json!([example(schemas, &schema["items"])]),
            Some("string") if schema["format"] == "date-time" => "2024-01-01T00:00:00Z".into(),
            Some("integer") => 7.into(),
            Some("number") => 0.5.into(),
            Some("boolean") => true.into(),
            Some("string") | None => "text".into(),
            Some(other) => panic!("{other}"),
        }
    }

    fn schemas() -> BTreeMap<String, Value> {
        all().into_iter().map(|(name, schema)| (name.to_owned(), schema)).collect()
    }

    /// What the document promises is what the types say: nothing more, nothing less, and no other values.
    #[test]
    fn the_shapes_are_those_of_the_types() {
        fn check<T: serde::Serialize + serde::de::DeserializeOwned>(name: &str) {
            let schemas = schemas();
            let full = example(&schemas, &schemas[name]);
            let typed: T =
                serde_json::from_value(full.clone()).unwrap_or_else(|e| panic!("{name}: {e}: {full}"));
            assert_eq!(serde_json::to_value(typed).unwrap(), full, "{name}");
        }
        check::<EnvironmentDetail>("EnvironmentDetail");
        check::<seaway_sync::view::EnvironmentView>("EnvironmentView");
        check::<Plan>("Plan");
        check::<seaway_sync::view::CopyView>("CopyView");
        check::<seaway_sync::view::OverrideView>("OverrideView");
        check::<seaway_sync::view::FidelityView>("FidelityView");
        check::<seaway_sync::proposal::Proposed>("Proposed");
        check::<seaway_sync::proposal::Effect>("Effect");
        check::<seaway_sync::CopyUsage>("CopyUsage");
        check::<seaway_sync::view::SyncRecord>("SyncRecord");
        check::<Progress>("Progress");
        check::<seaway_sync::view::Timeline>("Timeline");
        check::<seaway_sync::steps::Step>("Step");
        check::<seaway_ledger::Event>("Event");
    }

    #[test]
    fn every_value_of_an_enumeration_is_known() {
        fn check<T: serde::Serialize + serde::de::DeserializeOwned>(schema: Value) {
            for value in schema["enum"].as_array().unwrap() {
                let typed: T = serde_json::from_value(value.clone()).unwrap();
                assert_eq!(&serde_json::to_value(typed).unwrap(), value);
            }
            // What serde lists when it knows none of them is all there is.
            let error = serde_json::from_value::<T>("?".into()).err().unwrap().to_string();
            assert_eq!(
                error.matches('`').count() / 2 - 1,
                schema["enum"].as_array().unwrap().len(),
                "{error}"
            );
        }
        check::<seaway_sync::view::SyncStatus>(sync_status());
        check::<seaway_sync::HealthStatus>(health_status());
        check::<seaway_sync::plan::Action>(action());
        check::<seaway_sync::options::Phase>(phase());
        check::<seaway_sync::view::Outcome>(outcome());
        check::<seaway_sync::steps::StepKind>(step()["properties"]["kind"].clone());
        check::<seaway_sync::steps::StepState>(step()["properties"]["state"].clone());
        check::<seaway_sync::view::Trigger>(sync_record()["properties"]["trigger"].clone());
        check::<seaway_environments::Class>(copies::class());
        check::<seaway_sync::ownership::Operation>(owner()["properties"]["operation"].clone());
    }

    #[test]
    fn every_reference_of_the_document_leads_somewhere() {
        let document = crate::document();
        let text = document.to_string();
        for reference in text.split("#/components/schemas/").skip(1) {
            let name = reference.split('"').next().unwrap();
            assert!(document["components"]["schemas"][name].is_object(), "{name}");
        }
    }
}
