//! Query strings and form bodies.

use std::borrow::Cow;

use super::error::{ApiError, Code};

/// The decoded pairs of a query string or an urlencoded form.
#[derive(Debug)]
pub(super) struct Query<'a> {
    raw: &'a [u8],
}

impl<'a> Query<'a> {
    pub(super) fn new(raw: &'a [u8]) -> Self {
        Self { raw }
    }

    /// The first value of `key`.
    pub(super) fn get(&self, key: &str) -> Option<Cow<'a, str>> {
        self.all(key).next()
    }

    /// Every value of `key`.
    pub(super) fn all(&self, key: &str) -> impl Iterator<Item = Cow<'a, str>> {
        form_urlencoded::parse(self.raw)
            .filter(move |(name, _)| name == key)
            .map(|(_, value)| value)
    }

    /// The page length `n`, at most `limit`.
    pub(super) fn page_length(&self, limit: usize) -> Result<usize, ApiError> {
        let Some(text) = self.get("n") else {
            return Ok(limit);
        };
        match text.parse::<usize>() {
            Ok(length) => Ok(length.min(limit)),
            Err(_) => Err(ApiError::new(Code::PaginationNumberInvalid)
                .detail(serde_json::json!({ "n": text }))),
        }
    }
}
