//! The guide in `docs/` and its translation: every command is run, top to bottom, and what a page shows is compared
//! with what a terminal shows. [`page`] says how a page is written, [`shape`] what may differ.
//!
//! With `LAPSTRAKE_DOCS=write` the pages get what is shown instead of failing; read what changed before you commit it.

mod images;
mod page;
mod screen;
mod session;
mod shape;
mod world;

use std::path::{Path, PathBuf};

use lapstrake_testkit::Cli;
use page::{Block, Page};
use session::Session;
use shape::Ids;
use world::World;

/// All pages, each in both languages.
const PAGES: [&str; 10] = [
    "README.md",
    "01-images.md",
    "02-containers.md",
    "03-build.md",
    "04-registries.md",
    "05-files.md",
    "06-cleaning-up.md",
    "07-troubleshooting.md",
    "coming-from-docker.md",
    "trust.md",
];

fn folders() -> [PathBuf; 2] {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs");
    [docs.clone(), docs.join("zh")]
}

/// Runs a page in both languages, each in a world of its own.
fn run(name: &str) {
    let threads = folders().map(|folder| {
        let path = folder.join(name);
        std::thread::spawn(move || run_page(&Page::read(&path)))
    });
    let differences: String = threads.map(|thread| thread.join().unwrap()).concat();
    assert!(differences.is_empty(), "{differences}");
}

/// What differs.
fn run_page(page: &Page) -> String {
    #[expect(
        clippy::disallowed_methods,
        reason = "a switch for the writers of pages"
    )]
    let writes = std::env::var("LAPSTRAKE_DOCS").is_ok_and(|value| value == "write");
    let world = World::enter();
    let mut session = Session::start(world.bin.path());
    let mut ids = Ids::default();
    let (mut differences, mut shown) = (String::new(), Vec::new());
    for block in &page.blocks {
        let step = match block {
            Block::Step(step) => step,
            Block::File { name, text } => {
                session.write(name, &ids.real(text));
                continue;
            }
            Block::Mention(_) => continue,
        };
        let expected: Vec<String> = step.expected.iter().map(|line| ids.real(line)).collect();
        let actual = session.run(&ids.real(&step.command), &expected);
        if shape::is_shown(&step.expected, &actual, &mut ids) {
            continue;
        }
        let lines: Vec<String> = actual.iter().map(|line| ids.shown(line)).collect();
        if writes {
            shape::is_shown(&lines, &actual, &mut ids);
            shown.push((step.clone(), lines));
        } else {
            let text = format!(
                "{}: $ {}\n--- the page\n{}\n--- the terminal\n{}\n\n",
                page.place(step),
                step.command,
                step.expected.join("\n"),
                lines.join("\n")
            );
            differences.push_str(&text);
        }
    }
    session.run("ids=$(lap ps -aq); [ -z \"$ids\" ] || lap rm -f $ids", &[]);
    if !shown.is_empty() {
        page.rewrite(&shown);
    }
    differences
}

#[test]
fn privileged_the_first_page_is_true() {
    run("README.md");
}

#[test]
fn privileged_the_page_on_images_is_true() {
    run("01-images.md");
}

#[test]
fn privileged_the_page_on_containers_is_true() {
    run("02-containers.md");
}

#[test]
fn privileged_the_page_on_builds_is_true() {
    run("03-build.md");
}

#[test]
fn privileged_the_page_on_registries_is_true() {
    run("04-registries.md");
}

#[test]
fn privileged_the_page_on_files_is_true() {
    run("05-files.md");
}

#[test]
fn privileged_the_page_on_cleaning_up_is_true() {
    run("06-cleaning-up.md");
}

#[test]
fn privileged_the_page_on_troubles_is_true() {
    run("07-troubleshooting.md");
}

#[test]
fn privileged_the_page_for_dockers_users_is_true() {
    run("coming-from-docker.md");
}

#[test]
fn privileged_the_page_on_trust_is_true() {
    run("trust.md");
}

#[test]
fn a_page_and_its_translation_have_the_same_commands() {
    let [english, chinese] = folders();
    for name in PAGES {
        let (page, translation) = (
            Page::read(&english.join(name)),
            Page::read(&chinese.join(name)),
        );
        assert_eq!(page.commands(), translation.commands(), "{name}");
    }
}

/// A page that no test runs shows no terminal.
#[test]
fn every_page_is_run() {
    for folder in folders() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            let is_page = path.extension().is_some_and(|extension| extension == "md");
            if is_page && !PAGES.contains(&name.as_str()) {
                let text = std::fs::read_to_string(&path).unwrap();
                assert!(
                    !text.contains("```console"),
                    "{} is not run",
                    path.display()
                );
            }
        }
    }
}

/// What a page tells to type elsewhere is at least a command.
#[test]
fn what_is_not_run_is_a_command() {
    let lap = Cli::built();
    let [english, _] = folders();
    for name in PAGES {
        let page = Page::read(&english.join(name));
        for block in &page.blocks {
            let Block::Mention(line) = block else {
                continue;
            };
            let line = line.strip_prefix("sudo ").unwrap_or(line);
            let (program, line) = line.split_once(' ').unwrap_or((line, ""));
            if !matches!(program, "lap" | "docker") {
                continue;
            }
            let (root, rest) = ("--root ", line.split(' '));
            let skipped = if line.starts_with(root) { 2 } else { 0 };
            let is_word = |word: &&str| word.bytes().all(|byte| byte.is_ascii_lowercase());
            let mut path: Vec<&str> = rest.skip(skipped).take_while(is_word).take(2).collect();
            assert!(!path.is_empty(), "{line}");
            if path.first() != Some(&"help") {
                path.push("--help");
            }
            lap.ok(&path);
        }
    }
}
