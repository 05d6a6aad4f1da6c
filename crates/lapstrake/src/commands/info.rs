//! `info`: what is in force on this machine.

use super::{Cmd, OBJECT_FORMAT_HELP};
use crate::args::{Arity, Flag};
use crate::cli::Invocation;
use crate::failure::Failure;
use crate::ui::template::Template;
use crate::ui::text::PushFormat;
use crate::ui::{document, units};
use lapstrake_engine::ops::{self, Info};

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
    let json = super::inspect::json(&info)?;
    let text = match &template {
        None => {
            let mut text = String::new();
            json.write_compact(&mut text);
            text
        }
        Some(template) => {
            document::render(template, &json).map_err(|error| Failure::new(error.to_string()))?
        }
    };
    invocation.output.line(&text);
    Ok(0)
}

fn plain(info: &Info) -> String {
    let mut out = format!(
        "Client: Lapstrake\n Version:    {}\n Context:    default\n",
        info.server_version
    );
    let mut line = |label: &str, value: &str| {
        if !value.is_empty() {
            out.push_fmt(format_args!("{label} {value}\n"));
        }
    };
    line(" Debug Mode:", &info.debug.to_string());
    line("\nServer:", "Lapstrake (no daemon: this process)");
    line(" Containers:", &info.containers.to_string());
    line("  Running:", &info.containers_running.to_string());
    line("  Paused:", &info.containers_paused.to_string());
    line("  Stopped:", &info.containers_stopped.to_string());
    line(" Images:", &info.images.to_string());
    line(" Server Version:", &info.server_version);
    line(" Storage Driver:", &info.driver);
    line("  Backing Filesystem:", &info.backing_filesystem);
    line(" Cgroup Version:", &info.cgroup_version);
    line(" Runtimes:", &info.runtimes.join(" "));
    line(" Default Runtime:", &info.default_runtime);
    line(" Kernel Version:", &info.kernel_version);
    line(" Operating System:", &info.operating_system);
    line(" OSType:", &info.os_type);
    line(" Architecture:", &info.architecture);
    line(" CPUs:", &info.ncpu.to_string());
    line(
        " Total Memory:",
        &units::binary_size(units::signed(info.mem_total)),
    );
    line(" Name:", &info.name);
    line(" Docker Root Dir:", &info.root_dir);
    line(" Debug Mode:", &info.debug.to_string());
    line(
        " Configuration File:",
        info.config_file.as_deref().unwrap_or("none"),
    );
    line(" Experimental:", "false");
    list(&mut out, " Insecure Registries:", &info.insecure_registries);
    list(&mut out, " Registry Mirrors:", &info.registry_mirrors);
    out.push('\n');
    out
}

fn list(out: &mut String, title: &str, entries: &[String]) {
    if entries.is_empty() {
        return;
    }
    out.push_str(title);
    out.push('\n');
    for entry in entries {
        out.push_fmt(format_args!("  {entry}\n"));
    }
}
