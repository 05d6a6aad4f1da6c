//! The tree of a parsed template, and how Go's errors show its parts.

use super::Value;
use std::collections::BTreeMap;

/// The named templates of one text; the text itself has the empty name.
#[derive(Debug, Default)]
pub(super) struct Tree {
    pub(super) templates: BTreeMap<String, Vec<Node>>,
}

/// A node of a template.
#[derive(Debug, Clone)]
pub(super) enum Node {
    Text(String),
    Action(Pipe),
    Branch(Branch),
    Template {
        at: usize,
        name: String,
        pipe: Option<Pipe>,
    },
    Break,
    Continue,
}

/// `if`, `with` and `range`.
#[derive(Debug, Clone)]
pub(super) struct Branch {
    pub(super) kind: BranchKind,
    pub(super) pipe: Pipe,
    pub(super) body: Vec<Node>,
    pub(super) otherwise: Vec<Node>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BranchKind {
    If,
    With,
    Range,
}

impl BranchKind {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::If => "if",
            Self::With => "with",
            Self::Range => "range",
        }
    }
}

/// Commands, each fed with the value of the one before, and the variables that take the last value.
#[derive(Debug, Clone, Default)]
pub(super) struct Pipe {
    pub(super) at: usize,
    pub(super) variables: Vec<String>,
    pub(super) assigns: bool,
    pub(super) commands: Vec<Command>,
}

/// An operand, and its arguments when it is a function or method.
#[derive(Debug, Clone)]
pub(super) struct Command {
    pub(super) operands: Vec<Operand>,
}

/// An operand and where it stands.
#[derive(Debug, Clone)]
pub(super) struct Operand {
    pub(super) at: usize,
    pub(super) kind: OperandKind,
}

#[derive(Debug, Clone)]
pub(super) enum OperandKind {
    Dot,
    Nil,
    Literal {
        value: Value,
        shown: String,
    },
    Function(String),
    Field(Vec<String>),
    Variable {
        name: String,
        fields: Vec<String>,
    },
    Pipe(Pipe),
    Chain {
        base: Box<Operand>,
        fields: Vec<String>,
    },
}

impl Tree {
    pub(super) fn mentions(&self, field: &str) -> bool {
        self.templates
            .values()
            .any(|nodes| nodes_mention(nodes, field))
    }
}

fn nodes_mention(nodes: &[Node], field: &str) -> bool {
    nodes.iter().any(|node| match node {
        Node::Action(pipe) => pipe_mentions(pipe, field),
        Node::Branch(branch) => {
            pipe_mentions(&branch.pipe, field)
                || nodes_mention(&branch.body, field)
                || nodes_mention(&branch.otherwise, field)
        }
        Node::Template { pipe, .. } => pipe.as_ref().is_some_and(|pipe| pipe_mentions(pipe, field)),
        Node::Text(_) | Node::Break | Node::Continue => false,
    })
}

fn pipe_mentions(pipe: &Pipe, field: &str) -> bool {
    pipe.commands
        .iter()
        .flat_map(|command| &command.operands)
        .any(|operand| match &operand.kind {
            OperandKind::Field(names) => names.first().is_some_and(|name| name == field),
            OperandKind::Variable { fields, .. } => {
                fields.first().is_some_and(|name| name == field)
            }
            OperandKind::Pipe(pipe) => pipe_mentions(pipe, field),
            _ => false,
        })
}

impl Operand {
    /// How errors show it, as Go prints nodes.
    pub(super) fn shown(&self) -> String {
        match &self.kind {
            OperandKind::Dot => ".".to_owned(),
            OperandKind::Nil => "nil".to_owned(),
            OperandKind::Literal { shown, .. } => shown.clone(),
            OperandKind::Function(name) => name.clone(),
            OperandKind::Field(names) => format!(".{}", names.join(".")),
            OperandKind::Variable { name, fields } if fields.is_empty() => name.clone(),
            OperandKind::Variable { name, fields } => format!("{name}.{}", fields.join(".")),
            OperandKind::Pipe(pipe) => format!("({})", pipe.shown()),
            OperandKind::Chain { base, fields } => {
                format!("{}.{}", base.shown(), fields.join("."))
            }
        }
    }
}

impl Pipe {
    /// How errors show it.
    pub(super) fn shown(&self) -> String {
        let mut out = String::new();
        if !self.variables.is_empty() {
            out = format!(
                "{} {} ",
                self.variables.join(", "),
                if self.assigns { "=" } else { ":=" }
            );
        }
        let commands: Vec<String> = self.commands.iter().map(Command::shown).collect();
        out + &commands.join(" | ")
    }
}

impl Command {
    /// How errors show it.
    pub(super) fn shown(&self) -> String {
        let operands: Vec<String> = self.operands.iter().map(Operand::shown).collect();
        operands.join(" ")
    }
}
