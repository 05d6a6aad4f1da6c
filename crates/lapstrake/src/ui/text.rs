//! Widths and cuts of text.

/// Formats onto the end of a text.
pub(crate) trait PushFormat {
    /// Appends what the arguments print as.
    fn push_fmt(&mut self, arguments: std::fmt::Arguments<'_>);
}

impl PushFormat for String {
    fn push_fmt(&mut self, arguments: std::fmt::Arguments<'_>) {
        match arguments.as_str() {
            Some(text) => self.push_str(text),
            None => self.push_str(&arguments.to_string()),
        }
    }
}

/// Ranges of characters that take two columns: East Asian wide and full-width ones, and emoji.
const WIDE: [(u32, u32); 24] = [
    (0x1100, 0x115f),
    (0x231a, 0x231b),
    (0x2329, 0x232a),
    (0x23e9, 0x23ec),
    (0x25fd, 0x25fe),
    (0x2614, 0x2615),
    (0x2e80, 0x303e),
    (0x3041, 0x33ff),
    (0x3400, 0x4dbf),
    (0x4e00, 0x9fff),
    (0xa000, 0xa4cf),
    (0xa960, 0xa97f),
    (0xac00, 0xd7a3),
    (0xf900, 0xfaff),
    (0xfe10, 0xfe19),
    (0xfe30, 0xfe6f),
    (0xff00, 0xff60),
    (0xffe0, 0xffe6),
    (0x1b000, 0x1b2ff),
    (0x1f200, 0x1f2ff),
    (0x1f300, 0x1f64f),
    (0x1f680, 0x1f6ff),
    (0x1f900, 0x1f9ff),
    (0x20000, 0x3fffd),
];

/// Columns that a character takes.
pub(crate) fn char_width(c: char) -> usize {
    let code = u32::from(c);
    if code < 0x1100 {
        return usize::from(!c.is_control() && !(0x300..=0x36f).contains(&code));
    }
    if matches!(code, 0x200b..=0x200f | 0xfe00..=0xfe0f) {
        return 0;
    }
    if WIDE
        .iter()
        .any(|(low, high)| (*low..=*high).contains(&code))
    {
        2
    } else {
        1
    }
}

/// Columns that a text takes.
pub(crate) fn width(text: &str) -> usize {
    // Nearly every cell.
    if text.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
        return text.len();
    }
    text.chars().map(char_width).sum()
}

/// A text cut to `limit` columns, with `…` as the last one when it was longer.
pub(crate) fn ellipsis(text: &str, limit: usize) -> String {
    if limit == 0 {
        return String::new();
    }
    if width(text) <= limit {
        return text.to_owned();
    }
    if limit == 1 {
        return text.chars().take(1).collect();
    }
    let mut used = 0;
    let mut out: String = text
        .chars()
        .take_while(|c| {
            used += char_width(*c);
            used < limit
        })
        .collect();
    out.push('\u{2026}');
    out
}

/// The first twelve digits of an id, without its algorithm.
pub(crate) fn short_id(id: &str) -> &str {
    let hex = id.split_once(':').map_or(id, |(_, hex)| hex);
    hex.get(..12).unwrap_or(hex)
}
