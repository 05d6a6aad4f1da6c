//! `pull`: an image from a registry.

use super::{Cmd, block_on, platform, trust_flag};
use crate::args::{Arity, Flag};
use crate::cli::{Invocation, now};
use crate::failure::Failure;
use crate::ui::output::Stream;
use crate::ui::progress::Progress;
use lapstrake_engine::ops::{self, PullRequest};

pub(super) static COMMAND: Cmd = Cmd {
    usage: "[OPTIONS] NAME[:TAG|@DIGEST]",
    about: "Download an image from a registry",
    long: "",
    aliases: &["image pull", "pull"],
    flags: &[
        Flag::bool("all-tags", "Download all tagged images in the repository").short('a'),
        trust_flag("Skip image verification"),
        Flag::text(
            "platform",
            "Set platform if server is multi-platform capable",
        ),
        Flag::bool("quiet", "Suppress verbose output").short('q'),
    ],
    arity: Arity::Exact(1),
    interspersed: true,
    run,
};

fn run(invocation: &Invocation<'_>) -> Result<u8, Failure> {
    let matches = invocation.matches;
    let request = PullRequest {
        reference: matches.required(0).to_owned(),
        all_tags: matches.is("all-tags"),
        platform: platform(matches)?,
    };
    let progress = Progress::new(invocation.output, Stream::Out, matches.is("quiet"), now);
    let pulled = block_on(ops::pull(invocation.engine, &request, &progress))?;
    invocation.output.line(&pulled.reference.canonical());
    Ok(0)
}
