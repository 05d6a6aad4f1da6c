//! Files of key pairs.

use super::*;
use lapstrake_testkit::Directory;

fn request(directory: &Directory) -> GenerateKey {
    GenerateKey {
        name: "bob".to_owned(),
        folder: directory.path().to_owned(),
        private_folder: directory.join("private"),
        passphrase: "secret words".to_owned().into(),
    }
}

#[test]
fn what_was_there_before_is_never_removed() {
    // As another process leaves it between the question whether the files are there and their making.
    for file in ["private/bob.key", "bob.pub"] {
        let directory = Directory::new();
        let request = request(&directory);
        std::fs::create_dir(&request.private_folder).unwrap();
        let path = directory.join(file);
        std::fs::write(&path, "theirs").unwrap();
        let error = write_pair(&request).unwrap_err();
        assert!(error.message().ends_with(": file exists"), "{error}");
        assert_eq!(std::fs::read(&path).unwrap(), b"theirs");
        let mut left = [request.private_file(), request.public_file()].to_vec();
        left.retain(|path| path.exists());
        assert_eq!(left, [path]);
    }
}

#[test]
fn of_many_who_make_a_key_one_has_it() {
    let directory = Directory::new();
    let request = request(&directory);
    assert!(!format!("{request:?}").contains("secret"));
    let results: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4)
            .map(|_| scope.spawn(|| generate_key(&request)))
            .collect();
        let results = threads.into_iter().map(|thread| thread.join().unwrap());
        results.collect()
    });
    let made: Vec<_> = results.into_iter().flatten().collect();
    assert_eq!(made.len(), 1);
    let text = std::fs::read_to_string(request.private_file()).unwrap();
    let key = SigningKey::open(&text, request.passphrase.reveal()).unwrap();
    assert_eq!(key.id(), made[0]);
    let public = std::fs::read_to_string(request.public_file()).unwrap();
    assert_eq!(public, key.public_pem());
}
