//! What all controllers share: the caches, the clock, the recorder of events.

use k8s_openapi::api::apps::v1::{ControllerRevision, DaemonSet, Deployment, ReplicaSet, StatefulSet};
use k8s_openapi::api::batch::v1::{CronJob, Job};
use k8s_openapi::api::core::v1::{Endpoints, Node, PersistentVolume, PersistentVolumeClaim, Pod, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::api::storage::v1::StorageClass;
use kube::{Api, Client};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::cache::Store;
use crate::clock::Clock;
use crate::events::Recorder;

/// A kind that is watched.
pub(crate) trait Kind:
    kube::Resource<DynamicType = ()>
    + Clone
    + std::fmt::Debug
    + PartialEq
    + Serialize
    + DeserializeOwned
    + Send
    + Sync
    + 'static
{
    /// Its cache.
    fn store(cluster: &Cluster) -> &Store<Self>;
    /// Its endpoint in a namespace, which is ignored for cluster-scoped kinds.
    fn api(client: &Client, namespace: &str) -> Api<Self>;
    /// Its endpoint over all namespaces.
    fn everywhere(client: &Client) -> Api<Self> {
        Api::all(client.clone())
    }
}

macro_rules! kinds {
    (namespaced { $($field:ident: $kind:ty,)* } cluster { $($wide_field:ident: $wide:ty,)* }) => {
        /// The state of the cluster as the controllers see it.
        pub(crate) struct Cluster {
            pub(crate) client: Client,
            pub(crate) clock: Clock,
            pub(crate) events: Recorder,
            $(pub(crate) $field: Store<$kind>,)*
            $(pub(crate) $wide_field: Store<$wide>,)*
        }

        impl Cluster {
            pub(crate) fn new(client: Client, clock: Clock, events: Recorder) -> Self {
                Self {
                    client, clock, events,
                    $($field: Store::new(),)*
                    $($wide_field: Store::new(),)*
                }
            }

            /// Waits until everything has been listed once.
            pub(crate) async fn filled(&self) {
                $(self.$field.filled().await;)*
                $(self.$wide_field.filled().await;)*
            }

            /// Starts the watches.
            pub(crate) fn watch(self: &std::sync::Arc<Self>, tasks: &mut crate::controller::Tasks) {
                $(tasks.spawn(crate::watch::watch::<$kind>(self.clone()));)*
                $(tasks.spawn(crate::watch::watch::<$wide>(self.clone()));)*
            }
        }

        $(impl Kind for $kind {
            fn store(cluster: &Cluster) -> &Store<Self> { &cluster.$field }
            fn api(client: &Client, namespace: &str) -> Api<Self> {
                Api::namespaced(client.clone(), namespace)
            }
        })*
        $(impl Kind for $wide {
            fn store(cluster: &Cluster) -> &Store<Self> { &cluster.$wide_field }
            fn api(client: &Client, _: &str) -> Api<Self> { Api::all(client.clone()) }
        })*
    };
}

kinds! {
    namespaced {
        pods: Pod,
        replica_sets: ReplicaSet,
        deployments: Deployment,
        stateful_sets: StatefulSet,
        daemon_sets: DaemonSet,
        controller_revisions: ControllerRevision,
        jobs: Job,
        cron_jobs: CronJob,
        services: Service,
        endpoint_slices: EndpointSlice,
        endpoints: Endpoints,
        claims: PersistentVolumeClaim,
        budgets: PodDisruptionBudget,
    }
    cluster {
        nodes: Node,
        volumes: PersistentVolume,
        storage_classes: StorageClass,
    }
}
