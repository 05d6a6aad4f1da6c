//! Text in quotes as Go prints it with `%q`: errors and dumps of docker show words that way.

use std::fmt::Write as _;

/// The text in double quotes, with what cannot be printed escaped.
pub(crate) fn quote(text: &str) -> String {
    let mut out = String::with_capacity(text.len().saturating_add(2));
    out.push('"');
    for c in text.chars() {
        push_escaped(&mut out, c);
    }
    out.push('"');
    out
}

fn push_escaped(out: &mut String, c: char) {
    match c {
        '"' | '\\' => out.extend(['\\', c]),
        '\u{7}' => out.push_str("\\a"),
        '\u{8}' => out.push_str("\\b"),
        '\u{c}' => out.push_str("\\f"),
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        '\t' => out.push_str("\\t"),
        '\u{b}' => out.push_str("\\v"),
        ' '..='~' => out.push(c),
        c if is_printable(c) => out.push(c),
        c => {
            let number = u32::from(c);
            // Writing to a string cannot fail.
            let _infallible = match number {
                0..=0x7f => write!(out, "\\x{number:02x}"),
                0x80..=0xffff => write!(out, "\\u{number:04x}"),
                _ => write!(out, "\\U{number:08x}"),
            };
        }
    }
}

/// The standard library knows what can be printed, but escapes a combining character that begins
/// a text: hence the letter before it.
fn is_printable(c: char) -> bool {
    let mut text = String::from("a");
    text.push(c);
    !c.is_whitespace() && text.escape_debug().nth(1) == Some(c)
}
