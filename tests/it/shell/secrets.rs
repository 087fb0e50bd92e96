//! What users' errors and probes say is shown in one line, without secrets, and once.

use std::fmt;
use std::time::Duration;

use overwatch::machine::Phase;
use overwatch::{Failure, Observation, Overwatch, Probe, RunError};

use super::support::{bounded, policy, start};
use super::trace::Captured;

const SECRET: &str = "s3cr3t";
/// An error as it must not be shown.
const TEXT: &str = "cannot connect to postgres://app:s3cr3t@db:5432/jobs\n\tAuthorization: Bearer s3cr3t\r\n password=s3cr3t";
/// The same as it is shown.
const SHOWN: &str = "cannot connect to postgres://<hidden>@db:5432/jobs  Authorization: Bearer <hidden>   password=<hidden>";

/// Everything that was logged, and each status on the way.
fn assert_no_secret(captured: &Captured, shown: &[String]) {
    let logged = captured.all();
    let logged = logged.iter().flat_map(|(_, _, fields)| fields.values());
    for text in logged.chain(shown) {
        assert!(!text.contains(SECRET), "{text}");
        assert!(!text.contains('\n'), "{text}");
    }
}

#[tokio::test(start_paused = true)]
async fn no_error_of_a_component_shows_a_secret_or_breaks_the_line() {
    let (captured, _guard) = Captured::begin();
    let running = start(&[1], policy().build().unwrap(), |builder, _| {
        builder.task("leaky", |ctx| async move {
            ctx.note(TEXT);
            ctx.mark_ready();
            ctx.sleep(Duration::from_secs(1)).await;
            match ctx.epoch() {
                1 => Err(Failure::new(TEXT)),
                2 => panic!("{TEXT}"),
                3 => {
                    ctx.report(Failure::new(TEXT));
                    ctx.report(Failure::new(TEXT).dependency());
                    ctx.stopping().await;
                    Ok(())
                }
                _ => Err(Failure::new(TEXT).fatal()),
            }
        })
    });
    let mut shown = Vec::new();
    for epoch in 1..=3 {
        running.until_ready(epoch).await;
        let notes = running.handle.components();
        assert_eq!(notes[0].note.as_deref(), Some(SHOWN));
        let status = running.until(|status| !status.ready).await;
        assert!(status.reason.contains(SHOWN), "{}", status.reason);
        shown.push(format!("{status:?}"));
    }
    let handle = running.handle.clone();
    let (ended, _) = running.end().await;
    let error = ended.unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("halted: \"leaky\" failed fatally: {SHOWN}")
    );
    shown.extend([error.to_string(), format!("{error:?}")]);
    shown.extend([
        format!("{:?}", handle.status()),
        format!("{:?}", handle.outages()),
    ]);
    assert_no_secret(&captured, &shown);
    let failures = captured.at("overwatch::component");
    assert_eq!(failures[0].1["failure"], SHOWN);
    assert_eq!(failures[0].1["class"], "component");
}

struct Leaky;

#[overwatch::async_trait]
impl Probe for Leaky {
    async fn observe(&self) -> Observation {
        tokio::time::sleep(Duration::from_secs(1)).await;
        Observation::failing(TEXT).fatal()
    }
}

#[tokio::test(start_paused = true)]
async fn no_observation_shows_a_secret() {
    let (captured, _guard) = Captured::begin();
    let service = Overwatch::builder(Leaky);
    let service = service.task("a", |_| async { Ok(()) }).build().unwrap();
    let handle = service.handle();
    let error: RunError = bounded(service.run()).await.unwrap_err();
    let status = handle.status();
    assert_eq!(status.phase, Phase::Halted);
    assert_eq!(&*status.dependency.clone().unwrap().what, SHOWN);
    let shown = [
        error.to_string(),
        format!("{error:?}"),
        format!("{status:?}"),
    ];
    assert_no_secret(&captured, &shown);
}

/// An error that shows its source, as many do.
#[derive(Debug)]
struct Connecting(std::io::Error);

impl fmt::Display for Connecting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error connecting: {}", self.0)
    }
}

impl std::error::Error for Connecting {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.0)
    }
}

#[test]
fn what_an_error_says_of_its_source_is_said_once() {
    let refused = || std::io::Error::other("refused");
    assert_eq!(
        Failure::new(Connecting(refused())).to_string(),
        "error connecting: refused"
    );
    let twice = Connecting(std::io::Error::other(Connecting(refused())));
    assert_eq!(Failure::new(twice).to_string(), "error connecting: refused");
}

/// The limit is that of the text, not of the error.
#[test]
fn a_long_error_is_cut_off() {
    let long = Failure::new("x".repeat(1 << 20));
    assert_eq!(long.to_string(), "x".repeat(4096));
    assert_eq!(long.error().to_string().len(), 1 << 20);
}
