//! What can go wrong on a node, each with where it happened and what to do next.

use std::path::{Path, PathBuf};

/// The result of everything in this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error of the node.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An image reference that cannot be read. Kubernetes calls it `InvalidImageName`.
    #[error("image reference \"{reference}\": {problem}; write it as [registry/]name[:tag][@sha256:…]")]
    Reference {
        /// The reference as written in the pod.
        reference: String,
        /// What is wrong with it.
        problem: String,
    },
    /// No layout folder and no registry has the image.
    #[error("image \"{reference}\": {problem}")]
    ImageNotFound {
        /// The reference as written in the pod.
        reference: String,
        /// Where it was looked for.
        problem: String,
    },
    /// `imagePullPolicy: Never` and the image is not here.
    #[error("Container image \"{reference}\" is not present with pull policy of Never")]
    NeverPull {
        /// The reference as written in the pod.
        reference: String,
    },
    /// A registry refused, failed or stalled.
    #[error("registry {host}: {what}: {problem}")]
    Registry {
        /// Host and port of the registry.
        host: String,
        /// The request that failed.
        what: String,
        /// Its answer.
        problem: String,
    },
    /// A blob is not what its digest says, or too large.
    #[error("blob {digest}: {problem}")]
    Blob {
        /// The digest asked for.
        digest: String,
        /// What is wrong.
        problem: String,
    },
    /// An entry of a layer that is refused.
    #[error("layer {layer}: entry \"{entry}\": {problem}")]
    Layer {
        /// Diff id of the layer.
        layer: String,
        /// Path inside the archive.
        entry: String,
        /// Why it is refused.
        problem: String,
    },
    /// A file operation failed.
    #[error("cannot {what} {}: {source}", path.display())]
    Io {
        /// The operation, as a verb.
        what: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The operating system's answer.
        source: std::io::Error,
    },
    /// The host does not allow what a sandbox needs.
    #[error("this host forbids pods: {what}: {source}. {advice}")]
    Forbidden {
        /// The operation that was refused.
        what: String,
        /// The operating system's answer.
        source: std::io::Error,
        /// What the host's administrator can change.
        advice: String,
    },
    /// The process that holds the node's namespaces is gone or answers nonsense.
    #[error("node namespace: {problem}; all pods of this node have ended and are started again")]
    NamespaceLost {
        /// What was seen.
        problem: String,
    },
    /// A pod's init is gone or answers nonsense.
    #[error("sandbox {pod}: {problem}")]
    Sandbox {
        /// Which pod.
        pod: String,
        /// What was seen.
        problem: String,
    },
    /// A container could not be started. Kubernetes calls it `RunContainerError`.
    #[error("container {container}: {problem}")]
    Start {
        /// Which container.
        container: String,
        /// What was seen.
        problem: String,
    },
    /// A pod asks for something that is missing or not allowed. Kubernetes calls it `CreateContainerConfigError`.
    #[error("{field}: {problem}")]
    Spec {
        /// The field of the pod.
        field: String,
        /// What is wrong with it.
        problem: String,
    },
    /// `runAsNonRoot`, and a user that is root or may be. In the kubelet's words.
    #[error("{problem} (pod: \"{pod}\", container: {container})")]
    NonRoot {
        /// What contradicts it.
        problem: String,
        /// Which pod: `name_namespace(uid)`.
        pod: String,
        /// Which container.
        container: String,
    },
    /// The network of the node could not be changed.
    #[error("network: {what}: {source}")]
    Network {
        /// The operation.
        what: String,
        /// The operating system's answer.
        source: std::io::Error,
    },
    /// A pod or container that this node does not run.
    #[error("{what} not found on this node")]
    NotFound {
        /// What was asked for.
        what: String,
    },
    /// The Kubernetes API refused or failed.
    #[error("kubernetes API: {what}: {source}")]
    Api {
        /// The request.
        what: String,
        /// The answer.
        source: Box<kube::Error>,
    },
}

impl Error {
    /// Wraps a failed file operation: `.map_err(Error::io("read", path))`.
    pub(crate) fn io(what: &'static str, path: impl AsRef<Path>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.as_ref().to_path_buf();
        move |source| Self::Io { what, path, source }
    }

    /// Wraps a failed request to the API: `.map_err(Error::api("get secret x"))`.
    pub(crate) fn api(what: impl Into<String>) -> impl FnOnce(kube::Error) -> Self {
        let what = what.into();
        move |source| Self::Api { what, source: Box::new(source) }
    }
}
