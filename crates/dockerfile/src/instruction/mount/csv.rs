//! One line of comma-separated values, as Go reads it.

/// The fields. A field that begins with a double quote ends with one; two of them inside are one.
pub(super) fn fields(line: &str) -> Result<Vec<String>, String> {
    let mut fields = Vec::new();
    let mut rest = line;
    loop {
        let (field, after) = match rest.strip_prefix('"') {
            Some(quoted) => self::quoted(quoted, line)?,
            None => bare(rest, line)?,
        };
        fields.push(field);
        match after {
            Some(after) => rest = after,
            None => return Ok(fields),
        }
    }
}

fn bare<'a>(rest: &'a str, line: &str) -> Result<(String, Option<&'a str>), String> {
    let (field, after) = match rest.split_once(',') {
        Some((field, after)) => (field, Some(after)),
        None => (rest, None),
    };
    if let Some((before, _)) = field.split_once('"') {
        let left = rest.len().saturating_sub(before.len());
        return Err(error(line, left, "bare \" in non-quoted-field"));
    }
    Ok((field.to_owned(), after))
}

fn quoted<'a>(mut rest: &'a str, line: &str) -> Result<(String, Option<&'a str>), String> {
    let mut field = String::new();
    loop {
        let Some((part, after)) = rest.split_once('"') else {
            return Err(error(line, 0, "extraneous or missing \" in quoted-field"));
        };
        field.push_str(part);
        if let Some(after) = after.strip_prefix('"') {
            field.push('"');
            rest = after;
        } else if let Some(after) = after.strip_prefix(',') {
            return Ok((field, Some(after)));
        } else if after.is_empty() {
            return Ok((field, None));
        } else {
            let left = after.len().saturating_add(1);
            return Err(error(
                line,
                left,
                "extraneous or missing \" in quoted-field",
            ));
        }
    }
}

/// `left` bytes are left from the place on.
fn error(line: &str, left: usize, what: &str) -> String {
    let column = line.len().saturating_sub(left).saturating_add(1);
    format!("parse error on line 1, column {column}: {what}")
}
