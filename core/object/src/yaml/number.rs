//! Numbers as Go prints them in JSON and YAML.

use serde_json::{Number, Value};

/// A float as JSON: Go prints `8.0` as `8` and `1e20` with all its digits, and readers of that JSON see an integer where
/// it fits into 64 bits. `None` for infinities and NaN.
pub(crate) fn from_f64(float: f64) -> Option<Value> {
    if float.fract() == 0.0 && float.abs() < 1e21 {
        // The shortest digits that mean this float, filled up with zeros: close to 2^63 that is another integer.
        let digits = float.to_string();
        if let Ok(int) = digits.parse::<i64>() {
            return Some(Value::from(int));
        }
        if let Ok(int) = digits.parse::<u64>() {
            return Some(Value::from(int));
        }
    }
    Number::from_f64(float).map(Value::Number)
}

/// Go's `strconv.FormatFloat(float, 'g', -1, bits)`: the shortest digits, with an exponent below 1e-4 and
/// from 1e6 on.
pub(super) fn format_g(float: f64, single: bool) -> String {
    let scientific = if single { format!("{:e}", float as f32) } else { format!("{float:e}") };
    let Some((mantissa, exponent)) = scientific.split_once('e') else { return scientific };
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let (sign, mantissa) = match mantissa.strip_prefix('-') {
        Some(rest) => ("-", rest),
        None => ("", mantissa),
    };
    let digits: String = mantissa.chars().filter(|c| *c != '.').collect();
    if !(-4..6).contains(&exponent) {
        return format_exponent(sign, mantissa, exponent);
    }
    if exponent < 0 {
        return format!("{sign}0.{}{digits}", "0".repeat((-exponent - 1) as usize));
    }
    let whole = exponent as usize + 1;
    if digits.len() <= whole {
        return format!("{sign}{digits}{}", "0".repeat(whole - digits.len()));
    }
    format!("{sign}{}.{}", &digits[..whole], &digits[whole..])
}

fn format_exponent(sign: &str, mantissa: &str, exponent: i32) -> String {
    let direction = if exponent < 0 { '-' } else { '+' };
    format!("{sign}{mantissa}e{direction}{:02}", exponent.abs())
}
