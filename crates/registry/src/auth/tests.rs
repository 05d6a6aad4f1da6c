use super::*;

fn check(header: &str, wanted: &[(&str, &[(&str, &str)])]) {
    let wanted: Vec<Challenge> = wanted
        .iter()
        .map(|(scheme, parameters)| Challenge {
            scheme: (*scheme).to_owned(),
            parameters: parameters
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
        })
        .collect();
    assert_eq!(parse_challenges(header), wanted, "{header}");
}

#[test]
fn challenges_are_read() {
    check("", &[]);
    check("Basic", &[("basic", &[])]);
    check("Basic realm=\"x\"", &[("basic", &[("realm", "x")])]);
    check("basic realm=plain", &[("basic", &[("realm", "plain")])]);
    check(
        "Bearer realm=\"https://auth.example/token\",service=\"registry.example\",scope=\"repository:a/b:pull,push\"",
        &[(
            "bearer",
            &[
                ("realm", "https://auth.example/token"),
                ("scope", "repository:a/b:pull,push"),
                ("service", "registry.example"),
            ],
        )],
    );
    check(
        "Bearer realm = \"a\" , error=\"insufficient_scope\", Basic realm=\"b, c\"",
        &[
            ("bearer", &[("error", "insufficient_scope"), ("realm", "a")]),
            ("basic", &[("realm", "b, c")]),
        ],
    );
    check(
        "Negotiate, Basic realm=\"x\"",
        &[("negotiate", &[]), ("basic", &[("realm", "x")])],
    );
    check(
        r#"Digest realm="a\"b\\c""#,
        &[("digest", &[("realm", "a\"b\\c")])],
    );
}

#[test]
fn broken_challenges_are_survived() {
    check("Bearer realm=\"open", &[("bearer", &[("realm", "open")])]);
    check("=\"x\"", &[("x", &[])]);
    check("realm=\"x\"", &[]);
    check(
        ",,, Basic ,,, realm=\"x\",,",
        &[("basic", &[("realm", "x")])],
    );
    check("Bearer realm=", &[("bearer", &[("realm", "")])]);
    check("Bearer \u{fc}realm=\"x\"", &[("bearer", &[("realm", "x")])]);
    assert!(parse_challenges(&"Basic,".repeat(10_000)).len() <= 32);
    assert!(parse_challenges(&"\"".repeat(10_000)).is_empty());
}

#[test]
fn scopes_of_a_challenge_join_those_wanted() {
    let challenges = parse_challenges("Bearer scope=\"repository:a:pull repository:b:pull\"");
    let challenged: Vec<Scope> = challenges.iter().flat_map(Scope::of_challenge).collect();
    let merged = merge_scopes(&[Scope::push("a")], &challenged);
    let texts: Vec<&str> = merged.iter().map(Scope::as_str).collect();
    assert_eq!(texts, ["repository:a:pull,push", "repository:b:pull"]);
}
