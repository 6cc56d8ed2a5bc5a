//! The words of an expression.

use serde_json::Value;

/// A word and the byte where it begins.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Token {
    pub(super) kind: TokenKind,
    pub(super) at: usize,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum TokenKind {
    /// `.name`
    Field(String),
    /// A name or a word of the language.
    Name(String),
    Text(String),
    Number(Value),
    Symbol(&'static str),
    End,
}

impl TokenKind {
    /// As errors show it.
    pub(super) fn shown(&self) -> String {
        match self {
            Self::Field(name) => format!(".{name}"),
            Self::Name(name) => name.clone(),
            Self::Text(text) => format!("{text:?}"),
            Self::Number(number) => number.to_string(),
            Self::Symbol(symbol) => (*symbol).to_owned(),
            Self::End => "its end".to_owned(),
        }
    }
}

/// Longer ones first.
const SYMBOLS: [&str; 36] = [
    "//=", "..", "//", "==", "!=", "<=", ">=", "|=", "+=", "-=", "*=", "/=", "%=", ".", "[", "]", "(", ")",
    "{", "}", "|", ",", ";", ":", "?", "<", ">", "=", "+", "-", "*", "/", "%", "$", "@", "&",
];

/// Splits an expression into its words; the last one is [`TokenKind::End`].
pub(super) fn tokens(text: &str) -> Result<Vec<Token>, (usize, String)> {
    let mut all = Vec::new();
    let mut at = 0;
    loop {
        let rest = &text[at..];
        at += rest.len() - rest.trim_start().len();
        let rest = &text[at..];
        let Some(first) = rest.chars().next() else {
            all.push(Token { kind: TokenKind::End, at });
            return Ok(all);
        };
        let (kind, length) = match first {
            '"' => string(rest).map_err(|problem| (at, problem))?,
            '.' if name(&rest[1..]) > 0 => {
                let length = name(&rest[1..]);
                (TokenKind::Field(rest[1..=length].to_owned()), length + 1)
            }
            '0'..='9' => number(rest).ok_or_else(|| (at, format!("{} is no number", word(rest))))?,
            _ if name(rest) > 0 => (TokenKind::Name(rest[..name(rest)].to_owned()), name(rest)),
            _ => match SYMBOLS.iter().find(|symbol| rest.starts_with(**symbol)) {
                Some(symbol) => (TokenKind::Symbol(symbol), symbol.len()),
                None => return Err((at, format!("{} is not understood", word(rest)))),
            },
        };
        all.push(Token { kind, at });
        at += length;
    }
}

/// How many bytes of a name the text begins with.
fn name(text: &str) -> usize {
    if text.starts_with(|c: char| c.is_ascii_digit()) {
        return 0;
    }
    text.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(text.len())
}

fn word(text: &str) -> String {
    let word: String = text.chars().take_while(|c| !c.is_whitespace()).take(20).collect();
    format!("{word:?}")
}

fn number(text: &str) -> Option<(TokenKind, usize)> {
    let length = text
        .bytes()
        .scan(b'0', |before, b| {
            let sign = matches!(b, b'+' | b'-') && matches!(*before, b'e' | b'E');
            *before = b;
            (b.is_ascii_digit() || matches!(b, b'.' | b'e' | b'E') || sign).then_some(())
        })
        .count();
    let value: Value = serde_json::from_str(&text[..length]).ok()?;
    Some((TokenKind::Number(value), length))
}

fn string(text: &str) -> Result<(TokenKind, usize), String> {
    let mut escaped = false;
    for (index, c) in text.char_indices().skip(1) {
        match c {
            '(' if escaped => return Err("texts with \\(…) in them are not understood".to_owned()),
            '"' if !escaped => {
                let value = serde_json::from_str(&text[..=index]);
                let value = value.map_err(|_| format!("{} is no text", &text[..=index]))?;
                return Ok((TokenKind::Text(value), index + 1));
            }
            _ => escaped = c == '\\' && !escaped,
        }
    }
    Err("a text has no end".to_owned())
}
