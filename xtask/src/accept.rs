//! `cargo xtask accept SUITE`: a suite from elsewhere, run with the `lap` of this workspace.
//!
//! The suite is a Python program that tests any docker-compatible command line and takes it from the variable
//! `ENGINE`. It runs twice: once with the registry that it brings, once with `MIRROR=1` and a registry in
//! `REGISTRY` that the engine uses as its mirror. Each run has a store of its own, which goes afterwards.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, Result, bail};

use crate::ci;

/// Builds `lap` and runs the suite; `arguments` are handed on.
pub fn run(root: &Path, suite: &str, arguments: &[&str]) -> Result<()> {
    let suite = Path::new(suite);
    let suite = suite
        .canonicalize()
        .with_context(|| format!("{} cannot be read", suite.display()))?;
    ci::build(root)?;
    let lap = root.join("target/debug/lap");
    let plain = play(&lap, &suite, arguments, false)?;
    let mirrored = play(&lap, &suite, arguments, true)?;
    if !(plain && mirrored) {
        bail!("the suite failed");
    }
    Ok(())
}

/// One run; whether it passed.
fn play(lap: &Path, suite: &Path, arguments: &[&str], mirrored: bool) -> Result<bool> {
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
    let status = command.status().context("python3 does not start")?;
    drop(registry);
    Ok(status.success())
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
