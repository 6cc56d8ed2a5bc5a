//! The seam to the node: what the API passes on for `kubectl logs`, `exec`, `attach` and `port-forward`.
//!
//! The API server knows no pods' processes. Whoever runs them implements [`NodeStreams`] and hands it to
//! [`crate::ApiServer::serve_node`]; until then the API says that no node runs here.

use std::pin::Pin;

use bytes::Bytes;
use futures::Stream;
use futures::future::BoxFuture;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

/// A container of a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContainerRef {
    /// The pod's namespace.
    pub namespace: String,
    /// The pod's name.
    pub pod: String,
    /// The container's name.
    pub container: String,
}

/// Which part of a log (`PodLogOptions`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogOptions {
    /// Goes on with new lines until the container ends.
    pub follow: bool,
    /// The log of the instance before the last restart.
    pub previous: bool,
    /// Each line begins with its time.
    pub timestamps: bool,
    /// Only this many lines from the end.
    pub tail_lines: Option<u64>,
    /// Only lines from then on.
    pub since: Option<jiff::Timestamp>,
    /// Only this many bytes.
    pub limit_bytes: Option<u64>,
}

/// What to run in a container, and with which streams.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExecOptions {
    /// Program and arguments; empty attaches to the container's own process.
    pub command: Vec<String>,
    /// Whether there is input.
    pub stdin: bool,
    /// Whether it runs on a terminal; output and errors are one stream then.
    pub tty: bool,
}

/// A running command.
pub struct ExecSession {
    /// Its input; dropping it is the end of input.
    pub stdin: Option<Box<dyn AsyncWrite + Send + Unpin>>,
    /// Its output.
    pub stdout: Box<dyn AsyncRead + Send + Unpin>,
    /// Its errors, unless it runs on a terminal.
    pub stderr: Option<Box<dyn AsyncRead + Send + Unpin>>,
    /// Columns and rows of the client's terminal, as they change.
    pub resize: mpsc::Sender<(u16, u16)>,
    /// The exit code, once it ends.
    pub exit: BoxFuture<'static, std::io::Result<i32>>,
}

/// A running pod's ports, as its own programs reach them on `localhost`.
pub trait PodPorts: Send + Sync + 'static {
    /// Connects to one.
    fn connect(&self, port: u16) -> BoxFuture<'static, std::io::Result<TcpStream>>;

    /// Resolves when the pod does not run any more.
    fn ended(&self) -> BoxFuture<'static, ()>;
}

/// Lines of a log as they are read.
pub type LogStream = Pin<Box<dyn Stream<Item = std::io::Result<Bytes>> + Send>>;

/// Why the node cannot do what it is asked.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// The request does not fit the container's state; the text is for the user.
    #[error("{0}")]
    BadRequest(String),
    /// There is no such pod or container on the node.
    #[error("{0}")]
    NotFound(String),
    /// The node failed.
    #[error("{0}")]
    Internal(String),
}

/// What a node does for the API.
pub trait NodeStreams: Send + Sync + 'static {
    /// Opens a log.
    fn logs(
        &self,
        container: ContainerRef,
        options: LogOptions,
    ) -> BoxFuture<'static, Result<LogStream, NodeError>>;

    /// Runs a command in a container, or attaches to it.
    fn exec(
        &self,
        container: ContainerRef,
        options: ExecOptions,
    ) -> BoxFuture<'static, Result<ExecSession, NodeError>>;

    /// The ports of a running pod. A node that does not forward any says so.
    fn ports(
        &self,
        namespace: String,
        pod: String,
    ) -> BoxFuture<'static, Result<Box<dyn PodPorts>, NodeError>> {
        let _ = (namespace, pod);
        Box::pin(async { Err(NodeError::Internal("this node forwards no ports".into())) })
    }
}
