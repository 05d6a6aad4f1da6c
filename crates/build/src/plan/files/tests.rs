use super::*;

#[test]
fn names_of_fetched_files() {
    for (url, expected) in [
        ("https://host/a/b.txt", "b.txt"),
        ("https://host/a/b.txt?x=/y#z", "b.txt"),
        ("https://host/a/", "a"),
        ("https://host/", UNNAMED),
        ("https://host", UNNAMED),
        ("https://host/a%20b", "a b"),
        ("https://host/..%2fb", "b"),
        ("https://host/%zz", "%zz"),
    ] {
        assert_eq!(file_name(url), expected, "{url}");
    }
}

#[test]
fn repositories() {
    for (source, expected) in [
        ("https://github.com/a/b.git", true),
        ("https://github.com/a/b.git#main:dir", true),
        ("https://github.com/a/b", false),
        ("github.com/a/b", false),
        ("git://host/x", true),
        ("git@github.com:a/b", true),
        ("ssh://git@host/x", true),
        ("a@b", false),
        ("dir/a@b:c", false),
        ("./x.git", false),
    ] {
        assert_eq!(is_git(source), expected, "{source}");
    }
}

#[test]
fn modes() {
    for good in ["755", "0644", "7777", "u+x", "go=", "a=rX,u+w", "+x"] {
        assert!(mode(Some(good)).is_ok(), "{good}");
    }
    for bad in ["8", "10000", "999", "-1", "x", "u", "u+z", "foo"] {
        assert!(mode(Some(bad)).is_err(), "{bad}");
    }
}

#[test]
fn destinations() {
    for (directory, path, expected) in [
        ("/", "a", "/a"),
        ("/app", "a", "/app/a"),
        ("/app", "a/", "/app/a/"),
        ("/app", ".", "/app/"),
        ("/app", "./", "/app/"),
        ("/", ".", "/"),
        ("/app", "/", "/"),
        ("/app", "../x", "/x"),
        ("", "sub/../b//c", "/b/c"),
    ] {
        assert_eq!(destination(directory, path), expected, "{directory} {path}");
    }
}
