//! Who the container's process is: docker's reading of `USER` and `-u` against the image's passwd and group
//! files.

use crate::error::{Error, Result};
use lapstrake_snapshot::View;

/// The numbers of a process's owner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// User.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Additional groups.
    pub groups: Vec<u32>,
    /// Home folder, `/` when nobody says.
    pub home: String,
}

/// The longest passwd or group file of an image that is read.
const FILE_LIMIT: u64 = 16 << 20;

/// Highest number of a user or group.
const ID_LIMIT: u32 = (1 << 31) - 1;

struct User<'a> {
    name: &'a str,
    uid: u32,
    gid: u32,
    home: &'a str,
}

struct Group<'a> {
    name: &'a str,
    gid: u32,
    members: &'a str,
}

/// [`identify`] with the files of a tree.
pub(crate) fn identify_in(view: &View, typed: &str, more: &[String]) -> Result<Identity> {
    let read = |path| -> Result<String> {
        let bytes = view.read(path, FILE_LIMIT)?.unwrap_or_default();
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    };
    identify(typed, more, &read("/etc/passwd")?, &read("/etc/group")?)
}

/// Looks up `user[:group]` and the names or numbers in `more`. Unreadable files count as empty.
pub fn identify(typed: &str, more: &[String], passwd: &str, group: &str) -> Result<Identity> {
    let (user_word, group_word) = typed.split_once(':').unwrap_or((typed, ""));
    let found = users(passwd).find(|user| matches_user(user, user_word));
    let mut identity = match &found {
        Some(user) => Identity {
            uid: user.uid,
            gid: user.gid,
            groups: Vec::new(),
            home: user.home.to_owned(),
        },
        None => unknown_user(user_word)?,
    };
    if identity.home.is_empty() {
        "/".clone_into(&mut identity.home);
    }
    if !group_word.is_empty() {
        identity.gid = group_number(group_word, group)?;
    } else if let Some(user) = &found {
        identity.groups = groups(group)
            .filter(|group| group.members.split(',').any(|member| member == user.name))
            .map(|group| group.gid)
            .collect();
    }
    for word in more {
        let gid = group_number(word, group)?;
        if !identity.groups.contains(&gid) {
            identity.groups.push(gid);
        }
    }
    Ok(identity)
}

fn matches_user(user: &User<'_>, word: &str) -> bool {
    match word.parse::<u32>() {
        _ if word.is_empty() => user.uid == 0,
        Ok(uid) if user.uid == uid => true,
        _ => user.name == word,
    }
}

fn unknown_user(word: &str) -> Result<Identity> {
    let uid = if word.is_empty() {
        0
    } else {
        number(word).ok_or_else(|| {
            Error::Invalid(format!(
                "unable to find user {word}: no matching entries in passwd file"
            ))
        })??
    };
    Ok(Identity {
        uid,
        gid: 0,
        groups: Vec::new(),
        home: "/".to_owned(),
    })
}

fn group_number(word: &str, group: &str) -> Result<u32> {
    let by_name = groups(group).find(|group| group.name == word);
    if let Some(group) = by_name {
        return Ok(group.gid);
    }
    number(word).ok_or_else(|| {
        Error::Invalid(format!(
            "unable to find group {word}: no matching entries in group file"
        ))
    })?
}

/// A number, if the word is one, and whether it may be used.
fn number(word: &str) -> Option<Result<u32>> {
    let value = word.parse::<i64>().ok()?;
    let fits = u32::try_from(value).ok().filter(|value| *value <= ID_LIMIT);
    let message = "uids and gids must be in range 0-2147483647";
    Some(fits.ok_or_else(|| Error::Invalid(message.to_owned())))
}

fn users(passwd: &str) -> impl Iterator<Item = User<'_>> {
    lines(passwd).filter_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        let uid = fields.nth(1)?.parse().ok()?;
        let gid = fields.next()?.parse().ok()?;
        let home = fields.nth(1).unwrap_or_default();
        Some(User {
            name,
            uid,
            gid,
            home,
        })
    })
}

fn groups(group: &str) -> impl Iterator<Item = Group<'_>> {
    lines(group).filter_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        let gid = fields.nth(1)?.parse().ok()?;
        Some(Group {
            name,
            gid,
            members: fields.next().unwrap_or_default(),
        })
    })
}

fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
}

#[cfg(test)]
mod tests;
