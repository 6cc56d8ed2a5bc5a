//! `seaway login` and `seaway logout`: as whom the other commands ask.

mod browser;

use std::process::ExitCode;

use miette::WrapErr;
use seaway_server::{Done, LoginRequest, TokenView};
use secrecy::ExposeSecret;

use super::env::output::{print, printable};
use super::question;
use crate::client::{Client, Login, Refused, ServerOptions, Token, counts_before_login, login};

/// Options of `seaway login`.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  seaway login
  seaway login --server https://seaway.example.com
  seaway login --no-browser
  seaway login --user ada
  pass show seaway | seaway login --user ada --password-stdin

Your browser asks whether this command line may act as you, also where you log in at a provider;
with --user the password of the account is asked for here instead. An account is made by an
administrator with `seaway account create`. The login is kept in $XDG_CONFIG_HOME/seaway/login.json, for you alone. It
ends when it is not used for twelve hours, after a week, and with `seaway logout`; it is only ever
sent to the server where you have logged in, over https or on this machine. While KUBECONFIG names
a kubeconfig whose context names a Seaway server, that counts before the login.")]
pub(crate) struct Options {
    /// Name of your account: it is asked for its password here, and no browser is needed
    #[arg(short, long, value_name = "NAME")]
    user: Option<String>,
    /// Read the password from standard input
    #[arg(long, requires = "user")]
    password_stdin: bool,
    /// Print the link for a browser on another machine, and read the code that it shows
    #[arg(long, conflicts_with = "user")]
    no_browser: bool,
    #[command(flatten)]
    server: ServerOptions,
}

/// Logs in and keeps that.
pub(crate) async fn log_in(options: &Options) -> miette::Result<ExitCode> {
    let client = Client::to_log_in(&options.server)?;
    let answer = match &options.user {
        None => browser::log_in(&client, !options.no_browser).await?,
        Some(name) => {
            let who = format!("{} at {}", printable(name), client.url());
            if options.password_stdin {
                eprintln!("Logging in as {who}.");
            }
            let password = question::password(&format!("Password for {who}: "), options.password_stdin)?;
            let request = LoginRequest { name: name.clone(), password };
            client.post::<TokenView>("/api/v1/tokens", &request).await?
        }
    };
    let login = Login {
        server: client.url().clone(),
        user: answer.user,
        token: Token::new(answer.token.expose_secret()),
    };
    login.keep()?;
    print(&format!("Logged in to {} as {}.\n", login.server, printable(&login.user)))?;
    if let Some(server) = counts_before_login() {
        eprintln!(
            "The kubeconfig in KUBECONFIG names the Seaway server {server} and counts before this login: `unset \
             KUBECONFIG` to go on as {}.",
            printable(&login.user)
        );
    }
    Ok(ExitCode::SUCCESS)
}

/// Ends the login at the server, and forgets it.
pub(crate) async fn log_out() -> miette::Result<ExitCode> {
    let Some(login) = login::read()? else {
        eprintln!("Nobody is logged in.");
        return Ok(ExitCode::SUCCESS);
    };
    let (server, user) = (login.server.clone(), login.user.clone());
    let ended: miette::Result<Done> = Client::of_login(login)?.delete("/api/v1/session").await;
    // Forgotten in any case: who logs out means it.
    login::forget()?;
    match ended {
        Err(error) if !is_over(&error) => Err(error).wrap_err_with(|| {
            format!(
                "the login is forgotten here, but {server} did not end it: it does so by itself in some hours"
            )
        }),
        _ => {
            print(&format!("Logged out of {server}, where you were {}.\n", printable(&user)))?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// Whether the server says that there is no such session any more.
fn is_over(error: &miette::Report) -> bool {
    error.downcast_ref::<Refused>().is_some_and(|Refused(problem)| problem.status == 401)
}
