//! The functions of templates: Go's own and docker's.

use super::Value;
use super::print::{print_value, sprint, sprintf};
use crate::ui::text::PushFormat;
use std::cmp::Ordering;
use std::collections::BTreeMap;

/// A call: name, arguments, and whether a table's header is being made.
#[derive(Debug, Clone, Copy)]
pub(super) struct Call<'a> {
    pub(super) name: &'a str,
    pub(super) arguments: &'a [Value],
    pub(super) header: bool,
}

const NAMES: [&str; 27] = [
    "and", "call", "eq", "ge", "gt", "html", "index", "join", "js", "json", "le", "len", "lower",
    "lt", "ne", "not", "or", "pad", "print", "printf", "println", "slice", "split", "title",
    "truncate", "upper", "urlquery",
];

/// Whether a function of this name exists.
pub(super) fn exists(name: &str) -> bool {
    NAMES.contains(&name)
}

/// Why a call failed, and so where the error points.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Failure {
    /// The number of arguments is wrong.
    Usage(String),
    /// This argument has the wrong type.
    Argument(usize, String),
    /// The function itself failed.
    Calling(String),
}

/// Calls a function.
pub(super) fn call(call: Call<'_>) -> Result<Value, Failure> {
    check_count(call).map_err(Failure::Usage)?;
    if call.header && is_value_changing(call.name) {
        return Ok(call.arguments.first().cloned().unwrap_or(Value::Missing));
    }
    let given = call.arguments;
    match call.name {
        "json" => {
            let mut out = String::new();
            first(given).write_json(&mut out, false);
            Ok(out.into())
        }
        "split" | "join" | "title" | "lower" | "upper" | "pad" | "truncate" => text_function(call),
        "not" => Ok(Value::Bool(!first(given).is_true())),
        "print" => Ok(sprint(given).into()),
        "println" => {
            let words: Vec<String> = given.iter().map(print_value).collect();
            Ok(format!("{}\n", words.join(" ")).into())
        }
        "printf" => {
            Ok(sprintf(text_argument(given, 0)?, given.get(1..).unwrap_or_default()).into())
        }
        "html" => Ok(escape_html(&sprint(given)).into()),
        "js" => Ok(escape_js(&sprint(given)).into()),
        "urlquery" => Ok(escape_url(&sprint(given)).into()),
        name => fallible(name, given).map_err(Failure::Calling),
    }
}

/// Go's functions that can fail.
fn fallible(name: &str, given: &[Value]) -> Result<Value, String> {
    match name {
        "len" => length(first(given)),
        "index" => index(given),
        "slice" => slice(given),
        "eq" => equal(given),
        "ne" => Ok(Value::Bool(!equal_pair(first(given), second(given))?)),
        "lt" => order(given, |o| o == Ordering::Less),
        "le" => order(given, |o| o != Ordering::Greater),
        "gt" => order(given, |o| o == Ordering::Greater),
        "ge" => order(given, |o| o != Ordering::Less),
        _ => Err("call of nil".to_owned()),
    }
}

fn first(given: &[Value]) -> &Value {
    given.first().unwrap_or(&Value::Missing)
}

fn second(given: &[Value]) -> &Value {
    given.get(1).unwrap_or(&Value::Missing)
}

/// The functions that a table's header leaves out, so that titles stay whole. `pad` still pads.
fn is_value_changing(name: &str) -> bool {
    matches!(
        name,
        "json" | "split" | "join" | "title" | "lower" | "upper" | "truncate"
    )
}

fn check_count(call: Call<'_>) -> Result<(), String> {
    let (least, most) = match call.name {
        "json" | "title" | "lower" | "upper" | "not" | "len" => (1, 1),
        "split" | "join" | "truncate" | "ne" | "lt" | "le" | "gt" | "ge" => (2, 2),
        "pad" => (3, 3),
        "index" | "slice" | "eq" | "printf" | "call" => (1, usize::MAX),
        _ => (0, usize::MAX),
    };
    let got = call.arguments.len();
    if (least..=most).contains(&got) {
        return Ok(());
    }
    let wanted = if most == usize::MAX {
        format!("at least {least}")
    } else {
        least.to_string()
    };
    Err(format!(
        "wrong number of args for {}: want {wanted} got {got}",
        call.name
    ))
}

/// Docker's functions on texts.
fn text_function(call: Call<'_>) -> Result<Value, Failure> {
    let given = call.arguments;
    if call.name == "join" {
        let separator = text_argument(given, 1)?;
        let not_texts = || Failure::Argument(0, wrong_type("[]string", first(given)));
        let Value::List(list) = first(given).inner() else {
            return Err(not_texts());
        };
        let words = list.iter().flat_map(|list| list.iter());
        let words: Option<Vec<&str>> = words.map(Value::as_text).collect();
        return Ok(words.ok_or_else(not_texts)?.join(separator).into());
    }
    let text = text_argument(given, 0)?;
    match call.name {
        "split" => {
            let separator = text_argument(given, 1)?;
            let parts: Vec<Value> = if separator.is_empty() {
                text.chars().map(|c| c.to_string().into()).collect()
            } else {
                text.split(separator).map(Value::from).collect()
            };
            Ok(parts.into())
        }
        "title" => Ok(title(text).into()),
        "lower" => Ok(text.to_lowercase().into()),
        "upper" => Ok(text.to_uppercase().into()),
        "pad" => {
            let (before, after) = (number_argument(given, 1)?, number_argument(given, 2)?);
            if text.is_empty() {
                return Ok(text.into());
            }
            Ok(format!("{}{text}{}", " ".repeat(before), " ".repeat(after)).into())
        }
        _ => {
            let mut end = number_argument(given, 1)?.min(text.len());
            while !text.is_char_boundary(end) {
                end -= 1;
            }
            Ok(text.get(..end).unwrap_or_default().into())
        }
    }
}

fn text_argument(given: &[Value], index: usize) -> Result<&str, Failure> {
    let value = given.get(index).unwrap_or(&Value::Missing);
    value
        .as_text()
        .ok_or_else(|| Failure::Argument(index, wrong_type("string", value)))
}

/// The widest padding or cut a template may ask for.
const MAX_NUMBER: i64 = 1 << 20;

fn number_argument(given: &[Value], index: usize) -> Result<usize, Failure> {
    let value = given.get(index).unwrap_or(&Value::Missing);
    let number = value.as_int().map(|number| number.clamp(0, MAX_NUMBER));
    number
        .and_then(|number| usize::try_from(number).ok())
        .ok_or_else(|| Failure::Argument(index, wrong_type("int", value)))
}

fn wrong_type(wanted: &str, got: &Value) -> String {
    match got.inner() {
        Value::Missing | Value::Nil => format!("invalid value; expected {wanted}"),
        inner => format!(
            "wrong type for value; expected {wanted}; got {}",
            inner.go_type()
        ),
    }
}

fn title(text: &str) -> String {
    let mut at_start = true;
    text.chars()
        .map(|c| {
            let letter = if at_start {
                c.to_uppercase().next().unwrap_or(c)
            } else {
                c
            };
            at_start = !(c.is_alphanumeric() || c == '_' || c == '\'');
            letter
        })
        .collect()
}

fn length(value: &Value) -> Result<Value, String> {
    let count = match value.inner() {
        Value::Text(text) | Value::Number(text) => text.len(),
        Value::List(list) => list.as_ref().map_or(0, |list| list.len()),
        Value::Map(map) => map.as_ref().map_or(0, |map| map.len()),
        Value::Missing | Value::Nil => return Err("len of nil pointer".to_owned()),
        other => return Err(format!("len of type {}", other.go_type())),
    };
    Ok(Value::Int(i64::try_from(count).unwrap_or(i64::MAX)))
}

fn index(given: &[Value]) -> Result<Value, String> {
    let (base, keys) = given.split_first().ok_or("index of untyped nil")?;
    let mut value = base.clone();
    for key in keys {
        value = index_once(&value, key)?;
    }
    Ok(value)
}

fn index_once(value: &Value, key: &Value) -> Result<Value, String> {
    match value.inner() {
        Value::List(list) => {
            let list = list
                .as_ref()
                .map(|list| list.as_slice())
                .unwrap_or_default();
            let at = position(key)?;
            list.get(at)
                .cloned()
                .ok_or_else(|| format!("index out of range: {at}"))
        }
        Value::Text(text) => {
            let at = position(key)?;
            let byte = text.as_bytes().get(at);
            byte.map(|byte| Value::Int(i64::from(*byte)))
                .ok_or_else(|| format!("index out of range: {at}"))
        }
        Value::Map(map) => {
            let Some(key) = key.as_text() else {
                return Err(format!(
                    "value has type {}; should be string",
                    key.go_type()
                ));
            };
            let found = map.as_ref().and_then(|map| map.get(key)).cloned();
            Ok(found.unwrap_or_else(|| zero_of(map.as_deref())))
        }
        // Documents do not tell maps with few keys from structs; a field by name is what is meant.
        Value::Struct(object) => {
            let key = key.as_text().unwrap_or_default();
            object
                .field(key)
                .cloned()
                .ok_or_else(|| format!("can't index item of type {}", value.go_type()))
        }
        Value::Missing | Value::Nil => Err("index of untyped nil".to_owned()),
        other => Err(format!("can't index item of type {}", other.go_type())),
    }
}

/// What a map answers for a key that it does not have: Go's zero of its values' type, which for texts is
/// the empty one.
fn zero_of(map: Option<&BTreeMap<String, Value>>) -> Value {
    let mut values = map.into_iter().flat_map(BTreeMap::values);
    if values.all(|value| matches!(value, Value::Text(_))) {
        return "".into();
    }
    Value::Missing
}

fn position(key: &Value) -> Result<usize, String> {
    let Some(number) = key.as_int() else {
        return Err(format!(
            "cannot index slice/array with type {}",
            key.inner().go_type()
        ));
    };
    usize::try_from(number).map_err(|_error| format!("index out of range: {number}"))
}

fn slice(given: &[Value]) -> Result<Value, String> {
    let (base, bounds) = given.split_first().ok_or("slice of untyped nil")?;
    let bounds: Vec<usize> = bounds.iter().map(position).collect::<Result<_, _>>()?;
    let cut = |length: usize| -> Result<(usize, usize), String> {
        let low = bounds.first().copied().unwrap_or(0);
        let high = bounds.get(1).copied().unwrap_or(length);
        if let Some(wide) = [low, high].into_iter().find(|bound| *bound > length) {
            return Err(format!("index out of range: {wide}"));
        }
        if low > high {
            return Err(format!("invalid slice index: {low} > {high}"));
        }
        Ok((low, high))
    };
    match base.inner() {
        Value::Text(text) => {
            let (low, high) = cut(text.len())?;
            let bytes = text.as_bytes().get(low..high).unwrap_or_default();
            Ok(String::from_utf8_lossy(bytes).into_owned().into())
        }
        Value::List(list) => {
            let list = list
                .as_ref()
                .map(|list| list.as_slice())
                .unwrap_or_default();
            let (low, high) = cut(list.len())?;
            Ok(list.get(low..high).unwrap_or_default().to_vec().into())
        }
        other => Err(format!("can't slice item of type {}", other.go_type())),
    }
}

fn equal(given: &[Value]) -> Result<Value, String> {
    let (base, others) = given
        .split_first()
        .ok_or("missing argument for comparison")?;
    if others.is_empty() {
        return Err("missing argument for comparison".to_owned());
    }
    for other in others {
        if equal_pair(base, other)? {
            return Ok(Value::Bool(true));
        }
    }
    Ok(Value::Bool(false))
}

fn equal_pair(a: &Value, b: &Value) -> Result<bool, String> {
    match (a.inner(), b.inner()) {
        (Value::Bool(a), Value::Bool(b)) => Ok(a == b),
        (Value::Int(a), Value::Int(b)) => Ok(a == b),
        (Value::Float(a), Value::Float(b)) => Ok(a.total_cmp(b) == Ordering::Equal),
        (Value::Text(a) | Value::Number(a), Value::Text(b) | Value::Number(b)) => Ok(a == b),
        (a, b) if is_nil(a) || is_nil(b) => Ok(is_nil(a) && is_nil(b)),
        (Value::List(_) | Value::Map(_) | Value::Struct(_), _)
        | (_, Value::List(_) | Value::Map(_) | Value::Struct(_)) => {
            Err("non-comparable type".to_owned())
        }
        _ => Err("incompatible types for comparison".to_owned()),
    }
}

fn is_nil(value: &Value) -> bool {
    matches!(
        value,
        Value::Missing | Value::Nil | Value::List(None) | Value::Map(None)
    )
}

fn order(given: &[Value], accepts: fn(Ordering) -> bool) -> Result<Value, String> {
    let ordering = match (first(given).inner(), second(given).inner()) {
        (Value::Int(a), Value::Int(b)) => a.cmp(b),
        (Value::Float(a), Value::Float(b)) => a.total_cmp(b),
        (Value::Text(a) | Value::Number(a), Value::Text(b) | Value::Number(b)) => a.cmp(b),
        (Value::Bool(_), _) | (_, Value::Bool(_)) => {
            return Err("invalid type for comparison".to_owned());
        }
        _ => return Err("incompatible types for comparison".to_owned()),
    };
    Ok(Value::Bool(accepts(ordering)))
}

fn escape_html(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '"' => out.push_str("&#34;"),
            '\'' => out.push_str("&#39;"),
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '\0' => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

fn escape_js(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\\' | '\'' | '"' => {
                out.push('\\');
                out.push(c);
            }
            '<' | '>' | '&' | '=' => out.push_fmt(format_args!("\\u{:04X}", u32::from(c))),
            c if c.is_control() => out.push_fmt(format_args!("\\u{:04X}", u32::from(c))),
            c => out.push(c),
        }
    }
    out
}

fn escape_url(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                out.push(char::from(byte));
            }
            b' ' => out.push('+'),
            byte => out.push_fmt(format_args!("%{byte:02X}")),
        }
    }
    out
}
