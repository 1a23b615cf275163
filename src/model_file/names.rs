//! What a tensor's name says of it: which layer it belongs to, where that layer stands among others, and how its weights are
//! turned. It knows the habits of PyTorch, Keras, scikit-learn and NumPy's users, and no shapes.

/// A tensor's name, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Name {
    pub layer: LayerName,
    pub role: Role,
    /// The number of a layer of a bare `torch.nn.Sequential`, which says how many other layers stand between two.
    pub sequential: Option<u64>,
}

/// What a tensor is to its layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Weight(Turned),
    Bias,
}

/// How a name says that its weight is turned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turned {
    /// `[out_features, in_features]`, PyTorch's `weight`.
    OutIn,
    /// `[in_features, out_features]`: a `kernel` of Keras, `coefs_` of scikit-learn.
    InOut,
    /// `W1` and the like are used for both.
    Unsaid,
}

/// The name of a layer: words and numbers apart, so that layers whose words are equal are in the order of their numbers.
/// A name without a number stands before those with one: `dense`, `dense_1`, `dense_2`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct LayerName {
    pub words: String,
    /// Part by part, as `/` and `.` divide the name.
    pub numbers: Vec<Vec<u128>>,
    /// As it stands in the file.
    pub text: String,
}

/// Takes a name apart, or finds that it is not of a linear layer.
pub(super) fn parse(name: &str) -> Option<Name> {
    // TensorFlow numbers the outputs of an operation: `dense/kernel:0`.
    let stem = match name.rsplit_once(':') {
        Some((stem, number)) if is_number(number) => stem,
        _ => name,
    };
    let mut parts: Vec<&str> = stem.split(['/', '.']).collect();
    let last = parts.pop()?;
    let (role, layer) = if let Some(role) = role(last) {
        (role, None)
    } else if let Some(role) = parts.last().filter(|_| is_number(last)).and_then(|word| role(word)) {
        // coefs_.0
        parts.pop();
        (role, Some(last))
    } else {
        let word = last.trim_end_matches(|c: char| c.is_ascii_digit());
        let number = &last[word.len()..];
        let numbered = role(word).or_else(|| role(word.trim_end_matches('_'))).filter(|_| !number.is_empty());
        match numbered {
            // W1, coefs_0
            Some(role) => (role, Some(number)),
            // fc1_weight
            None => last.rsplit_once('_').and_then(|(layer, word)| Some((role(word)?, Some(layer))))?,
        }
    };
    parts.extend(layer);
    let sequential = parts.first().and_then(|number| number.parse().ok());
    // Numbers have one spelling there: 00.weight and +0.weight are not of a Sequential.
    let sequential =
        sequential.filter(|n: &u64| [format!("{n}.weight"), format!("{n}.bias")].iter().any(|s| s == name));
    Some(Name { layer: LayerName::of(&parts), role, sequential })
}

fn role(word: &str) -> Option<Role> {
    match word {
        "weight" => Some(Role::Weight(Turned::OutIn)),
        // Of scikit-learn's linear models, one row for each class.
        "coef_" => Some(Role::Weight(Turned::OutIn)),
        "kernel" | "coefs_" | "coefs" => Some(Role::Weight(Turned::InOut)),
        "weights" | "W" | "w" => Some(Role::Weight(Turned::Unsaid)),
        "bias" | "biases" | "intercepts_" | "intercepts" | "intercept_" | "b" => Some(Role::Bias),
        _ => None,
    }
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

impl LayerName {
    fn of(parts: &[&str]) -> LayerName {
        let (mut words, mut numbers) = (Vec::new(), Vec::new());
        for part in parts {
            let (mut word, mut own) = (String::new(), Vec::new());
            let mut rest = *part;
            while let Some(start) = rest.find(|c: char| c.is_ascii_digit()) {
                word.push_str(rest[..start].trim_end_matches('_'));
                let digits = rest[start..].find(|c: char| !c.is_ascii_digit()).map_or(rest.len(), |end| start + end);
                // So many digits are no count of layers; they sort last.
                own.push(rest[start..digits].parse().unwrap_or(u128::MAX));
                rest = &rest[digits..];
            }
            word.push_str(rest);
            words.push(word);
            numbers.push(own);
        }
        LayerName { words: words.join("."), numbers, text: parts.join(".") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_every_habit_are_taken_apart() {
        use Role::{Bias, Weight};
        use Turned::{InOut, OutIn, Unsaid};
        for (name, layer, role) in [
            ("0.weight", "0", Weight(OutIn)),
            ("weight", "", Weight(OutIn)),
            ("fc1.bias", "fc1", Bias),
            ("module.layers.10.linear.weight", "module.layers.10.linear", Weight(OutIn)),
            ("_orig_mod.fc1.weight", "_orig_mod.fc1", Weight(OutIn)),
            ("dense/kernel", "dense", Weight(InOut)),
            ("sequential/dense_1/kernel:0", "sequential.dense_1", Weight(InOut)),
            ("params/Dense_0/bias", "params.Dense_0", Bias),
            ("coefs_.0", "0", Weight(InOut)),
            ("coefs_0", "0", Weight(InOut)),
            ("intercepts_.12", "12", Bias),
            ("coef_", "", Weight(OutIn)),
            ("intercept_", "", Bias),
            ("W1", "1", Weight(Unsaid)),
            ("b_2", "2", Bias),
            ("fc1_weight", "fc1", Weight(OutIn)),
        ] {
            let found = parse(name).unwrap_or_else(|| panic!("{name} is not understood"));
            assert_eq!((found.layer.text.as_str(), found.role), (layer, role), "{name}");
        }
        for name in ["", "0", "bn.running_mean", "fc1.weight_g", "0.weight.extra", "num_batches_tracked", "5.5", "héé"]
        {
            assert_eq!(parse(name), None, "{name}");
        }
    }

    #[test]
    fn only_a_bare_sequential_numbers_all_its_layers() {
        let number = |name: &str| parse(name).unwrap().sequential;
        assert_eq!((number("0.weight"), number("17.bias")), (Some(0), Some(17)));
        for name in ["00.weight", "net.0.weight", "fc1.weight", "coefs_.0", "0/weight", "0_weight", "weight"] {
            assert_eq!(number(name), None, "{name}");
        }
    }

    #[test]
    fn numbers_count_and_are_not_spelled() {
        let names =
            |names: &[&str]| -> Vec<LayerName> { names.iter().map(|name| parse(name).unwrap().layer).collect() };
        for ordered in [
            &["fc1.weight", "fc2.weight", "fc10.weight"][..],
            &["dense/kernel:0", "dense_1/kernel:0", "dense_2/kernel:0", "dense_10/kernel:0"],
            &["blocks.0.fc1.weight", "blocks.0.fc2.weight", "blocks.1.fc1.weight", "blocks.10.fc1.weight"],
            &["coefs_.0", "coefs_.9", "coefs_.10"],
        ] {
            let mut sorted = names(ordered);
            assert!(sorted.iter().all(|name| name.words == sorted[0].words), "{sorted:?}");
            sorted.reverse();
            sorted.sort();
            assert_eq!(sorted, names(ordered));
        }
        let others = names(&["features.0.weight", "classifier.0.weight"]);
        assert_ne!(others[0].words, others[1].words);
    }
}
