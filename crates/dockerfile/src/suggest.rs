//! The nearest word.

/// Docker suggests what is fewer edits away than this.
const DISTANCE_LIMIT: usize = 3;

/// The option that is at most two edits away from `word`, the first of the nearest. An option that
/// equals the word means that something else is wrong: nothing then. Without case the answer has
/// the case of `word`.
pub fn nearest(word: &str, options: &[&str], case_sensitive: bool) -> Option<String> {
    let fold = |text: &str| {
        if case_sensitive {
            text.to_owned()
        } else {
            text.to_lowercase()
        }
    };
    let wanted: Vec<char> = fold(word).chars().collect();
    let mut best = None;
    let mut least = DISTANCE_LIMIT;
    for option in options {
        let folded = fold(option);
        let candidate: Vec<char> = folded.chars().collect();
        if candidate == wanted {
            return None;
        }
        if candidate.len().abs_diff(wanted.len()) >= least {
            continue;
        }
        let distance = distance(&wanted, &candidate);
        if distance < least {
            least = distance;
            best = Some(if case_sensitive {
                folded
            } else {
                with_case_of(word, folded)
            });
        }
    }
    best
}

fn with_case_of(word: &str, option: String) -> String {
    if word != word.to_lowercase() && word == word.to_uppercase() {
        option.to_uppercase()
    } else {
        option
    }
}

/// Levenshtein's distance, one row at a time.
fn distance(a: &[char], b: &[char]) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut diagonal = i;
        let mut left = i.saturating_add(1);
        if let Some(first) = row.first_mut() {
            *first = left;
        }
        for (cell, y) in row.iter_mut().skip(1).zip(b) {
            let above = *cell;
            let replaced = diagonal.saturating_add(usize::from(x != y));
            left = replaced
                .min(above.saturating_add(1))
                .min(left.saturating_add(1));
            diagonal = above;
            *cell = left;
        }
    }
    row.last().copied().unwrap_or_default()
}
