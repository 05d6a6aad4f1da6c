//! `<<NAME`: which words begin a here-document.

use std::collections::BTreeMap;

use super::{Heredoc, Node};
use crate::error::ErrorKind;
use crate::words::{Options, split_with};

impl Heredoc {
    /// The content without leading tabs when the document began with `<<-`.
    pub fn chomped(&self) -> String {
        if !self.chomp {
            return self.content.clone();
        }
        self.content
            .split_inclusive('\n')
            .map(|line| line.trim_start_matches('\t'))
            .collect()
    }
}

/// `RUN`, `COPY` and `ADD` take here-documents, `ONBUILD` for those too; not with JSON arguments.
pub(super) fn allowed(node: &Node) -> bool {
    let node = match &node.trigger {
        Some(trigger) if node.name.eq_ignore_ascii_case("onbuild") => trigger,
        _ => node,
    };
    let takes = ["add", "copy", "run"]
        .iter()
        .any(|name| node.name.eq_ignore_ascii_case(name));
    takes && !node.json
}

/// The here-documents that a logical line announces, without content, each with its word.
pub(super) fn in_line(line: &str) -> Result<Vec<(String, Heredoc)>, ErrorKind> {
    if !line.contains("<<") {
        return Ok(Vec::new());
    }
    let options = Options {
        raw_quotes: true,
        raw_escapes: true,
        ..lexing()
    };
    // A line that cannot be split, for a shell to complain about, announces none.
    let Ok(split) = split_with(line, &BTreeMap::new(), options) else {
        return Ok(Vec::new());
    };
    let mut found = Vec::new();
    for word in split.words {
        if let Some(document) = heredoc_word(&word)? {
            found.push((word, document));
        }
    }
    Ok(found)
}

/// Reads `[number]<<[-]NAME`, where NAME may be quoted and must be one word.
pub(crate) fn heredoc_word(word: &str) -> Result<Option<Heredoc>, ErrorKind> {
    let Some((number, rest)) = word.split_once("<<") else {
        return Ok(None);
    };
    let chomped = rest.strip_prefix('-');
    let name = chomped
        .unwrap_or(rest)
        .trim_start_matches(['\t', '\n', '\u{c}', '\r', ' ']);
    if !number.bytes().all(|b| b.is_ascii_digit()) || name.is_empty() || name.contains('<') {
        return Ok(None);
    }
    let plain = lex(name, lexing())?;
    let [plain] = plain.as_slice() else {
        return Ok(None);
    };
    let raw = lex(
        name,
        Options {
            raw_quotes: true,
            ..lexing()
        },
    )?;
    let quotes = |text: &str| text.matches(['\'', '"']).count();
    let expand = raw.first().is_some_and(|raw| quotes(raw) == quotes(plain));
    // A number that is no descriptor is as good as the largest one.
    let descriptor = if number.is_empty() {
        0
    } else {
        number.parse().unwrap_or(u64::MAX)
    };
    let name = plain.clone();
    Ok(Some(Heredoc {
        name,
        descriptor,
        expand,
        chomp: chomped.is_some(),
        content: String::new(),
    }))
}

fn lex(name: &str, options: Options) -> Result<Vec<String>, ErrorKind> {
    split_with(name, &BTreeMap::new(), options)
        .map(|split| split.words)
        .map_err(|error| ErrorKind::Syntax(error.to_string()))
}

/// The escape directive does not count here: docker reads here-document words with a backslash.
fn lexing() -> Options {
    Options {
        keep_unset: true,
        ..Options::new('\\')
    }
}
