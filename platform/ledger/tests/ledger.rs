//! What the ledger promises.
#![allow(clippy::unwrap_used)]

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use jiff::{Timestamp, ToSpan as _};
use seaway_ledger::{
    Error, Event, EventFilter, InventoryEntry, Ledger, NewEvent, NewHold, NewSync, Order, Page, Removed,
    Retention, SyncCommit, SyncEnd, SyncOutcome, Trigger,
};
use serde_json::{Value, json};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Executor as _, SqliteConnection};
use tokio::task::JoinHandle;

const PRODUCTION: &str = "seaway/production";

fn at(hours: i64) -> Timestamp {
    "2026-03-01T00:00:00Z".parse::<Timestamp>().unwrap() + hours.hours()
}

fn event(hours: i64, object: &str, action: &str) -> NewEvent {
    NewEvent {
        time: at(hours),
        actor: "ada".into(),
        action: action.into(),
        object: object.into(),
        release: Some("r1".into()),
        outcome: "succeeded".into(),
        detail: json!({"hours": hours}),
    }
}

fn new_sync(environment: &str, release: &str, hours: i64) -> NewSync {
    NewSync {
        environment: environment.into(),
        revision: "main".into(),
        release: release.into(),
        trigger: Trigger::Poll,
        actor: "seaway".into(),
        commits: vec![SyncCommit {
            id: "0123456789012345678901234567890123456789".into(),
            author: "Ada".into(),
            email: "ada@example.com".into(),
            time: at(hours - 1),
            subject: "Change the price".into(),
        }],
        started: at(hours),
    }
}

fn end(hours: i64, outcome: SyncOutcome, inventory: Option<Vec<InventoryEntry>>) -> SyncEnd {
    SyncEnd {
        finished: at(hours),
        outcome,
        message: "done".into(),
        changes: json!([{"object": "ConfigMap/shop/a", "change": "created"}]),
        timings: json!({"waves": [{"wave": 0, "milliseconds": 12}]}),
        inventory,
    }
}

fn entry(name: &str) -> InventoryEntry {
    InventoryEntry {
        group: String::new(),
        kind: "ConfigMap".into(),
        namespace: "shop".into(),
        name: name.into(),
        uid: format!("uid of {name}"),
    }
}

async fn open(folder: &Path) -> (Ledger, JoinHandle<()>) {
    Ledger::open(&folder.join("ledger.db")).await.unwrap()
}

async fn raw(folder: &Path) -> SqliteConnection {
    let options = SqliteConnectOptions::new().filename(folder.join("ledger.db")).create_if_missing(true);
    options.connect().await.unwrap()
}

fn ids(page: &Page<Event>) -> Vec<i64> {
    page.items.iter().map(|event| event.id).collect()
}

#[tokio::test]
async fn events_are_found_by_what_they_are_about_page_by_page() {
    let folder = tempfile::tempdir().unwrap();
    let (ledger, _) = open(folder.path()).await;
    for hours in 0..10 {
        let object = if hours % 2 == 0 { "Environment/seaway/a" } else { "Environment/seaway/b" };
        let action = if hours < 5 { "environment.sync" } else { "environment.hold" };
        assert_eq!(ledger.append(event(hours, object, action)).await.unwrap(), hours + 1);
    }
    let all = EventFilter::default();
    let first = ledger.events(&all, 4).await.unwrap();
    assert_eq!((ids(&first), first.more), (vec![10, 9, 8, 7], true));
    let last = ledger.events(&EventFilter { before: Some(5), ..all.clone() }, 4).await.unwrap();
    assert_eq!((ids(&last), last.more), (vec![4, 3, 2, 1], false));
    let follow = EventFilter { after: Some(7), order: Order::OldestFirst, ..all.clone() };
    assert_eq!(ids(&ledger.events(&follow, 2).await.unwrap()), [8, 9]);

    let about = |object: &str| EventFilter { object: Some(object.into()), ..all.clone() };
    assert_eq!(ids(&ledger.events(&about("Environment/seaway/a"), 10).await.unwrap()), [9, 7, 5, 3, 1]);
    let both = EventFilter { action: Some("environment.hold".into()), ..about("Environment/seaway/a") };
    assert_eq!(ids(&ledger.events(&both, 10).await.unwrap()), [9, 7]);
    let between = EventFilter { since: Some(at(2)), until: Some(at(4)), ..all.clone() };
    assert_eq!(ids(&ledger.events(&between, 10).await.unwrap()), [4, 3]);
    for nobody in [
        EventFilter { actor: Some("eve".into()), ..all.clone() },
        EventFilter { outcome: Some("denied".into()), ..all.clone() },
        EventFilter { address: Some("192.0.2.1".into()), ..all.clone() },
        EventFilter { object_prefix: Some("Environment/seaway/c".into()), ..all.clone() },
        EventFilter { release: Some("' OR 1 --".into()), ..all.clone() },
    ] {
        assert_eq!(ids(&ledger.events(&nobody, 10).await.unwrap()), [0; 0]);
    }
    let json = serde_json::to_value(&first.items[0]).unwrap();
    let expected = json!({"id": 10, "time": "2026-03-01T09:00:00Z", "actor": "ada", "action": "environment.hold",
        "object": "Environment/seaway/b", "release": "r1", "outcome": "succeeded", "detail": {"hours": 9}});
    assert_eq!(json, expected);
}

#[tokio::test]
async fn who_follows_is_told_of_every_event() {
    let folder = tempfile::tempdir().unwrap();
    let (ledger, _) = open(folder.path()).await;
    let mut newest = ledger.newest_event();
    let writing = tokio::spawn({
        let ledger = ledger.clone();
        async move {
            let appends = (0..300).map(|hours| ledger.append(event(hours, "o", "a")));
            futures::future::try_join_all(appends).await.unwrap()
        }
    });
    let mut seen = Vec::new();
    while seen.len() < 300 {
        newest.changed().await.unwrap();
        newest.borrow_and_update();
        let filter =
            EventFilter { after: seen.last().copied(), order: Order::OldestFirst, ..EventFilter::default() };
        seen.extend(ids(&ledger.events(&filter, 1000).await.unwrap()));
    }
    assert_eq!(seen, (1..=300).collect::<Vec<i64>>(), "no event twice, none left out");
    let mut acknowledged = writing.await.unwrap();
    acknowledged.sort_unstable();
    assert_eq!(acknowledged, seen);
    assert_eq!(*open(folder.path()).await.0.newest_event().borrow(), 300);
}

#[tokio::test]
async fn a_sync_is_recorded_from_its_beginning_to_its_end() {
    let folder = tempfile::tempdir().unwrap();
    let (ledger, _) = open(folder.path()).await;
    let begun = event(1, "Environment/seaway/production", "environment.sync.begin");
    let id = ledger.begin_sync(new_sync(PRODUCTION, "r1", 1), Some(begun)).await.unwrap();
    let open_syncs = ledger.open_syncs().await.unwrap();
    assert_eq!(open_syncs.len(), 1);
    assert_eq!((open_syncs[0].id, open_syncs[0].finished, open_syncs[0].outcome), (id, None, None));
    assert_eq!(
        ledger.inventory(PRODUCTION).await.unwrap(),
        None,
        "nothing recorded is not an empty inventory"
    );

    let entries = vec![entry("b"), entry("a")];
    let ended = event(2, "Environment/seaway/production", "environment.sync.end");
    ledger.finish_sync(id, end(2, SyncOutcome::Succeeded, Some(entries)), vec![ended]).await.unwrap();
    let sync = ledger.sync(id).await.unwrap().unwrap();
    let json = serde_json::to_value(&sync).unwrap();
    assert_eq!(json["outcome"], "succeeded");
    assert_eq!(json["trigger"], "poll");
    assert_eq!(json["finished"], "2026-03-01T02:00:00Z");
    assert_eq!(json["commits"][0]["email"], "ada@example.com");
    assert_eq!(json["timings"]["waves"][0]["milliseconds"], 12);
    let inventory = ledger.inventory(PRODUCTION).await.unwrap().unwrap();
    assert_eq!((inventory.sync, inventory.entries), (id, vec![entry("a"), entry("b")]));
    assert!(ledger.open_syncs().await.unwrap().is_empty());
    assert_eq!(ledger.events(&EventFilter::default(), 10).await.unwrap().items.len(), 2);

    let again =
        ledger.finish_sync(id, end(3, SyncOutcome::Failed, Some(vec![])), vec![event(3, "o", "a")]).await;
    assert!(matches!(again, Err(Error::NoOpenSync { .. })), "{again:?}");
    assert_eq!(ledger.sync(id).await.unwrap().unwrap(), sync);
    assert_eq!(ledger.inventory(PRODUCTION).await.unwrap().unwrap().entries.len(), 2, "all of it or nothing");
    assert_eq!(ledger.events(&EventFilter::default(), 10).await.unwrap().items.len(), 2);
}

#[tokio::test]
async fn an_inventory_is_replaced_whole_and_for_its_environment_alone() {
    let folder = tempfile::tempdir().unwrap();
    let (ledger, _) = open(folder.path()).await;
    let finish = async |environment: &str, inventory: Option<Vec<InventoryEntry>>| {
        let id = ledger.begin_sync(new_sync(environment, "r1", 1), None).await.unwrap();
        ledger.finish_sync(id, end(2, SyncOutcome::Succeeded, inventory), vec![]).await.unwrap();
    };
    let names = async |environment: &str| {
        let inventory = ledger.inventory(environment).await.unwrap();
        inventory.map(|inventory| inventory.entries.into_iter().map(|entry| entry.name).collect::<Vec<_>>())
    };
    let many: Vec<InventoryEntry> = (0..1200).map(|n| entry(&format!("{n:04}"))).collect();
    finish(PRODUCTION, Some(many)).await;
    finish("seaway/staging", Some(vec![entry("s")])).await;
    assert_eq!(names(PRODUCTION).await.unwrap().len(), 1200);
    finish(PRODUCTION, None).await;
    assert_eq!(names(PRODUCTION).await.unwrap().len(), 1200, "unchanged");
    finish(PRODUCTION, Some(vec![entry("x"), entry("x")])).await;
    assert_eq!(names(PRODUCTION).await.unwrap(), ["x"]);
    finish(PRODUCTION, Some(vec![])).await;
    assert_eq!(names(PRODUCTION).await, Some(vec![]));
    ledger.remove_inventory(PRODUCTION).await.unwrap();
    assert_eq!(names(PRODUCTION).await, None);
    assert_eq!(names("seaway/staging").await.unwrap(), ["s"]);
}

#[tokio::test]
async fn syncs_are_listed_newest_first_and_the_last_good_one_is_known() {
    let folder = tempfile::tempdir().unwrap();
    let (ledger, _) = open(folder.path()).await;
    use SyncOutcome::{Failed, Interrupted, Succeeded, Superseded};
    let syncs = [
        ("r1", Succeeded),
        ("r2", Succeeded),
        ("r2", Succeeded),
        ("r3", Failed),
        ("r4", Superseded),
        ("r5", Interrupted),
    ];
    for (hours, (release, outcome)) in (0..).zip(syncs) {
        let id = ledger.begin_sync(new_sync(PRODUCTION, release, hours), None).await.unwrap();
        ledger.finish_sync(id, end(hours, outcome, None), vec![]).await.unwrap();
        ledger.begin_sync(new_sync("seaway/staging", "r9", hours), None).await.unwrap();
    }
    let page = ledger.syncs(PRODUCTION, None, 4).await.unwrap();
    let releases = |page: &Page<seaway_ledger::SyncRecord>| {
        page.items.iter().map(|sync| sync.release.clone()).collect::<Vec<_>>().join(" ")
    };
    assert_eq!((releases(&page).as_str(), page.more), ("r5 r4 r3 r2", true));
    let rest = ledger.syncs(PRODUCTION, Some(page.items[3].id), 4).await.unwrap();
    assert_eq!((releases(&rest).as_str(), rest.more), ("r2 r1", false));
    let last = async |other_than| {
        ledger.last_succeeded_sync(PRODUCTION, other_than).await.unwrap().map(|sync| sync.release)
    };
    assert_eq!(last(None).await.as_deref(), Some("r2"));
    assert_eq!(last(Some("r2")).await.as_deref(), Some("r1"));
    assert_eq!(ledger.last_succeeded_sync("seaway/staging", None).await.unwrap(), None);
}

#[tokio::test]
async fn a_release_is_held_until_somebody_lifts_the_hold() {
    let folder = tempfile::tempdir().unwrap();
    let (ledger, _) = open(folder.path()).await;
    let new = |reason: &str| NewHold {
        environment: PRODUCTION.into(),
        release: "r2".into(),
        actor: "ada".into(),
        reason: reason.into(),
        placed: at(1),
    };
    let hold = ledger.place_hold(new("errors"), Some(event(1, "e", "hold"))).await.unwrap();
    let again = ledger.place_hold(new("other reason"), Some(event(1, "e", "hold"))).await.unwrap();
    assert_eq!(again, hold, "one hold for one release");
    assert_eq!(ledger.holds(PRODUCTION).await.unwrap(), std::slice::from_ref(&hold));
    assert!(ledger.holds("seaway/staging").await.unwrap().is_empty());

    let lift = async |release: &str| {
        ledger.lift_hold(PRODUCTION, release, "grace", at(5), Some(event(5, "e", "lift"))).await.unwrap()
    };
    assert_eq!(lift("r1").await, None);
    let lifted = lift("r2").await.unwrap();
    assert_eq!(
        (lifted.id, lifted.lifted, lifted.lifted_by.as_deref()),
        (hold.id, Some(at(5)), Some("grace"))
    );
    assert_eq!(lift("r2").await, None);
    assert!(ledger.holds(PRODUCTION).await.unwrap().is_empty());
    let second = ledger.place_hold(new("again"), None).await.unwrap();
    assert!(second.id > hold.id);
    assert_eq!(ledger.hold_history(PRODUCTION).await.unwrap(), [second, lifted]);
    let events = ledger.events(&EventFilter::default(), 10).await.unwrap();
    assert_eq!(events.items.len(), 2, "an event for each change, none where nothing changed");
}

#[tokio::test]
async fn retention_forgets_the_old_and_never_what_is_needed() {
    let folder = tempfile::tempdir().unwrap();
    let (ledger, _) = open(folder.path()).await;
    for hours in 0..1000 {
        ledger.append(event(hours, "o", "a")).await.unwrap();
    }
    // Thirty syncs; only the first twelve succeeded. Beside it an environment with two old ones and one without end.
    for hours in 0..30 {
        let id = ledger.begin_sync(new_sync(PRODUCTION, &format!("r{hours}"), hours), None).await.unwrap();
        let outcome = if hours < 12 { SyncOutcome::Succeeded } else { SyncOutcome::Failed };
        ledger.finish_sync(id, end(hours, outcome, Some(vec![entry("a")])), vec![]).await.unwrap();
    }
    ledger.begin_sync(new_sync("seaway/staging", "r0", 0), None).await.unwrap();
    let id = ledger.begin_sync(new_sync("seaway/staging", "r0", 0), None).await.unwrap();
    ledger.finish_sync(id, end(0, SyncOutcome::Failed, None), vec![]).await.unwrap();
    for release in ["r1", "r2"] {
        let hold = NewHold {
            environment: PRODUCTION.into(),
            release: release.into(),
            actor: "ada".into(),
            reason: "errors".into(),
            placed: at(0),
        };
        ledger.place_hold(hold, None).await.unwrap();
    }
    ledger.lift_hold(PRODUCTION, "r1", "ada", at(0), None).await.unwrap();

    assert_eq!(ledger.forget(Retention::default()).await.unwrap(), Removed::default());
    let removed = ledger.forget(Retention { max_events: Some(900), ..Retention::default() }).await.unwrap();
    assert_eq!(removed, Removed { events: 100, syncs: 0 });
    let removed = ledger.forget(Retention { max_syncs: Some(25), ..Retention::default() }).await.unwrap();
    assert_eq!(removed.syncs, 2, "of the five that are too many three are among the last ten good ones");
    let removed = ledger.forget(Retention { before: Some(at(950)), ..Retention::default() }).await.unwrap();
    assert_eq!(removed, Removed { events: 850, syncs: 8 });

    let syncs = ledger.syncs(PRODUCTION, None, 100).await.unwrap();
    let kept: Vec<i64> = syncs.items.iter().map(|sync| sync.release[1..].parse().unwrap()).collect();
    assert_eq!(kept, (20..30).rev().chain((2..12).rev()).collect::<Vec<i64>>());
    assert_eq!(ledger.syncs("seaway/staging", None, 100).await.unwrap().items.len(), 2);
    assert_eq!(ledger.hold_history(PRODUCTION).await.unwrap().len(), 2);
    assert_eq!(ledger.inventory(PRODUCTION).await.unwrap().unwrap().entries.len(), 1);
    let events = ledger.events(&EventFilter::default(), 100).await.unwrap();
    assert_eq!(ids(&events), (951..=1000).rev().collect::<Vec<i64>>());

    ledger
        .forget(Retention { before: Some(at(9999)), max_events: Some(0), max_syncs: Some(0) })
        .await
        .unwrap();
    assert_eq!(ledger.append(event(0, "o", "a")).await.unwrap(), 1001, "an id is never given twice");
    assert_eq!(ledger.hold_history(PRODUCTION).await.unwrap().len(), 2);
    assert_eq!(ledger.syncs(PRODUCTION, None, 100).await.unwrap().items.len(), 20);
}

#[tokio::test]
async fn not_even_sql_changes_what_is_final() {
    let folder = tempfile::tempdir().unwrap();
    let (ledger, _) = open(folder.path()).await;
    ledger.append(event(1, "o", "a")).await.unwrap();
    let id = ledger.begin_sync(new_sync(PRODUCTION, "r1", 1), None).await.unwrap();
    ledger.finish_sync(id, end(2, SyncOutcome::Failed, None), vec![]).await.unwrap();
    let hold = NewHold {
        environment: PRODUCTION.into(),
        release: "r1".into(),
        actor: "ada".into(),
        reason: String::new(),
        placed: at(1),
    };
    ledger.place_hold(hold, None).await.unwrap();
    let mut connection = raw(folder.path()).await;
    for statement in
        ["UPDATE event SET actor = 'eve'", "UPDATE sync SET outcome = 'succeeded'", "DELETE FROM hold"]
    {
        assert!(connection.execute(statement).await.is_err(), "{statement}");
    }
}

#[tokio::test]
async fn one_bad_write_among_many_takes_no_other_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let (ledger, closed) = open(folder.path()).await;
    let bad = (0..100)
        .map(|n| ledger.finish_sync(n + 1000, end(1, SyncOutcome::Failed, None), vec![event(n, "o", "a")]));
    let good = (0..100).map(|n| ledger.append(event(n, "o", "a")));
    let (bad, good) = tokio::join!(futures::future::join_all(bad), futures::future::join_all(good));
    assert!(bad.iter().all(|result| matches!(result, Err(Error::NoOpenSync { .. }))));
    assert!(good.iter().all(Result::is_ok));

    let large = NewEvent { detail: Value::String("x".repeat(5 << 20)), ..event(1, "o", "a") };
    assert!(matches!(ledger.append(large).await, Err(Error::TooLarge { field: "detail", .. })));
    let nobody = NewEvent { actor: String::new(), ..event(1, "o", "a") };
    assert!(matches!(ledger.append(nobody).await, Err(Error::Empty { field: "actor" })));
    drop(ledger);
    closed.await.unwrap();
    let (ledger, _) = open(folder.path()).await;
    assert_eq!(ledger.events(&EventFilter::default(), 1000).await.unwrap().items.len(), 100);
}

#[tokio::test]
async fn a_newer_foreign_or_damaged_file_is_refused_and_left_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ledger.db");
    let (ledger, closed) = open(folder.path()).await;
    ledger.append(event(1, "o", "a")).await.unwrap();
    drop(ledger);
    closed.await.unwrap();
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let refused = async || {
        let before = std::fs::read(&file).unwrap();
        let error = Ledger::open(&file).await.unwrap_err();
        assert_eq!(std::fs::read(&file).unwrap(), before, "{error}");
        assert!(error.to_string().contains("ledger.db"), "{error}");
        error
    };
    let change = async |statement: &'static str| {
        let mut connection = raw(folder.path()).await;
        connection.execute(statement).await.unwrap();
        sqlx::Connection::close(connection).await.unwrap();
    };
    change("PRAGMA user_version = 99").await;
    assert!(matches!(refused().await, Error::Newer { found: 99, .. }));
    std::fs::write(&file, b"this is no database, and long enough to be looked at as one".repeat(20)).unwrap();
    assert!(matches!(refused().await, Error::Damaged { .. }));
    std::fs::remove_file(&file).unwrap();
    change("CREATE TABLE theirs (x)").await;
    assert!(matches!(refused().await, Error::Foreign { .. }));
    assert!(Ledger::open(&folder.path().join("none/ledger.db")).await.is_err());

    std::fs::write(&file, b"").unwrap();
    assert!(Ledger::open(&file).await.is_ok(), "a crash before the first table leaves an empty file");
}
