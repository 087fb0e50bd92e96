//! What is shown while it happens.

use std::io::{self, Write};
use std::time::Duration;

use tokio::time::Instant;

/// The most of a line that is shown.
const WIDTH: usize = 150;

/// Prints what happens, with the time since the beginning.
#[derive(Clone, Copy)]
pub(crate) struct Screen {
    began: Instant,
}

impl Screen {
    pub(crate) fn new() -> Self {
        let began = Instant::now();
        Self { began }
    }

    pub(crate) fn elapsed(self) -> Duration {
        self.began.elapsed()
    }

    pub(crate) fn say(self, who: &str, what: &str) {
        let seconds = self.elapsed().as_secs_f64();
        let line: String = format!("{seconds:7.1}  {who:<8}  {what}");
        let shown: String = line.chars().take(WIDTH).collect();
        let more = if shown.len() < line.len() { "…" } else { "" };
        // A reader that has left, such as `head`, is no reason to panic.
        let _ = writeln!(io::stdout(), "{shown}{more}");
    }
}
