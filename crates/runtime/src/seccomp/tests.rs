use lapstrake_sys::seccomp::Instruction;

use super::{Filter, Profile, compile};
use crate::caps::CapSet;
use crate::defaults::DEFAULT_CAPABILITIES;

const ALLOW: u32 = 0x7FFF_0000;
const EPERM: u32 = 0x0005_0001;
const ENOSYS: u32 = 0x0005_0026;
const KILL: u32 = 0;

/// Runs a filter as the kernel does. Returns the verdict and how many instructions it took.
fn verdict(filter: &Filter, arch: u32, number: u32, args: [u64; 6]) -> (u32, usize) {
    let mut data = Vec::from(number.to_le_bytes());
    data.extend(arch.to_le_bytes());
    data.extend([0; 8]);
    data.extend(args.iter().flat_map(|arg| arg.to_le_bytes()));
    let (mut accumulator, mut at) = (0_u32, 0);
    for steps in 1..1000 {
        let Instruction {
            code,
            jump_true,
            jump_false,
            operand,
        } = filter.program[at];
        at += 1;
        let mut branch = |holds: bool| {
            at += usize::from(if holds { jump_true } else { jump_false });
        };
        match code {
            0x20 => {
                let offset = operand as usize;
                let word = data[offset..offset + 4].try_into().expect("a word");
                accumulator = u32::from_le_bytes(word);
            }
            0x54 => accumulator &= operand,
            0x05 => at += operand as usize,
            0x15 => branch(accumulator == operand),
            0x25 => branch(accumulator > operand),
            0x35 => branch(accumulator >= operand),
            0x06 => return (operand, steps),
            other => panic!("instruction {other:#x}"),
        }
    }
    panic!("a loop");
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::super::calls_x86::{CALLS, NONE};
    use super::*;

    const X86_64: u32 = 0xC000_003E;
    const X86: u32 = 0x4000_0003;

    fn number(name: &str, column: usize) -> u32 {
        let index = CALLS
            .binary_search_by(|(known, _)| known.cmp(&name))
            .expect("a call");
        CALLS[index].1[column]
    }

    fn default_filter(capabilities: CapSet) -> Filter {
        compile(&Profile::docker_default().resolve(capabilities)).expect("compiles")
    }

    fn native(filter: &Filter, name: &str, args: [u64; 6]) -> u32 {
        verdict(filter, X86_64, number(name, 0), args).0
    }

    #[test]
    fn numbers_are_those_of_this_machine() {
        assert!(CALLS.is_sorted_by(|a, b| a.0 < b.0));
        for (name, expected) in [
            ("read", 0),
            ("clone3", 435),
            ("seccomp", 317),
            ("mseal", 462),
        ] {
            assert_eq!(number(name, 0), expected);
        }
        assert_eq!(number("execve", 1), 11);
        assert_eq!(number("execve", 2), 520);
        assert_eq!(number("umount", 0), NONE);
    }

    #[test]
    fn default_profile_allows_by_name() {
        let filter = default_filter(DEFAULT_CAPABILITIES);
        for name in [
            "read",
            "write",
            "execve",
            "openat",
            "statx",
            "futex",
            "getrandom",
            "mseal",
        ] {
            assert_eq!(native(&filter, name, [0; 6]), ALLOW, "{name}");
        }
        for name in [
            "mount",
            "reboot",
            "keyctl",
            "unshare",
            "setns",
            "bpf",
            "io_uring_setup",
        ] {
            assert_eq!(native(&filter, name, [0; 6]), EPERM, "{name}");
        }
        assert_eq!(native(&filter, "ptrace", [0; 6]), ALLOW);
        assert_eq!(
            native(&filter, "chroot", [0; 6]),
            ALLOW,
            "the capability is a default one"
        );
        assert_eq!(native(&filter, "clone3", [0; 6]), ENOSYS);
    }

    #[test]
    fn default_profile_looks_at_arguments() {
        let filter = default_filter(DEFAULT_CAPABILITIES);
        let first = |name, arg| native(&filter, name, [arg, 0, 0, 0, 0, 0]);
        for domain in [0, 8, 0x20000, 0x20008, 0xFFFF_FFFF] {
            assert_eq!(first("personality", domain), ALLOW, "{domain:#x}");
        }
        for domain in [1, 0x40000, 0x1_0000_0000, u64::MAX] {
            assert_eq!(first("personality", domain), EPERM, "{domain:#x}");
        }
        assert_eq!(first("socket", 2), ALLOW);
        assert_eq!(first("socket", 40), EPERM);
        assert_eq!(first("clone", 0x0120_0011), ALLOW, "a plain fork");
        assert_eq!(first("clone", 0x1000_0000), EPERM, "a user namespace");
        assert_eq!(first("clone", 0x4000_0000), EPERM, "a network namespace");
    }

    #[test]
    fn capabilities_allow_more() {
        let more = CapSet::parse("SYS_ADMIN").expect("known");
        let filter = default_filter(DEFAULT_CAPABILITIES.union(more));
        for name in ["mount", "unshare", "clone3", "bpf", "setns"] {
            assert_eq!(native(&filter, name, [0; 6]), ALLOW, "{name}");
        }
        assert_eq!(
            native(&filter, "clone", [0x1000_0000, 0, 0, 0, 0, 0]),
            ALLOW
        );
        assert_eq!(native(&filter, "reboot", [0; 6]), EPERM);
        let filter = default_filter(CapSet::EMPTY);
        assert_eq!(native(&filter, "chroot", [0; 6]), EPERM);
    }

    #[test]
    fn other_machines_and_unknown_calls() {
        let filter = default_filter(DEFAULT_CAPABILITIES);
        assert_eq!(verdict(&filter, X86, number("execve", 1), [0; 6]).0, ALLOW);
        assert_eq!(verdict(&filter, X86, number("mount", 1), [0; 6]).0, EPERM);
        assert_eq!(
            verdict(&filter, X86_64, number("read", 2) | 0x4000_0000, [0; 6]).0,
            ALLOW,
            "x32"
        );
        assert_eq!(verdict(&filter, 0xC000_00B7, 0, [0; 6]).0, KILL, "aarch64");
        assert_eq!(verdict(&filter, X86_64, 9999, [0; 6]).0, ENOSYS);
        assert_eq!(verdict(&filter, X86_64, u32::MAX, [0; 6]).0, ENOSYS);
    }

    /// Every verdict of the tree is that of the rules, and found in few steps.
    #[test]
    fn tree_agrees_with_the_rules() {
        let seccomp = Profile::docker_default().resolve(DEFAULT_CAPABILITIES);
        let filter = compile(&seccomp).expect("compiles");
        assert!(filter.program.len() < 1000, "{}", filter.program.len());
        let rules = seccomp.syscalls().as_ref().expect("rules");
        let conditional = ["socket", "personality", "clone"];
        for (name, numbers) in CALLS {
            if numbers[0] == NONE || conditional.contains(name) {
                continue;
            }
            let named = rules
                .iter()
                .find(|rule| rule.names().iter().any(|known| known == name));
            let expected = match named.map(oci_spec::runtime::LinuxSyscall::errno_ret) {
                Some(None) => ALLOW,
                Some(Some(errno)) => 0x0005_0000 | errno,
                None if numbers[0] > 466 => ENOSYS,
                None => EPERM,
            };
            let (got, steps) = verdict(&filter, X86_64, numbers[0], [0; 6]);
            assert_eq!(got, expected, "{name}");
            assert!(steps <= 20, "{name}: {steps}");
        }
    }

    #[test]
    fn comparisons_of_both_halves() {
        let filter_of = |op: &str, value: u64, second: u64| {
            let json = format!(
                r#"{{"defaultAction":"SCMP_ACT_ERRNO","architectures":["SCMP_ARCH_X86_64"],
                    "syscalls":[{{"name":"read","action":"SCMP_ACT_ALLOW","args":[
                    {{"index":2,"value":{value},"valueTwo":{second},"op":"{op}"}}]}}]}}"#
            );
            let profile = Profile::parse(json.as_bytes()).expect("parses");
            compile(&profile.resolve(CapSet::EMPTY)).expect("compiles")
        };
        let big = 0x1_0000_0005;
        let holds = |op: &str, arg: u64| {
            let filter = filter_of(op, big, 0);
            native(&filter, "read", [0, 0, arg, 0, 0, 0]) == ALLOW
        };
        for arg in [0, 5, 0xFFFF_FFFF, big - 1, big, big + 1, 0x2_0000_0000] {
            assert_eq!(holds("SCMP_CMP_EQ", arg), arg == big, "{arg:#x}");
            assert_eq!(holds("SCMP_CMP_NE", arg), arg != big, "{arg:#x}");
            assert_eq!(holds("SCMP_CMP_GT", arg), arg > big, "{arg:#x}");
            assert_eq!(holds("SCMP_CMP_GE", arg), arg >= big, "{arg:#x}");
            assert_eq!(holds("SCMP_CMP_LT", arg), arg < big, "{arg:#x}");
            assert_eq!(holds("SCMP_CMP_LE", arg), arg <= big, "{arg:#x}");
        }
        let filter = filter_of("SCMP_CMP_MASKED_EQ", 0xF_0000_000F, 0x1_0000_0002);
        assert_eq!(
            native(&filter, "read", [0, 0, 0x71_0000_0032, 0, 0, 0]),
            ALLOW
        );
        assert_eq!(
            native(&filter, "read", [0, 0, 0x72_0000_0032, 0, 0, 0]),
            EPERM
        );
    }

    #[test]
    fn x32_without_being_asked_for_is_fatal() {
        let json = br#"{"defaultAction":"SCMP_ACT_ALLOW","syscalls":null}"#;
        let profile = Profile::parse(json).expect("parses");
        let filter = compile(&profile.resolve(CapSet::EMPTY)).expect("compiles");
        assert_eq!(verdict(&filter, X86_64, 0x4000_0000, [0; 6]).0, KILL);
        assert_eq!(
            verdict(&filter, X86_64, u32::MAX, [0; 6]).0,
            ALLOW,
            "skipped by a tracer"
        );
        assert_eq!(verdict(&filter, X86_64, 9999, [0; 6]).0, ALLOW);
    }
}

#[test]
fn profile_mistakes_are_told() {
    let problem = |json: &str| {
        Profile::parse(json.as_bytes())
            .expect_err("invalid")
            .to_string()
    };
    assert!(problem("{").starts_with("invalid seccomp profile: EOF"));
    let both = r#"{"defaultAction":"SCMP_ACT_ALLOW","architectures":["SCMP_ARCH_X86_64"],
        "archMap":[{"architecture":"SCMP_ARCH_X86_64","subArchitectures":[]}]}"#;
    assert!(problem(both).contains("both 'architectures' and 'archMap' are specified"));
    let json = r#"{"defaultAction":"SCMP_ACT_NOTIFY"}"#;
    let profile = Profile::parse(json.as_bytes()).expect("parses");
    assert!(compile(&profile.resolve(CapSet::EMPTY)).is_err());
}
