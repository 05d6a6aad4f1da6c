//! Importing from a web server of a few lines.

use super::*;
use crate::ops::save::tests::{Told, block_on, engine};
use lapstrake_testkit::Directory;
use std::io::Write;
use std::net::TcpListener;

/// Answers one request with this, whatever it asks for; the address.
fn serve(answer: Vec<u8>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            head.push(byte[0]);
        }
        stream.write_all(&answer).unwrap();
    });
    address.to_string()
}

fn answer(status: &str, length: usize, body: &[u8]) -> Vec<u8> {
    let head = format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\n\r\n");
    [head.as_bytes(), body].concat()
}

fn request(reference: &str) -> ImportRequest {
    ImportRequest {
        source: ImportSource::Stream {
            reader: Box::new(io::empty()),
            name: String::new(),
        },
        reference: Some(reference.to_owned()),
        changes: Vec::new(),
        message: String::new(),
        platform: None,
    }
}

fn tar() -> Vec<u8> {
    lapstrake_testkit::tar_of(&lapstrake_testkit::Changes::default())
}

#[test]
fn an_archive_comes_from_an_address() {
    let directory = Directory::new();
    let engine = engine(&directory, "store");
    let tar = tar();
    let host = serve(answer("200 OK", tar.len(), &tar));
    let url = format!("http://me:secret@{host}/root.tar");
    let told = Told::default();
    let id = block_on(import_url(&engine, &url, request("web:1"), &told)).unwrap();
    let shown = format!("http://me:xxxxx@{host}/root.tar");
    let total = tar.len() as u64;
    let events = told.events();
    assert_eq!(
        events.first(),
        Some(&Event::FetchStarted { url: shown.clone() })
    );
    assert_eq!(events.last(), Some(&Event::Fetching { done: total, total }));
    let (config, _) = engine.store().unwrap().image_config(&id).unwrap();
    assert_eq!(config.comment, format!("Imported from {shown}"));
}

#[test]
fn what_no_archive_comes_from() {
    let directory = Directory::new();
    let engine = engine(&directory, "store");
    let tar = tar();
    let html = b"<html>a page</html>";
    let cases = [
        (
            answer("404 Not Found", 12, b"nothing\x1b[2J\n"),
            "failed to GET URL with status 404 Not Found: nothing [2J",
        ),
        (answer("200 OK", html.len(), html), "unexpected EOF"),
        (answer("200 OK", tar.len() + 9, &tar), ""),
    ];
    for (answer, text) in cases {
        let url = format!("http://{}/x.tar", serve(answer));
        let error = block_on(import_url(
            &engine,
            &url,
            request("web:1"),
            &Told::default(),
        ));
        let message = error.unwrap_err().message().replace(&url, "URL");
        assert!(message.ends_with(text), "{message}");
    }
    assert_eq!(engine.store().unwrap().images().unwrap().entries(), []);
}

#[test]
fn passwords_are_not_shown() {
    for (url, shown) in [
        ("http://a:b@c/d", "http://a:xxxxx@c/d"),
        ("http://a:b@c@d/e@f", "http://a:xxxxx@d/e@f"),
        ("http://a@c/d", "http://a@c/d"),
        ("http://c/d:e@f", "http://c/d:e@f"),
    ] {
        assert_eq!(without_password(url), shown);
    }
}
