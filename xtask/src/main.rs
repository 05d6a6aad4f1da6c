//! `cargo xtask`: see the library's documentation.

use std::process::ExitCode;

const USAGE: &str = "\
usage: cargo xtask TASK

  accept SUITE [ARG...]
          a suite that tests any docker-compatible command line, with the lap of this workspace;
          SUITE is a python program that takes its command line from ENGINE
  ci      everything that is checked: formatting, lints, structure, tests, documentation, and the suite
          that LAPSTRAKE_ACCEPTANCE names
  dist    lap as one static file, target/<machine>/release/lap, with man/ and completions/ beside it
  tidy    the structure alone: arrows between crates, lengths of files, words
";

#[expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a developer's tool talks"
)]
fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let root = xtask::workspace_root();
    let result = match *arguments.as_slice() {
        ["accept", suite, ref arguments @ ..] => {
            xtask::accept::run(&root, suite.as_ref(), arguments)
        }
        ["ci"] => xtask::ci::run(&root),
        ["dist"] => xtask::ci::dist(&root).map(|lap| println!("{}", lap.display())),
        ["tidy"] => xtask::ci::tidy(&root),
        ["help" | "--help" | "-h"] => {
            print!("{USAGE}");
            Ok(())
        }
        _ => {
            eprint!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
