//! `seaway backup` and `seaway restore` of a data folder.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use jiff::Timestamp;
use miette::{IntoDiagnostic, WrapErr, miette};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _};

use super::env::output::print;
use super::up;
use crate::archive::{self, Manifest, Writer};

/// The databases, in this order: what remembers of the cluster may be newer than the cluster, as after a crash, and not
/// the other way.
const DATABASES: [&str; 3] = [API_DATABASE, LEDGER, "accounts.db"];
/// That of the Kubernetes API.
const API_DATABASE: &str = "apiserver.db";
/// That of history.
const LEDGER: &str = "ledger.db";
/// What is there besides, and is not made anew by itself.
const FOLDERS: [&str; 4] = ["environments", "pki", "demo", "node/claims"];

/// Options of `seaway backup`.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  seaway backup seaway-$(date +%F).tar.gz
  seaway backup --data-dir /var/lib/seaway /backup/seaway.tar.gz

It can run while Seaway does: each database is copied as of one moment, the volumes of pods file by
file. Images and mirrors of repositories are left out: they are fetched again. History that
`seaway serve --database` keeps outside of the folder is left out as well: copy that file. The archive
holds keys and password hashes, and is written for its owner alone.")]
pub(crate) struct BackupOptions {
    /// File to write; it must not exist
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Folder of `seaway up` or `seaway serve` [default: $XDG_DATA_HOME/seaway]
    #[arg(long, env = "SEAWAY_DATA_DIR", value_name = "DIR")]
    data_dir: Option<PathBuf>,
}

/// Options of `seaway restore`.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  seaway restore seaway-2026-01-02.tar.gz
  seaway restore --data-dir /var/lib/seaway /backup/seaway.tar.gz

The folder must not exist, or be empty. It appears whole or not at all; a file that is damaged or made
by a newer release is refused.")]
pub(crate) struct RestoreOptions {
    /// File that `seaway backup` has written
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Folder to make [default: $XDG_DATA_HOME/seaway]
    #[arg(long, env = "SEAWAY_DATA_DIR", value_name = "DIR")]
    data_dir: Option<PathBuf>,
}

/// Writes the archive.
pub(crate) async fn backup(options: &BackupOptions) -> miette::Result<ExitCode> {
    let folder = up::data_dir(options.data_dir.as_deref())?;
    if !DATABASES.iter().any(|name| folder.join(name).is_file()) {
        return Err(miette!(
            help = "name the folder of `seaway up` or `seaway serve` with --data-dir",
            "{} is no data folder of Seaway",
            folder.display()
        ));
    }
    if options.file.exists() {
        return Err(miette!(help = "choose another name", "{} exists already", options.file.display()));
    }
    let mut writer = Writer::create(&options.file, Timestamp::now()).into_diagnostic()?;
    for name in DATABASES {
        let database = folder.join(name);
        if !database.is_file() {
            continue;
        }
        // Beside the archive: a temporary folder may be memory.
        let copy = options.file.with_added_extension(name);
        let copied =
            copy_database(&database, &copy).await.and_then(|()| writer.file(name, &copy).into_diagnostic());
        let _ = std::fs::remove_file(&copy);
        copied.wrap_err_with(|| format!("{} could not be copied", database.display()))?;
        progress(name);
    }
    if !folder.join(LEDGER).is_file() {
        eprintln!(
            "note: {} holds no {LEDGER}: history that `seaway serve --database` keeps elsewhere is not in the backup; copy \
             that file as any SQLite database",
            folder.display()
        );
    }
    for name in FOLDERS {
        let from = folder.join(name);
        if from.is_dir() {
            writer.folder(name, &from).into_diagnostic()?;
            progress(name);
        }
    }
    let manifest = writer.finish().into_diagnostic()?;
    print(&summary("wrote", &options.file, &manifest))?;
    Ok(ExitCode::SUCCESS)
}

/// A copy as of one moment, whoever writes meanwhile (SQLite, `VACUUM INTO`).
async fn copy_database(from: &Path, to: &Path) -> miette::Result<()> {
    let _ = std::fs::remove_file(to);
    // Made first, so that nobody else can read it at any time.
    use std::os::unix::fs::OpenOptionsExt;
    std::fs::File::options().write(true).create_new(true).mode(0o600).open(to).into_diagnostic()?;
    let options = SqliteConnectOptions::new()
        .filename(from)
        .create_if_missing(false)
        .busy_timeout(std::time::Duration::from_secs(30))
        .disable_statement_logging();
    let mut connection = options.connect().await.into_diagnostic()?;
    let name = to.to_str().ok_or_else(|| miette!("{} is no text", to.display()))?;
    sqlx::query("VACUUM INTO ?").bind(name).execute(&mut connection).await.into_diagnostic()?;
    connection.close().await.into_diagnostic()
}

/// Makes the folder.
pub(crate) async fn restore(options: &RestoreOptions) -> miette::Result<ExitCode> {
    let folder = up::data_dir(options.data_dir.as_deref())?;
    let is_empty =
        |folder: &Path| std::fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_none());
    if folder.exists() && !is_empty(&folder) {
        return Err(miette!(
            help = "move it away, or choose another folder with --data-dir",
            "{} is not empty",
            folder.display()
        ));
    }
    let refused = || format!("{} cannot be restored", options.file.display());
    let manifest = archive::check(&options.file).into_diagnostic().wrap_err_with(refused)?;
    if !DATABASES.iter().any(|name| manifest.files.contains_key(*name)) {
        return Err(miette!("there is no database in it").wrap_err(refused()));
    }
    let new = folder.with_added_extension("restoring");
    if new.exists() {
        // Of a restore that was interrupted.
        std::fs::remove_dir_all(&new).into_diagnostic()?;
    }
    if let Some(parent) = folder.parent() {
        std::fs::create_dir_all(parent).into_diagnostic()?;
    }
    if let Err(error) = archive::extract(&options.file, &new, &manifest) {
        let _ = std::fs::remove_dir_all(&new);
        return Err(error).into_diagnostic().wrap_err_with(refused);
    }
    if manifest.files.contains_key(API_DATABASE)
        && let Err(error) = seaway_apiserver::mark_restored(&new).await
    {
        let _ = std::fs::remove_dir_all(&new);
        return Err(error).into_diagnostic().wrap_err_with(refused);
    }
    let _ = std::fs::remove_dir(&folder);
    std::fs::rename(&new, &folder).into_diagnostic().wrap_err_with(refused)?;
    print(&summary("restored", &folder, &manifest))?;
    Ok(ExitCode::SUCCESS)
}

fn progress(name: &str) {
    if std::io::stderr().is_terminal() {
        eprintln!("copied {name}");
    }
}

fn summary(verb: &str, place: &Path, manifest: &Manifest) -> String {
    let bytes: u64 = manifest.files.values().map(|file| file.size).sum();
    format!(
        "{verb} {}: {} files, {bytes} bytes, of {} by release {}\n",
        place.display(),
        manifest.files.len(),
        super::env::output::moment(manifest.time),
        manifest.version
    )
}
