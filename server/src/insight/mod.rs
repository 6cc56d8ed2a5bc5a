//! What lies behind an environment's line in the list: its objects with what they own, one object in detail, the start
//! of its pods. All of it is pure; `routes/` reads what it needs as the person who asks.

pub(crate) mod facts;
pub(crate) mod pods;
pub(crate) mod tree;
