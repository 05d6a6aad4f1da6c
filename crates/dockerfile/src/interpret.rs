//! Nodes to typed instructions.

mod commands;
mod duration;
mod files;
mod flags;

use crate::error::ErrorKind;
use crate::instruction::Stage;
use crate::lint::{CheckOptions, Rule, Warning};
use crate::parse::Node;
use crate::suggest::nearest;
use crate::{Command, Dockerfile, ParseError, Point, Syntax};

use commands::instruction;
use flags::Flags;

/// Every instruction, sorted: what is suggested for an unknown one.
const NAMES: [&str; 18] = [
    "ADD",
    "ARG",
    "CMD",
    "COPY",
    "ENTRYPOINT",
    "ENV",
    "EXPOSE",
    "FROM",
    "HEALTHCHECK",
    "LABEL",
    "MAINTAINER",
    "ONBUILD",
    "RUN",
    "SHELL",
    "STOPSIGNAL",
    "USER",
    "VOLUME",
    "WORKDIR",
];

/// What is wrong with an instruction, before its place is known.
#[derive(Debug)]
struct Fault {
    kind: ErrorKind,
    suggestion: Option<String>,
    /// Where in the node's text, if it is known exactly.
    offset: Option<usize>,
    /// Otherwise the word to look for.
    point: Point,
}

impl Fault {
    fn about(self, point: Point) -> Self {
        Self { point, ..self }
    }
}

impl From<ErrorKind> for Fault {
    fn from(kind: ErrorKind) -> Self {
        Self {
            kind,
            suggestion: None,
            offset: None,
            point: Point::Start,
        }
    }
}

/// Docker's words as a fault.
fn fault(text: impl Into<String>) -> Fault {
    ErrorKind::Syntax(text.into()).into()
}

/// A node that is a stage or a command.
enum Piece {
    Stage(Stage),
    Command(Command),
}

impl Dockerfile {
    /// Reads [`crate::parse()`]'s nodes as instructions in stages. What the checks of single
    /// instructions find is left in [`Dockerfile::warnings`]; wrong check options in the file are
    /// an error.
    pub fn interpret(syntax: &Syntax) -> Result<Self, ParseError> {
        let options = file_options(syntax)?;
        let mut file = Self {
            directives: syntax.directives.clone(),
            ..Self::default()
        };
        let wanted = syntax.warnings.iter().filter(|one| options.wants(one.rule));
        file.warnings.extend(wanted.cloned());
        for node in &syntax.nodes {
            crate::parse::without_nul(node)?;
            let options = node_options(&options, &node.comments);
            let mut found = Vec::new();
            let piece = piece(node, &mut found).map_err(|fault| located(fault, node))?;
            file.warnings
                .extend(found.into_iter().filter(|one| options.wants(one.rule)));
            match (piece, file.stages.last_mut()) {
                (Piece::Stage(stage), _) => file.stages.push(stage),
                (Piece::Command(command), Some(stage)) => stage.commands.push(command),
                (Piece::Command(command), None) if command.instruction.name() == "ARG" => {
                    file.global_args.push(command);
                }
                (Piece::Command(_), None) => {
                    return Err(ParseError::new(ErrorKind::NoStage, vec![node.span]));
                }
            }
        }
        Ok(file)
    }
}

/// Reads the trigger of an `ONBUILD`, found in the configuration of a base image.
pub fn parse_trigger(text: &str) -> Result<Command, ParseError> {
    let syntax = crate::parse(text.as_bytes())?;
    let [node] = syntax.nodes.as_slice() else {
        let kind = ErrorKind::Syntax("onbuild trigger should be a single expression".to_owned());
        return Err(ParseError::new(kind, Vec::new()));
    };
    crate::parse::without_nul(node)?;
    match piece(node, &mut Vec::new()).map_err(|fault| located(fault, node))? {
        Piece::Command(command) => Ok(command),
        Piece::Stage(stage) => {
            let kind = ErrorKind::Syntax("FROM isn't allowed as an ONBUILD trigger".to_owned());
            Err(ParseError::new(kind, vec![stage.span]))
        }
    }
}

fn located(fault: Fault, node: &Node) -> ParseError {
    let exactly = fault.offset.map(|offset| node.position(offset));
    let place = exactly.or_else(|| node.find(&fault.point));
    ParseError::of_instruction(fault.kind, node.span, place, fault.suggestion)
}

fn file_options(syntax: &Syntax) -> Result<CheckOptions, ParseError> {
    let text = syntax.directives.check.as_deref().unwrap_or_default();
    CheckOptions::parse(text.split(' ').next().unwrap_or_default())
        .map_err(|error| ParseError::new(ErrorKind::Syntax(error.to_string()), Vec::new()))
}

/// A `# check=` right above an instruction counts for it alone; a wrong one does not count.
fn node_options(file: &CheckOptions, comments: &[String]) -> CheckOptions {
    let text = comments
        .iter()
        .find_map(|comment| crate::parse::check_comment(comment));
    match text.map(|text| CheckOptions::parse(text.split(' ').next().unwrap_or_default())) {
        Some(Ok(own)) => file.merged(&own),
        Some(Err(_)) | None => file.clone(),
    }
}

fn piece(node: &Node, found: &mut Vec<Warning>) -> Result<Piece, Fault> {
    if node.name.eq_ignore_ascii_case("from") {
        return from(node, found).map(Piece::Stage);
    }
    let instruction = instruction(node)?;
    match &instruction {
        crate::Instruction::Maintainer(_) => {
            found.push(Rule::MaintainerDeprecated.at(node.span, &[]));
        }
        crate::Instruction::Arg(arguments) => {
            let names: Vec<&str> = arguments.iter().map(|one| one.key.as_str()).collect();
            definition_description("ARG", &names, node, found);
        }
        _ => {}
    }
    Ok(Piece::Command(Command {
        instruction,
        keyword: node.name.clone(),
        span: node.span,
        text: node.text.trim().to_owned(),
        comments: node.comments.clone(),
    }))
}

fn from(node: &Node, found: &mut Vec<Warning>) -> Result<Stage, Fault> {
    if let [_, keyword, name] = node.arguments.as_slice() {
        if *name != name.to_lowercase() {
            found.push(Rule::StageNameCasing.at(node.span, &[name]));
        }
        let from = node.name.as_str();
        let same = if from == from.to_lowercase() {
            *keyword == keyword.to_lowercase()
        } else {
            from != from.to_uppercase() || *keyword == keyword.to_uppercase()
        };
        if !same {
            found.push(Rule::FromAsCasing.at(node.span, &[keyword, from]));
        }
    }
    let (base, name) = stage_name(&node.arguments)?;
    let mut flags = Flags::new(node);
    flags.text("platform");
    flags.parse()?;
    let doc = name
        .as_deref()
        .and_then(|name| doc_comment(&node.comments, name));
    if let Some(name) = &name {
        definition_description("FROM", &[name], node, found);
    }
    Ok(Stage {
        name,
        base: base.to_owned(),
        platform: flags.take_text("platform"),
        keyword: node.name.clone(),
        commands: Vec::new(),
        span: node.span,
        text: node.text.trim().to_owned(),
        doc,
        comments: node.comments.clone(),
    })
}

/// `BASE` or `BASE AS NAME`.
fn stage_name(arguments: &[String]) -> Result<(&str, Option<String>), Fault> {
    match arguments {
        [base] => Ok((base, None)),
        [base, keyword, name] if keyword.eq_ignore_ascii_case("as") => {
            let lower = name.to_lowercase();
            let valid = lower.starts_with(|c: char| c.is_ascii_lowercase())
                && lower
                    .bytes()
                    .all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.'));
            if !valid {
                return Err(fault(format!(
                    "invalid name for build stage: {}, name can't start with a number or contain symbols",
                    crate::quote::quote(name)
                ))
                .about(Point::LastWord(name.clone())));
            }
            Ok((base, Some(lower)))
        }
        _ => Err(fault("FROM requires either one or three arguments")),
    }
}

/// What a comment says about a name: `# NAME text`.
fn doc_comment(comments: &[String], name: &str) -> Option<String> {
    if name.is_empty() {
        return None;
    }
    let after = |line: &String| Some(line.strip_prefix(name)?.strip_prefix(' ')?.to_owned());
    comments.iter().find_map(after)
}

/// The comment above a definition should begin with one of its names.
fn definition_description(kind: &str, names: &[&str], node: &Node, found: &mut Vec<Warning>) {
    let (Some(comment), Some(first)) = (node.comments.last(), names.first()) else {
        return;
    };
    let word = comment.split(' ').next().unwrap_or_default();
    if !names.contains(&word) {
        let example = if names.len() > 1 { "<arg_key>" } else { first };
        found.push(Rule::InvalidDefinitionDescription.at(node.span, &[kind, example]));
    }
}

fn unknown_instruction(node: &Node) -> Fault {
    Fault {
        suggestion: nearest(&node.name, &NAMES, false),
        ..ErrorKind::UnknownInstruction(node.name.clone()).into()
    }
}

#[cfg(test)]
mod tests;
