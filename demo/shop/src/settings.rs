//! What can be set, all by environment variables.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::faults::Faults;

/// Which part of the shop this process is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// The page.
    Web,
    /// Items and prices.
    Catalog,
    /// Orders.
    Checkout,
}

impl Role {
    pub(crate) fn parse(word: &str) -> Option<Self> {
        [Self::Web, Self::Catalog, Self::Checkout].into_iter().find(|role| role.name() == word)
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Web => "web",
            Self::Catalog => "catalog",
            Self::Checkout => "checkout",
        }
    }
}

/// How the page looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Layout {
    /// One item a row.
    List,
    /// Items side by side, under a large headline.
    Cards,
}

/// A variable that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{name} is {value:?}, but must be {wanted}")]
pub(crate) struct Invalid {
    name: &'static str,
    value: String,
    wanted: &'static str,
}

/// All settings.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) listen: SocketAddr,
    pub(crate) version: String,
    pub(crate) colour: String,
    pub(crate) title: String,
    pub(crate) layout: Layout,
    pub(crate) environment: String,
    pub(crate) pod: String,
    pub(crate) catalog: String,
    pub(crate) checkout: String,
    pub(crate) data: PathBuf,
    pub(crate) faults: Faults,
    pub(crate) drain: Duration,
}

impl Settings {
    /// Reads them. Empty variables count as absent.
    pub(crate) fn read(variable: impl Fn(&str) -> Option<String>) -> Result<Self, Invalid> {
        let text = |name: &str, default: &str| {
            let given = variable(name).filter(|value| !value.is_empty());
            given.unwrap_or_else(|| default.to_owned())
        };
        let milliseconds = |name: &'static str, default: &str| {
            let value = text(name, default);
            match value.parse::<u64>() {
                Ok(number) if number <= 60_000 => Ok(Duration::from_millis(number)),
                _ => Err(Invalid { name, value, wanted: "a number of milliseconds up to 60000" }),
            }
        };
        let base = |name: &'static str, default: &str| {
            let value = text(name, default);
            match value.strip_prefix("http://") {
                Some(rest) if !rest.is_empty() => Ok(value.trim_end_matches('/').to_owned()),
                _ => Err(Invalid { name, value, wanted: "an http:// URL" }),
            }
        };
        let rate = text("SHOP_ERROR_RATE", "0");
        let error_rate = match rate.parse::<f64>() {
            Ok(number) if (0.0..=1.0).contains(&number) => number,
            _ => {
                return Err(Invalid { name: "SHOP_ERROR_RATE", value: rate, wanted: "a number from 0 to 1" });
            }
        };
        let address = text("SHOP_LISTEN", "0.0.0.0:8080");
        let colour = text("SHOP_COLOUR", "steelblue");
        if !is_colour(&colour) {
            return Err(Invalid {
                name: "SHOP_COLOUR",
                value: colour,
                wanted: "a CSS colour such as teal or #0a7f6f",
            });
        }
        Ok(Self {
            listen: address.parse().map_err(|_| Invalid {
                name: "SHOP_LISTEN",
                value: address,
                wanted: "an address such as 0.0.0.0:8080",
            })?,
            version: text("SHOP_VERSION", "dev"),
            colour,
            title: text("SHOP_TITLE", "Corner Shop"),
            layout: match text("SHOP_LAYOUT", "list") {
                name if name == "list" => Layout::List,
                name if name == "cards" => Layout::Cards,
                value => return Err(Invalid { name: "SHOP_LAYOUT", value, wanted: "list or cards" }),
            },
            environment: text("SHOP_ENVIRONMENT", "none"),
            pod: text("POD_NAME", &text("HOSTNAME", "this machine")),
            catalog: base("SHOP_CATALOG_URL", "http://catalog")?,
            checkout: base("SHOP_CHECKOUT_URL", "http://checkout")?,
            data: PathBuf::from(text("SHOP_DATA", "/data")),
            faults: Faults { error_rate, latency: milliseconds("SHOP_LATENCY_MS", "0")? },
            drain: milliseconds("SHOP_DRAIN_MS", "2000")?,
        })
    }
}

/// A name or a hexadecimal number: it stands in a style sheet, where other characters could end the rule.
fn is_colour(text: &str) -> bool {
    let (digits, hexadecimal) = match text.strip_prefix('#') {
        Some(digits) => (digits, true),
        None => (text, false),
    };
    match hexadecimal {
        true => matches!(digits.len(), 3 | 6) && digits.bytes().all(|b| b.is_ascii_hexdigit()),
        false => (1..=32).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_alphabetic()),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Settings of these variables alone.
    pub(crate) fn of(variables: &[(&str, &str)]) -> Result<Settings, Invalid> {
        Settings::read(|name| variables.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned()))
    }

    #[test]
    fn nothing_must_be_set() {
        let settings = of(&[]).expect("defaults");
        assert_eq!(settings.faults, Faults::default());
        assert_eq!(settings.catalog, "http://catalog");
    }

    #[test]
    fn what_cannot_be_used_is_named() {
        for (name, value) in [
            ("SHOP_ERROR_RATE", "1.5"),
            ("SHOP_ERROR_RATE", "NaN"),
            ("SHOP_LATENCY_MS", "-1"),
            ("SHOP_LISTEN", "8080"),
            ("SHOP_LAYOUT", "table"),
            ("SHOP_COLOUR", "red;} body{display:none"),
            ("SHOP_COLOUR", "#12"),
            ("SHOP_CATALOG_URL", "catalog"),
        ] {
            let error = of(&[(name, value)]).expect_err(name).to_string();
            assert!(error.contains(name) && error.contains(" must be "), "{error}");
        }
    }
}
