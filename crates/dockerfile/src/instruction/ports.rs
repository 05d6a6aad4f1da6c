//! The words of `EXPOSE` after expansion.

use std::net::IpAddr;
use std::ops::RangeInclusive;

use crate::Span;
use crate::lint::{Rule, Warning};
use crate::quote::quote;

/// The most ports of one instruction, ranges spelled out: each port once for every protocol.
pub const PORTS_LIMIT: usize = 3 * 65_536;

/// What `EXPOSE` adds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExposedPorts {
    /// `port/protocol`, in the order of the words; ranges are spelled out.
    pub ports: Vec<String>,
    /// `ExposeProtoCasing` and `ExposeInvalidFormat`.
    pub warnings: Vec<Warning>,
}

/// Why a word is no port, in docker's words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct PortError(String);

/// Reads the expanded words of an `EXPOSE`: `[[ip:][host]:]port[-port][/protocol]`.
pub fn expose(words: &[String], span: Span) -> Result<ExposedPorts, PortError> {
    let mut exposed = ExposedPorts::default();
    for word in words {
        one(word, span, &mut exposed).map_err(PortError)?;
    }
    Ok(exposed)
}

fn one(word: &str, span: Span, exposed: &mut ExposedPorts) -> Result<(), String> {
    let (address, host, container) = split(word);
    let (port, protocol) =
        protocol(container).map_err(|error| format!("invalid port: {}: {error}", quote(word)))?;
    let lower = protocol.to_lowercase();
    if protocol != lower {
        exposed
            .warnings
            .push(Rule::ExposeProtoCasing.at(span, &[word]));
    }
    if !address.is_empty() || !host.is_empty() {
        exposed
            .warnings
            .push(Rule::ExposeInvalidFormat.at(span, &[word]));
    }
    check_address(address)?;
    let ports = range(port).ok_or_else(|| format!("invalid containerPort: {port}"))?;
    if !host.is_empty() {
        let hosts = range(host).ok_or_else(|| format!("invalid hostPort: {host}"))?;
        if ports.len() != hosts.len() && ports.len() != 1 {
            return Err(format!(
                "invalid ranges specified for container and host Ports: {port} and {host}"
            ));
        }
    }
    if exposed.ports.len().saturating_add(ports.len()) > PORTS_LIMIT {
        return Err(format!("more than {PORTS_LIMIT} ports"));
    }
    exposed
        .ports
        .extend(ports.map(|port| format!("{port}/{lower}")));
    Ok(())
}

/// Address, host port and container port; an address may have colons itself.
fn split(word: &str) -> (&str, &str, &str) {
    let Some((rest, container)) = word.rsplit_once(':') else {
        return ("", "", word);
    };
    match rest.rsplit_once(':') {
        Some((address, host)) => (address, host, container),
        None => ("", rest, container),
    }
}

fn protocol(container: &str) -> Result<(&str, &str), String> {
    let (port, protocol) = container.split_once('/').unwrap_or((container, ""));
    if port.is_empty() {
        return Err("no port specified".to_owned());
    }
    match protocol.to_lowercase().as_str() {
        "" => Ok((port, "tcp")),
        "tcp" | "udp" | "sctp" => Ok((port, protocol)),
        _ => Err(format!("invalid proto: {protocol}")),
    }
}

fn check_address(address: &str) -> Result<(), String> {
    if address.is_empty() {
        return Ok(());
    }
    let bare = address
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    match bare.unwrap_or(address).parse::<IpAddr>() {
        Ok(_) => Ok(()),
        Err(_) => Err(format!("invalid IP address: {address}")),
    }
}

/// `port` or `port-port`.
fn range(text: &str) -> Option<RangeInclusive<u16>> {
    let (start, end) = text.split_once('-').unwrap_or((text, text));
    let (start, end) = (start.parse().ok()?, end.parse().ok()?);
    (start <= end).then_some(start..=end)
}

#[cfg(test)]
mod tests;
