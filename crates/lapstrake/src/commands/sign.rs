//! `trust key generate` and `trust sign`.

use super::login::read_hidden;
use super::{Cmd, block_on};
use crate::args::{Arity, Flag};
use crate::cli::{Invocation, now};
use crate::env::Environment;
use crate::failure::Failure;
use crate::ui::output::Stream;
use crate::ui::progress::Progress;
use lapstrake_engine::ops::{self, GenerateKey, PushRequest};
use lapstrake_engine::{Secret, SigningKey};
use std::fs::File;
use std::io::{IsTerminal, Read};
use std::path::{Path, PathBuf};

/// Bytes of a file with a private key.
const KEY_LIMIT: u64 = 64 << 10;

pub(super) static GENERATE: Cmd = Cmd {
    usage: "NAME",
    about: "Generate and load a signing key-pair",
    long: "",
    aliases: &[],
    flags: &[Flag::text(
        "dir",
        "Directory to generate key in, defaults to current directory",
    )],
    arity: Arity::Exact(1),
    interspersed: true,
    run: generate,
};

pub(super) static COMMAND: Cmd = Cmd {
    usage: "IMAGE:TAG",
    about: "Sign an image",
    long: "",
    aliases: &[],
    flags: &[
        Flag::text("key", "Private key, when there are several"),
        Flag::bool("local", "Sign a locally tagged image"),
    ],
    arity: Arity::Exact(1),
    interspersed: true,
    run: sign,
};

fn generate(invocation: &Invocation<'_>) -> Result<u8, Failure> {
    let matches = invocation.matches;
    let name = matches.required(0);
    let folder = matches.nonempty("dir").unwrap_or(".");
    let mut request = GenerateKey {
        name: name.to_owned(),
        folder: Environment::absolute(Path::new(folder)),
        private_folder: invocation.env.private_keys(),
        passphrase: Secret::default(),
    };
    request.check()?;
    let output = invocation.output;
    output.line(&format!("Generating key for {name}..."));
    request.passphrase = if let Some(passphrase) = invocation.env.passphrase() {
        passphrase.clone()
    } else {
        let words = format!("passphrase for new {name} key: ");
        let first = asked(invocation, &format!("Enter {words}"))?;
        if asked(invocation, &format!("Repeat {words}"))? != first {
            return Err(Failure::new("passphrases do not match"));
        }
        first
    };
    ops::generate_key(&request)?;
    output.line(&format!(
        "Successfully generated and loaded private key. Corresponding public key available: {}",
        request.public_file().display()
    ));
    Ok(0)
}

fn sign(invocation: &Invocation<'_>) -> Result<u8, Failure> {
    let matches = invocation.matches;
    let name = matches.required(0);
    let key = match matches.nonempty("key") {
        Some(path) => Some(open(invocation, Path::new(path))?),
        None => own_key(invocation)?,
    };
    let key = key.ok_or_else(|| {
        Failure::new("there is no key to sign with").with_hint(
            "`lap trust key generate NAME` makes one; `--key` names one that is somewhere else",
        )
    })?;
    let output = invocation.output;
    if matches.is("local") {
        let files = invocation.env.trust_files();
        let engine = invocation
            .engine
            .clone()
            .with_content_trust(files)
            .with_signer(key);
        let request = PushRequest {
            reference: name.to_owned(),
            all_tags: false,
            platform: None,
        };
        let progress = Progress::new(output, Stream::Out, false, now);
        block_on(ops::push(&engine, &request, &progress))?;
        return Ok(0);
    }
    let (signed, _digest) = block_on(ops::sign_image(invocation.engine, name, &key))?;
    output.line(&format!("Successfully signed {}", signed.canonical()));
    Ok(0)
}

/// The one private key that is kept here.
pub(super) fn own_key(invocation: &Invocation<'_>) -> Result<Option<SigningKey>, Failure> {
    let folder = invocation.env.private_keys();
    let entries = match std::fs::read_dir(&folder) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        other => other?,
    };
    let mut files: Vec<PathBuf> = Vec::new();
    for entry in entries {
        let path = entry?.path();
        if path.extension().is_some_and(|end| end == "key") {
            files.push(path);
        }
    }
    match files.as_slice() {
        [] => Ok(None),
        [file] => open(invocation, file).map(Some),
        _ => Err(
            Failure::new(format!("there are several keys in {}", folder.display()))
                .with_hint("`lap trust sign --key FILE IMAGE:TAG` signs with one of them"),
        ),
    }
}

fn open(invocation: &Invocation<'_>, file: &Path) -> Result<SigningKey, Failure> {
    let shown = file.display();
    let mut text = String::new();
    let read = File::open(file).and_then(|file| file.take(KEY_LIMIT).read_to_string(&mut text));
    read.map_err(|error| {
        Failure::new(format!("open {shown}: {}", crate::failure::io_text(&error)))
    })?;
    let passphrase = if let Some(passphrase) = invocation.env.passphrase() {
        passphrase.clone()
    } else {
        let name = file.file_stem().unwrap_or_default().to_string_lossy();
        asked(invocation, &format!("Enter passphrase for {name} key: "))?
    };
    SigningKey::open(&text, passphrase.reveal()).map_err(|error| {
        let mut failure = Failure::from(error);
        failure.text = format!("{shown}: {}", failure.text);
        failure
    })
}

fn asked(invocation: &Invocation<'_>, words: &str) -> Result<Secret, Failure> {
    if !std::io::stdin().is_terminal() {
        return Err(Failure::new(
            "the passphrase cannot be asked for: the input device is not a TTY",
        )
        .with_hint("DOCKER_CONTENT_TRUST_REPOSITORY_PASSPHRASE can have it"));
    }
    let passphrase = read_hidden(invocation.output, words)?;
    invocation.output.line("");
    Ok(passphrase.into())
}
