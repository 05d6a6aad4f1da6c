//! The word that an error or a finding is about, and where it stands.

use crate::parse::Node;
use crate::{Position, Span};

/// What an error or a finding is about, as it stands in its instruction.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Point {
    /// The instruction itself.
    #[default]
    Start,
    /// An argument, or a part of one between quotes, commas and equals signs.
    Word(String),
    /// The last of such words in whatever case: a stage's name after that of its base.
    LastWord(String),
    /// A flag, without its hyphens.
    Flag(String),
    /// A variable: `$NAME` or `${NAME…}`.
    Variable(String),
}

impl Node {
    /// Where the word stands; nothing when the instruction does not have it as such.
    pub fn find(&self, point: &Point) -> Option<Position> {
        let offset = match point {
            Point::Start => return Some(self.span.start).filter(|start| start.column > 0),
            Point::Word(word) => words(&self.text, self.begin(), word).next(),
            Point::LastWord(word) => {
                let text = self.text.to_ascii_lowercase();
                words(&text, self.begin(), &word.to_ascii_lowercase()).last()
            }
            Point::Flag(name) => words(&self.text, self.begin(), &format!("--{name}")).next(),
            Point::Variable(name) => self.variable(name),
        };
        offset.map(|offset| self.position(offset))
    }

    /// Where the instruction's name ends in the text.
    fn begin(&self) -> usize {
        let lead = self.text.len().saturating_sub(self.text.trim_start().len());
        lead.saturating_add(self.name.len())
    }

    fn variable(&self, name: &str) -> Option<usize> {
        let text = |from: usize| self.text.get(from..).unwrap_or_default();
        let found = self.text.match_indices('$').map(|(offset, _)| offset);
        let named = found.filter(|&offset| {
            let rest = text(offset.saturating_add(1));
            let rest = rest.strip_prefix('{').unwrap_or(rest);
            rest.strip_prefix(name)
                .is_some_and(|after| !after.starts_with(is_of_name))
        });
        // One behind the escape character is none, unless that is part of a Windows path.
        let is_plain = |&offset: &usize| {
            let head = self.text.get(..offset).unwrap_or_default();
            !head.ends_with(['\\', '`'])
        };
        let mut named: Vec<usize> = named.collect();
        named.sort_by_key(|offset| (!is_plain(offset), *offset));
        named.first().copied()
    }
}

/// Where a word stands in a text, from `begin` on.
fn words<'a>(text: &'a str, begin: usize, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    let found = text.match_indices(word).map(|(offset, _)| offset);
    found.filter(move |&offset| {
        let before = text.get(..offset).and_then(|head| head.chars().next_back());
        let after = text.get(offset.saturating_add(word.len())..);
        offset >= begin
            && !word.is_empty()
            && before.is_none_or(is_boundary)
            && after.is_none_or(|rest| rest.chars().next().is_none_or(is_boundary))
    })
}

fn is_boundary(c: char) -> bool {
    c.is_whitespace() || "'\"=,[]{}".contains(c)
}

fn is_of_name(c: char) -> bool {
    c == '_' || c.is_ascii_alphanumeric()
}

/// The nodes of a source, by the places of which words are found.
#[derive(Debug, Default)]
pub struct Points {
    nodes: Vec<Node>,
}

impl Points {
    /// Reads a Dockerfile once more. One that cannot be read has no words.
    pub fn of(source: &[u8]) -> Self {
        let nodes = crate::parse(source).map(|syntax| syntax.nodes);
        Self {
            nodes: nodes.unwrap_or_default(),
        }
    }

    /// Where a word of an instruction stands, or where the instruction begins.
    pub fn find(&self, instruction: Span, point: &Point) -> Option<Position> {
        let start = instruction.start;
        let at = self
            .nodes
            .binary_search_by_key(&start.line, |node| node.span.start.line)
            .ok()?;
        let node = self.nodes.get(at)?;
        node.find(point).or_else(|| node.find(&Point::Start))
    }
}

#[cfg(test)]
mod tests;
