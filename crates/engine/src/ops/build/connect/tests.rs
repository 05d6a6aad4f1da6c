use super::*;
use std::net::TcpListener;

const LONG: Duration = Duration::from_secs(60);

/// A listener that answers nobody: its queue has room for one, who is there.
fn full() -> (TcpListener, TcpStream, String) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    net::listen(&listener, 0).unwrap();
    let address = listener.local_addr().unwrap();
    let guest = TcpStream::connect(address).unwrap();
    (listener, guest, address.to_string())
}

/// Raises the token as soon as the other end of a pipe is gone, which is when `work` has begun.
fn cancelled_while<T>(work: impl FnOnce(&CancelToken) -> io::Result<T>) -> String {
    let cancel = CancelToken::new().unwrap();
    std::thread::scope(|scope| {
        let (begin, begun) = std::sync::mpsc::channel::<()>();
        let other = cancel.clone();
        scope.spawn(move || {
            begun.recv().ok();
            other.cancel();
        });
        begin.send(()).unwrap();
        work(&cancel).err().unwrap().to_string()
    })
}

#[test]
fn a_server_that_does_not_answer_is_given_up() {
    let (_listener, _guest, address) = full();
    let cancel = CancelToken::new().unwrap();
    let error = dial(&address, &cancel, Duration::from_millis(50)).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::TimedOut, "{error}");
    let error = cancelled_while(|cancel| dial(&address, cancel, LONG));
    assert_eq!(error, "context canceled");
}

#[test]
fn refused_and_unknown_names_are_told() {
    let cancel = CancelToken::new().unwrap();
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = free.local_addr().unwrap().to_string();
    drop(free);
    let error = dial(&address, &cancel, LONG).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused, "{error}");
    assert!(dial("127.0.0.1:port", &cancel, LONG).is_err());
}

#[test]
fn writing_ends_with_the_build() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let error = cancelled_while(|cancel| -> io::Result<()> {
        let mut output = Watched {
            stream: dial(&address, &CancelToken::new()?, LONG)?,
            cancel: cancel.clone(),
        };
        // Nobody reads it.
        loop {
            output.write_all(&[0; 1 << 10])?;
        }
    });
    assert_eq!(error, "context canceled");
}
