//! Reads the protobuf form of Kubernetes objects, as Go clients send it, into their JSON form.
//!
//! A current kubectl sends its typed requests (`kubectl create deployment`, `create token`, `auth can-i`, evictions) as
//! [`MEDIA_TYPE`] and does not fall back to JSON. [`decode`] turns such a body into what the same client would have
//! sent as JSON, so that a server that works on [`serde_json::Value`] needs to know nothing else. It never encodes:
//! clients also accept JSON.
//!
//! How the two forms agree. The facts (`facts/kubernetes-1.37.json`) are the declarations of the Go types in the
//! published kubectl, written by `cargo xtask protobuf`: field number, JSON name, type, pointer or not, `omitempty`.
//! So nothing is guessed about zero values, which Go's encoder always writes for fields that are no pointers:
//! - no pointer, `omitempty`, and zero (`""`, 0, false, no bytes, empty list): left out;
//! - no pointer without `omitempty`: kept, as Go's JSON does (`"disruptionsAllowed": 0`, `"status": {}`);
//! - a pointer is on the wire only if it is set, and then kept, also if it is zero (`"replicas": 0`).
//!
//! Two differences from Go's JSON, both without a meaning in Kubernetes: what Go writes as `null` (a list without
//! elements, a time that is not set) is left out, and so is a field that is not on the wire at all, though another
//! encoder than Go's might omit a zero value that Go's JSON would print.
//!
//! Messages of the stable kinds and of meta/v1 are known, but not CustomResourceDefinition and APIService, which
//! kubectl sends as JSON only. Custom resources have no protobuf form. Unknown field numbers are skipped: a newer
//! client may know more.
//!
//! The body is not trusted: its size, its depth and the number of its values are limited, and everything that is
//! malformed is an [`Error`] that names the field; no error shows a value.
//!
//! The same facts say how Go prints an object that came as JSON: [`canonical`].
//!
//! Start reading in `message.rs`; `wire.rs` knows the encoding, `facts.rs` the messages.

mod canonical;
mod error;
mod facts;
mod message;
mod wire;

pub use canonical::canonical;
pub use error::{Error, Problem};

use message::Decoder;
use serde_json::Value;

/// The content type of the bodies that [`decode`] reads.
pub const MEDIA_TYPE: &str = "application/vnd.kubernetes.protobuf";

/// The longest body that is read, in bytes: kube-apiserver's own limit.
pub const MAX_BYTES: usize = 3 * 1024 * 1024;

/// The JSON form of a body in Kubernetes' protobuf envelope, with the apiVersion and kind that the envelope says.
///
/// # Errors
///
/// The body is too long, has no envelope, holds a kind without a known protobuf form, or is malformed.
pub fn decode(body: &[u8]) -> Result<Value, Error> {
    if body.len() > MAX_BYTES {
        return Err(Error::TooLarge { bytes: body.len() });
    }
    Decoder::default().envelope(body)
}
