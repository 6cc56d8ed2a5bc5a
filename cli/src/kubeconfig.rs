//! The kubeconfig that `seaway up` leaves in its data folder.

use std::io::Write;
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use seaway_apiserver::Secret;
use serde_json::json;

/// Writes the file for its owner alone, whole or not at all.
pub(crate) fn write(
    path: &Path,
    address: SocketAddr,
    seaway: SocketAddr,
    ca_pem: &str,
    token: &Secret,
) -> std::io::Result<()> {
    let config = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "seaway", "preferences": {},
        "clusters": [{"name": "seaway", "cluster": {
            "server": format!("https://{}", reachable(address)),
            "certificate-authority-data": STANDARD.encode(ca_pem)}}],
        "users": [{"name": "seaway-admin", "user": {"token": token.expose()}}],
        "contexts": [{"name": "seaway", "context": {"cluster": "seaway", "user": "seaway-admin",
            "extensions": [{"name": "seaway.dev/server",
                            "extension": {"url": format!("http://{}", reachable(seaway))}}]}}],
    });
    let text = seaway_object::yaml::to_string(&config);
    // Nothing to write is the usual case, and works on a full disk too.
    if std::fs::read(path).is_ok_and(|present| present == text.as_bytes()) {
        return Ok(());
    }
    let temporary = path.with_extension("new");
    let _ = std::fs::remove_file(&temporary);
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    std::fs::rename(&temporary, path)
}

/// A server that listens on every address is reached on loopback.
pub(crate) fn reachable(address: SocketAddr) -> SocketAddr {
    match address {
        SocketAddr::V4(v4) if v4.ip().is_unspecified() => SocketAddr::from(([127, 0, 0, 1], v4.port())),
        SocketAddr::V6(v6) if v6.ip().is_unspecified() => {
            SocketAddr::from(([0, 0, 0, 0, 0, 0, 0, 1], v6.port()))
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wildcard_address_is_reached_on_loopback() {
        let of = |a: &str| reachable(a.parse().expect("an address")).to_string();
        assert_eq!(of("0.0.0.0:7443"), "127.0.0.1:7443");
        assert_eq!(of("[::]:1"), "[::1]:1");
        assert_eq!(of("10.0.0.3:7443"), "10.0.0.3:7443");
    }
}
