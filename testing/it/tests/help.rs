//! What people read and type: completion in real shells, manual pages in real formatters, topics.

use lapstrake_testkit::{Cli, Directory};
use std::os::unix::fs::symlink;
use std::path::Path;

/// A store with images, and the program under both of its names on the search path.
struct Typist {
    lap: Cli,
    bin: Directory,
}

impl Typist {
    fn new() -> Self {
        let lap = Cli::built();
        for name in [
            "team/app:1",
            "team/app:2",
            "ubuntu:18.04",
            "localhost:5000/x/y:z",
        ] {
            let imported = lap.run_with(&["import", "-", name], &[0; 1024]);
            assert_eq!(imported.code, Some(0), "{imported}");
        }
        let bin = Directory::new();
        let built = std::env::current_exe().unwrap();
        let built = built.parent().and_then(Path::parent).unwrap().join("lap");
        for name in ["lap", "docker"] {
            symlink(&built, bin.join(name)).unwrap();
        }
        Self { lap, bin }
    }

    /// Another program that finds this store and these names.
    fn program(&self, name: &str) -> Cli {
        let path = format!("{}:/usr/local/bin:/usr/bin:/bin", self.bin.path().display());
        Cli::of(format!("/usr/bin/{name}"))
            .variable("PATH", &path)
            .variable("LAPSTRAKE_ROOT", &self.lap.root().display().to_string())
            .variable("TERM", "dumb")
            .variable("LC_ALL", "C.UTF-8")
    }

    /// Types lines into a shell at a terminal; a tab in them completes.
    fn types(&self, shell: &str, lines: &[String]) -> String {
        let input = format!("{}\nexit\n", lines.join("\n"));
        let script = self.program("script");
        let typed = script.run_with(&["-qec", shell, "/dev/null"], input.as_bytes());
        typed.to_string()
    }

    fn id(&self, name: &str) -> String {
        self.lap.ok(&["images", "-q", "--no-trunc", name])
    }
}

/// Lines that complete what stands before the tab, and are then run: each leaves a name behind.
fn lines(program: &str) -> Vec<String> {
    vec![
        format!("{program} ta\tteam/app:1 {program}/command:1"),
        format!("{program} tag ub\t{program}/image:1"),
        format!("{program} image tag team/app:2\t{program}/colon:1"),
        format!("{program} image tag localhost:\t{program}/port:1"),
        format!("{program} images --form\tjson -f reference=loc\t > {program}.json"),
        format!("{program} save --output={program}.tar ub\t"),
        format!("{program} load -i {program}.t\t"),
    ]
}

fn check_typed(typist: &Typist, shell: &str, start: impl Fn(&str) -> String) {
    for program in ["lap", "docker"] {
        let mut typed = vec![start(program)];
        typed.extend(lines(program));
        let seen = typist.types(shell, &typed);
        for (made, from) in [
            ("command", "team/app:1"),
            ("image", "ubuntu:18.04"),
            ("colon", "team/app:2"),
            ("port", "localhost:5000/x/y:z"),
        ] {
            let made = typist.id(&format!("{program}/{made}:1"));
            assert_eq!(made, typist.id(from), "{seen}");
        }
        assert!(seen.contains("Loaded image: ubuntu:18.04"), "{seen}");
    }
}

#[test]
fn bash_completes() {
    check_typed(&Typist::new(), "bash --norc --noprofile -i", |program| {
        format!("source <({program} completion bash)")
    });
}

#[test]
fn zsh_completes() {
    check_typed(&Typist::new(), "zsh -f -i", |program| {
        format!("autoload -U compinit; compinit -D -u; source <({program} completion zsh)")
    });
}

#[test]
fn fish_completes() {
    let typist = Typist::new();
    for program in ["lap", "docker"] {
        let offered = |line: &str| {
            let line = line.replace("lap", program);
            let text = format!("{program} completion fish | source; complete -C '{line}'");
            typist.program("fish").ok(&["--no-config", "-c", &text])
        };
        let cases = [
            (
                "lap impo",
                "import\tImport the contents from a tarball to create a filesystem image\n",
            ),
            ("lap rmi team/", "team/app:1\nteam/app:2\n"),
            ("lap rmi team/app:2", "team/app:2\n"),
            ("lap images --format=js", "--format=json\n"),
            ("lap images --filter dangling=t", "dangling=true\n"),
            (
                "lap images --filter=reference=ub",
                "--filter=reference=ubuntu:18.04\n",
            ),
            ("lap build /et", "/etc/\tDirectory\n"),
            ("lap load -i /etc/passw", "/etc/passwd\n/etc/passwd-\n"),
            ("lap run --network ho", "host\n"),
        ];
        for (line, expected) in cases {
            let seen = offered(line);
            let fits = seen == expected
                || (expected.contains("passwd") && seen.starts_with("/etc/passwd\n"));
            assert!(fits, "{program}: {line}: {seen}");
        }
    }
}

#[test]
fn words_are_offered_from_the_store_that_is_named() {
    let typist = Typist::new();
    let root = typist.lap.root().display().to_string();
    let other = Cli::built();
    let words = ["__complete", "--root", &root, "rmi", "ub"];
    assert_eq!(other.ok(&words), "ubuntu:18.04\n:4\n");
    // Asking makes no store where there is none.
    assert_eq!(other.ok(&["__complete", "rmi", ""]), ":4\n");
    assert!(!other.root().exists());
    let auths =
        r#"{"auths": {"registry.example.com:5000": {"auth": "eDp5"}, "other.example.com": {}}}"#;
    std::fs::create_dir_all(other.config()).unwrap();
    std::fs::write(other.config().join("config.json"), auths).unwrap();
    let offered = other.ok(&["__complete", "logout", "reg"]);
    assert_eq!(offered, "registry.example.com:5000\n:4\n");
    let id = typist.id("ubuntu:18.04");
    let start = &id.trim().trim_start_matches("sha256:")[..4];
    let offered = typist.lap.ok(&["__completeNoDesc", "rmi", start]);
    assert_eq!(offered, format!("{}\n:4\n", &id.trim()[7..19]));
}

#[test]
fn manual_pages_are_clean() {
    let folder = Directory::new();
    let lap = Cli::built();
    let man = folder.path().display().to_string();
    let section = format!("{man}/man1\n");
    assert_eq!(lap.ok(&["man", "--output", &man]), section);
    assert_eq!(lap.ok(&["man", "-o", &man, "--as", "docker"]), section);
    let mut pages: Vec<String> = std::fs::read_dir(section.trim())
        .unwrap()
        .map(|entry| entry.unwrap().path().display().to_string())
        .collect();
    pages.sort();
    for name in ["lap.1", "lap-images.1", "lap-image-ls.1", "docker-images.1"] {
        assert!(
            pages.iter().any(|page| page.ends_with(&format!("/{name}"))),
            "{name}"
        );
    }
    let pages: Vec<&str> = pages.iter().map(String::as_str).collect();
    let lint = Cli::of("/usr/bin/mandoc").run(&[&["-Tlint", "-Wstyle"], &*pages].concat());
    assert_eq!((lint.stdout.as_str(), lint.code), ("", Some(0)), "{lint}");
    for page in pages {
        let groff = Cli::of("/usr/bin/groff").run(&["-ww", "-man", "-Tutf8", "-z", page]);
        assert_eq!((groff.stderr.as_str(), groff.code), ("", Some(0)), "{page}");
    }
    let page =
        Cli::of("/usr/bin/mandoc").run_with(&["-Tascii"], lap.ok(&["man", "images"]).as_bytes());
    assert!(page.stdout.contains("lap images --tree"), "{page}");
    let stderr = lap.fails(1, &["man", "nope"]);
    assert!(
        stderr.starts_with("no manual page for nope\nhint: "),
        "{stderr}"
    );
}

#[test]
fn topics_are_found() {
    let lap = Cli::built();
    let list = lap.ok(&["help"]);
    assert!(
        list.contains("\n  mirrors             Pulling through mirrors"),
        "{list}"
    );
    assert!(
        lap.ok(&["help", "mirrors"])
            .contains("$ lap --registry-mirror ")
    );
    assert_eq!(lap.ok(&["help", "references"]), lap.ok(&["help", "names"]));
    assert!(
        lap.ok(&["help", "images"])
            .starts_with("Usage:  lap images ")
    );
    assert_eq!(
        lap.fails(1, &["help", "mirorrs"]),
        "unknown help topic: mirorrs\nhint: did you mean `lap help mirrors`?\n"
    );
}

/// Flags that docker has and that reach what is made.
#[test]
fn flags_of_docker_are_kept() {
    let lap = Cli::built();
    let imported = lap.run_with(&["import", "-", "app:1"], &[0; 1024]);
    assert_eq!(imported.code, Some(0), "{imported}");
    let flags = "create --name made --expose 80 --expose 8000-8001/udp --health-cmd check \
                 --health-interval 1m --health-retries 3 --blkio-weight 100 --restart no \
                 --mount type=bind,source=/etc,target=/x,readonly --mount type=tmpfs,target=/t \
                 app:1 true";
    let flags: Vec<&str> = flags.split_whitespace().collect();
    let made = lap.run(&flags);
    assert_eq!(
        (made.code, made.stderr.as_str()),
        (
            Some(0),
            "WARNING: health checks are kept with the container's configuration but not run\n"
        ),
        "{made}"
    );
    let format =
        "{{json .Config.ExposedPorts}} {{json .Config.Healthcheck}} {{.HostConfig.BlkioWeight}}";
    assert_eq!(
        lap.ok(&["inspect", "-f", format, "made"]),
        "{\"80/tcp\":{},\"8000/udp\":{},\"8001/udp\":{}} \
         {\"Test\":[\"CMD-SHELL\",\"check\"],\"Interval\":60000000000,\"Retries\":3} 100\n"
    );
    let format = "{{json .HostConfig.Binds}} {{json .HostConfig.Mounts}}";
    assert_eq!(
        lap.ok(&["inspect", "-f", format, "made"]),
        "null [{\"Type\":\"bind\",\"Source\":\"/etc\",\"Target\":\"/x\",\"ReadOnly\":true},\
         {\"Type\":\"tmpfs\",\"Target\":\"/t\"}]\n"
    );
    lap.ok(&[
        "create",
        "--name",
        "none",
        "--no-healthcheck",
        "app:1",
        "true",
    ]);
    let format = "{{json .Config.Healthcheck}}";
    assert_eq!(
        lap.ok(&["inspect", "-f", format, "none"]),
        "{\"Test\":[\"NONE\"]}\n"
    );
    let refused = "does not match the specified platform (linux/s390x)\n";
    for command in [&["history"][..], &["push"], &["image", "inspect"]] {
        let words = [command, &["--platform", "linux/s390x", "app:1"]].concat();
        let stderr = lap.fails(1, &words);
        assert!(stderr.ends_with(refused), "{stderr}");
    }
}
