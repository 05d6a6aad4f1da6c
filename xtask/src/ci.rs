//! The steps of `cargo xtask ci`.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::{accept, tidy};

/// One command and the variables that it needs.
struct Step<'a> {
    environment: &'a [(&'a str, &'a str)],
    arguments: &'a [&'a str],
}

const FORMAT: Step<'static> = Step {
    environment: &[],
    arguments: &["fmt", "--all", "--check"],
};
const CLIPPY: Step<'static> = Step {
    environment: &[],
    arguments: &[
        "clippy",
        "--workspace",
        "--all-targets",
        "--",
        "-D",
        "warnings",
    ],
};
/// The command-line tests run the binary itself.
const BUILD: Step<'static> = Step {
    environment: &[],
    arguments: &["build", "--package", "lapstrake"],
};
const NEXTEST: Step<'static> = Step {
    environment: &[],
    arguments: &["nextest", "run", "--workspace", "--no-tests", "pass"],
};
const TEST: Step<'static> = Step {
    environment: &[],
    arguments: &["test", "--workspace", "--lib", "--bins", "--tests"],
};
const DOCTEST: Step<'static> = Step {
    environment: &[],
    arguments: &["test", "--workspace", "--doc"],
};
const DOC: Step<'static> = Step {
    environment: &[("RUSTDOCFLAGS", "-D warnings")],
    arguments: &["doc", "--workspace", "--no-deps"],
};

/// Runs everything; stops at the first failure.
pub fn run(root: &Path) -> Result<()> {
    FORMAT.run(root)?;
    CLIPPY.run(root)?;
    tidy(root)?;
    BUILD.run(root)?;
    let tests = if has_nextest(root) { NEXTEST } else { TEST };
    tests.run(root)?;
    DOCTEST.run(root)?;
    DOC.run(root)?;
    accept::run_configured(root)?;
    say("all checks passed");
    Ok(())
}

/// Builds `lap` for development.
pub fn build(root: &Path) -> Result<()> {
    BUILD.run(root)
}

/// Builds `lap` as one static file for this machine's architecture; the result is where it lies. Manual
/// pages and the shells' scripts are put beside it, in `man` and `completions`.
pub fn dist(root: &Path) -> Result<std::path::PathBuf> {
    let target = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let arguments = [
        "build",
        "--release",
        "--package",
        "lapstrake",
        "--target",
        &target,
    ];
    let build = Step {
        environment: &[("RUSTFLAGS", "-C target-feature=+crt-static")],
        arguments: &arguments,
    };
    build.run(root)?;
    let folder = root.join("target").join(&target).join("release");
    let lap = folder.join("lap");
    write_beside(&lap, &folder)?;
    Ok(lap)
}

/// Has the built program write what people read.
fn write_beside(lap: &Path, folder: &Path) -> Result<()> {
    let man = folder.join("man").display().to_string();
    output_of(lap, &["man", "--output", &man])?;
    output_of(lap, &["man", "--output", &man, "--as", "docker"])?;
    let scripts = folder.join("completions");
    std::fs::create_dir_all(&scripts)?;
    for (shell, file) in [("bash", "lap.bash"), ("fish", "lap.fish"), ("zsh", "_lap")] {
        let text = output_of(lap, &["completion", shell])?;
        std::fs::write(scripts.join(file), text)?;
    }
    Ok(())
}

#[expect(
    clippy::disallowed_methods,
    reason = "running what was built is what this tool is for"
)]
fn output_of(program: &Path, arguments: &[&str]) -> Result<Vec<u8>> {
    let output = Command::new(program)
        .args(arguments)
        .output()
        .with_context(|| format!("{} does not start", program.display()))?;
    if !output.status.success() {
        bail!(
            "{} {}: {}",
            program.display(),
            arguments.join(" "),
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    Ok(output.stdout)
}

/// Checks the structure of the workspace.
pub fn tidy(root: &Path) -> Result<()> {
    say("\n$ cargo xtask tidy");
    let metadata = metadata(root)?;
    let report = tidy::check(root, &metadata)?;
    for warning in &report.warnings {
        say(&format!("warning: {warning}"));
    }
    for error in &report.errors {
        say(&format!("error: {error}"));
    }
    if !report.errors.is_empty() {
        bail!(
            "{} found; repeat with: cargo xtask tidy",
            count(report.errors.len())
        );
    }
    Ok(())
}

/// What cargo knows of the workspace's own packages, as JSON.
pub fn metadata(root: &Path) -> Result<String> {
    let output = cargo(root)
        .args(["metadata", "--format-version", "1", "--no-deps"])
        .output()
        .context("cargo does not start")?;
    if !output.status.success() {
        bail!(
            "cargo metadata: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    String::from_utf8(output.stdout).context("cargo metadata is not UTF-8")
}

impl Step<'_> {
    fn run(&self, root: &Path) -> Result<()> {
        say(&format!("\n$ {self}"));
        let mut command = cargo(root);
        command
            .args(self.arguments)
            .envs(self.environment.iter().copied());
        let status = command.status().context("cargo does not start")?;
        if !status.success() {
            bail!("a check failed; repeat with: {self}");
        }
        Ok(())
    }
}

impl std::fmt::Display for Step<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (name, value) in self.environment {
            write!(f, "{name}=\"{value}\" ")?;
        }
        write!(f, "cargo {}", self.arguments.join(" "))
    }
}

fn has_nextest(root: &Path) -> bool {
    let output = cargo(root).args(["nextest", "--version"]).output();
    output.is_ok_and(|output| output.status.success())
}

#[expect(
    clippy::disallowed_methods,
    reason = "running cargo is what this tool is for"
)]
fn cargo(root: &Path) -> Command {
    let mut command = Command::new("cargo");
    command.current_dir(root);
    command
}

fn count(errors: usize) -> String {
    if errors == 1 {
        "1 error".to_owned()
    } else {
        format!("{errors} errors")
    }
}

#[expect(clippy::print_stdout, reason = "a developer's tool talks")]
pub(crate) fn say(line: &str) {
    println!("{line}");
}
