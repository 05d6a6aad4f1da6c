use super::*;
use crate::instruction::{Argument, CommandLine, InlineFile, RunNetwork, RunSecurity, Source};
use crate::{Instruction, Position, parse};

fn file(source: &str) -> Result<Dockerfile, ParseError> {
    Dockerfile::interpret(&parse(source.as_bytes())?)
}

fn command(line: &str) -> Instruction {
    let mut file = file(&format!("FROM a\n{line}")).unwrap();
    file.stages[0].commands.remove(0).instruction
}

fn error(line: &str) -> String {
    file(&format!("FROM a\n{line}")).unwrap_err().to_string()
}

fn texts(list: &[&str]) -> Vec<String> {
    list.iter().map(|&text| text.to_owned()).collect()
}

#[test]
fn stages() {
    let file = file(
        "ARG A=1\nARG B\n# Build compiles\nFROM --platform=$P x:${A} AS Build\nRUN y\nfrom Build\n",
    )
    .unwrap();
    assert_eq!(file.global_args.len(), 2);
    let [build, last] = file.stages.as_slice() else {
        panic!("two stages");
    };
    assert_eq!(build.name.as_deref(), Some("build"));
    assert_eq!(
        (build.base.as_str(), build.platform.as_deref()),
        ("x:${A}", Some("$P"))
    );
    assert_eq!(
        (build.text.as_str(), build.commands.len()),
        ("FROM --platform=$P x:${A} AS Build", 1)
    );
    assert_eq!(
        (last.base.as_str(), last.keyword.as_str()),
        ("Build", "from")
    );
    assert_eq!(build.comments, ["Build compiles"]);
}

#[test]
fn commands() {
    let line = |arguments: &[&str], shell| CommandLine {
        arguments: texts(arguments),
        shell,
    };
    assert_eq!(command("CMD a  b"), Instruction::Cmd(line(&["a  b"], true)));
    assert_eq!(
        command("CMD [\"a\", \"b\"]"),
        Instruction::Cmd(line(&["a", "b"], false))
    );
    assert_eq!(command("CMD"), Instruction::Cmd(line(&[], true)));
    assert_eq!(
        command("ENTRYPOINT []"),
        Instruction::Entrypoint(line(&[], false))
    );
    assert_eq!(
        command("EXPOSE 80 443/udp 22"),
        Instruction::Expose(texts(&["22", "443/udp", "80"]))
    );
    assert_eq!(
        command("VOLUME a [b"),
        Instruction::Volume(texts(&["a", "[b"]))
    );
    assert_eq!(command("SHELL [\"x\"]"), Instruction::Shell(texts(&["x"])));
    assert_eq!(
        command("STOPSIGNAL 9"),
        Instruction::Stopsignal("9".to_owned())
    );
    assert_eq!(
        command("WORKDIR /a b"),
        Instruction::Workdir("/a b".to_owned())
    );
    let argument = |key: &str, value: Option<&str>| Argument {
        key: key.to_owned(),
        value: value.map(str::to_owned),
        doc: None,
    };
    assert_eq!(
        command("ARG a b= c=d"),
        Instruction::Arg(vec![
            argument("a", None),
            argument("b", Some("")),
            argument("c", Some("d"))
        ])
    );
    assert_eq!(
        command("ONBUILD COPY <<A /x\nhi\nA"),
        Instruction::Onbuild("COPY <<A /x\nhi\nA".to_owned())
    );
}

#[test]
fn run_and_its_flags() {
    let Instruction::Run(run) = command(
        "RUN --network=host --security=insecure --mount=type=tmpfs,target=/a --mount=target=/b --device=v/c=d,required <<E sh\nx\nE",
    ) else {
        panic!("a run");
    };
    assert_eq!(
        (run.network, run.security),
        (RunNetwork::Host, RunSecurity::Insecure)
    );
    let mounts: Vec<_> = run
        .mounts
        .iter()
        .map(crate::instruction::MountText::as_str)
        .collect();
    assert_eq!(mounts, ["type=tmpfs,target=/a", "target=/b"]);
    assert_eq!(
        (run.devices[0].name.as_str(), run.devices[0].required),
        ("v/c=d", true)
    );
    assert_eq!(
        (run.line.arguments, run.heredocs.len()),
        (texts(&["<<E sh"]), 1)
    );
}

#[test]
fn copy_and_add() {
    let Instruction::Copy(copy) = command(
        "COPY --from=b --chown=1:2 --chmod=700 --link --parents --exclude=x --exclude=y a <<-F b /d\n\tz\nF",
    ) else {
        panic!("a copy");
    };
    assert_eq!(
        (copy.from.as_deref(), copy.chown.as_deref()),
        (Some("b"), Some("1:2"))
    );
    assert!(copy.link && copy.parents);
    assert_eq!(copy.exclude, ["x", "y"]);
    let content = InlineFile {
        name: "F".to_owned(),
        content: "z\n".to_owned(),
        expand: true,
    };
    assert_eq!(
        copy.sources,
        [
            Source::Path("a".to_owned()),
            Source::Path("b".to_owned()),
            Source::Heredoc(content)
        ]
    );
    let Instruction::Add(add) =
        command("ADD --checksum=sha256:0 --keep-git-dir=false --unpack [\"a b\", \"/d\"]")
    else {
        panic!("an add");
    };
    assert_eq!(
        (add.keep_git_dir, add.unpack, add.link),
        (Some(false), Some(true), false)
    );
    assert_eq!(
        (add.sources, add.destination.as_str()),
        (vec![Source::Path("a b".to_owned())], "/d")
    );
}

#[test]
fn healthchecks() {
    let Instruction::Healthcheck(check) =
        command("HEALTHCHECK --interval=1m --start-interval=2s --retries=3 cmd a b")
    else {
        panic!("a check");
    };
    assert_eq!(check.test, ["CMD-SHELL", "a b"]);
    assert_eq!(
        (check.interval, check.start_interval, check.retries),
        (60_000_000_000, 2_000_000_000, 3)
    );
    let Instruction::Healthcheck(none) = command("HEALTHCHECK none") else {
        panic!("a check");
    };
    assert_eq!(none.test, ["NONE"]);
}

#[test]
fn errors_in_dockers_words() {
    for (line, text) in [
        ("FOO bar", "unknown instruction: FOO (did you mean FROM?)"),
        ("runn x", "unknown instruction: runn (did you mean run?)"),
        ("从x", "unknown instruction: 从x"),
        (
            "COPY a",
            "COPY requires at least two arguments, but only one was provided. Destination could not be determined",
        ),
        (
            "COPY --form=x a b",
            "unknown flag: --form (did you mean from?)",
        ),
        (
            "COPY --link=x a b",
            "expecting boolean value for flag --link, not: x",
        ),
        ("COPY --link= a b", "missing a value on flag: --link"),
        ("COPY --from a b", "missing a value on flag: --from"),
        (
            "COPY --from=a --from=b c d",
            "duplicate flag specified: --from",
        ),
        (
            "COPY a <<E\nE",
            "COPY cannot accept a heredoc as a destination",
        ),
        ("ADD --parents a b", "unknown flag: --parents"),
        ("RUN --network=x y", "invalid network mode \"x\""),
        ("RUN --security=x y", "security \"x\" is not valid"),
    ] {
        assert_eq!(
            error(line),
            format!("dockerfile parse error on line 2: {text}"),
            "{line}"
        );
    }
}

#[test]
fn more_errors_in_dockers_words() {
    for (line, text) in [
        ("FROM", "FROM requires either one or three arguments"),
        ("FROM a b c", "FROM requires either one or three arguments"),
        (
            "FROM a AS 1x",
            "invalid name for build stage: \"1x\", name can't start with a number or contain symbols",
        ),
        ("WORKDIR", "WORKDIR requires exactly one argument"),
        ("ENV", "ENV requires at least one argument"),
        ("ENV =a", "ENV names can not be blank"),
        ("ARG =a", "ARG names can not be blank"),
        (
            "VOLUME [\"\"]",
            "VOLUME specified can not be an empty string",
        ),
        ("SHELL x", "SHELL requires the arguments to be in JSON form"),
        ("ONBUILD", "ONBUILD requires at least one argument"),
        (
            "ONBUILD onbuild RUN x",
            "Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed",
        ),
        ("ONBUILD from x", "FROM isn't allowed as an ONBUILD trigger"),
        (
            "HEALTHCHECK x",
            "Unknown type \"X\" in HEALTHCHECK (try CMD)",
        ),
        ("HEALTHCHECK CMD", "Missing command after HEALTHCHECK CMD"),
        ("HEALTHCHECK NONE x", "HEALTHCHECK NONE takes no arguments"),
        (
            "HEALTHCHECK --retries=-1 CMD x",
            "--retries cannot be negative (-1)",
        ),
        (
            "HEALTHCHECK --retries=x CMD x",
            "strconv.ParseInt: parsing \"x\": invalid syntax",
        ),
        (
            "HEALTHCHECK --timeout=1ns CMD x",
            "Interval \"timeout\" cannot be less than 1ms",
        ),
    ] {
        assert_eq!(
            error(line),
            format!("dockerfile parse error on line 2: {text}"),
            "{line}"
        );
    }
    assert_eq!(
        file("RUN x").unwrap_err().to_string(),
        "no build stage in current context"
    );
    assert_eq!(
        file("# check=x\nFROM a").unwrap_err().to_string(),
        "invalid check option \"x\""
    );
}

#[test]
fn flags_that_no_instruction_has() {
    for (line, known) in [
        ("FROM --nope=1 a", true),
        ("ADD --nope=1 a b", true),
        ("CMD --nope=1 a", true),
        ("COPY --nope=1 a b", true),
        ("ENTRYPOINT --nope=1 a", true),
        ("ENV --nope=1 a=b", true),
        ("EXPOSE --nope=1 1", true),
        ("HEALTHCHECK --nope=1 CMD a", true),
        ("LABEL --nope=1 a=b", true),
        ("MAINTAINER --nope=1 a", true),
        ("ONBUILD --nope=1 RUN a", true),
        ("RUN --nope=1 a", true),
        ("SHELL --nope=1 [\"a\"]", true),
        ("USER --nope=1 a", true),
        ("VOLUME --nope=1 a", true),
        ("WORKDIR --nope=1 a", true),
        // Docker does not look.
        ("ARG --nope=1 a", false),
        ("STOPSIGNAL --nope=1 9", false),
        ("HEALTHCHECK --nope=1 NONE", false),
    ] {
        let found = file(&format!("FROM x\n{line}")).err();
        let expected = known.then(|| {
            let column = line.find("--").unwrap() + 1;
            let text = "dockerfile parse error on line 2: unknown flag: --nope".to_owned();
            (text, Some(Position { line: 2, column }))
        });
        let found = found.map(|error| (error.to_string(), error.position()));
        assert_eq!(found, expected, "{line}");
    }
}

#[test]
fn errors_of_the_classic_builder() {
    let error = file("FROM a\nFoo bar").unwrap_err();
    assert_eq!(
        error.classic(),
        "dockerfile parse error line 2: unknown instruction: FOO"
    );
    assert_eq!(
        file("RUN x").unwrap_err().classic(),
        "no build stage in current context"
    );
}

#[test]
fn errors_show_their_lines() {
    let source = "FROM a\nRUN x\nCOPY \\\n  --bad=1 \\\n  y z\nRUN q\n";
    let error = file(source).unwrap_err();
    assert_eq!(error.position(), Some(Position { line: 4, column: 3 }));
    assert_eq!(error.suggestion(), None);
    let block = "\
Dockerfile:4:3
--------------------
   2 |     RUN x
   3 | >>> COPY \\
   4 | >>>   --bad=1 \\
     |       ^
   5 | >>>   y z
   6 |     RUN q
--------------------
";
    assert_eq!(
        error.excerpt("Dockerfile", source.as_bytes()).as_deref(),
        Some(block)
    );
    let single = file("FROM a\nFOO\n").unwrap_err();
    let block = "Dockerfile:2:1\n--------------------\n   1 |     FROM a\n   2 | >>> FOO\n     |     ^\n   3 |     \n--------------------\n";
    assert_eq!(
        single.excerpt("Dockerfile", b"FROM a\nFOO\n").as_deref(),
        Some(block)
    );
}

#[test]
fn comments_describe() {
    let file = file("# A the first\nARG A B\n# s does it\nFROM a AS s").unwrap();
    let Instruction::Arg(arguments) = &file.global_args[0].instruction else {
        panic!("arguments");
    };
    assert_eq!(
        (arguments[0].doc.as_deref(), arguments[1].doc.as_deref()),
        (Some("the first"), None)
    );
    assert_eq!(file.stages[0].doc.as_deref(), Some("does it"));
}

#[test]
fn triggers() {
    assert_eq!(parse_trigger("RUN x").unwrap().text, "RUN x");
    assert!(parse_trigger("COPY <<E /f\nx\nE").is_ok());
    assert_eq!(
        parse_trigger("RUN x\nRUN y").unwrap_err().to_string(),
        "onbuild trigger should be a single expression"
    );
    assert!(parse_trigger("FROM x").is_err());
}
