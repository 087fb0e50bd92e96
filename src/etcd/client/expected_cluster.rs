//! Which answers are accepted: those of the expected cluster. Pure.

/// From which cluster answers are accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ExpectedCluster {
    /// From any cluster.
    Any,
    /// From the cluster with this id.
    Cluster(u64),
}

impl ExpectedCluster {
    /// The cluster from which further answers are accepted, after the first one came from this cluster.
    pub(crate) fn or_bound_to(self, cluster: u64) -> Self {
        match self {
            Self::Any => Self::Cluster(cluster),
            expected => expected,
        }
    }

    /// Checks that an answer of this cluster is accepted; the error is the expected cluster.
    ///
    /// An id of 0 is always accepted: a proxy may not pass on the id, and answer with 0.
    pub(crate) fn believes(self, cluster: u64) -> Result<(), u64> {
        match self {
            Self::Cluster(meant) if meant != cluster && meant != 0 && cluster != 0 => Err(meant),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_answer_decides_only_if_nothing_was_expected() {
        let seven = ExpectedCluster::Cluster(7);
        assert_eq!(ExpectedCluster::Any.or_bound_to(7), seven);
        assert_eq!(seven.or_bound_to(8), seven);
        assert_eq!(seven.or_bound_to(0), seven);
    }

    #[test]
    fn an_answer_of_another_cluster_is_never_believed_and_one_that_names_none_is() {
        for (meant, answered, believed) in [
            (ExpectedCluster::Any, 7, Ok(())),
            (ExpectedCluster::Cluster(7), 7, Ok(())),
            (ExpectedCluster::Cluster(7), 8, Err(7)),
            (ExpectedCluster::Cluster(8), 7, Err(8)),
            (ExpectedCluster::Cluster(7), 0, Ok(())),
            (ExpectedCluster::Cluster(0), 7, Ok(())),
            (ExpectedCluster::Cluster(0), 0, Ok(())),
        ] {
            assert_eq!(meant.believes(answered), believed, "{meant:?} {answered}");
        }
    }
}
