//! Who is next, and who must go: the queue of a pool without its threads.

use std::{
    collections::{HashMap, VecDeque},
    hash::Hash,
};

/// Jobs in one line per key; the keys take turns. Each line is first come, first served.
pub(super) struct FairQueue<K, T> {
    /// No line is empty.
    lines: HashMap<K, VecDeque<T>>,
    /// The keys of the lines, each once, the next one first.
    turns: VecDeque<K>,
    length: usize,
}

/// A job that has no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Displaced<T> {
    /// It.
    pub(super) job: T,
    /// Whether its key holds more than its share of the queue while others wait.
    pub(super) own_share: bool,
}

impl<K: Hash + Eq + Clone, T> FairQueue<K, T> {
    pub(super) fn new() -> Self {
        Self { lines: HashMap::new(), turns: VecDeque::new(), length: 0 }
    }

    /// How many jobs wait.
    pub(super) fn len(&self) -> usize {
        self.length
    }

    /// Adds a job, or returns the one that has no room when `capacity` jobs wait: the newest of the longest line, unless the
    /// line of this key is as long.
    pub(super) fn push(&mut self, key: &K, job: T, capacity: usize) -> Option<Displaced<T>> {
        let mut displaced = None;
        if self.length >= capacity {
            let own = self.lines.get(key).map_or(0, VecDeque::len);
            let longest = self.lines.values_mut().max_by_key(|line| line.len());
            // A line that would be as long as the longest one then has no better claim to the place.
            let Some(longest) = longest.filter(|line| line.len() > own + 1) else {
                let others_wait = self.lines.len() > usize::from(own > 0);
                return Some(Displaced {
                    job,
                    own_share: others_wait && own * self.lines.len() > self.length,
                });
            };
            displaced = longest.pop_back().map(|job| Displaced { job, own_share: true });
            self.length -= 1;
        }
        self.lines
            .entry(key.clone())
            .or_insert_with(|| {
                self.turns.push_back(key.clone());
                VecDeque::new()
            })
            .push_back(job);
        self.length += 1;
        displaced
    }

    /// The job whose turn it is.
    pub(super) fn pop(&mut self) -> Option<T> {
        let key = self.turns.pop_front()?;
        let line = self.lines.get_mut(&key)?;
        let job = line.pop_front();
        if line.is_empty() {
            self.lines.remove(&key);
        } else {
            self.turns.push_back(key);
        }
        self.length -= usize::from(job.is_some());
        job
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn drain(queue: &mut FairQueue<u8, u32>) -> Vec<u32> {
        std::iter::from_fn(|| queue.pop()).collect()
    }

    // F-18
    #[test]
    fn keys_take_turns_and_a_line_keeps_its_order() {
        let mut queue = FairQueue::new();
        for (key, job) in [(1, 10), (1, 11), (1, 12), (2, 20), (3, 30), (2, 21)] {
            assert_eq!(queue.push(&key, job, 100), None);
        }
        assert_eq!(drain(&mut queue), [10, 20, 30, 11, 21, 12]);
    }

    // F-18
    #[test]
    fn a_full_queue_makes_room_for_who_has_less() {
        let mut queue = FairQueue::new();
        for job in 10..14 {
            queue.push(&1, job, 4);
        }
        // Nobody else waits, so that it is not too much of a share but too much.
        assert_eq!(queue.push(&1, 14, 4), Some(Displaced { job: 14, own_share: false }));
        assert_eq!(queue.push(&2, 20, 4), Some(Displaced { job: 13, own_share: true }));
        assert_eq!(queue.push(&1, 14, 4), Some(Displaced { job: 14, own_share: true }));
        assert_eq!(queue.push(&3, 30, 4), Some(Displaced { job: 12, own_share: true }));
        // 1 has two and the others one each: another one of theirs would be no fairer.
        assert_eq!(queue.push(&3, 31, 4), Some(Displaced { job: 31, own_share: false }));
        assert_eq!(queue.push(&4, 40, 4), Some(Displaced { job: 11, own_share: true }));
        assert_eq!(queue.push(&5, 50, 4), Some(Displaced { job: 50, own_share: false }));
        assert_eq!(drain(&mut queue), [10, 20, 30, 40]);
        assert_eq!(queue.len(), 0);
    }

    proptest! {
        // F-18, F-19
        #[test]
        fn bounded_fair_and_nothing_is_lost_or_answered_twice(
            capacity in 1_usize..8,
            steps in prop::collection::vec(prop::option::weighted(0.7, 0_u8..5), 1..80),
        ) {
            let mut queue = FairQueue::new();
            let mut waiting: BTreeMap<u32, u8> = BTreeMap::new();
            let held = |waiting: &BTreeMap<u32, u8>, key| waiting.values().filter(|of| **of == key).count();
            for (job, step) in (0_u32..).zip(steps) {
                if let Some(key) = step {
                    let before = waiting.clone();
                    waiting.insert(job, key);
                    if let Some(displaced) = queue.push(&key, job, capacity) {
                        prop_assert_eq!(before.len(), capacity, "nobody is refused while there is room");
                        let loser = waiting.remove(&displaced.job);
                        prop_assert!(loser.is_some(), "refused twice");
                        let loser = loser.unwrap_or(key);
                        prop_assert!(held(&before, loser) + usize::from(loser == key) > held(&before, key));
                        if loser != key {
                            prop_assert!(displaced.own_share);
                            prop_assert!((0..5).all(|of| held(&before, of) <= held(&before, loser)));
                        }
                        // Nobody is told that it has too much who has one job, or who is alone.
                        if displaced.own_share {
                            prop_assert!(held(&before, loser) > 1);
                            prop_assert!(waiting.values().any(|of| *of != loser));
                        }
                    }
                } else {
                    let popped = queue.pop();
                    prop_assert_eq!(popped.is_some(), !waiting.is_empty());
                    if let Some(job) = popped {
                        let key = waiting.remove(&job);
                        prop_assert!(key.is_some(), "done twice");
                        // The oldest of its key.
                        prop_assert!(waiting.iter().all(|(other, of)| Some(*of) != key || *other > job));
                    }
                }
                prop_assert!(queue.len() <= capacity);
                prop_assert_eq!(queue.len(), waiting.len());
            }
            let mut left = drain(&mut queue);
            left.sort_unstable();
            prop_assert_eq!(left, waiting.into_keys().collect::<Vec<_>>());
        }

        // F-18
        #[test]
        fn whoever_waits_is_served_before_anybody_is_twice(lines in prop::collection::vec(1_u32..5, 1..6)) {
            let mut queue = FairQueue::new();
            for (key, length) in (0_u8..).zip(&lines) {
                for job in 0..*length {
                    queue.push(&key, (key, job), usize::MAX);
                }
            }
            let served: Vec<(u8, u32)> = std::iter::from_fn(|| queue.pop()).collect();
            let rounds: Vec<u32> = served.iter().map(|(_, job)| *job).collect();
            prop_assert!(rounds.is_sorted());
        }
    }
}
