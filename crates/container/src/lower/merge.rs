//! What the request leaves open, the image decides.

use crate::error::{Error, Result};
use lapstrake_spec::ContainerConfig;
use std::collections::BTreeSet;

/// The request merged with the image's configuration, by docker's rules: an entry point of the request makes
/// the image's command void, an entry point of one empty word is no entry point, the image's environment
/// and labels fill the gaps.
pub fn merge(request: ContainerConfig, image: Option<&ContainerConfig>) -> Result<ContainerConfig> {
    let mut config = request;
    if let Some(image) = image {
        merge_command(&mut config, image);
        merge_environment(&mut config, image);
        merge_rest(&mut config, image);
    }
    if config.entrypoint().iter().all(String::is_empty) && config.entrypoint().len() <= 1 {
        config.entrypoint = None;
    }
    if config.command_line().is_empty() {
        return Err(Error::NoCommand);
    }
    Ok(config)
}

fn merge_command(config: &mut ContainerConfig, image: &ContainerConfig) {
    if !config.entrypoint().is_empty() {
        return;
    }
    if config.cmd().is_empty() {
        config.cmd.clone_from(&image.cmd);
        config.args_escaped = image.args_escaped;
    }
    if config.entrypoint.is_none() {
        config.entrypoint.clone_from(&image.entrypoint);
    }
}

fn merge_environment(config: &mut ContainerConfig, image: &ContainerConfig) {
    let mut env = config.env.take().unwrap_or_default();
    let own: BTreeSet<&str> = env.iter().map(|pair| name_of(pair)).collect();
    let others = image.env().iter();
    let others: Vec<String> = others
        .filter(|pair| !own.contains(name_of(pair)))
        .cloned()
        .collect();
    env.extend(others);
    config.env = Some(env);
}

fn name_of(pair: &str) -> &str {
    pair.split_once('=').map_or(pair, |(name, _)| name)
}

fn merge_rest(config: &mut ContainerConfig, image: &ContainerConfig) {
    config
        .exposed_ports
        .extend(image.exposed_ports.iter().cloned());
    if let Some(volumes) = &image.volumes {
        config
            .volumes
            .get_or_insert_default()
            .extend(volumes.iter().cloned());
    }
    let labels = config.labels.get_or_insert_default();
    for (key, value) in image.labels.iter().flatten() {
        labels.entry(key.clone()).or_insert_with(|| value.clone());
    }
    if config.user.is_empty() {
        config.user.clone_from(&image.user);
    }
    if config.working_dir.is_empty() {
        config.working_dir.clone_from(&image.working_dir);
    }
    if config.stop_signal.is_empty() {
        config.stop_signal.clone_from(&image.stop_signal);
    }
    if config.stop_timeout.is_none() {
        config.stop_timeout = image.stop_timeout;
    }
    if config.healthcheck.is_none() {
        config.healthcheck.clone_from(&image.healthcheck);
    }
    if config.shell.is_none() {
        config.shell.clone_from(&image.shell);
    }
}
