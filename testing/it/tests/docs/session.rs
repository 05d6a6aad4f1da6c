//! A shell on a pseudo terminal, in which somebody types the commands of a page.
#![allow(
    clippy::disallowed_methods,
    reason = "a test of processes and time: it starts a shell and waits for it"
)]

use std::fs::File;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use lapstrake_testkit::Directory;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{FileType, Mode, OFlags};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

use super::screen::Screen;
use super::shape::Shape;
use super::world::PASSWORD;

/// How long one command may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// As people have it; lines are not broken whatever their length.
const COLUMNS: u16 = 120;
const ROWS: u16 = 50;

/// Reads commands from a pipe, so that the terminal is free for what they read; tells the terminal in a way that
/// nobody sees that one has ended.
const LOOP: &str = r#"
status() { return "$1"; }
last=0 number=0
exec 3< "$1"
while IFS= read -r -d '' command <&3; do
  status "$last"
  eval "$command" 3<&-
  last=$? number=$((number + 1))
  printf '\e]done;%s\a' "$number"
done
kill $(jobs -p) 2>/dev/null
"#;

/// The shell.
pub(crate) struct Session {
    terminal: OwnedFd,
    commands: Option<File>,
    shell: Child,
    folder: Directory,
    number: u32,
}

impl Session {
    /// Starts it, with `lap` in the folder `bin`.
    pub(crate) fn start(bin: &Path) -> Self {
        let folder = Directory::new();
        let pipe = folder.join("commands");
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, FileType::Fifo, Mode::RWXU, 0).unwrap();
        let terminal =
            openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
        grantpt(&terminal).unwrap();
        unlockpt(&terminal).unwrap();
        let size = Winsize {
            ws_row: ROWS,
            ws_col: COLUMNS,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        tcsetwinsize(&terminal, size).unwrap();
        let name = ptsname(&terminal, Vec::new()).unwrap();
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
        let inner = || Stdio::from(rustix::fs::open(&name, flags, Mode::empty()).unwrap());
        let shell = Command::new("bash")
            .args(["--norc", "--noprofile", "-c", LOOP, "bash"])
            .arg(&pipe)
            .env_clear()
            .env(
                "PATH",
                format!("{}:/usr/sbin:/usr/bin:/sbin:/bin", bin.display()),
            )
            .env("HOME", "/root")
            .env("LANG", "C.UTF-8")
            .env("TERM", "xterm")
            .env("TZ", "UTC")
            .current_dir("/root")
            .stdin(inner())
            .stdout(inner())
            .stderr(inner())
            .spawn()
            .unwrap();
        let commands = File::options().write(true).open(&pipe).unwrap();
        Self {
            terminal,
            commands: Some(commands),
            shell,
            folder,
            number: 0,
        }
    }

    /// Writes a file, relative to where the shell is.
    pub(crate) fn write(&mut self, name: &str, text: &str) {
        let from = self.folder.write("file", text);
        let command = format!(
            "mkdir -p \"$(dirname '{name}')\" && cp '{}' '{name}'",
            from.display()
        );
        assert_eq!(self.run(&command, &[]), Vec::<String>::new());
    }

    /// Types a command, and then what the page shows behind prompts; what the terminal shows.
    pub(crate) fn run(&mut self, command: &str, expected: &[String]) -> Vec<String> {
        let sockets = listening();
        let mut pipe = self.commands.as_ref().unwrap();
        pipe.write_all(format!("{command}\0").as_bytes()).unwrap();
        self.number += 1;
        let done = format!("done;{}", self.number);
        let mut screen = Screen::default();
        let mut last = None;
        for answer in expected.iter().filter_map(|line| Answer::of(line)) {
            let prompt = Shape::of(answer.prompt);
            let asked = |screen: &Screen| {
                let (row, text) = screen.current();
                last.is_none_or(|last| row > last) && Shape::of(&text).text == prompt.text
            };
            if !self.watch(&mut screen, |screen| asked(screen) || screen.mark == done) {
                return given_up(&screen);
            }
            if screen.mark == done {
                return screen.lines();
            }
            last = Some(screen.current().0);
            let typed = format!("{}\n", answer.typed);
            rustix::io::write(&self.terminal, typed.as_bytes()).unwrap();
        }
        if !self.watch(&mut screen, |screen| screen.mark == done) {
            return given_up(&screen);
        }
        if command.trim_end().ends_with('&') {
            crate::containers::wait_until("a server's start", || listening() > sockets);
        }
        screen.lines()
    }

    /// Draws what comes until something is so; false when it does not happen.
    fn watch(&self, screen: &mut Screen, is_so: impl Fn(&Screen) -> bool) -> bool {
        let start = Instant::now();
        let mut buffer = [0; 8192];
        while !is_so(screen) {
            let second = Timespec {
                tv_sec: 1,
                tv_nsec: 0,
            };
            let mut polled = [PollFd::new(&self.terminal, PollFlags::IN)];
            if poll(&mut polled, Some(&second)).unwrap() == 0 {
                if start.elapsed() > PATIENCE {
                    return false;
                }
                continue;
            }
            match rustix::io::read(&self.terminal, &mut buffer) {
                Ok(length) => screen.feed(&buffer[..length]),
                Err(_hung_up) => return false,
            }
        }
        true
    }
}

fn given_up(screen: &Screen) -> Vec<String> {
    let mut lines = screen.lines();
    lines.push("[the test waits in vain]".to_owned());
    lines
}

/// The sockets that listen in this thread's network.
fn listening() -> usize {
    let tables = ["/proc/thread-self/net/tcp", "/proc/thread-self/net/tcp6"];
    let lines = tables.map(|table| {
        let text = std::fs::read_to_string(table).unwrap_or_default();
        let states = text
            .lines()
            .filter_map(|line| line.split_whitespace().nth(3));
        states.filter(|state| *state == "0A").count()
    });
    lines.iter().sum()
}

impl Drop for Session {
    fn drop(&mut self) {
        drop(self.commands.take());
        self.shell.wait().ok();
    }
}

/// A line of a page in which somebody types something.
#[derive(Debug, PartialEq, Eq)]
struct Answer<'a> {
    prompt: &'a str,
    typed: &'a str,
}

impl<'a> Answer<'a> {
    /// Prompts are those of a shell in a container, of `login`, for passphrases, and questions.
    fn of(line: &'a str) -> Option<Self> {
        let asks = [
            "Password",
            "Enter passphrase for ",
            "Repeat passphrase for ",
        ];
        let is_secret = asks.iter().any(|start| line.starts_with(start));
        if is_secret && line.trim_end().ends_with(':') {
            return Some(Self {
                prompt: line,
                typed: PASSWORD,
            });
        }
        let is_shell = ["root@", "bash-", "/ #"]
            .iter()
            .any(|start| line.starts_with(start));
        let end = if is_shell {
            line.find("# ")? + 2
        } else {
            let ends = ["[y/N] ", "Username: "];
            ends.iter()
                .find_map(|end| Some(line.find(end)? + end.len()))?
        };
        let (prompt, typed) = line.split_at(end);
        Some(Self { prompt, typed })
    }
}

#[test]
fn what_is_typed_stands_behind_prompts() {
    for (line, expected) in [
        (
            "root@0b2616b0e5a8:/# echo a",
            Some(("root@0b2616b0e5a8:/# ", "echo a")),
        ),
        ("/ # exit", Some(("/ # ", "exit"))),
        ("Username: kate", Some(("Username: ", "kate"))),
        ("Password: ", Some(("Password: ", PASSWORD))),
        (
            "Repeat passphrase for new me key:",
            Some(("Repeat passphrase for new me key:", PASSWORD)),
        ),
        ("Are you sure? [y/N] y", Some(("Are you sure? [y/N] ", "y"))),
        ("REPOSITORY", None),
    ] {
        let answer = Answer::of(line).map(|answer| (answer.prompt, answer.typed));
        assert_eq!(answer, expected);
    }
}
