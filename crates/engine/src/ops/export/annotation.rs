//! Annotations of what a build makes: `--annotation`, and `annotation…` among the fields of `-o`.
//!
//! ```text
//! --annotation [PLACE[[PLATFORM]][,…]:]KEY=VALUE
//! -o …,annotation[-PLACE][[PLATFORM]].KEY=VALUE
//! ```
//!
//! An annotation with a platform is for that one of several platforms, and is left out where a build has but one.

use super::output::refuse;
use crate::error::Error;
use lapstrake_spec::Platform;
use std::collections::BTreeMap;

/// The document that an annotation stands in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AnnotationPlace {
    /// The manifest of an image: what is meant when nothing is said.
    Manifest,
    /// The descriptor of a manifest, in the index that lists it.
    ManifestDescriptor,
    /// The index of several platforms.
    Index,
    /// The descriptor of that index.
    IndexDescriptor,
}

impl AnnotationPlace {
    fn parse(word: &str) -> Option<Self> {
        Some(match word {
            "manifest" => Self::Manifest,
            "manifest-descriptor" => Self::ManifestDescriptor,
            "index" => Self::Index,
            "index-descriptor" => Self::IndexDescriptor,
            _ => return None,
        })
    }
}

/// One annotation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Annotation {
    /// Where it stands.
    pub place: AnnotationPlace,
    /// The platform that it is for; none: all.
    pub platform: Option<Platform>,
    /// Its name.
    pub key: String,
    /// What it says.
    pub value: String,
}

/// Reads a value of `--annotation`.
pub fn parse_annotation(text: &str) -> Result<Vec<Annotation>, Error> {
    let (name, value) = text
        .split_once('=')
        .ok_or_else(|| refuse(format!("invalid annotation {text:?}, expected key=value")))?;
    let Some((places, key)) = name.split_once(':') else {
        return Ok(vec![annotation(
            (AnnotationPlace::Manifest, None),
            name,
            value,
        )]);
    };
    let at = |word| Ok(annotation(place(word)?, key, value));
    places.split(',').map(at).collect()
}

/// Reads a field of `-o`; none when it is no annotation.
pub(super) fn of_field(name: &str, value: &str) -> Result<Option<Annotation>, Error> {
    let Some(rest) = name.strip_prefix("annotation") else {
        return Ok(None);
    };
    let Some((at, key)) = rest.split_once('.').filter(|(_, key)| !key.is_empty()) else {
        return Ok(None);
    };
    let at = match at.strip_prefix('-') {
        Some(word) => place(word)?,
        None if at.is_empty() => (AnnotationPlace::Manifest, None),
        None => place(&format!("manifest{at}"))?,
    };
    Ok(Some(annotation(at, key, value)))
}

fn annotation(
    (place, platform): (AnnotationPlace, Option<Platform>),
    key: &str,
    value: &str,
) -> Annotation {
    Annotation {
        place,
        platform,
        key: key.to_owned(),
        value: value.to_owned(),
    }
}

/// `manifest`, `manifest[linux/amd64]`.
fn place(text: &str) -> Result<(AnnotationPlace, Option<Platform>), Error> {
    let (word, platform) = match text.split_once('[') {
        Some((word, rest)) => (word, rest.strip_suffix(']')),
        None => (text, Some("")),
    };
    let platform = platform.ok_or_else(|| {
        refuse(format!(
            "invalid annotation type {text:?}, expected type and optional platform in square brackets"
        ))
    })?;
    let place = AnnotationPlace::parse(word)
        .ok_or_else(|| refuse(format!("unknown annotation type {word:?}")))?;
    let platform = match platform {
        "" => None,
        text => Some(Platform::parse(text).map_err(|error| refuse(error.to_string()))?),
    };
    Ok((place, platform))
}

/// What stands in one place; `platform` is that of one among several.
pub(super) fn at(
    annotations: &[&Annotation],
    place: AnnotationPlace,
    platform: Option<&Platform>,
) -> BTreeMap<String, String> {
    let fits = |one: &&&Annotation| {
        one.place == place && (one.platform.is_none() || one.platform.as_ref() == platform)
    };
    let pairs = annotations.iter().filter(fits);
    pairs
        .map(|one| (one.key.clone(), one.value.clone()))
        .collect()
}

/// Refuses annotations of an index where there is none.
pub(super) fn check(annotations: &[&Annotation], several: bool) -> Result<(), Error> {
    let is_index = |one: &&Annotation| {
        matches!(
            one.place,
            AnnotationPlace::Index | AnnotationPlace::IndexDescriptor
        )
    };
    let words = match annotations.iter().find(|one| is_index(one)) {
        Some(one) if !several && one.place == AnnotationPlace::Index => "index annotations",
        Some(_) if !several => "index descriptor annotations",
        _ => return Ok(()),
    };
    Err(
        refuse(format!("{words} not supported for single platform export"))
            .with_hint("leave `index:` out: the image has a manifest and no index"),
    )
}

#[cfg(test)]
mod tests;
