//! One active replica: a Lease of Kubernetes, kept as client-go keeps it (`tools/leaderelection`).
//!
//! Clocks of different machines are not compared: a Lease counts as kept for as long as it changes, by this
//! process' own clock.
//!
//! `seaway serve` waits for it; `seaway up`, which serves the API itself, takes it ([`Kept`]).

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use kube::Client;
use kube::api::{Api, PostParams};
use miette::WrapErr;
use tokio_util::task::AbortOnDropHandle;

use crate::cluster::refusal;

/// Without a change for this long, another replica takes it.
const DURATION: Duration = Duration::from_secs(15);
/// Who could not renew it for this long stops.
const RENEW_DEADLINE: Duration = Duration::from_secs(10);
/// Between two looks.
const RETRY: Duration = Duration::from_secs(2);
/// The same for whoever serves the API itself, whose disk is a laptop's: often enough for those that wait.
const SELDOM: Duration = Duration::from_secs(5);
/// The Lease.
pub(crate) const NAME: &str = "seaway";

/// How holders begin that serve the API themselves.
const UP: &str = "seaway up on ";

/// A place among the replicas.
pub(crate) struct Election {
    api: Api<Lease>,
    identity: String,
    namespace: String,
}

/// Where a replica runs, for people to find it: host and data folder.
pub(crate) fn place(data_dir: &Path) -> String {
    let host = nix::unistd::gethostname().ok().and_then(|name| name.into_string().ok()).unwrap_or_default();
    format!("{host}:{}", data_dir.display())
}

/// What was seen last, and since when it has not changed.
struct Seen {
    spec: LeaseSpec,
    since: Instant,
}

impl Election {
    /// For this replica; two with one identity are one.
    pub(crate) fn new(client: Client, namespace: &str, identity: String) -> Self {
        Self { api: Api::namespaced(client, namespace), identity, namespace: namespace.to_owned() }
    }

    /// Waits until this replica is the active one. `waits` is told of who is.
    pub(crate) async fn win(&self, mut waits: impl FnMut(&str)) -> miette::Result<()> {
        let mut seen: Option<Seen> = None;
        let mut reached = false;
        loop {
            let place = || format!("the Lease {}/{NAME} cannot be taken", self.namespace);
            let found = match self.api.get_opt(NAME).await {
                // Who waits for long outlives an API server that restarts.
                Err(error) if reached && !matches!(&error, kube::Error::Api(status) if status.code < 500) => {
                    tracing::warn!(%error, "the Lease cannot be read");
                    tokio::time::sleep(RETRY).await;
                    continue;
                }
                found => found.map_err(refusal).wrap_err_with(place)?,
            };
            reached = true;
            match found {
                None => {
                    let lease = Lease {
                        metadata: ObjectMeta { name: Some(NAME.to_owned()), ..ObjectMeta::default() },
                        spec: Some(self.held(None)),
                    };
                    match self.api.create(&PostParams::default(), &lease).await {
                        Ok(_) => return Ok(()),
                        // Another one was first.
                        Err(kube::Error::Api(status)) if status.code == 409 => {}
                        Err(error) => return Err(refusal(error)).wrap_err_with(place),
                    }
                }
                Some(lease) => {
                    let spec = lease.spec.clone().unwrap_or_default();
                    let holder = spec.holder_identity.clone().unwrap_or_default();
                    if seen.as_ref().is_none_or(|seen| seen.spec != spec) {
                        seen = Some(Seen { spec: spec.clone(), since: Instant::now() });
                    }
                    let old = seen.as_ref().is_some_and(|seen| seen.since.elapsed() > DURATION);
                    if holder.is_empty() || holder == self.identity || old {
                        match self.replace(lease, self.held(Some(&spec))).await {
                            Ok(true) => return Ok(()),
                            Ok(false) => {}
                            Err(error) => return Err(refusal(error)).wrap_err_with(place),
                        }
                    } else {
                        waits(&holder);
                    }
                }
            }
            tokio::time::sleep(RETRY).await;
        }
    }

    /// Takes it, whoever has it. Gives who did so until now, if that is another replica that has not given it back.
    async fn take(&self) -> kube::Result<Option<String>> {
        loop {
            let written = match self.api.get_opt(NAME).await? {
                None => {
                    let metadata = ObjectMeta { name: Some(NAME.to_owned()), ..ObjectMeta::default() };
                    let lease = Lease { metadata, spec: Some(self.held(None)) };
                    match self.api.create(&PostParams::default(), &lease).await {
                        Ok(_) => return Ok(None),
                        Err(kube::Error::Api(status)) if status.code == 409 => None,
                        Err(error) => return Err(error),
                    }
                }
                Some(lease) => {
                    let spec = lease.spec.clone().unwrap_or_default();
                    let held = self.held(Some(&spec));
                    self.replace(lease, held).await?.then_some(spec.holder_identity)
                }
            };
            if let Some(before) = written {
                return Ok(before.filter(|holder| !holder.is_empty() && !holder.starts_with(UP)));
            }
        }
    }

    /// Keeps it; ends when it is lost.
    pub(crate) async fn keep(&self) -> String {
        self.keep_every(RETRY).await
    }

    async fn keep_every(&self, pause: Duration) -> String {
        let mut renewed = Instant::now();
        loop {
            tokio::time::sleep(pause).await;
            let renew = tokio::time::timeout(RENEW_DEADLINE, self.renew()).await;
            match renew {
                Ok(Ok(true)) => renewed = Instant::now(),
                Ok(Ok(false)) => return "another replica has taken it".to_owned(),
                Ok(Err(error)) => tracing::warn!(%error, "the Lease could not be renewed"),
                Err(_) => tracing::warn!("the Lease could not be renewed in time"),
            }
            if renewed.elapsed() >= RENEW_DEADLINE {
                return format!("it could not be renewed for {} s", RENEW_DEADLINE.as_secs());
            }
        }
    }

    /// Whether it is still ours.
    async fn renew(&self) -> kube::Result<bool> {
        let Some(lease) = self.api.get_opt(NAME).await? else { return Ok(false) };
        let spec = lease.spec.clone().unwrap_or_default();
        if spec.holder_identity.as_deref() != Some(&self.identity) {
            return Ok(false);
        }
        // Somebody in between: the next look says who.
        let held = self.held(Some(&spec));
        self.replace(lease, held).await.map(|_| true)
    }

    /// Gives it back, so that nobody waits.
    pub(crate) async fn give_back(&self) {
        let Ok(Some(lease)) = self.api.get_opt(NAME).await else { return };
        let spec = lease.spec.clone().unwrap_or_default();
        if spec.holder_identity.as_deref() == Some(&self.identity) {
            let free = LeaseSpec { holder_identity: None, lease_duration_seconds: Some(1), ..spec };
            if let Err(error) = self.replace(lease, free).await {
                tracing::debug!(%error, "the Lease could not be given back");
            }
        }
    }

    /// `false`: somebody else has written it in between.
    async fn replace(&self, mut lease: Lease, spec: LeaseSpec) -> kube::Result<bool> {
        lease.spec = Some(spec);
        match self.api.replace(NAME, &PostParams::default(), &lease).await {
            Ok(_) => Ok(true),
            Err(kube::Error::Api(status)) if status.code == 409 => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn held(&self, before: Option<&LeaseSpec>) -> LeaseSpec {
        let now = MicroTime(Timestamp::now());
        let same = before.is_some_and(|before| before.holder_identity.as_deref() == Some(&self.identity));
        let transitions = before.and_then(|before| before.lease_transitions).unwrap_or_default();
        LeaseSpec {
            holder_identity: Some(self.identity.clone()),
            lease_duration_seconds: i32::try_from(DURATION.as_secs()).ok(),
            acquire_time: before
                .filter(|_| same)
                .map_or(Some(now.clone()), |before| before.acquire_time.clone()),
            renew_time: Some(now),
            lease_transitions: Some(if same || before.is_none() { transitions } else { transitions + 1 }),
            ..LeaseSpec::default()
        }
    }
}

/// The Lease of whoever serves the API itself: there is one such process at a time, by the lock of its folder, so that
/// nobody is waited for.
pub(crate) struct Kept {
    election: Arc<Election>,
    keeping: AbortOnDropHandle<()>,
}

impl Kept {
    /// Takes the Lease, and keeps it until it is given back. Where that does not succeed now, it is tried again.
    pub(crate) async fn take(client: Client, namespace: &str, place: &str) -> Self {
        let election = Arc::new(Election::new(client, namespace, format!("{UP}{place}")));
        match election.take().await {
            Ok(None) => {}
            Ok(Some(holder)) => {
                // It sees the loss at its next look, and ends.
                tracing::warn!(holder, "another replica had the Lease: it ends now");
                tokio::time::sleep(2 * RETRY).await;
            }
            Err(error) => tracing::warn!(%error, "the Lease could not be taken: tried again"),
        }
        let keeper = election.clone();
        let keeping = tokio::spawn(async move {
            loop {
                let reason = keeper.keep_every(SELDOM).await;
                tracing::warn!(reason, "the Lease is taken back");
                if let Err(error) = keeper.take().await {
                    tracing::warn!(%error, "the Lease could not be taken back");
                }
            }
        });
        Self { election, keeping: AbortOnDropHandle::new(keeping) }
    }

    /// Lets others have it.
    pub(crate) async fn give_back(self) {
        drop(self.keeping);
        self.election.give_back().await;
    }
}
