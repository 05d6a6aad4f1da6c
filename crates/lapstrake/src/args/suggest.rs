//! Hints for words that are nearly right.

use super::Flag;

/// The candidate nearest to a mistyped word, when one is near enough.
pub(crate) fn nearest<'a>(
    word: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let allowed = if word.chars().count() <= 3 { 1 } else { 2 };
    within(allowed, word, candidates)
}

fn within<'a>(
    allowed: usize,
    word: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    candidates
        .into_iter()
        .map(|candidate| (distance(word, candidate), candidate))
        .filter(|(distance, _)| *distance <= allowed)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// A hint for an unknown long flag. A command has few of them, so a name may be farther off (`--degist`).
pub(crate) fn flag_hint(name: &str, flags: &[Flag]) -> Option<String> {
    if name.chars().count() < 2 {
        return None;
    }
    let known = flags
        .iter()
        .filter(|flag| !flag.hidden)
        .map(|flag| flag.long);
    let allowed = (name.chars().count() / 2).clamp(1, 3);
    within(allowed, name, known).map(|near| format!("did you mean `--{near}`?"))
}

/// A hint when an argument carries the dashes or quotes of a word processor.
pub(crate) fn typographic_hint(args: &[String]) -> Option<String> {
    let found = args.iter().find_map(|arg| {
        arg.chars().find(|c| {
            matches!(
                c,
                '\u{2018}'
                    | '\u{2019}'
                    | '\u{201c}'
                    | '\u{201d}'
                    | '\u{2013}'
                    | '\u{2014}'
                    | '\u{2212}'
            )
        })
    })?;
    let plain = match found {
        '\u{2018}' | '\u{2019}' => "'",
        '\u{201c}' | '\u{201d}' => "\"",
        _ => "-",
    };
    Some(format!(
        "the command line holds the typographic character `{found}`; type a plain `{plain}` instead"
    ))
}

/// How many single-letter edits part two words (a swap of neighbours is one edit).
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let width = b.len() + 1;
    let mut table: Vec<usize> = (0..width * (a.len() + 1)).map(|_| 0).collect();
    let at = |row: usize, column: usize| row * width + column;
    for row in 0..=a.len() {
        for column in 0..=b.len() {
            let value = if row == 0 {
                column
            } else if column == 0 {
                row
            } else {
                let same = a[row - 1] == b[column - 1];
                let mut best = (table[at(row - 1, column)] + 1)
                    .min(table[at(row, column - 1)] + 1)
                    .min(table[at(row - 1, column - 1)] + usize::from(!same));
                let swapped = row > 1
                    && column > 1
                    && a[row - 1] == b[column - 2]
                    && a[row - 2] == b[column - 1];
                if swapped {
                    best = best.min(table[at(row - 2, column - 2)] + 1);
                }
                best
            };
            table[at(row, column)] = value;
        }
    }
    table[at(a.len(), b.len())]
}
