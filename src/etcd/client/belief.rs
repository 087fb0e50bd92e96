//! Which answers are believed: those of the cluster that is meant. Pure.

/// Whose answers are believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Of {
    /// Those of any cluster.
    Any,
    /// Those of the cluster with this id.
    Cluster(u64),
}

impl Of {
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
            (Of::Any, 7, Ok(())),
            (Of::Cluster(7), 7, Ok(())),
            (Of::Cluster(7), 8, Err(7)),
            (Of::Cluster(8), 7, Err(8)),
            (Of::Cluster(7), 0, Ok(())),
            (Of::Cluster(0), 7, Ok(())),
            (Of::Cluster(0), 0, Ok(())),
        ] {
            assert_eq!(meant.believes(answered), believed, "{meant:?} {answered}");
        }
    }
}
