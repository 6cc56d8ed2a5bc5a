//! Repositories behind a real `sshd`: fetched and pushed to with the key of a Secret, by nobody else's.
#![allow(clippy::unwrap_used)]

mod support;

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use seaway_git::{Authentication, CredentialSet, Credentials, Error, Mirrors, RepositoryUrl};
use support::pushes::{files, shop, show, tip};
use support::{Repository, open, options, revision};

/// An ssh server of this user, on a free port of this machine.
struct Sshd {
    process: Child,
    port: u16,
    folder: tempfile::TempDir,
}

impl Sshd {
    /// `None` without the program.
    fn start() -> Option<Self> {
        let program = ["/usr/sbin/sshd", "/usr/bin/sshd", "/usr/local/sbin/sshd"].map(Path::new);
        let Some(program) = program.into_iter().find(|path| path.exists()) else {
            eprintln!("skipped: there is no sshd (Debian package openssh-server)");
            return None;
        };
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for name in ["host", "client", "stranger"] {
            keygen(&at(name));
        }
        std::fs::copy(at("client.pub"), at("authorized")).unwrap();
        // As root it separates its privileges, and insists on this folder.
        let _ = std::fs::create_dir_all("/run/sshd");
        // Somebody may take the port between finding it and using it.
        for _ in 0..20 {
            let port = TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port();
            let settings = format!(
                "ListenAddress 127.0.0.1:{port}\nHostKey {host}\nAuthorizedKeysFile {keys}\nPidFile none\nUsePAM no\n\
                 StrictModes no\nPasswordAuthentication no\nKbdInteractiveAuthentication no\nPermitRootLogin yes\n",
                host = at("host").display(),
                keys = at("authorized").display(),
            );
            std::fs::write(at("config"), settings).unwrap();
            let mut process = Command::new(program)
                .args(["-D", "-e", "-f"])
                .arg(at("config"))
                .stdin(Stdio::null())
                .stderr(std::fs::File::create(at("log")).unwrap())
                .spawn()
                .unwrap();
            loop {
                if std::net::TcpStream::connect(("127.0.0.1", port)).is_ok() {
                    return Some(Self { process, port, folder });
                }
                if process.try_wait().unwrap().is_some() {
                    break;
                }
                std::thread::sleep(std::time::Duration::from_millis(20));
            }
        }
        panic!("sshd does not start: {}", std::fs::read_to_string(folder.path().join("log")).unwrap());
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.folder.path().join(name)).unwrap()
    }

    fn url(&self, repository: &Repository) -> RepositoryUrl {
        let user = Command::new("id").arg("-un").output().unwrap().stdout;
        let user = String::from_utf8(user).unwrap();
        format!("ssh://{}@127.0.0.1:{}{}", user.trim(), self.port, repository.bare.display()).parse().unwrap()
    }

    /// Uses this key of ours, and these as the server's.
    fn set_credentials(&self, mirrors: &Mirrors, key: &str, host_key: &str) {
        let host_key = self.read(&format!("{host_key}.pub"));
        let authentication = Authentication::SshKey {
            private_key: self.read(key).into(),
            known_hosts: format!("[127.0.0.1]:{} {host_key}", self.port),
        };
        let credentials = Credentials { authentication: Some(authentication), ca: None };
        let mut set = CredentialSet::new();
        set.insert(&format!("ssh://127.0.0.1:{}", self.port), credentials).unwrap();
        mirrors.set_credentials(set);
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn keygen(path: &PathBuf) {
    let made = Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(path).status();
    assert!(made.unwrap().success());
}

#[tokio::test]
async fn a_repository_behind_ssh_is_fetched_and_pushed_to_with_the_key_of_its_secret() {
    let Some(sshd) = Sshd::start() else { return };
    let root = tempfile::tempdir().unwrap();
    let (repository, main, _) = shop(root.path());
    let data = tempfile::tempdir().unwrap();
    let mirrors = open(data.path(), options());
    let url = sshd.url(&repository);
    sshd.set_credentials(&mirrors, "client", "host");
    assert_eq!(mirrors.fetch(&url, &revision("main")).await.unwrap().id.as_str(), main);
    let pushed = mirrors.push(&url, files("seaway/prices", &[("price", Some("2"))])).await.unwrap();
    assert_eq!(tip(&repository, "seaway/prices"), pushed.commit.as_str());
    assert_eq!(show(&repository, "seaway/prices:price"), "2");
    assert_eq!(mirrors.ls_remote(&url, &revision("seaway/prices")).await.unwrap().id, pushed.commit);
    let left = std::fs::read_dir(data.path().join("secrets")).unwrap().count();
    assert_eq!(left, 0, "the key does not stay on disk");
}

#[tokio::test]
async fn an_ssh_server_that_is_not_the_known_one_gets_nothing() {
    let Some(sshd) = Sshd::start() else { return };
    let root = tempfile::tempdir().unwrap();
    let (repository, ..) = shop(root.path());
    let data = tempfile::tempdir().unwrap();
    let mirrors = open(data.path(), options());
    let url = sshd.url(&repository);
    sshd.set_credentials(&mirrors, "client", "stranger");
    let error = mirrors.fetch(&url, &revision("main")).await.unwrap_err();
    assert!(matches!(error, Error::UnknownHostKey { .. }), "{error:?}");
    assert!(!sshd.read("log").contains("Accepted publickey"), "it was not told who we are");

    sshd.set_credentials(&mirrors, "stranger", "host");
    let error = mirrors.fetch(&url, &revision("main")).await.unwrap_err();
    assert!(matches!(error, Error::Unauthorized { .. }), "{error:?}");
    let error = mirrors.push(&url, files("x", &[("price", Some("2"))])).await.unwrap_err();
    assert!(matches!(error, Error::Unauthorized { .. }), "{error:?}");
}
