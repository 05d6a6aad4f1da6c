//! `version`: of the program and of the interface it speaks.

use super::{Cmd, OBJECT_FORMAT_HELP};
use crate::args::{Arity, Flag};
use crate::cli::Invocation;
use crate::failure::Failure;
use crate::ui::document::{self, Json};
use crate::ui::table;
use crate::ui::template::Template;
use lapstrake_engine::ops::{self, VersionInfo};

pub(super) static COMMAND: Cmd = Cmd {
    usage: "[OPTIONS]",
    about: "Show the Docker version information",
    long: "",
    aliases: &[],
    flags: &[Flag::text("format", OBJECT_FORMAT_HELP).short('f')],
    arity: Arity::None,
    interspersed: true,
    run,
};

fn run(invocation: &Invocation<'_>) -> Result<u8, Failure> {
    let version = ops::version(invocation.engine);
    let format = invocation.matches.text("format").unwrap_or_default();
    let text = match format {
        "" => table::align_with(&plain(&version), 20, 1),
        "json" => {
            let mut text = String::new();
            json(&version).write_compact(&mut text);
            format!("{text}\n")
        }
        format => {
            let template = Template::parse(format)
                .map_err(|error| Failure::from(error.named(TEMPLATE)).with_status(64))?;
            let mut text = String::new();
            let result = document::render_known(&template, &json(&version), &TYPES, &mut text);
            text.push('\n');
            if let Err(error) = result {
                invocation.output.print(&text);
                return Err(Failure::new(error.named(TEMPLATE).to_string()));
            }
            text
        }
    };
    invocation.output.print(&text);
    Ok(0)
}

/// What docker's client calls the template.
const TEMPLATE: &str = "version";

/// As docker's client has them.
const TYPES: [(&str, &str); 7] = [
    ("", "system.versionInfo"),
    ("Client", "system.clientVersion"),
    ("Client.Platform", "*system.platformInfo"),
    ("Server", "*types.Version"),
    ("Server.Components[]", "types.ComponentVersion"),
    ("Server.Components[].Details", "map[string]string"),
    ("Server.Platform", "struct { Name string }"),
];

fn plain(version: &VersionInfo) -> String {
    let part = |indent: &str| {
        format!(
            "{indent}Version:\t{}\n{indent}API version:\t{}\n{indent}OS/Arch:\t{}/{}\n",
            version.version, version.api_version, version.os, version.arch
        )
    };
    format!(
        "Client: Lapstrake\n{} Context:\tdefault\n\nServer: Lapstrake (no daemon: this process)\n \
         Engine:\n{}  Kernel Version:\t{}\n",
        part(" "),
        part("  "),
        version.kernel_version
    )
}

/// The document that templates see, with docker's names.
fn json(version: &VersionInfo) -> Json {
    let text = |text: &str| Json::Text(text.to_owned());
    let object = |fields: Vec<(&str, Json)>| {
        Json::Object(
            fields
                .into_iter()
                .map(|(key, value)| (key.to_owned(), value))
                .collect(),
        )
    };
    let platform = || object(vec![("Name", text("Lapstrake"))]);
    let component = object(vec![
        ("Name", text("Engine")),
        ("Version", text(&version.version)),
        ("Details", object(Vec::new())),
    ]);
    object(vec![
        (
            "Client",
            object(vec![
                ("Platform", platform()),
                ("Version", text(&version.version)),
                ("ApiVersion", text(&version.api_version)),
                ("DefaultAPIVersion", text(&version.api_version)),
                ("Os", text(&version.os)),
                ("Arch", text(&version.arch)),
                ("Context", text("default")),
            ]),
        ),
        (
            "Server",
            object(vec![
                ("Platform", platform()),
                ("Version", text(&version.version)),
                ("ApiVersion", text(&version.api_version)),
                ("MinAPIVersion", text(&version.api_version)),
                ("Os", text(&version.os)),
                ("Arch", text(&version.arch)),
                ("KernelVersion", text(&version.kernel_version)),
                ("Components", Json::List(vec![component])),
            ]),
        ),
    ])
}
