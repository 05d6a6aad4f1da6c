//! `--env`, `--env-file`, `--label-file`.

use crate::env::Environment;
use crate::failure::io_text;

/// The environment of a container: the files' variables, then those of the flags. A name alone takes
/// the value that the caller's environment has.
pub(super) fn environment(files: &[String], flags: &[String]) -> Result<Vec<String>, String> {
    let mut variables = Vec::new();
    for file in files {
        variables.extend(read(file, Environment::variable)?);
    }
    variables.extend(flags.iter().map(|flag| {
        if flag.contains('=') {
            return flag.clone();
        }
        match Environment::variable(flag) {
            Some(value) => format!("{flag}={value}"),
            None => flag.clone(),
        }
    }));
    Ok(variables)
}

/// Labels: the files', then those of the flags. A name alone counts only as a flag, as in docker.
pub(super) fn labels(files: &[String], flags: &[String]) -> Result<Vec<String>, String> {
    let mut labels = Vec::new();
    for file in files {
        labels.extend(read(file, |_name| None)?);
    }
    labels.extend(flags.iter().cloned());
    Ok(labels)
}

fn read(path: &str, value: impl Fn(&str) -> Option<String>) -> Result<Vec<String>, String> {
    let bytes = std::fs::read(path).map_err(|error| format!("open {path}: {}", io_text(&error)))?;
    parse(&bytes, value).map_err(|reason| format!("invalid env file ({path}): {reason}"))
}

fn parse(bytes: &[u8], value: impl Fn(&str) -> Option<String>) -> Result<Vec<String>, String> {
    let mut lines = Vec::new();
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    for (index, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let line = std::str::from_utf8(line)
            .map_err(|_error| format!("invalid utf8 bytes at line {}: {line:?}", index + 1))?
            .trim_start();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (key, has_value) = match line.split_once('=') {
            Some((key, _)) => (key, true),
            None => (line, false),
        };
        if key.is_empty() {
            return Err(format!("no variable name on line '{line}'"));
        }
        if key.contains([' ', '\t']) {
            return Err(format!("variable '{key}' contains whitespaces"));
        }
        if has_value {
            lines.push(line.to_owned());
        } else if let Some(value) = value(key) {
            lines.push(format!("{key}={value}"));
        }
    }
    Ok(lines)
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn env_files() {
        let value = |name: &str| (name == "KNOWN").then(|| "v".to_owned());
        let cases = [
            (
                "A=b\n# note\n\n  C=d e \nKNOWN\nUNKNOWN\n",
                Ok(vec!["A=b", "C=d e ", "KNOWN=v"]),
            ),
            ("\u{feff}A=\r\n", Ok(vec!["A="])),
            ("=x", Err("no variable name on line '=x'")),
            ("a b=c", Err("variable 'a b' contains whitespaces")),
        ];
        for (text, expected) in cases {
            let expected = expected
                .map(|lines| lines.into_iter().map(str::to_owned).collect::<Vec<_>>())
                .map_err(str::to_owned);
            assert_eq!(parse(text.as_bytes(), value), expected, "{text}");
        }
    }
}
