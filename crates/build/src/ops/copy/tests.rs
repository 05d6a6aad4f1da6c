use super::*;
use crate::ops::collect::{Reading, Rules};
use crate::ops::run::matcher;
use crate::solve::tests::Folder;
use crate::source::{Attributes, SourceEntry, SourceError, Time};
use std::collections::BTreeMap;
use std::io::Read;
use std::path::PathBuf;

const NOW: i64 = 9;
const OLD: i64 = 1;
const SOURCE: i64 = 5;

fn metadata(kind: FileKind, mode: u32, owner: (u32, u32), seconds: i64) -> Metadata {
    Metadata {
        kind,
        mode,
        uid: owner.0,
        gid: owner.1,
        size: 0,
        modified: Time {
            seconds,
            nanoseconds: 0,
        },
        device: (0, 0),
        links: 1,
        identity: None,
    }
}

/// Files in memory; all of them have attributes.
struct Files(BTreeMap<PathBuf, Metadata>);

impl SourceTree for Files {
    fn describe(&self) -> String {
        "files".to_owned()
    }

    fn metadata(&self, path: &Path) -> Result<Option<Metadata>, SourceError> {
        Ok(self.0.get(path).cloned())
    }

    fn list(&self, directory: &Path) -> Result<Vec<SourceEntry>, SourceError> {
        let below = self.0.iter().filter(|(path, _)| {
            !path.as_os_str().is_empty() && path.parent().is_some_and(|parent| parent == directory)
        });
        let entries = below.map(|(path, metadata)| SourceEntry {
            name: path.file_name().unwrap().to_owned(),
            metadata: metadata.clone(),
        });
        Ok(entries.collect())
    }

    fn read_link(&self, path: &Path) -> Result<PathBuf, SourceError> {
        Ok(path.to_owned())
    }

    fn open(&self, _path: &Path) -> Result<Box<dyn Read + Send>, SourceError> {
        Ok(Box::new(std::io::empty()))
    }

    fn xattrs(&self, _path: &Path) -> Result<Attributes, SourceError> {
        let names = ["security.capability", "user.note"];
        Ok(names.map(|name| (name.into(), vec![1])).into())
    }
}

fn source() -> Arc<dyn SourceTree> {
    let dir = |mode| metadata(FileKind::Directory, mode, (7, 8), SOURCE);
    let file = |mode| metadata(FileKind::File, mode, (7, 8), SOURCE);
    let files = [
        ("", dir(0o755)),
        ("d", dir(0o2700)),
        ("d/s", dir(0o2750)),
        ("d/s/x", file(0o6755)),
        ("f", file(0o640)),
        ("locks", file(0o6745)),
    ];
    Arc::new(Files(
        files
            .map(|(path, found)| (PathBuf::from(path), found))
            .into(),
    ))
}

struct Case {
    sources: &'static [&'static str],
    destination: &'static str,
    chown: Option<(u32, u32)>,
    chmod: Option<&'static str>,
    classic: bool,
    /// The sources are another stage's.
    stage: bool,
}

fn case(sources: &'static [&'static str], destination: &'static str) -> Case {
    Case {
        sources,
        destination,
        chown: None,
        chmod: None,
        classic: false,
        stage: false,
    }
}

/// What the layer has: kind, mode, owner and time.
fn layer(case: &Case) -> BTreeMap<String, String> {
    let mut draft = Draft::new(
        None,
        Time {
            seconds: NOW,
            nanoseconds: 0,
        },
    );
    let mut image = |path: &str, mode, owner| {
        let path = TreePath::parse(path.as_bytes());
        let found = metadata(FileKind::Directory, mode, owner, OLD);
        draft
            .insert(path.clone(), Planned::new(found, Content::None))
            .unwrap();
    };
    image("old", 0o700, (1, 2));
    image("sg", 0o2775, (0, 50));
    let link = metadata(FileKind::Symlink, 0o777, (0, 0), OLD);
    let link = Planned::new(link, Content::Link(b"../old/there".to_vec()));
    draft.insert(TreePath::parse(b"links/link"), link).unwrap();
    let rules = Rules {
        excludes: matcher(&[]).unwrap(),
        parents: false,
        follow_links: true,
        classic: case.classic,
        instruction: "COPY",
        wildcards: false,
    };
    let reading = Reading {
        tree: source(),
        digests: None,
        owners: case.stage,
        stage: case.stage,
    };
    let mut collected = Collected::default();
    for source in case.sources {
        collected.add(&reading, source, &rules).unwrap();
    }
    let placing = Placing {
        destination: case.destination,
        owner: case.chown.map(|(uid, gid)| Owner { uid, gid }),
        mode: case.chmod.map(|text| Mode::parse(text).unwrap()),
        unpack: false,
        parents: false,
        classic: case.classic,
    };
    let folder = Folder::new();
    place(&mut draft, &collected, &placing, &folder.store()).unwrap();
    let line = |planned: &Planned| {
        let found = &planned.metadata;
        let time = match found.modified.seconds {
            NOW => "now",
            OLD => "old",
            _ => "source",
        };
        let mut text = format!("{:o} {}:{} {time}", found.mode, found.uid, found.gid);
        if found.kind == FileKind::File {
            for (name, _) in &planned.xattrs {
                text.push(' ');
                text.push_str(&String::from_utf8_lossy(name));
            }
        }
        text
    };
    let entries = draft.entries().iter();
    entries
        .map(|(path, planned)| (path.to_string(), line(planned)))
        .collect()
}

fn check(case: &Case, expected: &[(&str, &str)]) {
    let layer = layer(case);
    for (path, line) in expected {
        let found = layer.get(*path).map_or("nothing", String::as_str);
        let said = (case.sources, case.destination, case.chown, case.chmod);
        assert_eq!(found, *line, "{path} of {said:?}, {layer:#?}");
    }
}

const ALL: &str = "security.capability user.note";

#[test]
fn the_destination_has_the_time_of_a_directory() {
    check(
        &case(&["d"], "/new/in"),
        &[("/new", "755 0:0 now"), ("/new/in", "755 0:0 source")],
    );
    // Of one that was there nothing else changes.
    let mut there = case(&["d"], "/old/");
    there.chown = Some((3, 4));
    there.chmod = Some("711");
    check(
        &there,
        &[("/old", "700 1:2 source"), ("/old/s", "711 3:4 source")],
    );
    // The root of a tree is nobody's directory, and a file is none.
    check(
        &case(&["."], "/new"),
        &[("/new", "755 0:0 now"), ("/new/d", "2700 0:0 source")],
    );
    check(&case(&["f"], "/old/"), &[("/old", "700 1:2 now")]);
    // What comes later changes it.
    check(&case(&["d", "f"], "/old/"), &[("/old", "700 1:2 now")]);
    check(&case(&["f", "d"], "/old/"), &[("/old", "700 1:2 source")]);
    let mut classic = case(&["d"], "/old/");
    classic.classic = true;
    check(
        &classic,
        &[("/old", "700 1:2 now"), ("/old/s", "2750 0:0 source")],
    );
}

#[test]
fn modes_of_directories() {
    for (chmod, made, below) in [
        (None, "755 0:0", "2750 0:0"),
        (Some("710"), "710 0:0", "710 0:0"),
        // Making a directory takes permission bits only, changing its mode takes all.
        (Some("2711"), "711 0:0", "2711 0:0"),
        (Some("g+w,u=rwX"), "755 0:0", "2770 0:0"),
    ] {
        let mut made_here = case(&["d"], "/a/b");
        made_here.chmod = chmod;
        let expected = [
            ("/a", format!("{made} now")),
            ("/a/b", format!("{made} source")),
            ("/a/b/s", format!("{below} source")),
        ];
        let expected = expected
            .each_ref()
            .map(|(path, line)| (*path, line.as_str()));
        check(&made_here, &expected);
    }
}

#[test]
fn directories_hand_their_group_down() {
    for (chown, classic, expected) in [
        (None, false, "2755 0:50"),
        (Some((3, 4)), false, "2755 3:4"),
        (None, true, "2755 0:0"),
        (Some((3, 4)), true, "2755 3:4"),
    ] {
        let mut into = case(&["f"], "/sg/a/b/f");
        (into.chown, into.classic) = (chown, classic);
        let expected = format!("{expected} now");
        check(
            &into,
            &[
                ("/sg", "2775 0:50 now"),
                ("/sg/a", &expected),
                ("/sg/a/b", &expected),
            ],
        );
    }
    // Those that are copied have modes of their own.
    check(&case(&["d"], "/sg"), &[("/sg/s", "2750 0:0 source")]);
}

#[test]
fn a_file_is_written_where_a_link_leads() {
    for classic in [false, true] {
        let mut through = case(&["f"], "/links/link");
        through.classic = classic;
        check(&through, &[("/links/link", "777 0:0 old")]);
        assert!(layer(&through)["/old/there"].starts_with("640 0:0 source"));
    }
}

#[test]
fn what_the_classic_builder_keeps() {
    for (stage, chown, classic, set, locks) in [
        (
            false,
            None,
            false,
            format!("6755 0:0 source {ALL}"),
            format!("6745 0:0 source {ALL}"),
        ),
        (
            true,
            None,
            false,
            format!("6755 7:8 source {ALL}"),
            format!("6745 7:8 source {ALL}"),
        ),
        (
            false,
            None,
            true,
            "755 0:0 source".to_owned(),
            "2745 0:0 source".to_owned(),
        ),
        (
            true,
            Some((3, 4)),
            true,
            "755 3:4 source".to_owned(),
            "2745 3:4 source".to_owned(),
        ),
        (
            true,
            None,
            true,
            "6755 7:8 source security.capability".to_owned(),
            // A single file comes without.
            "6745 7:8 source".to_owned(),
        ),
    ] {
        let mut copied = case(&["d", "locks"], "/x/");
        (copied.stage, copied.chown, copied.classic) = (stage, chown, classic);
        check(&copied, &[("/x/s/x", &set), ("/x/locks", &locks)]);
    }
}
