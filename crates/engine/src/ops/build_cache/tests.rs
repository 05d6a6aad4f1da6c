use super::*;

fn filters(given: &[(&str, &str)]) -> Filters {
    let mut all = Filters::default();
    for (name, value) in given {
        let values = all.0.entry((*name).to_owned()).or_default();
        values.push((*value).to_owned());
    }
    all
}

#[test]
fn filters_choose_records() {
    let step = CacheRecord {
        id: "abc".to_owned(),
        description: "[2/4] RUN make".to_owned(),
        kind: STEP,
        created_at: None,
        last_used_at: Timestamp::UNIX_EPOCH,
        size: 1,
        shared: false,
    };
    let cases: [(&[(&str, &str)], bool); 9] = [
        (&[], true),
        (&[("id", "ab")], true),
        (&[("id", "bc")], false),
        (&[("id", "x"), ("id", "a")], true),
        (&[("description", "make"), ("type", "regular")], true),
        (&[("type", "exec.cachemount")], false),
        (&[("private", "")], true),
        (&[("shared", "true")], false),
        (&[("mutable", "false"), ("immutable", "")], true),
    ];
    for (given, expected) in cases {
        assert_eq!(matches(&step, &filters(given)), expected, "{given:?}");
    }
}

#[test]
fn ages_are_lengths_of_time() {
    let now: Timestamp = "2026-01-02T00:00:00Z".parse().unwrap();
    let since =
        |given: &[(&str, &str)]| unused_since(&filters(given), now).map_err(|e| e.to_string());
    assert_eq!(since(&[]), Ok(None));
    let yesterday = "2026-01-01T00:00:00Z".parse().unwrap();
    assert_eq!(since(&[("until", "24h")]), Ok(Some(yesterday)));
    assert_eq!(
        since(&[("until", "1h"), ("unused-for", "24h")]),
        Ok(Some(yesterday))
    );
    assert_eq!(
        since(&[("until", "soon")]),
        Err("invalid duration 'soon' in a filter".to_owned())
    );
    let unknown = check_names(&filters(&[("nope", "1")]), &["until"]).unwrap_err();
    assert_eq!(unknown.to_string(), "invalid filter 'nope'");
}
