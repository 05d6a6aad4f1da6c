#![expect(
    clippy::needless_raw_string_hashes,
    reason = "this is how expect-test writes what it has seen"
)]

use super::json::Json;
use super::plain::Plain;
use super::tree::Tree;
use super::*;
use expect_test::{Expect, expect};
use lapstrake_engine::build::event::{Classic as Told, VertexEnd, VertexId};
use lapstrake_engine::build::sandbox::Stream;
use lapstrake_engine::ops::{Answer, BuildResult, BuiltImage, Call, Warning};
use lapstrake_engine::spec::{Descriptor, Digest, MediaType, Platform, Reference};

/// Milliseconds since a start, and what happened then.
type Recorded = Vec<(i64, Event)>;

fn moment(at_ms: i64) -> Timestamp {
    Timestamp::from_millisecond(1_700_000_000_000 + at_ms).unwrap()
}

fn started(id: u64, name: &str) -> Event {
    Event::Build(BuildEvent::Started {
        vertex: VertexId(id),
        name: name.to_owned(),
    })
}

fn output(id: u64, bytes: &str) -> Event {
    Event::Build(BuildEvent::Output {
        vertex: VertexId(id),
        stream: Stream::Stdout,
        bytes: bytes.as_bytes().to_vec(),
    })
}

fn finished(id: u64, end: VertexEnd) -> Event {
    Event::Build(BuildEvent::Finished {
        vertex: VertexId(id),
        end,
    })
}

fn progress(id: u64, item: &str, current: u64, total: Option<u64>, done: bool) -> Event {
    Event::Build(BuildEvent::Progress {
        vertex: VertexId(id),
        item: item.to_owned(),
        current,
        total,
        done,
    })
}

fn reason(id: u64, text: &str) -> Event {
    Event::Build(BuildEvent::Explained {
        vertex: VertexId(id),
        reason: text.to_owned(),
        is_obvious: text.starts_with("after "),
    })
}

fn warned(id: Option<u64>, text: &str) -> Event {
    Event::Build(BuildEvent::Warning {
        vertex: id.map(VertexId),
        text: text.to_owned(),
    })
}

fn classic(told: Told) -> Event {
    Event::Build(BuildEvent::Classic(told))
}

/// Everything that a renderer says about events, the end included.
fn rendered(mut renderer: impl Renderer, events: &Recorded) -> String {
    let mut bytes = Vec::new();
    let mut last = 0;
    for (at_ms, event) in events {
        bytes.extend(renderer.event(event, moment(*at_ms)));
        last = *at_ms;
    }
    bytes.extend(renderer.finish(moment(last), Size::default()));
    String::from_utf8(bytes).unwrap()
}

fn check(renderer: impl Renderer, events: &Recorded, expected: &Expect) {
    let text = rendered(renderer, events);
    expected.assert_eq(&text.replace('\x1b', "<ESC>"));
}

/// A build in which a step is cached, one says why it was not, and one is named.
fn small_build() -> Recorded {
    vec![
        (
            0,
            started(100, "[internal] load build definition from Dockerfile"),
        ),
        (1, progress(100, "transferring dockerfile", 0, None, false)),
        (2, progress(100, "transferring dockerfile", 310, None, true)),
        (
            3,
            warned(
                Some(100),
                "StageNameCasing: Stage name 'Base' should be lowercase (line 1)",
            ),
        ),
        (4, finished(100, VertexEnd::Done)),
        (5, started(1, "[1/3] FROM docker.io/library/ubuntu:14.04")),
        (6, finished(1, VertexEnd::Cached)),
        (10, started(2, "[2/3] RUN make")),
        (11, reason(2, "ARG REV changed")),
        (133, output(2, "one\ntw")),
        (900, output(2, "o\r\nthree")),
        (1010, finished(2, VertexEnd::Done)),
        (1020, started(101, "exporting to image")),
        (1050, progress(101, "exporting layers", 0, None, true)),
        (
            1051,
            progress(101, "naming to docker.io/library/x:1", 0, None, true),
        ),
        (1060, finished(101, VertexEnd::Done)),
    ]
}

#[test]
fn plain_is_numbered_blocks() {
    check(
        Plain::default(),
        &small_build(),
        &expect![[r#"
            #1 [internal] load build definition from Dockerfile
            #1 transferring dockerfile: 310B done
            #1 WARN: StageNameCasing: Stage name 'Base' should be lowercase (line 1)
            #1 DONE 0.0s

            #2 [1/3] FROM docker.io/library/ubuntu:14.04
            #2 CACHED

            #3 [2/3] RUN make
            #3 not cached: ARG REV changed
            #3 0.123 one
            #3 0.890 two
            #3 1.000 three
            #3 DONE 1.0s

            #4 exporting to image
            #4 exporting layers done
            #4 naming to docker.io/library/x:1 done
            #4 DONE 0.0s
        "#]],
    );
}

#[test]
fn reasons_are_told_where_one_would_ask() {
    let mut events = vec![
        (0, started(1, "[1/2] RUN one")),
        (0, reason(1, "ARG REV changed")),
        (10, finished(1, VertexEnd::Done)),
        (20, started(2, "[2/2] RUN two")),
        (20, reason(2, "after [1/2] RUN one")),
    ];
    let told = |text: &str| {
        let reasons = text.lines().filter_map(|line| {
            let (_, reason) = line.split_once("not cached: ")?;
            Some(reason.replace("\x1b[K", ""))
        });
        reasons.collect::<Vec<_>>()
    };
    let all = ["ARG REV changed", "after [1/2] RUN one"];
    for is_done in [false, true] {
        if is_done {
            events.push((30, finished(2, VertexEnd::Done)));
        }
        for (explains, expected) in [(false, &all[..1]), (true, &all[..])] {
            assert_eq!(told(&rendered(Plain::new(explains), &events)), expected);
            let tree = Tree::new(false, explains);
            assert_eq!(told(&rendered(tree, &events)), expected);
        }
    }
}

/// Two steps at the same time: one block is not torn by the other without need.
#[test]
fn plain_gives_the_floor_to_one() {
    let events = vec![
        (0, started(1, "[a 1/1] RUN long")),
        (0, started(2, "[b 1/1] RUN short")),
        (100, output(2, "b1\n")),
        (200, output(1, "a1\n")),
        (300, finished(2, VertexEnd::Done)),
        (400, started(3, "[c 1/1] RUN silent")),
        (500, output(1, "a2\n")),
        (2600, output(3, "c1\n")),
        (2700, output(1, "a3\n")),
        (2800, finished(3, VertexEnd::Cancelled)),
        (2900, finished(1, VertexEnd::Done)),
    ];
    check(
        Plain::default(),
        &events,
        &expect![[r#"
            #1 [a 1/1] RUN long
            #1 0.200 a1
            #1 0.500 a2
            #1 ...

            #2 [b 1/1] RUN short
            #2 0.100 b1
            #2 DONE 0.3s

            #3 [c 1/1] RUN silent
            #3 2.200 c1
            #3 CANCELED

            #1 [a 1/1] RUN long
            #1 2.700 a3
            #1 DONE 2.9s
        "#]],
    );
}

fn failing_build() -> Recorded {
    vec![
        (0, started(1, "[2/2] RUN exit 7")),
        (69, output(1, "\x1b[31mone\x1b[0m\n")),
        (
            70,
            finished(
                1,
                VertexEnd::Failed(
                    "process \"/bin/sh -c exit 7\" did not complete successfully: exit code: 7"
                        .to_owned(),
                ),
            ),
        ),
    ]
}

#[test]
fn a_failed_step_is_shown_again_with_its_last_lines() {
    check(
        Plain::default(),
        &failing_build(),
        &expect![[r#"
            #1 [2/2] RUN exit 7
            #1 0.069 <ESC>[31mone<ESC>[0m
            #1 ERROR: process "/bin/sh -c exit 7" did not complete successfully: exit code: 7
            ------
             > [2/2] RUN exit 7:
            0.069 <ESC>[31mone<ESC>[0m
            ------
        "#]],
    );
    check(
        quiet::Quiet::default(),
        &failing_build(),
        &expect![[r#"
            ------
             > [2/2] RUN exit 7:
            0.069 <ESC>[31mone<ESC>[0m
            ------
        "#]],
    );
}

#[test]
fn plain_shows_slow_parts_now_and_then() {
    let events = vec![
        (0, started(1, "[internal] load build context")),
        (
            0,
            progress(1, "transferring context:", 0, Some(4_000_000), false),
        ),
        (
            4000,
            progress(
                1,
                "transferring context:",
                1_000_000,
                Some(4_000_000),
                false,
            ),
        ),
        (
            6000,
            progress(
                1,
                "transferring context:",
                2_000_000,
                Some(4_000_000),
                false,
            ),
        ),
        (
            7000,
            progress(
                1,
                "transferring context:",
                3_000_000,
                Some(4_000_000),
                false,
            ),
        ),
        (
            9000,
            progress(1, "transferring context:", 4_000_000, Some(4_000_000), true),
        ),
        (
            9001,
            progress(1, "transferring context:", 4_000_000, Some(4_000_000), true),
        ),
        (9002, finished(1, VertexEnd::Done)),
    ];
    check(
        Plain::default(),
        &events,
        &expect![[r#"
            #1 [internal] load build context
            #1 transferring context: 2.00MB / 4.00MB 6.0s
            #1 transferring context: 4.00MB / 4.00MB 9.0s done
            #1 DONE 9.0s
        "#]],
    );
}

#[test]
fn events_of_unknown_vertices_are_left_out() {
    let events = vec![
        (0, output(9, "x\n")),
        (0, finished(9, VertexEnd::Done)),
        (0, progress(9, "x", 1, None, true)),
        (0, reason(9, "x")),
        (0, warned(None, "no vertex")),
    ];
    assert_eq!(rendered(Plain::default(), &events), "WARN: no vertex\n");
    assert_eq!(rendered(quiet::Quiet::default(), &events), "");
}

/// The frame without its cursor movements.
fn frame(bytes: &[u8]) -> String {
    let text = String::from_utf8(bytes.to_vec()).unwrap();
    let (_, lines) = text.split_once('\r').unwrap();
    lines
        .replace("\x1b[K", "")
        .replace("\x1b[J\x1b[?25h\x1b[?2026l", "")
}

#[test]
fn a_terminal_gets_a_tree() {
    let mut tree = Tree::new(false, false);
    let mut events = small_build().into_iter();
    for (at_ms, event) in events.by_ref().take(11) {
        assert!(tree.event(&event, moment(at_ms)).is_empty());
    }
    let size = Size {
        columns: 60,
        rows: 24,
    };
    expect![[r#"
        [+] Building 0.9s (2/3)
         => [internal] load build definition from Dockerf…     0.0s
         => => transferring dockerfile: 310B                   0.0s
         => => WARN: StageNameCasing: Stage name 'Base' should be …
         => CACHED [1/3] FROM docker.io/library/ubuntu:14…     0.0s
         => [2/3] RUN make                                     0.9s
         => => not cached: ARG REV changed
         => => # one
         => => # two
    "#]]
    .assert_eq(&frame(&tree.tick(moment(910), size)));
    for (at_ms, event) in events {
        tree.event(&event, moment(at_ms));
    }
    expect![[r#"
        [+] Building 1.1s (4/4) FINISHED
         => [internal] load build definition from Dockerf…     0.0s
         => => transferring dockerfile: 310B                   0.0s
         => => WARN: StageNameCasing: Stage name 'Base' should be …
         => CACHED [1/3] FROM docker.io/library/ubuntu:14…     0.0s
         => [2/3] RUN make                                     1.0s
         => => not cached: ARG REV changed
         => exporting to image                                 0.0s
         => => exporting layers                                0.0s
         => => naming to docker.io/library/x:1                 0.0s
    "#]]
    .assert_eq(&frame(&tree.finish(moment(1060), size)));
}

#[test]
fn a_frame_fits_the_terminal_and_covers_the_last_one() {
    let mut tree = Tree::new(true, false);
    for id in 0..40 {
        tree.event(&started(id, &format!("step {id}")), moment(0));
        if id < 20 {
            tree.event(&finished(id, VertexEnd::Done), moment(0));
        }
    }
    tree.event(&output(39, "a\nb\n"), moment(0));
    let small = Size {
        columns: 40,
        rows: 10,
    };
    let first = frame(&tree.tick(moment(1), small));
    assert_eq!(first.lines().count(), 9, "{first}");
    assert!(
        first.contains("step 39") && !first.contains("step 31 "),
        "{first}"
    );
    // Half the width: what was drawn takes two lines each, except the header.
    let narrow = Size {
        columns: 20,
        rows: 10,
    };
    let second = String::from_utf8(tree.tick(moment(2), narrow)).unwrap();
    assert!(
        second.starts_with("\x1b[?2026h\x1b[?25l\x1b[18A\r"),
        "{second:?}"
    );
}

#[test]
fn output_cannot_move_the_cursor() {
    let mut tree = Tree::new(false, false);
    tree.event(&started(1, "[1/1] RUN x"), moment(0));
    tree.event(
        &output(1, "10%\r50%\r99%\x1b[2A\x1b]0;title\x07 done\x08\ty\n"),
        moment(0),
    );
    let shown = frame(&tree.tick(moment(0), Size::default()));
    assert!(shown.ends_with(" => => # 99% done    y\n"), "{shown:?}");
}

#[test]
fn programs_get_objects() {
    let events = vec![
        (0, started(1, "[1/1] RUN x")),
        (1, progress(1, "transferring context", 2, None, true)),
        (2, output(1, "hi\n")),
        (3, reason(1, "base image moved")),
        (4, warned(Some(1), "look")),
        (5, finished(1, VertexEnd::Failed("bad".to_owned()))),
        (6, started(2, "b")),
        (7, finished(2, VertexEnd::Cached)),
    ];
    let text = rendered(Json::default(), &events);
    for line in text.lines() {
        serde_json::from_str::<serde_json::Value>(line).unwrap();
    }
    let digest = Digest::sha256(b"1 [1/1] RUN x");
    let text = text.replace(digest.as_str(), "D");
    let six: Vec<&str> = text.lines().take(6).collect();
    expect![[r#"
        {"vertexes":[{"digest":"D","name":"[1/1] RUN x","started":"2023-11-14T22:13:20Z"}]}
        {"statuses":[{"id":"transferring context:","vertex":"D","current":2,"timestamp":"2023-11-14T22:13:20.001Z","started":"2023-11-14T22:13:20.001Z","completed":"2023-11-14T22:13:20.001Z"}]}
        {"logs":[{"vertex":"D","stream":1,"data":"aGkK","timestamp":"2023-11-14T22:13:20.002Z"}]}
        {"warnings":[{"vertex":"D","level":0,"short":"bm90IGNhY2hlZDogYmFzZSBpbWFnZSBtb3ZlZA=="}]}
        {"warnings":[{"vertex":"D","level":1,"short":"bG9vaw=="}]}
        {"vertexes":[{"digest":"D","name":"[1/1] RUN x","started":"2023-11-14T22:13:20Z","completed":"2023-11-14T22:13:20.005Z","error":"bad"}]}
    "#]]
    .assert_eq(&(six.join("\n") + "\n"));
    assert!(text.lines().last().unwrap().contains("\"cached\":true"));
}

fn built() -> BuildResult {
    let id = Digest::sha256(b"image");
    BuildResult {
        images: vec![BuiltImage {
            id: id.clone(),
            manifest: Descriptor::new(MediaType::OCI_MANIFEST, id, 1),
            platform: Platform::linux("amd64"),
        }],
        names: vec![Reference::parse("ouruser/sinatra:v2").unwrap()],
        unused_build_args: vec!["FOO".to_owned(), "BAR".to_owned()],
        ..BuildResult::default()
    }
}

#[test]
#[expect(clippy::too_many_lines, reason = "a list of events")]
fn classic_is_dockers() {
    let id = "0123456789abcdef".repeat(4);
    let image = Digest::sha256(b"step");
    let step = |number, text: &str| {
        classic(Told::Step {
            number,
            total: 4,
            text: text.to_owned(),
        })
    };
    let events = vec![
        (0, Event::BuildContext { bytes: 2048 }),
        (0, step(1, "FROM ubuntu:14.04")),
        (0, classic(Told::Triggers { count: 1 })),
        (0, classic(Told::Image { id: image.clone() })),
        (0, step(2, "MAINTAINER Kate Smith <ksmith@example.com>")),
        (
            0,
            classic(Told::Note {
                text: "a note".to_owned(),
            }),
        ),
        (0, classic(Told::UsingCache)),
        (0, classic(Told::Image { id: image.clone() })),
        (0, step(3, "RUN echo one")),
        (0, classic(Told::Running { id: id.clone() })),
        (0, reason(3, "ARG REV changed")),
        (
            0,
            classic(Told::Output {
                stream: Stream::Stdout,
                bytes: b"one\n".to_vec(),
            }),
        ),
        (
            0,
            classic(Told::Output {
                stream: Stream::Stderr,
                bytes: b"two\n".to_vec(),
            }),
        ),
        (0, classic(Told::Removed { id })),
        (0, classic(Told::Image { id: image })),
        (0, step(4, "from --platform=linux/amd64 scratch")),
    ];
    let text = rendered(Classic::new(None, false), &events) + &classic_result(&built());
    let text = text.replace("\r\r\n", "<CR><CR>\n");
    expect![[r#"
        Sending build context to Docker daemon  2.048kB<CR><CR>
        Step 1/4 : FROM ubuntu:14.04
        # Executing 1 build trigger
         ---> 3e64cc41cf8e
        Step 2/4 : MAINTAINER Kate Smith <ksmith@example.com>
        a note
         ---> Using cache
         ---> 3e64cc41cf8e
        Step 3/4 : RUN echo one
         ---> Running in 0123456789ab
        one
        two
        Removing intermediate container 0123456789ab
         ---> 3e64cc41cf8e
        Step 4/4 : from --platform=linux/amd64 scratch
         ---> 
        [Warning] One or more build-args [BAR FOO] were not consumed
        Successfully built 6105d6cc76af
        Successfully tagged ouruser/sinatra:v2
    "#]]
    .assert_eq(&text);
    let explained = rendered(Classic::new(Some(80), true), &events);
    assert!(explained.contains(" ---> Not cached: ARG REV changed\n"));
    assert!(explained.contains("\x1b[91mtwo\n\x1b[0m"));
}

fn finding(rule: &str, line: usize) -> Warning {
    Warning {
        rule: rule.to_owned(),
        description: "What the rule is about".to_owned(),
        url: "https://docs.docker.com/go/dockerfile/rule/x/".to_owned(),
        detail: "what was found".to_owned(),
        line,
        end_line: line,
        excerpt: "Dockerfile:1\n--------------------\n   1 | >>> FROM x\n--------------------\n"
            .to_owned(),
    }
}

#[test]
fn findings_are_listed() {
    assert_eq!(summary(&[], false, "lap"), "");
    assert_eq!(brief(&[], "lap"), "");
    assert_eq!(
        brief(&["A: x (line 1)".to_owned()], "lap"),
        "\n 1 warning found (use lap --debug to expand):\n - A: x (line 1)\n"
    );
    let two = [finding("A", 1), finding("B", 0)];
    // Every line begins with a blank, which expect-test would take for indentation.
    assert_eq!(
        summary(&two, false, "lap"),
        "\n 2 warnings found (use lap --debug to expand):\n - A: what was found (line 1)\n - B: what was \
         found\n"
    );
    expect![[r#"

         1 warning found:
         - A: what was found (line 1)
        What the rule is about
        More info: https://docs.docker.com/go/dockerfile/rule/x/
        Dockerfile:1
        --------------------
           1 | >>> FROM x
        --------------------

    "#]]
    .assert_eq(&summary(&two[..1], true, "lap"));
    let ask = |call, warnings: &[Warning]| {
        let found = Answer {
            call,
            targets: vec![
                ("base".to_owned(), false, "the base".to_owned()),
                (String::new(), true, String::new()),
            ],
            arguments: vec![(
                "REV".to_owned(),
                Some("1".to_owned()),
                "revision".to_owned(),
            )],
            error: None,
        };
        let result = BuildResult {
            warnings: warnings.to_vec(),
            ..BuildResult::default()
        };
        answer(&found, &result)
    };
    assert_eq!(
        ask(Call::Check, &[]),
        "Check complete, no warnings found.\n"
    );
    expect![[r#"
        Check complete, 1 warning has been found!

        WARNING: A - https://docs.docker.com/go/dockerfile/rule/x/
        what was found
        Dockerfile:1
        --------------------
           1 | >>> FROM x
        --------------------
    "#]]
    .assert_eq(&ask(Call::Check, &two[..1]));
    assert_eq!(
        ask(Call::Targets, &[]),
        "TARGET    DESCRIPTION\nbase      the base\n(default) \n"
    );
    assert_eq!(
        ask(Call::Outline, &[]),
        "BUILD ARG VALUE DESCRIPTION\nREV       1     revision\n"
    );
}
