//! docker's classic builder: every step with its container and its image.

use super::{Renderer, Size};
use crate::ui::progress;
use crate::ui::text::short_id;
use crate::ui::units::{signed, size4};
use jiff::Timestamp;
use lapstrake_engine::build::event::{BuildEvent, Classic as Told};
use lapstrake_engine::build::sandbox::Stream;
use lapstrake_engine::ops::BuildResult;
use lapstrake_engine::{Event, spec::Digest};

/// How a step's errors look on a terminal: bright red, as docker has it.
const RED: (&[u8], &[u8]) = (b"\x1b[91m", b"\x1b[0m");

/// The renderer.
#[derive(Debug)]
pub(crate) struct Classic {
    pulls: progress::Screen,
    is_terminal: bool,
    explains: bool,
    removes: bool,
}

impl Renderer for Classic {
    fn event(&mut self, event: &Event, now: Timestamp) -> Vec<u8> {
        match event {
            Event::Build(event) => self.build(event),
            Event::BuildContext { bytes } => context(*bytes).into_bytes(),
            other => self.pulls.render(other, now.as_millisecond()).into_bytes(),
        }
    }

    fn finish(&mut self, _now: Timestamp, _size: Size) -> Vec<u8> {
        Vec::new()
    }
}

impl Classic {
    /// A renderer; `columns` is the width of the terminal, when there is one.
    pub(crate) fn new(columns: Option<usize>, explains: bool) -> Self {
        let style = columns.map_or(progress::Style::Plain, progress::Style::Terminal);
        Self {
            pulls: progress::Screen::new(style),
            is_terminal: columns.is_some(),
            explains,
            removes: true,
        }
    }

    /// The same renderer for a build that is asked to keep its containers.
    pub(crate) fn keeping(mut self, keeps: bool) -> Self {
        self.removes = !keeps;
        self
    }

    fn build(&mut self, event: &BuildEvent) -> Vec<u8> {
        match event {
            BuildEvent::Classic(told) => self.told(told),
            BuildEvent::Explained { reason, .. } if self.explains => {
                format!(" ---> Not cached: {reason}\n").into_bytes()
            }
            BuildEvent::Warning { text, .. } => format!("[Warning] {text}\n").into_bytes(),
            _ => Vec::new(),
        }
    }

    fn told(&self, told: &Told) -> Vec<u8> {
        match told {
            Told::Step {
                number,
                total,
                text,
            } => step(*number, *total, text).into_bytes(),
            Told::Triggers { count } => triggers(*count).into_bytes(),
            Told::Note { text } => format!("{text}\n").into_bytes(),
            Told::UsingCache => b" ---> Using cache\n".to_vec(),
            Told::Running { id } => format!(" ---> Running in {}\n", short_id(id)).into_bytes(),
            Told::Output { stream, bytes } => self.output(*stream, bytes),
            Told::Removed { .. } if !self.removes => Vec::new(),
            Told::Removed { id } => {
                format!("Removing intermediate container {}\n", short_id(id)).into_bytes()
            }
            Told::Image { id } => image(id).into_bytes(),
            _ => Vec::new(),
        }
    }

    /// A program's bytes go through as they are; its errors are red on a terminal.
    fn output(&self, stream: Stream, bytes: &[u8]) -> Vec<u8> {
        if self.is_terminal && stream == Stream::Stderr {
            return [RED.0, bytes, RED.1].concat();
        }
        bytes.to_vec()
    }
}

/// docker rewrites this line while it sends, and ends it with its progress bar's returns.
fn context(bytes: u64) -> String {
    format!(
        "Sending build context to Docker daemon {:>8}\r\r\n",
        size4(signed(bytes))
    )
}

/// `Step 2/4 : RUN make`. The empty image has no id to show, only its arrow.
fn step(number: usize, total: usize, text: &str) -> String {
    let arrow = if is_from_scratch(text) {
        " ---> \n"
    } else {
        ""
    };
    format!("Step {number}/{total} : {text}\n{arrow}")
}

fn is_from_scratch(text: &str) -> bool {
    let mut words = text.split_whitespace();
    let is_from = words
        .next()
        .is_some_and(|word| word.eq_ignore_ascii_case("from"));
    is_from && words.find(|word| !word.starts_with("--")) == Some("scratch")
}

fn triggers(count: usize) -> String {
    let noun = if count == 1 { "trigger" } else { "triggers" };
    format!("# Executing {count} build {noun}\n")
}

fn image(id: &Digest) -> String {
    format!(" ---> {}\n", id.short())
}

/// The lines after the last step.
pub(crate) fn result(result: &BuildResult) -> String {
    let mut out = String::new();
    if !result.unused_build_args.is_empty() {
        let mut names = result.unused_build_args.clone();
        names.sort_unstable();
        out = format!(
            "[Warning] One or more build-args [{}] were not consumed\n",
            names.join(" ")
        );
    }
    if let Some(id) = result.id() {
        out.push_str("Successfully built ");
        out.push_str(id.short());
        out.push('\n');
    }
    for name in &result.names {
        out.push_str("Successfully tagged ");
        out.push_str(&name.familiar());
        out.push('\n');
    }
    out
}
