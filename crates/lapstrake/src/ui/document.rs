//! JSON documents as templates and `inspect` see them: fields keep their order, known maps are maps.

use super::template::{MissingKey, Struct, Template, TemplateError, Value};
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use std::collections::BTreeMap;
use std::fmt;
use std::rc::Rc;

/// A JSON value with the order of its keys.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Json {
    /// `null`.
    Null,
    /// A truth value.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// Another number.
    Float(f64),
    /// A text.
    Text(String),
    /// A list.
    List(Vec<Self>),
    /// An object.
    Object(Vec<(String, Self)>),
}

struct JsonVisitor;

impl<'de> Visitor<'de> for JsonVisitor {
    type Value = Json;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Json, E> {
        Ok(Json::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Json, E> {
        Ok(Json::Int(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Json, E> {
        Ok(i64::try_from(value).map_or(Json::Int(i64::MAX), Json::Int))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Json, E> {
        Ok(Json::Float(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Json, E> {
        Ok(Json::Text(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Json, E> {
        Ok(Json::Text(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Json, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Json::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Json, A::Error> {
        let mut object = Vec::new();
        while let Some(entry) = entries.next_entry()? {
            object.push(entry);
        }
        Ok(Json::Object(object))
    }
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(JsonVisitor)
    }
}

/// Objects under these names are Go maps, everything else is a struct.
const MAPS: [&str; 12] = [
    "Annotations",
    "Data",
    "DriverOpts",
    "ExposedPorts",
    "Labels",
    "Networks",
    "Options",
    "PortBindings",
    "Ports",
    "Sysctls",
    "Tmpfs",
    "Volumes",
];

/// Lists under these names are nil slices when null; other nulls are nil pointers or maps.
const LISTS: [&str; 30] = [
    "Args",
    "Binds",
    "BlkioDeviceReadBps",
    "BlkioDeviceReadIOps",
    "BlkioDeviceWriteBps",
    "BlkioDeviceWriteIOps",
    "BlkioWeightDevice",
    "CapAdd",
    "CapDrop",
    "Cmd",
    "DeviceCgroupRules",
    "DeviceRequests",
    "Devices",
    "Dns",
    "DnsOptions",
    "DnsSearch",
    "Entrypoint",
    "Env",
    "ExecIDs",
    "ExtraHosts",
    "GroupAdd",
    "Layers",
    "Links",
    "MaskedPaths",
    "Mounts",
    "OnBuild",
    "ReadonlyPaths",
    "RepoDigests",
    "RepoTags",
    "SecurityOpt",
];

/// Fields whose names in Go differ from those in JSON.
const GO_NAMES: [(&str, &str); 2] = [("Id", "ID"), ("ApiVersion", "APIVersion")];

/// Fields that Go's types have and that JSON leaves out when they are empty.
const ABSENT: [(&str, Absent); 16] = [
    ("Domainname", Absent::Text),
    ("ExposedPorts", Absent::Map),
    ("Health", Absent::Pointer),
    ("Healthcheck", Absent::Pointer),
    ("Hostname", Absent::Text),
    ("Image", Absent::Text),
    ("OnBuild", Absent::List),
    ("OsVersion", Absent::Text),
    ("Shell", Absent::List),
    ("SizeRootFs", Absent::Pointer),
    ("SizeRw", Absent::Pointer),
    ("StopSignal", Absent::Text),
    ("StopTimeout", Absent::Pointer),
    ("User", Absent::Text),
    ("Variant", Absent::Text),
    ("Volumes", Absent::Map),
];

/// Go's names for the types of a document's parts, by their paths: `A.B`, `A[]` for what a list or map holds, the
/// empty one for the whole.
pub(crate) type GoTypes = [(&'static str, &'static str)];

#[derive(Debug, Clone, Copy)]
enum Absent {
    Text,
    Map,
    List,
    Pointer,
}

impl Json {
    /// The value as Go's typed structs would show it to a template.
    pub(crate) fn typed(&self) -> Value {
        self.typed_as("")
    }

    fn typed_as(&self, name: &str) -> Value {
        match self {
            Self::Null if LISTS.contains(&name) => Value::List(None),
            Self::Null if MAPS.contains(&name) => Value::Map(None),
            Self::Null => Value::Nil,
            Self::Bool(value) => Value::Bool(*value),
            Self::Int(number) => Value::Int(*number),
            Self::Float(number) => Value::Float(*number),
            Self::Text(text) => text.as_str().into(),
            Self::List(list) => list
                .iter()
                .map(|item| item.typed_as(""))
                .collect::<Vec<_>>()
                .into(),
            Self::Object(entries) if MAPS.contains(&name) => {
                let entries = entries
                    .iter()
                    .map(|(key, value)| (key.clone(), value.typed_as("")));
                Value::Map(Some(Rc::new(entries.collect())))
            }
            Self::Object(entries) => Self::typed_struct(entries, name),
        }
    }

    fn typed_struct(entries: &[(String, Self)], name: &str) -> Value {
        let mut fields: Vec<(Rc<str>, Value)> = Vec::with_capacity(entries.len());
        let mut unlisted: Vec<(&'static str, Value)> = Vec::new();
        for (key, value) in entries {
            // LogConfig.Config is a map, every other Config a struct.
            let hint = if name == "LogConfig" && key == "Config" {
                "Options"
            } else {
                key
            };
            let value = value.typed_as(hint);
            for (json_name, go_name) in GO_NAMES {
                if key == json_name {
                    unlisted.push((go_name, value.clone()));
                }
            }
            fields.push((key.as_str().into(), value));
        }
        for (key, kind) in ABSENT {
            if !entries.iter().any(|(known, _)| known == key) {
                unlisted.push((key, kind.value()));
            }
        }
        Value::Struct(Rc::new(Struct {
            go_type: "struct",
            fields,
            unlisted,
            ..Struct::default()
        }))
    }

    /// The value with known types; parts that have none are structs without a name.
    fn typed_by(&self, types: &GoTypes, path: &str, name: &str) -> Value {
        let inside = || format!("{path}[]");
        let known = types.iter().find(|(known, _)| *known == path);
        let go_type = known.map_or("struct", |(_, go_type)| go_type);
        match self {
            Self::List(list) => list
                .iter()
                .map(|item| item.typed_by(types, &inside(), ""))
                .collect::<Vec<_>>()
                .into(),
            Self::Object(entries) if go_type.starts_with("map[") => {
                let entries = entries
                    .iter()
                    .map(|(key, value)| (key.clone(), value.typed_by(types, &inside(), "")));
                Value::Map(Some(Rc::new(entries.collect())))
            }
            Self::Object(entries) => {
                let mut of_type = Struct {
                    go_type,
                    ..Struct::default()
                };
                for (key, value) in entries {
                    let path = format!("{path}.{key}");
                    let value = value.typed_by(types, path.trim_start_matches('.'), key);
                    let names = GO_NAMES.iter().filter(|(json_name, _)| key == json_name);
                    of_type
                        .unlisted
                        .extend(names.map(|(_, go_name)| (*go_name, value.clone())));
                    of_type.fields.push((key.as_str().into(), value));
                }
                Value::Struct(Rc::new(of_type))
            }
            scalar => scalar.typed_as(name),
        }
    }

    /// The value as a document without types, which is what templates get when the types fail.
    pub(crate) fn untyped(&self) -> Value {
        match self {
            Self::Null => Value::Nil,
            Self::Bool(value) => Value::Bool(*value),
            Self::Int(number) => Value::Number(number.to_string().into()),
            Self::Float(number) => Value::Number(number.to_string().into()),
            Self::Text(text) => text.as_str().into(),
            Self::List(list) => list.iter().map(Self::held).collect::<Vec<_>>().into(),
            Self::Object(entries) => {
                let entries = entries
                    .iter()
                    .map(|(key, value)| (key.clone(), value.held()));
                Value::Map(Some(Rc::new(entries.collect::<BTreeMap<_, _>>())))
            }
        }
    }

    fn held(&self) -> Value {
        Value::Any(Rc::new(self.untyped()))
    }

    /// Indented JSON as `docker inspect` prints it: four blanks, `[]` and `{}` for empty ones.
    pub(crate) fn write_indented(&self, out: &mut String, depth: usize) {
        let newline = |out: &mut String, depth: usize| {
            out.push('\n');
            out.extend(std::iter::repeat_n(' ', depth * 4));
        };
        match self {
            Self::List(list) if !list.is_empty() => {
                out.push('[');
                for (index, item) in list.iter().enumerate() {
                    if index > 0 {
                        out.push(',');
                    }
                    newline(out, depth + 1);
                    item.write_indented(out, depth + 1);
                }
                newline(out, depth);
                out.push(']');
            }
            Self::Object(entries) if !entries.is_empty() => {
                out.push('{');
                for (index, (key, value)) in entries.iter().enumerate() {
                    if index > 0 {
                        out.push(',');
                    }
                    newline(out, depth + 1);
                    Self::Text(key.clone()).write_compact(out);
                    out.push_str(": ");
                    value.write_indented(out, depth + 1);
                }
                newline(out, depth);
                out.push('}');
            }
            other => other.write_compact(out),
        }
    }

    /// JSON in one line, keys in their order.
    pub(crate) fn write_compact(&self, out: &mut String) {
        match self {
            Self::List(list) => {
                out.push('[');
                for (index, item) in list.iter().enumerate() {
                    if index > 0 {
                        out.push(',');
                    }
                    item.write_compact(out);
                }
                out.push(']');
            }
            Self::Object(entries) => {
                out.push('{');
                for (index, (key, value)) in entries.iter().enumerate() {
                    if index > 0 {
                        out.push(',');
                    }
                    Self::Text(key.clone()).write_compact(out);
                    out.push(':');
                    value.write_compact(out);
                }
                out.push('}');
            }
            scalar => scalar.typed_as("").write_json(out, false),
        }
    }
}

impl Absent {
    fn value(self) -> Value {
        match self {
            Self::Text => "".into(),
            Self::Map => Value::Map(None),
            Self::List => Value::List(None),
            Self::Pointer => Value::Nil,
        }
    }
}

/// Renders a document of which docker's client knows every type, so that nothing else is tried when the types
/// fail. What was written before an error stays in `out`.
pub(crate) fn render_known(
    template: &Template,
    document: &Json,
    types: &GoTypes,
    out: &mut String,
) -> Result<(), TemplateError> {
    template.render_into(&document.typed_by(types, "", ""), MissingKey::NoValue, out)
}

/// Renders a document through a template: with Go's types first, of which a client may have fewer than
/// there are fields, then the whole document without them. The error is the one of the second try, as in
/// docker.
pub(crate) fn render_typed(
    template: &Template,
    typed: &Json,
    whole: &Json,
) -> Result<String, TemplateError> {
    match template.render(&typed.typed(), MissingKey::NoValue) {
        Ok(text) => Ok(text),
        Err(_typed) => template.render(&whole.untyped(), MissingKey::Error),
    }
}
