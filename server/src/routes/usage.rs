//! What copies ask for of the cluster, for those who look after it.

use std::collections::HashMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use jiff::Timestamp;
use seaway_sync::CopyUsage;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::App;
use crate::authorization::Person;
use crate::permissions::Verb;
use crate::problem::Problem;

/// What copies ask for.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct UsageList {
    /// Those that ask for most come first.
    #[schema(schema_with = crate::schemas::list_of_usages)]
    pub items: Vec<CopyUsage>,
}

/// The copies that the person may see, with the CPU and memory that they ask for, and for how long.
#[utoipa::path(
    get, path = "/api/v1/usage", tag = "copies", operation_id = "usage",
    responses((status = 200, body = UsageList), (status = "4XX", body = Problem, content_type = "application/problem+json")),
)]
pub(super) async fn list(State(app): State<Arc<App>>, person: Person) -> Result<Json<UsageList>, Problem> {
    let mut reach = person.reach(Verb::List).await?;
    let known: HashMap<_, _> =
        app.sync.list().into_iter().map(|view| ((view.namespace.clone(), view.name.clone()), view)).collect();
    let mut items = Vec::new();
    for usage in app.sync.usage(Timestamp::now()).await? {
        let place = (usage.environment.namespace.clone(), usage.environment.name.clone());
        if let Some(view) = known.get(&place)
            && reach.contains(view).await?
        {
            items.push(usage);
        }
    }
    Ok(Json(UsageList { items }))
}
