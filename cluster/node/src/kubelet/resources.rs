//! Quantities, and what this machine has.

/// `1500m`, `1Gi`, `2e3` in thousandths.
pub(crate) fn milli(quantity: &str) -> Option<i128> {
    let quantity = quantity.trim();
    let end = quantity.find(|c: char| !(c.is_ascii_digit() || "+-.".contains(c))).unwrap_or(quantity.len());
    let (number, suffix) = quantity.split_at(end);
    let (factor, divisor): (i128, i128) = match suffix {
        "" => (1000, 1),
        "n" => (1, 1_000_000),
        "u" => (1, 1000),
        "m" => (1, 1),
        "k" => (1_000_000, 1),
        "M" => (1_000_000_000, 1),
        "G" => (1_000_000_000_000, 1),
        "T" => (1_000_000_000_000_000, 1),
        "P" => (1_000_000_000_000_000_000, 1),
        "Ki" => (1000 << 10, 1),
        "Mi" => (1000 << 20, 1),
        "Gi" => (1000 << 30, 1),
        "Ti" => (1000 << 40, 1),
        "Pi" => (1000 << 50, 1),
        exponent => {
            let power: u32 = exponent.strip_prefix(['e', 'E'])?.parse().ok().filter(|p| *p <= 18)?;
            (1000 * 10i128.pow(power), 1)
        }
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if fraction.len() > 9 || number.len() > 24 {
        return None;
    }
    let scale = 10i128.pow(u32::try_from(fraction.len()).ok()?);
    let value: i128 = format!("{whole}{fraction}").parse().ok()?;
    value.checked_mul(factor).map(|v| v / (divisor * scale))
}

/// `amount / divisor`, rounded up.
pub(crate) fn divide(amount: &str, divisor: &str) -> Option<i128> {
    let (amount, divisor) = (milli(amount)?, milli(divisor)?);
    (divisor > 0).then(|| (amount + divisor - 1).div_euclid(divisor))
}

/// What this machine has of a resource, as a quantity.
pub(crate) fn node_amount(resource: &str) -> String {
    match resource {
        "cpu" => std::thread::available_parallelism().map_or(1, usize::from).to_string(),
        "memory" => format!("{}Ki", memory_kib()),
        _ => "0".to_owned(),
    }
}

fn memory_kib() -> u64 {
    let info = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = info.lines().find_map(|l| l.strip_prefix("MemTotal:"));
    line.and_then(|l| l.trim().trim_end_matches("kB").trim().parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_read_and_divided_upwards() {
        for (text, value) in [
            ("1", 1000),
            ("1500m", 1500),
            ("0.5", 500),
            ("1Ki", 1_024_000),
            ("2e3", 2_000_000),
            ("1.5Gi", 1_610_612_736_000),
        ] {
            assert_eq!(milli(text), Some(value), "{text}");
        }
        for bad in ["", "x", "1Q", "1e99", "--1"] {
            assert_eq!(milli(bad), None, "{bad}");
        }
        assert_eq!(divide("1500m", "1"), Some(2));
        assert_eq!(divide("100Mi", "1Mi"), Some(100));
        assert_eq!(divide("1", "0"), None);
    }
}
