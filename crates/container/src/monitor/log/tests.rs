use super::*;

struct Scratch(std::path::PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("lap-log-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).ok();
    }
}

fn written(name: &str, work: impl FnOnce(&mut Log)) -> String {
    let scratch = Scratch::new(name);
    let path = scratch.0.join("json.log");
    let mut log = Log::new(Some(path.clone()));
    work(&mut log);
    log.finish("T2");
    std::fs::read_to_string(path).unwrap_or_default()
}

#[test]
fn lines_parts_and_escapes() {
    let text = written("lines", |log| {
        log.write(Stream::Stdout, b"one\ntw", "T1");
        log.write(
            Stream::Stderr,
            b"<&> \"q\" \\ \t\r\x01\xff\xe2\x80\xa8\n",
            "T1",
        );
        log.write(Stream::Stdout, b"o\nend", "T1");
    });
    assert_eq!(
        text,
        "{\"log\":\"one\\n\",\"stream\":\"stdout\",\"time\":\"T1\"}\n\
         {\"log\":\"\\u003c\\u0026\\u003e \\\"q\\\" \\\\ \\u0009\\r\\u0001\\ufffd\\u2028\\n\",\"stream\":\"stderr\",\"time\":\"T1\"}\n\
         {\"log\":\"two\\n\",\"stream\":\"stdout\",\"time\":\"T1\"}\n\
         {\"log\":\"end\",\"stream\":\"stdout\",\"time\":\"T2\"}\n"
    );
}

#[test]
fn long_lines_are_written_in_parts_of_16_kib() {
    let sizes = |input: &[u8], step: usize| -> Vec<usize> {
        let text = written(&format!("parts-{}-{step}", input.len()), |log| {
            for chunk in input.chunks(step) {
                log.write(Stream::Stdout, chunk, "T1");
            }
        });
        let size = |line: &str| {
            let value: serde_json::Value = serde_json::from_str(line).unwrap();
            value["log"].as_str().unwrap().len()
        };
        text.lines().map(size).collect()
    };
    let mut line = vec![b'x'; 40_000];
    line.push(b'\n');
    for step in [1000, 16 << 10, 40_001] {
        assert_eq!(sizes(&line, step), [16_384, 16_384, 7_233], "{step}");
    }
    let mut exact = vec![b'x'; 16 << 10];
    exact.push(b'\n');
    assert_eq!(sizes(&exact, 16_385), [16_385]);
}

#[test]
fn nothing_is_kept_where_nothing_is_wanted() {
    let mut log = Log::new(None);
    log.write(Stream::Stdout, b"text\n", "T");
    log.finish("T");
}

#[test]
fn a_line_that_a_full_disk_tore_costs_no_other() {
    let scratch = Scratch::new("torn");
    let path = scratch.0.join("json.log");
    let mut log = Log::new(Some(path.clone()));
    log.file = Some(OpenOptions::new().append(true).open("/dev/full").unwrap());
    log.write(Stream::Stdout, b"lost\n", "now");
    std::fs::write(&path, "{\"log\":\"lo").unwrap();
    log.file = Some(OpenOptions::new().append(true).open(&path).unwrap());
    log.write(Stream::Stdout, b"kept\n", "now");
    let text = std::fs::read_to_string(&path).unwrap();
    assert_eq!(
        text,
        "{\"log\":\"lo\n{\"log\":\"kept\\n\",\"stream\":\"stdout\",\"time\":\"now\"}\n"
    );
}
