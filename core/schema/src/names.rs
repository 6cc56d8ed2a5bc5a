//! The formats of names and other texts. Each check returns what is wrong, nothing when all is
//! well.

use std::net::IpAddr;
use std::sync::LazyLock;

use regex::Regex;

const LABEL_1123: &str = "[a-z0-9]([-a-z0-9]*[a-z0-9])?";
const SUBDOMAIN_1123: &str = "[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*";
const WILDCARD_SUBDOMAIN: &str = "\\*\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*";
const LABEL_1035: &str = "[a-z]([-a-z0-9]*[a-z0-9])?";
const QUALIFIED_NAME: &str = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]";
const LABEL_VALUE: &str = "(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?";
const CONFIG_KEY: &str = "[-._a-zA-Z0-9]+";
const HTTP_HEADER: &str = "[-A-Za-z0-9]+";
const PERCENT: &str = "[0-9]+%";
/// The name of a setting of the kernel: `net.core.somaxconn`.
pub const SYSCTL: &str = r"([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?";
const HTTP_PATH: &str = r"[A-Za-z0-9/\-._~%!$&'()*+,;=:]+";

/// The names of DNS labels, and of most things made of one, have at most this many bytes.
pub const LABEL_MAX: usize = 63;
/// The names of DNS subdomains have at most this many bytes.
pub const SUBDOMAIN_MAX: usize = 253;

/// Whether all of `text` matches `pattern`, one of the constants of this file.
fn matches(pattern: &'static str, text: &str) -> bool {
    static COMPILED: LazyLock<Vec<(&'static str, Regex)>> = LazyLock::new(|| {
        [
            LABEL_1123,
            SUBDOMAIN_1123,
            WILDCARD_SUBDOMAIN,
            LABEL_1035,
            QUALIFIED_NAME,
            LABEL_VALUE,
            CONFIG_KEY,
            HTTP_HEADER,
            PERCENT,
            HTTP_PATH,
            SYSCTL,
        ]
        .into_iter()
        .filter_map(|pattern| Some((pattern, Regex::new(&format!("^(?:{pattern})$")).ok()?)))
        .collect()
    });
    COMPILED.iter().find(|(known, _)| *known == pattern).is_some_and(|(_, regex)| regex.is_match(text))
}

fn too_long(limit: usize) -> String {
    format!("must be no more than {limit} bytes")
}

/// `must be between 1 and 65535, inclusive`
pub fn range_error(low: i64, high: i64) -> String {
    format!("must be between {low} and {high}, inclusive")
}

fn regex_error(message: &str, pattern: &str, examples: &[&str]) -> String {
    if examples.is_empty() {
        return format!("{message} (regex used for validation is '{pattern}')");
    }
    let examples: Vec<String> = examples.iter().map(|one| format!("'{one}', ")).collect();
    format!("{message} (e.g. {}regex used for validation is '{pattern}')", examples.join(" or "))
}

fn check(
    text: &str,
    limit: Option<usize>,
    pattern: &'static str,
    message: &str,
    examples: &[&str],
) -> Vec<String> {
    let mut errors = Vec::new();
    if let Some(limit) = limit
        && text.len() > limit
    {
        errors.push(too_long(limit));
    }
    if !matches(pattern, text) {
        errors.push(regex_error(message, pattern, examples));
    }
    errors
}

/// A label of RFC 1123: `my-name`, `123-abc`.
pub fn dns_1123_label(text: &str) -> Vec<String> {
    check(
        text,
        Some(LABEL_MAX),
        LABEL_1123,
        "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character",
        &["my-name", "123-abc"],
    )
}

/// A subdomain of RFC 1123: `example.com`.
pub fn dns_1123_subdomain(text: &str) -> Vec<String> {
    check(
        text,
        Some(SUBDOMAIN_MAX),
        SUBDOMAIN_1123,
        "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character",
        &["example.com"],
    )
}

/// A subdomain below a wildcard: `*.example.com`.
pub fn wildcard_subdomain(text: &str) -> Vec<String> {
    check(
        text,
        Some(SUBDOMAIN_MAX),
        WILDCARD_SUBDOMAIN,
        "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain, which must consist of lower case alphanumeric characters, '-' or '.' and end with an alphanumeric character",
        &["*.example.com"],
    )
}

/// A label of RFC 1035: it begins with a letter.
pub fn dns_1035_label(text: &str) -> Vec<String> {
    check(
        text,
        Some(LABEL_MAX),
        LABEL_1035,
        "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character",
        &["my-name", "abc-123"],
    )
}

/// A name with an optional DNS prefix: `app.kubernetes.io/name`.
pub fn qualified_name(text: &str) -> Vec<String> {
    const MESSAGE: &str = "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character";
    const EXAMPLES: [&str; 3] = ["MyName", "my.name", "123-abc"];
    let mut errors = Vec::new();
    let name = match text.split('/').collect::<Vec<_>>().as_slice() {
        [name] => *name,
        [prefix, name] => {
            if prefix.is_empty() {
                errors.push("prefix part must be non-empty".to_owned());
            } else {
                let wrong = dns_1123_subdomain(prefix);
                errors.extend(wrong.iter().map(|error| format!("prefix part {error}")));
            }
            *name
        }
        _ => {
            return vec![format!(
                "a qualified name {} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')",
                regex_error(MESSAGE, QUALIFIED_NAME, &EXAMPLES)
            )];
        }
    };
    if name.is_empty() {
        errors.push("name part must be non-empty".to_owned());
    } else if name.len() > LABEL_MAX {
        errors.push(format!("name part {}", too_long(LABEL_MAX)));
    }
    if !matches(QUALIFIED_NAME, name) {
        errors.push(format!("name part {}", regex_error(MESSAGE, QUALIFIED_NAME, &EXAMPLES)));
    }
    errors
}

/// The value of a label; it may be empty.
pub fn label_value(text: &str) -> Vec<String> {
    check(
        text,
        Some(LABEL_MAX),
        LABEL_VALUE,
        "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character",
        &["MyValue", "my_value", "12345"],
    )
}

/// A key of a ConfigMap or Secret, which becomes the name of a file.
pub fn config_key(text: &str) -> Vec<String> {
    let mut errors = check(
        text,
        Some(SUBDOMAIN_MAX),
        CONFIG_KEY,
        "a valid config key must consist of alphanumeric characters, '-', '_' or '.'",
        &["key.name", "KEY_NAME", "key-name"],
    );
    if text == "." {
        errors.push("must not be '.'".to_owned());
    } else if text == ".." {
        errors.push("must not be '..'".to_owned());
    } else if text.starts_with("..") {
        errors.push("must not start with '..'".to_owned());
    }
    errors
}

/// The name of an environment variable.
pub fn environment_name(text: &str) -> Vec<String> {
    let mut errors = Vec::new();
    if text.is_empty() {
        errors.push("environment variable name must be non-empty".to_owned());
    }
    if !text.bytes().all(|b| (0x20..0x7f).contains(&b) && b != b'=') {
        errors.push(
            "a valid environment variable name must consist only of printable ASCII characters other than '='"
                .to_owned(),
        );
    }
    errors
}

/// The name of an HTTP header.
pub fn http_header(text: &str) -> Vec<String> {
    check(
        text,
        None,
        HTTP_HEADER,
        "a valid HTTP header must consist of alphanumeric characters or '-'",
        &["X-Header-Name"],
    )
}

/// `93%`
pub fn percent(text: &str) -> Vec<String> {
    check(
        text,
        None,
        PERCENT,
        "a valid percent string must be a numeric string followed by an ending '%'",
        &["1%", "93%"],
    )
}

/// The path part of `acme.io/path`.
pub fn http_path(text: &str) -> Vec<String> {
    check(text, None, HTTP_PATH, "Invalid path", &[])
}

/// Whether the text names a setting of the kernel.
pub fn is_sysctl(text: &str) -> bool {
    text.len() <= SUBDOMAIN_MAX && matches(SYSCTL, text)
}

/// The name of a port: at most 15 bytes, at least one letter or digit.
pub fn port_name(text: &str) -> Vec<String> {
    let mut errors = Vec::new();
    let is_name_byte = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    if text.len() > 15 {
        errors.push(too_long(15));
    }
    if text.is_empty() || !text.bytes().all(is_name_byte) {
        errors.push("must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)".to_owned());
    }
    if !text.bytes().any(|b| b.is_ascii_lowercase()) {
        errors.push("must contain at least one letter (a-z)".to_owned());
    }
    if text.contains("--") {
        errors.push("must not contain consecutive hyphens".to_owned());
    }
    if text.starts_with('-') || text.ends_with('-') {
        errors.push("must not begin or end with a hyphen".to_owned());
    }
    errors
}

/// The number of a port.
pub fn port_number(port: i64) -> Vec<String> {
    in_range(port, 1, 65_535)
}

/// A number between two others, inclusive.
pub fn in_range(value: i64, low: i64, high: i64) -> Vec<String> {
    if (low..=high).contains(&value) { Vec::new() } else { vec![range_error(low, high)] }
}

/// The number of a user or a group.
pub fn user_id(id: i64) -> Vec<String> {
    in_range(id, 0, i64::from(i32::MAX))
}

/// An address of either family.
pub fn ip_address(text: &str) -> Vec<String> {
    match text.parse::<IpAddr>() {
        Ok(_) => Vec::new(),
        Err(_) => {
            vec!["must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)".to_owned()]
        }
    }
}

/// A text that can stand alone as a segment of a URL's path.
pub fn path_segment(text: &str, is_prefix: bool) -> Vec<String> {
    if !is_prefix && matches!(text, "." | "..") {
        return vec![format!("may not be '{text}'")];
    }
    ["/", "%"]
        .into_iter()
        .filter(|part| text.contains(part))
        .map(|part| format!("may not contain '{part}'"))
        .collect()
}

/// The network and the number of its fixed bits in `10.0.0.0/8`.
pub fn parse_cidr(text: &str) -> Option<(IpAddr, u8)> {
    let (address, bits) = text.split_once('/')?;
    let address: IpAddr = address.parse().ok()?;
    if bits.is_empty() || !bits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let bits: u8 = bits.parse().ok()?;
    let most = if address.is_ipv4() { 32 } else { 128 };
    (bits <= most).then_some((address, bits))
}

/// Whether the first `bits` bits of two addresses are the same.
pub fn same_network(one: IpAddr, other: IpAddr, bits: u8) -> bool {
    let shift = |width: u32| width.saturating_sub(u32::from(bits));
    match (one, other) {
        (IpAddr::V4(one), IpAddr::V4(other)) => {
            let difference = u32::from(one) ^ u32::from(other);
            difference.checked_shr(shift(32)).unwrap_or(0) == 0
        }
        (IpAddr::V6(one), IpAddr::V6(other)) => {
            let difference = u128::from(one) ^ u128::from(other);
            difference.checked_shr(shift(128)).unwrap_or(0) == 0
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What each check accepts and refuses.
    #[test]
    fn formats_accept_and_refuse() {
        type Check = fn(&str) -> Vec<String>;
        let long = "a".repeat(64);
        let cases: [(Check, &[&str], &[&str]); 11] = [
            (dns_1123_label, &["a", "1-a"], &["", "A", "-a", "a-", "a.b", &long]),
            (dns_1123_subdomain, &["a", "a.b-c.1"], &["", "a..b", ".a", "a_b"]),
            (dns_1035_label, &["a1"], &["1a", ""]),
            (
                qualified_name,
                &["a", "A_b.c", "x.y/A", &long[1..]],
                &["", "a/b/c", "/a", "A/b", "a/", &long, "-a"],
            ),
            (label_value, &["", "A.b_c"], &["a b", "-", &long]),
            (config_key, &["a.txt", ".dot", "A_b"], &["", "a/b", ".", "..", "..a"]),
            (environment_name, &["A", "1a", "a b"], &["", "a=b", "ä", "\n"]),
            (http_header, &["X-A"], &["", "X A"]),
            (percent, &["0%", "120%"], &["%", "1", "-1%", "1.5%"]),
            (port_name, &["http", "a-1"], &["", "1", "a--b", "-a", "a-", "A", "abcdefghijklmnop"]),
            (ip_address, &["1.2.3.4", "::1"], &["1.2.3", "", "1.2.3.4/8"]),
        ];
        for (check, right, wrong) in cases {
            for text in right {
                assert_eq!(check(text), Vec::<String>::new(), "{text}");
            }
            for text in wrong {
                assert_ne!(check(text), Vec::<String>::new(), "{text}");
            }
        }
    }

    #[test]
    fn the_texts_name_the_rule_examples_and_expression() {
        assert_eq!(
            dns_1123_subdomain("A"),
            [
                "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
            ]
        );
        assert_eq!(
            label_value("-"),
            [
                "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"
            ]
        );
        assert_eq!(port_number(0), ["must be between 1 and 65535, inclusive"]);
        assert_eq!(path_segment("a/%", false), ["may not contain '/'", "may not contain '%'"]);
        assert_eq!(path_segment("..", false), ["may not be '..'"]);
    }

    #[test]
    fn networks_contain_addresses() {
        let (network, bits) = parse_cidr("10.0.0.0/8").unwrap_or(([0, 0, 0, 0].into(), 0));
        assert_eq!(bits, 8);
        assert!(same_network(network, [10, 9, 8, 7].into(), bits));
        assert!(!same_network(network, [11, 9, 8, 7].into(), bits));
        assert!(same_network(network, [11, 9, 8, 7].into(), 0));
        for text in ["10.0.0.0", "10.0.0.0/33", "x/8", "10.0.0.0/-1", "::/129", "1.1.1.1/+8"] {
            assert!(parse_cidr(text).is_none(), "{text}");
        }
    }
}
