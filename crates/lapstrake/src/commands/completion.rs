//! `completion bash`, `completion fish`, `completion zsh`: scripts for the shells.

use super::Cmd;
use crate::args::{Arity, Flag};
use crate::cli::Invocation;
use crate::complete::script;

const FLAGS: &[Flag] = &[Flag::bool(
    "no-descriptions",
    "disable completion descriptions",
)];

const fn command(about: &'static str, long: &'static str, run: super::Run) -> Cmd {
    Cmd {
        usage: "[OPTIONS]",
        about,
        long,
        aliases: &[],
        flags: FLAGS,
        arity: Arity::None,
        interspersed: true,
        run,
    }
}

pub(super) static BASH: Cmd = command(
    "Generate the autocompletion script for bash",
    "Generate the autocompletion script for bash.\n\n\
     To load completions in the shell that runs:\n  source <(lap completion bash)\n\n\
     To load them in every new shell:\n  \
     mkdir -p ~/.local/share/bash-completion/completions\n  \
     lap completion bash > ~/.local/share/bash-completion/completions/lap",
    |invocation| {
        print(invocation, "bash");
        Ok(0)
    },
);

pub(super) static FISH: Cmd = command(
    "Generate the autocompletion script for fish",
    "Generate the autocompletion script for fish.\n\n\
     To load completions in the shell that runs:\n  lap completion fish | source\n\n\
     To load them in every new shell:\n  \
     lap completion fish > ~/.config/fish/completions/lap.fish",
    |invocation| {
        print(invocation, "fish");
        Ok(0)
    },
);

pub(super) static ZSH: Cmd = command(
    "Generate the autocompletion script for zsh",
    "Generate the autocompletion script for zsh. The shell's own completion has to be on: \
     `autoload -U compinit; compinit`.\n\n\
     To load completions in the shell that runs:\n  source <(lap completion zsh)\n\n\
     To load them in every new shell:\n  lap completion zsh > \"${fpath[1]}/_lap\"",
    |invocation| {
        print(invocation, "zsh");
        Ok(0)
    },
);

fn print(invocation: &Invocation<'_>, shell: &str) {
    let with_descriptions = !invocation.matches.is("no-descriptions");
    if let Some(text) = script(shell, invocation.program, with_descriptions) {
        invocation.output.print(&text);
    }
}
