//! The instructions of `--change`, which `commit` and `import` apply to a configuration.
//!
//! The text is a small Dockerfile: comments, continued lines, quotes and `$NAME` (from the
//! configuration's own environment) mean what they mean there.

mod duration;
mod port;
mod words;

use serde_json::Value;

use crate::{ContainerConfig, Healthcheck};
use words::{parse_words, process_word};

/// The longest text of changes that is read.
pub const CHANGE_LIMIT: usize = 1 << 20;

const CHANGE_COMMANDS: [&str; 11] = [
    "cmd",
    "entrypoint",
    "env",
    "expose",
    "healthcheck",
    "label",
    "onbuild",
    "stopsignal",
    "user",
    "volume",
    "workdir",
];

/// Why a change cannot be applied, in docker's words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChangeError {
    /// The instruction is none, or none that changes a configuration.
    #[error("{0} is not a valid change command")]
    Command(String),
    /// Changes were given, but there is no instruction in them.
    #[error("file with no instructions")]
    Nothing,
    /// Longer than [`CHANGE_LIMIT`].
    #[error("changes are longer than {CHANGE_LIMIT} bytes")]
    TooLong,
    /// The instruction needs an argument.
    #[error("{0} requires at least one argument")]
    AtLeastOne(&'static str),
    /// The instruction needs one argument.
    #[error("{0} requires exactly one argument")]
    ExactlyOne(&'static str),
    /// `NAME value` without a value.
    #[error("{0} must have two arguments")]
    Two(&'static str),
    /// A name is empty.
    #[error("{0} names can not be blank")]
    Blank(&'static str),
    /// The argument is wrong; the text says how.
    #[error("{0}")]
    Argument(String),
}

fn argument(text: impl Into<String>) -> ChangeError {
    ChangeError::Argument(text.into())
}

/// Applies one instruction, such as `CMD ["/bin/echo"]`.
pub fn apply_change(config: &mut ContainerConfig, line: &str) -> Result<(), ChangeError> {
    apply_changes(config, [line])
}

/// Applies instructions in order; none is applied when one is wrong.
///
/// Several belong into one call: an `ENTRYPOINT` clears an inherited command, but not a `CMD` that
/// came before it in the same call.
pub fn apply_changes<'a>(
    config: &mut ContainerConfig,
    lines: impl IntoIterator<Item = &'a str>,
) -> Result<(), ChangeError> {
    let lines: Vec<&str> = lines.into_iter().collect();
    if lines.is_empty() {
        return Ok(());
    }
    let text = lines.join("\n");
    if text.len() > CHANGE_LIMIT {
        return Err(ChangeError::TooLong);
    }
    let logical = logical_lines(&text);
    let instructions: Vec<(&str, &str)> = logical.iter().map(|line| split_command(line)).collect();
    if instructions.is_empty() {
        return Err(ChangeError::Nothing);
    }
    let known = |name: &str| CHANGE_COMMANDS.contains(&name.to_lowercase().as_str());
    if let Some((name, _)) = instructions.iter().find(|(name, _)| !known(name)) {
        return Err(ChangeError::Command((*name).to_owned()));
    }
    let mut changes = Changes {
        config: config.clone(),
        cmd_set: false,
    };
    for (name, rest) in instructions {
        changes.apply(&name.to_lowercase(), rest)?;
    }
    *config = changes.config;
    Ok(())
}

/// Joins continued lines and drops comments and empty lines.
fn logical_lines(text: &str) -> Vec<String> {
    let mut done = Vec::new();
    let mut current = String::new();
    for line in text.lines() {
        let start = line.trim_start();
        if start.is_empty() || start.starts_with('#') {
            continue;
        }
        let part = if current.is_empty() { start } else { line };
        let trimmed = part.trim_end_matches([' ', '\t']);
        if let Some(head) = trimmed.strip_suffix('\\') {
            current.push_str(head);
            continue;
        }
        current.push_str(part);
        done.push(std::mem::take(&mut current));
    }
    done.push(current);
    done.retain(|line| !line.trim().is_empty());
    done
}

/// The instruction's name as typed, and the rest of the line.
fn split_command(line: &str) -> (&str, &str) {
    let line = line.trim();
    let (name, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
    (name, rest.trim())
}

/// The configuration while it changes.
struct Changes {
    config: ContainerConfig,
    cmd_set: bool,
}

impl Changes {
    fn apply(&mut self, name: &str, rest: &str) -> Result<(), ChangeError> {
        match name {
            "cmd" => self.cmd(rest),
            "entrypoint" => self.entrypoint(rest),
            "env" => self.env(rest),
            "expose" => self.expose(rest),
            "healthcheck" => self.healthcheck(rest),
            "label" => self.label(rest),
            "onbuild" => self.on_build(rest),
            "stopsignal" => self.stop_signal(rest),
            "user" => self.user(rest),
            "volume" => self.volume(rest),
            "workdir" => self.workdir(rest),
            other => Err(ChangeError::Command(other.to_owned())),
        }
    }

    fn cmd(&mut self, rest: &str) -> Result<(), ChangeError> {
        self.config.cmd = Some(self.command(rest)?);
        self.cmd_set = true;
        Ok(())
    }

    fn entrypoint(&mut self, rest: &str) -> Result<(), ChangeError> {
        let command = self.command(rest)?;
        self.config.entrypoint = (!command.is_empty()).then_some(command);
        if !self.cmd_set {
            self.config.cmd = None;
        }
        Ok(())
    }

    fn env(&mut self, rest: &str) -> Result<(), ChangeError> {
        // All words see the environment as it was before this instruction.
        let mut pairs = Vec::new();
        for (name, value) in parse_pairs("ENV", rest)? {
            pairs.push((self.expand(&name)?, self.expand(&value)?));
        }
        for (name, value) in pairs {
            if name.is_empty() {
                return Err(ChangeError::Blank("ENV"));
            }
            self.config.set_env(&name, &value);
        }
        Ok(())
    }

    fn label(&mut self, rest: &str) -> Result<(), ChangeError> {
        for (name, value) in parse_pairs("LABEL", rest)? {
            let (name, value) = (self.expand(&name)?, self.expand(&value)?);
            if name.is_empty() {
                return Err(ChangeError::Blank("LABEL"));
            }
            self.config
                .labels
                .get_or_insert_default()
                .insert(name, value);
        }
        Ok(())
    }

    fn expose(&mut self, rest: &str) -> Result<(), ChangeError> {
        if rest.is_empty() {
            return Err(ChangeError::AtLeastOne("EXPOSE"));
        }
        for word in rest.split_whitespace() {
            for spec in self.expand(word)?.split_whitespace() {
                let ports = port::parse_spec(spec)?;
                self.config.exposed_ports.extend(ports);
            }
        }
        Ok(())
    }

    fn healthcheck(&mut self, rest: &str) -> Result<(), ChangeError> {
        if rest.is_empty() {
            return Err(ChangeError::AtLeastOne("HEALTHCHECK"));
        }
        let mut check = Healthcheck::default();
        let mut rest = rest;
        let mut flags = false;
        while rest.starts_with("--") {
            let (flag, after) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
            set_flag(&mut check, flag)?;
            flags = true;
            rest = after.trim_start();
        }
        let (kind, command) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
        let command = command.trim();
        check.test = match kind.to_uppercase().as_str() {
            "" => return Err(ChangeError::AtLeastOne("HEALTHCHECK")),
            "NONE" if !command.is_empty() || flags => {
                return Err(argument("HEALTHCHECK NONE takes no arguments"));
            }
            "NONE" => vec!["NONE".to_owned()],
            "CMD" => health_command(command)?,
            other => {
                return Err(argument(format!(
                    "unknown type {other:?} in HEALTHCHECK (try CMD)"
                )));
            }
        };
        self.config.healthcheck = Some(check);
        Ok(())
    }

    fn on_build(&mut self, rest: &str) -> Result<(), ChangeError> {
        let (trigger, _) = split_command(rest);
        match trigger.to_lowercase().as_str() {
            "" => return Err(ChangeError::AtLeastOne("ONBUILD")),
            "onbuild" => {
                return Err(argument(
                    "Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed",
                ));
            }
            "maintainer" | "from" => {
                let trigger = trigger.to_uppercase();
                return Err(argument(format!(
                    "{trigger} isn't allowed as an ONBUILD trigger"
                )));
            }
            _ => self
                .config
                .on_build
                .get_or_insert_default()
                .push(rest.to_owned()),
        }
        Ok(())
    }

    fn stop_signal(&mut self, rest: &str) -> Result<(), ChangeError> {
        let signal = self.one("STOPSIGNAL", rest)?;
        if !is_signal(&signal) {
            return Err(argument(format!("invalid signal: {signal}")));
        }
        self.config.stop_signal = signal;
        Ok(())
    }

    fn user(&mut self, rest: &str) -> Result<(), ChangeError> {
        self.config.user = self.one("USER", rest)?;
        Ok(())
    }

    fn volume(&mut self, rest: &str) -> Result<(), ChangeError> {
        let paths = match parse_json(rest)? {
            Some(list) => list,
            None => rest.split_whitespace().map(str::to_owned).collect(),
        };
        if paths.is_empty() {
            return Err(ChangeError::AtLeastOne("VOLUME"));
        }
        for path in paths {
            let path = self.expand(&path)?;
            let path = path.trim();
            if path.is_empty() {
                return Err(argument("VOLUME specified can not be an empty string"));
            }
            self.config
                .volumes
                .get_or_insert_default()
                .insert(path.to_owned());
        }
        Ok(())
    }

    fn workdir(&mut self, rest: &str) -> Result<(), ChangeError> {
        let path = self.one("WORKDIR", rest)?;
        self.config.working_dir = if path.starts_with('/') {
            path
        } else {
            join_clean(&self.config.working_dir, &path)
        };
        Ok(())
    }

    /// A command in JSON form, or in shell form behind the shell.
    fn command(&self, rest: &str) -> Result<Vec<String>, ChangeError> {
        if let Some(list) = parse_json(rest)? {
            return Ok(list);
        }
        let shell = self.config.shell.as_ref().filter(|shell| !shell.is_empty());
        let mut command = shell
            .cloned()
            .unwrap_or_else(|| vec!["/bin/sh".to_owned(), "-c".to_owned()]);
        command.push(rest.to_owned());
        Ok(command)
    }

    fn one(&self, name: &'static str, rest: &str) -> Result<String, ChangeError> {
        if rest.is_empty() {
            return Err(ChangeError::ExactlyOne(name));
        }
        self.expand(rest)
    }

    fn expand(&self, word: &str) -> Result<String, ChangeError> {
        process_word(word, &|name| self.config.env_value(name).map(str::to_owned))
    }
}

/// A list of strings in JSON, or nothing when the text is no JSON list.
fn parse_json(rest: &str) -> Result<Option<Vec<String>>, ChangeError> {
    if !rest.starts_with('[') {
        return Ok(None);
    }
    let Ok(Value::Array(items)) = serde_json::from_str(rest) else {
        return Ok(None);
    };
    let strings = items.into_iter().map(|item| match item {
        Value::String(text) => Ok(text),
        _ => Err(argument(
            "when using JSON array syntax, arrays must be comprised of strings only",
        )),
    });
    strings.collect::<Result<Vec<_>, _>>().map(Some)
}

/// `NAME=value …`, or the old form `NAME value to the end of the line`.
fn parse_pairs(
    instruction: &'static str,
    rest: &str,
) -> Result<Vec<(String, String)>, ChangeError> {
    let words = parse_words(rest);
    let Some(first) = words.first() else {
        return Err(ChangeError::AtLeastOne(instruction));
    };
    if !first.contains('=') {
        let (name, value) = rest
            .split_once(char::is_whitespace)
            .ok_or(ChangeError::Two(instruction))?;
        return Ok(vec![(name.to_owned(), value.trim_start().to_owned())]);
    }
    let pair = |word: &String| match word.split_once('=') {
        Some((name, value)) => Ok((name.to_owned(), value.to_owned())),
        None => Err(argument(format!(
            "Syntax error - can't find = in {word:?}. Must be of the form: name=value"
        ))),
    };
    words.iter().map(pair).collect()
}

fn set_flag(check: &mut Healthcheck, flag: &str) -> Result<(), ChangeError> {
    let text = flag.trim_start_matches('-');
    let Some((name, value)) = text.split_once('=') else {
        return Err(argument(format!("missing a value on flag: {text}")));
    };
    match name {
        "interval" => check.interval = interval(name, value)?,
        "timeout" => check.timeout = interval(name, value)?,
        "start-period" => check.start_period = interval(name, value)?,
        "start-interval" => check.start_interval = interval(name, value)?,
        "retries" => {
            let retries: i32 = value.parse().ok().ok_or_else(|| {
                argument(format!(
                    "strconv.ParseInt: parsing {value:?}: invalid syntax"
                ))
            })?;
            if retries < 0 {
                return Err(argument(format!(
                    "--retries cannot be negative ({retries})"
                )));
            }
            check.retries = i64::from(retries);
        }
        other => return Err(argument(format!("unknown flag: {other}"))),
    }
    Ok(())
}

/// Nanoseconds; 0 keeps the default, anything else is at least a millisecond.
fn interval(name: &str, value: &str) -> Result<i64, ChangeError> {
    if value.is_empty() {
        return Ok(0);
    }
    match duration::parse(value) {
        None => Err(argument(format!("time: invalid duration {value:?}"))),
        Some(nanoseconds) if nanoseconds != 0 && nanoseconds < 1_000_000 => Err(argument(format!(
            "Interval {name:?} cannot be less than 1ms"
        ))),
        Some(nanoseconds) => Ok(nanoseconds),
    }
}

fn health_command(command: &str) -> Result<Vec<String>, ChangeError> {
    if let Some(mut list) = parse_json(command)?.filter(|list| !list.is_empty()) {
        list.insert(0, "CMD".to_owned());
        return Ok(list);
    }
    if command.is_empty() || command == "[]" {
        return Err(argument("missing command after HEALTHCHECK CMD"));
    }
    Ok(vec!["CMD-SHELL".to_owned(), command.to_owned()])
}

/// Joins a relative path to the directory before it and resolves `.` and `..`.
pub fn join_clean(current: &str, path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in current.split('/').chain(path.split('/')) {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}

/// A signal of Linux by number or name, with or without `SIG`.
pub fn is_signal(text: &str) -> bool {
    const NAMES: [&str; 36] = [
        "ABRT", "ALRM", "BUS", "CHLD", "CLD", "CONT", "FPE", "HUP", "ILL", "INT", "IO", "IOT",
        "KILL", "PIPE", "POLL", "PROF", "PWR", "QUIT", "SEGV", "STKFLT", "STOP", "SYS", "TERM",
        "TRAP", "TSTP", "TTIN", "TTOU", "UNUSED", "URG", "USR1", "USR2", "VTALRM", "WINCH", "XCPU",
        "XFSZ", "RTMIN",
    ];
    if let Ok(number) = text.parse::<u8>() {
        return (1..=64).contains(&number);
    }
    let upper = text.to_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    let offset = |rest: &str, most: u8| {
        rest.is_empty() || rest.parse::<u8>().is_ok_and(|number| number <= most)
    };
    NAMES.contains(&name)
        || name
            .strip_prefix("RTMIN+")
            .is_some_and(|rest| !rest.is_empty() && offset(rest, 15))
        || name.strip_prefix("RTMAX").is_some_and(|rest| {
            rest.is_empty() || rest.strip_prefix('-').is_some_and(|rest| offset(rest, 14))
        })
}

#[cfg(test)]
mod tests;
