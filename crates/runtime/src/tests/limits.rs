use std::time::Duration;

use oci_spec::runtime::{LinuxCpu, LinuxMemory, LinuxPids, PosixRlimitBuilder, PosixRlimitType};

use super::*;
use crate::{Hierarchy, hierarchy};

#[test]
fn privileged_resource_limits_are_applied_and_removed() {
    staged(
        "tests::limits::privileged_resource_limits_are_applied_and_removed",
        || {
            if hierarchy() == Hierarchy::None {
                return;
            }
            let scratch = Scratch::new("limits");
            let overlay = busybox(&scratch, 1);
            let script = "cd /sys/fs/cgroup; \
                      cat memory/memory.limit_in_bytes memory.max cpu/cpu.cfs_quota_us cpu.max \
                      pids/pids.max pids.max cpuset/cpuset.cpus 2>/dev/null";
            let mut spec = spec_of(&["sh", "-c", script]);
            let linux = spec.linux_mut().as_mut().expect("linux");
            let mut resources = linux.resources().clone().expect("resources");
            let (mut memory, mut cpu, mut pids) = (
                LinuxMemory::default(),
                LinuxCpu::default(),
                LinuxPids::default(),
            );
            memory.set_limit(Some(64 << 20));
            cpu.set_quota(Some(50_000))
                .set_period(Some(100_000))
                .set_cpus(Some("0".to_owned()));
            pids.set_limit(40);
            resources
                .set_memory(Some(memory))
                .set_cpu(Some(cpu))
                .set_pids(Some(pids));
            linux.set_resources(Some(resources));
            let launch = launch_of("limits", spec, &overlay);
            let running = start(&launch).expect("starts");
            let cgroup = running.cgroup.clone();
            let out = finish(running).out;
            if hierarchy() == Hierarchy::V2 {
                assert_eq!(out, "67108864\n50000 100000\n40\n");
            } else {
                assert_eq!(out, "67108864\n50000\n40\n0\n");
            }
            for group in cgroup.unified.iter().chain(&cgroup.v1) {
                assert!(!group.exists(), "{group:?}");
            }
        },
    );
}

#[test]
fn privileged_groups_of_a_killed_starter_are_swept() {
    staged(
        "tests::limits::privileged_groups_of_a_killed_starter_are_swept",
        || {
            if hierarchy() == Hierarchy::None {
                return;
            }
            let scratch = Scratch::new("sweep");
            let overlay = busybox(&scratch, 1);
            let mut spec = spec_of(&["sleep", "100"]);
            let linux = spec.linux_mut().as_mut().expect("linux");
            let mut resources = linux.resources().clone().expect("resources");
            let mut pids = LinuxPids::default();
            pids.set_limit(40);
            resources.set_pids(Some(pids));
            linux.set_resources(Some(resources));
            let launch = launch_of("sweep", spec, &overlay);
            let running = start(&launch).expect("starts");
            let cgroup = running.cgroup.clone();
            assert!(
                cgroup
                    .unified
                    .iter()
                    .chain(&cgroup.v1)
                    .all(|group| group.exists())
            );
            // Still running: it is killed.
            let id = launch.id.clone();
            let sweeper = std::thread::spawn(move || crate::cleanup(&id, None));
            assert_eq!(running.wait().expect("killed").signal, Some(9));
            sweeper.join().expect("no panic").expect("swept");
            assert!(
                !cgroup
                    .unified
                    .iter()
                    .chain(&cgroup.v1)
                    .any(|group| group.exists())
            );
        },
    );
}

#[test]
fn privileged_processes_in_the_hosts_namespace_end_with_the_container() {
    staged(
        "tests::limits::privileged_processes_in_the_hosts_namespace_end_with_the_container",
        || {
            if hierarchy() == Hierarchy::None {
                return;
            }
            let scratch = Scratch::new("hostpid");
            let overlay = busybox(&scratch, 1);
            let script = "setsid sh -c 'while :; do sleep 100; done' >/dev/null 2>&1 & echo $!";
            let mut spec = spec_of(&["sh", "-c", script]);
            without_namespace(&mut spec, LinuxNamespaceType::Pid);
            let launch = launch_of("hostpid", spec, &overlay);
            let mut running = start(&launch).expect("starts");
            let ChildStdio::Pipes { stdout, .. } =
                std::mem::replace(&mut running.stdio, ChildStdio::None)
            else {
                panic!("no pipes");
            };
            let mut pid = String::new();
            fs::File::from(stdout)
                .read_to_string(&mut pid)
                .expect("output");
            let process = Path::new("/proc").join(pid.trim());
            assert_eq!(running.wait().expect("an exit").code, 0);
            assert!(process.join("exe").read_link().is_ok());
            running.kill_all().expect("killed");
            for _ in 0..200 {
                if process.join("exe").read_link().is_err() {
                    break;
                }
                std::thread::sleep(Duration::from_millis(10));
            }
            assert!(process.join("exe").read_link().is_err());
            running.delete().expect("nothing left");
        },
    );
}

#[test]
fn privileged_pause_stops_all_processes() {
    staged(
        "tests::limits::privileged_pause_stops_all_processes",
        || {
            let scratch = Scratch::new("pause");
            let overlay = busybox(&scratch, 1);
            let script = "(while :; do echo x >> /count; sleep 0.01; done) & wait";
            let launch = launch_of("pause", spec_of(&["sh", "-c", script]), &overlay);
            let mut running = start(&launch).expect("starts");
            let count = || fs::metadata(overlay.upper.join("count")).map_or(0, |file| file.len());
            let nap = || std::thread::sleep(Duration::from_millis(100));
            let moving = || {
                let before = count();
                for _ in 0..50 {
                    nap();
                    if count() > before {
                        return true;
                    }
                }
                false
            };
            assert!(moving());
            assert!(running.processes().expect("running").len() >= 2);
            running.pause().expect("paused");
            let before = count();
            nap();
            nap();
            assert_eq!(count(), before, "nothing happens");
            running.resume().expect("resumed");
            assert!(moving());
            let cgroup = running.cgroup.clone();
            running.pause().expect("paused again");
            running.kill_all().expect("killed while paused");
            assert_eq!(running.wait().expect("ends").signal, Some(9));
            running.delete().expect("removed");
            assert!(
                !cgroup
                    .unified
                    .iter()
                    .chain(&cgroup.v1)
                    .any(|group| group.exists())
            );
        },
    );
}

#[test]
fn privileged_process_limits() {
    staged("tests::limits::privileged_process_limits", || {
        let outcome = shell("rlimit", "ulimit -n; ulimit -Hn", |launch, _| {
            let limit = PosixRlimitBuilder::default()
                .typ(PosixRlimitType::RlimitNofile)
                .soft(100_u64)
                .hard(200_u64)
                .build()
                .expect("complete");
            let process = launch.spec.process_mut().as_mut().expect("process");
            process.set_rlimits(Some(vec![limit]));
        });
        assert_eq!(outcome.out, "100\n200\n");
    });
}
