//! Sets of characters.

use std::iter::Peekable;
use std::str::Chars;

/// A set, or everything but a set.
#[derive(Clone, Debug)]
pub(super) struct Set {
    negated: bool,
    items: Vec<Item>,
}

#[derive(Clone, Debug)]
enum Item {
    Range(char, char),
    /// A named set or its complement.
    Named(fn(char) -> bool, bool),
}

impl Set {
    /// Everything but a line feed.
    pub(super) fn any() -> Self {
        Self {
            negated: true,
            items: vec![Item::Range('\n', '\n')],
        }
    }

    pub(super) fn all() -> Self {
        Self {
            negated: true,
            items: Vec::new(),
        }
    }

    pub(super) fn char(c: char) -> Self {
        Self {
            negated: false,
            items: vec![Item::Range(c, c)],
        }
    }

    pub(super) fn has(&self, c: char) -> bool {
        let within = self.items.iter().any(|item| match item {
            Item::Range(low, high) => (*low..=*high).contains(&c),
            Item::Named(named, negated) => named(c) != *negated,
        });
        within != self.negated
    }

    /// What stands after a backslash, outside of brackets.
    pub(super) fn escape(chars: &mut Peekable<Chars<'_>>) -> Option<Self> {
        let item = escape(chars)?;
        Some(Self {
            negated: false,
            items: vec![item],
        })
    }

    /// What stands after `[`; nothing if it is not closed or a range is backwards.
    pub(super) fn class(chars: &mut Peekable<Chars<'_>>) -> Option<Self> {
        let negated = chars.next_if_eq(&'^').is_some();
        let mut items = Vec::new();
        let mut first = true;
        loop {
            match chars.next()? {
                ']' if !first => return Some(Self { negated, items }),
                '[' if chars.peek() == Some(&':') => items.push(posix(chars)?),
                '\\' => match escape(chars)? {
                    Item::Range(low, _) => items.push(range(low, chars)?),
                    named @ Item::Named(..) => items.push(named),
                },
                low => items.push(range(low, chars)?),
            }
            first = false;
        }
    }
}

/// `low` or `low-high`; a hyphen before the closing bracket is itself.
fn range(low: char, chars: &mut Peekable<Chars<'_>>) -> Option<Item> {
    let mut ahead = chars.clone();
    if ahead.next() != Some('-') || matches!(ahead.next(), None | Some(']')) {
        return Some(Item::Range(low, low));
    }
    chars.next();
    let high = match chars.next()? {
        '\\' => match escape(chars)? {
            Item::Range(high, _) => high,
            Item::Named(..) => return None,
        },
        high => high,
    };
    (low <= high).then_some(Item::Range(low, high))
}

fn escape(chars: &mut Peekable<Chars<'_>>) -> Option<Item> {
    let c = chars.next()?;
    let one = |c| Some(Item::Range(c, c));
    match c {
        'a' => one('\u{7}'),
        'f' => one('\u{c}'),
        'n' => one('\n'),
        'r' => one('\r'),
        't' => one('\t'),
        'v' => one('\u{b}'),
        'd' | 'D' => Some(Item::Named(|c| c.is_ascii_digit(), c == 'D')),
        's' | 'S' => Some(Item::Named(is_space, c == 'S')),
        'w' | 'W' => Some(Item::Named(is_word, c == 'W')),
        'x' => one(hexadecimal(chars)?),
        // A digit alone would refer to a group.
        '1'..='7' if !matches!(chars.peek(), Some('0'..='7')) => None,
        '0'..='7' => one(octal(c, chars)?),
        // Other letters and digits are no sets of characters, or unknown to Go.
        c if c.is_ascii() && !c.is_ascii_alphanumeric() => one(c),
        _ => None,
    }
}

/// `7F`. The other form has a brace, which docker's rewriting makes another thing.
fn hexadecimal(chars: &mut Peekable<Chars<'_>>) -> Option<char> {
    let digits = [chars.next()?, chars.next()?];
    number(digits.into_iter(), 16)
}

/// Up to three digits, of which the first is taken.
fn octal(first: char, chars: &mut Peekable<Chars<'_>>) -> Option<char> {
    let mut digits = vec![first];
    while digits.len() < 3
        && let Some(digit) = chars.next_if(|c| matches!(c, '0'..='7'))
    {
        digits.push(digit);
    }
    number(digits.into_iter(), 8)
}

fn number(mut digits: impl Iterator<Item = char>, radix: u32) -> Option<char> {
    let value = digits.try_fold(0_u32, |sum, digit| {
        sum.checked_mul(radix)?.checked_add(digit.to_digit(radix)?)
    });
    char::from_u32(value?)
}

pub(super) fn is_word_character(c: Option<char>) -> bool {
    c.is_some_and(is_word)
}

fn is_space(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\u{c}' | '\r' | ' ')
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

/// `[:name:]` or `[:^name:]`, the bracket already taken. Without an end it is a bracket.
fn posix(chars: &mut Peekable<Chars<'_>>) -> Option<Item> {
    let rest: String = chars.clone().collect();
    let Some((name, _)) = rest
        .strip_prefix(':')
        .and_then(|rest| rest.split_once(":]"))
    else {
        return range('[', chars);
    };
    let bare = name.strip_prefix('^');
    let named: fn(char) -> bool = match bare.unwrap_or(name) {
        "alnum" => |c| c.is_ascii_alphanumeric(),
        "alpha" => |c| c.is_ascii_alphabetic(),
        "ascii" => |c| c.is_ascii(),
        "blank" => |c| c == ' ' || c == '\t',
        "cntrl" => |c| c.is_ascii_control(),
        "digit" => |c| c.is_ascii_digit(),
        "graph" => |c| c.is_ascii_graphic(),
        "lower" => |c| c.is_ascii_lowercase(),
        "print" => |c| c.is_ascii_graphic() || c == ' ',
        "punct" => |c| c.is_ascii_punctuation(),
        "space" => |c| is_space(c) || c == '\u{b}',
        "upper" => |c| c.is_ascii_uppercase(),
        "word" => is_word,
        "xdigit" => |c| c.is_ascii_hexdigit(),
        _ => return None,
    };
    chars
        .by_ref()
        .take(name.chars().count().saturating_add(3))
        .for_each(drop);
    Some(Item::Named(named, bare.is_some()))
}
