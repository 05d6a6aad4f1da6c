//! The address of a mirror, checked as docker's daemon checks it.

/// A mirror as it is kept and shown: with a slash at its end. The error is docker's.
pub(crate) fn checked(mirror: &str) -> Result<String, String> {
    let invalid = |reason: String| Err(format!("invalid mirror: {reason}"));
    let not_a_uri = |reason: String| {
        let shown = quote(mirror);
        Err(format!(
            "invalid mirror: {shown} is not a valid URI: parse {shown}: {reason}"
        ))
    };
    if mirror.chars().any(|c| c.is_ascii_control()) {
        return not_a_uri("net/url: invalid control character in URL".to_owned());
    }
    let Some((scheme, rest)) = mirror.split_once("://") else {
        return invalid(format!(
            "no scheme specified for {}: must use either 'https://' or 'http://'",
            quote(mirror)
        ));
    };
    if scheme.is_empty()
        || !scheme
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c))
    {
        return not_a_uri("first path segment in URL cannot contain colon".to_owned());
    }
    let lower = scheme.to_ascii_lowercase();
    if lower != "http" && lower != "https" {
        return invalid(format!(
            "unsupported scheme {} in {}: must use either 'https://' or 'http://'",
            quote(&lower),
            quote(mirror)
        ));
    }
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    let (user, host) = match authority.rsplit_once('@') {
        Some((user, host)) => (Some(user), host),
        None => (None, authority),
    };
    if let Err(reason) = check_host(host).and_then(|()| check_escapes(path)) {
        return not_a_uri(reason);
    }
    if path.contains(['?', '#']) {
        return invalid(format!(
            "query or fragment at end of the URI {}",
            quote(mirror)
        ));
    }
    if let Some(user) = user {
        let hidden = match user.split_once(':') {
            Some((name, _password)) => format!("{name}:xxxxx"),
            None => user.to_owned(),
        };
        let shown = quote(&format!("{lower}://{hidden}@{host}{path}"));
        return invalid(format!("username/password not allowed in URI {shown}"));
    }
    if host.is_empty() {
        return invalid(format!("no host specified for {}", quote(mirror)));
    }
    Ok(format!("{lower}://{host}{}/", path.trim_end_matches('/')))
}

/// The name and the port.
fn check_host(host: &str) -> Result<(), String> {
    let name = match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((_, port)) => return check_port(port),
        None => host,
    };
    if let Some(at) = name.find(':') {
        check_port(name.get(at..).unwrap_or_default())?;
    }
    match name.chars().find(|c| " \"<>\\^`{|}".contains(*c)) {
        Some(c) => Err(format!(
            "invalid character {} in host name",
            quote(&c.to_string())
        )),
        None => Ok(()),
    }
}

fn check_port(port: &str) -> Result<(), String> {
    let digits = port.strip_prefix(':');
    if port.is_empty() || digits.is_some_and(|digits| digits.bytes().all(|b| b.is_ascii_digit())) {
        return Ok(());
    }
    Err(format!("invalid port {} after host", quote(port)))
}

fn check_escapes(path: &str) -> Result<(), String> {
    for (at, _) in path.match_indices('%') {
        let code: String = path
            .chars()
            .skip(path.get(..at).map_or(0, |s| s.chars().count()))
            .take(3)
            .collect();
        let digits = code.get(1..).unwrap_or_default();
        if digits.len() != 2 || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(format!("invalid URL escape {}", quote(&code)));
        }
    }
    Ok(())
}

/// A text in double quotes, as Go prints it.
fn quote(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            c if c.is_ascii_control() => quoted.extend(format!("\\x{:02x}", u32::from(c)).chars()),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}
