//! How values of options are read: what cannot work is refused before anything begins.

use std::time::Duration;

use seaway_kinds::quantity::Quantity;
use seaway_node::image::Reference;

/// The shortest time between two looks at a repository: less would only burn CPU, here and there.
const SHORTEST: f64 = 0.1;
/// The longest: a day.
const LONGEST: f64 = 86_400.0;

/// Seconds between two looks at a repository.
pub(crate) fn poll_interval(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "it is no number of seconds".to_owned())?;
    if !(SHORTEST..=LONGEST).contains(&seconds) {
        return Err(format!("give {SHORTEST} to {LONGEST} seconds"));
    }
    Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())
}

/// The name of a namespace (RFC 1123).
pub(crate) fn namespace(text: &str) -> Result<String, String> {
    let within = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if text.is_empty()
        || text.len() > 63
        || !text.chars().all(within)
        || text.starts_with('-')
        || text.ends_with('-')
    {
        return Err("the name of a namespace has at most 63 lower-case letters, digits and -, and begins and ends with \
                    a letter or digit"
            .to_owned());
    }
    Ok(text.to_owned())
}

/// An image, as a container names it.
pub(crate) fn image(text: &str) -> Result<String, String> {
    Reference::parse(text).map(|_| text.to_owned()).map_err(|error| error.to_string())
}

/// A size above zero, as Kubernetes writes it.
pub(crate) fn size(text: &str) -> Result<String, String> {
    match Quantity::parse(text) {
        Ok(size) if size > Quantity::ZERO => Ok(text.to_owned()),
        _ => Err("it is no size: such as 10Gi".to_owned()),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn values_that_cannot_work_are_refused() {
        for (text, seconds) in [("0.1", 0.1), ("30", 30.0), ("1.5", 1.5)] {
            assert_eq!(poll_interval(text).unwrap(), Duration::from_secs_f64(seconds));
        }
        for text in ["0", "-1", "0.05", "NaN", "inf", "1e300", "x", ""] {
            assert!(poll_interval(text).is_err(), "{text}");
        }
        for (good, bad) in [("a-1", "Bad_"), ("x", ""), ("seaway-system", "-a"), ("0", "a-")] {
            assert!(namespace(good).is_ok() && namespace(bad).is_err(), "{good} {bad}");
        }
        for (good, bad) in
            [("seaway:0.1.0", ""), ("registry.example.com:5000/a/b@sha256:", "a b"), ("a", "A")]
        {
            let good =
                if good.ends_with(':') { format!("{good}{}", "0".repeat(64)) } else { good.to_owned() };
            assert!(image(&good).is_ok() && image(bad).is_err(), "{good} {bad}");
        }
        for (good, bad) in [("10Gi", "foo"), ("1.5Ti", ""), ("1000000", "0"), ("5G", "-1Gi")] {
            assert!(size(good).is_ok() && size(bad).is_err(), "{good} {bad}");
        }
    }
}
