//! Keys of profiles as hashes of 128 bits: two of a billion profiles share one with a probability of less than 1e-20.

use ahash::RandomState;

/// Hashes identities and clusters; with seeds of its own, so that nobody can prepare two that collide.
#[derive(Clone, Debug)]
pub(super) struct Hasher {
    high: RandomState,
    low: RandomState,
}

/// What a hash is of.
#[derive(Clone, Copy, Debug, Hash)]
pub(super) enum Of<'a> {
    /// An identity: namespace and id.
    Identity(&'a str, &'a str),
    /// A cluster of the graph.
    Cluster(&'a str),
}

impl Hasher {
    /// With random seeds.
    pub fn new() -> Self {
        Self {
            high: RandomState::new(),
            low: RandomState::new(),
        }
    }

    /// The hash.
    pub fn hash(&self, of: Of<'_>) -> u128 {
        (u128::from(self.high.hash_one(of)) << 64) | u128::from(self.low.hash_one(of))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_the_namespace_ends_matters() {
        let hasher = Hasher::new();
        let hash = |of| hasher.hash(of);
        assert_eq!(hash(Of::Identity("ab", "c")), hash(Of::Identity("ab", "c")));
        assert_ne!(hash(Of::Identity("ab", "c")), hash(Of::Identity("a", "bc")));
        assert_ne!(hash(Of::Cluster("a")), hash(Of::Identity("a", "")));
    }
}
