//! `run`: a container of an image, created, started and attended.

use super::run_flags::FLAGS_OF_RUN;
use super::{Cmd, block_on, run_health, run_request};
use crate::args::{Arity, Matches};
use crate::cli::{Invocation, now};
use crate::failure::{BROKEN_PIPE, Failure, with_prefix};
use crate::ui::output::Stream;
use crate::ui::progress::Progress;
use lapstrake_engine::container::{
    DEFAULT_DETACH_KEYS, Outcome, Pump, Record, RemoveOptions, Session, StartOptions, Window,
    parse_detach_keys,
};
use lapstrake_engine::ops;
use lapstrake_engine::spec::Digest;
use rustix::event::{PollFd, PollFlags};
use std::io::IsTerminal;
use std::os::fd::AsFd;

pub(super) static COMMAND: Cmd = Cmd {
    usage: "[OPTIONS] IMAGE [COMMAND] [ARG...]",
    about: "Create and run a new container from an image",
    long: "",
    aliases: &["container run", "run"],
    flags: FLAGS_OF_RUN,
    arity: Arity::AtLeast(1),
    interspersed: false,
    run,
};

/// Which streams of the container the command takes part in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Streams {
    pub(super) stdin: bool,
    pub(super) stdout: bool,
    pub(super) stderr: bool,
}

fn run(invocation: &Invocation<'_>) -> Result<u8, Failure> {
    let matches = invocation.matches;
    let refused = |text: &str| Failure::of_usage(text, invocation.program, "run", 125);
    let request = run_request::request(invocation).map_err(|text| refused(&text))?;
    let keys = detach_keys(matches.text("detach-keys")).map_err(|text| refused(&text))?;
    let streams = streams(matches);
    let tty = matches.is("tty");
    let detach = matches.is("detach");
    if detach && matches.changed("attach") {
        return Err(Failure::new(
            "conflicting options: cannot specify both --attach and --detach",
        ));
    }
    if !detach && tty && streams.stdin && !std::io::stdin().is_terminal() {
        return Err(Failure::new("the input device is not a TTY"));
    }
    let attend = !detach && (streams.stdin || streams.stdout || streams.stderr);
    let options = if attend {
        options(streams, tty)
    } else {
        StartOptions::detached()
    };
    let mut prepared = None;
    let record = created(invocation, &request, "run", |id| {
        prepared = Some(ops::prepare(invocation.engine, &options)?);
        ops::create(invocation.engine, &request, id, prepared.as_ref())
    })?;
    let failed =
        |error: lapstrake_engine::Error| Failure::of_run(&error, invocation.program, "run");
    let started = match prepared {
        Some(prepared) => ops::start_prepared(invocation.engine, prepared, &record),
        None => ops::start(invocation.engine, record.id.as_str(), &options),
    };
    let mut session = match started {
        Ok(session) => session,
        Err(error) => {
            if record.host_config.auto_remove {
                // The start's own failure is what counts.
                let _gone = ops::remove(
                    invocation.engine,
                    record.id.as_str(),
                    RemoveOptions {
                        force: true,
                        volumes: true,
                    },
                );
            }
            return Err(failed(error));
        }
    };
    if !attend {
        invocation.output.line(record.id.as_str());
        return Ok(0);
    }
    invocation.output.flush();
    attended(&mut session, streams, &keys, matches.is("sig-proxy"))
}

/// Finds the image, has the container created, and says what the user should know about it.
pub(super) fn created(
    invocation: &Invocation<'_>,
    request: &ops::CreateRequest,
    command: &str,
    create: impl FnOnce(Digest) -> Result<ops::Created, lapstrake_engine::Error>,
) -> Result<Record, Failure> {
    let matches = invocation.matches;
    let cid_file = run_request::CidFile::open(matches.nonempty("cidfile"))
        .map_err(|text| Failure::of_usage(&text, invocation.program, command, 125))?;
    let progress = Progress::new(invocation.output, Stream::Err, matches.is("quiet"), now);
    let failed = |error: lapstrake_engine::Error| {
        if command == "run" {
            Failure::of_run(&error, invocation.program, "run")
        } else {
            Failure::from(error)
        }
    };
    let image = match ops::local_image(invocation.engine, request).map_err(failed)? {
        Some(image) if invocation.engine.has_content_trust() => {
            block_on(async {
                let checked = ops::check_image(invocation.engine, request, &image).await;
                checked.map_err(failed)
            })?;
            image
        }
        Some(image) => image,
        None => block_on(async {
            ops::fetch_image(invocation.engine, request, &progress)
                .await
                .map_err(failed)
        })?,
    };
    let created = create(image).map_err(failed)?;
    let of_health = run_health::is_asked_for(request.config.healthcheck.as_ref());
    let of_health = of_health.then_some(run_health::WARNING);
    for warning in created.warnings.iter().map(String::as_str).chain(of_health) {
        invocation.output.err_line(&format!("WARNING: {warning}"));
    }
    cid_file
        .write(created.record.id.as_str())
        .map_err(|text| Failure::of_usage(&text, invocation.program, command, 125))?;
    Ok(created.record)
}

/// Without `-a` the output streams are attended, with `-i` the input as well.
pub(super) fn streams(matches: &Matches) -> Streams {
    let named = matches.list("attach");
    let has = |name: &str| named.iter().any(|stream| stream.eq_ignore_ascii_case(name));
    let all = named.is_empty();
    Streams {
        stdin: has("stdin") || matches.is("interactive"),
        stdout: all || has("stdout"),
        stderr: all || has("stderr"),
    }
}

/// What the start takes part in; a terminal's size is given with it.
pub(super) fn options(streams: Streams, tty: bool) -> StartOptions {
    let window = rustix::termios::tcgetwinsize(rustix::stdio::stdout())
        .ok()
        .filter(|size| tty && size.ws_row > 0)
        .map(|size| Window {
            rows: size.ws_row,
            columns: size.ws_col,
        });
    StartOptions {
        stdin: streams.stdin,
        stdout: streams.stdout,
        stderr: streams.stderr,
        window,
    }
}

/// Carries bytes until the container ends; the result is its exit status.
pub(super) fn attended(
    session: &mut Session,
    streams: Streams,
    detach_keys: &[u8],
    signal_proxy: bool,
) -> Result<u8, Failure> {
    let (stdin, stdout, stderr) = (std::io::stdin(), std::io::stdout(), std::io::stderr());
    let pump = Pump {
        stdin: streams.stdin.then(|| stdin.as_fd()),
        stdout: streams.stdout.then(|| stdout.as_fd()),
        stderr: streams.stderr.then(|| stderr.as_fd()),
        detach_keys,
        signal_proxy,
    };
    let outcome = pump.run(session).map_err(|error| {
        Failure::new(with_prefix(&lapstrake_engine::Error::from(error))).with_status(125)
    })?;
    match outcome {
        Outcome::Exited(code) => Ok(u8::try_from(code & 0xff).unwrap_or(u8::MAX)),
        Outcome::Detached => Ok(0),
        Outcome::Interrupted(signal) => Err(Failure::silent(
            u8::try_from(128 + signal).unwrap_or(u8::MAX),
        )),
        Outcome::Lost if is_closed(&stdout) || is_closed(&stderr) => {
            Err(Failure::silent(BROKEN_PIPE))
        }
        Outcome::Lost => Err(Failure::new("the connection with the container was lost")
            .with_status(125)
            .with_hint("the container may still run: `ps` tells")),
    }
}

/// Whether the other end of a stream has gone.
fn is_closed(stream: impl AsFd) -> bool {
    let mut polled = [PollFd::new(&stream, PollFlags::OUT)];
    let ready = rustix::event::poll(&mut polled, Some(&rustix::event::Timespec::default()));
    ready.is_ok()
        && polled
            .iter()
            .any(|fd| fd.revents().contains(PollFlags::ERR))
}

/// The bytes of `ctrl-p,ctrl-q`.
pub(super) fn detach_keys(text: Option<&str>) -> Result<Vec<u8>, String> {
    match text.filter(|text| !text.is_empty()) {
        Some(text) => parse_detach_keys(text).map_err(|error| error.to_string()),
        None => Ok(DEFAULT_DETACH_KEYS.to_vec()),
    }
}
