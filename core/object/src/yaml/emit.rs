//! Values to YAML, letter by letter as `kubectl -o yaml` and `kustomize build` print them (go-yaml v2).
//!
//! Two differences, both where the original could not be read back: text with the Unicode line separators U+2028,
//! U+2029 and U+0085 is escaped, since YAML 1.2 readers take them for ordinary characters, and the key `<<` is quoted,
//! since it would come back as a merge.

use std::cmp::Ordering;

use serde_json::{Map, Number, Value};

use super::Dialect;
use super::number::{format_g, from_f64};
use super::scalar::{Scalar, is_base60, resolve_plain};

const INDENT: usize = 2;

/// A space beyond this column becomes a line break, where the text has one to spare.
const WIDTH: usize = 80;

/// One value as a YAML document, without `---`, ending in a line break.
pub fn to_string(value: &Value) -> String {
    let mut out = String::new();
    match value {
        Value::Object(map) if !map.is_empty() => write_mapping(&mut out, map, 0, true),
        Value::Array(items) if !items.is_empty() => write_sequence(&mut out, items, 0, true),
        // A block scalar that is a whole document is still indented.
        value => write_inline(&mut out, value, INDENT, false),
    }
    if !out.ends_with('\n') {
        out.push('\n');
    }
    out
}

/// Several values as a stream, with `---` between them.
pub fn write_documents<'a>(values: impl IntoIterator<Item = &'a Value>) -> String {
    let mut out = String::new();
    for value in values {
        if !out.is_empty() {
            out.push_str("---\n");
        }
        out.push_str(&to_string(value));
    }
    out
}

fn pad(out: &mut String, indent: usize) {
    out.extend(std::iter::repeat_n(' ', indent));
}

/// A mapping at `indent`; `inline` when the cursor stands where its first key belongs.
fn write_mapping(out: &mut String, map: &Map<String, Value>, indent: usize, inline: bool) {
    let mut keys: Vec<_> = map.iter().collect();
    keys.sort_unstable_by_key(|(key, _)| *key);
    let keys = sorted(keys);
    for (index, (key, value)) in keys.into_iter().enumerate() {
        if index > 0 || !inline {
            start_line(out, indent);
        }
        let simple = !key.contains('\n') && key.len() <= 128;
        if simple {
            write_text(out, key, indent + INDENT, true);
            out.push(':');
            write_value(out, value, indent, false);
        } else {
            out.push_str("? ");
            write_text(out, key, indent + INDENT, false);
            start_line(out, indent);
            out.push(':');
            write_value(out, value, indent, true);
        }
    }
}

fn write_sequence(out: &mut String, items: &[Value], indent: usize, inline: bool) {
    for (index, item) in items.iter().enumerate() {
        if index > 0 || !inline {
            start_line(out, indent);
        }
        out.push('-');
        write_value(out, item, indent, true);
    }
}

/// The value behind `key:` or `-`. `compact`: nested collections start on the same line.
fn write_value(out: &mut String, value: &Value, indent: usize, compact: bool) {
    match value {
        Value::Object(map) if !map.is_empty() => {
            if compact {
                out.push(' ');
            }
            write_mapping(out, map, indent + INDENT, compact);
        }
        Value::Array(items) if !items.is_empty() => {
            if compact {
                out.push(' ');
                write_sequence(out, items, indent + INDENT, true);
            } else {
                write_sequence(out, items, indent, false);
            }
        }
        value => {
            out.push(' ');
            write_inline(out, value, indent + INDENT, false);
        }
    }
}

fn start_line(out: &mut String, indent: usize) {
    if !out.ends_with('\n') {
        out.push('\n');
    }
    pad(out, indent);
}

/// A scalar or an empty collection. `indent` is that of the lines of a block scalar.
fn write_inline(out: &mut String, value: &Value, indent: usize, key: bool) {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
        Value::Number(number) => out.push_str(&number_text(number)),
        Value::String(text) => write_text(out, text, indent, key),
        Value::Array(_) => out.push_str("[]"),
        Value::Object(_) => out.push_str("{}"),
    }
}

fn number_text(number: &Number) -> String {
    match number.as_f64() {
        Some(float) if number.is_f64() => match from_f64(float) {
            Some(Value::Number(number)) if !number.is_f64() => number.to_string(),
            _ => format_g(float, false),
        },
        _ => number.to_string(),
    }
}

fn write_text(out: &mut String, text: &str, indent: usize, key: bool) {
    let analysis = Analysis::of(text);
    let folded = (!key).then_some(indent);
    if text.contains('\n') {
        if analysis.block_allowed && !key {
            write_literal(out, text, indent);
        } else {
            write_double_quoted(out, text, folded);
        }
    } else if means_something(text) || key && text == "<<" {
        write_double_quoted(out, text, folded);
    } else if analysis.plain_allowed {
        write_plain(out, text, folded);
    } else if analysis.single_quoted_allowed {
        write_single_quoted(out, text, folded);
    } else {
        write_double_quoted(out, text, folded);
    }
}

/// Would the plain text be read as something else?
fn means_something(text: &str) -> bool {
    resolve_plain(text, Dialect::Kubernetes) != Scalar::Text || is_base60(text)
}

struct Analysis {
    plain_allowed: bool,
    single_quoted_allowed: bool,
    block_allowed: bool,
}

impl Analysis {
    /// libyaml's analysis of a scalar, for block context.
    fn of(text: &str) -> Self {
        let mut indicators = text.starts_with("---") || text.starts_with("...");
        let (mut special, mut breaks) = (false, false);
        let (mut break_space, mut space_break) = (false, false);
        let (mut after_space, mut after_break) = (false, false);
        let mut after_blank = true;
        let mut characters = text.chars().peekable();
        let mut first = true;
        while let Some(c) = characters.next() {
            let before_blank = matches!(characters.peek(), None | Some(' ' | '\t'));
            indicators |= match c {
                '#' | ',' | '[' | ']' | '{' | '}' | '&' | '*' | '!' | '|' | '>' | '\'' | '"' | '%' | '@'
                | '`'
                    if first =>
                {
                    true
                }
                '?' | '-' if first => before_blank,
                ':' => before_blank,
                '#' => after_blank,
                _ => false,
            };
            special |= !is_printable(c) || is_unicode_break(c);
            match c {
                ' ' => {
                    break_space |= after_break;
                    (after_space, after_break) = (true, false);
                }
                '\n' => {
                    breaks = true;
                    space_break |= after_space;
                    (after_space, after_break) = (false, true);
                }
                _ => (after_space, after_break) = (false, false),
            }
            after_blank = matches!(c, ' ' | '\t' | '\n' | '\r' | '\0');
            first = false;
        }
        let edge_space = text.starts_with([' ', '\n']) || text.ends_with([' ', '\n']);
        let unquotable = space_break || special;
        Self {
            plain_allowed: !(text.is_empty()
                || edge_space
                || break_space
                || unquotable
                || breaks
                || indicators),
            single_quoted_allowed: !(break_space || unquotable),
            block_allowed: !(text.is_empty() || text.ends_with(' ') || unquotable),
        }
    }
}

/// go-yaml's idea of printable leaves out tabs, U+FEFF and everything beyond the basic plane.
fn is_printable(c: char) -> bool {
    matches!(c, '\n' | ' '..='~' | '\u{a0}'..='\u{d7ff}' | '\u{e000}'..='\u{fffd}') && c != '\u{feff}'
}

fn is_unicode_break(c: char) -> bool {
    matches!(c, '\u{85}' | '\u{2028}' | '\u{2029}')
}

fn write_literal(out: &mut String, text: &str, indent: usize) {
    out.push('|');
    if text.starts_with([' ', '\n']) {
        out.push('2');
    }
    if !text.ends_with('\n') {
        out.push('-');
    } else if text == "\n" || text.ends_with("\n\n") {
        out.push('+');
    }
    out.push('\n');
    for line in text.split_inclusive('\n') {
        if line != "\n" {
            pad(out, indent);
        }
        out.push_str(line);
    }
}

/// Writes a scalar character by character and folds long lines at single spaces.
struct Folding<'a> {
    out: &'a mut String,
    column: usize,
    /// Where folded lines start; `None`: a simple key, which stays on its line.
    indent: Option<usize>,
    after_space: bool,
}

impl<'a> Folding<'a> {
    fn new(out: &'a mut String, indent: Option<usize>) -> Self {
        let line = out.rfind('\n').map_or(0, |end| end + 1);
        let column = out[line..].chars().count();
        Self { out, column, indent, after_space: false }
    }

    fn text(&mut self, text: &str) {
        self.out.push_str(text);
        self.column += text.chars().count();
        self.after_space = false;
    }

    fn char(&mut self, c: char) {
        self.out.push(c);
        self.column += 1;
        self.after_space = false;
    }

    /// A space: kept, or turned into a line break if the line is long and `may_fold`. True if it was folded.
    fn space(&mut self, may_fold: bool) -> bool {
        let fold = self.indent.filter(|_| may_fold && !self.after_space && self.column > WIDTH);
        match fold {
            Some(indent) => {
                self.out.push('\n');
                pad(self.out, indent);
                self.column = indent;
            }
            None => {
                self.out.push(' ');
                self.column += 1;
            }
        }
        self.after_space = true;
        fold.is_some()
    }
}

fn write_plain(out: &mut String, text: &str, indent: Option<usize>) {
    let mut line = Folding::new(out, indent);
    let mut characters = text.chars().peekable();
    while let Some(c) = characters.next() {
        match c {
            ' ' => {
                line.space(characters.peek() != Some(&' '));
            }
            c => line.char(c),
        }
    }
}

fn write_single_quoted(out: &mut String, text: &str, indent: Option<usize>) {
    let mut line = Folding::new(out, indent);
    line.char('\'');
    let mut characters = text.char_indices().peekable();
    while let Some((index, c)) = characters.next() {
        match c {
            ' ' => {
                let next = characters.peek().map(|(_, next)| *next);
                line.space(index > 0 && next.is_some_and(|next| next != ' '));
            }
            '\'' => line.text("''"),
            c => line.char(c),
        }
    }
    line.char('\'');
}

fn write_double_quoted(out: &mut String, text: &str, indent: Option<usize>) {
    let mut line = Folding::new(out, indent);
    line.char('"');
    // go-yaml looks for a byte order mark at the start of the text instead of at the character it is about to write.
    let escape_all = text.starts_with('\u{feff}');
    let mut characters = text.char_indices().peekable();
    while let Some((index, c)) = characters.next() {
        let escape = match c {
            ' ' if !escape_all => {
                let next = characters.peek().map(|(_, next)| *next);
                // Spaces at the start of a folded line would be lost: the first of them is escaped.
                if line.space(index > 0 && next.is_some()) && next == Some(' ') {
                    line.out.push('\\');
                    line.column += 1;
                }
                continue;
            }
            '\0' => "\\0",
            '\u{7}' => "\\a",
            '\u{8}' => "\\b",
            '\t' => "\\t",
            '\n' => "\\n",
            '\u{b}' => "\\v",
            '\u{c}' => "\\f",
            '\r' => "\\r",
            '\u{1b}' => "\\e",
            '"' => "\\\"",
            '\\' => "\\\\",
            '\u{85}' => "\\N",
            '\u{2028}' => "\\L",
            '\u{2029}' => "\\P",
            c if is_printable(c) && !escape_all => {
                line.char(c);
                continue;
            }
            c => {
                line.text(&match u32::from(c) {
                    code @ 0..=0xff => format!("\\x{code:02X}"),
                    code @ 0x100..=0xffff => format!("\\u{code:04X}"),
                    code => format!("\\U{code:08X}"),
                });
                continue;
            }
        };
        line.text(escape);
    }
    line.char('"');
}

/// The order of go-yaml: numbers inside keys count as numbers, letters come after everything else.
///
/// That comparison has cycles (`v2` < `v10` < `v1beta1` < `v2`): where keys form one, go-yaml's output changes from run
/// to run, and ours does not, as the entries come sorted. The standard sort may panic on cycles; this one does not mind.
fn sorted<'a>(mut entries: Vec<(&'a String, &'a Value)>) -> Vec<(&'a String, &'a Value)> {
    if entries.len() < 2 {
        return entries;
    }
    let right = sorted(entries.split_off(entries.len() / 2));
    let mut left = sorted(entries).into_iter().peekable();
    let mut right = right.into_iter().peekable();
    let mut merged = Vec::with_capacity(left.len() + right.len());
    while let (Some(l), Some(r)) = (left.peek(), right.peek()) {
        merged.extend(if compare_keys(l.0, r.0) == Ordering::Greater { right.next() } else { left.next() });
    }
    merged.extend(left);
    merged.extend(right);
    merged
}

fn compare_keys(a: &str, b: &str) -> Ordering {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    for i in 0..a.len().min(b.len()) {
        let (x, y) = (a[i], b[i]);
        if x == y {
            continue;
        }
        match (x.is_alphabetic(), y.is_alphabetic()) {
            (true, true) => return x.cmp(&y),
            (true, false) => return Ordering::Greater,
            (false, true) => return Ordering::Less,
            (false, false) => {}
        }
        // A zero inside a longer number is not a leading one.
        let inside = (x == '0' || y == '0')
            && a[..i].iter().rev().take_while(|c| c.is_ascii_digit()).any(|c| *c != '0');
        let number = |text: &[char]| {
            let digits = text[i..].iter().map_while(|c| c.to_digit(10));
            digits.fold((i64::from(inside), 0), |(number, count), digit| {
                (number.wrapping_mul(10).wrapping_add(i64::from(digit)), count + 1)
            })
        };
        return number(&a).cmp(&number(&b)).then(x.cmp(&y));
    }
    a.len().cmp(&b.len())
}
