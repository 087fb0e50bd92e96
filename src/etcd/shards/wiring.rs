//! Whether the shards are in a stage after their membership. Pure.

/// The name and the stage of a component.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place<'a> {
    pub(crate) name: &'a str,
    pub(crate) stage: usize,
}

/// Checks the stage of shards against that of their membership, if the service has it.
///
/// # Errors
///
/// What is wrong, and what to do.
pub(crate) fn check_place(stage: usize, membership: Option<Place<'_>>) -> Result<(), String> {
    let Some(membership) = membership else {
        return Err(
            "its membership is not in this service, so no shard would ever run: before it, add the \
             membership that these shards were made with, or a clone, with `Builder::lease_holder`"
                .to_owned(),
        );
    };
    if stage > membership.stage {
        return Ok(());
    }
    let Place {
        name,
        stage: needed,
    } = membership;
    Err(format!(
        "it is in stage {stage}, but must be in a later one than its membership {name:?}, which is in \
         stage {needed}: add it after the membership, which `Builder::lease_holder` adds with a stage"
    ))
}

/// Checks that no other component, if one is named, does the same work for the same membership.
///
/// # Errors
///
/// What is wrong, and what to do.
pub(crate) fn check_work(work: &str, other: Option<&str>) -> Result<(), String> {
    match other {
        None => Ok(()),
        Some(other) => Err(format!(
            "{other:?} does the work {work:?} under the same membership: give each work a name of its own"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_come_after_their_membership() {
        let membership = |stage| {
            let name = "membership";
            Some(Place { name, stage })
        };
        assert_eq!(check_place(1, membership(0)), Ok(()));
        assert_eq!(check_place(5, membership(3)), Ok(()));
        for (stage, of) in [(0, 0), (3, 3), (0, 1), (3, 5)] {
            let why = check_place(stage, membership(of)).expect_err("refused");
            let names = format!("in stage {stage}, but must be in a later one");
            assert!(
                why.contains(&names) && why.contains(&format!("in stage {of}: ")),
                "{why}"
            );
        }
        let why = check_place(1, None).expect_err("refused");
        assert!(why.contains("is not in this service"), "{why}");
    }

    #[test]
    fn a_work_is_done_once_under_a_membership() {
        assert_eq!(check_work("checks", None), Ok(()));
        let why = check_work("checks", Some("other")).expect_err("refused");
        assert_eq!(
            why,
            "\"other\" does the work \"checks\" under the same membership: give each work a name of \
             its own"
        );
    }
}
