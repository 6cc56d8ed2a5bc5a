//! What a plain scalar means: the rules of go-yaml v2 (behind sigs.k8s.io/yaml) and of yaml.v3 (behind kustomize).
//!
//! They share the number syntax, which is Go's: `0777`, `0o777`, `0x1F`, `0b11`, `1_000`. They differ in booleans and
//! in what becomes of a timestamp.

use super::Dialect;

/// The value of a scalar, before it becomes JSON.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Scalar {
    Null,
    Bool(bool),
    Int(i64),
    /// Above `i64::MAX`.
    Uint(u64),
    Float(f64),
    /// In RFC 3339, normalised.
    Timestamp(String),
    Text,
}

impl Scalar {
    pub(super) fn tag(&self) -> &'static str {
        match self {
            Self::Null => "!!null",
            Self::Bool(_) => "!!bool",
            Self::Int(_) | Self::Uint(_) => "!!int",
            Self::Float(_) => "!!float",
            Self::Timestamp(_) => "!!timestamp",
            Self::Text => "!!str",
        }
    }
}

/// The meaning of a scalar whose text alone decides.
pub(super) fn resolve_plain(text: &str, dialect: Dialect) -> Scalar {
    if let Some(word) = resolve_word(text, dialect) {
        return word;
    }
    match text.as_bytes().first() {
        Some(b'.') => float(text).map_or(Scalar::Text, Scalar::Float),
        Some(b'+' | b'-' | b'0'..=b'9') => {
            if let Some(time) = timestamp(text) {
                return Scalar::Timestamp(time);
            }
            number(text).unwrap_or(Scalar::Text)
        }
        _ => Scalar::Text,
    }
}

fn resolve_word(text: &str, dialect: Dialect) -> Option<Scalar> {
    Some(match text {
        "" | "~" | "null" | "Null" | "NULL" => Scalar::Null,
        "true" | "True" | "TRUE" => Scalar::Bool(true),
        "false" | "False" | "FALSE" => Scalar::Bool(false),
        "y" | "Y" | "yes" | "Yes" | "YES" | "on" | "On" | "ON" if dialect == Dialect::Kubernetes => {
            Scalar::Bool(true)
        }
        "n" | "N" | "no" | "No" | "NO" | "off" | "Off" | "OFF" if dialect == Dialect::Kubernetes => {
            Scalar::Bool(false)
        }
        ".nan" | ".NaN" | ".NAN" => Scalar::Float(f64::NAN),
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => Scalar::Float(f64::INFINITY),
        "-.inf" | "-.Inf" | "-.INF" => Scalar::Float(f64::NEG_INFINITY),
        _ => return None,
    })
}

fn number(text: &str) -> Option<Scalar> {
    let plain: String = text.chars().filter(|c| *c != '_').collect();
    if let Some(int) = integer(&plain) {
        return Some(int);
    }
    if is_float_syntax(&plain) {
        return float(&plain).map(Scalar::Float);
    }
    // go-yaml's own handling of binary, from before Go had it, lets a sign stand behind the prefix.
    i64::from_str_radix(plain.strip_prefix("0b")?, 2).ok().map(Scalar::Int)
}

/// Go's `strconv.ParseInt(text, 0, 64)`, then `ParseUint`.
fn integer(text: &str) -> Option<Scalar> {
    let (negative, signed, magnitude) = match text.as_bytes().first()? {
        b'-' => (true, true, &text[1..]),
        b'+' => (false, true, &text[1..]),
        _ => (false, false, text),
    };
    let bytes = magnitude.as_bytes();
    let (radix, digits) = match bytes {
        [b'0', b'x' | b'X', ..] => (16, &magnitude[2..]),
        [b'0', b'o' | b'O', ..] => (8, &magnitude[2..]),
        [b'0', b'b' | b'B', ..] => (2, &magnitude[2..]),
        [b'0', _, ..] => (8, &magnitude[1..]),
        _ => (10, magnitude),
    };
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_alphanumeric()) {
        return None;
    }
    let value = u64::from_str_radix(digits, radix).ok()?;
    if negative {
        return (value <= 1 << 63).then(|| Scalar::Int((value as i64).wrapping_neg()));
    }
    match i64::try_from(value) {
        Ok(value) => Some(Scalar::Int(value)),
        // ParseUint takes no sign.
        Err(_) => (!signed).then_some(Scalar::Uint(value)),
    }
}

/// `[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?`
fn is_float_syntax(text: &str) -> bool {
    fn digits(bytes: &[u8]) -> (&[u8], usize) {
        let count = bytes.iter().take_while(|b| b.is_ascii_digit()).count();
        (&bytes[count..], count)
    }
    let mut rest = text.as_bytes();
    if let [b'-' | b'+', tail @ ..] = rest {
        rest = tail;
    }
    let (tail, whole) = digits(rest);
    rest = tail;
    if let [b'.', tail @ ..] = rest {
        let (tail, fraction) = digits(tail);
        if whole + fraction == 0 {
            return false;
        }
        rest = tail;
    } else if whole == 0 {
        return false;
    }
    if let [b'e' | b'E', tail @ ..] = rest {
        let tail = match tail {
            [b'-' | b'+', tail @ ..] => tail,
            _ => tail,
        };
        let (tail, exponent) = digits(tail);
        return exponent > 0 && tail.is_empty();
    }
    rest.is_empty()
}

/// A decimal float; a value out of range is no float (Go reports an error, and the scalar stays text). Go takes single
/// underscores between digits.
fn float(text: &str) -> Option<f64> {
    let bytes = text.as_bytes();
    for (i, byte) in bytes.iter().enumerate() {
        let digit = |at: Option<usize>| at.and_then(|at| bytes.get(at)).is_some_and(u8::is_ascii_digit);
        if *byte == b'_' && !(digit(i.checked_sub(1)) && digit(Some(i + 1))) {
            return None;
        }
    }
    let plain: String = text.chars().filter(|c| *c != '_').collect();
    if !is_float_syntax(&plain) {
        return None;
    }
    plain.parse::<f64>().ok().filter(|float| float.is_finite())
}

/// `190:20:30`: an integer to base 60 in YAML 1.1. Never read as one, but quoted when written.
pub(super) fn is_base60(text: &str) -> bool {
    let text = text.strip_prefix(['-', '+']).unwrap_or(text);
    let mut parts = text.split(':');
    let first = parts.next().unwrap_or_default();
    if !first.starts_with(|c: char| c.is_ascii_digit())
        || !first.bytes().all(|b| b.is_ascii_digit() || b == b'_')
    {
        return false;
    }
    let mut rest: Vec<&str> = parts.collect();
    let Some(last) = rest.pop() else { return false };
    let (last, fraction) = last.split_once('.').unwrap_or((last, ""));
    let sixty = |part: &str| match part.as_bytes() {
        [ones] => ones.is_ascii_digit(),
        [tens, ones] => (b'0'..=b'5').contains(tens) && ones.is_ascii_digit(),
        _ => false,
    };
    sixty(last) && rest.into_iter().all(sixty) && fraction.bytes().all(|b| b.is_ascii_digit() || b == b'_')
}

/// A timestamp in the four layouts that go-yaml knows, as RFC 3339: `2001-12-14`, `2001-12-14 21:59:43.10`,
/// `2001-12-14T21:59:43Z`, `2001-12-14t21:59:43-05:00`.
pub(super) fn timestamp(text: &str) -> Option<String> {
    let mut at = Cursor(text.as_bytes());
    let year = at.digits(4, 4)?;
    at.byte(b"-")?;
    let month = at.digits(1, 2)?;
    at.byte(b"-")?;
    let day = at.digits(1, 2)?;
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let days = match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 if leap => 29,
        2 => 28,
        _ => return None,
    };
    if day == 0 || day > days {
        return None;
    }
    if at.0.is_empty() {
        return Some(format!("{year:04}-{month:02}-{day:02}T00:00:00Z"));
    }
    let zoned = at.byte(b"Tt ")? != b' ';
    let hour = at.digits(1, 2).filter(|hour| *hour < 24)?;
    at.byte(b":")?;
    let minute = at.digits(1, 2).filter(|minute| *minute < 60)?;
    at.byte(b":")?;
    let second = at.digits(1, 2).filter(|second| *second < 60)?;
    let mut fraction = String::new();
    if at.byte(b".,").is_some() {
        let count = at.0.iter().take_while(|b| b.is_ascii_digit()).count();
        let (digits, rest) = at.0.split_at(count);
        if digits.is_empty() {
            return None;
        }
        // Nanoseconds are what Go keeps.
        fraction = digits.iter().take(9).map(|b| char::from(*b)).collect();
        fraction.truncate(fraction.trim_end_matches('0').len());
        if !fraction.is_empty() {
            fraction.insert(0, '.');
        }
        at.0 = rest;
    }
    let zone = if !zoned || at.byte(b"Z").is_some() {
        "Z".to_owned()
    } else {
        let sign = char::from(at.byte(b"+-")?);
        let hours = at.digits(2, 2).filter(|hours| *hours <= 24)?;
        at.byte(b":")?;
        let minutes = at.digits(2, 2).filter(|minutes| *minutes < 60)?;
        if hours + minutes == 0 { "Z".to_owned() } else { format!("{sign}{hours:02}:{minutes:02}") }
    };
    at.0.is_empty()
        .then(|| format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}{fraction}{zone}"))
}

struct Cursor<'a>(&'a [u8]);

impl Cursor<'_> {
    fn byte(&mut self, any: &[u8]) -> Option<u8> {
        let (first, rest) = self.0.split_first().filter(|(first, _)| any.contains(first))?;
        self.0 = rest;
        Some(*first)
    }

    /// A number of `min` to `max` digits.
    fn digits(&mut self, min: usize, max: usize) -> Option<u32> {
        let count = self.0.iter().take(max).take_while(|b| b.is_ascii_digit()).count();
        if count < min {
            return None;
        }
        let (digits, rest) = self.0.split_at(count);
        self.0 = rest;
        Some(digits.iter().fold(0, |number, digit| number * 10 + u32::from(digit - b'0')))
    }
}
