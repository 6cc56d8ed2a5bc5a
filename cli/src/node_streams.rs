//! Logs, commands and ports of pods, from the API server to the node.

use std::sync::{Arc, Weak};

use futures::FutureExt;
use futures::future::BoxFuture;
use seaway_apiserver::{
    ContainerRef, ExecOptions, ExecSession, LogOptions, LogStream, NodeError, NodeStreams, PodPorts,
};
use seaway_node::Node;
use seaway_node::sandbox::Sandbox;
use tokio::io::{AsyncRead, AsyncWrite};

/// The node of this machine, as the API server sees it; whoever started the node can still end it.
pub(crate) struct Streams(pub(crate) Weak<Node>);

impl Streams {
    fn node(&self) -> Result<Arc<Node>, NodeError> {
        self.0.upgrade().ok_or_else(|| NodeError::Internal("the node is shutting down".into()))
    }
}

fn node_error(error: seaway_node::Error) -> NodeError {
    match error {
        seaway_node::Error::NotFound { .. } => NodeError::NotFound(error.to_string()),
        other => NodeError::Internal(other.to_string()),
    }
}

impl NodeStreams for Streams {
    fn logs(
        &self,
        container: ContainerRef,
        options: LogOptions,
    ) -> BoxFuture<'static, Result<LogStream, NodeError>> {
        let options = seaway_node::LogOptions {
            follow: options.follow,
            tail: options.tail_lines,
            since: options.since,
            previous: options.previous,
            timestamps: options.timestamps,
            limit_bytes: options.limit_bytes,
        };
        let lines = match self.node() {
            Ok(node) => node.logs(&container.namespace, &container.pod, &container.container, options),
            Err(error) => return futures::future::ready(Err(error)).boxed(),
        };
        let lines = lines.map(|lines| Box::pin(lines) as LogStream).map_err(|error| match error {
            // A container that has not started yet is a wrong request, not a missing page.
            seaway_node::Error::NotFound { .. } => NodeError::BadRequest(error.to_string()),
            other => node_error(other),
        });
        futures::future::ready(lines).boxed()
    }

    fn exec(
        &self,
        container: ContainerRef,
        options: ExecOptions,
    ) -> BoxFuture<'static, Result<ExecSession, NodeError>> {
        let node = self.node();
        async move {
            let node = node?;
            let ContainerRef { namespace, pod, container } = container;
            let exec = if options.command.is_empty() {
                node.attach(&namespace, &pod, &container, options.stdin).await
            } else {
                let options = seaway_node::ExecOptions {
                    command: options.command,
                    stdin: options.stdin,
                    tty: options.tty,
                };
                node.exec(&namespace, &pod, &container, options).await
            };
            let exec = exec.map_err(node_error)?;
            let (resize, mut sizes) = tokio::sync::mpsc::channel::<(u16, u16)>(4);
            if let Some(Ok(resizer)) = exec.resizer() {
                tokio::spawn(async move {
                    while let Some((columns, rows)) = sizes.recv().await {
                        let _ = resizer.resize(columns, rows);
                    }
                });
            }
            let (stdin, stdout, stderr, end) = exec.into_parts();
            Ok(ExecSession {
                stdin: stdin.map(|s| Box::new(s) as Box<dyn AsyncWrite + Send + Unpin>),
                stdout: Box::new(stdout),
                stderr: stderr.map(|s| Box::new(s) as Box<dyn AsyncRead + Send + Unpin>),
                resize,
                exit: async move { Ok(end.await.code) }.boxed(),
            })
        }
        .boxed()
    }

    fn ports(
        &self,
        namespace: String,
        pod: String,
    ) -> BoxFuture<'static, Result<Box<dyn PodPorts>, NodeError>> {
        let ports = self.node().and_then(|node| node.sandbox(&namespace, &pod).map_err(node_error));
        futures::future::ready(ports.map(|sandbox| Box::new(Ports(sandbox)) as Box<dyn PodPorts>)).boxed()
    }
}

/// The ports of one pod, until its namespaces end.
struct Ports(Sandbox);

impl PodPorts for Ports {
    fn connect(&self, port: u16) -> BoxFuture<'static, std::io::Result<tokio::net::TcpStream>> {
        let sandbox = self.0.clone();
        async move { sandbox.dial(port).await }.boxed()
    }

    fn ended(&self) -> BoxFuture<'static, ()> {
        let sandbox = self.0.clone();
        async move { sandbox.ended().await }.boxed()
    }
}
