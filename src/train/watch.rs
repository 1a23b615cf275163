//! What an epoch showed of the network beside losses and accuracies: figures that tell why a training fails. It knows
//! numbers, not how they are measured.

use serde::{Deserialize, Serialize};

use crate::nn::{LayerSpec, LayerSpecs, ReluGrad};

/// Dead units are counted for so many activation layers, the last ones of a network that has more.
pub const MAX_WATCHED_LAYERS: usize = 16;

/// What an epoch showed of the network. Its figures are the same bits for any number of threads.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Watch {
    /// Of the epoch's predictions on training samples, each made before the update of its batch, the share of the class that
    /// was predicted most often, 0 to 1. `None` where a sample has no single class.
    pub largest_class_share: Option<f64>,
    /// Mean L2 norm of all gradients as one vector, before they are clipped: of one batch in 128, evenly spaced, or of the
    /// middle one of a shorter epoch. (Plain SGD uses a gradient up piece by piece. There those batches keep it, so the price
    /// is that of a few slower steps, and the parameters are the same bits.) `None` where it is no finite number.
    pub grad_norm: Option<f64>,
    /// Learning rate of the epoch's last batch.
    pub lr: f32,
    /// Largest absolute value of a weight after the epoch; biases do not count.
    pub largest_weight: f32,
    #[serde(default)]
    dead: DeadLayers,
}

/// Units of an activation layer that gave 0 for every training sample of an epoch, each before the update of its batch. What
/// a ReLU that passes its exact gradient gives for such a unit teaches the weights below nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadUnits {
    /// Index of the activation layer.
    pub layer: usize,
    /// How many of its units gave 0 only.
    pub dead: usize,
    /// How many it has.
    pub units: usize,
}

/// In a record, so that recording an epoch allocates nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(into = "Vec<DeadUnits>", try_from = "Vec<DeadUnits>")]
struct DeadLayers {
    layers: [DeadUnits; MAX_WATCHED_LAYERS],
    count: usize,
}

impl From<DeadLayers> for Vec<DeadUnits> {
    fn from(dead: DeadLayers) -> Self {
        dead.layers[..dead.count].to_vec()
    }
}

impl TryFrom<Vec<DeadUnits>> for DeadLayers {
    type Error = String;

    fn try_from(layers: Vec<DeadUnits>) -> Result<Self, String> {
        if layers.len() > MAX_WATCHED_LAYERS {
            return Err(format!("dead units of {} layers; expected at most {MAX_WATCHED_LAYERS}", layers.len()));
        }
        if let Some(wrong) = layers.iter().find(|layer| layer.dead > layer.units) {
            return Err(format!("{} dead units of {}", wrong.dead, wrong.units));
        }
        Ok(layers.into_iter().collect())
    }
}

impl FromIterator<DeadUnits> for DeadLayers {
    /// The first [`MAX_WATCHED_LAYERS`].
    fn from_iter<I: IntoIterator<Item = DeadUnits>>(layers: I) -> Self {
        let mut dead = DeadLayers::default();
        for (place, layer) in dead.layers.iter_mut().zip(layers) {
            *place = layer;
            dead.count += 1;
        }
        dead
    }
}

impl Watch {
    /// Of one epoch. `dead`: of at most [`MAX_WATCHED_LAYERS`] layers, in order; more are left out.
    pub fn new(
        largest_class_share: Option<f64>,
        grad_norm: Option<f64>,
        lr: f32,
        largest_weight: f32,
        dead: impl IntoIterator<Item = DeadUnits>,
    ) -> Self {
        Watch { largest_class_share, grad_norm, lr, largest_weight, dead: dead.into_iter().collect() }
    }

    /// Of each activation layer, in order, its units that gave 0 for every training sample of the epoch.
    pub fn dead_units(&self) -> &[DeadUnits] {
        &self.dead.layers[..self.dead.count]
    }

    /// The layer whose dead units matter most, in a network of these layers: of the output any one, of hidden layers half of
    /// them, for some are dead in many a sound network. Where the gradient passes a ReLU all the same, none is lost.
    pub fn dead_that_matter(&self, layers: &LayerSpecs, relu_grad: ReluGrad) -> Option<DeadUnits> {
        let matter = |dead: &&DeadUnits| {
            let is_lost = match layers.0.get(dead.layer) {
                Some(spec @ LayerSpec::Activation { .. }) => {
                    !(spec.is_relu() && relu_grad == ReluGrad::StraightThrough)
                }
                _ => false,
            };
            let is_output = dead.layer + 1 == layers.0.len();
            is_lost && dead.dead > 0 && (is_output || 2 * dead.dead >= dead.units)
        };
        self.dead_units().iter().rfind(matter).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dead(layer: usize, dead: usize, units: usize) -> DeadUnits {
        DeadUnits { layer, dead, units }
    }

    #[test]
    fn a_few_dead_hidden_units_do_not_matter_and_one_dead_output_does() {
        let layers: LayerSpecs = "linear:8,relu,dropout:0.5,linear:4,relu".parse().unwrap();
        let worst = |hidden, output, relu_grad| {
            Watch::new(None, None, 0.1, 1.0, [dead(1, hidden, 8), dead(4, output, 4)])
                .dead_that_matter(&layers, relu_grad)
                .map(|dead| dead.layer)
        };
        for (hidden, output, expected) in
            [(0, 0, None), (3, 0, None), (4, 0, Some(1)), (0, 1, Some(4)), (8, 1, Some(4))]
        {
            assert_eq!(worst(hidden, output, ReluGrad::Exact), expected, "{hidden} {output}");
            assert_eq!(worst(hidden, output, ReluGrad::StraightThrough), None);
        }
        // Silu has a gradient of its own, whatever a ReLU's is; and a layer that the network has not is none of its.
        let silu: LayerSpecs = "linear:8,silu,linear:4".parse().unwrap();
        let watch = Watch::new(None, None, 0.1, 1.0, [dead(1, 8, 8), dead(7, 9, 9)]);
        assert_eq!(watch.dead_that_matter(&silu, ReluGrad::StraightThrough), Some(dead(1, 8, 8)));
    }

    #[test]
    fn figures_come_back_from_json_and_impossible_ones_do_not() {
        let watch = Watch::new(Some(0.125), None, 0.01, 2.5, [dead(1, 7, 10)]);
        let text = serde_json::to_string(&watch).unwrap();
        assert_eq!(
            text,
            r#"{"largest_class_share":0.125,"grad_norm":null,"lr":0.01,"largest_weight":2.5,"#.to_string()
                + r#""dead":[{"layer":1,"dead":7,"units":10}]}"#
        );
        assert_eq!(serde_json::from_str::<Watch>(&text).unwrap(), watch);
        assert!(serde_json::from_str::<Watch>(&text.replace("\"dead\":7", "\"dead\":11")).is_err());
        let many = vec![dead(1, 0, 1); MAX_WATCHED_LAYERS + 1];
        assert!(DeadLayers::try_from(many.clone()).is_err());
        assert_eq!(Watch::new(None, None, 0.0, 0.0, many).dead_units().len(), MAX_WATCHED_LAYERS);
    }
}
