//! Values as Go's `fmt` prints them.

use super::Value;
use crate::args::go_quote;
use crate::ui::text::PushFormat;

/// `%v` as the template printer uses it.
pub(super) fn print_value(value: &Value) -> String {
    match value.inner() {
        Value::Missing => "<no value>".to_owned(),
        Value::Nil if matches!(value, Value::Any(_)) => "<no value>".to_owned(),
        inner => plain(inner, true),
    }
}

/// `%v`. `top` is false inside lists, maps and structs.
fn plain(value: &Value, top: bool) -> String {
    match value.inner() {
        Value::Missing | Value::Nil => "<nil>".to_owned(),
        Value::Bool(value) => value.to_string(),
        Value::Int(number) => number.to_string(),
        Value::Float(number) => go_float(*number),
        Value::Number(text) | Value::Text(text) => text.to_string(),
        Value::List(list) => {
            let items = list.iter().flat_map(|list| list.iter());
            let items: Vec<String> = items.map(|item| plain(item, false)).collect();
            format!("[{}]", items.join(" "))
        }
        Value::Map(map) => {
            let items = map.iter().flat_map(|map| map.iter());
            let items: Vec<String> = items
                .map(|(key, item)| format!("{key}:{}", plain(item, false)))
                .collect();
            format!("map[{}]", items.join(" "))
        }
        Value::Struct(object) => {
            let items: Vec<String> = object
                .fields
                .iter()
                .map(|(_, item)| plain(item, false))
                .collect();
            let pointer = if top && object.go_type.starts_with('*') {
                "&"
            } else {
                ""
            };
            format!("{pointer}{{{}}}", items.join(" "))
        }
        Value::Any(_) => String::new(),
    }
}

/// A float as Go's `%v` prints it.
pub(super) fn go_float(number: f64) -> String {
    if number == 0.0 || (1e-4..1e21).contains(&number.abs()) {
        return format!("{number}");
    }
    let text = format!("{number:e}");
    let Some((digits, exponent)) = text.split_once('e') else {
        return text;
    };
    let (sign, exponent) = match exponent.strip_prefix('-') {
        Some(exponent) => ('-', exponent),
        None => ('+', exponent),
    };
    format!("{digits}e{sign}{exponent:0>2}")
}

/// `fmt.Sprint`: a blank between two values when neither is a text.
pub(super) fn sprint(values: &[Value]) -> String {
    let mut out = String::new();
    let mut after_text = true;
    for value in values {
        let is_text = matches!(value.inner(), Value::Text(_) | Value::Number(_));
        if !is_text && !after_text {
            out.push(' ');
        }
        out.push_str(&plain(value, true));
        after_text = is_text;
    }
    out
}

/// Width and precision have this limit, which is also that of Rust's own formatting.
const MAX_WIDTH: usize = u16::MAX as usize;

#[derive(Debug, Default)]
struct Spec {
    minus: bool,
    plus: bool,
    zero: bool,
    sharp: bool,
    space: bool,
    width: usize,
    precision: Option<usize>,
}

/// `fmt.Sprintf`.
pub(super) fn sprintf(format: &str, values: &[Value]) -> String {
    let mut out = String::new();
    let mut rest = format.chars().peekable();
    let mut values = values.iter();
    while let Some(c) = rest.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        let spec = read_spec(&mut rest);
        let Some(verb) = rest.next() else {
            out.push_str("%!(NOVERB)");
            break;
        };
        if verb == '%' {
            out.push('%');
            continue;
        }
        match values.next() {
            Some(value) => out.push_str(&padded(&spec, verb, value)),
            None => out.push_fmt(format_args!("%!{verb}(MISSING)")),
        }
    }
    let extra: Vec<String> = values
        .map(|value| format!("{}={}", value.inner().go_type(), plain(value, true)))
        .collect();
    if !extra.is_empty() {
        out.push_fmt(format_args!("%!(EXTRA {})", extra.join(", ")));
    }
    out
}

fn read_spec(rest: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Spec {
    let mut spec = Spec::default();
    while let Some(c) = rest.peek() {
        match c {
            '-' => spec.minus = true,
            '+' => spec.plus = true,
            '0' => spec.zero = true,
            '#' => spec.sharp = true,
            ' ' => spec.space = true,
            _ => break,
        }
        rest.next();
    }
    spec.width = read_number(rest).unwrap_or(0);
    if rest.next_if_eq(&'.').is_some() {
        spec.precision = Some(read_number(rest).unwrap_or(0));
    }
    spec
}

fn read_number(rest: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Option<usize> {
    let mut number = None;
    while let Some(digit) = rest.peek().and_then(|c| c.to_digit(10)) {
        let digit = usize::try_from(digit).unwrap_or(0);
        number = Some((number.unwrap_or(0) * 10 + digit).min(MAX_WIDTH));
        rest.next();
    }
    number
}

fn padded(spec: &Spec, verb: char, value: &Value) -> String {
    let text = verb_text(spec, verb, value);
    let length = text.chars().count();
    if length >= spec.width {
        return text;
    }
    let count = spec.width - length;
    let is_number = matches!(value.inner(), Value::Int(_) | Value::Float(_));
    if spec.minus {
        return format!("{text}{}", " ".repeat(count));
    }
    if spec.zero && is_number {
        let (sign, digits) = match text.strip_prefix(['-', '+']) {
            Some(digits) => (text.get(..1).unwrap_or_default(), digits),
            None => ("", text.as_str()),
        };
        return format!("{sign}{}{digits}", "0".repeat(count));
    }
    format!("{}{text}", " ".repeat(count))
}

fn verb_text(spec: &Spec, verb: char, value: &Value) -> String {
    let inner = value.inner();
    let signed = |text: String, negative: bool| {
        if spec.plus && !negative {
            format!("+{text}")
        } else {
            text
        }
    };
    match (verb, inner) {
        ('v', _) => plain(value, true),
        ('T', _) => inner.go_type().to_owned(),
        ('t', Value::Bool(value)) => value.to_string(),
        ('s', Value::Text(text) | Value::Number(text)) => cut(text, spec.precision),
        ('q', Value::Text(text) | Value::Number(text)) => go_quote(&cut(text, spec.precision)),
        ('x', Value::Text(text)) => hex(text).to_lowercase(),
        ('X', Value::Text(text)) => hex(text),
        ('d', Value::Int(number)) => signed(number.to_string(), *number < 0),
        ('b', Value::Int(number)) => radix(*number, "", |n| format!("{n:b}")),
        ('o', Value::Int(number)) => radix(*number, "", |n| format!("{n:o}")),
        ('x', Value::Int(number)) => radix(*number, if spec.sharp { "0x" } else { "" }, |n| {
            format!("{n:x}")
        }),
        ('X', Value::Int(number)) => radix(*number, if spec.sharp { "0X" } else { "" }, |n| {
            format!("{n:X}")
        }),
        ('c', Value::Int(number)) => character(*number).to_string(),
        ('q', Value::Int(number)) => format!("'{}'", character(*number)),
        ('U', Value::Int(number)) => format!("U+{number:04X}"),
        ('f' | 'F', Value::Float(number)) => signed(
            format!("{number:.*}", spec.precision.unwrap_or(6)),
            *number < 0.0,
        ),
        ('e', Value::Float(number)) => exponent(*number, spec.precision.unwrap_or(6)),
        ('g', Value::Float(number)) => match spec.precision {
            Some(precision) => crate::ui::units::significant(*number, precision),
            None => go_float(*number),
        },
        ('s' | 'd' | 'q' | 'x', Value::List(list)) => {
            let items = list.iter().flat_map(|list| list.iter());
            let items: Vec<String> = items.map(|item| verb_text(spec, verb, item)).collect();
            format!("[{}]", items.join(" "))
        }
        (_, Value::Missing | Value::Nil) => format!("%!{verb}(<nil>)"),
        _ => format!("%!{verb}({}={})", inner.go_type(), plain(value, true)),
    }
}

fn hex(text: &str) -> String {
    let mut out = String::with_capacity(text.len() * 2);
    for byte in text.bytes() {
        out.push_fmt(format_args!("{byte:02X}"));
    }
    out
}

fn cut(text: &str, precision: Option<usize>) -> String {
    match precision {
        Some(count) => text.chars().take(count).collect(),
        None => text.to_owned(),
    }
}

fn radix(number: i64, prefix: &str, digits: fn(u64) -> String) -> String {
    let sign = if number < 0 { "-" } else { "" };
    format!("{sign}{prefix}{}", digits(number.unsigned_abs()))
}

fn character(code: i64) -> char {
    u32::try_from(code)
        .ok()
        .and_then(char::from_u32)
        .unwrap_or('\u{fffd}')
}

fn exponent(number: f64, precision: usize) -> String {
    let text = format!("{number:.precision$e}");
    let Some((digits, exponent)) = text.split_once('e') else {
        return text;
    };
    let (sign, exponent) = match exponent.strip_prefix('-') {
        Some(exponent) => ('-', exponent),
        None => ('+', exponent),
    };
    format!("{digits}e{sign}{exponent:0>2}")
}
