//! One connection to an endpoint, moved forward by whoever waits for it.
//!
//! A request and its connection share a task: when the backend's answer comes, one wake-up is enough to read it and to
//! write it to the client. A task of its own costs two more for each request, mostly on another thread. It gets one all
//! the same when nobody else would move it: while it idles for long, for the rest of a request's body once the response
//! has begun, and for a change of protocol.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering::AcqRel, Ordering::Release};
use std::task::{Context, Poll, Wake, Waker};

use futures::task::AtomicWaker;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::Limits;
use super::body::RequestBody;

/// A connection to an endpoint.
#[derive(Debug)]
pub(crate) struct Connection {
    sender: SendRequest<RequestBody>,
    /// `None` when a task of its own moves it.
    driver: Option<Driver>,
}

/// What moves a connection forward when it is polled.
#[derive(Debug)]
struct Driver {
    connection: Pin<Box<http1::Connection<TokioIo<TcpStream>, RequestBody>>>,
    ended: bool,
    wakes: Arc<Wakes>,
    /// Of `wakes`.
    waker: Waker,
}

impl Connection {
    /// Begins to speak HTTP/1.1.
    pub(crate) async fn open(stream: TcpStream, limits: &Limits) -> Result<Self, hyper::Error> {
        let mut client = http1::Builder::new();
        client.max_buf_size(limits.header_bytes);
        if let Some(most) = limits.max_headers() {
            client.max_headers(most);
        }
        let (sender, connection) = client.handshake(TokioIo::new(stream)).await?;
        let wakes = Arc::<Wakes>::default();
        let waker = Waker::from(Arc::clone(&wakes));
        let connection = Box::pin(connection);
        Ok(Self { sender, driver: Some(Driver { connection, ended: false, wakes, waker }) })
    }

    /// Sends a request and waits for the head of its response; or gives the request back, if nothing of it was sent, and
    /// says what went wrong.
    pub(crate) async fn send(
        &mut self,
        request: Request<RequestBody>,
        address: SocketAddr,
    ) -> Result<Response<Incoming>, (Option<Box<Request<RequestBody>>>, String)> {
        let mut response = std::pin::pin!(self.sender.try_send_request(request));
        let driver = &mut self.driver;
        let response = std::future::poll_fn(|cx| match driver {
            Some(driver) => driver.advance(cx, |cx| response.as_mut().poll(cx)),
            None => response.as_mut().poll(cx),
        });
        response.await.map_err(|mut error| {
            let request = error.take_message().map(Box::new);
            (request, format!("connection to {address} broke: {}", error.into_error()))
        })
    }

    /// Asks `next` for what comes over this connection, and moves the connection forward as long as it has nothing.
    pub(crate) fn poll_with<T>(
        &mut self,
        cx: &mut Context<'_>,
        mut next: impl FnMut(&mut Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        let Some(driver) = &mut self.driver else { return next(cx) };
        // What was read together with something earlier is there already.
        match driver.look(cx, &mut next) {
            Poll::Pending => driver.advance(cx, next),
            ready => ready,
        }
    }

    /// Whether it can take a request.
    pub(crate) fn is_ready(&self) -> bool {
        self.sender.is_ready()
    }

    /// Whether it is of no more use.
    pub(crate) fn is_closed(&self) -> bool {
        self.sender.is_closed() || self.driver.as_ref().is_some_and(|driver| driver.ended)
    }

    /// Waits until it can take a request.
    pub(crate) async fn ready(&mut self) -> Result<(), hyper::Error> {
        self.detach();
        self.sender.ready().await
    }

    /// Gives it a task of its own, which also sees when the other side closes it.
    pub(crate) fn detach(&mut self) {
        let Some(driver) = self.driver.take() else { return };
        if !driver.ended {
            tokio::spawn(async move {
                // An error of the connection reaches the request that it served.
                let _ = Pin::into_inner(driver.connection).with_upgrades().await;
            });
        }
    }

    /// Its last user is done: what happens to it wakes nobody any more.
    pub(crate) fn rest(&mut self) {
        if let Some(driver) = &self.driver {
            driver.wakes.user.take();
        }
    }
}

impl Driver {
    /// Moves the connection forward and then looks for what it brought.
    fn advance<T>(
        &mut self,
        cx: &mut Context<'_>,
        mut look: impl FnMut(&mut Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        // What moving the connection sets off within itself is seen at once; a third time is for the next turn, so that
        // a task whose budget is used up yields.
        for _ in 0..2 {
            self.wakes.begin(cx.waker());
            let mut own = Context::from_waker(&self.waker);
            if !self.ended {
                // An error reaches whoever waits for a response or a body.
                self.ended = self.connection.as_mut().poll(&mut own).is_ready();
            }
            let seen = look(&mut own);
            let woken = self.wakes.end();
            if seen.is_ready() || !woken {
                return seen;
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Looks for what the connection brought already.
    fn look<T>(
        &mut self,
        cx: &mut Context<'_>,
        mut look: impl FnMut(&mut Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        self.wakes.begin(cx.waker());
        let seen = look(&mut Context::from_waker(&self.waker));
        // Whoever sees nothing advances next, so a wake-up of meanwhile is not lost.
        self.wakes.end();
        seen
    }
}

/// The connection moves on in its user's task; while it does, wake-ups that come from within are only noted.
#[derive(Debug, Default)]
struct Wakes {
    state: AtomicU8,
    user: AtomicWaker,
}

const ADVANCING: u8 = 1;
const WOKEN: u8 = 2;

impl Wakes {
    fn begin(&self, user: &Waker) {
        self.user.register(user);
        self.state.store(ADVANCING, Release);
    }

    /// Whether there was a wake-up since `begin`.
    fn end(&self) -> bool {
        self.state.swap(0, AcqRel) & WOKEN != 0
    }
}

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if self.state.fetch_or(WOKEN, AcqRel) & ADVANCING == 0 {
            self.user.wake();
        }
    }
}
