//! The HTTP client of the commands that ask a Seaway server, and where it finds that server.
//!
//! A token is sent to one URL only: that of its kubeconfig's context (`seaway.dev/server`), the one at which `seaway login`
//! got it, or the one given together with it. It is sent over loopback, or over https that the certificate authority of the same kubeconfig entry (or of
//! this machine, for a token from `SEAWAY_TOKEN`) has verified. Client certificates and the credentials of other
//! clusters are never sent, and redirects are not followed.

mod connection;
pub(crate) mod login;
mod target;
mod url;

use std::time::Duration;

use futures::stream::{self, BoxStream, StreamExt};
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use miette::{Diagnostic, IntoDiagnostic, WrapErr, miette};
use seaway_server::Problem;
use serde::Serialize;
use serde::de::DeserializeOwned;

pub(crate) use login::Login;
use target::{KubeconfigContext, Target};
pub(crate) use target::{ServerOptions, Token, counts_before_login};
pub(crate) use url::Url;

/// Longest answer that is read.
const LARGEST_ANSWER: usize = 64 * 1024 * 1024;
/// Longest line of an event stream.
const LONGEST_LINE: usize = 4 * 1024 * 1024;
/// Longer than the server takes for anything.
const ANSWER: Duration = Duration::from_secs(150);

/// Asks one server.
pub(crate) struct Client {
    target: Target,
}

/// What the server refused, with its advice.
#[derive(Debug, thiserror::Error)]
#[error("{}", .0.detail)]
pub(crate) struct Refused(pub(crate) Problem);

impl Diagnostic for Refused {
    fn help<'a>(&'a self) -> Option<Box<dyn std::fmt::Display + 'a>> {
        let help = self.0.help.as_ref()?;
        Some(Box::new(help))
    }
}

/// One server-sent event.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Event {
    /// Where to go on after it.
    pub(crate) id: Option<String>,
    /// What kind of event it is.
    pub(crate) name: String,
    /// Its content.
    pub(crate) data: String,
}

impl Client {
    /// Finds the server.
    ///
    /// # Errors
    /// When no server is known, or when sending the token there would not be safe.
    pub(crate) fn find(options: &ServerOptions) -> miette::Result<Self> {
        Ok(Self { target: target::find(options)? })
    }

    /// The server to log in to: no token is needed yet, and none is sent.
    ///
    /// # Errors
    /// When sending a password there would not be safe.
    pub(crate) fn to_log_in(options: &ServerOptions) -> miette::Result<Self> {
        Ok(Self { target: target::to_log_in(options)? })
    }

    /// The server of a login.
    ///
    /// # Errors
    /// When sending its token there would not be safe.
    pub(crate) fn of_login(login: Login) -> miette::Result<Self> {
        Ok(Self { target: target::of_login(login)? })
    }

    /// Where the server is.
    pub(crate) fn url(&self) -> &Url {
        &self.target.url
    }

    /// The context of the kubeconfig whose token is sent, if it is one of a kubeconfig.
    pub(crate) fn kubeconfig(&self) -> Option<&KubeconfigContext> {
        self.target.kubeconfig.as_ref()
    }

    /// Reads something.
    pub(crate) async fn get<T: DeserializeOwned>(&self, path: &str) -> miette::Result<T> {
        self.exchange(Method::GET, path, None::<&()>).await
    }

    /// Asks for something to be done.
    pub(crate) async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> miette::Result<T> {
        self.exchange(Method::POST, path, Some(body)).await
    }

    /// Asks for something to be so from now on.
    pub(crate) async fn put<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> miette::Result<T> {
        self.exchange(Method::PUT, path, Some(body)).await
    }

    /// Asks for something to be deleted.
    pub(crate) async fn delete<T: DeserializeOwned>(&self, path: &str) -> miette::Result<T> {
        self.exchange(Method::DELETE, path, None::<&()>).await
    }

    /// The events from now on, or from the one after `last`.
    pub(crate) async fn events(
        &self,
        path: &str,
        last: Option<&str>,
    ) -> miette::Result<BoxStream<'static, miette::Result<Event>>> {
        let mut request = self.request(Method::GET, path, None::<&()>)?;
        request.headers_mut().insert(ACCEPT, HeaderValue::from_static("text/event-stream"));
        if let Some(last) = last {
            request.headers_mut().insert("last-event-id", HeaderValue::from_str(last).into_diagnostic()?);
        }
        let response = self.send(request).await?;
        let body = response.into_body().into_data_stream();
        let lines = Lines { body: body.boxed(), buffer: Vec::new(), event: Event::default() };
        Ok(stream::try_unfold(lines, async |mut lines| Ok(lines.next().await?.map(|event| (event, lines))))
            .boxed())
    }

    /// Prints an answer of lines as it comes.
    pub(crate) async fn lines(&self, path: &str) -> miette::Result<()> {
        let response = self.send(self.request(Method::GET, path, None::<&()>)?).await?;
        let mut body = response.into_body().into_data_stream();
        while let Some(bytes) = body.next().await {
            let bytes = bytes.into_diagnostic().wrap_err("the answer broke off: it is not whole")?;
            match std::io::Write::write_all(&mut std::io::stdout().lock(), &bytes) {
                // Whoever reads it has seen enough.
                Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => return Ok(()),
                written => written.into_diagnostic()?,
            }
        }
        Ok(())
    }

    async fn exchange<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<&impl Serialize>,
    ) -> miette::Result<T> {
        let response = self.send(self.request(method, path, body)?).await?;
        let bytes = read(response).await?;
        serde_json::from_slice(&bytes)
            .into_diagnostic()
            .wrap_err_with(|| format!("{} answered what this release does not understand", self.target.url))
    }

    fn request(
        &self,
        method: Method,
        path: &str,
        body: Option<&impl Serialize>,
    ) -> miette::Result<Request<Full<Bytes>>> {
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(HOST, self.target.url.authority())
            .header(ACCEPT, "application/json");
        if let Some(token) = &self.target.token {
            let mut value = HeaderValue::from_str(&format!("Bearer {}", token.expose()))
                .map_err(|_| miette!("the token holds characters that no token has"))?;
            value.set_sensitive(true);
            request = request.header(AUTHORIZATION, value);
        }
        let bytes = match body {
            Some(body) => {
                request = request.header(CONTENT_TYPE, "application/json");
                serde_json::to_vec(body).into_diagnostic()?
            }
            None => Vec::new(),
        };
        request.body(Full::from(bytes)).into_diagnostic()
    }

    /// Sends; an answer that is not a success becomes an error.
    async fn send(&self, request: Request<Full<Bytes>>) -> miette::Result<Response<Incoming>> {
        let url = &self.target.url;
        let exchange = connection::send(&self.target, request);
        let response = match tokio::time::timeout(ANSWER, exchange).await {
            Ok(response) => response?,
            Err(_) => return Err(miette!("{url} does not answer")),
        };
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let is_problem = response
            .headers()
            .get(CONTENT_TYPE)
            .and_then(|value| value.to_str().ok())
            .is_some_and(|value| value.starts_with(seaway_server::PROBLEM_MEDIA_TYPE));
        if is_problem && let Ok(problem) = serde_json::from_slice::<Problem>(&read(response).await?) {
            return Err(Refused(problem).into());
        }
        Err(match status {
            StatusCode::NOT_FOUND => {
                miette!(help = "give the URL of a Seaway server", "{url} answered {status}: no Seaway server")
            }
            _ => miette!("{url} answered {status}"),
        })
    }
}

async fn read(response: Response<Incoming>) -> miette::Result<Bytes> {
    let body = Limited::new(response.into_body(), LARGEST_ANSWER).collect();
    match tokio::time::timeout(ANSWER, body).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) => Err(miette!("the answer broke off: {error}")),
        Err(_) => Err(miette!("the answer does not end")),
    }
}

/// Makes events of an event stream's lines (HTML standard, section 9.2.6).
struct Lines {
    body: BoxStream<'static, Result<Bytes, hyper::Error>>,
    buffer: Vec<u8>,
    event: Event,
}

impl Lines {
    /// The next event; `None` at the end of the stream.
    async fn next(&mut self) -> miette::Result<Option<Event>> {
        loop {
            while let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.buffer.drain(..=end).collect();
                let line = String::from_utf8_lossy(&line);
                if let Some(event) = self.line(line.trim_end_matches(['\r', '\n'])) {
                    return Ok(Some(event));
                }
            }
            if self.buffer.len() > LONGEST_LINE {
                return Err(miette!("an event is too large"));
            }
            match self.body.next().await {
                Some(Ok(bytes)) => self.buffer.extend_from_slice(&bytes),
                // A stream that breaks off is asked for again from where it was.
                Some(Err(_)) | None => return Ok(None),
            }
        }
    }

    fn line(&mut self, line: &str) -> Option<Event> {
        if line.is_empty() {
            let event = std::mem::take(&mut self.event);
            return (!event.data.is_empty()).then_some(event);
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "id" => self.event.id = Some(value.to_owned()),
            "event" => self.event.name = value.to_owned(),
            "data" => {
                if !self.event.data.is_empty() {
                    self.event.data.push('\n');
                }
                self.event.data.push_str(value);
            }
            _ => {}
        }
        None
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn events_are_read_whatever_way_they_are_cut() {
        let text = ": hello\n\nid: 7\nevent: ledger\ndata: {\"a\":\ndata: 1}\n\ndata:x\r\n\r\nid: 9\n";
        for size in [1, 2, 7, 1000] {
            let pieces: Vec<_> =
                text.as_bytes().chunks(size).map(|piece| Ok(Bytes::copy_from_slice(piece))).collect();
            let mut lines =
                Lines { body: stream::iter(pieces).boxed(), buffer: Vec::new(), event: Event::default() };
            let first = Event { id: Some("7".into()), name: "ledger".into(), data: "{\"a\":\n1}".into() };
            assert_eq!(lines.next().await.unwrap(), Some(first));
            let second = Event { data: "x".into(), ..Event::default() };
            assert_eq!(lines.next().await.unwrap(), Some(second));
            assert_eq!(lines.next().await.unwrap(), None);
        }
    }
}
