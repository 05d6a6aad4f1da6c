//! `search`: what an index server finds, and the tags of a remote repository.

use super::filter::{Filters, not_a_number};
use crate::error::{Error, ErrorKind};
use crate::{Engine, lookup, transfer};
use lapstrake_registry::client::SearchResult;

/// How many results are asked for when nobody says.
const DEFAULT_LIMIT: usize = 25;
/// The most results that docker asks for.
const LARGEST_LIMIT: i64 = 100;

/// What `search` asks for.
#[derive(Debug, Clone, Default)]
pub struct SearchRequest {
    /// A term, after the index and a slash when it is not Docker Hub's.
    pub term: String,
    /// How many results, 1 to 100; 25 when absent.
    pub limit: Option<i64>,
    /// `is-official`, `is-automated`, `stars`. They choose among what the index sent.
    pub filters: Filters,
}

/// Asks an index, and keeps what fits the filters, in the index's order.
pub async fn search(engine: &Engine, request: &SearchRequest) -> Result<Vec<SearchResult>, Error> {
    let wanted = Wanted::new(&request.filters)?;
    let limit = match request.limit {
        None => DEFAULT_LIMIT,
        Some(limit) => usize::try_from(limit)
            .ok()
            .filter(|_| (1..=LARGEST_LIMIT).contains(&limit))
            .ok_or_else(|| {
                refuse(format!(
                    "limit {limit} is outside the range of [1, {LARGEST_LIMIT}]"
                ))
            })?,
    };
    let (index, term) = split(&request.term)?;
    let client = transfer::client(engine)?;
    let mut results = client.search(index, term, limit).await?;
    results.retain(|result| wanted.has(result));
    Ok(results)
}

/// The tags of a repository in its registry.
pub async fn remote_tags(engine: &Engine, name: &str) -> Result<(String, Vec<String>), Error> {
    let reference = lookup::parse(name)?;
    let client = transfer::client(engine)?;
    Ok((reference.familiar_name(), client.tags(&reference).await?))
}

/// The index and the term: what comes before the first slash is an index when it looks like a host.
fn split(typed: &str) -> Result<(&str, &str), Error> {
    const HUB: &str = "docker.io";
    if let Some((scheme, rest)) = typed.split_once("://")
        && matches!(scheme, "http" | "https")
    {
        return Err(refuse(format!(
            "invalid repository name: repository name ({typed}) should not have a scheme"
        ))
        .with_hint(format!("leave the scheme out: `lap search {rest}`")));
    }
    let (index, term) = match typed.split_once('/') {
        Some((host, term)) if host.contains(['.', ':']) || host == "localhost" => (host, term),
        _ => (HUB, typed),
    };
    let index = if index == "index.docker.io" {
        HUB
    } else {
        index
    };
    // Docker Hub shows these without their folder.
    let term = match term.strip_prefix("library/") {
        Some(bare) if index == HUB => bare,
        _ => term,
    };
    Ok((index, term))
}

struct Wanted {
    official: Option<bool>,
    automated: Option<bool>,
    stars: i64,
}

impl Wanted {
    fn new(filters: &Filters) -> Result<Self, Error> {
        filters.allow(&["is-automated", "is-official", "stars"])?;
        let mut stars = 0;
        for value in filters.values("stars") {
            let count: i64 = value.parse().map_err(|_error| {
                let reason = not_a_number("Atoi", value);
                refuse(format!("invalid filter 'stars={value}': {reason}"))
            })?;
            stars = stars.max(count);
        }
        Ok(Self {
            official: filters.boolean("is-official")?,
            automated: filters.boolean("is-automated")?,
            stars,
        })
    }

    fn has(&self, result: &SearchResult) -> bool {
        self.official
            .is_none_or(|wanted| wanted == result.is_official)
            && self
                .automated
                .is_none_or(|wanted| wanted == result.is_automated)
            && result.star_count >= self.stars
    }
}

fn refuse(text: String) -> Error {
    Error::new(ErrorKind::InvalidArgument, text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn what_comes_before_a_slash_may_be_an_index() {
        for (typed, index, term) in [
            ("sinatra", "docker.io", "sinatra"),
            ("training/sinatra", "docker.io", "training/sinatra"),
            ("library/nginx", "docker.io", "nginx"),
            ("docker.io/library/nginx", "docker.io", "nginx"),
            ("index.docker.io/nginx", "docker.io", "nginx"),
            ("localhost/a/b", "localhost", "a/b"),
            ("h:5000/library/a", "h:5000", "library/a"),
            ("quay.io/", "quay.io", ""),
        ] {
            assert_eq!(split(typed).unwrap(), (index, term), "{typed}");
        }
        assert_eq!(
            split("https://quay.io/a").unwrap_err().message(),
            "invalid repository name: repository name (https://quay.io/a) should not have a scheme"
        );
    }

    #[test]
    fn filters_choose_results() {
        let filters = |name: &str, value: &str| {
            Filters(BTreeMap::from([(name.to_owned(), vec![value.to_owned()])]))
        };
        let result = SearchResult {
            name: "a".to_owned(),
            description: String::new(),
            star_count: 4,
            is_official: true,
            is_automated: false,
        };
        for (name, value, fits) in [
            ("stars", "4", true),
            ("stars", "5", false),
            ("is-official", "true", true),
            ("is-official", "false", false),
            ("is-automated", "0", true),
        ] {
            let wanted = Wanted::new(&filters(name, value)).unwrap();
            assert_eq!(wanted.has(&result), fits, "{name}={value}");
        }
        for (name, value, words) in [
            ("nope", "1", "invalid filter 'nope'"),
            ("is-official", "x", "invalid filter 'is-official=[x]'"),
            (
                "stars",
                "abc",
                "invalid filter 'stars=abc': strconv.Atoi: parsing \"abc\": invalid syntax",
            ),
        ] {
            let error = Wanted::new(&filters(name, value)).err().unwrap();
            assert_eq!(error.message(), words);
        }
    }
}
