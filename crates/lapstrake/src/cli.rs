//! From words to a command: global flags, groups, help, then the command itself.

use crate::args::{
    Command, Entry, Flag, Group, HelpStyle, Matches, Node, Parsed, UsageError, flag_hint, help,
    nearest, parse, root_help, typographic_hint, usage_line,
};
use crate::commands::{ROOT, Run, absent, group_flags, with_trust};
use crate::complete;
use crate::env::Environment;
use crate::failure::Failure;
use crate::global::{self, Global};
use crate::guide;
use crate::reaper;
use crate::ui::Output;
use lapstrake_engine::registry::credentials::DockerConfig;
use lapstrake_engine::settings::{self, client::ClientConfig};
use lapstrake_engine::{Engine, Settings};

/// The flags before the command.
pub(crate) static GLOBALS: [Flag; 13] = [
    Flag::text("config", "Location of client config files"),
    Flag::text(
        "context",
        "Name of the context to use to connect to the daemon (accepted and not used: there is no daemon)",
    )
    .short('c'),
    Flag::bool("debug", "Enable debug mode").short('D'),
    Flag::list("host", "Daemon socket to connect to (accepted and not used: there is no daemon)")
        .short('H'),
    Flag::list("insecure-registry", "Registry that may be reached without TLS")
        .check(settings::check_insecure_registry),
    Flag::text(
        "log-level",
        "Set the logging level (\"debug\", \"info\", \"warn\", \"error\", \"fatal\")",
    )
    .short('l')
    .default("info"),
    Flag::list("registry-mirror", "Mirror of Docker Hub, asked first")
        .check(settings::check_mirror),
    Flag::text("root", "Folder of the store"),
    Flag::bool("tls", "Use TLS; implied by --tlsverify").hidden(),
    Flag::text("tlscacert", "Trust certs signed only by this CA").hidden(),
    Flag::text("tlscert", "Path to TLS certificate file").hidden(),
    Flag::text("tlskey", "Path to TLS key file").hidden(),
    Flag::bool("tlsverify", "Use TLS and verify the remote").hidden(),
];

/// `-v`, which only stands before a command.
const VERSION: Flag = Flag::bool("version", "Print version information and quit").short('v');

/// The commands that stand first in the help.
const COMMON: [&str; 11] = [
    "run", "ps", "build", "pull", "push", "images", "login", "logout", "search", "version", "info",
];

/// Docker's version whose client the texts follow; shown when invoked as `docker`.
const DOCKER_VERSION: &str = "28.5.2";

/// What a command gets.
pub(crate) struct Invocation<'a> {
    /// The name the program was invoked as.
    pub program: &'a str,
    /// The name of the command as typed, aliases included.
    pub called_as: &'a str,
    /// Flags and arguments.
    pub matches: &'a Matches,
    /// Where output goes.
    pub output: &'a Output,
    /// The environment.
    pub env: &'a Environment,
    /// The engine, with the settings in force.
    pub engine: &'a Engine,
    /// What `config.json` says of formats and filters.
    pub client: &'a ClientConfig,
}

impl std::fmt::Debug for Invocation<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Invocation")
            .field("matches", self.matches)
            .finish_non_exhaustive()
    }
}

/// Runs a command line; the result is the exit status.
pub(crate) fn run(
    program: &str,
    args: &[String],
    env: &Environment,
    output: &Output,
) -> Result<u8, Failure> {
    let cli = Cli {
        program,
        env,
        output,
        args,
    };
    cli.root().map_err(|failure| match typographic_hint(args) {
        Some(hint) => failure.with_hint(hint),
        None => failure,
    })
}

struct Cli<'a> {
    program: &'a str,
    env: &'a Environment,
    output: &'a Output,
    args: &'a [String],
}

/// The table of the global flags, `-v` included. Defaults that depend on the user are filled in.
pub(crate) fn globals() -> Vec<Flag> {
    let mut flags = GLOBALS.to_vec();
    flags.push(VERSION);
    flags
}

impl Cli<'_> {
    fn root(&self) -> Result<u8, Failure> {
        let flags = globals();
        let usage = format!("{} [OPTIONS] COMMAND [ARG...]", self.program);
        let parsed = parse(&flags, self.args, false).map_err(|error| {
            let hint = error
                .unknown
                .name
                .as_deref()
                .and_then(|name| flag_hint(name, &flags));
            UsageError::flag(&error.message, self.program, &usage).with_hint(hint)
        })?;
        for notice in &parsed.notices {
            self.output.err_line(notice);
        }
        let global = Global::new(&flags, &parsed)?;
        let Some((word, rest)) = parsed.positional.split_first() else {
            if global.version {
                self.output.line(&self.version());
            } else if parsed.help {
                self.output.print(&self.first_help());
            } else {
                self.output
                    .err_line(self.first_help().trim_end_matches('\n'));
            }
            return Ok(0);
        };
        if word == "help" {
            return self.help(rest);
        }
        if word == complete::ROLE || word == complete::ROLE_WITHOUT_DESCRIPTIONS {
            self.complete(rest, word == complete::ROLE);
            return Ok(0);
        }
        let Some(entry) = ROOT.find(word) else {
            return Err(self.unknown(word));
        };
        let mut rest = rest.to_vec();
        if parsed.help {
            rest.insert(0, "--help".to_owned());
        }
        self.entry(self.program, entry, word, &rest, &global)
    }

    /// Answers a shell that completes a command line.
    fn complete(&self, words: &[String], with_descriptions: bool) {
        let flags = globals();
        let settings = |before: &[String]| {
            let parsed = parse(&flags, before, false).ok()?;
            let global = Global::new(&flags, &parsed).ok()?;
            Settings::resolve(global.inputs(self.env)).ok()
        };
        let engine = |before: &[String]| {
            let settings = settings(before)?;
            settings.root.is_dir().then(|| Engine::open(settings, now))
        };
        let servers = |before: &[String]| {
            let folder = settings(before).map(|settings| settings.config_dir);
            let config = folder.map(|folder| DockerConfig::load_or_empty(&folder));
            let servers = config.iter().flat_map(DockerConfig::servers);
            servers.map(str::to_owned).collect()
        };
        let sources = complete::Sources {
            globals: &flags,
            engine: &engine,
            servers: &servers,
            variables: &Environment::names,
            topics: &guide::TOPIC_NAMES,
        };
        let offer = complete::complete(words, &sources);
        self.output.print(&offer.text(with_descriptions));
    }

    fn unknown(&self, word: &str) -> Failure {
        let names = ROOT
            .entries
            .iter()
            .flat_map(|entry| std::iter::once(entry.name).chain(entry.aliases.iter().copied()));
        let hint = if absent::is_command("", word) {
            Some(absent::hint(self.program))
        } else {
            nearest(word, names).map(|near| format!("did you mean `{} {near}`?", self.program))
        };
        UsageError::unknown_command(self.program, word)
            .with_hint(hint)
            .into()
    }

    fn version(&self) -> String {
        let own = env!("CARGO_PKG_VERSION");
        if self.program == "docker" {
            format!("Docker version {DOCKER_VERSION}, build lapstrake-{own}")
        } else {
            format!("Lapstrake version {own}")
        }
    }

    fn style() -> HelpStyle {
        match rustix::termios::tcgetwinsize(rustix::stdio::stdin()) {
            Ok(size) if size.ws_col > 0 => HelpStyle {
                columns: usize::from(size.ws_col),
            },
            _ => HelpStyle::default(),
        }
    }

    fn root_help(&self) -> String {
        let mut flags = globals();
        let config: &'static str =
            Box::leak(self.env.config_dir().display().to_string().into_boxed_str());
        if let Some(flag) = flags.first_mut() {
            *flag = flag.default(config);
        }
        root_help(self.program, &ROOT, &COMMON, &flags, Self::style())
    }

    /// The root's help, with the way to everything else where docker has an address.
    fn first_help(&self) -> String {
        format!(
            "{}\nFor more help, run '{} help'\n",
            self.root_help(),
            self.program
        )
    }

    /// `help`, `help image ls`, `help layers`.
    fn help(&self, words: &[String]) -> Result<u8, Failure> {
        if let [word] = words
            && ROOT.find(word).is_none()
            && let Some(topic) = guide::topic(word)
        {
            self.output.print(&topic.shown(self.program));
            return Ok(0);
        }
        if words.iter().any(|word| word == "--help" || word == "-h") {
            self.output.print(&format!(
                "Usage:  {} help [COMMAND | TOPIC]\n\nHelp about a command or a topic\n",
                self.program
            ));
            return Ok(0);
        }
        let mut path = self.program.to_owned();
        let mut node: Option<Node<Run>> = None;
        for (index, word) in words.iter().enumerate() {
            let entry = match node {
                None => ROOT.find(word),
                Some(Node::Group(group)) => group.find(word),
                Some(Node::Leaf(_)) => None,
            };
            let rest = words.get(index..).unwrap_or_default();
            let entry = entry.ok_or_else(|| self.unknown_topic(rest, index == 0))?;
            path = format!("{path} {}", entry.name);
            node = Some(entry.node);
        }
        let text = match node {
            Some(node) => help(self.program, &path, node, Self::style()),
            None => self.root_help() + &guide::topic_list(self.program),
        };
        self.output.print(&text);
        Ok(0)
    }

    fn unknown_topic(&self, words: &[String], is_first: bool) -> Failure {
        let failure = Failure::new(format!("unknown help topic: {}", words.join(" ")));
        let (true, [word]) = (is_first, words) else {
            return failure;
        };
        let commands = ROOT.entries.iter().map(|entry| entry.name);
        match guide::nearest_topic(word).or_else(|| nearest(word, commands)) {
            Some(near) => {
                failure.with_hint(format!("did you mean `{} help {near}`?", self.program))
            }
            None => failure.with_hint(format!("`{} help` lists commands and topics", self.program)),
        }
    }

    fn entry(
        &self,
        parent: &str,
        entry: &'static Entry<Run>,
        called_as: &str,
        rest: &[String],
        global: &Global,
    ) -> Result<u8, Failure> {
        let path = format!("{parent} {}", entry.name);
        match entry.node {
            Node::Group(group) => self.group(&path, group, rest, global),
            Node::Leaf(command) => self.leaf(&path, command, called_as, rest, global),
        }
    }

    fn group(
        &self,
        path: &str,
        group: &'static Group<Run>,
        rest: &[String],
        global: &Global,
    ) -> Result<u8, Failure> {
        let parsed = parse(group_flags(group), rest, false)
            .map_err(|error| UsageError::flag(&error.message, path, &group_usage(path)))?;
        let text = || help(self.program, path, Node::Group(group), Self::style());
        self.notices(&parsed);
        let Some((word, rest)) = parsed.positional.split_first() else {
            if parsed.help {
                self.output.print(&text());
            } else {
                self.output.err_line(text().trim_end_matches('\n'));
            }
            return Ok(0);
        };
        let Some(entry) = group.find(word) else {
            if parsed.help {
                self.output.print(&text());
                return Ok(0);
            }
            let names = group
                .entries
                .iter()
                .flat_map(|entry| std::iter::once(entry.name).chain(entry.aliases.iter().copied()));
            let usage = group_usage(path);
            // `container import`: the word is right, the place is not.
            let own = path.strip_prefix(self.program).unwrap_or_default();
            let hint = match ROOT.find(word) {
                _ if absent::is_command(own.trim_start(), word) => Some(absent::hint(self.program)),
                Some(entry) => Some(format!("did you mean `{} {}`?", self.program, entry.name)),
                None => nearest(word, names).map(|near| format!("did you mean `{path} {near}`?")),
            };
            return Err(
                UsageError::unknown_subcommand(self.program, path, &usage, word)
                    .with_hint(hint)
                    .into(),
            );
        };
        let mut rest = rest.to_vec();
        if parsed.help {
            rest.insert(0, "--help".to_owned());
        }
        self.entry(path, entry, word, &rest, global)
    }

    /// Notices go where the text they belong to goes.
    fn notices(&self, parsed: &Parsed) {
        for notice in &parsed.notices {
            self.output.line(notice);
        }
    }

    /// All names of a command, without the program's.
    fn names<'p>(&self, path: &'p str, command: &Command<Run>) -> Vec<&'p str> {
        let own = path.strip_prefix(self.program).unwrap_or(path).trim_start();
        let mut names = vec![own];
        names.extend(command.aliases);
        names
    }

    fn leaf(
        &self,
        path: &str,
        command: &'static Command<Run>,
        called_as: &str,
        rest: &[String],
        global: &Global,
    ) -> Result<u8, Failure> {
        let usage = usage_line(path, command.usage);
        let parsed = parse(command.flags, rest, command.interspersed).map_err(|error| {
            let names = self.names(path, command);
            let name = error.unknown.name.as_deref();
            // `-force` is a name with a dash too few; `-p8080:80` and `-itdp` end with a letter's value.
            let is_known = name.is_some_and(|name| command.flags.iter().any(|f| f.long == name));
            let letter = error.unknown.letter.as_deref().filter(|_| !is_known);
            let mut words = name.into_iter().chain(letter);
            if let Some((message, hint)) = words.find_map(|word| absent::flag(&names, word)) {
                return UsageError::flag(&message, path, &usage).with_hint(hint);
            }
            let hint = name.and_then(|name| flag_hint(name, command.flags));
            UsageError::flag(&error.message, path, &usage).with_hint(hint)
        })?;
        self.notices(&parsed);
        if parsed.help {
            self.output.print(&help(
                self.program,
                path,
                Node::Leaf(command),
                Self::style(),
            ));
            return Ok(0);
        }
        command
            .arity
            .check(parsed.positional.len(), self.program, path, &usage)?;
        let matches = Matches::new(command.flags, parsed);
        let client = self.client_config(global);
        global.check_endpoint(self.env, &client, self.output)?;
        let mut settings = match Settings::resolve(global.inputs(self.env)) {
            Ok(settings) => settings,
            // The command that says what is wrong must not fail of it.
            Err(_wrong) if global::may_lack_settings(path) => global.without_file(self.env)?,
            Err(error) => return Err(error.into()),
        };
        settings.trace = global::trace(&settings);
        let engine = Engine::open(settings, now).with_zone(jiff::tz::TimeZone::system);
        let engine = with_trust(engine, command, &matches, self.env);
        let invocation = Invocation {
            program: self.program,
            called_as,
            matches: &matches,
            output: self.output,
            env: self.env,
            engine: &engine,
            client: &client,
        };
        let result = (command.run)(&invocation);
        self.output.flush();
        if reaper::may_be_needed(path) {
            reaper::start_if_needed(&engine);
        }
        result
    }
}

impl Cli<'_> {
    /// What `config.json` says. A mistake in it is told, and what can be understood counts.
    fn client_config(&self, global: &Global) -> ClientConfig {
        let folder = global.config_dir(self.env);
        let client = match ClientConfig::load(&folder) {
            Ok(client) => client,
            Err(error) => {
                let path = folder.join("config.json");
                let text = crate::failure::io_text(&error);
                self.output.err_line(&format!(
                    "WARNING: Error loading config file: open {}: {text}",
                    path.display()
                ));
                return ClientConfig::default();
            }
        };
        if let Some(problem) = client.problems.first() {
            self.output.err_line(&format!(
                "WARNING: Error parsing config file ({}): {}",
                folder.join("config.json").display(),
                problem.message
            ));
        } else if let Err(error) = DockerConfig::load(&folder) {
            self.output.err_line(&format!("WARNING: {error}"));
        }
        client
    }
}

/// The wall clock.
pub(crate) fn now() -> jiff::Timestamp {
    jiff::Timestamp::now()
}

/// The usage line of a group: one of them is complete in docker.
fn group_usage(path: &str) -> String {
    if path.ends_with(" volume") {
        format!("{path} COMMAND")
    } else {
        path.to_owned()
    }
}
