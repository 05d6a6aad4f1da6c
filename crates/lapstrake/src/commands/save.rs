//! `save`: images into an archive.

use super::{Cmd, block_on, platform};
use crate::args::{Arity, Flag, Matches};
use crate::cli::Invocation;
use crate::failure::{BROKEN_PIPE, Failure};
use crate::ui::output::{Output, Stream};
use lapstrake_engine::Error;
use lapstrake_engine::ops::{self, ArchiveTarget, SaveRequest};
use std::fs::File;
use std::os::fd::AsFd;
use std::path::PathBuf;

pub(super) static COMMAND: Cmd = Cmd {
    usage: "[OPTIONS] IMAGE [IMAGE...]",
    about: "Save one or more images to a tar archive (streamed to STDOUT by default)",
    long: "",
    aliases: &["image save", "save"],
    flags: &[
        Flag::text("output", "Write to a file, instead of STDOUT").short('o'),
        Flag::text(
            "platform",
            "Save only the given platform variant. Formatted as \"os[/arch[/variant]]\" (e.g., \
             \"linux/amd64\")",
        ),
    ],
    arity: Arity::AtLeast(1),
    interspersed: true,
    run,
};

fn run(invocation: &Invocation<'_>) -> Result<u8, Failure> {
    let matches = invocation.matches;
    let request = SaveRequest {
        images: matches.args.clone(),
        platform: platform(matches)?,
        target: target(matches, invocation.output)?,
    };
    let saved = block_on(async { Ok::<_, Failure>(ops::save(invocation.engine, request).await) })?;
    saved.map_err(of_writing)?;
    Ok(0)
}

/// The file of `-o`, or standard output unless that is a terminal.
pub(super) fn target(matches: &Matches, output: &Output) -> Result<ArchiveTarget, Failure> {
    if let Some(path) = matches.nonempty("output") {
        return Ok(ArchiveTarget::File(PathBuf::from(path)));
    }
    if output.is_terminal(Stream::Out) {
        return Err(Failure::new(
            "cowardly refusing to save to a terminal. Use the -o flag or redirect",
        ));
    }
    let stdout = std::io::stdout().as_fd().try_clone_to_owned()?;
    Ok(ArchiveTarget::Descriptor(
        File::from(stdout),
        "/dev/stdout".to_owned(),
    ))
}

/// A reader that went away is no failure to talk about.
pub(super) fn of_writing(error: Error) -> Failure {
    let first: &(dyn std::error::Error + 'static) = &error;
    let causes = std::iter::successors(Some(first), |error| error.source());
    let is_broken = causes
        .filter_map(|cause| cause.downcast_ref::<std::io::Error>())
        .any(|cause| cause.kind() == std::io::ErrorKind::BrokenPipe);
    if is_broken {
        return Failure::silent(BROKEN_PIPE);
    }
    error.into()
}
