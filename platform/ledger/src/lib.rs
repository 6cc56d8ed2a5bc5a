//! Append-only history.
//!
//! What it does: keeps what happened in one SQLite file: events ([`Ledger::append`]), every sync of an environment
//! with who asked, what came and how long it took ([`Ledger::begin_sync`]), holds on releases
//! ([`Ledger::place_hold`]), and what each environment's last sync left in the cluster ([`Ledger::inventory`]). What
//! was acknowledged is on the disk, whatever happens to the process or the machine afterwards.
//!
//! What it never does: change an event, remove a hold, look at a clock, or know Kubernetes. Who writes chooses the
//! time, and makes sure that no secret value is in what is written.
//!
//! Start reading at [`Ledger`].

mod database;
mod error;
mod event;
mod hold;
mod inventory;
mod limits;
mod retention;
mod schema;
mod sync;
mod writer;

pub use database::Ledger;
pub use error::Error;
pub use event::{Event, EventFilter, NewEvent, Order};
pub use hold::{Hold, NewHold};
pub use inventory::{Inventory, InventoryEntry};
pub use retention::{Removed, Retention};
pub use sync::{NewSync, SyncCommit, SyncEnd, SyncOutcome, SyncRecord, Trigger};

use serde::{Deserialize, Serialize};

/// Part of a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Page<T> {
    /// At most as many as were asked for.
    pub items: Vec<T>,
    /// Whether there are more after these.
    pub more: bool,
}

/// A page never has more items than this.
pub const MAX_PAGE: usize = 1000;

impl<T> Page<T> {
    /// How many rows to read for a page of `limit`: one more tells whether there are more.
    pub(crate) fn rows(limit: usize) -> i64 {
        i64::try_from(limit.clamp(1, MAX_PAGE)).unwrap_or_default() + 1
    }

    pub(crate) fn of(mut items: Vec<T>, limit: usize) -> Self {
        let limit = limit.clamp(1, MAX_PAGE);
        let more = items.len() > limit;
        items.truncate(limit);
        Self { items, more }
    }
}
