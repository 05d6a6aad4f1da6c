//! `load`: images out of an archive.

use super::{Cmd, block_on, platform};
use crate::args::{Arity, Flag};
use crate::cli::{Invocation, now};
use crate::failure::{Failure, io_text};
use crate::ui::output::Stream;
use crate::ui::progress::Progress;
use lapstrake_engine::ops::{self, ArchiveInput, LoadRequest};
use std::fs::File;
use std::io::{IsTerminal, Seek};
use std::os::fd::AsFd;

pub(super) static COMMAND: Cmd = Cmd {
    usage: "[OPTIONS]",
    about: "Load an image from a tar archive or STDIN",
    long: "",
    aliases: &["image load", "load"],
    flags: &[
        Flag::text("input", "Read from tar archive file, instead of STDIN").short('i'),
        Flag::text(
            "platform",
            "Load only the given platform variant. Formatted as \"os[/arch[/variant]]\" (e.g., \
             \"linux/amd64\")",
        ),
        Flag::bool("quiet", "Suppress the load output").short('q'),
    ],
    arity: Arity::None,
    interspersed: true,
    run,
};

fn run(invocation: &Invocation<'_>) -> Result<u8, Failure> {
    let matches = invocation.matches;
    let platform = platform(matches)?;
    let (input, name) = match matches.nonempty("input") {
        Some(path) => (file(path)?, path.to_owned()),
        None => (stdin()?, "/dev/stdin".to_owned()),
    };
    let request = LoadRequest {
        input,
        name,
        platform,
    };
    // Off a terminal docker's client asks for no progress.
    let quiet = matches.is("quiet") || !invocation.output.is_terminal(Stream::Out);
    let progress = Progress::new(invocation.output, Stream::Out, quiet, now);
    block_on(ops::load(invocation.engine, request, &progress))?;
    Ok(0)
}

fn file(path: &str) -> Result<ArchiveInput, Failure> {
    let file = File::open(path)
        .map_err(|error| Failure::new(format!("open {path}: {}", io_text(&error))))?;
    if file.metadata()?.is_dir() {
        return Err(
            Failure::new(format!("read {path}: is a directory")).with_hint(format!(
                "`lap copy oci:{path} store:` takes an image layout in"
            )),
        );
    }
    Ok(ArchiveInput::File(file))
}

/// A file that was redirected is read where it is.
fn stdin() -> Result<ArchiveInput, Failure> {
    let stdin = std::io::stdin();
    if stdin.is_terminal() {
        return Err(Failure::new(
            "requested load from stdin, but stdin is empty",
        ));
    }
    let mut file = File::from(stdin.as_fd().try_clone_to_owned()?);
    let at_start = file.metadata()?.is_file() && file.stream_position()? == 0;
    Ok(if at_start {
        ArchiveInput::File(file)
    } else {
        ArchiveInput::Stream(Box::new(file))
    })
}
