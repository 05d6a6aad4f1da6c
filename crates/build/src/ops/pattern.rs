//! Wildcards of `COPY` and `ADD`: the rules of Go's `filepath.Match`, on bytes of one path component.

/// A pattern that is no pattern: an open class or a trailing escape.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BadPattern;

/// Whether a component has to be matched rather than compared.
pub(crate) fn has_wildcards(component: &str) -> bool {
    component
        .bytes()
        .any(|byte| matches!(byte, b'*' | b'?' | b'[' | b'\\'))
}

/// A pattern that was checked.
#[derive(Debug, Clone)]
pub(crate) struct Pattern {
    elements: Vec<Element>,
}

#[derive(Debug, Clone)]
enum Element {
    Any,
    One,
    Literal(char),
    Class {
        negated: bool,
        ranges: Vec<(char, char)>,
    },
}

impl Pattern {
    pub(crate) fn parse(text: &str) -> Result<Self, BadPattern> {
        let mut elements = Vec::new();
        let mut characters = text.chars().peekable();
        while let Some(character) = characters.next() {
            elements.push(match character {
                '*' => Element::Any,
                '?' => Element::One,
                '\\' => Element::Literal(characters.next().ok_or(BadPattern)?),
                '[' => class(&mut characters)?,
                other => Element::Literal(other),
            });
        }
        Ok(Self { elements })
    }

    /// Whether the whole name matches. A name has no slashes, so `*` takes everything.
    pub(crate) fn matches(&self, name: &str) -> bool {
        let name: Vec<char> = name.chars().collect();
        let (mut at, mut read) = (0, 0);
        // The last `*`, and where it would take one more.
        let mut fallback: Option<(usize, usize)> = None;
        loop {
            match (self.elements.get(at), name.get(read)) {
                (Some(Element::Any), _) => {
                    fallback = Some((at + 1, read));
                    at += 1;
                }
                (None, None) => return true,
                (Some(element), Some(character)) if element.takes(*character) => {
                    at += 1;
                    read += 1;
                }
                _ => match fallback {
                    Some((after, from)) if from < name.len() => {
                        fallback = Some((after, from + 1));
                        (at, read) = (after, from + 1);
                    }
                    _ => return false,
                },
            }
        }
    }
}

impl Element {
    fn takes(&self, character: char) -> bool {
        match self {
            Self::Any => false,
            Self::One => true,
            Self::Literal(literal) => *literal == character,
            Self::Class { negated, ranges } => {
                let found = ranges
                    .iter()
                    .any(|(low, high)| (*low..=*high).contains(&character));
                found != *negated
            }
        }
    }
}

/// What follows `[`, up to and with `]`.
fn class(characters: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Result<Element, BadPattern> {
    let negated = characters.next_if_eq(&'^').is_some();
    let mut ranges = Vec::new();
    loop {
        if !ranges.is_empty() && characters.next_if_eq(&']').is_some() {
            return Ok(Element::Class { negated, ranges });
        }
        let low = class_character(characters)?;
        let high = match characters.next_if_eq(&'-') {
            Some(_) => class_character(characters)?,
            None => low,
        };
        ranges.push((low, high));
    }
}

fn class_character(
    characters: &mut std::iter::Peekable<std::str::Chars<'_>>,
) -> Result<char, BadPattern> {
    match characters.next() {
        None | Some('-' | ']') => Err(BadPattern),
        Some('\\') => characters.next().ok_or(BadPattern),
        Some(other) => Ok(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_of_go() {
        for (pattern, name, expected) in [
            ("abc", "abc", Ok(true)),
            ("*", "abc", Ok(true)),
            ("*c", "abc", Ok(true)),
            ("a*", "a", Ok(true)),
            ("a*b*c*d*e*", "axbxcxdxe", Ok(true)),
            ("a*b?c*x", "abxbbxdbxebxczzx", Ok(true)),
            ("a*b?c*x", "abxbbxdbxebxczzy", Ok(false)),
            ("ab[c]", "abc", Ok(true)),
            ("ab[b-d]", "abc", Ok(true)),
            ("ab[e-g]", "abc", Ok(false)),
            ("ab[^c]", "abc", Ok(false)),
            ("ab[^e-g]", "abc", Ok(true)),
            ("a\\*b", "a*b", Ok(true)),
            ("a\\*b", "ab", Ok(false)),
            ("a?b", "a☺b", Ok(true)),
            ("a[^a]b", "a☺b", Ok(true)),
            ("[\\-x]", "x", Ok(true)),
            ("[x\\-]", "-", Ok(true)),
            ("[]a]", "]", Err(BadPattern)),
            ("[-]", "-", Err(BadPattern)),
            ("[x-]", "x", Err(BadPattern)),
            ("[-x]", "x", Err(BadPattern)),
            ("[a-b-c]", "a", Err(BadPattern)),
            ("[", "a", Err(BadPattern)),
            ("[^", "a", Err(BadPattern)),
            ("a[", "a", Err(BadPattern)),
            ("\\", "a", Err(BadPattern)),
            ("", "", Ok(true)),
            ("*x", "xxx", Ok(true)),
        ] {
            let found = Pattern::parse(pattern).map(|parsed| parsed.matches(name));
            assert_eq!(found, expected, "{pattern} {name}");
        }
    }
}
