//! How things are printed: aligned columns, or JSON, YAML and names for programs.

use std::io::{ErrorKind, IsTerminal, Write};

use jiff::{Timestamp, Unit};
use miette::{IntoDiagnostic, WrapErr};
use seaway_sync::HealthStatus;
use seaway_sync::plan::ObjectRef;
use seaway_sync::view::{Outcome, SyncStatus};
use serde::Serialize;

/// How to print.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(in crate::commands) enum Format {
    /// Columns for people
    #[default]
    Table,
    /// More columns for people
    Wide,
    /// JSON, with keys that stay
    Json,
    /// The same as YAML
    Yaml,
    /// Names alone
    Name,
}

/// Prints a value for programs.
pub(in crate::commands) fn document(format: Format, value: &impl Serialize) -> miette::Result<String> {
    let value = serde_json::to_value(value).into_diagnostic()?;
    Ok(match format {
        Format::Yaml => seaway_object::yaml::to_string(&value),
        _ => serde_json::to_string_pretty(&value).into_diagnostic()? + "\n",
    })
}

/// Writes to standard output. A reader that has seen enough (`| head`) is no error.
pub(in crate::commands) fn print(text: &str) -> miette::Result<()> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        result => result.into_diagnostic().wrap_err("standard output cannot be written"),
    }
}

/// The meaning of a text, which becomes its colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::commands) enum Tone {
    Plain,
    Good,
    Busy,
    Bad,
    Faint,
}

/// A text with its meaning.
#[derive(Clone, Debug)]
pub(in crate::commands) struct Cell(pub(in crate::commands) String, pub(in crate::commands) Tone);

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        Self(text.to_owned(), Tone::Plain)
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Self(text, Tone::Plain)
    }
}

impl From<Option<&str>> for Cell {
    fn from(text: Option<&str>) -> Self {
        text.filter(|text| !text.is_empty()).unwrap_or("-").into()
    }
}

impl From<SyncStatus> for Cell {
    fn from(status: SyncStatus) -> Self {
        let tone = match status {
            SyncStatus::Synced => Tone::Good,
            SyncStatus::OutOfSync => Tone::Busy,
            SyncStatus::Unknown => Tone::Bad,
        };
        Self(status.as_str().to_owned(), tone)
    }
}

impl From<HealthStatus> for Cell {
    fn from(status: HealthStatus) -> Self {
        let tone = match status {
            HealthStatus::Healthy => Tone::Good,
            HealthStatus::Suspended | HealthStatus::Progressing => Tone::Busy,
            HealthStatus::Missing | HealthStatus::Degraded | HealthStatus::Unknown => Tone::Bad,
        };
        Self(status.as_str().to_owned(), tone)
    }
}

impl From<Outcome> for Cell {
    fn from(outcome: Outcome) -> Self {
        let (word, tone) = match outcome {
            Outcome::Running => ("Running", Tone::Busy),
            Outcome::Succeeded => ("Succeeded", Tone::Good),
            Outcome::Failed => ("Failed", Tone::Bad),
            Outcome::Superseded => ("Superseded", Tone::Faint),
            Outcome::Cancelled => ("Cancelled", Tone::Bad),
        };
        Self(word.to_owned(), tone)
    }
}

/// Whether to colour: only for people, and not for those who do not want it (no-color.org).
#[derive(Clone, Copy, Debug)]
pub(in crate::commands) struct Paint(bool);

impl Paint {
    pub(in crate::commands) fn for_stdout() -> Self {
        Self(std::io::stdout().is_terminal() && Self::wanted())
    }

    pub(in crate::commands) fn for_stderr() -> Self {
        Self(std::io::stderr().is_terminal() && Self::wanted())
    }

    #[cfg(test)]
    pub(in crate::commands) fn never() -> Self {
        Self(false)
    }

    fn wanted() -> bool {
        std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
            && std::env::var_os("TERM").is_none_or(|value| value != "dumb")
    }

    pub(in crate::commands) fn text(self, text: &str, tone: Tone) -> String {
        let code = match tone {
            _ if !self.0 => return text.to_owned(),
            Tone::Plain => return text.to_owned(),
            Tone::Good => "32",
            Tone::Busy => "33",
            Tone::Bad => "31",
            Tone::Faint => "2",
        };
        format!("\u{1b}[{code}m{text}\u{1b}[0m")
    }

    pub(in crate::commands) fn cell(self, cell: impl Into<Cell>) -> String {
        let Cell(text, tone) = cell.into();
        self.text(&printable(&text), tone)
    }
}

/// Text of others without what would move the cursor or colour the terminal; lines become one.
pub(in crate::commands) fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// Columns as kubectl aligns them: as wide as their widest cell, three spaces between, nothing behind the last.
pub(in crate::commands) fn table(paint: Paint, head: &[&str], rows: &[Vec<Cell>]) -> String {
    let width = |text: &str| text.chars().count();
    let rows: Vec<Vec<Cell>> = rows
        .iter()
        .map(|row| row.iter().map(|Cell(text, tone)| Cell(printable(text), *tone)).collect())
        .collect();
    let widths: Vec<usize> = head
        .iter()
        .enumerate()
        .map(|(column, name)| {
            let cells = rows.iter().filter_map(|row| row.get(column)).map(|cell| width(&cell.0));
            cells.max().unwrap_or_default().max(width(name))
        })
        .collect();
    let line = |cells: &mut dyn Iterator<Item = (&str, Tone)>| {
        let mut line = String::new();
        let mut gap = 0;
        for ((text, tone), columns) in cells.zip(&widths) {
            // Spaces are written before the next text only: none are left at the end of a line.
            if !text.is_empty() {
                line.push_str(&" ".repeat(gap));
                line.push_str(&paint.text(text, tone));
                gap = 0;
            }
            gap += columns - width(text) + 3;
        }
        line + "\n"
    };
    let mut text = line(&mut head.iter().map(|name| (*name, Tone::Plain)));
    for row in &rows {
        text.push_str(&line(&mut row.iter().map(|Cell(text, tone)| (text.as_str(), *tone))));
    }
    text
}

/// How long ago, as kubectl prints ages: `12s`, `5m`, `3h`, `2d`.
pub(in crate::commands) fn age(time: Timestamp, now: Timestamp) -> String {
    duration(u64::try_from(now.duration_since(time).as_secs()).unwrap_or_default())
}

pub(in crate::commands) fn duration(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds}s"),
        120..7200 => format!("{}m", seconds / 60),
        7200..172_800 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    }
}

/// A length of time: `380ms`, `2.4s`, `5m`.
pub(in crate::commands) fn milliseconds(milliseconds: u64) -> String {
    match milliseconds {
        0..1000 => format!("{milliseconds}ms"),
        1000..120_000 => format!("{}.{}s", milliseconds / 1000, milliseconds % 1000 / 100),
        _ => duration(milliseconds / 1000),
    }
}

/// The time of day here, for lines that follow each other.
pub(in crate::commands) fn clock(time: Timestamp) -> String {
    let here = time.to_zoned(jiff::tz::TimeZone::system());
    here.round(Unit::Second).unwrap_or(here).strftime("%H:%M:%S").to_string()
}

/// A time in full.
pub(in crate::commands) fn moment(time: Timestamp) -> String {
    time.round(Unit::Second).unwrap_or(time).to_string()
}

/// `Deployment.apps shop/web`.
pub(in crate::commands) fn object(object: &ObjectRef) -> String {
    let dot = if object.group.is_empty() { "" } else { "." };
    let name = match &object.namespace {
        Some(namespace) => format!("{namespace}/{}", object.name),
        None => object.name.clone(),
    };
    format!("{}{dot}{} {name}", object.kind, object.group)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_lines_end_with_text() {
        let rows = vec![
            vec!["a".into(), "longer".into(), "".into()],
            vec!["bcdefg".into(), "ü".into(), "x\ny".into()],
        ];
        let expected = "NAME     SYNC     MESSAGE\na        longer\nbcdefg   ü        x y\n";
        assert_eq!(table(Paint(false), &["NAME", "SYNC", "MESSAGE"], &rows), expected);
        let coloured = table(Paint(true), &["SYNC"], &[vec![SyncStatus::Synced.into()]]);
        assert_eq!(coloured, "SYNC\n\u{1b}[32mSynced\u{1b}[0m\n");
    }

    #[test]
    fn ages_are_short() {
        let now: Timestamp = "2024-01-03T00:00:00Z".parse().unwrap();
        for (time, expected) in [
            ("2024-01-02T23:59:01Z", "59s"),
            ("2024-01-02T23:00:00Z", "60m"),
            ("2024-01-02T00:00:00Z", "24h"),
            ("2023-12-03T00:00:00Z", "31d"),
            ("2024-01-03T00:00:09Z", "0s"),
        ] {
            assert_eq!(age(time.parse().unwrap(), now), expected);
        }
        assert_eq!([380, 2440, 300_000].map(milliseconds), ["380ms", "2.4s", "5m"]);
    }

    #[test]
    fn texts_of_others_cannot_steer_the_terminal() {
        assert_eq!(printable("a\u{1b}[2Jb\rc"), "a [2Jb c");
    }
}
