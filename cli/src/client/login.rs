//! The login that `seaway login` keeps: one server, one person, for its owner's eyes alone.

use std::io::{ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use miette::{IntoDiagnostic, WrapErr, miette};
use serde_json::{Value, json};

use super::target::Token;
use super::url::Url;

/// Format of the file.
const VERSION: u64 = 1;

/// Who has logged in where. The token is for that server alone.
#[derive(Debug)]
pub(crate) struct Login {
    pub(crate) server: Url,
    pub(crate) user: String,
    pub(crate) token: Token,
}

/// Where it lies (XDG base directory specification).
fn file() -> miette::Result<PathBuf> {
    let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let folder = absolute("XDG_CONFIG_HOME").or_else(|| Some(std::env::home_dir()?.join(".config")));
    folder.map(|folder| folder.join("seaway/login.json")).ok_or_else(|| {
        miette!(help = "set HOME", "no folder for the login: neither XDG_CONFIG_HOME nor HOME is set")
    })
}

/// The login that is kept, if there is one.
pub(crate) fn read() -> miette::Result<Option<Login>> {
    match file() {
        Ok(file) => read_from(&file),
        // Where nothing could be kept, nothing is.
        Err(_) => Ok(None),
    }
}

fn read_from(file: &Path) -> miette::Result<Option<Login>> {
    let text = match std::fs::read_to_string(file) {
        Ok(text) => text,
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            return Ok(None);
        }
        Err(error) => {
            return Err(error)
                .into_diagnostic()
                .wrap_err_with(|| format!("the login {} cannot be read", file.display()));
        }
    };
    parse(&text).map(Some).map_err(|why| {
        miette!(
            help = "log in again with `seaway login`, or remove the file",
            "the login {} cannot be used: {why}",
            file.display()
        )
    })
}

/// What is wrong with the text is not quoted: it holds a token.
fn parse(text: &str) -> Result<Login, String> {
    let value: Value = serde_json::from_str(text).map_err(|_| "it is damaged")?;
    match value["version"].as_u64() {
        Some(VERSION) => {}
        Some(newer) if newer > VERSION => return Err("a newer release of seaway has written it".to_owned()),
        _ => return Err("it is damaged".to_owned()),
    }
    let field = |name: &str| {
        let text = value[name].as_str().filter(|text| !text.is_empty());
        text.map(str::to_owned).ok_or_else(|| format!("it has no {name}"))
    };
    let server = Url::parse(&field("server")?).map_err(|error| error.to_string())?;
    Ok(Login { server, user: field("user")?, token: Token::new(field("token")?) })
}

impl Login {
    /// Keeps it in place of the one before.
    pub(crate) fn keep(&self) -> miette::Result<()> {
        let file = file()?;
        self.write(&file)
            .into_diagnostic()
            .wrap_err_with(|| format!("the login {} cannot be written", file.display()))
    }

    /// For its owner alone, whole or not at all.
    fn write(&self, file: &Path) -> std::io::Result<()> {
        if let Some(folder) = file.parent() {
            std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        }
        let value = json!({"version": VERSION, "server": self.server.to_string(), "user": self.user,
            "token": self.token.expose()});
        // Of two logins at once neither writes into the other's file.
        let temporary = file.with_extension(format!("new-{}", std::process::id()));
        let _ = std::fs::remove_file(&temporary);
        let write = || {
            let mut opened =
                std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
            writeln!(opened, "{value:#}")?;
            opened.sync_all()?;
            std::fs::rename(&temporary, file)
        };
        write().inspect_err(|_| drop(std::fs::remove_file(&temporary)))
    }
}

/// Forgets the login that is kept.
pub(crate) fn forget() -> miette::Result<()> {
    let file = file()?;
    match std::fs::remove_file(&file) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).into_diagnostic().wrap_err_with(|| format!("{} cannot be removed", file.display()))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn login(server: &str) -> Login {
        Login { server: Url::parse(server).unwrap(), user: "ada".into(), token: Token::new("swy_secret") }
    }

    #[test]
    fn a_login_is_kept_for_its_owner_alone_and_replaced_as_a_whole() {
        let temporary = tempfile::tempdir().unwrap();
        let file = temporary.path().join("config/seaway/login.json");
        assert!(read_from(&file).unwrap().is_none());
        login("http://127.0.0.1:7420").write(&file).unwrap();
        login("https://seaway.example.com").write(&file).unwrap();
        let kept = read_from(&file).unwrap().unwrap();
        assert_eq!((kept.server.to_string(), &*kept.user), ("https://seaway.example.com:443".into(), "ada"));
        assert_eq!(kept.token.expose(), "swy_secret");
        assert!(!format!("{kept:?}").contains("secret"));
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&file), mode(file.parent().unwrap())), (0o600, 0o700));
        assert_eq!(std::fs::read_dir(file.parent().unwrap()).unwrap().count(), 1, "nothing is left over");
    }

    #[test]
    fn what_cannot_be_used_is_said_without_quoting_it() {
        let good =
            json!({"version": 1, "server": "http://127.0.0.1:1", "user": "ada", "token": "swy_secret"});
        assert!(parse(&good.to_string()).is_ok());
        for (field, value) in [
            ("version", json!(2)),
            ("version", json!("1")),
            ("server", json!("ftp://x")),
            ("token", json!("")),
        ] {
            let mut bad = good.clone();
            bad[field] = value;
            let why = parse(&bad.to_string()).unwrap_err();
            assert!(!why.contains("secret"), "{why}");
        }
        assert_eq!(parse("swy_secret").unwrap_err(), "it is damaged");
    }
}
