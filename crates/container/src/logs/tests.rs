use super::*;
use std::io::Write;

struct Scratch(PathBuf);

impl Drop for Scratch {
    fn drop(&mut self) {
        std::fs::remove_file(&self.0).ok();
    }
}

fn file(name: &str, text: &str) -> Scratch {
    let path = std::env::temp_dir().join(format!("lap-logs-{}-{name}", std::process::id()));
    File::create(&path)
        .unwrap()
        .write_all(text.as_bytes())
        .unwrap();
    Scratch(path)
}

const LOG: &str = "{\"log\":\"a\\n\",\"stream\":\"stdout\",\"time\":\"2026-01-01T00:00:01.5Z\"}\n\
    {\"log\":\"b\\n\",\"stream\":\"stderr\",\"time\":\"2026-01-01T00:00:02Z\"}\n\
    \0\0\0\n\
    {\"log\":\"c\",\"stream\":\"stdout\",\"time\":\"2026-01-01T00:00:03Z\"}\n";

fn texts(name: &str, options: LogOptions) -> Vec<String> {
    let file = file(name, LOG);
    let tail = options.tail;
    let mut logs = Logs {
        path: file.0.clone(),
        options,
        reader: None,
        line: Vec::new(),
        follow: None,
        done: false,
    };
    logs.open_file(tail).unwrap();
    logs.map(|entry| entry.unwrap().text).collect()
}

#[test]
fn streams_tail_and_times() {
    let all = LogOptions::default;
    assert_eq!(texts("all", all()), ["a\n", "b\n", "c"]);
    assert_eq!(
        texts(
            "out",
            LogOptions {
                stderr: false,
                ..all()
            }
        ),
        ["a\n", "c"]
    );
    assert_eq!(
        texts(
            "tail",
            LogOptions {
                tail: Some(1),
                ..all()
            }
        ),
        ["c"]
    );
    assert_eq!(
        texts(
            "none",
            LogOptions {
                tail: Some(0),
                ..all()
            }
        ),
        [""; 0]
    );
    assert_eq!(
        texts(
            "more",
            LogOptions {
                tail: Some(99),
                ..all()
            }
        ),
        ["a\n", "b\n", "c"]
    );
    let at = |text: &str| Some(text.parse().unwrap());
    let since = LogOptions {
        since: at("2026-01-01T00:00:02Z"),
        ..all()
    };
    assert_eq!(texts("since", since), ["b\n", "c"]);
    let until = LogOptions {
        until: at("2026-01-01T00:00:02Z"),
        ..all()
    };
    assert_eq!(texts("until", until), ["a\n", "b\n"]);
}

#[test]
fn the_last_lines_of_long_and_of_unfinished_files() {
    let long: Vec<String> = (0..20_000).map(|n| format!("line {n}\n")).collect();
    let long = long.concat();
    for (name, text, count, expected) in [
        (
            "long",
            long.as_str(),
            3,
            "line 19997\nline 19998\nline 19999\n",
        ),
        ("open", "a\nb\nc", 2, "b\nc"),
        ("empty", "", 2, ""),
    ] {
        let scratch = file(name, text);
        let mut file = File::open(&scratch.0).unwrap();
        let start = usize::try_from(last_lines(&mut file, count).unwrap()).unwrap();
        assert_eq!(&text[start..], expected, "{name}");
    }
}
