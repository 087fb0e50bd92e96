//! Which answers are believed: those of the cluster that is meant. Pure.

/// Whose answers are believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ExpectedCluster {
    /// Those of any cluster.
    Any,
    /// Those of the cluster with this id.
    Cluster(u64),
}

impl ExpectedCluster {
    /// Whether an answer of this cluster is one of that which is meant. (What stands between may name none, and
    /// answers with 0.)
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
