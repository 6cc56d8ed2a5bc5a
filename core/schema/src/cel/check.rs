//! Types of expressions, checked before a rule ever runs.

use super::ast::{Expr, Kind, Literal, Macro, MacroName};
use super::functions::{self, Overload};
use super::types::Type;
use super::{Issue, Result};

/// The type of an expression over variables of known types.
pub(super) fn check(expr: &Expr, variables: &[(String, Type)]) -> Result<Type> {
    Checker { scope: variables.to_vec(), is_open: false }.check(expr)
}

/// The type of an expression in which every name that is nothing else is a variable of unknown type.
pub(super) fn check_open(expr: &Expr) -> Result<Type> {
    Checker { scope: Vec::new(), is_open: true }.check(expr)
}

struct Checker {
    scope: Vec<(String, Type)>,
    /// Whether there may be variables that are not in the scope.
    is_open: bool,
}

/// Names of types, which are values.
pub(super) const TYPE_NAMES: [&str; 12] = [
    "int",
    "uint",
    "double",
    "bool",
    "string",
    "bytes",
    "list",
    "map",
    "null_type",
    "type",
    "google.protobuf.Timestamp",
    "google.protobuf.Duration",
];

impl Checker {
    fn check(&mut self, expr: &Expr) -> Result<Type> {
        let at = expr.at;
        match &expr.kind {
            Kind::Literal(literal) => Ok(match literal {
                Literal::Null => Type::Null,
                Literal::Bool(_) => Type::Bool,
                Literal::Int(_) => Type::Int,
                Literal::Uint(_) => Type::Uint,
                Literal::Double(_) => Type::Double,
                Literal::Text(_) => Type::Text,
                Literal::Bytes(_) => Type::Bytes,
            }),
            Kind::Ident(name) => self.named(name, at),
            Kind::Select { operand, field, optional } => {
                if let Some(name) = dotted(expr)
                    && is_type_name(&name)
                {
                    return Ok(Type::Meta);
                }
                let operand = self.check(operand)?;
                selected(&operand, field, *optional, at)
            }
            Kind::Has { operand, field } => {
                let operand = self.check(operand)?;
                selected(&operand, field, false, at)?;
                Ok(Type::Bool)
            }
            Kind::Index { operand, index, optional } => {
                let operand = self.check(operand)?;
                let index = self.check(index)?;
                index_type(&operand, &index, *optional, at)
            }
            Kind::Call { function, target, arguments } => {
                self.call(function, target.as_deref(), arguments, at)
            }
            Kind::Operator { name, operands } => {
                let types = self.all(operands)?;
                resolve(name, false, &types, at)
            }
            Kind::And(operands) | Kind::Or(operands) => {
                for operand in operands {
                    let found = self.check(operand)?;
                    if !found.agrees(&Type::Bool) {
                        return Err(mismatch(operand.at, &Type::Bool, &found));
                    }
                }
                Ok(Type::Bool)
            }
            Kind::Conditional { condition, yes, no } => {
                let found = self.check(condition)?;
                if !found.agrees(&Type::Bool) {
                    return Err(mismatch(condition.at, &Type::Bool, &found));
                }
                let (yes, no) = (self.check(yes)?, self.check(no)?);
                if !yes.agrees(&no) && self.is_open {
                    return Ok(Type::Dyn);
                }
                if !yes.agrees(&no) {
                    return Err(no_overload("_?_:_", false, &[Type::Bool, yes, no], at));
                }
                Ok(yes.common(&no))
            }
            Kind::List(items) => {
                let mut common = Type::Dyn;
                for (item, optional) in items {
                    let found = self.element(item, *optional)?;
                    common = self.agree(common, &found, item.at)?;
                }
                Ok(Type::list(common))
            }
            Kind::Map(entries) => {
                let (mut keys, mut values) = (Type::Dyn, Type::Dyn);
                for (key, value, optional) in entries {
                    let found = self.check(key)?;
                    keys = self.agree(keys, &found, key.at)?;
                    let found = self.element(value, *optional)?;
                    values = self.agree(values, &found, value.at)?;
                }
                Ok(Type::map(keys, values))
            }
            Kind::Message(name) => {
                Err(Issue::new(at, format!("undeclared reference to '{name}' (in container '')")))
            }
            Kind::Macro(one) => self.expand(one),
        }
    }

    fn all(&mut self, exprs: &[Expr]) -> Result<Vec<Type>> {
        exprs.iter().map(|expr| self.check(expr)).collect()
    }

    /// The type that an item or entry adds; optional ones add what they hold.
    fn element(&mut self, expr: &Expr, optional: bool) -> Result<Type> {
        match self.check(expr)? {
            Type::Optional(inner) if optional => Ok((*inner).clone()),
            Type::Dyn => Ok(Type::Dyn),
            found if optional => Err(mismatch(expr.at, &Type::optional(Type::Dyn), &found)),
            found => Ok(found),
        }
    }

    /// The type of the items of a literal: rules of schemas do not mix them.
    fn agree(&self, common: Type, found: &Type, at: usize) -> Result<Type> {
        match common.agrees(found) {
            true => Ok(common.common(found)),
            false if self.is_open => Ok(Type::Dyn),
            false => Err(mismatch(at, &common, found)),
        }
    }

    fn named(&self, name: &str, at: usize) -> Result<Type> {
        if let Some((_, found)) = self.scope.iter().rev().find(|(known, _)| known == name) {
            return Ok(found.clone());
        }
        // Also where it is the name of a type: a variable of this name goes before.
        if self.is_open {
            return Ok(Type::Dyn);
        }
        if TYPE_NAMES.contains(&name) {
            return Ok(Type::Meta);
        }
        Err(undeclared(name, at))
    }

    fn call(&mut self, function: &str, target: Option<&Expr>, arguments: &[Expr], at: usize) -> Result<Type> {
        if let Some(target) = target
            && let Kind::Ident(namespace) = &target.kind
            && !self.scope.iter().any(|(known, _)| known == namespace)
        {
            if let Some(name) = functions::namespaced(namespace, function) {
                let types = self.all(arguments)?;
                return resolve(&name, false, &types, at);
            }
            if let Some(library) =
                functions::unsupported(namespace).or_else(|| functions::unsupported(function))
            {
                return Err(missing(&format!("{namespace}.{function}"), library, at));
            }
        }
        let mut types = Vec::with_capacity(arguments.len() + 1);
        if let Some(target) = target {
            types.push(self.check(target)?);
        }
        types.extend(self.all(arguments)?);
        if functions::overloads(function).is_empty() {
            return Err(match functions::unsupported(function) {
                Some(library) => missing(function, library, at),
                None => undeclared(function, at),
            });
        }
        resolve(function, target.is_some(), &types, at)
    }

    fn expand(&mut self, one: &Macro) -> Result<Type> {
        let range = self.check(&one.range)?;
        if matches!(one.name, MacroName::OptMap | MacroName::OptFlatMap) {
            return self.step(one, &range);
        }
        let (first, second) = match &range {
            Type::Dyn => (Type::Dyn, Type::Dyn),
            Type::List(item) if one.second.is_none() => ((**item).clone(), Type::Dyn),
            Type::List(item) => (Type::Int, (**item).clone()),
            Type::Map(key, value) => ((**key).clone(), (**value).clone()),
            other => {
                return Err(Issue::new(
                    one.range.at,
                    format!(
                        "expression of type '{other}' cannot be range of a comprehension (must be list, map, or dynamic)"
                    ),
                ));
            }
        };
        let outer = self.scope.len();
        self.scope.push((one.variable.clone(), first.clone()));
        if let Some(name) = &one.second {
            self.scope.push((name.clone(), second));
        }
        let body = self.loop_body(one);
        self.scope.truncate(outer);
        let body = body?;
        Ok(match one.name {
            MacroName::All | MacroName::Exists | MacroName::ExistsOne => Type::Bool,
            MacroName::Filter => Type::list(first),
            MacroName::Map | MacroName::TransformList => Type::list(body),
            MacroName::TransformMap => match &range {
                Type::List(_) => Type::map(Type::Int, body),
                _ => Type::map(first, body),
            },
            MacroName::TransformMapEntry => match body {
                found @ (Type::Map(..) | Type::Dyn) => found,
                found => return Err(mismatch(one.body.at, &Type::map(Type::Dyn, Type::Dyn), &found)),
            },
            MacroName::OptMap | MacroName::OptFlatMap => Type::Dyn,
        })
    }

    fn loop_body(&mut self, one: &Macro) -> Result<Type> {
        if let Some(filter) = &one.filter {
            let found = self.check(filter)?;
            if !found.agrees(&Type::Bool) {
                return Err(mismatch(filter.at, &Type::Bool, &found));
            }
        }
        let body = self.check(&one.body)?;
        let is_test =
            matches!(one.name, MacroName::All | MacroName::Exists | MacroName::ExistsOne | MacroName::Filter);
        if is_test && !body.agrees(&Type::Bool) {
            return Err(mismatch(one.body.at, &Type::Bool, &body));
        }
        Ok(body)
    }

    /// `optional.optMap(v, …)`
    fn step(&mut self, one: &Macro, range: &Type) -> Result<Type> {
        let inner = match range {
            Type::Optional(inner) => (**inner).clone(),
            Type::Dyn => Type::Dyn,
            other => return Err(mismatch(one.range.at, &Type::optional(Type::Dyn), other)),
        };
        self.scope.push((one.variable.clone(), inner));
        let body = self.check(&one.body);
        self.scope.pop();
        match (one.name, body?) {
            (MacroName::OptFlatMap, body @ (Type::Optional(_) | Type::Dyn)) => Ok(body),
            (MacroName::OptFlatMap, other) => Err(mismatch(one.body.at, &Type::optional(Type::Dyn), &other)),
            (_, body) => Ok(Type::optional(body)),
        }
    }
}

/// The type of a field.
pub(super) fn selected(operand: &Type, field: &str, optional: bool, at: usize) -> Result<Type> {
    let found = match operand {
        Type::Optional(inner) => {
            return Ok(match selected(inner, field, false, at)? {
                already @ Type::Optional(_) => already,
                found => Type::optional(found),
            });
        }
        Type::Dyn => Type::Dyn,
        Type::Map(_, value) => (**value).clone(),
        Type::Object(object) => object
            .fields
            .get(field)
            .cloned()
            .ok_or_else(|| Issue::new(at, format!("undefined field '{field}'")))?,
        other => {
            return Err(Issue::new(at, format!("type '{other}' does not support field selection")));
        }
    };
    Ok(if optional { Type::optional(found) } else { found })
}

/// Whether a dotted name is that of a type.
pub(super) fn is_type_name(name: &str) -> bool {
    TYPE_NAMES.contains(&name)
}

/// `google.protobuf.Timestamp` and the like.
pub(super) fn dotted(expr: &Expr) -> Option<String> {
    match &expr.kind {
        Kind::Ident(name) => Some(name.clone()),
        Kind::Select { operand, field, optional: false } => Some(format!("{}.{field}", dotted(operand)?)),
        _ => None,
    }
}

fn undeclared(name: &str, at: usize) -> Issue {
    Issue::new(at, format!("undeclared reference to '{name}' (in container '')"))
}

fn missing(name: &str, library: &str, at: usize) -> Issue {
    Issue::new(
        at,
        format!(
            "undeclared reference to '{name}' (in container ''): {library} is not supported by this server"
        ),
    )
}

fn mismatch(at: usize, expected: &Type, found: &Type) -> Issue {
    Issue::new(at, format!("expected type '{expected}' but found '{found}'"))
}

fn no_overload(name: &str, receiver: bool, types: &[Type], at: usize) -> Issue {
    let list = |types: &[Type]| types.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let applied = match types.split_first() {
        Some((target, rest)) if receiver => format!("{target}.({})", list(rest)),
        _ => format!("({})", list(types)),
    };
    Issue::new(at, format!("found no matching overload for '{name}' applied to '{applied}'"))
}

pub(super) fn index_type(operand: &Type, index: &Type, optional: bool, at: usize) -> Result<Type> {
    let name = if optional { "_[?_]" } else { "_[_]" };
    let wrong = || Err(no_overload(name, false, &[operand.clone(), index.clone()], at));
    let found = match operand {
        Type::Dyn => Type::Dyn,
        Type::List(item) if index.agrees(&Type::Int) => (**item).clone(),
        Type::Map(key, value) if key.agrees(index) => (**value).clone(),
        Type::Optional(inner) => {
            return Ok(match index_type(inner, index, false, at)? {
                already @ Type::Optional(_) => already,
                found => Type::optional(found),
            });
        }
        _ => return wrong(),
    };
    Ok(if optional { Type::optional(found) } else { found })
}

/// The result of a call: of the overloads that fit, if they agree.
fn resolve(name: &str, receiver: bool, types: &[Type], at: usize) -> Result<Type> {
    let mut result: Option<Type> = None;
    for (_, found) in fitting(name, receiver, types) {
        result = Some(match result {
            None => found,
            Some(before) if before == found => before,
            Some(_) => Type::Dyn,
        });
    }
    result.ok_or_else(|| no_overload(name, receiver, types, at))
}

/// The overloads that a call can mean: what they take, the target first, and what they give here.
pub(super) fn fitting(name: &str, receiver: bool, types: &[Type]) -> Vec<(&'static [Type], Type)> {
    let overloads = functions::overloads(name).iter();
    let fits = overloads.filter_map(|one| Some((one.arguments.as_slice(), apply(one, receiver, types)?)));
    fits.collect()
}

fn apply(overload: &Overload, receiver: bool, types: &[Type]) -> Option<Type> {
    if overload.receiver != receiver || overload.arguments.len() != types.len() {
        return None;
    }
    let mut bound: [Option<Type>; 2] = [None, None];
    for (wanted, found) in overload.arguments.iter().zip(types) {
        if !unify(wanted, found, &mut bound) {
            return None;
        }
    }
    Some(substitute(&overload.result, &bound))
}

fn slot(name: char) -> usize {
    usize::from(name == 'B')
}

fn unify(wanted: &Type, found: &Type, bound: &mut [Option<Type>; 2]) -> bool {
    match (wanted, found) {
        (Type::Variable(name), found) => match &bound[slot(*name)] {
            Some(before) if !before.agrees(found) => false,
            before => {
                let common = before.as_ref().map_or_else(|| found.clone(), |before| before.common(found));
                bound[slot(*name)] = Some(common);
                true
            }
        },
        (_, Type::Dyn) => true,
        (Type::List(wanted), Type::List(found)) | (Type::Optional(wanted), Type::Optional(found)) => {
            unify(wanted, found, bound)
        }
        (Type::Map(key, value), Type::Map(found_key, found_value)) => {
            unify(key, found_key, bound) && unify(value, found_value, bound)
        }
        (Type::Dyn, _) => true,
        (wanted, found) => wanted == found,
    }
}

fn substitute(result: &Type, bound: &[Option<Type>; 2]) -> Type {
    match result {
        Type::Variable(name) => bound[slot(*name)].clone().unwrap_or(Type::Dyn),
        Type::List(item) => Type::list(substitute(item, bound)),
        Type::Map(key, value) => Type::map(substitute(key, bound), substitute(value, bound)),
        Type::Optional(value) => Type::optional(substitute(value, bound)),
        other => other.clone(),
    }
}
