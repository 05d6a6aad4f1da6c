//! `tag`: one more name for an image.

use crate::error::{Error, ErrorKind, Origin};
use crate::{Engine, lookup};
use lapstrake_spec::Reference;

/// Gives the image that `source` means the name `target`; a name that stood elsewhere moves.
pub fn tag(engine: &Engine, source: &str, target: &str) -> Result<Reference, Error> {
    let target = Reference::parse(target)
        .map_err(|error| Error::new(ErrorKind::InvalidArgument, error.to_string()))?;
    if target.digest().is_some() {
        return Err(Error::new(
            ErrorKind::InvalidArgument,
            "refusing to create a tag with a digest reference",
        )
        .with_origin(Origin::Client));
    }
    let target = target.or_latest();
    let now = engine.now();
    engine.store()?.update(|images| {
        let id = lookup::image_id(images, source)?;
        images.tag(&id, &target, &now.to_string());
        Ok::<_, Error>(())
    })?;
    Ok(target)
}
