//! Shell patterns as docker's `reference=` filter takes them: `*` and `?` stop at slashes, `[a-z]`
//! classes, `\` escapes (the rules of Go's `path.Match`).

/// A pattern that is no pattern: an open class or a trailing escape.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BadPattern;

/// Whether the whole of `name` matches `pattern`.
pub(crate) fn matches(pattern: &str, name: &str) -> Result<bool, BadPattern> {
    let pattern: Vec<char> = pattern.chars().collect();
    let name: Vec<char> = name.chars().collect();
    check(&pattern)?;
    Ok(matches_from(&pattern, &name))
}

fn check(mut pattern: &[char]) -> Result<(), BadPattern> {
    while let Some((&first, rest)) = pattern.split_first() {
        pattern = match first {
            '\\' => rest.split_first().ok_or(BadPattern)?.1,
            '[' => class(rest, None).ok_or(BadPattern)?.1,
            _ => rest,
        };
    }
    Ok(())
}

/// Greedy matching with one point to fall back to: the last `*`.
fn matches_from(pattern: &[char], name: &[char]) -> bool {
    let (mut p, mut n) = (pattern, name);
    let mut fallback: Option<(&[char], &[char])> = None;
    loop {
        if let Some((&'*', rest)) = p.split_first() {
            fallback = Some((rest, n));
            p = rest;
            continue;
        }
        if p.is_empty() && n.is_empty() {
            return true;
        }
        if let Some((next_p, next_n)) = step(p, n) {
            (p, n) = (next_p, next_n);
            continue;
        }
        match fallback {
            Some((rest, at)) => match at.split_first() {
                Some((&character, after)) if character != '/' => {
                    fallback = Some((rest, after));
                    (p, n) = (rest, after);
                }
                _ => return false,
            },
            None => return false,
        }
    }
}

/// Matches one character of the name against one element of the pattern.
fn step<'a>(p: &'a [char], n: &'a [char]) -> Option<(&'a [char], &'a [char])> {
    let (&element, p_rest) = p.split_first()?;
    let (&character, n_rest) = n.split_first()?;
    match element {
        '?' if character != '/' => Some((p_rest, n_rest)),
        '?' => None,
        '[' => {
            let (hit, p_rest) = class(p_rest, Some(character))?;
            (hit && character != '/').then_some((p_rest, n_rest))
        }
        '\\' => {
            let (&escaped, p_rest) = p_rest.split_first()?;
            (escaped == character).then_some((p_rest, n_rest))
        }
        _ => (element == character).then_some((p_rest, n_rest)),
    }
}

/// Reads a class after its `[`: whether the character is in it, and what follows the `]`.
fn class(mut pattern: &[char], character: Option<char>) -> Option<(bool, &[char])> {
    let negated = pattern.first() == Some(&'^');
    if negated {
        pattern = pattern.get(1..)?;
    }
    let mut hit = false;
    let mut first = true;
    loop {
        if !first && pattern.first() == Some(&']') {
            return Some((hit != negated, pattern.get(1..)?));
        }
        first = false;
        let (low, rest) = class_member(pattern)?;
        let (high, rest) = match rest.first() {
            Some('-') => class_member(rest.get(1..)?)?,
            _ => (low, rest),
        };
        pattern = rest;
        if let Some(character) = character {
            hit |= (low..=high).contains(&character);
        }
    }
}

fn class_member(pattern: &[char]) -> Option<(char, &[char])> {
    match pattern.split_first()? {
        ('-' | ']', _) => None,
        ('\\', rest) => rest.split_first().map(|(&c, rest)| (c, rest)),
        (&c, rest) => Some((c, rest)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_follow_path_match() {
        for (pattern, name, expected) in [
            ("ubuntu:*", "ubuntu:18.04", Ok(true)),
            ("ubuntu", "ubuntu:18.04", Ok(false)),
            ("train*/*", "training/sinatra", Ok(true)),
            ("*", "a/b", Ok(false)),
            ("*/*:l*t", "a/b:latest", Ok(true)),
            ("a?c", "abc", Ok(true)),
            ("a?c", "a/c", Ok(false)),
            ("[a-c]x", "bx", Ok(true)),
            ("[^a-c]x", "bx", Ok(false)),
            ("a\\*", "a*", Ok(true)),
            ("a\\*", "ab", Ok(false)),
            ("[", "a", Err(BadPattern)),
            ("a[]", "a", Err(BadPattern)),
            ("a\\", "a", Err(BadPattern)),
            ("", "", Ok(true)),
            ("**b", "aab", Ok(true)),
        ] {
            assert_eq!(matches(pattern, name), expected, "{pattern} on {name}");
        }
    }
}
