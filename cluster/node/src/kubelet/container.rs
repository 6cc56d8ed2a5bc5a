//! From a container of a pod's spec to what the sandbox is asked to run.

use super::environment::{Found, Needed, PodFacts, environment, expand, needed};
use super::volumes::PodVolumes;
use crate::cgroup::Limits;
use crate::error::{Error, Result};
use crate::image::Image;
use crate::network::{CLUSTER_DOMAIN, ServiceTable};
use crate::sandbox::{BindMount, ContainerSpec, ProcessSpec, capabilities};
use k8s_openapi::api::core::v1::{ConfigMap, Container, Pod, Secret};
use kube::api::Api;
use std::fmt::Write as _;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

/// Reads the objects that the environment needs.
pub(crate) async fn find(client: &kube::Client, pod: &Pod, container: &Container) -> Result<Found> {
    let namespace = pod.metadata.namespace.as_deref().unwrap_or("default");
    let mut found = Found::default();
    for object in needed(container) {
        match object {
            Needed::ConfigMap(name) => {
                let api: Api<ConfigMap> = Api::namespaced(client.clone(), namespace);
                let map =
                    api.get_opt(&name).await.map_err(Error::api(format!("get configmap \"{name}\"")))?;
                found.config_maps.extend(map.map(|m| (name, m)));
            }
            Needed::Secret(name) => {
                let api: Api<Secret> = Api::namespaced(client.clone(), namespace);
                let secret =
                    api.get_opt(&name).await.map_err(Error::api(format!("get secret \"{name}\"")))?;
                found.secrets.extend(secret.map(|s| (name, s)));
            }
        }
    }
    Ok(found)
}

/// Files of a pod that are mounted at `/etc` in each of its containers.
pub(crate) const SHARED_FILES: [&str; 3] = ["hosts", "resolv.conf", "hostname"];

/// The folders of a pod on disk.
#[derive(Clone, Debug)]
pub(crate) struct PodFolders {
    pub(crate) root: PathBuf,
}

impl PodFolders {
    pub(crate) fn volumes(&self) -> PathBuf {
        self.root.join("volumes")
    }

    pub(crate) fn shm(&self) -> PathBuf {
        self.root.join("shm")
    }

    pub(crate) fn container(&self, name: &str) -> PathBuf {
        self.root.join("containers").join(name)
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }
}

/// Everything that a container's specification is made of.
pub(crate) struct Material<'a> {
    pub(crate) pod: &'a Pod,
    pub(crate) container: &'a Container,
    pub(crate) image: &'a Image,
    pub(crate) found: &'a Found,
    pub(crate) services: &'a ServiceTable,
    pub(crate) volumes: &'a PodVolumes,
    pub(crate) folders: &'a PodFolders,
    pub(crate) facts: PodFacts,
    pub(crate) run: i32,
}

/// What the kubelet's rules make of a container.
pub(crate) fn container_spec(material: &Material<'_>) -> Result<ContainerSpec> {
    let Material { pod, container, image, .. } = *material;
    let mut env: Vec<(String, String)> = image
        .config
        .env
        .iter()
        .flatten()
        .filter_map(|pair| pair.split_once('='))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    let own = environment(pod, container, material.found, material.facts, material.services)?;
    env.retain(|(name, _)| !own.iter().any(|(n, _)| n == name) && name != "HOSTNAME");
    if !own.iter().any(|(n, _)| n == "HOSTNAME") {
        env.push(("HOSTNAME".to_owned(), hostname(pod)));
    }
    let command = |list: Option<&Vec<String>>| -> Vec<String> {
        list.into_iter().flatten().map(|text| expand(text, &own)).collect()
    };
    // Kubernetes' command replaces both of the image's, args only its arguments.
    let (entrypoint, arguments) = (command(container.command.as_ref()), command(container.args.as_ref()));
    let from_image = |list: &Option<Vec<String>>| list.clone().unwrap_or_default();
    let argv = match (entrypoint.is_empty(), arguments.is_empty()) {
        (true, true) => [from_image(&image.config.entrypoint), from_image(&image.config.cmd)].concat(),
        (true, false) => [from_image(&image.config.entrypoint), arguments].concat(),
        (false, _) => [entrypoint, arguments].concat(),
    };
    if argv.is_empty() {
        return Err(spec_error(container, "no command: neither the container nor its image names one"));
    }
    let folder = material.folders.container(&container.name);
    let part = |name: &str| folder.join(format!("{}-{name}", material.run));
    let security = container.security_context.clone().unwrap_or_default();
    let pod_security = pod.spec.as_ref().and_then(|s| s.security_context.clone()).unwrap_or_default();
    if security.privileged == Some(true) {
        return Err(spec_error(container, "privileged containers are not possible in a sandbox"));
    }
    let user = match security.run_as_user.or(pod_security.run_as_user) {
        Some(uid) => uid.to_string(),
        None => image.config.user.clone().unwrap_or_default(),
    };
    if security.run_as_non_root.or(pod_security.run_as_non_root) == Some(true) {
        let name = user.split(':').next().unwrap_or_default();
        let is_named_by_pod = security.run_as_user.or(pod_security.run_as_user).is_some();
        let problem = match name.parse::<u32>() {
            Ok(0) if is_named_by_pod => Some("container's runAsUser breaks non-root policy".to_owned()),
            Ok(0) => Some("container has runAsNonRoot and image will run as root".to_owned()),
            Ok(_) => None,
            Err(_) if name.is_empty() => {
                Some("container has runAsNonRoot and image will run as root".to_owned())
            }
            Err(_) => Some(format!(
                "container has runAsNonRoot and image has non-numeric user ({name}), cannot verify user is non-root"
            )),
        };
        if let Some(problem) = problem {
            let metadata = &pod.metadata;
            let pod = format!(
                "{}_{}({})",
                metadata.name.as_deref().unwrap_or_default(),
                metadata.namespace.as_deref().unwrap_or_default(),
                metadata.uid.as_deref().unwrap_or_default()
            );
            return Err(Error::NonRoot { problem, pod, container: container.name.clone() });
        }
    }
    let group = |id: i64| {
        u32::try_from(id).map_err(|_| spec_error(container, "a user or group number is out of range"))
    };
    let mut supplemental_groups = Vec::new();
    for id in pod_security.supplemental_groups.iter().flatten().chain(&pod_security.fs_group) {
        supplemental_groups.push(group(*id)?);
    }
    let wanted = security.capabilities.unwrap_or_default();
    let capabilities = capabilities(&wanted.add.unwrap_or_default(), &wanted.drop.unwrap_or_default())
        .map_err(|problem| spec_error(container, &problem))?;
    let profile = security.seccomp_profile.or(pod_security.seccomp_profile);
    let seccomp = match profile.as_ref().map(|profile| profile.type_.as_str()) {
        // As a kubelet with `--seccomp-default`: who wants none says so.
        None | Some("RuntimeDefault") => true,
        Some("Unconfined") => false,
        Some(other) => {
            let problem =
                format!("seccomp profile {other} is not possible; use RuntimeDefault or Unconfined");
            return Err(spec_error(container, &problem));
        }
    };
    Ok(ContainerSpec {
        root: part("root"),
        layers: image.layers.clone(),
        upper: part("upper"),
        work: part("work"),
        read_only_root: security.read_only_root_filesystem == Some(true),
        shm: material.folders.shm(),
        mounts: mounts(material, &own)?,
        share_processes: pod.spec.as_ref().and_then(|s| s.share_process_namespace) == Some(true),
        process: ProcessSpec {
            argv,
            env: env.into_iter().chain(own).collect(),
            working_dir: container
                .working_dir
                .clone()
                .filter(|d| !d.is_empty())
                .or_else(|| image.config.working_dir.clone())
                .unwrap_or_default(),
            user,
            group: security.run_as_group.or(pod_security.run_as_group).map(group).transpose()?,
            supplemental_groups,
            capabilities,
            no_new_privileges: security.allow_privilege_escalation == Some(false),
            seccomp,
            terminal: container.tty == Some(true),
            oom_score: None,
        },
    })
}

fn spec_error(container: &Container, problem: &str) -> Error {
    Error::Spec { field: format!("container \"{}\"", container.name), problem: problem.to_owned() }
}

fn mounts(material: &Material<'_>, env: &[(String, String)]) -> Result<Vec<BindMount>> {
    let Material { container, folders, volumes, .. } = *material;
    let own = |name: &str, target: &str| BindMount {
        source: folders.file(name),
        sub_path: None,
        target: target.to_owned(),
        read_only: false,
    };
    let message = container.termination_message_path.as_deref().unwrap_or("/dev/termination-log");
    let mut mounts: Vec<BindMount> = SHARED_FILES.map(|name| own(name, &format!("/etc/{name}"))).to_vec();
    mounts.push(BindMount {
        source: termination_log(folders, &container.name, material.run),
        sub_path: None,
        target: message.to_owned(),
        read_only: false,
    });
    for mount in container.volume_mounts.iter().flatten() {
        let Some((source, writable)) = volumes.folders.get(&mount.name) else {
            return Err(spec_error(
                container,
                &format!("volumeMount \"{}\" names no volume of the pod", mount.name),
            ));
        };
        let sub_path = match (&mount.sub_path_expr, &mount.sub_path) {
            (Some(text), _) if !text.is_empty() => Some(expand(text, env)),
            (_, Some(path)) if !path.is_empty() => Some(path.clone()),
            _ => None,
        };
        if sub_path.as_ref().is_some_and(|p| p.starts_with('/') || p.split('/').any(|part| part == "..")) {
            return Err(spec_error(container, "subPath must be a relative path without \"..\""));
        }
        // A file of the pod's own wins over ours.
        mounts.retain(|m| m.target != mount.mount_path);
        mounts.push(BindMount {
            source: source.clone(),
            sub_path,
            target: mount.mount_path.clone(),
            read_only: mount.read_only == Some(true) || !writable,
        });
    }
    // Outer folders first.
    mounts.sort_by_key(|m| Path::new(&m.target).components().count());
    Ok(mounts)
}

/// Where a run of a container may leave its last words.
pub(crate) fn termination_log(folders: &PodFolders, container: &str, run: i32) -> PathBuf {
    folders.container(container).join(format!("{run}-termination-log"))
}

/// The host name that a pod sees.
pub(crate) fn hostname(pod: &Pod) -> String {
    let spec = pod.spec.as_ref();
    let name = spec
        .and_then(|s| s.hostname_override.clone().or_else(|| s.hostname.clone()))
        .or_else(|| pod.metadata.name.clone())
        .unwrap_or_default();
    name.chars().take(63).collect::<String>().trim_end_matches(['-', '.']).to_owned()
}

/// `/etc/hosts` of a pod.
pub(crate) fn hosts_file(pod: &Pod, address: Ipv4Addr) -> String {
    let mut text = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n".to_owned();
    let name = hostname(pod);
    let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
    match pod.spec.as_ref().and_then(|s| s.subdomain.as_ref()) {
        Some(subdomain) => {
            let _ = writeln!(text, "{address}\t{name}.{subdomain}.{namespace}.svc.{CLUSTER_DOMAIN}\t{name}");
        }
        None => {
            let _ = writeln!(text, "{address}\t{name}");
        }
    }
    for alias in pod.spec.iter().flat_map(|s| s.host_aliases.iter().flatten()) {
        let _ = writeln!(
            text,
            "{}\t{}",
            alias.ip,
            alias.hostnames.iter().flatten().cloned().collect::<Vec<_>>().join("\t")
        );
    }
    text
}

/// `/etc/resolv.conf` of a pod.
pub(crate) fn resolv_conf(pod: &Pod, server: Ipv4Addr) -> String {
    let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
    let spec = pod.spec.as_ref();
    let (mut servers, mut searches, mut options) = (Vec::new(), Vec::new(), Vec::new());
    if spec.and_then(|s| s.dns_policy.as_deref()) != Some("None") {
        servers.push(server.to_string());
        searches.extend([
            format!("{namespace}.svc.{CLUSTER_DOMAIN}"),
            format!("svc.{CLUSTER_DOMAIN}"),
            CLUSTER_DOMAIN.to_owned(),
        ]);
        options.push("ndots:5".to_owned());
    }
    if let Some(own) = spec.and_then(|s| s.dns_config.as_ref()) {
        servers.extend(own.nameservers.iter().flatten().cloned());
        searches.extend(own.searches.iter().flatten().cloned());
        for option in own.options.iter().flatten() {
            let name = option.name.clone().unwrap_or_default();
            options.retain(|o| o.split(':').next() != Some(name.as_str()));
            options.push(option.value.as_ref().map_or(name.clone(), |value| format!("{name}:{value}")));
        }
    }
    let mut text = String::new();
    if !searches.is_empty() {
        let _ = writeln!(text, "search {}", searches.join(" "));
    }
    for server in servers {
        let _ = writeln!(text, "nameserver {server}");
    }
    if !options.is_empty() {
        let _ = writeln!(text, "options {}", options.join(" "));
    }
    text
}

/// Limits of memory and CPU.
pub(crate) fn limits(container: &Container) -> Limits {
    let resources = container.resources.clone().unwrap_or_default();
    let read = |map: &Option<std::collections::BTreeMap<String, _>>, name: &str| {
        let quantity: Option<&k8s_openapi::apimachinery::pkg::api::resource::Quantity> =
            map.as_ref().and_then(|m| m.get(name));
        quantity.and_then(|q| super::resources::milli(&q.0)).and_then(|m| u64::try_from(m).ok())
    };
    Limits {
        memory: read(&resources.limits, "memory").map(|m| m / 1000),
        cpu_milli: read(&resources.limits, "cpu"),
        cpu_request_milli: read(&resources.requests, "cpu"),
    }
}

/// Whether a pod can have users of its own (where Seaway can give it any): it does not ask for the host's
/// (`hostUsers: true`) and names none that its range lacks. Where Kubernetes' default are the host's users, ours are the
/// pod's: there is no node that could not do it.
pub(crate) fn has_own_users(pod: &Pod) -> bool {
    host_users(pod) != Some(true) && names_own_users(pod)
}

fn host_users(pod: &Pod) -> Option<bool> {
    pod.spec.as_ref().and_then(|spec| spec.host_users)
}

/// Why a pod's users are the host's, if it did not ask for that.
pub(crate) fn why_host_users(pod: &Pod) -> Option<&'static str> {
    if host_users(pod) == Some(true) {
        return None;
    }
    Some(match names_own_users(pod) {
        true => "this host cannot give a pod users of its own (Linux 5.19, user.max_user_namespaces)",
        false => "the pod names a user or group above 65535",
    })
}

/// Whether all users and groups that the pod names are among those that it can have for its own.
fn names_own_users(pod: &Pod) -> bool {
    let Some(spec) = &pod.spec else { return true };
    let pod_wide = spec.security_context.clone().unwrap_or_default();
    let ids = [pod_wide.run_as_user, pod_wide.run_as_group, pod_wide.fs_group];
    let mut ids: Vec<i64> = ids.into_iter().flatten().collect();
    ids.extend(pod_wide.supplemental_groups.iter().flatten());
    let contexts = spec.init_containers.iter().flatten().chain(&spec.containers).map(|c| &c.security_context);
    let ephemeral = spec.ephemeral_containers.iter().flatten().map(|c| &c.security_context);
    for context in contexts.chain(ephemeral).flatten() {
        ids.extend([context.run_as_user, context.run_as_group].into_iter().flatten());
    }
    ids.iter().all(|id| *id <= i64::from(u16::MAX))
}

/// Why the sandbox cannot run a pod at all.
pub(crate) fn unsupported(pod: &Pod) -> Option<String> {
    let spec = pod.spec.as_ref()?;
    let says =
        |name: &str| Some(format!("{name} is not possible: the sandbox keeps pods apart from the host"));
    if spec.host_network == Some(true) {
        return says("hostNetwork");
    }
    if spec.host_pid == Some(true) {
        return says("hostPID");
    }
    if spec.host_ipc == Some(true) {
        return says("hostIPC");
    }
    if spec.host_users == Some(false) && !names_own_users(pod) {
        let problem = "hostUsers: false is not possible with users and groups above 65535 (runAsUser, runAsGroup, \
                       fsGroup, supplementalGroups)";
        return Some(problem.to_owned());
    }
    if spec.os.as_ref().is_some_and(|os| os.name != "linux") {
        return Some("this node runs Linux containers only".to_owned());
    }
    None
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::image::ImageConfig;
    use serde_json::json;

    fn spec_of(container: serde_json::Value, pod_spec: serde_json::Value) -> Result<ContainerSpec> {
        let mut pod = json!({"metadata": {"name": "p", "namespace": "n", "uid": "u"}, "spec": pod_spec});
        pod["spec"]["containers"] = json!([container]);
        let pod: Pod = serde_json::from_value(pod).unwrap();
        let list = |items: &[&str]| Some(items.iter().map(|s| (*s).to_owned()).collect());
        let image = Image {
            reference: "i".to_owned(),
            digest: String::new(),
            id: String::new(),
            config: ImageConfig {
                env: list(&["PATH=/bin", "A=image"]),
                entrypoint: list(&["/entry"]),
                cmd: list(&["default"]),
                working_dir: Some("/work".to_owned()),
                user: Some("web".to_owned()),
                stop_signal: None,
            },
            layers: Vec::new(),
            size: 0,
        };
        container_spec(&Material {
            pod: &pod,
            container: &pod.spec.as_ref().unwrap().containers[0],
            image: &image,
            found: &Found::default(),
            services: &ServiceTable::default(),
            volumes: &PodVolumes::default(),
            folders: &PodFolders { root: PathBuf::from("/pods/x") },
            facts: PodFacts { host: Ipv4Addr::LOCALHOST, address: None },
            run: 0,
        })
    }

    #[test]
    fn command_and_args_replace_what_the_image_says_as_in_kubernetes() {
        let argv = |container| spec_of(container, json!({})).unwrap().process.argv;
        assert_eq!(argv(json!({"name": "c"})), ["/entry", "default"]);
        assert_eq!(argv(json!({"name": "c", "args": ["x"]})), ["/entry", "x"]);
        assert_eq!(argv(json!({"name": "c", "command": ["/own"]})), ["/own"]);
        let with_env =
            json!({"name": "c", "command": ["/own"], "args": ["$(B)"], "env": [{"name": "B", "value": "b"}]});
        assert_eq!(argv(with_env), ["/own", "b"]);
    }

    #[test]
    fn own_variables_win_over_the_images() {
        let spec = spec_of(json!({"name": "c", "env": [{"name": "A", "value": "own"}]}), json!({})).unwrap();
        let values: Vec<_> =
            spec.process.env.iter().filter(|(n, _)| n == "A").map(|(_, v)| v.as_str()).collect();
        assert_eq!(values, ["own"]);
        assert!(spec.process.env.contains(&("HOSTNAME".to_owned(), "p".to_owned())));
        assert_eq!((spec.process.user.as_str(), spec.process.working_dir.as_str()), ("web", "/work"));
    }

    #[test]
    fn what_a_sandbox_cannot_keep_is_refused() {
        let refused = |container, pod| spec_of(container, pod).unwrap_err().to_string();
        let privileged = json!({"name": "c", "securityContext": {"privileged": true}});
        assert!(refused(privileged, json!({})).contains("privileged"));
        let non_root = json!({"securityContext": {"runAsNonRoot": true}});
        assert_eq!(
            refused(json!({"name": "c"}), non_root.clone()),
            "container has runAsNonRoot and image has non-numeric user (web), cannot verify user is non-root \
             (pod: \"p_n(u)\", container: c)"
        );
        let root = json!({"name": "c", "securityContext": {"runAsUser": 0}});
        assert!(
            refused(root, non_root.clone()).starts_with("container's runAsUser breaks non-root policy (pod:")
        );
        assert!(spec_of(json!({"name": "c", "securityContext": {"runAsUser": 7}}), non_root).is_ok());
        let up = json!({"name": "c", "volumeMounts": [{"name": "v", "mountPath": "/v", "subPath": "../x"}]});
        assert!(spec_of(up, json!({})).is_err());
    }

    #[test]
    fn a_pod_has_users_of_its_own_unless_it_names_others() {
        let of = |spec| has_own_users(&serde_json::from_value(json!({"spec": spec})).unwrap());
        assert!(of(json!({"containers": [{"name": "c", "securityContext": {"runAsUser": 65_535}}]})));
        assert!(!of(json!({"containers": [], "hostUsers": true})));
        assert!(!of(json!({"containers": [{"name": "c", "securityContext": {"runAsUser": 65_536}}]})));
        assert!(!of(json!({"containers": [], "securityContext": {"supplementalGroups": [1, 100_000]}})));
    }

    #[test]
    fn a_pod_that_must_have_users_of_its_own_is_told_when_it_cannot() {
        let pod = |spec| -> Pod { serde_json::from_value(json!({"spec": spec})).unwrap() };
        let of = |host_users: Option<bool>, group: i64| {
            let security = json!({"fsGroup": group});
            pod(json!({"containers": [], "hostUsers": host_users, "securityContext": security}))
        };
        assert!(unsupported(&of(Some(false), 65_536)).unwrap().contains("hostUsers: false"));
        for fine in [of(Some(false), 65_535), of(None, 65_536), of(Some(true), 65_536)] {
            assert_eq!(unsupported(&fine), None);
        }
        assert!(why_host_users(&of(None, 65_536)).unwrap().contains("above 65535"));
        assert!(why_host_users(&of(None, 1)).unwrap().contains("this host"));
        assert_eq!(why_host_users(&of(Some(true), 65_536)), None);
    }

    #[test]
    fn names_are_searched_in_the_pods_namespace_first() {
        let pod = json!({"metadata": {"name": "p", "namespace": "n"}, "spec": {"containers": [], "subdomain": "s",
            "dnsConfig": {"options": [{"name": "ndots", "value": "2"}]}, "hostAliases": [{"ip": "1.2.3.4", "hostnames": ["x"]}]}});
        let pod: Pod = serde_json::from_value(pod).unwrap();
        assert_eq!(
            resolv_conf(&pod, Ipv4Addr::new(10, 244, 0, 1)),
            "search n.svc.cluster.local svc.cluster.local cluster.local\nnameserver 10.244.0.1\noptions ndots:2\n"
        );
        let hosts = hosts_file(&pod, Ipv4Addr::new(10, 244, 0, 2));
        assert!(hosts.contains("10.244.0.2\tp.s.n.svc.cluster.local\tp\n") && hosts.contains("1.2.3.4\tx\n"));
    }
}
