//! The process: words, environment, folder, owner, terminal.

use crate::record::Record;
use crate::users::Identity;
use oci_spec::runtime::{BoxBuilder, Spec, User};
use std::collections::BTreeMap;
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
    let path = format!("PATH={DEFAULT_PATH}");
    let host = format!("HOSTNAME={}", record.config.hostname);
    let mut env = Environment::default();
    env.set(&path);
    env.set(&host);
    if record.config.tty {
        env.set("TERM=xterm");
    }
    for pair in record.config.env() {
        env.set(pair);
    }
    let home = format!("HOME={home}");
    if !env.places.contains_key("HOME") {
        env.set(&home);
    }
    env.pairs.into_iter().flatten().map(str::to_owned).collect()
}

/// Variables in their order, found by name: there may be many.
#[derive(Default)]
struct Environment<'a> {
    /// Nothing where one was removed.
    pairs: Vec<Option<&'a str>>,
    places: BTreeMap<&'a str, usize>,
}

impl<'a> Environment<'a> {
    fn set(&mut self, pair: &'a str) {
        let Some((name, _)) = pair.split_once('=') else {
            let removed = self.places.remove(pair);
            if let Some(slot) = removed.and_then(|place| self.pairs.get_mut(place)) {
                *slot = None;
            }
            return;
        };
        match self
            .places
            .get(name)
            .and_then(|place| self.pairs.get_mut(*place))
        {
            Some(slot) => *slot = Some(pair),
            None => {
                self.places.insert(name, self.pairs.len());
                self.pairs.push(Some(pair));
            }
        }
    }
}
