//! GitHub, and its Enterprise Server: pull requests by the REST API, version 2022-11-28.
//!
//! Source: "REST API endpoints for pull requests" of GitHub's documentation.

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST, HeaderValue, USER_AGENT};
use http::{Method, Request, StatusCode};
use http_body_util::Full;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use seaway_git::{Dialer, RepositoryUrl, Secret};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::Error;
use crate::exchange::Api;

/// The API of github.com.
const PUBLIC: &str = "https://api.github.com";
const VERSION: &str = "2022-11-28";
/// Longest text of a pull request, in characters.
const LONGEST_BODY: usize = 65_536;
/// Longest title, in characters.
const LONGEST_TITLE: usize = 256;

/// A GitHub, as whoever holds a token.
#[derive(Debug, Clone)]
pub struct GitHub {
    api: Api,
    token: Secret,
    /// Certificates that alone are trusted (PEM).
    ca: Option<String>,
    dialer: Dialer,
}

/// What is to be merged into what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MergeRequest {
    /// The branch that is proposed.
    pub branch: String,
    /// The branch that it is meant for.
    pub base: String,
    /// One line.
    pub title: String,
    /// Markdown; what is too long is cut.
    pub body: String,
}

/// A merge request that is open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opened {
    /// Its number in the repository.
    pub number: u64,
    /// Its page.
    pub url: String,
    /// Whether it was opened just now.
    pub created: bool,
}

#[derive(Deserialize)]
struct Pull {
    number: u64,
    html_url: String,
}

struct Place {
    owner: String,
    name: String,
}

/// Unreserved characters (RFC 3986, section 2.3) stay as they are.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

fn encoded(text: &str) -> String {
    utf8_percent_encode(text, RESERVED).to_string()
}

fn place(repository: &RepositoryUrl) -> Result<Place, Error> {
    let path = repository.path().trim_matches('/');
    let path = path.strip_suffix(".git").unwrap_or(path);
    let mut parts = path.rsplit('/');
    match (parts.next(), parts.next()) {
        (Some(name), Some(owner)) if !name.is_empty() && !owner.is_empty() => {
            Ok(Place { owner: owner.to_owned(), name: name.to_owned() })
        }
        _ => Err(Error::Repository { url: repository.to_string() }),
    }
}

impl GitHub {
    /// That of a repository's host; `api` where it is neither github.com nor an Enterprise Server at its usual path.
    ///
    /// # Errors
    /// When `api` is no URL.
    pub fn new(
        repository_host: &str,
        api: Option<&str>,
        token: Secret,
        ca: Option<String>,
        dialer: Dialer,
    ) -> Result<Self, Error> {
        let api = match api {
            Some(api) => api.to_owned(),
            None if repository_host == "github.com" => PUBLIC.to_owned(),
            None => format!("https://{repository_host}/api/v3"),
        };
        Ok(Self { api: api.parse()?, token, ca, dialer })
    }

    /// Opens a pull request, or brings the one that is open for this branch to today's title and text: it can be asked for
    /// again.
    ///
    /// # Errors
    /// When GitHub cannot be reached or refuses.
    pub async fn propose(&self, repository: &RepositoryUrl, request: &MergeRequest) -> Result<Opened, Error> {
        let place = place(repository)?;
        let pulls = format!("/repos/{}/{}/pulls", encoded(&place.owner), encoded(&place.name));
        let text = json!({
            "title": cut(&request.title, LONGEST_TITLE),
            "body": cut(&request.body, LONGEST_BODY),
        });
        if let Some(open) = self.open(&pulls, &place, request).await? {
            return self.renew(&pulls, &open, &text).await;
        }
        let mut new = text.clone();
        new["head"] = request.branch.clone().into();
        new["base"] = request.base.clone().into();
        new["maintainer_can_modify"] = true.into();
        let (status, body) = self.ask(Method::POST, &pulls, Some(&new)).await?;
        if status == StatusCode::UNPROCESSABLE_ENTITY
            && let Some(open) = self.open(&pulls, &place, request).await?
        {
            // Somebody was first.
            return self.renew(&pulls, &open, &text).await;
        }
        let pull: Pull = self.read(status, StatusCode::CREATED, &body)?;
        Ok(Opened { number: pull.number, url: pull.html_url, created: true })
    }

    async fn open(&self, pulls: &str, place: &Place, request: &MergeRequest) -> Result<Option<Pull>, Error> {
        let head = encoded(&format!("{}:{}", place.owner, request.branch));
        let path = format!("{pulls}?state=open&head={head}&base={}", encoded(&request.base));
        let (status, body) = self.ask(Method::GET, &path, None).await?;
        let found: Vec<Pull> = self.read(status, StatusCode::OK, &body)?;
        Ok(found.into_iter().next())
    }

    async fn renew(&self, pulls: &str, open: &Pull, text: &Value) -> Result<Opened, Error> {
        let (status, body) = self.ask(Method::PATCH, &format!("{pulls}/{}", open.number), Some(text)).await?;
        let pull: Pull = self.read(status, StatusCode::OK, &body)?;
        Ok(Opened { number: pull.number, url: pull.html_url, created: false })
    }

    async fn ask(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<(StatusCode, Bytes), Error> {
        let refused = |reason: String| Error::Unreachable { host: self.api.host.clone(), reason };
        let mut bearer = HeaderValue::from_str(&format!("Bearer {}", self.token.expose()))
            .map_err(|_| refused("the token has characters that no token has".to_owned()))?;
        bearer.set_sensitive(true);
        let request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.api.root))
            .header(HOST, self.api.authority())
            .header(USER_AGENT, "seaway")
            .header(ACCEPT, "application/vnd.github+json")
            .header("x-github-api-version", VERSION)
            .header(AUTHORIZATION, bearer)
            .header(CONTENT_TYPE, "application/json");
        let bytes = body.map(Value::to_string).unwrap_or_default();
        let request = request.body(Full::from(bytes)).map_err(|error| refused(error.to_string()))?;
        self.api.send(self.dialer, self.ca.as_deref(), request).await
    }

    fn read<T: DeserializeOwned>(
        &self,
        status: StatusCode,
        wanted: StatusCode,
        body: &Bytes,
    ) -> Result<T, Error> {
        let host = self.api.host.clone();
        if status != wanted {
            return Err(Error::Refused { host, status: status.as_u16(), message: message(body) });
        }
        serde_json::from_slice(body).map_err(|error| Error::Unexpected { host, reason: error.to_string() })
    }
}

/// What GitHub says, with what it says of single fields. It is shown to people, and cut.
fn message(body: &[u8]) -> String {
    let value: Value = serde_json::from_slice(body).unwrap_or_default();
    let mut all = vec![value["message"].as_str().unwrap_or("no reason is given").to_owned()];
    let errors = value["errors"].as_array().into_iter().flatten();
    all.extend(errors.filter_map(|error| error["message"].as_str().map(str::to_owned)));
    let text: String = all.join(": ").chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    cut(&text, 500)
}

fn cut(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    text.chars().take(most - 1).chain("…".chars()).collect()
}
