//! Arguments → flags and positionals, with pflag's rules.

use super::flag::{Flag, Kind, go_quote, go_quote_char};

/// What a command line said.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Parsed {
    /// Flags in order: index into the table, value as text.
    pub values: Vec<(usize, String)>,
    /// The rest.
    pub positional: Vec<String>,
    /// Whether help was asked for.
    pub help: bool,
    /// Notices that docker prints while reading flags.
    pub notices: Vec<String>,
}

/// A flag that was refused, with pflag's words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FlagError {
    /// The text.
    pub message: String,
    /// What is unknown: the long name as typed, or what was typed for one, and the letter.
    pub unknown: Unknown,
}

/// A flag that the table does not have.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Unknown {
    /// The long name, or letters behind one dash that may have been meant for one.
    pub name: Option<String>,
    /// The letter behind one dash.
    pub letter: Option<String>,
}

impl FlagError {
    fn new(message: String) -> Self {
        Self {
            message,
            unknown: Unknown::default(),
        }
    }
}

/// Letters behind one dash from which on they are taken for a long name.
const NAME_LETTERS: usize = 4;

/// Every command has this flag.
const HELP: Flag = Flag::bool("help", "Print usage");
/// The index that stands for [`HELP`] in the table.
const HELP_INDEX: usize = usize::MAX;

/// Reads arguments with a table of flags.
///
/// With `interspersed` flags may follow positionals; without, the first positional ends the flags.
/// Help is not answered before all arguments were read: a wrong flag after `--help` is an error.
pub(crate) fn parse(
    flags: &[Flag],
    args: &[String],
    interspersed: bool,
) -> Result<Parsed, FlagError> {
    let mut reader = Reader {
        flags,
        args,
        at: 0,
        parsed: Parsed::default(),
    };
    while let Some(arg) = reader.next() {
        if arg == "--" {
            reader.take_rest();
        } else if let Some(long) = arg.strip_prefix("--") {
            reader.long(arg, long)?;
        } else if arg.len() > 1 && arg.starts_with('-') {
            reader.shorts(arg)?;
        } else {
            reader.parsed.positional.push(arg.to_owned());
            if !interspersed {
                reader.take_rest();
            }
        }
    }
    Ok(reader.parsed)
}

struct Reader<'a> {
    flags: &'a [Flag],
    args: &'a [String],
    at: usize,
    parsed: Parsed,
}

impl<'a> Reader<'a> {
    fn next(&mut self) -> Option<&'a str> {
        let arg = self.args.get(self.at)?;
        self.at += 1;
        Some(arg)
    }

    fn take_rest(&mut self) {
        let rest = self.args.get(self.at..).unwrap_or_default();
        self.parsed.positional.extend(rest.iter().cloned());
        self.at = self.args.len();
    }

    /// `--name`, `--name=value`, `--name value`.
    fn long(&mut self, arg: &str, text: &str) -> Result<(), FlagError> {
        if text.starts_with(['-', '=']) {
            return Err(FlagError::new(format!("bad flag syntax: {arg}")));
        }
        let (name, value) = match text.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (text, None),
        };
        let Some((index, flag)) = self.by_long(name) else {
            return Err(FlagError {
                message: format!("unknown flag: --{name}"),
                unknown: Unknown {
                    name: Some(name.to_owned()),
                    letter: None,
                },
            });
        };
        let value = match value {
            Some(value) => value,
            None if flag.kind == Kind::Bool => "true".to_owned(),
            None => match self.next() {
                Some(value) => value.to_owned(),
                None => return Err(FlagError::new(format!("flag needs an argument: {arg}"))),
            },
        };
        self.set(index, &flag, value)
    }

    /// `-a`, `-aq`, `-n5`, `-n 5`, `-n=5`.
    fn shorts(&mut self, arg: &str) -> Result<(), FlagError> {
        let mut rest = arg.get(1..).unwrap_or_default();
        while let Some(letter) = rest.chars().next() {
            let tail = rest.get(letter.len_utf8()..).unwrap_or_default();
            let Some((index, flag)) = self.by_short(letter) else {
                let message = format!(
                    "unknown shorthand flag: {} in -{rest}",
                    go_quote_char(letter)
                );
                // `-force`: who types so many letters means a name.
                let name = arg.trim_start_matches('-').split('=').next();
                let name = name.filter(|name| name.len() >= NAME_LETTERS);
                return Err(FlagError {
                    message,
                    unknown: Unknown {
                        name: name.map(str::to_owned),
                        letter: Some(letter.to_string()),
                    },
                });
            };
            let (value, next) =
                if let (true, Some(value)) = (tail.len() > 1, tail.strip_prefix('=')) {
                    (value.to_owned(), "")
                } else if flag.kind == Kind::Bool {
                    ("true".to_owned(), tail)
                } else if !tail.is_empty() {
                    (tail.to_owned(), "")
                } else if let Some(value) = self.next() {
                    (value.to_owned(), "")
                } else {
                    return Err(FlagError::new(format!(
                        "flag needs an argument: {} in -{rest}",
                        go_quote_char(letter)
                    )));
                };
            if index == HELP_INDEX {
                self.parsed
                    .notices
                    .push("Flag shorthand -h has been deprecated, use --help".to_owned());
            }
            self.set(index, &flag, value)?;
            rest = next;
        }
        Ok(())
    }

    fn set(&mut self, index: usize, flag: &Flag, value: String) -> Result<(), FlagError> {
        flag.accepts(&value).map_err(|reason| {
            FlagError::new(format!(
                "invalid argument {} for {} flag: {reason}",
                go_quote(&value),
                go_quote(&flag.label())
            ))
        })?;
        if flag.long == HELP.long {
            self.parsed.help = super::flag::parse_bool(&value).unwrap_or(true);
            return Ok(());
        }
        if let Some(text) = flag.deprecated {
            self.parsed
                .notices
                .push(format!("Flag --{} has been deprecated, {text}", flag.long));
        }
        self.parsed.values.push((index, value));
        Ok(())
    }

    fn by_long(&self, name: &str) -> Option<(usize, Flag)> {
        let found = self.flags.iter().position(|flag| flag.long == name);
        match found.and_then(|index| self.flags.get(index).map(|flag| (index, *flag))) {
            Some(found) => Some(found),
            None => (name == HELP.long).then_some((HELP_INDEX, HELP)),
        }
    }

    fn by_short(&self, letter: char) -> Option<(usize, Flag)> {
        let found = self
            .flags
            .iter()
            .position(|flag| flag.short == Some(letter));
        match found.and_then(|index| self.flags.get(index).map(|flag| (index, *flag))) {
            Some(found) => Some(found),
            None => (letter == 'h').then_some((HELP_INDEX, HELP)),
        }
    }
}
