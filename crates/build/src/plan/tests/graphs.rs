//! Printed graphs.

use expect_test::{Expect, expect};

use super::*;

fn check(text: &str, expected: Expect) {
    expected.assert_eq(&graph(text, &options()));
}

#[test]
fn one_stage() {
    check(
        "FROM base:1\nWORKDIR /app\nCOPY a b ./\nRUN make \"$X\"\n",
        expect![[r##"
            #0 [1/4] FROM docker.io/library/base:1
                image docker.io/library/base:1 linux/amd64
            #1 [2/4] WORKDIR /app
                on #0
                directory /app
            #2 [3/4] COPY a b ./
                on #1
                from context a
                from context b
                to /app/
            #3 [4/4] RUN make "$X"
                on #2
                run ["/bin/sh", "-c", "make \"$X\""] in /app
                PATH=/bin:/usr/bin (Image)
            linux/amd64 = #3
        "##]],
    );
}

#[test]
fn names_are_padded() {
    let runs = "RUN true\n".repeat(9);
    let text = graph(&format!("FROM base:1\n{runs}"), &options());
    assert!(
        text.starts_with("#0 [ 1/10] FROM docker.io/library/base:1\n"),
        "{text}"
    );
    assert!(text.contains("#9 [10/10] RUN true\n"), "{text}");
}

#[test]
fn a_base_with_a_digest() {
    let digest = Digest::sha256(b"manifest");
    let known = BaseImage {
        digest: Some(digest.clone()),
        ..base()
    };
    for name in ["base:1", &format!("base@{digest}")] {
        let full = if name == "base:1" { "base:1" } else { name };
        let full = format!("docker.io/library/{full}");
        let plan = try_plan(
            &format!("FROM {name}\n"),
            &options(),
            &[(&full, known.clone())],
        )
        .unwrap();
        let expected = match name {
            "base:1" => format!("[1/1] FROM docker.io/library/base:1@{digest}"),
            _ => format!("[1/1] FROM docker.io/library/base@{digest}"),
        };
        assert_eq!(plan.graph.nodes[0].step.name, expected);
    }
}

#[test]
fn stages_and_images() {
    check(
        r#"FROM base:1 AS builder
RUN make
FROM scratch
COPY --from=builder /out /
COPY --from=0 /out2 /
COPY --from=busybox /bin/sh /sh
COPY --from=busybox:latest /bin/ls /ls
"#,
        expect![[r##"
            #0 [builder 1/2] FROM docker.io/library/base:1
                image docker.io/library/base:1 linux/amd64
            #1 [builder 2/2] RUN make
                on #0
                run ["/bin/sh", "-c", "make"] in /
                PATH=/bin:/usr/bin (Image)
            #2 FROM scratch
                scratch
            #3 [stage-1 1/4] COPY --from=builder /out /
                on #2
                from #1 /out
                to /
            #4 [stage-1 2/4] COPY --from=0 /out2 /
                on #3
                from #1 /out2
                to /
            #5 FROM docker.io/library/busybox:latest
                image docker.io/library/busybox:latest linux/amd64
            #6 [stage-1 3/4] COPY --from=busybox /bin/sh /sh
                on #4
                from #5 /bin/sh
                to /sh
            #7 [stage-1 4/4] COPY --from=busybox:latest /bin/ls /ls
                on #6
                from #5 /bin/ls
                to /ls
            linux/amd64 = #7
        "##]],
    );
}

#[test]
fn mounts() {
    check(
        r#"FROM base:1 AS src
FROM base:1
ARG DIR=/cache
WORKDIR /w
RUN --mount=target=/m,source=sub --mount=type=bind,from=src,target=rel,rw --mount=type=cache,target=$DIR/x,sharing=locked,id=c,uid=5 --mount=type=tmpfs,target=/t,size=1k cmd
RUN --mount=type=secret,id=s --mount=type=secret,id=t,env=TOKEN --mount=type=secret,target=/k,required --mount=type=ssh --mount=type=ssh,id=x,target=/sock use $TOKEN
RUN --network=none --security=insecure --mount=type=cache,target=../c true
"#,
        expect![[r##"
            #0 [src 1/1] FROM docker.io/library/base:1
                image docker.io/library/base:1 linux/amd64
            #1 [stage-1 2/5] WORKDIR /w
                on #0
                directory /w
            #2 [stage-1 3/5] RUN --mount=target=/m,source=sub --mount=type=bind,from=src,target=rel,rw --mount=type=cache,target=/cache/x,sharing=locked,id=c,uid=5 --mount=type=tmpfs,target=/t,size=1k cmd
                on #1
                run ["/bin/sh", "-c", "cmd"] in /w
                PATH=/bin:/usr/bin (Image)
                DIR=/cache (Argument)
                mount /m bind context /sub ro
                mount /w/rel bind #0 / rw
                mount /cache/x cache c Locked scratch /
                mount /t tmpfs Some(1024)
            #3 [stage-1 4/5] RUN --mount=type=secret,id=s --mount=type=secret,id=t,env=TOKEN --mount=type=secret,target=/k,required --mount=type=ssh --mount=type=ssh,id=x,target=/sock use ****
                on #2
                run ["/bin/sh", "-c", "use $TOKEN"] in /w
                PATH=/bin:/usr/bin (Image)
                DIR=/cache (Argument)
                SSH_AUTH_SOCK=/run/buildkit/ssh_agent.0 (Image)
                mount /run/secrets/s secret s None
                mount  secret t Some("TOKEN")
                mount /k secret k None
                mount /run/buildkit/ssh_agent.0 ssh default
                mount /sock ssh x
            #4 [stage-1 5/5] RUN --network=none --security=insecure --mount=type=cache,target=../c true
                on #3
                run ["/bin/sh", "-c", "true"] in /w
                PATH=/bin:/usr/bin (Image)
                DIR=/cache (Argument)
                mount /c cache c Shared scratch /
                network None
                security Insecure
            linux/amd64 = #4
        "##]],
    );
}

#[test]
fn heredocs() {
    check(
        r#"FROM base:1
RUN <<EOF
echo one
echo two
EOF
RUN <<-"EOF"
	indented
	EOF
RUN <<EOF
#!/usr/bin/env python
print(1)
EOF
RUN cat <<A > /a && cat <<B
a
A
b
B
ENV X=1
COPY <<EOF <<"RAW" /dir/
x=$X
EOF
x=$X
RAW
"#,
        expect![[r##"
            #0 [1/6] FROM docker.io/library/base:1
                image docker.io/library/base:1 linux/amd64
            #1 [2/6] RUN <<EOF (echo one...)
                on #0
                run ["/bin/sh", "-c", "echo one\necho two\n"] in /
                PATH=/bin:/usr/bin (Image)
            #2 [3/6] RUN <<-"EOF" (indented)
                on #1
                run ["/bin/sh", "-c", "indented\n"] in /
                PATH=/bin:/usr/bin (Image)
            #3 [4/6] RUN <<EOF (#!/usr/bin/env python...)
                on #2
                run ["/bin/sh", "-c", "/dev/pipes/EOF"] in /
                PATH=/bin:/usr/bin (Image)
                file /dev/pipes/EOF "#!/usr/bin/env python\nprint(1)\n"
            #4 [5/6] RUN cat <<A > /a && cat <<B
                on #3
                run ["/bin/sh", "-c", "cat <<A > /a && cat <<B\na\nA\nb\nB"] in /
                PATH=/bin:/usr/bin (Image)
            #5 [6/6] COPY <<EOF <<RAW /dir/
                on #4
                file EOF "x=1\n"
                file RAW "x=$X\n"
                to /dir/
            linux/amd64 = #5
        "##]],
    );
}

#[test]
fn sources_of_add() {
    check(
        r#"FROM base:1
ADD --checksum=sha256:24454f830cdb571e2c4ad15481119c43b3cafd48dd869a9b2945d1036d1dc68d https://host/a/b.txt?x /d/
ADD --keep-git-dir=true https://host/r.git#main:sub /r
ADD git@host:r.git /s
ADD --unpack=false x.tar github.com/a/b /
"#,
        expect![[r#"
            #0 [1/5] FROM docker.io/library/base:1
                image docker.io/library/base:1 linux/amd64
            #1 [2/5] ADD --checksum=sha256:24454f830cdb571e2c4ad15481119c43b3cafd48dd869a9b2945d1036d1dc68d https://host/a/b.txt?x /d/
                on #0
                fetch https://host/a/b.txt?x as b.txt sha256:24454f830cdb571e2c4ad15481119c43b3cafd48dd869a9b2945d1036d1dc68d
                to /d/
            #2 [3/5] ADD --keep-git-dir=true https://host/r.git#main:sub /r
                on #1
                clone https://host/r.git#main:sub with .git
                to /r
            #3 [4/5] ADD git@host:r.git /s
                on #2
                clone git@host:r.git
                to /s
            #4 [5/5] ADD --unpack=false x.tar github.com/a/b /
                on #3
                from context x.tar
                from context github.com/a/b
                to / unpack=false
            linux/amd64 = #4
        "#]],
    );
}

#[test]
fn flags_of_copy() {
    check(
        r#"FROM base:1
ENV U=app
COPY --link --chown=$U:0 --chmod=u+x,go= a /
COPY --parents --exclude=*.md --exclude=x ./a/./b c/ /d
"#,
        expect![[r#"
            #0 [1/3] FROM docker.io/library/base:1
                image docker.io/library/base:1 linux/amd64
            #1 [2/3] COPY --link --chown=app:0 --chmod=u+x,go= a /
                on #0
                from context a
                to / chown=app:0 chmod=u+x,go= link
            #2 [3/3] COPY --parents --exclude=*.md --exclude=x ./a/./b c/ /d
                on #1
                from context ./a/./b
                from context c/
                to /d parents exclude=*.md exclude=x
            linux/amd64 = #2
        "#]],
    );
}

#[test]
fn only_what_the_target_needs() {
    let text = "FROM base:1 AS a\nRUN a\nFROM base:1 AS b\nRUN b\nFROM b AS c\nRUN c\n\
                FROM base:1 AS d\nCOPY --from=c / /\n";
    let names = |target: Option<&str>| {
        let target = target.map(str::to_owned);
        let plan = plan_with(
            text,
            &PlanOptions {
                target,
                ..options()
            },
        );
        let nodes = plan.graph.nodes.iter();
        nodes.map(|node| node.step.name.clone()).collect::<Vec<_>>()
    };
    let base = "[a 1/2] FROM docker.io/library/base:1";
    assert_eq!(names(Some("a")), [base, "[a 2/2] RUN a"]);
    let base = "[b 1/2] FROM docker.io/library/base:1";
    assert_eq!(names(Some("C")), [base, "[b 2/2] RUN b", "[c 1/1] RUN c"]);
    let expected = [
        base,
        "[b 2/2] RUN b",
        "[c 1/1] RUN c",
        "[d 2/2] COPY --from=c / /",
    ];
    assert_eq!(names(None), expected);
}

#[test]
fn several_platforms() {
    let options = PlanOptions {
        platforms: vec![Platform::linux("amd64"), Platform::linux("arm64")],
        ..options()
    };
    let text = "FROM --platform=$BUILDPLATFORM base:1 AS build\nARG TARGETARCH\nRUN build\n\
                FROM base:1\nCOPY --from=build /x /x\n";
    expect![[r##"
        #0 [linux/amd64 build 1/2] FROM docker.io/library/base:1
            image docker.io/library/base:1 linux/amd64
        #1 [linux/amd64 build 2/2] RUN build
            on #0
            run ["/bin/sh", "-c", "build"] in /
            PATH=/bin:/usr/bin (Image)
            TARGETARCH=amd64 (Argument)
        #2 [linux/amd64 stage-1 2/2] COPY --from=build /x /x
            on #0
            from #1 /x
            to /x
        #3 [linux/amd64->arm64 build 2/2] RUN build
            on #0
            run ["/bin/sh", "-c", "build"] in /
            PATH=/bin:/usr/bin (Image)
            TARGETARCH=arm64 (Argument)
        #4 [linux/arm64 stage-1 1/2] FROM docker.io/library/base:1
            image docker.io/library/base:1 linux/arm64
        #5 [linux/arm64 stage-1 2/2] COPY --from=build /x /x
            on #4
            from #3 /x
            to /x
        linux/amd64 = #2
        linux/arm64 = #5
    "##]]
    .assert_eq(&graph(text, &options));
    let plan = plan_with(text, &options);
    assert_eq!(plan.graph.targets[1].config.architecture, "arm64");
}

#[test]
fn named_contexts() {
    let contexts = [
        ("base", NamedContext::Image("other:2".to_owned())),
        ("files", NamedContext::Tree),
        ("stage", NamedContext::Tree),
    ];
    let options = PlanOptions {
        named_contexts: contexts.map(|(name, to)| (name.to_owned(), to)).into(),
        ..options()
    };
    let text = "FROM base AS stage\nRUN never\nFROM base\nCOPY --from=files a /\n\
                COPY --from=stage b /\nRUN --mount=from=files,target=/f x\n";
    expect![[r##"
        #0 [context stage] load from client
            context stage
        #1 [stage-1 1/4] FROM docker.io/library/other:2
            image docker.io/library/other:2 linux/amd64
        #2 [stage-1 2/4] COPY --from=files a /
            on #1
            from context files a
            to /
        #3 [stage-1 3/4] COPY --from=stage b /
            on #2
            from #0 b
            to /
        #4 [stage-1 4/4] RUN --mount=from=files,target=/f x
            on #3
            run ["/bin/sh", "-c", "x"] in /
            PATH=/bin:/usr/bin (Image)
            mount /f bind context files / ro
        linux/amd64 = #4
    "##]]
    .assert_eq(&graph(text, &options));
}

#[test]
fn caches_are_ignored_by_stage() {
    let options = PlanOptions {
        no_cache_filter: ["b".to_owned()].into(),
        ..options()
    };
    let plan = plan_with("FROM base:1 AS a\nRUN a\nFROM a AS b\nRUN b\n", &options);
    let ignored: Vec<bool> = plan
        .graph
        .nodes
        .iter()
        .map(|n| n.step.ignore_cache)
        .collect();
    assert_eq!(ignored, [false, false, true]);
}

#[test]
fn arguments_of_steps() {
    let text = "FROM base:1\nARG A=1 B=2\nENV C=3\nCOPY $A $C /\nRUN x\n";
    let plan = plan_with(text, &options());
    let arguments = |node: usize| plan.graph.nodes[node].step.arguments.clone();
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    assert_eq!(arguments(1), [pair("A", "1")]);
    assert_eq!(arguments(2), [pair("A", "1"), pair("B", "2")]);
}

#[test]
fn parents_and_inputs_come_first() {
    let text = "FROM base:1 AS a\nRUN a\nFROM busybox\nCOPY --from=a / /\n\
                RUN --mount=from=a,target=/x --mount=from=other,target=/y z\n";
    let plan = plan_with(text, &options());
    for (index, node) in plan.graph.nodes.iter().enumerate() {
        assert_eq!(node.id, NodeId(index));
        assert!(node.parent.is_none_or(|parent| parent < node.id));
        assert!(node.inputs.iter().all(|input| *input < node.id));
        assert_eq!(plan.graph.node(node.id), Some(node));
    }
}

#[test]
fn volumes_are_mounted_by_the_classic_builder_alone() {
    let config = ContainerConfig {
        volumes: Some(["/own".to_owned()].into()),
        ..ContainerConfig::default()
    };
    let text = "FROM base:1\nRUN a\nVOLUME data /b/../c/\nRUN b\nVOLUME /late\n";
    for (options, expected) in [
        (options(), [&[][..], &[]]),
        (classic(), [&["/own"][..], &["/c", "/data", "/own"]]),
    ] {
        let images = [("docker.io/library/base:1", image(config.clone()))];
        let plan = try_plan(text, &options, &images).unwrap();
        let volumes = plan
            .graph
            .nodes
            .iter()
            .filter_map(|node| match &node.operation {
                Operation::Run(run) => Some(run.volumes.clone()),
                _ => None,
            });
        assert_eq!(volumes.collect::<Vec<_>>(), expected);
    }
}
