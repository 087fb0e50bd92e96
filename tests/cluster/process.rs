//! What a node is at one time: a process, what it says, and what its jobs write down.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitStatus;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::process::Signal;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::ChildStdout;

use crate::judge::{Spell, Trail};
use crate::leash::Leashed;
use crate::node::{BLOCK, BLOCKED, NOT_READY, READY, Told};
use crate::record::{Kind, Reader, now};
use crate::screen::Screen;

/// One process of a node: it runs, or has ended.
pub(crate) struct Process {
    leash: Option<Leashed>,
    reader: Reader,
    pub(crate) trail: Trail,
    /// The jobs that run: which run it is, and the shard.
    pub(crate) jobs: BTreeMap<u32, u32>,
    /// How many shards it was told that there are.
    pub(crate) shards: u32,
    /// Whether one of its jobs was told to block, so that it has to end by itself.
    pub(crate) blocked: bool,
    said: Arc<Mutex<Said>>,
}

/// What a process said of itself.
#[derive(Clone, Debug, Default)]
pub(crate) struct Said {
    pub(crate) ready: bool,
    /// Why it is not ready.
    pub(crate) reason: String,
    /// How often it was ready, and then was not.
    pub(crate) trips: u32,
    /// When it was last not ready any more.
    pub(crate) tripped: u64,
    /// The shard whose job blocks.
    pub(crate) blocked: Option<u32>,
}

impl Process {
    /// Starts it, as this node.
    pub(crate) fn start(told: &Told, node: usize, log: &Path, screen: Screen) -> io::Result<Self> {
        let log = File::options().create(true).append(true).open(log)?;
        let program = std::env::current_exe()?;
        let mut leash = Leashed::start(program.as_os_str(), &told.arguments(), &log, true)?;
        let heard = leash.said();
        let heard = heard.ok_or_else(|| io::Error::other("it cannot be heard"))?;
        let heard = ChildStdout::from_std(heard)?;
        let said = Arc::default();
        let hear = hear(told.id.clone(), heard, log, Arc::clone(&said), screen);
        tokio::spawn(hear);
        Ok(Self {
            leash: Some(leash),
            reader: Reader::new(told.record.clone()),
            trail: Trail {
                node,
                ..Trail::default()
            },
            jobs: BTreeMap::new(),
            shards: told.shards,
            blocked: false,
            said,
        })
    }

    pub(crate) fn said(&self) -> Said {
        lock(&self.said).clone()
    }

    pub(crate) fn is_hung(&self) -> bool {
        let spell = self.trail.frozen.last();
        spell.is_some_and(|spell| spell.until.is_none())
    }

    /// How it ended, if it has.
    pub(crate) fn ended(&mut self) -> io::Result<Option<ExitStatus>> {
        self.leash.as_mut().map_or(Ok(None), Leashed::ended)
    }

    /// Sends a signal.
    pub(crate) fn signal(&mut self, signal: Signal) -> io::Result<()> {
        let leash = self.leash.as_mut();
        leash.map_or(Ok(()), |leash| leash.signal(signal))
    }

    /// Has one of its jobs block.
    pub(crate) fn block(&mut self) -> io::Result<()> {
        let leash = self.leash.as_mut();
        leash.map_or(Ok(()), |leash| leash.tell(BLOCK))?;
        self.blocked = true;
        Ok(())
    }

    /// SIGSTOP.
    pub(crate) fn hang(&mut self) -> io::Result<()> {
        self.signal(Signal::STOP)?;
        self.trail.frozen.push(Spell {
            from: now(),
            until: None,
        });
        Ok(())
    }

    /// SIGCONT.
    pub(crate) fn resume(&mut self) -> io::Result<()> {
        if let Some(spell) = self.trail.frozen.last_mut() {
            spell.until = Some(now());
        }
        self.signal(Signal::CONT)
    }

    /// Whether it stood still for so long, and goes on.
    pub(crate) fn stood_still(&self, time: Duration) -> bool {
        let length = |spell: &Spell| spell.until.map(|until| until - spell.from);
        let longest = self.trail.frozen.iter().filter_map(length).max();
        longest.is_some_and(|nanos| Duration::from_nanos(nanos) >= time)
    }

    /// Reads what has been written down since the last time.
    pub(crate) fn read(&mut self) -> io::Result<()> {
        for line in self.reader.more()? {
            match line.kind {
                Kind::Start => drop(self.jobs.insert(line.run, line.shard)),
                Kind::Stop => drop(self.jobs.remove(&line.run)),
                Kind::Begin | Kind::RunOutcome => {}
            }
            self.trail.lines.push(line);
        }
        Ok(())
    }

    /// Ends it, by SIGKILL if it has not ended, and reads what is left.
    pub(crate) fn end(&mut self) -> io::Result<()> {
        let ended = now();
        self.leash = None;
        self.read()?;
        self.trail.ended = Some(ended);
        self.jobs.clear();
        lock(&self.said).ready = false;
        Ok(())
    }
}

/// Hears what a process says, until it has ended. All of it goes to its log.
async fn hear(
    id: String,
    from: ChildStdout,
    mut log: File,
    said: Arc<Mutex<Said>>,
    screen: Screen,
) {
    let mut lines = BufReader::new(from).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        let seconds = screen.elapsed().as_secs_f64();
        let _ = writeln!(log, "{seconds:7.1}  {line}");
        if line == READY {
            let mut said = lock(&said);
            said.ready = true;
            said.reason.clear();
        } else if let Some(reason) = line.strip_prefix(NOT_READY) {
            screen.say(&id, &line);
            let mut said = lock(&said);
            said.ready = false;
            said.trips += 1;
            said.tripped = now();
            reason.clone_into(&mut said.reason);
        } else if let Some(shard) = line.strip_prefix(BLOCKED) {
            screen.say(&id, &line);
            lock(&said).blocked = shard.parse().ok();
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
