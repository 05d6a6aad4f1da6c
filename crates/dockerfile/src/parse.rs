//! Text to nodes: directives, logical lines, flags, arguments, here-documents.
//!
//! Bytes that are no UTF-8 become U+FFFD. Docker's parser is line by line, so is this one, and a
//! line is looked at once: the time is linear in the source.

mod arguments;
mod directive;
mod dump;
mod flags;
mod heredoc;
mod line;

use std::borrow::Cow;

use crate::error::ErrorKind;
use crate::lint::{Rule, Warning};
use crate::{ParseError, Point, Position, Span};

use directive::DirectiveParser;
pub(crate) use directive::check_comment;
pub(crate) use heredoc::heredoc_word;
use line::{Lines, is_comment, strip_continuation, trim_line_end};

/// The longest Dockerfile in bytes. Docker has no limit of its own; ours is far above any real file.
pub const SOURCE_LIMIT: usize = 64 << 20;
/// The longest line in bytes, its line feed not counted: docker's scanner stops there too.
pub const LINE_LIMIT: usize = 65_535;

pub(crate) const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// A parsed Dockerfile.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Syntax {
    /// The parser directives.
    pub directives: Directives,
    /// One node per instruction; unknown instructions are kept.
    pub nodes: Vec<Node>,
    /// `NoEmptyContinuation` warnings.
    pub warnings: Vec<Warning>,
}

/// The parser directives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Directives {
    /// `syntax`: the frontend that the file asks for, with the rest of the line; never fetched.
    pub syntax: Option<String>,
    /// `escape`: a backslash or a backtick.
    pub escape: char,
    /// `check`: options for [`crate::lint::CheckOptions`], as written.
    pub check: Option<String>,
}

impl Default for Directives {
    fn default() -> Self {
        Self {
            syntax: None,
            escape: '\\',
            check: None,
        }
    }
}

/// One instruction as text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Node {
    /// The instruction's word as written.
    pub name: String,
    /// Flags, in order.
    pub flags: Vec<Flag>,
    /// The arguments; `ENV` and `LABEL` have three for each pair: name, value, `=` or nothing.
    pub arguments: Vec<String>,
    /// True if the arguments were a JSON array.
    pub json: bool,
    /// The instruction after `ONBUILD`.
    pub trigger: Option<Box<Self>>,
    /// Here-documents, in order.
    pub heredocs: Vec<Heredoc>,
    /// The logical line: continuations joined, comments gone, leading blanks gone.
    pub text: String,
    /// Where it stands, here-documents included.
    pub span: Span,
    /// The comments directly above, without `#`.
    pub comments: Vec<String>,
    /// Where the parts of `text` stand: offset in bytes and position, ascending.
    pub origins: Vec<(usize, Position)>,
}

/// A flag of an instruction.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Flag {
    /// Name and value, quotes and escapes removed: `--from=x`.
    pub text: String,
    /// Where it begins in [`Node::text`], in bytes.
    pub offset: usize,
}

/// A here-document.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Heredoc {
    /// The word after `<<`, quotes removed.
    pub name: String,
    /// The number before `<<`, 0 without one.
    pub descriptor: u64,
    /// True if the word was not quoted.
    pub expand: bool,
    /// True for `<<-`: leading tabs go, see [`Heredoc::chomped`].
    pub chomp: bool,
    /// The lines between, as written, with their line ends.
    pub content: String,
}

impl Node {
    /// Takes the parts of an instruction; text and place stay.
    fn take(&mut self, read: Self) {
        self.name = read.name;
        self.flags = read.flags;
        self.arguments = read.arguments;
        self.json = read.json;
        self.trigger = read.trigger;
    }

    /// The place in the source of a place in [`Node::text`].
    pub fn position(&self, offset: usize) -> Position {
        position(&self.origins, offset, self.span.start)
    }
}

/// The place in the source of a place in a logical line.
fn position(origins: &[(usize, Position)], offset: usize, otherwise: Position) -> Position {
    let after = origins.partition_point(|(start, _)| *start <= offset);
    match origins.get(after.saturating_sub(1)) {
        Some((start, place)) => Position {
            line: place.line,
            column: place.column.saturating_add(offset.saturating_sub(*start)),
        },
        None => otherwise,
    }
}

fn has_nul(node: &Node) -> bool {
    let own = node
        .arguments
        .iter()
        .any(|argument| argument.contains('\0'));
    own || node.trigger.as_deref().is_some_and(has_nul)
}

/// Refuses an instruction with a NUL byte that a JSON array escapes: the language has it, no program can be given it.
pub(crate) fn without_nul(node: &Node) -> Result<(), ParseError> {
    if has_nul(node) {
        return Err(nul_byte(node.span.start));
    }
    Ok(())
}

/// No argument, variable or path of a program can hold one; the file is most likely no text at all.
fn nul_byte(at: Position) -> ParseError {
    let kind = ErrorKind::Syntax("instruction contains a NUL byte".to_owned());
    let span = Span { start: at, end: at };
    ParseError::of_instruction(kind, span, Some(at), None)
}

/// Reads a Dockerfile.
///
/// Errors are docker's: no instruction at all, a here-document without end, a JSON array of other
/// things than strings, `ENV` and `LABEL` without value, a directive twice, too long lines.
pub fn parse(source: &[u8]) -> Result<Syntax, ParseError> {
    if source.len() > SOURCE_LIMIT {
        return Err(ParseError::new(ErrorKind::TooLarge, Vec::new()));
    }
    let source = source.strip_prefix(BYTE_ORDER_MARK).unwrap_or(source);
    let text = lossy(source);
    let mut parser = Parser {
        lines: Lines::new(source, &text),
        head: DirectiveParser::new("#"),
        syntax: Syntax::default(),
        comments: Vec::new(),
    };
    parser.run()?;
    let mut syntax = parser.syntax;
    directive::detect(&text, &mut syntax.directives);
    Ok(syntax)
}

fn lossy(source: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(source)
}

struct Parser<'a> {
    lines: Lines<'a>,
    head: DirectiveParser,
    syntax: Syntax,
    comments: Vec<String>,
}

/// A logical line.
#[derive(Default)]
struct Logical {
    text: String,
    origins: Vec<(usize, Position)>,
    empty_continuation: bool,
}

impl Logical {
    fn push(&mut self, part: &str, line: usize, column: usize) {
        self.origins
            .push((self.text.len(), Position { line, column }));
        self.text.push_str(part);
    }
}

impl Parser<'_> {
    fn run(&mut self) -> Result<(), ParseError> {
        while let Some(line) = self.lines.next() {
            self.instruction(line)?;
        }
        let last = self.lines.number;
        if self.lines.too_long {
            let line = last.saturating_add(1);
            return Err(ParseError::new(
                ErrorKind::LineTooLong,
                vec![Span::lines(line, line)],
            ));
        }
        if self.syntax.nodes.is_empty() {
            return Err(ParseError::new(
                ErrorKind::Empty,
                vec![Span::lines(last, last)],
            ));
        }
        Ok(())
    }

    /// An instruction that begins on this line, if one does.
    fn instruction(&mut self, line: &str) -> Result<(), ParseError> {
        let first = self.lines.number;
        let bare = trim_line_end(line);
        let start = bare.trim_start();
        let column = bare.len().saturating_sub(start.len()).saturating_add(1);
        let place = Position {
            line: first,
            column,
        };
        self.comment_or_directive(line).map_err(|kind| {
            ParseError::new(kind, vec![Span::lines(first, first)]).pointing_at(Some(place))
        })?;
        if is_comment(line) {
            return Ok(());
        }
        let escape = self.syntax.directives.escape;
        let (part, ends) = strip_continuation(start, escape);
        if ends && part.is_empty() {
            return Ok(());
        }
        let mut logical = Logical::default();
        logical.push(part, first, column);
        if !ends {
            self.continuation(&mut logical);
        }
        let span = Span {
            start: place,
            end: Position {
                line: self.lines.number,
                column: 0,
            },
        };
        if logical.empty_continuation {
            let at = Span::lines(self.lines.number, self.lines.number);
            let detail = "Empty continuation line";
            self.syntax
                .warnings
                .push(Warning::new(Rule::NoEmptyContinuation, detail, at));
        }
        self.node(logical, span)
    }

    /// Comments are kept for the instruction below them; `#` alone begins anew.
    fn comment_or_directive(&mut self, line: &str) -> Result<(), ErrorKind> {
        let token = trim_line_end(line).trim_start();
        let found = self.head.line(token)?;
        if let Some((name, value)) = found {
            if name == "escape" {
                self.syntax.directives.escape = directive::escape(value)?;
            }
            return Ok(());
        }
        if is_comment(line) {
            // Docker drops the first character, blank or not.
            let mut rest = line.chars();
            rest.next();
            match rest.as_str().trim() {
                "" => self.comments.clear(),
                text => self.comments.push(text.to_owned()),
            }
        }
        Ok(())
    }

    fn continuation(&mut self, logical: &mut Logical) {
        let escape = self.syntax.directives.escape;
        while let Some(line) = self.lines.next() {
            if is_comment(line) {
                continue;
            }
            let bare = trim_line_end(line);
            if bare.trim_start().is_empty() {
                logical.empty_continuation = true;
                continue;
            }
            let (part, ends) = strip_continuation(bare, escape);
            logical.push(part, self.lines.number, 1);
            if ends {
                return;
            }
        }
    }

    fn node(&mut self, logical: Logical, mut span: Span) -> Result<(), ParseError> {
        let escape = self.syntax.directives.escape;
        let failed = |kind, span| ParseError::new(kind, vec![span]);
        if let Some(offset) = logical.text.find('\0') {
            return Err(nul_byte(position(&logical.origins, offset, span.start)));
        }
        let read = arguments::node(&logical.text, escape, 0);
        let mut node = Node {
            text: logical.text,
            origins: logical.origins,
            span,
            ..Node::default()
        };
        match read {
            Ok(read) => node.take(read),
            Err(wrong) => {
                let place = node.find(&wrong.point);
                return Err(failed(wrong.kind, span).pointing_at(place));
            }
        }
        if heredoc::allowed(&node) {
            let found = heredoc::in_line(&node.text).map_err(|kind| failed(kind, span))?;
            for (word, mut document) in found {
                let mut nul = None;
                let complete = self.heredoc_content(&mut document, &mut nul);
                // A file of COPY may have any bytes; a script may not.
                if let Some(line) = nul.filter(|_| node.name.eq_ignore_ascii_case("RUN")) {
                    return Err(nul_byte(Position { line, column: 1 }));
                }
                span.end.line = self.lines.number;
                if !complete && !self.lines.too_long {
                    let kind = ErrorKind::Syntax("unterminated heredoc".to_owned());
                    let place = node.find(&Point::Word(word));
                    return Err(failed(kind, span).pointing_at(place));
                }
                node.heredocs.push(document);
            }
        }
        node.span = span;
        node.comments = std::mem::take(&mut self.comments);
        self.syntax.nodes.push(node);
        Ok(())
    }

    /// Reads up to the terminator; false if there is none. `nul` becomes the first line with a NUL byte.
    fn heredoc_content(&mut self, document: &mut Heredoc, nul: &mut Option<usize>) -> bool {
        while let Some(line) = self.lines.next() {
            let bare = trim_line_end(line);
            let word = if document.chomp {
                bare.trim_start_matches('\t')
            } else {
                bare
            };
            if word == document.name {
                return true;
            }
            if nul.is_none() && line.contains('\0') {
                *nul = Some(self.lines.number);
            }
            document.content.push_str(line);
        }
        false
    }
}

#[cfg(test)]
mod tests;
