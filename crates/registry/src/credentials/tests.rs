use super::*;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};

/// A folder that goes when dropped.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("lapstrake-credentials-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn with(text: &str) -> Self {
        let folder = Self::new();
        std::fs::write(folder.file(), text).unwrap();
        folder
    }

    fn file(&self) -> PathBuf {
        self.0.join("config.json")
    }

    fn text(&self) -> String {
        std::fs::read_to_string(self.file()).unwrap()
    }

    fn load(&self) -> DockerConfig {
        DockerConfig::load(&self.0).unwrap()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).ok();
    }
}

#[test]
fn servers_have_one_key() {
    let rows = [
        ("docker.io", HUB_KEY),
        ("index.docker.io", HUB_KEY),
        ("https://index.docker.io/v1/", HUB_KEY),
        ("registry-1.docker.io", HUB_KEY),
        ("", HUB_KEY),
        ("host:5000", "host:5000"),
        ("https://host:5000/v2/", "host:5000"),
        ("http://host", "host"),
    ];
    for (server, wanted) in rows {
        assert_eq!(server_key(server), wanted, "{server}");
    }
}

#[test]
fn entries_are_found_under_any_spelling() {
    let folder = Folder::with(
        r#"{"auths": {
            "https://index.docker.io/v1/": {"auth": "aHViOnB3"},
            "https://old.example/v2/": {"auth": "b2xkOnB3"},
            "token.example": {"auth": "dXNlcjo=", "identitytoken": "id"},
            "bearer.example": {"registrytoken": "rt"},
            "plain.example": {"username": "u", "password": "p"},
            "colon.example": {"auth": "dTphOmI="},
            "unpadded.example": {"auth": "dTpwdw"},
            "empty.example": {},
            "junk.example": {"auth": "%%%"}
        }}"#,
    );
    let config = folder.load();
    let get = |server: &str| config.get(server).unwrap();
    let password = |user: &str, password: &str| Some(Credential::password(user, password));
    assert_eq!(get("docker.io"), password("hub", "pw"));
    assert_eq!(get("index.docker.io"), password("hub", "pw"));
    assert_eq!(get("old.example"), password("old", "pw"));
    assert_eq!(get("https://old.example"), password("old", "pw"));
    assert_eq!(
        get("token.example"),
        Some(Credential::identity_token("user", "id"))
    );
    assert_eq!(
        get("bearer.example"),
        Some(Credential::registry_token("rt"))
    );
    assert_eq!(get("plain.example"), password("u", "p"));
    assert_eq!(get("colon.example"), password("u", "a:b"));
    assert_eq!(get("unpadded.example"), password("u", "pw"));
    assert_eq!(get("empty.example"), None);
    assert_eq!(get("junk.example"), None);
    assert_eq!(get("missing.example"), None);
}

#[test]
fn login_writes_what_docker_writes() {
    let folder = Folder::new();
    let kept = folder.load().store(
        "127.0.0.1:5000",
        &Credential::password("testuser", "testpass"),
    );
    assert_eq!(kept.unwrap().unencrypted_file, Some(folder.file()));
    let wanted = "{\n\t\"auths\": {\n\t\t\"127.0.0.1:5000\": {\n\t\t\t\"auth\": \"dGVzdHVzZXI6dGVzdHBhc3M=\"\n\t\t}\n\t}\n}";
    assert_eq!(folder.text(), wanted);
    let mode = std::fs::metadata(folder.file())
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    folder.load().erase("127.0.0.1:5000").unwrap();
    assert_eq!(folder.text(), "{\n\t\"auths\": {}\n}");
    folder.load().erase("127.0.0.1:5000").unwrap();
    let left: Vec<_> = std::fs::read_dir(&folder.0).unwrap().flatten().collect();
    assert_eq!(left.len(), 1, "no temporary file stays");
}

#[test]
fn what_is_not_ours_stays() {
    let folder = Folder::with(
        r#"{"psFormat":"x","auths":{"b.example":{"auth":"dTpw","email":"e"}},"aliases":{"z":"1","a":["2",3,null]}}"#,
    );
    folder
        .load()
        .store("a.example", &Credential::identity_token("me", "tok"))
        .unwrap();
    let text = folder.text();
    let wanted = "{\n\t\"psFormat\": \"x\",\n\t\"auths\": {\n\t\t\"a.example\": {\n\t\t\t\"auth\": \"bWU6\",\n\t\t\t\"identitytoken\": \"tok\"\n\t\t},\n\t\t\"b.example\": {\n\t\t\t\"auth\": \"dTpw\",\n\t\t\t\"email\": \"e\"\n\t\t}\n\t},\n\t\"aliases\": {\n\t\t\"z\": \"1\",\n\t\t\"a\": [\n\t\t\t\"2\",\n\t\t\t3,\n\t\t\tnull\n\t\t]\n\t}\n}";
    assert_eq!(text, wanted);
}

#[test]
fn a_link_stays_a_link() {
    let folder = Folder::new();
    let target = folder.0.join("real.json");
    std::fs::write(&target, "{}").unwrap();
    std::os::unix::fs::symlink("real.json", folder.file()).unwrap();
    folder
        .load()
        .store("a.example", &Credential::password("u", "p"))
        .unwrap();
    assert!(
        std::fs::symlink_metadata(folder.file())
            .unwrap()
            .is_symlink()
    );
    assert!(
        std::fs::read_to_string(target)
            .unwrap()
            .contains("a.example")
    );
}

#[test]
fn broken_files_are_reported() {
    let folder = Folder::with("{");
    let error = DockerConfig::load(&folder.0).unwrap_err().to_string();
    assert!(error.starts_with("Error loading config file: "), "{error}");
    assert!(Folder::with("  \n").load().get("a").unwrap().is_none());
    assert!(
        DockerConfig::load(Path::new("/nonexistent"))
            .unwrap()
            .get("a")
            .unwrap()
            .is_none()
    );
}

#[test]
fn helpers_are_chosen() {
    let folder = Folder::with(
        r#"{"credsStore":"all","credHelpers":{"one.example":"one","https://index.docker.io/v1/":"hub"}}"#,
    );
    let config = folder.load();
    assert_eq!(config.helper("one.example"), Some("one"));
    assert_eq!(config.helper("docker.io"), Some("hub"));
    assert_eq!(config.helper("other.example"), Some("all"));
    assert_eq!(Folder::with("{}").load().helper("other.example"), None);
    let error = config.get("one.example").unwrap_err().to_string();
    let wanted = "error getting credentials - err: exec: \"docker-credential-one\": executable file \
                  not found in $PATH, out: ``";
    assert_eq!(error, wanted);
}

/// A helper program that keeps one secret in a file beside it.
const HELPER: &str = r#"#!/bin/sh
cd "$(dirname "$0")"
echo "$1" >> calls
case "$1" in
  store) cat > secret ;;
  get)
    read -r server
    if [ -f secret ]; then cat secret; else
      echo "credentials not found in native keychain"; exit 1
    fi ;;
  erase) cat > erased; rm -f secret ;;
esac
"#;

/// Puts the program under a name that is a path, as the search path of a test must stay alone.
#[test]
fn the_helper_protocol_is_spoken() {
    let folder = Folder::new();
    let program = folder.0.join("docker-credential-test");
    std::fs::write(&program, HELPER).unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    let program = program.to_str().unwrap();
    let get = || helper::get_from(program, "a.example");
    assert_eq!(get().unwrap(), None);
    let credential = Credential::password("u", "p\"w");
    helper::store_in(program, "a.example", &credential).unwrap();
    assert_eq!(get().unwrap(), Some(credential));
    helper::store_in(
        program,
        "a.example",
        &Credential::identity_token("u", "tok"),
    )
    .unwrap();
    assert_eq!(get().unwrap(), Some(Credential::identity_token("", "tok")));
    helper::erase_in(program, "a.example").unwrap();
    assert_eq!(get().unwrap(), None);
    let erased = std::fs::read_to_string(folder.0.join("erased")).unwrap();
    assert_eq!(erased, "a.example");
}
