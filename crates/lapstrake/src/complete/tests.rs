use super::*;
use lapstrake_testkit::Directory;

/// What is offered for a line without a store; the line ends where the cursor is.
fn offered(line: &str) -> String {
    let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
    let sources = Sources {
        globals: &crate::cli::GLOBALS,
        engine: &|_| None,
        servers: &|before| {
            before
                .iter()
                .cloned()
                .chain(["a.example.com".to_owned()])
                .collect()
        },
        variables: &|| vec!["HOME".to_owned(), "HTTP_PROXY".to_owned()],
        topics: &["layers"],
    };
    let offer = complete(&words, &sources);
    let words: Vec<&str> = offer
        .candidates
        .iter()
        .map(|candidate| candidate.word.as_str())
        .collect();
    format!("{} :{}", words.join(" "), offer.directive)
}

#[test]
fn words_of_the_table() {
    let cases = [
        ("ima", "image images :4"),
        ("buildx --builder def", "default :4"),
        ("buildx --builder default bui", "build :4"),
        ("nonsense", " :4"),
        (
            "image ",
            "build history import inspect load ls prune pull push rm save tag :4",
        ),
        ("image p", "prune pull push :4"),
        ("image nonsense ", " :4"),
        ("help lay", "layers :4"),
        ("help image l", "load ls :4"),
        ("help images ", " :4"),
        ("-D --config x ima", "image images :4"),
        ("--log-level d", "debug :4"),
        ("--log-level=w", "warn :4"),
        ("-l er", "error :4"),
        ("--roo", "--root :4"),
        ("--root ", " :16"),
        ("images --no", "--no-trunc :4"),
        (
            "images -",
            "--all --digests --filter --format --help --no-trunc --quiet --tree -a -f -q :4",
        ),
        ("images -aq -f dang", "dangling= :6"),
        ("images -f dangling=", "dangling=false dangling=true :4"),
        ("image list --filter=dangling=t", "dangling=true :4"),
        ("images --format ", "json table :4"),
        ("inspect --type ", "container image volume :4"),
        ("inspect --format ", "json :4"),
        (
            "ps -af status=r",
            "status=removing status=restarting status=running :4",
        ),
        ("ps --all=", "false true :4"),
        ("run --pull ", "always missing never :4"),
        ("create --pull m", "missing :4"),
        ("run --network h", "host :4"),
        ("run -e HT", "HTTP_PROXY :6"),
        (
            "run -it --cap-add NET_B",
            "NET_BIND_SERVICE NET_BROADCAST :4",
        ),
        ("run --env-file ", " :0"),
        ("run ubuntu ls -", " :4"),
        ("run -- -", " :4"),
        ("build ", " :16"),
        ("build -f ", " :0"),
        ("build --progress p", "plain :4"),
        ("build . ", " :4"),
        ("build --call=", "check outline targets :4"),
        (
            "pull --platform linux/arm",
            "linux/arm/v6 linux/arm/v7 linux/arm64 :4",
        ),
        ("import ", " :0"),
        ("save -o ", " :0"),
        ("load --input ", " :0"),
        ("copy ", " :0"),
        ("kill -s SIGK", "SIGKILL :4"),
        ("completion ", "bash fish zsh :4"),
        ("volume prune --filter ", "label= label!= :6"),
        ("tag a b ", " :4"),
    ];
    for (line, expected) in cases {
        assert_eq!(offered(line), expected, "{line}");
    }
}

#[test]
fn registries_are_those_with_credentials() {
    for (line, expected) in [
        ("logout ", "a.example.com :4"),
        ("--config a logout a", "a a.example.com :4"),
        ("login a.", "a.example.com :4"),
        ("login a ", " :4"),
    ] {
        assert_eq!(offered(line), expected, "{line}");
    }
}

#[test]
fn stages_are_those_of_the_dockerfile() {
    let folder = Directory::new();
    let text = "FROM a AS base\nFROM base AS test\nFROM base\nFROM base AS tidy\n";
    folder.write("Dockerfile", text);
    folder.write("other", "FROM x AS y\n");
    folder.write("wrong", "RUN x\n");
    let at = |name: &str| folder.join(name).display().to_string();
    let context = folder.path().display();
    for (line, expected) in [
        (format!("build {context} --target "), "base test tidy :4"),
        (format!("buildx build {context} --target=t"), "test tidy :4"),
        (format!("build -f {} --target ", at("other")), "y :4"),
        (
            format!("image build --file={} . --target ", at("other")),
            "y :4",
        ),
        (format!("build -f {} --target ", at("wrong")), " :4"),
        (format!("build -f {} --target ", at("nothing")), " :4"),
        ("build -f /dev/zero --target ".to_owned(), " :4"),
        (
            "build https://example.com/x.git --target ".to_owned(),
            " :4",
        ),
    ] {
        assert_eq!(offered(&line), expected, "{line}");
    }
}

#[test]
fn descriptions_are_single_lines() {
    let sources = Sources {
        globals: &[],
        engine: &|_| None,
        servers: &|_| Vec::new(),
        variables: &Vec::new,
        topics: &[],
    };
    let words = ["images".to_owned(), "--fo".to_owned()];
    let offer = complete(&words, &sources);
    assert_eq!(
        offer.text(true),
        "--format\tFormat output using a custom template:\n:4\n"
    );
    assert_eq!(offer.text(false), "--format\n:4\n");
}

#[test]
fn scripts_name_the_program() {
    for shell in ["bash", "fish", "zsh"] {
        let text = script(shell, "my-lap", true).unwrap();
        assert!(
            text.contains("my_lap") && !text.contains("@P") && !text.contains("@I"),
            "{text}"
        );
    }
    assert_eq!(script("tcsh", "lap", true), None);
}
