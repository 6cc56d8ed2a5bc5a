//! Pods on this machine: images, sandboxes, their network and names.
//!
//! [`Node`] is a kubelet in Seaway's process: it watches the pods bound to it in the Kubernetes API and runs them as
//! ordinary processes in namespaces of their own. There is no container engine, and no privilege is needed.
//!
//! It never schedules (another crate binds pods to nodes), never serves HTTP (logs and exec are plain functions here),
//! and never gives a pod a way to the host: its network ends at the node's bridge.
//!
//! Start reading at [`sandbox`] for how a process is kept, at [`image`] for what it runs, and at `kubelet/state.rs` for
//! what a pod needs next. The helper processes (`helper/`) are this program started again: its `main` calls
//! [`helper_main`] first.

mod cgroup;
pub mod error;
mod helper;
pub mod image;
mod kubelet;
mod logs;
mod network;
mod opened;
pub mod sandbox;

pub use error::{Error, Result};
pub use helper::helper_main;
pub use kubelet::{Dialer, Exec, ExecOptions, Node, NodeOptions, Resizer, cluster_role_rules};
pub use logs::{LogOptions, Rotation};
pub use network::CLUSTER_DOMAIN;
