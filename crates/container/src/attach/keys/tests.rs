use super::*;

fn feed(keys: &mut DetachKeys, typed: &[u8]) -> (Vec<u8>, bool) {
    let mut out = Vec::new();
    let whole = keys.feed(typed, &mut out);
    (out, whole)
}

#[test]
fn the_sequence_detaches_and_its_beginning_is_held_back() {
    let mut keys = DetachKeys::new(&[0x10, 0x11]);
    assert_eq!(feed(&mut keys, b"ab\x10"), (b"ab".to_vec(), false));
    assert_eq!(feed(&mut keys, b"c"), (b"\x10c".to_vec(), false));
    assert_eq!(feed(&mut keys, b"\x10\x10"), (b"\x10".to_vec(), false));
    assert_eq!(feed(&mut keys, b"\x11rest"), (Vec::new(), true));
}

#[test]
fn no_keys_never_detach() {
    let mut keys = DetachKeys::new(&[]);
    assert_eq!(feed(&mut keys, b"\x10\x11"), (b"\x10\x11".to_vec(), false));
}

#[test]
fn names_of_keys() {
    assert_eq!(parse("ctrl-p,ctrl-q").unwrap(), [0x10, 0x11]);
    assert_eq!(parse("ctrl-@,a,ctrl-_").unwrap(), [0, b'a', 0x1f]);
    assert_eq!(
        parse("ctrl-A").unwrap_err().to_string(),
        "invalid detach keys (ctrl-A) provided"
    );
    assert!(parse("").is_err());
}
