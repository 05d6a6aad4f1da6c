//! Sizes and ages as docker writes them.

const DECIMAL_UNITS: [&str; 9] = ["B", "kB", "MB", "GB", "TB", "PB", "EB", "ZB", "YB"];
const BINARY_UNITS: [&str; 9] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB", "ZiB", "YiB"];

/// A size with three significant digits, `13.3kB`: the `SIZE` columns.
pub(crate) fn size(bytes: i64) -> String {
    scaled(bytes, 1000.0, &DECIMAL_UNITS, 3)
}

/// A size with four significant digits, `1.982MB`: progress, `VirtualSize`, `system df`.
pub(crate) fn size4(bytes: i64) -> String {
    scaled(bytes, 1000.0, &DECIMAL_UNITS, 4)
}

/// A size with binary units, `15.5GiB`: memory.
pub(crate) fn binary_size(bytes: i64) -> String {
    scaled(bytes, 1024.0, &BINARY_UNITS, 4)
}

/// An unsigned size as a signed one; what does not fit is the largest.
pub(crate) fn signed(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

fn scaled(bytes: i64, base: f64, units: &[&str], digits: usize) -> String {
    #[expect(clippy::cast_precision_loss, reason = "four digits are shown")]
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= base && unit + 1 < units.len() {
        value /= base;
        unit += 1;
    }
    format!(
        "{}{}",
        significant(value, digits),
        units.get(unit).copied().unwrap_or_default()
    )
}

/// A number as Go's `%.*g` prints it: so many significant digits, no zeros at the end, an exponent
/// when there are more digits before the point than that.
pub(crate) fn significant(value: f64, digits: usize) -> String {
    let digits = digits.max(1);
    let text = format!("{value:.*e}", digits - 1);
    let Some((mantissa, exponent)) = text.split_once('e') else {
        return text;
    };
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let negative = mantissa.starts_with('-');
    let mut number: String = mantissa.chars().filter(char::is_ascii_digit).collect();
    while number.len() > 1 && number.ends_with('0') {
        number.pop();
    }
    let limit = i32::try_from(digits).unwrap_or(i32::MAX);
    let body = if exponent < -4 || exponent >= limit {
        let (first, rest) = number.split_at(1);
        let point = if rest.is_empty() { "" } else { "." };
        let sign = if exponent < 0 { '-' } else { '+' };
        format!("{first}{point}{rest}e{sign}{:02}", exponent.abs())
    } else {
        place_point(&number, exponent)
    };
    if negative { format!("-{body}") } else { body }
}

fn place_point(number: &str, exponent: i32) -> String {
    let Ok(whole) = usize::try_from(exponent + 1) else {
        let zeros = usize::try_from(-exponent - 1).unwrap_or(0);
        return format!("0.{}{number}", "0".repeat(zeros));
    };
    if whole == 0 {
        return format!("0.{number}");
    }
    if number.len() <= whole {
        return format!("{number}{}", "0".repeat(whole - number.len()));
    }
    let (before, after) = number.split_at(whole);
    format!("{before}.{after}")
}

/// An age: `Less than a second`, `About an hour`, `6 minutes`.
pub(crate) fn duration(nanoseconds: i128) -> String {
    const SECOND: i128 = 1_000_000_000;
    let seconds = nanoseconds / SECOND;
    let minutes = seconds / 60;
    // Go adds half an hour before it cuts.
    let hours = (nanoseconds + 1800 * SECOND).div_euclid(3600 * SECOND);
    match () {
        () if seconds < 1 => "Less than a second".to_owned(),
        () if seconds == 1 => "1 second".to_owned(),
        () if seconds < 60 => format!("{seconds} seconds"),
        () if minutes == 1 => "About a minute".to_owned(),
        () if minutes < 60 => format!("{minutes} minutes"),
        () if hours == 1 => "About an hour".to_owned(),
        () if hours < 48 => format!("{hours} hours"),
        () if hours < 24 * 7 * 2 => format!("{} days", hours / 24),
        () if hours < 24 * 30 * 2 => format!("{} weeks", hours / 24 / 7),
        () if hours < 24 * 365 * 2 => format!("{} months", hours / 24 / 30),
        () => format!("{} years", seconds / 3600 / 24 / 365),
    }
}

/// How long ago `then` was.
pub(crate) fn ago(now: jiff::Timestamp, then: jiff::Timestamp) -> String {
    format!("{} ago", since(now, then))
}

/// The time from `then` to `now`, as docker writes it.
pub(crate) fn since(now: jiff::Timestamp, then: jiff::Timestamp) -> String {
    duration(now.as_nanosecond() - then.as_nanosecond())
}

/// A moment as `images --format '{{.CreatedAt}}'` shows it: `2026-11-21 09:10:54 +0000 UTC`.
pub(crate) fn created_at(then: jiff::Timestamp, zone: &jiff::tz::TimeZone) -> String {
    then.to_zoned(zone.clone())
        .strftime("%Y-%m-%d %H:%M:%S %z %Z")
        .to_string()
}

/// A moment in RFC 3339 with whole seconds: `2026-11-21T09:17:27Z`.
pub(crate) fn rfc3339(then: jiff::Timestamp, zone: &jiff::tz::TimeZone) -> String {
    let zoned = then.to_zoned(zone.clone());
    if zoned.offset().is_zero() {
        zoned.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
    } else {
        zoned.strftime("%Y-%m-%dT%H:%M:%S%:z").to_string()
    }
}
