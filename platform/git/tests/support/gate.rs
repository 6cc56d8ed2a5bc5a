//! A server that takes connections and never answers, until it is opened: from then on it is another one.
#![allow(clippy::unwrap_used, dead_code, unreachable_pub, missing_docs)]

use std::net::Ipv4Addr;

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

pub struct Gate {
    port: u16,
    /// The port of the server behind it.
    opened: watch::Sender<Option<u16>>,
    held: watch::Receiver<usize>,
    task: tokio::task::JoinHandle<()>,
}

impl Gate {
    pub async fn closed() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (opened, behind) = watch::channel(None);
        let (count, held) = watch::channel(0);
        let task = tokio::spawn(async move {
            let (mut kept, mut connections) = (Vec::new(), JoinSet::new());
            while let Ok((mut stream, _)) = listener.accept().await {
                match *behind.borrow() {
                    // Also those that came too early never get an answer.
                    None => {
                        kept.push(stream);
                        count.send_replace(kept.len());
                    }
                    Some(port) => {
                        connections.spawn(async move {
                            let mut server = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?;
                            copy_bidirectional(&mut stream, &mut server).await
                        });
                    }
                }
            }
        });
        Self { port, opened, held, task }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}/{path}", self.port)
    }

    /// Leads to a server of this machine.
    pub fn open(&self, port: u16) {
        self.opened.send_replace(Some(port));
    }

    /// How many connections got no answer so far.
    pub fn held(&self) -> usize {
        *self.held.borrow()
    }

    /// Waits until so many connections have come that get no answer.
    pub async fn holds(&self, connections: usize) {
        self.held.clone().wait_for(|held| *held >= connections).await.unwrap();
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.task.abort();
    }
}
