//! Writing a tar: POSIX headers, with an extended header before those that need one, and nothing of the moment in them.

use rustix::fs::Stat;
use std::io::Write;

use super::{BLOCK, Time, padding_of};
use crate::error::Error;

/// Output is gathered up to this size.
const BUFFER_BYTES: usize = 256 << 10;

/// The end of an archive is two blocks of zeros.
const END_BYTES: u64 = 1024;

/// The largest numbers that header fields of 7 and 11 octal digits hold.
const OCTAL_7: u64 = 0o777_7777;
const OCTAL_11: u64 = 0o777_7777_7777;

/// What an entry's header says.
#[derive(Debug, Clone, Copy)]
pub struct Metadata<'a> {
    /// The path, without a slash at its start; of a directory with one at its end.
    pub name: &'a [u8],
    /// Target of a link.
    pub link: &'a [u8],
    /// The type byte.
    pub kind: u8,
    /// Permission bits, with set-id and sticky bits.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Bytes of content that follow.
    pub size: u64,
    /// When it was last changed.
    pub mtime: Time,
    /// Major and minor number.
    pub device: (u32, u32),
    /// Extended attributes, sorted by name.
    pub xattrs: &'a [(Vec<u8>, Vec<u8>)],
}

impl<'a> Metadata<'a> {
    /// An entry without content, link, device and attributes, as a `stat` describes its owner, mode and time.
    pub fn of(name: &'a [u8], kind: u8, stat: &Stat) -> Self {
        Self {
            name,
            link: &[],
            kind,
            mode: stat.st_mode & 0o7777,
            uid: stat.st_uid,
            gid: stat.st_gid,
            size: 0,
            mtime: Time {
                seconds: stat.st_mtime,
                nanoseconds: u32::try_from(stat.st_mtime_nsec).unwrap_or_default(),
            },
            device: (0, 0),
            xattrs: &[],
        }
    }
}

/// Writes entries, one after the other: a header, then exactly as many bytes as it says.
#[derive(Debug)]
pub struct TarWriter<W> {
    out: W,
    buffer: Box<[u8]>,
    filled: usize,
    records: Vec<u8>,
}

impl<W: Write> TarWriter<W> {
    /// Writes to `out`.
    pub fn new(out: W) -> Self {
        let buffer = vec![0; BUFFER_BYTES].into_boxed_slice();
        Self {
            out,
            buffer,
            filled: 0,
            records: Vec::new(),
        }
    }

    /// Writes an entry's header.
    pub fn header(&mut self, entry: &Metadata<'_>) -> Result<(), Error> {
        let (prefix, name) = split_name(entry.name).unwrap_or((&[], &[]));
        self.collect_records(entry, name.is_empty());
        if !self.records.is_empty() {
            self.extended_header(entry.name)?;
        }
        let mut block = [0; BLOCK];
        put_text(
            &mut block[..100],
            if name.is_empty() {
                last_component(entry.name)
            } else {
                name
            },
        );
        put_text(&mut block[345..500], prefix);
        put_text(&mut block[157..257], entry.link);
        put_number(&mut block[100..108], u64::from(entry.mode & 0o7777));
        put_number(&mut block[108..116], u64::from(entry.uid));
        put_number(&mut block[116..124], u64::from(entry.gid));
        put_number(&mut block[124..136], entry.size);
        put_number(
            &mut block[136..148],
            u64::try_from(entry.mtime.seconds).unwrap_or_default(),
        );
        put_number(&mut block[329..337], u64::from(entry.device.0));
        put_number(&mut block[337..345], u64::from(entry.device.1));
        block[156] = entry.kind;
        self.block(&mut block)
    }

    /// Writes an entry's content: `read` fills the buffer it gets and returns how much. When it returns 0 too early, as
    /// when the file has become shorter, the rest is zeros; what the file has grown by is left out.
    pub fn content(
        &mut self,
        size: u64,
        mut read: impl FnMut(&mut [u8]) -> Result<usize, Error>,
    ) -> Result<(), Error> {
        let mut left = size;
        while left > 0 {
            let room = self.room(left)?;
            let count = read(room)?.min(room.len());
            if count == 0 {
                break;
            }
            self.filled = self.filled.saturating_add(count);
            left = left.saturating_sub(count as u64);
        }
        self.zeros(left.saturating_add(padding_of(size)))
    }

    /// Writes the end of the archive, and all that is gathered; returns the writer.
    pub fn finish(mut self) -> Result<W, Error> {
        self.zeros(END_BYTES)?;
        self.write_out()?;
        Ok(self.out)
    }

    fn zeros(&mut self, count: u64) -> Result<(), Error> {
        let mut left = count;
        while left > 0 {
            let room = self.room(left)?;
            room.fill(0);
            let count = room.len();
            self.filled = self.filled.saturating_add(count);
            left = left.saturating_sub(count as u64);
        }
        Ok(())
    }

    fn put(&mut self, mut bytes: &[u8]) -> Result<(), Error> {
        while !bytes.is_empty() {
            let room = self.room(bytes.len() as u64)?;
            let (now, later) = bytes.split_at_checked(room.len()).unwrap_or((bytes, &[]));
            room.copy_from_slice(now);
            self.filled = self.filled.saturating_add(now.len());
            bytes = later;
        }
        Ok(())
    }

    /// Free space in the buffer, at least one byte and at most `limit`.
    fn room(&mut self, limit: u64) -> Result<&mut [u8], Error> {
        if self.filled == self.buffer.len() {
            self.write_out()?;
        }
        let room = self.buffer.get_mut(self.filled..).unwrap_or_default();
        let length = usize::try_from(limit).unwrap_or(usize::MAX).min(room.len());
        Ok(room.get_mut(..length).unwrap_or_default())
    }

    fn write_out(&mut self) -> Result<(), Error> {
        let bytes = self.buffer.get(..self.filled).unwrap_or_default();
        self.out.write_all(bytes).map_err(Error::Write)?;
        self.filled = 0;
        Ok(())
    }

    /// Puts what does not fit into the plain header into `records`, sorted by key.
    fn collect_records(&mut self, entry: &Metadata<'_>, name_is_odd: bool) {
        let records = &mut self.records;
        records.clear();
        for (name, value) in entry.xattrs {
            record(
                records,
                &[b"SCHILY.xattr.", name.as_slice()].concat(),
                value,
            );
        }
        if u64::from(entry.gid) > OCTAL_7 {
            record(records, b"gid", entry.gid.to_string().as_bytes());
        }
        if entry.link.len() > 100 || !entry.link.is_ascii() {
            record(records, b"linkpath", entry.link);
        }
        let seconds = u64::try_from(entry.mtime.seconds);
        if entry.mtime.nanoseconds != 0 || seconds.is_err() || seconds.is_ok_and(|s| s > OCTAL_11) {
            record(records, b"mtime", time_text(entry.mtime).as_bytes());
        }
        if name_is_odd {
            record(records, b"path", entry.name);
        }
        if entry.size > OCTAL_11 {
            record(records, b"size", entry.size.to_string().as_bytes());
        }
        if u64::from(entry.uid) > OCTAL_7 {
            record(records, b"uid", entry.uid.to_string().as_bytes());
        }
    }

    fn extended_header(&mut self, name: &[u8]) -> Result<(), Error> {
        let mut text = b"PaxHeaders.0/".to_vec();
        text.extend_from_slice(last_component(name));
        let records = std::mem::take(&mut self.records);
        let size = records.len() as u64;
        let mut block = [0; BLOCK];
        put_text(&mut block[..100], &text);
        for zero in [100..108, 108..116, 116..124, 136..148] {
            put_number(block.get_mut(zero).unwrap_or_default(), 0);
        }
        put_number(&mut block[124..136], size);
        block[156] = b'x';
        self.block(&mut block)?;
        self.put(&records)?;
        self.zeros(padding_of(size))?;
        self.records = records;
        Ok(())
    }

    /// Completes a header with its magic and checksum, and writes it.
    fn block(&mut self, block: &mut [u8; BLOCK]) -> Result<(), Error> {
        replace_bytes(&mut block[257..265], b"ustar\x0000");
        replace_bytes(&mut block[148..156], b"        ");
        let sum: u32 = block.iter().map(|&byte| u32::from(byte)).sum();
        replace_bytes(&mut block[148..156], format!("{sum:06o}\0 ").as_bytes());
        self.put(block)
    }
}

/// The name as prefix and rest when the header has room for them; an ASCII name then needs no extended header.
fn split_name(name: &[u8]) -> Option<(&[u8], &[u8])> {
    if !name.is_ascii() || name.is_empty() {
        return None;
    }
    if name.len() <= 100 {
        return Some((&[], name));
    }
    let without_end = name.strip_suffix(b"/").unwrap_or(name);
    let head = without_end.get(..156).unwrap_or(without_end);
    let slash = head
        .iter()
        .rposition(|&byte| byte == b'/')
        .filter(|&slash| slash > 0)?;
    let (prefix, rest) = name.split_at(slash);
    let rest = rest.get(1..).unwrap_or_default();
    (rest.len() <= 100).then_some((prefix, rest))
}

fn last_component(name: &[u8]) -> &[u8] {
    let name = name.strip_suffix(b"/").unwrap_or(name);
    name.rsplit(|&byte| byte == b'/').next().unwrap_or_default()
}

fn replace_bytes(field: &mut [u8], bytes: &[u8]) {
    field
        .iter_mut()
        .zip(bytes)
        .for_each(|(to, &from)| *to = from);
}

/// As much of the text as the field has room for, in ASCII: a longer text is in the extended header.
fn put_text(field: &mut [u8], text: &[u8]) {
    let ascii = text
        .iter()
        .map(|&byte| if byte.is_ascii() { byte } else { b'_' });
    field
        .iter_mut()
        .zip(ascii)
        .for_each(|(to, from)| *to = from);
}

/// Octal digits and a zero byte, or in binary what is too large for them.
fn put_number(field: &mut [u8], value: u64) {
    let digits = field.len().saturating_sub(1);
    let text = format!("{value:0digits$o}");
    if text.len() <= digits {
        replace_bytes(field, text.as_bytes());
        return;
    }
    for (to, from) in field.iter_mut().rev().zip(value.to_le_bytes()) {
        *to = from;
    }
    if let Some(first) = field.first_mut() {
        *first |= 0x80;
    }
}

/// Appends a record, whose length counts its own digits.
fn record(records: &mut Vec<u8>, key: &[u8], value: &[u8]) {
    let rest = [key.len(), value.len(), 3].iter().sum::<usize>();
    let mut length = rest.saturating_add(1);
    loop {
        let total = rest.saturating_add(digits(length));
        if total == length {
            break;
        }
        length = total;
    }
    records.extend_from_slice(length.to_string().as_bytes());
    records.push(b' ');
    records.extend_from_slice(key);
    records.push(b'=');
    records.extend_from_slice(value);
    records.push(b'\n');
}

fn digits(value: usize) -> usize {
    value
        .checked_ilog10()
        .map_or(1, |log| log.saturating_add(1) as usize)
}

/// Seconds with as many decimals as it takes.
fn time_text(time: Time) -> String {
    let (sign, seconds, nanoseconds) = match time {
        Time {
            seconds,
            nanoseconds: 0,
        } => {
            return seconds.to_string();
        }
        Time {
            seconds,
            nanoseconds,
        } if seconds < 0 => (
            "-",
            seconds.saturating_add(1).unsigned_abs(),
            1_000_000_000_u32.saturating_sub(nanoseconds),
        ),
        Time {
            seconds,
            nanoseconds,
        } => ("", seconds.unsigned_abs(), nanoseconds),
    };
    let text = format!("{sign}{seconds}.{nanoseconds:09}");
    text.trim_end_matches('0').to_owned()
}
