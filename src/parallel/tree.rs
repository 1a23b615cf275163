//! Sums of many parts in one order, so that whoever holds some of them may add up its own first: the parts are the leaves of
//! a binary tree, `((p0 + p1) + (p2 + p3)) + ...`, and a run of parts is a few whole subtrees, which are all that needs to be
//! sent. It knows the order, not what is added up.
//!
//! Their number is a power of two, so that 1, 2, 4, ... ranks have one subtree each.

use std::ops::Range;

/// A subtree: `size` parts, a power of two, from `start` on, a multiple of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Node {
    pub start: usize,
    pub size: usize,
}

/// The subtrees, as large as can be, that make up a run of parts, in order.
pub(crate) fn nodes(parts: Range<usize>) -> Vec<Node> {
    let (mut nodes, mut start) = (Vec::new(), parts.start);
    while start < parts.end {
        let aligned = if start == 0 { usize::MAX } else { 1 << start.trailing_zeros() };
        let fits = 1 << (parts.end - start).ilog2();
        let size = aligned.min(fits);
        nodes.push(Node { start, size });
        start += size;
    }
    nodes
}

/// Subtrees in order, of which two that make up a larger one are added up as soon as both are there. Where they lie is the
/// caller's: `slot` of a subtree is its place among those that are there.
#[derive(Debug, Default)]
pub(crate) struct Stack(Vec<Node>);

impl Stack {
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// The slot that the next subtree has to lie in.
    pub fn next_slot(&self) -> usize {
        self.0.len()
    }

    /// What is there.
    pub fn nodes(&self) -> &[Node] {
        &self.0
    }

    /// The subtree in [`Self::next_slot`] is there, and follows the last one. `add(slot)` adds what lies in `slot + 1` to what
    /// lies in `slot`, of which it is called for each that a larger one comes of.
    pub fn push(&mut self, node: Node, mut add: impl FnMut(usize)) {
        debug_assert!(self.0.last().is_none_or(|last| last.start + last.size == node.start));
        self.0.push(node);
        while let [.., left, right] = *self.0 {
            if left.size != right.size || !(left.start / left.size).is_multiple_of(2) {
                break;
            }
            self.0.pop();
            let slot = self.0.len() - 1;
            add(slot);
            self.0[slot].size *= 2;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARTS: usize = 16;

    fn part(index: usize) -> f32 {
        (index as f32 * 0.7).sin() * 10f32.powi(index as i32 % 5)
    }

    /// The definition.
    fn tree(start: usize, size: usize) -> f32 {
        if size == 1 { part(start) } else { tree(start, size / 2) + tree(start + size / 2, size / 2) }
    }

    /// Adds up subtrees in their order.
    fn sum(nodes: impl IntoIterator<Item = (Node, f32)>) -> (Vec<Node>, Vec<f32>) {
        let (mut stack, mut slots) = (Stack::default(), Vec::new());
        for (node, value) in nodes {
            assert_eq!(stack.next_slot(), slots.len());
            slots.push(value);
            stack.push(node, |slot| {
                let right = slots.pop().unwrap();
                assert_eq!(slot, slots.len() - 1);
                slots[slot] += right;
            });
        }
        (stack.nodes().to_vec(), slots)
    }

    #[test]
    fn whoever_adds_up_which_parts_the_sum_has_the_same_bits() {
        let sequential = (1..PARTS).fold(part(0), |sum, index| sum + part(index));
        assert_ne!(sequential.to_bits(), tree(0, PARTS).to_bits(), "or the order would make no difference");
        for workers in [1, 2, 3, 5, 8, 16, 20] {
            let mut all = Vec::new();
            for worker in 0..workers {
                let range = PARTS * worker / workers..PARTS * (worker + 1) / workers;
                let leaf = |index| (Node { start: index, size: 1 }, part(index));
                let (found, values) = sum(range.clone().map(leaf));
                assert_eq!(found, nodes(range));
                all.extend(found.into_iter().zip(values));
            }
            let (nodes, values) = sum(all);
            assert_eq!(nodes, [Node { start: 0, size: PARTS }]);
            assert_eq!(values[0].to_bits(), tree(0, PARTS).to_bits(), "{workers} workers");
        }
    }

    #[test]
    fn a_run_is_as_few_subtrees_as_can_be() {
        let sizes = |parts| nodes(parts).iter().map(|node| (node.start, node.size)).collect::<Vec<_>>();
        assert_eq!(sizes(0..16), [(0, 16)]);
        assert_eq!(sizes(5..10), [(5, 1), (6, 2), (8, 2)]);
        assert_eq!(sizes(3..3), []);
    }
}
