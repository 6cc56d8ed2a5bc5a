//! Running an expression: places in, places out.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::fmt;
use std::rc::Rc;

use serde_json::{Number, Value};

use super::functions::Function;
use super::values::{TEXT_STEP, holds, size, type_name};
use super::{Comparison, Expr, Kind};

/// One part of the way to a place.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Part<'a> {
    Index(usize),
    Field(Cow<'a, str>),
}

impl fmt::Display for Part<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Index(index) => write!(f, "{index}"),
            Self::Field(name) => f.write_str(name),
        }
    }
}

impl Part<'_> {
    /// Bytes of its text.
    fn size(&self) -> usize {
        match self {
            Self::Index(_) => 0,
            Self::Field(name) => name.len(),
        }
    }
}

/// The way to a place, from its end.
struct Way<'a> {
    before: Option<Rc<Way<'a>>>,
    part: Part<'a>,
}

/// A value, and where in the document it lies.
#[derive(Clone)]
struct Place<'a> {
    value: Found<'a>,
    way: Option<Rc<Way<'a>>>,
}

#[derive(Clone)]
enum Found<'a> {
    There(&'a Value),
    /// On the way of a path that leads nowhere, or made.
    Made(Rc<Value>),
}

impl Found<'_> {
    fn get(&self) -> &Value {
        match self {
            Self::There(value) => value,
            Self::Made(value) => value,
        }
    }
}

/// The steps are used up.
pub(super) struct Exhausted;

pub(super) type Outcome<T> = Result<T, Exhausted>;
type Places<'a> = Outcome<Vec<Place<'a>>>;

/// One run.
pub(super) struct Evaluation {
    steps: usize,
}

impl Evaluation {
    pub(super) fn new(steps: usize) -> Self {
        Self { steps }
    }

    /// The ways to all places that are there; `None` when there are not enough steps.
    pub(super) fn paths<'a>(&mut self, expr: &'a Expr, document: &'a Value) -> Option<Vec<Vec<Part<'a>>>> {
        let start = Place { value: Found::There(document), way: None };
        let places = self.run(expr, &start).ok()?;
        let there = places.iter().filter(|place| matches!(place.value, Found::There(_)));
        let mut ways = Vec::new();
        for place in there {
            let (mut parts, mut way) = (Vec::new(), place.way.as_ref());
            while let Some(step) = way {
                self.charge(1 + step.part.size() / TEXT_STEP).ok()?;
                parts.push(step.part.clone());
                way = step.before.as_ref();
            }
            parts.reverse();
            // The object as a whole cannot be left to others.
            ways.extend((!parts.is_empty()).then_some(parts));
        }
        Some(ways)
    }

    pub(super) fn charge(&mut self, steps: usize) -> Outcome<()> {
        self.steps = self.steps.checked_sub(steps).ok_or(Exhausted)?;
        Ok(())
    }

    fn run<'a>(&mut self, expr: &'a Expr, at: &Place<'a>) -> Places<'a> {
        self.charge(1)?;
        match &expr.kind {
            Kind::Identity => Ok(vec![at.clone()]),
            Kind::Recurse => self.recurse(at),
            Kind::Index { of, key } => {
                let keys = self.run(key, at)?;
                let mut found = Vec::new();
                for place in self.run(of, at)? {
                    for key in &keys {
                        found.extend(self.index(&place, key.value.get())?);
                    }
                }
                Ok(found)
            }
            Kind::Each(of) => {
                let mut found = Vec::new();
                for place in self.run(of, at)? {
                    found.extend(self.each(&place)?);
                }
                Ok(found)
            }
            Kind::Literal(value) => {
                self.charge(size(value))?;
                Ok(vec![made(value.clone())])
            }
            Kind::List(items) => {
                let mut values = Vec::new();
                if let Some(items) = items {
                    for item in self.run(items, at)? {
                        values.push(self.copy(item.value.get())?);
                    }
                }
                Ok(vec![made(Value::Array(values))])
            }
            Kind::Pipe(all) => {
                let mut places = vec![at.clone()];
                for expr in all {
                    let mut next = Vec::new();
                    for place in &places {
                        next.extend(self.run(expr, place)?);
                    }
                    places = next;
                }
                Ok(places)
            }
            Kind::Comma(all) => {
                let mut places = Vec::new();
                for expr in all {
                    places.extend(self.run(expr, at)?);
                }
                Ok(places)
            }
            Kind::Alternative(one, other) => {
                let mut places = self.run(one, at)?;
                places.retain(|place| holds(place.value.get()));
                if places.is_empty() { self.run(other, at) } else { Ok(places) }
            }
            Kind::Or(all) => self.junction(all, at, true),
            Kind::And(all) => self.junction(all, at, false),
            Kind::Compare(comparison, one, other) => {
                let (ones, others) = (self.run(one, at)?, self.run(other, at)?);
                let mut found = Vec::new();
                for other in &others {
                    for one in &ones {
                        let order = self.compare(one.value.get(), other.value.get())?;
                        found.push(made(fits(*comparison, order).into()));
                    }
                }
                Ok(found)
            }
            Kind::If(branches, otherwise) => self.choose(branches, otherwise.as_deref(), at),
            Kind::Call(function, arguments) => self.call(function, arguments, at),
        }
    }

    fn choose<'a>(
        &mut self,
        branches: &'a [(Expr, Expr)],
        otherwise: Option<&'a Expr>,
        at: &Place<'a>,
    ) -> Places<'a> {
        let Some(((condition, then), rest)) = branches.split_first() else {
            return match otherwise {
                Some(otherwise) => self.run(otherwise, at),
                None => Ok(vec![at.clone()]),
            };
        };
        let mut found = Vec::new();
        for place in self.run(condition, at)? {
            found.extend(match holds(place.value.get()) {
                true => self.run(then, at)?,
                false => self.choose(rest, otherwise, at)?,
            });
        }
        Ok(found)
    }

    /// `and` and `or`, which do not look further than they must.
    fn junction<'a>(&mut self, all: &'a [Expr], at: &Place<'a>, decides: bool) -> Places<'a> {
        let Some((first, rest)) = all.split_first() else { return Ok(vec![made((!decides).into())]) };
        let mut found = Vec::new();
        for place in self.run(first, at)? {
            if holds(place.value.get()) == decides {
                found.push(made(decides.into()));
            } else {
                found.extend(self.junction(rest, at, decides)?);
            }
        }
        Ok(found)
    }

    fn recurse<'a>(&mut self, at: &Place<'a>) -> Places<'a> {
        let (mut found, mut open) = (Vec::new(), vec![at.clone()]);
        while let Some(place) = open.pop() {
            if matches!(place.value.get(), Value::Array(_) | Value::Object(_)) {
                open.extend(self.each(&place)?.into_iter().rev());
            }
            found.push(place);
        }
        Ok(found)
    }

    /// Every item or field of a place.
    fn each<'a>(&mut self, at: &Place<'a>) -> Places<'a> {
        let parts: Vec<Part<'a>> = match (at.value.get(), &at.value) {
            (Value::Array(items), _) => (0..items.len()).map(Part::Index).collect(),
            (_, Found::There(Value::Object(fields))) => {
                fields.keys().map(|name| Part::Field(Cow::Borrowed(name.as_str()))).collect()
            }
            (Value::Object(fields), _) => {
                fields.keys().map(|name| Part::Field(Cow::Owned(name.clone()))).collect()
            }
            _ => Vec::new(),
        };
        self.charge(parts.len())?;
        parts.into_iter().map(|part| self.below(at, part)).collect()
    }

    /// What is at a key; nothing where that makes no sense.
    fn index<'a>(&mut self, at: &Place<'a>, key: &Value) -> Outcome<Option<Place<'a>>> {
        // Also where there is nothing: many places and many keys are many more pairs.
        self.charge(1)?;
        let part = match (at.value.get(), key) {
            (Value::Object(_) | Value::Null, Value::String(name)) => {
                self.charge(name.len() / TEXT_STEP)?;
                Part::Field(Cow::Owned(name.clone()))
            }
            (Value::Array(items), Value::Number(number)) => match position(number, items.len()) {
                Some(index) => Part::Index(index),
                None => return Ok(None),
            },
            (Value::Null, Value::Number(number)) => match position(number, 0) {
                Some(index) => Part::Index(index),
                None => return Ok(None),
            },
            _ => return Ok(None),
        };
        self.below(at, part).map(Some)
    }

    /// What is at a field or an index; null, and not there, when there is none.
    fn below<'a>(&mut self, at: &Place<'a>, part: Part<'a>) -> Outcome<Place<'a>> {
        self.charge(1)?;
        let value = match &at.value {
            Found::There(value) => step(value, &part).map(Found::There),
            Found::Made(value) => match step(value, &part) {
                Some(found) => Some(Found::Made(Rc::new(self.copy(found)?))),
                None => None,
            },
        };
        let way = Some(Rc::new(Way { before: at.way.clone(), part }));
        Ok(Place { value: value.unwrap_or_else(|| Found::Made(Rc::new(Value::Null))), way })
    }

    /// Whether a condition holds for any of what it gives, or for all of it.
    fn test_all<'a>(&mut self, arguments: &'a [Expr], at: &Place<'a>, decides: bool) -> Outcome<bool> {
        let items = match arguments {
            [generator, _] => self.run(generator, at)?,
            _ => self.each(at)?,
        };
        for item in items {
            let found = match arguments.last() {
                Some(condition) => self.run(condition, &item)?,
                None => vec![item],
            };
            if found.iter().any(|place| holds(place.value.get()) == decides) {
                return Ok(decides);
            }
        }
        Ok(!decides)
    }

    fn call<'a>(&mut self, function: &'a Function, arguments: &'a [Expr], at: &Place<'a>) -> Places<'a> {
        let value = at.value.get();
        let one = |value: Value| Ok(vec![made(value)]);
        let first = arguments.first();
        match (function, first) {
            (Function::Select, Some(condition)) => {
                let conditions = self.run(condition, at)?;
                let times = conditions.iter().filter(|place| holds(place.value.get())).count();
                Ok(vec![at.clone(); times])
            }
            (Function::Recurse, _) => self.recurse(at),
            (Function::First, _) => Ok(self.index(at, &0.into())?.into_iter().collect()),
            (Function::Last, _) => Ok(self.index(at, &(-1).into())?.into_iter().collect()),
            (Function::OfType(name), _) => {
                let is = match *name {
                    "arrays" => value.is_array(),
                    "objects" => value.is_object(),
                    "iterables" => value.is_array() || value.is_object(),
                    "booleans" => value.is_boolean(),
                    "numbers" => value.is_number(),
                    "strings" => value.is_string(),
                    "nulls" => value.is_null(),
                    "values" => !value.is_null(),
                    _ => !value.is_array() && !value.is_object(),
                };
                Ok(if is { vec![at.clone()] } else { Vec::new() })
            }
            (Function::Map, Some(body)) => {
                let mut values = Vec::new();
                for item in self.each(at)? {
                    for found in self.run(body, &item)? {
                        values.push(self.copy(found.value.get())?);
                    }
                }
                one(Value::Array(values))
            }
            (Function::Not, _) => one((!holds(value)).into()),
            (Function::Any, _) => {
                let found = self.test_all(arguments, at, true)?;
                one(found.into())
            }
            (Function::All, _) => {
                let found = self.test_all(arguments, at, false)?;
                one(found.into())
            }
            (Function::Length, _) => self.length(value),
            (Function::Keys, _) => match value {
                Value::Object(fields) => {
                    self.charge(fields.keys().map(|name| 1 + name.len() / TEXT_STEP).sum())?;
                    let mut names: Vec<&String> = fields.keys().collect();
                    names.sort();
                    one(names.into_iter().cloned().collect())
                }
                Value::Array(items) => {
                    self.charge(items.len())?;
                    one((0..items.len()).collect())
                }
                _ => Ok(Vec::new()),
            },
            (Function::Type, _) => one(type_name(value).into()),
            (Function::LowerCase | Function::UpperCase | Function::ToString | Function::ToNumber, _) => {
                self.convert(function, value)
            }
            (Function::Test(pattern), _) => {
                let Value::String(text) = value else { return Ok(Vec::new()) };
                self.charge((1 + text.len() / TEXT_STEP) * (1 + pattern.as_str().len() / TEXT_STEP))?;
                one(pattern.is_match(text).into())
            }
            (_, Some(argument)) => {
                let mut found = Vec::new();
                for argument in self.run(argument, at)? {
                    found.extend(self.with(function, value, argument.value.get())?.map(made));
                }
                match function {
                    // One answer for all that it might be.
                    Function::In => one(found.iter().any(|place| holds(place.value.get())).into()),
                    _ => Ok(found),
                }
            }
            (_, None) => Ok(Vec::new()),
        }
    }

    /// Functions of a value and another one.
    fn with(&mut self, function: &Function, value: &Value, other: &Value) -> Outcome<Option<Value>> {
        if let (Value::String(text), Value::String(part)) = (value, other) {
            self.charge((text.len() + part.len()) / TEXT_STEP)?;
        }
        Ok(match (function, value, other) {
            (Function::In, ..) => Some((self.compare(value, other)? == Ordering::Equal).into()),
            (Function::Has, Value::Object(fields), Value::String(name)) => {
                Some(fields.contains_key(name).into())
            }
            (Function::Has, Value::Array(items), Value::Number(number)) => {
                let there = number.as_u64().is_some_and(|index| index < items.len() as u64);
                Some(there.into())
            }
            (Function::Contains, ..) => self.contains(value, other)?.map(Value::from),
            (Function::Inside, ..) => self.contains(other, value)?.map(Value::from),
            (Function::StartsWith, Value::String(text), Value::String(part)) => {
                Some(text.starts_with(part.as_str()).into())
            }
            (Function::EndsWith, Value::String(text), Value::String(part)) => {
                Some(text.ends_with(part.as_str()).into())
            }
            (Function::TrimStart, Value::String(text), Value::String(part)) => {
                Some(text.strip_prefix(part.as_str()).unwrap_or(text).into())
            }
            (Function::TrimEnd, Value::String(text), Value::String(part)) => {
                Some(text.strip_suffix(part.as_str()).unwrap_or(text).into())
            }
            (Function::TrimStart | Function::TrimEnd, ..) => Some(self.copy(value)?),
            _ => None,
        })
    }

    fn length<'a>(&mut self, value: &Value) -> Places<'a> {
        let length = match value {
            Value::Null => 0.into(),
            Value::Array(items) => items.len().into(),
            Value::Object(fields) => fields.len().into(),
            Value::String(text) => {
                self.charge(text.len() / TEXT_STEP)?;
                text.chars().count().into()
            }
            Value::Number(number) => match number.as_i64() {
                Some(whole) => whole.unsigned_abs().into(),
                None => number.as_f64().map(f64::abs).into(),
            },
            Value::Bool(_) => return Ok(Vec::new()),
        };
        Ok(vec![made(length)])
    }

    fn convert<'a>(&mut self, function: &Function, value: &Value) -> Places<'a> {
        self.charge(size(value))?;
        let converted = match (function, value) {
            (Function::LowerCase, Value::String(text)) => text.to_ascii_lowercase().into(),
            (Function::UpperCase, Value::String(text)) => text.to_ascii_uppercase().into(),
            (Function::ToString, Value::String(text)) => text.as_str().into(),
            (Function::ToString, other) => other.to_string().into(),
            (Function::ToNumber, Value::Number(_)) => value.clone(),
            (Function::ToNumber, Value::String(text)) => match text.parse::<Number>() {
                Ok(number) => Value::Number(number),
                Err(_) => return Ok(Vec::new()),
            },
            _ => return Ok(Vec::new()),
        };
        Ok(vec![made(converted)])
    }
}

fn made<'a>(value: Value) -> Place<'a> {
    Place { value: Found::Made(Rc::new(value)), way: None }
}

fn step<'v>(value: &'v Value, part: &Part<'_>) -> Option<&'v Value> {
    match (value, part) {
        (Value::Object(fields), Part::Field(name)) => fields.get(name.as_ref()),
        (Value::Array(items), Part::Index(index)) => items.get(*index),
        _ => None,
    }
}

/// The index that a number means; negative ones count from the end.
fn position(number: &Number, length: usize) -> Option<usize> {
    let index = number.as_i64().or_else(|| number.as_f64().map(|number| number.floor() as i64))?;
    match usize::try_from(index) {
        Ok(index) => Some(index),
        Err(_) => length.checked_sub(usize::try_from(index.unsigned_abs()).ok()?),
    }
}

fn fits(comparison: Comparison, order: Ordering) -> bool {
    match comparison {
        Comparison::Equal => order.is_eq(),
        Comparison::Unequal => order.is_ne(),
        Comparison::Less => order.is_lt(),
        Comparison::LessOrEqual => order.is_le(),
        Comparison::Greater => order.is_gt(),
        Comparison::GreaterOrEqual => order.is_ge(),
    }
}
