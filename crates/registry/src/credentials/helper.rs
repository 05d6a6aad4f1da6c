//! The credential-helper protocol: `docker-credential-NAME get|store|erase`, one message on standard
//! input, one on standard output.

use super::{Credential, CredentialsError, TOKEN_USER};
use serde::{Deserialize, Serialize};
use std::io::{Read, Write};
use std::process::{Command, Stdio};

/// Bytes read from a helper program.
const OUTPUT_LIMIT: u64 = 1 << 20;

/// What a helper prints when it knows nothing about a server.
const NOT_FOUND: &str = "credentials not found in native keychain";

#[derive(Deserialize, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Message {
    #[serde(rename = "ServerURL")]
    server: String,
    username: String,
    secret: String,
}

/// The credentials that helper `name` holds for a server.
pub(super) fn get(name: &str, server: &str) -> Result<Option<Credential>, CredentialsError> {
    get_from(&program(name, "getting")?, server)
}

/// Has helper `name` keep credentials.
pub(super) fn store(
    name: &str,
    server: &str,
    credential: &Credential,
) -> Result<(), CredentialsError> {
    store_in(&program(name, "storing")?, server, credential)
}

/// Has helper `name` forget a server. Nothing to forget is no error.
pub(super) fn erase(name: &str, server: &str) -> Result<(), CredentialsError> {
    erase_in(&program(name, "erasing")?, server)
}

/// The program of a helper, to be found on the search path.
fn program(name: &str, action: &'static str) -> Result<String, CredentialsError> {
    let program = format!("docker-credential-{name}");
    if name.is_empty() || name.contains('/') {
        return Err(failed(
            action,
            &format!("exec: {program:?}: invalid helper name"),
            "",
        ));
    }
    Ok(program)
}

pub(super) fn get_from(
    program: &str,
    server: &str,
) -> Result<Option<Credential>, CredentialsError> {
    let action = "getting";
    let (success, output) = run(program, "get", server, action)?;
    if !success {
        if output.contains(NOT_FOUND) {
            return Ok(None);
        }
        return Err(failed(action, "exit status 1", &output));
    }
    let message: Message =
        serde_json::from_str(&output).map_err(|error| failed(action, &error.to_string(), ""))?;
    if message.username == TOKEN_USER {
        return Ok(Some(Credential::identity_token("", &message.secret)));
    }
    Ok(Some(Credential::password(
        &message.username,
        &message.secret,
    )))
}

pub(super) fn store_in(
    program: &str,
    server: &str,
    credential: &Credential,
) -> Result<(), CredentialsError> {
    let action = "storing";
    let (username, secret) = match credential.as_identity_token() {
        Some(token) => (TOKEN_USER, token),
        None => (
            credential.username(),
            credential.as_password().unwrap_or_default(),
        ),
    };
    let message = Message {
        server: server.to_owned(),
        username: username.to_owned(),
        secret: secret.to_owned(),
    };
    let text =
        serde_json::to_string(&message).map_err(|error| failed(action, &error.to_string(), ""))?;
    let (success, output) = run(program, "store", &text, action)?;
    if success {
        Ok(())
    } else {
        Err(failed(action, "exit status 1", &output))
    }
}

pub(super) fn erase_in(program: &str, server: &str) -> Result<(), CredentialsError> {
    let action = "erasing";
    let (success, output) = run(program, "erase", server, action)?;
    if success || output.contains(NOT_FOUND) {
        return Ok(());
    }
    Err(failed(action, "exit status 1", &output))
}

#[expect(
    clippy::disallowed_methods,
    reason = "the credential-helper protocol is a program to start; there is no other way to a keychain"
)]
fn command(program: &str) -> Command {
    Command::new(program)
}

/// Runs a helper: whether it succeeded, and what it printed.
fn run(
    program: &str,
    verb: &str,
    input: &str,
    action: &'static str,
) -> Result<(bool, String), CredentialsError> {
    let mut child = command(program)
        .arg(verb)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .map_err(|error| failed(action, &spawn_words(program, &error), ""))?;
    if let Some(mut stdin) = child.stdin.take() {
        // A helper that does not read what it is told shows that by its exit status.
        drop(stdin.write_all(input.as_bytes()));
    }
    let mut output = Vec::new();
    let mut read = Ok(0);
    if let Some(stdout) = child.stdout.take() {
        read = stdout.take(OUTPUT_LIMIT).read_to_end(&mut output);
    }
    let status = child
        .wait()
        .map_err(|error| failed(action, &error.to_string(), ""))?;
    read.map_err(|error| failed(action, &error.to_string(), ""))?;
    Ok((
        status.success(),
        String::from_utf8_lossy(&output).trim().to_owned(),
    ))
}

fn spawn_words(program: &str, error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::NotFound => {
            format!("exec: {program:?}: executable file not found in $PATH")
        }
        _ => format!("exec: {program:?}: {error}"),
    }
}

fn failed(action: &'static str, error: &str, output: &str) -> CredentialsError {
    CredentialsError::Helper {
        action,
        error: error.to_owned(),
        output: output.to_owned(),
    }
}
