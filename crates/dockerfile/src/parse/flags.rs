//! The words that begin with `--` between an instruction and its arguments.

use super::Flag;

/// The flags and where the arguments begin. Quotes and escapes are removed; `--` alone ends them.
pub(super) fn extract(line: &str, escape: char) -> (Vec<Flag>, usize) {
    let mut flags = Vec::new();
    let mut offset = 0_usize;
    loop {
        let rest = line.get(offset..).unwrap_or_default();
        let word = rest.trim_start();
        let start = offset.saturating_add(rest.len().saturating_sub(word.len()));
        if !word.starts_with("--") {
            return (flags, start);
        }
        let (text, length) = flag(word, escape);
        offset = start.saturating_add(length);
        if text == "--" {
            return (flags, offset);
        }
        flags.push(Flag {
            text,
            offset: start,
        });
    }
}

/// One flag and its length as written.
fn flag(word: &str, escape: char) -> (String, usize) {
    let mut text = String::new();
    let mut quote = None;
    let mut chars = word.char_indices();
    while let Some((at, c)) = chars.next() {
        match quote {
            None if c.is_whitespace() => return (text, at),
            None if c == '\'' || c == '"' => quote = Some(c),
            Some(open) if c == open => quote = None,
            // An escape character at the end of the line is dropped.
            _ if c == escape => text.extend(chars.next().map(|(_, c)| c)),
            _ => text.push(c),
        }
    }
    (text, word.len())
}
