//! What running an expression costs at most, told before it ever runs: from the sizes that the schema allows.
//!
//! The steps are those of cel-go's estimate with Kubernetes' libraries, which every writer of definitions knows: one
//! for each name, field and call, a tenth for each character that is looked at, and what a loop's body costs as often
//! as there can be items.

use super::ast::{Expr, Kind, Literal, Macro, MacroName};
use super::check::{dotted, fitting, index_type, is_type_name, selected};
use super::extent::Extent;
use super::functions;
use super::types::Type;

/// Steps of making an empty list or map.
const LIST: u64 = 10;
const MAP: u64 = 30;

/// Most steps of one run. `u64::MAX` when nothing limits them.
pub(super) fn most(expr: &Expr, variables: &[(String, Type)], extent: &Extent) -> u64 {
    let scope = variables
        .iter()
        .map(|(name, ty)| Variable {
            name: name.clone(),
            ty: ty.clone(),
            extent: Some(extent),
            size: None,
            entry: None,
        })
        .collect();
    Estimate { scope }.of(expr).cost
}

/// Fewest and most characters, bytes, items or entries.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Size {
    min: u64,
    max: u64,
}

impl Size {
    const UNKNOWN: Size = Size { min: 0, max: u64::MAX };

    fn exactly(size: u64) -> Size {
        Size { min: size, max: size }
    }

    fn plus(self, other: Size) -> Size {
        Size { min: self.min.saturating_add(other.min), max: self.max.saturating_add(other.max) }
    }

    fn times(self, other: Size) -> Size {
        Size { min: self.min.saturating_mul(other.min), max: self.max.saturating_mul(other.max) }
    }

    fn or(self, other: Size) -> Size {
        Size { min: self.min.min(other.min), max: self.max.max(other.max) }
    }
}

/// The sizes of what a list or map holds, where the expression says them.
#[derive(Debug, Clone, Copy)]
struct Entry {
    key: Size,
    value: Size,
}

impl Entry {
    fn or(one: Option<Entry>, other: Option<Entry>) -> Option<Entry> {
        let (one, other) = (one?, other?);
        Some(Entry { key: one.key.or(other.key), value: one.value.or(other.value) })
    }
}

/// What is known of an expression.
#[derive(Debug, Clone)]
struct Known<'a> {
    cost: u64,
    ty: Type,
    /// What the schema says of its sizes.
    extent: Option<&'a Extent>,
    /// What the expression itself says of its size.
    size: Option<Size>,
    entry: Option<Entry>,
}

impl Known<'_> {
    fn new(cost: u64, ty: Type) -> Self {
        Known { cost, ty, extent: None, size: None, entry: None }
    }

    fn known_size(&self) -> Option<Size> {
        self.size
            .or_else(|| self.extent.map(|extent| Size { min: 0, max: extent.most }))
            .or_else(|| is_scalar(&self.ty).then_some(Size::exactly(1)))
    }

    fn size(&self) -> Size {
        self.known_size().unwrap_or(Size::UNKNOWN)
    }
}

struct Variable<'a> {
    name: String,
    ty: Type,
    extent: Option<&'a Extent>,
    size: Option<Size>,
    entry: Option<Entry>,
}

struct Estimate<'a> {
    scope: Vec<Variable<'a>>,
}

/// A tenth of a step for each character that is looked at.
fn traversal(size: u64) -> u64 {
    scaled(size, 0.1)
}

/// Twice that, for one that is copied.
fn copying(size: u64) -> u64 {
    scaled(size, 0.2)
}

/// A quarter of a step for each character of a pattern.
fn pattern(size: u64) -> u64 {
    scaled(size, 0.25)
}

/// Rounded up. Floats, since Kubernetes' are: of some tens they make a little more.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "it is what is meant"
)]
fn scaled(size: u64, factor: f64) -> u64 {
    (size as f64 * factor).ceil() as u64
}

fn sum(costs: impl IntoIterator<Item = u64>) -> u64 {
    costs.into_iter().fold(0, u64::saturating_add)
}

fn is_scalar(ty: &Type) -> bool {
    match ty {
        Type::Bool | Type::Int | Type::Uint | Type::Double | Type::Timestamp | Type::Duration => true,
        Type::Optional(inner) => is_scalar(inner),
        _ => false,
    }
}

impl<'a> Estimate<'a> {
    fn of(&mut self, expr: &Expr) -> Known<'a> {
        match &expr.kind {
            Kind::Literal(literal) => self.literal(literal),
            Kind::Ident(name) => self.named(name),
            Kind::Message(_) => Known::new(0, Type::Dyn),
            Kind::Select { operand, field, optional } => self.select(expr, operand, field, *optional),
            // Whether something is there is told for nothing.
            Kind::Has { operand, .. } => Known::new(self.of(operand).cost, Type::Bool),
            Kind::Index { operand, index, optional } => self.index(operand, index, *optional),
            Kind::Call { function, target, arguments } => self.call(function, target.as_deref(), arguments),
            Kind::Operator { name, operands } => {
                let operands: Vec<Known<'a>> = operands.iter().map(|operand| self.of(operand)).collect();
                operator(name, &operands)
            }
            Kind::And(operands) | Kind::Or(operands) => {
                Known::new(sum(operands.iter().map(|operand| self.of(operand).cost)), Type::Bool)
            }
            Kind::Conditional { condition, yes, no } => {
                let (condition, yes, no) = (self.of(condition), self.of(yes), self.of(no));
                either(condition.cost, &yes, &no)
            }
            Kind::List(items) => self.list(items),
            Kind::Map(entries) => self.map(entries),
            Kind::Macro(one) => self.expand(one),
        }
    }

    fn literal(&self, literal: &Literal) -> Known<'a> {
        let (ty, size) = match literal {
            Literal::Null => (Type::Null, 1),
            Literal::Bool(_) => (Type::Bool, 1),
            Literal::Int(_) => (Type::Int, 1),
            Literal::Uint(_) => (Type::Uint, 1),
            Literal::Double(_) => (Type::Double, 1),
            Literal::Text(text) => (Type::Text, text.chars().count() as u64),
            Literal::Bytes(bytes) => (Type::Bytes, bytes.len() as u64),
        };
        Known { size: Some(Size::exactly(size)), ..Known::new(0, ty) }
    }

    fn named(&self, name: &str) -> Known<'a> {
        let Some(found) = self.scope.iter().rev().find(|one| one.name == name) else {
            return Known::new(1, Type::Meta);
        };
        let known = Known { extent: found.extent, entry: found.entry, ..Known::new(1, found.ty.clone()) };
        // What the schema and the type say goes before what the loop's range says.
        Known { size: if known.known_size().is_some() { None } else { found.size }, ..known }
    }

    fn select(&mut self, expr: &Expr, operand: &Expr, field: &str, optional: bool) -> Known<'a> {
        if dotted(expr).is_some_and(|name| is_type_name(&name)) {
            return Known::new(1, Type::Meta);
        }
        let operand = self.of(operand);
        let ty = selected(&operand.ty, field, optional, expr.at).unwrap_or(Type::Dyn);
        if optional {
            // A call, with the field's name as a text.
            return Known::new(operand.cost.saturating_add(1), ty);
        }
        let step = u64::from(matches!(operand.ty, Type::Map(..) | Type::Object(_)));
        let extent = operand.extent.and_then(|extent| extent.fields.get(field));
        Known { extent, ..Known::new(operand.cost.saturating_add(step), ty) }
    }

    fn index(&mut self, operand: &Expr, index: &Expr, optional: bool) -> Known<'a> {
        let at = operand.at;
        let (operand, index) = (self.of(operand), self.of(index));
        let ty = index_type(&operand.ty, &index.ty, optional, at).unwrap_or(Type::Dyn);
        let known = Known::new(sum([operand.cost, index.cost, 1]), ty);
        if optional || !matches!(operand.ty, Type::List(_) | Type::Map(..) | Type::Dyn) {
            return known;
        }
        let extent = operand.extent.and_then(|extent| extent.element.as_deref());
        Known { extent, size: operand.entry.map(|entry| entry.value), ..known }
    }

    fn list(&mut self, items: &[(Expr, bool)]) -> Known<'a> {
        let mut known = Known::new(LIST, Type::list(Type::Dyn));
        let mut item_type = Type::Dyn;
        let mut value: Option<Size> = None;
        for (item, _) in items {
            let item = self.of(item);
            known.cost = known.cost.saturating_add(item.cost);
            item_type = item_type.common(&item.ty);
            value = Some(value.map_or(item.size(), |value| value.or(item.size())));
        }
        known.ty = Type::list(item_type);
        known.size = Some(Size::exactly(items.len() as u64));
        known.entry = Some(Entry { key: Size::exactly(1), value: value.unwrap_or(Size::exactly(0)) });
        known
    }

    fn map(&mut self, entries: &[(Expr, Expr, bool)]) -> Known<'a> {
        let mut known = Known::new(MAP, Type::Dyn);
        let (mut key_type, mut value_type) = (Type::Dyn, Type::Dyn);
        let mut sizes: Option<Entry> = None;
        for (key, value, _) in entries {
            let (key, value) = (self.of(key), self.of(value));
            known.cost = sum([known.cost, key.cost, value.cost]);
            key_type = key_type.common(&key.ty);
            value_type = value_type.common(&value.ty);
            let found = Entry { key: key.size(), value: value.size() };
            sizes = Entry::or(sizes.or(Some(found)), Some(found));
        }
        known.ty = Type::map(key_type, value_type);
        known.size = Some(Size::exactly(entries.len() as u64));
        known.entry = Some(sizes.unwrap_or(Entry { key: Size::exactly(0), value: Size::exactly(0) }));
        known
    }

    fn call(&mut self, function: &str, target: Option<&Expr>, arguments: &[Expr]) -> Known<'a> {
        if let Some(Kind::Ident(namespace)) = target.map(|target| &target.kind)
            && self.scope.iter().all(|one| one.name != *namespace)
            && let Some(name) = functions::namespaced(namespace, function)
        {
            let arguments: Vec<Known<'a>> = arguments.iter().map(|argument| self.of(argument)).collect();
            return invoked(&name, None, &arguments);
        }
        let target = target.map(|target| self.of(target));
        let arguments: Vec<Known<'a>> = arguments.iter().map(|argument| self.of(argument)).collect();
        if function == "dyn"
            && target.is_none()
            && let [argument] = arguments.as_slice()
        {
            let cost = argument.cost.saturating_add(1);
            return Known {
                cost,
                ty: Type::Dyn,
                extent: None,
                size: argument.known_size(),
                entry: argument.entry,
            };
        }
        invoked(function, target.as_ref(), &arguments)
    }

    fn expand(&mut self, one: &Macro) -> Known<'a> {
        let range = self.of(&one.range);
        if matches!(one.name, MacroName::OptMap | MacroName::OptFlatMap) {
            return self.step(one, &range);
        }
        let outer = self.scope.len();
        self.enter(one, &range);
        let filter = one.filter.as_ref().map(|filter| self.of(filter));
        let body = self.of(&one.body);
        self.scope.truncate(outer);
        // What is made before the loop, asked before each round, done in it and asked at the end; the result is held
        // in a variable, which is named in each of them.
        let (before, round, after) = match one.name {
            MacroName::All => (0, sum([2, 1, body.cost]), 1),
            MacroName::Exists => (0, sum([3, 1, body.cost]), 1),
            MacroName::ExistsOne => (0, sum([2, body.cost]), 2),
            // A list of one is made and added to the result.
            MacroName::Map | MacroName::TransformList => (LIST, sum([1, 1, LIST, body.cost]), 1),
            MacroName::Filter => (LIST, sum([body.cost, 1, 1, 1, LIST]), 1),
            MacroName::TransformMap => (MAP, sum([1, 1, 1, body.cost]), 1),
            MacroName::TransformMapEntry => (MAP, sum([1, 1, body.cost]), 1),
            MacroName::OptMap | MacroName::OptFlatMap => (0, 0, 0),
        };
        let round = filter.map_or(round, |filter| round.saturating_add(filter.cost));
        let count = range.size();
        let cost = sum([range.cost, before, after, count.max.saturating_mul(round)]);
        let (first, _) = parts(&range.ty, one.second.is_some());
        let nothing = Entry { key: Size::exactly(1), value: Size::exactly(0) };
        let made = |value: Size| Entry::or(Some(nothing), Some(Entry { key: Size::exactly(1), value }));
        let item = if matches!(range.ty, Type::Map(..)) {
            range.entry.map(|entry| entry.key)
        } else {
            range.entry.map(|entry| entry.value)
        };
        match one.name {
            MacroName::All | MacroName::Exists | MacroName::ExistsOne => Known::new(cost, Type::Bool),
            MacroName::Filter => {
                let element =
                    Known { extent: item_extent(&range), size: item, ..Known::new(0, first.clone()) };
                Known {
                    size: Some(count),
                    entry: made(element.size()),
                    ..Known::new(cost, Type::list(first))
                }
            }
            MacroName::Map | MacroName::TransformList => {
                Known { size: Some(count), entry: made(body.size()), ..Known::new(cost, Type::list(body.ty)) }
            }
            MacroName::TransformMap => {
                let key = if matches!(range.ty, Type::List(_)) { Type::Int } else { first };
                Known { size: Some(count), ..Known::new(cost, Type::map(key, body.ty)) }
            }
            MacroName::TransformMapEntry | MacroName::OptMap | MacroName::OptFlatMap => {
                Known { size: Some(count), ..Known::new(cost, body.ty) }
            }
        }
    }

    /// Makes the variables of a loop.
    fn enter(&mut self, one: &Macro, range: &Known<'a>) {
        let is_map = matches!(range.ty, Type::Map(..));
        let (first, second) = parts(&range.ty, one.second.is_some());
        let key_extent = range.extent.and_then(|extent| extent.key.as_deref());
        let element = range.extent.and_then(|extent| extent.element.as_deref());
        let (key, value) = (range.entry.map(|entry| entry.key), range.entry.map(|entry| entry.value));
        let (extent, size) = match (is_map, &one.second) {
            (true, _) => (key_extent, key),
            (false, Some(_)) => (None, key),
            (false, None) => (element, value),
        };
        self.scope.push(Variable { name: one.variable.clone(), ty: first, extent, size, entry: None });
        if let Some(name) = &one.second {
            let variable =
                Variable { name: name.clone(), ty: second, extent: element, size: value, entry: None };
            self.scope.push(variable);
        }
    }

    /// `optional.optMap(v, …)`: whether there is a value, then a variable for it and an optional around the result.
    fn step(&mut self, one: &Macro, range: &Known<'a>) -> Known<'a> {
        let inner = match &range.ty {
            Type::Optional(inner) => (**inner).clone(),
            _ => Type::Dyn,
        };
        let name = one.variable.clone();
        self.scope.push(Variable { name, ty: inner, extent: None, size: None, entry: None });
        let body = self.of(&one.body);
        self.scope.pop();
        let some = sum([LIST, range.cost, 1, body.cost, u64::from(one.name == MacroName::OptMap)]);
        let cost = sum([range.cost, 1, some.max(1)]);
        let ty = match (one.name, body.ty) {
            (MacroName::OptFlatMap, ty) => ty,
            (_, ty) => Type::optional(ty),
        };
        Known::new(cost, ty)
    }
}

/// The sizes of what a loop over this goes through, by one variable.
fn item_extent<'a>(range: &Known<'a>) -> Option<&'a Extent> {
    let extent = range.extent?;
    if matches!(range.ty, Type::Map(..)) { extent.key.as_deref() } else { extent.element.as_deref() }
}

/// Types of the variables of a loop.
fn parts(range: &Type, two: bool) -> (Type, Type) {
    match range {
        Type::List(item) if two => (Type::Int, (**item).clone()),
        Type::List(item) => ((**item).clone(), Type::Dyn),
        Type::Map(key, value) => ((**key).clone(), (**value).clone()),
        _ => (Type::Dyn, Type::Dyn),
    }
}

/// One of two, behind something that costs.
fn either<'a>(before: u64, yes: &Known<'a>, no: &Known<'a>) -> Known<'a> {
    Known {
        size: Some(yes.size().or(no.size())),
        entry: Entry::or(yes.entry, no.entry),
        ..Known::new(before.saturating_add(yes.cost.max(no.cost)), yes.ty.common(&no.ty))
    }
}

/// The type that a call gives, of the overloads that fit.
fn result(name: &str, receiver: bool, types: &[Type]) -> Type {
    let mut found = fitting(name, receiver, types).into_iter().map(|(_, result)| result);
    let Some(first) = found.next() else { return Type::Dyn };
    if found.all(|other| other == first) { first } else { Type::Dyn }
}

fn operator<'a>(name: &str, operands: &[Known<'a>]) -> Known<'a> {
    let types: Vec<Type> = operands.iter().map(|operand| operand.ty.clone()).collect();
    let before = sum(operands.iter().map(|operand| operand.cost));
    let ty = result(name, false, &types);
    let smaller = || {
        let sizes = operands.iter().map(|operand| operand.size().max);
        traversal(sizes.min().unwrap_or_default())
    };
    let of = |overload: &[Type]| -> (u64, Option<Size>) {
        match (name, overload) {
            ("_==_" | "_!=_", _) => (smaller(), None),
            ("_<_" | "_<=_" | "_>_" | "_>=_", [Type::Text | Type::Bytes, _]) => (smaller(), None),
            ("_+_", [Type::Text | Type::Bytes | Type::List(_), _]) => {
                let size = operands.iter().fold(Size::exactly(0), |size, operand| size.plus(operand.size()));
                let cost = if matches!(overload[0], Type::List(_)) { 1 } else { traversal(size.max) };
                (cost, Some(size))
            }
            ("@in", [_, Type::List(_)]) => (operands.get(1).map_or(1, |list| list.size().max), None),
            _ => (1, None),
        }
    };
    let mut known = Known::new(0, ty);
    for (arguments, _) in fitting(name, false, &types) {
        let (cost, size) = of(arguments);
        known.cost = known.cost.max(cost);
        if let Some(size) = size {
            known.size = Some(known.size.map_or(size, |before| before.or(size)));
        }
    }
    if name == "_+_" {
        known.entry =
            operands.first().zip(operands.get(1)).and_then(|(one, other)| Entry::or(one.entry, other.entry));
    }
    known.cost = known.cost.saturating_add(before);
    known
}

/// A call of a function or, with a target, a method.
fn invoked<'a>(name: &str, target: Option<&Known<'a>>, arguments: &[Known<'a>]) -> Known<'a> {
    let types: Vec<Type> = target.into_iter().chain(arguments).map(|one| one.ty.clone()).collect();
    let before = sum(target.into_iter().chain(arguments).map(|one| one.cost));
    let ty = result(name, target.is_some(), &types);
    let mut known = Known::new(0, ty);
    let (cost, size) = match function(name, target, arguments) {
        Some(found) => found,
        None => {
            // By what the function is given: the dearest of what fits.
            let fitting = fitting(name, target.is_some(), &types);
            let each = fitting.iter().map(|(overload, _)| standard(name, overload, target, arguments));
            each.fold((0, None), |(cost, size): (u64, Option<Size>), (one, sized)| {
                let size = match (size, sized) {
                    (Some(size), Some(sized)) => Some(Size::or(size, sized)),
                    (size, sized) => size.or(sized),
                };
                (cost.max(one), size)
            })
        }
    };
    known.cost = cost.saturating_add(before);
    known.size = size;
    known
}

/// Functions of the standard library, by the types of one overload.
fn standard(
    name: &str,
    overload: &[Type],
    target: Option<&Known<'_>>,
    arguments: &[Known<'_>],
) -> (u64, Option<Size>) {
    let first = || arguments.first().map_or(Size::UNKNOWN, Known::size);
    match (name, target, overload) {
        ("startsWith" | "endsWith", Some(_), _) => (traversal(first().max), None),
        ("contains", Some(text), _) => {
            (traversal(text.size().max).saturating_mul(traversal(first().max)), None)
        }
        ("matches", Some(text), _) => {
            let text = traversal(text.size().max.saturating_add(1));
            (text.saturating_mul(pattern(first().max)), None)
        }
        ("format", Some(text), _) => (traversal(text.size().max), None),
        ("string", None, [Type::Bytes]) => {
            let size = first();
            (traversal(size.max), Some(Size { min: size.min / 4, max: size.max }))
        }
        ("bytes", None, [Type::Text]) => {
            let size = first();
            (traversal(size.max), Some(Size { min: size.min, max: size.max.saturating_mul(4) }))
        }
        ("strings.quote", None, _) => {
            let size = first();
            let max = size.max.saturating_mul(2).saturating_add(2);
            (traversal(size.max), Some(Size { min: size.min.saturating_add(2), max }))
        }
        ("sets.contains" | "sets.intersects" | "sets.equivalent", None, _) => {
            let pairs = arguments.iter().fold(1, |pairs: u64, one| pairs.saturating_mul(one.size().max));
            let pairs = if name == "sets.equivalent" { pairs.saturating_mul(2) } else { pairs };
            (pairs.saturating_add(1), None)
        }
        _ => (1, None),
    }
}

/// Most bytes of an address.
const ADDRESS: u64 = 16;

/// Functions of Kubernetes' libraries, by their names alone.
fn function(name: &str, target: Option<&Known<'_>>, arguments: &[Known<'_>]) -> Option<(u64, Option<Size>)> {
    let target_size = target.map(Known::size);
    let argument = |at: usize| arguments.get(at).map_or(Size::UNKNOWN, Known::size);
    let is_text = |at: usize| arguments.get(at).is_some_and(|one| one.ty == Type::Text);
    Some(match (name, target_size) {
        ("isSorted" | "sum" | "max" | "min" | "indexOf" | "lastIndexOf", Some(size)) => {
            let list = target?;
            match &list.ty {
                Type::List(item) => {
                    let of_item = match **item {
                        Type::Text | Type::Bytes => traversal(item_size(list)),
                        _ => 0,
                    };
                    (size.max.saturating_mul(of_item.saturating_add(1)), None)
                }
                _ => (traversal(size.max), None),
            }
        }
        ("url", None) => (traversal(argument(0).max), None),
        ("lowerAscii" | "upperAscii" | "substring" | "trim", Some(size)) => (traversal(size.max), Some(size)),
        ("replace", Some(size)) => (copying(size.max), Some(replaced(size, argument(0), argument(1)))),
        ("split", Some(size)) => (copying(size.max), Some(Size { min: 0, max: size.max })),
        ("join", Some(size)) => {
            let list = target?;
            let mut joined = size.times(Size { min: 0, max: item_size(list) });
            if !arguments.is_empty() {
                let gaps = Size { min: size.min.saturating_sub(1), max: size.max.saturating_sub(1) };
                joined = joined.plus(argument(0).times(gaps));
            }
            (traversal(joined.max), Some(joined))
        }
        ("find" | "findAll", Some(size)) => {
            let cost = traversal(size.max.saturating_add(1)).saturating_mul(pattern(argument(0).max));
            (cost, Some(Size { min: 0, max: size.max }))
        }
        ("containsIP" | "containsCIDR", Some(_)) => {
            let inside = traversal(2 * ADDRESS);
            let masked = if name == "containsCIDR" { traversal(ADDRESS) + 1 } else { 0 };
            let parsed = if is_text(0) { traversal(argument(0).max) } else { 0 };
            (sum([inside, masked, parsed]), None)
        }
        // What `validate` looks for is a pattern of Kubernetes' own, of at most this length.
        ("validate", Some(_)) => {
            const LONGEST_PATTERN: u64 = 128;
            (traversal(argument(0).max).saturating_mul(pattern(LONGEST_PATTERN)), None)
        }
        _ => return None,
    })
}

/// Most characters or bytes of one item of a list.
fn item_size(list: &Known<'_>) -> u64 {
    let of_schema = list.extent.and_then(|extent| extent.element.as_deref()).map(|element| element.most);
    of_schema.or(list.entry.map(|entry| entry.value.max)).unwrap_or(u64::MAX)
}

/// The size of a text after replacements.
fn replaced(text: Size, from: Size, to: Size) -> Size {
    // The longest: the smallest parts, as often as there can be, become the largest ones. An empty part stands before
    // and behind each character.
    let (count, kept) = match from.min {
        0 => (text.max.saturating_add(1), text.max),
        shortest if to.max <= shortest => (0, text.max),
        shortest => (text.max.div_ceil(shortest), 0),
    };
    let max = count.saturating_mul(to.max).saturating_add(kept);
    let (count, kept) = match from.max {
        0 => (text.min.saturating_add(1), text.min),
        longest if longest <= to.min => (0, text.min),
        longest => (text.min.div_ceil(longest), 0),
    };
    Size { min: count.saturating_mul(to.min).saturating_add(kept), max }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use serde_json::{Value, json};

    use super::super::super::schema::Schema;
    use super::super::compile;
    use super::*;

    fn cost(schema: &Value, rule: &str) -> u64 {
        let schema = Schema::read(schema);
        let this = Type::of_schema(&schema, false).unwrap();
        let variables = [("self".to_owned(), this.clone()), ("oldSelf".to_owned(), this)];
        let program = compile(rule, &variables).unwrap_or_else(|error| panic!("{rule}: {error}"));
        program.most_cost(&variables, &Extent::of_schema(&schema, false).unwrap())
    }

    fn of(kind: &str) -> Value {
        match kind {
            "int-or-string" => json!({"x-kubernetes-int-or-string": true}),
            "duration" | "date" | "date-time" | "byte" => json!({"type": "string", "format": kind}),
            kind => json!({"type": kind}),
        }
    }

    fn list(kind: &str) -> Value {
        json!({"type": "array", "items": of(kind)})
    }

    fn map(kind: &str) -> Value {
        json!({"type": "object", "additionalProperties": of(kind)})
    }

    fn limited(mut schema: Value, limit: &str, most: u64) -> Value {
        schema[limit] = most.into();
        schema
    }

    /// What Kubernetes' estimates of the same rules are (the expectations of its own tests).
    #[test]
    fn estimates_are_those_of_kubernetes() {
        let items = |schema: Value, most| limited(schema, "maxItems", most);
        let long = |most| limited(of("string"), "maxLength", most);
        let lists = json!({"type": "array", "items": list("number")});
        let texts = json!({"type": "array", "maxItems": 10, "items": long(10)});
        let parts = |text: Value| {
            json!({"type": "object", "properties": {"str": text,
            "before": long(2), "after": long(4), "separator": of("string")}})
        };
        let options = json!({"type": "string", "enum": ["A", "B", "C", "LongValue"]});
        let all = "self.all(x, true)";
        for (schema, rule, expected) in [
            (list("number"), all, 4_718_591),
            (items(list("number"), 10), all, 32),
            (list("string"), all, 3_145_727),
            (items(list("string"), 20), all, 62),
            (list("boolean"), all, 1_887_437),
            (lists.clone(), all, 3_145_727),
            (list("int-or-string"), all, 4_718_591),
            (list("duration"), all, 2_359_295),
            (list("date"), all, 725_936),
            (list("date-time"), all, 428_963),
            (map("number"), all, 1_348_169),
            (map("string"), all, 1_179_647),
            (limited(map("string"), "maxProperties", 3), all, 11),
            (map("boolean"), all, 943_718),
            (map("duration"), all, 1_048_577),
            (map("date"), all, 524_288),
            (map("date-time"), all, 349_526),
            (of("string"), "self.contains('test')", 314_574),
            (long(10), "self.contains('test')", 5),
            (of("string"), "self.startsWith('test')", 2),
            (of("string"), "self.endsWith('test')", 2),
            (of("string"), "size(self + \"hello\") > size(\"hello\")", 314_578),
            (long(4), "size(self + \"hello\") > size(\"hello\")", 7),
            (list("number"), "self[1] == 0.0", 2),
            (list("string"), "self[1] == self[1]", 314_577),
            (items(list("number"), 10), "self.all(x, self.all(y, true))", 352),
            (items(list("number"), 10), "self.all(x, self.all(y, self.all(z, true)))", 3552),
            (of("string"), "self.matches(\"x\")", 314_574),
            (long(50), "self.matches(\"x\")", 22),
            (of("string"), "\"\".matches(\"(((((((((())))))))))[0-9]\")", 7),
            (of("string"), "self.matches(\"\")", 1),
            (map("string"), "self.all(x, x.contains(self[x]))", 2_752_507),
            (map("number"), "self[\"x\"] == 0.0", 2),
            (long(0), "self == \"x\"", 1),
            (of("string"), "self == \"x\"", 2),
            (of("byte"), "self == b\"x\"", 2),
            (list("number"), "self.all(x, x == 0.0)", 6_291_454),
            (items(list("number"), 3 * 1024 * 2048), "self.all(x, x == 0.0)", 25_165_826),
            (list("int-or-string"), "self[0] == 5", 3),
            (list("boolean"), "self[0] == false", 2),
            (lists, "self[0][0] == -1.0", 3),
            (list("duration"), "self[0].getHours() == 2", 4),
            (of("string"), "self.find('[0-9]+') == ''", 629_147),
            (long(10), "self.find('[0-9]+') == ''", 11),
            (list("string"), "self.join(' ') == 'aa bb'", 329_853_068_905),
            (texts.clone(), "self.join(' ') == 'aa bb'", 43),
            (list("string"), "self.isSorted() == true", 329_854_432_052),
            (texts, "self.isSorted() == true", 52),
            (parts(of("string")), "self.str.replace(self.before, self.after) == 'does not matter'", 629_154),
            (parts(long(4)), "self.str.replace(self.before, self.after) == 'does not matter'", 12),
            (parts(of("string")), "self.str.split(self.separator) == []", 629_160),
            (parts(long(10)), "self.str.split(self.separator) == []", 22),
            (of("string"), "self.lowerAscii() == 'lower!'", 314_575),
            (long(10), "self.lowerAscii() == 'lower!'", 6),
            (map("integer"), "oldSelf.size() == self.size()", 5),
            (map("date-time"), "self[\"a\"] == self[\"b\"]", 8),
            (map("duration"), "self[\"c\"] == self[\"d\"]", 8),
            (options.clone(), "self.contains('A')", 2),
            (limited(options, "maxLength", 1000), "self.contains('A')", 401),
        ] {
            assert_eq!(cost(&schema, rule), expected, "{rule} of {schema}");
        }
    }

    #[test]
    fn what_nothing_limits_costs_without_end_and_does_not_overflow() {
        let nested = "self.all(a, self.all(b, self.all(c, self.all(d, a.matches(b) && c.contains(d)))))";
        assert_eq!(cost(&list("string"), nested), u64::MAX);
        let unknown = "self.map(x, x + x).all(y, y.replace('', y).contains(y))";
        assert!(cost(&list("string"), unknown) > 1 << 40);
    }
}
