//! Netlink: sockets, messages with attributes, answers. Which messages make sense is the caller's business.
//!
//! A [`Batch`] is sent with one system call; [`Socket::exchange`] answers for each of its messages. Numbers
//! are in the host's byte order unless a name says otherwise.

use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{
    AddressFamily, Protocol, RecvFlags, SendFlags, SocketFlags, SocketType, netlink, sockopt,
};

/// Bytes of a message's header: length, kind, flags, sequence number, port.
const HEADER: usize = 16;
/// Bytes of an attribute's header: length and kind.
const ATTRIBUTE_HEADER: usize = 4;
/// Messages, and attributes in them, begin at multiples of this.
const ALIGNMENT: usize = 4;
/// The kernel's answers to one receive fit in here: it cuts dumps into pieces of at most 32 KiB.
const RECEIVE_BUFFER: usize = 64 << 10;
/// The kernel answers at once; this keeps a bug from hanging a container's start for ever.
const TIMEOUT: Duration = Duration::from_secs(30);

const NLMSG_NOOP: u16 = 1;
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const NLM_F_REQUEST: u16 = 1;
const NLM_F_ACK: u16 = 4;
const NLM_F_DUMP: u16 = 0x300;
/// Marks an attribute that holds attributes.
const NLA_F_NESTED: u16 = 0x8000;
/// The bits of an attribute's kind that are its kind.
const NLA_TYPE_MASK: u16 = 0x3fff;

/// What a message does when its object is there or missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Nothing is made: a change of what is there, a look, a removal.
    Plain,
    /// Made when missing.
    Create,
    /// Made, or changed.
    Replace,
    /// Made; it must not be there yet.
    CreateNew,
    /// Made, after what is there (netfilter's rules).
    Append,
    /// Everything that there is.
    Dump,
}

impl Mode {
    fn flags(self) -> u16 {
        match self {
            Self::Plain => 0,
            Self::Create => 0x400,
            Self::Replace => 0x500,
            Self::CreateNew => 0x600,
            Self::Append => 0xc00,
            Self::Dump => NLM_F_DUMP,
        }
    }
}

/// Messages that are sent together.
#[derive(Debug, Default)]
pub struct Batch {
    bytes: Vec<u8>,
    /// For each message, what the kernel answers.
    expected: Vec<Expected>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Expected {
    Nothing,
    Acknowledgement,
    Dump,
}

impl Batch {
    /// No messages.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a message: its kind, and the header that its family puts before the attributes. `fill` adds these.
    pub fn add(&mut self, kind: u16, mode: Mode, header: &[u8], fill: impl FnOnce(&mut Writer)) {
        let expected = match mode {
            Mode::Dump => Expected::Dump,
            _ => Expected::Acknowledgement,
        };
        self.push(kind, mode.flags(), expected, header, fill);
    }

    /// Adds a message that is never answered: the marks around a netfilter transaction.
    pub fn add_mark(&mut self, kind: u16, header: &[u8]) {
        self.push(kind, 0, Expected::Nothing, header, |_| ());
    }

    /// Number of messages.
    pub fn len(&self) -> usize {
        self.expected.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.expected.is_empty()
    }

    /// The messages as they are sent, with sequence numbers from 0 on.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    fn push(
        &mut self,
        kind: u16,
        flags: u16,
        expected: Expected,
        header: &[u8],
        fill: impl FnOnce(&mut Writer),
    ) {
        let ack = match expected {
            Expected::Acknowledgement => NLM_F_ACK,
            Expected::Nothing | Expected::Dump => 0,
        };
        let start = self.bytes.len();
        let sequence = u32::try_from(self.expected.len()).unwrap_or(u32::MAX);
        self.expected.push(expected);
        let mut writer = Writer {
            bytes: std::mem::take(&mut self.bytes),
        };
        writer.bytes.extend([0; 4]);
        writer.bytes.extend(kind.to_ne_bytes());
        writer
            .bytes
            .extend((flags | ack | NLM_F_REQUEST).to_ne_bytes());
        writer.bytes.extend(sequence.to_ne_bytes());
        writer.bytes.extend([0; 4]);
        writer.bytes.extend(header);
        writer.align();
        fill(&mut writer);
        self.bytes = writer.bytes;
        let length = u32::try_from(self.bytes.len() - start).unwrap_or(u32::MAX);
        if let Some(place) = self.bytes.get_mut(start..start + 4) {
            place.copy_from_slice(&length.to_ne_bytes());
        }
    }
}

/// Writes a message's attributes.
#[derive(Debug)]
pub struct Writer {
    bytes: Vec<u8>,
}

impl Writer {
    /// Bytes as they are: a family's header inside an attribute.
    pub fn raw(&mut self, bytes: &[u8]) {
        self.bytes.extend(bytes);
        self.align();
    }

    /// An attribute of bytes.
    pub fn bytes(&mut self, kind: u16, value: &[u8]) {
        let length = ATTRIBUTE_HEADER + value.len();
        let length = u16::try_from(length).unwrap_or(u16::MAX);
        self.bytes.extend(length.to_ne_bytes());
        self.bytes.extend(kind.to_ne_bytes());
        self.bytes.extend(value);
        self.align();
    }

    /// An attribute of text, with the zero byte that ends it.
    pub fn text(&mut self, kind: u16, value: &str) {
        let mut bytes = value.as_bytes().to_vec();
        bytes.push(0);
        self.bytes(kind, &bytes);
    }

    /// An attribute of a number.
    pub fn number(&mut self, kind: u16, value: u32) {
        self.bytes(kind, &value.to_ne_bytes());
    }

    /// An attribute of a number in network byte order, as netfilter wants them.
    pub fn number_be(&mut self, kind: u16, value: u32) {
        self.bytes(kind, &value.to_be_bytes());
    }

    /// An attribute that holds what `fill` adds.
    pub fn nested(&mut self, kind: u16, fill: impl FnOnce(&mut Self)) {
        let start = self.bytes.len();
        self.bytes.extend([0; 2]);
        self.bytes.extend((kind | NLA_F_NESTED).to_ne_bytes());
        fill(self);
        let length = u16::try_from(self.bytes.len() - start).unwrap_or(u16::MAX);
        if let Some(place) = self.bytes.get_mut(start..start + 2) {
            place.copy_from_slice(&length.to_ne_bytes());
        }
    }

    fn align(&mut self) {
        let length = self.bytes.len().next_multiple_of(ALIGNMENT);
        self.bytes.resize(length, 0);
    }
}

/// What came back for one message: the objects it asked for, or why it was refused.
pub type Answer = Result<Vec<Vec<u8>>, io::Error>;

/// A netlink socket of the network namespace it was opened in, wherever its owner goes.
#[derive(Debug)]
pub struct Socket {
    fd: OwnedFd,
    /// Number of messages sent so far.
    sent: u32,
}

impl Socket {
    /// For interfaces, addresses and routes.
    pub fn route() -> io::Result<Self> {
        Self::open(None)
    }

    /// For nf_tables.
    pub fn netfilter() -> io::Result<Self> {
        Self::open(Some(netlink::NETFILTER))
    }

    fn open(protocol: Option<Protocol>) -> io::Result<Self> {
        let flags = SocketFlags::CLOEXEC;
        let fd =
            rustix::net::socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, protocol)?;
        sockopt::set_socket_timeout(&fd, sockopt::Timeout::Recv, Some(TIMEOUT))?;
        Ok(Self { fd, sent: 0 })
    }

    /// Sends the messages and waits for the answer to each, in their order. Messages that are never answered
    /// count as successful, unless the kernel puts the failure of a whole transaction there.
    pub fn exchange(&mut self, batch: &Batch) -> io::Result<Vec<Answer>> {
        let bytes = self.numbered(batch);
        let kernel = SocketAddrNetlink::new(0, 0);
        rustix::net::sendto(&self.fd, &bytes, SendFlags::empty(), &kernel)?;
        let first = self.sent;
        self.sent = first.wrapping_add(u32::try_from(batch.len()).unwrap_or(u32::MAX));
        let mut answers: Vec<Answer> = batch.expected.iter().map(|_| Ok(Vec::new())).collect();
        let mut waiting: Vec<bool> = batch
            .expected
            .iter()
            .map(|expected| *expected != Expected::Nothing)
            .collect();
        let mut buffer = vec![0; RECEIVE_BUFFER];
        while waiting.contains(&true) {
            let (received, _) = rustix::io::retry_on_intr(|| {
                rustix::net::recv(&self.fd, &mut buffer[..], RecvFlags::empty())
            })?;
            let messages = Messages {
                rest: buffer.get(..received).unwrap_or_default(),
            };
            for message in messages {
                let index = usize::try_from(message.sequence.wrapping_sub(first));
                let index = index.unwrap_or(usize::MAX);
                let (Some(answer), Some(waits)) = (answers.get_mut(index), waiting.get_mut(index))
                else {
                    continue;
                };
                *waits &= !take(&message, answer);
            }
        }
        Ok(answers)
    }

    /// [`Self::exchange`] for messages that must all succeed. The first failure is the result's error.
    pub fn carry_out(&mut self, batch: &Batch) -> io::Result<Vec<Vec<Vec<u8>>>> {
        self.exchange(batch)?.into_iter().collect()
    }

    /// The messages with this socket's next sequence numbers.
    fn numbered(&self, batch: &Batch) -> Vec<u8> {
        let mut bytes = batch.bytes.clone();
        let mut at = 0;
        while let Some(header) = bytes.get_mut(at..at + HEADER) {
            let (length, rest) = header.split_at_mut(4);
            let length = u32::from_ne_bytes(<[u8; 4]>::try_from(&*length).unwrap_or_default());
            if let Some(place) = rest.get_mut(4..8) {
                let own = u32::from_ne_bytes(<[u8; 4]>::try_from(&*place).unwrap_or_default());
                place.copy_from_slice(&own.wrapping_add(self.sent).to_ne_bytes());
            }
            at += usize::try_from(length)
                .unwrap_or(HEADER)
                .max(HEADER)
                .next_multiple_of(ALIGNMENT);
        }
        bytes
    }
}

/// Adds a received message to the answer; true when it was the last one.
fn take(message: &Received<'_>, answer: &mut Answer) -> bool {
    match message.kind {
        NLMSG_NOOP => false,
        NLMSG_ERROR | NLMSG_DONE => {
            let code = message.payload.get(..4).map(number).unwrap_or_default();
            let code = i32::from_ne_bytes(code.to_ne_bytes());
            if code < 0 {
                *answer = Err(Errno::from_raw_os_error(-code).into());
            }
            true
        }
        _ => {
            if let Ok(objects) = answer {
                objects.push(message.payload.to_vec());
            }
            false
        }
    }
}

#[derive(Debug)]
struct Received<'a> {
    kind: u16,
    sequence: u32,
    payload: &'a [u8],
}

/// The messages in what was received at once.
struct Messages<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Messages<'a> {
    type Item = Received<'a>;

    fn next(&mut self) -> Option<Received<'a>> {
        let header = self.rest.get(..HEADER)?;
        let length = usize::try_from(number(header.get(..4)?)).ok()?;
        let payload = self.rest.get(HEADER..length)?;
        let kind = u16::from_ne_bytes(header.get(4..6)?.try_into().ok()?);
        let sequence = number(header.get(8..12)?);
        let next = length.next_multiple_of(ALIGNMENT);
        self.rest = self.rest.get(next..).unwrap_or_default();
        Some(Received {
            kind,
            sequence,
            payload,
        })
    }
}

/// The attributes of an object: what follows its family's header, or the inside of a nested attribute. What
/// is damaged ends them.
pub fn attributes(bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let length = usize::from(u16::from_ne_bytes(rest.get(..2)?.try_into().ok()?));
        let kind = u16::from_ne_bytes(rest.get(2..4)?.try_into().ok()?);
        let value = rest.get(ATTRIBUTE_HEADER..length)?;
        rest = rest
            .get(length.next_multiple_of(ALIGNMENT)..)
            .unwrap_or_default();
        Some((kind & NLA_TYPE_MASK, value))
    })
}

/// The attribute of this kind.
pub fn attribute(bytes: &[u8], wanted: u16) -> Option<&[u8]> {
    attributes(bytes).find_map(|(kind, value)| (kind == wanted).then_some(value))
}

/// An attribute's text, without the zero byte that ends it.
pub fn text(value: &[u8]) -> String {
    let text = value.split(|byte| *byte == 0).next().unwrap_or_default();
    String::from_utf8_lossy(text).into_owned()
}

/// The number in the first four bytes; missing ones are zero.
pub fn number(value: &[u8]) -> u32 {
    u32::from_ne_bytes(four(value))
}

/// The same in network byte order.
pub fn number_be(value: &[u8]) -> u32 {
    u32::from_be_bytes(four(value))
}

fn four(value: &[u8]) -> [u8; 4] {
    let mut bytes = [0; 4];
    for (to, from) in bytes.iter_mut().zip(value) {
        *to = *from;
    }
    bytes
}

#[cfg(test)]
mod tests;
