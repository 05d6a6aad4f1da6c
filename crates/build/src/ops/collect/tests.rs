//! Tests of what is part of a key.

use super::*;
use crate::ops::run::plain_rules;
use crate::source::{SourceEntry, SourceError};

/// The file `dir/file`; what its directory is can be chosen.
#[derive(Clone, Default)]
struct Small {
    uid: u32,
    gid: u32,
    xattrs: Attributes,
}

impl SourceTree for Small {
    fn describe(&self) -> String {
        "small".to_owned()
    }

    fn metadata(&self, path: &Path) -> Result<Option<Metadata>, SourceError> {
        let (kind, (uid, gid)) = match path.to_str() {
            Some("") => (FileKind::Directory, (0, 0)),
            Some("dir") => (FileKind::Directory, (self.uid, self.gid)),
            Some("dir/file") => (FileKind::File, (0, 0)),
            _ => return Ok(None),
        };
        Ok(Some(Metadata {
            kind,
            mode: 0o755,
            uid,
            gid,
            size: 0,
            modified: Time::default(),
            device: (0, 0),
            links: 1,
            identity: None,
        }))
    }

    fn list(&self, _directory: &Path) -> Result<Vec<SourceEntry>, SourceError> {
        Ok(Vec::new())
    }

    fn read_link(&self, _path: &Path) -> Result<PathBuf, SourceError> {
        Err(SourceError::other("no link"))
    }

    fn open(&self, _path: &Path) -> Result<Box<dyn Read + Send>, SourceError> {
        Ok(Box::new(std::io::empty()))
    }

    fn xattrs(&self, path: &Path) -> Result<Attributes, SourceError> {
        let is_directory = path == Path::new("dir");
        Ok(if is_directory {
            self.xattrs.clone()
        } else {
            Attributes::new()
        })
    }
}

fn digest(tree: &Small, owners: bool) -> String {
    let reading = Reading {
        tree: Arc::new(tree.clone()),
        digests: None,
        owners,
        stage: true,
    };
    let rules = Rules {
        parents: true,
        ..plain_rules().unwrap()
    };
    let mut collected = Collected::default();
    collected.add(&reading, "dir/file", &rules).unwrap();
    let cancel = CancelToken::new().unwrap();
    collected.digest(&|_| None, &cancel).unwrap().0.digest
}

#[test]
fn kept_parents_are_part_of_the_key() {
    let plain = Small::default();
    for (changed, with_owners, without) in [
        (plain.clone(), false, false),
        (
            Small {
                uid: 1,
                ..plain.clone()
            },
            true,
            false,
        ),
        (
            Small {
                gid: 1,
                ..plain.clone()
            },
            true,
            false,
        ),
        (
            Small {
                xattrs: vec![(b"user.a".to_vec(), b"1".to_vec())],
                ..plain.clone()
            },
            true,
            true,
        ),
    ] {
        for (owners, differs) in [(true, with_owners), (false, without)] {
            assert_eq!(
                digest(&changed, owners) != digest(&plain, owners),
                differs,
                "{} {} {owners}",
                changed.uid,
                changed.gid
            );
        }
    }
}
