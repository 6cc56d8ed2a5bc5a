//! Expressions after parsing.

use std::sync::Arc;

/// An expression and where it stands: the character that errors about it point at.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Expr {
    pub(crate) kind: Kind,
    pub(crate) at: usize,
    /// Levels below and including this one.
    pub(crate) depth: usize,
}

/// What an expression is.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Kind {
    Literal(Literal),
    Ident(String),
    /// `operand.field`, `operand.?field`
    Select {
        operand: Box<Expr>,
        field: String,
        optional: bool,
    },
    /// `has(operand.field)`
    Has {
        operand: Box<Expr>,
        field: String,
    },
    /// `operand[index]`, `operand[?index]`
    Index {
        operand: Box<Expr>,
        index: Box<Expr>,
        optional: bool,
    },
    /// `target.function(arguments)`, `function(arguments)`
    Call {
        function: String,
        target: Option<Box<Expr>>,
        arguments: Vec<Expr>,
    },
    /// Operators, by the names that errors call them.
    Operator {
        name: &'static str,
        operands: Vec<Expr>,
    },
    /// `a && b && …`
    And(Vec<Expr>),
    /// `a || b || …`
    Or(Vec<Expr>),
    Conditional {
        condition: Box<Expr>,
        yes: Box<Expr>,
        no: Box<Expr>,
    },
    /// Items; `[?x]` is added only when it has a value.
    List(Vec<(Expr, bool)>),
    /// Keys and values; `{?k: v}` is added only when it has a value.
    Map(Vec<(Expr, Expr, bool)>),
    /// `Name{field: value}`, which rules cannot use.
    Message(String),
    Macro(Box<Macro>),
}

/// A loop over a list or a map, or a step on an optional value.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Macro {
    pub(crate) name: MacroName,
    pub(crate) range: Expr,
    pub(crate) variable: String,
    /// The second variable: values beside indexes or keys.
    pub(crate) second: Option<String>,
    pub(crate) filter: Option<Expr>,
    pub(crate) body: Expr,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MacroName {
    All,
    Exists,
    ExistsOne,
    Map,
    Filter,
    TransformList,
    TransformMap,
    TransformMapEntry,
    OptMap,
    OptFlatMap,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Literal {
    Null,
    Bool(bool),
    Int(i64),
    Uint(u64),
    Double(f64),
    Text(Arc<str>),
    Bytes(Arc<[u8]>),
}

impl Expr {
    /// The expressions directly below.
    pub(crate) fn children(&self) -> Vec<&Expr> {
        match &self.kind {
            Kind::Literal(_) | Kind::Ident(_) | Kind::Message(_) => vec![],
            Kind::Select { operand, .. } | Kind::Has { operand, .. } => vec![operand],
            Kind::Index { operand, index, .. } => vec![operand, index],
            Kind::Call { target, arguments, .. } => {
                target.iter().map(|target| &**target).chain(arguments).collect()
            }
            Kind::Operator { operands, .. } | Kind::And(operands) | Kind::Or(operands) => {
                operands.iter().collect()
            }
            Kind::Conditional { condition, yes, no } => vec![condition, yes, no],
            Kind::List(items) => items.iter().map(|(item, _)| item).collect(),
            Kind::Map(entries) => entries.iter().flat_map(|(key, value, _)| [key, value]).collect(),
            Kind::Macro(one) => [&one.range].into_iter().chain(&one.filter).chain([&one.body]).collect(),
        }
    }

    /// Calls `see` with this expression and all below.
    pub(crate) fn visit<'a>(&'a self, see: &mut impl FnMut(&'a Expr)) {
        see(self);
        for child in self.children() {
            child.visit(see);
        }
    }
}
