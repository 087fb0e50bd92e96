//! What the jobs of a node did, written to a file that has nothing to do with etcd.
//!
//! Each process has a file of its own, and each line is one `write` in append mode: what a job did
//! before its process was killed is there, whole, and nobody waits for anybody.

use std::fmt;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::time::{ClockId, clock_gettime};

/// Nanoseconds of a clock that all processes of a machine share, and that nobody sets.
pub(crate) fn now() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    // It counts from the boot of the machine, so neither part is negative.
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

/// What a job tells of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The job was started.
    Start,
    /// A unit of work begins: the job has just checked that the shard is its own.
    Begin,
    /// The unit of work is over.
    RunOutcome,
    /// The job has ended, or was aborted.
    Stop,
}

impl Kind {
    const ALL: [Self; 4] = [Self::Start, Self::Begin, Self::RunOutcome, Self::Stop];

    fn word(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Begin => "begin",
            Self::RunOutcome => "end",
            Self::Stop => "stop",
        }
    }
}

/// One line of the record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Line {
    /// When, by [`now`].
    pub(crate) at: u64,
    /// The number of the shard.
    pub(crate) shard: u32,
    /// Which of the process's runs of jobs it was, counted from 0.
    pub(crate) run: u32,
    /// The fencing token under which it ran.
    pub(crate) token: i64,
    /// What it did.
    pub(crate) kind: Kind,
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            at,
            shard,
            run,
            token,
            kind,
        } = self;
        write!(f, "{at} {shard} {run} {token} {}", kind.word())
    }
}

/// A line of a record that is none.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Unreadable;

impl FromStr for Line {
    type Err = Unreadable;

    fn from_str(line: &str) -> Result<Self, Unreadable> {
        fn number<T: FromStr>(word: Option<&str>) -> Result<T, Unreadable> {
            word.and_then(|word| word.parse().ok()).ok_or(Unreadable)
        }
        let mut words = line.split(' ');
        let line = Self {
            at: number(words.next())?,
            shard: number(words.next())?,
            run: number(words.next())?,
            token: number(words.next())?,
            kind: {
                let word = words.next().ok_or(Unreadable)?;
                let mut kinds = Kind::ALL.into_iter();
                kinds.find(|kind| kind.word() == word).ok_or(Unreadable)?
            },
        };
        words.next().map_or(Ok(line), |_| Err(Unreadable))
    }
}

/// What a process writes.
pub(crate) struct Recorder {
    file: File,
    runs: AtomicU32,
}

impl Recorder {
    pub(crate) fn create(path: &Path) -> io::Result<Arc<Self>> {
        let file = File::options().append(true).create(true).open(path)?;
        let runs = AtomicU32::new(0);
        Ok(Arc::new(Self { file, runs }))
    }

    /// Writes that a job has started.
    pub(crate) fn start(self: &Arc<Self>, shard: u32, token: i64) -> io::Result<Running> {
        let running = Running {
            recorder: Arc::clone(self),
            shard,
            run: self.runs.fetch_add(1, Ordering::Relaxed),
            token,
        };
        running.note(Kind::Start)?;
        Ok(running)
    }
}

/// A job that runs. That it has stopped is written when this is dropped, in whatever way that comes:
/// an aborted job writes it, too.
pub(crate) struct Running {
    recorder: Arc<Recorder>,
    shard: u32,
    run: u32,
    token: i64,
}

impl Running {
    pub(crate) fn note(&self, kind: Kind) -> io::Result<()> {
        let line = Line {
            at: now(),
            shard: self.shard,
            run: self.run,
            token: self.token,
            kind,
        };
        let line = format!("{line}\n");
        // Into the page cache, which takes microseconds: not worth another thread.
        match (&self.recorder.file).write(line.as_bytes())? {
            written if written == line.len() => Ok(()),
            written => Err(io::Error::other(format!("{written} bytes of {line:?}"))),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.note(Kind::Stop);
    }
}

/// Reads a record while it is being written.
pub(crate) struct Reader {
    path: PathBuf,
    read: u64,
    /// The beginning of a line whose end was not there yet.
    rest: Vec<u8>,
}

impl Reader {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self {
            path,
            read: 0,
            rest: Vec::new(),
        }
    }

    /// The lines since the last time. A file that is not there yet has none.
    pub(crate) fn more(&mut self) -> io::Result<Vec<Line>> {
        let mut file = match File::open(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            other => other?,
        };
        file.seek(SeekFrom::Start(self.read))?;
        self.read += file.read_to_end(&mut self.rest)? as u64;
        let Some(last) = self.rest.iter().rposition(|&byte| byte == b'\n') else {
            return Ok(Vec::new());
        };
        let rest = self.rest.split_off(last + 1);
        let lines = std::mem::replace(&mut self.rest, rest);
        let unreadable = |line: &str| {
            let path = self.path.display();
            io::Error::other(format!("{path} has a line that is none: {line:?}"))
        };
        String::from_utf8_lossy(&lines)
            .lines()
            .map(|line| line.parse().map_err(|Unreadable| unreadable(line)))
            .collect()
    }
}
