//! `--format` of listings: one list of named columns drives headers, templates and JSON.

use super::table;
use super::template::{MissingKey, Struct, Template, TemplateError, Value};
use std::collections::BTreeMap;
use std::rc::Rc;

/// A column: the name in templates and JSON, and the title in tables.
pub(crate) type Column = (&'static str, &'static str);

/// What a listing is made of.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Listing {
    /// Go's name of a row's type, for errors.
    pub go_type: &'static str,
    /// The columns, sorted by name.
    pub columns: &'static [Column],
    /// The template of the table when no other was asked for.
    pub table: &'static str,
}

/// A row: values in the order of the listing's columns.
#[derive(Debug, Clone, Default)]
pub(crate) struct Row {
    /// The values, by the names of the listing's columns.
    pub cells: Vec<(&'static str, Value)>,
    /// What `.Label NAME` finds.
    pub labels: Option<BTreeMap<String, String>>,
}

impl Row {
    /// Adds a value.
    pub(crate) fn set(mut self, name: &'static str, value: impl Into<Value>) -> Self {
        self.cells.push((name, value.into()));
        self
    }
}

/// A `--format` value, resolved.
#[derive(Debug)]
pub(crate) struct Format {
    template: Template,
    is_table: bool,
}

impl Format {
    /// Reads a format: a template, `table TEMPLATE`, `json`, or the listing's own table.
    ///
    /// As in docker, anything that begins with `table` is a table.
    pub(crate) fn parse(source: &str, default_table: &str) -> Result<Self, TemplateError> {
        let (text, is_table) = match source {
            "" | "table" => (
                default_table
                    .strip_prefix("table ")
                    .unwrap_or(default_table),
                true,
            ),
            "json" => ("{{json .}}", false),
            _ => match source.strip_prefix("table") {
                Some(rest) => (rest, true),
                None => (source, false),
            },
        };
        let text = text
            .trim_matches(' ')
            .replace("\\t", "\t")
            .replace("\\n", "\n");
        Ok(Self {
            template: Template::parse(&text)?,
            is_table,
        })
    }

    /// A plain template, for `-q`.
    pub(crate) fn template(source: &str) -> Result<Self, TemplateError> {
        Ok(Self {
            template: Template::parse(source)?,
            is_table: false,
        })
    }

    /// Whether a column is used; some cost time to fill.
    pub(crate) fn mentions(&self, column: &str) -> bool {
        self.template.mentions(column)
    }

    /// The whole listing as text.
    pub(crate) fn render(
        &self,
        listing: &Listing,
        rows: Vec<Row>,
    ) -> Result<String, TemplateError> {
        let mut body = String::new();
        let names = names(listing);
        for row in rows {
            let value = named_value(listing, row, &names);
            body.push_str(&self.template.render(&value, MissingKey::NoValue)?);
            body.push('\n');
        }
        if !self.is_table {
            return Ok(body);
        }
        let titles = listing.columns.iter();
        let titles = titles.map(|(name, title)| ((*name).to_owned(), Value::from(*title)));
        let titles = Value::Map(Some(Rc::new(titles.collect())));
        let header = self.template.render_header(&titles).unwrap_or_default();
        Ok(table::align(&format!("{header}\n{body}")))
    }
}

/// The names of a listing's columns, shared by its rows.
fn names(listing: &Listing) -> Vec<Rc<str>> {
    let columns = listing.columns.iter();
    columns.map(|(name, _)| Rc::from(*name)).collect()
}

/// A row as templates see it.
pub(crate) fn row_value(listing: &Listing, row: Row) -> Value {
    named_value(listing, row, &names(listing))
}

fn named_value(listing: &Listing, row: Row, names: &[Rc<str>]) -> Value {
    let shared = |name: &str| {
        let known = names.iter().find(|known| ***known == *name);
        known.map_or_else(|| Rc::from(name), Rc::clone)
    };
    let cells = row.cells.into_iter();
    let mut fields: Vec<(Rc<str>, Value)> =
        cells.map(|(name, value)| (shared(name), value)).collect();
    fields.sort_by(|a, b| a.0.cmp(&b.0));
    Value::Struct(Rc::new(Struct {
        go_type: listing.go_type,
        fields,
        labels: row.labels,
        escapes_html: true,
        ..Struct::default()
    }))
}
