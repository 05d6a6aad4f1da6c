//! What is built: a Dockerfile, a context, a command line.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, UTIME_OMIT, utimensat};

use super::agent;
use crate::Rng;

/// 2020-01-02 03:04:05 UTC: about the time of every file in a context, see [`Case::seconds`].
const FILE_SECONDS: i64 = 1_577_934_245;

/// How the context goes to the engine.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Input {
    /// An argument: a folder or an address.
    Argument(String),
    /// A tar of the context on standard input, packed by this program; `cat` for none.
    Tar(String),
    /// The Dockerfile on standard input, and no context.
    Dockerfile,
    /// The Dockerfile on standard input besides the context's folder.
    Both,
}

/// What of a build is compared. In a `case` file it follows `compare`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Part {
    /// `image [NAME]`: the image of this name in the engine's store, by default the build's own.
    Image(Option<String>),
    /// `names`: all names that the build gave.
    Names,
    /// `folder PATH`: what a folder holds.
    Folder(String),
    /// `tar PATH`: the tree in a tar; `-` is standard output.
    Tar(String),
    /// `layout PATH`: the documents and trees in an OCI layout, a folder or a tar; `-` is standard output.
    Layout(String),
    /// `pushed NAME`: the documents and trees in the registry.
    Pushed(String),
    /// `text PATH`: a text; `-` is standard output.
    Text(String),
    /// `json PATH`: a JSON document, by its members.
    Json(String),
    /// `exit`: the exit status. A build may fail when it is compared.
    Exit,
}

impl Part {
    fn parse(words: &[&str]) -> Self {
        let word = |word: &str| word.to_owned();
        match words {
            ["image"] => Self::Image(None),
            ["image", name] => Self::Image(Some(word(name))),
            ["names"] => Self::Names,
            ["folder", path] => Self::Folder(word(path)),
            ["tar", path] => Self::Tar(word(path)),
            ["layout", path] => Self::Layout(word(path)),
            ["pushed", name] => Self::Pushed(word(name)),
            ["text", path] => Self::Text(word(path)),
            ["json", path] => Self::Json(word(path)),
            ["exit"] => Self::Exit,
            other => panic!("what is to be compared of {other:?}?"),
        }
    }
}

/// A second build.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Second {
    /// Arguments besides those of both.
    pub flags: Vec<String>,
    /// Whether the engine forgets in between what it built.
    pub is_elsewhere: bool,
}

/// One case of the corpus. Each line of its `case` file is one of:
///
/// ```text
/// file PATH MODE TEXT     TEXT is to the end of the line, \n is a line feed
/// bytes PATH MODE SIZE    a file of so many bytes, the same each time
/// dir PATH MODE
/// symlink PATH TARGET
/// hardlink PATH TARGET
/// fifo PATH
/// owner PATH UID:GID
/// xattr PATH NAME HEX
/// time PATH SECONDS
/// tar PATH PROGRAM FOLDER   packs FOLDER; PROGRAM is gzip, bzip2, xz, zstd, cat or xattrs
/// git PATH FOLDER           a bare repository of FOLDER: branch main, tag v1
/// agent PATH                a socket where something answers as an ssh agent does
/// flags WORD…               arguments of the build; lines add up
/// first WORD…               arguments of the first build alone, when there are two
/// again WORD…               a second build, with these arguments besides; it is the one that is compared
/// elsewhere WORD…           the same, after the engine was made to forget all that it built
/// untagged                  no `-t`
/// compare PART…             what is compared, see [`Part`]; lines add up, `image` where there is none
/// env NAME=VALUE            of the client
/// context WORD              a folder or an address instead of the context's folder
/// stdin PROGRAM             the context is a tar on standard input; PROGRAM as with `tar`
/// stdin-dockerfile          the Dockerfile is on standard input
/// stdin-both                the same besides the context, for `-f -`
/// docker 28                 the least version of docker that can build it
/// containerd                docker needs its containerd image store for it, and shows that store's digests
/// labs                      docker's own frontend cannot do it: docker gets the one that `FRONTEND` names
/// experimental              docker's daemon has to have its experimental features on
/// not-classic               docker's classic builder cannot
/// strip-syntax              docker would fetch what the `# syntax=` line names, and does not see it
/// without PREFIX            paths that are not compared
/// scratch                   the base image is not in the result, and nothing of it is missed
/// without-history           steps are compared in number only
/// ```
///
/// A path is one in the context; `../x` lies beside it, and is served at `http://@HTTP@/CASE/x`. Paths of
/// `compare` start where those files do, so that `-o @DIR@/out` is compared by `compare folder out`.
#[derive(Clone, Debug)]
pub struct Case {
    /// The folder's name.
    pub name: String,
    /// Arguments of the build.
    pub flags: Vec<String>,
    /// Arguments of the first build alone.
    pub first: Vec<String>,
    /// The second build.
    pub second: Option<Second>,
    /// Whether the image gets a name.
    pub is_tagged: bool,
    /// What is compared besides the image, or in its place.
    pub parts: Vec<Part>,
    /// Variables of the client.
    pub variables: Vec<(String, String)>,
    /// How the context goes to the engine.
    pub input: Input,
    /// The least docker.
    pub docker: u32,
    /// Whether docker has to have the containerd image store.
    pub containerd: bool,
    /// Whether docker needs another frontend than its own.
    pub labs: bool,
    /// Whether docker has to have experimental features.
    pub experimental: bool,
    /// Whether the classic builder can do it.
    pub classic: bool,
    /// Whether docker must not see the `# syntax=` line.
    pub strip_syntax: bool,
    /// Paths that are not compared.
    pub without: Vec<String>,
    /// Whether the result is not on the base image.
    pub is_scratch: bool,
    /// Whether the texts of steps are not compared.
    pub without_history: bool,
    /// Where its files are.
    pub folder: PathBuf,
    files: Vec<Vec<String>>,
}

impl Case {
    /// Reads a case.
    pub fn read(folder: &Path) -> Self {
        let name = folder.file_name().unwrap().to_str().unwrap().to_owned();
        let mut case = Self {
            name,
            flags: Vec::new(),
            first: Vec::new(),
            second: None,
            is_tagged: true,
            parts: Vec::new(),
            variables: Vec::new(),
            input: Input::Argument("@DIR@/context".to_owned()),
            docker: 20,
            containerd: false,
            labs: false,
            experimental: false,
            classic: true,
            strip_syntax: false,
            without: Vec::new(),
            is_scratch: false,
            without_history: false,
            folder: folder.to_owned(),
            files: Vec::new(),
        };
        let text = fs::read_to_string(folder.join("case")).unwrap_or_default();
        let is_item = |line: &&str| !line.trim().is_empty() && !line.starts_with('#');
        for line in text.lines().filter(is_item) {
            case.item(line);
        }
        if case.parts.is_empty() {
            case.parts.push(Part::Image(None));
        }
        case
    }

    fn item(&mut self, line: &str) {
        let words: Vec<&str> = line.split(' ').collect();
        let owned = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect();
        match words.as_slice() {
            ["flags", words @ ..] => {
                let words: Vec<String> = owned(words);
                self.flags.extend(words);
            }
            ["first", words @ ..] => {
                let words: Vec<String> = owned(words);
                self.first.extend(words);
            }
            [kind @ ("again" | "elsewhere"), words @ ..] => {
                self.second = Some(Second {
                    flags: owned(words),
                    is_elsewhere: *kind == "elsewhere",
                });
            }
            ["untagged"] => self.is_tagged = false,
            ["compare", words @ ..] => self.parts.push(Part::parse(words)),
            ["containerd"] => self.containerd = true,
            ["labs"] => self.labs = true,
            ["experimental"] => self.experimental = true,
            ["env", pair] => {
                let (name, value) = pair.split_once('=').unwrap();
                self.variables.push((name.to_owned(), value.to_owned()));
            }
            ["context", word] => self.input = Input::Argument((*word).to_owned()),
            ["stdin", program] => self.input = Input::Tar((*program).to_owned()),
            ["stdin-dockerfile"] => self.input = Input::Dockerfile,
            ["stdin-both"] => self.input = Input::Both,
            ["docker", version] => self.docker = version.parse().unwrap(),
            ["not-classic"] => self.classic = false,
            ["strip-syntax"] => self.strip_syntax = true,
            ["scratch"] => self.is_scratch = true,
            ["without-history"] => self.without_history = true,
            ["without", prefix] => self.without.push((*prefix).to_owned()),
            ["file", path, mode, ..] => {
                let skipped = "file ".len() + path.len() + 1 + mode.len() + 1;
                let text = line.get(skipped..).unwrap_or_default().replace("\\n", "\n");
                self.files.push(owned(&["file", path, mode, &text]));
            }
            words => self.files.push(owned(words)),
        }
    }

    /// The time of every file in the context. Each case has its own: BuildKit takes a file of the same name,
    /// size and time as what it got for an earlier build, whatever is in it.
    pub(super) fn seconds(&self) -> i64 {
        let sum = self
            .name
            .bytes()
            .fold(0_i64, |sum, byte| (sum * 31 + i64::from(byte)) % 100_003);
        FILE_SECONDS + sum
    }

    /// Makes the context and what lies beside it in `directory`.
    pub fn make_files(&self, directory: &Path, dockerfile: &str) {
        let context = directory.join("context");
        fs::create_dir_all(&context).unwrap();
        fs::write(context.join("Dockerfile"), dockerfile).unwrap();
        for item in &self.files {
            let words: Vec<&str> = item.iter().map(String::as_str).collect();
            // A repository or an archive is packed from files that are as they will stay.
            if matches!(words[0], "tar" | "git") {
                set_times(directory, self);
            }
            make(&self.name, &context, &words);
        }
        set_times(directory, self);
    }
}

/// Sets the time of everything below, links too, then of what has a time of its own.
fn set_times(directory: &Path, case: &Case) {
    let mut folders = vec![directory.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let entry = entry.unwrap();
            if entry.file_type().unwrap().is_dir() {
                folders.push(entry.path());
            }
            set_time(&entry.path(), case.seconds());
        }
    }
    for item in case.files.iter().filter(|item| item[0] == "time") {
        let path = directory.join("context").join(&item[1]);
        if path.symlink_metadata().is_ok() {
            set_time(&path, item[2].parse().unwrap());
        }
    }
}

fn set_time(path: &Path, seconds: i64) {
    let last_access = Timespec {
        tv_sec: 0,
        tv_nsec: UTIME_OMIT,
    };
    let last_modification = Timespec {
        tv_sec: seconds,
        tv_nsec: 0,
    };
    let times = Timestamps {
        last_access,
        last_modification,
    };
    utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW).unwrap();
}

fn make(case: &str, context: &Path, words: &[&str]) {
    let path = context.join(words[1]);
    if !matches!(words[0], "owner" | "xattr" | "time") {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
    }
    match words {
        ["file", _, mode, text] => {
            fs::write(&path, text).unwrap();
            set_mode(&path, mode);
        }
        ["bytes", _, mode, size] => {
            fs::write(&path, Rng::new(7).bytes(size.parse().unwrap())).unwrap();
            set_mode(&path, mode);
        }
        ["dir", _, mode] => {
            fs::create_dir_all(&path).unwrap();
            set_mode(&path, mode);
        }
        ["symlink", _, target] => symlink(target, &path).unwrap(),
        ["hardlink", _, target] => fs::hard_link(context.join(target), &path).unwrap(),
        ["fifo", _] => {
            let mode = rustix::fs::Mode::from_raw_mode(0o644);
            rustix::fs::mknodat(CWD, &path, rustix::fs::FileType::Fifo, mode, 0).unwrap();
        }
        ["owner", _, owner] => {
            let (uid, gid) = owner.split_once(':').unwrap();
            chown(&path, uid.parse().ok(), gid.parse().ok()).unwrap();
        }
        ["xattr", _, name, hex] => {
            let value = from_hex(hex);
            rustix::fs::lsetxattr(&path, *name, &value, rustix::fs::XattrFlags::empty()).unwrap();
        }
        ["time", _, _] => {}
        ["tar", _, program, folder] => {
            fs::write(&path, tar(&context.join(folder), program)).unwrap();
        }
        ["agent", _] => agent::start(&path),
        ["git", _, folder] => repository(&path, &context.join(folder)),
        other => panic!("{case}: what is {other:?}?"),
    }
}

fn set_mode(path: &Path, mode: &str) {
    let mode = u32::from_str_radix(mode, 8).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

fn from_hex(hex: &str) -> Vec<u8> {
    let digits: Vec<char> = hex.chars().collect();
    let byte = |pair: &[char]| u8::from_str_radix(&pair.iter().collect::<String>(), 16).unwrap();
    digits.chunks(2).map(byte).collect()
}

/// The tar of a folder, compressed by a program.
pub(super) fn tar(folder: &Path, program: &str) -> Vec<u8> {
    let (options, pipe) = match program {
        "cat" => ("", "cat".to_owned()),
        "xattrs" => ("--xattrs --xattrs-include='*'", "cat".to_owned()),
        program => ("", format!("{program} -c")),
    };
    let script = format!("tar -C \"$0\" --sort=name --numeric-owner {options} -c . | {pipe}");
    let output = Command::new("sh")
        .args(["-c", &script])
        .arg(folder)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    output.stdout
}

/// A bare repository whose one commit is always the same.
fn repository(path: &Path, folder: &Path) {
    let script = "set -e; git init -q -b main \"$0.work\"; cp -a \"$1/.\" \"$0.work\"; cd \"$0.work\"; git add -A; \
                  git commit -q -m one; git tag v1; git clone -q --bare . \"$0\"; \
                  git -C \"$0\" config uploadpack.allowAnySHA1InWant true; rm -r \"$0.work\"";
    let output = Command::new("sh")
        .args(["-c", script])
        .args([path, folder])
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .envs(["AUTHOR", "COMMITTER"].map(|who| (format!("GIT_{who}_NAME"), "corpus")))
        .envs(
            ["AUTHOR", "COMMITTER"]
                .map(|who| (format!("GIT_{who}_EMAIL"), "corpus@example.invalid")),
        )
        .envs(["AUTHOR", "COMMITTER"].map(|who| (format!("GIT_{who}_DATE"), "1577934245 +0000")))
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
}
