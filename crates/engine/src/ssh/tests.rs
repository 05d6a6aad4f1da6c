//! OpenSSH's own programs against the sockets of steps.

use super::wire::{Reader, Writer, read_message};
use super::{Agent, Owner, StepSocket};
use lapstrake_build::source::AgentSocket;
use lapstrake_store::Store;
use lapstrake_testkit::Directory;
use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

struct Yard {
    directory: Directory,
    store: Store,
}

impl Yard {
    fn new() -> Self {
        let directory = Directory::new();
        let store = Store::open(
            &directory.join("store"),
            &lapstrake_store::OpenOptions::default(),
        )
        .unwrap();
        Self { directory, store }
    }

    fn serve(&self, agent: Agent) -> StepSocket {
        StepSocket::serve(&Arc::new(agent), &self.store, owner(0o600)).unwrap()
    }

    /// A new key by ssh-keygen.
    fn key(&self, name: &str, arguments: &[&str]) -> PathBuf {
        let path = self.directory.join(name);
        let words = ["-q", "-C", "a comment", "-f", path.to_str().unwrap()];
        run(program("ssh-keygen").args(words).args(arguments));
        path
    }
}

fn owner(mode: u32) -> Owner {
    Owner {
        uid: rustix::process::geteuid().as_raw(),
        gid: rustix::process::getegid().as_raw(),
        mode,
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "OpenSSH makes keys, asks for signatures and looks at them"
)]
fn program(name: &str) -> Command {
    Command::new(name)
}

/// Standard output of a program that succeeds.
fn run(command: &mut Command) -> String {
    let out = command.stdin(Stdio::null()).output().unwrap();
    let errors = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success(), "{command:?}: {errors}");
    String::from_utf8(out.stdout).unwrap()
}

fn ask(stream: &mut UnixStream, message: &[u8]) -> Vec<u8> {
    let framed = Writer::default().string(message).0;
    stream.write_all(&framed).unwrap();
    read_message(stream).unwrap().expect("an answer")
}

#[test]
fn keys_of_every_kind_sign_for_openssh() {
    let yard = Yard::new();
    for (name, arguments) in [
        ("ed25519", ["-t", "ed25519", "-N", ""].as_slice()),
        ("p256", &["-t", "ecdsa", "-b", "256", "-N", ""]),
        ("p384", &["-t", "ecdsa", "-b", "384", "-N", ""]),
        ("p521", &["-t", "ecdsa", "-b", "521", "-N", ""]),
        ("rsa", &["-t", "rsa", "-b", "2048", "-N", ""]),
        ("rsa3072", &["-t", "rsa", "-b", "3072", "-N", ""]),
        (
            "p256.pem",
            &["-t", "ecdsa", "-b", "256", "-m", "PEM", "-N", ""],
        ),
        (
            "rsa.pem",
            &["-t", "rsa", "-b", "2048", "-m", "PEM", "-N", ""],
        ),
        (
            "p521.pkcs8",
            &["-t", "ecdsa", "-b", "521", "-m", "PKCS8", "-N", ""],
        ),
        (
            "rsa.pkcs8",
            &["-t", "rsa", "-b", "2048", "-m", "PKCS8", "-N", ""],
        ),
    ] {
        let key = yard.key(name, arguments);
        let public = key.with_file_name(format!("{name}.pub"));
        let socket = yard.serve(Agent::of_keys("default", std::slice::from_ref(&key)).unwrap());
        let listed = run(program("ssh-add")
            .arg("-L")
            .env("SSH_AUTH_SOCK", socket.path()));
        let words =
            |text: &str| -> Vec<String> { text.split(' ').take(2).map(str::to_owned).collect() };
        assert_eq!(words(&listed), words(&fs::read_to_string(&public).unwrap()));
        let is_pem = name.contains(".pem") || name.contains(".pkcs8");
        let comment = if is_pem { name } else { "a comment" };
        assert!(listed.trim_end().ends_with(comment), "{listed}");
        signs(&yard, &socket, &public);
    }
}

/// Signs with the agent by ssh-keygen, and has ssh-keygen look at the signature.
fn signs(yard: &Yard, socket: &StepSocket, public: &Path) {
    let text = yard.directory.join("text");
    fs::write(&text, "to be signed").unwrap();
    let signature = yard.directory.join("text.sig");
    fs::remove_file(&signature).ok();
    run(program("ssh-keygen")
        .args(["-Y", "sign", "-n", "file", "-f"])
        .args([public, &text])
        .env("SSH_AUTH_SOCK", socket.path()));
    let allowed = yard.directory.join("allowed");
    let line = format!("me {}", fs::read_to_string(public).unwrap());
    fs::write(&allowed, line).unwrap();
    let mut verify = program("ssh-keygen");
    verify.args(["-Y", "verify", "-I", "me", "-n", "file", "-f"]);
    verify.args([&allowed, Path::new("-s"), &signature]);
    let out = verify
        .stdin(fs::File::open(&text).unwrap())
        .output()
        .unwrap();
    assert!(out.status.success(), "{public:?} {out:?}");
}

#[test]
fn keys_that_cannot_be_used_are_refused() {
    let yard = Yard::new();
    let file = |name: &str, text: &str| {
        let path = yard.directory.join(name);
        fs::write(&path, text).unwrap();
        path
    };
    let good = yard.key("good", &["-t", "ed25519", "-N", ""]);
    let text = fs::read_to_string(&good).unwrap();
    let half = text.lines().take(3).collect::<Vec<_>>().join("\n");
    for (path, expected) in [
        (yard.directory.join("none"), "no such file or directory"),
        (
            yard.key("locked", &["-t", "ed25519", "-N", "secret"]),
            "passphrase protected",
        ),
        (
            yard.key(
                "locked.pem",
                &["-t", "rsa", "-b", "2048", "-m", "PEM", "-N", "secret"],
            ),
            "passphrase protected",
        ),
        (
            yard.key(
                "locked.pkcs8",
                &["-t", "rsa", "-b", "2048", "-m", "PKCS8", "-N", "secret"],
            ),
            "passphrase protected",
        ),
        (
            yard.key("short", &["-t", "rsa", "-b", "1024", "-N", ""]),
            "not supported",
        ),
        (good.with_file_name("good.pub"), "no private key found"),
        (file("empty", ""), "no private key found"),
        (file("half", &half), "no private key found"),
        (
            file(
                "cut",
                &format!("{half}\n-----END OPENSSH PRIVATE KEY-----\n"),
            ),
            "no private key found",
        ),
        (
            file(
                "other",
                "-----BEGIN DSA PRIVATE KEY-----\nAAAA\n-----END DSA PRIVATE KEY-----\n",
            ),
            "not supported",
        ),
    ] {
        let error = Agent::of_keys("x", std::slice::from_ref(&path)).unwrap_err();
        let start = format!("could not parse ssh: [x={}]", path.display());
        assert!(error.message().starts_with(&start), "{}", error.message());
        assert!(error.message().contains(expected), "{}", error.message());
    }
    // Every byte of a key matters or is padding: none that is changed makes a panic.
    for at in 0..text.len() {
        let mut bytes = text.clone().into_bytes();
        bytes[at] ^= 1;
        super::key::PrivateKey::parse(&bytes, "x").ok();
    }
}

#[test]
fn a_socket_has_the_owner_that_was_asked_for_and_goes() {
    let yard = Yard::new();
    let key = yard.key("key", &["-t", "ed25519", "-N", ""]);
    let agent = Arc::new(Agent::of_keys("default", &[key]).unwrap());
    let socket = StepSocket::serve(&agent, &yard.store, owner(0o640)).unwrap();
    let path = socket.path().to_owned();
    let metadata = fs::metadata(&path).unwrap();
    assert_eq!(metadata.mode() & 0o7777, 0o640);
    assert_eq!(metadata.uid(), owner(0).uid);
    // Several connections at once, each with several questions.
    let mut streams: Vec<UnixStream> = (0..8)
        .map(|_| UnixStream::connect(&path).unwrap())
        .collect();
    for _ in 0..2 {
        for stream in &mut streams {
            let answer = ask(stream, &[11]);
            assert_eq!(answer.first(), Some(&12));
        }
    }
    // Nothing but lists and signatures: removing keys, locking, extensions.
    for message in [
        &[19][..],
        &[22, 0, 0, 0, 0],
        &[27],
        &[13],
        &[13, 0, 0, 0, 9],
    ] {
        assert_eq!(ask(&mut streams[0], message), [5]);
    }
    // Too long a message ends the connection, and no other.
    streams[0].write_all(&[0xff; 4]).unwrap();
    assert_eq!(streams[0].read(&mut [0; 1]).unwrap_or(0), 0);
    assert_eq!(ask(&mut streams[1], &[11]).first(), Some(&12));
    // Its end ends all of them.
    drop(socket);
    assert_eq!(streams[1].read(&mut [0; 1]).unwrap_or(0), 0);
    assert!(!path.exists());
    assert!(!path.parent().unwrap().exists());
}

#[test]
fn an_agent_is_asked_only_what_is_harmless() {
    let yard = Yard::new();
    let path = yard.directory.join("agent");
    let listener = UnixListener::bind(&path).unwrap();
    // Answers with the question, and ends with its first connection.
    let upstream = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut asked = Vec::new();
        while let Ok(Some(message)) = read_message(&mut stream) {
            stream
                .write_all(&Writer::default().string(&message).0)
                .unwrap();
            asked.push(message);
        }
        asked
    });
    let socket = yard.serve(Agent::Socket(path));
    let mut stream = UnixStream::connect(socket.path()).unwrap();
    assert_eq!(ask(&mut stream, &[19]), [5]);
    assert_eq!(ask(&mut stream, &[11]), [11]);
    assert_eq!(ask(&mut stream, &[13, 1, 2]), [13, 1, 2]);
    assert_eq!(ask(&mut stream, &[18, 1]), [5]);
    drop(socket);
    assert_eq!(upstream.join().unwrap(), [vec![11], vec![13, 1, 2]]);
    // Without an agent the connection ends.
    let gone = yard.serve(Agent::Socket(yard.directory.join("gone")));
    let mut stream = UnixStream::connect(gone.path()).unwrap();
    stream.write_all(&[0, 0, 0, 1, 11]).unwrap();
    assert_eq!(stream.read(&mut [0; 1]).unwrap_or(0), 0);
}

/// An agent with a full queue keeps a step's question, and not its end.
#[test]
fn a_busy_agent_is_waited_for_until_the_step_ends() {
    for frees in [true, false] {
        let yard = Yard::new();
        let path = yard.directory.join("agent");
        let listener = UnixListener::bind(&path).unwrap();
        rustix::net::listen(&listener, 0).unwrap();
        let _queued = UnixStream::connect(&path).unwrap();
        let socket = yard.serve(Agent::Socket(path));
        let mut stream = UnixStream::connect(socket.path()).unwrap();
        stream.write_all(&[0, 0, 0, 1, 11]).unwrap();
        if frees {
            listener.accept().unwrap();
            let (mut upstream, _) = listener.accept().unwrap();
            assert_eq!(read_message(&mut upstream).unwrap().unwrap(), [11]);
            upstream.write_all(&[0, 0, 0, 1, 12]).unwrap();
            assert_eq!(read_message(&mut stream).unwrap().unwrap(), [12]);
        }
        let (sender, ended) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            drop(socket);
            sender.send(()).unwrap();
        });
        let patience = std::time::Duration::from_secs(20);
        ended.recv_timeout(patience).expect("the step ends");
    }
}

#[test]
fn what_fails_once_is_accepted_later() {
    use std::cell::{Cell, RefCell};
    let (asked, over) = (Cell::new(0), Cell::new(false));
    let served = RefCell::new(Vec::new());
    let accept = || {
        asked.set(asked.get() + 1);
        match asked.get() {
            1 => Err(rustix::io::Errno::MFILE.into()),
            3 => Err(rustix::io::Errno::CONNABORTED.into()),
            number @ (2 | 4) => Ok(number),
            _ => {
                over.set(true);
                Err(rustix::io::Errno::INVAL.into())
            }
        }
    };
    let serve = |number| served.borrow_mut().push(number);
    super::socket::accept_all(|| over.get(), accept, serve);
    assert_eq!((served.into_inner(), asked.get()), (vec![2, 4], 5));
}

#[test]
fn fields_do_not_reach_beyond_their_end() {
    for bytes in [&[][..], &[0, 0, 0], &[0, 0, 0, 2, 1], &[0xff; 4]] {
        assert_eq!(Reader(bytes).string(), None);
    }
    assert_eq!(
        Writer::default().integer(&[0, 0, 0x80]).0,
        [0, 0, 0, 2, 0, 0x80]
    );
    assert_eq!(Writer::default().integer(&[0]).0, [0, 0, 0, 0]);
}
