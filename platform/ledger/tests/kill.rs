//! Nothing that was acknowledged is lost when the process is killed.
#![allow(clippy::unwrap_used)]

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};

use jiff::Timestamp;
use seaway_ledger::{
    EventFilter, InventoryEntry, Ledger, NewEvent, NewSync, Order, SyncEnd, SyncOutcome, Trigger,
};
use serde_json::json;

const FILE: &str = "SEAWAY_TEST_LEDGER";
const WRITERS: i64 = 8;

fn event(writer: i64, number: i64) -> NewEvent {
    NewEvent {
        time: Timestamp::UNIX_EPOCH,
        actor: format!("writer {writer}"),
        action: "test".into(),
        object: "o".into(),
        release: None,
        outcome: "succeeded".into(),
        detail: json!({"number": number}),
    }
}

/// What the sync with this number leaves: as many objects, of which each names it.
fn inventory(number: i64) -> Vec<InventoryEntry> {
    let entry = |n: i64| InventoryEntry {
        group: String::new(),
        kind: "ConfigMap".into(),
        namespace: "shop".into(),
        name: n.to_string(),
        uid: number.to_string(),
    };
    (0..=number % 7).map(entry).collect()
}

/// Not a test by itself: the process that another test kills. Says on its standard output what was acknowledged.
#[tokio::test(flavor = "multi_thread")]
async fn writes_until_killed() {
    let Some(file) = std::env::var_os(FILE) else { return };
    let (ledger, _) = Ledger::open(Path::new(&file)).await.unwrap();
    let say = |line: String| std::io::stdout().write_all(format!("{line}\n").as_bytes()).unwrap();
    let writers = (0..WRITERS).map(|writer| {
        let ledger = ledger.clone();
        tokio::spawn(async move {
            for number in 0.. {
                let id = ledger.append(event(writer, number)).await.unwrap();
                say(format!("event {id} {writer} {number}"));
                let new = NewSync {
                    environment: format!("seaway/{writer}"),
                    revision: String::new(),
                    release: format!("r{number}"),
                    trigger: Trigger::Poll,
                    actor: "seaway".into(),
                    commits: vec![],
                    started: Timestamp::UNIX_EPOCH,
                };
                let sync = ledger.begin_sync(new, None).await.unwrap();
                let end = SyncEnd {
                    finished: Timestamp::UNIX_EPOCH,
                    outcome: SyncOutcome::Succeeded,
                    message: String::new(),
                    changes: json!(null),
                    timings: json!(null),
                    inventory: Some(inventory(number)),
                };
                ledger.finish_sync(sync, end, vec![event(writer, number)]).await.unwrap();
                say(format!("sync {sync} {writer} {number}"));
            }
        })
    });
    futures::future::join_all(writers).await;
}

#[tokio::test]
async fn what_was_acknowledged_before_a_kill_is_there_after_it() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ledger.db");
    let mut events = HashMap::new();
    let mut syncs = HashMap::new();
    for round in 0..6 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "writes_until_killed", "--nocapture"])
            .env(FILE, &file)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut acknowledged = 0;
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        // What is already in the pipe when it is killed was acknowledged as well.
        while output.read_line(&mut line).unwrap() > 0 {
            let words: Vec<&str> = line.split_whitespace().collect();
            let is_acknowledgement = line.ends_with('\n') && words.len() == 4;
            if let (["event" | "sync", id, writer, number], true) = (&words[..], is_acknowledgement) {
                let [id, writer, number]: [i64; 3] = [id, writer, number].map(|n| n.parse().unwrap());
                let known = if words[0] == "event" { &mut events } else { &mut syncs };
                assert_eq!(known.insert(id, (writer, number)), None, "{line} was given twice");
                acknowledged += 1;
                if acknowledged == 40 + round * 37 {
                    child.kill().unwrap();
                }
            }
            line.clear();
        }
        child.wait().unwrap();
        assert!(acknowledged >= 40);

        let (ledger, closed) = Ledger::open(&file).await.unwrap();
        let mut found = HashMap::new();
        let mut after = 0;
        loop {
            let filter =
                EventFilter { after: Some(after), order: Order::OldestFirst, ..EventFilter::default() };
            let page = ledger.events(&filter, 1000).await.unwrap();
            for event in page.items {
                assert_eq!(event.id, after + 1, "history has no hole");
                after = event.id;
                let writer: i64 = event.actor.strip_prefix("writer ").unwrap().parse().unwrap();
                found.insert(event.id, (writer, event.detail["number"].as_i64().unwrap()));
            }
            if !page.more {
                break;
            }
        }
        for (id, what) in &events {
            assert_eq!(found.get(id), Some(what), "event {id}");
        }
        for (id, (writer, number)) in &syncs {
            let sync = ledger.sync(*id).await.unwrap().unwrap();
            let expected = (format!("seaway/{writer}"), format!("r{number}"), Some(SyncOutcome::Succeeded));
            assert_eq!((sync.environment, sync.release, sync.outcome), expected);
        }
        for writer in 0..WRITERS {
            let environment = format!("seaway/{writer}");
            let Some(inventory_now) = ledger.inventory(&environment).await.unwrap() else { continue };
            let last = ledger.last_succeeded_sync(&environment, None).await.unwrap().unwrap();
            assert_eq!(inventory_now.sync, last.id, "the inventory belongs to the last sync that ended");
            let number: i64 = last.release[1..].parse().unwrap();
            assert_eq!(inventory_now.entries, inventory(number));
        }
        for open in ledger.open_syncs().await.unwrap() {
            let end = SyncEnd {
                finished: Timestamp::UNIX_EPOCH,
                outcome: SyncOutcome::Interrupted,
                message: "the process ended".into(),
                changes: json!(null),
                timings: json!(null),
                inventory: None,
            };
            ledger.finish_sync(open.id, end, vec![]).await.unwrap();
        }
        drop(ledger);
        closed.await.unwrap();
    }
}
