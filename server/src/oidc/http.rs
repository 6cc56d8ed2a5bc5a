//! Requests to the provider: through the one dialer, with limits, and without following anybody elsewhere.

use std::sync::Arc;
use std::time::Duration;

use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST, HeaderValue, USER_AGENT};
use http::{Method, Request, Response, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use seaway_git::{DialError, Dialer, Refusal};
use serde::de::DeserializeOwned;
use tokio::io::{AsyncRead, AsyncWrite};

/// Longest answer of a provider, in bytes.
const LARGEST: usize = 1 << 20;
/// Until an answer is there as a whole.
const PATIENCE: Duration = Duration::from_secs(15);

/// Why the provider cannot be asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HttpError {
    #[error("{0:?} is no URL with a host")]
    NoUrl(String),
    #[error("{url}: {refusal}")]
    Refused { url: String, refusal: Refusal },
    #[error(transparent)]
    Dial(#[from] DialError),
    #[error("{url} does not answer: {reason}")]
    NoAnswer { url: String, reason: String },
    #[error("{url} does not answer within {} s", PATIENCE.as_secs())]
    Late { url: String },
    #[error("{url} answers {status}{}", .error.as_deref().map(|error| format!(": {error}")).unwrap_or_default())]
    Status { url: String, status: u16, error: Option<String> },
    #[error("the answer of {url} is not understood: {reason}")]
    Answer { url: String, reason: String },
}

/// Asks one provider.
pub(crate) struct Http {
    dialer: Dialer,
    tls: Arc<ClientConfig>,
}

/// A form, and who sends it: in a header that cannot be printed.
pub(crate) struct Form<'a> {
    pub(crate) body: String,
    pub(crate) authorization: Option<&'a HeaderValue>,
}

/// What is sent with a request.
#[derive(Default)]
struct Sent<'a> {
    form: Option<String>,
    authorization: Option<&'a HeaderValue>,
}

impl Http {
    pub(crate) fn new(dialer: Dialer, roots: RootCertStore) -> Self {
        let tls = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        Self { dialer, tls: Arc::new(tls) }
    }

    /// A JSON document.
    pub(crate) async fn get<T: DeserializeOwned>(&self, url: &str) -> Result<T, HttpError> {
        self.ask(Method::GET, url, Sent::default()).await
    }

    /// A JSON document, for whoever shows this.
    pub(crate) async fn get_as<T: DeserializeOwned>(
        &self,
        url: &str,
        authorization: &HeaderValue,
    ) -> Result<T, HttpError> {
        self.ask(Method::GET, url, Sent { form: None, authorization: Some(authorization) }).await
    }

    /// The JSON that answers a form.
    pub(crate) async fn post<T: DeserializeOwned>(&self, url: &str, form: Form<'_>) -> Result<T, HttpError> {
        let Form { body, authorization } = form;
        self.ask(Method::POST, url, Sent { form: Some(body), authorization }).await
    }

    async fn ask<T: DeserializeOwned>(
        &self,
        method: Method,
        url: &str,
        sent: Sent<'_>,
    ) -> Result<T, HttpError> {
        let asked = async {
            let answer = self.send(method, url, sent).await?;
            let status = answer.status();
            let body = Limited::new(answer.into_body(), LARGEST).collect().await;
            let wrong = |reason: String| HttpError::Answer { url: url.to_owned(), reason };
            let body = body.map_err(|error| wrong(error.to_string()))?.to_bytes();
            if !status.is_success() {
                return Err(HttpError::Status {
                    url: url.to_owned(),
                    status: status.as_u16(),
                    error: code(&body),
                });
            }
            // What it holds may be tokens: it is not quoted.
            serde_json::from_slice(&body)
                .map_err(|_| wrong("it is not the JSON that belongs there".to_owned()))
        };
        tokio::time::timeout(PATIENCE, asked)
            .await
            .unwrap_or_else(|_| Err(HttpError::Late { url: url.to_owned() }))
    }

    async fn send(&self, method: Method, url: &str, sent: Sent<'_>) -> Result<Response<Incoming>, HttpError> {
        let no_url = || HttpError::NoUrl(url.to_owned());
        let no_answer = |reason: &dyn std::fmt::Display| HttpError::NoAnswer {
            url: url.to_owned(),
            reason: reason.to_string(),
        };
        let uri: Uri = url.parse().map_err(|_| no_url())?;
        let (host, port, tls) = self.target(url, &uri)?;
        let authority = uri.authority().ok_or_else(no_url)?;
        let mut request = Request::builder()
            .method(method)
            .uri(uri.path_and_query().map_or("/", |path| path.as_str()))
            .header(HOST, authority.as_str())
            .header(ACCEPT, "application/json")
            .header(USER_AGENT, concat!("seaway/", env!("CARGO_PKG_VERSION")));
        if sent.form.is_some() {
            request = request.header(CONTENT_TYPE, "application/x-www-form-urlencoded");
        }
        if let Some(authorization) = sent.authorization {
            request = request.header(AUTHORIZATION, authorization.clone());
        }
        let body = Bytes::from(sent.form.unwrap_or_default());
        let request = request.body(Full::new(body)).map_err(|_| no_url())?;
        let stream = self.dialer.connect(&host, port).await?;
        if !tls {
            return exchange(stream, request).await.map_err(|error| no_answer(&error));
        }
        let name = ServerName::try_from(host).map_err(|_| no_url())?;
        let handshake = tokio_rustls::TlsConnector::from(self.tls.clone()).connect(name, stream);
        let stream = handshake.await.map_err(|error| no_answer(&error))?;
        exchange(stream, request).await.map_err(|error| no_answer(&error))
    }

    /// Host, port, and whether over TLS; plain http as far as the policy lets it.
    fn target(&self, url: &str, uri: &Uri) -> Result<(String, u16, bool), HttpError> {
        let no_url = || HttpError::NoUrl(url.to_owned());
        let tls = match uri.scheme_str() {
            Some("https") => true,
            Some("http") if self.dialer.policy().plain_http => false,
            Some("http") => {
                return Err(HttpError::Refused { url: url.to_owned(), refusal: Refusal::PlainHttp });
            }
            _ => return Err(no_url()),
        };
        let authority = uri.authority().filter(|a| !a.as_str().contains('@')).ok_or_else(no_url)?;
        let host = authority.host().trim_start_matches('[').trim_end_matches(']');
        if host.is_empty() {
            return Err(no_url());
        }
        Ok((host.to_owned(), authority.port_u16().unwrap_or(if tls { 443 } else { 80 }), tls))
    }
}

/// The code of an error (RFC 6749, 5.2), which is a word.
fn code(body: &[u8]) -> Option<String> {
    let value: serde_json::Value = serde_json::from_slice(body).ok()?;
    let code = value["error"].as_str()?;
    (code.len() <= 64 && code.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')).then(|| code.to_owned())
}

async fn exchange<S>(stream: S, request: Request<Full<Bytes>>) -> hyper::Result<Response<Incoming>>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    // It ends with the answer's body; its error is the answer's as well.
    tokio::spawn(connection);
    sender.send_request(request).await
}
