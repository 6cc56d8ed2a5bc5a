//! The controllers that make pods out of what people ask for, on one machine.
//!
//! It watches the API and writes to it: the scheduler gives pods their node; ReplicaSet, Deployment and the
//! other workload kinds make and replace pods.
//!
//! What it never does: run a container, open a socket, or know how objects are stored. Garbage collection by
//! owner references, the end of namespaces and ServiceAccounts are the API server's own work; pods run in
//! `cluster/node`.
//!
//! Every controller has a pure `plan`: what is asked for, what is observed and the time in, what to do and
//! the status out. Around it is a thin loop: a queue of keys, one shared cache for each kind, writes whose
//! answers are in the cache before the next decision. It reacts to states, not to events, so it can be
//! stopped and started at any time.
//!
//! Start reading in [`Workloads::start`], then `cache.rs`, `controller.rs` and `deployment/plan.rs`.

mod amount;
mod cache;
mod clock;
mod cluster;
mod controller;
mod cronjob;
mod daemonset;
mod dependents;
mod deployment;
mod disruption;
mod endpoints;
mod error;
mod events;
mod job;
mod owners;
mod pods;
mod queue;
mod replicaset;
mod revisions;
mod scheduler;
mod statefulset;
mod template;
mod volumes;
mod watch;
mod writer;

use std::sync::Arc;

use tokio_util::sync::{CancellationToken, DropGuard};

pub use clock::Clock;
pub use error::Error;

use cluster::Cluster;
use controller::Tasks;

/// How the controllers run.
#[derive(Clone, Debug)]
pub struct Options {
    /// What they take for the time.
    pub clock: Clock,
}

impl Default for Options {
    fn default() -> Self {
        Self { clock: Clock::system() }
    }
}

/// The running controllers. They end with [`Workloads::shutdown`], or when this is dropped.
pub struct Workloads {
    tasks: Tasks,
    _stop_on_drop: DropGuard,
}

impl Workloads {
    /// Starts the controllers and returns when they have seen everything there is.
    ///
    /// `client` acts for all of them; it must be allowed to read and write the workload kinds, pods, nodes,
    /// volumes and events everywhere. While the API cannot be reached this waits, and says so in the log;
    /// dropping the future gives up.
    pub async fn start(client: kube::Client, options: Options) -> Self {
        let mut tasks = Tasks { stop: CancellationToken::new(), handles: Vec::new() };
        let stop_on_drop = tasks.stop.clone().drop_guard();
        let (events, written) = events::Recorder::new(client.clone(), options.clock.clone());
        tasks.spawn(written);
        let cluster = Arc::new(Cluster::new(client, options.clock, events));
        // The controllers listen before the first list comes, so that nothing is missed.
        scheduler::start(&cluster, &mut tasks);
        replicaset::start(&cluster, &mut tasks);
        deployment::start(&cluster, &mut tasks);
        endpoints::start(&cluster, &mut tasks);
        job::start(&cluster, &mut tasks);
        statefulset::start(&cluster, &mut tasks);
        volumes::start(&cluster, &mut tasks);
        daemonset::start(&cluster, &mut tasks);
        cronjob::start(&cluster, &mut tasks);
        disruption::start(&cluster, &mut tasks);
        cluster.watch(&mut tasks);
        cluster.filled().await;
        Self { tasks, _stop_on_drop: stop_on_drop }
    }

    /// Stops the controllers: what they are doing is finished, nothing new is begun.
    pub async fn shutdown(self) {
        self.tasks.stop.cancel();
        for handle in self.tasks.handles {
            // A task that panicked has said so already.
            let _ = handle.await;
        }
    }
}
