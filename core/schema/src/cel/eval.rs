//! Running an expression.

use std::collections::HashMap;
use std::rc::Rc;

use regex::Regex;

use super::ast::{Expr, Kind, Literal, Macro, MacroName};
use super::value::{Value, compare, concat, contains, equal};
use super::{Cost, EvalError, Outcome, check, functions, library};

/// One run.
pub(super) struct Evaluation<'p, 'a> {
    scope: Vec<(&'p str, Value<'a>)>,
    patterns: &'p HashMap<String, Regex>,
    cost: &'p mut Cost,
}

fn fail<T>(text: impl Into<String>) -> Outcome<T> {
    Err(EvalError::Failed(text.into()))
}

fn no_overload<T>() -> Outcome<T> {
    fail("no such overload")
}

/// The value of a type's name.
fn type_value<'a>(name: &str) -> Option<Value<'a>> {
    check::TYPE_NAMES.iter().find(|known| **known == name).map(|known| Value::Type(known))
}

impl<'p, 'a> Evaluation<'p, 'a> {
    pub(super) fn new(
        variables: &[(&'p str, Value<'a>)],
        patterns: &'p HashMap<String, Regex>,
        cost: &'p mut Cost,
    ) -> Self {
        Evaluation { scope: variables.to_vec(), patterns, cost }
    }

    pub(super) fn run(&mut self, expr: &'p Expr) -> Outcome<Value<'a>> {
        self.cost.charge(1)?;
        match &expr.kind {
            Kind::Literal(literal) => Ok(literal_value(literal)),
            Kind::Ident(name) => self.named(name),
            Kind::Select { operand, field, optional } => self.select(expr, operand, field, *optional),
            Kind::Has { operand, field } => {
                let operand = self.run(operand)?;
                Ok(Value::Bool(operand.field(field, self.cost)?.is_some()))
            }
            Kind::Index { operand, index, optional } => self.index(operand, index, *optional),
            Kind::Call { function, target, arguments } => self.call(function, target.as_deref(), arguments),
            Kind::Operator { name, operands } => self.operator(name, operands),
            Kind::And(operands) => self.junction(operands, false),
            Kind::Or(operands) => self.junction(operands, true),
            Kind::Conditional { condition, yes, no } => match self.run(condition)? {
                Value::Bool(true) => self.run(yes),
                Value::Bool(false) => self.run(no),
                _ => no_overload(),
            },
            Kind::List(items) => self.list(items),
            Kind::Map(entries) => self.map(entries),
            Kind::Message(name) => fail(format!("unknown type '{name}'")),
            Kind::Macro(one) => self.expand(one),
        }
    }

    fn named(&self, name: &str) -> Outcome<Value<'a>> {
        match self.scope.iter().rev().find(|(known, _)| *known == name) {
            Some((_, value)) => Ok(value.clone()),
            None => type_value(name).map_or_else(|| fail(format!("no such attribute(s): {name}")), Ok),
        }
    }

    fn select(&mut self, whole: &Expr, operand: &'p Expr, field: &str, optional: bool) -> Outcome<Value<'a>> {
        if let Some(found) = check::dotted(whole).and_then(|name| type_value(&name)) {
            return Ok(found);
        }
        let operand = self.run(operand)?;
        let is_optional = optional || matches!(operand, Value::Optional(_));
        match operand.field(field, self.cost)? {
            Some(found @ Value::Optional(_)) if is_optional => Ok(found),
            Some(found) if is_optional => Ok(Value::some(found)),
            Some(found) => Ok(found),
            None if is_optional => Ok(Value::Optional(None)),
            None => fail(format!("no such key: {field}")),
        }
    }

    fn index(&mut self, operand: &'p Expr, index: &'p Expr, optional: bool) -> Outcome<Value<'a>> {
        let operand = self.run(operand)?;
        let index = self.run(index)?;
        let is_optional = optional || matches!(operand, Value::Optional(_));
        match operand.entry(&index, self.cost)? {
            Some(found @ Value::Optional(_)) if is_optional => Ok(found),
            Some(found) if is_optional => Ok(Value::some(found)),
            Some(found) => Ok(found),
            None if is_optional => Ok(Value::Optional(None)),
            None if operand.is_list() => fail(format!("index out of bounds: {}", index.shown())),
            None => fail(format!("no such key: {}", index.shown())),
        }
    }

    fn call(
        &mut self,
        function: &str,
        target: Option<&'p Expr>,
        arguments: &'p [Expr],
    ) -> Outcome<Value<'a>> {
        let mut values = Vec::with_capacity(arguments.len() + 1);
        let mut name = None;
        if let Some(target) = target {
            let namespace = match &target.kind {
                Kind::Ident(namespace) if !self.scope.iter().any(|(known, _)| known == namespace) => {
                    functions::namespaced(namespace, function)
                }
                _ => None,
            };
            match namespace {
                Some(full) => name = Some(full),
                None => values.push(self.run(target)?),
            }
        }
        let is_method = target.is_some() && name.is_none();
        for argument in arguments {
            values.push(self.run(argument)?);
        }
        let name = name.as_deref().unwrap_or(function);
        library::call(name, is_method, &values, self.patterns, self.cost)
    }

    /// `&&` and `||`: one operand can decide, even when another one fails.
    fn junction(&mut self, operands: &'p [Expr], decides: bool) -> Outcome<Value<'a>> {
        let mut failure = None;
        for operand in operands {
            match self.run(operand) {
                Ok(Value::Bool(value)) if value == decides => return Ok(Value::Bool(decides)),
                Ok(Value::Bool(_)) => {}
                Ok(_) => failure = failure.or(Some(EvalError::Failed("no such overload".to_owned()))),
                Err(error @ EvalError::Failed(_)) => failure = failure.or(Some(error)),
                Err(cost) => return Err(cost),
            }
        }
        failure.map_or(Ok(Value::Bool(!decides)), Err)
    }

    fn list(&mut self, items: &'p [(Expr, bool)]) -> Outcome<Value<'a>> {
        let mut values = Vec::with_capacity(items.len());
        for (item, optional) in items {
            match self.run(item)? {
                Value::Optional(inner) if *optional => values.extend(inner.map(|inner| (*inner).clone())),
                value => values.push(value),
            }
        }
        Ok(Value::list(values))
    }

    fn map(&mut self, entries: &'p [(Expr, Expr, bool)]) -> Outcome<Value<'a>> {
        let mut all = Vec::with_capacity(entries.len());
        for (key, value, optional) in entries {
            let key = self.run(key)?;
            let value = match self.run(value)? {
                Value::Optional(Some(inner)) if *optional => (*inner).clone(),
                Value::Optional(None) if *optional => continue,
                value => value,
            };
            self.insert(&mut all, key, value)?;
        }
        Ok(Value::Map(Rc::new(all)))
    }

    fn insert(
        &mut self,
        all: &mut Vec<(Value<'a>, Value<'a>)>,
        key: Value<'a>,
        value: Value<'a>,
    ) -> Outcome<()> {
        if !matches!(key, Value::Text(_) | Value::Int(_) | Value::Uint(_) | Value::Bool(_) | Value::Double(_))
        {
            return fail(format!("unsupported key type: {}", key.type_name()));
        }
        for (known, _) in all.iter() {
            if equal(known, &key, self.cost)? {
                return fail(format!("insert failed: key {} already exists", key.shown()));
            }
        }
        all.push((key, value));
        Ok(())
    }

    fn operator(&mut self, name: &str, operands: &'p [Expr]) -> Outcome<Value<'a>> {
        let mut values = Vec::with_capacity(2);
        for operand in operands {
            values.push(self.run(operand)?);
        }
        match (name, values.as_slice()) {
            ("!_", [Value::Bool(value)]) => Ok(Value::Bool(!value)),
            ("-_", [Value::Int(value)]) => {
                value.checked_neg().map_or_else(|| fail("integer overflow"), |value| Ok(Value::Int(value)))
            }
            ("-_", [Value::Double(value)]) => Ok(Value::Double(-value)),
            ("_==_", [one, other]) => Ok(Value::Bool(equal(one, other, self.cost)?)),
            ("_!=_", [one, other]) => Ok(Value::Bool(!equal(one, other, self.cost)?)),
            ("@in", [wanted, all]) => self.is_in(wanted, all),
            ("_<_" | "_<=_" | "_>_" | "_>=_", [one, other]) => {
                let order = compare(one, other, self.cost)?;
                Ok(Value::Bool(order.is_some_and(|order| match name {
                    "_<_" => order.is_lt(),
                    "_<=_" => order.is_le(),
                    "_>_" => order.is_gt(),
                    _ => order.is_ge(),
                })))
            }
            (_, [one, other]) => self.arithmetic(name, one, other),
            _ => no_overload(),
        }
    }

    fn is_in(&mut self, wanted: &Value<'a>, all: &Value<'a>) -> Outcome<Value<'a>> {
        if all.is_list() {
            let items = all.items(self.cost)?;
            return Ok(Value::Bool(contains(&items, wanted, self.cost)?));
        }
        match all {
            Value::Map(_) | Value::Node(_) => Ok(Value::Bool(all.entry(wanted, self.cost)?.is_some())),
            _ => no_overload(),
        }
    }

    fn arithmetic(&mut self, name: &str, one: &Value<'a>, other: &Value<'a>) -> Outcome<Value<'a>> {
        use Value::{Bytes, Double, Duration, Int, Text, Timestamp, Uint};
        let whole =
            |value: Option<i64>| value.map_or_else(|| fail("integer overflow"), |value| Ok(Int(value)));
        let natural = |value: Option<u64>| {
            value.map_or_else(|| fail("unsigned integer overflow"), |value| Ok(Uint(value)))
        };
        let span =
            |value: Option<i64>| value.map_or_else(|| fail("duration overflow"), |value| Ok(Duration(value)));
        let moment = |value: Result<jiff::Timestamp, jiff::Error>| {
            value.map_or_else(|_| fail("timestamp overflow"), |value| Ok(Timestamp(value)))
        };
        match (name, one, other) {
            ("_/_", Int(_), Int(0)) | ("_/_", Uint(_), Uint(0)) => fail("division by zero"),
            ("_%_", Int(_), Int(0)) | ("_%_", Uint(_), Uint(0)) => fail("modulus by zero"),
            ("_+_", Int(one), Int(other)) => whole(one.checked_add(*other)),
            ("_-_", Int(one), Int(other)) => whole(one.checked_sub(*other)),
            ("_*_", Int(one), Int(other)) => whole(one.checked_mul(*other)),
            ("_/_", Int(one), Int(other)) => whole(one.checked_div(*other)),
            ("_%_", Int(one), Int(other)) => whole(one.checked_rem(*other)),
            ("_+_", Uint(one), Uint(other)) => natural(one.checked_add(*other)),
            ("_-_", Uint(one), Uint(other)) => natural(one.checked_sub(*other)),
            ("_*_", Uint(one), Uint(other)) => natural(one.checked_mul(*other)),
            ("_/_", Uint(one), Uint(other)) => natural(one.checked_div(*other)),
            ("_%_", Uint(one), Uint(other)) => natural(one.checked_rem(*other)),
            ("_+_", Double(one), Double(other)) => Ok(Double(one + other)),
            ("_-_", Double(one), Double(other)) => Ok(Double(one - other)),
            ("_*_", Double(one), Double(other)) => Ok(Double(one * other)),
            ("_/_", Double(one), Double(other)) => Ok(Double(one / other)),
            ("_+_", Text(one), Text(other)) => {
                self.cost.charge_text(one.len() + other.len())?;
                Ok(Value::text(format!("{one}{other}")))
            }
            ("_+_", Bytes(one), Bytes(other)) => {
                self.cost.charge_text(one.len() + other.len())?;
                Ok(Bytes([&one[..], &other[..]].concat().into()))
            }
            ("_+_", Duration(one), Duration(other)) => span(one.checked_add(*other)),
            ("_-_", Duration(one), Duration(other)) => span(one.checked_sub(*other)),
            ("_+_", Timestamp(moment_), Duration(span)) | ("_+_", Duration(span), Timestamp(moment_)) => {
                moment(moment_.checked_add(jiff::SignedDuration::from_nanos(*span)))
            }
            ("_-_", Timestamp(moment_), Duration(span)) => {
                moment(moment_.checked_sub(jiff::SignedDuration::from_nanos(*span)))
            }
            ("_-_", Timestamp(one), Timestamp(other)) => {
                span(i64::try_from(one.as_nanosecond() - other.as_nanosecond()).ok())
            }
            ("_+_", one, other) if one.is_list() && other.is_list() => concat(one, other, self.cost),
            _ => no_overload(),
        }
    }

    fn expand(&mut self, one: &'p Macro) -> Outcome<Value<'a>> {
        let range = self.run(&one.range)?;
        if matches!(one.name, MacroName::OptMap | MacroName::OptFlatMap) {
            return self.step(one, range);
        }
        let keys_alone = !range.is_list() && one.second.is_none();
        let pairs = range.entries(self.cost)?;
        let outer = self.scope.len();
        let result = self.repeat(one, pairs, keys_alone, outer);
        self.scope.truncate(outer);
        result
    }

    fn repeat(
        &mut self,
        one: &'p Macro,
        pairs: Vec<(Value<'a>, Value<'a>)>,
        keys_alone: bool,
        outer: usize,
    ) -> Outcome<Value<'a>> {
        let mut values = Vec::new();
        let mut entries = Vec::new();
        let mut matched = 0_usize;
        let mut failure = None;
        for (key, value) in pairs {
            self.cost.charge(1)?;
            self.scope.truncate(outer);
            let current = match &one.second {
                Some(second) => {
                    self.scope.push((&one.variable, key.clone()));
                    self.scope.push((second, value));
                    None
                }
                None => {
                    let current = if keys_alone { key.clone() } else { value };
                    self.scope.push((&one.variable, current.clone()));
                    Some(current)
                }
            };
            if let Some(filter) = &one.filter {
                match self.run(filter)? {
                    Value::Bool(true) => {}
                    Value::Bool(false) => continue,
                    _ => return no_overload(),
                }
            }
            let body = self.run(&one.body);
            match one.name {
                MacroName::All | MacroName::Exists => {
                    let decides = one.name == MacroName::Exists;
                    match body {
                        Ok(Value::Bool(value)) if value == decides => return Ok(Value::Bool(decides)),
                        Ok(Value::Bool(_)) => {}
                        Ok(_) => failure = failure.or(Some(EvalError::Failed("no such overload".to_owned()))),
                        Err(error @ EvalError::Failed(_)) => failure = failure.or(Some(error)),
                        Err(cost) => return Err(cost),
                    }
                }
                MacroName::ExistsOne | MacroName::Filter => match (body?, current) {
                    (Value::Bool(false), _) => {}
                    (Value::Bool(true), current) => {
                        matched += 1;
                        values.extend(current);
                    }
                    _ => return no_overload(),
                },
                MacroName::Map | MacroName::TransformList => values.push(body?),
                MacroName::TransformMap => entries.push((key, body?)),
                MacroName::TransformMapEntry => {
                    for (key, value) in body?.entries(self.cost)? {
                        self.insert(&mut entries, key, value)?;
                    }
                }
                MacroName::OptMap | MacroName::OptFlatMap => return no_overload(),
            }
        }
        Ok(match one.name {
            MacroName::All | MacroName::Exists => {
                return failure.map_or(Ok(Value::Bool(one.name == MacroName::All)), Err);
            }
            MacroName::ExistsOne => Value::Bool(matched == 1),
            MacroName::TransformMap | MacroName::TransformMapEntry => Value::Map(Rc::new(entries)),
            _ => Value::list(values),
        })
    }

    fn step(&mut self, one: &'p Macro, range: Value<'a>) -> Outcome<Value<'a>> {
        let inner = match range {
            Value::Optional(None) => return Ok(Value::Optional(None)),
            Value::Optional(Some(inner)) => (*inner).clone(),
            _ => return no_overload(),
        };
        self.scope.push((&one.variable, inner));
        let body = self.run(&one.body);
        self.scope.pop();
        match (one.name, body?) {
            (MacroName::OptFlatMap, body @ Value::Optional(_)) => Ok(body),
            (MacroName::OptFlatMap, _) => no_overload(),
            (_, body) => Ok(Value::some(body)),
        }
    }
}

fn literal_value<'a>(literal: &Literal) -> Value<'a> {
    match literal {
        Literal::Null => Value::Null,
        Literal::Bool(value) => Value::Bool(*value),
        Literal::Int(value) => Value::Int(*value),
        Literal::Uint(value) => Value::Uint(*value),
        Literal::Double(value) => Value::Double(*value),
        Literal::Text(text) => Value::Text(text.clone()),
        Literal::Bytes(bytes) => Value::Bytes(bytes.clone()),
    }
}
