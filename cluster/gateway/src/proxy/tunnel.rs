//! What comes after `101 Switching Protocols`: bytes both ways, WebSocket or any other protocol.

use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;

use super::Shared;
use super::upstream::Lease;

/// Joins both sides once they have switched. The endpoint counts as busy until
/// the tunnel closes.
pub(super) fn open(shared: &Shared, client: OnUpgrade, backend: OnUpgrade, lease: Lease) {
    let closing = shared.closing.clone();
    shared.tasks.spawn(async move {
        let _busy = lease;
        let tunnel = async {
            let (client, backend) = tokio::try_join!(client, backend)?;
            let (mut client, mut backend) = (TokioIo::new(client), TokioIo::new(backend));
            // Either side may leave at any time; that is how tunnels end.
            let _ = tokio::io::copy_bidirectional(&mut client, &mut backend).await;
            Ok::<_, hyper::Error>(())
        };
        tokio::select! {
            _ = tunnel => {}
            () = closing.cancelled() => {}
        }
    });
}
