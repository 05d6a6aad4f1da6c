//! An entry of `insecure-registries`, checked as docker's daemon checks it when it starts.

/// An entry without its scheme. The error is docker's.
pub(crate) fn checked(entry: &str) -> Result<String, String> {
    let fail = |reason: String| Err(format!("failed to start daemon: {reason}"));
    let lower = entry.to_ascii_lowercase();
    let name = ["http://", "https://"]
        .iter()
        .find(|scheme| lower.starts_with(*scheme))
        .and_then(|scheme| entry.get(scheme.len()..))
        .unwrap_or(entry);
    if name.starts_with('-') || name.ends_with('-') {
        return fail(format!(
            "invalid index name ({name}). Cannot begin or end with a hyphen"
        ));
    }
    if name.contains("://") {
        return fail(format!("insecure registry {name} should not contain '://'"));
    }
    if is_network(name) {
        return Ok(name.to_owned());
    }
    match check_host_port(name) {
        Ok(()) => Ok(name.to_owned()),
        Err(reason) => fail(format!("insecure registry {name} is not valid: {reason}")),
    }
}

/// `10.0.0.0/8`.
fn is_network(name: &str) -> bool {
    let Some((address, bits)) = name.split_once('/') else {
        return false;
    };
    let longest = match address.parse() {
        Ok(std::net::IpAddr::V4(_)) => 32,
        Ok(std::net::IpAddr::V6(_)) => 128,
        Err(_) => return false,
    };
    bits.parse::<u8>().is_ok_and(|bits| bits <= longest)
}

fn check_host_port(name: &str) -> Result<(), String> {
    if name.parse::<std::net::IpAddr>().is_ok() {
        return Ok(());
    }
    let (host, port) = match name.rsplit_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (name, None),
    };
    let bare = host
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    let is_address = bare.is_some_and(|bare| bare.parse::<std::net::IpAddr>().is_ok());
    let is_name = !host.is_empty()
        && host.split('.').all(|part| {
            let is_plain = part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
            is_plain && !part.is_empty() && !part.starts_with('-') && !part.ends_with('-')
        });
    if !is_address && !is_name {
        return Err(format!("invalid host {host:?}"));
    }
    match port {
        Some(port) if port.parse::<u16>().is_err() && !port.is_empty() => {
            Err(format!("invalid port {port:?}"))
        }
        _ => Ok(()),
    }
}
