//! Basic, Bearer, identity tokens, and who must not see any of it.

use super::*;
use lapstrake_image::ContentSource;
use std::sync::atomic::{AtomicU32, Ordering};

fn challenge(value: &str) -> Response<Body> {
    let body =
        r#"{"errors":[{"code":"UNAUTHORIZED","message":"authentication required","detail":null}]}"#;
    answer(401)
        .header("www-authenticate", value)
        .header("content-type", "application/json")
        .body(Body::from(body))
        .unwrap()
}

fn basic_registry(seen: &Seen) -> Response<Body> {
    // testuser:testpass
    match seen.header("authorization") {
        "Basic dGVzdHVzZXI6dGVzdHBhc3M=" => manifest_answer(MANIFEST),
        _ => challenge("Basic realm=\"x\""),
    }
}

fn testuser() -> Credential {
    Credential::password("testuser", "testpass")
}

#[tokio::test]
async fn basic() {
    let fake = Fake::start(|seen| basic_registry(&seen)).await;
    let name = fake.name("a/b:latest");
    let desc = client_of(testuser())
        .source(&name)
        .resolve(&name)
        .await
        .unwrap();
    assert_eq!(desc, manifest_desc(MANIFEST));
    assert_eq!(
        fake.lines(),
        ["HEAD /v2/a/b/manifests/latest"],
        "the probe brought the challenge"
    );
}

#[tokio::test]
async fn basic_without_or_with_wrong_credentials() {
    let fake = Fake::start(|seen| basic_registry(&seen)).await;
    let name = fake.name("a/b:latest");
    let (kind, message, hint) = parts(client().source(&name).resolve(&name).await);
    assert_eq!(kind, ErrorKind::Unauthorized);
    let address = fake.address;
    let wanted =
        format!("Head \"http://{address}/v2/a/b/manifests/latest\": no basic auth credentials");
    assert_eq!(message, wanted);
    assert_eq!(
        hint,
        format!("check the name, or log in with `lap login {address}`")
    );
    let wrong = client_of(Credential::password("u", "p"));
    let (kind, message, _) = parts(wrong.source(&name).resolve(&name).await);
    assert_eq!(
        (kind, message.as_str()),
        (ErrorKind::Unauthorized, "unauthorized")
    );
}

/// A registry with a token server; `expires_in` and the tokens that are still good decide.
async fn bearer_registry(answers: impl Fn(u32) -> String + Send + Sync + 'static) -> Fake {
    let issued = AtomicU32::new(0);
    Fake::start(move |seen| {
        if seen.target.starts_with("/token") {
            let is_user = seen.header("authorization") == "Basic dGVzdHVzZXI6dGVzdHBhc3M=";
            if !is_user && !seen.target.contains("anyone") && seen.body.is_empty() {
                return api_error(401, "UNAUTHORIZED", "incorrect username or password");
            }
            return json(200, &answers(issued.fetch_add(1, Ordering::Relaxed)));
        }
        if seen.header("authorization") == "Bearer good" {
            return manifest_answer(MANIFEST);
        }
        let host = seen.header("host").to_owned();
        challenge(&format!(
            "Bearer realm=\"http://{host}/token\",service=\"{host}\""
        ))
    })
    .await
}

#[tokio::test]
async fn bearer_shares_one_token() {
    let fake = bearer_registry(|_| r#"{"token":"good"}"#.to_owned()).await;
    let name = fake.name("a/b:latest");
    let source = client_of(testuser()).source(&name);
    let desc = source.resolve(&name).await.unwrap();
    source.manifest(&desc).await.unwrap();
    source.manifest(&desc).await.unwrap();
    let host = fake.address.to_string().replace(':', "%3A");
    let digest = desc.digest;
    let wanted = [
        format!(
            "GET /token?service={host}&scope=repository%3Aa%2Fb%3Apull&client_id=lapstrake&account=testuser"
        ),
        "HEAD /v2/a/b/manifests/latest".to_owned(),
        format!("GET /v2/a/b/manifests/{digest}"),
        format!("GET /v2/a/b/manifests/{digest}"),
    ];
    assert_eq!(fake.lines(), wanted);
}

#[tokio::test]
async fn bearer_without_login() {
    let fake = bearer_registry(|_| r#"{"token":"good"}"#.to_owned()).await;
    let name = fake.name("a/b:latest");
    let (kind, message, _) = parts(client().source(&name).resolve(&name).await);
    let address = fake.address;
    let wanted = format!(
        "Head \"http://{address}/v2/a/b/manifests/latest\": unauthorized: incorrect username or password"
    );
    assert_eq!((kind, message), (ErrorKind::Unauthorized, wanted));
}

#[tokio::test]
async fn a_token_that_is_not_good_any_more_is_renewed_once() {
    let tokens = |count| match count {
        0 => r#"{"access_token":"stale","expires_in":900}"#.to_owned(),
        _ => r#"{"access_token":"good","expires_in":900}"#.to_owned(),
    };
    let fake = bearer_registry(tokens).await;
    let name = fake.name("a/b:latest");
    client_of(testuser())
        .source(&name)
        .resolve(&name)
        .await
        .unwrap();
    let heads = fake
        .lines()
        .iter()
        .filter(|line| line.starts_with("HEAD"))
        .count();
    assert_eq!(heads, 2);
    let never = bearer_registry(|_| r#"{"token":"bad"}"#.to_owned()).await;
    let name = never.name("a/b:latest");
    let (kind, ..) = parts(client_of(testuser()).source(&name).resolve(&name).await);
    assert_eq!(kind, ErrorKind::Unauthorized);
    assert!(never.lines().len() <= 7, "{:?}", never.lines());
}

#[tokio::test]
async fn an_identity_token_is_posted() {
    let fake = bearer_registry(|_| r#"{"access_token":"good"}"#.to_owned()).await;
    let name = fake.name("a/b:latest");
    let client = client_of(Credential::identity_token("u", "secret id"));
    client.source(&name).resolve(&name).await.unwrap();
    let seen = fake.seen();
    assert!(seen[0].is(&Method::POST, "/token"), "{seen:?}");
    let body = String::from_utf8(seen[0].body.to_vec()).unwrap();
    let host = fake.address.to_string().replace(':', "%3A");
    let wanted = format!(
        "grant_type=refresh_token&service={host}&client_id=lapstrake&scope=repository%3Aa%2Fb%3Apull&refresh_token=secret+id"
    );
    assert_eq!(body, wanted);
}

#[tokio::test]
async fn a_registry_token_is_shown_as_it_is() {
    let fake = bearer_registry(|_| String::new()).await;
    let name = fake.name("a/b:latest");
    let client = client_of(Credential::registry_token("good"));
    client.source(&name).resolve(&name).await.unwrap();
    assert_eq!(fake.lines(), ["HEAD /v2/a/b/manifests/latest"]);
}

#[tokio::test]
async fn a_redirect_leaves_credentials_behind() {
    let content = b"the layer";
    let elsewhere = Fake::start(|_| bytes(b"the layer")).await;
    let target = format!("http://{}/data?signed=1", elsewhere.address);
    let fake = Fake::start(move |seen| {
        if seen.header("authorization").is_empty() {
            return challenge("Basic realm=\"x\"");
        }
        answer(307)
            .header("location", &target)
            .body(Body::empty())
            .unwrap()
    })
    .await;
    let name = fake.name("a/b:latest");
    let source = client_of(testuser()).source(&name);
    let stream = source.blob(&layer(content), 0).await.unwrap();
    assert_eq!(read(stream).await.unwrap(), content);
    let seen = elsewhere.seen();
    assert_eq!(seen.len(), 1);
    assert_eq!(seen[0].target, "/data?signed=1");
    assert_eq!(seen[0].header("authorization"), "");
}

#[tokio::test]
async fn denied_by_scope_is_denied() {
    let fake = Fake::start(|seen| {
        if seen.target.starts_with("/token") {
            return json(200, r#"{"token":"weak"}"#);
        }
        let host = seen.header("host").to_owned();
        let realm = format!("Bearer realm=\"http://{host}/token\",service=\"x\"");
        let error = if seen.header("authorization").is_empty() {
            ""
        } else {
            ",error=\"insufficient_scope\""
        };
        challenge(&format!("{realm}{error}"))
    })
    .await;
    let name = fake.name("a/b:latest");
    let (kind, message, _) = parts(client().source(&name).resolve(&name).await);
    assert_eq!(kind, ErrorKind::Denied);
    let wanted = format!(
        "pull access denied for {}, repository does not exist or may require 'docker login': \
         denied: requested access to the resource is denied",
        fake.name("a/b").familiar_name()
    );
    assert_eq!(message, wanted);
}

#[tokio::test]
async fn a_password_over_tls_does_not_leave_in_clear() {
    let shared = &client().shared;
    let challenges = crate::auth::parse_challenges("Bearer realm=\"http://far.example/token\"");
    let wanted = crate::client::token::Wanted {
        challenge: &challenges[0],
        scopes: &[],
        credential: Some(&testuser()),
        offline: false,
        over_tls: true,
    };
    let failure = crate::client::token::fetch(shared, &wanted)
        .await
        .unwrap_err();
    assert!(
        failure.brief().contains("refusing to send credentials"),
        "{failure:?}"
    );
}

#[tokio::test]
async fn login() {
    let fake = Fake::start(|seen| basic_registry(&seen)).await;
    let server = format!("http://{}/", fake.address);
    let outcome = client()
        .login(&server, "testuser", "testpass")
        .await
        .unwrap();
    assert_eq!(outcome.status, "Login Succeeded");
    assert_eq!(outcome.identity_token, None);
    let (kind, message, _) = parts(client().login(&server, "testuser", "wrong").await);
    let address = fake.address;
    let wanted =
        format!("login attempt to http://{address}/v2/ failed with status: 401 Unauthorized");
    assert_eq!((kind, message), (ErrorKind::Unauthorized, wanted));
}

#[tokio::test]
async fn login_with_tokens() {
    let answer = r#"{"token":"good","refresh_token":"keep me"}"#;
    let fake = bearer_registry(move |_| answer.to_owned()).await;
    let server = fake.address.to_string();
    let outcome = client()
        .login(&server, "testuser", "testpass")
        .await
        .unwrap();
    assert_eq!(outcome.identity_token.as_deref(), Some("keep me"));
    assert!(
        fake.lines()[0].contains("offline_token=true"),
        "{:?}",
        fake.lines()
    );
    let (kind, message, _) = parts(client().login(&server, "testuser", "wrong").await);
    let wanted =
        format!("Get \"http://{server}/v2/\": unauthorized: incorrect username or password");
    assert_eq!((kind, message), (ErrorKind::Unauthorized, wanted));
    let closed = closed_port().await;
    let (kind, message, _) = parts(client().login(&closed.to_string(), "a", "x").await);
    let wanted =
        format!("Get \"http://{closed}/v2/\": dial tcp {closed}: connect: connection refused");
    assert_eq!((kind, message), (ErrorKind::Unavailable, wanted));
}
