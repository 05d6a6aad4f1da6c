//! `check=skip=…;experimental=…;error=…`.

use super::Rule;
use crate::quote::quote;

/// What `# check=` (or the option of the command line) says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CheckOptions {
    /// `skip=all`
    pub skip_all: bool,
    /// `skip=A,B`
    pub skip: Vec<String>,
    /// `experimental=all`
    pub experimental_all: bool,
    /// `experimental=A,B`
    pub experimental: Vec<String>,
    /// `error=true`: findings fail the build.
    pub error: bool,
}

/// Why check options are wrong, in docker's words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct CheckOptionsError(String);

impl CheckOptions {
    /// Reads `skip=…;experimental=…;error=…`, each at most once in effect, in any order.
    pub fn parse(text: &str) -> Result<Self, CheckOptionsError> {
        let mut options = Self::default();
        let text = text.trim();
        if text.is_empty() {
            return Ok(options);
        }
        for part in text.splitn(3, ';') {
            options.set(part)?;
        }
        Ok(options)
    }

    fn set(&mut self, part: &str) -> Result<(), CheckOptionsError> {
        let Some((key, value)) = part.split_once('=') else {
            return Err(CheckOptionsError(format!(
                "invalid check option {}",
                quote(part)
            )));
        };
        let value = value.trim();
        let rules = || {
            value
                .split(',')
                .map(|rule| rule.trim().to_owned())
                .collect()
        };
        match key.trim() {
            "skip" if value == "all" => self.skip_all = true,
            "skip" => self.skip = rules(),
            "experimental" if value == "all" => self.experimental_all = true,
            "experimental" => self.experimental = rules(),
            "error" => {
                self.error = match value {
                    "1" | "t" | "T" | "TRUE" | "true" | "True" => true,
                    "0" | "f" | "F" | "FALSE" | "false" | "False" => false,
                    _ => {
                        return Err(CheckOptionsError(format!(
                            "failed to parse check option {}: strconv.ParseBool: parsing {}: invalid syntax",
                            quote(part),
                            quote(value)
                        )));
                    }
                }
            }
            key => {
                return Err(CheckOptionsError(format!(
                    "invalid check option {}",
                    quote(key)
                )));
            }
        }
        Ok(())
    }

    /// Both together, as docker does it for a comment above an instruction: `error` stays.
    pub fn merged(&self, other: &Self) -> Self {
        let both = |a: &[String], b: &[String]| a.iter().chain(b).cloned().collect();
        Self {
            skip_all: self.skip_all || other.skip_all,
            skip: both(&self.skip, &other.skip),
            experimental_all: self.experimental_all || other.experimental_all,
            experimental: both(&self.experimental, &other.experimental),
            error: self.error,
        }
    }

    /// True if findings of the rule are wanted.
    pub fn wants(&self, rule: Rule) -> bool {
        let named = |list: &[String]| list.iter().any(|name| name == rule.name());
        if rule.is_experimental() {
            return self.experimental_all || named(&self.experimental);
        }
        !self.skip_all && !named(&self.skip)
    }
}
