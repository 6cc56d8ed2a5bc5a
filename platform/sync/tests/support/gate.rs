//! What stands between Seaway and the API, and can cut it off.

use std::sync::Arc;

use http::{Method, Request, Response};
use kube::Client;
use kube::client::Body;
use parking_lot::Mutex;
use tokio::sync::watch;

/// How requests go through.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub enum Way {
    #[default]
    Open,
    /// Nobody answers.
    Down,
    /// So many writes go through. After them Seaway hears nothing any more, as if it were killed: with `arrives`, the next
    /// write still reaches the API.
    KilledAfter { writes: usize, arrives: bool },
    /// That has happened.
    Killed,
}

#[derive(Clone)]
pub struct Gate(Arc<State>);

struct State {
    way: Mutex<Way>,
    told: watch::Sender<Way>,
}

enum Fate {
    Passes,
    Fails,
    Hangs,
    HangsOnceDone,
}

impl Default for Gate {
    fn default() -> Self {
        Self(Arc::new(State { way: Mutex::default(), told: watch::Sender::default() }))
    }
}

impl Gate {
    pub fn set(&self, way: Way) {
        *self.0.way.lock() = way;
        self.0.told.send_replace(way);
    }

    pub fn is(&self, way: Way) -> bool {
        *self.0.way.lock() == way
    }

    fn fate(&self, method: &Method) -> Fate {
        let mut way = self.0.way.lock();
        let fate = match &mut *way {
            Way::Open => return Fate::Passes,
            Way::Down => return Fate::Fails,
            Way::Killed => return Fate::Hangs,
            Way::KilledAfter { .. } if *method == Method::GET => return Fate::Passes,
            Way::KilledAfter { writes: 0, arrives: true } => Fate::HangsOnceDone,
            Way::KilledAfter { writes: 0, arrives: false } => Fate::Hangs,
            Way::KilledAfter { writes, .. } => {
                *writes -= 1;
                return Fate::Passes;
            }
        };
        *way = Way::Killed;
        fate
    }

    /// Until the next life begins.
    async fn hang(&self) -> kube::Error {
        let mut told = self.0.told.subscribe();
        let _ = told.wait_for(|way| *way == Way::Open).await;
        kube::Error::Service("cut off".into())
    }

    /// The same client behind the gate.
    pub fn client(&self, client: Client) -> Client {
        let namespace = client.default_namespace().to_owned();
        let gate = self.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let (gate, client) = (gate.clone(), client.clone());
            async move { gate.send(&client, request).await }
        });
        Client::new(service, namespace)
    }

    async fn send(&self, client: &Client, request: Request<Body>) -> Result<Response<Body>, kube::Error> {
        match self.fate(request.method()) {
            Fate::Passes => client.send(request).await,
            Fate::Fails => Err(kube::Error::Service("nobody answers".into())),
            Fate::Hangs => Err(self.hang().await),
            Fate::HangsOnceDone => {
                let _ = client.send(request).await;
                Err(self.hang().await)
            }
        }
    }
}
