//! What can go wrong when a gateway starts. A running gateway has no errors of
//! its own: a request gets a response, an object gets a condition.

use std::io;
use std::net::SocketAddr;

/// Why a gateway could not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The listening address is taken, forbidden or not on this machine.
    #[error("cannot listen on {address}; choose another with --gateway-listen")]
    Listen {
        /// The address asked for.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
}
