//! `copy`: an image from one place to another.

use super::{Cmd, block_on, platform};
use crate::args::{Arity, Flag};
use crate::cli::{Invocation, now};
use crate::failure::Failure;
use crate::ui::output::Stream;
use crate::ui::progress::Progress;
use lapstrake_engine::ops::{self, CopyRequest, Place};

pub(super) static COMMAND: Cmd = Cmd {
    usage: "[OPTIONS] SOURCE DESTINATION",
    about: "Copy an image between registries, archives and the store",
    long: "Copy an image between registries, archives and the store, with the bytes it has.\n\n\
           A place is one of:\n  \
           NAME[:TAG|@DIGEST]            a repository of a registry\n  \
           store:NAME                    the image store (store: keeps the image's names)\n  \
           oci:FOLDER[:TAG]              an OCI image layout\n  \
           oci-archive:FILE[:TAG]        an OCI image layout as a tar\n  \
           docker-archive:FILE[:NAME]    what docker save writes",
    aliases: &[],
    flags: &[
        Flag::text(
            "platform",
            "Copy the given platform variant of an image of several",
        ),
        Flag::bool("quiet", "Print the digest alone").short('q'),
    ],
    arity: Arity::Exact(2),
    interspersed: true,
    run,
};

fn run(invocation: &Invocation<'_>) -> Result<u8, Failure> {
    let matches = invocation.matches;
    let request = CopyRequest {
        from: Place::parse(matches.required(0))?,
        to: Place::parse(matches.required(1))?,
        platform: platform(matches)?,
    };
    let quiet = matches.is("quiet");
    let progress = Progress::new(invocation.output, Stream::Out, quiet, now);
    let copied = block_on(ops::copy(invocation.engine, &request, &progress))?;
    let label = if quiet { "" } else { "Digest: " };
    invocation.output.line(&format!("{label}{}", copied.digest));
    Ok(0)
}
