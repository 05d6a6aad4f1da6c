//! The instructions one by one, without those that copy files.

use lapstrake_spec::Healthcheck;

use crate::instruction::{
    Argument, CommandLine, Device, KeyValue, MountText, Run, RunNetwork, RunSecurity,
};
use crate::parse::Node;
use crate::quote::quote;
use crate::{Instruction, Point};

use super::duration::interval;
use super::files::{add, copy};
use super::flags::Flags;
use super::{Fault, doc_comment, fault, unknown_instruction};

/// A node that is no `FROM`.
pub(super) fn instruction(node: &Node) -> Result<Instruction, Fault> {
    Ok(match node.name.to_ascii_lowercase().as_str() {
        "add" => Instruction::Add(add(node)?),
        "arg" => Instruction::Arg(arg(node)?),
        "cmd" => Instruction::Cmd(command_line(node)?),
        "copy" => Instruction::Copy(copy(node)?),
        "entrypoint" => Instruction::Entrypoint(command_line(node)?),
        "env" => Instruction::Env(pairs(node, "ENV")?),
        "expose" => Instruction::Expose(expose(node)?),
        "healthcheck" => Instruction::Healthcheck(healthcheck(node)?),
        "label" => Instruction::Label(pairs(node, "LABEL")?),
        "maintainer" => Instruction::Maintainer(one(node, "MAINTAINER")?),
        "onbuild" => Instruction::Onbuild(onbuild(node)?),
        "run" => Instruction::Run(run(node)?),
        "shell" => Instruction::Shell(shell(node)?),
        // Docker looks at no flags here, nor with `ARG`.
        "stopsignal" => Instruction::Stopsignal(exactly_one(node, "STOPSIGNAL")?),
        "user" => Instruction::User(one(node, "USER")?),
        "volume" => Instruction::Volume(volume(node)?),
        "workdir" => Instruction::Workdir(one(node, "WORKDIR")?),
        _ => return Err(unknown_instruction(node)),
    })
}

fn no_flags(node: &Node) -> Result<(), Fault> {
    Flags::new(node).parse()
}

fn at_least_one(node: &Node, name: &str) -> Result<(), Fault> {
    if node.arguments.is_empty() && node.trigger.is_none() {
        return Err(fault(format!("{name} requires at least one argument")));
    }
    Ok(())
}

fn exactly_one(node: &Node, name: &str) -> Result<String, Fault> {
    match node.arguments.as_slice() {
        [one] => Ok(one.clone()),
        _ => Err(fault(format!("{name} requires exactly one argument"))),
    }
}

fn one(node: &Node, name: &str) -> Result<String, Fault> {
    let one = exactly_one(node, name)?;
    no_flags(node)?;
    Ok(one)
}

fn pairs(node: &Node, name: &str) -> Result<Vec<KeyValue>, Fault> {
    no_flags(node)?;
    at_least_one(node, name)?;
    let mut pairs = Vec::new();
    for triple in node.arguments.chunks(3) {
        let [key, value, separator] = triple else {
            return Err(fault(format!("Bad input to {name}, too many arguments")));
        };
        if key.is_empty() {
            return Err(fault(format!("{name} names can not be blank")));
        }
        pairs.push(KeyValue {
            key: key.clone(),
            value: value.clone(),
            legacy: separator.is_empty(),
        });
    }
    Ok(pairs)
}

fn arg(node: &Node) -> Result<Vec<Argument>, Fault> {
    at_least_one(node, "ARG")?;
    let mut arguments = Vec::with_capacity(node.arguments.len());
    for word in &node.arguments {
        let (key, value) = match word.split_once('=') {
            Some(("", _)) => return Err(fault("ARG names can not be blank")),
            Some((key, value)) => (key, Some(value.to_owned())),
            None => (word.as_str(), None),
        };
        let doc = doc_comment(&node.comments, key);
        arguments.push(Argument {
            key: key.to_owned(),
            value,
            doc,
        });
    }
    Ok(arguments)
}

fn line(arguments: &[String], node: &Node) -> CommandLine {
    let arguments = match arguments {
        [] => Vec::new(),
        all if node.json => all.to_vec(),
        all => vec![all.join(" ")],
    };
    CommandLine {
        arguments,
        shell: !node.json,
    }
}

fn command_line(node: &Node) -> Result<CommandLine, Fault> {
    no_flags(node)?;
    Ok(line(&node.arguments, node))
}

fn run(node: &Node) -> Result<Run, Fault> {
    let mut flags = Flags::new(node);
    flags.texts("mount");
    flags.text("network");
    flags.text("security");
    flags.texts("device");
    flags.parse()?;
    let network = match flags.take_texts("network").pop().as_deref() {
        None | Some("default") => RunNetwork::Default,
        Some("none") => RunNetwork::None,
        Some("host") => RunNetwork::Host,
        Some(other) => {
            return Err(fault(format!("invalid network mode {}", quote(other)))
                .about(Point::Flag("network".to_owned())));
        }
    };
    let security = match flags.take_texts("security").pop().as_deref() {
        None | Some("sandbox") => RunSecurity::Sandbox,
        Some("insecure") => RunSecurity::Insecure,
        Some(other) => {
            return Err(fault(format!("security {} is not valid", quote(other)))
                .about(Point::Flag("security".to_owned())));
        }
    };
    let mounts = flags
        .take_texts("mount")
        .into_iter()
        .map(MountText)
        .collect::<Vec<_>>();
    for (mount, offset) in mounts.iter().zip(offsets(node, "--mount=")) {
        mount.check_early().map_err(|error| Fault {
            offset: Some(offset),
            ..fault(error.to_string())
        })?;
    }
    let devices = flags.take_texts("device");
    Ok(Run {
        line: line(&node.arguments, node),
        heredocs: node.heredocs.clone(),
        mounts,
        network,
        security,
        devices: devices
            .iter()
            .map(|text| Device::parse(text).map_err(fault))
            .collect::<Result<_, _>>()
            .map_err(|fault| fault.about(Point::Flag("device".to_owned())))?,
    })
}

/// Where the flags of one name begin.
fn offsets(node: &Node, start: &'static str) -> impl Iterator<Item = usize> {
    let flags = node.flags.iter();
    flags
        .filter(move |flag| flag.text.starts_with(start))
        .map(|flag| flag.offset)
}

fn expose(node: &Node) -> Result<Vec<String>, Fault> {
    at_least_one(node, "EXPOSE")?;
    no_flags(node)?;
    let mut ports = node.arguments.clone();
    ports.sort();
    Ok(ports)
}

fn volume(node: &Node) -> Result<Vec<String>, Fault> {
    at_least_one(node, "VOLUME")?;
    no_flags(node)?;
    let paths: Vec<String> = node
        .arguments
        .iter()
        .map(|path| path.trim().to_owned())
        .collect();
    if paths.iter().any(String::is_empty) {
        return Err(fault("VOLUME specified can not be an empty string"));
    }
    Ok(paths)
}

fn shell(node: &Node) -> Result<Vec<String>, Fault> {
    no_flags(node)?;
    at_least_one(node, "SHELL")?;
    if !node.json {
        return Err(fault("SHELL requires the arguments to be in JSON form"));
    }
    Ok(node.arguments.clone())
}

fn onbuild(node: &Node) -> Result<String, Fault> {
    at_least_one(node, "ONBUILD")?;
    no_flags(node)?;
    let name = node
        .trigger
        .as_ref()
        .map(|trigger| trigger.name.to_uppercase());
    match name.as_deref().map(str::trim) {
        Some("ONBUILD") => {
            return Err(fault(
                "Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed",
            ));
        }
        Some(name @ ("MAINTAINER" | "FROM")) => {
            let trigger = node.trigger.as_ref().map(|trigger| trigger.name.clone());
            return Err(fault(format!("{name} isn't allowed as an ONBUILD trigger"))
                .about(Point::Word(trigger.unwrap_or_default())));
        }
        _ => {}
    }
    let text = node.text.trim_start();
    let mut expression = text
        .get(node.name.len()..)
        .unwrap_or_default()
        .trim_start()
        .to_owned();
    for heredoc in &node.heredocs {
        expression.push('\n');
        expression.push_str(&heredoc.content);
        expression.push_str(&heredoc.name);
    }
    Ok(expression)
}

fn healthcheck(node: &Node) -> Result<Healthcheck, Fault> {
    at_least_one(node, "HEALTHCHECK")?;
    let (kind, arguments) = node
        .arguments
        .split_first()
        .map_or(("", [].as_slice()), |(kind, rest)| (kind.as_str(), rest));
    let kind = kind.to_uppercase();
    if kind == "NONE" {
        if !arguments.is_empty() {
            return Err(fault("HEALTHCHECK NONE takes no arguments"));
        }
        return Ok(Healthcheck {
            test: vec![kind],
            ..Healthcheck::default()
        });
    }
    let mut flags = Flags::new(node);
    for name in [
        "interval",
        "timeout",
        "start-period",
        "start-interval",
        "retries",
    ] {
        flags.text(name);
    }
    flags.parse()?;
    if kind != "CMD" {
        return Err(fault(format!(
            "Unknown type {} in HEALTHCHECK (try CMD)",
            quote(&kind)
        ))
        .about(Point::Word(
            node.arguments.first().cloned().unwrap_or_default(),
        )));
    }
    let command = line(arguments, node);
    if command.arguments.is_empty() {
        return Err(fault("Missing command after HEALTHCHECK CMD"));
    }
    let mut test = vec![if command.shell {
        "CMD-SHELL".to_owned()
    } else {
        kind
    }];
    test.extend(command.arguments);
    let mut duration = |name: &str| {
        interval(name, flags.take_text(name))
            .map_err(|text| fault(text).about(Point::Flag(name.to_owned())))
    };
    Ok(Healthcheck {
        test,
        interval: duration("interval")?,
        timeout: duration("timeout")?,
        start_period: duration("start-period")?,
        start_interval: duration("start-interval")?,
        retries: retries(flags.take_text("retries"))
            .map_err(|fault| fault.about(Point::Flag("retries".to_owned())))?,
    })
}

fn retries(value: Option<String>) -> Result<i64, Fault> {
    let Some(text) = value else {
        return Ok(0);
    };
    let failed = |why: &str| fault(format!("strconv.ParseInt: parsing {}: {why}", quote(&text)));
    let digits = text.strip_prefix(['+', '-']).unwrap_or(&text);
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(failed("invalid syntax"));
    }
    let number: i32 = text
        .parse()
        .map_err(|_too_large| failed("value out of range"))?;
    if number < 0 {
        return Err(fault(format!("--retries cannot be negative ({number})")));
    }
    Ok(number.into())
}
