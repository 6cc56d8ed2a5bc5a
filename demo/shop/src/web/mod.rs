//! `web`: the page, which asks the catalog and the checkout.

mod neighbours;
mod page;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use axum::extract::{Query, State};
use axum::http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE, LOCATION, REFERRER_POLICY};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Extension, Json, Router};
use serde::Deserialize;
use serde_json::json;

use crate::api::NewOrder;
use crate::service::{RequestId, Service};
use neighbours::Neighbours;

/// The page brings all it needs and asks nobody else.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; \
    img-src data:; connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'";

type Shared = (Arc<Service>, Arc<Neighbours>);

pub(crate) fn router(service: Arc<Service>) -> Router {
    let neighbours = Arc::new(Neighbours::new(&service.settings));
    let routes = Router::new()
        .route("/", get(show))
        .route("/buy", post(buy))
        .route("/version", get(version))
        .route("/readyz", get(ready));
    service.clone().complete(routes, (service, neighbours))
}

/// What is told after an order.
#[derive(Debug, Default, Deserialize)]
struct Told {
    order: Option<i64>,
}

async fn show(
    State((service, neighbours)): State<Shared>,
    Extension(RequestId(id)): Extension<RequestId>,
    Query(told): Query<Told>,
) -> Response {
    let (items, orders) = tokio::join!(neighbours.items(&id), neighbours.orders(&id));
    for error in [items.as_ref().err(), orders.as_ref().err()].into_iter().flatten() {
        eprintln!("{error}");
    }
    // Without a catalog there is nothing to sell; without a checkout people can still look.
    let status = if items.is_ok() { StatusCode::OK } else { StatusCode::BAD_GATEWAY };
    let text = page::html(&service.settings, items.ok().as_ref(), orders.ok().as_ref(), told.order);
    let headers = [
        (CONTENT_TYPE, "text/html; charset=utf-8"),
        (CONTENT_SECURITY_POLICY, POLICY),
        (REFERRER_POLICY, "same-origin"),
    ];
    (status, headers, text).into_response()
}

#[derive(Debug, Deserialize)]
struct Wish {
    item: String,
}

async fn buy(
    State((_, neighbours)): State<Shared>,
    Extension(RequestId(id)): Extension<RequestId>,
    headers: HeaderMap,
    Query(wish): Query<Wish>,
) -> Response {
    // Browsers say where a form was sent from; programs do not, and may buy.
    if headers.get("sec-fetch-site").is_some_and(|site| !matches!(site.as_bytes(), b"same-origin" | b"none"))
    {
        return (StatusCode::FORBIDDEN, "orders are placed on the shop's own page\n").into_response();
    }
    let items = match neighbours.items(&id).await {
        Ok(items) => items.items,
        Err(error) => return away(&error),
    };
    let Some(item) = items.into_iter().find(|item| item.id == wish.item) else {
        return (StatusCode::NOT_FOUND, "there is no such item\n").into_response();
    };
    let order = NewOrder { key: key(), item: item.id, price: item.price };
    match neighbours.place(&order, &id).await {
        Ok(order) => {
            let place = HeaderValue::try_from(format!("/?order={}", order.number));
            let headers = [(LOCATION, place.unwrap_or(HeaderValue::from_static("/")))];
            (StatusCode::SEE_OTHER, headers, format!("order {}\n", order.number)).into_response()
        }
        Err(error) => away(&error),
    }
}

/// One for each order; the request's id could be sent twice.
fn key() -> String {
    format!("{:032x}", rand::random::<u128>())
}

fn away(error: &neighbours::Error) -> Response {
    eprintln!("{error}");
    (StatusCode::BAD_GATEWAY, "a part of the shop cannot be reached; please try again\n").into_response()
}

async fn version(
    State((service, neighbours)): State<Shared>,
    Extension(RequestId(id)): Extension<RequestId>,
) -> Response {
    let (items, orders) = tokio::join!(neighbours.items(&id), neighbours.orders(&id));
    let settings = &service.settings;
    let part = |pod: &str, version: &str| json!({"pod": pod, "version": version});
    let answer = json!({
        "version": settings.version, "colour": settings.colour, "environment": settings.environment,
        "pod": settings.pod,
        "catalog": items.ok().map(|items| part(&items.pod, &items.version)),
        "checkout": orders.as_ref().ok().map(|orders| part(&orders.pod, &orders.version)),
        "orders": orders.ok().map(|orders| orders.count),
    });
    Json(answer).into_response()
}

/// Ready when there is something to show.
async fn ready(
    State((service, neighbours)): State<Shared>,
    Extension(RequestId(id)): Extension<RequestId>,
) -> Response {
    if service.is_draining() {
        return (StatusCode::SERVICE_UNAVAILABLE, "about to stop\n").into_response();
    }
    match neighbours.items(&id).await {
        Ok(_) => "ok\n".into_response(),
        Err(error) => (StatusCode::SERVICE_UNAVAILABLE, format!("{error}\n")).into_response(),
    }
}
