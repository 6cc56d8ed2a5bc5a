//! Amounts of resources as k8s.io/apimachinery's `resource.Quantity` reads and writes them:
//! `250m`, `1.5Gi`, `12e6`.
//!
//! Values are exact to one billionth; anything smaller rounds away from zero. Amounts with a binary
//! suffix are capped at 2^63 - 1, others at what fits (about 10^29).

use std::cmp::Ordering;
use std::fmt;

use serde_json::Value;
use thiserror::Error;

const NANO: i128 = 1_000_000_000;
/// Largest amount a quantity with a binary suffix can hold.
const MAX_BINARY: i128 = i64::MAX as i128 * NANO;
/// Texts beyond this are not quantities anybody writes.
const MAX_TEXT: usize = 512;

/// Why a text is not a quantity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum QuantityError {
    /// Not a number followed by a suffix.
    #[error("quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'")]
    Format,
    /// The number part cannot be read.
    #[error("unable to parse numeric part of quantity")]
    Numeric,
    /// The suffix is not one of those known.
    #[error("unable to parse quantity's suffix")]
    Suffix,
}

/// How a quantity was written, and so how it prints.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    /// `12e6`
    Exponent,
    /// `12M`
    Decimal,
    /// `12Mi`
    Binary,
}

/// An amount of a resource.
///
/// Equality and order compare the amounts; how they were written does not matter.
#[derive(Debug, Clone, Copy)]
pub struct Quantity {
    nano: i128,
    format: Format,
}

impl Quantity {
    /// Zero.
    pub const ZERO: Quantity = Quantity { nano: 0, format: Format::Decimal };

    /// A whole number without a suffix.
    pub fn from_integer(value: i64) -> Self {
        Quantity { nano: i128::from(value) * NANO, format: Format::Decimal }
    }

    /// Reads a text such as `250m` or `1.5Gi`.
    pub fn parse(text: &str) -> Result<Self, QuantityError> {
        if text.is_empty() || text.len() > MAX_TEXT {
            return Err(QuantityError::Format);
        }
        let (negative, rest) = match text.as_bytes()[0] {
            b'-' => (true, &text[1..]),
            b'+' => (false, &text[1..]),
            _ => (false, text),
        };
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let (number, suffix) = rest.split_at(end);
        let (whole, fraction) = match number.split_once('.') {
            Some((whole, fraction)) => (whole, fraction),
            None => (number, ""),
        };
        if fraction.contains('.') || !is_suffix_shape(suffix) {
            return Err(QuantityError::Format);
        }
        if whole.is_empty() && fraction.is_empty() {
            return Err(if suffix.is_empty() { QuantityError::Format } else { QuantityError::Numeric });
        }
        let (scale, mut format) = Scale::parse(suffix).ok_or(QuantityError::Suffix)?;
        let mut nano = scale.amount(whole, fraction);
        if format == Format::Binary {
            nano = nano.min(MAX_BINARY);
            if nano > 0 && nano < NANO {
                format = Format::Decimal;
            }
        }
        Ok(Quantity { nano: if negative { -nano } else { nano }, format })
    }

    /// Reads a quantity of an object: a text, or a number without a suffix.
    pub fn from_value(value: &Value) -> Result<Self, QuantityError> {
        match value {
            Value::String(text) => Self::parse(text.trim()),
            Value::Number(number) => Self::parse(&number.to_string()),
            _ => Err(QuantityError::Format),
        }
    }

    /// The amount as a whole number, rounded away from zero, limited to 64 bits.
    pub fn value(&self) -> i64 {
        saturate(divide_up(self.nano, NANO))
    }

    /// The amount in thousandths, rounded away from zero, limited to 64 bits.
    pub fn milli_value(&self) -> i64 {
        saturate(divide_up(self.nano, NANO / 1000))
    }

    /// The amount as the nearest floating point number.
    pub fn approximate(&self) -> f64 {
        self.nano as f64 / NANO as f64
    }

    /// Whether the amount is zero.
    pub fn is_zero(&self) -> bool {
        self.nano == 0
    }

    /// -1, 0 or 1.
    pub fn sign(&self) -> i32 {
        match self.nano.cmp(&0) {
            Ordering::Less => -1,
            Ordering::Equal => 0,
            Ordering::Greater => 1,
        }
    }

    /// The sum; it prints as `self` does, or as `other` when `self` is zero.
    #[must_use]
    pub fn plus(&self, other: &Quantity) -> Quantity {
        Quantity {
            nano: self.nano.saturating_add(other.nano),
            format: if self.nano == 0 { other.format } else { self.format },
        }
    }

    /// The difference; it prints as [`Quantity::plus`] does.
    #[must_use]
    pub fn minus(&self, other: &Quantity) -> Quantity {
        self.plus(&Quantity { nano: -other.nano, format: other.format })
    }

    /// The amount rounded away from zero to whole thousandths, as the server stores resource lists.
    #[must_use]
    pub fn round_to_milli(&self) -> Quantity {
        let unit = NANO / 1000;
        Quantity { nano: divide_up(self.nano, unit).saturating_mul(unit), format: self.format }
    }
}

impl PartialEq for Quantity {
    fn eq(&self, other: &Self) -> bool {
        self.nano == other.nano
    }
}

impl Eq for Quantity {}

impl PartialOrd for Quantity {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Quantity {
    fn cmp(&self, other: &Self) -> Ordering {
        self.nano.cmp(&other.nano)
    }
}

/// The canonical text: no fraction, the largest suffix that keeps the number whole.
impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.nano == 0 {
            return f.write_str("0");
        }
        let small = self.nano.abs() < 1024 * NANO;
        let exact = self.nano % NANO == 0;
        if self.format == Format::Binary && !small && exact {
            let mut number = self.nano / NANO;
            let mut power = 0;
            while number % 1024 == 0 && power + 1 < BINARY.len() {
                number /= 1024;
                power += 1;
            }
            return write!(f, "{number}{}", BINARY[power]);
        }
        let mut number = self.nano;
        let mut exponent: i32 = -9;
        let decimal = self.format != Format::Exponent;
        while number % 1000 == 0 && (!decimal || exponent < 18) {
            number /= 1000;
            exponent += 3;
        }
        if decimal {
            let index = usize::try_from(exponent / 3 + 3).unwrap_or_default();
            write!(f, "{number}{}", DECIMAL.get(index).copied().unwrap_or_default())
        } else if exponent == 0 {
            write!(f, "{number}")
        } else {
            write!(f, "{number}e{exponent}")
        }
    }
}

const BINARY: [&str; 7] = ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];
const DECIMAL: [&str; 10] = ["n", "u", "m", "", "k", "M", "G", "T", "P", "E"];

/// Whether `suffix` has the shape `[eEinumkKMGTP]*[-+]?[0-9]*`.
fn is_suffix_shape(suffix: &str) -> bool {
    let rest = suffix.trim_start_matches(|c| "eEinumkKMGTP".contains(c));
    let rest = rest.strip_prefix(['-', '+']).unwrap_or(rest);
    rest.bytes().all(|b| b.is_ascii_digit())
}

/// What a suffix multiplies by: 10^ten * 2^two.
#[derive(Clone, Copy)]
struct Scale {
    ten: i32,
    two: u32,
}

impl Scale {
    fn parse(suffix: &str) -> Option<(Self, Format)> {
        if let Some(index) = DECIMAL.iter().position(|one| *one == suffix) {
            let ten = 3 * (i32::try_from(index).ok()? - 3);
            return Some((Scale { ten, two: 0 }, Format::Decimal));
        }
        if let Some(index) = BINARY.iter().position(|one| *one == suffix) {
            let two = 10 * u32::try_from(index).ok()?;
            return Some((Scale { ten: 0, two }, Format::Binary));
        }
        let exponent = suffix.strip_prefix(['e', 'E'])?;
        let ten: i32 = exponent.parse().ok()?;
        Some((Scale { ten, two: 0 }, Format::Exponent))
    }

    /// The amount of `whole.fraction`, both digits only, in billionths.
    fn amount(self, whole: &str, fraction: &str) -> i128 {
        let ten = self.ten.saturating_add(9);
        // Up to 11 digits of the fraction leave room for every suffix in 128 bits; what lies
        // beyond only decides whether to round up.
        const FRACTION_DIGITS: usize = 11;
        let kept = &fraction[..fraction.len().min(FRACTION_DIGITS)];
        let beyond = fraction[kept.len()..].bytes().any(|b| b != b'0');
        let whole = whole.trim_start_matches('0');
        let fraction_value: i128 = if kept.is_empty() { 0 } else { kept.parse().unwrap_or(0) };
        let nothing = whole.is_empty() && fraction_value == 0 && !beyond;
        if nothing {
            return 0;
        }
        if ten < 0 {
            // Smaller than a billionth a digit: join the digits and divide.
            let digits = format!("{whole}{kept}");
            let Ok(value) = digits.trim_start_matches('0').parse::<i128>() else {
                return if digits.trim_start_matches('0').is_empty() { 1 } else { i128::MAX / 4 };
            };
            let places = ten.unsigned_abs().saturating_add(kept.len() as u32);
            let Some(divisor) = 10_i128.checked_pow(places) else {
                return 1;
            };
            return divide_up(value, divisor).max(1);
        }
        let large = i128::MAX / 4;
        let Some(unit) =
            10_i128.checked_pow(ten.unsigned_abs()).and_then(|unit| unit.checked_mul(1_i128 << self.two))
        else {
            return large;
        };
        let whole_value = if whole.is_empty() { Some(0) } else { whole.parse::<i128>().ok() };
        let Some(total) = whole_value.and_then(|value| value.checked_mul(unit)) else {
            return large;
        };
        let places = 10_i128.pow(kept.len() as u32);
        let part = match fraction_value.checked_mul(unit) {
            Some(product) => divide_up(product, places) + i128::from(beyond && product % places == 0),
            None => return large,
        };
        total.saturating_add(part).min(large)
    }
}

/// `value / divisor`, rounded away from zero; `divisor` is positive.
fn divide_up(value: i128, divisor: i128) -> i128 {
    let quotient = value / divisor;
    match (value % divisor).cmp(&0) {
        Ordering::Equal => quotient,
        Ordering::Greater => quotient + 1,
        Ordering::Less => quotient - 1,
    }
}

fn saturate(value: i128) -> i64 {
    i64::try_from(value).unwrap_or(if value < 0 { i64::MIN } else { i64::MAX })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;

    #[test]
    fn quantities_print_in_canonical_form() {
        let cases = [
            ("0", "0"),
            ("0Mi", "0"),
            ("1000m", "1"),
            ("0.5", "500m"),
            ("1.5", "1500m"),
            ("100m", "100m"),
            ("1024Mi", "1Gi"),
            ("1.5Gi", "1536Mi"),
            ("1536Mi", "1536Mi"),
            ("512Ki", "512Ki"),
            ("0.5Ki", "512"),
            ("1023", "1023"),
            ("1000", "1k"),
            ("1000k", "1M"),
            ("12e6", "12e6"),
            ("12000e3", "12e6"),
            ("1e3", "1e3"),
            ("5E", "5E"),
            ("1n", "1n"),
            ("0.1n", "1n"),
            ("-0.5", "-500m"),
            ("+5", "5"),
            (".5", "500m"),
            ("5.", "5"),
            ("0.0001Ki", "102400u"),
            ("16Ei", "9223372036854775807"),
            ("100Gi", "100Gi"),
        ];
        for (text, canonical) in cases {
            assert_eq!(Quantity::parse(text).unwrap().to_string(), canonical, "{text}");
        }
    }

    #[test]
    fn what_is_not_a_quantity_is_refused_with_the_reason() {
        for text in ["", "abc", "1 Gi", "1.2.3", "1Gi5x"] {
            assert_eq!(Quantity::parse(text).unwrap_err(), QuantityError::Format, "{text}");
        }
        for text in ["1KKi", "1KiKi", "1e", "1mm"] {
            assert_eq!(Quantity::parse(text).unwrap_err(), QuantityError::Suffix, "{text}");
        }
        assert_eq!(Quantity::parse("Ki").unwrap_err(), QuantityError::Numeric);
        assert!(Quantity::from_value(&json!({"a": 1})).is_err());
        assert!(Quantity::from_value(&json!(true)).is_err());
    }

    #[test]
    fn amounts_compare_across_suffixes() {
        let parse = |text: &str| Quantity::parse(text).unwrap();
        assert_eq!(parse("1"), parse("1000m"));
        assert_eq!(parse("1Ki"), parse("1024"));
        assert!(parse("1M") < parse("1Mi"));
        assert!(parse("-1") < Quantity::ZERO);
        assert_eq!(parse("100m").plus(&parse("0.9")).to_string(), "1");
        assert_eq!(parse("1Gi").minus(&parse("512Mi")).to_string(), "512Mi");
        assert_eq!(parse("1.1").value(), 2);
        assert_eq!(parse("-1.1").value(), -2);
        assert_eq!(parse("1500u").milli_value(), 2);
        assert_eq!(parse("1500u").round_to_milli().to_string(), "2m");
    }

    #[test]
    fn extreme_texts_neither_panic_nor_wrap() {
        let long = "9".repeat(400);
        for text in [
            long.as_str(),
            "1e2147483647",
            "1e-2147483648",
            "1e-30",
            "99999999999999999999999999999999999999Ei",
            "0.000000000000000000000000000000000001",
            "999999999999999999999999.999999999999E",
        ] {
            let quantity = Quantity::parse(text).unwrap();
            assert!(quantity.sign() > 0, "{text}");
            let _ = (quantity.to_string(), quantity.value(), quantity.milli_value());
            let _ = quantity.plus(&quantity).minus(&quantity).round_to_milli().to_string();
        }
    }

    #[test]
    fn numbers_of_an_object_count_as_quantities() {
        assert_eq!(Quantity::from_value(&json!(2)).unwrap().to_string(), "2");
        assert_eq!(Quantity::from_value(&json!(0.5)).unwrap().to_string(), "500m");
        assert_eq!(Quantity::from_value(&json!(" 2Gi ")).unwrap().to_string(), "2Gi");
    }
}
