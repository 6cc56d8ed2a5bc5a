//! Messages of commits that are made here.

use crate::Error;

/// Longer messages are refused, in bytes.
const MAX_MESSAGE: usize = 64 << 10;
/// Longer subjects are refused, in bytes.
const MAX_SUBJECT: usize = 500;
/// Longer keys of trailers are refused, in bytes.
const MAX_KEY: usize = 64;

/// A line at the end of a message that programs read: git-interpret-trailers(1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trailer {
    /// Letters, digits and hyphens, such as `Reviewed-by`.
    pub key: String,
    /// One line.
    pub value: String,
}

impl Trailer {
    pub(crate) fn check(&self) -> Result<(), Error> {
        let what = || format!("trailer {:?}", shortened(&self.key));
        let allowed = |c: char| c.is_ascii_alphanumeric() || c == '-';
        if self.key.is_empty() || self.key.len() > MAX_KEY || !self.key.chars().all(allowed) {
            return Err(Error::bad_push(what(), "has a key that is not made of letters, digits and hyphens"));
        }
        if !self.key.starts_with(|c: char| c.is_ascii_alphabetic()) {
            return Err(Error::bad_push(what(), "has a key that does not begin with a letter"));
        }
        if self.value.chars().any(char::is_control) {
            return Err(Error::bad_push(what(), "has a control character or a second line in its value"));
        }
        if self.value.is_empty() || self.value.trim() != self.value {
            return Err(Error::bad_push(what(), "has no value, or one with white space around it"));
        }
        Ok(())
    }

    /// Whether a line that Git printed says the same.
    pub(crate) fn is(&self, line: &str) -> bool {
        line.split_once(':')
            .is_some_and(|(key, value)| key.eq_ignore_ascii_case(&self.key) && value.trim() == self.value)
    }
}

/// What a commit says about itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Message {
    /// The first line.
    pub subject: String,
    /// The paragraphs below it; may be empty. With at least one trailer, nothing in it is taken for a trailer.
    pub body: String,
    /// The last paragraph.
    pub trailers: Vec<Trailer>,
}

impl Message {
    pub(crate) fn check(&self) -> Result<(), Error> {
        let subject = || format!("subject {:?}", shortened(&self.subject));
        if self.subject.trim().is_empty() || self.subject.trim() != self.subject {
            return Err(Error::bad_push(subject(), "is empty, or has white space around it"));
        }
        if self.subject.len() > MAX_SUBJECT {
            return Err(Error::bad_push(subject(), "is longer than 500 bytes"));
        }
        if self.subject.chars().any(char::is_control) {
            return Err(Error::bad_push(subject(), "has a control character or a second line"));
        }
        if self.subject.starts_with('-') || ends_message(&self.subject) {
            return Err(Error::bad_push(subject(), "begins with a hyphen, or is a line that ends messages"));
        }
        if self.body.replace("\r\n", "\n").chars().any(|c| c.is_control() && c != '\n' && c != '\t') {
            return Err(Error::bad_push("the message's body", "has a control character"));
        }
        for trailer in &self.trailers {
            trailer.check()?;
        }
        if self.text().len() > MAX_MESSAGE {
            return Err(Error::bad_push("the message", "is longer than 64 KiB"));
        }
        Ok(())
    }

    /// As it stands in the commit.
    pub(crate) fn text(&self) -> String {
        let mut text = format!("{}\n", self.subject);
        let body = self.body.replace("\r\n", "\n");
        let body = body.trim_end().trim_start_matches('\n');
        if !body.is_empty() {
            text.push('\n');
            for line in body.split('\n') {
                // Programs would look for trailers above such a line, where anybody may have written some.
                if ends_message(line) {
                    text.push(' ');
                }
                text.push_str(line);
                text.push('\n');
            }
        }
        if !self.trailers.is_empty() {
            text.push('\n');
            for Trailer { key, value } in &self.trailers {
                text.push_str(&format!("{key}: {value}\n"));
            }
        }
        text
    }
}

/// Whether Git takes a line for the end of a message: the divider of git-interpret-trailers(1), the scissors of
/// git-commit(1).
fn ends_message(line: &str) -> bool {
    let divider =
        line.strip_prefix("---").is_some_and(|rest| rest.chars().next().is_none_or(char::is_whitespace));
    divider || line.starts_with("# ------------------------ >8 ------------------------")
}

fn shortened(text: &str) -> String {
    text.chars().take(60).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn trailer(key: &str, value: &str) -> Trailer {
        Trailer { key: key.into(), value: value.into() }
    }

    #[test]
    fn a_message_is_subject_body_and_trailers() {
        let mut message = Message { subject: "A".into(), ..Message::default() };
        assert_eq!(message.text(), "A\n");
        message.body = "\nb\r\n\n---\n--- x\n---x\n\n".into();
        assert_eq!(message.text(), "A\n\nb\n\n ---\n --- x\n---x\n");
        message.trailers = vec![trailer("K", "v"), trailer("K-2", "w")];
        assert_eq!(message.text(), "A\n\nb\n\n ---\n --- x\n---x\n\nK: v\nK-2: w\n");
        message.check().unwrap();
    }

    #[test]
    fn nothing_can_pass_for_another_line() {
        for subject in ["", " ", " a", "a ", "-a", "--- a", "a\nb", "a\u{1b}[2J", "a\0", &"a".repeat(501)] {
            let message = Message { subject: subject.into(), ..Message::default() };
            assert!(matches!(message.check(), Err(Error::BadPush { .. })), "{subject:?}");
        }
        for body in ["\0", "a\rb", "\u{1b}", &"a".repeat(MAX_MESSAGE)] {
            let message = Message { subject: "a".into(), body: body.into(), ..Message::default() };
            assert!(matches!(message.check(), Err(Error::BadPush { .. })));
        }
        for (key, value) in [
            ("", "v"),
            ("a b", "v"),
            ("-a", "v"),
            ("1", "v"),
            ("a:", "v"),
            ("a", ""),
            ("a", " v"),
            ("a", "v\nb: w"),
            ("a", "v\0"),
        ] {
            assert!(matches!(trailer(key, value).check(), Err(Error::BadPush { .. })), "{key}: {value}");
        }
        assert!(trailer("Key", "v").is("key:  v ") && !trailer("Key", "v").is("Key: v2"));
    }
}
