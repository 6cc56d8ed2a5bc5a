//! How help texts meet the width of a terminal.
//!
//! The texts behind the options are written with line ends that suit the source. A paragraph is one line to whoever
//! wraps it, so those are taken out; examples and other indented lines stay as they are.

use clap::Command;

/// The command and all below it, with texts that wrap where the terminal ends.
pub(crate) fn flowing(command: Command) -> Command {
    let after = command.get_after_help().map(|text| flow(&text.to_string()));
    let command = match after {
        Some(text) => command.after_help(text),
        None => command,
    };
    command.mut_subcommands(flowing)
}

/// Joins the lines of each paragraph. A line that is indented, or that leads over to indented ones, is kept.
fn flow(text: &str) -> String {
    let mut flowed = String::with_capacity(text.len());
    let mut joins = false;
    for line in text.lines() {
        let prose = !line.is_empty() && !line.starts_with(' ');
        if !flowed.is_empty() {
            flowed.push(if prose && joins { ' ' } else { '\n' });
        }
        flowed.push_str(line);
        joins = prose && !line.ends_with(':');
    }
    flowed
}

#[cfg(test)]
mod tests {
    use super::flow;

    #[test]
    fn paragraphs_become_lines_and_examples_stay() {
        let text = "Examples:\n  seaway up\n  seaway up --demo\n\nIt serves\none machine.\nRun:\n  this\n\nAnd\nmore.";
        assert_eq!(
            flow(text),
            "Examples:\n  seaway up\n  seaway up --demo\n\nIt serves one machine. Run:\n  this\n\nAnd more."
        );
    }
}
