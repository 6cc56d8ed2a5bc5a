//! The entries of `metadata.managedFields`.

use crate::Error;
use crate::fieldset::FieldSet;
use serde_json::{Map, Value};

/// How many managers with operation Update an object keeps; older ones are merged.
const MAX_UPDATERS: usize = 10;
/// The manager that older updates are merged into.
const OLD_UPDATES: &str = "ancient-changes";

/// One manager's fields.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) id: Id,
    pub(super) api_version: String,
    /// RFC 3339; absent for an apply that changed nothing.
    pub(super) time: Option<String>,
    pub(super) fields: FieldSet,
}

/// What makes two entries one: for Update also the version.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Id {
    pub(super) manager: String,
    pub(super) apply: bool,
    /// Empty for Apply.
    pub(super) version: String,
    pub(super) subresource: String,
}

impl Id {
    pub(super) fn apply(manager: &str, subresource: &str) -> Id {
        Id {
            manager: manager.to_owned(),
            apply: true,
            version: String::new(),
            subresource: subresource.to_owned(),
        }
    }

    pub(super) fn update(manager: &str, version: &str, subresource: &str) -> Id {
        Id {
            manager: manager.to_owned(),
            apply: false,
            version: version.to_owned(),
            subresource: subresource.to_owned(),
        }
    }

    pub(super) fn operation(&self) -> &'static str {
        if self.apply { "Apply" } else { "Update" }
    }
}

/// All entries of an object; no two have one identity.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Entries(pub(super) Vec<Entry>);

impl Entries {
    /// Reads the entries of an object; none is no error.
    pub(super) fn read(object: &Value) -> Result<Entries, Error> {
        let list = match object.pointer("/metadata/managedFields") {
            None | Some(Value::Null) => return Ok(Entries::default()),
            Some(Value::Array(list)) => list,
            Some(_) => return Err(Error::ManagedFields("must be a list".to_owned())),
        };
        let mut entries = Entries::default();
        for (index, entry) in list.iter().enumerate() {
            entries.put(read_entry(index, entry)?);
        }
        Ok(entries)
    }

    /// Whether the object asks for its managedFields to be reset: an empty list, or one empty entry.
    pub(super) fn asks_for_reset(object: &Value) -> bool {
        match object.pointer("/metadata/managedFields") {
            Some(Value::Array(list)) => match list.as_slice() {
                [] => true,
                [Value::Object(entry)] => entry.values().all(|value| value.is_null() || value == ""),
                _ => false,
            },
            _ => false,
        }
    }

    pub(super) fn get(&self, id: &Id) -> Option<&Entry> {
        self.0.iter().find(|entry| entry.id == *id)
    }

    /// Adds the entry, or replaces the one with its identity.
    pub(super) fn put(&mut self, entry: Entry) {
        match self.0.iter_mut().find(|other| other.id == entry.id) {
            Some(other) => *other = entry,
            None => self.0.push(entry),
        }
    }

    pub(super) fn drop_empty(&mut self) {
        self.0.retain(|entry| !entry.fields.is_empty());
    }

    /// Merges the oldest updates of each version into one entry, until there are few enough.
    pub(super) fn cap_updaters(&mut self) {
        let mut updaters: Vec<Id> = self.0.iter().filter(|e| !e.id.apply).map(|e| e.id.clone()).collect();
        let mut count = updaters.len();
        if count <= MAX_UPDATERS {
            return;
        }
        let time = |entries: &Entries, id: &Id| entries.get(id).and_then(|entry| entry.time.clone());
        updaters.sort_by(|a, b| time(self, a).cmp(&time(self, b)).then_with(|| a.cmp(b)));
        // The first of each version stays as it is until a second one joins it.
        let mut first: Vec<Id> = Vec::new();
        for id in updaters {
            if count <= MAX_UPDATERS {
                break;
            }
            let Some(other) = first.iter().find(|other| other.version == id.version).cloned() else {
                first.push(id);
                continue;
            };
            let bucket = Id::update(OLD_UPDATES, &id.version, "");
            if self.get(&bucket).is_none()
                && let Some(entry) = self.0.iter_mut().find(|entry| entry.id == other)
            {
                entry.id = bucket.clone();
            }
            if id == bucket {
                continue;
            }
            let Some(entry) = self.take(&id) else { continue };
            if let Some(bucket) = self.0.iter_mut().find(|entry| entry.id == bucket) {
                bucket.fields.extend(&entry.fields);
                bucket.time = entry.time;
            }
            count -= 1;
        }
    }

    pub(super) fn take(&mut self, id: &Id) -> Option<Entry> {
        let index = self.0.iter().position(|entry| entry.id == *id)?;
        Some(self.0.remove(index))
    }

    /// Writes the entries into the object: applies first, then by time, name, version and subresource.
    pub(super) fn write(mut self, object: &mut Value) {
        self.0.sort_by(|a, b| {
            (
                a.id.operation(),
                a.time.as_deref().unwrap_or(""),
                &a.id.manager,
                &a.api_version,
                &a.id.subresource,
            )
                .cmp(&(
                    b.id.operation(),
                    b.time.as_deref().unwrap_or(""),
                    &b.id.manager,
                    &b.api_version,
                    &b.id.subresource,
                ))
        });
        let list: Vec<Value> = self.0.iter().map(write_entry).collect();
        let Some(object) = object.as_object_mut() else { return };
        if list.is_empty() {
            if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
                metadata.remove("managedFields");
            }
            return;
        }
        let metadata = object.entry("metadata").or_insert_with(|| Value::Object(Map::new()));
        if !metadata.is_object() {
            *metadata = Value::Object(Map::new());
        }
        metadata["managedFields"] = Value::Array(list);
    }

    /// Equal but for the times.
    pub(super) fn same_fields(&self, other: &Entries) -> bool {
        self.0.len() == other.0.len()
            && self.0.iter().all(|entry| {
                other.get(&entry.id).is_some_and(|other| {
                    other.api_version == entry.api_version && other.fields == entry.fields
                })
            })
    }
}

fn read_entry(index: usize, entry: &Value) -> Result<Entry, Error> {
    let text = |name: &str| entry.get(name).and_then(Value::as_str).unwrap_or_default();
    let apply = match text("operation") {
        "Apply" => true,
        "Update" => false,
        _ => return Err(Error::ManagedFields("operation must be `Apply` or `Update`".to_owned())),
    };
    let api_version = text("apiVersion");
    if api_version.is_empty() {
        return Err(Error::ManagedFields("apiVersion must not be empty".to_owned()));
    }
    match text("fieldsType") {
        "FieldsV1" => {}
        "" => {
            return Err(Error::ManagedFields(format!("missing fieldsType in managed fields entry {index}")));
        }
        other => {
            return Err(Error::ManagedFields(format!(
                "invalid fieldsType {other:?} in managed fields entry {index}"
            )));
        }
    }
    let id = if apply {
        Id::apply(text("manager"), text("subresource"))
    } else {
        Id::update(text("manager"), api_version, text("subresource"))
    };
    let fields = match entry.get("fieldsV1") {
        None | Some(Value::Null) => FieldSet::new(),
        Some(fields) => FieldSet::from_fields_v1(fields)?,
    };
    let time = Some(text("time").to_owned()).filter(|time| !time.is_empty());
    Ok(Entry { id, api_version: api_version.to_owned(), time, fields })
}

fn write_entry(entry: &Entry) -> Value {
    let mut map = Map::new();
    let mut put = |name: &str, value: &str| {
        if !value.is_empty() {
            map.insert(name.to_owned(), value.into());
        }
    };
    put("manager", &entry.id.manager);
    put("operation", entry.id.operation());
    put("apiVersion", &entry.api_version);
    put("time", entry.time.as_deref().unwrap_or_default());
    put("fieldsType", "FieldsV1");
    put("subresource", &entry.id.subresource);
    map.insert("fieldsV1".to_owned(), entry.fields.to_fields_v1());
    Value::Object(map)
}
