//! `images`: what is in the store.

use crate::error::{Error, ErrorKind};
use crate::{Engine, glob, lookup};
use lapstrake_spec::{Digest, Reference};
use lapstrake_store::Images;
use std::collections::{BTreeMap, BTreeSet};

/// Filters as they were given: name to values.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filters(pub BTreeMap<String, Vec<String>>);

impl Filters {
    /// The values of one filter.
    pub fn values(&self, name: &str) -> &[String] {
        self.0.get(name).map_or(&[], Vec::as_slice)
    }

    /// Refuses names that are not in the list, in docker's words.
    pub fn allow(&self, names: &[&str]) -> Result<(), Error> {
        match self.0.keys().find(|name| !names.contains(&name.as_str())) {
            Some(name) => Err(Error::new(
                ErrorKind::InvalidArgument,
                format!("invalid filter '{name}'"),
            )),
            None => Ok(()),
        }
    }

    /// A boolean filter: absent, or one value that reads as a boolean.
    pub fn boolean(&self, name: &str) -> Result<Option<bool>, Error> {
        let values = self.values(name);
        let parsed: Option<BTreeSet<bool>> = values.iter().map(|value| boolean(value)).collect();
        match parsed
            .map(|set| set.into_iter().collect::<Vec<_>>())
            .as_deref()
        {
            Some([]) => Ok(None),
            Some([value]) => Ok(Some(*value)),
            _ => Err(Error::new(
                ErrorKind::InvalidArgument,
                format!("invalid filter '{name}=[{}]'", values.join(" ")),
            )),
        }
    }
}

fn boolean(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

/// What `images` asks for.
#[derive(Debug, Clone, Default)]
pub struct ListImages {
    /// Also untagged parents of other images.
    pub all: bool,
    /// A repository, or a repository with tag, patterns allowed.
    pub reference: Option<String>,
    /// `dangling`, `label`, `before`, `since`, `reference`, `until`.
    pub filters: Filters,
}

/// One image, as the Engine API lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageSummary {
    /// The image id (digest of the configuration).
    pub id: Digest,
    /// Tagged references that fit the request.
    pub tags: Vec<Reference>,
    /// Digest references that fit the request.
    pub digests: Vec<Reference>,
    /// When it was made.
    pub created: Option<jiff::Timestamp>,
    /// The bytes of its unpacked layers.
    pub size: u64,
    /// The image it was made from, when that is known here.
    pub parent: Option<Digest>,
    /// How many containers use it.
    pub containers: usize,
}

const NAMES: [&str; 7] = [
    "dangling",
    "label",
    "label!",
    "before",
    "since",
    "reference",
    "until",
];

/// Lists images, newest first.
pub fn images(engine: &Engine, request: &ListImages) -> Result<Vec<ImageSummary>, Error> {
    request.filters.allow(&NAMES)?;
    let dangling = request.filters.boolean("dangling")?;
    let images = engine.store()?.images()?;
    let window = Window::new(engine, &images, &request.filters)?;
    let mut patterns: Vec<&str> = request
        .filters
        .values("reference")
        .iter()
        .map(String::as_str)
        .collect();
    patterns.extend(request.reference.as_deref());
    let parents: BTreeSet<&Digest> = images
        .entries()
        .iter()
        .filter_map(|entry| entry.parent.as_ref())
        .collect();

    let mut found = Vec::new();
    for mut summary in summaries(&images) {
        if !patterns.is_empty() && !keep_matching(&mut summary, &patterns)? {
            continue;
        }
        let untagged = summary.tags.is_empty();
        let bare = untagged && summary.digests.is_empty();
        let has_children = parents.contains(&summary.id);
        let wanted = match dangling {
            Some(true) => untagged && !has_children,
            Some(false) => !untagged,
            None => request.all || !(bare && has_children),
        };
        if wanted && window.holds(&summary) && labels_fit(engine, &summary, &request.filters)? {
            found.push(summary);
        }
    }
    found.sort_by_key(|summary| std::cmp::Reverse(summary.created));
    Ok(found)
}

/// One summary per image id, in the order of the index.
pub(crate) fn summaries(images: &Images) -> Vec<ImageSummary> {
    let mut order: Vec<ImageSummary> = Vec::new();
    let mut position: BTreeMap<&Digest, usize> = BTreeMap::new();
    for entry in images.entries() {
        let index = *position.entry(&entry.id).or_insert_with(|| {
            order.push(ImageSummary {
                id: entry.id.clone(),
                tags: Vec::new(),
                digests: Vec::new(),
                created: entry.created.as_deref().and_then(|text| text.parse().ok()),
                size: entry.size,
                parent: entry.parent.clone(),
                containers: 0,
            });
            order.len() - 1
        });
        if let Some(summary) = order.get_mut(index) {
            summary.tags.extend(entry.name.clone());
            for digest in &entry.repo_digests {
                if !summary.digests.contains(digest) {
                    summary.digests.push(digest.clone());
                }
            }
        }
    }
    for summary in &mut order {
        summary.tags.sort();
        summary.digests.sort();
    }
    order
}

/// Keeps the references that a pattern fits; false when none does.
fn keep_matching(summary: &mut ImageSummary, patterns: &[&str]) -> Result<bool, Error> {
    let fits = |reference: &Reference| -> Result<bool, Error> {
        for pattern in patterns {
            if reference_fits(pattern, reference)? {
                return Ok(true);
            }
        }
        Ok(false)
    };
    let mut error = None;
    for list in [&mut summary.tags, &mut summary.digests] {
        list.retain(|reference| {
            fits(reference).unwrap_or_else(|failed| {
                error = Some(failed);
                false
            })
        });
    }
    match error {
        Some(error) => Err(error),
        None => Ok(!(summary.tags.is_empty() && summary.digests.is_empty())),
    }
}

fn reference_fits(pattern: &str, reference: &Reference) -> Result<bool, Error> {
    let bad = |glob::BadPattern| {
        Error::new(
            ErrorKind::InvalidArgument,
            "syntax error in pattern".to_owned(),
        )
    };
    Ok(glob::matches(pattern, &reference.familiar()).map_err(bad)?
        || glob::matches(pattern, &reference.familiar_name()).map_err(bad)?)
}

/// The span of creation times that `before`, `since` and `until` leave.
struct Window {
    before: Option<jiff::Timestamp>,
    since: Option<jiff::Timestamp>,
}

impl Window {
    fn new(engine: &Engine, images: &Images, filters: &Filters) -> Result<Self, Error> {
        let created = |name: &str| -> Result<Option<jiff::Timestamp>, Error> {
            let mut found = None;
            for value in filters.values(name) {
                let id = lookup::image_id(images, value)?;
                found = images
                    .by_id(&id)
                    .and_then(|entry| entry.created.as_deref().and_then(|text| text.parse().ok()));
            }
            Ok(found)
        };
        let mut before = created("before")?;
        for value in filters.values("until") {
            before = Some(until(engine.now(), value)?);
        }
        Ok(Self {
            before,
            since: created("since")?,
        })
    }

    fn holds(&self, summary: &ImageSummary) -> bool {
        self.before
            .is_none_or(|limit| summary.created.is_some_and(|at| at < limit))
            && self
                .since
                .is_none_or(|limit| summary.created.is_some_and(|at| at > limit))
    }
}

/// A moment as docker's `until` filter takes it: a Go duration back from now, a timestamp, or seconds.
pub(crate) fn until(now: jiff::Timestamp, text: &str) -> Result<jiff::Timestamp, Error> {
    let bad = || {
        Error::new(
            ErrorKind::InvalidArgument,
            format!("failed to parse value as time or duration: {text:?}"),
        )
    };
    if let Some(back) = go_duration(text) {
        return now.checked_sub(back).map_err(|_error| bad());
    }
    if let Ok(seconds) = text.parse::<i64>() {
        return jiff::Timestamp::from_second(seconds).map_err(|_error| bad());
    }
    if let Ok(at) = text.parse::<jiff::Timestamp>() {
        return Ok(at);
    }
    let civil = text.parse::<jiff::civil::DateTime>().or_else(|_| {
        text.parse::<jiff::civil::Date>()
            .map(|date| date.at(0, 0, 0, 0))
    });
    civil
        .ok()
        .and_then(|civil| civil.to_zoned(jiff::tz::TimeZone::UTC).ok())
        .map(|zoned| zoned.timestamp())
        .ok_or_else(bad)
}

/// `1h30m`, `24h`, `10s`, `1.5h`, `300ms` …
fn go_duration(text: &str) -> Option<jiff::SignedDuration> {
    let mut rest = text;
    let mut total = 0f64;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number: f64 = rest.get(..digits)?.parse().ok()?;
        rest = rest.get(digits..)?;
        let unit_end = rest
            .find(|c: char| c.is_ascii_digit() || c == '.')
            .unwrap_or(rest.len());
        let seconds = match rest.get(..unit_end)? {
            "h" => 3600.0,
            "m" => 60.0,
            "s" => 1.0,
            "ms" => 1e-3,
            "us" | "µs" => 1e-6,
            "ns" => 1e-9,
            _ => return None,
        };
        total += number * seconds;
        rest = rest.get(unit_end..)?;
    }
    jiff::SignedDuration::try_from_secs_f64(total).ok()
}

/// Whether the labels of the image fit all `label` and no `label!` filter.
fn labels_fit(engine: &Engine, summary: &ImageSummary, filters: &Filters) -> Result<bool, Error> {
    let (wanted, unwanted) = (filters.values("label"), filters.values("label!"));
    if wanted.is_empty() && unwanted.is_empty() {
        return Ok(true);
    }
    let (config, _raw) = engine.store()?.image_config(&summary.id)?;
    let labels = config
        .config
        .and_then(|config| config.labels)
        .unwrap_or_default();
    Ok(wanted.iter().all(|filter| label_fits(&labels, filter))
        && !unwanted.iter().any(|filter| label_fits(&labels, filter)))
}

pub(crate) fn label_fits(labels: &BTreeMap<String, String>, filter: &str) -> bool {
    match filter.split_once('=') {
        Some((key, value)) => labels.get(key).is_some_and(|found| found == value),
        None => labels.contains_key(filter),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn until_takes_durations_dates_and_seconds() {
        let now: jiff::Timestamp = "2026-01-02T00:00:00Z".parse().unwrap();
        for (text, expected) in [
            ("24h", "2026-01-01T00:00:00Z"),
            ("1h30m", "2026-01-01T22:30:00Z"),
            ("2026-01-01", "2026-01-01T00:00:00Z"),
            ("2026-01-01T10:00:00", "2026-01-01T10:00:00Z"),
            ("2026-01-01T10:00:00+02:00", "2026-01-01T08:00:00Z"),
            ("1767225600", "2026-01-01T00:00:00Z"),
        ] {
            assert_eq!(until(now, text).unwrap().to_string(), expected, "{text}");
        }
        assert_eq!(
            until(now, "xyz").unwrap_err().message(),
            "failed to parse value as time or duration: \"xyz\""
        );
    }

    #[test]
    fn unknown_filters_are_named() {
        let filters = Filters(BTreeMap::from([("nope".to_owned(), vec!["1".to_owned()])]));
        assert_eq!(
            filters.allow(&NAMES).unwrap_err().message(),
            "invalid filter 'nope'"
        );
        let filters = Filters(BTreeMap::from([(
            "dangling".to_owned(),
            vec!["maybe".to_owned()],
        )]));
        assert_eq!(
            filters.boolean("dangling").unwrap_err().message(),
            "invalid filter 'dangling=[maybe]'"
        );
    }
}
