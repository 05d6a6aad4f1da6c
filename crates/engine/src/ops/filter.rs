//! `--filter` of listings and prunes: names to values, in docker's words when they are wrong.

use crate::error::{Error, ErrorKind};
use std::collections::{BTreeMap, BTreeSet};

/// Filters as they were given: name to values.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filters(pub BTreeMap<String, Vec<String>>);

impl Filters {
    /// The values of one filter.
    pub fn values(&self, name: &str) -> &[String] {
        self.0.get(name).map_or(&[], Vec::as_slice)
    }

    /// Refuses names that are not in the list.
    pub fn allow(&self, names: &[&str]) -> Result<(), Error> {
        match self.0.keys().find(|name| !names.contains(&name.as_str())) {
            Some(name) if name.is_empty() => Err(invalid("invalid filter".to_owned())),
            Some(name) => Err(invalid(format!("invalid filter '{name}'"))),
            None => Ok(()),
        }
    }

    /// A boolean filter: absent, or values that all say the same.
    ///
    /// Docker takes two spellings of each here, fewer than its flags do.
    pub fn boolean(&self, name: &str) -> Result<Option<bool>, Error> {
        let values = self.values(name);
        if values.is_empty() {
            return Ok(None);
        }
        let said: BTreeSet<bool> = values.iter().filter_map(|value| boolean(value)).collect();
        match (said.first(), said.len()) {
            (Some(value), 1) => Ok(Some(*value)),
            _ => Err(invalid(format!(
                "invalid filter '{name}=[{}]'",
                values.join(" ")
            ))),
        }
    }
}

fn boolean(text: &str) -> Option<bool> {
    match text {
        "1" | "true" => Some(true),
        "0" | "false" => Some(false),
        _ => None,
    }
}

/// A filter that cannot be.
pub(crate) fn invalid(message: String) -> Error {
    Error::new(ErrorKind::InvalidArgument, message)
}

/// Go's text for digits that are none.
pub(crate) fn not_a_number(function: &str, text: &str) -> String {
    format!("strconv.{function}: parsing {text:?}: invalid syntax")
}

/// Whether one `label` filter fits: a key, or a key with a value.
pub(crate) fn label_fits(labels: &BTreeMap<String, String>, filter: &str) -> bool {
    match filter.split_once('=') {
        Some((key, value)) => labels.get(key).is_some_and(|found| found == value),
        None => labels.contains_key(filter),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filters(name: &str, values: &[&str]) -> Filters {
        let values = values.iter().map(|&value| value.to_owned()).collect();
        Filters(BTreeMap::from([(name.to_owned(), values)]))
    }

    #[test]
    fn unknown_filters_are_named() {
        for (name, words) in [("nope", "invalid filter 'nope'"), ("", "invalid filter")] {
            let error = filters(name, &["1"]).allow(&["dangling"]).unwrap_err();
            assert_eq!(error.message(), words);
        }
    }

    #[test]
    fn booleans_have_two_spellings_and_may_not_contradict() {
        for (values, expected) in [
            (&["true"][..], Ok(Some(true))),
            (&["0"], Ok(Some(false))),
            (&["1", "true"], Ok(Some(true))),
            (&["maybe", "true"], Ok(Some(true))),
            (&[], Ok(None)),
            (&["maybe"], Err("invalid filter 'dangling=[maybe]'")),
            (&["TRUE"], Err("invalid filter 'dangling=[TRUE]'")),
            (&["t"], Err("invalid filter 'dangling=[t]'")),
            (&["0", "1"], Err("invalid filter 'dangling=[0 1]'")),
            (&[""], Err("invalid filter 'dangling=[]'")),
        ] {
            let found = filters("dangling", values).boolean("dangling");
            let found = found.map_err(|error| error.message().to_owned());
            assert_eq!(found, expected.map_err(str::to_owned), "{values:?}");
        }
    }
}
