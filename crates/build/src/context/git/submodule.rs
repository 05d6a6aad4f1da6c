//! `.gitmodules`: which repositories a tree's commits come from.

/// One entry of `.gitmodules`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Submodule {
    /// Where it is in the tree.
    pub path: String,
    /// The repository, complete: relative addresses start from the one that has the file.
    pub url: String,
}

/// The entries of `.gitmodules` in a repository that came from `parent`. Lines that are not understood
/// are passed over, as is an entry without path or address.
pub fn submodules(file: &str, parent: &str) -> Vec<Submodule> {
    let mut found = Vec::new();
    let mut path = None;
    let mut url = None;
    for line in file.lines().map(str::trim).chain(["["]) {
        if line.starts_with('[') {
            if let (Some(path), Some(url)) = (path.take(), url.take()) {
                found.push(Submodule { path, url });
            }
            continue;
        }
        let Some((key, value)) = line.split_once('=') else {
            continue;
        };
        let value = value.trim().trim_matches('"').to_owned();
        match key.trim().to_ascii_lowercase().as_str() {
            "path" => path = Some(value),
            "url" => url = Some(absolute(parent, &value)),
            _ => {}
        }
    }
    found
}

/// `./x` and `../x` are relative to the parent's address.
fn absolute(parent: &str, url: &str) -> String {
    if !url.starts_with("./") && !url.starts_with("../") {
        return url.to_owned();
    }
    let mut base = parent.trim_end_matches('/').to_owned();
    let mut rest = url;
    loop {
        if let Some(after) = rest.strip_prefix("./") {
            rest = after;
        } else if let Some(after) = rest.strip_prefix("../") {
            let cut = base.rfind(['/', ':']).unwrap_or(0);
            base.truncate(cut);
            rest = after;
        } else {
            return format!("{base}/{rest}");
        }
    }
}
