//! Another name for a container.

use crate::containers::Containers;
use crate::error::{Error, Result};
use crate::home;
use crate::names;
use crate::record::ContainerId;

/// Takes the new name, writes the record, gives the old name back: at every moment the record's name is
/// taken.
pub(crate) fn rename(containers: &Containers, id: &ContainerId, name: &str) -> Result<()> {
    let name = name.strip_prefix('/').unwrap_or(name);
    names::check_name(name)?;
    let folder = containers.folder();
    let lock = containers.lock()?;
    let mut record = containers.get(id)?.record;
    if record.name == name {
        return Err(Error::SameName);
    }
    home::take_name(&folder, name, id)?;
    let old = std::mem::replace(&mut record.name, name.to_owned());
    containers.home(id).replace_record(&record)?;
    home::release_name(&folder, &old, id)?;
    drop(lock);
    Ok(())
}
