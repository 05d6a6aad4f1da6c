use super::*;
use crate::caps::CapSet;

/// What a system call said, by a container without and with a capability.
fn errors_of(name: &str, script: &str, capability: &str) -> (String, String) {
    let plain = shell(name, script, |_, _| ());
    let given = shell(name, script, |launch, _| {
        let more = CapSet::parse(capability).expect("known");
        let capabilities = defaults::DEFAULT_CAPABILITIES.union(more);
        defaults::set_capabilities(&mut launch.spec, capabilities);
        let linux = launch.spec.linux_mut().as_mut().expect("linux");
        linux.set_seccomp(Some(defaults::seccomp_for(capabilities)));
    });
    (plain.out + &plain.err, given.out + &given.err)
}

#[test]
fn privileged_mount_needs_the_capability() {
    staged(
        "tests::filter::privileged_mount_needs_the_capability",
        || {
            let script = "mount -t tmpfs none /tmp && echo mounted";
            let (without, with) = errors_of("mount", script, "sys_admin");
            assert_eq!(without, "mount: permission denied (are you root?)\n");
            assert_eq!(with, "mounted\n");
        },
    );
}

#[test]
fn privileged_new_user_namespaces_are_refused() {
    staged(
        "tests::filter::privileged_new_user_namespaces_are_refused",
        || {
            let (without, with) = errors_of("userns", "unshare -U echo made", "sys_admin");
            assert_eq!(
                without,
                "unshare: unshare(0x10000000): Operation not permitted\n"
            );
            assert_eq!(with, "made\n");
        },
    );
}

#[test]
fn privileged_kernel_log_needs_the_capability() {
    staged(
        "tests::filter::privileged_kernel_log_needs_the_capability",
        || {
            let (without, with) = errors_of("dmesg", "dmesg | wc -l", "syslog");
            assert!(without.contains("Operation not permitted"), "{without}");
            assert!(!with.contains("Operation not permitted"), "{with}");
        },
    );
}
