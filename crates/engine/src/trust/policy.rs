//! The policy file: which images need whose signature, in the form of containers-policy.json(5).
//!
//! Read strictly: an unknown key, a key that stands twice or an unknown type is an error, because a
//! policy that is understood in part is no policy. Kinds of signatures that are known and not supported
//! are no errors of the file: the images that they are demanded for are refused.

use super::identity::Identity;
use super::json::Json;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use lapstrake_spec::Reference;
use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

/// Bytes of a policy file.
pub(super) const POLICY_LIMIT: usize = 1 << 20;

/// The scope of names that no other scope of the transport fits.
const ANY_SCOPE: &str = "";
/// The transport whose images come from registries.
const TRANSPORT: &str = "docker";
/// The port of registries whose names have none.
const HTTPS_PORT: &str = "443";

/// What one image needs. All requirements of a list must be met.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Requirement {
    /// `insecureAcceptAnything`
    Accept,
    /// `reject`
    Reject,
    /// `sigstoreSigned` by one of these keys.
    Signed {
        /// Where the keys are.
        keys: Vec<KeySource>,
        /// What the signature must be called.
        identity: Identity,
    },
    /// Something that is known and not supported, in words.
    Unsupported(String),
}

/// Where the keys of a requirement are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum KeySource {
    /// In a file. A path that is not absolute begins at the policy's folder.
    File(PathBuf),
    /// In the policy, at this place.
    Data(Vec<u8>, String),
}

/// A policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Policy {
    default: Vec<Requirement>,
    scopes: BTreeMap<String, Vec<Requirement>>,
}

/// What is wrong, and where in the file.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Wrong(pub(super) String);

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn wrong(place: &str, text: impl fmt::Display) -> Wrong {
    Wrong(format!("{place}: {text}"))
}

impl Policy {
    /// Reads the file's bytes.
    pub(super) fn parse(raw: &[u8]) -> Result<Self, Wrong> {
        let document = Json::parse(raw).map_err(|error| Wrong(error.to_string()))?;
        let members = object(&document, "policy")?;
        known_keys(members, "policy", &["default", "transports"])?;
        let default = members
            .get("default")
            .ok_or_else(|| wrong("policy", "`default` is missing"))?;
        let default = requirements(default, "default")?;
        let mut scopes = BTreeMap::new();
        if let Some(transports) = members.get("transports") {
            for (transport, inner) in object(transports, "transports")? {
                let place = format!("transports.{transport}");
                for (scope, list) in object(inner, &place)? {
                    let place = format!("{place}[{scope:?}]");
                    let list = requirements(list, &place)?;
                    if transport == TRANSPORT {
                        check_scope(scope).map_err(|text| wrong(&place, text))?;
                        let (host, rest) = parts(scope);
                        let scope = format!("{}{rest}", plain_host(host));
                        if scopes.insert(scope, list).is_some() {
                            return Err(wrong(&place, "the scope stands twice"));
                        }
                    }
                }
            }
        }
        Ok(Self { default, scopes })
    }

    /// What an image needs, and where the file says so. Without a name, the default.
    pub(super) fn requirements(&self, name: Option<&Reference>) -> (&[Requirement], String) {
        let scopes = name.map(scopes).unwrap_or_default();
        for scope in scopes {
            if let Some(found) = self.scopes.get(&scope) {
                return (found, format!("transports.{TRANSPORT}[{scope:?}]"));
            }
        }
        (&self.default, "default".to_owned())
    }
}

/// The scopes that a name is in, the narrowest first: the name itself, its repository, the folders
/// above it, its registry, the domains above that, everything. The tag beside a digest is not looked
/// at when images are fetched, and so stands in no scope.
fn scopes(name: &Reference) -> Vec<String> {
    let host = plain_host(name.domain());
    let repository = format!("{host}/{}", name.path());
    let mut scopes = Vec::new();
    match (name.digest(), name.tag()) {
        (Some(digest), _) => scopes.push(format!("{repository}@{digest}")),
        (None, Some(tag)) => scopes.push(format!("{repository}:{tag}")),
        (None, None) => {}
    }
    scopes.push(repository.clone());
    let mut above = repository.as_str();
    while let Some((parent, _)) = above.rsplit_once('/') {
        scopes.push(parent.to_owned());
        above = parent;
    }
    let mut host = host.split(':').next().unwrap_or_default();
    while let Some((_, parent)) = host.split_once('.') {
        scopes.push(format!("*.{parent}"));
        host = parent;
    }
    scopes.push(ANY_SCOPE.to_owned());
    scopes
}

/// A scope's registry, or `*.` and a domain, and the rest.
fn parts(scope: &str) -> (&str, &str) {
    scope.split_at(scope.find('/').unwrap_or(scope.len()))
}

/// A registry as all names of it are compared: in small letters, without the port that it has anyway.
fn plain_host(host: &str) -> String {
    let host = host.to_ascii_lowercase();
    let is_port = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let Some((name, port)) = host.rsplit_once(':').filter(|(_, port)| is_port(port)) else {
        return host;
    };
    match port.trim_start_matches('0') {
        HTTPS_PORT => name.to_owned(),
        port => format!("{name}:{port}"),
    }
}

/// A scope that no name can be in is misspelt.
fn check_scope(scope: &str) -> Result<(), String> {
    if let Some(domain) = scope.strip_prefix("*.") {
        let is_domain = !domain.is_empty() && !domain.contains(['/', '*', ':']);
        return if is_domain {
            Ok(())
        } else {
            Err("a scope with `*.` is a domain: `*.example.com`".to_owned())
        };
    }
    if scope.contains('*') {
        return Err("a `*` can only stand before a domain: `*.example.com`".to_owned());
    }
    if scope.contains("://") || scope.ends_with('/') {
        return Err("a scope is a name without scheme and without a slash at its end".to_owned());
    }
    let registry = scope.split('/').next().unwrap_or_default();
    if scope == ANY_SCOPE || registry == "localhost" || registry.contains(['.', ':']) {
        return Ok(());
    }
    Err(format!(
        "a scope begins with the registry: `docker.io/{scope}`"
    ))
}

type Members = BTreeMap<String, Json>;

fn object<'a>(json: &'a Json, place: &str) -> Result<&'a Members, Wrong> {
    json.object()
        .ok_or_else(|| wrong(place, "must be an object"))
}

fn known_keys(members: &Members, place: &str, known: &[&str]) -> Result<(), Wrong> {
    match members.keys().find(|key| !known.contains(&key.as_str())) {
        Some(key) => Err(wrong(place, format_args!("unknown key {key:?}"))),
        None => Ok(()),
    }
}

fn requirements(json: &Json, place: &str) -> Result<Vec<Requirement>, Wrong> {
    let list = json
        .list()
        .ok_or_else(|| wrong(place, "must be an array of requirements"))?;
    if list.is_empty() {
        let text = "must not be empty; `[{\"type\": \"insecureAcceptAnything\"}]` accepts anything";
        return Err(wrong(place, text));
    }
    let each = list.iter().enumerate();
    each.map(|(index, json)| requirement(json, &format!("{place}[{index}]")))
        .collect()
}

fn requirement(json: &Json, place: &str) -> Result<Requirement, Wrong> {
    let members = object(json, place)?;
    let kind = required(members, "type", place)?;
    match kind {
        "insecureAcceptAnything" | "reject" => {
            known_keys(members, place, &["type"])?;
            Ok(match kind {
                "reject" => Requirement::Reject,
                _ => Requirement::Accept,
            })
        }
        "sigstoreSigned" => signed(members, place),
        "signedBy" => Ok(Requirement::Unsupported(
            "`signedBy`, a signature by a GPG key, is not supported".to_owned(),
        )),
        "signedBaseLayer" => Ok(Requirement::Unsupported(
            "`signedBaseLayer` is not supported".to_owned(),
        )),
        other => Err(wrong(
            place,
            format_args!(
                "unknown type {other:?}: insecureAcceptAnything, reject and sigstoreSigned are known"
            ),
        )),
    }
}

fn required<'a>(members: &'a Members, key: &str, place: &str) -> Result<&'a str, Wrong> {
    members
        .get(key)
        .and_then(Json::text)
        .ok_or_else(|| wrong(place, format_args!("`{key}` must be given, as a string")))
}

/// Where `sigstoreSigned` may have its keys; exactly one of these is given.
const KEY_PLACES: [&str; 6] = [
    "keyPath", "keyPaths", "keyData", "keyDatas", "fulcio", "pki",
];
/// Proofs that a signature is in the transparency log.
const LOG_KEYS: [&str; 4] = [
    "rekorPublicKeyPath",
    "rekorPublicKeyPaths",
    "rekorPublicKeyData",
    "rekorPublicKeyDatas",
];

fn signed(members: &Members, place: &str) -> Result<Requirement, Wrong> {
    let known: Vec<&str> = ["type", "signedIdentity"]
        .into_iter()
        .chain(KEY_PLACES)
        .chain(LOG_KEYS)
        .collect();
    known_keys(members, place, &known)?;
    let given: Vec<&str> = KEY_PLACES
        .into_iter()
        .filter(|key| members.contains_key(*key))
        .collect();
    let [given] = given.as_slice() else {
        let text =
            "exactly one of keyPath, keyPaths, keyData, keyDatas, fulcio and pki must be given";
        return Err(wrong(place, text));
    };
    let identity = match members.get("signedIdentity") {
        Some(json) => identity(json, &format!("{place}.signedIdentity"))?,
        None => Identity::Unstated,
    };
    if *given == "fulcio" || *given == "pki" {
        return Ok(Requirement::Unsupported(format!(
            "`{given}`, a signature without a key, is not supported"
        )));
    }
    if let Some(key) = LOG_KEYS.iter().find(|key| members.contains_key(**key)) {
        return Ok(Requirement::Unsupported(format!(
            "`{key}`, a proof of the transparency log, is not supported"
        )));
    }
    let keys = members
        .get(*given)
        .map(|json| keys(given, json, &format!("{place}.{given}")))
        .transpose()?
        .unwrap_or_default();
    Ok(Requirement::Signed { keys, identity })
}

fn keys(key: &str, json: &Json, place: &str) -> Result<Vec<KeySource>, Wrong> {
    let one = |json: &Json, place: &str| {
        let text = json
            .text()
            .filter(|text| !text.is_empty())
            .ok_or_else(|| wrong(place, "must be a string that is not empty"))?;
        if key.starts_with("keyPath") {
            return Ok(KeySource::File(PathBuf::from(text)));
        }
        let words: String = text.split_ascii_whitespace().collect();
        STANDARD
            .decode(words)
            .map(|data| KeySource::Data(data, place.to_owned()))
            .map_err(|error| wrong(place, format_args!("must be a PEM file in base64: {error}")))
    };
    if !key.ends_with('s') {
        return Ok(vec![one(json, place)?]);
    }
    let list = json
        .list()
        .filter(|list| !list.is_empty())
        .ok_or_else(|| wrong(place, "must be an array that is not empty"))?;
    let each = list.iter().enumerate();
    each.map(|(index, json)| one(json, &format!("{place}[{index}]")))
        .collect()
}

fn identity(json: &Json, place: &str) -> Result<Identity, Wrong> {
    let members = object(json, place)?;
    let kind = required(members, "type", place)?;
    let (identity, own): (Identity, &[&str]) = match kind {
        "matchExact" => (Identity::MatchExact, &[]),
        "matchRepoDigestOrExact" => (Identity::MatchRepoDigestOrExact, &[]),
        "matchRepository" => (Identity::MatchRepository, &[]),
        "exactReference" => {
            let name = name(members, "dockerReference", place)?;
            if name.is_name_only() {
                return Err(wrong(place, "`dockerReference` must have a tag or digest"));
            }
            (Identity::ExactReference(name), &["dockerReference"])
        }
        "exactRepository" => {
            let name = name(members, "dockerRepository", place)?;
            if !name.is_name_only() {
                return Err(wrong(
                    place,
                    "`dockerRepository` must have no tag and no digest",
                ));
            }
            (Identity::ExactRepository(name), &["dockerRepository"])
        }
        "remapIdentity" => {
            let identity = Identity::Remap {
                prefix: prefix(members, "prefix", place)?,
                signed_prefix: prefix(members, "signedPrefix", place)?,
            };
            (identity, &["prefix", "signedPrefix"])
        }
        other => return Err(wrong(place, format_args!("unknown type {other:?}"))),
    };
    let known: Vec<&str> = own.iter().copied().chain(["type"]).collect();
    known_keys(members, place, &known)?;
    Ok(identity)
}

fn name(members: &Members, key: &str, place: &str) -> Result<Reference, Wrong> {
    let text = required(members, key, place)?;
    Reference::parse(text).map_err(|error| wrong(place, format_args!("`{key}`: {error}")))
}

fn prefix(members: &Members, key: &str, place: &str) -> Result<String, Wrong> {
    let text = required(members, key, place)?;
    let is_prefix = check_scope(text).is_ok()
        && !text.is_empty()
        && !text.contains(['@', '*', ' '])
        && !text
            .rsplit('/')
            .next()
            .is_some_and(|last| text.contains('/') && last.contains(':'));
    if is_prefix {
        return Ok(text.to_owned());
    }
    let text =
        format_args!("`{key}` must be a registry, or the beginning of a repository's name with it");
    Err(wrong(place, text))
}
