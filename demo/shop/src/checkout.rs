//! `checkout`: orders, in a SQLite database in a folder that outlives the pod.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use sqlx::Row;
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteRow, SqliteSynchronous,
};

use crate::api::{self, NewOrder, Order};
use crate::service::Service;

/// Orders that are listed.
const LATEST: i64 = 5;
/// The database's form, in `user_version`.
const FORM: i32 = 1;

/// Why the orders cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("the folder {} cannot be made: {source}", folder.display())]
    Folder { folder: PathBuf, source: std::io::Error },
    #[error("the database {} cannot be used: {source}", path.display())]
    Database { path: PathBuf, source: sqlx::Error },
    #[error("the database {} is of form {found}, and this program knows form {FORM}", path.display())]
    Form { path: PathBuf, found: i32 },
}

/// All orders.
#[derive(Clone, Debug)]
pub(crate) struct Orders(SqlitePool);

impl Orders {
    /// Opens the database of a folder, or makes it.
    pub(crate) async fn open(folder: &Path) -> Result<Self, Error> {
        std::fs::create_dir_all(folder)
            .map_err(|source| Error::Folder { folder: folder.to_owned(), source })?;
        let path = folder.join("orders.db");
        let fail = |source| Error::Database { path: path.clone(), source };
        let options = SqliteConnectOptions::new()
            .filename(&path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            // What a customer was told is on disk.
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(Duration::from_secs(5));
        let pool = SqlitePoolOptions::new().max_connections(2).connect_with(options).await.map_err(fail)?;
        let found: i32 = sqlx::query_scalar("PRAGMA user_version").fetch_one(&pool).await.map_err(fail)?;
        match found {
            FORM => {}
            0 => {
                let make = "BEGIN IMMEDIATE;
                    CREATE TABLE IF NOT EXISTS orders (
                        number INTEGER PRIMARY KEY,
                        key TEXT NOT NULL UNIQUE,
                        item TEXT NOT NULL,
                        price INTEGER NOT NULL,
                        placed INTEGER NOT NULL DEFAULT (unixepoch())) STRICT;
                    PRAGMA user_version = 1;
                    COMMIT;";
                sqlx::raw_sql(make).execute(&pool).await.map_err(fail)?;
            }
            found => return Err(Error::Form { path, found }),
        }
        Ok(Self(pool))
    }

    /// Places an order, once for each key.
    async fn place(&self, new: &NewOrder) -> sqlx::Result<Order> {
        sqlx::query("INSERT INTO orders (key, item, price) VALUES (?, ?, ?) ON CONFLICT (key) DO NOTHING")
            .bind(&new.key)
            .bind(&new.item)
            .bind(new.price)
            .execute(&self.0)
            .await?;
        let row = sqlx::query("SELECT number, item, price FROM orders WHERE key = ?").bind(&new.key);
        order(&row.fetch_one(&self.0).await?)
    }

    async fn count(&self) -> sqlx::Result<i64> {
        sqlx::query_scalar("SELECT count(*) FROM orders").fetch_one(&self.0).await
    }

    async fn latest(&self) -> sqlx::Result<Vec<Order>> {
        let rows = sqlx::query("SELECT number, item, price FROM orders ORDER BY number DESC LIMIT ?")
            .bind(LATEST)
            .fetch_all(&self.0)
            .await?;
        rows.iter().map(order).collect()
    }

    /// Writes everything into the database's one file.
    pub(crate) async fn close(&self) {
        self.0.close().await;
    }
}

fn order(row: &SqliteRow) -> sqlx::Result<Order> {
    Ok(Order { number: row.try_get(0)?, item: row.try_get(1)?, price: row.try_get(2)? })
}

type Shared = (Arc<Service>, Orders);

pub(crate) fn router(service: Arc<Service>, orders: Orders) -> Router {
    let routes = Router::new().route("/orders", get(list).post(place)).route("/readyz", get(ready));
    service.clone().complete(routes, (service, orders))
}

async fn ready(State((service, orders)): State<Shared>) -> Response {
    if service.is_draining() {
        return (StatusCode::SERVICE_UNAVAILABLE, "about to stop\n").into_response();
    }
    match orders.count().await {
        Ok(_) => "ok\n".into_response(),
        Err(error) => unavailable(&error),
    }
}

async fn list(State((service, orders)): State<Shared>) -> Response {
    let read = async { Ok((orders.count().await?, orders.latest().await?)) };
    match read.await {
        Ok((count, latest)) => {
            let (pod, version) = (service.settings.pod.clone(), service.settings.version.clone());
            Json(api::Orders { pod, version, count, latest }).into_response()
        }
        Err(error) => unavailable(&error),
    }
}

async fn place(State((_, orders)): State<Shared>, Json(new): Json<NewOrder>) -> Response {
    let plain = |text: &str| {
        (1..=64).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    if !plain(&new.key) || !plain(&new.item) || new.price > 10_000_000 {
        let reason =
            "key and item are 1 to 64 letters, digits and dashes, the price at most 10000000 cents\n";
        return (StatusCode::BAD_REQUEST, reason).into_response();
    }
    match orders.place(&new).await {
        Ok(order) => (StatusCode::CREATED, Json(order)).into_response(),
        Err(error) => unavailable(&error),
    }
}

fn unavailable(error: &sqlx::Error) -> Response {
    eprintln!("the database: {error}");
    (StatusCode::SERVICE_UNAVAILABLE, "the orders cannot be reached\n").into_response()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn mug(key: &str) -> NewOrder {
        NewOrder { key: key.to_owned(), item: "mug".to_owned(), price: 1450 }
    }

    #[tokio::test]
    async fn orders_survive_a_restart_and_are_placed_once() {
        let folder = tempfile::tempdir().unwrap();
        let orders = Orders::open(folder.path()).await.unwrap();
        let first = orders.place(&mug("a")).await.unwrap();
        assert_eq!(orders.place(&mug("a")).await.unwrap(), first, "the same key is the same order");
        // Another process beside it, as while pods are replaced; the first one never closes.
        let again = Orders::open(folder.path()).await.unwrap();
        assert_eq!(again.place(&mug("b")).await.unwrap().number, first.number + 1);
        assert_eq!((again.count().await.unwrap(), orders.count().await.unwrap()), (2, 2));
        assert_eq!(again.latest().await.unwrap()[1], first);
    }

    #[tokio::test]
    async fn a_database_of_a_later_program_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let orders = Orders::open(folder.path()).await.unwrap();
        sqlx::query("PRAGMA user_version = 2").execute(&orders.0).await.unwrap();
        orders.close().await;
        let error = Orders::open(folder.path()).await.unwrap_err().to_string();
        assert!(error.contains("form 2"), "{error}");
    }
}
