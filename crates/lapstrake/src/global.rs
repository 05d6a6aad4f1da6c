//! The flags before the command: what they say, and which of it cannot be.
//!
//! There is no daemon, so `--host`, `--context` and the `--tls` flags choose nothing. They are read as docker reads them
//! all the same: a context that does not exist is an error, two hosts are one, and a host elsewhere is answered with a
//! warning, because the command works on this machine then.

use crate::args::{Flag, Kind, Parsed, go_quote, parse_bool};
use crate::env::Environment;
use crate::failure::{Failure, io_text};
use crate::ui::Output;
use crate::ui::output;
use lapstrake_engine::settings::client::ClientConfig;
use lapstrake_engine::settings::{Inputs, json};
use lapstrake_engine::spec::Digest;
use lapstrake_engine::{Settings, Trace};
use std::path::{Path, PathBuf};

/// The context that needs no file.
const DEFAULT_CONTEXT: &str = "default";

/// The longest description of a context that is read, in bytes.
const CONTEXT_LIMIT: u64 = 1 << 20;

/// What the flags before the command say.
#[derive(Debug, Default)]
pub(crate) struct Global {
    /// `-v`.
    pub version: bool,
    debug: Option<bool>,
    root: Option<PathBuf>,
    config: Option<PathBuf>,
    context: Option<String>,
    hosts: Vec<String>,
    mirrors: Vec<String>,
    insecure: Vec<String>,
}

impl Global {
    /// Reads the flags.
    pub(crate) fn new(flags: &[Flag], parsed: &Parsed) -> Result<Self, Failure> {
        let mut global = Self::default();
        for (index, value) in &parsed.values {
            let Some(flag) = flags.get(*index) else {
                continue;
            };
            let is_true = flag.kind == Kind::Bool && parse_bool(value).unwrap_or(false);
            match flag.long {
                "version" => global.version = is_true,
                "debug" => global.debug = Some(is_true),
                "root" => global.root = Some(PathBuf::from(value)),
                "config" => global.config = Some(PathBuf::from(value)),
                "context" => global.context = Some(value.clone()).filter(|name| !name.is_empty()),
                "host" => global.hosts.push(value.clone()),
                "registry-mirror" => global.mirrors.push(value.clone()),
                "insecure-registry" => global.insecure.push(value.clone()),
                "log-level" if is_debug_level(value)? => global.debug = Some(true),
                _ => {}
            }
        }
        Ok(global)
    }

    /// What the engine's settings take from flags and environment.
    pub(crate) fn inputs(&self, env: &Environment) -> Inputs {
        let mut inputs = env.inputs();
        if let Some(root) = &self.root {
            inputs.root = Some(Environment::absolute(root));
            inputs.root_is_flag = true;
        }
        if let Some(config) = &self.config {
            inputs.config_dir = Some(config.clone());
        }
        inputs.registry_mirrors.clone_from(&self.mirrors);
        inputs.insecure_registries.clone_from(&self.insecure);
        inputs.debug = self.debug;
        inputs
    }

    /// The settings without daemon.json, for the commands that say what is wrong with it.
    pub(crate) fn without_file(&self, env: &Environment) -> Result<Settings, Failure> {
        let mut inputs = self.inputs(env);
        inputs.config_files = vec![PathBuf::from("/nonexistent")];
        Ok(Settings::resolve(inputs)?)
    }

    /// The folder of the client's configuration.
    pub(crate) fn config_dir(&self, env: &Environment) -> PathBuf {
        self.config.clone().unwrap_or_else(|| env.config_dir())
    }

    /// Refuses what docker refuses before it connects, and warns of a daemon elsewhere.
    pub(crate) fn check_endpoint(
        &self,
        env: &Environment,
        client: &ClientConfig,
        output: &Output,
    ) -> Result<(), Failure> {
        let fail = |reason: String| {
            Err(Failure::new(format!(
                "Failed to initialize: unable to resolve docker endpoint: {reason}"
            )))
        };
        if self.context.is_some() && !self.hosts.is_empty() {
            return Err(Failure::new(
                "conflicting options: cannot specify both --host and --context",
            ));
        }
        if self.hosts.len() > 1 {
            return fail("Specify only one -H".to_owned());
        }
        let context = self.context_name(env, client);
        let host = if context == DEFAULT_CONTEXT {
            let host = self.hosts.first().cloned();
            host.or_else(|| env.host().map(str::to_owned))
        } else {
            match context_host(&self.config_dir(env), &context) {
                Ok(host) => host,
                Err(reason) => return fail(reason),
            }
        };
        let Some(host) = host.filter(|host| !host.is_empty()) else {
            return Ok(());
        };
        match host.split_once("://").map(|(scheme, _)| scheme) {
            Some("unix" | "fd" | "npipe") => {}
            Some("tcp" | "ssh" | "http" | "https") | None => output.err_line(&format!(
                "WARNING: {host} is not used: there is no daemon, and the command works on this machine"
            )),
            Some(_) => return fail(format!("invalid bind address format: {host}")),
        }
        Ok(())
    }

    /// The context in force, by docker's order of precedence.
    fn context_name(&self, env: &Environment, client: &ClientConfig) -> String {
        if let Some(name) = &self.context {
            return name.clone();
        }
        if !self.hosts.is_empty() || env.host().is_some() {
            return DEFAULT_CONTEXT.to_owned();
        }
        let named = env.context().or_else(|| client.text("currentContext"));
        named.unwrap_or(DEFAULT_CONTEXT).to_owned()
    }
}

/// The host of a context; the error is docker's for one that does not exist.
fn context_host(config: &Path, name: &str) -> Result<Option<String>, String> {
    use std::io::Read as _;
    let folder = Digest::sha256(name.as_bytes()).hex().to_owned();
    let path = config.join("contexts/meta").join(folder).join("meta.json");
    let mut text = Vec::new();
    let read =
        std::fs::File::open(&path).and_then(|file| file.take(CONTEXT_LIMIT).read_to_end(&mut text));
    if let Err(error) = read {
        return Err(format!(
            "context {}: context not found: open {}: {}",
            go_quote(name),
            path.display(),
            io_text(&error)
        ));
    }
    let node = json::parse(&text)
        .map_err(|error| format!("context {}: {}", go_quote(name), error.message))?;
    let endpoint = member(&node.value, "Endpoints").and_then(|node| member(node, "docker"));
    Ok(
        match endpoint.and_then(|endpoint| member(endpoint, "Host")) {
            Some(json::Value::Text(host)) => Some(host.clone()),
            _ => None,
        },
    )
}

fn member<'a>(value: &'a json::Value, name: &str) -> Option<&'a json::Value> {
    let json::Value::Object(members) = value else {
        return None;
    };
    let found = members.iter().find(|(key, _)| key == name);
    found.map(|(_, node)| &node.value)
}

/// Whether a level of messages has debug messages in it.
fn is_debug_level(value: &str) -> Result<bool, Failure> {
    const LEVELS: [&str; 9] = [
        "", "panic", "fatal", "error", "warn", "warning", "info", "debug", "trace",
    ];
    let lower = value.to_lowercase();
    if !LEVELS.contains(&lower.as_str()) {
        return Err(Failure::new(format!(
            "Unable to parse logging level: {value}"
        )));
    }
    Ok(matches!(lower.as_str(), "debug" | "trace"))
}

/// Whether a command must work although daemon.json is broken, because it says what is wrong with it.
pub(crate) fn may_lack_settings(path: &str) -> bool {
    path.ends_with(" config check")
}

/// Debug messages on the standard error, in the form that docker's programs have, when they are wanted.
pub(crate) fn trace(settings: &Settings) -> Trace {
    if !settings.debug {
        return Trace::default();
    }
    let trace = Trace::to(|message| {
        let moment = crate::cli::now().strftime("%Y-%m-%dT%H:%M:%S.%3fZ");
        output::debug_line(&format!(
            "time=\"{moment}\" level=debug msg={}\n",
            go_quote(message)
        ));
    });
    trace.say(|| in_force(settings));
    trace
}

/// The settings in force, as the first debug message tells them.
fn in_force(settings: &Settings) -> String {
    let file = match &settings.config_file {
        Some(path) => path.display().to_string(),
        None => "no configuration file".to_owned(),
    };
    format!(
        "store {} ({}), {file}, mirrors [{}] ({})",
        settings.root.display(),
        settings.source("data-root").name(),
        settings.registry_mirrors.join(" "),
        settings.source("registry-mirrors").name(),
    )
}
