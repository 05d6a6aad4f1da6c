use super::*;
use lapstrake_engine::spec::{Digest, Reference};

fn layer(name: &str, state: LayerState) -> Event {
    Event::Layer(LayerEvent {
        digest: Digest::sha256(name.as_bytes()),
        state,
    })
}

fn short(name: &str) -> String {
    Digest::sha256(name.as_bytes()).short().to_owned()
}

fn pull() -> Vec<Event> {
    let reference = Reference::parse("hello-world").unwrap().or_latest();
    let total = 1_064_000;
    vec![
        Event::DefaultTag {
            tag: "latest".to_owned(),
        },
        Event::PullStarted {
            tag: "latest".to_owned(),
            path: "library/hello-world".to_owned(),
        },
        layer("a", LayerState::Queued),
        layer(
            "a",
            LayerState::Downloading {
                done: 36_450,
                total,
            },
        ),
        layer("a", LayerState::Downloading { done: total, total }),
        layer("a", LayerState::Verifying),
        layer("a", LayerState::Verifying),
        layer("a", LayerState::Downloaded),
        layer("a", LayerState::Extracting { done: 1, total }),
        layer("a", LayerState::PullComplete),
        Event::Resolved {
            digest: Digest::sha256(b"d"),
        },
        Event::PullFinished {
            reference,
            newer: true,
            all_tags: false,
        },
    ]
}

fn render(style: Style, events: &[Event]) -> String {
    let mut screen = Screen::new(style);
    // Every event a second after the one before, so that nothing is left out for being too soon.
    events
        .iter()
        .zip(1..)
        .map(|(event, second)| screen.render(event, second * 1000))
        .collect()
}

#[test]
fn lines_of_a_pull() {
    let id = short("a");
    let digest = Digest::sha256(b"d");
    let expected = format!(
        "Using default tag: latest\nlatest: Pulling from library/hello-world\n\
         {id}: Pulling fs layer\n{id}: Verifying Checksum\n{id}: Download complete\n\
         {id}: Pull complete\nDigest: {digest}\nStatus: Downloaded newer image for \
         hello-world:latest\n"
    );
    assert_eq!(render(Style::Plain, &pull()), expected);
    assert_eq!(render(Style::Quiet, &pull()), "");
}

#[test]
fn a_pull_on_a_terminal() {
    let id = short("a");
    let line = |text: &str| format!("\x1b[1A\x1b[2K\r{id}: {text}\r\x1b[1B");
    let expected = [
        "Using default tag: latest\nlatest: Pulling from library/hello-world\n".to_owned(),
        "\n".to_owned(),
        line("Pulling fs layer "),
        line("Downloading [=>                                                 ]  36.45kB/1.064MB"),
        line("Downloading [==================================================>]  1.064MB/1.064MB"),
    ];
    assert_eq!(
        render(Style::Terminal(200), &pull()[..5]),
        expected.concat()
    );
    let narrow = render(Style::Terminal(80), &pull()[..4]);
    assert!(
        narrow.ends_with(&line("Downloading  36.45kB/1.064MB")),
        "{narrow:?}"
    );
}

#[test]
fn lines_move_up_to_their_layer() {
    let events = [
        layer("a", LayerState::Queued),
        layer("b", LayerState::Queued),
        layer("a", LayerState::PullComplete),
        Event::Resolved {
            digest: Digest::sha256(b"d"),
        },
        layer("c", LayerState::Queued),
    ];
    let (a, b, c, d) = (short("a"), short("b"), short("c"), Digest::sha256(b"d"));
    let expected = format!(
        "\n\x1b[1A\x1b[2K\r{a}: Pulling fs layer \r\x1b[1B\n\x1b[1A\x1b[2K\r{b}: Pulling fs layer \
         \r\x1b[1B\x1b[2A\x1b[2K\r{a}: Pull complete \r\x1b[2BDigest: {d}\n\n\x1b[1A\x1b[2K\r{c}: \
         Pulling fs layer \r\x1b[1B"
    );
    assert_eq!(render(Style::Terminal(200), &events), expected);
}

#[test]
fn moving_states_are_not_redrawn_too_often() {
    let mut screen = Screen::new(Style::Terminal(200));
    let at = |done: u64| layer("a", LayerState::Downloading { done, total: 100 });
    assert!(!screen.render(&at(1), 1000).is_empty());
    assert!(screen.render(&at(2), 1050).is_empty());
    assert!(!screen.render(&at(3), 1200).is_empty());
    assert!(!screen.render(&at(100), 1201).is_empty());
}

#[test]
fn lines_of_a_push() {
    let events = [
        Event::PushStarted {
            repository: "reg:5000/a/b".to_owned(),
        },
        layer("a", LayerState::Queued),
        layer("b", LayerState::Queued),
        layer("a", LayerState::AlreadyExists),
        layer("b", LayerState::Retrying { after_s: 5 }),
        layer("b", LayerState::Retrying { after_s: 1 }),
        layer("b", LayerState::Pushing { done: 1, total: 2 }),
        layer(
            "b",
            LayerState::Mounted {
                from: "a/c".to_owned(),
            },
        ),
        Event::PushFinished {
            tag: "v2".to_owned(),
            digest: Digest::sha256(b"d"),
            size: 855,
        },
    ];
    let (a, b, d) = (short("a"), short("b"), Digest::sha256(b"d"));
    let expected = format!(
        "The push refers to repository [reg:5000/a/b]\n{a}: Preparing\n{b}: Preparing\n{a}: Layer \
         already exists\n{b}: Retrying in 5 seconds\n{b}: Retrying in 1 second\n{b}: Mounted from \
         a/c\nv2: digest: {d} size: 855\n"
    );
    assert_eq!(render(Style::Plain, &events), expected);
}

#[test]
fn other_sentences() {
    let reference = Reference::parse("reg:5000/u/ubuntu:1").unwrap();
    let cases = [
        (
            Event::ImageMissing {
                reference: reference.clone(),
            },
            "Unable to find image 'reg:5000/u/ubuntu:1' locally\n",
        ),
        (
            Event::PullFinished {
                reference: reference.clone(),
                newer: false,
                all_tags: false,
            },
            "Status: Image is up to date for reg:5000/u/ubuntu:1\n",
        ),
        (
            Event::PullFinished {
                reference,
                newer: true,
                all_tags: true,
            },
            "Status: Downloaded newer image for reg:5000/u/ubuntu\n",
        ),
        (
            Event::Warning {
                text: "be careful".to_owned(),
            },
            "WARNING: be careful\n",
        ),
    ];
    for (event, expected) in cases {
        assert_eq!(render(Style::Plain, std::slice::from_ref(&event)), expected);
    }
}

#[test]
fn lines_of_a_load() {
    let (id, second, old) = (short("a"), short("b"), Digest::sha256(b"old"));
    let reference = Reference::parse("app:1").unwrap();
    let events = [
        Event::LoadStarted,
        layer("old", LayerState::AlreadyExists),
        layer("old", LayerState::Queued),
        layer("a", LayerState::Queued),
        layer("b", LayerState::Queued),
        layer("b", LayerState::Downloading { done: 2, total: 2 }),
        layer("a", LayerState::Downloading { done: 2, total: 2 }),
        layer("a", LayerState::PullComplete),
        Event::Renamed {
            reference: reference.clone(),
            id: old.clone(),
        },
        Event::Loaded { reference },
        Event::LoadedId { id: old.clone() },
    ];
    let results = format!(
        "The image app:1 already exists, renaming the old one with ID {old} to empty string\n\
         Loaded image: app:1\nLoaded image ID: {old}\n"
    );
    assert_eq!(render(Style::Plain, &events), results);
    assert_eq!(render(Style::Quiet, &events), results);
    // In the order of the layers, not in that of their arrival.
    let expected = format!(
        "\n\x1b[1A\x1b[2K\r{id}: Loading layer \r\x1b[1B\n\x1b[1A\x1b[2K\r{second}: Loading layer \r\x1b[1B\
         \x1b[1A\x1b[2K\r{second}: Loading layer       2B/2B\r\x1b[1B\
         \x1b[2A\x1b[2K\r{id}: Loading layer       2B/2B\r\x1b[2B{results}"
    );
    assert_eq!(render(Style::Terminal(80), &events), expected);
}

#[test]
fn lines_of_a_download() {
    let events = [
        Event::FetchStarted {
            url: "http://x/y.tar".to_owned(),
        },
        Event::Fetching { done: 1, total: 2 },
        Event::Fetching { done: 2, total: 2 },
    ];
    let sentence = "Downloading from http://x/y.tar\n";
    assert_eq!(render(Style::Plain, &events), sentence);
    let expected =
        format!("{sentence}\x1b[2K\rImporting       1B/2B\r\x1b[2K\rImporting       2B/2B\n");
    assert_eq!(render(Style::Terminal(80), &events), expected);
}

#[test]
fn lines_of_a_copy() {
    let started = |away| Event::CopyStarted {
        from: "store:a".to_owned(),
        to: "oci:b".to_owned(),
        away,
    };
    let id = short("a");
    for (away, word) in [(true, "Preparing"), (false, "Pulling fs layer")] {
        let events = [started(away), layer("a", LayerState::Queued)];
        let expected = format!("Copying store:a to oci:b\n{id}: {word}\n");
        assert_eq!(render(Style::Plain, &events), expected);
    }
}
