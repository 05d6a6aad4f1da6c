//! Prints the nodes of Dockerfiles as nested lists: `dump FILE…`.
#![allow(
    clippy::print_stdout,
    clippy::allow_attributes,
    reason = "printing is all that the program does"
)]

fn main() -> Result<(), Box<dyn std::error::Error>> {
    for path in std::env::args().skip(1) {
        let syntax = lapstrake_dockerfile::parse(&std::fs::read(path)?)?;
        println!("{}", syntax.dump());
    }
    Ok(())
}
