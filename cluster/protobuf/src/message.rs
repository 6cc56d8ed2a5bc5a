//! Messages into JSON.

use crate::MEDIA_TYPE;
use crate::error::{Error, Fault, Problem};
use crate::facts::{Facts, Field, Type};
use crate::wire::{Reader, Wire};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde_json::map::Entry;
use serde_json::{Map, Number, Value};

const MAGIC: &[u8] = b"k8s\0";

/// Messages inside messages. The deepest kind has about twenty; what is recursive is rarely deeper.
const MAX_DEPTH: usize = 64;

/// Values in one object. Two bytes on the wire are enough for one, so the length alone is no limit of the memory.
const MAX_VALUES: usize = 500_000;

/// Reads one body.
#[derive(Debug, Default)]
pub(crate) struct Decoder {
    depth: usize,
    values: usize,
}

impl Decoder {
    /// `k8s\0`, then `runtime.Unknown {typeMeta {apiVersion, kind}, raw, contentEncoding, contentType}`.
    pub(crate) fn envelope(&mut self, body: &[u8]) -> Result<Value, Error> {
        let body = body.strip_prefix(MAGIC).ok_or(Error::NoEnvelope)?;
        let unknown = Unknown::read(body)
            .map_err(|problem| Error::from(Fault::from(problem).inside(|| "(envelope)".to_owned())))?;
        if unknown.api_version.is_empty() || unknown.kind.is_empty() {
            return Err(Error::NoType);
        }
        if !unknown.encoding.is_empty() {
            return Err(Error::Encoding(unknown.encoding.to_owned()));
        }
        let mut object = Map::new();
        match unknown.content_type {
            "" | MEDIA_TYPE => {
                let message = Facts::get().kind(unknown.api_version, unknown.kind);
                let message = message.ok_or_else(|| Error::UnknownKind {
                    api_version: unknown.api_version.to_owned(),
                    kind: unknown.kind.to_owned(),
                })?;
                self.message(message, unknown.raw, &mut object)?;
            }
            "application/json" => match serde_json::from_slice(unknown.raw) {
                Ok(Value::Object(read)) => object = read,
                _ => return Err(Fault::from(Problem::Json).into()),
            },
            other => return Err(Error::Encoding(other.to_owned())),
        }
        object.insert("apiVersion".to_owned(), unknown.api_version.into());
        object.insert("kind".to_owned(), unknown.kind.into());
        Ok(Value::Object(object))
    }

    /// The fields of a message, into an object that may have some already: messages that come twice are merged.
    fn message(
        &mut self,
        message: usize,
        bytes: &[u8],
        object: &mut Map<String, Value>,
    ) -> Result<(), Fault> {
        // Its number is from the facts themselves: it is there.
        let Some(fields) = Facts::get().message(message) else { return Ok(()) };
        if self.depth >= MAX_DEPTH {
            return Err(Problem::Depth.into());
        }
        self.depth += 1;
        let mut reader = Reader::new(bytes);
        while let Some((number, wire)) = reader.field()? {
            if let Some(field) = fields.get(&number) {
                self.field(field, wire, object).map_err(|fault| fault.inside(|| field.name.clone()))?;
            }
        }
        self.depth -= 1;
        Ok(())
    }

    fn field(&mut self, field: &Field, wire: Wire<'_>, object: &mut Map<String, Value>) -> Result<(), Fault> {
        let (ty, pointer) = match &field.ty {
            Type::Pointer(ty) => (ty.as_ref(), true),
            ty => (ty, false),
        };
        match ty {
            Type::List(element) => self.element(element, wire, list(object, &field.name)),
            Type::Map(element) => self.entry(element, wire, map(object, &field.name)),
            Type::Message(message) if field.name.is_empty() => self.message(*message, wire.bytes()?, object),
            Type::Message(message) => {
                self.count()?;
                self.message(*message, wire.bytes()?, map(object, &field.name))?;
                if field.omit_zero && !pointer && map(object, &field.name).is_empty() {
                    object.remove(&field.name);
                }
                Ok(())
            }
            ty => {
                let value = self.value(ty, wire)?;
                // A text, number or list that is zero; a quantity of zero is a struct to Go, and stays.
                let zero = match (&value, ty) {
                    (Value::Null, _) => true,
                    _ if pointer || !field.omit_empty => false,
                    (Value::String(text), Type::String | Type::Bytes) => text.is_empty(),
                    (Value::Bool(value), _) => !value,
                    (Value::Number(number), Type::Int32 | Type::Int64 | Type::Float64) => {
                        number.as_f64() == Some(0.0)
                    }
                    (Value::Array(items), _) => items.is_empty(),
                    _ => false,
                };
                if zero {
                    object.remove(&field.name);
                } else {
                    object.insert(field.name.clone(), value);
                }
                Ok(())
            }
        }
    }

    /// One element of a list, or several numbers in one piece (packed).
    fn element(&mut self, element: &Type, wire: Wire<'_>, items: &mut Vec<Value>) -> Result<(), Fault> {
        if let (Type::Bool | Type::Int32 | Type::Int64 | Type::Float64, Wire::Bytes(bytes)) = (element, wire)
        {
            let mut reader = Reader::new(bytes);
            while !reader.is_empty() {
                let wire = match element {
                    Type::Float64 => Wire::Fixed64(u64::from_le_bytes(reader.array()?)),
                    _ => Wire::Varint(reader.varint()?),
                };
                items.push(self.value(element, wire)?);
            }
            return Ok(());
        }
        let value =
            self.value(element, wire).map_err(|fault| fault.inside(|| format!("[{}]", items.len())))?;
        items.push(value);
        Ok(())
    }

    /// One entry of a map: a message with key and value, either of which may be missing.
    fn entry(
        &mut self,
        element: &Type,
        wire: Wire<'_>,
        entries: &mut Map<String, Value>,
    ) -> Result<(), Fault> {
        let mut reader = Reader::new(wire.bytes()?);
        let (mut key, mut value) = ("", None);
        while let Some((number, wire)) = reader.field()? {
            match number {
                1 => key = wire.text()?,
                2 => value = Some(wire),
                _ => {}
            }
        }
        let value = match value {
            Some(wire) => wire,
            None if matches!(element, Type::Bool | Type::Int32 | Type::Int64) => Wire::Varint(0),
            None if matches!(element, Type::Float64) => Wire::Fixed64(0),
            None => Wire::Bytes(&[]),
        };
        let value = self.value(element, value).map_err(|fault| fault.inside(|| format!("[{key}]")))?;
        entries.insert(key.to_owned(), value);
        Ok(())
    }

    fn value(&mut self, ty: &Type, wire: Wire<'_>) -> Result<Value, Fault> {
        self.count()?;
        Ok(match ty {
            Type::Bool => (wire.varint()? != 0).into(),
            // As Go does: the upper half of a 32-bit number does not count.
            Type::Int32 => (wire.varint()? as i32).into(),
            Type::Int64 => (wire.varint()? as i64).into(),
            Type::Float64 => {
                let number = Number::from_f64(f64::from_bits(wire.fixed64()?)).ok_or(Problem::Number)?;
                Value::Number(number)
            }
            Type::String => wire.text()?.into(),
            Type::Bytes => STANDARD.encode(wire.bytes()?).into(),
            Type::Time => time(wire.bytes()?, "%Y-%m-%dT%H:%M:%SZ")?,
            Type::MicroTime => time(wire.bytes()?, "%Y-%m-%dT%H:%M:%S.%6fZ")?,
            Type::Quantity => {
                let mut text = "0";
                let mut reader = Reader::new(wire.bytes()?);
                while let Some((number, wire)) = reader.field()? {
                    if number == 1 {
                        text = wire.text()?;
                    }
                }
                text.into()
            }
            Type::IntOrString => {
                let (mut is_text, mut number, mut text) = (false, 0, "");
                let mut reader = Reader::new(wire.bytes()?);
                while let Some((field, wire)) = reader.field()? {
                    match field {
                        1 => is_text = wire.varint()? != 0,
                        2 => number = wire.varint()? as i32,
                        3 => text = wire.text()?,
                        _ => {}
                    }
                }
                if is_text { text.into() } else { number.into() }
            }
            Type::Json => {
                let mut raw: &[u8] = &[];
                let mut reader = Reader::new(wire.bytes()?);
                while let Some((number, wire)) = reader.field()? {
                    if number == 1 {
                        raw = wire.bytes()?;
                    }
                }
                self.embedded(raw)?
            }
            Type::Wrapped(element) => {
                let mut items = Vec::new();
                let mut reader = Reader::new(wire.bytes()?);
                while let Some((number, wire)) = reader.field()? {
                    if number == 1 {
                        self.element(element, wire, &mut items)?;
                    }
                }
                Value::Array(items)
            }
            Type::Pointer(ty) => self.value(ty, wire)?,
            Type::List(element) => {
                let mut items = Vec::new();
                self.element(element, wire, &mut items)?;
                Value::Array(items)
            }
            Type::Map(element) => {
                let mut entries = Map::new();
                self.entry(element, wire, &mut entries)?;
                Value::Object(entries)
            }
            Type::Message(message) => {
                let mut object = Map::new();
                self.message(*message, wire.bytes()?, &mut object)?;
                Value::Object(object)
            }
        })
    }

    /// An object inside an object: JSON, or an envelope of its own.
    fn embedded(&mut self, raw: &[u8]) -> Result<Value, Fault> {
        if raw.is_empty() {
            return Ok(Value::Null);
        }
        if raw.starts_with(MAGIC) {
            if self.depth >= MAX_DEPTH {
                return Err(Problem::Depth.into());
            }
            self.depth += 1;
            let object = self.envelope(raw).map_err(Fault::Envelope)?;
            self.depth -= 1;
            return Ok(object);
        }
        Ok(serde_json::from_slice(raw).map_err(|_| Problem::Json)?)
    }

    fn count(&mut self) -> Result<(), Problem> {
        self.values += 1;
        if self.values > MAX_VALUES { Err(Problem::TooManyValues) } else { Ok(()) }
    }
}

/// The envelope's content.
#[derive(Default)]
struct Unknown<'a> {
    api_version: &'a str,
    kind: &'a str,
    raw: &'a [u8],
    encoding: &'a str,
    content_type: &'a str,
}

impl<'a> Unknown<'a> {
    fn read(bytes: &'a [u8]) -> Result<Unknown<'a>, Problem> {
        let mut unknown = Unknown::default();
        let mut reader = Reader::new(bytes);
        while let Some((number, wire)) = reader.field()? {
            match number {
                1 => {
                    let mut reader = Reader::new(wire.bytes()?);
                    while let Some((number, wire)) = reader.field()? {
                        match number {
                            1 => unknown.api_version = wire.text()?,
                            2 => unknown.kind = wire.text()?,
                            _ => {}
                        }
                    }
                }
                2 => unknown.raw = wire.bytes()?,
                3 => unknown.encoding = wire.text()?,
                4 => unknown.content_type = wire.text()?,
                _ => {}
            }
        }
        Ok(unknown)
    }
}

/// `Timestamp {seconds = 1, nanos = 2}`; one without fields is a time that is not set.
fn time(bytes: &[u8], format: &str) -> Result<Value, Problem> {
    if bytes.is_empty() {
        return Ok(Value::Null);
    }
    let (mut seconds, mut nanos) = (0, 0);
    let mut reader = Reader::new(bytes);
    while let Some((number, wire)) = reader.field()? {
        match number {
            1 => seconds = wire.varint()? as i64,
            2 => nanos = wire.varint()? as i32,
            _ => {}
        }
    }
    let time = Timestamp::new(seconds, nanos).map_err(|_| Problem::Time)?;
    let text = time.strftime(format).to_string();
    // A year before 0 has a sign.
    if text.starts_with('-') { Err(Problem::Time) } else { Ok(text.into()) }
}

/// The object's list of this name, made if it is not there.
fn list<'a>(object: &'a mut Map<String, Value>, name: &str) -> &'a mut Vec<Value> {
    let slot = slot(object, name);
    if !slot.is_array() {
        *slot = Value::Array(Vec::new());
    }
    match slot {
        Value::Array(items) => items,
        _ => unreachable!("it was made a list above"),
    }
}

/// The object's object of this name, made if it is not there.
fn map<'a>(object: &'a mut Map<String, Value>, name: &str) -> &'a mut Map<String, Value> {
    let slot = slot(object, name);
    if !slot.is_object() {
        *slot = Value::Object(Map::new());
    }
    match slot {
        Value::Object(entries) => entries,
        _ => unreachable!("it was made an object above"),
    }
}

fn slot<'a>(object: &'a mut Map<String, Value>, name: &str) -> &'a mut Value {
    match object.entry(name) {
        Entry::Occupied(entry) => entry.into_mut(),
        Entry::Vacant(entry) => entry.insert(Value::Null),
    }
}
