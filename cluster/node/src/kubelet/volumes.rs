//! A pod's volumes as folders on this machine.
//!
//! Volumes with content of the API (ConfigMaps, Secrets, tokens, fields) are written so that a reader sees either the
//! old or the new content as a whole: into a new folder, to which the link `..data` is turned; each name in the volume
//! is a link through it.

use super::environment::{PodFacts, pod_field, resource_field};
use super::host_path::host_path;
use super::ownership::give_to_group;
use super::resources::milli;
use crate::error::{Error, Result};
use crate::image::remove_tree;
use k8s_openapi::api::authentication::v1::{BoundObjectReference, TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::{
    ConfigMap, DownwardAPIVolumeFile, KeyToPath, PersistentVolume, PersistentVolumeClaim, Pod, Secret,
    ServiceAccount, Volume, VolumeProjection,
};
use kube::api::{Api, Patch, PatchParams, PostParams};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::{Component, Path, PathBuf};
use std::time::{Duration, Instant};

/// All content of one volume.
const MAX_CONTENT: usize = 8 * 1024 * 1024;
/// A token is asked for anew when this part of its life is over.
const TOKEN_RENEWAL: f64 = 0.8;

/// Where volumes come from.
pub(crate) struct VolumeSources {
    pub(crate) client: kube::Client,
    /// Folder of persistent volume claims.
    pub(crate) claims: PathBuf,
    /// Folders of the host that pods may mount, with everything below.
    pub(crate) host_paths: Vec<PathBuf>,
    /// Tokens that are still young, by pod, account and audience.
    pub(crate) tokens: Mutex<BTreeMap<String, (String, Instant)>>,
}

/// The volumes of a pod that are ready to be mounted.
#[derive(Clone, Debug, Default)]
pub(crate) struct PodVolumes {
    /// Name → folder or file outside, and whether it may be written at all.
    pub(crate) folders: BTreeMap<String, (PathBuf, bool)>,
    /// Folders to mount a memory file system on, with a size (0: no limit).
    pub(crate) memory: Vec<(PathBuf, u64)>,
}

struct File {
    content: Vec<u8>,
    mode: u32,
}

impl VolumeSources {
    /// Makes or refreshes all volumes below `folder`. On a refresh, only content of the API is written.
    pub(crate) async fn prepare(
        &self,
        pod: &Pod,
        folder: &Path,
        facts: PodFacts,
        refresh: bool,
    ) -> Result<PodVolumes> {
        let spec = pod.spec.clone().unwrap_or_default();
        let group =
            spec.security_context.as_ref().and_then(|s| s.fs_group).and_then(|g| u32::try_from(g).ok());
        let mut volumes = PodVolumes::default();
        for volume in spec.volumes.iter().flatten() {
            let path = folder.join(&volume.name);
            let field = || format!("volume \"{}\"", volume.name);
            let fail = |problem: String| Error::Spec { field: field(), problem };
            if let Some((files, mode)) = self.content(pod, volume, facts).await? {
                let size: usize = files.values().map(|f| f.content.len()).sum();
                if size > MAX_CONTENT {
                    return Err(fail("holds more than 8 MiB".to_owned()));
                }
                write_content(&path, &files, mode, group)?;
                volumes.folders.insert(volume.name.clone(), (path, false));
            } else if refresh {
                continue;
            } else if let Some(empty) = &volume.empty_dir {
                make_folder(&path, 0o777, group)?;
                if empty.medium.as_deref() == Some("Memory") {
                    let size = empty.size_limit.as_ref().and_then(|q| milli(&q.0)).unwrap_or(0) / 1000;
                    volumes.memory.push((path.clone(), u64::try_from(size).unwrap_or(0)));
                }
                volumes.folders.insert(volume.name.clone(), (path, true));
            } else if let Some(claim) = &volume.persistent_volume_claim {
                let path = self.claim(pod, &claim.claim_name, group).await?;
                let writable = claim.read_only != Some(true);
                volumes.folders.insert(volume.name.clone(), (path, writable));
            } else if let Some(template) =
                volume.ephemeral.as_ref().and_then(|e| e.volume_claim_template.as_ref())
            {
                let _ = template; // The claim is made by a controller and is named after pod and volume.
                let name = format!("{}-{}", pod.metadata.name.as_deref().unwrap_or_default(), volume.name);
                let path = self.claim(pod, &name, group).await?;
                volumes.folders.insert(volume.name.clone(), (path, true));
            } else if let Some(host) = &volume.host_path {
                let path =
                    host_path(&self.host_paths, &volume.name, Path::new(&host.path), host.type_.as_deref())?;
                volumes.folders.insert(volume.name.clone(), (path, true));
            } else {
                return Err(fail(
                    "this kind of volume is not supported on one machine; use emptyDir, configMap, secret, \
                                 projected, downwardAPI or persistentVolumeClaim"
                        .to_owned(),
                ));
            }
        }
        Ok(volumes)
    }

    /// The files of a volume whose content comes from the API; `None` for other kinds.
    async fn content(
        &self,
        pod: &Pod,
        volume: &Volume,
        facts: PodFacts,
    ) -> Result<Option<(BTreeMap<String, File>, u32)>> {
        let mut files = BTreeMap::new();
        let mode = |mode: Option<i32>| mode.and_then(|m| u32::try_from(m).ok()).unwrap_or(0o644) & 0o777;
        let default = if let Some(source) = &volume.config_map {
            let name = &source.name;
            let default = mode(source.default_mode);
            self.config_map(pod, name, source.items.as_deref(), source.optional, default, &mut files).await?;
            default
        } else if let Some(source) = &volume.secret {
            let name = source.secret_name.as_deref().unwrap_or_default();
            let default = mode(source.default_mode);
            self.secret(pod, name, source.items.as_deref(), source.optional, default, &mut files).await?;
            default
        } else if let Some(source) = &volume.downward_api {
            let default = mode(source.default_mode);
            downward(pod, source.items.as_deref().unwrap_or_default(), default, facts, &mut files)?;
            default
        } else if let Some(source) = &volume.projected {
            let default = mode(source.default_mode);
            for projection in source.sources.iter().flatten() {
                self.projection(pod, projection, default, facts, &mut files).await?;
            }
            default
        } else {
            return Ok(None);
        };
        Ok(Some((files, default)))
    }

    async fn projection(
        &self,
        pod: &Pod,
        projection: &VolumeProjection,
        mode: u32,
        facts: PodFacts,
        files: &mut BTreeMap<String, File>,
    ) -> Result<()> {
        if let Some(source) = &projection.config_map {
            self.config_map(pod, &source.name, source.items.as_deref(), source.optional, mode, files).await?;
        }
        if let Some(source) = &projection.secret {
            self.secret(pod, &source.name, source.items.as_deref(), source.optional, mode, files).await?;
        }
        if let Some(source) = &projection.downward_api {
            downward(pod, source.items.as_deref().unwrap_or_default(), mode, facts, files)?;
        }
        if let Some(source) = &projection.service_account_token {
            let token = self.token(pod, source.audience.as_deref(), source.expiration_seconds).await?;
            insert(files, &source.path, token.into_bytes(), mode)?;
        }
        if projection.cluster_trust_bundle.is_some() || projection.pod_certificate.is_some() {
            return Err(Error::Spec {
                field: "projected volume".to_owned(),
                problem: "clusterTrustBundle and podCertificate are not supported".to_owned(),
            });
        }
        Ok(())
    }

    async fn config_map(
        &self,
        pod: &Pod,
        name: &str,
        items: Option<&[KeyToPath]>,
        optional: Option<bool>,
        mode: u32,
        files: &mut BTreeMap<String, File>,
    ) -> Result<()> {
        let api: Api<ConfigMap> = Api::namespaced(self.client.clone(), namespace(pod));
        let what = format!("configmap \"{name}\"");
        let Some(map) = api.get_opt(name).await.map_err(Error::api(format!("get {what}")))? else {
            return absent(&what, optional);
        };
        let mut data: BTreeMap<String, Vec<u8>> =
            map.data.unwrap_or_default().into_iter().map(|(k, v)| (k, v.into_bytes())).collect();
        data.extend(map.binary_data.unwrap_or_default().into_iter().map(|(k, v)| (k, v.0)));
        select(&what, &data, items, optional, mode, files)
    }

    async fn secret(
        &self,
        pod: &Pod,
        name: &str,
        items: Option<&[KeyToPath]>,
        optional: Option<bool>,
        mode: u32,
        files: &mut BTreeMap<String, File>,
    ) -> Result<()> {
        let api: Api<Secret> = Api::namespaced(self.client.clone(), namespace(pod));
        let what = format!("secret \"{name}\"");
        let Some(secret) = api.get_opt(name).await.map_err(Error::api(format!("get {what}")))? else {
            return absent(&what, optional);
        };
        let data: BTreeMap<String, Vec<u8>> =
            secret.data.unwrap_or_default().into_iter().map(|(k, v)| (k, v.0)).collect();
        select(&what, &data, items, optional, mode, files)
    }

    /// A token of the pod's account, bound to the pod.
    async fn token(&self, pod: &Pod, audience: Option<&str>, seconds: Option<i64>) -> Result<String> {
        let account = pod.spec.as_ref().and_then(|s| s.service_account_name.clone());
        let account = account.unwrap_or_else(|| "default".to_owned());
        let uid = pod.metadata.uid.clone().unwrap_or_default();
        let key = format!("{uid}/{account}/{}", audience.unwrap_or_default());
        if let Some((token, until)) = self.tokens.lock().get(&key)
            && Instant::now() < *until
        {
            return Ok(token.clone());
        }
        let seconds = seconds.unwrap_or(3600);
        let request = TokenRequest {
            spec: Some(TokenRequestSpec {
                audiences: Some(audience.map(str::to_owned).into_iter().collect()),
                expiration_seconds: Some(seconds),
                bound_object_ref: Some(BoundObjectReference {
                    api_version: Some("v1".to_owned()),
                    kind: Some("Pod".to_owned()),
                    name: pod.metadata.name.clone(),
                    uid: Some(uid),
                }),
                ..TokenRequestSpec::default()
            }),
            ..TokenRequest::default()
        };
        let api: Api<ServiceAccount> = Api::namespaced(self.client.clone(), namespace(pod));
        let answer = api
            .create_token_request(&account, &PostParams::default(), &request)
            .await
            .map_err(Error::api(format!("request a token of serviceaccount \"{account}\"")))?;
        let token = answer.status.and_then(|s| s.token).unwrap_or_default();
        let life = Duration::from_secs(u64::try_from(seconds).unwrap_or(3600)).mul_f64(TOKEN_RENEWAL);
        let mut tokens = self.tokens.lock();
        tokens.retain(|_, (_, until)| Instant::now() < *until);
        tokens.insert(key, (token.clone(), Instant::now() + life));
        Ok(token)
    }

    /// The folder of a claim. It is made at the first use and belongs to the claim's UID.
    async fn claim(&self, pod: &Pod, name: &str, group: Option<u32>) -> Result<PathBuf> {
        let what = format!("persistentvolumeclaim \"{name}\"");
        let fail = |problem: &str| Error::Spec { field: what.clone(), problem: problem.to_owned() };
        let api: Api<PersistentVolumeClaim> = Api::namespaced(self.client.clone(), namespace(pod));
        let claim = api.get_opt(name).await.map_err(Error::api(format!("get {what}")))?;
        let claim = claim.ok_or_else(|| fail("not found"))?;
        if claim.metadata.deletion_timestamp.is_some() {
            return Err(fail("is being deleted"));
        }
        if let Some(volume) =
            claim.spec.as_ref().and_then(|s| s.volume_name.clone()).filter(|v| !v.is_empty())
        {
            let volumes: Api<PersistentVolume> = Api::all(self.client.clone());
            let found = volumes
                .get_opt(&volume)
                .await
                .map_err(Error::api(format!("get persistentvolume \"{volume}\"")))?;
            let spec = found.and_then(|v| v.spec).unwrap_or_default();
            let path = spec.host_path.map(|h| h.path).or(spec.local.map(|l| l.path));
            if let Some(path) = path {
                return host_path(&self.host_paths, name, Path::new(&path), Some("DirectoryOrCreate"));
            }
        }
        let uid = claim.metadata.uid.clone().filter(|u| uuid::Uuid::parse_str(u).is_ok());
        let path = self.claims.join(uid.ok_or_else(|| fail("has no UID"))?);
        let made = !path.exists();
        if made {
            make_folder(&path, 0o777, group)?;
        }
        if let (Some(group), false) = (group, made) {
            let security = pod.spec.as_ref().and_then(|spec| spec.security_context.as_ref());
            let policy = security.and_then(|security| security.fs_group_change_policy.as_deref());
            let (path, once) = (path.clone(), policy == Some("OnRootMismatch"));
            let given = tokio::task::spawn_blocking(move || give_to_group(&path, group, once)).await;
            given.map_err(|_| fail("could not be given to the pod's group"))??;
        }
        let phase = claim.status.as_ref().and_then(|s| s.phase.as_deref());
        if phase != Some("Bound") {
            let spec = claim.spec.unwrap_or_default();
            let storage = spec.resources.and_then(|r| r.requests).unwrap_or_default();
            let status = serde_json::json!({"status": {
                "phase": "Bound", "accessModes": spec.access_modes, "capacity": storage}});
            // What holds the data is the folder; that the API does not say so yet is no reason to wait.
            let patched = api.patch_status(name, &PatchParams::default(), &Patch::Merge(status)).await;
            if let Err(e) = patched {
                tracing::debug!(claim = name, error = %e, "the claim's status could not be written");
            }
        }
        Ok(path)
    }
}

fn namespace(pod: &Pod) -> &str {
    pod.metadata.namespace.as_deref().unwrap_or("default")
}

fn absent(what: &str, optional: Option<bool>) -> Result<()> {
    match optional {
        Some(true) => Ok(()),
        _ => Err(Error::Spec { field: what.to_owned(), problem: "not found".to_owned() }),
    }
}

/// The keys that a volume wants, at the paths that it wants them.
fn select(
    what: &str,
    data: &BTreeMap<String, Vec<u8>>,
    items: Option<&[KeyToPath]>,
    optional: Option<bool>,
    mode: u32,
    files: &mut BTreeMap<String, File>,
) -> Result<()> {
    let Some(items) = items.filter(|items| !items.is_empty()) else {
        for (key, content) in data {
            insert(files, key, content.clone(), mode)?;
        }
        return Ok(());
    };
    for item in items {
        let mode = item.mode.and_then(|m| u32::try_from(m).ok()).unwrap_or(mode) & 0o777;
        match data.get(&item.key) {
            Some(content) => insert(files, &item.path, content.clone(), mode)?,
            None if optional == Some(true) => {}
            None => {
                let problem = format!("references non-existent config key: {}", item.key);
                return Err(Error::Spec { field: what.to_owned(), problem });
            }
        }
    }
    Ok(())
}

fn downward(
    pod: &Pod,
    items: &[DownwardAPIVolumeFile],
    mode: u32,
    facts: PodFacts,
    files: &mut BTreeMap<String, File>,
) -> Result<()> {
    for item in items {
        let value = if let Some(field) = &item.field_ref {
            pod_field(pod, &field.field_path, facts).ok_or_else(|| Error::Spec {
                field: field.field_path.clone(),
                problem: "unsupported field path".to_owned(),
            })?
        } else if let Some(field) = &item.resource_field_ref {
            resource_field(pod, "", field)?
        } else {
            continue;
        };
        let mode = item.mode.and_then(|m| u32::try_from(m).ok()).unwrap_or(mode) & 0o777;
        insert(files, &item.path, value.into_bytes(), mode)?;
    }
    Ok(())
}

fn insert(files: &mut BTreeMap<String, File>, path: &str, content: Vec<u8>, mode: u32) -> Result<()> {
    let relative = Path::new(path);
    let good = !path.is_empty()
        && !path.starts_with("..")
        && relative.components().all(|c| matches!(c, Component::Normal(_)));
    if !good {
        return Err(Error::Spec {
            field: path.to_owned(),
            problem: "must be a path below the volume".to_owned(),
        });
    }
    files.insert(path.to_owned(), File { content, mode });
    Ok(())
}

fn make_folder(path: &Path, mode: u32, group: Option<u32>) -> Result<()> {
    std::fs::create_dir_all(path).map_err(Error::io("make", path))?;
    if let Some(group) = group {
        // An ordinary user cannot give files away, and needs not: all users of a pod are that user.
        let _ = chown(path, None, Some(group));
    }
    let mode = if group.is_some() { mode | 0o2000 } else { mode };
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).map_err(Error::io("open up", path))
}

fn write_content(
    folder: &Path,
    files: &BTreeMap<String, File>,
    _mode: u32,
    group: Option<u32>,
) -> Result<()> {
    let link = folder.join("..data");
    let current = std::fs::read_link(&link).ok().map(|l| folder.join(l));
    if current.as_ref().is_some_and(|current| same_content(current, files)) {
        return Ok(());
    }
    if !folder.exists() {
        make_folder(folder, 0o755, None)?;
    }
    let name = format!("..{}", uuid::Uuid::new_v4().simple());
    let fresh = folder.join(&name);
    make_folder(&fresh, 0o755, None)?;
    for (path, file) in files {
        let path = fresh.join(path);
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent).map_err(Error::io("make", parent))?;
        }
        std::fs::write(&path, &file.content).map_err(Error::io("write", &path))?;
        let mut mode = file.mode;
        if let Some(group) = group {
            let _ = chown(&path, None, Some(group));
            mode |= 0o040;
        }
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode))
            .map_err(Error::io("open up", &path))?;
    }
    let turned = folder.join("..data_tmp");
    let _ = std::fs::remove_file(&turned);
    symlink(&name, &turned).map_err(Error::io("link", &turned))?;
    std::fs::rename(&turned, &link).map_err(Error::io("link", &link))?;
    let tops: Vec<&str> = files.keys().map(|k| k.split('/').next().unwrap_or(k)).collect();
    for top in &tops {
        let visible = folder.join(top);
        if std::fs::symlink_metadata(&visible).is_err() {
            symlink(Path::new("..data").join(top), &visible).map_err(Error::io("link", &visible))?;
        }
    }
    for entry in std::fs::read_dir(folder).map_err(Error::io("list", folder))?.flatten() {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if !name.starts_with("..") && !tops.contains(&name.as_ref()) {
            std::fs::remove_file(entry.path()).map_err(Error::io("remove", entry.path()))?;
        }
    }
    match current {
        Some(old) => remove_tree(&old),
        None => Ok(()),
    }
}

fn same_content(folder: &Path, files: &BTreeMap<String, File>) -> bool {
    fn count(folder: &Path) -> usize {
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        entries.map(|e| if e.file_type().is_ok_and(|t| t.is_dir()) { count(&e.path()) } else { 1 }).sum()
    }
    count(folder) == files.len()
        && files.iter().all(|(path, file)| std::fs::read(folder.join(path)).is_ok_and(|c| c == file.content))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn files(list: &[(&str, &str)]) -> BTreeMap<String, File> {
        let mut files = BTreeMap::new();
        for (path, content) in list {
            insert(&mut files, path, content.as_bytes().to_vec(), 0o644).unwrap();
        }
        files
    }

    #[test]
    fn content_changes_as_a_whole_and_old_names_go() {
        let folder = tempfile::tempdir().unwrap();
        let volume = folder.path().join("v");
        write_content(&volume, &files(&[("a", "1"), ("sub/b", "2")]), 0o644, None).unwrap();
        assert_eq!(std::fs::read(volume.join("sub/b")).unwrap(), b"2");
        let first = std::fs::read_link(volume.join("..data")).unwrap();
        write_content(&volume, &files(&[("a", "1"), ("sub/b", "2")]), 0o644, None).unwrap();
        assert_eq!(std::fs::read_link(volume.join("..data")).unwrap(), first, "rewritten without need");
        write_content(&volume, &files(&[("a", "3")]), 0o644, None).unwrap();
        assert_eq!(std::fs::read(volume.join("a")).unwrap(), b"3");
        assert!(!volume.join("sub").exists() && !volume.join(&first).exists());
    }

    #[test]
    fn names_cannot_leave_the_volume() {
        let mut files = BTreeMap::new();
        for bad in ["", "../x", "/x", "a/../b", "..data"] {
            assert!(insert(&mut files, bad, Vec::new(), 0o644).is_err(), "{bad}");
        }
    }
}
