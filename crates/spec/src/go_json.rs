//! JSON as Go writes it, so that documents and `inspect` output equal docker's byte for byte.
//!
//! `json.Marshal` escapes `<`, `>` and `&`; docker's daemon switches that off in its answers, which
//! the `_plain` forms give. Keys come in the order of the value: struct fields as declared, maps
//! sorted when they are `BTreeMap`s.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::ser::{CharEscape, CompactFormatter, Formatter, PrettyFormatter, Serializer};

/// As `json.Marshal`.
pub fn to_string<T: Serialize + ?Sized>(value: &T) -> serde_json::Result<String> {
    encode(value, CompactFormatter, true)
}

/// As `json.MarshalIndent(value, "", "    ")`.
pub fn to_string_indent<T: Serialize + ?Sized>(value: &T) -> serde_json::Result<String> {
    encode(value, PrettyFormatter::with_indent(b"    "), true)
}

/// As an encoder with `SetEscapeHTML(false)`: `<`, `>` and `&` stay.
pub fn to_string_plain<T: Serialize + ?Sized>(value: &T) -> serde_json::Result<String> {
    encode(value, CompactFormatter, false)
}

/// As `docker inspect` prints: indented by four blanks; `<`, `>` and `&` stay.
pub fn to_string_indent_plain<T: Serialize + ?Sized>(value: &T) -> serde_json::Result<String> {
    encode(value, PrettyFormatter::with_indent(b"    "), false)
}

/// As `json.Marshal`, for this crate's own documents, whose keys are strings and whose fields
/// cannot fail.
pub(crate) fn to_bytes<T: Serialize>(value: &T) -> Vec<u8> {
    to_string(value).unwrap_or_default().into_bytes()
}

fn encode<T: Serialize + ?Sized, F: Formatter>(
    value: &T,
    inner: F,
    html: bool,
) -> serde_json::Result<String> {
    let mut out = Vec::with_capacity(512);
    value.serialize(&mut Serializer::with_formatter(
        &mut out,
        Go { inner, html },
    ))?;
    Ok(String::from_utf8(out).unwrap_or_default())
}

/// Layout from `inner`, strings and numbers as Go has them.
struct Go<F> {
    inner: F,
    html: bool,
}

impl<F> Go<F> {
    fn escape(&self, c: char) -> Option<&'static [u8]> {
        match c {
            '<' if self.html => Some(b"\\u003c"),
            '>' if self.html => Some(b"\\u003e"),
            '&' if self.html => Some(b"\\u0026"),
            '\u{2028}' => Some(b"\\u2028"),
            '\u{2029}' => Some(b"\\u2029"),
            _ => None,
        }
    }
}

impl<F: Formatter> Formatter for Go<F> {
    fn write_string_fragment<W: ?Sized + Write>(
        &mut self,
        w: &mut W,
        text: &str,
    ) -> io::Result<()> {
        let mut rest = text;
        while let Some((at, c, escape)) = rest
            .char_indices()
            .find_map(|(at, c)| Some((at, c, self.escape(c)?)))
        {
            let (before, found) = rest.split_at(at);
            w.write_all(before.as_bytes())?;
            w.write_all(escape)?;
            rest = found.strip_prefix(c).unwrap_or_default();
        }
        w.write_all(rest.as_bytes())
    }

    fn write_char_escape<W: ?Sized + Write>(&mut self, w: &mut W, c: CharEscape) -> io::Result<()> {
        self.inner.write_char_escape(w, c)
    }

    fn write_f64<W: ?Sized + Write>(&mut self, w: &mut W, value: f64) -> io::Result<()> {
        let size = value.abs();
        if size != 0.0 && !(1e-6..1e21).contains(&size) {
            let text = format!("{value:e}");
            let text = if size > 1.0 {
                text.replace('e', "e+")
            } else {
                text
            };
            return w.write_all(text.as_bytes());
        }
        write!(w, "{value}")
    }

    fn write_f32<W: ?Sized + Write>(&mut self, w: &mut W, value: f32) -> io::Result<()> {
        write!(w, "{value}")
    }

    fn begin_array<W: ?Sized + Write>(&mut self, w: &mut W) -> io::Result<()> {
        self.inner.begin_array(w)
    }

    fn end_array<W: ?Sized + Write>(&mut self, w: &mut W) -> io::Result<()> {
        self.inner.end_array(w)
    }

    fn begin_array_value<W: ?Sized + Write>(&mut self, w: &mut W, first: bool) -> io::Result<()> {
        self.inner.begin_array_value(w, first)
    }

    fn end_array_value<W: ?Sized + Write>(&mut self, w: &mut W) -> io::Result<()> {
        self.inner.end_array_value(w)
    }

    fn begin_object<W: ?Sized + Write>(&mut self, w: &mut W) -> io::Result<()> {
        self.inner.begin_object(w)
    }

    fn end_object<W: ?Sized + Write>(&mut self, w: &mut W) -> io::Result<()> {
        self.inner.end_object(w)
    }

    fn begin_object_key<W: ?Sized + Write>(&mut self, w: &mut W, first: bool) -> io::Result<()> {
        self.inner.begin_object_key(w, first)
    }

    fn end_object_key<W: ?Sized + Write>(&mut self, w: &mut W) -> io::Result<()> {
        self.inner.end_object_key(w)
    }

    fn begin_object_value<W: ?Sized + Write>(&mut self, w: &mut W) -> io::Result<()> {
        self.inner.begin_object_value(w)
    }

    fn end_object_value<W: ?Sized + Write>(&mut self, w: &mut W) -> io::Result<()> {
        self.inner.end_object_value(w)
    }
}

#[cfg(test)]
mod tests;
