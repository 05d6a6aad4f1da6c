//! What each instruction does to the configuration.

use std::collections::BTreeSet;

use lapstrake_dockerfile::instruction::{Argument, CommandLine, Expander, KeyValue, expose};
use lapstrake_dockerfile::words::Lookup;
use lapstrake_dockerfile::{Command, Instruction, lint};
use lapstrake_spec::{Healthcheck, change};

use super::assemble::{Assembly, Current, NewNode, Outcome};
use super::history::{Entry, healthcheck, shell_of};
use super::scope::Recorder;
use super::stages::Planned;
use super::text::{go_list, go_quote_list};
use super::{Dialect, PlanErrorKind};
use crate::graph::{MakeDirectory, Operation, Origin};

/// Arguments that BuildKit's scanner of packages reads.
const SCANNER: [&str; 2] = ["BUILDKIT_SBOM_SCAN_CONTEXT", "BUILDKIT_SBOM_SCAN_STAGE"];

impl<'a> Assembly<'a, '_> {
    pub(super) fn dispatch(
        &mut self,
        current: &mut Current<'_, 'a>,
        planned: &Planned<'a>,
        trigger: bool,
    ) -> Result<Outcome, PlanErrorKind> {
        let command = planned.command.as_ref();
        if let Instruction::Arg(arguments) = &command.instruction {
            let note = self.arg(current, arguments, command)?;
            return Ok(Outcome::Config { note });
        }
        let (instruction, arguments) = self.expanded(current, command)?;
        let note = match &instruction {
            Instruction::Run(run) => {
                return self
                    .run_step(current, planned, run, trigger)
                    .map(Outcome::Node);
            }
            Instruction::Copy(_) | Instruction::Add(_) => {
                let files = super::files::Files {
                    planned,
                    instruction: &instruction,
                    arguments,
                    trigger,
                };
                return self.files(current, files).map(Outcome::Node);
            }
            Instruction::Workdir(path) => {
                return self.directory(current, command, path, (arguments, trigger));
            }
            Instruction::Expose(words) => self.expose(current, words, command)?,
            Instruction::Env(pairs) => current.env(pairs),
            Instruction::Label(pairs) => current.label(pairs),
            Instruction::Maintainer(name) => current.maintainer(name),
            Instruction::Cmd(line) => current.cmd(line),
            Instruction::Entrypoint(line) => current.entrypoint(line),
            Instruction::Healthcheck(check) => current.healthcheck(check),
            Instruction::User(user) => current.user(user),
            Instruction::Volume(paths) => current.volume(paths)?,
            Instruction::Stopsignal(signal) => current.stop_signal(signal)?,
            Instruction::Shell(shell) => current.shell(shell),
            Instruction::Onbuild(text) => current.onbuild(text),
            Instruction::Arg(_) => None,
        };
        Ok(Outcome::Config { note })
    }

    /// The instruction with its variables replaced, and the build arguments that took part.
    fn expanded(
        &mut self,
        current: &Current<'_, 'a>,
        command: &Command,
    ) -> Result<(Instruction, Vec<(String, String)>), PlanErrorKind> {
        let mut recorder = Recorder::new(&current.state.environment, self.escape());
        let instruction = command.instruction.expanded(&mut recorder)?;
        let arguments = recorder.arguments();
        let undefined = std::mem::take(&mut recorder.undefined);
        self.undefined(current, undefined, command);
        Ok((instruction, arguments))
    }

    /// Variables without a value are worth a remark, declared arguments are not.
    fn undefined(
        &mut self,
        current: &Current<'_, 'a>,
        mut undefined: BTreeSet<String>,
        command: &Command,
    ) {
        if undefined.is_empty() {
            return;
        }
        undefined.retain(|name| !current.state.declared.contains(name));
        let environment = &current.state.environment;
        self.shared
            .lints
            .undefined_variables(&undefined, environment, command.span);
    }

    fn arg(
        &mut self,
        current: &mut Current<'_, 'a>,
        arguments: &[Argument],
        command: &Command,
    ) -> Result<Option<String>, PlanErrorKind> {
        let given = &self.context.input.options.build_args;
        let mut texts = Vec::with_capacity(arguments.len());
        for argument in arguments {
            self.shared.declared.insert(argument.key.clone());
            let mut recorder = Recorder::new(&current.state.environment, self.escape());
            let default = argument.value.as_deref().map(|value| recorder.word(value));
            let undefined = std::mem::take(&mut recorder.undefined);
            let chosen = given.get(&argument.key).cloned();
            // A default that is not used may be as wrong as it likes.
            let default = match (default, &chosen) {
                (Some(Err(error)), None) => {
                    return Err(error.into());
                }
                (Some(Err(_)), Some(_)) => argument.value.clone(),
                (Some(Ok(default)), _) => Some(default),
                (None, _) => None,
            };
            self.undefined(current, undefined, command);
            let global = || self.context.globals.get(&argument.key).map(str::to_owned);
            let value = chosen.or_else(|| default.clone()).or_else(global);
            // BuildKit notes what the argument is, classic what its instruction says.
            let noted = match current.state.dialect {
                Dialect::Classic => &default,
                Dialect::BuildKit => &value,
            };
            texts.push(match noted {
                Some(value) => format!("{}={value}", argument.key),
                None => argument.key.clone(),
            });
            current.declare(&argument.key, value);
        }
        let text = format!("ARG {}", texts.join(" "));
        current.state.commit(&Entry::Config(text));
        Ok(None)
    }

    fn expose(
        &mut self,
        current: &mut Current<'_, 'a>,
        words: &[String],
        command: &Command,
    ) -> Result<Option<String>, PlanErrorKind> {
        let exposing = expose(words, command.span);
        let exposing = exposing.map_err(|error| PlanErrorKind::Port(error.to_string()))?;
        self.shared.lints.report(exposing.warnings);
        let text = match current.state.dialect {
            Dialect::Classic => format!("EXPOSE {}", words.join(" ")),
            Dialect::BuildKit => format!("EXPOSE {}", go_list(&exposing.ports)),
        };
        current.state.run.exposed_ports.extend(exposing.ports);
        current.state.commit(&Entry::Config(text));
        Ok(None)
    }

    fn directory(
        &mut self,
        current: &mut Current<'_, 'a>,
        command: &Command,
        path: &str,
        (arguments, trigger): (Vec<(String, String)>, bool),
    ) -> Result<Outcome, PlanErrorKind> {
        if path.is_empty() && current.state.dialect == Dialect::Classic {
            return Err(PlanErrorKind::BlankDirectory);
        }
        if !std::mem::replace(&mut current.state.directory_set, true) {
            let found = lint::relative_directory(path, command.span);
            self.shared.lints.report(found);
        }
        let whole = join(&current.state.run.working_dir, path);
        current.state.run.working_dir.clone_from(&whole);
        let text = format!("WORKDIR {whole}");
        // BuildKit makes no layer for the root; in classic every layer without files vanishes anyway.
        if whole == "/" {
            current.state.commit(&Entry::Directory(text, false));
            return Ok(Outcome::Config { note: None });
        }
        let owner = match current.state.dialect {
            Dialect::Classic => None,
            Dialect::BuildKit => Some(current.state.run.user.clone()),
        };
        let made = MakeDirectory {
            path: whole,
            owner: owner.filter(|owner| !owner.is_empty()),
        };
        let new = NewNode {
            operation: Operation::MakeDirectory(made),
            inputs: Vec::new(),
            text: None,
            arguments,
        };
        let node = self.push_node(current, command, trigger, new)?;
        current.state.commit(&Entry::Directory(text, true));
        Ok(Outcome::Node(node))
    }
}

impl Current<'_, '_> {
    /// ARG. In classic a variable of the configuration hides an argument for good; in BuildKit the last
    /// word counts.
    fn declare(&mut self, name: &str, value: Option<String>) {
        let text = value.as_deref().unwrap_or_default();
        self.state.arguments.replace(name, text, Origin::Argument);
        self.state.declared.insert(name.to_owned());
        match self.state.dialect {
            Dialect::Classic if self.state.config_environment.contains(name) => {}
            Dialect::Classic => match value {
                Some(value) => self
                    .state
                    .environment
                    .replace(name, &value, Origin::Argument),
                None => self.state.environment.remove(name),
            },
            // The history has these, programs do not see them.
            Dialect::BuildKit if SCANNER.contains(&name) => {}
            Dialect::BuildKit => {
                if let Some(value) = value {
                    self.state.environment.set(name, &value, Origin::Argument);
                }
            }
        }
    }

    fn env(&mut self, pairs: &[KeyValue]) -> Option<String> {
        for pair in pairs {
            let (name, value) = (&pair.key, &pair.value);
            self.state.environment.set(name, value, Origin::Image);
            self.state
                .config_environment
                .replace(name, value, Origin::Image);
        }
        self.commit(key_values("ENV", pairs))
    }

    pub(super) fn label(&mut self, pairs: &[KeyValue]) -> Option<String> {
        let labels = self.state.run.labels.get_or_insert_default();
        for pair in pairs {
            labels.insert(pair.key.clone(), pair.value.clone());
        }
        self.commit(key_values("LABEL", pairs))
    }

    fn maintainer(&mut self, name: &str) -> Option<String> {
        name.clone_into(&mut self.state.author);
        self.commit(format!("MAINTAINER {name}"))
    }

    fn cmd(&mut self, line: &CommandLine) -> Option<String> {
        let words = self.with_shell(line);
        let text = format!("CMD {}", go_quote_list(&words));
        if self.state.dialect == Dialect::BuildKit {
            self.state.run.args_escaped = true;
            self.state.command_set = true;
            self.state.run.cmd = Some(words).filter(|words| !words.is_empty());
        } else {
            self.state.command_set |= !line.arguments.is_empty();
            self.state.run.cmd = Some(words);
        }
        self.commit(text)
    }

    fn entrypoint(&mut self, line: &CommandLine) -> Option<String> {
        let words = self.with_shell(line);
        let text = format!("ENTRYPOINT {}", go_quote_list(&words));
        self.state.run.entrypoint = Some(words).filter(|words| !words.is_empty());
        // A base's CMD was meant for the base's entry point.
        if !self.state.command_set {
            self.state.run.cmd = None;
        }
        self.commit(text)
    }

    /// A line as a program and its arguments.
    pub(super) fn with_shell(&self, line: &CommandLine) -> Vec<String> {
        if !line.shell {
            return line.arguments.clone();
        }
        let mut words = shell_of(&self.state.run);
        // Of a shell form without a command classic keeps the shell, BuildKit adds an empty text.
        if !line.arguments.is_empty() || self.state.dialect == Dialect::BuildKit {
            words.push(line.arguments.join(" "));
        }
        words
    }

    /// Classic makes a container of each step, and what a health check leaves out comes from the one
    /// before it.
    fn healthcheck(&mut self, check: &Healthcheck) -> Option<String> {
        let old = self.state.run.healthcheck.take();
        let mut merged = check.clone();
        let mut note = None;
        if self.state.dialect == Dialect::Classic
            && let Some(old) = old
        {
            note = old.test.first().map(|_| {
                let test = go_list(&old.test);
                format!("Note: overriding previous HEALTHCHECK: {test}")
            });
            for (new, old) in [
                (&mut merged.interval, old.interval),
                (&mut merged.timeout, old.timeout),
                (&mut merged.start_period, old.start_period),
                (&mut merged.start_interval, old.start_interval),
                (&mut merged.retries, old.retries),
            ] {
                if *new == 0 {
                    *new = old;
                }
            }
        }
        self.state.run.healthcheck = Some(merged);
        self.commit(healthcheck(check, self.state.dialect));
        note
    }

    fn user(&mut self, user: &str) -> Option<String> {
        user.clone_into(&mut self.state.run.user);
        self.commit(format!("USER {user}"))
    }

    fn volume(&mut self, paths: &[String]) -> Result<Option<String>, PlanErrorKind> {
        if paths.iter().any(String::is_empty) {
            return Err(PlanErrorKind::BlankVolume);
        }
        let volumes = self.state.run.volumes.get_or_insert_default();
        volumes.extend(paths.iter().cloned());
        Ok(self.commit(format!("VOLUME {}", go_list(paths))))
    }

    fn stop_signal(&mut self, signal: &str) -> Result<Option<String>, PlanErrorKind> {
        if !change::is_signal(signal) {
            return Err(PlanErrorKind::Signal(signal.to_owned()));
        }
        signal.clone_into(&mut self.state.run.stop_signal);
        Ok(self.commit(format!("STOPSIGNAL {signal}")))
    }

    fn shell(&mut self, shell: &[String]) -> Option<String> {
        self.state.run.shell = Some(shell.to_vec());
        self.commit(format!("SHELL {}", go_list(shell)))
    }

    /// BuildKit keeps triggers out of the history.
    fn onbuild(&mut self, text: &str) -> Option<String> {
        let triggers = self.state.run.on_build.get_or_insert_default();
        triggers.push(text.to_owned());
        if self.state.dialect == Dialect::Classic {
            self.commit(format!("ONBUILD {text}"));
        }
        None
    }

    fn commit(&mut self, text: String) -> Option<String> {
        self.state.commit(&Entry::Config(text));
        None
    }
}

fn key_values(name: &str, pairs: &[KeyValue]) -> String {
    let pairs = pairs
        .iter()
        .map(|pair| format!("{}={}", pair.key, pair.value));
    let mut words = vec![name.to_owned()];
    words.extend(pairs);
    words.join(" ")
}

/// A path below a directory, absolute and without `.`, `..` and double slashes.
pub(super) fn join(directory: &str, path: &str) -> String {
    let directory = if path.starts_with('/') { "" } else { directory };
    lapstrake_spec::change::join_clean(directory, path)
}
