//! Fetching: version 0 of the protocol, over HTTP or over a connection that goes both ways.

use super::pkt::{self, Packet, Reader};
use super::{Error, ObjectId, PACK_LIMIT, Pack, REFERENCES_LIMIT};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Write};

/// What the program says it is.
const AGENT: &str = concat!("agent=lapstrake/", env!("CARGO_PKG_VERSION"));

/// HTTP, as far as git needs it. Redirects are followed by the implementation.
pub trait Http {
    /// The body of a page.
    fn get(&self, url: &str) -> Result<Box<dyn Read + Send>, Error>;

    /// The body of the answer to a request with a body.
    fn post(
        &self,
        url: &str,
        content_type: &str,
        accept: &str,
        body: Vec<u8>,
    ) -> Result<Box<dyn Read + Send>, Error>;
}

/// A connection to a running `git-upload-pack`.
#[expect(
    missing_debug_implementations,
    reason = "streams are objects of traits"
)]
pub struct Duplex {
    /// What it says.
    pub input: Box<dyn Read + Send>,
    /// What it hears.
    pub output: Box<dyn Write + Send>,
}

/// How a server is reached.
#[expect(
    missing_debug_implementations,
    reason = "connections are objects of traits"
)]
pub enum Remote<'a> {
    /// A repository over HTTP.
    Http {
        /// The connection.
        http: &'a dyn Http,
        /// The repository's address.
        url: &'a str,
    },
    /// Opens connections to the server; each serves one request.
    Stream(&'a dyn Fn() -> Result<Duplex, Error>),
}

/// A commit and the objects of its tree.
#[derive(Debug)]
pub struct Fetched {
    /// The commit, or a tag of it.
    pub id: ObjectId,
    /// Its objects.
    pub pack: Pack,
    /// Whether older commits are absent.
    pub shallow: bool,
}

/// What a server has.
#[derive(Debug, Default)]
struct Advertised {
    references: BTreeMap<String, ObjectId>,
    capabilities: Vec<String>,
}

/// The references that a word may mean, in order.
pub(super) fn candidates(name: &str) -> Vec<String> {
    let mut names = Vec::new();
    if name == "HEAD" || name.starts_with("refs/") {
        names.push(name.to_owned());
    }
    names.extend(["refs/heads/", "refs/tags/", "refs/"].map(|prefix| format!("{prefix}{name}")));
    names
}

/// Fetches one commit into `file`, which is empty: shallow where the server can.
pub fn fetch(remote: &Remote<'_>, reference: Option<&str>, file: &File) -> Result<Fetched, Error> {
    let mut session = Session::open(remote)?;
    let advertised = session.advertisement()?;
    let name = reference.unwrap_or("HEAD");
    let listed = candidates(name)
        .into_iter()
        .find_map(|candidate| advertised.references.get(&candidate));
    let wanted = match (listed, ObjectId::parse(name)) {
        (Some(id), _) => *id,
        (None, Some(id)) => id,
        (None, None) => return Err(Error::NoReference(name.to_owned())),
    };
    let can_be_shallow = advertised.has("shallow");
    match session.pack(&[wanted], &advertised, can_be_shallow, file) {
        Ok(()) => finish(wanted, file, can_be_shallow),
        // Not every server gives a commit that no reference names: take everything, and look there.
        Err(Error::Remote(_)) if listed.is_none() => {
            let mut session = Session::open(remote)?;
            let advertised = session.advertisement()?;
            let mut all: Vec<ObjectId> = advertised.references.values().copied().collect();
            all.sort_unstable();
            all.dedup();
            file.set_len(0).map_err(Error::io("truncate pack"))?;
            std::io::Seek::rewind(&mut &*file).map_err(Error::io("truncate pack"))?;
            session.pack(&all, &advertised, false, file)?;
            let fetched = finish(wanted, file, false)?;
            if !fetched.pack.has(&wanted) {
                return Err(Error::NoReference(name.to_owned()));
            }
            Ok(fetched)
        }
        Err(error) => Err(error),
    }
}

fn finish(id: ObjectId, file: &File, shallow: bool) -> Result<Fetched, Error> {
    let file = file.try_clone().map_err(Error::io("open pack"))?;
    let pack = Pack::index(file)?;
    Ok(Fetched { id, pack, shallow })
}

impl Advertised {
    fn has(&self, capability: &str) -> bool {
        self.capabilities.iter().any(|known| known == capability)
    }
}

/// One request to a server.
enum Session<'a> {
    Http {
        http: &'a dyn Http,
        url: String,
    },
    Stream {
        reader: Reader<Box<dyn Read + Send>>,
        output: Box<dyn Write + Send>,
    },
}

impl<'a> Session<'a> {
    fn open(remote: &Remote<'a>) -> Result<Self, Error> {
        Ok(match remote {
            Remote::Http { http, url } => Self::Http {
                http: *http,
                url: url.trim_end_matches('/').to_owned(),
            },
            Remote::Stream(connect) => {
                let Duplex { input, output } = connect()?;
                Self::Stream {
                    reader: Reader::new(input),
                    output,
                }
            }
        })
    }

    fn advertisement(&mut self) -> Result<Advertised, Error> {
        match self {
            Self::Http { http, url } => {
                let page = http.get(&format!("{url}/info/refs?service=git-upload-pack"))?;
                let mut reader = Reader::new(page);
                match reader.next() {
                    Ok(Packet::Data(line)) if line.starts_with(b"# service=git-upload-pack") => {}
                    Ok(Packet::Data(line)) if line.starts_with(b"ERR ") => {
                        return Err(remote_error(line));
                    }
                    // A list of references as it lies on a disk, or a page for people.
                    Ok(_) | Err(Error::Invalid(_)) => return Err(Error::Dumb),
                    Err(Error::Io { source, .. })
                        if source.kind() == std::io::ErrorKind::UnexpectedEof =>
                    {
                        return Err(Error::Dumb);
                    }
                    Err(error) => return Err(error),
                }
                if reader.next()? != Packet::Flush {
                    return Err(Error::Dumb);
                }
                advertised(&mut reader)
            }
            Self::Stream { reader, .. } => advertised(reader),
        }
    }

    /// Asks for a pack and writes it to the file.
    fn pack(
        &mut self,
        wanted: &[ObjectId],
        advertised: &Advertised,
        shallow: bool,
        file: &File,
    ) -> Result<(), Error> {
        let request = request(wanted, advertised, shallow);
        let sideband = advertised.has("side-band-64k");
        match self {
            Self::Http { http, url } => {
                let answer = http.post(
                    &format!("{url}/git-upload-pack"),
                    "application/x-git-upload-pack-request",
                    "application/x-git-upload-pack-result",
                    request,
                )?;
                receive(&mut Reader::new(answer), sideband, file)
            }
            Self::Stream { reader, output } => {
                output
                    .write_all(&request)
                    .and_then(|()| output.flush())
                    .map_err(Error::io("write to the git server"))?;
                receive(reader, sideband, file)
            }
        }
    }
}

fn request(wanted: &[ObjectId], advertised: &Advertised, shallow: bool) -> Vec<u8> {
    let mut capabilities = String::new();
    for capability in ["side-band-64k", "ofs-delta", "no-progress"] {
        if advertised.has(capability) {
            capabilities.push(' ');
            capabilities.push_str(capability);
        }
    }
    let mut request = Vec::new();
    for (number, id) in wanted.iter().enumerate() {
        match number {
            0 => pkt::write(&mut request, &format!("want {id}{capabilities} {AGENT}\n")),
            _ => pkt::write(&mut request, &format!("want {id}\n")),
        }
    }
    if shallow {
        pkt::write(&mut request, "deepen 1\n");
    }
    pkt::flush(&mut request);
    pkt::write(&mut request, "done\n");
    request
}

fn advertised<R: Read>(reader: &mut Reader<R>) -> Result<Advertised, Error> {
    let mut found = Advertised::default();
    while let Packet::Data(line) = reader.next()? {
        if line.starts_with(b"ERR ") {
            return Err(remote_error(line));
        }
        let text = String::from_utf8_lossy(line);
        let (reference, capabilities) = match text.split_once('\0') {
            Some((reference, capabilities)) => (reference, capabilities),
            None => (text.trim_end(), ""),
        };
        if !capabilities.is_empty() {
            let words = capabilities.split_whitespace();
            found.capabilities = words.map(str::to_owned).collect();
        }
        if let Some((id, name)) = reference.split_once(' ')
            && let Some(id) = ObjectId::parse(id)
            && !name.ends_with("^{}")
            && name != "capabilities"
        {
            found.references.insert(name.to_owned(), id);
        }
        if found.references.len() > REFERENCES_LIMIT {
            return Err(Error::TooLarge("too many references"));
        }
    }
    Ok(found)
}

/// What comes before the pack is read over; the pack comes plain or in band 1 of three.
fn receive<R: Read>(reader: &mut Reader<R>, sideband: bool, file: &File) -> Result<(), Error> {
    if !sideband {
        return Err(Error::invalid("the server cannot send side-band-64k"));
    }
    let mut out = std::io::BufWriter::new(file);
    let mut size = 0_u64;
    let mut begun = false;
    loop {
        let line = match reader.next()? {
            Packet::Data(line) => line,
            // Ends the list of shallow commits, and later the pack.
            Packet::Flush if !begun => continue,
            Packet::Flush | Packet::End => break,
        };
        match line {
            [1, data @ ..] => {
                begun = true;
                size = size.saturating_add(u64::try_from(data.len()).unwrap_or(u64::MAX));
                if size > PACK_LIMIT {
                    return Err(Error::TooLarge("pack larger than 16 GiB"));
                }
                out.write_all(data).map_err(Error::io("write pack"))?;
            }
            [2, ..] => begun = true,
            [3, text @ ..] => return Err(Error::Remote(words(text))),
            line if line.starts_with(b"ERR ") => return Err(remote_error(line)),
            _ => {}
        }
    }
    if size == 0 {
        return Err(Error::invalid("the server sent no pack"));
    }
    out.flush().map_err(Error::io("write pack"))
}

fn remote_error(line: &[u8]) -> Error {
    Error::Remote(words(line.strip_prefix(b"ERR ").unwrap_or(line)))
}

/// A server's words, without what a terminal would act on.
fn words(text: &[u8]) -> String {
    /// As much as is worth showing.
    const LENGTH: usize = 500;
    let text = String::from_utf8_lossy(text);
    let clean = text.trim().chars().filter(|c| !c.is_control());
    clean.take(LENGTH).collect()
}
