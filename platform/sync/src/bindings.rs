//! Which bindings the accounts of environments have: listed once, and followed by what is bound and taken back here.
//!
//! Asking the cluster for each environment would let it look through the bindings of all of them each time.

use std::collections::{BTreeSet, HashMap};

use kube::Client;
use seaway_object::identity;
use serde_json::Value;
use tokio::sync::Mutex;

use crate::account::{ACCOUNT_LABEL, RBAC, get};
use crate::error::Error;

/// More are not asked for at once.
const PAGE: u32 = 500;

/// What an account is bound to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Bound {
    /// Namespace and name of each RoleBinding.
    pub(crate) namespaces: BTreeSet<(String, String)>,
    /// Whether it has a ClusterRole and a ClusterRoleBinding.
    pub(crate) cluster: bool,
}

/// The bindings of all accounts, by the id of their environment's ApplySet.
#[derive(Default)]
pub(crate) struct Bindings(Mutex<Option<HashMap<String, Bound>>>);

impl Bindings {
    /// What an account was bound to, and is bound to from now on.
    ///
    /// # Errors
    /// When the cluster cannot be asked for the first time.
    pub(crate) async fn replace(
        &self,
        client: &Client,
        apply_set: &str,
        bound: Bound,
    ) -> Result<Bound, Error> {
        let mut known = self.0.lock().await;
        if known.is_none() {
            *known = Some(listed(client).await?);
        }
        let before = known.as_mut().and_then(|known| known.insert(apply_set.to_owned(), bound));
        Ok(before.unwrap_or_default())
    }

    /// Something was taken back only in part: the next one asks the cluster again.
    pub(crate) async fn forget(&self) {
        *self.0.lock().await = None;
    }

    /// An account is gone.
    pub(crate) async fn remove(&self, apply_set: &str) {
        if let Some(known) = self.0.lock().await.as_mut() {
            known.remove(apply_set);
        }
    }
}

async fn listed(client: &Client) -> Result<HashMap<String, Bound>, Error> {
    let mut found: HashMap<String, Bound> = HashMap::new();
    for binding in all(client, "rolebindings").await? {
        let Some(set) = identity::label(&binding, ACCOUNT_LABEL) else { continue };
        let namespace = identity::namespace(&binding).unwrap_or_default().to_owned();
        let name = identity::name(&binding).to_owned();
        found.entry(set.to_owned()).or_default().namespaces.insert((namespace, name));
    }
    for resource in ["clusterrolebindings", "clusterroles"] {
        for object in all(client, resource).await? {
            if let Some(set) = identity::label(&object, ACCOUNT_LABEL) {
                found.entry(set.to_owned()).or_default().cluster = true;
            }
        }
    }
    Ok(found)
}

async fn all(client: &Client, resource: &str) -> Result<Vec<Value>, Error> {
    let (mut items, mut next) = (Vec::new(), String::new());
    loop {
        let path = format!("{RBAC}/{resource}?labelSelector={ACCOUNT_LABEL}&limit={PAGE}&continue={next}");
        let mut list: Value =
            client.request(get(&path)?).await.map_err(|error| Error::cluster(resource, error))?;
        if let Some(found) = list["items"].as_array_mut() {
            items.append(found);
        }
        next = match list.pointer("/metadata/continue").and_then(Value::as_str) {
            Some(text) if !text.is_empty() => {
                percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
            }
            _ => return Ok(items),
        };
    }
}
