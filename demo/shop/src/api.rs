//! What the parts tell each other, as JSON.

use serde::{Deserialize, Serialize};

/// Something to buy.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Item {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) description: String,
    pub(crate) picture: String,
    /// In cents.
    pub(crate) price: u32,
}

/// `GET /items`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Items {
    /// Who answered.
    pub(crate) pod: String,
    pub(crate) version: String,
    pub(crate) items: Vec<Item>,
}

/// `POST /orders`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewOrder {
    /// Chosen by the caller: the same again is the same order, so that it may be sent twice.
    pub(crate) key: String,
    pub(crate) item: String,
    /// In cents.
    pub(crate) price: u32,
}

/// An order that was placed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Order {
    pub(crate) number: i64,
    pub(crate) item: String,
    pub(crate) price: u32,
}

/// `GET /orders`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Orders {
    /// Who answered.
    pub(crate) pod: String,
    pub(crate) version: String,
    pub(crate) count: i64,
    /// The latest first.
    pub(crate) latest: Vec<Order>,
}
