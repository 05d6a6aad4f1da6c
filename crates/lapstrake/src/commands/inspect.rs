//! `inspect`: everything about containers and images, as JSON or through a template.

use super::{Cmd, OBJECT_FORMAT_HELP, platform};
use crate::args::{Arity, Flag};
use crate::cli::Invocation;
use crate::failure::Failure;
use crate::ui::document::{self, Json};
use crate::ui::template::Template;
use crate::ui::text::PushFormat;
use lapstrake_engine::ops::{self, InspectedImage};
use lapstrake_engine::{ErrorKind, Origin};
use serde::Serialize;

pub(super) static COMMAND: Cmd = Cmd {
    usage: "[OPTIONS] NAME|ID [NAME|ID...]",
    about: "Return low-level information on Docker objects",
    long: "",
    aliases: &[],
    flags: &[
        Flag::text("format", OBJECT_FORMAT_HELP).short('f'),
        Flag::bool("size", "Display total file sizes if the type is container").short('s'),
        Flag::text("type", "Only inspect objects of the given type"),
    ],
    arity: Arity::AtLeast(1),
    interspersed: true,
    run,
};

/// What is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted {
    Any,
    Container,
    Image,
    Network,
    Plugin,
    Volume,
}

const TYPES: [&str; 10] = [
    "config",
    "container",
    "image",
    "network",
    "node",
    "plugin",
    "secret",
    "service",
    "task",
    "volume",
];

fn run(invocation: &Invocation<'_>) -> Result<u8, Failure> {
    let wanted = match invocation.matches.text("type").unwrap_or_default() {
        "" if invocation.matches.changed("type") => {
            let list = TYPES.join("\", \"");
            return Err(Failure::new(format!(
                "type is empty: must be one of \"{list}\""
            )));
        }
        "" => Wanted::Any,
        "container" => Wanted::Container,
        "image" => Wanted::Image,
        "network" => Wanted::Network,
        "plugin" => Wanted::Plugin,
        "volume" => Wanted::Volume,
        kind if TYPES.contains(&kind) => {
            return Err(Failure::new(format!(
                "objects of the type {kind} do not exist here"
            )));
        }
        kind => {
            return Err(Failure::new(format!(
                "unknown type: \"{kind}\": must be one of \"{}\"",
                TYPES.join("\", \"")
            )));
        }
    };
    inspect(invocation, wanted)
}

/// Looks each object up and shows those that were found; the failures come last.
pub(super) fn inspect(invocation: &Invocation<'_>, wanted: Wanted) -> Result<u8, Failure> {
    let matches = invocation.matches;
    let format = matches.text("format").unwrap_or_default();
    let template = match format {
        "" | "json" => None,
        text => Some(Template::parse(text).map_err(|error| Failure::from(error).with_status(64))?),
    };
    let mut failures = Vec::new();
    let mut found = Vec::new();
    let mut rendered = String::new();
    for name in &matches.args {
        match look_up(invocation, name, wanted) {
            Err(failure) => failures.push(failure),
            Ok(object) => match &template {
                None => found.push(object.whole),
                Some(template) => {
                    match document::render_typed(template, object.typed(), &object.whole) {
                        Ok(text) => rendered.push_fmt(format_args!("{text}\n")),
                        Err(error) => failures.push(error.into()),
                    }
                }
            },
        }
    }
    match &template {
        None => {
            let list = Json::List(found);
            if format == "json" {
                list.write_compact(&mut rendered);
            } else {
                list.write_indented(&mut rendered, 0);
            }
            rendered.push('\n');
        }
        Some(_) if rendered.is_empty() => rendered.push('\n'),
        Some(_) => {}
    }
    invocation.output.print(&rendered);
    if failures.is_empty() {
        Ok(0)
    } else {
        Err(Failure::joined(failures))
    }
}

/// An object as the engine describes it, and as docker's client types it where that is less.
struct Object {
    whole: Json,
    less: Option<Json>,
}

impl Object {
    fn typed(&self) -> &Json {
        self.less.as_ref().unwrap_or(&self.whole)
    }
}

/// An image for templates: of its configuration only what an image can have.
fn typed_image(image: &InspectedImage, whole: &Json) -> Result<Option<Json>, Failure> {
    let (Some(config), Json::Object(entries)) = (&image.config, whole) else {
        return Ok(None);
    };
    let mut entries = entries.clone();
    for (name, value) in &mut entries {
        if name == "Config" {
            *value = json(&config.image_run_config())?;
        }
    }
    Ok(Some(Json::Object(entries)))
}

fn look_up(invocation: &Invocation<'_>, name: &str, wanted: Wanted) -> Result<Object, Failure> {
    let size = invocation.matches.knows("size") && invocation.matches.is("size");
    match wanted {
        Wanted::Volume => return volume(invocation, name),
        Wanted::Network => return Err(no_network(name)),
        Wanted::Plugin => return Err(missing(&format!("plugin \"{name}\" not found"))),
        Wanted::Any | Wanted::Container | Wanted::Image => {}
    }
    if wanted != Wanted::Image {
        match ops::inspect_container(invocation.engine, name, size) {
            Ok(container) => {
                return Ok(Object {
                    whole: json(&container)?,
                    less: None,
                });
            }
            Err(error) if wanted == Wanted::Any && error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error.into()),
        }
    }
    if invocation.matches.knows("platform")
        && let Some(platform) = platform(invocation.matches)?
    {
        ops::require_platform(invocation.engine, name, &platform)?;
    }
    if wanted != Wanted::Container {
        match ops::inspect_image(invocation.engine, name) {
            Ok(image) => {
                if size {
                    invocation
                        .output
                        .err_line("WARNING: --size ignored for image");
                }
                let whole = json(&image)?;
                let less = typed_image(&image, &whole)?;
                return Ok(Object { whole, less });
            }
            Err(error) if wanted == Wanted::Any && error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error.with_origin(Origin::Engine).into()),
        }
    }
    Err(Failure::new(format!("Error: No such object: {name}")))
}

fn missing(text: &str) -> Failure {
    Failure::new(format!("Error response from daemon: {text}"))
}

/// Networks are modes of containers here: there is nothing to tell of them.
fn no_network(name: &str) -> Failure {
    if ["bridge", "host", "none"].contains(&name) {
        let hint = "`lap inspect CONTAINER` shows its network";
        return Failure::new(format!("network {name} has no description here")).with_hint(hint);
    }
    missing(&format!("network {name} not found"))
}

fn volume(invocation: &Invocation<'_>, name: &str) -> Result<Object, Failure> {
    let Some(volume) = ops::inspect_volume(invocation.engine, name)? else {
        return Err(missing(&format!("get {name}: no such volume")));
    };
    if invocation.matches.is("size") {
        let warning = "WARNING: --size ignored for volume";
        invocation.output.err_line(warning);
    }
    Ok(Object {
        whole: json(&volume)?,
        less: None,
    })
}

/// A typed object as a document that keeps the order of its fields.
pub(super) fn json(object: &impl Serialize) -> Result<Json, Failure> {
    let text = serde_json::to_string(object).map_err(|error| Failure::new(error.to_string()))?;
    serde_json::from_str(&text).map_err(|error| Failure::new(error.to_string()))
}
