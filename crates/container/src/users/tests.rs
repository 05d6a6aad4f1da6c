use super::*;

const PASSWD: &str = "root:x:0:0:root:/root:/bin/bash\n\
    # a comment\n\
    daemon:x:1:1:daemon:/usr/sbin:/usr/sbin/nologin\n\
    broken line\n\
    nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n\
    app:x:1000:1001::/srv/app:/bin/sh\n\
    1234:x:77:78::/odd:/bin/sh\n\
    homeless:x:5:5:::\n";
const GROUP: &str = "root:x:0:\nadm:x:4:root,app\nstaff:x:50:\naudio:x:29:app\napp:x:1001:\n";

fn of(typed: &str) -> std::result::Result<Identity, String> {
    identify(typed, &[], PASSWD, GROUP).map_err(|error| error.to_string())
}

fn identity(uid: u32, gid: u32, groups: &[u32], home: &str) -> Identity {
    Identity {
        uid,
        gid,
        groups: groups.to_vec(),
        home: home.to_owned(),
    }
}

#[test]
fn users_by_name_and_number() {
    for (typed, expected) in [
        ("", identity(0, 0, &[4], "/root")),
        ("root", identity(0, 0, &[4], "/root")),
        ("0", identity(0, 0, &[4], "/root")),
        ("app", identity(1000, 1001, &[4, 29], "/srv/app")),
        ("1000", identity(1000, 1001, &[4, 29], "/srv/app")),
        ("app:staff", identity(1000, 50, &[], "/srv/app")),
        ("app:7777", identity(1000, 7777, &[], "/srv/app")),
        ("4242", identity(4242, 0, &[], "/")),
        ("4242:adm", identity(4242, 4, &[], "/")),
        (":staff", identity(0, 50, &[], "/root")),
        ("1234", identity(77, 78, &[], "/odd")),
        ("homeless", identity(5, 5, &[], "/")),
    ] {
        assert_eq!(of(typed), Ok(expected), "{typed}");
    }
}

#[test]
fn unknown_ones_are_named() {
    for (typed, expected) in [
        (
            "ghost",
            "unable to find user ghost: no matching entries in passwd file",
        ),
        ("-1", "uids and gids must be in range 0-2147483647"),
        ("2147483648", "uids and gids must be in range 0-2147483647"),
        (
            "root:ghosts",
            "unable to find group ghosts: no matching entries in group file",
        ),
        ("root:-5", "uids and gids must be in range 0-2147483647"),
    ] {
        assert_eq!(of(typed), Err(expected.to_owned()), "{typed}");
    }
}

#[test]
fn an_image_without_users_has_root() {
    assert_eq!(identify("", &[], "", "").unwrap(), identity(0, 0, &[], "/"));
    assert!(identify("root", &[], "", "").is_err());
}

#[test]
fn more_groups_are_added_once() {
    let more = ["audio".to_owned(), "4".to_owned(), "99".to_owned()];
    let found = identify("root", &more, PASSWD, GROUP).unwrap();
    assert_eq!(found.groups, [4, 29, 99]);
}
