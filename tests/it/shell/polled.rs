//! What the check of a polled probe may return.

use std::borrow::Cow;
use std::time::Duration;

use overwatch::machine::HaltReason;
use overwatch::{Classify, Failure, IntoObservation, Observation, Probe, polled};

use super::support::{Notes, bounded, policy, worker};

fn poll<F, Fut>(check: F) -> Box<dyn Probe>
where
    F: Fn() -> Fut + Send + Sync + 'static,
    Fut: Future<Output: IntoObservation> + Send + 'static,
{
    let second = Duration::from_secs(1);
    Box::new(polled(second, second, check))
}

/// A type of the user's own.
struct Lag(u32);

impl IntoObservation for Lag {
    fn into_observation(self, _: Duration) -> Observation {
        Observation::alive(format!("{} behind", self.0))
    }
}

async fn number(text: &str) -> Result<u32, std::num::ParseIntError> {
    text.parse()
}

#[tokio::test(start_paused = true)]
async fn a_check_returns_nothing_evidence_or_an_observation() {
    let alive = |evidence: &str| Observation::alive(evidence.to_owned());
    let standby = || Observation::failing("a standby answers").with_class("standby");
    let no_number = "invalid digit found in string";
    let cases = [
        (poll(|| async { Ok(()) }), alive("answered in 0.0ns")),
        (poll(|| async { Ok("revision 7") }), alive("revision 7")),
        (
            poll(|| async { Ok(format!("revision {}", number("7").await?)) }),
            alive("revision 7"),
        ),
        (
            poll(|| async { Ok(Cow::from("revision 7")) }),
            alive("revision 7"),
        ),
        (poll(move || async move { Ok(standby()) }), standby()),
        (poll(move || async move { standby() }), standby()),
        (poll(|| async { Lag(3) }), alive("3 behind")),
        (
            poll(|| async {
                number("seven").await?;
                Ok(())
            }),
            Observation::failing(no_number),
        ),
        (
            poll(|| async {
                number("seven").await.dependency()?;
                Ok("a number")
            }),
            Observation::failing(no_number),
        ),
        (
            poll(|| async {
                number("seven").await.fatal()?;
                Ok(())
            }),
            Observation::failing(no_number).fatal(),
        ),
        (
            poll(|| async {
                match number("7").await? {
                    7 => Err("seven".into()),
                    number => Ok(Observation::alive(format!("{number}"))),
                }
            }),
            Observation::failing("seven"),
        ),
    ];
    for (probe, expected) in cases {
        assert_eq!(probe.observe().await, expected);
    }
}

#[tokio::test(start_paused = true)]
async fn a_fatal_failure_of_a_check_ends_the_run() {
    let began = tokio::time::Instant::now();
    let probe = poll(move || async move {
        match began.elapsed() < Duration::from_secs(10) {
            true => Ok(()),
            false => Err(Failure::new("the password is wrong").fatal()),
        }
    });
    let notes = Notes::default();
    let service = super::replay::builder(probe)
        .component("a", worker(&notes, "a"))
        .policy(policy().build().unwrap())
        .build()
        .unwrap();
    let error = bounded(service.run()).await.unwrap_err();
    assert_eq!(error.why(), Some(HaltReason::Fatal));
    assert!(
        error.to_string().contains("the password is wrong"),
        "{error}"
    );
    assert_eq!(notes.all(), ["a up 1", "a stopped 1"]);
}
