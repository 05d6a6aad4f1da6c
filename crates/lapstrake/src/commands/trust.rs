//! `trust inspect`: who signed what.

use super::{Cmd, block_on};
use crate::args::{Arity, Flag};
use crate::cli::Invocation;
use crate::failure::Failure;
use crate::ui::document::Json;
use crate::ui::table::align;
use crate::ui::text::PushFormat;
use lapstrake_engine::ops::{self, InspectedTrust, TrustedSigner};
use std::path::Path;

pub(super) static INSPECT: Cmd = Cmd {
    usage: "IMAGE[:TAG] [IMAGE[:TAG]...]",
    about: "Return low-level information about keys and signatures",
    long: "",
    aliases: &[],
    flags: &[Flag::bool(
        "pretty",
        "Print the information in a human friendly format",
    )],
    arity: Arity::AtLeast(1),
    interspersed: true,
    run: inspect,
};

fn inspect(invocation: &Invocation<'_>) -> Result<u8, Failure> {
    let is_pretty = invocation.matches.is("pretty");
    let mut failures = Vec::new();
    let mut list = Vec::new();
    let mut shown = String::new();
    for name in &invocation.matches.args {
        let files = invocation.env.trust_files();
        match block_on(ops::inspect_trust(invocation.engine, name, files)) {
            Ok(found) if is_pretty => pretty(name, &found, &mut shown),
            Ok(found) => list.push(document(name, &found)),
            Err(failure) => failures.push(failure),
        }
    }
    if !is_pretty {
        Json::List(list).write_indented(&mut shown, 0);
        shown.push('\n');
    }
    invocation.output.print(&shown);
    if failures.is_empty() {
        return Ok(0);
    }
    Err(Failure::joined(failures))
}

/// A key file's name without its folder and ending, as docker calls signers.
fn short(name: &str) -> &str {
    let path = Path::new(name);
    match path.extension() {
        Some(_) if path.is_absolute() => path.file_stem().and_then(|stem| stem.to_str()),
        _ => None,
    }
    .unwrap_or(name)
}

fn text(text: &str) -> Json {
    Json::Text(text.to_owned())
}

fn object(members: Vec<(&str, Json)>) -> Json {
    let members = members.into_iter();
    Json::Object(
        members
            .map(|(key, value)| (key.to_owned(), value))
            .collect(),
    )
}

fn document(name: &str, found: &InspectedTrust) -> Json {
    let tags = found.tags.iter().map(|tag| {
        let signers = tag.signers.iter().map(|name| text(short(name)));
        object(vec![
            ("SignedTag", text(&tag.tag)),
            ("Digest", text(tag.digest.hex())),
            ("Signers", Json::List(signers.collect())),
        ])
    });
    let signers = found.signers.iter().map(|signer| {
        let key = object(vec![("ID", text(signer.id.hex()))]);
        object(vec![
            ("Name", text(short(&signer.name))),
            ("Keys", Json::List(vec![key])),
        ])
    });
    object(vec![
        ("Name", text(name)),
        ("SignedTags", Json::List(tags.collect())),
        ("Signers", Json::List(signers.collect())),
        ("AdministrativeKeys", Json::List(Vec::new())),
    ])
}

fn pretty(name: &str, found: &InspectedTrust, out: &mut String) {
    let mut table = String::from("SIGNED TAG\tDIGEST\tSIGNERS\n");
    for tag in &found.tags {
        let signers: Vec<&str> = tag.signers.iter().map(|name| short(name)).collect();
        let digest = tag.digest.hex();
        table.push_fmt(format_args!(
            "{}\t{digest}\t{}\n",
            tag.tag,
            signers.join(", ")
        ));
    }
    out.push_fmt(format_args!("\nSignatures for {name}\n\n{}", align(&table)));
    if found.signers.is_empty() {
        return;
    }
    let mut table = String::from("SIGNER\tKEYS\n");
    for TrustedSigner { name, id } in &found.signers {
        table.push_fmt(format_args!("{}\t{}\n", short(name), id.short()));
    }
    let table = align(&table);
    out.push_fmt(format_args!(
        "\nList of signers and their keys for {name}\n\n{table}"
    ));
}
