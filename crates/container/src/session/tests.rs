use super::*;
use crate::error::StartKind;

/// A session with a monitor that has said this, and has gone without reading anything.
fn told(frames: &[Frame]) -> Session {
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    let mut bytes = Vec::new();
    for frame in frames {
        frame.encode(&mut bytes);
    }
    theirs.write_all(&bytes).unwrap();
    Session::new(ours, false)
}

#[test]
fn what_a_monitor_said_last_is_heard_after_it_has_gone() {
    let mut session = told(&[Frame::Exit(7)]);
    assert_eq!(session.ask(&Frame::Signal(15)).unwrap(), Answer::Ended);
    session.signal(15).unwrap();
    assert_eq!(session.wait().unwrap(), Some(7));
    let mut session = told(&[]);
    assert_eq!(session.ask(&Frame::Resume).unwrap(), Answer::Ended);
    session.detach().unwrap();
}

#[test]
fn a_monitor_that_is_going_tells_the_end_for_a_start() {
    let mut session = told(&[Frame::Exit(3)]);
    session.send(&Frame::Hello(Interest::default())).unwrap();
    session.expect_started().unwrap();
    assert_eq!(session.wait().unwrap(), Some(3));
    let failed = Frame::Failed {
        kind: StartKind::NotFound,
        message: "no".to_owned(),
    };
    assert!(matches!(
        told(&[failed]).expect_started(),
        Err(Error::Start { .. })
    ));
    assert!(matches!(
        told(&[]).expect_started(),
        Err(Error::Protocol(_))
    ));
}
