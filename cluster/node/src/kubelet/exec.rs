//! Commands beside a container's program, and its own streams.

use super::{Node, run};
use crate::error::{Error, Result};
use crate::logs::LogOptions;
use crate::sandbox::{Exit, Process, Streams};
use futures::StreamExt;
use std::os::fd::{AsRawFd, OwnedFd};
use tokio::io::AsyncWriteExt;
use tokio::net::unix::pipe;

/// A command to run in a container.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExecOptions {
    /// Program and arguments.
    pub command: Vec<String>,
    /// Its standard input is wanted.
    pub stdin: bool,
    /// Its streams are a terminal; there is no separate error stream then.
    pub tty: bool,
}

/// A command that runs in a container. It goes on when this is dropped; a terminal hangs up.
#[derive(Debug)]
pub struct Exec {
    /// To its standard input, when wanted; drop it to end the input.
    pub stdin: Option<pipe::Sender>,
    /// Its standard output, or its terminal. A terminal may end with an error instead of an end of file.
    pub stdout: pipe::Receiver,
    /// Its standard error, without a terminal.
    pub stderr: Option<pipe::Receiver>,
    process: Process,
    terminal: Option<OwnedFd>,
}

impl Exec {
    /// Waits for its end.
    pub async fn wait(&self) -> Exit {
        self.process.wait().await
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: i32) {
        self.process.signal(signal);
    }

    /// Tells its terminal the size of the window. Without a terminal nothing happens.
    pub fn resize(&self, columns: u16, rows: u16) -> std::io::Result<()> {
        self.resizer().map_or(Ok(()), |resizer| resizer?.resize(columns, rows))
    }

    /// Takes the streams apart from the process, so that both can be waited for at the same time: standard input,
    /// standard output, standard error, and the future of its end.
    #[allow(clippy::type_complexity)]
    pub fn into_parts(
        self,
    ) -> (
        Option<pipe::Sender>,
        pipe::Receiver,
        Option<pipe::Receiver>,
        impl Future<Output = Exit> + Send + use<>,
    ) {
        let Self { stdin, stdout, stderr, process, terminal } = self;
        let end = async move {
            let exit = process.wait().await;
            drop(terminal);
            exit
        };
        (stdin, stdout, stderr, end)
    }

    /// A handle that resizes while the streams are used elsewhere; `None` without a terminal.
    pub fn resizer(&self) -> Option<std::io::Result<Resizer>> {
        self.terminal.as_ref().map(|terminal| terminal.try_clone().map(Resizer))
    }
}

/// Changes the size of a terminal's window.
#[derive(Debug)]
pub struct Resizer(OwnedFd);

impl Resizer {
    /// Tells the terminal the size of the window.
    #[allow(unsafe_code)]
    pub fn resize(&self, columns: u16, rows: u16) -> std::io::Result<()> {
        let size = libc::winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        // SAFETY: the ioctl reads one winsize, which lives until it returns.
        let result = unsafe { libc::ioctl(self.0.as_raw_fd(), libc::TIOCSWINSZ, &raw const size) };
        nix::errno::Errno::result(result).map(drop).map_err(Into::into)
    }
}

impl Node {
    /// Runs a command in a running container.
    pub async fn exec(
        &self,
        namespace: &str,
        pod: &str,
        container: &str,
        options: ExecOptions,
    ) -> Result<Exec> {
        let key = self.shared.key(namespace, pod)?;
        let missing =
            || Error::NotFound { what: format!("running container \"{container}\" of pod \"{pod}\"") };
        let live = self.shared.with_live(&key, container, |l| (l.process.clone(), l.sandbox.clone()));
        let (main, sandbox) = live.ok_or_else(missing)?;
        let (spec, joins) = self.shared.exec_spec(&key, container, options.command, options.tty)?;
        let fail =
            |e: std::io::Error| Error::Start { container: container.to_owned(), problem: e.to_string() };
        if options.tty {
            let (streams, terminal) = Streams::terminal().map_err(fail)?;
            let process = sandbox.exec(&main, spec, streams, joins).await?;
            let terminal = terminal.receive().await.map_err(fail)?;
            let stdin = match options.stdin {
                true => Some(run::terminal_writer(terminal.try_clone().map_err(fail)?).map_err(fail)?),
                false => None,
            };
            let stdout = run::terminal_reader(terminal.try_clone().map_err(fail)?).map_err(fail)?;
            return Ok(Exec { stdin, stdout, stderr: None, process, terminal: Some(terminal) });
        }
        let (stdout, output) = run::output_pipe().map_err(fail)?;
        let (stderr, error) = run::output_pipe().map_err(fail)?;
        let (input, stdin) = match options.stdin {
            true => run::input_pipe().map(|(input, stdin)| (input, Some(stdin))).map_err(fail)?,
            false => (std::fs::File::open("/dev/null").map_err(fail)?.into(), None),
        };
        let process = sandbox.exec(&main, spec, Streams::Files(input, output, error), joins).await?;
        Ok(Exec { stdin, stdout, stderr: Some(stderr), process, terminal: None })
    }

    /// Joins the streams of a container's own program: its output from now on, and its input when it has one
    /// (`stdin: true`); with `stdinOnce: true` that ends with this session. Output and errors come as one stream.
    pub async fn attach(&self, namespace: &str, pod: &str, container: &str, stdin: bool) -> Result<Exec> {
        let key = self.shared.key(namespace, pod)?;
        let fail =
            |e: std::io::Error| Error::Start { container: container.to_owned(), problem: e.to_string() };
        let live = self.shared.with_live(&key, container, |live| {
            let input = match live.stdin_once && stdin {
                true => Ok(live.stdin.take()),
                false => live.stdin.as_ref().map(OwnedFd::try_clone).transpose(),
            };
            (live.process.clone(), input, live.terminal)
        });
        let missing =
            || Error::NotFound { what: format!("running container \"{container}\" of pod \"{pod}\"") };
        let (process, input, is_terminal) = live.ok_or_else(missing)?;
        let input = input.map_err(fail)?;
        let terminal = match &input {
            Some(terminal) if is_terminal => Some(terminal.try_clone().map_err(fail)?),
            _ => None,
        };
        let stdin = match input.filter(|_| stdin) {
            Some(input) => Some(run::terminal_writer(input).map_err(fail)?),
            None => None,
        };
        let options = LogOptions { follow: true, tail: Some(0), ..LogOptions::default() };
        let mut lines = self.logs(namespace, pod, container, options)?;
        let (output, stdout) = run::input_pipe().map_err(fail)?;
        let mut output_end = stdout;
        let stdout = pipe::Receiver::from_owned_fd(output).map_err(fail)?;
        tokio::spawn(async move {
            while let Some(Ok(line)) = lines.next().await {
                if output_end.write_all(&line).await.is_err() {
                    return;
                }
            }
        });
        Ok(Exec { stdin, stdout, stderr: None, process, terminal })
    }
}
