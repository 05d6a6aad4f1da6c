//! The process: words, environment, folder, owner, terminal.

use crate::record::Record;
use crate::users::Identity;
use oci_spec::runtime::{BoxBuilder, Spec, User};
use std::path::PathBuf;

/// Where programs are looked for when nobody says.
pub const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

pub(super) fn apply(spec: &mut Spec, record: &Record, identity: &Identity) {
    let config = &record.config;
    let mut process = spec.process().clone().unwrap_or_default();
    let words = std::iter::once(&record.path)
        .chain(&record.args)
        .cloned()
        .collect();
    let folder = if config.working_dir.is_empty() {
        "/"
    } else {
        &config.working_dir
    };
    let mut user = User::default();
    user.set_uid(identity.uid).set_gid(identity.gid);
    user.set_additional_gids(Some(groups(identity)));
    process
        .set_args(Some(words))
        .set_env(Some(environment(record, &identity.home)))
        .set_cwd(PathBuf::from(folder))
        .set_user(user)
        .set_terminal(Some(config.tty));
    let [rows, columns] = record.host_config.console_size;
    if config.tty && rows > 0 && columns > 0 {
        let size = BoxBuilder::default()
            .height(u64::from(rows))
            .width(u64::from(columns))
            .build();
        process.set_console_size(size.ok());
    }
    if record.host_config.oom_score_adj != 0 {
        process.set_oom_score_adj(Some(record.host_config.oom_score_adj));
    }
    spec.set_process(Some(process));
}

/// The supplementary groups, the user's own among them: without it a process that changes its group would
/// escape what a file's mode denies to that group.
fn groups(identity: &Identity) -> Vec<u32> {
    let others = identity.groups.iter().filter(|gid| **gid != identity.gid);
    std::iter::once(identity.gid)
        .chain(others.copied())
        .collect()
}

/// The environment of the container's process: docker's own variables, each replaced in its place or removed
/// (a name without a value) by the container's configuration.
pub fn environment(record: &Record, home: &str) -> Vec<String> {
    let mut env = vec![
        format!("PATH={DEFAULT_PATH}"),
        format!("HOSTNAME={}", record.config.hostname),
    ];
    if record.config.tty {
        env.push("TERM=xterm".to_owned());
    }
    for pair in record.config.env() {
        set(&mut env, pair);
    }
    if !env.iter().any(|have| have.starts_with("HOME=")) {
        env.push(format!("HOME={home}"));
    }
    env
}

fn set(env: &mut Vec<String>, pair: &str) {
    let Some((name, _)) = pair.split_once('=') else {
        env.retain(|have| have.split_once('=').is_none_or(|(name, _)| name != pair));
        return;
    };
    let same = |have: &&mut String| have.split_once('=').is_some_and(|(own, _)| own == name);
    match env.iter_mut().find(same) {
        Some(have) => pair.clone_into(have),
        None => env.push(pair.to_owned()),
    }
}
