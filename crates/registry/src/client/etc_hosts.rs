//! Names that the machine knows by itself: `/etc/hosts`.
//!
//! The resolver asks name servers for the addresses of the other family even when the file has one, so
//! a machine without a working name server would wait for each of them. What the file says is final, as
//! it is for every other program.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::net::{IpAddr, SocketAddr};

const PATH: &str = "/etc/hosts";
/// The most that is read of the file; longer ones are lists of what to block.
const FILE_LIMIT: u64 = 1 << 20;

/// The names of the file with their addresses; none when it cannot be read.
pub(super) fn read() -> BTreeMap<String, Vec<SocketAddr>> {
    let mut text = Vec::new();
    match std::fs::File::open(PATH).and_then(|file| file.take(FILE_LIMIT).read_to_end(&mut text)) {
        Ok(_) => parse(&String::from_utf8_lossy(&text)),
        Err(_unreadable) => BTreeMap::new(),
    }
}

fn parse(text: &str) -> BTreeMap<String, Vec<SocketAddr>> {
    let mut known: BTreeMap<String, Vec<SocketAddr>> = BTreeMap::new();
    for line in text.lines() {
        let line = line.split('#').next().unwrap_or_default();
        let mut words = line.split_ascii_whitespace();
        let Some(address) = words.next().and_then(|word| word.parse::<IpAddr>().ok()) else {
            continue;
        };
        for name in words {
            let addresses = known.entry(name.to_ascii_lowercase()).or_default();
            // The port is that of the address asked for.
            addresses.push(SocketAddr::new(address, 0));
        }
    }
    known
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_hosts() {
        let text = "127.0.0.1 localhost # this one\n::1 localhost ip6\n\n# 10.0.0.1 no\nbad name\n\
                    10.0.0.2\tRegistry.Test other";
        let known: Vec<_> = parse(text)
            .into_iter()
            .map(|(name, addresses)| format!("{name} {addresses:?}"))
            .collect();
        assert_eq!(
            known,
            [
                "ip6 [[::1]:0]",
                "localhost [127.0.0.1:0, [::1]:0]",
                "other [10.0.0.2:0]",
                "registry.test [10.0.0.2:0]",
            ]
        );
    }
}
