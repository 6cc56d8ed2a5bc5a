//! Logging in through a browser: the person says there that this command line may act as her.
//!
//! It keeps a secret and shows the page its digest (RFC 7636); the page hands a code over this machine's loopback
//! (RFC 8252), or for a browser elsewhere by hand. The code alone is of no use to anybody.

use std::io::IsTerminal;
use std::net::Ipv4Addr;
use std::process::Stdio;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use miette::{IntoDiagnostic, WrapErr, miette};
use seaway_server::{RedeemRequest, TokenView};
use secrecy::SecretString;
use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::client::Client;
use crate::commands::env::parameters;
use crate::commands::question;

/// How long the person may take.
const PATIENCE: Duration = Duration::from_secs(300);
/// How long whoever connects may take to say what he wants.
const REQUEST: Duration = Duration::from_secs(10);
/// Longest head of a request that is read.
const LARGEST_HEAD: usize = 8 * 1024;

/// What is kept for one login.
struct Secrets {
    verifier: SecretString,
    challenge: String,
    /// Comes back with the code, so that no other page can give one.
    state: String,
}

impl Secrets {
    fn random() -> Self {
        let text = || URL_SAFE_NO_PAD.encode(rand::random::<[u8; 32]>());
        let verifier = text();
        let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(verifier.as_bytes()));
        Self { verifier: verifier.into(), challenge, state: text() }
    }

    /// What page and terminal both show, to be compared: four characters of the digest twice.
    fn mark(&self) -> String {
        format!("{} {}", &self.challenge[..4], &self.challenge[4..8])
    }
}

/// Asks the person in a browser; with `here` one of this machine, which is opened.
pub(super) async fn log_in(client: &Client, here: bool) -> miette::Result<TokenView> {
    let secrets = Secrets::random();
    let code = if here { over_loopback(client, &secrets).await? } else { by_hand(client, &secrets)? };
    let request = RedeemRequest { code, verifier: secrets.verifier };
    client.post("/api/v1/command-lines/token", &request).await
}

fn by_hand(client: &Client, secrets: &Secrets) -> miette::Result<SecretString> {
    let query = parameters([("challenge", Some(secrets.challenge.as_str()))]);
    eprintln!("Open this in a browser where you are logged in, or log in there:\n");
    eprintln!("  {}/command-line?{query}\n", client.url());
    eprintln!("It shows {}, and then a code.", secrets.mark());
    if std::io::stdin().is_terminal() {
        return question::line("Code: ").map(Into::into);
    }
    question::password("", true).wrap_err("the code of the page comes on standard input")
}

async fn over_loopback(client: &Client, secrets: &Secrets) -> miette::Result<SecretString> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await;
    let listener = listener.into_diagnostic().wrap_err("the browser's answer cannot be waited for")?;
    let port = listener.local_addr().into_diagnostic()?.port().to_string();
    let query = parameters([
        ("challenge", Some(secrets.challenge.as_str())),
        ("port", Some(port.as_str())),
        ("state", Some(secrets.state.as_str())),
    ]);
    let link = format!("{}/command-line?{query}", client.url());
    eprintln!(
        "Your browser asks whether this command line may act as you. If it does not open, follow this:\n"
    );
    eprintln!("  {link}\n");
    eprintln!("It shows {}. Where no browser is at hand: `seaway login --no-browser`.", secrets.mark());
    open(&link);
    let answered = async {
        loop {
            let (stream, _) = listener.accept().await.into_diagnostic()?;
            // Whoever is slow or asks for something else holds up nobody for long.
            if let Ok(Some(code)) = tokio::time::timeout(REQUEST, answer(stream, &secrets.state)).await {
                return Ok(code);
            }
        }
    };
    match tokio::time::timeout(PATIENCE, answered).await {
        Ok(code) => code,
        Err(_) => Err(miette!(
            help = "begin again; `seaway login --user NAME` asks for a password instead",
            "nobody allowed it in the browser within {} minutes",
            PATIENCE.as_secs() / 60
        )),
    }
}

/// Opens a browser, if the system knows how. The link was printed in any case.
fn open(link: &str) {
    let named = std::env::var_os("BROWSER").filter(|program| !program.is_empty());
    let usual = if cfg!(target_os = "macos") { "open" } else { "xdg-open" };
    let program = named.unwrap_or_else(|| usual.into());
    let _ = std::process::Command::new(program)
        .arg(link)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
}

/// The code that a request brings; any other request is told that there is nothing.
async fn answer(mut stream: TcpStream, state: &str) -> Option<SecretString> {
    let mut head = Vec::new();
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        if head.len() > LARGEST_HEAD || stream.read_buf(&mut head).await.ok()? == 0 {
            return None;
        }
    }
    let head = String::from_utf8_lossy(&head);
    let code = code_of(head.lines().next().unwrap_or_default(), state);
    let (status, text) = match code {
        Some(_) => ("200 OK", "The command line is logged in. You can close this page."),
        None => ("404 Not Found", "There is nothing here."),
    };
    let page = format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Seaway</title><p>{text}</p></html>\n"
    );
    let answer = format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length: {}\r\nCache-Control: no-store\r\n\
         Content-Security-Policy: default-src 'none'\r\nReferrer-Policy: no-referrer\r\nConnection: close\r\n\r\n{page}",
        page.len()
    );
    // Whether the person reads it does not matter.
    let _ = stream.write_all(answer.as_bytes()).await;
    let _ = stream.shutdown().await;
    code
}

/// `GET /?code=…&state=… HTTP/1.1`: codes and states need no escaping.
fn code_of(line: &str, state: &str) -> Option<SecretString> {
    let query = line.strip_prefix("GET /?")?.split(' ').next()?;
    let value = |name: &str| {
        let mut found =
            query.split('&').filter_map(|pair| pair.split_once('=')).filter(|(key, _)| *key == name);
        let value = found.next()?.1;
        found.next().is_none().then_some(value)
    };
    let code = value("code").filter(|code| !code.is_empty() && code.len() <= 256)?;
    (value("state")? == state).then(|| code.to_owned().into())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    fn code(line: &str) -> Option<String> {
        code_of(line, "s-1").map(|code| code.expose_secret().to_owned())
    }

    #[test]
    fn a_code_comes_with_the_state_of_this_login_and_in_no_other_way() {
        assert_eq!(code("GET /?code=abc&state=s-1 HTTP/1.1").as_deref(), Some("abc"));
        assert_eq!(code("GET /?state=s-1&code=abc HTTP/1.1").as_deref(), Some("abc"));
        for bad in [
            "",
            "GET / HTTP/1.1",
            "GET /favicon.ico HTTP/1.1",
            "GET /?code=abc HTTP/1.1",
            "GET /?code=abc&state=s-2 HTTP/1.1",
            "GET /?code=&state=s-1 HTTP/1.1",
            "GET /?code=a&code=b&state=s-1 HTTP/1.1",
            "GET /?code=abc&state=s-1&state=s-1 HTTP/1.1",
            "POST /?code=abc&state=s-1 HTTP/1.1",
        ] {
            assert_eq!(code(bad), None, "{bad}");
        }
    }

    #[test]
    fn each_login_has_secrets_of_its_own() {
        let (one, other) = (Secrets::random(), Secrets::random());
        assert_ne!(one.challenge, other.challenge);
        assert_ne!(one.state, other.state);
        assert_eq!(one.challenge.len(), 43);
        assert_ne!(one.challenge, one.verifier.expose_secret());
    }
}
