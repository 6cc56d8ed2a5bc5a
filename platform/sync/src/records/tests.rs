#![allow(clippy::unwrap_used)]

use super::*;
use crate::view::Trigger;

fn key() -> EnvironmentKey {
    EnvironmentKey::new("seaway", "staging")
}

fn sync(id: u64, outcome: Outcome) -> Arc<SyncRecord> {
    Arc::new(SyncRecord {
        id,
        release: format!("shop-{id}"),
        revision: String::new(),
        content: format!("content {id}"),
        definition: Release::default(),
        actor: "seaway".to_owned(),
        trigger: Trigger::Release,
        partial: false,
        attempts: 1,
        started: jiff::Timestamp::UNIX_EPOCH,
        finished: None,
        outcome,
        message: "x".repeat(100),
        commits: Vec::new(),
        objects: Vec::new(),
        waves: Vec::new(),
        steps: Vec::new(),
    })
}

/// Syncs from the first to the last one, each begun and ended.
fn syncs(records: &Records, ids: std::ops::RangeInclusive<u64>) {
    for id in ids {
        for outcome in [Outcome::Running, Outcome::Succeeded] {
            records.change(&key(), |memory| memory.put(sync(id, outcome))).unwrap();
        }
    }
}

fn ids(records: &Records) -> Vec<u64> {
    let memory = records.get(&key()).unwrap();
    assert!(memory.syncs.iter().all(|sync| sync.outcome == Outcome::Succeeded));
    memory.syncs.iter().map(|sync| sync.id).collect()
}

fn open(folder: &tempfile::TempDir) -> Records {
    Records::open(folder.path().to_owned()).unwrap()
}

#[test]
fn what_is_remembered_is_there_after_a_start_and_its_file_stays_short() {
    let folder = tempfile::tempdir().unwrap();
    let records = open(&folder);
    syncs(&records, 1..=220);
    let expected: Vec<u64> = (21..=220).collect();
    assert_eq!(ids(&records), expected);
    drop(records);
    let records = open(&folder);
    assert_eq!(ids(&records), expected);
    let text = std::fs::read_to_string(records.path(&key())).unwrap();
    assert!(text.lines().count() < 200, "{} lines", text.lines().count());
}

#[test]
fn what_the_environments_file_lost_with_the_power_is_in_the_log() {
    let folder = tempfile::tempdir().unwrap();
    let records = open(&folder);
    syncs(&records, 1..=9);
    let path = records.path(&key());
    let whole = std::fs::read(&path).unwrap();
    drop(records);
    let zeros = [&whole[..whole.len() / 3], &vec![0; whole.len() / 3][..]].concat();
    for left in [Vec::new(), whole[..whole.len() / 2].to_vec(), vec![0; whole.len()], zeros] {
        std::fs::write(&path, &left).unwrap();
        assert_eq!(ids(&open(&folder)), (1..=9).collect::<Vec<u64>>(), "{} bytes were left", left.len());
    }
    std::fs::remove_file(&path).unwrap();
    let records = open(&folder);
    assert_eq!(ids(&records).len(), 9);
    syncs(&records, 10..=10);
    drop(records);
    assert_eq!(ids(&open(&folder)).len(), 10);
}

/// Lets the log begin with the syncs that come, as after many changes of others.
fn without_log(folder: &tempfile::TempDir) -> Records {
    std::fs::remove_file(folder.path().join("recent.log")).unwrap();
    open(folder)
}

#[test]
fn a_file_of_long_ago_is_completed_from_what_can_be_read_of_it() {
    let folder = tempfile::tempdir().unwrap();
    syncs(&open(&folder), 1..=5);
    let records = without_log(&folder);
    let path = records.path(&key());
    let before = std::fs::read(&path).unwrap().len();
    syncs(&records, 6..=9);
    drop(records);
    let whole = std::fs::read(&path).unwrap();
    // Blocks of the middle never came to the disk, the last line's did.
    let mut torn = whole.clone();
    torn[before..whole.len() - 100].fill(0);
    std::fs::write(&path, &torn).unwrap();
    assert_eq!(ids(&open(&folder)), (1..=9).collect::<Vec<u64>>());
}

#[test]
fn a_change_that_is_missing_is_told_and_nothing_is_made_of_the_others() {
    let folder = tempfile::tempdir().unwrap();
    syncs(&open(&folder), 1..=5);
    let records = without_log(&folder);
    let path = records.path(&key());
    syncs(&records, 6..=9);
    drop(records);
    let whole = std::fs::read(&path).unwrap();
    let mut lost = whole.clone();
    lost[whole.len() / 10] = 0;
    std::fs::write(&path, &lost).unwrap();
    for _ in 0..2 {
        let records = open(&folder);
        assert!(records.get(&key()).is_err());
        assert_eq!(std::fs::read(&path).unwrap(), lost);
    }
    // Somebody removes it: the environment begins anew, and what the log says of the other one counts no more.
    std::fs::remove_file(&path).unwrap();
    let records = open(&folder);
    assert!(ids(&records).is_empty());
    syncs(&records, 1..=2);
    drop(records);
    std::fs::write(&path, "").unwrap();
    assert_eq!(ids(&open(&folder)), [1, 2]);
}

#[test]
fn a_change_that_came_to_no_end_counts_for_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let records = open(&folder);
    syncs(&records, 1..=2);
    let path = records.path(&key());
    drop(records);
    let mut text = std::fs::read(&path).unwrap();
    text.extend([&b"{\"format\":2,\"suspended\":true,\""[..], &[b'x'; 2000]].concat());
    std::fs::write(&path, text).unwrap();
    let records = open(&folder);
    assert_eq!(ids(&records), [1, 2]);
    syncs(&records, 3..=3);
    drop(records);
    assert_eq!(ids(&open(&folder)), [1, 2, 3]);
}

#[test]
fn an_environment_that_was_forgotten_does_not_come_back_and_another_one_of_its_name_begins_anew() {
    let folder = tempfile::tempdir().unwrap();
    let records = open(&folder);
    syncs(&records, 1..=5);
    records.forget(&key()).unwrap();
    drop(records);
    let records = open(&folder);
    assert!(records.get(&key()).unwrap().syncs.is_empty() && !records.path(&key()).exists());
    syncs(&records, 6..=7);
    drop(records);
    let records = open(&folder);
    assert_eq!(ids(&records), [6, 7]);
    std::fs::remove_file(records.path(&key())).unwrap();
    drop(records);
    assert_eq!(ids(&open(&folder)), [6, 7]);
}

#[test]
fn files_of_the_last_release_are_read_and_damaged_ones_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("seaway.staging.json");
    let syncs_of_old = serde_json::to_string(&[sync(1, Outcome::Succeeded)]).unwrap();
    let old = format!(
        r#"{{"format":1,"environment":{{"namespace":"seaway","name":"staging"}},"inventory":[],"syncs":{syncs_of_old},"holds":[],"suspended":true}}"#
    );
    std::fs::write(&path, &old).unwrap();
    let records = open(&folder);
    assert_eq!(ids(&records), [1]);
    syncs(&records, 2..=3);
    drop(records);
    let records = open(&folder);
    assert_eq!(ids(&records), [1, 2, 3]);
    assert!(records.get(&key()).unwrap().suspended);

    for wrong in [old.replace("\"format\":1", "\"format\":99"), "damaged\n".to_owned()] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("seaway.staging.json");
        std::fs::write(&path, &wrong).unwrap();
        let records = open(&folder);
        let error = records.get(&key()).err().unwrap().to_string();
        assert!(error.contains("seaway.staging.json"), "{error}");
        assert!(records.change(&key(), |memory| memory.suspended = false).is_err());
        assert_eq!(std::fs::read_to_string(&path).unwrap(), wrong);
    }
}

#[test]
fn hooks_of_the_end_and_how_far_it_has_come_are_there_after_a_start() {
    let folder = tempfile::tempdir().unwrap();
    let records = open(&folder);
    syncs(&records, 1..=2);
    let hook = |name: &str| -> crate::end::EndHook {
        serde_json::from_value(serde_json::json!({"object": {"group": "", "version": "v1", "kind": "ConfigMap",
            "name": name}, "component": "web", "origin": {"file": "a.yaml", "line": 1}, "value": {"kind": "ConfigMap"}}))
        .unwrap()
    };
    let end = |environment: &str| crate::end::End {
        environment: environment.to_owned(),
        retry: None,
        stage: crate::end::Stage::Deletion,
        runs: Vec::new(),
    };
    records.change(&key(), |memory| memory.end_hooks = Arc::new(vec![hook("a"), hook("b")])).unwrap();
    records.change(&key(), |memory| memory.end = Some(end("u-1"))).unwrap();
    // Long after, all is written anew.
    syncs(&records, 3..=90);
    records.change(&key(), |memory| memory.end_hooks = Arc::new(vec![hook("b")])).unwrap();
    for records in [records, open(&folder)] {
        let memory = records.get(&key()).unwrap();
        assert_eq!(
            (memory.end_hooks.as_slice(), memory.end.clone()),
            ([hook("b")].as_slice(), Some(end("u-1")))
        );
    }
    let records = open(&folder);
    records.change(&key(), |memory| memory.end_hooks = Arc::default()).unwrap();
    assert!(open(&folder).get(&key()).unwrap().end_hooks.is_empty());
    records.forget(&key()).unwrap();
    assert_eq!(open(&folder).get(&key()).unwrap().end, None);
}
