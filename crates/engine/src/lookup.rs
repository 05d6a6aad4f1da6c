//! From what a person typed to an image id.

use crate::error::{Error, ErrorKind, Origin};
use lapstrake_spec::{Digest, Reference};
use lapstrake_store::{Images, LookupError};

/// The image that a name, a name with digest, an id or a unique beginning of an id means.
pub(crate) fn image_id(images: &Images, typed: &str) -> Result<Digest, Error> {
    match images.find(typed) {
        Ok(found) => Ok(found.id),
        Err(LookupError::NotFound) => Err(Error::no_such_image(&with_tag(typed))),
        Err(LookupError::Ambiguous) => Err(Error::new(
            ErrorKind::NotFound,
            format!("No such image: {}", with_tag(typed)),
        )
        .with_hint("several ids begin so: give more digits")),
        Err(LookupError::Invalid(error)) => {
            Err(Error::new(ErrorKind::InvalidArgument, error.to_string()))
        }
    }
}

/// Whether the words are the image's id or the beginning of it, and not a name.
pub(crate) fn is_id(id: &Digest, typed: &str) -> bool {
    let digits = typed.strip_prefix("sha256:").unwrap_or(typed);
    !digits.is_empty() && id.hex().starts_with(digits)
}

/// Parses a reference that the client checks before it asks.
pub(crate) fn parse(typed: &str) -> Result<Reference, Error> {
    Reference::parse(typed).map_err(|error| {
        Error::new(ErrorKind::InvalidArgument, error.to_string()).with_origin(Origin::Client)
    })
}

/// The words with `:latest` where a bare name was given, as docker repeats them in its errors.
fn with_tag(typed: &str) -> String {
    match Reference::parse(typed) {
        Ok(reference) if reference.is_name_only() => format!("{typed}:latest"),
        _ => typed.to_owned(),
    }
}
