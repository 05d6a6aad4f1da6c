use super::*;

fn exposed(word: &str) -> Result<Vec<String>, String> {
    expose(&[word.to_owned()], Span::default())
        .map(|exposed| exposed.ports)
        .map_err(|error| error.to_string())
}

#[test]
fn words_of_expose() {
    for (word, ports) in [
        ("80", vec!["80/tcp"]),
        ("80/UDP", vec!["80/udp"]),
        ("1-3/sctp", vec!["1/sctp", "2/sctp", "3/sctp"]),
        ("8080:80", vec!["80/tcp"]),
        ("127.0.0.1::80", vec!["80/tcp"]),
        ("[::1]:1-2:5-6", vec!["5/tcp", "6/tcp"]),
        ("1-9:80", vec!["80/tcp"]),
    ] {
        assert_eq!(exposed(word).unwrap(), ports, "{word}");
    }
    for (word, error) in [
        ("x", "invalid containerPort: x"),
        ("70000", "invalid containerPort: 70000"),
        ("3-1", "invalid containerPort: 3-1"),
        ("80/foo", "invalid port: \"80/foo\": invalid proto: foo"),
        ("/tcp", "invalid port: \"/tcp\": no port specified"),
        ("x:80", "invalid hostPort: x"),
        ("a.b:1:80", "invalid IP address: a.b"),
        (
            "1-2:1-3",
            "invalid ranges specified for container and host Ports: 1-3 and 1-2",
        ),
    ] {
        assert_eq!(exposed(word).unwrap_err(), error, "{word}");
    }
    let many = vec!["0-65535".to_owned(); 4];
    assert!(expose(&many, Span::default()).is_err());
}

#[test]
fn odd_forms_are_noted() {
    let words = ["80/TCP".to_owned(), "1:2".to_owned()];
    let rules: Vec<_> = expose(&words, Span::default())
        .unwrap()
        .warnings
        .iter()
        .map(|one| one.rule)
        .collect();
    assert_eq!(rules, [Rule::ExposeProtoCasing, Rule::ExposeInvalidFormat]);
}
