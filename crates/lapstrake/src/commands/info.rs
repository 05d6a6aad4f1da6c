//! `info`: what is in force on this machine.

use super::{Cmd, OBJECT_FORMAT_HELP};
use crate::args::{Arity, Flag};
use crate::cli::Invocation;
use crate::failure::Failure;
use crate::ui::document::{self, Json};
use crate::ui::template::Template;
use crate::ui::text::PushFormat;
use crate::ui::units;
use lapstrake_engine::ops::{self, Info, VersionInfo};

pub(super) static COMMAND: Cmd = Cmd {
    usage: "[OPTIONS]",
    about: "Display system-wide information",
    long: "",
    aliases: &["system info", "info"],
    flags: &[Flag::text("format", OBJECT_FORMAT_HELP).short('f')],
    arity: Arity::None,
    interspersed: true,
    run,
};

fn run(invocation: &Invocation<'_>) -> Result<u8, Failure> {
    let format = invocation.matches.text("format").unwrap_or_default();
    let template = match format {
        "" | "json" => None,
        text => Some(Template::parse(text).map_err(|error| Failure::from(error).with_status(64))?),
    };
    let info = ops::info(invocation.engine)?;
    if format.is_empty() {
        invocation.output.print(&plain(&info));
        return Ok(0);
    }
    let version = ops::version(invocation.engine);
    let json = with_client(super::inspect::json(&info)?, &info, &version);
    let mut text = String::new();
    let result = match &template {
        None => {
            json.write_compact(&mut text);
            Ok(())
        }
        Some(template) => document::render_known(template, &json, &TYPES, &mut text),
    };
    invocation.output.line(&text);
    result.map_err(|error| Failure::new(error.to_string()))?;
    Ok(0)
}

/// As docker's client has them.
const TYPES: [(&str, &str); 13] = [
    ("", "system.dockerInfo"),
    ("ClientInfo", "*system.clientInfo"),
    ("ContainerdCommit", "system.Commit"),
    ("InitCommit", "system.Commit"),
    ("Plugins", "system.PluginsInfo"),
    ("RegistryConfig", "*registry.ServiceConfig"),
    (
        "RegistryConfig.IndexConfigs",
        "map[string]*registry.IndexInfo",
    ),
    ("RegistryConfig.IndexConfigs[]", "*registry.IndexInfo"),
    ("RuncCommit", "system.Commit"),
    ("Runtimes", "map[string]system.RuntimeWithStatus"),
    ("Runtimes[]", "system.RuntimeWithStatus"),
    ("Settings[]", "system.Setting"),
    ("Swarm", "swarm.Info"),
];

/// Adds what docker's client says of itself.
fn with_client(mut json: Json, info: &Info, version: &VersionInfo) -> Json {
    let text = |text: &str| Json::Text(text.to_owned());
    let client = [
        ("Debug", Json::Bool(info.debug)),
        ("Version", text(&version.version)),
        ("DefaultAPIVersion", text(&version.api_version)),
        ("GitCommit", text("")),
        ("GoVersion", text("")),
        ("Os", text(&version.os)),
        ("Arch", text(&version.arch)),
        ("BuildTime", text("")),
        ("Context", text("default")),
        ("Plugins", Json::List(Vec::new())),
        ("Warnings", Json::Null),
    ];
    if let Json::Object(fields) = &mut json {
        let client = client.map(|(name, value)| (name.to_owned(), value));
        fields.push(("ClientInfo".to_owned(), Json::Object(client.into())));
    }
    json
}

/// One line for each value, those of docker first.
fn plain(info: &Info) -> String {
    let mut out = format!(
        "Client: Lapstrake\n Version:    {}\n Context:    default\n Debug Mode: {}\n\nServer: Lapstrake (no \
         daemon: this process)\n",
        info.server_version, info.debug
    );
    counts(&mut out, info);
    machine(&mut out, info);
    let mut line = |label: &str, value: &str| {
        if !value.is_empty() {
            out.push_fmt(format_args!(" {label}: {value}\n"));
        }
    };
    line("Debug Mode", &info.debug.to_string());
    line("HTTP Proxy", &info.http_proxy);
    line("HTTPS Proxy", &info.https_proxy);
    line("No Proxy", &info.no_proxy);
    line("Experimental", &info.experimental_build.to_string());
    list(
        &mut out,
        "Insecure Registries",
        info.registry_config.insecure(),
    );
    list(&mut out, "Registry Mirrors", &info.registry_config.mirrors);
    out.push_fmt(format_args!(
        " Live Restore Enabled: {}\n Configuration File: {}\n",
        info.live_restore_enabled,
        info.config_file.as_deref().unwrap_or("none")
    ));
    list(
        &mut out,
        "Configuration Files Not Readable",
        &info.unreadable_config_files,
    );
    list(
        &mut out,
        "Configuration Keys Without Effect",
        &info.unused_config_keys,
    );
    let settings = info.settings.iter();
    let settings = settings.map(|one| format!("{}: {} ({})", one.key, one.value, one.source));
    list(&mut out, "Settings In Force", settings);
    out.push('\n');
    out
}

fn counts(out: &mut String, info: &Info) {
    out.push_fmt(format_args!(
        " Containers: {}\n  Running: {}\n  Paused: {}\n  Stopped: {}\n Images: {}\n Server Version: {}\n \
         Storage Driver: {}\n",
        info.containers,
        info.containers_running,
        info.containers_paused,
        info.containers_stopped,
        info.images,
        info.server_version,
        info.driver
    ));
    for (name, value) in &info.driver_status {
        out.push_fmt(format_args!("  {name}: {value}\n"));
    }
    out.push_fmt(format_args!(
        " Logging Driver: {}\n Cgroup Driver: {}\n",
        info.logging_driver, info.cgroup_driver
    ));
    if !info.cgroup_version.is_empty() {
        out.push_fmt(format_args!(" Cgroup Version: {}\n", info.cgroup_version));
    }
    out.push_fmt(format_args!(
        " Plugins:\n  Volume: {}\n  Network: {}\n  Log: {}\n Swarm: {}\n",
        info.plugins.volume.join(" "),
        info.plugins.network.join(" "),
        info.plugins.log.join(" "),
        info.swarm.local_node_state
    ));
}

fn machine(out: &mut String, info: &Info) {
    let runtimes: Vec<&str> = info.runtimes.keys().map(String::as_str).collect();
    out.push_fmt(format_args!(
        " Runtimes: {}\n Default Runtime: {}\n Security Options:\n  seccomp\n   Profile: builtin\n",
        runtimes.join(" "),
        info.default_runtime
    ));
    let memory = units::binary_size(units::signed(info.mem_total));
    for (label, value) in [
        ("Kernel Version", info.kernel_version.as_str()),
        ("Operating System", &info.operating_system),
        ("OSType", &info.os_type),
        ("Architecture", &info.architecture),
        ("CPUs", &info.ncpu.to_string()),
        ("Total Memory", &memory),
        ("Name", &info.name),
        ("Docker Root Dir", &info.root_dir),
    ] {
        out.push_fmt(format_args!(" {label}: {value}\n"));
    }
}

fn list<T: std::fmt::Display>(out: &mut String, title: &str, entries: impl IntoIterator<Item = T>) {
    let mut entries = entries.into_iter().peekable();
    if entries.peek().is_none() {
        return;
    }
    out.push_fmt(format_args!(" {title}:\n"));
    for entry in entries {
        out.push_fmt(format_args!("  {entry}\n"));
    }
}
