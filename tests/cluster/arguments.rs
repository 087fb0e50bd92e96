//! The arguments of the program.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use crate::fault::Fault;

pub(crate) const USAGE: &str = "\
usage: overwatch-cluster [OPTION]... [FAULT]...

Runs nodes that share their work out by an etcd of its own, makes one fault after the other, and
judges from what the jobs wrote down whether one of them ever ran twice, or paused for too long.

  --members 1|3   members of etcd (default 1)
  --etcd PATH     the etcd to run (default: $ETCD_BIN, or the one on the path)
  --nodes N       2 to 9 nodes (default 3)
  --shards N      1 to 200 jobs (default 24); up to 10000 with `redistribution` alone
  --ttl SECONDS   10 to 60: how soon a node that is silent is given up (default 10)
  --keep          keep logs and records also if all is well
  --write FILE    put the rows into the tables of that file, which is docs/cluster-faults.md; that is
                  for the usual nodes, shards and time to live

Faults, all but the last one by default; those with a * need three members:

  node-leaves  node-killed  node-back-within-ttl  node-hung  node-cut-off  lease-revoked
  etcd-killed  etcd-hung  *quorum-lost  *etcd-leader-killed  *etcd-leader-hung  three-in-a-row
  claims-removed       claims are deleted by hand while their node drains
  blocked-and-cut-off  a job blocks its thread for good, and its node is cut off from etcd
  blocked-and-leaves   the same, and its node is told to stop
  etcd-restored        etcd is put back to an earlier state, while no node runs
  etcd-restored-in-use the same, while all nodes run
  two-lists            nodes know different numbers of jobs, as in a rolling deployment
  two-clusters         nodes have endpoints of two etcds that know nothing of each other
  redistribution       a node is killed; how long until all its shards run elsewhere, and what that
                       costs etcd. Alone, the jobs do nothing: --shards 1000 redistribution";

/// How many nodes and shards, and the time to live in seconds, of which the document tells.
const USUAL: (u32, u32, u32) = (3, 24, 10);

/// Jobs that ask something twenty times a second: more of them would measure this machine.
const MOST_BUSY: u32 = 200;

#[derive(Debug, PartialEq)]
pub(crate) enum Arguments {
    Help,
    Play(Wanted),
}

/// What is to be played.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Wanted {
    pub(crate) members: usize,
    /// Which etcd; none for the usual one.
    pub(crate) etcd: Option<OsString>,
    pub(crate) nodes: usize,
    pub(crate) shards: u32,
    pub(crate) ttl: Duration,
    /// Whether logs and records are kept also if all is well.
    pub(crate) keep: bool,
    /// The document whose rows are replaced.
    pub(crate) write: Option<PathBuf>,
    pub(crate) faults: Vec<Fault>,
}

impl Wanted {
    /// Whether the jobs do nothing but run.
    pub(crate) fn idle(&self) -> bool {
        self.faults == [Fault::Redistribution]
    }

    /// The most shards that a node has when they are balanced.
    pub(crate) fn share(&self) -> usize {
        (self.shards as usize).div_ceil(self.nodes)
    }
}

impl Arguments {
    pub(crate) fn parse(mut arguments: impl Iterator<Item = OsString>) -> Result<Self, String> {
        let (mut members, mut etcd) = (1, None);
        let (mut nodes, mut shards, mut ttl) = USUAL;
        let (mut keep, mut write, mut faults) = (false, None, Vec::new());
        while let Some(argument) = arguments.next() {
            // Only a path may be anything else than text.
            let text = argument.to_str().ok_or("an argument is no text")?;
            let mut value = || {
                let value = arguments.next();
                value.ok_or_else(|| format!("{text} needs a value"))
            };
            match text {
                "-h" | "--help" => return Ok(Self::Help),
                "--members" => members = number(text, &value()?, 1, 3)?,
                "--etcd" => etcd = Some(value()?),
                "--nodes" => nodes = number(text, &value()?, 2, 9)?,
                "--shards" => shards = number(text, &value()?, 1, 10_000)?,
                "--ttl" => ttl = number(text, &value()?, 10, 60)?,
                "--keep" => keep = true,
                "--write" => write = Some(value()?.into()),
                flag if flag.starts_with('-') => return Err(format!("unknown option {flag:?}")),
                name => {
                    let fault = Fault::named(name);
                    faults.push(fault.ok_or_else(|| format!("there is no fault {name:?}"))?);
                }
            }
        }
        if members == 2 {
            return Err("--members 2 survives no less than 1, and no more: take 1 or 3".into());
        }
        for fault in &faults {
            if fault.needs_members() > members {
                return Err(format!("{:?} needs --members 3", fault.name()));
            }
        }
        if write.is_some() && (nodes, shards, ttl) != USUAL {
            return Err("--write is for the usual --nodes, --shards and --ttl".into());
        }
        if faults.is_empty() {
            faults = Fault::script(members);
        }
        let wanted = Wanted {
            members: members as usize,
            etcd,
            nodes: nodes as usize,
            shards,
            ttl: Duration::from_secs(ttl.into()),
            keep,
            write,
            faults,
        };
        if shards > MOST_BUSY && !wanted.idle() {
            return Err(format!(
                "--shards {shards}: above {MOST_BUSY}, `redistribution` must be the only fault"
            ));
        }
        Ok(Self::Play(wanted))
    }
}

fn number(option: &str, value: &OsString, least: u32, most: u32) -> Result<u32, String> {
    let number = value.to_str().and_then(|value| value.parse().ok());
    number
        .filter(|number| (least..=most).contains(number))
        .ok_or_else(|| format!("{option} {value:?} is no number from {least} to {most}"))
}
