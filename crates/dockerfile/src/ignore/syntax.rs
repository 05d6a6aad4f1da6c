//! Which patterns are well-formed: the rules of Go's `filepath.Match`, which docker asks first.

use std::iter::Peekable;
use std::str::Chars;

/// True if brackets are closed, not empty, with complete ranges, and escapes escape something.
pub(super) fn is_valid(pattern: &str) -> bool {
    let mut chars = pattern.chars().peekable();
    while let Some(c) = chars.next() {
        let valid = match c {
            '\\' => chars.next().is_some(),
            '[' => class(&mut chars),
            _ => true,
        };
        if !valid {
            return false;
        }
    }
    true
}

/// What stands before the first star that others than stars stand before.
pub(super) fn first_chunk(pattern: &str) -> &str {
    let pattern = pattern.trim_start_matches('*');
    let mut chars = pattern.char_indices();
    let mut in_class = false;
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => {
                chars.next();
            }
            '[' => in_class = true,
            ']' => in_class = false,
            '*' if !in_class => return pattern.get(..at).unwrap_or_default(),
            _ => {}
        }
    }
    pattern
}

fn class(chars: &mut Peekable<Chars<'_>>) -> bool {
    chars.next_if_eq(&'^');
    let mut ranges = 0_usize;
    loop {
        if ranges > 0 && chars.next_if_eq(&']').is_some() {
            return true;
        }
        if !bound(chars) || (chars.next_if_eq(&'-').is_some() && !bound(chars)) {
            return false;
        }
        ranges = ranges.saturating_add(1);
    }
}

/// One end of a range; something must follow it.
fn bound(chars: &mut Peekable<Chars<'_>>) -> bool {
    let first = match chars.next() {
        None | Some('-' | ']') => None,
        Some('\\') => chars.next(),
        first => first,
    };
    first.is_some() && chars.peek().is_some()
}
