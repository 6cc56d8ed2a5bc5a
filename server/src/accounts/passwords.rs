//! Passwords: argon2id, never stored or printed, and only so many checked at once.

use std::sync::Arc;

use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use argon2::{Algorithm, Argon2, Params, Version};
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::Semaphore;

use super::AccountName;

/// Memory (KiB), passes and lanes that OWASP's Password Storage Cheat Sheet names for argon2id.
const MEMORY: u32 = 19 * 1024;
const PASSES: u32 = 2;
const LANES: u32 = 1;

/// Passwords that are hashed at once: each takes a processor and 19 MiB.
const RUNNING: usize = 2;
/// Passwords that are hashed or wait for that; more are told to come back.
const ADMITTED: usize = 32;

/// Characters that a password has.
const SHORTEST: usize = 12;
const LONGEST: usize = 128;

/// What hashes and compares.
pub(crate) struct Passwords {
    running: Arc<Semaphore>,
    admitted: Arc<Semaphore>,
    /// A hash of no password. It takes as long to compare with as any other.
    nobody: String,
}

/// So many passwords are being checked that no more are accepted for a moment.
#[derive(Debug)]
pub(crate) struct Busy;

/// Why a password is not accepted for an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PasswordError {
    #[error("a password has {SHORTEST} to {LONGEST} characters")]
    Length,
    #[error("the password is too easy to guess: it is the name, or one character again and again")]
    Easy,
}

/// Whether a password may be that of an account.
pub(crate) fn check(name: &AccountName, password: &SecretString) -> Result<(), PasswordError> {
    let text = password.expose_secret();
    if !(SHORTEST..=LONGEST).contains(&text.chars().count()) {
        return Err(PasswordError::Length);
    }
    let first = text.chars().next();
    let same = text.chars().all(|c| Some(c) == first);
    let left = text.to_lowercase().replace(name.as_str(), "");
    if same || left.is_empty() { Err(PasswordError::Easy) } else { Ok(()) }
}

impl Passwords {
    pub(crate) fn new() -> Self {
        let (salt, hash) = ("A".repeat(22), "A".repeat(43));
        Self {
            running: Arc::new(Semaphore::new(RUNNING)),
            admitted: Arc::new(Semaphore::new(ADMITTED)),
            nobody: format!("$argon2id$v=19$m={MEMORY},t={PASSES},p={LANES}${salt}${hash}"),
        }
    }

    /// What is kept of a password: a text that holds the parameters and a salt of its own as well (PHC format).
    pub(crate) async fn hash(&self, password: SecretString) -> Result<String, Busy> {
        let salt: [u8; 16] = rand::random();
        let hash = self.run(move || {
            let hash = argon2()?.hash_password_with_salt(password.expose_secret().as_bytes(), &salt);
            hash.ok().map(|hash| hash.to_string())
        });
        hash.await?.ok_or(Busy)
    }

    /// Whether this is the password that was hashed. Without a hash it is not, after the same time.
    pub(crate) async fn verify(&self, password: SecretString, hash: Option<String>) -> Result<bool, Busy> {
        let somebody = hash.is_some();
        let hash = hash.unwrap_or_else(|| self.nobody.clone());
        let verified = self.run(move || {
            let bytes = password.expose_secret().as_bytes();
            // The parameters are those of the hash: older accounts stay valid when the ones above change.
            let hash = PasswordHash::new(&hash).ok()?;
            Some(argon2()?.verify_password(bytes, &hash).is_ok())
        });
        Ok(verified.await?.unwrap_or_default() && somebody)
    }

    /// Runs on a thread of its own. Also when nobody waits for the answer any more, it counts until its end.
    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Option<T> + Send + 'static,
    ) -> Result<Option<T>, Busy> {
        let admitted = self.admitted.clone().try_acquire_owned().map_err(|_| Busy)?;
        let running = self.running.clone().acquire_owned().await.map_err(|_| Busy)?;
        let done = tokio::task::spawn_blocking(move || {
            let done = work();
            drop((running, admitted));
            done
        });
        done.await.map_err(|_| Busy)
    }
}

fn argon2() -> Option<Argon2<'static>> {
    let parameters = Params::new(MEMORY, PASSES, LANES, None).ok()?;
    Some(Argon2::new(Algorithm::Argon2id, Version::V0x13, parameters))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn secret(text: &str) -> SecretString {
        text.into()
    }

    #[tokio::test]
    async fn a_password_is_kept_as_a_salted_hash_with_the_recommended_parameters() {
        let passwords = Passwords::new();
        let hash = passwords.hash(secret("correct horse")).await.unwrap();
        assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
        assert_ne!(hash, passwords.hash(secret("correct horse")).await.unwrap());
        assert!(passwords.verify(secret("correct horse"), Some(hash.clone())).await.unwrap());
        assert!(!passwords.verify(secret("correct horsf"), Some(hash.clone())).await.unwrap());
        assert!(!passwords.verify(secret(""), Some(hash)).await.unwrap());
    }

    #[tokio::test]
    async fn nobody_has_no_password_but_one_that_can_be_compared() {
        let passwords = Passwords::new();
        assert!(PasswordHash::new(&passwords.nobody).is_ok());
        assert!(!passwords.verify(secret("correct horse"), None).await.unwrap());
        assert!(!passwords.verify(secret("correct horse"), Some("damaged".into())).await.unwrap());
    }

    #[tokio::test]
    async fn who_comes_while_too_many_wait_is_sent_away() {
        let passwords = Passwords::new();
        let all = passwords.admitted.clone().acquire_many_owned(32).await.unwrap();
        assert!(passwords.hash(secret("correct horse")).await.is_err());
        drop(all);
        assert!(passwords.hash(secret("correct horse")).await.is_ok());
    }

    #[test]
    fn a_password_is_long_and_not_the_name() {
        let name: AccountName = "jane".parse().unwrap();
        let checked = |text: &str| check(&name, &secret(text));
        assert_eq!(checked("correct horse"), Ok(()));
        assert_eq!(checked(&"äöü€".repeat(32)), Ok(()));
        for length in [0, 11, 129] {
            assert_eq!(checked(&"ab ".repeat(length)[..length]), Err(PasswordError::Length));
        }
        for easy in ["aaaaaaaaaaaaa", "janejanejane", "JaneJaneJane"] {
            assert_eq!(checked(easy), Err(PasswordError::Easy), "{easy}");
        }
    }
}
