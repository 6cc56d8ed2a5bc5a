//! Container logs on disk, in the format of the container runtime interface: `<time> <stream> <F|P> <text>`.
//!
//! A container's folder holds `<restart>.log` for each run and older parts of it as `<restart>.log.<number>`.

use crate::error::{Error, Result};
use bytes::Bytes;
use futures::stream::BoxStream;
use jiff::Timestamp;
use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::sync::{mpsc, watch};

/// Longer lines are written in parts.
const MAX_LINE: usize = 16 * 1024;
/// A line is read back with its time and stream before it.
const MAX_STORED_LINE: u64 = MAX_LINE as u64 + 256;

/// How much of a run's log is kept.
#[derive(Clone, Copy, Debug)]
pub struct Rotation {
    /// A file that has grown to so many bytes is put away.
    pub bytes: u64,
    /// Files of one run, the current one included.
    pub files: u32,
}

impl Default for Rotation {
    fn default() -> Self {
        Self { bytes: 10 << 20, files: 5 }
    }
}

/// What of a log is wanted (`PodLogOptions`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogOptions {
    /// Go on while the container runs.
    pub follow: bool,
    /// The last lines only.
    pub tail: Option<u64>,
    /// From this time on.
    pub since: Option<Timestamp>,
    /// The run before the current one.
    pub previous: bool,
    /// Each line begins with its time.
    pub timestamps: bool,
    /// No more bytes than this.
    pub limit_bytes: Option<u64>,
}

/// Where a run's log goes.
#[derive(Debug)]
pub(crate) struct LogFile {
    path: PathBuf,
    file: tokio::fs::File,
    size: u64,
    parts: u32,
    rotation: Rotation,
    /// Counts writes, for readers that follow; closed with the run.
    written: watch::Sender<u64>,
}

impl LogFile {
    pub(crate) async fn create(folder: &Path, restart: i32, rotation: Rotation) -> Result<Self> {
        tokio::fs::create_dir_all(folder).await.map_err(Error::io("make", folder))?;
        let path = folder.join(format!("{restart}.log"));
        let file = open(&path).await?;
        Ok(Self { path, file, size: 0, parts: 0, rotation, written: watch::Sender::new(0) })
    }

    pub(crate) fn watch(&self) -> watch::Receiver<u64> {
        self.written.subscribe()
    }

    async fn write(&mut self, lines: &[u8]) -> Result<()> {
        if self.size > 0 && self.size + lines.len() as u64 > self.rotation.bytes {
            self.parts += 1;
            let old = part(&self.path, self.parts);
            self.file.flush().await.map_err(Error::io("write", &self.path))?;
            tokio::fs::rename(&self.path, &old).await.map_err(Error::io("rename", &self.path))?;
            if self.parts >= self.rotation.files {
                let _ = tokio::fs::remove_file(part(&self.path, self.parts + 1 - self.rotation.files)).await;
            }
            self.file = open(&self.path).await?;
            self.size = 0;
        }
        self.file.write_all(lines).await.map_err(Error::io("write", &self.path))?;
        self.file.flush().await.map_err(Error::io("write", &self.path))?;
        self.size += lines.len() as u64;
        self.written.send_modify(|count| *count += 1);
        Ok(())
    }
}

async fn open(path: &Path) -> Result<tokio::fs::File> {
    let options = std::fs::OpenOptions::new().create(true).append(true).clone();
    tokio::fs::OpenOptions::from(options).open(path).await.map_err(Error::io("open", path))
}

fn part(path: &Path, number: u32) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{number:06}"));
    PathBuf::from(name)
}

/// Copies a container's streams to its log until both end.
pub(crate) async fn collect(
    mut log: LogFile,
    output: impl AsyncRead + Unpin + Send + 'static,
    error: Option<impl AsyncRead + Unpin + Send + 'static>,
    now: fn() -> Timestamp,
) {
    let (sender, mut lines) = mpsc::channel::<Vec<u8>>(16);
    tokio::spawn(split(output, "stdout", sender.clone(), now));
    if let Some(error) = error {
        tokio::spawn(split(error, "stderr", sender.clone(), now));
    }
    drop(sender);
    while let Some(chunk) = lines.recv().await {
        if let Err(e) = log.write(&chunk).await {
            // The container must not stop because its log cannot be written: what follows is dropped.
            tracing::warn!(error = %e, "a container's log is lost");
        }
    }
}

/// Reads one stream and sends its lines, formatted.
async fn split(
    mut stream: impl AsyncRead + Unpin,
    name: &'static str,
    lines: mpsc::Sender<Vec<u8>>,
    now: fn() -> Timestamp,
) {
    let mut pending: Vec<u8> = Vec::new();
    let mut buffer = vec![0; 32 * 1024];
    loop {
        // A terminal's end is an error, a pipe's is none.
        let read = stream.read(&mut buffer).await.unwrap_or(0);
        pending.extend_from_slice(&buffer[..read]);
        let time = now();
        let mut formatted = Vec::new();
        let mut add = |text: &[u8], tag: char| {
            formatted.extend_from_slice(format!("{time:.9} {name} {tag} ").as_bytes());
            formatted.extend_from_slice(text);
            formatted.push(b'\n');
        };
        let mut start = 0;
        loop {
            let rest = &pending[start..];
            let window = &rest[..rest.len().min(MAX_LINE)];
            match window.iter().position(|b| *b == b'\n') {
                Some(end) => {
                    add(&rest[..end], 'F');
                    start += end + 1;
                }
                None if rest.len() >= MAX_LINE => {
                    add(&rest[..MAX_LINE], 'P');
                    start += MAX_LINE;
                }
                None => break,
            }
        }
        pending.drain(..start);
        if read == 0 && !pending.is_empty() {
            add(&pending, 'F');
            pending.clear();
        }
        if !formatted.is_empty() && lines.send(formatted).await.is_err() {
            return;
        }
        if read == 0 {
            return;
        }
    }
}

/// Reads a run's log. `written` is the watch of a run that still goes on.
pub(crate) fn read(
    folder: &Path,
    restart: i32,
    options: LogOptions,
    written: Option<watch::Receiver<u64>>,
) -> BoxStream<'static, std::io::Result<Bytes>> {
    let path = folder.join(format!("{restart}.log"));
    let (sender, receiver) = mpsc::channel::<std::io::Result<Bytes>>(16);
    let from_now = options.follow && options.tail == Some(0);
    // Opened now: who follows from the end on misses nothing that is written before the task has its turn.
    let opened = open_to_read(&path, from_now);
    tokio::spawn(async move {
        let left = options.limit_bytes;
        let mut reader = LogReader { path, options, from_now, partial: false, left };
        let read = async { reader.run(opened?, &sender, written).await };
        if let Err(e) = read.await {
            let _ = sender.send(Err(e)).await;
        }
    });
    Box::pin(futures::stream::unfold(receiver, |mut receiver| async {
        receiver.recv().await.map(|item| (item, receiver))
    }))
}

/// A log from its beginning or its end on; `None` when there is none.
fn open_to_read(path: &Path, at_end: bool) -> std::io::Result<Option<BufReader<std::fs::File>>> {
    let mut file = match std::fs::File::open(path) {
        Ok(file) => file,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(e),
    };
    if at_end {
        file.seek(SeekFrom::End(0))?;
    }
    Ok(Some(BufReader::new(file)))
}

struct LogReader {
    path: PathBuf,
    options: LogOptions,
    /// Nothing of what was there when it was opened.
    from_now: bool,
    /// The last piece had no end of line.
    partial: bool,
    left: Option<u64>,
}

impl LogReader {
    async fn run(
        &mut self,
        mut current: Option<BufReader<std::fs::File>>,
        sender: &mpsc::Sender<std::io::Result<Bytes>>,
        mut written: Option<watch::Receiver<u64>>,
    ) -> std::io::Result<()> {
        if let Some(written) = &mut written {
            written.borrow_and_update();
        }
        // What is there: older parts, then the file itself, which stays open and is followed even when put away.
        let mut last: VecDeque<Vec<u8>> = VecDeque::new();
        let older = if self.from_now { Vec::new() } else { older_parts(&self.path)? };
        if self.from_now {
            self.options.tail = None;
        }
        for path in older {
            let Ok(file) = std::fs::File::open(&path) else { continue }; // Removed meanwhile.
            self.drain(&mut BufReader::new(file), &mut last, sender).await?;
        }
        if let Some(file) = &mut current {
            self.drain(file, &mut last, sender).await?;
        }
        for line in last {
            if !self.emit(&line, sender).await {
                return Ok(());
            }
        }
        self.options.tail = None;
        let Some(written) = written.as_mut().filter(|_| self.options.follow) else { return Ok(()) };
        let mut last = VecDeque::new();
        loop {
            let over = tokio::select! {
                changed = written.changed() => changed.is_err(),
                () = sender.closed() => return Ok(()),
            };
            if let Some(file) = &mut current {
                self.drain(file, &mut last, sender).await?;
            }
            // Rotated: the open file is another than the one of that name.
            use std::os::unix::fs::MetadataExt;
            if let Ok(newest) = std::fs::metadata(&self.path) {
                let open = current.as_ref().and_then(|f| f.get_ref().metadata().ok());
                if open.is_none_or(|open| open.ino() != newest.ino()) {
                    let mut file = BufReader::new(std::fs::File::open(&self.path)?);
                    self.drain(&mut file, &mut last, sender).await?;
                    current = Some(file);
                }
            }
            if over || self.left == Some(0) {
                return Ok(());
            }
        }
    }

    /// Takes all whole lines that are there: to the receiver, or into the last ones when a tail is wanted.
    async fn drain(
        &mut self,
        file: &mut BufReader<std::fs::File>,
        last: &mut VecDeque<Vec<u8>>,
        sender: &mpsc::Sender<std::io::Result<Bytes>>,
    ) -> std::io::Result<()> {
        loop {
            let mut line = Vec::new();
            let read = file.by_ref().take(MAX_STORED_LINE).read_until(b'\n', &mut line)?;
            if read == 0 {
                return Ok(());
            }
            if line.last() != Some(&b'\n') {
                // Half written: read again when the rest is there.
                file.seek(SeekFrom::Current(-(read as i64)))?;
                return Ok(());
            }
            match self.options.tail {
                Some(tail) => {
                    // Parts of a line are told apart only by the order; a tail counts stored lines.
                    last.push_back(line);
                    while last.len() as u64 > tail {
                        last.pop_front();
                    }
                }
                None => {
                    if !self.emit(&line, sender).await {
                        return Ok(());
                    }
                }
            }
        }
    }

    /// Sends a stored line as asked for; `false` when no more is wanted.
    async fn emit(&mut self, line: &[u8], sender: &mpsc::Sender<std::io::Result<Bytes>>) -> bool {
        let mut fields = line.splitn(4, |b| *b == b' ');
        let (Some(time), Some(_stream), Some(tag), Some(text)) =
            (fields.next(), fields.next(), fields.next(), fields.next())
        else {
            return true;
        };
        let time_text = String::from_utf8_lossy(time);
        if let Some(since) = self.options.since
            && time_text.parse::<Timestamp>().is_ok_and(|time| time < since)
        {
            return true;
        }
        let mut out = Vec::with_capacity(line.len());
        if self.options.timestamps && !self.partial {
            out.extend_from_slice(time);
            out.push(b' ');
        }
        self.partial = tag == b"P";
        out.extend_from_slice(if self.partial { text.strip_suffix(b"\n").unwrap_or(text) } else { text });
        if let Some(left) = &mut self.left {
            out.truncate(usize::try_from(*left).unwrap_or(usize::MAX));
            *left -= out.len() as u64;
        }
        let more = self.left != Some(0);
        sender.send(Ok(Bytes::from(out))).await.is_ok() && more
    }
}

fn older_parts(path: &Path) -> std::io::Result<Vec<PathBuf>> {
    let (Some(folder), Some(name)) = (path.parent(), path.file_name().and_then(|n| n.to_str())) else {
        return Ok(Vec::new());
    };
    let prefix = format!("{name}.");
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(e),
    };
    let mut parts: Vec<PathBuf> = entries
        .flatten()
        .filter(|e| e.file_name().to_str().is_some_and(|n| n.starts_with(&prefix)))
        .map(|e| e.path())
        .collect();
    parts.sort();
    Ok(parts)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use futures::StreamExt;
    use std::io::Write;

    const ROTATION: Rotation = Rotation { bytes: 200, files: 2 };

    fn now() -> Timestamp {
        "2026-01-02T03:04:05.678Z".parse().unwrap()
    }

    async fn text(folder: &Path, options: LogOptions) -> String {
        let mut stream = read(folder, 0, options, None);
        let mut text = Vec::new();
        while let Some(chunk) = stream.next().await {
            text.extend_from_slice(&chunk.unwrap());
        }
        String::from_utf8(text).unwrap()
    }

    async fn written(content: &[u8], rotation: Rotation) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let log = LogFile::create(folder.path(), 0, rotation).await.unwrap();
        collect(log, std::io::Cursor::new(content.to_vec()), None::<&[u8]>, now).await;
        folder
    }

    #[tokio::test]
    async fn lines_are_stored_with_time_and_stream_and_read_back_as_written() {
        let folder = written(b"one\ntwo\nno end", Rotation::default()).await;
        let stored = std::fs::read_to_string(folder.path().join("0.log")).unwrap();
        assert_eq!(stored.lines().next(), Some("2026-01-02T03:04:05.678000000Z stdout F one"));
        let all = LogOptions::default();
        assert_eq!(text(folder.path(), all.clone()).await, "one\ntwo\nno end\n");
        assert_eq!(text(folder.path(), LogOptions { tail: Some(1), ..all.clone() }).await, "no end\n");
        assert_eq!(text(folder.path(), LogOptions { tail: Some(0), ..all.clone() }).await, "");
        assert_eq!(text(folder.path(), LogOptions { limit_bytes: Some(5), ..all.clone() }).await, "one\nt");
        let stamped = text(folder.path(), LogOptions { timestamps: true, ..all.clone() }).await;
        assert!(stamped.starts_with("2026-01-02T03:04:05.678000000Z one\n"));
        let later = Some(now() + jiff::SignedDuration::from_secs(1));
        assert_eq!(text(folder.path(), LogOptions { since: later, ..all }).await, "");
    }

    #[tokio::test]
    async fn a_line_without_end_is_cut_in_parts_and_read_as_one() {
        let long = "x".repeat(40_000);
        let folder = written(format!("{long}\nshort\n").as_bytes(), Rotation::default()).await;
        let stored = std::fs::read_to_string(folder.path().join("0.log")).unwrap();
        assert_eq!(stored.lines().filter(|l| l.contains(" stdout P ")).count(), 2);
        let options = LogOptions { timestamps: true, ..LogOptions::default() };
        let read = text(folder.path(), options).await;
        assert_eq!(read.lines().count(), 2);
        assert!(read.contains(&long));
    }

    #[tokio::test]
    async fn old_parts_go_when_a_log_grows() {
        let folder = tempfile::tempdir().unwrap();
        let mut log = LogFile::create(folder.path(), 0, ROTATION).await.unwrap();
        for i in 0..20 {
            log.write(format!("2026-01-02T03:04:05Z stdout F line {i}\n").as_bytes()).await.unwrap();
        }
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2);
        let kept = text(folder.path(), LogOptions::default()).await;
        assert!(kept.ends_with("line 19\n") && !kept.contains("line 0\n"), "{kept}");
        let numbers: Vec<u32> = kept.lines().map(|l| l[5..].parse().unwrap()).collect();
        assert!(numbers.windows(2).all(|w| w[0] + 1 == w[1]), "{kept}");
    }

    #[tokio::test]
    async fn following_ends_with_the_run_and_loses_nothing_over_a_rotation() {
        let folder = tempfile::tempdir().unwrap();
        let mut log = LogFile::create(folder.path(), 0, ROTATION).await.unwrap();
        let options = LogOptions { follow: true, ..LogOptions::default() };
        let mut stream = read(folder.path(), 0, options, Some(log.watch()));
        let mut seen = String::new();
        for i in 0..10 {
            log.write(format!("2026-01-02T03:04:05Z stdout F {i}\n").as_bytes()).await.unwrap();
            seen.push_str(std::str::from_utf8(&stream.next().await.unwrap().unwrap()).unwrap());
        }
        drop(log);
        assert!(stream.next().await.is_none());
        assert_eq!(seen, "0\n1\n2\n3\n4\n5\n6\n7\n8\n9\n");
    }

    #[tokio::test]
    async fn a_damaged_log_is_read_as_far_as_it_makes_sense() {
        let folder = tempfile::tempdir().unwrap();
        let mut file = std::fs::File::create(folder.path().join("0.log")).unwrap();
        file.write_all(b"nonsense\n\xff\xfe\n2026-01-02T03:04:05Z stdout F good\nhalf").unwrap();
        assert_eq!(text(folder.path(), LogOptions::default()).await, "good\n");
    }
}
