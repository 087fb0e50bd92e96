//! The keys in etcd, and the names that can be part of them.
//!
//! ```text
//! {prefix}members/{id}                   a member: its metadata
//! {prefix}work/{work}/on/{id}/{lease}    takes part in this work: with which list of shards
//! {prefix}work/{work}/list/{hash}        a list of shards with names: a number for each of them
//! {prefix}work/{work}/shard/{shard}      the claim on a shard: its owner's id; empty when released
//! ```

use crate::etcd::basics::EtcdConfigError;

/// A prefix of keys: that below which one cluster of nodes keeps everything, or one that is only read.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Prefix(String);

impl Prefix {
    /// Checks a prefix. A slash is added if it does not end with one, so that `a` is not a prefix of `ab`.
    pub(crate) fn parse(given: &str) -> Result<Self, EtcdConfigError> {
        check("prefix", given, LONGEST_PREFIX)?;
        let slash = if given.ends_with('/') { "" } else { "/" };
        Ok(Self(format!("{given}{slash}")))
    }

    pub(crate) fn all(&self) -> &str {
        &self.0
    }

    pub(crate) fn members(&self) -> String {
        format!("{}members/", self.0)
    }

    pub(crate) fn member(&self, id: &str) -> String {
        format!("{}members/{id}", self.0)
    }

    /// The id of the node that this record belongs to; `None` if no node wrote the key.
    pub(crate) fn parse_member<'a>(&self, key: &'a str) -> Option<&'a str> {
        let id = key.strip_prefix(&self.0)?.strip_prefix("members/")?;
        (!id.is_empty() && !id.contains('/')).then_some(id)
    }

    pub(crate) fn work(&self, work: &str) -> WorkKeys {
        WorkKeys(format!("{}work/{work}/", self.0))
    }
}

/// The keys of one work.
#[derive(Clone, Debug)]
pub(crate) struct WorkKeys(String);

/// The meaning of a key of a work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WorkKey<'a> {
    /// A node takes part.
    On { id: &'a str, lease: i64 },
    /// A list of shards, by its hash.
    List { hash: u64 },
    /// The claim on a shard.
    Shard { name: &'a str },
}

impl WorkKeys {
    pub(crate) fn all(&self) -> &str {
        &self.0
    }

    /// One key for each lease, so that a node that comes back does not use the key of its predecessor.
    pub(crate) fn on(&self, id: &str, lease: i64) -> String {
        format!("{}on/{id}/{lease:x}", self.0)
    }

    /// The key of a list, by the name of its record.
    pub(crate) fn list(&self, name: &str) -> String {
        format!("{}list/{name}", self.0)
    }

    pub(crate) fn shard(&self, name: &str) -> String {
        format!("{}shard/{name}", self.0)
    }

    /// Parses a key; `None` if no node wrote it.
    pub(crate) fn parse<'a>(&self, key: &'a str) -> Option<WorkKey<'a>> {
        let rest = key.strip_prefix(&self.0)?;
        if let Some(name) = rest.strip_prefix("shard/") {
            return Some(WorkKey::Shard { name });
        }
        if let Some(hash) = rest.strip_prefix("list/") {
            let parsed = u64::from_str_radix(hash, 16).ok()?;
            // Only the form that nodes write, because otherwise two keys would be one list.
            let is_written_so = format!("{parsed:016x}") == hash;
            return is_written_so.then_some(WorkKey::List { hash: parsed });
        }
        let (id, lease) = rest.strip_prefix("on/")?.split_once('/')?;
        let parsed = i64::from_str_radix(lease, 16).ok()?;
        let is_written_so = format!("{parsed:x}") == lease;
        (is_written_so && !id.is_empty()).then_some(WorkKey::On { id, lease: parsed })
    }
}

/// Checks that a name can be part of a key: the id of a node, or the name of a work or a shard.
pub(crate) fn check_name(knob: &'static str, name: &str) -> Result<(), EtcdConfigError> {
    check(knob, name, LONGEST_NAME)?;
    if name.contains('/') {
        return bad(
            knob,
            format!("{name:?} holds a slash, which parts keys: leave it out"),
        );
    }
    Ok(())
}

fn check(knob: &'static str, given: &str, longest: usize) -> Result<(), EtcdConfigError> {
    if given.is_empty() {
        return bad(knob, "is empty: give it a name of its own".into());
    }
    if given.len() > longest {
        let length = given.len();
        return bad(
            knob,
            format!("has {length} bytes, but may have {longest}: shorten it"),
        );
    }
    if given.chars().any(|c| c.is_control() || c.is_whitespace()) {
        return bad(
            knob,
            format!("{given:?} holds white space or a control character: leave it out"),
        );
    }
    Ok(())
}

fn bad(knob: &'static str, problem: String) -> Result<(), EtcdConfigError> {
    Err(EtcdConfigError::BadSetting { knob, problem })
}

const LONGEST_PREFIX: usize = 512;
const LONGEST_NAME: usize = 128;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        let keys = Prefix::parse("checks").expect("valid").work("http");
        assert_eq!(keys.all(), "checks/work/http/");
        let on = keys.on("node-1", 0x7f);
        let (id, lease) = ("node-1", 0x7f);
        assert_eq!(keys.parse(&on), Some(WorkKey::On { id, lease }));
        let shard = keys.shard("17");
        assert_eq!(keys.parse(&shard), Some(WorkKey::Shard { name: "17" }));
        let list = keys.list("00000000000000ff");
        assert_eq!(keys.parse(&list), Some(WorkKey::List { hash: 0xff }));
    }

    #[test]
    fn what_others_wrote_is_nothing() {
        let keys = Prefix::parse("checks/").expect("valid").work("http");
        for junk in [
            "checks/work/http/",
            "checks/work/http/on/node-1",
            "checks/work/http/on/node-1/xyz",
            "checks/work/http/on//7f",
            "checks/work/http/list/",
            "checks/work/http/list/x",
            "checks/work/http/list/ff",
            "checks/work/http/list/+0000000000000ff",
            "checks/work/http/on/node-1/07f",
            "checks/work/http/off/node-1/7f",
            "checks/work/httpx/shard/1",
            "other/work/http/shard/1",
        ] {
            assert_eq!(keys.parse(junk), None, "{junk}");
        }
    }

    #[test]
    fn a_member_is_known_by_its_key() {
        let prefix = Prefix::parse("checks").expect("valid");
        assert_eq!(
            prefix.parse_member(&prefix.member("node-1")),
            Some("node-1")
        );
        // And by what all such keys begin with, which is watched.
        assert_eq!(prefix.members(), "checks/members/");
        assert_eq!(prefix.member("node-1"), "checks/members/node-1");
        for junk in [
            "checks/members/",
            "checks/members/a/b",
            "checks/members/a/",
            "checks/members",
            "checks/member/a",
            "checks/work/a",
            "checkers/members/a",
            "members/a",
            "a",
        ] {
            assert_eq!(prefix.parse_member(junk), None, "{junk}");
        }
    }

    #[test]
    fn names_that_cannot_be_keys_are_refused_with_their_reason() {
        for (name, why) in [
            ("", "is empty"),
            ("a/b", "slash"),
            ("a\nb", "control character"),
            ("a b", "white space"),
            ("\u{0}", "control character"),
            (&"x".repeat(129), "129 bytes"),
        ] {
            let error = check_name("id", name).expect_err(name).to_string();
            assert!(error.starts_with("id: ") && error.contains(why), "{error}");
        }
        assert!(check_name("id", "knoten-ä.1:8080").is_ok());
        assert!(check_name("id", &"x".repeat(128)).is_ok());
        assert!(Prefix::parse(&"x".repeat(512)).is_ok());
        assert!(Prefix::parse("").is_err());
        assert!(Prefix::parse("a\u{7}").is_err());
        assert!(Prefix::parse(&"x".repeat(513)).is_err());
    }
}
