//! Port specifications of `EXPOSE`.

use super::{ChangeError, argument};

/// `80`, `80/udp`, `8000-8010`; a host part, as in `8080:80`, is read and dropped.
pub(super) fn parse_spec(spec: &str) -> Result<Vec<String>, ChangeError> {
    let (ports, protocol) = spec.rsplit_once('/').unwrap_or((spec, "tcp"));
    let protocol = if protocol.is_empty() { "tcp" } else { protocol }.to_lowercase();
    let container = ports.rsplit(':').next().unwrap_or_default();
    if container.is_empty() {
        return Err(argument(format!("no port specified: {spec}<empty>")));
    }
    if !matches!(protocol.as_str(), "tcp" | "udp" | "sctp") {
        return Err(argument(format!("invalid proto: {protocol}")));
    }
    let invalid = || argument(format!("invalid containerPort: {container}"));
    let number = |text: &str| text.parse::<u16>().ok().filter(|_| !text.starts_with('+'));
    let (first, last) = container.split_once('-').unwrap_or((container, container));
    let (first, last) = number(first).zip(number(last)).ok_or_else(invalid)?;
    if last < first {
        return Err(invalid());
    }
    Ok((first..=last)
        .map(|port| format!("{port}/{protocol}"))
        .collect())
}
