//! A moment as docker's filters and `logs --since` take it: a Go duration back from now, a date in Go's layouts, or
//! seconds; wrong ones get Go's words.

use super::filter::invalid;
use crate::Engine;
use crate::error::Error;
use jiff::civil::Date;
use jiff::tz::{Offset, TimeZone};
use jiff::{SignedDuration, Timestamp};

/// Reads a moment. Dates without a zone are in the engine's, as far from UTC as it is now.
pub fn moment(engine: &Engine, text: &str) -> Result<Timestamp, Error> {
    read(engine.now(), engine.offset(), text)
}

fn read(now: Timestamp, offset: Offset, text: &str) -> Result<Timestamp, Error> {
    let bad = || {
        invalid(format!(
            "failed to parse value as time or duration: {text:?}"
        ))
    };
    if text != "0"
        && let Some(back) = go_duration(text)
    {
        return now.checked_sub(back).map_err(|_error| bad());
    }
    match parse(layout(text), text, offset) {
        Ok(moment) => Ok(moment),
        Err(words) if text.contains('-') => Err(invalid(words)),
        Err(_) => seconds(text).ok_or_else(bad),
    }
}

/// `1h30m`, `24h`, `-10s`, `1.5h`, `300ms` …
fn go_duration(text: &str) -> Option<SignedDuration> {
    let (sign, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (-1.0, rest),
        None => (1.0, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Some(SignedDuration::ZERO);
    }
    if rest.is_empty() {
        return None;
    }
    let mut total = 0f64;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number: f64 = rest.get(..digits)?.parse().ok()?;
        rest = rest.get(digits..)?;
        let unit_end = rest
            .find(|c: char| c.is_ascii_digit() || c == '.')
            .unwrap_or(rest.len());
        total += number
            * match rest.get(..unit_end)? {
                "h" => 3600.0,
                "m" => 60.0,
                "s" => 1.0,
                "ms" => 1e-3,
                "us" | "µs" | "μs" => 1e-6,
                "ns" => 1e-9,
                _ => return None,
            };
        rest = rest.get(unit_end..)?;
    }
    SignedDuration::try_from_secs_f64(sign * total).ok()
}

/// `1700000000`, `1700000000.25`.
fn seconds(text: &str) -> Option<Timestamp> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let nanoseconds: i32 = match fraction {
        "" => 0,
        digits => format!("{digits:0<9}").get(..9)?.parse().ok()?,
    };
    Timestamp::new(whole.parse().ok()?, nanoseconds).ok()
}

/// The layout that docker tries for such a text.
fn layout(text: &str) -> &'static str {
    let is_local = !(text.contains(['z', 'Z', '+']) || text.matches('-').count() == 3);
    let mut colons = text.matches(':').count();
    if text.contains('.') {
        return if is_local {
            "2006-01-02T15:04:05.999999999"
        } else {
            "2006-01-02T15:04:05.999999999Z07:00"
        };
    }
    if !text.contains('T') {
        return if is_local {
            "2006-01-02"
        } else {
            "2006-01-02Z07:00"
        };
    }
    if !is_local && !text.contains(['z', 'Z']) {
        colons = colons.saturating_sub(1);
    }
    match (is_local, colons) {
        (true, 0) => "2006-01-02T15",
        (true, 1) => "2006-01-02T15:04",
        (true, _) => "2006-01-02T15:04:05",
        (false, 0) => "2006-01-02T15Z07:00",
        (false, 1) => "2006-01-02T15:04Z07:00",
        (false, _) => "2006-01-02T15:04:05Z07:00",
    }
}

/// Elements of Go's layouts, the longest first where one begins as another.
const ELEMENTS: [&str; 8] = ["Z07:00", ".999999999", "2006", "01", "02", "15", "04", "05"];

/// What has been read of a date.
#[derive(Debug, Default)]
struct Parts {
    year: i16,
    month: i8,
    day: i8,
    hour: i8,
    minute: i8,
    second: i8,
    nanosecond: i32,
    offset_seconds: i32,
}

/// Go's `time.Parse` for these layouts.
fn parse(layout: &str, text: &str, offset: Offset) -> Result<Timestamp, String> {
    let mut parts = Parts {
        offset_seconds: offset.seconds(),
        ..Parts::default()
    };
    let (mut pattern, mut rest) = (layout, text);
    while !pattern.is_empty() {
        let element = ELEMENTS
            .iter()
            .find(|element| pattern.starts_with(**element));
        // What is no element is one character that must be there.
        let element =
            element.map_or_else(|| pattern.get(..1).unwrap_or(pattern), |element| *element);
        rest = parts.take(element, rest).map_err(|wrong| match wrong {
            Wrong::Form => {
                format!("parsing time {text:?} as {layout:?}: cannot parse {rest:?} as {element:?}")
            }
            Wrong::Range(what) => format!("parsing time {text:?}: {what} out of range"),
        })?;
        pattern = pattern.get(element.len()..).unwrap_or_default();
    }
    if !rest.is_empty() {
        return Err(format!("parsing time {text:?}: extra text: {rest:?}"));
    }
    parts
        .timestamp()
        .ok_or_else(|| format!("parsing time {text:?}: day out of range"))
}

/// Why an element cannot be read.
enum Wrong {
    Form,
    Range(&'static str),
}

impl Parts {
    /// Reads one element; what follows it.
    fn take<'a>(&mut self, element: &str, text: &'a str) -> Result<&'a str, Wrong> {
        let two = |least: i8, most: i8, what: &'static str| -> Result<(i8, &'a str), Wrong> {
            let digits = text.get(..2).filter(|digits| all_digits(digits));
            let number: i8 = digits.and_then(|d| d.parse().ok()).ok_or(Wrong::Form)?;
            if (least..=most).contains(&number) {
                Ok((number, text.get(2..).unwrap_or_default()))
            } else {
                Err(Wrong::Range(what))
            }
        };
        let rest;
        match element {
            "2006" => {
                let digits = text.get(..4).filter(|digits| all_digits(digits));
                self.year = digits.and_then(|d| d.parse().ok()).ok_or(Wrong::Form)?;
                rest = text.get(4..).unwrap_or_default();
            }
            "01" => (self.month, rest) = two(1, 12, "month")?,
            "02" => (self.day, rest) = two(0, 99, "day")?,
            "15" => (self.hour, rest) = two(0, 23, "hour")?,
            "04" => (self.minute, rest) = two(0, 59, "minute")?,
            "05" => (self.second, rest) = two(0, 59, "second")?,
            ".999999999" => rest = self.take_fraction(text)?,
            "Z07:00" => rest = self.take_zone(text)?,
            literal => rest = text.strip_prefix(literal).ok_or(Wrong::Form)?,
        }
        Ok(rest)
    }

    /// A fraction of a second, which may be absent.
    fn take_fraction<'a>(&mut self, text: &'a str) -> Result<&'a str, Wrong> {
        let Some(fraction) = text.strip_prefix('.') else {
            return Ok(text);
        };
        let end = fraction
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(fraction.len());
        let (digits, rest) = fraction.split_at(end);
        let nine = format!("{digits:0<9}");
        self.nanosecond = nine
            .get(..9)
            .and_then(|digits| digits.parse().ok())
            .ok_or(Wrong::Form)?;
        Ok(rest)
    }

    /// `Z`, or hours and minutes with a sign.
    fn take_zone<'a>(&mut self, text: &'a str) -> Result<&'a str, Wrong> {
        if let Some(rest) = text.strip_prefix('Z') {
            self.offset_seconds = 0;
            return Ok(rest);
        }
        let (zone, rest) = text.split_at_checked(6).ok_or(Wrong::Form)?;
        let sign = match zone.get(..1) {
            Some("+") => 1,
            Some("-") => -1,
            _ => return Err(Wrong::Form),
        };
        let (hours, minutes) = zone
            .get(1..)
            .and_then(|zone| zone.split_once(':'))
            .ok_or(Wrong::Form)?;
        let number = |digits: &str| digits.parse::<i32>().map_err(|_error| Wrong::Form);
        self.offset_seconds = sign * (number(hours)? * 3600 + number(minutes)? * 60);
        Ok(rest)
    }

    fn timestamp(&self) -> Option<Timestamp> {
        let date = Date::new(self.year, self.month, self.day).ok()?;
        let civil = date.at(self.hour, self.minute, self.second, self.nanosecond);
        let offset = Offset::from_seconds(self.offset_seconds).ok()?;
        let zoned = civil.to_zoned(TimeZone::fixed(offset)).ok()?;
        Some(zoned.timestamp())
    }
}

fn all_digits(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_durations_dates_and_seconds() {
        let now: Timestamp = "2026-01-02T00:00:00Z".parse().unwrap();
        for (text, expected) in [
            ("24h", "2026-01-01T00:00:00Z"),
            ("1h30m", "2026-01-01T22:30:00Z"),
            ("-1h", "2026-01-02T01:00:00Z"),
            ("2026-01-01", "2026-01-01T00:00:00Z"),
            ("2026-01-01Z", "2026-01-01T00:00:00Z"),
            ("2026-01-01T10", "2026-01-01T10:00:00Z"),
            ("2026-01-01T10:30", "2026-01-01T10:30:00Z"),
            ("2026-01-01T10:00:00", "2026-01-01T10:00:00Z"),
            ("2026-01-01T10:00:00.25", "2026-01-01T10:00:00.25Z"),
            ("2026-01-01T10:00:00+02:00", "2026-01-01T08:00:00Z"),
            ("2026-01-01T10:00:00-02:00", "2026-01-01T12:00:00Z"),
            ("1767225600", "2026-01-01T00:00:00Z"),
            ("1767225600.5", "2026-01-01T00:00:00.5Z"),
            ("0", "1970-01-01T00:00:00Z"),
        ] {
            assert_eq!(
                read(now, Offset::UTC, text).unwrap().to_string(),
                expected,
                "{text}"
            );
        }
    }

    #[test]
    fn a_date_without_a_zone_is_in_the_local_one() {
        let now: Timestamp = "2026-01-02T00:00:00Z".parse().unwrap();
        let west = Offset::from_seconds(-(3 * 3600 + 1800)).unwrap();
        for (text, expected) in [
            ("2026-01-01", "2026-01-01T03:30:00Z"),
            ("2026-01-01T10:30", "2026-01-01T14:00:00Z"),
            ("2026-01-01T10:00:00.25", "2026-01-01T13:30:00.25Z"),
            // No summer time that was: as far as it is now.
            ("2025-07-01T10:00:00", "2025-07-01T13:30:00Z"),
            ("2026-01-01Z", "2026-01-01T00:00:00Z"),
            ("2026-01-01T10:00:00Z", "2026-01-01T10:00:00Z"),
            ("2026-01-01T10:00:00+02:00", "2026-01-01T08:00:00Z"),
            ("1767225600", "2026-01-01T00:00:00Z"),
            ("24h", "2026-01-01T00:00:00Z"),
        ] {
            let found = read(now, west, text).unwrap();
            assert_eq!(found.to_string(), expected, "{text}");
        }
    }

    #[test]
    fn wrong_moments_get_the_words_of_go() {
        for (text, words) in [
            ("xyz", "failed to parse value as time or duration: \"xyz\""),
            ("", "failed to parse value as time or duration: \"\""),
            ("1x", "failed to parse value as time or duration: \"1x\""),
            (
                "2099-13-01",
                "parsing time \"2099-13-01\": month out of range",
            ),
            (
                "2099-02-30",
                "parsing time \"2099-02-30\": day out of range",
            ),
            (
                "a-b",
                "parsing time \"a-b\" as \"2006-01-02\": cannot parse \"a-b\" as \"2006\"",
            ),
            (
                "2020-01-01T25:00",
                "parsing time \"2020-01-01T25:00\": hour out of range",
            ),
            (
                "2020-01-01x",
                "parsing time \"2020-01-01x\": extra text: \"x\"",
            ),
        ] {
            let error = read(Timestamp::UNIX_EPOCH, Offset::UTC, text).unwrap_err();
            assert_eq!(error.message(), words, "{text}");
        }
    }
}
