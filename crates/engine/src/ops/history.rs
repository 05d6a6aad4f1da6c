//! `history`: how an image came to be.

use crate::error::Error;
use crate::{Engine, lookup};
use lapstrake_spec::{Digest, Reference};

/// One step, newest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistoryRow {
    /// The image that this step made, when it is in the store; `None` prints `<missing>`.
    pub id: Option<Digest>,
    /// When.
    pub created: Option<jiff::Timestamp>,
    /// The command.
    pub created_by: String,
    /// The bytes that the step's layer adds.
    pub size: u64,
    /// The comment.
    pub comment: String,
    /// The tags of that image.
    pub tags: Vec<Reference>,
}

/// The history of one image.
pub fn history(engine: &Engine, image: &str) -> Result<Vec<HistoryRow>, Error> {
    let store = engine.store()?;
    let images = store.images()?;
    let id = lookup::image_id(&images, image)?;
    let (config, _raw) = store.image_config(&id)?;
    let mut layers = config.rootfs.diff_ids.iter();
    let mut rows: Vec<HistoryRow> = Vec::new();
    for step in &config.history {
        let size = match (step.empty_layer, layers.clone().next()) {
            (false, Some(diff_id)) => {
                layers.next();
                store.layer_size(diff_id)?
            }
            _ => 0,
        };
        rows.push(HistoryRow {
            id: None,
            created: step.created.as_deref().and_then(|text| text.parse().ok()),
            created_by: step.created_by.clone(),
            size,
            comment: step.comment.clone(),
            tags: Vec::new(),
        });
    }
    rows.reverse();
    let mut image = Some(id);
    for row in &mut rows {
        let Some(known) = image.take() else { break };
        row.tags = images.tags_of(&known);
        image = images.by_id(&known).and_then(|entry| entry.parent.clone());
        row.id = Some(known);
    }
    Ok(rows)
}
