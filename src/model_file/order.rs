//! The order of layers: that of the numbers in their names, and the one in which each layer takes what the one before it gives.
//! It knows names and widths, no tensors.

use std::collections::BTreeMap;

use super::names::LayerName;

/// A layer on its way into a chain.
#[derive(Debug, Clone)]
pub(super) struct Link<'a> {
    pub name: &'a LayerName,
    pub in_features: usize,
    pub out_features: usize,
}

/// In how many ways links can be put together; indices into the links.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Chain {
    One(Vec<usize>),
    /// More than one, or too many to try.
    Several,
    /// These two were the first that should follow one another and do not, if all order is in their numbers.
    Never(Option<(usize, usize)>),
}

/// A file of a thousand layers with clear names takes a thousand steps.
const MAX_STEPS: usize = 20_000;

/// Puts `links` into order: those whose names have the same words stand in the order of their numbers, and widths decide how
/// such rows of layers come one after another.
pub(super) fn chain(links: &[Link]) -> Chain {
    let mut rows: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (index, link) in links.iter().enumerate() {
        rows.entry(&link.name.words).or_default().push(index);
    }
    let mut rows: Vec<Vec<usize>> = rows.into_values().collect();
    for row in &mut rows {
        row.sort_by_key(|index| &links[*index].name.numbers);
        // fc1 and fc_1 are one place for two.
        if row.windows(2).any(|pair| links[pair[0]].name.numbers == links[pair[1]].name.numbers) {
            return Chain::Several;
        }
    }
    if let [row] = &rows[..] {
        let fits = |pair: &&[usize]| links[pair[0]].out_features == links[pair[1]].in_features;
        return match row.windows(2).find(|pair| !fits(pair)) {
            None => Chain::One(row.clone()),
            Some(pair) => Chain::Never(Some((pair[0], pair[1]))),
        };
    }
    let mut search =
        Search { links, rows: &rows, heads: vec![0; rows.len()], taken: Vec::new(), found: Vec::new(), steps: 0 };
    search.go_on();
    match (search.found.len(), search.steps > MAX_STEPS) {
        (0, false) => Chain::Never(None),
        (1, false) => Chain::One(search.found.remove(0)),
        _ => Chain::Several,
    }
}

/// A search for two different ways, depth first.
struct Search<'a> {
    links: &'a [Link<'a>],
    rows: &'a [Vec<usize>],
    /// Of each row, how many layers stand in the chain already.
    heads: Vec<usize>,
    taken: Vec<usize>,
    found: Vec<Vec<usize>>,
    steps: usize,
}

impl Search<'_> {
    fn go_on(&mut self) {
        if self.taken.len() == self.links.len() {
            self.found.push(self.taken.clone());
            return;
        }
        let width = self.taken.last().map(|last| self.links[*last].out_features);
        for row in 0..self.rows.len() {
            let Some(&next) = self.rows[row].get(self.heads[row]) else { continue };
            if width.is_some_and(|width| width != self.links[next].in_features) {
                continue;
            }
            self.steps += 1;
            if self.steps > MAX_STEPS || self.found.len() > 1 {
                return;
            }
            self.heads[row] += 1;
            self.taken.push(next);
            self.go_on();
            self.taken.pop();
            self.heads[row] -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model_file::names;

    /// Layers by name with their widths; what the chain gives, by name.
    fn ordered(layers: &[(&str, usize, usize)]) -> Result<Vec<String>, Chain> {
        let names: Vec<_> =
            layers.iter().map(|(name, ..)| names::parse(&format!("{name}.weight")).unwrap().layer).collect();
        let links: Vec<_> = (names.iter().zip(layers))
            .map(|(name, &(_, in_features, out_features))| Link { name, in_features, out_features })
            .collect();
        match chain(&links) {
            Chain::One(order) => Ok(order.into_iter().map(|index| names[index].text.clone()).collect()),
            other => Err(other),
        }
    }

    #[test]
    fn numbers_give_the_order_and_widths_confirm_it() {
        let found = ordered(&[("fc10", 8, 8), ("fc2", 8, 8), ("fc1", 8, 8)]).unwrap();
        assert_eq!(found, ["fc1", "fc2", "fc10"]);
        // By widths alone it could be put together, but not in the order of its numbers.
        assert_eq!(ordered(&[("fc1", 8, 3), ("fc2", 9, 8)]), Err(Chain::Never(Some((0, 1)))));
        assert_eq!(ordered(&[("fc1", 8, 8), ("fc_1", 8, 8)]), Err(Chain::Several));
    }

    #[test]
    fn words_are_put_into_order_by_widths() {
        let found =
            ordered(&[("output", 16, 10), ("hidden2", 32, 16), ("input", 784, 32), ("hidden1", 32, 32)]).unwrap();
        assert_eq!(found, ["input", "hidden1", "hidden2", "output"]);
        let found = ordered(&[("classifier.1", 9, 4), ("features.3", 9, 9), ("features.0", 7, 9)]).unwrap();
        assert_eq!(found, ["features.0", "features.3", "classifier.1"]);
        assert_eq!(ordered(&[("a", 2, 3), ("b", 4, 5)]), Err(Chain::Never(None)));
        // Twice round in either order: an encoder and its decoder.
        assert_eq!(ordered(&[("a", 9, 3), ("b", 3, 9)]), Err(Chain::Several));
        assert_eq!(ordered(&[("a", 3, 3), ("b", 3, 3)]), Err(Chain::Several));
    }

    /// Names from outside cannot keep the program busy.
    #[test]
    fn a_search_ends() {
        let name =
            |at: usize| -> String { format!("{at:010b}").chars().map(|c| if c == '0' { 'a' } else { 'b' }).collect() };
        let names: Vec<String> = (0..1000).map(name).collect();
        // None can be first but the last one, which none precedes: each way is a dead end.
        let mut layers: Vec<(&str, usize, usize)> = names.iter().map(|name| (&**name, 3, 3)).collect();
        layers.push(("far", 5, 7));
        assert_eq!(ordered(&layers), Err(Chain::Several));
    }
}
