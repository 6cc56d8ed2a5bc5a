//! Registry passwords: the content of `kubernetes.io/dockerconfigjson` Secrets.

use base64::Engine as _;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fmt;

/// A user and a password for a registry. Never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Login {
    /// The user's name.
    pub username: String,
    /// The password or token.
    pub password: String,
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Login(…)")
    }
}

impl Login {
    /// The value of an `Authorization` header.
    pub(crate) fn basic(&self) -> String {
        let pair = format!("{}:{}", self.username, self.password);
        format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(pair))
    }
}

/// Logins by registry, or by registry and the beginning of the repository's path.
#[derive(Clone, Debug, Default)]
pub struct Credentials {
    logins: BTreeMap<String, Login>,
}

#[derive(Deserialize)]
struct DockerConfig {
    #[serde(default)]
    auths: BTreeMap<String, Auth>,
}

#[derive(Deserialize)]
struct Auth {
    username: Option<String>,
    password: Option<String>,
    auth: Option<String>,
}

impl Credentials {
    /// Adds the logins of a `.dockerconfigjson`; entries that make no sense are left out, as the kubelet does.
    pub fn add_docker_config(&mut self, json: &[u8]) -> bool {
        let Ok(config) = serde_json::from_slice::<DockerConfig>(json) else { return false };
        for (key, auth) in config.auths {
            let login = match (auth.username, auth.password, auth.auth) {
                (Some(username), Some(password), _) => Login { username, password },
                (_, _, Some(encoded)) => {
                    let decoded = base64::engine::general_purpose::STANDARD.decode(encoded.trim());
                    let Some((username, password)) = decoded
                        .ok()
                        .and_then(|bytes| String::from_utf8(bytes).ok())
                        .and_then(|pair| pair.split_once(':').map(|(u, p)| (u.to_owned(), p.to_owned())))
                    else {
                        continue;
                    };
                    Login { username, password }
                }
                _ => continue,
            };
            self.logins.insert(normalise(&key), login);
        }
        true
    }

    /// Adds one login for a registry.
    pub fn add(&mut self, registry: &str, login: Login) {
        self.logins.insert(normalise(registry), login);
    }

    /// The login with the longest matching path.
    pub(crate) fn find(&self, registry: &str, repository: &str) -> Option<&Login> {
        let mut path = format!("{registry}/{repository}");
        loop {
            if let Some(login) = self.logins.get(&path) {
                return Some(login);
            }
            path.truncate(path.rfind('/')?);
        }
    }
}

/// `https://index.docker.io/v1/` and its kin become `docker.io`.
fn normalise(key: &str) -> String {
    let key = key.trim_start_matches("https://").trim_start_matches("http://").trim_end_matches('/');
    let key = key.trim_end_matches("/v1").trim_end_matches("/v2");
    match key {
        "index.docker.io" | "registry-1.docker.io" => "docker.io".to_owned(),
        other => other.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_matching_path_wins_and_nothing_prints_a_password() {
        let mut credentials = Credentials::default();
        let json = br#"{"auths":{"https://index.docker.io/v1/":{"auth":"dTpw"},"r.io":{"username":"a","password":"b"},"r.io/team":{"username":"t","password":"hunter2"}}}"#;
        assert!(credentials.add_docker_config(json));
        assert_eq!(credentials.find("docker.io", "library/x").map(|l| l.username.as_str()), Some("u"));
        assert_eq!(credentials.find("r.io", "team/x").map(|l| l.username.as_str()), Some("t"));
        assert_eq!(credentials.find("r.io", "teams").map(|l| l.username.as_str()), Some("a"));
        assert_eq!(credentials.find("else.io", "x"), None);
        assert!(!format!("{credentials:?}").contains("hunter2"));
    }
}
