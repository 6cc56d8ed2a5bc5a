//! The words of an expression.

use std::sync::Arc;

use super::ast::Literal;
use super::{Issue, Result};

/// A word and the character where it begins.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Token {
    pub(super) kind: TokenKind,
    pub(super) at: usize,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum TokenKind {
    Ident(String),
    /// A name in backticks.
    Quoted(String),
    Literal(Literal),
    /// Digits beyond what 64 bits hold; a sign before them may make them fit.
    TooLarge(String),
    Symbol(&'static str),
    End,
}

impl TokenKind {
    /// As errors show it.
    pub(super) fn shown(&self) -> String {
        match self {
            TokenKind::Ident(name) => name.clone(),
            TokenKind::Quoted(name) => format!("`{name}`"),
            TokenKind::Literal(Literal::Null) => "null".to_owned(),
            TokenKind::Literal(Literal::Bool(value)) => value.to_string(),
            TokenKind::Literal(Literal::Int(value)) => value.to_string(),
            TokenKind::Literal(Literal::Uint(value)) => format!("{value}u"),
            TokenKind::Literal(Literal::Double(value)) => value.to_string(),
            TokenKind::Literal(Literal::Text(text)) => format!("'{text}'"),
            TokenKind::Literal(Literal::Bytes(_)) => "b''".to_owned(),
            TokenKind::TooLarge(digits) => digits.clone(),
            TokenKind::Symbol(symbol) => (*symbol).to_owned(),
            TokenKind::End => "<EOF>".to_owned(),
        }
    }
}

/// Longer ones first.
const SYMBOLS: [&str; 24] = [
    "==", "!=", "<=", ">=", "&&", "||", "(", ")", "[", "]", "{", "}", ".", ",", ":", "?", "!", "-", "+", "*",
    "/", "%", "<", ">",
];

/// Splits an expression into its words; the last one is [`TokenKind::End`].
pub(super) fn tokens(source: &str) -> Result<Vec<Token>> {
    let mut lexer = Lexer { chars: source.chars().collect(), at: 0 };
    let mut tokens = Vec::new();
    loop {
        let token = lexer.token()?;
        let last = token.kind == TokenKind::End;
        tokens.push(token);
        if last {
            return Ok(tokens);
        }
    }
}

struct Lexer {
    chars: Vec<char>,
    at: usize,
}

impl Lexer {
    fn peek(&self, ahead: usize) -> Option<char> {
        self.chars.get(self.at + ahead).copied()
    }

    fn text(&self, from: usize, to: usize) -> String {
        self.chars.get(from..to.min(self.chars.len())).unwrap_or_default().iter().collect()
    }

    fn unknown(&self, from: usize, to: usize) -> Issue {
        Issue::syntax(from, format!("token recognition error at: '{}'", self.text(from, to)))
    }

    fn token(&mut self) -> Result<Token> {
        loop {
            match self.peek(0) {
                Some(' ' | '\t' | '\n' | '\r' | '\u{c}') => self.at += 1,
                Some('/') if self.peek(1) == Some('/') => {
                    while self.peek(0).is_some_and(|c| c != '\n') {
                        self.at += 1;
                    }
                }
                _ => break,
            }
        }
        let at = self.at;
        let Some(c) = self.peek(0) else {
            return Ok(Token { kind: TokenKind::End, at });
        };
        let kind = match c {
            '0'..='9' => self.number()?,
            '.' if self.peek(1).is_some_and(|c| c.is_ascii_digit()) => self.number()?,
            '\'' | '"' => self.quoted(false, false)?,
            '`' => self.backticks()?,
            'a'..='z' | 'A'..='Z' | '_' => match self.prefix() {
                Some((raw, bytes, length)) => {
                    self.at += length;
                    self.quoted(raw, bytes)?
                }
                None => self.word(),
            },
            _ => self.symbol()?,
        };
        Ok(Token { kind, at })
    }

    /// `r'`, `b"`, `rb'`: whether raw, whether bytes, and the length of the prefix.
    fn prefix(&self) -> Option<(bool, bool, usize)> {
        let lower = |ahead: usize| self.peek(ahead).map(|c| c.to_ascii_lowercase());
        let quote = |ahead: usize| matches!(self.peek(ahead), Some('\'' | '"'));
        match (lower(0), lower(1)) {
            (Some('r'), _) if quote(1) => Some((true, false, 1)),
            (Some('b'), _) if quote(1) => Some((false, true, 1)),
            (Some('r'), Some('b')) | (Some('b'), Some('r')) if quote(2) => Some((true, true, 2)),
            _ => None,
        }
    }

    fn word(&mut self) -> TokenKind {
        let start = self.at;
        while self.peek(0).is_some_and(|c| c.is_ascii_alphanumeric() || c == '_') {
            self.at += 1;
        }
        match self.text(start, self.at).as_str() {
            "true" => TokenKind::Literal(Literal::Bool(true)),
            "false" => TokenKind::Literal(Literal::Bool(false)),
            "null" => TokenKind::Literal(Literal::Null),
            "in" => TokenKind::Symbol("in"),
            name => TokenKind::Ident(name.to_owned()),
        }
    }

    fn symbol(&mut self) -> Result<TokenKind> {
        for symbol in SYMBOLS {
            if symbol.chars().enumerate().all(|(ahead, c)| self.peek(ahead) == Some(c)) {
                self.at += symbol.len();
                return Ok(TokenKind::Symbol(symbol));
            }
        }
        Err(self.unknown(self.at, self.at + 1))
    }

    fn backticks(&mut self) -> Result<TokenKind> {
        let start = self.at;
        let mut end = start + 1;
        while let Some(c) = self.chars.get(end) {
            if *c == '`' && end > start + 1 {
                self.at = end + 1;
                return Ok(TokenKind::Quoted(self.text(start + 1, end)));
            }
            if !(c.is_ascii_alphanumeric() || "_.-/ ".contains(*c)) {
                break;
            }
            end += 1;
        }
        Err(self.unknown(start, end + 1))
    }

    fn number(&mut self) -> Result<TokenKind> {
        let start = self.at;
        if self.peek(0) == Some('0')
            && matches!(self.peek(1), Some('x' | 'X'))
            && self.peek(2).is_some_and(|c| c.is_ascii_hexdigit())
        {
            self.at += 2;
            while self.peek(0).is_some_and(|c| c.is_ascii_hexdigit()) {
                self.at += 1;
            }
            let digits = self.text(start + 2, self.at);
            return self.integer(&digits, 16, start);
        }
        let digits = |lexer: &mut Self| {
            while lexer.peek(0).is_some_and(|c| c.is_ascii_digit()) {
                lexer.at += 1;
            }
        };
        digits(self);
        let mut float = false;
        if self.peek(0) == Some('.') && self.peek(1).is_some_and(|c| c.is_ascii_digit()) {
            float = true;
            self.at += 1;
            digits(self);
        }
        if matches!(self.peek(0), Some('e' | 'E')) {
            let sign = usize::from(matches!(self.peek(1), Some('+' | '-')));
            if self.peek(1 + sign).is_some_and(|c| c.is_ascii_digit()) {
                float = true;
                self.at += 1 + sign;
                digits(self);
            }
        }
        let text = self.text(start, self.at);
        if float {
            let value: f64 = text.parse().map_err(|_| Issue::new(start, "invalid double literal"))?;
            if value.is_infinite() {
                return Err(Issue::new(start, "invalid double literal"));
            }
            return Ok(TokenKind::Literal(Literal::Double(value)));
        }
        self.integer(&text, 10, start)
    }

    fn integer(&mut self, digits: &str, radix: u32, start: usize) -> Result<TokenKind> {
        if matches!(self.peek(0), Some('u' | 'U')) {
            self.at += 1;
            let value =
                u64::from_str_radix(digits, radix).map_err(|_| Issue::new(start, "invalid uint literal"))?;
            return Ok(TokenKind::Literal(Literal::Uint(value)));
        }
        Ok(match i64::from_str_radix(digits, radix) {
            Ok(value) => TokenKind::Literal(Literal::Int(value)),
            Err(_) if radix == 10 => TokenKind::TooLarge(digits.to_owned()),
            Err(_) => return Err(Issue::new(start, "invalid int literal")),
        })
    }

    fn quoted(&mut self, raw: bool, bytes: bool) -> Result<TokenKind> {
        let start = self.at;
        let quote = self.peek(0).unwrap_or('\'');
        let triple = self.peek(1) == Some(quote) && self.peek(2) == Some(quote);
        let width = if triple { 3 } else { 1 };
        self.at += width;
        let mut text = String::new();
        let mut data: Vec<u8> = Vec::new();
        let mut push = |c: char, byte: bool| {
            if bytes {
                if byte {
                    data.push(u32::from(c) as u8);
                } else {
                    data.extend(c.encode_utf8(&mut [0; 4]).as_bytes());
                }
            } else {
                text.push(c);
            }
        };
        loop {
            let Some(c) = self.peek(0) else {
                return Err(self.unknown(start, self.at));
            };
            if c == quote && (!triple || (self.peek(1) == Some(quote) && self.peek(2) == Some(quote))) {
                self.at += width;
                break;
            }
            if !triple && matches!(c, '\n' | '\r') {
                return Err(self.unknown(start, self.at));
            }
            if c != '\\' {
                push(c, false);
                self.at += 1;
            } else if raw {
                push(c, false);
                self.at += 1;
                // A raw text may hold a quote after a backslash; both are kept.
                if let Some(next) = self.peek(0) {
                    push(next, false);
                    self.at += 1;
                }
            } else {
                let (c, byte) = self.escape(bytes, start)?;
                push(c, byte);
            }
        }
        Ok(TokenKind::Literal(if bytes {
            Literal::Bytes(Arc::from(data))
        } else {
            Literal::Text(Arc::from(text))
        }))
    }

    /// The character of an escape, and whether it is a single byte.
    fn escape(&mut self, bytes: bool, start: usize) -> Result<(char, bool)> {
        let wrong = |lexer: &Self| Err(lexer.unknown(start, lexer.at + 2));
        let Some(c) = self.peek(1) else { return wrong(self) };
        let simple = match c {
            'a' => '\u{7}',
            'b' => '\u{8}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'v' => '\u{b}',
            '\\' | '\'' | '"' | '`' | '?' => c,
            'x' | 'X' | 'u' | 'U' | '0'..='3' => {
                let (skip, length, radix) = match c {
                    'x' | 'X' => (2, 2, 16),
                    'u' => (2, 4, 16),
                    'U' => (2, 8, 16),
                    _ => (1, 3, 8),
                };
                let digits = self.text(self.at + skip, self.at + skip + length);
                let is_unicode = matches!(c, 'u' | 'U');
                let value = (digits.chars().count() == length && digits.chars().all(|d| d.is_digit(radix)))
                    .then(|| u32::from_str_radix(&digits, radix).ok())
                    .flatten()
                    .and_then(char::from_u32);
                let Some(value) = value.filter(|_| !(bytes && is_unicode)) else {
                    return wrong(self);
                };
                self.at += skip + length;
                return Ok((value, bytes));
            }
            _ => return wrong(self),
        };
        self.at += 2;
        Ok((simple, false))
    }
}
