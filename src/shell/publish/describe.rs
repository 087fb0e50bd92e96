//! Causes in words for operators.

use std::time::Duration;

use super::roster::{Few, Roster};
use crate::machine::{Cause, ComponentState};
use crate::policy::{Blame, ComponentId, Plan, Policy};

/// The cause of a transition in words. `detail` is the text of the input, e.g. of an error or an observation.
pub(crate) fn describe(cause: Cause, detail: Option<&str>, roster: &Roster, plan: &Plan) -> String {
    let policy = plan.policy();
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
            plan,
        ),
        Cause::Failing => format!("the dependency is failing{because}"),
        Cause::Silence => format!(
            "the dependency gave no sign of life for {:?}",
            policy.silence_limit()
        ),
        Cause::Fence => describe_fence(""),
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
pub(crate) fn overdue(late: Few, roster: &Roster, plan: &Plan) -> String {
    let stage = late.first().and_then(|id| plan.layout().stage_of(id));
    format!(
        "not up within {:?}, `mark_ready` was not called by: {}",
        plan.start_deadline(stage.unwrap_or_default()),
        late.names(roster)
    )
}

/// What is known of the lease when stopping must begin.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct LeaseNews {
    /// How long ago the owner was started.
    pub(crate) started_ago: Duration,
    /// How long ago the last renewal that arrived was sent.
    pub(crate) sent_ago: Option<Duration>,
    /// What the renewal that has just arrived leaves of the lease.
    pub(crate) left: Option<Duration>,
}

/// Why the fence trips, in words: which renewal was missed, or came too late.
pub(crate) fn fence(news: LeaseNews, plan: &Plan) -> String {
    let Some(fence) = plan.policy().fence() else {
        return describe_fence("");
    };
    let renewal = match (news.left, news.sent_ago) {
        (Some(left), _) => format!("the last renewal leaves only {} of it", seconds(left)),
        (None, Some(ago)) => missed("last renewed", ago, fence.renewal_interval()),
        (None, None) => missed(
            "its owner was started",
            news.started_ago,
            fence.renewal_interval(),
        ),
    };
    let kept = plan.stop_budget() + fence.margin();
    let lease = match fence.grace() {
        Duration::ZERO => format!("the lease's {}", seconds(fence.lease())),
        // Otherwise the lease would be taken for another one than that of the policy.
        grace => format!(
            "the lease's {} (its time to live of {} without the grace of {})",
            seconds(fence.lease()),
            seconds(fence.ttl()),
            seconds(grace)
        ),
    };
    describe_fence(&format!(
        ": {renewal}; the last {} of {lease} are kept for the stop and the margin",
        seconds(kept),
    ))
}

fn describe_fence(because: &str) -> String {
    format!("the lease would run out before everything could be stopped{because}")
}

fn missed(since: &str, ago: Duration, interval: Duration) -> String {
    match ago.checked_sub(interval) {
        Some(late) => format!(
            "{since} {} ago, the next renewal was due {} ago",
            seconds(ago),
            seconds(late)
        ),
        None => format!(
            "{since} {} ago, a renewal is due every {}",
            seconds(ago),
            seconds(interval)
        ),
    }
}

/// Why a hold-off is longer than at the first failure, in words; `None` if it is not.
pub(crate) fn grown(level: u32, blame: Blame, policy: &Policy) -> Option<String> {
    let relapses = level.checked_sub(1).filter(|&relapses| relapses > 0)?;
    let (base, what) = match blame {
        Blame::Component => (policy.tuning().backoff(), "backoff"),
        Blame::Dependency => (policy.window(), "window"),
    };
    let times = if relapses == 1 {
        "once".into()
    } else {
        format!("{relapses} times")
    };
    let longest = match policy.hold_off(level, blame) == policy.longest_hold_off() {
        true => ", the longest",
        false => "",
    };
    Some(format!(
        "{what} {}, relapsed {times} lately{longest}; {} of running or a reset lowers the next one",
        seconds(base),
        seconds(policy.tuning().stable_after()),
    ))
}

/// A duration in seconds, even if it is zero: a `Duration` of zero is formatted as nanoseconds.
pub(crate) fn seconds(duration: Duration) -> String {
    format!("{:.1}s", duration.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::{Fence, Layout};

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_fence_that_trips_names_the_renewal_that_is_missing() {
        let plan = |fence| {
            let policy = Policy::builder()
                .start_deadline(SECOND)
                .stop_deadline(4 * SECOND)
                .abort_deadline(2 * SECOND)
                .fence(fence);
            let layout = Layout::new(&[1]).expect("valid");
            let layout = layout.with_lease_owner(ComponentId(0));
            Plan::new(policy.build().expect("valid"), layout).expect("valid")
        };
        let without_grace = Fence::new(20 * SECOND, 3 * SECOND);
        let says = |started_ago: u64, sent_ago: Option<u64>, left: Option<u64>| {
            let news = LeaseNews {
                started_ago: Duration::from_secs(started_ago),
                sent_ago: sent_ago.map(Duration::from_secs),
                left: left.map(Duration::from_secs),
            };
            let text = fence(news, &plan(without_grace));
            let because =
                text.strip_prefix("the lease would run out before everything could be stopped: ");
            let kept = "; the last 8.0s of the lease's 20.0s are kept for the stop and the margin";
            let renewal = because.and_then(|text| text.strip_suffix(kept));
            renewal.map(str::to_owned).expect(&text)
        };
        assert_eq!(
            says(60, Some(12), None),
            "last renewed 12.0s ago, the next renewal was due 9.0s ago"
        );
        assert_eq!(
            says(60, Some(2), None),
            "last renewed 2.0s ago, a renewal is due every 3.0s"
        );
        assert_eq!(
            says(12, None, None),
            "its owner was started 12.0s ago, the next renewal was due 9.0s ago"
        );
        assert_eq!(
            says(60, Some(15), Some(5)),
            "the last renewal leaves only 5.0s of it"
        );
        let with_grace = without_grace.with_grace(SECOND);
        let text = fence(LeaseNews::default(), &plan(with_grace));
        let lease = "of the lease's 19.0s (its time to live of 20.0s without the grace of 1.0s)";
        assert!(text.contains(lease), "{text}");
    }

    #[test]
    fn a_hold_off_has_grown_from_the_first_relapse_on() {
        let policy = Policy::builder().window(5 * SECOND).build().expect("valid");
        let says = |level, blame| grown(level, blame, &policy);
        assert_eq!(says(0, Blame::Dependency), None);
        assert_eq!(says(1, Blame::Dependency), None);
        let lowers = "60.0s of running or a reset lowers the next one";
        assert_eq!(
            says(2, Blame::Dependency),
            Some(format!("window 5.0s, relapsed once lately; {lowers}"))
        );
        assert_eq!(
            says(5, Blame::Component),
            Some(format!("backoff 1.0s, relapsed 4 times lately; {lowers}"))
        );
        assert_eq!(
            says(8, Blame::Dependency),
            Some(format!(
                "window 5.0s, relapsed 7 times lately, the longest; {lowers}"
            ))
        );
    }
}
