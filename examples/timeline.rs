//! What happened, when and to whom, one line each.

use std::fmt;
use std::time::Duration;

use overwatch::machine::Phase;
use overwatch::{Handle, TransitionEvent};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::endpoint::{Answer, Endpoint};

/// Takes in what happens. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Timeline {
    began: Instant,
    entries: mpsc::UnboundedSender<Entry>,
}

/// One thing that happened.
#[derive(Clone, Debug)]
pub struct Entry {
    /// When, from the begin of the timeline.
    pub at: Duration,
    /// What.
    pub event: Event,
}

/// What can happen.
#[derive(Clone, Debug)]
pub enum Event {
    /// To the dependency.
    Dependency {
        /// Whether it is up from now on.
        up: bool,
        /// In words.
        what: String,
    },
    /// To the supervisor.
    Moved(TransitionEvent),
    /// To a component.
    Component {
        /// Its name.
        name: String,
        /// Its epoch.
        epoch: u64,
        /// What it did.
        did: Did,
    },
    /// `/status/check` was asked.
    Answered(Answer),
}

/// What a component did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Did {
    /// It was started.
    Starts(&'static str),
    /// It is up.
    Up(&'static str),
    /// It ran a job.
    Ran {
        /// Which, counted from 1 in every epoch.
        job: u64,
    },
    /// It was told to stop.
    ToldToStop {
        /// What `/status/check` answered just then; `None` if it did not.
        code: Option<u16>,
    },
    /// It has stopped.
    Gone(&'static str),
}

impl Timeline {
    /// A timeline that begins now, and where its entries can be read.
    pub fn begin() -> (Self, mpsc::UnboundedReceiver<Entry>) {
        let (entries, read) = mpsc::unbounded_channel();
        let began = Instant::now();
        (Self { began, entries }, read)
    }

    /// Tells what the dependency does from now on.
    pub fn dependency(&self, up: bool, what: impl Into<String>) {
        let what = what.into();
        self.add(Instant::now(), Event::Dependency { up, what });
    }

    /// Tells what a component did.
    pub fn component(&self, name: &str, epoch: u64, did: Did) {
        let name = name.to_owned();
        self.add(Instant::now(), Event::Component { name, epoch, did });
    }

    /// Asks `/status/check`, and tells the answer.
    pub async fn check(&self, endpoint: Endpoint) {
        // Where nobody answers there is no entry, and the summary misses it.
        if let Ok(answer) = endpoint.check().await {
            self.add(Instant::now(), Event::Answered(answer));
        }
    }

    /// Tells each transition, and what `/status/check` answers after it, until the run is over.
    pub fn follow(&self, handle: &Handle, endpoint: Endpoint) -> JoinHandle<()> {
        let (timeline, mut transitions) = (self.clone(), handle.transitions());
        tokio::spawn(async move {
            while let Ok(Some(transitioned)) = transitions.next().await {
                timeline.add(transitioned.at, Event::Moved(transitioned));
                timeline.check(endpoint).await;
            }
        })
    }

    fn add(&self, at: Instant, event: Event) {
        let at = at.saturating_duration_since(self.began);
        // Nobody reads any more: then nobody wants to know.
        let _ = self.entries.send(Entry { at, event });
    }
}

impl Entry {
    /// As one line: when, who, what.
    pub fn line(&self, colour: bool) -> String {
        let (who, what) = match &self.event {
            Event::Component { name, .. } => (name.as_str(), self.event.to_string()),
            Event::Dependency { .. } => ("dependency", self.event.to_string()),
            Event::Moved(_) => ("supervisor", self.event.to_string()),
            Event::Answered(_) => ("http", self.event.to_string()),
        };
        let seconds = self.at.as_secs_f64();
        let line = format!("{seconds:8.3}  {who:<10}  {what}");
        match self.event.colour() {
            Some(code) if colour => format!("\x1b[{code}m{line}\x1b[0m"),
            _ => line,
        }
    }
}

impl Event {
    /// The parameter of the terminal's colour sequence.
    fn colour(&self) -> Option<&'static str> {
        const DIM: &str = "2";
        const BOLD_GREEN: &str = "1;32";
        const BOLD_RED: &str = "1;31";
        const BOLD_YELLOW: &str = "1;33";
        const MAGENTA: &str = "35";
        const GREEN: &str = "32";
        const RED: &str = "31";
        Some(match self {
            Self::Moved(transitioned) => match transitioned.to {
                Phase::Running => BOLD_GREEN,
                Phase::ShuttingDown | Phase::Halted => BOLD_RED,
                _ => BOLD_YELLOW,
            },
            Self::Dependency { .. } => MAGENTA,
            Self::Answered(answer) if answer.code == 200 => GREEN,
            Self::Answered(_) => RED,
            Self::Component {
                did: Did::Ran { .. },
                ..
            } => DIM,
            Self::Component { .. } => return None,
        })
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dependency { what, .. } => f.write_str(what),
            Self::Moved(TransitionEvent {
                from, to, reason, ..
            }) => write!(f, "{from} -> {to}: {reason}"),
            Self::Component { epoch, did, .. } => write!(f, "epoch {epoch}: {did}"),
            Self::Answered(answer) => {
                write!(f, "GET /status/check -> {}", answer.code)?;
                match (answer.field("phase"), answer.field("awaited")) {
                    (Some(state), Some(awaited)) => write!(f, " {state}, awaits {awaited}"),
                    (Some(state), None) => write!(f, " {state}"),
                    (None, _) => write!(f, " {}", answer.body),
                }
            }
        }
    }
}

impl fmt::Display for Did {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Starts(what) | Self::Up(what) | Self::Gone(what) => f.write_str(what),
            Self::Ran { job } => write!(f, "job {job} runs on this node"),
            Self::ToldToStop { code: Some(code) } => {
                write!(f, "told to stop; /status/check says {code} by now")
            }
            Self::ToldToStop { code: None } => {
                f.write_str("told to stop; /status/check does not answer")
            }
        }
    }
}
