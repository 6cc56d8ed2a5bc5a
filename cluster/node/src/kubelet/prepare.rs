//! Makes a pod's sandbox and the files that its containers share.

use super::container::{PodFolders, has_own_users, hostname, hosts_file, resolv_conf};
use super::shared::{PodKey, Shared};
use crate::error::{Error, Result};
use crate::sandbox::{PodOptions, Sandbox};
use k8s_openapi::api::core::v1::Pod;
use std::sync::Arc;

/// A pod's namespaces, host name, names and addresses. `memory_volumes` are kept in memory, with a size each.
pub(super) async fn create_sandbox(
    shared: Arc<Shared>,
    pod: Arc<Pod>,
    key: PodKey,
    folders: PodFolders,
    memory_volumes: Vec<(std::path::PathBuf, u64)>,
) -> Result<Sandbox> {
    let namespace = shared.namespace().await?;
    let shm = folders.shm();
    tokio::fs::create_dir_all(&shm).await.map_err(Error::io("make", &shm))?;
    let security = pod.spec.as_ref().and_then(|s| s.security_context.clone()).unwrap_or_default();
    let sysctls =
        security.sysctls.unwrap_or_default().into_iter().map(|s| (s.name, s.value)).collect::<Vec<_>>();
    for (name, _) in &sysctls {
        let safe = name.starts_with("net.")
            || name.starts_with("kernel.shm")
            || name.starts_with("kernel.msg")
            || name.starts_with("fs.mqueue.")
            || name == "kernel.sem";
        if !safe || name.contains(['/', '\0']) || name.contains("..") {
            return Err(Error::Spec {
                field: format!("sysctl {name}"),
                problem: "is not one of a pod's own namespaces".to_owned(),
            });
        }
    }
    let options = PodOptions {
        name: key.to_string(),
        hostname: hostname(&pod),
        own_users: has_own_users(&pod),
        shm,
        memory_volumes,
        sysctls,
    };
    let sandbox = namespace.create_pod(options).await?;
    if pod.spec.as_ref().and_then(|s| s.host_users) == Some(false) && !sandbox.has_own_users() {
        sandbox.end().await;
        return Err(Error::Spec {
            field: "hostUsers: false".to_owned(),
            problem: "this host cannot give a pod users of its own (Linux 5.19, user.max_user_namespaces)"
                .to_owned(),
        });
    }
    for (name, text) in [
        ("hosts", hosts_file(&pod, sandbox.address())),
        ("resolv.conf", resolv_conf(&pod, namespace.gateway())),
        ("hostname", format!("{}\n", hostname(&pod))),
    ] {
        let path = folders.file(name);
        tokio::fs::write(&path, text).await.map_err(Error::io("write", &path))?;
    }
    Ok(sandbox)
}
