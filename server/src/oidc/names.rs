//! From what a provider calls somebody to the name of an account.

use crate::accounts::{AccountName, NameError};

/// The name of the account: in small letters, without what follows an `@`, with dashes for dots and underscores.
///
/// Two people may get one name by that; the account belongs to the first of them, by the provider's own identifier.
pub(super) fn account(username: &str) -> Result<AccountName, NameError> {
    let local = username.split_once('@').map_or(username, |(local, _)| local);
    let plain = |c: char| match c {
        '.' | '_' | ' ' => '-',
        c => c.to_ascii_lowercase(),
    };
    local.chars().map(plain).collect::<String>().parse()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn usual_names_become_names_of_accounts_and_others_are_refused() {
        for (username, name) in [
            ("jane", "jane"),
            ("Jane.Doe@example.com", "jane-doe"),
            ("j_doe", "j-doe"),
            ("Jane Doe", "jane-doe"),
        ] {
            assert_eq!(account(username).unwrap().as_str(), name);
        }
        for bad in ["", "@example.com", "seaway", "system:admin", "jané", "0jane", &"a".repeat(33)] {
            assert!(account(bad).is_err(), "{bad:?}");
        }
    }
}
