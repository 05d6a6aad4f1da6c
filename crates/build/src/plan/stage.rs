//! A stage while its instructions are planned: environment, configuration, history, file system.

use std::collections::BTreeSet;
use std::sync::Arc;

use lapstrake_spec::{ContainerConfig, History, ImageConfig, Platform, RootFs};

use super::history::{Entry, shell_of};
use super::scope::Environment;
use super::{BaseImage, Dialect};
use crate::graph::{NodeId, Origin};

const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What one instruction leaves to the next.
#[derive(Clone, Debug)]
pub(super) struct State {
    pub(super) dialect: Dialect,
    /// Everything but `config`, `container_config` and `history`.
    image: ImageConfig,
    /// How containers run; its environment is in `config_environment`.
    pub(super) run: ContainerConfig,
    pub(super) config_environment: Environment,
    /// What words and RUN see.
    pub(super) environment: Environment,
    /// What ARG declares, in the order of the first mention (BuildKit).
    pub(super) arguments: Environment,
    /// The same names and those of the base, each once.
    pub(super) declared: BTreeSet<String>,
    history: Vec<History>,
    inherited_history: usize,
    pub(super) author: String,
    pub(super) node: NodeId,
    /// Layers of the base and of the nodes so far.
    pub(super) layers: usize,
    pub(super) command_set: bool,
    /// Whether a WORKDIR of this Dockerfile was met.
    pub(super) directory_set: bool,
    /// Classic's configurations of the last instruction: of its image, and of the container before it.
    step_config: Option<Arc<ContainerConfig>>,
    commit_config: Option<Arc<ContainerConfig>>,
}

impl State {
    /// On nothing, or on files without a configuration.
    pub(super) fn empty(dialect: Dialect, node: NodeId, platform: &Platform) -> Self {
        let image = ImageConfig {
            architecture: platform.architecture.clone(),
            os: platform.os.clone(),
            os_version: platform.os_version.clone().unwrap_or_default(),
            os_features: platform.os_features.clone(),
            variant: platform.variant.clone().unwrap_or_default(),
            rootfs: RootFs::default(),
            ..ImageConfig::default()
        };
        let mut run = ContainerConfig::default();
        if dialect == Dialect::BuildKit {
            "/".clone_into(&mut run.working_dir);
        }
        Self::new(dialect, node, image, run)
    }

    /// On an image.
    pub(super) fn on_image(dialect: Dialect, node: NodeId, base: &BaseImage) -> Self {
        let mut image = base.config.clone();
        let run = image.config.take().unwrap_or_default();
        image.container_config = None;
        image.created = None;
        image.container = String::new();
        image.comment = String::new();
        image.docker_version = String::new();
        let run = match dialect {
            Dialect::Classic => {
                image.author = String::new();
                ContainerConfig {
                    open_stdin: false,
                    stdin_once: false,
                    on_build: None,
                    ..run
                }
            }
            Dialect::BuildKit => image_part(run),
        };
        Self::new(dialect, node, image, run)
    }

    fn new(
        dialect: Dialect,
        node: NodeId,
        mut image: ImageConfig,
        mut run: ContainerConfig,
    ) -> Self {
        let history = std::mem::take(&mut image.history);
        let mut environment = Environment::of_config(run.env());
        run.env = None;
        if !environment.contains("PATH") {
            environment.set("PATH", DEFAULT_PATH, Origin::Image);
        }
        Self {
            dialect,
            author: image.author.clone(),
            layers: image.rootfs.diff_ids.len(),
            inherited_history: history.len(),
            image,
            run,
            config_environment: environment.clone(),
            environment,
            arguments: Environment::default(),
            declared: BTreeSet::new(),
            history,
            node,
            command_set: false,
            directory_set: false,
            step_config: None,
            commit_config: None,
        }
    }

    /// On an earlier stage. BuildKit's environment with its arguments is the stage's; classic begins
    /// with the configuration alone.
    pub(super) fn on_stage(base: &Self) -> Self {
        let mut state = base.clone();
        state.run.on_build = None;
        state.arguments = Environment::default();
        state.command_set = false;
        state.step_config = None;
        state.commit_config = None;
        match state.dialect {
            Dialect::Classic => {
                state.author = String::new();
                state.environment = state.config_environment.clone();
            }
            Dialect::BuildKit => {
                for variable in state.config_environment.variables() {
                    let (name, value) = (&variable.name, &variable.value);
                    state.environment.set(name, value, Origin::Image);
                }
            }
        }
        state
    }

    /// Notes what an instruction did.
    pub(super) fn commit(&mut self, entry: &Entry) {
        let shell = shell_of(&self.run);
        if self.dialect == Dialect::Classic {
            let run = self.run_config();
            self.commit_config = Some(Arc::new(entry.commit_config(&run)));
            self.step_config = Some(Arc::new(run));
        }
        let history = entry.history(self.dialect, &shell, &self.author);
        self.history.push(history);
    }

    pub(super) fn history_len(&self) -> usize {
        self.history.len()
    }

    pub(super) fn inherited_history(&self) -> usize {
        self.inherited_history
    }

    /// The image's own platform.
    pub(super) fn image_platform(&self) -> Platform {
        self.image.platform()
    }

    /// How containers run.
    pub(super) fn run_config(&self) -> ContainerConfig {
        let env = self.config_environment.pairs();
        ContainerConfig {
            env: Some(env).filter(|env| !env.is_empty()),
            ..self.run.clone()
        }
    }

    /// Classic's configurations for the image of this step, and about how many texts they have.
    pub(super) fn step_configs(&self) -> StepConfigs {
        if self.dialect == Dialect::BuildKit {
            return StepConfigs::default();
        }
        let run = self.step_config.clone();
        let run = run.unwrap_or_else(|| Arc::new(self.run_config()));
        let volumes = run.volumes.as_ref().map_or(0, BTreeSet::len);
        let labels = run
            .labels
            .as_ref()
            .map_or(0, std::collections::BTreeMap::len);
        StepConfigs {
            weight: run.env().len() + volumes + labels + run.exposed_ports.len(),
            run: Some(run),
            commit: self.commit_config.clone(),
        }
    }

    /// How many texts a copy of this holds.
    pub(super) fn weight(&self) -> usize {
        self.history.len() + self.environment.len() + self.config_environment.len()
    }

    /// The configuration so far.
    pub(super) fn config(&self) -> ImageConfig {
        ImageConfig {
            author: self.author.clone(),
            config: Some(self.run_config()),
            container_config: self.commit_config.as_deref().cloned(),
            history: self.history.clone(),
            ..self.image.clone()
        }
    }
}

/// See [`State::step_configs`].
#[derive(Debug, Default)]
pub(super) struct StepConfigs {
    pub(super) run: Option<Arc<ContainerConfig>>,
    pub(super) commit: Option<Arc<ContainerConfig>>,
    pub(super) weight: usize,
}

/// The members that BuildKit knows: OCI's, and docker's for images.
fn image_part(run: ContainerConfig) -> ContainerConfig {
    let list = |list: Option<Vec<String>>| list.filter(|list| !list.is_empty());
    ContainerConfig {
        user: run.user,
        exposed_ports: run.exposed_ports,
        env: run.env,
        cmd: list(run.cmd),
        healthcheck: run.healthcheck,
        args_escaped: run.args_escaped,
        volumes: run.volumes.filter(|volumes| !volumes.is_empty()),
        working_dir: run.working_dir,
        entrypoint: list(run.entrypoint),
        labels: run.labels.filter(|labels| !labels.is_empty()),
        stop_signal: run.stop_signal,
        shell: list(run.shell),
        ..ContainerConfig::default()
    }
}
