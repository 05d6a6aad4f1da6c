//! The filters of `ps`: within one name any value may fit (of labels all must), all names must fit.

use super::filter::{Filters, invalid, label_fits, not_a_number};
use crate::error::Error;
use crate::{Engine, lookup};
use lapstrake_container::{BRIDGE_NETWORK, Container, Record, Status, network_name};
use lapstrake_spec::Digest;
use lapstrake_store::Images;
use regex::{Regex, RegexBuilder};
use std::collections::BTreeSet;

const NAMES: [&str; 15] = [
    "ancestor",
    "before",
    "exited",
    "expose",
    "health",
    "id",
    "is-task",
    "isolation",
    "label",
    "name",
    "network",
    "publish",
    "since",
    "status",
    "volume",
];

const STATES: [&str; 7] = [
    "created",
    "running",
    "paused",
    "restarting",
    "removing",
    "exited",
    "dead",
];

const HEALTHS: [&str; 4] = ["none", "starting", "healthy", "unhealthy"];

/// The largest compiled form of a name's expression, in bytes.
const MAX_EXPRESSION: usize = 1 << 20;

/// The filters of one listing, resolved.
pub(super) struct Filter<'a> {
    filters: &'a Filters,
    names: Vec<Regex>,
    ancestors: BTreeSet<Digest>,
    before: Option<String>,
    since: Option<String>,
    exited: Vec<i32>,
    exposed: BTreeSet<String>,
    published: BTreeSet<String>,
    is_task: bool,
}

impl<'a> Filter<'a> {
    pub(super) fn new(
        engine: &Engine,
        images: &Images,
        list: &[Container],
        filters: &'a Filters,
    ) -> Result<Self, Error> {
        filters.allow(&NAMES)?;
        let containers = engine.containers()?;
        let created = |name: &str| -> Result<Option<String>, Error> {
            let Some(value) = filters.values(name).last() else {
                return Ok(None);
            };
            let id = containers.find(value)?.record.id;
            let found = list.iter().find(|container| container.record.id == id);
            Ok(found.map(|container| container.record.created.clone()))
        };
        let exited = filters.values("exited").iter().map(|value| {
            value.parse().map_err(|_error| {
                let reason = not_a_number("Atoi", value);
                invalid(format!("invalid filter 'exited={value}': {reason}"))
            })
        });
        let exited = exited.collect::<Result<_, _>>()?;
        one_of(filters, "status", "state", &STATES)?;
        let is_task = filters.boolean("is-task")?.unwrap_or_default();
        one_of(filters, "health", "health", &HEALTHS)?;
        let (before, since) = (created("before")?, created("since")?);
        Ok(Self {
            names: filters
                .values("name")
                .iter()
                .filter_map(|name| expression(name))
                .collect(),
            ancestors: descendants(images, filters.values("ancestor")),
            before,
            since,
            exited,
            published: ports(filters, "publish")?,
            exposed: ports(filters, "expose")?,
            is_task,
            filters,
        })
    }

    pub(super) fn fits(&self, container: &Container) -> bool {
        let (record, state) = (&container.record, &container.state);
        let any = |name: &str, fits: &dyn Fn(&str) -> bool| {
            let values = self.filters.values(name);
            values.is_empty() || values.iter().any(|value| fits(value))
        };
        let labels = record.config.labels.clone().unwrap_or_default();
        any("id", &|value| record.id.as_str().starts_with(value))
            && (self.filters.values("name").is_empty() || self.name_fits(&record.name))
            && self
                .filters
                .values("label")
                .iter()
                .all(|value| label_fits(&labels, value))
            && any("volume", &|value| {
                let mut mounts = record.mounts.iter();
                mounts.any(|mount| {
                    let source = if mount.name.is_empty() { &mount.source } else { &mount.name };
                    source == value || mount.destination == value
                })
            })
            && any("network", &|value| network_name(&record.host_config) == value)
            && any("status", &|value| value == state.status.as_str())
            // Nothing watches over the health of containers.
            && any("health", &|value| value == "none")
            && !self.is_task
            && (self.exited.is_empty()
                || (state.status == Status::Exited && self.exited.contains(&state.exit_code)))
            && self.before.as_ref().is_none_or(|limit| record.created < *limit)
            && self.since.as_ref().is_none_or(|limit| record.created > *limit)
            && (self.filters.values("ancestor").is_empty()
                || self.ancestors.contains(&record.image_id))
            && self.ports_fit(container)
    }

    /// Docker looks for the expression in the name, and in the name with a slash before it.
    fn name_fits(&self, name: &str) -> bool {
        let slashed = format!("/{name}");
        self.names
            .iter()
            .any(|expression| expression.is_match(name) || expression.is_match(&slashed))
    }

    /// No port of a container is published; exposed ones count while it runs.
    fn ports_fit(&self, container: &Container) -> bool {
        if self.exposed.is_empty() && self.published.is_empty() {
            return true;
        }
        exposed_ports(container)
            .iter()
            .any(|port| self.exposed.contains(port))
    }
}

/// The ports that a running container on the bridge exposes: `80/tcp`.
pub(super) fn exposed_ports(container: &Container) -> Vec<String> {
    let Record {
        config,
        host_config,
        ..
    } = &container.record;
    if !container.state.status.is_alive() || network_name(host_config) != BRIDGE_NETWORK {
        return Vec::new();
    }
    config.exposed_ports.iter().cloned().collect()
}

/// A name's expression; one that cannot be read fits nothing.
fn expression(text: &str) -> Option<Regex> {
    RegexBuilder::new(text)
        .size_limit(MAX_EXPRESSION)
        .build()
        .ok()
}

/// Refuses values that are not in the list.
fn one_of(filters: &Filters, name: &str, noun: &str, known: &[&str]) -> Result<(), Error> {
    let mut values = filters.values(name).iter();
    match values.find(|value| !known.contains(&value.as_str())) {
        None => Ok(()),
        Some(bad) => Err(invalid(format!(
            "invalid filter '{name}={bad}': invalid value for {noun} ({bad}): must be one of {}",
            known.join(", ")
        ))),
    }
}

/// The images named and those made from them here; names that mean no image are left out.
fn descendants(images: &Images, names: &[String]) -> BTreeSet<Digest> {
    let named = names
        .iter()
        .filter_map(|name| lookup::image_id(images, name).ok());
    let mut queue: Vec<Digest> = named.collect();
    let mut found = BTreeSet::new();
    while let Some(id) = queue.pop() {
        if found.contains(&id) {
            continue;
        }
        let children = images
            .entries()
            .iter()
            .filter(|entry| entry.parent.as_ref() == Some(&id));
        queue.extend(children.map(|entry| entry.id.clone()));
        found.insert(id);
    }
    found
}

/// Ports as filters give them: `80`, `80/udp`, `80-90/tcp`.
fn ports(filters: &Filters, name: &str) -> Result<BTreeSet<String>, Error> {
    let mut found = BTreeSet::new();
    for value in filters.values(name) {
        if value.contains(':') {
            return Err(invalid(format!(
                "filter for '{name}' should not contain ':': {value}"
            )));
        }
        let (range, protocol) = match value.split_once('/') {
            Some(("", _)) => ("", ""),
            Some((range, "")) => (range, "tcp"),
            Some((range, protocol)) => (range, protocol),
            None => (value.as_str(), "tcp"),
        };
        let (first, last) = port_range(range).map_err(|reason| {
            invalid(format!(
                "error while looking up for {name} {value}: {reason}"
            ))
        })?;
        found.extend((first..=last).map(|port| format!("{port}/{protocol}")));
    }
    Ok(found)
}

fn port_range(text: &str) -> Result<(u16, u16), String> {
    if text.is_empty() {
        return Err("Empty string specified for ports.".to_owned());
    }
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last) = (port(first)?, port(last)?);
    if last < first {
        return Err(format!("invalid range specified for port: {text}"));
    }
    Ok((first, last))
}

fn port(text: &str) -> Result<u16, String> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !is_number {
        return Err(not_a_number("ParseUint", text));
    }
    let too_large = |_error| format!("strconv.ParseUint: parsing {text:?}: value out of range");
    text.parse().map_err(too_large)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn ports_are_numbers_ranges_and_protocols() {
        let wrong = "error while looking up for expose";
        for (value, expected) in [
            ("80", Ok(vec!["80/tcp"])),
            ("80/", Ok(vec!["80/tcp"])),
            ("80-81/udp", Ok(vec!["80/udp", "81/udp"])),
            ("80/any", Ok(vec!["80/any"])),
            (
                "",
                Err(format!("{wrong} : Empty string specified for ports.")),
            ),
            (
                "a:b",
                Err("filter for 'expose' should not contain ':': a:b".to_owned()),
            ),
            (
                "abc",
                Err(format!(
                    "{wrong} abc: strconv.ParseUint: parsing \"abc\": invalid syntax"
                )),
            ),
            (
                "90-80",
                Err(format!(
                    "{wrong} 90-80: invalid range specified for port: 90-80"
                )),
            ),
            (
                "99999",
                Err(format!(
                    "{wrong} 99999: strconv.ParseUint: parsing \"99999\": value out of range"
                )),
            ),
        ] {
            let filters = BTreeMap::from([("expose".to_owned(), vec![value.to_owned()])]);
            let found = ports(&Filters(filters), "expose");
            let found = found.map(|ports| ports.into_iter().collect::<Vec<_>>());
            let found = found.map_err(|error| error.message().to_owned());
            let expected = expected.map(|list| list.into_iter().map(str::to_owned).collect());
            assert_eq!(found, expected, "{value}");
        }
    }

    #[test]
    fn an_expression_that_is_none_fits_nothing() {
        assert!(expression("[").is_none());
        assert!(expression("(a{1000}){1000}").is_none());
        assert!(expression("^/web_[0-9]+$").unwrap().is_match("/web_12"));
    }
}
