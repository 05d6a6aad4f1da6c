use super::*;
use crate::record::tests::record;
use lapstrake_spec::ContainerConfig;
use oci_spec::runtime::Mount;

#[expect(clippy::unnecessary_wraps, reason = "the fields it fills are options")]
fn words(text: &str) -> Option<Vec<String>> {
    Some(text.split_whitespace().map(str::to_owned).collect())
}

fn root() -> Identity {
    Identity {
        uid: 0,
        gid: 0,
        groups: Vec::new(),
        home: "/root".to_owned(),
    }
}

fn lower(change: impl FnOnce(&mut Record)) -> Spec {
    let mut record = record();
    change(&mut record);
    let inputs = Inputs {
        record: &record,
        home: Path::new("/home-of-it"),
        identity: &root(),
        devices: &[],
    };
    spec(&inputs).unwrap()
}

fn mount_at<'a>(spec: &'a Spec, destination: &str) -> Option<&'a Mount> {
    let mut mounts = spec.mounts().iter().flatten();
    mounts.find(|mount| mount.destination() == Path::new(destination))
}

fn options(spec: &Spec, destination: &str) -> String {
    mount_at(spec, destination)
        .unwrap()
        .options()
        .clone()
        .unwrap_or_default()
        .join(",")
}

#[test]
fn entry_points_and_commands() {
    let image = ContainerConfig {
        entrypoint: words("/entry"),
        cmd: words("default args"),
        ..ContainerConfig::default()
    };
    let bare = ContainerConfig {
        cmd: words("bash"),
        ..ContainerConfig::default()
    };
    type Case<'a> = (
        Option<&'a ContainerConfig>,
        Option<&'a str>,
        Option<&'a str>,
        Option<&'a str>,
    );
    let cases: [Case<'_>; 9] = [
        (Some(&image), None, None, Some("/entry default args")),
        (Some(&image), None, Some("mine"), Some("/entry mine")),
        (Some(&image), Some("/other"), None, Some("/other")),
        (
            Some(&image),
            Some("/other"),
            Some("mine"),
            Some("/other mine"),
        ),
        (Some(&image), Some(""), Some("mine"), Some("mine")),
        (Some(&image), Some(""), None, None),
        (Some(&bare), None, None, Some("bash")),
        (Some(&bare), Some("/e"), None, Some("/e")),
        (None, None, None, None),
    ];
    for (image, entrypoint, cmd, expected) in cases {
        let entrypoint = entrypoint.map(|text| {
            if text.is_empty() {
                vec![String::new()]
            } else {
                words(text).unwrap()
            }
        });
        let request = ContainerConfig {
            entrypoint,
            cmd: cmd.and_then(words),
            ..ContainerConfig::default()
        };
        let label = format!("{:?} {:?}", request.entrypoint, request.cmd);
        let merged = merge(request, image);
        match expected {
            Some(line) => assert_eq!(merged.unwrap().command_line().join(" "), line, "{label}"),
            None => assert_eq!(
                merged.unwrap_err().to_string(),
                "no command specified",
                "{label}"
            ),
        }
    }
}

#[test]
fn the_image_fills_the_gaps() {
    let label = |key: &str, value: &str| Some([(key.to_owned(), value.to_owned())].into());
    let image = ContainerConfig {
        cmd: words("bash"),
        env: words("PATH=/image A=1 B=2"),
        labels: label("k", "image"),
        user: "app".to_owned(),
        working_dir: "/srv".to_owned(),
        stop_signal: "SIGINT".to_owned(),
        volumes: Some(["/data".to_owned()].into()),
        exposed_ports: ["80/tcp".to_owned()].into(),
        ..ContainerConfig::default()
    };
    let request = ContainerConfig {
        env: words("B=mine C=3"),
        labels: label("k", "mine"),
        working_dir: "/tmp".to_owned(),
        ..ContainerConfig::default()
    };
    let merged = merge(request, Some(&image)).unwrap();
    assert_eq!(merged.env, words("B=mine C=3 PATH=/image A=1"));
    assert_eq!(merged.labels, label("k", "mine"));
    assert_eq!(
        (merged.user.as_str(), merged.working_dir.as_str()),
        ("app", "/tmp")
    );
    assert_eq!(merged.stop_signal, "SIGINT");
    assert_eq!(merged.volumes, image.volumes);
    assert_eq!(merged.exposed_ports, image.exposed_ports);
}

#[test]
fn environments() {
    let path = format!("PATH={DEFAULT_PATH}");
    let of = |tty: bool, env: &str| {
        let mut record = record();
        record.config.tty = tty;
        record.config.env = words(env);
        environment(&record, "/root")
    };
    assert_eq!(
        of(false, ""),
        [path.as_str(), "HOSTNAME=0123456789ab", "HOME=/root"]
    );
    assert_eq!(
        of(true, "TERM=vt100 X=1 PATH=/bin"),
        [
            "PATH=/bin",
            "HOSTNAME=0123456789ab",
            "TERM=vt100",
            "X=1",
            "HOME=/root"
        ]
    );
    assert_eq!(
        of(true, "TERM HOME=/h X="),
        [path.as_str(), "HOSTNAME=0123456789ab", "HOME=/h", "X="]
    );
}

#[test]
fn the_process() {
    let spec = lower(|record| {
        record.config.working_dir = "/srv".to_owned();
        record.config.tty = true;
        record.host_config.console_size = [24, 80];
    });
    let process = spec.process().as_ref().unwrap();
    assert_eq!(process.args(), &words("/bin/sh -c true"));
    assert_eq!(process.cwd(), Path::new("/srv"));
    assert_eq!(process.terminal(), Some(true));
    assert_eq!(
        process
            .console_size()
            .map(|size| (size.height(), size.width())),
        Some((24, 80))
    );
    assert_eq!(spec.hostname().as_deref(), Some("0123456789ab"));
    let plain = lower(|_| ());
    assert_eq!(plain.process().as_ref().unwrap().cwd(), Path::new("/"));
}

#[test]
fn mounts_of_files_binds_and_tmpfs() {
    let spec = lower(|record| {
        record.host_config.binds =
            words("/h/a/b:/x/deep/er /h:/x:ro /etc/hosts:/etc/hosts /h/c:/dev/shm:rshared");
        record.host_config.mounts = vec![crate::MountRequest {
            kind: crate::MountKind::Tmpfs,
            target: "/memory:here".to_owned(),
            read_only: true,
            ..crate::MountRequest::default()
        }];
        record.mounts = crate::volumes::plan(
            &ContainerConfig::default(),
            &record.host_config,
            Path::new("/volumes"),
            || unreachable!("no anonymous volume"),
        )
        .unwrap();
        record.host_config.tmpfs = [("/run".to_owned(), "size=1m,exec".to_owned())].into();
    });
    assert_eq!(options(&spec, "/etc/hostname"), "rbind,rprivate,rw");
    assert_eq!(
        mount_at(&spec, "/etc/resolv.conf")
            .unwrap()
            .source()
            .as_deref(),
        Some(Path::new("/home-of-it/resolv.conf"))
    );
    assert_eq!(options(&spec, "/x"), "rbind,rprivate,ro");
    assert_eq!(options(&spec, "/memory:here"), "noexec,nosuid,nodev,ro");
    assert_eq!(options(&spec, "/run"), "nosuid,nodev,size=1m,exec");
    let all: Vec<&Mount> = spec.mounts().iter().flatten().collect();
    let position = |destination: &str| {
        all.iter()
            .position(|mount| mount.destination() == Path::new(destination))
            .unwrap()
    };
    assert!(position("/x") < position("/x/deep/er"));
    assert!(position("/dev") < position("/dev/shm"));
    for destination in ["/etc/hosts", "/dev/shm"] {
        let times = all
            .iter()
            .filter(|m| m.destination() == Path::new(destination))
            .count();
        assert_eq!(times, 1, "{destination}");
    }
    assert_eq!(
        mount_at(&spec, "/etc/hosts").unwrap().source().as_deref(),
        Some(Path::new("/etc/hosts"))
    );
    assert_eq!(
        spec.linux()
            .as_ref()
            .unwrap()
            .rootfs_propagation()
            .as_deref(),
        Some("shared")
    );
}

#[test]
fn read_only_roots_have_read_only_files() {
    let spec = lower(|record| {
        record.host_config.readonly_rootfs = true;
        record.host_config.shm_size = 1234;
    });
    assert_eq!(spec.root().as_ref().unwrap().readonly(), Some(true));
    assert_eq!(options(&spec, "/etc/hosts"), "rbind,rprivate,ro");
    assert!(options(&spec, "/dev/shm").ends_with("size=1234"));
}

#[test]
fn namespaces_follow_the_modes() {
    let kinds = |change: fn(&mut HostConfig)| -> Vec<LinuxNamespaceType> {
        let spec = lower(|record| change(&mut record.host_config));
        let linux = spec.linux().as_ref().unwrap();
        linux
            .namespaces()
            .iter()
            .flatten()
            .map(oci_spec::runtime::LinuxNamespace::typ)
            .collect()
    };
    assert!(kinds(|_| ()).contains(&LinuxNamespaceType::Network));
    let host = kinds(|host| "host".clone_into(&mut host.network_mode));
    assert!(!host.contains(&LinuxNamespaceType::Network));
    assert!(host.contains(&LinuxNamespaceType::Pid));
    assert!(
        !kinds(|host| "host".clone_into(&mut host.pid_mode)).contains(&LinuxNamespaceType::Pid)
    );
    let spec = lower(|record| "host".clone_into(&mut record.host_config.network_mode));
    let sysctls = spec
        .linux()
        .as_ref()
        .unwrap()
        .sysctl()
        .clone()
        .unwrap_or_default();
    assert!(!sysctls.keys().any(|name| name.starts_with("net.")));
}

fn capabilities(change: impl FnOnce(&mut HostConfig)) -> Vec<String> {
    let spec = lower(|record| change(&mut record.host_config));
    let process = spec.process().as_ref().unwrap();
    let set = process
        .capabilities()
        .as_ref()
        .unwrap()
        .bounding()
        .clone()
        .unwrap_or_default();
    let mut names: Vec<String> = set.iter().map(ToString::to_string).collect();
    names.sort();
    names
}

#[test]
fn capabilities_are_added_and_dropped_as_docker_does() {
    assert_eq!(capabilities(|_| ()).len(), 14);
    assert_eq!(capabilities(|host| host.cap_drop = words("all")).len(), 0);
    let two = capabilities(|host| {
        host.cap_drop = words("ALL");
        host.cap_add = words("net_admin CAP_CHOWN");
    });
    assert_eq!(two.len(), 2);
    assert_eq!(
        capabilities(|host| host.cap_add = words("SYS_TIME")).len(),
        15
    );
    assert_eq!(
        capabilities(|host| host.cap_drop = words("CHOWN")).len(),
        13
    );
    let all = capabilities(|host| host.cap_add = words("ALL")).len();
    assert!(all > 35);
    let but_one = capabilities(|host| {
        host.cap_add = words("ALL");
        host.cap_drop = words("SYS_ADMIN");
    });
    assert_eq!(but_one.len(), all - 1);
    assert_eq!(capabilities(|host| host.privileged = true).len(), all);
}

#[test]
fn security_options() {
    let seccomp = |option: &str| {
        let spec = lower(|record| record.host_config.security_opt = words(option));
        spec.linux().as_ref().unwrap().seccomp().is_some()
    };
    assert!(seccomp("label=disable"));
    assert!(!seccomp("seccomp=unconfined"));
    assert!(seccomp("seccomp={\"defaultAction\":\"SCMP_ACT_ALLOW\"}"));
    let spec = lower(|record| {
        record.host_config.security_opt = words("no-new-privileges systempaths=unconfined");
    });
    assert_eq!(
        spec.process().as_ref().unwrap().no_new_privileges(),
        Some(true)
    );
    assert_eq!(spec.linux().as_ref().unwrap().masked_paths(), &None);
    let plain = lower(|_| ());
    assert_ne!(
        plain.process().as_ref().unwrap().no_new_privileges(),
        Some(true)
    );
}

#[test]
fn limits_only_where_asked() {
    let plain = lower(|_| ());
    let resources = plain
        .linux()
        .as_ref()
        .unwrap()
        .resources()
        .clone()
        .unwrap_or_default();
    assert!(
        resources.memory().is_none() && resources.cpu().is_none() && resources.pids().is_none()
    );
    let spec = lower(|record| {
        let host = &mut record.host_config;
        host.memory = 64 << 20;
        host.nano_cpus = 1_500_000_000;
        host.pids_limit = Some(100);
        host.ulimits = Some(vec![crate::Ulimit {
            name: "nofile".to_owned(),
            soft: 10,
            hard: -1,
        }]);
    });
    let resources = spec.linux().as_ref().unwrap().resources().clone().unwrap();
    let memory = resources.memory().unwrap();
    assert_eq!(
        (memory.limit(), memory.swap()),
        (Some(64 << 20), Some(128 << 20))
    );
    let cpu = resources.cpu().clone().unwrap();
    assert_eq!((cpu.period(), cpu.quota()), (Some(100_000), Some(150_000)));
    let limits = spec.process().as_ref().unwrap().rlimits().clone().unwrap();
    assert_eq!((limits[0].soft(), limits[0].hard()), (10, u64::MAX));
}

#[test]
fn bad_requests_are_found_at_creation() {
    let found = |change: fn(&mut HostConfig)| {
        let mut host = HostConfig::default();
        change(&mut host);
        check(&host).unwrap_err().to_string()
    };
    assert_eq!(
        found(|h| h.cap_add = words("foo")),
        "invalid CapAdd: unknown capability: \"CAP_FOO\""
    );
    assert_eq!(
        found(|h| h.memory = 5),
        "Minimum memory limit allowed is 6MB"
    );
    assert_eq!(
        found(|h| "nope".clone_into(&mut h.network_mode)),
        "network nope not found"
    );
    assert_eq!(
        found(|h| h.security_opt = words("bad=1")),
        "invalid --security-opt 2: \"bad=1\""
    );
    assert!(
        found(|h| h.security_opt = words("seccomp={"))
            .starts_with("Decoding seccomp profile failed")
    );
    assert!(check(&HostConfig::default()).is_ok());
}

#[test]
fn the_group_is_the_containers_own_below_the_parent() {
    let path = |parent: &str| {
        let spec = lower(|record| parent.clone_into(&mut record.host_config.cgroup_parent));
        let path = spec.linux().as_ref().unwrap().cgroups_path().clone();
        path.map(|path| path.display().to_string())
    };
    let id = record().id;
    assert_eq!(path(""), None);
    assert_eq!(path("system.slice"), Some(format!("system.slice/{id}")));
    assert_eq!(path("/"), Some(format!("/{id}")));
}

#[test]
fn kernel_settings_of_the_host_are_refused() {
    let checked = |name: &str, network: &str, ipc: &str| {
        let host = HostConfig {
            sysctls: [(name.to_owned(), "1".to_owned())].into(),
            network_mode: network.to_owned(),
            ipc_mode: ipc.to_owned(),
            ..HostConfig::default()
        };
        check(&host).err().map(|error| error.to_string())
    };
    for name in ["net.ipv4.ip_forward", "kernel.shmmax", "fs.mqueue.msg_max"] {
        assert_eq!(checked(name, "none", "private"), None, "{name}");
    }
    let cases = [
        (
            "net/ipv4/ip_forward",
            "sysctl \"net/ipv4/ip_forward\" not allowed in host network namespace",
        ),
        (
            "kernel.shmmax",
            "sysctl \"kernel.shmmax\" is not allowed in the hosts ipc namespace",
        ),
        (
            "kernel.core_pattern",
            "sysctl \"kernel.core_pattern\" is not in a separate kernel namespace",
        ),
    ];
    for (name, expected) in cases {
        assert_eq!(checked(name, "host", "host").as_deref(), Some(expected));
    }
}

/// As long as it takes to look at each variable once: each of these is quadratic when done naively.
#[test]
fn many_variables_are_no_burden() {
    let count = 200_000;
    let many: Vec<String> = (0..count).map(|number| format!("V{number}=1")).collect();
    let mut record = record();
    let again = many.iter().cloned();
    record.config.env = Some(again.chain(many.iter().cloned()).collect());
    assert_eq!(environment(&record, "/").len(), count + 3);
    let image = ContainerConfig {
        env: Some(many.clone()),
        ..ContainerConfig::default()
    };
    let request = ContainerConfig {
        env: Some(many.clone()),
        cmd: Some(vec!["x".to_owned()]),
        ..ContainerConfig::default()
    };
    assert_eq!(merge(request, Some(&image)).unwrap().env(), many);
}
