//! The values of `format` that Kubernetes checks in texts.
//!
//! Formats that it does not know are ignored, and so are those of numbers: `int32` says nothing of the
//! range there either.

use std::net::IpAddr;
use std::sync::LazyLock;

use jiff::Timestamp;
use jiff::civil::Date;
use regex::Regex;

use super::url::Url;
use crate::names::{dns_1123_label, dns_1123_subdomain, parse_cidr};
use crate::quantity::Quantity;

/// A format of texts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TextFormat {
    /// 24 hexadecimal digits.
    BsonObjectId,
    /// Base64.
    Byte,
    /// A network: `10.0.0.0/8`.
    Cidr,
    /// The digits of a credit card.
    CreditCard,
    /// RFC 3339: `2006-01-02`.
    Date,
    /// RFC 3339: `2006-01-02T15:04:05Z`.
    DateTime,
    /// Go's durations and those with words: `22 ns`.
    Duration,
    /// An address of RFC 5322.
    Email,
    /// `#fff`.
    HexColor,
    /// A name of RFC 1034.
    Hostname,
    /// An address of the fourth version.
    Ipv4,
    /// An address of the sixth version.
    Ipv6,
    /// The number of a book, in either form.
    Isbn,
    /// Of ten digits.
    Isbn10,
    /// Of thirteen digits.
    Isbn13,
    /// A subdomain of RFC 1123.
    LongName,
    /// The address of a network card.
    Mac,
    /// Any text.
    Password,
    /// An amount of a resource.
    Quantity,
    /// `rgb(255, 0, 0)`.
    RgbColor,
    /// A label of RFC 1123.
    ShortName,
    /// A social security number of the United States.
    Ssn,
    /// A URL with a scheme or a path.
    Uri,
    /// Of any version.
    Uuid,
    /// Of version 3.
    Uuid3,
    /// Of version 4.
    Uuid4,
    /// Of version 5.
    Uuid5,
}

impl TextFormat {
    /// The format of a name, with or without hyphens; `None` for those that are not checked.
    pub fn named(name: &str) -> Option<Self> {
        Some(match name.replace('-', "").as_str() {
            "bsonobjectid" => Self::BsonObjectId,
            "byte" => Self::Byte,
            "cidr" => Self::Cidr,
            "creditcard" => Self::CreditCard,
            "date" => Self::Date,
            "datetime" => Self::DateTime,
            "duration" => Self::Duration,
            "email" => Self::Email,
            "hexcolor" => Self::HexColor,
            "hostname" => Self::Hostname,
            "ipv4" => Self::Ipv4,
            "ipv6" => Self::Ipv6,
            "isbn" => Self::Isbn,
            "isbn10" => Self::Isbn10,
            "isbn13" => Self::Isbn13,
            "k8slongname" => Self::LongName,
            "mac" => Self::Mac,
            "password" => Self::Password,
            "quantity" => Self::Quantity,
            "rgbcolor" => Self::RgbColor,
            "k8sshortname" => Self::ShortName,
            "ssn" => Self::Ssn,
            "uri" => Self::Uri,
            "uuid" => Self::Uuid,
            "uuid3" => Self::Uuid3,
            "uuid4" => Self::Uuid4,
            "uuid5" => Self::Uuid5,
            _ => return None,
        })
    }

    /// Whether a text is of this format.
    pub fn matches(self, text: &str) -> bool {
        match self {
            Self::Password => true,
            Self::Byte => is_base64(text),
            Self::Cidr => parse_cidr(text).is_some(),
            Self::CreditCard => is_credit_card(text),
            Self::Date => parse_date(text).is_some(),
            Self::DateTime => parse_date_time(text).is_some(),
            Self::Duration => parse_duration(text).is_some(),
            Self::Email => is_email(text),
            Self::Hostname => is_hostname(text),
            Self::Ipv4 => text.contains('.') && text.parse::<IpAddr>().is_ok(),
            Self::Ipv6 => text.contains(':') && text.parse::<IpAddr>().is_ok(),
            Self::Isbn => is_isbn10(text) || is_isbn13(text),
            Self::Isbn10 => is_isbn10(text),
            Self::Isbn13 => is_isbn13(text),
            Self::LongName => dns_1123_subdomain(text).is_empty(),
            Self::ShortName => dns_1123_label(text).is_empty(),
            Self::Mac => is_mac(text),
            Self::Quantity => Quantity::parse(text).is_ok(),
            Self::Uri => Url::parse(text).is_some(),
            Self::BsonObjectId
            | Self::HexColor
            | Self::RgbColor
            | Self::Ssn
            | Self::Uuid
            | Self::Uuid3
            | Self::Uuid4
            | Self::Uuid5 => self.regex().is_some_and(|regex| regex.is_match(text)),
        }
    }

    fn regex(self) -> Option<&'static Regex> {
        static ALL: LazyLock<Vec<(TextFormat, Regex)>> = LazyLock::new(|| {
            [
                (TextFormat::BsonObjectId, "^[0-9a-fA-F]{24}$"),
                (TextFormat::HexColor, "^#?([0-9a-fA-F]{3}|[0-9a-fA-F]{6})$"),
                (
                    TextFormat::RgbColor,
                    r"^rgb\(\s*(0|[1-9][0-9]?|1[0-9][0-9]?|2[0-4][0-9]|25[0-5])\s*,\s*(0|[1-9][0-9]?|1[0-9][0-9]?|2[0-4][0-9]|25[0-5])\s*,\s*(0|[1-9][0-9]?|1[0-9][0-9]?|2[0-4][0-9]|25[0-5])\s*\)$",
                ),
                (TextFormat::Ssn, "^[0-9]{3}[- ]?[0-9]{2}[- ]?[0-9]{4}$"),
                (TextFormat::Uuid, "(?i)^[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}$"),
                (TextFormat::Uuid3, "(?i)^[0-9a-f]{8}-?[0-9a-f]{4}-?3[0-9a-f]{3}-?[0-9a-f]{4}-?[0-9a-f]{12}$"),
                (
                    TextFormat::Uuid4,
                    "(?i)^[0-9a-f]{8}-?[0-9a-f]{4}-?4[0-9a-f]{3}-?[89ab][0-9a-f]{3}-?[0-9a-f]{12}$",
                ),
                (
                    TextFormat::Uuid5,
                    "(?i)^[0-9a-f]{8}-?[0-9a-f]{4}-?5[0-9a-f]{3}-?[89ab][0-9a-f]{3}-?[0-9a-f]{12}$",
                ),
            ]
            .into_iter()
            .filter_map(|(format, pattern)| Some((format, Regex::new(pattern).ok()?)))
            .collect()
        });
        ALL.iter().find(|(format, _)| *format == self).map(|(_, regex)| regex)
    }
}

/// `2006-01-02`
pub(crate) fn parse_date(text: &str) -> Option<Date> {
    let bytes = text.as_bytes();
    let shaped = bytes.len() == 10
        && bytes.iter().enumerate().all(|(index, b)| match index {
            4 | 7 => *b == b'-',
            _ => b.is_ascii_digit(),
        });
    if !shaped {
        return None;
    }
    let number = |range: std::ops::Range<usize>| text.get(range)?.parse::<i16>().ok();
    let small = |range: std::ops::Range<usize>| text.get(range)?.parse::<i8>().ok();
    Date::new(number(0..4)?, small(5..7)?, small(8..10)?).ok()
}

/// The moment of `2014-12-15T19:30:20.000Z`; upper and lower case.
pub(crate) fn parse_date_time(text: &str) -> Option<Timestamp> {
    static TIME: LazyLock<Option<Regex>> = LazyLock::new(|| {
        Regex::new(r"^([0-9]{2}):([0-9]{2}):([0-9]{2})(\.[0-9]+)?(z|[+-][0-9]{2}:[0-9]{2})$").ok()
    });
    let lower = text.to_ascii_lowercase();
    let (date, time) = lower.split_once('t')?;
    let date = parse_date(date)?;
    let parts = TIME.as_ref()?.captures(time)?;
    let number = |index: usize| parts.get(index).and_then(|m| m.as_str().parse::<i8>().ok());
    let (hour, minute, second) = (number(1)?, number(2)?, number(3)?);
    let fraction = parts.get(4).map_or("", |m| m.as_str());
    let digits: String = fraction.chars().skip(1).chain("000000000".chars()).take(9).collect();
    let zone = parts.get(5).map_or("z", |m| m.as_str());
    let offset = if zone == "z" {
        0
    } else {
        let sign = if zone.starts_with('-') { -1 } else { 1 };
        let part = |range: std::ops::Range<usize>| zone.get(range)?.parse::<i64>().ok();
        sign * (part(1..3)? * 3600 + part(4..6)? * 60)
    };
    let time = jiff::civil::Time::new(hour, minute, second, digits.parse().ok()?).ok()?;
    let moment = date.to_datetime(time).to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp();
    moment.checked_sub(jiff::SignedDuration::from_secs(offset)).ok()
}

const SECOND: i128 = 1_000_000_000;

/// Nanoseconds of `1h2m3.5s` as Go reads durations, or of `22 ns`, `3 days`.
pub(crate) fn parse_duration(text: &str) -> Option<i64> {
    parse_go_duration(text).or_else(|| parse_long_duration(text))
}

/// Nanoseconds of `1h2m3.5s`.
pub(crate) fn parse_go_duration(text: &str) -> Option<i64> {
    let (negative, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Some(0);
    }
    if rest.is_empty() || text.len() > 200 {
        return None;
    }
    let mut total: i128 = 0;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, after) = rest.split_at(end);
        let end = after.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(after.len());
        let (unit, after) = after.split_at(end);
        rest = after;
        let unit: i128 = match unit {
            "ns" => 1,
            "us" | "µs" | "μs" => 1_000,
            "ms" => 1_000_000,
            "s" => SECOND,
            "m" => 60 * SECOND,
            "h" => 3600 * SECOND,
            _ => return None,
        };
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if fraction.contains('.') || (whole.is_empty() && fraction.is_empty()) {
            return None;
        }
        let whole: i128 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
        total = total.checked_add(whole.checked_mul(unit)?)?;
        let digits: String = fraction.chars().take(18).collect();
        if !digits.is_empty() {
            let scale = 10_i128.pow(u32::try_from(digits.len()).ok()?);
            total += digits.parse::<i128>().ok()? * unit / scale;
        }
    }
    i64::try_from(if negative { -total } else { total }).ok()
}

/// `22 ns`, `3 days 2 hours`: a number and a unit in words.
fn parse_long_duration(text: &str) -> Option<i64> {
    static PART: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"([0-9]+)\s*([A-Za-zµ]+)").ok());
    let mut total: i128 = 0;
    let mut found = false;
    for part in PART.as_ref()?.captures_iter(text.get(..200).unwrap_or(text)) {
        let (Some(number), Some(unit)) = (part.get(1), part.get(2)) else {
            continue;
        };
        let unit: i128 = match unit.as_str() {
            "ns" | "nano" | "nanos" | "nanosec" | "nanosecond" | "nanoseconds" => 1,
            "us" | "µs" | "micro" | "micros" | "microsecond" | "microseconds" => 1_000,
            "ms" | "milli" | "millis" | "millisec" | "millisecond" | "milliseconds" => 1_000_000,
            "s" | "sec" | "secs" | "second" | "seconds" => SECOND,
            "m" | "min" | "mins" | "minute" | "minutes" => 60 * SECOND,
            "h" | "hr" | "hour" | "hours" => 3600 * SECOND,
            "d" | "day" | "days" => 86_400 * SECOND,
            "w" | "wk" | "week" | "weeks" => 7 * 86_400 * SECOND,
            _ => continue,
        };
        total = total.checked_add(number.as_str().parse::<i128>().ok()?.checked_mul(unit)?)?;
        found = true;
    }
    if !found {
        return None;
    }
    i64::try_from(total).ok()
}

fn is_base64(text: &str) -> bool {
    let body = text.trim_end_matches('=');
    !text.is_empty()
        && text.len().is_multiple_of(4)
        && text.len() - body.len() <= 2
        && body.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/'))
}

/// `a@b`, `<a@b>` or `Name <a@b>`.
fn is_email(text: &str) -> bool {
    let text = text.trim();
    let address = match text.strip_suffix('>') {
        Some(rest) => match rest.rsplit_once('<') {
            Some((name, address)) => {
                let name = name.trim();
                let quoted = name.len() >= 2 && name.starts_with('"') && name.ends_with('"');
                let plain = name.chars().all(|c| is_atom(c) || c == ' ');
                if !quoted && !plain {
                    return false;
                }
                address
            }
            None => return false,
        },
        None => text,
    };
    let Some((local, domain)) = address.rsplit_once('@') else {
        return false;
    };
    let quoted = local.len() > 2
        && local.starts_with('"')
        && local.ends_with('"')
        && !local[1..local.len() - 1].contains(['"', '\\', '\n', '\r']);
    let dotted =
        |part: &str| !part.is_empty() && part.split('.').all(|a| !a.is_empty() && a.chars().all(is_atom));
    let literal = domain
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
        .is_some_and(|inner| inner.trim_start_matches("IPv6:").parse::<IpAddr>().is_ok());
    (quoted || dotted(local)) && (literal || dotted(domain))
}

fn is_atom(c: char) -> bool {
    !c.is_ascii() || c.is_ascii_alphanumeric() || "!#$%&'*+-/=?^_`{|}~".contains(c)
}

fn is_hostname(text: &str) -> bool {
    static HOSTNAME: LazyLock<Option<Regex>> = LazyLock::new(|| {
        Regex::new(
            r"^([a-zA-Z0-9\p{S}\p{L}]((-?[a-zA-Z0-9\p{S}\p{L}]{0,62})?)|([a-zA-Z0-9\p{S}\p{L}](([a-zA-Z0-9\-\p{S}\p{L}]{0,61}[a-zA-Z0-9\p{S}\p{L}])?)(\.)){1,}([a-zA-Z0-9\p{S}\p{L}])(-?[a-zA-Z0-9\p{S}\p{L}]){1,62})$",
        )
        .ok()
    });
    text.len() <= 255
        && text.split('.').all(|label| label.len() <= 63)
        && HOSTNAME.as_ref().is_some_and(|regex| regex.is_match(text))
}

/// 6, 8 or 20 bytes in hexadecimal, joined by `:` or `-`, or in fours by `.`.
fn is_mac(text: &str) -> bool {
    let hex = |part: &str, length: usize| part.len() == length && part.bytes().all(|b| b.is_ascii_hexdigit());
    for separator in [':', '-'] {
        let parts: Vec<&str> = text.split(separator).collect();
        if parts.len() > 1 {
            return matches!(parts.len(), 6 | 8 | 20) && parts.iter().all(|part| hex(part, 2));
        }
    }
    let parts: Vec<&str> = text.split('.').collect();
    matches!(parts.len(), 3 | 4 | 10) && parts.iter().all(|part| hex(part, 4))
}

fn is_isbn10(text: &str) -> bool {
    let text: String = text.chars().filter(|c| !matches!(c, ' ' | '-')).collect();
    let digits: Vec<u32> = text
        .chars()
        .enumerate()
        .filter_map(|(index, c)| if index == 9 && c == 'X' { Some(10) } else { c.to_digit(10) })
        .collect();
    text.len() == 10 && digits.len() == 10 && {
        let sum: u32 = digits.iter().zip(1..).map(|(digit, weight)| digit * weight).sum();
        sum.is_multiple_of(11)
    }
}

fn is_isbn13(text: &str) -> bool {
    let text: String = text.chars().filter(|c| !matches!(c, ' ' | '-')).collect();
    let digits: Vec<u32> = text.chars().filter_map(|c| c.to_digit(10)).collect();
    text.len() == 13 && digits.len() == 13 && {
        let sum: u32 =
            digits.iter().enumerate().map(|(i, digit)| if i % 2 == 0 { *digit } else { digit * 3 }).sum();
        sum.is_multiple_of(10)
    }
}

fn is_credit_card(text: &str) -> bool {
    static CARD: LazyLock<Option<Regex>> = LazyLock::new(|| {
        Regex::new(
            r"^(?:4[0-9]{12}(?:[0-9]{3})?|5[1-5][0-9]{14}|6(?:011|5[0-9][0-9])[0-9]{12}|3[47][0-9]{13}|3(?:0[0-5]|[68][0-9])[0-9]{11}|(?:2131|1800|35[0-9]{3})[0-9]{11})$",
        )
        .ok()
    });
    let digits: String = text.chars().filter(char::is_ascii_digit).collect();
    if !CARD.as_ref().is_some_and(|regex| regex.is_match(&digits)) {
        return false;
    }
    let sum: u32 = digits
        .chars()
        .rev()
        .filter_map(|c| c.to_digit(10))
        .enumerate()
        .map(|(index, digit)| match index % 2 {
            0 => digit,
            _ if digit > 4 => digit * 2 - 9,
            _ => digit * 2,
        })
        .sum();
    sum.is_multiple_of(10)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn each_format_accepts_and_refuses() {
        let cases: [(&str, &[&str], &[&str]); 27] = [
            ("date", &["2024-02-29"], &["2023-02-29", "2024-2-1", "2024-01-01T00:00:00Z", ""]),
            (
                "date-time",
                &["2024-01-01T00:00:00Z", "2024-01-01t23:59:59.5+01:00"],
                &["2024-01-01", "2024-01-01T24:00:00Z", "2024-01-01T00:00:00", "2024-01-01 00:00:00Z"],
            ),
            ("duration", &["1h2m", "22 ns", "3 days", "-1.5s", "0"], &["", "1", "x", "1 y"]),
            ("byte", &["YQ==", "YWFh"], &["", "YQ=", "Y Q=", "é==="]),
            ("ipv4", &["10.0.0.1"], &["10.0.0", "::1", "10.0.0.01", "10.0.0.1/8"]),
            ("ipv6", &["::1", "fe80::1"], &["10.0.0.1", "fe80::1%eth0"]),
            ("cidr", &["10.0.0.0/8", "::/0"], &["10.0.0.0", "10.0.0.0/33"]),
            ("uri", &["https://example.com/a", "/a", "mailto:x@y"], &["a", "", "http://a b"]),
            ("email", &["a@b.c", "N <a@b>", "\"a b\"@c"], &["a", "@b", "a@", "a b@c", "<a@b"]),
            ("hostname", &["a", "a.example", "1a"], &["", "-a", "a..bc", "a_b"]),
            (
                "uuid",
                &["123e4567-E89B-12d3-a456-426614174000", "123e4567e89b12d3a456426614174000"],
                &["123", ""],
            ),
            ("uuid3", &["123e4567-e89b-32d3-a456-426614174000"], &["123e4567-e89b-12d3-a456-426614174000"]),
            ("uuid4", &["123e4567-e89b-42d3-a456-426614174000"], &["123e4567-e89b-42d3-c456-426614174000"]),
            ("uuid5", &["123e4567-e89b-52d3-a456-426614174000"], &["123e4567-e89b-42d3-a456-426614174000"]),
            ("mac", &["00:00:5e:00:53:01", "0000.5e00.5301"], &["00:00", "00:00:5e:00:53:0g"]),
            ("isbn", &["0321751043", "978-0321751041"], &["0321751044"]),
            ("isbn10", &["0321751043"], &["978-0321751041"]),
            ("isbn13", &["978-0321751041"], &["0321751043"]),
            ("creditcard", &["4111 1111 1111 1111"], &["4111 1111 1111 1112"]),
            ("ssn", &["111-22-3333"], &["111-22-333"]),
            ("hexcolor", &["#fff", "00FF00"], &["#ff", "red"]),
            ("rgbcolor", &["rgb(0,255, 10)"], &["rgb(256,0,0)"]),
            ("password", &["", "x"], &[]),
            ("quantity", &["10Gi", "1.5"], &["x", ""]),
            ("bsonobjectid", &["507f1f77bcf86cd799439011"], &["507f"]),
            ("k8s-short-name", &["a-b"], &["a.b", "A"]),
            ("k8s-long-name", &["a.b"], &["a..b", "A"]),
        ];
        for (name, right, wrong) in cases {
            let format = TextFormat::named(name).unwrap();
            for text in right {
                assert!(format.matches(text), "{name} should accept {text:?}");
            }
            for text in wrong {
                assert!(!format.matches(text), "{name} should refuse {text:?}");
            }
        }
        assert_eq!(TextFormat::named("fancy"), None);
    }

    #[test]
    fn moments_and_durations_have_their_value() {
        assert_eq!(
            parse_date_time("2024-01-01T01:00:00.25+01:00").unwrap(),
            "2024-01-01T00:00:00.25Z".parse().unwrap()
        );
        assert_eq!(parse_duration("1m0.5s"), Some(60_500_000_000));
        assert_eq!(parse_duration("2 hours"), Some(7_200_000_000_000));
        assert_eq!(parse_duration("99999999999h"), None);
    }
}
