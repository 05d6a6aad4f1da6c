//! How a build fails: docker's two builders have different words, and different exit statuses.

use super::super::run;
use super::face::Face;
use crate::args::{Matches, parse};
use crate::cli::Invocation;
use crate::failure::{Failure, with_prefix};
use lapstrake_engine::ops::{FailedBuild, OnFail};
use lapstrake_engine::{Error, Origin};
use std::io::IsTerminal;

/// A refusal by buildx, before there is a build.
pub(super) fn by_client(mut failure: Failure) -> Failure {
    failure.text = format!("ERROR: {}", failure.text);
    failure
}

/// A refusal of the request.
pub(super) fn before(mut failure: Failure, face: Face, invocation: &Invocation<'_>) -> Failure {
    match face {
        Face::Modern(_) => failure.text = format!("ERROR: failed to build: {}", failure.text),
        Face::Classic if failure.status == 125 => {
            let path = format!("{} {}", invocation.program, invocation.called_as);
            failure.text = format!(
                "{}\n\nUsage:  {path} {}\n\nRun '{path} --help' for more information",
                failure.text,
                super::COMMAND.usage
            );
        }
        Face::Classic => {}
    }
    failure
}

/// The end of a build that failed; the failed step's file system is entered when that was asked for.
pub(super) fn failed(
    invocation: &Invocation<'_>,
    face: Face,
    error: &Error,
    on_fail: OnFail,
) -> Result<u8, Failure> {
    let mut failure = failure(face, error);
    let Some(build) = error.failed_build() else {
        return Err(failure);
    };
    let Some(image) = &build.image else {
        return Err(failure);
    };
    if on_fail != OnFail::Shell {
        if failure.hints.is_empty() {
            failure = failure.with_hint(format!(
                "`{} run -it {} {}` enters the file system of the failed step",
                invocation.program,
                image.short(),
                shell(build)
            ));
        }
        return Err(failure);
    }
    invocation.output.err_line(&failure.text);
    invocation.output.err_line(&format!(
        "entering the file system of the failed step, image {}",
        image.short()
    ));
    invocation.output.flush();
    enter(invocation, image.as_str(), shell(build))?;
    Err(Failure::silent(failure.status))
}

/// The failure as docker prints it.
fn failure(face: Face, error: &Error) -> Failure {
    match face {
        Face::Classic => {
            let status = error.failed_build().and_then(|build| build.status);
            let failure = Failure::from_error(error, with_prefix(error));
            match status.map(u8::try_from) {
                Some(Ok(status)) if status != 0 => failure.with_status(status),
                _ => failure,
            }
        }
        Face::Modern(_) => {
            let solving = "failed to solve: ";
            let stage = match error.origin() {
                Origin::Client => "",
                _ if error.message().starts_with(solving) => "",
                Origin::Engine | Origin::Stream => solving,
            };
            let excerpt = error.failed_build().and_then(|build| build.excerpt.clone());
            let mut excerpt = excerpt.unwrap_or_default();
            if !excerpt.is_empty() && !excerpt.ends_with('\n') {
                excerpt.push('\n');
            }
            let text = format!(
                "{excerpt}ERROR: failed to build: {stage}{}",
                error.message()
            );
            Failure::from_error(error, text)
        }
    }
}

/// The program that makes the failed step's environment a shell.
fn shell(build: &FailedBuild) -> &str {
    build.shell.first().map_or("/bin/sh", String::as_str)
}

/// `run --rm -i [-t] --entrypoint SHELL IMAGE`
fn enter(invocation: &Invocation<'_>, image: &str, shell: &str) -> Result<u8, Failure> {
    let tty = format!("--tty={}", std::io::stdin().is_terminal());
    let words = ["--rm", "--interactive", &tty, "--entrypoint", shell, image];
    let words: Vec<String> = words.into_iter().map(str::to_owned).collect();
    let command = &run::COMMAND;
    let parsed = parse(command.flags, &words, command.interspersed)
        .map_err(|error| Failure::new(error.message))?;
    let matches = Matches::new(command.flags, parsed);
    let client = lapstrake_engine::settings::client::ClientConfig::default();
    (command.run)(&Invocation {
        client: &client,
        program: invocation.program,
        called_as: "run",
        matches: &matches,
        output: invocation.output,
        env: invocation.env,
        engine: invocation.engine,
    })
}
