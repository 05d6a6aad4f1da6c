//! The names in a layer, as paths below its root.

use crate::error::{Error, Limited};
use crate::limits::Limits;

/// Puts `name` into `clean` without `.`, `..`, doubled slashes and slashes at the ends; the root is empty.
///
/// An absolute name counts from the root, as in a chroot. A relative name that leaves the root is refused.
pub(super) fn clean(name: &[u8], limits: &Limits, clean: &mut Vec<u8>) -> Result<(), Error> {
    clean.clear();
    let absolute = name.first() == Some(&b'/');
    let mut depth = 0_usize;
    for component in name.split(|&byte| byte == b'/') {
        match component {
            b"" | b"." => {}
            b".." if depth > 0 => {
                clean.truncate(parent(clean).len());
                depth = depth.saturating_sub(1);
            }
            b".." if absolute => {}
            b".." => {
                return Err(Error::Breakout {
                    name: String::from_utf8_lossy(name).into_owned(),
                });
            }
            _ => {
                if !clean.is_empty() {
                    clean.push(b'/');
                }
                clean.extend_from_slice(component);
                depth = depth.saturating_add(1);
            }
        }
    }
    if depth > limits.depth {
        return Err(Error::limit(Limited::Depth, limits.depth));
    }
    Ok(())
}

/// The directory of a clean path.
pub(super) fn parent(path: &[u8]) -> &[u8] {
    split(path).0
}

/// A clean path's directory and its last component.
pub(super) fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|&byte| byte == b'/') {
        Some(slash) => {
            let (parent, name) = path.split_at(slash);
            (parent, name.get(1..).unwrap_or_default())
        }
        None => (&[], path),
    }
}

/// The length of the longest path that both clean paths are or go through.
pub(super) fn common(a: &[u8], b: &[u8]) -> usize {
    let same = a.iter().zip(b).take_while(|(a, b)| a == b).count();
    let ends = |path: &[u8]| path.get(same).is_none_or(|&byte| byte == b'/');
    if ends(a) && ends(b) {
        return same;
    }
    let shared = a.get(..same).unwrap_or_default();
    shared.iter().rposition(|&byte| byte == b'/').unwrap_or(0)
}
