//! The requests of an environment, with what was deployed meanwhile.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use jiff::Timestamp;
use seaway_sync::plan::{Action, ObjectRef};
use seaway_sync::view::{Outcome, SyncRecord, Trigger};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{App, audit, request};
use crate::authorization::Person;
use crate::permissions::Verb;
use crate::problem::Problem;
use crate::traffic::{KEPT, SLOT, Sum, quantile};

/// Minutes before now, when nothing is asked for.
const MINUTES: i64 = 60;
/// Most points of an answer: more are not to be told apart on a screen.
const POINTS: i64 = 180;
/// A step of which fewer seconds are known has no point.
const LEAST: f64 = 9.0;
/// Most deploys of an answer.
const DEPLOYS: usize = 50;
/// Kinds of routes (Gateway API).
const ROUTES: [&str; 2] = ["HTTPRoute", "GRPCRoute"];
const GATEWAY_API: &str = "gateway.networking.k8s.io";

/// How far back.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct TrafficQuery {
    /// Minutes before now, at most 720.
    #[param(minimum = 1, maximum = 720, default = 60)]
    minutes: Option<i64>,
}

/// The requests of an environment.
#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct TrafficView {
    /// Whether requests are measured here: only Seaway's own gateway tells of them.
    pub measured: bool,
    /// The routes that are summed up.
    pub routes: Vec<TrafficRoute>,
    /// When the first point begins.
    #[schema(value_type = String, format = DateTime)]
    pub from: Timestamp,
    /// Up to when requests are known.
    #[schema(value_type = String, format = DateTime)]
    pub to: Timestamp,
    /// From the beginning of a point to that of the next one.
    pub step_seconds: i64,
    /// Oldest first, without a gap.
    pub points: Vec<TrafficPoint>,
    /// What was deployed within that time, oldest first.
    pub deploys: Vec<Deploy>,
}

/// A route of an environment.
#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct TrafficRoute {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

/// The requests of a step.
#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct TrafficPoint {
    /// When it begins.
    #[schema(value_type = String, format = DateTime)]
    pub time: Timestamp,
    /// How many seconds are known of it: all of them, but for the last one.
    pub seconds: f64,
    /// All requests.
    pub requests: u64,
    /// Those that were answered with a status of 500 or above.
    pub errors: u64,
    /// Half of the requests were answered within so many milliseconds; absent: there were none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p50: Option<f64>,
    /// Of 100 requests 95.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p95: Option<f64>,
    /// Of 100 requests 99.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p99: Option<f64>,
}

/// A deploy.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Deploy {
    /// Id of the sync.
    pub sync: u64,
    /// When it began.
    #[schema(value_type = String, format = DateTime)]
    pub started: Timestamp,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub finished: Option<Timestamp>,
    /// The release.
    pub release: String,
    /// Its commits, shortened.
    pub revision: String,
    /// Who asked.
    pub actor: String,
    /// Why it began.
    #[schema(schema_with = crate::schemas::trigger_ref)]
    pub trigger: Trigger,
    /// How it ended.
    #[schema(schema_with = crate::schemas::outcome_ref)]
    pub outcome: Outcome,
}

/// Request rate, errors and latency of an environment for up to twelve hours, as Seaway's own gateway measured them, and
/// what was deployed meanwhile.
#[utoipa::path(
    get, path = "/api/v1/environments/{namespace}/{name}/traffic", tag = "environments",
    params(("namespace" = String, Path), ("name" = String, Path), TrafficQuery),
    responses(
        (status = 200, body = TrafficView),
        (status = "4XX", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn traffic(
    State(app): State<Arc<App>>,
    person: Person,
    Path((namespace, name)): Path<(String, String)>,
    query: Result<Query<TrafficQuery>, QueryRejection>,
) -> Result<Json<TrafficView>, Problem> {
    let key = request::key(namespace, name)?;
    let query = request::query(query)?;
    audit::must(&app, &person, Verb::Get, &key).await?;
    let minutes = query.minutes.unwrap_or(MINUTES);
    if !(1..=KEPT / 60).contains(&minutes) {
        return Err(Problem::bad_request(format!("minutes is from 1 to {}", KEPT / 60)));
    }
    let now = app.traffic.as_ref().map_or_else(Timestamp::now, crate::traffic::Reader::sampled);
    let span = Span::new(now, minutes * 60);
    let detail = app.sync.show(&key)?;
    // What the environment may not have, or somebody else has, is none of its traffic.
    let foreign = |object: &ObjectRef| {
        let planned = detail.plan.objects.iter().find(|planned| planned.object == *object);
        planned.is_some_and(|planned| matches!(planned.action, Action::Forbidden | Action::Conflict))
    };
    let objects = detail.objects.iter().map(|view| &view.object);
    let routes: Vec<(String, String)> = objects
        .filter(|object| object.group == GATEWAY_API && ROUTES.contains(&object.kind.as_str()))
        .filter(|object| !foreign(object))
        .map(|object| (object.namespace.clone().unwrap_or_default(), object.name.clone()))
        .collect();
    let points = match &app.traffic {
        None => Vec::new(),
        Some(reader) => {
            let sums = reader.read(&routes, span.from, span.step).await;
            let sums = sums.map_err(|error| Problem::internal(error.to_string()))?;
            span.points(&sums)
        }
    };
    let history = app.sync.history(&key, usize::MAX)?;
    Ok(Json(TrafficView {
        measured: app.traffic.is_some(),
        routes: routes.into_iter().map(|(namespace, name)| TrafficRoute { namespace, name }).collect(),
        from: seconds(span.from),
        to: now,
        step_seconds: span.step,
        points,
        deploys: deploys(history, span.from),
    }))
}

fn seconds(time: i64) -> Timestamp {
    Timestamp::from_second(time).unwrap_or_default()
}

/// A time that is cut into steps, which begin at the same moments for whoever looks.
struct Span {
    from: i64,
    to: Timestamp,
    step: i64,
}

impl Span {
    fn new(to: Timestamp, length: i64) -> Self {
        let slots = length.div_euclid(SLOT * POINTS) + i64::from(length % (SLOT * POINTS) > 0);
        let step = SLOT * slots.max(1);
        let from = (to.as_second() - length).div_euclid(step) * step;
        Self { from, to, step }
    }

    /// A point for each step, also for those without requests.
    fn points(&self, sums: &[Sum]) -> Vec<TrafficPoint> {
        let mut sums = sums.iter().peekable();
        let mut points = Vec::new();
        let mut time = self.from;
        while time <= self.to.as_second() {
            // What was measured after `to` was asked for is of the last step as well.
            let found = sums.next_if(|sum| sum.time == time);
            // Milliseconds of a few minutes are exact as a float.
            #[allow(clippy::cast_precision_loss)]
            let known = (self.to.as_millisecond() - time * 1000).clamp(0, self.step * 1000) as f64 / 1000.0;
            // Of a step that has just begun nothing is known yet: it would look as if all had stopped.
            if known >= LEAST || found.is_some() {
                let slot = found.map(|sum| &sum.slot);
                let part = |part: f64| slot.and_then(|slot| quantile(&slot.buckets, part)).map(tenths);
                points.push(TrafficPoint {
                    time: seconds(time),
                    seconds: known.max(1.0),
                    requests: slot.map_or(0, |slot| slot.requests),
                    errors: slot.map_or(0, |slot| slot.errors),
                    p50: part(0.5),
                    p95: part(0.95),
                    p99: part(0.99),
                });
            }
            time += self.step;
        }
        points
    }
}

fn tenths(milliseconds: f64) -> f64 {
    (milliseconds * 10.0).round() / 10.0
}

/// What brought something: not what put back what somebody had changed in the cluster.
fn deploys(history: Vec<SyncRecord>, since: i64) -> Vec<Deploy> {
    let within = |sync: &SyncRecord| {
        let end = sync.finished.map_or(i64::MAX, Timestamp::as_second);
        end >= since && sync.trigger != Trigger::Drift && !sync.partial
    };
    let mut deploys: Vec<Deploy> = history
        .into_iter()
        .filter(within)
        .take(DEPLOYS)
        .map(|sync| Deploy {
            sync: sync.id,
            started: sync.started,
            finished: sync.finished,
            release: sync.release,
            revision: sync.revision,
            actor: sync.actor,
            trigger: sync.trigger,
            outcome: sync.outcome,
        })
        .collect();
    deploys.reverse();
    deploys
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::traffic::Slot;

    #[test]
    fn every_step_has_a_point_and_the_last_one_says_how_much_of_it_is_known() {
        let span = Span::new(Timestamp::from_millisecond(3_605_500).unwrap(), 3600);
        assert_eq!((span.from, span.step), (0, 20));
        let slot = Slot { requests: 4, errors: 1, ..Slot::default() };
        let points = span.points(&[Sum { time: 20, slot: slot.clone() }, Sum { time: 3600, slot }]);
        assert_eq!(points.len(), 181);
        let told: Vec<_> = points.iter().filter(|point| point.requests > 0).collect();
        assert_eq!((told[0].time.as_second(), told[0].seconds, told[0].errors), (20, 20.0, 1));
        assert_eq!((told[1].time.as_second(), told[1].seconds), (3600, 5.5));
    }

    #[test]
    fn a_step_that_has_just_begun_has_no_point() {
        for (now, last) in [(3_610_040, 3600), (3_609_500, 3600), (3_601_000, 3590)] {
            let span = Span::new(Timestamp::from_millisecond(now).unwrap(), 900);
            assert_eq!(span.points(&[]).last().unwrap().time.as_second(), last, "{now}");
        }
    }

    #[test]
    fn a_longer_time_has_as_many_points_with_longer_steps() {
        for (minutes, step) in [(1, 10), (15, 10), (30, 10), (60, 20), (360, 120), (720, 240)] {
            let span = Span::new(Timestamp::from_second(1_000_000).unwrap(), minutes * 60);
            assert_eq!(span.step, step, "{minutes}");
            let points = span.points(&[]);
            assert!(points.len() as i64 <= POINTS + 2, "{minutes}: {}", points.len());
        }
    }
}
