//! Sources over the network, from a server on this machine.

use super::super::connect::{attend, authority, ssh_command};
use super::super::download::file_name;
use super::super::remote::Ssh;
use super::Yard;
use crate::ops::build::{BuildRequest, SshSource};
use lapstrake_build::cancel::CancelToken;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

/// Answers requests until the test ends; `answer` gets method, path with query, and body.
fn serve(answer: impl Fn(&str, &str, &[u8]) -> Vec<u8> + Send + 'static) -> String {
    serve_all(move |method, path, body, _headers| answer(method, path, body))
}

/// The same with the request's headers, in lower case.
fn serve_all(answer: impl Fn(&str, &str, &[u8], &[String]) -> Vec<u8> + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        while let Ok((stream, _)) = listener.accept() {
            one(stream, &answer);
        }
    });
    format!("http://{address}")
}

fn one(
    mut stream: TcpStream,
    answer: &impl Fn(&str, &str, &[u8], &[String]) -> Vec<u8>,
) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let mut words = line.split(' ');
    let (method, path) = (words.next()?.to_owned(), words.next()?.to_owned());
    let mut length = 0;
    let mut headers = Vec::new();
    loop {
        let mut header = String::new();
        reader.read_line(&mut header).ok()?;
        let header = header.trim().to_ascii_lowercase();
        if header.is_empty() {
            break;
        }
        if let Some(value) = header.strip_prefix("content-length:") {
            length = value.trim().parse().ok()?;
        }
        headers.push(header);
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    stream
        .write_all(&answer(&method, &path, &body, &headers))
        .ok()
}

fn ok(body: &[u8], more: &str) -> Vec<u8> {
    let mut answer = format!(
        "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {}\r\n{more}\r\n",
        body.len()
    )
    .into_bytes();
    answer.extend_from_slice(body);
    answer
}

#[test]
fn names_of_files_are_the_servers_or_the_addresses() {
    for (disposition, url, expected) in [
        (None, "http://h/a/b.txt?x=y", "b.txt"),
        (None, "http://h/a/", "a"),
        (None, "http://h", "download"),
        (
            Some("attachment; filename=\"c.txt\""),
            "http://h/b",
            "c.txt",
        ),
        (Some("attachment; filename=../c"), "http://h/b", "b"),
    ] {
        assert_eq!(file_name(disposition, url), expected);
    }
}

#[test]
fn privileged_files_are_downloaded_and_checked() {
    let url = serve(|_, path, _| {
        match path {
        "/moved" => b"HTTP/1.1 302 Found\r\nLocation: /file\r\nConnection: close\r\nContent-Length: 0\r\n\r\n".to_vec(),
        "/file" => ok(b"hello", "Last-Modified: Wed, 21 Oct 2015 07:28:00 GMT\r\n"),
        _ => b"HTTP/1.1 404 Not Found\r\nConnection: close\r\nContent-Length: 0\r\n\r\n".to_vec(),
    }
    });
    let digest = lapstrake_spec::Digest::sha256(b"hello");
    for (flags, path, works) in [
        (String::new(), "moved", true),
        (format!("--checksum={digest} "), "file", true),
        (
            format!("--checksum={} ", lapstrake_spec::Digest::sha256(b"x")),
            "file",
            false,
        ),
        (String::new(), "nothing", false),
    ] {
        let yard = Yard::new(&format!("FROM scratch\nADD {flags}{url}/{path} /dir/\n"));
        let (result, _) = yard.build(yard.request());
        assert_eq!(result.is_ok(), works, "{path} {result:?}");
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "git makes and serves what is to be read"
)]
fn git(dir: &Path) -> Command {
    let mut command = Command::new("git");
    command
        .current_dir(dir)
        .env_clear()
        .env("PATH", "/usr/local/bin:/usr/bin:/bin")
        .env("HOME", dir)
        .args(["-c", "user.name=n", "-c", "user.email=e"]);
    command.stderr(Stdio::null());
    command
}

fn repository(yard: &Yard) -> Option<PathBuf> {
    let dir = yard.directory.join("repository.git");
    std::fs::create_dir_all(dir.join("sub")).unwrap();
    std::fs::write(dir.join("sub/Dockerfile"), "FROM scratch\nCOPY f /f\n").unwrap();
    std::fs::write(dir.join("sub/f"), "f").unwrap();
    for arguments in [
        &["init", "-q", "-b", "main"][..],
        &["add", "."],
        &["commit", "-q", "-m", "one"],
    ] {
        git(&dir)
            .args(arguments)
            .status()
            .ok()
            .filter(std::process::ExitStatus::success)?;
    }
    Some(dir)
}

/// A request to git's own server program.
fn backend(dir: &Path, method: &str, path: &str, body: &[u8]) -> Vec<u8> {
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let mut child = git(dir)
        .arg("http-backend")
        .env("GIT_PROJECT_ROOT", dir.parent().unwrap())
        .env("GIT_HTTP_EXPORT_ALL", "1")
        .env("REQUEST_METHOD", method)
        .env("PATH_INFO", path)
        .env("QUERY_STRING", query)
        .env("CONTENT_TYPE", "application/x-git-upload-pack-request")
        .env("CONTENT_LENGTH", body.len().to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(body).unwrap();
    let output = child.wait_with_output().unwrap().stdout;
    let split = output
        .windows(4)
        .position(|window| window == b"\r\n\r\n")
        .unwrap();
    ok(&output[split + 4..], "")
}

#[test]
fn privileged_repositories_are_contexts_and_sources() {
    let yard = Yard::new("FROM scratch\n");
    let Some(dir) = repository(&yard) else { return };
    let served = dir.clone();
    let url = serve(move |method, path, body| backend(&served, method, path, body));
    let remote = format!("{url}/repository.git/.git");
    for context in [
        format!("file://{}#main:sub", dir.display()),
        format!("{remote}#main:sub"),
    ] {
        let (result, _) = yard.build(BuildRequest {
            context: context.clone(),
            ..yard.request()
        });
        let config = yard.config(&result.unwrap());
        assert_eq!(config.rootfs.diff_ids.len(), 1, "{context}");
    }
    let adding = Yard::new(&format!("FROM scratch\nADD {remote}#main /src\n"));
    let (result, _) = adding.build(adding.request());
    assert_eq!(adding.config(&result.unwrap()).rootfs.diff_ids.len(), 1);
    let (missing, _) = yard.build(BuildRequest {
        context: format!("{remote}#nothing"),
        ..yard.request()
    });
    assert!(
        missing
            .unwrap_err()
            .message()
            .contains("does not contain ref nothing")
    );
}

#[test]
fn a_dockerfile_has_no_ssh_unless_it_is_given() {
    let agent = || SshSource::Agent(PathBuf::from("agent"));
    for remote in ["git@127.0.0.1:a/b.git", "ssh://git@127.0.0.1:1/a/b.git"] {
        for ssh in [
            None,
            Some(("default", SshSource::Unset)),
            Some(("other", agent())),
        ] {
            let yard = Yard::new(&format!("FROM scratch\nADD {remote} /src\n"));
            let ssh = ssh.map(|(id, source)| (id.to_owned(), source));
            let (result, _) = yard.build(BuildRequest {
                ssh: ssh.into_iter().collect(),
                ..yard.request()
            });
            let error = result.unwrap_err();
            let words = "no SSH key \"default\" forwarded from the client";
            assert!(error.message().contains(words), "{error}");
            assert!(error.hint().unwrap().contains("--ssh default"));
        }
    }
}

/// What ssh itself makes of its command line.
#[test]
fn ssh_uses_no_key_but_those_of_the_agent_that_is_given() {
    let access = Ssh::Agent(PathBuf::from("/run/a %d $X agent"));
    let command = ssh_command("ssh://git@127.0.0.1:22/a.git", &access).unwrap();
    let environment: Vec<_> = command.get_envs().collect();
    let socket = std::ffi::OsStr::new("/run/a %d $X agent");
    assert_eq!(environment, [("SSH_AUTH_SOCK".as_ref(), Some(socket))]);
    let words: Vec<_> = command.get_args().collect();
    assert!(words.starts_with(&["-p", "22", "-F", "/dev/null"].map(AsRef::as_ref)));
    let settings = settings_of(&command);
    for expected in [
        "identityagent SSH_AUTH_SOCK",
        "identityfile none",
        "preferredauthentications publickey",
        "batchmode yes",
        "port 22",
        "user git",
    ] {
        assert!(settings.lines().any(|line| line == expected), "{settings}");
    }
    let files = settings
        .lines()
        .filter(|line| line.starts_with("identityfile "));
    assert_eq!(files.count(), 1, "{settings}");
    // Whoever types an address means his own keys.
    let command = ssh_command("git@127.0.0.1:a.git", &Ssh::User).unwrap();
    assert_eq!(command.get_envs().count(), 0);
    assert!(!command.get_args().any(|word| word == "-F"));
}

#[test]
fn hosts_have_ports_and_brackets() {
    for (host, expected) in [
        ("h", "h:9418"),
        ("h:1", "h:1"),
        ("[::1]", "[::1]:9418"),
        ("[::1]:1", "[::1]:1"),
        ("127.0.0.1", "127.0.0.1:9418"),
    ] {
        assert_eq!(authority(host), expected);
    }
    for (remote, host, port) in [
        ("ssh://git@h/a", "h", "22"),
        ("ssh://git@h:1/a", "h", "1"),
        ("ssh://git@[::1]/a", "::1", "22"),
        ("ssh://git@[::1]:1/a", "::1", "1"),
        ("git@h:a", "h", "22"),
        ("git@[::1]:a", "::1", "22"),
    ] {
        let access = Ssh::Agent(PathBuf::from("agent"));
        let settings = settings_of(&ssh_command(remote, &access).unwrap());
        for line in [format!("hostname {host}"), format!("port {port}")] {
            assert!(
                settings.lines().any(|told| told == line),
                "{remote}\n{settings}"
            );
        }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "only ssh knows what its options mean"
)]
fn settings_of(command: &Command) -> String {
    let mut asked = Command::new("ssh");
    let told = asked.arg("-G").args(command.get_args()).output().unwrap();
    assert!(told.status.success(), "{told:?}");
    String::from_utf8(told.stdout).unwrap()
}

#[test]
#[expect(
    clippy::disallowed_methods,
    reason = "a shell stands for the user's ssh"
)]
fn what_ssh_fails_with_is_told() {
    let rows = [
        ("echo data; exit 0", Ok("data\n")),
        (
            "echo no key >&2; echo bye >&2; exit 255",
            Err("ssh: exit status: 255: no key; bye"),
        ),
        ("exit 3", Err("ssh: exit status: 3")),
    ];
    let cancel = CancelToken::new().unwrap();
    for (script, expected) in rows {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", script]);
        let mut text = String::new();
        let read = attend(command, &cancel)
            .unwrap()
            .input
            .read_to_string(&mut text);
        let read = read.map(|_| text.clone());
        let read = read.map_err(|error| error.to_string());
        let expected = expected.map(str::to_owned).map_err(str::to_owned);
        assert_eq!(read, expected);
    }
}

/// A web server's file, and what was asked for it.
#[derive(Default)]
struct Page {
    body: &'static str,
    /// `ETag` and `Last-Modified`, as headers.
    validators: &'static str,
    /// Whether conditions are looked at.
    careless: bool,
    /// Conditions of requests, and whether the file was sent.
    asked: Vec<(String, bool)>,
}

fn page(shared: &Arc<Mutex<Page>>, headers: &[String]) -> Vec<u8> {
    let mut page = shared.lock().unwrap();
    let condition = headers.iter().find(|header| header.starts_with("if-"));
    let condition = condition.cloned().unwrap_or_default();
    let value = condition.split_once(": ").map_or("", |(_, value)| value);
    let validators = page.validators.to_ascii_lowercase();
    let same = !value.is_empty() && validators.contains(value) && !page.careless;
    page.asked.push((condition, !same));
    if same {
        let answer = "HTTP/1.1 304 Not Modified\r\nConnection: close\r\n\r\n";
        return answer.as_bytes().to_vec();
    }
    ok(page.body.as_bytes(), page.validators)
}

#[test]
fn privileged_files_of_servers_are_fetched_when_they_have_changed() {
    const DATE: &str = "Last-Modified: Wed, 21 Oct 2015 07:28:00 GMT\r\n";
    const OLDER: &str = "Last-Modified: Tue, 20 Oct 2015 07:28:00 GMT\r\n";
    let shared = Arc::new(Mutex::new(Page::default()));
    let served = Arc::clone(&shared);
    let url = serve_all(move |_, _, _, headers| page(&served, headers));
    let yard = Yard::new("");
    let build = |flags: &str, no_cache: bool| {
        yard.write(
            "Dockerfile",
            &format!("FROM scratch\nADD {flags}{url}/f /f\n"),
        );
        let (result, _) = yard.build(BuildRequest {
            cache: crate::ops::build::CacheOptions {
                disabled: no_cache,
                ..Default::default()
            },
            ..yard.request()
        });
        let asked = std::mem::take(&mut shared.lock().unwrap().asked);
        (result.unwrap().cached.0 == 1, asked)
    };
    let ask = |condition: &str, sent: bool| (condition.to_owned(), sent);
    let set = |body, validators, careless| {
        let mut page = shared.lock().unwrap();
        (page.body, page.validators, page.careless) = (body, validators, careless);
    };
    set("one", "ETag: \"a\"\r\n", false);
    assert_eq!(build("", false), (false, vec![ask("", true)]));
    let tag = "if-none-match: \"a\"";
    assert_eq!(build("", false), (true, vec![ask(tag, false)]));
    // Its bytes are fetched for a step that runs.
    let both = vec![ask(tag, false), ask("", true)];
    assert_eq!(build("", true), (false, both));
    // A server that ignores the condition sends the same tag.
    set("one", "ETag: W/\"a\"\r\n", true);
    assert_eq!(build("", false), (true, vec![ask(tag, true)]));
    set("two", "ETag: \"b\"\r\n", false);
    assert_eq!(build("", false), (false, vec![ask(tag, true)]));
    // Known content is not asked for.
    let digest = lapstrake_spec::Digest::sha256(b"two");
    assert_eq!(
        build(&format!("--checksum={digest} "), false),
        (true, vec![])
    );
    set("three", DATE, false);
    let tag = "if-none-match: \"b\"";
    assert_eq!(build("", false), (false, vec![ask(tag, true)]));
    // A date is no condition: fetched each time, and still found in the cache.
    assert_eq!(build("", false), (true, vec![ask("", true)]));
    set("older", OLDER, false);
    assert_eq!(build("", false), (false, vec![ask("", true)]));
    for validators in ["", "ETag: \r\n"] {
        set("four", validators, false);
        build("", false);
        assert_eq!(build("", false), (true, vec![ask("", true)]));
    }
}

#[test]
fn privileged_what_changes_behind_an_unchanged_tag_is_refused() {
    let shared = Arc::new(Mutex::new(Page {
        body: "one",
        validators: "ETag: \"a\"\r\n",
        ..Page::default()
    }));
    let served = Arc::clone(&shared);
    let url = serve_all(move |_, _, _, headers| page(&served, headers));
    let yard = Yard::new(&format!("FROM scratch\nADD {url}/f /f\n"));
    yard.build(yard.request()).0.unwrap();
    shared.lock().unwrap().body = "two";
    let again = || BuildRequest {
        cache: crate::ops::build::CacheOptions {
            disabled: true,
            ..Default::default()
        },
        ..yard.request()
    };
    let error = yard.build(again()).0.unwrap_err();
    assert!(
        error.message().contains("has changed while the build ran"),
        "{error}"
    );
    yard.build(again()).0.unwrap();
}

#[test]
fn privileged_a_failing_step_stops_downloads_beside_it() {
    for scheme in ["http", "git"] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (open, gate) = std::sync::mpsc::channel();
        // Says nothing, and waits for the other side to go.
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            stream.read_exact(&mut [0; 1]).unwrap();
            open.send(()).unwrap();
            std::io::copy(&mut stream, &mut std::io::sink()).is_ok()
        });
        let yard = Yard::new(&format!(
            "FROM scratch AS slow\nADD {scheme}://{address}/x.git /x\n\
             FROM scratch AS bad\nRUN exit 3\n\
             FROM scratch\nCOPY --from=slow / /\nCOPY --from=bad / /\n"
        ));
        *yard.fake.gate.lock().unwrap() = Some(gate);
        let error = yard.build(yard.request()).0.unwrap_err();
        assert!(error.message().contains("exit code: 3"), "{error}");
        assert!(server.join().unwrap());
    }
}

#[test]
fn privileged_servers_without_git_are_told_apart() {
    for page in [
        "0123456789012345678901234567890123456789\trefs/heads/main\n",
        "<html>hello",
    ] {
        let url = serve(move |_, _, _| ok(page.as_bytes(), ""));
        let yard = Yard::new(&format!("FROM scratch\nADD {url}/x.git /x\n"));
        let error = yard.build(yard.request()).0.unwrap_err();
        let words = "does not speak git's smart HTTP protocol";
        assert!(error.message().contains(words), "{error}");
        assert!(error.hint().unwrap().contains("git http-backend"));
    }
}

#[test]
fn privileged_bases_are_read_out_of_layouts() {
    let base = Yard::new("FROM scratch\nCOPY f /f\nENV A=b\n");
    base.write("f", "in the base");
    let folder = base.directory.join("layout");
    let (made, _) = base.build(BuildRequest {
        outputs: vec![
            crate::ops::export::parse_output(&format!(
                "type=oci,tar=false,dest={}",
                folder.display()
            ))
            .unwrap(),
        ],
        ..base.request()
    });
    let made = made.unwrap();
    let manifest = made.images[0].manifest.digest.clone();
    let yard = Yard::new("FROM named\nRUN one\n");
    let build = |source: String| {
        yard.build(BuildRequest {
            named_contexts: [("named".to_owned(), source)].into(),
            working_directory: base.directory.join("."),
            ..yard.request()
        })
        .0
    };
    for place in [
        "layout".to_owned(),
        folder.display().to_string(),
        "layout:1".to_owned(),
        format!("layout@{manifest}"),
        format!("layout:any@{manifest}"),
    ] {
        let result = build(format!("oci-layout://{place}")).unwrap();
        let config = yard.config(&result);
        assert_eq!(config.rootfs.diff_ids.len(), 2, "{place}");
        let env = config.config.unwrap().env;
        assert!(env.unwrap().contains(&"A=b".to_owned()), "{place}");
    }
    assert_eq!(yard.runs(), 1);
    let other = lapstrake_spec::Digest::sha256(b"x");
    for (place, words) in [
        ("nothing".to_owned(), "/nothing: not found"),
        (format!("layout@{other}"), "not found"),
        ("layout@sha256:1".to_owned(), "digest"),
    ] {
        let error = build(format!("oci-layout://{place}")).unwrap_err();
        assert!(error.message().contains(words), "{place} {error}");
    }
    let error = build("target:other".to_owned()).unwrap_err();
    let words = "failed to find target other for context named";
    assert_eq!(error.message(), words);
}
