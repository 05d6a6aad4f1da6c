use super::*;

fn all() -> Vec<Frame> {
    let interest = Interest {
        stdin: true,
        stdout: false,
        stderr: true,
    };
    vec![
        Frame::Hello(interest),
        Frame::Stdin(vec![0, 1, 2]),
        Frame::CloseStdin,
        Frame::Detach,
        Frame::Resize {
            rows: 24,
            columns: 300,
        },
        Frame::Signal(15),
        Frame::Pause,
        Frame::Hold,
        Frame::Resume,
        Frame::Started { pid: 4711 },
        Frame::Failed {
            kind: StartKind::NotFound,
            message: "gone".to_owned(),
        },
        Frame::Stdout(vec![b'x'; 70_000]),
        Frame::Stderr(Vec::new()),
        Frame::StdinTaken(9),
        Frame::Done,
        Frame::Refused("no".to_owned()),
        Frame::Exit(-1),
    ]
}

fn decode(bytes: &[u8], step: usize) -> Vec<Frame> {
    let mut decoder = Decoder::default();
    let mut frames = Vec::new();
    for chunk in bytes.chunks(step) {
        assert_eq!(decoder.fill(chunk).unwrap(), Filled::Some);
        while let Some(frame) = decoder.next().unwrap() {
            frames.push(frame);
        }
    }
    assert_eq!(decoder.fill(&[][..]).unwrap(), Filled::End);
    frames
}

#[test]
fn frames_survive_the_way_whatever_the_pieces() {
    let frames = all();
    let mut bytes = Vec::new();
    for frame in &frames {
        frame.encode(&mut bytes);
    }
    for step in [997, 4096, READ_CHUNK] {
        assert_eq!(decode(&bytes, step), frames, "{step}");
    }
    let mut small = Vec::new();
    Frame::Resize {
        rows: 1,
        columns: 2,
    }
    .encode(&mut small);
    Frame::Exit(3).encode(&mut small);
    let frames = [
        Frame::Resize {
            rows: 1,
            columns: 2,
        },
        Frame::Exit(3),
    ];
    assert_eq!(decode(&small, 1), frames);
}

#[test]
fn output_is_encoded_as_its_frame() {
    let mut direct = Vec::new();
    put_output(&mut direct, true, b"text");
    let mut framed = Vec::new();
    Frame::Stderr(b"text".to_vec()).encode(&mut framed);
    assert_eq!(direct, framed);
}

#[test]
fn a_broken_peer_is_an_error() {
    for bytes in [
        &[b'O', 0, 0x10, 0, 1][..],
        &[b'?', 0, 0, 0, 0],
        &[b's', 0, 0, 0, 1, 9],
        &[b'h', 0, 0, 0, 0],
        &[b'F', 0, 0, 0, 0],
    ] {
        let mut decoder = Decoder::default();
        decoder.fill(bytes).unwrap();
        assert!(decoder.next().is_err(), "{bytes:?}");
    }
}
