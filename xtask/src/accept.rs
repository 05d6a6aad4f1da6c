//! `cargo xtask accept SUITE`: a suite from elsewhere, run with the `lap` of this workspace.
//!
//! The suite is a Python program that tests any docker-compatible command line and takes it from the variable
//! `ENGINE`. It runs twice: once with the registry that it brings, once with `MIRROR=1` and a registry in
//! `REGISTRY` that the engine uses as its mirror. Each run has a store of its own, which goes afterwards.
//!
//! The suite lists the checks that failed under the line `Failed checks:`. Those of [`EXPECTED`] have to
//! be there, and no others.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, Result, bail};

use crate::ci;

/// The variable that names the suite that `cargo xtask ci` runs last.
pub const VARIABLE: &str = "LAPSTRAKE_ACCEPTANCE";

/// Checks that are known to fail, and why. One that passes again is to be taken out.
pub const EXPECTED: [(&str, &str); 2] = [
    (
        "run-d-prints-64-hex",
        "publishes a port, which Lapstrake does not",
    ),
    (
        "ps-ports-column",
        "shows a published port, and Lapstrake publishes none",
    ),
];

/// The line above the names of the checks that failed.
const FAILED: &str = "Failed checks:";

/// Runs the suite that [`VARIABLE`] names, or says that it names none.
#[expect(
    clippy::disallowed_methods,
    reason = "where the suite lies is this machine's matter"
)]
pub fn run_configured(root: &Path) -> Result<()> {
    match std::env::var_os(VARIABLE) {
        Some(suite) if !suite.is_empty() => run(root, Path::new(&suite), &[]),
        _ => {
            ci::say(&format!("\nacceptance suite: {VARIABLE} is not set"));
            Ok(())
        }
    }
}

/// Builds `lap` and runs the suite; `arguments` are handed on.
pub fn run(root: &Path, suite: &Path, arguments: &[&str]) -> Result<()> {
    let suite = suite
        .canonicalize()
        .with_context(|| format!("{} cannot be read", suite.display()))?;
    ci::build(root)?;
    let lap = root.join("target/debug/lap");
    let plain = play(&lap, &suite, arguments, false)?;
    let mirrored = play(&lap, &suite, arguments, true)?;
    if plain.is_empty() && mirrored.is_empty() {
        return Ok(());
    }
    for (mode, wrong) in [("plain", plain), ("with a mirror", mirrored)] {
        for line in wrong {
            ci::say(&format!("error: {mode}: {line}"));
        }
    }
    bail!(
        "the acceptance suite failed; repeat with: cargo xtask accept {}",
        suite.display()
    )
}

/// What is wrong with a run: checks that failed and were not expected to, and the other way round. Only a
/// `whole` run has to meet all that are expected to fail.
fn judge(output: &str, success: bool, whole: bool) -> Vec<String> {
    let names = output.lines().skip_while(|line| *line != FAILED).skip(1);
    let names = names.map_while(|line| line.strip_prefix("  "));
    let failed: BTreeSet<&str> = names.map(str::trim).collect();
    let expected = |name: &str| EXPECTED.iter().any(|(known, _why)| *known == name);
    let mut wrong: Vec<String> = failed
        .iter()
        .filter(|name| !expected(name))
        .map(|name| format!("{name} failed"))
        .collect();
    for (name, why) in EXPECTED.iter().filter(|_| whole) {
        if !failed.contains(name) {
            wrong.push(format!(
                "{name} was expected to fail, and did not: it {why}"
            ));
        }
    }
    if !success && failed.is_empty() {
        wrong.push(format!("the suite failed without a list `{FAILED}`"));
    }
    wrong
}

/// One run; what is wrong with it.
fn play(lap: &Path, suite: &Path, arguments: &[&str], mirrored: bool) -> Result<Vec<String>> {
    let folder = Folder::new()?;
    let store = folder.0.join("store");
    let mut engine = format!("{} --root {}", lap.display(), store.display());
    let mut command = program("python3");
    command.arg(suite).args(arguments);
    let registry = if mirrored {
        let registry = Registry::start(lap, &folder.0)?;
        engine = format!("{engine} --registry-mirror http://{}", registry.address);
        command
            .env("MIRROR", "1")
            .env("REGISTRY", &registry.address);
        Some(registry)
    } else {
        None
    };
    ci::say(&format!(
        "\n$ ENGINE=\"{engine}\" python3 {}",
        suite.display()
    ));
    command.env("ENGINE", &engine);
    command.stdout(Stdio::piped());
    let mut suite = command.spawn().context("python3 does not start")?;
    let stdout = suite.stdout.take().context("the suite has no output")?;
    let mut output = String::new();
    for line in BufReader::new(stdout).split(b'\n') {
        let line = line?;
        let line = String::from_utf8_lossy(&line);
        ci::say(&line);
        output.push_str(&line);
        output.push('\n');
    }
    let status = suite.wait()?;
    drop(registry);
    Ok(judge(&output, status.success(), arguments.is_empty()))
}

#[expect(
    clippy::disallowed_methods,
    reason = "running other programs is what this task is for"
)]
fn program(name: impl AsRef<std::ffi::OsStr>) -> Command {
    Command::new(name)
}

/// A folder that goes at the end.
struct Folder(PathBuf);

impl Folder {
    /// In memory where there is such a place: a suite syncs thousands of files.
    fn new() -> Result<Self> {
        let memory = Path::new("/dev/shm");
        let parent = if memory.is_dir() {
            memory.to_owned()
        } else {
            std::env::temp_dir()
        };
        let folder = parent.join(format!("lapstrake-accept-{}", std::process::id()));
        std::fs::create_dir(&folder)
            .with_context(|| format!("{} cannot be made", folder.display()))?;
        Ok(Self(folder))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            ci::say(&format!("{} stays: {error}", self.0.display()));
        }
    }
}

/// `lap registry serve` on a free port.
struct Registry {
    process: Child,
    address: String,
}

impl Registry {
    fn start(lap: &Path, folder: &Path) -> Result<Self> {
        let mut process = program(lap)
            .arg("--root")
            .arg(folder.join("unused"))
            .args(["registry", "serve", "--addr", "127.0.0.1:0", "--root"])
            .arg(folder.join("registry"))
            .stdout(Stdio::piped())
            .spawn()
            .context("the registry does not start")?;
        let stdout = process
            .stdout
            .take()
            .context("the registry has no output")?;
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line)?;
        let address = line
            .split_whitespace()
            .find(|word| word.starts_with("127."));
        let address = address.map(|word| word.trim_end_matches(['.', ',']).to_owned());
        let address = address.with_context(|| format!("the registry says {line:?}"))?;
        Ok(Self { process, address })
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        // One that has ended already is no harm.
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expected_failures_must_fail_and_no_others() {
        let known =
            "ok   a\n\nFailed checks:\n  run-d-prints-64-hex\n  ps-ports-column\nengine: lap\n";
        let one_more = known.replace("engine", "  pull-by-digest\nengine");
        let one_less = known.replace("  ps-ports-column\n", "");
        let gone = "ps-ports-column was expected to fail, and did not: it shows a published port, and \
                    Lapstrake publishes none";
        let cases: [(&str, bool, bool, &[&str]); 6] = [
            (known, false, true, &[]),
            (&one_more, false, true, &["pull-by-digest failed"]),
            (&one_less, false, true, &[gone]),
            (&one_less, false, false, &[]),
            ("1 passed, 0 failed\n", true, false, &[]),
            (
                "Traceback\n",
                false,
                false,
                &["the suite failed without a list `Failed checks:`"],
            ),
        ];
        for (output, success, whole, wrong) in cases {
            assert_eq!(judge(output, success, whole), wrong, "{output}");
        }
    }
}
