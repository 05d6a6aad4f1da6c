//! What docker has and this program has not: flags and commands that are refused with the reason, in place
//! of "unknown".

/// Flags of some commands that are absent for one reason.
struct Absent {
    commands: &'static [&'static str],
    /// Names; behind a slash the letter.
    flags: &'static [&'static str],
    why: &'static str,
    instead: &'static str,
}

const CONTAINERS: &[&str] = &["run", "create"];

static FLAGS: [Absent; 12] = [
    Absent {
        commands: CONTAINERS,
        flags: &["publish/p", "publish-all/P"],
        why: "ports are not published",
        instead: "`--network host` shares the network of this machine",
    },
    Absent {
        commands: CONTAINERS,
        flags: &[
            "ip",
            "ip6",
            "link-local-ip",
            "mac-address",
            "network-alias",
            "link",
        ],
        why: "a container on the bridge gets its address by itself, and names are not resolved there",
        instead: "`--network host` shares the network of this machine",
    },
    Absent {
        commands: CONTAINERS,
        flags: &["volumes-from", "volume-driver"],
        why: "volumes are folders of the store",
        instead: "use `--volume NAME:TARGET` for each",
    },
    Absent {
        commands: CONTAINERS,
        flags: &["log-opt"],
        why: "logs have no options",
        instead: "`--log-driver none` keeps none",
    },
    Absent {
        commands: CONTAINERS,
        flags: &["gpus"],
        why: "devices are not looked for",
        instead: "name each with `--device`",
    },
    Absent {
        commands: CONTAINERS,
        flags: &[
            "blkio-weight-device",
            "cpu-rt-period",
            "cpu-rt-runtime",
            "device-cgroup-rule",
            "device-read-bps",
            "device-read-iops",
            "device-write-bps",
            "device-write-iops",
            "kernel-memory",
            "memory-swappiness",
        ],
        why: "this limit is not there",
        instead: "",
    },
    Absent {
        commands: CONTAINERS,
        flags: &["annotation"],
        why: "annotations are not handed on",
        instead: "use `--label`",
    },
    Absent {
        commands: CONTAINERS,
        flags: &["storage-opt", "use-api-socket"],
        why: "there is no daemon",
        instead: "",
    },
    Absent {
        commands: CONTAINERS,
        flags: &[
            "cpu-count",
            "cpu-percent",
            "io-maxbandwidth",
            "io-maxiops",
            "isolation",
        ],
        why: "it is for containers of Windows",
        instead: "",
    },
    Absent {
        commands: &["start"],
        flags: &["checkpoint", "checkpoint-dir"],
        why: "containers have no checkpoints",
        instead: "",
    },
    Absent {
        commands: &["rm"],
        flags: &["link/l"],
        why: "containers have no links",
        instead: "",
    },
    Absent {
        commands: &["builder prune"],
        flags: &["min-free-space"],
        why: "free space is not looked at",
        instead: "use `--max-used-space`",
    },
];

/// Commands, by the group that docker has them in.
const COMMANDS: [(&str, &[&str]); 5] = [
    (
        "",
        &[
            "attach",
            "bake",
            "checkpoint",
            "context",
            "cp",
            "diff",
            "events",
            "exec",
            "manifest",
            "network",
            "node",
            "plugin",
            "port",
            "rename",
            "restart",
            "secret",
            "service",
            "stack",
            "stats",
            "swarm",
            "top",
            "update",
        ],
    ),
    ("buildx", &["bake", "dial-stdio", "history", "imagetools"]),
    (
        "container",
        &[
            "attach", "cp", "diff", "exec", "port", "rename", "restart", "stats", "top", "update",
        ],
    ),
    ("system", &["dial-stdio", "events"]),
    ("volume", &["create", "inspect", "ls", "rm", "update"]),
];

/// Why a flag is refused, and what to do; none when docker has none of this name either.
pub(crate) fn flag(names: &[&str], unknown: &str) -> Option<(String, Option<String>)> {
    let mut found = FLAGS
        .iter()
        .filter(|absent| {
            absent
                .commands
                .iter()
                .any(|command| names.contains(command))
        })
        .flat_map(|absent| absent.flags.iter().map(move |flag| (absent, *flag)));
    let (absent, flag) = found.find(|(_, flag)| {
        let (long, short) = flag.split_once('/').unwrap_or((flag, ""));
        long == unknown || (!short.is_empty() && short == unknown)
    })?;
    let long = flag.split('/').next().unwrap_or(flag);
    let hint = (!absent.instead.is_empty()).then(|| absent.instead.to_owned());
    Some((format!("--{long} is not supported: {}", absent.why), hint))
}

/// Whether docker has this command in this group.
pub(crate) fn is_command(group: &str, word: &str) -> bool {
    COMMANDS
        .iter()
        .any(|(name, words)| *name == group && words.contains(&word))
}

/// What to say about such a command.
pub(crate) fn hint(program: &str) -> String {
    format!("docker has this command, Lapstrake has not: see `{program} help coming-from-docker`")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::{Flag, Node, shown_default};
    use crate::commands::{Cmd, ROOT};
    use std::collections::BTreeSet;

    /// Recorded from docker.
    const RECORDED: &str = include_str!("docker-flags.txt");

    fn command(path: &str) -> &'static Cmd {
        let mut node = Node::Group(&ROOT);
        for word in path.split(' ') {
            let Node::Group(group) = node else {
                panic!("{path}")
            };
            node = group.find(word).unwrap_or_else(|| panic!("no {path}")).node;
        }
        match node {
            Node::Leaf(command) => command,
            Node::Group(_) => panic!("{path} is a group"),
        }
    }

    fn shape(flag: &Flag) -> String {
        let or_dash = |text: String| {
            if text.is_empty() {
                "-".to_owned()
            } else {
                text
            }
        };
        format!(
            "{} {} {} {}",
            flag.long,
            or_dash(flag.short.map_or_else(String::new, String::from)),
            or_dash(flag.value_name.to_owned()),
            or_dash(shown_default(flag)),
        )
    }

    #[test]
    fn flags_are_docker_s() {
        let mut path = "";
        let mut wrong = Vec::new();
        for line in RECORDED.lines().filter(|line| !line.starts_with('#')) {
            if let Some(name) = line.strip_prefix("= ") {
                path = name;
                continue;
            }
            let long = line.split(' ').next().unwrap();
            let flags = command(path).flags;
            let found = flags.iter().find(|flag| flag.long == long && !flag.hidden);
            let fits = match found {
                Some(flag) => shape(flag) == line,
                None => super::flag(&[path], long).is_some(),
            };
            if !fits {
                wrong.push(format!("{path}: {line} != {:?}", found.map(shape)));
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }

    #[test]
    fn nothing_is_both_there_and_absent() {
        let mut seen = BTreeSet::new();
        for absent in &FLAGS {
            for path in absent.commands {
                for flag in absent.flags {
                    let long = flag.split('/').next().unwrap();
                    assert!(seen.insert((path, long)), "{path} --{long} twice");
                    let there = command(path).flags.iter().any(|flag| flag.long == long);
                    assert!(!there, "{path} has --{long}");
                }
            }
        }
        for (group, words) in COMMANDS {
            let entries = match group {
                "" => &ROOT,
                name => match ROOT.find(name).unwrap().node {
                    Node::Group(group) => group,
                    Node::Leaf(_) => panic!("{name}"),
                },
            };
            for word in words {
                assert!(entries.find(word).is_none(), "{group} {word} exists");
            }
        }
    }
}
