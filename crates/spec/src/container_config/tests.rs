use super::*;

#[test]
fn the_empty_configuration_is_written_as_docker_does() {
    assert_eq!(
        serde_json::to_string(&ContainerConfig::default()).unwrap(),
        r#"{"Hostname":"","Domainname":"","User":"","AttachStdin":false,"AttachStdout":false,"AttachStderr":false,"Tty":false,"OpenStdin":false,"StdinOnce":false,"Env":null,"Cmd":null,"Image":"","Volumes":null,"WorkingDir":"","Entrypoint":null,"OnBuild":null,"Labels":null}"#
    );
}

#[test]
fn a_full_configuration_is_kept_and_ordered() {
    let json = r#"{"Hostname":"h","Domainname":"d","User":"u","AttachStdin":true,"AttachStdout":true,"AttachStderr":true,"ExposedPorts":{"53/udp":{},"80/tcp":{}},"Tty":true,"OpenStdin":true,"StdinOnce":true,"Env":["A=b"],"Cmd":["sh"],"Healthcheck":{"Test":["CMD-SHELL","true"],"Interval":1000000000,"Timeout":1,"StartPeriod":2,"StartInterval":3,"Retries":4},"ArgsEscaped":true,"Image":"i","Volumes":{"/v":{}},"WorkingDir":"/w","Entrypoint":[],"NetworkDisabled":true,"MacAddress":"02:42:ac:11:00:02","OnBuild":[],"Labels":{},"StopSignal":"SIGINT","StopTimeout":5,"Shell":["/bin/bash","-c"]}"#;
    let config: ContainerConfig = serde_json::from_str(json).unwrap();
    assert_eq!(serde_json::to_string(&config).unwrap(), json);
}

#[test]
fn old_and_odd_documents_are_read() {
    let config: ContainerConfig = serde_json::from_str(
        r#"{"Hostname":null,"Tty":null,"Cmd":"ls","Entrypoint":null,"ExposedPorts":null,"Volumes":{"/v":null},"Healthcheck":{"Test":null},"Nonsense":[1],"PortSpecs":null}"#,
    )
    .unwrap();
    assert_eq!(config.cmd(), ["ls"]);
    assert_eq!(config.entrypoint, None);
    assert!(config.volumes.unwrap().contains("/v"));
}

#[test]
fn images_show_only_what_is_set() {
    let config: ContainerConfig = serde_json::from_str(
        r#"{"Hostname":"h","User":"nobody","ExposedPorts":{"80/tcp":{}},"Env":["A=b"],"Cmd":["x"],"Volumes":{"/v":{}},"WorkingDir":"/tmp","Entrypoint":["/e"],"OnBuild":["RUN true"],"Labels":{"version":"1.0"}}"#,
    )
    .unwrap();
    assert_eq!(
        serde_json::to_string(&config.image_run_config()).unwrap(),
        r#"{"User":"nobody","ExposedPorts":{"80/tcp":{}},"Env":["A=b"],"Entrypoint":["/e"],"Cmd":["x"],"Volumes":{"/v":{}},"WorkingDir":"/tmp","Labels":{"version":"1.0"},"OnBuild":["RUN true"]}"#
    );
    let empty = ContainerConfig::default();
    assert_eq!(
        serde_json::to_string(&empty.image_run_config()).unwrap(),
        "{}"
    );
}

#[test]
fn environment_variables_keep_their_place() {
    let mut config = ContainerConfig::default();
    config.set_env("A", "1");
    config.set_env("B", "2");
    config.set_env("A", "3=4");
    assert_eq!(config.env(), ["A=3=4", "B=2"]);
    assert_eq!(config.env_value("A"), Some("3=4"));
    assert_eq!(config.env_value("C"), None);
}
