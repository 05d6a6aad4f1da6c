//! `push`: an image to a registry.

use super::{Cmd, block_on, platform, sign, trust_flag};
use crate::args::{Arity, Flag};
use crate::cli::{Invocation, now};
use crate::failure::Failure;
use crate::ui::output::Stream;
use crate::ui::progress::Progress;
use lapstrake_engine::ops::{self, PushRequest};

pub(super) static COMMAND: Cmd = Cmd {
    usage: "[OPTIONS] NAME[:TAG]",
    about: "Upload an image to a registry",
    long: "",
    aliases: &["image push", "push"],
    flags: &[
        Flag::bool("all-tags", "Push all tags of an image to the repository").short('a'),
        trust_flag("Skip image signing"),
        Flag::text(
            "platform",
            "Push a platform-specific manifest as a single-platform image to the registry.\n\
             Image index won't be pushed, meaning that other manifests, including attestations won't be \
             preserved.\n\
             'os[/arch[/variant]]': Explicit platform (eg. linux/amd64)",
        ),
        Flag::bool("quiet", "Suppress verbose output").short('q'),
    ],
    arity: Arity::Exact(1),
    interspersed: true,
    run,
};

fn run(invocation: &Invocation<'_>) -> Result<u8, Failure> {
    let matches = invocation.matches;
    let request = PushRequest {
        reference: matches.required(0).to_owned(),
        all_tags: matches.is("all-tags"),
        platform: platform(matches)?,
    };
    let quiet = matches.is("quiet");
    let progress = Progress::new(invocation.output, Stream::Out, quiet, now);
    let signing = if invocation.engine.has_content_trust() {
        sign::own_key(invocation)?
    } else {
        None
    };
    let signing = signing.map(|key| invocation.engine.clone().with_signer(key));
    let engine = signing.as_ref().unwrap_or(invocation.engine);
    let pushed = block_on(ops::push(engine, &request, &progress))?;
    if quiet {
        invocation.output.line(&pushed.canonical());
    }
    Ok(0)
}
