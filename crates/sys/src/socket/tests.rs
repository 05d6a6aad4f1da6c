use std::os::fd::AsFd;

use super::{is_hung_up, packet_pair, receive, send};

#[test]
fn messages_and_descriptors_and_the_end() {
    let (ours, theirs) = packet_pair().expect("sockets");
    let (reader, writer) = rustix::pipe::pipe().expect("pipe");
    send(theirs.as_fd(), b"one", &[writer.as_fd()]).expect("sent");
    send(theirs.as_fd(), b"two", &[]).expect("sent");
    drop(writer);
    let mut first = receive(ours.as_fd()).expect("received");
    assert_eq!(
        (first.bytes.as_slice(), first.fds.len()),
        (b"one".as_slice(), 1)
    );
    rustix::io::write(first.fds.remove(0), b"x").expect("the other end of the pipe");
    assert_eq!(rustix::io::read(&reader, &mut [0; 2]), Ok(1));
    assert_eq!(receive(ours.as_fd()).expect("received").bytes, b"two");
    assert!(!is_hung_up(ours.as_fd()));
    drop(theirs);
    assert!(is_hung_up(ours.as_fd()));
    assert!(receive(ours.as_fd()).expect("the end").bytes.is_empty());
}
