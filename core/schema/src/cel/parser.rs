//! Expressions from their words: the grammar of CEL with its macros and optional values.
//!
//! How deep an expression may be is limited here, so that everything that walks one can recurse.

use super::ast::{Expr, Kind, Literal, Macro, MacroName};
use super::lexer::{Token, TokenKind, tokens};
use super::{Issue, Result};

/// Longest expression, in bytes.
const MAX_SOURCE: usize = 100_000;
/// Deepest expression. The stack of a thread must hold a walk of it.
const MAX_DEPTH: usize = 64;

/// What can begin an expression, as errors list it.
const BEGINNINGS: &str = "{'[', '{', '(', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER}";

/// Words that name nothing.
pub(super) const RESERVED: [&str; 17] = [
    "as",
    "break",
    "const",
    "continue",
    "else",
    "for",
    "function",
    "if",
    "import",
    "let",
    "loop",
    "package",
    "namespace",
    "return",
    "var",
    "void",
    "while",
];

/// Reads an expression.
pub(super) fn parse(source: &str) -> Result<Expr> {
    if source.len() > MAX_SOURCE {
        return Err(Issue::new(
            0,
            format!("expression code point size exceeds limit: size: {}, limit {MAX_SOURCE}", source.len()),
        ));
    }
    let mut parser = Parser { tokens: tokens(source)?, next: 0, nesting: 0 };
    let expr = parser.expression()?;
    match parser.peek() {
        Token { kind: TokenKind::End, .. } => Ok(expr),
        other => {
            Err(Issue::syntax(other.at, format!("extraneous input '{}' expecting <EOF>", other.kind.shown())))
        }
    }
}

struct Parser {
    tokens: Vec<Token>,
    next: usize,
    nesting: usize,
}

impl Parser {
    fn peek(&self) -> &Token {
        // The last word is the end, and nothing goes beyond it.
        &self.tokens[self.next.min(self.tokens.len() - 1)]
    }

    fn take(&mut self) -> Token {
        let token = self.peek().clone();
        if token.kind != TokenKind::End {
            self.next += 1;
        }
        token
    }

    fn is(&self, symbol: &str) -> bool {
        matches!(self.peek().kind, TokenKind::Symbol(found) if found == symbol)
    }

    /// Takes a symbol if it is next, and tells where it stood.
    fn accept(&mut self, symbol: &str) -> Option<usize> {
        self.is(symbol).then(|| self.take().at)
    }

    fn expect(&mut self, symbol: &str) -> Result<usize> {
        let at = self.peek().at;
        self.accept(symbol).ok_or_else(|| match &self.peek().kind {
            TokenKind::End => Issue::syntax(at, format!("missing '{symbol}' at '<EOF>'")),
            other => Issue::syntax(at, format!("mismatched input '{}' expecting '{symbol}'", other.shown())),
        })
    }

    fn make(&self, kind: Kind, at: usize) -> Result<Expr> {
        let mut expr = Expr { kind, at, depth: 1 };
        expr.depth = 1 + expr.children().iter().map(|child| child.depth).max().unwrap_or(0);
        if expr.depth > MAX_DEPTH {
            return Err(too_deep(at));
        }
        Ok(expr)
    }

    fn expression(&mut self) -> Result<Expr> {
        self.nesting += 1;
        if self.nesting > MAX_DEPTH {
            return Err(too_deep(self.peek().at));
        }
        let condition = self.disjunction()?;
        let expr = match self.accept("?") {
            None => condition,
            Some(at) => {
                let yes = self.disjunction()?;
                self.expect(":")?;
                let no = self.expression()?;
                let (condition, yes, no) = (Box::new(condition), Box::new(yes), Box::new(no));
                self.make(Kind::Conditional { condition, yes, no }, at)?
            }
        };
        self.nesting -= 1;
        Ok(expr)
    }

    fn disjunction(&mut self) -> Result<Expr> {
        self.chain("||", Self::conjunction, Kind::Or)
    }

    fn conjunction(&mut self) -> Result<Expr> {
        self.chain("&&", Self::relation, Kind::And)
    }

    fn chain(
        &mut self,
        symbol: &str,
        mut operand: impl FnMut(&mut Self) -> Result<Expr>,
        kind: fn(Vec<Expr>) -> Kind,
    ) -> Result<Expr> {
        let first = operand(self)?;
        let mut all = vec![first];
        let mut first_at = None;
        while let Some(at) = self.accept(symbol) {
            first_at.get_or_insert(at);
            all.push(operand(self)?);
        }
        match first_at {
            Some(at) => self.make(kind(all), at),
            None => Ok(all.remove(0)),
        }
    }

    fn relation(&mut self) -> Result<Expr> {
        const OPERATORS: [(&str, &str); 7] = [
            ("==", "_==_"),
            ("!=", "_!=_"),
            ("<=", "_<=_"),
            (">=", "_>=_"),
            ("<", "_<_"),
            (">", "_>_"),
            ("in", "@in"),
        ];
        self.binary(&OPERATORS, |parser| {
            parser.binary(&[("+", "_+_"), ("-", "_-_")], |parser| {
                parser.binary(&[("*", "_*_"), ("/", "_/_"), ("%", "_%_")], Self::unary)
            })
        })
    }

    fn binary(
        &mut self,
        operators: &[(&str, &'static str)],
        operand: impl Fn(&mut Self) -> Result<Expr>,
    ) -> Result<Expr> {
        let mut left = operand(self)?;
        while let Some((symbol, name)) = operators.iter().find(|(symbol, _)| self.is(symbol)) {
            let at = self.expect(symbol)?;
            let right = operand(self)?;
            left = self.make(Kind::Operator { name, operands: vec![left, right] }, at)?;
        }
        Ok(left)
    }

    fn unary(&mut self) -> Result<Expr> {
        for (symbol, name) in [("!", "!_"), ("-", "-_")] {
            let at = self.peek().at;
            let mut count = 0;
            while self.is(symbol) && !(symbol == "-" && self.is_negative_number()) {
                self.take();
                count += 1;
            }
            if count > 0 {
                let operand = self.member()?;
                // Two of them mean nothing.
                return if count % 2 == 0 {
                    Ok(operand)
                } else {
                    self.make(Kind::Operator { name, operands: vec![operand] }, at)
                };
            }
        }
        self.member()
    }

    /// A sign that belongs to the number after it.
    fn is_negative_number(&self) -> bool {
        self.is("-")
            && matches!(
                self.tokens.get(self.next + 1).map(|token| &token.kind),
                Some(TokenKind::Literal(Literal::Int(_) | Literal::Double(_)) | TokenKind::TooLarge(_))
            )
    }

    fn member(&mut self) -> Result<Expr> {
        let mut expr = self.primary()?;
        loop {
            if let Some(at) = self.accept(".") {
                let optional = self.accept("?").is_some();
                let name = self.take();
                let (field, is_quoted) = match name.kind {
                    TokenKind::Ident(field) => (field, false),
                    TokenKind::Quoted(field) => (field, true),
                    _ => {
                        return Err(Issue::syntax(
                            at,
                            format!("no viable alternative at input '.{}'", shown(&name)),
                        ));
                    }
                };
                expr = match self.accept("(") {
                    Some(open) if !optional && !is_quoted => {
                        let arguments = self.list(")")?;
                        self.call(field, Some(expr), arguments, open)?
                    }
                    Some(open) => {
                        return Err(Issue::syntax(open, "extraneous input '(' expecting <EOF>"));
                    }
                    None => self.make(Kind::Select { operand: Box::new(expr), field, optional }, at)?,
                };
            } else if let Some(at) = self.accept("[") {
                let optional = self.accept("?").is_some();
                let index = Box::new(self.expression()?);
                self.expect("]")?;
                expr = self.make(Kind::Index { operand: Box::new(expr), index, optional }, at)?;
            } else if self.is("{") && path(&expr).is_some() {
                let at = self.take().at;
                let name = path(&expr).unwrap_or_default();
                while !self.is("}") {
                    if self.take().kind == TokenKind::End {
                        return Err(Issue::syntax(self.peek().at, "missing '}' at '<EOF>'"));
                    }
                }
                self.take();
                expr = self.make(Kind::Message(name), at)?;
            } else {
                return Ok(expr);
            }
        }
    }

    fn primary(&mut self) -> Result<Expr> {
        let token = self.take();
        let at = token.at;
        match token.kind {
            TokenKind::Literal(literal) => self.make(Kind::Literal(literal), at),
            TokenKind::TooLarge(_) => Err(Issue::new(at, "invalid int literal")),
            TokenKind::Symbol("-") => match self.take().kind {
                TokenKind::Literal(Literal::Int(value)) => self.make(Kind::Literal(Literal::Int(-value)), at),
                TokenKind::Literal(Literal::Double(value)) => {
                    self.make(Kind::Literal(Literal::Double(-value)), at)
                }
                TokenKind::TooLarge(digits) => {
                    let value =
                        format!("-{digits}").parse().map_err(|_| Issue::new(at, "invalid int literal"))?;
                    self.make(Kind::Literal(Literal::Int(value)), at)
                }
                _ => Err(self.unexpected(at, "-")),
            },
            TokenKind::Symbol("(") => {
                let expr = self.expression()?;
                self.expect(")")?;
                Ok(expr)
            }
            TokenKind::Symbol("[") => self.list_literal(at),
            TokenKind::Symbol("{") => self.map_literal(at),
            TokenKind::Symbol(".") => {
                let name = self.take();
                match name.kind {
                    TokenKind::Ident(name) => self.named(name, at),
                    other => Err(self.unexpected(name.at, &other.shown())),
                }
            }
            TokenKind::Ident(name) => self.named(name, at),
            other => Err(self.unexpected(at, &other.shown())),
        }
    }

    fn unexpected(&self, at: usize, found: &str) -> Issue {
        Issue::syntax(at, format!("mismatched input '{found}' expecting {BEGINNINGS}"))
    }

    fn named(&mut self, name: String, at: usize) -> Result<Expr> {
        if let Some(open) = self.accept("(") {
            let arguments = self.list(")")?;
            return self.call(name, None, arguments, open);
        }
        if RESERVED.contains(&name.as_str()) {
            return Err(Issue::new(at, format!("reserved identifier: {name}")));
        }
        self.make(Kind::Ident(name), at)
    }

    /// Expressions up to a closing symbol.
    fn list(&mut self, close: &str) -> Result<Vec<Expr>> {
        let mut all = Vec::new();
        if self.accept(close).is_some() {
            return Ok(all);
        }
        loop {
            all.push(self.expression()?);
            if self.accept(",").is_none() {
                self.expect(close)?;
                return Ok(all);
            }
        }
    }

    fn list_literal(&mut self, at: usize) -> Result<Expr> {
        let mut items = Vec::new();
        while !self.is("]") {
            let optional = self.accept("?").is_some();
            items.push((self.expression()?, optional));
            if self.accept(",").is_none() {
                break;
            }
        }
        self.expect("]")?;
        self.make(Kind::List(items), at)
    }

    fn map_literal(&mut self, at: usize) -> Result<Expr> {
        let mut entries = Vec::new();
        while !self.is("}") {
            let optional = self.accept("?").is_some();
            let key = self.expression()?;
            self.expect(":")?;
            entries.push((key, self.expression()?, optional));
            if self.accept(",").is_none() {
                break;
            }
        }
        self.expect("}")?;
        self.make(Kind::Map(entries), at)
    }

    /// A call, or the macro of its name.
    fn call(
        &mut self,
        function: String,
        target: Option<Expr>,
        mut arguments: Vec<Expr>,
        at: usize,
    ) -> Result<Expr> {
        match target {
            None if function == "has" && arguments.len() == 1 => {
                let argument = arguments.remove(0);
                match argument.kind {
                    Kind::Select { operand, field, optional: false } => {
                        self.make(Kind::Has { operand, field }, at)
                    }
                    _ => Err(Issue::new(argument.at, "invalid argument to has() macro")),
                }
            }
            Some(range) => match macro_name(&function, arguments.len()) {
                Some((name, variables, has_filter)) => {
                    self.expand(name, range, variables, has_filter, arguments, at)
                }
                None => {
                    let target = Some(Box::new(range));
                    self.make(Kind::Call { function, target, arguments }, at)
                }
            },
            None => self.make(Kind::Call { function, target: None, arguments }, at),
        }
    }

    fn expand(
        &self,
        name: MacroName,
        range: Expr,
        variables: usize,
        has_filter: bool,
        arguments: Vec<Expr>,
        at: usize,
    ) -> Result<Expr> {
        let mut arguments = arguments.into_iter();
        let mut names = Vec::new();
        for argument in arguments.by_ref().take(variables) {
            match argument.kind {
                Kind::Ident(name) if !names.contains(&name) => names.push(name),
                _ => return Err(Issue::new(argument.at, "argument must be a simple name")),
            }
        }
        let filter = if has_filter { arguments.next() } else { None };
        let mut names = names.into_iter();
        let (Some(variable), Some(body)) = (names.next(), arguments.next()) else {
            return Err(Issue::new(at, "invalid macro arguments"));
        };
        let one = Macro { name, range, variable, second: names.next(), filter, body };
        self.make(Kind::Macro(Box::new(one)), at)
    }
}

fn shown(token: &Token) -> String {
    match &token.kind {
        TokenKind::End => String::new(),
        other => other.shown(),
    }
}

fn too_deep(at: usize) -> Issue {
    Issue::new(at, format!("expression recursion limit exceeded: {MAX_DEPTH}"))
}

/// The macro of a name and a number of arguments, with how many of them are variables and whether one is a filter.
fn macro_name(function: &str, arguments: usize) -> Option<(MacroName, usize, bool)> {
    Some(match (function, arguments) {
        ("all", 2) => (MacroName::All, 1, false),
        ("all", 3) => (MacroName::All, 2, false),
        ("exists", 2) => (MacroName::Exists, 1, false),
        ("exists", 3) => (MacroName::Exists, 2, false),
        ("exists_one" | "existsOne", 2) => (MacroName::ExistsOne, 1, false),
        ("existsOne", 3) => (MacroName::ExistsOne, 2, false),
        ("map", 2) => (MacroName::Map, 1, false),
        ("map", 3) => (MacroName::Map, 1, true),
        ("filter", 2) => (MacroName::Filter, 1, false),
        ("transformList", 3) => (MacroName::TransformList, 2, false),
        ("transformList", 4) => (MacroName::TransformList, 2, true),
        ("transformMap", 3) => (MacroName::TransformMap, 2, false),
        ("transformMap", 4) => (MacroName::TransformMap, 2, true),
        ("transformMapEntry", 3) => (MacroName::TransformMapEntry, 2, false),
        ("transformMapEntry", 4) => (MacroName::TransformMapEntry, 2, true),
        ("optMap", 2) => (MacroName::OptMap, 1, false),
        ("optFlatMap", 2) => (MacroName::OptFlatMap, 1, false),
        _ => return None,
    })
}

/// The dotted name that an expression spells.
fn path(expr: &Expr) -> Option<String> {
    match &expr.kind {
        Kind::Ident(name) => Some(name.clone()),
        Kind::Select { operand, field, optional: false } => Some(format!("{}.{field}", path(operand)?)),
        _ => None,
    }
}
