//! The values that templates see, with what Go's types would add: nil lists and maps, and structs
//! whose fields keep their order.

use crate::ui::text::PushFormat;
use std::collections::BTreeMap;
use std::rc::Rc;

/// A value.
#[derive(Debug, Clone)]
pub(crate) enum Value {
    /// No value at all: a key that a map does not have.
    Missing,
    /// A nil pointer or interface.
    Nil,
    /// A truth value.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// Another number.
    Float(f64),
    /// A number from a JSON document, as it was written.
    Number(Rc<str>),
    /// A text.
    Text(Rc<str>),
    /// A list; `None` is Go's nil slice.
    List(Option<Rc<Vec<Self>>>),
    /// A map; `None` is Go's nil map.
    Map(Option<Rc<BTreeMap<String, Self>>>),
    /// A struct.
    Struct(Rc<Struct>),
    /// A value held in a Go interface: the same value, but errors name the interface as its type.
    Any(Rc<Self>),
}

/// A struct: fields in order.
#[derive(Debug, Default)]
pub(crate) struct Struct {
    /// Go's name of the type, as errors show it: `*formatter.imageContext`.
    pub go_type: &'static str,
    /// The fields.
    pub fields: Vec<(Rc<str>, Value)>,
    /// Fields that templates can read and that `json` leaves out.
    pub unlisted: Vec<(&'static str, Value)>,
    /// What `.Label NAME` looks things up in.
    pub labels: Option<BTreeMap<String, String>>,
    /// Whether `json` escapes `<`, `>` and `&` (rows of listings).
    pub escapes_html: bool,
}

impl Struct {
    /// The field's value.
    pub(crate) fn field(&self, name: &str) -> Option<&Value> {
        let listed = self
            .fields
            .iter()
            .find(|(key, _)| &**key == name)
            .map(|(_, value)| value);
        listed.or_else(|| {
            self.unlisted
                .iter()
                .find(|(key, _)| *key == name)
                .map(|(_, value)| value)
        })
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.into())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text.into())
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Int(number)
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<Vec<Self>> for Value {
    fn from(list: Vec<Self>) -> Self {
        Self::List(Some(Rc::new(list)))
    }
}

impl Value {
    /// The value itself when an interface holds it.
    pub(crate) fn inner(&self) -> &Self {
        let mut value = self;
        while let Self::Any(held) = value {
            value = held;
        }
        value
    }

    /// Go's truth: not zero, not empty, not nil.
    pub(crate) fn is_true(&self) -> bool {
        match self.inner() {
            Self::Missing | Self::Nil => false,
            Self::Bool(value) => *value,
            Self::Int(number) => *number != 0,
            Self::Float(number) => *number != 0.0,
            Self::Number(text) | Self::Text(text) => !text.is_empty(),
            Self::List(list) => list.as_ref().is_some_and(|list| !list.is_empty()),
            Self::Map(map) => map.as_ref().is_some_and(|map| !map.is_empty()),
            Self::Struct(_) | Self::Any(_) => true,
        }
    }

    /// Go's name of the type, for errors.
    pub(crate) fn go_type(&self) -> &'static str {
        match self {
            Self::Missing | Self::Nil | Self::Any(_) => "interface {}",
            Self::Bool(_) => "bool",
            Self::Int(_) => "int",
            Self::Float(_) => "float64",
            Self::Number(_) => "json.Number",
            Self::Text(_) => "string",
            Self::List(_) => "[]interface {}",
            Self::Map(_) => "map[string]interface {}",
            Self::Struct(value) => value.go_type,
        }
    }

    /// The text, when this is one.
    pub(crate) fn as_text(&self) -> Option<&str> {
        match self.inner() {
            Self::Text(text) | Self::Number(text) => Some(text),
            _ => None,
        }
    }

    /// The whole number, when this is one.
    pub(crate) fn as_int(&self) -> Option<i64> {
        match self.inner() {
            Self::Int(number) => Some(*number),
            Self::Number(text) => text.parse().ok(),
            _ => None,
        }
    }

    /// Writes compact JSON as Go's encoder does.
    pub(crate) fn write_json(&self, out: &mut String, escape_html: bool) {
        match self {
            Self::Missing | Self::Nil | Self::List(None) | Self::Map(None) => {
                out.push_str("null");
            }
            Self::Any(held) => held.write_json(out, escape_html),
            Self::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
            Self::Int(number) => out.push_str(&number.to_string()),
            Self::Float(number) => out.push_str(&super::print::go_float(*number)),
            Self::Number(text) => out.push_str(text),
            Self::Text(text) => write_json_text(text, out, escape_html),
            Self::List(Some(list)) => {
                out.push('[');
                for (index, item) in list.iter().enumerate() {
                    if index > 0 {
                        out.push(',');
                    }
                    item.write_json(out, escape_html);
                }
                out.push(']');
            }
            Self::Map(Some(map)) => {
                let fields = map.iter().map(|(key, value)| (key.as_str(), value));
                write_json_object(fields, out, escape_html);
            }
            Self::Struct(value) => {
                let fields = value.fields.iter().map(|(key, value)| (&**key, value));
                write_json_object(fields, out, escape_html || value.escapes_html);
            }
        }
    }
}

fn write_json_object<'a>(
    fields: impl Iterator<Item = (&'a str, &'a Value)>,
    out: &mut String,
    escape_html: bool,
) {
    out.push('{');
    for (index, (key, value)) in fields.enumerate() {
        if index > 0 {
            out.push(',');
        }
        write_json_text(key, out, escape_html);
        out.push(':');
        value.write_json(out, escape_html);
    }
    out.push('}');
}

/// A JSON string with Go's escapes.
pub(crate) fn write_json_text(text: &str, out: &mut String, escape_html: bool) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '<' | '>' | '&' if escape_html => push_escape(c, out),
            '\u{2028}' | '\u{2029}' => push_escape(c, out),
            c if u32::from(c) < 0x20 => push_escape(c, out),
            c => out.push(c),
        }
    }
    out.push('"');
}

fn push_escape(c: char, out: &mut String) {
    out.push_fmt(format_args!("\\u{:04x}", u32::from(c)));
}
