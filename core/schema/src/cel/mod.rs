//! The Common Expression Language as Kubernetes and the tools around it use it: reading, checking types and running.
//!
//! With a schema ([`compile`]), everything that a rule says is checked when it is compiled: fields that the schema does
//! not have, calls that do not fit, functions that are not there. Without one ([`compile_untyped`]) it is checked as far
//! as the expression itself tells. What is left for the run are the values: an absent field, an index beyond a
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
mod types;
mod value;

#[cfg(test)]
mod tests;

use std::collections::HashMap;

use regex::Regex;
use thiserror::Error;

use self::ast::{Expr, Kind, Literal};
pub use self::extent::Extent;
pub use self::types::Type;
pub use self::value::Value;
use crate::formats::{parse_date_time, parse_go_duration};
use crate::patterns;

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

    /// The line and the column, from 1.
    fn place(&self, source: &str) -> (usize, usize) {
        let (mut line, mut column) = (1, 1);
        for c in source.chars().take(self.at) {
            if c == '\n' {
                line += 1;
                column = 1;
            } else {
                column += 1;
            }
        }
        (line, column)
    }

    /// With the line that is wrong and a mark below it.
    fn explain(&self, source: &str) -> String {
        let (line, column) = self.place(source);
        let text = source.lines().nth(line - 1).unwrap_or_default();
        let dots = ".".repeat((column - 1).min(1000));
        format!("ERROR: <input>:{line}:{column}: {}\n | {text}\n | {dots}^", self.message)
    }
}

/// Why an expression cannot be compiled, and where.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("line {line}, column {column}: {message}")]
pub struct CompileError {
    /// From 1.
    pub line: usize,
    /// In characters, from 1.
    pub column: usize,
    /// What is wrong.
    pub message: String,
}

/// Why a run ended without a value.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum EvalError {
    /// An error of the rule: `no such key: a`, `division by zero`.
    #[error("{0}")]
    Failed(String),
    /// One run took too many steps.
    #[error("it takes too many steps")]
    RuleCost,
    /// All rules of the object together took too many steps.
    #[error("the expressions take too many steps together")]
    ObjectCost,
}

impl EvalError {
    /// Whether something was not there: a variable, a key, an item beyond the end of a list.
    pub fn is_absence(&self) -> bool {
        const BEGINNINGS: [&str; 3] = ["no such attribute(s): ", "no such key: ", "index out of bounds: "];
        matches!(self, EvalError::Failed(text) if BEGINNINGS.iter().any(|one| text.starts_with(one)))
    }
}

/// The result of running something.
pub type Outcome<T> = std::result::Result<T, EvalError>;

/// The steps that are left.
#[derive(Debug)]
pub struct Cost {
    object: u64,
    rule: u64,
    /// What each rule begins with.
    most: u64,
}

impl Default for Cost {
    fn default() -> Self {
        Self::new()
    }
}

impl Cost {
    /// For all rules of one object.
    pub fn new() -> Self {
        Cost::limited(OBJECT_COST, RULE_COST)
    }

    /// So many steps for all rules together, and so many for each run; a million is about a tenth of a second.
    pub fn limited(object: u64, rule: u64) -> Self {
        Cost { object, rule, most: rule }
    }

    fn begin_rule(&mut self) {
        self.rule = self.most;
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
pub struct Program {
    expr: Expr,
    /// The type of its value.
    pub result: Type,
    /// The patterns that the expression names, ready to match.
    patterns: HashMap<String, Regex>,
}

/// What keeps an expression from being read at all; whether its types fit is not asked.
pub fn syntax_problem(source: &str) -> Option<String> {
    parser::parse(source).err().map(|issue| issue.explain(source))
}

/// Whether a variable can have the name.
pub fn is_identifier(name: &str) -> bool {
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
pub fn compile(source: &str, variables: &[(String, Type)]) -> std::result::Result<Program, String> {
    let explain = |issue: Issue| issue.explain(source);
    let expr = parser::parse(source).map_err(explain)?;
    let result = check::check(&expr, variables).map_err(explain)?;
    let patterns = literals(&expr).map_err(explain)?;
    Ok(Program { expr, result, patterns })
}

/// Compiles an expression over values that no schema describes: names that are nothing else are variables, whose types
/// are known when it runs.
///
/// # Errors
/// [`CompileError`] for the first thing that is wrong.
pub fn compile_untyped(source: &str) -> std::result::Result<Program, CompileError> {
    let locate = |issue: Issue| {
        let (line, column) = issue.place(source);
        CompileError { line, column, message: issue.message }
    };
    let expr = parser::parse(source).map_err(locate)?;
    let result = check::check_open(&expr).map_err(locate)?;
    let patterns = literals(&expr).map_err(locate)?;
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
    pub fn most_cost(&self, variables: &[(String, Type)], extent: &Extent) -> u64 {
        estimate::most(&self.expr, variables, extent)
    }

    /// Whether the expression uses a variable.
    pub fn uses(&self, variable: &str) -> bool {
        let mut found = false;
        self.expr.visit(&mut |one| found |= matches!(&one.kind, Kind::Ident(name) if name == variable));
        found
    }

    /// The value of the expression.
    ///
    /// # Errors
    /// [`EvalError`], also when the steps are used up.
    pub fn run<'a>(&self, variables: &[(&str, Value<'a>)], cost: &mut Cost) -> Outcome<Value<'a>> {
        cost.begin_rule();
        eval::Evaluation::new(variables, &self.patterns, cost).run(&self.expr)
    }
}
