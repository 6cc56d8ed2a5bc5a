//! The page: files that `web/` is built into, carried by the program.

use axum::response::{IntoResponse, Response};
use http::header::{
    ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, HeaderMap,
    HeaderValue, IF_NONE_MATCH, VARY,
};
use http::{Method, StatusCode, Uri};

use crate::problem::Problem;

/// A file of the page.
struct File {
    /// Its path, without the leading `/`.
    path: &'static str,
    /// Names the content.
    tag: &'static str,
    plain: &'static [u8],
    gzip: Option<&'static [u8]>,
    brotli: Option<&'static [u8]>,
}

// FILES: &[File], made by the build script; empty when the page could not be built.
include!(concat!(env!("OUT_DIR"), "/page.rs"));

/// Everything comes from this server; nothing is inline, and no other site can frame it.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
                      font-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'self'; \
                      frame-ancestors 'none'";

/// A file of the page; any other path outside `/api` is one of the page's own addresses.
pub(crate) async fn serve(method: Method, uri: Uri, headers: HeaderMap) -> Response {
    serve_from(FILES, &method, &uri, &headers)
}

fn serve_from(files: &'static [File], method: &Method, uri: &Uri, headers: &HeaderMap) -> Response {
    let path = uri.path().trim_start_matches('/');
    if path == "api" || path.starts_with("api/") {
        return Problem::not_found("nothing is served here; /api/openapi.json lists the paths")
            .into_response();
    }
    if method != Method::GET && method != Method::HEAD {
        return Problem::method_not_allowed().into_response();
    }
    let find = |path: &str| files.iter().find(|file| file.path == path);
    let wants_page = headers.get(http::header::ACCEPT).is_none_or(|accept| {
        accept.to_str().is_ok_and(|accept| accept.contains("text/html") || accept.contains("*/*"))
    });
    // A name with an ending is a file: a missing one must not be answered with the page.
    let is_address =
        !path.rsplit('/').next().unwrap_or_default().contains('.') || path.starts_with("environments/");
    match find(path).or_else(|| find("index.html").filter(|_| wants_page && is_address)) {
        Some(file) => answer(file, headers),
        None if files.is_empty() && is_address => {
            let detail = "this seaway was built without Node.js and carries no page";
            Problem::not_found(detail)
                .help("build it where Node.js 20 or newer is installed, or use `seaway env`")
                .into_response()
        }
        None => Problem::not_found("there is no such file").into_response(),
    }
}

fn answer(file: &'static File, asked: &HeaderMap) -> Response {
    let accepts = |coding: &str| {
        let listed = asked.get_all(ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
        listed.flat_map(|value| value.split(',')).any(|one| {
            let (name, quality) = one.split_once(';').unwrap_or((one, ""));
            name.trim() == coding && !matches!(quality.trim(), "q=0" | "q=0.0" | "q=0.00" | "q=0.000")
        })
    };
    let (body, coding) = match (file.brotli, file.gzip) {
        (Some(brotli), _) if accepts("br") => (brotli, Some("br")),
        (_, Some(gzip)) if accepts("gzip") => (gzip, Some("gzip")),
        _ => (file.plain, None),
    };
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(media_type(file.path)));
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(VARY, HeaderValue::from_static("accept-encoding"));
    headers.insert(ETAG, HeaderValue::from_static(file.tag));
    // Names of assets hold a hash of their content; the page itself is asked for anew.
    let lasting = file.path.starts_with("assets/");
    let cache = if lasting { "public, max-age=31536000, immutable" } else { "no-cache" };
    headers.insert(CACHE_CONTROL, HeaderValue::from_static(cache));
    if asked.get(IF_NONE_MATCH).is_some_and(|tag| tag == file.tag) {
        return (StatusCode::NOT_MODIFIED, headers).into_response();
    }
    if let Some(coding) = coding {
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static(coding));
    }
    (headers, body).into_response()
}

fn media_type(path: &str) -> &'static str {
    match path.rsplit('.').next() {
        Some("html") => "text/html; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("svg") => "image/svg+xml",
        Some("json") => "application/json",
        Some("woff2") => "font/woff2",
        Some("png") => "image/png",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use http_body_util::BodyExt as _;
    use serde_json::Value;

    use super::*;

    fn get(files: &'static [File], path: &str) -> Response {
        let headers = [("accept", "text/html"), ("accept-encoding", "gzip, deflate, br")]
            .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()));
        serve_from(files, &Method::GET, &path.parse().unwrap(), &headers.into_iter().collect())
    }

    #[tokio::test]
    async fn a_build_without_node_says_that_the_page_is_missing_and_what_to_do() {
        for path in ["/", "/login", "/environments/seaway/staging"] {
            let answer = get(&[], path);
            assert_eq!(answer.status(), StatusCode::NOT_FOUND, "{path}");
            let body = answer.into_body().collect().await.unwrap().to_bytes();
            let problem: Value = serde_json::from_slice(&body).unwrap();
            assert!(problem["detail"].as_str().unwrap().contains("without Node.js"), "{path}: {problem}");
            assert!(problem["help"].as_str().unwrap().contains("seaway env"), "{path}: {problem}");
        }
    }

    #[tokio::test]
    async fn the_first_load_is_less_than_250_kb_compressed() {
        let Some(page) = FILES.iter().find(|file| file.path == "index.html") else {
            println!("skipped: this build carries no page");
            return;
        };
        // What the page names is loaded with it.
        let html = String::from_utf8_lossy(page.plain);
        let named: Vec<&File> =
            FILES.iter().filter(|file| html.contains(&format!("/{}", file.path))).collect();
        for ending in [".js", ".css"] {
            assert!(named.iter().any(|file| file.path.ends_with(ending)), "it names a {ending}: {html}");
        }
        let mut total = 0;
        for file in named.into_iter().chain([page]) {
            let answer = get(FILES, &format!("/{}", file.path));
            assert_eq!(answer.status(), StatusCode::OK, "{}", file.path);
            assert_eq!(answer.headers()[CONTENT_SECURITY_POLICY], POLICY, "{}", file.path);
            total += answer.into_body().collect().await.unwrap().to_bytes().len();
        }
        assert!(total > 10_000 && total < 250_000, "{total} bytes");
        println!("{total} bytes");
    }
}
