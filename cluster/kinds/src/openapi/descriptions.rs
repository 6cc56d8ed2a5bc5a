//! What each field means, for `kubectl explain`: Kubernetes' own sentences, as `k8s-openapi` carries them.
//!
//! Shapes come from the generated facts alone; a sentence is added to a schema that has none.

use std::collections::{BTreeMap, HashMap};
use std::sync::LazyLock;

use k8s_openapi::api::{
    admissionregistration, apps, authentication, authorization, autoscaling, batch, certificates,
    coordination, core, discovery, events, networking, node, policy, rbac, scheduling, storage,
};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions;
use k8s_openapi::apimachinery::pkg::apis::meta;
use schemars::SchemaGenerator;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value};

/// The sentences of one definition.
#[derive(Default)]
struct Description {
    own: Option<String>,
    fields: BTreeMap<String, String>,
}

/// By definition, such as `io.k8s.api.core.v1.Pod`. Some three megabytes, made when the first document is.
static DESCRIPTIONS: LazyLock<HashMap<String, Description>> = LazyLock::new(collect);

/// Adds the sentences of a built-in definition to its schema and to the schemas of its fields.
pub(super) fn describe(definition: &str, schema: &mut Value) {
    let (Some(description), Some(schema)) = (DESCRIPTIONS.get(definition), schema.as_object_mut()) else {
        return;
    };
    if let Some(own) = &description.own {
        schema.entry("description").or_insert_with(|| own.as_str().into());
    }
    if let Some(Value::Object(properties)) = schema.get_mut("properties") {
        describe_fields(definition, properties);
    }
}

/// Adds the sentences of a definition's fields to those that are there.
pub(super) fn describe_fields(definition: &str, properties: &mut Map<String, Value>) {
    let Some(description) = DESCRIPTIONS.get(definition) else { return };
    for (name, schema) in properties {
        if let (Some(text), Some(schema)) = (description.fields.get(name), schema.as_object_mut()) {
            schema.entry("description").or_insert_with(|| text.as_str().into());
        }
    }
}

fn collect() -> HashMap<String, Description> {
    macro_rules! definitions {
        ($($kind:path),* $(,)?) => {{
            let mut generator = SchemaGenerator::new(SchemaSettings::default());
            $(generator.subschema_for::<$kind>();)*
            generator.take_definitions(false)
        }};
    }
    let definitions = definitions![
        admissionregistration::v1::MutatingWebhookConfiguration,
        admissionregistration::v1::ValidatingAdmissionPolicy,
        admissionregistration::v1::ValidatingAdmissionPolicyBinding,
        admissionregistration::v1::ValidatingWebhookConfiguration,
        apiextensions::v1::CustomResourceDefinition,
        apps::v1::ControllerRevision,
        apps::v1::DaemonSet,
        apps::v1::Deployment,
        apps::v1::ReplicaSet,
        apps::v1::StatefulSet,
        authentication::v1::SelfSubjectReview,
        authentication::v1::TokenRequest,
        authentication::v1::TokenReview,
        authorization::v1::LocalSubjectAccessReview,
        authorization::v1::SelfSubjectAccessReview,
        authorization::v1::SelfSubjectRulesReview,
        authorization::v1::SubjectAccessReview,
        autoscaling::v1::HorizontalPodAutoscaler,
        autoscaling::v1::Scale,
        autoscaling::v2::HorizontalPodAutoscaler,
        batch::v1::CronJob,
        batch::v1::Job,
        certificates::v1::CertificateSigningRequest,
        coordination::v1::Lease,
        core::v1::Binding,
        core::v1::ConfigMap,
        core::v1::Endpoints,
        core::v1::Event,
        core::v1::LimitRange,
        core::v1::Namespace,
        core::v1::Node,
        core::v1::PersistentVolume,
        core::v1::PersistentVolumeClaim,
        core::v1::Pod,
        core::v1::PodTemplate,
        core::v1::ReplicationController,
        core::v1::ResourceQuota,
        core::v1::Secret,
        core::v1::Service,
        core::v1::ServiceAccount,
        discovery::v1::EndpointSlice,
        events::v1::Event,
        meta::v1::APIResourceList,
        meta::v1::ListMeta,
        meta::v1::ObjectMeta,
        meta::v1::Status,
        networking::v1::Ingress,
        networking::v1::IngressClass,
        networking::v1::NetworkPolicy,
        node::v1::RuntimeClass,
        policy::v1::Eviction,
        policy::v1::PodDisruptionBudget,
        rbac::v1::ClusterRole,
        rbac::v1::ClusterRoleBinding,
        rbac::v1::Role,
        rbac::v1::RoleBinding,
        scheduling::v1::PriorityClass,
        storage::v1::CSIDriver,
        storage::v1::CSINode,
        storage::v1::StorageClass,
        storage::v1::VolumeAttachment,
    ];
    definitions.into_iter().map(|(name, schema)| (name, sentences(schema))).collect()
}

fn sentences(schema: Value) -> Description {
    let Value::Object(mut schema) = schema else { return Description::default() };
    let own = text(schema.remove("description"));
    let fields = match schema.remove("properties") {
        Some(Value::Object(properties)) => properties
            .into_iter()
            .filter_map(|(name, mut field)| {
                Some((name, text(field.get_mut("description").map(Value::take))?))
            })
            .collect(),
        _ => BTreeMap::new(),
    };
    Description { own, fields }
}

fn text(value: Option<Value>) -> Option<String> {
    match value {
        Some(Value::String(text)) => Some(text),
        _ => None,
    }
}
