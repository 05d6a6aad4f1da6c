//! Sources over the network, from a server on this machine.

use super::super::remote::attend;
use super::super::sources::file_name;
use super::Yard;
use crate::ops::build::BuildRequest;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Answers requests until the test ends; `answer` gets method, path with query, and body.
fn serve(answer: impl Fn(&str, &str, &[u8]) -> Vec<u8> + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        while let Ok((stream, _)) = listener.accept() {
            one(stream, &answer);
        }
    });
    format!("http://{address}")
}

fn one(mut stream: TcpStream, answer: &impl Fn(&str, &str, &[u8]) -> Vec<u8>) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let mut words = line.split(' ');
    let (method, path) = (words.next()?.to_owned(), words.next()?.to_owned());
    let mut length = 0;
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
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    stream.write_all(&answer(&method, &path, &body)).ok()
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
    for remote in ["git@127.0.0.1:a/b.git", "ssh://git@127.0.0.1:1/a/b.git"] {
        let yard = Yard::new(&format!("FROM scratch\nADD {remote} /src\n"));
        let (result, _) = yard.build(yard.request());
        let error = result.unwrap_err();
        let words = "no SSH key \"default\" forwarded from the client";
        assert!(error.message().contains(words), "{error}");
        assert!(error.hint().unwrap().contains("--ssh default"));
    }
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
    for (script, expected) in rows {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", script]);
        let mut text = String::new();
        let read = attend(command).unwrap().input.read_to_string(&mut text);
        let read = read.map(|_| text.clone());
        let read = read.map_err(|error| error.to_string());
        let expected = expected.map(str::to_owned).map_err(str::to_owned);
        assert_eq!(read, expected);
    }
}
