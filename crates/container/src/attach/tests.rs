use super::*;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;

fn pump(stdout: BorrowedFd<'_>) -> Pump<'_> {
    Pump {
        stdin: None,
        stdout: Some(stdout),
        stderr: None,
        detach_keys: &[],
        signal_proxy: true,
    }
}

fn bytes(frames: &[Frame]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for frame in frames {
        frame.encode(&mut bytes);
    }
    bytes
}

#[test]
fn output_that_came_behind_something_else_is_shown_at_once() {
    let (ours, mut monitor) = UnixStream::pair().unwrap();
    let (output, mut shown) = UnixStream::pair().unwrap();
    let text = b"typed\n".to_vec();
    let frames = [Frame::StdinTaken(6), Frame::Done, Frame::Stdout(text)];
    monitor.write_all(&bytes(&frames)).unwrap();
    let attach = std::thread::spawn(move || {
        let mut session = Session::new(ours, false);
        pump(output.as_fd()).run(&mut session)
    });
    let mut echo = [0; 6];
    // The monitor says nothing more until it is there.
    shown.read_exact(&mut echo).unwrap();
    assert_eq!(&echo, b"typed\n");
    monitor.write_all(&bytes(&[Frame::Exit(5)])).unwrap();
    assert_eq!(attach.join().unwrap().unwrap(), Outcome::Exited(5));
}

#[test]
fn all_output_comes_before_the_end() {
    let (ours, mut monitor) = UnixStream::pair().unwrap();
    let (output, mut shown) = UnixStream::pair().unwrap();
    let writer = std::thread::spawn(move || {
        let mut frames = vec![Frame::Stdout(vec![b'x'; 50_000]); 3 * TURN];
        frames.push(Frame::Exit(0));
        monitor.write_all(&bytes(&frames)).unwrap();
    });
    let attach = std::thread::spawn(move || {
        let mut session = Session::new(ours, false);
        pump(output.as_fd()).run(&mut session)
    });
    let mut all = Vec::new();
    shown.read_to_end(&mut all).unwrap();
    assert_eq!(all.len(), 3 * TURN * 50_000);
    writer.join().unwrap();
    assert_eq!(attach.join().unwrap().unwrap(), Outcome::Exited(0));
}
