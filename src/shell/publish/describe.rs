//! Causes in words for operators.

use super::roster::{Few, Roster};
use crate::machine::{Cause, ComponentState};
use crate::policy::{ComponentId, Policy};

/// The cause of a transition in words. `detail` is the text of the input, e.g. of an error or an observation.
pub(crate) fn describe(
    cause: Cause,
    detail: Option<&str>,
    roster: &Roster,
    policy: &Policy,
) -> String {
    let name = |component: ComponentId| format!("{:?}", roster.name(component));
    let because = detail
        .map(|detail| format!(": {detail}"))
        .unwrap_or_default();
    match cause {
        Cause::Boot => "the run begins".into(),
        Cause::Report { component, class } => {
            let who = component.map_or_else(|| "the program".into(), name);
            format!("{who} reported a {class} failure{because}")
        }
        Cause::Exited { component, .. } => format!("{} ended unasked{because}", name(component)),
        Cause::StartFailed { component, .. } => {
            format!("{} failed to start{because}", name(component))
        }
        Cause::StartOverdue => overdue(
            Few::doing(roster, &[ComponentState::Starting]),
            roster,
            policy,
        ),
        Cause::Failing => format!("the dependency is failing{because}"),
        Cause::Silence => format!(
            "the dependency gave no sign of life for {:?}",
            policy.silence_limit()
        ),
        Cause::Fence => "the lease would run out before everything could be stopped".into(),
        Cause::Frozen => format!(
            "the service's runtime is frozen: no task of it was polled for {:?}",
            policy.silence_limit()
        ),
        Cause::Command(command) => command.words().unwrap_or_else(|| command.as_str()).into(),
        Cause::Finished => "every component has finished".into(),
        // The detail is the signal.
        Cause::Shutdown => match detail {
            Some(signal) => format!("{signal} asked for a shutdown"),
            None => "a shutdown was asked for".into(),
        },
        Cause::Recovered => format!("the dependency has proved itself{because}"),
        Cause::AllUp => "every component is up".into(),
        Cause::AllGone => "every component is gone".into(),
        Cause::Wedged => format!(
            "aborted and still not gone: {}",
            roster.listed(&[ComponentState::Wedged, ComponentState::Aborting])
        ),
        Cause::Fatal => format!("a failure that no restart could mend{because}"),
        Cause::FailedTooOften { component } => {
            let limit = policy.failure_limit();
            let limit = limit.map(|limit| (limit.failures(), limit.within()));
            let (failures, within) = limit.unwrap_or_default();
            format!(
                "{} failed {failures} times within {within:?}",
                name(component)
            )
        }
        Cause::GaveUp => match policy.give_up_after() {
            Some(1) => "a start failed".into(),
            Some(limit) => format!("{limit} starts failed in a row"),
            None => "a component failed too often".into(),
        },
    }
}

/// Why a start is overdue, in words, with the components that are late.
pub(crate) fn overdue(late: Few, roster: &Roster, policy: &Policy) -> String {
    format!(
        "not up within {:?}, `mark_ready` was not called by: {}",
        policy.start_deadline(),
        late.names(roster)
    )
}
