//! What pods ask of their node: kernel settings, operating systems, devices, resources as a whole.

use serde_json::{Value, json};

use super::pods::{container_cases, pod, spec_cases};
use super::{merged, on_create};

#[test]
fn kernel_settings_have_names_and_do_not_reach_the_host() {
    let sysctl = |name: &str| json!({"securityContext": {"sysctls": [{"name": name, "value": "1"}]}});
    spec_cases(&[
        (sysctl("net.core.somaxconn"), &[]),
        (sysctl("net/ipv4/conf/eth0.1/rp_filter"), &[]),
        (
            sysctl("a b"),
            &[
                r#"spec.securityContext.sysctls[0].name: Invalid value: "a b": must have at most 253 characters and match regex ^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$"#,
            ],
        ),
        (
            merged(&sysctl("net.core.somaxconn"), &json!({"hostNetwork": true})),
            &[
                "spec.securityContext.sysctls[0].name: Invalid value: \"net.core.somaxconn\": may not be specified when 'hostNetwork' is true",
            ],
        ),
        (
            merged(&sysctl("kernel.shm_rmid_forced"), &json!({"hostIPC": true})),
            &[
                "spec.securityContext.sysctls[0].name: Invalid value: \"kernel.shm_rmid_forced\": may not be specified when 'hostIPC' is true",
            ],
        ),
    ]);
}

#[test]
fn a_pod_has_only_what_its_system_knows() {
    const NOT_ON_WINDOWS: &str = "Forbidden: cannot be set for a windows pod";
    const NOT_ON_LINUX: &str = "Forbidden: windows options cannot be set for a linux pod";
    let container = |context: Value| json!([{"name": "c", "image": "i", "securityContext": context}]);
    spec_cases(&[
        (json!({"os": {"name": "windows"}}), &[]),
        (
            json!({"os": {"name": "plan9"}}),
            &["spec.os.name: Unsupported value: \"plan9\": supported values: \"linux\", \"windows\""],
        ),
        (
            json!({"os": {"name": "windows"}, "hostPID": true, "securityContext": {"runAsUser": 1, "fsGroup": 2}}),
            &[
                &format!("spec.hostPID: {NOT_ON_WINDOWS}"),
                &format!("spec.securityContext.fsGroup: {NOT_ON_WINDOWS}"),
                &format!("spec.securityContext.runAsUser: {NOT_ON_WINDOWS}"),
            ],
        ),
        (
            json!({"os": {"name": "windows"}, "containers": container(json!({"privileged": true, "runAsUser": 1}))}),
            &[
                &format!("spec.containers[0].securityContext.privileged: {NOT_ON_WINDOWS}"),
                &format!("spec.containers[0].securityContext.runAsUser: {NOT_ON_WINDOWS}"),
            ],
        ),
        (
            json!({"os": {"name": "linux"}, "securityContext": {"windowsOptions": {"runAsUserName": "u"}},
                   "containers": container(json!({"windowsOptions": {}}))}),
            &[
                &format!("spec.securityContext.windowsOptions: {NOT_ON_LINUX}"),
                &format!("spec.containers[0].securityContext.windowsOptions: {NOT_ON_LINUX}"),
            ],
        ),
        (
            json!({"securityContext": {"windowsOptions": {"runAsUserName": "a\\b\\c"}}}),
            &[
                r#"spec.securityContext.windowsOptions.runAsUserName: Invalid value: "a\\b\\c": runAsUserName cannot contain more than one backslash"#,
            ],
        ),
        (
            json!({"securityContext": {"windowsOptions": {"hostProcess": true}}}),
            &[
                "spec.hostNetwork: Invalid value: false: hostNetwork must be true if pod contains any hostProcess containers",
            ],
        ),
        (
            json!({"hostUsers": false, "hostNetwork": true, "hostIPC": true}),
            &[
                "spec.hostNetwork: Forbidden: when `hostUsers` is false",
                "spec.hostIPC: Forbidden: when `hostUsers` is false",
            ],
        ),
        (
            json!({"securityContext": {"appArmorProfile": {"type": "Localhost"}, "supplementalGroupsPolicy": "x"}}),
            &[
                "spec.securityContext.appArmorProfile.localhostProfile: Required value: must be set when AppArmor type is Localhost",
                "spec.securityContext.supplementalGroupsPolicy: Unsupported value: \"x\": supported values: \"Merge\", \"Strict\"",
            ],
        ),
    ]);
}

#[test]
fn a_pod_claims_devices_by_name() {
    let uses = |claim: &str| json!([{"name": "c", "image": "i", "resources": {"claims": [{"name": claim}]}}]);
    spec_cases(&[
        (
            json!({"resourceClaims": [{"name": "gpu", "resourceClaimTemplateName": "t"}], "containers": uses("gpu")}),
            &[],
        ),
        (
            json!({"resourceClaims": [{"name": "gpu"}]}),
            &[
                "spec.resourceClaims[0]: Invalid value: {\"name\":\"gpu\"}: must specify one of: `resourceClaimName`, `resourceClaimTemplateName`",
            ],
        ),
        (
            json!({"resourceClaims": [{"name": "a", "resourceClaimName": "b"}], "containers": uses("c")}),
            &[
                "spec.containers[0].resources.claims[0]: Not found: \"c\": must be one of the names in pod.spec.resourceClaims: a",
            ],
        ),
        (
            json!({"containers": uses("c")}),
            &[
                "spec.containers[0].resources.claims[0]: Not found: \"c\": must be one of the names in pod.spec.resourceClaims which is empty",
            ],
        ),
    ]);
}

#[test]
fn what_a_pod_asks_for_as_a_whole_covers_its_containers() {
    let asks = |whole: Value, own: Value| json!({"resources": whole, "containers": [{"name": "c", "image": "i", "resources": own}]});
    spec_cases(&[
        (asks(json!({"limits": {"cpu": "2"}}), json!({"limits": {"cpu": "1"}})), &[]),
        (
            asks(json!({"requests": {"cpu": "1"}}), json!({"requests": {"cpu": "1500m"}})),
            &[
                "spec.resources.requests[cpu]: Invalid value: \"1\": must be greater than or equal to aggregate container requests of 1500m",
            ],
        ),
        (
            asks(
                json!({"limits": {"memory": "1Gi"}}),
                json!({"limits": {"memory": "2Gi"}, "requests": {"memory": "1Gi"}}),
            ),
            &[
                "spec.resources.containers[0][memory].limits: Invalid value: \"2Gi\": must be less than or equal to pod limits of 1Gi",
            ],
        ),
        (
            asks(json!({"requests": {"ephemeral-storage": "1Gi"}}), json!({})),
            &[
                "spec.resources.requests[ephemeral-storage]: Unsupported value: \"ephemeral-storage\": supported values: \"cpu\", \"hugepages-\", \"memory\"",
            ],
        ),
        (
            asks(json!({"claims": []}), json!({})),
            &["spec.resources.claims: Forbidden: claims cannot be set for Resources at pod-level"],
        ),
    ]);
}

#[test]
fn containers_change_size_and_end_as_their_pod_allows() {
    container_cases(&[
        (json!({"resizePolicy": [{"resourceName": "cpu", "restartPolicy": "NotRequired"}]}), &[]),
        (
            json!({"resizePolicy": [{"resourceName": "disk", "restartPolicy": "NotRequired"}]}),
            &[
                "spec.containers[0].resizePolicy: Unsupported value: \"disk\": supported values: \"cpu\", \"memory\"",
            ],
        ),
        (
            json!({"lifecycle": {"preStop": {"sleep": {"seconds": 31}}}}),
            &[
                "spec.containers[0].lifecycle.preStop.sleep: Invalid value: 31: must be non-negative and less than terminationGracePeriodSeconds (30)",
            ],
        ),
        (
            json!({"readinessProbe": {"exec": {"command": ["a"]}, "terminationGracePeriodSeconds": 1}}),
            &[
                "spec.containers[0].readinessProbe.terminationGracePeriodSeconds: Invalid value: 1: must not be set for readinessProbes",
            ],
        ),
    ]);
    let cost = |cost: &str| json!({"metadata": {"annotations": {"controller.kubernetes.io/pod-deletion-cost": cost}}});
    on_create(
        "",
        "Pod",
        &pod(),
        &[
            (cost("-7"), &[]),
            (
                cost("cheap"),
                &[
                    "metadata.annotations[controller.kubernetes.io/pod-deletion-cost]: Invalid value: \"cheap\": must be a 32bit integer",
                ],
            ),
        ],
    );
}
