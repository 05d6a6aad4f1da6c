//! Compares what a page shows with what a terminal showed.
//!
//! Equal except for what differs from run to run:
//!
//! | shown | stands for |
//! |---|---|
//! | 12, 25 or 64 hex digits | another id or digest: the same one wherever the page shows this one |
//! | 8 hex digits or more that are cut by `…` | the beginning of another id, as long |
//! | `1.23MB`, but not `0B` | any size |
//! | `2 minutes`, `About an hour`, `Less than a second` | any age |
//! | `0.3s` | any duration |
//! | `2026-11-21T18:00:00.5Z`, `2026-11-21 18:00:00 +0000 UTC` | any time |
//! | two or more blanks | two or more blanks |
//! | a line `...` | any number of lines |

use std::collections::BTreeMap;

/// Which real ids the page's ids stand for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ids(BTreeMap<String, String>);

/// Digits of an id in a listing, in the list of a pruned cache, and of a digest.
const LENGTHS: [usize; 3] = [SHORT, 25, LONG];
const SHORT: usize = 12;
const LONG: usize = 64;
/// Digits before an ellipsis that are the beginning of an id.
const CUT: usize = 8;
/// The shortest beginning of an id that a page may use in a command.
const PREFIX: usize = 4;

impl Ids {
    /// A line that the page shows, with the real ids.
    pub(crate) fn real(&self, line: &str) -> String {
        replaced(line, |token| {
            let known = self.0.iter();
            let mut found = known.filter(|(shown, _)| shown.starts_with(token));
            found.next().map(|(_, real)| real[..token.len()].to_owned())
        })
    }

    /// A line of a terminal, with the page's ids.
    pub(crate) fn shown(&self, line: &str) -> String {
        let known = |token: &str| {
            let mut found = self.0.iter().filter(|(_, real)| *real == token);
            found.next().map(|(shown, _)| shown.clone())
        };
        replaced(line, |token| {
            let longer = || Some(known(token.get(..SHORT)?)? + token.get(SHORT..)?);
            known(token).or_else(longer)
        })
    }

    /// Whether the page's id may stand for the real one; remembers that it does.
    fn bind(&mut self, shown: &str, real: &str) -> bool {
        let known = self.0.get(shown).is_some_and(|known| known == real);
        let new = !self.0.contains_key(shown) && !self.0.values().any(|value| value == real);
        if new {
            self.0.insert(shown.to_owned(), real.to_owned());
        }
        (known || new) && (shown.len() == SHORT || self.bind(&shown[..SHORT], &real[..SHORT]))
    }
}

/// Replaces beginnings of ids.
fn replaced(line: &str, by: impl Fn(&str) -> Option<String>) -> String {
    let mut out = String::new();
    let mut rest = line;
    while let Some(first) = rest.chars().next() {
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric());
        let end = end.unwrap_or(rest.len()).max(first.len_utf8());
        let (token, after) = rest.split_at(end);
        let is_id = is_hex(token) && (PREFIX..=LONG).contains(&token.len());
        out.push_str(
            &is_id
                .then(|| by(token))
                .flatten()
                .unwrap_or(token.to_owned()),
        );
        rest = after;
    }
    out
}

fn is_hex(token: &str) -> bool {
    let digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    !token.is_empty() && token.bytes().all(digit)
}

/// Whether these lines are what the page shows. On success the ids are remembered.
pub(crate) fn is_shown(expected: &[String], actual: &[String], ids: &mut Ids) -> bool {
    let mut tried = ids.clone();
    let is_shown = match (expected, actual) {
        ([], []) => true,
        ([dots], _) if dots == "..." => true,
        ([dots, more @ ..], _) if dots == "..." => {
            (0..=actual.len()).any(|skipped| is_shown(more, &actual[skipped..], &mut tried))
        }
        ([one, more @ ..], [line, lines @ ..]) => {
            is_line(one, line, &mut tried) && is_shown(more, lines, &mut tried)
        }
        _ => false,
    };
    if is_shown {
        *ids = tried;
    }
    is_shown
}

fn is_line(expected: &str, actual: &str, ids: &mut Ids) -> bool {
    let (expected, actual) = (Shape::of(expected), Shape::of(actual));
    expected.text == actual.text
        && expected
            .ids
            .iter()
            .zip(&actual.ids)
            .all(|(shown, real)| ids.bind(shown, real))
}

/// A line without what differs from run to run, and the ids that it had.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    pub(crate) text: String,
    ids: Vec<String>,
}

impl Shape {
    pub(crate) fn of(line: &str) -> Self {
        let mut shape = Self {
            text: String::new(),
            ids: Vec::new(),
        };
        let mut rest = line.trim_end();
        while let Some(first) = rest.chars().next() {
            let end = shape.word(rest).unwrap_or_else(|| {
                let end = rest.find(|c: char| !c.is_ascii_alphanumeric());
                let end = end.unwrap_or(rest.len()).max(first.len_utf8());
                shape.text.push_str(&rest[..end]);
                end
            });
            rest = &rest[end..];
        }
        shape
    }

    /// Levels what stands at the start of the text; how much of it that was.
    fn word(&mut self, text: &str) -> Option<usize> {
        let blanks = text.len() - text.trim_start_matches(' ').len();
        if blanks >= 2 {
            self.text.push_str("  ");
            return Some(blanks);
        }
        let token = text.find(|c: char| !c.is_ascii_alphanumeric());
        let token = &text[..token.unwrap_or(text.len())];
        if is_hex(token) && LENGTHS.contains(&token.len()) {
            self.text
                .push_str(if token.len() < LONG { "ID" } else { "DIGEST" });
            self.ids.push(token.to_owned());
            return Some(token.len());
        }
        if is_hex(token) && token.len() >= CUT && text[token.len()..].starts_with('…') {
            self.text.push_str("CUT");
            return Some(token.len());
        }
        let (name, length) = time(text)
            .map(|length| ("TIME", length))
            .or_else(|| age(text).map(|length| ("AGE", length)))
            .or_else(|| quantity(text))?;
        self.text.push_str(name);
        Some(length)
    }
}

/// `2026-11-21T18:00:00.5Z`, `2026-11-21 18:00:00 +0000 UTC`.
fn time(text: &str) -> Option<usize> {
    const FORM: &str = "dddd-dd-dd dd:dd:dd";
    let fits = |(form, byte): (u8, u8)| match form {
        b'd' => byte.is_ascii_digit(),
        b' ' => byte == b' ' || byte == b'T',
        _ => form == byte,
    };
    let start = text.as_bytes().get(..FORM.len())?;
    if !FORM.bytes().zip(start.iter().copied()).all(fits) {
        return None;
    }
    let more = text[FORM.len()..].trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
    let more = more.strip_prefix('Z').unwrap_or(more);
    let more = more.strip_prefix(" +0000").unwrap_or(more);
    let more = more.strip_prefix("+00:00").unwrap_or(more);
    let more = more.strip_prefix(" UTC").unwrap_or(more);
    Some(text.len() - more.len())
}

/// `2 minutes`, `About an hour`, `Less than a second`.
fn age(text: &str) -> Option<usize> {
    const UNITS: [&str; 7] = ["second", "minute", "hour", "day", "week", "month", "year"];
    let digits = text.trim_start_matches(|c: char| c.is_ascii_digit());
    let rest = if digits.len() < text.len() {
        digits.strip_prefix(' ')
    } else {
        let starts = ["About an ", "About a ", "Less than a "];
        starts.iter().find_map(|start| text.strip_prefix(start))
    }?;
    let unit = UNITS.iter().find(|unit| rest.starts_with(*unit))?;
    let rest = &rest[unit.len()..];
    let rest = rest.strip_prefix('s').unwrap_or(rest);
    (!rest.starts_with(|c: char| c.is_ascii_alphanumeric())).then(|| text.len() - rest.len())
}

/// `1.23MB`, `0.3s`.
fn quantity(text: &str) -> Option<(&'static str, usize)> {
    let rest = text.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
    let number = &text[..text.len() - rest.len()];
    if !number.starts_with(|c: char| c.is_ascii_digit()) || number.ends_with('.') {
        return None;
    }
    let units = [
        ("kB", "SIZE"),
        ("MB", "SIZE"),
        ("GB", "SIZE"),
        ("B", "SIZE"),
        ("s", "SECONDS"),
    ];
    let (unit, name) = units.iter().find(|(unit, _)| rest.starts_with(unit))?;
    let is_word = rest[unit.len()..].starts_with(|c: char| c.is_ascii_alphanumeric());
    let is_nothing = *name == "SIZE" && number == "0";
    (!is_word && !is_nothing).then_some((*name, number.len() + unit.len()))
}

#[test]
fn lines_have_shapes() {
    for (line, expected) in [
        ("a   b ", "a  b"),
        ("0b2616b0e5a8: Pull complete", "ID: Pull complete"),
        ("file:258a59f0b34e67579… an ace…", "file:CUT… an ace…"),
        ("13.3kB  0B 960B.", "SIZE  0B SIZE."),
        ("DONE 0.3s, 12 steps", "DONE SECONDS, 12 steps"),
        (
            "Up 2 seconds, About an hour ago, Less than a second ago",
            "Up AGE, AGE ago, AGE ago",
        ),
        (
            "\"2026-11-21T18:00:00.55Z\" 2026-11-21 18:00:00 +0000 UTC",
            "\"TIME\" TIME",
        ),
        ("ubuntu:18.04 1.2.3 v2 20s2", "ubuntu:18.04 1.2.3 v2 20s2"),
    ] {
        assert_eq!(Shape::of(line).text, expected);
    }
}

#[test]
fn an_id_stands_for_the_same_id_everywhere() {
    let lines = |text: &str| -> Vec<String> { text.lines().map(str::to_owned).collect() };
    let (shown, real) = ("a".repeat(64), "b".repeat(64));
    let mut ids = Ids::default();
    let one = lines(&format!("sha256:{shown}\n...\nend"));
    assert!(is_shown(
        &one,
        &lines(&format!("sha256:{real}\n1\n2\nend")),
        &mut ids
    ));
    assert_eq!(
        ids.real("rmi aaaaaaaaaaaa aaaa aaa"),
        "rmi bbbbbbbbbbbb bbbb aaa"
    );
    assert_eq!(ids.shown("rmi bbbbbbbbbbbb"), "rmi aaaaaaaaaaaa");
    for (expected, actual) in [
        ("aaaaaaaaaaaa", "cccccccccccc"),
        ("cccccccccccc", "bbbbbbbbbbbb"),
        ("one", "two"),
        ("...\none", "one\ntwo"),
    ] {
        assert!(
            !is_shown(&lines(expected), &lines(actual), &mut ids),
            "{expected}"
        );
    }
}
