//! Runs a parsed template, with Go's rules and error texts.

use super::funcs::{self, Call, Failure};
use super::nodes::{Branch, BranchKind, Command, Node, Operand, OperandKind, Pipe, Tree};
use super::print::print_value;
use super::{TemplateError, Value};

/// What a key that a map does not have means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MissingKey {
    /// It prints as `<no value>`.
    NoValue,
    /// It is an error.
    Error,
}

/// Templates may call each other this deep.
const MAX_CALLS: usize = 100;
/// Blocks, in all the calls under way together, may nest this deep: each takes a part of the stack.
const MAX_BLOCKS: usize = 1000;
/// A template may not print more than this.
const MAX_OUTPUT: usize = 256 << 20;

/// Renders the unnamed template of `tree`; what came before an error is in `out`, too.
pub(super) fn execute(
    text: &str,
    tree: &Tree,
    data: &Value,
    missing_key: MissingKey,
    header: bool,
    out: &mut String,
) -> Result<(), TemplateError> {
    let mut run = Run {
        text,
        tree,
        missing_key,
        header,
        variables: vec![("$".to_owned(), data.clone())],
        calls: 0,
        blocks: 0,
        out: String::new(),
    };
    if let Some(nodes) = tree.templates.get("") {
        let result = run.nodes(nodes, data);
        out.push_str(&run.out);
        result?;
    }
    Ok(())
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flow {
    On,
    Break,
    Continue,
}

struct Run<'a> {
    text: &'a str,
    tree: &'a Tree,
    missing_key: MissingKey,
    header: bool,
    variables: Vec<(String, Value)>,
    calls: usize,
    blocks: usize,
    out: String,
}

/// Where a function is called: its name, and the whole command when it stands in one.
struct Place<'a> {
    operand: &'a Operand,
    command: Option<&'a Command>,
}

impl Place<'_> {
    /// The call as it was written.
    fn whole(&self) -> String {
        self.command
            .map_or_else(|| self.operand.shown(), Command::shown)
    }
}

/// The arguments of a call: those written behind the name, and the value of the command before.
#[derive(Debug, Default)]
struct Given<'a> {
    operands: &'a [Operand],
    last: Option<Value>,
}

type Result2<T> = Result<T, TemplateError>;

impl<'a> Run<'a> {
    /// An error at a place of the text: `:1:2: executing "" at <.Nope>: …`.
    fn error(&self, at: usize, shown: &str, message: &str) -> TemplateError {
        let before = self.text.get(..at).unwrap_or_default();
        let line = 1 + before.matches('\n').count();
        let column = before.rfind('\n').map_or(at, |newline| at - newline - 1);
        TemplateError(format!(
            ":{line}:{column}: executing \"\" at <{shown}>: {message}"
        ))
    }

    fn nodes(&mut self, nodes: &'a [Node], dot: &Value) -> Result2<Flow> {
        for node in nodes {
            match node {
                Node::Text(text) => self.write(text)?,
                Node::Action(pipe) => {
                    let value = self.pipe(pipe, dot)?;
                    match &value {
                        _ if !pipe.variables.is_empty() => {}
                        Value::Text(text) => self.write(text)?,
                        value => self.write(&print_value(value))?,
                    }
                }
                Node::Branch(branch) => {
                    let flow = self.branch(branch, dot)?;
                    if flow != Flow::On {
                        return Ok(flow);
                    }
                }
                Node::Template { at, name, pipe } => self.call(*at, name, pipe.as_ref(), dot)?,
                Node::Break => return Ok(Flow::Break),
                Node::Continue => return Ok(Flow::Continue),
            }
        }
        Ok(Flow::On)
    }

    fn write(&mut self, text: &str) -> Result2<()> {
        if self.out.len() + text.len() > MAX_OUTPUT {
            return Err(TemplateError(":1: the output is too large".to_owned()));
        }
        self.out.push_str(text);
        Ok(())
    }

    fn call(&mut self, at: usize, name: &str, pipe: Option<&'a Pipe>, dot: &Value) -> Result2<()> {
        let shown = format!("{{{{template {}}}}}", crate::args::go_quote(name));
        let Some(nodes) = self.tree.templates.get(name) else {
            let message = format!("template {} not defined", crate::args::go_quote(name));
            return Err(self.error(at, &shown, &message));
        };
        if self.calls >= MAX_CALLS {
            let message = format!("exceeded maximum template depth ({MAX_CALLS})");
            return Err(self.error(at, &shown, &message));
        }
        let data = match pipe {
            Some(pipe) => self.pipe(pipe, dot)?,
            None => Value::Missing,
        };
        let outer = std::mem::replace(&mut self.variables, vec![("$".to_owned(), data.clone())]);
        self.calls += 1;
        self.nodes(nodes, &data)?;
        self.calls -= 1;
        self.variables = outer;
        Ok(())
    }

    fn branch(&mut self, branch: &'a Branch, dot: &Value) -> Result2<Flow> {
        if self.blocks >= MAX_BLOCKS {
            let message = format!("exceeded maximum nesting of blocks ({MAX_BLOCKS})");
            return Err(self.error(branch.pipe.at, &branch.pipe.shown(), &message));
        }
        self.blocks += 1;
        let scope = self.variables.len();
        let flow = if branch.kind == BranchKind::Range {
            self.range(branch, dot)?;
            Flow::On
        } else {
            let value = self.pipe(&branch.pipe, dot)?;
            if !value.is_true() {
                self.nodes(&branch.otherwise, dot)?
            } else if branch.kind == BranchKind::With {
                self.nodes(&branch.body, &value)?
            } else {
                self.nodes(&branch.body, dot)?
            }
        };
        self.variables.truncate(scope);
        self.blocks -= 1;
        Ok(flow)
    }

    fn range(&mut self, branch: &'a Branch, dot: &Value) -> Result2<()> {
        // The declared variables take each element, not the whole value.
        let value = self.pipe_value(&branch.pipe, dot)?;
        // Taken one by one: a range over a number may be long.
        let items: Box<dyn Iterator<Item = (Value, Value)>> = match value.inner() {
            Value::List(list) => {
                let list = list.iter().flat_map(|list| list.iter()).enumerate();
                Box::new(list.map(|(index, item)| (index_value(index), item.clone())))
            }
            Value::Map(map) => {
                let map = map.iter().flat_map(|map| map.iter());
                Box::new(map.map(|(key, item)| (key.as_str().into(), item.clone())))
            }
            Value::Int(count) => Box::new((0..*count).map(|i| (Value::Int(i), Value::Int(i)))),
            Value::Missing | Value::Nil => Box::new(std::iter::empty()),
            other => {
                let message = format!("range can't iterate over {}", print_value(other));
                let last = branch
                    .pipe
                    .commands
                    .last()
                    .and_then(|command| command.operands.last());
                let (at, shown) = last.map_or((branch.pipe.at, branch.pipe.shown()), |operand| {
                    (operand.at, operand.shown())
                });
                return Err(self.error(at, &shown, &message));
            }
        };
        let mut items = items.peekable();
        if items.peek().is_none() {
            self.nodes(&branch.otherwise, dot)?;
            return Ok(());
        }
        let scope = self.variables.len();
        for (key, item) in items {
            match branch.pipe.variables.as_slice() {
                [only] => self.bind(branch.pipe.assigns, only, item.clone()),
                [first, second, ..] => {
                    self.bind(branch.pipe.assigns, first, key);
                    self.bind(branch.pipe.assigns, second, item.clone());
                }
                [] => {}
            }
            let flow = self.nodes(&branch.body, &item)?;
            self.variables.truncate(scope);
            if flow == Flow::Break {
                break;
            }
        }
        Ok(())
    }

    fn bind(&mut self, assigns: bool, name: &str, value: Value) {
        let known = self
            .variables
            .iter_mut()
            .rev()
            .find(|(known, _)| known == name);
        if let (true, Some(slot)) = (assigns, known) {
            slot.1 = value;
            return;
        }
        self.variables.push((name.to_owned(), value));
    }

    fn pipe(&mut self, pipe: &'a Pipe, dot: &Value) -> Result2<Value> {
        let value = self.pipe_value(pipe, dot)?;
        for name in &pipe.variables {
            self.bind(pipe.assigns, name, value.clone());
        }
        Ok(value)
    }

    fn pipe_value(&mut self, pipe: &'a Pipe, dot: &Value) -> Result2<Value> {
        let mut value = None;
        for command in &pipe.commands {
            value = Some(self.command(command, dot, value)?);
        }
        Ok(value.unwrap_or(Value::Missing))
    }

    fn command(
        &mut self,
        command: &'a Command,
        dot: &Value,
        last: Option<Value>,
    ) -> Result2<Value> {
        let Some((first, rest)) = command.operands.split_first() else {
            return Ok(Value::Missing);
        };
        let takes_arguments = !rest.is_empty() || last.is_some();
        match &first.kind {
            OperandKind::Function(name) => {
                let place = Place {
                    operand: first,
                    command: Some(command),
                };
                self.function(name, &place, rest, dot, last)
            }
            OperandKind::Field(names) => self.fields(
                dot.clone(),
                names,
                first,
                Given {
                    operands: rest,
                    last,
                },
                dot,
            ),
            OperandKind::Variable { name, fields } if !fields.is_empty() => {
                let base = self.variable(name);
                self.fields(
                    base,
                    fields,
                    first,
                    Given {
                        operands: rest,
                        last,
                    },
                    dot,
                )
            }
            OperandKind::Chain { base, fields } => {
                let base_value = self.operand(base, dot)?;
                self.fields(
                    base_value,
                    fields,
                    first,
                    Given {
                        operands: rest,
                        last,
                    },
                    dot,
                )
            }
            _ if takes_arguments => {
                let message = format!("can't give argument to non-function {}", first.shown());
                Err(self.error(first.at, &first.shown(), &message))
            }
            OperandKind::Nil => Err(self.error(first.at, "nil", "nil is not a command")),
            _ => self.operand(first, dot),
        }
    }

    fn variable(&self, name: &str) -> Value {
        let found = self.variables.iter().rev().find(|(known, _)| known == name);
        found.map_or(Value::Missing, |(_, value)| value.clone())
    }

    fn operand(&mut self, operand: &'a Operand, dot: &Value) -> Result2<Value> {
        match &operand.kind {
            OperandKind::Dot => Ok(dot.clone()),
            OperandKind::Nil => Ok(Value::Nil),
            OperandKind::Literal { value, .. } => Ok(value.clone()),
            OperandKind::Function(name) => {
                let place = Place {
                    operand,
                    command: None,
                };
                self.function(name, &place, &[], dot, None)
            }
            OperandKind::Field(names) => {
                self.fields(dot.clone(), names, operand, Given::default(), dot)
            }
            OperandKind::Variable { name, fields } => {
                let base = self.variable(name);
                self.fields(base, fields, operand, Given::default(), dot)
            }
            OperandKind::Pipe(pipe) => self.pipe(pipe, dot),
            OperandKind::Chain { base, fields } => {
                let value = self.operand(base, dot)?;
                self.fields(value, fields, operand, Given::default(), dot)
            }
        }
    }

    /// Follows a chain of fields; arguments are for the last one.
    fn fields(
        &mut self,
        base: Value,
        names: &[String],
        at: &Operand,
        arguments: Given<'a>,
        dot: &Value,
    ) -> Result2<Value> {
        let mut value = base;
        for (index, name) in names.iter().enumerate() {
            let is_last = index + 1 == names.len();
            if is_last && (!arguments.operands.is_empty() || arguments.last.is_some()) {
                let given = self.arguments(arguments.operands, arguments.last, dot)?;
                return self.method(&value, name, at, &given);
            }
            value = self.field(&value, name, at)?;
        }
        Ok(value)
    }

    fn arguments(
        &mut self,
        operands: &'a [Operand],
        last: Option<Value>,
        dot: &Value,
    ) -> Result2<Vec<Value>> {
        let mut given = Vec::with_capacity(operands.len() + 1);
        for operand in operands {
            given.push(self.operand(operand, dot)?);
        }
        given.extend(last);
        Ok(given)
    }

    /// A field with arguments: only rows have such a method, `.Label NAME`.
    fn method(
        &self,
        receiver: &Value,
        name: &str,
        at: &Operand,
        given: &[Value],
    ) -> Result2<Value> {
        if let (Value::Struct(row), "Label", [key]) = (receiver.inner(), name, given)
            && let (Some(labels), Some(key)) = (&row.labels, key.as_text())
        {
            return Ok(labels.get(key).cloned().unwrap_or_default().into());
        }
        if let (true, "Label", [key]) = (self.header, name, given)
            && let Some(key) = key.as_text()
        {
            return Ok(label_title(key).into());
        }
        self.field(receiver, name, at)?;
        let message = match receiver.inner() {
            Value::Struct(row) if row.escapes_html => {
                format!(
                    "wrong number of args for {name}: want 0 got {}",
                    given.len()
                )
            }
            _ => format!("{name} has arguments but cannot be invoked as function"),
        };
        Err(self.error(at.at, &at.shown(), &message))
    }

    fn field(&self, receiver: &Value, name: &str, at: &Operand) -> Result2<Value> {
        let missing = |message: &str| Err(self.error(at.at, &at.shown(), message));
        match receiver.inner() {
            Value::Missing if self.missing_key == MissingKey::Error => missing(&format!(
                "nil data; no entry for key {}",
                crate::args::go_quote(name)
            )),
            Value::Missing => Ok(Value::Missing),
            Value::Nil => missing(&format!(
                "nil pointer evaluating {}.{name}",
                receiver.go_type()
            )),
            Value::Struct(object) => match object.field(name) {
                Some(value) => Ok(value.clone()),
                None if name == "Label" && object.labels.is_some() => {
                    missing("wrong number of args for Label: want 1 got 0")
                }
                None => missing(&cannot_evaluate(name, receiver)),
            },
            Value::Map(map) => match map.as_ref().and_then(|map| map.get(name)) {
                Some(value) => Ok(value.clone()),
                None if self.missing_key == MissingKey::Error => missing(&format!(
                    "map has no entry for key {}",
                    crate::args::go_quote(name)
                )),
                None => Ok(Value::Missing),
            },
            _ => missing(&cannot_evaluate(name, receiver)),
        }
    }

    fn function(
        &mut self,
        name: &str,
        place: &Place<'a>,
        rest: &'a [Operand],
        dot: &Value,
        last: Option<Value>,
    ) -> Result2<Value> {
        if let "and" | "or" = name {
            return self.short_circuit(name == "or", place.operand, rest, dot, last);
        }
        let given = self.arguments(rest, last, dot)?;
        let call = Call {
            name,
            arguments: &given,
            header: self.header,
        };
        funcs::call(call).map_err(|failure| match failure {
            Failure::Usage(message) => {
                self.error(place.operand.at, &place.operand.shown(), &message)
            }
            Failure::Argument(index, message) => {
                let operand = rest.get(index).unwrap_or(place.operand);
                self.error(operand.at, &operand.shown(), &about(operand, message))
            }
            Failure::Calling(message) => self.error(
                place.operand.at,
                &place.whole(),
                &format!("error calling {name}: {message}"),
            ),
        })
    }

    fn short_circuit(
        &mut self,
        stops_at: bool,
        operand: &'a Operand,
        rest: &'a [Operand],
        dot: &Value,
        last: Option<Value>,
    ) -> Result2<Value> {
        let mut value = None;
        for argument in rest {
            let found = self.operand(argument, dot)?;
            if found.is_true() == stops_at {
                return Ok(found);
            }
            value = Some(found);
        }
        last.or(value).ok_or_else(|| {
            let name = operand.shown();
            let message = format!("wrong number of args for {name}: want at least 1 got 0");
            self.error(operand.at, &name, &message)
        })
    }
}

/// Constants of a wrong type are told by what they are, other values by their type.
fn about(operand: &Operand, message: String) -> String {
    let expected = message
        .strip_prefix("wrong type for value; expected ")
        .and_then(|rest| rest.split(';').next());
    match (&operand.kind, expected) {
        (OperandKind::Literal { .. }, Some(expected)) => {
            format!("expected {expected}; found {}", operand.shown())
        }
        _ => message,
    }
}

/// The title of a label's column: the last part of its name, as words.
fn label_title(name: &str) -> String {
    let last = name.rsplit('.').next().unwrap_or(name);
    last.replace(['-', '_'], " ")
}

fn cannot_evaluate(name: &str, receiver: &Value) -> String {
    format!("can't evaluate field {name} in type {}", receiver.go_type())
}

fn index_value(index: usize) -> Value {
    Value::Int(i64::try_from(index).unwrap_or(i64::MAX))
}
