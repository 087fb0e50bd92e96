//! The bodies of `/status/check` in the documents are those that a service answers. If they are not, this writes
//! them:
//!
//! ```sh
//! UPDATE_EXPECT=1 cargo nextest run -p overwatch --features http-server,test-util http_body
//! ```

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use std::{env, fs};

use overwatch::http::{HealthBody, health};
use overwatch::machine::Phase;
use overwatch::{Handle, Observation, Overwatch, Probe, Status};
use tokio::time::{Instant, sleep};

use super::support::{bounded, policy};

const COMMAND: &str =
    "UPDATE_EXPECT=1 cargo nextest run -p overwatch --features http-server,test-util http_body";

/// A part of a document: behind the first text, between the second and the third.
struct Shown {
    path: &'static str,
    behind: &'static str,
    begin: &'static str,
    end: &'static str,
}

const README: Shown = Shown {
    path: concat!(env!("CARGO_MANIFEST_DIR"), "/README.md"),
    behind: "if the scheduler takes two seconds to start and to stop:\n",
    begin: "```text\n",
    end: "```\n",
};
const MODULE: Shown = Shown {
    path: concat!(env!("CARGO_MANIFEST_DIR"), "/src/http.rs"),
    behind: "//! # The body of `/status/check` and `/readyz`\n",
    begin: "//! ```json\n",
    end: "//! ```\n",
};
const GUIDE: Shown = Shown {
    path: concat!(env!("CARGO_MANIFEST_DIR"), "/src/guide/operating.md"),
    behind: "**\"Why is it not back yet?\"**",
    begin: "```json\n",
    end: "```\n",
};

/// Answers, is gone for half a minute after five seconds, and answers again.
#[derive(Default)]
struct Database(AtomicU32);

#[overwatch::async_trait]
impl Probe for Database {
    async fn observe(&self) -> Observation {
        let call = self.0.fetch_add(1, Ordering::Relaxed);
        if call > 0 {
            sleep(Duration::from_secs(1)).await;
        }
        match call {
            8..20 => Observation::failing("Connection refused (os error 111)"),
            _ => Observation::alive(format!("answered in {}.1\u{b5}s", 280 + 37 * call % 200)),
        }
    }
}

/// When the example happens, by the clock on the wall.
const BEGAN: Duration = Duration::from_millis(((14 * 60 + 45) * 60 + 12) * 1_000 + 945);

/// What is answered now, with a time that is always the same.
fn answer(handle: &Handle, began: Instant) -> (u16, HealthBody) {
    let entered = began.elapsed() - handle.status().time_in_phase;
    let (code, mut body) = health(handle);
    let ms = (BEGAN + entered).as_millis();
    let (seconds, ms) = (ms / 1_000, ms % 1_000);
    let (hours, minutes, seconds) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
    body.since = format!("2026-11-30T{hours:02}:{minutes:02}:{seconds:02}.{ms:03}Z");
    (code.as_u16(), body)
}

async fn until(handle: &Handle, wanted: impl FnMut(&Status) -> bool) {
    bounded(handle.wait_for(wanted)).await.unwrap();
}

/// The answers of the quick start of the README through an outage.
async fn answers() -> Vec<(u16, HealthBody)> {
    let service = Overwatch::builder(Database::default())
        .policy(policy().build().unwrap())
        .task("scheduler", |ctx| async move {
            sleep(Duration::from_secs(2)).await;
            ctx.mark_ready();
            ctx.stopping().await;
            sleep(Duration::from_secs(2)).await;
            Ok(())
        })
        .build()
        .unwrap();
    let (handle, began) = (service.handle(), Instant::now());
    let run = tokio::spawn(service.run());
    let mut answers = Vec::new();
    let mut note = async |phase: Phase, holds_off: bool, later: u64| {
        let wanted = move |status: &Status| {
            let awaited = status.awaited.as_deref().unwrap_or_default();
            status.phase == phase && (!holds_off || awaited.contains("stay alive"))
        };
        until(&handle, wanted).await;
        sleep(Duration::from_millis(later)).await;
        answers.push(answer(&handle, began));
    };
    note(Phase::Running, false, 700).await;
    note(Phase::ShuttingDown, false, 200).await;
    note(Phase::Monitoring, false, 1_300).await;
    note(Phase::Monitoring, true, 8_400).await;
    note(Phase::Restarting, false, 300).await;
    handle.shutdown();
    bounded(run).await.unwrap().unwrap();
    answers
}

#[tokio::test(start_paused = true)]
async fn the_documents_show_what_is_answered() {
    let answers = answers().await;
    let codes: Vec<u16> = answers.iter().map(|(code, _)| *code).collect();
    assert_eq!(codes, [200, 503, 503, 503, 503]);
    let line = |(code, body): &(u16, HealthBody)| {
        format!("{} {code}\n", serde_json::to_string(body).unwrap())
    };
    let lines: String = answers.iter().map(line).collect();
    let pretty = serde_json::to_string_pretty(&answers[3].1).unwrap();
    let pretty: Vec<&str> = pretty.lines().collect();
    let body: String = pretty.iter().map(|line| format!("{line}\n")).collect();
    let comment: String = pretty.iter().map(|line| format!("//! {line}\n")).collect();
    let mut stale = String::new();
    for (shown, wanted) in [(README, lines), (MODULE, comment), (GUIDE, body)] {
        let text = fs::read_to_string(shown.path).unwrap();
        let new = shown.with(&text, &wanted);
        if new == text {
            continue;
        }
        if env::var_os("UPDATE_EXPECT").is_some() {
            fs::write(shown.path, new).unwrap();
        } else {
            stale += &format!("\n{}:\n{wanted}", shown.path);
        }
    }
    assert!(
        stale.is_empty(),
        "the documents show something else; this writes them:\n\n{COMMAND}\n{stale}"
    );
}

impl Shown {
    /// The document with other text in this place.
    fn with(&self, text: &str, wanted: &str) -> String {
        let (before, rest) = text.split_once(self.behind).expect(self.behind);
        let (between, rest) = rest.split_once(self.begin).expect(self.begin);
        let (_, after) = rest.split_once(self.end).expect(self.end);
        let Self {
            behind, begin, end, ..
        } = self;
        format!("{before}{behind}{between}{begin}{wanted}{end}{after}")
    }
}
