//! Runs cases: makes their files, builds, compares.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use super::base;
use super::case::{Case, Input, Part, tar};
use super::engine::{Build, Builder, Dialect};
use super::listing::View;
use super::parts::Finished;
use super::server::FileServer;
use crate::tree::Tree;
use crate::{Directory, TestRegistry};

/// Where the cases are.
pub fn corpus_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../it/build-corpus")
}

/// What all builds of a run share: base images, a server of files, a folder.
#[derive(Debug)]
pub struct Session {
    registry: TestRegistry,
    server: FileServer,
    directory: Directory,
    digest: String,
    base: Tree,
    builds: AtomicU32,
}

/// Two texts that should be the same.
#[derive(Debug)]
pub struct Difference {
    /// Lines of the first text that the second has not, then the reverse, in order of place.
    pub lines: Vec<String>,
}

impl Session {
    /// Starts the servers.
    pub fn start() -> Self {
        let registry = TestRegistry::start();
        let mut digest = String::new();
        for (name, config) in base::configurations() {
            let image = base::image(&config);
            registry.put(name, &image);
            if name == "box:1" {
                digest = image.descriptor.digest.to_string();
            }
        }
        let directory = Directory::new();
        let server = FileServer::start(directory.path());
        Self {
            registry,
            server,
            directory,
            digest,
            base: base::tree(),
            builds: AtomicU32::new(0),
        }
    }

    /// All cases, or those whose names begin so.
    pub fn cases(prefixes: &[String]) -> Vec<Case> {
        let mut folders: Vec<PathBuf> = fs::read_dir(corpus_folder())
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.join("Dockerfile").exists())
            .collect();
        folders.sort_unstable();
        let wanted = |case: &Case| {
            prefixes.is_empty() || prefixes.iter().any(|prefix| case.name.starts_with(prefix))
        };
        folders
            .iter()
            .map(|folder| Case::read(folder))
            .filter(wanted)
            .collect()
    }

    /// Gives an engine the base images.
    pub fn prepare(&self, builder: &Builder) {
        for (name, _) in base::configurations() {
            builder.pull(&self.registry.reference(name).to_string(), name);
        }
    }

    /// Whether the engine can be asked for this case.
    pub fn can(builder: &Builder, case: &Case) -> bool {
        builder.can(case)
    }

    /// What an engine makes of a case, as text; or what it said when it failed.
    pub fn build(&self, builder: &Builder, case: &Case) -> Result<String, String> {
        let turn = self.builds.fetch_add(1, Ordering::Relaxed).to_string();
        let directory = self.directory.join(&turn).join(&case.name);
        let address = format!("{}/{turn}", self.server.address());
        let levels = [
            (address, "HTTP"),
            (self.registry.address(), "REGISTRY"),
            (self.digest.clone(), "DIGEST"),
            (directory.to_str().unwrap().to_owned(), "DIR"),
        ];
        let nothing = Tree::default();
        let view = View {
            base: if case.is_scratch {
                &nothing
            } else {
                &self.base
            },
            case,
            levels: &levels,
        };
        let dockerfile = view.filled(&dockerfile(builder, case));
        case.make_files(&directory, &dockerfile);
        builder.forget_contexts();
        let work = Work {
            builder,
            case,
            registry: self.registry.root(),
            directory: &directory,
            view: &view,
            dockerfile: &dockerfile,
        };
        let text = work.text();
        builder.clear();
        fs::remove_dir_all(&directory).unwrap();
        text
    }
}

/// The text of the Dockerfile for this engine.
fn dockerfile(builder: &Builder, case: &Case) -> String {
    let is_docker = matches!(builder, Builder::Docker { .. });
    let equivalent = case.folder.join("Dockerfile.docker");
    let source = if is_docker && equivalent.exists() {
        equivalent
    } else {
        case.folder.join("Dockerfile")
    };
    let text = fs::read_to_string(source).unwrap();
    if !case.strip_syntax || !is_docker {
        return text;
    }
    let kept = text.lines().filter(|line| !line.starts_with("# syntax="));
    kept.flat_map(|line| [line, "\n"]).collect()
}

/// The building of one case.
struct Work<'a> {
    builder: &'a Builder,
    case: &'a Case,
    registry: &'a Path,
    directory: &'a Path,
    view: &'a View<'a>,
    dockerfile: &'a str,
}

impl Work<'_> {
    fn text(&self) -> Result<String, String> {
        let Some(second) = &self.case.second else {
            return self.run(&[], true)?.text();
        };
        let first = self.run(&self.case.first, true)?;
        let first = first.tree()?;
        if second.is_elsewhere {
            self.builder.forget();
        }
        let made = self.run(&second.flags, false)?;
        let mut text = made.text()?;
        text.push_str(&self.view.kept(&first, &made.tree()?));
        Ok(text)
    }

    /// Builds, and must not fail where nothing says that a failure is expected.
    fn run(&self, more: &[String], is_afresh: bool) -> Result<Finished<'_>, String> {
        let case = self.case;
        let filled = |text: &str| self.view.filled(text);
        let name = format!("corpus/{}", case.name);
        let mut arguments = Vec::new();
        if case.is_tagged {
            arguments.extend(["-t".to_owned(), name.clone()]);
        }
        // A second build is about what it takes from the first.
        if is_afresh && !case.flags.iter().any(|flag| flag == "--no-cache-filter") {
            arguments.push("--no-cache".to_owned());
        }
        arguments.extend(case.flags.iter().chain(more).map(|flag| filled(flag)));
        let (last, input) = match &case.input {
            Input::Argument(word) => (filled(word), Vec::new()),
            Input::Tar(program) => (
                "-".to_owned(),
                tar(&self.directory.join("context"), program),
            ),
            Input::Dockerfile => ("-".to_owned(), self.dockerfile.as_bytes().to_vec()),
            Input::Both => (filled("@DIR@/context"), self.dockerfile.as_bytes().to_vec()),
        };
        arguments.push(last);
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let variables = case.variables.iter();
        let variables: Vec<_> = variables
            .map(|(name, value)| (name.clone(), filled(value)))
            .collect();
        let build = Build {
            arguments: &arguments,
            variables: &variables,
            input: &input,
            labs: case.labs,
        };
        let ran = self.builder.build(&build);
        let status = ran.status();
        let stdout = if case.parts.contains(&Part::Exit) {
            ran.stdout
        } else {
            ran.good()?
        };
        Ok(Finished {
            builder: self.builder,
            name,
            registry: self.registry,
            directory: self.directory,
            view: self.view,
            stdout,
            status,
        })
    }
}

impl Case {
    /// What was recorded: the name of the file, and its text without the first line.
    pub fn expected(&self, dialect: Dialect) -> Vec<(&'static str, String)> {
        let names: &[&'static str] = match dialect {
            Dialect::BuildKit => &["expected", "expected.20"],
            Dialect::Classic => &["expected.classic"],
        };
        let read = |name: &&'static str| {
            let text = fs::read_to_string(self.folder.join(name)).ok()?;
            let (_, text) = text.split_once('\n').unwrap();
            Some((*name, text.to_owned()))
        };
        names.iter().filter_map(read).collect()
    }

    /// Records what an engine made; docker 20.10's only where it is not the newer one's.
    pub fn record(&self, builder: &Builder, text: &str) {
        let name = match (builder.dialect(), builder.major()) {
            (_, None) => panic!("only docker says what is expected"),
            (Dialect::Classic, _) => "expected.classic",
            (Dialect::BuildKit, Some(..=22)) => "expected.20",
            (Dialect::BuildKit, Some(_)) => "expected",
        };
        let path = self.folder.join(name);
        let known = self.expected(Dialect::BuildKit);
        if name == "expected.20"
            && known
                .iter()
                .any(|(name, known)| *name == "expected" && known == text)
        {
            fs::remove_file(path).ok();
            return;
        }
        fs::write(path, format!("# {}\n{text}", builder.version())).unwrap();
    }
}

impl Difference {
    /// The difference between two texts; none when there is none.
    pub fn between(one: &str, other: &str) -> Option<Self> {
        if one == other {
            return None;
        }
        let (first, second): (Vec<&str>, Vec<&str>) =
            (one.lines().collect(), other.lines().collect());
        let missing = |from: &[&str], to: &[&str], sign: &str| -> Vec<String> {
            let mut left = to.to_vec();
            from.iter()
                .filter(|line| match left.iter().position(|known| known == *line) {
                    Some(at) => {
                        left.remove(at);
                        false
                    }
                    None => true,
                })
                .map(|line| format!("{sign} {line}"))
                .collect()
        };
        let mut lines = missing(&first, &second, "-");
        lines.extend(missing(&second, &first, "+"));
        if lines.is_empty() {
            lines.push("the order of lines".to_owned());
        }
        Some(Self { lines })
    }
}
