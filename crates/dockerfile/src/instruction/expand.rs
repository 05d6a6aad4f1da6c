//! Which fields of which instruction docker expands.

use super::{Argument, InlineFile, Instruction, KeyValue, Source};
use crate::words::WordError;

/// Replaces variables. The planner implements it with the environment of the moment and collects
/// what was used.
pub trait Expander {
    /// One text to one text, quotes removed: [`crate::words::expand`].
    fn word(&mut self, text: &str) -> Result<String, WordError>;
    /// One text to one text, quotes kept: [`crate::words::expand_raw`], for here-documents.
    fn raw(&mut self, text: &str) -> Result<String, WordError>;
    /// One text to many: [`crate::words::expand_words`].
    fn words(&mut self, text: &str) -> Result<Vec<String>, WordError>;
}

impl Instruction {
    /// The instruction with its variables replaced where docker replaces them: `ADD`, `ARG`,
    /// `COPY` (not `--from`), `ENV`, `EXPOSE`, `LABEL`, `STOPSIGNAL`, `USER`, `VOLUME`, `WORKDIR`.
    /// Others come back as they are; the mounts of `RUN` have [`super::MountText::resolve`].
    ///
    /// In `ARG` and `ENV` each value sees the environment from before the whole instruction.
    pub fn expanded(&self, by: &mut dyn Expander) -> Result<Self, WordError> {
        let mut copy = self.clone();
        match &mut copy {
            Self::Add(add) => {
                for text in [&mut add.chown, &mut add.chmod, &mut add.checksum] {
                    optional(text, by)?;
                }
                sources(&mut add.sources, &mut add.destination, by)?;
            }
            Self::Copy(copy) => {
                for text in [&mut copy.chown, &mut copy.chmod] {
                    optional(text, by)?;
                }
                sources(&mut copy.sources, &mut copy.destination, by)?;
            }
            Self::Arg(arguments) => arguments.iter_mut().try_for_each(|one| argument(one, by))?,
            Self::Env(pairs) | Self::Label(pairs) => {
                pairs.iter_mut().try_for_each(|one| pair(one, by))?;
            }
            Self::Expose(ports) => {
                let mut all = Vec::new();
                for port in &*ports {
                    all.extend(by.words(port)?);
                }
                *ports = all;
            }
            Self::Volume(paths) => paths.iter_mut().try_for_each(|path| in_place(path, by))?,
            Self::Stopsignal(text) | Self::User(text) | Self::Workdir(text) => in_place(text, by)?,
            Self::Cmd(_)
            | Self::Entrypoint(_)
            | Self::Healthcheck(_)
            | Self::Maintainer(_)
            | Self::Onbuild(_)
            | Self::Run(_)
            | Self::Shell(_) => {}
        }
        Ok(copy)
    }
}

fn in_place(text: &mut String, by: &mut dyn Expander) -> Result<(), WordError> {
    *text = by.word(text)?;
    Ok(())
}

fn optional(text: &mut Option<String>, by: &mut dyn Expander) -> Result<(), WordError> {
    text.as_mut().map_or(Ok(()), |text| in_place(text, by))
}

fn pair(pair: &mut KeyValue, by: &mut dyn Expander) -> Result<(), WordError> {
    in_place(&mut pair.key, by)?;
    in_place(&mut pair.value, by)
}

fn argument(argument: &mut Argument, by: &mut dyn Expander) -> Result<(), WordError> {
    in_place(&mut argument.key, by)?;
    optional(&mut argument.value, by)
}

fn sources(
    sources: &mut [Source],
    destination: &mut String,
    by: &mut dyn Expander,
) -> Result<(), WordError> {
    for source in sources.iter_mut() {
        if let Source::Path(path) = source {
            in_place(path, by)?;
        }
    }
    in_place(destination, by)?;
    for source in sources {
        if let Source::Heredoc(InlineFile {
            content,
            expand: true,
            ..
        }) = source
        {
            *content = by.raw(content)?;
        }
    }
    Ok(())
}
