//! Manual pages: one for the program, one for each command and each group, from the table of commands.

use super::roff::Roff;
use super::{TOPICS, examples, renamed};
use crate::args::{Command, Entry, Flag, Group, Node, shown_default};
use crate::cli;
use crate::commands::{ROOT, Run};

/// When the texts were last changed.
const DATE: &str = "2026-11-21";

/// A page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Page {
    /// `lap-image-ls`.
    pub name: String,
    /// The source, for `man -l`.
    pub text: String,
}

/// All pages of the program under this name.
pub(crate) fn pages(program: &str) -> Vec<Page> {
    let mut all = vec![root(program)];
    add(program, "", &ROOT, &mut all);
    all
}

/// The page of one command; of the program without words.
pub(crate) fn page(program: &str, words: &[String]) -> Option<Page> {
    let mut path = String::new();
    let mut node = Node::Group(&ROOT);
    for word in words {
        let Node::Group(group) = node else {
            return None;
        };
        let entry = group.find(word)?;
        path = joined(&path, entry);
        node = entry.node;
    }
    if path.is_empty() {
        return Some(root(program));
    }
    Some(node_page(program, &path, node))
}

fn add(program: &str, path: &str, group: &'static Group<Run>, all: &mut Vec<Page>) {
    for entry in group.entries {
        let path = joined(path, entry);
        all.push(node_page(program, &path, entry.node));
        if let Node::Group(inner) = entry.node {
            add(program, &path, inner, all);
        }
    }
}

fn joined(path: &str, entry: &Entry<Run>) -> String {
    if path.is_empty() {
        entry.name.to_owned()
    } else {
        format!("{path} {}", entry.name)
    }
}

fn page_name(program: &str, path: &str) -> String {
    format!("{program} {path}").trim_end().replace(' ', "-")
}

fn node_page(program: &str, path: &str, node: Node<Run>) -> Page {
    match node {
        Node::Leaf(command) => command_page(program, path, command),
        Node::Group(group) => group_page(program, path, group),
    }
}

fn start(program: &str, path: &str, about: &str) -> (Roff, String) {
    let name = page_name(program, path);
    let mut roff = Roff::default();
    let source = format!("Lapstrake {}", env!("CARGO_PKG_VERSION"));
    roff.title(&name, DATE, &source);
    roff.section("NAME");
    roff.name(&name, about);
    roff.section("SYNOPSIS");
    (roff, name)
}

fn root(program: &str) -> Page {
    let (mut roff, name) = start(program, "", ROOT.about);
    roff.synopsis(program, "[OPTIONS] COMMAND [ARG...]", true);
    roff.section("DESCRIPTION");
    roff.text(&renamed(DESCRIPTION, program));
    roff.section("COMMANDS");
    for entry in ROOT.entries {
        roff.item(
            &format!("{}(1)", page_name(program, entry.name)),
            entry.node.about(),
        );
    }
    options(&mut roff, "GLOBAL OPTIONS", &cli::globals());
    roff.section("TOPICS");
    roff.text(&renamed(
        "`lap help TOPIC` shows one of these texts.",
        program,
    ));
    for topic in &TOPICS {
        roff.item(topic.name, topic.heading());
    }
    roff.section("EXAMPLES");
    for (index, (about, line)) in FIRST_STEPS.iter().enumerate() {
        roff.example(about, &[renamed(line, program)], index == 0);
    }
    status(&mut roff, "");
    environment(&mut roff, "");
    files(&mut roff, true);
    roff.section("SEE ALSO");
    let names: Vec<String> = ["images", "pull", "run", "build"]
        .iter()
        .map(|path| page_name(program, path))
        .collect();
    roff.references(&names);
    Page {
        name,
        text: roff.finish(),
    }
}

const DESCRIPTION: &str = "Container images and containers without a daemon, with docker's command \
    line. Each command works on the store itself; any number of them may run at once.\n\n\
    `lap COMMAND --help` shows the flags of a command, and `lap help TOPIC` explains what is not one \
    command. Called by the name docker, the program speaks of itself as docker.";

const FIRST_STEPS: [(&str, &str); 4] = [
    ("Fetch an image and see it.", "lap pull alpine"),
    (
        "Run a command in a new container.",
        "lap run --rm alpine echo hello",
    ),
    (
        "Build an image from the Dockerfile in this folder.",
        "lap build -t team/app:1 .",
    ),
    ("See what takes space.", "lap system df"),
];

fn group_page(program: &str, path: &str, group: &'static Group<Run>) -> Page {
    let (mut roff, name) = start(program, path, group.about);
    roff.synopsis(&format!("{program} {path}"), "COMMAND [ARG...]", true);
    roff.section("DESCRIPTION");
    roff.text(group.about);
    roff.section("COMMANDS");
    for entry in group.entries {
        let path = joined(path, entry);
        roff.item(
            &format!("{}(1)", page_name(program, &path)),
            entry.node.about(),
        );
    }
    show_examples(&mut roff, program, path, &[]);
    status(&mut roff, path);
    environment(&mut roff, path);
    files(&mut roff, false);
    roff.section("SEE ALSO");
    let mut names = vec![page_name(program, "")];
    names.extend(
        group
            .entries
            .iter()
            .map(|entry| page_name(program, &joined(path, entry))),
    );
    roff.references(&names);
    Page {
        name,
        text: roff.finish(),
    }
}

fn command_page(program: &str, path: &str, command: &'static Command<Run>) -> Page {
    let (mut roff, name) = start(program, path, command.about);
    let others = || command.aliases.iter().filter(|alias| **alias != path);
    roff.synopsis(&format!("{program} {path}"), command.usage, true);
    for alias in others() {
        roff.synopsis(&format!("{program} {alias}"), command.usage, false);
    }
    roff.section("DESCRIPTION");
    let long = if command.long.is_empty() {
        command.about
    } else {
        command.long
    };
    roff.text(&renamed(long, program));
    options(&mut roff, "OPTIONS", command.flags);
    show_examples(&mut roff, program, path, command.aliases);
    status(&mut roff, path);
    environment(&mut roff, path);
    files(&mut roff, uses_network(path));
    roff.section("SEE ALSO");
    let mut names = vec![page_name(program, "")];
    if let Some((group, _)) = path.rsplit_once(' ') {
        names.push(page_name(program, group));
    }
    let real = |alias: &&&str| is_entry(alias);
    names.extend(others().filter(real).map(|alias| page_name(program, alias)));
    roff.references(&names);
    let topics = related(path);
    if !topics.is_empty() {
        roff.paragraph();
        let lines: Vec<String> = topics
            .iter()
            .map(|topic| format!("`{program} help {topic}`"))
            .collect();
        roff.text(&lines.join(", "));
    }
    Page {
        name,
        text: roff.finish(),
    }
}

/// Whether a name is an entry of the table, so that it has a page; aliases have none.
fn is_entry(path: &str) -> bool {
    let mut group: Option<&Group<Run>> = Some(&ROOT);
    for word in path.split(' ') {
        let Some(entry) = group.and_then(|group| group.find(word)) else {
            return false;
        };
        if entry.name != word {
            return false;
        }
        group = match entry.node {
            Node::Group(inner) => Some(inner),
            Node::Leaf(_) => None,
        };
    }
    true
}

fn options(roff: &mut Roff, heading: &str, flags: &[Flag]) {
    let shown: Vec<&Flag> = flags.iter().filter(|flag| !flag.hidden).collect();
    roff.section(heading);
    for flag in &shown {
        let short = flag
            .short
            .map_or_else(String::new, |short| format!("-{short}, "));
        let value = if flag.value_name.is_empty() {
            String::new()
        } else {
            format!(" {}", flag.value_name)
        };
        let default = match shown_default(flag) {
            none if none.is_empty() => none,
            text => format!(" (default {text})"),
        };
        roff.item(
            &format!("{short}--{}{value}", flag.long),
            &format!("{}{default}", flag.help),
        );
    }
    if !flags.iter().any(|flag| flag.long == "help") {
        roff.item("--help", "Print usage");
    }
}

fn show_examples(roff: &mut Roff, program: &str, path: &str, aliases: &[&str]) {
    let mut found = examples(&[path]);
    if found.is_empty() {
        found = examples(aliases);
    }
    roff.section("EXAMPLES");
    for (index, example) in found.iter().enumerate() {
        let lines: Vec<String> = example
            .lines
            .iter()
            .map(|line| renamed(line, program))
            .collect();
        roff.example(&renamed(example.about, program), &lines, index == 0);
    }
}

/// The command's last word: what it does, wherever it stands.
fn verb(path: &str) -> &str {
    path.rsplit(' ').next().unwrap_or_default()
}

fn starts_containers(path: &str) -> bool {
    matches!(verb(path), "run" | "start" | "create")
}

fn uses_network(path: &str) -> bool {
    matches!(
        verb(path),
        "pull" | "push" | "run" | "create" | "build" | "search" | "login" | "logout" | "copy"
    )
}

fn status(roff: &mut Roff, path: &str) {
    roff.section("EXIT STATUS");
    if path == "system check" {
        roff.item("0", "The store is whole.");
        roff.item("1", "Something is wrong and was not repaired.");
    } else if verb(path) == "run" || verb(path) == "start" {
        roff.item(
            "0 to 124",
            "The status of the container's own command, when it was attended.",
        );
    } else {
        roff.item("0", "Done.");
        roff.item("1", "It failed; the reason is on the standard error.");
    }
    if matches!(verb(path), "inspect" | "info" | "version") {
        roff.item("64", "The template of `--format` cannot be read.");
    }
    if starts_containers(path) {
        roff.item(
            "125",
            "A flag is wrong, or the container could not be made or started.",
        );
        roff.item("126", "The container's command cannot be executed.");
        roff.item("127", "The container's command was not found.");
    } else {
        roff.item("125", "A flag is wrong.");
    }
    roff.item("130", "Interrupted from the keyboard.");
}

fn environment(roff: &mut Roff, path: &str) {
    roff.section("ENVIRONMENT");
    roff.item("LAPSTRAKE_ROOT", "The folder of the store.");
    roff.item(
        "DOCKER_CONFIG",
        "The folder with config.json in place of ~/.docker.",
    );
    let everything = path.is_empty();
    if everything || uses_network(path) {
        roff.item(
            "HTTP_PROXY, HTTPS_PROXY, NO_PROXY",
            "Proxies on the way to registries, in capitals or small letters.",
        );
    }
    let does = |verbs: &[&str]| everything || verbs.contains(&verb(path));
    if does(&["pull", "run", "create", "build", "import"]) {
        roff.item(
            "DOCKER_DEFAULT_PLATFORM",
            "The platform unless `--platform` says otherwise.",
        );
    }
    if does(&["pull", "push", "run", "create", "build"]) {
        roff.item("DOCKER_CONTENT_TRUST", "1: only signed images are used.");
    }
    if does(&["build"]) {
        roff.item(
            "DOCKER_BUILDKIT",
            "0: the output of docker's classic builder.",
        );
        roff.item(
            "BUILDKIT_PROGRESS",
            "The value of `--progress` unless it is given.",
        );
        roff.item(
            "SOURCE_DATE_EPOCH",
            "The time of what is built, in seconds.",
        );
        roff.item("NO_COLOR", "No colours.");
        roff.item(
            "SSH_AUTH_SOCK",
            "The agent that `--ssh default` stands for.",
        );
    }
}

fn files(roff: &mut Roff, with_registries: bool) {
    roff.section("FILES");
    roff.item(
        "/var/lib/lapstrake, ~/.local/share/lapstrake",
        "The store of root, and of other users.",
    );
    roff.item(
        "/etc/lapstrake/daemon.json, else /etc/docker/daemon.json",
        "Settings, read by each command.",
    );
    if with_registries {
        roff.item("~/.docker/config.json", "Credentials and their helpers.");
        roff.item(
            "/etc/lapstrake/certs.d, /etc/docker/certs.d",
            "Certificates and mirrors, a folder for each registry.",
        );
    }
}

/// Topics that explain more.
fn related(path: &str) -> &'static [&'static str] {
    match verb(path) {
        "images" | "ls" | "ps" => &["layers", "filters", "formatting"],
        "history" | "commit" => &["layers"],
        "inspect" | "info" | "version" => &["formatting"],
        "pull" | "push" => &["names", "mirrors", "content-trust"],
        "tag" | "rmi" | "rm" | "save" | "load" | "copy" => &["names"],
        "sign" | "generate" => &["content-trust"],
        "login" | "logout" => &["configuration"],
        "run" | "start" | "create" | "wait" => &["exit-status", "names"],
        "build" | "du" => &["build-cache"],
        "prune" | "df" | "check" => &["store", "filters"],
        "search" => &["filters", "mirrors"],
        _ => &[],
    }
}
