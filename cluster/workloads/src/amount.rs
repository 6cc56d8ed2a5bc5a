//! Amounts that are given as a number or as a share of something.

use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

/// Which way a share is rounded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Round {
    Up,
    Down,
}

/// `3` is 3; `25%` is a quarter of `total`. What is neither counts as zero (validation refuses it).
pub(crate) fn resolve(amount: Option<&IntOrString>, total: i32, round: Round) -> i32 {
    match amount {
        None => 0,
        Some(IntOrString::Int(number)) => *number,
        Some(IntOrString::String(text)) => {
            let Some(percent) = text.strip_suffix('%').and_then(|p| p.parse::<i64>().ok()) else { return 0 };
            let product = percent.saturating_mul(i64::from(total));
            let share = match round {
                Round::Up => product.saturating_add(99).div_euclid(100),
                Round::Down => product.div_euclid(100),
            };
            i32::try_from(share).unwrap_or(i32::MAX)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_round_as_asked() {
        let share = |text: &str, total, round| resolve(Some(&IntOrString::String(text.into())), total, round);
        assert_eq!(share("25%", 10, Round::Up), 3);
        assert_eq!(share("25%", 10, Round::Down), 2);
        assert_eq!(share("100%", 3, Round::Up), 3);
        assert_eq!(share("0%", 3, Round::Up), 0);
        assert_eq!(share("many", 3, Round::Up), 0);
        assert_eq!(resolve(Some(&IntOrString::Int(4)), 10, Round::Up), 4);
    }
}
