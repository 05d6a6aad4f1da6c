//! `login`: credentials for a registry, checked and kept.

use super::{Cmd, block_on};
use crate::args::{Arity, Flag, Matches};
use crate::cli::Invocation;
use crate::failure::{Failure, INTERRUPTED};
use crate::ui::Output;
use crate::ui::output::Stream;
use lapstrake_engine::ops::{self, LoginRequest};
use lapstrake_engine::registry::credentials::{Credential, Credentials, DockerConfig};
use lapstrake_sys::tty::RawMode;
use std::io::{IsTerminal, Read};
use std::os::fd::AsFd;

pub(super) static COMMAND: Cmd = Cmd {
    usage: "[OPTIONS] [SERVER]",
    about: "Authenticate to a registry",
    long: "Authenticate to a registry.\nDefaults to Docker Hub if no server is specified.",
    aliases: &[],
    flags: &[
        Flag::text("password", "Password or Personal Access Token (PAT)").short('p'),
        Flag::bool(
            "password-stdin",
            "Take the Password or Personal Access Token (PAT) from stdin",
        ),
        Flag::text("username", "Username").short('u'),
    ],
    arity: Arity::AtMost(1),
    interspersed: true,
    run,
};

/// The name of Docker Hub among the credentials.
pub(super) const HUB: &str = "https://index.docker.io/v1/";
/// A password read from the standard input may be this long.
const MAX_PASSWORD: u64 = 64 * 1024;

fn run(invocation: &Invocation<'_>) -> Result<u8, Failure> {
    let matches = invocation.matches;
    check(matches)?;
    let server = server(matches.arg(0));
    let username = matches
        .text("username")
        .unwrap_or_default()
        .trim()
        .to_owned();
    let password = password(invocation)?;
    if username.is_empty()
        && password.is_empty()
        && let Some((user, secret)) = known(invocation, server.as_deref())
        && again(invocation, server.as_deref(), &user, &secret)?
    {
        return Ok(0);
    }
    let request = prompt(invocation, server, username, password)?;
    login(invocation, &request)?;
    Ok(0)
}

/// Flags that exclude or need each other.
fn check(matches: &Matches) -> Result<(), Failure> {
    if matches.changed("password-stdin") {
        if matches.changed("password") {
            return Err(Failure::new(
                "conflicting options: cannot specify both --password and --password-stdin",
            ));
        }
        if !matches.changed("username") {
            return Err(Failure::new(
                "the --password-stdin option requires --username to be set",
            ));
        }
    }
    for name in ["username", "password"] {
        if matches.changed(name) && matches.nonempty(name).is_none() {
            return Err(Failure::new(format!("{name} is empty")));
        }
    }
    Ok(())
}

/// The registry; `None` is Docker Hub.
pub(super) fn server(typed: Option<&str>) -> Option<String> {
    typed
        .filter(|server| !server.is_empty() && *server != "docker.io")
        .map(str::to_owned)
}

fn password(invocation: &Invocation<'_>) -> Result<String, Failure> {
    if let Some(password) = invocation.matches.nonempty("password") {
        invocation
            .output
            .err_line("WARNING! Using --password via the CLI is insecure. Use --password-stdin.");
        return Ok(password.to_owned());
    }
    if !invocation.matches.is("password-stdin") {
        return Ok(String::new());
    }
    let mut text = String::new();
    std::io::stdin()
        .take(MAX_PASSWORD)
        .read_to_string(&mut text)?;
    let text = text.strip_suffix('\n').unwrap_or(&text);
    Ok(text.strip_suffix('\r').unwrap_or(text).to_owned())
}

/// User and password that are kept for the registry.
fn known(invocation: &Invocation<'_>, server: Option<&str>) -> Option<(String, String)> {
    let config = DockerConfig::load(&invocation.engine.settings().config_dir).ok()?;
    let credential: Credential = config.get(server.unwrap_or(HUB)).ok()??;
    let password = credential.as_password()?;
    (!credential.username().is_empty() && !password.is_empty())
        .then(|| (credential.username().to_owned(), password.to_owned()))
}

/// Tries the credentials that are kept; false when new ones are needed.
fn again(
    invocation: &Invocation<'_>,
    server: Option<&str>,
    username: &str,
    password: &str,
) -> Result<bool, Failure> {
    let output = invocation.output;
    let program = invocation.program;
    output.err_line(&format!(
        "Authenticating with existing credentials... [Username: {username}]"
    ));
    output.err_line(&format!(
        "\n Info -> To login with a different account, run '{program} logout' followed by '{program} \
         login'\n\n"
    ));
    let request = LoginRequest {
        server: server.map(str::to_owned),
        username: username.to_owned(),
        password: password.to_owned(),
    };
    match block_on(ops::login(invocation.engine, &request)) {
        Ok(result) => {
            output.line(&result.status);
            Ok(true)
        }
        Err(failure) if failure.status == INTERRUPTED => Err(failure),
        Err(failure) => {
            output.err_line(&format!("Login did not succeed, error: {}", failure.text));
            Ok(false)
        }
    }
}

fn prompt(
    invocation: &Invocation<'_>,
    server: Option<String>,
    mut username: String,
    mut password: String,
) -> Result<LoginRequest, Failure> {
    if (username.is_empty() || password.is_empty()) && !std::io::stdin().is_terminal() {
        return Err(Failure::new(
            "Error: Cannot perform an interactive login from a non TTY device",
        ));
    }
    if username.is_empty() {
        invocation.output.print("Username: ");
        username = read_line(invocation.output)?;
        if username.is_empty() {
            return Err(Failure::new("Error: Non-null Username Required"));
        }
    }
    if password.is_empty() {
        password = read_hidden(invocation.output, "Password: ")?;
        invocation.output.line("");
        if password.is_empty() {
            return Err(Failure::new("Error: Password Required"));
        }
    }
    Ok(LoginRequest {
        server,
        username,
        password,
    })
}

fn read_line(output: &Output) -> Result<String, Failure> {
    output.flush();
    let mut line = String::new();
    std::io::stdin().read_line(&mut line)?;
    Ok(line.trim().to_owned())
}

/// Asks for a line that the terminal does not show: not even to who types as soon as the question is there. An
/// interrupt gives the terminal back first.
pub(super) fn read_hidden(output: &Output, question: &str) -> Result<String, Failure> {
    let stdin = std::io::stdin();
    let raw = RawMode::enter(stdin.as_fd())?;
    output.print(question);
    output.flush();
    let mut typed = Vec::new();
    let interrupted = loop {
        let mut byte = [0_u8; 1];
        let count = rustix::io::read(stdin.as_fd(), &mut byte).map_err(std::io::Error::from)?;
        match byte {
            _ if count == 0 => break false,
            [b'\r' | b'\n' | 4] => break false,
            [3] => break true,
            [8 | 127] => {
                typed.pop();
            }
            [byte] => typed.push(byte),
        }
    };
    drop(raw);
    if interrupted {
        output.write(Stream::Out, b"\n");
        return Err(Failure::silent(INTERRUPTED));
    }
    Ok(String::from_utf8_lossy(&typed).into_owned())
}

fn login(invocation: &Invocation<'_>, request: &LoginRequest) -> Result<(), Failure> {
    let result = block_on(ops::login(invocation.engine, request))?;
    if let Some(file) = result.unencrypted_file {
        invocation.output.err_line(&format!(
            "\nWARNING! Your credentials are stored unencrypted in '{}'.\nConfigure a credential \
             helper to remove this warning. See\nhttps://docs.docker.com/go/credential-store/\n",
            file.display()
        ));
    }
    invocation.output.line(&result.status);
    Ok(())
}
