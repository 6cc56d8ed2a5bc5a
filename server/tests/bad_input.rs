//! What somebody sends who means no good, or is broken: a clear answer or none, nothing is told that should not be, and
//! others do not notice.

#![allow(clippy::unwrap_used)]

mod support;

use std::time::Duration;

use http::Method;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use serde_json::{Value, json};
use support::World;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Nothing here takes that long; what does is broken.
const PATIENCE: Duration = Duration::from_secs(60);
const ENVIRONMENTS: &str = "/api/v1/environments";

/// Sends bytes as they are; what came back until the server closed, or had nothing more to say for a while.
async fn raw(world: &World, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(world.server.address()).await.unwrap();
    // A server that has heard enough closes before all is sent.
    let _ = stream.write_all(bytes).await;
    let _ = stream.shutdown().await;
    let mut answer = Vec::new();
    let read = async {
        let mut piece = [0; 4096];
        while let Ok(count @ 1..) = stream.read(&mut piece).await {
            answer.extend_from_slice(&piece[..count]);
        }
    };
    tokio::time::timeout(PATIENCE, read).await.expect("an answer or an end");
    String::from_utf8_lossy(&answer).into_owned()
}

fn status(answer: &str) -> u16 {
    answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_default()
}

async fn serves(world: &World) {
    assert_eq!(world.get("admin", ENVIRONMENTS).await.status, 200, "others do not notice");
}

#[tokio::test]
async fn a_query_of_a_megabyte_is_too_long_and_nothing_else_happens() {
    let world = World::start().await;
    for path in [ENVIRONMENTS, "/", "/api/v1/login", "/api/v1/oidc/callback"] {
        let request =
            format!("GET {path}?search={} HTTP/1.1\r\nHost: localhost\r\n\r\n", "x".repeat(1 << 20));
        let answer = raw(&world, request.as_bytes()).await;
        // Whoever does not read it before all is sent may see the connection reset instead.
        assert!(answer.is_empty() || [414, 431].contains(&status(&answer)), "{path}: {answer}");
        serves(&world).await;
    }
    // What fits into the head of a request is answered as any other.
    let long = format!("{ENVIRONMENTS}?search={}", "x".repeat(30_000));
    let answer = world.get("admin", &long).await;
    assert_eq!((answer.status, &answer.body["items"]), (200, &json!([])));
    let header = format!("GET / HTTP/1.1\r\nHost: localhost\r\nX-Long: {}\r\n\r\n", "x".repeat(1 << 20));
    let answer = raw(&world, header.as_bytes()).await;
    assert!(answer.is_empty() || status(&answer) == 431, "{answer}");
    serves(&world).await;
    world.stop().await;
}

#[tokio::test]
async fn a_path_leads_nowhere_but_where_it_says() {
    let world = World::start().await;
    world.environment("seaway", "staging").await;
    for path in [
        "/../../../etc/passwd",
        "/..%2f..%2f..%2fetc/passwd",
        "/%2e%2e/%2e%2e/etc/passwd",
        "/assets/../../Cargo.toml",
        "/assets/..%5c..%5cCargo.toml",
        "/.git/config",
        "//etc/passwd",
        "/%00",
        "/index.html%00.js",
        "/%ff%fe",
    ] {
        let answer = raw(
            &world,
            format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").as_bytes(),
        )
        .await;
        assert!(status(&answer) < 500 && status(&answer) >= 200, "{path}: {answer}");
        assert!(!answer.contains("root:x:") && !answer.contains("[package]"), "{path}: {answer}");
    }
    for (name, status) in [
        ("seaway/..", 400),
        ("seaway/.", 400),
        ("seaway/%2e%2e", 400),
        ("seaway/..%2fseaway%2fstaging", 400),
        ("seaway/staging%00", 400),
        ("seaway/STAGING", 400),
        ("%73eaway/staging", 200),
        ("seaway/%ff", 400),
        ("seaway/staging/../staging", 404),
        ("seaway/x", 404),
    ] {
        let request = format!(
            "GET {ENVIRONMENTS}/{name} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer token-of-admin\r\nConnection: close\r\n\r\n"
        );
        let answer = raw(&world, request.as_bytes()).await;
        assert_eq!(self::status(&answer), status, "{name}: {answer}");
    }
    world.stop().await;
}

/// A small generator of numbers (xorshift), so that a seed says what was sent.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % bound as u64).unwrap()
    }
}

/// A good request with some of its bytes changed, left out, doubled or cut off.
fn damaged(numbers: &mut Numbers) -> Vec<u8> {
    let good: [&[u8]; 5] = [
        b"GET /api/v1/environments?limit=1 HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer token-of-admin\r\n\r\n",
        b"POST /api/v1/login HTTP/1.1\r\nHost: localhost\r\nContent-Length: 35\r\n\r\n{\"name\":\"ada\",\"password\":\"guessed!\"}",
        b"POST /api/v1/environments/seaway/staging/sync HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\nCookie: seaway_session=x\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
        b"GET /api/v1/events HTTP/1.1\r\nHost: localhost\r\nLast-Event-ID: 0\r\nAuthorization: Basic eDp5\r\n\r\n",
        b"DELETE /api/v1/session HTTP/1.1\r\nHost: localhost\r\nX-Seaway-CSRF: 1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
    ];
    let mut bytes = good[numbers.below(good.len())].to_vec();
    for _ in 0..=numbers.below(4) {
        let at = numbers.below(bytes.len());
        match numbers.below(5) {
            0 => bytes[at] = numbers.next().to_le_bytes()[0],
            1 => drop(bytes.remove(at)),
            2 => bytes.truncate(at.max(1)),
            3 => bytes.insert(at, b"\0\r\n :/%\xff"[numbers.below(8)]),
            _ => {
                let end = (at + 1 + numbers.below(40)).min(bytes.len());
                let piece = bytes[at..end].to_vec();
                bytes.splice(at..at, piece);
            }
        }
    }
    bytes
}

#[tokio::test]
async fn damaged_requests_are_refused_and_others_answered() {
    let world = World::start().await;
    let seed = std::env::var("SEAWAY_FUZZ_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(0x5eed);
    let rounds =
        std::env::var("SEAWAY_FUZZ_INPUTS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(500);
    let mut numbers = Numbers(seed);
    for round in 0..rounds {
        let bytes = damaged(&mut numbers);
        // A damaged `Last-Event-ID` may be a good one: that stream goes on, and is left.
        if bytes.windows(10).any(|part| part == b"/v1/events")
            && !bytes.windows(5).any(|part| part == b"Basic")
        {
            continue;
        }
        let answer = raw(&world, &bytes).await;
        let text = String::from_utf8_lossy(&bytes);
        assert!(status(&answer) != 500, "seed {seed} round {round}: {text:?}: {answer}");
        for secret in ["panicked", "/src/", "token-of-"] {
            assert!(!answer.contains(secret), "seed {seed} round {round}: {text:?}: {answer}");
        }
    }
    serves(&world).await;
    world.stop().await;
}

#[tokio::test]
async fn what_is_no_json_of_the_right_form_is_a_bad_request_everywhere() {
    let world = World::start().await;
    world.environment("seaway", "staging").await;
    let deep = format!("{}{}", "[".repeat(20_000), "]".repeat(20_000));
    let long = format!("\"{}\"", "x".repeat(60_000));
    let too_long = format!("\"{}\"", "x".repeat(70_000));
    for path in ["sync", "rollback", "hold", "cancel", "override", "propose", "extend"] {
        for (body, expected) in [
            ("7", 400),
            ("nul", 400),
            ("{\"unknown\": 1}", 400),
            ("[]", 400),
            ("[1]", 400),
            ("\u{0}", 400),
            (deep.as_str(), 400),
            (long.as_str(), 400),
            (too_long.as_str(), 413),
        ] {
            let request = world
                .request(Method::POST, &format!("{ENVIRONMENTS}/seaway/staging/{path}"))
                .header("authorization", "Bearer token-of-admin");
            let answer = world.send(request.body(Full::from(body.to_owned())).unwrap()).await;
            let start: String = body.chars().take(20).collect();
            assert_eq!(answer.status, expected, "{path} {start:?}: {answer:?}");
            assert_eq!(answer.headers["content-type"], "application/problem+json", "{path} {start:?}");
            assert!(answer.body.to_string().len() < 2000, "what was sent is not sent back: {path} {start:?}");
        }
    }
    serves(&world).await;
    world.stop().await;
}

async fn events(world: &World, who: &str) -> (u16, Option<Incoming>) {
    let request = world
        .request(Method::GET, "/api/v1/events")
        .header("authorization", format!("Bearer token-of-{who}"));
    let stream = world.open(request.body(Full::default()).unwrap()).await;
    (stream.0, (stream.0 == 200).then_some(stream.1))
}

#[tokio::test]
async fn one_person_has_so_many_event_streams_and_others_have_theirs() {
    let world = World::start().await;
    let mut open = Vec::new();
    let refused = loop {
        match events(&world, "viewer").await {
            (200, Some(stream)) => open.push(stream),
            (status, _) => break status,
        }
        assert!(open.len() < 1000, "there is an end");
    };
    assert_eq!((refused, open.len()), (429, 256));
    assert_eq!(events(&world, "operator").await.0, 200);
    serves(&world).await;
    open.truncate(200);
    world.until("those that ended make room", async || events(&world, "viewer").await.0 == 200).await;
    world.stop().await;
}

#[tokio::test]
async fn who_reads_nothing_holds_up_nobody() {
    let world = World::start().await;
    world.environment("seaway", "staging").await;
    // Streams that nobody reads, requests that never end.
    let mut silent = Vec::new();
    for part in [
        "GET /api/v1/events HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer token-of-viewer\r\n\r\n",
        "GET / HTTP/1.1\r\nHo",
        "POST /api/v1/login HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n{",
    ] {
        for _ in 0..20 {
            let mut stream = TcpStream::connect(world.server.address()).await.unwrap();
            stream.write_all(part.as_bytes()).await.unwrap();
            silent.push(stream);
        }
    }
    let (_, stream) = events(&world, "operator").await;
    let mut stream = stream.unwrap();
    // More than the buffers of a connection hold: 6 MB.
    const EVENTS: usize = 200;
    for number in 0..EVENTS {
        let event = seaway_ledger::NewEvent {
            time: jiff::Timestamp::now(),
            actor: "test".into(),
            action: "environment.sync".into(),
            object: "Environment/seaway/staging".into(),
            release: None,
            outcome: "succeeded".into(),
            detail: json!({"number": number, "text": "x".repeat(30_000)}),
        };
        world.ledger.append(event).await.unwrap();
    }
    let mut text = String::new();
    let last = format!("\"number\":{},", EVENTS - 1);
    while !text.contains(&last) {
        let frame = tokio::time::timeout(PATIENCE, stream.frame())
            .await
            .expect("who reads is told")
            .unwrap()
            .unwrap();
        text.push_str(&String::from_utf8_lossy(frame.data_ref().unwrap()));
        let keep = text.len().saturating_sub(100_000);
        text.drain(..text.floor_char_boundary(keep));
    }
    serves(&world).await;
    drop(silent);
    world.stop().await;
}

/// Resident memory of this process, which is the server as well, in bytes.
fn resident() -> u64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().strip_suffix(" kB").unwrap().parse::<u64>().unwrap() * 1024
}

/// Lets this process open as many files as it may, at most so many; how many that are.
fn open_files(wanted: u64) -> u64 {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    // Root may have more than that, where the machine lets it.
    if setrlimit(Resource::RLIMIT_NOFILE, wanted, hard.max(wanted)).is_err() {
        setrlimit(Resource::RLIMIT_NOFILE, hard.min(wanted), hard).unwrap();
    }
    getrlimit(Resource::RLIMIT_NOFILE).unwrap().0
}

/// Client and server are one process here: each stream is two open files.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "opens thousands of connections"]
async fn ten_thousand_idle_event_streams_hold_up_nobody() {
    let files = open_files(20_500);
    let count = (files - 500) / 2;
    assert!(count >= 9_000, "{files} open files are too few for that: allow 20,500 with `ulimit -Hn`");
    let world = World::start().await;
    world.environment("seaway", "staging").await;
    let before = resident();
    let mut open = Vec::new();
    for number in 0..count {
        let (status, stream) = events(&world, &format!("person-{}", number / 200)).await;
        assert_eq!(status, 200, "{number}");
        open.push(stream);
    }
    let memory = (resident() - before) / count;
    serves(&world).await;
    let (_, stream) = events(&world, "operator").await;
    let mut stream = stream.unwrap();
    let synced = world.post("operator", &format!("{ENVIRONMENTS}/seaway/staging/suspend"), Value::Null).await;
    assert_eq!(synced.status, 200, "{synced:?}");
    let mut text = String::new();
    while !text.contains("environment.suspend") {
        let frame =
            tokio::time::timeout(PATIENCE, stream.frame()).await.expect("news come").unwrap().unwrap();
        text.push_str(&String::from_utf8_lossy(frame.data_ref().unwrap()));
    }
    println!(
        "| idle event streams | memory of one, both ends |\n|---|---|\n| {count} | {} KB |",
        memory / 1024
    );
    drop(open);
    world.stop().await;
}
