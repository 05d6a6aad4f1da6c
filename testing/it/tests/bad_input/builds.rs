//! Dockerfiles and contexts that nobody can build.
#![allow(
    clippy::disallowed_methods,
    reason = "a test of time: it reads the clock"
)]

use super::{Mounts, holds};
use lapstrake_testkit::{Cli, Directory, Outcome, Rng, levelled};
use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(20);
const MIB: usize = 1 << 20;

/// A base image of one file, without a registry.
fn lap() -> Cli {
    let lap = Cli::built();
    with_base(&lap);
    lap
}

fn with_base(lap: &Cli) {
    let tar = super::tar(&[("file", b'0', "", b"content")]);
    let imported = lap.run_with(&["import", "-", "base:1"], &tar);
    assert_eq!(imported.code, Some(0), "{imported}");
}

/// A folder with this Dockerfile and a file `a`.
fn context(dockerfile: impl AsRef<[u8]>) -> Directory {
    let context = Directory::new();
    context.write("Dockerfile", dockerfile);
    context.write("a", "a\n");
    context
}

fn build(lap: &Cli, context: &Directory, flags: &[&str]) -> Outcome {
    let folder = context.path().to_str().unwrap();
    let fixed = ["build", "--progress=plain", "--network=none", "-t", "new:1"];
    let began = Instant::now();
    let outcome = lap.run(&[&fixed[..], flags, &[folder]].concat());
    assert!(began.elapsed() < PATIENCE, "{:?}", began.elapsed());
    outcome
}

/// The build fails with this exit status, says all of this, and leaves nothing.
#[track_caller]
fn refuses(lap: &Cli, context: &Directory, flags: &[&str], says: &[&str]) {
    let outcome = build(lap, context, flags);
    assert_eq!(outcome.code, Some(1), "{says:?}\n{outcome}");
    let stderr = levelled(&outcome.stderr).replace(context.path().to_str().unwrap(), "CONTEXT");
    let missing: Vec<_> = says
        .iter()
        .filter(|part| !stderr.contains(**part))
        .collect();
    assert!(missing.is_empty(), "{missing:?} is not in\n{stderr}");
    assert!(!stderr.contains("panicked"), "{stderr}");
    leaves_nothing(lap);
}

#[track_caller]
fn leaves_nothing(lap: &Cli) {
    holds(lap, &["base:1"]);
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let below = format!("{}/", lap.root().display());
    assert!(!mounts.contains(&below), "{mounts}");
}

/// Dockerfiles, and what docker 28.5 says of each, without its `failed to solve`.
const SENSELESS: &[(&str, &[&str])] = &[
    ("", &["the Dockerfile cannot be empty"]),
    ("# only a comment\n", &["file with no instructions"]),
    ("RUN x\n", &["no build stage in current context"]),
    ("ARG A=1\n", &["dockerfile contains no stages to build"]),
    ("FROM\n", &["FROM requires either one or three arguments"]),
    (
        "FROM base:1 AS\n",
        &["FROM requires either one or three arguments"],
    ),
    (
        "FROM base:1 AS 1x\n",
        &["invalid name for build stage: \"1x\""],
    ),
    (
        "FROM $NOTHING\n",
        &["base name ($NOTHING) should not be blank"],
    ),
    ("FROM Bad::Name\n", &["invalid reference format"]),
    (
        "FROM base:1\nRUM true\n",
        &[
            "unknown instruction: RUM",
            "did you mean RUN?",
            "Dockerfile:2:1\n",
        ],
    ),
    (
        "FROM base:1\nCOPY --chwon=1 a /\n",
        &[
            "unknown flag: --chwon",
            "did you mean chown?",
            "Dockerfile:2:6\n",
            "^\n",
        ],
    ),
    (
        "FROM base:1\nRUN --mount=type=bnd,target=/x true\n",
        &["unsupported mount type \"bnd\"", "did you mean bind?"],
    ),
    (
        "FROM base:1\nRUN --mount=type=bind,colour=red true\n",
        &["unexpected key 'colour'"],
    ),
    (
        "FROM base:1\nRUN --network=moon true\n",
        &["invalid network mode \"moon\""],
    ),
    (
        "FROM base:1\nCOPY a\n",
        &["COPY requires at least two arguments"],
    ),
    (
        "FROM base:1\nCOPY --chmod=9 a /b\n",
        &["invalid chmod parameter"],
    ),
    ("FROM base:1\nENV A\n", &["ENV must have two arguments"]),
    (
        "FROM base:1\nLABEL\n",
        &["LABEL requires at least one argument"],
    ),
    ("FROM base:1\nEXPOSE x\n", &["x"]),
    ("FROM base:1\nSTOPSIGNAL SIGX\n", &["SIGX"]),
    ("FROM base:1\nENV A=${B\n", &["${B"]),
    ("FROM base:1\nENV A=\"b\n", &["\"b"]),
    ("FROM base:1\nHEALTHCHECK SOME\n", &["SOME"]),
    (
        "FROM base:1\nONBUILD ONBUILD RUN x\n",
        &["Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed"],
    ),
    (
        "FROM base:1\nONBUILD FROM x\n",
        &["FROM isn't allowed as an ONBUILD trigger"],
    ),
    (
        "FROM base:1\nSHELL sh\n",
        &["SHELL requires the arguments to be in JSON form"],
    ),
    (
        "FROM base:1\nRUN <<EOF\nnever ends\n",
        &["unterminated heredoc"],
    ),
    (
        "FROM base:1\nCOPY --from=nosuch.invalid:1 /a /a\n",
        &["nosuch.invalid:1"],
    ),
    (
        "FROM base:1 AS a\nCOPY --from=b /a /a\nFROM base:1 AS b\nCOPY --from=a /a /a\n",
        &["b"],
    ),
    (
        "FROM base:1 AS a\nCOPY --from=a /a /a\n",
        &["circular dependency detected on stage: a"],
    ),
    (
        "FROM base:1\nCOPY --from=9 /a /a\n",
        &["invalid stage index 9", "Dockerfile:2:6\n"],
    ),
    (
        "FROM base:1\nCOPY --from=$X /a /a\n",
        &[
            "variable expansion is not supported for --from",
            "Dockerfile:2:6\n",
        ],
    ),
    (
        "FROM base:1\nCOPY \\\n  a \\\n  nosuch /\n",
        &["\"/nosuch\": not found", "Dockerfile:4:3\n"],
    ),
    (
        "FROM base:1\nRUN --mount=type=secret,id=s,required=true true\n",
        &["secret s: not found"],
    ),
    (
        "FROM base:1\nRUN --mount=type=ssh,required=true true\n",
        &["ssh"],
    ),
    (
        "# escape=x\nFROM base:1\n",
        &["invalid escape token 'x' does not match ` or \\"],
    ),
    (
        "# escape=`\n# escape=`\nFROM base:1\n",
        &["only one escape parser directive can be used"],
    ),
];

#[test]
fn privileged_dockerfiles_that_make_no_sense() {
    let lap = lap();
    for (dockerfile, says) in SENSELESS {
        refuses(&lap, &context(dockerfile), &[], says);
    }
    let good = context("FROM base:1 AS one\nCOPY a /\n");
    refuses(
        &lap,
        &good,
        &["--target", "two"],
        &["target stage \"two\" could not be found"],
    );
}

#[test]
fn privileged_dockerfiles_that_are_no_text() {
    let lap = lap();
    let mut huge = b"FROM base:1\n".to_vec();
    while huge.len() < 10 * MIB {
        huge.extend(b"LABEL a=b \\\n");
    }
    let mut comments = b"#\n".repeat(5 * MIB);
    comments.extend(b"FROM base:1\nLABEL a=b\n");
    let mut heredoc = b"FROM base:1\nCOPY <<EOF /x\n".to_vec();
    heredoc.extend(b"line\n".repeat(2 * MIB));
    let binary = Rng::new(5).bytes(MIB);
    let utf16: Vec<u8> = "\u{feff}FROM base:1\n"
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    let cases: [(&[u8], &[&str]); 7] = [
        (&huge, &[]),
        (&heredoc, &[]),
        (&binary, &[]),
        (&utf16, &[]),
        (b"FROM base:1\nRUN tr\0ue\n", &[]),
        (b"\0\0\0\0", &[]),
        (b"FROM base:1\n\xff\xfe\n", &["unknown instruction"]),
    ];
    for (dockerfile, says) in cases {
        refuses(&lap, &context(dockerfile), &[], says);
    }
    // Large or odd, but a Dockerfile.
    for dockerfile in [
        &comments[..],
        "\u{feff}FROM base:1\r\nCOPY a \\\r\n  /b\r\n".as_bytes(),
        b"FROM base:1\nLABEL a=b\x01c\n",
    ] {
        let outcome = build(&lap, &context(dockerfile), &[]);
        // Comments of ten megabytes may be over a named limit, and then have to say so.
        let is_refused = dockerfile.len() > MIB && outcome.stderr.contains("limit");
        assert!(outcome.code == Some(0) || is_refused, "{outcome}");
        lap.run(&["rmi", "-f", "new:1"]);
        leaves_nothing(&lap);
    }
}

#[test]
fn privileged_files_that_are_not_in_the_context() {
    let lap = lap();
    let cases: &[(&str, &[&str])] = &[
        ("COPY nosuch /", &["\"/nosuch\": not found"]),
        ("COPY ignored.txt /", &["\"/ignored.txt\": not found"]),
        ("COPY ../outside /", &["\"/outside\": not found"]),
        ("COPY /etc/passwd /", &["\"/etc/passwd\": not found"]),
        ("COPY absolute/passwd /", &["not found"]),
        ("COPY dangling/x /", &["not found"]),
        ("COPY a/b /", &["a/b"]),
        ("COPY a[ /", &["a["]),
        (
            "COPY --from=base:1 /nosuch /",
            &["lstat /nosuch: no such file or directory"],
        ),
        ("ADD nosuch.tar /", &["\"/nosuch.tar\": not found"]),
        ("ADD http://127.0.0.1:9/x /", &["connection refused"]),
    ];
    for (line, says) in cases {
        let context = context(format!("FROM base:1\n{line}\n"));
        context.write(".dockerignore", "ignored.txt\n");
        context.write("ignored.txt", "x");
        symlink("/etc", context.join("absolute")).unwrap();
        symlink("nowhere", context.join("dangling")).unwrap();
        refuses(&lap, &context, &[], says);
    }
}

#[test]
fn privileged_contexts_with_odd_files() {
    let lap = lap();
    let odd = context("FROM base:1\nCOPY . /all/\n");
    let _socket = UnixListener::bind(odd.join("socket")).unwrap();
    let mode = rustix::fs::Mode::from_raw_mode(0o644);
    let fifo = rustix::fs::FileType::Fifo;
    rustix::fs::mknodat(rustix::fs::CWD, odd.join("fifo"), fifo, mode, 0).unwrap();
    symlink("nowhere", odd.join("dangling")).unwrap();
    symlink("/etc/shadow", odd.join("absolute")).unwrap();
    symlink("loop", odd.join("loop")).unwrap();
    let outcome = build(&lap, &odd, &[]);
    assert_eq!(outcome.code, Some(0), "{outcome}");
    lap.ok(&["rmi", "new:1"]);
    leaves_nothing(&lap);

    let good = context("FROM base:1\nCOPY . /all/\n");
    let secret = good.join("nosuch");
    let flag = format!("id=s,src={}", secret.display());
    refuses(
        &lap,
        &good,
        &["--secret", &flag],
        &["nosuch", "no such file or directory"],
    );
    refuses(
        &lap,
        &good,
        &["-f", "nosuch"],
        &["no such file or directory"],
    );
    let folder = Directory::new();
    refuses(
        &lap,
        &folder,
        &[],
        &["failed to read dockerfile: open Dockerfile: no such file or directory"],
    );
    folder.write("Dockerfile/x", "");
    refuses(&lap, &folder, &[], &["Dockerfile"]);
    let gone = folder.join("gone");
    let outcome = lap.run(&["build", gone.to_str().unwrap()]);
    assert_eq!(outcome.code, Some(1), "{outcome}");
    assert!(outcome.stderr.contains("not found"), "{outcome}");
}

/// Files of the kernel stand for those that nobody may read, and those that change.
#[test]
fn privileged_contexts_with_files_that_cannot_be_read() {
    let lap = lap();
    for (file, says) in [
        // May only be written, by root too.
        ("/proc/sys/vm/compact_memory", "permission denied"),
        // Longer than it says.
        ("/proc/version", "file changed as it was read: odd"),
        // Shorter than it says.
        (
            "/sys/kernel/uevent_seqnum",
            "file changed as it was read: odd",
        ),
    ] {
        for line in [
            "COPY odd /",
            "COPY . /all/",
            "RUN --mount=type=bind,target=/m /x",
        ] {
            let context = context(format!("FROM base:1\n{line}\n"));
            context.write("odd", "");
            let mounts = Mounts::new().bind(Path::new(file), &context.join("odd"));
            refuses(&lap, &context, &[], &[says, "odd"]);
            drop(mounts);
        }
    }
}

#[test]
fn privileged_caches_that_cannot_be_exported() {
    let lap = lap();
    let context = context("FROM base:1\nCOPY a /\n");
    let file = context.join("a").display().to_string();
    for (target, says) in [
        (
            "type=registry,ref=127.0.0.1:9/c:1".to_owned(),
            "connection refused",
        ),
        (format!("type=local,dest={file}"), "not a directory"),
        ("type=local".to_owned(), "dest"),
        ("type=nosuch".to_owned(), "nosuch"),
    ] {
        let outcome = build(&lap, &context, &["--cache-to", &target]);
        assert_eq!(outcome.code, Some(1), "{outcome}");
        assert!(outcome.stderr.contains(says), "{says}\n{outcome}");
        let ignored = format!("{target},ignore-error=true");
        let outcome = build(&lap, &context, &["--cache-to", &ignored]);
        let is_known = target.contains(['/']);
        assert_eq!(outcome.code == Some(0), is_known, "{outcome}");
        lap.run(&["rmi", "-f", "new:1"]);
        leaves_nothing(&lap);
    }
}

#[test]
fn privileged_a_disk_that_fills_up_while_building() {
    let lap = Cli::built();
    let disk = 12 * MIB as u64;
    let _mounts = Mounts::new().tmpfs(&lap.root(), disk);
    with_base(&lap);
    let large = context("FROM base:1\nCOPY large /large\nCOPY large /again\n");
    large.write("large", vec![7; 9 * MIB]);
    let outcome = build(&lap, &large, &[]);
    assert_eq!(outcome.code, Some(1), "{outcome}");
    assert!(
        outcome.stderr.contains("no space left on device"),
        "{outcome}"
    );
    holds(&lap, &["base:1"]);
    let small = context("FROM base:1\nCOPY a /a\n");
    lap.run(&["builder", "prune", "-a", "-f"]);
    let outcome = build(&lap, &small, &[]);
    assert_eq!(outcome.code, Some(0), "{outcome}");
    holds(&lap, &["base:1", "new:1"]);
}
