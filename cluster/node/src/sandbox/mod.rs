//! Sandboxes: a pod's own root, users, processes and network, without a container engine.
//!
//! [`NodeNamespace`] is the node's side of the machine: a helper process that holds a network without a way out, opens
//! sockets in it and starts pods. [`Sandbox`] is one pod there; [`Process`] is one process in it.

mod channel;
mod namespace;
mod pod;

pub use crate::helper::capability::capabilities;
pub use crate::helper::protocol::{BindMount, ContainerSpec, Exit, ProcessSpec};
pub(crate) use namespace::SHORTEST_PREFIX;
pub use namespace::{NamespaceOptions, NodeNamespace};
pub use pod::{PodOptions, Process, Sandbox, Streams, TerminalReceiver};
