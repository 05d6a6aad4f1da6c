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
