//! The keys that detach.

use crate::error::{Error, Result};

/// Looks for a sequence of keys in what is typed. Keys that may be its beginning are held back until it is
/// clear that they are not.
#[derive(Debug)]
pub(super) struct DetachKeys {
    keys: Vec<u8>,
    matched: usize,
}

impl DetachKeys {
    /// No keys never detach.
    pub(super) fn new(keys: &[u8]) -> Self {
        Self {
            keys: keys.to_vec(),
            matched: 0,
        }
    }

    /// Takes typed bytes and passes on what is not the sequence. True when it is whole; what was typed after
    /// it is dropped.
    pub(super) fn feed(&mut self, typed: &[u8], out: &mut Vec<u8>) -> bool {
        if self.keys.is_empty() {
            out.extend_from_slice(typed);
            return false;
        }
        for byte in typed {
            if self.keys.get(self.matched) != Some(byte) {
                out.extend(self.keys.iter().take(self.matched));
                self.matched = 0;
            }
            if self.keys.get(self.matched) == Some(byte) {
                self.matched += 1;
                if self.matched == self.keys.len() {
                    return true;
                }
            } else {
                out.push(*byte);
            }
        }
        false
    }
}

/// `ctrl-<letter>`, `ctrl-<one of @[\]^_>`, or a character, separated by commas.
pub(super) fn parse(text: &str) -> Result<Vec<u8>> {
    let bad = || Error::Invalid(format!("invalid detach keys ({text}) provided"));
    text.split(',')
        .map(|key| match key.strip_prefix("ctrl-").map(str::as_bytes) {
            Some(&[letter @ (b'a'..=b'z')]) => Ok(letter - b'a' + 1),
            Some(b"@") => Ok(0),
            Some(&[sign @ (b'[' | b'\\' | b']' | b'^' | b'_')]) => Ok(sign - b'@'),
            Some(_) => Err(bad()),
            None => match key.as_bytes() {
                [byte] => Ok(*byte),
                _ => Err(bad()),
            },
        })
        .collect()
}

#[cfg(test)]
mod tests;
