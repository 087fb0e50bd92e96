//! What the check of a polled probe may return.

use std::borrow::Cow;
use std::time::Duration;

use super::traits::Observation;
use crate::shell::failure::Failure;

/// What the closure of [`polled`](crate::polled) may return.
///
/// | the closure returns | the dependency counts as |
/// | --- | --- |
/// | `Ok(())` | alive; the evidence is how long the check took |
/// | `Ok(text)`: a `String`, a `&'static str` or a `Cow` of it | alive; the text is the evidence |
/// | `Ok(observation)`, or an [`Observation`] without a `Result` | what the observation says |
/// | `Err(failure)` | failing; the reason is the text of the [`Failure`]. A [fatal](Failure::fatal) failure ends the run. The other classes make no difference: what fails here is always the dependency |
///
/// The error is always a [`Failure`], so `?` works on any error, and the type of `Ok(())` need not be written out.
///
/// ```
/// use overwatch::{Observation, polled};
/// use std::time::Duration;
///
/// # #[derive(Debug)] struct Info { is_standby: bool, revision: u64 }
/// # async fn info() -> std::io::Result<Info> { Ok(Info { is_standby: false, revision: 7 }) }
/// let second = Duration::from_secs(1);
/// let database = polled(second, 2 * second, || async {
///     let info = info().await?;
///     Ok(match info.is_standby {
///         true => Observation::failing("a standby answers").with_class("standby"),
///         false => Observation::alive(format!("read at revision {}", info.revision)),
///     })
/// });
/// ```
#[diagnostic::on_unimplemented(
    message = "the check of a probe cannot return `{Self}`",
    label = "the check returns `{Self}`",
    note = "it returns `Result<(), overwatch::Failure>`, the same with a text or an `Observation` in place of `()`, or \
            an `Observation`",
    note = "`?` makes a `Failure` from any error: end the check with `Ok(())`"
)]
pub trait IntoObservation {
    /// Makes the observation. `took` is how long the check took.
    fn into_observation(self, took: Duration) -> Observation;
}

impl IntoObservation for Observation {
    fn into_observation(self, _: Duration) -> Observation {
        self
    }
}

/// Each type of a good answer has its own implementation, and all have the same error: so `Ok(())` alone is enough for the
/// compiler to know the error.
macro_rules! good_answer {
    ($($answer:ty, $took:ident => $observation:expr;)*) => {$(
        impl IntoObservation for Result<$answer, Failure> {
            fn into_observation(self, $took: Duration) -> Observation {
                self.map_or_else(|failure| of_failure(&failure), $observation)
            }
        }
    )*};
}

good_answer! {
    (), took => |()| Observation::alive(format!("answered in {took:.1?}"));
    String, _took => Observation::alive;
    &'static str, _took => Observation::alive;
    Cow<'static, str>, _took => Observation::alive;
    Observation, _took => |observation| observation;
}

fn of_failure(failure: &Failure) -> Observation {
    let observation = Observation::failing(failure.text());
    match failure.is_fatal() {
        true => observation.fatal(),
        false => observation,
    }
}
