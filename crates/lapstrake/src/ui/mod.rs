//! What people see: tables, sizes, ages, templates, progress, and the one place that writes.

pub(crate) mod build;
pub(crate) mod document;
pub(crate) mod format;
pub(crate) mod output;
pub(crate) mod progress;
pub(crate) mod table;
pub(crate) mod template;
pub(crate) mod text;
pub(crate) mod units;

pub(crate) use output::Output;

#[cfg(test)]
mod tests;
