//! What the process was given: the only file that reads the environment.
//!
//! | variable | meaning |
//! | --- | --- |
//! | `HOME` | the user's folder; `~/.docker` is in it |
//! | `XDG_DATA_HOME` | where an ordinary user's store lies |
//! | `LAPSTRAKE_ROOT` | the store, in place of the usual one |
//! | `DOCKER_CONFIG` | the folder of the client's configuration |
//! | `DOCKER_HOST`, `DOCKER_CONTEXT` | a daemon; there is none, so one elsewhere is answered with a warning |
//! | `DOCKER_DEFAULT_PLATFORM` | the platform to pull and run unless a flag says otherwise |
//! | `DOCKER_CONTENT_TRUST` | whether images must be signed |
//! | `DOCKER_CONTENT_TRUST_REPOSITORY_PASSPHRASE` | what opens the key that signs |
//! | `LAPSTRAKE_POLICY` | the policy that says by whom, in place of the usual ones |
//! | `DOCKER_BUILDKIT` | 0: builds look and count as in docker's classic builder |
//! | `BUILDKIT_PROGRESS` | how builds show their progress unless a flag says otherwise |
//! | `NO_COLOR` | builds use no colours on a terminal |
//! | `SOURCE_DATE_EPOCH` | the time of what is built, in seconds |
//! | `SSH_AUTH_SOCK` | the agent that `build --ssh` stands for |
//! | `HTTP_PROXY`, `HTTPS_PROXY`, `NO_PROXY` | proxies, in capitals or small letters |
//!
//! `run -e NAME`, `--env-file`, `build --build-arg NAME` and `build --secret` also take any variable's value
//! from here.

use lapstrake_engine::settings::{Inputs, Proxy};
use lapstrake_engine::{Secret, TrustFiles};
use std::path::{Path, PathBuf};

/// The environment's values.
#[derive(Debug, Clone, Default)]
pub(crate) struct Environment {
    home: Option<PathBuf>,
    data_home: Option<PathBuf>,
    root: Option<PathBuf>,
    config_dir: Option<PathBuf>,
    host: Option<String>,
    context: Option<String>,
    default_platform: Option<String>,
    content_trust: bool,
    policy: Option<PathBuf>,
    passphrase: Option<Secret>,
    buildkit: Option<String>,
    build_progress: Option<String>,
    has_colours: bool,
    proxy: Proxy,
}

impl Environment {
    /// Reads the environment of the process.
    pub(crate) fn read() -> Self {
        let path = |name: &str| {
            variable(name)
                .filter(|value| !value.is_empty())
                .map(PathBuf::from)
        };
        let either = |capital: &str, small: &str| {
            let found = variable(capital).filter(|value| !value.is_empty());
            found.or_else(|| variable(small).filter(|value| !value.is_empty()))
        };
        Self {
            home: path("HOME"),
            data_home: path("XDG_DATA_HOME"),
            root: path("LAPSTRAKE_ROOT"),
            config_dir: path("DOCKER_CONFIG"),
            host: variable("DOCKER_HOST").filter(|value| !value.is_empty()),
            context: variable("DOCKER_CONTEXT").filter(|value| !value.is_empty()),
            default_platform: variable("DOCKER_DEFAULT_PLATFORM").filter(|value| !value.is_empty()),
            // What is no truth value means on, as in docker: whoever sets it wants signatures.
            content_trust: variable("DOCKER_CONTENT_TRUST")
                .filter(|value| !value.is_empty())
                .is_some_and(|value| crate::args::parse_bool(&value).unwrap_or(true)),
            policy: path("LAPSTRAKE_POLICY"),
            passphrase: variable("DOCKER_CONTENT_TRUST_REPOSITORY_PASSPHRASE").map(Secret::from),
            buildkit: variable("DOCKER_BUILDKIT"),
            build_progress: variable("BUILDKIT_PROGRESS"),
            has_colours: variable("NO_COLOR").is_none_or(|value| value.is_empty()),
            proxy: Proxy {
                http: either("HTTP_PROXY", "http_proxy"),
                https: either("HTTPS_PROXY", "https_proxy"),
                no_proxy: either("NO_PROXY", "no_proxy"),
            },
        }
    }

    /// Nothing but a folder for everything.
    #[cfg(test)]
    pub(crate) fn within(folder: &Path) -> Self {
        Self {
            home: Some(folder.to_owned()),
            root: Some(folder.join("root")),
            config_dir: Some(folder.join("config")),
            ..Self::default()
        }
    }

    /// Whether images must be signed unless a flag says otherwise.
    pub(crate) fn content_trust(&self) -> bool {
        self.content_trust
    }

    /// `DOCKER_HOST`.
    pub(crate) fn host(&self) -> Option<&str> {
        self.host.as_deref()
    }

    /// `DOCKER_CONTEXT`.
    pub(crate) fn context(&self) -> Option<&str> {
        self.context.as_deref()
    }

    /// Where policies and keys for content trust are.
    pub(crate) fn trust_files(&self) -> TrustFiles {
        TrustFiles::usual(self.policy.clone(), self.home.as_deref())
    }

    /// Where private keys are kept.
    pub(crate) fn private_keys(&self) -> PathBuf {
        let home = self.home.clone();
        let home = home.unwrap_or_else(|| PathBuf::from("/root"));
        home.join(".config/lapstrake/private")
    }

    /// What opens private keys.
    pub(crate) fn passphrase(&self) -> Option<&Secret> {
        self.passphrase.as_ref()
    }

    /// `DOCKER_BUILDKIT`.
    pub(crate) fn buildkit(&self) -> Option<&str> {
        self.buildkit.as_deref()
    }

    /// `BUILDKIT_PROGRESS`.
    pub(crate) fn build_progress(&self) -> Option<&str> {
        self.build_progress.as_deref()
    }

    /// Whether terminals get colours.
    pub(crate) fn has_colours(&self) -> bool {
        self.has_colours
    }

    /// The value of any variable, for a container or a build.
    pub(crate) fn variable(name: &str) -> Option<String> {
        variable(name)
    }

    /// The names of all variables.
    pub(crate) fn names() -> Vec<String> {
        let all = std::env::vars_os();
        all.filter_map(|(name, _value)| name.into_string().ok())
            .collect()
    }

    /// The folder of the client's configuration, for texts.
    pub(crate) fn config_dir(&self) -> PathBuf {
        let usual = || {
            self.home
                .clone()
                .unwrap_or_else(|| PathBuf::from("/root"))
                .join(".docker")
        };
        self.config_dir.clone().unwrap_or_else(usual)
    }

    /// A path made absolute.
    pub(crate) fn absolute(path: &Path) -> PathBuf {
        if path.is_absolute() {
            return path.to_owned();
        }
        #[expect(
            clippy::disallowed_methods,
            reason = "the working directory is read here alone"
        )]
        let folder = std::env::current_dir().unwrap_or_default();
        let mut out = folder;
        for part in path.components() {
            match part {
                std::path::Component::ParentDir => {
                    out.pop();
                }
                std::path::Component::Normal(name) => out.push(name),
                _ => {}
            }
        }
        out
    }

    /// What the engine's settings take from here.
    pub(crate) fn inputs(&self) -> Inputs {
        Inputs {
            root: self.root.clone(),
            config_dir: self.config_dir.clone(),
            home: self.home.clone(),
            data_home: self.data_home.clone(),
            proxy: self.proxy.clone(),
            default_platform: self.default_platform.clone(),
            is_root: rustix::process::geteuid().is_root(),
            ..Inputs::default()
        }
    }
}

/// One variable, when it is set and valid text.
fn variable(name: &str) -> Option<String> {
    #[expect(
        clippy::disallowed_methods,
        reason = "the environment is read here alone"
    )]
    let value = std::env::var_os(name)?;
    value.into_string().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_output_shows_no_secret() {
        let environment = Environment {
            passphrase: Some(Secret::from("hush".to_owned())),
            proxy: Proxy {
                http: Some("http://u:hush@p:1".to_owned()),
                ..Proxy::default()
            },
            ..Environment::default()
        };
        let text = format!("{environment:?} {:?}", environment.inputs());
        assert!(!text.contains("hush") && text.contains("p:1"), "{text}");
    }
}
