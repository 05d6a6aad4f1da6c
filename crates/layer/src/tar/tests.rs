use super::number;
use super::{Archive, Entry, Kind, Metadata, Segment, TarWriter, Time};
use crate::testing::{Random, Tar, checked};
use crate::{Error, Limits};

/// The entries of an archive, with their contents.
fn read(tar: &[u8]) -> Result<Vec<(Entry, Vec<u8>)>, Error> {
    let limits = Limits::default();
    let mut archive = Archive::new(tar, &limits);
    let mut entries = Vec::new();
    while archive.advance()? {
        let (entry, mut content) = archive.current();
        let mut bytes = Vec::new();
        content.copy(u64::MAX, |piece| {
            bytes.extend_from_slice(piece);
            Ok(())
        })?;
        let entry = Entry {
            name: entry.name.clone(),
            link: entry.link.clone(),
            xattrs: entry.xattrs.clone(),
            sparse: entry.sparse.clone(),
            ..*entry
        };
        entries.push((entry, bytes));
    }
    archive.drain()?;
    Ok(entries)
}

fn names(tar: &[u8]) -> Vec<String> {
    let entries = read(tar).unwrap();
    entries
        .iter()
        .map(|(entry, _)| String::from_utf8_lossy(&entry.name).into_owned())
        .collect()
}

fn fault(tar: &[u8]) -> String {
    read(tar).unwrap_err().to_string()
}

#[test]
fn number_fields() {
    let good: [(&[u8], i64); 9] = [
        (b"0000644\0", 0o644),
        (b"   644 \0", 0o644),
        (b"\0\0\0\0", 0),
        (b"7777777777", 0o77_7777_7777),
        (b"12\x0034", 0o12),
        (b"\x80\0\0\0\0\0\0\0\0\0\x01\x02", 0x102),
        (b"\xff\xff\xff\xff\xff\xff\xff\xfe", -2),
        (b"\x80\0\0\0\x7f\xff\xff\xff\xff\xff\xff\xff", i64::MAX),
        (b"\xff\xff\xff\xff\x80\0\0\0\0\0\0\0", i64::MIN),
    ];
    for (bytes, value) in good {
        assert_eq!(number::field(bytes).unwrap(), value, "{bytes:?}");
    }
    let bad: [&[u8]; 7] = [
        b"8",
        b"-1",
        b"1 2",
        b"0x10",
        b"7777777777777777777777777",
        b"\x80\0\0\0\x80\0\0\0\0\0\0\0",
        b"\x81\0\0\0\0\0\0\0\0\0\0\0",
    ];
    for bytes in bad {
        assert!(number::field(bytes).is_err(), "{bytes:?}");
    }
    assert!(number::size_field(b"\xff\xff\xff\xff").is_err());
    assert!(number::owner(i64::from(u32::MAX)).is_err());
}

#[test]
fn times() {
    let time = |seconds, nanoseconds| Time {
        seconds,
        nanoseconds,
    };
    for (text, expected) in [
        ("0", time(0, 0)),
        ("1350244992.023960108", time(1_350_244_992, 23_960_108)),
        ("1.5", time(1, 500_000_000)),
        ("1.", time(1, 0)),
        ("1.1234567899", time(1, 123_456_789)),
        ("-1", time(-1, 0)),
        ("-1.25", time(-2, 750_000_000)),
        ("-0.000000001", time(-1, 999_999_999)),
    ] {
        assert_eq!(number::time(text.as_bytes()).unwrap(), expected, "{text}");
    }
    for text in ["", "x", "1.x", "--1", "+1", "1e9", "99999999999999999999"] {
        assert!(number::time(text.as_bytes()).is_err(), "{text}");
    }
}

#[test]
fn names_come_from_the_last_word() {
    let mut prefixed = Tar::header(b'0', b"name", 0);
    prefixed[345..351].copy_from_slice(b"prefix");
    let mut gnu = Tar::header(b'0', b"gnu", 0);
    gnu[257..265].copy_from_slice(b"ustar  \0");
    gnu[345..350].copy_from_slice(b"atime");
    let tar = Tar::new()
        .raw(&checked(prefixed))
        .raw(&checked(gnu))
        .pax(&[("path", b"from pax")])
        .file("a", "")
        .entry(b'L', "././@LongLink", b"from gnu\0garbage")
        .file("b", "")
        .pax(&[("path", b"from pax")])
        .entry(b'L', "././@LongLink", b"both\0")
        .file("c", "")
        .pax(&[("path", b"")])
        .file("empty", "")
        .pax(&[("path", b"one")])
        .pax(&[("size", b"0")])
        .file("only the last", "")
        .file("d", "")
        .end();
    let expected = [
        "prefix/name",
        "gnu",
        "from pax",
        "from gnu",
        "both",
        "empty",
        "only the last",
        "d",
    ];
    assert_eq!(names(&tar), expected);
}

#[test]
fn attributes_are_sorted_and_the_last_of_a_name_counts() {
    let records: &[(&str, &[u8])] = &[
        ("SCHILY.xattr.user.b", b"1"),
        ("SCHILY.xattr.user.a", b"2"),
        ("SCHILY.xattr.user.b", b"3"),
    ];
    let entries = read(&Tar::new().pax(records).file("a", "").file("b", "").end()).unwrap();
    let expected = [
        (b"user.a".to_vec(), b"2".to_vec()),
        (b"user.b".to_vec(), b"3".to_vec()),
    ];
    assert_eq!(entries[0].0.xattrs, expected);
    assert!(entries[1].0.xattrs.is_empty());
}

#[test]
fn global_headers_are_passed_over() {
    let tar = Tar::new()
        .entry(b'g', "global", b"22 comment=0123456789\n")
        .file("a", "1")
        .end();
    assert_eq!(names(&tar), ["a"]);
}

#[test]
fn legacy_directories_end_with_a_slash() {
    let tar = Tar::new().entry(0, "dir/", b"").entry(0, "file", b"").end();
    let kinds: Vec<Kind> = read(&tar)
        .unwrap()
        .iter()
        .map(|(entry, _)| entry.kind)
        .collect();
    assert_eq!(kinds, [Kind::Directory, Kind::File]);
}

/// A size in the extended header counts whatever the plain header says; or else what one reader takes for content is an
/// entry to another.
#[test]
fn the_extended_size_always_counts() {
    let hidden = Tar::new().file("hidden", "x").unended();
    for plain in [0_u64, 1, 512] {
        let header = Tar::header(b'0', b"f", plain);
        let size = hidden.len().to_string();
        let tar = Tar::new()
            .pax(&[("size", size.as_bytes())])
            .raw(&header)
            .content(&hidden)
            .file("next", "")
            .end();
        assert_eq!(names(&tar), ["f", "next"], "plain size {plain}");
        let tar = Tar::new()
            .pax(&[("size", b"0")])
            .raw(&header)
            .raw(&hidden)
            .end();
        assert_eq!(names(&tar), ["f", "hidden"], "plain size {plain}");
    }
}

#[test]
fn kinds_without_content_have_none() {
    for kind in [b'1', b'2', b'3', b'4', b'5', b'6'] {
        let tar = Tar::new()
            .raw(&Tar::header(kind, b"e", 512))
            .file("next", "")
            .end();
        assert_eq!(names(&tar), ["e", "next"]);
        let tar = Tar::new()
            .pax(&[("size", b"512")])
            .raw(&Tar::header(kind, b"e", 0))
            .file("next", "")
            .end();
        assert_eq!(names(&tar), ["e", "next"]);
    }
}

#[test]
fn bad_headers_are_refused() {
    assert_eq!(fault(b"garbage"), "unexpected EOF");
    assert_eq!(
        fault(&[b'g'; 600]),
        "archive/tar: invalid tar header: bad checksum"
    );
    let mut flipped = Tar::new().file("a", "").end();
    flipped[0] = b'b';
    assert_eq!(
        fault(&flipped),
        "archive/tar: invalid tar header: bad checksum"
    );
    let lonely = Tar::new().raw(&[0; 512]).file("a", "").end();
    assert_eq!(
        fault(&lonely),
        "archive/tar: invalid tar header: single block of zeros"
    );
    let mut negative = Tar::header(b'0', b"a", 0);
    negative[124..136].fill(0xff);
    assert_eq!(
        fault(&checked(negative)),
        "archive/tar: invalid tar header: bad number"
    );
    for records in [
        "5 a=",
        "x a=b\n",
        "9999 a=b\n",
        "4 a\n",
        "5 =b\n",
        "0 a=b\n",
        " ",
        "7 a=b\n",
        "11 size=-1\n",
        "12 path=a\0b\n",
    ] {
        let tar = Tar::new()
            .entry(b'x', "x", records.as_bytes())
            .file("a", "")
            .end();
        assert!(
            fault(&tar).starts_with("archive/tar: invalid tar header"),
            "{records:?}"
        );
    }
}

#[test]
fn signed_checksums_are_taken() {
    let mut header = Tar::header(b'0', "Umlaut-\u{e4}".as_bytes(), 0);
    header[148..156].copy_from_slice(b"        ");
    let sum: i64 = header
        .iter()
        .map(|&byte| i64::from(byte.cast_signed()))
        .sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    assert_eq!(names(&header), ["Umlaut-\u{e4}"]);
}

fn segments(pairs: &[(u64, u64)]) -> Vec<Segment> {
    let segment = |&(offset, length): &(u64, u64)| Segment { offset, length };
    pairs.iter().map(segment).collect()
}

#[test]
fn sparse_files_in_extended_headers() {
    let first: &[(&str, &[u8])] = &[
        ("GNU.sparse.size", b"10000"),
        ("GNU.sparse.numblocks", b"2"),
        ("GNU.sparse.offset", b"0"),
        ("GNU.sparse.numbytes", b"3"),
        ("GNU.sparse.offset", b"5000"),
        ("GNU.sparse.numbytes", b"2"),
    ];
    let second: &[(&str, &[u8])] = &[
        ("GNU.sparse.size", b"10000"),
        ("GNU.sparse.numblocks", b"2"),
        ("GNU.sparse.map", b"0,3,5000,2"),
        ("GNU.sparse.name", b"real"),
    ];
    for records in [first, second] {
        let entries = read(
            &Tar::new()
                .pax(records)
                .file("real", "abcde")
                .file("n", "")
                .end(),
        )
        .unwrap();
        let (entry, content) = &entries[0];
        assert_eq!(
            (entry.name.as_slice(), entry.size),
            (b"real".as_slice(), 10000)
        );
        assert_eq!(
            entry.sparse.as_deref(),
            Some(&*segments(&[(0, 3), (5000, 2)]))
        );
        assert_eq!(content, b"abcde");
        assert_eq!(entries[1].0.name, b"n");
    }
    let mut content = b"2\n0\n3\n5000\n2\n".to_vec();
    content.resize(512, 0);
    content.extend_from_slice(b"abcde");
    let third: &[(&str, &[u8])] = &[
        ("GNU.sparse.major", b"1"),
        ("GNU.sparse.minor", b"0"),
        ("GNU.sparse.name", b"real"),
        ("GNU.sparse.realsize", b"10000"),
    ];
    let entries = read(
        &Tar::new()
            .pax(third)
            .entry(b'0', "x", &content)
            .file("n", "")
            .end(),
    )
    .unwrap();
    assert_eq!(
        entries[0].0.sparse.as_deref(),
        Some(&*segments(&[(0, 3), (5000, 2)]))
    );
    assert_eq!(
        (entries[0].0.size, entries[0].1.as_slice()),
        (10000, b"abcde".as_slice())
    );
    assert_eq!(entries[1].0.name, b"n");
}

#[test]
fn old_gnu_sparse_files() {
    let mut header = Tar::header(b'S', b"old", 6 * 512);
    header[257..265].copy_from_slice(b"ustar  \0");
    let put = |block: &mut [u8], index: usize, offset: u64| {
        let at = index * 24;
        block[at..at + 11].copy_from_slice(format!("{offset:011o}").as_bytes());
        block[at + 12..at + 23].copy_from_slice(format!("{:011o}", 512).as_bytes());
    };
    (0..4).for_each(|index| put(&mut header[386..482], index, index as u64 * 4096));
    header[482] = 1;
    header[483..494].copy_from_slice(format!("{:011o}", 100_000).as_bytes());
    let mut extension = [0; 512];
    (0..2).for_each(|index| put(&mut extension, index, 40960 + index as u64 * 4096));
    let tar = Tar::new()
        .raw(&checked(header))
        .raw(&extension)
        .content(&[7; 6 * 512])
        .file("n", "")
        .end();
    let entries = read(&tar).unwrap();
    let expected = [
        (0, 512),
        (4096, 512),
        (8192, 512),
        (12288, 512),
        (40960, 512),
        (45056, 512),
    ];
    assert_eq!(entries[0].0.sparse.as_deref(), Some(&*segments(&expected)));
    assert_eq!((entries[0].0.size, entries[0].1.len()), (100_000, 6 * 512));
    assert_eq!(entries[1].0.name, b"n");
}

#[test]
fn bad_sparse_maps_are_refused() {
    for map in [
        "0,3,2,2",
        "0,6",
        "9999,5",
        "5,",
        "0,3,5000",
        "18446744073709551615,5",
        "0,2,9,2",
    ] {
        let blocks = (map.split(',').count() / 2).to_string();
        let records: &[(&str, &[u8])] = &[
            ("GNU.sparse.size", b"10000"),
            ("GNU.sparse.numblocks", blocks.as_bytes()),
            ("GNU.sparse.map", map.as_bytes()),
        ];
        let said = fault(&Tar::new().pax(records).file("f", "abcde").end());
        assert!(
            said.starts_with("archive/tar: invalid tar header"),
            "{map}: {said}"
        );
    }
    let endless = [b'1'; 512];
    let version: &[(&str, &[u8])] = &[("GNU.sparse.major", b"1"), ("GNU.sparse.minor", b"0")];
    let said = fault(&Tar::new().pax(version).entry(b'0', "f", &endless).end());
    assert_eq!(said, "archive/tar: invalid tar header: bad sparse map");
    let short = fault(&Tar::new().pax(version).entry(b'0', "f", b"5\n1\n").end());
    assert_eq!(
        short,
        "archive/tar: invalid tar header: sparse map longer than its file"
    );
}

/// What is written is read again as it was, in the plainest header that holds it.
#[test]
fn written_entries_are_read_again() {
    let long = "d/".repeat(70) + "file";
    let split = "p/".to_owned() + &"n".repeat(99);
    let names = [
        "a",
        "dir/",
        "h\u{e4}",
        &long,
        &split,
        &"n".repeat(100),
        &"x".repeat(300),
    ];
    let mut random = Random(99);
    for name in names {
        for _ in 0..20 {
            write_and_read(name, &mut random);
        }
    }
}

fn write_and_read(name: &str, random: &mut Random) {
    const IDS: [u32; 4] = [0, 0o777_7777, 0o1000_0000, 4_294_967_294];
    let seconds = [
        0,
        1_600_000_000,
        0o777_7777_7777,
        1 << 40,
        -1,
        -1_600_000_000,
    ];
    let nanoseconds = [0, 1, 500_000_000, 999_999_999];
    let xattrs = [
        (b"user.b".to_vec(), random.bytes(80)),
        (b"user.c".to_vec(), Vec::from(b"\n=\0")),
    ];
    let entry = Metadata {
        name: name.as_bytes(),
        link: name.as_bytes(),
        kind: b'0',
        mode: 0o4755,
        uid: IDS[random.below(4)],
        gid: IDS[random.below(4)],
        size: 700,
        mtime: Time {
            seconds: seconds[random.below(6)],
            nanoseconds: nanoseconds[random.below(4)],
        },
        device: (0, 0),
        xattrs: &xattrs[..random.below(3)],
    };
    let content = random.bytes(700);
    let mut writer = TarWriter::new(Vec::new());
    writer.header(&entry).unwrap();
    let mut source = content.as_slice();
    let fill = |room: &mut [u8]| Ok(std::io::Read::read(&mut source, room).unwrap());
    writer.content(700, fill).unwrap();
    let entries = read(&writer.finish().unwrap()).unwrap();
    let (read, bytes) = &entries[0];
    assert_eq!(
        (read.name.as_slice(), read.link.as_slice()),
        (entry.name, entry.link)
    );
    assert_eq!(
        (read.mode, read.uid, read.gid),
        (entry.mode, entry.uid, entry.gid)
    );
    assert_eq!((read.size, read.mtime), (entry.size, entry.mtime));
    assert_eq!(read.xattrs, entry.xattrs);
    assert_eq!((bytes, entries.len()), (&content, 1));
}

#[test]
fn large_sizes_are_written_twice() {
    let entry = Metadata {
        name: b"large",
        link: b"",
        kind: b'0',
        mode: 0,
        uid: 0,
        gid: 0,
        size: 1 << 40,
        mtime: Time::default(),
        device: (0, 0),
        xattrs: &[],
    };
    let mut writer = TarWriter::new(Vec::new());
    writer.header(&entry).unwrap();
    let tar = writer.finish().unwrap();
    assert_eq!(
        number::size_field(&tar[1024 + 124..1024 + 136]).unwrap(),
        1 << 40
    );
    assert!(tar[512..].starts_with(b"22 size=1099511627776\n"));
}

/// Whatever the bytes are, reading them ends, and without a panic.
#[test]
fn mutations_and_truncations_are_harmless() {
    let whole = crate::testing::sample();
    for length in 0..whole.len() {
        if let Err(error) = read(&whole[..length]) {
            assert_eq!(error.to_string(), "unexpected EOF", "at {length}");
        }
    }
    let mut random = Random(0xfa11);
    for round in 0..20_000 {
        let mut bytes = whole.clone();
        for _ in 0..=random.below(6) {
            let at = random.below(bytes.len());
            bytes[at] = random.bytes(1)[0];
        }
        if round % 4 != 0 {
            crate::testing::mend_checksums(&mut bytes);
        }
        read(&bytes).ok();
    }
}
