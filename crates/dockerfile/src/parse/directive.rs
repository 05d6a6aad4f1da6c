//! Parser directives: `# name=value` lines at the head, before anything else.

use crate::ErrorKind;

use super::Directives;

/// The directives that are known; another name ends the head of the file.
const NAMES: [&str; 3] = ["syntax", "escape", "check"];

/// Reads the head of a file line by line.
#[derive(Debug)]
pub(super) struct DirectiveParser {
    comment: &'static str,
    seen: Vec<&'static str>,
    done: bool,
}

impl DirectiveParser {
    pub(super) fn new(comment: &'static str) -> Self {
        Self {
            comment,
            seen: Vec::new(),
            done: false,
        }
    }

    /// The directive of a line. The first line that is none ends the head for good.
    pub(super) fn line<'a>(
        &mut self,
        line: &'a str,
    ) -> Result<Option<(&'static str, &'a str)>, ErrorKind> {
        if self.done {
            return Ok(None);
        }
        let Some((name, value)) = line.strip_prefix(self.comment).and_then(split) else {
            self.done = true;
            return Ok(None);
        };
        if self.seen.contains(&name) {
            return Err(ErrorKind::Syntax(format!(
                "only one {name} parser directive can be used"
            )));
        }
        self.seen.push(name);
        Ok(Some((name, value)))
    }
}

/// `name = value` with a known name.
fn split(text: &str) -> Option<(&'static str, &str)> {
    let (name, value) = text.trim_start().split_once('=')?;
    let name = name.trim_end_matches(is_blank);
    let name = NAMES
        .into_iter()
        .find(|known| name.eq_ignore_ascii_case(known))?;
    let trimmed = value.trim_matches(is_blank);
    if trimmed.is_empty() {
        // A value of blanks is one blank to docker.
        let (last, _) = value.char_indices().next_back()?;
        return value.get(last..).map(|value| (name, value));
    }
    Some((name, trimmed))
}

fn is_blank(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\u{c}' | '\r' | ' ')
}

/// The escape character that a directive asks for.
pub(super) fn escape(value: &str) -> Result<char, ErrorKind> {
    match value {
        "\\" => Ok('\\'),
        "`" => Ok('`'),
        _ => Err(ErrorKind::Syntax(format!(
            "invalid escape token '{value}' does not match ` or \\"
        ))),
    }
}

/// `syntax` and `check`, which docker's client looks for before the file is parsed: a first line
/// `#!…` is skipped, and `syntax` may stand in a `//` comment or in a JSON object.
pub(super) fn detect(text: &str, directives: &mut Directives) {
    let text = match text.strip_prefix("#!") {
        Some(rest) => rest.split_once('\n').map_or("", |(_, rest)| rest),
        None => text,
    };
    directives.check = find("check", "#", text);
    directives.syntax = find("syntax", "#", text)
        .or_else(|| find("syntax", "//", text))
        .or_else(|| json(text));
}

fn find(wanted: &str, comment: &'static str, text: &str) -> Option<String> {
    let mut parser = DirectiveParser::new(comment);
    for line in text.lines() {
        match parser.line(line) {
            Ok(Some((name, value))) if name == wanted => return Some(value.to_owned()),
            Ok(Some(_)) => {}
            Ok(None) | Err(_) => return None,
        }
    }
    None
}

fn json(text: &str) -> Option<String> {
    // Only an object can carry the directive; a Dockerfile never begins with a brace.
    if !text.trim_start().starts_with('{') {
        return None;
    }
    let object: serde_json::Map<String, serde_json::Value> = serde_json::from_str(text).ok()?;
    object.get("syntax")?.as_str().map(str::to_owned)
}

/// The options of a comment `check=…` above an instruction; `#` is already gone.
pub(crate) fn check_comment(comment: &str) -> Option<&str> {
    split(comment)
        .filter(|(name, _)| *name == "check")
        .map(|(_, value)| value)
}
