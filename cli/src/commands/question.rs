//! Questions to whoever sits at the terminal.

use std::io::{BufRead, IsTerminal, Write};

use miette::{IntoDiagnostic, WrapErr, miette};
use secrecy::SecretString;

/// Longest line that is read as a password; no password is that long.
const LONGEST_LINE: u64 = 4096;

/// Whether the person types this name. Where nobody can be asked, `--yes` is wanted.
pub(in crate::commands) fn confirmed(what: &str, name: &str) -> miette::Result<bool> {
    if !std::io::stdin().is_terminal() {
        return Err(miette!(help = "say --yes where nobody can be asked", "{what} would be deleted"));
    }
    Ok(line(&format!("Delete {what}? Type its name: "))? == name)
}

/// A line that is typed.
pub(super) fn line(question: &str) -> miette::Result<String> {
    eprint!("{question}");
    std::io::stderr().flush().into_diagnostic()?;
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer).into_diagnostic()?;
    Ok(answer.trim().to_owned())
}

/// A password: the first line of standard input, or typed without being shown.
pub(super) fn password(question: &str, from_stdin: bool) -> miette::Result<SecretString> {
    if !from_stdin {
        if !std::io::stdin().is_terminal() {
            return Err(miette!(
                help = "pass it with --password-stdin where nobody can be asked",
                "a password is needed"
            ));
        }
        let typed = rpassword::prompt_password(question);
        return Ok(typed.into_diagnostic().wrap_err("the password could not be read")?.into());
    }
    first_line(std::io::stdin().lock())
}

fn first_line(input: impl BufRead) -> miette::Result<SecretString> {
    let mut text = String::new();
    input
        .take(LONGEST_LINE)
        .read_line(&mut text)
        .into_diagnostic()
        .wrap_err("the password could not be read from standard input")?;
    let line = text.strip_suffix('\n').unwrap_or(&text);
    let line = line.strip_suffix('\r').unwrap_or(line);
    match line {
        "" => Err(miette!("standard input holds no password")),
        line => Ok(line.to_owned().into()),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    #[test]
    fn a_password_is_the_first_line_as_it_is() {
        for (input, expected) in [("a b \n", "a b "), ("a b\r\nmore", "a b"), ("ä", "ä")] {
            assert_eq!(first_line(input.as_bytes()).unwrap().expose_secret(), expected);
        }
        assert!(first_line(&b""[..]).is_err());
        assert!(first_line(&b"\n"[..]).is_err());
    }
}
