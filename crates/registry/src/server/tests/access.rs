use std::time::Duration;

use reqwest::RequestBuilder;
use serde_json::Value;

use super::{Answer, Fixture};
use crate::server::{Access, Bearer, Login, ServerOptions};

fn login() -> Login {
    Login {
        user: "user".to_owned(),
        password: "pass:word".to_owned(),
    }
}

async fn with_access(access: Access) -> Fixture {
    Fixture::start_with(ServerOptions {
        access,
        durable: false,
        stale_before: None,
    })
    .await
}

async fn bearer(anonymous_pull: bool, lifetime: Duration) -> Fixture {
    with_access(Access::Bearer(Bearer {
        login: login(),
        anonymous_pull,
        lifetime,
        external_url: None,
    }))
    .await
}

#[tokio::test]
async fn basic() {
    let registry = with_access(Access::Basic(login())).await;
    let refusal = registry.send("GET", "/v2/").await;
    refusal.refused(401, "UNAUTHORIZED");
    assert_eq!(
        refusal.header("www-authenticate"),
        "Basic realm=\"lapstrake-registry\""
    );
    let wrong = registry
        .request("GET", "/v2/")
        .basic_auth("user", Some("pass"));
    assert_eq!(Answer::of(wrong).await.status, 401);
    let right = registry
        .request("GET", "/v2/")
        .basic_auth("user", Some("pass:word"));
    assert_eq!(Answer::of(right).await.status, 200);
}

async fn token(request: RequestBuilder) -> Value {
    let answer = Answer::of(request).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()
}

#[tokio::test]
async fn tokens_are_where_the_operator_says() {
    for (external_url, expected) in [
        (None, "http://ADDRESS/token"),
        (
            Some("https://registry.example.com"),
            "https://registry.example.com/token",
        ),
        (
            Some("https://example.com:5000/r/"),
            "https://example.com:5000/r/token",
        ),
    ] {
        let registry = with_access(Access::Bearer(Bearer {
            login: login(),
            anonymous_pull: false,
            lifetime: Duration::from_secs(60),
            external_url: external_url.map(str::to_owned),
        }))
        .await;
        let request = registry
            .request("GET", "/v2/")
            .header("x-forwarded-proto", "https")
            .header("x-forwarded-host", "evil.example.com");
        let told = Answer::of(request).await;
        let realm = expected.replace("ADDRESS", &registry.address);
        assert_eq!(
            told.header("www-authenticate"),
            format!("Bearer realm=\"{realm}\",service=\"lapstrake-registry\"")
        );
    }
}

#[tokio::test]
async fn tokens_carry_scopes() {
    let registry = bearer(true, Duration::from_secs(60)).await;
    let address = &registry.address;
    let refusal = registry.send("POST", "/v2/a/blobs/uploads/").await;
    refusal.refused(401, "UNAUTHORIZED");
    assert_eq!(
        refusal.header("www-authenticate"),
        format!(
            "Bearer realm=\"http://{address}/token\",service=\"lapstrake-registry\",\
             scope=\"repository:a:pull,push\""
        )
    );
    let path = "/token?service=lapstrake-registry&scope=repository:a:pull,push";
    let anonymous = token(registry.request("GET", path)).await;
    let push = |token: &Value, name: &str| {
        let path = format!("/v2/{name}/blobs/uploads/");
        registry
            .request("POST", &path)
            .bearer_auth(token["token"].as_str().unwrap())
    };
    let refusal = Answer::of(push(&anonymous, "a")).await;
    assert!(
        refusal
            .header("www-authenticate")
            .ends_with(",error=\"insufficient_scope\"")
    );
    let pull = registry.request("GET", "/v2/a/tags/list");
    let pull = pull.bearer_auth(anonymous["access_token"].as_str().unwrap());
    assert_eq!(Answer::of(pull).await.status, 404);
    let known = registry
        .request("GET", path)
        .basic_auth("user", Some("pass:word"));
    let known = token(known).await;
    assert_eq!(known["expires_in"], 60);
    assert!(known.get("refresh_token").is_none());
    assert_eq!(Answer::of(push(&known, "a")).await.status, 202);
    assert_eq!(Answer::of(push(&known, "b")).await.status, 401);
    let wrong = registry.request("GET", path).basic_auth("user", Some("x"));
    Answer::of(wrong).await.refused(401, "UNAUTHORIZED");
}

#[tokio::test]
async fn refresh_tokens() {
    let registry = bearer(false, Duration::from_secs(60)).await;
    let form = "grant_type=password&username=user&password=pass%3Aword&access_type=offline\
                &service=lapstrake-registry&client_id=t&scope=repository:a:pull";
    let first = token(registry.request("POST", "/token").body(form)).await;
    let refresh = first["refresh_token"].as_str().unwrap();
    let form = format!("grant_type=refresh_token&refresh_token={refresh}&scope=repository:b:pull");
    let second = token(registry.request("POST", "/token").body(form)).await;
    let read = registry.request("GET", "/v2/b/tags/list");
    let read = read.bearer_auth(second["access_token"].as_str().unwrap());
    assert_eq!(Answer::of(read).await.status, 404);
    let offline = registry.request("GET", "/token?offline_token=true");
    let offline = token(offline.basic_auth("user", Some("pass:word"))).await;
    assert!(offline["refresh_token"].is_string());
    for bad in [
        "grant_type=refresh_token&refresh_token=x",
        "grant_type=password&username=user",
    ] {
        let answer = Answer::of(registry.request("POST", "/token").body(bad)).await;
        answer.refused(401, "UNAUTHORIZED");
    }
    assert_eq!(registry.send("GET", "/token").await.status, 401);
    let long = registry.request("POST", "/token").body("x".repeat(100_000));
    assert_eq!(Answer::of(long).await.status, 400);
}

#[tokio::test]
async fn tokens_expire() {
    let registry = bearer(true, Duration::ZERO).await;
    let expired = token(registry.request("GET", "/token")).await;
    let ping = registry
        .request("GET", "/v2/")
        .bearer_auth(expired["token"].as_str().unwrap());
    let refusal = Answer::of(ping).await;
    refusal.refused(401, "UNAUTHORIZED");
    assert!(
        refusal
            .header("www-authenticate")
            .ends_with("error=\"invalid_token\"")
    );
}
