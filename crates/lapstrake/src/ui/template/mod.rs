//! Go's `text/template`, as far as `--format` needs it, with Go's error texts.
//!
//! Written here rather than taken from a crate because three things decide whether scripts work and
//! none was to be had: error texts with Go's positions, failing on fields that do not exist, and
//! values that keep the order of their fields for `json`.

mod exec;
mod funcs;
mod lex;
mod nodes;
mod parse;
mod print;
mod value;

#[cfg(test)]
mod tests;

pub(crate) use exec::MissingKey;
pub(crate) use value::{Struct, Value};

use nodes::Tree;

/// A parsed template.
#[derive(Debug)]
pub(crate) struct Template {
    text: String,
    tree: Tree,
}

/// A template that could not be read or executed: Go's text, with `template: ` in front.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("template: {0}")]
pub(crate) struct TemplateError(pub(crate) String);

impl TemplateError {
    /// The same error of a template that has this name.
    pub(crate) fn named(self, name: &str) -> Self {
        let executing = format!("executing \"{name}\"");
        let text = self.0.replacen("executing \"\"", &executing, 1);
        Self(format!("{name}{text}"))
    }
}

impl Template {
    /// Reads a template. Templates have no name, so errors read `template: :1: …`.
    pub(crate) fn parse(text: &str) -> Result<Self, TemplateError> {
        let tree = parse::parse(text)?;
        Ok(Self {
            text: text.to_owned(),
            tree,
        })
    }

    /// Renders with `data` as the dot.
    pub(crate) fn render(
        &self,
        data: &Value,
        missing_key: MissingKey,
    ) -> Result<String, TemplateError> {
        let mut out = String::new();
        self.render_into(data, missing_key, &mut out)?;
        Ok(out)
    }

    /// Renders as [`render`](Self::render) does; what was written before an error stays in `out`.
    pub(crate) fn render_into(
        &self,
        data: &Value,
        missing_key: MissingKey,
        out: &mut String,
    ) -> Result<(), TemplateError> {
        exec::execute(&self.text, &self.tree, data, missing_key, false, out)
    }

    /// Renders the header of a table: functions that would change a value leave the title alone.
    pub(crate) fn render_header(&self, titles: &Value) -> Result<String, TemplateError> {
        let (tree, missing) = (&self.tree, MissingKey::NoValue);
        let mut out = String::new();
        exec::execute(&self.text, tree, titles, missing, true, &mut out)?;
        Ok(out)
    }

    /// Whether the field is mentioned anywhere, at the top of a chain.
    pub(crate) fn mentions(&self, field: &str) -> bool {
        self.tree.mentions(field)
    }
}
