//! Times of history entries. Those of new entries are the times at which their layers were made, so that a rebuild from the cache
//! gives the same configuration; an entry without a layer has the time of the layer before it, or of the
//! first new one.

use super::SolveOptions;
use crate::error::StepError;
use crate::graph::SOURCE_MARK;
use crate::ops::layer::Chain;
use lapstrake_spec::ImageConfig;

/// A time as docker writes it.
pub(super) fn print(time: jiff::Timestamp) -> String {
    time.to_string()
}

/// The time that stands for now in the image.
pub(super) fn now(options: &SolveOptions) -> String {
    let epoch = options
        .source_date_epoch
        .and_then(|seconds| jiff::Timestamp::from_second(seconds).ok());
    print(epoch.unwrap_or(options.now))
}

/// Fills in the times of a configuration. The first `inherited` entries are the base image's.
pub(super) fn complete(
    config: &mut ImageConfig,
    chain: &Chain,
    inherited: usize,
    options: &SolveOptions,
) -> Result<(), StepError> {
    let mut made = Vec::new();
    let mut marks = Vec::new();
    for cell in &chain.own {
        let finished = cell.wait()?;
        made.push(finished.created);
        marks.push(Mark {
            text: finished.mark,
            is_empty: false,
        });
    }
    put_marks(config, &marks, inherited);
    let fixed = options.source_date_epoch.map(|_| now(options));
    fill(config, &made, inherited, fixed.as_deref(), &now(options));
    Ok(())
}

/// What the history learns of a step when it has run.
#[derive(Debug, Clone, Default)]
pub(super) struct Mark {
    /// Kind and hash of the sources of COPY and ADD.
    pub(super) text: Option<String>,
    /// Nothing was changed, so there is no layer (classic).
    pub(super) is_empty: bool,
}

/// Puts the hashes of sources where the planner has left room for them, and notes which steps have no layer.
/// `marks` are those of the last steps that could have one.
pub(super) fn put_marks(config: &mut ImageConfig, marks: &[Mark], inherited: usize) {
    let fresh = config.history.iter_mut().skip(inherited);
    let fresh: Vec<_> = fresh.filter(|entry| !entry.empty_layer).collect();
    let skipped = marks.len().saturating_sub(fresh.len());
    for (entry, mark) in fresh.into_iter().zip(marks.iter().skip(skipped)) {
        let text = mark.text.as_deref().unwrap_or_default();
        entry.created_by = entry.created_by.replace(SOURCE_MARK, text);
        entry.empty_layer = mark.is_empty;
    }
    let last = marks.iter().rev().find_map(|mark| mark.text.as_ref());
    let command = config
        .container_config
        .as_mut()
        .and_then(|container| container.cmd.as_mut());
    for word in command.into_iter().flatten() {
        *word = word.replace(SOURCE_MARK, last.map_or("", String::as_str));
    }
}

/// The rule. `made` are the times of the layers above the base's; `fixed` is the time of all new entries, if there is one.
pub(super) fn fill(
    config: &mut ImageConfig,
    made: &[String],
    inherited: usize,
    fixed: Option<&str>,
    now: &str,
) {
    let start = inherited.min(config.history.len());
    let fresh = config.history.get_mut(start..).unwrap_or_default();
    let with_layers = fresh.iter().filter(|entry| !entry.empty_layer).count();
    // A base that has layers without history does not shift the others.
    let mut layers = made.iter().skip(made.len().saturating_sub(with_layers));
    for entry in fresh.iter_mut() {
        let layer = if entry.empty_layer {
            None
        } else {
            layers.next()
        };
        if entry.created.is_none() {
            entry.created = fixed.map(str::to_owned).or_else(|| layer.cloned());
        }
    }
    let first = fresh.iter().find_map(|entry| entry.created.clone());
    let mut last = first.unwrap_or_else(|| {
        let base = config.history.get(..start).unwrap_or_default();
        let base = base.iter().rev().find_map(|entry| entry.created.clone());
        fixed
            .map(str::to_owned)
            .or(base)
            .unwrap_or_else(|| now.to_owned())
    });
    for entry in config.history.get_mut(start..).unwrap_or_default() {
        match &entry.created {
            Some(created) => last.clone_from(created),
            None => entry.created = Some(last.clone()),
        }
    }
    let newest = config
        .history
        .iter()
        .rev()
        .find_map(|entry| entry.created.clone());
    config.created = Some(newest.unwrap_or_else(|| now.to_owned()));
}

#[cfg(test)]
mod tests {
    use super::*;
    use lapstrake_spec::History;

    fn entry(created: Option<&str>, empty_layer: bool) -> History {
        History {
            created: created.map(str::to_owned),
            empty_layer,
            ..History::default()
        }
    }

    fn times(history: Vec<History>, made: &[&str], inherited: usize) -> (Vec<String>, String) {
        let mut config = ImageConfig {
            history,
            ..ImageConfig::default()
        };
        let made: Vec<String> = made.iter().map(|&text| text.to_owned()).collect();
        fill(&mut config, &made, inherited, None, "now");
        let times = config
            .history
            .iter()
            .filter_map(|entry| entry.created.clone());
        (times.collect(), config.created.unwrap_or_default())
    }

    #[test]
    fn new_entries_have_the_times_of_layers() {
        let history = vec![
            entry(Some("base"), false),
            entry(None, true),
            entry(None, false),
            entry(None, true),
            entry(None, false),
        ];
        let (found, created) = times(history, &["a", "b"], 1);
        assert_eq!(found, ["base", "a", "a", "a", "b"]);
        assert_eq!(created, "b");
    }

    #[test]
    fn without_layers_the_base_says() {
        let (found, created) = times(vec![entry(Some("base"), false), entry(None, true)], &[], 1);
        assert_eq!(
            (found, created),
            (vec!["base".into(), "base".into()], "base".into())
        );
        let (found, _) = times(vec![entry(None, true)], &[], 0);
        assert_eq!(found, ["now"]);
    }
}
