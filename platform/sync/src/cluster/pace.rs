//! As many requests at once as the server can bear: more while it answers, half as many when it says that it is too
//! busy (429, 503), and those again after the time that it names.
//!
//! Nobody has to find out which rate a cluster bears: API priority and fairness (Kubernetes' own) tells it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::{Request, Response, StatusCode, header};
use kube::Client;
use kube::client::Body;
use parking_lot::Mutex;
use tokio::sync::oneshot;

/// Requests at once, to begin with and at the most.
const FIRST: f64 = 32.0;
const MOST: f64 = 256.0;
/// A request is sent so often before its refusal is believed.
const ATTEMPTS: u32 = 8;
/// Without `Retry-After` it is tried again after this long.
const PAUSE: Duration = Duration::from_secs(1);
/// A server that names a longer time is asked after this one.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// Refusals within this time are one: they were sent before anybody knew.
const ONE_SIGNAL: Duration = Duration::from_secs(1);

struct State {
    limit: f64,
    in_flight: usize,
    waiting: VecDeque<oneshot::Sender<()>>,
    slowed: Option<Instant>,
}

/// How many requests go on, shared by all clients that come from one.
#[derive(Clone)]
struct Pace(Arc<Mutex<State>>);

/// A request that goes on; another one may when this is dropped.
struct Going(Arc<Mutex<State>>);

/// The same client, at the pace of its server.
pub(crate) fn paced(client: &Client) -> Client {
    let inner = client.clone();
    let namespace = client.default_namespace().to_owned();
    let pace = Pace::new();
    let service = tower::service_fn(move |request: Request<Body>| {
        let (inner, pace) = (inner.clone(), pace.clone());
        async move { send(&inner, &pace, request).await }
    });
    Client::new(service, namespace)
}

async fn send(client: &Client, pace: &Pace, request: Request<Body>) -> Result<Response<Body>, kube::Error> {
    let (parts, body) = request.into_parts();
    let mut body = Some(body);
    for attempt in 1.. {
        let again = body.as_ref().and_then(Body::try_clone).filter(|_| attempt < ATTEMPTS);
        let Some(sent) = std::mem::replace(&mut body, again) else { break };
        let going = pace.take().await;
        let response = client.send(Request::from_parts(parts.clone(), sent)).await;
        drop(going);
        let response = response?;
        let named = response.headers().get(header::RETRY_AFTER).and_then(|value| value.to_str().ok());
        let Some(pause) = pause(response.status(), named) else {
            pace.grow();
            return Ok(response);
        };
        pace.slow_down();
        if body.is_none() {
            return Ok(response);
        }
        tracing::debug!(path = parts.uri.path(), ?pause, "the server is too busy");
        tokio::time::sleep(pause.mul_f64(rand::random_range(1.0..1.5))).await;
    }
    Err(kube::Error::Service("a request could not be sent again".into()))
}

/// How long to wait after an answer; `None` when the server is not too busy. Not every server is that does not serve
/// something: only one that names a time, or says 429.
fn pause(status: StatusCode, retry_after: Option<&str>) -> Option<Duration> {
    let named = retry_after.and_then(|seconds| seconds.trim().parse().ok()).map(Duration::from_secs);
    match status {
        StatusCode::TOO_MANY_REQUESTS => Some(named.unwrap_or(PAUSE).min(LONGEST_PAUSE)),
        StatusCode::SERVICE_UNAVAILABLE => named.map(|named| named.min(LONGEST_PAUSE)),
        _ => None,
    }
}

impl Pace {
    fn new() -> Self {
        Self(Arc::new(Mutex::new(State {
            limit: FIRST,
            in_flight: 0,
            waiting: VecDeque::new(),
            slowed: None,
        })))
    }

    async fn take(&self) -> Going {
        let waiting = {
            let mut state = self.0.lock();
            if (state.in_flight as f64) < state.limit.floor() {
                state.in_flight += 1;
                return Going(self.0.clone());
            }
            let (sender, waiting) = oneshot::channel();
            state.waiting.push_back(sender);
            waiting
        };
        // Whoever hands it on counts it already.
        let going = Going(self.0.clone());
        if waiting.await.is_err() {
            tracing::debug!("a request's turn was not handed on");
        }
        going
    }

    /// After as many answers as may go on at once, one more may.
    fn grow(&self) {
        let mut state = self.0.lock();
        state.limit = (state.limit + 1.0 / state.limit).min(MOST);
        state.hand_on();
    }

    fn slow_down(&self) {
        let mut state = self.0.lock();
        if state.slowed.is_none_or(|slowed| slowed.elapsed() >= ONE_SIGNAL) {
            state.slowed = Some(Instant::now());
            state.limit = (state.limit / 2.0).max(1.0);
        }
    }
}

impl State {
    fn hand_on(&mut self) {
        while (self.in_flight as f64) < self.limit.floor() {
            let Some(next) = self.waiting.pop_front() else { return };
            // One who has stopped waiting is passed over.
            if next.send(()).is_ok() {
                self.in_flight += 1;
            }
        }
    }
}

impl Drop for Going {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.in_flight -= 1;
        state.hand_on();
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use futures::future::join_all;
    use std::sync::atomic::{AtomicUsize, Ordering};

    fn answer(status: u16, retry_after: Option<&str>) -> Response<Body> {
        let mut response = Response::builder().status(status);
        if let Some(seconds) = retry_after {
            response = response.header(header::RETRY_AFTER, seconds);
        }
        response.body(Body::empty()).unwrap()
    }

    fn request() -> Request<Body> {
        Request::get("/api").body(Body::from(b"{}".to_vec())).unwrap()
    }

    #[tokio::test]
    async fn a_busy_server_is_asked_again_when_it_says_and_by_fewer_at_once() {
        let (asked, at_once, most) = <(AtomicUsize, AtomicUsize, AtomicUsize)>::default();
        let counts = Arc::new((asked, at_once, most));
        let shared = counts.clone();
        let service = tower::service_fn(move |_: Request<Body>| {
            let counts = shared.clone();
            async move {
                let number = counts.0.fetch_add(1, Ordering::SeqCst);
                let now = counts.1.fetch_add(1, Ordering::SeqCst) + 1;
                counts.2.fetch_max(now, Ordering::SeqCst);
                tokio::time::sleep(Duration::from_millis(10)).await;
                counts.1.fetch_sub(1, Ordering::SeqCst);
                Ok::<_, std::io::Error>(if number < 20 { answer(429, Some("0")) } else { answer(200, None) })
            }
        });
        let client = paced(&Client::new(service, "default"));
        let answers = join_all((0..100).map(|_| client.send(request()))).await;
        assert!(answers.into_iter().all(|answer| answer.unwrap().status() == 200));
        assert_eq!(counts.0.load(Ordering::SeqCst), 120);
        assert!(counts.2.load(Ordering::SeqCst) <= FIRST as usize + 4, "{counts:?}");
    }

    #[tokio::test]
    async fn a_refusal_is_believed_in_the_end_and_other_answers_at_once() {
        for (status, retry_after, expected) in
            [(429, Some("0"), ATTEMPTS), (503, Some("0"), ATTEMPTS), (503, None, 1), (404, None, 1)]
        {
            let asked = Arc::new(AtomicUsize::new(0));
            let shared = asked.clone();
            let service = tower::service_fn(move |_: Request<Body>| {
                shared.fetch_add(1, Ordering::SeqCst);
                async move { Ok::<_, std::io::Error>(answer(status, retry_after)) }
            });
            let client = paced(&Client::new(service, "default"));
            assert_eq!(client.send(request()).await.unwrap().status(), status);
            assert_eq!(asked.load(Ordering::SeqCst), expected as usize, "{status}");
        }
    }

    #[test]
    fn it_waits_as_long_as_it_is_told_and_not_for_ever() {
        let of = |status: u16, retry_after| pause(StatusCode::from_u16(status).unwrap(), retry_after);
        let seconds = |seconds| Some(Duration::from_secs(seconds));
        assert_eq!(of(429, Some("3")), seconds(3));
        assert_eq!((of(429, None), of(429, Some("soon"))), (Some(PAUSE), Some(PAUSE)));
        assert_eq!((of(503, Some("2")), of(503, None)), (seconds(2), None));
        assert_eq!(of(429, Some("86400")), Some(LONGEST_PAUSE));
        assert_eq!((of(200, Some("3")), of(404, None)), (None, None));
    }

    #[test]
    fn many_refusals_at_once_are_one_signal() {
        let pace = Pace::new();
        (0..50).for_each(|_| pace.slow_down());
        assert_eq!(pace.0.lock().limit, FIRST / 2.0);
        (0..20_000).for_each(|_| pace.grow());
        assert!(pace.0.lock().limit > FIRST && pace.0.lock().limit <= MOST);
    }
}
