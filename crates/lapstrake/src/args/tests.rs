use super::*;

const FLAGS: &[Flag] = &[
    Flag::bool("all", "").short('a'),
    Flag::filter("").short('f'),
    Flag::text("format", ""),
    Flag::int("last", "").short('n'),
    Flag::text("message", "").short('m'),
    Flag::bool("quiet", "").short('q'),
    Flag::bool("pause", "").short('p').default("true"),
    Flag::list("env", "").short('e'),
    Flag::new("platform", Kind::Strings, ""),
    Flag::int("time", "").deprecated("use --timeout instead"),
];

fn words(line: &str) -> Vec<String> {
    line.split(' ')
        .filter(|word| !word.is_empty())
        .map(str::to_owned)
        .collect()
}

fn shown(line: &str, interspersed: bool) -> String {
    match parse(FLAGS, &words(line), interspersed) {
        Err(error) => format!("ERROR {}", error.message),
        Ok(parsed) => {
            let values: Vec<String> = parsed
                .values
                .iter()
                .map(|(index, value)| format!("{}={value}", FLAGS[*index].long))
                .collect();
            let help = if parsed.help { " HELP" } else { "" };
            format!(
                "{} | {}{help}",
                values.join(" "),
                parsed.positional.join(" ")
            )
        }
    }
}

#[test]
fn forms_of_flags() {
    let cases = [
        ("", " | "),
        ("a b", " | a b"),
        ("--all x --quiet", "all=true quiet=true | x"),
        ("-aq x", "all=true quiet=true | x"),
        ("-qn5", "quiet=true last=5 | "),
        ("-n 5", "last=5 | "),
        ("-n=5", "last=5 | "),
        ("-n0x10", "last=0x10 | "),
        ("--last=-1", "last=-1 | "),
        ("-m=has -m \"update\"", "message=has message=\"update\" | "),
        ("-m=", "message== | "),
        ("--message= x", "message= | x"),
        ("--message a=b", "message=a=b | "),
        ("--all=false", "all=false | "),
        ("--all=T -a=0", "all=T all=0 | "),
        ("-p=false", "pause=false | "),
        ("-- -a --nope", " | -a --nope"),
        ("x -- -a", " | x -a"),
        ("-", " | -"),
        ("-e A -e B=c", "env=A env=B=c | "),
        ("--help", " |  HELP"),
        ("-h x", " | x HELP"),
        ("--help=false", " | "),
        ("-f a=b -f", "ERROR flag needs an argument: 'f' in -f"),
        ("--nope", "ERROR unknown flag: --nope"),
        ("--nope=x", "ERROR unknown flag: --nope"),
        ("--help --nope", "ERROR unknown flag: --nope"),
        ("-z", "ERROR unknown shorthand flag: 'z' in -z"),
        ("-az", "ERROR unknown shorthand flag: 'z' in -z"),
        (
            "-force",
            "ERROR invalid argument \"orce\" for \"-f, --filter\" flag: bad format of filter (expected name=value)",
        ),
        ("--last", "ERROR flag needs an argument: --last"),
        ("---", "ERROR bad flag syntax: ---"),
        ("--=x", "ERROR bad flag syntax: --=x"),
        (
            "--all=maybe",
            "ERROR invalid argument \"maybe\" for \"-a, --all\" flag: strconv.ParseBool: parsing \"maybe\": invalid syntax",
        ),
        (
            "-n x",
            "ERROR invalid argument \"x\" for \"-n, --last\" flag: strconv.ParseInt: parsing \"x\": invalid syntax",
        ),
        (
            "-n 99999999999999999999",
            "ERROR invalid argument \"99999999999999999999\" for \"-n, --last\" flag: strconv.ParseInt: parsing \"99999999999999999999\": value out of range",
        ),
        (
            "-f dangling",
            "ERROR invalid argument \"dangling\" for \"-f, --filter\" flag: bad format of filter (expected name=value)",
        ),
    ];
    for (line, expected) in cases {
        assert_eq!(shown(line, true), expected, "{line}");
    }
}

#[test]
fn the_first_argument_can_end_the_flags() {
    assert_eq!(
        shown("-a image ls -a --nope", false),
        "all=true | image ls -a --nope"
    );
    assert_eq!(shown("-a -- image -q", false), "all=true | image -q");
}

#[test]
fn notices() {
    let parsed = parse(FLAGS, &words("-h --time 3"), true).unwrap();
    assert_eq!(
        parsed.notices,
        [
            "Flag shorthand -h has been deprecated, use --help",
            "Flag --time has been deprecated, use --timeout instead"
        ]
    );
}

#[test]
fn values() {
    let line = "-f Dangling=true -f label=a=b --platform a,b --platform c --last 0x10 x";
    let matches = Matches::new(FLAGS, parse(FLAGS, &words(line), true).unwrap());
    let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
    assert_eq!(
        matches.filters("filter"),
        [pair("dangling", "true"), pair("label", "a=b")]
    );
    assert_eq!(matches.list("platform"), ["a", "b", "c"]);
    assert_eq!(matches.int("last"), Some(16));
    assert!(matches.is("pause") && !matches.is("all"));
    assert!(matches.changed("last") && !matches.changed("pause"));
    assert_eq!(matches.arg(0), Some("x"));
}

#[test]
fn sizes_and_durations() {
    let sizes = [
        ("64m", Ok(64 << 20)),
        ("1.5g", Ok(3 << 29)),
        ("512", Ok(512)),
        ("1kb", Ok(1024)),
        ("2KiB", Ok(2048)),
        ("x", Err("invalid size: 'x'")),
        ("12q", Err("invalid suffix: 'q'")),
    ];
    for (text, expected) in sizes {
        assert_eq!(parse_bytes(text), expected.map_err(str::to_owned), "{text}");
    }
    let durations = [
        ("42m", Ok(2_520_000_000_000)),
        ("1h30m", Ok(5_400_000_000_000)),
        ("-1.5s", Ok(-1_500_000_000)),
        ("0", Ok(0)),
        ("5", Err("time: missing unit in duration \"5\"")),
        ("5x", Err("time: unknown unit \"x\" in duration \"5x\"")),
        ("", Err("time: invalid duration \"\"")),
    ];
    for (text, expected) in durations {
        assert_eq!(
            parse_duration(text),
            expected.map_err(str::to_owned),
            "{text}"
        );
    }
}

#[test]
fn near_words() {
    let commands = ["images", "image", "inspect", "info", "ps", "push", "pull"];
    assert_eq!(nearest("imagess", commands), Some("images"));
    assert_eq!(nearest("iamges", commands), Some("images"));
    assert_eq!(nearest("psu", commands), Some("ps"));
    assert_eq!(nearest("nope", commands), None);
    assert_eq!(
        typographic_hint(&words("run \u{2013}it ubuntu")),
        Some(
            "the command line holds the typographic character `\u{2013}`; type a plain `-` instead"
                .to_owned()
        )
    );
    assert_eq!(typographic_hint(&words("run -it ubuntu")), None);
}
