//! The identity graph in memory: which cluster an identity belongs to.

use std::collections::HashMap;

/// Bits of a hash that an index entry stands for, at most.
const INDEX_BITS: u32 = 22;

/// The cluster of each identity of a graph, by hashes: 32 bytes for each, and at most 16 MiB for the index.
#[derive(Debug, Default)]
pub(super) struct Graph {
    /// Identity and cluster, by identity.
    entries: Vec<(u128, u128)>,
    /// For each beginning of a hash: where its entries start.
    index: Vec<u32>,
    shift: u32,
}

/// Bytes that a graph of so many rows takes: its entries and its index.
pub(super) fn graph_bytes(rows: usize) -> usize {
    rows.saturating_mul(size_of::<(u128, u128)>())
        .saturating_add(size_of::<u32>() << INDEX_BITS)
}

impl Graph {
    /// The graph of these rows. Also returns the identities that are in several clusters: which one counts is then said by
    /// [`Self::settle`].
    pub fn new(mut entries: Vec<(u128, u128)>) -> (Self, Vec<u128>) {
        entries.sort_unstable();
        entries.dedup();
        let mut torn: Vec<u128> = entries
            .windows(2)
            .filter(|pair| pair[0].0 == pair[1].0)
            .map(|pair| pair[0].0)
            .collect();
        torn.dedup();
        entries.dedup_by_key(|(identity, _)| *identity);
        let bits = (usize::BITS - entries.len().leading_zeros()).clamp(1, INDEX_BITS);
        let shift = u128::BITS - bits;
        let mut index = vec![0_u32; (1 << bits) + 1];
        for (identity, _) in &entries {
            index[beginning(*identity, shift) + 1] += 1;
        }
        for place in 1..index.len() {
            index[place] += index[place - 1];
        }
        (Self { entries, index, shift }, torn)
    }

    /// The cluster of an identity, if it is in the graph.
    pub fn cluster(&self, identity: u128) -> Option<u128> {
        let place = beginning(identity, self.shift);
        let start = usize::try_from(*self.index.get(place)?).ok()?;
        let end = usize::try_from(*self.index.get(place + 1)?).ok()?;
        let entries = &self.entries[start..end];
        let found = entries.partition_point(|(other, _)| *other < identity);
        entries
            .get(found)
            .filter(|(other, _)| *other == identity)
            .map(|(_, cluster)| *cluster)
    }

    /// Says which cluster counts for identities that are in several.
    pub fn settle(&mut self, clusters: &HashMap<u128, u128>) {
        for (identity, cluster) in clusters {
            if let Ok(place) = self.entries.binary_search_by_key(identity, |(identity, _)| *identity) {
                self.entries[place].1 = *cluster;
            }
        }
    }

    /// Bytes that it holds.
    pub fn bytes(&self) -> usize {
        self.entries.capacity() * size_of::<(u128, u128)>() + self.index.capacity() * size_of::<u32>()
    }
}

fn beginning(identity: u128, shift: u32) -> usize {
    usize::try_from(identity >> shift).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use rand::{Rng as _, SeedableRng as _, rngs::StdRng};

    use super::*;

    #[test]
    fn identities_are_found_and_others_are_not() {
        let mut rng = StdRng::seed_from_u64(7);
        for count in [0_usize, 1, 2, 100, 50_000] {
            let entries: Vec<(u128, u128)> = (0..count).map(|_| (rng.random(), rng.random())).collect();
            let (graph, torn) = Graph::new(entries.clone());
            assert!(torn.is_empty());
            assert!(
                entries
                    .iter()
                    .all(|(identity, cluster)| graph.cluster(*identity) == Some(*cluster))
            );
            assert!((0..1000).all(|_| graph.cluster(rng.random()).is_none()));
            assert_eq!(graph.cluster(u128::MAX), None);
        }
    }

    #[test]
    fn an_identity_in_several_clusters_is_settled() {
        let (mut graph, torn) = Graph::new(vec![(5, 1), (5, 2), (5, 2), (7, 3), (7, 3)]);
        assert_eq!(torn, [5]);
        graph.settle(&HashMap::from([(5, 2)]));
        assert_eq!((graph.cluster(5), graph.cluster(7)), (Some(2), Some(3)));
    }
}
