//! The catalog and the checkout, as their client.

use std::time::{Duration, Instant};

use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderValue, Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::api::{Items, NewOrder, Order, Orders};
use crate::service::REQUEST_ID;
use crate::settings::Settings;

/// Bytes of an answer.
const MAX_ANSWER: usize = 1024 * 1024;
/// For one request.
const PATIENCE: Duration = Duration::from_secs(3);
/// For an order, which is tried again: the checkout is replaced by stopping the old pod first.
const ORDER_PATIENCE: Duration = Duration::from_secs(12);
/// Between two tries.
const PAUSE: Duration = Duration::from_millis(200);

/// Why a neighbour did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error("{url} cannot be reached: {reason}")]
    Unreachable { url: String, reason: String },
    #[error("{url} answered {status}")]
    Refused { url: String, status: StatusCode },
    #[error("{url} answered something else than was expected: {reason}")]
    Unexpected { url: String, reason: String },
}

impl Error {
    /// Whether trying again may help.
    fn is_passing(&self) -> bool {
        match self {
            Self::Unreachable { .. } => true,
            Self::Refused { status, .. } => status.is_server_error(),
            Self::Unexpected { .. } => false,
        }
    }
}

/// The client.
pub(super) struct Neighbours {
    client: Client<HttpConnector, Full<Bytes>>,
    catalog: String,
    checkout: String,
}

impl Neighbours {
    pub(super) fn new(settings: &Settings) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_connect_timeout(Some(Duration::from_secs(1)));
        connector.set_nodelay(true);
        let client = Client::builder(TokioExecutor::new())
            // Shorter than what a server waits, so that a connection is rarely used while it is being closed.
            .pool_idle_timeout(Duration::from_secs(5))
            .pool_timer(hyper_util::rt::TokioTimer::new())
            .build(connector);
        Self { client, catalog: settings.catalog.clone(), checkout: settings.checkout.clone() }
    }

    pub(super) async fn items(&self, id: &HeaderValue) -> Result<Items, Error> {
        self.ask(Method::GET, &format!("{}/items", self.catalog), None::<&()>, id).await
    }

    pub(super) async fn orders(&self, id: &HeaderValue) -> Result<Orders, Error> {
        self.ask(Method::GET, &format!("{}/orders", self.checkout), None::<&()>, id).await
    }

    /// Places an order, however often it has to be tried: its key makes that safe.
    pub(super) async fn place(&self, order: &NewOrder, id: &HeaderValue) -> Result<Order, Error> {
        let url = format!("{}/orders", self.checkout);
        let deadline = Instant::now() + ORDER_PATIENCE;
        loop {
            match self.ask(Method::POST, &url, Some(order), id).await {
                Err(error) if error.is_passing() && Instant::now() < deadline => {
                    tokio::time::sleep(PAUSE).await;
                }
                result => return result,
            }
        }
    }

    async fn ask<T: DeserializeOwned>(
        &self,
        method: Method,
        url: &str,
        body: Option<&impl Serialize>,
        id: &HeaderValue,
    ) -> Result<T, Error> {
        let unexpected = |reason: String| Error::Unexpected { url: url.to_owned(), reason };
        let unreachable = |reason: String| Error::Unreachable { url: url.to_owned(), reason };
        let uri: Uri = url.parse().map_err(|_| unexpected("that is no URL".to_owned()))?;
        let body = match body {
            Some(body) => serde_json::to_vec(body).map_err(|e| unexpected(e.to_string()))?,
            None => Vec::new(),
        };
        let mut request = Request::new(Full::new(Bytes::from(body)));
        *request.method_mut() = method;
        *request.uri_mut() = uri;
        request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        request.headers_mut().insert(REQUEST_ID, id.clone());
        let exchange = async {
            let response = self.client.request(request).await.map_err(|e| unreachable(causes(&e)))?;
            let status = response.status();
            if !status.is_success() {
                return Err(Error::Refused { url: url.to_owned(), status });
            }
            let body = Limited::new(response.into_body(), MAX_ANSWER).collect().await;
            let body = body.map_err(|e| unreachable(e.to_string()))?.to_bytes();
            serde_json::from_slice(&body).map_err(|e| unexpected(e.to_string()))
        };
        tokio::time::timeout(PATIENCE, exchange)
            .await
            .unwrap_or_else(|_| Err(unreachable(format!("no answer within {} s", PATIENCE.as_secs()))))
    }
}

/// An error with what caused it.
fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text = format!("{text}: {cause}");
        next = cause.source();
    }
    text
}
