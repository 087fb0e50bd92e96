//! Whether the service of a membership stops its work before the lease expires. Pure.

use core::time::Duration;

use crate::policy::{ComponentId, Fence, Need, Plan};

/// What a membership needs from the plan of its service.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LeaseNeeds {
    /// The fence of its lease.
    pub(crate) fence: Fence,
    /// How long an election of etcd may take. No lease is renewed during one.
    pub(crate) longest_election: Duration,
}

impl LeaseNeeds {
    /// Checks the plan of a service in which the membership is this component.
    ///
    /// It is called when the service is built, and again in each epoch, because nothing is checked at build if the
    /// membership is run by a closure.
    ///
    /// # Errors
    ///
    /// What is wrong, and what to do.
    pub(crate) fn check<'a>(
        &self,
        plan: &Plan,
        membership: ComponentId,
        name_of: impl FnOnce(ComponentId) -> &'a str,
    ) -> Result<(), String> {
        let fence = plan.policy().fence();
        let Some((fence, owner)) = fence.zip(plan.layout().lease_owner()) else {
            return Err(
                "the service does not stop its work before the lease of this membership expires: add \
                 the membership with `Builder::lease_holder`, which brings its fence along"
                    .to_owned(),
            );
        };
        if owner != membership {
            return Err(format!(
                "the lease owner is {:?}, so the service does not follow the lease of this membership: \
                 leave out `lease_owner`, and add the membership with `Builder::lease_holder` (a second \
                 membership needs a service of its own)",
                name_of(owner)
            ));
        }
        if *fence != self.fence {
            return Err(format!(
                "the policy's fence is not that of this membership ({fence} instead of {}): set no fence \
                 in the policy, and add the membership with `Builder::lease_holder`, which brings it along",
                self.fence
            ));
        }
        // The probe may observe something else than etcd, or expect shorter elections.
        let election = Need::new("an election", self.longest_election);
        plan.leaves_room_for(&[election])
            .map_err(|error| error.to_string())
    }
}

/// Checks that no other component, if one is named, is the same membership.
///
/// # Errors
///
/// What is wrong, and what to do.
pub(crate) fn check_once(twin: Option<&str>) -> Result<(), String> {
    match twin {
        None => Ok(()),
        Some(twin) => Err(format!(
            "{twin:?} is the same membership, because clones are: add it once"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::{Layout, Policy};

    const SECOND: Duration = Duration::from_secs(1);

    fn needs() -> LeaseNeeds {
        LeaseNeeds {
            fence: Fence::new(15 * SECOND, 3 * SECOND),
            longest_election: 3 * SECOND,
        }
    }

    /// A service of two stages, with a fence if it has a lease owner.
    fn plan(owner: Option<(u32, Fence)>) -> Plan {
        let mut policy = Policy::builder()
            .start_deadline(2 * SECOND)
            .stop_deadline(SECOND)
            .abort_deadline(SECOND / 2);
        let mut layout = Layout::new(&[1, 1]).expect("valid");
        if let Some((owner, fence)) = owner {
            policy = policy.fence(fence);
            layout = layout.with_lease_owner(ComponentId(owner));
        }
        Plan::new(policy.build().expect("valid"), layout).expect("valid")
    }

    fn check(needs: LeaseNeeds, plan: &Plan) -> Result<(), String> {
        needs.check(plan, ComponentId(0), |id| {
            ["membership", "checks"][id.index()]
        })
    }

    fn refused(checked: Result<(), String>, text: &str) {
        let why = checked.expect_err("refused");
        assert!(why.contains(text), "{why}");
    }

    #[test]
    fn only_the_owner_of_the_fences_lease_fits_and_only_with_its_own_fence() {
        let own = needs().fence;
        let other = own.with_margin(SECOND);
        assert_eq!(check(needs(), &plan(Some((0, own)))), Ok(()));
        refused(check(needs(), &plan(None)), "brings its fence along");
        for fence in [own, other] {
            refused(
                check(needs(), &plan(Some((1, fence)))),
                "the lease owner is \"checks\"",
            );
        }
        refused(
            check(needs(), &plan(Some((0, other)))),
            "(ttl 15s, margin 1s, renewal interval 3s instead of ttl 15s, margin 1.5s, renewal interval 3s)",
        );
    }

    /// The lease of 15 s less the margin of 1.5 s, two stages of 1.5 s and the 3 s between two renewals leave 7.5 s.
    #[test]
    fn an_election_must_fit_between_two_renewals_and_the_stop() {
        let plan = plan(Some((0, needs().fence)));
        let with = |longest_election| {
            let needs = LeaseNeeds {
                longest_election,
                ..needs()
            };
            check(needs, &plan)
        };
        assert_eq!(with(7 * SECOND), Ok(()));
        refused(
            with(8 * SECOND),
            "more than `fence.renewal_interval` = 3s + an election = 8s, together 11s: lengthen the \
             lease or shorten the deadlines",
        );
    }

    #[test]
    fn a_membership_is_added_once() {
        assert_eq!(check_once(None), Ok(()));
        refused(check_once(Some("m")), "\"m\" is the same membership");
    }
}
