//! The functions that expressions can call.

use regex::Regex;
use seaway_schema::patterns;
use serde_json::Value;

use super::{Expr, Kind};

/// A function, with what its arguments fix.
#[derive(Debug, Clone)]
pub(super) enum Function {
    // These lead to fields.
    Select,
    Empty,
    Recurse,
    First,
    Last,
    /// `strings`, `objects`, …: inputs of a type.
    OfType(&'static str),
    // These make values, for conditions.
    Map,
    Not,
    Length,
    Keys,
    Type,
    Has,
    Contains,
    Inside,
    Any,
    All,
    In,
    StartsWith,
    EndsWith,
    LowerCase,
    UpperCase,
    ToString,
    ToNumber,
    TrimStart,
    TrimEnd,
    /// The pattern is compiled once: it is written out.
    Test(Box<Regex>),
}

/// Functions by name and number of arguments; `test` stands apart.
static FUNCTIONS: [(&str, &[usize], Function); 34] = [
    ("select", &[1], Function::Select),
    ("empty", &[0], Function::Empty),
    ("recurse", &[0], Function::Recurse),
    ("first", &[0], Function::First),
    ("last", &[0], Function::Last),
    ("arrays", &[0], Function::OfType("arrays")),
    ("objects", &[0], Function::OfType("objects")),
    ("iterables", &[0], Function::OfType("iterables")),
    ("booleans", &[0], Function::OfType("booleans")),
    ("numbers", &[0], Function::OfType("numbers")),
    ("strings", &[0], Function::OfType("strings")),
    ("nulls", &[0], Function::OfType("nulls")),
    ("values", &[0], Function::OfType("values")),
    ("scalars", &[0], Function::OfType("scalars")),
    ("map", &[1], Function::Map),
    ("not", &[0], Function::Not),
    ("length", &[0], Function::Length),
    ("keys", &[0], Function::Keys),
    ("keys_unsorted", &[0], Function::Keys),
    ("type", &[0], Function::Type),
    ("has", &[1], Function::Has),
    ("contains", &[1], Function::Contains),
    ("inside", &[1], Function::Inside),
    ("any", &[0, 1, 2], Function::Any),
    ("all", &[0, 1, 2], Function::All),
    ("IN", &[1], Function::In),
    ("startswith", &[1], Function::StartsWith),
    ("endswith", &[1], Function::EndsWith),
    ("ascii_downcase", &[0], Function::LowerCase),
    ("ascii_upcase", &[0], Function::UpperCase),
    ("tostring", &[0], Function::ToString),
    ("tonumber", &[0], Function::ToNumber),
    ("ltrimstr", &[1], Function::TrimStart),
    ("rtrimstr", &[1], Function::TrimEnd),
];

/// Functions of jq that may run for ever or look outside of the object.
const ENDLESS: [&str; 8] = ["range", "while", "until", "repeat", "limit", "env", "debug", "halt"];

impl Function {
    /// The function of a name with these arguments.
    pub(super) fn named(name: &str, arguments: &[Expr]) -> Result<Self, String> {
        let count = arguments.len();
        if name == "test" && (count == 1 || count == 2) {
            return test(arguments);
        }
        let known: Vec<_> = FUNCTIONS.iter().filter(|(known, ..)| *known == name).collect();
        if name == "test"
            || (!known.is_empty() && !known.iter().any(|(_, counts, _)| counts.contains(&count)))
        {
            return Err(format!("{name} with {count} arguments is refused"));
        }
        match known.first() {
            Some((_, _, function)) => Ok(function.clone()),
            None if ENDLESS.contains(&name) => {
                Err(format!("{name} is refused: it leads to no field, or may never end"))
            }
            None => {
                let names: Vec<&str> = FUNCTIONS.iter().map(|(name, ..)| *name).collect();
                Err(format!("{name} is refused: the functions are {} and test", names.join(", ")))
            }
        }
    }

    /// Whether what it gives are places in its input.
    pub(super) fn leads_to_fields(&self) -> bool {
        matches!(
            self,
            Self::Select | Self::Empty | Self::Recurse | Self::First | Self::Last | Self::OfType(_)
        )
    }

    /// As it is written.
    pub(super) fn name(&self) -> &'static str {
        let same = |known: &Function| std::mem::discriminant(known) == std::mem::discriminant(self);
        FUNCTIONS.iter().find(|(.., known)| same(known)).map_or("test", |(name, ..)| name)
    }
}

fn test(arguments: &[Expr]) -> Result<Function, String> {
    let text = |expr: &Expr| match &expr.kind {
        Kind::Literal(Value::String(text)) => Some(text.clone()),
        _ => None,
    };
    let Some(pattern) = arguments.first().and_then(text) else {
        return Err("the pattern of test is a text that is written out".to_owned());
    };
    let flags = match arguments.get(1) {
        None => String::new(),
        Some(flags) => text(flags).ok_or("the flags of test are a text that is written out")?,
    };
    let mut groups = String::new();
    for flag in flags.chars() {
        match flag {
            'g' | 'n' => {}
            'i' | 's' => groups.push(flag),
            _ => return Err(format!("the flag {flag} of test is refused: g, i, n and s are understood")),
        }
    }
    let pattern = if groups.is_empty() { pattern } else { format!("(?{groups}){pattern}") };
    match patterns::compile(&pattern) {
        Ok(regex) => Ok(Function::Test(Box::new(regex))),
        Err(error) => Err(error.to_string()),
    }
}
