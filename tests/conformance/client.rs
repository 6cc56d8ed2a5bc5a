//! Plain HTTP with JSON to one of the two servers, by the same client.

use std::path::Path;
use std::time::{Duration, Instant};

use http_body_util::BodyExt;
use kube::client::Body;
use kube::config::{Config, KubeConfigOptions, Kubeconfig};
use serde_json::Value;

/// A server and who talks to it.
pub(crate) struct Server {
    admin: kube::Client,
    stranger: kube::Client,
    anonymous: kube::Client,
}

/// Who sends a request.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) enum Sender {
    #[default]
    Admin,
    /// Another user, by impersonation.
    User { name: String, groups: Vec<String> },
    /// A token that nobody gave out.
    Stranger,
    /// No credentials at all.
    Anonymous,
}

/// A request, ready to be sent.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) media_type: String,
    pub(crate) body: Vec<u8>,
    pub(crate) sender: Sender,
    pub(crate) headers: Vec<(String, String)>,
}

/// What a server said.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Answer {
    pub(crate) code: u16,
    pub(crate) body: Value,
}

impl Server {
    pub(crate) async fn new(kubeconfig: &Path) -> Self {
        let kubeconfig = Kubeconfig::read_from(kubeconfig).unwrap();
        let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.unwrap();
        let with = |token: Option<&str>| {
            let mut config = config.clone();
            config.read_timeout = None;
            // An error is an answer here, not a reason to ask again.
            config.default_retry = false;
            if let Some(token) = token {
                config.auth_info.token = (!token.is_empty()).then(|| token.to_owned().into());
            }
            kube::Client::try_from(config).unwrap()
        };
        Self { admin: with(None), stranger: with(Some("nobody-knows-it")), anonymous: with(Some("")) }
    }

    /// Waits until the server says that it is ready.
    pub(crate) async fn ready(&self) {
        let deadline = Instant::now() + Duration::from_secs(90);
        loop {
            let request = http::Request::get("/readyz").body(Body::empty()).unwrap();
            if matches!(self.admin.send(request).await, Ok(answer) if answer.status().is_success()) {
                return;
            }
            assert!(Instant::now() < deadline, "the server is not ready within 90 s");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Sends a request and gives its answer before the body is read.
    pub(crate) async fn open(&self, request: &Request) -> http::Response<Body> {
        let mut builder = http::Request::builder().method(request.method.as_str()).uri(&request.path);
        if !request.body.is_empty() {
            builder = builder.header("Content-Type", &request.media_type);
        }
        for (name, value) in &request.headers {
            builder = builder.header(name, value);
        }
        let client = match &request.sender {
            Sender::Admin => &self.admin,
            Sender::Stranger => &self.stranger,
            Sender::Anonymous => &self.anonymous,
            Sender::User { name, groups } => {
                builder = builder.header("Impersonate-User", name);
                for group in groups {
                    builder = builder.header("Impersonate-Group", group);
                }
                &self.admin
            }
        };
        let sent = builder.body(Body::from(request.body.clone())).unwrap();
        client.send(sent).await.unwrap_or_else(|e| panic!("{} {}: {e}", request.method, request.path))
    }

    pub(crate) async fn send(&self, request: &Request) -> Answer {
        let answer = self.open(request).await;
        let code = answer.status().as_u16();
        let bytes = answer.into_body().collect_bytes().await.unwrap();
        let body = serde_json::from_slice(&bytes)
            .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(&bytes).into_owned()));
        Answer { code, body }
    }
}

/// Events of a watch as they come.
pub(crate) struct Events {
    received: tokio::sync::mpsc::UnboundedReceiver<Value>,
}

impl Events {
    /// Follows an open watch.
    pub(crate) fn follow(answer: http::Response<Body>) -> Self {
        let (sender, received) = tokio::sync::mpsc::unbounded_channel();
        let mut body = answer.into_body();
        tokio::spawn(async move {
            let mut pending = vec![];
            while let Some(Ok(frame)) = body.frame().await {
                pending.extend_from_slice(frame.data_ref().map_or(&[][..], |d| d));
                while let Some(end) = pending.iter().position(|b| *b == b'\n') {
                    let line: Vec<u8> = pending.drain(..=end).collect();
                    let event = serde_json::from_slice(&line)
                        .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(&line).into_owned()));
                    if sender.send(event).is_err() {
                        return;
                    }
                }
            }
        });
        Self { received }
    }

    /// So many events, or fewer when no more come for a while.
    pub(crate) async fn take(&mut self, count: usize) -> Vec<Value> {
        let mut events = vec![];
        while events.len() < count {
            match tokio::time::timeout(Duration::from_secs(15), self.received.recv()).await {
                Ok(Some(event)) => events.push(event),
                _ => break,
            }
        }
        events
    }

    /// Everything until the server ends the watch.
    pub(crate) async fn rest(&mut self) -> Vec<Value> {
        self.take(usize::MAX).await
    }
}
