//! What a word on the command line stands for: a directory, standard input, an address of a file or of
//! a repository.

/// The form of a context, or of a Dockerfile's place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// `-`
    Stdin,
    /// A path of the host.
    Path(String),
    /// A file to download: an archive or a Dockerfile.
    Http(String),
    /// A repository.
    Git(GitAddress),
}

/// A repository, a reference in it, and a directory of its tree.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GitAddress {
    /// The repository's address, complete, without fragment: `https://…`, `ssh://…`, `git@host:path`,
    /// `git://…`, `file://…`.
    pub remote: String,
    /// A branch, a tag, a whole reference or a commit; `None` is the repository's HEAD.
    pub reference: Option<String>,
    /// The directory that is used, relative.
    pub directory: Option<String>,
}

impl Address {
    /// What docker takes a word for; a directory that exists wins, which the caller knows.
    pub fn parse(text: &str, is_directory: bool) -> Self {
        if text == "-" {
            return Self::Stdin;
        }
        if is_directory {
            return Self::Path(text.to_owned());
        }
        if let Some(git) = GitAddress::parse(text) {
            return Self::Git(git);
        }
        if is_http(text) {
            return Self::Http(text.to_owned());
        }
        Self::Path(text.to_owned())
    }
}

fn is_http(text: &str) -> bool {
    text.starts_with("http://") || text.starts_with("https://")
}

impl GitAddress {
    /// The repository that an address means, with `#reference:directory`, or with the query
    /// `?ref=…&subdir=…`; nothing for other addresses. Over HTTP a repository's path ends in `.git`.
    pub fn parse(text: &str) -> Option<Self> {
        let (place, fragment) = match text.split_once('#') {
            Some((place, fragment)) => (place, Some(fragment)),
            None => (text, None),
        };
        let (remote, query) = match place.split_once('?') {
            Some((remote, query)) => (remote, Some(query)),
            None => (place, None),
        };
        let remote = if is_http(remote) {
            remote.strip_suffix(".git").map(|_| remote.to_owned())?
        } else if remote.starts_with("github.com/") {
            format!("https://{remote}")
        } else if ["git://", "ssh://", "file://"]
            .iter()
            .any(|scheme| remote.starts_with(scheme))
            || is_scp(remote)
        {
            remote.to_owned()
        } else {
            return None;
        };
        let mut address = Self {
            remote,
            ..Self::default()
        };
        address.fragment(fragment.unwrap_or_default());
        address.query(query.unwrap_or_default());
        Some(address)
    }

    fn fragment(&mut self, fragment: &str) {
        let (reference, directory) = fragment.split_once(':').unwrap_or((fragment, ""));
        self.reference = nonempty(reference);
        self.directory = nonempty(directory.trim_matches('/'));
    }

    fn query(&mut self, query: &str) {
        for pair in query.split('&') {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            match key {
                "ref" | "commit" | "checksum" => self.reference = nonempty(value),
                "branch" => self.reference = Some(format!("refs/heads/{value}")),
                "tag" => self.reference = Some(format!("refs/tags/{value}")),
                "subdir" => self.directory = nonempty(value.trim_matches('/')),
                _ => {}
            }
        }
    }
}

fn nonempty(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

/// `user@host:path`
fn is_scp(text: &str) -> bool {
    let Some((user, rest)) = text.split_once('@') else {
        return false;
    };
    let word = |text: &str| {
        !text.is_empty()
            && text
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
    };
    match rest.split_once(':') {
        Some((host, path)) => word(user) && word(host) && !path.is_empty(),
        None => false,
    }
}
