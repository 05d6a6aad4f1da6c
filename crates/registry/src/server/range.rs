//! `Range` of a download and `Content-Range` of an upload's chunk.

/// What a `Range` header asks of a file.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Wanted {
    /// The whole of it: no range, several, or one that is not understood.
    All,
    /// Some bytes: the first, and how many.
    Part { start: u64, length: u64 },
    /// Bytes that are not there.
    Unsatisfiable,
}

/// Reads a `Range` header for a file of `size` bytes.
pub(super) fn wanted(header: Option<&str>, size: u64) -> Wanted {
    let Some((first, last)) = header
        .and_then(|value| value.trim().strip_prefix("bytes="))
        .and_then(|range| range.split_once('-'))
    else {
        return Wanted::All;
    };
    match (number(first), number(last)) {
        (Some(start), Some(last)) if last < start => Wanted::All,
        (Some(start), _) if start >= size && !first.is_empty() => Wanted::Unsatisfiable,
        (Some(start), Some(last)) => {
            let end = last.saturating_add(1).min(size);
            Wanted::Part {
                start,
                length: end.saturating_sub(start),
            }
        }
        (Some(start), None) if last.is_empty() => Wanted::Part {
            start,
            length: size.saturating_sub(start),
        },
        (None, Some(0)) if first.is_empty() => Wanted::Unsatisfiable,
        (None, Some(_)) if first.is_empty() && size == 0 => Wanted::Unsatisfiable,
        (None, Some(suffix)) if first.is_empty() => {
            let length = suffix.min(size);
            Wanted::Part {
                start: size.saturating_sub(length),
                length,
            }
        }
        _ => Wanted::All,
    }
}

/// Reads a chunk's `Content-Range`, `<first>-<last>` with or without a unit and a total, as the
/// first byte and the number of bytes.
pub(super) fn chunk(header: &str) -> Option<(u64, u64)> {
    let range = header.trim();
    let range = range
        .strip_prefix("bytes")
        .map_or(range, |rest| rest.trim_start_matches([' ', '=']));
    let range = range.split_once('/').map_or(range, |(range, _)| range);
    let (first, last) = range.split_once('-')?;
    let (first, last) = (number(first)?, number(last)?);
    let length = last.checked_sub(first)?.checked_add(1)?;
    Some((first, length))
}

/// Digits alone: the standard parser would take a sign.
fn number(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}
