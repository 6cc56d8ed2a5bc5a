//! Bodies on their way through: never held as a whole.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::Full;
use hyper::body::Incoming;
use tokio::sync::mpsc;
use tokio::time::{Instant, Sleep};

use super::upstream::Lease;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Parts of a body that a mirror may lag behind before its copy is given up.
const COPY_LAG: usize = 64;

/// The body of a request to a backend.
#[derive(Debug)]
pub(crate) struct RequestBody {
    source: Source,
    /// Shared with whoever wants to know when it is sent: let go when nothing is left to send.
    unsent: Option<Arc<()>>,
}

#[derive(Debug)]
enum Source {
    Empty,
    Client(Incoming),
    /// The client's, of which others get a copy.
    Copied {
        incoming: Incoming,
        copies: Vec<mpsc::Sender<Copy>>,
    },
    /// Such a copy.
    Copy(mpsc::Receiver<Copy>),
}

impl RequestBody {
    /// Nothing.
    pub(crate) fn empty() -> Self {
        Self { source: Source::Empty, unsent: None }
    }

    /// The client's.
    pub(crate) fn client(body: Incoming) -> Self {
        Self { source: Source::Client(body), unsent: None }
    }

    /// The client's, copied to others on its way.
    pub(crate) fn copied(incoming: Incoming, copies: Vec<mpsc::Sender<Copy>>) -> Self {
        Self { source: Source::Copied { incoming, copies }, unsent: None }
    }

    /// Tells later whether there was still something to send. `None`: there is nothing in it.
    pub(crate) fn watch(&mut self) -> Option<Upload> {
        if self.is_end_stream() {
            return None;
        }
        let unsent = Arc::new(());
        self.unsent = Some(Arc::clone(&unsent));
        Some(Upload(unsent))
    }
}

/// A request's body on its way to a backend.
#[derive(Debug)]
pub(crate) struct Upload(Arc<()>);

impl Upload {
    /// Whether all of it was handed over, or given up.
    pub(crate) fn is_over(&self) -> bool {
        Arc::strong_count(&self.0) == 1
    }
}

/// A part of a copied body.
#[derive(Debug)]
pub(crate) enum Copy {
    Data(Bytes),
    End,
}

/// Both ends of a copied body.
pub(crate) fn copy() -> (mpsc::Sender<Copy>, RequestBody) {
    let (sender, receiver) = mpsc::channel(COPY_LAG);
    (sender, RequestBody { source: Source::Copy(receiver), unsent: None })
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match &mut self.get_mut().source {
            Source::Empty => Poll::Ready(None),
            Source::Client(incoming) => Pin::new(incoming).poll_frame(cx).map_err(Into::into),
            Source::Copied { incoming, copies } => {
                let frame = ready!(Pin::new(&mut *incoming).poll_frame(cx));
                let part = |data: Option<&Bytes>| data.map_or(Copy::End, |data| Copy::Data(data.clone()));
                match &frame {
                    // A copy that cannot keep up is dropped, which aborts it; the original never waits.
                    Some(Ok(frame)) => {
                        if let Some(data) = frame.data_ref() {
                            copies.retain(|copy| copy.try_send(part(Some(data))).is_ok());
                        }
                    }
                    Some(Err(_)) => copies.clear(),
                    None => {}
                }
                if frame.is_none() || incoming.is_end_stream() {
                    for copy in copies.drain(..) {
                        let _ = copy.try_send(part(None));
                    }
                }
                Poll::Ready(frame.map(|frame| frame.map_err(Into::into)))
            }
            Source::Copy(receiver) => match ready!(receiver.poll_recv(cx)) {
                Some(Copy::Data(data)) => Poll::Ready(Some(Ok(Frame::data(data)))),
                Some(Copy::End) => Poll::Ready(None),
                None => Poll::Ready(Some(Err("the original request was given up".into()))),
            },
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.source {
            Source::Empty => true,
            Source::Client(incoming) | Source::Copied { incoming, .. } => incoming.is_end_stream(),
            Source::Copy(_) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.source {
            Source::Empty => SizeHint::with_exact(0),
            Source::Client(incoming) | Source::Copied { incoming, .. } => incoming.size_hint(),
            Source::Copy(_) => SizeHint::default(),
        }
    }
}

/// The body of a response to a client.
#[derive(Debug)]
pub(crate) enum ResponseBody {
    /// The gateway's own words.
    Text(Full<Bytes>),
    /// The backend's.
    Backend(BackendBody),
}

/// A backend's body. Reading it moves its connection forward; at its end the connection is given back. When the
/// deadline comes first, the response breaks off.
#[derive(Debug)]
pub(crate) struct BackendBody {
    incoming: Incoming,
    /// Until the end.
    lease: Option<Lease>,
    deadline: Option<Pin<Box<Sleep>>>,
}

impl BackendBody {
    pub(crate) fn new(incoming: Incoming, lease: Lease, deadline: Option<Instant>) -> Self {
        let deadline = deadline.map(|deadline| Box::pin(tokio::time::sleep_until(deadline)));
        let mut body = Self { incoming, lease: Some(lease), deadline };
        body.release_at_end();
        body
    }

    fn release_at_end(&mut self) {
        if self.incoming.is_end_stream()
            && let Some(lease) = self.lease.take()
        {
            lease.complete();
        }
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let body = match self.get_mut() {
            Self::Text(text) => return Pin::new(text).poll_frame(cx).map_err(|never| match never {}),
            Self::Backend(body) => body,
        };
        if let Some(deadline) = &mut body.deadline
            && deadline.as_mut().poll(cx).is_ready()
        {
            body.lease = None;
            return Poll::Ready(Some(Err("the time limit of the route is over".into())));
        }
        let incoming = &mut body.incoming;
        let frame = match &mut body.lease {
            Some(lease) => ready!(lease.poll_with(cx, |cx| Pin::new(&mut *incoming).poll_frame(cx))),
            None => ready!(Pin::new(incoming).poll_frame(cx)),
        };
        match &frame {
            None => {
                if let Some(lease) = body.lease.take() {
                    lease.complete();
                }
            }
            Some(Ok(_)) => body.release_at_end(),
            Some(Err(_)) => body.lease = None,
        }
        Poll::Ready(frame.map(|frame| frame.map_err(Into::into)))
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Text(text) => text.is_end_stream(),
            Self::Backend(body) => body.incoming.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Text(text) => text.size_hint(),
            Self::Backend(body) => body.incoming.size_hint(),
        }
    }
}
