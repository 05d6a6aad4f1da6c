use super::*;
use crate::args::{Node, Parsed, parse};
use crate::cli::globals;
use crate::commands::{ROOT, Run};

/// Takes a shell's line apart: the commands in it, as words. What a command is replaced by, and where it
/// reads from and writes to, is not the command's.
fn commands(line: &str) -> Vec<Vec<String>> {
    let mut inner = Vec::new();
    let mut outer = line.to_owned();
    while let Some(start) = outer.find("$(").or_else(|| outer.find("<(")) {
        let end = outer[start..].find(')').unwrap() + start;
        inner.push(outer[start + 2..end].to_owned());
        outer.replace_range(start..=end, "replaced");
    }
    let mut all = vec![Vec::new()];
    let mut word = String::new();
    let mut quote = None;
    for c in outer.chars().chain([' ']) {
        match (c, quote) {
            ('\'' | '"', None) => quote = Some(c),
            (c, Some(open)) if c == open => quote = None,
            (' ', None) => {
                if word == "|" {
                    all.push(Vec::new());
                } else if !word.is_empty() {
                    all.last_mut().unwrap().push(word.clone());
                }
                word.clear();
            }
            (c, _) => word.push(c),
        }
    }
    assert_eq!(quote, None, "{line}");
    for words in &mut all {
        words.retain(|word| word != "replaced");
        if let Some(at) = words.iter().position(|word| word == ">" || word == "<") {
            words.truncate(at);
        }
        while words.first().is_some_and(|word| word.contains('=')) {
            words.remove(0);
        }
    }
    all.extend(inner.iter().flat_map(|line| commands(line)));
    all
}

/// Reads one of our own commands with the table; `is_whole` when its arguments count.
fn check(words: &[String], is_whole: bool) -> Result<(), String> {
    let Some(("lap", rest)) = words
        .split_first()
        .map(|(word, rest)| (word.as_str(), rest))
    else {
        return Ok(());
    };
    let mut parsed = parsed(&globals(), rest, false)?;
    let mut node: Node<Run> = Node::Group(&ROOT);
    loop {
        let Some((word, rest)) = parsed.positional.split_first() else {
            return Ok(());
        };
        match node {
            Node::Group(group) => {
                if word == "help" {
                    let Some(about) = rest.first() else {
                        return Ok(());
                    };
                    let known =
                        ROOT.find(about).is_some() || topic(about).is_some() || about == "TOPIC";
                    return known
                        .then_some(())
                        .ok_or_else(|| format!("no topic {about}"));
                }
                if word == "COMMAND" {
                    return Ok(());
                }
                let entry = group
                    .find(word)
                    .ok_or_else(|| format!("no command {word}"))?;
                node = entry.node;
                let rest = rest.to_vec();
                parsed = match node {
                    Node::Group(_) => self::parsed(&[], &rest, false)?,
                    Node::Leaf(command) => {
                        let parsed = self::parsed(command.flags, &rest, command.interspersed)?;
                        if is_whole {
                            let count = parsed.positional.len();
                            let checked = command.arity.check(count, "lap", word, command.usage);
                            checked.map_err(|error| error.message)?;
                        }
                        return Ok(());
                    }
                };
            }
            Node::Leaf(_) => return Ok(()),
        }
    }
}

fn parsed(flags: &[crate::args::Flag], words: &[String], mixed: bool) -> Result<Parsed, String> {
    parse(flags, words, mixed).map_err(|error| error.message)
}

fn check_line(line: &str, is_whole: bool) {
    // `rmi $(…)`: what stands for an argument is one.
    let with_arguments = line.replace(
        "$(lap images -q -f dangling=true)",
        "x $(lap images -q -f dangling=true)",
    );
    for words in commands(&with_arguments) {
        if let Err(error) = check(&words, is_whole) {
            panic!("{line}: {error}");
        }
    }
}

#[test]
fn wrong_lines_are_found() {
    for line in [
        "lap nope",
        "lap images --nope",
        "lap tag a",
        "lap help nope",
        "lap pull -z a",
    ] {
        let found = commands(line)
            .iter()
            .any(|words| check(words, true).is_err());
        assert!(found, "{line}");
    }
    let piped = commands("A=b lap save \"a b\" | gzip > x; ");
    assert_eq!(piped[0], ["lap", "save", "a b"]);
    assert_eq!(piped[1], ["gzip"]);
    assert_eq!(
        commands("source <(lap completion bash)")[1],
        ["lap", "completion", "bash"]
    );
}

#[test]
fn topics_are_short_and_their_commands_exist() {
    assert!(TOPIC_NAMES.is_sorted());
    for topic in &TOPICS {
        let lines: Vec<&str> = topic.text.lines().collect();
        assert!(lines.len() <= 60, "{}", topic.name);
        assert!(
            ROOT.find(topic.name).is_none(),
            "{} is a command",
            topic.name
        );
        for line in lines {
            assert!(line.len() < 80 || line.contains('$'), "{line}");
            if let Some(command) = line.strip_prefix("    $ ") {
                check_line(command, true);
                continue;
            }
            for (index, part) in line.split('`').enumerate() {
                if index % 2 == 1 {
                    check_line(part, false);
                }
            }
            for rest in line.split("lap help ").skip(1) {
                let word: String = rest
                    .chars()
                    .take_while(|c| c.is_ascii_alphanumeric() || *c == '-')
                    .collect();
                check_line(&format!("lap help {word}"), false);
            }
        }
    }
}

/// Every path in the table of commands, and the other names of the same command.
fn paths() -> Vec<(String, Vec<&'static str>)> {
    fn visit(
        path: &str,
        group: &'static crate::args::Group<Run>,
        all: &mut Vec<(String, Vec<&'static str>)>,
    ) {
        for entry in group.entries {
            let path = format!("{path} {}", entry.name).trim().to_owned();
            match entry.node {
                Node::Leaf(command) => all.push((path, command.aliases.to_vec())),
                Node::Group(group) => {
                    all.push((path.clone(), Vec::new()));
                    visit(&path, group, all);
                }
            }
        }
    }
    let mut all = Vec::new();
    visit("", &ROOT, &mut all);
    all
}

#[test]
fn every_command_has_examples_that_exist() {
    let paths = paths();
    for (path, aliases) in &paths {
        let mut names = vec![path.as_str()];
        names.extend(aliases);
        let found = examples(&names);
        assert!(!found.is_empty(), "no example of {path} in examples.txt");
        for example in found {
            assert!(!example.lines.is_empty(), "{path}: {}", example.about);
            for line in example.lines {
                check_line(line, true);
            }
        }
    }
    for section in sections() {
        let name = section.lines().next().unwrap();
        assert!(
            paths.iter().any(|(path, _)| path == name),
            "no command {name}"
        );
    }
}

#[test]
fn pages_have_every_section_and_name() {
    for program in ["lap", "docker"] {
        let pages = pages(program);
        assert_eq!(pages.len(), paths().len() + 1);
        for page in &pages {
            for section in [
                "NAME",
                "SYNOPSIS",
                "DESCRIPTION",
                "OPTIONS",
                "EXAMPLES",
                "EXIT STATUS",
                "ENVIRONMENT",
                "FILES",
                "SEE ALSO",
            ] {
                let is_group = page.text.contains("\n.SH COMMANDS\n");
                let found = page.text.contains(&format!("\n.SH {section}\n"));
                assert!(
                    found || (is_group && section == "OPTIONS"),
                    "{}: {section}",
                    page.name
                );
            }
            for reference in page.text.split("\n.SH SEE ALSO\n").nth(1).unwrap().lines() {
                let Some(name) = reference.strip_prefix("\\fB") else {
                    continue;
                };
                let Some((name, _)) = name.split_once("\\fR(1)") else {
                    continue;
                };
                let name = name.replace("\\-", "-");
                assert!(
                    pages.iter().any(|page| page.name == name),
                    "{}: {name}",
                    page.name
                );
            }
            if program == "docker" {
                assert!(!page.text.contains("$ lap "), "{}", page.name);
            }
        }
    }
}

#[test]
fn the_program_is_called_by_its_name() {
    let cases = [
        ("Type `lap images`", "Type `docker images`"),
        ("/usr/bin/lap x overlap y", "/usr/bin/lap x overlap y"),
        ("lap a | lap b", "docker a | docker b"),
        ("lap's own", "lap's own"),
    ];
    for (text, expected) in cases {
        assert_eq!(renamed(text, "docker"), expected);
    }
}
