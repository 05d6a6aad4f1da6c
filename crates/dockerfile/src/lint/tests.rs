use super::*;
use crate::ignore::Matcher;
use crate::{Dockerfile, parse};

fn found(source: &str) -> Vec<String> {
    let file = Dockerfile::interpret(&parse(source.as_bytes()).unwrap()).unwrap();
    let mut all = file.warnings.clone();
    all.extend(check(&file));
    all.extend(check_stages(&file, &|_| true));
    let line =
        |one: &Warning| format!("{}:{} {}", one.span.start.line, one.rule.name(), one.detail);
    all.iter().map(line).collect()
}

#[test]
fn findings() {
    for (source, wanted) in [
        ("FROM a AS b", vec![]),
        (
            "FROM a AS B",
            vec!["1:StageNameCasing Stage name 'B' should be lowercase"],
        ),
        (
            "FROM a as b",
            vec!["1:FromAsCasing 'as' and 'FROM' keywords' casing do not match"],
        ),
        (
            "FROM a\nrun b\nRUN c",
            vec![
                "2:ConsistentInstructionCasing Command 'run' should match the case of the command majority (uppercase)",
            ],
        ),
        (
            "FROM a AS scratch",
            vec![
                "1:ReservedStageName Stage name should not use the same name as reserved stage \"scratch\"",
            ],
        ),
        (
            "FROM a AS b\nFROM a AS b",
            vec!["2:DuplicateStageName Duplicate stage name \"b\", stage names should be unique"],
        ),
        (
            "FROM a\nMAINTAINER m",
            vec![
                "2:MaintainerDeprecated Maintainer instruction is deprecated in favor of using label",
            ],
        ),
        (
            "FROM a\nCMD x\nCMD [\"y\"]",
            vec![
                "2:JSONArgsRecommended JSON arguments recommended for CMD to prevent unintended behavior related to OS signals",
                "2:MultipleInstructionsDisallowed Multiple CMD instructions should not be used in the same stage because only the last one will be used",
            ],
        ),
        ("FROM a AS s\nSHELL [\"x\"]\nFROM s\nCMD y", vec![]),
        (
            "FROM a\nENV k v",
            vec![
                "2:LegacyKeyValueFormat \"ENV key=value\" should be used instead of legacy \"ENV key value\" format",
            ],
        ),
    ] {
        assert_eq!(found(source), wanted, "{source}");
    }
}

#[test]
fn more_findings() {
    for (source, wanted) in [
        (
            "FROM a\nARG API_TOKEN\nENV PUBLIC_KEY=x KEYS=y TOKEN_FILE=z apikey_VERSION=1 TOKENS=2",
            vec![
                "2:SecretsUsedInArgOrEnv Do not use ARG or ENV instructions for sensitive data (ARG \"API_TOKEN\")",
            ],
        ),
        (
            "ARG TAG=1\nFROM a:$TGA",
            vec![
                "2:InvalidDefaultArgInFrom Default value for ARG a:$TGA results in empty or invalid base image name",
                "2:UndefinedArgInFrom FROM argument 'TGA' is not declared (did you mean TAG?)",
            ],
        ),
        (
            "FROM --platform=$TARGETPLATFORM a",
            vec![
                "1:RedundantTargetPlatform Setting platform to predefined $TARGETPLATFORM in FROM is redundant as this is the default behavior",
            ],
        ),
        (
            "FROM --platform=linux/arm64 a",
            vec![
                "1:FromPlatformFlagConstDisallowed FROM --platform flag should not use constant value \"linux/arm64\"",
            ],
        ),
        ("FROM --platform=linux/arm64 a AS build_arm64", vec![]),
        (
            "# check=experimental=all\n\n# wrong words\nFROM a AS b",
            vec![
                "4:InvalidDefinitionDescription Comment for FROM should follow the format: `# b <description>`",
            ],
        ),
        ("# check=skip=all\nFROM a AS B\nMAINTAINER m", vec![]),
        (
            "FROM a\n# check=skip=MaintainerDeprecated\nMAINTAINER m",
            vec![],
        ),
    ] {
        assert_eq!(found(source), wanted, "{source}");
    }
}

#[test]
fn rules_have_pages() {
    assert_eq!(
        Rule::JsonArgsRecommended.url().as_deref(),
        Some("https://docs.docker.com/go/dockerfile/rule/json-args-recommended/")
    );
    assert_eq!(
        Rule::SecretsUsedInArgOrEnv.url().as_deref(),
        Some("https://docs.docker.com/go/dockerfile/rule/secrets-used-in-arg-or-env/")
    );
    assert_eq!(Rule::InvalidBaseImagePlatform.url(), None);
    assert!(Rule::ALL.iter().all(|rule| !rule.description().is_empty()));
}

#[test]
fn options() {
    let options = CheckOptions::parse("skip=A, B;error=true;experimental=all").unwrap();
    assert_eq!(options.skip, ["A", "B"]);
    assert!(options.error && options.experimental_all && !options.skip_all);
    assert!(CheckOptions::parse("").unwrap().wants(Rule::UndefinedVar));
    assert!(
        !CheckOptions::parse("")
            .unwrap()
            .wants(Rule::InvalidDefinitionDescription)
    );
    for (text, error) in [
        ("x", "invalid check option \"x\""),
        ("y=1", "invalid check option \"y\""),
        (
            "error=z",
            "failed to parse check option \"error=z\": strconv.ParseBool: parsing \"z\": invalid syntax",
        ),
    ] {
        assert_eq!(CheckOptions::parse(text).unwrap_err().to_string(), error);
    }
}

#[test]
fn copying_what_is_ignored() {
    let hidden = |patterns: &str, source: &str| {
        let matcher = Matcher::parse(patterns.as_bytes()).unwrap();
        copy_ignored(&matcher, source, false, Span::default()).map(|one| one.detail)
    };
    assert_eq!(
        hidden("a", "./a/b").as_deref(),
        Some("Attempting to Copy file \"a/b\" that is excluded by .dockerignore")
    );
    assert_eq!(hidden("a", "b"), None);
    assert_eq!(hidden("a\n!a/b", "a"), None);
    assert_eq!(hidden("a", "."), None);
    assert!(hidden("*", ".").is_some());
}
