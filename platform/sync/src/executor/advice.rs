//! What to do about what the API refused, and about what does not become healthy.

use seaway_object::ObjectId;

/// Whether an answer of the API is about the object: another try changes nothing. What server-side apply cannot read
/// most servers say with 500, as if it were their own fault.
pub(crate) fn is_refused(code: u16, message: &str) -> bool {
    (400..500).contains(&code) || is_mistyped(message)
}

/// What to do about fields and values that a kind does not have.
pub(crate) const MISTYPED: &str =
    ": correct the field in Git: `kubectl explain` lists those that the kind has";

/// The words of server-side apply for fields and values that a kind does not have.
fn is_mistyped(message: &str) -> bool {
    message.contains("failed to create typed patch object")
}

/// What to do about a refusal of the API, where it does not say so itself.
pub(crate) fn advice(code: u16, message: &str) -> &'static str {
    match code {
        // RBAC's words. Quotas and policies refuse with the same code and say what they want.
        403 if message.contains("cannot") && message.contains("resource") => {
            ": in its namespaces the environment's account may do what the ClusterRole admin allows: add the kind to it \
             (a ClusterRole with the label rbac.authorization.k8s.io/aggregate-to-admin=true)"
        }
        413 => ": the API takes no object of this size: divide it, or keep its content elsewhere",
        422 => immutable_advice(message),
        _ if is_mistyped(message) => MISTYPED,
        _ => "",
    }
}

/// What to do about something that is waited for too long.
pub(super) fn late_advice(id: &ObjectId) -> String {
    let logs = logs(id).map(|logs| format!("{logs} says why; ")).unwrap_or_default();
    format!(
        ": {logs}what takes longer says so in its annotation seaway.dev/deadline (seconds), or for all in \
         spec.sync.waveTimeoutSeconds"
    )
}

/// What to do about something that ran and failed.
pub(super) fn failure_advice(id: &ObjectId) -> String {
    logs(id).map(|logs| format!(": {logs} says why; `seaway env sync` tries again")).unwrap_or_default()
}

/// Where what an object's pods wrote can be read.
fn logs(id: &ObjectId) -> Option<String> {
    let kind = match (id.group.as_str(), id.kind.as_str()) {
        ("batch", "Job") | ("", "Pod") | ("apps", "Deployment" | "StatefulSet" | "DaemonSet") => {
            id.kind.to_lowercase()
        }
        _ => return None,
    };
    let namespace = id.namespace.as_deref().unwrap_or("default");
    Some(format!("`kubectl logs --namespace {namespace} {kind}/{}`", id.name))
}

/// What to do about a field that cannot be changed; nothing where the server says something else.
fn immutable_advice(message: &str) -> &'static str {
    // Kubernetes' own words: of most kinds, of Services, of Pods, of StatefulSets.
    let fixed =
        ["immutable", "may not change", "may not be changed", "Forbidden: updates", "Forbidden: pod updates"];
    if fixed.iter().any(|words| message.contains(words)) {
        ": give the object another name, or let it be deleted and made anew (annotation seaway.dev/options: force, or \
         argocd.argoproj.io/sync-options: Force=true)"
    } else {
        ""
    }
}
