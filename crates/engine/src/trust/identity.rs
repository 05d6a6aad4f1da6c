//! What a signature must be called: `signedIdentity` of a policy.

use lapstrake_spec::Reference;

/// A rule about the name in a signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Identity {
    /// For a key that stands in no policy: the repository, and the tag if the signature names one.
    SameRepository,
    /// A policy that says nothing: as [`Self::MatchRepoDigestOrExact`]; a signature of a kind that has
    /// no room for a name counts too.
    Unstated,
    /// The name that was asked for, tag and all.
    MatchExact,
    /// The name that was asked for; asked for by digest, its repository.
    MatchRepoDigestOrExact,
    /// The repository of the name that was asked for.
    MatchRepository,
    /// This name.
    ExactReference(Reference),
    /// Any name in this repository.
    ExactRepository(Reference),
    /// As [`Self::MatchRepoDigestOrExact`], after the beginning of the name was replaced.
    Remap {
        /// What the name that was asked for begins with.
        prefix: String,
        /// What the name in the signature has in its place.
        signed_prefix: String,
    },
}

impl Identity {
    /// Whether a signature of `signed` is one of `asked`. Signatures that have no room for a name have
    /// `None`.
    pub(super) fn accepts(&self, asked: &Reference, signed: Option<&Reference>) -> bool {
        let Some(signed) = signed else {
            return matches!(self, Self::SameRepository | Self::Unstated);
        };
        match self {
            Self::SameRepository => {
                let tags = (asked.tag(), signed.tag());
                let same_tag =
                    asked.digest().is_some() || !matches!(tags, (Some(a), Some(b)) if a != b);
                asked.same_repository(signed) && same_tag
            }
            Self::MatchExact => asked == signed,
            Self::Unstated | Self::MatchRepoDigestOrExact => exact_or_digest(asked, signed),
            Self::MatchRepository => asked.same_repository(signed),
            Self::ExactReference(wanted) => wanted == signed,
            Self::ExactRepository(wanted) => wanted.same_repository(signed),
            Self::Remap {
                prefix,
                signed_prefix,
            } => remap(asked, prefix, signed_prefix)
                .is_some_and(|asked| exact_or_digest(&asked, signed)),
        }
    }

    /// Whether a name without a tag is all that it lacks to accept a signature by cosign, which names
    /// repositories.
    pub(super) fn wants_tag(&self, asked: &Reference, signed: &Reference) -> bool {
        let strict = matches!(
            self,
            Self::Unstated | Self::MatchExact | Self::MatchRepoDigestOrExact
        );
        strict && signed.is_name_only() && asked.same_repository(signed)
    }

    /// One word for the record of what was verified.
    pub(super) fn word(&self) -> String {
        match self {
            Self::SameRepository => "repository".to_owned(),
            Self::Unstated => "unstated".to_owned(),
            Self::MatchExact => "matchExact".to_owned(),
            Self::MatchRepoDigestOrExact => "matchRepoDigestOrExact".to_owned(),
            Self::MatchRepository => "matchRepository".to_owned(),
            Self::ExactReference(name) => format!("exactReference={}", name.canonical()),
            Self::ExactRepository(name) => format!("exactRepository={}", name.canonical()),
            Self::Remap {
                prefix,
                signed_prefix,
            } => format!("remapIdentity={prefix}={signed_prefix}"),
        }
    }
}

fn exact_or_digest(asked: &Reference, signed: &Reference) -> bool {
    match asked.digest() {
        Some(_) => asked.same_repository(signed),
        None => asked == signed,
    }
}

/// The name with another beginning; as it is when it does not begin so. A name that would be none is
/// equal to nothing.
fn remap(asked: &Reference, prefix: &str, signed_prefix: &str) -> Option<Reference> {
    let repository = asked.repository();
    let rest = match repository.strip_prefix(prefix) {
        Some(rest) if rest.is_empty() || rest.starts_with('/') => rest,
        _ => return Some(asked.clone()),
    };
    let mut made = Reference::parse(&format!("{signed_prefix}{rest}")).ok()?;
    if let Some(tag) = asked.tag() {
        made = made.with_tag(tag).ok()?;
    }
    Some(match asked.digest() {
        Some(digest) => made.with_digest(digest.clone()),
        None => made,
    })
}
