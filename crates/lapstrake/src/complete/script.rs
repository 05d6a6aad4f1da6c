//! The scripts that connect a shell with [`complete`](super::complete).

const BASH: &str = include_str!("lap.bash");
const FISH: &str = include_str!("lap.fish");
const ZSH: &str = include_str!("lap.zsh");

/// The script for a shell, for the program under the name it is called by.
pub(crate) fn script(shell: &str, program: &str, with_descriptions: bool) -> Option<String> {
    let text = match shell {
        "bash" => BASH,
        "fish" => FISH,
        "zsh" => ZSH,
        _ => return None,
    };
    let identifier: String = program
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '_' })
        .collect();
    let role = if with_descriptions {
        super::ROLE
    } else {
        super::ROLE_WITHOUT_DESCRIPTIONS
    };
    Some(
        text.replace("@PROGRAM@", program)
            .replace("@IDENTIFIER@", &identifier)
            .replace("@ROLE@", role),
    )
}
