//! The Common Expression Language as validation rules use it: reading, checking types and running.
//!
//! Everything that a rule says is checked when it is compiled: fields that a schema does not have, calls that do not
//! fit, functions that are not there. What is left for the run are the values: an absent field, an index beyond a
//! list, a division by zero. The run counts its steps and ends when they are used up, so no rule can hang.
//!
//! Written here rather than taken from a crate, since the ones there are have no limit of steps, overflow the stack
//! on long chains, and do not know the types of a schema. Start reading in [`Program`].

mod ast;
mod check;
mod estimate;
mod eval;
mod extent;
mod functions;
mod lexer;
mod library;
mod parser;
pub(crate) mod types;
pub(crate) mod value;

#[cfg(test)]
mod tests;

use std::collections::HashMap;

use regex::Regex;

use self::ast::{Expr, Kind, Literal};
pub(crate) use self::extent::Extent;
use self::types::Type;
use self::value::Value;
use super::formats::{parse_date_time, parse_go_duration};
use super::patterns;

/// Steps that all rules of one object may take together: about a second.
const OBJECT_COST: u64 = 10_000_000;
/// Steps that one run of a rule may take: about a tenth of a second.
const RULE_COST: u64 = 1_000_000;
/// Bytes of text that cost one step.
const TEXT_STEP: usize = 10;

/// Why a rule cannot be compiled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Issue {
    /// The character that is wrong, from 0.
    at: usize,
    message: String,
}

type Result<T> = std::result::Result<T, Issue>;

impl Issue {
    fn new(at: usize, message: impl Into<String>) -> Self {
        Issue { at, message: message.into() }
    }

    fn syntax(at: usize, message: impl AsRef<str>) -> Self {
        Issue { at, message: format!("Syntax error: {}", message.as_ref()) }
    }

    /// With the line that is wrong and a mark below it.
    fn explain(&self, source: &str) -> String {
        let (mut line, mut column) = (1, 0);
        for c in source.chars().take(self.at) {
            if c == '\n' {
                line += 1;
                column = 0;
            } else {
                column += 1;
            }
        }
        let text = source.lines().nth(line - 1).unwrap_or_default();
        let dots = ".".repeat(column.min(1000));
        format!("ERROR: <input>:{line}:{}: {}\n | {text}\n | {dots}^", column + 1, self.message)
    }
}

/// Why a run ended without a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum EvalError {
    /// An error of the rule: `no such key: a`, `division by zero`.
    Failed(String),
    /// One run took too many steps.
    RuleCost,
    /// All rules of the object together took too many steps.
    ObjectCost,
}

/// The result of running something.
pub(crate) type Outcome<T> = std::result::Result<T, EvalError>;

/// The steps that are left.
#[derive(Debug)]
pub(crate) struct Cost {
    object: u64,
    rule: u64,
}

impl Cost {
    /// For all rules of one object.
    pub(crate) fn new() -> Self {
        Cost { object: OBJECT_COST, rule: RULE_COST }
    }

    fn begin_rule(&mut self) {
        self.rule = RULE_COST;
    }

    /// Takes steps.
    ///
    /// # Errors
    /// When there are not enough left; then nothing more should run.
    fn charge(&mut self, steps: usize) -> Outcome<()> {
        let steps = steps as u64;
        if steps > self.object {
            self.object = 0;
            return Err(EvalError::ObjectCost);
        }
        if steps > self.rule {
            return Err(EvalError::RuleCost);
        }
        self.object -= steps;
        self.rule -= steps;
        Ok(())
    }

    /// Takes steps for looking at or making a text.
    fn charge_text(&mut self, bytes: usize) -> Outcome<()> {
        self.charge(bytes / TEXT_STEP)
    }
}

/// A compiled expression.
#[derive(Debug)]
pub(crate) struct Program {
    expr: Expr,
    pub(crate) result: Type,
    /// The patterns that the expression names, ready to match.
    patterns: HashMap<String, Regex>,
}

/// What keeps an expression from being read at all; whether its types fit is not asked.
pub(super) fn syntax_problem(source: &str) -> Option<String> {
    parser::parse(source).err().map(|issue| issue.explain(source))
}

/// Whether a variable can have the name.
pub(super) fn is_identifier(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes.next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_')
        && bytes.all(|b| b.is_ascii_alphanumeric() || b == b'_')
        && !matches!(name, "true" | "false" | "null" | "in")
        && !parser::RESERVED.contains(&name)
}

/// Compiles an expression over variables.
///
/// # Errors
/// The text of every error, with the place that it is about.
pub(crate) fn compile(source: &str, variables: &[(String, Type)]) -> std::result::Result<Program, String> {
    let explain = |issue: Issue| issue.explain(source);
    let expr = parser::parse(source).map_err(explain)?;
    let result = check::check(&expr, variables).map_err(explain)?;
    let patterns = literals(&expr).map_err(explain)?;
    Ok(Program { expr, result, patterns })
}

/// Patterns, durations and moments that are written out are checked before they are used.
fn literals(expr: &Expr) -> Result<HashMap<String, Regex>> {
    let mut compiled = HashMap::new();
    let mut problem = None;
    expr.visit(&mut |one| {
        let Kind::Call { function, target, arguments } = &one.kind else { return };
        let literal = |at: usize| match arguments.get(at).map(|argument| (&argument.kind, argument.at)) {
            Some((Kind::Literal(Literal::Text(text)), place)) => Some((text.to_string(), place)),
            _ => None,
        };
        let found = match (function.as_str(), target) {
            ("matches" | "find" | "findAll", Some(_)) => literal(0),
            ("matches", None) => literal(1),
            ("duration" | "timestamp", None) => literal(0),
            _ => None,
        };
        let Some((text, at)) = found else { return };
        let wrong = match function.as_str() {
            "duration" => parse_go_duration(&text).is_none().then_some("invalid duration argument"),
            "timestamp" => parse_date_time(&text).is_none().then_some("invalid timestamp argument"),
            _ => match patterns::compile(&text) {
                Ok(regex) => {
                    compiled.insert(text, regex);
                    None
                }
                Err(error) => {
                    problem.get_or_insert(Issue::new(at, format!("invalid {function} argument: {error}")));
                    None
                }
            },
        };
        if let Some(wrong) = wrong {
            problem.get_or_insert(Issue::new(at, wrong));
        }
    });
    problem.map_or(Ok(compiled), Err)
}

impl Program {
    /// Most steps that one run takes, when the values of `self` are of such sizes.
    pub(crate) fn most_cost(&self, variables: &[(String, Type)], extent: &Extent) -> u64 {
        estimate::most(&self.expr, variables, extent)
    }

    /// Whether the expression uses a variable.
    pub(crate) fn uses(&self, variable: &str) -> bool {
        let mut found = false;
        self.expr.visit(&mut |one| found |= matches!(&one.kind, Kind::Ident(name) if name == variable));
        found
    }

    /// The value of the expression.
    ///
    /// # Errors
    /// [`EvalError`], also when the steps are used up.
    pub(crate) fn run<'a>(&self, variables: &[(&str, Value<'a>)], cost: &mut Cost) -> Outcome<Value<'a>> {
        cost.begin_rule();
        eval::Evaluation::new(variables, &self.patterns, cost).run(&self.expr)
    }
}
