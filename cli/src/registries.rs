//! Settings of `seaway up` about where images come from and what pods may mount.

use std::path::{Path, PathBuf};

use miette::{IntoDiagnostic, WrapErr, miette};
use seaway_node::image::{Credentials, RegistryOptions};

/// How registries are reached.
#[derive(clap::Args)]
pub(crate) struct Registries {
    /// Another registry that is asked before a registry, for example docker.io=mirror.example.com; can be repeated
    #[arg(long, env = "SEAWAY_REGISTRY_MIRROR", value_name = "REGISTRY=HOST", value_delimiter = ',')]
    registry_mirror: Vec<String>,
    /// File with certificates (PEM) to trust for a registry and its mirrors besides the system's; can be repeated
    #[arg(long, env = "SEAWAY_REGISTRY_CA", value_name = "REGISTRY=FILE", value_delimiter = ',')]
    registry_ca: Vec<String>,
    /// Registry that speaks HTTP without TLS, as those on loopback may; can be repeated
    #[arg(long, env = "SEAWAY_PLAIN_HTTP_REGISTRY", value_name = "REGISTRY", value_delimiter = ',')]
    plain_http_registry: Vec<String>,
    /// File with logins for all pods, such as ~/.docker/config.json; pods' own imagePullSecrets come before them
    #[arg(long, env = "SEAWAY_REGISTRY_AUTH", value_name = "FILE")]
    registry_auth: Option<PathBuf>,
}

impl Registries {
    /// The registries that need more than their name.
    pub(crate) fn options(&self) -> miette::Result<Vec<RegistryOptions>> {
        let mut all: Vec<RegistryOptions> = Vec::new();
        for text in &self.registry_mirror {
            let (host, mirror) = pair("--registry-mirror", text)?;
            of(&mut all, host).mirrors.push(mirror.to_owned());
        }
        for text in &self.registry_ca {
            let (host, file) = pair("--registry-ca", text)?;
            let file = std::path::absolute(file).into_diagnostic()?;
            if !file.is_file() {
                return Err(miette!("--registry-ca {text}: there is no file {}", file.display()));
            }
            of(&mut all, host).ca = Some(file);
        }
        for host in &self.plain_http_registry {
            of(&mut all, host).plain_http = true;
        }
        Ok(all)
    }

    /// The logins that every pull may use.
    pub(crate) fn credentials(&self) -> miette::Result<Credentials> {
        let mut credentials = Credentials::default();
        if let Some(file) = &self.registry_auth {
            let json = std::fs::read(file)
                .into_diagnostic()
                .wrap_err_with(|| format!("--registry-auth {} cannot be read", file.display()))?;
            if !credentials.add_docker_config(&json) {
                return Err(miette!(
                    help = "it has the form of ~/.docker/config.json, whose key \"auths\" holds a login for each registry",
                    "--registry-auth {} holds no logins",
                    file.display()
                ));
            }
        }
        Ok(credentials)
    }
}

fn pair<'a>(flag: &str, text: &'a str) -> miette::Result<(&'a str, &'a str)> {
    text.split_once('=')
        .filter(|(registry, value)| !registry.is_empty() && !value.is_empty())
        .ok_or_else(|| miette!(help = "write REGISTRY=VALUE", "{flag} {text:?} names no registry"))
}

fn of<'a>(all: &'a mut Vec<RegistryOptions>, host: &str) -> &'a mut RegistryOptions {
    let at = all.iter().position(|each| each.host == host).unwrap_or_else(|| {
        all.push(RegistryOptions { host: host.to_owned(), ..RegistryOptions::default() });
        all.len() - 1
    });
    &mut all[at]
}

/// Folders that pods may mount, as absolute paths.
pub(crate) fn host_paths(given: &[PathBuf]) -> miette::Result<Vec<PathBuf>> {
    let folder = |path: &PathBuf| {
        let path = std::path::absolute(path).into_diagnostic()?;
        if path == Path::new("/") {
            return Err(miette!("--host-path / would give pods everything; name the folders that they need"));
        }
        Ok(path)
    };
    given.iter().map(folder).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn registries(mirrors: &[&str], authorities: &[&str], plain: &[&str]) -> Registries {
        let list = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        Registries {
            registry_mirror: list(mirrors),
            registry_ca: list(authorities),
            plain_http_registry: list(plain),
            registry_auth: None,
        }
    }

    #[test]
    fn what_is_said_of_one_registry_comes_together() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("ca.pem");
        std::fs::write(&file, "").unwrap();
        let authority = format!("docker.io={}", file.display());
        let given = registries(&["docker.io=a.test", "docker.io=b.test:5000"], &[&authority], &["c.test"]);
        let [first, second]: [RegistryOptions; 2] = given.options().unwrap().try_into().unwrap();
        assert_eq!(
            (first.host.as_str(), first.mirrors),
            ("docker.io", vec!["a.test".into(), "b.test:5000".into()])
        );
        assert_eq!((first.ca, first.plain_http), (Some(file), false));
        assert_eq!((second.host.as_str(), second.plain_http), ("c.test", true));
    }

    #[test]
    fn a_mistake_names_the_flag() {
        let said = |given: Registries| given.options().unwrap_err().to_string();
        assert_eq!(
            said(registries(&["docker.io"], &[], &[])),
            "--registry-mirror \"docker.io\" names no registry"
        );
        assert!(
            said(registries(&[], &["a=/nonexistent/ca"], &[])).contains("there is no file /nonexistent/ca")
        );
        assert!(host_paths(&["/".into()]).is_err());
    }

    #[test]
    fn logins_are_read_as_docker_writes_them() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("config.json");
        let mut given = registries(&[], &[], &[]);
        given.registry_auth = Some(file.clone());
        assert!(given.credentials().unwrap_err().to_string().contains("cannot be read"));
        std::fs::write(&file, "nonsense").unwrap();
        assert!(given.credentials().unwrap_err().to_string().contains("holds no logins"));
        std::fs::write(&file, r#"{"auths": {"a.test": {"auth": "YW5uOnNlY3JldA=="}}}"#).unwrap();
        assert!(given.credentials().is_ok());
    }
}
