//! The patterns of `${x#p}`, `${x%p}` and `${x/p/r}`: `*` and `?`, without brackets; a line feed
//! is matched by neither.
//!
//! A pattern is run as a set of places that are alive, so that the time is at most the product of
//! both lengths, and [`Work`] bounds that product.

/// Steps that are left.
pub(super) struct Work(pub(super) usize);

impl Work {
    fn spend(&mut self, steps: usize) -> Result<(), String> {
        self.0 = self
            .0
            .checked_sub(steps.saturating_add(1))
            .ok_or_else(|| "pattern takes too long on this value".to_owned())?;
        Ok(())
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token {
    Char(char),
    Any,
    Star,
}

impl Token {
    fn takes(self, c: char) -> bool {
        match self {
            Self::Char(own) => own == c,
            Self::Any | Self::Star => c != '\n',
        }
    }
}

#[derive(Debug)]
pub(super) struct Pattern(Vec<Token>);

/// The places of a pattern that are alive: `alive[i]` says that the tokens before `i` are matched.
struct Run<'p> {
    tokens: &'p [Token],
    alive: Vec<bool>,
    next: Vec<bool>,
}

impl<'p> Run<'p> {
    fn new(tokens: &'p [Token]) -> Self {
        let places = tokens.len().saturating_add(1);
        let mut run = Self {
            tokens,
            alive: vec![false; places],
            next: vec![false; places],
        };
        run.start();
        run
    }

    /// A match may begin here.
    fn start(&mut self) {
        let mut open = true;
        for (place, token) in self
            .alive
            .iter_mut()
            .zip(self.tokens.iter().map(Some).chain([None]))
        {
            if !open {
                return;
            }
            *place = true;
            open = token == Some(&Token::Star);
        }
    }

    fn is_match(&self) -> bool {
        self.alive.last().copied().unwrap_or_default()
    }

    /// Takes a character; false if nothing is alive any more.
    fn step(&mut self, c: char) -> bool {
        let mut any = false;
        let mut carried = false;
        let tokens = self.tokens.iter().map(Some).chain([None]);
        for ((next, alive), token) in self.next.iter_mut().zip(&self.alive).zip(tokens) {
            let star = token == Some(&Token::Star);
            let takes = token.is_some_and(|token| *alive && token.takes(c));
            // A star stays where it is, and what comes after it is alive with it.
            *next = carried || (star && takes);
            any |= *next;
            carried = if star { *next } else { takes };
            any |= carried;
        }
        std::mem::swap(&mut self.alive, &mut self.next);
        any
    }
}

impl Pattern {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut tokens = Vec::new();
        let mut chars = text.chars();
        while let Some(c) = chars.next() {
            tokens.push(match c {
                '*' => Token::Star,
                '?' => Token::Any,
                '\\' => match chars.next() {
                    Some(c @ ('}' | '/' | '*' | '?' | '\\')) => Token::Char(c),
                    other => {
                        let other = other.unwrap_or(char::REPLACEMENT_CHARACTER);
                        return Err(format!(
                            "invalid pattern ({text}) in substitution: invalid escape '\\{other}'"
                        ));
                    }
                },
                c => Token::Char(c),
            });
        }
        tokens.dedup_by(|a, b| *a == Token::Star && *b == Token::Star);
        Ok(Self(tokens))
    }

    fn reversed(&self) -> Self {
        Self(self.0.iter().rev().copied().collect())
    }

    pub(super) fn without_prefix<'v>(
        &self,
        value: &'v str,
        longest: bool,
        work: &mut Work,
    ) -> Result<&'v str, String> {
        let length = self
            .length(value.chars(), longest, work)?
            .unwrap_or_default();
        Ok(value.get(length..).unwrap_or_default())
    }

    pub(super) fn without_suffix<'v>(
        &self,
        value: &'v str,
        longest: bool,
        work: &mut Work,
    ) -> Result<&'v str, String> {
        let length = self
            .reversed()
            .length(value.chars().rev(), longest, work)?
            .unwrap_or_default();
        Ok(value
            .get(..value.len().saturating_sub(length))
            .unwrap_or_default())
    }

    /// The bytes of the match that begins at the first character.
    fn length(
        &self,
        chars: impl Iterator<Item = char>,
        longest: bool,
        work: &mut Work,
    ) -> Result<Option<usize>, String> {
        let mut run = Run::new(&self.0);
        let mut found = run.is_match().then_some(0);
        let mut bytes = 0_usize;
        for c in chars {
            if found.is_some() && !longest {
                break;
            }
            work.spend(self.0.len())?;
            let alive = run.step(c);
            bytes = bytes.saturating_add(c.len_utf8());
            if run.is_match() {
                found = Some(bytes);
            }
            if !alive {
                break;
            }
        }
        Ok(found)
    }

    /// The first match, or all that do not overlap, each the leftmost and then the longest. An
    /// empty match right behind another match is none.
    pub(super) fn matches(
        &self,
        value: &str,
        all: bool,
        work: &mut Work,
    ) -> Result<Vec<(usize, usize)>, String> {
        let starts = self.starts(value, work)?;
        let mut found = Vec::new();
        let mut free = 0_usize;
        let mut after_match = false;
        for start in starts.into_iter().rev() {
            if start < free {
                continue;
            }
            let rest = value.get(start..).unwrap_or_default();
            let Some(length) = self.length(rest.chars(), true, work)? else {
                continue;
            };
            if length == 0 && after_match && start == free {
                continue;
            }
            let end = start.saturating_add(length);
            found.push((start, end));
            if !all {
                break;
            }
            free = if length == 0 {
                end.saturating_add(1)
            } else {
                end
            };
            after_match = length > 0;
        }
        Ok(found)
    }

    /// Where matches begin, last one first: the reversed pattern runs backwards over the value, a
    /// match ending anywhere. Without this, each start without a match would cost a whole pass.
    fn starts(&self, value: &str, work: &mut Work) -> Result<Vec<usize>, String> {
        let reversed = self.reversed();
        let mut run = Run::new(&reversed.0);
        let mut starts = Vec::new();
        if run.is_match() {
            starts.push(value.len());
        }
        for (at, c) in value.char_indices().rev() {
            work.spend(self.0.len())?;
            run.step(c);
            run.start();
            if run.is_match() {
                starts.push(at);
            }
        }
        Ok(starts)
    }
}

/// Appends a replacement. Docker's library reads `$name` in it: `$0` is what was found, `$$` a
/// dollar sign, every other name is empty.
pub(super) fn expand_template(out: &mut String, with: &str, found: &str) {
    let mut rest = with;
    while let Some((before, after)) = rest.split_once('$') {
        out.push_str(before);
        if let Some(after) = after.strip_prefix('$') {
            out.push('$');
            rest = after;
            continue;
        }
        match template_name(after) {
            Some((name, after)) => {
                if !name.is_empty() && name.bytes().all(|b| b == b'0') {
                    out.push_str(found);
                }
                rest = after;
            }
            None => {
                out.push('$');
                rest = after;
            }
        }
    }
    out.push_str(rest);
}

fn template_name(text: &str) -> Option<(&str, &str)> {
    let braced = text.strip_prefix('{');
    let inner = braced.unwrap_or(text);
    let is_name = |c: char| c.is_alphanumeric() || c == '_';
    let end = inner.find(|c| !is_name(c)).unwrap_or(inner.len());
    let (name, rest) = inner.split_at_checked(end)?;
    if name.is_empty() {
        return None;
    }
    if braced.is_some() {
        rest.strip_prefix('}').map(|rest| (name, rest))
    } else {
        Some((name, rest))
    }
}
