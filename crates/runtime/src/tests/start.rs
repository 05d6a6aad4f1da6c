use std::time::{Duration, Instant};

use super::*;
use crate::StartErrorKind;
use crate::defaults::mount;

#[test]
fn privileged_command_has_its_own_world() {
    staged("tests::start::privileged_command_has_its_own_world", || {
        let out = shell_ok(
            "world",
            "hostname; echo $$; pwd; id -u; echo $HOME; umask; \
             grep -E '^(CapInh|CapEff|CapBnd|CapAmb|Seccomp|NoNewPrivs):' /proc/self/status; \
             ls /proc/self/fd | wc -l; ls /sys/class/net; ip a show lo | grep -c LOOPBACK,UP; \
             cat /proc/sys/net/ipv4/ip_unprivileged_port_start",
        );
        let expected = "box\n1\n/\n0\n/root\n0022\nCapInh:\t0000000000000000\n\
                        CapEff:\t00000000a80425fb\nCapBnd:\t00000000a80425fb\n\
                        CapAmb:\t0000000000000000\nNoNewPrivs:\t0\nSeccomp:\t2\n4\nlo\n1\n0\n";
        assert_eq!(out, expected);
    });
}

#[test]
fn privileged_exit_codes_are_the_commands_own() {
    staged(
        "tests::start::privileged_exit_codes_are_the_commands_own",
        || {
            assert_eq!(
                shell("seven", "exit 7", |_, _| ()).exit,
                Exit {
                    code: 7,
                    signal: None
                }
            );
            let killed = shell("killed", "(exec kill -9 $$)", |launch, _| {
                launch.init = true;
            });
            assert_eq!(
                killed.exit,
                Exit {
                    code: 137,
                    signal: None
                }
            );
        },
    );
}

#[test]
fn privileged_signals_end_the_first_process() {
    staged(
        "tests::start::privileged_signals_end_the_first_process",
        || {
            for init in [false, true] {
                let scratch = Scratch::new("signal");
                let overlay = busybox(&scratch, 1);
                let script = "trap 'exit 9' TERM; echo up; while :; do sleep 0.01; done";
                let mut launch = launch_of("signal", spec_of(&["/bin/sh", "-c", script]), &overlay);
                launch.init = init;
                let running = start(&launch).expect("starts");
                await_line(&running, "up\n");
                running.signal(15).expect("sent");
                assert_eq!(running.wait().expect("ends").code, 9);
                // Sent once more it says so.
                assert!(running.signal(15).is_err());

                let launch = launch_of("signal", spec_of(&["/bin/sleep", "100"]), &overlay);
                let running = start(&launch).expect("starts");
                assert_eq!(running.try_wait().expect("can be asked"), None);
                running.kill_all().expect("killed");
                assert_eq!(
                    running.wait().expect("ends"),
                    Exit {
                        code: 137,
                        signal: Some(9)
                    }
                );
            }
        },
    );
}

/// Reads standard output until it has said this.
fn await_line(running: &Running, line: &str) {
    let ChildStdio::Pipes { stdout, .. } = &running.stdio else {
        panic!("pipes were asked for");
    };
    let mut buffer = vec![0; line.len()];
    rustix::io::read(stdout, &mut buffer).expect("output");
    assert_eq!(buffer, line.as_bytes());
}

#[test]
fn privileged_init_reaps_and_passes_the_code_on() {
    staged(
        "tests::start::privileged_init_reaps_and_passes_the_code_on",
        || {
            let script = "(sleep 0.01 & ) ; cat /proc/1/comm; echo $$ $PPID; sleep 0.05; \
                      ls -d /proc/[0-9]* | wc -l; exit 5";
            let outcome = shell("init", script, |launch, _| launch.init = true);
            assert_eq!(outcome.out, "docker-init\n2 1\n4\n");
            assert_eq!(outcome.exit.code, 5, "{outcome:?}");
        },
    );
}

#[test]
fn privileged_missing_and_forbidden_commands_have_dockers_words() {
    staged(
        "tests::start::privileged_missing_and_forbidden_commands_have_dockers_words",
        || {
            let scratch = Scratch::new("words");
            let overlay = busybox(&scratch, 1);
            let check = |args: &[&str], cwd: &str, code: i32, text: &str| {
                let mut spec = spec_of(args);
                let process = spec.process_mut().as_mut().expect("process");
                process.set_cwd(PathBuf::from(cwd));
                let error = start(&launch_of("words", spec, &overlay)).expect_err("cannot start");
                assert_eq!((error.exit_code(), error.message.as_str()), (code, text));
            };
            let nosuch = "exec: \"nosuch\": executable file not found in $PATH";
            check(&["nosuch"], "/", 127, nosuch);
            let missing = "exec: \"/no/such/bin\": stat /no/such/bin: no such file or directory";
            check(&["/no/such/bin"], "/", 127, missing);
            check(
                &["/etc/passwd"],
                "/",
                126,
                "exec: \"/etc/passwd\": permission denied",
            );
            check(&["/etc"], "/", 126, "exec: \"/etc\": is a directory");
            let cwd = "chdir to cwd (\"/etc/passwd\") set in config.json failed: not a directory";
            check(&["/bin/true"], "/etc/passwd", 127, cwd);
            let whole = StartError::new(StartErrorKind::NotFound, missing).to_string();
            assert_eq!(
                whole,
                "failed to create task for container: failed to create shim task: OCI runtime create \
             failed: runc create failed: unable to start container process: exec: \
             \"/no/such/bin\": stat /no/such/bin: no such file or directory: unknown"
            );
        },
    );
}

#[test]
fn privileged_unexecutable_program_is_told_on_standard_error() {
    staged(
        "tests::start::privileged_unexecutable_program_is_told_on_standard_error",
        || {
            let outcome = shell("noexec", "", |launch, scratch| {
                let program = scratch.join("l0/bin/odd");
                fs::write(&program, "\u{7f}ELF nonsense").expect("file");
                fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).expect("mode");
                let process = launch.spec.process_mut().as_mut().expect("process");
                process.set_args(Some(vec!["odd".to_owned()]));
            });
            assert_eq!(outcome.exit.code, 255);
            assert_eq!(outcome.err, "exec /bin/odd: exec format error\n");
        },
    );
}

#[test]
fn privileged_user_groups_and_directory() {
    staged("tests::start::privileged_user_groups_and_directory", || {
        let outcome = shell(
            "user",
            "id; pwd; echo $HOME; echo x > /dev/stdout",
            |launch, _| {
                let process = launch.spec.process_mut().as_mut().expect("process");
                let mut user = process.user().clone();
                user.set_uid(1000)
                    .set_gid(1000)
                    .set_additional_gids(Some(vec![5, 7]));
                process
                    .set_user(user)
                    .set_cwd(PathBuf::from("/made/by root"));
            },
        );
        assert_eq!(outcome.err, "");
        assert_eq!(
            outcome.out,
            "uid=1000(ann) gid=1000 groups=5,7\n/made/by root\n/home/ann\nx\n"
        );
    });
}

#[test]
fn privileged_devices_cannot_be_made_use_of() {
    staged(
        "tests::start::privileged_devices_cannot_be_made_use_of",
        || {
            let script = "mknod /tmp/disk b 254 0 && mknod /dev/disk b 254 0 && \
                      mknod /dev/shm/disk b 254 0 && mknod /vol/disk b 254 0 || exit 1; \
                      for f in /tmp/disk /dev/disk /dev/shm/disk /vol/disk; do \
                      head -c 1 $f >/dev/null 2>&1 && echo leak $f; done; \
                      head -c 3 /dev/zero | wc -c; echo x > /dev/null; echo end";
            let outcome = shell("devices", script, |launch, scratch| {
                fs::create_dir(scratch.join("vol")).expect("directory");
                let volume = scratch.join("vol").display().to_string();
                let mounts = launch.spec.mounts_mut().as_mut().expect("mounts");
                mounts.push(mount("/vol", "bind", &volume, "rbind"));
            });
            assert_eq!(
                (outcome.out.as_str(), outcome.err.as_str()),
                ("3\nend\n", "")
            );
        },
    );
}

#[test]
fn privileged_container_of_a_privileged_kind_has_the_devices() {
    staged(
        "tests::start::privileged_container_of_a_privileged_kind_has_the_devices",
        || {
            let script = "test -c /dev/kmsg && echo kmsg; mount -t tmpfs none /tmp && echo mounted; \
                      mknod /null2 c 1 3 && echo x > /null2 && echo usable; \
                      touch /proc/sys/kernel/hostname && echo writable";
            let outcome = shell("priv", script, |launch, _| {
                defaults::make_privileged(&mut launch.spec);
            });
            assert_eq!(
                outcome.out, "kmsg\nmounted\nusable\nwritable\n",
                "{outcome:?}"
            );
        },
    );
}

#[test]
fn privileged_masked_and_readonly_paths() {
    staged("tests::start::privileged_masked_and_readonly_paths", || {
        let script = "cat /proc/keys /proc/timer_list | wc -c; ls /sys/firmware | wc -l; \
                      (echo x > /proc/sys/kernel/hostname) 2>/dev/null || echo denied; \
                      touch /new 2>/dev/null || echo readonly; touch /tmp/x && echo tmp";
        let outcome = shell("masked", script, |launch, _| {
            let mut root = launch.spec.root().clone().expect("root");
            root.set_readonly(Some(true));
            launch.spec.set_root(Some(root));
            let mounts = launch.spec.mounts_mut().as_mut().expect("mounts");
            mounts.push(mount(
                "/tmp",
                "tmpfs",
                "tmpfs",
                "nosuid,nodev,noexec,size=1m",
            ));
        });
        assert_eq!(outcome.out, "0\n0\ndenied\nreadonly\ntmp\n", "{outcome:?}");
    });
}

#[test]
fn privileged_mounts_stay_inside_the_root() {
    staged(
        "tests::start::privileged_mounts_stay_inside_the_root",
        || {
            let outcome = shell(
                "inside",
                "cat /etc/resolv.conf; cat /run/over",
                |launch, scratch| {
                    let bottom = scratch.join("l0");
                    // Absolute, dangling, and out of the root.
                    symlink("/run/stub", bottom.join("etc/resolv.conf")).expect("link");
                    symlink("../../../../run", bottom.join("up")).expect("link");
                    fs::write(scratch.join("file"), "nameserver\n").expect("file");
                    let file = scratch.join("file").display().to_string();
                    let mounts = launch.spec.mounts_mut().as_mut().expect("mounts");
                    mounts.push(mount("/etc/resolv.conf", "bind", &file, "rbind,ro"));
                    mounts.push(mount("/up/over", "bind", &file, "rbind,ro"));
                },
            );
            assert_eq!(outcome.out, "nameserver\nnameserver\n", "{outcome:?}");
            assert!(!Path::new("/run/stub").exists());
            assert!(!Path::new("/run/over").exists());
        },
    );
}

#[test]
fn privileged_proc_behind_a_link_is_refused() {
    staged(
        "tests::start::privileged_proc_behind_a_link_is_refused",
        || {
            let scratch = Scratch::new("proclink");
            let overlay = busybox(&scratch, 1);
            symlink("/tmp", scratch.0.join("l0/proc")).expect("link");
            let error = start(&launch_of("proclink", spec_of(&["true"]), &overlay));
            let message = error.expect_err("refused").message;
            assert_eq!(
                message,
                "error mounting \"proc\" to rootfs at \"/proc\": mount proc:/proc: \
             \"/proc\" must be mounted on ordinary directory"
            );
        },
    );
}

#[test]
fn privileged_file_over_directory_has_dockers_words() {
    staged(
        "tests::start::privileged_file_over_directory_has_dockers_words",
        || {
            let scratch = Scratch::new("overdir");
            let overlay = busybox(&scratch, 1);
            let mut spec = spec_of(&["true"]);
            let source = scratch.0.display().to_string();
            let mounts = spec.mounts_mut().as_mut().expect("mounts");
            mounts.push(mount("/etc/passwd", "bind", &source, "rbind"));
            let error = start(&launch_of("overdir", spec, &overlay)).expect_err("refused");
            assert_eq!(error.exit_code(), 127);
            let text = error.to_string();
            assert!(text.contains(&format!(
                "error mounting \"{source}\" to rootfs at \"/etc/passwd\""
            )));
            assert!(
                text.ends_with("Check if the specified host path exists and is the expected type")
            );
        },
    );
}

#[test]
fn privileged_many_layers_both_ways() {
    staged("tests::start::privileged_many_layers_both_ways", || {
        let scratch = Scratch::new("layers");
        let overlay = busybox(&scratch, 128);
        let launch = launch_of(
            "layers",
            spec_of(&["sh", "-c", "ls / | grep -c layer"]),
            &overlay,
        );
        assert_eq!(finish(start(&launch).expect("starts")).out, "128\n");
        drop(scratch);

        let scratch = Scratch::new("old-way");
        let overlay = busybox(&scratch, 20);
        crate::external::isolate_mounts().expect("a mount namespace");
        let root = crate::rootfs::mount_root_by_options(&overlay).expect("mounted");
        let flags = rustix::fs::OFlags::RDONLY;
        let mode = rustix::fs::Mode::empty();
        for index in 0..20 {
            let file = format!("layer{index}");
            rustix::fs::openat(&root, file, flags, mode).expect("every layer is there");
        }
        let detach = rustix::mount::UnmountFlags::DETACH;
        rustix::mount::unmount(&overlay.upper, detach).expect("unmounted");
    });
}

#[test]
fn privileged_nothing_is_left_when_the_starter_is_killed() {
    staged(
        "tests::start::privileged_nothing_is_left_when_the_starter_is_killed",
        || {
            let scratch = Scratch::new("orphan");
            let overlay = busybox(&scratch, 1);
            let launch = launch_of("orphan", spec_of(&["/bin/sleep", "100"]), &overlay);
            let (reader, writer) = rustix::pipe::pipe().expect("pipe");
            let forked = lapstrake_sys::process::fork_plain().expect("fork");
            let Some(starter) = forked else {
                let running = start(&launch).expect("starts");
                rustix::io::write(&writer, &running.pid.to_ne_bytes()).expect("told");
                std::thread::sleep(Duration::from_secs(100));
                lapstrake_sys::process::exit(1)
            };
            let mut pid = [0; 4];
            rustix::io::read(&reader, &mut pid).expect("the number");
            let pid = rustix::process::Pid::from_raw(i32::from_ne_bytes(pid)).expect("a process");
            let flags = rustix::process::PidfdFlags::empty();
            let pidfd = rustix::process::pidfd_open(pid, flags).expect("running");
            lapstrake_sys::process::kill(starter, 9).expect("killed");
            use rustix::event::{PollFd, PollFlags};
            let mut fds = [PollFd::new(&pidfd, PollFlags::IN)];
            let limit = rustix::event::Timespec {
                tv_sec: 10,
                tv_nsec: 0,
            };
            assert_eq!(
                rustix::event::poll(&mut fds, Some(&limit)),
                Ok(1),
                "it ends too"
            );
            let mounts = fs::read_to_string("/proc/self/mounts").expect("mounts");
            assert!(!mounts.contains("lap-rt-orphan"));
            crate::cleanup(&launch.id, None).expect("nothing to do");
        },
    );
}

/// Not a benchmark, but the figure is printed: `--no-capture` shows it.
#[test]
fn privileged_start_is_quick() {
    staged("tests::start::privileged_start_is_quick", || {
        let scratch = Scratch::new("quick");
        let overlay = busybox(&scratch, 10);
        let mut spec = spec_of(&["/bin/true"]);
        measure(
            "new network namespace",
            launch_of("quick", spec.clone(), &overlay),
        );
        without_namespace(&mut spec, LinuxNamespaceType::Network);
        measure("host network", launch_of("quick", spec, &overlay));
    });
}

fn measure(what: &str, mut launch: Launch) {
    launch.stdio = Stdio::Null;
    #[expect(clippy::disallowed_methods, reason = "time is what is measured")]
    let now = Instant::now;
    let mut times = [(); 50].map(|()| {
        let before = now();
        let running = start(&launch).expect("starts");
        let started = before.elapsed();
        assert_eq!(running.wait().expect("ends").code, 0);
        (before.elapsed(), started)
    });
    times.sort_unstable();
    println!("{what}: {:?} min, {:?} median", times[0], times[25]);
    assert!(times[0].0 < Duration::from_millis(100));
}

#[test]
fn privileged_namespaces_of_another_container_can_be_joined() {
    staged(
        "tests::start::privileged_namespaces_of_another_container_can_be_joined",
        || {
            let scratch = Scratch::new("join");
            let overlay = busybox(&scratch, 1);
            let first = launch_of("join", spec_of(&["sleep", "100"]), &overlay);
            let running = start(&first).expect("starts");

            let second = Scratch::new("join2");
            let overlay = busybox(&second, 1);
            let mut spec = spec_of(&[
                "sh",
                "-c",
                "hostname; cat /proc/1/comm; readlink /proc/self/ns/net",
            ]);
            let linux = spec.linux_mut().as_mut().expect("linux");
            let mut namespaces = linux.namespaces().clone().expect("namespaces");
            let kinds = [
                (LinuxNamespaceType::Pid, "pid"),
                (LinuxNamespaceType::Network, "net"),
                (LinuxNamespaceType::Uts, "uts"),
            ];
            for (kind, name) in kinds {
                let path = PathBuf::from(format!("/proc/{}/ns/{name}", running.pid));
                let entry = namespaces
                    .iter_mut()
                    .find(|namespace| namespace.typ() == kind);
                entry.expect("a default one").set_path(Some(path));
            }
            linux.set_namespaces(Some(namespaces)).set_sysctl(None);
            let joined = start(&launch_of("join2", spec, &overlay)).expect("starts");
            assert!(!joined.own_pid_namespace);
            let net = fs::read_link(format!("/proc/{}/ns/net", running.pid)).expect("link");
            let expected = format!("box\nsleep\n{}\n", net.display());
            assert_eq!(finish(joined).out, expected);
            // Children of this process are again in its own namespace.
            let third = start(&launch_of("join3", spec_of(&["true"]), &overlay)).expect("starts");
            assert_eq!(third.wait().expect("ends").code, 0);
            running.kill_all().expect("killed");
            running.wait().expect("ends");
        },
    );
}

#[test]
fn privileged_user_namespace() {
    staged("tests::start::privileged_user_namespace", || {
        let outcome = shell(
            "userns",
            "id -u; cat /proc/self/uid_map; echo x > /dev/null; touch /x && ls -ln /x",
            |launch, scratch| {
                for name in ["upper", "work", "l0"] {
                    std::os::unix::fs::chown(scratch.join(name), Some(100_000), Some(100_000))
                        .expect("owner");
                }
                let linux = launch.spec.linux_mut().as_mut().expect("linux");
                let mut namespaces = linux.namespaces().clone().expect("namespaces");
                let mut user = oci_spec::runtime::LinuxNamespace::default();
                user.set_typ(LinuxNamespaceType::User).set_path(None);
                namespaces.push(user);
                let map = oci_spec::runtime::LinuxIdMappingBuilder::default()
                    .container_id(0_u32)
                    .host_id(100_000_u32)
                    .size(65_536_u32)
                    .build()
                    .expect("complete");
                linux
                    .set_namespaces(Some(namespaces))
                    .set_uid_mappings(Some(vec![map]))
                    .set_gid_mappings(Some(vec![map]))
                    // Its groups are not all mapped.
                    .set_sysctl(None);
            },
        );
        assert_eq!(outcome.err, "", "{outcome:?}");
        assert!(
            outcome
                .out
                .starts_with("0\n         0     100000      65536\n"),
            "{outcome:?}"
        );
    });
}

#[test]
fn privileged_own_program_cannot_be_written_through_a_container() {
    staged(
        "tests::start::privileged_own_program_cannot_be_written_through_a_container",
        || {
            let program = crate::protected_program().expect("a copy of the mount");
            let flags = rustix::fs::fstatvfs(&program).expect("flags").f_flag;
            assert!(flags.contains(rustix::fs::StatVfsMountFlags::RDONLY));
            let inode = |stat: rustix::fs::Stat| (stat.st_dev, stat.st_ino);
            let own = rustix::fs::stat("/proc/self/exe").expect("own program");
            assert_eq!(
                inode(rustix::fs::fstat(&program).expect("program")),
                inode(own)
            );
        },
    );
}
