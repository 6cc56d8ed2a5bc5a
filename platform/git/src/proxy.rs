//! A SOCKS proxy for one run of `git`, so that its connections go through the dialer.
//!
//! `git` connects by itself and follows redirects by itself; only a proxy sees every host that it asks for. TLS stays
//! between `git` and the server. RFC 1928, with the user name and password of RFC 1929, so that no other program on
//! this machine can use it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinSet};
use tokio_util::io::InspectReader;

use crate::{DialError, Dialer};

const USER: &str = "seaway";

/// What came of the connections.
#[derive(Default)]
struct Found {
    trouble: Mutex<Option<DialError>>,
    heard: AtomicBool,
}

/// Serves until it is dropped.
pub(crate) struct Proxy {
    port: u16,
    password: String,
    found: Arc<Found>,
    task: AbortHandle,
}

impl Proxy {
    pub(crate) async fn start(dialer: Dialer) -> std::io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let port = listener.local_addr()?.port();
        let password = hex::encode(rand::random::<[u8; 16]>());
        let found = Arc::new(Found::default());
        let (secret, noted) = (password.clone(), Arc::clone(&found));
        let task = tokio::spawn(async move {
            // Dropped with this task, and the connections with it.
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                while connections.try_join_next().is_some() {}
                let (secret, noted) = (secret.clone(), Arc::clone(&noted));
                connections.spawn(async move {
                    if let Err(error) = serve(stream, dialer, &secret, &noted).await {
                        tracing::debug!(%error, "a connection of git ended");
                    }
                });
            }
        })
        .abort_handle();
        Ok(Self { port, password, found, task })
    }

    /// For `http.proxy`. Names are resolved by the proxy (`socks5h`).
    pub(crate) fn url(&self) -> String {
        format!("socks5h://{USER}:{}@127.0.0.1:{}", self.password, self.port)
    }

    /// Why a connection was not made, if one was not.
    pub(crate) fn trouble(&self) -> Option<DialError> {
        self.found.trouble.lock().clone()
    }

    /// Whether anything has come from the other side.
    pub(crate) fn has_heard(&self) -> bool {
        self.found.heard.load(Ordering::SeqCst)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(mut stream: TcpStream, dialer: Dialer, secret: &str, found: &Found) -> std::io::Result<()> {
    const VERSION: u8 = 5;
    const PASSWORD: u8 = 2;
    let refuse = |what| Err(std::io::Error::other(what));

    let [version, count] = read(&mut stream).await?;
    let methods = read_text(&mut stream, count).await?;
    if version != VERSION || !methods.contains(&PASSWORD) {
        stream.write_all(&[VERSION, 0xff]).await?;
        return refuse("not SOCKS 5 with a password");
    }
    stream.write_all(&[VERSION, PASSWORD]).await?;
    let [_, length] = read(&mut stream).await?;
    let user = read_text(&mut stream, length).await?;
    let [length] = read(&mut stream).await?;
    let password = read_text(&mut stream, length).await?;
    if user != USER.as_bytes() || password != secret.as_bytes() {
        stream.write_all(&[1, 1]).await?;
        return refuse("wrong password");
    }
    stream.write_all(&[1, 0]).await?;

    let [_, command, _, kind] = read(&mut stream).await?;
    let host = match kind {
        1 => IpAddr::V4(Ipv4Addr::from(read::<4>(&mut stream).await?)).to_string(),
        4 => IpAddr::V6(Ipv6Addr::from(read::<16>(&mut stream).await?)).to_string(),
        3 => {
            let [length] = read(&mut stream).await?;
            String::from_utf8_lossy(&read_text(&mut stream, length).await?).into_owned()
        }
        _ => return refuse("unknown kind of address"),
    };
    let port = u16::from_be_bytes(read(&mut stream).await?);
    let answer = |code: u8| [VERSION, code, 0, 1, 0, 0, 0, 0, 0, 0];
    if command != 1 {
        stream.write_all(&answer(7)).await?;
        return refuse("not a request to connect");
    }
    match dialer.connect(&host, port).await {
        Ok(remote) => {
            stream.write_all(&answer(0)).await?;
            let _ = (stream.set_nodelay(true), remote.set_nodelay(true));
            let mut remote = InspectReader::new(remote, |bytes: &[u8]| {
                if !bytes.is_empty() {
                    found.heard.store(true, Ordering::SeqCst);
                }
            });
            copy_bidirectional(&mut stream, &mut remote).await?;
            Ok(())
        }
        Err(error) => {
            let code = if matches!(error, DialError::Refused { .. }) { 2 } else { 4 };
            *found.trouble.lock() = Some(error);
            stream.write_all(&answer(code)).await
        }
    }
}

async fn read<const N: usize>(stream: &mut TcpStream) -> std::io::Result<[u8; N]> {
    let mut bytes = [0; N];
    stream.read_exact(&mut bytes).await?;
    Ok(bytes)
}

async fn read_text(stream: &mut TcpStream, length: u8) -> std::io::Result<Vec<u8>> {
    let mut bytes = vec![0; usize::from(length)];
    stream.read_exact(&mut bytes).await?;
    Ok(bytes)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::OutgoingPolicy;

    async fn greeting(proxy: &Proxy, password: &str) -> Vec<u8> {
        let mut stream = TcpStream::connect(("127.0.0.1", proxy.port)).await.unwrap();
        let length = u8::try_from(password.len()).unwrap();
        let mut greeting = vec![5, 1, 2, 1, 6];
        greeting.extend_from_slice(USER.as_bytes());
        greeting.push(length);
        greeting.extend_from_slice(password.as_bytes());
        // CONNECT 169.254.169.254:80
        greeting.extend_from_slice(&[5, 1, 0, 1, 169, 254, 169, 254, 0, 80]);
        stream.write_all(&greeting).await.unwrap();
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        answer
    }

    #[tokio::test]
    async fn other_programs_cannot_use_the_proxy() {
        let proxy = Proxy::start(Dialer::new(OutgoingPolicy::default())).await.unwrap();
        assert_eq!(greeting(&proxy, "guess").await[..4], [5, 2, 1, 1]);
        let answer = greeting(&proxy, &proxy.password).await;
        assert_eq!(answer[..6], [5, 2, 1, 0, 5, 2], "the password opens it, the policy refuses the address");
        assert!(matches!(proxy.trouble(), Some(DialError::Refused { .. })));
    }
}
