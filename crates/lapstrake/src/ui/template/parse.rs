//! Items → tree, with the rules and error texts of Go's template parser.

use super::lex::{Item, Kind, lex, parse_number};
use super::nodes::{Branch, BranchKind, Command, Node, Operand, OperandKind, Pipe, Tree};
use super::{TemplateError, Value, funcs};

/// Parentheses and blocks may nest this deep.
const MAX_DEPTH: usize = 200;

/// Reads a template.
pub(super) fn parse(text: &str) -> Result<Tree, TemplateError> {
    let mut parser = Parser {
        items: lex(text),
        at: 0,
        action_line: 0,
        range_depth: 0,
        depth: 0,
        variables: vec!["$".to_owned()],
        tree: Tree::default(),
    };
    let (nodes, end) = parser.list()?;
    if let Some(end) = end {
        let what = match end {
            End::End => "{{end}}",
            End::Else => "{{else}}",
        };
        return Err(parser.error(&format!("unexpected {what}")));
    }
    parser.tree.templates.insert(String::new(), nodes);
    Ok(parser.tree)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    End,
    Else,
}

enum Parsed {
    Node(Node),
    End(End),
    Nothing,
}

struct Parser {
    items: Vec<Item>,
    at: usize,
    action_line: usize,
    range_depth: usize,
    depth: usize,
    variables: Vec<String>,
    tree: Tree,
}

type Result2<T> = Result<T, TemplateError>;

impl Parser {
    fn error(&self, message: &str) -> TemplateError {
        let line = self
            .items
            .get(self.at.saturating_sub(1))
            .map_or(1, |item| item.line);
        TemplateError(format!(":{line}: {message}"))
    }

    fn peek(&self) -> Item {
        self.items
            .get(self.at)
            .or(self.items.last())
            .cloned()
            .unwrap_or_else(|| Item {
                kind: Kind::Eof,
                at: 0,
                line: 1,
                text: String::new(),
            })
    }

    fn next(&mut self) -> Item {
        let item = self.peek();
        self.at += 1;
        item
    }

    fn peek_solid(&mut self) -> Item {
        while self.peek().kind == Kind::Space {
            self.at += 1;
        }
        self.peek()
    }

    fn next_solid(&mut self) -> Item {
        let item = self.peek_solid();
        self.at += 1;
        item
    }

    fn unexpected(&self, item: &Item, context: &str) -> TemplateError {
        if item.kind != Kind::Error {
            return self.error(&format!("unexpected {} in {context}", item.shown()));
        }
        let mut extra = String::new();
        if self.action_line != 0 && self.action_line != item.line {
            extra = if item.text.ends_with(" action") {
                format!(" started at :{}", self.action_line)
            } else {
                format!(" in action started at :{}", self.action_line)
            };
        }
        TemplateError(format!(":{}: {}{extra}", item.line, item.text))
    }

    fn deeper(&mut self) -> Result2<()> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(self.error("template nests too deep"));
        }
        Ok(())
    }

    /// Nodes up to the end of the text, `{{end}}` or `{{else}}`.
    fn list(&mut self) -> Result2<(Vec<Node>, Option<End>)> {
        let mut nodes = Vec::new();
        loop {
            let item = self.next_solid();
            match item.kind {
                Kind::Eof => return Ok((nodes, None)),
                Kind::Text => nodes.push(Node::Text(item.text)),
                Kind::LeftDelim => {
                    self.action_line = item.line;
                    match self.action()? {
                        Parsed::Node(node) => nodes.push(node),
                        Parsed::End(end) => return Ok((nodes, Some(end))),
                        Parsed::Nothing => {}
                    }
                    self.action_line = 0;
                }
                _ => return Err(self.unexpected(&item, "input")),
            }
        }
    }

    fn action(&mut self) -> Result2<Parsed> {
        let item = self.next_solid();
        if item.kind == Kind::Keyword {
            match item.text.as_str() {
                "if" => return self.branch(BranchKind::If),
                "with" => return self.branch(BranchKind::With),
                "range" => return self.branch(BranchKind::Range),
                "end" => return self.closing(End::End, "end"),
                "else" => return self.otherwise(),
                "template" => return self.template(),
                "define" => return self.define(),
                "block" => return self.block(item.at),
                "break" => return self.jump(Node::Break, "{{break}}"),
                "continue" => return self.jump(Node::Continue, "{{continue}}"),
                _ => {}
            }
        }
        self.at -= 1;
        let pipe = self.pipeline("command", Kind::RightDelim)?;
        Ok(Parsed::Node(Node::Action(pipe)))
    }

    fn closing(&mut self, end: End, context: &str) -> Result2<Parsed> {
        let item = self.next_solid();
        if item.kind != Kind::RightDelim {
            return Err(self.unexpected(&item, context));
        }
        Ok(Parsed::End(end))
    }

    /// `{{else}}`; `{{else if …}}` stays at the keyword for the branch to read.
    fn otherwise(&mut self) -> Result2<Parsed> {
        let item = self.peek_solid();
        if item.kind == Kind::Keyword && matches!(item.text.as_str(), "if" | "with") {
            return Ok(Parsed::End(End::Else));
        }
        self.closing(End::Else, "else")
    }

    fn jump(&mut self, node: Node, shown: &str) -> Result2<Parsed> {
        let item = self.next_solid();
        if item.kind != Kind::RightDelim {
            return Err(self.unexpected(&item, shown));
        }
        if self.range_depth == 0 {
            return Err(self.error(&format!("{shown} outside {{{{range}}}}")));
        }
        Ok(Parsed::Node(node))
    }

    fn branch(&mut self, kind: BranchKind) -> Result2<Parsed> {
        self.deeper()?;
        let scope = self.variables.len();
        let pipe = self.pipeline(kind.word(), Kind::RightDelim)?;
        if kind == BranchKind::Range {
            self.range_depth += 1;
        }
        let (body, end) = self.list()?;
        if kind == BranchKind::Range {
            self.range_depth -= 1;
        }
        let otherwise = match end {
            Some(End::End) => Vec::new(),
            Some(End::Else) => self.else_part(kind)?,
            None => return Err(self.eof()),
        };
        self.variables.truncate(scope);
        self.depth -= 1;
        Ok(Parsed::Node(Node::Branch(Branch {
            kind,
            pipe,
            body,
            otherwise,
        })))
    }

    /// What follows `{{else`: either another branch, or a list up to `{{end}}`.
    fn else_part(&mut self, kind: BranchKind) -> Result2<Vec<Node>> {
        let item = self.peek();
        if item.kind == Kind::Keyword && kind != BranchKind::Range && item.text == kind.word() {
            self.at += 1;
            let Parsed::Node(node) = self.branch(kind)? else {
                return Ok(Vec::new());
            };
            return Ok(vec![node]);
        }
        if item.kind == Kind::Keyword {
            return Err(self.unexpected(&item, "else"));
        }
        let (nodes, end) = self.list()?;
        match end {
            Some(End::End) => Ok(nodes),
            Some(End::Else) => Err(self.error("expected end; found {{else}}")),
            None => Err(self.eof()),
        }
    }

    fn eof(&self) -> TemplateError {
        self.error("unexpected EOF")
    }

    fn template(&mut self) -> Result2<Parsed> {
        let item = self.next_solid();
        let at = item.at;
        let name = self.name_of(&item, "template clause")?;
        let pipe = if self.next_solid().kind == Kind::RightDelim {
            None
        } else {
            self.at -= 1;
            Some(self.pipeline("template clause", Kind::RightDelim)?)
        };
        Ok(Parsed::Node(Node::Template { at, name, pipe }))
    }

    fn define(&mut self) -> Result2<Parsed> {
        let item = self.next_solid();
        let name = self.name_of(&item, "define clause")?;
        let item = self.next_solid();
        if item.kind != Kind::RightDelim {
            return Err(self.unexpected(&item, "define clause"));
        }
        let body = self.body_of_define("define clause")?;
        self.tree.templates.insert(name, body);
        Ok(Parsed::Nothing)
    }

    fn block(&mut self, at: usize) -> Result2<Parsed> {
        let item = self.next_solid();
        let name = self.name_of(&item, "block clause")?;
        let pipe = self.pipeline("block clause", Kind::RightDelim)?;
        let body = self.body_of_define("block clause")?;
        self.tree.templates.insert(name.clone(), body);
        Ok(Parsed::Node(Node::Template {
            at,
            name,
            pipe: Some(pipe),
        }))
    }

    fn body_of_define(&mut self, context: &str) -> Result2<Vec<Node>> {
        self.deeper()?;
        let outer = std::mem::replace(&mut self.variables, vec!["$".to_owned()]);
        let (body, end) = self.list()?;
        self.variables = outer;
        self.depth -= 1;
        match end {
            Some(End::End) => Ok(body),
            Some(End::Else) => Err(self.error(&format!("unexpected {{{{else}}}} in {context}"))),
            None => Err(self.eof()),
        }
    }

    fn name_of(&self, item: &Item, context: &str) -> Result2<String> {
        match item.kind {
            Kind::String | Kind::RawString => self.unquote(item),
            _ => Err(self.unexpected(item, context)),
        }
    }

    fn pipeline(&mut self, context: &str, end: Kind) -> Result2<Pipe> {
        let mut pipe = Pipe {
            at: self.peek_solid().at,
            ..Pipe::default()
        };
        self.declarations(&mut pipe, context)?;
        loop {
            let item = self.next_solid();
            if item.kind == end {
                self.check_pipeline(&pipe, context)?;
                return Ok(pipe);
            }
            if !starts_operand(&item) {
                return Err(self.unexpected(&item, context));
            }
            self.at -= 1;
            let command = self.command()?;
            pipe.commands.push(command);
        }
    }

    /// `$x :=`, `$x =`, `$i, $x :=`.
    fn declarations(&mut self, pipe: &mut Pipe, context: &str) -> Result2<()> {
        loop {
            let variable = self.peek_solid();
            if variable.kind != Kind::Variable {
                return Ok(());
            }
            let before = self.at;
            self.at += 1;
            let next = self.peek_solid();
            match next.kind {
                Kind::Assign | Kind::Declare => {
                    self.at += 1;
                    pipe.assigns = next.kind == Kind::Assign;
                    pipe.variables.push(variable.text.clone());
                    self.variables.push(variable.text);
                    return Ok(());
                }
                Kind::Char if next.text == "," => {
                    self.at += 1;
                    pipe.variables.push(variable.text.clone());
                    self.variables.push(variable.text);
                    if context != "range" || pipe.variables.len() >= 2 {
                        return Err(self.error(&format!("too many declarations in {context}")));
                    }
                    if self.peek_solid().kind != Kind::Variable {
                        return Err(self.error("range can only initialize variables"));
                    }
                }
                _ => {
                    self.at = before;
                    return Ok(());
                }
            }
        }
    }

    fn check_pipeline(&self, pipe: &Pipe, context: &str) -> Result2<()> {
        if pipe.commands.is_empty() {
            return Err(self.error(&format!("missing value for {context}")));
        }
        for (index, command) in pipe.commands.iter().enumerate().skip(1) {
            let first = command.operands.first().map(|operand| &operand.kind);
            if matches!(
                first,
                Some(OperandKind::Dot | OperandKind::Nil | OperandKind::Literal { .. })
            ) {
                return Err(self.error(&format!(
                    "non executable command in pipeline stage {}",
                    index + 1
                )));
            }
        }
        Ok(())
    }

    fn command(&mut self) -> Result2<Command> {
        let mut command = Command {
            operands: Vec::new(),
        };
        loop {
            self.peek_solid();
            if let Some(operand) = self.operand()? {
                command.operands.push(operand);
            }
            let item = self.next();
            match item.kind {
                Kind::Space => {}
                Kind::RightDelim | Kind::RightParen => {
                    self.at -= 1;
                    break;
                }
                Kind::Pipe => break,
                _ => return Err(self.unexpected(&item, "operand")),
            }
        }
        if command.operands.is_empty() {
            return Err(self.error("empty command"));
        }
        Ok(command)
    }

    /// A term and the fields that follow it. The position is that of the last field's dot, as in Go.
    fn operand(&mut self) -> Result2<Option<Operand>> {
        let Some(term) = self.term()? else {
            return Ok(None);
        };
        if self.peek().kind != Kind::Field {
            return Ok(Some(term));
        }
        let at = self.peek().at;
        let mut fields = Vec::new();
        while self.peek().kind == Kind::Field {
            fields.push(field_name(&self.next()));
        }
        let kind = match term.kind {
            OperandKind::Field(mut first) => {
                first.extend(fields);
                OperandKind::Field(first)
            }
            OperandKind::Variable { name, .. } => OperandKind::Variable { name, fields },
            OperandKind::Dot | OperandKind::Nil | OperandKind::Literal { .. } => {
                return Err(self.error(&format!(
                    "unexpected . after term {}",
                    crate::args::go_quote(&term.shown())
                )));
            }
            _ => OperandKind::Chain {
                base: Box::new(term),
                fields,
            },
        };
        Ok(Some(Operand { at, kind }))
    }

    fn term(&mut self) -> Result2<Option<Operand>> {
        let item = self.next_solid();
        let kind = match item.kind {
            Kind::Identifier => {
                if !funcs::exists(&item.text) {
                    return Err(self.error(&format!(
                        "function {} not defined",
                        crate::args::go_quote(&item.text)
                    )));
                }
                OperandKind::Function(item.text.clone())
            }
            Kind::Dot => OperandKind::Dot,
            Kind::Keyword if item.text == "nil" => OperandKind::Nil,
            Kind::Variable => {
                if !self.variables.contains(&item.text) {
                    return Err(self.error(&format!(
                        "undefined variable {}",
                        crate::args::go_quote(&item.text)
                    )));
                }
                OperandKind::Variable {
                    name: item.text.clone(),
                    fields: Vec::new(),
                }
            }
            Kind::Field => OperandKind::Field(vec![field_name(&item)]),
            Kind::Bool => literal(Value::Bool(item.text == "true"), &item),
            Kind::CharConstant => {
                let text = self.unquote(&item)?;
                let code = text.chars().next().map_or(0, u32::from);
                literal(Value::Int(i64::from(code)), &item)
            }
            Kind::Number => literal(parse_number(&item.text).unwrap_or(Value::Int(0)), &item),
            Kind::LeftParen => {
                self.deeper()?;
                let pipe = self.pipeline("parenthesized pipeline", Kind::RightParen)?;
                self.depth -= 1;
                OperandKind::Pipe(pipe)
            }
            Kind::String | Kind::RawString => literal(self.unquote(&item)?.into(), &item),
            _ => {
                self.at -= 1;
                return Ok(None);
            }
        };
        Ok(Some(Operand { at: item.at, kind }))
    }

    fn unquote(&self, item: &Item) -> Result2<String> {
        unquote(&item.text).ok_or_else(|| self.error("invalid syntax"))
    }
}

fn literal(value: Value, item: &Item) -> OperandKind {
    OperandKind::Literal {
        value,
        shown: item.text.clone(),
    }
}

fn field_name(item: &Item) -> String {
    item.text.trim_start_matches('.').to_owned()
}

fn starts_operand(item: &Item) -> bool {
    match item.kind {
        Kind::Bool
        | Kind::CharConstant
        | Kind::Dot
        | Kind::Field
        | Kind::Identifier
        | Kind::Number
        | Kind::RawString
        | Kind::String
        | Kind::Variable
        | Kind::LeftParen => true,
        Kind::Keyword => item.text == "nil",
        _ => false,
    }
}

/// The text between quotes, with Go's escapes taken apart.
fn unquote(quoted: &str) -> Option<String> {
    let quote = quoted.chars().next()?;
    let body = quoted.get(1..quoted.len().checked_sub(1)?)?;
    if quote == '`' {
        return Some(body.replace('\r', ""));
    }
    let mut out = String::with_capacity(body.len());
    let mut chars = body.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        let digits = |chars: &mut std::str::Chars<'_>, count: usize, radix: u32, first: &str| {
            let text: String = first.chars().chain(chars.by_ref().take(count)).collect();
            u32::from_str_radix(&text, radix)
                .ok()
                .and_then(char::from_u32)
        };
        out.push(match chars.next()? {
            'a' => '\u{7}',
            'b' => '\u{8}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'v' => '\u{b}',
            '\\' => '\\',
            c @ ('"' | '\'') if c == quote => c,
            'x' => digits(&mut chars, 2, 16, "")?,
            'u' => digits(&mut chars, 4, 16, "")?,
            'U' => digits(&mut chars, 8, 16, "")?,
            c @ '0'..='7' => digits(&mut chars, 2, 8, &c.to_string())?,
            _ => return None,
        });
    }
    Some(out)
}
