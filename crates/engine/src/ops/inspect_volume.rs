//! `inspect --type volume`: what is known of a volume.

use crate::Engine;
use crate::error::Error;
use serde::Serialize;

/// One volume, named and ordered as docker shows it.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct InspectedVolume {
    /// When its folder was made or last changed.
    pub created_at: String,
    /// `local`: there are no other drivers.
    pub driver: &'static str,
    /// Volumes have no labels.
    pub labels: Option<()>,
    /// The folder of its content.
    pub mountpoint: String,
    /// Its name.
    pub name: String,
    /// Volumes have no options.
    pub options: Option<()>,
    /// `local`: it is on this machine alone.
    pub scope: &'static str,
}

/// The volume of this name, if there is one.
pub fn inspect_volume(engine: &Engine, name: &str) -> Result<Option<InspectedVolume>, Error> {
    // Anything else could lead out of the folder.
    let is_name = name.starts_with(|c: char| c.is_ascii_alphanumeric()) && !name.contains('/');
    if !is_name {
        return Ok(None);
    }
    let folder = engine.store()?.root().join("volumes").join(name);
    let content = folder.join("_data");
    let metadata = match std::fs::symlink_metadata(&content) {
        Ok(metadata) if metadata.is_dir() => metadata,
        _ => return Ok(None),
    };
    let made = metadata.modified().ok();
    let made = made.and_then(|time| jiff::Timestamp::try_from(time).ok());
    let made = made.and_then(|time| jiff::Timestamp::from_second(time.as_second()).ok());
    Ok(Some(InspectedVolume {
        created_at: made.map_or_else(String::new, |time| time.to_string()),
        driver: "local",
        labels: None,
        mountpoint: content.display().to_string(),
        name: name.to_owned(),
        options: None,
        scope: "local",
    }))
}
