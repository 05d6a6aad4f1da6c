//! One record of CSV, as Go's `encoding/csv` reads it.

/// The fields of a record. A field that begins with a quotation mark ends with one, and a doubled one
/// within stands for itself; the errors are Go's.
pub fn csv_fields(text: &str) -> Result<Vec<String>, String> {
    let mut fields = Vec::new();
    let mut rest = text;
    loop {
        let field = match rest.strip_prefix('"') {
            Some(quoted) => quoted_field(quoted),
            None => plain_field(rest),
        };
        let (field, after) = field.map_err(|fault| {
            let column = text.len().saturating_sub(fault.rest.len()) + 1;
            format!("parse error on line 1, column {column}: {}", fault.what)
        })?;
        fields.push(field);
        match after {
            Some(next) => rest = next,
            None => return Ok(fields),
        }
    }
}

/// What is wrong, and the text from there on.
struct Fault<'a> {
    what: &'static str,
    rest: &'a str,
}

type Field<'a> = Result<(String, Option<&'a str>), Fault<'a>>;

fn plain_field(text: &str) -> Field<'_> {
    let (field, after) = match text.split_once(',') {
        Some((field, after)) => (field, Some(after)),
        None => (text, None),
    };
    match field.find('"') {
        Some(at) => Err(Fault {
            what: "bare \" in non-quoted-field",
            rest: text.get(at..).unwrap_or_default(),
        }),
        None => Ok((field.to_owned(), after)),
    }
}

fn quoted_field(text: &str) -> Field<'_> {
    const WHAT: &str = "extraneous or missing \" in quoted-field";
    let mut field = String::new();
    let mut rest = text;
    loop {
        let Some(at) = rest.find('"') else {
            return Err(Fault {
                what: WHAT,
                rest: "",
            });
        };
        let (part, quote) = rest.split_at(at);
        field.push_str(part);
        let after = quote.get(1..).unwrap_or_default();
        if let Some(after) = after.strip_prefix('"') {
            field.push('"');
            rest = after;
        } else if after.is_empty() {
            return Ok((field, None));
        } else if let Some(next) = after.strip_prefix(',') {
            return Ok((field, Some(next)));
        } else {
            return Err(Fault {
                what: WHAT,
                rest: quote,
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_read_as_go_reads_them() {
        for (text, expected) in [
            ("a,b", "a|b"),
            ("a,\"b,c\",d", "a|b,c|d"),
            ("\"a\"\"b\"", "a\"b"),
            ("", ""),
            ("a,", "a|"),
            (
                "type=bind,so\"urce=/a",
                "parse error on line 1, column 13: bare \" in non-quoted-field",
            ),
            (
                "type=bind,\"source=/a,target=/b",
                "parse error on line 1, column 31: extraneous or missing \" in quoted-field",
            ),
            (
                "type=bind,\"source=/a\"x,target=/b",
                "parse error on line 1, column 21: extraneous or missing \" in quoted-field",
            ),
        ] {
            let read = csv_fields(text).map_or_else(|error| error, |fields| fields.join("|"));
            assert_eq!(read, expected, "{text}");
        }
    }
}
