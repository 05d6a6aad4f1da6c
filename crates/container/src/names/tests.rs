use super::*;
use std::collections::BTreeSet;

#[test]
fn grammar() {
    for good in ["ab", "a1", "9z", "a_b.c-d", "Web.1", &"x".repeat(255)] {
        assert!(is_valid(good), "{good}");
    }
    for bad in [
        "",
        "a",
        "_a",
        ".a",
        "-a",
        "a b",
        "a/b",
        "a\u{e9}",
        "a\n",
        &"x".repeat(256),
    ] {
        assert!(!is_valid(bad), "{bad}");
    }
    assert_eq!(
        check_name("a b").unwrap_err().to_string(),
        "Invalid container name (a b), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed"
    );
}

#[test]
fn random_names_are_names_and_differ() {
    let names: BTreeSet<String> = (0..50).map(|_| random(0).unwrap()).collect();
    assert!(names.len() > 40);
    for name in names {
        assert!(is_valid(&name), "{name}");
        assert_eq!(name.split('_').count(), 2, "{name}");
    }
    assert!(is_valid(&random(9).unwrap()));
}

#[test]
fn words_are_unique_and_sorted() {
    for words in [&ADJECTIVES, &SURNAMES] {
        assert!(words.is_sorted());
        assert_eq!(words.iter().collect::<BTreeSet<_>>().len(), words.len());
    }
}
