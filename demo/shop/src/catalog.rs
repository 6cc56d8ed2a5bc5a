//! `catalog`: items and prices.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};

use crate::api::{Item, Items};
use crate::service::Service;

/// Identifier, name, description, picture, price in cents.
const ITEMS: [(&str, &str, &str, &str, u32); 6] = [
    ("mug", "Enamel mug", "Survives the dishwasher and the release.", "☕", 1450),
    ("notebook", "Squared notebook", "For diagrams that nobody will update.", "📓", 890),
    ("lamp", "Desk lamp", "Warm light for late reviews.", "💡", 4900),
    ("plant", "Small cactus", "Needs water twice a quarter.", "🌵", 1290),
    ("socks", "Warm socks", "Two per pair, as tested.", "🧦", 990),
    ("puzzle", "Puzzle, 500 pieces", "All dependencies included.", "🧩", 2350),
];

pub(crate) fn router(service: Arc<Service>) -> Router {
    let routes =
        Router::new().route("/items", get(list)).route("/items/{id}", get(one)).route("/readyz", get(ready));
    service.clone().complete(routes, service)
}

async fn ready(State(service): State<Arc<Service>>) -> StatusCode {
    if service.is_draining() { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK }
}

async fn list(State(service): State<Arc<Service>>) -> Json<Items> {
    Json(Items {
        pod: service.settings.pod.clone(),
        version: service.settings.version.clone(),
        items: items().collect(),
    })
}

async fn one(Path(id): Path<String>) -> Response {
    match items().find(|item| item.id == id) {
        Some(item) => Json(item).into_response(),
        None => (StatusCode::NOT_FOUND, "there is no such item\n").into_response(),
    }
}

fn items() -> impl Iterator<Item = Item> {
    ITEMS.iter().map(|(id, name, description, picture, price)| Item {
        id: (*id).to_owned(),
        name: (*name).to_owned(),
        description: (*description).to_owned(),
        picture: (*picture).to_owned(),
        price: *price,
    })
}
