//! `image inspect` and `container inspect`.

use super::inspect::{Wanted, inspect};
use super::{Cmd, OBJECT_FORMAT_HELP};
use crate::args::{Arity, Flag};

pub(super) static IMAGE: Cmd = Cmd {
    usage: "[OPTIONS] IMAGE [IMAGE...]",
    about: "Display detailed information on one or more images",
    long: "",
    aliases: &[],
    flags: &[
        Flag::text("format", OBJECT_FORMAT_HELP).short('f'),
        Flag::text(
            "platform",
            "Inspect a specific platform of the multi-platform image. If the image or the server is not \
             multi-platform capable, the command will error out if the platform does not match. \
             'os[/arch[/variant]]': Explicit platform (eg. linux/amd64)",
        ),
    ],
    arity: Arity::AtLeast(1),
    interspersed: true,
    run: |invocation| inspect(invocation, Wanted::Image),
};

pub(super) static CONTAINER: Cmd = Cmd {
    usage: "[OPTIONS] CONTAINER [CONTAINER...]",
    about: "Display detailed information on one or more containers",
    long: "",
    aliases: &[],
    flags: &[
        Flag::text("format", OBJECT_FORMAT_HELP).short('f'),
        Flag::bool("size", "Display total file sizes").short('s'),
    ],
    arity: Arity::AtLeast(1),
    interspersed: true,
    run: |invocation| inspect(invocation, Wanted::Container),
};
