//! How fast the server is with many environments and many open pages. Not part of the usual run:
//! `cargo nextest run -p seaway-server --release --run-ignored only --no-capture benchmark`.

#![allow(clippy::unwrap_used)]

mod support;

use std::time::{Duration, Instant};

use futures::future::join_all;
use http::Method;
use http_body_util::{BodyExt, Full};
use jiff::Timestamp;
use seaway_ledger::NewEvent;
use serde_json::json;
use support::World;

const ENVIRONMENTS: usize = 10_000;
const PAGES: usize = 50;
const CHANGES: usize = 1_000;

fn percentile(sorted: &[Duration], percent: usize) -> Duration {
    sorted[(sorted.len() * percent / 100).min(sorted.len() - 1)]
}

/// Resident memory of this process, which is the server as well, in bytes.
fn resident() -> u64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().strip_suffix(" kB").unwrap().parse::<u64>().unwrap() * 1024
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes minutes"]
async fn benchmark_of_a_long_list() {
    let world = World::start().await;
    for number in 0..ENVIRONMENTS {
        world
            .create(json!({"apiVersion": "seaway.dev/v1alpha1", "kind": "Environment",
                "metadata": {"namespace": "seaway", "name": format!("environment-{number:05}")},
                "spec": {"stack": format!("stack-{}", number % 100), "class": "preview",
                    "destination": {"namespace": format!("n{number}")}, "sync": {"automated": false}}}))
            .await;
    }
    let last = format!("/api/v1/environments/seaway/environment-{:05}", ENVIRONMENTS - 1);
    world.until("all are known", async || world.get("admin", &last).await.status == 200).await;
    println!("| {ENVIRONMENTS} environments | median | p95 | bytes |\n|---|---|---|---|");
    for (what, query) in [
        ("first page", "limit=100"),
        ("page in the middle", "limit=100&offset=5000"),
        ("filtered as one types", "limit=100&search=environment-07"),
    ] {
        let mut took = Vec::new();
        let mut bytes = 0;
        for _ in 0..50 {
            let begun = Instant::now();
            let answer = world.get("admin", &format!("/api/v1/environments?{query}")).await;
            took.push(begun.elapsed());
            bytes = answer.body.to_string().len();
        }
        took.sort();
        println!("| {what} | {:.1?} | {:.1?} | {bytes} |", percentile(&took, 50), percentile(&took, 95));
    }
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes a while"]
async fn benchmark_of_many_open_pages() {
    let world = World::start().await;
    world.environment("seaway", "staging").await;
    let before = resident();
    let open = async || {
        let request =
            world.request(Method::GET, "/api/v1/events").header("authorization", "Bearer token-of-admin");
        world.stream(request.body(Full::default()).unwrap()).await
    };
    let streams = join_all((0..PAGES).map(|_| open())).await;
    let memory = resident().saturating_sub(before) / PAGES as u64;
    let readers = streams.into_iter().map(|mut stream| {
        tokio::spawn(async move {
            let mut took = Vec::new();
            let mut text = String::new();
            while took.len() < CHANGES {
                let Some(Ok(frame)) = stream.frame().await else { break };
                text.push_str(&String::from_utf8_lossy(frame.data_ref().unwrap()));
                while let Some(end) = text.find("\n\n") {
                    let message: String = text.drain(..end + 2).collect();
                    if let Some(sent) = message.split("\"sent\":").nth(1) {
                        let digits: String = sent.chars().take_while(char::is_ascii_digit).collect();
                        let sent = Timestamp::from_microsecond(digits.parse().unwrap()).unwrap();
                        took.push(
                            Duration::try_from(Timestamp::now().duration_since(sent)).unwrap_or_default(),
                        );
                    }
                }
            }
            took
        })
    });
    let readers: Vec<_> = readers.collect();
    let begun = Instant::now();
    for number in 0..CHANGES {
        // A hundred in a second.
        tokio::time::sleep_until((begun + Duration::from_millis(10 * number as u64)).into()).await;
        let now = Timestamp::now();
        let event = NewEvent {
            time: now,
            actor: "test".into(),
            action: "environment.sync".into(),
            object: "Environment/seaway/staging".into(),
            release: None,
            outcome: "succeeded".into(),
            detail: json!({"sent": now.as_microsecond()}),
        };
        world.ledger.append(event).await.unwrap();
    }
    let mut took: Vec<Duration> = join_all(readers).await.into_iter().flat_map(Result::unwrap).collect();
    took.sort();
    println!("| {PAGES} open pages, 100 changes/s | median | p95 | memory of a page |\n|---|---|---|---|");
    println!(
        "| change to page | {:.1?} | {:.1?} | {} KB (client's half included) |",
        percentile(&took, 50),
        percentile(&took, 95),
        memory / 1024
    );
    world.stop().await;
}
