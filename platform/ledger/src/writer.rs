//! The one writer. What waits while the disk is busy is written together, with one flush for all of it.

use std::path::Path;

use futures::future::BoxFuture;
use sqlx::{Connection as _, SqliteConnection};
use tokio::sync::{mpsc, oneshot, watch};

use crate::Error;
use crate::database::sorted;

/// As many writes share a transaction at most.
const MAX_TOGETHER: usize = 256;

/// What is called once the transaction has ended, with how it ended.
type Acknowledge = Box<dyn FnOnce(Result<(), Error>) + Send>;
/// One write: gets the connection within a transaction, or why there is none.
type Job =
    Box<dyn for<'c> FnOnce(Result<&'c mut SqliteConnection, Error>) -> BoxFuture<'c, Acknowledge> + Send>;

#[derive(Clone)]
pub(crate) struct Writer {
    jobs: mpsc::Sender<Job>,
}

impl Writer {
    /// Writes with `connection` until the last clone of this is gone; `newest` follows the newest event's id.
    pub(crate) fn start(
        mut connection: SqliteConnection,
        file: &Path,
        newest: watch::Sender<i64>,
    ) -> (Self, tokio::task::JoinHandle<()>) {
        let (jobs, mut waiting) = mpsc::channel::<Job>(MAX_TOGETHER);
        let file = file.to_owned();
        let task = tokio::spawn(async move {
            let mut together = Vec::new();
            while waiting.recv_many(&mut together, MAX_TOGETHER).await > 0 {
                write(&mut connection, &file, together.drain(..), &newest).await;
            }
            if let Err(error) = connection.close().await {
                tracing::warn!(%error, "the ledger did not close cleanly; the next start recovers it");
            }
        });
        (Self { jobs }, task)
    }

    /// Runs `work`, all of it or nothing. When this returns a value, it is on the disk.
    pub(crate) async fn write<T, W>(&self, file: &Path, work: W) -> Result<T, Error>
    where
        T: Send + 'static,
        W: for<'c> FnOnce(&'c mut SqliteConnection) -> BoxFuture<'c, Result<T, Error>> + Send + 'static,
    {
        let (sender, answer) = oneshot::channel();
        let file = file.to_owned();
        let job: Job = Box::new(move |connection| {
            Box::pin(async move {
                let result = match connection {
                    Ok(connection) => alone(connection, &file, work).await,
                    Err(error) => Err(error),
                };
                let acknowledge: Acknowledge = Box::new(move |ended| {
                    // Who asked may have gone away.
                    let _ = sender.send(result.and_then(|value| ended.map(|()| value)));
                });
                acknowledge
            })
        });
        self.jobs.send(job).await.map_err(|_| Error::Closed)?;
        answer.await.map_err(|_| Error::Closed)?
    }
}

/// In a transaction within the transaction, so that a write that fails takes no other with it.
async fn alone<T, W>(connection: &mut SqliteConnection, file: &Path, work: W) -> Result<T, Error>
where
    W: for<'c> FnOnce(&'c mut SqliteConnection) -> BoxFuture<'c, Result<T, Error>>,
{
    let failed = |error| sorted(file, error);
    let mut nested = connection.begin().await.map_err(failed)?;
    match work(&mut nested).await {
        Ok(value) => nested.commit().await.map(|()| value).map_err(failed),
        Err(error) => {
            nested.rollback().await.map_err(failed)?;
            Err(error)
        }
    }
}

async fn write(
    connection: &mut SqliteConnection,
    file: &Path,
    jobs: impl Iterator<Item = Job>,
    newest: &watch::Sender<i64>,
) {
    let failed = |error| sorted(file, error);
    let mut acknowledgements = Vec::new();
    let ended = match connection.begin_with("BEGIN IMMEDIATE").await.map_err(failed) {
        Ok(mut transaction) => {
            for job in jobs {
                acknowledgements.push(job(Ok(&mut transaction)).await);
            }
            match newest_event(&mut transaction).await.map_err(failed) {
                Ok(id) => transaction.commit().await.map_err(failed).map(|()| id),
                Err(error) => Err(error),
            }
        }
        Err(error) => {
            for job in jobs {
                acknowledgements.push(job(Err(error.clone())).await);
            }
            Err(error)
        }
    };
    if let Ok(id) = ended {
        newest.send_if_modified(|known| std::mem::replace(known, id) != id);
    }
    let ended = ended.map(drop);
    for acknowledge in acknowledgements {
        acknowledge(ended.clone());
    }
}

/// The id of the newest event that ever was; 0 before the first.
pub(crate) async fn newest_event(connection: &mut SqliteConnection) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar("SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'event'")
        .fetch_one(connection)
        .await
}
