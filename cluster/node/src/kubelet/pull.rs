//! Brings a container's image, as its pull policy and the pod's pull secrets say.

use super::shared::Shared;
use crate::error::Result;
use crate::image::{Credentials, Image, Progress, PullPolicy};
use k8s_openapi::api::core::v1::{Container, Pod, Secret, ServiceAccount};
use kube::api::Api;
use std::time::Duration;

/// A pull that takes longer says how far it has come.
const PROGRESS: Duration = Duration::from_secs(5);

/// The image of a container, with events about it.
pub(super) async fn pull(shared: &Shared, pod: &Pod, container: &Container) -> Result<Image> {
    let reference = container.image.clone().unwrap_or_default();
    let policy = match container.image_pull_policy.as_deref() {
        Some("Always") => PullPolicy::Always,
        Some("Never") => PullPolicy::Never,
        _ => PullPolicy::IfNotPresent,
    };
    let event = |reason: &str, message: String| {
        shared.events.pod(pod, Some(&container.name), false, reason, message);
    };
    if policy != PullPolicy::Always
        && let Some(image) = shared.images.present(&reference)?
    {
        event("Pulled", format!("Container image \"{reference}\" already present on machine"));
        return Ok(image);
    }
    let credentials = credentials(shared, pod).await;
    if policy != PullPolicy::Never {
        event("Pulling", format!("Pulling image \"{reference}\""));
    }
    let start = std::time::Instant::now();
    let progress = Progress::default();
    let image = {
        let mut pull = std::pin::pin!(shared.images.ensure(&reference, policy, &credentials, &progress));
        let mut told = 0;
        loop {
            tokio::select! {
                image = &mut pull => break image?,
                () = tokio::time::sleep(PROGRESS) => {
                    if let Some((share, text)) = news(progress.now(), told) {
                        told = share;
                        event("Pulling", format!("Pulling image \"{reference}\": {text}"));
                    }
                }
            }
        }
    };
    let took = start.elapsed();
    let took = format!("{}.{:03}s", took.as_secs(), took.subsec_millis());
    event(
        "Pulled",
        format!(
            "Successfully pulled image \"{reference}\" in {took} ({took} including waiting). Image size: {} bytes.",
            image.size
        ),
    );
    Ok(image)
}

/// What to say of a pull that has come further by a tenth since `told`, a share of 100.
fn news(now: Option<(u64, u64)>, told: u64) -> Option<(u64, String)> {
    let (received, total) = now?;
    let share = u64::try_from(u128::from(received) * 100 / u128::from(total.max(1))).unwrap_or(100);
    let mebibytes = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    (share >= told + 10 && share < 100)
        .then(|| (share, format!("{:.1} of {:.1} MiB ({share} %)", mebibytes(received), mebibytes(total))))
}

/// The logins of the pod's and its account's pull secrets. A missing one is no error: the image may be public.
async fn credentials(shared: &Shared, pod: &Pod) -> Credentials {
    let namespace = pod.metadata.namespace.as_deref().unwrap_or("default");
    let spec = pod.spec.clone().unwrap_or_default();
    let mut names: Vec<String> = spec.image_pull_secrets.into_iter().flatten().map(|s| s.name).collect();
    let accounts: Api<ServiceAccount> = Api::namespaced(shared.client.clone(), namespace);
    let account = spec.service_account_name.unwrap_or_else(|| "default".to_owned());
    if let Ok(Some(account)) = accounts.get_opt(&account).await {
        names.extend(account.image_pull_secrets.into_iter().flatten().map(|s| s.name));
    }
    names.sort();
    names.dedup();
    let api: Api<Secret> = Api::namespaced(shared.client.clone(), namespace);
    let mut credentials = shared.options.credentials.clone();
    for name in names {
        let Ok(Some(secret)) = api.get_opt(&name).await else {
            let message =
                format!("Unable to retrieve image pull secret \"{name}\"; the image may not be pulled");
            shared.events.pod(pod, None, true, "FailedToRetrieveImagePullSecret", message);
            continue;
        };
        for key in [".dockerconfigjson", ".dockercfg"] {
            if let Some(json) = secret.data.as_ref().and_then(|d| d.get(key)) {
                credentials.add_docker_config(&json.0);
            }
        }
    }
    credentials
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pull_tells_how_far_it_has_come_by_tenths() {
        assert_eq!(news(None, 0), None);
        assert_eq!(news(Some((5 << 20, 100 << 20)), 0), None);
        assert_eq!(news(Some((34 << 20, 100 << 20)), 0), Some((34, "34.0 of 100.0 MiB (34 %)".to_owned())));
        assert_eq!(news(Some((40 << 20, 100 << 20)), 34), None);
        assert_eq!(news(Some((u64::MAX, u64::MAX)), 0), None, "the event Pulled says that");
    }
}
