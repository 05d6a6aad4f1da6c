//! `--chown` and `--chmod`.

use crate::error::StepError;
use crate::source::{FileKind, Metadata};
use lapstrake_snapshot::View;

/// The largest account file that is read.
const ACCOUNTS_LIMIT: u64 = 8 << 20;

/// Numeric owner and group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Owner {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
}

/// Whether an owner can be known only from the accounts of the tree below.
pub(crate) fn has_names(text: &str) -> bool {
    text.split(':').any(|part| part.parse::<u32>().is_err())
}

/// `user[:group]`. A number without a group stands for both; a name without one brings its own group, or in
/// the classic builder the group of the same name.
pub(crate) fn resolve(text: &str, view: Option<&View>, classic: bool) -> Result<Owner, StepError> {
    let (user, group) = match text.split_once(':') {
        Some((user, group)) if !group.is_empty() => (user, Some(group)),
        Some((user, _)) => (user, None),
        None => (text, None),
    };
    let (uid, own_gid) = match user.parse::<u32>() {
        Ok(number) => (number, number),
        Err(_) if user.is_empty() => (0, 0),
        Err(_) => account(view, "etc/passwd", user)?
            .ok_or_else(|| missing("user", "uid", user, classic))?,
    };
    let group = match group {
        None if classic && user.parse::<u32>().is_err() => Some(user),
        other => other,
    };
    let gid = match group.map(|group| (group, group.parse::<u32>())) {
        None => own_gid,
        Some((_, Ok(number))) => number,
        Some((group, Err(_))) => {
            account(view, "etc/group", group)?
                .ok_or_else(|| missing("group", "gid", group, classic))?
                .0
        }
    };
    Ok(Owner { uid, gid })
}

fn missing(what: &str, id: &str, name: &str, classic: bool) -> StepError {
    StepError::Invalid(if classic {
        format!(
            "unable to convert uid/gid chown string to host mapping: can't find {id} for {what} {name}: no such {what}: {name}"
        )
    } else {
        let file = if what == "user" { "passwd" } else { what };
        format!("unable to find {what} {name}: no matching entries in {file} file")
    })
}

/// The third and fourth column of a name's line.
fn account(view: Option<&View>, file: &str, name: &str) -> Result<Option<(u32, u32)>, StepError> {
    let Some(view) = view else {
        return Ok(None);
    };
    let raw = view.read(file, ACCOUNTS_LIMIT)?.unwrap_or_default();
    let text = String::from_utf8_lossy(&raw);
    Ok(text.lines().find_map(|line| {
        let mut columns = line.split(':');
        if columns.next() != Some(name) {
            return None;
        }
        let id = columns.nth(1)?.parse().ok()?;
        let next = columns.next().and_then(|column| column.parse().ok());
        Some((id, next.unwrap_or(id)))
    }))
}

/// What `--chmod` does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Mode {
    /// These bits.
    Bits(u32),
    /// Clauses of chmod(1).
    Clauses(Vec<Clause>),
}

/// One change of chmod(1): `u+rwX`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Clause {
    /// Whose bits, as a mask of 0o7 groups: 0o700, 0o070, 0o007.
    who: u32,
    operator: u8,
    letters: Vec<u8>,
}

impl Mode {
    pub(crate) fn parse(text: &str) -> Result<Self, StepError> {
        let bad = || {
            StepError::Invalid(format!(
                "invalid chmod parameter: '{text}'. it should be octal string and between 0 and 07777"
            ))
        };
        if let Ok(bits) = u32::from_str_radix(text, 8) {
            return if bits <= 0o7777 {
                Ok(Self::Bits(bits))
            } else {
                Err(bad())
            };
        }
        let mut clauses = Vec::new();
        for clause in text.split(',') {
            let start = clause.find(['+', '-', '=']).ok_or_else(bad)?;
            let (who, mut rest) = clause.split_at(start);
            let who = who
                .bytes()
                .try_fold(0, |mask, byte| whose(byte).map(|bits| mask | bits));
            let who = match who.ok_or_else(bad)? {
                0 => 0o777,
                mask => mask,
            };
            while let Some(operator) = rest.bytes().next() {
                rest = &rest[1..];
                let end = rest.find(['+', '-', '=']).unwrap_or(rest.len());
                let (letters, after) = rest.split_at(end);
                if !letters.bytes().all(|byte| b"rwxXstugo".contains(&byte)) {
                    return Err(bad());
                }
                clauses.push(Clause {
                    who,
                    operator,
                    letters: letters.as_bytes().to_vec(),
                });
                rest = after;
            }
        }
        Ok(Self::Clauses(clauses))
    }

    /// The mode of a file that had another one.
    pub(crate) fn apply(&self, metadata: &Metadata) -> u32 {
        if metadata.kind == FileKind::Symlink {
            return metadata.mode;
        }
        match self {
            Self::Bits(bits) => *bits,
            Self::Clauses(clauses) => {
                let directory = metadata.kind == FileKind::Directory;
                clauses
                    .iter()
                    .fold(metadata.mode, |mode, clause| clause.apply(mode, directory))
            }
        }
    }
}

impl Clause {
    fn apply(&self, mode: u32, directory: bool) -> u32 {
        let bits = self
            .letters
            .iter()
            .fold(0, |bits, letter| bits | self.bits(*letter, mode, directory));
        match self.operator {
            b'+' => mode | bits,
            b'-' => mode & !bits,
            // `=` leaves the set-id bits of directories alone, as chmod(1) does.
            _ if directory => (mode & !(self.who & 0o777)) | bits,
            _ => (mode & !(self.who | self.special(0o6000))) | bits,
        }
    }

    fn bits(&self, letter: u8, mode: u32, directory: bool) -> u32 {
        let spread = |bits: u32| (bits << 6 | bits << 3 | bits) & self.who;
        match letter {
            b'r' => spread(4),
            b'w' => spread(2),
            b'x' => spread(1),
            b'X' if directory || mode & 0o111 != 0 => spread(1),
            b's' => self.special(0o6000),
            b't' => 0o1000,
            b'u' => spread(mode >> 6 & 7),
            b'g' => spread(mode >> 3 & 7),
            b'o' => spread(mode & 7),
            _ => 0,
        }
    }

    /// The set-id bits of those whom the clause is about.
    fn special(&self, mask: u32) -> u32 {
        let user = if self.who & 0o700 != 0 { 0o4000 } else { 0 };
        let group = if self.who & 0o070 != 0 { 0o2000 } else { 0 };
        (user | group) & mask
    }
}

fn whose(byte: u8) -> Option<u32> {
    match byte {
        b'u' => Some(0o700),
        b'g' => Some(0o070),
        b'o' => Some(0o007),
        b'a' => Some(0o777),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::Time;

    fn file(kind: FileKind, mode: u32) -> Metadata {
        Metadata {
            kind,
            mode,
            uid: 0,
            gid: 0,
            size: 0,
            modified: Time::default(),
            device: (0, 0),
            links: 1,
            identity: None,
        }
    }

    #[test]
    fn modes() {
        for (text, kind, before, after) in [
            ("755", FileKind::File, 0o644, 0o755),
            ("4755", FileKind::File, 0o644, 0o4755),
            ("u+x", FileKind::File, 0o644, 0o744),
            ("go-r,u=rwX", FileKind::File, 0o644, 0o600),
            ("a+X", FileKind::Directory, 0o700, 0o711),
            ("+x", FileKind::File, 0o644, 0o755),
            ("g=u", FileKind::File, 0o640, 0o660),
            ("u+s,g+s", FileKind::File, 0o755, 0o6755),
            ("700", FileKind::Symlink, 0o777, 0o777),
        ] {
            let mode = Mode::parse(text).unwrap();
            assert_eq!(mode.apply(&file(kind, before)), after, "{text}");
        }
        for text in ["10000", "u", "z+x", "u+q", ""] {
            assert!(Mode::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn numeric_owners() {
        let owner = |text| resolve(text, None, false).ok();
        assert_eq!(owner("7"), Some(Owner { uid: 7, gid: 7 }));
        assert_eq!(owner("7:8"), Some(Owner { uid: 7, gid: 8 }));
        assert_eq!(owner("nobody"), None);
        assert!(has_names("a:1") && !has_names("1:2"));
    }
}
