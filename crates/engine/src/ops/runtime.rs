//! Which program runs a container: names of OCI runtimes, as daemon.json and docker know them.

use crate::error::{Error, ErrorKind};
use crate::settings::Settings;
use std::path::Path;

/// Names of the built-in runtime: its own, and those that stand for what docker comes with.
const BUILT_IN: [&str; 4] = ["lapstrake", "lap", "runc", "io.containerd.runc.v2"];

/// Where the programs of runtimes are, when daemon.json has no more than a name for one.
const FOLDERS: [&str; 6] = [
    "/usr/local/sbin",
    "/usr/local/bin",
    "/usr/sbin",
    "/usr/bin",
    "/sbin",
    "/bin",
];

/// The program for a name or a path, or for the default when none is given: as a container's record has it, the
/// name of the built-in runtime where that is meant.
pub(super) fn program(settings: &Settings, typed: &str) -> Result<String, Error> {
    let name = match typed {
        "" => settings.runtime.as_deref().unwrap_or_default(),
        typed => typed,
    };
    match settings.runtimes.get(name).map(String::as_str) {
        Some("") => return Ok(String::new()),
        Some(path) => return Ok(found(path, Path::is_file)),
        None => {}
    }
    if name.is_empty() || name.contains('/') || BUILT_IN.contains(&name) {
        return Ok(name.to_owned());
    }
    let text = format!("unknown or invalid runtime name: {name}");
    Err(
        Error::new(ErrorKind::InvalidArgument, text).with_hint(format!(
            "give its path: `--runtime /usr/bin/{name}`; or name it in daemon.json: \
             {{\"runtimes\": {{\"{name}\": {{\"path\": \"/usr/bin/{name}\"}}}}}}"
        )),
    )
}

/// A program with its folder, when it is in one.
fn found(path: &str, is_there: impl Fn(&Path) -> bool) -> String {
    if path.contains('/') {
        return path.to_owned();
    }
    let mut places = FOLDERS.iter().map(|folder| Path::new(folder).join(path));
    let place = places.find(|place| is_there(place));
    // One that is nowhere fails when it is to start, with its name.
    place.map_or_else(
        || format!("/usr/bin/{path}"),
        |place| place.display().to_string(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Inputs;
    use lapstrake_testkit::Directory;

    #[test]
    fn names_of_runtimes_are_those_of_docker_and_of_the_file() {
        let others = r#""runtimes":{"mine":{"path":"/opt/mine"},"typed":{"runtimeType":"io.containerd.runc.v2"}}"#;
        let unknown = |name: &str| Err(format!("unknown or invalid runtime name: {name}"));
        let is = |name: &str| Ok(name.to_owned());
        let cases = [
            ("{}", "", is("")),
            ("{}", "runc", is("runc")),
            ("{}", "io.containerd.runc.v2", is("io.containerd.runc.v2")),
            ("{}", "lapstrake", is("lapstrake")),
            ("{}", "/opt/any", is("/opt/any")),
            ("{}", "mine", unknown("mine")),
            ("{}", "x", unknown("x")),
            (&format!("{{{others}}}"), "", is("")),
            (&format!("{{{others}}}"), "mine", is("/opt/mine")),
            (&format!("{{{others}}}"), "typed", is("")),
            (
                &format!(r#"{{"default-runtime":"mine",{others}}}"#),
                "",
                is("/opt/mine"),
            ),
            (
                &format!(r#"{{"default-runtime":"mine",{others}}}"#),
                "runc",
                is("runc"),
            ),
            (r#"{"default-runtime":"runc"}"#, "", is("runc")),
            (r#"{"default-runtime":"io.containerd.runc.v2"}"#, "", is("")),
            (r#"{"default-runtime":"x"}"#, "", unknown("x")),
            (
                r#"{"default-runtime":"runc","runtimes":{"runc":{"path":"/opt/runc"}}}"#,
                "",
                is("/opt/runc"),
            ),
        ];
        for (file, typed, expected) in cases {
            let folder = Directory::new();
            let inputs = Inputs {
                config_files: vec![folder.write("daemon.json", file)],
                ..Inputs::default()
            };
            let settings = Settings::resolve(inputs).unwrap();
            let found = program(&settings, typed).map_err(|error| error.message().to_owned());
            assert_eq!(found, expected, "{file} {typed}");
        }
    }

    #[test]
    fn a_name_in_the_file_is_looked_for() {
        let only = |there: &'static str| move |path: &Path| path == Path::new(there);
        let cases = [
            ("/opt/runc", "", "/opt/runc"),
            ("runc", "/usr/sbin/runc", "/usr/sbin/runc"),
            ("runc", "", "/usr/bin/runc"),
        ];
        for (path, there, expected) in cases {
            assert_eq!(found(path, only(there)), expected);
        }
    }
}
