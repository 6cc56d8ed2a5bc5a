//! What the last sync of an environment left in the cluster.

use serde::{Deserialize, Serialize};
use sqlx::{QueryBuilder, Row as _, Sqlite, SqliteConnection};

use crate::{Error, Ledger, limits};

/// More objects are not recorded for one environment.
const MAX_ENTRIES: usize = 100_000;
/// Rows in one statement.
const ROWS: usize = 500;

/// An object in the cluster.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct InventoryEntry {
    /// The API group; empty for the core group.
    pub group: String,
    /// The kind.
    pub kind: String,
    /// The namespace; empty for cluster-scoped objects.
    pub namespace: String,
    /// The name.
    pub name: String,
    /// The UID: another object of the same name is not this one.
    pub uid: String,
}

/// The objects of an environment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Inventory {
    /// The sync whose end recorded it.
    pub sync: i64,
    /// Sorted.
    pub entries: Vec<InventoryEntry>,
}

impl Ledger {
    /// What the last sync of an environment left; `None` when none is recorded, which is not the same as nothing:
    /// then a person has to confirm what may be pruned. Replaced by [`Ledger::finish_sync`].
    pub async fn inventory(&self, environment: &str) -> Result<Option<Inventory>, Error> {
        // One statement sees one state.
        let rows = sqlx::query(
            "SELECT sync, api_group, kind, namespace, name, uid
             FROM inventory LEFT JOIN inventory_entry USING (environment)
             WHERE environment = ?1 ORDER BY api_group, kind, namespace, name",
        )
        .bind(environment.to_owned())
        .fetch_all(&mut *self.reader().await?)
        .await
        .map_err(|error| self.sorted(error))?;
        let Some(first) = rows.first() else { return Ok(None) };
        let read = || -> Result<Inventory, sqlx::Error> {
            let mut inventory = Inventory { sync: first.try_get("sync")?, entries: Vec::new() };
            for row in &rows {
                let Some(uid) = row.try_get("uid")? else { continue };
                inventory.entries.push(InventoryEntry {
                    group: row.try_get("api_group")?,
                    kind: row.try_get("kind")?,
                    namespace: row.try_get("namespace")?,
                    name: row.try_get("name")?,
                    uid,
                });
            }
            Ok(inventory)
        };
        read().map(Some).map_err(|error| self.sorted(error))
    }

    /// Forgets the inventory of an environment that is gone. Its history stays.
    pub async fn remove_inventory(&self, environment: &str) -> Result<(), Error> {
        let (environment, sorted) = (environment.to_owned(), self.sorter());
        self.write(move |connection| {
            Box::pin(async move { remove(connection, &environment).await.map_err(sorted) })
        })
        .await
    }
}

pub(crate) fn check(entries: &[InventoryEntry]) -> Result<(), Error> {
    limits::below("inventory", entries.len(), MAX_ENTRIES)?;
    for entry in entries {
        limits::optional_name("group", &entry.group)?;
        limits::name("kind", &entry.kind)?;
        limits::optional_name("namespace", &entry.namespace)?;
        limits::name("name", &entry.name)?;
        limits::name("uid", &entry.uid)?;
    }
    Ok(())
}

/// The last of several entries for one object counts.
pub(crate) async fn replace(
    connection: &mut SqliteConnection,
    environment: &str,
    sync: i64,
    entries: &[InventoryEntry],
) -> Result<(), sqlx::Error> {
    remove(connection, environment).await?;
    sqlx::query("INSERT INTO inventory (environment, sync) VALUES (?1, ?2)")
        .bind(environment.to_owned())
        .bind(sync)
        .execute(&mut *connection)
        .await?;
    for rows in entries.chunks(ROWS) {
        let mut insert = QueryBuilder::<Sqlite>::new(
            "INSERT OR REPLACE INTO inventory_entry (environment, api_group, kind, namespace, name, uid) ",
        );
        insert.push_values(rows, |mut row, entry| {
            row.push_bind(environment.to_owned())
                .push_bind(entry.group.clone())
                .push_bind(entry.kind.clone())
                .push_bind(entry.namespace.clone())
                .push_bind(entry.name.clone())
                .push_bind(entry.uid.clone());
        });
        insert.build().execute(&mut *connection).await?;
    }
    Ok(())
}

async fn remove(connection: &mut SqliteConnection, environment: &str) -> Result<(), sqlx::Error> {
    let query = sqlx::query("DELETE FROM inventory WHERE environment = ?1").bind(environment.to_owned());
    query.execute(connection).await.map(drop)
}
