//! The regular expressions that docker makes from patterns, as far as they can occur.
//!
//! A pattern is rewritten as docker rewrites it, and the result is read by the rules of Go's
//! regular expressions. So `[…]` has their meaning (`[[:alpha:]]` is a letter, `[a*]` is odd), `\d`
//! is a digit, and `^` is the beginning. Matching runs all places of the expression at once: the
//! time is the product of the lengths.

mod class;

use std::iter::Peekable;
use std::str::Chars;

use class::Set;

/// An expression that must match a whole path.
#[derive(Clone, Debug)]
pub(super) struct Expression(Vec<Token>);

#[derive(Clone, Debug)]
enum Token {
    One(Set),
    /// Any number of it.
    Many(Set),
    /// Nothing, or anything with a slash at its end: before its first character.
    Directories,
    /// The same, after its first character.
    InDirectories,
    /// The beginning of the path.
    Start,
    /// Its end.
    End,
    /// Between a character of words and another, or not between such.
    Boundary(bool),
}

/// A place in a path.
#[derive(Clone, Copy)]
struct Between {
    before: Option<char>,
    after: Option<char>,
    /// More may come.
    open: bool,
}

impl Expression {
    /// Nothing if Go's library would refuse it.
    pub(super) fn parse(pattern: &str) -> Option<Self> {
        let text = rewrite(pattern);
        let mut chars = text.chars().peekable();
        let mut tokens = Vec::new();
        while let Some(c) = chars.next() {
            let set = match c {
                // Only `(.*/)?` has a parenthesis that is not escaped.
                '(' => {
                    chars
                        .by_ref()
                        .take("(.*/)?".len().saturating_sub(1))
                        .for_each(drop);
                    tokens.extend([Token::Directories, Token::InDirectories]);
                    continue;
                }
                '^' => {
                    tokens.push(Token::Start);
                    continue;
                }
                '.' => Set::any(),
                '[' => Set::class(&mut chars)?,
                '\\' if chars.peek().is_none() => {
                    end_as_text(&mut tokens);
                    continue;
                }
                '\\' if zero_width(&mut chars, &mut tokens) => continue,
                '\\' => Set::escape(&mut chars)?,
                c => Set::char(c),
            };
            let many = chars.next_if_eq(&'*').is_some();
            tokens.push(if many {
                Token::Many(set)
            } else {
                Token::One(set)
            });
        }
        Some(Self(tokens))
    }

    pub(super) fn matches(&self, path: &str) -> bool {
        self.run(path, false).last().copied().unwrap_or_default()
    }

    /// True if some path that begins with `start` may match.
    pub(super) fn reaches(&self, start: &str) -> bool {
        self.run(start, true).contains(&true)
    }

    /// The places that are alive after the text: place `i` means that the tokens before `i` match.
    fn run(&self, text: &str, open: bool) -> Vec<bool> {
        let places = self.0.len().saturating_add(1);
        let mut alive = vec![false; places];
        if let Some(first) = alive.first_mut() {
            *first = true;
        }
        let mut chars = text.chars().peekable();
        let mut at = Between {
            before: None,
            after: chars.peek().copied(),
            open,
        };
        self.close(&mut alive, at);
        let mut next = vec![false; places];
        while let Some(c) = chars.next() {
            next.fill(false);
            self.step(c, &alive, &mut next);
            at.before = Some(c);
            at.after = chars.peek().copied();
            self.close(&mut next, at);
            std::mem::swap(&mut alive, &mut next);
        }
        alive
    }

    fn step(&self, c: char, alive: &[bool], next: &mut [bool]) {
        let mut set = |place: usize| {
            if let Some(place) = next.get_mut(place) {
                *place = true;
            }
        };
        for (at, (token, _)) in self
            .0
            .iter()
            .zip(alive)
            .enumerate()
            .filter(|(_, (_, on))| **on)
        {
            let after = at.saturating_add(1);
            match token {
                Token::One(one) if one.has(c) => set(after),
                Token::Many(many) if many.has(c) => set(at),
                Token::Directories if c != '\n' => {
                    set(after);
                    if c == '/' {
                        set(after.saturating_add(1));
                    }
                }
                Token::InDirectories if c != '\n' => {
                    set(at);
                    if c == '/' {
                        set(after);
                    }
                }
                _ => {}
            }
        }
    }

    /// What is reached without a character.
    fn close(&self, alive: &mut [bool], place: Between) {
        for (at, token) in self.0.iter().enumerate() {
            if !alive.get(at).copied().unwrap_or_default() {
                continue;
            }
            let width = match token {
                Token::Many(_) => 1,
                Token::Directories => 2,
                Token::Start if place.before.is_none() => 1,
                Token::End if place.after.is_none() => 1,
                Token::Boundary(wanted) if place.is_boundary(*wanted) => 1,
                _ => continue,
            };
            if let Some(place) = alive.get_mut(at.saturating_add(width)) {
                *place = true;
            }
        }
    }
}

impl Between {
    fn is_boundary(self, wanted: bool) -> bool {
        let word = class::is_word_character;
        (self.open && self.after.is_none()) || (word(self.before) != word(self.after)) == wanted
    }
}

/// After a backslash: what matches no character, and text between `\Q` and `\E`. False when it is neither.
fn zero_width(chars: &mut Peekable<Chars<'_>>, tokens: &mut Vec<Token>) -> bool {
    let token = match chars.peek() {
        Some('A') => Token::Start,
        Some('z') => Token::End,
        Some('b') => Token::Boundary(true),
        Some('B') => Token::Boundary(false),
        Some('Q') => {
            chars.next();
            while let Some(c) = chars.next() {
                if c == '\\' && chars.next_if_eq(&'E').is_some() {
                    return true;
                }
                tokens.push(Token::One(Set::char(c)));
            }
            end_as_text(tokens);
            return true;
        }
        _ => return false,
    };
    chars.next();
    tokens.push(token);
    true
}

/// Docker's anchor at the end has become text, and what comes after it is free.
fn end_as_text(tokens: &mut Vec<Token>) {
    tokens.push(Token::One(Set::char('$')));
    tokens.push(Token::Many(Set::all()));
}

/// Docker's rewriting, without the anchors at both ends.
fn rewrite(pattern: &str) -> String {
    let mut out = String::new();
    let mut chars = pattern.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '*' if chars.next_if_eq(&'*').is_some() => {
                chars.next_if_eq(&'/');
                out.push_str(if chars.peek().is_none() {
                    ".*"
                } else {
                    "(.*/)?"
                });
            }
            '*' => out.push_str("[^/]*"),
            '?' => out.push_str("[^/]"),
            '.' | '+' | '(' | ')' | '|' | '{' | '}' | '$' => out.extend(['\\', c]),
            '\\' => escaped(&mut out, &mut chars),
            c => out.push(c),
        }
    }
    out
}

fn escaped(out: &mut String, chars: &mut Peekable<Chars<'_>>) {
    out.push('\\');
    out.extend(chars.next());
}
