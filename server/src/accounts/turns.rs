//! One change of an account after the other: what belongs to it lies in several places.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::OwnedMutexGuard;

use super::AccountName;

/// Who changes which account.
#[derive(Default)]
pub(super) struct Turns(Mutex<HashMap<AccountName, Arc<tokio::sync::Mutex<()>>>>);

impl Turns {
    /// Waits until nobody else changes the account of this name. It is somebody else's turn when the answer is dropped.
    pub(super) async fn take(&self, name: &AccountName) -> OwnedMutexGuard<()> {
        let turn = {
            let mut turns = self.0.lock();
            // Nobody has these, or waits for them.
            turns.retain(|_, turn| Arc::strong_count(turn) > 1);
            turns.entry(name.clone()).or_default().clone()
        };
        turn.lock_owned().await
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn names_have_turns_of_their_own_and_nothing_is_kept() {
        let turns = Turns::default();
        let [ada, ben] = ["ada", "ben"].map(|name| name.parse::<AccountName>().unwrap());
        let first = turns.take(&ada).await;
        assert!(turns.take(&ada).now_or_never().is_none());
        drop(turns.take(&ben).now_or_never().unwrap());
        drop(first);
        drop(turns.take(&ada).now_or_never().unwrap());
        assert_eq!(turns.0.lock().len(), 1);
    }
}
