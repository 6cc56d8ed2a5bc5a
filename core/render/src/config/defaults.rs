//! The fields that kustomize knows by itself.

use super::{Config, NameReference, NameReferences};
use crate::fieldspec::FieldSpec;
use crate::id::Gvk;

/// A pod's specification and its template's metadata, for every kind that makes pods: kind, path of the object that
/// holds `metadata` and `spec`.
const POD_OWNERS: &[(&str, &str)] = &[
    ("CronJob", "spec/jobTemplate/spec/template"),
    ("DaemonSet", "spec/template"),
    ("Deployment", "spec/template"),
    ("Job", "spec/template"),
    ("ReplicaSet", "spec/template"),
    ("StatefulSet", "spec/template"),
];

fn spec(group: &str, version: &str, kind: &str, path: &str, create: bool) -> FieldSpec {
    let gvk = Gvk { group: group.to_owned(), version: version.to_owned(), kind: kind.to_owned() };
    FieldSpec::new(gvk, path, create)
}

fn read(kind: &str, path: &str) -> FieldSpec {
    spec("", "", kind, path, false)
}

fn write(kind: &str, path: &str) -> FieldSpec {
    spec("", "", kind, path, true)
}

pub(super) fn config() -> Config {
    let names = vec![spec("", "", "", "metadata/name", false)];
    Config {
        name_prefix: names.clone(),
        name_suffix: names,
        namespace: vec![
            write("Namespace", "metadata/name"),
            spec("apiregistration.k8s.io", "", "APIService", "spec/service/namespace", true),
            spec(
                "apiextensions.k8s.io",
                "",
                "CustomResourceDefinition",
                "spec/conversion/webhook/clientConfig/service/namespace",
                false,
            ),
        ],
        common_labels: common_labels(),
        labels: vec![write("", "metadata/labels")],
        template_labels: template_labels(),
        common_annotations: common_annotations(),
        images: images(),
        replicas: ["Deployment", "ReplicationController", "ReplicaSet", "StatefulSet"]
            .map(|kind| write(kind, "spec/replicas"))
            .into(),
        name_references: NameReferences::new(name_references()),
        var_references: var_references(),
    }
}

fn template_labels() -> Vec<FieldSpec> {
    let template = "spec/template/metadata/labels";
    vec![
        write("", "metadata/labels"),
        spec("", "v1", "ReplicationController", template, true),
        write("Deployment", template),
        write("ReplicaSet", template),
        write("DaemonSet", template),
        spec("apps", "", "StatefulSet", template, true),
        spec("apps", "", "StatefulSet", "spec/volumeClaimTemplates[]/metadata/labels", true),
        spec("batch", "", "Job", template, true),
        spec("batch", "", "CronJob", "spec/jobTemplate/metadata/labels", true),
        spec("batch", "", "CronJob", "spec/jobTemplate/spec/template/metadata/labels", true),
    ]
}

fn common_labels() -> Vec<FieldSpec> {
    let selector = "spec/selector/matchLabels";
    let mut specs = vec![
        spec("", "v1", "Service", "spec/selector", true),
        spec("", "v1", "ReplicationController", "spec/selector", true),
        write("Deployment", selector),
        write("ReplicaSet", selector),
        write("DaemonSet", selector),
        spec("apps", "", "StatefulSet", selector, true),
        spec("batch", "", "Job", selector, false),
        spec("batch", "", "CronJob", "spec/jobTemplate/spec/selector/matchLabels", false),
        spec("policy", "", "PodDisruptionBudget", selector, false),
        spec("networking.k8s.io", "", "NetworkPolicy", "spec/podSelector/matchLabels", false),
        spec("networking.k8s.io", "", "NetworkPolicy", "spec/ingress/from/podSelector/matchLabels", false),
        spec("networking.k8s.io", "", "NetworkPolicy", "spec/egress/to/podSelector/matchLabels", false),
    ];
    let (preferred, required) = (
        "preferredDuringSchedulingIgnoredDuringExecution/podAffinityTerm",
        "requiredDuringSchedulingIgnoredDuringExecution",
    );
    for kind in ["Deployment", "StatefulSet"] {
        for affinity in ["podAffinity", "podAntiAffinity"] {
            for term in [preferred, required] {
                let path = format!("spec/template/spec/affinity/{affinity}/{term}/labelSelector/matchLabels");
                specs.push(spec("apps", "", kind, &path, false));
            }
        }
        let path = "spec/template/spec/topologySpreadConstraints/labelSelector/matchLabels";
        specs.push(spec("apps", "", kind, path, false));
    }
    specs.extend(template_labels());
    specs
}

fn common_annotations() -> Vec<FieldSpec> {
    let template = "spec/template/metadata/annotations";
    vec![
        write("", "metadata/annotations"),
        spec("", "v1", "ReplicationController", template, true),
        write("Deployment", template),
        write("ReplicaSet", template),
        write("DaemonSet", template),
        write("StatefulSet", template),
        spec("batch", "", "Job", template, true),
        spec("batch", "", "CronJob", "spec/jobTemplate/metadata/annotations", true),
        spec("batch", "", "CronJob", "spec/jobTemplate/spec/template/metadata/annotations", true),
    ]
}

fn images() -> Vec<FieldSpec> {
    ["spec", "spec/template/spec"]
        .iter()
        .flat_map(|pod| {
            ["containers[]/image", "initContainers[]/image"].map(|field| write("", &format!("{pod}/{field}")))
        })
        .collect()
}

fn var_references() -> Vec<FieldSpec> {
    let mut specs = Vec::new();
    let pods = POD_OWNERS.iter().map(|(kind, template)| (*kind, format!("{template}/spec")));
    for (kind, pod) in pods.chain([("Pod", "spec".to_owned())]) {
        for containers in ["containers", "initContainers"] {
            for field in ["args", "command", "env/value", "volumeMounts/mountPath"] {
                specs.push(read(kind, &format!("{pod}/{containers}/{field}")));
            }
        }
    }
    for path in ["spec/rules/host", "spec/tls/hosts", "spec/tls/secretName"] {
        specs.push(read("Ingress", path));
    }
    specs.push(read("Service", "spec/ports/port"));
    specs.push(read("Service", "spec/ports/targetPort"));
    specs.push(read("", "metadata/labels"));
    specs.push(read("", "metadata/annotations"));
    specs.push(read("Deployment", "spec/template/metadata/annotations"));
    specs.push(read("PersistentVolume", "spec/nfs/server"));
    specs.push(read("Pod", "spec/volumes/nfs/server"));
    for kind in ["DaemonSet", "Deployment", "Job", "ReplicaSet"] {
        specs.push(read(kind, "spec/template/spec/volumes/nfs/server"));
    }
    specs
}

fn name_references() -> Vec<NameReference> {
    let target = |group: &str, version: &str, kind: &str, fields: Vec<FieldSpec>| NameReference {
        target: Gvk { group: group.to_owned(), version: version.to_owned(), kind: kind.to_owned() },
        fields,
    };
    let scaled = || vec![read("HorizontalPodAutoscaler", "spec/scaleTargetRef/name")];
    let rbac = "rbac.authorization.k8s.io";
    vec![
        target("", "", "Deployment", scaled()),
        target("", "", "ReplicationController", scaled()),
        target("", "", "ReplicaSet", scaled()),
        target("", "", "StatefulSet", scaled()),
        target("", "v1", "ConfigMap", config_map_references()),
        target("", "v1", "Secret", secret_references()),
        target("", "v1", "Service", service_references()),
        target(rbac, "", "Role", vec![spec(rbac, "", "RoleBinding", "roleRef/name", false)]),
        target(
            rbac,
            "",
            "ClusterRole",
            vec![
                spec(rbac, "", "RoleBinding", "roleRef/name", false),
                spec(rbac, "", "ClusterRoleBinding", "roleRef/name", false),
            ],
        ),
        target("", "v1", "ServiceAccount", {
            let mut fields = vec![
                spec(rbac, "", "RoleBinding", "subjects", false),
                spec(rbac, "", "ClusterRoleBinding", "subjects", false),
            ];
            fields.extend(in_pods("serviceAccountName"));
            fields
        }),
        target("", "v1", "PersistentVolumeClaim", in_pods("volumes/persistentVolumeClaim/claimName")),
        target(
            "",
            "v1",
            "PersistentVolume",
            vec![
                read("PersistentVolumeClaim", "spec/volumeName"),
                read("ClusterRole", "rules/resourceNames"),
            ],
        ),
        target(
            "storage.k8s.io",
            "v1",
            "StorageClass",
            vec![
                read("PersistentVolume", "spec/storageClassName"),
                read("PersistentVolumeClaim", "spec/storageClassName"),
                read("StatefulSet", "spec/volumeClaimTemplates/spec/storageClassName"),
            ],
        ),
        target("scheduling.k8s.io", "v1", "PriorityClass", in_pods("priorityClassName")),
        target(
            "admissionregistration.k8s.io",
            "",
            "ValidatingAdmissionPolicy",
            vec![read("ValidatingAdmissionPolicyBinding", "spec/policyName")],
        ),
        target("networking.k8s.io/v1", "v1", "IngressClass", vec![read("Ingress", "spec/ingressClassName")]),
    ]
}

/// A field of a pod, in the kinds that name references other than to ConfigMaps and Secrets are known in: with
/// ReplicationController, without ReplicaSet.
fn in_pods(field: &str) -> Vec<FieldSpec> {
    [
        ("Pod", "spec"),
        ("StatefulSet", "spec/template/spec"),
        ("Deployment", "spec/template/spec"),
        ("ReplicationController", "spec/template/spec"),
        ("CronJob", "spec/jobTemplate/spec/template/spec"),
        ("Job", "spec/template/spec"),
        ("DaemonSet", "spec/template/spec"),
    ]
    .map(|(kind, pod)| read(kind, &format!("{pod}/{field}")))
    .into()
}

/// The places of a pod that name a ConfigMap or a Secret, in every kind that makes pods.
fn in_all_pods(fields: &[&str]) -> Vec<FieldSpec> {
    let mut specs = Vec::new();
    for field in fields {
        specs.push(spec("", "v1", "Pod", &format!("spec/{field}"), false));
        specs.push(read("PodTemplate", &format!("template/spec/{field}")));
        for (kind, template) in POD_OWNERS {
            specs.push(read(kind, &format!("{template}/spec/{field}")));
        }
    }
    specs
}

fn config_map_references() -> Vec<FieldSpec> {
    let mut fields = in_all_pods(&[
        "volumes/configMap/name",
        "containers/env/valueFrom/configMapKeyRef/name",
        "initContainers/env/valueFrom/configMapKeyRef/name",
        "containers/envFrom/configMapRef/name",
        "initContainers/envFrom/configMapRef/name",
        "volumes/projected/sources/configMap/name",
    ]);
    fields.extend([
        read("Node", "spec/configSource/configMap"),
        read("Role", "rules/resourceNames"),
        read("ClusterRole", "rules/resourceNames"),
        read("Ingress", r"metadata/annotations/nginx.ingress.kubernetes.io\/fastcgi-params-configmap"),
    ]);
    fields
}

fn secret_references() -> Vec<FieldSpec> {
    let mut fields = in_all_pods(&[
        "volumes/secret/secretName",
        "containers/env/valueFrom/secretKeyRef/name",
        "initContainers/env/valueFrom/secretKeyRef/name",
        "containers/envFrom/secretRef/name",
        "initContainers/envFrom/secretRef/name",
        "imagePullSecrets/name",
        "volumes/projected/sources/secret/name",
    ]);
    fields.extend([
        read("Ingress", "spec/tls/secretName"),
        read("Ingress", r"metadata/annotations/ingress.kubernetes.io\/auth-secret"),
        read("Ingress", r"metadata/annotations/nginx.ingress.kubernetes.io\/auth-secret"),
        read("Ingress", r"metadata/annotations/nginx.ingress.kubernetes.io\/auth-tls-secret"),
        read("ServiceAccount", "imagePullSecrets/name"),
        read("StorageClass", "parameters/secretName"),
        read("StorageClass", "parameters/adminSecretName"),
        read("StorageClass", "parameters/userSecretName"),
        read("StorageClass", "parameters/secretRef"),
        read("Role", "rules/resourceNames"),
        read("ClusterRole", "rules/resourceNames"),
        spec(
            "serving.knative.dev",
            "v1",
            "Service",
            "spec/template/spec/containers/env/valueFrom/secretKeyRef/name",
            false,
        ),
        read("PersistentVolume", "spec/azureFile/secretName"),
    ]);
    fields
}

fn service_references() -> Vec<FieldSpec> {
    vec![
        spec("apps", "", "StatefulSet", "spec/serviceName", false),
        read("Ingress", "spec/rules/http/paths/backend/serviceName"),
        read("Ingress", "spec/backend/serviceName"),
        read("Ingress", "spec/rules/http/paths/backend/service/name"),
        read("Ingress", "spec/defaultBackend/service/name"),
        spec("apiregistration.k8s.io", "", "APIService", "spec/service/name", false),
        spec(
            "admissionregistration.k8s.io",
            "",
            "ValidatingWebhookConfiguration",
            "webhooks/clientConfig/service",
            false,
        ),
        spec(
            "admissionregistration.k8s.io",
            "",
            "MutatingWebhookConfiguration",
            "webhooks/clientConfig/service",
            false,
        ),
    ]
}
