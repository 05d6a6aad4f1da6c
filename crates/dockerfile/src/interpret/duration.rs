//! Durations in Go's notation: `1h30m`, `1.5s`, `100ms`.

use crate::quote::quote;

const MINIMUM_NS: i64 = 1_000_000;
/// Digits of a fraction that count: an hour has nanoseconds of thirteen digits.
const DIGITS: usize = 15;

/// The nanoseconds of a health check's flag; 0 without a value.
pub(super) fn interval(name: &str, value: Option<String>) -> Result<i64, String> {
    let Some(value) = value else {
        return Ok(0);
    };
    let nanoseconds = parse(&value)?;
    if nanoseconds != 0 && nanoseconds < MINIMUM_NS {
        return Err(format!("Interval {} cannot be less than 1ms", quote(name)));
    }
    Ok(nanoseconds)
}

/// Go's `time.ParseDuration`, its errors included.
pub(super) fn parse(text: &str) -> Result<i64, String> {
    let invalid = || format!("time: invalid duration {}", quote(text));
    let negative = text.starts_with('-');
    let mut rest = text.strip_prefix(['+', '-']).unwrap_or(text);
    if rest == "0" {
        return Ok(0);
    }
    if rest.is_empty() {
        return Err(invalid());
    }
    let mut total: i128 = 0;
    while !rest.is_empty() {
        let end = rest
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(rest.len());
        let (number, after) = rest.split_at_checked(end).unwrap_or((rest, ""));
        let end = after
            .find(|c: char| c.is_ascii_digit() || c == '.')
            .unwrap_or(after.len());
        let (unit, after) = after.split_at_checked(end).unwrap_or((after, ""));
        if !number.bytes().any(|b| b.is_ascii_digit()) || number.matches('.').count() > 1 {
            return Err(invalid());
        }
        if unit.is_empty() {
            return Err(format!("time: missing unit in duration {}", quote(text)));
        }
        let Some(scale) = scale(unit) else {
            let unit = quote(unit);
            return Err(format!(
                "time: unknown unit {unit} in duration {}",
                quote(text)
            ));
        };
        let part = nanoseconds(number, scale).ok_or_else(invalid)?;
        total = total.saturating_add(part);
        rest = after;
    }
    let total = if negative {
        total.saturating_neg()
    } else {
        total
    };
    i64::try_from(total).map_err(|_too_long| invalid())
}

fn scale(unit: &str) -> Option<i128> {
    Some(match unit {
        "ns" => 1,
        "us" | "µs" | "μs" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        _ => return None,
    })
}

/// A number with a fraction, of which as many digits count as a nanosecond has use for.
fn nanoseconds(number: &str, scale: i128) -> Option<i128> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let whole: i128 = match whole {
        "" => 0,
        digits => digits.parse::<i64>().ok()?.into(),
    };
    let digits = fraction
        .get(..fraction.len().min(DIGITS))
        .unwrap_or_default();
    let parts: i128 = match digits {
        "" => 0,
        digits => digits.parse().ok()?,
    };
    let power = 10_i128.checked_pow(u32::try_from(digits.len()).ok()?)?;
    let fraction = parts.checked_mul(scale)?.checked_div(power)?;
    whole.checked_mul(scale)?.checked_add(fraction)
}

#[cfg(test)]
mod tests;
