//! The binary `lap`: an image engine without a daemon, with docker's command line.
//!
//! A process is either one of the hidden roles (the monitor of a container, the steward of a build's steps, the reaper) or one command: words are
//! read by [`args`], run by a file of [`commands`], shown by [`ui`]. Only [`mod@env`] reads the
//! environment; only [`ui::output`] writes.

mod args;
mod cli;
mod commands;
mod complete;
mod env;
mod failure;
mod global;
mod guide;
mod reaper;
mod ui;

use failure::{BROKEN_PIPE, Failure, io_text};
use lapstrake_engine::container::{monitor, sandbox};
use std::process::ExitCode;
use ui::Output;

/// The name used when the system gives none.
const NAME: &str = "lap";

fn main() -> ExitCode {
    let mut words = std::env::args_os();
    let first = words.next();
    let rest: Vec<std::ffi::OsString> = words.collect();
    if let Some(status) = role(&rest) {
        return ExitCode::from(status);
    }
    let program = first
        .as_deref()
        .map(std::path::Path::new)
        .and_then(std::path::Path::file_name)
        .map_or_else(
            || NAME.to_owned(),
            |name| name.to_string_lossy().into_owned(),
        );
    let args: Vec<String> = rest
        .iter()
        .map(|word| word.to_string_lossy().into_owned())
        .collect();
    let output = Output::standard();
    let environment = env::Environment::read();
    let result = cli::run(&program, &args, &environment, &output);
    ExitCode::from(finish(result, &program, &output))
}

/// Runs a hidden role when this process was started for one: the monitor of a container, the steward of a
/// build's steps, or the reaper.
fn role(words: &[std::ffi::OsString]) -> Option<u8> {
    let (first, rest) = words.split_first()?;
    if first == reaper::ROLE {
        return Some(reaper::main(rest));
    }
    let rest = rest.iter().cloned();
    let status = if first == monitor::ROLE {
        monitor::main(rest)
    } else if first == sandbox::ROLE {
        sandbox::main(rest)
    } else {
        return None;
    };
    Some(u8::try_from(status).unwrap_or(u8::MAX))
}

/// Prints a failure, sends everything on, and decides the exit status.
fn finish(result: Result<u8, Failure>, program: &str, output: &Output) -> u8 {
    let status = match result {
        Ok(status) => status,
        Err(failure) => {
            if !failure.text.is_empty() {
                output.err_line(&failure.text);
            }
            for hint in &failure.hints {
                output.err_line(&format!("hint: {}", guide::renamed(hint, program)));
            }
            failure.status
        }
    };
    match output.finish() {
        Ok(()) => status,
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => BROKEN_PIPE,
        Err(error) => {
            output.err_line(&format!("write /dev/stdout: {}", io_text(&error)));
            output.flush();
            status.max(1)
        }
    }
}
