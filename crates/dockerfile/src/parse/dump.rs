//! Nodes as nested lists, the form in which docker's parser prints them for its tests.

use std::fmt::Write as _;

use super::{Node, Syntax};
use crate::quote::quote;

impl Syntax {
    /// All nodes, one parenthesis each.
    pub fn dump(&self) -> String {
        let mut out = String::new();
        for node in &self.nodes {
            // Writing to a string cannot fail.
            let _infallible = writeln!(out, "({})", node.dump());
        }
        out.trim().to_owned()
    }
}

impl Node {
    /// The name in lower case, the flags in brackets, the arguments in quotes.
    pub fn dump(&self) -> String {
        let mut out = self.name.to_lowercase();
        if !self.flags.is_empty() {
            let flags: Vec<String> = self.flags.iter().map(|flag| quote(&flag.text)).collect();
            out.push_str(" [");
            out.push_str(&flags.join(" "));
            out.push(']');
        }
        if let Some(trigger) = &self.trigger {
            out.push_str(" (");
            out.push_str(&trigger.dump());
            out.push(')');
        }
        for argument in &self.arguments {
            out.push(' ');
            out.push_str(&quote(argument));
        }
        out.trim().to_owned()
    }
}
