//! `seaway.toml`: settings that are given neither as a flag nor as a variable.
//!
//! A key is the name of a flag that also has a variable: `data-dir`, `listen`, `server`. Above all tables it counts for
//! every command that has the flag, in a table for the command of that name. The file is
//! `$XDG_CONFIG_HOME/seaway/seaway.toml`, or the one of `--config` or `SEAWAY_CONFIG`; never one in the working directory,
//! which may be somebody else's.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::{Arg, Command};
use miette::{IntoDiagnostic, WrapErr, miette};
use toml::{Table, Value};

/// More bytes are not read.
const LARGEST: u64 = 1 << 20;

/// The command line with the file's settings as defaults.
pub(crate) fn with_file(command: Command, arguments: &[OsString]) -> miette::Result<Command> {
    match find(arguments)? {
        Some((path, text)) => with_text(command, &text)
            .wrap_err_with(|| format!("the settings in {} cannot be used", path.display())),
        None => Ok(command),
    }
}

fn find(arguments: &[OsString]) -> miette::Result<Option<(PathBuf, String)>> {
    let named = flag(arguments)
        .or_else(|| std::env::var_os("SEAWAY_CONFIG").filter(|value| !value.is_empty()))
        .map(PathBuf::from);
    let Some(path) = named.clone().or_else(usual) else { return Ok(None) };
    match read(&path) {
        Ok(text) => Ok(Some((path, text))),
        Err(error) if named.is_none() && error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        // Somebody else's home, as `sudo -u` may leave it in HOME: nothing there was meant for this user.
        Err(error)
            if named.is_none()
                && error.kind() == std::io::ErrorKind::PermissionDenied
                && path.parent().is_none_or(|folder| folder.metadata().is_err()) =>
        {
            Ok(None)
        }
        Err(error) => {
            Err(error).into_diagnostic().wrap_err_with(|| format!("{} cannot be read", path.display()))
        }
    }
}

fn read(path: &Path) -> std::io::Result<String> {
    use std::io::Read;
    let mut text = String::new();
    std::fs::File::open(path)?.take(LARGEST).read_to_string(&mut text)?;
    Ok(text)
}

/// The value of `--config`, which has to be known before the rest is understood.
fn flag(arguments: &[OsString]) -> Option<OsString> {
    let mut rest = arguments.iter().skip(1).take_while(|argument| *argument != "--");
    while let Some(argument) = rest.next() {
        if argument == "--config" {
            return rest.next().cloned();
        }
        if let Some(value) = argument.to_str().and_then(|text| text.strip_prefix("--config=")) {
            return Some(value.into());
        }
    }
    None
}

/// XDG base directory specification.
fn usual() -> Option<PathBuf> {
    let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let base = absolute("XDG_CONFIG_HOME").or_else(|| Some(absolute("HOME")?.join(".config")))?;
    Some(base.join("seaway/seaway.toml"))
}

fn with_text(command: Command, text: &str) -> miette::Result<Command> {
    let table: Table = text.parse().map_err(|error: toml::de::Error| miette!("{error}"))?;
    check(&command, &table)?;
    let mut command = command;
    let names: Vec<String> = command.get_subcommands().map(|sub| sub.get_name().to_owned()).collect();
    for name in names {
        let own = table.get(&name).and_then(Value::as_table).cloned().unwrap_or_default();
        let found =
            |key: &str| own.get(key).or_else(|| table.get(key)).filter(|value| !value.is_table()).cloned();
        command = command.mut_subcommand(name, |sub| set(sub, &found));
    }
    Ok(command)
}

/// Sets the defaults of a command and of all below it.
fn set(command: Command, found: &impl Fn(&str) -> Option<Value>) -> Command {
    let mut command = command;
    let settable: Vec<(clap::Id, Value)> = command
        .get_arguments()
        .filter_map(|argument| Some((argument.get_id().clone(), found(key(argument)?)?)))
        .collect();
    for (id, value) in settable {
        command = command.mut_arg(id, |argument| argument.default_values(texts(&value)));
    }
    let names: Vec<String> = command.get_subcommands().map(|sub| sub.get_name().to_owned()).collect();
    for name in names {
        command = command.mut_subcommand(name, |sub| set(sub, found));
    }
    command
}

/// The key of a flag that can be set: it has a variable.
fn key(argument: &Arg) -> Option<&str> {
    argument.get_env()?.to_str().filter(|name| name.starts_with("SEAWAY_") && *name != "SEAWAY_CONFIG")?;
    argument.get_long()
}

fn keys(command: &Command) -> Vec<String> {
    let own = command.get_arguments().filter_map(key).map(str::to_owned);
    own.chain(command.get_subcommands().flat_map(keys)).collect()
}

/// A key that nobody reads is a mistake.
fn check(command: &Command, table: &Table) -> miette::Result<()> {
    let known = keys(command);
    let refuse = |place: String, known: &[String]| {
        let mut known = known.to_vec();
        known.sort_unstable();
        known.dedup();
        Err(miette!(help = format!("settings are {}", known.join(", ")), "there is no setting {place}"))
    };
    for (name, value) in table {
        let Some(own) = value.as_table() else {
            if !known.contains(name) {
                return refuse(name.clone(), &known);
            }
            check_value(name, value)?;
            continue;
        };
        let Some(sub) = command.get_subcommands().find(|sub| sub.get_name() == name) else {
            return Err(miette!("there is no command {name}, for which [{name}] would be"));
        };
        let known = keys(sub);
        for (key, value) in own {
            if !known.contains(key) {
                return refuse(format!("{key} in [{name}]"), &known);
            }
            check_value(key, value)?;
        }
    }
    Ok(())
}

fn check_value(name: &str, value: &Value) -> miette::Result<()> {
    let plain = |value: &Value| !matches!(value, Value::Table(_) | Value::Array(_) | Value::Datetime(_));
    let good = match value {
        Value::Array(values) => !values.is_empty() && values.iter().all(plain),
        value => plain(value),
    };
    if good { Ok(()) } else { Err(miette!("{name} must be a text, a number, or a list of them")) }
}

fn texts(value: &Value) -> Vec<String> {
    match value {
        Value::Array(values) => values.iter().flat_map(texts).collect(),
        Value::String(text) => vec![text.clone()],
        Value::Integer(number) => vec![number.to_string()],
        Value::Float(number) => vec![number.to_string()],
        Value::Boolean(flag) => vec![flag.to_string()],
        // Refused before.
        Value::Datetime(_) | Value::Table(_) => Vec::new(),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn command() -> Command {
        let listen = || Arg::new("listen").long("listen").env("SEAWAY_TEST_UNSET").default_value("a:1");
        let layouts =
            Arg::new("layout").long("layout").env("SEAWAY_TEST_UNSET_2").num_args(1..).value_delimiter(',');
        let secret = Arg::new("token").long("token");
        Command::new("seaway")
            .subcommand(Command::new("up").arg(listen()).arg(layouts).arg(secret))
            .subcommand(Command::new("env").subcommand(Command::new("list").arg(listen())))
    }

    fn listen(text: &str, arguments: &[&str]) -> Result<Vec<String>, String> {
        let command = with_text(command(), text).map_err(|error| format!("{error:?}"))?;
        let mut matches = command.try_get_matches_from(arguments).map_err(|error| error.to_string())?;
        while let Some((_, sub)) = matches.remove_subcommand() {
            matches = sub;
        }
        let many =
            |id: &str| matches.try_get_many::<String>(id).ok().flatten().into_iter().flatten().cloned();
        Ok(many("listen").chain(many("layout")).collect())
    }

    #[test]
    fn a_flag_counts_before_the_file_and_the_file_before_the_default() {
        assert_eq!(listen("", &["seaway", "up"]).unwrap(), ["a:1"]);
        assert_eq!(listen("listen = 'b:2'", &["seaway", "up"]).unwrap(), ["b:2"]);
        assert_eq!(listen("listen = 'b:2'", &["seaway", "env", "list"]).unwrap(), ["b:2"]);
        assert_eq!(listen("listen = 'b:2'", &["seaway", "up", "--listen", "c:3"]).unwrap(), ["c:3"]);
        let both = "listen = 'b:2'\n[up]\nlisten = 'd:4'\nlayout = ['x', 'y']";
        assert_eq!(listen(both, &["seaway", "up"]).unwrap(), ["d:4", "x", "y"]);
        assert_eq!(listen(both, &["seaway", "env", "list"]).unwrap(), ["b:2"]);
    }

    #[test]
    fn what_nobody_reads_is_an_error() {
        for (text, part) in [
            ("lisen = 'b'", "there is no setting lisen"),
            ("[up]\nlisen = 'b'", "lisen in [up]"),
            ("[down]\nlisten = 'b'", "there is no command down"),
            ("token = 'no secrets in here'", "there is no setting token"),
            ("listen = {a = 1}", "there is no command listen"),
            ("listen = []", "must be a text"),
            ("listen = ", "TOML parse error at line 1"),
        ] {
            let error = listen(text, &["seaway", "up"]).unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
    }

    #[test]
    fn the_file_can_be_named() {
        let of = |arguments: &[&str]| flag(&arguments.iter().map(OsString::from).collect::<Vec<_>>());
        assert_eq!(of(&["seaway", "up", "--config", "a.toml"]), Some("a.toml".into()));
        assert_eq!(of(&["seaway", "--config=b.toml", "up"]), Some("b.toml".into()));
        assert_eq!(of(&["seaway", "up", "--", "--config", "a.toml"]), None);
    }
}
