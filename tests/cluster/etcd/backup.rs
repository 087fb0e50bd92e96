//! A backup of etcd's data, and how it is put back: what an operator does who restores one.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use rustix::process::Signal;
use tokio::task::spawn_blocking;

use super::{Member, answering};

/// The data of all members at one moment.
pub(crate) struct Backup {
    /// Of each member.
    dirs: Vec<PathBuf>,
}

impl Backup {
    /// Copies the data of members that run. They stand still meanwhile, for a fraction of a second: what
    /// they have written is then as consistent as if they had been killed at that moment.
    pub(crate) async fn take(members: &mut [Member]) -> Result<Self, String> {
        let signal = |members: &mut [Member], signal| {
            let mut members = members.iter_mut();
            members.try_for_each(|member| member.signal(signal))
        };
        let pairs: Vec<(PathBuf, PathBuf)> = members
            .iter()
            .map(|member| (member.data(), member.dir.join("backup")))
            .collect();
        signal(members, Signal::STOP)?;
        let dirs = pairs.iter().map(|(_, copy)| copy.clone()).collect();
        // Elsewhere: this thread carries the nodes' connections.
        let copied = spawn_blocking(move || {
            let mut pairs = pairs.iter();
            pairs.try_for_each(|(data, copy)| copy_dir(data, copy))
        });
        let copied = copied.await;
        signal(members, Signal::CONT)?;
        let copied = copied.map_err(|error| error.to_string())?;
        copied.map_err(|error| format!("the data of etcd cannot be copied: {error}"))?;
        answering(members).await?;
        Ok(Self { dirs })
    }

    /// Puts the data back. The members must not run.
    pub(crate) fn put_back(self, members: &[Member]) -> Result<(), String> {
        for (member, dir) in members.iter().zip(&self.dirs) {
            let data = member.data();
            let done = fs::remove_dir_all(&data).and_then(|()| fs::rename(dir, &data));
            done.map_err(|error| format!("the data of etcd cannot be put back: {error}"))?;
        }
        Ok(())
    }
}

fn copy_dir(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (path, copy) = (entry.path(), to.join(entry.file_name()));
        if entry.file_type()?.is_dir() {
            copy_dir(&path, &copy)?;
        } else if path.extension().is_none_or(|extension| extension != "tmp") {
            // A file for later, which has nothing in it and is large.
            fs::copy(&path, &copy)?;
        }
    }
    Ok(())
}
