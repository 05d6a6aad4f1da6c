//! From rules to a classic BPF program.
//!
//! A filter runs on every system call, and when it is loaded the kernel runs it once for every
//! call number to find those it need not ask about again. So the calls of each architecture are a
//! balanced search tree over number ranges with one verdict: nine comparisons instead of hundreds.
//!
//! BPF jumps forward only, so the program is put together from its end: what a jump goes to is
//! already there.

use oci_spec::runtime::{
    Arch, LinuxSeccomp, LinuxSeccompAction, LinuxSeccompArg, LinuxSeccompFilterFlag,
    LinuxSeccompOperator, LinuxSyscall,
};

use lapstrake_sys::seccomp::{INSTRUCTION_LIMIT, Instruction};

#[cfg(target_arch = "aarch64")]
use super::calls_arm::{CALLS, NONE};
#[cfg(not(target_arch = "aarch64"))]
use super::calls_x86::{CALLS, NONE};
use super::profile::NATIVE;
use crate::error::Error;

/// Loads the word at an absolute offset of the call's data.
const LOAD: u16 = 0x20;
/// Bitwise and with a constant.
const AND: u16 = 0x54;
/// Jumps.
const JUMP: u16 = 0x05;
/// Jumps if equal to a constant.
const JUMP_EQUAL: u16 = 0x15;
/// Jumps if greater than a constant, unsigned.
const JUMP_GREATER: u16 = 0x25;
/// Jumps if greater than or equal to a constant, unsigned.
const JUMP_NOT_LESS: u16 = 0x35;
/// Ends with a constant.
const RETURN: u16 = 0x06;

/// Offset of the call's number in `struct seccomp_data`.
const NUMBER: u32 = 0;
/// Offset of the architecture.
const ARCHITECTURE: u32 = 4;
/// Offset of the first argument; each has 8 bytes, on our machines the low half first.
const ARGUMENTS: u32 = 16;

/// Numbers of the x32 calls begin here.
const X32: u32 = 0x4000_0000;

const KILL_THREAD: u32 = 0;
const ERRNO: u32 = 0x0005_0000;
const ENOSYS: u32 = 38;

/// A compiled filter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filter {
    /// The program.
    pub program: Vec<Instruction>,
    /// Have the kernel log what is not allowed.
    pub log: bool,
}

/// Compiles the rules.
pub fn compile(seccomp: &LinuxSeccomp) -> Result<Filter, Error> {
    let default = action(seccomp.default_action(), seccomp.default_errno_ret())?;
    let mut compiler = Compiler {
        default,
        reversed: Vec::new(),
        returns: Vec::new(),
    };
    let calls = compiler.calls(seccomp.syscalls().as_deref().unwrap_or_default())?;
    let mut architectures = seccomp.architectures().clone().unwrap_or_default();
    if !architectures.contains(&NATIVE) {
        architectures.push(NATIVE);
    }
    let entry = compiler.machines(&architectures, &calls);
    let program = compiler.finish(entry);
    if program.len() > INSTRUCTION_LIMIT {
        return Err(Error::Seccomp(format!(
            "{} instructions are too many",
            program.len()
        )));
    }
    let flags = seccomp.flags().as_deref().unwrap_or_default();
    Ok(Filter {
        program,
        log: flags.contains(&LinuxSeccompFilterFlag::SeccompFilterFlagLog),
    })
}

/// The kernel's number for what is done with a call.
fn action(action: LinuxSeccompAction, errno: Option<u32>) -> Result<u32, Error> {
    let data = errno.unwrap_or(1) & 0xFFFF;
    Ok(match action {
        LinuxSeccompAction::ScmpActKill | LinuxSeccompAction::ScmpActKillThread => KILL_THREAD,
        LinuxSeccompAction::ScmpActKillProcess => 0x8000_0000,
        LinuxSeccompAction::ScmpActTrap => 0x0003_0000,
        LinuxSeccompAction::ScmpActErrno => ERRNO | data,
        LinuxSeccompAction::ScmpActTrace => 0x7FF0_0000 | data,
        LinuxSeccompAction::ScmpActLog => 0x7FFC_0000,
        LinuxSeccompAction::ScmpActAllow => 0x7FFF_0000,
        LinuxSeccompAction::ScmpActNotify => {
            return Err(Error::Seccomp(
                "SCMP_ACT_NOTIFY is not supported".to_owned(),
            ));
        }
    })
}

/// What is done with one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    /// Ends with an action.
    Return(u32),
    /// Goes on at a place that looks at the arguments.
    Test(usize),
}

/// The program, last instruction first. A place in it is an index.
struct Compiler {
    default: u32,
    reversed: Vec<Instruction>,
    /// The latest place of each action.
    returns: Vec<(u32, usize)>,
}

impl Compiler {
    /// The verdict on every call that a rule names, by index into [`CALLS`], ascending.
    fn calls(&mut self, rules: &[LinuxSyscall]) -> Result<Vec<(usize, Verdict)>, Error> {
        let mut named: Vec<(usize, usize)> = Vec::new();
        for (index, rule) in rules.iter().enumerate() {
            for name in rule.names() {
                // Calls of other machines or of a later kernel cannot be made here.
                if let Ok(call) = CALLS.binary_search_by(|(known, _)| known.cmp(&name.as_str())) {
                    named.push((call, index));
                }
            }
        }
        named.sort_unstable();
        let mut calls = Vec::new();
        for group in named.chunk_by(|a, b| a.0 == b.0) {
            let rules: Vec<&LinuxSyscall> = group
                .iter()
                .filter_map(|(_, rule)| rules.get(*rule))
                .collect();
            let plain = rules
                .iter()
                .find(|rule| rule.args().as_ref().is_none_or(Vec::is_empty));
            let verdict = match plain {
                Some(rule) => Verdict::Return(action(rule.action(), rule.errno_ret())?),
                None => self.arguments(&rules)?,
            };
            calls.extend(group.first().map(|(call, _)| (*call, verdict)));
        }
        Ok(calls)
    }

    /// Tests the rules of one call in order; the first that matches decides.
    fn arguments(&mut self, rules: &[&LinuxSyscall]) -> Result<Verdict, Error> {
        let mut next = self.give(self.default);
        for rule in rules.iter().rev() {
            let args = rule.args().as_deref().unwrap_or_default();
            let action = action(rule.action(), rule.errno_ret())?;
            let mut indexes: Vec<usize> = args.iter().map(LinuxSeccompArg::index).collect();
            indexes.sort_unstable();
            indexes.dedup();
            if indexes.len() == args.len() {
                let mut place = self.give(action);
                for arg in args.iter().rev() {
                    place = self.argument(arg, place, next)?;
                }
                next = place;
            } else {
                // Two conditions on one argument are alternatives, as runc has it.
                for arg in args.iter().rev() {
                    let place = self.give(action);
                    next = self.argument(arg, place, next)?;
                }
            }
        }
        Ok(Verdict::Test(next))
    }

    /// Compares one argument, half by half.
    fn argument(&mut self, arg: &LinuxSeccompArg, yes: usize, no: usize) -> Result<usize, Error> {
        let index = u32::try_from(arg.index()).ok().filter(|index| *index < 6);
        let index = index.ok_or_else(|| Error::Seccomp("argument index over 5".to_owned()))?;
        let low = ARGUMENTS + 8 * index;
        let second = arg.value_two().unwrap_or_default();
        Ok(match arg.op() {
            LinuxSeccompOperator::ScmpCmpEq => self.equal(low, u64::MAX, arg.value(), [yes, no]),
            LinuxSeccompOperator::ScmpCmpNe => self.equal(low, u64::MAX, arg.value(), [no, yes]),
            LinuxSeccompOperator::ScmpCmpMaskedEq => {
                self.equal(low, arg.value(), second, [yes, no])
            }
            LinuxSeccompOperator::ScmpCmpGt => {
                self.compare(low, JUMP_GREATER, arg.value(), [yes, no])
            }
            LinuxSeccompOperator::ScmpCmpGe => {
                self.compare(low, JUMP_NOT_LESS, arg.value(), [yes, no])
            }
            LinuxSeccompOperator::ScmpCmpLe => {
                self.compare(low, JUMP_GREATER, arg.value(), [no, yes])
            }
            LinuxSeccompOperator::ScmpCmpLt => {
                self.compare(low, JUMP_NOT_LESS, arg.value(), [no, yes])
            }
        })
    }

    /// Whether the argument under `mask` is `value`.
    fn equal(&mut self, low: u32, mask: u64, value: u64, [yes, no]: [usize; 2]) -> usize {
        let (mask_high, mask_low) = halves(mask);
        let (value_high, value_low) = halves(value);
        self.branch(JUMP_EQUAL, value_low, yes, no);
        let place = self.load_masked(low, mask_low);
        self.branch(JUMP_EQUAL, value_high, place, no);
        self.load_masked(low + 4, mask_high)
    }

    /// Whether the argument is greater than (or not less than) `value`.
    fn compare(&mut self, low: u32, jump: u16, value: u64, [yes, no]: [usize; 2]) -> usize {
        let (value_high, value_low) = halves(value);
        self.branch(jump, value_low, yes, no);
        let place = self.push(LOAD, low);
        let place = self.branch(JUMP_EQUAL, value_high, place, no);
        self.branch(JUMP_GREATER, value_high, yes, place);
        self.push(LOAD, low + 4)
    }

    fn load_masked(&mut self, offset: u32, mask: u32) -> usize {
        if mask != u32::MAX {
            self.push(AND, mask);
        }
        self.push(LOAD, offset)
    }

    /// Chooses the architecture's tree; a call of any other is fatal.
    fn machines(&mut self, architectures: &[Arch], calls: &[(usize, Verdict)]) -> usize {
        let mut next = self.give(KILL_THREAD);
        for (arch, audit, column) in MACHINES {
            if !architectures.contains(arch) {
                continue;
            }
            let mut place = self.tree_of(calls, *column);
            if *arch == Arch::ScmpArchX86_64 {
                place = self.split_off_x32(place, architectures, calls);
            }
            let place = {
                // The tree begins right behind the load of the number.
                self.jump_to(place);
                self.push(LOAD, NUMBER)
            };
            next = self.branch(JUMP_EQUAL, *audit, place, next);
        }
        next
    }

    /// x32 calls come under the name of x86_64: told apart by their numbers.
    fn split_off_x32(
        &mut self,
        native: usize,
        architectures: &[Arch],
        calls: &[(usize, Verdict)],
    ) -> usize {
        let x32 = if architectures.contains(&Arch::ScmpArchX32) {
            self.tree_of(calls, X32_COLUMN)
        } else {
            let default = self.give(self.default);
            let kill = self.give(KILL_THREAD);
            // A tracer that skips a call sets its number to -1.
            self.branch(JUMP_EQUAL, u32::MAX, default, kill)
        };
        self.branch(JUMP_NOT_LESS, X32, x32, native)
    }

    /// The search tree over the calls of one architecture.
    fn tree_of(&mut self, calls: &[(usize, Verdict)], column: usize) -> usize {
        let flag = if column == X32_COLUMN { X32 } else { 0 };
        let number = |call: usize| {
            let number = CALLS.get(call)?.1.get(column).copied();
            number
                .filter(|number| *number != NONE)
                .map(|number| number | flag)
        };
        let mut numbered: Vec<(u32, Verdict)> = calls
            .iter()
            .filter_map(|(call, verdict)| Some((number(*call)?, *verdict)))
            .collect();
        numbered.sort_unstable_by_key(|(number, _)| *number);
        numbered.dedup_by_key(|(number, _)| *number);
        let mut ranges = vec![(0, Verdict::Return(self.default))];
        for (number, verdict) in numbered {
            if ranges.last().is_some_and(|(start, _)| *start == number) {
                ranges.pop();
            }
            push_range(&mut ranges, number, verdict);
            push_range(&mut ranges, number + 1, Verdict::Return(self.default));
        }
        // A call that is newer than all the profile knows does not exist, rather than being
        // forbidden: programs that try it fall back to an older one.
        if let Some((_, last)) = ranges.last_mut()
            && self.default & 0xFFFF_0000 == ERRNO
        {
            *last = Verdict::Return(ERRNO | ENOSYS);
        }
        self.tree(&ranges)
    }

    fn tree(&mut self, ranges: &[(u32, Verdict)]) -> usize {
        match ranges {
            [] => self.give(self.default),
            [(_, Verdict::Return(action))] => self.give(*action),
            [(_, Verdict::Test(place))] => *place,
            _ => {
                let (left, right) = ranges.split_at(ranges.len() / 2);
                let yes = self.tree(right);
                let no = self.tree(left);
                let start = right.first().map_or(0, |(start, _)| *start);
                self.branch(JUMP_NOT_LESS, start, yes, no)
            }
        }
    }

    /// A place that ends with `action`: one near by, or a new one.
    fn give(&mut self, action: u32) -> usize {
        let here = self.reversed.len();
        let known = self.returns.iter().position(|(known, _)| *known == action);
        if let Some((_, place)) = known.and_then(|index| self.returns.get(index))
            && here - place < 128
        {
            return *place;
        }
        let place = self.push(RETURN, action);
        match known.and_then(|index| self.returns.get_mut(index)) {
            Some(entry) => entry.1 = place,
            None => self.returns.push((action, place)),
        }
        place
    }

    /// A conditional jump, with stepping stones to what is too far away for it.
    fn branch(&mut self, code: u16, operand: u32, yes: usize, no: usize) -> usize {
        // Room for the stepping stone of the other one.
        let yes = self.within_reach(yes, 1);
        let no = self.within_reach(no, 0);
        let here = self.reversed.len();
        let skip = |target: usize| u8::try_from(here - target - 1).unwrap_or(u8::MAX);
        let (jump_true, jump_false) = (skip(yes), skip(no));
        self.reversed.push(Instruction {
            code,
            jump_true,
            jump_false,
            operand,
        });
        here
    }

    fn within_reach(&mut self, target: usize, spare: usize) -> usize {
        let distance = self.reversed.len() - target - 1;
        if u8::try_from(distance + spare).is_ok() {
            target
        } else {
            self.jump(target)
        }
    }

    /// Makes sure that what is pushed next falls through to `target`.
    fn jump_to(&mut self, target: usize) {
        if target + 1 != self.reversed.len() {
            self.jump(target);
        }
    }

    fn jump(&mut self, target: usize) -> usize {
        let distance = self.reversed.len() - target - 1;
        self.push(JUMP, u32::try_from(distance).unwrap_or(u32::MAX))
    }

    fn push(&mut self, code: u16, operand: u32) -> usize {
        self.reversed.push(Instruction {
            code,
            jump_true: 0,
            jump_false: 0,
            operand,
        });
        self.reversed.len() - 1
    }

    fn finish(mut self, entry: usize) -> Vec<Instruction> {
        self.jump_to(entry);
        self.push(LOAD, ARCHITECTURE);
        self.reversed.reverse();
        self.reversed
    }
}

/// Adds a range, unless it goes on with the verdict before it.
fn push_range(ranges: &mut Vec<(u32, Verdict)>, start: u32, verdict: Verdict) {
    // A range of no length is replaced.
    if ranges.last().is_some_and(|(last, _)| *last == start) {
        ranges.pop();
    }
    if ranges.last().is_none_or(|(_, last)| *last != verdict) {
        ranges.push((start, verdict));
    }
}

/// The column of x32's numbers.
const X32_COLUMN: usize = 2;

/// libseccomp's name, the kernel's audit number, and the column of [`CALLS`].
const MACHINES: &[(Arch, u32, usize)] = if cfg!(target_arch = "aarch64") {
    &[
        (Arch::ScmpArchAarch64, 0xC000_00B7, 0),
        (Arch::ScmpArchArm, 0x4000_0028, 1),
    ]
} else {
    &[
        (Arch::ScmpArchX86, 0x4000_0003, 1),
        (Arch::ScmpArchX86_64, 0xC000_003E, 0),
    ]
};

/// High and low half.
fn halves(value: u64) -> (u32, u32) {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "each half is taken on purpose"
    )]
    ((value >> 32) as u32, value as u32)
}
