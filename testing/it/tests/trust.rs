//! Content trust with the built `lap`: what the commands print, and what they refuse.

use std::os::unix::fs::PermissionsExt as _;

use lapstrake_spec::{Digest, Reference};
use lapstrake_testkit::{Cli, RandomImage, Shape, Signer, TestRegistry};

/// A `lap` and a registry with an image; the signer's key is not yet trusted.
struct Place {
    lap: Cli,
    registry: TestRegistry,
    signer: Signer,
    name: Reference,
    digest: Digest,
}

impl Place {
    fn new(lap: Cli) -> Self {
        let registry = TestRegistry::start();
        let image = RandomImage::with(3, &Shape::small());
        Self {
            name: registry.put("team/app:1", &image),
            digest: image.descriptor.digest,
            signer: Signer::new(),
            lap,
            registry,
        }
    }

    fn on() -> Self {
        Self::new(Cli::built().variable("DOCKER_CONTENT_TRUST", "1"))
    }

    fn own(&self, file: &str) -> String {
        let path = self.lap.home().join(".config/lapstrake").join(file);
        path.display().to_string()
    }

    fn write(&self, file: &str, text: &str) {
        let path = self.own(file);
        std::fs::create_dir_all(std::path::Path::new(&path).parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    fn trust(&self) {
        self.write("trust.d/release.pub", &self.signer.pem());
    }

    fn sign(&self) {
        self.registry.sign(&self.name, &self.digest, &self.signer);
    }
}

#[test]
fn a_trusted_pull_prints_dockers_lines() {
    let place = Place::on();
    place.trust();
    place.sign();
    let name = place.name.to_string();
    let outcome = place.lap.run(&["pull", &name]);
    let by_digest = format!("{}@{}", place.name.familiar_name(), place.digest);
    let mut lines: Vec<&str> = outcome.stdout.lines().collect();
    lines.retain(|line| !line.contains(": Pull") || line.contains("Pulling from"));
    lines.retain(|line| !line.ends_with("Download complete"));
    lines.retain(|line| !line.ends_with("Verifying Checksum"));
    assert_eq!(
        lines,
        [
            format!("Pull (1 of 1): {name}@{}", place.digest),
            format!(
                "Signature verified with {}",
                place.own("trust.d/release.pub")
            ),
            format!("{by_digest}: Pulling from team/app"),
            format!("Digest: {}", place.digest),
            format!("Status: Downloaded newer image for {by_digest}"),
            name.clone(),
        ],
        "{outcome}"
    );
    assert_eq!(outcome.stderr, format!("Tagging {by_digest} as {name}\n"));
    assert_eq!(place.lap.ok(&["pull", "-q", &name]), format!("{name}\n"));
}

#[test]
fn it_is_off_unless_it_is_on() {
    let rows: [(Option<&str>, &[&str], bool); 10] = [
        (None, &[], false),
        (Some(""), &[], false),
        (Some("0"), &[], false),
        (Some("false"), &[], false),
        (Some("1"), &[], true),
        (Some("true"), &[], true),
        // What is no truth value is on.
        (Some("enabled"), &[], true),
        (Some("1"), &["--disable-content-trust"], false),
        (Some("1"), &["--disable-content-trust=true"], false),
        (None, &["--disable-content-trust=false"], true),
    ];
    for (variable, flags, is_on) in rows {
        let mut lap = Cli::built();
        if let Some(value) = variable {
            lap = lap.variable("DOCKER_CONTENT_TRUST", value);
        }
        let place = Place::new(lap);
        let name = place.name.to_string();
        let arguments = [&["pull", "-q"], flags, &[name.as_str()]].concat();
        let outcome = place.lap.run(&arguments);
        assert_eq!(outcome.code == Some(1), is_on, "{variable:?}: {outcome}");
        let told = outcome.stderr.contains("no key is configured");
        assert_eq!(told, is_on, "{variable:?}: {outcome}");
    }
}

#[test]
fn every_command_that_takes_images_refuses_unsigned_ones() {
    let place = Place::on();
    let name = place.name.to_string();
    place
        .lap
        .ok(&["pull", "-q", "--disable-content-trust", &name]);
    let context = place.lap.home().join("context");
    std::fs::create_dir(&context).unwrap();
    let write = |text: String| std::fs::write(context.join("Dockerfile"), text).unwrap();
    let context = context.display().to_string();
    write(format!("FROM {name}\nLABEL a=b\n"));
    let build = ["build", "-t", "built", &context];
    let hint = format!(
        "put the publisher's public key into {}",
        place.own("trust.d/NAME.pub")
    );
    for (code, arguments) in [
        (1, &["pull", name.as_str()][..]),
        (125, &["run", &name, "true"]),
        (1, &["create", &name, "true"]),
        (1, &build),
    ] {
        let stderr = place.lap.fails(code, arguments);
        assert!(
            stderr.contains("no key is configured"),
            "{arguments:?}: {stderr}"
        );
        assert!(stderr.contains(&hint), "{arguments:?}: {stderr}");
    }
    place.trust();
    let unsigned = "there is no signature of sha256:";
    assert!(
        place
            .lap
            .fails(1, &["create", &name, "true"])
            .contains(unsigned)
    );
    assert!(place.lap.fails(1, &build).contains(unsigned));
    assert!(
        place
            .lap
            .fails(1, &["build", "--pull", &context])
            .contains(unsigned)
    );
    write(format!("FROM scratch\nCOPY --from={name} / /\n"));
    assert!(place.lap.fails(1, &build).contains(unsigned));
    place
        .lap
        .ok(&["build", "-q", "--disable-content-trust", &context]);
    place.sign();
    place.lap.ok(&["build", "-q", "-t", "built", &context]);
    place.lap.ok(&["create", &name, "true"]);
    // What was built here is signed by nobody.
    let stderr = place.lap.fails(1, &["create", "built", "true"]);
    assert!(
        stderr.contains("No trust data for built:latest"),
        "{stderr}"
    );
}

#[test]
fn a_push_is_refused_because_it_would_not_be_signed() {
    let place = Place::on();
    let name = place.name.to_string();
    place
        .lap
        .ok(&["pull", "-q", "--disable-content-trust", &name]);
    let stderr = place.lap.fails(1, &["push", &name]);
    assert!(stderr.contains("no key that could sign"), "{stderr}");
    assert!(stderr.contains("cosign sign"), "{stderr}");
    place
        .lap
        .ok(&["push", "-q", "--disable-content-trust", &name]);
    std::fs::write(
        place.lap.home().join("Dockerfile"),
        "FROM scratch\nLABEL a=b\n",
    )
    .unwrap();
    let build = ["build", "--push", "-t", &name, "."];
    let stderr = place.lap.fails(1, &build);
    assert!(stderr.contains("signs nothing that it pushes"), "{stderr}");
}

#[test]
fn a_key_of_ones_own_signs_what_is_pushed() {
    let lap = Cli::built().variable("DOCKER_CONTENT_TRUST", "1");
    let place = Place::new(lap.variable("DOCKER_CONTENT_TRUST_REPOSITORY_PASSPHRASE", "sesame"));
    let lap = &place.lap;
    let stderr = lap.fails(1, &["trust", "sign", &place.name.to_string()]);
    assert!(stderr.contains("there is no key to sign with"), "{stderr}");
    let made = lap.ok(&["trust", "key", "generate", "me"]);
    let public = lap.home().join("me.pub");
    assert_eq!(
        made,
        format!(
            "Generating key for me...\nSuccessfully generated and loaded private key. Corresponding \
             public key available: {}\n",
            public.display()
        )
    );
    let private = std::fs::metadata(place.own("private/me.key")).unwrap();
    assert_eq!(private.permissions().mode() & 0o777, 0o600);
    let stderr = lap.fails(1, &["trust", "key", "generate", "me"]);
    assert!(
        stderr.starts_with("public key file already exists: "),
        "{stderr}"
    );
    let stderr = lap.fails(1, &["trust", "key", "generate", "../me"]);
    assert!(
        stderr.starts_with("key name \"../me\" must start with"),
        "{stderr}"
    );
    place.write("trust.d/me.pub", &std::fs::read_to_string(public).unwrap());
    std::fs::write(lap.home().join("Dockerfile"), "FROM scratch\nLABEL a=b\n").unwrap();
    let name = place.registry.reference("own/app:1").to_string();
    lap.ok(&["build", "-q", "-t", &name, "."]);
    let pushed = lap.ok(&["push", &name]);
    let end = format!("Signing and pushing trust metadata\nSuccessfully signed {name}\n");
    assert!(pushed.ends_with(&end), "{pushed}");
    lap.ok(&["pull", "-q", &name]);
    // The signature is that of this tag.
    let other = place.registry.reference("own/app:2").to_string();
    lap.ok(&["tag", &name, &other]);
    lap.ok(&["push", "-q", "--disable-content-trust", &other]);
    let stderr = lap.fails(1, &["pull", &other]);
    assert!(
        stderr.contains(&format!("is of {name}, and {other} was asked for")),
        "{stderr}"
    );
    let signed = lap.ok(&["trust", "sign", &other]);
    assert_eq!(signed, format!("Successfully signed {other}\n"));
    lap.ok(&["pull", "-q", &other]);
    lap.ok(&["pull", "-q", &name]);
    let wrong = Cli::built().variable("DOCKER_CONTENT_TRUST_REPOSITORY_PASSPHRASE", "wrong");
    let key = place.own("private/me.key");
    let stderr = wrong.fails(1, &["trust", "sign", "--key", &key, &name]);
    assert!(stderr.contains("the passphrase is wrong"), "{stderr}");
    let stderr = Cli::built().fails(1, &["trust", "sign", "--key", &key, &name]);
    assert!(
        stderr.contains("the passphrase cannot be asked for"),
        "{stderr}"
    );
}

#[test]
fn trust_inspect_names_tags_and_signers() {
    let place = Place::new(Cli::built());
    let name = place.name.to_string();
    let stderr = place.lap.fails(1, &["trust", "inspect", &name]);
    assert!(stderr.contains("no key is configured"), "{stderr}");
    place.trust();
    let outcome = place.lap.run(&["trust", "inspect", &name]);
    assert_eq!((outcome.stdout.as_str(), outcome.code), ("[]\n", Some(1)));
    let wanted = format!("no signatures or cannot access {name}\nhint: remote trust data");
    assert!(outcome.stderr.starts_with(&wanted), "{outcome}");
    place.sign();
    let shown = place.lap.ok(&["trust", "inspect", &name]);
    let digest = format!("\"Digest\": \"{}\"", place.digest.hex());
    for part in ["\"SignedTag\": \"1\"", &digest, "\"release\""] {
        assert!(shown.contains(part), "{shown}");
    }
    let repository = place.name.familiar_name();
    let shown = place.lap.ok(&["trust", "inspect", "--pretty", &repository]);
    let row = format!("1            {}   release\n", place.digest.hex());
    assert!(
        shown.starts_with(&format!("\nSignatures for {repository}\n\nSIGNED TAG ")),
        "{shown}"
    );
    assert!(shown.contains(&row), "{shown}");
}

#[test]
fn the_policy_that_is_named_counts() {
    let lap = Cli::built().variable("DOCKER_CONTENT_TRUST", "1");
    let policy = lap.home().join("team.json").display().to_string();
    let place = Place::new(lap.variable("LAPSTRAKE_POLICY", &policy));
    let name = place.name.to_string();
    place.trust();
    place.sign();
    let stderr = place.lap.fails(1, &["pull", &name]);
    assert!(
        stderr.contains("team.json: no such file or directory"),
        "{stderr}"
    );
    std::fs::write(&policy, "{\"default\": [\n  {\"type\": \"no\"}]}").unwrap();
    let stderr = place.lap.fails(1, &["pull", &name]);
    let wanted = "team.json cannot be used: default[0]: unknown type \"no\"";
    assert!(stderr.contains(wanted), "{stderr}");
    let write = |requirement: &str| {
        let host = place.registry.address();
        let text = format!(
            r#"{{"default": [{{"type": "reject"}}], "transports": {{"docker": {{"{host}": [{requirement}]}}}}}}"#
        );
        std::fs::write(&policy, text).unwrap();
    };
    write(r#"{"type": "reject"}"#);
    let stderr = place.lap.fails(1, &["pull", &name]);
    assert!(stderr.contains("is refused by the policy"), "{stderr}");
    let key = place.own("trust.d/release.pub");
    write(&format!(
        r#"{{"type": "sigstoreSigned", "keyPath": "{key}", "signedIdentity": {{"type": "matchRepository"}}}}"#
    ));
    place.lap.ok(&["pull", &name]);
    // A policy is about content trust alone.
    write(r#"{"type": "reject"}"#);
    place.lap.ok(&["pull", "--disable-content-trust", &name]);
}
