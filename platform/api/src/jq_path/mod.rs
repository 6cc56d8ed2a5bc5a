//! Path expressions of jq: what people write to leave fields to others, as in Argo CD's `jqPathExpressions`.
//!
//! The part of jq that leads to fields: paths, `..`, `[]`, `|`, `,`, `//`, `if`, `select` with conditions. What makes new
//! values, loops or binds names is refused by name and place, since it leads to no field or may run for ever. What is left
//! ends: the steps of a run are counted.
//!
//! Where this differs from jq: where jq fails (an element of a number, a missing list), nothing is found, as if `?` stood
//! there, and the rest goes on; only what is there is found. Patterns are Go's, as in Argo CD.
//!
//! Written here, since the crates that run jq have no limit of steps.

mod eval;
mod functions;
mod lexer;
mod parser;
#[cfg(test)]
mod tests;
mod values;

use std::fmt;

use serde_json::Value;

use self::eval::Evaluation;
use self::functions::Function;

/// Longest expression, in bytes.
const LONGEST: usize = 1024;
/// Most levels of an expression.
const DEEPEST: usize = 32;
/// Steps of one run, about a tenth of a second: enough for `..` on the largest objects that an API server takes.
const STEPS: usize = 500_000;
/// Most places that one expression leads to in one document.
const MOST: usize = 10_000;

/// A path expression.
#[derive(Debug, Clone)]
pub struct JqPath {
    text: String,
    expr: Expr,
}

/// It takes too many steps on a document, or leads to too many places in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TooCostly {
    expression: String,
}

impl fmt::Display for TooCostly {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the jq path expression {} takes too long on this object: name the fields more closely",
            self.expression
        )
    }
}

impl std::error::Error for TooCostly {}

/// An expression and the byte at which it stands.
#[derive(Debug, Clone)]
struct Expr {
    kind: Kind,
    at: usize,
    /// Levels below and including this one.
    depth: usize,
}

#[derive(Debug, Clone)]
enum Kind {
    /// `.`
    Identity,
    /// `..`
    Recurse,
    /// `of[key]`, `of.key`: what the key is, is told where the whole stands.
    Index {
        of: Box<Expr>,
        key: Box<Expr>,
    },
    /// `of[]`
    Each(Box<Expr>),
    Literal(Value),
    /// `[items]`
    List(Option<Box<Expr>>),
    /// `a | b | …`
    Pipe(Vec<Expr>),
    /// `a, b, …`
    Comma(Vec<Expr>),
    /// `a // b`
    Alternative(Box<Expr>, Box<Expr>),
    Or(Vec<Expr>),
    And(Vec<Expr>),
    Compare(Comparison, Box<Expr>, Box<Expr>),
    /// Conditions with what follows from each, and what follows from none.
    If(Vec<(Expr, Expr)>, Option<Box<Expr>>),
    Call(Function, Vec<Expr>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Comparison {
    Equal,
    Unequal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl JqPath {
    /// Reads an expression.
    ///
    /// # Errors
    /// What is not understood, and where.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.len() > LONGEST {
            return Err(format!("an expression has at most {LONGEST} bytes"));
        }
        let explain = |(at, problem): (usize, String)| {
            let column = text.get(..at).map_or(0, |before| before.chars().count()) + 1;
            format!("{text}: column {column}: {problem}")
        };
        let expr = parser::parse(text).map_err(explain)?;
        if let Kind::Identity = expr.kind {
            return Err(explain((0, "it names no field".to_owned())));
        }
        expr.leads_to_fields().map_err(explain)?;
        Ok(Self { text: text.to_owned(), expr })
    }

    /// What it leads to in a document, in its order: each time the fields and indexes on the way.
    ///
    /// # Errors
    /// When that takes too many steps.
    pub fn find(&self, document: &Value) -> Result<Vec<Vec<String>>, TooCostly> {
        let mut found = Evaluation::new(STEPS)
            .paths(&self.expr, document)
            .filter(|found| found.len() <= MOST)
            .ok_or_else(|| TooCostly { expression: self.text.clone() })?;
        found.sort();
        found.dedup();
        let parts = |way: Vec<eval::Part<'_>>| way.iter().map(ToString::to_string).collect();
        Ok(found.into_iter().map(parts).collect())
    }
}

impl Expr {
    /// Whether what it gives are places in its input, not new values.
    fn leads_to_fields(&self) -> Result<(), (usize, String)> {
        let new_value =
            |what: &str| Err((self.at, format!("{what} makes a new value, and leads to no field")));
        match &self.kind {
            Kind::Identity | Kind::Recurse => Ok(()),
            Kind::Index { of, .. } | Kind::Each(of) => of.leads_to_fields(),
            Kind::Literal(value) => new_value(&value.to_string()),
            Kind::List(_) => new_value("[…]"),
            Kind::Or(_) => new_value("or"),
            Kind::And(_) => new_value("and"),
            Kind::Compare(..) => new_value("a comparison"),
            Kind::Pipe(all) | Kind::Comma(all) => all.iter().try_for_each(Expr::leads_to_fields),
            Kind::Alternative(one, other) => one.leads_to_fields().and_then(|()| other.leads_to_fields()),
            Kind::If(branches, otherwise) => {
                let mut results = branches.iter().map(|(_, then)| then).chain(otherwise.as_deref());
                results.try_for_each(Expr::leads_to_fields)
            }
            Kind::Call(function, _) if function.leads_to_fields() => Ok(()),
            Kind::Call(function, _) => new_value(function.name()),
        }
    }

    fn children(&self) -> Vec<&Expr> {
        match &self.kind {
            Kind::Identity | Kind::Recurse | Kind::Literal(_) => Vec::new(),
            Kind::Index { of, key } => vec![of, key],
            Kind::Each(of) => vec![of],
            Kind::List(items) => items.as_deref().into_iter().collect(),
            Kind::Pipe(all) | Kind::Comma(all) | Kind::Or(all) | Kind::And(all) | Kind::Call(_, all) => {
                all.iter().collect()
            }
            Kind::Alternative(one, other) | Kind::Compare(_, one, other) => vec![one, other],
            Kind::If(branches, otherwise) => {
                let branches = branches.iter().flat_map(|(condition, then)| [condition, then]);
                branches.chain(otherwise.as_deref()).collect()
            }
        }
    }
}
