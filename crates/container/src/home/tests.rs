use super::*;
use crate::record::tests::record;

struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("lap-home-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        make_folders(&path).unwrap();
        Self(path)
    }

    fn id(&self, digits: &str) -> ContainerId {
        let hex = format!("{digits:0<64}");
        let id = ContainerId::parse(&hex).unwrap();
        std::fs::create_dir_all(self.0.join(id.as_str())).unwrap();
        id
    }

    fn home(&self, id: &ContainerId) -> Home {
        Home::new(self.0.join(id.as_str()))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).ok();
    }
}

#[test]
fn containers_are_found_by_id_name_and_unique_prefix() {
    let scratch = Scratch::new("resolve");
    let (a, b) = (scratch.id("abc1"), scratch.id("abc2"));
    take_name(&scratch.0, "abc", &b).unwrap();
    for (typed, expected) in [
        (a.as_str(), &a),
        ("abc", &b),
        ("/abc", &b),
        ("abc1", &a),
        (b.short(), &b),
    ] {
        assert_eq!(resolve(&scratch.0, typed).unwrap(), *expected, "{typed}");
    }
    for (typed, message) in [
        ("ab", "Multiple IDs found with provided prefix: ab"),
        ("zz", "No such container: zz"),
        ("", "No such container: "),
        ("../x", "No such container: ../x"),
    ] {
        assert_eq!(resolve(&scratch.0, typed).unwrap_err().to_string(), message);
    }
    assert_eq!(
        resolve(Path::new("/nonexistent"), "x")
            .unwrap_err()
            .to_string(),
        "No such container: x"
    );
}

#[test]
fn a_name_belongs_to_one_container_until_it_is_given_back() {
    let scratch = Scratch::new("names");
    let (a, b) = (scratch.id("a"), scratch.id("b"));
    take_name(&scratch.0, "web", &a).unwrap();
    let lock = scratch.home(&a).try_lock().unwrap().unwrap();
    let error = take_name(&scratch.0, "web", &b).unwrap_err().to_string();
    assert_eq!(
        error,
        format!(
            "Conflict. The container name \"/web\" is already in use by container \"{a}\". You have to \
             remove (or rename) that container to be able to reuse that name."
        )
    );
    drop(lock);
    release_name(&scratch.0, "web", &b).unwrap();
    assert_eq!(owner_of(&scratch.0, "web").unwrap(), Some(a.clone()));
    let record = Record {
        id: a.clone(),
        name: "web".to_owned(),
        ..record()
    };
    scratch.home(&a).write_new_record(&record, false).unwrap();
    assert!(take_name(&scratch.0, "web", &b).is_err());
    release_name(&scratch.0, "web", &a).unwrap();
    take_name(&scratch.0, "web", &b).unwrap();
    assert_eq!(names(&scratch.0).unwrap(), [("web".to_owned(), b)]);
}

#[test]
fn a_name_whose_maker_crashed_is_free() {
    let scratch = Scratch::new("stale");
    let (a, b) = (scratch.id("a"), scratch.id("b"));
    take_name(&scratch.0, "web", &a).unwrap();
    take_name(&scratch.0, "web", &b).unwrap();
    assert_eq!(owner_of(&scratch.0, "web").unwrap(), Some(b));
}

#[test]
fn a_record_that_is_not_whole_is_none() {
    let scratch = Scratch::new("record");
    let home = scratch.home(&scratch.id("a"));
    assert_eq!(home.record().unwrap(), None);
    home.write_new_record(&record(), true).unwrap();
    assert_eq!(home.record().unwrap(), Some(record()));
    let path = home.file(RECORD);
    let whole = std::fs::read(&path).unwrap();
    for length in [0, 1, whole.len() / 2, whole.len() - 1] {
        std::fs::write(&path, &whole[..length]).unwrap();
        assert_eq!(home.record().unwrap(), None, "{length}");
    }
    std::fs::write(&path, [0; 100]).unwrap();
    assert_eq!(home.record().unwrap(), None);
    std::fs::write(&path, "{\"ID\":7}").unwrap();
    assert!(home.record().is_err());
}

#[test]
fn a_container_without_a_monitor_does_not_run() {
    let scratch = Scratch::new("state");
    let home = scratch.home(&scratch.id("a"));
    assert_eq!(home.state().unwrap(), State::default());
    let running = State {
        status: Status::Running,
        pid: 7,
        ..State::default()
    };
    home.write_state(&running, false).unwrap();
    let lock = home.try_lock().unwrap().unwrap();
    assert_eq!(home.state().unwrap(), running);
    assert!(home.try_lock().unwrap().is_none());
    drop(lock);
    let state = home.state().unwrap();
    assert_eq!(
        (state.status, state.exit_code, state.pid),
        (Status::Exited, 137, 0)
    );
    assert_ne!(state.finished_at, crate::record::NEVER);
    std::fs::write(home.file(STATE), "").unwrap();
    assert_eq!(home.state().unwrap().status, Status::Exited);
}
