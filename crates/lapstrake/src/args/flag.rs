//! One flag of a command, and what its value must look like.

use crate::ui::text::PushFormat;

/// What a flag's value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// True or false; no value means true.
    Bool,
    /// One text; the last one counts.
    Text,
    /// A whole number.
    Int,
    /// Many texts, one for each time the flag is given.
    List,
    /// Many texts, and commas part them as well.
    Strings,
    /// A size with a unit, `64m`.
    Bytes,
    /// `name=value`, repeated.
    Filter,
}

/// A check beyond the kind: the error is what docker prints after the flag's name.
pub(crate) type Check = fn(&str) -> Result<(), String>;

/// One flag.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Flag {
    /// The long name without dashes.
    pub long: &'static str,
    /// The one-letter name.
    pub short: Option<char>,
    /// What its value is.
    pub kind: Kind,
    /// The word for the value in the help.
    pub value_name: &'static str,
    /// The default as the help shows it; empty when it is the kind's own.
    pub default: &'static str,
    /// What it does.
    pub help: &'static str,
    /// Whether the help leaves it out.
    pub hidden: bool,
    /// What docker says about its use, when it is deprecated.
    pub deprecated: Option<&'static str>,
    /// A check of the value.
    pub check: Option<Check>,
}

impl Flag {
    /// A flag of this kind.
    pub(crate) const fn new(long: &'static str, kind: Kind, help: &'static str) -> Self {
        let value_name = match kind {
            Kind::Bool => "",
            Kind::Text => "string",
            Kind::Int => "int",
            Kind::List => "list",
            Kind::Strings => "strings",
            Kind::Bytes => "bytes",
            Kind::Filter => "filter",
        };
        Self {
            long,
            short: None,
            kind,
            value_name,
            default: "",
            help,
            hidden: false,
            deprecated: None,
            check: None,
        }
    }

    /// A flag that is true or false.
    pub(crate) const fn bool(long: &'static str, help: &'static str) -> Self {
        Self::new(long, Kind::Bool, help)
    }

    /// A flag with one text.
    pub(crate) const fn text(long: &'static str, help: &'static str) -> Self {
        Self::new(long, Kind::Text, help)
    }

    /// A flag that may be repeated.
    pub(crate) const fn list(long: &'static str, help: &'static str) -> Self {
        Self::new(long, Kind::List, help)
    }

    /// A flag with a number.
    pub(crate) const fn int(long: &'static str, help: &'static str) -> Self {
        Self::new(long, Kind::Int, help)
    }

    /// A flag with a filter.
    pub(crate) const fn filter(help: &'static str) -> Self {
        Self::new("filter", Kind::Filter, help)
    }

    /// The same flag with a one-letter name.
    pub(crate) const fn short(mut self, short: char) -> Self {
        self.short = Some(short);
        self
    }

    /// The same flag with a default that the help shows.
    pub(crate) const fn default(mut self, default: &'static str) -> Self {
        self.default = default;
        self
    }

    /// The same flag, left out of the help.
    pub(crate) const fn hidden(mut self) -> Self {
        self.hidden = true;
        self
    }

    /// The same flag with docker's word on its use.
    pub(crate) const fn deprecated(mut self, text: &'static str) -> Self {
        self.deprecated = Some(text);
        self.hidden = true;
        self
    }

    /// The same flag with a check of its value.
    pub(crate) const fn check(mut self, check: Check) -> Self {
        self.check = Some(check);
        self
    }

    /// The same flag with another word for its value.
    pub(crate) const fn value_name(mut self, name: &'static str) -> Self {
        self.value_name = name;
        self
    }

    /// How errors name it: `-f, --filter`.
    pub(crate) fn label(&self) -> String {
        match self.short {
            Some(short) => format!("-{short}, --{}", self.long),
            None => format!("--{}", self.long),
        }
    }

    /// Whether a value is acceptable; the error is the text after the flag's name.
    pub(crate) fn accepts(&self, value: &str) -> Result<(), String> {
        match self.kind {
            Kind::Bool => parse_bool(value).map(drop)?,
            Kind::Int => parse_int(value).map(drop)?,
            Kind::Bytes => parse_bytes(value).map(drop)?,
            Kind::Filter => check_filter(value)?,
            Kind::Text | Kind::List | Kind::Strings => {}
        }
        self.check.map_or(Ok(()), |check| check(value))
    }
}

/// Reads a truth value with Go's spellings.
pub(crate) fn parse_bool(value: &str) -> Result<bool, String> {
    match value {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err(format!(
            "strconv.ParseBool: parsing {}: invalid syntax",
            go_quote(value)
        )),
    }
}

/// Reads a whole number as Go does with base 0: `0x10`, `0o7`, `0b1`, `1_000`.
pub(crate) fn parse_int(value: &str) -> Result<i64, String> {
    let failure = |what: &str| format!("strconv.ParseInt: parsing {}: {what}", go_quote(value));
    let (negative, digits) = match value.strip_prefix(['-', '+']) {
        Some(rest) => (value.starts_with('-'), rest),
        None => (false, value),
    };
    let lower = digits.to_ascii_lowercase();
    let (radix, body) = match lower.as_bytes() {
        [b'0', b'x', ..] => (16, lower.get(2..)),
        [b'0', b'o', ..] => (8, lower.get(2..)),
        [b'0', b'b', ..] => (2, lower.get(2..)),
        [b'0', _, ..] => (8, lower.get(1..)),
        _ => (10, Some(lower.as_str())),
    };
    let body = body.unwrap_or_default().replace('_', "");
    if body.is_empty() || !body.chars().all(|c| c.is_digit(radix)) {
        return Err(failure("invalid syntax"));
    }
    let magnitude =
        i128::from_str_radix(&body, radix).map_err(|_error| failure("value out of range"))?;
    let signed = if negative { -magnitude } else { magnitude };
    i64::try_from(signed).map_err(|_error| failure("value out of range"))
}

/// Reads a length of time as Go does, in nanoseconds.
pub(crate) fn parse_duration(value: &str) -> Result<i64, String> {
    let invalid = || format!("time: invalid duration {}", go_quote(value));
    let (negative, mut rest) = match value.strip_prefix(['-', '+']) {
        Some(rest) => (value.starts_with('-'), rest),
        None => (false, value),
    };
    if rest == "0" {
        return Ok(0);
    }
    if rest.is_empty() {
        return Err(invalid());
    }
    let mut total = 0_f64;
    while !rest.is_empty() {
        let end = rest
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(rest.len());
        let (number, tail) = rest.split_at(end);
        // As in Go, a whole part beyond 63 bits is no duration.
        let whole = number.split('.').next().unwrap_or_default();
        if !whole.is_empty() && whole.parse::<i64>().is_err() {
            return Err(invalid());
        }
        let number: f64 = number.parse().map_err(|_error| invalid())?;
        let end = tail
            .find(|c: char| c.is_ascii_digit() || c == '.')
            .unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(end);
        let scale = match unit {
            "ns" => 1.0,
            "us" | "\u{b5}s" | "\u{3bc}s" => 1e3,
            "ms" => 1e6,
            "s" => 1e9,
            "m" => 60e9,
            "h" => 3600e9,
            "" => {
                return Err(format!(
                    "time: missing unit in duration {}",
                    go_quote(value)
                ));
            }
            _ => {
                return Err(format!(
                    "time: unknown unit {} in duration {}",
                    go_quote(unit),
                    go_quote(value)
                ));
            }
        };
        total += number * scale;
        rest = tail;
    }
    #[expect(clippy::cast_possible_truncation, reason = "a cast saturates")]
    let total = total as i64;
    Ok(if negative { -total } else { total })
}

/// Reads a size as docker reads memory limits: a number and a binary unit.
pub(crate) fn parse_bytes(value: &str) -> Result<i64, String> {
    let invalid = || format!("invalid size: '{value}'");
    let end = value
        .rfind(|c: char| c.is_ascii_digit() || c == '.')
        .map(|at| at + 1)
        .ok_or_else(invalid)?;
    let (number, suffix) = value.split_at(end);
    let number: f64 = number.trim().parse().map_err(|_error| invalid())?;
    if number < 0.0 {
        return Err(invalid());
    }
    let suffix = suffix.trim_start().to_ascii_lowercase();
    let letters = match suffix
        .strip_suffix("ib")
        .or_else(|| suffix.strip_suffix('b'))
    {
        Some(letters) => letters,
        None => suffix.as_str(),
    };
    let scale = match letters {
        "" if suffix != "ib" => 1.0,
        "k" => 1024.0,
        "m" => 1_048_576.0,
        "g" => 1_073_741_824.0,
        "t" => 1_099_511_627_776.0,
        "p" => 1_125_899_906_842_624.0,
        _ => return Err(format!("invalid suffix: '{suffix}'")),
    };
    #[expect(clippy::cast_possible_truncation, reason = "a cast saturates")]
    let bytes = (number * scale) as i64;
    Ok(bytes)
}

fn check_filter(value: &str) -> Result<(), String> {
    if value.is_empty() || value.contains('=') {
        return Ok(());
    }
    Err("bad format of filter (expected name=value)".to_owned())
}

/// A text in double quotes with Go's escapes.
pub(crate) fn go_quote(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        match c {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            '\u{7}' => quoted.push_str("\\a"),
            '\u{8}' => quoted.push_str("\\b"),
            '\u{c}' => quoted.push_str("\\f"),
            '\u{b}' => quoted.push_str("\\v"),
            c if u32::from(c) < 0x20 || c == '\u{7f}' => {
                quoted.push_fmt(format_args!("\\x{:02x}", u32::from(c)));
            }
            c if c.is_control() => quoted.push_fmt(format_args!("\\u{:04x}", u32::from(c))),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

/// A character in single quotes with Go's escapes.
pub(crate) fn go_quote_char(c: char) -> String {
    match c {
        '\'' => "'\\''".to_owned(),
        '\\' => "'\\\\'".to_owned(),
        '\n' => "'\\n'".to_owned(),
        '\t' => "'\\t'".to_owned(),
        c if u32::from(c) < 0x20 => format!("'\\x{:02x}'", u32::from(c)),
        c => format!("'{c}'"),
    }
}
