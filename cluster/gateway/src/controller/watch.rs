//! One endless watch for each kind.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use kube::Client;
use kube::api::{Api, DynamicObject};
use kube::runtime::watcher::{Config, Error, watcher};

use super::kinds::Kind;
use super::store::Store;

/// A kind that the API lacks is asked for at this interval: its definition may come any time.
const ABSENT_PAUSE: Duration = Duration::from_secs(1);

/// Pauses after other errors double from the first to the last.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LAST_PAUSE: Duration = Duration::from_secs(5);

/// Keeps `store` up to date with all objects of `kind`. Never returns.
pub(crate) async fn watch(client: Client, kind: Kind, store: Arc<Store>) {
    let resource = kind.resource();
    let api: Api<DynamicObject> = Api::all_with(client, &resource);
    let mut events = pin!(watcher(api, Config::default()));
    let mut pause = FIRST_PAUSE;
    let mut told = String::new();
    while let Some(event) = events.next().await {
        match event {
            Ok(event) => {
                store.apply(kind, event);
                pause = FIRST_PAUSE;
                told.clear();
            }
            Err(error) if is_absent(&error) => {
                store.absent(kind);
                if told != "absent" {
                    tracing::debug!(kind = %resource.kind, "the API does not serve this kind yet");
                    "absent".clone_into(&mut told);
                }
                tokio::time::sleep(ABSENT_PAUSE).await;
            }
            Err(error) => {
                let message = error.to_string();
                // Once is enough: the same error comes back until its cause is gone.
                if told != message {
                    tracing::warn!(kind = %resource.kind, error = %message, "cannot watch; trying again");
                    told = message;
                }
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(LAST_PAUSE);
            }
        }
    }
}

fn is_absent(error: &Error) -> bool {
    let (Error::InitialListFailed(cause) | Error::WatchStartFailed(cause)) = error else { return false };
    // By its code: of a group that nobody serves a server answers no Status, so there is no reason to read.
    matches!(cause, kube::Error::Api(status) if status.code == 404)
}
