//! Regular expressions as Go's `regexp` reads them, run by the `regex` crate.
//!
//! Both match in linear time and know neither look-around nor back references, but their syntax differs. So a
//! pattern is rewritten first:
//! - `\d`, `\w`, `\s` and `\b` are ASCII in Go and Unicode in Rust.
//! - Inside `[…]`, Go knows no nested classes and no `&&`, `--`, `~~`.
//! - `{` that begins no repetition is a literal in Go.
//! - `\Q…\E` and octal escapes exist in Go only; `\<`, `(?x)` and more than 1000 repetitions do not.

use std::fmt::Write as _;

use regex::{Regex, RegexBuilder};
use thiserror::Error;

/// Longest pattern that is compiled.
const MAX_LENGTH: usize = 10_000;
/// Largest compiled form, in bytes.
const MAX_SIZE: usize = 4 << 20;
/// Go's limit for `{n}`.
const MAX_REPEAT: u32 = 1000;

/// Why a pattern cannot be used; worded as Go words it where Go has the same error.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PatternError {
    /// Go would refuse it.
    #[error("error parsing regexp: {problem}: `{part}`")]
    Syntax {
        /// What is wrong.
        problem: &'static str,
        /// Where.
        part: String,
    },
    /// Longer than any that is compiled.
    #[error("error parsing regexp: expression has more than {MAX_LENGTH} characters")]
    TooLong,
    /// The compiled form would be too large.
    #[error("error parsing regexp: expression is too large when compiled")]
    TooLarge,
    /// Anything else that the `regex` crate refuses.
    #[error("error parsing regexp: {0}")]
    Other(String),
}

/// Compiles a pattern of Go's syntax.
///
/// # Errors
/// [`PatternError`] when Go would refuse the pattern, or when it is too large.
pub fn compile(pattern: &str) -> Result<Regex, PatternError> {
    if pattern.len() > MAX_LENGTH {
        return Err(PatternError::TooLong);
    }
    let translated = Translation::new(pattern).run()?;
    RegexBuilder::new(&translated).size_limit(MAX_SIZE).nest_limit(100).build().map_err(|error| match error {
        regex::Error::CompiledTooBig(_) => PatternError::TooLarge,
        // The parser's message ends with its reason in one line.
        regex::Error::Syntax(text) => {
            let reason = text.lines().last().unwrap_or_default();
            PatternError::Other(reason.trim_start_matches("error: ").to_owned())
        }
        other => PatternError::Other(other.to_string()),
    })
}

struct Translation<'a> {
    rest: &'a str,
    out: String,
    /// Open groups, to name the parenthesis that is missing as Go does.
    open: usize,
    pattern: &'a str,
    /// What a repetition would repeat.
    last: Last,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Last {
    Nothing,
    Atom,
    /// A repetition, which may not be repeated again.
    Repetition,
}

fn syntax(problem: &'static str, part: &str) -> PatternError {
    PatternError::Syntax { problem, part: part.to_owned() }
}

impl<'a> Translation<'a> {
    fn new(pattern: &'a str) -> Self {
        Self {
            rest: pattern,
            out: String::with_capacity(pattern.len() + 16),
            open: 0,
            pattern,
            last: Last::Nothing,
        }
    }

    fn next(&mut self) -> Option<char> {
        let c = self.rest.chars().next()?;
        self.rest = &self.rest[c.len_utf8()..];
        Some(c)
    }

    fn run(mut self) -> Result<String, PatternError> {
        while let Some(c) = self.rest.chars().next() {
            match c {
                '\\' => self.escape()?,
                '[' => self.class()?,
                '(' => self.group()?,
                ')' => {
                    self.next();
                    self.open =
                        self.open.checked_sub(1).ok_or_else(|| syntax("unexpected )", self.pattern))?;
                    self.out.push(')');
                    self.last = Last::Atom;
                }
                '|' => {
                    self.next();
                    self.out.push('|');
                    self.last = Last::Nothing;
                }
                '*' | '+' | '?' => {
                    self.next();
                    self.repetition(&c.to_string())?;
                }
                '{' => match counted(self.rest) {
                    Some((text, low, high)) => {
                        if low > MAX_REPEAT || high.is_some_and(|high| high > MAX_REPEAT || high < low) {
                            return Err(syntax("invalid repeat count", text));
                        }
                        self.rest = &self.rest[text.len()..];
                        self.repetition(text)?;
                    }
                    None => {
                        self.next();
                        self.literal('{');
                    }
                },
                '^' | '$' | '.' => {
                    self.next();
                    self.out.push(c);
                    self.last = Last::Atom;
                }
                _ => {
                    self.next();
                    self.literal(c);
                }
            }
        }
        if self.open > 0 {
            return Err(syntax("missing closing )", self.pattern));
        }
        Ok(self.out)
    }

    fn literal(&mut self, c: char) {
        let mut buffer = [0; 4];
        self.out.push_str(&regex::escape(c.encode_utf8(&mut buffer)));
        self.last = Last::Atom;
    }

    fn repetition(&mut self, text: &str) -> Result<(), PatternError> {
        match self.last {
            Last::Nothing => return Err(syntax("missing argument to repetition operator", text)),
            Last::Repetition => return Err(syntax("invalid nested repetition operator", text)),
            Last::Atom => {}
        }
        self.out.push_str(text);
        if self.rest.starts_with('?') {
            self.next();
            self.out.push('?');
        }
        self.last = Last::Repetition;
        Ok(())
    }

    fn group(&mut self) -> Result<(), PatternError> {
        self.next();
        self.out.push('(');
        self.open += 1;
        self.last = Last::Nothing;
        let Some(flags) = self.rest.strip_prefix('?') else {
            return Ok(());
        };
        if let Some(name) = flags.strip_prefix("P<").or_else(|| flags.strip_prefix('<')) {
            let end = name.find('>').unwrap_or(0);
            let given = &name[..end];
            if given.is_empty() || !given.chars().all(|c| c.is_alphanumeric() || c == '_') {
                return Err(syntax("invalid named capture", &format!("(?{}", head(flags, 20))));
            }
            self.out.push_str("?P<");
            self.out.push_str(given);
            self.out.push('>');
            self.rest = &name[end + 1..];
            return Ok(());
        }
        let end = flags.find([':', ')']).unwrap_or(flags.len());
        let given = &flags[..end];
        if end == flags.len() || !given.chars().all(|c| matches!(c, 'i' | 'm' | 's' | 'U' | '-')) {
            return Err(syntax("invalid or unsupported Perl syntax", &format!("(?{}", head(flags, 1))));
        }
        self.out.push('?');
        self.out.push_str(given);
        self.rest = &flags[end..];
        if self.rest.starts_with(')') {
            self.last = Last::Nothing;
        } else {
            self.next();
            self.out.push(':');
        }
        Ok(())
    }

    /// An escape outside of a class.
    fn escape(&mut self) -> Result<(), PatternError> {
        if let Some(quoted) = self.rest.strip_prefix("\\Q") {
            let (text, rest) = quoted.split_once("\\E").unwrap_or((quoted, ""));
            for c in text.chars() {
                self.literal(c);
            }
            self.rest = rest;
            return Ok(());
        }
        let assertion = match self.rest.chars().nth(1) {
            Some('b') => Some("(?-u:\\b)"),
            Some('B') => Some("(?-u:\\B)"),
            Some('A') => Some("\\A"),
            Some('z') => Some("\\z"),
            _ => None,
        };
        if let Some(assertion) = assertion {
            self.rest = &self.rest[2..];
            self.out.push_str(assertion);
        } else {
            self.one_escape(false)?;
        }
        self.last = Last::Atom;
        Ok(())
    }

    /// A single character or a class of them, inside or outside of `[…]`. Gives the character, if it is one.
    fn one_escape(&mut self, in_class: bool) -> Result<Option<char>, PatternError> {
        let start = self.rest;
        self.next();
        let Some(c) = self.next() else {
            return Err(syntax("trailing backslash at end of expression", ""));
        };
        let wrap = |set: &str| if in_class { set.to_owned() } else { format!("[{set}]") };
        let set = match c {
            'd' => Some(wrap("0-9")),
            'w' => Some(wrap("0-9A-Za-z_")),
            's' => Some(wrap("\\t\\n\\x0C\\r ")),
            'D' => Some("[^0-9]".to_owned()),
            'W' => Some("[^0-9A-Za-z_]".to_owned()),
            'S' => Some("[^\\t\\n\\x0C\\r ]".to_owned()),
            'p' | 'P' => Some(self.unicode_class(c == 'P', start)?),
            _ => None,
        };
        if let Some(set) = set {
            self.out.push_str(&set);
            return Ok(None);
        }
        let value = match c {
            'a' => '\u{7}',
            'f' => '\u{c}',
            't' => '\t',
            'n' => '\n',
            'r' => '\r',
            'v' => '\u{b}',
            'x' => self.hexadecimal(start)?,
            '0'..='7' => self.octal(c, start)?,
            c if c.is_ascii() && !c.is_ascii_alphanumeric() => c,
            _ => return Err(syntax("invalid escape sequence", &start[..1 + c.len_utf8()])),
        };
        let _ = write!(self.out, "\\x{{{:X}}}", u32::from(value));
        Ok(Some(value))
    }

    fn unicode_class(&mut self, negated: bool, start: &str) -> Result<String, PatternError> {
        let wrong = || syntax("invalid character class range", head(start, 3));
        let name = if let Some(named) = self.rest.strip_prefix('{') {
            let end = named.find('}').ok_or_else(wrong)?;
            self.rest = &named[end + 1..];
            &named[..end]
        } else {
            let c = self.rest.chars().next().ok_or_else(wrong)?;
            let (name, rest) = self.rest.split_at(c.len_utf8());
            self.rest = rest;
            name
        };
        let (negated, name) = match name.strip_prefix('^') {
            Some(name) => (!negated, name),
            None => (negated, name),
        };
        if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
            return Err(wrong());
        }
        Ok(format!("\\{}{{{name}}}", if negated { 'P' } else { 'p' }))
    }

    fn hexadecimal(&mut self, start: &str) -> Result<char, PatternError> {
        let wrong = || syntax("invalid escape sequence", head(start, 4));
        let digits = if let Some(braced) = self.rest.strip_prefix('{') {
            let end = braced.find('}').ok_or_else(wrong)?;
            self.rest = &braced[end + 1..];
            &braced[..end]
        } else {
            let digits = self.rest.get(..2).ok_or_else(wrong)?;
            self.rest = &self.rest[2..];
            digits
        };
        if !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(wrong());
        }
        u32::from_str_radix(digits, 16).ok().and_then(char::from_u32).ok_or_else(wrong)
    }

    /// `\0`, `\012`; a single digit other than 0 would be a back reference.
    fn octal(&mut self, first: char, start: &str) -> Result<char, PatternError> {
        let is_digit = |c: char| matches!(c, '0'..='7');
        if first != '0' && !self.rest.starts_with(is_digit) {
            return Err(syntax("invalid escape sequence", head(start, 2)));
        }
        let mut value = first.to_digit(8).unwrap_or_default();
        for _ in 0..2 {
            match self.rest.chars().next().and_then(|c| c.to_digit(8)) {
                Some(digit) => {
                    self.next();
                    value = value * 8 + digit;
                }
                None => break,
            }
        }
        char::from_u32(value).ok_or_else(|| syntax("invalid escape sequence", head(start, 4)))
    }

    fn class(&mut self) -> Result<(), PatternError> {
        let start = self.rest;
        self.next();
        self.out.push('[');
        if self.rest.starts_with('^') {
            self.next();
            self.out.push('^');
        }
        let mut first = true;
        loop {
            let Some(c) = self.rest.chars().next() else {
                return Err(syntax("missing closing ]", start));
            };
            if c == ']' && !first {
                self.next();
                break;
            }
            first = false;
            if let Some(named) = self.rest.strip_prefix("[:")
                && let Some(end) = named.find(":]")
            {
                let text = &self.rest[..end + 4];
                self.out.push_str(text);
                self.rest = &named[end + 2..];
                continue;
            }
            let range = self.rest;
            let Some(low) = self.class_character()? else {
                continue;
            };
            let bytes = self.rest.as_bytes();
            if bytes.first() == Some(&b'-') && bytes.get(1).is_some_and(|b| *b != b']') {
                self.next();
                self.out.push('-');
                match self.class_character()? {
                    Some(high) if high >= low => {}
                    _ => return Err(syntax("invalid character class range", head(range, 3))),
                }
            }
        }
        self.out.push(']');
        self.last = Last::Atom;
        Ok(())
    }

    /// One character of a class, written so that it means itself; nothing for `\d` and the like.
    fn class_character(&mut self) -> Result<Option<char>, PatternError> {
        match self.rest.chars().next() {
            Some('\\') => self.one_escape(true),
            Some(c) => {
                self.next();
                let _ = write!(self.out, "\\x{{{:X}}}", u32::from(c));
                Ok(Some(c))
            }
            None => Err(syntax("missing closing ]", self.pattern)),
        }
    }
}

/// The first `count` characters.
fn head(text: &str, count: usize) -> &str {
    text.char_indices().nth(count).map_or(text, |(end, _)| &text[..end])
}

/// `{2}`, `{2,}` or `{2,5}` at the beginning of a text.
fn counted(text: &str) -> Option<(&str, u32, Option<u32>)> {
    let end = text.find('}')?;
    let inner = text.get(1..end)?;
    let number = |digits: &str| {
        let right = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
        right.then(|| digits.parse().unwrap_or(u32::MAX))
    };
    let (low, high) = match inner.split_once(',') {
        None => (number(inner)?, None),
        Some((low, "")) => (number(low)?, None),
        Some((low, high)) => (number(low)?, Some(number(high)?)),
    };
    Some((&text[..=end], low, high))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;

    /// Pattern, what it matches, what it does not, all decided by Go.
    #[test]
    fn patterns_mean_what_they_mean_in_go() {
        let cases: [(&str, &[&str], &[&str]); 24] = [
            ("^a$", &["a"], &["ab", "a\n"]),
            (r"^\d$", &["1"], &["٣", "a"]),
            (r"^\w+$", &["a_1"], &["ä"]),
            (r"^\s$", &[" ", "\t"], &["\u{a0}", "\u{b}"]),
            (r"^[\d_]+$", &["1_2"], &["a"]),
            (r"^[^\s]+$", &["ab"], &["a b"]),
            (r"^[\D]$", &["a"], &["1"]),
            ("^[a[b]$", &["a", "[", "b"], &["]"]),
            ("^[a&&b]+$", &["a&b"], &["c"]),
            ("^[+--]+$", &["+,-"], &["a"]),
            ("^[]a]+$", &["]a"], &["b"]),
            ("^[a-]+$", &["a-"], &["b"]),
            ("^[[:alpha:]]+$", &["ab"], &["1"]),
            ("^a{,2}$", &["a{,2}"], &["aa"]),
            ("^{a}$", &["{a}"], &["a"]),
            ("^a{2,3}$", &["aa", "aaa"], &["a", "aaaa"]),
            (r"^\Qa.b\E$", &["a.b"], &["axb"]),
            (r"^\<\>$", &["<>"], &["x"]),
            (r"^\101\x42\x{43}$", &["ABC"], &["abc"]),
            ("(?i)^ab$", &["AB"], &["b"]),
            ("^(?P<x>a)(?:b)$", &["ab"], &["a"]),
            (r"^\p{Greek}\pL\PL\p{^Greek}$", &["αa1b"], &["aaaa"]),
            (r"\bab\b", &["x ab y", "äab"], &["xab"]),
            ("^a*?b+?c??$", &["ab", "aabbc"], &["c"]),
        ];
        for (pattern, right, wrong) in cases {
            let regex = compile(pattern).unwrap_or_else(|error| panic!("{pattern}: {error}"));
            for text in right {
                assert!(regex.is_match(text), "{pattern} should match {text:?}");
            }
            for text in wrong {
                assert!(!regex.is_match(text), "{pattern} should not match {text:?}");
            }
        }
    }

    #[test]
    fn what_go_refuses_is_refused_with_its_reason() {
        let cases = [
            ("(", "error parsing regexp: missing closing ): `(`"),
            (")", "error parsing regexp: unexpected ): `)`"),
            ("[a", "error parsing regexp: missing closing ]: `[a`"),
            ("*", "error parsing regexp: missing argument to repetition operator: `*`"),
            ("a**", "error parsing regexp: invalid nested repetition operator: `*`"),
            ("a{1001}", "error parsing regexp: invalid repeat count: `{1001}`"),
            ("a{3,2}", "error parsing regexp: invalid repeat count: `{3,2}`"),
            ("(?=a)", "error parsing regexp: invalid or unsupported Perl syntax: `(?=`"),
            ("(?x)a", "error parsing regexp: invalid or unsupported Perl syntax: `(?x`"),
            ("(a)\\1", "error parsing regexp: invalid escape sequence: `\\1`"),
            ("\\y", "error parsing regexp: invalid escape sequence: `\\y`"),
            ("[z-a]", "error parsing regexp: invalid character class range: `z-a`"),
            ("a\\", "error parsing regexp: trailing backslash at end of expression: ``"),
        ];
        for (pattern, text) in cases {
            assert_eq!(compile(pattern).unwrap_err().to_string(), text, "{pattern}");
        }
        assert_eq!(compile(r"(\pL{1000}){1000}").unwrap_err(), PatternError::TooLarge);
        assert_eq!(compile(&"a".repeat(MAX_LENGTH + 1)).unwrap_err(), PatternError::TooLong);
    }

    proptest! {
        #[test]
        fn no_pattern_panics(pattern in r"[\\\[\](){}?*+|^$.,:<>=!&~#A-Za-z0-9é-]{0,12}") {
            let _ = compile(&pattern);
        }
    }
}
