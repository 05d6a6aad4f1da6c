//! How a container runs: docker's `Config`, in images and in containers.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::lenient::{null_default, optional_set, set, string_or_list};

/// Docker's container configuration, a superset of OCI's.
///
/// Fields are declared in the order in which docker writes them. Where docker writes `null` for
/// "never set" and `[]` or `{}` for "set to nothing" the field is an `Option`; where it leaves
/// nothing out of the document, so does this.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ContainerConfig {
    /// Host name.
    #[serde(deserialize_with = "null_default")]
    pub hostname: String,
    /// Domain name.
    #[serde(deserialize_with = "null_default")]
    pub domainname: String,
    /// User to run as: `name`, `uid`, `name:group`, …
    #[serde(deserialize_with = "null_default")]
    pub user: String,
    /// Attach to standard input.
    #[serde(deserialize_with = "null_default")]
    pub attach_stdin: bool,
    /// Attach to standard output.
    #[serde(deserialize_with = "null_default")]
    pub attach_stdout: bool,
    /// Attach to standard error.
    #[serde(deserialize_with = "null_default")]
    pub attach_stderr: bool,
    /// Ports, as `80/tcp`. JSON has an object with empty members.
    #[serde(with = "set", skip_serializing_if = "BTreeSet::is_empty")]
    pub exposed_ports: BTreeSet<String>,
    /// Give the process a terminal.
    #[serde(deserialize_with = "null_default")]
    pub tty: bool,
    /// Keep standard input open.
    #[serde(deserialize_with = "null_default")]
    pub open_stdin: bool,
    /// Close standard input after the first attached client has gone.
    #[serde(deserialize_with = "null_default")]
    pub stdin_once: bool,
    /// Environment, as `NAME=value`.
    pub env: Option<Vec<String>>,
    /// Default command, or arguments of the entry point.
    #[serde(deserialize_with = "string_or_list")]
    pub cmd: Option<Vec<String>>,
    /// How to find out whether the container is well.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub healthcheck: Option<Healthcheck>,
    /// The command is already escaped (Windows).
    #[serde(deserialize_with = "null_default", skip_serializing_if = "is_false")]
    pub args_escaped: bool,
    /// Name of the image as typed by whoever made the container.
    #[serde(deserialize_with = "null_default")]
    pub image: String,
    /// Paths of volumes. JSON has an object with empty members.
    #[serde(with = "optional_set")]
    pub volumes: Option<BTreeSet<String>>,
    /// Directory to run in.
    #[serde(deserialize_with = "null_default")]
    pub working_dir: String,
    /// Entry point.
    #[serde(deserialize_with = "string_or_list")]
    pub entrypoint: Option<Vec<String>>,
    /// No network at all.
    #[serde(deserialize_with = "null_default", skip_serializing_if = "is_false")]
    pub network_disabled: bool,
    /// Hardware address.
    #[serde(
        deserialize_with = "null_default",
        skip_serializing_if = "String::is_empty"
    )]
    pub mac_address: String,
    /// Instructions for builds that start from the image.
    pub on_build: Option<Vec<String>>,
    /// Labels.
    pub labels: Option<BTreeMap<String, String>>,
    /// Signal that asks the container to stop: name or number.
    #[serde(
        deserialize_with = "null_default",
        skip_serializing_if = "String::is_empty"
    )]
    pub stop_signal: String,
    /// Seconds to wait for it to stop.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stop_timeout: Option<i64>,
    /// Shell of the shell forms of instructions.
    #[serde(
        deserialize_with = "string_or_list",
        skip_serializing_if = "is_none_or_empty"
    )]
    pub shell: Option<Vec<String>>,
}

/// A health check.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Healthcheck {
    /// `["NONE"]`, `["CMD", …]` or `["CMD-SHELL", text]`; empty inherits.
    #[serde(
        deserialize_with = "null_default",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub test: Vec<String>,
    /// Nanoseconds between checks; 0 inherits.
    #[serde(deserialize_with = "null_default", skip_serializing_if = "is_zero")]
    pub interval: i64,
    /// Nanoseconds after which a check has failed.
    #[serde(deserialize_with = "null_default", skip_serializing_if = "is_zero")]
    pub timeout: i64,
    /// Nanoseconds at the start during which failures do not count.
    #[serde(deserialize_with = "null_default", skip_serializing_if = "is_zero")]
    pub start_period: i64,
    /// Nanoseconds between checks during that time.
    #[serde(deserialize_with = "null_default", skip_serializing_if = "is_zero")]
    pub start_interval: i64,
    /// Failures in a row that make the container unhealthy.
    #[serde(deserialize_with = "null_default", skip_serializing_if = "is_zero")]
    pub retries: i64,
}

/// The part of a [`ContainerConfig`] that newer docker shows for an image: what is not set is left
/// out, in OCI's order with docker's own members last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct ImageRunConfig<'a> {
    /// See [`ContainerConfig::user`].
    #[serde(skip_serializing_if = "str::is_empty")]
    pub user: &'a str,
    /// See [`ContainerConfig::exposed_ports`].
    #[serde(
        serialize_with = "set::serialize",
        skip_serializing_if = "BTreeSet::is_empty"
    )]
    pub exposed_ports: &'a BTreeSet<String>,
    /// See [`ContainerConfig::env`].
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub env: &'a [String],
    /// See [`ContainerConfig::entrypoint`].
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub entrypoint: &'a [String],
    /// See [`ContainerConfig::cmd`].
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub cmd: &'a [String],
    /// See [`ContainerConfig::volumes`].
    #[serde(
        serialize_with = "set::serialize",
        skip_serializing_if = "BTreeSet::is_empty"
    )]
    pub volumes: &'a BTreeSet<String>,
    /// See [`ContainerConfig::working_dir`].
    #[serde(skip_serializing_if = "str::is_empty")]
    pub working_dir: &'a str,
    /// See [`ContainerConfig::labels`].
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: &'a BTreeMap<String, String>,
    /// See [`ContainerConfig::stop_signal`].
    #[serde(skip_serializing_if = "str::is_empty")]
    pub stop_signal: &'a str,
    /// See [`ContainerConfig::args_escaped`].
    #[serde(skip_serializing_if = "is_false")]
    pub args_escaped: bool,
    /// See [`ContainerConfig::healthcheck`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub healthcheck: Option<&'a Healthcheck>,
    /// See [`ContainerConfig::on_build`].
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub on_build: &'a [String],
    /// See [`ContainerConfig::shell`].
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub shell: &'a [String],
}

static NO_VOLUMES: BTreeSet<String> = BTreeSet::new();
static NO_LABELS: BTreeMap<String, String> = BTreeMap::new();

impl ContainerConfig {
    /// The environment, empty when it was never set.
    pub fn env(&self) -> &[String] {
        self.env.as_deref().unwrap_or_default()
    }

    /// The value of an environment variable; the last one of that name.
    pub fn env_value(&self, name: &str) -> Option<&str> {
        let pairs = self.env().iter().rev();
        pairs
            .filter_map(|pair| pair.split_once('='))
            .find(|(n, _)| *n == name)
            .map(|(_, v)| v)
    }

    /// Sets an environment variable, in its old place when there is one.
    pub fn set_env(&mut self, name: &str, value: &str) {
        let pair = format!("{name}={value}");
        let env = self.env.get_or_insert_default();
        let old = env
            .iter_mut()
            .find(|old| old.split_once('=').map_or(old.as_str(), |o| o.0) == name);
        match old {
            Some(old) => *old = pair,
            None => env.push(pair),
        }
    }

    /// The command, empty when it was never set.
    pub fn cmd(&self) -> &[String] {
        self.cmd.as_deref().unwrap_or_default()
    }

    /// The entry point, empty when it was never set.
    pub fn entrypoint(&self) -> &[String] {
        self.entrypoint.as_deref().unwrap_or_default()
    }

    /// What a container runs by default: entry point, then command.
    pub fn command_line(&self) -> Vec<String> {
        [self.entrypoint(), self.cmd()].concat()
    }

    /// The form in which newer docker shows an image's configuration.
    pub fn image_run_config(&self) -> ImageRunConfig<'_> {
        ImageRunConfig {
            user: &self.user,
            exposed_ports: &self.exposed_ports,
            env: self.env(),
            entrypoint: self.entrypoint(),
            cmd: self.cmd(),
            volumes: self.volumes.as_ref().unwrap_or(&NO_VOLUMES),
            working_dir: &self.working_dir,
            labels: self.labels.as_ref().unwrap_or(&NO_LABELS),
            stop_signal: &self.stop_signal,
            args_escaped: self.args_escaped,
            healthcheck: self.healthcheck.as_ref(),
            on_build: self.on_build.as_deref().unwrap_or_default(),
            shell: self.shell.as_deref().unwrap_or_default(),
        }
    }
}

// `skip_serializing_if` hands over a reference.
#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "the signature is serde's"
)]
fn is_false(value: &bool) -> bool {
    !*value
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "the signature is serde's"
)]
fn is_zero(value: &i64) -> bool {
    *value == 0
}

#[expect(clippy::ref_option, reason = "the signature is serde's")]
fn is_none_or_empty(list: &Option<Vec<String>>) -> bool {
    list.as_ref().is_none_or(Vec::is_empty)
}

#[cfg(test)]
mod tests;
