//! `config check`: every configuration file, what is wrong in it, and what in it does nothing.

use crate::Engine;
use crate::error::{Error, ErrorKind, Origin};
use crate::settings::client::ClientConfig;
use crate::settings::{self, Mistake, Problem, Unused, json};
use lapstrake_registry::hosts::certs::TlsFiles;
use lapstrake_registry::hosts::file as hosts;
use serde::Serialize;
use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

/// Entries of a folder that are looked at.
const ENTRIES_LIMIT: usize = 4096;

/// The longest certificate or TOML file that is read, in bytes.
const SIZE_LIMIT: u64 = 1 << 20;

/// What there is to say about one file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct CheckedFile {
    /// The file.
    pub path: PathBuf,
    /// What is wrong. Nothing else makes a check fail.
    pub problems: Vec<Remark>,
    /// What is accepted and does nothing.
    pub notes: Vec<Remark>,
}

/// One thing to say about a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Remark {
    /// The line, from 1; 0 is the whole file.
    pub line: usize,
    /// The key; empty for the whole file.
    pub key: String,
    /// What there is to say.
    pub message: String,
}

/// Checks one file, or every file that is there. The kind of a file follows from its name.
pub fn check_configuration(
    engine: &Engine,
    file: Option<&Path>,
) -> Result<Vec<CheckedFile>, Error> {
    let Some(path) = file else {
        return Ok(everything(engine));
    };
    if let Err(error) = fs::metadata(path) {
        let text = format!("open {}: {}", path.display(), plain(&error));
        return Err(Error::new(ErrorKind::NotFound, text).with_origin(Origin::Client));
    }
    Ok(vec![one(path)])
}

fn one(path: &Path) -> CheckedFile {
    match path.file_name().and_then(|name| name.to_str()) {
        Some("config.json") => client(path),
        Some("hosts.toml") => mirrors(path),
        _ => daemon(path),
    }
}

fn everything(engine: &Engine) -> Vec<CheckedFile> {
    let settings = engine.settings();
    let mut files = Vec::new();
    let mut in_force: Option<&str> = None;
    for path in settings::CONFIG_FILES {
        if !Path::new(path).exists() {
            continue;
        }
        let is_root = rustix::process::geteuid().is_root();
        if fs::File::open(path).is_err_and(|error| settings::is_passed_over(&error, is_root)) {
            let mut passed_over = CheckedFile::new(Path::new(path));
            passed_over.note(0, "", "not read, because this user may not".to_owned());
            files.push(passed_over);
            continue;
        }
        let mut checked = daemon(Path::new(path));
        if let Some(first) = in_force {
            checked.note(0, "", format!("not read, because {first} is there"));
        }
        in_force = in_force.or(Some(path));
        files.push(checked);
    }
    let config = settings.config_dir.join("config.json");
    if config.exists() {
        files.push(client(&config));
    }
    for root in &settings.certs_dirs {
        for folder in entries(root) {
            files.extend(registry(&folder));
        }
    }
    let own = entries(Path::new("/etc/lapstrake"));
    let others = own.iter().filter(|path| {
        let is_json = path
            .extension()
            .is_some_and(|extension| extension == "json");
        is_json && path.file_name().is_some_and(|name| name != "daemon.json")
    });
    files.extend(others.map(|path| syntax(path)));
    files
}

impl CheckedFile {
    fn new(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            problems: Vec::new(),
            notes: Vec::new(),
        }
    }

    fn problem(&mut self, line: usize, key: &str, message: String) {
        let key = key.to_owned();
        self.problems.push(Remark { line, key, message });
    }

    fn note(&mut self, line: usize, key: &str, message: String) {
        let key = key.to_owned();
        self.notes.push(Remark { line, key, message });
    }

    fn unreadable(path: &Path, error: &io::Error) -> Self {
        let mut checked = Self::new(path);
        checked.problem(0, "", plain(error));
        checked
    }

    /// Takes over what reading a JSON file has found.
    fn found(path: &Path, problems: &[Problem], unused: &[Unused]) -> Self {
        let mut checked = Self::new(path);
        for one in problems {
            let message = match one.mistake {
                Mistake::Syntax => format!("invalid JSON: {}", one.message),
                _ => one.message.clone(),
            };
            checked.problem(one.line, &one.key, message);
        }
        for one in unused {
            let message = match &one.meant {
                Some(meant) => format!("accepted and not used; the key is called {meant}"),
                None => "accepted and not used".to_owned(),
            };
            checked.note(one.line, &one.key, message);
        }
        checked
    }
}

fn daemon(path: &Path) -> CheckedFile {
    match settings::check_file(path) {
        Ok((problems, unused)) => CheckedFile::found(path, &problems, &unused),
        Err(error) => CheckedFile::unreadable(path, &error),
    }
}

fn client(path: &Path) -> CheckedFile {
    let folder = path.parent().unwrap_or_else(|| Path::new("."));
    match ClientConfig::load(folder) {
        Ok(config) => CheckedFile::found(path, &config.problems, &config.unused),
        Err(error) => CheckedFile::unreadable(path, &error),
    }
}

/// Any other JSON file.
fn syntax(path: &Path) -> CheckedFile {
    let mut checked = CheckedFile::new(path);
    match read(path).map(|text| json::parse(&text)) {
        Ok(Ok(_)) => {}
        Ok(Err(error)) => {
            checked.problem(error.line, "", format!("invalid JSON: {}", error.message));
        }
        Err(error) => checked.problem(0, "", plain(&error)),
    }
    checked
}

/// A folder of `certs.d`: its mirrors and its certificates.
fn registry(folder: &Path) -> Vec<CheckedFile> {
    let mut files = Vec::new();
    let toml = folder.join("hosts.toml");
    if toml.exists() {
        files.push(mirrors(&toml));
    }
    let tls = TlsFiles::read_folder(folder);
    for path in &tls.authorities {
        files.push(pem(path, "CERTIFICATE"));
    }
    for (path, key) in &tls.clients {
        let mut checked = pem(path, "CERTIFICATE");
        if let Some(key) = key.as_ref().filter(|key| !key.exists()) {
            checked.problem(
                0,
                "",
                format!(
                    "missing key {} for client certificate {}. CA certificates must use the extension .crt",
                    name(key),
                    name(path)
                ),
            );
        }
        files.push(checked);
    }
    let keys = entries(folder);
    for path in keys
        .iter()
        .filter(|path| path.extension().is_some_and(|e| e == "key"))
    {
        let mut checked = pem(path, "PRIVATE KEY");
        let certificate = path.with_extension("cert");
        if !certificate.exists() {
            let (certificate, key) = (name(&certificate), name(path));
            checked.problem(
                0,
                "",
                format!("missing client certificate {certificate} for key {key}"),
            );
        }
        files.push(checked);
    }
    files
}

fn mirrors(path: &Path) -> CheckedFile {
    let mut checked = CheckedFile::new(path);
    let text = match read(path) {
        Ok(text) => String::from_utf8_lossy(&text).into_owned(),
        Err(error) => return CheckedFile::unreadable(path, &error),
    };
    if let Err(error) = hosts::parse(&text, path) {
        let (line, message) = toml_message(&error.error);
        checked.problem(line, "", message);
        return checked;
    }
    for host in hosts::parse(&text, path).unwrap_or_default() {
        let missing = host.tls.authorities.iter().filter(|file| !file.exists());
        for file in missing {
            let url = host.url.clone().unwrap_or_else(|| "server".to_owned());
            checked.problem(
                0,
                "ca",
                format!("{url}: there is no file {}", file.display()),
            );
        }
    }
    checked
}

/// Line and text of what the TOML reader says: `TOML parse error at line 3, column 5`, a picture, the reason.
fn toml_message(text: &str) -> (usize, String) {
    let line = text
        .split_once("at line ")
        .and_then(|(_, rest)| rest.split(',').next())
        .and_then(|number| number.parse().ok());
    let reason = text.lines().rfind(|line| !line.trim().is_empty());
    (line.unwrap_or(0), reason.unwrap_or(text).trim().to_owned())
}

/// A file that must hold a block of this kind.
fn pem(path: &Path, kind: &str) -> CheckedFile {
    let mut checked = CheckedFile::new(path);
    match read(path) {
        Ok(text) => {
            let text = String::from_utf8_lossy(&text);
            let is_there = text
                .lines()
                .any(|line| line.starts_with("-----BEGIN ") && line.contains(kind));
            if !is_there {
                checked.problem(
                    0,
                    "",
                    format!("there is no PEM block with a {} in it", kind.to_lowercase()),
                );
            }
        }
        Err(error) => checked.problem(0, "", plain(&error)),
    }
    checked
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    fs::File::open(path)?
        .take(SIZE_LIMIT)
        .read_to_end(&mut text)?;
    Ok(text)
}

/// What is in a folder, by name; nothing when there is none.
fn entries(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Vec::new();
    };
    let mut paths: Vec<PathBuf> = entries
        .take(ENTRIES_LIMIT)
        .flatten()
        .map(|entry| entry.path())
        .collect();
    paths.sort();
    paths
}

fn name(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default();
    name.to_string_lossy().into_owned()
}

/// A system error without its number.
fn plain(error: &io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or(&text);
    text.to_lowercase()
}
