//! Whether the service of a membership stops its work before the lease expires. Pure.

use crate::policy::Fence;

/// The lease that the fence of the service is for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FencedLease<'a> {
    pub(crate) fence: &'a Fence,
    /// The name of the lease owner.
    pub(crate) owner: &'a str,
    /// Whether this membership is the lease owner.
    pub(crate) is_own: bool,
}

/// Checks a membership with the fence `own` in a service with the lease `fenced`, if it has one.
///
/// `twin` is the name of another component that is the same membership, if there is one.
///
/// # Errors
///
/// What is wrong, and what to do.
pub(crate) fn check_lease(
    own: &Fence,
    fenced: Option<FencedLease<'_>>,
    twin: Option<&str>,
) -> Result<(), String> {
    if let Some(twin) = twin {
        return Err(format!(
            "{twin:?} is the same membership, because clones are: add it once"
        ));
    }
    match fenced {
        None => Err(
            "the service does not stop its work before the lease of this membership expires: add \
             the membership with `Builder::lease_holder`, which brings its fence along"
                .to_owned(),
        ),
        Some(FencedLease {
            owner,
            is_own: false,
            ..
        }) => Err(format!(
            "the lease owner is {owner:?}, so the service does not follow the lease of this membership: \
             leave out `lease_owner`, and add the membership with `Builder::lease_holder` (a second \
             membership needs a service of its own)"
        )),
        Some(FencedLease { fence, .. }) if fence != own => Err(format!(
            "the policy's fence is not that of this membership ({fence} instead of {own}): set no fence \
             in the policy, and add the membership with `Builder::lease_holder`, which brings it along"
        )),
        Some(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use core::time::Duration;

    use super::*;

    #[test]
    fn only_the_owner_of_the_fences_lease_fits_and_only_with_its_own_fence() {
        let second = Duration::from_secs(1);
        let own = Fence::new(15 * second, 3 * second);
        let (owner, other) = ("membership", own.with_margin(second));
        let with = |fence, is_own| {
            let fenced = FencedLease {
                fence,
                owner,
                is_own,
            };
            check_lease(&own, Some(fenced), None)
        };
        assert_eq!(with(&own, true), Ok(()));
        let refused = |checked: Result<(), String>, text: &str| {
            let why = checked.expect_err("refused");
            assert!(why.contains(text), "{why}");
        };
        refused(check_lease(&own, None, None), "brings its fence along");
        refused(with(&own, false), "the lease owner is \"membership\"");
        refused(with(&other, false), "the lease owner is \"membership\"");
        refused(
            check_lease(&own, None, Some("m")),
            "\"m\" is the same membership",
        );
        refused(
            with(&other, true),
            "(ttl 15s, margin 1s, renewal interval 3s instead of ttl 15s, margin 1.5s, renewal interval 3s)",
        );
    }
}
