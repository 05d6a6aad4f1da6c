//! Configuration and history, in both dialects. The expected texts are what docker writes for the same
//! files: 28.5 with BuildKit, 20.10 with its classic builder.

use expect_test::{Expect, expect};

use super::*;

fn check(text: &str, buildkit: Expect, classic_dialect: Expect) {
    buildkit.assert_eq(&result(text, &options()));
    classic_dialect.assert_eq(&result(text, &classic()));
}

fn check_with(text: &str, arguments: &[(&str, &str)], buildkit: Expect, classic_dialect: Expect) {
    buildkit.assert_eq(&result(text, &with_args(options(), arguments)));
    classic_dialect.assert_eq(&result(text, &with_args(classic(), arguments)));
}

#[test]
fn nothing_but_from() {
    check(
        "FROM base:1\n",
        expect![[r#"
        {"Env":["PATH=/bin:/usr/bin"],"Cmd":["sh"]}
    "#]],
        expect![[r#"
        {"Env":["PATH=/bin:/usr/bin"],"Cmd":["sh"]}
    "#]],
    );
}

#[test]
fn scratch() {
    check(
        "FROM scratch\nCOPY f /f\nWORKDIR a\nCMD [\"/f\"]\n",
        expect![[r#"
            {"Env":["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],"Cmd":["/f"],"WorkingDir":"/a","ArgsEscaped":true}
            + COPY f /f # buildkit
            + WORKDIR /a
              CMD ["/f"]
        "#]],
        expect![[r#"
            {"Env":["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],"Cmd":["/f"],"WorkingDir":"/a"}
            + /bin/sh -c #(nop) COPY {files} in /f 
            + /bin/sh -c #(nop) WORKDIR /a
              /bin/sh -c #(nop)  CMD ["/f"]
        "#]],
    );
}

#[test]
fn commands_and_entry_points() {
    check(
        "FROM base:1\nENTRYPOINT [\"x\"]\n",
        expect![[r#"
            {"Env":["PATH=/bin:/usr/bin"],"Entrypoint":["x"]}
              ENTRYPOINT ["x"]
        "#]],
        expect![[r#"
            {"Env":["PATH=/bin:/usr/bin"],"Entrypoint":["x"]}
              /bin/sh -c #(nop)  ENTRYPOINT ["x"]
        "#]],
    );
    check(
        "FROM base:1\nCMD [\"c\"]\nENTRYPOINT run me\n",
        expect![[r#"
            {"Env":["PATH=/bin:/usr/bin"],"Entrypoint":["/bin/sh","-c","run me"],"Cmd":["c"],"ArgsEscaped":true}
              CMD ["c"]
              ENTRYPOINT ["/bin/sh" "-c" "run me"]
        "#]],
        expect![[r#"
            {"Env":["PATH=/bin:/usr/bin"],"Entrypoint":["/bin/sh","-c","run me"],"Cmd":["c"]}
              /bin/sh -c #(nop)  CMD ["c"]
              /bin/sh -c #(nop)  ENTRYPOINT ["/bin/sh" "-c" "run me"]
        "#]],
    );
    check(
        "FROM base:1\nCMD\n",
        expect![[r#"
        {"Env":["PATH=/bin:/usr/bin"],"Cmd":["/bin/sh","-c",""],"ArgsEscaped":true}
          CMD ["/bin/sh" "-c" ""]
    "#]],
        expect![[r#"
        {"Env":["PATH=/bin:/usr/bin"],"Cmd":["/bin/sh","-c"]}
          /bin/sh -c #(nop)  CMD ["/bin/sh" "-c"]
    "#]],
    );
    check(
        "FROM base:1\nCMD []\nENTRYPOINT []\n",
        expect![[r#"
            {"Env":["PATH=/bin:/usr/bin"],"ArgsEscaped":true}
              CMD []
              ENTRYPOINT []
        "#]],
        expect![[r#"
            {"Env":["PATH=/bin:/usr/bin"]}
              /bin/sh -c #(nop)  CMD []
              /bin/sh -c #(nop)  ENTRYPOINT []
        "#]],
    );
}

#[test]
fn shells() {
    check(
        "FROM base:1\nSHELL [\"/bin/sh\", \"-ec\"]\nRUN a  b\nCMD c\nRUN [\"d\", \"e f\"]\n",
        expect![[r#"
            {"Env":["PATH=/bin:/usr/bin"],"Cmd":["/bin/sh","-ec","c"],"ArgsEscaped":true,"Shell":["/bin/sh","-ec"]}
              SHELL [/bin/sh -ec]
            + RUN /bin/sh -ec a  b # buildkit
              CMD ["/bin/sh" "-ec" "c"]
            + RUN d e f # buildkit
        "#]],
        expect![[r#"
            {"Env":["PATH=/bin:/usr/bin"],"Cmd":["/bin/sh","-ec","c"],"Shell":["/bin/sh","-ec"]}
              /bin/sh -ec #(nop)  SHELL [/bin/sh -ec]
            + /bin/sh -ec a  b
              /bin/sh -ec #(nop)  CMD ["/bin/sh" "-ec" "c"]
            + d e f
        "#]],
    );
}

#[test]
fn go_quotes() {
    check(
        "FROM base:1\nCMD [\"a\\tb\", \"c\\\"d\", \"\\u00e9\", \"\\u0001\"]\n",
        expect![[r#"
            {"Env":["PATH=/bin:/usr/bin"],"Cmd":["a\tb","c\"d","é","\u0001"],"ArgsEscaped":true}
              CMD ["a\tb" "c\"d" "é" "\x01"]
        "#]],
        expect![[r#"
            {"Env":["PATH=/bin:/usr/bin"],"Cmd":["a\tb","c\"d","é","\u0001"]}
              /bin/sh -c #(nop)  CMD ["a\tb" "c\"d" "é" "\x01"]
        "#]],
    );
}

#[test]
fn environment_and_labels() {
    check(
        r#"FROM base:1
ENV A=1 B="two words" C=$A
ENV A='$B'
ENV D e  f
ENV PATH=$PATH:/x G=${A:-z} H=${NOPE:+q}
LABEL "a b"='c d' e="f \"g\"" h=i\ j
LABEL e=$D
"#,
        expect![[r#"
            {"Env":["PATH=/bin:/usr/bin:/x","A=$B","B=two words","C=","D=e  f","G=$B","H="],"Cmd":["sh"],"Labels":{"a b":"c d","e":"e  f","h":"i j"}}
              ENV A=1 B=two words C=
              ENV A=$B
              ENV D=e  f
              ENV PATH=/bin:/usr/bin:/x G=$B H=
              LABEL a b=c d e=f "g" h=i j
              LABEL e=e  f
        "#]],
        expect![[r#"
            {"Env":["PATH=/bin:/usr/bin:/x","A=$B","B=two words","C=","D=e  f","G=$B","H="],"Cmd":["sh"],"Labels":{"a b":"c d","e":"e  f","h":"i j"}}
              /bin/sh -c #(nop)  ENV A=1 B=two words C=
              /bin/sh -c #(nop)  ENV A=$B
              /bin/sh -c #(nop)  ENV D=e  f
              /bin/sh -c #(nop)  ENV PATH=/bin:/usr/bin:/x G=$B H=
              /bin/sh -c #(nop)  LABEL a b=c d e=f "g" h=i j
              /bin/sh -c #(nop)  LABEL e=e  f
        "#]],
    );
}

#[test]
fn directories() {
    check(
        "FROM base:1\nWORKDIR /\nWORKDIR w/x\nWORKDIR ..\nENV Q=q\nWORKDIR ./$Q/\n",
        expect![[r#"
            {"Env":["PATH=/bin:/usr/bin","Q=q"],"Cmd":["sh"],"WorkingDir":"/w/q"}
              WORKDIR /
            + WORKDIR /w/x
            + WORKDIR /w
              ENV Q=q
            + WORKDIR /w/q
        "#]],
        expect![[r#"
            {"Env":["PATH=/bin:/usr/bin","Q=q"],"Cmd":["sh"],"WorkingDir":"/w/q"}
              /bin/sh -c #(nop) WORKDIR /
            + /bin/sh -c #(nop) WORKDIR /w/x
            + /bin/sh -c #(nop) WORKDIR /w
              /bin/sh -c #(nop)  ENV Q=q
            + /bin/sh -c #(nop) WORKDIR /w/q
        "#]],
    );
}

#[test]
fn users_volumes_ports_signals() {
    check(
        r#"FROM base:1
ENV U=app P="90 91"
USER $U
VOLUME $U /x/$U
VOLUME ["/b", "/c d"]
STOPSIGNAL ${S:-SIGINT}
EXPOSE 80 443/udp 8000-8002 $P
MAINTAINER Kate <k@x>
ENV Z=1
"#,
        expect![[r#"
            {"User":"app","ExposedPorts":{"443/udp":{},"80/tcp":{},"8000/tcp":{},"8001/tcp":{},"8002/tcp":{},"90/tcp":{},"91/tcp":{}},"Env":["PATH=/bin:/usr/bin","U=app","P=90 91","Z=1"],"Cmd":["sh"],"Volumes":{"/b":{},"/c d":{},"/x/app":{},"app":{}},"StopSignal":"SIGINT"}
            author Kate <k@x>
              ENV U=app P=90 91
              USER app
              VOLUME [app /x/app]
              VOLUME [/b /c d]
              STOPSIGNAL SIGINT
              EXPOSE [90/tcp 91/tcp 443/udp 80/tcp 8000/tcp 8001/tcp 8002/tcp]
              MAINTAINER Kate <k@x>
              ENV Z=1
        "#]],
        expect![[r#"
            {"User":"app","ExposedPorts":{"443/udp":{},"80/tcp":{},"8000/tcp":{},"8001/tcp":{},"8002/tcp":{},"90/tcp":{},"91/tcp":{}},"Env":["PATH=/bin:/usr/bin","U=app","P=90 91","Z=1"],"Cmd":["sh"],"Volumes":{"/b":{},"/c d":{},"/x/app":{},"app":{}},"StopSignal":"SIGINT"}
            author Kate <k@x>
              /bin/sh -c #(nop)  ENV U=app P=90 91
              /bin/sh -c #(nop)  USER app
              /bin/sh -c #(nop)  VOLUME [app /x/app]
              /bin/sh -c #(nop)  VOLUME [/b /c d]
              /bin/sh -c #(nop)  STOPSIGNAL SIGINT
              /bin/sh -c #(nop)  EXPOSE 90 91 443/udp 80 8000-8002
              /bin/sh -c #(nop)  MAINTAINER Kate <k@x> by Kate <k@x>
              /bin/sh -c #(nop)  ENV Z=1 by Kate <k@x>
        "#]],
    );
}

#[test]
fn health_checks() {
    check(
        r#"FROM base:1
HEALTHCHECK --interval=30s --timeout=1500ms --retries=3 CMD echo "ok"
HEALTHCHECK --start-period=1m CMD ["a", "b"]
HEALTHCHECK NONE
"#,
        expect![[r#"
            {"Env":["PATH=/bin:/usr/bin"],"Cmd":["sh"],"Healthcheck":{"Test":["NONE"]}}
              HEALTHCHECK &{["CMD-SHELL" "echo \"ok\""] "30s" "1.5s" "0s" "0s" '\x03'}
              HEALTHCHECK &{["CMD" "a" "b"] "0s" "0s" "1m0s" "0s" '\x00'}
              HEALTHCHECK &{["NONE"] "0s" "0s" "0s" "0s" '\x00'}
        "#]],
        expect![[r#"
            {"Env":["PATH=/bin:/usr/bin"],"Cmd":["sh"],"Healthcheck":{"Test":["NONE"],"Interval":30000000000,"Timeout":1500000000,"StartPeriod":60000000000,"Retries":3}}
              /bin/sh -c #(nop)  HEALTHCHECK &{["CMD-SHELL" "echo \"ok\""] "30s" "1.5s" "0s" '\x03'}
              /bin/sh -c #(nop)  HEALTHCHECK &{["CMD" "a" "b"] "0s" "0s" "1m0s" '\x00'}
              /bin/sh -c #(nop)  HEALTHCHECK &{["NONE"] "0s" "0s" "0s" '\x00'}
        "#]],
    );
}

#[test]
fn files() {
    check(
        r#"FROM base:1
WORKDIR /d
ENV D=sub F=f
COPY $F ${D}/
COPY --chown=app:app f d /x/
ADD --chown=1:2 f f2
COPY ["f", "/with space/"]
"#,
        expect![[r#"
            {"Env":["PATH=/bin:/usr/bin","D=sub","F=f"],"Cmd":["sh"],"WorkingDir":"/d"}
            + WORKDIR /d
              ENV D=sub F=f
            + COPY f sub/ # buildkit
            + COPY --chown=app:app f d /x/ # buildkit
            + ADD --chown=1:2 f f2 # buildkit
            + COPY f /with space/ # buildkit
        "#]],
        expect![[r#"
            {"Env":["PATH=/bin:/usr/bin","D=sub","F=f"],"Cmd":["sh"],"WorkingDir":"/d"}
            + /bin/sh -c #(nop) WORKDIR /d
              /bin/sh -c #(nop)  ENV D=sub F=f
            + /bin/sh -c #(nop) COPY {files} in sub/ 
            + /bin/sh -c #(nop) COPY --chown=app:app{files} in /x/ 
            + /bin/sh -c #(nop) ADD --chown=1:2{files} in f2 
            + /bin/sh -c #(nop) COPY {files} in /with space/ 
        "#]],
    );
}

#[test]
fn flags_and_heredocs_of_files() {
    check(
        r#"FROM base:1
ENV U=app
COPY --link --chmod=u=rwX --chown=$U --exclude=x <<one f <<two /x/
one
two
COPY --parents --chmod=0600 a/b /
ADD --chown=1 --checksum=sha256:24454f830cdb571e2c4ad15481119c43b3cafd48dd869a9b2945d1036d1dc68d http://h/f f
"#,
        expect![[r#"
            {"Env":["PATH=/bin:/usr/bin","U=app"],"Cmd":["sh"]}
              ENV U=app
            + COPY --chown=app --chmod=u=rwX f <<one <<two /x/ # buildkit
            + COPY --parents --chmod=0600 a/b / # buildkit
            + ADD --chown=1 http://h/f f # buildkit
        "#]],
        expect![[r#"
            {"Env":["PATH=/bin:/usr/bin","U=app"],"Cmd":["sh"]}
              /bin/sh -c #(nop)  ENV U=app
            + /bin/sh -c #(nop) COPY --chown=app{files} in /x/ 
            + /bin/sh -c #(nop) COPY {files} in / 
            + /bin/sh -c #(nop) ADD --chown=1{files} in f 
        "#]],
    );
}

#[test]
fn shared_memory() {
    for (options, expected) in [(options(), (None, 1)), (classic(), (Some(7), 0))] {
        let options = PlanOptions {
            shm_size: Some(7),
            ..options
        };
        let plan = plan_with("FROM base:1\nRUN x\n", &options);
        let Operation::Run(run) = &plan.graph.nodes[1].operation else {
            panic!("it is a RUN");
        };
        assert_eq!((run.shm_size, run.mounts.len()), expected);
    }
}

#[test]
fn arguments_of_the_scanner() {
    check(
        "FROM base:1\nARG BUILDKIT_SBOM_SCAN_STAGE=true\nRUN x\n",
        expect![[r#"
            {"Env":["PATH=/bin:/usr/bin"],"Cmd":["sh"]}
              ARG BUILDKIT_SBOM_SCAN_STAGE=true
            + RUN |1 BUILDKIT_SBOM_SCAN_STAGE=true /bin/sh -c x # buildkit
        "#]],
        expect![[r#"
            {"Env":["PATH=/bin:/usr/bin"],"Cmd":["sh"]}
              /bin/sh -c #(nop)  ARG BUILDKIT_SBOM_SCAN_STAGE=true
            + |1 BUILDKIT_SBOM_SCAN_STAGE=true /bin/sh -c x
        "#]],
    );
    let plan = plan_with(
        "FROM base:1\nARG BUILDKIT_SBOM_SCAN_STAGE=true\nRUN x\n",
        &options(),
    );
    let Operation::Run(run) = &plan.graph.nodes[1].operation else {
        panic!("it is a RUN");
    };
    assert_eq!(run.environment.len(), 1);
}

#[test]
fn arguments() {
    check_with(
        r#"ARG TAG=1
ARG IMG=base:${TAG}
FROM ${IMG:-none}
ARG TAG
ARG N X=${TAG}-z Y
RUN echo
ENV N=env
RUN echo
ARG N=again
RUN echo
ARG HTTP_PROXY
RUN echo
"#,
        &[("N", "given"), ("HTTP_PROXY", "p"), ("UNUSED", "1")],
        expect![[r#"
            {"Env":["PATH=/bin:/usr/bin","N=env"],"Cmd":["sh"]}
              ARG TAG=1
              ARG N=given X=1-z Y
            + RUN |4 TAG=1 N=given X=1-z Y= /bin/sh -c echo # buildkit
              ENV N=env
            + RUN |4 TAG=1 N=env X=1-z Y= /bin/sh -c echo # buildkit
              ARG N=given
            + RUN |4 TAG=1 N=given X=1-z Y= /bin/sh -c echo # buildkit
              ARG HTTP_PROXY=p
            + RUN |5 TAG=1 N=given X=1-z Y= HTTP_PROXY=p /bin/sh -c echo # buildkit
        "#]],
        expect![[r#"
            {"Env":["PATH=/bin:/usr/bin","N=env"],"Cmd":["sh"]}
              /bin/sh -c #(nop)  ARG TAG
              /bin/sh -c #(nop)  ARG N X=1-z Y
            + |3 N=given TAG=1 X=1-z /bin/sh -c echo
              /bin/sh -c #(nop)  ENV N=env
            + |2 TAG=1 X=1-z /bin/sh -c echo
              /bin/sh -c #(nop)  ARG N=again
            + |2 TAG=1 X=1-z /bin/sh -c echo
              /bin/sh -c #(nop)  ARG HTTP_PROXY
            + |3 HTTP_PROXY=p TAG=1 X=1-z /bin/sh -c echo
        "#]],
    );
}

#[test]
fn proxies_stay_out_of_the_history() {
    check_with(
        "FROM base:1\nRUN a\n",
        &[("http_proxy", "p")],
        expect![[r#"
            {"Env":["PATH=/bin:/usr/bin"],"Cmd":["sh"]}
            + RUN /bin/sh -c a # buildkit
        "#]],
        expect![[r#"
            {"Env":["PATH=/bin:/usr/bin"],"Cmd":["sh"]}
            + |0 /bin/sh -c a
        "#]],
    );
}

#[test]
fn automatic_arguments() {
    check(
        "FROM base:1\nARG TARGETPLATFORM BUILDARCH TARGETSTAGE\nRUN x\n",
        expect![[r#"
            {"Env":["PATH=/bin:/usr/bin"],"Cmd":["sh"]}
              ARG TARGETPLATFORM=linux/amd64 BUILDARCH=amd64 TARGETSTAGE=default
            + RUN |3 TARGETPLATFORM=linux/amd64 BUILDARCH=amd64 TARGETSTAGE=default /bin/sh -c x # buildkit
        "#]],
        expect![[r#"
            {"Env":["PATH=/bin:/usr/bin"],"Cmd":["sh"]}
              /bin/sh -c #(nop)  ARG TARGETPLATFORM BUILDARCH TARGETSTAGE
            + /bin/sh -c x
        "#]],
    );
}

#[test]
fn stages_hand_on() {
    check(
        r#"FROM base:1 AS a
ARG Q=1
ENV Z=1
CMD ["a"]
ONBUILD RUN one
MAINTAINER m
FROM a AS b
RUN echo $Q
ENTRYPOINT ["e"]
FROM b
ARG Q
RUN $Q
"#,
        expect![[r#"
            {"Env":["PATH=/bin:/usr/bin","Z=1"],"Entrypoint":["e"],"ArgsEscaped":true}
            author m
              ARG Q=1
              ENV Z=1
              CMD ["a"]
              MAINTAINER m
            + RUN /bin/sh -c one # buildkit
            + RUN /bin/sh -c echo $Q # buildkit
              ENTRYPOINT ["e"]
              ARG Q
            + RUN |1 Q=1 /bin/sh -c $Q # buildkit
        "#]],
        expect![[r#"
            {"Env":["PATH=/bin:/usr/bin","Z=1"],"Entrypoint":["e"]}
              /bin/sh -c #(nop)  ARG Q=1
              /bin/sh -c #(nop)  ENV Z=1
              /bin/sh -c #(nop)  CMD ["a"]
              /bin/sh -c #(nop)  ONBUILD RUN one
              /bin/sh -c #(nop)  MAINTAINER m by m
            + /bin/sh -c one
            + /bin/sh -c echo $Q
              /bin/sh -c #(nop)  ENTRYPOINT ["e"]
              /bin/sh -c #(nop)  ARG Q
            + /bin/sh -c $Q
        "#]],
    );
}

#[test]
fn triggers_of_a_base() {
    let config = ContainerConfig {
        on_build: Some(vec!["RUN one".to_owned(), "ENV OB=1".to_owned()]),
        ..ContainerConfig::default()
    };
    let images = [("docker.io/library/onb:latest", image(config))];
    let text = "FROM onb\nLABEL a=b\n";
    for (options, expected) in [
        (
            options(),
            vec!["RUN /bin/sh -c one # buildkit", "ENV OB=1", "LABEL a=b"],
        ),
        (
            classic(),
            vec![
                "/bin/sh -c one",
                "/bin/sh -c #(nop)  ENV OB=1",
                "/bin/sh -c #(nop)  LABEL a=b",
            ],
        ),
    ] {
        let plan = try_plan(text, &options, &images).unwrap();
        let target = &plan.graph.targets[0];
        let entries = target.config.history.iter().skip(target.inherited_history);
        let entries: Vec<&str> = entries.map(|entry| entry.created_by.as_str()).collect();
        assert_eq!(entries, expected);
        let config = target.config.config.as_ref().unwrap();
        assert_eq!(config.on_build, None);
        let StepKind::From { triggers, .. } = plan.graph.stages[0].steps[0].kind else {
            panic!("the first step is FROM");
        };
        assert_eq!(triggers, 2);
    }
}

#[test]
fn labels_of_the_command_line() {
    let labels = BTreeMap::from([("l".to_owned(), "$v".to_owned())]);
    for (options, expected) in [
        (options(), None),
        (classic(), Some("/bin/sh -c #(nop)  LABEL l=$v")),
    ] {
        let options = PlanOptions {
            labels: labels.clone(),
            ..options
        };
        let plan = plan_with("FROM base:1\n", &options);
        let target = &plan.graph.targets[0];
        let config = target.config.config.as_ref().unwrap();
        assert_eq!(config.labels.as_ref(), Some(&labels));
        let last = target.config.history.get(1);
        assert_eq!(last.map(|entry| entry.created_by.as_str()), expected);
    }
}

#[test]
fn buildkit_drops_what_is_not_an_image_s() {
    let config = ContainerConfig {
        hostname: "h".to_owned(),
        image: "i".to_owned(),
        open_stdin: true,
        tty: true,
        ..ContainerConfig::default()
    };
    let images = [("docker.io/library/x:latest", image(config))];
    let plan = try_plan("FROM x\n", &options(), &images).unwrap();
    let config = plan.graph.targets[0].config.config.clone().unwrap();
    assert!(!config.tty && !config.open_stdin && config.hostname.is_empty());
    let plan = try_plan("FROM x\n", &classic(), &images).unwrap();
    let config = plan.graph.targets[0].config.config.clone().unwrap();
    assert!(config.tty && !config.open_stdin && config.hostname == "h");
}

#[test]
fn a_path_is_always_there() {
    let images = [(
        "docker.io/library/x:latest",
        image(ContainerConfig::default()),
    )];
    for options in [options(), classic()] {
        let plan = try_plan("FROM x\n", &options, &images).unwrap();
        let config = plan.graph.targets[0].config.config.as_ref().unwrap();
        let expected = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
        assert_eq!(config.env_value("PATH"), Some(expected));
    }
}
