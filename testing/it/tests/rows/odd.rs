//! A server with answers of its own: a search index, and registries that refuse.
//!
//! | path | answer |
//! | --- | --- |
//! | `/v1/search?q=TERM` | what an index finds, see [`search`] |
//! | `/v2/denied/…` | 403 `DENIED` |
//! | `/v2/toomany/…` | 429 `TOOMANYREQUESTS` |
//! | `/v2/broken/…` | 500, no document |
//! | `/v2/garbage/…` | 200, no document either |
//! | `/archive.html` | 200, a page |
//! | anything else | 404 |

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};

/// Starts it on a free port; its address.
pub(super) fn start() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            // Whoever hangs up early is no concern of this server.
            let stream = stream.unwrap();
            std::thread::spawn(move || serve(stream).ok());
        }
    });
    address
}

/// An address where nobody listens.
pub(super) fn nobody() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().to_string()
}

struct Answer {
    status: &'static str,
    kind: &'static str,
    more: String,
    body: String,
}

fn answer(status: &'static str, kind: &'static str, body: impl Into<String>) -> Answer {
    Answer {
        status,
        kind,
        more: String::new(),
        body: body.into(),
    }
}

fn serve(stream: TcpStream) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut request = String::new();
    reader.read_line(&mut request)?;
    let mut header = String::new();
    while reader.read_line(&mut header)? > 2 {
        header.clear();
    }
    let mut parts = request.split(' ');
    let (method, path) = (parts.next().unwrap_or(""), parts.next().unwrap_or(""));
    let Answer {
        status,
        kind,
        more,
        body,
    } = route(path);
    let mut stream = stream;
    write!(
        stream,
        "HTTP/1.1 {status}\r\ncontent-type: {kind}\r\ncontent-length: {}\r\n{more}connection: close\r\n\r\n",
        body.len()
    )?;
    if method != "HEAD" {
        stream.write_all(body.as_bytes())?;
    }
    Ok(())
}

fn route(path: &str) -> Answer {
    const JSON: &str = "application/json";
    let error = |code: &str, message: &str| {
        format!("{{\"errors\":[{{\"code\":\"{code}\",\"message\":\"{message}\"}}]}}")
    };
    let repository = path.strip_prefix("/v2/").unwrap_or("");
    let first = repository.split('/').next().unwrap_or("");
    match first {
        "denied" => return answer("403 Forbidden", JSON, error("DENIED", "no")),
        "toomany" => {
            let text = error("TOOMANYREQUESTS", "You have reached your limit.");
            return answer("429 Too Many Requests", JSON, text);
        }
        "broken" => return answer("500 Internal Server Error", "text/plain", "oh"),
        "garbage" => return answer("200 OK", "application/vnd.oci.image.manifest.v1+json", "%"),
        _ => {}
    }
    match path {
        "/v2/" => answer("200 OK", JSON, "{}"),
        "/v1/_ping" => answer("200 OK", JSON, "true"),
        "/archive.html" => answer(
            "200 OK",
            "text/html",
            "<html><body>no archive</body></html>",
        ),
        _ => match path.strip_prefix("/v1/search?q=") {
            Some(query) => search(query.split('&').next().unwrap_or("")),
            None => answer("404 Not Found", "text/plain", "nothing here"),
        },
    }
}

const FOUND: &str = r#"{"num_results":4,"query":"boat","results":[
    {"name":"boat","description":"The one true boat.","star_count":310,"is_official":true,"is_automated":false},
    {"name":"harbour/boat","description":"A boat with a very long description that does not fit into a table","star_count":12,"is_official":false,"is_automated":true},
    {"name":"pier/boat","description":"","star_count":3,"is_official":false,"is_automated":false},
    {"name":"zzz/boat","description":"two\nlines\tand a tab","star_count":0,"is_official":false,"is_automated":false}]}"#;

fn search(term: &str) -> Answer {
    const JSON: &str = "application/json";
    match term {
        "boat" => answer("200 OK", JSON, FOUND),
        "garbage" => answer("200 OK", JSON, "\u{7}\u{1}%%%"),
        "page" => answer("200 OK", "text/html", "<html><body>Sign in</body></html>"),
        "large" => answer(
            "200 OK",
            JSON,
            format!("{{\"results\":[{}]}}", "{\"name\":\"a\"},".repeat(800_000)),
        ),
        "wrong" => answer("200 OK", JSON, r#"{"results":{"name":7}}"#),
        "null" => answer("200 OK", JSON, "null"),
        "empty" => answer("200 OK", JSON, ""),
        "down" => answer("503 Service Unavailable", "text/plain", "later"),
        "round" => Answer {
            more: "location: /v1/search?q=round&n=25\r\n".to_owned(),
            ..answer("302 Found", "text/plain", "")
        },
        _ => answer("200 OK", JSON, r#"{"num_results":0,"results":[]}"#),
    }
}
