//! `build`: a Dockerfile and a context become an image.

mod face;
mod fail;
mod flags;
mod request;
mod words;

#[cfg(test)]
mod tests;

use super::{Cmd, Run, block_on};
use crate::args::Arity;
use crate::cli::{Invocation, now};
use crate::failure::Failure;
use crate::ui::build::{Classic, Screen, Style, answer, brief, classic_result, summary};
use crate::ui::output::Stream;
use face::{Face, Surroundings, face};
use lapstrake_engine::ops::{self, Answer, BuildRequest, BuildResult, Output};

pub(super) static COMMAND: Cmd = command(run);

/// `buildx build`, which knows no classic builder unless a flag asks for it.
pub(super) static BUILDX: Cmd = command(run_buildx);

const fn command(run: Run) -> Cmd {
    Cmd {
        usage: "[OPTIONS] PATH | URL | -",
        about: "Build an image from a Dockerfile",
        long: "",
        aliases: &["image build", "build", "builder build", "buildx build"],
        flags: flags::FLAGS,
        arity: Arity::Exact(1),
        interspersed: true,
        run,
    }
}

fn run(invocation: &Invocation<'_>) -> Result<u8, Failure> {
    build(invocation, invocation.env.buildkit())
}

fn run_buildx(invocation: &Invocation<'_>) -> Result<u8, Failure> {
    build(invocation, None)
}

fn build(invocation: &Invocation<'_>, buildkit: Option<&str>) -> Result<u8, Failure> {
    let around = Surroundings {
        progress: invocation.env.build_progress(),
        buildkit,
        is_terminal: invocation.output.is_terminal(Stream::Err),
    };
    let face = face(invocation.matches, around).map_err(fail::by_client)?;
    let request = request::request(invocation, face)
        .map_err(|failure| fail::before(failure, face, invocation))?;
    refuse_terminal(invocation, &request).map_err(fail::by_client)?;
    warn_of_attestations(invocation);
    let on_fail = request.on_fail;
    let screen = screen(invocation, face);
    let built = screen.attend(|| {
        block_on(async {
            let built = ops::build(invocation.engine, request, &screen).await;
            // An interrupt is a failure of this future's caller; these are the build's own.
            Ok::<_, Failure>(built)
        })
    })?;
    match built {
        Ok(result) => Ok(report(invocation, face, &result)),
        Err(error) => {
            let output = invocation.output;
            output.write(Stream::Err, &screen.held());
            if matches!(face, Face::Modern(Style::Plain | Style::Terminal)) {
                let text = brief(&screen.findings(), invocation.program);
                output.write(Stream::Err, text.as_bytes());
            }
            fail::failed(invocation, face, &error, on_fail)
        }
    }
}

/// A tar is no text: docker refuses to write one to a terminal too.
fn refuse_terminal(invocation: &Invocation<'_>, request: &BuildRequest) -> Result<(), Failure> {
    let goes_there = request.outputs.iter().any(Output::uses_stdout);
    if goes_there && invocation.output.is_terminal(Stream::Out) {
        return Err(Failure::new(
            "dest file is required for this output. refusing to write to console",
        ));
    }
    Ok(())
}

/// Attestations are accepted, since scripts ask for them, and not made.
fn warn_of_attestations(invocation: &Invocation<'_>) {
    let matches = invocation.matches;
    let wanted = |name: &str| {
        matches.list(name).iter().any(|value| {
            !value.is_empty() && !value.ends_with("false") && !value.ends_with("disabled=true")
        })
    };
    if ["attest", "provenance", "sbom"].into_iter().any(wanted) {
        invocation
            .output
            .err_line("WARNING: attestations are not made");
    }
}

fn screen<'a>(invocation: &Invocation<'a>, face: Face) -> Screen<'a> {
    let output = invocation.output;
    match face {
        Face::Classic => {
            let columns = output
                .is_terminal(Stream::Out)
                .then(|| crate::ui::progress::columns(Stream::Out));
            let renderer = Classic::new(columns, invocation.matches.is("explain"))
                .keeping(!invocation.matches.is("rm"));
            Screen::classic(output, invocation.matches.is("quiet"), renderer, now)
        }
        Face::Modern(style) => {
            let colours = invocation.env.has_colours();
            let explains = invocation.matches.is("explain");
            Screen::modern(output, style, (colours, explains), now)
        }
    }
}

/// What follows a build that worked.
fn report(invocation: &Invocation<'_>, face: Face, result: &BuildResult) -> u8 {
    let output = invocation.output;
    if let Some(found) = &result.answer {
        return answered(invocation, found, result);
    }
    let is_quiet = invocation.matches.is("quiet") || face == Face::Modern(Style::Quiet);
    if is_quiet {
        if let Some(id) = result.id() {
            output.line(id.as_str());
        }
        return 0;
    }
    match face {
        Face::Classic => output.print(&classic_result(result)),
        Face::Modern(Style::Plain | Style::Terminal) => {
            let text = summary(
                &result.warnings,
                is_expanded(invocation),
                invocation.program,
            );
            output.write(Stream::Err, text.as_bytes());
        }
        Face::Modern(Style::Json | Style::Quiet | Style::Silent) => {}
    }
    0
}

/// `--check` fails when it finds something.
fn answered(invocation: &Invocation<'_>, found: &Answer, result: &BuildResult) -> u8 {
    invocation.output.print(&answer(found, result));
    if let Some(error) = &found.error {
        invocation.output.print("\n");
        invocation.output.err_line(&format!("ERROR: {error}"));
    }
    let is_check = found.call == ops::Call::Check;
    u8::from(found.error.is_some() || (is_check && !result.warnings.is_empty()))
}

fn is_expanded(invocation: &Invocation<'_>) -> bool {
    invocation.matches.is("debug") || invocation.engine.settings().debug
}
