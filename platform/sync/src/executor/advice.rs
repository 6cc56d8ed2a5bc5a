//! What to do about what the API refused.

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
        _ => "",
    }
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
