#![allow(clippy::unwrap_used)]

use serde_json::json;

use super::*;

fn resource() -> ResourceKey {
    resource_key("", "configmaps")
}

fn object(name: &str, n: u64) -> Value {
    json!({"kind": "ConfigMap", "metadata": {"name": name, "namespace": "a", "uid": name}, "data": {"n": n}})
}

fn put(name: &str, expect: Expect, n: u64) -> Write {
    Write {
        resource: resource(),
        key: ObjectKey::new("a", name),
        expect,
        change: Change::Put(object(name, n)),
    }
}

fn namespace(name: &str) -> Value {
    json!({"kind": "Namespace", "metadata": {"name": name, "uid": name}})
}

fn put_namespace(name: &str, expect: Expect, object: Value) -> Write {
    let key = ObjectKey::new("", name);
    Write { resource: NAMESPACES.into(), key, expect, change: Change::Put(object) }
}

/// A store with the namespace of [`object`].
async fn open(folder: &Path) -> (Store, tokio::task::JoinHandle<()>) {
    let (store, writer) = Store::open(folder, 16, &|_, _| Ok(())).await.unwrap();
    let _ = store.write(put_namespace("a", Expect::Absent, namespace("a"))).await;
    (store, writer)
}

#[tokio::test]
async fn a_namespace_that_ends_takes_nothing_that_comes_behind_its_end() {
    let folder = tempfile::tempdir().unwrap();
    let (store, _writer) = open(folder.path()).await;
    let held = store.write(put("held", Expect::Absent, 1)).await.unwrap();
    let present = store.get(NAMESPACES, &ObjectKey::new("", "a")).unwrap();
    let mut ends = present.value();
    ends["metadata"]["deletionTimestamp"] = "2024-01-01T00:00:00Z".into();
    // In this order, and so close that nobody can have seen the end yet.
    let (early, end, late, update) = futures::join!(
        store.write(put("early", Expect::Absent, 1)),
        store.write(put_namespace("a", Expect::Revision(present.revision), ends.clone())),
        store.write(put("late", Expect::Absent, 1)),
        store.write(put("held", Expect::Revision(held.revision), 2)),
    );
    assert!(early.is_ok() && update.is_ok());
    assert!(matches!(late, Err(WriteError::NamespaceEnds(_))), "{late:?}");

    let key = ObjectKey::new("", "a");
    let gone = Write {
        resource: NAMESPACES.into(),
        key,
        expect: Expect::Revision(end.unwrap().revision),
        change: Change::Delete(ends),
    };
    let (gone, late) = futures::join!(store.write(gone), store.write(put("late", Expect::Absent, 1)));
    assert!(gone.is_ok());
    assert!(matches!(late, Err(WriteError::NoNamespace(_))), "{late:?}");
    // One that is made again takes new objects in the same breath.
    let again = put_namespace("a", Expect::Absent, namespace("a"));
    let (again, new) = futures::join!(store.write(again), store.write(put("new", Expect::Absent, 1)));
    assert!(again.is_ok() && new.is_ok());
}

#[tokio::test]
async fn a_write_is_refused_unless_it_finds_what_it_expects() {
    let folder = tempfile::tempdir().unwrap();
    let (store, _writer) = open(folder.path()).await;
    let first = store.write(put("x", Expect::Absent, 1)).await.unwrap();
    assert!(matches!(store.write(put("x", Expect::Absent, 2)).await, Err(WriteError::Exists)));
    let wrong = Expect::Revision(first.revision + 1);
    assert!(matches!(store.write(put("x", wrong, 2)).await, Err(WriteError::Conflict)));
    assert!(matches!(store.write(put("y", wrong, 2)).await, Err(WriteError::Conflict)));
    let second = store.write(put("x", Expect::Revision(first.revision), 2)).await.unwrap();
    assert!(second.revision > first.revision);
    assert_eq!(store.get(&resource(), &second.key).unwrap().value()["data"]["n"], 2);
}

#[tokio::test]
async fn of_many_writers_with_one_expectation_one_wins() {
    let folder = tempfile::tempdir().unwrap();
    let (store, _writer) = open(folder.path()).await;
    let writes = (0..50).map(|n| store.write(put("x", Expect::Absent, n)));
    let won = futures::future::join_all(writes).await.into_iter().filter(Result::is_ok).count();
    assert_eq!(won, 1);
}

#[tokio::test]
async fn everything_acknowledged_is_there_after_opening_again() {
    let folder = tempfile::tempdir().unwrap();
    let (store, writer) = open(folder.path()).await;
    let writes = (0..100).map(|n| {
        let store = store.clone();
        async move { store.write(put(&format!("x{n:03}"), Expect::Absent, n)).await.unwrap() }
    });
    let written = futures::future::join_all(writes).await;
    let gone = written[7].clone();
    let deletion = Write {
        resource: resource(),
        key: gone.key.clone(),
        expect: Expect::Revision(gone.revision),
        change: Change::Delete(gone.value()),
    };
    let last = store.write(deletion).await.unwrap().revision;
    drop(store);
    writer.await.unwrap();

    let (store, _writer) = open(folder.path()).await;
    assert_eq!(store.revision(), last, "a revision is never given twice, also after a deletion");
    assert_eq!(store.all(&resource(), Some("a")).len(), 99);
    assert!(store.get(&resource(), &gone.key).is_none());
}

#[tokio::test]
async fn what_could_not_be_read_again_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (store, writer) = open(folder.path()).await;
    let nested = |levels| {
        let mut write = put("x", Expect::Absent, 1);
        if let Change::Put(object) = &mut write.change {
            object["data"] = (1..levels).fold(json!({}), |inner, _| json!({"a": inner}));
        }
        write
    };
    let error = store.write(nested(DEEPEST)).await.unwrap_err();
    assert!(matches!(error, WriteError::TooDeep), "{error}");
    store.write(nested(DEEPEST - 1)).await.unwrap();
    drop(store);
    writer.await.unwrap();
    let (store, _writer) = open(folder.path()).await;
    assert_eq!(store.all(&resource(), None).len(), 1);
}

#[tokio::test]
async fn a_page_is_of_the_revision_at_which_the_list_began() {
    let folder = tempfile::tempdir().unwrap();
    let (store, _writer) = open(folder.path()).await;
    for name in ["a", "b", "c", "d"] {
        store.write(put(name, Expect::Absent, 0)).await.unwrap();
    }
    let page = |at, after: Option<&ObjectKey>, limit| {
        store.read(|s| s.page(&resource(), Some("a"), at, after, limit, |_| true))
    };
    let first = page(None, None, Some(2)).unwrap();
    assert_eq!((first.entries.len(), first.remaining), (2, 2));
    let c = store.get(&resource(), &ObjectKey::new("a", "c")).unwrap();
    let deletion = Write {
        resource: resource(),
        key: c.key.clone(),
        expect: Expect::Revision(c.revision),
        change: Change::Delete(c.value()),
    };
    store.write(deletion).await.unwrap();
    store.write(put("e", Expect::Absent, 0)).await.unwrap();
    let second = page(Some(first.revision), first.next.as_ref(), Some(5)).unwrap();
    let names: Vec<&str> = second.entries.iter().map(|e| e.key.name.as_str()).collect();
    assert_eq!(names, ["c", "d"], "later changes are not seen");
    // Sixteen events are kept; older states cannot be told any more.
    for n in 0..20 {
        store.write(put(&format!("z{n}"), Expect::Absent, 0)).await.unwrap();
    }
    assert!(page(Some(first.revision), first.next.as_ref(), None).is_none());
}

#[tokio::test]
async fn a_watch_resumes_without_a_gap_and_says_when_it_cannot() {
    let folder = tempfile::tempdir().unwrap();
    let (store, _writer) = open(folder.path()).await;
    let first = store.write(put("x", Expect::Absent, 0)).await.unwrap();
    let second = store.write(put("y", Expect::Absent, 0)).await.unwrap();
    let mut watch = store.watch(&resource(), first.revision).unwrap();
    let events = watch.next().await.unwrap();
    assert_eq!(events.len(), 1);
    assert_eq!(events[0].entry.revision, second.revision);
    // A watcher that sleeps while events are dropped is told so, and does not miss any silently.
    for n in 0..20 {
        store.write(put(&format!("z{n}"), Expect::Absent, 0)).await.unwrap();
    }
    assert_eq!(watch.next().await.err(), Some(WatchEnd::Expired));
    assert!(matches!(store.watch(&resource(), first.revision), Err(WatchEnd::Expired)));
}

#[tokio::test]
async fn after_a_restore_no_revision_is_given_again_and_watches_from_the_lost_time_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let copy = tempfile::tempdir().unwrap();
    let (store, writer) = open(folder.path()).await;
    store.write(put("kept", Expect::Absent, 1)).await.unwrap();
    drop(store);
    writer.await.unwrap();
    std::fs::copy(folder.path().join("apiserver.db"), copy.path().join("apiserver.db")).unwrap();
    let (store, _writer) = open(folder.path()).await;
    let lost = store.write(put("lost", Expect::Absent, 1)).await.unwrap().revision;

    mark_restored(copy.path()).await.unwrap();
    let (store, _writer) = open(copy.path()).await;
    assert_eq!(store.all(&resource(), None).len(), 1);
    assert!(matches!(store.watch(&resource(), lost), Err(WatchEnd::Expired)));
    let new = store.write(put("new", Expect::Absent, 1)).await.unwrap().revision;
    assert!(new > lost + 1_000_000, "{new}");

    let nothing = tempfile::tempdir().unwrap();
    assert!(mark_restored(nothing.path()).await.is_err());
    assert!(std::fs::read_dir(nothing.path()).unwrap().next().is_none(), "nothing is made");
}

/// A small file system of its own, gone when dropped.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn mount() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let mut mount = std::process::Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=16m", "tmpfs"]).arg(folder.path());
        if mount.stderr(std::process::Stdio::null()).status().is_ok_and(|status| status.success()) {
            return Some(Self(folder));
        }
        println!("skipped: a file system cannot be mounted here (not root)");
        None
    }

    /// Takes all room but this.
    fn fill(&self, but: u64) {
        let path = self.0.path().join("ballast");
        let mut file = std::fs::File::options().create(true).append(true).open(path).unwrap();
        while std::io::Write::write(&mut file, &[1; 4096]).is_ok_and(|written| written > 0) {}
        file.set_len(file.metadata().unwrap().len() - but).unwrap();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

async fn until(what: &str, holds: impl Fn() -> bool) {
    let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(60);
    while !holds() {
        assert!(tokio::time::Instant::now() < deadline, "{what}");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn the_room_that_is_kept_for_deletions_is_nobody_elses() {
    let Some(disk) = SmallDisk::mount() else { return };
    let folder = disk.0.path().join("data");
    std::fs::create_dir(&folder).unwrap();
    let reserve = folder.join("reserve");
    let (store, writer) = open(&folder).await;
    let objects = (0..200).map(|n| {
        let store = store.clone();
        async move { store.write(put(&format!("x{n:03}"), Expect::Absent, n)).await.unwrap() }
    });
    // Together, so that the log is short.
    let mut objects = futures::future::join_all(objects).await.into_iter();
    until("the room is kept", || std::fs::metadata(&reserve).is_ok_and(|file| file.len() == reserve::SIZE))
        .await;
    disk.fill(0);
    let delete = |entry: Arc<Entry>| Write {
        resource: resource(),
        key: entry.key.clone(),
        expect: Expect::Revision(entry.revision),
        change: Change::Delete(entry.value()),
    };
    // A deletion is the first that finds the disk full.
    while reserve.exists() {
        store.write(delete(objects.next().expect("the disk is not full"))).await.unwrap();
    }
    assert!(store.refuses_writes());
    let refused = store.write(put("new", Expect::Absent, 1)).await.unwrap_err();
    assert!(refused.to_string().contains("the disk is full"), "{refused}");
    store.write(delete(objects.next().unwrap())).await.unwrap();
    drop(store);
    writer.await.unwrap();

    // Nor is there any after a start on a full disk.
    disk.fill(1 << 20);
    let (store, _writer) = open(&folder).await;
    until("the start sees that the disk is full", || store.refuses_writes()).await;
    let refused = store.write(put("new", Expect::Absent, 1)).await.unwrap_err();
    assert!(refused.to_string().contains("the disk is full"), "{refused}");
    store.write(delete(objects.next().unwrap())).await.unwrap();
    std::fs::remove_file(disk.0.path().join("ballast")).unwrap();
    store.write(put("new", Expect::Absent, 1)).await.unwrap();
    assert!(!store.refuses_writes());
}

#[tokio::test]
async fn who_waits_for_a_revision_learns_of_it_and_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let (store, _writer) = open(folder.path()).await;
    let observers = store.read(State::observers);
    let next = store.revision() + 1;
    assert!(!store.reached(next, std::time::Duration::ZERO).await);
    assert_eq!(store.read(State::observers), observers);
    let patience = std::time::Duration::from_secs(60);
    let (reached, written) =
        futures::join!(store.reached(next, patience), store.write(put("x", Expect::Absent, 1)));
    assert!(reached && written.is_ok());
}

#[tokio::test]
async fn the_files_are_their_owners_alone() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let (store, _writer) = open(folder.path()).await;
    store.write(put("x", Expect::Absent, 1)).await.unwrap();
    for file in std::fs::read_dir(folder.path()).unwrap() {
        let file = file.unwrap();
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{:?}", file.file_name());
    }
}

#[tokio::test]
async fn a_damaged_or_newer_file_is_refused_and_kept() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("apiserver.db");
    std::fs::write(&path, b"this is no database, but it is somebody's file").unwrap();
    let before = std::fs::read(&path).unwrap();
    let error = Store::open(folder.path(), 16, &|_, _| Ok(())).await.err().unwrap();
    assert!(matches!(error, DatabaseError::Damaged { .. }), "{error}");
    assert_eq!(std::fs::read(&path).unwrap(), before);

    std::fs::remove_file(&path).unwrap();
    let (store, writer) = open(folder.path()).await;
    drop(store);
    writer.await.unwrap();
    let mut raw =
        <sqlx::SqliteConnection as sqlx::Connection>::connect(path.to_str().unwrap()).await.unwrap();
    sqlx::query("PRAGMA user_version = 99").execute(&mut raw).await.unwrap();
    drop(raw);
    let error = Store::open(folder.path(), 16, &|_, _| Ok(())).await.err().unwrap();
    assert!(matches!(error, DatabaseError::Newer { found: 99, .. }), "{error}");
}
