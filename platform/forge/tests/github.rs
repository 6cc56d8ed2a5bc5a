//! Pull requests, against a small server that answers as GitHub's documentation of its REST API says. GitHub itself is
//! not reached by any test.

#![allow(clippy::unwrap_used)]

use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use seaway_forge::{Error, GitHub, MergeRequest};
use seaway_git::{Dialer, OutgoingPolicy, RepositoryUrl};
use serde_json::{Value, json};

const TOKEN: &str = "ghp_of-the-test";

/// Pull requests of `acme/shop`.
#[derive(Default)]
struct Forge {
    pulls: Vec<Value>,
    /// The next list is empty, as if somebody opened one between both requests.
    late: bool,
    asked: Vec<String>,
}

fn answer(status: u16, body: &Value) -> Response<Full<Bytes>> {
    let status = StatusCode::from_u16(status).unwrap();
    Response::builder().status(status).body(Full::from(body.to_string())).unwrap()
}

async fn serve(forge: &Mutex<Forge>, request: Request<Incoming>) -> Response<Full<Bytes>> {
    let (head, body) = request.into_parts();
    let body: Value = serde_json::from_slice(&body.collect().await.unwrap().to_bytes()).unwrap_or_default();
    let mut forge = forge.lock();
    let path = head.uri.path().to_owned();
    forge.asked.push(format!("{} {path}", head.method));
    let header =
        |name: &str| head.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if header("user-agent").is_empty() {
        return answer(403, &json!({"message": "Request forbidden by administrative rules."}));
    }
    if header("authorization") != format!("Bearer {TOKEN}") {
        return answer(401, &json!({"message": "Bad credentials"}));
    }
    assert_eq!(header("accept"), "application/vnd.github+json");
    assert_eq!(header("x-github-api-version"), "2022-11-28");
    let Some(rest) = path.strip_prefix("/repos/acme/shop/pulls") else {
        return answer(404, &json!({"message": "Not Found"}));
    };
    let query: Vec<(String, String)> = head
        .uri
        .query()
        .unwrap_or_default()
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .map(|(name, value)| {
            (name.to_owned(), percent_encoding::percent_decode_str(value).decode_utf8().unwrap().into_owned())
        })
        .collect();
    let asked = |name: &str| query.iter().find(|(found, _)| found == name).map(|(_, value)| value.clone());
    match (head.method, rest) {
        (Method::GET, "") => {
            assert_eq!(asked("state").as_deref(), Some("open"));
            if std::mem::take(&mut forge.late) {
                return answer(200, &json!([]));
            }
            let meant = |pull: &&Value| {
                Some(format!("acme:{}", pull["head"]["ref"].as_str().unwrap())) == asked("head")
                    && pull["base"]["ref"].as_str() == asked("base").as_deref()
            };
            let found: Vec<Value> = forge.pulls.iter().filter(meant).cloned().collect();
            answer(200, &found.into())
        }
        (Method::POST, "") => {
            let there = |pull: &Value| pull["head"]["ref"] == body["head"];
            if body["base"] == "missing" {
                let errors = json!([{"resource": "PullRequest", "field": "base", "code": "invalid"}]);
                return answer(422, &json!({"message": "Validation Failed", "errors": errors}));
            }
            if forge.pulls.iter().any(there) {
                let why =
                    format!("A pull request already exists for acme:{}.", body["head"].as_str().unwrap());
                let errors = json!([{"resource": "PullRequest", "code": "custom", "message": why}]);
                return answer(422, &json!({"message": "Validation Failed", "errors": errors}));
            }
            let number = forge.pulls.len() + 1;
            let pull = json!({"number": number, "state": "open", "title": body["title"], "body": body["body"],
                "html_url": format!("https://github.com/acme/shop/pull/{number}"),
                "head": {"ref": body["head"]}, "base": {"ref": body["base"]}});
            forge.pulls.push(pull.clone());
            answer(201, &pull)
        }
        (Method::PATCH, number) => {
            let number: usize = number.trim_start_matches('/').parse().unwrap();
            let pull = &mut forge.pulls[number - 1];
            (pull["title"], pull["body"]) = (body["title"].clone(), body["body"].clone());
            answer(200, pull)
        }
        _ => answer(404, &json!({"message": "Not Found"})),
    }
}

async fn forge() -> (Arc<Mutex<Forge>>, String) {
    let forge: Arc<Mutex<Forge>> = Arc::default();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let served = forge.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let served = served.clone();
            let service = service_fn(move |request| {
                let served = served.clone();
                async move { Ok::<_, Infallible>(serve(&served, request).await) }
            });
            let connection = hyper::server::conn::http1::Builder::new();
            tokio::spawn(connection.serve_connection(TokioIo::new(stream), service));
        }
    });
    (forge, url)
}

fn github(api: &str, token: &str) -> GitHub {
    let policy = OutgoingPolicy { loopback: true, plain_http: true, ..OutgoingPolicy::default() };
    GitHub::new("github.com", Some(api), token.into(), None, Dialer::new(policy)).unwrap()
}

fn repository() -> RepositoryUrl {
    "https://github.com/acme/shop.git".parse().unwrap()
}

fn request(body: &str) -> MergeRequest {
    MergeRequest {
        branch: "seaway/seaway-jane/mine/web".into(),
        base: "main".into(),
        title: "Propose feature/title for web".into(),
        body: body.into(),
    }
}

#[tokio::test]
async fn a_pull_request_is_opened_once_and_then_kept_up_to_date() {
    let (forge, url) = forge().await;
    let github = github(&url, TOKEN);
    let opened = github.propose(&repository(), &request("first")).await.unwrap();
    assert_eq!((opened.number, opened.created), (1, true));
    assert_eq!(opened.url, "https://github.com/acme/shop/pull/1");
    let again = github.propose(&repository(), &request("second")).await.unwrap();
    assert_eq!((again.number, again.created), (1, false));
    assert_eq!(forge.lock().pulls[0]["body"], "second");
    // Two at once: who comes second finds that of the first.
    forge.lock().late = true;
    let raced = github.propose(&repository(), &request("third")).await.unwrap();
    assert_eq!((raced.number, raced.created), (1, false));
    assert_eq!(forge.lock().pulls.len(), 1);
    // The documented limit.
    github.propose(&repository(), &request(&"é".repeat(70_000))).await.unwrap();
    assert_eq!(forge.lock().pulls[0]["body"].as_str().unwrap().chars().count(), 65_536);
}

#[tokio::test]
async fn what_is_refused_is_said_with_what_to_do_and_without_the_token() {
    let (_forge, url) = forge().await;
    let wrong = github(&url, "ghp_wrong").propose(&repository(), &request("a")).await.unwrap_err();
    assert!(matches!(&wrong, Error::Refused { status: 401, .. }), "{wrong}");
    assert!(wrong.to_string().contains("put a new one into the Secret"), "{wrong}");
    assert!(!format!("{wrong:?}{:?}", github(&url, "ghp_wrong")).contains("ghp_wrong"));
    let elsewhere = "https://github.com/acme/other".parse().unwrap();
    let error = github(&url, TOKEN).propose(&elsewhere, &request("a")).await.unwrap_err();
    assert!(matches!(&error, Error::Refused { status: 404, .. }), "{error}");
    let base = MergeRequest { base: "missing".into(), ..request("a") };
    let error = github(&url, TOKEN).propose(&repository(), &base).await.unwrap_err();
    assert!(error.to_string().contains("Validation Failed"), "{error}");
    let local = "file:///repository".parse();
    if let Ok(local) = local {
        let error = github(&url, TOKEN).propose(&local, &request("a")).await.unwrap_err();
        assert!(error.to_string().contains("OWNER/REPOSITORY"), "{error}");
    }
}

#[tokio::test]
async fn a_forge_is_reached_only_where_the_policy_allows() {
    let (forge, url) = forge().await;
    for policy in [
        OutgoingPolicy { plain_http: true, ..OutgoingPolicy::default() },
        OutgoingPolicy { loopback: true, ..OutgoingPolicy::default() },
    ] {
        let github = GitHub::new("github.com", Some(&url), TOKEN.into(), None, Dialer::new(policy)).unwrap();
        let error = github.propose(&repository(), &request("a")).await.unwrap_err();
        assert!(matches!(error, Error::Unreachable { .. }), "{error}");
    }
    assert!(forge.lock().asked.is_empty());
    // Nobody listens there any more.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let gone = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let error = github(&gone, TOKEN).propose(&repository(), &request("a")).await.unwrap_err();
    assert!(matches!(error, Error::Unreachable { .. }), "{error}");
}
