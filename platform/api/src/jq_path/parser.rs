//! From words to an expression. What binds least comes first: `|`, `,`, `//`, `or`, `and`, comparisons.

use serde_json::Value;

use super::functions::Function;
use super::lexer::{Token, TokenKind, tokens};
use super::{Comparison, DEEPEST, Expr, Kind};

/// What is wrong at a byte.
type Result<T> = std::result::Result<T, (usize, String)>;

const UNDERSTOOD: &str = "fields, [], indexes, .., select(…) with conditions, if, //, | and , are";

/// Words that begin what is refused, and why.
const REFUSED: [(&str, &str); 13] = [
    ("def", "functions of one's own may call themselves for ever"),
    ("reduce", "loops make new values"),
    ("foreach", "loops make new values"),
    ("label", "there is no loop to leave"),
    ("break", "there is no loop to leave"),
    ("try", "write ? instead: what fails finds nothing anyway"),
    ("catch", "write ? instead: what fails finds nothing anyway"),
    ("as", "there are no variables"),
    ("import", "there are no modules"),
    ("include", "there are no modules"),
    ("__loc__", "it says nothing about the object"),
    ("input", "there is one object"),
    ("inputs", "there is one object"),
];

const COMPARISONS: [(&str, Comparison); 6] = [
    ("==", Comparison::Equal),
    ("!=", Comparison::Unequal),
    ("<=", Comparison::LessOrEqual),
    (">=", Comparison::GreaterOrEqual),
    ("<", Comparison::Less),
    (">", Comparison::Greater),
];

pub(super) fn parse(text: &str) -> Result<Expr> {
    let mut parser = Parser { tokens: tokens(text)?, next: 0, nesting: 0 };
    let expr = parser.pipe()?;
    match parser.peek().kind {
        TokenKind::End => Ok(expr),
        _ => Err(parser.problem()),
    }
}

struct Parser {
    tokens: Vec<Token>,
    next: usize,
    nesting: usize,
}

impl Parser {
    fn peek(&self) -> &Token {
        // The last word is the end, and is never taken.
        &self.tokens[self.next.min(self.tokens.len() - 1)]
    }

    fn is(&self, symbol: &str) -> bool {
        matches!(self.peek().kind, TokenKind::Symbol(found) if found == symbol)
    }

    fn is_word(&self, word: &str) -> bool {
        matches!(&self.peek().kind, TokenKind::Name(found) if found == word)
    }

    fn accept(&mut self, symbol: &str) -> bool {
        let there = self.is(symbol);
        self.next += usize::from(there);
        there
    }

    fn accept_word(&mut self, word: &str) -> bool {
        let there = self.is_word(word);
        self.next += usize::from(there);
        there
    }

    fn problem(&self) -> (usize, String) {
        let Token { kind, at } = self.peek();
        let found = kind.shown();
        if let TokenKind::Name(name) = kind
            && let Some((_, why)) = REFUSED.iter().find(|(word, _)| word == name)
        {
            return (*at, format!("{name} is refused: {why}"));
        }
        let what = match kind {
            TokenKind::Symbol("$") => "variables are refused",
            TokenKind::Symbol("@") => "formats are refused",
            TokenKind::Symbol("{") => "objects are refused",
            TokenKind::Symbol("=" | "|=" | "+=" | "-=" | "*=" | "/=" | "%=" | "//=") => {
                "assignments are refused"
            }
            TokenKind::Symbol("+" | "-" | "*" | "/" | "%") => "arithmetic is refused",
            TokenKind::Symbol(":") => "slices are refused",
            _ => return (*at, format!("{found} is not understood: {UNDERSTOOD}")),
        };
        (*at, format!("{what}: {UNDERSTOOD}"))
    }

    fn expect(&mut self, symbol: &str) -> Result<()> {
        if self.accept(symbol) { Ok(()) } else { Err(self.problem()) }
    }

    fn expect_word(&mut self, word: &str) -> Result<()> {
        if self.accept_word(word) { Ok(()) } else { Err(self.problem()) }
    }

    fn make(&self, kind: Kind, at: usize) -> Result<Expr> {
        let mut expr = Expr { kind, at, depth: 1 };
        expr.depth = 1 + expr.children().iter().map(|child| child.depth).max().unwrap_or(0);
        // Fields after fields are levels too, but no burden.
        if expr.depth > 4 * DEEPEST { Err(too_deep(at)) } else { Ok(expr) }
    }

    fn chain(
        &mut self,
        accept: impl Fn(&mut Self) -> bool,
        operand: fn(&mut Self) -> Result<Expr>,
        kind: fn(Vec<Expr>) -> Kind,
    ) -> Result<Expr> {
        let first = operand(self)?;
        let at = first.at;
        let mut all = vec![first];
        while accept(self) {
            all.push(operand(self)?);
        }
        if all.len() == 1 { Ok(all.remove(0)) } else { self.make(kind(all), at) }
    }

    fn pipe(&mut self) -> Result<Expr> {
        self.nesting += 1;
        if self.nesting > DEEPEST {
            return Err(too_deep(self.peek().at));
        }
        let expr = self.chain(|parser| parser.accept("|"), Self::comma, Kind::Pipe)?;
        self.nesting -= 1;
        Ok(expr)
    }

    fn comma(&mut self) -> Result<Expr> {
        self.chain(|parser| parser.accept(","), Self::alternative, Kind::Comma)
    }

    /// `a // b // c` is `a // (b // c)`.
    fn alternative(&mut self) -> Result<Expr> {
        let mut all = vec![self.disjunction()?];
        while self.accept("//") {
            all.push(self.disjunction()?);
        }
        let mut all = all.into_iter().rev();
        // There is at least the first one.
        let Some(mut expr) = all.next() else { return Err(self.problem()) };
        for before in all {
            let at = before.at;
            expr = self.make(Kind::Alternative(Box::new(before), Box::new(expr)), at)?;
        }
        Ok(expr)
    }

    fn disjunction(&mut self) -> Result<Expr> {
        self.chain(|parser| parser.accept_word("or"), Self::conjunction, Kind::Or)
    }

    fn conjunction(&mut self) -> Result<Expr> {
        self.chain(|parser| parser.accept_word("and"), Self::comparison, Kind::And)
    }

    fn comparison(&mut self) -> Result<Expr> {
        let one = self.postfix()?;
        let Some((symbol, comparison)) = COMPARISONS.iter().find(|(symbol, _)| self.is(symbol)) else {
            return Ok(one);
        };
        self.expect(symbol)?;
        let other = self.postfix()?;
        let at = one.at;
        self.make(Kind::Compare(*comparison, Box::new(one), Box::new(other)), at)
    }

    /// A term with the fields and elements after it.
    fn postfix(&mut self) -> Result<Expr> {
        let mut expr = self.term()?;
        loop {
            let Token { kind, at } = self.peek().clone();
            expr = match kind {
                // What fails finds nothing anyway.
                TokenKind::Symbol("?") => {
                    self.next += 1;
                    continue;
                }
                TokenKind::Field(name) => {
                    self.next += 1;
                    self.index(expr, name.into(), at)?
                }
                TokenKind::Symbol(".") => {
                    self.next += 1;
                    match self.peek().kind.clone() {
                        TokenKind::Text(name) => {
                            self.next += 1;
                            self.index(expr, name.into(), at)?
                        }
                        TokenKind::Symbol("[") => self.brackets(expr)?,
                        _ => return Err(self.problem()),
                    }
                }
                TokenKind::Symbol("[") => self.brackets(expr)?,
                _ => return Ok(expr),
            };
        }
    }

    fn index(&self, of: Expr, key: Value, at: usize) -> Result<Expr> {
        let key = Box::new(Expr { kind: Kind::Literal(key), at, depth: 1 });
        self.make(Kind::Index { of: Box::new(of), key }, at)
    }

    /// `[]`, `[0]`, `["name"]`, `[EXPR]`
    fn brackets(&mut self, of: Expr) -> Result<Expr> {
        let at = self.peek().at;
        self.expect("[")?;
        if self.accept("]") {
            return self.make(Kind::Each(Box::new(of)), at);
        }
        let key = Box::new(self.pipe()?);
        self.expect("]")?;
        self.make(Kind::Index { of: Box::new(of), key }, at)
    }

    fn term(&mut self) -> Result<Expr> {
        let Token { kind, at } = self.peek().clone();
        let literal = |parser: &mut Self, value: Value| {
            parser.next += 1;
            parser.make(Kind::Literal(value), at)
        };
        match kind {
            TokenKind::Field(name) => {
                self.next += 1;
                let of = self.make(Kind::Identity, at)?;
                self.index(of, name.into(), at)
            }
            TokenKind::Symbol(".") => {
                self.next += 1;
                let of = self.make(Kind::Identity, at)?;
                match self.peek().kind.clone() {
                    TokenKind::Text(name) => {
                        self.next += 1;
                        self.index(of, name.into(), at)
                    }
                    _ => Ok(of),
                }
            }
            TokenKind::Symbol("..") => {
                self.next += 1;
                self.make(Kind::Recurse, at)
            }
            TokenKind::Symbol("(") => {
                self.next += 1;
                let expr = self.pipe()?;
                self.expect(")")?;
                Ok(expr)
            }
            TokenKind::Symbol("[") => {
                self.next += 1;
                if self.accept("]") {
                    return self.make(Kind::List(None), at);
                }
                let items = Box::new(self.pipe()?);
                self.expect("]")?;
                self.make(Kind::List(Some(items)), at)
            }
            // Only before a number: there is no arithmetic.
            TokenKind::Symbol("-") => {
                let number = self.tokens.get(self.next + 1).map(|token| &token.kind);
                let Some(TokenKind::Number(number)) = number else { return Err(self.problem()) };
                let negative = match (number.as_i64(), number.as_f64()) {
                    (Some(whole), _) => Value::from(-whole),
                    (None, number) => Value::from(-number.unwrap_or_default()),
                };
                self.next += 1;
                literal(self, negative)
            }
            TokenKind::Text(text) => literal(self, text.into()),
            TokenKind::Number(number) => literal(self, number),
            TokenKind::Name(name) => match name.as_str() {
                "null" => literal(self, Value::Null),
                "true" => literal(self, true.into()),
                "false" => literal(self, false.into()),
                "if" => self.condition(at),
                "and" | "or" | "then" | "elif" | "else" | "end" => Err(self.problem()),
                _ => self.call(&name, at),
            },
            TokenKind::Symbol(_) | TokenKind::End => Err(self.problem()),
        }
    }

    fn condition(&mut self, at: usize) -> Result<Expr> {
        let (mut branches, mut otherwise) = (Vec::new(), None);
        while self.accept_word(if branches.is_empty() { "if" } else { "elif" }) {
            let condition = self.pipe()?;
            self.expect_word("then")?;
            branches.push((condition, self.pipe()?));
        }
        if self.accept_word("else") {
            otherwise = Some(Box::new(self.pipe()?));
        }
        self.expect_word("end")?;
        self.make(Kind::If(branches, otherwise), at)
    }

    fn call(&mut self, name: &str, at: usize) -> Result<Expr> {
        if REFUSED.iter().any(|(word, _)| *word == name) {
            return Err(self.problem());
        }
        self.next += 1;
        let mut arguments = Vec::new();
        if self.accept("(") {
            arguments.push(self.pipe()?);
            while self.accept(";") {
                arguments.push(self.pipe()?);
            }
            self.expect(")")?;
        }
        let function = Function::named(name, &arguments).map_err(|problem| (at, problem))?;
        self.make(Kind::Call(function, arguments), at)
    }
}

fn too_deep(at: usize) -> (usize, String) {
    (at, format!("an expression has at most {DEEPEST} levels"))
}
