//! The search of an index.

use super::*;

const ANSWER: &str = r#"{"num_results":2,"query":"x","results":[
    {"name":"a","description":"one\ntwo\u001b[31m","star_count":5,"is_official":true,"is_automated":false},
    {"name":"b/c","description":null}]}"#;

async fn found(reply: &'static str) -> Result<Vec<String>, (ErrorKind, String, String)> {
    let fake = Fake::start(move |seen| match seen.target.as_str() {
        "/v1/_ping" => empty(404),
        "/v1/search?q=a%2Fb+c&n=3" => json(200, reply),
        _ => empty(500),
    })
    .await;
    let domain = fake.address.to_string();
    match client().search(&domain, "a/b c", 3).await {
        Ok(results) => Ok(results
            .into_iter()
            .map(|one| format!("{}|{}|{}", one.name, one.description, one.star_count))
            .collect()),
        Err(error) => Err(parts::<()>(Err(error))),
    }
}

#[tokio::test]
async fn answers_are_read_and_tidied() {
    assert_eq!(found(ANSWER).await.unwrap(), ["a|one two [31m|5", "b/c||0"]);
    for empty in ["{}", r#"{"results":null}"#, r#"{"results":[]}"#] {
        assert!(found(empty).await.unwrap().is_empty(), "{empty}");
    }
    let many = r#"{"results":[{"name":"1"},{"name":"2"},{"name":"3"},{"name":"4"}]}"#;
    assert_eq!(found(many).await.unwrap().len(), 3);
}

#[tokio::test]
async fn garbage_is_told() {
    for reply in [
        "",
        "<html>",
        r#"{"results":[7]}"#,
        r#"{"results":[{"name":"a","star_count":"x"}]}"#,
    ] {
        let (kind, message, _) = found(reply).await.unwrap_err();
        assert_eq!(kind, ErrorKind::InvalidContent, "{reply}");
        assert!(
            message.starts_with("error decoding registry search results: "),
            "{message}"
        );
    }
}

#[tokio::test]
async fn an_index_that_sends_too_much_or_nothing() {
    let fake = Fake::start(|_| bytes(&vec![b' '; 10 << 20])).await;
    let result = client().search(&fake.address.to_string(), "x", 25).await;
    let (kind, message, _) = parts(result);
    assert_eq!(
        (kind, message.as_str()),
        (
            ErrorKind::TooLarge,
            "response body is larger than 4194304 bytes"
        )
    );

    let mute = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let impatient = Client::new(Options {
        idle_timeout: Duration::from_millis(100),
        ..options()
    });
    let domain = mute.local_addr().unwrap().to_string();
    let (kind, message, _) = parts(impatient.unwrap().search(&domain, "x", 25).await);
    assert_eq!(kind, ErrorKind::Unavailable);
    assert!(message.contains("timeout awaiting response"), "{message}");
}

#[tokio::test]
async fn nobody_there_and_no_index() {
    let domain = closed_port().await.to_string();
    let (kind, message, _) = parts(client().search(&domain, "x", 25).await);
    assert_eq!(kind, ErrorKind::Unavailable);
    let attempt = |scheme: &str| {
        format!(
            "Get \"{scheme}://{domain}/v1/_ping\": dial tcp {domain}: connect: connection refused"
        )
    };
    assert_eq!(
        message,
        format!(
            "invalid registry endpoint \"http://{domain}/v1/\". HTTPS attempt: {}. HTTP attempt: {}",
            attempt("https"),
            attempt("http")
        )
    );
    let fake = Fake::start(|_| empty(404)).await;
    let (kind, message, hint) = parts(client().search(&fake.address.to_string(), "x", 25).await);
    assert_eq!(
        (kind, message.as_str()),
        (ErrorKind::NotFound, "Unexpected status code 404")
    );
    assert!(hint.contains("search --tags"), "{hint}");
}
