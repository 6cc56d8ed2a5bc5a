//! The one way out: resolve, check, connect to the checked address.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;

use crate::{OutgoingPolicy, Refusal};

/// How long a name server, and then each address, may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Opens connections that the policy allows.
#[derive(Debug, Clone, Copy)]
pub struct Dialer {
    policy: OutgoingPolicy,
}

/// Why there is no connection.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum DialError {
    /// The policy forbids every address of the host.
    #[error("{host} may not be connected to: {address} {refusal}")]
    Refused {
        /// The host's name or address.
        host: String,
        /// One of its addresses.
        address: IpAddr,
        /// What is wrong with it.
        refusal: Refusal,
    },
    /// The name has no address.
    #[error("{host} has no address: {reason}")]
    Unresolved {
        /// The host's name.
        host: String,
        /// What the resolver says.
        reason: String,
    },
    /// Nobody answers at any address.
    #[error("{host} does not answer at {address}: {reason}")]
    Unreachable {
        /// The host's name or address.
        host: String,
        /// The last address that was tried.
        address: SocketAddr,
        /// What the operating system says.
        reason: String,
    },
}

impl Dialer {
    /// A dialer under a policy.
    pub fn new(policy: OutgoingPolicy) -> Self {
        Self { policy }
    }

    /// What it allows.
    pub fn policy(&self) -> OutgoingPolicy {
        self.policy
    }

    /// The addresses of a host that may be connected to: at least one.
    pub async fn resolve(&self, host: &str, port: u16) -> Result<Vec<SocketAddr>, DialError> {
        let unresolved = |reason: String| DialError::Unresolved { host: host.to_owned(), reason };
        let found = match host.parse::<IpAddr>() {
            Ok(address) => vec![SocketAddr::new(address, port)],
            Err(_) => timeout(PATIENCE, lookup_host((host, port)))
                .await
                .map_err(|_| unresolved("the name server does not answer".to_owned()))?
                .map_err(|error| unresolved(error.to_string()))?
                .collect(),
        };
        let mut allowed = Vec::new();
        let mut refused = None;
        for address in found {
            match self.policy.check_address(address.ip()) {
                Ok(()) => allowed.push(address),
                Err(refusal) => refused = Some((address.ip(), refusal)),
            }
        }
        match refused {
            Some((address, refusal)) if allowed.is_empty() => {
                Err(DialError::Refused { host: host.to_owned(), address, refusal })
            }
            _ if allowed.is_empty() => Err(unresolved("the name exists, without addresses".to_owned())),
            _ => Ok(allowed),
        }
    }

    /// A connection to a host, at an address that was checked.
    pub async fn connect(&self, host: &str, port: u16) -> Result<TcpStream, DialError> {
        let mut last = None;
        for address in self.resolve(host, port).await? {
            match timeout(PATIENCE, TcpStream::connect(address)).await {
                Ok(Ok(stream)) => return Ok(stream),
                Ok(Err(error)) => last = Some((address, error.to_string())),
                Err(_) => last = Some((address, "no answer".to_owned())),
            }
        }
        let (address, reason) = last.unwrap_or((SocketAddr::from(([0, 0, 0, 0], port)), String::new()));
        Err(DialError::Unreachable { host: host.to_owned(), address, reason })
    }
}
