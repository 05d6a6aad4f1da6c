use super::*;

#[test]
fn a_message_is_laid_out_as_the_kernel_reads_it() {
    let mut batch = Batch::new();
    batch.add(18, Mode::Plain, &[7; 16], |writer| {
        writer.text(3, "lap0");
        writer.nested(18, |writer| writer.number_be(1, 0x0102_0304));
    });
    let mut expected = Vec::new();
    expected.extend(56_u32.to_ne_bytes());
    expected.extend(18_u16.to_ne_bytes());
    expected.extend(5_u16.to_ne_bytes());
    expected.extend([0; 8]);
    expected.extend([7; 16]);
    expected.extend(9_u16.to_ne_bytes());
    expected.extend(3_u16.to_ne_bytes());
    expected.extend(b"lap0\0\0\0\0");
    expected.extend(12_u16.to_ne_bytes());
    expected.extend(0x8012_u16.to_ne_bytes());
    expected.extend(8_u16.to_ne_bytes());
    expected.extend(1_u16.to_ne_bytes());
    expected.extend([1, 2, 3, 4]);
    assert_eq!(batch.as_bytes(), expected);
}

#[test]
fn messages_of_a_batch_are_numbered_from_where_the_socket_is() {
    let mut batch = Batch::new();
    batch.add(16, Mode::CreateNew, &[], |_| ());
    batch.add_mark(17, &[0; 4]);
    let socket = Socket {
        sent: 40,
        ..Socket::route().unwrap()
    };
    let bytes = socket.numbered(&batch);
    let messages: Vec<_> = Messages { rest: &bytes }.collect();
    let seen: Vec<_> = messages.iter().map(|m| (m.kind, m.sequence)).collect();
    assert_eq!(seen, [(16, 40), (17, 41)]);
}

#[test]
fn what_is_written_is_read_again_and_damage_ends_it() {
    let mut batch = Batch::new();
    batch.add(1, Mode::Plain, &[], |writer| {
        writer.text(3, "eth0");
        writer.number(4, 1400);
    });
    let inside = &batch.as_bytes()[HEADER..];
    assert_eq!(attribute(inside, 3).map(text).as_deref(), Some("eth0"));
    assert_eq!(attribute(inside, 4).map(number), Some(1400));
    assert_eq!(attribute(inside, 5), None);
    for length in 0..inside.len() {
        assert!(attributes(&inside[..length]).count() <= 2);
    }
    for damaged in [&[0_u8, 0, 1, 0][..], &[3, 0, 1, 0], &[255, 255, 1, 0]] {
        assert_eq!(attributes(damaged).count(), 0, "{damaged:?}");
    }
}

#[test]
fn the_kernel_answers_each_message() {
    let mut socket = Socket::route().unwrap();
    for _ in 0..2 {
        let mut batch = Batch::new();
        let by_name = |name: &'static str| move |writer: &mut Writer| writer.text(3, name);
        batch.add(18, Mode::Plain, &[0; 16], by_name("lo"));
        batch.add(18, Mode::Plain, &[0; 16], by_name("no-such-thing"));
        batch.add(18, Mode::Dump, &[0; 16], |_| ());
        let answers = socket.exchange(&batch).unwrap();
        let found = answers[0].as_ref().unwrap();
        assert_eq!(
            attribute(&found[0][16..], 3).map(text).as_deref(),
            Some("lo")
        );
        assert_eq!(
            answers[1].as_ref().unwrap_err().raw_os_error(),
            Some(libc::ENODEV)
        );
        assert!(!answers[2].as_ref().unwrap().is_empty());
    }
}
