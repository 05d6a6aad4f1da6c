//! JSON with line numbers, and with the words of Go's `encoding/json` for what is wrong: people look for
//! docker's messages, and an editor needs the line.

/// Arrays and objects within each other.
const DEPTH_LIMIT: usize = 100;

/// A value, and the line it begins on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// The value.
    pub value: Value,
    /// Its line, from 1.
    pub line: usize,
}

/// A JSON value; numbers stay as they were written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// `null`.
    Null,
    /// `true`, `false`.
    Bool(bool),
    /// A number.
    Number(String),
    /// A string.
    Text(String),
    /// An array.
    Array(Vec<Node>),
    /// An object, in the order of the text, doubled names included.
    Object(Vec<(String, Node)>),
}

impl Value {
    /// What Go calls this kind of value.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "bool",
            Self::Number(_) => "number",
            Self::Text(_) => "string",
            Self::Array(_) => "array",
            Self::Object(_) => "object",
        }
    }
}

/// A text that is not JSON.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyntaxError {
    /// Why, in Go's words.
    pub message: String,
    /// The line, from 1.
    pub line: usize,
}

/// Reads a text. A byte order mark at its beginning is passed over.
pub fn parse(text: &[u8]) -> Result<Node, SyntaxError> {
    let text = String::from_utf8_lossy(text);
    let mut reader = Reader {
        rest: text.strip_prefix('\u{feff}').unwrap_or(&text),
        line: 1,
        depth: 0,
    };
    let node = reader.value()?;
    reader.blanks();
    match reader.peek() {
        None => Ok(node),
        Some(c) => Err(reader.invalid(c, "after top-level value")),
    }
}

struct Reader<'a> {
    rest: &'a str,
    line: usize,
    depth: usize,
}

impl Reader<'_> {
    fn peek(&self) -> Option<char> {
        self.rest.chars().next()
    }

    fn next(&mut self) -> Result<char, SyntaxError> {
        let mut chars = self.rest.chars();
        let Some(c) = chars.next() else {
            return Err(self.error("unexpected end of JSON input".to_owned()));
        };
        self.rest = chars.as_str();
        self.line += usize::from(c == '\n');
        Ok(c)
    }

    fn blanks(&mut self) {
        while let Some(c) = self.peek() {
            if !matches!(c, ' ' | '\t' | '\r' | '\n') {
                break;
            }
            self.line += usize::from(c == '\n');
            self.rest = self.rest.get(1..).unwrap_or_default();
        }
    }

    fn next_mark(&mut self) -> Result<char, SyntaxError> {
        self.blanks();
        self.next()
    }

    fn error(&self, message: String) -> SyntaxError {
        SyntaxError {
            message,
            line: self.line,
        }
    }

    fn invalid(&self, c: char, place: &str) -> SyntaxError {
        let shown = match c {
            '\'' => "'\\''".to_owned(),
            '"' => "'\"'".to_owned(),
            c if u32::from(c) < 0x20 => match c {
                '\n' => "'\\n'".to_owned(),
                '\t' => "'\\t'".to_owned(),
                '\r' => "'\\r'".to_owned(),
                c => format!("'\\x{:02x}'", u32::from(c)),
            },
            '\\' => "'\\\\'".to_owned(),
            c => format!("'{c}'"),
        };
        self.error(format!("invalid character {shown} {place}"))
    }

    fn value(&mut self) -> Result<Node, SyntaxError> {
        self.blanks();
        let line = self.line;
        let value = match self.next()? {
            '{' => self.nested(Self::object)?,
            '[' => self.nested(Self::array)?,
            '"' => Value::Text(self.string()?),
            't' => self.literal("true", Value::Bool(true))?,
            'f' => self.literal("false", Value::Bool(false))?,
            'n' => self.literal("null", Value::Null)?,
            c if c == '-' || c.is_ascii_digit() => self.number(c)?,
            c => return Err(self.invalid(c, "looking for beginning of value")),
        };
        Ok(Node { value, line })
    }

    fn nested(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<Value, SyntaxError>,
    ) -> Result<Value, SyntaxError> {
        self.depth += 1;
        if self.depth > DEPTH_LIMIT {
            return Err(self.error("exceeded max depth".to_owned()));
        }
        let value = read(self)?;
        self.depth -= 1;
        Ok(value)
    }

    fn object(&mut self) -> Result<Value, SyntaxError> {
        let mut members = Vec::new();
        loop {
            let key = match self.next_mark()? {
                '"' => self.string()?,
                '}' if members.is_empty() => return Ok(Value::Object(members)),
                c => return Err(self.invalid(c, "looking for beginning of object key string")),
            };
            match self.next_mark()? {
                ':' => {}
                c => return Err(self.invalid(c, "after object key")),
            }
            members.push((key, self.value()?));
            match self.next_mark()? {
                ',' => {}
                '}' => return Ok(Value::Object(members)),
                c => return Err(self.invalid(c, "after object key:value pair")),
            }
        }
    }

    fn array(&mut self) -> Result<Value, SyntaxError> {
        let mut items = Vec::new();
        self.blanks();
        if self.peek() == Some(']') {
            self.next()?;
            return Ok(Value::Array(items));
        }
        loop {
            items.push(self.value()?);
            match self.next_mark()? {
                ',' => {}
                ']' => return Ok(Value::Array(items)),
                c => return Err(self.invalid(c, "after array element")),
            }
        }
    }

    fn literal(&mut self, word: &str, value: Value) -> Result<Value, SyntaxError> {
        for wanted in word.chars().skip(1) {
            let c = self.next()?;
            if c != wanted {
                let place = format!("in literal {word} (expecting '{wanted}')");
                return Err(self.invalid(c, &place));
            }
        }
        Ok(value)
    }

    fn number(&mut self, first: char) -> Result<Value, SyntaxError> {
        let mut text = String::from(first);
        if first == '-' {
            let c = self.next()?;
            if !c.is_ascii_digit() {
                return Err(self.invalid(c, "in numeric literal"));
            }
            text.push(c);
        }
        if !text.ends_with('0') {
            self.digits(&mut text);
        }
        if self.peek() == Some('.') {
            text.push(self.next()?);
            self.first_digit(&mut text, "after decimal point in numeric literal")?;
        }
        if matches!(self.peek(), Some('e' | 'E')) {
            text.push(self.next()?);
            if matches!(self.peek(), Some('+' | '-')) {
                text.push(self.next()?);
            }
            self.first_digit(&mut text, "in exponent of numeric literal")?;
        }
        Ok(Value::Number(text))
    }

    fn first_digit(&mut self, text: &mut String, place: &str) -> Result<(), SyntaxError> {
        let c = self.next()?;
        if !c.is_ascii_digit() {
            return Err(self.invalid(c, place));
        }
        text.push(c);
        self.digits(text);
        Ok(())
    }

    fn digits(&mut self, text: &mut String) {
        let end = self.rest.find(|c: char| !c.is_ascii_digit());
        let (digits, rest) = self.rest.split_at(end.unwrap_or(self.rest.len()));
        text.push_str(digits);
        self.rest = rest;
    }

    fn string(&mut self) -> Result<String, SyntaxError> {
        let mut text = String::new();
        loop {
            match self.next()? {
                '"' => return Ok(text),
                '\\' => text.push(self.escape()?),
                c if u32::from(c) < 0x20 => return Err(self.invalid(c, "in string literal")),
                c => text.push(c),
            }
        }
    }

    fn escape(&mut self) -> Result<char, SyntaxError> {
        Ok(match self.next()? {
            c @ ('"' | '\\' | '/') => c,
            'b' => '\u{8}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'u' => return self.code_point(),
            c => return Err(self.invalid(c, "in string escape code")),
        })
    }

    /// `\u1234`, and the pair that stands for one character.
    fn code_point(&mut self) -> Result<char, SyntaxError> {
        let first = self.hexadecimal()?;
        if let (0xd800..=0xdbff, Some(rest)) = (first, self.rest.strip_prefix("\\u")) {
            let before = self.rest;
            self.rest = rest;
            let second = self.hexadecimal()?;
            if let 0xdc00..=0xdfff = second {
                let joined = 0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00);
                return Ok(char::from_u32(joined).unwrap_or(char::REPLACEMENT_CHARACTER));
            }
            self.rest = before;
        }
        Ok(char::from_u32(first).unwrap_or(char::REPLACEMENT_CHARACTER))
    }

    fn hexadecimal(&mut self) -> Result<u32, SyntaxError> {
        let mut number = 0;
        for _ in 0..4 {
            let c = self.next()?;
            let Some(digit) = c.to_digit(16) else {
                return Err(self.invalid(c, "in \\u hexadecimal character escape"));
            };
            number = number * 16 + digit;
        }
        Ok(number)
    }
}
